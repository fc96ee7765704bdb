"""The loop and its clients against servers that are not ours. Skipped unless they are named:

    IMAGINATION_LIVE_COMFYUI=http://127.0.0.1:8188 IMAGINATION_LIVE_CKPT=name.safetensors \
    IMAGINATION_LIVE_OPENAI=http://127.0.0.1:8080/v1 IMAGINATION_LIVE_MODEL=name python -m pytest -m live tests/live

ComfyUI should have nothing else to do: a few small pictures are made, one long job is queued and stopped again. What a
vision model says is not judged, only that it can be read.
"""

from __future__ import annotations

import io
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
import requests
import yaml
from PIL import Image, ImageDraw

from imagination import images
from imagination.comfyui import ComfyUI
from imagination.config import load_rules
from imagination.errors import JobCancelled, WorkflowRejected
from imagination.execution import Execution, State
from imagination.judge import Judge
from imagination.model import CallRecord, Comparison, Picture, Prompts, VisionSettings
from imagination.prompts import Templates
from imagination.runner import Order, run_command
from imagination.scoring import score
from imagination.vision import Vision

COMFYUI, OPENAI = os.environ.get("IMAGINATION_LIVE_COMFYUI"), os.environ.get("IMAGINATION_LIVE_OPENAI")
pytestmark = pytest.mark.live
if not COMFYUI and not OPENAI:
    pytest.skip("neither IMAGINATION_LIVE_COMFYUI nor IMAGINATION_LIVE_OPENAI is set", allow_module_level=True)
DEFAULTS = Path(__file__).parents[2] / "defaults"
Graph = Dict[str, Dict[str, Any]]


def photo() -> bytes:
    image = Image.linear_gradient("L").resize((128, 128)).convert("RGB")
    ImageDraw.Draw(image).ellipse((30, 30, 100, 100), fill=(200, 40, 40))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


# --- ComfyUI ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def comfy() -> Iterator[ComfyUI]:
    if not COMFYUI:
        pytest.skip("IMAGINATION_LIVE_COMFYUI is not set")
    with ComfyUI(COMFYUI, poll=0.5) as client:
        yield client


@pytest.fixture
def checkpoint(comfy: ComfyUI) -> str:
    return os.environ.get("IMAGINATION_LIVE_CKPT") or str(comfy.choices("CheckpointLoaderSimple", "ckpt_name")[0])


@pytest.fixture
def graph(comfy: ComfyUI, checkpoint: str) -> Graph:
    """The default workflow, two steps, with a seed that no other test has used."""
    workflow: Graph = json.loads((DEFAULTS / "workflow" / "img2img_no_mask_api.json").read_text(encoding="utf-8"))
    workflow["1"]["inputs"]["image"] = comfy.upload(photo())
    workflow["4"]["inputs"]["ckpt_name"] = checkpoint
    workflow["3"]["inputs"].update(steps=2, seed=uuid.uuid4().int % 2**53, sampler_name="euler", scheduler="normal")
    return workflow


def generate(comfy: ComfyUI, graph: Graph, **more: Any) -> Any:
    return comfy.generate(graph, prompt_id=str(uuid.uuid4()), output_node="6", **more)


def in_queue(comfy: ComfyUI) -> List[str]:
    answer = requests.get(f"{comfy.url}/queue", timeout=10).json()
    return [entry[1] for entries in answer.values() for entry in entries]


def wait_for_an_empty_queue(comfy: ComfyUI) -> None:
    """An interrupt counts from the next step on, which takes seconds on a CPU with other work."""
    ends = time.monotonic() + 60
    while in_queue(comfy):
        assert time.monotonic() < ends
        time.sleep(0.2)


def submit(comfy: ComfyUI, graph: Graph, prompt_id: str) -> None:
    """Queue a job as another program does."""
    body = {"prompt": graph, "client_id": "someone else", "prompt_id": prompt_id}
    requests.post(f"{comfy.url}/prompt", json=body, timeout=10).raise_for_status()


def test_a_job_tells_its_steps_and_its_picture_carries_the_graph(comfy: ComfyUI, graph: Graph) -> None:
    told: List[Execution] = []
    made = generate(comfy, graph, on_progress=told.append)
    with Image.open(io.BytesIO(made.png)) as image:
        image.load()
        carried = json.loads(image.info["prompt"])
    assert carried["3"]["inputs"]["seed"] == graph["3"]["inputs"]["seed"]
    assert (made.width, made.height, made.cached) == (128, 128, False)
    assert {run.step for run in told} >= {1, 2}
    assert told[-1].state is State.SUCCEEDED


def test_the_same_job_again_comes_from_the_cache(comfy: ComfyUI, graph: Graph) -> None:
    first, second = generate(comfy, graph), generate(comfy, graph)
    assert (first.cached, second.cached) == (False, True)
    assert first.content == second.content


def test_a_rejection_names_node_value_and_choices(comfy: ComfyUI, graph: Graph) -> None:
    graph["4"]["inputs"]["ckpt_name"] = "not there.safetensors"
    with pytest.raises(
        WorkflowRejected, match=r"CheckpointLoaderSimple \(node 4\).*not there.safetensors.*\.safetensors"
    ):
        generate(comfy, graph)


