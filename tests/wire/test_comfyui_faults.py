"""Lines that break, servers that die, jobs that fall silent: what is asked again, what is sent again, what is not."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any, Callable, List, Tuple

import pytest
from fake_comfyui import (
    DROP,
    WORKFLOW,
    FakeComfyUI,
    FakeJob,
    comfy,
    hang,
    run_from_cache,
    run_well,
    server,
    wait_in_queue,
)

from imagination.comfyui import ComfyUI
from imagination.errors import ComfyUIError, ComfyUIUnreachable, ExecutionFailed
from imagination.execution import Execution, State

__all__ = ["comfy", "server"]  # fixtures


def generate(comfy: ComfyUI, prompt_id: str = "job", **options: Any) -> Any:
    return comfy.generate(WORKFLOW, prompt_id=prompt_id, output_node="6", **options)


def prompts(server: FakeComfyUI) -> List[str]:
    return [body["prompt_id"] for body in server.sent_to("POST", "/prompt")]


# --- messages that are late, lost or not ours ---------------------------------------------------------------------------


def test_the_end_may_be_told_before_the_history_knows_it(server: FakeComfyUI) -> None:
    server.play, server.history_misses = run_from_cache, 5
    with ComfyUI(server.url, silence=60, poll=30) as comfy:  # what is said is heard before anything is looked up
        assert generate(comfy).width == 16


def test_a_failure_whose_history_was_cleared_is_still_told(server: FakeComfyUI, comfy: ComfyUI) -> None:
    def fail_and_forget(server: FakeComfyUI, job: FakeJob) -> None:
        server.start(job)
        server.forget(job.prompt_id)
        server.say(job, "execution_error", node_id="3", node_type="KSampler", exception_message="bad luck")

    server.play = fail_and_forget
    with pytest.raises(ExecutionFailed, match="bad luck"):
        generate(comfy)


def test_a_silent_socket_does_not_keep_the_picture_from_us(server: FakeComfyUI, comfy: ComfyUI) -> None:
    def say_nothing(server: FakeComfyUI, job: FakeJob) -> None:
        server.wait_for_a_look(2)
        run_from_cache(server, FakeJob(job.prompt_id, job.workflow, "nobody", {}))

    server.play = say_nothing
    assert generate(comfy).width == 16


def test_without_any_websocket_the_history_is_asked(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.answers["GET", "/ws"] = [(404, b"")] * 9
    told: List[Execution] = []
    assert generate(comfy, on_progress=told.append).width == 16
    assert told[-1].state is State.SUCCEEDED
    assert len(server.answers["GET", "/ws"]) == 8  # a proxy that lets none through is not asked again


def test_a_broken_socket_is_opened_again_under_a_fresh_id(server: FakeComfyUI, comfy: ComfyUI) -> None:
    def hang_up_once(server: FakeComfyUI, job: FakeJob) -> None:
        server.start(job)
        server.drop_sockets()
        server.wait_for_a_look(3)
        server.end_well(job)

    server.play = hang_up_once
    assert generate(comfy).width == 16
    assert len(server.listened) == len(set(server.listened)) == 2
    assert prompts(server) == ["job"]


def test_a_socket_closed_politely_is_no_end_either(server: FakeComfyUI, comfy: ComfyUI) -> None:
    def close(server: FakeComfyUI, job: FakeJob) -> None:
        server.start(job)
        server.tell(job.client_id, b"\x03\xe8", opcode=8)
        server.wait_for_a_look(2)
        server.end_well(job)

    server.play = close
    assert generate(comfy).width == 16


def test_previews_and_other_peoples_messages_change_nothing(server: FakeComfyUI, comfy: ComfyUI) -> None:
    def noise(server: FakeComfyUI, job: FakeJob) -> None:
        server.start(job)
        for text in (b"not json", b"[]", b"null", b'{"type":"executing","data":{"node":null}}', b"\x00\x00\x00\x01"):
            server.tell(job.client_id, text, opcode=2 if text[:1] == b"\0" else 1)
        other = FakeJob("other", {}, job.client_id, {})
        server.say(other, "execution_error", node_id="1", exception_message="not ours")
        server.say(other, "executing", node=None)
        server.end_well(job)

    server.play = noise
    told: List[Execution] = []
    assert generate(comfy, on_progress=told.append).width == 16
    assert {run.state for run in told} <= {State.QUEUED, State.RUNNING, State.SUCCEEDED}


def test_waiting_behind_others_tells_how_many_are_ahead(server: FakeComfyUI, comfy: ComfyUI) -> None:
    def wait_a_turn(server: FakeComfyUI, job: FakeJob) -> None:
        server.wait_for_a_look()
        server.forget("other")
        run_well(server, job)

    server.running.append([0, "other", {}, {}, []])
    server.play = wait_a_turn
    told: List[Execution] = []
    generate(comfy, on_progress=told.append)
    assert 1 in [run.ahead for run in told if run.state is State.QUEUED]


# --- connections that fail ----------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_tried_again_after_each_pause() -> None:
    with FakeComfyUI() as gone:
        url = gone.url
    slept: List[float] = []
    with ComfyUI(url, sleep=slept.append) as comfy, pytest.raises(ComfyUIUnreachable, match="refused") as caught:
        generate(comfy)
    assert slept == [5.0, 15.0, 40.0]
    assert "python main.py" in caught.value.hint


def test_an_upload_is_tried_again_too(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.answers["POST", "/upload/image"] = [DROP, (503, b"")]
    assert comfy.upload(b"one").startswith("imagination_")
    assert len(server.sent_to("POST", "/upload/image")) == 3


@pytest.mark.parametrize("lost_answer", [DROP, (500, b"500 Internal Server Error")])
def test_a_prompt_whose_answer_was_lost_is_looked_up_before_it_is_sent_again(
    server: FakeComfyUI, comfy: ComfyUI, lost_answer: Any
) -> None:
    queue = server.queue

    def queue_and_fail(body: Any) -> Any:
        queue(body)
        return lost_answer

    server.play, server.queue = run_from_cache, queue_and_fail  # type: ignore[method-assign]
    assert generate(comfy).width == 16
    assert prompts(server) == ["job"]


def test_a_prompt_that_never_arrived_is_sent_again_under_the_same_id(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.answers["POST", "/prompt"] = [DROP]
    assert generate(comfy).width == 16
    assert prompts(server) == ["job", "job"]
    looks = [m + p.split("/job")[0] for m, p, _ in server.asked]
    first, second = [i for i, look in enumerate(looks) if look == "POST/prompt"]
    assert looks[first + 1 : second].count("GET/queue") == looks[first + 1 : second].count("GET/history") == 2


def test_a_500_that_queued_nothing_is_an_error_at_once(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.answers["POST", "/prompt"] = [(500, b"500 Internal Server Error")]
    with pytest.raises(ComfyUIError, match="500"):
        generate(comfy)
    assert prompts(server) == ["job"]


@pytest.mark.parametrize("fault", [DROP, (503, b"")])
def test_one_failed_look_at_the_history_does_not_lose_the_job(server: FakeComfyUI, comfy: ComfyUI, fault: Any) -> None:
    server.answers["GET", "/history/job"] = [fault]
    assert generate(comfy).width == 16
    assert prompts(server) == ["job"]


def test_a_download_cut_off_is_fetched_again(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.answers["GET", "/view"] = [DROP]
    assert generate(comfy).width == 16
    assert prompts(server) == ["job"]


def test_a_server_killed_in_mid_run_and_started_again_gets_the_job_again(server: FakeComfyUI) -> None:
    is_back = threading.Event()

    def killed(server: FakeComfyUI, job: FakeJob) -> None:
        server.start(job)
        server.play = run_well
        job.stopped.wait(10)

    def restart() -> None:
        server.wait_for_a_look()
        server.die()
        server.open()
        is_back.set()

    def pause(seconds: float) -> None:
        is_back.wait(60)

    server.play = killed
    thread = threading.Thread(target=restart)
    thread.start()
    try:
        with ComfyUI(server.url, silence=60, pauses=(0.01, 0.02, 0.3), poll=0.05, sleep=pause) as comfy:
            assert generate(comfy).width == 16
    finally:
        thread.join()
    assert prompts(server) == ["job", "job"]


def test_a_server_that_stays_down_in_mid_run_is_unreachable(server: FakeComfyUI, comfy: ComfyUI) -> None:
    def kill(run: Execution) -> None:
        if run.state is State.RUNNING and server.running:
            server.die()

    server.play = hang
    with pytest.raises(ComfyUIUnreachable):
        generate(comfy, on_progress=kill)
    server.open()


@pytest.mark.parametrize("route", ["/queue", "/history/job"])
@pytest.mark.parametrize("answer", [(200, b"<html>"), (500, b"oops"), (429, b"{}"), (503, b"<html>")])
def test_nonsense_from_a_server_that_has_answered_before_is_asked_again(
    server: FakeComfyUI, comfy: ComfyUI, route: str, answer: Tuple[int, bytes]
) -> None:
    server.answers["GET", route] = [answer]
    assert generate(comfy).prompt_id == "job"
    server.answers["GET", route] = [answer] * 99
    with pytest.raises(ComfyUIUnreachable):
        generate(comfy, prompt_id="job")


@pytest.mark.parametrize("answer", [(200, b"<html>"), (500, b"oops")])
def test_nonsense_from_the_first_on_is_another_server(
    server: FakeComfyUI, comfy: ComfyUI, answer: Tuple[int, bytes]
) -> None:
    server.answers["GET", "/system_stats"] = [answer]
    with pytest.raises(ComfyUIError) as caught:
        comfy.system_stats()
    assert not caught.value.retryable


@pytest.mark.parametrize("route", ["/queue", "/history/job"])
@pytest.mark.parametrize("body", [b"[]", b"3"])
def test_an_answer_that_makes_no_sense_is_an_error_of_ours(
    server: FakeComfyUI, comfy: ComfyUI, route: str, body: bytes
) -> None:
    server.answers["GET", route] = [(200, body)]
    with pytest.raises(ComfyUIError) as caught:
        generate(comfy)
    assert not caught.value.retryable


# --- silence ------------------------------------------------------------------------------------------------------------


SILENCE = 30.0  # s, of which the tests' own clocks are soon through; an exchange has them by the real one


def waiting(server: FakeComfyUI, clock: Callable[[], float]) -> ComfyUI:
    return ComfyUI(server.url, silence=SILENCE, pauses=(0.01,), poll=0.05, clock=clock)


def hurried() -> Callable[[], float]:
    """A clock by which half a second goes by at each look at it."""
    return itertools.count(0.0, 0.5).__next__


class Skipping:
    """A clock that leaps forward when it is told to."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def test_a_running_job_that_falls_silent_is_taken_back_and_not_tried_again(server: FakeComfyUI) -> None:
    server.play = hang
    with waiting(server, hurried()) as comfy, pytest.raises(ComfyUIUnreachable, match="said nothing") as caught:
        generate(comfy)
    assert "comfyui.timeout" in caught.value.hint
    assert server.running == []
    assert prompts(server) == ["job"]
    assert len(server.listened) == 1


