"""Faults on the wire, each with what it leads to: nothing lost, nothing hung, the outcome that README.md promises.

"fine": retried until it went well; "unjudged": the picture is kept and nothing is decided from it; "failed": the iteration is
a row with its error; "stopped": the run ends with one line and can be resumed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional

import pytest
import requests
from proxy import (
    Seen,
    body,
    drip,
    frame_of,
    half,
    page,
    reset,
    reset_after,
    stall,
    stall_after,
    status,
    text_of,
    wrong_length,
)
from wire_bench import CHAT, ITERATIONS, WireBench, at

from imagination.errors import ServiceError

FINE = ["ok"] * ITERATIONS


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[WireBench]:
    bench = WireBench(tmp_path)
    yield bench
    bench.close()


def busy(code: int) -> Any:
    return status(code, b'{"error": "try again"}', extra="Retry-After: 0\r\n")


# --- ComfyUI: one request that goes wrong ---------------------------------------------------------------------------------

ONE: List[Any] = [
    pytest.param(fault, path, told, id=f"{path} {name}")
    for path, name, fault, told in [
        ("/upload/image", "reset", reset, "fine"),
        ("/upload/image", "reset at byte 20", reset_after(20), "fine"),
        ("/upload/image", "half a body", half, "fine"),
        ("/prompt", "reset before the answer", reset, "fine"),
        ("/prompt", "reset at byte 1", reset_after(1), "fine"),
        ("/prompt", "half a body", half, "fine"),
        ("/prompt", "wrong length", wrong_length, "fine"),
        ("/prompt", "HTML", page, "fine"),
        ("/prompt", "busy 503", busy(503), "fine"),
        ("/prompt", "500", status(500, b"oops", "text/plain"), "fine"),
        ("/history", "reset", reset, "fine"),
        ("/history", "half a body", half, "fine"),
        ("/history", "HTML", page, "fine"),
        ("/history", "500", status(500), "fine"),
        ("/view", "reset", reset, "fine"),
        ("/view", "reset 10 bytes before the end", reset_after(-10), "fine"),
        ("/view", "half a picture", half, "fine"),
        ("/view", "wrong length", wrong_length, "fine"),
        ("/view", "a picture cut short", body(lambda data: data[: len(data) // 2]), "fine"),
        ("/view", "no picture at all", body(lambda data: b"not a picture"), "fine"),
        ("/view", "stalled", stall, "fine"),
        ("/view", "stalled in the middle", stall_after(400), "fine"),
        ("/ws", "reset", reset, "fine"),
        ("/ws", "refused with 404", status(404), "fine"),
        ("/ws", "HTML", page, "fine"),
        ("/ws", "silent after the handshake", stall_after(10_000), "fine"),
    ]
]


@pytest.mark.parametrize("fault, path, told", ONE)
def test_one_request_to_comfyui_that_goes_wrong(bench: WireBench, fault: Any, path: str, told: str) -> None:
    bench.comfyui.faults = at(path, fault, 1)
    result = bench.run()
    assert (result.told, result.iterations) == (told, FINE), result.stopped


# --- ComfyUI: a fault that stays ------------------------------------------------------------------------------------------

ALWAYS: List[Any] = [
    pytest.param(fault, path, told, id=f"{path} {name}")
    for path, name, fault, told in [
        ("/system_stats", "reset", reset, "stopped"),
        ("/system_stats", "HTML", page, "stopped"),
        ("/object_info", "500", status(500), "stopped"),
        ("/upload/image", "reset", reset, "stopped"),
        ("/upload/image", "413", status(413, b"too large", "text/plain"), "stopped"),
        ("/prompt", "reset", reset, "fine"),  # it arrives, and the picture is found in the history
        ("/prompt", "500", status(500), "fine"),
        ("/history", "HTML", page, "stopped"),
        ("/view", "reset", reset, "stopped"),
        ("/view", "404", status(404), "stopped"),
        ("/view", "a picture cut short", body(lambda data: data[: len(data) // 2]), "stopped"),
        ("/ws", "reset", reset, "fine"),  # the history is asked instead
    ]
]


@pytest.mark.parametrize("fault, path, told", ALWAYS)
def test_a_fault_of_comfyui_that_stays(bench: WireBench, fault: Any, path: str, told: str) -> None:
    bench.comfyui.faults = at(path, fault)
    result = bench.run()
    assert result.told == told, result.stopped
    if result.stopped is not None:
        assert isinstance(result.stopped, ServiceError) and result.stopped.exit_code == 3
        bench.comfyui.faults = lambda seen, count: None
        assert bench.run().stopped is None  # nothing was lost by it


# --- ComfyUI: what the socket says ----------------------------------------------------------------------------------------


def doubled(frame: bytes) -> List[bytes]:
    return [frame, frame]


class Swapped:
    """Each two frames change places."""

    def __init__(self) -> None:
        self.held: Optional[bytes] = None

    def __call__(self, frame: bytes) -> List[bytes]:
        if self.held is None:
            self.held = frame
            return []
        passed, self.held = [frame, self.held], None
        return passed


class ClosedAfter:
    """Ends the connection after `count` frames, each time anew."""

    def __init__(self, count: int) -> None:
        self.count, self.seen = count, 0

    def __call__(self, frame: bytes) -> Optional[List[bytes]]:
        self.seen += 1
        return [frame] if self.seen % self.count else None


def with_garbage(frame: bytes) -> List[bytes]:
    strange = [
        "{",
        "[]",
        "null",
        '"text"',
        '{"type": 7}',
        '{"type": "executing"}',
        '{"type": "executed", "data": []}',
        "\u0000",
    ]
    return [frame, *(frame_of(text) for text in strange), b"\x82\x03\x00\x01\x02", b"\x89\x00"]


def with_other_jobs(frame: bytes) -> List[bytes]:
    """What other people's jobs would say: each of our messages once more under another id, and an error of theirs."""
    text = text_of(frame)
    if "prompt_id" not in text:
        return [frame]
    data = json.loads(text)
    data["data"]["prompt_id"] = "somebody-else"
    failed = {"type": "execution_error", "data": {"prompt_id": "somebody-else", "exception_message": "theirs"}}
    return [frame_of(json.dumps(data)), frame, frame_of(json.dumps(failed))]


