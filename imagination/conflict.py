"""Two criteria that rule each other out: told with the evidence, instead of burning the rest of the pictures. Pure."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from operator import mul
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from .adaptive import DENOISE, Settings, beliefs_of, cfgs_around, rates_of, settings_of, votes_on
from .estimate import Belief
from .model import Attempt, Criterion, Sampling
from .votes import Outlook, Rates, Vote

FROM = 5  # pictures; fewer say too little
BELOW = 0.07  # chance that two criteria hold together, at the settings best for both of them
NEVER_FROM = 8  # pictures of which none meets one of the two; it has not been seen to be possible at all
WIDE_DENOISE, WIDE_CFG = 0.5, 0.5  # and these must lie so far apart; the second by the cfg that the run began with
POSSIBLE = 0.3  # chance of that one, where it has its best settings to itself
SEEN = 0.8  # chance from which a criterion counts as met in a picture, or 1 - this as missed
WAYS_OUT = (
    "ask less of one of them, take one out, or choose another checkpoint or workflow: the same command then starts a new "
    "run; or let this one go on all the same with stop_on_conflict: false in rules.yaml"
)


@dataclass(frozen=True)
class Conflict:
    """The two criteria, and a sentence with the evidence."""

    first: str
    second: str
    evidence: str


def find_conflict(
    criteria: Sequence[Criterion], history: Sequence[Attempt], known: Sequence[Tuple[bool, Vote]] = ()
) -> Optional[Conflict]:
    """Two criteria of which no picture so far meets both, and of which the estimate says that none will; None: go on.

    What counts of a pair are the pictures in which both were judged. Each must have been met without
    the other. One that was never met counts as well where the estimate has settings for it, at which the other fails, and
    pictures lie far apart; else it is no conflict, but a criterion to think about.
    """
    judged = [a for a in history if a.evaluation.source == "aivis"]
    if len(judged) < FROM:
        return None
    rates = rates_of(judged, known)
    beliefs = beliefs_of(criteria, history, rates, history[0].sampling)
    found = [_chances_in(a, rates) for a in judged]
    grounds = _grounds(history[0].sampling)

    @functools.lru_cache(maxsize=None)
    def chances(name: str) -> List[float]:
        return [beliefs[name].chance(denoise, cfg) for denoise, cfg in grounds]

    shown, began = [settings_of(a.sampling) for a in judged], settings_of(history[0].sampling)[1]
    for one, other in itertools.combinations([c.field for c in criteria], 2):
        both = [n for n, each in enumerate(found) if one in each and other in each]
        if len(both) < FROM:
            continue
        pairs = [(found[n][one], found[n][other]) for n in both]
        never = _never_beside(pairs, one, other) if _is_wide([shown[n] for n in both], began) else None
        if not (_apart(pairs) or (never is not None and max(chances(never)) >= POSSIBLE)):
            continue
        together = max(map(mul, chances(one), chances(other)))
        if together < BELOW:
            return Conflict(one, other, _evidence(beliefs, one, other, len(pairs), shown[-1][1], together, never))
    return None


def _chances_in(attempt: Attempt, rates: Rates) -> Dict[str, float]:
    """Chance of each criterion to be met in a picture, from its votes alone; of those that were answered."""
    names = [name for name in attempt.evaluation.criteria_results if name not in attempt.evaluation.unanswered]
    return Outlook(rates).posteriors({name: votes_on(attempt, name) for name in names})


def _grounds(began: Sampling) -> List[Settings]:
    """All settings that a run which began with these may come to."""
    denoise, cfg = settings_of(began)
    denoises = DENOISE if began.denoise is not None else (denoise,)
    return list(itertools.product(denoises, cfgs_around(cfg) if began.cfg is not None else [cfg]))


def _apart(pairs: Sequence[Tuple[float, float]]) -> bool:
    """Each was met without the other, and no picture may have both."""
    return (
        any(a > SEEN and b < 1 - SEEN for a, b in pairs)
        and any(b > SEEN and a < 1 - SEEN for a, b in pairs)
        and not any(a >= 0.5 and b >= 0.5 for a, b in pairs)
    )


def _never_beside(pairs: Sequence[Tuple[float, float]], one: str, other: str) -> Optional[str]:
    """The one of two that no picture may have, where the other was met without it."""
    for never, sides in ((one, pairs), (other, [(b, a) for a, b in pairs])):
        if all(a < 0.5 for a, _ in sides) and any(b > SEEN and a < 1 - SEEN for a, b in sides):
            return never
    return None


def _is_wide(shown: Sequence[Settings], began: float) -> bool:
    """Say whether pictures are many enough and far enough apart to tell of what none has; `began`: the run's first cfg."""
    denoises, cfgs = [each[0] for each in shown], [each[1] for each in shown]
    far = round(max(denoises) - min(denoises), 4) >= WIDE_DENOISE and max(cfgs) - min(cfgs) >= WIDE_CFG * began
    return far and len(shown) >= NEVER_FROM


def _evidence(
    beliefs: Mapping[str, Belief],
    one: str,
    other: str,
    count: int,
    cfg: float,
    together: float,
    never: Optional[str],
) -> str:
    def told(name: str) -> str:
        rises = beliefs[name].chance(0.95, cfg) > beliefs[name].chance(0.05, cfg)
        where = f"{'from' if rises else 'up to'} denoise {beliefs[name].turns_at(cfg):.2f}"
        return f"{name} was never met and could be {where} at best" if name == never else f"{name} is met {where}"

    return (
        f"{one} and {other} rule each other out: {told(one)}, {told(other)}; none of {count} pictures met both, "
        f"and at the best settings the chance is {together:.0%}. To get further, {WAYS_OUT}"
    )
