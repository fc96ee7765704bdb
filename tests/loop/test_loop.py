"""Whole runs with scripted services: what is done, in which order, and what is left on disk."""

from __future__ import annotations

import json
from typing import List

import pytest
from PIL import Image
from scripted import ALL, GENERATION, HALF, NONE, VISION, Bench, ScriptedGenerator, ScriptedVision, picture

from imagination.errors import (
    ComfyUIUnreachable,
    ConfigError,
    ExecutionFailed,
    ServiceError,
    StoreError,
    WorkflowRejected,
)
from imagination.loop import Observer
from imagination.model import Answer, Request
from imagination.setup import read_setup


def test_a_run_ends_when_every_criterion_passes(bench: Bench) -> None:
    generator, vision = ScriptedGenerator(), ScriptedVision([NONE, HALF, ALL])
    outcome = bench.run(generator, vision)
    assert outcome.passed
    assert [m.evaluation["overall_score"] for m in outcome.history] == [0.0, 50.0, 100.0]
    output = json.loads((bench.project.root / "output" / "output_metadata.json").read_text(encoding="utf-8"))
    assert (output["iteration"], output["result"], output["totals"]["iterations"]) == (3, "passed", 3)
    assert (bench.project.root / "output" / "output.png").read_bytes() == picture(60)
    assert vision.count("description") == 1
    assert [vision.count(p) for p in ("questions", "evaluation", "comparison", "improvement")] == [3, 3, 3, 2]


def test_an_exhausted_run_keeps_the_earliest_of_the_best(bench: Bench) -> None:
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([NONE, HALF, NONE, HALF, HALF]))
    assert not outcome.passed
    assert outcome.checkpoint.status == "exhausted"
    assert outcome.checkpoint.best_iteration == 2
    output = json.loads((bench.project.root / "output" / "output_metadata.json").read_text(encoding="utf-8"))
    assert (output["iteration"], output["result"]) == (2, "best_so_far")


def test_no_improvement_is_paid_for_after_the_last_iteration(bench: Bench) -> None:
    bench.rules(max_iterations=2)
    vision = ScriptedVision([NONE])
    bench.run(ScriptedGenerator(), vision)
    assert vision.count("improvement") == 1


def test_the_first_picture_is_made_with_the_configured_settings(bench: Bench) -> None:
    generator = ScriptedGenerator()
    bench.run(generator, ScriptedVision([ALL]))
    sampler = generator.sampler_inputs(0)
    assert (sampler["denoise"], sampler["cfg"], sampler["steps"], sampler["seed"]) == (0.5, 7.0, 8, 1000)
    assert generator.text(0, "9") == "a melted car"
    assert generator.text(0, "10") == "blurry"


@pytest.mark.parametrize(
    ("similarity", "denoise", "cfg"), [(0.9, 0.55, 8.0), (0.85, 0.5, 7.0), (0.3, 0.5, 7.0), (0.1, 0.45, 7.0)]
)
def test_similarity_moves_denoise_and_cfg(bench: Bench, similarity: float, denoise: float, cfg: float) -> None:
    generator = ScriptedGenerator()
    bench.run(generator, ScriptedVision([NONE, ALL], similarity))
    assert (generator.sampler_inputs(1)["denoise"], generator.sampler_inputs(1)["cfg"]) == (denoise, cfg)
    assert (bench.settings()["parameters"]["denoise"], bench.settings()["parameters"]["cfg"]) == (denoise, cfg)


def test_improved_prompts_are_shaped_by_the_tags(bench: Bench) -> None:
    generator = ScriptedGenerator()
    vision = ScriptedVision([NONE, ALL], replies={"improvement": {"positive": "melted car", "negative": "red paint"}})
    bench.run(generator, vision)
    assert generator.text(1, "9") == "car, red paint"
    assert generator.text(1, "10") == "melted"


def test_a_suggestion_is_asked_for_only_outside_the_band_and_taken_where_valid(bench: Bench) -> None:
    inside = ScriptedVision([NONE, ALL], 0.5)
    bench.run(ScriptedGenerator(), inside)
    assert inside.count("suggestion") == 0
    reply = {"steps": 20, "sampler_name": "nonsense", "scheduler": "karras", "denoise": 0.99, "reason": "smoother"}
    outside, generator = ScriptedVision([NONE, ALL], 0.95, replies={"suggestion": reply}), ScriptedGenerator()
    bench.run(generator, outside, reset=True)
    sampler = generator.sampler_inputs(1)
    assert (sampler["steps"], sampler["sampler_name"], sampler["scheduler"]) == (20, "euler", "karras")
    assert sampler["denoise"] == 0.55


