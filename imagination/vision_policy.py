"""What follows a failed or half-read reply of a vision model: decisions without any acting.

Sources: the spec ("Shared behaviour"), contracts ollama.md §13, openrouter.md §15, vlm-replies.md "Around the parser".
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, TypeVar

from .errors import UnreadableReply, VisionError
from .model import Request, VisionSettings
from .providers import BrokenOff, Reply
from .replies import parse_reply

LONGEST_WAIT = 60.0  # s; a server that asks for more is given up for this request (openrouter.md §11)
FIRST_SEED = 1
LOOK_STEP = 1000  # between the seeds of two looks, more than any request has retries
LIVELIER = 0.3  # temperature of a second try: at 0 a new seed changes nothing


class CutOff(UnreadableReply):
    """The reply ended at the length limit before it was complete."""


# --- what follows a failure -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attempt:
    """How one request to a provider is put, and what has gone wrong before it."""

    seed: int = FIRST_SEED
    temperature: float = 0.0
    max_tokens: int = 2048
    wait: float = 0.0  # s to sleep before it
    problem: str = ""  # what was wrong with the reply before; goes into the instruction
    failures: int = 0  # of those that `retries` counts
    repaired: bool = False  # the one request after an unreadable reply is used up
    lengthened: bool = False  # the one request after a cut reply is used up


def first_attempt(settings: VisionSettings) -> Attempt:
    """How requests to Ollama begin: what its `options` say of seed, temperature and length goes before our defaults."""
    options = settings.options
    return Attempt(
        seed=_number(options.get("seed"), FIRST_SEED, int),
        temperature=_number(options.get("temperature"), 0.0, float),
        max_tokens=_number(options.get("num_predict"), settings.max_tokens, int),
    )


N = TypeVar("N", int, float)


def _number(value: Any, default: N, kind: Callable[[Any], N]) -> N:
    """`value` as a number, or `default` where it is none."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return kind(value) if is_number else default


def next_attempt(attempt: Attempt, trouble: VisionError, retries: int, retry_delay: float) -> Optional[Attempt]:
    """What to try after `trouble`, or None: give this provider up. Sources: spec "Retry", contracts §13 and §15."""
    if isinstance(trouble, CutOff) and not attempt.lengthened and attempt.max_tokens > 0:
        return replace(attempt, max_tokens=2 * attempt.max_tokens, lengthened=True, wait=0.0)
    if isinstance(trouble, UnreadableReply):
        return (
            None if attempt.repaired else replace(reseeded(attempt), problem=trouble.message, repaired=True, wait=0.0)
        )
    if not trouble.retryable or attempt.failures >= retries:
        return None
    pause = retry_delay if trouble.retry_after is None else trouble.retry_after
    if trouble.retry_after is not None and pause > LONGEST_WAIT:
        return None
    again = replace(attempt, failures=attempt.failures + 1, wait=pause)
    return reseeded(again) if isinstance(trouble, BrokenOff) else again


def reseeded(attempt: Attempt) -> Attempt:
    """The same request with other luck."""
    return replace(attempt, seed=attempt.seed + 1, temperature=max(attempt.temperature, LIVELIER))


def looking(attempt: Attempt, look: int) -> Attempt:
    """How a request begins that was put `look` times before: each look has luck of its own, and none that a retry has."""
    again = replace(attempt, seed=attempt.seed + LOOK_STEP * look)
    return again if look == 0 else replace(again, temperature=max(attempt.temperature, LIVELIER))


def worded(request: Request, problem: str) -> Request:
    """`request` with the sentence that asks for a better reply."""
    if not problem:
        return request
    wish = "Reply again" if request.schema is None else "Reply again with only the JSON object, complete and valid"
    return replace(
        request, instruction=f"{request.instruction}\n\nYour last reply could not be used: {problem}. {wish}."
    )


# --- what a reply says ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Readout:
    """What one reply holds: typed values, or text where no schema was asked for, and the fields it leaves out."""

    values: Dict[str, Any]
    text: str
    missing: Tuple[str, ...] = ()


def read_reply(reply: Reply, request: Request) -> Readout:
    """Read a reply; raise `UnreadableReply` (or `CutOff`) where nothing in it can be used."""
    if len(reply.text) > LONGEST_REPLY:  # no answer of ours is a book, and reading one takes minutes
        raise _unreadable(reply, f"it is {len(reply.text) // 1000} kB long, far too long for an answer")
    if request.schema is None:
        return _read_text(reply)
    wanted = accepted(request)
    values = parse_reply(reply.text, wanted)
    if values is not None:
        return Readout(values, reply.text)
    if not reply.text.strip():
        raise _unreadable(reply, "it was empty")
    if reply.cut:  # before the part is taken: with room for it, the whole may come
        raise _unreadable(reply, "it was cut off before its end")
    return read_part(reply, request)


def read_part(reply: Reply, request: Request) -> Readout:
    """Every field that is readable by itself. A part of a thinking text is no answer: it may be a draft."""
    wanted = accepted(request)
    names = tuple(wanted.get("required") or ())
    values = None if reply.source == "thinking" else parse_reply(reply.text, {**wanted, "required": []})
    if not values or not any(name in values for name in names):
        lack = ", ".join(names)
        raise _unreadable(
            reply,
            f"it has no value of the kind asked for under {lack}"
            if values
            else f"no JSON object with the fields {lack} could be read from it",
        )
    return Readout(values, reply.text, tuple(name for name in names if name not in values))


def accepted(request: Request) -> Dict[str, Any]:
    """The schema that replies are read by."""
    return dict(request.accept if request.accept is not None else request.schema or {})


LONGEST_REPLY = 100_000  # characters
_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_LOST_OPENING = re.compile(r"^.*</(think|thinking|thought|reasoning)>", re.DOTALL | re.IGNORECASE)


def without_thinking(text: str) -> str:
    """`text` without what the model wrote to itself, also where one of the two tags is lost."""
    return _LOST_OPENING.sub("", _THOUGHT.sub("", text)).strip()


def _read_text(reply: Reply) -> Readout:
    text = "" if reply.source == "thinking" else without_thinking(reply.text)
    if not text:
        raise _unreadable(reply, "it was empty")
    return Readout({}, text)


def _unreadable(reply: Reply, problem: str) -> UnreadableReply:
    hint = (
        "Thinking used the answer up: use an -instruct model, or raise max_tokens."
        if reply.source == "thinking"
        else ""
    )
    return (CutOff if reply.cut else UnreadableReply)(problem, hint, text=reply.text)


def rest_of(request: Request, missing: Sequence[str]) -> Request:
    """The smaller request for the fields that the first reply left out: same pictures, fewer fields."""
    names = ", ".join(missing)
    instruction = f"{request.instruction}\n\nAnswer only these fields now: {names}."
    cut = {name: _only(getattr(request, name), missing) for name in ("schema", "accept")}
    return replace(request, instruction=instruction, schema=cut["schema"], accept=cut["accept"])


def _only(schema: Optional[Mapping[str, Any]], names: Sequence[str]) -> Optional[Dict[str, Any]]:
    if schema is None:
        return None
    properties = {name: part for name, part in schema["properties"].items() if name in names}
    return {**schema, "properties": properties, "required": [n for n in schema.get("required", ()) if n in names]}
