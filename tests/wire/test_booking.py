"""What each exchange took is on the account before the next one is made, and once: the run may end in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Tuple

import pytest
from fake_vision import FakeVision, Says, completion
from vision_samples import FORMAL, request

from imagination.errors import StoreError
from imagination.model import VisionSettings
from imagination.reply_cache import ReplyCache
from imagination.store import Run
from imagination.vision import AskFailed, Vision

BILLED = {"cost": 0.25, "prompt_tokens": 7, "completion_tokens": 3}
BUSY = Says({"error": {"code": 503, "message": "busy"}}, 503)
BUSY_BUT_BILLED = Says({"error": {"code": 503, "message": "busy"}, "usage": BILLED}, 503)
UNREADABLE = completion("A lake, no JSON.", cost=0.25)
PART = completion('{"is_formal": false}', cost=0.25)
REST = completion('{"colour": "red"}', cost=0.5)
WHOLE = completion(FORMAL, cost=0.5)
NO_SCHEMA = Says({"error": {"code": 400, "message": "response_format is not supported"}, "usage": BILLED}, 400)


def stop(seconds: float) -> None:
    """Ctrl-C in a pause between two attempts."""
    raise KeyboardInterrupt


def asking(folder: Path, server: FakeVision, sleep: Callable[[float], None] = lambda _: None) -> Tuple[ReplyCache, Run]:
    settings = VisionSettings(provider="openrouter", model="m", base_url=server.url + "/v1", timeout=5)
    run = Run(folder / "run", "2026-01-01_00-00-00")
    run.root.mkdir(exist_ok=True)
    return ReplyCache(Vision.from_settings(settings, {}, sleep=sleep), run, settings), run


@pytest.mark.parametrize(
    ("answers", "requests", "cost"),
    [
        ([BUSY_BUT_BILLED], 1, 0.25),
        ([UNREADABLE, BUSY], 2, 0.25),
        ([UNREADABLE, BUSY_BUT_BILLED], 2, 0.5),
        ([PART, BUSY], 2, 0.25),
        ([NO_SCHEMA, BUSY], 2, 0.25),
    ],
    ids=["failed", "unreadable", "failed again", "part of an answer", "another form"],
)
def test_a_stop_while_an_answer_is_still_to_come_leaves_what_was_billed_on_the_account(
    tmp_path: Path, answers: Any, requests: int, cost: float
) -> None:
    with FakeVision(*answers) as server:
        vision, run = asking(tmp_path, server, stop)
        with pytest.raises(KeyboardInterrupt):
            vision.ask(request())
    paid = run.paid()
    assert paid is not None and (paid.requests, paid.cost) == (requests, cost)


@pytest.mark.parametrize(
    ("answers", "cost"),
    [
        ([WHOLE], 0.5),
        ([UNREADABLE, WHOLE], 0.75),
        ([PART, REST], 0.75),
        ([PART, UNREADABLE], 0.5),
        ([NO_SCHEMA, BUSY_BUT_BILLED, PART, REST], 1.25),
    ],
    ids=["whole", "repaired", "completed", "not completed", "all of it"],
)
def test_each_exchange_of_an_answer_is_on_the_account_once(tmp_path: Path, answers: Any, cost: float) -> None:
    with FakeVision(*answers) as server:
        vision, run = asking(tmp_path, server)
        usage = vision.ask(request()).usage
        kept = run.last_cached()
    assert run.paid() == usage and (usage.requests, usage.cost) == (len(answers), cost)
    assert kept is not None and kept.paid == kept.usage == usage


def test_each_exchange_of_a_failure_is_on_the_account_once(tmp_path: Path) -> None:
    with FakeVision(UNREADABLE, BUSY_BUT_BILLED, UNREADABLE) as server:
        vision, run = asking(tmp_path, server)
        with pytest.raises(AskFailed) as failed:
            vision.ask(request())
    assert run.paid() == failed.value.usage and (failed.value.usage.requests, failed.value.usage.cost) == (3, 0.75)


@pytest.mark.parametrize("first", [UNREADABLE, BUSY, PART, NO_SCHEMA], ids=["unreadable", "busy", "part", "form"])
def test_nothing_more_is_asked_after_an_exchange_that_cannot_be_accounted_for(tmp_path: Path, first: Says) -> None:
    with FakeVision(first, WHOLE, WHOLE) as server:
        vision, run = asking(tmp_path, server)
        run.root.rmdir()
        run.root.write_text("no folder", encoding="utf-8")
        with pytest.raises(StoreError, match=r"paid\.json cannot be written"):
            vision.ask(request())
        assert len(server.asked) == 1
        run.root.unlink()
        run.root.mkdir()
        vision.ask(request())
    assert run.paid() is not None and run.paid().requests == 2  # type: ignore[union-attr]
