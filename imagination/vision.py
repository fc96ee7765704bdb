"""Asking a vision model until there is an answer: retries, repair of replies, fallback provider, and what each call took.

Providers do one exchange, `vision_policy` decides what follows it, `Vision` acts on that. Wording the instruction is the
caller's work; only a sentence that asks for a better reply is added on the way.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, wait
from dataclasses import replace
from typing import Callable, List, Mapping, Optional, Sequence, Tuple, TypeVar, Union

from pydantic import SecretStr

from .deadline import TICK
from .errors import ConfigError, UnreadableReply, VisionBusy, VisionError, VisionRefused, VisionTimedOut
from .model import Answer, CallRecord, Request, Usage, VisionSettings
from .ollama import Ollama
from .ollama_wire import origins
from .openrouter import OpenRouter, is_public, openrouter_url
from .providers import Origins, Provider, Reply, clean_key, usage_of
from .vision_policy import (
    LONGEST_WAIT,
    Attempt,
    CutOff,
    Readout,
    first_attempt,
    looking,
    next_attempt,
    read_part,
    read_reply,
    reseeded,
    rest_of,
    worded,
)

log = logging.getLogger(__name__)
T = TypeVar("T")


class AskFailed(VisionError):
    """No provider answered. `call` is what the artefact records, `usage` what the attempts took."""

    def __init__(self, message: str, hint: str, call: CallRecord, usage: Usage) -> None:
        super().__init__(message, hint)
        self.call = call
        self.usage = usage


class Backend:
    """A provider of this run, made when first needed, with how its requests begin and whether it is out of the run."""

    def __init__(self, name: str, model: str, make: Callable[[], Provider], first: Attempt) -> None:
        self.name = name
        self.model = model
        self.first = first
        self.refusal: Optional[VisionRefused] = None  # a lasting one: not asked again in this run
        self.used = False
        self._make = make
        self._provider: Optional[Provider] = None
        self._lock = threading.Lock()

    @property
    def provider(self) -> Provider:
        with self._lock:
            if self._provider is None:
                self._provider = self._make()
            return self._provider

    def __str__(self) -> str:
        return f"{self.name} ({self.model})" if self.model != self.name else self.name


class _Ledger:
    """The attempts of one `ask`, and what those took that are not its last."""

    def __init__(self, book: Callable[[Usage], None]) -> None:
        self.attempts = 0
        self.usage = Usage()
        self._book = book

    def book(self, usage: Usage) -> None:
        """Count what brought no answer, or a part of one: a kill while the next attempt is waited for must not lose it."""
        self.usage = self.usage + usage
        self._book(usage)


class Vision:
    """The vision model of a run, with its fallback. Safe to ask from several threads (`together`)."""

    def __init__(
        self,
        backends: Sequence[Backend],
        *,
        retries: int = 2,
        retry_delay: float = 5.0,
        max_concurrent: int = 1,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backends = tuple(backends)  # the provider, then the fallback if there is one
        self._retries = retries
        self._retry_delay = retry_delay
        self._max_concurrent = max_concurrent
        self._sleep = sleep
        self._clock = clock

    @classmethod
    def from_settings(
        cls,
        settings: VisionSettings,
        environ: Mapping[str, str],
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        start_builtin: Optional[Callable[[], str]] = None,
    ) -> Vision:
        """Build from AIVis.yaml. `environ` may hold OLLAMA_HOST, OLLAMA_API_KEY and OPENROUTER_API_KEY."""
        start = start_builtin or _start_builtin
        key = settings.api_key
        backends = [_backend(settings, settings.provider, settings.model, "base_url", key, environ, sleep, start)]
        if settings.fallback_provider:
            name, model, place = settings.fallback_provider, settings.fallback_model or "", "fallback_base_url"
            backends.append(_backend(settings, name, model, place, None, environ, sleep, start))
        return cls(
            backends,
            retries=settings.retries,
            retry_delay=settings.retry_delay,
            max_concurrent=settings.max_concurrent,
            sleep=sleep,
            clock=clock,
        )

    def ask(self, request: Request) -> Answer:
        """Return the answer of the provider or else of the fallback; raise `AskFailed` when none gave one."""
        ledger = _Ledger(request.book)
        request = replace(request, book=ledger.book)
        troubles: List[str] = []
        for number, backend in enumerate(self._backends):
            try:
                return self._ask_one(backend, request, ledger, number > 0, "; ".join(troubles) or None)
            except VisionError as err:
                log.warning("%s, %s: %s", request.purpose, backend, err.message)
                troubles.append(f"{backend}: {err.message}")
                last = err
        call = CallRecord(
            provider=self._backends[-1].name,
            model=self._backends[-1].model,
            using_fallback=len(self._backends) > 1,
            success=False,
            attempts=ledger.attempts,
            error="; ".join(troubles),
        )
        raise AskFailed(f"no answer from {'; nor from '.join(troubles)}", last.hint, call, ledger.usage) from last

    def _ask_one(
        self, backend: Backend, request: Request, ledger: _Ledger, is_fallback: bool, error: Optional[str]
    ) -> Answer:
        if backend.refusal is not None:
            raise backend.refusal
        started = self._clock()
        first = looking(backend.first, request.look)
        reply, readout = self._attempts(backend, request, first, ledger)
        last = reply.usage
        if readout.missing and not request.in_parts:
            ledger.book(last)
            last, readout = self._complete(backend, request, first, readout, ledger)
        call = CallRecord(
            provider=backend.name,
            model=reply.model or backend.model,
            using_fallback=is_fallback,
            attempts=ledger.attempts,
            error=error,
        )
        log.info("%s: %s answered in %.1f s", request.purpose, backend, self._clock() - started)
        return Answer(readout.values, readout.text, readout.missing, call, ledger.usage + last)

    def _complete(
        self, backend: Backend, request: Request, first: Attempt, part: Readout, ledger: _Ledger
    ) -> Tuple[Usage, Readout]:
        """Ask once more, for the missing fields only, and lay the two together; without luck they stay missing."""
        log.info("%s: %s left out %s", request.purpose, backend, ", ".join(part.missing))
        again = replace(reseeded(first), repaired=True, lengthened=True)
        try:
            reply, rest = self._attempts(backend, rest_of(request, part.missing), again, ledger)
        except VisionError as err:
            log.warning("%s: the missing fields stay so: %s", request.purpose, err.message)
            return Usage(), part
        values = {**rest.values, **part.values}
        missing = tuple(name for name in part.missing if name not in values)
        return reply.usage, replace(part, values=values, missing=missing)

    def _attempts(self, backend: Backend, request: Request, attempt: Attempt, ledger: _Ledger) -> Tuple[Reply, Readout]:
        """Ask one provider until there is something readable, which is not booked, or nothing left to try."""
        while True:
            try:
                return self._attempt(backend, request, attempt, ledger)
            except VisionError as err:
                if isinstance(err, VisionRefused) and err.lasting:
                    backend.refusal = err
                following = next_attempt(attempt, err, self._retries, self._retry_delay)
                if following is None:
                    raise
                log.warning("%s: %s; trying again in %g s", request.purpose, err.message, following.wait)
                attempt = following
            if attempt.wait:
                self._sleep(attempt.wait)

    def _attempt(self, backend: Backend, request: Request, attempt: Attempt, ledger: _Ledger) -> Tuple[Reply, Readout]:
        backend.used = True
        ledger.attempts += 1
        try:
            reply = _ready(backend).complete(
                worded(request, attempt.problem),
                seed=attempt.seed,
                temperature=attempt.temperature,
                max_tokens=attempt.max_tokens,
            )
        except VisionError as err:
            ledger.book(usage_of(err))
            raise
        log.debug("%s: reply (%s): %s", request.purpose, reply.source, reply.text)
        try:
            return reply, _read(reply, request, attempt)
        except UnreadableReply:
            ledger.book(reply.usage)
            raise

    def together(self, *thunks: Callable[[], T]) -> List[Union[T, VisionError]]:
        """Run `thunks` with at most `max_concurrent` in flight; results in order, a `VisionError` in its thunk's place.

        Any other exception is raised once all have ended. Ctrl-C leaves at once: the threads are daemons.
        """
        if self._max_concurrent == 1 or len(thunks) < 2:
            return [_settled(thunk) for thunk in thunks]
        futures: List[Future[Union[T, VisionError]]] = [Future() for _ in thunks]
        waiting = list(zip(thunks, futures))
        for _ in range(min(self._max_concurrent, len(thunks))):
            threading.Thread(target=_work_off, args=(waiting,), name="vision", daemon=True).start()
        try:
            while wait(futures, timeout=TICK).not_done:  # in ticks: see `providers.within`
                pass
        except BaseException:
            waiting.clear()
            raise
        return [future.result() for future in futures]

    def preflight(self) -> Tuple[str, ...]:
        """Check provider and fallback before anything is made; return warnings.

        What the provider lacks is raised, unless a fallback passed its own check and can take over: then the run need
        not wait for it, and the lack is a warning. A missing key is always raised, being the user's own slip.
        """
        provider, *fallbacks = self._backends
        spare: Optional[Tuple[str, ...]] = None
        warnings: List[str] = []
        for fallback in fallbacks:
            try:
                spare = self._checked(fallback)
                warnings += [f"fallback {fallback}: {warning}" for warning in spare]
            except (VisionError, ConfigError) as err:
                warnings.append(f"the fallback {fallback} cannot step in: {err.message}")
        try:
            return (*self._checked(provider), *warnings)
        except VisionError as err:
            if spare is None:
                raise
            return (f"{err.message}; the fallback {fallbacks[0]} is asked instead", *warnings)

    def _checked(self, backend: Backend) -> Tuple[str, ...]:
        """The provider's check, again while its server is only busy (e.g. still loading the model)."""
        for _ in range(self._retries):
            try:
                return backend.provider.check()
            except (VisionBusy, VisionTimedOut) as err:
                if (err.retry_after or 0) > LONGEST_WAIT:
                    raise
                self._sleep(self._retry_delay if err.retry_after is None else err.retry_after)
        return backend.provider.check()

    def rest(self) -> None:
        """The iteration's last call is made: give memory back where the settings ask for it. Never raises for that."""
        for backend in self._backends:
            if not backend.used:
                continue
            backend.used = False
            try:
                backend.provider.unload()
            except VisionError as err:
                log.warning("%s was not unloaded: %s", backend, err.message)

    def close(self) -> None:
        """The run is over; the models may go."""
        self.rest()


