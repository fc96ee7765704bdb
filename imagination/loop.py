"""One run: the order of the steps, what a failure means, when to stop.

Each step's result is on disk before the next begins, and each step first looks whether its result is there already: that
is all there is to resuming. What it does is the spec's list, "Iteration Logic"; what a failure means, decisions.md.
"""

from __future__ import annotations

import logging
import shlex
import time
import uuid
from dataclasses import dataclass, replace
from typing import Any, Callable, Mapping, Optional, Sequence, Set, Tuple

from . import images
from .assess import Assessment, Assessor, Eyes, usage_of
from .budget import UsedUp, is_spent, used_up
from .chronicle import Chronicle
from .conflict import Conflict, find_conflict
from .decide import Decider, strategy_for
from .errors import (
    BadImage,
    ComfyUIError,
    ExecutionFailed,
    ImaginationError,
    ServiceError,
    VisionError,
    WorkflowRejected,
)
from .execution import Execution
from .finale import Finale
from .judge import Judge
from .judge_check import check_once, known
from .making import Generator, Maker
from .model import (
    Checkpoint,
    EndedBy,
    Evaluation,
    FinalComparison,
    Metadata,
    Move,
    Pending,
    Prompts,
    RunStatus,
    Sampling,
)
from .resume import Opening
from .setup import Setup, Workflow
from .store import Store
from .tally import spent
from .votes import Outlook, Vote

log = logging.getLogger(__name__)

SILENT_IN_A_ROW = 3  # unanswered that often, a criterion is warned of
TELLING = 3  # judged pictures from which "met in none" says something
FAILURES_IN_A_ROW = 3  # then the run stops: twenty iterations should not be burnt on a dead server
SEED_LIMIT = 2**53  # drawn seeds stay below it: beyond, a browser's numbers lose digits


class Observer:
    """Hears what a run does; does nothing with it. The display is one of these. Calls may come from several threads."""

    def opened(self, opening: Opening, setup: Setup) -> None:
        """A run was chosen."""

    def iteration_begins(self, iteration: int, sampling: Sampling, prompts: Prompts) -> None:
        """An iteration starts with these settings."""

    def generating(self, execution: Execution) -> None:
        """ComfyUI told how the picture gets on."""

    def asking(self, purpose: str) -> None:
        """A question goes to the vision model."""

    def iteration_ends(self, metadata: Metadata, evaluation: Optional[Evaluation], checkpoint: Checkpoint) -> None:
        """An iteration is on disk: judged, or failed (then there is no evaluation)."""

    def decided(self, moves: Sequence[Move]) -> None:
        """Settings for the next iteration are in force."""

    def compared(self, found: FinalComparison) -> None:
        """A run without a pass has chosen among its best pictures."""

    def warned(self, text: str) -> None:
        """Something the user should know of; the run goes on."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `passed`: every criterion is met; else the best so far is in output/.

    `never_met`: the criteria that failed in every picture, where enough of them were judged to say so. `outdated`: the best
    met every criterion, but was judged before the rules changed, and so it is no pass. `unjudged`: iterations whose picture
    nobody judged.
    """

    passed: bool
    checkpoint: Checkpoint
    history: Tuple[Metadata, ...]
    never_met: Tuple[str, ...] = ()
    outdated: bool = False
    unjudged: Tuple[int, ...] = ()


@dataclass(frozen=True)
class Tools:
    """The services and the chances of a run, so that a test can hold them in its hand."""

    generator: Generator
    eyes: Eyes
    judge: Judge
    observer: Observer
    choices: Mapping[str, Sequence[str]]  # sampler_name and scheduler that the server offers
    draw_seed: Callable[[], int]
    now: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())


