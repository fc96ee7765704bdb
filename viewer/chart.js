"use strict";
// Score, similarity and denoise over the iterations. All three lie between 0 and 1 (the score as a share), so one scale serves.
(() => {
  const ii = window.imagination;
  const { h, svg } = ii;

  const SERIES = [
    { key: "score", label: "score", value: (row) => (row.source === "fallback" ? null : share(row.score, 100)), text: (row) => ii.score(row) },
    { key: "similarity", label: "similarity", value: (row) => share(row.similarity, 1), text: (row) => ii.number(row.similarity) },
    { key: "denoise", label: "denoise", value: (row) => share(row.parameters.denoise, 1), text: (row) => ii.number(row.parameters.denoise, 3) },
  ];
  const HEIGHT = 180;
  const EDGE = { left: 34, right: 12, top: 10, bottom: 22 };

  const share = (value, whole) => (typeof value === "number" && Number.isFinite(value) ? Math.min(1, Math.max(0, value / whole)) : null);

  /** The chart of a run: `update(rows)` draws it anew, also when its width changes. */
  ii.chart = (run) => {
    const canvas = h("div", { class: "canvas" });
    const told = h("p", { class: "told", "aria-hidden": "true" });
    const legend = h("p", { class: "legend" }, SERIES.map(({ key, label }) => h("span", { class: `key ${key}` }, label)));
    const figure = h("figure", { class: "chart" }, h("figcaption", { class: "row" }, legend, told), canvas);
    let rows = [];
    const draw = () => { if (canvas.clientWidth) ii.fill(canvas, drawing(run, rows, canvas.clientWidth, told)); };
    const watcher = new ResizeObserver(draw);
    watcher.observe(canvas);
    return { node: figure, update: (now) => { rows = now; draw(); }, close: () => watcher.disconnect() };
  };

  function drawing(run, rows, width, told) {
    const inner = { width: width - EDGE.left - EDGE.right, height: HEIGHT - EDGE.top - EDGE.bottom };
    const x = (number) => EDGE.left + (rows.length < 2 ? inner.width / 2 : ((number - 1) / (rows.length - 1)) * inner.width);
    const y = (value) => EDGE.top + (1 - value) * inner.height;
    const dots = rows.length <= inner.width / 9;
    const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": summary(run, rows) },
      [0, 0.5, 1].map((level) => grid(level, y(level), width)),
      numbers(rows.length, inner.width).map((number) => svg("text", { x: x(number), y: HEIGHT - 6, class: "tick middle" }, String(number))),
      SERIES.map((series) => line(series, rows, x, y, dots)),
      rows.filter((row) => row.status === "failed").map((row) => svg("text", { x: x(row.iteration), y: y(0) - 2, class: "failed middle" }, "✗")),
      rows.filter((row) => row.iteration === run.best && SERIES[0].value(row) !== null).map((row) => svg("text", { x: x(row.iteration), y: y(SERIES[0].value(row)) + 6, class: "best middle" }, "★")));
    const pointer = svg("line", { y1: EDGE.top, y2: HEIGHT - EDGE.bottom, class: "pointer", visibility: "hidden" });
    picture.append(pointer);
    // a convenience for the mouse: every fact and link in it is in the grid below as well
    const nearest = (event) => {
      const at = event.clientX - picture.getBoundingClientRect().left - EDGE.left;
      return rows[Math.min(rows.length - 1, Math.max(0, Math.round((at / inner.width) * (rows.length - 1))))];
    };
    picture.addEventListener("pointermove", (event) => {
      const row = nearest(event);
      if (!row) return;
      pointer.setAttribute("visibility", "visible");
      for (const end of ["x1", "x2"]) pointer.setAttribute(end, x(row.iteration));
      told.textContent = `iteration ${row.iteration}: ${SERIES.map(({ label, text }) => `${label} ${text(row)}`).join(", ")}`;
    });
    picture.addEventListener("pointerleave", () => { pointer.setAttribute("visibility", "hidden"); told.textContent = ""; });
    picture.addEventListener("click", (event) => {
      const row = nearest(event);
      if (row) window.location.hash = ii.link(run.project, run.id, row.iteration);
    });
    return picture;
  }

  const grid = (level, at, width) => [
    svg("line", { x1: EDGE.left, x2: width - EDGE.right, y1: at, y2: at, class: "level" }),
    svg("text", { x: EDGE.left - 6, y: at + 4, class: "tick end" }, level === 0.5 ? "½" : String(level))];

  /** At most one label every 50 px or so, at round steps. */
  function numbers(count, width) {
    const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((each) => count / each <= width / 50) || 5000;
    if (step <= 2) return Array.from({ length: Math.ceil(count / step) }, (_, at) => 1 + at * step);
    return [1, ...Array.from({ length: Math.floor(count / step) }, (_, at) => (at + 1) * step)];
  }

  function line({ key, value }, rows, x, y, dots) {
    const levels = rows.map(value);
    let drawing = "";
    const points = [];
    rows.forEach((row, at) => {
      if (levels[at] === null) return;  // a gap: nothing is known there
      const [before, after] = [levels[at - 1] ?? null, levels[at + 1] ?? null];
      drawing += `${before === null ? "M" : "L"}${x(row.iteration).toFixed(1)} ${y(levels[at]).toFixed(1)}`;
      if (dots || (before === null && after === null)) points.push([x(row.iteration), y(levels[at])]);  // alone it makes no line
    });
    return [svg("path", { d: drawing, class: `line ${key}` }), points.map(([cx, cy]) => svg("circle", { cx, cy, r: 2.6, class: `dot ${key}` }))];
  }

  function summary(run, rows) {
    const scores = rows.map((row) => (row.source === "fallback" ? null : row.score)).filter((each) => typeof each === "number");
    const range = scores.length ? `scores from ${Math.min(...scores)} to ${Math.max(...scores)}` : "no score yet";
    const best = run.best ? `, best in iteration ${run.best}` : "";
    return `Chart of score, similarity and denoise over ${ii.plural(rows.length, "iteration")}: ${range}${best}. The list below has every value.`;
  }
})();
