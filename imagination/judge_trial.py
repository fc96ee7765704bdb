"""One look of the judge at a picture of which the verdicts are known: the original itself, plain grey, a ruined copy.

What follows from the looks is for `judge_check` (before a run) and `doctor_judge` (at leisure) to say.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field, replace
from typing import Callable, Dict, Optional

from . import images
from .assess import failed_call, usage_of
from .errors import VisionError
from .judge import Asks, Judge
from .model import Answer, CallRecord, Evaluation, Picture, Request, Usage

PURPOSE = "judge_check"


@dataclass(frozen=True)
class Look:
    """What came of one look. `votes`: verdict by field, None where it was left out; none at all if there was `trouble`."""

    shown: str  # "original", "grey" or "ruined"
    votes: Dict[str, Optional[bool]] = field(default_factory=dict)
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    call: Optional[CallRecord] = None
    trouble: Optional[VisionError] = None


class Trial:
    """The pictures of a trial, and the judge that is tried on them."""

    def __init__(self, judge: Judge, original: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self._judge = copy.copy(judge)
        self._judge.vision = _OnTrial(judge.vision)
        self._png = original
        self._original = images.for_vision(original, "the original")
        self._pictures: Dict[str, Picture] = {}
        self._clock = clock

    def look(self, shown: str, number: int = 0) -> Look:
        """Let the judge mark a picture in the place of the result; `number`: how often it was asked about before."""
        picture = self._picture(shown)
        started = self._clock()
        try:
            found = self._judge.evaluate(0, self._original, picture, {}, look=number)
        except VisionError as err:
            call = failed_call(err, CallRecord(provider="", model="", attempts=0))
            return Look(shown, {}, self._clock() - started, usage_of(err), call, err)
        return Look(shown, votes_in(found), self._clock() - started, found.usage, found.aivis_metadata)

    def _picture(self, shown: str) -> Picture:
        if shown not in self._pictures:
            made = {"grey": images.grey_like, "ruined": images.ruined}
            png = made[shown](self._png) if shown in made else self._png
            self._pictures[shown] = images.for_vision(png, "the result")
        return self._pictures[shown]


class _OnTrial:
    """Asks for the judge under a purpose of its own, so that the log tells a trial from a judgement."""

    def __init__(self, vision: Asks) -> None:
        self._vision = vision

    def ask(self, request: Request) -> Answer:
        return self._vision.ask(replace(request, purpose=PURPOSE))


def votes_in(evaluation: Evaluation) -> Dict[str, Optional[bool]]:
    """Verdicts as votes: None where there was no answer."""
    silent = set(evaluation.unanswered)
    return {name: None if name in silent else passed for name, passed in evaluation.criteria_results.items()}
