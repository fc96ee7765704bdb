"""Which runs a start without flags goes on with."""

from __future__ import annotations

from typing import Any, Dict

import pytest

from imagination.model import Checkpoint, ProjectSettings
from imagination.resume import continues


@pytest.mark.parametrize(
    ("state", "project", "expected"),
    [
        ({"status": "running"}, {}, True),
        ({"status": "stopped"}, {}, True),
        ({"status": "passed"}, {}, False),
        ({"status": "exhausted", "ended_by": "iterations", "last_iteration": 5}, {}, False),
        ({"status": "exhausted", "ended_by": "iterations", "last_iteration": 5}, {"max_iterations": 9}, True),
        ({"status": "exhausted", "ended_by": "conflict", "last_iteration": 4}, {}, False),  # it would end the same way
        ({"status": "exhausted", "ended_by": "conflict"}, {"stop_on_conflict": False}, True),
        ({"status": "exhausted", "ended_by": "conflict"}, {"strategy": "spec"}, True),
        ({"status": "exhausted", "ended_by": "time", "worked": 61}, {"max_minutes": 1}, False),
        ({"status": "exhausted", "ended_by": "time", "worked": 61}, {"max_minutes": 2}, True),
    ],
)
def test_a_run_goes_on(state: Dict[str, Any], project: Dict[str, Any], expected: bool) -> None:
    times = {"started_at": 0.0, "updated_at": 0.0, "rules_sha256": "", "input_sha256": ""}
    checkpoint = Checkpoint(**{"run_id": "2026-01-01_00-00-00", **times, **state})
    assert continues(checkpoint, ProjectSettings(**{"max_iterations": 5, **project})) is expected
