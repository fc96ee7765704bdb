"use strict";
// The ranking page: iterations in order of suitability, by mouse, touch or keyboard alone, with notes, undo and comparisons.
(() => {
  const ii = window.imagination;
  const { h, order } = ii;

  ii.views.rank = ({ project, run: id }) => {
    const run = ii.run(project, id);
    const page = new Page(run);
    const look = async () => { if (await run.refresh()) page.show(); };
    const ready = (async () => { await run.refresh(); await page.open(); })();
    const stop = ii.follow(look, () => run.running);
    return { node: page.node, ready, close: () => { stop(); page.close(); } };
  };

  class Page {
    constructor(run) {
      Object.assign(this, { run, history: new order.History(order.EMPTY), items: new Map(), fresh: true });
      this.bars = h("div", {});
      this.list = h("ol", { class: "ranked", "aria-label": "Ranking, best first" });
      this.pool = h("ul", { class: "pool cards", "aria-label": "Not ranked" });
      this.status = h("p", { class: "saved", role: "status" });
      this.buttons = {
        undo: h("button", { type: "button", onclick: () => this.undo() }, "↶ Undo"),
        redo: h("button", { type: "button", onclick: () => this.redo() }, "↷ Redo"),
        duel: h("button", { type: "button", class: "primary", onclick: () => this.compare() }, "Which is better?"),
        folder: h("button", { type: "button", onclick: () => this.saver.grant() }, "Save in the project folder…"),
        download: h("button", { type: "button", onclick: () => this.saver.download() }, "Download ranking.json"),
      };
      this.empty = ii.empty("Nothing is ranked yet. Drag pictures here, press “Rank”, or let “Which is better?” ask you about two at a time.");
      this.duel = h("section", { class: "duel", "aria-label": "Which is better?", hidden: true });
      this.body = h("div", { class: "ranking" }, h("section", {}, h("h2", {}, "Best first"), this.empty, this.list), h("section", {}, h("h2", {}, "Not ranked"), this.pool));
      this.node = h("div", {}, ii.heading("Ranking ", h("small", {}, run.id)), h("div", { class: "row tools" }, Object.values(this.buttons), this.status), this.bars, this.duel, this.body);
      this.saver = new ii.RankSaver(run, { changed: () => this.showSaver(), take: (data) => this.take(data), current: () => this.history.now });
      this.drag = ii.rankDrag(this.list, { place: (number, at) => this.act(order.place(this.history.now, number, at), `Iteration ${number} is now number ${at + 1}`) });
      this.keys = (event) => this.shortcut(event);
      document.addEventListener("keydown", this.keys);
    }

    close() {
      document.removeEventListener("keydown", this.keys);
      this.saver.close();
    }

    get rankable() { return this.run.list().filter((row) => row.picture !== false && !row.unreadable); }

    async open() {
      if (!this.run.head) { ii.fill(this.node, ii.heading("Ranking"), ii.empty(`There is no run ${this.run.id} of ${this.run.project} here.`)); return; }
      await this.saver.open();
      this.show();
    }

    /** A ranking from outside takes the place of what is here. */
    take(data) {
      const known = new Set(this.rankable.map((row) => row.iteration));
      const { state, gone } = order.read(data, (number) => known.has(number));
      this.history.reset(state);
      this.saver.gone = gone;
      this.fresh = true;
      this.show();
    }

    act(state, told, kind = null) {
      if (!this.history.act(state, kind)) return;
      if (told) ii.announce(told);
      this.saver.touched();
      this.show();
    }

    undo() { if (this.history.undo()) this.turned("Undone"); }

    redo() { if (this.history.redo()) this.turned("Done again"); }

    turned(told) {
      ii.announce(told);
      this.fresh = true;
      this.saver.touched();
      this.show();
    }

    shortcut(event) {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.closest("textarea, input")) return;
      event.preventDefault();
      if (event.shiftKey) this.redo();
      else this.undo();
    }

    // --- drawing ----------------------------------------------------------------------------------------------------------

    show() {
      if (!this.run.head) return;
      const { ranked } = this.history.now;
      const rows = new Map(this.rankable.map((row) => [row.iteration, row]));
      const others = [...rows.values()].filter((row) => !ranked.includes(row.iteration))
        .sort((a, b) => (b.score ?? -1) - (a.score ?? -1) || a.iteration - b.iteration);
      const focused = document.activeElement;
      arrange(this.list, ranked.map((number, at) => this.item(this.run.row(number), at, ranked.length)));
      arrange(this.pool, others.map((row) => this.poolItem(row)));
      this.pool.classList.toggle("long", others.length > ii.LONG);
      if (focused && focused !== document.activeElement && focused.isConnected) focused.focus();  // moving a node takes its focus
      this.empty.hidden = ranked.length > 0;
      this.buttons.undo.disabled = !this.history.past.length;
      this.buttons.redo.disabled = !this.history.future.length;
      this.buttons.duel.disabled = !this.duel.hidden || ranked.length + others.length < 2 || !others.length;
      this.fresh = false;
      this.showSaver();
    }

    showSaver() {
      const { saver } = this;
      this.status.textContent = saver.told;
      this.buttons.folder.hidden = !saver.canGrant;
      this.buttons.download.hidden = !ii.fromDisk;
      ii.fill(this.bars, saver.bars());
    }

    item(row, at, count) {
      const number = row.iteration;
      const node = this.kept(`ranked ${number}`, () => this.newItem(number));
      const parts = node.parts;
      parts.place.textContent = `${at + 1}`;
      ii.fill(parts.score, "score ", ii.score(row));
      ii.fill(parts.badges, ii.rowBadges(this.run, row));
      parts.up.disabled = parts.top.disabled = at === 0;
      parts.down.disabled = at === count - 1;
      parts.grip.setAttribute("aria-label", `Iteration ${number}, number ${at + 1} of ${count}. Space picks it up, arrows move it`);
      const note = this.history.now.notes[number] || "";
      if (parts.note.value !== note && (this.fresh || document.activeElement !== parts.note)) parts.note.value = note;
      return node;
    }

    newItem(number) {
      const at = () => this.history.now.ranked.indexOf(number);
      const move = (to, told) => () => this.act(order.place(this.history.now, number, to()), told || `Iteration ${number} is now number ${to() + 1}`);
      const button = (sign, label, act) => h("button", { type: "button", class: "small", "aria-label": `${label} iteration ${number}`, title: label, onclick: act }, sign);
      const parts = {
        place: h("b", { class: "place" }), score: h("span", { class: "score" }), badges: h("span", { class: "row" }),
        grip: h("button", { type: "button", class: "grip" }, "⠿"),
        up: button("↑", "Move up", () => this.shift(number, -1)), down: button("↓", "Move down", () => this.shift(number, 1)),
        top: button("Top", "Move to the top", move(() => 0)),
        out: button("✕", "Take out of the ranking", () => this.remove(number)),
        note: h("textarea", { rows: 2, placeholder: "What is good or bad about it? It helps the next run.", "aria-label": `Note on iteration ${number}`, maxlength: 5000 }),
      };
      parts.note.addEventListener("input", () => this.act(order.note(this.history.now, number, parts.note.value), "", `note ${number}`));
      parts.note.addEventListener("blur", () => this.saver.flush());
      const node = h("li", { class: "item", "data-iteration": number }, parts.grip, parts.place, this.thumb(number),
        h("div", { class: "about" }, h("div", { class: "row" }, h("b", {}, `Iteration ${number}`), parts.score, parts.badges), parts.note,
          h("div", { class: "row acts" }, parts.up, parts.down, parts.top, parts.out)));
      this.drag.grip(parts.grip, node, number);
      this.drag.picture(node.querySelector(".look"), node, number);
      this.pickable(parts.grip, number, at);
      return Object.assign(node, { parts });
    }

    poolItem(row) {
      const number = row.iteration;
      const node = this.kept(`pool ${number}`, () => {
        const score = h("span", { class: "score" });
        const grip = h("button", { type: "button", class: "grip", tabindex: "-1", "aria-hidden": "true" }, "⠿");
        const add = h("button", { type: "button", class: "small", "aria-label": `Rank iteration ${number}`, onclick: () => this.add(number) }, "Rank");
        const made = h("li", { class: "card", "data-iteration": number }, this.thumb(number),
          h("div", { class: "row name" }, grip, h("span", {}, h("b", {}, `Iteration ${number}`), score)), add);
        this.drag.grip(grip, made, number);
        this.drag.picture(made.querySelector(".look"), made, number);
        return Object.assign(made, { parts: { score, add } });
      });
      node.parts.score.textContent = `score ${ii.score(row)}`;
      return node;
    }

    kept(key, make) {
      if (!this.items.has(key)) this.items.set(key, make());
      return this.items.get(key);
    }

    thumb(number) {
      const row = this.run.row(number);
      return h("button", { type: "button", class: "look", "aria-label": `Look at iteration ${number}`, onclick: () => ii.lightbox(this.run.image(number), `Iteration ${number}`) }, ii.rowPicture(this.run, row));
    }

    // --- acts -------------------------------------------------------------------------------------------------------------

    add(number) {
      const next = this.items.get(`pool ${number}`).nextElementSibling;
      const { ranked } = this.history.now;
      this.act(order.place(this.history.now, number, ranked.length), `Iteration ${number} is now number ${ranked.length + 1}`);
      if (next && next.parts) next.parts.add.focus();
    }

    remove(number) {
      const next = this.items.get(`ranked ${number}`).nextElementSibling;
      this.act(order.remove(this.history.now, number), `Iteration ${number} is no longer ranked`);
      (next && next.parts ? next.parts.grip : this.buttons.undo).focus();
    }

    shift(number, by) {
      const to = this.history.now.ranked.indexOf(number) + by;
      if (to < 0 || to >= this.history.now.ranked.length) return;
      this.act(order.place(this.history.now, number, to), `Iteration ${number} is now number ${to + 1}`);
      const { up, down } = this.items.get(`ranked ${number}`).parts;
      if (document.activeElement === document.body) (by < 0 ? down : up).focus();  // the button used has become useless
    }

    /** By keyboard: Space takes hold, arrows carry, Space puts down, Escape puts back. One step for undo. */
    pickable(grip, number, at) {
      let from = null;
      const end = (told) => { from = null; grip.setAttribute("aria-pressed", "false"); this.history.kind = null; ii.announce(told); };
      const carry = (to) => {
        if (to < 0 || to >= this.history.now.ranked.length) return;
        this.act(order.place(this.history.now, number, to), `number ${to + 1} of ${this.history.now.ranked.length}`, `carry ${number}`);
        grip.focus();
      };
      const acts = { ArrowUp: () => carry(at() - 1), ArrowDown: () => carry(at() + 1), Home: () => carry(0), End: () => carry(this.history.now.ranked.length - 1) };
      grip.setAttribute("aria-pressed", "false");
      grip.addEventListener("keydown", (event) => {
        if (event.key === " " || event.key === "Enter") {
          event.preventDefault();
          if (from === null) { from = at(); grip.setAttribute("aria-pressed", "true"); ii.announce(`Iteration ${number} is picked up, number ${from + 1}. Arrows move it, Space puts it down, Escape puts it back`); }
          else end(`Iteration ${number} is put down as number ${at() + 1}`);
        } else if (from !== null && event.key === "Escape") {
          carry(from);
          end(`Iteration ${number} is back where it was`);
        } else if (from !== null && acts[event.key]) {
          event.preventDefault();
          acts[event.key]();
        }
      });
      grip.addEventListener("blur", () => { window.setTimeout(() => { if (from !== null && document.activeElement !== grip) end(`Iteration ${number} is put down as number ${at() + 1}`); }); });
    }

    // --- two at a time ----------------------------------------------------------------------------------------------------

    compare() {
      const { ranked } = this.history.now;
      const pool = [...this.pool.children].map((node) => Number(node.dataset.iteration));
      const duel = new order.Duel(ranked, pool);
      const answer = (better) => {
        if (duel.answer(better)) this.keep(duel);
        draw();
      };
      const stop = () => {
        this.duel.hidden = true;
        this.body.hidden = false;
        this.show();
        this.buttons.duel.focus();
      };
      const side = (number, better) => h("figure", {}, h("button", { type: "button", class: "choice", "aria-label": `Iteration ${number} is better`, onclick: () => answer(better) }, ii.picture(this.run.image(number), `Iteration ${number}`)), h("figcaption", {}, `Iteration ${number}, score ${ii.score(this.run.row(number))}`));
      const draw = () => {
        if (!duel.pair) { stop(); return; }
        const [fresh, placed] = duel.pair;
        ii.fill(this.duel, h("h2", { tabindex: "-1" }, "Which is better?"),
          h("div", { class: "two" }, side(fresh, "new"), side(placed, "placed")),
          h("p", { class: "row" }, h("button", { type: "button", onclick: () => answer("equal") }, "Can't tell"), h("button", { type: "button", onclick: stop }, "Stop here"),
            h("span", { class: "hint" }, `At most ${ii.plural(duel.left, "comparison")} left. Keys: ← → choose, ↓ can't tell, Escape stops.`)));
        this.duel.querySelector("h2").focus({ preventScroll: true });
      };
      this.duel.onkeydown = (event) => {
        const acts = { ArrowLeft: () => answer("new"), ArrowRight: () => answer("placed"), ArrowDown: () => answer("equal"), Escape: stop };
        if (!acts[event.key]) return;
        event.preventDefault();
        acts[event.key]();
      };
      this.duel.hidden = false;
      this.body.hidden = true;
      if (!ranked.length) this.keep(duel);
      draw();
    }

    /** What is known of the order so far is the ranking: stopping loses nothing. */
    keep(duel) { this.act({ ranked: [...duel.ranked], notes: this.history.now.notes }); }
  }

  /** Put these children, in this order, into a node, moving as few as possible. */
  function arrange(node, children) {
    const keep = new Set(children);
    for (const child of [...node.children]) if (!keep.has(child)) child.remove();
    children.forEach((child, at) => { if (node.children[at] !== child) node.insertBefore(child, node.children[at] || null); });
  }

  /** A picture as large as the window. */
  ii.lightbox = (src, alt) => {
    const box = h("dialog", { class: "lightbox", "aria-label": alt, onclick: () => box.close(), onclose: () => box.remove() },
      ii.picture(src, alt), h("button", { type: "button", class: "small", onclick: () => box.close() }, "Close"));
    document.body.append(box);
    box.showModal();
  };
})();
