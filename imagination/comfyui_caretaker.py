"""What `iterativectl comfyui` does: starts, ends and looks after the ComfyUI at one address, and says what it finds."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from subprocess import Popen
from typing import Callable, List, Optional, Sequence, Tuple

import click

from .comfyui_home import Home, find_home
from .comfyui_service import (
    Address,
    Sight,
    address_of,
    advice,
    answers,
    command_for,
    environment_for,
    facts,
    listening_address,
    look,
    queue_text,
    waiting_line,
)
from .daemons import (
    FOLDER,
    Daemon,
    Wait,
    end,
    forget,
    identity,
    is_alive,
    let_go,
    one_at_a_time,
    read_daemon,
    spawn,
    state_folder,
    tail,
    wait_until,
    write_daemon,
)
from .errors import ImaginationError, ServiceError
from .streams import clean
from .workspace import Workspace

LABEL = 10  # columns
SAY_EVERY = 15.0  # s between two lines where there is no terminal


class Caretaker:
    """One address, with the record of the process that was started for it."""

    def __init__(self, root: Path, address: Address) -> None:
        self._root = root
        self._address = address
        self._record = root / FOLDER / f"comfyui-{address.key}.json"
        self._log = self._record.with_suffix(".log")

    @classmethod
    def of(cls, workspace: Optional[str], project: Optional[str]) -> Caretaker:
        """The ComfyUI that a command line means. Raises ConfigError."""
        found = Workspace.find(workspace, os.environ, Path.cwd())
        return cls(found.root, address_of(found, project))

    # --- the four commands ---

    def start(self, folder: Optional[str], python: Optional[str], arguments: Sequence[str], wait: float) -> int:
        """Start it unless it runs. Raises ConfigError, or ServiceError if it does not come to answer."""
        return self._start(lambda: self._find(folder, python), arguments, wait)

    def restart(self, folder: Optional[str], python: Optional[str], arguments: Sequence[str], wait: float) -> int:
        """End it and start it as before, with what is named now in its place."""
        before = read_daemon(self._record)
        if before is None and look(self._address.url).is_comfyui:
            raise self._not_ours()
        given = arguments or (before.arguments if before else ())
        # all that can be wrong comes first: it must not end what runs
        home = self._find_again(before, folder, python)
        command_for(home, listening_address(self._address), self._address.port, given)
        self.stop()
        try:
            return self._start(lambda: home, given, wait)
        except BaseException:
            if before and not self._record.exists():  # broken off: the next restart is to know how it ran
                write_daemon(self._record, before)
            raise

    def stop(self) -> int:
        """End what we started. Raises ImaginationError if a ComfyUI runs that we did not start."""
        daemon, sight = read_daemon(self._record), look(self._address.url)
        if daemon and end(daemon):
            jobs = f"; its queue had {queue_text(sight.running, sight.waiting)}" if sight.jobs else ""
            click.echo(f"ended ComfyUI at {daemon.url} (pid {daemon.pid}){jobs}")
            forget(self._record)
            return 0
        if daemon:
            other = "; its number is another program's now, which is left alone" if identity(daemon.pid) else ""
            click.echo(f"the ComfyUI that was started (pid {daemon.pid}) has ended already{other}")
            forget(self._record)
        if sight.is_comfyui:
            raise self._not_ours()
        if not daemon:
            click.echo(f"ComfyUI is not running at {self._address.url}")
        return 0

    def status(self) -> int:
        """Say what is there; 0 if ComfyUI answers, else 1."""
        sight, daemon = look(self._address.url), self._living()
        if sight.is_comfyui:
            return self._say_running("runs", sight)
        if daemon:
            click.echo(f"ComfyUI at {self._address.url} does not answer, but its process runs")
            _table(_origin(daemon))
        elif sight.occupied:
            click.echo(f"ComfyUI is not running: something else listens at {self._address.url}")
        else:
            click.echo(f"ComfyUI is not running at {self._address.url}")
        return 1

    # --- starting ---

    def _find(self, folder: Optional[str], python: Optional[str]) -> Home:
        return find_home(folder, python, self._root, os.environ, Path.home())

    def _find_again(self, before: Optional[Daemon], folder: Optional[str], python: Optional[str]) -> Home:
        if before is None:
            return self._find(folder, python)
        home = self._find(folder or before.folder, python or (None if folder else before.command[0]))
        return home if folder else replace(home, source="as before")

    def _start(self, find: Callable[[], Home], arguments: Sequence[str], wait: float) -> int:
        listen = listening_address(self._address)
        sight = look(self._address.url)
        if sight.is_comfyui:
            self._say_what_it_was_not_given(arguments)
            return self._say_running("runs already", sight)
        state_folder(self._root)
        process = None
        with one_at_a_time(self._record):
            daemon = self._living()
            if daemon is None:
                self._refuse_a_taken_port()
                process, daemon = self._launch(find(), listen, arguments)
            else:
                click.echo(f"ComfyUI is being started already (pid {daemon.pid})")
                self._say_what_it_was_not_given(arguments)
        return self._wait_for(daemon, process, wait)

    def _refuse_a_taken_port(self) -> None:
        if look(self._address.url).occupied:
            raise ServiceError(
                f"port {self._address.port} is taken by something that is no ComfyUI",
                f"end it, or set another comfyui.port in {self._address.source}",
            )

    def _launch(self, home: Home, listen: str, arguments: Sequence[str]) -> Tuple[Popen[bytes], Daemon]:
        command = command_for(home, listen, self._address.port, arguments)
        for warning in home.warnings:
            click.echo(f"warning: {warning}", err=True)
        click.echo(f"starting ComfyUI in {home.folder} ({home.source})\nwith {home.python}")
        process = spawn(command, home.folder, self._log, environment_for(home, os.environ))
        daemon = Daemon(
            pid=process.pid,
            started=identity(process.pid) or "ended at once",
            since=time.time(),
            url=self._address.url,
            command=command,
            arguments=list(arguments),
            folder=str(home.folder),
            log=str(self._log),
        )
        write_daemon(self._record, daemon)
        return process, daemon

    def _wait_for(self, daemon: Daemon, process: Optional[Popen[bytes]], seconds: float) -> int:
        """Wait for the first answer. Ctrl-C takes back what this command has started."""
        progress = Progress(self._log)
        try:
            how = wait_until(lambda: answers(daemon.url), lambda: is_alive(daemon), seconds, progress.tick)
        except KeyboardInterrupt:
            if process:
                end(daemon)
                forget(self._record)
            raise
        finally:
            progress.close()
            code = let_go(process) if process else None
        if how is Wait.DIED:
            raise self._died(code)
        if how is Wait.SILENT:
            raise self._silent(daemon, seconds)
        return self._say_running("answers", look(daemon.url))

    # --- in words ---

    def _not_ours(self) -> ImaginationError:
        return ImaginationError(
            f"ComfyUI at {self._address.url} was not started by iterativectl here, and is left running",
            "end it where it was started",
        )

    def _died(self, code: Optional[int]) -> ServiceError:
        lines = tail(self._log)
        for line in lines:
            click.echo(f"  | {clean(line, 300)}", err=True)
        told = f" with exit code {code}" if code is not None else ""
        words = "its last words are above" if lines else "it left no word in its log"
        return ServiceError(f"ComfyUI ended{told} before it answered; {words}", advice(lines, self._log))

    def _silent(self, daemon: Daemon, seconds: float) -> ServiceError:
        return ServiceError(
            f"ComfyUI does not answer at {daemon.url} after {seconds:g} s; it is left at work (pid {daemon.pid})",
            f"see {self._log}; `iterativectl comfyui status` looks again, `stop` ends it, --wait N waits longer",
        )

    def _say_what_it_was_not_given(self, arguments: Sequence[str]) -> None:
        """Arguments reach only what is started: they must not seem to be in force."""
        daemon = self._living()
        if not arguments or (daemon and list(arguments) == daemon.arguments):
            return
        how = "`comfyui restart` with the same words gives it them" if daemon else "end it where it was started first"
        click.echo(f"warning: it runs already, without {shlex.join(arguments)}; {how}", err=True)

    def _say_running(self, verb: str, sight: Sight) -> int:
        daemon = self._living()
        click.secho(f"ComfyUI {verb} at {self._address.url}", fg="green")
        _table(_origin(daemon) if daemon else [("started", "not by iterativectl; its pid is not known")])
        _table(facts(sight))
        return 0

    def _living(self) -> Optional[Daemon]:
        """The process that we started, if it still runs."""
        daemon = read_daemon(self._record)
        return daemon if daemon and is_alive(daemon) else None


def _origin(daemon: Daemon) -> List[Tuple[str, str]]:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(daemon.since))
    return [("started", f"by iterativectl, {since}"), ("pid", str(daemon.pid)), ("log", daemon.log)]


def _table(rows: Sequence[Tuple[str, str]]) -> None:
    for label, text in rows:
        click.echo(f"{label:<{LABEL}}{text}")


class Progress:
    """How the waiting gets on: one line that changes, or now and then a line where there is no terminal."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._terminal = sys.stdout.isatty()
        self._next = 1.0  # s

    def tick(self, waited: float) -> None:
        """Hear how many seconds it has been."""
        if not self._terminal and waited < self._next:
            return
        self._next = waited + SAY_EVERY
        width = shutil.get_terminal_size().columns - 1 if self._terminal else 79
        line = waiting_line(waited, "".join(tail(self._log, 1)), width)
        click.echo(f"\r\x1b[K{line}" if self._terminal else line, nl=not self._terminal)

    def close(self) -> None:
        """Clear the line."""
        if self._terminal:
            click.echo("\r\x1b[K", nl=False)
