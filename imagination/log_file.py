"""`logs/app.log` of a project, and how its records are written down."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import shlex
import sys
from typing import Iterator

from .errors import StoreError
from .store import Store
from .streams import clean

log = logging.getLogger(__name__)


@contextlib.contextmanager
def logged(store: Store, verbose: bool) -> Iterator[None]:
    """logs/app.log, turned over at 5 MB; with --verbose in detail, and on stderr as well."""
    logger = logging.getLogger("imagination")
    level = logging.DEBUG if verbose else logging.INFO
    handlers = [_log_file(store)]
    if verbose:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
    before = logger.level, logger.propagate
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield
    finally:
        logger.setLevel(before[0])
        logger.propagate = before[1]
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


class _OneLine(logging.Formatter):
    """A message is one line without control characters: what a model wrote can neither fake lines nor colour a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = clean(record.message, 20_000)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Format it; a path of bytes that are no UTF-8 is written as escapes."""
        return super().format(record).encode("utf-8", "backslashreplace").decode("utf-8")


class _LogFile(logging.handlers.RotatingFileHandler):
    """A log file that cannot be written is warned of once; it is tried again with each record, and ends no run."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:
        if self._told:
            return
        self._told = True
        reason = getattr(sys.exc_info()[1], "strerror", None) or sys.exc_info()[1]
        log.warning("%s cannot be written: %s; the run goes on", self.baseFilename, reason)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what could not be written is tried once more, and was told of
            super().close()


def _log_file(store: Store) -> logging.Handler:
    path = store.log_file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_fifo() or path.is_socket():  # to open a pipe that nobody reads would be to wait for good
            raise StoreError(f"{path} is no regular file", f"remove it: rm {shlex.quote(str(path))}")
        return _LogFile(path, maxBytes=5_000_000, backupCount=3, encoding="utf-8")
    except OSError as err:
        raise StoreError(f"{path} cannot be written: {err.strerror or err}") from err
