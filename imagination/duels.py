"""Without a pass, which of the best pictures is the output: they are put before the judge in pairs, in both orders.

A score counts criteria; two pictures with the same score, or one verdict apart, are told apart better side by side. A
model that leans to one of the two places wins as much for one picture as for the other, so that the scores decide. Pure,
but for `ask_duel`.
"""

from __future__ import annotations

from functools import cmp_to_key
from itertools import combinations
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from .judge import Judge, bounded
from .model import Answer, Attempt, Duel, Evaluation, FinalComparison, Picture, Request
from .prompts import list_wanted, shape_of
from .scoring import better

CONTENDERS = 3
DUEL: Dict[str, Any] = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "better": {"type": ["string", "null"], "enum": ["first", "second", None]},
    },
    "required": ["reason", "better"],
    "additionalProperties": False,
}
_DUEL_READ = {**DUEL, "required": ["better"]}


# --- who, and who wins --------------------------------------------------------------------------------------------------


def contenders(
    history: Iterable[Attempt],
    shows: Callable[[int], Optional[str]],
    holds: Callable[[Evaluation], bool],
    most: int = CONTENDERS,
) -> List[int]:
    """The iterations with the best judged pictures, best first; of pictures that show the same, the best one only.

    `shows` gives a hash of what an iteration's picture shows (None: it has none) and is asked for no more than it takes.
    `holds` says whether the verdicts are on all criteria in force: scores of fewer cannot be compared.
    """
    judged = {a.iteration: a.evaluation for a in history if a.evaluation.source == "aivis"}
    ranked = [n for n, evaluation in judged.items() if holds(evaluation)]

    def first(one: int, other: int) -> int:
        return -1 if better((one, judged[one]), (other, judged[other])) else 1

    found: Dict[str, int] = {}
    for iteration in sorted(ranked, key=cmp_to_key(first)):
        if len(found) == most:
            break
        shown = shows(iteration)
        if shown is not None:
            found.setdefault(shown, iteration)
    return list(found.values())


def pairs(order: Sequence[int]) -> List[Tuple[Tuple[int, int], Tuple[int, int]]]:
    """Every pair of contenders, in both orders."""
    return [((first, second), (second, first)) for first, second in combinations(order, 2)]


def wins(order: Sequence[int], duels: Iterable[Duel]) -> Dict[int, int]:
    """How many duels each contender won; one that the judge left open counts for neither."""
    won = dict.fromkeys(order, 0)
    for duel in duels:
        if duel.better in won and duel.better in (duel.first, duel.second):
            won[duel.better] += 1
    return won


def winner(order: Sequence[int], duels: Iterable[Duel]) -> int:
    """The contender that won most duels; of equals the one with the better score, which stands first in `order`."""
    won = wins(order, duels)
    return max(order, key=lambda iteration: (won[iteration], -order.index(iteration)))


def told(found: FinalComparison) -> str:
    """The outcome in one line."""
    won = wins(found.iterations, found.duels)
    tally = ", ".join(f"iteration {n} won {won[n]}" for n in found.iterations)
    first = found.iterations[0]
    if not any(won.values()):
        return f"iteration {found.winner} stays the best by its score: the judge could not tell any two apart"
    what = "stays the best" if found.winner == first else f"goes before iteration {first}, which has the better score"
    return f"iteration {found.winner} {what} ({len(found.duels)} duels: {tally})"


# --- asking -------------------------------------------------------------------------------------------------------------


def ask_duel(judge: Judge, original: Picture, first: Picture, second: Picture) -> Tuple[Optional[str], str, Answer]:
    """Show the judge two results at once: "first", "second" or None (it cannot say), and its reason. Raises VisionError."""
    instruction = judge.templates.fill(
        "duel",
        criteria=list_wanted(judge.rules.acceptance_criteria),
        description=judge.description,
        shape=shape_of(DUEL),
    )
    got = judge.vision.ask(Request("duel", instruction, (original, first, second), bounded(DUEL), _DUEL_READ))
    choice = got.values.get("better")
    reason = " ".join(str(got.values.get("reason") or "").split())
    return (choice if choice in ("first", "second") else None), reason, got
