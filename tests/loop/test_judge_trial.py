"""The judge is tried before the first picture: once a run, on pictures whose verdicts are known."""

from __future__ import annotations

import io
import json
from typing import Any, Dict, List, Mapping

import pytest
from PIL import Image
from scripted import ALL, NONE, VISION, Bench, ScriptedGenerator, ScriptedVision, picture

from imagination.adaptive import AdaptiveStrategy
from imagination.judge import Judge
from imagination.loop import Loop, Observer, Tools
from imagination.model import Request
from imagination.resume import open_run
from imagination.setup import read_setup


class Heard(Observer):
    """What a run warned of and asked."""

    def __init__(self) -> None:
        self.warnings: List[str] = []
        self.asked: List[str] = []

    def warned(self, text: str) -> None:
        self.warnings.append(text)

    def asking(self, purpose: str) -> None:
        self.asked.append(purpose)


@pytest.fixture
def checked(bench: Bench) -> Bench:
    bench.rules(judge_check=True)
    return bench


def always(**verdicts: Any) -> Dict[str, Mapping[str, Any]]:
    return {"judge_check": {field: {"verdict": verdict} for field, verdict in verdicts.items()}}


def artefact(bench: Bench, run_id: str) -> Dict[str, Any]:
    path = bench.store.run(run_id).root / "judge_check.json"
    data: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def trials(vision: ScriptedVision) -> List[Request]:
    return [request for request in vision.asked if request.purpose == "judge_check"]


def test_the_original_is_shown_twice_and_grey_once_before_the_first_picture(checked: Bench) -> None:
    vision, heard = ScriptedVision([ALL]), Heard()
    outcome = checked.run(ScriptedGenerator(), vision, observer=heard)
    original = vision.asked[0].pictures[0].png
    first, second, grey = trials(vision)
    assert [request.look for request in (first, second, grey)] == [0, 1, 0]
    assert [p.png for p in first.pictures] == [p.png for p in second.pictures] == [original] * 2
    with Image.open(io.BytesIO(grey.pictures[1].png)) as shown:
        assert (shown.size, shown.getcolors()) == ((64, 48), [(64 * 48, (128, 128, 128))])
    assert [request.purpose for request in vision.asked][:5] == ["description", *["judge_check"] * 3, "questions"]
    assert heard.asked[:2] == ["description", "judge_check"] and heard.asked.count("judge_check") == 1
    assert heard.warnings == []
    told = artefact(checked, outcome.checkpoint.run_id)
    assert told["original"] == {"is_red": [False, False], "same_shape": [True, True]}
    assert told["grey"] == {"is_red": [False], "same_shape": [False]}
    assert (told["judge"], told["usage"]["requests"], told["warnings"]) == ("ollama eyes", 3, [])
    assert outcome.checkpoint.totals.usage.requests == len(vision.asked) == 7


def test_the_strategy_of_the_specification_tries_no_judge_unless_told(bench: Bench) -> None:
    bench.rules(strategy="spec")
    vision = ScriptedVision([ALL])
    outcome = bench.run(ScriptedGenerator(), vision)
    assert trials(vision) == []
    assert not (bench.store.run(outcome.checkpoint.run_id).root / "judge_check.json").exists()


def test_a_judge_that_says_yes_is_warned_of_and_the_run_goes_on(checked: Bench) -> None:
    heard = Heard()
    vision = ScriptedVision([ALL], replies=always(is_red=True, same_shape=True))
    outcome = checked.run(ScriptedGenerator(), vision, observer=heard)
    assert outcome.passed
    assert len(heard.warnings) == 1 and "says yes to everything" in heard.warnings[0]
    assert artefact(checked, outcome.checkpoint.run_id)["warnings"] == heard.warnings


def test_an_error_of_the_model_is_a_warning_and_no_more_is_asked(checked: Bench) -> None:
    heard, vision = Heard(), ScriptedVision([NONE, ALL], faults={"judge_check": 1})
    outcome = checked.run(ScriptedGenerator(), vision, observer=heard)
    assert outcome.passed
    assert heard.warnings == ["the judge could not be tried, the run goes on without: no judge_check today"]
    assert len(trials(vision)) == 1


def test_a_resumed_run_reads_what_is_known_and_warns_again(checked: Bench) -> None:
    replies = always(is_red=False, same_shape=False)
    generator = ScriptedGenerator({2: KeyboardInterrupt()})
    checked.run_stopped(generator, ScriptedVision([NONE], replies=replies))
    heard, vision = Heard(), ScriptedVision([ALL])
    outcome = checked.run(ScriptedGenerator(), vision, observer=heard)
    assert trials(vision) == []
    assert any("same_shape fails on the unedited original" in warning for warning in heard.warnings)
    assert outcome.checkpoint.totals.usage.requests == 1 + 3 + 3 + 1 + 3


def test_a_check_that_failed_and_one_of_another_judge_are_made_again(checked: Bench) -> None:
    stop = {2: KeyboardInterrupt()}
    checked.run_stopped(ScriptedGenerator(stop), ScriptedVision([NONE], faults={"judge_check": 1}))
    second = ScriptedVision([NONE])
    checked.run_stopped(ScriptedGenerator({1: KeyboardInterrupt()}), second)
    assert len(trials(second)) == 3
    checked.write("AIVis.yaml", {**VISION, "model": "better-eyes"})
    third = ScriptedVision([ALL])
    outcome = checked.run(ScriptedGenerator(), third)
    assert len(trials(third)) == 3
    assert artefact(checked, outcome.checkpoint.run_id)["judge"] == "ollama better-eyes"


def test_going_back_keeps_the_check_unless_rules_or_picture_are_others(checked: Bench) -> None:
    run_id = checked.run(ScriptedGenerator(), ScriptedVision([NONE, ALL])).checkpoint.run_id
    same = ScriptedVision([ALL])
    again = checked.run(ScriptedGenerator(), same, resume_from=2)
    assert trials(same) == []
    assert again.checkpoint.totals.usage.requests == 3 + (3 + 1) + 3  # the check, iteration 1 and 2
    (checked.project.root / "input" / "input.png").write_bytes(picture(90))
    other = ScriptedVision([ALL])
    checked.run(ScriptedGenerator(), other, resume_from=1)
    assert len(trials(other)) == 3
    kept = list(checked.store.run(run_id).root.glob("superseded/*/judge_check.json"))
    assert len(kept) == 1


def test_what_is_known_of_the_judge_reaches_the_strategy(bench: Bench) -> None:
    bench.rules(strategy="adaptive", confirmations=0, max_iterations=1, final_comparison=False)
    setup = read_setup(bench.project)
    opening = open_run(bench.store, setup, reset=False, resume_from=None, now=1_768_000_000.0)
    vision = ScriptedVision([NONE], replies=always(is_red=False, same_shape=True))
    judge = Judge(vision, setup.templates, setup.rules)
    loop = Loop(setup, bench.store, opening, Tools(ScriptedGenerator(), vision, judge, Observer(), {}, lambda: 1))
    loop.run()
    assert isinstance(loop.strategy, AdaptiveStrategy) and loop.decider.strategy is loop.strategy
    right, wrong = [(True, True)] * 2 + [(False, False)] * 2, [(False, True)]
    assert loop.strategy.known == right + wrong
