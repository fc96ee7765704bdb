"""The strategy `adaptive`: the settings at which, as far as all pictures tell, every criterion passes together. Pure.

Every picture counts, not only the last, and votes count as the chances they are. What moves is denoise and cfg; every
picture gets a new seed unless the user set one: in simulation a seed that is kept while a change is tested costs over
a quarter more pictures, since bad luck is kept with it (tests/benchmarks/README.md). Where a picture is outside the
spec's similarity band, the spec's step is the least that happens, unless that ground is known already.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import replace
from typing import Collection, Dict, List, Mapping, Optional, Sequence, Tuple

from .estimate import Belief, Kind, Sighting
from .model import Attempt, Criterion, Move, Sampling
from .shaping import contains
from .tuning import TOO_DIFFERENT, Plan, outside_band
from .votes import Outlook, Rates, Vote, likelihoods, measured_rates

Settings = Tuple[float, float]  # denoise, cfg
# prior centres of the thresholds by edit_strength, in denoise: how strong an edit a change takes, and what is kept bears
CHANGES: Mapping[Optional[str], float] = {"low": 0.40, None: 0.47, "medium": 0.48, "high": 0.60}
KEPT: Mapping[Optional[str], float] = {"low": 0.50, None: 0.55, "medium": 0.55, "high": 0.65}
SPREAD = 0.24
DENOISE = tuple(round(0.05 * n, 2) for n in range(1, 21))
FINER = (-0.025, 0.0, 0.025)
LEAST_MOVE = 0.01  # of denoise: less cannot be seen
# of the cfg that the run began with: further off is another model
CFG = (0.45, 0.57, 0.7, 0.85, 1.0, 1.2, 1.45, 1.7, 2.0)
CURIOSITY = 1.5  # standard deviations of the estimate that an untried setting is credited with
STAYING = 0.0005  # what a step of 0.05, or of one cfg, must gain at least
UNLIKELY = 0.02  # prospect below which a step need gain less in proportion: of many criteria all chances are small
WITHOUT_ITS_TERMS = 0.25  # weight of a picture whose prompt lacked a term that the criterion must have


class AdaptiveStrategy:
    """Chooses settings for one run. `known`: votes of the judge whose truth is known, from its check on the original."""

    curiosity = CURIOSITY

    def __init__(self, criteria: Sequence[Criterion], known: Sequence[Tuple[bool, Vote]] = ()) -> None:
        self.criteria = criteria
        self.known = known

    def outlook(self, history: Sequence[Attempt], sampling: Sampling) -> Outlook:
        """What is held of the judge, and of a picture of these settings, before it is seen."""
        rates = rates_of(history, self.known)
        beliefs = beliefs_of(self.criteria, history, rates, sampling)
        denoise, cfg = settings_of(sampling)
        return Outlook(rates, {name: belief.chance(denoise, cfg) for name, belief in beliefs.items()})

    def next(self, history: Sequence[Attempt], locked: Collection[str]) -> Plan:
        """Settings after the last of `history`. "seed" among `locked`: it is fixed, so no settings are tried twice."""
        last, table, ground = (
            history[-1],
            _Table(self._beliefs(history), self.curiosity),
            _Ground(self.criteria, history, locked),
        )
        best = table.best(ground.open(), ground.now)
        best = table.best(ground.around(best), ground.now)
        wanted = replace(
            last.sampling,
            denoise=best[0] if ground.moves("denoise") else last.sampling.denoise,
            cfg=best[1] if best[1] != ground.now[1] else last.sampling.cfg,
        )
        return Plan(wanted, tuple(_moves(last, wanted, table, ground)))

    def _rates(self, history: Sequence[Attempt]) -> Rates:
        return rates_of(history, self.known)

    def _beliefs(self, history: Sequence[Attempt]) -> Dict[str, Belief]:
        return beliefs_of(self.criteria, history, self._rates(history), history[0].sampling)


def rates_of(history: Sequence[Attempt], known: Sequence[Tuple[bool, Vote]] = ()) -> Rates:
    """The judge's error rates, from its check and from what it was asked more than once."""
    several = [votes for a in history for votes in a.evaluation.votes.values()]
    return measured_rates(known, several, Rates())


def kind_of(criterion: Criterion, cfg: float) -> Kind:
    """What the tags of a criterion say of it before the first picture."""
    if criterion.intent == "change":
        return Kind(True, CHANGES[criterion.edit_strength], SPREAD, cfg)
    if criterion.intent == "preserve":
        return Kind(False, KEPT[criterion.edit_strength], SPREAD, cfg)
    return Kind(None, 0.5, 0.28, cfg)


# --- what the pictures say ------------------------------------------------------------------------------------------------


def settings_of(sampling: Sampling) -> Settings:
    """Denoise and cfg; what the workflow has no place for stands still at a middle value."""
    denoise = 0.5 if sampling.denoise is None else sampling.denoise
    return denoise, 7.0 if sampling.cfg is None else max(0.1, sampling.cfg)


