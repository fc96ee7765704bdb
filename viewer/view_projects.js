"use strict";
// The lists: every project, and the runs of one, newest first.
(() => {
  const ii = window.imagination;
  const { h } = ii;
  ii.views = ii.views || {};

  const START = "python iterative_imagination.py --project demo";

  /** All projects. */
  ii.views.projects = () => listing(
    () => [ii.heading("Projects")],
    (projects) => (projects.length ? h("ul", { class: "cards wide" }, [...projects].sort(later).map(projectCard)) : nothing("There is no project yet.")),
  );

  /** The one worked on last comes first. */
  const later = (one, other) => touched(other) - touched(one);
  const touched = ({ runs }) => Math.max(0, ...runs.map((run) => run.started_at || 0));

  /** The runs of one project. */
  ii.views.project = ({ project }) => listing(
    () => [ii.heading(project)],
    (projects) => {
      const found = projects.find((each) => each.project === project);
      if (!found) return nothing(`There is no project called ${project} here.`);
      if (!found.runs.length) return ii.empty("No run yet. Start one: ", h("code", {}, `iterativectl run --project ${ii.shell(project)}`));
      return h("ul", { class: "cards wide" }, found.runs.map((run) => runCard(project, run)));
    },
  );

  function nothing(why) {
    return h("div", { class: "empty" }, h("p", {}, why), h("p", {}, "Try the demo: ", h("code", {}, START)),
      h("p", {}, "Runs made long ago appear after ", h("code", {}, "iterativectl viewer start"), "."));
  }

  function listing(head, body) {
    const place = h("div", {});
    const node = h("div", {}, head(), place);
    let shown = "";
    async function look() {
      const projects = await ii.readIndex();
      const now = JSON.stringify(projects);
      if (now === shown || (projects === null && shown)) return;  // an index that is being replaced: the old one stays
      shown = now;
      ii.fill(place, body(projects || []));
    }
    return { node, ready: look(), close: ii.follow(look, () => shown.includes('"running"')) };
  }

  function projectCard({ project, input, runs }) {
    const [newest] = runs;
    return h("li", { class: "card lead" },
      h("h2", {}, h("a", { href: ii.link(project) }, project), " ", newest && ii.stateBadge(newest)),
      newest ? pictures(project, newest) : input && h("div", { class: "pair" }, h("figure", {}, ii.picture(ii.address(project, ...input.split("/")), `Input of ${project}`, { loading: "lazy" }), h("figcaption", {}, "input"))),
      h("p", {}, newest ? [ii.plural(runs.length, "run"), ", last ", h("a", { href: ii.link(project, newest.run_id) }, ii.moment(newest.started_at))] : "no run yet"),
      newest && unmet(newest));
  }

  function runCard(project, run) {
    return h("li", { class: "card lead" },
      h("h2", {}, h("a", { href: ii.link(project, run.run_id) }, run.run_id), " ", ii.stateBadge(run)),
      pictures(project, run),
      h("p", {}, `${ii.plural(run.last_iteration || 0, "iteration")}, best score ${ii.number(run.best_score, 1)}`,
        run.best_iteration ? ` in iteration ${run.best_iteration}` : "", `, ${ii.moment(run.started_at)}`, run.ranked ? ", ranked" : ""),
      unmet(run));
  }

  function pictures(project, run) {
    const files = ii.files(project, run.run_id);
    return h("div", { class: "pair" },
      h("figure", {}, ii.picture(files.originalThumb, `Input of ${project}`, { loading: "lazy" }), h("figcaption", {}, "input")),
      run.best_iteration && h("figure", {}, ii.picture(files.thumb(run.best_iteration), `Best of run ${run.run_id}`, { loading: "lazy" }), h("figcaption", {}, "best so far")));
  }

  function unmet(run) {
    const fields = Array.isArray(run.never_met) ? run.never_met : [];
    if (!run.last_iteration || !fields.length) return null;
    return h("p", { class: "unmet" }, "Never met so far: ", h("b", {}, fields.join(", ")));
  }
})();