def test_locked_parameters_stay(bench: Bench) -> None:
    bench.write("AIGen.yaml", {**_generation(bench), "locked": ["cfg", "steps"]})
    generator = ScriptedGenerator()
    bench.run(generator, ScriptedVision([NONE, ALL], 0.95, replies={"suggestion": {"steps": 20}}))
    sampler = generator.sampler_inputs(1)
    assert (sampler["denoise"], sampler["cfg"], sampler["steps"]) == (0.55, 7.0, 8)


def test_each_decision_says_what_and_why(bench: Bench) -> None:
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([NONE, ALL], 0.95))
    told = [(move.what, move.why) for move in outcome.history[0].decision]
    assert told[0] == ("denoise 0.5 → 0.55", "the picture is too like the original (similarity 0.950, above 0.85)")
    assert told[-1][0] == "positive and negative prompt rewritten"
    assert outcome.history[1].decision == []


def test_empty_prompts_are_made_from_the_description_and_the_tags(bench: Bench) -> None:
    bench.write("AIGen.yaml", {**_generation(bench), "prompts": {}})
    generator = ScriptedGenerator()
    bench.run(generator, ScriptedVision([ALL]))
    assert generator.text(0, "9") == "A car stands in a field, red paint"
    assert generator.text(0, "10") == "melted"


def test_metadata_has_the_keys_of_the_specification(bench: Bench) -> None:
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    path = bench.store.run(outcome.checkpoint.run_id).file("metadata", 1)
    data = json.loads(path.read_text(encoding="utf-8"))
    wanted = (
        "iteration timestamp image_path parameters_used questions evaluation comparison aivis_metadata prompts_used"
    )
    assert set(wanted.split()) <= set(data)
    assert list(data["parameters_used"]) == ["denoise", "cfg", "steps", "seed", "sampler_name", "scheduler"]
    assert set(data["evaluation"]) == {"overall_score", "criteria_results"}
    assert set(data["comparison"]) == {"similarity_score", "differences", "analysis"}
    assert set(data["aivis_metadata"]) == {
        "provider",
        "model",
        "using_fallback",
        "success",
        "attempts",
        "error",
        "cached",
    }
    assert (bench.project.root / data["image_path"]).is_file()
    assert data["usage"] == {"requests": 3, "prompt_tokens": 0, "completion_tokens": 0, "cost": pytest.approx(0.03)}


def test_the_page_gets_its_scripts_and_thumbnails(bench: Bench) -> None:
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([NONE, ALL]))
    run = bench.store.run(outcome.checkpoint.run_id)
    head = (run.root / "run.js").read_text(encoding="ascii")
    assert head.startswith("imagination.receive({") and '"status": "passed"' in head
    assert '"run_id": "' + run.run_id in (bench.workspace.projects / "index.js").read_text(encoding="ascii")
    for number in (1, 2):
        assert (run.root / "scripts" / f"iteration_{number}.js").is_file()
        with Image.open(run.root / "thumbs" / f"iteration_{number}.webp") as thumb:
            assert thumb.format == "WEBP"


def test_markup_in_a_reply_cannot_end_the_script_element(bench: Bench) -> None:
    reply = {"is_red": {"reason": "</script><b>{x}\u2028", "verdict": True}, "same_shape": {"verdict": True}}
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([ALL], replies={"evaluation": reply}))
    run = bench.store.run(outcome.checkpoint.run_id)
    script = (run.root / "scripts" / "iteration_1.js").read_text(encoding="ascii")
    assert "<" not in script and "\\u003c/script>\\u003cb>" in script


# --- failures -------------------------------------------------------------------------------------------------------------


def test_a_failed_generation_is_a_row_and_the_run_goes_on(bench: Bench) -> None:
    generator = ScriptedGenerator({1: ExecutionFailed("KSampler (node 3) failed: out of memory")})
    outcome = bench.run(generator, ScriptedVision([ALL]))
    assert outcome.passed
    assert [(m.status, m.image_path is None) for m in outcome.history] == [("failed", True), ("ok", False)]
    assert "out of memory" in str(outcome.history[0].error)


