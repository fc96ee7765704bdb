"""What an answer of OpenRouter, or of a server of its shape, means: a failure in one of many forms, or a reply.

`fault_in` reads every shape of openrouter.md §8 into one `Fault`, `trouble` makes it an error of ours (§9 to §11, §15).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional

from pydantic import SecretStr

from .errors import VisionBusy, VisionError, VisionRefused
from .model import Usage
from .providers import BrokenOff, HttpAnswer, Reply, cost, count, items, key_tail, mapping, seconds_until, short, spent

LONG = 2000  # characters kept of a server's text for reading it; messages show the start
NO_KEY_HINT = "Set OPENROUTER_API_KEY or api_key in AIVis.yaml."


@dataclass(frozen=True)
class Fault:
    """A failure in any of the shapes of openrouter.md §8."""

    status: int
    text: str  # the server's message and what the host behind it said
    kind: str = ""  # error_type or type, the stable word
    availability: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    retry_after: Optional[float] = None  # s
    is_json: bool = True


def fault_in(answer: HttpAnswer, now: float) -> Optional[Fault]:
    """The failure that `answer` is, or None for a reply. `now` (Unix time) turns dates into seconds."""
    body = answer.body
    if not isinstance(body, dict):
        text = short(answer.text) or "an empty body"
        status = answer.status if answer.status >= 300 else 502  # the gateway's page, not an answer
        return Fault(status, text, retry_after=_retry_after(answer.headers, {}, {}, now), is_json=False)
    error = body.get("error")
    if not error:
        choice = first_choice(body)
        error = choice.get("error") or ({"code": 502} if choice.get("finish_reason") == "error" else None)
    if not error and answer.status < 300:
        return None
    return _fault(answer, error, now)


def _fault(answer: HttpAnswer, error: Any, now: float) -> Fault:
    found = mapping(error) if isinstance(error, dict) else {"message": str(error or "")}
    metadata, availability = mapping(found.get("metadata")), mapping(found.get("availability"))
    kind = str(metadata.get("error_type") or found.get("error_type") or found.get("type") or "")
    code = found.get("code") if found.get("code") is not None else found.get("http_status")
    return Fault(
        status=answer.status if answer.status >= 300 else _status(code, kind),
        text=_said(found, metadata) or "no reason given",
        kind=kind or (code if isinstance(code, str) and not code.isdigit() else ""),
        availability=availability,
        metadata=metadata,
        retry_after=_retry_after(answer.headers, metadata, availability, now),
    )


_STATUS_OF_KIND = {
    "context_length_exceeded": 400, "invalid_request": 400, "invalid_prompt": 400, "invalid_image": 400,
    "authentication": 401, "payment_required": 402, "permission_denied": 403, "content_policy_violation": 403,
    "refusal": 403, "not_found": 404, "timeout": 408, "payload_too_large": 413, "image_too_large": 413,
    "unprocessable": 422, "rate_limit_exceeded": 429, "server": 500, "provider_unavailable": 502,
    "provider_overloaded": 503,
}  # fmt: skip


def _status(code: Any, kind: str) -> int:
    """The status that an error inside a 200 means."""
    if isinstance(code, (int, str)) and re.match(r"^[1-5]\d\d$", str(code)):
        return int(code)
    return _STATUS_OF_KIND.get(kind or str(code), 502)


def _said(error: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """The message, and after "Provider returned error" what the host itself said."""
    message = error.get("message")
    parts = [message if isinstance(message, str) else "", _raw(metadata.get("raw"))]
    host = metadata.get("provider_name")
    said = ": ".join(dict.fromkeys(part for part in parts if part))
    return short(f"{said} ({host})" if isinstance(host, str) and said else said, LONG)


def _raw(value: Any, depth: int = 3) -> str:
    """The message in `metadata.raw`: a text, JSON in a text, or an object that keeps it under one of four names."""
    if isinstance(value, str):
        inner = HttpAnswer(0, {}, value).body
        return _raw(inner, depth - 1) if isinstance(inner, dict) and depth else value
    for name in ("message", "error", "detail", "msg"):
        found = mapping(value).get(name)
        if found and depth:
            return _raw(found, depth - 1)
    return ""


def _retry_after(
    headers: Mapping[str, str], metadata: Mapping[str, Any], availability: Mapping[str, Any], now: float
) -> Optional[float]:
    """Seconds until the server wants to be asked again: Retry-After, availability, or the reset of the rate limit."""
    inside = {str(name).lower(): str(value) for name, value in mapping(metadata.get("headers")).items()}
    known = {**inside, **headers}
    for value in (known.get("retry-after"), availability.get("retry_after"), metadata.get("retry_after")):
        seconds = seconds_until(str(value), now) if value is not None else None
        if seconds is not None:
            return seconds
    reset = known.get("x-ratelimit-reset", "")
    return max(0.0, int(reset) / 1000 - now) if re.fullmatch("[0-9]{13}", reset) else None


# --- saying it --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """Who was asked, for the wording of an error."""

    model: str
    service: str  # "OpenRouter" or the address of another server
    public: bool
    key: SecretStr = field(default_factory=lambda: SecretStr(""))


def trouble(fault: Fault, asked: Asked) -> VisionError:
    """The error that `fault` means (openrouter.md §9 to §11 and §15)."""
    known = _refusal(fault, asked)
    if known is not None:
        return known
    who, said = asked.service, short(fault.text)
    if fault.availability.get("retryable") is True or fault.status in (402, 408, 409, 425, 429) or fault.status >= 500:
        if "does not match the expected" in fault.text:
            return BrokenOff(f"{who} could not read the answer of {asked.model}: {said}", retry_after=0.0)
        what = "limits the rate" if fault.status == 429 else "cannot answer now"
        return VisionBusy(f"{who} {what} ({fault.status}): {said}", retry_after=fault.retry_after)
    return VisionRefused(f"{who} rejected the request ({fault.status}): {said}", lasting=fault.status == 404)


def _refusal(fault: Fault, asked: Asked) -> Optional[VisionError]:
    """The failures that asking again cannot cure, or None."""
    who, model, said, status = asked.service, asked.model, short(fault.text), fault.status
    if status == 401:
        shown = f" the key {key_tail(asked.key)}" if asked.key.get_secret_value() else " to answer without a key"
        return VisionRefused(f"{who} refused{shown}: {said}", NO_KEY_HINT, lasting=True)
    if status == 402 and fault.retry_after is None:
        hint = "Add credits or raise the key's limit: https://openrouter.ai/credits" if asked.public else ""
        return VisionRefused(f"{who}: out of credits, or the key's limit is reached: {said}", hint, lasting=True)
    if status == 403:
        reasons = ", ".join(str(reason) for reason in items(fault.metadata.get("reasons")))
        return VisionRefused(f"{who} blocked the picture or the text: {short(reasons) or said}")
    if status == 429 and re.search(r"per[-_ ]day|daily", fault.text, re.IGNORECASE):
        hint = "50 requests a day, 1000 for accounts that bought 10 credits; a paid model has no such limit."
        return VisionRefused(f"{who}: the free quota is used up until 00:00 UTC: {said}", hint, lasting=True)
    if "image input is not supported" in fault.text:
        return VisionRefused(f"{model} at {who} cannot see images: {said}", "Start it with --mmproj.", lasting=True)
    if status == 404 or (status == 400 and "not a valid model" in fault.text):
        return VisionRefused(f"{who} has no {model} for this request: {said}", _way_on(fault, asked), lasting=True)
    if 300 <= status < 400 or status == 405:
        return VisionRefused(f"{who} is not the address of a chat API ({status})", "Is /v1 missing?", lasting=True)
    if status == 413 or fault.kind == "image_too_large":
        return VisionRefused(f"{who}: the pictures are too large for it: {said}")
    if fault.kind in ("context_length_exceeded", "exceed_context_size_error"):
        return VisionRefused(f"{who}: pictures and instruction exceed the context of {model}: {said}")
    if fault.availability.get("retryable") is False:
        return VisionRefused(f"{who} rejected the request ({status}): {said}", _way_on(fault, asked), lasting=True)
    return None


def _way_on(fault: Fault, asked: Asked) -> str:
    """What a 404 leaves to try: the models the server suggests, or a better address."""
    others = fault.availability.get("fallback_models")
    if isinstance(others, list) and others:
        return "Models that it suggests: " + short(", ".join(str(other) for other in others))
    excluded = fault.availability.get("excluded_by")
    if excluded:
        return f"Excluded by: {short(json.dumps(excluded))}"
    if asked.public:
        return "Choose another model: https://openrouter.ai/models?input_modalities=image"
    return "Is /v1 missing in base_url?" if not fault.is_json else "Check base_url and model in AIVis.yaml."


# --- the reply --------------------------------------------------------------------------------------------------------


def read_reply(body: Mapping[str, Any], model: str) -> Reply:
    """A reply without an error in it. Raise `VisionRefused` where the model declined, `VisionBusy` where it is void."""
    usage, choice = usage_in(body), first_choice(body)
    message = mapping(choice.get("message"))
    if not message:
        raise spent(VisionBusy("the reply holds no message"), usage)
    if choice.get("finish_reason") == "content_filter" or message.get("refusal"):
        reason = text_of(message.get("refusal")) or "content filter"
        raise spent(VisionRefused(f"{model} declined: {short(reason)}"), usage)
    content = text_of(message.get("content"))
    thinking = text_of(message.get("reasoning")) or text_of(message.get("reasoning_content"))
    is_thinking = bool(thinking.strip()) and not content.strip()
    reasoned = count(mapping(mapping(body.get("usage")).get("completion_tokens_details")).get("reasoning_tokens"))
    return Reply(
        text=thinking if is_thinking else content,
        source="thinking" if is_thinking else "content",
        cut=choice.get("finish_reason") == "length",
        model=text_of(body.get("model")) or model,
        usage=usage,
        notes=(f"an empty answer (reasoning used {reasoned} tokens)",) if not content.strip() else (),
    )


def usage_in(body: Mapping[str, Any]) -> Usage:
    """Tokens and cost (USD) of a reply."""
    usage = mapping(body.get("usage"))
    return Usage(
        requests=1,
        prompt_tokens=count(usage.get("prompt_tokens")),
        completion_tokens=count(usage.get("completion_tokens")),
        cost=cost(usage.get("cost")),
    )


def first_choice(body: Mapping[str, Any]) -> Dict[str, Any]:
    choices = items(body.get("choices"))
    return mapping(choices[0]) if choices else {}


def text_of(value: Any) -> str:
    """A text, or a list of parts joined; lone surrogates would break the writing of the artefact."""
    if isinstance(value, list):
        value = "".join(text_of(mapping(part).get("text")) for part in value if mapping(part).get("type") == "text")
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""
