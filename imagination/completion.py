"""What a shell completes for us: project names, run ids, example rules; and the two options every command has.

Called at each press of Tab, so imports are inside, and whatever goes wrong completes to nothing instead of to an error.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, List

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from .workspace import Workspace


def project_option(help: str, required: bool = True) -> Callable[[Any], Any]:
    """`--project NAME`, completed with the names of the workspace's projects."""
    return click.option("--project", metavar="NAME", required=required, help=help, shell_complete=project_names)


def workspace_option() -> Callable[[Any], Any]:
    """`--workspace DIR`, completed with folders."""
    return click.option(
        "--workspace",
        metavar="DIR",
        type=click.Path(),
        shell_complete=_folders,
        help="The folder that holds projects/ (default: the nearest upward).",
    )


def project_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> List[CompletionItem]:
    """Names of the projects of the workspace that the command line means."""
    try:
        names = _workspace(context).names()
    except Exception:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def run_ids(context: click.Context, parameter: click.Parameter, incomplete: str) -> List[CompletionItem]:
    """`latest`, then the runs of `--project`, newest first; those that people ranked are marked."""
    try:
        from .store import Store

        project = _workspace(context).project(str(context.params.get("project") or ""))
        runs = list(reversed(Store(project.root).runs()))
    except Exception:
        runs = []
    found = [CompletionItem("latest", help="the newest run that is ranked")]
    found += [CompletionItem(run.run_id, help="ranked" if run.ranking_file.is_file() else "not ranked") for run in runs]
    return [item for item in found if item.value.startswith(incomplete)]


def example_rules(context: click.Context, parameter: click.Parameter, incomplete: str) -> List[CompletionItem]:
    """Names of the shipped example rules; files where none fits."""
    try:
        from .workspace import example_names

        names = [name for name in example_names() if name.startswith(incomplete)]
    except Exception:
        names = []
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


def _folders(context: click.Context, parameter: click.Parameter, incomplete: str) -> List[CompletionItem]:
    return [CompletionItem(incomplete, type="dir")]


def _workspace(context: click.Context) -> Workspace:
    from .workspace import Workspace

    return Workspace.find(context.params.get("workspace"), os.environ, Path.cwd())
