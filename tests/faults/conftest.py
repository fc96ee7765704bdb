"""Leaves out what the quick cut does without (`cut`)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import List

import pytest
from cut import ALL, SLOW, STEPS, report


def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    seen: Counter[str] = Counter()
    left = []
    for item in items:
        if ALL or item.path.parent != Path(__file__).parent:
            continue
        if item.name.endswith(SLOW):
            left.append(item)
            continue
        if seen[item.path.name] % STEPS.get(item.path.name, 1):
            left.append(item)
        seen[item.path.name] += 1
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def pytest_sessionfinish() -> None:
    report()
