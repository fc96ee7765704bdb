"""How much of it is done: the quick cut, or with TORTURE=all in the environment everything."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, settings

ALL = os.environ.get("TORTURE") == "all"
STEPS = {"test_wire.py": 11}  # of these files' cases the quick cut takes one in so many
SLOW = ("dripping]", "stalled in the middle]", "stalled]", "far too long]")  # it waits for time to pass: not these

many = settings(
    max_examples=1000 if ALL else 30,
    derandomize=not ALL,  # what is checked at each change gives the same answer each time
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
some = settings(many, max_examples=200 if ALL else 12)  # where each is a whole run

_tried = 0


def tried() -> None:
    """Count an input; `torture.py` asks for the number through a file that TORTURE_COUNT names."""
    global _tried
    _tried += 1


def report() -> None:
    """Write the number down, where it is asked for."""
    target = os.environ.get("TORTURE_COUNT")
    if target:
        Path(target).write_text(str(_tried), encoding="ascii")
