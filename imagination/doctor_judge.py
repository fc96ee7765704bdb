"""The part of `doctor` that is asked for with --judge: the model on the user's own rules and picture, over several looks.

What the looks show is put into figures and lines by pure functions; `try_at_leisure` asks. Only the provider is tried, not
the fallback, and each look is one request, so that the figures are those of one model.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from .checkup import Check, failed, failure, ok, warning
from .doctor_vision import solo
from .errors import VisionError
from .images import for_vision
from .judge import Judge
from .judge_check import (
    ANOTHER,
    LARGER,
    LEAST_ANSWERED,
    READABLE,
    Votes,
    already_there,
    always,
    cannot_see,
    is_unreadable,
    majority,
    odd_preserve,
    says_yes,
    votes_of,
)
from .judge_trial import Look, Trial
from .model import Criterion, Usage
from .setup import Setup
from .streams import clean
from .vision import Vision

LOOKS = (("original", 5), ("grey", 2), ("ruined", 2))
SHOWN = {
    "original": "the unedited original",
    "grey": "a plain grey picture",
    "ruined": "the original upside down, inverted and blurred",
}
MUCH_FLIPPED, MUCH_REPAIRED = 0.10, 0.10  # shares from which on they are warned of
Told = Callable[[str], None]


@dataclass(frozen=True)
class Figures:
    """The judge in figures. Rates are shares from 0 to 1; None where nothing was there to measure."""

    looks: int
    yes_rate: Dict[str, Optional[float]]  # by picture: passes among the verdicts that were given
    flip_rate: Optional[float]  # verdicts that differ from what most looks at the same picture say
    parse_rate: float  # looks whose first reply could be read as it was
    answered: Optional[float]  # verdicts that were given
    blindness: Optional[float]  # criteria with the same verdict for the original and for grey
    seconds_per_look: Optional[float]
    seconds_per_picture: Optional[float]  # questions, criteria and comparison, as a run asks them
    cost_per_picture: Optional[float]  # USD; None where no server said

    def as_dict(self) -> Dict[str, Any]:
        """For `--format json`."""
        return asdict(self)


@dataclass(frozen=True)
class Rest:
    """What the other requests of a picture (questions, comparison) took once."""

    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class Examined:
    """The lines, and the figures behind them (None: the judge was not tried)."""

    checks: Sequence[Check]
    figures: Optional[Figures] = None


# --- figures ------------------------------------------------------------------------------------------------------------


def figures(criteria: Sequence[Criterion], looks: Sequence[Look], rest: Rest) -> Figures:
    """Everything that is counted."""
    seen = {shown: votes_of(looks, shown) for shown, _ in LOOKS}
    each = [votes for part in seen.values() for votes in part.values()]
    votes = [vote for part in each for vote in part]
    given = [vote for vote in votes if vote is not None]
    good = [look for look in looks if look.trouble is None]
    seconds = _mean([look.seconds for look in good])
    costs = [look.usage.cost for look in good if look.usage.cost is not None]
    return Figures(
        looks=len(looks),
        yes_rate={shown: _yes(part) for shown, part in seen.items()},
        flip_rate=_flips(each),
        parse_rate=round(sum(_at_once(look) for look in good) / len(looks), 3) if looks else 0.0,
        answered=round(len(given) / len(votes), 3) if votes else None,
        blindness=_same(criteria, seen["original"], seen["grey"]),
        seconds_per_look=seconds,
        seconds_per_picture=None if seconds is None else round(seconds + rest.seconds, 3),
        cost_per_picture=round(sum(costs) / len(costs) + (rest.usage.cost or 0.0), 6) if costs else None,
    )


def _at_once(look: Look) -> bool:
    return look.call is None or look.call.attempts <= 1


def _yes(votes: Votes) -> Optional[float]:
    return _mean([float(vote) for each in votes.values() for vote in each if vote is not None])


def _flips(each: Sequence[Sequence[Optional[bool]]]) -> Optional[float]:
    told = [[vote for vote in votes if vote is not None] for votes in each]
    return _mean([float(vote is not majority(votes)) for votes in told if len(votes) > 1 for vote in votes])


def _same(criteria: Sequence[Criterion], original: Votes, grey: Votes) -> Optional[float]:
    pairs = [(majority(original.get(c.field, ())), majority(grey.get(c.field, ()))) for c in criteria]
    return _mean([float(first is second) for first, second in pairs if first is not None and second is not None])


def _mean(values: Sequence[float]) -> Optional[float]:
    return round(sum(values) / len(values), 3) if values else None


# --- lines --------------------------------------------------------------------------------------------------------------


def judged(criteria: Sequence[Criterion], looks: Sequence[Look], found: Figures) -> List[Check]:
    """A line for each figure, with what helps where it is bad."""
    silent = [look for look in looks if look.trouble is not None]
    if silent and len(silent) == len(looks):
        return [_no_answer(silent[0])]
    original, grey = votes_of(looks, "original"), votes_of(looks, "grey")
    lines = [_readable(found, silent), _yes_line(criteria, looks, found), _sight_line(criteria, original, grey, found)]
    lines += [_flip_line(found), *_wording(criteria, original, grey), _price_line(found)]
    return [line for line in lines if line is not None]


def _no_answer(look: Look) -> Check:
    err = look.trouble
    assert err is not None
    if is_unreadable(err):
        return failure("judge replies", f"no reply can be read: {clean(err.message)}", READABLE)
    return failed("judge", err)


def _readable(found: Figures, silent: Sequence[Look]) -> Check:
    name = "judge replies"
    share = f"{found.parse_rate:.0%} of {found.looks} replies could be read at once"
    if silent:
        share += f"; {len(silent)} could not be had: {clean(silent[0].trouble.message if silent[0].trouble else '')}"
    if found.answered is not None and found.answered < LEAST_ANSWERED:
        text = f"{share}, but only {found.answered:.0%} of the verdicts were given"
        return failure(name, text, f"ask what can be seen in a picture, or {ANOTHER}")
    text = f"{share}, {found.answered or 0.0:.0%} of the verdicts were given"
    if silent or found.parse_rate < 1 - MUCH_REPAIRED:
        return warning(name, text, READABLE)
    return ok(name, text)


def _yes_line(criteria: Sequence[Criterion], looks: Sequence[Look], found: Figures) -> Optional[Check]:
    shares = [(shown, found.yes_rate[shown]) for shown, _ in LOOKS]
    told = [f"{share:.0%} for {SHOWN[shown]}" for shown, share in shares if share is not None]
    if not told:
        return None
    name, text = "judge yes-rate", "it says yes: " + ", ".join(told)
    original, grey, ruined = (votes_of(looks, shown) for shown, _ in LOOKS)
    doubt = says_yes(criteria, original, grey)
    if doubt:
        return failure(name, f"{text}; {doubt.seen}", doubt.mend)
    if always(ruined, [c.field for c in criteria if c.intent == "preserve"], True):
        return warning(name, f"{text}; all that should stay is still there for it in a ruined picture", ANOTHER)
    return ok(name, text)


def _sight_line(criteria: Sequence[Criterion], original: Votes, grey: Votes, found: Figures) -> Optional[Check]:
    if found.blindness is None:
        return None
    name, text = (
        "judge sight",
        f"{found.blindness:.0%} of the verdicts are the same for the original and for plain grey",
    )
    doubt = cannot_see(criteria, original, grey)
    return failure(name, f"{text}; {doubt.seen}", doubt.mend) if doubt else ok(name, text)


def _flip_line(found: Figures) -> Optional[Check]:
    if found.flip_rate is None:
        return None
    name, text = "judge flips", f"{found.flip_rate:.0%} of the verdicts differ from the others on the same picture"
    return warning(name, text, LARGER) if found.flip_rate > MUCH_FLIPPED else ok(name, text)


def _wording(criteria: Sequence[Criterion], original: Votes, grey: Votes) -> List[Check]:
    """What the original says about the rules."""
    doubts = (odd_preserve(criteria, original), already_there(criteria, original, grey))
    return [warning("judge and rules", doubt.seen, doubt.mend) for doubt in doubts if doubt]


def _price_line(found: Figures) -> Optional[Check]:
    if found.seconds_per_picture is None:
        return None
    text = (
        f"a picture takes it about {found.seconds_per_picture:.1f} s, another look {found.seconds_per_look or 0:.1f} s"
    )
    if found.cost_per_picture is not None:
        text += f"; a picture costs about {found.cost_per_picture:.4f} USD"
    return ok("judge effort", text)


# --- asking -------------------------------------------------------------------------------------------------------------


def try_at_leisure(
    setup: Setup, environ: Mapping[str, str], progress: Told, clock: Callable[[], float] = time.monotonic
) -> Examined:
    """Ask about each picture as often as LOOKS says. `progress` hears of each look before it is made."""
    settings = solo(setup.vision, fallback=False)
    with contextlib.closing(Vision.from_settings(settings, environ)) as eyes:
        judge = Judge(eyes, setup.templates, setup.rules)
        try:
            rest = _rest(judge, setup, progress, clock)
        except VisionError as err:
            return Examined([_no_answer(Look("original", trouble=err))])
        looks = _looks(judge, setup.source, progress, clock)
    criteria = setup.rules.acceptance_criteria
    found = figures(criteria, looks, rest)
    return Examined(judged(criteria, looks, found), found)


def _rest(judge: Judge, setup: Setup, progress: Told, clock: Callable[[], float]) -> Rest:
    """Describe the original, as every request needs it, and ask once what a run asks beside the criteria."""
    progress("describing the original, questions, comparison")
    original = for_vision(setup.source, "the original")
    judge.describe(original)
    started, usage = clock(), Usage()
    result = for_vision(setup.source, "the result")
    if setup.rules.questions:
        usage = usage + judge.answer(0, original, result).usage
    usage = usage + judge.compare(0, original, result, 1.0).usage
    return Rest(clock() - started, usage)


def _looks(judge: Judge, source: bytes, progress: Told, clock: Callable[[], float]) -> List[Look]:
    """The looks, until two in a row get no answer."""
    trial = Trial(judge, source, clock)
    plan = [(shown, number) for shown, times in LOOKS for number in range(times)]
    looks: List[Look] = []
    for count, (shown, number) in enumerate(plan, 1):
        progress(f"look {count} of {len(plan)}: {SHOWN[shown]}")
        looks.append(trial.look(shown, number))
        if len(looks) > 1 and looks[-1].trouble and looks[-2].trouble:
            break
    return looks
