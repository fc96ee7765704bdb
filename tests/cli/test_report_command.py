"""`iterativectl report`: one file from a run's artefacts."""

from __future__ import annotations

import os
import re
import sys
from inspect import signature
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from click.testing import CliRunner, Result

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from make_runs import file_of, make_project, make_run

from imagination import pages
from imagination.ctl import main

RUNNER = CliRunner(**({"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}))  # type: ignore[arg-type]


def give(root: Path, *words: str) -> Result:
    return RUNNER.invoke(main, ["report", *words, "--workspace", str(root)])


def test_the_newest_run_is_told_of(tmp_path: Path) -> None:
    make_run(tmp_path, "house", iterations=2)
    run = make_run(tmp_path, "house", iterations=5, ranking=["2"], notes={"2": "the light!"})
    result = give(tmp_path, "--project", "house")
    assert result.exit_code == 0, result.stderr
    path = run.root / "report.html"
    assert result.stdout.startswith(str(path))
    text = path.read_text(encoding="utf-8")
    assert "the light!" in text and text.count("<summary><b>Iteration") == 5
    assert str(tmp_path) not in text


def test_a_run_and_a_place_can_be_named(tmp_path: Path) -> None:
    first = make_run(tmp_path, "house", iterations=2)
    make_run(tmp_path, "house", iterations=3)
    result = give(tmp_path, "--project", "house", "--run", first.run_id, "--output", str(tmp_path / "a b.html"))
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "a b.html").read_text(encoding="utf-8").count("<summary><b>Iteration") == 2


def test_a_pipe_is_not_written_over(tmp_path: Path) -> None:
    make_run(tmp_path, "house", iterations=1)
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(str(pipe))
    link.symlink_to(pipe)
    for path, told in ((pipe, pipe), (link, pipe.resolve())):
        result = give(tmp_path, "--project", "house", "--output", str(path))
        assert (result.exit_code, result.stderr) == (
            4,
            f"error: {told} is there and is no regular file\nhint: name another, or move it away\n",
        )
    assert pipe.is_fifo() and link.is_symlink()


def test_a_link_to_a_file_stays_a_link(tmp_path: Path) -> None:
    make_run(tmp_path, "house", iterations=1)
    link, page = tmp_path / "link.html", tmp_path / "page.html"
    link.symlink_to(page)
    assert give(tmp_path, "--project", "house", "--output", str(link)).exit_code == 0
    assert link.is_symlink() and page.read_text(encoding="utf-8").count("<summary><b>Iteration") == 1


def test_a_long_run_can_still_be_mailed(tmp_path: Path) -> None:
    run = make_run(tmp_path, "house", iterations=100, size=(256, 192), hostile=False)
    assert give(tmp_path, "--project", "house").exit_code == 0
    text = (run.root / "report.html").read_text(encoding="utf-8")
    assert len(text) < 10_000_000 and "Pictures beyond the best 20 are small" in text


@pytest.mark.parametrize("damaged", [None, "judge_check", "final_comparison"])
def test_check_end_and_final_comparison_are_in_it(tmp_path: Path, damaged: Optional[str]) -> None:
    broken = {damaged: True} if damaged else None
    made = {"failed": [], "ended_by": "cost", "warnings": ["<b>says yes</b>"], "hostile": False}
    run = make_run(tmp_path, "house", iterations=4, broken=broken, **made)  # type: ignore[arg-type]
    assert give(tmp_path, "--project", "house").exit_code == 0
    text = (run.root / "report.html").read_text(encoding="utf-8")
    assert "The run has cost 2.01 USD" in text and "likely met" in text
    assert ("&lt;b&gt;says yes" in text) is (damaged != "judge_check")
    assert ("against each other" in text) is (damaged != "final_comparison")


@pytest.mark.parametrize("kind", ["metadata", "evaluation", "comparison", "questions", "image", "script", "block"])
def test_what_is_damaged_leaves_the_rest(tmp_path: Path, kind: str) -> None:
    number = 1 if kind == "block" else 2
    run = make_run(tmp_path, "house", iterations=4, failed=[], fallback=[], broken={kind: [number]})
    assert file_of(run, kind, number).is_file()
    result = give(tmp_path, "--project", "house")
    assert result.exit_code == 0, result.stderr
    text = (run.root / "report.html").read_text(encoding="utf-8")
    assert text.count("<summary><b>Iteration") == 4
    assert ("cannot be read" in text) is (kind not in ("script", "block"))


ODD: List[Dict[str, Any]] = [
    {"criteria": [{"field": {}}]},
    {"criteria": ["x"]},
    {"questions": [1]},
    {"questions": {"a": 1}},
    {"totals": []},
    {"totals": {"usage": [1]}},
    {"best_iteration": {}},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_an_odd_head_is_one_line_that_says_what_helps(tmp_path: Path, odd: Dict[str, Any]) -> None:
    run = make_run(tmp_path, "house", iterations=2)
    checkpoint = run.root.parent / "checkpoint.json"
    checkpoint.unlink()  # as of an earlier run: nothing brings its state up to date
    pages.receive(pages.head_file(run), {**(pages.read_head(run) or {}), **odd})
    result = give(tmp_path, "--project", "house")
    assert result.exit_code == 4 and re.fullmatch(r"error: .*run\.js is damaged.*\nhint: .*rm .*\n", result.stderr)
    pages.head_file(run).unlink()
    assert give(tmp_path, "--project", "house").exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--project", "nobody"), "nobody"),
        (("--project", "empty"), "no run with an iteration"),
        (("--project", "house", "--run", "2001-01-01_00-00-00"), "its last runs: 20"),
        (("--project", "house", "--run", "../x"), "its last runs: 20"),
    ],
)
def test_what_is_not_there_is_one_line_and_a_hint(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    make_run(tmp_path, "house", iterations=1)
    make_project(tmp_path, "empty")
    result = give(tmp_path, *words)
    assert result.exit_code == 2 and told in result.stderr
    assert re.fullmatch(r"error: .*\nhint: .*\n", result.stderr)


def test_no_key_is_in_it(tmp_path: Path) -> None:
    run = make_run(tmp_path, "house", iterations=1)
    key = "sk-or-v1-0123456789"
    (tmp_path / "projects/house/config/AIVis.yaml").write_text(
        f"provider: openrouter\nmodel: x/y\napi_key: {key}\n", encoding="utf-8"
    )
    assert give(tmp_path, "--project", "house").exit_code == 0
    assert key not in (run.root / "report.html").read_text(encoding="utf-8")
