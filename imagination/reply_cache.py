"""Answers that were paid for are never asked for again: kept in the run's folder, found by what decides them.

Stands before the vision model, at the seam that the judge asks through. Asking again on purpose is a request with another
`look`, which is another question here. What cannot be read back is asked for anew, never an error.

What an answer has cost is counted once. Where the process that got it was killed before it came to the run's totals, the
process that finds it here counts it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from dataclasses import replace
from typing import Any, Callable, Dict, List, Optional, Set
from urllib.parse import urlsplit

from .assess import usage_of
from .errors import ImaginationError, VisionError
from .judge import Asks
from .model import Answer, CachedReply, Request, Usage, VisionSettings
from .replies import parse_reply
from .store import Run
from .till import Till
from .vision_policy import accepted

log = logging.getLogger(__name__)
MADE_OF = 1  # rises when a key comes to be made of other things
_DECIDING = ("provider", "model", "fallback_provider", "fallback_model", "options", "think", "max_tokens")


class ReplyCache:
    """A vision model that remembers. Safe to ask from several threads; failures are not kept, but what a model left out is
    left out again: whoever wants it asks otherwise, or takes another look.

    `bookings` says how often the run's totals were written by now (-1: nobody counts), `paid` what the run has taken.
    """

    def __init__(
        self,
        vision: Asks,
        run: Run,
        settings: VisionSettings,
        bookings: Callable[[], int] = lambda: -1,
        paid: Optional[Usage] = None,
    ) -> None:
        self._vision = vision
        self._run = run
        self._asked = deciding(settings)
        self._bookings = bookings
        self._till = Till(run, paid)
        self._counted: Set[str] = set()  # in this process
        self._lock = threading.Lock()  # two threads with one question would write the same file at once

    def ask(self, request: Request) -> Answer:
        """The answer given earlier in this run, else the model's. Raises what the model raises."""
        key = reply_key(request, self._asked)
        known = self._known(key, request)
        if known is not None:
            log.info("%s: answered earlier in this run, not asked again", request.purpose)
            return known
        booked: List[Usage] = []

        def book(usage: Usage) -> None:
            booked.append(usage)
            self._till.take(usage)

        try:
            answer = self._vision.ask(replace(request, book=book))
        except VisionError as err:
            self._till.take(usage_of(err) - sum(booked, Usage()))
            raise
        self._counted.add(key)
        self._till.take(answer.usage - sum(booked, Usage()), lambda paid: self._keep(key, request, answer, paid))
        return answer

    def _known(self, key: str, request: Request) -> Optional[Answer]:
        try:
            reply = self._run.cached(key)
        except ImaginationError as err:
            log.warning("%s; it is ignored, and the model is asked again", err.message)
            return None
        if reply is None:
            return None
        values = _fitting(reply, request) if (reply.key, reply.purpose) == (key, request.purpose) else None
        if values is None or not reply.call.success:
            where = self._run.cache_file(key)
            log.warning("%s holds no answer to this; it is ignored, and the model is asked again", where)
            return None
        self._till.was(reply.paid)
        call = reply.call.model_copy(update={"cached": True})
        return Answer(values, reply.text, tuple(reply.missing), call, self._uncounted(reply))

    def _uncounted(self, reply: CachedReply) -> Usage:
        """What an answer has cost, if it came after the last time that the run's totals were written."""
        with self._lock:
            is_new = reply.key not in self._counted
            self._counted.add(reply.key)
        return reply.usage if is_new and 0 <= reply.booked == self._bookings() else Usage()

    def _keep(self, key: str, request: Request, answer: Answer, paid: Usage) -> None:
        """No disk trouble here ends a run: the artefacts that come of the answer are what counts."""
        if not answer.call.success:
            return
        try:
            reply = CachedReply(
                key=key,
                purpose=request.purpose,
                values=answer.values,
                text=answer.text,
                missing=list(answer.missing),
                call=answer.call,
                usage=answer.usage,
                booked=self._bookings(),
                paid=paid,
            )
            with self._lock:
                self._run.write_cached(reply)
        except (ImaginationError, ValueError) as err:
            log.warning("the answer to %s could not be kept for another time: %s", request.purpose, err)


def reply_key(request: Request, asked: Dict[str, Any]) -> str:
    """A sha256 over all that decides the reply; `asked` is what `deciding` says of the model."""
    parts = {
        "made_of": MADE_OF,
        "purpose": request.purpose,
        "instruction": request.instruction,
        "pictures": [[picture.label, picture.sha256] for picture in request.pictures],
        "schema": request.schema,
        "accept": request.accept,
        "look": request.look,
        "asked": asked,
    }  # the order of a schema's properties is the order in which a model writes: it is left as it is
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode("ascii")).hexdigest()


def deciding(settings: VisionSettings) -> Dict[str, Any]:
    """What of AIVis.yaml decides a reply: who is asked, where, and how; without names and passwords in an address."""
    found = settings.model_dump(mode="json", include=set(_DECIDING))
    places = {"base_url": _place(settings.base_url), "fallback_base_url": _place(settings.fallback_base_url)}
    return {**{name: found[name] for name in _DECIDING}, **places}


def _place(url: Optional[str]) -> Optional[str]:
    """Where an address leads."""
    if not url:
        return None
    parts = urlsplit(url if "://" in url else f"//{url}")
    return f"{parts.scheme}://{parts.hostname}:{parts.port}{parts.path}"


def _fitting(reply: CachedReply, request: Request) -> Optional[Dict[str, Any]]:
    """The values as the request's schema wants them, but for what was left out, or None: a file that somebody put there
    holds anything.
    """
    if request.schema is None:
        return {} if reply.text.strip() and not reply.values and not reply.missing else None
    wanted = accepted(request)
    left_out = [name for name in wanted.get("required") or () if name not in reply.values]
    values = parse_reply(json.dumps(reply.values), {**wanted, "required": []} if left_out else wanted)
    return values if values and values == reply.values and left_out == reply.missing else None
