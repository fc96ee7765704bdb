"""The projects of a workspace at a glance: state, last run, best score. Reads checkpoints, writes nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional

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
        return Glance(name, path, "running" if store.is_held() else "new", len(runs), newest)
    return Glance(
        name,
        path,
        state_of(checkpoint, store.is_held()),
        len(runs),
        checkpoint.run_id,
        checkpoint.updated_at,
        checkpoint.last_iteration,
        checkpoint.best_score,
        checkpoint.best_iteration,
        ended_by=checkpoint.ended_by,
    )


def state_of(checkpoint: Checkpoint, held: bool) -> str:
    """The state as a person calls it: a run that nobody works on any more has stopped, whatever its last word was."""
    if held:
        return "running"
    return "stopped" if checkpoint.status == "running" else checkpoint.status
