"""The questions put to the vision model, and its replies as records: describe, answer, evaluate, compare, improve, suggest.

It words each request and reads each reply; retries, fallback and the wire are `vision`'s. Raises what `ask` raises:
whether a failure ends an iteration is the loop's to say.
"""

from __future__ import annotations

import math
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

from typing_extensions import Protocol

from .config import criterion_hash, rules_hash
from .errors import one_line
from .model import (
    Answer,
    Answers,
    Attempt,
    CallRecord,
    Comparison,
    Criterion,
    Evaluation,
    Picture,
    Prompts,
    Question,
    Request,
    Rules,
    Usage,
    Value,
)
from .prompts import Templates, describe_attempt, list_criteria, list_outcomes, list_questions, list_values, shape_of
from .scoring import score, verdicts

Schema = Dict[str, Any]
MAX_DIFFERENCES = 12
# characters; see `bounded`. About twice what a good answer takes.
SHORT_TEXT, LONG_TEXT, PROMPT_TEXT, ITEM_TEXT = 400, 800, 1500, 200
MOST_ITEMS = 24
LONGEST_PROMPT = 4000  # characters taken of a prompt: a text model that has run wild must not fill every later request


class Asks(Protocol):
    """What the judge needs of `vision.Vision`."""

    def ask(self, request: Request) -> Answer:
        """Answer a request or raise VisionError."""


class Judge:
    """Words the requests of one run. The description of the original is set once it is known."""

    def __init__(self, vision: Asks, templates: Templates, rules: Rules, notes: str = "") -> None:
        self.vision = vision
        self.templates = templates
        self.rules = rules
        self.rules_sha256 = rules_hash(rules)
        self.notes = notes
        self.description = ""

    def describe(self, original: Picture) -> Answer:
        """Describe the original in plain text; the description goes with every later request."""
        answer = self.vision.ask(Request("description", self.templates.fill("describe"), (original,)))
        self.description = " ".join(answer.text.split())[:2000]
        return answer

    def answer(self, iteration: int, original: Picture, result: Picture) -> Answers:
        """Put all helper questions in one request."""
        questions = self.rules.questions
        schema = questions_schema(questions)
        instruction = self.templates.fill(
            "questions", questions=list_questions(questions), shape=shape_of(schema), description=self.description
        )
        got = self.vision.ask(Request("questions", instruction, (original, result), bounded(schema), schema))
        values: Dict[str, Value] = {q.field: got.values.get(q.field) for q in questions}
        return answers_record(iteration, values, got.call, got.usage)

    def evaluate(
        self,
        iteration: int,
        original: Picture,
        result: Picture,
        answers: Mapping[str, Value],
        look: int = 0,
        fields: Optional[Collection[str]] = None,
    ) -> Evaluation:
        """Mark every criterion, or those of `fields`; the answers to the questions go with the request.

        From the second `look` on, the same is asked in other words, another order and with other luck, so that the model
        cannot repeat itself; the meaning of a criterion, and what counts as a pass, stays.
        """
        criteria = _in_turn([c for c in self.rules.acceptance_criteria if fields is None or c.field in fields], look)
        schema = criteria_schema(criteria)
        instruction = self.templates.fill(
            "evaluation" if look % 2 == 0 else "second_look",
            criteria=list_criteria(criteria),
            answers=list_values(answers, self.rules.questions),
            description=self.description,
            shape=shape_of(schema),
        )
        accept = criteria_schema(criteria, lenient=True)
        got = self.vision.ask(Request("evaluation", instruction, (original, result), bounded(schema), accept, look))
        values, reasons = split_verdicts(criteria, got.values)
        return evaluation_record(iteration, criteria, values, reasons, got.call, got.usage, self.rules_sha256)

    def compare(self, iteration: int, original: Picture, result: Picture, measured: float) -> Comparison:
        """Let the model say how like the original the result is."""
        instruction = self.templates.fill("comparison", shape=shape_of(COMPARISON), description=self.description)
        schema = bounded(COMPARISON, LONG_TEXT)
        got = self.vision.ask(Request("comparison", instruction, (original, result), schema, COMPARISON_READ))
        return comparison_record(iteration, got.values, measured, got.call, got.usage)

    def improve(
        self,
        prompts: Prompts,
        evaluation: Evaluation,
        comparison: Comparison,
        best: Optional[Attempt] = None,
        worst: Optional[Attempt] = None,
    ) -> Tuple[Prompts, Answer]:
        """Let the model rewrite the prompts for what failed; tags and ledger are not enforced here.

        `best` and `worst`: earlier pictures to learn from, with their prompts and verdicts.
        """
        criteria = self.rules.acceptance_criteria
        instruction = self.templates.fill(
            "improvement",
            positive=prompts.positive,
            negative=prompts.negative,
            failed=list_outcomes(criteria, evaluation.failed_fields, evaluation.reasons),
            passed=list_outcomes(criteria, evaluation.passed_fields, {}),
            comparison="\n".join([*(f"- {d}" for d in comparison.differences), comparison.analysis]),
            description=self.description,
            required=_terms(c.must_include for c in criteria),
            banned=_terms(c.ban_terms for c in criteria),
            avoided=_terms(c.avoid_terms for c in criteria),
            notes=self.notes,
            best=describe_attempt(best),
            worst=describe_attempt(worst),
            shape=shape_of(IMPROVEMENT),
        )
        got = self.vision.ask(Request("improvement", instruction, (), bounded(IMPROVEMENT, PROMPT_TEXT), IMPROVEMENT))
        positive = _prompt_text(got.values.get("positive") or "")
        told = got.values.get("negative")  # may be empty on purpose, unlike the positive one
        negative = prompts.negative if told is None else _prompt_text(told)
        return Prompts(positive=positive or prompts.positive, negative=negative), got

    def suggest(
        self, settings: str, similarity: float, evaluation: Evaluation, choices: Mapping[str, Sequence[str]]
    ) -> Answer:
        """Show the model AIGen.yaml's settings and ask for steps, sampler_name and scheduler."""
        instruction = self.templates.fill(
            "suggestion",
            settings=settings,
            similarity=f"{similarity:.2f}",
            failed=list_outcomes(self.rules.acceptance_criteria, evaluation.failed_fields, evaluation.reasons),
            samplers=", ".join(choices.get("sampler_name", ())),
            schedulers=", ".join(choices.get("scheduler", ())),
            shape=shape_of(SUGGESTION),
        )
        return self.vision.ask(Request("suggestion", instruction, (), bounded(SUGGESTION), SUGGESTION))


