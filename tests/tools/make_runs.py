"""Make a workspace with synthetic runs, through the code that real runs use: `python tests/tools/make_runs.py FOLDER`.

For the page's tests and for looking at it: varied scores, failed iterations, pictures nobody judged, criteria without an
answer, prompts that change, long notes, and a model that writes markup. The same call makes the same run.

    run = make_run(root, "garden", iterations=24, status="passed", ranking=["3", "7"])
    make_run(root, "garden", iterations=500, size=(320, 240))
    live = make_run(root, "garden", iterations=3, status="running", max_iterations=9)
    add_iteration(root, "garden")            # the running run grows by one, as the loop would make it grow
    finish_run(root, "garden", "exhausted")  # and ends
    make_run(root, "garden", iterations=6, broken={"script": [2], "evaluation": [4], "block": [1]})
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Union

import yaml

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from run_maker import CRITERIA, HOSTILE, QUESTIONS, START, Maker, Plan, draw
from run_votes import Kind

from imagination import pages
from imagination.disk import write_json
from imagination.model import EndedBy, RunStatus
from imagination.store import FINAL_COMPARISON, JUDGE_CHECK, Run, Store
from imagination.workspace import Workspace

__all__ = [
    "CRITERIA",
    "HOSTILE",
    "PROJECTS",
    "WARNINGS",
    "add_iteration",
    "draw",
    "file_of",
    "finish_run",
    "last_run",
    "make_project",
    "make_run",
    "make_workspace",
    "rank",
    "rejudge",
    "supersede",
]


WARNINGS = (
    "The judge says yes to warm_light and glowing_sky of the unedited original: ask in other words, or use another model.",
    "It answers the same to a grey square: it may not see pictures at all.",
)

# --- the plain way in -----------------------------------------------------------------------------------------------------


PROJECTS: Sequence[Any] = (
    {
        "project": "garden",
        "runs": [
            {"iterations": 7, "status": "stopped", "adaptive": False},
            {"iterations": 24, "status": "passed", "ranking": ["24", "3", "12"], "notes": {"3": "the light!"}},
            {"iterations": 5, "status": "running", "max_iterations": 12},
        ],
    },
    {
        "project": "caf\u00e9 50% #1 [x]",
        "runs": [{"iterations": 4, "status": "exhausted", "ended_by": "conflict", "warnings": WARNINGS}],
    },
    {"project": "portrait", "runs": [{"iterations": 12, "size": (240, 400), "status": "exhausted"}]},
    "empty",
)


def make_workspace(root: Path, projects: Sequence[Union[str, Mapping[str, Any]]] = PROJECTS) -> Path:
    """Make projects with runs in `root`; returns it.

    A project is a name (no run yet), or `{"project": name, "runs": [arguments of make_run, …]}`, oldest run first.
    """
    (root / "projects").mkdir(parents=True, exist_ok=True)
    for each in projects:
        told = {"project": each} if isinstance(each, str) else dict(each)
        make_project(root, told["project"], told.get("criteria"), told.get("size", (320, 240)))
        for arguments in told.get("runs", ()):
            make_run(root, told["project"], **arguments)
    pages.write_index(root / "projects")
    return root


def make_project(
    root: Path, name: str, criteria: Optional[Sequence[Any]] = None, size: Tuple[int, int] = (320, 240)
) -> Path:
    """A project without a run, made as `project create` makes it; one that is there stays as it is."""
    folder = root / "projects" / name
    if not folder.is_dir():
        rules = {"project": {"name": name, "max_iterations": 20}, "acceptance_criteria": list(criteria or CRITERIA)}
        text = yaml.safe_dump({**rules, "questions": QUESTIONS}, sort_keys=False, allow_unicode=True)
        with tempfile.TemporaryDirectory() as place:
            picture = Path(place) / "input.png"
            picture.write_bytes(draw(0, size))
            Workspace(root).create(name, Path(place) / "rules.yaml", text, picture)
    return folder


def make_run(
    root: Path,
    project: str,
    iterations: int = 12,
    size: Tuple[int, int] = (320, 240),
    status: RunStatus = "exhausted",
    broken: Optional[Mapping[str, Any]] = None,
    missing: Optional[Mapping[str, Any]] = None,
    ranking: Optional[Sequence[str]] = None,
    notes: Optional[Mapping[str, str]] = None,
    failed: Optional[Sequence[int]] = None,
    fallback: Optional[Sequence[int]] = None,
    max_iterations: Optional[int] = None,
    hostile: bool = True,
    started: Optional[float] = None,
    index: bool = True,
    adaptive: bool = True,
    ended_by: EndedBy = "iterations",
    warnings: Optional[Sequence[str]] = None,
) -> Run:
    """One more run of a project, which is made where it is not there; returns the run.

    `broken` cuts files in half afterwards, `missing` takes them away: kind to iterations (or block numbers), e.g.
    `{"script": [2], "block": [1], "image": [3], "head": True, "index": True, "ranking": True}`; kinds are those of `file_of`.
    `failed` and `fallback`: iterations without a picture and without a judgement (default: some; never the first or last).
    `status` "passed": the last iteration meets every criterion. A "running" run was started just now.
    `adaptive`: with votes, judge check (and its `warnings`), end (`ended_by`) and final comparison, or as the spec's strategy.
    """
    make_project(root, project, size=size)
    kind = Kind(adaptive, ended_by, warnings)
    maker = Maker.begin(root, project, size, status, iterations, max_iterations, started, hostile, kind)
    for iteration in range(1, iterations + 1):
        plan = Plan.of(iteration, iterations, status, failed, fallback)
        maker.add(plan)
    if ranking is not None or notes is not None:
        rank(maker.run, ranking or (), notes)
    maker.end(status, index)
    for kind, which in (broken or {}).items():
        for path in _files_of(maker.run, kind, which):
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 2])
    for kind, which in (missing or {}).items():
        for path in _files_of(maker.run, kind, which):
            path.unlink()
    return maker.run


def add_iteration(root: Path, project: str, failed: bool = False, fallback: bool = False, passed: bool = False) -> int:
    """Let the project's last run grow by an iteration, files written in the loop's order; returns its number."""
    maker = Maker.resume(root, project)
    iteration = maker.checkpoint.last_iteration + 1
    maker.add(Plan(iteration, failed, fallback, passed))
    maker.write_checkpoint()
    maker.write_head()
    return iteration


def rejudge(root: Path, project: str, iteration: int) -> None:
    """Judge an iteration of the project's last run anew: it meets every criterion but the one that nothing meets."""
    maker = Maker.resume(root, project)
    maker.judge_again(iteration)
    maker.write_checkpoint()
    maker.write_head()


