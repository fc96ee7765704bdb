"""Verdicts to score, best iteration, whether the run is over. Pure.

The meaning of each criterion type is decisions.md, "Meaning".
"""

from __future__ import annotations

from typing import Dict, Mapping, Optional, Sequence, Tuple

from .model import Criterion, Evaluation, Value, key_of


def passes(criterion: Criterion, value: Value) -> bool:
    """Say whether an answer meets a criterion. None (unanswered) never does, nor does an answer of another type."""
    if value is None:
        return False
    if criterion.type == "boolean":
        return isinstance(value, bool) and value is not _asks_for_false(criterion)
    if criterion.type in ("integer", "number"):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and _within(criterion, float(value))
    if criterion.type == "array":
        return isinstance(value, list) and _within(criterion, float(len(value)))
    if criterion.enum is not None:
        return key_of(str(value)) in {key_of(str(member)) for member in criterion.enum}
    return isinstance(value, str) and bool(value.strip())


def _asks_for_false(criterion: Criterion) -> bool:
    """`max: 0` asks for a no. `min: 0, max: 1` is the usual form and does not let a no pass."""
    return criterion.max is not None and criterion.max < 1


def _within(criterion: Criterion, number: float) -> bool:
    return (criterion.min is None or number >= criterion.min) and (criterion.max is None or number <= criterion.max)


def score(results: Mapping[str, bool]) -> float:
    """Share of criteria passed, 0.0 to 100.0, one decimal. Whether *all* pass is `all(results.values())`, not a rounded 100."""
    return round(100 * sum(results.values()) / len(results), 1)


def verdicts(criteria: Sequence[Criterion], values: Mapping[str, Value]) -> Dict[str, bool]:
    """Verdict of each criterion by its field."""
    return {c.field: passes(c, values.get(c.field)) for c in criteria}


def better(candidate: Tuple[int, Evaluation], best: Optional[Tuple[int, Evaluation]]) -> bool:
    """Say whether `candidate` (iteration, evaluation) beats `best`: judged before unjudged, higher score, then earlier."""
    if best is None:
        return True
    return _rank(*candidate) > _rank(*best)


def _rank(iteration: int, evaluation: Evaluation) -> Tuple[bool, float, int]:
    return (evaluation.source == "aivis", evaluation.overall_score, -iteration)
