"""What the adaptive strategy adds to a synthetic run: votes, the judge check, the end with its evidence, the final comparison."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from imagination.model import (
    CallRecord,
    Criterion,
    Duel,
    EndedBy,
    Evaluation,
    FinalComparison,
    JudgeCheck,
    Move,
    Usage,
)

ERR, STUCK = 0.1, 0.015  # of the made-up judge: wrong at random, and wrong however it is asked
MOST = 5  # further looks
ENDINGS: Mapping[str, str] = {
    "iterations": "No picture of {n} passed; the best meets all but one criterion.",
    "conflict": "warm_light and house_kept were never met together in {n} pictures: warm_light needs a denoise above 0.6, "
    "house_kept one below 0.4. Ways out: a weaker wording of one of them, or another checkpoint.",
    "cost": "The run has cost 2.01 USD of 2 USD (project.max_cost).",
    "time": "The run has taken 31 minutes of 30 (project.max_minutes).",
}
MOVES = (
    ("denoise 0.5 -> 0.6", "warm_light failed with its terms in the prompt, so the edit may be bolder"),
    ("seed kept", "only the denoise is tested, everything else stays"),
    ("new seed", "the settings look right, this picture was unlucky"),
    ('prompt: added "golden hour"', "warm_light failed"),
    ("cfg 9 -> 7", "house_kept failed above 8"),
)


@dataclass(frozen=True)
class Kind:
    """How much of it a run has. None of it: a run of the spec's strategy, or of an earlier version."""

    adaptive: bool = True
    ended_by: EndedBy = "iterations"
    warnings: Optional[Sequence[str]] = None


def posterior(votes: Sequence[Optional[bool]]) -> float:
    """Chance that a criterion is met, after these votes."""
    yes, no = votes.count(True), votes.count(False)
    if not yes + no:
        return 0.0
    met = (1 - STUCK) * (1 - ERR) ** yes * ERR**no + STUCK * (yes == 0)
    unmet = (1 - STUCK) * ERR**yes * (1 - ERR) ** no + STUCK * (no == 0)
    return met / (met + unmet)


def looked_again(evaluation: Evaluation) -> Evaluation:
    """The evaluation with its votes: further looks where at most two criteria failed, and now and then."""
    chance = random.Random(1000 + evaluation.iteration)
    unanswered = set(evaluation.unanswered)
    first = {f: None if f in unanswered else met for f, met in evaluation.criteria_results.items()}
    votes: Dict[str, List[Optional[bool]]] = {field: [vote] for field, vote in first.items()}
    if evaluation.iteration % 3 == 0 or sum(vote is not True for vote in first.values()) <= 2:
        for field, cast in votes.items():
            _look(cast, evaluation.criteria_results[field], chance)
    return evaluation.model_copy(
        update={"votes": votes, "posteriors": {field: posterior(cast) for field, cast in votes.items()}}
    )


def _look(votes: List[Optional[bool]], met: bool, chance: random.Random) -> None:
    """Until it is as sure as the verdict says, or a dispute that stays one."""
    disputed = not met and votes[0] is False and chance.random() < 0.6
    for turn in range(MOST):
        if met and posterior(votes) > 0.97 and (turn > 1 or votes[0] is None):
            return
        if not met and posterior(votes) < 0.02 and not disputed:
            return
        odd = None if chance.random() < 0.1 else turn % 2 == 0
        votes.append(odd if disputed else met)


def checked(
    criteria: Sequence[Criterion], warnings: Sequence[str], call: CallRecord, say: Callable[[str], str]
) -> JudgeCheck:
    """A judge that sees the original as it is, but for what the warnings say."""
    original = {c.field: [c.intent == "preserve" or c.intent is None] * 2 for c in criteria}
    grey: Dict[str, List[Optional[bool]]] = {c.field: [None if c.intent is None else False] for c in criteria}
    return JudgeCheck(
        original={field: list(votes) for field, votes in original.items()},
        grey=grey,
        warnings=[say(text) for text in warnings],
        aivis_metadata=call,
        usage=Usage(requests=3, prompt_tokens=900, completion_tokens=80),
        seconds=8.4,
    )


def compared(best: Sequence[int], call: CallRecord, say: Callable[[str], str]) -> Optional[FinalComparison]:
    """Each pair in both orders; the first wins but for one duel in which the judge would not say."""
    if len(best) < 2:
        return None
    pairs = [(a, b) for a in best for b in best if a != b]
    winner = best[0]
    duels = [
        Duel(
            first=a,
            second=b,
            better=None if at == len(pairs) - 1 else winner if winner in (a, b) else b,
            reason=say(f"the light of {winner} is warmer"),
        )
        for at, (a, b) in enumerate(pairs)
    ]
    return FinalComparison(
        iterations=list(best), duels=duels, winner=winner, aivis_metadata=call, usage=Usage(requests=len(duels))
    )


def moves(number: int, say: Callable[[str], str]) -> List[Move]:
    """Two of the strategy's moves, and the prompt's."""
    first = number % len(MOVES)
    return [Move(what=what, why=say(why)) for what, why in (MOVES[first], MOVES[(first + 1) % len(MOVES)])]


def ending(kind: Kind, iterations: int) -> Dict[str, Any]:
    """What the resume point says of the end."""
    return {"ended_by": kind.ended_by, "ending": ENDINGS[kind.ended_by].format(n=iterations)}
