"""A run that goes on under other rules: what is known of what stayed the same counts, the rest is history."""

from __future__ import annotations

import copy
import json
from typing import Any, Dict

import pytest
from scripted import ALL, HALF, NONE, RULES, Bench, ScriptedGenerator, ScriptedVision, picture
from test_counting import Paid, total

from imagination import page_rebuild, pages
from imagination.reply_cache import ReplyCache

OTHER = {"is_red": False, "same_shape": True}


def reworded(bench: Bench, field: str, **changes: Any) -> None:
    rules: Dict[str, Any] = copy.deepcopy(RULES)
    rules["project"].update(strategy="adaptive", confirmations=0, judge_check=False)
    for criterion in rules["acceptance_criteria"]:
        if criterion["field"] == field:
            criterion.update(changes)
    bench.write("rules.yaml", rules)


def begun(bench: Bench, *verdicts: Any, **project: Any) -> None:
    """A run under the first rules, over after as many pictures as there are verdicts."""
    given = {"strategy": "adaptive", "confirmations": 0, "judge_check": False, "stop_on_conflict": False}
    bench.rules(**{**given, "max_iterations": len(verdicts), "final_comparison": False, **project})
    bench.run(ScriptedGenerator(), ScriptedVision(verdicts))


def asked(vision: ScriptedVision, purpose: str) -> Any:
    return next(request for request in vision.asked if request.purpose == purpose).instruction


def test_a_reworded_criterion_that_failed_is_not_improved_for_and_the_others_are(bench: Bench) -> None:
    begun(bench, NONE, NONE)
    reworded(bench, "is_red", question="Is it bright red?")
    vision = ScriptedVision([ALL])
    outcome = bench.run(ScriptedGenerator(), vision, resume_from=3)
    assert outcome.passed and outcome.checkpoint.best_iteration == 3
    told = asked(vision, "improvement")
    assert "- same_shape: Is the shape the same? [preserve] Seen: same_shape seen" in told
    assert "- is_red" not in told


def test_after_a_last_picture_of_which_no_verdict_holds_nothing_is_asked(bench: Bench) -> None:
    begun(bench, NONE, NONE)
    reworded(bench, "is_red", question="Is it bright red?")
    path = bench.project.root / "config" / "rules.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("the shape the same", "it the same car"), encoding="utf-8")
    vision, generator = ScriptedVision([ALL]), ScriptedGenerator()
    outcome = bench.run(generator, vision, resume_from=3)
    assert vision.count("improvement") == 0
    move = outcome.history[1].decision[0]
    assert move.what == "settings unchanged" and "other rules than today's" in move.why
    assert generator.sampler_inputs(0)["denoise"] == outcome.history[1].parameters_used["denoise"]


def test_after_a_last_picture_of_which_nothing_is_known_to_fail_no_better_prompts_are_asked_for(bench: Bench) -> None:
    begun(bench, OTHER, OTHER)
    reworded(bench, "is_red", question="Is it bright red?")
    vision = ScriptedVision([ALL])
    outcome = bench.run(ScriptedGenerator(), vision, resume_from=3)
    assert vision.count("improvement") == 0
    assert outcome.history[1].decision[-1].why == "nothing is known yet to fail by today's rules"


def test_what_failed_by_other_words_is_not_told_of_as_never_met(bench: Bench) -> None:
    begun(bench, OTHER, OTHER, OTHER)
    reworded(bench, "is_red", question="Is it bright red?")
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([HALF, HALF]), resume_from=4)
    assert not outcome.passed and outcome.never_met == ()
    begun(bench, HALF, HALF, HALF)
    reworded(bench, "is_red", question="Is it bright red?")
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([NONE, NONE, NONE]), resume_from=3)
    assert outcome.never_met == ("is_red", "same_shape")  # once it was met, when it was asked in other words


