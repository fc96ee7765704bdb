"""Which answers pass: bounds and lists that let every answer pass, or none, or that have no effect. Pure.

A criterion's bounds say what passes (`scoring.passes`), a question's what may be answered (`judge.question_schema`).
"""

from __future__ import annotations

import math
import re
from typing import Any, Iterator, List, Optional, Tuple

from .findings import Remark, Severity
from .model import Criterion, Question

JSON_TYPES = {"string", "integer", "number", "boolean", "array", "object", "null"}
_SCALE = re.compile(
    r"\bfrom (-?\d+(?:\.\d+)?)(?![\w.]*\d)\s*(?:\([^)]*\)\s*)?to (-?\d+(?:\.\d+)?)(?!\d)", re.IGNORECASE
)


def criterion_remarks(criterion: Criterion) -> Iterator[Remark]:
    """What is odd about the answers that a criterion accepts; keys are relative to it."""
    yield from _items(criterion)
    if criterion.type == "boolean":
        yield from _boolean(criterion)
    elif criterion.type == "string":
        yield from _string(criterion)
    elif criterion.type == "array":
        yield from _array(criterion)
    else:
        yield from _number(criterion)


def question_remarks(question: Question) -> Iterator[Remark]:
    """What is odd about the answers that a helper question allows; keys are relative to it."""
    yield from _items(question)
    if question.type in ("boolean", "string"):
        yield from _no_bounds(question, "hint")
    elif not _has_whole_number(question) and question.type != "number":
        yield _no_answer(question, "warning", "no whole number lies between its bounds: it can never be answered")
    if question.type == "array" and question.enum is not None:
        advice = "list the values an item may have under items: instead"
        yield Remark("warning", "enum-no-effect", ("enum",), "an array has no enum: it can never be answered", advice)


# --- by type -------------------------------------------------------------------------------------------------------------


def _boolean(criterion: Criterion) -> Iterator[Remark]:
    wanted = not (criterion.max is not None and criterion.max < 1)
    asks = f"it passes when the answer is {'yes' if wanted else 'no'}"
    for key, bound in (("min", criterion.min), ("max", criterion.max)):
        if bound not in (None, 0, 1):
            advice = "write min: 0 and max: 1 to ask for yes, max: 0 to ask for no, or use type integer or number"
            reason = f"{key}: {bound:g} is useless for a boolean: {asks}, whatever its bounds are meant to say"
            yield Remark("warning", "boolean-range", (key,), reason, advice)
            return
    if criterion.enum is not None:
        refused = not any(member is wanted for member in criterion.enum)
        advice = f"take enum out; max: {0 if wanted else 1} asks for {'no' if wanted else 'yes'}"
        yield Remark(
            "error" if refused else "warning", "enum-no-effect", ("enum",), f"enum has no effect: {asks}", advice
        )


def _string(criterion: Criterion) -> Iterator[Remark]:
    yield from _no_bounds(criterion, "warning")
    if criterion.enum is None:
        advice = "list the accepted answers under enum:, or ask it as a boolean"
        yield _every(criterion, ("type",), "any text at all passes", advice)
    for index, member in enumerate(criterion.enum or []):
        if not str(member).strip():
            yield Remark("warning", "enum-empty", ("enum", index), "an empty answer never passes", "take it out")


def _array(criterion: Criterion) -> Iterator[Remark]:
    if criterion.enum is not None:
        advice = "list the values an item may have under items: instead"
        yield Remark("warning", "enum-no-effect", ("enum",), "enum has no effect on an array", advice)
    if not _has_whole_number(criterion) or (criterion.max is not None and criterion.max < 0):
        yield _no_answer(criterion, "error", "no list has a length between its bounds: it can never pass")
    elif criterion.max is None and (criterion.min is None or criterion.min <= 0):
        advice = "give min: or max: for the length (max: 0 asks for an empty list)"
        yield _every(criterion, ("type",), "every list passes, whatever is in it", advice)


def _number(criterion: Criterion) -> Iterator[Remark]:
    if criterion.type == "integer" and not _has_whole_number(criterion):
        yield _no_answer(criterion, "error", "no whole number lies between its bounds: it can never pass")
    elif criterion.enum is not None:
        yield from _listed_numbers(criterion)
    else:
        yield from _range(criterion)


