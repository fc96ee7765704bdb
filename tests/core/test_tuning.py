"""The spec's arithmetic: how the likeness of result and original moves denoise and cfg, and what of a suggestion is taken."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import pytest

from imagination.decide import in_force
from imagination.model import Attempt, CallRecord, Comparison, Evaluation, Generation, Parameters, Prompts, Sampling
from imagination.tuning import Plan, SpecStrategy, accept_suggestion, nudge, outside_band

CALL = CallRecord(provider="ollama", model="eyes")
Pair = Tuple[Optional[float], Optional[float]]


@pytest.mark.parametrize(
    ("similarity", "before", "after"),
    [
        (1.0, (0.5, 7.0), (0.55, 8.0)),
        (0.86, (0.5, 7.0), (0.55, 8.0)),
        (0.8501, (0.5, 7.0), (0.55, 8.0)),
        (0.85, (0.5, 7.0), (0.5, 7.0)),  # at the bounds nothing moves
        (0.5, (0.5, 7.0), (0.5, 7.0)),
        (0.3, (0.5, 7.0), (0.5, 7.0)),
        (0.2999, (0.5, 7.0), (0.45, 7.0)),
        (0.0, (0.5, 7.0), (0.45, 7.0)),
        (1.0, (0.98, 19.5), (1.0, 20.0)),  # clamped to 0..1 and 1..20
        (1.0, (1.0, 20.0), (1.0, 20.0)),
        (0.0, (0.03, 1.0), (0.0, 1.0)),
        (0.0, (0.0, 1.0), (0.0, 1.0)),
        (1.0, (0.1, 1.5), (0.15, 2.5)),
        (1.0, (None, 7.0), (None, 8.0)),  # what the workflow has no place for stays away
        (1.0, (0.5, None), (0.55, None)),
        (0.0, (None, None), (None, None)),
    ],
)
def test_likeness_moves_denoise_and_cfg_as_the_spec_says(similarity: float, before: Pair, after: Pair) -> None:
    moved = nudge(Sampling(denoise=before[0], cfg=before[1], steps=25, seed=7), similarity)
    assert moved == Sampling(denoise=after[0], cfg=after[1], steps=25, seed=7)
    assert all(value is None or isinstance(value, float) for value in (moved.denoise, moved.cfg))


def test_steps_of_a_twentieth_do_not_gather_rounding_errors() -> None:
    sampling, seen = Sampling(denoise=0.0, cfg=1.0), []
    for _ in range(20):
        sampling = nudge(sampling, 1.0)
        seen.append(sampling.denoise)
    assert seen == [round(n * 0.05, 2) for n in range(1, 21)]
    assert sampling.cfg == 20.0


@pytest.mark.parametrize(
    ("similarity", "outside"), [(0.851, True), (0.85, False), (0.3, False), (0.299, True), (1.0, True), (0.0, True)]
)
def test_the_band_includes_its_bounds(similarity: float, outside: bool) -> None:
    assert outside_band(similarity) is outside


# --- the strategy -------------------------------------------------------------------------------------------------------


def attempt(similarity: float, source: str = "aivis", **sampling: Any) -> Attempt:
    evaluation = Evaluation(
        iteration=1,
        source="aivis",
        overall_score=50.0,
        criteria_results={"a": True, "b": False},
        values={},
        reasons={},
        passed_fields=["a"],
        failed_fields=["b"],
        unanswered=[],
        aivis_metadata=CALL,
    )
    comparison = Comparison(
        iteration=1,
        source=source,  # type: ignore[arg-type]
        similarity_score=similarity,
        differences=[],
        analysis="",
        measured=0.5,
        aivis_metadata=CALL,
    )
    return Attempt(1, Sampling(**{"denoise": 0.5, "cfg": 7.0, **sampling}), Prompts(), evaluation, comparison)


def planned(found: Attempt, *locked: str) -> Tuple[Plan, List[str]]:
    plan = SpecStrategy().next([found], locked)
    return plan, [move.what for move in plan.moves]


def test_each_move_is_told_with_its_reason() -> None:
    plan, told = planned(attempt(0.9))
    assert told == ["denoise 0.5 → 0.55", "cfg 7 → 8"]
    assert {move.why for move in plan.moves} == {"the picture is too like the original (similarity 0.900, above 0.85)"}


@pytest.mark.parametrize(
    ("found", "locked", "why"),
    [
        (attempt(0.5), (), "similarity 0.500 is within 0.30 to 0.85: only the prompts are worked on"),
        (attempt(0.9), ("denoise", "cfg"), "above 0.85); what could help is locked"),
        (attempt(0.1), ("denoise",), "below 0.30); what could help is locked"),
        (attempt(0.9, denoise=1.0, cfg=20.0), (), "above 0.85); there is no further step to take"),
        (attempt(0.1, denoise=0.0), (), "below 0.30); there is no further step to take"),
    ],
)
def test_where_nothing_moves_it_is_said_why(found: Attempt, locked: Tuple[str, ...], why: str) -> None:
    plan, told = planned(found, *locked)
    assert told == ["denoise and cfg unchanged"]
    assert plan.moves[0].why.endswith(why)
    assert plan.sampling == found.sampling


def test_a_locked_parameter_stays_and_the_other_moves() -> None:
    assert planned(attempt(0.9), "cfg") == planned(attempt(0.9), "cfg", "steps")
    assert planned(attempt(0.9), "cfg")[1] == ["denoise 0.5 → 0.55"]


@pytest.mark.parametrize("similarity", [0.0, 0.5, 1.0])
def test_a_likeness_measured_from_pixels_moves_nothing(similarity: float) -> None:
    plan, told = planned(attempt(similarity, source="measured"))
    assert (plan.sampling, told) == (attempt(0.5).sampling, ["settings unchanged"])


# --- suggestions --------------------------------------------------------------------------------------------------------

CHOICES = {"sampler_name": ("euler", "dpmpp_2m"), "scheduler": ("normal", "karras")}
NOW = Sampling(denoise=0.5, cfg=7.0, steps=25, seed=1, sampler_name="euler", scheduler="normal")


@pytest.mark.parametrize(
    ("suggestion", "locked", "taken"),
    [
        ({"steps": 30, "sampler_name": "dpmpp_2m", "scheduler": "karras"}, (), ["steps", "sampler_name", "scheduler"]),
        ({"steps": None, "sampler_name": None, "scheduler": None}, (), []),
        ({}, (), []),
        ({"steps": 25, "sampler_name": "euler"}, (), []),  # what is in force already is no move
        ({"steps": 1}, (), ["steps"]),
        ({"steps": 150}, (), ["steps"]),
        ({"steps": 151}, (), []),
        ({"steps": 0}, (), []),
        ({"steps": True}, (), []),
        ({"steps": "30"}, (), []),
        ({"sampler_name": "no such", "scheduler": "Karras"}, (), []),
        ({"sampler_name": ["dpmpp_2m"]}, (), []),
        ({"steps": 30, "scheduler": "karras"}, ("steps",), ["scheduler"]),
        ({"denoise": 0.9, "cfg": 3.0, "seed": 5}, (), []),  # the strategy's, and nobody's
    ],
)
def test_of_a_suggestion_only_what_is_valid_is_taken(
    suggestion: Dict[str, Any], locked: Tuple[str, ...], taken: List[str]
) -> None:
    plan = accept_suggestion(NOW, suggestion, CHOICES, locked)
    expected = {**NOW.as_dict(), **{name: suggestion[name] for name in taken}}
    assert plan.sampling.as_dict() == expected
    assert [move.what.split()[0] for move in plan.moves] == taken


def test_a_suggestion_for_what_the_workflow_has_no_place_for_is_left_out() -> None:
    plan = accept_suggestion(Sampling(denoise=0.5), {"steps": 30, "scheduler": "karras"}, CHOICES, ())
    assert (plan.sampling, plan.moves) == (Sampling(denoise=0.5), ())


def test_the_models_reason_is_told_on_one_line_and_not_at_any_length() -> None:
    plan = accept_suggestion(NOW, {"steps": 30, "reason": "more\n detail " + "x" * 500}, CHOICES, ())
    assert plan.moves[0].what == "steps 25 → 30"
    assert plan.moves[0].why.startswith("more detail x") and len(plan.moves[0].why) == 200


# --- what is written to working/AIGen.yaml ------------------------------------------------------------------------------


def generation(**parameters: Any) -> Generation:
    return Generation(workflow_file="w.json", parameters=Parameters(**parameters))


@pytest.mark.parametrize(
    ("configured", "used", "wanted", "expected"),
    [
        ({"denoise": 0.5}, {"denoise": 0.5, "cfg": 7.0}, {"denoise": 0.55, "cfg": 8.0}, {"denoise": 0.55, "cfg": 8.0}),
        ({"denoise": 0.5}, {"denoise": 0.5, "cfg": 7.0}, {"denoise": 0.55, "cfg": 7.0}, {"denoise": 0.55}),
        ({"cfg": 7.0}, {"cfg": 7.0, "seed": 99}, {"cfg": 7.0, "seed": 99}, {"cfg": 7.0}),  # a drawn seed is no setting
        ({"seed": 5}, {"seed": 5}, {"seed": 5}, {"seed": 5}),
    ],
)
def test_only_what_was_configured_or_moved_is_written(
    configured: Dict[str, Any], used: Dict[str, Any], wanted: Dict[str, Any], expected: Dict[str, Any]
) -> None:
    prompts = Prompts(positive="new")
    got = in_force(generation(**configured), Sampling(**used), Sampling(**wanted), prompts)
    assert got.parameters.model_dump(exclude_none=True) == expected
    assert got.prompts == prompts
