"""What follows a failure, and what the servers' answers mean: tables, without a server."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Dict, Optional, Type

import pytest

from imagination.errors import (
    UnreadableReply,
    VisionBusy,
    VisionError,
    VisionRefused,
    VisionTimedOut,
    VisionUnreachable,
)
from imagination.model import Request
from imagination.ollama_wire import Habits, keep_alive_value, ollama_url, same_model, sees_images, trouble
from imagination.ollama_wire import concede as concede_ollama
from imagination.openrouter import is_public, openrouter_url
from imagination.openrouter_dialect import Dialect, concede, strict_schema
from imagination.openrouter_faults import Asked, Fault, fault_in
from imagination.openrouter_faults import trouble as openrouter_trouble
from imagination.providers import BrokenOff, HttpAnswer, Reply, clean_key, key_tail, public_url, seconds_until, short
from imagination.vision_policy import Attempt, CutOff, next_attempt, read_reply, rest_of, without_thinking

NOW = 1_760_000_000.0

# --- what follows a failure ---------------------------------------------------------------------------------------------

START = Attempt(seed=1, temperature=0.0, max_tokens=1000)
LATE = replace(START, failures=2)
AFTER: Dict[str, Any] = {
    "busy": (START, VisionBusy("b"), replace(START, failures=1, wait=5.0)),
    "timed out": (START, VisionTimedOut("t"), replace(START, failures=1, wait=5.0)),
    "unreachable": (START, VisionUnreachable("u"), replace(START, failures=1, wait=5.0)),
    "hint": (START, VisionBusy("b", retry_after=20.0), replace(START, failures=1, wait=20.0)),
    "hint of now": (START, VisionBusy("b", retry_after=0.0), replace(START, failures=1, wait=0.0)),
    "hint of a minute": (START, VisionBusy("b", retry_after=60.0), replace(START, failures=1, wait=60.0)),
    "hint beyond a minute": (START, VisionBusy("b", retry_after=60.5), None),
    "retries used up": (LATE, VisionBusy("b"), None),
    "broken off": (START, BrokenOff("b"), replace(START, failures=1, wait=5.0, seed=2, temperature=0.3)),
    "refused": (START, VisionRefused("r"), None),
    "unreadable": (START, UnreadableReply("p"), replace(START, seed=2, temperature=0.3, problem="p", repaired=True)),
    "unreadable, hot": (
        replace(START, temperature=0.8),
        UnreadableReply("p"),
        replace(START, seed=2, temperature=0.8, problem="p", repaired=True),
    ),
    "unreadable after retries": (LATE, UnreadableReply("p"), replace(LATE, seed=2, temperature=0.3, problem="p", repaired=True)),
    "unreadable again": (replace(START, repaired=True), UnreadableReply("p"), None),
    "cut": (START, CutOff("c"), replace(START, max_tokens=2000, lengthened=True)),
    "cut again": (
        replace(START, lengthened=True),
        CutOff("c"),
        replace(START, lengthened=True, seed=2, temperature=0.3, problem="c", repaired=True),
    ),
    "cut without a limit": (
        replace(START, max_tokens=-1),
        CutOff("c"),
        replace(START, max_tokens=-1, seed=2, temperature=0.3, problem="c", repaired=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AFTER)
def test_what_follows_a_failure(name: str) -> None:
    attempt, failure, expected = AFTER[name]
    assert next_attempt(attempt, failure, retries=2, retry_delay=5.0) == expected


def test_attempts_always_end() -> None:
    """Whatever a server does in whatever order, one request is put a bounded number of times."""
    kinds = [VisionBusy("b"), UnreadableReply("p"), CutOff("c"), BrokenOff("b")]
    frontier, depth = [START], 0
    while frontier:
        following = [next_attempt(attempt, kind, 2, 5.0) for attempt in frontier for kind in kinds]
        frontier, depth = list({attempt for attempt in following if attempt}), depth + 1
        assert depth <= 5


def test_smaller_request_keeps_the_pictures_and_only_the_missing_fields() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "boolean"}},
        "required": ["a", "b"],
    }
    smaller = rest_of(Request("questions", "Answer.", (), schema, {**schema, "required": ["b"]}), ["b"])
    assert smaller.schema == {"type": "object", "properties": {"b": {"type": "boolean"}}, "required": ["b"]}
    assert smaller.accept == smaller.schema
    assert smaller.instruction == "Answer.\n\nAnswer only these fields now: b."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("<think>a</think> b", "b"),
        ("a</THINK>\nb", "b"),
        ("b <reasoning>never closed", "b"),
        ("<think>only thought", ""),
        ("a < b and c > d", "a < b and c > d"),
    ],
)
def test_thinking_is_taken_out_of_text(text: str, expected: str) -> None:
    assert without_thinking(text) == expected


# --- addresses, keys, texts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("  ", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        ("gpu-box", "http://gpu-box:11434"),
        ("gpu-box/", "http://gpu-box:11434"),
        (":5000", "http://127.0.0.1:5000"),
        ("gpu-box:5000", "http://gpu-box:5000"),
        ("http://gpu-box", "http://gpu-box"),
        ("HTTP://gpu-box:5000/", "http://gpu-box:5000"),
        ("https://gpu-box", "https://gpu-box"),
        ("gpu-box/ollama", "http://gpu-box:11434/ollama"),
        ("gpu-box/ollama/", "http://gpu-box:11434/ollama"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("::1", "http://[::1]:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:5000", "http://127.0.0.1:5000"),
        ("http://0.0.0.0:5000", "http://127.0.0.1:5000"),
        ("::", "http://[::1]:11434"),
        ("[::]:5000", "http://[::1]:5000"),
        ("gpu-box:99999", "http://gpu-box:11434"),
        ("gpu-box:abc", "http://gpu-box:11434"),
        (" 'gpu-box:5000' ", "http://gpu-box:5000"),
        ("http://localhost:11434/api", "http://localhost:11434"),
        ("http://localhost:11434/v1/", "http://localhost:11434"),
        ("http://localhost:11434/api/chat", "http://localhost:11434"),
        ("http://localhost:11434/api/generate", "http://localhost:11434"),
        ("https://box/ollama/v1/chat/completions", "https://box/ollama"),
        ("http://me:pw@box:1", "http://me:pw@box:1"),
    ],
)
def test_ollama_address(value: str, url: str) -> None:
    assert ollama_url(value) == url


@pytest.mark.parametrize(
    ("value", "url", "public"),
    [
        ("", "https://openrouter.ai/api/v1", True),
        ("https://openrouter.ai/api/v1/", "https://openrouter.ai/api/v1", True),
        ("openrouter.ai/api/v1", "https://openrouter.ai/api/v1", True),
        ("https://eu.openrouter.ai/api/v1", "https://eu.openrouter.ai/api/v1", True),
        ("https://notopenrouter.ai/api/v1", "https://notopenrouter.ai/api/v1", False),
        ("http://localhost:8080/v1/chat/completions", "http://localhost:8080/v1", False),
        ("localhost:8080/v1", "http://localhost:8080/v1", False),
        ("http://[broken", "http://[broken", False),
    ],
)
def test_openrouter_address(value: str, url: str, public: bool) -> None:
    assert openrouter_url(value) == url and is_public(url) is public


def test_messages_show_addresses_without_a_password() -> None:
    assert public_url("http://me:pw@box:1/x") == "http://box:1/x"


def test_key_loses_the_blanks_that_copying_adds_and_is_never_shown_whole() -> None:
    key = clean_key(None, " sk-or-v1-abcdef\n")
    assert key.get_secret_value() == "sk-or-v1-abcdef"
    assert key_tail(key) == "…cdef" and "abcdef" not in repr(key)
    assert key_tail(clean_key(None, "short")) == "…"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Thu, 09 Oct 2025 08:53:50 GMT", 30.0),
        ("Thu, 09 Oct 2025 08:53:00 GMT", 0.0),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: Optional[float]) -> None:
    assert seconds_until(value, NOW) == seconds


def test_page_of_a_gateway_is_never_shown() -> None:
    assert short("\n<!DOCTYPE html><h1>secret</h1>") == "an HTML page"
    assert short("a\x1b[31m\n\n b") == "a [31m b"
    assert len(short("x" * 1000)) == 300


# --- Ollama -------------------------------------------------------------------------------------------------------------

OVERFLOW = (
    '{"error":{"code":400,"message":"request (14165 tokens) exceeds the available context size (8192 tokens)",'
    '"type":"exceed_context_size_error","n_prompt_tokens":14165,"n_ctx":8192}}'
)
THINKS = Habits(think=True)


@pytest.mark.parametrize(
    ("habits", "text", "change"),
    [
        (Habits(), "the input length exceeds the context length", {"num_ctx": 16384, "grown": True}),
        (Habits(), OVERFLOW, {"num_ctx": 16384, "grown": True}),
        (Habits(num_ctx=4096), OVERFLOW, {"num_ctx": 15360, "grown": True}),
        (Habits(), "invalid JSON schema in format", {"format": "json"}),
        (Habits(format="json"), "failed to parse grammar", {"format": "none"}),
        (Habits(), "json: cannot unmarshal object into Go struct field ChatRequest.format of type string", {"format": "json"}),
        (THINKS, '"llava" does not support thinking', {"think": False}),
        (Habits(), "this model only supports one image while more than one image requested", {"one_image_a_message": True}),
    ],
)  # fmt: skip
def test_ollama_concession(habits: Habits, text: str, change: Dict[str, Any]) -> None:
    assert concede_ollama(habits, text, room=1000) == replace(habits, **change)


@pytest.mark.parametrize(
    ("habits", "text"),
    [
        (Habits(grown=True), OVERFLOW),
        (Habits(format="none"), "failed to parse grammar"),
        (Habits(), "illegal base64 data at input byte 4"),
        (Habits(one_image_a_message=True), "this model only supports one image"),
        (Habits(), "model runner has unexpectedly stopped"),
    ],
)
def test_nothing_to_concede_to_ollama(habits: Habits, text: str) -> None:
    assert concede_ollama(habits, text) is None


@pytest.mark.parametrize(
    ("status", "body", "kind", "lasting", "words"),
    [
        (404, '{"error":"model \'x\' not found"}', VisionRefused, True, "has no model llava"),
        (404, "404 page not found", VisionRefused, True, "does not look like an Ollama server"),
        (404, '{"error":{"message":"File Not Found","type":"not_found_error"}}', VisionRefused, True, "does not look like"),
        (405, "", VisionRefused, True, "does not look like"),
        (301, "", VisionRefused, True, "does not look like"),
        (403, "", VisionRefused, True, "refuses this host name"),
        (401, '{"error":"unauthorized","signin_url":"x"}', VisionRefused, True, "unauthorized"),
        (400, '{"error":"illegal base64 data at input byte 4"}', VisionRefused, False, "illegal base64"),
        (400, '{"error":"the input length exceeds the context length"}', VisionRefused, False, "does not fit the context"),
        (500, '{"error":"Failed to load image or audio file"}', VisionRefused, False, "could not be read"),
        (500, '{"error":"image input is not supported"}', VisionRefused, True, "cannot see images"),
        (500, '{"error":"unknown model architecture: \'x\'"}', VisionRefused, True, "cannot run"),
        (500, '{"error":"model requires more system memory (9 GiB)"}', VisionBusy, None, "Not enough memory"),
        (500, '{"error":"model runner has unexpectedly stopped, resource limitations"}', VisionBusy, None, "crashed"),
        (500, '{"error":"output does not match the expected peg-native format"}', BrokenOff, None, "could not read"),
        (500, '{"error":"timed out waiting for llama runner to start"}', VisionBusy, None, "timed out waiting"),
        (503, '{"error":"server busy, please try again"}', VisionBusy, None, "server busy"),
        (429, '{"error":"too many"}', VisionBusy, None, "too many"),
        (502, "<html><body>Bad gateway</body></html>", VisionBusy, None, "an HTML page"),
    ],
)  # fmt: skip
def test_what_an_answer_of_ollama_means(
    status: int, body: str, kind: Type[VisionError], lasting: Optional[bool], words: str
) -> None:
    err = trouble(HttpAnswer(status, {}, body), "llava", "http://box:11434")
    assert type(err) is kind and words in err.message
    assert getattr(err, "lasting", None) is lasting


def test_message_inside_an_error_that_is_json_once_more_is_shown() -> None:
    err = trouble(
        HttpAnswer(400, {}, '{"error": ' + repr(OVERFLOW).replace('"', '\\"').replace("'", '"') + "}"), "m", "u"
    )
    assert "request (14165 tokens) exceeds" in err.message and "{" not in err.message


@pytest.mark.parametrize(
    ("value", "sent", "unloads"),
    [
        (None, None, False),
        (0, "5m", True),
        ("0", "5m", True),
        ("0s", "5m", True),
        (-1, -1, False),
        ("-1", -1, False),
        (300, 300, False),
        ("10m", "10m", False),
    ],
)
def test_keep_alive(value: Any, sent: Any, unloads: bool) -> None:
    assert keep_alive_value(value) == (sent, unloads)


@pytest.mark.parametrize(
    ("shown", "sees"),
    [
        ({"capabilities": ["completion", "vision"]}, True),
        ({"capabilities": ["completion"], "projector_info": {"a": 1}}, False),
        ({"projector_info": {"a": 1}}, True),
        ({"details": {"families": ["llama", "clip"]}}, True),
        ({"details": {"families": None}}, False),
        ({}, False),
    ],
)
def test_whether_a_model_of_ollama_sees(shown: Dict[str, Any], sees: bool) -> None:
    assert sees_images(shown) is sees


def test_model_names_compare_by_tag_and_without_case() -> None:
    assert same_model("LLaVA-phi3", "llava-phi3:latest") and not same_model("qwen3-vl:4b", "qwen3-vl:8b")


# --- OpenRouter and its like ----------------------------------------------------------------------------------------------


def answer(status: int, body: Any, **headers: str) -> HttpAnswer:
    text = body if isinstance(body, str) else json.dumps(body)
    return HttpAnswer(status, {name.replace("_", "-"): value for name, value in headers.items()}, text)


def error(**fields: Any) -> Dict[str, Any]:
    return {"error": fields}


HALF = {"choices": [{"finish_reason": "error", "message": {"content": "half"}}]}
DOWN = {"choices": [{"finish_reason": "error", "error": {"code": 503, "message": "down"}}]}
PRIVATE = error(message="m", http_status=404, availability={"code": "privacy_restricted"})
RAW = {"raw": '{"error":{"message":"too hot"}}', "provider_name": "P"}
RESET = {"headers": {"X-RateLimit-Reset": "1760000030000"}}
LATER = {"retryable": True, "retry_after": 4}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (answer(402, error(code=402, message="no credits")), {"status": 402, "text": "no credits"}),
        (answer(200, error(code="429", message="slow")), {"status": 429, "kind": ""}),
        (answer(200, error(code="rate_limit_exceeded")), {"status": 429, "kind": "rate_limit_exceeded"}),
        (answer(200, error(message="odd")), {"status": 502, "text": "odd"}),
        (answer(200, DOWN), {"status": 503, "text": "down"}),
        (answer(200, HALF), {"status": 502}),
        (
            answer(200, error(error_type="payment_required", http_status=402)),
            {"status": 402, "kind": "payment_required"},
        ),
        (answer(404, PRIVATE), {"status": 404, "availability": {"code": "privacy_restricted"}}),
        (answer(400, {"error": "must be 'json_schema'"}), {"text": "must be 'json_schema'"}),
        (answer(200, ""), {"status": 502, "text": "an empty body", "is_json": False}),
        (answer(200, "  \n \n"), {"status": 502}),
        (answer(524, "<html>x</html>"), {"status": 524, "text": "an HTML page"}),
        (answer(200, "[]"), {"status": 502}),
        (
            answer(502, error(code=502, message="Provider returned error", metadata=RAW)),
            {"text": "Provider returned error: too hot (P)"},
        ),
        (answer(503, "{}", retry_after="12"), {"status": 503, "retry_after": 12.0}),
        (answer(429, error(message="m", metadata=RESET)), {"retry_after": 30.0}),
        (answer(503, error(message="m", availability=LATER)), {"retry_after": 4.0}),
    ],
)
def test_failure_is_found_in_every_shape(given: HttpAnswer, expected: Dict[str, Any]) -> None:
    fault = fault_in(given, NOW)
    assert fault is not None
    assert {name: getattr(fault, name) for name in expected} == expected


def test_word_that_decides_may_stand_far_behind_in_a_long_text() -> None:
    fault = fault_in(answer(400, error(message="x" * 500 + " response_format is not supported")), NOW)
    assert fault is not None
    assert concede(PUBLIC, fault, structured=True, pictures=True) == replace(PUBLIC, format="json_object")
    assert len(openrouter_trouble(fault, ASKED).message) < 400


def test_reply_is_no_failure_even_behind_blank_lines() -> None:
    assert fault_in(answer(200, '\n\n  {"choices":[{"message":{"content":"x"}}],"error":null}'), NOW) is None


ASKED = Asked("qwen/vl", "OpenRouter", True, clean_key(None, "sk-or-v1-0123456789"))


@pytest.mark.parametrize(
    ("fault", "kind", "lasting", "words"),
    [
        (Fault(401, "User not found."), VisionRefused, True, "refused the key …6789"),
        (Fault(402, "Insufficient credits"), VisionRefused, True, "out of credits"),
        (Fault(402, "in-flight cap", retry_after=3.0), VisionBusy, None, "cannot answer now (402)"),
        (Fault(403, "flagged", metadata={"reasons": ["violence", "gore"]}), VisionRefused, False, "violence, gore"),
        (Fault(404, "No endpoints found that support image input"), VisionRefused, True, "has no qwen/vl"),
        (Fault(400, "qwen/xl is not a valid model ID"), VisionRefused, True, "has no qwen/vl"),
        (Fault(400, "illegal"), VisionRefused, False, "rejected the request (400)"),
        (Fault(408, "slow"), VisionBusy, None, "(408)"),
        (Fault(413, "too large"), VisionRefused, False, "too large"),
        (Fault(429, "limit: free-models-per-min"), VisionBusy, None, "limits the rate"),
        (Fault(429, "Rate limit exceeded: free-models-per-day"), VisionRefused, True, "until 00:00 UTC"),
        (Fault(500, "Internal Server Error"), VisionBusy, None, "(500)"),
        (Fault(500, "output that does not match the expected peg-native format"), BrokenOff, None, "could not read"),
        (Fault(500, "image input is not supported - hint"), VisionRefused, True, "cannot see images"),
        (Fault(524, "an HTML page", is_json=False), VisionBusy, None, "(524)"),
        (Fault(529, "overloaded"), VisionBusy, None, "(529)"),
        (
            Fault(503, "x", availability={"code": "region_restricted", "retryable": False}),
            VisionRefused,
            True,
            "rejected",
        ),
        (Fault(400, "x", availability={"code": "new_word", "retryable": True}), VisionBusy, None, "(400)"),
        (Fault(400, "x", kind="context_length_exceeded"), VisionRefused, False, "exceed the context"),
        (Fault(302, "an HTML page", is_json=False), VisionRefused, True, "not the address"),
    ],
)
def test_what_a_failure_means(fault: Fault, kind: Type[VisionError], lasting: Optional[bool], words: str) -> None:
    err = openrouter_trouble(fault, ASKED)
    assert type(err) is kind and words in err.message
    assert getattr(err, "lasting", None) is lasting


def test_models_that_openrouter_suggests_are_only_a_hint() -> None:
    err = openrouter_trouble(Fault(404, "gone", availability={"fallback_models": ["a/b", "c/d"]}), ASKED)
    assert "a/b, c/d" in err.hint


PUBLIC = Dialect()
LOCAL = Dialect(public=False, thinking="effort")
NONE_FIT = Fault(404, "No endpoints found that can handle the requested parameters.")


@pytest.mark.parametrize(
    ("dialect", "fault", "change"),
    [
        (replace(PUBLIC, thinking="reasoning"), NONE_FIT, {"thinking": "none"}),
        (PUBLIC, NONE_FIT, {"seed": False}),
        (replace(PUBLIC, seed=False), NONE_FIT, {"strict": False}),
        (replace(PUBLIC, seed=False, strict=False), NONE_FIT, {"format": "json_object"}),
        (replace(PUBLIC, seed=False, format="json_object"), NONE_FIT, {"format": "none"}),
        (PUBLIC, Fault(404, "x", availability={"code": "constraint_filtered"}), {"seed": False}),
        (PUBLIC, Fault(400, "response_format json_schema is not supported"), {"format": "json_object"}),
        (replace(LOCAL, format="json_object"), Fault(400, "'response_format.type' must be 'json_schema'"), {"format": "none"}),
        (LOCAL, Fault(500, "Unexpected empty grammar stack after accepting piece"), {"format": "json_object"}),
        (LOCAL, Fault(400, "Unrecognized request argument supplied: reasoning_effort"), {"thinking": "template"}),
        (replace(LOCAL, thinking="template"), Fault(400, "unknown field chat_template_kwargs"), {"thinking": "none"}),
        (replace(PUBLIC, thinking="reasoning"), Fault(400, "Reasoning is mandatory"), {"thinking": "none"}),
        (LOCAL, Fault(400, "Use 'max_completion_tokens' instead."), {"length": "max_completion_tokens"}),
        (LOCAL, Fault(400, "Unsupported value: 'temperature' does not support 0 with this model."), {"temperature": False}),
        (LOCAL, Fault(422, "seed: Extra inputs are not permitted"), {"seed": False}),
        (PUBLIC, Fault(413, "Downloaded image content cannot exceed 30MB"), {"jpeg": True}),
        (PUBLIC, Fault(400, "big", kind="image_too_large"), {"jpeg": True}),
        (PUBLIC, Fault(400, "long", kind="context_length_exceeded"), {"half": True}),
        (LOCAL, Fault(400, "request (1563 tokens) exceeds", kind="exceed_context_size_error"), {"half": True}),
    ],
)  # fmt: skip
def test_concession(dialect: Dialect, fault: Fault, change: Dict[str, Any]) -> None:
    assert concede(dialect, fault, structured=True, pictures=True) == replace(dialect, **change)


@pytest.mark.parametrize(
    ("dialect", "fault"),
    [
        (PUBLIC, Fault(404, "No endpoints found that support image input")),
        (PUBLIC, Fault(404, "No endpoints found matching your data policy (Free model training)")),
        (PUBLIC, Fault(404, "No endpoints found for qwen/gone.")),
        (PUBLIC, Fault(404, "x", availability={"code": "free_variant_ended"})),
        (LOCAL, Fault(404, "File Not Found")),
        (replace(PUBLIC, jpeg=True), Fault(413, "too large")),
        (replace(PUBLIC, half=True), Fault(400, "long", kind="context_length_exceeded")),
        (replace(PUBLIC, seed=False, format="none"), NONE_FIT),
        (PUBLIC, Fault(500, "Internal Server Error")),
        (PUBLIC, Fault(401, "no seed, no temperature, no response_format")),
    ],
)
def test_nothing_to_concede(dialect: Dialect, fault: Fault) -> None:
    assert concede(dialect, fault, structured=dialect.format != "none", pictures=True) is None


def test_strict_schema_closes_objects_and_makes_optional_fields_nullable() -> None:
    schema = {
        "type": "object",
        "properties": {
            "score": {"type": "integer", "minimum": 0, "maximum": 9, "description": "how much"},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 8}, "maxItems": 3},
            "why": {"type": "object", "properties": {"text": {"type": "string"}, "ok": {"type": "boolean"}}, "required": ["ok"]},
        },
        "required": ["score", "tags", "why"],
    }  # fmt: skip
    assert strict_schema(schema) == {
        "type": "object",
        "properties": {
            "score": {"type": "integer", "description": "how much"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "why": {
                "type": "object",
                "properties": {"text": {"type": ["string", "null"]}, "ok": {"type": "boolean"}},
                "required": ["text", "ok"],
                "additionalProperties": False,
            },
        },
        "required": ["score", "tags", "why"],
        "additionalProperties": False,
    }
    assert strict_schema(schema, plain=False)["properties"]["score"]["maximum"] == 9


def test_field_named_like_a_keyword_stays_a_field() -> None:
    schema = {"type": "object", "properties": {"format": {"type": "string"}}, "required": ["format"]}
    assert strict_schema(schema)["properties"] == {"format": {"type": "string"}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"note": "ok", "likeness": 5e6666666}', "it has no value of the kind asked for under likeness"),
        ("I cannot say.", "no JSON object with the fields likeness could be read from it"),
    ],
)
def test_what_was_wrong_with_a_reply_is_told_apart(text: str, problem: str) -> None:
    schema = {
        "type": "object",
        "properties": {"note": {"type": "string"}, "likeness": {"type": "number", "minimum": 0, "maximum": 1}},
        "required": ["likeness"],
    }
    with pytest.raises(UnreadableReply, match=problem):
        read_reply(Reply(text), Request("comparison", "How alike?", (), schema))
