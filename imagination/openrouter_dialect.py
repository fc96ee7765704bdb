"""How a request to OpenRouter, or to a server of its shape, is put: the JSON of /chat/completions.

Servers and models differ in what they bear. What is sent is a frozen `Dialect`; `concede` names what to take back after a
refusal, one step at a time, so that a provider ends with the richest form that works and keeps it for the run.
"""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Union

from .model import Picture, Request
from .openrouter_faults import Fault
from .providers import full_text

Think = Union[bool, str, None]


@dataclass(frozen=True)
class Dialect:
    """Which optional fields are sent, as far as this server and model have turned out to bear them."""

    public: bool = True
    format: str = "json_schema"  # then json_object, then none
    strict: bool = True
    seed: bool = True
    temperature: bool = True
    length: str = "max_tokens"  # newer OpenAI models: max_completion_tokens
    thinking: str = "none"  # how it is governed: reasoning (OpenRouter), effort, template, none
    think: Think = False
    healing: bool = True
    jpeg: bool = False
    half: bool = False  # pictures at half their size


def first_dialect(public: bool, think: Think) -> Dialect:
    """How the first request is put.

    OpenRouter routes only to hosts that know every field, so `reasoning` is sent where it is asked for, or (see
    `OpenRouter.check`) where the model is known to have it. Other servers ignore or refuse `reasoning_effort`.
    """
    thinking = ("none" if think is None else "reasoning") if public else "none" if think is True else "effort"
    return Dialect(public=public, thinking=thinking, think=think or False)


def request_body(
    model: str,
    request: Request,
    dialect: Dialect,
    *,
    seed: int,
    temperature: float,
    max_tokens: int,
    data_collection: Optional[str] = None,
) -> Dict[str, Any]:
    """The JSON for /chat/completions."""
    body: Dict[str, Any] = {"model": model, "stream": False}
    if dialect.temperature:
        body["temperature"] = temperature
    if dialect.seed:
        body["seed"] = seed
    if max_tokens > 0:
        body[dialect.length] = max_tokens
    body["messages"] = [{"role": "user", "content": _content(request, dialect)}]
    form = _response_format(request, dialect)
    if form:
        body["response_format"] = form
    body.update(_thinking(dialect))
    if dialect.public:
        body.update(_routing(bool(form), dialect.healing, data_collection))
    return body


def _content(request: Request, dialect: Dialect) -> Union[str, List[Dict[str, Any]]]:
    """Text first, then the pictures (openrouter.md §2); plain text where there are none."""
    if not request.pictures:
        return request.instruction
    parts: List[Dict[str, Any]] = [{"type": "text", "text": full_text(request)}]
    for picture in request.pictures:
        parts.append({"type": "image_url", "image_url": {"url": _data_url(picture, dialect)}})
    return parts


