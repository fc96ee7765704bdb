"""What the vision model is asked: the schemas its replies must have, and the records made of them."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest

from imagination.judge import (
    COMPARISON,
    IMPROVEMENT,
    SUGGESTION,
    Judge,
    _prompt_text,
    criteria_schema,
    question_schema,
    questions_schema,
)
from imagination.model import Answer, CallRecord, Criterion, Picture, Prompts, Question, Request, Rules, Usage
from imagination.prompts import TEMPLATES, Templates

CALL = CallRecord(provider="ollama", model="eyes")
TEXTS = {
    name: " ".join("{" + key + "}" for key in (*needed, *allowed)) for name, (needed, allowed) in TEMPLATES.items()
}
PICTURE = Picture("the original", b"png", "cG5n", (1, 1))


def keys_in(schema: Any) -> List[str]:
    """Every key at any depth of a schema."""
    if isinstance(schema, dict):
        return [key for name, part in schema.items() for key in (name, *keys_in(part))]
    return [key for part in schema for key in keys_in(part)] if isinstance(schema, list) else []


# --- schemas ------------------------------------------------------------------------------------------------------------

CRITERIA = [
    Criterion(field="warm", question="Is it warm?", min=0, max=1),
    Criterion(field="likeness", question="How like?", type="number", min=0.9, max=1),
    Criterion(field="people", question="How many?", type="integer", min=1, max=2),
    Criterion(field="time", question="What time?", type="string", enum=["dusk", "dawn"]),
    Criterion(field="faults", question="Which faults?", type="array", max=0),
]


@pytest.mark.parametrize("lenient", [False, True])
def test_what_lets_a_criterion_pass_is_not_in_the_schema(lenient: bool) -> None:
    schema = criteria_schema(CRITERIA, lenient)
    assert {"minimum", "maximum", "minItems", "maxItems", "enum"} & set(keys_in(schema)) == set()
    assert "dusk" not in str(schema)


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda criterion: criterion.field)
def test_a_verdict_has_the_criterions_type_or_is_null_and_follows_its_reason(criterion: Criterion) -> None:
    part = criteria_schema([criterion])["properties"][criterion.field]
    assert list(part["properties"]) == part["required"] == ["reason", "verdict"]
    verdict = part["properties"]["verdict"]
    assert (verdict["type"], verdict["description"]) == ([criterion.type, "null"], criterion.question)


def test_a_verdict_without_a_reason_is_read() -> None:
    parts = criteria_schema(CRITERIA, lenient=True)["properties"].values()
    assert [part["required"] for part in parts] == [["verdict"]] * len(CRITERIA)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, {"type": ["string", "null"]}),
        ({"enum": ["a", "b"]}, {"type": ["string", "null"], "enum": ["a", "b", None]}),
        ({"type": "boolean", "min": 0, "max": 1}, {"type": ["boolean", "null"]}),
        ({"type": "number", "min": 0, "max": 0.5}, {"type": ["number", "null"], "minimum": 0.0, "maximum": 0.5}),
        ({"type": "integer", "min": 1}, {"type": ["integer", "null"], "minimum": 1}),
        ({"type": "integer", "min": 0.5, "max": 9.5}, {"type": ["integer", "null"], "minimum": 1, "maximum": 9}),
        ({"type": "array"}, {"type": ["array", "null"], "items": {"type": "string"}}),
        (
            {"type": "array", "items": ["a", "b"], "min": 1, "max": 2},
            {"type": ["array", "null"], "items": {"type": "string", "enum": ["a", "b"]}, "minItems": 1, "maxItems": 2},
        ),
        ({"type": "array", "items": [1, "b"]}, {"type": ["array", "null"], "items": {"enum": [1, "b"]}}),
        (
            {"type": "array", "items": {"type": "integer"}, "min": -1},
            {"type": ["array", "null"], "items": {"type": "integer"}},
        ),
    ],
)
def test_a_question_is_asked_with_its_bounds(keys: Dict[str, Any], expected: Dict[str, Any]) -> None:
    schema = question_schema(Question(field="f", question="What?", **keys))
    assert schema == {**expected, "description": "What?"}
    assert [type(schema[key]) for key in ("minimum", "minItems") if key in schema] == [
        type(expected[key]) for key in ("minimum", "minItems") if key in expected
    ]


@pytest.mark.parametrize(
    "schema",
    [
        COMPARISON,
        IMPROVEMENT,
        SUGGESTION,
        criteria_schema(CRITERIA),
        questions_schema([Question(field="a", question="?")]),
    ],
)
def test_every_property_is_required_and_no_other_allowed(schema: Dict[str, Any]) -> None:
    assert schema["required"] == list(schema["properties"])
    assert schema["additionalProperties"] is False


def test_the_similarity_comes_after_what_was_seen() -> None:
    assert list(COMPARISON["properties"]) == ["differences", "analysis", "similarity_score"]
    assert next(iter(SUGGESTION["properties"])) == "reason"


# --- requests and records -----------------------------------------------------------------------------------------------


class Replies:
    """A vision model that gives one reply and remembers what it was asked."""

    def __init__(self, values: Optional[Dict[str, Any]] = None, text: str = "") -> None:
        self.values, self.text = values or {}, text
        self.asked: List[Request] = []

    def ask(self, request: Request) -> Answer:
        self.asked.append(request)
        return Answer(self.values, self.text, (), CALL, Usage(requests=1))


def judge(replies: Replies, **rules: Any) -> Judge:
    made = Rules(**{"project": {"max_iterations": 1}, "acceptance_criteria": CRITERIA, **rules})
    return Judge(replies, Templates(TEXTS), made, notes="too dark last time")


def evaluation(**values: Any) -> Any:
    return judge(Replies(values)).evaluate(3, PICTURE, PICTURE, {"q": "seen"})


def test_the_description_goes_with_every_later_request() -> None:
    replies = Replies(text="A  car\nstands there.")
    asking = judge(replies)
    asking.describe(PICTURE)
    assert asking.description == "A car stands there."
    asking.evaluate(1, PICTURE, PICTURE, {})
    asking.compare(1, PICTURE, PICTURE, 0.5)
    assert all("A car stands there." in request.instruction for request in replies.asked[1:])


def test_an_evaluation_carries_the_answers_to_the_questions() -> None:
    replies = Replies()
    judge(replies, questions=[Question(field="q", question="What is seen?")]).evaluate(
        1, PICTURE, PICTURE, {"q": "a cat"}
    )
    assert '- What is seen? "a cat"' in replies.asked[0].instruction


def test_verdicts_become_results_reasons_and_a_score() -> None:
    got = evaluation(
        warm={"reason": "golden\n light", "verdict": True},
        likeness={"verdict": 0.5},
        people=2,  # a verdict without its object
        time={"reason": "dark", "verdict": None},
    )
    assert got.criteria_results == {"warm": True, "likeness": False, "people": True, "time": False, "faults": False}
    assert got.reasons == {"warm": "golden light", "time": "dark"}
    assert got.values == {"warm": True, "likeness": 0.5, "people": 2, "time": None, "faults": None}
    assert (got.overall_score, got.source, got.unanswered) == (40.0, "aivis", ["time", "faults"])
    assert (got.passed_fields, got.failed_fields) == (["warm", "people"], ["likeness", "time", "faults"])


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_the_second_look_asks_in_another_order_and_no_question_comes_again_soon(count: int) -> None:
    replies = Replies()
    asking = judge(replies, acceptance_criteria=CRITERIA[:count])
    for look in range(2 * count):
        asking.evaluate(1, PICTURE, PICTURE, {}, look)
    orders = [tuple((request.schema or {})["properties"]) for request in replies.asked]
    assert orders[0] == tuple(criterion.field for criterion in CRITERIA[:count])
    assert orders[1] == orders[0][::-1]
    assert len({(order, look % 2) for look, order in enumerate(orders)}) == 2 * count  # two wordings, in turn


def test_helper_questions_without_an_answer_are_listed() -> None:
    asked = [Question(field="a", question="?a"), Question(field="b", question="?b")]
    got = judge(Replies({"a": "yes"}), questions=asked).answer(2, PICTURE, PICTURE)
    assert (got.iteration, got.answers, got.unanswered) == (2, {"a": "yes", "b": None}, ["b"])


def test_a_comparison_without_a_score_is_measured() -> None:
    got = judge(Replies({"differences": ["sky"]})).compare(1, PICTURE, PICTURE, 0.25)
    assert (got.source, got.similarity_score, got.measured, got.differences) == ("measured", 0.25, 0.25, ["sky"])


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({"positive": "new\n one", "negative": " bad "}, ("new one", "bad")),
        ({"positive": "new", "negative": ""}, ("new", "")),
        ({"positive": "new"}, ("new", "old negative")),
        ({"positive": "new", "negative": None}, ("new", "old negative")),
        ({"positive": "  ", "negative": "bad"}, ("old positive", "bad")),
        ({"positive": None, "negative": "bad"}, ("old positive", "bad")),
    ],
)
def test_what_an_improvement_leaves_out_stays(reply: Dict[str, Any], expected: Any) -> None:
    comparison = judge(Replies()).compare(1, PICTURE, PICTURE, 0.5)
    old = Prompts(positive="old positive", negative="old negative")
    prompts, _ = judge(Replies(reply)).improve(old, evaluation(), comparison)
    assert (prompts.positive, prompts.negative) == expected


def test_an_improvement_is_text_only_and_carries_the_notes() -> None:
    replies = Replies({"positive": "x", "negative": "y"})
    asking = judge(replies)
    asking.improve(Prompts(positive="old"), evaluation(), asking.compare(1, PICTURE, PICTURE, 0.5))
    assert replies.asked[-1].pictures == ()
    assert "too dark last time" in replies.asked[-1].instruction


def test_a_suggestion_is_shown_the_settings_and_the_names_the_server_has() -> None:
    replies = Replies({"steps": 30})
    judge(replies).suggest("denoise: 0.5", 0.912, evaluation(), {"sampler_name": ("euler", "heun")})
    told = replies.asked[-1].instruction
    assert "denoise: 0.5" in told and "0.91" in told and "euler, heun" in told
    assert replies.asked[-1].pictures == ()


def test_a_prompt_is_one_visible_line_of_bounded_length() -> None:
    assert _prompt_text("a\x1b[31m b\n\u202ec \x00") == "a [31m b c"
    cut = _prompt_text("phrase one, " * 1000)
    assert 3900 < len(cut) <= 4000 and cut.endswith("phrase one")
    assert len(_prompt_text("x" * 9000)) == 4000