def test_a_job_interrupted_by_someone_else_is_said_to_be(comfy: ComfyUI, graph: Graph) -> None:
    graph["3"]["inputs"].update(steps=1000, denoise=1.0)

    def interrupt(run: Execution) -> None:
        if run.step == 1:
            requests.post(f"{comfy.url}/interrupt", json={"prompt_id": run.prompt_id}, timeout=10)

    with pytest.raises(JobCancelled, match=r"interrupted in ComfyUI at KSampler \(node 3\)"):
        generate(comfy, graph, on_progress=interrupt)


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING])
def test_ctrl_c_takes_our_job_out_and_leaves_the_others(comfy: ComfyUI, graph: Graph, state: State) -> None:
    graph["3"]["inputs"].update(steps=1000, denoise=1.0)
    other = str(uuid.uuid4())
    if state is State.QUEUED:
        submit(comfy, graph, other)
        graph["3"]["inputs"]["seed"] += 1

    def press(run: Execution) -> None:
        if run.ahead if state is State.QUEUED else run.step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(comfy, graph, on_progress=press)
    assert in_queue(comfy) == ([other] if state is State.QUEUED else [])
    comfy.cancel(other)
    wait_for_an_empty_queue(comfy)


def test_a_picture_that_an_earlier_process_queued_is_collected(comfy: ComfyUI, graph: Graph) -> None:
    prompt_id = str(uuid.uuid4())
    submit(comfy, graph, prompt_id)
    made = comfy.collect(prompt_id, graph, "6")
    assert made is not None
    assert made.prompt_id == prompt_id
    assert comfy.collect(str(uuid.uuid4()), graph, "6") is None


def test_a_whole_run_ends_with_a_picture_and_its_verdicts(comfy: ComfyUI, checkpoint: str, tmp_path: Path) -> None:
    project = tmp_path / "projects" / "live"
    write_project(project, {"host": comfy.url}, checkpoint)
    assert run_command(Order("live", None, None, None, False, False, False, str(tmp_path))) in (0, 1)
    output = json.loads((project / "output" / "output_metadata.json").read_text(encoding="utf-8"))
    assert output["status"] == "ok"
    assert output["evaluation"]["criteria_results"].keys() == {"is_warm"}
    history = requests.get(f"{comfy.url}/history/{output['prompt_id']}", timeout=10).json()
    assert history[output["prompt_id"]]["status"]["status_str"] == "success"


def test_a_run_is_refused_before_it_begins_where_a_name_is_unknown(
    comfy: ComfyUI, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path / "projects" / "live", {"host": comfy.url}, "not there.safetensors")
    assert run_command(Order("live", None, None, None, False, True, False, str(tmp_path))) == 3
    assert 'knows no ckpt_name "not there.safetensors"' in capsys.readouterr().err


RULES = {
    "project": {"name": "live", "max_iterations": 2},
    "acceptance_criteria": [{"field": "is_warm", "question": "Is the light warm?", "must_include": ["warm light"]}],
    "questions": [{"field": "light", "question": "What is the light like?"}],
}


def write_project(root: Path, comfyui: Dict[str, Any], checkpoint: str) -> None:
    generation = {
        "workflow_file": "workflow/img2img_no_mask_api.json",
        "model": {"ckpt_name": checkpoint},
        "comfyui": comfyui,
        "parameters": {"denoise": 0.5, "steps": 2, "sampler_name": "euler", "scheduler": "normal"},
        "prompts": {"positive": "a red ball", "negative": "text"},
    }
    files = {"rules.yaml": RULES, "AIGen.yaml": generation, "AIVis.yaml": {"provider": "builtin"}}
    (root / "config").mkdir(parents=True)
    (root / "input").mkdir()
    (root / "input" / "input.png").write_bytes(photo())
    for name, content in files.items():
        (root / "config" / name).write_text(yaml.safe_dump(content), encoding="utf-8")


# --- a vision model ---------------------------------------------------------------------------------------------------


@pytest.fixture
def vision() -> Iterator[Vision]:
    if not OPENAI:
        pytest.skip("IMAGINATION_LIVE_OPENAI is not set")
    name = os.environ.get("IMAGINATION_LIVE_MODEL", "any")
    made = Vision.from_settings(VisionSettings(provider="openrouter", model=name, base_url=OPENAI), os.environ)
    yield made
    made.close()


@pytest.fixture
def judge(vision: Vision, tmp_path: Path) -> Judge:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(RULES), encoding="utf-8")
    texts = yaml.safe_load((DEFAULTS / "prompts.yaml").read_text(encoding="utf-8"))
    return Judge(vision, Templates(texts), load_rules(path).record)


@pytest.fixture
def picture() -> Picture:
    return images.for_vision(photo(), "the original")


def test_the_server_is_found_fit_to_look_at_pictures(vision: Vision) -> None:
    assert not [warning for warning in vision.preflight() if "/v1" in warning]


def test_questions_and_criteria_come_back_under_their_names(judge: Judge, picture: Picture) -> None:
    answers = judge.answer(1, picture, picture)
    assert answers.answers.keys() == {"light"}
    verdict = judge.evaluate(1, picture, picture, answers.answers)
    assert verdict.source == "aivis"
    assert verdict.criteria_results.keys() == {"is_warm"}
    assert verdict.overall_score == score(verdict.criteria_results)
    assert verdict.usage.prompt_tokens > 0


def test_prompts_are_rewritten_without_a_picture(judge: Judge, picture: Picture) -> None:
    judge.describe(picture)
    assert judge.description
    verdict = judge.evaluate(1, picture, picture, {})
    unheard = CallRecord(provider="none", model="none", success=False)
    compared = Comparison(
        iteration=1, source="measured", similarity_score=0.5, differences=[], analysis="", measured=0.5,
        aivis_metadata=unheard,
    )  # fmt: skip
    prompts, answer = judge.improve(Prompts(positive="a red ball", negative=""), verdict, compared)
    assert prompts.positive
    assert answer.values.keys() == {"positive", "negative"}
