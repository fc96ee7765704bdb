"""What the viewer needs beside the JSON: scripts that a page opened from disk may load, and thumbnails.

A page under file:// may not `fetch`, so the same facts are written once more as `imagination.receive({...})`:
`projects/index.js` (projects and runs), `working/{run_id}/run.js` (a small head), rows of fifty iterations each for grid
and chart, and one script an iteration with everything. The work per iteration does not grow with the run. All of it can be
rebuilt from the artefacts; `page_rebuild` does.
"""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from . import images
from .bounded_json import loads
from .disk import write_bytes
from .errors import StoreError
from .model import MOST_ITERATIONS, Artefact, Checkpoint, Metadata, Rules
from .page_extras import ENDING, extras
from .page_rows import block_of, numbers_in, row, with_row
from .reading import MAX_JSON, read_bytes
from .store import Run, Store

log = logging.getLogger(__name__)
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")  # what a browser shows
EXACT = 2**53  # a browser's numbers lose digits above


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
    parts, _ = _parts(run, iteration)
    told = {name: record.model_dump(mode="json") for name, record in parts.items()}
    data = {"kind": "iteration", "run_id": run.run_id, "metadata": metadata.model_dump(mode="json"), **told}
    receive(script_file(run, iteration), data)
    block = block_of(iteration)
    # rows whose iteration was set aside by --resume-from go; one whose last writing failed is made up for
    others = [n for n in numbers_in(block) if n != iteration and run.file("metadata", n).is_file()]
    write_rows(run, block, with_row(rows_now(run, block, others), row_of(run, metadata)))


def rows_now(run: Run, block: int, numbers: Iterable[int]) -> List[Dict[str, Any]]:
    """Rows of these iterations of a block: as they were written, or anew where there is none or the metadata is younger."""
    file = block_file(run, block)
    known = {each["iteration"]: each for each in read_rows(run, block)}
    kept = {number: each for number, each in known.items() if not is_behind(file, run.file("metadata", number))}
    return [each for each in (kept.get(number) or _row_anew(run, number) for number in numbers) if each]


def _row_anew(run: Run, number: int) -> Optional[Dict[str, Any]]:
    try:
        metadata = run.metadata(number)
        return row_of(run, metadata) if metadata else None
    except StoreError as err:
        log.info("no row for iteration %d of run %s: %s", number, run.run_id, err)
        return None


def is_behind(file: Path, source: Path) -> bool:
    """Is a file of the page missing, or not younger than what it shows?"""
    written, made = _modified(file), _modified(source)
    return written is None or (made is not None and made >= written)


def _modified(path: Path) -> Optional[int]:
    """ns since 1970; None if there is no such file."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def row_of(run: Run, metadata: Metadata) -> Dict[str, Any]:
    """The row of an iteration from its artefacts; one that cannot be read is named as the row's error."""
    parts, damaged = _parts(run, metadata.iteration)
    made = row(metadata, parts.get("evaluation"), parts.get("comparison"))
    told = f"cannot be read: {', '.join(damaged)}" if damaged else None
    return {**made, "error": made["error"] or told}


def _parts(run: Run, iteration: int) -> Tuple[Dict[str, Any], List[str]]:
    """The artefacts beside the metadata that are there, and the names of those that cannot be read."""
    readers: Mapping[str, Callable[[int], Optional[Artefact]]] = {
        "questions": run.answers,
        "evaluation": run.evaluation,
        "comparison": run.comparison,
    }
    found, damaged = {}, []
    for name, read in readers.items():
        try:
            found[name] = read(iteration)
        except StoreError as err:
            log.info("left out of the page: %s", err)
            damaged.append(name)
    return {name: record for name, record in found.items() if record is not None}, damaged


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


def write_head(
    run: Run, project: str, rules: Optional[Rules], checkpoint: Checkpoint, never_met: Sequence[str]
) -> None:
    """run.js: criteria, state, end, and which row scripts there are. Without `rules`, which cannot be read, no criteria."""
    data = {
        "kind": "run",
        "project": project,
        "max_iterations": rules.project.max_iterations if rules else None,
        "criteria": [c.model_dump(mode="json") for c in rules.acceptance_criteria] if rules else [],
        "questions": [q.model_dump(mode="json") for q in rules.questions] if rules else [],
        "input": "inputs/input.png",
        "never_met": list(never_met),
        **standing(checkpoint),
    }
    write_head_data(run, data)


def standing(checkpoint: Checkpoint) -> Dict[str, Any]:
    """What a head tells of the resume point."""
    return checkpoint.model_dump(mode="json", include={*_SUMMARY, *ENDING, "totals"})


def write_head_data(run: Run, data: Mapping[str, Any]) -> None:
    """run.js from its facts; ranking, judge check, final comparison and the state of the row scripts are looked up."""
    ranking = {"ranking": _ranking(run), "ranking_saved_at": ranking_time(run)}
    found = {**ranking, **extras(run, data["status"])}
    receive(head_file(run), {**data, **found, "blocks": stamps(run, data["last_iteration"])})


