"""Knowing a process again, waiting for it, ending it and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterator, List

import pytest

from imagination.comfyui_service import Sight, advice, facts, waiting_line
from imagination.daemons import Daemon, Wait, end, identity, is_alive, let_go, read_daemon, spawn, tail, wait_until

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
Start = Callable[[str], Daemon]


def daemon_of(pid: int, started: str = "") -> Daemon:
    return Daemon(
        pid=pid,
        started=started or identity(pid) or "gone",
        since=time.time(),
        url="http://127.0.0.1:1",
        command=["python"],
        folder=".",
        log="log",
    )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a Python program that writes `ready` once it is; whatever is left of it is ended after the test."""
    begun: List[Daemon] = []

    def starter(program: str) -> Daemon:
        log = tmp_path / f"{len(begun)}.log"
        process = spawn([sys.executable, "-c", program], tmp_path, log, os.environ)
        begun.append(daemon_of(process.pid))
        wait_until(lambda: "ready" in log.read_text(), lambda: process.poll() is None, 20)
        let_go(process)
        return begun[-1]

    yield starter
    for each in begun:
        end(each, 0.1)


def test_no_key_is_lent_to_what_is_started(tmp_path: Path) -> None:
    keys = {"OPENROUTER_API_KEY": "sk-or-v1-0123456789", "OLLAMA_API_KEY": "0123456789abcdef"}
    spawn([sys.executable, "-c", SHOWING], tmp_path, tmp_path / "log", {**os.environ, **keys, "OTHER": "it"}).wait()
    assert tail(tmp_path / "log") == ["None None it"]


SHOWING = "from os import environ as e; print(e.get('OPENROUTER_API_KEY'), e.get('OLLAMA_API_KEY'), e.get('OTHER'))"
WAITING = "import time; print('ready', flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITING
PARENT = (
    "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(p.pid); " + WAITING
)


def test_a_process_is_known_by_when_it_began(start: Start) -> None:
    assert identity(os.getpid()) == identity(os.getpid()) is not None
    daemon = start(WAITING)
    assert is_alive(daemon)
    assert daemon.started != identity(os.getpid())


def test_a_process_that_ended_has_no_identity_even_before_it_is_buried() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    assert wait_until(lambda: False, lambda: identity(process.pid) is not None, 20) is Wait.DIED
    process.wait()
    assert identity(process.pid) is None


@posix
def test_it_has_a_session_of_its_own_and_none_of_our_files(start: Start) -> None:
    daemon = start(WAITING)
    assert os.getsid(daemon.pid) == daemon.pid
    if Path("/proc/self/fd").exists():
        opened = {os.readlink(path) for path in Path(f"/proc/{daemon.pid}/fd").iterdir()}
        assert not [name for name in opened if name.startswith(("pipe:", "/dev/pts", "socket:"))]


def test_it_is_ended_and_only_once(start: Start) -> None:
    daemon = start(WAITING)
    assert end(daemon)
    assert not is_alive(daemon)
    assert not end(daemon)


@posix
def test_one_that_will_not_hear_is_forced(start: Start) -> None:
    assert end(start(DEAF), patience=0.1)


@posix
def test_its_children_go_with_it(start: Start, tmp_path: Path) -> None:
    daemon = start(PARENT)
    child = int((tmp_path / "0.log").read_text().split()[0])
    assert identity(child)
    end(daemon)
    assert wait_until(lambda: False, lambda: identity(child) is not None, 10) is Wait.DIED


def test_a_number_given_to_another_process_is_left_alone(start: Start) -> None:
    other = start(WAITING)
    assert not end(daemon_of(other.pid, "an earlier time"))
    assert is_alive(other)


def test_the_log_of_the_time_before_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    for word in ("first", "second"):
        spawn([sys.executable, "-c", f"print('{word}')"], tmp_path, log, os.environ).wait()
    assert (tail(log), tail(tmp_path / "x.log.1")) == (["second"], ["first"])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "7", "started": "x"}', '{"pid": 0}'])
def test_a_damaged_record_names_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text)
    assert read_daemon(tmp_path / "record.json") is None


