"""What the user writes into working/AIGen.yaml while a run is at work."""

from __future__ import annotations

import copy
from typing import Any, Dict, List, Optional

import pytest
import yaml
from scripted import ALL, GENERATION, NONE, RULES, Bench, ScriptedGenerator, ScriptedVision

from imagination.decide import Decider
from imagination.errors import ExecutionFailed
from imagination.judge import Judge
from imagination.loop import Observer
from imagination.model import Attempt, Checkpoint, Evaluation, Metadata, Sampling
from imagination.setup import read_setup
from imagination.tuning import SpecStrategy


class Editor(Observer):
    """Edits the settings in force when the picture of `iteration` has been judged, that is before the next is decided."""

    def __init__(self, bench: Bench, iteration: int, **parameters: Any) -> None:
        self.bench = bench
        self.iteration = iteration
        self.parameters = parameters
        self.prompts: Dict[str, str] = {}

    def iteration_ends(self, metadata: Metadata, evaluation: Optional[Evaluation], checkpoint: Checkpoint) -> None:
        if metadata.iteration == self.iteration:
            settings = self.bench.settings()
            settings["parameters"].update(self.parameters)
            settings["prompts"].update(self.prompts)
            self.bench.store.generation_file.write_text(yaml.safe_dump(settings), encoding="utf-8")


@pytest.mark.parametrize("similarity", [0.9, 0.5])
def test_an_edit_is_in_force_from_the_next_iteration_on(bench: Bench, similarity: float) -> None:
    generator, vision = ScriptedGenerator(), ScriptedVision([NONE, NONE, ALL], similarity)
    outcome = bench.run(generator, vision, observer=Editor(bench, 1, cfg=12.0, scheduler="karras"))
    assert (generator.sampler_inputs(0)["cfg"], generator.sampler_inputs(0)["scheduler"]) == (7.0, "normal")
    assert (generator.sampler_inputs(1)["cfg"], generator.sampler_inputs(1)["scheduler"]) == (12.0, "karras")
    # the strategy goes on from there, and moves what was not edited
    assert generator.sampler_inputs(2)["cfg"] == (13.0 if similarity > 0.85 else 12.0)
    assert generator.sampler_inputs(1)["denoise"] == (0.55 if similarity > 0.85 else 0.5)
    told = {move.what: move.why for move in outcome.history[0].decision}
    assert told["cfg 7.0 → 12.0"] == "edited in working/AIGen.yaml"
    assert "cfg 7 → 8" not in told


def test_edited_prompts_are_what_is_improved_next(bench: Bench) -> None:
    vision = ScriptedVision([NONE, ALL], replies={"improvement": {"positive": "", "negative": "blurry"}})
    generator, editor = ScriptedGenerator(), Editor(bench, 1)
    editor.prompts = {"positive": "a steam engine, red paint"}
    bench.run(generator, vision, observer=editor)
    (asked,) = [request for request in vision.asked if request.purpose == "improvement"]
    assert "a steam engine, red paint" in asked.instruction
    assert generator.text(1, "9") == "a steam engine, red paint"


@pytest.mark.parametrize("edit", [{}, {"cfg": 12.0}])
def test_a_decision_made_anew_after_a_kill_is_the_same(bench: Bench, edit: Dict[str, Any]) -> None:
    vision = ScriptedVision([NONE], 0.9)
    bench.rules(max_iterations=1)
    run = bench.store.run(bench.run(ScriptedGenerator(), vision).checkpoint.run_id)
    metadata, evaluation, comparison = run.metadata(1), run.evaluation(1), run.comparison(1)
    assert metadata and evaluation and comparison
    judged = Attempt(1, Sampling(**metadata.parameters_used), metadata.prompts_used, evaluation, comparison)
    decider = decider_of(bench, vision)
    found = bench.store.read_generation()
    found = found.model_copy(update={"parameters": found.parameters.model_copy(update=edit)})
    first = decider.decide([judged], found, None)
    again = decider.decide([judged], first.generation, first.pending)
    assert (again.generation, again.moves) == (first.generation, first.moves)
    assert vision.count("improvement") == 1


def decider_of(bench: Bench, vision: ScriptedVision) -> Decider:
    setup = read_setup(bench.project, None)
    return Decider(
        strategy=SpecStrategy(),
        judge=Judge(vision, setup.templates, setup.rules),
        criteria=setup.rules.acceptance_criteria,
        choices={},
        keep=lambda pending: None,
        asking=lambda purpose: None,
        warn=lambda text: None,
    )


def test_nothing_is_called_edited_that_was_not(bench: Bench) -> None:
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([NONE, NONE, ALL], 0.9))
    assert not [move for m in outcome.history for move in m.decision if "edited" in move.why]


# --- while the run stands still ---------------------------------------------------------------------------------------


class Heard(Observer):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: List[str] = []

    def warned(self, text: str) -> None:
        self.warnings.append(text)


