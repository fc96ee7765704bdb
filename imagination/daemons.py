"""Processes that outlive the command that started them: start detached, know again, wait for, end.

A number alone does not name a process: numbers are given out again. So what is recorded is the number with the time at
which the system says that process began, and a process is ended only while both still agree. Records and logs lie in
`.iterative-imagination/` in the workspace, which keeps itself out of git.
"""

from __future__ import annotations

import contextlib
import enum
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterator, List, Mapping, Optional, Sequence

from pydantic import Field, ValidationError

from .errors import ServiceError, StoreError
from .exposure import HOMES
from .model import Frozen
from .reading import MAX_JSON, read_bytes

FOLDER = ".iterative-imagination"
TAIL_BYTES = 64_000
_DETACHED = 0x08000200  # Windows: CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Daemon(Frozen):
    """A process we started, as it is remembered."""

    pid: int = Field(gt=1)
    started: str = Field(min_length=1)  # as `identity` gave it
    since: float  # s since 1970
    url: str
    command: List[str]
    arguments: List[str] = Field(default_factory=list)  # of `command`, those that the user added
    folder: str
    log: str


def state_folder(root: Path) -> Path:
    """The folder of records and logs in the workspace `root`, made where it is not there. Raises StoreError."""
    folder = root / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="ascii")
    except OSError as err:
        hint = "look at the permissions and the disk"
        if folder.exists() and not folder.is_dir():
            hint = f"a file stands where a folder is needed: move it away, e.g. mv {shlex.quote(str(folder))} elsewhere"
        raise StoreError(f"{folder} cannot be made: {err.strerror or err}", hint) from err
    return folder


# --- what is remembered -------------------------------------------------------------------------------------------------


def read_daemon(record: Path) -> Optional[Daemon]:
    """What a record says; None where there is none, or it is damaged: then the process is not known to be ours."""
    try:
        return Daemon.model_validate_json(read_bytes(record, MAX_JSON))
    except (OSError, ValidationError):
        return None


def write_daemon(record: Path, daemon: Daemon) -> None:
    """Remember a process."""
    from .disk import write_json

    write_json(record, daemon.model_dump(mode="json"))


def forget(record: Path) -> None:
    """Remove a record."""
    with contextlib.suppress(OSError):
        record.unlink()


@contextlib.contextmanager
def one_at_a_time(record: Path) -> Iterator[None]:
    """Keep two commands from starting the same thing at the same moment."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(str(record.with_suffix(".lock")), timeout=30):
            yield
    except Timeout as err:
        raise StoreError(
            f"another command has been at work on {record} for 30 s", "wait for it, then try again"
        ) from err


# --- which process is which ---------------------------------------------------------------------------------------------


def identity(pid: int) -> Optional[str]:
    """When the process began, in the system's own words; None if there is none, or it has ended and waits to be buried."""
    if sys.platform == "win32":
        return _windows_identity(pid)
    stat = Path(f"/proc/{pid}/stat")
    return _linux_identity(stat) if Path("/proc/self/stat").exists() else _ps_identity(pid)


def is_alive(daemon: Daemon) -> bool:
    """Is it still the process that was started?"""
    return identity(daemon.pid) == daemon.started


def _linux_identity(stat: Path) -> Optional[str]:
    """Field 22 of /proc/PID/stat, in clock ticks since boot, and which boot (proc(5))."""
    try:
        # the second field is the program's name in brackets, which may hold blanks and brackets itself
        fields = stat.read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X", b"x") else f"{boot} {int(fields[19])}"


def _ps_identity(pid: int) -> Optional[str]:
    environ = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    asked = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, env=environ, check=False
    )
    state, _, began = " ".join(asked.stdout.split()).partition(" ")
    return began if began and not state.startswith("Z") else None


