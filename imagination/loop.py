"""One run: the order of the steps, what a failure means, when to stop.

Each step's result is on disk before the next begins, and each step first looks whether its result is there already: that
is all there is to resuming. What it does is the spec's list, "Iteration Logic"; what a failure means, decisions.md.
"""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple, TypeVar

from typing_extensions import Protocol

from . import images, pages
from .assess import Assessment, Assessor, Eyes
from .comfyui import Generated
from .decide import Decider
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
from .judge import Judge
from .model import (
    Attempt,
    CallRecord,
    Checkpoint,
    Comparison,
    Evaluation,
    Generation,
    Metadata,
    Move,
    Pending,
    Prompts,
    RunStatus,
    Sampling,
    Usage,
)
from .resume import Opening, add_iteration
from .scoring import better
from .setup import Setup, Workflow, load_workflow, negative_in_force, sampling_in_force, text_in_force
from .shaping import opening_prompts
from .store import Store
from .tuning import STRATEGIES
from .workflow import apply

log = logging.getLogger(__name__)
T = TypeVar("T")

SILENT_IN_A_ROW = 3  # unanswered that often, a criterion is warned of
FAILURES_IN_A_ROW = 3  # then the run stops: twenty iterations should not be burnt on a dead server
SEED_LIMIT = 2**53  # drawn seeds stay below it: beyond, a browser's numbers lose digits


