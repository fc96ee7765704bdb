"""The built-in judge on the wire: Ollama's API, and OpenAI's beside it."""

from __future__ import annotations

import base64
import io
import json
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

import pytest
import requests
from PIL import Image
from sandbox_clients import png, raw

from imagination.sandbox.ollama_server import OllamaServer

PICTURE = base64.b64encode(png((64, 32))).decode()
SCHEMA = {"type": "object", "properties": {"seen": {"type": "integer"}}, "required": ["seen"]}


class StandInSight:
    """Says how many pictures it was shown; `asked` remembers what it got."""

    def __init__(self) -> None:
        self.asked: List[Dict[str, Any]] = []

    def __call__(self, instruction: str, images: Sequence[Image.Image], schema: Optional[Mapping[str, Any]]) -> str:
        if "break" in instruction:
            raise RuntimeError("the eyes failed")
        shown = [(image.mode, image.size) for image in images]
        self.asked.append({"instruction": instruction, "images": shown, "schema": schema})
        return json.dumps({"seen": len(images)}) if schema else f"I see {len(images)} pictures."


@pytest.fixture
def sight() -> StandInSight:
    return StandInSight()


@pytest.fixture
def url(sight: StandInSight) -> Iterator[str]:
    server = OllamaServer(sight)
    yield server.start()
    server.stop()


def ask(url: str, path: str, **body: Any) -> requests.Response:
    return requests.post(url + path, json={"model": "builtin", "stream": False, **body}, timeout=10)


def user(content: str = "look", *images: str) -> Dict[str, Any]:
    return {"role": "user", "content": content, "images": list(images)}


def test_it_answers_the_usual_probes(url: str) -> None:
    assert requests.get(url, timeout=5).text == "Ollama is running"
    assert requests.head(url, timeout=5).status_code == 200
    assert requests.get(f"{url}/api/version", timeout=5).json()["version"].count(".") == 2


def test_it_lists_one_model_that_sees(url: str) -> None:
    (model,) = requests.get(f"{url}/api/tags", timeout=5).json()["models"]
    assert (model["name"], model["capabilities"]) == ("builtin:latest", ["completion", "vision"])
    assert {"model", "modified_at", "size", "digest", "details"} <= set(model)
    shown = ask(url, "/api/show", model="Builtin:latest").json()
    assert shown["capabilities"] == ["completion", "vision"]
    assert shown["model_info"]["builtin.context_length"] > 8192


@pytest.mark.parametrize("name", ["builtin", "builtin:latest", "BUILTIN"])
def test_a_chat_is_answered_with_text_and_figures(url: str, sight: StandInSight, name: str) -> None:
    messages = [{"role": "system", "content": "be brief"}, user("first", PICTURE), user("second", PICTURE)]
    reply = ask(url, "/api/chat", model=name, messages=messages).json()
    assert (reply["model"], reply["done"], reply["done_reason"]) == (name, True, "stop")
    assert reply["message"] == {"role": "assistant", "content": "I see 2 pictures."}
    assert reply["prompt_eval_count"] > 2048
    assert reply["eval_count"] > 0
    assert all(reply[key] > 0 for key in ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"))
    shown = [("RGB", (64, 32))] * 2
    assert sight.asked == [{"instruction": "be brief\n\nfirst\n\nsecond", "images": shown, "schema": None}]


@pytest.mark.parametrize(
    ("wanted", "schema"), [(SCHEMA, SCHEMA), ("json", {"type": "object"}), ("", None), (None, None)]
)
def test_the_format_reaches_the_eyes(url: str, sight: StandInSight, wanted: Any, schema: Any) -> None:
    ask(url, "/api/chat", messages=[user()], format=wanted)
    assert sight.asked[0]["schema"] == schema


def test_generate_takes_system_prompt_and_images(url: str, sight: StandInSight) -> None:
    reply = ask(url, "/api/generate", system="be brief", prompt="look", images=[PICTURE], format=SCHEMA).json()
    assert json.loads(reply["response"]) == {"seen": 1}
    assert sight.asked[0]["instruction"] == "be brief\n\nlook"


def test_streaming_is_the_default_and_sends_one_object_a_line(url: str) -> None:
    answer = requests.post(f"{url}/api/chat", json={"model": "builtin", "messages": [user()]}, timeout=5)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == "I see 0 pictures."
    assert len(lines) > 3
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert "eval_count" in lines[-1]


@pytest.mark.parametrize("text", ["one", " two  words\n", '{"a": 1,\n "b": "x  y"}\n\n', ""])
def test_a_stream_adds_up_to_the_whole_text(text: str) -> None:
    server = OllamaServer(lambda instruction, images, schema: text)
    answer = requests.post(f"{server.start()}/api/generate", json={"model": "builtin", "prompt": "a"}, timeout=5)
    server.stop()
    assert "".join(json.loads(line)["response"] for line in answer.text.splitlines()) == text


def test_a_picture_with_holes_is_laid_on_white(url: str, sight: StandInSight) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (8, 8)).save(out, "PNG")
    ask(url, "/api/chat", messages=[user("look", base64.b64encode(out.getvalue()).decode())])
    assert sight.asked[0]["images"] == [("RGB", (8, 8))]