def beliefs_of(
    criteria: Sequence[Criterion], history: Sequence[Attempt], rates: Rates, began: Sampling
) -> Dict[str, Belief]:
    judged = [a for a in history if a.evaluation.source == "aivis"]
    cfg = settings_of(history[0].sampling if history else began)[1]
    return {c.field: _belief(kind_of(c, cfg), tuple(_sightings(c, judged, rates))) for c in criteria}


@functools.lru_cache(maxsize=64)  # more than most rules have criteria: plan, conflict and outlook ask for the same
def _belief(kind: Kind, sightings: Tuple[Sighting, ...]) -> Belief:
    return Belief(kind, sightings)


def _sightings(criterion: Criterion, judged: Sequence[Attempt], rates: Rates) -> List[Sighting]:
    found = []
    for attempt in judged:
        met, unmet = likelihoods(votes_on(attempt, criterion.field), rates)
        if met != unmet:
            complete = all(contains(attempt.prompts.positive, term) for term in criterion.must_include)
            weight = 1.0 if complete else WITHOUT_ITS_TERMS
            found.append(Sighting(*settings_of(attempt.sampling), met, unmet, weight))
    return found


def votes_on(attempt: Attempt, name: str) -> Sequence[Vote]:
    """Votes on a criterion; those of older versions of this program are their verdicts."""
    evaluation = attempt.evaluation
    if name in evaluation.votes:
        return evaluation.votes[name]
    told = name in evaluation.criteria_results and name not in evaluation.unanswered
    return [evaluation.criteria_results[name]] if told else [None]


class _Table:
    """Chances of settings under what is believed of each criterion."""

    def __init__(self, beliefs: Mapping[str, Belief], curiosity: float) -> None:
        self.beliefs = beliefs
        self.curiosity = curiosity

    def together(self, settings: Settings, curiosity: float = 0.0, least: float = 0.0) -> float:
        """Chance that all criteria are met, with a credit for what is not known of it; 0.0 where it is below `least`."""
        mean = square = 1.0
        for belief in self.beliefs.values():
            first, second = belief.moments(*settings)
            mean, square = mean * first, square * second
            if mean + curiosity * math.sqrt(square) < least:  # and each further criterion makes it less
                return 0.0
        return mean + curiosity * math.sqrt(max(0.0, square - mean * mean))

    def best(self, open_settings: Sequence[Settings], now: Settings) -> Settings:
        """The settings with the best prospect; what is near is preferred where it makes no difference."""
        found = self._best(open_settings, now, STAYING)
        if self.together(found, self.curiosity) >= UNLIKELY:
            return found
        most = self.together(self._best(open_settings, now, 0.0), self.curiosity)
        return self._best(open_settings, now, STAYING * min(1.0, most / UNLIKELY))

    def _best(self, open_settings: Sequence[Settings], now: Settings, staying: float) -> Settings:
        best, most = open_settings[0], -math.inf
        for each in open_settings:
            cost = staying * (abs(each[0] - now[0]) / 0.05 + abs(each[1] - now[1]))
            found = self.together(each, self.curiosity, most + cost) - cost
            if found > most:
                best, most = each, found
        return best


# --- which settings are open ----------------------------------------------------------------------------------------------


def cfgs_around(began: float) -> List[float]:
    """The cfgs that a run which began with this one may come to."""
    step = 0.5 if began > 3 else 0.1
    return sorted({min(20.0, max(1.0, round(round(began * by / step) * step, 2))) for by in CFG})


