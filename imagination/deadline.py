"""Work that must be over by a certain time, whatever the other side does."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait
from typing import Callable, TypeVar

T = TypeVar("T")

TICK = 0.2  # s between looks at a result; a longer wait on Windows would hold Ctrl-C back


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return `work()`, run in a thread of its own; `TimeoutError` after `seconds`, and then the thread is left behind.

    A socket's read timeout starts anew with each byte, so a server that drips (headers, or keep-alive blanks) outlasts
    it. Waiting here, in short ticks, is also what lets Ctrl-C through at once on every platform.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as err:
            future.set_exception(err)

    deadline = time.monotonic() + seconds
    threading.Thread(target=run, name="request", daemon=True).start()
    while not future.done():
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        wait([future], timeout=min(left, TICK))
    return future.result()