# --- records -------------------------------------------------------------------------------------------------------------


def answers_record(iteration: int, values: Dict[str, Value], call: CallRecord, usage: Usage) -> Answers:
    """Answers with the fields that got none listed."""
    unanswered = [field for field, value in values.items() if value is None]
    return Answers(iteration=iteration, answers=values, unanswered=unanswered, aivis_metadata=call, usage=usage)


def comparison_record(
    iteration: int, values: Mapping[str, Any], measured: float, call: CallRecord, usage: Usage
) -> Comparison:
    """The likeness as the model says it, else as it was measured."""
    similarity = values.get("similarity_score")
    return Comparison(
        iteration=iteration,
        source="aivis" if similarity is not None else "measured",
        similarity_score=measured if similarity is None else float(similarity),
        differences=[str(d) for d in values.get("differences") or []],
        analysis=str(values.get("analysis") or ""),
        measured=measured,
        aivis_metadata=call,
        usage=usage,
    )


def evaluation_record(
    iteration: int,
    criteria: Sequence[Criterion],
    values: Dict[str, Value],
    reasons: Dict[str, str],
    call: CallRecord,
    usage: Usage,
    rules_sha256: str,
    judged: bool = True,
) -> Evaluation:
    """Verdicts and score from values; without `judged` it is the fallback evaluation, in which nothing is answered.

    `rules_sha256` says under which rules: a verdict under other ones is history, not a pass. Each criterion has its own
    beside it, so that what is asked as before still counts (see `holding`).
    """
    results = verdicts(criteria, values)
    return Evaluation(
        iteration=iteration,
        source="aivis" if judged else "fallback",
        overall_score=score(results),
        criteria_results=results,
        values={c.field: values.get(c.field) for c in criteria},
        reasons=reasons,
        passed_fields=[field for field, passed in results.items() if passed],
        failed_fields=[field for field, passed in results.items() if not passed],
        unanswered=[c.field for c in criteria if values.get(c.field) is None],
        aivis_metadata=call,
        usage=usage,
        rules_sha256=rules_sha256,
        criteria_sha256={c.field: criterion_hash(c) for c in criteria},
        votes={c.field: [results[c.field] if values.get(c.field) is not None else None] for c in criteria}
        if judged
        else {},
    )


def _in_turn(criteria: List[Criterion], look: int) -> List[Criterion]:
    """Another order at each look: every other time from the back, and turned by one more with each such pair of looks.

    Two criteria have two orders only; with the two wordings, they are four questions before one comes again.
    """
    first = look // 2 % len(criteria) if criteria else 0
    turned = criteria[first:] + criteria[:first]
    return turned[::-1] if look % 2 else turned


def split_verdicts(criteria: Sequence[Criterion], got: Mapping[str, Any]) -> Tuple[Dict[str, Value], Dict[str, str]]:
    """Verdicts and reasons out of `{field: {reason, verdict}}`."""
    values: Dict[str, Value] = {}
    reasons: Dict[str, str] = {}
    for criterion in criteria:
        part = got.get(criterion.field)
        verdict = part.get("verdict") if isinstance(part, Mapping) else part
        values[criterion.field] = verdict
        if isinstance(part, Mapping) and part.get("reason"):
            reasons[criterion.field] = " ".join(str(part["reason"]).split())
    return values, reasons


