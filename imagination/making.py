"""The making of one picture: its settings, the workflow they are written into, and the job that makes it.

Settings are on disk before they are used and the picture before it is judged, so that after a kill the one is not drawn
and the other not made a second time. What a failure means is the loop's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Iterable, Optional, Tuple

from typing_extensions import Protocol

from . import images
from .chronicle import Chronicle
from .comfyui import Generated
from .errors import BadImage
from .execution import Execution
from .model import Generation, Metadata, Pending, Prompts
from .setup import Setup, Workflow, load_workflow, negative_in_force, sampling_in_force, text_in_force
from .shaping import opening_prompts, shape
from .workflow import apply


class Generator(Protocol):
    """What the loop needs of `comfyui.ComfyUI`."""

    def upload(self, png: bytes) -> str: ...
    def generate(
        self, workflow: Any, *, prompt_id: str, output_node: str, on_progress: Callable[[Execution], None]
    ) -> Generated: ...
    def collect(
        self, prompt_id: str, workflow: Any, output_node: str, on_progress: Callable[[Execution], None]
    ) -> Optional[Generated]: ...


@dataclass
class Maker:
    """Makes the pictures of one run. `save` changes the resume point, `generating` hears how a job gets on."""

    setup: Setup
    book: Chronicle
    generator: Generator
    draw_seed: Callable[[], int]
    new_id: Callable[[], str]  # of a job
    save: Callable[..., None]
    description: Callable[[], str]  # of the original, once the model has told it
    generating: Callable[[Execution], None]
    warn: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _workflow: Tuple[Any, Optional[Workflow]] = field(default=(None, None), init=False)  # the last one, and of what
    _told_of_twin: bool = field(default=False, init=False)

    def plan(self, iteration: int, generation: Generation, workflow: Workflow) -> Tuple[Pending, bool]:
        """Settings of an iteration, on disk before they are used, and whether they are newly drawn.

        A killed process's are taken up; but what the user changed while the run stood still, in the settings or in the
        tags, goes before them, as long as the picture is not made. The seed is kept then, so that the change alone tells.
        """
        pending = self.book.checkpoint.pending
        begun = pending if pending is not None and pending.iteration == iteration else None
        sampling, written = sampling_in_force(workflow, generation), _written(workflow, generation)
        prompts = self._prompts_in_force(workflow, written)
        if begun is not None:
            if sampling.seed is None:
                sampling = replace(sampling, seed=begun.parameters.get("seed"))
            edited = [k for k, v in sampling.as_dict().items() if begun.parameters.get(k) != v]
            edited += ["prompts"] if written != (begun.written or begun.prompts) else []
            if (not edited and begun.prompts == prompts) or self.book.run.image_file(iteration).is_file():
                return begun, False
            if edited:
                self.warn(f"iteration {iteration} uses your edits of working/AIGen.yaml: {', '.join(edited)}")
            else:
                what = "tags or strategy in rules.yaml" if written.positive.strip() else "the original or rules.yaml"
                self.warn(f"iteration {iteration} gets other prompts than it was begun with: {what} changed")
        if sampling.seed is None and workflow.targets.reaches("seed"):
            sampling = replace(sampling, seed=self.draw_seed())
        new_id = self.new_id()
        parameters = sampling.as_dict()
        begun = Pending(iteration=iteration, parameters=parameters, prompts=prompts, written=written, prompt_id=new_id)
        self.save(pending=begun)
        self._warn_of_twin(begun, generation)
        return begun, True

    def _warn_of_twin(self, plan: Pending, generation: Generation) -> None:
        """Say once that the same picture comes again: that is minutes for nothing, and as a rule a seed left from a try."""
        todays = (self.setup.input_sha256, generation.workflow_file)
        made = [m for m in self.book.metadata.values() if (m.input_sha256, m.workflow_file) == todays]
        twin = twin_of(plan, made)
        if twin is not None and not self._told_of_twin:
            self._told_of_twin = True
            self.warn(_of_twin(plan, twin, generation))

    def workflow_of(self, generation: Generation) -> Workflow:
        """The workflow, read again only when the file or the settings changed."""
        path = self.setup.project.lookup(generation.workflow_file)
        status = path.stat()
        key = (path, status.st_mtime_ns, status.st_size, generation)
        if self._workflow[0] != key or self._workflow[1] is None:
            self._workflow = (key, load_workflow(self.setup.project, generation))
        workflow = self._workflow[1]
        assert workflow is not None
        return workflow

    def _prompts_in_force(self, workflow: Workflow, prompts: Prompts) -> Prompts:
        """What `_written` gives, with what takes the place of nothing, shaped by the tags."""
        if not prompts.positive.strip():
            made = opening_prompts(self.description(), self.setup.rules.acceptance_criteria)
            prompts = Prompts(positive=made.positive, negative=prompts.negative or made.negative)
        prompts = Prompts(positive=prompts.positive, negative=negative_in_force(workflow, prompts))
        rules = self.setup.rules
        return prompts if rules.project.strategy == "spec" else shape(prompts, rules.acceptance_criteria)

    def picture(self, plan: Pending, is_new: bool, generation: Generation, workflow: Workflow) -> Tuple[Pending, bytes]:
        """The iteration's picture: from disk, from a job that an earlier process queued, or generated."""
        png = self.book.run.read_image(plan.iteration)
        if png is not None and _decodes(png):
            return plan, png
        started = self.clock()
        generator, on_progress = self.generator, self.generating
        output_node = workflow.targets.output_node
        generated = None
        if not is_new and plan.prompt_id:
            generated = generator.collect(plan.prompt_id, workflow.graph, output_node, on_progress)
        if generated is None:
            values = _values(plan, generation)
            values["image"] = generator.upload(self.setup.source)
            if not is_new:  # the old id may stand for a failed job in ComfyUI's history
                plan = plan.model_copy(update={"prompt_id": self.new_id()})
                self.save(pending=plan)
            graph = apply(workflow.graph, workflow.targets, values)
            generated = generator.generate(
                graph, prompt_id=str(plan.prompt_id), output_node=output_node, on_progress=on_progress
            )
        png = generated.png
        self.book.run.write_image(plan.iteration, png)
        timings = {"generation": round(self.clock() - started, 3)}
        plan = plan.model_copy(update={"prompt_id": generated.prompt_id, "timings": timings})
        self.save(pending=plan)
        return plan, png


