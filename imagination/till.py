"""What every request of a run took is on disk before anything is made of the answer, and before another one is sent.

What is told here was asked for and paid for, whether it failed, was left out of every artefact by a kill, or belongs to an
iteration that was set aside. The run's budget goes by it.
"""

from __future__ import annotations

import threading
from typing import Callable, Optional

from .model import Usage
from .store import Run


class Till:
    """The account of a run, safe to use from several threads. `paid`: what the run took by now."""

    def __init__(self, run: Run, paid: Optional[Usage]) -> None:
        self._run = run
        self._paid = paid or Usage()
        self._lock = threading.Lock()

    def take(self, usage: Usage, keep: Callable[[Usage], None] = lambda _: None) -> None:
        """Count requests; `keep` is given the account first, and keeps it with the answer: a kill loses neither then."""
        with self._lock:
            self._paid = self._paid + usage
            keep(self._paid)
            self._write()

    def was(self, paid: Optional[Usage]) -> None:
        """Go by the account that an answer was kept with, where a kill came before it was written."""
        with self._lock:
            if paid is not None and paid.requests > self._paid.requests:
                self._paid = paid
                self._write()

    def _write(self) -> None:
        """Raises StoreError: on a disk that takes no more, the next answers would be paid for and lost as well."""
        self._run.write_paid(self._paid)
