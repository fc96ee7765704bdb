"""What the viewer needs and is not there: written anew from the artefacts, at the start of a run, of the viewer, of a report.

Where nothing is missing this is a look at each file. What cannot be read is left out and logged: one damaged artefact
hides no other.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from . import images, pages
from .config import load_rules
from .errors import ImaginationError, StoreError
from .model import Checkpoint, Evaluation, Metadata, RunStatus
from .page_rows import block_of, row
from .resume import best_of, totals_of
from .scoring import never_met
from .store import Run, Store, read_json, write_bytes

log = logging.getLogger(__name__)
SILENCE = 600  # s: a head that says "running" and is older than this belongs to a run that was killed


def rebuild_all(projects: Path) -> None:
    """Everything of every project, and the index. A folder that cannot be written is shown as it is."""
    if not projects.is_dir():
        return
    try:
        for folder in sorted(p for p in projects.iterdir() if p.is_dir() and not p.name.startswith(".")):
            rebuild(Store(folder))
        pages.write_index(projects)
    except (StoreError, OSError) as err:
        log.warning("the viewer's files could not be written: %s", err)


def rebuild(store: Store) -> None:
    """Everything of one project's runs."""
    for run in store.runs():
        numbers = run.iterations()
        for iteration in numbers:
            try:
                _iteration(run, iteration)
            except ImaginationError as err:
                log.warning("no page for iteration %d of run %s: %s", iteration, run.run_id, err)
        try:
            _blocks(run, numbers)
            _input_thumb(run)
            _head(store, run, numbers)
        except ImaginationError as err:
            log.warning("no page for run %s: %s", run.run_id, err)


def _iteration(run: Run, iteration: int) -> None:
    if not pages.script_file(run, iteration).is_file():
        metadata = run.metadata(iteration)
        if metadata is not None:
            pages.write_iteration(run, metadata)
    if not pages.thumb_file(run, iteration).is_file():
        png = run.read_image(iteration)
        if png is not None:
            images.check_result(png)
            pages.write_thumb(run, iteration, png)


def _blocks(run: Run, numbers: List[int]) -> None:
    """Blocks with a row for each iteration, and none for those that were set aside."""
    for block in sorted({block_of(number) for number in numbers}):
        wanted = [number for number in numbers if block_of(number) == block]
        known = {each["iteration"]: each for each in pages.read_rows(run, block)}
        if sorted(known) == wanted:
            continue
        rows = [known.get(number) or _row(run, number) for number in wanted]
        pages.write_rows(run, block, [each for each in rows if each])


def _row(run: Run, iteration: int) -> Optional[Dict[str, Any]]:
    try:
        metadata = run.metadata(iteration)
        return row(metadata, run.evaluation(iteration), run.comparison(iteration)) if metadata else None
    except StoreError as err:
        log.warning("no row for iteration %d of run %s: %s", iteration, run.run_id, err)
        return None


def _input_thumb(run: Run) -> None:
    target, source = run.root / "thumbs" / "input.webp", run.root / "inputs" / "input.png"
    if target.is_file() or not source.is_file():
        return
    try:
        picture = source.read_bytes()
    except OSError as err:
        raise StoreError(f"{source} cannot be read: {err.strerror or err}") from err
    images.check_result(picture)
    write_bytes(target, images.thumbnail(picture), durable=False)


# --- the head -------------------------------------------------------------------------------------------------------------


def _head(store: Store, run: Run, numbers: List[int]) -> None:
    head = pages.read_script(pages.head_file(run))
    if head is None or "blocks" not in head:
        if numbers:
            _new_head(store, run, numbers)
    elif head.get("ranking_saved_at") != pages.ranking_time(run) and not _at_work(head):
        pages.write_head_data(run, {key: value for key, value in head.items() if key != "format"})


def _at_work(head: Dict[str, Any]) -> bool:
    updated = head.get("updated_at")
    return head.get("status") == "running" and isinstance(updated, (int, float)) and time.time() - updated < SILENCE


def _new_head(store: Store, run: Run, numbers: List[int]) -> None:
    """From the resume point if it is this run's; for an earlier run, from what its artefacts tell."""
    rules = load_rules(run.root / "inputs" / "rules.yaml").record
    known = list(_readable(run, numbers))
    evaluations = [evaluation for _, evaluation in known if evaluation]
    checkpoint = _checkpoint(store, run) or _recalled(run, known)
    pages.write_head(
        run,
        store.project.name,
        rules,
        checkpoint,
        never_met(rules.acceptance_criteria, evaluations, checkpoint.rules_sha256),
    )


def _readable(run: Run, numbers: List[int]) -> Iterator[Tuple[Metadata, Optional[Evaluation]]]:
    for number in numbers:
        try:
            metadata = run.metadata(number)
            if metadata is not None:
                yield metadata, run.evaluation(number)
        except StoreError as err:
            log.warning("%s", err)


def _checkpoint(store: Store, run: Run) -> Optional[Checkpoint]:
    try:
        checkpoint = store.read_checkpoint()
    except StoreError:
        return None
    return checkpoint if checkpoint and checkpoint.run_id == run.run_id else None


def _recalled(run: Run, known: List[Tuple[Metadata, Optional[Evaluation]]]) -> Checkpoint:
    """The state of a run whose resume point has made way for a later run's."""
    if not known:
        raise StoreError(f"run {run.run_id} has no iteration that can be read")
    last = known[-1][0]
    rules_sha256 = next((e.rules_sha256 for _, e in reversed(known) if e), "")
    best = best_of(((m.iteration, e) for m, e in known), rules_sha256)
    return Checkpoint(
        run_id=run.run_id,
        status=_ended(run),
        last_iteration=last.iteration,
        started_at=known[0][0].timestamp,
        updated_at=last.timestamp,
        rules_sha256=rules_sha256,
        input_sha256="",
        totals=totals_of(m for m, _ in known),
        **best,
    )


def _ended(run: Run) -> RunStatus:
    """Its output was put aside with it and tells whether it passed; else it is taken for one that was given up."""
    try:
        result = (read_json(run.root / "output" / "output_metadata.json") or {}).get("result")
    except StoreError:
        result = None
    return "passed" if result == "passed" else "stopped"
