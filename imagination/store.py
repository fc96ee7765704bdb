"""Where every artefact lives, and the resume point. How a file is written, read back and moved is `disk`'s.

Layout and keys: decisions.md, "Files a run writes". What the page needs beside the JSON is `pages`' business.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Type

import yaml
from pydantic import ValidationError

from .config import load_generation
from .disk import Record, is_left, move, read_json, read_record, write_bytes, write_json
from .errors import StoreError
from .model import (
    MOST_ITERATIONS,
    Answers,
    Artefact,
    CachedReply,
    Checkpoint,
    Comparison,
    Evaluation,
    FinalComparison,
    Generation,
    JudgeCheck,
    Metadata,
    Paid,
    Ranking,
    Usage,
)
from .reading import MAX_PICTURE, read_bytes
from .run_lock import hold, is_held

RUN_ID = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(-\d+)?")
KINDS = {"questions": Answers, "evaluation": Evaluation, "comparison": Comparison, "metadata": Metadata}
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the same in C, which most builds of PyYAML have
JUDGE_CHECK, FINAL_COMPARISON = "judge_check.json", "final_comparison.json"  # one of each a run
_NUMBERED = re.compile(r"iteration_([1-9][0-9]{0,8})_metadata\.json")
LOOSE = re.compile(r"iteration_\d+(_\w+)?\.(png|json)")  # the flat layout of the spec's older listing


# --- a project's run state -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Store:
    """The run state of one project."""

    project: Path

    @property
    def working(self) -> Path:
        return self.project / "working"

    @property
    def log_file(self) -> Path:
        return self.project / "logs" / "app.log"

    @property
    def generation_file(self) -> Path:
        """working/AIGen.yaml: the settings in force."""
        return self.working / "AIGen.yaml"

    @property
    def checkpoint_file(self) -> Path:
        """working/checkpoint.json: the resume point."""
        return self.working / "checkpoint.json"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the project for this process. Raises StoreError that names the run holding it."""
        with hold(self.working):
            self._sweep()
            yield

    def is_held(self) -> bool:
        """Say whether a run is at work on the project."""
        return is_held(self.working)

    def _sweep(self) -> None:
        """Remove half-written siblings that a killed process left: they never were anybody's file."""
        for folder in (self.working, self.project / "output"):
            for path in folder.rglob(".*.tmp"):
                with contextlib.suppress(OSError):
                    if is_left(path, time.time()):
                        path.unlink()

    def read_checkpoint(self) -> Optional[Checkpoint]:
        """The resume point, or None before the first run."""
        return read_record(self.checkpoint_file, Checkpoint, "start afresh with --reset")

    def bookings(self) -> int:
        """How often the resume point's `totals` was written."""
        found = self.read_checkpoint()
        return found.bookings if found else 0

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Put the resume point on disk."""
        _still_there(self.working)
        write_json(self.checkpoint_file, checkpoint.model_dump(mode="json"))

    def run(self, run_id: str) -> Run:
        """The folder of a run. Raises StoreError for an id that no run can have."""
        if not RUN_ID.fullmatch(run_id):
            raise StoreError(f"{run_id[:60]!r} is no run id")
        return Run(self.working / run_id, run_id)

    def runs(self) -> List[Run]:
        """All runs, oldest first."""
        if not self.working.is_dir():
            return []
        names = [p.name for p in self.working.iterdir() if p.is_dir() and RUN_ID.fullmatch(p.name)]
        return [self.run(name) for name in sorted(names, key=_age)]

    def new_run(self, now: float) -> Run:
        """Make the folder of a new run: local time, with -2, -3 … when taken."""
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(now))
        for number in range(1, 1000):
            run = self.run(stamp if number == 1 else f"{stamp}-{number}")
            try:
                run.root.mkdir(parents=True)
                return run
            except FileExistsError:
                continue
            except OSError as err:
                raise StoreError(f"{run.root} cannot be made: {err.strerror or err}") from err
        raise StoreError(f"{self.working} has a thousand runs of the same second")

    def read_generation(self) -> Generation:
        """The settings in force, read anew for each iteration: the user may have edited them."""
        return load_generation(self.generation_file).record

    def write_generation(self, generation: Generation) -> None:
        """Put the settings for the next iteration in force."""
        data = generation.model_dump(mode="json")
        text = yaml.dump(data, Dumper=DUMPER, sort_keys=False, allow_unicode=True, width=100)
        head = (
            "# The settings of the next iteration, rewritten after each one. A new run starts from config/AIGen.yaml.\n"
        )
        write_bytes(self.generation_file, (head + text).encode("utf-8"))

    def write_generation_text(self, text: bytes) -> None:
        """Start a run from the configured AIGen.yaml, as the user wrote it."""
        write_bytes(self.generation_file, text)

    # --- output/ ---

    def write_output(self, png: Optional[bytes], metadata: Any) -> None:
        """The best picture so far and what it is; None keeps the one that is there.

        The picture goes first: metadata never tells of one that is not there.
        """
        if png is not None:
            write_bytes(self.project / "output" / "output.png", png)
        write_json(self.project / "output" / "output_metadata.json", metadata)

    def output_told(self, run_id: str) -> Optional[Dict[str, Any]]:
        """What the output is said to be; None when it is another run's than `run_id`, or none."""
        try:
            data = read_json(self.project / "output" / "output_metadata.json") or {}
        except StoreError:
            return None
        return data if data.get("run_id") == run_id else None

    def put_output_aside(self, now: float) -> None:
        """Move an earlier run's output into the folder of the run that made it."""
        output = self.project / "output"
        try:
            owner = str((read_json(output / "output_metadata.json") or {}).get("run_id", ""))
        except StoreError:
            owner = ""
        known = RUN_ID.fullmatch(owner) and (self.working / owner).is_dir()
        aside = (
            self.working / owner / "output"
            if known
            else output / time.strftime("earlier_%Y-%m-%d_%H-%M-%S", time.localtime(now))
        )
        for name in ("output_metadata.json", "output.png"):
            if (output / name).exists():
                move(output / name, aside / name)

    def put_aside(self, path: Path, stamp: str) -> None:
        """Keep a user's file that is about to be replaced, under working/replaced/{stamp}/."""
        move(path, self.working / "replaced" / stamp / path.name)

    def replace_file(self, path: Path, data: bytes, stamp: str) -> None:
        """Write `data` to a user's file; what stood there, if anything, is kept."""
        if path.is_file():
            write_bytes(self.working / "replaced" / stamp / path.name, path.read_bytes())
        write_bytes(path, data)

    def archive_loose(self, now: float) -> Optional[Run]:
        """Move working/iteration_N.* of the old flat layout into a run folder of their own; None where there are none."""
        loose = [p for p in sorted(self.working.glob("iteration_*")) if p.is_file() and LOOSE.fullmatch(p.name)]
        if not loose:
            return None
        run = self.new_run(now)
        for path in loose:
            kind = path.stem.split("_", 2)[2] if path.stem.count("_") > 1 else ""
            folder = "images" if path.suffix == ".png" else kind if kind in KINDS else "metadata"
            move(path, run.root / folder / path.name)
        return run


