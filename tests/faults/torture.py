"""Kills, faults and full disks at every point of a run, and a count of what was lost: `python tests/faults/torture.py`.

Prints its figures as JSON and exits 1 when anything was lost, hung or ended with a traceback. `--every N` looks at each
Nth point only; `--part` picks one of the parts; `--jobs` processes share the work, each with engines of its own.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple
from xml.etree import ElementTree

import yaml
from PIL import Image
from tree import differences, tree
from victim import Act, Ended, filling_disk, full_disk, kill, run, signalled, tear, warm

from imagination import page_rebuild
from imagination.store import Store

ROOT = Path(__file__).resolve().parents[2]
ITERATIONS = 5
TOO_LONG = 3600  # s for a file of tests
NETWORK = ("http.", "socket.")
CACHE, FULL = "/cache/", "disk full"


@dataclass
class Tally:
    """What the torture came to."""

    points: int = 0
    tried: int = 0
    losses: List[str] = field(default_factory=list)
    hangs: List[str] = field(default_factory=list)
    tracebacks: List[str] = field(default_factory=list)

    def lose(self, what: str) -> None:
        """A loss, told at once: the rest takes an hour."""
        print(f"lost: {what}", file=sys.stderr, flush=True)
        self.losses.append(what)

    def note(self, what: str, ended: Ended) -> None:
        if ended.hung:
            self.hangs.append(what)
        if ended.traceback:
            self.tracebacks.append(f"{what}: {ended.output[-300:]}")

    def take(self, other: Tally) -> None:
        """Add what another looked at of the same points."""
        self.points = max(self.points, other.points)
        self.tried += other.tried
        self.losses += other.losses
        self.hangs += other.hangs
        self.tracebacks += other.tracebacks

    @property
    def bad(self) -> List[str]:
        return [*self.losses, *self.hangs, *self.tracebacks]

    def figures(self) -> Dict[str, Any]:
        return {
            "points": self.points, "tried": self.tried,
            "losses": len(self.losses), "hangs": len(self.hangs), "tracebacks": len(self.tracebacks),
        }  # fmt: skip


class Range:
    """A workspace maker, engines that outlive the victims, and the undisturbed run to compare with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "requests.txt"
        self.log.touch()
        self.engines = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("engines.py")), str(self.log)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.engines.stdout is not None
        self.addresses: Dict[str, str] = json.loads(self.engines.stdout.readline())
        warm()
        self.count = 0

    def close(self) -> None:
        assert self.engines.stdin is not None
        self.engines.stdin.close()
        self.engines.wait(20)
        assert self.engines.stdout is not None
        self.engines.stdout.close()

    def workspace(self, seed: Optional[int] = 7) -> Path:
        """A fresh workspace with a small project that needs all its iterations and never passes."""
        self.count += 1
        if self.count % 50 == 0:
            print(f"{self.count} runs by process {os.getpid()}", file=sys.stderr, flush=True)
        place = self.folder / f"workspace-{self.count}"
        project = place / "projects" / "p"
        shutil.copytree(str(ROOT / "projects" / "demo" / "config"), str(project / "config"))
        (project / "input").mkdir()
        with Image.open(ROOT / "projects" / "demo" / "input" / "input.png") as picture:
            picture.resize((64, 48)).save(project / "input" / "input.png")
        host, port = self.addresses["comfyui"].rsplit("/", 1)[1].split(":")
        change(project / "config" / "AIGen.yaml", comfyui={"host": host, "port": int(port)})
        change(project / "config" / "AIGen.yaml", parameters={"steps": 1, "seed": seed, "denoise": 0.4})
        rules = yaml.safe_load((project / "config" / "rules.yaml").read_text(encoding="utf-8"))
        rules["project"].update(name="p", max_iterations=ITERATIONS)
        rules["acceptance_criteria"].append(
            {"field": "night", "question": "Is it black and white?", "intent": "change"}
        )
        (project / "config" / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
        vision = {"provider": "ollama", "model": "builtin", "base_url": self.addresses["vision"], "retry_delay": 0}
        (project / "config" / "AIVis.yaml").write_text(yaml.safe_dump(vision), encoding="utf-8")
        (place / "viewer").mkdir()  # a page of the user's own: nothing is copied, which is no part of a run
        return place

    def requests(self) -> collections.Counter[str]:
        """What was asked since the last time, by what it asked for."""
        lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        self.log.write_text("", encoding="utf-8")
        return collections.Counter(lines)


def change(path: Path, **parts: Dict[str, Any]) -> None:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, values in parts.items():
        data[name] = {**(data.get(name) or {}), **values}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")


ARGUMENTS = ("--project", "p")
COSTLY = ("POST /prompt ", "POST /api/chat ", "POST /api/generate ")


def costs(requests: collections.Counter[str]) -> collections.Counter[str]:
    """The requests that take GPU time or money."""
    return collections.Counter({key: count for key, count in requests.items() if key.startswith(COSTLY)})


def undisturbed(place: Range) -> Tuple[Dict[str, str], collections.Counter[str], Tuple[str, ...]]:
    workspace = place.workspace()
    ended = run(workspace, ARGUMENTS)
    assert ended.code == 1, ended.output
    found = tree(workspace / "projects" / "p"), costs(place.requests()), ended.points
    shutil.rmtree(str(workspace))
    return found


def disturbed(
    place: Range,
    tally: Tally,
    what: str,
    at: int,
    act: Act,
    codes: Tuple[int, ...],
    wanted: Tuple[Any, Any],
    **how: Any,
) -> None:
    """Disturb a run at a point, let it go on, and compare with the undisturbed one."""
    workspace = place.workspace()
    place.requests()
    tally.tried += 1
    ended = run(workspace, ARGUMENTS, at, act, **how)
    tally.note(what, ended)
    if len(ended.points) < at:  # threads take turns otherwise than in the undisturbed run: this point never came
        codes = (1,)
    if ended.code not in codes:
        tally.lose(f"{what}: ended with {ended.code}, not {codes}: {ended.output[-300:]}")
    last = ended
    if ended.code != 1 and not is_over(workspace):
        last = run(workspace, ARGUMENTS)
        tally.note(f"{what}, resumed", last)
    else:  # the next would be a new run: what is left to do is the page, which any start brings up to date
        any_start(workspace)
        last = Ended(1, "", ())
    compare(place, tally, what, last, workspace, wanted, ended.points[at - 1] if len(ended.points) >= at else "")
    shutil.rmtree(str(workspace))


def any_start(workspace: Path) -> None:
    """What the start of anything does before its own work: half-written files go, the page is brought up to date."""
    with Store(workspace / "projects" / "p").lock():
        pass
    page_rebuild.rebuild_all(workspace / "projects")  # outside: the head of a run at work is left to its process


def is_over(workspace: Path) -> bool:
    checkpoint = Store(workspace / "projects" / "p").read_checkpoint()
    return checkpoint is not None and checkpoint.status == "exhausted"


def compare(
    place: Range, tally: Tally, what: str, last: Ended, workspace: Path, wanted: Tuple[Any, Any], point: str
) -> None:
    files, asked = wanted
    if last.code != 1:
        tally.lose(f"{what}: the resumed run ended with {last.code}: {last.output[-300:]}")
        return
    for each in differences(files, tree(workspace / "projects" / "p")):
        if not (is_of_the_cache(point) and what.startswith(FULL) and each.startswith("missing: ") and CACHE in each):
            tally.lose(f"{what}: {each}")  # an answer that found no room was used all the same
    extra = costs(place.requests()) - asked
    lasting = what.startswith(f"{FULL} from")  # the page's files are done without: it ends at some later artefact
    if sum(extra.values()) > max(in_flight(point), int(lasting)):
        tally.lose(f"{what}: asked twice: {dict(extra)}")


def in_flight(point: str) -> int:
    """How many requests may be asked twice: one that had no answer yet, or an answer that was not yet in the cache."""
    return 1 if point.startswith(NETWORK) or is_of_the_cache(point) else 0


def is_of_the_cache(point: str) -> bool:
    return CACHE in f"{point}/"


@dataclass(frozen=True)
class Cut:
    """Which of the points a process looks at: of each `every`-th one, every `shares`-th, beginning with `share`."""

    every: int = 1
    share: int = 0
    shares: int = 1

    def of(self, points: Tuple[str, ...]) -> Iterator[Tuple[int, int, str]]:
        """The points with their numbers: first among those of all shares (from 0), then among all (from 1)."""
        for turn, at in enumerate(range(1, len(points) + 1, self.every)):
            if turn % self.shares == self.share:
                yield turn, at, points[at - 1]


# --- the parts ------------------------------------------------------------------------------------------------------------


def killed(place: Range, cut: Cut) -> Tally:
    """SIGKILL at every point."""
    files, asked, points = undisturbed(place)
    tally = Tally(points=len(points))
    for _, at, name in cut.of(points):
        disturbed(place, tally, f"killed at {at} ({name})", at, kill, (-signal.SIGKILL,), (files, asked))
    return tally


def torn(place: Range, cut: Cut) -> Tally:
    """Ended while a file is being written, its first bytes on disk: at every file."""
    files, asked, points = undisturbed(place)
    opened = tuple(name for name in points if is_opening(name))
    tally = Tally(points=len(opened))
    for _, at, name in cut.of(opened):
        what = f"torn at {at} ({name})"
        disturbed(place, tally, what, at, tear, (-signal.SIGXFSZ,), (files, asked), only=is_opening)
    return tally


def is_opening(name: str) -> bool:
    return name.startswith("open ")


def interrupted(place: Range, cut: Cut) -> Tally:
    """SIGINT and SIGTERM at every point, by turns: resume point written, exit code 130 or 143."""
    files, asked, points = undisturbed(place)
    tally = Tally(points=len(points))
    for turn, at, name in cut.of(points):
        number, code = ((signal.SIGINT, 130), (signal.SIGTERM, 143))[turn % 2]
        what = f"{number.name} at {at} ({name})"
        disturbed(place, tally, what, at, signalled(number), (code, 1), (files, asked))
    return tally


def disk(place: Range, cut: Cut) -> Tally:
    """No space left, which shows when a file is opened or when it is written: for one write, and from one write on."""
    files, asked, points = undisturbed(place)
    writes = tuple(name for name in points if is_write(name))
    tally = Tally(points=len(writes))
    for turn, at, name in cut.of(writes):
        lasting = turn % 2 == 1
        what = f"{FULL} {'from' if lasting else 'at'} {at} ({name})"
        for act in (full_disk, filling_disk) if is_opening(name) else (full_disk,):
            told = what if act is full_disk else f"{what}, in the middle of it"
            disturbed(place, tally, told, at, act, (4, 1), (files, asked), only=is_write, lasting=lasting)
    return tally


def is_write(name: str) -> bool:
    return not name.startswith(NETWORK)


# --- the parts that are tests -------------------------------------------------------------------------------------------------


def tests(*names: str) -> Tally:
    """Every case of some files of tests, in a process of their own; a failure is a loss."""
    here = Path(__file__).parent
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        told, count = Path(folder, "told.xml"), Path(folder, "count")
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={told}", *(str(here / name) for name in names)]
        environ = {**os.environ, "TORTURE": "all", "TORTURE_COUNT": str(count)}
        try:
            subprocess.run(command, env=environ, cwd=str(ROOT), capture_output=True, timeout=TOO_LONG, check=False)
        except subprocess.TimeoutExpired:
            tally.hangs.append(" ".join(names))
            return tally
        cases = list(ElementTree.parse(told).iter("testcase"))
        tally.points, tally.tried = len(cases), int(count.read_text(encoding="ascii")) or len(cases)
        for case in cases:
            failure = next((part for kind in ("failure", "error") for part in case.iter(kind)), None)
            if failure is not None:
                name = f"{case.get('classname')}::{case.get('name')}: {failure.get('message')}"
                (tally.tracebacks if "Traceback" in name else tally.losses).append(name[:400])
    return tally


def faults() -> Tally:
    """Faults on the wire, odd disks, words that steer, and the key through all of it."""
    return tests("test_wire.py", "test_disk.py", "test_untrusted.py", "test_secrets.py")


def inputs() -> Tally:
    """Hostile files."""
    return tests("test_hostile.py", "test_changed_values.py")


def long() -> Tally:
    """500 iterations."""
    return tests("test_long_run.py")


Part = Callable[[Range, Cut], Tally]
POINTS: Dict[str, Part] = {"killed": killed, "torn": torn, "interrupted": interrupted, "disk": disk}
TESTS: Dict[str, Callable[[], Tally]] = {"faults": faults, "inputs": inputs, "long": long}


def share(name: str, cut: Cut) -> Tally:
    """One process's share of a part."""
    if name in TESTS:
        return TESTS[name]()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        place = Range(Path(folder))
        try:
            return POINTS[name](place, cut)
        finally:
            place.close()


def in_turn(names: List[str], every: int) -> Iterator[Tuple[str, Tally]]:
    """The parts one after the other, in this process."""
    for name in names:
        yield name, share(name, Cut(every))


def side_by_side(names: List[str], every: int, jobs: int) -> Iterator[Tuple[str, Tally]]:
    """The parts in processes of their own: the points of a part are shared out, a part of tests is one piece."""
    shares = {name: jobs if name in POINTS else 1 for name in names}
    largest_first = sorted(names, key=lambda name: shares[name])
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        pieces = {
            name: [pool.submit(share, name, Cut(every, n, shares[name])) for n in range(shares[name])]
            for name in largest_first
        }
        for name in names:
            tally = Tally()
            for piece in pieces[name]:
                tally.take(piece.result())
            yield name, tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="look at each Nth point")
    parser.add_argument(
        "--part", choices=sorted([*POINTS, *TESTS]), action="append", help="only this one; may be repeated"
    )
    usual = 2 * (os.cpu_count() or 1)  # a run waits for the disk half of its time
    parser.add_argument("--jobs", type=int, default=usual, metavar="N", help=f"processes at a time (here: {usual})")
    options = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell starts background jobs deaf to it, and so the victims
    names = options.part or [*POINTS, *TESTS]
    together = [name for name in names if name != "long" and options.jobs > 1]  # what measures times is left in peace
    alone = [name for name in names if name not in together]
    total = Tally()
    shared = side_by_side(together, options.every, options.jobs) if together else iter(())
    for name, tally in itertools.chain(shared, in_turn(alone, options.every)):
        print(json.dumps({"part": name, **tally.figures()}), flush=True)
        for line in tally.bad:
            print(f"  {line}", flush=True)
        total.points += tally.points
        total.take(tally)
    if len(names) > 1:
        print(json.dumps({"part": "all", **total.figures()}), flush=True)
    return 1 if total.bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
