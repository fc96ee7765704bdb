"""Everything a run needs, read and checked before anything is written: configs, workflow, templates, the input picture.

All problems of all files are told together. Reading is all that happens here, so `--dry-run` uses the same door.
"""

from __future__ import annotations

import filecmp
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, TypeVar

from . import images
from .config import Loaded, load_generation, load_rules, load_texts, load_vision, rules_hash
from .errors import ConfigError
from .model import Generation, Prompts, Rules, Sampling, VisionSettings
from .prompts import Templates
from .reading import MAX_PICTURE, MAX_WORKFLOW, read_bytes
from .vision_remarks import remarks
from .workflow import Graph, Targets, current, read_workflow, require, trace
from .workspace import Project

T = TypeVar("T")
LONGEST_TEXT = 40_000  # characters of a prompt: two of them, all escaped, still fit into working/AIGen.yaml
TEMPLATE_NAME = "my-project"  # of defaults/config/rules.yaml: whoever copied that folder has not chosen it


@dataclass(frozen=True)
class Workflow:
    """A workflow as read: the graph, where each setting goes, the file it came from, and how AIGen.yaml names that."""

    graph: Graph = field(repr=False)
    targets: Targets
    path: Path
    name: str


@dataclass(frozen=True)
class Setup:
    """A project, read whole."""

    project: Project
    rules: Rules
    generation: Generation
    generation_path: Path
    vision: VisionSettings
    templates: Templates
    workflow: Workflow
    source: bytes = field(repr=False)  # the input as PNG: upright, RGB, scaled, sides multiples of 8
    source_size: Tuple[int, int]
    rules_sha256: str
    input_sha256: str
    warnings: Tuple[str, ...]


def read_setup(project: Project, generation_path: Optional[Path] = None, picture: Optional[Path] = None) -> Setup:
    """Read a project. `generation_path`: the settings in force, where a run has some already (default: the configured ones).

    `picture`: an input that is yet to be put into the project. Raises ConfigError with every problem found.
    """
    told = _Told()
    rules = told.ask(lambda: load_rules(project.rules))
    generation = told.ask(lambda: load_settings(project, generation_path))
    vision = told.ask(lambda: load_vision(project.vision))
    templates = told.ask(lambda: Templates.merge([load_texts(path) for path in project.prompt_files()]))
    workflow = told.ask(lambda: load_workflow(project, generation.record)) if generation else None
    source = told.ask(lambda: _read_source(picture or project.input(), generation.record)) if generation else None
    told.raise_if_any(project)
    assert rules and generation and vision and templates and workflow and source  # else told has raised
    png, size, digest = source
    warnings = [
        *rules.warnings,
        *generation.warnings,
        *vision.warnings,
        *templates[1],
        *_remarks(project, rules),
        *remarks(vision, os.environ),
    ]
    return Setup(
        project=project,
        rules=rules.record,
        generation=generation.record,
        generation_path=generation.document.path,
        vision=vision.record,
        templates=templates[0],
        workflow=workflow,
        source=png,
        source_size=size,
        rules_sha256=rules_hash(rules.record),
        input_sha256=digest,
        warnings=tuple(warnings),
    )


def load_settings(project: Project, in_force: Optional[Path]) -> Loaded[Generation]:
    """The settings in force, where a run has some, with the address of the server always as configured.

    No iteration changes where ComfyUI is; a server that moved in mid-run is told of in config/AIGen.yaml.
    """
    configured = load_generation(project.generation)
    loaded = configured if in_force in (None, project.generation) else _in_force(in_force)
    for setting in ("positive", "negative"):
        _check_length(getattr(loaded.record.prompts, setting), loaded.document.place(("prompts", setting)))
    record = loaded.record.model_copy(update={"comfyui": configured.record.comfyui})
    of_the_server = [text for text in configured.warnings if " comfyui" in text and text not in loaded.warnings]
    return Loaded(record, (*loaded.warnings, *of_the_server), loaded.document)


def _in_force(path: Path) -> Loaded[Generation]:
    try:
        return load_generation(path)
    except ConfigError as err:
        way_on = f"mend it, or remove it, and it is made again: rm {shlex.quote(str(path))}"
        raise ConfigError(err.message, "\n".join(filter(None, (err.hint, way_on))), err.problems) from err


