"""The ComfyUI client against a real server in a thread: the plain path, and what a person sees when it goes wrong."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Iterator, List

import pytest
from fake_comfyui import DROP, NODES, FakeComfyUI, FakeJob, hang, picture, run_from_cache, run_well, wait_in_queue

from imagination.comfyui import ComfyUI
from imagination.errors import (
    BadImage,
    ComfyUIError,
    ComfyUIUnreachable,
    ExecutionFailed,
    JobCancelled,
    WorkflowRejected,
)
from imagination.execution import Execution, State

WORKFLOW = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "start.png"}},
    "2": {"class_type": "VAEEncode", "inputs": {"pixels": ["1", 0], "vae": ["4", 2]}},
    "3": {
        "class_type": "KSampler",
        "inputs": {"model": ["4", 0], "positive": ["9", 0], "negative": ["10", 0], "latent_image": ["2", 0], "seed": 1},
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "tiny.safetensors"}},
    "5": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "x"}},
    "9": {"class_type": "CLIPTextEncode", "inputs": {"text": "snow", "clip": ["4", 1]}},
    "10": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
}


@pytest.fixture
def server() -> Iterator[FakeComfyUI]:
    with FakeComfyUI() as fake:
        yield fake


@pytest.fixture
def comfy(server: FakeComfyUI) -> Iterator[ComfyUI]:
    with ComfyUI(server.url, silence=5, pauses=(0.01, 0.02, 0.05), poll=0.05) as client:
        yield client


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