def finish_run(root: Path, project: str, status: RunStatus = "exhausted") -> None:
    """End the project's last run: checkpoint, head and index."""
    Maker.resume(root, project).end(status, index=True)


def supersede(root: Path, project: str, first: int) -> None:
    """Put the project's last run back to before iteration `first`, as `--resume-from` does; it is running then."""
    maker = Maker.resume(root, project)
    maker.run.supersede(first, time.time())
    maker.take_back(first)
    maker.write_checkpoint()
    maker.write_head()


def rank(run: Run, order: Sequence[str], notes: Optional[Mapping[str, str]] = None, updated_at: float = START) -> Path:
    """Write the human ranking of a run as the viewer's server does."""
    write_json(run.ranking_file, {"ranking": list(order), "notes": dict(notes or {}), "updated_at": updated_at})
    return run.ranking_file


def last_run(root: Path, project: str) -> Run:
    """The project's newest run."""
    return Store(root / "projects" / project).runs()[-1]


def file_of(run: Run, kind: str, number: int = 0) -> Path:
    """Where a file of a run lies. `number`: iteration or block; head, index, ranking, input and rules have none."""
    fixed = {
        "head": run.root / "run.js",
        "index": run.root.parents[2] / "index.js",
        "ranking": run.ranking_file,
        "input": run.root / "inputs" / "input.png",
        "input_thumb": run.root / "thumbs" / "input.webp",
        "judge_check": run.root / JUDGE_CHECK,
        "final_comparison": run.root / FINAL_COMPARISON,
        "rules": run.root / "inputs" / "rules.yaml",
        "checkpoint": run.root.parent / "checkpoint.json",
        "script": run.root / "scripts" / f"iteration_{number}.js",
        "block": run.root / "scripts" / f"block_{number}.js",
        "thumb": run.root / "thumbs" / f"iteration_{number}.webp",
        "image": run.image_file(number),
    }
    return fixed[kind] if kind in fixed else run.file(kind, number)


def _files_of(run: Run, kind: str, which: Any) -> List[Path]:
    return [file_of(run, kind)] if which is True else [file_of(run, kind, number) for number in which]


# --- as a command ---------------------------------------------------------------------------------------------------------


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="the workspace; made where it is not there")
    parser.add_argument("--project", help="add one run to this project instead of making the usual workspace")
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--size", default="320x240", help="WIDTHxHEIGHT of the pictures, px")
    parser.add_argument("--status", choices=("running", "passed", "exhausted", "stopped"), default="exhausted")
    told = parser.parse_args(arguments)
    if told.project is None:
        make_workspace(told.folder)
    else:
        width, height = (int(side) for side in told.size.split("x"))
        make_run(told.folder, told.project, told.iterations, (width, height), told.status)
    print(told.folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