def _ready(backend: Backend) -> Provider:
    """The provider, in mid-run: a built-in engine that cannot be started must not end a run that has other means."""
    try:
        return backend.provider
    except ConfigError as err:
        raise VisionRefused(err.message, err.hint, lasting=True) from err


def _read(reply: Reply, request: Request, attempt: Attempt) -> Readout:
    try:
        return read_reply(reply, request)
    except CutOff:
        if not attempt.lengthened and attempt.max_tokens > 0:
            raise
        return read_part(reply, request)  # more room did not help: what is there counts


def _settled(thunk: Callable[[], T]) -> Union[T, VisionError]:
    try:
        return thunk()
    except VisionError as err:
        return err


def _work_off(waiting: List[Tuple[Callable[[], T], Future[Union[T, VisionError]]]]) -> None:
    """Take thunks from the front until none is left (several threads do this at once)."""
    while True:
        try:
            thunk, future = waiting.pop(0)
        except IndexError:
            return
        try:
            future.set_result(_settled(thunk))
        except BaseException as err:
            future.set_exception(err)


def tells_cost(settings: VisionSettings) -> bool:
    """Whether the provider or its fallback says what a request costs: OpenRouter does, a server of one's own does not."""
    asked = ((settings.provider, settings.base_url), (settings.fallback_provider, settings.fallback_base_url))
    return any(name == "openrouter" and is_public(openrouter_url(url or "")) for name, url in asked)


