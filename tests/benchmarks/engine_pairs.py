"""Strategies against each other, run by run: the same case, start and number meet the same chances. Pure.

A difference holds where chance alone would hardly make it (95 %): for true passes by a sign test on the runs in which
only one of the two has one, for pictures by the interval of the mean difference.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Callable, List, Mapping

from engine_runs import STRATEGIES, Job, Result
from worlds import mean

FEW = 6  # runs: fewer cannot tell
HARDLY = 0.05

Found = Mapping[Job, Result]


@dataclass(frozen=True)
class Duel:
    """Two strategies: in how many runs only the one truly passes, or the other, and pictures of the one less the other's."""

    runs: int
    only_one: int
    only_other: int
    pictures: float
    half: float  # of the 95 % interval of `pictures`

    @property
    def passes_more(self) -> bool:
        """The one truly passes more often, and that holds."""
        return self.only_one > self.only_other and by_chance(self.only_one, self.only_other) < HARDLY

    @property
    def needs_less(self) -> bool:
        """The one needs fewer pictures, and that holds."""
        return self.runs >= FEW and self.pictures + self.half < 0


def duel(found: Found, one: str, other: str) -> Duel:
    """Every run of `one` beside the same run of `other`."""
    pairs = [(result, found[replace(job, strategy=other)]) for job, result in found.items() if job.strategy == one]
    middle, half = mean([a.pictures - b.pictures for a, b in pairs])
    alone = sum(a.truly and not b.truly for a, b in pairs)
    return Duel(len(pairs), alone, sum(b.truly and not a.truly for a, b in pairs), middle, half)


def by_chance(more: int, less: int) -> float:
    """Chance that as many of `more + less` fair coins, or more, fall alike (two-sided sign test)."""
    n = more + less
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(min(more, less) + 1)) / 2**n)


def duels(found: Found) -> List[str]:
    """A line for every two strategies."""
    told = []
    for one, other in itertools.combinations(STRATEGIES, 2):
        seen = duel(found, one, other)
        passes = (
            f"only the first truly passes in {seen.only_one}, only the second in {seen.only_other} of {seen.runs} runs"
        )
        told.append(f"{one} and {other}: {passes}; {seen.pictures:+.2f} ± {seen.half:.2f} pictures")
    return told


def order(found: Found) -> str:
    """Which order of the strategies holds, in words; of two that are not named, the order may be chance."""
    passes = _told(lambda one, other: duel(found, one, other).passes_more)
    pictures = _told(lambda one, other: duel(found, one, other).needs_less)
    return f"which order holds: by true passes {passes}; by pictures {pictures}"


def _told(before: Callable[[str, str], bool]) -> str:
    behind = {one: [other for other in STRATEGIES if other != one and before(one, other)] for one in STRATEGIES}
    told = [f"{one} before {' and '.join(others)}" for one, others in behind.items() if others]
    return ", ".join(reversed(told)) or "none, it may all be chance"
