"""Simulated worlds: which settings make which criterion come true, and how the judge errs about it.

A world is a generator and a judge without pictures: whether a criterion holds is a matter of denoise, cfg, the words in
the prompt and the luck of the seed, and is the same every time it is asked; what the judge says of it is not. The laws
differ on purpose in shape, so that a strategy cannot live off one of them.
"""

from __future__ import annotations

import functools
import hashlib
import math
import random
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from imagination.model import Criterion

Truth = Dict[str, bool]


@dataclass(frozen=True)
class Need:
    """What one criterion needs. `margin(denoise, cfg)` is above 0 where it holds without luck, in units of `sigma` 1."""

    criterion: Criterion
    margin: Callable[[float, float], float]
    words: Tuple[str, ...] = ()  # it cannot hold while one of them is missing in the positive prompt
    helpers: Mapping[str, float] = field(default_factory=dict)  # words that add to the margin


@dataclass(frozen=True)
class JudgeErrs:
    """Shares of votes that are wrong, and of (picture, criterion) pairs about which every vote is wrong."""

    false_pass: float
    false_fail: float
    stuck: float


@dataclass(frozen=True, eq=False)
class World:
    """One world. `kind` names what is special about it, `law` the shape of its margins."""

    name: str
    law: str
    kind: str
    needs: Tuple[Need, ...]
    errs: JudgeErrs
    banned_by_improver: float  # chance that the text model adds a banned term
    similarity: Callable[[float], float]  # of denoise

    def luck(self, seed: int, field: str) -> float:
        """What a seed adds to a criterion's margin: standard normal, the same every time."""
        return _normal(self.name, seed, field)

    def truth(self, denoise: float, cfg: float, seed: int, positive: str) -> Truth:
        """Which criteria hold in the picture of these settings."""
        text = positive.lower()
        found = {}
        for need in self.needs:
            margin = need.margin(denoise, cfg) + self.luck(seed, need.criterion.field)
            margin += sum(by for word, by in need.helpers.items() if word in text)
            lacks = any(word.lower() not in text for word in need.words)
            found[need.criterion.field] = margin > 0 and not lacks
        return found

    def vote(self, field: str, holds: bool, picture: str, look: int) -> bool:
        """What the judge says at its `look`-th look at a picture."""
        dice = _dice(self.name, picture, field, "stuck")
        if dice.random() < self.errs.stuck:
            return not holds
        error = self.errs.false_fail if holds else self.errs.false_pass
        return holds if _dice(self.name, picture, field, look).random() >= error else not holds

    def chance(self, denoise: float, cfg: float) -> float:
        """Chance that everything holds, with every word and helper in the prompt, over the luck of the seed."""
        together = 1.0
        for need in self.needs:
            helped = sum(need.helpers.values())
            together *= _phi(need.margin(denoise, cfg) + helped)
        return together

    @functools.lru_cache(maxsize=None)  # noqa: B019  # a world lives as long as the benchmark
    def best(self) -> Tuple[float, float, float]:
        """The settings with the highest chance of a full pass, and that chance: what a perfect tuner knows."""
        tried = [(self.chance(d / 50, c / 2), d / 50, c / 2) for d in range(1, 51) for c in range(2, 41)]
        chance, denoise, cfg = max(tried)
        return denoise, cfg, chance


