"use strict";
// One iteration: its picture against the original, and everything that is known of it.
(() => {
  const ii = window.imagination;
  const { h } = ii;

  ii.views.iteration = ({ project, run: id, iteration }) => {
    const run = ii.run(project, id);
    const number = Number(iteration);
    const node = h("div", {}, ii.heading(`Iteration ${number}`));
    const places = { top: h("div", {}), stage: h("div", {}), facts: h("div", { class: "columns" }) };
    node.append(places.top, places.stage, places.facts);
    let open = true;

    async function look() {
      await run.refresh();
      if (!open) return;
      const [detail, before, projects] = await Promise.all([run.detail(number), number > 1 ? run.detail(number - 1) : null, ii.readIndex()]);
      const again = repeat(run, number, projects);
      const row = run.row(number);
      if (!open) return;
      ii.refill(places.top, [row, run.best, number < run.last], () => header(run, row, number));
      ii.refill(places.stage, [row.unreadable, row.picture, run.image(number)], () => picture(run, row));
      ii.refill(places.facts, [row, detail, before, again, detail || why(run, number)], () => (detail ? facts(run, row, detail, before, again) : ii.empty(why(run, number))));
    }

    const keys = (event) => {
      if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
      const to = { ArrowLeft: number - 1, ArrowRight: number + 1 }[event.key];
      if (to >= 1 && to <= run.last) window.location.hash = ii.link(project, id, to);
    };
    document.addEventListener("keydown", keys);
    const stop = ii.follow(look, () => run.running);
    return { node, ready: look(), close: () => { open = false; stop(); document.removeEventListener("keydown", keys); } };
  };

  function why(run, number) {
    if (!run.head) return `There is no run ${run.id} of ${run.project} here.`;
    return number > run.last ? `The run has no iteration ${number} yet.` : `The record of iteration ${number} cannot be read. The other iterations are not affected.`;
  }

  function header(run, row, number) {
    const turn = (to, label, name) => (to >= 1 && to <= run.last ? h("a", { class: "button", rel: name, href: ii.link(run.project, run.id, to) }, label) : h("span", { class: "button off", "aria-hidden": "true" }, label));
    const best = run.best && run.best !== number;
    return h("p", { class: "row" }, turn(number - 1, "← previous", "prev"), turn(number + 1, "next →", "next"),
      h("span", { class: "big score" }, "score ", ii.score(row)), ii.rowBadges(run, row), ii.confirmed(row),
      best ? h("a", { href: ii.link(run.project, run.id, Math.min(number, run.best), Math.max(number, run.best)) }, `Compare with the best (${run.best})`) : null);
  }

  function picture(run, row) {
    if (row.unreadable) return null;
    if (row.picture === false) return ii.empty(row.status === "failed" ? "No picture was made." : "There is no picture.");
    return ii.stage({ src: run.files.original, label: "Original" }, { src: run.image(row.iteration), label: `Iteration ${row.iteration}` });
  }

  function facts(run, row, detail, before, again) {
    const { metadata } = detail;
    return [
      metadata.error ? ii.section("What went wrong", h("p", { class: "error" }, metadata.error)) : null,
      verdicts(run, detail),
      comparison(detail),
      decision(detail),
      settings(row, detail, before, again),
      prompts(detail, before),
      answers(run, detail),
      judge(row, detail),
    ];
  }

  const MANY = 8;  // criteria that fit into one column beside the rest

  function verdicts(run, { evaluation }) {
    if (!evaluation) return null;
    const nobody = evaluation.source === "fallback";
    return ii.panel(run.criteria.length > MANY ? "panel wide" : "panel", "Criteria", nobody ? h("p", {}, "No model could be asked: nothing is known of these, and nothing was decided from them.") : null,
      h("ul", { class: "verdicts" }, run.criteria.map(({ field, question, type }) => {
        const value = evaluation.values[field];
        const told = type !== "boolean" && value !== null && value !== undefined ? h("b", { class: "value" }, ii.answer(value)) : null;
        return h("li", {}, ii.mark(nobody || evaluation.unanswered.includes(field) ? null : evaluation.results[field], field),
          h("div", {}, h("b", {}, field), " ", told, h("span", { class: "question" }, question), nobody ? null : ii.votesOf(evaluation, field), evaluation.reasons[field] ? h("p", { class: "reason" }, String(evaluation.reasons[field])) : null));
      })));
  }

  function comparison({ comparison: found }) {
    if (!found) return null;
    const source = found.source === "measured" ? "measured from the pixels, for no model could be asked" : "as the model sees it";
    return ii.section("Against the original",
      h("p", {}, h("b", {}, `Similarity ${ii.number(found.similarity_score)}`), ` (${source}; the pixels alone give ${ii.number(found.measured)})`),
      found.differences.length ? h("ul", {}, found.differences.map((each) => h("li", {}, ii.answer(each)))) : null,
      found.analysis ? h("p", { class: "reason" }, String(found.analysis)) : null);
  }

  function decision({ decision: moves }) {
    if (!moves.length) return null;
    return ii.section("What was decided for the next one", h("ul", {}, moves.map(({ what, why: reason }) => h("li", {}, h("b", {}, ii.move(what)), reason ? ` – ${reason}` : ""))));
  }

  /** The command that makes a picture again, and what it does. `--resume-from` works in the project's last run only. */
  function repeat(run, number, projects) {
    const found = (projects || []).find(({ project }) => project === run.project);
    const command = `iterativectl run --project ${ii.shell(run.project)}`;
    if (found && found.runs.length && found.runs[0].run_id !== run.id) {
      return { command: `${command} --reset`, before: "There is a newer run, so put what “Copy settings” gives into config/AIGen.yaml first; then ", after: " starts with this picture." };
    }
    return { command: `${command} --resume-from ${number}`, before: "", after: ` makes it again, with these settings and this seed; iterations after it are set aside. “Copy settings” gives them as AIGen.yaml has them.` };
  }

  function settings(row, { metadata, parameters }, before, again) {
    const changes = new Map((before ? ii.parameterChanges(before.parameters, parameters) : []).map((each) => [each.name, each]));
    const names = [...new Set([...Object.keys(parameters), ...changes.keys()])];
    return ii.section("Settings",
      h("dl", { class: "facts" }, names.map((name) => h("div", { class: changes.has(name) ? "changed" : "" }, h("dt", {}, name), h("dd", {}, changes.has(name) ? ii.change(changes.get(name)) : ii.value(parameters[name]))))),
      before && changes.size ? h("p", { class: "hint" }, `Changed against iteration ${row.iteration - 1}.`) : null,
      h("p", { class: "row" },
        parameters.seed === undefined ? null : ii.copyButton("Copy seed", String(parameters.seed)),
        ii.copyButton("Copy settings", yaml(metadata)),
        ii.copyButton("Copy command", again.command)),
      h("p", { class: "hint" }, again.before, h("code", {}, again.command), again.after));
  }

  /** The sections of AIGen.yaml that make this picture again. JSON texts are YAML texts; a seed too long for a number came as text. */
  function yaml({ parameters_used: used = {}, prompts_used: texts = {} }) {
    const told = (name, value) => (name === "seed" ? String(value) : JSON.stringify(value));
    const lines = (section, values) => [`${section}:`, ...Object.entries(values).map(([name, value]) => `  ${name}: ${told(name, value)}`)];
    return [...lines("parameters", used), ...lines("prompts", { positive: texts.positive, negative: texts.negative })].join("\n");
  }

  function prompts({ prompts: texts }, before) {
    const one = (name, label) => [h("h3", {}, label), ii.promptChanges(before ? before.prompts[name] || "" : null, texts[name] || ""), h("p", {}, ii.copyButton(`Copy ${label.toLowerCase()}`, String(texts[name] || "")))];
    return ii.section("Prompts", one("positive", "Positive prompt"), one("negative", "Negative prompt"), before ? h("p", { class: "hint" }, "Words that came and went since the iteration before are marked.") : null);
  }

  function answers(run, { answers: given }) {
    const asked = new Map(run.questions.map(({ field, question }) => [field, question]));
    const fields = [...new Set([...asked.keys(), ...Object.keys(given)])];
    if (!fields.length) return null;
    return ii.section("Questions", h("dl", { class: "answers" }, fields.map((field) => h("div", {}, h("dt", {}, asked.get(field) || field), h("dd", {}, ii.answer(given[field]))))));
  }

  function judge({ looks }, { metadata, timings, usage }) {
    const call = metadata.aivis_metadata || {};
    const seconds = Object.values(timings).filter((each) => typeof each === "number").reduce((sum, each) => sum + each, 0);
    return ii.section("Who judged, and what it took", ii.facts([
      ["provider", ii.value(call.provider)], ["model", ii.value(call.model)],
      call.using_fallback ? ["fallback", "yes, the first choice did not answer"] : null,
      ["attempts", ii.value(call.attempts)],
      call.error ? ["trouble", String(call.error)] : null,
      ["vision calls", ii.value(usage.requests)],
      looks > 0 ? ["looks at the picture", ii.value(looks)] : null,
      ["tokens", `${ii.value(usage.prompt_tokens)} read, ${ii.value(usage.completion_tokens)} written`],
      typeof usage.cost === "number" ? ["cost", `${usage.cost.toFixed(5)} USD`] : null,
      ...Object.entries(timings).map(([step, taken]) => [step, ii.duration(taken)]),
      ["in all", ii.duration(seconds)],
      ["made", ii.moment(metadata.timestamp)],
      Array.isArray(metadata.image_size) ? ["size", metadata.image_size.join(" × ")] : null,
      metadata.workflow_file ? ["workflow", String(metadata.workflow_file)] : null,
      metadata.seeded_from ? ["seeded from", `the ranking of ${ii.answer(metadata.seeded_from.run_id)}`] : null,
    ]));
  }
})();
