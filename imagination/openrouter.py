"""A vision model on OpenRouter, or on any server that speaks OpenAI's chat completions (llama-server, vLLM, LM Studio).

Sends what `openrouter_dialect` builds, reads what comes with `openrouter_faults`, and keeps the dialect that worked.
"""

from __future__ import annotations

import difflib
import logging
import re
import time
from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from pydantic import SecretStr

from .errors import ConfigError, VisionRefused
from .model import Request, Usage
from .openrouter_dialect import Think, concede, first_dialect, request_body
from .openrouter_faults import NO_KEY_HINT, Asked, fault_in, read_reply, text_of, trouble, usage_in
from .providers import Origins, Reply, Wire, is_sendable, items, mapping, parts_of, short, spent

log = logging.getLogger(__name__)

PUBLIC_URL = "https://openrouter.ai/api/v1"
NO_KEY = "OpenRouter needs a key"


def openrouter_url(value: str = "") -> str:
    """The base address, without a trailing slash or the endpoint that people copy along with it.

    >>> openrouter_url(), openrouter_url("gpu-box:8080/v1/"), openrouter_url("https://x.org/v1/chat/completions")
    ('https://openrouter.ai/api/v1', 'http://gpu-box:8080/v1', 'https://x.org/v1')
    """
    value = value.strip()
    if not value:
        return PUBLIC_URL
    if "://" not in value:
        value = ("https://" if value.startswith("openrouter.ai") else "http://") + value
    return re.sub(r"/(chat/completions|chat|completions|models)$", "", value.rstrip("/")).rstrip("/")


def is_public(url: str) -> bool:
    """Whether this is OpenRouter itself, which knows routing and plugins; other servers may refuse such fields."""
    host = parts_of(url).hostname or ""
    return host == "openrouter.ai" or host.endswith(".openrouter.ai")


