"use strict";
// A human order of iterations: pure. A state is {ranked: [numbers, best first], notes: {number: text}}; acts give a new one.
(() => {
  const ii = window.imagination;

  const EMPTY = Object.freeze({ ranked: Object.freeze([]), notes: Object.freeze({}) });
  const number = (text) => (typeof text === "string" && /^[1-9]\d{0,8}$/.test(text) ? Number(text) : Number.isInteger(text) && text > 0 ? text : null);

  const order = (ii.order = {
    EMPTY,

    /** From ranking.json: {state, gone}; `gone` are iterations for which `known(number)` is false: they are left out. */
    read(data, known) {
      const entries = Array.isArray(data && data.ranking) ? data.ranking.map(number).filter(Boolean) : [];
      const ranked = [...new Set(entries)];
      const told = data && typeof data.notes === "object" && !Array.isArray(data.notes) ? data.notes : {};
      const notes = Object.entries(told || {}).filter(([key, text]) => number(key) && typeof text === "string" && text);
      return {
        state: { ranked: ranked.filter(known), notes: Object.fromEntries(notes.filter(([key]) => known(number(key)))) },
        gone: ranked.filter((each) => !known(each)),
      };
    },

    /** The shape of the specification; `at` is in seconds since 1970. */
    write: ({ ranked, notes }, at) => ({ ranking: ranked.map(String), notes: { ...notes }, updated_at: at }),

    /** With an iteration at a place of the ranking, from 0; it leaves the place it had. */
    place({ ranked, notes }, iteration, at) {
      const others = ranked.filter((each) => each !== iteration);
      const index = Math.min(Math.max(0, at), others.length);
      return { ranked: [...others.slice(0, index), iteration, ...others.slice(index)], notes };
    },

    /** Out of the ranking; its note stays. */
    remove: ({ ranked, notes }, iteration) => ({ ranked: ranked.filter((each) => each !== iteration), notes }),

    note({ ranked, notes }, iteration, text) {
      const others = Object.fromEntries(Object.entries(notes).filter(([key]) => key !== String(iteration)));
      return { ranked, notes: text.trim() ? { ...others, [iteration]: text } : others };
    },

    same: (one, other) => JSON.stringify([one.ranked, sorted(one.notes)]) === JSON.stringify([other.ranked, sorted(other.notes)]),
  });

  const sorted = (notes) => Object.entries(notes).sort(([one], [other]) => one - other);

  /** States with undo and redo. Acts of the same `kind` in a row (typing in one note) are one step. */
  order.History = class {
    constructor(state) { this.reset(state); }

    reset(state) { Object.assign(this, { now: state, past: [], future: [], kind: null }); }

    act(state, kind = null) {
      if (order.same(state, this.now)) return false;
      if (kind === null || kind !== this.kind) this.past.push(this.now);
      Object.assign(this, { now: state, future: [], kind });
      return true;
    }

    undo() { return this.#step("past", "future"); }

    redo() { return this.#step("future", "past"); }

    #step(from, to) {
      if (!this[from].length) return false;
      this[to].push(this.now);
      Object.assign(this, { now: this[from].pop(), kind: null });
      return true;
    }
  };

  /** "Which is better?": puts `candidates` into a ranking by binary insertion, few comparisons for each. */
  order.Duel = class {
    constructor(ranked, candidates) {
      this.ranked = [...ranked];
      this.waiting = candidates.filter((each) => !ranked.includes(each));
      if (!this.ranked.length && this.waiting.length) this.ranked.push(this.waiting.shift());
      this.#next();
    }

    /** The two to compare, as [new one, one that has its place]; null at the end. */
    get pair() { return this.candidate === undefined ? null : [this.candidate, this.ranked[this.middle]]; }

    get middle() { return (this.low + this.high) >> 1; }

    /** Comparisons that are left at most. */
    get left() {
      if (!this.pair) return 0;
      const rounds = (count) => Math.ceil(Math.log2(count + 1));
      const later = this.waiting.map((_, at) => rounds(this.ranked.length + 1 + at));
      return later.reduce((sum, each) => sum + each, rounds(this.high - this.low));
    }

    /** The answer: "new", "placed", or "equal", which puts the new one right behind. True when it has found its place. */
    answer(better) {
      if (better === "new") this.high = this.middle;
      else if (better === "placed") this.low = this.middle + 1;
      else this.low = this.high = this.middle + 1;
      if (this.low < this.high) return false;
      this.ranked.splice(this.low, 0, this.candidate);
      this.#next();
      return true;
    }

    #next() {
      this.candidate = this.waiting.shift();
      Object.assign(this, { low: 0, high: this.ranked.length });
    }
  };
})();
