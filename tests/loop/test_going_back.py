"""After --resume-from N the tool knows its own phrases in the prompts of iteration N."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import pytest
import yaml
from scripted import NONE, RULES, Bench, ScriptedGenerator, ScriptedVision

from imagination.model import Answer, Checkpoint, Pending, Prompts, Request
from imagination.resume import open_run
from imagination.setup import read_setup
from imagination.shaping import phrases
from imagination.store import Store

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


class Killed(BaseException):
    """What no code of the run catches."""


class Mortal(Store):
    """Its process is killed before, or right behind, the first write of the resume point."""

    def __init__(self, project: Path, behind: bool) -> None:
        super().__init__(project)
        self.behind = behind

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        if self.behind:
            super().write_checkpoint(checkpoint)
        raise Killed


@pytest.mark.parametrize("again", [None, 2])
@pytest.mark.parametrize("behind", [False, True])
def test_a_kill_while_iterations_are_set_aside_leaves_no_gap(drifted: Bench, behind: bool, again: Any) -> None:
    run, own = drifted.store.runs()[-1], drifted.store
    before = [metadata.parameters_used["seed"] for n in run.iterations() if (metadata := run.metadata(n))]
    parts = {"judge_check": False, "stop_on_conflict": False, "final_comparison": False}
    drifted.rules(strategy="adaptive", confirmations=0, max_iterations=6, **parts)
    drifted.store = Mortal(drifted.project.root, behind)
    with pytest.raises(Killed):
        drifted.run(ScriptedGenerator(), ScriptedVision([NONE]), resume_from=2)
    drifted.store = own
    generator = ScriptedGenerator()
    outcome = drifted.run(generator, ScriptedVision([NONE]), resume_from=again)
    assert [metadata.iteration for metadata in outcome.history] == [1, 2, 3, 4, 5, 6]
    assert outcome.history[1].parameters_used["seed"] == before[1]
    assert len(generator.jobs) == (5 if again or behind else 1)
    assert resume_point(drifted).superseding is None


class Stopped(ScriptedVision):
    """Ctrl-C when better prompts are to be asked for."""

    def ask(self, request: Request) -> Answer:
        if request.purpose == "improvement":
            raise KeyboardInterrupt
        return super().ask(request)


def test_what_was_asked_for_a_decision_is_neither_set_aside_nor_asked_again(bench: Bench) -> None:
    bench.rules(max_iterations=2)
    first, second = Stopped([NONE], 0.95), ScriptedVision([NONE], 0.95)
    bench.run_stopped(ScriptedGenerator(), first)
    outcome = bench.run(ScriptedGenerator(), second, resume_from=2)
    assert (first.count("suggestion"), second.count("suggestion")) == (1, 0)
    assert outcome.checkpoint.set_aside.requests == first.count("description")
    assert outcome.history[0].usage.requests == 5  # three on the picture, two for the decision


def test_what_was_asked_for_a_decision_under_other_rules_is_set_aside(bench: Bench) -> None:
    bench.rules(max_iterations=2)
    first, second = Stopped([NONE], 0.95), ScriptedVision([NONE], 0.95)
    bench.run_stopped(ScriptedGenerator(), first)
    text = yaml.safe_dump({**RULES, "acceptance_criteria": RULES["acceptance_criteria"][:1]})  # type: ignore[index]
    (bench.project.root / "config" / "rules.yaml").write_text(text.replace("iterations: 5", "iterations: 2"), "utf-8")
    outcome = bench.run(ScriptedGenerator(), second, resume_from=2)
    assert outcome.checkpoint.set_aside.requests == first.count("description") + first.count("suggestion")
