"""`iterativectl comfyui`: start, stop, restart and status of this machine's ComfyUI. Only click is imported here."""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence, Tuple

import click

from .cli import CONTEXT
from .completion import project_option, workspace_option


@click.group(context_settings=CONTEXT)
def comfyui() -> None:
    """Start, stop and look at the ComfyUI of this machine.

    \b
    Example:
      iterativectl comfyui start --dir ~/ComfyUI -- --lowvram
    """


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which ComfyUI is meant."""
    option = project_option("Host and port as in this project's AIGen.yaml (default: the template's).", required=False)
    return option(workspace_option()(command))  # type: ignore[no-any-return]


def _how(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how it is started."""
    options = [
        click.option(
            "--dir",
            "folder",
            metavar="DIR",
            type=click.Path(),
            help="ComfyUI's folder (default: $COMFYUI_DIR, comfyui_dir in the workspace's iterativectl.yaml, "
            "comfy-cli's, the usual places).",
        ),
        click.option(
            "--python",
            metavar="PATH",
            type=click.Path(),
            help="The Python that runs it (default: its own environment's).",
        ),
        click.option(
            "--wait",
            type=click.FloatRange(min=0.1),
            default=120.0,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait for its first answer.",
        ),
        click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS]"),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _check(arguments: Sequence[str]) -> None:
    if arguments and not arguments[0].startswith("-"):
        raise click.UsageError(f'"{arguments[0]}" is no option of ComfyUI; did you mean --project {arguments[0]}?')


@comfyui.command()
@_where
@_how
def start(
    project: Optional[str],
    workspace: Optional[str],
    folder: Optional[str],
    python: Optional[str],
    wait: float,
    arguments: Tuple[str, ...],
) -> None:
    """Start ComfyUI and wait until it answers. It goes on when this command has ended.

    What follows -- goes to ComfyUI as it is.

    \b
    Examples:
      iterativectl comfyui start
      iterativectl comfyui start --project portrait -- --lowvram
    """
    _check(arguments)
    from .comfyui_caretaker import Caretaker
    from .guard import guarded

    raise SystemExit(guarded(lambda: Caretaker.of(workspace, project).start(folder, python, arguments, wait)))


@comfyui.command()
@_where
def stop(project: Optional[str], workspace: Optional[str]) -> None:
    """End the ComfyUI that `start` started; any other is left alone.

    \b
    Example:
      iterativectl comfyui stop
    """
    from .comfyui_caretaker import Caretaker
    from .guard import guarded

    raise SystemExit(guarded(lambda: Caretaker.of(workspace, project).stop()))


@comfyui.command()
@_where
@_how
def restart(
    project: Optional[str],
    workspace: Optional[str],
    folder: Optional[str],
    python: Optional[str],
    wait: float,
    arguments: Tuple[str, ...],
) -> None:
    """End ComfyUI and start it as before: folder, Python and arguments stay unless others are given.

    \b
    Examples:
      iterativectl comfyui restart
      iterativectl comfyui restart -- --highvram
    """
    _check(arguments)
    from .comfyui_caretaker import Caretaker
    from .guard import guarded

    raise SystemExit(guarded(lambda: Caretaker.of(workspace, project).restart(folder, python, arguments, wait)))


@comfyui.command()
@_where
def status(project: Optional[str], workspace: Optional[str]) -> None:
    """Tell whether ComfyUI runs: address, pid, version, queue, memory, and who started it.

    The exit code is 0 if it runs, else 1.

    \b
    Example:
      iterativectl comfyui status --project portrait
    """
    from .comfyui_caretaker import Caretaker
    from .guard import guarded

    raise SystemExit(guarded(lambda: Caretaker.of(workspace, project).status()))
