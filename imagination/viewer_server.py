"""The viewer's server, on the loopback: files of the viewer and of the projects to read, and rankings to save.

What may be asked is decided in `viewer_routes`; here are the sockets and the disk. Started as a process of its own by
`iterativectl viewer start`: `python -m imagination.viewer_server WORKSPACE PORT RECORD`.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import socket
import socketserver
import stat
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, List, Optional, Tuple

from .errors import ImaginationError
from .ranking_file import Refusal, Unfit, read, save, tag_of_status
from .viewer_routes import BASE_HEADERS, Parts, content_type, is_ranking, policy, read_target, refuse, replaced

HOST = "127.0.0.1"
NAME = "iterative-imagination-viewer"
TRIES = 50  # ports from the one asked for
CHUNK = 64 * 1024
HEARD_OUT = (4 * 1024 * 1024, 10.0)  # bytes and s at most that one who was turned away may still send


class Server(ThreadingHTTPServer):
    """One viewer for one workspace. Raises OSError when no port from `port` on is free; 0 takes any."""

    daemon_threads = True
    # on Windows "reuse" would let two servers have one port
    allow_reuse_address = os.name == "posix"

    def __init__(self, port: int, projects: Path, viewer: Path) -> None:
        self.roots = {"projects": projects.resolve(), "viewer": viewer.resolve()}
        super().__init__((HOST, port), Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server who we are, as HTTPServer would."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in mid-answer is nothing to write down."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def open_server(port: int, projects: Path, viewer: Path) -> Server:
    """A server on `port`, or on the next that is free."""
    for each in range(port, min(port + TRIES, 65536)):
        try:
            return Server(each, projects, viewer)
        except OSError as err:
            if err.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    raise OSError(errno.EADDRINUSE, f"no port from {port} to {port + TRIES - 1} is free")


class Handler(BaseHTTPRequestHandler):
    """One connection. Every answer goes through `_answer`, also the refusals of the base class."""

    protocol_version = "HTTP/1.1"
    timeout = 30  # s of silence
    server: Server
    parts: Optional[Parts] = None
    refused = False

    def parse_request(self) -> bool:
        """Read the head and turn away what is not for us before anything looks at the path."""
        if not super().parse_request():
            return False
        if self.headers.defects:  # the parser stops at a line that is no header: what comes behind it is not seen
            return self._turn_away(400, "the head of the request is damaged")
        # the request line itself: the base class may have tidied `self.path`
        words = self.requestline.split()
        self.parts = read_target(words[1] if len(words) > 1 else "")
        saves = self.command == "PUT" and is_ranking(self.parts)
        if self.command not in ("GET", "HEAD") and not saves:
            return self._turn_away(405, "only GET and HEAD, and PUT of a ranking")
        refused = refuse(list(self.headers.items()), self.server.server_port, saves)
        return self._turn_away(*refused) if refused else True

    def _turn_away(self, status: int, why: str) -> bool:
        self.send_error(status, why)
        return False

    def do_GET(self) -> None:
        """Answer with a file, the list, or 404."""
        if self.parts == ():
            self._answer(302, [("Location", "/viewer/index.html")], b"", "text/plain; charset=utf-8")
        elif self.parts is None or not self._file(self.parts):
            self.send_error(404, "there is nothing here")

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        """Save a ranking; `parse_request` has let nothing else through."""
        assert self.parts is not None
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if len(body) != int(self.headers["Content-Length"]):
            self.send_error(400, "the body is shorter than it says")
            return
        run = self.server.roots["projects"].joinpath(*self.parts[1:-2])
        try:
            whole, tag = save(run, read(body), replaced(list(self.headers.items())))
        except Unfit as err:
            self.send_error(422, f"this is no ranking: {err}")
        except Refusal as err:
            self.send_error(err.status, err.why, err.tag)
        except (ImaginationError, OSError) as err:
            self.send_error(500, f"the ranking could not be saved: {err}")
        else:
            _show(run)
            self._answer(200, [("ETag", tag)], json.dumps(whole).encode("utf-8"), "application/json")

    def _file(self, parts: Parts) -> bool:
        kind = content_type(parts)
        opened = open_below(self.server.roots[parts[0]], parts[1:]) if kind else None
        if kind is None or opened is None:
            return False
        file, status = opened
        with file:
            tag = tag_of_status(status)
            if self.headers.get("If-None-Match") == tag:
                self._answer(304, [("ETag", tag)], None, kind)
            else:
                self._answer(200, [("ETag", tag), ("Content-Length", str(status.st_size))], None, kind)
                self._send(file, status.st_size)
        return True

    def _send(self, file: BinaryIO, size: int) -> None:
        """Exactly `size` bytes: more or fewer would spoil the connection for the next answer."""
        while size > 0 and self.command == "GET":
            data = file.read(min(CHUNK, size))
            if not data:  # cut shorter under our hands
                self.close_connection = True
                return
            self.wfile.write(data)
            size -= len(data)

    def send_error(self, code: int, message: Optional[str] = None, explain: Optional[str] = None) -> None:
        """A refusal in one plain line; the connection ends, for what follows may be the rest of a bad request.

        `explain` is the ETag of what lies there, where there is one to tell.
        """
        self.close_connection = self.refused = True
        allowed = "GET, HEAD, PUT" if is_ranking(getattr(self, "parts", None)) else "GET, HEAD"
        extra = [("Connection", "close")] + ([("Allow", allowed)] if code == 405 else [])
        extra += [("ETag", explain)] if explain else []
        plain = re.sub(r"[^ -~]", "?", str(message or "no"))[:200]
        self._answer(code, extra, f"{plain}\n".encode("ascii"), "text/plain; charset=utf-8")

    def _answer(self, status: int, extra: List[Tuple[str, str]], body: Optional[bytes], kind: str) -> None:
        self.send_response(status)
        for name, value in (
            *BASE_HEADERS,
            ("Content-Security-Policy", policy(kind, self._host())),
            ("Content-Type", kind),
            *extra,
        ):
            self.send_header(name, value)
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(body)

    def _host(self) -> str:
        """The name we were asked by: checked wherever a page is served."""
        headers = getattr(self, "headers", None)
        return (
            str(headers["Host"]).strip()
            if headers is not None and headers["Host"]
            else f"{HOST}:{self.server.server_port}"
        )

    def finish(self) -> None:
        """Close, but not under the hands of one who is still sending: that would take the refusal with it."""
        super().finish()
        if self.refused:
            _hear_out(self.connection)

    def version_string(self) -> str:
        """The Server header, by which `viewer start` knows its own."""
        return NAME

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not written down: a log that every page view makes longer has no end."""


