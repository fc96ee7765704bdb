"""From an order on the command line to a run: finds or makes the project, connects, runs the loop, tells the end.

What meets the terminal when it fails or is stopped is `guard`'s.
"""

from __future__ import annotations

import contextlib
import filecmp
import logging
import logging.handlers
import os
import secrets
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple, Union

from rich.console import Console

from . import streams
from .advice import look_over
from .budget import limits
from .config import load_generation, load_rules
from .creating import find_rules
from .display import LiveDisplay, PlainDisplay, best_told, closing, settings_line
from .errors import ConfigError, ImaginationError
from .guard import guarded
from .judge import Judge
from .log_file import logged
from .loop import SEED_LIMIT, Loop, Tools
from .model import ProjectSettings, RankingMode, Seeding
from .reply_cache import ReplyCache
from .resume import foresee, look_through, open_run, resume_point, seeded, settings_in_force, to_come
from .seeding import find_seeding
from .services import connect, preflight
from .setup import Setup, read_setup
from .store import Store
from .streams import clean
from .workspace import Project, Workspace, check_name, expanded

log = logging.getLogger(__name__)
Display = Union[LiveDisplay, PlainDisplay]


@dataclass(frozen=True)
class Order:
    """What was asked for on the command line."""

    project: Optional[str]
    rules: Optional[str]
    picture: Optional[str]
    resume_from: Optional[int]
    reset: bool
    dry_run: bool
    verbose: bool
    workspace: Optional[str]
    seed_from: Optional[str] = None  # a run id, or "latest"
    seed_mode: Optional[RankingMode] = None


def run_command(order: Order) -> int:
    """Carry out an order; returns the exit code (decisions.md, "Exit codes")."""
    streams.prepare()
    # whatever FORCE_COLOR says
    console = Console(highlight=False, force_terminal=None if sys.stdout.isatty() else False)
    begun = threading.Event()
    return guarded(lambda: _carry_out(order, console, begun), lambda: _stopped(order, begun.is_set()))


def _stopped(order: Order, begun: bool) -> str:
    """What a stopped command says. Before its run has begun, the state on disk is an earlier run's."""
    if not begun:
        return "stopped before the run began; the same command tries again"
    return f"stopped; the same command{_less(order)} goes on where it was"


def _less(order: Order) -> str:
    """The options that would not go on where the run was."""
    given = {
        "--reset": order.reset,
        "--resume-from": order.resume_from,
        "--seed-from-ranking": order.seed_from,
        "--seed-ranking-mode": order.seed_mode,
    }
    names = [name for name, value in given.items() if value]
    return f" without {', '.join(names[:-1])}{' and ' if names[1:] else ''}{names[-1]}" if names else ""


def _carry_out(order: Order, console: Console, begun: threading.Event) -> int:
    workspace = Workspace.find(order.workspace, os.environ, Path.cwd())
    project = find_project(workspace, order)
    picture = _picture(order)
    new = _new_files(project, order, picture) if project.root.is_dir() else _NewFiles(None, None, None)
    if order.dry_run:
        return _rehearse(order, project, picture)
    if new.rules or new.picture or not project.root.is_dir():
        read_setup(project, picture=picture)  # nothing is made of files that would not run, or replaced by them
    if not project.root.is_dir():
        project = _create(workspace, project, order, picture)
    store = Store(project.root)
    with store.lock(), logged(store, order.verbose):
        _replace_files(store, project, new)
        with _on_record(store, begun):
            return _run(order, Project(project.name, project.root, workspace), store, console, begun)


@contextlib.contextmanager
def _on_record(store: Store, begun: threading.Event) -> Iterator[None]:
    """Let the log tell how a run was stopped, and the user what it has so far, unless it has not even begun."""
    try:
        yield
    except (ImaginationError, KeyboardInterrupt) as err:
        if isinstance(err, ImaginationError):
            log.error("the run stopped: %s", " | ".join([err.message, *err.problems, err.hint]))
        else:
            log.info("the run was stopped")
        if begun.is_set():
            _so_far(store)
        raise


def _so_far(store: Store) -> None:
    with contextlib.suppress(ImaginationError):
        checkpoint = store.read_checkpoint()
        if checkpoint is not None and checkpoint.status == "stopped" and checkpoint.best_iteration is not None:
            output = store.project / "output" / "output.png"
            told = store.output_told(checkpoint.run_id) or {}
            # the disk may be what stopped it
            kept = told.get("iteration") == checkpoint.best_iteration and output.is_file()
            sys.stdout.write(f"best so far: {best_told(checkpoint)}{f', in {output}' if kept else ''}\n")


# --- the project ----------------------------------------------------------------------------------------------------------


def find_project(workspace: Workspace, order: Order) -> Project:
    """The project an order means; one that is yet to be made has `rules_file` set. Raises ConfigError."""
    if order.rules is None:
        return workspace.project(order.project or "")
    rules = find_rules(workspace, order.rules, "--rules")
    name = order.project or load_rules(rules).record.project.name
    if not name:
        raise ConfigError(f"{rules} names no project", "add project.name, or give --project NAME")
    folder = workspace.projects / check_name(name)
    if not folder.is_dir() and order.picture is None:
        raise ConfigError(f"project {name} is new and has no picture", f"add --input PICTURE, or create {folder} first")
    return Project(name, folder, workspace, rules_file=rules)


