"""When a run has used up what it may take, and how that is told."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from imagination.budget import cost_of, limits, used_up
from imagination.model import Checkpoint, Pending, ProjectSettings, Prompts, Totals, Usage


def checkpoint(cost: Optional[float] = None, **given: Any) -> Checkpoint:
    named = {"run_id": "2026-01-01_00-00-00", "status": "running", "started_at": 0.0, "updated_at": 9e9}
    totals = Totals(usage=Usage(cost=cost))
    return Checkpoint(**{**named, "rules_sha256": "", "input_sha256": "", "totals": totals, **given})


def pending(cost: float) -> Pending:
    return Pending(iteration=1, parameters={}, prompts=Prompts(), usage=Usage(cost=cost))


@pytest.mark.parametrize(
    ("project", "run", "by"),
    [
        ({}, checkpoint(99.0, worked=1e9), None),
        ({}, checkpoint(last_iteration=4), None),
        ({}, checkpoint(last_iteration=5), "iterations"),
        ({}, checkpoint(last_iteration=9), "iterations"),
        ({"max_cost": 0.5}, checkpoint(0.4999), None),
        ({"max_cost": 0.5}, checkpoint(0.5), "cost"),
        ({"max_cost": 0.3}, checkpoint(sum([0.1] * 3) - 1e-12), "cost"),
        ({"max_cost": 0.5}, checkpoint(None), None),  # nobody said what it cost
        ({"max_cost": 0.5}, checkpoint(0.2, set_aside=0.3), "cost"),
        ({"max_cost": 0.5}, checkpoint(0.2, pending=pending(0.3)), "cost"),
        ({"max_cost": 0.5}, checkpoint(0.2, pending=pending(0.2)), None),
        ({"max_cost": 0.5}, checkpoint(0.2, paid=Usage(cost=0.5)), "cost"),
        ({"max_cost": 0.5}, checkpoint(0.9, set_aside=0.9, paid=Usage(cost=0.4)), None),
        ({"max_minutes": 2.0}, checkpoint(worked=119.9), None),
        ({"max_minutes": 2.0}, checkpoint(worked=120.0), "time"),
        ({"max_cost": 0.5, "max_minutes": 2.0}, checkpoint(0.9, worked=120.0), "cost"),
        ({"max_cost": 0.5, "max_minutes": 2.0}, checkpoint(0.9, worked=120.0, last_iteration=5), "iterations"),
    ],
)
def test_the_limit_that_is_reached(project: Any, run: Checkpoint, by: Optional[str]) -> None:
    over = used_up(ProjectSettings(max_iterations=5, **project), run)
    assert (over.by if over else None) == by


@pytest.mark.parametrize(
    ("project", "run", "key", "told"),
    [
        ({}, checkpoint(last_iteration=5), "max_iterations", "it has made all 5 iterations"),
        (
            {"max_cost": 0.5}, checkpoint(0.51234), "max_cost",
            "it has cost 0.5123 USD, and project.max_cost allows 0.5 USD",
        ),
        (
            {"max_minutes": 90.0}, checkpoint(worked=5460.0), "max_minutes",
            "it has worked for 91.0 minutes, and project.max_minutes allows 90",
        ),
        (
            {"max_minutes": 0.001}, checkpoint(worked=0.0612), "max_minutes",
            "it has worked for 0.0612 seconds, and project.max_minutes allows 0.001",
        ),
        (
            {"max_minutes": 1.03}, checkpoint(worked=62.0), "max_minutes",
            "it has worked for 62 seconds, and project.max_minutes allows 1.03",
        ),
    ],
)  # fmt: skip
def test_it_is_told_with_the_figures_and_the_key_to_raise(project: Any, run: Checkpoint, key: str, told: str) -> None:
    over = used_up(ProjectSettings(max_iterations=5, **project), run)
    assert over is not None and (over.key, over.told) == (key, told)


def test_what_is_unknown_is_not_nothing() -> None:
    assert cost_of(checkpoint(None)) is None
    assert cost_of(checkpoint(0.0)) == 0.0
    assert cost_of(checkpoint(None, set_aside=0.25)) == 0.25


def test_limits_are_told_in_one_line() -> None:
    assert limits(ProjectSettings(max_iterations=12)) == "up to 12 iterations"
    assert limits(ProjectSettings(max_iterations=1)) == "up to 1 iteration"
    told = limits(ProjectSettings(max_iterations=12, max_cost=0.5, max_minutes=90.0))
    assert told == "up to 12 iterations, 0.5 USD, 90 minutes"