def load_workflow(project: Project, generation: Generation) -> Workflow:
    """Read the workflow that AIGen.yaml names and see that every configured setting has a place in it.

    Raises WorkflowError otherwise, ConfigError when the file is not there.
    """
    path = project.lookup(generation.workflow_file)
    try:
        data = read_bytes(path, MAX_WORKFLOW)
    except OSError as err:
        raise ConfigError(f"{path} cannot be read: {err.strerror or err}") from err
    graph = read_workflow(data, str(path))
    targets = trace(graph, str(path))
    require(targets, _configured(generation), str(path))
    workflow = Workflow(graph, targets, path, generation.workflow_file)
    for setting in ("positive", "negative"):
        for node_id, key in targets.slots.get(setting, ())[:1]:
            _check_length(text_in_force(workflow, setting), f"{path}: {node_id}.inputs.{key}")
    return workflow


def _check_length(text: str, place: str) -> None:
    """Refuse a prompt whose settings could be written but would be too large to be read again."""
    if len(text) > LONGEST_TEXT:
        raise ConfigError(
            f"{place} is a prompt of {len(text)} characters; at most {LONGEST_TEXT} are taken", "make it shorter"
        )


def _configured(generation: Generation) -> Dict[str, str]:
    """Settings that the user wrote, each with its key in AIGen.yaml. The positive prompt is always ours to write."""
    parameters = generation.parameters.model_dump(exclude_none=True)
    settings = {name: f"parameters.{name}" for name in parameters}
    settings["positive"] = "prompts.positive"
    if generation.prompts.negative.strip():
        settings["negative"] = "prompts.negative"
    if generation.model.ckpt_name:
        settings["ckpt_name"] = "model.ckpt_name"
    return settings


def sampling_in_force(workflow: Workflow, generation: Generation) -> Sampling:
    """The workflow's own values, overlaid with the configured ones; a seed of null is None: yet to be drawn."""
    own = current(workflow.graph, workflow.targets).as_dict()
    chosen = generation.parameters.model_dump(exclude_none=True)
    reached = {name: value for name, value in chosen.items() if workflow.targets.reaches(name)}
    return Sampling(**{**own, "seed": None, **reached})


def negative_in_force(workflow: Workflow, prompts: Prompts) -> str:
    """The configured negative prompt, else the text that stands in the workflow; empty where there is no place for one."""
    if workflow.targets.reaches("negative") and prompts.negative.strip():
        return prompts.negative
    return text_in_force(workflow, "negative")


def text_in_force(workflow: Workflow, setting: str) -> str:
    """The text that stands in the workflow for "positive" or "negative"; empty where there is no place for one."""
    if not workflow.targets.reaches(setting):
        return ""
    node_id, key = workflow.targets.slots[setting][0]
    own = workflow.graph[node_id]["inputs"][key]
    return own if isinstance(own, str) else ""


def _read_source(path: Path, generation: Generation) -> Tuple[bytes, Tuple[int, int], str]:
    picture = images.fit_megapixels(images.load_input(path), generation.input.max_megapixels)
    return images.encode_png(picture), picture.size, images.content_hash(read_bytes(path, MAX_PICTURE))


def _remarks(project: Project, rules: Loaded[Rules]) -> List[str]:
    remarks = []
    name = rules.record.project.name
    if name and name not in (project.name, TEMPLATE_NAME):
        place = rules.document.place(("project", "name"))
        remarks.append(f'{place} is "{name}", but the folder is {project.name}: the folder counts')
    stray = project.root / "prompts.yaml"
    if stray.is_file() and not filecmp.cmp(stray, project.workspace.template("prompts.yaml"), shallow=False):
        remarks.append(
            f"{project.root / 'prompts.yaml'} is not read; move it to {project.root / 'config' / 'prompts.yaml'}"
        )
    return remarks


class _Told:
    """Collects the problems of several files, so that the user mends them in one go."""

    def __init__(self) -> None:
        self.errors: List[ConfigError] = []

    def ask(self, read: Callable[[], T]) -> Optional[T]:
        try:
            return read()
        except ConfigError as err:
            self.errors.append(err)
            return None

    def raise_if_any(self, project: Project) -> None:
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            problems = [line for err in self.errors for line in (err.problems or (err.message,))]
            hints = dict.fromkeys(err.hint for err in self.errors if err.hint)
            raise ConfigError(f"project {project.name} has {len(problems)} problems", "; ".join(hints), problems)


def yaml_for_model(generation: Generation) -> str:
    """The settings as the vision model is shown them: AIGen.yaml without addresses."""
    import yaml

    shown: Mapping[str, Any] = generation.model_dump(mode="json", include={"model", "parameters", "prompts", "locked"})
    return yaml.safe_dump(dict(shown), sort_keys=False, allow_unicode=True).strip()