@pytest.mark.parametrize(
    ("answers", "alive", "how", "ticks"),
    [
        ([True], [True], Wait.READY, 0),
        ([False, False, True], [True] * 3, Wait.READY, 2),
        ([False, False], [True, True, False], Wait.DIED, 2),
        ([], [False], Wait.DIED, 0),
        ([False] * 9, [True] * 9, Wait.SILENT, 4),
    ],
)
def test_waiting_ends_in_one_of_three_ways(answers: List[bool], alive: List[bool], how: Wait, ticks: int) -> None:
    now, heard = [0.0], []
    said, lived = iter(answers), iter(alive)
    outcome = wait_until(
        lambda: next(said), lambda: next(lived), 1.0, heard.append, lambda: now[0],
        lambda pause: now.__setitem__(0, now[0] + pause),
    )  # fmt: skip
    assert (outcome, len(heard)) == (how, ticks)


def test_an_answer_after_the_death_is_somebody_elses() -> None:
    assert wait_until(lambda: True, lambda: False, 1.0) is Wait.DIED


def test_the_tail_of_a_log_has_no_colours_and_no_old_states_of_a_bar(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"one\n\n\x1b[31mtwo\x1b[0m\r\n 10%|#\r 50%|##\r100%|####\nbroken \xff\n")
    assert tail(log) == ["one", "two", "100%|####", "broken \ufffd"]
    assert tail(log, 1) == ["broken \ufffd"]
    assert tail(tmp_path / "none") == []


# --- in words -----------------------------------------------------------------------------------------------------------


def test_the_facts_of_a_server_are_told_in_short_lines() -> None:
    stats = {
        "system": {
            "comfyui_version": "0.3.64",
            "python_version": "3.11.7 (main) [GCC]",
            "pytorch_version": "2.5.0+cu124",
            "ram_free": 8 * 1024**3,
            "ram_total": 16 * 1024**3,
        },
        "devices": [{"name": "cuda:0 NVIDIA GeForce RTX 3060", "vram_free": 1024**3, "vram_total": 12 * 1024**3}],
    }
    assert facts(Sight(stats, 1, 2)) == [
        ("version", "0.3.64, Python 3.11.7, PyTorch 2.5.0+cu124"),
        ("queue", "1 running, 2 waiting"),
        ("device", "cuda:0 NVIDIA GeForce RTX 3060, 1.0 of 12.0 GB free"),
        ("memory", "8.0 of 16.0 GB free"),
    ]


@pytest.mark.parametrize(
    "stats",
    [
        {"system": {}},
        {"system": {"ram_free": "much", "ram_total": 0}, "devices": "none"},
        {"system": {"comfyui_version": ["x"], "python_version": 3}, "devices": [None, {}, {"name": "\x1b[31m" + "x" * 99}]},
    ],
)  # fmt: skip
def test_a_server_that_says_odd_things_is_shown_without_harm(stats: object) -> None:
    told = facts(Sight(stats))  # type: ignore[arg-type]
    assert all("\x1b" not in text and len(text) < 70 for _, text in told)
    assert ("queue", "empty") in told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ModuleNotFoundError: No module named 'torch'", "--python"),
        ("main.py: error: unrecognized arguments: --fast-please", "does not know one of the arguments after --"),
        ("main.py: error: argument --user-directory: The path 'x' does not exist.", "does not take the value"),
        ("RuntimeError: Found no NVIDIA driver on your system.", "start it with: iterativectl comfyui start -- --cpu"),
        ("AssertionError: Torch not compiled with CUDA enabled", "start it with: iterativectl comfyui start -- --cpu"),
        ("OSError: [Errno 98] error while attempting to bind: address already in use", "comfyui.port"),
        ("Segmentation fault", "its whole log: x.log"),
    ],
)
def test_last_words_lead_to_advice(line: str, told: str) -> None:
    assert told in advice(["Traceback", line], Path("x.log"))


def test_the_waiting_line_fits_and_carries_no_control_characters() -> None:
    line = waiting_line(12.4, "\x1b[1mimporting\x07 " + "x" * 200, 60)
    assert line.startswith("waiting for ComfyUI, 12 s  ")
    assert len(line) == 60
    assert line.isprintable()
