"use strict";
// The page's own words for the DOM. What a model or a file says becomes a text node or an attribute, never markup.
(() => {
  const ii = (window.imagination = window.imagination || {});
  const SVG = "http://www.w3.org/2000/svg";

  function dress(node, props, children) {
    for (const [name, value] of Object.entries(props || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name === "style") for (const [key, each] of Object.entries(value)) node.style.setProperty(key, each);
      else node.setAttribute(name, value === true ? "" : String(value));
    }
    node.append(...shown(children));
    return node;
  }

  const shown = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

  /** An element: `h("a", {href: "#/"}, "text", [more])`; `on…` are listeners; empty props and children are left out. */
  ii.h = (tag, props, ...children) => dress(document.createElement(tag), props, children);

  /** The same for SVG. */
  ii.svg = (tag, props, ...children) => dress(document.createElementNS(SVG, tag), props, children);

  /** Give a node these children in place of the ones it has. */
  ii.fill = (node, ...children) => node.replaceChildren(...shown(children));

  const filled = new WeakMap();

  /**
   * Fill a node, but only when the facts behind it have changed: what is selected or loaded in it stays otherwise.
   * A link or button that has the focus keeps it, or the one like it gets it.
   */
  ii.refill = (node, facts, children) => {
    const now = JSON.stringify(facts);
    if (filled.get(node) === now) return;
    filled.set(node, now);
    const held = node.contains(document.activeElement) ? document.activeElement : null;
    ii.fill(node, children());
    if (held) [...node.querySelectorAll("a[href], button, [tabindex=\"0\"]")].find((each) => each === held || alike(each, held))?.focus({ preventScroll: true });
  };

  const alike = (one, other) => one.getAttribute("href") === other.getAttribute("href") && one.textContent === other.textContent;

  /** A value kept for this browser; where storage is shut off, nothing is kept and nothing breaks. */
  ii.keep = {
    get(key) {
      try { return JSON.parse(window.localStorage.getItem(`imagination ${key}`)); } catch { return null; }
    },
    set(key, value) {
      try {
        if (value === null) window.localStorage.removeItem(`imagination ${key}`);
        else window.localStorage.setItem(`imagination ${key}`, JSON.stringify(value));
        return true;
      } catch { return false; }
    },
  };

  /** Tell people who cannot see the change. */
  ii.announce = (text) => {
    const place = document.getElementById("announce");
    place.textContent = "";
    window.setTimeout(() => { place.textContent = text; }, 50);  // the same text twice is a change only when it was empty between
  };
})();