def test_three_failed_generations_in_a_row_stop_the_run(bench: Bench) -> None:
    gone = ComfyUIUnreachable("ComfyUI is not there", "start it")
    generator = ScriptedGenerator({2: gone, 3: gone, 4: gone})
    stopped = bench.run_stopped(generator, ScriptedVision([NONE]))
    assert isinstance(stopped, ServiceError) and stopped.exit_code == 3
    assert "--project p" in stopped.hint and "start it" in stopped.hint
    assert len(generator.jobs) == 4
    checkpoint = bench.store.read_checkpoint()
    assert checkpoint is not None and (checkpoint.status, checkpoint.last_iteration) == ("stopped", 4)
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    assert outcome.passed and outcome.checkpoint.last_iteration == 5


def test_failed_generations_that_are_not_in_a_row_do_not_stop_the_run(bench: Bench) -> None:
    gone = ComfyUIUnreachable("ComfyUI is not there", "start it")
    outcome = bench.run(ScriptedGenerator({1: gone, 2: gone, 4: gone, 5: gone}), ScriptedVision([HALF]))
    assert [m.status for m in outcome.history] == ["failed", "failed", "ok", "failed", "failed"]
    assert outcome.checkpoint.status == "exhausted"


def test_unjudged_pictures_that_are_not_in_a_row_do_not_stop_the_run(bench: Bench) -> None:
    class Moody(ScriptedVision):
        def ask(self, request: Request) -> Answer:
            if request.purpose == "evaluation" and self.count("evaluation") in (0, 1, 3, 4):
                self.faults["evaluation"] = 1
            return super().ask(request)

    generator = ScriptedGenerator()
    outcome = bench.run(generator, Moody([HALF]))
    assert (outcome.checkpoint.status, len(generator.jobs)) == ("exhausted", 5)


def test_a_rejected_workflow_stops_at_once(bench: Bench) -> None:
    generator = ScriptedGenerator({1: WorkflowRejected("KSampler (node 5): no sampler x")})
    stopped = bench.run_stopped(generator, ScriptedVision([NONE]))
    assert isinstance(stopped, WorkflowRejected)
    assert len(generator.jobs) == 1


def test_an_unjudged_picture_is_kept_and_nothing_is_decided(bench: Bench) -> None:
    generator, vision = ScriptedGenerator(), ScriptedVision([ALL], 0.95, faults={"evaluation": 1})
    outcome = bench.run(generator, vision)
    first = bench.store.run(outcome.checkpoint.run_id).evaluation(1)
    assert first is not None and first.source == "fallback"
    assert first.unanswered == ["is_red", "same_shape"] and first.overall_score == 0
    assert vision.count("improvement") == vision.count("suggestion") == 0
    assert generator.sampler_inputs(1)["denoise"] == 0.5
    assert outcome.checkpoint.best_iteration == 2
    assert outcome.history[0].aivis_metadata.success is False


def test_three_unjudged_pictures_stop_the_run_and_are_judged_first_on_resume(bench: Bench) -> None:
    generator = ScriptedGenerator()
    stopped = bench.run_stopped(generator, ScriptedVision([NONE], faults={"*": -1}))
    assert isinstance(stopped, ServiceError) and len(generator.jobs) == 3
    comparison = bench.store.runs()[0].comparison(1)
    assert comparison is not None and comparison.source == "measured"
    assert comparison.similarity_score == comparison.measured
    assert (bench.project.root / "output" / "output.png").is_file()
    again, vision = ScriptedGenerator(), ScriptedVision([NONE, NONE, ALL])
    outcome = bench.run(again, vision)
    assert outcome.passed and outcome.checkpoint.best_iteration == 3
    assert again.jobs == []
    assert vision.count("evaluation") == vision.count("questions") == vision.count("comparison") == 3


def test_a_comparison_that_fails_moves_no_settings(bench: Bench) -> None:
    generator = ScriptedGenerator()
    bench.run(generator, ScriptedVision([NONE, ALL], faults={"comparison": 1}))
    assert (generator.sampler_inputs(1)["denoise"], generator.sampler_inputs(1)["cfg"]) == (0.5, 7.0)
    assert "red paint" in generator.text(1, "9")


