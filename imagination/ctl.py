"""The command group of `iterativectl.py`: what is done around a run. Only click is imported here."""

from __future__ import annotations

from typing import Any, Literal, Optional

import click

from . import __version__
from .cli import CONTEXT, check_run_options, run_options, start
from .completion import project_option, run_ids
from .ctl_comfyui import comfyui
from .ctl_doctor import doctor
from .ctl_project import demo, project
from .ctl_report import report
from .ctl_rules import rules
from .ctl_viewer import viewer


class Commands(click.Group):
    """The commands; Ctrl-C is a stop also while the modules of one are still being loaded."""

    def invoke(self, ctx: click.Context) -> Any:
        """Give the command that was typed."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\nstopped", err=True)
            raise SystemExit(130) from None


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="iterativectl")
def main() -> None:
    """Everything around a run.

    \b
    Examples:
      iterativectl demo
      iterativectl project create winter --from season-winter --input photo.jpg
      iterativectl rules check --project winter
      iterativectl run --project winter

    \b
    Tab completes commands, project names and run ids once the shell knows of
    it; put the line for yours where it reads it at each start:
      eval "$(_ITERATIVECTL_COMPLETE=bash_source iterativectl)"   # ~/.bashrc
      eval "$(_ITERATIVECTL_COMPLETE=zsh_source iterativectl)"    # ~/.zshrc
      _ITERATIVECTL_COMPLETE=fish_source iterativectl | source    # config.fish
    """


main.add_command(comfyui)
main.add_command(viewer)


main.add_command(demo)
main.add_command(doctor)
main.add_command(project)
main.add_command(report)
main.add_command(rules)


@main.command()
@project_option("Run projects/NAME.")
@run_options
@click.option(
    "--seed-from-ranking",
    metavar="RUN_ID|latest",
    shell_complete=run_ids,
    help="Start from what people ranked best in an earlier run.",
)
@click.option(
    "--seed-ranking-mode",
    type=click.Choice(["rank1", "top3", "top5"]),
    help="rank1 (default): the best; top3, top5: the average of the best.",
)
def run(
    project: str,
    resume_from: Optional[int],
    reset: bool,
    dry_run: bool,
    verbose: bool,
    workspace: Optional[str],
    seed_from_ranking: Optional[str],
    seed_ranking_mode: Optional[Literal["rank1", "top3", "top5"]],
) -> None:
    """Run a project: the same as `iterative-imagination --project NAME`.

    \b
    Examples:
      iterativectl run --project demo --reset
      iterativectl run --project demo --seed-from-ranking latest \\
        --seed-ranking-mode top3
    """
    check_run_options(reset, resume_from)
    if seed_ranking_mode and not seed_from_ranking:
        raise click.UsageError("--seed-ranking-mode goes with --seed-from-ranking RUN_ID or latest")
    if seed_from_ranking and resume_from is not None:
        raise click.UsageError("--seed-from-ranking starts a new run, --resume-from goes on in the last one")
    seeded = {"seed_from": seed_from_ranking, "seed_mode": seed_ranking_mode}
    start(project, None, None, resume_from, reset, dry_run, verbose, workspace, **seeded)


if __name__ == "__main__":
    main()
