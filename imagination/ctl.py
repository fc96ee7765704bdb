"""The command group of `iterativectl.py`: what is done around a run. Only click is imported here."""

from __future__ import annotations

from typing import Optional

import click

from . import __version__
from .cli import CONTEXT, run_options


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="iterativectl")
def main() -> None:
    """Everything around a run."""


@main.command()
@click.option("--project", metavar="NAME", required=True, help="Run projects/NAME.")
@run_options
def run(
    project: str,
    resume_from: Optional[int],
    reset: bool,
    dry_run: bool,
    verbose: bool,
    workspace: Optional[str],
) -> None:
    """Run a project: the same as `iterative-imagination --project NAME`.

    \b
    Example: iterativectl run --project demo --reset
    """
    if reset and resume_from is not None:
        raise click.UsageError("--reset starts a new run, --resume-from goes on in the last one: use one of them")
    from .runner import Order, run_command

    raise SystemExit(run_command(Order(project, None, None, resume_from, reset, dry_run, verbose, workspace)))


if __name__ == "__main__":
    main()
