"""`iterativectl viewer`: start, stop and status of the server that shows runs in a browser. Only click is imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Tuple

import click

from .cli import CONTEXT
from .completion import workspace_option

if TYPE_CHECKING:
    from pathlib import Path

    from .daemons import Daemon

PATIENCE = 30.0  # s until it answers


@click.group(context_settings=CONTEXT)
def viewer() -> None:
    """Look at runs in a browser. The server listens on this machine only.

    \b
    Example:
      iterativectl viewer start --open
    """


@viewer.command()
@click.option("--port", type=click.IntRange(1024, 65535), default=8765, show_default=True, metavar="N",
              help="The first port to try; if it is taken, the next.")  # fmt: skip
@click.option("--open", "browse", is_flag=True, help="Show it in the browser.")
@workspace_option()
def start(port: int, browse: bool, workspace: Optional[str]) -> None:
    """Start the server and print its address. It goes on when this command has ended.

    \b
    Examples:
      iterativectl viewer start --open
      iterativectl viewer start --port 9000
    """
    from .guard import guarded

    def act() -> int:
        root, record = _place(workspace)
        daemon = _start(root, record, port)
        click.echo(daemon.url)
        if browse:
            import webbrowser

            if not webbrowser.open(daemon.url):
                click.echo("no browser could be started here; open the address yourself", err=True)
        return 0

    raise SystemExit(guarded(act))


@viewer.command()
@workspace_option()
def stop(workspace: Optional[str]) -> None:
    """End the server.

    \b
    Example:
      iterativectl viewer stop
    """
    from .guard import guarded

    def act() -> int:
        from .daemons import end, forget, read_daemon

        _, record = _place(workspace)
        daemon = read_daemon(record)
        ended = daemon is not None and end(daemon)
        forget(record)
        click.echo(f"ended the viewer at {daemon.url} (pid {daemon.pid})" if daemon and ended else _ABSENT)
        return 0

    raise SystemExit(guarded(act))


@viewer.command()
@workspace_option()
def status(workspace: Optional[str]) -> None:
    """Tell whether the server runs, and where. The exit code is 0 if it does, else 1.

    \b
    Example:
      iterativectl viewer status
    """
    from .guard import guarded

    def act() -> int:
        root, record = _place(workspace)
        daemon = _living(record)
        if daemon is None:
            click.echo(_ABSENT)
            return 1
        words = "runs" if _answers(daemon) else "does not answer"
        click.echo(f"the viewer of {root} {words} at {daemon.url} (pid {daemon.pid})")
        return 0 if words == "runs" else 1

    raise SystemExit(guarded(act))


_ABSENT = "the viewer is not running"


def _place(workspace: Optional[str]) -> Tuple[Path, Path]:
    """The workspace, and where its viewer is recorded."""
    import os
    from pathlib import Path

    from .daemons import FOLDER
    from .workspace import Workspace

    root = Workspace.find(workspace, os.environ, Path.cwd()).root.resolve()
    return root, root / FOLDER / "viewer.json"


def _living(record: Path) -> Optional[Daemon]:
    from .daemons import is_alive, read_daemon

    daemon = read_daemon(record)
    return daemon if daemon and is_alive(daemon) else None


def _start(root: Path, record: Path, port: int) -> Daemon:
    """The viewer that runs, or a new one. Raises ServiceError if it does not come to answer."""
    from .daemons import end, forget, one_at_a_time, state_folder

    state_folder(root)
    with one_at_a_time(record):
        daemon = _living(record)
        if daemon and _answers(daemon):
            return daemon
        if daemon:
            end(daemon)
        forget(record)
        _rebuild(root)
        return _launch(root, record, port)


def _launch(root: Path, record: Path, port: int) -> Daemon:
    import os
    import sys

    from .daemons import Wait, let_go, spawn, tail, wait_until
    from .errors import ServiceError
    from .workspace import PACKAGE

    log = record.with_suffix(".log")
    # the child must find this very package, installed or not
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    command = [sys.executable, "-m", "imagination.viewer_server", str(root), str(port), str(record)]
    process = spawn(command, record.parent, log, environ)

    def answers() -> bool:
        daemon = _living(record)
        return daemon is not None and _answers(daemon)

    try:
        how = wait_until(answers, lambda: process.poll() is None, PATIENCE)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    daemon = _living(record)
    if how is Wait.READY and daemon:
        let_go(process)
        return daemon
    if process.poll() is None:
        process.kill()
        process.wait()
    raise ServiceError(f"the viewer did not start: {' '.join(tail(log, 1)) or 'it left no word'}", f"its log: {log}")


def _answers(daemon: Daemon) -> bool:
    """Does our server answer there? A proxy from the environment is never asked."""
    import http.client
    from urllib.parse import urlsplit

    from .viewer_server import NAME

    address: Any = urlsplit(daemon.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=5)
    try:
        connection.request("HEAD", "/")
        return connection.getresponse().getheader("Server") == NAME
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _rebuild(root: Path) -> None:
    """Write what the page needs of older runs, where it is missing, and the page itself."""
    from .page_copy import publish
    from .page_rebuild import rebuild_all

    rebuild_all(root / "projects")
    if (root / "projects").is_dir():
        publish(root)
