"""What the tool itself costs: time, bytes and requests per iteration, and start-up. `python tests/benchmarks/overhead.py`

Runs 20 iterations through the ordinary door (`runner.run_command`) in a process of their own, against servers that answer
at once in another (`instant_servers`). Between two iterations that process encodes the photograph that times are compared
with, so that both meet the same machine at the same time. What the figures mean: README.md beside this file.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PHOTO = ROOT / "projects" / "demo" / "input" / "input.png"
ITERATIONS = 20
YARDSTICK = 1024  # px, side of the photograph whose PNG encoding is the measure
SHARE = 0.25  # of that encoding: what an iteration may take of our own
START_UP = 2.0  # times `import click`: what --help may take
STARTS = 15  # of each, in turn

Request = Tuple[str, str, int]  # service, endpoint, bytes
Row = Tuple[str, str, str]  # label, figure, remark


# --- the run, in a process of its own ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mark:
    """Readings at one moment, in seconds since some start."""

    wall: float
    cpu: float  # of this process, all threads
    system: float  # of that, in the operating system
    fsync: float  # spent waiting for the disk


class Probe:
    """Takes a `Mark` at the end of each iteration and at the start of the next, and encodes the yardstick in between."""

    def __init__(self) -> None:
        self.spans: List[Dict[str, float]] = []  # one an iteration, from one picture's order to the next
        self.encodings: List[Dict[str, float]] = []
        self.encoded: Counter[int] = Counter()  # base64: how often each content
        self._fsync = 0.0
        self._since: Any = None
        self._photo = _yardstick()

    def install(self) -> None:
        """Watch this process: it does nothing but this one run."""
        from imagination.comfyui import ComfyUI

        os.fsync = self._timed_fsync(os.fsync)  # type: ignore[assignment]
        base64.b64encode = self._counted(base64.b64encode)
        ComfyUI.generate = self._between(ComfyUI.generate)  # type: ignore[method-assign]

    def _mark(self) -> Mark:
        return Mark(time.perf_counter(), time.process_time(), os.times().system, self._fsync)

    def _between(self, generate: Callable[..., Any]) -> Callable[..., Any]:
        def marked(*args: Any, **kwargs: Any) -> Any:
            ends = self._mark()
            if self._since is not None:
                self.spans.append(_difference(self._since, ends))
            _encode(self._photo)
            self.encodings.append(_difference(ends, self._mark()))
            self._since = self._mark()
            return generate(*args, **kwargs)

        return marked

    def _timed_fsync(self, fsync: Callable[[int], None]) -> Callable[[int], None]:
        def timed(descriptor: int) -> None:
            started = time.perf_counter()
            fsync(descriptor)
            self._fsync += time.perf_counter() - started

        return timed

    def _counted(self, encode: Callable[..., bytes]) -> Callable[..., bytes]:
        def counted(data: bytes, *rest: Any) -> bytes:
            if len(data) > 10_000:  # pictures; the WebSocket encodes its keys too
                self.encoded[hash(data)] += 1
            return encode(data, *rest)

        return counted


def _difference(before: Mark, after: Mark) -> Dict[str, float]:
    first, second = asdict(before), asdict(after)
    return {name: second[name] - first[name] for name in first}


def _yardstick() -> Any:
    from PIL import Image

    with Image.open(PHOTO) as image:
        return image.convert("RGB").resize((YARDSTICK, YARDSTICK), Image.Resampling.LANCZOS)


def _encode(photo: Any) -> None:
    with io.BytesIO() as out:
        photo.save(out, "PNG")


def run_watched(workspace: str) -> int:
    """Run the project and leave the readings in the workspace; the exit code of the run."""
    sys.path.insert(0, str(ROOT))
    from imagination.runner import Order, run_command

    probe = Probe()
    probe.install()
    code = run_command(Order("overhead", None, None, None, False, False, False, workspace))
    found = {"spans": probe.spans, "encodings": probe.encodings, "base64": sorted(probe.encoded.values())}
    (Path(workspace) / "readings.json").write_text(json.dumps(found), encoding="utf-8")
    return code


# --- around it -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _servers() -> Iterator[Tuple[Dict[str, int], Callable[[], List[Request]]]]:
    """The ports of running servers, and a function that stops them and tells what they were asked."""
    command = [sys.executable, str(HERE / "instant_servers.py"), str(PHOTO), str(ITERATIONS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            yield (
                json.loads(process.stdout.readline()),
                lambda: [tuple(r) for r in json.loads(process.communicate()[0])],
            )
        finally:
            with contextlib.suppress(ValueError):  # asked already
                process.communicate()


def _make_project(root: Path, ports: Dict[str, int]) -> None:
    """The templates' project, with a picture of 512x512, 20 iterations and our servers' addresses."""
    import yaml
    from PIL import Image

    from imagination.workspace import Workspace, shipped

    (root / "projects").mkdir()
    project = Workspace(root).create("overhead", shipped("defaults") / "config" / "rules.yaml")
    with Image.open(PHOTO) as image:
        image.resize((512, 512), Image.Resampling.LANCZOS).save(project.root / "input" / "input.png")
    changes: Dict[Path, Dict[str, Any]] = {
        project.rules: {"project": {"name": "overhead", "max_iterations": ITERATIONS}},
        project.generation: {"comfyui": {"host": "127.0.0.1", "port": ports["comfyui"]}},
        project.vision: {"base_url": f"http://127.0.0.1:{ports['ollama']}"},
    }
    for path, change in changes.items():
        data = {**yaml.safe_load(path.read_text(encoding="utf-8")), **change}
        path.write_text(yaml.safe_dump(data), encoding="utf-8")


def measure_run() -> Tuple[Dict[str, Any], List[Request]]:
    """Readings of a whole run, and what the servers were asked. SystemExit if the run failed."""
    with tempfile.TemporaryDirectory() as folder, _servers() as (ports, stop):
        _make_project(Path(folder), ports)
        command = [sys.executable, str(Path(__file__).resolve()), "--run", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 1:  # the end of a run in which no picture passes
            raise SystemExit(f"the run failed (exit {done.returncode}):\n{done.stdout}{done.stderr}")
        return json.loads((Path(folder) / "readings.json").read_text(encoding="utf-8")), stop()


def measure_start() -> Tuple[float, float]:
    """Median seconds of `--help` and of `import click`, started in turn."""
    commands = ([str(ROOT / "iterative_imagination.py"), "--help"], ["-c", "import click"])
    taken: Tuple[List[float], List[float]] = ([], [])
    for number in range(STARTS + 1):
        for times, command in zip(taken, commands):
            started = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
            if number:  # the first of each fills the disk's cache
                times.append(time.perf_counter() - started)
    return statistics.median(taken[0]), statistics.median(taken[1])


# --- the table -----------------------------------------------------------------------------------------------------------


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def _mean(readings: Sequence[Dict[str, float]], name: str) -> float:
    return statistics.fmean(reading[name] for reading in readings)  # for clocks that go in ticks of 10 ms


def _median(readings: Sequence[Dict[str, float]], name: str) -> float:
    return statistics.median(reading[name] for reading in readings)


def time_rows(readings: Dict[str, Any]) -> List[Row]:
    """Our own time per iteration against the yardstick. CPU time is what the target is held to: see README.md."""
    spans, encodings = readings["spans"], readings["encodings"]
    own, yardstick = (
        {name: _median(spans, name) for name in spans[0]},
        {n: _median(encodings, n) for n in ("wall", "cpu")},
    )
    ratio = {name: own[name] / yardstick[name] for name in yardstick}
    held = f"{ratio['cpu']:.2f} of the encoding, target < {SHARE}: {_met(ratio['cpu'] < SHARE)}"
    return [
        ("PNG encoding of 1024x1024", f"{_ms(yardstick['cpu'])} CPU", f"{_ms(yardstick['wall'])} wall"),
        ("CPU time per iteration", _ms(own["cpu"]), held),
        (
            "  in the operating system",
            _ms(_mean(spans, "system")),
            f"{_mean(spans, 'system') / _mean(spans, 'cpu'):.0%}",
        ),
        ("wall time per iteration", _ms(own["wall"]), f"{ratio['wall']:.2f} of the encoding"),
        ("  waiting for fsync", _ms(own["fsync"]), f"{own['fsync'] / own['wall']:.0%}"),
    ]


def traffic_rows(readings: Dict[str, Any], asked: Sequence[Request]) -> List[Row]:
    """Bytes and requests per iteration, counted from the first job's order to the last one's."""
    orders = [n for n, (_, endpoint, _) in enumerate(asked) if endpoint == "POST /prompt"]
    steady, turns = asked[orders[0] : orders[-1]], len(orders) - 1
    sent = Counter(dict.fromkeys({request[:2] for request in steady}, 0))
    for service, endpoint, size in steady:
        sent[service, endpoint] += size
    count = Counter(request[:2] for request in steady)
    uploads = sum(endpoint == "POST /upload/image" for _, endpoint, _ in asked)
    times = readings["base64"]
    rows = [
        ("bytes sent per iteration", f"{sum(sent.values()) / turns / 1000:.1f} kB", ""),
        ("requests per iteration", f"{len(steady) / turns:.1f}", ""),
    ]
    for key in sorted(count):
        rows.append((f"  {key[0]} {key[1]}", f"{count[key] / turns:.1f}", f"{sent[key] / turns / 1000:.1f} kB"))
    rows.append(("original uploaded", f"{uploads}x", _met(uploads == 1)))
    once = set(times) == {1}
    rows.append(
        ("pictures encoded for AIVis", f"{len(times)}", f"each once (original, {ITERATIONS} results): {_met(once)}")
    )
    return rows


def start_rows(of_help: float, of_click: float) -> List[Row]:
    ratio = of_help / of_click
    return [
        ("import click", f"{1000 * of_click:.0f} ms", ""),
        ("--help", f"{1000 * of_help:.0f} ms", f"{ratio:.2f} of it, target < {START_UP}: {_met(ratio < START_UP)}"),
    ]


def _met(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["--run"]:
        return run_watched(arguments[1])
    sys.path.insert(0, str(ROOT))
    readings, asked = measure_run()
    rows = [*time_rows(readings), *traffic_rows(readings, asked), *start_rows(*measure_start())]
    for label, figure, remark in rows:
        print(f"{label:<28} {figure:>13}  {remark}".rstrip())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
