"""Ollama's protocol: addresses, the JSON of /api/chat and /api/generate, replies and errors (contract: ollama.md).

What a server and a model can bear is a frozen `Habits`; `concede` names the next thing to try after a refusal.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from pydantic import SecretStr

from .bounded_json import loads
from .errors import VisionBusy, VisionError, VisionRefused
from .model import Request, Usage
from .providers import (
    BrokenOff,
    HttpAnswer,
    Origins,
    Reply,
    clean_key,
    count,
    full_text,
    items,
    mapping,
    picture_list,
    short,
    spent,
)

DEFAULT_PORT = 11434
DEFAULT_NUM_CTX = 8192  # two pictures of 1024 px take up to 2800 tokens: 4096 is too tight
Think = Union[bool, str, None]


def ollama_url(value: str = "") -> str:
    """The address meant by an `OLLAMA_HOST`, or by a base URL that may carry an endpoint; without a trailing slash.

    >>> ollama_url(":5000"), ollama_url("gpu-box/ollama"), ollama_url("https://gpu-box/v1")
    ('http://127.0.0.1:5000', 'http://gpu-box:11434/ollama', 'https://gpu-box')
    """
    scheme, found, rest = value.strip().strip("\"'").strip().rpartition("://")
    scheme = scheme.lower() if found else "http"
    authority, _, path = rest.partition("/")
    user, at, authority = authority.rpartition("@")
    host, port = _host_and_port(authority)
    default = "" if found else f":{DEFAULT_PORT}"  # with a scheme the port is the scheme's own, as Ollama reads it
    path = re.sub(r"(^|/)(api|v1)(/.*)?$", "", "/" + path.strip("/")).rstrip("/")
    return f"{scheme}://{user}{at}{host}{port or default}{path}"


def origins(address: Optional[str], key: Optional[SecretStr], place: str = "base_url") -> Origins:
    """Where the address and the key of an Ollama server come from: AIVis.yaml (`place` there), else the environment."""
    has_key = bool(clean_key(key).get_secret_value())
    return Origins(
        f"{place} in AIVis.yaml" if address else "OLLAMA_HOST",
        "api_key in AIVis.yaml" if has_key else "OLLAMA_API_KEY",
    )


def _host_and_port(authority: str) -> Tuple[str, str]:
    """Split into host and ":port" (empty where absent or impossible); an address to bind to becomes one to call."""
    match = re.match(r"^(\[[^\]]*\]|[^:]*)(?::([^:]*))?$", authority)
    host, port = (match.group(1), match.group(2) or "") if match else (f"[{authority}]", "")  # a bare ::1
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    return host, f":{port}" if port.isascii() and port.isdigit() and int(port) <= 65535 else ""


# --- what the server accepts ------------------------------------------------------------------------------------------

FORMATS = ("schema", "json", "none")
_SCHEMA_SIGNS = re.compile(
    r"invalid json schema in format|json schema (conversion|error)|parser generation failed|parse grammar|grammar stack"
    r"|field \w+\.format|invalid format",
    re.IGNORECASE,
)
_CONTEXT_SIGNS = re.compile(r"input length exceeds|exceed_context_size|available context size|prompt too long", re.I)


@dataclass(frozen=True)
class Habits:
    """How this server and model are asked, as far as they have turned out to bear it."""

    num_ctx: int = DEFAULT_NUM_CTX
    think: Think = False
    format: str = "schema"
    one_image_a_message: bool = False
    grown: bool = False  # num_ctx has been raised once


def concede(habits: Habits, text: str, *, room: int = 0) -> Optional[Habits]:
    """What to try instead after the error `text`; None where nothing but the request itself is at fault.

    `room` is the length of the answer in tokens, which the context has to hold beside the prompt.
    """
    if _CONTEXT_SIGNS.search(text):
        return (
            None if habits.grown else replace(habits, num_ctx=_larger_context(habits.num_ctx, text, room), grown=True)
        )
    if _SCHEMA_SIGNS.search(text) and habits.format != "none":
        return replace(habits, format=FORMATS[FORMATS.index(habits.format) + 1])
    if "think" in text.lower() and habits.think not in (False, None):
        return replace(habits, think=False)
    if "only supports one image" in text and not habits.one_image_a_message:
        return replace(habits, one_image_a_message=True)
    return None


def _larger_context(num_ctx: int, text: str, room: int) -> int:
    """Twice the context, or what the server says it needs, in steps of 1024 tokens."""
    needed = _number(r"n_prompt_tokens\D{1,4}(\d+)", text) or _number(r"request \((\d+) tokens\)", text)
    return max(2 * num_ctx, -(-(needed + max(room, 0)) // 1024) * 1024)


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match.group(1)[:9]) if match else 0


# --- the request ------------------------------------------------------------------------------------------------------


def request_body(
    model: str, api: str, request: Request, habits: Habits, options: Mapping[str, Any], keep_alive: Any = None
) -> Dict[str, Any]:
    """The JSON for /api/chat or /api/generate. `options` are complete but for `num_ctx`, which `habits` knows."""
    body: Dict[str, Any] = {"model": model, "stream": False, "truncate": False}
    if habits.think is not None:
        body["think"] = habits.think
    if keep_alive is not None:
        body["keep_alive"] = keep_alive
    if request.schema is not None and habits.format != "none":
        body["format"] = "json" if habits.format == "json" else dict(request.schema)
    body["options"] = {**options, "num_ctx": habits.num_ctx}
    if api == "generate":
        body["prompt"] = _without_marks(full_text(request))
        if request.pictures:
            body["images"] = [picture.base64 for picture in request.pictures]
    else:
        body["messages"] = messages(request, habits.one_image_a_message)
    return body


def messages(request: Request, one_image_each: bool = False) -> List[Dict[str, Any]]:
    """The chat: all images in one last message, named in its text.

    Servers before 0.12.6 drop whole older messages, images and all, when the context runs short; the last one stays.
    Only models that refuse a second image (llama3.2-vision) get a message for each.
    """
    images = [picture.base64 for picture in request.pictures]
    if not one_image_each or len(images) < 2:
        message: Dict[str, Any] = {"role": "user", "content": _without_marks(full_text(request))}
        return [{**message, "images": images} if images else message]
    labels = picture_list(request.pictures).split("\n")
    shown = [
        {"role": "user", "content": _without_marks(label), "images": [image]} for label, image in zip(labels, images)
    ]
    return [*shown, {"role": "user", "content": _without_marks(request.instruction)}]


def _without_marks(text: str) -> str:
    """Take the brackets from a literal `[img-0]`: the server would put a picture in its place."""
    return re.sub(r"\[(img(-\d+)?)\]", r"(\1)", text)


def keep_alive_value(value: Union[int, str, None]) -> Tuple[Union[int, str, None], bool]:
    """What to send with each call, and whether the model is to be unloaded at the end of an iteration (0).

    Within an iteration a 0 would reload the model for each call, so those calls send five minutes.
    """
    if isinstance(value, str) and re.match(r"^\s*-?\d+\s*$", value):
        value = int(value)  # Ollama refuses a number in quotes without a unit
    unload = value == 0 or (isinstance(value, str) and re.match(r"^0+[a-z]+$", value) is not None)
    return ("5m", True) if unload else (value, False)


# --- the reply --------------------------------------------------------------------------------------------------------


def read_reply(body: Mapping[str, Any], model: str, images: int = 0) -> Reply:
    """A finished reply of either endpoint. Raise `BrokenOff` where the server stopped without finishing."""
    message = mapping(body.get("message"))
    content = text_of(message.get("content")) or text_of(body.get("response"))
    thinking = text_of(message.get("thinking")) or text_of(body.get("thinking"))
    usage = usage_in(body)
    if body.get("done") is False:
        raise spent(BrokenOff("Ollama broke the answer off: the model repeats itself or has crashed"), usage)
    return Reply(
        text=content if content.strip() else thinking,
        source="thinking" if thinking.strip() and not content.strip() else "content",
        cut=body.get("done_reason") == "length",
        model=text_of(body.get("model")) or model,
        usage=usage,
        notes=_doubts(usage, images),
    )


def usage_in(body: Mapping[str, Any]) -> Usage:
    """Token counts of a reply; Ollama leaves a 0 out."""
    return Usage(
        requests=1, prompt_tokens=count(body.get("prompt_eval_count")), completion_tokens=count(body.get("eval_count"))
    )


def _doubts(usage: Usage, images: int) -> Tuple[str, ...]:
    """A prompt shorter than its pictures means that they were not read (or come from a prompt cache)."""
    if images and 0 < usage.prompt_tokens < 32 * images:
        return (f"only {usage.prompt_tokens} prompt tokens for {images} image(s): they may not have been read",)
    return ()


def text_of(value: Any) -> str:
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""


def error_text(answer: HttpAnswer) -> str:
    """The server's own words: `error` may be a text, an object, or JSON in a text (from 0.30 on)."""
    error = mapping(answer.body).get("error")
    return error if isinstance(error, str) else json.dumps(error) if error else answer.text


