"""ComfyUI and Ollama that answer at once, so that what is left of a run's time is the tool's own. Only `overhead.py` starts it.

They run in a process of their own: what they take is not counted as ours. On start one line of JSON says their ports; when
standard input ends, a second one tells of every request that came: service, endpoint, bytes of head and body.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, List, Tuple
from urllib.parse import parse_qs, urlsplit

from PIL import Image, ImageEnhance

SIDE = 512  # px
STEPS = 25  # progress messages of the sampler, as with the template's settings
CHECKPOINT = "sd_xl_base_1.0.safetensors"
MODEL = "qwen3-vl:4b"
NODES = ["1", "4", "2", "9", "10", "3", "5", "6"]  # of the template's workflow, in the order in which they run
WS_KEY = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455


def pictures(source: Path, count: int) -> List[bytes]:
    """`count` different photographs of 512x512 as PNG, compressed like ComfyUI's SaveImage."""
    with Image.open(source) as image:
        photo = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    made = []
    for number in range(count):
        with io.BytesIO() as out:
            ImageEnhance.Brightness(photo).enhance(1 + number / 100).save(out, "PNG", compress_level=4)
            made.append(out.getvalue())
    return made


class Served:
    """One service: answers by endpoint, and the memory of what came."""

    name = ""

    def __init__(self, tally: List[Tuple[str, str, int]]) -> None:
        self.tally = tally
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.http.server_address[1])

    def answer(self, endpoint: str, path: str, raw: bytes) -> Any:
        """The reply as bytes or as what becomes JSON; None is 404."""
        raise NotImplementedError


class InstantComfyUI(Served):
    """Each prompt is over the moment it is queued, and saves another photograph each time."""

    name = "ComfyUI"

    def __init__(self, tally: List[Tuple[str, str, int]], photos: List[bytes]) -> None:
        super().__init__(tally)
        self.photos = photos
        self.made = 0
        self.running: List[Any] = []
        self.history: Dict[str, Any] = {}
        self.listeners: Dict[str, Any] = {}

    def answer(self, endpoint: str, path: str, raw: bytes) -> Any:
        if endpoint == "POST /upload/image":
            return {"name": "uploaded.png", "subfolder": "", "type": "input"}
        if endpoint == "POST /prompt":
            return self.queue(json.loads(raw))
        if endpoint == "GET /queue":
            return {"queue_running": list(self.running), "queue_pending": []}
        if endpoint == "GET /view":
            return self.photos[int(parse_qs(urlsplit(path).query)["filename"][0].split("_")[1])]
        name = path.rpartition("/")[2]
        if endpoint == "GET /history":
            return {name: self.history[name]} if name in self.history else {}
        if endpoint == "GET /object_info":
            return {name: {"input": {"required": OFFERED.get(name, {})}}}
        return {"system": {"comfyui_version": "0.3.64"}, "devices": []} if endpoint == "GET /system_stats" else None

    def queue(self, body: Dict[str, Any]) -> Any:
        job = body["prompt_id"]
        self.running = [[0, job, body["prompt"], {"client_id": body["client_id"]}, ["6"]]]
        threading.Thread(target=self.play, args=(job, body["client_id"]), daemon=True).start()
        return {"prompt_id": job, "number": 0, "node_errors": {}}

    def play(self, job: str, client_id: str) -> None:
        """What a real server says of a job, without the work in between."""
        number, self.made = self.made, self.made + 1
        images = {"images": [{"filename": f"made_{number}_.png", "subfolder": "", "type": "output"}]}
        told: List[Tuple[str, Dict[str, Any]]] = [("execution_start", {}), ("execution_cached", {"nodes": []})]
        for node in NODES:
            told.append(("executing", {"node": node}))
            steps = range(1, STEPS + 1) if node == "3" else ()
            told += [("progress", {"node": node, "value": step, "max": STEPS}) for step in steps]
        told += [("executed", {"node": "6", "output": images}), ("execution_success", {})]
        for kind, data in told:
            self.say(client_id, kind, {**data, "prompt_id": job})
        self.history[job] = {"outputs": {"6": images}, "status": {"status_str": "success", "messages": []}}
        self.running = []
        self.say(client_id, "executing", {"node": None, "prompt_id": job})

    def say(self, client_id: str, kind: str, data: Any) -> None:
        payload = json.dumps({"type": kind, "data": data}).encode()
        with contextlib.suppress(OSError, KeyError):  # who has the picture already hangs up in mid-sentence
            self.listeners[client_id].sendall(_frame(payload))