# --- building ---------------------------------------------------------------------------------------------------------


def _start_builtin() -> str:
    from .sandbox import start_vision  # aiohttp is loaded only where the built-in engine is used

    return str(start_vision())


def _backend(
    settings: VisionSettings,
    name: str,
    model: str,
    place: str,
    key: Optional[SecretStr],
    environ: Mapping[str, str],
    sleep: Callable[[float], None],
    start_builtin: Callable[[], str],
) -> Backend:
    """The provider `name` of the settings; `key` and what `place` names, its address, are its own, the rest is shared."""
    base_url = getattr(settings, place) or ""
    model = model.strip() or name
    if name == "openrouter":
        make: Callable[[], Provider] = lambda: OpenRouter(  # noqa: E731
            model,
            base_url,
            key=clean_key(key, environ.get("OPENROUTER_API_KEY")),
            think=settings.think,
            data_collection=settings.data_collection,
            timeout=settings.timeout,
            origins=Origins(f"{place} in AIVis.yaml"),
        )
        return Backend(name, model, make, Attempt(max_tokens=settings.max_tokens))
    is_builtin = name == "builtin"

    def make_ollama() -> Provider:
        return Ollama(
            "builtin" if is_builtin else model,
            start_builtin() if is_builtin else base_url or environ.get("OLLAMA_HOST", ""),
            name=name,
            api=settings.api,
            think=settings.think,
            options=settings.options,
            keep_alive=settings.keep_alive,
            timeout=settings.timeout,
            key=SecretStr("") if is_builtin else clean_key(key, environ.get("OLLAMA_API_KEY")),
            origins=origins(base_url, key, place),
            sleep=sleep,
        )

    return Backend(name, "builtin" if is_builtin else model, make_ollama, first_attempt(settings))
