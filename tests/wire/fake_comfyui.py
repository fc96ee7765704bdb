"""A ComfyUI for scripted faults: real sockets in threads, a memory of what was asked, and no graph execution.

Each prompt is played by `play(server, job)` in a thread of its own, by default `run_well`; a script says and keeps what
it likes through `say`, `keep` and `drop_sockets`. `answers[(method, route)]` holds canned answers that are used up first.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import random
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from imagination.comfyui import ComfyUI

DROP = (0, b"")  # the connection ends without an answer
NODES = ["4", "1", "2", "9", "10", "3", "5", "6"]

WORKFLOW = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "start.png"}},
    "2": {"class_type": "VAEEncode", "inputs": {"pixels": ["1", 0], "vae": ["4", 2]}},
    "3": {
        "class_type": "KSampler",
        "inputs": {"model": ["4", 0], "positive": ["9", 0], "negative": ["10", 0], "latent_image": ["2", 0], "seed": 1},
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "tiny.safetensors"}},
    "5": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "x"}},
    "9": {"class_type": "CLIPTextEncode", "inputs": {"text": "snow", "clip": ["4", 1]}},
    "10": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
}


def picture(size: Tuple[int, int] = (16, 8), form: str = "PNG") -> bytes:
    with io.BytesIO() as out:
        Image.new("RGB", size, (200, 90, 30)).save(out, form)
        return out.getvalue()


@dataclass
class FakeJob:
    prompt_id: str
    workflow: Dict[str, Any]
    client_id: str
    body: Dict[str, Any]
    stopped: threading.Event = field(default_factory=threading.Event)

    def entry(self) -> List[Any]:
        return [0, self.prompt_id, self.workflow, {"client_id": self.client_id}, ["6"]]


Play = Callable[["FakeComfyUI", FakeJob], None]


def run_well(server: FakeComfyUI, job: FakeJob) -> None:
    server.start(job)
    server.wait_for_a_look()
    server.say(job, "execution_cached", nodes=["4"])
    for node in NODES[1:]:
        server.say(job, "executing", node=node)
        for step in range(1, 3 if node == "3" else 1):
            server.say(job, "progress", node=node, value=step, max=2)
    server.end_well(job)


def run_from_cache(server: FakeComfyUI, job: FakeJob) -> None:
    server.start(job)
    server.say(job, "execution_cached", nodes=NODES)
    server.end_well(job, cached=NODES)


def hang(server: FakeComfyUI, job: FakeJob) -> None:
    """Run until interrupted, saying nothing after the start."""
    server.start(job)
    server.say(job, "executing", node="3")
    job.stopped.wait(10)
    server.end_badly(job, "execution_interrupted", node_id="3", node_type="KSampler")


def wait_in_queue(server: FakeComfyUI, job: FakeJob) -> None:
    """Stay behind someone else's job for good."""


