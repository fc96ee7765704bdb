"""The doors of the two commands. What they need is imported here: Ctrl-C in the first tenth of a second is a stop as well."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Iterator


def iterate() -> None:
    """Run `iterative-imagination`."""
    with _process():
        from .cli import main

        main()


def control() -> None:
    """Run `iterativectl`."""
    with _process():
        from .ctl import main

        main()


@contextlib.contextmanager
def _process() -> Iterator[None]:
    """All that the process does. Once it is done no signal is heard: it would strike Python in its last steps."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop_at_once)
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        sys.unraisablehook = lambda dropped: None  # Python would tell of a signal that comes just now
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)


def _stop_at_once(number: int, frame: object) -> None:
    """Ctrl-C before a command has begun (then `guard` takes over): some of what is being loaded would swallow an exception."""
    os.write(2, b"\nstopped\n")
    os._exit(130)
