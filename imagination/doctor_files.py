"""The part of `doctor` that looks at files: settings, workflow, prompts, rules, the input picture, an unfinished run.

They are read by the loader's own functions; here each problem becomes a line.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence, Tuple, TypeVar

from . import images
from .checkup import Check, failed, failure, ok, warning
from .config import load_rules, load_texts, load_vision
from .errors import ConfigError, ImaginationError
from .model import Generation, ProjectSettings, Rules, VisionSettings
from .prompts import Templates
from .resume import look_through, settings_in_force
from .services import BUILTIN
from .setup import Workflow, load_settings, load_workflow, read_setup
from .store import Store
from .workspace import Project, Workspace

T = TypeVar("T")
SMALLEST = 256  # px a side: below it neither model sees much
FAMILIES = (  # part of a checkpoint's name, what to call it, the side of the pictures that it learned from in px
    (r"xl|pony|illustrious|noobai", "SDXL", 1024),
    (r"flux|sd3|sd_3|qwen|chroma", "this checkpoint", 1024),
    (r"v?1[-_.][45](\D|$)|sd[-_]?1[45]", "Stable Diffusion 1.5", 512),
)


@dataclass(frozen=True)
class Files:
    """What could be read of a project (or of the templates), and what was found on the way."""

    project: Project
    named: bool  # a project of the user's, not the templates
    rules: Optional[Rules] = None
    generation: Optional[Generation] = None
    generation_path: Optional[Path] = None
    vision: Optional[VisionSettings] = None
    workflow: Optional[Workflow] = None
    checks: Tuple[Check, ...] = field(default=())

    @property
    def whole(self) -> bool:
        """Say whether everything could be read."""
        return not any(check.state == "failure" for check in self.checks)


def templates_of(workspace: Workspace) -> Project:
    """The templates' settings, looked at as if they were a project's: the workspace's own go first."""
    return Project("templates", workspace.root / "defaults", workspace)


def read_files(project: Project, named: bool, option: str = "") -> Files:
    """Read what the run would read. Nothing is raised: each problem is a check. `option` names it to other commands."""
    told = _Told(option)
    rules = told.ask("rules", project.rules, lambda: load_rules(project.rules)) if named else None
    path = project.generation
    if named:
        limit = rules.record.project if rules else None
        path = told.ask("last run", project.root, lambda: _in_force(project, limit)) or project.generation
        if all(check.name != "last run" for check in told.checks):
            told.ask("last run", project.root, lambda: look_through(Store(project.root), limit))
    generation = told.ask("AIGen.yaml", path, lambda: load_settings(project, path))
    vision = told.ask("AIVis.yaml", project.vision, lambda: load_vision(project.vision))
    told.ask("prompts", project.root, lambda: Templates.merge([load_texts(file) for file in project.prompt_files()]))
    workflow = None
    if generation is not None:
        workflow = told.ask("workflow", path, lambda: load_workflow(project, generation.record))
    if not told.checks:
        files = "rules, settings, prompts and workflow" if named else "settings and workflow of the templates"
        told.checks.append(ok("files", f"{files} can be read"))
    if named and Store(project.root).is_held():
        told.checks.append(
            warning("run", "one is at work on this project, so no other can start", "wait for it, or stop it")
        )
    if not named:
        read = [file for file in (generation, vision) if file is not None]
        told.checks += [warned(text) for file in read for text in file.warnings]
    return Files(
        project,
        named,
        rules.record if rules else None,
        generation.record if generation else None,
        path,
        vision.record if vision else None,
        workflow,
        tuple(told.checks),
    )


def _in_force(project: Project, limits: Optional[ProjectSettings]) -> Path:
    """working/AIGen.yaml where a run would go on with it, else what the user wrote."""
    return settings_in_force(Store(project.root), limits, False, None) or project.generation


class _Told:
    """Collects the problems of several files."""

    def __init__(self, option: str) -> None:
        self.checks: List[Check] = []
        self._option = option

    def ask(self, name: str, path: Path, read: Callable[[], T]) -> Optional[T]:
        try:
            return read()
        except ImaginationError as err:
            mend = " | ".join(err.hint.splitlines()) or _edit(name, path, err.message, self._option)
            self.checks += [failure(name, text, mend) for text in (err.problems or (err.message,))]
            return None


def _edit(name: str, path: Path, message: str, option: str) -> str:
    if message.endswith("does not exist"):
        return f"put it there; an example: {Path('defaults') / 'config' / path.name}"
    if name == "rules":
        return f"correct that line of rules.yaml; for more: iterativectl rules check{option}"
    what = f"correct {name}" if name in ("prompts", "workflow") else f"correct that line of {path.name}"
    return f"{what}; the files in defaults/ have an example of every key"


def warned(text: str) -> Check:
    """A warning of the loader: it names the file, the line and often what was meant; of an exposed key, also what helps."""
    exposed = re.fullmatch(r"(.* the key (?:in|with) it): (.*)", text)
    if exposed:
        return warning("files", exposed[1], exposed[2])
    return warning("files", text, "correct that line, or take it out")


# --- the picture ---------------------------------------------------------------------------------------------------------


def look_at_input(files: Files) -> Iterator[Check]:
    """The input picture; and, since the loader reads everything together here, its warnings."""
    project = files.project
    try:
        path = project.input()
    except ConfigError as err:
        yield failed("input", err, _put(project, err))
        return
    limit = files.generation.input.max_megapixels if files.generation else 1.0
    try:
        setup = read_setup(project, files.generation_path) if files.whole else None
        size = setup.source_size if setup else images.fit_megapixels(images.load_input(path), limit).size
    except ConfigError as err:
        yield failed("input", err)
        return
    yield judge_size(path.name, size, files.generation)
    for text in setup.warnings if setup else ():
        yield warned(text)


def _put(project: Project, err: ConfigError) -> str:
    target = project.root / "input" / "input.png"
    return err.hint if project.has_input() else f"cp PICTURE.png {shlex.quote(str(target))}"


def judge_size(name: str, size: Tuple[int, int], generation: Optional[Generation]) -> Check:
    """Say whether `size`, (width, height) in px as it will be sent, suits the checkpoint. Other engines take anything."""
    shown = f"{name} will be sent with {size[0]}x{size[1]} px"
    if generation is None or generation.comfyui.host.strip().lower() == BUILTIN:
        return ok("input", shown)
    called, side = family_of(generation.model.ckpt_name or "")
    if min(size) < SMALLEST:
        return warning("input", f"{shown}: too small to be edited or judged well", "use a larger picture")
    if size[0] * size[1] > 4.5 * side * side:
        text = f"{shown}: {called} repeats itself beyond {side}x{side} px, and memory may not suffice"
        return warning("input", text, "set input: {max_megapixels: 1.0} in AIGen.yaml")
    if 4 * size[0] * size[1] < side * side:
        text = f"{shown}: {called} works on about {side}x{side} px"
        return warning("input", text, "use a larger picture, or a checkpoint for smaller ones")
    return ok("input", shown)


def family_of(ckpt_name: str) -> Tuple[str, int]:
    """What kind of checkpoint a file name tells of, and its side in px; the mildest where it tells nothing."""
    for pattern, called, side in FAMILIES:
        if re.search(pattern, ckpt_name, re.IGNORECASE):
            return called, side
    return "a checkpoint", 768


def folders_of(project: Project) -> Sequence[Path]:
    """Where a run writes."""
    return [project.root, *(project.root / name for name in ("working", "output", "logs"))]