def test_prompts_stay_when_no_improvement_comes(bench: Bench) -> None:
    generator = ScriptedGenerator()
    outcome = bench.run(generator, ScriptedVision([NONE, ALL], faults={"improvement": 1}))
    assert generator.text(1, "9") == "a car, red paint"  # only the tags were applied
    assert outcome.history[0].decision[-1].why == "the vision model gave no better ones"


# --- resuming -------------------------------------------------------------------------------------------------------------


def test_a_finished_run_is_left_alone_and_its_output_kept(bench: Bench) -> None:
    first = bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    second = bench.run(ScriptedGenerator(), ScriptedVision([NONE, ALL]))
    assert first.checkpoint.run_id != second.checkpoint.run_id
    kept = bench.store.run(first.checkpoint.run_id).root / "output"
    assert json.loads((kept / "output_metadata.json").read_text(encoding="utf-8"))["run_id"] == first.checkpoint.run_id


def test_an_exhausted_run_goes_on_when_more_iterations_are_allowed(bench: Bench) -> None:
    bench.rules(max_iterations=2)
    first = bench.run(ScriptedGenerator(), ScriptedVision([NONE], 0.95))
    bench.rules(max_iterations=4)
    generator, vision = ScriptedGenerator(), ScriptedVision([ALL])
    second = bench.run(generator, vision)
    assert second.checkpoint.run_id == first.checkpoint.run_id
    assert second.checkpoint.last_iteration == 3
    assert vision.count("improvement") == 1  # the one that was not needed before
    assert generator.sampler_inputs(0)["denoise"] == 0.6


def test_an_interrupted_generation_is_collected_instead_of_made_again(bench: Bench) -> None:
    bench.run_stopped(ScriptedGenerator({2: KeyboardInterrupt()}), ScriptedVision([NONE]))
    checkpoint = bench.store.read_checkpoint()
    assert checkpoint is not None and checkpoint.pending is not None and checkpoint.status == "stopped"
    again = ScriptedGenerator()
    again.finished[str(checkpoint.pending.prompt_id)] = picture(7)
    outcome = bench.run(again, ScriptedVision([ALL]))
    assert again.jobs == [] and again.collected == ["job-2"]
    assert bench.store.run(outcome.checkpoint.run_id).read_image(2) == picture(7)
    assert outcome.history[1].parameters_used["seed"] == 1001


def test_a_lost_job_is_made_again_with_the_same_seed_and_another_id(bench: Bench) -> None:
    bench.run_stopped(ScriptedGenerator({2: KeyboardInterrupt()}), ScriptedVision([NONE]))
    again = ScriptedGenerator()
    bench.run(again, ScriptedVision([ALL]))
    assert again.jobs[0]["prompt_id"] == "job-3"
    assert again.sampler_inputs(0)["seed"] == 1001


@pytest.mark.parametrize("purpose", ["questions", "comparison", "evaluation", "improvement", "suggestion"])
def test_a_run_killed_at_a_question_asks_nothing_twice(bench: Bench, purpose: str) -> None:
    class Killed(ScriptedVision):
        def ask(self, request):  # type: ignore[no-untyped-def]
            if request.purpose == purpose:
                raise KeyboardInterrupt
            return super().ask(request)

    first, generator = Killed([NONE, ALL], 0.95), ScriptedGenerator()
    assert isinstance(bench.run_stopped(generator, first), KeyboardInterrupt)
    second, again = ScriptedVision([ALL] if first.count("evaluation") else [NONE, ALL], 0.95), ScriptedGenerator()
    outcome = bench.run(again, second)
    assert outcome.passed and outcome.checkpoint.last_iteration == 2
    assert len(generator.jobs) + len(again.jobs) == 2
    for kind, times in (("description", 1), ("questions", 2), ("comparison", 2), ("evaluation", 2), ("improvement", 1)):
        assert first.count(kind) + second.count(kind) == times, kind
    assert again.sampler_inputs(len(again.jobs) - 1)["denoise"] == 0.55


def test_changed_rules_stop_an_unfinished_run_and_name_the_two_ways_on(bench: Bench) -> None:
    bench.run_stopped(ScriptedGenerator({2: KeyboardInterrupt()}), ScriptedVision([NONE]))
    _ask_differently(bench)
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]))
    assert isinstance(stopped, ConfigError)
    assert "criteria" in stopped.message and "--resume-from 2" in stopped.hint and "--reset" in stopped.hint


