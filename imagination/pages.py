"""What the viewer needs beside the JSON: scripts that a page opened from disk may load, and thumbnails.

A page under file:// may not `fetch`, so the same facts are written once more as `imagination.receive({...})`:
`projects/index.js` (projects and runs), `working/{run_id}/run.js` (a small head) and one script an iteration, so that the
work per iteration does not grow with the run. All of it can be rebuilt from the artefacts, and `rebuild` does.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Dict, List, Optional

from . import images
from .errors import ImaginationError, StoreError
from .model import Checkpoint, Metadata, Rules
from .store import Run, Store, read_json, write_bytes

log = logging.getLogger(__name__)


def script_file(run: Run, iteration: int) -> Path:
    """The script of one iteration."""
    return run.root / "scripts" / f"iteration_{iteration}.js"


def thumb_file(run: Run, iteration: int) -> Path:
    """The thumbnail of one iteration."""
    return run.root / "thumbs" / f"iteration_{iteration}.webp"


def write_iteration(run: Run, metadata: Metadata) -> None:
    """The script of one iteration: its metadata with the full evaluation, comparison and answers."""
    iteration = metadata.iteration
    parts: Dict[str, Any] = {
        "questions": run.answers(iteration),
        "evaluation": run.evaluation(iteration),
        "comparison": run.comparison(iteration),
    }
    told = {name: record.model_dump(mode="json") for name, record in parts.items() if record is not None}
    data = {"kind": "iteration", "run_id": run.run_id, "metadata": metadata.model_dump(mode="json"), **told}
    _receive(script_file(run, iteration), data)


def write_thumb(run: Run, iteration: int, png: bytes) -> None:
    """A small WebP of a picture, for the grid."""
    write_bytes(thumb_file(run, iteration), images.thumbnail(png), durable=False)


def write_head(run: Run, project: str, rules: Rules, checkpoint: Checkpoint) -> None:
    """run.js: what the page shows before any iteration is loaded."""
    data = {
        "kind": "run",
        "project": project,
        "max_iterations": rules.project.max_iterations,
        "criteria": [c.model_dump(mode="json") for c in rules.acceptance_criteria],
        "questions": [q.model_dump(mode="json") for q in rules.questions],
        "input": "inputs/input.png",
        "ranking": _ranking(run),
        **_summary(checkpoint),
    }
    _receive(run.root / "run.js", data)


def write_index(projects: Path) -> None:
    """projects/index.js: every project with its runs, newest first. Each run's summary is read from its run.js."""
    found: List[Dict[str, Any]] = []
    folders = (p for p in projects.iterdir() if not p.name.startswith("."))  # a dot: one that is being made
    for folder in sorted(p for p in folders if (p / "config").is_dir() or (p / "working").is_dir()):
        runs = [_run_summary(run) for run in reversed(Store(folder).runs())]
        found.append({"project": folder.name, "runs": [summary for summary in runs if summary]})
    _receive(projects / "index.js", {"kind": "index", "projects": found})


def rebuild(store: Store) -> None:
    """Write the scripts and thumbnails of a project's runs that are missing. What cannot be read is left out and logged."""
    for run in store.runs():
        for iteration in run.iterations():
            try:
                _rebuild_iteration(run, iteration)
            except ImaginationError as err:
                log.warning("no page for iteration %d of run %s: %s", iteration, run.run_id, err)


def _rebuild_iteration(run: Run, iteration: int) -> None:
    if not script_file(run, iteration).is_file():
        metadata = run.metadata(iteration)
        if metadata is not None:
            write_iteration(run, metadata)
    if not thumb_file(run, iteration).is_file():
        png = run.read_image(iteration)
        if png is not None:
            images.check_result(png)
            write_thumb(run, iteration, png)


def _summary(checkpoint: Checkpoint) -> Dict[str, Any]:
    kept = {"run_id", "status", "last_iteration", "best_iteration", "best_score", "started_at", "updated_at", "totals"}
    return checkpoint.model_dump(mode="json", include=kept)


def _run_summary(run: Run) -> Optional[Dict[str, Any]]:
    head = read_script(run.root / "run.js")
    if head is None:
        return {"run_id": run.run_id, "status": None} if run.iterations() else None
    kept = ("run_id", "status", "last_iteration", "best_iteration", "best_score", "started_at", "updated_at")
    return {key: head.get(key) for key in kept}


def _ranking(run: Run) -> Optional[Any]:
    try:
        return read_json(run.root / "human" / "ranking.json")
    except StoreError as err:
        log.warning("%s", err)
        return None


def read_script(path: Path) -> Optional[Dict[str, Any]]:
    """The data in a script that `_receive` wrote; None where there is none, or it is not ours."""
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _receive(path: Path, data: Dict[str, Any]) -> None:
    """`<` is escaped so that no text of a model can end the script element, should the file ever be inlined."""
    text = json.dumps({"format": 1, **data}, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
    write_bytes(path, f"imagination.receive({text});\n".encode("ascii"), durable=False)