class Loop:
    """A run in progress. `run()` works until it passes, is exhausted, or something stops it."""

    def __init__(self, setup: Setup, store: Store, opening: Opening, tools: Tools) -> None:
        self.setup = setup
        self.store = store
        self.tools = tools
        self.book = Chronicle(setup, store, opening, tools.clock)
        self.original = images.for_vision(setup.source, "the original")
        self._told_of: Set[str] = set()
        self.known: Sequence[Tuple[bool, Vote]] = ()  # votes of the judge whose truth is known, once it was tried
        self.strategy = strategy_for(setup.rules)
        self.maker = Maker(
            setup=setup,
            book=self.book,
            generator=tools.generator,
            draw_seed=tools.draw_seed,
            save=self._save,
            description=lambda: tools.judge.description,
            generating=tools.observer.generating,
            warn=tools.observer.warned,
            clock=tools.clock,
            new_id=tools.new_id,
        )
        self.assessor = Assessor(
            run=opening.run,
            rules=setup.rules,
            settings=setup.vision,
            original=self.original,
            fingerprint=images.fingerprint(setup.source),
            judge=tools.judge,
            eyes=tools.eyes,
            asking=tools.observer.asking,
            warn=tools.observer.warned,
            clock=tools.clock,
            looks=setup.rules.project.looks,
        )
        self.decider = Decider(
            strategy=self.strategy,
            judge=tools.judge,
            criteria=setup.rules.acceptance_criteria,
            choices=tools.choices,
            keep=lambda pending: self._save(pending=pending),
            asking=tools.observer.asking,
            warn=tools.observer.warned,
            clock=tools.clock,
            keeps_ledger=setup.rules.project.strategy != "spec",
        )
        self.finale = Finale(
            run=opening.run,
            judge=tools.judge,
            eyes=tools.eyes,
            original=self.original,
            asking=tools.observer.asking,
            warn=tools.observer.warned,
            clock=tools.clock,
            bookings=self._bookings,
        )

    # --- from start to end --------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Iterate until the end. Raises ImaginationError when a service, a file or the disk stops the run; on that and
        on Ctrl-C the resume point is written first.
        """
        self._save(ended_by=None, ending=None)
        self.book.remember()
        try:
            self.book.write_pages()
            return self._until_done()
        except (ImaginationError, KeyboardInterrupt):
            self._save(status="stopped")
            self.book.write_pages()
            raise

    def _until_done(self) -> Outcome:
        passed = False
        if self._may_ask():
            self._describe()
            self._try_judge()
            passed = self._judge_unjudged()
        else:  # not even a question is asked any more
            self.tools.judge.description = self.book.checkpoint.description or ""
        while True:
            last, over = self.book.checkpoint.last_iteration, self._used_up()
            if passed or self.book.passed(last):
                return self._finish("passed")
            # a picture that nobody looked at is no failure of the picture: one more try before the run is called over
            if over is not None and self._may_ask() and self._judge_unjudged(at_the_end=True):
                return self._finish("passed")
            conflict = self._conflict() if last else None
            if conflict is not None:  # before the limits: more of anything would not help
                return self._give_up("conflict", conflict.evidence)
            if over is not None:
                return self._give_up(over.by, None if over.by == "iterations" else over.sentence)
            if last:
                self._decide(last)
            self.tools.eyes.rest()  # the model's last call of an iteration was the one that decided
            self._iterate(last + 1)

    def _may_ask(self) -> bool:
        """Say whether the model may still be asked: for that a run may have made all its iterations."""
        project, checkpoint = self.setup.rules.project, self.book.checkpoint
        return used_up(project, checkpoint.model_copy(update={"last_iteration": 0})) is None

    def _used_up(self) -> Optional[UsedUp]:
        return used_up(self.setup.rules.project, self.book.checkpoint)

    def _conflict(self) -> Optional[Conflict]:
        """Two criteria that rule each other out, where the project wants to be told."""
        rules = self.setup.rules
        if not rules.project.has("stop_on_conflict"):
            return None
        return find_conflict(rules.acceptance_criteria, self.book.evidence, self.known)

    def _give_up(self, ended_by: EndedBy, ending: Optional[str] = None) -> Outcome:
        """End without a pass; `ending` tells people why, if not for the count of iterations."""
        if ended_by != "cost":  # that would cost more
            self._compare_best()
        self._save(ended_by=ended_by, ending=ending)
        return self._finish("exhausted")

    def _finish(self, status: RunStatus) -> Outcome:
        self.tools.eyes.rest()
        history = self.book.finish(status, self.tools.now())
        passed, best = status == "passed", self.book.attempt(self.book.checkpoint.best_iteration)
        outdated = not passed and best is not None and best.evaluation.all_pass
        never_met, unjudged = tuple(self.book.never_met(TELLING)), tuple(self.book.never_judged())
        return Outcome(passed, self.book.checkpoint, history, never_met, outdated, unjudged)

    def _save(self, **changes: Any) -> None:
        self.book.save(self.tools.now(), **changes)

    def _bookings(self) -> int:
        return self.book.checkpoint.bookings

    # --- once ---------------------------------------------------------------------------------------------------------

    def _describe(self) -> None:
        judge, checkpoint = self.tools.judge, self.book.checkpoint
        if checkpoint.description is not None:
            judge.description = checkpoint.description
            return
        self.tools.observer.asking("description")
        try:
            usage, told = judge.describe(self.original).usage, judge.description
        except VisionError as err:
            self.tools.observer.warned(f"the original could not be described, going on without: {err}")
            usage, told = usage_of(err), None
        totals = checkpoint.totals.model_copy(update={"usage": checkpoint.totals.usage + usage})
        self._save(description=told, totals=totals)

    def _try_judge(self) -> None:
        """Put pictures with known verdicts before the judge, once a run; what speaks against it is a warning."""
        if not self.setup.rules.project.has("judge_check"):
            return
        vision, tools = self.setup.vision, self.tools
        name = f"{vision.provider} {vision.model}".strip()
        asked = lambda: tools.observer.asking("judge_check")  # noqa: E731
        source, bookings = self.setup.source, self._bookings()
        check, is_new = check_once(self.book.run, tools.judge, source, name, asked, tools.clock, bookings)
        if is_new:
            self._save(totals=spent(self.book.checkpoint.totals, check.usage, check.seconds))
        for warning in check.warnings:
            tools.observer.warned(warning)
        self.known = known(check, self.setup.rules.acceptance_criteria)
        self.strategy = strategy_for(self.setup.rules, self.known)
        self.decider = replace(self.decider, strategy=self.strategy)

    def _judge_unjudged(self, at_the_end: bool = False) -> bool:
        """Judge pictures of this run whose evaluation is a fallback, before anything new is made. True if one passes.

        Raises ServiceError when there is still no answer and no picture of the run was ever judged. Else it may be the
        picture: one that a model refuses to look at keeps no run from ending (`at_the_end`), nor from going on as long as
        failures in a row are few.
        """
        for iteration in self.book.unjudged():
            png = self.book.run.read_image(iteration)
            if png is None:
                continue
            before = self.book.judge_again(iteration, self.tools.now())
            self.tools.observer.iteration_begins(iteration, Sampling(**before.parameters_used), before.prompts_used)
            found = self.assessor.assess(iteration, png, True, self._outlook(Sampling(**before.parameters_used)))
            if found.evaluation.source == "fallback":
                self.book.record(before, found, self.tools.now(), rejudged=True)  # it was paid for all the same
                why = found.evaluation.aivis_metadata.error
                if not any(a.evaluation.source == "aivis" for a in self.book.history):
                    raise ServiceError(f"the vision model still gives no answer: {why}", self._resume_hint())
                if not at_the_end:
                    self._count_failure("vision_failures", f"the vision model gave no answer: {why}")
                continue
            self._record(before, found, rejudged=True)
            if self.book.passed(iteration):
                return True
        return False

    def _outlook(self, sampling: Sampling) -> Outlook:
        return self.strategy.outlook(self.book.evidence, sampling)

    # --- one iteration ------------------------------------------------------------------------------------------------

    def _iterate(self, iteration: int) -> None:
        generation = self.store.read_generation()
        workflow = self.maker.workflow_of(generation)
        plan, is_new = self.maker.plan(iteration, generation, workflow)
        self.tools.observer.iteration_begins(iteration, Sampling(**plan.parameters), plan.prompts)
        started = self.tools.clock()
        try:
            plan, png = self.maker.picture(plan, is_new, generation, workflow)
        except WorkflowRejected:  # the next picture would be rejected too
            raise
        except ComfyUIError as err:
            self._record_failure(plan, workflow, err, self.tools.clock() - started)
            return
        self.book.write_thumb(iteration, png)
        found = self.assessor.assess(iteration, png, outlook=self._outlook(Sampling(**plan.parameters)))
        self._record(self.book.made(plan, workflow, self.tools.now(), self.assessor.unheard(), png), found)
        if found.evaluation.source == "fallback":
            why = found.evaluation.aivis_metadata.error
            self._count_failure("vision_failures", f"the vision model gave no answer: {why}")

    def _record(self, made: Metadata, found: Assessment, rejudged: bool = False) -> None:
        metadata, evaluation = self.book.record(made, found, self.tools.now(), rejudged), found.evaluation
        failed, used = ", ".join(evaluation.failed_fields) or "none", made.parameters_used
        log.info("iteration %d: score %g, failed: %s, used: %s", made.iteration, evaluation.overall_score, failed, used)
        self.tools.observer.iteration_ends(metadata, evaluation, self.book.checkpoint)
        silent = [field for field in self.book.unanswered(SILENT_IN_A_ROW) if field not in self._told_of]
        if silent:  # they can never pass, and each picture costs minutes
            self._told_of.update(silent)
            self.tools.observer.warned(
                f"{', '.join(silent)}: no answer in {SILENT_IN_A_ROW} iterations in a row, so it cannot pass; "
                "ask in other words, or use another vision model"
            )

    def _compare_best(self) -> None:
        """Without a pass the best pictures are compared side by side, and the winner is the output; not on borrowed money."""
        project = self.setup.rules.project
        if is_spent(project, self.book.checkpoint) or not project.has("final_comparison"):
            return
        chosen = self.finale.choose(self.book.evidence)
        totals = spent(self.book.checkpoint.totals, chosen.usage, chosen.seconds)
        if chosen.found is None:
            self._save(totals=totals)
            return
        self.book.crown(chosen.found, totals, self.tools.now())
        self.tools.observer.compared(chosen.found)

    # --- failures -----------------------------------------------------------------------------------------------------

    def _record_failure(self, plan: Pending, workflow: Workflow, err: ComfyUIError, seconds: float) -> None:
        if isinstance(err, ExecutionFailed) and err.traceback:
            log.debug("ComfyUI's traceback: %s", "".join(err.traceback))
        log.info("iteration %d failed: %s", plan.iteration, err)
        plan = (self.book.checkpoint.pending or plan).model_copy(update={"timings": {"generation": round(seconds, 3)}})
        failed = self.book.made(plan, workflow, self.tools.now(), self.assessor.unheard(), None)
        metadata = self.book.record_failure(failed, str(err), self.tools.now())
        self.tools.observer.iteration_ends(metadata, None, self.book.checkpoint)
        self._count_failure("generation_failures", str(err), err.hint if not isinstance(err, BadImage) else "")

    def _count_failure(self, counter: str, what: str, hint: str = "") -> None:
        """Count a failure; the third in a row stops the run (exit 3), and a resume may fail three times again."""
        count = getattr(self.book.checkpoint, counter) + 1
        self._save(**{counter: count})
        if count >= FAILURES_IN_A_ROW:
            self._save(**{counter: 0})
            told = f"{hint}; then " if hint else ""
            raise ServiceError(
                f"{count} iterations in a row failed, the run stops; the last: {what}", told + self._resume_hint()
            )

    def _resume_hint(self) -> str:
        project = self.setup.project
        return f"go on with: iterative-imagination --project {shlex.quote(project.name)}{project.workspace.option()}"

    # --- what next ----------------------------------------------------------------------------------------------------

    def _decide(self, iteration: int) -> None:
        """Settings for the next iteration from the last one's verdicts; done once, also across a kill."""
        attempt = self.book.attempt(iteration)
        if attempt is None or self.book.is_decided(iteration, self.tools.now()):
            return
        if attempt.evaluation.source == "fallback":
            moves: Tuple[Move, ...] = (Move(what="settings unchanged", why=self._why_nothing_is_known(iteration)),)
            self.book.record_decision(iteration, moves, self.tools.now())
        else:
            generation = self.store.read_generation()
            known = self.book.checkpoint
            decision = self.decider.decide(self.book.evidence, generation, known.pending, known.owned_phrases)
            self.store.write_generation(decision.generation)
            moves, asked = decision.moves, decision.pending.model_copy(update={"owned": dict(decision.owned)})
            self.book.record_decision(iteration, moves, self.tools.now(), asked)
        self.tools.observer.decided(moves)

    def _why_nothing_is_known(self, iteration: int) -> str:
        judged = next(a.evaluation.source == "aivis" for a in self.book.history if a.iteration == iteration)
        if judged:
            return "the picture was judged by other rules than today's or made from another original, so nothing is decided from it"
        return "the vision model gave no answer, and nothing is decided from invented ones"
