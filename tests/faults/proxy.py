"""A proxy that stands before a server, writes down what it is asked, and breaks what it is told to break.

One request a connection: the answer is read whole from the server, then given to the client with the fault in it. A
WebSocket is let through frame by frame, so that frames can be held back, doubled, swapped or invented.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Tuple

Address = Tuple[str, int]


@dataclass(frozen=True)
class Seen:
    """A request as it came in."""

    method: str
    path: str
    body: bytes = b""

    @property
    def is_socket(self) -> bool:
        return self.path.startswith("/ws")

    @property
    def key(self) -> str:
        """What makes it the same request again: ids of clients and jobs left out."""
        path = self.path.split("?")[0]
        data: Any = None
        with contextlib.suppress(ValueError):
            data = json.loads(self.body)
        if isinstance(data, dict):
            data = {k: v for k, v in data.items() if k not in ("client_id", "prompt_id")}
        told = json.dumps(data, sort_keys=True).encode() if data is not None else b""
        return f"{self.method} {path} {hashlib.sha256(told).hexdigest()[:12]}"


@dataclass
class Answer:
    """The server's answer, to be given to the client as it is or otherwise."""

    head: bytes
    body: bytes

    @property
    def whole(self) -> bytes:
        return self.head + self.body


Fault = Callable[[socket.socket, Answer], None]


@dataclass
class Proxy:
    """Listens on a free loopback port before `upstream`. `faults(seen, count)` picks a fault; `count` is that path's, from 1.

    `frames` rewrites what a WebSocket brings: it is given each frame and returns the frames to pass on; None ends the
    connection.
    """

    upstream: Address
    faults: Callable[[Seen, int], Optional[Fault]] = lambda seen, count: None
    frames: Optional[Callable[[bytes], Optional[List[bytes]]]] = None
    seen: List[Seen] = field(default_factory=list)
    heads: List[bytes] = field(default_factory=list)  # of the requests
    dripping: float = 0.0  # s between two bytes of a frame that is rewritten
    told: Optional[Callable[[Seen], None]] = None

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = True
        self.counts: Dict[str, int] = {}
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def upstream_url(self) -> str:
        return f"http://{self.upstream[0]}:{self.upstream[1]}"

    def close(self) -> None:
        self.open = False
        with contextlib.suppress(OSError):  # wakes accept, which close alone does not
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        self.listener.close()

    def _accept(self) -> None:
        while self.open:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), client:
            head, body = read_message(client)
            if not head:
                return
            method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
            seen = Seen(method, path, body)
            with self.lock:
                self.seen.append(seen)
                self.heads.append(head)
                name = path.split("?")[0]
                self.counts[name] = self.counts.get(name, 0) + 1
                count = self.counts[name]
            if self.told:
                self.told(seen)
            fault = self.faults(seen, count)
            if seen.is_socket:
                self._relay(client, head, fault)
            else:
                self._exchange(client, head, body, fault)

    def _exchange(self, client: socket.socket, head: bytes, body: bytes, fault: Optional[Fault]) -> None:
        with socket.create_connection(self.upstream, 30) as server:
            server.sendall(_closing(head) + body)
            answer = Answer(*_split(_all_of(server)))
        if fault is not None:
            fault(client, answer)
        else:
            client.sendall(answer.whole)

    def _relay(self, client: socket.socket, head: bytes, fault: Optional[Fault]) -> None:
        """A WebSocket: the handshake, then both ways until one side ends."""
        with socket.create_connection(self.upstream, 30) as server:
            server.settimeout(None)
            server.sendall(head)
            greeting, _ = read_message(server, body=False)
            if fault is not None:
                fault(client, Answer(greeting, b""))
                return
            client.sendall(greeting)
            threading.Thread(target=_pump, args=(client, server), daemon=True).start()
            if self.frames is None:
                _pump(server, client)
            else:
                self._frames(server, client)

    def _frames(self, server: socket.socket, client: socket.socket) -> None:
        assert self.frames is not None
        while True:
            frame = read_frame(server)
            passed = self.frames(frame) if frame else None
            if passed is None:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
                return
            for each in passed:
                if self.dripping:
                    for byte in each:
                        client.sendall(bytes([byte]))
                        time.sleep(self.dripping)
                else:
                    client.sendall(each)


# --- messages -------------------------------------------------------------------------------------------------------------