def twin_of(plan: Pending, made: Iterable[Metadata]) -> Optional[int]:
    """The last iteration whose picture was made with the settings, the seed and the prompts of `plan`."""
    same = (m for m in made if (m.parameters_used, m.prompts_used) == (plan.parameters, plan.prompts))
    return max((m.iteration for m in same if m.status == "ok"), default=None)


def _of_twin(plan: Pending, twin: int, generation: Generation) -> str:
    seed, locked = plan.parameters.get("seed"), ", ".join(generation.locked)
    fixed = "the workflow has no seed to draw" if seed is None else f"parameters.seed is fixed at {seed}"
    fixed += f" and locked holds {locked}" if locked else ""
    ways = [] if seed is None else ["seed: null there gives another picture each time"]
    ways += ["take from locked what may move"] if locked else []
    told = f"iteration {plan.iteration} has the settings, seed and prompts of iteration {twin}, so its picture will be the same"
    return f"{told}; in working/AIGen.yaml {fixed}" + "".join(f"; {way}" for way in ways)


def _written(workflow: Workflow, generation: Generation) -> Prompts:
    """The prompts as the user, or the decision before, has put them down; in the workflow where AIGen.yaml has none."""
    if "prompts" in generation.model_fields_set:
        return generation.prompts
    return Prompts(positive=text_in_force(workflow, "positive"))


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
