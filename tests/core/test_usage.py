"""What requests and iterations took, added up: figures that cannot be neither come from disk nor out of a sum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Type

import pytest

from imagination.disk import read_record
from imagination.errors import StoreError
from imagination.model import (
    MOST_COST,
    MOST_COUNTED,
    MOST_SECONDS,
    Artefact,
    CallRecord,
    Checkpoint,
    JudgeCheck,
    Metadata,
    Paid,
    Pending,
    Prompts,
    Rejudging,
    Totals,
    Usage,
)
from imagination.tally import add_iteration, add_rejudged, rejudging, spent

MOST = Usage(requests=MOST_COUNTED, prompt_tokens=MOST_COUNTED, completion_tokens=MOST_COUNTED, cost=MOST_COST)
SOME = Usage(requests=2, prompt_tokens=300, completion_tokens=40, cost=0.5)
CALL = CallRecord(provider="ollama", model="eyes")


def metadata(**given: Any) -> Metadata:
    named: Dict[str, Any] = {
        "iteration": 1, "timestamp": 0.0, "image_path": None, "parameters_used": {}, "questions": {}, "evaluation": {},
        "comparison": {}, "aivis_metadata": CALL, "prompts_used": Prompts(), "run_id": "r", "status": "ok",
        "workflow_file": "w.json",
    }  # fmt: skip
    return Metadata(**{**named, **given})


def checkpoint() -> Checkpoint:
    pending = Pending(iteration=2, parameters={}, prompts=Prompts(), timings={"generation": 1.0})
    return Checkpoint(
        run_id="2026-01-01_00-00-00", status="running", started_at=0.0, updated_at=0.0, rules_sha256="", input_sha256="",
        pending=pending, rejudging=Rejudging(iteration=1, usage=SOME, seconds=1.0), totals=Totals(usage=SOME),
    )  # fmt: skip


def test_a_sum_is_at_most_what_a_record_holds() -> None:
    assert MOST + SOME == MOST + MOST == MOST
    twice = SOME + SOME
    assert twice == Usage(requests=4, prompt_tokens=600, completion_tokens=80, cost=1.0)


def test_what_is_left_is_never_less_than_nothing() -> None:
    left = [SOME - MOST, MOST - MOST, SOME + SOME - SOME]
    assert left == [Usage(cost=0.0), Usage(cost=0.0), SOME]


def test_totals_are_at_most_what_a_record_holds() -> None:
    long = metadata(timings={"generation": MOST_SECONDS, "questions": MOST_SECONDS}, usage=MOST)
    totals = add_iteration(add_iteration(Totals(), long), long)
    assert (totals.seconds, totals.usage) == (MOST_SECONDS, MOST)
    assert spent(totals, SOME, 5.0) == totals
    assert rejudging(long).seconds == MOST_SECONDS


def test_a_time_that_a_lost_artefact_had_told_makes_no_total_negative() -> None:
    before = Rejudging(iteration=1, usage=SOME, seconds=9.0)
    assert add_rejudged(Totals(seconds=4.0, usage=SOME), metadata(timings={"questions": 2.0}), before) == Totals(
        seconds=0.0, usage=SOME
    )


NINES = int("9" * 4300)


@pytest.mark.parametrize(
    ("kind", "record", "key", "value"),
    [
        (Paid, Paid(usage=SOME), "usage.cost", 1.7e308),
        (Paid, Paid(usage=SOME), "usage.cost", -1.0),
        (Paid, Paid(usage=SOME), "usage.requests", -1),
        (Paid, Paid(usage=SOME), "usage.completion_tokens", NINES),
        (Metadata, metadata(), "usage.cost", 1.7e308),
        (Metadata, metadata(timings={"generation": 1.0}), "timings.generation", 1e308),
        (Metadata, metadata(timings={"generation": 1.0}), "timings.generation", -1e308),
        (Checkpoint, checkpoint(), "totals.usage.prompt_tokens", NINES),
        (Checkpoint, checkpoint(), "totals.seconds", -1e308),
        (Checkpoint, checkpoint(), "totals.iterations", NINES),
        (Checkpoint, checkpoint(), "totals.failed", NINES),
        (Checkpoint, checkpoint(), "rejudging.seconds", 1e308),
        (Checkpoint, checkpoint(), "pending.timings.generation", 1e308),
        (Checkpoint, checkpoint(), "worked", 1e308),
        (Checkpoint, checkpoint(), "bookings", NINES),
        (Checkpoint, checkpoint(), "vision_failures", NINES),
        (Checkpoint, checkpoint(), "generation_failures", NINES),
        (JudgeCheck, JudgeCheck(original={}, grey={}, warnings=[], aivis_metadata=CALL), "seconds", 1e308),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_figure_that_cannot_be_is_damage_and_told_in_one_line(
    tmp_path: Path, kind: Type[Artefact], record: Artefact, key: str, value: Any
) -> None:
    path, data = tmp_path / "record.json", record.model_dump(mode="json")
    *parents, last = key.split(".")
    part = data
    for name in parents:
        part = part[name]
    path.write_text(json.dumps(data), encoding="utf-8")
    assert read_record(path, kind) == record
    part[last] = value
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(StoreError) as caught:
        read_record(path, kind)
    assert str(caught.value).startswith(f"{path} is damaged: {key}: ") and len(str(caught.value).splitlines()) == 1