class OpenRouter:
    """One model on OpenRouter, or on the server of its shape at `base_url`."""

    name = "openrouter"

    def __init__(
        self,
        model: str,
        base_url: str = "",
        *,
        key: Optional[SecretStr] = None,
        think: Think = None,
        data_collection: Optional[str] = None,
        timeout: float = 180.0,
        origins: Origins = Origins(),  # noqa: B008  # frozen
        public: Optional[bool] = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`public`: speak OpenRouter's full dialect (None: where the address is OpenRouter's). `now` is Unix time."""
        self.model = model
        url = openrouter_url(base_url)
        self._public = is_public(url) if public is None else public
        self._key = key or SecretStr("")
        self._think = think
        self._data_collection = data_collection
        self._now = now
        headers = {"X-OpenRouter-Title": "Iterative Imagination"} if self._public else {}
        service = "OpenRouter" if self._public else "The vision server"
        hint = "Check the network." if self._public else "Start it, or set base_url in AIVis.yaml."
        self._wire = Wire(service, url, key=self._key, timeout=timeout, headers=headers, hint=hint, origins=origins)
        self._asked = Asked(model, "OpenRouter" if self._public else self._wire.address, self._public, self._key)
        self._dialect = first_dialect(self._public, think)

    def complete(self, request: Request, *, seed: int, temperature: float, max_tokens: int) -> Reply:
        """Ask once; ask again only where the server refuses the form of the request and another form is left."""
        if not is_sendable(self._key) or (self._public and not self._key.get_secret_value()):
            raise spent(VisionRefused(NO_KEY, NO_KEY_HINT, lasting=True), Usage())
        while True:
            dialect = self._dialect
            body = request_body(
                self.model, request, dialect,
                seed=seed, temperature=temperature, max_tokens=max_tokens, data_collection=self._data_collection,
            )  # fmt: skip
            answer = self._wire.post("/chat/completions", body)
            fault = fault_in(answer, self._now())
            if fault is None:
                return self._finished(mapping(answer.body))
            took = usage_in(mapping(answer.body))
            easier = concede(dialect, fault, structured="response_format" in body, pictures=bool(request.pictures))
            if easier is None:
                raise spent(trouble(fault, self._asked), took)
            request.book(took)
            log.info("%s: %s; trying %s", self.model, fault.text, easier)
            self._dialect = easier

    def _finished(self, body: Mapping[str, Any]) -> Reply:
        reply = self._wire.without_key(read_reply(body, self.model))
        for note in reply.notes:
            log.warning("%s: %s", self.model, note)
        model = reply.model if self._public else self.model  # llama-server says a path of its own machine
        return replace(reply, model=model)

    def check(self, needs_images: bool = True) -> Tuple[str, ...]:
        """See that the key is accepted and that the model exists and sees images."""
        if self._public and not self._key.get_secret_value():
            raise ConfigError(NO_KEY, NO_KEY_HINT)
        if not is_sendable(self._key):
            raise ConfigError("The key has characters that cannot be in a key", NO_KEY_HINT)
        if self._public:
            return (*self._check_key(), *self._check_model(needs_images))
        return self._check_other(needs_images)

    def _check_key(self) -> Tuple[str, ...]:
        answer = self._wire.get("/key")
        fault = fault_in(answer, self._now())
        if fault is not None and (fault.status == 401 or fault.status >= 429):
            raise trouble(fault, self._asked)
        left = mapping(mapping(answer.body).get("data")).get("limit_remaining")
        if isinstance(left, (int, float)) and left <= 0:
            return ("OpenRouter: the key's limit is used up; requests will be refused.",)
        return ()

    def _check_model(self, needs_images: bool) -> Tuple[str, ...]:
        answer = self._wire.get("/models")
        fault = fault_in(answer, self._now())
        if fault is not None:
            raise trouble(fault, self._asked)
        models = {text_of(entry.get("id")): entry for entry in _entries(answer.body)}
        entry = models.get(self.model) or models.get(re.sub(r":(nitro|floor|online)$", "", self.model))
        if entry is None:
            near = difflib.get_close_matches(self.model, models, 3, 0.5)
            hint = (
                f"Did you mean {', '.join(near)}?"
                if near
                else "See https://openrouter.ai/models?input_modalities=image"
            )
            raise VisionRefused(f"OpenRouter has no model {self.model}", hint, lasting=True)
        if needs_images and not _sees_images(entry):
            raise VisionRefused(f"Model {self.model} cannot see images", "Name a vision model.", lasting=True)
        return self._doubts(entry)

    def _doubts(self, entry: Mapping[str, Any]) -> Tuple[str, ...]:
        """Warnings that the entry in the list of models gives rise to; and whether thinking can be switched off."""
        parameters = entry.get("supported_parameters")
        known = parameters if isinstance(parameters, list) else []
        if self._think is None and "reasoning" in known and not mapping(entry.get("reasoning")).get("mandatory"):
            self._dialect = replace(self._dialect, thinking="reasoning")
        warnings = []
        if isinstance(parameters, list) and not {"structured_outputs", "response_format"} & set(map(str, known)):
            warnings.append(f"{self.model} cannot give structured output; replies are read leniently.")
        if self.model.endswith(":free"):
            warnings.append(f"{self.model}: free models answer 50 requests a day in all, about 12 iterations.")
        if entry.get("expiration_date"):
            warnings.append(f"{self.model} ends on {short(str(entry['expiration_date']), 40)}.")
        return tuple(warnings)

    def _check_other(self, needs_images: bool) -> Tuple[str, ...]:
        """A server of the same shape: what GET /models tells, if it tells anything."""
        answer = self._wire.get("/models")
        fault = fault_in(answer, self._now())
        if fault is not None and (fault.status in (401, 503) or not 400 <= fault.status < 500):
            raise trouble(fault, self._asked)
        if fault is not None:
            return (f"{self._wire.address}/models answered {fault.status}; is /v1 missing in base_url?",)
        entries = _entries(answer.body)
        entry = next(
            (e for e in entries if text_of(e.get("id")) == self.model), entries[0] if len(entries) == 1 else None
        )
        if entry is None:
            names = short(", ".join(text_of(e.get("id")) for e in entries)) or "none"
            return (f"{self._wire.address} does not list {self.model}; it has: {names}",)
        if needs_images and not _sees_images(entry):
            raise VisionRefused(f"Model {self.model} cannot see images", "llama-server needs --mmproj.", lasting=True)
        return ()

    def unload(self) -> None:
        """Nothing to free: the protocol has no such request."""


def _entries(body: Any) -> List[Dict[str, Any]]:
    return [mapping(entry) for entry in items(mapping(body).get("data"))]


def _sees_images(entry: Mapping[str, Any]) -> bool:
    """False only where the entry lists its inputs and images are not among them."""
    inputs = mapping(entry.get("architecture")).get("input_modalities")
    return "image" in inputs if isinstance(inputs, list) else True
