"""The doors of the two commands. What they need is imported here: Ctrl-C in the first tenth of a second is a stop as well."""

from __future__ import annotations

import contextlib
import signal
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
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
