"use strict";
// What a run page tells beside its pictures: why the run ended, what the judge check found, the final comparison.
(() => {
  const ii = window.imagination;
  const { h } = ii;

  const list = (value) => (Array.isArray(value) ? value : []);
  const isNumber = (value) => Number.isInteger(value) && value > 0;

  /** A panel that folds. It stays the same node, so that it stays open while the run goes on. */
  ii.fold = (kind) => {
    const summary = h("summary", {});
    const body = h("div", { class: "folded" });
    const panel = h("details", { class: `panel fold ${kind}` }, summary, body);
    const node = h("div", {});
    /** Show what `make()` gives as {title, body}, when the facts have changed; facts that are null take the panel away. */
    const show = (facts, make) => {
      if (facts === null) { panel.remove(); return; }
      if (panel.parentNode !== node) node.append(panel);
      ii.refill(summary, facts, () => make().title);
      ii.refill(body, facts, () => make().body);
    };
    return { node, show };
  };

  // --- the end ------------------------------------------------------------------------------------------------------------

  /** Why a run is over, for which the resume point has a sentence. */
  ii.ending = ({ head }) => (head && head.status === "exhausted" && typeof head.ending === "string" && head.ending ? head.ending : null);

  ii.endingLine = (text) => (text === null ? null : h("p", { class: "ending" }, h("b", {}, "How it ended: "), text));

  // --- the judge check ----------------------------------------------------------------------------------------------------

  /** What the judge said before the first picture; null where it was not tried. */
  ii.judgeCheck = ({ head }) => {
    const found = head && head.judge_check;
    if (!found || typeof found !== "object") return null;
    return { ...found, warnings: list(found.warnings), original: ii.readVotes(found.original), grey: ii.readVotes(found.grey) };
  };

  ii.judgeCheckPanel = (run, check) => {
    const { warnings } = check;
    const told = warnings.length ? ii.badge(ii.plural(warnings.length, "warning"), "warn") : ii.badge("no warning", "open");
    const first = warnings.length ? h("span", { class: "first" }, ii.answer(warnings[0])) : h("span", { class: "hint" }, "before the first picture");
    return {
      title: [h("h2", {}, "Judge check"), told, first],
      body: [
        warnings.length ? h("ul", { class: "warnings" }, warnings.map((text) => h("li", {}, ii.answer(text)))) : null,
        h("p", { class: "hint" }, "Before the first picture the judge was shown the unedited original and a grey square. On the original what is to be preserved should be met, and of the changes at least one should not."),
        checkTable(run, check),
        h("p", { class: "hint" }, [`${ii.value(check.provider)} ${ii.value(check.model)}`, isNumber(check.requests) && ii.plural(check.requests, "vision call"), ii.duration(check.seconds)].filter(Boolean).join(", ")),
      ],
    };
  };

  function checkTable(run, { original, grey }) {
    const intents = new Map(run.criteria.map(({ field, intent }) => [field, intent]));
    const fields = [...new Set([...intents.keys(), ...Object.keys(original), ...Object.keys(grey)])].filter((field) => original[field] || grey[field]);
    if (!fields.length) return null;
    const cell = (votes) => h("td", {}, votes && votes.length ? ii.ballots(votes) : "–");
    return h("div", { class: "scrolls low", tabindex: "0", role: "region", "aria-label": "What the judge said of each criterion" },
      h("table", {}, h("thead", {}, h("tr", {}, ["Criterion", "Original", "Grey square"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, fields.map((field) => h("tr", {}, h("th", { scope: "row" }, field, intents.get(field) ? h("small", {}, ` ${intents.get(field)}`) : null), cell(original[field]), cell(grey[field]))))));
  }

  // --- the final comparison -----------------------------------------------------------------------------------------------

  /** The best pictures compared in pairs; null where there was no such comparison. */
  ii.finalComparison = ({ head }) => {
    const found = head && head.final_comparison;
    if (!found || typeof found !== "object" || !isNumber(found.winner)) return null;
    const duels = list(found.duels).filter((duel) => duel && isNumber(duel.first) && isNumber(duel.second));
    return { winner: found.winner, iterations: list(found.iterations).filter(isNumber), duels };
  };

  const wins = ({ duels }, number) => duels.filter(({ better }) => better === number).length;
  const fought = ({ duels }, number) => duels.filter(({ first, second }) => first === number || second === number).length;

  ii.finalPanel = (run, final) => ({
    title: [h("h2", {}, "Final comparison"), h("span", {}, `the best ${final.iterations.length} against each other: iteration ${final.winner} is the output`)],
    body: [
      h("ul", { class: "contenders" }, final.iterations.map((number) => contender(run, final, number))),
      final.duels.length ? h("ol", { class: "duels" }, final.duels.map((duel) => duelLine(run, duel))) : null,
    ],
  });

  function contender(run, final, number) {
    const won = number === final.winner;
    return h("li", { class: won ? "won" : "" }, h("a", { href: ii.link(run.project, run.id, number) }, ii.picture(run.thumb(number), `Iteration ${number}`, { loading: "lazy" }),
      h("span", {}, won ? "★ " : "", `iteration ${number}`)), h("small", {}, `preferred in ${wins(final, number)} of ${fought(final, number)}`));
  }

  function duelLine(run, { first, second, better, reason }) {
    const told = better === first || better === second ? [h("b", {}, `${better}`), " is better"] : "no preference";
    return h("li", {}, h("a", { href: ii.link(run.project, run.id, Math.min(first, second), Math.max(first, second)) }, `${first} against ${second}`), ": ", told,
      reason ? h("span", { class: "reason" }, ` – ${ii.answer(reason)}`) : null);
  }
})();