def _picture(order: Order) -> Optional[Path]:
    if order.picture is None:
        return None
    path = expanded(order.picture)
    if not path.is_file():
        raise ConfigError(f"--input: {path} is not a file")
    return path


def _create(workspace: Workspace, project: Project, order: Order, picture: Optional[Path]) -> Project:
    made = workspace.create(project.name, project.rules)
    if picture is not None:
        made.put_input(picture)
    return made


@dataclass(frozen=True)
class _NewFiles:
    """Files of an order that an existing project does not have; `own_picture`: the one that makes way."""

    rules: Optional[Path]
    picture: Optional[Path]
    own_picture: Optional[Path]


def _new_files(project: Project, order: Order, picture: Optional[Path]) -> _NewFiles:
    """Compare an order with an existing project. Different files are refused unless --reset, naming two ways on."""
    own_rules = project.root / "config" / "rules.yaml"
    named = project.rules_file
    rules = named if named and not (own_rules.is_file() and _same_rules(named, own_rules)) else None
    own = project.input() if project.has_input() else None
    new_picture = picture if picture and not (own and filecmp.cmp(own, picture, shallow=False)) else None
    different = ["rules"] if rules and own_rules.is_file() else []
    different += ["a picture"] if new_picture and own else []
    if different and not order.reset:
        raise ConfigError(
            f"project {project.name} has {' and '.join(different)} of its own, not the same as what was named",
            "use another project.name, or --reset to replace them (the old ones are kept)",
        )
    return _NewFiles(rules, new_picture, own if new_picture else None)


def _replace_files(store: Store, project: Project, new: _NewFiles) -> None:
    """Give an existing project the files named in the order; what stood there is kept."""
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    if new.rules:
        store.replace_file(project.root / "config" / "rules.yaml", new.rules.read_bytes(), stamp)
    if new.own_picture:
        store.put_aside(new.own_picture, stamp)
    if new.picture:
        project.put_input(new.picture)


def _same_rules(first: Path, second: Path) -> bool:
    """Compare what rules say, not how they are written: the project's copy has another schema line."""
    try:
        return load_rules(first).record == load_rules(second).record
    except ConfigError:
        return False


# --- running --------------------------------------------------------------------------------------------------------------


def _read(order: Order, project: Project, picture: Optional[Path] = None) -> Setup:
    store = Store(project.root)
    settings = settings_in_force(store, _limits(project), order.reset, order.resume_from)
    return read_setup(project, settings, picture)


def _limits(project: Project) -> Optional[ProjectSettings]:
    """What a run may take; None where the rules cannot be read, of which `read_setup` tells together with all the rest."""
    try:
        return load_rules(project.rules).record.project
    except ConfigError:
        return None


def _run(order: Order, project: Project, store: Store, console: Console, begun: threading.Event) -> int:
    setup = _read(order, project)
    setup, seeding = _seeded(order, store, setup)
    with _display(console) as display, connect(setup.generation.comfyui, setup.vision, os.environ) as (generator, eyes):
        for warning in (*setup.warnings, *_rules_checked(setup), *_overlooked(setup, store, order.resume_from)):
            display.warned(warning)
        ready = preflight(setup, generator, eyes, _names_of(setup, seeding))
        for warning in ready.warnings:
            display.warned(warning)
        log.info("%s", ready.comfyui)
        opening = open_run(
            store, setup, reset=order.reset, resume_from=order.resume_from, now=time.time(), seeding=seeding
        )
        begun.set()
        display.opened(opening, setup)
        taken = opening.checkpoint.seeded_from
        vision = ReplyCache(eyes, opening.run, setup.vision, store.bookings, opening.checkpoint.paid)
        judge = Judge(vision, setup.templates, setup.rules, notes="\n".join(taken.notes) if taken else "")
        tools = Tools(generator, eyes, judge, display, ready.choices, lambda: secrets.randbelow(SEED_LIMIT))
        outcome = Loop(setup, store, opening, tools).run()
    closing(console, outcome, store.project / "output" / "output.png")
    return 0 if outcome.passed else 1


def _overlooked(setup: Setup, store: Store, resume_from: Optional[int]) -> List[str]:
    """Edits of settings that a run which goes on does not see: it has its own, but for the address of ComfyUI."""
    checkpoint = resume_point(store, resume_from) if setup.generation_path == store.generation_file else None
    begun_with = store.run(checkpoint.run_id).root / "inputs" / "AIGen.yaml" if checkpoint else None
    if begun_with is None or not begun_with.is_file():
        return []
    configured = setup.project.generation
    try:
        begun = load_generation(begun_with)
    except ConfigError as err:  # nothing but this goes by it
        log.info("%s", err)
        return []
    now, own = load_generation(configured), load_generation(store.generation_file)
    told = []
    missing = setup.project.root / "config" / "AIGen.yaml"
    if configured != missing:
        told.append(f"{missing} is not there: where ComfyUI is, and how long it may take, {configured} says")
    elif now.record.model_copy(update={"comfyui": begun.record.comfyui}) != begun.record:
        told.append(
            f"{configured} was edited after the run had begun and does not count for it: "
            f"edit {store.generation_file}, or start afresh with --reset"
        )
    if own.record.comfyui not in (begun.record.comfyui, now.record.comfyui):
        place = own.document.place(("comfyui",))
        told.append(f"{place} does not count: where ComfyUI is, and how long it may take, {configured} says")
    return told


