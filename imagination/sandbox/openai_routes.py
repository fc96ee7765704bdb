"""The judge's /v1 side, for clients that speak OpenAI's protocol: the models, and chat completions with pictures."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any, Awaitable, Callable, Dict, List, Mapping, Tuple

from aiohttp import web

from imagination.bounded_json import loads
from imagination.sandbox.questions import ANY_OBJECT, MODEL, Completion, Question, Refusal, is_known, read_image

Answer = Callable[[Question], Awaitable[Completion]]


class OpenAIRoutes:
    """Handlers that ask through `answer`."""

    def __init__(self, answer: Answer, started: datetime) -> None:
        self.answer = answer
        self.created = int(started.timestamp())

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/v1/models", self.get_models)
        app.router.add_get("/v1/models/{name}", self.get_model)
        app.router.add_post("/v1/chat/completions", self.post_chat)

    async def get_models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [self._model(MODEL)]})

    async def get_model(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not is_known(name):
            raise Refusal(404, f"model '{name}' not found")
        return web.json_response(self._model(name))

    def _model(self, name: str) -> Dict[str, Any]:
        return {"id": name, "object": "model", "created": self.created, "owned_by": "library"}

    async def post_chat(self, request: web.Request) -> web.StreamResponse:
        try:
            body = loads((await request.read()).decode("utf-8"))
        except ValueError as err:
            raise Refusal(400, str(err)) from None
        question = _question(body if isinstance(body, dict) else {})
        completion = await self.answer(question)
        head = {"id": f"chatcmpl-{uuid.uuid4().hex[:12]}", "created": self.created, "model": question.model}
        head["system_fingerprint"] = "fp_builtin"
        if body.get("stream"):
            return await _stream(request, body, head, completion)
        message = {"role": "assistant", "content": completion.text}
        choice = {"index": 0, "message": message, "finish_reason": _finish(completion)}
        return web.json_response(
            {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(completion)}
        )


def _question(body: Mapping[str, Any]) -> Question:
    model, messages = str(body.get("model", "")), body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "[] is too short - 'messages'")
    if not is_known(model):
        raise Refusal(404, f"model '{model}' not found")
    if body.get("tools"):
        raise Refusal(400, f'"{model}" does not support tools')
    texts: List[str] = []
    images: List[Any] = []
    for message in messages:
        found = _parts(message.get("content") if isinstance(message, dict) else None)
        texts += found[0]
        images += found[1]
    wanted = body.get("response_format") or {}
    if not isinstance(wanted, dict):
        raise Refusal(400, "invalid response_format")
    schema = {"json_object": ANY_OBJECT, "json_schema": wanted.get("json_schema", {}).get("schema", ANY_OBJECT)}
    most = body.get("max_completion_tokens") or body.get("max_tokens") or -1
    return Question(model, "\n\n".join(texts), tuple(images), schema.get(wanted.get("type", "")), int(most), False)


def _parts(content: Any) -> Tuple[List[str], List[Any]]:
    """Split a message's content, a text or a list of parts, into texts and pictures."""
    if isinstance(content, str):
        return [content], []
    texts, images = [], []
    for part in content or []:
        if not isinstance(part, dict):
            raise Refusal(400, "invalid message format")
        if part.get("type") == "text":
            texts.append(str(part.get("text", "")))
        elif part.get("type") == "image_url":
            reference = part.get("image_url")
            images.append(_picture(reference.get("url", "") if isinstance(reference, dict) else str(reference)))
        else:
            raise Refusal(400, "invalid message format")
    return texts, images


def _picture(url: str) -> Any:
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:image/") or not head.endswith(";base64"):
        raise Refusal(400, "invalid image input")
    return read_image(data)


def _finish(completion: Completion) -> str:
    return "length" if completion.is_cut else "stop"


def _usage(completion: Completion) -> Dict[str, int]:
    prompt, answer = completion.prompt_tokens, completion.tokens
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


async def _stream(
    request: web.Request, body: Mapping[str, Any], head: Mapping[str, Any], completion: Completion
) -> web.StreamResponse:
    """Send server-sent events: a piece of text each, then the end and, if asked for, the usage."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    about = {**head, "object": "chat.completion.chunk"}
    for piece in completion.pieces():
        choice: Dict[str, Any] = {"index": 0, "delta": {"role": "assistant", "content": piece}, "finish_reason": None}
        await _event(response, {**about, "choices": [choice]})
    end = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": _finish(completion)}
    await _event(response, {**about, "choices": [end]})
    if (body.get("stream_options") or {}).get("include_usage"):
        await _event(response, {**about, "choices": [], "usage": _usage(completion)})
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


async def _event(response: web.StreamResponse, data: Mapping[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(data).encode() + b"\n\n")
