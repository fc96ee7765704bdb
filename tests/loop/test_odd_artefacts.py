"""A run that goes on among artefacts that say odd things, or are gone: one line, and nothing is decided from them."""

from __future__ import annotations

import json
from typing import Any, Dict

import pytest
from scripted import ALL, NONE, Bench, ScriptedGenerator, ScriptedVision
from test_display import run_on, shown, terminal

from imagination.errors import StoreError
from imagination.store import Run


def stopped_after(bench: Bench, iterations: int) -> Run:
    """A run that Ctrl-C ended in the iteration behind these."""
    bench.run_stopped(ScriptedGenerator({iterations + 1: KeyboardInterrupt()}), ScriptedVision([NONE]))
    return bench.store.runs()[-1]


def change(run: Run, kind: str, of: int, **keys: Any) -> None:
    path = run.file(kind, of)
    data: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, **keys}), encoding="utf-8")


@pytest.mark.parametrize("kind", ["metadata", "evaluation", "comparison"])
@pytest.mark.parametrize("number", [2, -5, 0])
def test_an_artefact_that_says_it_is_another_iterations_is_damaged(bench: Bench, kind: str, number: int) -> None:
    run = stopped_after(bench, 2)
    change(run, kind, 1, iteration=number)
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]))
    assert isinstance(stopped, StoreError)
    assert str(stopped).startswith(f"{run.file(kind, 1)} is damaged: iteration: it says {number}, and its name says 1")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("evaluation", {"criteria_results": None}),
        ("evaluation", {"criteria_results": [1]}),
        ("evaluation", {"overall_score": "high"}),
        ("comparison", {"similarity_score": "much"}),
        ("comparison", {"differences": "none"}),
    ],
)
def test_what_metadata_repeats_has_types(bench: Bench, key: str, value: Any) -> None:
    run = stopped_after(bench, 2)
    change(run, "metadata", 1, **{key: value})
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]))
    assert isinstance(stopped, StoreError)
    assert f"{run.file('metadata', 1)} is damaged: {key}" in str(stopped) and "\n" not in str(stopped)


def test_what_metadata_of_another_making_does_not_repeat_is_shown_as_not_known(bench: Bench) -> None:
    change(stopped_after(bench, 2), "metadata", 1, evaluation={}, comparison={})
    console = terminal()
    assert run_on(bench, console, ScriptedVision([ALL])).passed
    row = next(line.split() for line in shown(console) if line.split()[:1] == ["1"])
    assert row[:3] == ["1", "0", "-"]


def test_an_iteration_whose_metadata_is_damaged_is_made_again(bench: Bench) -> None:
    """That is what the hint says to do."""
    run = stopped_after(bench, 2)
    run.file("metadata", 2).write_bytes(b"{")
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]))
    assert isinstance(stopped, StoreError) and "--resume-from N" in stopped.hint
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL]), resume_from=2).passed
