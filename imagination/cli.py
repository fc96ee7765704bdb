"""The command of `iterative_imagination.py`: reads the options, hands the run to `runner`, tells how it ended.

Only click is imported here: `--help` and a typing error answer at once.
"""

from __future__ import annotations

from typing import Any, Callable, NoReturn, Optional

import click

from . import __version__
from .completion import project_option, workspace_option

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every way of starting a run has."""
    options = [
        click.option(
            "--resume-from",
            type=click.IntRange(min=1),
            metavar="N",
            help="Go on in the last run from iteration N: 1 to N-1 stay, later ones are set aside.",
        ),
        click.option(
            "--reset", is_flag=True, help="Start a new run, whatever the last one's state. Nothing is deleted."
        ),
        click.option(
            "--dry-run", is_flag=True, help="Check everything, ask the servers what they have, change nothing."
        ),
        click.option("--verbose", is_flag=True, help="Log in detail to logs/app.log, and show the log."),
        workspace_option(),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def check_run_options(reset: bool, resume_from: Optional[int]) -> None:
    """Refuse options that contradict each other."""
    if reset and resume_from is not None:
        raise click.UsageError("--reset starts a new run, --resume-from goes on in the last one: use one of them")


@click.command(context_settings=CONTEXT)
@project_option("Run projects/NAME.", required=False)
@click.option("--rules", metavar="PATH", help="Run the project that this rules.yaml names; it is made when it is new.")
@click.option("--input", "picture", metavar="PATH", help="The picture of a project that has none yet.")
@run_options
@click.version_option(__version__, prog_name="iterative-imagination")
def main(
    project: Optional[str],
    rules: Optional[str],
    picture: Optional[str],
    resume_from: Optional[int],
    reset: bool,
    dry_run: bool,
    verbose: bool,
    workspace: Optional[str],
) -> None:
    """Edit a picture with ComfyUI until a vision model finds that every rule is met.

    A run that was stopped goes on where it was when it is started again.

    \b
    Examples:
      iterative-imagination --project demo
      iterative-imagination --rules rules/season-winter.yaml --input photo.jpg
      iterative-imagination --project demo --dry-run

    \b
    Exit codes: 0 every criterion passed, 1 ended without, 2 your files or
    options, 3 a service, 4 the disk, 129, 130 or 143
    stopped (it can go on).
    """
    if not project and not rules:
        raise click.UsageError("name a project (--project NAME) or a rules file (--rules PATH --input PICTURE)")
    check_run_options(reset, resume_from)
    start(project, rules, picture, resume_from, reset, dry_run, verbose, workspace)


def start(*order: Any, **more: Any) -> NoReturn:
    """Carry out an order (the fields of `runner.Order`) and end the process with its exit code.

    Ctrl-C counts as one also while the modules are still being loaded.
    """
    try:
        from .runner import Order, run_command

        code = run_command(Order(*order, **more))
    except KeyboardInterrupt:
        code = 130
    raise SystemExit(code)


if __name__ == "__main__":
    main()
