"""A vision model's server that says what it is told to and remembers what it was asked. Loopback only, in a thread."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List, Mapping, Optional, Union


@dataclass(frozen=True)
class Says:
    """One scripted answer. `drip`: seconds between single bytes; `headers_drip` drips before the headers end."""

    body: Union[str, Mapping[str, Any]] = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: float = 0.0
    headers_drip: float = 0.0
    hang: float = 0.0  # seconds of silence before the answer
    break_off: bool = False  # announce more bytes than are sent


@dataclass(frozen=True)
class Asked:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: Dict[str, str]
    body: Any


class FakeVision:
    """`answers` are used up by POSTs to endpoints that ask a model; `routes` ("GET /api/version") stay as they are."""

    def __init__(self, *answers: Says, routes: Optional[Mapping[str, Says]] = None) -> None:
        self.answers = list(answers)
        self.routes = dict(routes or {})
        self.asked: List[Asked] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.handle_error = lambda *args: None  # type: ignore[method-assign]  # clients hang up on purpose
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def bodies(self) -> List[Any]:
        """What the model was asked, in order."""
        return [asked.body for asked in self.asked if f"{asked.method} {asked.path}" not in self.routes]

    def __enter__(self) -> FakeVision:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, asked: Asked) -> Says:
        with self._lock:
            self.asked.append(asked)
            fixed = self.routes.get(f"{asked.method} {asked.path}")
            if fixed is not None:
                return fixed
            return self.answers.pop(0) if self.answers else Says({"error": "nothing scripted"}, 418)

    def pause(self, seconds: float) -> None:
        self._over.wait(seconds)


def _handler(fake: FakeVision) -> type:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _serve(self, raw: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            says = fake.answer(Asked(self.command, self.path, headers, json.loads(raw) if raw else None))
            fake.pause(says.hang)
            self._say(says)

        def _say(self, says: Says) -> None:
            text = says.body if isinstance(says.body, str) else json.dumps(says.body)
            data = text.encode("utf-8")
            self.send_response(says.status)
            for name, value in says.headers.items():
                self.send_header(name, value)
            if says.headers_drip:
                self._drip(b"X-Slow: " + b"." * 1000, says.headers_drip)
            self.send_header("Content-Length", str(len(data) + (10 if says.break_off else 0)))
            self.end_headers()
            if says.drip:
                self._drip(data, says.drip)
            else:
                self.wfile.write(data)

        def _drip(self, data: bytes, pause: float) -> None:
            self.flush_headers()
            for byte in data:
                if fake._over.is_set():
                    return
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(pause)

        def log_message(self, *args: Any) -> None:
            """Silence: the tests read `asked`."""

    return Handler


def chat(text: str, *, thinking: str = "", done: bool = True, reason: str = "stop", **more: Any) -> Says:
    """A reply of Ollama's /api/chat."""
    message = {"role": "assistant", "content": text, **({"thinking": thinking} if thinking else {})}
    counts = {"prompt_eval_count": 2250, "eval_count": 60}
    return Says({"model": "qwen3-vl:4b", "message": message, "done": done, "done_reason": reason, **counts, **more})


def completion(text: Any, *, finish: str = "stop", cost: Optional[float] = 0.001, **message: Any) -> Says:
    """A reply of /chat/completions."""
    usage: Dict[str, Any] = {"prompt_tokens": 2210, "completion_tokens": 64}
    if cost is not None:
        usage["cost"] = cost
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    return Says({"id": "gen-1", "model": "qwen/vl", "choices": [choice], "usage": usage})


def dead_url() -> str:
    """An address where nobody listens. The port stays taken, or another program could move in before it is asked."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    taken.detach()  # bound as long as this process lives
    return f"http://127.0.0.1:{port}"