@dataclass(frozen=True)
class Run:
    """The artefacts of one run."""

    root: Path
    run_id: str

    def image_file(self, iteration: int) -> Path:
        return self.root / "images" / f"iteration_{iteration}.png"

    def file(self, kind: str, iteration: int) -> Path:
        """Path of an artefact; `kind` is a key of KINDS."""
        return self.root / kind / f"iteration_{iteration}_{kind}.json"

    def read_image(self, iteration: int) -> Optional[bytes]:
        try:
            return read_bytes(self.image_file(iteration), MAX_PICTURE)
        except FileNotFoundError:
            return None
        except OSError as err:
            raise StoreError(f"{self.image_file(iteration)} cannot be read: {err.strerror or err}") from err

    def write_image(self, iteration: int, png: bytes) -> None:
        _still_there(self.root)
        write_bytes(self.image_file(iteration), png)

    def write(self, kind: str, record: Artefact) -> None:
        """Put an artefact on disk; `kind` is a key of KINDS."""
        iteration = record.iteration  # type: ignore[attr-defined]  # every kind in KINDS has one
        self._put(self.file(kind, iteration), record.model_dump(mode="json"))

    def answers(self, iteration: int) -> Optional[Answers]:
        return self._numbered("questions", iteration, Answers)

    def evaluation(self, iteration: int) -> Optional[Evaluation]:
        return self._numbered("evaluation", iteration, Evaluation)

    def comparison(self, iteration: int) -> Optional[Comparison]:
        return self._numbered("comparison", iteration, Comparison)

    def metadata(self, iteration: int) -> Optional[Metadata]:
        return self._numbered("metadata", iteration, Metadata)

    def _numbered(self, name: str, iteration: int, kind: Type[Record]) -> Optional[Record]:
        """An artefact of one iteration. Raises StoreError also where it says that it is another's."""
        path = self.file(name, iteration)
        hint = (
            f"put it back, or go on without what it says: rm {shlex.quote(str(path))}\n"
            f"--resume-from {iteration} makes that iteration again, and all after it"
        )
        found = read_record(path, kind, hint)
        said = getattr(found, "iteration", iteration)
        if said != iteration:
            raise StoreError(f"{path} is damaged: iteration: it says {said}, and its name says {iteration}", hint)
        return found

    def judge_check(self) -> Optional[JudgeCheck]:
        return read_record(self.root / JUDGE_CHECK, JudgeCheck)

    def write_judge_check(self, check: JudgeCheck) -> None:
        self._put(self.root / JUDGE_CHECK, check.model_dump(mode="json"))

    def final_comparison(self) -> Optional[FinalComparison]:
        return read_record(self.root / FINAL_COMPARISON, FinalComparison)

    def write_final_comparison(self, found: FinalComparison) -> None:
        self._put(self.root / FINAL_COMPARISON, found.model_dump(mode="json"))

    def cache_file(self, key: str) -> Path:
        """Path of an answer kept for another time; `key` is a sha256."""
        return self.root / "cache" / f"{key}.json"

    def cached(self, key: str) -> Optional[CachedReply]:
        return read_record(self.cache_file(key), CachedReply, "it may be deleted")

    def last_cached(self) -> Optional[CachedReply]:
        """The answer that was kept last; None where there is none, or it cannot be read."""
        with contextlib.suppress(OSError, StoreError):
            newest = max((self.root / "cache").glob("*.json"), key=lambda path: path.stat().st_mtime_ns, default=None)
            return self.cached(newest.stem) if newest else None
        return None

    def write_cached(self, reply: CachedReply) -> None:
        """Not waited for until the disk has it: what a power cut takes is asked for again. ValueError: JSON cannot hold it."""
        self._put(self.cache_file(reply.key), reply.model_dump(), durable=False)

    def paid(self) -> Optional[Usage]:
        """What all requests of the run took; None where it is not known, or cannot be read."""
        with contextlib.suppress(StoreError):
            found = read_record(self.root / "paid.json", Paid)
            return found.usage if found else None
        return None

    def write_paid(self, usage: Usage) -> None:
        """Not waited for until the disk has it: it is written again after the next request."""
        self._put(self.root / "paid.json", Paid(usage=usage).model_dump(mode="json"), durable=False)

    def _put(self, path: Path, value: Any, durable: bool = True) -> None:
        _still_there(self.root)
        write_json(path, value, durable)

    @property
    def ranking_file(self) -> Path:
        return self.root / "human" / "ranking.json"

    def ranking(self) -> Ranking:
        """The human ranking. Raises StoreError where there is none that can be read."""
        data = read_json(self.ranking_file, "mend it there if you wrote it by hand, or rank the iterations again")
        if data is None:
            raise StoreError(
                f"run {self.run_id} has no ranking ({self.ranking_file})", "rank its iterations in the viewer"
            )
        order = data.get("ranking")
        if isinstance(order, list):  # written by hand, numbers may stand without quotes
            order = [str(n) if type(n) is int else n for n in order]
        try:
            return Ranking.model_validate({**data, "ranking": order})
        except ValidationError as err:
            where = ".".join(str(part) for part in err.errors(include_url=False)[0]["loc"])
            raise StoreError(f"{self.ranking_file} is damaged at {where}", "rank the iterations again") from err

    def iterations(self) -> List[int]:
        """Numbers of the iterations that have metadata, in order."""
        found = (_NUMBERED.fullmatch(path.name) for path in (self.root / "metadata").glob("*.json"))
        return sorted(number for number in (int(match[1]) for match in found if match) if number <= MOST_ITERATIONS)

    def supersede(self, first: int, now: float) -> None:
        """Move every artefact of iterations `first` and later to superseded/{time}/."""
        for folder in ("images", "thumbs", "scripts", *KINDS):
            for path in sorted((self.root / folder).glob("iteration_*")):
                match = re.match(r"iteration_(\d+)", path.name)
                if match and int(match[1]) >= first:
                    move(path, self._superseded(now) / folder / path.name)

    def put_aside(self, names: Sequence[str], now: float) -> None:
        """Move files of the whole run there, as far as they are."""
        for name in names:
            if (self.root / name).is_file():
                move(self.root / name, self._superseded(now) / name)

    def _superseded(self, now: float) -> Path:
        return self.root / "superseded" / time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(now))

    def write_inputs(self, files: Mapping[str, bytes], now: float) -> None:
        """What the run runs on, so that later edits of the project do not change what it shows. What it ran on before and
        runs on no more is kept in superseded/{time}/.
        """
        for name, data in files.items():
            path = self.root / "inputs" / name
            if path.is_file() and path.read_bytes() != data:
                write_bytes(self._superseded(now) / "inputs" / name, path.read_bytes())
            write_bytes(path, data)


def _still_there(folder: Path) -> None:
    """Refuse to make a folder anew that was moved or renamed under a run: half of the run would lie in each."""
    if not folder.exists():
        raise StoreError(
            f"{folder} is not there any more: it was moved, renamed or removed",
            "put it back under its name, and the same command goes on",
        )


def _age(run_id: str) -> Any:
    stamp, _, number = run_id[:19], run_id[19:20], run_id[20:]
    return (stamp, int(number or 1))
