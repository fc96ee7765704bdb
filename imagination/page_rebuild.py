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
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple

from typing_extensions import get_args

from . import images, pages
from .config import load_rules, rules_hash
from .disk import read_json, write_bytes
from .errors import ImaginationError, StoreError
from .holding import Yardstick
from .model import Checkpoint, EndedBy, Evaluation, Metadata, Rules, RunStatus
from .page_extras import ENDING, extras
from .page_rows import block_of
from .reading import MAX_PICTURE, read_bytes
from .resume import best_of_made, totals_of
from .scoring import never_met
from .store import Run, Store

log = logging.getLogger(__name__)
ENDS = get_args(EndedBy)
SILENCE = 600  # s: a head that says "running" and is older than this belongs to a run that was killed
Known = List[Tuple[Metadata, Optional[Evaluation]]]


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
        rules = self._rules()
        known = list(self._readable())
        standing = checkpoint or self._recalled(known, rules)
        yardstick = _yardstick(standing.rules_sha256, rules, standing.input_sha256)
        evaluations = [yardstick.made_from(m.input_sha256).seen(evaluation) for m, evaluation in known if evaluation]
        missing = never_met(rules.acceptance_criteria if rules else [], evaluations)
        pages.write_head(self.run, self.store.project.name, rules, standing, missing)

    def _rules(self) -> Optional[Rules]:
        try:
            return load_rules(self.run.root / "inputs" / "rules.yaml").record
        except ImaginationError as err:
            log.info("the page goes without the criteria of %s: %s", self.name, err)
            return None

    def _readable(self) -> Iterator[Tuple[Metadata, Optional[Evaluation]]]:
        for number in self.numbers:
            with contextlib.suppress(StoreError):
                metadata = self.run.metadata(number)
                if metadata is not None:
                    yield metadata, self._evaluation(number)

    def _evaluation(self, number: int) -> Optional[Evaluation]:
        with contextlib.suppress(StoreError):
            return self.run.evaluation(number)
        return None

    def _checkpoint(self) -> Optional[Checkpoint]:
        try:
            checkpoint = self.store.read_checkpoint()
        except StoreError:
            return None
        return checkpoint if checkpoint and checkpoint.run_id == self.run.run_id else None

    def _recalled(self, known: Known, rules: Optional[Rules]) -> Checkpoint:
        """The state of a run whose resume point has made way for a later run's, or is damaged."""
        rules_sha256 = _in_force(known, rules)
        last = known[-1][0] if known else None
        input_sha256 = last.input_sha256 if last else ""
        begun = _begun(self.run)
        ending = _ending(self.run)
        return Checkpoint(
            run_id=self.run.run_id,
            status="exhausted" if ending else self._ended(known, rules, rules_sha256),
            **ending,
            last_iteration=max(self.numbers),
            started_at=begun,
            updated_at=last.timestamp if last else begun,
            rules_sha256=rules_sha256,
            input_sha256=input_sha256,
            totals=totals_of(metadata for metadata, _ in known),
            **self._best(known, _yardstick(rules_sha256, rules, input_sha256)),
        )

    def _best(self, known: Known, yardstick: Yardstick) -> Dict[str, Any]:
        """By score, or as the final comparison has it."""
        found = {metadata.iteration: evaluation for metadata, evaluation in known}
        with contextlib.suppress(StoreError):
            final = self.run.final_comparison()
            winner = found.get(final.winner) if final else None
            if final and winner:
                return {"best_iteration": final.winner, "best_score": yardstick.seen(winner).overall_score}
        return best_of_made(known, yardstick)

    def _ended(self, known: Known, rules: Optional[Rules], rules_sha256: str) -> RunStatus:
        """Its output was put aside with it and tells whether it passed; else its last verdicts and its length do."""
        with contextlib.suppress(StoreError):
            if (read_json(self.run.root / "output" / "output_metadata.json") or {}).get("result") == "passed":
                return "passed"
        verdict = known[-1][1] if known else None
        if verdict is not None and verdict.all_pass and verdict.rules_sha256 == rules_sha256:
            return "passed"
        return "exhausted" if rules and max(self.numbers) >= rules.project.max_iterations else "stopped"


def _ending(run: Run) -> Dict[str, Any]:
    """Why a run ended without a pass, as the output that was put aside with it tells; nothing where it does not."""
    told: Dict[str, Any] = {}
    with contextlib.suppress(StoreError):
        told = read_json(run.root / "output" / "output_metadata.json") or {}
    if told.get("ended_by") not in ENDS:
        return {}
    return {key: told[key] for key in ENDING if isinstance(told.get(key), str)}


def _names(folder: Path) -> Set[str]:
    with contextlib.suppress(OSError):
        return {path.name for path in folder.iterdir()}
    return set()


def _in_force(known: Known, rules: Optional[Rules]) -> str:
    """The rules whose verdicts count: those the run kept, or, where no verdict names them, those of the last verdict.

    (A later version of this program may put the same rules into another fingerprint.)
    """
    named = [evaluation.rules_sha256 for _, evaluation in known if evaluation]
    own = rules_hash(rules) if rules else ""
    return own if own in named or not named else named[-1]


def _yardstick(rules_sha256: str, rules: Optional[Rules], input_sha256: str) -> Yardstick:
    """What verdicts are measured by; without rules only those under the same whole count."""
    return Yardstick(rules_sha256, Yardstick.of(rules).criteria if rules else {}, input_sha256)


def _begun(run: Run) -> float:
    """When a run was begun, in seconds since 1970: its id is that moment in local time, unless somebody has renamed it."""
    try:
        return time.mktime(time.strptime(run.run_id[:19], "%Y-%m-%d_%H-%M-%S"))
    except (ValueError, OverflowError):
        return run.root.stat().st_mtime