class FakeComfyUI:
    def __init__(self, play: Play = run_well) -> None:
        self.play = play
        self.asked: List[Tuple[str, str, Any]] = []
        self.answers: Dict[Tuple[str, str], List[Tuple[int, Any]]] = {}
        self.running: List[List[Any]] = []
        self.pending: List[List[Any]] = []
        self.history: Dict[str, Any] = {}
        self.history_misses = 0  # so many looks at /history find nothing yet
        self.files: Dict[str, bytes] = {"x_00001_.png": picture()}
        self.inputs: Dict[str, bytes] = {}
        self.info: Dict[str, Any] = {}
        self.sockets: Dict[str, socket.socket] = {}
        self.connections: List[socket.socket] = []
        self.closed = False
        self.deaf = False  # pings are not answered
        self.headers: Dict[str, str] = {}  # further ones of every answer
        self.moved_to = "/elsewhere"  # what a redirect names
        self.listened: List[str] = []  # every clientId that connected
        self.jobs: Dict[str, FakeJob] = {}
        self.lock = threading.RLock()
        self.looked = threading.Condition(self.lock)
        self.looks = 0
        self.threads: List[threading.Thread] = []
        self.port = 0
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        self.closed = False
        self._http = self._bound()
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def _bound(self) -> _Server:
        """On a port below those that systems hand out, so that no other program takes it between death and return."""
        while True:
            try:
                return _Server(("127.0.0.1", self.port or random.randrange(20_000, 30_000)), _handler_of(self))
            except OSError:
                if self.port:
                    raise

    def close(self) -> None:
        with self.lock:
            self.closed = True
            self.looked.notify_all()
        for job in self.jobs.values():
            job.stopped.set()
        self._http.shutdown()
        self._http.server_close()
        _hang_up(self.connections)
        self._thread.join()
        for thread in self.threads:
            thread.join()

    def die(self) -> None:
        """Killed: connections end, queue and history are forgotten, files stay."""
        self.close()
        with self.lock:
            self.running, self.pending, self.history = [], [], {}

    def __enter__(self) -> FakeComfyUI:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- for scripts --------------------------------------------------------------------------------------------------

    def start(self, job: FakeJob) -> None:
        with self.lock:
            self.pending = [entry for entry in self.pending if entry[1] != job.prompt_id]
            self.running.append(job.entry())
        self.say(job, "execution_start")

    def wait_for_a_look(self, looks: int = 1) -> None:
        """Go on once the client has asked /queue so often since now: the order of things is then the same every time."""
        wanted = self.looks + looks
        with self.lock:
            self.looked.wait_for(lambda: self.closed or self.looks >= wanted, timeout=60)

    def say(self, job: FakeJob, kind: str, **data: Any) -> None:
        self.tell(job.client_id, {"type": kind, "data": {**data, "prompt_id": job.prompt_id}})

    def tell(self, client_id: str, message: Any, opcode: int = 1) -> None:
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        with self.lock, contextlib.suppress(OSError):
            if client_id in self.sockets:
                self.sockets[client_id].sendall(frame(payload, opcode))

    def end_well(self, job: FakeJob, cached: Optional[List[str]] = None, filename: str = "x_00001_.png") -> None:
        images = [{"filename": filename, "subfolder": "", "type": "output"}]
        self.say(job, "executed", node="6", output={"images": images})
        self.say(job, "execution_success")
        told = [["execution_cached", {"nodes": cached or [], "prompt_id": job.prompt_id}]]
        self.keep(job, {"outputs": {"6": {"images": images}}, "status": {"status_str": "success", "messages": told}})
        self.say(job, "executing", node=None)

    def end_badly(self, job: FakeJob, kind: str, **data: Any) -> None:
        self.say(job, kind, **data)
        told = [[kind, {**data, "prompt_id": job.prompt_id}]]
        self.keep(job, {"outputs": {}, "status": {"status_str": "error", "messages": told}})
        self.say(job, "executing", node=None)

    def keep(self, job: FakeJob, entry: Any) -> None:
        with self.lock:
            self.history[job.prompt_id] = entry
            self.forget(job.prompt_id)

    def forget(self, prompt_id: str) -> None:
        with self.lock:
            self.running = [entry for entry in self.running if entry[1] != prompt_id]
            self.pending = [entry for entry in self.pending if entry[1] != prompt_id]

    def drop_sockets(self) -> None:
        with self.lock:
            _hang_up(list(self.sockets.values()))
            self.sockets.clear()

    def sent_to(self, method: str, route: str) -> List[Any]:
        """The bodies of all requests to a route, in order."""
        return [body for m, path, body in self.asked if m == method and path.split("?")[0] == route]

    # --- routes -------------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, body: Any) -> Tuple[int, Any]:
        route, query = urlsplit(path).path, parse_qs(urlsplit(path).query)
        with self.lock:
            self.asked.append((method, path, body))
            for key in ((method, route), (method, route.rpartition("/")[0] + "/*")):
                if self.answers.get(key):
                    return self.answers[key].pop(0)
        if (method, route) == ("POST", "/prompt"):
            return self.queue(body)
        if (method, route) == ("POST", "/upload/image"):
            name, content = body
            self.inputs[name] = content
            return 200, {"name": name, "subfolder": "", "type": "input"}
        if method == "POST":
            return self.stop(route, body)
        if route == "/queue":
            with self.lock:
                self.looks += 1
                self.looked.notify_all()
            return 200, {"queue_running": list(self.running), "queue_pending": list(self.pending)}
        if route == "/view":
            name = query["filename"][0]
            return (200, self.files[name]) if name in self.files else (404, b"")
        return 200, self.look_up(route)

    def look_up(self, route: str) -> Any:
        name = route.rpartition("/")[2]
        if route.startswith("/object_info/"):
            return {name: self.info[name]} if name in self.info else {}
        if route.startswith("/history/"):
            if self.history.get(name) and self.history_misses:
                self.history_misses -= 1
                return {}
            return {name: self.history[name]} if name in self.history else {}
        return {"system": {"comfyui_version": "0.3.64"}} if route == "/system_stats" else {}

    def queue(self, body: Dict[str, Any]) -> Tuple[int, Any]:
        job = FakeJob(body["prompt_id"], body["prompt"], body["client_id"], body)
        with self.lock:
            self.jobs[job.prompt_id] = job
            self.pending.append(job.entry())
            thread = threading.Thread(target=self.play, args=(self, job))
            self.threads.append(thread)
        thread.start()
        return 200, {"prompt_id": job.prompt_id, "number": 0, "node_errors": {}}

    def stop(self, route: str, body: Any) -> Tuple[int, Any]:
        with self.lock:
            if route == "/queue":
                self.pending = [entry for entry in self.pending if entry[1] not in body.get("delete", [])]
            if route == "/interrupt":
                for entry in self.running:  # without an id: whatever runs
                    if entry[1] in self.jobs and body.get("prompt_id", entry[1]) == entry[1]:
                        self.jobs[entry[1]].stopped.set()
        return 200, b""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the play."""


def _hang_up(connections: List[socket.socket]) -> None:
    for held in connections:
        with contextlib.suppress(OSError):
            held.shutdown(socket.SHUT_RDWR)
    connections.clear()


def frame(payload: bytes, opcode: int, last: bool = True) -> bytes:
    size, first = len(payload), 0x80 * last | opcode
    if size < 126:
        return bytes([first, size]) + payload
    return bytes([first]) + (struct.pack(">BH", 126, size) if size < 2**16 else struct.pack(">BQ", 127, size)) + payload


def _handler_of(server: FakeComfyUI) -> Any:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            server.connections.append(self.connection)

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            if urlsplit(self.path).path.endswith("/ws"):
                self.listen()
            else:
                self.reply(*server.answer("GET", self.path, None))

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.reply(*server.answer("POST", self.path, self.parsed(raw)))

        def parsed(self, raw: bytes) -> Any:
            if "multipart" not in self.headers.get("Content-Type", ""):
                return json.loads(raw)
            head, _, rest = raw.partition(b"\r\n\r\n")
            boundary = raw.partition(b"\r\n")[0]
            name = head.partition(b'filename="')[2].partition(b'"')[0].decode("ascii")
            return name, rest[: rest.rindex(b"\r\n" + boundary)]

        def reply(self, status: int, body: Any) -> None:
            if (status, body) == DROP:
                self.close_connection = True
                return
            payload = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            if 300 <= status < 400:
                self.send_header("Location", server.moved_to)
            for name, value in server.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        def listen(self) -> None:
            canned = server.answers.get(("GET", "/ws"))
            if canned:
                self.reply(*canned.pop(0))
                return
            client_id = parse_qs(urlsplit(self.path).query)["clientId"][0]
            server.asked.append(("GET", self.path, dict(self.headers)))
            digest = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode())
            with server.lock:  # nothing is said to it, or asked of it, before it is known here
                self.send_response(101)
                self.send_header("Upgrade", "websocket")
                self.send_header("Connection", "Upgrade")
                self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest.digest()).decode())
                self.end_headers()
                server.listened.append(client_id)
                server.sockets[client_id] = self.connection
            server.tell(client_id, {"type": "status", "data": {"status": {}, "sid": client_id}})
            self.drain()
            self.close_connection = True

        def drain(self) -> None:
            """Read what the client says until it hangs up; pings are answered."""
            with contextlib.suppress(OSError, IndexError):
                while True:
                    first, second = self.rfile.read(2)
                    mask, payload = self.rfile.read(4), self.rfile.read(second & 0x7F)
                    text = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
                    if first & 0x0F == 9 and not server.deaf:
                        self.connection.sendall(frame(text, 10))
                    if first & 0x0F == 8:
                        return

    return Handler


@pytest.fixture
def server() -> Iterator[FakeComfyUI]:
    with FakeComfyUI() as fake:
        yield fake


@pytest.fixture
def comfy(server: FakeComfyUI) -> Iterator[ComfyUI]:
    with ComfyUI(server.url, silence=60, pauses=(0.01, 0.02, 0.3), poll=0.05) as client:
        yield client