def test_resume_from_keeps_earlier_iterations_and_sets_the_rest_aside(bench: Bench) -> None:
    first = bench.run(ScriptedGenerator(), ScriptedVision([NONE, NONE, HALF, NONE, NONE], 0.95))
    _ask_differently(bench)
    generator = ScriptedGenerator()
    outcome = bench.run(generator, ScriptedVision([ALL]), resume_from=3)
    assert outcome.checkpoint.run_id == first.checkpoint.run_id
    assert [m.iteration for m in outcome.history] == [1, 2, 3]
    used = first.history[2].parameters_used
    assert {k: generator.sampler_inputs(0)[k] for k in ("denoise", "cfg", "seed")} == {
        k: used[k] for k in ("denoise", "cfg", "seed")
    }
    aside = next((bench.store.run(first.checkpoint.run_id).root / "superseded").iterdir())
    assert sorted(p.name for p in (aside / "images").iterdir()) == [f"iteration_{n}.png" for n in (3, 4, 5)]


def test_resume_from_beyond_the_run_is_refused(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]), resume_from=9)
    assert isinstance(stopped, ConfigError) and "1 to 2" in stopped.hint


def test_reset_archives_the_flat_layout_and_deletes_nothing(bench: Bench) -> None:
    (bench.store.working).mkdir()
    (bench.store.working / "iteration_1.png").write_bytes(picture(1))
    (bench.store.working / "iteration_1_evaluation.json").write_text("{}", encoding="utf-8")
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]), reset=True)
    archive = bench.store.runs()[0]
    assert archive.image_file(1).read_bytes() == picture(1)
    assert archive.file("evaluation", 1).is_file()
    assert len(bench.store.runs()) == 2


def test_a_newer_checkpoint_is_refused(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    path = bench.store.working / "checkpoint.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 1', '"format": 2'), encoding="utf-8")
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]))
    assert isinstance(stopped, StoreError) and "newer" in stopped.message


def test_the_settings_snapshot_has_no_key(bench: Bench) -> None:
    bench.write("AIVis.yaml", {**VISION, "api_key": "sk-very-secret"})
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    run = bench.store.run(outcome.checkpoint.run_id)
    assert sorted(p.name for p in (run.root / "inputs").iterdir()) == [
        "AIGen.yaml",
        "AIVis.yaml",
        "input.png",
        "prompts.yaml",
        "rules.yaml",
    ]
    texts = [p.read_bytes() for p in bench.store.working.rglob("*") if p.is_file()]
    assert not any(b"sk-very-secret" in text for text in texts)


def test_two_runs_of_one_project_are_kept_apart(bench: Bench) -> None:
    with bench.store.lock(), pytest.raises(
        StoreError, match=r"another run is at work on p \(process \d+"
    ), bench.store.lock():
        pass


def _generation(bench: Bench) -> dict:  # type: ignore[type-arg]
    import yaml

    return dict(yaml.safe_load((bench.project.root / "config" / "AIGen.yaml").read_text(encoding="utf-8")))


def _ask_differently(bench: Bench) -> None:
    path = bench.project.root / "config" / "rules.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("Is it red?", "Is it bright red?"), encoding="utf-8")


def test_a_pass_under_other_rules_is_no_pass(bench: Bench) -> None:
    first = bench.run(ScriptedGenerator(), ScriptedVision([NONE, ALL]))
    _ask_differently(bench)
    generator = ScriptedGenerator()
    outcome = bench.run(generator, ScriptedVision([HALF]), resume_from=3)
    assert outcome.checkpoint.run_id == first.checkpoint.run_id
    assert not outcome.passed and len(generator.jobs) == 3
    assert outcome.checkpoint.best_iteration == 3


def test_edits_made_while_the_run_stood_still_are_used(bench: Bench) -> None:
    bench.run_stopped(ScriptedGenerator({2: KeyboardInterrupt()}), ScriptedVision([NONE]))
    path = bench.store.generation_file
    path.write_text(path.read_text(encoding="utf-8").replace("steps: 8", "steps: 11"), encoding="utf-8")
    generator = ScriptedGenerator()
    outcome = bench.run(generator, ScriptedVision([ALL]))
    assert (generator.sampler_inputs(0)["steps"], generator.sampler_inputs(0)["seed"]) == (11, 1001)
    assert outcome.history[1].parameters_used["steps"] == 11


