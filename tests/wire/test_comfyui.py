"""The ComfyUI client against a real server in a thread: the plain path, and what a person sees when it goes wrong."""

from __future__ import annotations

import io
import uuid
from typing import Any, List

import pytest
from fake_comfyui import (
    NODES,
    WORKFLOW,
    FakeComfyUI,
    FakeJob,
    comfy,
    hang,
    picture,
    run_from_cache,
    server,
    wait_in_queue,
)
from PIL import Image

from imagination.comfyui import ComfyUI, Generated
from imagination.errors import BadImage, ComfyUIError, ExecutionFailed, JobCancelled, WorkflowRejected
from imagination.execution import Execution, State

__all__ = ["comfy", "server"]  # fixtures


def generate(comfy: ComfyUI, prompt_id: str = "job", **options: Any) -> Any:
    return comfy.generate(WORKFLOW, prompt_id=prompt_id, output_node="6", **options)


# --- the plain path ---------------------------------------------------------------------------------------------------


def test_a_job_is_queued_under_our_id_and_its_picture_comes_home(server: FakeComfyUI, comfy: ComfyUI) -> None:
    made = generate(comfy, extra_pnginfo={"workflow": {"a": 1}})
    assert made.content == made.png == server.files["x_00001_.png"]
    assert (made.filename, made.width, made.height, made.cached, made.prompt_id) == (
        "x_00001_.png",
        16,
        8,
        False,
        "job",
    )
    (body,) = server.sent_to("POST", "/prompt")
    assert body == {
        "prompt": WORKFLOW,
        "client_id": server.listened[0],
        "prompt_id": "job",
        "extra_data": {"extra_pnginfo": {"workflow": {"a": 1}}},
    }


def test_the_websocket_is_open_before_the_job_is_queued(server: FakeComfyUI, comfy: ComfyUI) -> None:
    generate(comfy)
    routes = [path.split("?")[0] for _, path, _ in server.asked]
    assert routes.index("/ws") < routes.index("/prompt")


def test_each_job_listens_under_a_fresh_id_and_sends_no_origin(server: FakeComfyUI, comfy: ComfyUI) -> None:
    generate(comfy, "one")
    generate(comfy, "two")
    assert len(set(server.listened)) == 2
    assert all(str(uuid.UUID(client_id)) == client_id for client_id in server.listened)
    assert all("Origin" not in headers for headers in server.sent_to("GET", "/ws"))


def test_progress_tells_of_nodes_and_sampler_steps(server: FakeComfyUI, comfy: ComfyUI) -> None:
    told: List[Execution] = []
    generate(comfy, on_progress=told.append)
    assert [(run.node_type, run.step, run.steps) for run in told if run.steps] == [
        ("KSampler", 1, 2),
        ("KSampler", 2, 2),
    ]
    assert told[-1].state is State.SUCCEEDED
    assert all(a != b for a, b in zip(told, told[1:]))


def test_an_upload_is_named_by_its_content_and_sent_once(server: FakeComfyUI, comfy: ComfyUI) -> None:
    first, again, other = comfy.upload(b"one"), comfy.upload(b"one"), comfy.upload(b"two")
    assert first == again == "imagination_7692c3ad3540bb80.png"
    assert other != first
    assert server.inputs[first] == b"one"
    assert len(server.sent_to("POST", "/upload/image")) == 2


def test_an_upload_takes_the_name_and_folder_that_the_server_chose(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.answers["POST", "/upload/image"] = [(200, {"name": "a (1).png", "subfolder": "in", "type": "input"})]
    assert comfy.upload(b"one") == "in/a (1).png"


# --- looking before leaping -------------------------------------------------------------------------------------------


def test_an_installed_class_is_described_and_an_unknown_one_is_none(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.info["KSampler"] = {"input": {"required": {"scheduler": [["normal", "karras"]]}}}
    assert comfy.object_info("KSampler") == server.info["KSampler"]
    assert comfy.object_info("No Such/Node") is None
    assert comfy.choices("KSampler", "scheduler") == ("normal", "karras")
    assert comfy.choices("Nothing", "scheduler") == ()
    assert comfy.system_stats()["system"]["comfyui_version"] == "0.3.64"


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_something_else_on_the_port_is_an_error_of_ours(server: FakeComfyUI, comfy: ComfyUI, body: bytes) -> None:
    server.answers["GET", "/system_stats"] = [(200, body)]
    with pytest.raises(ComfyUIError) as caught:
        comfy.system_stats()
    assert "html" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 413, 418, 500, 502, 503])
