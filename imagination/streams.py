"""What a command writes to, and what of a text may be written there. Nobody may be reading any more, which is no reason
to end.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import sys
from typing import Any, TextIO

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")
READER_GONE = (errno.EPIPE, errno.ECONNRESET, errno.EIO)  # a pipe, a socket, a terminal that was closed


class Heedless(io.FileIO):
    """A file descriptor that says nothing of a reader that went away, and of other faults once; then all goes nowhere.

    `of_anything`: it says nothing of those either, as on stderr, where there is no other place to tell of it.
    """

    def __init__(self, descriptor: int, of_anything: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._of_anything = of_anything

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as err:
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.fileno())
                os.close(nowhere)
            if self._of_anything or err.errno in READER_GONE:
                return memoryview(data).nbytes
            raise


def prepare() -> None:
    """No command ends of its output: what it cannot show (a pipe on Windows, an ASCII locale) is written as an escape,
    and where there is none at all (`>&-`, a service), or the reader goes away (`| head`), nobody reads.
    """
    sys.stdout = _heedless(sys.stdout, sys.__stdout__, of_anything=False)
    sys.stderr = _heedless(sys.stderr, sys.__stderr__, of_anything=True)


def _heedless(stream: Any, original: Any, of_anything: bool) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  # for as long as the process
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # with `python -u` there is nothing in between
    if stream is original and isinstance(raw, io.FileIO):  # neither a console of Windows nor what a test puts there
        stream.flush()
        return io.TextIOWrapper(
            io.BufferedWriter(Heedless(stream.fileno(), of_anything)),
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=of_anything or stream.line_buffering or stream.write_through,
        )
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream  # type: ignore[no-any-return]


def clean(text: str, limit: int = 500) -> str:
    """`text` on one line without control characters or direction marks: an ANSI escape in a reply stays harmless."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
