"""ComfyUI's refusals in words: each kind that was recorded names node, input, value and choices in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict

import pytest

from imagination.errors import ExecutionFailed, JobCancelled
from imagination.execution import State, begin
from imagination.rejection import affects, explain_end, explain_rejection, lost_uploads, offered_values

DATA = Path(__file__).parents[1] / "data" / "comfyui"
RECORDED: Dict[str, Any] = {
    r["note"]: r["body"] for r in json.loads((DATA / "rejections.json").read_text(encoding="utf-8"))
}
WORKFLOW = json.loads((DATA / "run.json").read_text(encoding="utf-8"))["workflow"]
FILES = "not_a_model.safetensors, tiny_sd15.safetensors, truncated.safetensors"
LONG_LIST = next(note for note in RECORDED if note.startswith("long list"))
PARTLY = next(note for note in RECORDED if note.startswith("two outputs"))


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (
            "unknown checkpoint",
            f"CheckpointLoaderSimple (node 4): ckpt_name 'no_such.safetensors' is not one of: {FILES}",
        ),
        ("below the minimum", "KSampler (node 3): steps 0 is out of range: 1 to 10000"),
        ("above the maximum", "KSampler (node 3): denoise 1.5 is out of range: 0.0 to 1.0"),
        ("text where a number belongs", "KSampler (node 3): steps wants INT, got 'many'"),
        ("input image not there", "LoadImage (node 1): image - Invalid image file: no_such.png"),
        ("missing link: required input left out", "KSampler (node 3): positive is missing"),
        ("link to a node that does not exist", "KSampler (node 3): a link leads to node 99, which does not exist"),
        (
            "link to an output of the wrong type",
            "KSampler (node 3): wrong link at positive: it wants CONDITIONING, got 'MODEL'",
        ),
        (
            "a link of the wrong length",
            "KSampler (node 3): wrong link at positive: ['9'] is not [node id, output number]",
        ),
        ("unknown class_type", "Cannot execute because node NoSuchNode does not exist. Node ID '#3'"),
        ("no output node", "Prompt has no outputs"),
        ("a loop in the graph", "Prompt outputs failed validation, with no reason given (a loop in the graph?)"),
        ("no prompt in the body", "No prompt provided"),
    ],
)
def test_each_recorded_rejection_is_said_in_one_line(note: str, said: str) -> None:
    error = explain_rejection(RECORDED[note], WORKFLOW)
    assert error.message == f"ComfyUI rejects the workflow: {said}"
    assert error.hint


def test_all_wrong_nodes_are_named_together() -> None:
    message = explain_rejection(RECORDED["three wrong values at once: all three nodes are reported"], WORKFLOW).message
    assert all(f"(node {node_id})" in message for node_id in ("4", "1", "3"))
    assert "\n" not in message


def test_the_error_carries_comfyuis_own_account() -> None:
    assert set(explain_rejection(RECORDED["below the minimum"], WORKFLOW).node_errors) == {"3"}


def test_a_list_that_comfyui_left_out_is_asked_for_and_the_nearest_names_are_shown() -> None:
    asked = []

    def choices(class_type: str, input_name: str) -> Any:
        asked.append((class_type, input_name))
        return [f"sampler_{n}" for n in range(40)]

    message = explain_rejection(RECORDED[LONG_LIST], WORKFLOW, choices).message
    assert asked == [("KSampler", "sampler_name")]
    assert "sampler_name 'no_such_sampler' is not one of: " in message
    assert message.endswith("... (40 in all)")
    assert message.count("sampler_") < 10


def test_the_editors_format_and_a_missing_node_have_a_hint_of_their_own() -> None:
    assert "Export (API)" in explain_rejection(RECORDED["unknown class_type"], WORKFLOW).hint
    assert "SaveImage" in explain_rejection(RECORDED["no output node"], WORKFLOW).hint


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {},
        {"error": "text"},
        {"error": None, "node_errors": []},
        {"node_errors": {"3": None}},
        {"node_errors": {"3": {"errors": "x"}}},
        {"node_errors": {"3": {"errors": [None]}}},
        {"node_errors": {"3": {"errors": [{"type": "value_not_in_list", "extra_info": None}]}}},
        {
            "node_errors": {
                "3": {"errors": [{"type": "value_bigger_than_max", "extra_info": {"input_config": ["INT"]}}]}
            }
        },
        {"node_errors": {"3": {"errors": [{"type": "brand_new", "message": "Something"}]}}},
    ],
)
def test_a_rejection_of_any_shape_is_still_told_in_one_line(body: Any) -> None:
    message = explain_rejection(body, WORKFLOW).message
    assert message.startswith("ComfyUI rejects the workflow: ")
    assert "\n" not in message


@pytest.mark.parametrize(("output_node", "ours"), [("6", False), ("11", True)])
def test_node_errors_of_an_accepted_prompt_matter_only_to_their_output(output_node: str, ours: bool) -> None:
    assert affects(RECORDED[PARTLY]["node_errors"], WORKFLOW, output_node) is ours


def test_node_errors_without_dependents_are_traced_through_the_links() -> None:
    assert affects({"3": {}}, WORKFLOW, "6")
    assert not affects({}, WORKFLOW, "6")
    assert not affects(None, WORKFLOW, "6")


def test_a_lost_upload_is_told_from_other_rejections() -> None:
    lost = explain_rejection(RECORDED["input image not there"], WORKFLOW)
    assert lost_uploads(lost, WORKFLOW) == {WORKFLOW["1"]["inputs"]["image"]}
    assert lost_uploads(explain_rejection(RECORDED["below the minimum"], WORKFLOW), WORKFLOW) == set()


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ([["a", "b"], {}], ("a", "b")),
        (["COMBO", {"options": ["a", "b"]}], ("a", "b")),
        (["INT", {"min": 1}], ()),
        ([[]], ()),
        (None, ()),
    ],
)
def test_choices_are_read_in_both_spellings_of_object_info(spec: Any, values: Any) -> None:
    assert offered_values({"N": {"input": {"required": {"x": spec}}}}, "N", "x") == values
    assert offered_values({"N": {"input": {"optional": {"x": spec}}}}, "N", "x") == values


def test_a_failed_node_is_named_with_its_cause() -> None:
    run = replace(begin("p", WORKFLOW, "6"), state=State.FAILED, node_id="3", cause="bad luck", traceback=("frame",))
    error = explain_end(run)
    assert isinstance(error, ExecutionFailed)
    assert error.message == "KSampler (node 3) failed in ComfyUI: bad luck"
    assert (error.node_id, error.node_type, error.traceback) == ("3", "KSampler", ("frame",))


@pytest.mark.parametrize(
    ("cause", "kind"),
    [("CUDA out of memory. Tried", "RuntimeError"), ("Allocation on device", "torch.OutOfMemoryError")],
)
def test_out_of_memory_says_what_to_lower(cause: str, kind: str) -> None:
    error = explain_end(replace(begin("p", WORKFLOW, "6"), state=State.FAILED, cause=cause, exception_type=kind))
    assert error is not None
    assert "input.max_megapixels" in error.hint


def test_an_interruption_is_a_cancelled_job_and_a_success_is_no_error() -> None:
    run = begin("p", WORKFLOW, "6")
    assert isinstance(explain_end(replace(run, state=State.INTERRUPTED, node_id="3")), JobCancelled)
    assert explain_end(replace(run, state=State.SUCCEEDED)) is None
