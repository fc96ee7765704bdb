"""What iterations took together, and which of them is the best: counted from what they left on disk. Changes nothing."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Optional, Tuple

from .holding import Yardstick
from .model import MOST_SECONDS, Checkpoint, Evaluation, Metadata, Rejudging, Totals, Usage
from .scoring import better, score_of
from .store import Run


def paid_by(run: Run, checkpoint: Checkpoint) -> Optional[Usage]:
    """What all requests of a run took by now; the resume point tells where the file is lost."""
    told, known = run.paid(), checkpoint.paid
    return known if told is None or (known is not None and known.requests > told.requests) else told


def totals_of(kept: Iterable[Metadata]) -> Totals:
    """What the iterations took together."""
    totals = Totals()
    for metadata in kept:
        totals = add_iteration(totals, metadata)
    return totals


def rejudging(metadata: Metadata) -> Rejudging:
    """The mark of a picture that is about to be judged anew: what its metadata tells is in the totals."""
    seconds = _seconds(*metadata.timings.values())
    return Rejudging(iteration=metadata.iteration, usage=metadata.usage, seconds=seconds)


def add_rejudged(totals: Totals, metadata: Metadata, before: Rejudging) -> Totals:
    """`totals` with what an iteration has taken since the mark was made."""
    return spent(totals, metadata.usage - before.usage, sum(metadata.timings.values()) - before.seconds)


def add_iteration(totals: Totals, metadata: Metadata) -> Totals:
    """`totals` with one more iteration in it."""
    return Totals(
        iterations=totals.iterations + 1,
        failed=totals.failed + (metadata.status == "failed"),
        seconds=_seconds(totals.seconds, *metadata.timings.values()),
        usage=totals.usage + metadata.usage,
    )


def spent(totals: Totals, usage: Usage, seconds: float) -> Totals:
    """`totals` with what was asked outside of any iteration."""
    return totals.model_copy(update={"usage": totals.usage + usage, "seconds": _seconds(totals.seconds, seconds)})


def _seconds(*parts: float) -> float:
    """Times together, within what a record holds."""
    return round(min(max(sum(parts), 0.0), MOST_SECONDS), 3)


def reckoned(totals: Totals, checkpoint: Checkpoint) -> Totals:
    """`totals` at the end of a run: with what no artefact tells of, as a kill or Ctrl-C took the answer."""
    if checkpoint.paid is None:
        return totals
    return totals.model_copy(update={"usage": without(checkpoint.paid, checkpoint.set_aside)})


def without(whole: Usage, part: Usage) -> Usage:
    """What is left of `whole`. Never less than nothing, as an older version has not kept all."""
    left = whole - part
    return left.model_copy(update={"cost": None if left.cost is None else round(left.cost, 9)})


def best_of_made(known: Iterable[Tuple[Metadata, Optional[Evaluation]]], yardstick: Yardstick) -> Dict[str, Any]:
    """What `best_of` says of iterations, those that were made from another original left out."""
    todays = [(m.iteration, found) for m, found in known if yardstick.made_from(m.input_sha256) is yardstick]
    return best_of(todays, yardstick)


def best_of(found: Iterable[Tuple[int, Optional[Evaluation]]], yardstick: Yardstick) -> Dict[str, Any]:
    """`best_iteration` and `best_score` of evaluations by iteration, of those that hold under the rules in force."""
    best: Optional[Tuple[int, Evaluation]] = None
    for iteration, evaluation in found:
        if evaluation is None or not yardstick.holds(evaluation):
            continue
        counted = (iteration, yardstick.seen(evaluation))
        if better(counted, best):
            best = counted
    return {"best_iteration": best[0] if best else None, "best_score": score_of(best[1]) if best else None}
