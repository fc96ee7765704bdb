"""The Ollama client on the wire: exact request bodies, and what it makes of every kind of answer."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Dict, List

import pytest
from fake_vision import FakeVision, Says, chat, dead_url
from pydantic import SecretStr
from vision_samples import FORMAL, PICTURES, SCHEMA, request

from imagination.errors import VisionBusy, VisionError, VisionRefused, VisionTimedOut, VisionUnreachable
from imagination.model import Request, Usage
from imagination.ollama import Ollama
from imagination.providers import MAX_BODY, BrokenOff, Reply, usage_of

MODEL = "qwen3-vl:4b"
QUESTION = request()
TEXT = "Image 1: the original.\nImage 2: the result.\n\nAnswer in JSON."
IMAGES = [picture.base64 for picture in PICTURES]
OPTIONS = {"temperature": 0.0, "seed": 1, "num_predict": 1000, "num_ctx": 8192}


def ask(server: FakeVision, what: Request = QUESTION, **settings: Any) -> Reply:
    return again(Ollama(MODEL, server.url, **{"timeout": 5, **settings}), what)


def again(client: Ollama, what: Request = QUESTION) -> Reply:
    return client.complete(what, seed=1, temperature=0.0, max_tokens=1000)


def error(text: Any, status: int = 500) -> Says:
    return Says({"error": text}, status)


def test_body_of_a_chat() -> None:
    with FakeVision(chat(FORMAL)) as server:
        reply = ask(server)
    assert server.asked[0].path == "/api/chat"
    assert server.bodies == [
        {
            "model": MODEL,
            "stream": False,
            "truncate": False,
            "think": False,
            "format": SCHEMA,
            "options": OPTIONS,
            "messages": [{"role": "user", "content": TEXT, "images": IMAGES}],
        }
    ]
    assert (reply.text, reply.source, reply.cut, reply.model) == (FORMAL, "content", False, MODEL)
    assert reply.usage.model_dump() == {"requests": 1, "prompt_tokens": 2250, "completion_tokens": 60, "cost": None}


def test_a_count_that_cannot_be_is_taken_as_not_told() -> None:
    with FakeVision(chat(FORMAL, prompt_eval_count=int("9" * 4300), eval_count=10**16)) as server:
        assert ask(server).usage == Usage(requests=1)


def test_body_of_a_generate() -> None:
    counts = {"prompt_eval_count": 2000, "eval_count": 9, "context": [1, 2, 3]}
    answer = Says({"model": MODEL, "response": FORMAL, "done": True, "done_reason": "stop", **counts})
    with FakeVision(answer) as server:
        reply = ask(server, api="generate")
    assert server.asked[0].path == "/api/generate"
    assert server.bodies == [
        {
            "model": MODEL,
            "stream": False,
            "truncate": False,
            "think": False,
            "format": SCHEMA,
            "options": OPTIONS,
            "prompt": TEXT,
            "images": IMAGES,
        }
    ]
    assert reply.text == FORMAL and reply.usage.prompt_tokens == 2000


def test_text_only_request_has_neither_images_nor_format_but_the_same_context() -> None:
    with FakeVision(chat("A prompt.")) as server:
        ask(server, Request("improvement", "Improve it."))
    (body,) = server.bodies
    assert body["messages"] == [{"role": "user", "content": "Improve it."}]
    assert "format" not in body and body["options"] == OPTIONS


def test_marks_that_the_server_would_replace_by_pictures_lose_their_brackets() -> None:
    with FakeVision(chat("x")) as server:
        ask(server, Request("questions", "See [img-0] and [img].", PICTURES[:1]))
    assert server.bodies[0]["messages"][0]["content"] == "Image 1: the original.\n\nSee (img-0) and (img)."


def test_options_and_thinking_of_the_user_are_sent() -> None:
    with FakeVision(chat(FORMAL)) as server:
        ask(server, options={"num_ctx": 16384, "top_k": 5}, think="low", keep_alive="10m")
    (body,) = server.bodies
    assert body["options"] == {**OPTIONS, "num_ctx": 16384, "top_k": 5}
    assert body["think"] == "low" and body["keep_alive"] == "10m"


def test_path_prefix_and_key_are_kept() -> None:
    with FakeVision(chat(FORMAL)) as server:
        again(Ollama(MODEL, server.url + "/ollama/api/", key=SecretStr("secret-key")))
    assert server.asked[0].path == "/ollama/api/chat"
    assert server.asked[0].headers["authorization"] == "Bearer secret-key"


def test_password_in_the_address_is_used_and_never_shown() -> None:
    with FakeVision(error("model requires more system memory")) as server:
        client = Ollama(MODEL, server.url.replace("//", "//me:pa%3Ass@"))
        with pytest.raises(VisionBusy):
            again(client)
    assert server.asked[0].headers["authorization"] == "Basic bWU6cGE6c3M="
    with pytest.raises(VisionUnreachable) as failed:
        again(client)
    assert "pa%3Ass" not in failed.value.message and "127.0.0.1" in failed.value.message


def test_no_authorization_is_sent_without_a_key() -> None:
    with FakeVision(chat(FORMAL)) as server:
        ask(server)
    assert "authorization" not in server.asked[0].headers


def test_thinking_is_returned_where_the_content_is_blank() -> None:
    with FakeVision(chat(" \n", thinking=FORMAL, reason="length")) as server:
        reply = ask(server)
    assert (reply.text, reply.source, reply.cut) == (FORMAL, "thinking", True)


def test_thinking_beside_content_is_ignored() -> None:
    with FakeVision(chat(FORMAL, thinking="hm")) as server:
        assert ask(server).source == "content"


def test_schema_is_given_up_in_steps_and_the_step_is_kept_for_the_run() -> None:
    bad = error("invalid JSON schema in format", 400)
    worse = error("failed to parse grammar")
    with FakeVision(bad, worse, chat(FORMAL), chat(FORMAL)) as server:
        client = Ollama(MODEL, server.url)
        booked: List[Usage] = []
        what = replace(QUESTION, book=booked.append)
        first, second = again(client, what), again(client, what)
    assert [body.get("format") for body in server.bodies] == [SCHEMA, "json", None, None]
    assert (len(booked), first.usage.requests, second.usage.requests) == (2, 1, 1)


def test_thinking_is_switched_off_for_a_model_that_has_none() -> None:
    with FakeVision(error(f'"{MODEL}" does not support thinking', 400), chat(FORMAL)) as server:
        ask(server, think=True)
    assert [body["think"] for body in server.bodies] == [True, False]


def test_context_grows_once_and_stays_so() -> None:
    inner = '{"error":{"code":400,"message":"request (20000 tokens) exceeds the available context size (8192 tokens)",'
    overflow = error(inner + '"type":"exceed_context_size_error","n_prompt_tokens":20000,"n_ctx":8192}}', 400)
    with FakeVision(overflow, chat(FORMAL), chat(FORMAL), overflow) as server:
        client = Ollama(MODEL, server.url)
        again(client)
        again(client)
        with pytest.raises(VisionRefused, match="20000 tokens") as refused:
            again(client)
    assert [body["options"]["num_ctx"] for body in server.bodies] == [8192, 21504, 21504, 21504]
    assert "num_ctx" in refused.value.hint and not refused.value.lasting


def test_model_that_takes_one_image_a_message_gets_them_so() -> None:
    one = error("this model only supports one image while more than one image requested", 500)
    with FakeVision(one, chat(FORMAL)) as server:
        ask(server)
    assert server.bodies[1]["messages"] == [
        {"role": "user", "content": "Image 1: the original.", "images": IMAGES[:1]},
        {"role": "user", "content": "Image 2: the result.", "images": IMAGES[1:]},
        {"role": "user", "content": "Answer in JSON."},
    ]


def test_answer_that_was_given_up_is_a_passing_trouble_and_counted() -> None:
    with FakeVision(chat("a a a a a", done=False)) as server, pytest.raises(BrokenOff) as broken:
        ask(server)
    assert broken.value.retryable and usage_of(broken.value).completion_tokens == 60


def test_error_under_status_200_is_an_error() -> None:
    with FakeVision(error("out of memory", 200)) as server, pytest.raises(VisionBusy, match="Not enough memory"):
        ask(server)


@pytest.mark.parametrize("body", ["", "null", "[]", "<html>hello</html>", "{"])
def test_body_that_is_no_object_is_a_passing_trouble(body: str) -> None:
    with FakeVision(Says(body)) as server, pytest.raises(VisionBusy) as busy:
        ask(server)
    assert "<" not in busy.value.message


def test_nobody_listening() -> None:
    with pytest.raises(VisionUnreachable) as failed:
        again(Ollama(MODEL, dead_url()))
    assert "cannot be reached" in failed.value.message and "ollama serve" in failed.value.hint


def test_broken_body() -> None:
    with FakeVision(Says(chat(FORMAL).body, break_off=True)) as server, pytest.raises(VisionUnreachable, match="broke"):
        ask(server)


@pytest.mark.parametrize(
    "slow",
    [Says("{}", hang=5), Says(" " * 500, drip=0.05), Says("{}", headers_drip=0.05)],
    ids=["silent", "body", "head"],
)
def test_silence_and_dripping_both_end(slow: Says) -> None:
    with FakeVision(slow) as server, pytest.raises(VisionTimedOut, match=r"within 0\.2 s"):
        ask(server, timeout=0.2)


@pytest.mark.parametrize("address", ["http://[broken", "http://", "ftp://x", "http://exa mple"])
def test_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(VisionError):
        again(Ollama(MODEL, address, timeout=1))


def test_redirect_is_not_followed() -> None:
    with FakeVision(Says("", 301, {"Location": "/elsewhere"})) as server, pytest.raises(VisionRefused, match="301"):
        ask(server)
    assert len(server.asked) == 1


def test_a_redirect_is_not_heard_out_beyond_the_limit_either() -> None:
    endless = Says(" " * (MAX_BODY + 2**20), 302, {"Location": "/elsewhere"}, break_off=True)
    with FakeVision(endless) as server, pytest.raises(VisionBusy, match="sent more than 32 MB"):
        ask(server, timeout=20)


def test_key_is_in_no_message_log_or_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = SecretStr("sk-very-secret-0123")
    with FakeVision(error("bad key sk-very-secret-0123", 401)) as server:
        client = Ollama(MODEL, server.url, key=key)
        with pytest.raises(VisionRefused) as refused:
            again(client)
    shown = refused.value.message + refused.value.hint + repr(refused.value) + caplog.text + repr(vars(client))
    assert "very-secret" not in shown and "…0123" in refused.value.message


def test_password_of_the_address_is_in_no_message() -> None:
    with FakeVision(error("no such user joe:opensesame", 401)) as server, pytest.raises(VisionRefused) as refused:
        again(Ollama(MODEL, server.url.replace("//", "//joe:open%73esame@")))
    assert "no such user joe:…" in refused.value.message and "sesame" not in refused.value.message


def test_pictures_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with FakeVision(chat(FORMAL)) as server:
        ask(server)
    assert IMAGES[0][:40] not in caplog.text


# --- the check before a run -----------------------------------------------------------------------------------------------

VERSION = Says({"version": "0.33.0-rc2"})
SEES = Says({"capabilities": ["completion", "vision", "thinking"]})
TAGS = Says(
    {
        "models": [
            {"name": "llava:7b", "capabilities": ["completion", "vision"]},
            {"name": "llama3:8b", "capabilities": ["completion"]},
        ]
    }
)


def check(routes: Dict[str, Says], needs_images: bool = True) -> Any:
    with FakeVision(routes=routes) as server:
        return Ollama(MODEL, server.url).check(needs_images)


def test_check_finds_nothing_wrong() -> None:
    assert check({"GET /api/version": VERSION, "POST /api/show": SEES}) == ()


def test_check_says_how_to_get_a_model_and_which_are_there() -> None:
    missing = error(f"model '{MODEL}' not found", 404)
    with pytest.raises(VisionRefused) as refused:
        check({"GET /api/version": VERSION, "POST /api/show": missing, "GET /api/tags": TAGS})
    assert MODEL in refused.value.message
    assert refused.value.hint == f"ollama pull {MODEL}\ninstalled vision models: llava:7b"


def test_check_refuses_a_blind_model_only_where_pictures_are_sent() -> None:
    blind = Says({"capabilities": ["completion"]})
    routes = {"GET /api/version": VERSION, "POST /api/show": blind, "GET /api/tags": TAGS}
    with pytest.raises(VisionRefused, match="cannot see images") as refused:
        check(routes)
    assert "llava:7b" in refused.value.hint and "llama3" not in refused.value.hint
    assert check(routes, needs_images=False) == ()


def test_check_warns_of_a_server_without_structured_output() -> None:
    old = Says({"projector_info": {"a": 1}})
    (warning,) = check({"GET /api/version": Says({"version": "0.4.7"}), "POST /api/show": old})
    assert "0.4.7 cannot give structured output" in warning


def test_check_warns_of_a_model_that_runs_in_the_cloud() -> None:
    with FakeVision(routes={"GET /api/version": VERSION, "POST /api/show": SEES}) as server:
        (warning,) = Ollama("qwen3-vl:235b-cloud", server.url).check()
    assert "structured output" in warning


def test_servers_hint_when_to_come_back_is_kept() -> None:
    with FakeVision(Says({"error": "too many"}, 429, {"Retry-After": "9"})) as server, pytest.raises(
        VisionBusy
    ) as busy:
        ask(server)
    assert busy.value.retry_after == 9.0


def test_check_bears_a_server_that_knows_only_what_is_needed() -> None:
    absent = Says("404 page not found", 404)
    (warning,) = check({"GET /api/version": absent, "GET /api/tags": TAGS, "POST /api/show": absent})
    assert f"does not tell whether {MODEL} sees images" in warning


@pytest.mark.parametrize("version", [Says("404 page not found", 404), Says({"hello": 1}), Says("<html>", 200)])
def test_check_refuses_a_server_that_is_not_ollama(version: Says) -> None:
    with pytest.raises(VisionRefused, match="does not look like an Ollama server"):
        check({"GET /api/version": version, "GET /api/tags": Says("404 page not found", 404)})
