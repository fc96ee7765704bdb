"use strict";
// Where a ranking is kept: by the server; from disk in a folder that the user grants, else as a download. It is never put
// over a newer one that this page has not seen.
(() => {
  const ii = window.imagination;

  /** A place is {load, save, label}. `load` gives {data, version, broken}; `save(data, version)` gives {version} or {newer}. */
  class Server {
    constructor(run) { this.address = run.files.ranking; }

    get saves() { return true; }

    async load() {
      const response = await fetch(this.address, { cache: "no-store" });
      if (response.status === 404) return { data: null, version: null };
      if (!response.ok) throw new Error(`the server answers ${response.status}`);
      const version = response.headers.get("ETag");
      try { return { data: JSON.parse(await response.text()), version }; } catch { return { data: null, version, broken: true }; }
    }

    async save(data, version) {
      const condition = version ? { "If-Match": version } : { "If-None-Match": "*" };
      const response = await fetch(this.address, { method: "PUT", headers: { "Content-Type": "application/json", ...condition }, body: JSON.stringify(data), keepalive: true });
      if (response.status === 412) return { newer: await this.load() };
      if (!response.ok) throw new Error((await response.text()).trim() || `the server answers ${response.status}`);
      return { version: response.headers.get("ETag") };
    }
  }

  /** From disk: what the run's script holds, and a folder once one was granted. */
  class Disk {
    constructor(run) { Object.assign(this, { run, file: null }); }

    get saves() { return Boolean(this.file); }

    async load() {
      const { head } = this.run;
      const told = { data: (head && head.ranking) || null, version: head && head.ranking_saved_at ? Math.round(head.ranking_saved_at * 1000) : null };
      if (!this.file) return told;
      const own = await this.#read();
      return own.version !== null && own.version >= (told.version || 0) - 1 ? own : told;
    }

    async #read() {
      try {
        const file = await this.file.getFile();
        const version = file.size ? file.lastModified : null;  // a file that was only just made for us
        if (version === null) return { data: null, version: null };
        try { return { data: JSON.parse(await file.text()), version }; } catch { return { data: null, version, broken: true }; }
      } catch (error) {
        if (error.name === "NotFoundError") return { data: null, version: null };
        throw error;
      }
    }

    async save(data, version) {
      const now = await this.#read();
      // the script's time has lost digits below a millisecond
      const known = now.version === null ? version === null || !this.seen : version !== null && Math.abs(now.version - version) <= 1;
      if (!known && JSON.stringify(now.data) !== this.wrote) return { newer: now };
      const stream = await this.file.createWritable();
      await stream.write(`${JSON.stringify(data, null, 2)}\n`);
      await stream.close();
      this.seen = true;
      this.wrote = JSON.stringify(data);
      return { version: (await this.#read()).version };
    }

    /** Ask for a folder and find the run in it: the workspace, projects, the project or the run itself will do. */
    async grant() {
      const folder = await window.showDirectoryPicker({ id: "imagination", mode: "readwrite" });
      const names = ["projects", this.run.project, "working", this.run.id];
      let root = null;
      for (let start = 0; start <= names.length && !root; start += 1) root = await down(folder, names.slice(start));
      if (!root) throw new Error(`the run ${this.run.id} of ${this.run.project} is not in the folder ${folder.name}`);
      const human = await root.getDirectoryHandle("human", { create: true });
      this.file = await human.getFileHandle("ranking.json", { create: true });
    }
  }

  async function down(folder, names) {
    let place = folder;
    for (const name of names) {
      try { place = await place.getDirectoryHandle(name); } catch { return null; }
    }
    // the run's own folder has its pictures in it: a folder of another name does not pass for it
    try { await place.getDirectoryHandle("inputs"); } catch { return null; }
    return place;
  }

  ii.rankPlace = (run) => (ii.fromDisk ? new Disk(run) : new Server(run));

  /** Where a download belongs, as the user's own file path where it is known. */
  ii.rankPath = (run) => {
    const relative = `projects/${run.project}/working/${run.id}/human/ranking.json`;
    if (!ii.fromDisk) return relative;
    const here = decodeURIComponent(window.location.pathname).replace(/^\/([A-Za-z]:)/, "$1");
    return `${here.split("/").slice(0, -2).join("/")}/${relative}`;
  };

  ii.download = (name, text) => {
    const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    const link = ii.h("a", { href: url, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    window.setTimeout(() => URL.revokeObjectURL(url), 10000);
  };
})();