def _data_url(picture: Picture, dialect: Dialect) -> str:
    if not dialect.jpeg and not dialect.half:
        return f"data:image/png;base64,{picture.base64}"
    from PIL import Image  # loaded only when a server refuses the PNG

    with Image.open(io.BytesIO(picture.png)) as image:
        smaller = image.convert("RGB")
    if dialect.half:
        smaller = smaller.resize((max(32, smaller.width // 2), max(32, smaller.height // 2)))
    out = io.BytesIO()
    smaller.save(out, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"


def _response_format(request: Request, dialect: Dialect) -> Optional[Dict[str, Any]]:
    if request.schema is None or dialect.format == "none":
        return None
    if dialect.format == "json_object":
        return {"type": "json_object"}
    schema = strict_schema(request.schema, plain=dialect.public)
    return {"type": "json_schema", "json_schema": {"name": "answers", "strict": dialect.strict, "schema": schema}}


_BOUNDS = {
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
    "format", "minItems", "maxItems", "uniqueItems", "default",
}  # fmt: skip


def strict_schema(schema: Mapping[str, Any], *, plain: bool = True) -> Dict[str, Any]:
    """The schema as strict mode wants it: no further properties, all required, an optional one nullable instead.

    `plain` leaves bounds out: some hosts refuse them in strict mode, and replies are checked against them anyway.
    """
    out = {key: value for key, value in schema.items() if not (plain and key in _BOUNDS)}
    if isinstance(schema.get("properties"), Mapping):
        required = schema.get("required", ())
        out["properties"] = {
            name: _nullable(strict_schema(part, plain=plain), name not in required)
            for name, part in schema["properties"].items()
        }
        out["required"] = list(schema["properties"])
        out["additionalProperties"] = False
    if isinstance(schema.get("items"), Mapping):
        out["items"] = strict_schema(schema["items"], plain=plain)
    if isinstance(schema.get("anyOf"), list):
        out["anyOf"] = [strict_schema(part, plain=plain) for part in schema["anyOf"]]
    return out


def _nullable(schema: Dict[str, Any], is_optional: bool) -> Dict[str, Any]:
    kind = schema.get("type")
    if not is_optional or not isinstance(kind, str) or kind == "null" or "enum" in schema:
        return schema
    return {**schema, "type": [kind, "null"]}


def _thinking(dialect: Dialect) -> Dict[str, Any]:
    if dialect.thinking == "reasoning":
        think = dialect.think
        return {"reasoning": {"effort": think} if isinstance(think, str) else {"enabled": bool(think)}}
    if dialect.thinking == "effort":  # llama-server, and Ollama's own /v1
        return {"reasoning_effort": dialect.think if isinstance(dialect.think, str) else "none"}
    if dialect.thinking == "template":  # vLLM
        return {"chat_template_kwargs": {"enable_thinking": bool(dialect.think)}}
    return {}


def _routing(structured: bool, healing: bool, data_collection: Optional[str]) -> Dict[str, Any]:
    """OpenRouter's own fields: only hosts that know all parameters, and syntax repair of structured replies."""
    provider: Dict[str, Any] = {"require_parameters": True} if structured else {}
    if data_collection:
        provider["data_collection"] = data_collection
    body: Dict[str, Any] = {"provider": provider} if provider else {}
    if structured and healing:
        body["plugins"] = [{"id": "response-healing"}]
    return body


# --- taking something back --------------------------------------------------------------------------------------------

_FORMAT = re.compile(r"response_format|json_schema|json_object|structured|schema|grammar|format type", re.I)
_UNKNOWN = re.compile(r"unsupported|not support|unknown|unrecognized|extra inputs|not permitted|invalid|does not", re.I)


def concede(dialect: Dialect, fault: Fault, *, structured: bool, pictures: bool) -> Optional[Dialect]:
    """The next dialect to try after `fault`, or None where the form of the request is not what it is about.

    Each step takes something back, so that the steps end. `structured`, `pictures`: what the request has.
    """
    text = fault.text.lower()
    if fault.status == 413 or fault.kind in ("payload_too_large", "image_too_large", "unsupported_image_format"):
        return replace(dialect, jpeg=True) if pictures and not dialect.jpeg else None
    if fault.kind in ("context_length_exceeded", "exceed_context_size_error") or "context length" in text:
        return replace(dialect, half=True) if pictures and not dialect.half else None
    if fault.status == 404 and dialect.public:
        return _easier_routing(dialect, structured) if _is_about_parameters(fault) else None
    if fault.status in (400, 422) or (fault.status == 500 and "grammar" in text):
        return _without_field(dialect, text) or (
            _easier_format(dialect) if structured and _FORMAT.search(fault.text) else None
        )
    return None


def _is_about_parameters(fault: Fault) -> bool:
    """A 404 because no host takes all the fields sent; not one because of the model, images or privacy."""
    code = fault.availability.get("code")
    if code is not None:
        return code in ("constraint_filtered", "no_endpoints")
    text = fault.text.lower()
    return "no endpoints found" in text and not re.search(r"image|data policy|privacy|no endpoints found for", text)


def _easier_routing(dialect: Dialect, structured: bool) -> Optional[Dialect]:
    """Drop what hosts seldom know first, and the format last (openrouter.md §4)."""
    if dialect.thinking != "none":
        return replace(dialect, thinking="none")
    if dialect.seed:
        return replace(dialect, seed=False)
    if structured and dialect.format == "json_schema" and dialect.strict:
        return replace(dialect, strict=False)
    return _easier_format(dialect) if structured else None


def _easier_format(dialect: Dialect) -> Optional[Dialect]:
    after = {"json_schema": "json_object", "json_object": "none"}.get(dialect.format)
    return replace(dialect, format=after) if after else None


def _without_field(dialect: Dialect, text: str) -> Optional[Dialect]:
    """Drop or rename the field that the 400 names."""
    if "max_completion_tokens" in text and dialect.length == "max_tokens":
        return replace(dialect, length="max_completion_tokens")
    if re.search(r"reasoning|chat_template_kwargs|enable_thinking", text) and dialect.thinking != "none":
        return replace(dialect, thinking="template" if dialect.thinking == "effort" else "none")
    if re.search(r"plugin|healing", text) and dialect.public and dialect.healing:
        return replace(dialect, healing=False)
    for name in ("temperature", "seed"):
        if re.search(rf"\b{name}\b", text) and _UNKNOWN.search(text) and getattr(dialect, name):
            return replace(dialect, temperature=False) if name == "temperature" else replace(dialect, seed=False)
    return None