_MEMORY = re.compile(
    r"requires more system memory|out of memory|cudaMalloc failed|unable to load full|to allocate", re.I
)
_CRASH = re.compile(
    r"unexpectedly stopped|process (has terminated|no longer)|error was encountered while running", re.I
)
_BLIND = re.compile(
    r"image input is not supported|multimodal|does not support (images?|vision)|missing data required", re.I
)
_IMAGE = re.compile(r"failed to load image|image: unknown format|invalid image|failed to process inputs", re.I)


def trouble(answer: HttpAnswer, model: str, address: str) -> VisionError:
    """The error that an answer of Ollama means (ollama.md §10 and §13)."""
    status, text = answer.status, error_text(answer)
    said = short(_inner(text)) or "no reason given"
    is_json = isinstance(answer.body, dict)
    if status == 404 and is_json and "model" in text:
        return VisionRefused(f"Ollama has no model {model}", f"ollama pull {model}", lasting=True)
    if status in (301, 302, 307, 308, 404, 405):
        hint = "Give the address without a path, e.g. base_url: http://localhost:11434"
        return VisionRefused(f"{address} does not look like an Ollama server (status {status})", hint, lasting=True)
    if status == 401:
        return VisionRefused(f"Ollama refuses {model}: {said}", "ollama signin, or set OLLAMA_API_KEY", lasting=True)
    if status == 403:
        hint = "A proxy in front of Ollama has to send Host: localhost."
        return VisionRefused(f"{address} refuses this host name or model: {said}", hint, lasting=True)
    if _CONTEXT_SIGNS.search(text):
        hint = "Raise options: {num_ctx: …} in AIVis.yaml."
        return VisionRefused(f"The request does not fit the context of {model}: {said}", hint)
    if "does not match the expected" in text:
        return BrokenOff(f"Ollama could not read the answer of {model}: {said}")
    if _BLIND.search(text):
        return VisionRefused(f"Model {model} cannot see images: {said}", "Name a vision model.", lasting=True)
    if _IMAGE.search(text):
        return VisionRefused(f"The picture could not be read by {model}: {said}")
    if status >= 500 and ("unknown model architecture" in text or "incompatible with your version" in text):
        hint = f"Update Ollama (0.12.7 or later for qwen3-vl), then: ollama pull {model}"
        return VisionRefused(f"Ollama cannot run {model}: {said}", hint, lasting=True)
    if status in (408, 429) or status >= 500:
        return _passing(answer, text, said, model)
    return VisionRefused(f"Ollama rejected the request ({status}): {said}")


