"""What the viewer needs beside the JSON: scripts that a page opened from disk may load, and thumbnails.

A page under file:// may not `fetch`, so the same facts are written once more as `imagination.receive({...})`:
`projects/index.js` (projects and runs), `working/{run_id}/run.js` (a small head), rows of fifty iterations each for grid
and chart, and one script an iteration with everything. The work per iteration does not grow with the run. All of it can be
rebuilt from the artefacts; `page_rebuild` does.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from . import images
from .errors import StoreError
from .model import Checkpoint, Metadata, Rules
from .page_rows import block_of, row, with_row
from .store import Run, Store, read_json, write_bytes

log = logging.getLogger(__name__)
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")  # what a browser shows


def script_file(run: Run, iteration: int) -> Path:
    """The script of one iteration."""
    return run.root / "scripts" / f"iteration_{iteration}.js"


def block_file(run: Run, block: int) -> Path:
    """The rows of fifty iterations; `block` counts from 1."""
    return run.root / "scripts" / f"block_{block}.js"


def thumb_file(run: Run, iteration: int) -> Path:
    """The thumbnail of one iteration."""
    return run.root / "thumbs" / f"iteration_{iteration}.webp"


def head_file(run: Run) -> Path:
    """What the page shows of a run before any iteration is loaded."""
    return run.root / "run.js"


# --- one iteration --------------------------------------------------------------------------------------------------------


def write_iteration(run: Run, metadata: Metadata) -> None:
    """The script of one iteration (metadata with the full evaluation, comparison and answers), and its row."""
    iteration = metadata.iteration
    evaluation, comparison = run.evaluation(iteration), run.comparison(iteration)
    parts: Dict[str, Any] = {"questions": run.answers(iteration), "evaluation": evaluation, "comparison": comparison}
    told = {name: record.model_dump(mode="json") for name, record in parts.items() if record is not None}
    data = {"kind": "iteration", "run_id": run.run_id, "metadata": metadata.model_dump(mode="json"), **told}
    receive(script_file(run, iteration), data)
    block = block_of(iteration)
    # rows whose iteration was set aside by --resume-from go
    kept = [each for each in read_rows(run, block) if run.file("metadata", each["iteration"]).is_file()]
    write_rows(run, block, with_row(kept, row(metadata, evaluation, comparison)))


def read_rows(run: Run, block: int) -> List[Dict[str, Any]]:
    """The rows of a block as they were written; none where there is no such script, or it is damaged."""
    rows = (read_script(block_file(run, block)) or {}).get("rows")
    known = rows if isinstance(rows, list) else []
    return [each for each in known if isinstance(each, dict) and isinstance(each.get("iteration"), int)]


def write_rows(run: Run, block: int, rows: Sequence[Dict[str, Any]]) -> None:
    """The rows of a block, in order."""
    receive(block_file(run, block), {"kind": "block", "run_id": run.run_id, "block": block, "rows": list(rows)})


def write_thumb(run: Run, iteration: int, png: bytes) -> None:
    """A small WebP of a picture, for the grid."""
    write_bytes(thumb_file(run, iteration), images.thumbnail(png), durable=False)


# --- one run --------------------------------------------------------------------------------------------------------------


def write_head(run: Run, project: str, rules: Rules, checkpoint: Checkpoint, never_met: Sequence[str]) -> None:
    """run.js: criteria, state, ranking, and which row scripts there are."""
    data = {
        "kind": "run",
        "project": project,
        "max_iterations": rules.project.max_iterations,
        "criteria": [c.model_dump(mode="json") for c in rules.acceptance_criteria],
        "questions": [q.model_dump(mode="json") for q in rules.questions],
        "input": "inputs/input.png",
        "never_met": list(never_met),
        **checkpoint.model_dump(mode="json", include={*_SUMMARY, "totals"}),
    }
    write_head_data(run, data)


def write_head_data(run: Run, data: Dict[str, Any]) -> None:
    """run.js from its facts; the ranking and the state of the row scripts are looked up."""
    last = data["last_iteration"]
    blocks = [_stamp(block_file(run, number)) for number in range(1, block_of(last) + 1)] if last else []
    ranking = {"ranking": _ranking(run), "ranking_saved_at": ranking_time(run)}
    receive(head_file(run), {**data, **ranking, "blocks": blocks})


def refresh_ranking(run: Run) -> None:
    """Put a just saved ranking into the run's head, for the page that is opened from disk.

    A head that says "running" is left alone: the loop writes it after each iteration anyway, ranking included, and a
    copy of ours could put an older state over a newer one.
    """
    head = read_script(head_file(run))
    if head is not None and isinstance(head.get("last_iteration"), int) and head.get("status") != "running":
        write_head_data(run, {key: value for key, value in head.items() if key != "format"})


def ranking_time(run: Run) -> Optional[float]:
    """When the human ranking was saved, in seconds since 1970; None where there is none."""
    try:
        return run.ranking_file.stat().st_mtime
    except OSError:
        return None


def _stamp(path: Path) -> str:
    """Changes when the file does."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _ranking(run: Run) -> Optional[Any]:
    try:
        return read_json(run.ranking_file)
    except StoreError as err:
        log.warning("%s", err)
        return None


# --- all projects ---------------------------------------------------------------------------------------------------------

_SUMMARY = ("run_id", "status", "last_iteration", "best_iteration", "best_score", "started_at", "updated_at")


def write_index(projects: Path) -> None:
    """projects/index.js: every project with its runs, newest first. Each run's summary is read from its run.js."""
    found: List[Dict[str, Any]] = []
    folders = (p for p in projects.iterdir() if not p.name.startswith("."))  # a dot: one that is being made
    for folder in sorted(p for p in folders if (p / "config").is_dir() or (p / "working").is_dir()):
        runs = [_run_summary(run) for run in reversed(Store(folder).runs())]
        found.append(
            {"project": folder.name, "input": _input(folder), "runs": [summary for summary in runs if summary]}
        )
    receive(projects / "index.js", {"kind": "index", "projects": found})


def _input(project: Path) -> Optional[str]:
    names = sorted(p.name for p in (project / "input").glob("input.*") if p.suffix in PICTURES)
    best = "input.png" if "input.png" in names else next(iter(names), None)
    return f"input/{best}" if best else None


def _run_summary(run: Run) -> Optional[Dict[str, Any]]:
    head = read_script(head_file(run))
    if head is None:
        return {"run_id": run.run_id, "status": None} if run.iterations() else None
    kept = {key: head.get(key) for key in (*_SUMMARY, "max_iterations", "never_met")}
    return {**kept, "criteria": len(head.get("criteria") or []), "ranked": bool(head.get("ranking"))}


# --- scripts --------------------------------------------------------------------------------------------------------------


def read_script(path: Path) -> Optional[Dict[str, Any]]:
    """The data in a script that `receive` wrote; None where there is none, or it is not ours."""
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def receive(path: Path, data: Dict[str, Any]) -> None:
    """`<` is escaped so that no text of a model can end the script element, should the file ever be inlined."""
    text = json.dumps({"format": 1, **data}, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
    write_bytes(path, f"imagination.receive({text});\n".encode("ascii"), durable=False)