class _Ground:
    """Which settings may come after the last picture: what is locked stays, what is known need not be tried again."""

    def __init__(self, criteria: Sequence[Criterion], history: Sequence[Attempt], locked: Collection[str]) -> None:
        self.criteria, self.history, self.locked = criteria, history, locked
        self.began, self.last = history[0].sampling, history[-1]
        self.now = settings_of(self.last.sampling)
        self.shown = [settings_of(a.sampling) for a in history if a.evaluation.source == "aivis"]
        self.cfgs = cfgs_around(settings_of(self.began)[1])
        self.low, self.high, self.least_cfg = self._least()

    def open(self) -> List[Settings]:
        """Settings that may come next, at least one."""
        steps = [step for step in (*DENOISE, self.low or 1.0, self.high) if abs(step - self.now[0]) >= LEAST_MOVE]
        denoises = {self.now[0], *(steps if self.moves("denoise") else ())}
        cfgs = {self.now[1], *((*self.cfgs, max(self.least_cfg, self.now[1])) if self.moves("cfg") else ())}
        everything = sorted(itertools.product(denoises, cfgs))
        return [each for each in everything if self.allows(each)] or everything

    def around(self, settings: Settings) -> List[Settings]:
        """The settings themselves and finer steps of denoise beside them."""
        steps = FINER if self.moves("denoise") else ()
        near = [(round(settings[0] + by, 4) if by else settings[0], settings[1]) for by in steps]
        return [each for each in near if 0 < each[0] <= 1 and self.allows(each)] or [settings]

    def moves(self, name: str) -> bool:
        """Say whether the strategy may set a parameter at all."""
        sampled = (self.began, self.last.sampling)
        return name not in self.locked and all(getattr(each, name) is not None for each in sampled)

    def allows(self, each: Settings) -> bool:
        """Say whether settings keep to what the spec asks for at least, and would give a new picture."""
        if self.moves("denoise") and not self.low <= each[0] <= self.high:
            return False
        if self.moves("cfg") and each[1] < self.least_cfg:
            return False
        same = [a for a in self.history if settings_of(a.sampling) == each and a.prompts == self.last.prompts]
        return not ("seed" in self.locked and same)

    def _least(self) -> Tuple[float, float, float]:
        """Denoise from and to, and cfg from, as the spec's step asks outside the band.

        Ground that a picture has shown already is the estimate's. An edit that did all it should, at the cost of what was
        to be kept, is not made bolder for being too like the original. cfg keeps to its range in any case: for a model that
        runs at 1, another 1 is far already.
        """
        comparison, (denoise, cfg) = self.last.comparison, self.now
        if comparison.source != "aivis" or not outside_band(comparison.similarity_score):
            return 0.0, 1.0, 0.0
        if comparison.similarity_score < TOO_DIFFERENT:
            gentler = max(0.0, round(denoise - 0.05, 4))
            return 0.0, 1.0 if any(each[0] <= gentler for each in self.shown) else gentler, 0.0
        asked = {c.field for c in self.criteria if c.intent != "preserve"}
        if asked <= set(self.last.evaluation.passed_fields):
            return 0.0, 1.0, 0.0
        bolder, closer = min(1.0, round(denoise + 0.05, 4)), max(cfg, min(cfg + 1, self.cfgs[-1]))
        return (
            0.0 if any(each[0] >= bolder for each in self.shown) else bolder,
            1.0,
            0.0 if any(each[1] >= closer for each in self.shown) else closer,
        )


# --- why ------------------------------------------------------------------------------------------------------------------


def _moves(last: Attempt, wanted: Sampling, table: _Table, ground: _Ground) -> List[Move]:
    before, after = ground.now, settings_of(wanted)
    moves = []
    for name, index, more, less in (
        ("denoise", 0, "a bolder edit", "a gentler edit"),
        ("cfg", 1, "the prompt to be followed more closely", "the prompt to be followed less closely"),
    ):
        old, new = getattr(last.sampling, name), getattr(wanted, name)
        if old != new:
            moved = (after[0], before[1]) if index == 0 else (before[0], after[1])
            why = _what_gains(last, table, before, moved, more if new > old else less)
            why = why or _what_the_band_asks(last, name, new > old) or _what_else(after, ground)
            moves.append(Move(what=f"{name} {old:g} → {new:g}", why=why))
    return moves or [Move(what="denoise and cfg unchanged", why=_why_unchanged(last, table, after, ground))]


def _what_gains(last: Attempt, table: _Table, before: Settings, moved: Settings, asked: str) -> str:
    """The criterion that gains most when only this setting moves; empty if none gains to speak of."""
    gains = {name: belief.chance(*moved) - belief.chance(*before) for name, belief in table.beliefs.items()}
    failed = [name for name in last.evaluation.failed_fields if gains.get(name, 0.0) > 0.01]
    name = max(failed or gains, key=gains.__getitem__)
    then, now = table.beliefs[name].chance(*moved), table.beliefs[name].chance(*before)
    return f"{name} asks for {asked}: met with a chance of {then:.0%} instead of {now:.0%}" if then - now > 0.01 else ""


def _what_the_band_asks(last: Attempt, name: str, rises: bool) -> str:
    """The spec's reason, where the move goes its way: for what is too like, more of both; for too unlike, less denoise."""
    comparison = last.comparison
    if comparison.source != "aivis" or not outside_band(comparison.similarity_score):
        return ""
    unlike = comparison.similarity_score < TOO_DIFFERENT
    if rises == unlike or (unlike and name != "denoise"):
        return ""
    how = "unlike" if unlike else "like"
    return f"the picture is too {how} the original (similarity {comparison.similarity_score:.2f})"


def _what_else(after: Settings, ground: _Ground) -> str:
    if after in ground.shown:
        return "of what was tried, these settings have done best together"
    return "these settings have not been tried yet and may do better"


def _why_unchanged(last: Attempt, table: _Table, settings: Settings, ground: _Ground) -> str:
    if {"denoise", "cfg"} <= set(ground.locked):
        return "both are locked"
    if not ground.moves("denoise") and not ground.moves("cfg"):
        return "they are locked, or the workflow has no place for them"
    if set(last.evaluation.unanswered) >= set(table.beliefs):
        return "no criterion was answered, so the picture tells nothing of them"
    luck = "" if "seed" in ground.locked else "; the picture was unlucky, and a new seed may do better"
    chance = table.together(settings)
    met = "all criteria are" if len(table.beliefs) > 1 else "the criterion is"
    told = f": with these {met} met with a chance of {chance:.0%}" if chance >= 0.05 else ""
    return f"no other settings promise more{told}{luck}"
