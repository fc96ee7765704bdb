"""What the judge asks for is limited, so that no model runs away inside a text; what it reads is not."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

from imagination.judge import COMPARISON, Judge, bounded, criteria_schema, questions_schema
from imagination.model import Answer, CallRecord, Criterion, Picture, Question, Request, Rules, Usage
from imagination.prompts import TEMPLATES, Templates

TEXT: Dict[str, Any] = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "limited"),
    [
        (TEXT, {"type": "string", "maxLength": 400}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"], "maxLength": 400}),
        ({"type": "string", "maxLength": 5}, {"type": "string", "maxLength": 5}),
        ({"type": "string", "minLength": 500}, {"type": "string", "minLength": 500, "maxLength": 500}),
        ({"type": ["string", "null"], "enum": ["a", None]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"type": "boolean"}, {"type": "boolean"}),
        ({"enum": [1, 2]}, {"enum": [1, 2]}),
        (
            {"type": "array", "items": TEXT},
            {"type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": 24},
        ),
        (
            {"type": "array", "items": {"type": "integer"}, "minItems": 30},
            {"type": "array", "items": {"type": "integer"}, "minItems": 30, "maxItems": 30},
        ),
    ],
)
def test_every_text_and_list_without_a_limit_gets_one(schema: Dict[str, Any], limited: Dict[str, Any]) -> None:
    assert bounded(schema) == limited


def test_limits_reach_into_objects_and_leave_the_given_schema_alone() -> None:
    schema = criteria_schema([Criterion(field="a", question="Is it?")])
    reason = bounded(schema)["properties"]["a"]["properties"]["reason"]
    assert reason == {"type": "string", "maxLength": 400}
    assert schema["properties"]["a"]["properties"]["reason"] == TEXT


def test_twelve_differences_and_an_analysis_fit_the_default_length_of_a_reply() -> None:
    parts = bounded(COMPARISON, 800)["properties"]
    most = (
        parts["differences"]["maxItems"] * parts["differences"]["items"]["maxLength"] + parts["analysis"]["maxLength"]
    )
    assert most / 3 < 2048  # three characters a token is a poor tokenizer


class Recorder:
    """Keeps the requests and gives no field."""

    def __init__(self) -> None:
        self.requests: List[Request] = []

    def ask(self, request: Request) -> Answer:
        self.requests.append(request)
        return Answer({}, "", (), CallRecord(provider="p", model="m", using_fallback=False, attempts=1), Usage())


def test_questions_are_asked_with_limits_and_read_without() -> None:
    rules = Rules.model_validate(
        {
            "project": {"max_iterations": 1},
            "acceptance_criteria": [{"field": "a", "question": "Is it?"}],
            "questions": [{"field": "light", "question": "Which light?"}],
        }
    )
    recorder = Recorder()
    picture = Picture("a picture", b"", "", (1, 1))
    Judge(recorder, Templates(dict.fromkeys(TEMPLATES, "")), rules).answer(1, picture, picture)
    (request,) = recorder.requests
    assert request.schema is not None and request.schema["properties"]["light"]["maxLength"] == 400
    assert request.accept == questions_schema([Question(field="light", question="Which light?")])
