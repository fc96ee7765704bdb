"""What a run knows of itself and puts on disk: the resume point, each iteration on record, output/, the page's files.

Decides nothing. Every change of the resume point goes through `save`, and is on disk when it returns; artefacts go first,
so that the resume point never tells of something that is not there.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from . import images, page_copy, page_rebuild, pages
from .assess import Assessment
from .budget import count
from .duels import told
from .errors import BadImage, ImaginationError
from .holding import Yardstick
from .model import (
    MOST_SECONDS,
    Attempt,
    CallRecord,
    Checkpoint,
    Comparison,
    Evaluation,
    FinalComparison,
    Metadata,
    Move,
    Pending,
    RunStatus,
    Sampling,
    Totals,
    Usage,
)
from .reading import MAX_PICTURE, read_bytes
from .resume import Opening
from .scoring import better, never_met, score_of
from .setup import Setup, Workflow
from .store import Store
from .tally import add_iteration, add_rejudged, paid_by, reckoned, rejudging, spent

log = logging.getLogger(__name__)
_OF_FINAL = {"iterations", "duels", "winner"}  # what the output tells of it


class Chronicle:
    """The state of one run. `history` has the judged pictures, `metadata` every iteration, oldest first.

    `evidence` has the same pictures as the rules in force see them, see `holding`: what decides anything goes by that.
    """

    def __init__(
        self, setup: Setup, store: Store, opening: Opening, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.setup = setup
        self.store = store
        self.run = opening.run
        self.checkpoint: Checkpoint = opening.checkpoint
        self.history: List[Attempt] = []
        self.evidence: List[Attempt] = []
        self._yardstick = Yardstick.of(setup.rules, setup.input_sha256)
        self.metadata: Dict[int, Metadata] = {}
        self.final: Optional[FinalComparison] = None  # once the best pictures were compared
        self._clock = clock
        self._begun = clock() - self.checkpoint.worked  # as if all processes had worked in one go

    def save(self, now: float, **changes: Any) -> None:
        """Change the resume point and put it on disk."""
        worked = round(min(self._clock() - self._begun, MOST_SECONDS), 3)
        if "totals" in changes:
            changes["bookings"] = self.checkpoint.bookings + 1
        taken = {"updated_at": now, "worked": worked, "paid": paid_by(self.run, self.checkpoint)}
        self.checkpoint = self.checkpoint.model_copy(update={**taken, **changes})
        self.store.write_checkpoint(self.checkpoint)

    def remember(self) -> None:
        """Take up what earlier processes did in this run; of what somebody has removed since then, a warning tells."""
        lost: Dict[int, str] = {}
        gone: List[int] = []
        for iteration in range(1, self.checkpoint.last_iteration + 1):
            metadata = self.run.metadata(iteration)
            if metadata is None:
                lost[iteration] = "metadata"
                continue
            self.metadata[iteration] = metadata
            if metadata.status == "ok" and not self.run.image_file(iteration).is_file():
                gone.append(iteration)
            evaluation, comparison = self.run.evaluation(iteration), self.run.comparison(iteration)
            if evaluation is not None and comparison is not None:
                self._learn(metadata, evaluation, comparison)
            elif metadata.status == "ok":
                lost[iteration] = "comparison" if evaluation else "evaluation"
        if lost:
            iteration, kind = next(iter(lost.items()))
            others = f" (nor from {len(lost) - 1} others that lack a file)" if len(lost) > 1 else ""
            log.warning(
                "%s is not there, so nothing is decided from iteration %d%s; --resume-from %d makes it again, and all after it",
                *(self.run.file(kind, iteration), iteration, others, iteration),
            )
        if gone:
            log.warning(
                "%s is not there%s: its verdicts count, but it can be neither compared nor the output; "
                "--resume-from %d makes it again, and all after it",
                *(self.run.image_file(gone[0]), f" (nor {count(len(gone) - 1, 'other')})" if gone[1:] else "", gone[0]),
            )
        self.write_output(changed=None if self._output_is_whole() else self.checkpoint.best_iteration)

    def _learn(self, metadata: Metadata, evaluation: Evaluation, comparison: Comparison) -> None:
        sampling = Sampling(**metadata.parameters_used)
        attempt = Attempt(metadata.iteration, sampling, metadata.prompts_used, evaluation, comparison)
        self.history = sorted(
            [a for a in self.history if a.iteration != attempt.iteration] + [attempt], key=lambda a: a.iteration
        )
        self.evidence = [self._yardstick.made_from(self._input_of(a)).told_by(a) for a in self.history]

    def _holds(self, attempt: Attempt) -> bool:
        return self._yardstick.made_from(self._input_of(attempt)).holds(attempt.evaluation)

    def _input_of(self, attempt: Attempt) -> str:
        return self.metadata[attempt.iteration].input_sha256

    def attempt(self, iteration: Optional[int]) -> Optional[Attempt]:
        """The judged picture of an iteration, if it is one, as the rules in force see it."""
        return next((a for a in self.evidence if a.iteration == iteration), None)

    def passed(self, iteration: int) -> bool:
        """Say whether an iteration met every criterion. A pass under rules that differ in anything from today's is none:
        it ends the run, and whoever changed the rules wants to see what comes of that.
        """
        found = self.attempt(iteration)
        if found is None:
            return False
        return found.evaluation.all_pass and found.evaluation.rules_sha256 == self.setup.rules_sha256

    def unanswered(self, times: int) -> List[str]:
        """Criteria that got no answer in the last `times` judged pictures, all of them."""
        recent = [a.evaluation.unanswered for a in self.evidence if a.evaluation.source == "aivis"][-times:]
        return [field for field in recent[-1] if all(field in each for each in recent)] if len(recent) == times else []

    def unjudged(self) -> List[int]:
        """Iterations whose picture nobody has looked at, or whose judging a killed process did not put on record."""
        mark = self.checkpoint.rejudging
        marked = mark.iteration if mark else None
        todays = [a for a in self.history if self._yardstick.made_from(self._input_of(a)) is self._yardstick]
        return [a.iteration for a in todays if a.evaluation.source == "fallback" or a.iteration == marked]

    def never_judged(self) -> List[int]:
        """Iterations whose picture the model gave no verdict on."""
        return [attempt.iteration for attempt in self.history if attempt.evaluation.source == "fallback"]

    def never_met(self, least: int = 1) -> List[str]:
        """Criteria that no picture has met, each judged in at `least` so many."""
        return never_met(self.setup.rules.acceptance_criteria, (a.evaluation for a in self.evidence), least)

    # --- iterations on record -----------------------------------------------------------------------------------------

    def made(
        self, plan: Pending, workflow: Workflow, now: float, unheard: CallRecord, png: Optional[bytes]
    ) -> Metadata:
        """Metadata of an iteration as far as the picture goes; without one it is a failed iteration."""
        image = self.run.image_file(plan.iteration)
        return Metadata(
            iteration=plan.iteration,
            timestamp=now,
            image_path=image.relative_to(self.store.project).as_posix() if png else None,
            parameters_used=plan.parameters,
            questions={},
            evaluation={"overall_score": 0.0, "criteria_results": {}},
            comparison={"similarity_score": None, "differences": [], "analysis": ""},
            aivis_metadata=unheard,
            prompts_used=plan.prompts,
            run_id=self.run.run_id,
            status="ok" if png else "failed",
            prompt_id=plan.prompt_id,
            workflow_file=workflow.name,
            input_sha256=self.setup.input_sha256,
            image_size=list(images.size_of(png)) if png else None,
            timings=plan.timings,
            owned_phrases=self.checkpoint.owned_phrases,
            seeded_from=self.checkpoint.seeded_from,
        )

    def judge_again(self, iteration: int, now: float) -> Metadata:
        """Mark, before anything is asked, that a picture is judged anew; returns what is on record of it.

        The mark of a process that was killed at it stays: its answers may be on record and not yet in the totals.
        """
        mark = self.checkpoint.rejudging
        if mark is None or mark.iteration != iteration:
            self.save(now, rejudging=rejudging(self.metadata[iteration]))
        return self.metadata[iteration]

    def record(self, made: Metadata, found: Assessment, now: float, rejudged: bool = False) -> Metadata:
        """Put a judged iteration on record: metadata, resume point, output if it is the best, the page's files.

        `rejudged`: it was on record before, and `judge_again` was called. What its artefacts took is told whole, with
        what failed; the totals get what is new.
        """
        evaluation, comparison, answers = found.evaluation, found.comparison, found.answers
        parts = (answers, comparison, evaluation)
        usage = sum((part.usage for part in parts), Usage())
        metadata = made.model_copy(
            update={
                "questions": answers.answers,
                "evaluation": {
                    "overall_score": evaluation.overall_score,
                    "criteria_results": evaluation.criteria_results,
                },
                "comparison": {
                    "similarity_score": comparison.similarity_score,
                    "differences": comparison.differences,
                    "analysis": comparison.analysis,
                },
                "aivis_metadata": _summed([part.aivis_metadata for part in parts], evaluation.aivis_metadata),
                "timings": _together(made.timings, found.timings),
                "usage": usage,
                "decision": [] if evaluation.source == "aivis" else made.decision,
            }
        )
        self._write(metadata)
        self._learn(metadata, evaluation, comparison)
        changes = self._best_with(metadata.iteration)
        if evaluation.source == "aivis":
            changes["vision_failures"] = 0
        totals, mark = self.checkpoint.totals, self.checkpoint.rejudging
        if rejudged:
            assert mark is not None
            changes.update(totals=add_rejudged(totals, metadata, mark), rejudging=None)
        else:
            changes["totals"] = add_iteration(totals, metadata)
            changes.update(last_iteration=metadata.iteration, pending=None, generation_failures=0)
        self.save(now, **changes)
        self.write_output(changed=metadata.iteration if rejudged else None)
        self._write_page(metadata)
        return metadata

    def record_failure(self, failed: Metadata, error: str, now: float) -> Metadata:
        """An iteration without a picture is a row with a status, never a gap."""
        move = Move(what="settings unchanged", why="no picture was made, so there is nothing to go by")
        metadata = failed.model_copy(update={"error": error, "decision": [move]})
        self._write(metadata)
        totals = add_iteration(self.checkpoint.totals, metadata)
        self.save(now, last_iteration=metadata.iteration, pending=None, totals=totals)
        self._write_page(metadata)
        return metadata

    def record_decision(
        self, iteration: int, moves: Sequence[Move], now: float, asked: Optional[Pending] = None
    ) -> None:
        """Add to an iteration's metadata what was decided after it, and why; `asked`: what it took, if it took anything.

        That is in the resume point before, so that a kill behind the metadata loses none of it.
        """
        if asked is not None:
            self.save(now, pending=asked)
        before, took = self.metadata[iteration], asked.timings if asked else {}
        metadata = before.model_copy(
            update={
                "decision": list(moves),
                "usage": before.usage + (asked.usage if asked else Usage()),
                "timings": {**before.timings, **took},
            }
        )
        self._write(metadata)
        self._count_decision(asked, now)
        self._write_page(metadata)
        log.info("after iteration %d: %s", iteration, "; ".join(f"{m.what} ({m.why})" for m in moves))

    def is_decided(self, iteration: int, now: float) -> bool:
        """Say whether it is on record what comes after an iteration. Where a kill left it uncounted, it is counted now."""
        if not self.metadata[iteration].decision:
            return False
        asked = self.checkpoint.pending
        if asked is not None and asked.iteration == iteration:
            self._count_decision(asked, now)
            self._write_page(self.metadata[iteration])
        return True

    def _count_decision(self, asked: Optional[Pending], now: float) -> None:
        changes: Dict[str, Any] = {"pending": None}
        if asked is not None:
            changes["totals"] = spent(self.checkpoint.totals, asked.usage, sum(asked.timings.values()))
        if asked is not None and asked.owned is not None:
            changes["owned_phrases"] = asked.owned
        self.save(now, **changes)

    def _write(self, metadata: Metadata) -> None:
        self.run.write("metadata", metadata)
        self.metadata[metadata.iteration] = metadata

    def _best_with(self, iteration: int) -> Dict[str, Any]:
        """An iteration as the best, if it passes or no other has its score: also none that lost a final comparison since."""
        found = self.attempt(iteration)
        assert found is not None  # it was learnt just now
        others = [(a.iteration, a.evaluation) for a in self.evidence if a.iteration != iteration and self._holds(a)]
        if not (self.passed(iteration) or all(better((iteration, found.evaluation), other) for other in others)):
            return {}
        return {"best_iteration": iteration, "best_score": score_of(found.evaluation)}

    def crown(self, found: FinalComparison, totals: Totals, now: float) -> None:
        """Make the winner of the final comparison the best, whatever its score."""
        best = self.attempt(found.winner)
        assert best is not None  # only judged pictures are compared
        self.final = found
        self.save(now, best_iteration=best.iteration, best_score=score_of(best.evaluation), totals=totals)
        log.info("final comparison: %s", told(found))

    # --- output and page ----------------------------------------------------------------------------------------------

    def finish(self, status: RunStatus, now: float) -> Tuple[Metadata, ...]:
        """Put the end on disk; returns every iteration's metadata. The resume point goes after the output: killed in
        between, the run is taken up once more and ends anew.
        """
        totals = reckoned(self.checkpoint.totals, self.checkpoint)
        self.checkpoint = self.checkpoint.model_copy(update={"status": status, "totals": totals})
        self.write_output()
        self.save(now)
        self.write_pages()
        return tuple(self.metadata[n] for n in sorted(self.metadata))

    def write_output(self, changed: Optional[int] = None) -> None:
        """Keep output/ at the best so far; written anew when the best, its verdicts (`changed`) or the result changes."""
        best = self.attempt(self.checkpoint.best_iteration)
        shown = self.store.output_told(self.run.run_id)
        if best is None:
            if shown is not None and shown.get("result") == "passed":  # by rules that have changed since, or set aside
                self.store.write_output(None, {**shown, "result": "best_so_far"})
            return
        result = "passed" if self.passed(best.iteration) else "best_so_far"
        known = changed != best.iteration and self.checkpoint.status == "running"
        if known and shown is not None and (shown.get("iteration"), shown.get("result")) == (best.iteration, result):
            return
        png = self.run.read_image(best.iteration)
        if png is not None:
            metadata = {**self.metadata[best.iteration].model_dump(mode="json"), **self._end()}
            totals = self.checkpoint.totals.model_dump(mode="json")
            final = {"final_comparison": self.final.model_dump(mode="json", include=_OF_FINAL)} if self.final else {}
            self.store.write_output(png, {**metadata, "result": result, **final, "totals": totals})

    def _output_is_whole(self) -> bool:
        try:
            images.check_result(read_bytes(self.store.project / "output" / "output.png", MAX_PICTURE))
        except (BadImage, OSError):
            return False
        return True

    def _end(self) -> Dict[str, Any]:
        """Why a run is over without a pass, for when its resume point has made way for another run's."""
        told = self.checkpoint if self.checkpoint.status == "exhausted" else None
        return told.model_dump(mode="json", include={"ended_by", "ending"}, exclude_none=True) if told else {}

    def write_thumb(self, iteration: int, png: bytes) -> None:
        """The page's files are a convenience: no disk trouble with them ends a run (here and below)."""
        try:
            pages.write_thumb(self.run, iteration, png)
        except ImaginationError as err:
            log.warning("the thumbnail of iteration %d could not be written: %s", iteration, err)

    def _write_page(self, metadata: Metadata) -> None:
        """The head goes last: it tells which rows changed, and how many of them count."""
        try:
            pages.write_iteration(self.run, metadata)
            self._write_head()
        except (ImaginationError, OSError) as err:
            log.warning("the viewer's files of iteration %d could not be written: %s", metadata.iteration, err)

    def write_pages(self) -> None:
        """What the page needs of the whole project: missing scripts, this run's head, the index of all projects."""
        try:
            page_rebuild.rebuild(self.store)
            self._write_head()
            pages.write_index(self.store.project.parent)
        except (ImaginationError, OSError) as err:
            log.warning("the viewer's files could not be written: %s", err)
        page_copy.publish(self.store.project.parent.parent)

    def _write_head(self) -> None:
        rules = self.setup.rules
        pages.write_head(self.run, self.setup.project.name, rules, self.checkpoint, self.never_met())


def _together(before: Mapping[str, float], now: Mapping[str, float]) -> Dict[str, float]:
    """Seconds by what they were spent on, added up where a question was asked again."""
    return {**before, **{name: round(before.get(name, 0.0) + spent, 3) for name, spent in now.items()}}


def _summed(calls: Sequence[CallRecord], leading: CallRecord) -> CallRecord:
    """One record for the calls of an iteration: the evaluation's provider and model, and the worst of the rest."""
    errors = list(dict.fromkeys(call.error for call in calls if call.error))
    return leading.model_copy(
        update={
            "using_fallback": any(call.using_fallback for call in calls),
            "success": all(call.success for call in calls),
            "attempts": max(call.attempts for call in calls),
            "error": "; ".join(errors) or None,
            "cached": any(call.cached for call in calls),
        }
    )