class Generator(Protocol):
    """What the loop needs of `comfyui.ComfyUI`."""

    def upload(self, png: bytes) -> str: ...
    def generate(
        self, workflow: Any, *, prompt_id: str, output_node: str, on_progress: Callable[[Execution], None]
    ) -> Generated: ...
    def collect(
        self, prompt_id: str, workflow: Any, output_node: str, on_progress: Callable[[Execution], None]
    ) -> Optional[Generated]: ...


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

    def warned(self, text: str) -> None:
        """Something the user should know of; the run goes on."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `passed`: every criterion is met; else the best so far is in output/."""

    passed: bool
    checkpoint: Checkpoint
    history: Tuple[Metadata, ...]


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
        self.run_files = opening.run
        self.checkpoint = opening.checkpoint
        self.tools = tools
        self.criteria = setup.rules.acceptance_criteria
        self.original = images.for_vision(setup.source, "the original")
        self.history: List[Attempt] = []
        self.metadata: Dict[int, Metadata] = {}
        self._workflow: Tuple[Any, Optional[Workflow]] = (None, None)
        self._told_of: Set[str] = set()
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
        )
        self.decider = Decider(
            strategy=STRATEGIES[setup.rules.project.strategy],
            judge=tools.judge,
            criteria=self.criteria,
            choices=tools.choices,
            keep=lambda pending: self._save(pending=pending),
            asking=tools.observer.asking,
            warn=tools.observer.warned,
            clock=tools.clock,
        )

    # --- from start to end -------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Iterate until the end. Raises ImaginationError when a service, a file or the disk stops the run; on that and
        on Ctrl-C the resume point is written first.
        """
        self._save()
        self._remember()
        self._write_pages(index=True)
        try:
            return self._until_done()
        except (ImaginationError, KeyboardInterrupt):
            self._save(status="stopped")
            self._write_pages(index=True)
            raise

    def _until_done(self) -> Outcome:
        self._describe()
        passed = self._judge_unjudged()
        while True:
            last = self.checkpoint.last_iteration
            if passed or self._passed(last):
                return self._finish("passed")
            if last >= self.setup.rules.project.max_iterations:
                return self._finish("exhausted")
            if last:
                self._decide(last)
            self.tools.eyes.rest()  # the model's last call of an iteration was the one that decided
            self._iterate(last + 1)

    def _finish(self, status: RunStatus) -> Outcome:
        self.tools.eyes.rest()
        self._save(status=status)
        self._write_output()
        self._write_pages(index=True)
        history = tuple(self.metadata[n] for n in sorted(self.metadata))
        return Outcome(status == "passed", self.checkpoint, history)

    def _passed(self, iteration: int) -> bool:
        last = self.history[-1] if self.history else None
        if last is None or last.iteration != iteration:
            return False
        return last.evaluation.all_pass and last.evaluation.rules_sha256 == self.setup.rules_sha256

    def _save(self, **changes: Any) -> None:
        """Every change of the resume point goes through here, and is on disk when it returns."""
        changes.setdefault("updated_at", self.tools.now())
        self.checkpoint = self.checkpoint.model_copy(update=changes)
        self.store.write_checkpoint(self.checkpoint)

    def _remember(self) -> None:
        """Take up what earlier processes did in this run."""
        for iteration in self.run_files.iterations():
            metadata = self.run_files.metadata(iteration)
            if metadata is None or iteration > self.checkpoint.last_iteration:
                continue
            self.metadata[iteration] = metadata
            evaluation, comparison = self.run_files.evaluation(iteration), self.run_files.comparison(iteration)
            if evaluation is not None and comparison is not None:
                self._learn(metadata, evaluation, comparison)

    def _learn(self, metadata: Metadata, evaluation: Evaluation, comparison: Comparison) -> None:
        sampling = Sampling(**metadata.parameters_used)
        attempt = Attempt(metadata.iteration, sampling, metadata.prompts_used, evaluation, comparison)
        self.history = sorted(
            [a for a in self.history if a.iteration != attempt.iteration] + [attempt], key=lambda a: a.iteration
        )

    # --- once --------------------------------------------------------------------------------------------------------

    def _describe(self) -> None:
        judge = self.tools.judge
        if self.checkpoint.description is not None:
            judge.description = self.checkpoint.description
            return
        self.tools.observer.asking("description")
        try:
            answer = judge.describe(self.original)
        except VisionError as err:
            self.tools.observer.warned(f"the original could not be described, going on without: {err}")
            return
        totals = self.checkpoint.totals
        totals = totals.model_copy(update={"usage": totals.usage + answer.usage})
        self._save(description=judge.description, totals=totals)

    def _judge_unjudged(self) -> bool:
        """Judge pictures of this run whose evaluation is a fallback, before anything new is made. True if one passes."""
        waiting = [a.iteration for a in self.history if a.evaluation.source == "fallback"]
        for iteration in waiting:
            png = self.run_files.read_image(iteration)
            if png is None:
                continue
            before = self.metadata[iteration]
            self.tools.observer.iteration_begins(iteration, Sampling(**before.parameters_used), before.prompts_used)
            found = self.assessor.assess(iteration, png, again=True)
            if found.evaluation.source == "fallback":
                why = found.evaluation.aivis_metadata.error
                raise ServiceError(f"the vision model still gives no answer: {why}", self._resume_hint())
            self._record(before, found, {**before.timings, **found.timings}, rejudged=True)
            if found.evaluation.all_pass:
                return True
        return False

    # --- one iteration -----------------------------------------------------------------------------------------------

    def _iterate(self, iteration: int) -> None:
        generation = self.store.read_generation()
        workflow = self._load_workflow(generation)
        plan = self._plan(iteration, generation, workflow)
        sampling = Sampling(**plan.parameters)
        self.tools.observer.iteration_begins(iteration, sampling, plan.prompts)
        try:
            png = self._picture(iteration, plan, generation, workflow)
        except WorkflowRejected:  # the next picture would be rejected too
            raise
        except ComfyUIError as err:
            self._record_failure(iteration, err, workflow)
            return
        self._write_thumb(iteration, png)
        found = self.assessor.assess(iteration, png)
        made = self._metadata(iteration, workflow, png)
        self._record(made, found, {**made.timings, **found.timings})
        if found.evaluation.source == "fallback":
            why = found.evaluation.aivis_metadata.error
            self._count_failure("vision_failures", f"the vision model gave no answer: {why}")

    def _plan(self, iteration: int, generation: Generation, workflow: Workflow) -> Pending:
        """Settings of an iteration, on disk before they are used: those of a killed process, or newly drawn.

        Settings that the user edited while the run stood still go before a killed process's, as long as its picture is
        not made; the seed is kept, so that the edit alone tells.
        """
        pending = self.checkpoint.pending
        begun = pending if pending is not None and pending.iteration == iteration else None
        sampling, prompts = sampling_in_force(workflow, generation), self._prompts_in_force(workflow, generation)
        if sampling.seed is None and begun is not None:
            sampling = replace(sampling, seed=begun.parameters.get("seed"))
        if begun is not None:
            edited = [k for k, v in sampling.as_dict().items() if begun.parameters.get(k) != v]
            edited += ["prompts"] if begun.prompts != prompts else []
            if not edited or self.run_files.image_file(iteration).is_file():
                return begun
            self.tools.observer.warned(
                f"iteration {iteration} uses your edits of working/AIGen.yaml: {', '.join(edited)}"
            )
        if sampling.seed is None and workflow.targets.reaches("seed"):
            sampling = replace(sampling, seed=self.tools.draw_seed())
        begun = Pending(iteration=iteration, parameters=sampling.as_dict(), prompts=prompts)
        self._save(pending=begun)
        return begun

    def _load_workflow(self, generation: Generation) -> Workflow:
        """The workflow, read again only when the file or the settings changed."""
        path = self.setup.project.lookup(generation.workflow_file)
        status = path.stat()
        key = (path, status.st_mtime_ns, status.st_size, generation)
        if self._workflow[0] != key or self._workflow[1] is None:
            self._workflow = (key, load_workflow(self.setup.project, generation))
        workflow = self._workflow[1]
        assert workflow is not None
        return workflow

    def _prompts_in_force(self, workflow: Workflow, generation: Generation) -> Prompts:
        prompts = generation.prompts
        if "prompts" not in generation.model_fields_set:
            prompts = Prompts(positive=text_in_force(workflow, "positive"))
        if not prompts.positive.strip():
            made = opening_prompts(self.tools.judge.description, self.criteria)
            prompts = Prompts(positive=made.positive, negative=prompts.negative or made.negative)
        return Prompts(positive=prompts.positive, negative=negative_in_force(workflow, prompts))

    def _picture(self, iteration: int, plan: Pending, generation: Generation, workflow: Workflow) -> bytes:
        """The iteration's picture: from disk, from a job that an earlier process queued, or generated."""
        png = self.run_files.read_image(iteration)
        if png is not None and _decodes(png):
            return png
        started = self.tools.clock()
        generator, on_progress = self.tools.generator, self.tools.observer.generating
        output_node = workflow.targets.output_node
        generated = None
        if plan.prompt_id:
            generated = generator.collect(plan.prompt_id, workflow.graph, output_node, on_progress)
        if generated is None:
            values = _values(plan, generation)
            values["image"] = generator.upload(self.setup.source)
            plan = plan.model_copy(update={"prompt_id": self.tools.new_id()})
            self._save(pending=plan)
            graph = apply(workflow.graph, workflow.targets, values)
            generated = generator.generate(
                graph, prompt_id=str(plan.prompt_id), output_node=output_node, on_progress=on_progress
            )
        png = generated.png
        self.run_files.write_image(iteration, png)
        timings = {"generation": round(self.tools.clock() - started, 3)}
        self._save(pending=plan.model_copy(update={"prompt_id": generated.prompt_id, "timings": timings}))
        return png

    # --- what is put on record ---------------------------------------------------------------------------------------

    def _metadata(self, iteration: int, workflow: Workflow, png: Optional[bytes]) -> Metadata:
        """Metadata of an iteration as far as the picture goes; without one it is a failed iteration."""
        pending = self.checkpoint.pending
        assert pending is not None  # saved by `_plan`
        image = self.run_files.image_file(iteration)
        return Metadata(
            iteration=iteration,
            timestamp=self.tools.now(),
            image_path=image.relative_to(self.store.project).as_posix() if png else None,
            parameters_used=pending.parameters,
            questions={},
            evaluation={"overall_score": 0.0, "criteria_results": {}},
            comparison={"similarity_score": None, "differences": [], "analysis": ""},
            aivis_metadata=self.assessor.unheard(),
            prompts_used=pending.prompts,
            run_id=self.run_files.run_id,
            status="ok" if png else "failed",
            prompt_id=pending.prompt_id,
            workflow_file=workflow.name,
            image_size=list(images.size_of(png)) if png else None,
            timings=pending.timings,
            seeded_from=self.checkpoint.seeded_from,
        )

    def _record(self, made: Metadata, found: Assessment, timings: Dict[str, float], rejudged: bool = False) -> None:
        """Put a judged iteration on record: metadata, output if it is the best, the page's files, the resume point."""
        iteration, evaluation, comparison = made.iteration, found.evaluation, found.comparison
        answers = self.run_files.answers(iteration)
        parts = [part for part in (answers, comparison, evaluation) if part is not None]
        usage = sum((part.usage for part in parts), Usage())
        metadata = made.model_copy(
            update={
                "questions": answers.answers if answers else {},
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
                "timings": timings,
                "usage": usage,
                "decision": [],
            }
        )
        self.run_files.write("metadata", metadata)
        self.metadata[iteration] = metadata
        self._learn(metadata, evaluation, comparison)
        changes = self._best_with(iteration, evaluation)
        if evaluation.source == "aivis":
            changes["vision_failures"] = 0
        totals = self.checkpoint.totals
        if rejudged:
            changes["totals"] = totals.model_copy(update={"usage": totals.usage + usage})
        else:
            changes["totals"] = add_iteration(totals, metadata)
            changes.update(last_iteration=iteration, pending=None, generation_failures=0)
        self._save(**changes)
        self._write_output(changed=iteration if rejudged else None)
        self._write_iteration_pages(metadata)
        failed = ", ".join(evaluation.failed_fields) or "none"
        log.info(
            "iteration %d: score %g, failed: %s, used: %s",
            iteration,
            evaluation.overall_score,
            failed,
            made.parameters_used,
        )
        self.tools.observer.iteration_ends(metadata, evaluation, self.checkpoint)
        self._warn_of_silence()

    def _warn_of_silence(self) -> None:
        """Tell, once, of criteria that the model never answers: they can never pass, and each picture costs minutes."""
        recent = [a.evaluation.unanswered for a in self.history if a.evaluation.source == "aivis"][-SILENT_IN_A_ROW:]
        if len(recent) < SILENT_IN_A_ROW:
            return
        silent = [field for field in recent[-1] if all(field in each for each in recent) and field not in self._told_of]
        if silent:
            self._told_of.update(silent)
            self.tools.observer.warned(
                f"{', '.join(silent)}: no answer in {SILENT_IN_A_ROW} iterations in a row, so it cannot pass; "
                "ask in other words, or use another vision model"
            )

    def _best_with(self, iteration: int, evaluation: Evaluation) -> Dict[str, Any]:
        number = self.checkpoint.best_iteration
        known = next((a.evaluation for a in self.history if a.iteration == number), None)
        best = (number, known) if number is not None and known is not None and number != iteration else None
        if not better((iteration, evaluation), best):
            return {}
        return {"best_iteration": iteration, "best_score": evaluation.overall_score}

    def _record_failure(self, iteration: int, err: ComfyUIError, workflow: Workflow) -> None:
        """An iteration without a picture is a row with a status, never a gap."""
        if isinstance(err, ExecutionFailed) and err.traceback:
            log.debug("ComfyUI's traceback:\n%s", "".join(err.traceback))
        move = Move(what="settings unchanged", why="no picture was made, so there is nothing to go by")
        failed = self._metadata(iteration, workflow, None)
        metadata = failed.model_copy(update={"error": str(err), "decision": [move]})
        self.run_files.write("metadata", metadata)
        self.metadata[iteration] = metadata
        totals = add_iteration(self.checkpoint.totals, metadata)
        self._save(last_iteration=iteration, pending=None, totals=totals)
        self._write_iteration_pages(metadata)
        log.info("iteration %d failed: %s", iteration, err)
        self.tools.observer.iteration_ends(metadata, None, self.checkpoint)
        hint = err.hint if not isinstance(err, BadImage) else ""
        self._count_failure("generation_failures", str(err), hint)

    def _count_failure(self, counter: str, what: str, hint: str = "") -> None:
        """Count a failure; the third in a row stops the run (exit 3), and a resume may fail three times again."""
        count = getattr(self.checkpoint, counter) + 1
        self._save(**{counter: count})
        if count >= FAILURES_IN_A_ROW:
            self._save(**{counter: 0})
            told = f"{hint}; then " if hint else ""
            raise ServiceError(
                f"{count} iterations in a row failed, the run stops; the last: {what}", told + self._resume_hint()
            )

    def _resume_hint(self) -> str:
        return f"go on with: iterative-imagination --project {self.setup.project.name}"

    # --- output and page ---------------------------------------------------------------------------------------------

    def _write_output(self, changed: Optional[int] = None) -> None:
        """Keep output/ at the best so far; written anew when the best, its verdicts (`changed`) or the result changes."""
        best = self.checkpoint.best_iteration
        metadata = self.metadata.get(best) if best is not None else None
        ended = self.checkpoint.status != "running"
        known = changed != best and not ended
        if metadata is None or (known and self.store.output_iteration(self.run_files.run_id) == best):
            return
        evaluation = self.run_files.evaluation(metadata.iteration)
        result = "passed" if evaluation is not None and evaluation.all_pass else "best_so_far"
        png = self.run_files.read_image(metadata.iteration)
        if png is not None:
            totals = self.checkpoint.totals.model_dump(mode="json")
            self.store.write_output(png, {**metadata.model_dump(mode="json"), "result": result, "totals": totals})

    def _write_thumb(self, iteration: int, png: bytes) -> None:
        try:
            pages.write_thumb(self.run_files, iteration, png)
        except ImaginationError as err:
            log.warning("the thumbnail of iteration %d could not be written: %s", iteration, err)

    def _write_iteration_pages(self, metadata: Metadata) -> None:
        """The page's files are a convenience: no disk trouble with them ends a run."""
        try:
            pages.write_iteration(self.run_files, metadata)
            pages.write_head(self.run_files, self.setup.project.name, self.setup.rules, self.checkpoint)
        except ImaginationError as err:
            log.warning("the viewer's files of iteration %d could not be written: %s", metadata.iteration, err)

    def _write_pages(self, index: bool) -> None:
        try:
            pages.rebuild(self.store)
            pages.write_head(self.run_files, self.setup.project.name, self.setup.rules, self.checkpoint)
            if index:
                pages.write_index(self.store.project.parent)
        except ImaginationError as err:
            log.warning("the viewer's files could not be written: %s", err)

    # --- what next ---------------------------------------------------------------------------------------------------

    def _decide(self, iteration: int) -> None:
        """Settings for the next iteration from the last one's verdicts; done once, also across a kill."""
        metadata = self.metadata.get(iteration)
        attempt = next((a for a in self.history if a.iteration == iteration), None)
        if metadata is None or attempt is None or metadata.decision:
            return
        if attempt.evaluation.source == "fallback":
            why = "the vision model gave no answer, and nothing is decided from invented ones"
            self._put_on_record(metadata, (Move(what="settings unchanged", why=why),), Usage(), {})
            return
        generation = self.store.read_generation()
        decision = self.decider.decide(self.history, generation, self.checkpoint.pending)
        self.store.write_generation(decision.generation)
        self._put_on_record(metadata, decision.moves, decision.pending.usage, decision.pending.timings)

    def _put_on_record(
        self, metadata: Metadata, moves: Sequence[Move], usage: Usage, timings: Mapping[str, float]
    ) -> None:
        metadata = metadata.model_copy(
            update={
                "decision": list(moves),
                "usage": metadata.usage + usage,
                "timings": {**metadata.timings, **timings},
            }
        )
        self.run_files.write("metadata", metadata)
        self.metadata[metadata.iteration] = metadata
        totals = self.checkpoint.totals
        seconds = round(totals.seconds + sum(timings.values()), 3)
        totals = totals.model_copy(update={"usage": totals.usage + usage, "seconds": seconds})
        self._save(pending=None, totals=totals)
        self._write_iteration_pages(metadata)
        log.info("after iteration %d: %s", metadata.iteration, "; ".join(f"{m.what} ({m.why})" for m in moves))
        self.tools.observer.decided(moves)


def _values(plan: Pending, generation: Generation) -> Dict[str, Any]:
    """What is written into the workflow: what is configured or was moved, the seed, the prompts."""
    configured = generation.parameters.model_dump(exclude_none=True)
    return {
        **{name: plan.parameters.get(name) for name in configured},
        "seed": plan.parameters.get("seed"),
        "ckpt_name": generation.model.ckpt_name,
        "positive": plan.prompts.positive,
        "negative": plan.prompts.negative,
    }


def _decodes(png: bytes) -> bool:
    try:
        images.check_result(png)
        return True
    except BadImage:
        return False


def _summed(calls: Sequence[CallRecord], leading: CallRecord) -> CallRecord:
    """One record for the calls of an iteration: the evaluation's provider and model, and the worst of the rest."""
    errors = list(dict.fromkeys(call.error for call in calls if call.error))
    return leading.model_copy(
        update={
            "using_fallback": any(call.using_fallback for call in calls),
            "success": all(call.success for call in calls),
            "attempts": max(call.attempts for call in calls),
            "error": "; ".join(errors) or None,
        }
    )
