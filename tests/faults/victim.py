"""A run in a process that ends, or meets a full disk, at a chosen point.

A point is a place where the run touches the world: a file of its project is opened for writing, renamed, removed, a folder
is made, a request is sent. Python tells of each through its audit hooks, so nothing in the program is patched.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence, Tuple

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
NETWORK = ("http.client.connect", "http.client.send", "socket.connect")
MOVES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")
TORN = 16  # bytes that are written of a file that is cut short, or that a disk still takes
PATIENCE = 120  # s after which a run counts as hung

Act = Callable[[], None]


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit code (negative: the signal), what it printed, and the points it passed."""

    code: int
    output: str
    points: Tuple[str, ...]

    @property
    def hung(self) -> bool:
        return self.code == -signal.SIGALRM

    @property
    def traceback(self) -> bool:
        return "Traceback" in self.output


def point(event: str, arguments: Tuple[Any, ...], workspace: str) -> Optional[str]:
    """The name of a point, if the event is one."""
    if event in NETWORK:
        return event
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, (str, bytes)) and os.fsdecode(path).startswith(workspace) and (flags or 0) & WRITES:
            return f"open {_short(path, workspace)}"
        return None
    if event not in MOVES or not arguments or not isinstance(arguments[0], (str, bytes)):
        return None
    return f"{event} {_short(arguments[0], workspace)}" if os.fsdecode(arguments[0]).startswith(workspace) else None


def _short(path: Any, workspace: str) -> str:
    return os.fsdecode(path)[len(workspace) :]


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # it does not come back from this


def tear() -> None:
    """Let the file that is opened now be cut short, and the process end with SIGXFSZ as it is: between two of its writes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (TORN, TORN))


def full_disk() -> None:
    """Refuse to open, to rename, to make a folder."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def filling_disk() -> None:
    """Refuse what is written beyond the first bytes (EFBIG), until the next point."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (TORN, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def roomy_disk() -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def signalled(number: int) -> Act:
    return lambda: os.kill(os.getpid(), number)


def run(
    workspace: Path,
    arguments: Sequence[str],
    at: Optional[int] = None,
    act: Act = kill,
    only: Callable[[str], bool] = lambda name: True,
    lasting: bool = False,
) -> Ended:
    """Run the tool in a child; at point number `at` (from 1, of those that `only` counts) do `act`, from then on if `lasting`."""
    trace = workspace / "points.txt"
    trace.write_bytes(b"")
    heard, said = os.pipe()  # no file, which a full disk would fall silent with
    child = os.fork()
    if child == 0:
        _child(workspace, arguments, at, act, only, lasting, said, trace)
    os.close(said)
    with os.fdopen(heard, encoding="utf-8", errors="replace") as pipe:
        output = pipe.read()
    _, status = os.waitpid(child, 0)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return Ended(code, output, tuple(trace.read_text(encoding="utf-8").splitlines()))


def _child(
    workspace: Path,
    arguments: Sequence[str],
    at: Optional[int],
    act: Act,
    only: Callable[[str], bool],
    lasting: bool,
    said: int,
    trace: Path,
) -> None:
    code = 70
    try:
        signal.alarm(PATIENCE)
        if act is tear:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and would go on
        os.dup2(said, 1)
        os.dup2(said, 2)
        log = os.open(str(trace), os.O_WRONLY | os.O_APPEND)
        _watch(f"{workspace}/projects", at, act, only, lasting, log)
        from imagination.cli import main

        main.main(args=[*arguments, "--workspace", str(workspace)], prog_name="iterative_imagination")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _watch(projects: str, at: Optional[int], act: Act, only: Callable[[str], bool], lasting: bool, log: int) -> None:
    state: List[int] = [0]

    def hook(event: str, arguments: Tuple[Any, ...]) -> None:
        name = point(event, arguments, projects)
        if name is None or not only(name):
            return
        state[0] += 1
        if act is filling_disk:
            roomy_disk()
        os.write(log, f"{name}\n".encode())
        if at is not None and (state[0] == at or (lasting and state[0] > at)):
            act()

    sys.addaudithook(hook)


def warm() -> None:
    """Load what every run loads, so that each child starts at once."""
    import imagination.cli
    import imagination.comfyui
    import imagination.ollama
    import imagination.runner
    import imagination.sandbox  # noqa: F401
