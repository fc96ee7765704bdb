"""`iterativectl doctor`: tells what `doctor` finds. Only click is imported, since a missing package is one of the findings."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Tuple

import click

from .completion import project_option, workspace_option

if TYPE_CHECKING:
    from .checkup import Check
    from .workspace import Workspace

COLOURS = {"ok": "green", "warning": "yellow", "failure": "red"}
WIDTH = 80
STATE, NAME = 9, 16  # columns


@click.command()
@project_option("Look over projects/NAME and the servers it names (default: the templates').", required=False)
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="text (default), or json for scripts."
)
@click.option(
    "--judge",
    is_flag=True,
    help="Try the vision model on the project's own rules and picture as well (asks it 12 times).",
)
@workspace_option()
def doctor(project: Optional[str], form: str, judge: bool, workspace: Optional[str]) -> None:
    """Find what keeps a run from starting, and what mends it.

    Looks at Python, packages, disk, files, the picture, ComfyUI, and the vision
    model with its fallback. Nothing is changed, and no model is asked anything,
    unless --judge is given: then the model looks at your picture five times, at
    a plain grey one twice and at a ruined copy twice, and you are told whether
    it says yes to everything, cannot see, changes its mind or cannot answer in
    JSON, and what a picture takes in seconds and dollars.

    \b
    Examples:
      iterativectl doctor
      iterativectl doctor --project portrait
      iterativectl doctor --project portrait --judge
      iterativectl doctor --project portrait --format json

    \b
    Exit codes: 0 no failure, 1 a failure was found, 2 there is no such project.
    """
    if judge and project is None:
        raise click.UsageError("--judge needs --project NAME: it is tried on that project's rules and picture")
    from .checkup import FAILURE, count
    from .doctor_machine import interpreter

    first = list(interpreter())
    if count(first, FAILURE):  # what follows would not even be imported
        click.echo(_told(first, form, project))
        raise SystemExit(1)
    from .guard import guarded

    raise SystemExit(guarded(lambda: _doctor(project, form, judge, workspace)))


def _doctor(project: Optional[str], form: str, judge: bool, option: Optional[str]) -> int:
    import os
    from pathlib import Path

    from .checkup import FAILURE, count
    from .doctor import examine
    from .workspace import Workspace

    home = Workspace.find(option, os.environ, Path.cwd())
    checks = examine(home, project, os.environ, option)
    figures: Optional[Dict[str, Any]] = None
    if judge and project is not None:
        if form == "text":  # what is known already, before the minutes that the model takes
            click.echo("\n".join(line for check in checks for line in _lines(check)))
        more, figures = _judge(home, project, checks)
        checks = [*checks, *more]
        told = _as_text(more, checks) if form == "text" else _as_json(checks, project, {"judge": figures})
    else:
        told = _told(checks, form, project)
    click.echo(told)
    return 1 if count(checks, FAILURE) else 0


def _judge(home: Workspace, project: str, checks: Sequence[Check]) -> Tuple[Sequence[Check], Optional[Dict[str, Any]]]:
    """Try the judge, unless something is missing that it needs; progress goes to stderr."""
    import os

    from .checkup import FAILURE, warning
    from .doctor_judge import try_at_leisure
    from .setup import read_setup

    spare = ("comfyui", "comfyui memory", "comfyui queue", "names")  # the judge does without a generator
    needed = [check.name for check in checks if check.state == FAILURE and check.name not in spare]
    if needed:
        return [warning("judge", f"not tried, as {', '.join(dict.fromkeys(needed))} failed", "mend that first")], None
    with _warnings_on_stderr():
        found = try_at_leisure(read_setup(home.project(project)), os.environ, _progress)
    return found.checks, found.figures.as_dict() if found.figures else None


def _progress(text: str) -> None:
    click.echo(f"judge: {text} ...", err=True)


@contextlib.contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    """Retries and waits are told of as they happen."""
    import logging

    from .streams import clean

    class Shown(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _progress(clean(record.getMessage()))

    handler, logger = Shown(logging.WARNING), logging.getLogger("imagination")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _told(checks: Sequence[Check], form: str, project: Optional[str]) -> str:
    return _as_json(checks, project) if form == "json" else _as_text(checks, checks)


def _as_json(checks: Sequence[Check], project: Optional[str], more: Optional[Dict[str, Any]] = None) -> str:
    import json

    from .checkup import STATES, count

    counts = {state: count(checks, state) for state in STATES}
    told = {"project": project, "counts": counts, "checks": [check.as_dict() for check in checks], **(more or {})}
    return json.dumps(told, indent=2, ensure_ascii=True)


def _as_text(shown: Sequence[Check], checks: Sequence[Check]) -> str:
    """The lines of `shown`, and the sum of all `checks`."""
    from .checkup import FAILURE, WARNING, count

    counts = ((state, count(checks, state)) for state in (FAILURE, WARNING))
    told = [f"{number} {state}{'' if number == 1 else 's'}" for state, number in counts if number]
    return "\n".join([*(line for check in shown for line in _lines(check)), "", ", ".join(told) or "all is well"])


def _lines(check: Check) -> List[str]:
    """State, name and text in columns; what mends it below."""
    state = click.style(f"{check.state:<{STATE}}", fg=COLOURS[check.state], bold=check.state != "ok" or None)
    texts = _wrapped(check.text, "") + (_wrapped(check.mend, "> ") if check.mend else [])
    heads = [state + f"{check.name:<{NAME}}"] + [" " * (STATE + NAME)] * (len(texts) - 1)
    return [(head + text).rstrip() for head, text in zip(heads, texts)]


def _wrapped(text: str, start: str) -> List[str]:
    """Text in the third column. A server's words are data: no control characters. Paths and commands are not broken."""
    import textwrap

    cleaned = "".join(c if c.isprintable() else " " for c in text)[:2000]
    return textwrap.wrap(
        " ".join(cleaned.split()),
        WIDTH - STATE - NAME,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]
