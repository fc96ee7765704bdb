"""Starting and ending the built-in engines: inside a process, and on their own with `python -m imagination.sandbox`."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
from typing import Iterator

import pytest
import requests
from PIL import Image
from sandbox_clients import Client, graph, png

from imagination.errors import ConfigError
from imagination.sandbox import start_generator, start_vision, stop_all


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    stop_all()
    yield
    stop_all()


def test_one_server_of_each_kind_serves_the_whole_process() -> None:
    assert start_generator() == start_generator()
    assert start_vision() == start_vision()
    assert start_generator() != start_vision()


def test_the_built_in_generator_changes_a_picture() -> None:
    client = Client(start_generator())
    client.upload("in.png", png((128, 96), "gray"))
    client.connect()
    entry = client.run(graph(n9={"text": "warm golden light"}, n3={"denoise": 0.8}))
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"][-1]
    made = client.get("/view", **entry["outputs"]["6"]["images"][0]).content
    client.close()
    with Image.open(io.BytesIO(made)) as picture:
        assert picture.size == (128, 96)
        assert picture.convert("RGB").tobytes() != Image.new("RGB", (128, 96), "gray").tobytes()


def test_the_built_in_judge_answers_in_the_shape_it_was_asked_for() -> None:
    schema = {"type": "object", "properties": {"is_dark": {"type": "boolean"}}, "required": ["is_dark"]}
    message = {"role": "user", "content": "Is it dark?", "images": [base64.b64encode(png(color="black")).decode()]}
    body = {"model": "builtin", "stream": False, "format": schema, "messages": [message]}
    reply = requests.post(f"{start_vision()}/api/chat", json=body, timeout=30).json()
    assert set(json.loads(reply["message"]["content"])) == {"is_dark"}


def test_after_stopping_nothing_listens_and_a_new_start_works() -> None:
    first = start_generator()
    stop_all()
    with pytest.raises(requests.ConnectionError):
        requests.get(first, timeout=5)
    assert requests.get(start_generator(), timeout=5).status_code == 200


def test_a_taken_port_is_the_users_mistake() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=f"port {taken.getsockname()[1]} cannot be used"):
            start_generator(taken.getsockname()[1])


def test_without_aiohttp_the_hint_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "from imagination.errors import ConfigError\n"
        "from imagination import sandbox\n"
        "for start in (sandbox.start_generator, sandbox.start_vision):\n"
        "    try: start()\n"
        "    except ConfigError as err: print(err.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count('pip install "iterative-imagination[demo]"') == 2


@pytest.mark.skipif(os.name == "nt", reason="no such signals for a child process")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_both_run_on_their_own_until_they_are_told_to_end(sent: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "imagination.sandbox"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            printed = [child.stdout.readline() for _ in range(4)]
            generator, judge = printed[1].split()[2], printed[2].split()[2]
            assert "for trying the tool and for tests" in printed[0]
            assert requests.get(f"{generator}/system_stats", timeout=5).status_code == 200
            assert requests.get(judge, timeout=5).text == "Ollama is running"
            child.send_signal(sent)
            _, said = child.communicate(timeout=20)
        finally:
            child.kill()  # a failure must not leave the suite waiting
    assert child.returncode == code
    assert "Traceback" not in said
