"use strict";
// Two pictures looked at together: with a divider, side by side, their difference, or one of them. Zoom and pan are shared.
(() => {
  const ii = window.imagination;
  const { h } = ii;

  const MODES = [["slider", "Slider"], ["side", "Side by side"], ["difference", "Difference"], ["after", "Result only"]];
  const MOST = 16;  // times
  const KEY_STEP = 40;  // px

  /**
   * The stage for `before` and `after`, each {src, label}. Keys on it: + and − zoom, arrows pan, 0 shows the whole picture.
   * The difference is blended by the browser: a page from disk may not read pixels.
   */
  ii.stage = (before, after) => {
    const view = { zoom: 1, x: 0, y: 0, split: 50, gain: 4, mode: ii.keep.get("stage") || "slider" };
    const panes = { before: pane(before, "before"), after: pane(after, "after") };
    const handle = h("span", { class: "handle", "aria-hidden": "true" });
    const box = h("div", { class: "box", tabindex: "0", role: "group", "aria-label": `Pictures: ${before.label} and ${after.label}. Plus and minus zoom, arrows move.` }, panes.before.node, panes.after.node, handle);
    const split = h("input", { type: "range", min: 0, max: 100, step: 1, value: view.split, "aria-label": `Share of the picture that shows ${before.label}, in percent` });
    const gain = h("input", { type: "range", min: 1, max: 16, step: 1, value: view.gain, "aria-label": "How much the difference is amplified" });
    const level = h("output", { class: "level" });
    const modes = h("div", { class: "modes", role: "group", "aria-label": "How to compare" }, MODES.map(([mode, label]) =>
      h("button", { type: "button", class: "small", "data-mode": mode, onclick: () => choose(mode) }, mode === "after" ? after.label : label)));
    const zooms = h("div", { class: "modes", role: "group", "aria-label": "Zoom" },
      h("button", { type: "button", class: "small", "aria-label": "Zoom out", onclick: () => zoom(1 / 1.5) }, "−"), level,
      h("button", { type: "button", class: "small", "aria-label": "Zoom in", onclick: () => zoom(1.5) }, "+"),
      h("button", { type: "button", class: "small", onclick: reset }, "Fit"));
    const dividers = h("label", { class: "range" }, h("span", {}, before.label), split, h("span", {}, after.label));
    const gains = h("label", { class: "range" }, "Amplified", gain, h("output", {}));
    const node = h("div", { class: "stage" }, h("div", { class: "row tools" }, modes, zooms), box, dividers, gains);

    function show() {
      node.dataset.mode = view.mode;
      for (const button of modes.children) button.setAttribute("aria-pressed", String(button.dataset.mode === view.mode));
      box.style.setProperty("--split", `${view.split}%`);
      box.style.setProperty("--gain", String(view.gain));
      for (const { image } of Object.values(panes)) image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
      dividers.hidden = view.mode !== "slider";
      gains.hidden = view.mode !== "difference";
      gains.lastChild.textContent = `${view.gain}×`;
      box.classList.toggle("zoomed", view.zoom > 1);
      level.textContent = `${Math.round(view.zoom * 100)} %`;
      split.value = String(view.split);
    }

    function choose(mode) {
      view.mode = mode;
      ii.keep.set("stage", mode);
      reset();
    }

    /** The size of one pane: half the box when they stand side by side. */
    const size = () => { const frame = panes.after.node.getBoundingClientRect(); return { width: frame.width, height: frame.height }; };

    function move(x, y) {
      const { width, height } = size();
      view.x = Math.min(0, Math.max(width * (1 - view.zoom), x));
      view.y = Math.min(0, Math.max(height * (1 - view.zoom), y));
      show();
    }

    /** Zoom about a point of the pane, its middle if none is given. */
    function zoom(factor, at) {
      const { width, height } = size();
      const { x, y } = at || { x: width / 2, y: height / 2 };
      const now = Math.min(MOST, Math.max(1, view.zoom * factor));
      const ratio = now / view.zoom;
      view.zoom = now;
      move(x - (x - view.x) * ratio, y - (y - view.y) * ratio);
    }

    function reset() {
      Object.assign(view, { zoom: 1, x: 0, y: 0 });
      show();
    }

    /** A point of the window within the pane it lies on; the event's target will not do, for the box holds the pointer. */
    function within(x, y) {
      const frames = [panes.after, panes.before].map(({ node: each }) => each.getBoundingClientRect());
      const frame = frames.find(({ left, right }) => x >= left && x <= right) || frames[0];
      return { x: x - frame.left, y: y - frame.top };
    }

    // --- mouse and touch --------------------------------------------------------------------------------------------------

    const held = new Map();  // pointer → where it was
    let grip = null;  // "divider" or "picture"
    box.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
      grip = view.mode === "slider" && (event.target === handle || view.zoom === 1) ? "divider" : "picture";
      box.setPointerCapture(event.pointerId);
      if (grip === "divider" && held.size === 1) divide(event);
    });
    box.addEventListener("pointermove", (event) => {
      const was = held.get(event.pointerId);
      if (!was) return;
      const now = { x: event.clientX, y: event.clientY };
      if (held.size === 2) pinch(event.pointerId, was, now);
      else if (grip === "divider") divide(event);
      else move(view.x + now.x - was.x, view.y + now.y - was.y);
      held.set(event.pointerId, now);
    });
    const release = (event) => { held.delete(event.pointerId); };
    box.addEventListener("pointerup", release);
    box.addEventListener("pointercancel", release);
    box.addEventListener("dblclick", (event) => (view.zoom > 1 ? reset() : zoom(3, within(event.clientX, event.clientY))));
    // the wheel alone scrolls the page; with Ctrl (which is how browsers report a pinch on a touchpad) it zooms
    box.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 200), within(event.clientX, event.clientY));
    }, { passive: false });

    function divide(event) {
      const frame = box.getBoundingClientRect();
      view.split = Math.round(Math.min(100, Math.max(0, ((event.clientX - frame.left) / frame.width) * 100)));
      show();
    }

    function pinch(moved, was, now) {
      const [, other] = [...held.entries()].find(([id]) => id !== moved);
      const distance = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      zoom(distance(now) / distance(was), within((now.x + other.x) / 2, (now.y + other.y) / 2));
    }

    // --- keys -------------------------------------------------------------------------------------------------------------

    const KEYS = {
      "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: reset,
      ArrowLeft: () => move(view.x + KEY_STEP, view.y), ArrowRight: () => move(view.x - KEY_STEP, view.y),
      ArrowUp: () => move(view.x, view.y + KEY_STEP), ArrowDown: () => move(view.x, view.y - KEY_STEP),
    };
    box.addEventListener("keydown", (event) => {
      const arrow = event.key.startsWith("Arrow");
      if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key] || (arrow && view.zoom === 1)) return;
      event.preventDefault();
      event.stopPropagation();  // arrows turn the page when nothing is zoomed
      KEYS[event.key]();
    });
    split.addEventListener("input", () => { view.split = Number(split.value); show(); });
    gain.addEventListener("input", () => { view.gain = Number(gain.value); show(); });
    panes.after.image.addEventListener("load", () => {
      box.style.setProperty("--ratio", `${panes.after.image.naturalWidth} / ${panes.after.image.naturalHeight}`);
      box.style.setProperty("--shape", String(panes.after.image.naturalWidth / panes.after.image.naturalHeight));
    });
    show();
    return node;
  };

  function pane({ src, label }, side) {
    const image = ii.picture(src, label, { draggable: "false" });
    return { image, node: h("div", { class: `pane ${side}` }, image, h("span", { class: "caption" }, label)) };
  }
})();
