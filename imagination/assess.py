"""One picture put before the vision model: answers beside comparison, then the evaluation, each on disk as it comes.

What the model does not answer is put on record as unanswered, never made up: decisions.md, "AIVis fails".
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Optional, Sequence, TypeVar, Union, cast

from typing_extensions import Protocol

from . import images
from .combined import Sections, ask_at_once
from .config import questions_hash
from .confirm import confirmed
from .errors import UnreadableReply, VisionBusy, VisionError, VisionUnreachable
from .judge import Judge, answers_record, evaluation_record
from .model import Answers, CallRecord, Comparison, Evaluation, Picture, Rules, Usage, Value, VisionSettings
from .store import Run
from .votes import Outlook

T = TypeVar("T")


class Eyes(Protocol):
    """What is needed of `vision.Vision`, beside `ask`."""

    def together(self, *thunks: Callable[[], T]) -> List[Union[T, VisionError]]: ...
    def rest(self) -> None: ...


@dataclass(frozen=True)
class Assessment:
    """What was found about a picture, and the seconds each question took."""

    answers: Answers
    comparison: Comparison
    evaluation: Evaluation
    timings: Dict[str, float]


@dataclass(frozen=True)
class _Took:
    """Seconds that questions about one picture took, and usage of the artefacts from before, by kind."""

    timings: Dict[str, float] = field(default_factory=dict)
    before: Dict[str, Usage] = field(default_factory=dict)


@dataclass(frozen=True)
class Assessor:
    """Assesses the pictures of one run. `asking` hears which question goes out, `warn` what got no answer."""

    run: Run
    rules: Rules
    settings: VisionSettings
    original: Picture
    fingerprint: bytes = field(repr=False)  # of the original, see `images.likeness`
    judge: Judge
    eyes: Eyes
    asking: Callable[[str], None]
    warn: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    looks: int = 0  # the most further looks at one picture

    def assess(self, iteration: int, png: bytes, again: bool = False, outlook: Optional[Outlook] = None) -> Assessment:
        """Ask what is not on disk yet. `again`: what failed before, or answers other questions than today's, is asked once
        more, and what that took stays counted.

        `outlook` is what is held of the picture and of the judge before it is seen; it decides when a pass is confirmed.
        """
        result = images.for_vision(png, "the result")
        took = _Took()
        answers, comparison = self.run.answers(iteration), self.run.comparison(iteration)
        evaluation = self.run.evaluation(iteration)
        if again:
            for kind, failed in (("questions", answers), ("comparison", comparison), ("evaluation", evaluation)):
                took.before[kind] = failed.usage if failed else Usage()
            answers = answers if answers and answers.aivis_metadata.success and self._answer_today(answers) else None
            comparison = comparison if comparison and comparison.source == "aivis" else None
            evaluation = evaluation if evaluation and evaluation.source == "aivis" else None
        measured = comparison.measured if comparison else images.likeness(self.fingerprint, images.fingerprint(png))
        found = Sections(answers, comparison)
        if self.settings.calls == "combined" and evaluation is None and (not again or self._is_empty(found)):
            found = self._at_once(iteration, measured, result, found, took)
            if found.evaluation is not None and found.evaluation.source == "fallback":
                evaluation = found.evaluation  # nobody is there, which is on disk
        answers, comparison = self._look(iteration, measured, result, found.answers, found.comparison, took)
        if evaluation is None:
            evaluation = self._evaluate(iteration, result, answers, found, outlook or Outlook(), took)
        return Assessment(answers, comparison, evaluation, took.timings)

    def _answer_today(self, answers: Answers) -> bool:
        """Say whether answers are to the questions in force. Of an older version's only the fields are known."""
        if answers.questions_sha256:
            return answers.questions_sha256 == questions_hash(self.rules)
        return set(answers.answers) == {question.field for question in self.rules.questions}

    def _is_empty(self, found: Sections) -> bool:
        return found.comparison is None and (found.answers is None or not self.rules.questions)

    def _at_once(self, iteration: int, measured: float, result: Picture, known: Sections, took: _Took) -> Sections:
        """Ask everything in one request, and put on disk what is new but for the verdicts, which are yet to be confirmed.

        What cannot be read stays None. A process that was killed before the verdicts were on disk asks this again, which
        the cache answers.
        """

        def ask() -> Sections:
            return ask_at_once(self.judge, iteration, self.original, result, measured)

        try:
            found = self._timed("combined", ask, took)()
        except VisionError as err:
            if not isinstance(err.__cause__, (VisionUnreachable, VisionBusy)):
                return replace(known, untold=usage_of(err))
            return Sections(  # nobody is there to answer three smaller questions either
                known.answers or (self._unanswered(iteration, err, Usage(), took) if self.rules.questions else None),
                known.comparison or self._uncompared(iteration, err, measured, Usage(), took),
                self._unjudged(iteration, err, usage_of(err), took),
            )
        answers, comparison = known.answers, known.comparison
        if answers is None and found.answers is not None:
            answers = self._kept("questions", found.answers, took)
        if comparison is None and found.comparison is not None:
            comparison = self._kept("comparison", found.comparison, took)
        return replace(found, answers=answers, comparison=comparison)

    def _look(
        self,
        iteration: int,
        measured: float,
        result: Picture,
        answers: Optional[Answers],
        comparison: Optional[Comparison],
        took: _Took,
    ) -> Any:
        """Answers and comparison, those that are missing asked for together."""

        def answer() -> Answers:
            if not self.rules.questions:
                return answers_record(iteration, {}, self.unheard(), Usage())
            return self.judge.answer(iteration, self.original, result)

        def compare() -> Comparison:
            return self.judge.compare(iteration, self.original, result, measured)

        wanted: List[Callable[[], Any]] = [
            self._timed("questions", answer, took) if answers is None else lambda: answers,
            self._timed("comparison", compare, took) if comparison is None else lambda: comparison,
        ]
        got_answers, got_comparison = self.eyes.together(*wanted)
        if isinstance(got_answers, VisionError):
            got_answers = self._unanswered(iteration, got_answers, usage_of(got_answers), took)
        if isinstance(got_comparison, VisionError):
            got_comparison = self._uncompared(iteration, got_comparison, measured, usage_of(got_comparison), took)
        return got_answers, got_comparison

    def _timed(self, purpose: str, ask: Callable[[], T], took: _Took) -> Callable[[], T]:
        """`ask`, heard by the observer, timed, and its artefact written the moment it is there."""

        def timed() -> T:
            started = self.clock()
            if purpose != "evaluation" and (purpose != "questions" or self.rules.questions):
                self.asking(purpose)  # each look of an evaluation is told by itself
            try:
                got = ask()
            finally:
                took.timings[purpose] = round(self.clock() - started, 3)
            return self._kept(purpose, got, took)

        return timed

    def _kept(self, kind: str, got: T, took: _Took) -> T:
        """A record as it is on disk now: with what was spent in vain on the one that it replaces. Else what it is."""
        if not isinstance(got, (Answers, Comparison, Evaluation)):
            return got
        update: Dict[str, Any] = {"usage": took.before.get(kind, Usage()) + got.usage}
        if isinstance(got, Answers):
            update["questions_sha256"] = questions_hash(self.rules)
        whole = got.model_copy(update=update)
        self.run.write(kind, whole)
        return cast(T, whole)

    def _unanswered(self, iteration: int, err: VisionError, usage: Usage, took: _Took) -> Answers:
        self.warn(f"the questions got no answer: {err}")
        values: Dict[str, Value] = {q.field: None for q in self.rules.questions}
        return self._kept("questions", answers_record(iteration, values, failed_call(err, self.unheard()), usage), took)

    def _uncompared(self, iteration: int, err: VisionError, measured: float, usage: Usage, took: _Took) -> Comparison:
        self.warn(f"the comparison got no answer, likeness is measured from pixels: {err}")
        comparison = Comparison(
            iteration=iteration,
            source="measured",
            similarity_score=measured,
            differences=[],
            analysis="",
            measured=measured,
            aivis_metadata=failed_call(err, self.unheard()),
            usage=usage,
        )
        return self._kept("comparison", comparison, took)

    def _evaluate(
        self,
        iteration: int,
        result: Picture,
        answers: Answers,
        found: Sections,
        outlook: Outlook,
        took: _Took,
    ) -> Evaluation:
        """The verdicts, confirmed; the first ones are `found` already where all was asked in one request."""
        seen = [found.evaluation] if found.evaluation else []

        def look(number: int, fields: Optional[Sequence[str]]) -> Evaluation:
            self.asking("evaluation" if number == 0 else "second_look")
            try:
                one = self.judge.evaluate(iteration, self.original, result, answers.answers, number, fields)
            except VisionError as err:
                if fields is None or not _says_nothing_of(fields, seen[0], err):
                    raise
                one = self._still_unanswered(iteration, fields, err)
            seen.append(one)
            return one

        def ask() -> Evaluation:
            first = found.evaluation or look(0, None)
            first = first.model_copy(update={"usage": found.untold + first.usage})
            return confirmed(first, look, self.looks, outlook) if self.looks and first.source == "aivis" else first

        try:
            return self._timed("evaluation", ask, took)()
        except VisionError as err:
            return self._unjudged(
                iteration, err, sum((each.usage for each in seen), found.untold + usage_of(err)), took
            )

    def _still_unanswered(self, iteration: int, fields: Sequence[str], err: VisionError) -> Evaluation:
        """The record of a look that gave no verdict: the picture is judged, but for these."""
        call, criteria = failed_call(err, self.unheard()), self.rules.acceptance_criteria
        asked = [criterion for criterion in criteria if criterion.field in fields]
        return evaluation_record(iteration, asked, {}, {}, call, usage_of(err), self.judge.rules_sha256)

    def _unjudged(self, iteration: int, err: VisionError, usage: Usage, took: _Took) -> Evaluation:
        self.warn(f"the picture could not be judged, it is kept unjudged: {err}")
        call, criteria = failed_call(err, self.unheard()), self.rules.acceptance_criteria
        evaluation = evaluation_record(iteration, criteria, {}, {}, call, usage, self.judge.rules_sha256, judged=False)
        return self._kept("evaluation", evaluation, took)

    def unheard(self) -> CallRecord:
        """The record of a call that was not made, or that left none."""
        return CallRecord(provider=self.settings.provider, model=self.settings.model, attempts=0)


def failed_call(err: VisionError, otherwise: CallRecord) -> CallRecord:
    """What the failed request left on record; `ask` puts it on the exception."""
    call = getattr(err, "call", None)
    if isinstance(call, CallRecord):
        return call
    return otherwise.model_copy(update={"success": False, "error": str(err)})


def _says_nothing_of(fields: Sequence[str], first: Evaluation, err: VisionError) -> bool:
    """Say whether the model, asked again for nothing but what it left out at first, replied without an answer."""
    return isinstance(err.__cause__, UnreadableReply) and set(fields) <= set(first.unanswered)


def usage_of(err: VisionError) -> Usage:
    """What a failed request cost all the same."""
    usage = getattr(err, "usage", None)
    return usage if isinstance(usage, Usage) else Usage()
