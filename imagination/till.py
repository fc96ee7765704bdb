"""What every request of a run took is on disk before anything is made of the answer.

Stands right before the vision model, behind the cache: what is told here was asked for and paid for, whether it failed, was
left out of every artefact by a kill, or belongs to an iteration that was set aside. The run's budget goes by it.
"""

from __future__ import annotations

import logging
import threading
from typing import Optional

from .assess import usage_of
from .errors import ImaginationError, VisionError
from .judge import Asks
from .model import Answer, Request, Usage
from .store import Run

log = logging.getLogger(__name__)


class Till:
    """A vision model that keeps account. Safe to ask from several threads. `paid`: what the run took by now."""

    def __init__(self, vision: Asks, run: Run, paid: Optional[Usage]) -> None:
        self._vision = vision
        self._run = run
        self._paid = paid or Usage()
        self._lock = threading.Lock()

    def ask(self, request: Request) -> Answer:
        """The model's answer. Raises what the model raises."""
        try:
            answer = self._vision.ask(request)
        except VisionError as err:
            self._take(usage_of(err))
            raise
        self._take(answer.usage)
        return answer

    def _take(self, usage: Usage) -> None:
        """No disk trouble here ends a run: the next request tells of this one as well."""
        with self._lock:
            self._paid = self._paid + usage
            try:
                self._run.write_paid(self._paid)
            except ImaginationError as err:
                log.warning("what the run has paid could not be written: %s", err)