def without_the_end(frame: bytes) -> List[bytes]:
    text = text_of(frame)
    over = '"execution_success"' in text or ('"executing"' in text and '"node": null' in text)
    return [] if over else [frame]


@pytest.mark.parametrize(
    "frames",
    [
        doubled,
        Swapped(),
        ClosedAfter(1),
        ClosedAfter(3),
        with_garbage,
        with_other_jobs,
        without_the_end,
        lambda frame: [],
    ],
    ids=["doubled", "out of order", "closed at once", "closed later", "garbage", "other jobs", "no end told", "silent"],
)
def test_whatever_the_socket_says(bench: WireBench, frames: Callable[[bytes], Optional[List[bytes]]]) -> None:
    bench.comfyui.frames = frames
    result = bench.run()
    assert (result.told, result.iterations) == ("fine", FINE), result.stopped


# --- ComfyUI: what happens to the job ---------------------------------------------------------------------------------------


def test_a_server_that_is_restarted_between_queue_and_history_gets_the_job_again(bench: WireBench) -> None:
    """It has forgotten the job: queue and history are empty, and the socket is closed."""
    gone = {"left": 6}  # looks at either, until it is asked for the picture again

    def forgets(seen: Seen, count: int) -> Any:
        known = seen.path.split("?")[0]
        if known == "/prompt" and seen.method == "POST" and count > 1:
            gone["left"] = 0
        if known.startswith("/history") and gone["left"]:
            gone["left"] -= 1
            return status(200, b"{}")
        if known == "/queue" and gone["left"]:
            return status(200, b'{"queue_running": [], "queue_pending": []}')
        return None

    bench.comfyui.faults = forgets
    bench.comfyui.frames = ClosedAfter(1)
    result = bench.run()
    assert (result.told, result.iterations) == ("fine", FINE), result.stopped


def test_a_job_that_somebody_cancels_in_comfyui_is_a_failed_iteration(bench: WireBench) -> None:
    cancelled: List[str] = []

    def somebody(frame: bytes) -> List[bytes]:
        text = text_of(frame)
        if '"progress"' in text and not cancelled:
            job = json.loads(text)["data"]["prompt_id"]
            cancelled.append(job)
            requests.post(bench.comfyui.upstream_url + "/queue", json={"delete": [job]}, timeout=5)
            requests.post(bench.comfyui.upstream_url + "/interrupt", json={"prompt_id": job}, timeout=5)
        return [frame]

    bench.comfyui.frames = somebody
    result = bench.run()
    assert cancelled and result.stopped is None
    assert result.iterations in (["failed", "ok", "ok"], FINE)  # it may have been done before the order came


