"""One run at a time on a project: a lock, and beside it a note of the process that holds it, for all who ask."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any, Dict, Iterator

from .disk import read_json, write_json
from .errors import ConfigError, StoreError


@contextlib.contextmanager
def hold(working: Path) -> Iterator[None]:
    """Hold the project of a `working/` for this process. Raises StoreError that names the run holding it."""
    from filelock import FileLock, Timeout

    from .daemons import identity

    try:
        working.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(working / ".run.lock"), timeout=0)
        lock.acquire()
    except Timeout as err:
        raise _taken(working) from err
    except OSError as err:
        raise StoreError(f"{working} cannot be written: {err.strerror or err}") from err
    with contextlib.ExitStack() as held:
        held.callback(lock.release)
        if is_held(working):  # somebody has removed the lock's file, and with it the lock
            raise _taken(working)
        own = {
            "pid": os.getpid(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            "started": identity(os.getpid()),
            "folder": str(working.resolve()),
        }
        write_json(_note(working), own, durable=False)
        held.callback(_remove, _note(working))
        yield


def is_held(working: Path) -> bool:
    """Say whether a process holds the project. One that was killed leaves its note behind, and its number may be another's
    by now: so it counts when it began as well. Of a project that was copied while it was held, the note is the first one's.
    """
    from .daemons import identity

    left = _left(working)
    pid, started = left.get("pid"), left.get("started")
    if left.get("folder", str(working.resolve())) != str(working.resolve()):
        return False
    return type(pid) is int and isinstance(started, str) and 0 < pid < 2**31 and identity(pid) == started


def _taken(working: Path) -> StoreError:
    left = _left(working)
    who = f" (process {left.get('pid')}, since {left.get('since')})" if left else ""
    return StoreError(f"another run is at work on {working.parent.name}{who}", "wait for it, or stop it")


def _left(working: Path) -> Dict[str, Any]:
    try:
        return read_json(_note(working)) or {}
    except (StoreError, ConfigError):
        return {}


def _note(working: Path) -> Path:
    return working / ".run.lock.json"


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
