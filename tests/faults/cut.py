"""How much of it is done: the quick cut, or with TORTURE=all in the environment everything."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

ALL = os.environ.get("TORTURE") == "all"
STEPS = {"test_wire.py": 4}  # of these files' cases the quick cut takes one in so many

many = settings(
    max_examples=1000 if ALL else 30,
    derandomize=not ALL,  # what is checked at each change gives the same answer each time
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