class InstantOllama(Served):
    """A model that fails every criterion, finds the pictures half alike, and words each answer anew."""

    name = "Ollama"
    words = 0

    def answer(self, endpoint: str, path: str, raw: bytes) -> Any:
        if endpoint == "POST /api/chat":
            schema = json.loads(raw).get("format")
            text = json.dumps(self.fill(schema)) if schema else "A pavilion above a lake."
            message = {"role": "assistant", "content": text}
            counts = {"prompt_eval_count": 2250, "eval_count": 60}
            return {"model": MODEL, "message": message, "done": True, "done_reason": "stop", **counts}
        return {
            "GET /api/version": {"version": "0.12.6"},
            "GET /api/tags": {"models": [{"name": MODEL}]},
            "POST /api/show": {"capabilities": ["completion", "vision"]},
        }.get(endpoint)

    def fill(self, schema: Dict[str, Any]) -> Any:
        """A value that suits a JSON Schema: false, the middle of a range, a new text."""
        kinds = schema.get("type", "string")
        kind = kinds[0] if isinstance(kinds, list) else kinds
        if schema.get("enum"):
            return schema["enum"][0]
        if kind == "object":
            return {key: self.fill(part) for key, part in schema["properties"].items()}
        if kind in ("number", "integer"):
            middle = (schema.get("minimum", 0) + schema.get("maximum", 1)) / 2
            return int(middle) if kind == "integer" else middle
        self.words += 1
        text = f"a pavilion above a lake, seen for the {self.words}th time"
        return {"boolean": False, "array": [text]}.get(kind, text)


OFFERED = {
    "CheckpointLoaderSimple": {"ckpt_name": [[CHECKPOINT], {}]},
    "KSampler": {"sampler_name": [["euler", "dpmpp_2m"], {}], "scheduler": [["normal", "karras"], {}]},
}


def _frame(payload: bytes) -> bytes:
    size = len(payload)
    return b"\x81" + (bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size)) + payload


def _endpoint(method: str, path: str) -> str:
    """`GET /history` for `GET /history/0b51...`: names and ids are not part of an endpoint."""
    route = urlsplit(path).path
    for parent in ("/history", "/object_info"):
        route = parent if route.startswith(parent + "/") else route
    return f"{method} {route}"


def _handler(served: Served) -> Any:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.serve()

        def do_POST(self) -> None:
            self.serve()

        def serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            endpoint = _endpoint(self.command, self.path)
            head = len(self.requestline) + len(str(self.headers)) + 2
            served.tally.append((served.name, endpoint, head + len(raw)))
            if endpoint == "GET /ws":
                self.listen()
                return
            answer = served.answer(endpoint, self.path, raw)
            payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def listen(self) -> None:
            """Register the socket, then read what the client says until it hangs up."""
            digest = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + WS_KEY).encode()).digest()
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
            assert isinstance(served, InstantComfyUI)
            client_id = parse_qs(urlsplit(self.path).query)["clientId"][0]
            served.listeners[client_id] = self.connection  # before the answer: who hears it may queue at once
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    head = self.rfile.read(2)
                    if len(head) < 2:
                        break
                    body = self.rfile.read(4 + (head[1] & 0x7F))
                    if head[0] & 0x0F == 8:  # a close is answered with a close
                        code = bytes(byte ^ body[i % 4] for i, byte in enumerate(body[4:]))
                        self.connection.sendall(b"\x88" + bytes([len(code)]) + code)
                        break
            del served.listeners[client_id]
            self.close_connection = True

    return Handler


def main() -> None:
    """Serve until standard input ends. Arguments: the photograph, how many different pictures to hold ready."""
    tally: List[Tuple[str, str, int]] = []
    comfyui = InstantComfyUI(tally, pictures(Path(sys.argv[1]), int(sys.argv[2])))
    ollama = InstantOllama(tally)
    print(json.dumps({"comfyui": comfyui.port, "ollama": ollama.port}), flush=True)
    sys.stdin.read()
    print(json.dumps(tally))


if __name__ == "__main__":
    main()