def _passing(answer: HttpAnswer, text: str, said: str, model: str) -> VisionError:
    """Trouble that waiting may cure."""
    if _MEMORY.search(text):
        hint = "Free memory (keep_alive: 0 in AIVis.yaml, or a smaller model); ComfyUI may hold the rest."
        return VisionBusy(f"Not enough memory for {model}: {said}", hint)
    if _CRASH.search(text):
        return VisionBusy(f"The model {model} crashed: {said}")
    hint = answer.headers.get("retry-after", "")
    pause = float(hint) if hint.isascii() and hint.isdigit() else None
    return VisionBusy(f"Ollama cannot answer now ({answer.status}): {said}", retry_after=pause)


def _inner(text: str) -> str:
    """The message inside an error that is JSON once more."""
    try:
        body = mapping(loads(text))
    except ValueError:
        return text
    message = mapping(body.get("error")).get("message") or body.get("message")
    return message if isinstance(message, str) else text


# --- what it has installed --------------------------------------------------------------------------------------------


def sees_images(shown: Mapping[str, Any]) -> bool:
    """Whether the answer of /api/show means a vision model; before 0.6.4 the projector or the family tells."""
    capabilities = shown.get("capabilities")
    if isinstance(capabilities, list):
        return "vision" in capabilities
    families = mapping(shown.get("details")).get("families")
    return bool(shown.get("projector_info")) or bool({"mllama", "clip"} & set(map(str, items(families))))


def may_see_images(listed: Mapping[str, Any]) -> bool:
    """The same for an entry of /api/tags: false only where the entry says so; old servers say nothing."""
    capabilities = listed.get("capabilities")
    return "vision" in capabilities if isinstance(capabilities, list) else True


def same_model(one: str, other: str) -> bool:
    """`llava-phi3` is `llava-phi3:latest`, in any case."""
    one, other = (name.lower() if ":" in name else f"{name.lower()}:latest" for name in (one, other))
    return one == other
