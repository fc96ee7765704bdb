"""The generator's queue and history: what waits, what runs, what is done. Safe to use from several threads."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

HISTORY_LENGTH = 10000  # entries kept, as in ComfyUI


@dataclass(frozen=True)
class Job:
    """One accepted prompt."""

    number: float
    prompt_id: str
    graph: Dict[str, Any]
    extra_data: Dict[str, Any]
    outputs: Tuple[str, ...]

    @property
    def client_id(self) -> Optional[str]:
        """The client that hears of this job. Nobody's job has none, and its progress goes to everyone."""
        client_id = self.extra_data.get("client_id")
        return client_id if isinstance(client_id, str) else None

    @property
    def has_client(self) -> bool:
        return self.extra_data.get("client_id") is not None

    def entry(self) -> List[Any]:
        """Give the job as /queue and /history show it."""
        return [self.number, self.prompt_id, self.graph, self.extra_data, list(self.outputs)]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: `messages` are the (type, data) pairs that history keeps."""

    succeeded: bool
    outputs: Dict[str, Any] = field(default_factory=dict)
    messages: Tuple[Tuple[str, Dict[str, Any]], ...] = ()


class JobQueue:
    """Jobs in the order of their numbers, one of them running at a time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: List[Tuple[float, int, Job]] = []
        self._count = itertools.count()
        self._running: Optional[Job] = None
        self._history: OrderedDict[str, Dict[str, Any]] = OrderedDict()
        self._interrupted = False
        self._free = False
        self._closed = False

    # -- what clients ask for

    def put(self, job: Job, announce: Callable[[], None]) -> None:
        """Add a job; `announce` is called before it can be taken up, so that its news comes first."""
        with self._changed:
            heapq.heappush(self._waiting, (job.number, next(self._count), job))
            announce()
            self._changed.notify_all()

    def remaining(self) -> int:
        """Count the jobs that wait or run."""
        with self._changed:
            return len(self._waiting) + (self._running is not None)

    def snapshot(self) -> Dict[str, Any]:
        """Give the answer of GET /queue; the waiting ones are in no particular order."""
        with self._changed:
            running = [] if self._running is None else [self._running.entry()]
            return {"queue_running": running, "queue_pending": [job.entry() for _, _, job in self._waiting]}

    def delete(self, prompt_id: str) -> bool:
        """Take one waiting job of that id out; False if there is none (a running one goes on)."""
        with self._changed:
            for item in self._waiting:
                if item[2].prompt_id == prompt_id:
                    self._waiting.remove(item)
                    heapq.heapify(self._waiting)
                    return True
            return False

    def clear(self) -> None:
        with self._changed:
            self._waiting.clear()

    def interrupt(self, prompt_id: str = "") -> None:
        """Ask the running job to stop at its next step, if it is the one named or none is."""
        with self._changed:
            if self._running is not None and prompt_id in ("", self._running.prompt_id):
                self._interrupted = True

    def free(self) -> None:
        """Have the results of earlier runs forgotten once nothing runs."""
        with self._changed:
            self._free = True
            self._changed.notify_all()

    def history(self, prompt_id: Optional[str] = None, most: Optional[int] = None, offset: int = -1) -> Dict[str, Any]:
        """Give one entry, or up to `most` of them: from the oldest plus `offset` on, or the newest (offset -1)."""
        with self._changed:
            if prompt_id is not None:
                return {prompt_id: self._history[prompt_id]} if prompt_id in self._history else {}
            if offset < 0 and most is not None:
                offset = len(self._history) - most
            start = max(offset, 0)
            return dict(itertools.islice(self._history.items(), start, None if most is None else start + most))

    def forget(self, prompt_ids: Optional[Sequence[str]] = None) -> None:
        """Delete those entries of the history, or all."""
        with self._changed:
            for prompt_id in list(self._history) if prompt_ids is None else prompt_ids:
                self._history.pop(prompt_id, None)

    def close(self) -> None:
        """End the worker: what runs is interrupted, what waits is dropped."""
        with self._changed:
            self._closed = self._interrupted = True
            self._waiting.clear()
            self._changed.notify_all()

    # -- what the worker asks for

    def next(self) -> Optional[Job]:
        """Wait for something to do: a job, or None when memory is to be freed or the queue was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._free or self._closed)
            if self._free or self._closed or not self._waiting:
                return None
            self._running = heapq.heappop(self._waiting)[2]
            self._interrupted = False
            return self._running

    def is_closed(self) -> bool:
        return self._closed

    def is_interrupted(self) -> bool:
        return self._interrupted

    def take_free(self) -> bool:
        """Say whether memory is to be freed, once."""
        with self._changed:
            wanted, self._free = self._free, False
            return wanted

    def done(self, job: Job, outcome: Outcome, meta: Mapping[str, Any]) -> None:
        with self._changed:
            self._running = None
            self._history.pop(job.prompt_id, None)
            status = "success" if outcome.succeeded else "error"
            messages = [list(message) for message in outcome.messages]
            self._history[job.prompt_id] = {
                "prompt": job.entry(),
                "outputs": outcome.outputs,
                "status": {"status_str": status, "completed": outcome.succeeded, "messages": messages},
                "meta": dict(meta),
            }
            while len(self._history) > HISTORY_LENGTH:
                self._history.popitem(last=False)
