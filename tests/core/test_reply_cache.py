"""The cache of replies: what makes two requests the same, what is kept, and what is done with files that are no answers."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from imagination.disk import write_bytes
from imagination.errors import VisionError
from imagination.model import Answer, CallRecord, Picture, Request, Usage, VisionSettings
from imagination.replies import parse_reply
from imagination.reply_cache import ReplyCache, deciding, reply_key
from imagination.store import Run

SETTINGS = VisionSettings(provider="ollama", model="eyes")
CALL = CallRecord(provider="ollama", model="eyes:4b", attempts=2)
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"]}
ORIGINAL, RESULT = (Picture(name, name.encode(), "", (8, 8)) for name in ("the original", "the result"))
REQUEST = Request("questions", "Look.", (ORIGINAL, RESULT), SCHEMA)
FREE_TEXT = Request("description", "Describe.", (ORIGINAL,))


class Model:
    """Gives its answers in turn, the last one again and again; remembers what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), []  # type: List[Any], List[Request]

    def ask(self, request: Request) -> Answer:
        self.asked.append(request)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[no-any-return]


def answer(values: Optional[Dict[str, Any]] = None, text: str = "{}", missing: Any = (), **call: Any) -> Answer:
    return Answer(values or {}, text, missing, CALL.model_copy(update=call), Usage(requests=2, cost=0.5))


def cache(folder: Path, model: Model, **settings: Any) -> ReplyCache:
    return ReplyCache(model, Run(folder, "2026-01-01_00-00-00"), SETTINGS.model_copy(update=settings))


def only_file(folder: Path) -> Path:
    (path,) = (folder / "cache").iterdir()
    return path


# --- what is the same request ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, purpose="evaluation"),
        replace(REQUEST, instruction="Look!"),
        replace(REQUEST, pictures=(RESULT, ORIGINAL)),
        replace(REQUEST, pictures=(ORIGINAL,)),
        replace(REQUEST, pictures=(ORIGINAL, replace(RESULT, png=b"other bytes"))),
        replace(REQUEST, pictures=(ORIGINAL, replace(RESULT, label="another"))),
        replace(REQUEST, schema={**SCHEMA, "required": ["a", "b"]}),
        replace(REQUEST, schema={**SCHEMA, "properties": dict(reversed(list(SCHEMA["properties"].items())))}),  # type: ignore[attr-defined]
        replace(REQUEST, schema=None),
        replace(REQUEST, accept={**SCHEMA, "required": []}),
        replace(REQUEST, look=1),
    ],
)
def test_each_part_of_a_request_makes_it_another(other: Request) -> None:
    asked = deciding(SETTINGS)
    assert reply_key(other, asked) != reply_key(REQUEST, asked)
    assert reply_key(replace(REQUEST), asked) == reply_key(REQUEST, asked)


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        ({"model": "ears"}, True),
        ({"provider": "openrouter"}, True),
        ({"fallback_provider": "builtin"}, True),
        ({"fallback_provider": "openrouter", "fallback_model": "m"}, True),
        ({"base_url": "http://elsewhere:1"}, True),
        ({"options": {"temperature": 0.5}}, True),
        ({"think": True}, True),
        ({"max_tokens": 4096}, True),
        ({"timeout": 5.0}, False),
        ({"retries": 0}, False),
        ({"max_concurrent": 4}, False),
        ({"keep_alive": 0}, False),
        ({"api_key": "secret"}, False),
    ],
)
def test_settings_that_decide_the_reply_make_it_another_request(change: Dict[str, Any], is_another: bool) -> None:
    asked = deciding(SETTINGS.model_copy(update=change))
    assert (reply_key(REQUEST, asked) != reply_key(REQUEST, deciding(SETTINGS))) is is_another


def test_a_password_in_an_address_is_no_part_of_the_key() -> None:
    plain, secret = (SETTINGS.model_copy(update={"base_url": f"http://{who}box:1/x"}) for who in ("", "me:pass@"))
    assert deciding(plain) == deciding(secret)


# --- what is kept -----------------------------------------------------------------------------------------------------------


def test_an_answer_is_asked_for_once_and_costs_nothing_the_second_time(tmp_path: Path) -> None:
    model = Model(answer({"a": "ä", "b": 2}, "text"))
    first = cache(tmp_path, model).ask(REQUEST)
    again = cache(tmp_path, model).ask(REQUEST)  # of another process
    assert len(model.asked) == 1
    assert (first.usage.requests, first.call.cached) == (2, False)
    assert (again.values, again.text, again.missing) == ({"a": "ä", "b": 2}, "text", ())
    assert again.usage == Usage()
    assert again.call == CALL.model_copy(update={"cached": True})


def test_a_free_text_is_kept_as_well(tmp_path: Path) -> None:
    model = Model(answer(text="A car."))
    asking = cache(tmp_path, model)
    assert [asking.ask(FREE_TEXT).text, asking.ask(FREE_TEXT).text, len(model.asked)] == ["A car.", "A car.", 1]


def test_another_look_is_asked_and_then_known_too(tmp_path: Path) -> None:
    model = Model(answer({"a": "first"}), answer({"a": "second"}))
    asking = cache(tmp_path, model)
    seen = [asking.ask(replace(REQUEST, look=look)).values["a"] for look in (0, 1, 0, 1)]
    assert (seen, len(model.asked)) == (["first", "second", "first", "second"], 2)


