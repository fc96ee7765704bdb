"""`iterativectl report`: a run as one HTML file. Only click is imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Tuple

import click

from .cli import CONTEXT
from .completion import project_option, run_ids, workspace_option

if TYPE_CHECKING:
    from pathlib import Path

    from .store import Run, Store


@click.command(context_settings=CONTEXT)
@project_option("Tell of a run of projects/NAME.")
@click.option(
    "--run", "run_id", metavar="RUN_ID", shell_complete=run_ids, help="Which run (default: the newest with a picture)."
)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Where to write it (default: report.html in the run).",
)
@workspace_option()
def report(project: str, run_id: Optional[str], output: Optional[str], workspace: Optional[str]) -> None:
    """Write a run as one HTML file that can be mailed and opened anywhere.

    Pictures are inside, reduced; there is no script and nothing is loaded from the network.

    \b
    Examples:
      iterativectl report --project demo
      iterativectl report --project demo --run 2026-01-09_22-25-59
      iterativectl report --project demo --output demo.html
    """
    from .guard import guarded

    def act() -> int:
        path, size = _write(project, run_id, output, workspace)
        click.echo(f"{path} ({size / 1e6:.1f} MB)")
        return 0

    raise SystemExit(guarded(act))


def _write(project: str, run_id: Optional[str], output: Optional[str], workspace: Optional[str]) -> Tuple[Path, int]:
    import os
    from pathlib import Path

    from .disk import write_bytes
    from .page_rebuild import rebuild
    from .report import page
    from .report_read import read_run
    from .store import Store
    from .workspace import Workspace, expanded

    home = Workspace.find(workspace, os.environ, Path.cwd())
    store = Store(home.project(project).root)
    run = _run(store, run_id, home.option())
    rebuild(store)
    data = page(read_run(run, _head(run))).encode("utf-8")
    path = expanded(output) if output else run.root / "report.html"
    write_bytes(Path(os.path.realpath(str(path))), data)  # a link stays one, as /dev/stdout is
    return path, len(data)


def _run(store: Store, run_id: Optional[str], option: str) -> Run:
    import shlex

    from .errors import ConfigError, StoreError

    name = store.project.name
    runs = [run for run in store.runs() if run.iterations()]
    if not runs:
        begun = store.read_checkpoint()
        if begun is not None and not store.run(begun.run_id).root.is_dir():
            raise StoreError(
                f"the folder of run {begun.run_id} is not there: {store.run(begun.run_id).root}", "put it back"
            )
        raise ConfigError(
            f"{name} has no run with an iteration yet",
            f"start one with: iterativectl run --project {shlex.quote(name)}{option}",
        )
    if run_id is None or run_id == "latest":
        return runs[-1]
    found = next((run for run in runs if run.run_id == run_id), None)
    if found is None:
        known = ", ".join(run.run_id for run in reversed(runs[-5:]))
        raise ConfigError(f"{name} has no run {run_id[:60]!r} with an iteration", f"its last runs: {known}")
    return found


def _head(run: Run) -> Any:
    from .errors import StoreError
    from .pages import read_head

    head = read_head(run)
    if head is None:
        raise StoreError(f"what run {run.run_id} was about cannot be read ({run.root / 'inputs' / 'rules.yaml'})")
    return head
