"""A verdict that the judge left out at first: asked for once more, and no reason to give a picture up unjudged."""

from __future__ import annotations

import contextlib
from typing import Any, List, Mapping, Optional

import pytest
from scripted import ALL, Bench, ScriptedGenerator, ScriptedVision

from imagination.errors import ServiceError, UnreadableReply, VisionError
from imagination.model import Answer, CallRecord, Request, Usage
from imagination.vision import AskFailed

LEFT_OUT = {**ALL, "same_shape": None}
ONE = Usage(requests=1, cost=0.5)


class Mumbling(ScriptedVision):
    """Its reply to a further look cannot be read, for this reason."""

    def __init__(self, verdicts: List[Mapping[str, Any]], cause: VisionError) -> None:
        super().__init__(verdicts)
        self.cause = cause

    def ask(self, request: Request) -> Answer:
        if request.purpose != "evaluation" or not request.look:
            return super().ask(request)
        self.asked.append(request)
        raise AskFailed("no answer", "", CallRecord(provider="ollama", model="eyes"), ONE) from self.cause


def ran(bench: Bench, vision: ScriptedVision, strategy: str = "adaptive", confirmations: Optional[int] = None) -> Any:
    """The one picture's evaluation."""
    more = {} if confirmations is None else {"confirmations": confirmations}
    bench.rules(max_iterations=1, strategy=strategy, judge_check=False, final_comparison=False, **more)
    with contextlib.suppress(ServiceError):  # a run whose only picture is unjudged
        bench.run(ScriptedGenerator(), vision)
    checkpoint = bench.store.read_checkpoint()
    assert checkpoint is not None
    return bench.store.run(checkpoint.run_id).evaluation(1)


def fields_asked(vision: ScriptedVision) -> List[List[str]]:
    """The criteria that each look was about."""
    return [sorted((r.schema or {})["properties"]) for r in vision.asked if r.purpose == "evaluation"]


@pytest.mark.parametrize(("strategy", "confirmations"), [("adaptive", None), ("spec", 5)])
def test_a_verdict_that_comes_when_asked_for_again_lets_a_picture_pass(
    bench: Bench, strategy: str, confirmations: Optional[int]
) -> None:
    vision = ScriptedVision([LEFT_OUT, {"same_shape": True}, ALL])
    assert ran(bench, vision, strategy, confirmations).all_pass
    assert fields_asked(vision) == [["is_red", "same_shape"], ["same_shape"], ["is_red", "same_shape"]]


@pytest.mark.parametrize(("strategy", "confirmations"), [("spec", None), ("adaptive", 0)])
def test_nothing_is_asked_again_where_the_first_verdict_counts(
    bench: Bench, strategy: str, confirmations: Optional[int]
) -> None:
    vision = ScriptedVision([LEFT_OUT])
    found = ran(bench, vision, strategy, confirmations)
    assert (found.failed_fields, len(fields_asked(vision))) == (["same_shape"], 1)


def test_a_reply_without_an_answer_leaves_the_picture_judged(bench: Bench) -> None:
    found = ran(bench, Mumbling([LEFT_OUT], UnreadableReply("it was empty")))
    assert (found.source, found.unanswered, found.passed_fields) == ("aivis", ["same_shape"], ["is_red"])
    assert found.votes == {"is_red": [True], "same_shape": [None, None]}
    assert found.usage.cost == pytest.approx(0.01 + 0.5)


@pytest.mark.parametrize(
    ("first", "cause"),
    [
        pytest.param(LEFT_OUT, VisionError("gone"), id="nobody replied"),
        pytest.param(ALL, UnreadableReply("it was empty"), id="nothing had been left out"),
    ],
)
def test_else_a_look_that_fails_leaves_it_unjudged(bench: Bench, first: Any, cause: VisionError) -> None:
    found = ran(bench, Mumbling([first], cause))
    assert found.source == "fallback" and found.usage.cost == pytest.approx(2 * (0.01 + 0.5))  # a second try at the end
