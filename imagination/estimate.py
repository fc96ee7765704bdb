"""Where each criterion passes, as far as the votes tell: a Bayesian estimate over a small grid. Pure.

A criterion is taken to pass with a chance that depends on denoise through a threshold (a change passes above it, what is
to be kept below it) and on cfg through a best value, or not at all. Neither threshold, slope nor best cfg is known: each
combination is a hypothesis, weighed by how well it explains the votes on all pictures so far. What a seed's luck does is
in the slopes and in `LAPSE`. Nothing here knows what a criterion is about.
"""

from __future__ import annotations

import functools
import math
from array import array
from collections import Counter
from dataclasses import dataclass
from operator import mul
from typing import Dict, Iterable, Optional, Sequence, Tuple

THRESHOLDS = tuple(round(0.05 * n, 2) for n in range(1, 22))  # of denoise
SLOPES = (0.05, 0.10)  # of denoise: a sharp and a soft threshold
BEST_CFG = (0.45, 0.7, 1.0, 1.45, 2.0)  # as a multiple of the cfg that the run began with
CFG_WIDTHS = (0.25, 0.5)  # in the same measure: that far off the best costs half a unit of logit
CFG_MATTERS = 0.35  # prior chance that it does at all
CFG_SPREAD = 0.65
LAPSE = 0.05  # share of pictures that pass, and that fail, for no reason of denoise or cfg

Hypothesis = Tuple[bool, float, float, Optional[float], float]  # rises, threshold, slope, best cfg, its width


@dataclass(frozen=True)
class Kind:
    """What is held of a criterion before its first picture: which way it goes, and about where it turns.

    `rises` with denoise: True for a change, False for what is kept, None where the rules do not say. `centre` and
    `spread` are the normal prior of the threshold, in denoise; `cfg` is the one that the run began with.
    """

    rises: Optional[bool]
    centre: float
    spread: float
    cfg: float


@dataclass(frozen=True)
class Sighting:
    """One criterion on one picture: the settings, and the chance of its votes if it is met and if it is not.

    `weight` from 0 to 1: how far the picture speaks for today's prompts.
    """

    denoise: float
    cfg: float
    met: float
    unmet: float
    weight: float = 1.0


@functools.lru_cache(maxsize=None)
def _hypotheses(rises: Optional[bool]) -> Tuple[Hypothesis, ...]:
    ways = (True, False) if rises is None else (rises,)
    cfgs = [(None, 1.0), *((best, width) for best in BEST_CFG for width in CFG_WIDTHS)]
    return tuple((way, at, slope, *cfg) for way in ways for at in THRESHOLDS for slope in SLOPES for cfg in cfgs)


@functools.lru_cache(maxsize=64)
def _prior(kind: Kind) -> array[float]:
    """Logarithms of the weights of the hypotheses before any picture, but for a constant."""
    among = len(CFG_WIDTHS) * sum(_bell((best - 1.07) / CFG_SPREAD) for best in BEST_CFG)
    weights = []
    for _, threshold, _, best, _ in _hypotheses(kind.rises):
        matters = 1 - CFG_MATTERS if best is None else CFG_MATTERS * _bell((best - 1.07) / CFG_SPREAD) / among
        weights.append(math.log(_bell((threshold - kind.centre) / kind.spread) * matters))
    return array("d", weights)


def _bell(x: float) -> float:
    return math.exp(-0.5 * x * x)


@functools.lru_cache(maxsize=8192)
def _chances(rises: Optional[bool], denoise: float, relative_cfg: float) -> Tuple[array[float], array[float]]:
    """Chance of a pass under each hypothesis, and its square."""
    found = []
    for way, threshold, slope, best, width in _hypotheses(rises):
        logit = (denoise - threshold if way else threshold - denoise) / slope
        off = (relative_cfg - best) / width if best is not None else 0.0
        logit -= 0.5 * off * off  # a square by `**` raises for what a damaged artefact may say
        found.append(LAPSE + (1 - 2 * LAPSE) / (1 + math.exp(-max(-40.0, min(40.0, logit)))))
    return array("d", found), array("d", [p * p for p in found])


@functools.lru_cache(maxsize=2048)  # a long run comes back to the same settings, and its judge seldom to other rates
def _told(rises: Optional[bool], denoise: float, relative_cfg: float, met: float, unmet: float) -> array[float]:
    """Logarithm of the chance of one picture's votes under each hypothesis."""
    by, (chances, _) = met - unmet, _chances(rises, denoise, relative_cfg)
    return array("d", [math.log(unmet + by * p) for p in chances])


class Belief:
    """What the pictures so far say of one criterion."""

    def __init__(self, kind: Kind, sightings: Iterable[Sighting]) -> None:
        self.kind = kind
        logs: Sequence[float] = _prior(kind)
        for seen, times in Counter(sightings).items():
            met, unmet = seen.met**seen.weight, seen.unmet**seen.weight
            told = _told(kind.rises, *self._grid(seen.denoise, seen.cfg), met, unmet)
            logs = [log + times * each for log, each in zip(logs, told)]
        most = max(logs)
        weights = [math.exp(log - most) for log in logs]
        total = sum(weights)
        self._weights = array("d", [weight / total for weight in weights])
        self._moments: Dict[Tuple[float, float], Tuple[float, float]] = {}  # one decision asks for the same ones often

    def _grid(self, denoise: float, cfg: float) -> Tuple[float, float]:
        return round(denoise, 4), round(cfg / self.kind.cfg, 4)

    def _of(self, denoise: float, cfg: float) -> Tuple[array[float], array[float]]:
        return _chances(self.kind.rises, *self._grid(denoise, cfg))

    def chance(self, denoise: float, cfg: float) -> float:
        """Chance that a picture of these settings passes."""
        return float(sum(map(mul, self._weights, self._of(denoise, cfg)[0])))

    def moments(self, denoise: float, cfg: float) -> Tuple[float, float]:
        """Mean and mean square of that chance over the hypotheses: how sure the estimate is of itself."""
        found = self._moments.get((denoise, cfg))
        if found is None:
            chances, squares = self._of(denoise, cfg)
            found = float(sum(map(mul, self._weights, chances))), float(sum(map(mul, self._weights, squares)))
            self._moments[denoise, cfg] = found
        return found

    def turns_at(self, cfg: float) -> float:
        """The denoise at which it is as likely met as not, as far as can be told; 0.0 to 1.0."""
        steps = [n / 40 for n in range(41)]
        return min(steps, key=lambda denoise: abs(self.chance(denoise, cfg) - 0.5))
