"""Runs that ask through the cache of replies: what a kill, a resume and a repeated picture cost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, List

import pytest
from scripted import ALL, HALF, NONE, VISION, Bench, ScriptedGenerator, ScriptedVision

from imagination.model import Answer, Request
from imagination.reply_cache import ReplyCache

KINDS = ("description", "questions", "comparison", "evaluation", "suggestion", "improvement")


@pytest.fixture
def remembering(bench: Bench) -> Bench:
    bench.remembers = ReplyCache
    return bench


def kept(bench: Bench) -> List[Any]:
    run = bench.store.runs()[-1]
    return [json.loads(path.read_text(encoding="utf-8")) for path in (run.root / "cache").glob("*.json")]


def test_every_call_of_a_run_is_kept(remembering: Bench) -> None:
    vision = ScriptedVision([NONE, HALF, ALL], 0.95)
    remembering.run(ScriptedGenerator(), vision)
    assert sorted(reply["purpose"] for reply in kept(remembering)) == sorted(r.purpose for r in vision.asked)
    assert {r.purpose for r in vision.asked} == set(KINDS)


@pytest.mark.parametrize("purpose", KINDS[1:])
def test_a_reply_that_came_before_a_kill_is_not_asked_for_again(remembering: Bench, purpose: str) -> None:
    class Dying(ReplyCache):
        """Ends the process when the reply is kept, and nothing has been made of it yet."""

        def ask(self, request: Request) -> Answer:
            answer = super().ask(request)
            if request.purpose == purpose:
                raise KeyboardInterrupt
            return answer

    replies = {"suggestion": {"reason": "", "steps": 20, "sampler_name": None, "scheduler": None}}
    first, generator = ScriptedVision([NONE, ALL], 0.95, replies=replies), ScriptedGenerator()
    remembering.remembers = Dying
    assert isinstance(remembering.run_stopped(generator, first), KeyboardInterrupt)
    remembering.remembers = ReplyCache
    verdicts = [ALL] if first.count("evaluation") else [NONE, ALL]
    second, again = ScriptedVision(verdicts, 0.95, replies=replies), ScriptedGenerator()
    again.jobs = generator.jobs  # goes on with other pictures
    outcome = remembering.run(again, second)
    assert outcome.passed and outcome.checkpoint.last_iteration == 2
    for kind, times in zip(KINDS, (1, 2, 2, 2, 1, 1)):
        assert first.count(kind) + second.count(kind) == times, kind


def test_a_reply_from_the_cache_is_on_record_as_such_and_free(remembering: Bench) -> None:
    first = remembering.run(ScriptedGenerator(), ScriptedVision([NONE]))
    vision = ScriptedVision([ALL])  # is not heard: the same pictures come again
    outcome = remembering.run(ScriptedGenerator(), vision, resume_from=1)
    assert vision.asked == []
    assert [m.evaluation for m in outcome.history] == [m.evaluation for m in first.history]
    assert outcome.history[0].aivis_metadata.cached and not first.history[0].aivis_metadata.cached
    assert outcome.history[0].usage.requests == 0 and outcome.checkpoint.totals.usage.requests == 0
    evaluation = remembering.store.runs()[-1].evaluation(1)
    assert evaluation is not None and evaluation.aivis_metadata.cached and evaluation.aivis_metadata.model == "eyes"


def test_a_new_run_asks_anew(remembering: Bench) -> None:
    remembering.run(ScriptedGenerator(), ScriptedVision([NONE]))
    vision = ScriptedVision([ALL])
    outcome = remembering.run(ScriptedGenerator(), vision, reset=True)
    assert outcome.passed and vision.count("description") == 1


def test_what_failed_is_asked_for_again(remembering: Bench) -> None:
    remembering.rules(max_iterations=1)
    remembering.run(ScriptedGenerator(), ScriptedVision([ALL], faults={"comparison": 1}))
    assert [reply["purpose"] for reply in kept(remembering)].count("comparison") == 0
    vision = ScriptedVision([NONE])
    remembering.run(ScriptedGenerator(), vision, resume_from=1)
    assert [request.purpose for request in vision.asked] == ["comparison"]


def test_another_model_is_another_question(remembering: Bench) -> None:
    remembering.run(ScriptedGenerator(), ScriptedVision([NONE]))
    remembering.write("AIVis.yaml", {"provider": "ollama", "model": "better eyes", "retry_delay": 0})
    vision = ScriptedVision([ALL])
    assert remembering.run(ScriptedGenerator(), vision, resume_from=1).passed
    assert vision.count("evaluation") == 1


def test_a_run_with_combined_calls_comes_to_the_same_with_a_third_of_the_looks(bench: Bench) -> None:
    histories = []
    for calls, looks in (("staged", 9), ("combined", 3)):
        bench.write("AIVis.yaml", {**VISION, "calls": calls})
        vision = ScriptedVision([NONE, HALF, ALL], 0.95)
        outcome = bench.run(ScriptedGenerator(), vision, reset=True)
        assert len([request for request in vision.asked if len(request.pictures) == 2]) == looks
        assert outcome.checkpoint.totals.usage.requests == len(vision.asked)
        histories.append(
            [(m.evaluation, m.comparison, m.questions, m.prompts_used, m.decision) for m in outcome.history]
        )
    assert histories[0] == histories[1]


class Killed(BaseException):
    """What no code of the run catches."""


class Mortal(ScriptedVision):
    """Its process is killed at the request of this number."""

    def __init__(self, dies_at: int) -> None:
        super().__init__([HALF])
        self.dies_at = dies_at

    def ask(self, request: Request) -> Answer:
        if len(self.asked) + 1 == self.dies_at:
            raise Killed
        return super().ask(request)


def test_what_answers_have_cost_is_counted_once_wherever_a_process_is_killed(tmp_path: Path) -> None:
    purposes = set()
    for dies_at in range(1, 100):
        bench = Bench(tmp_path / str(dies_at))
        bench.remembers = ReplyCache
        bench.rules(strategy="adaptive", max_iterations=2)
        killed, after = Mortal(dies_at), ScriptedVision([HALF])
        try:
            outcome = bench.run(ScriptedGenerator(), killed)
        except Killed:
            outcome = bench.run(ScriptedGenerator(), after)
        purposes |= {request.purpose for request in after.asked[:1]}
        paid = len(killed.asked) + len(after.asked)
        assert outcome.checkpoint.totals.usage.requests == paid, f"killed at request {dies_at}"
        if not after.asked:
            break
    assert {"judge_check", "comparison", "evaluation", "improvement", "duel"} <= purposes


def test_what_was_left_out_before_a_kill_is_not_asked_for_again_in_the_same_words(remembering: Bench) -> None:
    class LeavesOut(ScriptedVision):
        """Answers no more than one criterion at first; Ctrl-C when it is asked for the other."""

        def ask(self, request: Request) -> Answer:
            if request.look:
                raise KeyboardInterrupt
            got = super().ask(request)
            values = {name: value for name, value in got.values.items() if request.look or name != "same_shape"}
            is_part = request.purpose == "evaluation" and not request.look
            return replace(got, values=values, missing=("same_shape",) if is_part else ())

    remembering.rules(max_iterations=1, strategy="adaptive", judge_check=False, final_comparison=False)
    first, second = LeavesOut([ALL]), ScriptedVision([ALL])
    remembering.run_stopped(ScriptedGenerator(), first)
    outcome = remembering.run(ScriptedGenerator(), second)
    assert [request.look for request in first.asked if request.purpose == "evaluation"] == [0]
    assert 0 not in [request.look for request in second.asked if request.purpose == "evaluation"]
    assert outcome.history[0].usage.requests == len(first.asked) + len(second.asked) - 1
