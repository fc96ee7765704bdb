"""A long run watched from outside: `python tests/faults/long_run.py 500` prints what grows, and by how much.

Ratios are of the last fifth to the second fifth (the first warms up). Time is in seconds an iteration, the engines being a
process of their own; memory is what the system says that the run's process holds.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence

import yaml
from torture import ROOT, Range

from imagination.page_rows import block_of
from imagination.pages import read_rows
from imagination.store import Store

PAGE = 4096  # bytes that /proc/PID/statm counts by


@dataclass(frozen=True)
class Mark:
    """What was seen when an iteration was on record."""

    iteration: int
    at: float  # s
    memory: int  # bytes
    checkpoint: int  # bytes


def watch(workspace: Path) -> List[Mark]:
    """Run the project to its end and look at it after each iteration. Raises AssertionError if it ends otherwise."""
    command = [sys.executable, str(ROOT / "iterative_imagination.py"), "--project", "p", "--verbose", "--workspace"]
    checkpoint = workspace / "projects" / "p" / "working" / "checkpoint.json"
    marks: List[Mark] = []
    with (workspace / "out.txt").open("wb") as out:
        run = subprocess.Popen([*command, str(workspace)], stdout=out, stderr=out)
        while run.poll() is None:
            with contextlib.suppress(OSError, ValueError, KeyError):
                data = checkpoint.read_bytes()
                last = int(json.loads(data)["last_iteration"])
                held = int(Path(f"/proc/{run.pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE
                if last > (marks[-1].iteration if marks else 0):
                    marks.append(Mark(last, time.monotonic(), held, len(data)))
            time.sleep(0.01)
    data = checkpoint.read_bytes()
    last = int(json.loads(data)["last_iteration"])
    if marks and last > marks[-1].iteration:  # over before it was looked at once more: a busy machine
        marks.append(Mark(last, time.monotonic(), marks[-1].memory, len(data)))
    assert run.returncode == 1, (workspace / "out.txt").read_text(encoding="utf-8")[-2000:]
    return marks


def figures(marks: Sequence[Mark], project: Path) -> Dict[str, Any]:
    """What grew, as ratios, and whether everything is there."""
    fifth = max(2, len(marks) // 5)  # a short run on a busy machine may be seen at few of its iterations
    early, late = (marks[fifth : 2 * fifth], marks[-fifth:]) if len(marks) >= 5 * fifth else (marks, marks)
    seconds = [[b.at - a.at for a, b in zip(part, part[1:])] for part in (early, late)]
    (known,) = Store(project).runs()
    run = known.root
    blocks = range(1, block_of(marks[-1].iteration) + 1)
    return {
        "iterations": marks[-1].iteration,
        "seconds": [round(statistics.median(part), 3) for part in seconds],
        "time": round(statistics.median(seconds[1]) / statistics.median(seconds[0]), 2),
        "memory": round(max(m.memory for m in late) / max(m.memory for m in early), 2),
        "megabytes": round(max(m.memory for m in late) / 1e6),
        "checkpoint": round(max(m.checkpoint for m in late) / max(m.checkpoint for m in early), 2),
        "pictures": len(list((run / "images").iterdir())),
        "scripts": len(list((run / "scripts").glob("iteration_*.js"))),
        "rows": sum(len(read_rows(known, block)) for block in blocks),
        "head_bytes": (run / "run.js").stat().st_size,
        "logs": {path.name: path.stat().st_size for path in sorted((project / "logs").iterdir())},
    }


def measure(iterations: int, folder: Path) -> Dict[str, Any]:
    """The figures of a run of so many iterations."""
    place = Range(folder)
    try:
        workspace = place.workspace()
        rules = workspace / "projects" / "p" / "config" / "rules.yaml"
        data = yaml.safe_load(rules.read_text(encoding="utf-8"))
        data["project"].update(
            max_iterations=iterations, stop_on_conflict=False
        )  # a night by day is one, from some fifty on
        rules.write_text(yaml.safe_dump(data), encoding="utf-8")
        log = workspace / "projects" / "p" / "logs" / "app.log"  # nearly full, so that it has to be turned over
        log.parent.mkdir()
        # how much a run writes hangs on the length of its paths, too: a few iterations must be enough
        log.write_text("a line of an earlier run\n" * 199_900, encoding="utf-8")
        return figures(watch(workspace), workspace / "projects" / "p")
    finally:
        place.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="long-run-") as made:
        print(json.dumps(measure(int(sys.argv[1]), Path(made)), indent=2))