def _listed_numbers(criterion: Criterion) -> Iterator[Remark]:
    low, high = _bounds(criterion)
    members: List[Any] = criterion.enum or []  # numbers all: the loader has seen to that
    never = [index for index, member in enumerate(members) if not low <= member <= high]
    severity: Severity = "error" if len(never) == len(members) else "warning"
    for index in never:
        reason = f"{members[index]} lies outside min and max: it never passes"
        yield Remark(severity, "enum-never-passes", ("enum", index), reason, "take it out, or mend min and max")


def _range(criterion: Criterion) -> Iterator[Remark]:
    low, high = _bounds(criterion)
    scale = _scale(criterion.question)
    advice = "set min: or max: to where a picture is good enough (both the same: exactly)"
    if scale and (low > scale[1] or high < scale[0]):
        reason = f"the question allows {scale[0]:g} to {scale[1]:g}, and none of that passes"
        yield _no_answer(criterion, "warning", reason)
    elif low == -math.inf and high == math.inf:
        yield _every(criterion, ("type",), "it has no bounds: every number passes", advice)
    elif scale and low <= scale[0] and high >= scale[1]:
        reason = f"the question allows {scale[0]:g} to {scale[1]:g}, and all of that passes"
        yield _every(criterion, _bound_key(criterion), reason, advice)
    elif low <= 0 and high == math.inf:
        yield _every(criterion, ("min",), "every number that is not negative passes", advice)
    elif not scale and criterion.type == "number" and (low, high) == (0, 1):
        reason = "min: 0 and max: 1 are the whole of a share or likeness: every one passes"
        yield _every(criterion, ("min",), reason, advice)


def _items(question: Question) -> Iterator[Remark]:
    if question.items == []:
        reason = "an empty list allows no item"
        yield Remark("warning", "items-empty", ("items",), reason, "name the allowed values, or leave items out")
    kind = question.items.get("type") if isinstance(question.items, dict) else None
    kinds = kind if isinstance(kind, list) else [kind]
    if kind is not None and not all(isinstance(k, str) and k in JSON_TYPES for k in kinds):
        advice = f"use one of {', '.join(sorted(JSON_TYPES))}"
        yield Remark("error", "items-type", ("items", "type"), f"{kind} is no type of JSON Schema", advice)


# --- words ---------------------------------------------------------------------------------------------------------------


def _no_bounds(question: Question, severity: Severity) -> Iterator[Remark]:
    """Bounds on a type that has none."""
    for key in ("min", "max"):
        if getattr(question, key) is not None:
            reason = f"{key} has no effect on a {question.type}"
            yield Remark(severity, "bounds-no-effect", (key,), reason, "take it out, or change the type")
            return


def _every(criterion: Criterion, keys: Tuple[str, ...], reason: str, advice: str) -> Remark:
    return Remark("warning", "every-answer-passes", keys, f"{criterion.field}: {reason}", advice)


def _no_answer(question: Question, severity: Severity, reason: str) -> Remark:
    advice = "mend min and max so that a possible answer lies between them"
    return Remark(severity, "no-answer-passes", _bound_key(question), f"{question.field}: {reason}", advice)


def _bound_key(question: Question) -> Tuple[str, ...]:
    return ("min",) if question.min is not None else ("max",)


def _bounds(question: Question) -> Tuple[float, float]:
    low = -math.inf if question.min is None else question.min
    return low, math.inf if question.max is None else question.max


def _has_whole_number(question: Question) -> bool:
    low, high = _bounds(question)
    return math.isinf(low) or math.isinf(high) or math.ceil(low) <= math.floor(high)


def _scale(question: str) -> Optional[Tuple[float, float]]:
    """The scale a question names ("from 0 (none) to 1 (all of it)"), if it names one."""
    found: List[Tuple[str, str]] = _SCALE.findall(question)
    if len(found) != 1:
        return None
    low, high = float(found[0][0]), float(found[0][1])
    return (low, high) if low < high else None