def test_what_was_left_out_is_left_out_again_and_not_paid_for_twice(tmp_path: Path) -> None:
    model = Model(answer({"b": 1}, missing=("a",)), answer({"a": "x"}))
    for asking in (cache(tmp_path, model), cache(tmp_path, model)):
        found = asking.ask(REQUEST)
        assert (found.values, found.missing) == ({"b": 1}, ("a",))
    assert len(model.asked) == 1


@pytest.mark.parametrize("poor", [VisionError("down"), answer({"a": "x"}, success=False)])
def test_failures_are_asked_for_again(tmp_path: Path, poor: Any) -> None:
    model = Model(poor, answer({"a": "x"}))
    asking = cache(tmp_path, model)
    if isinstance(poor, VisionError):
        with pytest.raises(VisionError, match="down"):
            asking.ask(REQUEST)
    else:
        asking.ask(REQUEST)
    assert asking.ask(REQUEST).values == {"a": "x"} and len(model.asked) == 2


def test_an_answer_that_json_cannot_hold_is_given_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asking = cache(tmp_path, Model(answer({"a": float("nan")})))
    assert asking.ask(REQUEST).values["a"] != 0
    assert "could not be kept" in caplog.text and not (tmp_path / "cache").exists()


def test_a_folder_that_cannot_be_written_costs_only_the_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be", encoding="utf-8")
    model = Model(answer({"a": "x"}))
    asking = cache(tmp_path, model)
    assert [asking.ask(REQUEST).values, asking.ask(REQUEST).values] == [{"a": "x"}, {"a": "x"}]
    assert len(model.asked) == 2 and "could not be kept" in caplog.text


def test_a_file_says_what_was_answered_and_by_whom_and_no_secret(tmp_path: Path) -> None:
    cache(tmp_path, Model(answer({"a": "x"})), api_key="sk-secret", base_url="http://me:hidden@box").ask(REQUEST)
    path = only_file(tmp_path)
    told = json.loads(path.read_text(encoding="utf-8"))
    assert set(told) == {"format", "key", "purpose", "values", "text", "missing", "call", "usage", "booked", "paid"}
    assert (told["purpose"], told["key"], told["call"]["model"]) == ("questions", path.stem, "eyes:4b")
    assert "secret" not in path.read_text(encoding="utf-8") and "hidden" not in path.read_text(encoding="utf-8")


# --- files that are no answers ---------------------------------------------------------------------------------------------


def changed(**parts: Any) -> Any:
    return lambda told: {**told, **parts}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: "",
        lambda told: "{" + "half",
        lambda told: "[1, 2]",
        lambda told: "[" * 5000,
        changed(format=99),
        changed(key="0" * 64),
        changed(purpose="evaluation"),
        changed(values={"a": 5.5}),
        changed(values={"b": 1}),
        changed(values={}),
        changed(values="x"),
        changed(values={"a": "x", "other": 1}),
        changed(missing=["b"]),
        changed(call={"provider": "x"}),
        changed(call={"provider": "x", "model": "y", "success": False}),
    ],
)
def test_a_damaged_or_foreign_file_is_ignored_told_of_and_replaced(
    tmp_path: Path, spoil: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = Model(answer({"a": "x"}), answer({"a": "anew"}))
    asking = cache(tmp_path, model)
    asking.ask(REQUEST)
    path = only_file(tmp_path)
    made = spoil(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(made if isinstance(made, str) else json.dumps(made), encoding="utf-8")
    assert asking.ask(REQUEST).values == {"a": "anew"}
    assert [(r.levelno, "ignored" in r.message) for r in caplog.records] == [(logging.WARNING, True)]
    assert asking.ask(REQUEST).values == {"a": "anew"} and len(model.asked) == 2


@pytest.mark.parametrize("spoil", [changed(text=" "), changed(values={"a": 1})])
def test_a_free_text_needs_its_text_and_nothing_else(tmp_path: Path, spoil: Any) -> None:
    model = Model(answer(text="A car."), answer(text="A cat."))
    asking = cache(tmp_path, model)
    asking.ask(FREE_TEXT)
    path = only_file(tmp_path)
    write_bytes(path, json.dumps(spoil(json.loads(path.read_text(encoding="utf-8")))).encode())
    assert asking.ask(FREE_TEXT).text == "A cat."


DATA = Path(__file__).parents[1] / "data"
CASES: List[Dict[str, Any]] = [
    case
    for name in ("vlm-replies.json", "vlm-replies-more.json")
    for case in json.loads((DATA / name).read_text(encoding="utf-8"))
]


def test_every_reply_that_can_be_read_is_read_back_as_it_was(tmp_path: Path) -> None:
    read = 0
    for number, case in enumerate(CASES):
        values = parse_reply(case["raw"], case["schema"])
        if values is None:
            continue
        model, request = Model(answer(values)), replace(REQUEST, schema=case["schema"])
        (tmp_path / str(number)).mkdir()
        asking = cache(tmp_path / str(number), model)
        assert json.dumps([asking.ask(request).values, asking.ask(request).values]) == json.dumps([values, values])
        assert len(model.asked) == 1, case
        read += 1
    assert read > 50
