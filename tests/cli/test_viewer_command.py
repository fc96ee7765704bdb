"""`iterativectl viewer`: the server as a process, and what it answers to a browser and to everybody else."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from inspect import signature
from pathlib import Path
from typing import Dict, Iterator, Tuple

import pytest
from click.testing import CliRunner, Result
from desk import free_port

from imagination.ctl import main
from imagination.daemons import Daemon, end, identity, is_alive, read_daemon, write_daemon
from imagination.viewer_server import Server, open_server

ROOT = Path(__file__).resolve().parents[2]
RUNNER = CliRunner(**({"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}))  # type: ignore[arg-type]
RUN = "2026-11-22_23-05-32"
SECRET = b"sk-or-secret"


def fill(top: Path) -> None:
    """A workspace with a project that has files of every kind, a page, and secrets all around."""
    run = top / "projects/p/working" / RUN
    files: Dict[Path, bytes] = {
        top / "projects/index.js": b"imagination.receive({});\n",
        top / "projects/p/input/input.png": b"\x89PNG input",
        top / "projects/p/output/output.png": b"\x89PNG output" * 20000,
        top / "projects/p/output/output_metadata.json": b"{}\n",
        run / "run.js": b"imagination.receive({});\n",
        run / "images/iteration_1.png": b"\x89PNG 1",
        run / "images/iteration_10.png": b"\x89PNG 10",
        run / "thumbs/iteration_1.webp": b"RIFF",
        run / "metadata/iteration_1_metadata.json": b"{}\n",
        top / "viewer/app.js": b"'use strict';\n",
        top / "projects/p/config/AIVis.yaml": SECRET,
        top / "projects/p/config/AIVis.json": SECRET,
        top / "projects/p/logs/app.log": SECRET,
        top / "projects/p/working/AIGen.yaml": SECRET,
        top / "projects/p/working/.run.lock": SECRET,
        run / "inputs/AIVis.yaml": SECRET,
        run / "images/.iteration_1.png.77.tmp": SECRET,
        run / "images/page.html": SECRET,
        top / "viewer/.hidden.js": SECRET,
        top / "secret.png": SECRET,
        top / "secret.js": SECRET,
    }
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if os.name == "posix":
        (run / "images/linked.png").symlink_to(top / "secret.png")
        (run / "images/circle.png").symlink_to(run / "images/circle.png")
        (top / "projects/linked").symlink_to(top / "projects/p")
        (run / "scripts").symlink_to(top)
        os.mkfifo(run / "images/pipe.png")


@contextlib.contextmanager
def serving(top: Path) -> Iterator[Server]:
    with open_server(0, top / "projects", top / "viewer") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    top = tmp_path_factory.mktemp("served")
    fill(top)
    with serving(top) as server:
        yield server.server_port


def talk(port: int, request: bytes) -> bytes:
    """Send bytes, as they are, and read until the server hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as wire:
        wire.sendall(request)
        with contextlib.suppress(OSError):
            wire.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(ConnectionError):
            while True:
                data = wire.recv(65536)
                if not data:
                    return received
                received += data
        return received


def ask(port: int, path: str, *headers: str, method: str = "GET") -> Tuple[int, Dict[str, str], bytes]:
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close", *headers, "", ""]
    head, _, body = talk(port, "\r\n".join(lines).encode("utf-8")).partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    return int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in rest)}, body


# --- what a page needs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/projects/index.js", "text/javascript; charset=utf-8", b"imagination.receive({});\n"),
        ("/projects/p/output/output.png", "image/png", b"\x89PNG output" * 20000),
        ("/projects/p/output/output.png?1", "image/png", b"\x89PNG output" * 20000),
        ("/projects/p/output/output_metadata.json", "application/json", b"{}\n"),
        (f"/projects/p/working/{RUN}/thumbs/iteration_1.webp", "image/webp", b"RIFF"),
        (f"/projects/p/working/{RUN}/images/iteration%5F1.png", "image/png", b"\x89PNG 1"),
        (f"/projects/p/working/{RUN}/metadata/iteration_1_metadata.json", "application/json", b"{}\n"),
        ("/viewer/app.js", "text/javascript; charset=utf-8", b"'use strict';\n"),
    ],
)
def test_files_are_served_as_they_lie_there(port: int, path: str, kind: str, body: bytes) -> None:
    status, headers, got = ask(port, path)
    assert (status, headers["content-type"], got) == (200, kind, body)
    assert headers["content-length"] == str(len(body))
    status, same, nothing = ask(port, path, method="HEAD")
    assert (status, same["content-length"], nothing) == (200, str(len(body)), b"")
    assert ask(port, path, f"If-None-Match: {headers['etag']}")[::2] == (304, b"")


