"""What a run may take, and whether it has taken it: iterations, money, time. Pure.

What counts as cost is what servers said of every request of the run, with those of iterations that were set aside and those
whose answers a kill took (see `till`); a request of which no server says anything counts as free. What counts as time is what
processes have worked on the run, each from opening it to its last word on disk: making pictures, waiting in ComfyUI's queue,
asking, pausing between attempts, also for iterations that were set aside. The time in which no process worked does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .model import Checkpoint, EndedBy, ProjectSettings, Usage

PENNY = 1e-9  # USD; sums of costs are a little less than they should be
SHORT = 120.0  # s; a time that is told in seconds


@dataclass(frozen=True)
class UsedUp:
    """A limit that is reached: which one, its key in rules.yaml, and the figures in a sentence."""

    by: EndedBy
    key: str
    told: str

    @property
    def sentence(self) -> str:
        """The figures as a sentence that stands by itself."""
        return f"{self.told[:1].upper()}{self.told[1:]}."


def used_up(project: ProjectSettings, checkpoint: Checkpoint) -> Optional[UsedUp]:
    """The limit that a run has reached, or None while it may make another picture."""
    made, cost = checkpoint.last_iteration, cost_of(checkpoint)
    if made >= project.max_iterations:
        return UsedUp("iterations", "max_iterations", f"it has made all {project.max_iterations} iterations")
    if project.max_cost is not None and cost is not None and is_spent(project, checkpoint):
        limit = f"project.max_cost allows {project.max_cost:g} USD"
        return UsedUp("cost", "max_cost", f"it has cost {cost:.4f} USD, and {limit}")
    if project.max_minutes is not None and checkpoint.worked / 60 >= project.max_minutes:
        limit = f"project.max_minutes allows {project.max_minutes:g}"
        return UsedUp("time", "max_minutes", f"it has worked for {_worked(checkpoint.worked)}, and {limit}")
    return None


def is_spent(project: ProjectSettings, checkpoint: Checkpoint) -> bool:
    """Say whether a run has cost what it may."""
    cost = cost_of(checkpoint)
    return project.max_cost is not None and cost is not None and cost >= project.max_cost - PENNY


def cost_of(checkpoint: Checkpoint) -> Optional[float]:
    """What a run has cost so far, in USD; None where no server has said."""
    return spending(checkpoint).cost


def spending(checkpoint: Checkpoint) -> Usage:
    """What all requests of a run took so far. Of an older version's run it is what its resume point tells."""
    if checkpoint.paid is not None:
        return checkpoint.paid
    pending = checkpoint.pending.usage if checkpoint.pending else Usage()
    return checkpoint.totals.usage + pending + checkpoint.set_aside


def _worked(seconds: float) -> str:
    """A time for people: of a short one the seconds, so that it is not told as less than a limit that it has reached."""
    return f"{seconds / 60:.1f} minutes" if seconds >= SHORT else f"{seconds:.3g} seconds"


def count(number: int, thing: str) -> str:
    """A number of things, for people."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def limits(project: ProjectSettings) -> str:
    """What a run may take, for people."""
    told = [f"up to {count(project.max_iterations, 'iteration')}"]
    told += [f"{project.max_cost:g} USD"] if project.max_cost is not None else []
    told += [f"{project.max_minutes:g} minutes"] if project.max_minutes is not None else []
    return ", ".join(told)