def read_message(sock: socket.socket, body: bool = True) -> Tuple[bytes, bytes]:
    """Head (with its empty line) and body of an HTTP message; empty where the other side has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = sock.recv(1 if not body else 65536)  # byte by byte before frames, which must not be swallowed
        if not chunk:
            return b"", b""
        data += chunk
    head, rest = data.split(b"\r\n\r\n", 1)
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while body and len(rest) < length:
        chunk = sock.recv(65536)
        if not chunk:
            break
        rest += chunk
    return head + b"\r\n\r\n", rest


def _closing(head: bytes) -> bytes:
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([lines[0], b"Connection: close", *lines[1:]])


def _all_of(server: socket.socket) -> bytes:
    chunks = []
    while True:
        chunk = server.recv(65536)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


def _split(answer: bytes) -> Tuple[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", body


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            chunk = source.recv(65536)
            if not chunk:
                break
            target.sendall(chunk)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def read_frame(sock: socket.socket) -> bytes:
    """One WebSocket frame from a server (not masked); empty at the end."""
    start = _exactly(sock, 2)
    if not start:
        return b""
    length = start[1] & 127
    more = _exactly(sock, {126: 2, 127: 8}.get(length, 0))
    size = struct.unpack(">H" if length == 126 else ">Q", more)[0] if more else length
    return start + more + _exactly(sock, size)


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = sock.recv(count - len(data))
        if not chunk:
            return b""
        data += chunk
    return data


def text_of(frame: bytes) -> str:
    """The text in a frame; empty for binary ones, pings and the end."""
    if frame[0] & 15 != 1:
        return ""
    start = 2 + {126: 2, 127: 8}.get(frame[1] & 127, 0)
    return frame[start:].decode("utf-8", "replace")


def frame_of(text: str, opcode: int = 1) -> bytes:
    """A frame as a server sends it."""
    data = text.encode("utf-8")
    size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
    return bytes([0x80 | opcode]) + size + data


# --- faults ---------------------------------------------------------------------------------------------------------------


def reset(client: socket.socket, answer: Answer) -> None:
    """End the connection with a reset, before any answer."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_after(count: int) -> Fault:
    """Reset after `count` bytes of the answer; negative: that many before its end."""

    def fault(client: socket.socket, answer: Answer) -> None:
        client.sendall(answer.whole[:count])
        time.sleep(0.05)  # a reset may overtake what was sent
        reset(client, answer)

    return fault


def stall(client: socket.socket, answer: Answer) -> None:
    """Say nothing until the client goes."""
    with contextlib.suppress(OSError):
        client.settimeout(30)
        client.recv(1)


def stall_after(count: int) -> Fault:
    """Say nothing more after `count` bytes of the answer."""

    def fault(client: socket.socket, answer: Answer) -> None:
        client.sendall(answer.whole[:count])
        stall(client, answer)

    return fault


def half(client: socket.socket, answer: Answer) -> None:
    """Half the body, then a plain end."""
    client.sendall(answer.head + answer.body[: len(answer.body) // 2])


def wrong_length(client: socket.socket, answer: Answer) -> None:
    """A Content-Length that promises more than comes."""
    lines = [
        line
        for line in answer.head.split(b"\r\n")
        if line and not line.lower().startswith((b"content-length", b"transfer"))
    ]
    head = b"\r\n".join([*lines, b"Content-Length: %d" % (len(answer.body) + 1000)]) + b"\r\n\r\n"
    client.sendall(head + answer.body)


def drip(seconds: float) -> Fault:
    """A byte at a time, so slowly that it never comes to an end."""

    def fault(client: socket.socket, answer: Answer) -> None:
        client.sendall(answer.head)
        for byte in answer.body:
            client.sendall(bytes([byte]))
            time.sleep(seconds)

    return fault


def status(code: int, body: bytes = b"{}", kind: str = "application/json", extra: str = "") -> Fault:
    """Another answer altogether."""

    def fault(client: socket.socket, answer: Answer) -> None:
        head = f"HTTP/1.1 {code} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{extra}\r\n"
        client.sendall(head.encode() + body)

    return fault


def page(client: socket.socket, answer: Answer) -> None:
    """A web page with status 200, as a captive portal or a wrong port gives it."""
    status(200, b"<!doctype html><title>Sign in</title>", "text/html")(client, answer)


def body(change: Callable[[bytes], bytes]) -> Fault:
    """The answer with another body of the right length."""

    def fault(client: socket.socket, answer: Answer) -> None:
        first = answer.head.split(b"\r\n")[0].decode().split(" ")
        kind = next(
            (x for x in answer.head.decode("latin-1").split("\r\n") if x.lower().startswith("content-type")), ""
        )
        status(int(first[1]), change(answer.body), kind.partition(":")[2].strip() or "application/json")(client, answer)

    return fault