def test_every_answer_keeps_other_pages_out(port: int) -> None:
    for path in ("/", "/projects/index.js", "/projects/p/output/output.png", "/nothing"):
        _, headers, _ = ask(port, path)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
        assert "Python" not in headers["server"]


def test_two_requests_share_a_connection(port: int) -> None:
    one = f"GET /projects/index.js HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
    assert talk(port, one + one).count(b"imagination.receive({});\n") == 2


def test_the_top_leads_to_the_page(tmp_path: Path) -> None:
    (tmp_path / "viewer").mkdir()
    (tmp_path / "viewer" / "index.html").write_text("<!doctype html>", encoding="utf-8")
    with serving(tmp_path) as server:
        for typed in ("/", "/viewer", "/viewer/"):
            status, headers, _ = ask(server.server_port, typed)
            assert (status, headers["location"]) == (302, "/viewer/index.html"), typed
        status, headers, _ = ask(server.server_port, "/viewer/index.html")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert f"script-src http://127.0.0.1:{server.server_port}/viewer/;" in headers["content-security-policy"]


# --- what nobody gets ---------------------------------------------------------------------------------------------------

OURS = "Host: 127.0.0.1:{port}\r\n"
GOOD = "/projects/p/output/output.png"
HOSTILE = {
    "parent": ("GET /../secret.png HTTP/1.1\r\n" + OURS, 404),
    "parent below projects": ("GET /projects/../secret.png HTTP/1.1\r\n" + OURS, 404),
    "parents at the end": ("GET /projects/p/output/../../../secret.png HTTP/1.1\r\n" + OURS, 404),
    "encoded dots": ("GET /projects/p/output/%2e%2e/%2e%2e/%2e%2e/secret.png HTTP/1.1\r\n" + OURS, 404),
    "encoded slash": ("GET /projects/p/output/..%2f..%2f..%2fsecret.png HTTP/1.1\r\n" + OURS, 404),
    "encoded twice": ("GET /projects/p/output/%252e%252e%252fsecret.png HTTP/1.1\r\n" + OURS, 404),
    "overlong dots": ("GET /projects/p/output/%c0%ae%c0%ae/secret.png HTTP/1.1\r\n" + OURS, 404),
    "backslash": ("GET /projects/p/output/..\\..\\..\\secret.png HTTP/1.1\r\n" + OURS, 404),
    "encoded backslash": ("GET /projects/p/output/..%5c..%5csecret.png HTTP/1.1\r\n" + OURS, 404),
    "absolute": ("GET //etc/passwd HTTP/1.1\r\n" + OURS, 404),
    "encoded absolute": ("GET /projects/%2fetc%2fpasswd HTTP/1.1\r\n" + OURS, 404),
    "drive": ("GET /projects/C:/secret.png HTTP/1.1\r\n" + OURS, 404),
    "stream": ("GET /projects/p/output/output.png::$DATA HTTP/1.1\r\n" + OURS, 404),
    "zero byte": ("GET /projects/p/config/AIVis.yaml%00.png HTTP/1.1\r\n" + OURS, 404),
    "key": ("GET /projects/p/config/AIVis.yaml HTTP/1.1\r\n" + OURS, 404),
    "key as json": ("GET /projects/p/config/AIVis.json HTTP/1.1\r\n" + OURS, 404),
    "key of a run": (f"GET /projects/p/working/{RUN}/inputs/AIVis.yaml HTTP/1.1\r\n" + OURS, 404),
    "log": ("GET /projects/p/logs/app.log HTTP/1.1\r\n" + OURS, 404),
    "settings": ("GET /projects/p/working/AIGen.yaml HTTP/1.1\r\n" + OURS, 404),
    "lock": ("GET /projects/p/working/.run.lock HTTP/1.1\r\n" + OURS, 404),
    "half-written file": (f"GET /projects/p/working/{RUN}/images/.iteration_1.png.77.tmp HTTP/1.1\r\n" + OURS, 404),
    "markup in a run": (f"GET /projects/p/working/{RUN}/images/page.html HTTP/1.1\r\n" + OURS, 404),
    "hidden file": ("GET /viewer/.hidden.js HTTP/1.1\r\n" + OURS, 404),
    "link": (f"GET /projects/p/working/{RUN}/images/linked.png HTTP/1.1\r\n" + OURS, 404),
    "linked folder": (f"GET /projects/p/working/{RUN}/scripts/secret.js HTTP/1.1\r\n" + OURS, 404),
    "linked project": ("GET /projects/linked/output/output.png HTTP/1.1\r\n" + OURS, 404),
    "circle": (f"GET /projects/p/working/{RUN}/images/circle.png HTTP/1.1\r\n" + OURS, 404),
    "pipe that would block": (f"GET /projects/p/working/{RUN}/images/pipe.png HTTP/1.1\r\n" + OURS, 404),
    "folder": (f"GET /projects/p/working/{RUN}/images HTTP/1.1\r\n" + OURS, 404),
    "folder with a slash": (f"GET /projects/p/working/{RUN}/images/ HTTP/1.1\r\n" + OURS, 404),
    "other top": ("GET /defaults/config/AIVis.yaml HTTP/1.1\r\n" + OURS, 404),
    "as a proxy": ("GET http://127.0.0.1:{port}" + GOOD + " HTTP/1.1\r\n" + OURS, 404),
    "tunnel": ("CONNECT evil.example:443 HTTP/1.1\r\n" + OURS, 405),
    "asterisk": ("OPTIONS * HTTP/1.1\r\n" + OURS, 405),
    "post": ("POST " + GOOD + " HTTP/1.1\r\n" + OURS + "Content-Length: 3\r\n\r\nabc", 405),
    "put": ("PUT " + GOOD + " HTTP/1.1\r\n" + OURS + "Content-Length: 3\r\n\r\nabc", 405),
    "delete": ("DELETE " + GOOD + " HTTP/1.1\r\n" + OURS, 405),
    "invented method": ("BREW " + GOOD + " HTTP/1.1\r\n" + OURS, 405),
    "preflight": ("OPTIONS " + GOOD + " HTTP/1.1\r\n" + OURS + "Origin: http://evil.example\r\n", 405),
    "no host": ("GET " + GOOD + " HTTP/1.1\r\n", 400),
    "two hosts": ("GET " + GOOD + " HTTP/1.1\r\n" + OURS + "Host: evil.example\r\n", 400),
    "rebound name": ("GET " + GOOD + " HTTP/1.1\r\nHost: evil.example:{port}\r\n", 403),
    "host of another port": ("GET " + GOOD + " HTTP/1.1\r\nHost: 127.0.0.1:1\r\n", 403),
    "host with a tail": ("GET " + GOOD + " HTTP/1.1\r\nHost: 127.0.0.1:{port}.evil.example\r\n", 403),
    "other origin": ("GET " + GOOD + " HTTP/1.1\r\n" + OURS + "Origin: http://evil.example\r\n", 403),
    "origin of a file": ("GET " + GOOD + " HTTP/1.1\r\n" + OURS + "Origin: null\r\n", 403),
    "origin of another port": ("GET " + GOOD + " HTTP/1.1\r\n" + OURS + "Origin: http://127.0.0.1:1\r\n", 403),
    "script of another page": ("GET /projects/index.js HTTP/1.1\r\n" + OURS + "Sec-Fetch-Site: cross-site\r\n", 403),
    "picture of a neighbour": ("GET " + GOOD + " HTTP/1.1\r\n" + OURS + "Sec-Fetch-Site: same-site\r\n", 403),
    "hidden second request": (
        "GET " + GOOD + " HTTP/1.1\r\n" + OURS + "Content-Length: 60\r\n\r\nGET " + GOOD + " HTTP/1.1\r\n" + OURS, 400,
    ),
    "headers hidden behind a line that is none": (
        "GET " + GOOD + " HTTP/1.1\r\n" + OURS + "no header\r\nOrigin: http://evil.example\r\n", 400,
    ),
    "hidden second request behind such a line": (
        "GET " + GOOD + " HTTP/1.1\r\n" + OURS + "no header\r\nContent-Length: 60\r\n\r\nGET " + GOOD + " HTTP/1.1\r\n" + OURS, 400,
    ),
    "chunks": ("GET " + GOOD + " HTTP/1.1\r\n" + OURS + "Transfer-Encoding: chunked\r\n\r\n0\r\n", 411),
    "long line": ("GET /" + "a" * 70000 + " HTTP/1.1\r\n" + OURS, 414),
    "many headers": ("GET " + GOOD + " HTTP/1.1\r\n" + OURS + "X: y\r\n" * 200, 431),
    "future version": ("GET " + GOOD + " HTTP/9.9\r\n" + OURS, 505),
    "no version at all": ("GET " + GOOD + " nonsense\r\n" + OURS, 400),
    "noise": ("\x16\x03\x01\x02\x00\x01\x00\r\n", 400),
}  # fmt: skip


