"""`run --seed-from-ranking`: what the ranking brings is looked at before anything is moved, by a rehearsal as well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from desk import Desk, run_ids, tree

from imagination.ctl import main


def run(*words: str) -> Result:
    result = CliRunner().invoke(main, ["run", "--project", "p", *words], prog_name="iterativectl")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


@pytest.fixture
def project(desk: Desk) -> Path:
    """One finished run, whose only iteration is ranked."""
    project = desk.project()
    assert run().exit_code == 0
    human = project / "working" / run_ids(project)[0] / "human"
    human.mkdir()
    (human / "ranking.json").write_text('{"ranking": ["1"]}', encoding="utf-8")
    return project


def use(project: Path, **parameters: Any) -> None:
    """Have iteration 1 run with other parameters."""
    path = project / "working" / run_ids(project)[0] / "metadata" / "iteration_1_metadata.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["parameters_used"].update(parameters)
    path.write_text(json.dumps(data), encoding="utf-8")


@pytest.mark.parametrize("rehearsal", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("name", "value", "code", "told"),
    [
        ("cfg", 0.5, 2, "gives cfg 0.5, which AIGen.yaml cannot hold"),
        ("denoise", 5, 2, "gives denoise 5.0, which AIGen.yaml cannot hold"),
        ("sampler_name", "nope", 3, 'knows no sampler_name "nope"'),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_moves(
    project: Path, name: str, value: Any, code: int, told: str, rehearsal: Any
) -> None:
    use(project, **{name: value})
    before = {path: content for path, content in tree(project).items() if not path.startswith(("logs", "working/.run"))}
    result = run("--seed-from-ranking", "latest", *rehearsal)
    assert (result.exit_code, told in result.output, "locked:" in result.output) == (code, True, True), result.output
    after = tree(project)
    assert {path: after.get(path) for path in before} == before and len(run_ids(project)) == 1


def test_a_locked_parameter_is_the_way_out(project: Path, desk: Desk) -> None:
    use(project, sampler_name="nope")
    settings = project / "config" / "AIGen.yaml"
    settings.write_text(settings.read_text(encoding="utf-8") + "locked: [sampler_name]\n", encoding="utf-8")
    assert run("--seed-from-ranking", "latest").exit_code == 0


def test_a_rehearsal_shows_the_seeded_settings(project: Path) -> None:
    use(project, denoise=0.45)
    told = run("--seed-from-ranking", "latest", "--dry-run").stdout
    assert "denoise=0.45" in told and f"seeded from the ranking of {run_ids(project)[0]} (rank1)" in told


def test_an_entry_of_thousands_of_digits_is_no_iteration(project: Path) -> None:
    ranking = project / "working" / run_ids(project)[0] / "human" / "ranking.json"
    ranking.write_text(json.dumps({"ranking": ["1" * 5000]}), encoding="utf-8")
    result = run("--seed-from-ranking", "latest")
    assert (result.exit_code, "which is no iteration" in result.output) == (4, True)