def test_the_output_tells_what_was_judged_later(bench: Bench) -> None:
    bench.run_stopped(ScriptedGenerator(), ScriptedVision([NONE], faults={"*": -1}))
    bench.rules(max_iterations=3)
    bench.run(ScriptedGenerator(), ScriptedVision([HALF]))
    output = json.loads((bench.project.root / "output" / "output_metadata.json").read_text(encoding="utf-8"))
    assert (output["iteration"], output["evaluation"]["overall_score"]) == (1, 50.0)


def test_the_output_tells_what_was_judged_later_also_when_the_run_is_stopped_then(bench: Bench) -> None:
    bench.run_stopped(ScriptedGenerator(), ScriptedVision([NONE], faults={"*": -1}))
    bench.run_stopped(ScriptedGenerator({1: KeyboardInterrupt()}), ScriptedVision([HALF]))
    output = json.loads((bench.project.root / "output" / "output_metadata.json").read_text(encoding="utf-8"))
    assert (output["iteration"], output["evaluation"]["overall_score"]) == (1, 50.0)


def test_a_criterion_that_is_never_answered_is_warned_of_once(bench: Bench) -> None:
    heard: List[str] = []

    class Ear(Observer):
        def warned(self, text: str) -> None:
            heard.append(text)

    bench.run(ScriptedGenerator(), ScriptedVision([{"is_red": None, "same_shape": True}]), observer=Ear())
    assert len(heard) == 1 and heard[0].startswith("is_red: no answer in 3 iterations in a row")


def test_prompts_that_are_not_configured_stay_the_workflows_own(bench: Bench) -> None:
    import yaml

    workflow = json.loads(bench.project.lookup("workflow/img2img_no_mask_api.json").read_text(encoding="utf-8"))
    workflow["9"]["inputs"]["text"], workflow["10"]["inputs"]["text"] = "mine", "not mine"
    (bench.project.root / "own.json").write_text(json.dumps(workflow), encoding="utf-8")
    settings = {k: v for k, v in _generation(bench).items() if k != "prompts"}
    bench.write("AIGen.yaml", {**settings, "workflow_file": "own.json"})
    generator = ScriptedGenerator()
    bench.run(generator, ScriptedVision([NONE, ALL]))
    assert (generator.text(0, "9"), generator.text(0, "10")) == ("mine", "not mine")
    assert yaml.safe_load(bench.store.generation_file.read_text(encoding="utf-8"))["prompts"]["positive"] != "mine"


def test_the_last_pictures_are_judged_before_a_run_is_called_exhausted(bench: Bench) -> None:
    bench.rules(max_iterations=2)
    vision = ScriptedVision([HALF], faults={"evaluation": 2})
    outcome = bench.run(ScriptedGenerator(), vision)
    assert outcome.checkpoint.status == "exhausted" and outcome.checkpoint.best_score == 50.0
    assert vision.count("evaluation") == 4


def test_a_run_whose_pictures_nobody_judged_is_not_over(bench: Bench) -> None:
    bench.rules(max_iterations=1)
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL], faults={"*": -1}))
    assert isinstance(stopped, ServiceError) and "--project p" in stopped.hint
    again = ScriptedGenerator()
    assert bench.run(again, ScriptedVision([ALL])).passed and again.jobs == []


def test_the_server_is_where_the_configuration_says_also_in_mid_run(bench: Bench) -> None:
    bench.run_stopped(ScriptedGenerator({2: KeyboardInterrupt()}), ScriptedVision([NONE]))
    bench.write("AIGen.yaml", {**GENERATION, "comfyui": {"host": "moved", "port": 9000}})
    setup = read_setup(bench.project, bench.store.generation_file)
    assert (setup.generation.comfyui.host, setup.generation.comfyui.port) == ("moved", 9000)


def test_damaged_parameters_on_record_are_a_store_error(bench: Bench) -> None:
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([NONE]))
    path = bench.store.run(outcome.checkpoint.run_id).file("metadata", 2)
    path.write_text(path.read_text(encoding="utf-8").replace('"denoise": 0.5', '"denoise": "x"'), encoding="utf-8")
    bench.rules(max_iterations=9)
    assert isinstance(bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL])), StoreError)
