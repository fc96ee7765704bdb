"use strict";
// How often the judge looked at a picture, and what the looks together make of a criterion. Pure but for the marks.
(() => {
  const ii = window.imagination;
  const { h } = ii;

  const SURE = 0.97;  // as imagination/votes.py has them: above, a criterion counts as met
  const GONE = 0.02;  // below, as not met
  const MOST = 60;  // marks in a row

  /** A chance as people read it; never quite none and never quite sure, for it is an estimate. */
  ii.percent = (chance) => {
    if (chance < 0.001) return "under 0.1 %";
    if (chance > 0.999) return "over 99.9 %";
    return `${ii.number(100 * chance, chance < 0.1 || chance > 0.9 ? 1 : 0)} %`;
  };

  /** What the looks at one criterion came to. `met` is what counts, `chance` the posterior where there is one. */
  ii.lookWords = ({ votes, chance, met }) => {
    const looks = ii.plural(votes.length, "look");
    const yes = votes.filter((vote) => vote === true).length;
    if (votes.every((vote) => vote === null)) return votes.length > 1 ? `no answer in ${looks}` : "";
    if (met) {
      if (votes.length === 1) return "judged once";
      return chance === null || chance > SURE ? `confirmed by ${looks}` : `met in ${yes} of ${looks}`;
    }
    if (!yes) return votes.length > 1 ? `not met in ${looks}` : "judged once";
    return chance !== null && chance < GONE ? `ruled out by ${looks}` : `undecided after ${looks}, counted as failed`;
  };

  /** A row of small marks, one a look; read out as words. */
  ii.ballots = (votes, what = ii.plural(votes.length, "look")) => h("span", { class: "ballots", role: "img", "aria-label": `${what}: ${votes.map((vote) => ii.verdict(vote).word).join(", ")}` },
    votes.slice(0, MOST).map((vote) => { const { sign, word, kind } = ii.verdict(vote); return h("span", { class: `ballot ${kind}`, title: word, "aria-hidden": "true" }, sign); }));

  /** Everything about the looks at one criterion of an evaluation; nothing where no votes were kept. */
  ii.votesOf = (evaluation, field) => {
    const votes = evaluation.votes[field];
    if (!votes || !votes.length) return null;
    const known = evaluation.posteriors[field];
    if (votes.length === 1 && known === undefined) return null;  // one verdict and no more: its mark says it all
    const chance = known !== undefined && votes.some((vote) => vote !== null) ? known : null;
    const words = ii.lookWords({ votes, chance, met: evaluation.results[field] === true });
    return h("p", { class: "votes" }, ii.ballots(votes),
      chance === null ? null : h("span", { class: "chance" }, `${ii.percent(chance)} likely met`),
      words ? h("span", { class: words.startsWith("undecided") ? "undecided" : "" }, words) : null);
  };

  /** The quiet mark of a card whose pass more than one look confirmed. */
  ii.confirmed = (row) => (row.confirmed === true && row.looks > 1 ? h("span", { class: "confirmed" }, `confirmed by ${ii.plural(row.looks, "look")}`) : null);

  // --- what is read -------------------------------------------------------------------------------------------------------

  const vote = (value) => (value === true || value === false ? value : null);
  const byField = (entries) => Object.assign(Object.create(null), Object.fromEntries(entries));  // a field may be called "constructor"
  const pairs = (value) => (value && typeof value === "object" && !Array.isArray(value) ? Object.entries(value) : []);

  /** Votes by field, from what a file has: lists of true, false and null. */
  ii.readVotes = (value) => byField(pairs(value).filter(([, votes]) => Array.isArray(votes)).map(([field, votes]) => [field, votes.map(vote)]));

  /** Chances by field. */
  ii.readChances = (value) => byField(pairs(value).filter(([, chance]) => typeof chance === "number" && chance >= 0 && chance <= 1));

  /** How a move reads: its arrows as arrows. */
  ii.move = (what) => ii.answer(what).replace(/ -> /g, " → ");
})();
