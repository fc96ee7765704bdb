"use strict";
// One run: how it stands, the best picture beside the original, the chart, and a grid of every iteration.
(() => {
  const ii = window.imagination;
  const { h } = ii;

  const MANY = 12;  // criteria; more are folded, so that chart and grid stay near

  ii.views.run = ({ project, run: id, query }) => {
    const run = ii.run(project, id);
    const page = new Page(run, ii.readFilters(query));
    let alone = true;
    const look = async () => {
      const before = run.last;
      const changed = await run.refresh();
      if (!alone) return;
      if (changed) page.show();
      else if (run.head) page.tell();  // a run that has fallen silent says so
      if (changed && before && run.last > before) ii.announce(`Iteration ${run.last}: score ${ii.score(run.row(run.last))}`);
    };
    if (run.head) page.show();
    const ready = look().then(() => page.missing());
    const stop = ii.follow(look, () => run.running || !run.head);
    return { node: page.node, ready, close: () => { alone = false; stop(); page.close(); } };
  };


  class Page {
    constructor(run, filters) {
      Object.assign(this, { run, filters, cards: new Map(), chosen: [] });
      this.top = h("div", {}, ii.heading(run.project, " ", h("small", {}, run.id)));
      this.places = { status: h("div", {}), ending: h("div", {}), pictures: h("div", {}), criteria: h("div", {}) };
      this.folds = { final: ii.fold("final"), criteria: ii.fold("many"), check: ii.fold("check") };
      const { status, ending, pictures, criteria } = this.places;
      this.state = h("div", {}, status, ending, pictures, this.folds.final.node, criteria, this.folds.criteria.node, this.folds.check.node);
      this.chart = ii.chart(run);
      this.form = h("div", {});
      this.count = h("p", { class: "count", role: "status" });
      this.grid = h("ul", { class: "cards", id: "grid" });
      this.tray = h("div", { class: "tray", role: "region", "aria-label": "Chosen for comparison", hidden: true });
      this.body = h("div", { hidden: true }, this.state, h("section", { class: "panel" }, this.chart.node),
        h("h2", {}, "Iterations"), this.form, this.count, this.grid);
      this.node = h("div", run.shape ? { style: { "--shape": String(run.shape) } } : {}, this.top, this.body, this.tray);
    }

    close() { this.chart.close(); }

    /** Say so when there is nothing to show. */
    missing() {
      if (this.run.head) return;
      const { project, id } = this.run;
      ii.fill(this.state, ii.empty(`There is no run ${id} of ${project} here, or its run.js cannot be read. `, h("code", {}, "iterativectl viewer start"), " writes what is missing."));
      ii.fill(this.body, this.state);
      this.body.hidden = false;
    }

    show() {
      const { run } = this;
      if (!this.body.contains(this.grid)) return;
      this.body.hidden = false;
      this.tell();
      const { pictures, criteria } = this.places;
      ii.refill(pictures, [run.best, run.best && [run.image(run.best), ii.score(run.row(run.best))]], () => summary(run, this.node));
      const tallies = tally(run);
      const many = tallies.criteria.length > MANY;
      ii.refill(criteria, many ? null : tallies, () => (many ? null : [criteriaHead(tallies), criteriaList(tallies)]));
      this.folds.criteria.show(many ? tallies : null, () => ({ title: criteriaSummary(tallies), body: criteriaList(tallies) }));
      const [final, check] = [ii.finalComparison(run), ii.judgeCheck(run)];
      this.folds.final.show(final && [final, final.iterations.map((number) => run.thumb(number))], () => ii.finalPanel(run, final));
      this.folds.check.show(check && [check, run.criteria], () => ii.judgeCheckPanel(run, check));
      if (!this.form.firstChild && run.criteria.length) ii.fill(this.form, ii.filterForm(run.criteria, this.filters, (now) => this.filter(now)));
      this.chart.update(run.list());
      this.arrange();
    }

    /** How the run stands. */
    tell() {
      ii.refill(this.places.status, [this.run.head, ii.isSilent(this.run.head)], () => status(this.run));
      const ending = ii.ending(this.run);
      ii.refill(this.places.ending, ending, () => ii.endingLine(ending));
    }

    filter(filters) {
      this.filters = filters;
      const query = ii.writeFilters(filters);
      window.history.replaceState(null, "", ii.link(this.run.project, this.run.id) + (query ? `?${query}` : ""));
      this.arrange();
    }

    /** Cards are kept and only moved: what is chosen, focused or being looked at stays as it is. */
    arrange() {
      const rows = this.run.list();
      const shown = ii.applyFilters(rows, this.filters);
      const cards = shown.map((row) => this.card(row));
      const now = [...this.grid.children];
      if (cards.length !== now.length || cards.some((card, at) => card !== now[at])) this.place(cards);
      this.count.textContent = shown.length === rows.length ? "" : `${shown.length} of ${ii.plural(rows.length, "iteration")}`;
      if (!rows.length) this.count.textContent = "The first picture is being made.";
    }

    place(cards) {
      const keep = new Set(cards);
      for (const child of [...this.grid.children]) if (!keep.has(child)) child.remove();
      this.grid.classList.toggle("long", cards.length > ii.LONG);
      cards.forEach((card, at) => { if (this.grid.children[at] !== card) this.grid.insertBefore(card, this.grid.children[at] || null); });
    }

    card(row) {
      const known = this.cards.get(row.iteration);
      const facts = JSON.stringify([row, row.iteration === this.run.best]);
      if (known && known.facts === facts) return known.node;
      const node = known ? known.node : h("li", { class: "card", "data-iteration": row.iteration });
      ii.fill(node, cardContent(this.run, row, this.chooser(row)));
      node.classList.toggle("isbest", row.iteration === this.run.best);
      this.cards.set(row.iteration, { node, facts });
      return node;
    }

    // --- two to look at side by side --------------------------------------------------------------------------------------

    chooser(row) {
      if (row.picture === false || row.unreadable) return null;
      const box = h("input", { type: "checkbox", checked: this.chosen.includes(row.iteration), onchange: () => this.choose(row.iteration, box.checked) });
      return h("label", { class: "choose" }, box, h("span", {}, "compare"), h("span", { class: "unseen" }, ` iteration ${row.iteration}`));
    }

    /** At most two: a third takes the place of the first. */
    choose(number, wanted) {
      this.chosen = this.chosen.filter((each) => each !== number).concat(wanted ? [number] : []);
      if (this.chosen.length > 2) {
        const [dropped] = this.chosen.splice(0, 1);
        const box = this.cards.get(dropped).node.querySelector("input");
        if (box) box.checked = false;
      }
      const [one, other] = [...this.chosen].sort((a, b) => a - b);
      this.tray.hidden = !this.chosen.length;
      ii.fill(this.tray, other === undefined ? `Iteration ${one}: choose another one to compare it with.`
        : h("a", { class: "button", href: ii.link(this.run.project, this.run.id, one, other) }, `Compare ${one} and ${other}`));
    }
  }

  function status(run) {
    const { head } = run;
    const totals = head.totals || {};
    const usage = totals.usage || {};
    const cost = typeof usage.cost === "number" ? `, ${usage.cost.toFixed(4)} USD` : "";
    const count = run.running ? `iteration ${run.last} of ${head.max_iterations}` : ii.plural(run.last, "iteration");
    return h("p", { class: "row status" }, ii.stateBadge(head),
      h("span", {}, `${count}, started ${ii.moment(head.started_at)}`),
      h("span", {}, `pictures and answers took ${ii.duration(totals.seconds)}, ${ii.plural(usage.requests || 0, "vision call")}${cost}`),
      totals.failed ? h("span", {}, `${totals.failed} failed`) : null,
      h("a", { class: "button", href: ii.link(run.project, run.id, "rank") }, head.ranking ? "See the ranking" : "Rank the pictures"));
  }

  function summary(run, place) {
    const best = run.best ? run.row(run.best) : null;
    return h("div", { class: "hero" },
      h("figure", {}, ii.shapedBy(place, ii.picture(run.files.original, "The original"), (shape) => { run.shape = shape; }), h("figcaption", {}, "original")),
      best ? h("figure", {}, h("a", { href: ii.link(run.project, run.id, best.iteration) }, ii.picture(run.image(best.iteration), `Best so far: iteration ${best.iteration}`)),
        h("figcaption", {}, `★ iteration ${best.iteration}, score ${ii.score(best)}`))
        : h("figure", {}, h("div", { class: "nopicture" }, "no picture yet")));
  }

  /** Each criterion: how often it was met, and whether the best picture meets it. */
  function tally(run) {
    const judged = run.list().filter((row) => row.source === "aivis");
    const best = run.best ? run.row(run.best) : null;
    return {
      best: run.best,
      judged: judged.length,
      criteria: run.criteria.map(({ field, question, intent }) => ({ field, question, intent, best: best && ii.result(best, field), met: judged.filter((row) => row.results[field] === true).length })),
    };
  }

  const criteriaHead = ({ best, criteria }) => (criteria.length ? h("h2", {}, "Criteria", best && h("small", {}, ` in the best picture, iteration ${best}`)) : null);

  function criteriaSummary({ best, judged, criteria }) {
    const met = criteria.filter((each) => each.best === true).length;
    const never = judged ? criteria.filter((each) => !each.met).length : 0;
    return [h("h2", {}, ii.plural(criteria.length, "criterion", "criteria")), best ? h("span", {}, `${met} met in the best picture, iteration ${best}`) : null,
      never ? h("span", { class: "unmet" }, `${never} never met`) : null];
  }

  /** Never met comes first to mind, so it says so. */
  function criteriaList({ best, judged, criteria }) {
    if (!criteria.length) return null;
    const line = ({ field, question, intent, best: verdict, met }) => h("li", { class: judged && !met ? "never" : "" }, best && ii.mark(verdict, field),
      h("span", {}, h("b", {}, field), intent ? h("small", {}, ` ${intent}`) : null, h("span", { class: "question" }, question)),
      h("span", { class: "tally" }, judged ? (met ? `met in ${met} of ${judged}` : "never met") : ""));
    return h("ul", { class: "criteria" }, criteria.map(line));
  }

  function cardContent(run, row, chooser) {
    const used = row.parameters;
    return [
      h("a", { class: "see", href: ii.link(run.project, run.id, row.iteration) }, ii.rowPicture(run, row),
        h("span", { class: "row name" }, h("b", {}, `Iteration ${row.iteration}`), h("span", { class: "score" }, h("span", { class: "unseen" }, "score "), ii.score(row)))),
      h("p", { class: "row" }, ii.rowBadges(run, row), ii.confirmed(row)),
      run.criteria.length && row.source ? h("ul", { class: "marks", "aria-label": "Criteria" }, run.criteria.map(({ field }) => h("li", {}, ii.mark(ii.result(row, field), field)))) : null,
      row.error ? h("p", { class: "error" }, row.error) : null,
      h("dl", { class: "small facts" }, [["denoise", used.denoise], ["cfg", used.cfg], ["seed", used.seed], ["similarity", row.similarity], ["calls", row.looks > 0 ? row.requests : null]]
        .filter(([, value]) => value !== undefined && value !== null)
        .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, name === "seed" ? String(value) : ii.number(value, 3))))),
      chooser,
    ];
  }
})();
