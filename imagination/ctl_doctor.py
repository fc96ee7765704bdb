"""`iterativectl doctor`: tells what `doctor` finds. Only click is imported, since a missing package is one of the findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional, Sequence

import click

from .completion import project_option, workspace_option

if TYPE_CHECKING:
    from .checkup import Check

COLOURS = {"ok": "green", "warning": "yellow", "failure": "red"}
WIDTH = 80
STATE, NAME = 9, 16  # columns


@click.command()
@project_option("Look over projects/NAME and the servers it names (default: the templates').", required=False)
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="text (default), or json for scripts."
)
@workspace_option()
def doctor(project: Optional[str], form: str, workspace: Optional[str]) -> None:
    """Find what keeps a run from starting, and what mends it.

    Looks at Python, packages, disk, files, the picture, ComfyUI, and the vision
    model with its fallback. Nothing is changed, and no model is asked anything.

    \b
    Examples:
      iterativectl doctor
      iterativectl doctor --project portrait
      iterativectl doctor --project portrait --format json

    \b
    Exit codes: 0 no failure, 1 a failure was found, 2 there is no such project.
    """
    from .checkup import FAILURE, count
    from .doctor_machine import interpreter

    first = list(interpreter())
    if count(first, FAILURE):  # what follows would not even be imported
        click.echo(_told(first, form, project))
        raise SystemExit(1)
    from .runner import guarded

    raise SystemExit(guarded(lambda: _doctor(project, form, workspace)))


def _doctor(project: Optional[str], form: str, option: Optional[str]) -> int:
    import os
    from pathlib import Path

    from .checkup import FAILURE, count
    from .doctor import examine
    from .workspace import Workspace

    checks = examine(Workspace.find(option, os.environ, Path.cwd()), project, os.environ, option)
    click.echo(_told(checks, form, project))
    return 1 if count(checks, FAILURE) else 0


def _told(checks: Sequence[Check], form: str, project: Optional[str]) -> str:
    return _as_json(checks, project) if form == "json" else _as_text(checks)


def _as_json(checks: Sequence[Check], project: Optional[str]) -> str:
    import json

    from .checkup import STATES, count

    counts = {state: count(checks, state) for state in STATES}
    told = {"project": project, "counts": counts, "checks": [check.as_dict() for check in checks]}
    return json.dumps(told, indent=2, ensure_ascii=True)


def _as_text(checks: Sequence[Check]) -> str:
    from .checkup import FAILURE, WARNING, count

    counts = ((state, count(checks, state)) for state in (FAILURE, WARNING))
    told = [f"{number} {state}{'' if number == 1 else 's'}" for state, number in counts if number]
    return "\n".join([*(line for check in checks for line in _lines(check)), "", ", ".join(told) or "all is well"])


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