@pytest.mark.parametrize(("request_head", "status"), HOSTILE.values(), ids=list(HOSTILE))
def test_a_hostile_request_gets_nothing(port: int, request_head: str, status: int) -> None:
    if os.name != "posix" and ("linked" in request_head or "pipe" in request_head):
        pytest.skip("links and pipes of POSIX")
    answer = talk(port, request_head.replace("{port}", str(port)).encode("latin-1") + b"\r\n")
    assert SECRET not in answer
    assert b"PNG output" not in answer
    assert b"imagination.receive" not in answer
    assert answer.count(b"HTTP/1.1 ") <= 1  # nothing of it was taken for a second request
    told = [int(line.split()[1]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    # to what is not understood as HTTP/1 the answer may be its one line of text alone
    assert told == [status] or (not told and answer.count(b"\n") <= 1)
    assert ask(port, "/projects/index.js")[0] == 200  # and it goes on serving


def test_it_listens_on_the_loopback_only(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks which address of ours would be used
            address = probe.getsockname()[0]
        except OSError:
            pytest.skip("this machine has no other address")
    with pytest.raises(OSError):
        socket.create_connection((address, port), timeout=5).close()


# --- the command --------------------------------------------------------------------------------------------------------


class Shop:
    """A workspace, and the viewer command given for it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.record = root / ".iterative-imagination" / "viewer.json"
        fill(root)
        self.port = free_port()

    def give(self, *words: str) -> Result:
        command = ["viewer", words[0], "--workspace", str(self.root), *words[1:]]
        result = RUNNER.invoke(main, command, prog_name="iterativectl")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    @property
    def daemon(self) -> Daemon:
        daemon = read_daemon(self.record)
        assert daemon is not None
        return daemon


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "shop")
    yield made
    daemon = read_daemon(made.record)
    if daemon:
        end(daemon, 1.0)


def served_port(result: Result) -> int:
    assert (result.exit_code, result.stderr) == (0, "")
    address: str = result.stdout.strip()
    assert address.startswith("http://127.0.0.1:")
    return int(address.rpartition(":")[2])


def test_it_is_started_found_and_ended(shop: Shop) -> None:
    assert shop.give("status").exit_code == 1
    port = served_port(shop.give("start", "--port", str(shop.port)))
    assert ask(port, GOOD)[0] == 200
    status = shop.give("status")
    assert (status.exit_code, f"http://127.0.0.1:{port} (pid {shop.daemon.pid})" in status.stdout) == (0, True)
    pid = shop.daemon.pid
    assert served_port(shop.give("start")) == port  # the one that runs, whatever port is asked for
    assert shop.daemon.pid == pid
    stopped = shop.give("stop")
    assert (stopped.exit_code, f"(pid {pid})" in stopped.stdout) == (0, True)
    assert identity(pid) is None
    assert shop.give("status").exit_code == 1
    assert shop.give("stop").exit_code == 0


def test_a_busy_port_leads_to_the_next(shop: Shop) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", shop.port))
        other.listen()
        assert served_port(shop.give("start", "--port", str(shop.port))) > shop.port


def test_it_holds_no_pipe_of_the_caller(shop: Shop) -> None:
    command = [sys.executable, str(ROOT / "iterativectl.py"), "viewer", "start", "--port", str(shop.port)]
    done = subprocess.run(
        [*command, "--workspace", str(shop.root)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{shop.daemon.url}\n")
    assert is_alive(shop.daemon)
    if os.name == "posix":
        assert os.getsid(shop.daemon.pid) == shop.daemon.pid


def test_a_recycled_pid_is_left_alone(shop: Shop) -> None:
    shop.give("start", "--port", str(shop.port))
    # after it answers, so in another tick of the clock (10 ms): begun in the same one, they could not be told apart
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        daemon = shop.daemon
        end(daemon)
        write_daemon(shop.record, daemon.model_copy(update={"pid": bystander.pid}))
        assert shop.give("status").exit_code == 1
        assert "not running" in shop.give("stop").stdout
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_open_shows_it_in_the_browser(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name != "posix":
        pytest.skip("a script as the browser")
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n', encoding="utf-8")
    browser.chmod(0o755)
    command = [sys.executable, str(ROOT / "iterativectl.py"), "viewer", "start", "--port", str(shop.port), "--open"]
    environ = {**os.environ, "BROWSER": f"{browser} %s"}
    subprocess.run([*command, "--workspace", str(shop.root)], env=environ, timeout=60, check=True, capture_output=True)
    assert (tmp_path / "opened").read_text().strip() == shop.daemon.url


@pytest.mark.parametrize("command", ["start", "stop", "status"])
def test_help_shows_an_example(command: str) -> None:
    result = RUNNER.invoke(main, ["viewer", command, "--help"])
    assert f"iterativectl viewer {command}" in result.stdout