def open_below(root: Path, parts: Parts) -> Optional[Tuple[BinaryIO, os.stat_result]]:
    """A regular file below `root`, opened; None if there is none, or the way there leads through a link."""
    path = root.joinpath(*parts)
    try:
        if path.resolve(strict=True) != path or not stat.S_ISREG(path.lstat().st_mode):
            return None
        # the flags are for what could be put there between the look and the opening
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags), "rb")
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        return None
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        file.close()
        return None
    return file, status


def _hear_out(connection: socket.socket) -> None:
    """Take what still comes and throw it away. A socket closed with bytes unread is reset, answer and all."""
    left, until = HEARD_OUT[0], time.monotonic() + HEARD_OUT[1]
    try:
        connection.shutdown(socket.SHUT_WR)
        while left > 0 and time.monotonic() < until:
            connection.settimeout(max(0.01, until - time.monotonic()))
            data = connection.recv(CHUNK)
            if not data:
                return
            left -= len(data)
    except OSError:  # gone, or silent for too long
        pass


_ONE_SHOWS = threading.Lock()  # what is read of run.js and what is written there belong together


def _show(run: Path) -> None:
    """Tell the page that is opened from disk, too. The ranking itself is safe already."""
    from .pages import refresh_ranking
    from .store import Run

    try:
        with _ONE_SHOWS:
            refresh_ranking(Run(run, run.name))
    except (ImaginationError, OSError) as err:
        logging.getLogger(__name__).warning("%s", err)


# --- as a process -------------------------------------------------------------------------------------------------------


def main(arguments: List[str]) -> int:
    """Serve until ended. The record is written once the port is ours: it tells where."""
    from .daemons import Daemon, forget, identity, write_daemon
    from .workspace import shipped

    root, port, record = Path(arguments[0]), int(arguments[1]), Path(arguments[2])
    try:
        server = open_server(port, root / "projects", shipped("viewer"))
    except OSError as err:
        sys.stderr.write(f"{err.strerror or err}\n")
        return 1
    with server:
        daemon = Daemon(
            pid=os.getpid(),
            started=identity(os.getpid()) or "unknown",
            since=time.time(),
            url=f"http://{HOST}:{server.server_port}",
            command=[sys.executable, "-m", "imagination.viewer_server"],
            folder=str(root),
            log=str(record.with_suffix(".log")),
        )
        write_daemon(record, daemon)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            forget(record)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
