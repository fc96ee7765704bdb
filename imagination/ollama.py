"""A vision model on an Ollama server (0.5 or later), or on the built-in one, which speaks the same.

What the server and the model cannot do is found out by asking, and kept for the run.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import replace
from typing import Any, Callable, Mapping, Optional, Tuple, Union

from pydantic import SecretStr

from .errors import VisionBusy, VisionError, VisionRefused
from .model import Request, Usage
from .ollama_wire import (
    DEFAULT_NUM_CTX,
    Habits,
    Think,
    concede,
    error_text,
    keep_alive_value,
    may_see_images,
    ollama_url,
    read_reply,
    request_body,
    same_model,
    sees_images,
    text_of,
    trouble,
)
from .providers import HttpAnswer, Origins, Reply, Wire, count, items, mapping, short

log = logging.getLogger(__name__)

UNLOADED_WITHIN = 5.0  # s; unloading goes on after the server has said yes


class Ollama:
    """One model on one Ollama server (or on the built-in one, which speaks the same)."""

    def __init__(
        self,
        model: str,
        base_url: str = "",
        *,
        name: str = "ollama",
        api: str = "chat",
        think: Think = None,
        options: Optional[Mapping[str, Any]] = None,
        keep_alive: Union[int, str, None] = None,
        timeout: float = 180.0,
        key: Optional[SecretStr] = None,
        origins: Origins = Origins(),  # noqa: B008  # frozen
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self.model = model
        self._api = api
        self._options = dict(options or {})
        self._keep_alive, self._unloads = keep_alive_value(keep_alive)
        self._sleep = sleep
        hint = "start Ollama with: ollama serve (or set base_url in AIVis.yaml, or OLLAMA_HOST)"
        self._wire = Wire("Ollama", ollama_url(base_url), key=key, timeout=timeout, hint=hint, origins=origins)
        # Absent means true for thinking models since 0.12.4; false is accepted by every model (ollama.md §6).
        self._habits = Habits(num_ctx=count(self._options.get("num_ctx")) or DEFAULT_NUM_CTX, think=think or False)

    def complete(self, request: Request, *, seed: int, temperature: float, max_tokens: int) -> Reply:
        """Ask once; ask again only where the server refuses the form of the request and another form is left."""
        options = {**self._options, "temperature": temperature, "seed": seed, "num_predict": max_tokens}
        while True:
            habits = self._habits
            body = request_body(self.model, self._api, request, habits, options, self._keep_alive)
            answer = self._wire.post(f"/api/{self._api}", body)
            found = mapping(answer.body)
            if answer.status == 200 and found and not found.get("error"):
                return self._finished(found, len(request.pictures))
            easier = concede(habits, error_text(answer), room=max_tokens) if 400 <= answer.status <= 500 else None
            if easier is None:
                raise self._trouble(answer)
            request.book(Usage(requests=1))
            log.info("%s: %s; trying %s", self.model, short(error_text(answer)), easier)
            self._habits = easier

    def _finished(self, body: Mapping[str, Any], images: int) -> Reply:
        reply = self._wire.without_key(read_reply(body, self.model, images))
        for note in reply.notes:
            log.warning("%s: %s", self.model, note)
        return reply

    def _trouble(self, answer: HttpAnswer) -> VisionError:
        if answer.status != 200:
            return trouble(answer, self.model, self._wire.address)
        if answer.body is None or not isinstance(answer.body, dict):
            return VisionBusy(f"{self._wire.address} sent no JSON object: {short(answer.text) or 'an empty body'}")
        return trouble(replace(answer, status=500), self.model, self._wire.address)

    def check(self, needs_images: bool = True) -> Tuple[str, ...]:
        """See that the server answers, has the model, and that the model sees images."""
        version = self._version()
        shown = self._wire.post("/api/show", {"model": self.model}, quick=True)
        if shown.status == 404 and "model" in text_of(mapping(shown.body).get("error")):
            raise self._not_installed()
        if shown.status in (404, 405, 501):  # a proxy or look-alike without this endpoint
            return (f"{self._wire.address} does not tell whether {self.model} sees images.",)
        if shown.status != 200:
            raise self._trouble(shown)
        if needs_images and not sees_images(mapping(shown.body)):
            hint = f"Use one that can: {self._eyes()}"
            raise VisionRefused(f"Model {self.model} cannot see images", hint, lasting=True)
        return self._doubts(version)

    def _version(self) -> str:
        """The server's version; empty where it does not say but lists its models."""
        answer = self._wire.get("/api/version")
        version = mapping(answer.body).get("version")
        if answer.status == 200 and isinstance(version, str):
            return version
        if answer.status not in (200, 404):
            raise self._trouble(answer)
        if not isinstance(mapping(self._wire.get("/api/tags").body).get("models"), list):
            raise self._stranger()
        return ""

    def _doubts(self, version: str) -> Tuple[str, ...]:
        if re.search(r"[:-]cloud$", self.model):
            return (f"{self.model} runs in the cloud, where Ollama does not support structured output.",)
        numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:3])
        if (0, 0, 0) < numbers < (0, 5, 0):
            return (f"Ollama {version} cannot give structured output (from 0.5.0 on it can).",)
        return ()

    def _stranger(self) -> VisionError:
        hint = "Give the address without a path, e.g. base_url: http://localhost:11434"
        return VisionRefused(f"{self._wire.address} does not look like an Ollama server", hint, lasting=True)

    def _not_installed(self) -> VisionError:
        hint = f"ollama pull {self.model}\ninstalled vision models: {self._eyes()}"
        return VisionRefused(
            f"Model {self.model} is not installed in Ollama at {self._wire.address}", hint, lasting=True
        )

    def _eyes(self) -> str:
        """Names of the installed models that see images, as far as the list tells (capabilities from 0.30 on)."""
        try:
            models = items(mapping(self._wire.get("/api/tags").body).get("models"))
        except VisionError:
            models = []
        names = [text_of(mapping(m).get("name")) for m in models if may_see_images(mapping(m))]
        return ", ".join(name for name in names if name) or "none"

    def unload(self) -> None:
        """With `keep_alive: 0`: ask for the memory back and wait until the model is gone, so that ComfyUI finds it."""
        if not self._unloads:
            return
        self._wire.post("/api/generate", {"model": self.model, "keep_alive": 0}, quick=True)
        for _ in range(int(UNLOADED_WITHIN / 0.25)):
            if not self._is_loaded():
                return
            self._sleep(0.25)
        log.warning("%s is still in memory %g s after unloading", self.model, UNLOADED_WITHIN)

    def _is_loaded(self) -> bool:
        models = items(mapping(self._wire.get("/api/ps").body).get("models"))
        return any(same_model(text_of(mapping(m).get("name")), self.model) for m in models)
