"""What a run says it took: each call once, whatever failed, was asked again, or was cut off by a kill."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, List, Mapping, Optional

import pytest
from scripted import HALF, NONE, VISION, Bench, ScriptedGenerator, ScriptedVision

from imagination.budget import cost_of
from imagination.errors import ConfigError, ServiceError, StoreError, VisionError, VisionUnreachable
from imagination.loop import Outcome
from imagination.model import Answer, Checkpoint, Request, Usage
from imagination.reply_cache import ReplyCache
from imagination.store import Run, Store
from imagination.till import Till

ONCE = Usage(requests=1, cost=0.01)


class Paid(ScriptedVision):
    """A model whose failures cost as much as its answers; a question takes it 2 s."""

    def __init__(self, verdicts: Any, faults: Optional[Mapping[str, int]] = None) -> None:
        super().__init__(verdicts, faults=faults)
        self.seconds = 0.0

    def ask(self, request: Request) -> Answer:
        self.seconds += 2
        try:
            return super().ask(request)
        except VisionError as err:
            err.usage = ONCE  # type: ignore[attr-defined]
            raise


def total(outcome: Outcome) -> int:
    return outcome.checkpoint.totals.usage.requests


def stopped_unjudged(bench: Bench, vision: Paid, *, at: int = 1) -> None:
    """A run that is stopped before its next picture, with pictures that nobody has looked at."""
    bench.clock = lambda: vision.seconds
    bench.run_stopped(ScriptedGenerator({at + 1: KeyboardInterrupt()}), vision)


@pytest.mark.parametrize("calls", ["staged", "combined"])
@pytest.mark.parametrize("faults", [{"evaluation": 1}, {"evaluation": 1, "comparison": 1}, {"*": 4}], ids=str)
def test_a_picture_that_is_judged_anew_counts_each_call_once(bench: Bench, faults: Any, calls: str) -> None:
    bench.rules(max_iterations=2)
    bench.write("AIVis.yaml", {**VISION, "calls": calls})
    faults = {"combined": 1, **faults} if calls == "combined" and "*" not in faults else faults
    first, second = Paid([HALF], faults=faults), Paid([HALF])
    stopped_unjudged(bench, first)
    bench.clock = lambda: second.seconds
    outcome = bench.run(ScriptedGenerator(), second)
    assert total(outcome) == len(first.asked) + len(second.asked)
    assert outcome.checkpoint.totals.usage.cost == pytest.approx(0.01 * total(outcome))
    assert outcome.checkpoint.rejudging is None
    told, described = sum(m.usage.requests for m in outcome.history), 1
    assert told == total(outcome) - described - ("*" in faults)  # a description that failed was asked for again


def test_seconds_of_a_picture_that_is_judged_anew_are_added_up(bench: Bench) -> None:
    bench.rules(max_iterations=2)
    first, second = Paid([HALF], faults={"evaluation": 1}), Paid([HALF])
    stopped_unjudged(bench, first)
    before = bench.store.read_checkpoint()
    assert before is not None and before.totals.seconds == 6
    bench.clock = lambda: second.seconds
    outcome = bench.run(ScriptedGenerator(), second)
    timings = outcome.history[0].timings
    assert (timings["questions"], timings["comparison"], timings["evaluation"]) == (2, 2, 4)
    assert outcome.checkpoint.totals.seconds == sum(sum(m.timings.values()) for m in outcome.history)


def test_a_judging_that_fails_again_is_counted(bench: Bench) -> None:
    bench.rules(max_iterations=1)
    asked: List[Request] = []
    for _ in range(3):
        vision = Paid([HALF], faults={"evaluation": -1})
        stopped = bench.run_stopped(ScriptedGenerator(), vision)
        assert isinstance(stopped, ServiceError)
        asked += vision.asked
        checkpoint = bench.store.read_checkpoint()
        assert checkpoint is not None and checkpoint.totals.usage.requests == len(asked)
        metadata = bench.store.runs()[-1].metadata(1)
        assert metadata is not None and metadata.usage.requests == len(asked) - 1  # the description is the run's
    last = Paid([HALF])
    outcome = bench.run(ScriptedGenerator(), last)
    assert total(outcome) == len(asked) + len(last.asked)


def test_what_failed_again_keeps_what_was_said_after_it(bench: Bench) -> None:
    stopped_unjudged(bench, Paid([HALF], faults={"evaluation": 1}))
    bench.run_stopped(ScriptedGenerator(), Paid([HALF], faults={"evaluation": -1}))
    metadata = bench.store.runs()[-1].metadata(1)
    assert metadata is not None and "no answer" in metadata.decision[0].why


class Gone(ScriptedVision):
    """A model on a server that is not there."""

    def ask(self, request: Request) -> Answer:
        self.asked.append(request)
        raise VisionError("no answer") from VisionUnreachable("gone")


def test_a_server_that_is_gone_adds_nothing_to_what_failed_before(bench: Bench) -> None:
    bench.rules(max_iterations=1)
    bench.write("AIVis.yaml", {**VISION, "calls": "combined"})
    everything = ("combined", "questions", "comparison", "evaluation")
    first = Paid([HALF], faults=dict.fromkeys(everything, -1))
    bench.run_stopped(ScriptedGenerator(), first)
    bench.run_stopped(ScriptedGenerator(), Gone([HALF]))
    checkpoint, evaluation = bench.store.read_checkpoint(), bench.store.runs()[-1].evaluation(1)
    assert checkpoint is not None and checkpoint.totals.usage.requests == len(first.asked)
    assert evaluation is not None and evaluation.usage.requests == first.count("evaluation") + first.count("combined")


class Killed(BaseException):
    """What no code of the run catches."""


class Mortal(Store):
    """Its process is killed when the resume point is to be written for this time: what was written before is there."""

    def __init__(self, project: Path, dies_at: int) -> None:
        super().__init__(project)
        self.left = dies_at

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed
        super().write_checkpoint(checkpoint)


def finished(bench: Bench, paid: List[Request], dies_at: int, **faults: int) -> Outcome:
    """Run to the end, killed once on the way (or not, when it ends before)."""
    own, bench.store = bench.store, Mortal(bench.project.root, dies_at)
    vision, generator = Paid([HALF], faults=faults), ScriptedGenerator()
    try:
        return bench.run(generator, vision)
    except Killed:
        bench.store = own
        paid += vision.asked
        vision = Paid([HALF])
        return bench.run(generator, vision)
    finally:
        paid += vision.asked


def test_a_kill_while_a_picture_is_judged_anew_leaves_the_totals_right(tmp_path: Path) -> None:
    ends = 0
    for dies_at in range(1, 40):
        bench, paid = Bench(tmp_path / str(dies_at)), []  # type: Bench, List[Request]
        bench.remembers = ReplyCache
        bench.rules(max_iterations=1)
        before = Paid([HALF], faults={"evaluation": 2, "comparison": 1})
        bench.run_stopped(ScriptedGenerator(), before)
        outcome = finished(bench, paid, dies_at)
        assert total(outcome) == len(before.asked) + len(paid), f"killed at write {dies_at}"
        assert outcome.history[0].evaluation["overall_score"] == outcome.checkpoint.best_score == 50.0
        assert outcome.history[0].usage.requests == total(outcome) - 1  # the description is the run's
        ends += bench.store.read_checkpoint() is not None
        if isinstance(bench.store, Mortal):
            break
    assert ends > 4


def test_a_kill_anywhere_in_a_run_leaves_the_totals_right(tmp_path: Path) -> None:
    undisturbed = None
    for dies_at in (99, *range(1, 99)):
        bench, paid = Bench(tmp_path / str(dies_at)), []  # type: Bench, List[Request]
        bench.remembers = ReplyCache
        bench.rules(strategy="adaptive", max_iterations=2)
        outcome = finished(bench, paid, dies_at)
        undisturbed = undisturbed or outcome
        assert total(outcome) == len(paid) == total(undisturbed), f"killed at write {dies_at}"
        assert outcome.checkpoint.owned_phrases == undisturbed.checkpoint.owned_phrases != {}, f"write {dies_at}"
        if dies_at < 99 and isinstance(bench.store, Mortal):
            break
    assert {"judge_check", "duel", "improvement"} <= {request.purpose for request in paid}


def test_a_check_that_failed_and_was_not_counted_is_counted_before_another_is_made(bench: Bench) -> None:
    bench.rules(strategy="adaptive", max_iterations=1)
    paid: List[Request] = []
    outcome = finished(bench, paid, 3, judge_check=1)  # the first time, the description
    assert total(outcome) == len(paid)
    assert [request.purpose for request in paid].count("judge_check") == 1 + 3


@pytest.mark.parametrize("name", ["judge_check", "final_comparison"])
def test_seconds_of_a_check_and_of_a_comparison_survive_a_kill(tmp_path: Path, name: str) -> None:
    for dies_at in range(1, 40):
        bench = Bench(tmp_path / str(dies_at))
        bench.clock = iter(range(10_000)).__next__
        bench.rules(strategy="adaptive", max_iterations=2)
        own, bench.store = bench.store, Mortal(bench.project.root, dies_at)
        generator = ScriptedGenerator()
        with pytest.raises(Killed):
            bench.run(generator, Paid([HALF]))
        run = own.runs()[-1]
        found, checkpoint = getattr(run, name)(), own.read_checkpoint()
        if found is None:
            continue
        bench.store = own
        bench.rules(strategy="adaptive", max_iterations=2, max_minutes=1e-9)  # it ends at once
        after = bench.run(generator, Paid([HALF])).checkpoint.totals.seconds
        assert checkpoint is not None and found.seconds > 0
        assert after == checkpoint.totals.seconds + found.seconds
        return
    raise AssertionError(f"no {name}")


def test_going_back_while_a_picture_is_judged_anew_leaves_its_calls_counted_once(bench: Bench) -> None:
    bench.remembers = ReplyCache
    first = Paid([HALF], faults={"evaluation": 2})
    stopped_unjudged(bench, first)
    bench.rules(max_iterations=2)
    own, bench.store = bench.store, Mortal(bench.project.root, 3)  # judged, and not in the totals
    killed, last = Paid([NONE]), Paid([HALF])
    with pytest.raises(Killed):
        bench.run(ScriptedGenerator(), killed)
    bench.store = own
    evaluation, metadata = own.runs()[-1].evaluation(1), own.runs()[-1].metadata(1)
    assert evaluation is not None and metadata is not None and evaluation.source == "aivis"
    outcome = bench.run(ScriptedGenerator(), last, resume_from=2)
    kept = sum(m.usage.requests for m in outcome.history)
    assert total(outcome) == kept == len(first.asked) + len(killed.asked) + len(last.asked) - 1
    assert json.loads((own.working / "checkpoint.json").read_text(encoding="utf-8"))["rejudging"] is None


class Stopped(Paid):
    """Ctrl-C at the request of this number."""

    def __init__(self, dies_at: int, **given: Any) -> None:
        super().__init__([HALF], **given)
        self.dies_at = dies_at

    def ask(self, request: Request) -> Answer:
        if len(self.asked) + 1 == self.dies_at:
            raise KeyboardInterrupt
        return super().ask(request)


@pytest.mark.parametrize(("remembers", "goes_back"), [(ReplyCache, False), (ReplyCache, True), (None, True)])
def test_all_that_was_paid_is_in_the_totals_or_set_aside(tmp_path: Path, goes_back: bool, remembers: Any) -> None:
    set_aside = set()
    for dies_at in range(2, 99):
        bench = Bench(tmp_path / str(dies_at))
        bench.remembers = remembers
        bench.rules(strategy="adaptive", max_iterations=2)
        first, second = Stopped(dies_at, faults={"evaluation": 1}), Paid([HALF])
        with contextlib.suppress(KeyboardInterrupt):
            bench.run(ScriptedGenerator(), first)
        at = bench.store.read_checkpoint()
        assert at is not None and at.paid is not None and at.paid.requests == len(first.asked)
        if at.status != "stopped":
            break
        outcome = bench.run(ScriptedGenerator(), second, resume_from=at.last_iteration + 1 if goes_back else None)
        paid, end = len(first.asked) + len(second.asked), outcome.checkpoint
        assert total(outcome) + end.set_aside.requests == paid, f"stopped at request {dies_at}"
        assert cost_of(end) == pytest.approx(0.01 * paid)
        set_aside.add(end.set_aside.requests)
    assert (max(set_aside) > 3) is goes_back


def test_max_cost_holds_however_often_a_judging_is_stopped_and_begun_again(bench: Bench) -> None:
    bench.rules(max_iterations=1, max_cost=0.1)
    bench.run_stopped(ScriptedGenerator(), Stopped(4))
    stopped: Optional[BaseException] = KeyboardInterrupt()
    starts = 0
    while isinstance(stopped, KeyboardInterrupt):
        starts += 1
        stopped = bench.run_stopped(ScriptedGenerator(), Stopped(3), resume_from=1)
    assert isinstance(stopped, ConfigError) and "it has cost" in stopped.message
    assert starts == 5  # 3 calls, then 2 at each: a tenth is allowed


def test_of_a_run_of_an_older_version_its_resume_point_tells_what_was_paid(bench: Bench) -> None:
    first, second = Paid([HALF]), Paid([HALF])
    stopped_unjudged(bench, first)
    checkpoint, file = bench.store.read_checkpoint(), bench.store.runs()[-1].root / "paid.json"
    assert checkpoint is not None
    bench.store.write_checkpoint(checkpoint.model_copy(update={"paid": None}))
    file.unlink()
    outcome = bench.run(ScriptedGenerator(), second)
    assert total(outcome) == len(first.asked) + len(second.asked)


@pytest.mark.parametrize("damage", [None, b"{", b'{"usage": {"requests": 1}}'])
def test_where_what_was_paid_is_lost_the_resume_point_knows_it(bench: Bench, damage: Optional[bytes]) -> None:
    first, second = Paid([HALF]), Paid([HALF])
    stopped_unjudged(bench, first)
    file = bench.store.runs()[-1].root / "paid.json"
    file.unlink() if damage is None else file.write_bytes(damage)
    outcome = bench.run(ScriptedGenerator(), second)
    assert total(outcome) == len(first.asked) + len(second.asked)


def test_an_account_that_cannot_be_written_is_told_and_counts_in_the_next(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", "2026-01-01_00-00-00")
    till = Till(run, ONCE)
    (tmp_path / "run").write_text("no folder", encoding="utf-8")
    with pytest.raises(StoreError, match=r"paid\.json cannot be written"):
        till.take(ONCE)
    (tmp_path / "run").unlink()
    (tmp_path / "run").mkdir()
    till.take(ONCE)
    assert run.paid() == Usage(requests=3, cost=0.03)


def test_an_answer_that_was_kept_tells_of_itself_where_a_kill_came_before_the_account(bench: Bench) -> None:
    bench.remembers = ReplyCache
    bench.rules(max_iterations=1)
    first, second = Stopped(3), Paid([HALF])
    bench.run_stopped(ScriptedGenerator(), first)
    run, checkpoint = bench.store.runs()[-1], bench.store.read_checkpoint()
    assert checkpoint is not None
    run.file("questions", 1).unlink()
    run.write_paid(ONCE)
    bench.store.write_checkpoint(checkpoint.model_copy(update={"paid": ONCE}))
    outcome = bench.run(ScriptedGenerator(), second)
    assert total(outcome) == len(first.asked) + len(second.asked) and not second.count("questions")


def test_an_answer_that_a_kill_left_out_of_the_account_is_in_it_though_nobody_asks_again(bench: Bench) -> None:
    bench.remembers = ReplyCache
    bench.rules(max_iterations=2)
    first = Stopped(6)
    with contextlib.suppress(KeyboardInterrupt):
        bench.run(ScriptedGenerator(), first)
    at = bench.store.read_checkpoint()
    assert at is not None and at.paid is not None
    before = at.paid - Usage(
        requests=1, cost=0.01
    )  # as it was when the answer was there and the account not yet written
    bench.store.run(at.run_id).write_paid(before)
    bench.store.write_checkpoint(at.model_copy(update={"paid": before}))
    second = Paid([HALF])
    outcome = bench.run(ScriptedGenerator(), second, resume_from=1)
    assert cost_of(outcome.checkpoint) == pytest.approx(0.01 * (len(first.asked) + len(second.asked)))


def test_a_cost_on_disk_that_cannot_be_stops_the_run_in_one_line(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), Paid([NONE]))
    for iteration in (1, 2):
        path = bench.store.runs()[-1].file("metadata", iteration)
        text = path.read_text(encoding="utf-8")
        path.write_text(
            text.replace(f'"cost": {json.loads(text)["usage"]["cost"]}', '"cost": 1.7e308'), encoding="utf-8"
        )
    stopped = bench.run_stopped(ScriptedGenerator(), Paid([NONE]), resume_from=3)
    assert isinstance(stopped, StoreError) and "is damaged: usage.cost: " in stopped.message