def test_a_job_stuck_in_the_queue_is_given_up_too(server: FakeComfyUI) -> None:
    server.running.append([0, "other", {}, {}, []])
    server.play = wait_in_queue
    with waiting(server, hurried()) as comfy, pytest.raises(ComfyUIUnreachable, match="said nothing"):
        generate(comfy)
    assert server.pending == []
    assert [entry[1] for entry in server.running] == ["other"]


def test_a_long_job_that_keeps_talking_is_not_silent(server: FakeComfyUI) -> None:
    clock, heard = Skipping(), threading.Semaphore(0)
    steps: List[int] = []

    def slow(server: FakeComfyUI, job: FakeJob) -> None:
        server.start(job)
        for step in range(1, 9):
            server.say(job, "progress", node="3", value=step, max=8)
            assert heard.acquire(timeout=60)
        server.end_well(job)

    def go_by(run: Execution) -> None:
        if run.step and run.step not in steps:
            steps.append(run.step)
            clock.ahead += 0.9 * SILENCE
            heard.release()

    server.play = slow
    with waiting(server, clock) as comfy:
        assert generate(comfy, on_progress=go_by).width == 16
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_job_whose_steps_cannot_be_heard_is_given_the_time_of_a_whole_picture(server: FakeComfyUI) -> None:
    clock = Skipping()

    def mumble(server: FakeComfyUI, job: FakeJob) -> None:
        for what in (server.start, server.end_well):  # waiting, then running, each for longer than `silence`
            server.wait_for_a_look()
            clock.ahead += 1.3 * SILENCE
            server.wait_for_a_look()
            what(job)

    server.play = mumble
    server.answers["GET", "/ws"] = [(404, b"")]
    with waiting(server, clock) as comfy:
        assert generate(comfy).width == 16
    assert clock.ahead > 2 * SILENCE


def test_a_lost_line_is_followed_by_a_look_at_once(server: FakeComfyUI) -> None:
    def end_unheard(server: FakeComfyUI, job: FakeJob) -> None:
        server.start(job)
        server.wait_for_a_look()
        job.client_id, heard_as = "nobody", job.client_id
        server.end_well(job)
        server.tell(heard_as, b"", opcode=8)

    def never(seconds: float) -> None:
        assert seconds < 1, "waits for the next poll"

    server.play = end_unheard
    with ComfyUI(server.url, poll=60, sleep=never) as comfy:
        assert generate(comfy).width == 16
