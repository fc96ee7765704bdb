"""The doors of the two commands. What they need is imported here: Ctrl-C in the first tenth of a second is a stop as well."""

from __future__ import annotations

import os
import signal
import sys


def iterate() -> None:
    """Run `iterative-imagination`."""
    with _Process():
        from .cli import main

        main()


def control() -> None:
    """Run `iterativectl`."""
    with _Process():
        from .ctl import main

        main()


class _Process:
    """All that the process does. Once it is done no signal is heard: it would strike Python in its last steps.

    No generator under `contextlib`: Ctrl-C is only ours once this is entered, and that module takes its time.
    """

    def __enter__(self) -> None:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _stop_at_once)

    def __exit__(self, kind: object, err: object, trace: object) -> None:
        sys.unraisablehook = lambda dropped: None  # Python would tell of a signal that comes just now
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        if isinstance(err, KeyboardInterrupt):
            raise SystemExit(130) from None


def _stop_at_once(number: int, frame: object) -> None:
    """Ctrl-C before a command has begun (then `guard` takes over): some of what is being loaded would swallow an exception."""
    os.write(2, b"\nstopped\n")
    os._exit(130)
