"""What a report tells of votes, the judge check and the final comparison. Pure; `viewer/votes.js` says the same."""

from __future__ import annotations

from typing import List, Optional, Sequence

from .model import Criterion, Duel, Evaluation, FinalComparison, JudgeCheck
from .report_html import Node, el, join, mark, number

Votes = Sequence[Optional[bool]]
SURE, GONE = 0.97, 0.02  # above, a criterion counts as met; below, as not met


def votes_of(evaluation: Evaluation, field: str) -> Optional[Node]:
    """Each look as a mark, the chance that the criterion is met, and what it came to; nothing where no votes were kept."""
    votes = evaluation.votes.get(field)
    if not votes or (len(votes) == 1 and field not in evaluation.posteriors):
        return None  # one verdict and no more: its mark says it all
    known = any(vote is not None for vote in votes)
    chance = evaluation.posteriors.get(field) if known else None
    told = [f"{percent(chance)} likely met"] if chance is not None else []
    words = look_words(votes, chance, evaluation.criteria_results.get(field) is True)
    return el("span", _ballots(votes), " ", ", ".join([*told, *([words] if words else [])]), class_="hint")


def look_words(votes: Votes, chance: Optional[float], met: bool) -> str:
    """What the looks at one criterion came to. `met` is what counts."""
    looks, yes = _looks(votes), sum(vote is True for vote in votes)
    if all(vote is None for vote in votes):
        return f"no answer in {looks}" if len(votes) > 1 else ""
    if met and len(votes) > 1:
        return f"confirmed by {looks}" if chance is None or chance > SURE else f"met in {yes} of {looks}"
    if met or (not yes and len(votes) == 1):
        return "judged once"
    if not yes:
        return f"not met in {looks}"
    return (
        f"ruled out by {looks}"
        if chance is not None and chance < GONE
        else f"undecided after {looks}, counted as failed"
    )


def percent(chance: float) -> str:
    """Never quite none and never quite sure, for it is an estimate."""
    if chance < 0.001:
        return "under 0.1 %"
    if chance > 0.999:
        return "over 99.9 %"
    return f"{number(100 * chance, 1 if chance < 0.1 or chance > 0.9 else 0)} %"


def confirmed(evaluation: Optional[Evaluation]) -> Optional[str]:
    """Of a picture whose pass more than one look confirmed."""
    votes = max(evaluation.votes.values(), key=len, default=()) if evaluation and evaluation.all_pass else ()
    return f"confirmed by {_looks(votes)}" if len(votes) > 1 else None


def _looks(votes: Votes) -> str:
    return "1 look" if len(votes) == 1 else f"{len(votes)} looks"


def _ballots(votes: Votes) -> Node:
    return el("span", [mark(vote) for vote in votes], class_="ballots")


# --- the judge check --------------------------------------------------------------------------------------------------------


def check_section(check: JudgeCheck, criteria: Sequence[Criterion]) -> Node:
    """Folded: what the judge said of the unedited original and of a grey square."""
    count = len(check.warnings)
    told = "no warning" if not count else "1 warning" if count == 1 else f"{count} warnings"
    names = dict.fromkeys([*(c.field for c in criteria), *check.original, *check.grey])
    lines = [el("li", _checked(check, name)) for name in names if name in check.original or name in check.grey]
    call = check.aivis_metadata
    body = [
        el("ul", [el("li", text) for text in check.warnings], class_="never") if count else None,
        el("p", "Before the first picture the judge was shown the unedited original and a grey square.", class_="hint"),
        el("ul", lines, class_="plain"),
        el("p", f"{call.provider} {call.model}, {number(check.seconds, 1)} s", class_="hint"),
    ]
    summary = el("summary", el("b", "Judge check"), el("span", told, class_="never" if count else "hint"))
    return el("details", summary, el("div", body, class_="about"))


def _checked(check: JudgeCheck, name: str) -> List[Node]:
    shown = [el("b", name)]
    for what, votes in (("original", check.original.get(name)), ("grey square", check.grey.get(name))):
        if votes:
            shown.append(join([f" {what} ", _ballots(votes)]))
    return shown


# --- the final comparison ---------------------------------------------------------------------------------------------------


def final_section(final: FinalComparison) -> Node:
    """Folded: the best pictures in pairs."""
    best = f"the best {len(final.iterations)} against each other: iteration {final.winner} is the output"
    summary = el("summary", el("b", "Final comparison"), el("span", best))
    duels = el("ol", [el("li", _duel(duel)) for duel in final.duels])
    return el("details", summary, el("div", duels, class_="about"))


def _duel(duel: Duel) -> List[Node]:
    better = f"{duel.better} is better" if duel.better in (duel.first, duel.second) else "no preference"
    reason = el("span", f" – {duel.reason}", class_="hint") if duel.reason else Node("")
    return [join([f"{duel.first} against {duel.second}: ", el("b", better)]), reason]