def _phi(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def _dice(*key: object) -> random.Random:
    return random.Random(hashlib.sha256("/".join(map(str, key)).encode()).digest())


def _normal(*key: object) -> float:
    return _dice(*key).gauss(0, 1)


# --- laws: margins of a change and of what is kept ------------------------------------------------------------------------


def _threshold_change(at: float, soft: float, best: float, care: float) -> Callable[[float, float], float]:
    """Denoise above a threshold; cfg off its best costs as a parabola."""
    return lambda d, c: (d - at) / soft - care * ((c - best) / 4) ** 2


def _threshold_keep(at: float, soft: float, best: float, care: float) -> Callable[[float, float], float]:
    return lambda d, c: (at - d) / soft - care * (max(0.0, c - best) / 4) ** 2


def _effect_change(at: float, soft: float, best: float, care: float) -> Callable[[float, float], float]:
    """What counts is denoise times how far the prompt is heard, which saturates in cfg; too much cfg burns."""

    def margin(d: float, c: float) -> float:
        heard = (1 - math.exp(-c / (2.2 + 2 * care))) / (1 - math.exp(-best / (2.2 + 2 * care)))
        return (d * heard - at) / soft - max(0.0, (c - best - 3) / 3) * care

    return margin


def _effect_keep(at: float, soft: float, best: float, care: float) -> Callable[[float, float], float]:
    return lambda d, c: (at - d * (1 + 0.03 * care * max(0.0, c - best))) / soft


def _peaked_change(at: float, soft: float, best: float, care: float) -> Callable[[float, float], float]:
    """A change that is overdone at high denoise: it holds within a window above its threshold."""
    width = 0.16 + 3 * soft
    return lambda d, c: min((d - at) / soft, (at + width - d) / (1.5 * soft)) - care * (abs(c - best) / 5)


def _steep_change(at: float, soft: float, best: float, care: float) -> Callable[[float, float], float]:
    """Denoise acts in steps, as a schedule of few steps makes it; cfg acts on the threshold."""
    return lambda d, c: (math.floor(d * 16) / 16 - (at - 0.02 * care * (min(c, best + 4) - best))) / soft


Make = Callable[[float, float, float, float], Callable[[float, float], float]]
LAWS: Mapping[str, Tuple[Make, Make]] = {
    "threshold": (_threshold_change, _threshold_keep),
    "effect": (_effect_change, _effect_keep),
    "peaked": (_peaked_change, _threshold_keep),
    "steep": (_steep_change, _effect_keep),
}
KINDS = (
    "low",
    "middle",
    "high",
    "narrow",
    "wide",
    "two changes",
    "conflict",
    "yes-saying judge",
    "careless text model",
    "cfg matters",
)


def _criterion(field: str, intent: Optional[str], rng: random.Random, words: Sequence[str] = ()) -> Criterion:
    strength = rng.choice([None, None, "low", "medium", "high"])
    return Criterion(
        field=field,
        question=f"Is {field} so?",
        type="boolean",
        min=0,
        max=1,
        intent=intent if rng.random() < 0.9 else None,
        edit_strength=strength,
        must_include=list(words),
        ban_terms=["blurry"] if intent == "preserve" else [],
    )


def make_world(number: int, kind: str, law: str) -> World:
    """World `number` of a kind under a law; the same every time."""
    rng = _dice("world", number, kind, law)
    change, keep = LAWS[law]
    centre = {"low": rng.uniform(0.18, 0.32), "high": rng.uniform(0.7, 0.88)}.get(kind, rng.uniform(0.35, 0.65))
    gap = {
        "narrow": rng.uniform(0.02, 0.08),
        "wide": rng.uniform(0.22, 0.36),
        "conflict": rng.uniform(-0.4, -0.25),
    }.get(kind, rng.uniform(0.08, 0.2))
    care = rng.uniform(1.2, 2.2) if kind == "cfg matters" else rng.choice([0.0, 0.0, rng.uniform(0.2, 0.8)])
    best_cfg = rng.choice([3.0, 4.5, 10.0, 12.0]) if kind == "cfg matters" else rng.uniform(5.0, 9.0)
    changes = 2 if kind == "two changes" else rng.choice([1, 1, 2])
    keeps = rng.choice([1, 2, 3])
    needs: List[Need] = []
    for n in range(changes):
        at = max(0.05, centre - gap / 2 - n * rng.uniform(0.0, 0.06))
        words = (f"thing {n} done",)
        helpers = {f"very much {n}": rng.uniform(0.2, 0.6)} if rng.random() < 0.5 else {}
        made = change(at, rng.uniform(0.05, 0.12), best_cfg, care)
        needs.append(Need(_criterion(f"changed_{n}", "change", rng, words), made, words, helpers))
    for n in range(keeps):
        at = min(1.0, centre + gap / 2 + n * rng.uniform(0.0, 0.08))
        made = keep(at, rng.uniform(0.05, 0.12), best_cfg, care)
        needs.append(Need(_criterion(f"kept_{n}", "preserve", rng), made))
    false_pass = rng.uniform(0.02, 0.15)
    if kind == "yes-saying judge":
        false_pass = rng.uniform(0.25, 0.4)
    errs = JudgeErrs(false_pass, rng.uniform(0.02, 0.15), rng.uniform(0.0, 0.04))
    slope = rng.uniform(0.75, 1.1)
    return World(
        name=f"{number}-{kind}-{law}",
        law=law,
        kind=kind,
        needs=tuple(needs),
        errs=errs,
        banned_by_improver=0.4 if kind == "careless text model" else 0.05,
        similarity=lambda d: max(0.0, min(1.0, 1.05 - slope * d)),
    )


@functools.lru_cache(maxsize=4)
def worlds(count: int, half: str) -> Sequence[World]:
    """`count` worlds, kinds and laws in turn. `half`: "open" to look at while tuning, "held" to report at the end."""
    first = {"open": 0, "held": 1}[half]
    made = []
    for n in range(count):
        kind = KINDS[n % len(KINDS)]
        law = tuple(LAWS)[(n // len(KINDS)) % len(LAWS)]
        made.append(make_world(2 * n + first, kind, law))
    return made
