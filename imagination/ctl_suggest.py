"""`iterativectl rules suggest`: shows what a vision model would change in a project's rules, and writes it with --apply.

What may be proposed is `suggest`'s, how it is written into the file `yaml_edit`'s. Only click is imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, List, Optional, Sequence, Tuple

import click

from .completion import project_option, workspace_option

if TYPE_CHECKING:
    import logging
    from pathlib import Path

    from .config import Loaded
    from .model import Ranking, Rules
    from .store import Store
    from .suggest import Plan
    from .workspace import Project

WIDTH = 80
BOM = "\ufeff"


@click.command()
@project_option("Improve projects/NAME/config/rules.yaml.")
@click.option("--apply", is_flag=True, help="Write the changes; the file as it was is kept beside it.")
@workspace_option()
def suggest(project: str, apply: bool, workspace: Optional[str]) -> None:
    """Let the vision model propose better rules: tags, questions, criteria.

    It is given config/rules_guidelines.md (or the default one) and the notes of
    your rankings. Each change is shown with its reason; names stay as they are,
    nothing is removed but terms of the tags, and your comments are kept.

    \b
    Examples:
      iterativectl rules suggest --project demo
      iterativectl rules suggest --project demo --apply

    \b
    Exit codes: 0 shown, written or nothing to change, 2 your files or options,
    3 the vision model, 4 the disk.
    """
    from .guard import guarded

    raise SystemExit(guarded(lambda: _suggest(project, apply, workspace), "stopped; nothing was written"))


def _suggest(name: str, apply: bool, workspace: Optional[str]) -> int:
    import os
    from pathlib import Path

    from .config import load_rules
    from .store import Store
    from .suggest import general_notes, plan, proposals
    from .workspace import Workspace

    project = Workspace.find(workspace, os.environ, Path.cwd()).project(name)
    rules = load_rules(project.rules)
    before = _read(project.rules)
    text = before.decode("utf-8-sig")
    values = _ask(project, text, Store(project.root))
    planned = plan(project.rules, text, proposals(values, rules.record), project.name)
    notes = "" if rules.record.project.disable_general_notes else general_notes(values)
    for line in _shown(project.rules, text, planned, notes):
        click.echo(line)
    if not planned.taken:
        click.echo("Nothing to change." if not planned.left else "Nothing that can be changed.")
    elif apply:
        _write(project, before, planned.text, rules)
    else:
        click.echo("Nothing was written: --apply writes it, and keeps the file as it is now.")
    return 0


# --- asking ---------------------------------------------------------------------------------------------------------------


def _ask(project: Project, rules: str, store: Store) -> dict[str, object]:
    import contextlib
    import logging
    import os

    from .config import load_texts, load_vision, read_text
    from .prompts import Templates
    from .services import BUILTIN
    from .suggest import list_notes, request
    from .vision import Vision
    from .vision_remarks import remarks

    loaded = load_vision(project.vision)
    settings = loaded.record
    templates, _ = Templates.merge([load_texts(path) for path in project.prompt_files()])
    guidelines = read_text(project.own_or_template("config/rules_guidelines.md"))
    asked = request(templates, rules, guidelines, list_notes(_rankings(store)))
    if settings.provider == BUILTIN:
        _warn(f"the built-in engine only measures pictures and proposes nothing; name a model in {project.vision}")
        return {}
    for remark in (*loaded.warnings, *remarks(loaded, os.environ)):
        _warn(remark)
    handler = _on_stderr()
    logging.getLogger("imagination").addHandler(handler)
    try:
        with contextlib.closing(Vision.from_settings(settings, os.environ)) as eyes:
            for warning in eyes.preflight():
                _warn(warning)
            click.echo(f"asking {settings.provider} {settings.model}".rstrip() + " for better rules ...", err=True)
            return eyes.ask(asked).values
    finally:
        logging.getLogger("imagination").removeHandler(handler)


def _rankings(store: Store) -> List[Tuple[str, Ranking]]:
    """The rankings of all runs, oldest first; one that cannot be read is told of and left out."""
    from .errors import StoreError

    found = []
    for run in store.runs():
        if not run.ranking_file.is_file():
            continue
        try:
            found.append((run.run_id, run.ranking()))
        except StoreError as err:
            _warn(err.message)
    return found


def _warn(text: str) -> None:
    from .streams import clean

    click.echo(f"{click.style('warning:', fg='yellow')} {clean(text, 2000)}", err=True)


def _on_stderr() -> logging.Handler:
    """Retries and waits are told of as they happen."""
    import logging

    class Shown(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _warn(record.getMessage())

    return Shown(logging.WARNING)


# --- showing --------------------------------------------------------------------------------------------------------------


def _shown(path: Path, text: str, planned: Plan, notes: str) -> Iterator[str]:
    for number, proposal in enumerate(planned.taken, 1):
        yield from _wrapped(f"{number}. ", proposal.what, bold=True)
        yield from _wrapped("   ", proposal.reason)
    if planned.taken:
        yield ""
        yield from _diff(path, text, planned.text)
        yield ""
    for proposal in planned.left:
        yield from _wrapped("not applied: ", f"{proposal.what}: {proposal.fault}")
        yield from _wrapped("   ", proposal.reason)
    if planned.left:
        yield ""
    if notes:
        yield from _wrapped("The model's notes: ", notes)
        yield ""


def _wrapped(start: str, text: str, bold: bool = False) -> List[str]:
    import textwrap

    from .streams import clean

    lines = textwrap.wrap(
        clean(text, 2000), WIDTH, initial_indent=start, subsequent_indent="   ", break_on_hyphens=False
    )
    return [click.style(line, bold=True) if bold else line for line in lines]


def _diff(path: Path, before: str, after: str) -> Iterator[str]:
    """A unified diff, coloured where it is read on a terminal (click takes the colours out elsewhere)."""
    import difflib

    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), str(path), f"{path} (suggested)", lineterm="")
    for number, line in enumerate(lines):
        colour = "cyan" if line.startswith("@@") else {"+": "green", "-": "red"}.get(line[:1])
        yield click.style(line, bold=True) if number < 2 else click.style(line, fg=colour) if colour else line


# --- writing --------------------------------------------------------------------------------------------------------------


def _read(path: Path) -> bytes:
    from .errors import StoreError

    try:
        return path.read_bytes()
    except OSError as err:
        raise StoreError(f"{path} cannot be read: {err.strerror or err}") from err


def _write(project: Project, before: bytes, text: str, rules: Loaded[Rules]) -> None:
    """Write the new rules, unless the user has edited the file in the meantime; the old ones are kept beside it."""
    import shutil

    from .config import load_rules, rules_hash
    from .disk import write_bytes
    from .errors import StoreError

    path = project.rules.resolve()
    if _read(path) != before:
        raise StoreError(f"{project.rules} was edited while the model was asked; nothing was written", "ask again")
    backup = _back_up(path, before)
    mark = BOM if before.startswith(BOM.encode("utf-8")) else ""
    write_bytes(path, (mark + text).encode("utf-8"))
    shutil.copymode(backup, path)
    click.echo(f"wrote {project.rules}")
    click.echo(f"the file as it was: {backup}")
    if rules_hash(load_rules(path).record) != rules_hash(rules.record) and _unfinished(project):
        _warn(
            "the unfinished run does not go on under other rules by itself: use --resume-from N or --reset, "
            f"or put {backup.name} back"
        )


def _back_up(path: Path, data: bytes) -> Path:
    """A dated copy beside the file; an earlier one is never written over."""
    import shutil
    import time

    from .errors import StoreError

    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    for number in range(1, 1000):
        backup = path.with_name(f"{path.name}.{stamp}{'' if number == 1 else f'-{number}'}.bak")
        try:
            with backup.open("xb") as file:
                file.write(data)
            shutil.copymode(path, backup)
            return backup
        except FileExistsError:
            continue
        except OSError as err:
            raise StoreError(f"{backup} cannot be written: {err.strerror or err}; nothing was changed") from err
    raise StoreError(f"{path.parent} has a thousand backups of the same second")


def _unfinished(project: Project) -> bool:
    from .errors import StoreError
    from .store import Store

    try:
        checkpoint = Store(project.root).read_checkpoint()
    except StoreError:
        return False
    return checkpoint is not None and checkpoint.status in ("running", "stopped")


__all__: Sequence[str] = ["suggest"]