def test_a_small_budget_cuts_the_answer(url: str) -> None:
    reply = ask(url, "/api/chat", messages=[user()], options={"num_predict": 2}).json()
    assert (reply["message"]["content"], reply["done_reason"], reply["eval_count"]) == ("I see 0 ", "length", 2)


def test_without_a_question_the_model_is_loaded_or_unloaded(url: str) -> None:
    def loaded() -> List[str]:
        return [model["name"] for model in requests.get(f"{url}/api/ps", timeout=5).json()["models"]]

    assert loaded() == []
    assert ask(url, "/api/generate").json()["done_reason"] == "load"
    assert loaded() == ["builtin:latest"]
    assert ask(url, "/api/chat", messages=[], keep_alive=0).json()["done_reason"] == "unload"
    assert loaded() == []
    ask(url, "/api/chat", messages=[user()], keep_alive="5m")
    assert loaded() == ["builtin:latest"]
    ask(url, "/api/chat", messages=[user()], keep_alive="0s")
    assert loaded() == []


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/api/chat", {"model": "nope", "messages": []}, 404, "model 'nope' not found"),
        ("/api/generate", {"model": "nope"}, 404, "model 'nope' not found"),
        ("/api/show", {"model": "nope"}, 404, "model 'nope' not found"),
        ("/api/chat", {"model": ""}, 400, "model is required"),
        ("/api/chat", {"messages": [user()], "think": True}, 400, '"builtin" does not support thinking'),
        ("/api/chat", {"messages": [user()], "think": "high"}, 400, '"builtin" does not support thinking'),
        ("/api/chat", {"messages": [user()], "tools": [{}]}, 400, '"builtin" does not support tools'),
        ("/api/generate", {"prompt": "a", "suffix": "b"}, 400, '"builtin" does not support insert'),
        ("/api/embed", {"input": "x"}, 400, '"builtin" does not support embeddings'),
        (
            "/api/chat",
            {"messages": [user("x", "data:image/png;base64,AAAA")]},
            400,
            "illegal base64 data at input byte 4",
        ),
        ("/api/chat", {"messages": [user("x", "https://a/b.png")]}, 400, "illegal base64 data at input byte 5"),
        ("/api/chat", {"messages": [user("x", "QUJD")]}, 400, "Failed to load image or audio file"),
        ("/api/chat", {"messages": [user("x", PICTURE[:60])]}, 400, "Failed to load image or audio file"),
        ("/api/chat", {"messages": "hi"}, 400, "json: cannot unmarshal"),
        ("/api/chat", {"messages": [user()], "format": "xml"}, 400, 'invalid format: "xml"'),
        ("/api/chat", {"messages": [user()], "keep_alive": "-1"}, 400, 'time: missing unit in duration "-1"'),
        ("/api/chat", {"messages": [user()], "options": {"num_ctx": "big"}}, 500, 'option "num_ctx" must be of type'),
        ("/api/chat", {"messages": [user("break")]}, 500, "an error was encountered while running the model: the eyes"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_the_servers_words(
    url: str, path: str, body: Dict[str, Any], status: int, text: str
) -> None:
    answer = ask(url, path, **body)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(text)


def test_think_false_is_always_accepted(url: str) -> None:
    assert ask(url, "/api/chat", messages=[user()], think=False).status_code == 200


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "missing request body"),
        (b"oops", "invalid character 'o' looking"),
        (b"[]", "json: cannot unmarshal array"),
    ],
)
def test_a_body_that_is_no_object_is_refused(url: str, body: bytes, text: str) -> None:
    answer = raw(url, "POST", "/api/chat", {}, body)
    assert (answer.status, json.loads(answer.content)["error"][: len(text)]) == (400, text)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "text"),
    [
        ("GET", "/api/api/tags", {}, 404, b"404 page not found"),
        ("GET", "/api/chat", {}, 405, b"405 method not allowed"),
        ("GET", "/api/tags", {"Host": "rebind.example"}, 403, b""),
        ("GET", "/api/tags", {"Origin": "http://evil.example"}, 403, b""),
    ],
)
def test_odd_requests(url: str, method: str, path: str, headers: Dict[str, str], status: int, text: bytes) -> None:
    answer = raw(url, method, path, headers)
    assert (answer.status, answer.content) == (status, text)