def _seeded(order: Order, store: Store, setup: Setup) -> Tuple[Setup, Optional[Seeding]]:
    """The settings that a seeded run begins with: what is checked beforehand is what runs. Raises what seeding does."""
    if not order.seed_from:
        return setup, None
    seeding = find_seeding(store, order.seed_from, order.seed_mode or "rank1")
    foresee(store, setup, reset=order.reset, resume_from=order.resume_from, seeding=seeding)
    return replace(setup, generation=seeded(setup.generation, seeding)), seeding


def _names_of(setup: Setup, seeding: Optional[Seeding]) -> str:
    """Where the names that the server must know come from, for a hint."""
    if seeding is None:
        return str(setup.generation_path)
    return f"{setup.generation_path} and put its key under locked: there, as the ranking brings another"


def _rehearse(order: Order, project: Project, picture: Optional[Path]) -> int:
    """--dry-run: everything a run would read and ask, and nothing written."""
    setup = _read(order, project, picture)
    store = Store(project.root)
    setup, seeding = _seeded(order, store, setup)
    run = foresee(store, setup, reset=order.reset, resume_from=order.resume_from, seeding=seeding)
    if not order.reset:
        look_through(store, setup.rules.project, order.resume_from)
    if seeding is not None:
        run += f", seeded from the ranking of {seeding.run_id} ({seeding.mode})"
    held = store.is_held()
    lines = [
        f"project    {setup.project.name} ({setup.project.root})",
        f"rules      {len(setup.rules.acceptance_criteria)} criteria, {len(setup.rules.questions)} questions, "
        f"{limits(setup.rules.project)}",
        f"strategy   {_strategy_told(setup.rules.project)}",
        f"run        {run}",
        f"input      {setup.source_size[0]}x{setup.source_size[1]} px as it will be sent",
        f"workflow   {setup.workflow.path}",
        f"settings   {settings_line(to_come(store, setup, reset=order.reset, resume_from=order.resume_from))}",
        f"vision     {_models_named(setup)}",
        *_warned((*setup.warnings, *_rules_checked(setup), *_overlooked(setup, store, order.resume_from))),
        *_warned(["another run is at work on this project: wait for it, or stop it"] if held else []),
    ]
    _say(lines)  # before anything is asked: a warning may be of who is asked, and with which key
    with connect(setup.generation.comfyui, setup.vision, os.environ) as (generator, eyes):
        ready = preflight(setup, generator, eyes, _names_of(setup, seeding))
    end = "a run would start once the other has ended" if held else "ready: a run would start"
    _say([f"generator  {ready.comfyui}", *_warned(ready.warnings), f"{end} (nothing was changed)"])
    return 0


def _warned(warnings: Sequence[str]) -> List[str]:
    return [f"warning    {clean(text)}" for text in warnings]


def _say(lines: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _strategy_told(project: ProjectSettings) -> str:
    """The strategy with the parts that are on, as rules.yaml names them."""
    parts = [f"confirmations up to {project.looks}"] if project.looks else []
    parts += [part for part in ("judge_check", "stop_on_conflict", "final_comparison") if project.has(part)]
    return ", ".join([project.strategy, *parts])


def _rules_checked(setup: Setup) -> List[str]:
    """What `rules check` holds for an error in rules that can be read, e.g. a term that is required and banned."""
    found = [each for each in look_over(setup.project.rules, setup.project.name) if each.severity == "error"]
    return [f"{each.file}:{each.line} {each.key}: {each.reason}; {each.advice}" for each in found]


def _models_named(setup: Setup) -> str:
    vision = setup.vision
    names = [f"{vision.provider} {vision.model}".strip()]
    if vision.fallback_provider:
        names.append(f"{vision.fallback_provider} {vision.fallback_model or ''}".strip())
    return ", else ".join(names)


@contextlib.contextmanager
def _display(console: Console) -> Iterator[Display]:
    display: Display
    if console.is_terminal:
        display = LiveDisplay(console)
    else:
        display = PlainDisplay(_write_line)
    shown = _Shown(display)
    logging.getLogger("imagination").addHandler(shown)
    try:
        yield display
    finally:
        logging.getLogger("imagination").removeHandler(shown)
        display.close()


def _write_line(text: str) -> None:
    """Print a line. Where it cannot be written (a file on a full disk), the run goes on in silence: it is an hour of a GPU."""
    with contextlib.suppress(OSError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


class _Shown(logging.Handler):
    """Warnings of the log (retries, reconnects) are shown as well: a wait is never silent."""

    def __init__(self, display: Display) -> None:
        super().__init__(logging.WARNING)
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        self._display.warned(record.getMessage())
