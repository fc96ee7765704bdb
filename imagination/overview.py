"""The projects of a workspace at a glance: state, last run, best score. Reads checkpoints, writes nothing."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional

from .disk import read_json
from .errors import ImaginationError
from .model import Checkpoint
from .store import Store
from .workspace import Workspace


@dataclass(frozen=True)
class Glance:
    """A project in one line. The score and the iterations are those of its last run."""

    name: str
    path: str
    state: str  # new, running, stopped, passed, exhausted, damaged
    runs: int = 0
    last_run: Optional[str] = None
    updated_at: Optional[float] = None  # seconds since 1970
    iterations: int = 0
    best_score: Optional[float] = None
    best_iteration: Optional[int] = None
    problem: Optional[str] = None  # why it is damaged
    ended_by: Optional[str] = None  # what ended an exhausted run: iterations, cost, time …

    def as_dict(self) -> Dict[str, Any]:
        """For `--format json`."""
        return asdict(self)


def survey(workspace: Workspace) -> List[Glance]:
    """All projects, by name. One whose run state cannot be read is told of as damaged, and the others all the same."""
    return [_glance(workspace, name) for name in workspace.names()]


def _glance(workspace: Workspace, name: str) -> Glance:
    store = Store(workspace.projects / name)
    path = str(store.project)
    runs = store.runs()
    newest = runs[-1].run_id if runs else None
    try:
        checkpoint = store.read_checkpoint()
    except ImaginationError as err:
        return Glance(name, path, "damaged", len(runs), newest, problem=err.message)
    if checkpoint is None:
        return Glance(name, path, "running" if at_work(store) else "new", len(runs), newest)
    return Glance(
        name,
        path,
        state_of(checkpoint, at_work(store)),
        len(runs),
        checkpoint.run_id,
        checkpoint.updated_at,
        checkpoint.last_iteration,
        checkpoint.best_score,
        checkpoint.best_iteration,
        ended_by=checkpoint.ended_by,
    )


def state_of(checkpoint: Checkpoint, at_work: bool) -> str:
    """The state as a person calls it: a run that nobody works on any more has stopped, whatever its last word was."""
    if at_work:
        return "running"
    return "stopped" if checkpoint.status == "running" else checkpoint.status


def at_work(store: Store) -> bool:
    """Say whether a process holds the project. One that was killed leaves its note behind, so its pid is looked for."""
    try:
        pid = (read_json(store.working / ".run.lock.json") or {}).get("pid")
    except ImaginationError:
        return False
    if type(pid) is not int or pid <= 0:
        return False
    if os.name == "nt":
        return True  # asking for a pid would end the process there
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # it is there, and somebody else's
    return True
