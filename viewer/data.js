"use strict";
// Where the run's facts come from. Opened from disk, the page may not fetch files, so they come as scripts that call
// `imagination.receive`; served, the very same files are fetched as text and only their JSON is read.
(() => {
  const ii = window.imagination;
  const FORMAT = 1;
  const ROWS = 50;  // iterations in a block script
  const fromDisk = window.location.protocol === "file:";

  ii.fromDisk = fromDisk;

  // --- addresses ----------------------------------------------------------------------------------------------------------

  /** The address of a file below projects/; every name is encoded. */
  ii.address = (...names) => `../projects/${names.map(encodeURIComponent).join("/")}`;

  ii.files = (project, run) => {
    const at = (...names) => ii.address(project, "working", run, ...names);
    return {
      head: at("run.js"),
      block: (number) => at("scripts", `block_${number}.js`),
      iteration: (number) => at("scripts", `iteration_${number}.js`),
      image: (number) => at("images", `iteration_${number}.png`),
      thumb: (number) => at("thumbs", `iteration_${number}.webp`),
      original: at("inputs", "input.png"),
      originalThumb: at("thumbs", "input.webp"),
      ranking: at("human", "ranking.json"),
    };
  };

  /** Links within the page. */
  ii.link = (...names) => `#/${names.map((name) => encodeURIComponent(String(name))).join("/")}`;

  // --- reading ------------------------------------------------------------------------------------------------------------

  const received = new WeakMap();
  let asked = 0;

  ii.receive = (data) => {
    if (document.currentScript) received.set(document.currentScript, data);
  };

  function byScript(address) {
    return new Promise((resolve) => {
      const script = document.createElement("script");
      const done = () => { script.remove(); resolve(received.get(script) || null); };
      script.addEventListener("load", done);  // fires for a script that does not parse, too
      script.addEventListener("error", done);
      asked += 1;
      script.src = `${address}?${asked}`;  // another address each time: a script that was loaded is not loaded again
      document.head.append(script);
    });
  }

  async function byFetch(address) {
    const response = await fetch(address, { cache: "no-cache" });
    if (!response.ok) return null;
    const text = await response.text();
    try { return JSON.parse(text.slice(text.indexOf("(") + 1, text.lastIndexOf(")"))); } catch { return null; }
  }

  /** Is the server there? Always, from disk. */
  ii.reachable = true;

  /** The facts in a file; null when it is not there, half-written or not of the kind. */
  ii.read = async (address, kind) => {
    let data = null;
    try {
      data = await (fromDisk ? byScript(address) : byFetch(address));
      ii.reachable = true;
    } catch { ii.reachable = false; }
    return data && typeof data === "object" && data.kind === kind && data.format === FORMAT ? data : null;
  };

  /** Every project with its runs, newest first; null where there is no index. */
  ii.readIndex = async () => {
    const index = await ii.read("../projects/index.js", "index");
    const projects = index && list(index.projects).filter((each) => each && typeof each.project === "string");
    return projects && projects.map((each) => ({ ...each, runs: list(each.runs).filter((run) => run && typeof run.run_id === "string") }));
  };

  /** The run that was touched last, as {project, run_id}. */
  ii.newest = (projects) => {
    const all = projects.flatMap(({ project, runs }) => runs.map((run) => ({ project, ...run })));
    return all.reduce((best, run) => (!best || (run.started_at || 0) > (best.started_at || 0) ? run : best), null);
  };

  const list = (value) => (Array.isArray(value) ? value : []);
  const record = (value) => (value && typeof value === "object" && !Array.isArray(value) ? value : {});

  // --- one run ------------------------------------------------------------------------------------------------------------

  class Run {
    constructor(project, id) {
      Object.assign(this, { project, id, files: ii.files(project, id), head: null, rows: new Map(), version: 0 });
      this.stamps = [];
      this.details = new Map();
    }

    /** Read what has changed since the last time; true when something has. */
    async refresh() {
      const head = await ii.read(this.files.head, "run");
      if (!head) return false;
      const stamps = list(head.blocks);
      const changed = stamps.map((_, at) => at).filter((at) => stamps[at] !== this.stamps[at]);
      const news = JSON.stringify(head) !== JSON.stringify(this.head);
      const loaded = await Promise.all(changed.map((at) => this.#block(at, stamps[at])));
      this.head = head;
      this.stamps.length = stamps.length;
      for (const number of this.rows.keys()) if (number > this.last) this.rows.delete(number);
      if (!news && !loaded.some(Boolean)) return false;
      this.version += 1;
      return true;
    }

    async #block(at, stamp) {
      const block = await ii.read(this.files.block(at + 1), "block");
      if (!block) return false;  // half-written: it comes with the next look, for its stamp is not noted
      for (let number = at * ROWS + 1; number <= (at + 1) * ROWS; number += 1) { this.rows.delete(number); this.details.delete(number); }
      for (const row of list(block.rows)) if (row && Number.isInteger(row.iteration)) this.rows.set(row.iteration, tidy(row));
      this.stamps[at] = stamp;
      return true;
    }

    get last() { return Number.isInteger(this.head && this.head.last_iteration) ? this.head.last_iteration : 0; }
    get criteria() { return list(this.head && this.head.criteria).filter((each) => each && typeof each.field === "string"); }
    get questions() { return list(this.head && this.head.questions).filter((each) => each && typeof each.field === "string"); }
    get best() { return this.head ? this.head.best_iteration : null; }
    get running() { return Boolean(this.head) && this.head.status === "running"; }

    /** Every iteration, oldest first; one whose record cannot be read is there, and says so. */
    list() {
      return Array.from({ length: this.last }, (_, at) => this.row(at + 1));
    }

    row(number) {
      return this.rows.get(number) || tidy({ iteration: number, unreadable: true });
    }

    /** Where its picture lies; when it was made again this is another address, since a browser goes on showing what it has for the old one. */
    image(number) { return this.files.image(number) + this.#made(number); }

    thumb(number) { return this.files.thumb(number) + this.#made(number); }

    #made(number) {
      const { timestamp } = this.row(number);
      return typeof timestamp === "number" ? `?${timestamp}` : "";
    }

    /** All that is known of one iteration; null when it cannot be read. */
    async detail(number) {
      if (!this.details.has(number)) {
        const found = await ii.read(this.files.iteration(number), "iteration");
        if (!found || !found.metadata || found.metadata.iteration !== number) return null;
        this.details.set(number, tidyDetail(found));
      }
      return this.details.get(number);
    }
  }

  const tidy = (row) => ({ ...row, results: record(row.results), parameters: record(row.parameters) });

  function tidyDetail(found) {
    const metadata = record(found.metadata);
    return {
      metadata,
      parameters: record(metadata.parameters_used),
      prompts: record(metadata.prompts_used),
      decision: list(metadata.decision).map(record),
      timings: record(metadata.timings),
      usage: record(metadata.usage),
      answers: record(record(found.questions).answers),
      evaluation: found.evaluation ? { ...record(found.evaluation), values: record(found.evaluation.values), reasons: record(found.evaluation.reasons), results: record(found.evaluation.criteria_results), unanswered: list(found.evaluation.unanswered), votes: ii.readVotes(found.evaluation.votes), posteriors: ii.readChances(found.evaluation.posteriors) } : null,
      comparison: found.comparison ? { ...record(found.comparison), differences: list(found.comparison.differences) } : null,
    };
  }

  const runs = new Map();

  /** The run of this name, kept so that Back shows it at once. */
  ii.run = (project, id) => {
    const key = JSON.stringify([project, id]);
    if (!runs.has(key)) runs.set(key, new Run(project, id));
    return runs.get(key);
  };

  // --- following ----------------------------------------------------------------------------------------------------------

  const SOON = 2000;  // ms between looks at a run that goes on
  const LATER = 10000;  // ms for everything else, and for a page nobody looks at

  /** Call `look` again and again, sooner while `busy()`; returns what ends it. */
  ii.follow = (look, busy) => {
    let timer = 0;
    let over = false;
    const next = (first) => { timer = over ? 0 : window.setTimeout(turn, (first || busy()) && !document.hidden ? SOON : LATER); };
    const turn = async () => { await look(); next(); };
    const back = () => { if (!document.hidden && timer) { window.clearTimeout(timer); timer = 0; turn(); } };
    document.addEventListener("visibilitychange", back);
    next(true);  // whether it goes on is known only once it was read
    return () => { over = true; window.clearTimeout(timer); document.removeEventListener("visibilitychange", back); };
  };
})();
