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
    (projects, card) => (projects.length ? h("ul", { class: "cards wide" }, [...projects].sort(later).map((each) => card(each.project, each, each.runs[0], () => projectCard(each)))) : nothing("There is no project yet.")),
  );

  /** The one worked on last comes first. */
  const later = (one, other) => touched(other) - touched(one);
  const touched = ({ runs }) => Math.max(0, ...runs.map((run) => run.started_at || 0));

  /** The runs of one project. */
  ii.views.project = ({ project }) => listing(
    () => [ii.heading(project)],
    (projects, card) => {
      const found = projects.find((each) => each.project === project);
      if (!found) return nothing(`There is no project called ${project} here.`);
      if (!found.runs.length) return ii.empty("No run yet. Start one: ", h("code", {}, `iterativectl run --project ${ii.shell(project)}`));
      return h("ul", { class: "cards wide" }, found.runs.map((run) => card(run.run_id, run, run, () => runCard(project, run))));
    },
  );

  function nothing(why) {
    return h("div", { class: "empty" }, h("p", {}, why), h("p", {}, "Try the demo: ", h("code", {}, START)),
      h("p", {}, "Runs made long ago appear after ", h("code", {}, "iterativectl viewer start"), "."));
  }

  function listing(head, body) {
    const place = h("div", {});
    const node = h("div", {}, head(), place);
    const cards = new Map();
    let shown = null;
    /** A card stays the same node until its facts change: its pictures are not loaded anew. */
    const card = (key, facts, run, make) => {
      const node = cards.get(key) || h("li", { class: "card lead" });
      cards.set(key, node);
      ii.refill(node, [facts, run && ii.isSilent(run)], make);
      return node;
    };
    async function look() {
      const projects = await ii.readIndex();
      if (projects === null && shown) return;  // an index that is being replaced: the old one stays
      shown = projects || [];
      ii.refill(place, [shown, shown.map(({ runs }) => runs.some((run) => ii.isSilent(run)))], () => body(shown, card));
    }
    return { node, ready: look(), close: ii.follow(look, () => (shown || []).some(({ runs }) => runs.some((run) => run.status === "running"))) };
  }

  function projectCard({ project, input, runs }) {
    const [newest] = runs;
    return [
      h("h2", {}, h("a", { href: ii.link(project) }, project), " ", newest && ii.stateBadge(newest)),
      newest ? pictures(project, newest) : input && pair(ii.address(project, ...input.split("/")), project),
      h("p", {}, newest ? [ii.plural(runs.length, "run"), ", last ", h("a", { href: ii.link(project, newest.run_id) }, ii.moment(newest.started_at))] : "no run yet"),
      newest && unmet(newest)];
  }

  function runCard(project, run) {
    return [
      h("h2", {}, h("a", { href: ii.link(project, run.run_id) }, run.run_id), " ", ii.stateBadge(run)),
      pictures(project, run),
      h("p", {}, ii.plural(run.last_iteration || 0, "iteration"), run.best_iteration ? `, the best is ${run.best_iteration}` : "", `, ${ii.moment(run.started_at)}`, run.ranked ? ", ranked" : ""),
      unmet(run)];
  }

  function pictures(project, run) {
    const files = ii.files(project, run.run_id);
    const best = run.status === "running" ? "best so far" : "best";
    const score = run.best_score > 0 ? `, score ${ii.number(run.best_score, 1)}` : "";
    return pair(files.originalThumb, project,
      run.best_iteration && h("figure", {}, ii.picture(files.thumb(run.best_iteration), `Best of run ${run.run_id}`, { loading: "lazy" }), h("figcaption", {}, best + score)));
  }

  function pair(input, project, ...others) {
    const node = h("div", { class: "pair" });
    const image = ii.shapedBy(node, ii.picture(input, `Input of ${project}`, { loading: "lazy" }));
    node.append(h("figure", {}, image, h("figcaption", {}, "input")), ...others.filter(Boolean));
    return node;
  }

  function unmet(run) {
    const fields = Array.isArray(run.never_met) ? run.never_met : [];
    if (!run.last_iteration || !fields.length) return null;
    return h("p", { class: "unmet" }, "Never met so far: ", h("b", {}, fields.join(", ")));
  }
})();
