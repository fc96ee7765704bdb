"""What Tab completes, asked of click as a shell asks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from desk import ROOT, Desk

from imagination.cli import main as run_command
from imagination.ctl import main


def completed(*words: str, command: Any = main) -> List[str]:
    """What the last word may become."""
    shell = ShellComplete(command, {}, "iterativectl", "_ITERATIVECTL_COMPLETE")
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


@pytest.fixture
def projects(desk: Desk) -> Desk:
    for name in ("winter", "windy", "office"):
        desk.project(name)
    for run_id in ("2026-01-09_22-25-59", "2026-01-10_08-00-00", "2026-01-10_08-00-00-2"):
        (desk.root / "projects" / "winter" / "working" / run_id / "human").mkdir(parents=True)
    ranked = desk.root / "projects" / "winter" / "working" / "2026-01-09_22-25-59" / "human" / "ranking.json"
    ranked.write_text(json.dumps({"ranking": ["1"]}), encoding="utf-8")
    return desk


def commands(group: click.Command, path: Tuple[str, ...] = ()) -> Iterator[Tuple[Tuple[str, ...], click.Command]]:
    """Every command of a group, with the words that call it."""
    yield path, group
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, (*path, name))


def test_commands_are_completed(desk: Desk) -> None:
    assert {"demo", "project", "rules", "run"} <= set(completed(""))
    assert completed("project", "") == ["create", "list"]
    assert "check" in completed("rules", "ch")


@pytest.mark.parametrize("command", [("run",), ("rules", "check")])
def test_project_names_are_completed(projects: Desk, command: Tuple[str, ...]) -> None:
    assert completed(*command, "--project", "") == ["office", "windy", "winter"]
    assert completed(*command, "--project", "win") == ["windy", "winter"]


def test_project_names_are_completed_for_the_plain_command_too(projects: Desk) -> None:
    assert completed("--project", "o", command=run_command) == ["office"]


def test_names_are_those_of_the_workspace_on_the_line(projects: Desk, tmp_path: Path) -> None:
    (tmp_path / "other" / "projects" / "elsewhere" / "config").mkdir(parents=True)
    assert completed("run", "--workspace", str(tmp_path / "other"), "--project", "") == ["elsewhere"]


def test_run_ids_are_completed_newest_first_with_latest(projects: Desk) -> None:
    words = ("run", "--project", "winter", "--seed-from-ranking")
    newest_first = ["2026-01-10_08-00-00-2", "2026-01-10_08-00-00", "2026-01-09_22-25-59"]
    assert completed(*words, "") == ["latest", *newest_first]
    assert completed(*words, "2026-01-09") == ["2026-01-09_22-25-59"]
    assert completed(*words, "la") == ["latest"]


def test_runs_that_people_ranked_are_marked(projects: Desk) -> None:
    shell = ShellComplete(main, {}, "iterativectl", "_ITERATIVECTL_COMPLETE")
    items = shell.get_completions(["run", "--project", "winter", "--seed-from-ranking"], "2026")
    assert [item.help for item in items] == ["not ranked", "not ranked", "ranked"]


def test_examples_are_completed_and_files_where_none_fits(desk: Desk) -> None:
    assert completed("project", "create", "x", "--from", "season") == ["season-winter"]
    assert len(completed("project", "create", "x", "--from", "")) == len(list((ROOT / "rules").glob("*.yaml")))
    shell = ShellComplete(main, {}, "iterativectl", "_ITERATIVECTL_COMPLETE")
    [item] = shell.get_completions(["project", "create", "x", "--from"], "./mine")
    assert (item.value, item.type) == ("./mine", "file")


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--workspace", "nowhere", "--project", ""),
        ("run", "--project", "../..", "--seed-from-ranking", "2"),
        ("run", "--project", "nobody", "--seed-from-ranking", "2"),
        ("run", "--seed-from-ranking", "2"),
    ],
)
def test_what_goes_wrong_completes_to_nothing(desk: Desk, words: Tuple[str, ...]) -> None:
    assert completed(*words) == []


def test_a_shell_asks_the_program_itself(projects: Desk) -> None:
    environ = {
        **os.environ,
        "_ITERATIVECTL_COMPLETE": "bash_complete",
        "COMP_WORDS": "iterativectl run --project wi",
        "COMP_CWORD": "3",
        "PYTHONPATH": str(ROOT),
    }
    code = "from imagination.ctl import main; main(prog_name='iterativectl')"
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["plain,windy", "plain,winter"]


def test_help_says_how_to_switch_it_on() -> None:
    text = CliRunner().invoke(main, ["--help"], prog_name="iterativectl").output
    for shell in ("bash_source", "zsh_source", "fish_source"):
        assert f"_ITERATIVECTL_COMPLETE={shell} iterativectl" in text


@pytest.mark.parametrize("path", [path for path, _ in commands(main)], ids=" ".join)
def test_the_help_of_every_command_shows_an_example(path: Tuple[str, ...]) -> None:
    text = CliRunner().invoke(main, [*path, "--help"], prog_name="iterativectl").output
    example = " ".join(["iterativectl", *path])
    assert any(line.strip().startswith(example) for line in text.splitlines() if not line.startswith("Usage"))


@pytest.mark.parametrize("path", sorted(path for path, _ in commands(main)), ids=" ".join)
def test_no_line_of_help_is_broken_by_a_terminal_of_80_columns(path: Tuple[str, ...]) -> None:
    told = CliRunner().invoke(main, [*path, "--help"], terminal_width=80).output
    assert [line for line in told.splitlines() if len(line) > 80] == []
