"""`Vision` as the loop uses it: what it asks again, when it falls back, and what it records."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from fake_vision import FakeVision, Says, chat, completion, dead_url
from vision_samples import FORMAL, PICTURES, SCHEMA, request

from imagination.config import load_texts
from imagination.duels import ask_duel
from imagination.errors import ConfigError, UnreadableReply, VisionError, VisionRefused, VisionUnreachable
from imagination.judge import Judge
from imagination.model import Answer, Request, Rules, VisionSettings
from imagination.prompts import Templates
from imagination.vision import AskFailed, Vision

BUSY = Says({"error": "server busy, please try again. maximum pending requests exceeded"}, 503)
FREE_TEXT = Request("description", "Describe the picture.", PICTURES[:1])


class Naps:
    """Stands in for `time.sleep` and remembers the pauses."""

    def __init__(self) -> None:
        self.taken: List[float] = []

    def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


def vision(settings: Dict[str, Any], naps: Optional[Naps] = None, environ: Optional[Dict[str, str]] = None) -> Vision:
    given = {"provider": "ollama", "model": "qwen3-vl:4b", "timeout": 5, **settings}
    return Vision.from_settings(VisionSettings(**given), environ or {}, sleep=naps or Naps())


def with_fallback(first: FakeVision, second: FakeVision, **more: Any) -> Vision:
    settings = {"base_url": first.url, "fallback_provider": "openrouter", "fallback_model": "qwen/vl"}
    return vision({**settings, "fallback_base_url": second.url + "/v1", **more})


def test_first_answer_is_taken_and_recorded() -> None:
    with FakeVision(chat(FORMAL)) as server:
        answer = vision({"base_url": server.url}).ask(request())
    assert answer.values == {"is_formal": True, "colour": "blue"} and answer.missing == ()
    assert answer.call.model_dump() == {
        "provider": "ollama",
        "model": "qwen3-vl:4b",
        "using_fallback": False,
        "success": True,
        "attempts": 1,
        "error": None,
        "cached": False,
    }
    assert (answer.usage.requests, answer.usage.prompt_tokens, answer.usage.completion_tokens) == (1, 2250, 60)


def test_address_comes_from_ollama_host_where_the_settings_name_none() -> None:
    with FakeVision(chat(FORMAL)) as server:
        answer = vision({}, environ={"OLLAMA_HOST": server.url[len("http://") :] + "/"}).ask(request())
    assert answer.call.success


def test_busy_server_is_asked_three_times_with_five_seconds_between() -> None:
    naps = Naps()
    with FakeVision(BUSY, BUSY, chat(FORMAL)) as server:
        answer = vision({"base_url": server.url}, naps).ask(request())
    assert naps.taken == [5.0, 5.0]
    assert (answer.call.attempts, answer.call.success, answer.usage.requests) == (3, True, 3)


def test_servers_own_hint_replaces_the_delay() -> None:
    naps = Naps()
    limited = Says({"error": {"code": 429, "message": "slow down"}}, 429, {"Retry-After": "17"})
    with FakeVision(limited, completion(FORMAL)) as server:
        vision({"provider": "openrouter", "base_url": server.url}, naps).ask(request())
    assert naps.taken == [17.0]


def test_hint_beyond_a_minute_is_not_waited_for() -> None:
    naps = Naps()
    limited = Says({"error": {"code": 429, "message": "slow down"}}, 429, {"Retry-After": "600"})
    with FakeVision(limited) as server, pytest.raises(AskFailed):
        vision({"provider": "openrouter", "base_url": server.url}, naps).ask(request())
    assert naps.taken == [] and len(server.asked) == 1


def test_fallback_answers_when_the_provider_stays_busy() -> None:
    with FakeVision(BUSY, BUSY, BUSY) as first, FakeVision(completion(FORMAL, cost=0.5)) as second:
        answer = with_fallback(first, second).ask(request())
    assert answer.values["is_formal"] is True
    assert (answer.call.provider, answer.call.using_fallback, answer.call.attempts) == ("openrouter", True, 4)
    assert answer.call.error is not None and "503" in answer.call.error
    assert (answer.usage.requests, answer.usage.cost) == (4, 0.5)


def test_failure_of_all_providers_carries_the_record_for_the_artefact() -> None:
    with FakeVision(BUSY, BUSY, BUSY) as first, FakeVision(Says("<html>", 524)) as second:
        with pytest.raises(AskFailed) as failed:
            with_fallback(first, second, retries=0).ask(request())
        call = failed.value.call
    assert (call.success, call.attempts, call.using_fallback, call.provider) == (False, 2, True, "openrouter")
    assert "503" in failed.value.message and "524" in failed.value.message
    assert isinstance(failed.value, VisionError) and failed.value.usage.requests == 2


def test_unreachable_server_is_tried_as_often_as_the_settings_say() -> None:
    naps = Naps()
    with pytest.raises(AskFailed) as failed:
        vision({"base_url": dead_url(), "retries": 1, "retry_delay": 2}, naps).ask(request())
    assert naps.taken == [2.0] and failed.value.call.attempts == 2
    assert "ollama serve" in failed.value.hint


def test_lasting_refusal_takes_the_provider_out_of_the_run() -> None:
    gone = Says({"error": "model 'qwen3-vl:4b' not found, try pulling it first"}, 404)
    with FakeVision(gone) as first, FakeVision(completion(FORMAL), completion(FORMAL)) as second:
        asker = with_fallback(first, second)
        answers = [asker.ask(request()) for _ in range(2)]
    assert len(first.asked) == 1 and len(second.asked) == 2
    assert [a.call.attempts for a in answers] == [2, 1]
    assert "qwen3-vl:4b" in (answers[1].call.error or "")


def test_passing_refusal_does_not() -> None:
    blocked = Says({"error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"]}}}, 403)
    with FakeVision(blocked, completion(FORMAL)) as server:
        asker = vision({"provider": "openrouter", "base_url": server.url})
        with pytest.raises(AskFailed, match="violence"):
            asker.ask(request())
        assert asker.ask(request()).values["colour"] == "blue"


def test_another_look_through_openrouters_protocol_has_another_seed_too() -> None:
    with FakeVision(completion(FORMAL), completion(FORMAL)) as server:
        asker = vision({"provider": "openrouter", "base_url": server.url})
        for look in (0, 3):
            asker.ask(replace(request(), look=look))
    assert [(body["seed"], body["temperature"]) for body in server.bodies] == [(1, 0.0), (3001, 0.3)]


def test_another_look_goes_on_from_the_users_own_seed_and_temperature() -> None:
    with FakeVision(chat(FORMAL)) as server:
        asker = vision({"base_url": server.url, "options": {"seed": 7, "temperature": 0.8}})
        asker.ask(replace(request(), look=1))
    assert (server.bodies[0]["options"]["seed"], server.bodies[0]["options"]["temperature"]) == (1007, 0.8)


def test_what_another_look_leaves_out_is_asked_for_with_a_seed_of_its_own() -> None:
    with FakeVision(chat('{"colour": "blue"}'), chat('{"is_formal": true}')) as server:
        answer = vision({"base_url": server.url}).ask(replace(request(), look=1))
    assert answer.missing == ()
    assert [body["options"]["seed"] for body in server.bodies] == [1001, 1002]


def test_unreadable_reply_is_asked_for_once_more_with_other_luck_and_the_reason() -> None:
    with FakeVision(chat("I am not sure."), chat(FORMAL)) as server:
        answer = vision({"base_url": server.url}).ask(request())
    first, second = server.bodies
    assert answer.call.attempts == 2
    assert first["options"]["seed"] != second["options"]["seed"]
    assert second["options"]["temperature"] > first["options"]["temperature"] == 0
    said = second["messages"][-1]["content"]
    assert said.startswith(first["messages"][-1]["content"]) and "is_formal, colour" in said


def test_second_unreadable_reply_goes_to_the_fallback() -> None:
    with FakeVision(chat("no"), chat("no")) as first, FakeVision(completion(FORMAL)) as second:
        answer = with_fallback(first, second).ask(request())
    assert answer.call.using_fallback and answer.call.attempts == 3


def test_text_of_the_last_unreadable_reply_is_kept() -> None:
    with FakeVision(chat("no"), chat("still no")) as server, pytest.raises(AskFailed) as failed:
        vision({"base_url": server.url}).ask(request())
    assert isinstance(failed.value.__cause__, UnreadableReply) and failed.value.__cause__.text == "still no"


def test_cut_reply_is_asked_for_with_twice_the_length() -> None:
    with FakeVision(chat('{"is_formal": tr', reason="length"), chat(FORMAL)) as server:
        answer = vision({"base_url": server.url, "max_tokens": 500}).ask(request())
    assert [body["options"]["num_predict"] for body in server.bodies] == [500, 1000]
    assert server.bodies[0]["options"]["seed"] == server.bodies[1]["options"]["seed"]
    assert answer.missing == ()


def test_whole_reply_counts_even_if_the_limit_was_met() -> None:
    with FakeVision(chat(FORMAL, reason="length")) as server:
        assert vision({"base_url": server.url}).ask(request()).call.attempts == 1


def test_reply_that_stays_cut_gives_what_is_there() -> None:
    part = chat('{"is_formal": true}', reason="length")
    with FakeVision(part, part, chat('{"colour": "red"}')) as server:
        answer = vision({"base_url": server.url}).ask(request())
    assert answer.values == {"is_formal": True, "colour": "red"}


def test_missing_fields_are_asked_for_in_a_smaller_request() -> None:
    with FakeVision(chat('{"is_formal": false}'), chat('{"colour": "red"}')) as server:
        answer = vision({"base_url": server.url}).ask(request())
    assert answer.values == {"is_formal": False, "colour": "red"} and answer.missing == ()
    smaller = server.bodies[1]
    assert smaller["format"]["required"] == ["colour"] and list(smaller["format"]["properties"]) == ["colour"]
    assert smaller["messages"][-1]["images"] == server.bodies[0]["messages"][-1]["images"]
    assert "colour" in smaller["messages"][-1]["content"].splitlines()[-1]
    assert answer.usage.requests == 2


def test_fields_still_missing_are_named_and_the_call_is_a_success() -> None:
    with FakeVision(chat('{"is_formal": false}'), chat("no idea")) as server:
        answer = vision({"base_url": server.url}).ask(request())
    assert answer.values == {"is_formal": False} and answer.missing == ("colour",) and answer.call.success
    assert len(server.asked) == 2


def test_smaller_request_outlasts_a_busy_server() -> None:
    with FakeVision(chat('{"is_formal": false}'), BUSY, chat('{"colour": "red"}')) as server:
        answer = vision({"base_url": server.url}).ask(request())
    assert answer.missing == () and answer.call.attempts == 3


def test_laxer_schema_is_what_replies_are_read_by() -> None:
    lax = {**SCHEMA, "required": ["is_formal"]}
    with FakeVision(chat('{"is_formal": true}')) as server:
        answer = vision({"base_url": server.url}).ask(request(accept=lax))
    assert answer.missing == () and server.bodies[0]["format"]["required"] == ["is_formal", "colour"]


def test_thinking_text_counts_as_the_answer_where_it_validates() -> None:
    with FakeVision(chat("", thinking=FORMAL)) as server:
        assert vision({"base_url": server.url}).ask(request()).values["colour"] == "blue"


def test_part_of_a_thinking_text_is_not_an_answer() -> None:
    with FakeVision(chat("", thinking='{"is_formal": true}'), chat(FORMAL)) as server:
        assert vision({"base_url": server.url}).ask(request()).call.attempts == 2


@pytest.mark.parametrize(
    "text", ["A red barn.", "<think>hm, a barn?</think>A red barn.", "hm</think> A red barn.\n"], ids=str
)
def test_free_text_comes_without_the_thinking(text: str) -> None:
    with FakeVision(chat(text)) as server:
        answer = vision({"base_url": server.url}).ask(FREE_TEXT)
    assert answer.text == "A red barn." and answer.values == {}
    assert "format" not in server.bodies[0]


def test_blank_free_text_is_asked_for_once_more() -> None:
    with FakeVision(chat(" \n", thinking="Let me think"), chat("A barn.")) as server:
        assert vision({"base_url": server.url}).ask(FREE_TEXT).text == "A barn."
    assert "JSON" not in server.bodies[1]["messages"][-1]["content"]


def test_cost_of_unusable_replies_is_counted() -> None:
    with FakeVision(completion("no", cost=0.25), completion(FORMAL, cost=0.5)) as server:
        answer = vision({"provider": "openrouter", "base_url": server.url}).ask(request())
    assert (answer.usage.cost, answer.usage.requests, answer.usage.prompt_tokens) == (0.75, 2, 4420)


def test_options_of_the_user_begin_the_requests() -> None:
    options = {"seed": 7, "temperature": 0.1, "num_predict": 300, "num_ctx": 16384, "top_k": 3}
    with FakeVision(chat("no"), chat(FORMAL)) as server:
        vision({"base_url": server.url, "options": options}).ask(request())
    first, second = (body["options"] for body in server.bodies)
    assert first == options
    assert (second["seed"], second["top_k"]) == (8, 3)


def test_requests_run_together_up_to_the_limit() -> None:
    lock, two = threading.Lock(), threading.Barrier(2)
    now, most = [0], [0]

    def ask() -> Answer:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        two.wait(60)  # it takes two, and then there are no more
        try:
            return asker.ask(request())
        finally:
            with lock:
                now[0] -= 1

    with FakeVision(*[chat(FORMAL)] * 4) as server:
        asker = vision({"base_url": server.url, "max_concurrent": 2})
        answers = asker.together(*[ask] * 4)
    assert most == [2]
    assert all(isinstance(answer, Answer) for answer in answers)


@pytest.mark.parametrize("limit", [1, 3])
def test_failed_request_stands_in_its_place(limit: int) -> None:
    def fails() -> int:
        raise VisionRefused("no")

    first, second, third = vision({"max_concurrent": limit}).together(lambda: 1, fails, lambda: 3)
    assert (first, third) == (1, 3) and isinstance(second, VisionRefused)


@pytest.mark.parametrize("limit", [1, 3])
def test_bug_in_a_request_is_raised(limit: int) -> None:
    with pytest.raises(ZeroDivisionError):
        vision({"max_concurrent": limit}).together(lambda: 1 // 0, lambda: 2)


def test_key_of_the_settings_goes_before_the_one_of_the_environment_and_not_to_the_fallback() -> None:
    with FakeVision(BUSY) as first, FakeVision(completion(FORMAL)) as second:
        settings = {"provider": "openrouter", "base_url": first.url, "api_key": " sk-settings\n", "retries": 0}
        fallback = {"fallback_provider": "openrouter", "fallback_model": "m", "fallback_base_url": second.url}
        vision({**settings, **fallback}, environ={"OPENROUTER_API_KEY": "sk-environ"}).ask(request())
    assert first.asked[0].headers["authorization"] == "Bearer sk-settings"
    assert second.asked[0].headers["authorization"] == "Bearer sk-environ"


def test_builtin_engine_is_started_when_first_asked() -> None:
    started = []
    with FakeVision(chat(FORMAL)) as server:

        def start() -> str:
            started.append(1)
            return server.url

        asker = Vision.from_settings(VisionSettings(provider="builtin"), {}, start_builtin=start)
        assert started == []
        answer = asker.ask(request())
    assert started == [1]
    assert answer.call.provider == "builtin" and server.bodies[0]["model"] == "builtin"


def test_builtin_fallback_that_cannot_start_is_one_more_failure() -> None:
    def start() -> str:
        raise ConfigError("aiohttp is missing", 'pip install "iterative-imagination[demo]"')

    settings = {"provider": "ollama", "model": "m", "retries": 0, "fallback_provider": "builtin"}
    with FakeVision(BUSY) as server:
        given = VisionSettings(**settings, base_url=server.url)  # type: ignore[arg-type]
        asker = Vision.from_settings(given, {}, sleep=Naps(), start_builtin=start)
        with pytest.raises(AskFailed, match="aiohttp is missing"):
            asker.ask(request())


SHOW = Says({"capabilities": ["completion", "vision"]})
HEALTHY = {"GET /api/version": Says({"version": "0.33.0"}), "POST /api/show": SHOW}


def test_preflight_is_silent_when_all_is_well() -> None:
    with FakeVision(routes=HEALTHY) as server:
        assert vision({"base_url": server.url}).preflight() == ()


def test_preflight_raises_what_the_provider_lacks() -> None:
    with pytest.raises(VisionUnreachable, match="cannot be reached"):
        vision({"base_url": dead_url()}).preflight()


def test_preflight_warns_of_a_fallback_that_cannot_step_in() -> None:
    settings = {"fallback_provider": "openrouter", "fallback_model": "qwen/vl"}
    with FakeVision(routes=HEALTHY) as server:
        (warning,) = vision({"base_url": server.url, **settings}).preflight()
    assert "openrouter (qwen/vl) cannot step in" in warning and "key" in warning


def test_preflight_lets_a_healthy_fallback_stand_in_for_a_dead_provider() -> None:
    settings = {"base_url": dead_url(), "fallback_provider": "ollama", "fallback_model": "llava"}
    with FakeVision(routes=HEALTHY) as server:
        (warning,) = vision({**settings, "fallback_base_url": server.url}).preflight()
    assert "cannot be reached" in warning and "ollama (llava) is asked instead" in warning


def test_missing_key_is_the_users_own_slip() -> None:
    with pytest.raises(ConfigError) as missing:
        vision({"provider": "openrouter", "model": "qwen/vl"}).preflight()
    assert missing.value.hint == "Set OPENROUTER_API_KEY or api_key in AIVis.yaml."


def test_preflight_waits_for_a_server_that_still_loads_its_model() -> None:
    loading = Says({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}, 503)
    with FakeVision(loading, Says({"data": [{"id": "qwen3-vl:4b"}]})) as server:
        naps = Naps()
        assert vision({"provider": "openrouter", "base_url": server.url}, naps).preflight() == ()
    assert naps.taken == [5.0]


def test_rest_unloads_the_model_where_keep_alive_is_0() -> None:
    loaded = Says({"models": [{"name": "qwen3-vl:4b"}]})
    with FakeVision(
        chat(FORMAL), Says({"done": True, "done_reason": "unload"}), loaded, Says({"models": []})
    ) as server:
        naps = Naps()
        asker = vision({"base_url": server.url, "keep_alive": 0}, naps)
        asker.rest()  # nothing was asked yet
        asker.ask(request())
        asker.rest()
    assert [asked.path for asked in server.asked] == ["/api/chat", "/api/generate", "/api/ps", "/api/ps"]
    assert server.asked[0].body["keep_alive"] == "5m"
    assert server.asked[1].body == {"model": "qwen3-vl:4b", "keep_alive": 0}
    assert naps.taken == [0.25]


def test_failed_unloading_does_not_disturb_the_run() -> None:
    with FakeVision(chat(FORMAL)) as server:
        asker = vision({"base_url": server.url, "keep_alive": 0})
        asker.ask(request())
    asker.close()


def test_ctrl_c_while_requests_run_together_does_not_wait_for_them() -> None:
    never = threading.Event()

    class Interrupted(BaseException):
        pass

    asker = vision({"max_concurrent": 2})
    with pytest.raises(Interrupted):
        _together_interrupted(asker, never, Interrupted)
    never.set()


def _together_interrupted(asker: Vision, never: threading.Event, error: type) -> None:
    """Raise `error` in this thread, the way a signal does, while `together` waits."""
    import ctypes

    mine = ctypes.c_ulong(threading.get_ident())
    stop = threading.Timer(0.05, lambda: ctypes.pythonapi.PyThreadState_SetAsyncExc(mine, ctypes.py_object(error)))

    def begins() -> None:
        stop.start()
        never.wait()

    asker.together(begins, never.wait)


def test_records_are_plain_json() -> None:
    with FakeVision(chat(FORMAL)) as server:
        answer = vision({"base_url": server.url}).ask(request())
    assert json.loads(answer.call.model_dump_json())["provider"] == "ollama"


def test_another_look_is_asked_with_luck_of_its_own() -> None:
    with FakeVision(*[chat(FORMAL)] * 3) as server:
        eyes = vision({"base_url": server.url})
        for look in (0, 1, 2):
            eyes.ask(replace(request(), look=look))
    options = [body["options"] for body in server.bodies]
    assert [each["seed"] for each in options] == [1, 1001, 2001]
    assert [each["temperature"] for each in options] == [0.0, 0.3, 0.3]  # at 0 a new seed changes nothing
    assert len({json.dumps(body["messages"]) for body in server.bodies}) == 1


def test_a_duel_sends_three_pictures_and_the_choice_is_read() -> None:
    templates, _ = Templates.merge([load_texts(Path(__file__).parents[2] / "defaults" / "prompts.yaml")])
    criteria = [{"field": "is_red", "question": "Is it red?"}]
    rules = Rules.model_validate({"project": {"max_iterations": 1}, "acceptance_criteria": criteria})
    shown = [*PICTURES, replace(PICTURES[0], label="another")]
    with FakeVision(chat('{"reason": "redder", "better": "second"}'), chat('{"better": null}')) as server:
        judge = Judge(vision({"base_url": server.url}), templates, rules)
        assert ask_duel(judge, *shown)[:2] == ("second", "redder")
        assert ask_duel(judge, *shown)[:2] == (None, "")
    (message,) = server.bodies[0]["messages"]
    assert message["images"] == [picture.base64 for picture in shown]
    assert "- Is it red? (wanted: yes)" in message["content"]
    choice = server.bodies[0]["format"]["properties"]
    assert list(choice) == ["reason", "better"] and choice["better"]["enum"] == ["first", "second", None]
