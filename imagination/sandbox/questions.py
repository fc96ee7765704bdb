"""Turns a request to the built-in judge into one question for its eyes, and their text into a completion with figures.

Pure but for the call of `sight`. The checks and their texts are Ollama's.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import string
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from PIL import Image

MODEL = "builtin:latest"
ANY_OBJECT: Mapping[str, Any] = {"type": "object"}  # what `format: "json"` asks for
IMAGE_TOKENS = 1024  # the least an image costs, as qwen3-vl's does
TOKEN_LETTERS = 4
DEFAULT_KEEP_ALIVE = 300.0  # s
FOREVER = 100 * 365 * 86400.0  # s
_BASE64 = set(string.ascii_letters + string.digits + "+/=\r\n")
_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_WHOLE = ("num_ctx", "num_predict", "seed", "top_k", "num_keep", "num_batch", "num_gpu", "num_thread", "repeat_last_n")
_FRACTIONS = ("temperature", "top_p", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty")

Sight = Callable[[str, Sequence[Image.Image], Optional[Mapping[str, Any]]], str]  # imagination.sandbox.sight.reply


class Refusal(Exception):
    """The request cannot be answered: HTTP status and the text of `error`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def body(self, as_openai: bool = False) -> Dict[str, Any]:
        """Give the answer's body: Ollama's plain text, or the object that OpenAI's clients expect."""
        if not as_openai:
            return {"error": self.message}
        kinds = {400: "invalid_request_error", 404: "not_found_error"}
        error = {"message": self.message, "type": kinds.get(self.status, "api_error"), "param": None, "code": None}
        return {"error": error}


@dataclass(frozen=True)
class Question:
    """What the model is asked: texts joined in order, pictures in order, and the shape of the answer."""

    model: str
    instruction: str
    images: Tuple[Image.Image, ...]
    schema: Optional[Mapping[str, Any]]
    most_tokens: int  # num_predict; 0 or less: no limit
    is_empty: bool


