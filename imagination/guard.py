"""What any command does under: the one place where an error meets the terminal, and where signals become Ctrl-C.

Kept small and without heavy imports, as every command begins here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Callable, Dict, Iterator, List, Optional, Union

from . import streams
from .errors import ConfigError, ImaginationError, StoreError, Terminated
from .streams import clean

log = logging.getLogger(__name__)
_NO_MORE = 0  # no signal has this number


def guarded(act: Callable[[], int], stopped: Union[str, Callable[[], str]] = "stopped") -> int:
    """Do what a command does; an error of ours is told; Ctrl-C, SIGTERM and SIGHUP end it. Returns the exit code.

    `stopped`: what is said then.
    """
    streams.prepare()
    try:
        with _terminable() as stops:
            try:
                code = act()
                sys.stdout.flush()  # what cannot be written is told of here, not by Python at its end
                return code
            except ImaginationError as err:
                return _told(err)
            except OSError as err:  # a folder that may not be entered, a disk that is gone: the user's to mend
                return _told(_from_the_system(err))
            except Exception:
                if stops:  # something on the way has made an error of its own of it
                    raise stops[-1] from None
                raise
    except KeyboardInterrupt as err:
        sys.stderr.write(f"\n{stopped if isinstance(stopped, str) else stopped()}\n")
        return err.exit_code if isinstance(err, Terminated) else 130


def _from_the_system(err: OSError) -> ImaginationError:
    """What the system refused, as an error of ours."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return ConfigError("the current folder has been removed", "go to one that is there: cd DIR")
    named = f"{err.filename}: " if err.filename else ""
    return StoreError(f"{named}{err.strerror or err}", "look at the permissions and the disk")


def _told(err: ImaginationError) -> int:
    tell(err)
    return err.exit_code


def tell(err: ImaginationError) -> None:
    """Show an error on stderr: what is wrong, each problem of several, what to do about each."""
    log.debug("stopped by %s", type(err).__name__, exc_info=err)
    problems = err.problems
    lines = [f"error: {clean(err.message, 2000)}"]
    lines += [f"  {clean(problem, 2000)}" for problem in problems if len(problems) > 1]
    lines += [f"hint: {clean(line, 2000)}" for line in err.hint.splitlines()]  # each is pasted on its own
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()  # Python 3.8 buffers what is no terminal


@contextlib.contextmanager
def _terminable() -> Iterator[List[KeyboardInterrupt]]:
    """Let SIGTERM and SIGHUP stop a command the way Ctrl-C does; a command that was stopped hears nothing more.

    Yields what was raised for that so far. Only the main thread can hear signals.
    """
    stops: List[KeyboardInterrupt] = []
    if threading.current_thread() is not threading.main_thread():
        yield stops
        return

    again: queue.SimpleQueue[int] = queue.SimpleQueue()  # whose `put` may be interrupted by another

    def stop(number: int, frame: Optional[FrameType]) -> None:
        # pydantic for one, in the middle of a class, cannot bear to be interrupted; and what `dropped` raises is dropped too
        if _is_loading(frame) or _is_in(frame, dropped.__code__):
            again.put(number)
            return
        if number not in (signal.SIGINT, signal.SIGTERM):  # a terminal that closes tells of it more than once
            signal.signal(number, signal.SIG_IGN)
        stops.append(KeyboardInterrupt() if number == signal.SIGINT else Terminated(128 + number))
        raise stops[-1]

    def dropped(what: Any) -> None:
        """Send a stop once more that Python would print and drop, as it came while an object was being cleared away."""
        if not isinstance(what.exc_value, KeyboardInterrupt):
            if not (stops and isinstance(what.exc_value, OSError)):  # of a signal that came when none is heard any more
                told_before(what)
            return
        number = what.exc_value.exit_code - 128 if isinstance(what.exc_value, Terminated) else int(signal.SIGINT)
        if number in heard:
            signal.signal(number, stop)
        again.put(number)

    heard = [signal.SIGTERM]
    if callable(signal.getsignal(signal.SIGINT)):  # not as in a shell's background job
        heard.append(signal.SIGINT)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under `nohup`
        heard.append(signal.SIGHUP)
    afterwards: Dict[int, Any] = {number: signal.signal(number, stop) for number in heard}
    told_before, sys.unraisablehook = sys.unraisablehook, dropped
    # begun now: what a signal interrupts may be the start of a thread, which cannot be begun twice
    over = threading.Event()
    threading.Thread(target=_send_again, args=[again, over], name="stops", daemon=True).start()
    try:
        yield stops
    except KeyboardInterrupt:
        afterwards = dict.fromkeys(heard, signal.SIG_IGN)
        raise
    finally:
        for number, handler in afterwards.items():
            signal.signal(number, handler)
        sys.unraisablehook = told_before
        over.set()
        again.put(_NO_MORE)


def _is_loading(frame: Optional[FrameType]) -> bool:
    """Say whether a module is being imported."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _is_in(frame: Optional[FrameType], code: CodeType) -> bool:
    """Say whether some code is at work."""
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None


def _send_again(numbers: queue.SimpleQueue[int], over: threading.Event) -> None:
    """Send each signal a moment after it is put here, until it is over."""
    for number in iter(numbers.get, _NO_MORE):
        if over.wait(0.01):
            return
        _send(number)


def _send(number: int) -> None:
    """Send this process a signal: to its main thread, whatever that waits for."""
    if os.name == "nt":  # where `os.kill` would end it
        signal.raise_signal(number)
    else:
        os.kill(os.getpid(), number)
