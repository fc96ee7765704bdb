"use strict";
// Numbers, times and prompts as people read them. Pure.
(() => {
  const ii = window.imagination;

  const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

  /** A number without needless digits, or a dash. */
  ii.number = (value, digits = 2) => (isNumber(value) ? String(Number(value.toFixed(digits))) : "–");

  /** Seconds as `0:04`, `12:30` or `1:02:03`. */
  ii.duration = (seconds) => {
    if (!isNumber(seconds) || seconds < 0) return "–";
    if (seconds < 10) return `${ii.number(seconds, 1)} s`;
    const whole = Math.round(seconds);
    const two = (value) => String(value).padStart(2, "0");
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  };

  /** A time of day and date in the reader's own way; `at` is in seconds since 1970. */
  ii.moment = (at) => (isNumber(at) ? new Date(at * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "–");

  /** How long ago. */
  ii.ago = (at, now) => {
    const seconds = Math.max(0, now - at);
    if (seconds < 90) return `${Math.round(seconds)} s ago`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
    return seconds < 172800 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86400)} days ago`;
  };

  /** An answer of a model: text as it is, everything else as JSON. */
  ii.answer = (value) => {
    if (value === null || value === undefined) return "no answer";
    if (value === true) return "yes";
    if (value === false) return "no";
    if (Array.isArray(value)) return value.map(ii.answer).join(", ");
    return typeof value === "object" ? JSON.stringify(value) : String(value);
  };

  ii.plural = (count, one, many) => `${count} ${count === 1 ? one : many || `${one}s`}`;

  /** Text for a shell, quoted when it has to be. */
  ii.shell = (text) => (/^[\w./:@%+=,-]+$/.test(text) ? text : `'${String(text).replace(/'/g, `'\\''`)}'`);

  const LONGEST = 400;  // words that are compared one by one: the table below grows with the square

  /**
   * The words of two prompts as `[{text, change: "same"|"added"|"removed"}]`, by their longest common run of words.
   * Commas count as words; neighbours of one kind are joined.
   */
  ii.wordChanges = (before, after) => {
    const [old, now] = [before, after].map((text) => String(text || "").match(/[^\s,]+|,/g) || []);
    const shared = Math.min(old.length, now.length);
    let head = 0;
    while (head < shared && old[head] === now[head]) head += 1;
    let tail = 0;
    while (tail < shared - head && old[old.length - 1 - tail] === now[now.length - 1 - tail]) tail += 1;
    const parts = [];
    for (const word of now.slice(0, head)) join(parts, word, "same");
    compare(parts, old.slice(head, old.length - tail), now.slice(head, now.length - tail));
    for (const word of now.slice(now.length - tail)) join(parts, word, "same");
    return parts;
  };

  function compare(parts, old, now) {
    if (old.length > LONGEST || now.length > LONGEST) {
      for (const word of old) join(parts, word, "removed");
      for (const word of now) join(parts, word, "added");
      return;
    }
    const table = commonRuns(old, now);
    let [i, j] = [0, 0];
    while (i < old.length || j < now.length) {
      if (i < old.length && j < now.length && old[i] === now[j]) { join(parts, now[j], "same"); i += 1; j += 1; }
      else if (i < old.length && (j >= now.length || table[i + 1][j] >= table[i][j + 1])) { join(parts, old[i], "removed"); i += 1; }
      else { join(parts, now[j], "added"); j += 1; }
    }
  }

  function commonRuns(old, now) {
    const table = Array.from({ length: old.length + 1 }, () => new Uint16Array(now.length + 1));
    for (let i = old.length - 1; i >= 0; i -= 1) {
      for (let j = now.length - 1; j >= 0; j -= 1) {
        table[i][j] = old[i] === now[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
      }
    }
    return table;
  }

  function join(parts, word, change) {
    const last = parts[parts.length - 1];
    if (last && last.change === change) last.text += word === "," ? "," : ` ${word}`;
    else parts.push({ text: word, change });
  }

  /** Parameters that differ between two iterations: `[{name, before, after}]`. */
  ii.parameterChanges = (before, after) => {
    const names = [...new Set([...Object.keys(after || {}), ...Object.keys(before || {})])];
    return names.map((name) => ({ name, before: (before || {})[name], after: (after || {})[name] }))
      .filter((each) => each.before !== each.after);
  };
})();
