"use strict";
// Two iterations of a run against each other: pictures, verdicts, settings, prompts.
(() => {
  const ii = window.imagination;
  const { h } = ii;

  ii.views.pair = ({ project, run: id, iteration, other }) => {
    const run = ii.run(project, id);
    const numbers = [Number(iteration), Number(other)];
    const node = h("div", {}, ii.heading(`Iterations ${numbers[0]} and ${numbers[1]}`));
    const ready = (async () => {
      await run.refresh();
      const details = await Promise.all(numbers.map((number) => run.detail(number)));
      const lost = numbers.filter((_, at) => !details[at]);
      if (lost.length) { node.append(ii.empty(`The record of iteration ${lost.join(" and ")} cannot be read, or there is none.`)); return; }
      node.append(h("p", { class: "row" }, numbers.map((number) => h("a", { class: "button", href: ii.link(project, id, number) }, `Iteration ${number}, score ${ii.score(run.row(number))}`))),
        stage(run, numbers), h("div", { class: "columns" }, verdicts(run, numbers, details), settings(details), prompts(numbers, details)));
    })();
    return { node, ready, close: () => {} };
  };

  function stage(run, numbers) {
    if (numbers.some((number) => run.row(number).picture === false)) return ii.empty("One of the two has no picture.");
    const [before, after] = numbers.map((number) => ({ src: run.image(number), label: `Iteration ${number}` }));
    return ii.stage(before, after);
  }

  const result = ({ evaluation }, field) => (!evaluation || evaluation.source === "fallback" || evaluation.unanswered.includes(field) ? null : evaluation.results[field]);

  function verdicts(run, numbers, details) {
    const head = h("tr", {}, h("th", { scope: "col" }, "Criterion"), numbers.map((number) => h("th", { scope: "col" }, String(number))));
    const rows = run.criteria.map(({ field }) => {
      const found = details.map((detail) => result(detail, field));
      return h("tr", { class: found[0] === found[1] ? "" : "changed" }, h("th", { scope: "row" }, field), found.map((each) => h("td", {}, ii.mark(each, field))));
    });
    const likeness = h("tr", {}, h("th", { scope: "row" }, "similarity"), details.map(({ comparison }) => h("td", { class: "figure" }, ii.number(comparison && comparison.similarity_score))));
    return ii.section("Criteria", h("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Criteria of both" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows, likeness))));
  }

  function settings([one, two]) {
    const changes = ii.parameterChanges(one.parameters, two.parameters);
    return ii.section("Settings that differ", changes.length ? ii.facts(changes.map((each) => [each.name, ...ii.change(each)])) : h("p", {}, "none"));
  }

  function prompts(numbers, [one, two]) {
    const part = (name, label) => [h("h3", {}, label), ii.promptChanges(one.prompts[name] || "", two.prompts[name] || "")];
    return ii.section(`Prompts, from ${numbers[0]} to ${numbers[1]}`, part("positive", "Positive prompt"), part("negative", "Negative prompt"));
  }
})();
