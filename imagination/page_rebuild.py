"""What the viewer needs and is not there, or is older than its artefact (a run was killed between the two): written anew,
at the start of a run, of the viewer, of a report.

Where nothing is missing this is a look at each folder, each iteration's age and each block of rows. What cannot be read is
left out and logged: one damaged artefact hides no other.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Set

from . import images, pages
from .disk import write_bytes
from .errors import ImaginationError, StoreError
from .model import Checkpoint
from .page_extras import extras
from .page_rows import block_of
from .reading import MAX_PICTURE, read_bytes
from .recall import readable, recalled, rules_of, yardstick
from .scoring import never_met
from .store import Run, Store

log = logging.getLogger(__name__)
SILENCE = 600  # s: a head that says "running" and is older than this belongs to a run that was killed


def rebuild_all(projects: Path) -> None:
    """Everything of every project, and the index. A folder that cannot be read or written is shown as it is."""
    if not projects.is_dir():
        return
    try:
        for folder in sorted(p for p in projects.iterdir() if p.is_dir() and not p.name.startswith(".")):
            _try(f"project {folder.name}", rebuild, Store(folder))
        pages.write_index(projects)
    except (StoreError, OSError) as err:
        log.warning("the viewer's files could not be written: %s", err)


def rebuild(store: Store) -> None:
    """Everything of one project's runs."""
    for run in store.runs():
        _Rebuild(store, run).all()


def _try(what: str, make: Callable[..., None], *of: Any) -> None:
    """Make one thing; if that cannot be, the others are made all the same."""
    try:
        make(*of)
    except (ImaginationError, OSError) as err:
        log.info("the page goes without %s: %s", what, err)


class _Rebuild:
    """One run's files for the page, as far as they are not there."""

    def __init__(self, store: Store, run: Run) -> None:
        self.store = store
        self.run = run
        self.name = f"run {run.run_id}"
        self.numbers = run.iterations()

    def all(self) -> None:
        """Scripts, thumbnails and rows first: the head tells which rows there are."""
        scripts, thumbs = _names(self.run.root / "scripts"), _names(self.run.root / "thumbs")
        for number in self.numbers:
            if pages.is_behind(pages.script_file(self.run, number), self.run.file("metadata", number)):
                _try(f"iteration {number} of {self.name}", self._script, number)
            if pages.thumb_file(self.run, number).name not in thumbs:
                _try(f"thumbnail {number} of {self.name}", self._thumb, number)
        blocks = {int(found[1]) for found in (re.fullmatch(r"block_(\d+)\.js", name) for name in scripts) if found}
        for block in sorted(blocks | {block_of(number) for number in self.numbers}):
            _try(f"block {block} of {self.name}", self._block, block)
        _try(f"the input's thumbnail of {self.name}", self._input_thumb)
        _try(f"the head of {self.name}", self._head)

    # --- iterations -------------------------------------------------------------------------------------------------------

    def _script(self, number: int) -> None:
        metadata = self.run.metadata(number)
        if metadata is not None:
            pages.write_iteration(self.run, metadata)

    def _thumb(self, number: int) -> None:
        png = self.run.read_image(number)
        if png is not None:
            images.check_result(png)
            pages.write_thumb(self.run, number, png)

    def _block(self, block: int) -> None:
        """A row for each iteration, and none for those that were set aside."""
        rows = pages.rows_now(self.run, block, [number for number in self.numbers if block_of(number) == block])
        if not rows:
            with contextlib.suppress(FileNotFoundError):
                pages.block_file(self.run, block).unlink()
        elif rows != pages.read_rows(self.run, block):
            pages.write_rows(self.run, block, rows)

    def _input_thumb(self) -> None:
        """Made anew also where --resume-from has put another picture in."""
        target, source = self.run.root / "thumbs" / "input.webp", self.run.root / "inputs" / "input.png"
        if not source.is_file() or (target.is_file() and target.stat().st_mtime_ns >= source.stat().st_mtime_ns):
            return
        picture = read_bytes(source, MAX_PICTURE)
        images.check_result(picture)
        write_bytes(target, images.thumbnail(picture), durable=False)

    # --- the head ---------------------------------------------------------------------------------------------------------

    def _head(self) -> None:
        """Made anew where it is missing or behind the resume point, else only what is around it is brought up to date."""
        head, checkpoint = pages.read_head(self.run), self._checkpoint()
        last = checkpoint.last_iteration if checkpoint else None
        if head is None or last not in (None, head["last_iteration"]):
            if self.numbers or checkpoint:
                self._new_head(checkpoint)
        elif not self._is_followed(head):
            now = {**head, **(pages.standing(checkpoint) if checkpoint else {})}
            now.update(extras(self.run, now["status"]))
            blocks, saved_at = pages.stamps(self.run, head["last_iteration"]), pages.ranking_time(self.run)
            if now != head or blocks != head["blocks"] or saved_at != head["ranking_saved_at"]:
                pages.write_head_data(self.run, now)

    def _is_followed(self, head: Dict[str, Any]) -> bool:
        """Does a process write it after each iteration? One that was killed says "running" for ever."""
        updated = head["updated_at"]
        recent = isinstance(updated, (int, float)) and time.time() - updated < SILENCE
        return head["status"] == "running" and recent and self.store.is_held()

    def _new_head(self, checkpoint: Optional[Checkpoint]) -> None:
        """From the resume point if it is this run's; for an earlier run, from what its artefacts tell."""
        rules, known = rules_of(self.run), readable(self.run)
        standing = checkpoint or recalled(self.run, rules, known)
        measured_by = yardstick(standing.rules_sha256, rules, standing.input_sha256)
        evaluations = [measured_by.made_from(m.input_sha256).seen(evaluation) for m, evaluation in known if evaluation]
        missing = never_met(rules.acceptance_criteria if rules else [], evaluations)
        pages.write_head(self.run, self.store.project.name, rules, standing, missing)

    def _checkpoint(self) -> Optional[Checkpoint]:
        try:
            checkpoint = self.store.read_checkpoint()
        except StoreError:
            return None
        return checkpoint if checkpoint and checkpoint.run_id == self.run.run_id else None


def _names(folder: Path) -> Set[str]:
    with contextlib.suppress(OSError):
        return {path.name for path in folder.iterdir()}
    return set()
