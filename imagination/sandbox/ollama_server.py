"""The built-in judge: a small server that speaks Ollama's protocol and answers from measurements of the pictures.

It is for trying the tool and for tests. One model is listed, `builtin`, which sees and completes but neither thinks nor
calls tools. Statuses and error texts are those of Ollama 0.30 and later; `openai_routes` adds the /v1 side.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from aiohttp import web

from imagination.bounded_json import loads
from imagination.sandbox.hosting import Host
from imagination.sandbox.openai_routes import OpenAIRoutes
from imagination.sandbox.questions import (
    MODEL,
    Completion,
    Question,
    Refusal,
    Sight,
    complete,
    is_known,
    keep_alive_seconds,
    question_of_chat,
    question_of_generate,
)

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())
VERSION = "0.32.14"  # the Ollama whose protocol is spoken
MAX_BODY = 200 * 1024 * 1024  # bytes
LOCAL_NAMES = re.compile(r"(localhost|.*\.(localhost|local|internal)|[\d.]+|[0-9a-f:]*:[0-9a-f:]*)", re.IGNORECASE)
DETAILS = {
    "parent_model": "",
    "format": "builtin",
    "family": "builtin",
    "families": ["builtin"],
    "parameter_size": "0",
    "quantization_level": "none",
}
CAPABILITIES = ["completion", "vision"]
DIGEST = "0" * 64
CONTEXT = 262144  # tokens; the built-in model reads everything


class OllamaServer:
    """One judge. `sight` is called as `imagination.sandbox.sight.reply`, which is also the default."""

    def __init__(self, sight: Optional[Sight] = None) -> None:
        self.sight = sight or _built_in_sight()
        self.started = _now()
        self._expires: Optional[datetime] = None  # until when the model counts as loaded
        self.host = Host(self._app())

    def start(self, port: int = 0) -> str:
        """Listen on loopback and return the base URL; OSError if the port is taken."""
        return self.host.start(port)

    def stop(self) -> None:
        self.host.stop()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY, middlewares=[_plainly, _guard])
        for method, path, handler in self._routes():
            app.router.add_route(method, path, handler)
        OpenAIRoutes(self._answer, self.started).add_to(app)
        return app

    def _routes(self) -> Iterator[Tuple[str, str, Callable[..., Any]]]:
        for path, handler in (("/", self.get_root), ("/api/version", self.get_version), ("/api/tags", self.get_tags)):
            yield "GET", path, handler
            yield "HEAD", path, handler
        yield "GET", "/api/ps", self.get_ps
        yield "POST", "/api/show", self.post_show
        yield "POST", "/api/pull", self.post_pull
        yield "POST", "/api/chat", self.post_chat
        yield "POST", "/api/generate", self.post_generate
        yield "POST", "/api/embed", self.post_embed
        yield "POST", "/api/embeddings", self.post_embed

    # -- about the server and its model

    async def get_root(self, request: web.Request) -> web.Response:
        return web.Response(text="Ollama is running")

    async def get_version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": VERSION})

    async def get_tags(self, request: web.Request) -> web.Response:
        model = {"name": MODEL, "model": MODEL, "modified_at": _stamp(self.started), "size": 0, "digest": DIGEST}
        return web.json_response({"models": [{**model, "details": DETAILS, "capabilities": CAPABILITIES}]})

    async def get_ps(self, request: web.Request) -> web.Response:
        if self._expires is None or self._expires <= _now():
            return web.json_response({"models": []})
        model = {"name": MODEL, "model": MODEL, "size": 0, "digest": DIGEST, "details": DETAILS}
        model.update({"expires_at": _stamp(self._expires), "size_vram": 0, "context_length": CONTEXT})
        return web.json_response({"models": [model]})

    async def post_show(self, request: web.Request) -> web.Response:
        body = await _body(request)
        _model_of(body)
        about = {
            "license": "",
            "modelfile": "",
            "parameters": "",
            "template": "{{ .Prompt }}",
            "details": DETAILS,
            "model_info": {"general.architecture": "builtin", "builtin.context_length": CONTEXT},
            "capabilities": CAPABILITIES,
            "modified_at": _stamp(self.started),
        }
        return web.json_response(about)

    async def post_pull(self, request: web.Request) -> web.StreamResponse:
        """Pull nothing: the model is here already, and no other one can be had."""
        body = await _body(request)
        name = str(body.get("model") or body.get("name") or "")
        if is_known(name):
            lines = [{"status": "pulling manifest"}, {"status": "verifying sha256 digest"}, {"status": "success"}]
        else:
            lines = [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]
        if body.get("stream", True):
            return await _stream(request, lines)
        return web.json_response(lines[-1], status=500 if "error" in lines[-1] else 200)

    async def post_embed(self, request: web.Request) -> web.Response:
        name = _model_of(await _body(request))
        raise Refusal(400, f'"{name}" does not support embeddings')

    # -- asking the model

    async def post_chat(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        if not body.get("model"):
            raise Refusal(400, "model is required")
        question = question_of_chat(body, _model_of(body))
        return await self._reply(
            request, body, question, lambda text: {"message": {"role": "assistant", "content": text}}
        )

    async def post_generate(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        question = question_of_generate(body, _model_of(body))
        return await self._reply(request, body, question, lambda text: {"response": text})

    async def _reply(
        self,
        request: web.Request,
        body: Mapping[str, Any],
        question: Question,
        shape: Callable[[str], Dict[str, Any]],
    ) -> web.StreamResponse:
        """Answer in one object or, by default, line by line; without a question the model is only (un)loaded."""
        started = time.perf_counter_ns()
        seconds = keep_alive_seconds(body.get("keep_alive"))
        head = {"model": question.model, "created_at": _stamp(_now())}
        self._expires = _now() + timedelta(seconds=seconds)
        if question.is_empty:
            reason = "unload" if seconds == 0 else "load"
            return web.json_response({**head, **shape(""), "done": True, "done_reason": reason})
        answer = await self._answer(question)
        figures = {"done": True, **answer.figures(time.perf_counter_ns() - started)}
        if not body.get("stream", True):
            return web.json_response({**head, **shape(answer.text), **figures})
        lines = [{**head, **shape(piece), "done": False} for piece in answer.pieces()]
        return await _stream(request, [*lines, {**head, **shape(""), **figures}])

    async def _answer(self, question: Question) -> Completion:
        """Have the pictures looked at in another thread, so that the server goes on answering."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(None, complete, self.sight, question)
        except Exception as err:  # a fault of the eyes is an answer, as a crashed runner's is
            log.exception("the built-in judge failed")
            raise Refusal(500, f"an error was encountered while running the model: {err}") from err


