"""The client for OpenRouter and servers of its shape: exact bodies, the ladder, and recorded answers of llama-server."""

from __future__ import annotations

import base64
import io
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import pytest
from fake_vision import FakeVision, Says, completion, dead_url
from PIL import Image
from pydantic import SecretStr
from vision_samples import FORMAL, PICTURES, SCHEMA, request

from imagination.errors import ConfigError, VisionBusy, VisionError, VisionRefused, VisionUnreachable
from imagination.model import Request, Usage
from imagination.openrouter import OpenRouter
from imagination.providers import BrokenOff, Reply, usage_of

MODEL = "qwen/vl"
KEY = SecretStr("sk-or-v1-very-secret-0123")
RECORDED = json.loads((Path(__file__).parents[1] / "data/vision/llama-server.json").read_text("utf-8"))
TEXT = "Image 1: the original.\nImage 2: the result.\n\nAnswer in JSON."
STRICT = {
    "type": "object",
    "properties": {"is_formal": {"type": "boolean"}, "colour": {"type": "string"}},
    "required": ["is_formal", "colour"],
    "additionalProperties": False,
}
PARTS = [
    {"type": "text", "text": TEXT},
    *({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{p.base64}"}} for p in PICTURES),
]
QUESTION = request()


def public(server: FakeVision, **settings: Any) -> OpenRouter:
    """A client that takes `server` for OpenRouter itself."""
    return OpenRouter(MODEL, server.url + "/api/v1", **{"key": KEY, "public": True, "timeout": 5, **settings})


def local(server: FakeVision, **settings: Any) -> OpenRouter:
    return OpenRouter(MODEL, server.url + "/v1/", **{"timeout": 5, **settings})


def ask(client: OpenRouter, what: Request = QUESTION, max_tokens: int = 1000) -> Reply:
    return client.complete(what, seed=1, temperature=0.0, max_tokens=max_tokens)


def error(status: int, message: str, **more: Any) -> Says:
    return Says({"error": {"code": status, "message": message, **more}}, status)


def recorded(name: str) -> Says:
    return Says(RECORDED[name]["json"], RECORDED[name]["status"])


def test_body_for_openrouter_itself() -> None:
    with FakeVision(completion(FORMAL)) as server:
        reply = ask(public(server, data_collection="deny"))
    assert server.asked[0].path == "/api/v1/chat/completions"
    assert server.bodies == [
        {
            "model": MODEL,
            "stream": False,
            "temperature": 0.0,
            "seed": 1,
            "max_tokens": 1000,
            "messages": [{"role": "user", "content": PARTS}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answers", "strict": True, "schema": STRICT},
            },
            "provider": {"require_parameters": True, "data_collection": "deny"},
            "plugins": [{"id": "response-healing"}],
        }
    ]
    headers = server.asked[0].headers
    assert headers["authorization"] == "Bearer sk-or-v1-very-secret-0123"
    assert headers["x-openrouter-title"] == "Iterative Imagination"
    assert (reply.text, reply.model) == (FORMAL, "qwen/vl")
    assert reply.usage.model_dump() == {"requests": 1, "prompt_tokens": 2210, "completion_tokens": 64, "cost": 0.001}


def test_body_for_another_server_has_none_of_openrouters_own_fields() -> None:
    with FakeVision(completion(FORMAL, cost=None)) as server:
        reply = ask(local(server))
    (body,) = server.bodies
    assert server.asked[0].path == "/v1/chat/completions"
    assert set(body) == {
        "model", "stream", "temperature", "seed", "max_tokens", "messages", "response_format", "reasoning_effort",
    }  # fmt: skip
    assert body["reasoning_effort"] == "none"
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["colour"]["maxLength"] == SCHEMA["properties"]["colour"]["maxLength"]
    assert not {"authorization", "x-openrouter-title", "http-referer"} & set(server.asked[0].headers)
    assert reply.usage.cost is None


def test_text_only_request_is_a_plain_string() -> None:
    with FakeVision(completion("ok")) as server:
        ask(public(server), Request("improvement", "Improve it."))
    (body,) = server.bodies
    assert body["messages"] == [{"role": "user", "content": "Improve it."}]
    assert not {"response_format", "provider", "plugins"} & set(body)


@pytest.mark.parametrize(
    ("think", "sent"),
    [
        (None, None),
        (False, {"enabled": False}),
        (True, {"enabled": True}),
        ("low", {"effort": "low"}),
    ],
)
def test_thinking_is_governed_where_the_settings_say_so(think: Any, sent: Any) -> None:
    with FakeVision(completion(FORMAL)) as server:
        ask(public(server, think=think))
    assert server.bodies[0].get("reasoning") == sent


def test_ladder_goes_down_to_plain_prompting_and_stays_there() -> None:
    no_host = error(404, "No endpoints found that can handle the requested parameters.")
    refused = error(400, "response_format is not supported by this model")
    with FakeVision(no_host, no_host, no_host, refused, completion(FORMAL), completion(FORMAL)) as server:
        client = public(server)
        booked: List[Usage] = []
        what = replace(QUESTION, book=booked.append)
        first, second = ask(client, what), ask(client, what)
    formats = [(b.get("response_format") or {}).get("type") for b in server.bodies]
    assert formats == ["json_schema", "json_schema", "json_schema", "json_object", None, None]
    assert ["seed" in b for b in server.bodies] == [True, False, False, False, False, False]
    assert "plugins" not in server.bodies[-1] and "provider" not in server.bodies[-1]
    assert (len(booked), first.usage.requests, second.usage.requests) == (4, 1, 1)


def test_model_that_is_gone_is_not_asked_in_other_ways() -> None:
    gone = error(404, "No endpoints found for qwen/vl.", availability={"code": "free_variant_ended"})
    with FakeVision(gone) as server, pytest.raises(VisionRefused) as refused:
        ask(public(server))
    assert refused.value.lasting and len(server.asked) == 1


def test_pictures_too_large_are_sent_once_as_jpeg() -> None:
    with FakeVision(Says("", 413), completion(FORMAL), completion(FORMAL)) as server:
        client = public(server)
        ask(client)
        ask(client)
    for body in server.bodies[1:]:
        url = body["messages"][0]["content"][1]["image_url"]["url"]
        assert opened(url).format == "JPEG" and opened(url).size == (64, 64)


def test_pictures_beyond_the_context_are_sent_once_at_half_their_size() -> None:
    with FakeVision(recorded("10 one picture too large (1536 x 1024)"), completion(FORMAL)) as server:
        ask(local(server))
    assert opened(server.bodies[1]["messages"][0]["content"][2]["image_url"]["url"]).size == (32, 32)


def opened(data_url: str) -> Image.Image:
    head, _, data = data_url.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_answer_in_parts_and_behind_blank_lines_is_read() -> None:
    parts = [{"type": "text", "text": '{"is_formal":'}, {"type": "text", "text": "true}"}]
    body = "\n\n\n" + json.dumps(completion(parts).body)
    with FakeVision(Says(body)) as server:
        assert ask(public(server)).text == '{"is_formal":true}'


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_is_returned_where_the_content_is_blank(field: str) -> None:
    with FakeVision(completion(None, finish="length", **{field: FORMAL})) as server:
        reply = ask(public(server))
    assert (reply.text, reply.source, reply.cut) == (FORMAL, "thinking", True)


def test_declined_answer_is_a_refusal_that_was_billed() -> None:
    with FakeVision(completion("", refusal="I cannot judge people.")) as server, pytest.raises(
        VisionRefused
    ) as refused:
        ask(public(server))
    assert "I cannot judge people." in refused.value.message and not refused.value.lasting
    assert usage_of(refused.value).cost == 0.001


def test_filtered_answer_is_a_refusal() -> None:
    with FakeVision(completion('{"is', finish="content_filter")) as server, pytest.raises(
        VisionRefused, match="declined"
    ):
        ask(public(server))


@pytest.mark.parametrize("body", [{"choices": []}, {"choices": None}, {"choices": [{"index": 0}]}, {}])
def test_reply_without_a_message_is_a_passing_trouble(body: Dict[str, Any]) -> None:
    with FakeVision(Says(body)) as server, pytest.raises(VisionBusy):
        ask(public(server))


def test_error_under_status_200_is_read_before_the_choices() -> None:
    body = {**completion(FORMAL).body, "error": {"code": 402, "message": "Insufficient credits"}}  # type: ignore[dict-item]
    with FakeVision(Says(body)) as server, pytest.raises(VisionRefused, match="out of credits") as refused:
        ask(public(server))
    assert refused.value.lasting and usage_of(refused.value).cost == 0.001


def test_reset_of_the_rate_limit_is_the_time_to_wait() -> None:
    limited = Says(error(429, "free-models-per-min").body, 429, {"X-RateLimit-Reset": "1760000012000"})
    with FakeVision(limited) as server, pytest.raises(VisionBusy) as busy:
        ask(public(server, now=lambda: 1_760_000_000.0))
    assert busy.value.retry_after == 12.0


def test_a_reset_in_other_digits_is_none() -> None:
    limited = Says(error(429, "slow down").body, 429, {"X-RateLimit-Reset": "\xb2" * 13})
    with FakeVision(limited) as server, pytest.raises(VisionBusy) as busy:
        ask(public(server))
    assert busy.value.retry_after is None


@pytest.mark.parametrize("cost", [10**400, 1.7e308, -1.0, 10_000.01, True, "0.5", None])
def test_a_cost_that_cannot_be_is_taken_as_not_told(cost: Any) -> None:
    with FakeVision(completion(FORMAL, cost=cost)) as server:
        assert ask(public(server)).usage.cost is None


@pytest.mark.parametrize("tokens", [int("9" * 4300), 10**15 + 1, -1, 3.5, True, "7", None])
def test_a_count_that_cannot_be_is_taken_as_not_told(tokens: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    usage = {"prompt_tokens": tokens, "completion_tokens": 10**15, "cost": 10_000}
    with FakeVision(Says({**completion(FORMAL).body, "usage": usage})) as server:  # type: ignore[dict-item]
        told = ask(public(server)).usage
    assert told == Usage(requests=1, prompt_tokens=0, completion_tokens=10**15, cost=10_000.0)
    assert ("taken as not told" in caplog.text) is isinstance(tokens, int)


def test_no_request_leaves_without_a_key_or_with_one_that_is_none() -> None:
    with FakeVision() as server:
        for key in (SecretStr(""), SecretStr("sk-über")):
            with pytest.raises(VisionRefused, match="needs a key") as refused:
                ask(public(server, key=key))
            assert refused.value.lasting and usage_of(refused.value).requests == 0
            with pytest.raises(ConfigError):
                public(server, key=key).check()
    assert server.asked == []


def test_key_is_in_no_message_log_or_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with FakeVision(error(401, "No such key: sk-or-v1-very-secret-0123")) as server:
        client = public(server)
        with pytest.raises(VisionRefused) as refused:
            ask(client)
    shown = refused.value.message + refused.value.hint + repr(refused.value) + caplog.text + repr(vars(client))
    assert "very-secret" not in shown and "the key …0123" in refused.value.message


def test_a_key_in_pieces_is_not_put_together() -> None:
    key = KEY.get_secret_value()
    parts = [{"type": "text", "text": text} for text in ("A key: ", key[:8], key[8:16], key[16:], ".")]
    with FakeVision(completion(parts)) as server:
        assert ask(public(server)).text == "A key: …0123."


def test_netrc_does_not_replace_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with FakeVision(completion(FORMAL)) as server:
        ask(public(server))
    assert server.asked[0].headers["authorization"] == "Bearer sk-or-v1-very-secret-0123"


# --- llama-server, as recorded --------------------------------------------------------------------------------------------


def test_loading_model_is_a_passing_trouble() -> None:
    with FakeVision(recorded("01 chat while loading")) as server, pytest.raises(VisionBusy, match="Loading model"):
        ask(local(server))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("09 image, not streamed", "cannot see images"),
        ("15 wrong key", "refused to answer without a key"),
        ("02 wrong path", "File Not Found"),
    ],
)
def test_lasting_refusals_of_llama_server(name: str, words: str) -> None:
    with FakeVision(recorded(name)) as server, pytest.raises(VisionRefused, match=words) as refused:
        ask(local(server))
    assert refused.value.lasting and len(server.asked) == 1


def test_answer_that_llama_server_cannot_parse_needs_another_seed() -> None:
    with FakeVision(recorded("22 not parseable")) as server, pytest.raises(BrokenOff):
        ask(local(server))


@pytest.mark.parametrize("name", ["06 unknown type word", "06 unknown type", "06 empty grammar"])
def test_schema_that_llama_server_cannot_use_is_left_out(name: str) -> None:
    with FakeVision(recorded(name), completion(FORMAL)) as server:
        assert ask(local(server)).text == FORMAL
    assert server.bodies[1]["response_format"] == {"type": "json_object"}


def test_thinking_of_llama_server_is_told_from_its_answer() -> None:
    with FakeVision(recorded("21 schema"), recorded("21 schema, enable_thinking false")) as server:
        client = local(server)
        first, second = ask(client), ask(client)
    assert (first.source, first.cut) == ("thinking", True)
    assert (second.source, second.cut) == ("content", False) and second.text.startswith('{"first"')


def test_path_of_the_servers_machine_is_not_the_models_name() -> None:
    with FakeVision(recorded("04 random weights, seed 1")) as server:
        assert ask(local(server)).model == MODEL


def test_check_of_llama_server_sees_whether_it_has_eyes() -> None:
    with FakeVision(recorded("02 vision: /v1/models"), recorded("02 text: /v1/models")) as server:
        client = local(server)
        assert client.check() == ()
        with pytest.raises(VisionRefused, match="cannot see images"):
            client.check()


def test_check_of_another_server_is_lenient_about_the_list() -> None:
    names = Says({"data": [{"id": "a"}, {"id": "b"}]})
    with FakeVision(Says("404 page not found", 404), names) as server:
        client = local(server)
        assert "is /v1 missing" in client.check()[0]
        assert "does not list qwen/vl; it has: a, b" in client.check()[0]
    with pytest.raises(VisionUnreachable):
        OpenRouter(MODEL, dead_url()).check()


# --- the check of OpenRouter ------------------------------------------------------------------------------------------------

KEY_OK = Says({"data": {"label": "x", "limit": None, "limit_remaining": None}})
SEES = {"input_modalities": ["text", "image"]}
ABLE = ["structured_outputs", "response_format", "reasoning", "seed"]


def models(**entry: Any) -> Says:
    return Says({"data": [{"id": MODEL, "architecture": SEES, "supported_parameters": ABLE, **entry}]})


def check(key: Says, listed: Says, model: str = MODEL, *answers: Says) -> Any:
    routes = {"GET /api/v1/key": key, "GET /api/v1/models": listed}
    with FakeVision(*answers, routes=routes) as server:
        return OpenRouter(model, server.url + "/api/v1", key=KEY, public=True).check()


def test_check_finds_nothing_wrong() -> None:
    assert check(KEY_OK, models()) == ()
    assert check(KEY_OK, models(), MODEL + ":nitro") == ()


@pytest.mark.parametrize(
    ("key", "listed", "model", "words"),
    [
        (error(401, "User not found."), models(), MODEL, "refused the key …0123"),
        (KEY_OK, models(), "qwen/vi", "has no model qwen/vi"),
        (KEY_OK, models(architecture={"input_modalities": ["text"]}), MODEL, "cannot see images"),
        (error(503, "down"), models(), MODEL, "cannot answer now"),
    ],
)
def test_check_raises_what_stops_a_run(key: Says, listed: Says, model: str, words: str) -> None:
    with pytest.raises(VisionError, match=words) as failed:
        check(key, listed, model)
    assert model != "qwen/vi" or "qwen/vl" in failed.value.hint


@pytest.mark.parametrize(
    ("key", "listed", "model", "words"),
    [
        (Says({"data": {"limit_remaining": 0}}), models(), MODEL, "limit is used up"),
        (KEY_OK, models(supported_parameters=["seed"]), MODEL, "cannot give structured output"),
        (KEY_OK, models(id=MODEL + ":free"), MODEL + ":free", "50 requests a day"),
        (KEY_OK, models(expiration_date="2026-12-01"), MODEL, "ends on 2026-12-01"),
    ],
)
def test_check_warns(key: Says, listed: Says, model: str, words: str) -> None:
    (warning,) = check(key, listed, model)
    assert words in warning


@pytest.mark.parametrize(("mandatory", "sent"), [(False, {"enabled": False}), (True, None)])
def test_thinking_is_switched_off_where_the_list_says_that_it_can_be(mandatory: bool, sent: Any) -> None:
    routes = {"GET /api/v1/key": KEY_OK, "GET /api/v1/models": models(reasoning={"mandatory": mandatory})}
    with FakeVision(completion(FORMAL), routes=routes) as server:
        client = public(server)
        client.check()
        ask(client)
    assert server.bodies[0].get("reasoning") == sent
