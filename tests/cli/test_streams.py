"""A command and its terminal: a reader that went away, words that find no room, a terminal closed, Ctrl-C again and again."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, List

import pytest
from desk import ROOT, Desk, checkpoint, hear_ctrl_c

from imagination.errors import Terminated
from imagination.guard import guarded

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and terminals of POSIX")
RUN = "iterative_imagination.py"
FULL = Path("/dev/full")


@contextlib.contextmanager
def started(desk: Desk, script: str, *arguments: str, **how: Any) -> Iterator[Any]:
    """A command as a process of its own, which does not outlive the test; `how`: as `Popen` takes it."""
    command = [sys.executable, str(ROOT / script), *arguments]
    with subprocess.Popen(command, **{"cwd": str(desk.root), "preexec_fn": hear_ctrl_c, **how}) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def nobody() -> Iterator[int]:
    """The end of a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    try:
        yield write
    finally:
        os.close(write)


def until_iteration(project: Path, number: int) -> None:
    """Wait until an iteration is done."""
    for _ in range(6000):
        with contextlib.suppress(FileNotFoundError):
            if checkpoint(project)["last_iteration"] >= number:
                return
        time.sleep(0.1)
    raise AssertionError("no iteration came")


COMMANDS: List[Any] = [
    (RUN, "--project", "p", "--dry-run"),
    ("iterativectl.py", "project", "list"),
    ("iterativectl.py", "rules", "check", "--project", "p"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_went_away_is_no_error(desk: Desk, command: Any) -> None:
    desk.project()
    with nobody() as pipe, started(desk, *command, stdout=pipe, stderr=subprocess.PIPE) as process:
        said = process.communicate(timeout=600)[1]
    assert (process.returncode, said) == (0, b"")


def test_an_error_that_nobody_hears_keeps_its_exit_code(desk: Desk) -> None:
    with nobody() as pipe, started(desk, RUN, "--project", "nope", stderr=pipe) as process:
        assert process.wait(600) == 2


@pytest.mark.skipif(not FULL.exists(), reason="there is no full device")
@pytest.mark.parametrize("command", COMMANDS)
def test_words_that_find_no_room_are_one_line_and_exit_4(desk: Desk, command: Any) -> None:
    desk.project()
    with FULL.open("wb") as full, started(desk, *command, stdout=full, stderr=subprocess.PIPE) as process:
        said = process.communicate(timeout=600)[1].decode()
    assert process.returncode == 4
    assert said.splitlines() == ["error: No space left on device", "hint: look at the permissions and the disk"]


@pytest.mark.skipif(not FULL.exists(), reason="there is no full device")
def test_a_run_whose_words_find_no_room_goes_on(desk: Desk) -> None:
    project = desk.project()
    with FULL.open("wb") as full, started(desk, RUN, "--project", "p", stdout=full, stderr=full) as process:
        assert process.wait(120) == 0
    assert checkpoint(project)["status"] == "passed"


def test_a_stop_that_nobody_reads_of_is_a_stop(desk: Desk) -> None:
    project = desk.project(passes=False, iterations=5000)
    with nobody() as pipe, started(desk, RUN, "--project", "p", stdout=pipe, stderr=pipe) as process:
        until_iteration(project, 1)
        process.terminate()
        assert process.wait(600) == 143
    assert checkpoint(project)["status"] == "stopped"


def deaf_to_hangup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def test_a_terminal_that_was_closed_ends_no_run_that_does_not_hear_of_it(desk: Desk, tmp_path: Path) -> None:
    project = desk.project(passes=False, iterations=8)
    master, slave = os.openpty()
    said = tmp_path / "said.txt"
    with said.open("wb") as file, started(
        desk, RUN, "--project", "p", stdin=slave, stdout=slave, stderr=file, preexec_fn=deaf_to_hangup
    ) as process:
        os.close(slave)
        drawn = b""
        while b"iteration 1: score" not in drawn:
            drawn += os.read(master, 4096)
        os.close(master)
        assert process.wait(120) == 1
    assert b"\x1b[" in drawn and said.read_bytes() == b""
    assert (checkpoint(project)["status"], checkpoint(project)["last_iteration"]) == ("exhausted", 8)


def test_a_terminal_that_is_closed_stops_a_run_that_can_go_on(desk: Desk) -> None:
    project = desk.project(passes=False, iterations=5000)
    with started(desk, RUN, "--project", "p", stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        until_iteration(project, 1)
        for _ in range(3):  # the terminal and the shell both tell of it
            process.send_signal(signal.SIGHUP)
            time.sleep(0.01)
        said = process.communicate(timeout=600)[0].decode()
    assert (process.returncode, "Traceback" in said) == (129, False), said
    assert "stopped; the same command goes on where it was" in said
    assert checkpoint(project)["status"] == "stopped"


@pytest.mark.parametrize(("times", "apart"), [(12, 0.02), (4, 0.005), (40, 0.05)])
def test_ctrl_c_again_and_again_is_a_stop_like_any_other(desk: Desk, times: int, apart: float) -> None:
    project = desk.project(passes=False, iterations=5000)
    with started(desk, RUN, "--project", "p", stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        until_iteration(project, 1)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(apart)
        said = process.communicate(timeout=600)[0].decode()
    assert (process.returncode, "Traceback" in said) == (130, False), said
    assert said.count("stopped; the same command goes on where it was") == 1


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_an_object_is_cleared_away_is_a_stop(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    number = getattr(signal, name)

    class Connection:
        def __del__(self) -> None:
            signal.raise_signal(number)  # what this raises Python prints and drops

    def act() -> int:
        Connection()
        for _ in range(500):
            time.sleep(0.01)
        return 0

    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert guarded(act) == 128 + number
    assert capfd.readouterr().err == "\nstopped\n"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_a_dropped_one_is_taken_up_is_a_stop(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """As on a machine that is busy with others just then: what is raised in there Python drops as well."""
    number, struck = getattr(signal, name), []

    class Dropped:
        exc_type, exc_traceback, err_msg, object = KeyboardInterrupt, None, None, None

        @property
        def exc_value(self) -> BaseException:
            if not struck:
                struck.append(number)
                signal.raise_signal(number)
            return Terminated(128 + number)

    def act() -> int:
        with contextlib.suppress(KeyboardInterrupt):
            sys.unraisablehook(Dropped())
        for _ in range(500):
            time.sleep(0.01)
        return 0

    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert guarded(act) == 128 + number
    assert (struck, capfd.readouterr().err) == ([number], "\nstopped\n")


def test_a_stop_that_something_makes_another_error_of_is_a_stop(capfd: pytest.CaptureFixture[str]) -> None:
    def act() -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt as err:
            raise TypeError("no class could be built") from err
        return 0

    assert (guarded(act), capfd.readouterr().err) == (143, "\nstopped\n")


def test_a_signal_while_a_module_is_loaded_waits_for_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "import signal\ntry:\n    signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt:\n    broken = True\n"
    (tmp_path / "interrupted_module.py").write_text(text, encoding="ascii")
    monkeypatch.syspath_prepend(str(tmp_path))

    def act() -> int:
        loaded.append(importlib.import_module("interrupted_module"))
        for _ in range(500):
            time.sleep(0.01)
        return 0

    loaded: List[Any] = []
    assert (guarded(act), [hasattr(module, "broken") for module in loaded]) == (130, [False])


def test_an_error_of_the_program_is_no_stop() -> None:
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: 1 // 0)


# a command that tells by a byte when Ctrl-C is its own, and no longer Python's that has hardly begun
TELLING = """
import os, runpy, signal, sys
set_handler = signal.signal
def tell(number, handler):
    before = set_handler(number, handler)
    if number == signal.SIGINT:
        signal.signal = set_handler
        os.write(pipe, b"!")
    return before
signal.signal, pipe = tell, int(sys.argv[1])
sys.argv = sys.argv[2:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_while_a_command_is_loaded_is_a_stop(desk: Desk, command: Any) -> None:
    """Once or several times within a moment, as from a terminal and a wrapper that passes it on."""
    desk.project()
    for turn in range(8):
        hears, tells = os.pipe()
        words = [sys.executable, "-c", TELLING, str(tells), str(ROOT / command[0]), *command[1:]]
        with subprocess.Popen(
            words,
            cwd=str(desk.root),
            preexec_fn=hear_ctrl_c,
            pass_fds=[tells],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            os.close(tells)
            assert os.read(hears, 1) == b"!"
            os.close(hears)
            time.sleep(0.06 * turn)
            for _ in range(1 + turn % 4):
                process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=600)[0].decode()
        assert "Traceback" not in said and "Aborted" not in said and "ignored" not in said, said
        assert process.returncode in (0, 130), said
