"""What the tests of the built-in engines talk with: a generic HTTP and WebSocket client, and stand-in engines.

None of the program's own clients is used, since the servers must suit any client.
"""

from __future__ import annotations

import copy
import http.client
import io
import json
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import requests
import websocket
from PIL import Image

RECORDED = Path(__file__).parent.parent / "data" / "comfyui_recorded"


def recorded(name: str) -> Dict[str, Any]:
    return json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))


GRAPH: Dict[str, Any] = recorded("validation")["graph"]


def graph(**changes: Mapping[str, Any]) -> Dict[str, Any]:
    """The recorded img2img graph with some inputs changed: `graph(n3={"seed": 7})`."""
    changed = copy.deepcopy(GRAPH)
    for key, inputs in changes.items():
        changed[key[1:]]["inputs"].update(inputs)
    return changed


def png(size: Tuple[int, int] = (64, 64), color: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


class StandInSampler:
    """Samples by inverting the picture. While `gate` is closed it waits behind its first step; `calls` remembers."""

    def __init__(self) -> None:
        self.calls: List[Dict[str, Any]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()

    def __call__(self, image: Image.Image, positive: str, negative: str, **settings: Any) -> Image.Image:
        on_step = settings.pop("on_step")
        self.calls.append({"positive": positive, "negative": negative, "size": image.size, **settings})
        for step in range(1, settings["steps"] + 1):
            on_step(step, settings["steps"], image)
            self.reached.set()
            assert self.gate.wait(10)
        return image.point(lambda value: 255 - value)

    def hold(self) -> None:
        """Make the next run wait behind its first step until `gate` is set."""
        self.reached.clear()
        self.gate.clear()


class Client:
    """Any ComfyUI client: sends requests, listens on a WebSocket, remembers what it heard."""

    def __init__(self, url: str, client_id: str = "client-a") -> None:
        self.url = url
        self.client_id = client_id
        self.socket: Optional[websocket.WebSocket] = None
        self.sockets: List[websocket.WebSocket] = []

    def get(self, path: str, **params: Any) -> requests.Response:
        return requests.get(self.url + path, params=params, timeout=10)

    def post(self, path: str, body: Any = None, **more: Any) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=10, **more)

    def connect(self) -> websocket.WebSocket:
        address = self.url.replace("http", "ws") + f"/ws?clientId={self.client_id}"
        self.socket = websocket.create_connection(address, timeout=10)
        self.sockets.append(self.socket)
        return self.socket

    def close(self) -> None:
        for socket in self.sockets:
            socket.close()

    def upload(self, name: str, data: bytes, **fields: str) -> Dict[str, Any]:
        return self.upload_to("/upload/image", name, data, **fields)

    def upload_to(self, path: str, name: str, data: bytes, **fields: str) -> Dict[str, Any]:
        files = {"image": (name, data, "image/png")}
        return requests.post(self.url + path, files=files, data=fields, timeout=10).json()

    def submit(self, prompt: Dict[str, Any], **more: Any) -> str:
        answer = self.post("/prompt", {"prompt": prompt, "client_id": self.client_id, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()["prompt_id"]

    def hear(self) -> Iterator[Dict[str, Any]]:
        """Give the messages as they come, without the previews."""
        assert self.socket is not None
        while True:
            received = self.socket.recv()
            if isinstance(received, str):
                yield json.loads(received)

    def until_over(self, prompt_id: str) -> List[Dict[str, Any]]:
        """Give the messages up to the one that says that the prompt is over."""
        heard = []
        for message in self.hear():
            heard.append(message)
            data = message["data"]
            if message["type"] == "executing" and data["node"] is None and data["prompt_id"] == prompt_id:
                return heard
        raise AssertionError("the connection ended")

    def run(self, prompt: Dict[str, Any], **more: Any) -> Dict[str, Any]:
        """Run a prompt to its end and give its history entry."""
        prompt_id = self.submit(prompt, **more)
        self.until_over(prompt_id)
        return self.get(f"/history/{prompt_id}").json()[prompt_id]


def raw(
    url: str, method: str, path: str, headers: Optional[Mapping[str, str]] = None, body: bytes = b""
) -> http.client.HTTPResponse:
    """Send a request exactly as given: no normalised path, no headers of a library's own."""
    connection = http.client.HTTPConnection(url.partition("//")[2], timeout=10)
    connection.putrequest(method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)
    response = connection.getresponse()
    response.content = response.read()  # type: ignore[attr-defined]
    connection.close()
    return response


def kinds(messages: List[Dict[str, Any]]) -> List[str]:
    return [message["type"] for message in messages]