def refresh_ranking(run: Run) -> None:
    """Put a just saved ranking into the run's head, for the page that is opened from disk.

    A head that says "running" is left alone: the loop writes it after each iteration anyway, ranking included, and a
    copy of ours could put an older state over a newer one.
    """
    head = read_head(run)
    if head is None or head["status"] == "running":
        return
    write_head_data(run, head)
    if _is_ranked(head) != _is_ranked(read_head(run) or {}):
        write_index(run.root.parents[2])


def read_head(run: Run) -> Optional[Dict[str, Any]]:
    """What run.js says; None where there is none, or one that an older version wrote or something cut short."""
    head = read_script(head_file(run))
    if head is None or not {*_SUMMARY, "totals", "criteria", "never_met", "blocks", "ranking_saved_at"} <= set(head):
        return None
    last = head["last_iteration"]  # there is a row script to look for every fifty of them
    counted = type(last) is int and 0 <= last <= MOST_ITERATIONS
    typed = isinstance(head["criteria"], list) and isinstance(head.get("ranking") or {}, dict)
    return head if counted and typed else None


def ranking_time(run: Run) -> Optional[float]:
    """When the human ranking was saved, in seconds since 1970; None where there is none."""
    try:
        return run.ranking_file.stat().st_mtime
    except OSError:
        return None


def stamps(run: Run, last: int) -> List[str]:
    """One string for each block of a run's `last` iterations, which changes when the block does."""
    return [_stamp(block_file(run, number)) for number in range(1, block_of(last) + 1)] if last > 0 else []


def _stamp(path: Path) -> str:
    """A file that takes another's place has another inode, also where both were written within one tick of the clock."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


def _ranking(run: Run) -> Optional[Any]:
    """The ranking in the spec's shape; None where there is none, or none that can be read (it has a time all the same)."""
    if ranking_time(run) is None:
        return None
    try:
        return run.ranking().model_dump(mode="json")
    except StoreError as err:
        log.info("left out of the page: %s", err)
        return None


def _is_ranked(head: Mapping[str, Any]) -> bool:
    return bool((head.get("ranking") or {}).get("ranking"))


# --- all projects ---------------------------------------------------------------------------------------------------------

_SUMMARY = ("run_id", "status", "last_iteration", "best_iteration", "best_score", "started_at", "updated_at")


def write_index(projects: Path) -> None:
    """projects/index.js: every project with its runs, newest first. Each run's summary is read from its run.js."""
    folders = (p for p in projects.iterdir() if not p.name.startswith("."))  # a dot: one that is being made
    known = sorted(p for p in folders if (p / "config").is_dir() or (p / "working").is_dir())
    receive(projects / "index.js", {"kind": "index", "projects": [_project_summary(folder) for folder in known]})


def _project_summary(folder: Path) -> Dict[str, Any]:
    summaries: List[Optional[Dict[str, Any]]] = []
    try:
        summaries = [_run_summary(run) for run in reversed(Store(folder).runs())]
    except OSError as err:  # a folder that may not be entered hides no other
        log.info("left out of the page: %s", err)
    return {"project": folder.name, "input": _input(folder), "runs": [each for each in summaries if each]}


def _input(project: Path) -> Optional[str]:
    names = sorted(p.name for p in (project / "input").glob("input.*") if p.suffix.lower() in PICTURES)
    best = "input.png" if "input.png" in names else next(iter(names), None)
    return f"input/{best}" if best else None


def _run_summary(run: Run) -> Optional[Dict[str, Any]]:
    """None for a run without a head that has nothing else either."""
    head = read_head(run)
    if head is None and not run.iterations():
        return None
    told = head or {"status": None, "last_iteration": 0, "criteria": [], "never_met": []}
    kept = {key: told.get(key) for key in (*_SUMMARY, "ended_by", "max_iterations", "never_met")}
    return {**kept, "run_id": run.run_id, "criteria": len(told["criteria"]), "ranked": _is_ranked(told)}


# --- scripts --------------------------------------------------------------------------------------------------------------


def read_script(path: Path) -> Optional[Dict[str, Any]]:
    """The data in a script that `receive` wrote; None where there is none, or it is not ours."""
    try:
        text = read_bytes(path, MAX_JSON).decode("utf-8")
        data = loads(text[text.index("(") + 1 : text.rindex(")")])
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def receive(path: Path, data: Mapping[str, Any]) -> None:
    """`<` is escaped so that no text of a model can end the script element, should the file ever be inlined."""
    plain = _exact({"format": 1, **data})
    text = json.dumps(plain, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
    write_bytes(path, f"imagination.receive({text});\n".encode("ascii"), durable=False)


def _exact(value: Any) -> Any:
    """Whole numbers that a browser would round (seeds go up to 2^64) as text; what is no number in JSON as null."""
    if isinstance(value, dict):
        return {key: _exact(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_exact(part) for part in value]
    if isinstance(value, int) and abs(value) > EXACT:
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
