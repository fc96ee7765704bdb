"""What ComfyUI's messages, /queue and /history mean, checked on trimmed recordings of a real server."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import Any, List

import pytest

from imagination.errors import ComfyUIError
from imagination.execution import (
    Execution,
    ImageRef,
    Place,
    State,
    advance,
    begin,
    finish,
    first_line,
    read_history,
    read_queue,
    take_place,
)

DATA = Path(__file__).parents[1] / "data" / "comfyui"


def recorded(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


RUN = recorded("run")
WORKFLOW = RUN["workflow"]


def fresh(prompt_id: str = "p") -> Execution:
    return begin(prompt_id, WORKFLOW, "6")


def told(kind: str, **data: Any) -> Any:
    return {"type": kind, "data": {"prompt_id": "p", **data}}


def after(*messages: Any) -> Execution:
    return reduce(advance, messages, fresh())


# --- a whole recorded run ---------------------------------------------------------------------------------------------


def test_a_recorded_run_goes_from_queued_through_every_node_to_its_end() -> None:
    runs: List[Execution] = [fresh(RUN["prompt_id"])]
    for message in RUN["messages"]:
        runs.append(advance(runs[-1], message))
    assert runs[0].state is State.QUEUED
    assert {run.node_type for run in runs if run.node_id} == {node["class_type"] for node in WORKFLOW.values()}
    assert runs[-1].state is State.SUCCEEDED
    assert (runs[-1].done_nodes, runs[-1].total_nodes) == (8, 8)


def test_a_recorded_sampler_counts_its_steps_up() -> None:
    run, counted = fresh(RUN["prompt_id"]), []
    for message in RUN["messages"]:
        run = advance(run, message)
        if message["type"] == "progress":
            counted.append((run.node_type, run.step, run.steps))
    assert counted == [("KSampler", step, 4) for step in (1, 2, 3, 4)]


def test_done_nodes_never_go_back() -> None:
    run, counts = fresh(RUN["prompt_id"]), [0]
    for message in RUN["messages"]:
        run = advance(run, message)
        counts.append(run.done_nodes)
    assert counts == sorted(counts)


def test_a_fully_cached_run_ends_without_any_node_at_work() -> None:
    cached = recorded("cached")
    run = reduce(advance, cached["messages"], fresh(cached["prompt_id"]))
    assert (run.state, run.node_id, run.done_nodes) == (State.SUCCEEDED, "", 8)
    assert "6" in run.cached


# --- single messages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "state"),
    [
        (told("execution_start"), State.RUNNING),
        (told("executing", node="3"), State.RUNNING),
        (told("progress", node="3", value=1, max=4), State.RUNNING),
        (told("executing", node=None), State.ENDED),
        (told("execution_success"), State.SUCCEEDED),
        (told("execution_error", node_id="3", exception_message="no"), State.FAILED),
        (told("execution_interrupted", node_id="3"), State.INTERRUPTED),
        (told("some_new_type"), State.QUEUED),
    ],
)
def test_each_message_leads_to_its_state(message: Any, state: State) -> None:
    assert after(message).state is state


@pytest.mark.parametrize("ending", ["execution_success", "execution_error", "execution_interrupted"])
def test_executing_null_says_over_and_does_not_change_how(ending: str) -> None:
    known = after(told(ending))
    assert advance(known, told("executing", node=None)).state is known.state


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "text",
        {},
        {"type": "progress"},
        {"type": "progress", "data": None},
        {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 1}}, "sid": "x"}},
        {"type": "executing", "data": {"node": "3"}},  # sent after a reconnect, about whatever runs
        {"type": "executing", "data": {"node": None, "prompt_id": "someone else's"}},
        {"type": ["odd"], "data": {"prompt_id": "p"}},
    ],
)
def test_what_is_not_about_our_prompt_changes_nothing(message: Any) -> None:
    assert advance(fresh(), message) == fresh()


@pytest.mark.parametrize(
    "message",
    [
        told("progress", node="3", value="many", max=None),
        told("progress", node="3", value=float("inf"), max=-4),
        told("progress_state", nodes=[1, 2]),
        told("progress_state", nodes={"3": None}),
        told("execution_cached", nodes="all"),
        told("execution_error", traceback="text", exception_message=7),
    ],
)
def test_broken_data_of_a_known_type_is_borne(message: Any) -> None:
    run = after(message)
    assert run.step == run.steps == 0


def test_progress_state_alone_tells_step_and_finished_nodes() -> None:
    nodes = {"4": {"state": "finished", "value": 1, "max": 1}, "3": {"state": "running", "value": 2, "max": 9}}
    run = after(told("progress_state", nodes=nodes))
    assert (run.node_id, run.step, run.steps, run.done) == ("3", 2, 9, {"4"})


def test_the_step_count_starts_again_at_the_next_node() -> None:
    run = after(told("progress", node="3", value=4, max=4), told("executing", node="5"))
    assert (run.node_type, run.step, run.steps) == ("VAEDecode", 0, 0)
    assert "3" in run.done


def test_an_error_keeps_its_first_line_and_leaves_the_traceback_for_the_log() -> None:
    run = after(
        told(
            "execution_error",
            node_id="77",
            node_type="NewNode",
            exception_type="RuntimeError",
            exception_message="\n out of \x1b[31mluck\nmore",
            traceback=["one", "two"],
        )
    )
    assert (run.node_id, run.node_type, run.cause) == ("77", "NewNode", "out of [31mluck")
    assert run.traceback == ("one", "two")


def test_only_nodes_that_lead_to_the_picture_are_counted() -> None:
    workflow = {**WORKFLOW, "99": {"class_type": "PreviewImage", "inputs": {"images": ["5", 0]}}}
    assert begin("p", workflow, "6").total_nodes == 8


def test_a_loop_or_a_dangling_link_in_the_workflow_is_borne() -> None:
    workflow = {"1": {"class_type": "A", "inputs": {"x": ["2", 0], "y": ["gone", 0]}}, "2": {"inputs": {"x": ["1", 0]}}}
    assert begin("p", workflow, "1").total_nodes == 2


# --- /queue -----------------------------------------------------------------------------------------------------------


def test_the_running_prompt_is_found_with_the_client_it_talks_to() -> None:
    assert read_queue(recorded("queue"), "8bff159b-3915-4efe-8f2f-2b9649dcf30f") == Place(True, (), "client-a")


@pytest.mark.parametrize(
    ("prompt_id", "ahead"),
    [
        ("0a339894-cb79-44a5-932f-5d9489496efe", 1),  # number -2: jumped the queue
        ("1fd03cfd-741d-4fa4-b8ea-c1f7bb24e409", 2),  # number 0.5
        ("7db852f2-a0ca-4222-b994-2199d78a4638", 3),  # number 1, though listed in the middle
    ],
)
def test_waiting_prompts_stand_in_order_of_their_number(prompt_id: str, ahead: int) -> None:
    place = read_queue(recorded("queue"), prompt_id)
    assert place is not None
    assert not place.is_running
    assert len(place.ahead) == ahead
    assert take_place(fresh(), place).ahead == ahead


def test_a_prompt_that_is_not_queued_has_no_place() -> None:
    assert read_queue(recorded("queue"), "unknown") is None


@pytest.mark.parametrize("answer", [None, [], "queue", 3])
def test_a_queue_of_another_shape_is_an_error_of_ours(answer: Any) -> None:
    with pytest.raises(ComfyUIError, match="/queue"):
        read_queue(answer, "p")


@pytest.mark.parametrize("rows", [None, "x", [None], [[]], [[1]], [{"a": 1}]])
def test_broken_rows_of_a_queue_are_passed_over(rows: Any) -> None:
    assert read_queue({"queue_running": rows, "queue_pending": [["?", "p"]]}, "p") == Place(False, ())


def test_a_number_that_no_float_holds_is_the_last_in_the_queue() -> None:
    rows = [[10**400, "p"], [3, "first"], [-(10**400), "very first"]]
    assert read_queue({"queue_pending": rows}, "p") == Place(False, ("very first", "first"))


def test_being_seen_running_moves_a_prompt_whose_messages_are_lost() -> None:
    assert take_place(fresh(), Place(True)).state is State.RUNNING


def test_a_late_look_at_the_queue_does_not_undo_the_end() -> None:
    over = after(told("execution_success"))
    assert take_place(over, Place(True)) == over


# --- /history ---------------------------------------------------------------------------------------------------------


def test_a_recorded_success_names_its_picture() -> None:
    entry = read_history(RUN["history"], RUN["prompt_id"])
    assert entry is not None
    assert entry.succeeded
    assert finish(fresh(RUN["prompt_id"]), entry).state is State.SUCCEEDED
    (ref,) = entry.images["6"]
    assert (ref.type, ref.filename.endswith(".png")) == ("output", True)


def test_a_recorded_failure_is_told_by_the_history_alone() -> None:
    answer = recorded("failures")["failed"][0]
    (prompt_id,) = answer
    entry = read_history(answer, prompt_id)
    assert entry is not None
    run = finish(fresh(prompt_id), entry)
    assert (run.state, run.node_type, run.node_id) == (State.FAILED, "LoadImage", "1")
    assert run.cause == "cannot identify image file '<base>/input/corrupt.png'"


def test_a_recorded_interruption_is_no_failure() -> None:
    answer = recorded("failures")["interrupted"]
    (prompt_id,) = answer
    entry = read_history(answer, prompt_id)
    assert entry is not None
    assert finish(fresh(prompt_id), entry).state is State.INTERRUPTED


def test_an_error_without_any_message_is_still_a_failure() -> None:
    entry = read_history({"p": {"outputs": {}, "status": {"status_str": "error"}}}, "p")
    assert entry is not None
    assert finish(fresh(), entry).cause == "no reason given"


def test_a_history_without_status_is_judged_by_its_files() -> None:
    files = {"6": {"images": [{"filename": "a.png"}]}}
    with_files, without = read_history({"p": {"outputs": files}}, "p"), read_history({"p": {"outputs": {}}}, "p")
    assert with_files is not None
    assert without is not None
    assert (with_files.succeeded, without.succeeded) == (True, False)
    assert with_files.images["6"] == (ImageRef("a.png", "", "output"),)


@pytest.mark.parametrize("answer", [{}, {"other": {}}, {"p": {}}])
def test_a_prompt_without_a_history_entry_is_not_finished(answer: Any) -> None:
    assert read_history(answer, "p") is None


@pytest.mark.parametrize("answer", [None, [], "x", {"p": "x"}, {"p": None}])
def test_a_history_of_another_shape_is_an_error_of_ours(answer: Any) -> None:
    with pytest.raises(ComfyUIError, match="/history"):
        read_history(answer, "p")


@pytest.mark.parametrize(
    "images", [None, "x", [None], [{}], [{"filename": None}], [{"filename": ""}], [{"filename": 3}]]
)
def test_images_that_name_no_file_are_left_out(images: Any) -> None:
    entry = read_history({"p": {"outputs": {"6": {"images": images}}}}, "p")
    assert entry is not None
    assert entry.images["6"] == ()


@pytest.mark.parametrize(
    ("text", "line"), [(None, ""), ("", ""), ("\n\n a \n b", "a"), (5, "5"), ("x" * 400, "x" * 297 + "...")]
)
def test_first_line_is_short_and_printable(text: Any, line: str) -> None:
    assert first_line(text) == line
