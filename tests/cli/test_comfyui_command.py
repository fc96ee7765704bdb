"""`iterativectl comfyui` with small stand-ins for ComfyUI's main.py, started as real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from inspect import signature
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
import yaml
from click.testing import CliRunner, Result
from desk import free_port, hear_ctrl_c

from imagination.ctl import main
from imagination.daemons import Daemon, end, identity, is_alive, read_daemon, write_daemon

ROOT = Path(__file__).resolve().parents[2]
# before click 8.2, stderr is apart only where it is asked for
RUNNER = CliRunner(**({"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}))  # type: ignore[arg-type]
ANSWERING = """
import http.server, json, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        system = {"comfyui_version": "0.3.64", "argv": sys.argv}
        queue = {"queue_running": [[0]], "queue_pending": [[1], [2]]}
        body = json.dumps({"/system_stats": {"system": system, "devices": []}, "/queue": queue}[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        import socketserver
        socketserver.TCPServer.server_bind(self)  # without asking a name server who we are

port = int(sys.argv[sys.argv.index("--port") + 1])
host = sys.argv[sys.argv.index("--listen") + 1]
Server.server_name, Server.server_port = host, port
print("To see the GUI go to http://%s:%d" % (host, port), flush=True)
Server((host, port), Handler).serve_forever()
"""
DYING = "import sys\nprint('loading nodes')\nsys.exit('ModuleNotFoundError: No module named torch')\n"
SILENT = "import time\nprint('thinking', flush=True)\ntime.sleep(60)\n"


class Machine:
    """A workspace whose template names a free port, and a folder with a stand-in for ComfyUI."""

    def __init__(self, top: Path) -> None:
        self.root, self.folder = top / "workspace", top / "comfy"
        self.port = free_port()
        self.record = self.root / ".iterative-imagination" / f"comfyui-{self.port}.json"
        (self.root / "projects").mkdir(parents=True, exist_ok=True)
        self.settings(self.root / "defaults" / "config", host="localhost", port=self.port)

    def settings(self, folder: Path, **comfyui: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump({"workflow_file": "w.json", "comfyui": comfyui})
        (folder / "AIGen.yaml").write_text(text, encoding="utf-8")

    def program(self, text: str) -> str:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "main.py").write_text(text, encoding="utf-8")
        return str(self.folder)

    def give(self, *words: str) -> Result:
        arguments = ["comfyui", words[0], "--workspace", str(self.root), *words[1:]]
        result = RUNNER.invoke(main, arguments, prog_name="iterativectl")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    def start(self, text: str = ANSWERING, *words: str) -> Result:
        return self.give("start", "--dir", self.program(text), *words)

    def break_off(self, *words: str) -> Daemon:
        """Press Ctrl-C while the command waits; what it had started."""
        command = [sys.executable, str(ROOT / "iterativectl.py"), "comfyui", words[0], "--workspace", str(self.root)]
        process = subprocess.Popen(
            [*command, *words[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=hear_ctrl_c,
        )
        assert process.stdout is not None
        seen = []
        while not seen or ("waiting for" not in seen[-1] and seen[-1]):
            seen.append(process.stdout.readline())
        daemon = self.daemon
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=600)
        assert (process.returncode, "stopped" in rest) == (130, True), (seen, rest)
        return daemon

    @property
    def daemon(self) -> Daemon:
        daemon = read_daemon(self.record)
        assert daemon is not None
        return daemon

    def arguments(self) -> List[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/system_stats", timeout=10) as answer:
            return list(json.load(answer)["system"]["argv"][1:])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.delenv("COMFYUI_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    made = Machine(tmp_path)
    yield made
    daemon = read_daemon(made.record)
    if daemon:
        end(daemon, 1.0)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Somebody's process that has nothing to do with us."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    time.sleep(0.1)  # when a process began is told in ticks of 10 ms: no other here shall have begun in the same one
    yield process
    process.kill()
    process.wait()


@contextlib.contextmanager
def comfyui_of_somebody_else(port: int) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"system": {"comfyui_version": "0.3.1"}}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


# --- as it should go ----------------------------------------------------------------------------------------------------


def test_it_is_started_found_running_and_ended(machine: Machine) -> None:
    started = machine.start()
    assert (started.exit_code, started.stderr) == (0, "")
    assert f"ComfyUI answers at http://localhost:{machine.port}" in started.stdout
    assert f"pid       {machine.daemon.pid}" in started.stdout
    status = machine.give("status")
    assert status.exit_code == 0
    for told in ("started   by iterativectl", f"pid       {machine.daemon.pid}", "version   0.3.64"):
        assert told in status.stdout
    assert "queue     1 running, 2 waiting" in status.stdout
    pid = machine.daemon.pid
    again = machine.give("start")
    assert (again.exit_code, machine.daemon.pid) == (0, pid)
    assert "runs already" in again.stdout
    stopped = machine.give("stop")
    assert stopped.exit_code == 0
    assert f"ended ComfyUI at http://localhost:{machine.port} (pid {pid}); its queue had 1 running" in stopped.stdout
    assert identity(pid) is None
    assert machine.give("status").exit_code == 1
    assert machine.give("stop").exit_code == 0  # nothing to do is no failure


def test_arguments_reach_it_and_survive_a_restart(machine: Machine) -> None:
    machine.start(ANSWERING, "--", "--lowvram", "--preview-method", "none")
    ours = ["--listen", "127.0.0.1", "--port", str(machine.port)]
    assert machine.arguments() == [*ours, "--lowvram", "--preview-method", "none"]
    first = machine.daemon.pid
    restarted = machine.give("restart")
    assert restarted.exit_code == 0
    assert "(as before)" in restarted.stdout
    assert machine.arguments() == [*ours, "--lowvram", "--preview-method", "none"]
    assert machine.daemon.pid != first
    assert identity(first) is None
    machine.give("restart", "--", "--highvram")
    assert machine.arguments() == [*ours, "--highvram"]


def test_arguments_for_one_that_runs_already_are_not_dropped_in_silence(machine: Machine) -> None:
    machine.start(ANSWERING, "--", "--lowvram")
    assert machine.give("start", "--", "--lowvram").stderr == ""
    assert machine.give("start").stderr == ""
    told = machine.give("start", "--", "--highvram")
    assert (told.exit_code, machine.arguments()[-1]) == (0, "--lowvram")
    assert "without --highvram; `comfyui restart` with the same words gives it them" in told.stderr


def test_a_restart_after_a_crash_remembers_how_it_was_started(machine: Machine) -> None:
    machine.start(ANSWERING, "--", "--lowvram")
    end(machine.daemon)
    restarted = machine.give("restart")
    assert "has ended already" in restarted.stdout
    assert machine.arguments()[-1] == "--lowvram"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_restart_that_is_broken_off_can_be_given_again(machine: Machine) -> None:
    machine.start(ANSWERING, "--", "--lowvram")
    machine.program(SILENT)
    machine.break_off("restart")
    machine.program(ANSWERING)
    assert machine.give("restart").exit_code == 0
    assert machine.arguments()[-1] == "--lowvram"


def test_a_restart_with_a_wrong_name_leaves_what_runs(machine: Machine) -> None:
    machine.start()
    assert machine.give("restart", "--dir", str(machine.root)).exit_code == 2
    assert is_alive(machine.daemon)


def test_a_restart_with_a_wrong_argument_leaves_what_runs(machine: Machine) -> None:
    machine.start()
    refused = machine.give("restart", "--", "--port=1")
    assert (refused.exit_code, "--port after -- is not possible" in refused.stderr) == (2, True)
    assert is_alive(machine.daemon)


@pytest.mark.parametrize("host", ["192.0.2.7", "box.example"])
def test_one_on_another_machine_is_not_the_one_here_that_has_its_port(machine: Machine, host: str) -> None:
    machine.settings(machine.root / "projects" / "far" / "config", host=host, port=machine.port)
    machine.start()
    pid = str(machine.daemon.pid)
    for words in (("status",), ("stop",), ("restart", "--dir", str(machine.folder))):
        told = machine.give(*words, "--project", "far")
        assert pid not in told.stdout + told.stderr
    assert is_alive(machine.daemon)


def test_the_project_says_host_and_port(machine: Machine) -> None:
    port = machine.port
    machine.settings(machine.root / "projects" / "p" / "config", host="127.0.0.1", port=port)
    machine.settings(machine.root / "defaults" / "config", host="localhost", port=1)
    assert f"http://127.0.0.1:{port}" in machine.start(ANSWERING, "--project", "p").stdout
    assert machine.give("status", "--project", "p").exit_code == 0
    assert machine.give("status").exit_code == 1


def test_a_pipe_of_the_caller_is_not_held_open(machine: Machine) -> None:
    """A script that reads the command's output to the end must not wait for ComfyUI's end."""
    command = [sys.executable, str(ROOT / "iterativectl.py"), "comfyui", "start"]
    command += ["--workspace", str(machine.root), "--dir", machine.program(ANSWERING)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert is_alive(machine.daemon)
    if os.name == "posix":
        assert os.getsid(machine.daemon.pid) == machine.daemon.pid


# --- as it should not go ------------------------------------------------------------------------------------------------


def test_one_that_dies_at_once_shows_its_last_words(machine: Machine) -> None:
    result = machine.start(DYING)
    assert result.exit_code == 3
    assert "  | loading nodes\n  | ModuleNotFoundError: No module named torch\n" in result.stderr
    assert "error: ComfyUI ended with exit code 1 before it answered" in result.stderr
    assert "hint: is that ComfyUI's own Python? name it with --python" in result.stderr
    assert machine.give("status").exit_code == 1


def test_one_that_never_answers_is_left_at_work_and_can_be_ended(machine: Machine) -> None:
    result = machine.start(SILENT, "--wait", "0.3")
    assert result.exit_code == 3
    assert "does not answer" in result.stderr
    pid = machine.daemon.pid
    status = machine.give("status")
    assert status.exit_code == 1
    assert "does not answer, but its process runs" in status.stdout
    again = machine.start(SILENT, "--wait", "0.3")
    assert f"is being started already (pid {pid})" in again.stdout
    assert machine.give("stop").exit_code == 0
    assert identity(pid) is None


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_while_waiting_takes_it_back(machine: Machine) -> None:
    assert not is_alive(machine.break_off("start", "--dir", machine.program(SILENT)))
    assert not machine.record.exists()


def test_a_port_in_use_is_told_in_one_line_and_nothing_is_started(machine: Machine) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", machine.port))
        other.listen()
        threading.Thread(target=_hang_up, args=(other,), daemon=True).start()
        result = machine.start()
        assert result.exit_code == 3
        assert f"error: port {machine.port} is taken by something that is no ComfyUI\nhint: end it" in result.stderr
        assert result.stdout == ""
        assert not machine.record.exists()
        status = machine.give("status")
        assert (status.exit_code, "something else listens" in status.stdout) == (1, True)


def _hang_up(listener: socket.socket) -> None:
    for _ in range(20):  # as often as it is asked here, and more
        with contextlib.suppress(OSError):
            listener.accept()[0].close()


def test_a_recycled_pid_is_left_alone(machine: Machine, bystander: subprocess.Popen[bytes]) -> None:
    machine.start()
    daemon = machine.daemon
    end(daemon)
    write_daemon(machine.record, daemon.model_copy(update={"pid": bystander.pid}))
    status = machine.give("status")
    assert (status.exit_code, str(bystander.pid) in status.stdout) == (1, False)
    stopped = machine.give("stop")
    assert stopped.exit_code == 0
    assert "its number is another program's now, which is left alone" in stopped.stdout
    assert bystander.poll() is None
    assert not machine.record.exists()


def test_a_recycled_pid_does_not_keep_it_from_starting(machine: Machine, bystander: subprocess.Popen[bytes]) -> None:
    machine.start()
    daemon = machine.daemon
    end(daemon)
    write_daemon(machine.record, daemon.model_copy(update={"pid": bystander.pid}))
    assert machine.give("start", "--dir", str(machine.folder)).exit_code == 0
    assert machine.daemon.pid != bystander.pid
    assert bystander.poll() is None


def test_a_restart_of_somebody_elses_looks_for_no_folder_first(machine: Machine) -> None:
    with comfyui_of_somebody_else(machine.port):
        refused = machine.give("restart")
    assert (refused.exit_code, "was not started by iterativectl here" in refused.stderr) == (1, True)


def test_a_comfyui_of_somebody_else_is_used_but_never_ended(machine: Machine) -> None:
    with comfyui_of_somebody_else(machine.port):
        status = machine.give("status")
        assert status.exit_code == 0
        assert "started   not by iterativectl; its pid is not known" in status.stdout
        assert machine.start().exit_code == 0
        for words in (("stop",), ("restart", "--dir", str(machine.folder))):
            refused = machine.give(*words)
            assert refused.exit_code == 1
            assert "was not started by iterativectl here, and is left running" in refused.stderr
        assert machine.give("status").exit_code == 0


Comfyui = Dict[str, Any]
Refusal = Tuple[Comfyui, Tuple[str, ...], str]
REFUSED: List[Refusal] = [
    ({"host": "builtin"}, (), "comfyui.host is builtin"),
    ({"host": "https://box.example/comfy"}, (), "is behind a proxy"),
    ({"host": "192.0.2.7"}, (), "192.0.2.7 (from"),  # an address that nobody has (RFC 5737)
    ({"host": "bad host"}, (), "comfyui.host"),
    ({"host": "localhost"}, ("--", "--port", "1"), "--port after -- is not possible"),
    ({"host": "localhost"}, ("--", "--port=1"), "--port after -- is not possible"),
    ({"host": "localhost"}, ("--python", "/nowhere/python"), "--python: /nowhere/python is not a Python"),
    ({"host": "localhost"}, ("--python", "~nobody-of-that-name/python"), "--python: '~nobody-of-that-name/python'"),
    ({"host": "localhost"}, ("--dir", "~nobody-of-that-name/c"), "--dir: '~nobody-of-that-name/c' cannot be used"),
    ({"host": "localhost"}, ("demo",), "did you mean --project demo?"),
    ({"host": "localhost"}, ("--project", "none"), "there is no project none"),
]


@pytest.mark.parametrize(("comfyui", "words", "told"), REFUSED)
def test_what_cannot_be_started_is_said_in_one_line(
    machine: Machine, comfyui: Comfyui, words: Tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    machine.settings(machine.root / "defaults" / "config", port=machine.port, **comfyui)
    result = machine.start(ANSWERING, *words)
    assert (result.exit_code, told in result.stderr) == (2, True), result.stderr
    assert not machine.record.exists()


@pytest.mark.parametrize("command", ["start", "stop", "restart", "status"])
def test_help_shows_an_example(command: str) -> None:
    result = CliRunner().invoke(main, ["comfyui", command, "--help"])
    assert f"iterativectl comfyui {command}" in result.stdout
    assert "Example" in result.stdout


def test_a_setting_that_is_misspelt_is_pointed_out(machine: Machine) -> None:
    (machine.root / "iterativectl.yaml").write_text("comfyui_dri: /x\n", encoding="utf-8")
    assert "did you mean comfyui_dir?" in machine.start().stderr


def test_two_starts_at_once_start_one(machine: Machine) -> None:
    command = [sys.executable, str(ROOT / "iterativectl.py"), "comfyui", "start"]
    command += [
        "--workspace",
        str(machine.root),
        "--dir",
        machine.program("import time; time.sleep(0.5)\n" + ANSWERING),
    ]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    told = [process.communicate(timeout=600)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sum("starting ComfyUI in" in text for text in told) == 1
    assert all(f"pid       {machine.daemon.pid}" in text for text in told)
