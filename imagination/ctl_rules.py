"""`iterativectl rules`: looking rules over. What is found is `advice`'s business, here it is told; `suggest` has a module.

Only click is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional

import click

from .completion import project_option, workspace_option
from .ctl_suggest import suggest

if TYPE_CHECKING:
    from .findings import Finding
    from .workspace import Project

COLOURS = {"error": "red", "warning": "yellow", "hint": "cyan"}
WIDTH = 80


@click.group()
def rules() -> None:
    """Look a project's rules over, and improve them.

    \b
    Examples:
      iterativectl rules check --project demo
      iterativectl rules check --project demo --format json
      iterativectl rules suggest --project demo --apply
    """


rules.add_command(suggest)


@rules.command()
@project_option("Look over projects/NAME/config/rules.yaml.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="text (default), or json for editors and CI.",
)
@workspace_option()
def check(project: str, form: str, workspace: Optional[str]) -> None:
    """Find what makes a run fail later.

    Contradicting terms, fields in both lists, missing intents, bounds that every
    answer meets or none does. Hints are guesses from the wording.

    \b
    Examples:
      iterativectl rules check --project demo
      iterativectl rules check --project demo --format json

    \b
    Exit codes: 0 no error, 1 an error was found, 2 there is no such project.
    """
    from .guard import guarded

    raise SystemExit(guarded(lambda: _check(project, form, workspace)))


def _check(name: str, form: str, workspace: Optional[str]) -> int:
    import os
    from pathlib import Path

    from .advice import look_over
    from .findings import count
    from .workspace import Workspace

    project = Workspace.find(workspace, os.environ, Path.cwd()).project(name)
    findings = look_over(project.rules, project.name)
    click.echo(_as_json(project, findings) if form == "json" else _as_text(project, findings))
    return 1 if count(findings, "error") else 0


def _as_json(project: Project, findings: List[Finding]) -> str:
    import json

    from .findings import SEVERITIES, count

    told = {
        "project": project.name,
        "file": str(project.rules),
        "counts": {severity: count(findings, severity) for severity in SEVERITIES},
        "findings": [finding.as_dict() for finding in findings],
    }
    return json.dumps(told, indent=2, ensure_ascii=True)


def _as_text(project: Project, findings: List[Finding]) -> str:
    from .findings import SEVERITIES, count

    counts = ((severity, count(findings, severity)) for severity in SEVERITIES)
    told = [f"{number} {severity}{'' if number == 1 else 's'}" for severity, number in counts if number]
    lines = [line for finding in findings for line in (*_shown(finding), "")]
    return "\n".join([*lines, f"{project.name}: {', '.join(told) or 'nothing to find fault with'}"])


def _shown(finding: Finding) -> List[str]:
    """`file:line: severity: key`, as editors and CI know it from compilers; below it the reason and what to do."""
    from .streams import clean

    severity = click.style(finding.severity, fg=COLOURS[finding.severity], bold=True)
    key = f" {clean(finding.key)}" if finding.key else ""
    head = f"{clean(finding.file)}:{finding.line}: {severity}:{key} [{finding.code}]"
    return [head, *_wrapped(finding.reason, "  "), *_wrapped(finding.advice, "  > ")]


def _wrapped(text: str, start: str) -> List[str]:
    import textwrap

    from .streams import clean

    return textwrap.wrap(
        clean(text, 2000),
        WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )
