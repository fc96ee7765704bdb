"""The end of a run without a pass: its best pictures put before the judge in pairs. Who meets whom and who wins is `duels`'."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from . import images
from .assess import Eyes, usage_of
from .duels import ask_duel, contenders, pairs, winner
from .errors import BadImage, VisionError
from .holding import Yardstick
from .judge import Judge
from .model import Answer, Attempt, CallRecord, Duel, FinalComparison, Picture, Usage
from .store import Run


@dataclass(frozen=True)
class Chosen:
    """What came of it (None: it is left at the scores), and what it took in this process."""

    found: Optional[FinalComparison] = None
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0


@dataclass(frozen=True)
class Finale:
    """Compares the best pictures of one run."""

    run: Run
    judge: Judge
    eyes: Eyes
    original: Picture
    asking: Callable[[str], None]
    warn: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    bookings: Callable[[], int] = lambda: -1  # how often the run's totals were written by now

    def choose(self, history: Sequence[Attempt]) -> Chosen:
        """Compare the best of `history`; what an earlier process found out about the same pictures is taken as it is."""
        order = contenders(history, self._shows, Yardstick.of(self.judge.rules).holds)
        if len(order) < 2:
            return Chosen()
        before = self.run.final_comparison()
        if before is not None and before.iterations == order and before.winner in order:
            return Chosen(before)
        started = self.clock()
        self.asking("duel")
        shown = {n: images.for_vision(self.run.read_image(n) or b"", f"iteration {n}") for n in order}
        duels, answers, trouble = self._fight(order, shown)
        usage = sum((answer.usage for answer in answers), usage_of(trouble) if trouble else Usage())
        seconds = round(self.clock() - started, 3)
        if trouble is not None:
            self.warn(f"the best pictures could not be compared, the score decides between them: {trouble}")
            return Chosen(None, usage, seconds)
        found = FinalComparison(
            iterations=order,
            duels=duels,
            winner=winner(order, duels),
            aivis_metadata=_call(answers),
            usage=usage,
            seconds=seconds,
            booked=self.bookings(),
        )
        self.run.write_final_comparison(found)
        return Chosen(found, usage, seconds)

    def _shows(self, iteration: int) -> Optional[str]:
        """A hash of an iteration's picture; None where there is none that decodes."""
        png = self.run.read_image(iteration)
        try:
            return images.pixel_hash(png) if png is not None and images.check_result(png) else None
        except BadImage:
            return None

    def _fight(
        self, order: Sequence[int], shown: Dict[int, Picture]
    ) -> Tuple[List[Duel], List[Answer], Optional[VisionError]]:
        """Every pair in both orders; a duel that fails ends it, since half of a comparison would be a biased one."""
        duels: List[Duel] = []
        answers: List[Answer] = []
        for both in pairs(order):
            trouble = None
            for got in self.eyes.together(*(self._duel(first, second, shown) for first, second in both)):
                if isinstance(got, VisionError):
                    trouble = got
                else:
                    duels.append(got[0])
                    answers.append(got[1])
            if trouble is not None:
                return duels, answers, trouble
        return duels, answers, None

    def _duel(self, first: int, second: int, shown: Dict[int, Picture]) -> Callable[[], Tuple[Duel, Answer]]:
        def ask() -> Tuple[Duel, Answer]:
            choice, reason, answer = ask_duel(self.judge, self.original, shown[first], shown[second])
            better = {"first": first, "second": second}.get(choice or "")
            return Duel(first=first, second=second, better=better, reason=reason), answer

        return ask


def _call(answers: Sequence[Answer]) -> CallRecord:
    """One record of all duels: the last one's, and whether any went to the fallback."""
    calls = [answer.call for answer in answers]
    update = {"using_fallback": any(c.using_fallback for c in calls), "attempts": max(c.attempts for c in calls)}
    return calls[-1].model_copy(update=update)