def test_a_conflict_is_found_in_verdicts_that_hold(bench: Bench) -> None:
    limits = {"strategy": "adaptive", "confirmations": 0, "judge_check": False, "max_iterations": 9}
    begun(bench, OTHER, OTHER, NONE, NONE, NONE, HALF, HALF, OTHER)
    run = bench.store.runs()[-1]
    for number, denoise in enumerate((0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.85, 0.25), 1):  # as if the search had come there
        path = run.file("metadata", number)
        data = json.loads(path.read_text(encoding="utf-8"))
        data["parameters_used"].update(denoise=denoise, cfg=7.0)
        path.write_text(json.dumps(data), encoding="utf-8")
        path = run.file("evaluation", number)
        data = json.loads(path.read_text(encoding="utf-8"))
        votes = {field: cast * 2 for field, cast in data["votes"].items()}
        path.write_text(json.dumps({**data, "votes": votes}), encoding="utf-8")
    bench.rules(**limits)
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL]), resume_from=9).checkpoint.ended_by == "conflict"
    reworded(bench, "is_red", question="Is it bright red?")
    path = bench.project.root / "config" / "rules.yaml"
    path.write_text(path.read_text("utf-8").replace("max_iterations: 5", "max_iterations: 9"), "utf-8")
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL]), resume_from=9).passed


def test_tags_that_change_leave_the_best_picture_the_best(bench: Bench) -> None:
    begun(bench, NONE, HALF)
    reworded(bench, "is_red", must_include=["red paint", "glossy"])
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([NONE]), resume_from=3)
    assert outcome.checkpoint.best_iteration == 2
    output = json.loads((bench.project.root / "output" / "output_metadata.json").read_text(encoding="utf-8"))
    assert output["iteration"] == 2


def test_a_pass_from_before_a_change_of_tags_does_not_end_the_run(bench: Bench) -> None:
    begun(bench, NONE, ALL)
    reworded(bench, "is_red", must_include=["red paint", "glossy"])
    generator = ScriptedGenerator()
    outcome = bench.run(generator, ScriptedVision([ALL]), resume_from=3)
    assert outcome.passed and len(generator.jobs) == 1


def another_original(bench: Bench) -> None:
    (bench.project.root / "input" / "input.png").write_bytes(picture(90))


def test_of_pictures_made_from_another_original_nothing_counts(bench: Bench) -> None:
    begun(bench, OTHER, OTHER)
    bench.rules(strategy="adaptive", confirmations=0, judge_check=False, final_comparison=False, max_iterations=3)
    another_original(bench)
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([NONE]), resume_from=3)
    move = outcome.history[1].decision[0]
    assert move.what == "settings unchanged" and "another original" in move.why
    assert (outcome.checkpoint.best_iteration, outcome.checkpoint.best_score) == (3, 0.0)


def test_what_a_run_ran_on_before_is_kept(bench: Bench) -> None:
    begun(bench, NONE, NONE)
    run = bench.store.runs()[0]
    inputs = {path.name: path.read_bytes() for path in (run.root / "inputs").iterdir()}
    reworded(bench, "is_red", must_include=["red paint", "glossy"])
    another_original(bench)
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]), resume_from=3)
    kept = {path.name: path.read_bytes() for path in run.root.glob("superseded/*/inputs/*")}
    assert kept == {name: inputs[name] for name in ("rules.yaml", "input.png")}
    assert (run.root / "inputs" / "input.png").read_bytes() != inputs["input.png"]


def test_an_unjudged_picture_of_another_original_is_not_judged_by_the_new_one(bench: Bench) -> None:
    given = {"strategy": "adaptive", "confirmations": 0, "judge_check": False, "final_comparison": False}
    begun(bench, OTHER)
    bench.rules(**given, max_iterations=2)
    bench.run(ScriptedGenerator(), ScriptedVision([OTHER], faults={"evaluation": -1}))
    bench.rules(**given, max_iterations=3)
    another_original(bench)
    vision = ScriptedVision([NONE])
    bench.run(ScriptedGenerator(), vision, resume_from=3)
    assert vision.count("evaluation") == 1


BRIGHTNESS = {"field": "brightness", "question": "How bright is it?"}
REWORDED = {"field": "main_colour", "question": "Which colour has the car?", "type": "string"}


def left_unjudged(bench: Bench, **changes: Any) -> Paid:
    """A run whose first picture got answers but no verdicts, and was stopped; `changes` are made to the rules then."""
    bench.remembers = ReplyCache
    given = {"strategy": "adaptive", "confirmations": 0, "judge_check": False, "final_comparison": False}
    bench.rules(**given, max_iterations=2)
    first = Paid([HALF], faults={"evaluation": 1})
    bench.run_stopped(ScriptedGenerator({2: KeyboardInterrupt()}), first)
    rules: Dict[str, Any] = copy.deepcopy(RULES)
    rules["project"].update(**given, max_iterations=2)
    bench.write("rules.yaml", {**rules, **changes})
    return first