@dataclass(frozen=True)
class Completion:
    """The model's text, cut at the budget, with what it cost. Durations in ns."""

    text: str
    is_cut: bool
    prompt_tokens: int
    tokens: int
    duration: int

    def figures(self, total: int) -> Dict[str, Any]:
        """Give the last fields of Ollama's reply."""
        return {
            "done_reason": "length" if self.is_cut else "stop",
            "total_duration": total,
            "load_duration": 1000,
            "prompt_eval_count": self.prompt_tokens,
            "prompt_eval_duration": max(1, self.duration // 2),
            "eval_count": self.tokens,
            "eval_duration": max(1, self.duration - self.duration // 2),
        }

    def pieces(self) -> Iterator[str]:
        """Split the text into the words a stream sends one by one."""
        for match in re.finditer(r"\S+\s*|\s+", self.text):
            yield match[0]


def is_known(name: str) -> bool:
    """Say whether `name` means the built-in model, in any case, with or without its tag."""
    return name.strip().casefold() in ("builtin", MODEL)


def question_of_chat(body: Mapping[str, Any], model: str) -> Question:
    """Read the body of /api/chat; Refusal where Ollama would refuse."""
    messages = _list(body, "messages")
    texts, images = [], []
    for message in messages:
        if not isinstance(message, dict):
            raise Refusal(400, "json: cannot unmarshal message into Go struct field ChatRequest.messages")
        texts.append(_text(message, "content"))
        images += [read_image(item) for item in _list(message, "images")]
    return _question(body, model, texts, images, is_empty=not messages)


def question_of_generate(body: Mapping[str, Any], model: str) -> Question:
    """Read the body of /api/generate; Refusal where Ollama would refuse."""
    texts = [_text(body, "system"), _text(body, "prompt")]
    images = [read_image(item) for item in _list(body, "images")]
    return _question(body, model, texts, images, is_empty=not _text(body, "prompt"))


def complete(sight: Sight, question: Question) -> Completion:
    """Ask `sight`, cutting its text at the token budget."""
    started = time.perf_counter_ns()
    text = sight(question.instruction, question.images, question.schema)
    tokens = count_tokens(text)
    is_cut = 0 < question.most_tokens < tokens
    if is_cut:
        text, tokens = text[: question.most_tokens * TOKEN_LETTERS], question.most_tokens
    seen = sum(max(IMAGE_TOKENS, image.width * image.height // 1024) for image in question.images)
    spent = time.perf_counter_ns() - started
    return Completion(text, is_cut, count_tokens(question.instruction) + seen, tokens, spent)


def count_tokens(text: str) -> int:
    return 1 + len(text) // TOKEN_LETTERS


def read_image(encoded: Any) -> Image.Image:
    """Decode one picture of a request; alpha is laid on white, as Ollama does."""
    if not isinstance(encoded, str):
        raise Refusal(400, "json: cannot unmarshal image into Go struct field .images of type []uint8")
    wrong = next((i for i, letter in enumerate(encoded) if letter not in _BASE64), None)
    try:
        if wrong is not None:
            raise binascii.Error
        data = base64.b64decode(encoded)
    except binascii.Error:
        raise Refusal(400, f"illegal base64 data at input byte {len(encoded) if wrong is None else wrong}") from None
    try:
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            return _on_white(opened)
    except Exception:  # Pillow's decoders raise many kinds; all of them mean the same here
        raise Refusal(400, "Failed to load image or audio file") from None


def keep_alive_seconds(value: Any) -> float:
    """Read `keep_alive`: seconds, or a duration like "1h30m"; negative means for ever, absent five minutes."""
    if value is None:
        return DEFAULT_KEEP_ALIVE
    if isinstance(value, (int, float)):
        return float(value) if value >= 0 else FOREVER
    return _duration(str(value))


def _duration(text: str) -> float:
    sign = -1.0 if text.startswith("-") else 1.0
    bare = text.lstrip("+-")
    if bare == "0":
        return 0.0
    if re.fullmatch(r"[\d.]+", bare):
        raise Refusal(400, f'time: missing unit in duration "{text}"')
    if not re.fullmatch(r"([\d.]+(ns|us|ms|s|m|h))+", bare):
        raise Refusal(400, f'time: invalid duration "{text}"')
    seconds = sign * sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"([\d.]+)(ns|us|ms|s|m|h)", bare))
    return seconds if seconds >= 0 else FOREVER


def _question(
    body: Mapping[str, Any], model: str, texts: List[str], images: List[Image.Image], *, is_empty: bool
) -> Question:
    if body.get("think"):
        raise Refusal(400, f'"{model}" does not support thinking')
    if body.get("tools"):
        raise Refusal(400, f'"{model}" does not support tools')
    if body.get("suffix"):
        raise Refusal(400, f'"{model}" does not support insert')
    options = _options(body)
    instruction = "\n\n".join(text for text in texts if text)
    schema = schema_of(body.get("format"))
    return Question(model, instruction, tuple(images), schema, int(options.get("num_predict", -1)), is_empty)


def schema_of(value: Any) -> Optional[Mapping[str, Any]]:
    """Read `format`: nothing, "json", or a JSON Schema."""
    if value in (None, ""):
        return None
    if value == "json":
        return ANY_OBJECT
    if isinstance(value, dict):
        return value
    raise Refusal(400, f'invalid format: {json.dumps(value)}; expected "json" or a valid JSON Schema object')


def _options(body: Mapping[str, Any]) -> Mapping[str, Any]:
    options = body.get("options") or {}
    if not isinstance(options, dict):
        raise Refusal(
            400, "json: cannot unmarshal options into Go struct field .options of type map[string]interface {}"
        )
    for names, kinds, kind in ((_WHOLE, (int, float), "integer"), (_FRACTIONS, (int, float), "float32")):
        for name in names:
            if name in options and (isinstance(options[name], bool) or not isinstance(options[name], kinds)):
                raise Refusal(500, f'option "{name}" must be of type {kind}')
    return options


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key) or ""
    if not isinstance(value, str):
        raise Refusal(400, f"json: cannot unmarshal value into Go struct field .{key} of type string")
    return value


def _list(body: Mapping[str, Any], key: str) -> List[Any]:
    value = body.get(key) or []
    if not isinstance(value, list):
        raise Refusal(400, f"json: cannot unmarshal value into Go struct field .{key} of type []")
    return value


def _on_white(picture: Image.Image) -> Image.Image:
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(ground, layer).convert("RGB")