def test_every_bad_status_is_one_line_with_a_hint(server: FakeComfyUI, comfy: ComfyUI, status: int) -> None:
    server.answers["GET", "/features"] = [(status, b"<html>Traceback</html>")]
    with pytest.raises(ComfyUIError, match=str(status)) as caught:
        comfy.features()
    assert caught.value.retryable is (status in (502, 503))
    assert caught.value.hint
    assert "Traceback" not in caught.value.message


# --- the picture ------------------------------------------------------------------------------------------------------


def test_a_cached_run_yields_the_picture_though_no_node_is_ever_at_work(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.play = run_from_cache
    assert generate(comfy).cached is True


def test_only_the_first_image_of_our_output_node_is_taken(server: FakeComfyUI, comfy: ComfyUI) -> None:
    def two_outputs(server: FakeComfyUI, job: FakeJob) -> None:
        server.start(job)
        ours = [{"filename": "mine.png", "subfolder": "a b", "type": "temp"}, {"filename": "second.png"}]
        outputs = {"3": {"images": [{"filename": "other.png"}]}, "6": {"images": ours}}
        server.keep(job, {"outputs": outputs, "status": {"status_str": "success", "messages": []}})
        server.say(job, "executing", node=None)

    server.play, server.files = two_outputs, {"mine.png": picture((8, 8))}
    assert generate(comfy).filename == "mine.png"
    viewed = [path for _, path, _ in server.asked if path.startswith("/view")]
    assert viewed == ["/view?filename=mine.png&subfolder=a+b&type=temp"]


def test_a_run_that_succeeds_without_a_picture_says_so(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.play = lambda server, job: server.keep(job, {"outputs": {}, "status": {"status_str": "success"}})
    with pytest.raises(ComfyUIError, match=r"SaveImage \(node 6\) gave no picture"):
        generate(comfy)


@pytest.mark.parametrize("content", [picture((64, 64))[:-60], b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_a_picture_that_does_not_decode_fully_is_refused(server: FakeComfyUI, comfy: ComfyUI, content: bytes) -> None:
    server.files["x_00001_.png"] = content
    with pytest.raises(BadImage, match="x_00001_"):
        generate(comfy)


def test_a_picture_of_another_format_is_kept_and_given_as_png() -> None:
    webp = picture(form="WEBP")
    made = Generated(webp, "a.webp", 16, 8, False, "p")
    assert made.content == webp
    with Image.open(io.BytesIO(made.png)) as image:
        assert (image.format, image.size) == ("PNG", (16, 8))


def test_a_cached_file_that_was_deleted_is_saved_again_under_another_name(server: FakeComfyUI, comfy: ComfyUI) -> None:
    def lose_the_first(server: FakeComfyUI, job: FakeJob) -> None:
        server.start(job)
        server.end_well(job, NODES, "gone.png" if job.prompt_id == "job" else "x_00001_.png")

    server.play = lose_the_first
    made = generate(comfy)
    assert made.content == server.files["x_00001_.png"]
    first, second = server.sent_to("POST", "/prompt")
    assert made.prompt_id == second["prompt_id"] != first["prompt_id"]
    prefix = second["prompt"]["6"]["inputs"].pop("filename_prefix")
    assert prefix != "x"
    assert prefix.startswith("x_")
    del first["prompt"]["6"]["inputs"]["filename_prefix"]
    assert first["prompt"] == second["prompt"]


def test_a_file_that_stays_lost_is_one_clear_error(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.files.clear()
    with pytest.raises(ComfyUIError, match=r"x_00001_.*gone"):
        generate(comfy)
    assert len(server.sent_to("POST", "/prompt")) == 2


# --- refusals and failures --------------------------------------------------------------------------------------------


def rejection(kind: str, node_id: str, class_type: str, details: str = "", **extra: Any) -> Any:
    error = {"type": kind, "message": "m", "details": details, "extra_info": extra}
    return {"error": {}, "node_errors": {node_id: {"class_type": class_type, "errors": [error]}}}


def test_a_rejected_workflow_stops_at_once_with_the_choices_asked_for(server: FakeComfyUI, comfy: ComfyUI) -> None:
    body = rejection("value_not_in_list", "3", "KSampler", input_name="sampler_name", received_value="no")
    server.answers["POST", "/prompt"] = [(400, body)]
    server.info["KSampler"] = {"input": {"required": {"sampler_name": [["euler", "heun"]]}}}
    with pytest.raises(WorkflowRejected, match=r"KSampler \(node 3\): sampler_name 'no' is not one of: euler, heun"):
        generate(comfy)
    assert len(server.sent_to("POST", "/prompt")) == 1


def test_an_accepted_prompt_without_our_output_is_rejected_and_taken_back(server: FakeComfyUI, comfy: ComfyUI) -> None:
    body = rejection("required_input_missing", "3", "KSampler", input_name="model")
    server.answers["POST", "/prompt"] = [(200, {**body, "prompt_id": "job", "number": 1})]
    with pytest.raises(WorkflowRejected, match="model is missing"):
        generate(comfy)
    assert {"delete": ["job"]} in server.sent_to("POST", "/queue")


def test_an_emptied_input_folder_gets_our_picture_again_once(server: FakeComfyUI, comfy: ComfyUI) -> None:
    name = comfy.upload(b"one")
    body = rejection("custom_validation_failed", "1", "LoadImage", f"image - Invalid image file: {name}")
    server.answers["POST", "/prompt"] = [(400, body)]
    workflow = {**WORKFLOW, "1": {"class_type": "LoadImage", "inputs": {"image": name}}}
    assert comfy.generate(workflow, prompt_id="job", output_node="6").width == 16
    assert len(server.sent_to("POST", "/upload/image")) == 2
    server.answers["POST", "/prompt"] = [(400, body), (400, body)]
    with pytest.raises(WorkflowRejected, match="Invalid image file"):
        comfy.generate(workflow, prompt_id="next", output_node="6")


def test_a_missing_picture_that_is_not_ours_stays_a_rejection(server: FakeComfyUI, comfy: ComfyUI) -> None:
    body = rejection("custom_validation_failed", "1", "LoadImage", "image - Invalid image file: start.png")
    server.answers["POST", "/prompt"] = [(400, body)]
    with pytest.raises(WorkflowRejected):
        generate(comfy)
    assert server.sent_to("POST", "/upload/image") == []


@pytest.mark.parametrize("body", [b"not json", "text", None])
def test_a_rejection_of_no_known_shape_is_an_error_of_ours(server: FakeComfyUI, comfy: ComfyUI, body: Any) -> None:
    server.answers["POST", "/prompt"] = [(400, body)]
    with pytest.raises(ComfyUIError):
        generate(comfy)


def test_a_node_that_raises_is_named_with_its_cause(server: FakeComfyUI, comfy: ComfyUI) -> None:
    def fail(server: FakeComfyUI, job: FakeJob) -> None:
        server.start(job)
        told = {
            "node_id": "3",
            "node_type": "KSampler",
            "exception_message": "bad luck\n/secret/path",
            "traceback": ["f"],
        }
        server.end_badly(job, "execution_error", **told)

    server.play = fail
    with pytest.raises(ExecutionFailed) as caught:
        generate(comfy)
    assert caught.value.message == "KSampler (node 3) failed in ComfyUI: bad luck"
    assert (caught.value.node_id, caught.value.node_type, caught.value.traceback) == ("3", "KSampler", ("f",))


def test_a_job_interrupted_in_comfyui_is_cancelled_and_not_tried_again(server: FakeComfyUI, comfy: ComfyUI) -> None:
    def interrupted(server: FakeComfyUI, job: FakeJob) -> None:
        server.start(job)
        server.end_badly(job, "execution_interrupted", node_id="3", node_type="KSampler")

    server.play = interrupted
    with pytest.raises(JobCancelled, match="interrupted"):
        generate(comfy)
    assert len(server.sent_to("POST", "/prompt")) == 1


def test_a_job_deleted_while_it_waits_is_noticed_without_any_message(server: FakeComfyUI, comfy: ComfyUI) -> None:
    def deleted(server: FakeComfyUI, job: FakeJob) -> None:
        server.wait_for_a_look()
        server.forget(job.prompt_id)

    server.play = deleted
    with pytest.raises(JobCancelled, match="no longer in ComfyUI"):
        generate(comfy)
    assert len(server.sent_to("POST", "/prompt")) == 1


# --- collecting what an earlier process queued ------------------------------------------------------------------------


def test_a_finished_job_is_collected_without_queueing_it_again(server: FakeComfyUI, comfy: ComfyUI) -> None:
    generate(comfy)
    collected = comfy.collect("job", WORKFLOW, "6")
    assert collected is not None
    assert collected.content == server.files["x_00001_.png"]
    assert len(server.sent_to("POST", "/prompt")) == 1


def test_a_running_job_is_waited_for_and_heard_under_its_own_id(server: FakeComfyUI, comfy: ComfyUI) -> None:
    job = FakeJob("old", WORKFLOW, "the-old-client", {})
    server.start(job)
    told: List[Execution] = []

    def hear(run: Execution) -> None:
        told.append(run)
        if run.state is State.RUNNING and not run.steps:
            server.say(job, "progress", node="3", value=1, max=2)
        if run.steps:
            server.end_well(job)

    collected = comfy.collect("old", WORKFLOW, "6", hear)
    assert collected is not None
    assert server.listened == ["the-old-client"]
    assert told[-1].state is State.SUCCEEDED


def test_an_unknown_or_failed_job_has_nothing_to_collect(server: FakeComfyUI, comfy: ComfyUI) -> None:
    assert comfy.collect("unknown", WORKFLOW, "6") is None
    server.end_badly(FakeJob("bad", WORKFLOW, "c", {}), "execution_error", node_id="3", exception_message="no")
    assert comfy.collect("bad", WORKFLOW, "6") is None
    assert server.sent_to("POST", "/prompt") == []


# --- cancelling -------------------------------------------------------------------------------------------------------


def test_a_waiting_job_is_deleted_and_nothing_is_interrupted(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.running.append([0, "someone else's", {}, {}, []])
    server.play = wait_in_queue

    def stop(run: Execution) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(comfy, on_progress=stop)
    assert server.pending == []
    assert server.sent_to("POST", "/interrupt") == []
    assert [entry[1] for entry in server.running] == ["someone else's"]


def test_a_running_job_is_interrupted_by_its_id_until_it_is_gone(
    server: FakeComfyUI, comfy: ComfyUI, caplog: pytest.LogCaptureFixture
) -> None:
    server.play = hang

    def stop(run: Execution) -> None:
        if run.state is State.RUNNING:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(comfy, on_progress=stop)
    assert server.running == []
    assert all(body == {"prompt_id": "job"} for body in server.sent_to("POST", "/interrupt"))
    assert server.sent_to("POST", "/interrupt")
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "stopping: the job is taken back from ComfyUI if it has it, which may first end the step that it is at"
    ]


def test_an_error_in_the_callers_own_code_takes_the_job_back_too(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.play = wait_in_queue

    def break_down(run: Execution) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        generate(comfy, on_progress=break_down)
    assert server.pending == []


def test_cancelling_says_whether_the_job_is_gone_and_never_raises(server: FakeComfyUI) -> None:
    comfy = ComfyUI(server.url, sleep=lambda seconds: None)
    server.running.append([0, "stubborn", {}, {}, []])
    assert comfy.cancel("unknown") is True
    assert comfy.cancel("stubborn") is False
    assert comfy.cancel("") is False
    assert {"prompt_id": ""} not in server.sent_to("POST", "/interrupt")
    server.answers["POST", "/queue"] = [(500, b"")]
    assert comfy.cancel("stubborn") is False
    comfy.close()


def test_one_answer_that_fails_does_not_leave_the_job_at_work(server: FakeComfyUI, comfy: ComfyUI) -> None:
    """A server that computes on the CPU answers late now and then."""
    server.pending.append([0, "job", {}, {}, []])
    server.answers["POST", "/queue"] = [(503, b"")]
    assert comfy.cancel("job") is True
    assert server.pending == []


def test_a_job_that_is_still_arriving_when_it_is_cancelled_is_caught(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.pending.append([0, "late", {}, {}, []])
    server.answers["POST", "/queue"] = [(200, b"")]
    server.answers["GET", "/queue"] = [(200, {"queue_running": [], "queue_pending": []})]
    assert comfy.cancel("late") is True
    assert server.pending == []
