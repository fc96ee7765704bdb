"""Verdicts to score, best iteration, whether the run is over. Pure.

The meaning of each criterion type is decisions.md, "Meaning".
"""

from __future__ import annotations

import math
import re
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from .model import Criterion, Evaluation, Value


def passes(criterion: Criterion, value: Value) -> bool:
    """Say whether an answer meets a criterion. None (unanswered) never does, nor does an answer of another type."""
    if value is None:
        return False
    if criterion.type == "boolean":
        return isinstance(value, bool) and value is not _asks_for_false(criterion)
    if criterion.type in ("integer", "number"):
        return _is_number(value, whole=criterion.type == "integer") and _allowed(criterion, value)
    if criterion.type == "array":
        return isinstance(value, list) and _within(criterion, len(value))
    if not isinstance(value, str) or not value.strip():
        return False
    return criterion.enum is None or _is_member(value, criterion.enum)


def _asks_for_false(criterion: Criterion) -> bool:
    """`max: 0` asks for a no. `min: 0, max: 1` is the usual form and does not let a no pass."""
    return criterion.max is not None and criterion.max < 1


def _is_number(value: Value, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, int) or (value.is_integer() if whole else math.isfinite(value))


def _allowed(criterion: Criterion, number: Any) -> bool:
    listed = criterion.enum is None or any(_is_number(m, whole=False) and m == number for m in criterion.enum)
    return listed and _within(criterion, number)


def _within(criterion: Criterion, number: float) -> bool:
    return (criterion.min is None or number >= criterion.min) and (criterion.max is None or number <= criterion.max)


def _is_member(text: str, enum: Sequence[Any]) -> bool:
    """In any case, `golden_hour` is "Golden hour", and so is "golden hour."; signs count: "-1" is not "+1"."""
    return _folded(text) in {_folded(str(member)) for member in enum}


def _folded(text: str) -> str:
    joined = re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", text.strip().casefold())
    return joined.strip(" .,;:!'\"") or joined


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


def score_of(evaluation: Evaluation) -> Optional[float]:
    """The score, or None where nobody judged: artefacts say 0 there, with every criterion failed."""
    return evaluation.overall_score if evaluation.source == "aivis" else None


def _rank(iteration: int, evaluation: Evaluation) -> Tuple[bool, float, int]:
    return (evaluation.source == "aivis", evaluation.overall_score, -iteration)


def never_met(criteria: Sequence[Criterion], evaluations: Iterable[Evaluation], least: int = 1) -> List[str]:
    """Fields that no picture has met of those in which they were judged, at `least` so many; no answer is no verdict."""
    judged = [
        {field: passed for field, passed in e.criteria_results.items() if field not in e.unanswered}
        for e in evaluations
        if e.source == "aivis"
    ]
    told = {c.field: [results[c.field] for results in judged if c.field in results] for c in criteria}
    return [field for field, results in told.items() if len(results) >= least and not any(results)]
