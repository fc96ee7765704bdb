"use strict";
// When a ranking is saved, and what is said about it. Until it is saved, a draft is kept in this browser.
(() => {
  const ii = window.imagination;
  const { h, order } = ii;

  const PAUSE = 400;  // ms after an act
  const AGAIN = 5000;  // ms before another try where the server does not answer

  const clock = (at) => new Date(at * 1000).toLocaleTimeString();

  ii.RankSaver = class {
    constructor(run, { changed, take, current }) {
      Object.assign(this, { run, changed, take, current, place: ii.rankPlace(run), version: null, told: "", gone: [], timer: 0 });
      Object.assign(this, { unsaved: false, newer: null, draft: null, broken: false, saving: null });
      this.key = `ranking ${run.project}/${run.id}`;
      // another tab of this browser has saved
      this.heard = (event) => { if (event.key === `imagination saved ${this.key}`) this.lookAgain(); };
      this.leaving = (event) => { if (this.unsaved && !this.kept) event.preventDefault(); };
      this.hidden = () => { if (document.hidden) this.flush(); };
      window.addEventListener("storage", this.heard);
      window.addEventListener("beforeunload", this.leaving);
      document.addEventListener("visibilitychange", this.hidden);
    }

    close() {
      this.flush();
      window.removeEventListener("storage", this.heard);
      window.removeEventListener("beforeunload", this.leaving);
      document.removeEventListener("visibilitychange", this.hidden);
    }

    get canGrant() { return ii.fromDisk && !this.place.saves && typeof window.showDirectoryPicker === "function"; }

    /** Load what is saved; offer a draft that was left. */
    async open() {
      const found = await this.#load();
      if (found) { this.version = found.version; this.take(found.data); }
      const draft = ii.keep.get(this.key);
      if (draft && draft.data && !this.#same(draft.data)) this.draft = draft;
      if (found) this.#say(found.data ? `saved ${ii.moment(found.data.updated_at)}` : "");
    }

    async #load() {
      try {
        const found = await this.place.load();
        this.broken = Boolean(found.broken);
        return found;
      } catch (error) {
        this.#say(`The ranking could not be read: ${error.message}`);
        return null;
      }
    }

    #same(data) { return order.same(order.read(data, () => true).state, this.current()); }

    /** Something was done. */
    touched() {
      this.unsaved = true;
      this.draft = null;
      this.kept = ii.keep.set(this.key, { data: this.#data(), at: Date.now() / 1000 });
      window.clearTimeout(this.timer);
      if (!this.place.saves || this.newer || this.broken) { this.#say(this.kept ? "not saved yet: kept in this browser" : "not saved yet"); return; }
      this.#say("saving…");
      this.timer = window.setTimeout(() => this.save(), PAUSE);
    }

    /** Save at once what waits. */
    flush() { if (this.timer) this.save(); }

    #data() { return order.write(this.current(), Math.round(Date.now()) / 1000); }

    async save() {
      window.clearTimeout(this.timer);
      this.timer = 0;
      if (this.saving) { await this.saving; if (this.timer || !this.unsaved) return; }
      this.saving = this.#save();
      await this.saving;
      this.saving = null;
    }

    async #save() {
      const data = this.#data();
      const state = this.current();
      try {
        const { version, newer } = await this.place.save(data, this.version);
        if (newer) { this.newer = newer; this.#say("not saved"); return; }
        this.version = version;
        if (!order.same(state, this.current())) return;  // more was done meanwhile, and will be saved
        this.unsaved = false;
        ii.keep.set(this.key, null);
        ii.keep.set(`saved ${this.key}`, data.updated_at);
        this.#say(`saved ${clock(data.updated_at)}`);
      } catch (error) {
        const silent = error instanceof TypeError;
        this.#say(silent ? "not saved: the server does not answer, trying again" : `not saved: ${error.message}`);
        if (silent) this.timer = window.setTimeout(() => this.save(), AGAIN);
      }
    }

    /** Saved elsewhere: taken at once when nothing of ours would be lost, else asked about. */
    async lookAgain() {
      const found = await this.#load();
      if (!found || found.version === this.version) return;
      if (this.unsaved) { this.newer = found; this.changed(); return; }
      this.version = found.version;
      this.take(found.data);
      this.#say("taken from another tab");
    }

    async grant() {
      try {
        await this.place.grant();
      } catch (error) {
        if (error.name !== "AbortError") this.#say(`not saved: ${error.message}`);
        return;
      }
      const found = await this.#load();
      if (!found) return;
      const mine = this.current();
      const newer = found.data && found.version !== null && !this.#same(found.data);
      if (newer && (mine.ranked.length || Object.keys(mine.notes).length)) { this.newer = found; this.#say("not saved"); return; }
      this.version = found.version;
      if (newer) { this.take(found.data); this.#say(`saved ${ii.moment(found.data.updated_at)}`); return; }
      await this.save();
    }

    download() {
      ii.download("ranking.json", `${JSON.stringify(this.#data(), null, 2)}\n`);
      this.downloaded = true;
      this.#say("downloaded");
    }

    // --- what is asked ----------------------------------------------------------------------------------------------------

    bars() {
      const bar = (text, ...acts) => h("div", { class: "bar-ask", role: "alert" }, h("span", {}, text), acts.map(([label, act]) => h("button", { type: "button", class: "small", onclick: act }, label)));
      return [
        this.newer && bar(`A newer ranking was saved elsewhere${this.newer.data ? `, ${ii.moment(this.newer.data.updated_at)}` : ""}. `,
          ["Take that one", () => this.#settle(true)], ["Keep mine and save it over", () => this.#settle(false)]),
        this.draft && bar(`Your unsaved order from ${ii.moment(this.draft.at)}: `,
          ["Take it", () => { const { data } = this.draft; this.draft = null; this.take(data); this.touched(); this.changed(); }],
          ["Drop it", () => { this.draft = null; ii.keep.set(this.key, null); this.changed(); }]),
        this.broken && !this.newer && bar("The ranking.json that is there cannot be read. ", ["Save over it", () => { this.broken = false; this.unsaved = true; this.save(); }]),
        this.gone.length > 0 && h("p", { class: "hint" }, `Ranked, but no longer in the run: iteration ${this.gone.join(", ")}.`),
        this.downloaded && h("p", { class: "hint" }, "Put the file at ", h("code", {}, ii.rankPath(this.run)), " ", ii.copyButton("Copy path", ii.rankPath(this.run))),
      ];
    }

    #settle(theirs) {
      const found = this.newer;
      Object.assign(this, { newer: null, version: found.version, broken: false });
      if (!theirs) { this.unsaved = true; this.save(); this.changed(); return; }
      this.unsaved = false;
      ii.keep.set(this.key, null);
      this.take(found.data);
      this.#say(`saved ${found.data ? ii.moment(found.data.updated_at) : ""}`);
    }

    #say(text) {
      this.told = text;
      this.changed();
    }
  };
})();