def test_a_local_page_may_ask(url: str) -> None:
    answer = raw(url, "GET", "/api/version", {"Origin": "http://localhost:3000"})
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert raw(url, "OPTIONS", "/api/chat", {"Origin": "http://localhost:3000"}).status == 204


def test_a_pull_of_the_model_that_is_here_succeeds_and_of_any_other_one_fails(url: str) -> None:
    def pull(**body: Any) -> requests.Response:
        return requests.post(f"{url}/api/pull", json=body, timeout=5)

    assert [json.loads(line) for line in pull(model="builtin").text.splitlines()][-1] == {"status": "success"}
    assert pull(model="builtin", stream=False).json() == {"status": "success"}
    failed = pull(model="qwen3-vl:4b")
    assert failed.status_code == 200
    assert "error" in json.loads(failed.text.splitlines()[-1])
    assert pull(model="qwen3-vl:4b", stream=False).status_code == 500


# --- /v1 --------------------------------------------------------------------------------------------------------------


def parts(url: str = f"data:image/png;base64,{PICTURE}") -> List[Dict[str, Any]]:
    content = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": content}]


def test_v1_lists_the_model(url: str) -> None:
    listed = requests.get(f"{url}/v1/models", timeout=5).json()
    assert [model["id"] for model in listed["data"]] == ["builtin:latest"]
    assert requests.get(f"{url}/v1/models/builtin", timeout=5).json()["object"] == "model"
    assert requests.get(f"{url}/v1/models/nope", timeout=5).status_code == 404


def test_v1_answers_a_chat_with_a_picture_and_a_schema(url: str, sight: StandInSight) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    reply = ask(url, "/v1/chat/completions", messages=parts(), response_format=wanted).json()
    choice = reply["choices"][0]
    assert json.loads(choice["message"]["content"]) == {"seen": 1}
    assert choice["finish_reason"] == "stop"
    assert reply["usage"]["total_tokens"] == reply["usage"]["prompt_tokens"] + reply["usage"]["completion_tokens"]
    assert sight.asked == [{"instruction": "look", "images": [("RGB", (64, 32))], "schema": SCHEMA}]


def test_v1_streams_events(url: str) -> None:
    body = {"messages": parts(), "stream": True, "stream_options": {"include_usage": True}}
    answer = ask(url, "/v1/chat/completions", **body)
    events = [line[6:] for line in answer.text.splitlines() if line]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event) for event in events]
    assert chunks[-1]["usage"]["completion_tokens"] > 0
    said = "".join(choice["delta"]["content"] for chunk in chunks for choice in chunk["choices"])
    assert said == "I see 1 pictures."


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "nope", "messages": parts()}, 404),
        ({"messages": []}, 400),
        ({"messages": parts(), "tools": [{}]}, 400),
        ({"messages": parts(), "response_format": "json"}, 400),
        ({"messages": [{"role": "user", "content": ["look"]}]}, 400),
        ({"messages": parts("https://a/b.png")}, 400),
    ],
)
def test_v1_refuses_with_an_error_object(url: str, body: Dict[str, Any], status: int) -> None:
    answer = ask(url, "/v1/chat/completions", **body)
    assert (answer.status_code, set(answer.json()["error"])) == (status, {"message", "type", "param", "code"})
