"use strict";
// The address decides what is shown: #/ projects, #/P runs, #/P/RUN one run, #/P/RUN/N an iteration, #/P/RUN/N/M two,
// #/P/RUN/rank the ranking. No address: the newest run.
(() => {
  const ii = window.imagination;
  const { h } = ii;
  const main = document.getElementById("main");

  /** Where an address leads: {view, …names}. What is no address of ours leads to the list. */
  ii.route = (hash) => {
    const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
    const [project, run, iteration, other, ...more] = path.split("/").filter(Boolean).map(decoded);
    const names = { project, run, iteration, other, query };
    if (!project || more.length) return { view: "projects" };
    if (/^\./.test(project) || /^\./.test(run)) return { view: "projects" };  // `..` in a file's address would lead out of projects/
    if (!run) return { view: "project", ...names };
    if (!iteration) return { view: "run", ...names };
    if (iteration === "rank" && !other) return { view: "rank", ...names };
    const numbers = [iteration, other].filter((each) => each !== undefined);
    if (!numbers.every((each) => /^[1-9]\d{0,6}$/.test(each))) return { view: "run", ...names };
    return { view: other ? "pair" : "iteration", ...names };
  };

  function decoded(name) {
    try { return decodeURIComponent(name); } catch { return name; }
  }

  // --- showing ------------------------------------------------------------------------------------------------------------

  const places = new Map();  // address → how far down it was scrolled when it was left
  let shown = null;
  let followed = false;  // a link was clicked: the new page starts at its top. Otherwise it is Back or Forward

  async function show() {
    const hash = window.location.hash;
    if (hash === "") { await newest(); return; }
    const route = ii.route(hash);
    const leaving = shown;
    if (leaving) leaving.page.close();
    const page = ii.views[route.view](route);
    shown = { page };
    crumbs(route);
    document.title = title(route);
    const place = followed ? undefined : places.get(hash);  // taken now: filling the page scrolls it
    followed = false;
    ii.fill(main, page.node);
    await page.ready;
    if (shown.page !== page) return;
    if (place !== undefined) window.scrollTo(0, place);
    else if (leaving) {
      window.scrollTo(0, 0);
      (main.querySelector("h1") || main).focus({ preventScroll: true });
    }
  }

  async function newest() {
    const projects = await ii.readIndex();
    const run = projects && ii.newest(projects);
    window.history.replaceState(null, "", run ? ii.link(run.project, run.run_id) : "#/");
    await show();
  }

  function crumbs({ project, run, iteration, other, view }) {
    const trail = [["Projects", "#/"], project && [project, ii.link(project)], run && [run, ii.link(project, run)],
      view === "rank" && ["ranking", ""], view === "iteration" && [iteration, ""], view === "pair" && [`${iteration} and ${other}`, ""]].filter(Boolean);
    ii.fill(document.getElementById("crumbs"), trail.map(([text, href], at) =>
      h("li", {}, at === trail.length - 1 ? h("span", { "aria-current": "page" }, text) : h("a", { href }, text))));
  }

  function title({ project, run, iteration, other, view }) {
    const parts = [view === "rank" ? "ranking" : view === "pair" ? `iterations ${iteration} and ${other}` : view === "iteration" ? `iteration ${iteration}` : "", run, project].filter(Boolean);
    return [...parts, "Iterative Imagination"].join(" · ");
  }

  // --- what goes for every page -------------------------------------------------------------------------------------------

  const notice = document.getElementById("notice");
  let told = "";

  /** A newer run, or a server that has gone: said above the page, which stays as it is. */
  async function watch() {
    const projects = await ii.readIndex();
    const run = projects && ii.newest(projects);
    const route = ii.route(window.location.hash);
    if (!ii.reachable) return tell("The server does not answer. What is shown stays; it is read again when the server is back.");
    const here = route.run && projects ? projects.filter(({ project }) => project === route.project).flatMap(({ runs }) => runs).find((each) => each.run_id === route.run) : null;
    if (here && run && (run.started_at || 0) > (here.started_at || 0)) return tell("A newer run has started: ", h("a", { href: ii.link(run.project, run.run_id) }, `${run.project}, ${run.run_id}`));
    return tell();
  }

  function tell(...what) {
    const text = what.map((each) => each.textContent || each).join("");
    if (text === told) return;
    told = text;
    notice.hidden = !text;
    ii.fill(notice, what);
  }

  const THEMES = [["", "light or dark: as the system"], ["light", "light"], ["dark", "dark"]];
  const button = document.getElementById("theme");

  function theme(name) {
    const [key, label] = THEMES.find(([each]) => each === name) || THEMES[0];
    if (key) document.documentElement.dataset.theme = key;
    else delete document.documentElement.dataset.theme;
    ii.fill(button, h("span", { "aria-hidden": "true" }, key === "dark" ? "☾" : key === "light" ? "☀" : "◐"), h("span", { class: "unseen" }, `Colours: ${label}. Change`));
    button.title = `Colours: ${label}`;
  }

  button.addEventListener("click", () => {
    const at = THEMES.findIndex(([name]) => name === (ii.keep.get("theme") || ""));
    const [next] = THEMES[(at + 1) % THEMES.length];
    ii.keep.set("theme", next || null);
    theme(next);
  });
  theme(ii.keep.get("theme") || "");

  window.history.scrollRestoration = "manual";
  let left = window.location.hash;
  window.addEventListener("scroll", () => { places.set(left, window.scrollY); }, { passive: true });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (link && link.hasAttribute("data-skip")) { event.preventDefault(); main.focus(); return; }  // its address would lead away
    followed = Boolean(link);
  }, true);
  window.addEventListener("hashchange", () => { left = window.location.hash; show(); });
  show();
  ii.follow(watch, () => false);
})();