async def _stream(request: web.Request, lines: List[Dict[str, Any]]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    for line in lines:
        await response.write(json.dumps(line).encode() + b"\n")
    await response.write_eof()
    return response


async def _body(request: web.Request) -> Dict[str, Any]:
    """Parse the request's JSON object; Refusal with the server's own words for anything else."""
    raw = await request.read()
    if not raw.strip():
        raise Refusal(400, "missing request body")
    try:
        body = loads(raw.decode("utf-8"))
    except ValueError:
        raise Refusal(400, f"invalid character {chr(raw.lstrip()[0])!r} looking for beginning of value") from None
    if not isinstance(body, dict):
        raise Refusal(400, f"json: cannot unmarshal {_json_type(body)} into Go value of type api.Request")
    return body


def _json_type(value: Any) -> str:
    names = {list: "array", str: "string", bool: "bool", type(None): "null"}
    return names.get(type(value), "number")


def _model_of(body: Mapping[str, Any]) -> str:
    """Give the model's name as the client spelled it; Refusal 404 if it is not the built-in one."""
    name = body.get("model") or body.get("name") or ""
    if not isinstance(name, str):
        raise Refusal(400, f"json: cannot unmarshal {_json_type(name)} into Go struct field .model of type string")
    if not is_known(name):
        raise Refusal(404, f"model '{name}' not found")
    return name


@web.middleware
async def _plainly(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
    """Say what went wrong as Ollama does: {"error": ...} from a route, plain text where there is none."""
    try:
        response: web.StreamResponse = await handler(request)
    except Refusal as err:
        return web.json_response(err.body(request.path.startswith("/v1")), status=err.status)
    except web.HTTPNotFound:
        return web.Response(status=404, text="404 page not found")
    except web.HTTPMethodNotAllowed:
        return web.Response(status=405, text="405 method not allowed")
    return response


@web.middleware
async def _guard(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
    """Refuse foreign Host names (403, empty) and pages of foreign origins, as a server bound to loopback does."""
    origin = request.headers.get("Origin", "")
    here, there = urlsplit(f"//{request.host}").hostname or "", urlsplit(origin)
    foreign_page = there.scheme in ("http", "https") and not LOCAL_NAMES.fullmatch(there.hostname or "")
    if not LOCAL_NAMES.fullmatch(here) or foreign_page:
        return web.Response(status=403)
    response: web.StreamResponse = web.Response(status=204) if request.method == "OPTIONS" else await handler(request)
    if origin and not response.prepared:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, User-Agent, Accept"
    return response


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _built_in_sight() -> Sight:
    from imagination.sandbox.sight import reply

    return reply