@pytest.mark.parametrize("proxy", ["comfyui", "vision"])
def test_a_server_that_is_not_there_stops_the_run_before_anything_is_made(bench: WireBench, proxy: str) -> None:
    getattr(bench, proxy).close()
    result = bench.run()
    assert isinstance(result.stopped, ServiceError) and result.stopped.exit_code == 3 and result.stopped.hint
    assert result.iterations == []


def test_a_server_that_goes_in_mid_run_and_comes_back_is_waited_for(bench: WireBench) -> None:
    gone = iter([True] * 3)
    bench.comfyui.faults = lambda seen, count: (
        reset if count > 1 and seen.path == "/prompt" and next(gone, False) else None
    )
    result = bench.run()
    assert (result.told, result.iterations) == ("fine", FINE), result.stopped


@pytest.mark.parametrize("count", [1, 20, 80, 200, 400, -1, -200])
def test_a_reset_at_any_byte_of_a_picture_is_asked_for_again(bench: WireBench, count: int) -> None:
    bench.comfyui.faults = at("/view", reset_after(count), 1)
    result = bench.run()
    assert (result.told, result.iterations) == ("fine", FINE), result.stopped


def test_a_picture_that_drips_ends_in_the_timeout_of_the_settings(bench: WireBench) -> None:
    bench.comfyui.faults = at("/view", drip(0.05), 1)
    result = bench.run()
    assert (result.told, result.iterations) == ("fine", FINE), result.stopped


def test_frames_that_drip_hold_nothing_up(bench: WireBench) -> None:
    bench.comfyui.frames, bench.comfyui.dripping = lambda frame: [frame], 0.01
    result = bench.run()
    assert (result.told, result.iterations) == ("fine", FINE), result.stopped


# --- the judge ------------------------------------------------------------------------------------------------------------

JUDGE: List[Any] = [
    pytest.param(fault, id=name)
    for name, fault in [
        ("reset", reset),
        ("reset at byte 30", reset_after(30)),
        ("half a body", half),
        ("wrong length", wrong_length),
        ("stalled", stall),
        ("stalled in the middle", stall_after(150)),
        ("dripping", drip(0.2)),
        ("HTML", page),
        ("429", busy(429)),
        ("500", status(500, b'{"error": "llama runner process has terminated"}')),
        ("503", busy(503)),
        ("empty", status(200, b"")),
        ("no JSON", status(200, b"{")),
        ("an empty reply", body(lambda data: json.dumps({**json.loads(data), "message": {"content": ""}}).encode())),
        ("prose", body(lambda data: json.dumps({**json.loads(data), "message": {"content": "I like it."}}).encode())),
    ]
]
FIRST = 2  # the description is the first chat


@pytest.mark.parametrize("fault", JUDGE)
def test_one_request_to_the_judge_that_goes_wrong_is_made_again(bench: WireBench, fault: Any) -> None:
    bench.vision.faults = at(CHAT, fault, FIRST)
    result = bench.run()
    assert (result.told, result.iterations) == ("fine", FINE), result.stopped


@pytest.mark.parametrize("fault", JUDGE)
def test_a_judge_that_is_gone_for_good_decides_nothing(bench: WireBench, fault: Any) -> None:
    bench.vision.faults = at(CHAT, fault)
    result = bench.run()
    assert isinstance(result.stopped, ServiceError) and result.stopped.exit_code == 3
    assert result.iterations == ["unjudged"] * 3
    bench.vision.faults = lambda seen, count: None
    again = bench.run()  # the pictures are there, and are judged first
    assert (again.told, again.iterations) == ("fine", FINE)
    assert sum(1 for seen in bench.comfyui.seen if seen.path == "/prompt" and seen.method == "POST") == 3


@pytest.mark.parametrize("fault", JUDGE)
def test_a_fallback_steps_in(tmp_path: Path, fault: Any) -> None:
    bench = WireBench(tmp_path, fallback_provider="ollama", fallback_model="builtin")
    bench.vision.faults = at(CHAT, fault)
    result = bench.run()
    assert (result.told, result.iterations) == ("fine", FINE), result.stopped
    run = bench.store.runs()[-1]
    used = [evaluation.aivis_metadata.using_fallback for n in (1, 2, 3) if (evaluation := run.evaluation(n))]
    assert used == [True] * 3
    bench.close()