@pytest.mark.parametrize("questions", [[BRIGHTNESS], [REWORDED], []], ids=["another", "in other words", "none"])
def test_an_unjudged_picture_is_judged_on_answers_to_the_questions_of_today(bench: Bench, questions: Any) -> None:
    first, second = left_unjudged(bench, questions=questions), Paid([ALL])
    outcome = bench.run(ScriptedGenerator(), second, resume_from=2)
    assert outcome.passed and outcome.checkpoint.best_iteration == 1
    assert [request.purpose for request in second.asked] == ["questions"] * bool(questions) + ["evaluation"]
    assert '- main_colour "blue"' not in asked(second, "evaluation")
    assert set(outcome.history[0].questions) == {each["field"] for each in questions}
    assert total(outcome) == len(first.asked) + len(second.asked) - 1  # the description is of no iteration


@pytest.mark.parametrize("is_old", [False, True])
def test_answers_to_the_questions_of_today_are_not_asked_for_again(bench: Bench, is_old: bool) -> None:
    criteria: Any = copy.deepcopy(RULES["acceptance_criteria"])
    criteria[0]["must_include"] = ["glossy"]
    left_unjudged(bench, acceptance_criteria=criteria)
    path = bench.store.runs()[-1].file("questions", 1)
    answers = json.loads(path.read_text(encoding="utf-8"))
    assert answers["questions_sha256"]
    if is_old:
        del answers["questions_sha256"]
    path.write_text(json.dumps(answers), encoding="utf-8")
    second = Paid([ALL])
    bench.run(ScriptedGenerator(), second, resume_from=2)
    assert [request.purpose for request in second.asked] == ["evaluation"]


def test_answers_of_an_older_version_with_other_fields_are_asked_for_anew(bench: Bench) -> None:
    left_unjudged(bench, questions=[BRIGHTNESS])
    path = bench.store.runs()[-1].file("questions", 1)
    answers = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({k: v for k, v in answers.items() if k != "questions_sha256"}), encoding="utf-8")
    second = Paid([ALL])
    bench.run(ScriptedGenerator(), second, resume_from=2)
    assert [request.purpose for request in second.asked] == ["questions", "evaluation"]


def test_a_job_that_was_queued_for_another_original_is_not_collected(bench: Bench) -> None:
    bench.rules(max_iterations=1)
    first, second = ScriptedGenerator({1: KeyboardInterrupt()}), ScriptedGenerator()
    bench.run_stopped(first, ScriptedVision([NONE]))
    before = bench.store.read_checkpoint()
    another_original(bench)
    second.finished = {first.jobs[0]["prompt_id"]: picture(20)}
    outcome = bench.run(second, ScriptedVision([NONE]), resume_from=1)
    assert second.collected == [] and len(second.jobs) == 1
    assert before is not None and before.pending is not None
    assert outcome.history[0].parameters_used == before.pending.parameters  # the seed that was drawn, too


@pytest.mark.parametrize("made_way", [False, True])
def test_a_page_that_is_made_anew_counts_no_picture_of_another_original(bench: Bench, made_way: bool) -> None:
    begun(bench, HALF, HALF)
    bench.rules(strategy="adaptive", confirmations=0, judge_check=False, final_comparison=False, max_iterations=3)
    another_original(bench)
    bench.run(ScriptedGenerator(), ScriptedVision([NONE]), resume_from=3)
    run = bench.store.runs()[-1]
    head = pages.read_head(run)
    if made_way:  # for the resume point of another run
        bench.run(ScriptedGenerator(), ScriptedVision([NONE]), reset=True)
    pages.head_file(run).unlink()
    page_rebuild.rebuild(bench.store)
    anew = pages.read_head(run)
    assert head is not None and anew is not None and anew["best_iteration"] == 3 and anew["best_score"] == 0
    assert anew["never_met"] == head["never_met"] == ["is_red", "same_shape"]
