"use strict";
// Which iterations the grid shows, and in which order. Pure but for the form; kept in the address, so that it can be shared.
(() => {
  const ii = window.imagination;
  const { h } = ii;

  const SORTS = {
    iteration: ["iteration", (row) => row.iteration],
    score: ["score", (row) => (row.source === "fallback" ? null : row.score)],
    similarity: ["similarity", (row) => row.similarity],
    denoise: ["denoise", (row) => row.parameters.denoise],
    cfg: ["cfg", (row) => row.parameters.cfg],
    steps: ["steps", (row) => row.parameters.steps],
    seconds: ["time taken", (row) => row.seconds],
  };
  const RANGES = { score: SORTS.score[1], similarity: SORTS.similarity[1], denoise: SORTS.denoise[1], cfg: SORTS.cfg[1], steps: SORTS.steps[1], seed: (row) => row.parameters.seed };
  const STATES = {
    all: ["all", () => true],
    judged: ["judged", (row) => row.source === "aivis"],
    passed: ["all criteria met", (row) => row.source === "aivis" && Object.keys(row.results).length > 0 && Object.values(row.results).every((each) => each === true)],
    unjudged: ["not judged", (row) => row.source === "fallback"],
    failed: ["failed", (row) => row.status === "failed" || row.unreadable],
  };
  const VERDICT = { met: true, unmet: false, unanswered: null };

  ii.DEFAULT_FILTERS = { sort: "iteration", order: "down", state: "all", criterion: "", verdict: "met", range: "", from: "", to: "" };

  /** What an address says after its `?`; what is unknown there counts as not said. */
  ii.readFilters = (query) => {
    const said = Object.fromEntries(new URLSearchParams(query));
    const known = { sort: SORTS, order: { up: 1, down: 1 }, state: STATES, verdict: VERDICT, range: RANGES };
    const kept = Object.keys(ii.DEFAULT_FILTERS).filter((key) => said[key] !== undefined && (!known[key] || Object.hasOwn(known[key], said[key])));
    return { ...ii.DEFAULT_FILTERS, ...Object.fromEntries(kept.map((key) => [key, said[key]])) };
  };

  ii.writeFilters = (filters) => new URLSearchParams(Object.entries(filters).filter(([key, value]) => value !== ii.DEFAULT_FILTERS[key])).toString();

  /** The rows to show, in order. Rows without a value to sort by come last, whichever the direction. */
  ii.applyFilters = (rows, filters) => {
    const [, key] = SORTS[filters.sort];
    const sign = filters.order === "up" ? 1 : -1;
    const missing = (row) => (Number.isFinite(key(row)) ? 0 : 1);
    return rows.filter((row) => keeps(row, filters))
      .sort((a, b) => missing(a) - missing(b) || (missing(a) ? 0 : sign * (key(a) - key(b))) || sign * (a.iteration - b.iteration));
  };

  function keeps(row, { state, criterion, verdict, range, from, to }) {
    if (!STATES[state][1](row)) return false;
    if (criterion && (row.source !== "aivis" || (row.results[criterion] === undefined ? null : row.results[criterion]) !== VERDICT[verdict])) return false;
    if (!range || (from === "" && to === "")) return true;
    const value = RANGES[range](row);
    return Number.isFinite(value) && (from === "" || value >= Number(from)) && (to === "" || value <= Number(to));
  }

  /** The form above the grid; `changed(filters)` is called at every choice. */
  ii.filterForm = (criteria, filters, changed) => {
    const now = { ...filters };
    const choose = (key) => (event) => { now[key] = event.target.value; show(); changed({ ...now }); };
    const select = (key, label, options) => h("label", {}, label, h("select", { onchange: choose(key), "data-key": key },
      options.map(([value, text]) => h("option", { value, selected: value === now[key] }, text))));
    const number = (key, label) => h("label", {}, label, h("input", { type: "number", step: "any", value: now[key], oninput: choose(key), "data-key": key }));
    const parts = {
      verdict: select("verdict", "is", [["met", "met"], ["unmet", "not met"], ["unanswered", "not answered"]]),
      from: number("from", "from"), to: number("to", "to"),
    };
    const form = h("form", { class: "filters row", "aria-label": "Sort and filter", onsubmit: (event) => event.preventDefault() },
      select("sort", "Sort by", Object.entries(SORTS).map(([key, [text]]) => [key, text])),
      select("order", "Order", [["down", "high to low"], ["up", "low to high"]]),
      select("state", "Show", Object.entries(STATES).map(([key, [text]]) => [key, text])),
      select("criterion", "Criterion", [["", "any"], ...criteria.map(({ field }) => [field, field])]), parts.verdict,
      select("range", "Value", [["", "any"], ...Object.keys(RANGES).map((key) => [key, key])]), parts.from, parts.to);
    const show = () => { parts.verdict.hidden = !now.criterion; parts.from.hidden = !now.range; parts.to.hidden = !now.range; };
    show();
    return form;
  };
})();
