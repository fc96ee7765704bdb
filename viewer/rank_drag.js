"use strict";
// Drag and drop with pointer events, so that it works by touch as well: a grip takes hold, a line shows where it goes.
(() => {
  const ii = window.imagination;
  const EDGE = 70;  // px at the top and bottom of the window where the page begins to scroll
  const SPEED = 14;  // px a frame, at most
  const START = 6;  // px after which a press on a picture is a drag

  /** Items dropped within `list` are placed: `place(number, index)`, the index counted without the item itself. */
  ii.rankDrag = (list, { place }) => {
    const line = ii.h("li", { class: "line", "aria-hidden": "true" });

    /** Where among the others of the list a point is; null when it is not near the list. */
    function indexAt(x, y, number) {
      const frame = list.parentElement.getBoundingClientRect();
      if (x < frame.left - 40 || x > frame.right + 40 || y < frame.top - 80 || y > frame.bottom + 80) return null;
      const others = [...list.children].filter((each) => each !== line && Number(each.dataset.iteration) !== number);
      const below = others.findIndex((each) => { const { top, height } = each.getBoundingClientRect(); return y < top + height / 2; });
      return { index: below < 0 ? others.length : below, before: below < 0 ? null : others[below] };
    }

    /** From now until it is let go. */
    function hold(grip, node, number, down) {
      grip.setPointerCapture(down.pointerId);
      let [x, y] = [down.clientX, down.clientY];
      let target = null;
      let frame = 0;
      const ghost = shadow(node, x, y);
      const draw = () => {
        ghost.move(x, y);
        target = indexAt(x, y, number);
        if (!target) line.remove();
        else if (line.nextElementSibling !== target.before || line.parentElement !== list) list.insertBefore(line, target.before);
      };
      const scroll = () => {
        const up = Math.max(0, EDGE - y);
        const by = up ? -up : Math.max(0, y - (window.innerHeight - EDGE));
        if (by) { window.scrollBy({ top: Math.max(-SPEED, Math.min(SPEED, by / 4)), behavior: "instant" }); draw(); }
        frame = window.requestAnimationFrame(scroll);
      };
      const move = (event) => { [x, y] = [event.clientX, event.clientY]; draw(); };
      const end = (drop) => {
        window.cancelAnimationFrame(frame);
        for (const [name, act] of Object.entries(acts)) grip.removeEventListener(name, act);
        window.removeEventListener("keydown", escape, true);
        ghost.remove();
        line.remove();
        node.classList.remove("held");
        if (drop && target) place(number, target.index);
      };
      const acts = { pointermove: move, pointerup: () => end(true), pointercancel: () => end(false) };
      const escape = (event) => { if (event.key === "Escape") { event.stopPropagation(); end(false); } };
      for (const [name, act] of Object.entries(acts)) grip.addEventListener(name, act);
      window.addEventListener("keydown", escape, true);
      node.classList.add("held");
      frame = window.requestAnimationFrame(scroll);
    }

    /** The grip takes hold at once, by mouse, pen and finger. */
    function grip(handle, node, number) {
      handle.addEventListener("pointerdown", (down) => {
        if (down.button) return;
        down.preventDefault();
        handle.focus();
        hold(handle, node, number, down);
      });
    }

    /** The picture is taken by the mouse, once it moves: a click still looks at it, and a finger still scrolls. */
    function picture(button, node, number) {
      let dragged = false;
      button.addEventListener("dragstart", (event) => event.preventDefault());
      button.addEventListener("click", (event) => { if (dragged) event.stopImmediatePropagation(); dragged = false; }, true);
      button.addEventListener("pointerdown", (down) => {
        dragged = false;
        if (down.button || down.pointerType !== "mouse") return;
        const move = (event) => {
          if (Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < START) return;
          stop();
          dragged = true;
          window.addEventListener("pointerup", () => window.setTimeout(() => { dragged = false; }), { once: true, capture: true });
          hold(button, node, number, event);
        };
        const stop = () => { window.removeEventListener("pointermove", move); window.removeEventListener("pointerup", stop); };
        window.addEventListener("pointermove", move);
        window.addEventListener("pointerup", stop);
      });
    }

    return { grip, picture };
  };

  /** A small copy of the picture that follows the pointer. */
  function shadow(node, x, y) {
    const image = node.querySelector("img");
    const ghost = ii.h("div", { class: "ghost", "aria-hidden": "true" }, image ? image.cloneNode() : node.dataset.iteration);
    document.body.append(ghost);
    const move = (left, top) => { ghost.style.transform = `translate(${left + 12}px, ${top + 12}px)`; };
    move(x, y);
    return { move, remove: () => ghost.remove() };
  }
})();