def _terms(lists: Any) -> str:
    return ", ".join(dict.fromkeys(term for terms in lists for term in terms))


# --- schemas -------------------------------------------------------------------------------------------------------------
# Reasons stand before verdicts: the order of properties is the order in which a model writes (contracts/ollama.md, 4).

COMPARISON: Schema = {
    "type": "object",
    "properties": {
        "differences": {"type": "array", "items": {"type": "string"}, "maxItems": MAX_DIFFERENCES},
        "analysis": {"type": "string"},
        "similarity_score": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["differences", "analysis", "similarity_score"],
    "additionalProperties": False,
}
COMPARISON_READ: Schema = {**COMPARISON, "required": ["similarity_score"]}
IMPROVEMENT: Schema = {
    "type": "object",
    "properties": {"positive": {"type": "string"}, "negative": {"type": "string"}},
    "required": ["positive", "negative"],
    "additionalProperties": False,
}
SUGGESTION: Schema = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "steps": {"type": ["integer", "null"], "minimum": 1, "maximum": 150},
        "sampler_name": {"type": ["string", "null"]},
        "scheduler": {"type": ["string", "null"]},
    },
    "required": ["reason", "steps", "sampler_name", "scheduler"],
    "additionalProperties": False,
}


def questions_schema(questions: Sequence[Question]) -> Schema:
    """Each question under its own field, nullable, with its bounds: an answer outside them is no answer."""
    return object_schema({q.field: question_schema(q) for q in questions})


def question_schema(question: Question) -> Schema:
    """Schema of one answer. The description is the question: a reply that repeats it as the key is understood."""
    part: Schema = {"type": [question.type, "null"], "description": question.question}
    if question.type == "array":
        part["items"] = _items(question.items if question.items is not None else question.enum)
        bounds = (("minItems", question.min), ("maxItems", question.max))
        part.update({key: int(value) for key, value in bounds if value is not None and value >= 0})
    elif question.type in ("integer", "number"):
        whole = question.type == "integer"
        if question.min is not None:
            part["minimum"] = math.ceil(question.min) if whole else question.min
        if question.max is not None:
            part["maximum"] = math.floor(question.max) if whole else question.max
    if question.enum is not None and question.type != "array":
        part["enum"] = [*question.enum, None]
    return part


def criteria_schema(criteria: Sequence[Criterion], lenient: bool = False) -> Schema:
    """Each criterion as an object of its name, with reason and nullable verdict.

    A criterion's bounds and enum say what passes, not what may be answered: they stay out, or a grammar would turn
    every answer into a pass. `lenient` leaves the reason optional, for reading.
    """
    parts = {}
    for criterion in criteria:
        verdict: Schema = {"type": [criterion.type, "null"], "description": criterion.question}
        if criterion.type == "array":
            verdict["items"] = _items(criterion.items)
        parts[criterion.field] = object_schema({"reason": {"type": "string"}, "verdict": verdict})
        if lenient:
            parts[criterion.field]["required"] = ["verdict"]
    return object_schema(parts)


def bounded(schema: Schema, longest: int = SHORT_TEXT) -> Schema:
    """`schema` with a limit on every text and list that has none: `longest` characters, ITEM_TEXT in a list's items.

    A small model easily runs away inside a string, and a grammar keeps it there until max_tokens: everything behind is
    lost (seen with llama-server). Only for asking; what a server without a grammar writes beyond it is read all the same.
    """
    limited = dict(schema)
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "string" in kinds and "enum" not in schema:
        limited.setdefault("maxLength", max(longest, schema.get("minLength", 0)))
    if "array" in kinds:
        limited.setdefault("maxItems", max(MOST_ITEMS, schema.get("minItems", 0)))
    if isinstance(schema.get("items"), dict):
        limited["items"] = bounded(schema["items"], ITEM_TEXT)
    if isinstance(schema.get("properties"), dict):
        limited["properties"] = {name: bounded(part, longest) for name, part in schema["properties"].items()}
    return limited


def _items(items: Any) -> Schema:
    if isinstance(items, list):
        return {"enum": items} if not all(isinstance(i, str) for i in items) else {"type": "string", "enum": items}
    return dict(items) if items else {"type": "string"}


def object_schema(properties: Dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


__all__: List[str] = [
    "Asks",
    "Judge",
    "answers_record",
    "bounded",
    "comparison_record",
    "criteria_schema",
    "evaluation_record",
    "object_schema",
    "questions_schema",
    "split_verdicts",
]


def _prompt_text(value: Any) -> str:
    """A prompt as a model wrote it: one line of visible characters, cut between two phrases where it does not end."""
    text = " ".join(one_line(str(value)).split())
    if len(text) <= LONGEST_PROMPT:
        return text
    kept, comma, _ = text[:LONGEST_PROMPT].rpartition(",")
    return kept if comma else text[:LONGEST_PROMPT]
