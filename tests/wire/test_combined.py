"""`calls: combined`: one request for questions, comparison and criteria gives the records that three requests give."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import pytest
from fake_vision import FakeVision, Says, chat, dead_url
from PIL import Image

from imagination import images
from imagination.assess import Assessment, Assessor
from imagination.combined import combined_schema
from imagination.config import load_texts
from imagination.judge import Judge
from imagination.model import Criterion, Question, Rules, VisionSettings
from imagination.prompts import Templates
from imagination.reply_cache import ReplyCache
from imagination.store import Run
from imagination.vision import Vision

DEFAULTS = Path(__file__).resolve().parents[2] / "defaults" / "prompts.yaml"
TEXTS = Templates.merge([load_texts(DEFAULTS)])[0]
RULES = Rules(
    project={"max_iterations": 1},  # type: ignore[arg-type]
    acceptance_criteria=[
        Criterion(field="is_red", question="Is it red?"),
        Criterion(field="wheels", question="How many wheels?", type="integer", min=4, max=4),
    ],
    questions=[
        Question(field="main_colour", question="Which colour is it?"),
        Question(field="people", question="How many people?", type="integer", min=0),
    ],
)
QUESTIONS = {"main_colour": "red", "people": 2}
COMPARISON = {"differences": ["colour", "sky"], "analysis": "Paler.", "similarity_score": 0.6}
CRITERIA = {"is_red": {"reason": "It is red.", "verdict": True}, "wheels": {"reason": "Three.", "verdict": 3}}
WHOLE = {"questions": QUESTIONS, "comparison": COMPARISON, "criteria": CRITERIA}


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (shade, 40, 90)).save(out, "PNG")
    return out.getvalue()


class Desk:
    """An assessor whose model is a fake server, and what it warned of."""

    def __init__(
        self, folder: Path, url: str, calls: str, rules: Rules = RULES, looks: int = 0, **settings: Any
    ) -> None:
        told = {"provider": "ollama", "model": "eyes", "base_url": url, "retry_delay": 0, "calls": calls, "timeout": 5}
        vision = VisionSettings(**{**told, **settings})
        eyes = Vision.from_settings(vision, {}, sleep=lambda seconds: None)
        self.run = Run(folder, "2026-01-01_00-00-00")
        folder.mkdir(exist_ok=True)
        self.warned: List[str] = []
        self.asking: List[str] = []
        self.assessor = Assessor(
            run=self.run,
            rules=rules,
            settings=vision,
            original=images.for_vision(png(10), "the original"),
            fingerprint=images.fingerprint(png(10)),
            judge=Judge(ReplyCache(eyes, self.run, vision), TEXTS, rules),
            eyes=eyes,
            asking=self.asking.append,
            warn=self.warned.append,
            looks=looks,
        )

    def assess(self, again: bool = False) -> Assessment:
        return self.assessor.assess(1, png(200), again)


def records(found: Assessment) -> Dict[str, Any]:
    """What was found, without what it took."""
    parts = {"answers": found.answers, "comparison": found.comparison, "evaluation": found.evaluation}
    return {name: part.model_dump(exclude={"usage", "aivis_metadata"}) for name, part in parts.items()}


def staged(folder: Path, *replies: Says) -> Dict[str, Any]:
    with FakeVision(*replies) as server:
        found = Desk(folder / "staged", server.url, "staged").assess()
        assert len(server.asked) == len(replies)
    return records(found)


def says(values: Any) -> Says:
    return chat(values if isinstance(values, str) else json.dumps(values))


def without(section: str, field: Optional[str] = None) -> Dict[str, Any]:
    parts: Dict[str, Any] = {name: dict(part) for name, part in WHOLE.items()}
    del parts[section]
    if field is not None:
        parts[section] = {name: value for name, value in WHOLE[section].items() if name != field}  # type: ignore[attr-defined]
    return parts


NULLS = {
    "questions": {"main_colour": None, "people": None},
    "comparison": {"differences": [], "analysis": "", "similarity_score": 1},
    "criteria": {"is_red": {"reason": "Cannot tell.", "verdict": None}, "wheels": {"verdict": 4}},
}
ALONE = {
    "questions": {"main_colour": "blue", "people": 0},
    "comparison": {"differences": ["all"], "analysis": "Other.", "similarity_score": 0.1},
    "criteria": {"is_red": {"reason": "Blue.", "verdict": False}, "wheels": {"reason": "Four.", "verdict": 4}},
}
ORDER = ("questions", "comparison", "criteria")


@pytest.mark.parametrize(
    ("reply", "alone"),
    [
        (WHOLE, ()),
        (NULLS, ()),
        ("Here it is:\n```json\n" + json.dumps(WHOLE) + "\n```", ()),
        ({"result": WHOLE}, ()),
        ({**WHOLE, "Criteria": CRITERIA, "note": "done"}, ()),
        (without("questions"), ("questions",)),
        (without("comparison"), ("comparison",)),
        (without("criteria"), ("criteria",)),
        (without("questions", "people"), ("questions",)),
        (without("comparison", "similarity_score"), ("comparison",)),
        (without("comparison", "analysis"), ()),
        (without("criteria", "is_red"), ("criteria",)),
        ({**WHOLE, "criteria": "all fine"}, ("criteria",)),
        ({**WHOLE, "comparison": {**COMPARISON, "similarity_score": 7}}, ("comparison",)),
        ({"questions": QUESTIONS}, ("comparison", "criteria")),
    ],
)
def test_the_records_are_those_of_three_requests(tmp_path: Path, reply: Any, alone: Sequence[str]) -> None:
    base = reply if isinstance(reply, dict) and "questions" in reply and "criteria" in reply else WHOLE
    base = NULLS if reply is NULLS else {**WHOLE, **{k: v for k, v in base.items() if k in ORDER}}
    sections = {name: ALONE[name] if name in alone else base[name] for name in ORDER}
    with FakeVision(says(reply), *(says(ALONE[name]) for name in alone)) as server:
        desk = Desk(tmp_path / "combined", server.url, "combined")
        found = desk.assess()
        assert len(server.asked) == 1 + len(alone)
    assert records(found) == staged(tmp_path, *(says(sections[name]) for name in ORDER))
    took = [part.usage.requests for part in (found.answers, found.comparison, found.evaluation)]
    assert sum(took) == 1 + len(alone), took  # each request is counted once
    assert desk.run.answers(1) == found.answers and desk.run.comparison(1) == found.comparison
    assert desk.run.evaluation(1) == found.evaluation


def test_one_request_has_both_pictures_every_question_and_the_reasoning_first(tmp_path: Path) -> None:
    with FakeVision(says(WHOLE)) as server:
        desk = Desk(tmp_path, server.url, "combined")
        found = desk.assess()
    (body,) = server.bodies
    message = body["messages"][-1]
    assert len(message["images"]) == 2
    assert all(text in message["content"] for text in ("Which colour is it?", "Is it red?", "How many wheels?"))
    asked = body["format"]["properties"]
    assert list(asked) == list(ORDER)
    assert list(asked["comparison"]["properties"]) == ["differences", "analysis", "similarity_score"]
    assert list(asked["criteria"]["properties"]["wheels"]["properties"]) == ["reason", "verdict"]
    assert asked["comparison"]["properties"]["analysis"]["maxLength"] == 800
    assert asked["criteria"]["properties"]["wheels"]["properties"]["reason"]["maxLength"] == 400
    assert desk.asking == ["combined"]
    assert found.evaluation.usage.prompt_tokens > 0 and found.answers.usage.requests == 0


def test_without_questions_there_is_no_such_section(tmp_path: Path) -> None:
    rules = RULES.model_copy(update={"questions": []})
    assert list(combined_schema([], rules.acceptance_criteria)["properties"]) == ["comparison", "criteria"]
    with FakeVision(says({"comparison": COMPARISON, "criteria": CRITERIA})) as server:
        found = Desk(tmp_path, server.url, "combined", rules).assess()
        assert len(server.asked) == 1
    assert (found.answers.answers, found.answers.aivis_metadata.attempts) == ({}, 0)
    assert found.evaluation.criteria_results == {"is_red": True, "wheels": False}


def test_a_reply_that_cannot_be_read_at_all_leaves_three_requests(tmp_path: Path) -> None:
    parts = [says(WHOLE[name]) for name in ORDER]
    with FakeVision(chat("I like it."), chat("Very much."), *parts) as server:
        found = Desk(tmp_path, server.url, "combined").assess()
        assert len(server.asked) == 5
    assert records(found) == staged(tmp_path, *parts)
    assert sum(p.usage.requests for p in (found.answers, found.comparison, found.evaluation)) == 5
    assert found.evaluation.usage.requests == 3  # the two that came to nothing are its own to tell


def test_a_section_that_stays_unreadable_is_on_record_as_in_three_requests(tmp_path: Path) -> None:
    dumb = [chat("No idea."), chat("None.")]
    with FakeVision(says(without("criteria")), *dumb) as server:
        desk = Desk(tmp_path, server.url, "combined")
        found = desk.assess()
    assert (found.evaluation.source, found.evaluation.usage.requests) == ("fallback", 3)
    assert found.answers.answers == QUESTIONS and found.comparison.similarity_score == 0.6
    assert len(desk.warned) == 1 and "kept unjudged" in desk.warned[0]
    with FakeVision(says(CRITERIA)) as server:  # later, it is judged: for the criteria alone
        again = Desk(tmp_path, server.url, "combined").assess(again=True)
        assert len(server.asked) == 1
    assert again.evaluation.criteria_results == {"is_red": True, "wheels": False}


def test_where_nobody_answers_three_more_requests_are_not_tried(tmp_path: Path) -> None:
    desk = Desk(tmp_path, dead_url(), "combined", retries=1)
    found = desk.assess()
    assert desk.asking == ["combined"]
    assert (found.evaluation.source, found.comparison.source, found.answers.unanswered) == (
        "fallback", "measured", ["main_colour", "people"],
    )  # fmt: skip
    parts = (found.answers, found.comparison, found.evaluation)
    assert [part.aivis_metadata.success for part in parts] == [False] * 3
    assert [part.usage.requests for part in parts] == [0, 0, 2]
    with FakeVision(says(WHOLE)) as server:  # later: all of it anew, in one request
        again = Desk(tmp_path, server.url, "combined").assess(again=True)
        assert len(server.asked) == 1
    assert again.evaluation.source == "aivis" and again.comparison.source == "aivis"


@pytest.mark.parametrize(
    "lost", [("evaluation",), ("evaluation", "comparison"), ("evaluation", "comparison", "questions")]
)
def test_a_process_that_ends_between_two_files_asks_nothing_twice(tmp_path: Path, lost: Sequence[str]) -> None:
    with FakeVision(says(WHOLE)) as server:
        first = Desk(tmp_path, server.url, "combined").assess()
        desk = Desk(tmp_path, server.url, "combined")
        for kind in lost:
            desk.run.file(kind, 1).unlink()
        second = desk.assess()
        assert len(server.asked) == 1
    assert records(second) == records(first)
    assert second.evaluation.aivis_metadata.cached and desk.run.evaluation(1) == second.evaluation


def test_a_cut_reply_gets_more_room_before_anything_is_asked_alone(tmp_path: Path) -> None:
    cut = chat(json.dumps(WHOLE)[:-60], reason="length")
    with FakeVision(cut, says(WHOLE)) as server:
        found = Desk(tmp_path, server.url, "combined").assess()
    assert [body["options"]["num_predict"] for body in server.bodies] == [2048, 4096]
    assert found.evaluation.usage.requests == 2


PASSING = {"is_red": {"reason": "Red.", "verdict": True}, "wheels": {"reason": "Four.", "verdict": 4}}


def test_a_pass_in_one_request_is_confirmed_by_looks_at_the_criteria_alone(tmp_path: Path) -> None:
    with FakeVision(says({**WHOLE, "criteria": PASSING}), says(PASSING)) as server:
        desk = Desk(tmp_path, server.url, "combined", looks=1)
        found = desk.assess()
    assert found.evaluation.votes == {"is_red": [True, True], "wheels": [True, True]}
    assert desk.asking == ["combined", "second_look"]
    assert [body["options"]["seed"] for body in server.bodies] == [1, 1001]
    assert found.evaluation.usage.requests == 2 and desk.run.evaluation(1) == found.evaluation


@pytest.mark.parametrize("calls", ["staged", "combined"])
def test_what_a_confirmation_that_failed_took_is_counted(tmp_path: Path, calls: str) -> None:
    parts = [WHOLE["questions"], COMPARISON, PASSING] if calls == "staged" else [{**WHOLE, "criteria": PASSING}]
    with FakeVision(*(says(part) for part in parts), chat("Hm."), chat("Hm.")) as server:
        found = Desk(tmp_path, server.url, calls, looks=1).assess()
    assert found.evaluation.source == "fallback" and found.evaluation.usage.requests == 3
