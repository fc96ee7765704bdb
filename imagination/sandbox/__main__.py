"""`python -m imagination.sandbox`: both built-in engines on ports of their own, for any ComfyUI or Ollama client."""

from __future__ import annotations

import signal
import sys
import threading

import click

from imagination.errors import ConfigError, Terminated
from imagination.sandbox import start_generator, start_vision, stop_all

NOTE = "Built-in engines, for trying the tool and for tests: no diffusion model and no language model is at work here."


@click.command(help="Run the built-in generator (ComfyUI's API) and judge (Ollama's API) until Ctrl-C.")
@click.option("--comfyui-port", type=click.IntRange(0, 65535), default=0, help="Port of the generator; 0: a free one.")
@click.option("--ollama-port", type=click.IntRange(0, 65535), default=0, help="Port of the judge; 0: a free one.")
@click.option("--previews", is_flag=True, help="Send preview pictures while sampling, as --preview-method does.")
def main(comfyui_port: int, ollama_port: int, previews: bool) -> None:
    try:
        generator, vision = start_generator(comfyui_port, previews=previews), start_vision(ollama_port)
    except ConfigError as err:
        click.echo(f"{err}\nhint: {err.hint}", err=True)
        sys.exit(err.exit_code)
    signal.signal(signal.SIGTERM, _terminate)
    try:  # from here on: who has read the addresses may end us at once
        click.echo(NOTE)
        click.echo(f"ComfyUI API: {generator}\nOllama API:  {vision}  (model: builtin)\nCtrl-C ends both.")
        sys.stdout.flush()
        threading.Event().wait()
    except KeyboardInterrupt as end:
        click.echo("ended", err=True)
        sys.exit(143 if isinstance(end, Terminated) else 130)
    finally:
        stop_all()


def _terminate(*_: object) -> None:
    raise Terminated


if __name__ == "__main__":
    main()
