"use strict";
// Pieces that several pages show: marks of verdicts, pictures, prompts with their changes, things to copy.
(() => {
  const ii = window.imagination;
  const { h } = ii;

  const VERDICTS = {
    true: { sign: "✓", word: "met", kind: "pass" },
    false: { sign: "✗", word: "not met", kind: "fail" },
    null: { sign: "?", word: "not answered", kind: "open" },
  };

  /** Sign, word and class of a verdict: met, not met, or not answered. */
  ii.verdict = (value) => VERDICTS[value === true || value === false ? value : null];

  ii.mark = (value, label) => {
    const { sign, word, kind } = ii.verdict(value);
    return h("span", { class: `mark ${kind}`, title: label ? `${label}: ${word}` : word },
      h("span", { "aria-hidden": "true" }, sign), h("span", { class: "unseen" }, label ? `${label} ${word}` : word));
  };

  /** What a row says of a criterion; null where nobody judged. */
  ii.result = (row, field) => (row.source === "fallback" ? null : row.results[field]);

  const STATES = {
    running: ["running", "accent"], passed: ["passed", "pass"], exhausted: ["out of iterations", "warn"], stopped: ["stopped", "fail"],
  };
  const ENDS = { conflict: "criteria in conflict", cost: "cost limit reached", time: "time limit reached" };  // other than its iterations
  const SILENCE = 600;  // s without a sign of life after which a run may be dead

  /** Says that it goes on, but has not been heard of for long. */
  ii.isSilent = (run, now = Date.now() / 1000) => run.status === "running" && now - (run.updated_at || 0) > SILENCE;

  ii.LONG = 60;  // cards; more are laid out only as they come near, and a long run opens in half the time

  ii.badge = (text, kind) => h("span", { class: `badge ${kind}` }, text);

  /** The state of a run; one that has been silent for long is told apart. */
  ii.stateBadge = (run) => {
    const [word, kind] = STATES[run.status] || ["unknown", "open"];
    const why = run.status === "exhausted" && Object.hasOwn(ENDS, run.ended_by) ? ENDS[run.ended_by] : word;
    return ii.isSilent(run) ? ii.badge(`no news since ${ii.moment(run.updated_at)}`, "warn") : ii.badge(why, kind);
  };

  /** Badges of one iteration: best, failed, judged by nobody, by the fallback model. */
  ii.rowBadges = (run, row) => [
    row.iteration === run.best && ii.badge("★ best", "accent"),
    row.unreadable && ii.badge("record cannot be read", "warn"),
    row.status === "failed" && ii.badge("failed", "fail"),
    row.source === "fallback" && ii.badge("not judged", "warn"),
    row.using_fallback && row.source !== "fallback" && ii.badge("fallback model", "open"),
  ];

  ii.score = (row) => (typeof row.score === "number" && row.source !== "fallback" ? ii.number(row.score, 1) : "–");

  /** A picture that says so when it is not there. `size` is [width, height] where known, so that nothing jumps. */
  ii.picture = (src, alt, props = {}) => {
    const image = h("img", { src, alt, decoding: "async", ...props });
    image.addEventListener("error", () => {
      if (image.isConnected) image.replaceWith(h("span", { class: "nopicture", role: "img", "aria-label": `${alt}: the picture is missing` }, "no picture"));
    });
    return image;
  };

  /** Tell a place the shape of the pictures in it as soon as one has come: nothing is cut off, nothing has bars at its sides. */
  ii.shapedBy = (place, image, told = () => {}) => {
    image.addEventListener("load", () => {
      const shape = image.naturalWidth / image.naturalHeight;
      place.style.setProperty("--shape", shape);
      told(shape);
    });
    return image;
  };

  ii.rowPicture = (run, row) => {
    const alt = `Iteration ${row.iteration}`;
    if (row.picture === false) return h("span", { class: "nopicture" }, row.status === "failed" ? "no picture was made" : "no picture");
    return ii.picture(run.thumb(row.iteration), alt, { loading: "lazy", class: "thumb" });
  };

  // --- copying ------------------------------------------------------------------------------------------------------------

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { return copyBySelection(text); }
  }

  function copyBySelection(text) {
    const field = h("textarea", { class: "unseen", "aria-hidden": "true", tabindex: "-1" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }

  /** A button that copies a text and says that it did. */
  ii.copyButton = (label, text) => {
    const button = h("button", { type: "button", class: "small", title: text }, label);
    button.addEventListener("click", async () => {
      const done = await copy(text);
      button.textContent = done ? "Copied" : "Copying is not allowed here";
      ii.announce(button.textContent);
      button.focus();
      window.setTimeout(() => { button.textContent = label; }, 1500);
    });
    return button;
  };

  // --- prompts and numbers ------------------------------------------------------------------------------------------------

  /** A prompt with the words that came and went. */
  ii.promptChanges = (before, after) => {
    const parts = before === null ? [{ text: after, change: "same" }] : ii.wordChanges(before, after);
    const shown = parts.flatMap(({ text, change }, at) => {
      const [, comma, words] = /^(,?) ?([^]*)$/.exec(text);  // the words are marked, not what stands between them
      const marked = change === "same" || !words ? words : h(change === "added" ? "ins" : "del", {}, words);
      return [comma, (at || comma) && words ? " " : null, marked];
    });
    return h("p", { class: "prompt" }, shown.length ? shown : h("em", {}, "empty"));
  };

  ii.change = ({ before, after }) => [ii.value(before), h("span", { "aria-label": "changed to" }, " → "), h("b", {}, ii.value(after))];

  ii.value = (value) => (typeof value === "number" ? ii.number(value, 4) : value === undefined || value === null ? "–" : String(value));

  /** Two columns, name and value. */
  ii.facts = (pairs) => h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, ...value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

  ii.section = (title, ...children) => ii.panel("panel", title, ...children);

  ii.panel = (kind, title, ...children) => h("section", { class: kind }, h("h2", {}, title), children);

  ii.heading = (...children) => h("h1", { tabindex: "-1" }, children);

  ii.empty = (...children) => h("p", { class: "empty" }, children);
})();
