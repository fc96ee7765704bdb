"""Which picture is the best, and what the output is said to be, when rules, limits and judges change in mid-run."""

from __future__ import annotations

import copy
import json
from typing import Any, Dict, List

import pytest
from scripted import ALL, HALF, NONE, RULES, Bench, ScriptedGenerator, ScriptedVision, picture
from test_changed_rules import begun, reworded

from imagination.budget import cost_of
from imagination.display import PlainDisplay
from imagination.errors import VisionError
from imagination.model import Answer, Request

PLAIN = {
    "strategy": "adaptive",
    "confirmations": 0,
    "judge_check": False,
    "stop_on_conflict": False,
    "final_comparison": False,
}
OTHER = {"is_red": False, "same_shape": True}


def output(bench: Bench) -> Any:
    return json.loads((bench.project.root / "output" / "output_metadata.json").read_text(encoding="utf-8"))


def test_a_pass_is_the_best_also_beside_an_older_picture_that_would_pass(bench: Bench) -> None:
    begun(bench, NONE, ALL)
    reworded(bench, "is_red", must_include=["red paint", "glossy"])
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([ALL]), resume_from=3)
    assert (outcome.passed, outcome.checkpoint.best_iteration) == (True, 3)
    assert (output(bench)["iteration"], output(bench)["result"]) == (3, "passed")


def test_a_pass_is_the_best_where_a_criterion_was_taken_out(bench: Bench) -> None:
    begun(bench, NONE, HALF)
    rules: Dict[str, Any] = copy.deepcopy(RULES)
    rules["project"].update(PLAIN)
    rules["acceptance_criteria"] = rules["acceptance_criteria"][:1]
    bench.write("rules.yaml", rules)
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([{"is_red": True}]), resume_from=3)
    assert (outcome.passed, outcome.checkpoint.best_iteration, output(bench)["result"]) == (True, 3, "passed")


def test_an_output_that_passed_by_other_rules_is_not_said_to_pass(bench: Bench) -> None:
    begun(bench, NONE, ALL)
    assert output(bench)["result"] == "passed"
    reworded(bench, "is_red", question="Is it bright red?")
    bench.run_stopped(ScriptedGenerator({1: KeyboardInterrupt()}), ScriptedVision([ALL]), resume_from=3)
    assert (output(bench)["iteration"], output(bench)["result"]) == (2, "best_so_far")


def test_the_winner_of_a_final_comparison_stays_until_a_picture_has_the_best_score_of_all(bench: Bench) -> None:
    begun_with = {**PLAIN, "final_comparison": True}
    bench.rules(**begun_with, max_iterations=2)
    vision = ScriptedVision([HALF, NONE])
    vision.likes = [picture(40)]
    first = bench.run(ScriptedGenerator(), vision)
    crowned = first.checkpoint.best_iteration
    assert first.checkpoint.best_score == 0.0
    bench.rules(**PLAIN, max_iterations=3)
    assert bench.run(ScriptedGenerator(), ScriptedVision([OTHER])).checkpoint.best_iteration == crowned
    bench.rules(**PLAIN, max_iterations=4)
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL])).checkpoint.best_iteration == 4


class Refuses(ScriptedVision):
    """Does not look at one picture."""

    def ask(self, request: Request) -> Answer:
        if request.purpose == "evaluation" and request.pictures[1].png == picture(40):
            self.asked.append(request)
            raise VisionError("content policy")
        return super().ask(request)


def test_a_picture_that_the_model_refuses_keeps_no_run_from_going_on(bench: Bench) -> None:
    bench.rules(**PLAIN, max_iterations=5)
    bench.run_stopped(ScriptedGenerator({4: KeyboardInterrupt()}), Refuses([HALF]))
    generator = ScriptedGenerator()
    outcome = bench.run(generator, Refuses([HALF]))
    assert [m.iteration for m in outcome.history] == [1, 2, 3, 4, 5] and generator.jobs
    found = [bench.store.run(outcome.checkpoint.run_id).evaluation(n) for n in (1, 2, 3)]
    assert [each.source for each in found if each].count("fallback") == 1


def test_nothing_is_asked_once_the_money_is_spent_though_an_unjudged_picture_is_left(bench: Bench) -> None:
    bench.rules(**PLAIN, max_iterations=1, max_cost=0.03)
    vision = ScriptedVision([HALF], faults={"evaluation": -1})
    outcome = bench.run(ScriptedGenerator(), vision)
    assert not outcome.passed and vision.count("evaluation") == 1
    assert cost_of(outcome.checkpoint) == pytest.approx(0.01 * (len(vision.asked) - 1))  # the one that failed was free


def test_a_cfg_that_comes_down_is_not_said_to_make_a_picture_less_like_the_original(bench: Bench) -> None:
    lines: List[str] = []
    bench.rules(**PLAIN, max_iterations=8)
    verdicts = ScriptedVision([OTHER, HALF, NONE], similarity=0.99)
    bench.run(ScriptedGenerator(), verdicts, observer=PlainDisplay(lines.append))
    moves = [line for line in lines if "→" in line and "too like" in line]
    assert moves
    for line in moves:
        for each in line.split("next: ")[1].split("(")[0].split(", "):
            old, new = each.strip().split(" ")[1], each.strip().split(" ")[3]
            assert float(new) > float(old), line
