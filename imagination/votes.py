"""What repeated verdicts on one picture say of it: posteriors from votes, and the judge's error rates from its quarrels.

A verdict is noisy evidence. The judge is taken to be wrong at random (`false_pass`, `false_fail`: another look may differ),
but on some pictures to say the same however it is asked: mostly the truth (`steady`), sometimes not (`stuck`). The last
cannot be seen from votes; it keeps ten equal ones from counting as a proof. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

Vote = Optional[bool]  # None: the judge could not tell
SURE_PASS, SURE_FAIL = 0.97, 0.02  # a picture is settled when all criteria are above, or one is below
HARDLY = 0.05  # two criteria below this settle it as well
WORTH_A_LOOK = 2  # failed criteria at the first look, at most; one verdict in ten is wrong, and a look costs seconds
PRIOR_VOTES = 10.0  # the assumed rates weigh as much as that many votes whose truth is known
LEAST, MOST = 0.02, 0.45  # no judge is taken for perfect, none for worse than a coin
UNLIKELY = 1e-300  # no votes are impossible: a thousand that quarrel would come to 0 for either side
LEAST_HOPE, MOST_HOPE = 0.20, 0.70  # of a picture before it is seen: one vote never settles a pass, three do


@dataclass(frozen=True)
class Rates:
    """How often the judge errs: shares of its votes, and for `steady` and `stuck` of the pictures (per criterion)."""

    false_pass: float = 0.10
    false_fail: float = 0.10
    steady: float = 0.30
    stuck: float = 0.005


@dataclass(frozen=True)
class Outlook:
    """What is held before a picture is seen: of the judge, and of each criterion's chance to be met at these settings."""

    rates: Rates = Rates()
    expected: Mapping[str, float] = field(default_factory=dict)

    def posteriors(self, votes: Mapping[str, Sequence[Vote]]) -> Dict[str, float]:
        """Chance that each criterion is met, after its votes."""
        return {name: posterior(cast, self.rates, self._prior(name)) for name, cast in votes.items()}

    def _prior(self, name: str) -> float:
        return min(MOST_HOPE, max(LEAST_HOPE, self.expected.get(name, 0.5)))


def likelihoods(votes: Sequence[Vote], rates: Rates) -> Tuple[float, float]:
    """Chance of these votes if the criterion is met, and if it is not; one that says nothing counts for neither."""
    yes, no = votes.count(True), votes.count(False)
    if yes + no == 0:
        return 1.0, 1.0
    met = (1 - rates.false_fail) ** yes * rates.false_fail**no
    unmet = rates.false_pass**yes * (1 - rates.false_pass) ** no
    free = 1 - rates.steady - rates.stuck
    return (
        max(UNLIKELY, free * met + rates.steady * (no == 0) + rates.stuck * (yes == 0)),
        max(UNLIKELY, free * unmet + rates.steady * (yes == 0) + rates.stuck * (no == 0)),
    )


def posterior(votes: Sequence[Vote], rates: Rates, prior: float = 0.5) -> float:
    """Chance that a criterion is met, after these votes; 0 for one that got no answer: unanswered never passes."""
    if all(vote is None for vote in votes):
        return 0.0
    met, unmet = likelihoods(votes, rates)
    return prior * met / (prior * met + (1 - prior) * unmet)


def measured_rates(known: Iterable[Tuple[bool, Vote]], several: Iterable[Sequence[Vote]], start: Rates) -> Rates:
    """The judge's rates from votes whose truth is `known`, and from criteria that it was asked about more than once.

    Of the latter the truth is what most votes say, by expectation; a split vote is an error on one of the two sides.
    """
    base = [start.false_pass * PRIOR_VOTES, PRIOR_VOTES, start.false_fail * PRIOR_VOTES, PRIOR_VOTES]
    for truth, vote in known:
        _count(base, [vote], float(truth))
    cast = [[vote for vote in votes if vote is not None] for votes in several]
    cast = [votes for votes in cast if len(votes) > 1]
    rates, counts = _rates(base, start), list(base)
    # one pass only: going on with the rates so found would let a few quarrels feed on themselves, up to a yes-sayer
    for votes in cast:
        _count(counts, votes, posterior(votes, rates))
    return _rates(counts, start)


def _count(counts: List[float], votes: Sequence[Vote], met: float) -> None:
    """Add to wrong passes, votes on what is not met, wrong fails, votes on what is met."""
    for vote in votes:
        if vote is not None:
            counts[0] += (1 - met) * vote
            counts[1] += 1 - met
            counts[2] += met * (not vote)
            counts[3] += met


def _rates(counts: Sequence[float], start: Rates) -> Rates:
    return replace(start, false_pass=_clamped(counts[0] / counts[1]), false_fail=_clamped(counts[2] / counts[3]))


def _clamped(rate: float) -> float:
    return min(MOST, max(LEAST, rate))


def worth_another_look(first: Mapping[str, Vote]) -> bool:
    """Say whether a picture may still pass after its first look: few failed, and not all."""
    failed = sum(vote is not True for vote in first.values())
    return failed <= 1 or failed <= min(WORTH_A_LOOK, len(first) - 1)


def ruled_out(posteriors: Mapping[str, float]) -> bool:
    """Say whether a picture cannot pass any more: one criterion is surely not met, or two hardly are."""
    return any(p < SURE_FAIL for p in posteriors.values()) or sum(p < HARDLY for p in posteriors.values()) > 1


def in_doubt(posteriors: Mapping[str, float], votes: Mapping[str, Sequence[Vote]]) -> List[str]:
    """The criteria that another look could settle. A single answer settles no pass, whatever is thought of the judge."""
    return [name for name, p in posteriors.items() if p <= SURE_PASS or len(votes[name]) - votes[name].count(None) < 2]
