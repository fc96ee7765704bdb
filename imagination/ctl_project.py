"""`iterativectl project` and `iterativectl demo`: making projects and seeing which there are. Only click is imported."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Sequence

import click

from .completion import example_rules, workspace_option

if TYPE_CHECKING:
    from .creating import Created
    from .overview import Glance
    from .workspace import Workspace

COLOURS = {"passed": "green", "running": "cyan", "stopped": "yellow", "exhausted": "yellow", "damaged": "red"}


@click.group()
def project() -> None:
    """Make projects, and see which there are.

    \b
    Examples:
      iterativectl project create winter --from season-winter --input photo.jpg
      iterativectl project list
    """


@project.command()
@click.argument("name")
@click.option(
    "--from",
    "rules",
    metavar="RULES",
    shell_complete=example_rules,
    help="A rules file, or the name of an example (default: the template's rules).",
)
@click.option("--input", "picture", metavar="IMAGE", type=click.Path(), help="The picture (default: an example).")
@workspace_option()
def create(name: str, rules: Optional[str], picture: Optional[str], workspace: Optional[str]) -> None:
    """Make the project projects/NAME with rules, settings and a picture.

    \b
    Examples:
      iterativectl project create office
      iterativectl project create winter --from season-winter --input photo.jpg
      iterativectl project create mine --from rules/hair-copper.yaml
    """
    from .guard import guarded

    raise SystemExit(guarded(lambda: _create(name, rules, picture, workspace)))


def _create(name: str, rules: Optional[str], picture: Optional[str], workspace: Optional[str]) -> int:
    from .creating import create as make
    from .page_copy import publish

    made = make(_workspace(workspace), name, rules, picture)
    publish(made.project.workspace.root)
    click.echo("\n".join(_told(made, workspace)))
    return 0


def _told(made: Created, workspace: Optional[str]) -> List[str]:
    import shlex

    name, where = shlex.quote(made.project.name), _where(workspace)
    counts = f"{len(made.rules.acceptance_criteria)} criteria, {len(made.rules.questions)} questions"
    inside = made.picture.relative_to(made.project.root).as_posix()
    source = f"{inside}: the example picture, as no --input was given" if made.example else inside
    return [
        f"made     {made.project.root}",
        f"rules    config/rules.yaml: {counts}",
        f"         from {_named(made.source)}",
        f"input    {source}",
        *(["         put your own picture in its place"] if made.example else []),
        "next     name your checkpoint in config/AIGen.yaml and the vision model in",
        "         config/AIVis.yaml, then",
        f"         iterativectl rules check --project {name}{where}",
        f"         iterativectl run --project {name}{where}",
    ]


def _where(workspace: Optional[str]) -> str:
    """--workspace as it was given, for a command that is to be pasted."""
    import shlex

    return f" --workspace {shlex.quote(workspace)}" if workspace else ""


def _named(source: Path) -> str:
    """Where rules came from; what ships with the tool by its name, for nobody looks for it in its folder."""
    from .workspace import shipped

    if source.parent == shipped("rules"):
        return f"the example {source.stem}"
    return "the template" if source.parent == shipped("defaults") / "config" else str(source)


@project.command("list")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="text (default), or json for scripts."
)
@workspace_option()
def list_(form: str, workspace: Optional[str]) -> None:
    """Show the projects: state, last run, its iterations and best score.

    \b
    Examples:
      iterativectl project list
      iterativectl project list --format json

    \b
    States: new (no run yet), running, stopped (`run` goes on with it), passed,
    exhausted (all iterations made, or what ended it before), damaged (the reason
    is on stderr).
    """
    from .guard import guarded

    raise SystemExit(guarded(lambda: _list(form, workspace)))


def _list(form: str, workspace: Optional[str]) -> int:
    from .overview import survey

    found = _workspace(workspace)
    glances = survey(found)
    click.echo(_as_json(found, glances) if form == "json" else _as_table(found, glances))
    for glance in glances:
        if glance.problem:
            from .streams import clean

            click.echo(f"warning: {clean(glance.problem)}", err=True)
    return 0


def _as_json(workspace: Workspace, glances: Sequence[Glance]) -> str:
    import json

    told = {"workspace": str(workspace.root), "projects": [glance.as_dict() for glance in glances]}
    return json.dumps(told, indent=2, ensure_ascii=True)


def _as_table(workspace: Workspace, glances: Sequence[Glance]) -> str:
    if not glances:
        return f"no projects in {workspace.projects}\nmake one: iterativectl project create NAME{workspace.option()}"
    from rich.cells import cell_len

    rows = [("PROJECT", "STATE", "LAST RUN", "ITERATIONS", "BEST"), *(_row(glance) for glance in glances)]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for row in rows:
        cells = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths)]
        cells[1] = click.style(cells[1], fg=COLOURS.get(row[1].split(" ")[0]))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _row(glance: Glance) -> Sequence[str]:
    from .streams import clean

    best = "-"
    if glance.best_iteration is not None:
        score = "not judged" if glance.best_score is None else f"{glance.best_score:g}"
        best = f"{score} (iteration {glance.best_iteration})"
    done = str(glance.iterations) if glance.iterations else "-"
    early = glance.state == "exhausted" and glance.ended_by not in (None, "iterations")
    state = f"{glance.state} ({glance.ended_by})" if early else glance.state
    return clean(glance.name), state, clean(glance.last_run or "-"), done, best


@click.command()
@click.option("--reset", is_flag=True, help="Start a new run, whatever the last one's state. Nothing is deleted.")
@click.option("--verbose", is_flag=True, help="Log in detail to logs/app.log, and show the log.")
@workspace_option()
def demo(reset: bool, verbose: bool, workspace: Optional[str]) -> None:
    """Run the demo project: no GPU, server, key or model is needed.

    It is made in projects/demo where it is not there yet; one that is there is
    left as it is. It runs on built-in engines, which paint and measure; they
    are for trying the tool.

    \b
    Examples:
      iterativectl demo
      iterativectl demo --workspace ~/pictures
    """
    from .guard import guarded

    raise SystemExit(guarded(lambda: _demo(reset, verbose, workspace)))


def _demo(reset: bool, verbose: bool, option: Optional[str]) -> int:
    from .runner import Order, run_command
    from .workspace import shipped

    workspace = _workspace(option)
    if (workspace.projects / "demo").exists():
        click.echo(f"{workspace.projects / 'demo'} is there already and stays as it is")
    else:
        made = workspace.copy_in("demo", shipped("projects/demo"))
        click.echo(f"made {made.root}")
    code = run_command(Order("demo", None, None, None, reset, False, verbose, str(workspace.root)))
    if code in (0, 1):
        click.echo(f"how it came about: iterativectl viewer start --open{_where(option)}")
    return code


def _workspace(option: Optional[str]) -> Workspace:
    from .workspace import Workspace

    return Workspace.find(option, os.environ, Path.cwd())