def stopped_in(bench: Bench, iteration: int) -> None:
    """A run that was stopped while the picture of `iteration` was made."""
    given = {"strategy": "adaptive", "confirmations": 0, "judge_check": False, "final_comparison": False}
    bench.rules(**given, max_iterations=3)
    bench.run_stopped(ScriptedGenerator({iteration: KeyboardInterrupt()}), ScriptedVision([NONE]))


def tagged(bench: Bench) -> None:
    rules: Dict[str, Any] = copy.deepcopy(RULES)
    rules["project"].update(strategy="adaptive", confirmations=0, judge_check=False, max_iterations=3)
    rules["acceptance_criteria"][0]["must_include"] = ["red paint", "glossy"]
    bench.write("rules.yaml", rules)


@pytest.mark.parametrize("iteration", [1, 2])
def test_prompts_that_other_tags_shape_are_not_called_the_users_edit(bench: Bench, iteration: int) -> None:
    stopped_in(bench, iteration)
    tagged(bench)
    heard, generator = Heard(), ScriptedGenerator()
    bench.run(generator, ScriptedVision([ALL]), resume_from=iteration, observer=heard)
    changed = "tags or strategy in rules.yaml changed"
    assert heard.warnings == [f"iteration {iteration} gets other prompts than it was begun with: {changed}"]
    assert "glossy" in generator.text(0, "9")


def test_an_opening_prompt_that_other_tags_shape_is_told_of(bench: Bench) -> None:
    bench.write("AIGen.yaml", {**GENERATION, "prompts": {"positive": "", "negative": ""}})
    stopped_in(bench, 1)
    tagged(bench)
    heard = Heard()
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]), resume_from=1, observer=heard)
    assert heard.warnings == [
        "iteration 1 gets other prompts than it was begun with: the original or rules.yaml changed"
    ]


@pytest.mark.parametrize("tags", [False, True])
def test_what_the_user_edited_is_told_of_as_such(bench: Bench, tags: bool) -> None:
    stopped_in(bench, 2)
    settings = bench.settings()
    settings["prompts"]["positive"] = "a steam engine, red paint"
    settings["parameters"]["cfg"] = 9.0
    bench.store.generation_file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    if tags:
        tagged(bench)
    heard = Heard()
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]), resume_from=2, observer=heard)
    assert heard.warnings == ["iteration 2 uses your edits of working/AIGen.yaml: cfg, prompts"]


def test_where_nothing_changed_nothing_is_told(bench: Bench) -> None:
    stopped_in(bench, 1)
    heard = Heard()
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]), observer=heard)
    assert heard.warnings == []


# --- the same again ---------------------------------------------------------------------------------------------------

SAME = {"improvement": {"positive": "a car, red paint", "negative": "blurry, melted"}}


def fixed(bench: Bench, **settings: Any) -> None:
    generation: Dict[str, Any] = copy.deepcopy(GENERATION)
    generation["parameters"]["seed"] = 5
    generation["prompts"] = {"positive": "a car, red paint", "negative": "blurry, melted"}
    bench.write("AIGen.yaml", {**generation, **settings})


@pytest.mark.parametrize("locked", [["denoise", "cfg"], []])
def test_a_picture_that_would_come_again_is_warned_of_once(bench: Bench, locked: List[str]) -> None:
    fixed(bench, locked=locked)
    bench.rules(max_iterations=4)
    heard, generator = Heard(), ScriptedGenerator()
    bench.run(generator, ScriptedVision([NONE], replies=SAME), observer=heard)
    (warning,) = heard.warnings
    told = "iteration 2 has the settings, seed and prompts of iteration 1, so its picture will be the same"
    seed = "in working/AIGen.yaml parameters.seed is fixed at 5"
    assert warning.startswith(f"{told}; {seed}") and "seed: null there gives another picture each time" in warning
    assert ("and locked holds denoise, cfg" in warning) is bool(locked) is ("take from locked what may move" in warning)
    assert len(generator.jobs) == 4


@pytest.mark.parametrize(
    ("seed", "similarity", "replies"),
    [(None, 0.5, SAME), (5, 0.9, SAME), (5, 0.5, None)],
    ids=["another seed", "other settings", "other prompts"],
)
def test_another_picture_is_not_warned_of(bench: Bench, seed: Optional[int], similarity: float, replies: Any) -> None:
    fixed(bench)
    generation = yaml.safe_load((bench.project.root / "config" / "AIGen.yaml").read_text(encoding="utf-8"))
    generation["parameters"]["seed"] = seed
    bench.write("AIGen.yaml", generation)
    bench.rules(max_iterations=3)
    heard = Heard()
    bench.run(ScriptedGenerator(), ScriptedVision([NONE], similarity, replies=replies), observer=heard)
    assert heard.warnings == []


def test_a_picture_that_failed_may_come_again(bench: Bench) -> None:
    fixed(bench)
    bench.rules(max_iterations=2)
    heard, faults = Heard(), {1: ExecutionFailed("KSampler (node 3): out of memory")}
    bench.run(ScriptedGenerator(faults), ScriptedVision([NONE], replies=SAME), observer=heard)
    assert heard.warnings == []
