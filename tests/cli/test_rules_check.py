"""`iterativectl rules check`: what it says, as text and as JSON, and its exit codes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result
from desk import Desk

from imagination.ctl import main

GOOD = """\
project:
  name: p
  max_iterations: 5
acceptance_criteria:
  - field: coat_worn
    question: Is a coat worn in the result?
    intent: change
    must_include: [yellow coat]
  - field: same_person
    question: Is it the same person in the result?
    intent: preserve
"""
CLASH = GOOD + "    ban_terms: [yellow coat]\n"
WARNED = GOOD.replace("    intent: preserve\n", "")


def check(desk: Desk, rules: str, *arguments: Any, color: bool = False) -> Result:
    project = desk.project("p")
    (project / "config" / "rules.yaml").write_text(rules, encoding="utf-8")
    result = CliRunner().invoke(main, ["rules", "check", "--project", "p", *arguments], color=color)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def test_good_rules_are_told_to_be_good(desk: Desk) -> None:
    result = check(desk, GOOD)
    assert (result.exit_code, result.output) == (0, "p: nothing to find fault with\n")


def test_a_finding_has_place_reason_and_what_to_do(desk: Desk) -> None:
    result = check(desk, CLASH)
    path = desk.root / "projects" / "p" / "config" / "rules.yaml"
    assert result.exit_code == 1
    assert result.output == (
        f"{path}:12: error: acceptance_criteria[1].ban_terms[0] [term-required-and-banned]\n"
        '  "yellow coat" is banned by same_person, yet required by coat_worn (line 8)\n'
        "  > take it out of one of the two lists\n"
        "\n"
        "p: 1 error\n"
    )


def test_warnings_and_hints_alone_do_not_fail(desk: Desk) -> None:
    result = check(desk, WARNED.replace("yellow coat", "no hat"))
    assert result.exit_code == 0
    assert result.output.endswith("p: 1 warning, 1 hint\n")


def test_the_text_fits_80_columns_but_for_the_place(desk: Desk) -> None:
    lines = check(desk, WARNED + "    type: integer\n    max: 1000\n    min: 0.1\n").output.splitlines()
    assert max(len(line) for line in lines if "rules.yaml:" not in line) <= 80


@pytest.mark.parametrize("color", [True, False])
def test_colours_are_for_terminals_alone(desk: Desk, color: bool) -> None:
    assert ("\x1b[31m" in check(desk, CLASH, color=color).output) is color


def test_json_is_for_editors_and_ci(desk: Desk) -> None:
    result = check(desk, CLASH, "--format", "json")
    told = json.loads(result.output)
    assert result.exit_code == 1
    assert told["counts"] == {"error": 1, "warning": 0, "hint": 0}
    assert told["findings"] == [
        {
            "severity": "error",
            "code": "term-required-and-banned",
            "file": str(desk.root / "projects" / "p" / "config" / "rules.yaml"),
            "line": 12,
            "key": "acceptance_criteria[1].ban_terms[0]",
            "reason": '"yellow coat" is banned by same_person, yet required by coat_worn (line 8)',
            "advice": "take it out of one of the two lists",
        }
    ]


@pytest.mark.parametrize("rules", ["project: [", "", "project: {max_iterations: 0}\n", "\x00"])
def test_json_stays_json_when_the_file_is_broken(desk: Desk, rules: str) -> None:
    result = check(desk, rules, "--format", "json")
    told = json.loads(result.output)
    assert result.exit_code == 1
    assert told["counts"]["error"] == len(told["findings"]) >= 1


def test_the_projects_name_is_compared_with_its_folder(desk: Desk) -> None:
    result = check(desk, GOOD.replace("name: p", "name: q"))
    assert (result.exit_code, "[name-differs]" in result.output) == (0, True)


def test_control_characters_of_the_file_stay_out_of_the_terminal(desk: Desk) -> None:
    result = check(desk, CLASH.replace("yellow coat", '"yellow \\e[2J coat"'))
    assert result.exit_code == 1
    assert "\x1b" not in result.output


def test_a_project_that_is_not_there_is_the_users_mistake(desk: Desk) -> None:
    result = CliRunner().invoke(main, ["rules", "check", "--project", "nobody"])
    assert result.exit_code == 2
    assert "there is no project nobody" in result.output


def test_a_project_without_rules_is_an_error_found(desk: Desk) -> None:
    project = desk.project("p")
    (project / "config" / "rules.yaml").unlink()
    result = CliRunner().invoke(main, ["rules", "check", "--project", "p"])
    assert result.exit_code == 1
    assert "[no-file]" in result.output
