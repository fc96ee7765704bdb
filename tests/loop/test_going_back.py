"""After --resume-from N the tool knows its own phrases in the prompts of iteration N."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest
from scripted import NONE, Bench, ScriptedGenerator, ScriptedVision

from imagination.model import Checkpoint, Pending, Prompts
from imagination.resume import open_run
from imagination.setup import read_setup
from imagination.shaping import phrases

SAME: Dict[str, Any] = {"improvement": {"positive": "a car", "negative": "blurry"}}


@pytest.fixture
def drifted(bench: Bench) -> Bench:
    """A run of five pictures: after each the tool tried another phrase, and dropped what had not helped twice."""
    parts = {"confirmations": 0, "judge_check": False, "stop_on_conflict": False, "final_comparison": False}
    bench.rules(strategy="adaptive", **parts)
    bench.run(ScriptedGenerator(), ScriptedVision([NONE]))
    return bench


def resume_point(bench: Bench) -> Checkpoint:
    checkpoint = bench.store.read_checkpoint()
    assert checkpoint is not None
    return checkpoint


def positive(bench: Bench, iteration: int) -> List[str]:
    metadata = bench.store.runs()[-1].metadata(iteration)
    assert metadata is not None
    return phrases(metadata.prompts_used.positive)


def test_a_phrase_that_the_tool_dropped_later_is_still_its_own(drifted: Bench) -> None:
    assert "try 1" in positive(drifted, 2) and "try 1" not in positive(drifted, 5)
    assert "try 1" not in resume_point(drifted).owned_phrases
    drifted.run(ScriptedGenerator(), ScriptedVision([NONE], replies=SAME), resume_from=2)
    assert "try 1" in positive(drifted, 2) and "try 1" not in positive(drifted, 5)


def test_before_the_first_picture_no_phrase_is_the_tools(drifted: Bench) -> None:
    drifted.run_stopped(ScriptedGenerator({1: KeyboardInterrupt()}), ScriptedVision([NONE]), resume_from=1)
    assert resume_point(drifted).owned_phrases == {}


def test_of_a_picture_that_was_never_made_they_are_those_of_the_last_decision(drifted: Bench) -> None:
    stopped = {"confirmations": 0, "judge_check": False, "max_iterations": 9, "final_comparison": False}
    drifted.rules(strategy="adaptive", stop_on_conflict=False, **stopped)
    drifted.run_stopped(ScriptedGenerator({1: KeyboardInterrupt()}), ScriptedVision([NONE]))
    before = resume_point(drifted).owned_phrases
    drifted.run_stopped(ScriptedGenerator({1: KeyboardInterrupt()}), ScriptedVision([NONE]), resume_from=6)
    assert resume_point(drifted).owned_phrases == before != {}


def test_they_are_those_of_a_decision_that_a_kill_left_uncounted_too(drifted: Bench) -> None:
    after, red_mist = resume_point(drifted), {"red mist": "is_red"}
    asked = Pending(iteration=5, parameters={}, prompts=Prompts(), owned=red_mist)
    drifted.store.write_checkpoint(after.model_copy(update={"pending": asked, "status": "stopped"}))
    drifted.rules(strategy="adaptive", max_iterations=9)
    setup = read_setup(drifted.project, drifted.store.generation_file)
    opening = open_run(drifted.store, setup, reset=False, resume_from=6, now=1_768_000_000.0)
    assert opening.checkpoint.owned_phrases == red_mist


def test_of_a_run_of_an_older_version_they_are_those_of_the_resume_point(drifted: Bench) -> None:
    run, now = drifted.store.runs()[-1], resume_point(drifted).owned_phrases
    metadata = run.metadata(2)
    assert metadata is not None and metadata.owned_phrases != now
    run.write("metadata", metadata.model_copy(update={"owned_phrases": None}))
    drifted.run_stopped(ScriptedGenerator({1: KeyboardInterrupt()}), ScriptedVision([NONE]), resume_from=2)
    assert resume_point(drifted).owned_phrases == now != {}