def _windows_identity(pid: int) -> Optional[str]:
    """Creation time of a process that has not ended (GetProcessTimes), in units of 100 ns."""
    if sys.platform != "win32":
        return None
    import ctypes
    from ctypes import wintypes

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel.OpenProcess.restype = wintypes.HANDLE
    handle = wintypes.HANDLE(kernel.OpenProcess(0x1000, False, pid))  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return None
    try:
        times = [wintypes.FILETIME() for _ in range(4)]
        code = wintypes.DWORD()
        kernel.GetExitCodeProcess(handle, ctypes.byref(code))
        told = kernel.GetProcessTimes(handle, *(ctypes.byref(each) for each in times))
        running = code.value == 259  # STILL_ACTIVE
        return str(times[0].dwHighDateTime << 32 | times[0].dwLowDateTime) if told and running else None
    finally:
        kernel.CloseHandle(handle)


# --- starting -----------------------------------------------------------------------------------------------------------


def spawn(command: Sequence[str], folder: Path, log: Path, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start `command` so that it needs nothing of us: no terminal, no pipe, a session and a log of its own.

    The keys stay here: none is for a server of ours, and ComfyUI lends its environment to every custom node. The log of
    the time before is kept as LOG.1. Raises ServiceError when it cannot be started.
    """
    lent = {name: value for name, value in environ.items() if name not in HOMES.values()}
    try:
        if log.exists():
            log.replace(log.with_name(log.name + ".1"))
        with log.open("wb") as out:
            return subprocess.Popen(
                list(command),
                cwd=folder,
                env=lent,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                creationflags=_DETACHED if os.name == "nt" else 0,
                start_new_session=os.name == "posix",
            )
    except OSError as err:
        raise ServiceError(f"{command[0]} cannot be started: {err.strerror or err}") from err


def let_go(process: subprocess.Popen[bytes]) -> Optional[int]:
    """Stop being its parent: None, or the exit code if it has ended."""
    code = process.poll()
    if code is None:
        process.returncode = 0  # it is meant to outlive us: `subprocess` need not complain that nobody waited
    return code


class Wait(enum.Enum):
    """How waiting for a process ended."""

    READY = enum.auto()
    DIED = enum.auto()
    SILENT = enum.auto()


def wait_until(
    answers: Callable[[], bool],
    alive: Callable[[], bool],
    seconds: float,
    tick: Callable[[float], None] = lambda waited: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Wait:
    """Wait until a started process answers, or has died, or `seconds` are over. `tick` hears how long it has been."""
    begun = clock()
    while True:
        living = alive()  # before the question: what answers after a death is somebody else
        if living and answers():
            return Wait.READY
        waited = clock() - begun
        if not living:
            return Wait.DIED
        if waited >= seconds:
            return Wait.SILENT
        tick(waited)
        sleep(min(0.25, max(0.01, seconds - waited)))


def tail(log: Path, count: int = 15) -> List[str]:
    """The last lines of a log, without colours and without the earlier states of a progress bar."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = [_ESCAPE.sub("", line.rstrip("\r").rpartition("\r")[2]).rstrip() for line in text.split("\n")]
    return [line for line in lines if line][-count:]


# --- ending -------------------------------------------------------------------------------------------------------------


def end(daemon: Daemon, patience: float = 10.0) -> bool:
    """End the process and those it started; False if it had ended before, and whoever has its number now is left alone.

    Asked first, forced after `patience` seconds. Raises ServiceError if even that does not help.
    """
    if not is_alive(daemon):
        return False
    for force, seconds in ((False, patience), (True, 5.0)):
        _end(daemon.pid, force)
        if _gone_within(daemon, seconds):
            return True
    raise ServiceError(f"process {daemon.pid} cannot be ended", "it hangs inside the system; restarting helps")


def _end(pid: int, force: bool) -> None:
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(pid)], capture_output=True, check=False)
        return
    number = signal.SIGKILL if force else signal.SIGTERM
    try:
        if os.getpgid(pid) == pid:  # as `spawn` made it: its children go with it
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError as err:
        raise ServiceError(f"process {pid} belongs to another user", "end it as that user") from err


def _gone_within(daemon: Daemon, seconds: float) -> bool:
    return wait_until(lambda: False, lambda: is_alive(daemon), seconds) is Wait.DIED
