"""Questions, comparison and criteria of a picture in one request (`calls: combined`), read as the records of three.

The model reasons first by the order of the fields: answers, differences, analysis, then a reason before each verdict. A
section that cannot be read is None here; whoever asked puts that question alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Sequence

from .judge import (
    COMPARISON,
    COMPARISON_READ,
    LONG_TEXT,
    SHORT_TEXT,
    Judge,
    answers_record,
    bounded,
    comparison_record,
    criteria_schema,
    evaluation_record,
    object_schema,
    questions_schema,
    split_verdicts,
)
from .model import Answers, Comparison, Criterion, Evaluation, Picture, Question, Request, Usage
from .prompts import list_criteria, list_questions, shape_of


@dataclass(frozen=True)
class Sections:
    """What one request gave, and what it took that no record tells of: the evaluation does where there is one."""

    answers: Optional[Answers] = None
    comparison: Optional[Comparison] = None
    evaluation: Optional[Evaluation] = None
    untold: Usage = field(default_factory=Usage)


def ask_at_once(judge: Judge, iteration: int, original: Picture, result: Picture, measured: float) -> Sections:
    """Ask everything about a picture in one request. `measured` is its likeness by pixels. Raises what `ask` raises."""
    questions, criteria = judge.rules.questions, judge.rules.acceptance_criteria
    schema = combined_schema(questions, criteria)
    instruction = judge.templates.fill(
        "combined",
        questions=list_questions(questions),
        criteria=list_criteria(criteria),
        description=judge.description,
        shape=shape_of(schema),
    )
    accept = combined_schema(questions, criteria, lenient=True)
    request = Request("combined", instruction, (original, result), within_bounds(schema), accept, in_parts=True)
    got = judge.vision.ask(request)
    answers = comparison = evaluation = None
    if "questions" in got.values:
        found = {q.field: got.values["questions"].get(q.field) for q in questions}
        answers = answers_record(iteration, found, got.call, Usage())
    if "comparison" in got.values:
        comparison = comparison_record(iteration, got.values["comparison"], measured, got.call, Usage())
    if "criteria" in got.values:
        verdicts, reasons = split_verdicts(criteria, got.values["criteria"])
        evaluation = evaluation_record(iteration, criteria, verdicts, reasons, got.call, got.usage, judge.rules_sha256)
    return Sections(answers, comparison, evaluation, Usage() if evaluation else got.usage)


def combined_schema(
    questions: Sequence[Question], criteria: Sequence[Criterion], lenient: bool = False
) -> Dict[str, Any]:
    """The sections, each as it is when asked for alone; without questions there is no such section."""
    parts = {"questions": questions_schema(questions)} if questions else {}
    parts["comparison"] = COMPARISON_READ if lenient else COMPARISON
    parts["criteria"] = criteria_schema(criteria, lenient)
    return object_schema(parts)


def within_bounds(schema: Dict[str, Any]) -> Dict[str, Any]:
    """The schema with the limits on texts and lists that each section has when asked for alone."""
    parts = schema["properties"]
    longest = {**dict.fromkeys(parts, SHORT_TEXT), "comparison": LONG_TEXT}
    return {**schema, "properties": {name: bounded(part, longest[name]) for name, part in parts.items()}}
