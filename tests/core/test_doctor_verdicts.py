"""What `doctor` concludes from versions, bytes, pixels and tokens: tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import pytest

from imagination.config import load_rules
from imagination.doctor_files import family_of, judge_size
from imagination.doctor_generator import machine_of, option_of, room_for_comfyui
from imagination.doctor_machine import (
    check_packages,
    check_python,
    installed,
    judge_space,
    parsed,
    read_pyproject,
    requirements,
    writing,
)
from imagination.doctor_vision import (
    MENDS,
    context_of,
    instruction_tokens,
    judge_context,
    judge_sharing,
    mend_for,
    picture_tokens,
    solo,
)
from imagination.model import Generation, VisionSettings

GIB = 1024**3
ROOT = Path(__file__).resolve().parents[2]


# --- Python, packages, disk ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("3.8", (3, 8)), ("2.7.0rc1", (2, 7)), ("8.1.post2", (8, 1)), ("10.0.0", (10,)), ("unknown", (sys.maxsize,))],
)
def test_versions_are_compared_by_their_numbers(version: str, numbers: Tuple[int, ...]) -> None:
    assert parsed(version) == numbers


@pytest.mark.parametrize("name", ["Pillow", "pillow", "PyYAML", "pyyaml", "typing_extensions", "websocket-client"])
def test_a_package_is_found_under_the_name_in_pyproject_and_in_a_wheel(name: str) -> None:
    version, fault = installed(name)
    assert parsed(version) < (sys.maxsize,) and fault == ""


@pytest.mark.parametrize(("version", "state"), [("3.8.0", "ok"), ("3.7.17", "failure"), ("3.13.0rc2", "ok")])
def test_python_has_a_minimum(version: str, state: str) -> None:
    check = check_python(version, "3.8")
    assert (check.state, bool(check.mend)) == (state, state != "ok")


@pytest.mark.parametrize(
    ("found", "text", "asked"),
    [
        ({"click": ("8.1.7", ""), "Pillow": ("10.3", "")}, "click 8.1.7, Pillow 10.3", ""),
        ({"click": ("", "No module"), "Pillow": ("10.3", "")}, "click is missing", "'click>=8.1'"),
        ({"click": ("8.1", ""), "Pillow": ("9.5", "")}, "Pillow 9.5 is older than 10.3", "'Pillow>=10.3'"),
        (
            {"click": ("8.1", ""), "Pillow": ("10.3", "libjpeg.so.8")},
            "Pillow 10.3 cannot be imported: libjpeg.so.8",
            "'Pillow>=10.3' --force-reinstall",
        ),
        (
            {"click": ("8.0", ""), "Pillow": ("", "")},
            "click 8.0 is older than 8.1; Pillow is missing",
            "'click>=8.1' 'P",
        ),
    ],
)
def test_all_packages_are_told_in_one_line(found: Dict[str, Tuple[str, str]], text: str, asked: str) -> None:
    check = check_packages([("click", "8.1"), ("Pillow", "10.3")], lambda name: found[name])
    assert check.text == text
    assert check.state == ("failure" if asked else "ok")
    assert f"-m pip install {asked}" in check.mend if asked else not check.mend


def test_packages_are_found_whatever_their_module_is_called() -> None:
    for name in ("Pillow", "PyYAML", "websocket-client", "typing_extensions"):
        version, fault = installed(name)
        assert parsed(version) < (sys.maxsize,) and not fault
    assert installed("no-such-package")[0] == ""


def test_minimums_are_those_of_pyproject() -> None:
    text = (
        '[project]\nrequires-python = ">=3.8"\ndependencies = [\n    "click>=8.1",\n    "PyYAML>=6.0.1,<7",\n    "any",\n]\n'
        '[project.optional-dependencies]\ndemo = ["aiohttp>=3.10"]\n'
    )
    assert read_pyproject(text) == ("3.8", [("click", "8.1"), ("PyYAML", "6.0.1"), ("any", "")])
    assert {"click", "filelock", "pydantic", "websocket-client"} <= {name for name, _ in requirements()[1]}


@pytest.mark.parametrize(
    ("free", "state", "shown"),
    [
        (2 * 10**9, "ok", "2.0 GB"),
        (2 * 10**9 - 1, "warning", "2.0 GB"),
        (200 * 10**6, "warning", "200 MB"),
        (199 * 10**6, "failure", "199 MB"),
        (0, "failure", "0 MB"),
    ],
)
def test_free_space(free: int, state: str, shown: str) -> None:
    check = judge_space(free, "/data")
    assert check.state == state and shown in check.text and bool(check.mend) == (state != "ok")


def test_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    (check,) = writing([tmp_path, tmp_path / "working"])
    assert check.state == "ok" and list(tmp_path.iterdir()) == []


# --- the picture ---------------------------------------------------------------------------------------------------------


def generation(ckpt_name: Optional[str] = None, host: str = "localhost") -> Generation:
    data: Dict[str, Any] = {"workflow_file": "w.json", "comfyui": {"host": host}, "model": {"ckpt_name": ckpt_name}}
    return Generation.model_validate(data)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("sd_xl_base_1.0.safetensors", 1024),
        ("ponyDiffusionV6.safetensors", 1024),
        ("flux1-dev-fp8.safetensors", 1024),
        ("v1-5-pruned-emaonly.ckpt", 512),
        ("SD15/realisticVision.safetensors", 512),
        ("dreamshaper_8.safetensors", 768),
        ("model_v1.49.safetensors", 768),
    ],
)
def test_the_name_of_a_checkpoint_tells_its_size(name: str, side: int) -> None:
    assert family_of(name)[1] == side


@pytest.mark.parametrize(
    ("ckpt_name", "size", "state"),
    [
        ("sd_xl_base_1.0.safetensors", (1024, 1024), "ok"),
        ("sd_xl_base_1.0.safetensors", (512, 512), "ok"),
        ("sd_xl_base_1.0.safetensors", (504, 504), "warning"),
        ("sd_xl_base_1.0.safetensors", (3000, 2000), "warning"),
        ("v1-5-pruned.safetensors", (1000, 1000), "ok"),  # the default of max_megapixels
        ("v1-5-pruned.safetensors", (1200, 1000), "warning"),
        ("anything.safetensors", (248, 2000), "warning"),
    ],
)
def test_size_of_the_picture(ckpt_name: str, size: Tuple[int, int], state: str) -> None:
    check = judge_size("input.png", size, generation(ckpt_name))
    assert check.state == state and f"{size[0]}x{size[1]}" in check.text and bool(check.mend) == (state != "ok")


def test_the_built_in_engine_takes_any_size() -> None:
    assert judge_size("input.png", (48, 32), generation(host="builtin")).state == "ok"
    assert judge_size("input.png", (48, 32), None).state == "ok"


# --- the vision model ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [
        ("qwen3-vl:4b", (1024, 1024), 1024),
        ("qwen3-vl:4b", (640, 480), 1024),  # servers from 0.30 on take at least that
        ("qwen2.5vl:7b", (1024, 1024), 1369),
        ("llava:13b", (1024, 1024), 576),
        ("llama3.2-vision", (1024, 1024), 0),
        ("gemma3:4b", (1024, 1024), 1369),
    ],
)
def test_tokens_of_a_picture(model: str, size: Tuple[int, int], tokens: int) -> None:
    assert picture_tokens(model, size) == tokens


def vision(**keys: Any) -> VisionSettings:
    return VisionSettings.model_validate({"provider": "ollama", "model": "qwen3-vl:4b", **keys})


@pytest.mark.parametrize(
    ("keys", "made_for", "state", "mend"),
    [
        ({}, 0, "ok", ""),
        ({}, 262144, "ok", ""),
        ({"options": {"num_ctx": 4096}}, 262144, "warning", "num_ctx: 8192"),
        ({"max_tokens": 8000}, 262144, "warning", "num_ctx: 12288"),
        ({"max_tokens": 8000, "options": {"num_predict": 500}}, 262144, "ok", ""),
        ({"model": "llava:7b", "options": {"num_ctx": 4096}}, 4096, "ok", ""),
        ({}, 2048, "failure", "another model"),
    ],
)
def test_context_against_what_is_sent(keys: Dict[str, Any], made_for: int, state: str, mend: str) -> None:
    check = judge_context("vision context", vision(**keys), None, made_for)
    assert check.state == state and mend in check.mend


def test_rules_lengthen_the_instruction() -> None:
    rules = load_rules(ROOT / "defaults" / "config" / "rules.yaml").record
    assert instruction_tokens(None) < instruction_tokens(rules) < 5000


def test_context_that_a_model_was_made_for() -> None:
    assert context_of({"model_info": {"general.architecture": "qwen3vl", "qwen3vl.context_length": 262144}}) == 262144
    assert context_of({"model_info": None}) == context_of({}) == 0


def test_the_fallback_is_looked_at_as_a_provider_of_its_own() -> None:
    settings = vision(
        api_key="sk-secret",
        base_url="http://a:1",
        fallback_provider="openrouter",
        fallback_model="qwen/vl",
        fallback_base_url="http://b:2/v1",
    )
    alone = solo(settings, fallback=True)
    assert (alone.provider, alone.model, alone.base_url) == ("openrouter", "qwen/vl", "http://b:2/v1")
    assert alone.api_key is None and alone.fallback_provider is None  # the key belongs to the provider
    first = solo(settings, fallback=False)
    assert (first.provider, first.base_url, first.fallback_provider) == ("ollama", "http://a:1", None)


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("Ollama 0.4.1 cannot give structured output (from 0.5.0 on it can).", "update Ollama"),
        ("qwen/vl cannot give structured output; replies are read leniently.", "supported_parameters"),
        ("http://x/models answered 404; is /v1 missing in base_url?", "add /v1"),
        ("something new", "AIVis.yaml"),
    ],
)
def test_a_providers_warning_has_a_mend(text: str, mend: str) -> None:
    assert mend in mend_for(text)


def test_every_known_warning_is_still_one_that_a_provider_gives() -> None:
    sources = "".join((ROOT / "imagination" / name).read_text("utf-8") for name in ("ollama.py", "openrouter.py"))
    assert [part for part, _ in MENDS if part not in sources] == []


# --- memory of the GPU --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "room"),
    [
        (
            {"type": "cuda", "vram_free": 5, "torch_vram_total": 7, "torch_vram_free": 2},
            10,
        ),  # 5 in ComfyUI's own models
        ({"type": "cuda", "vram_free": 5}, None),
        ({"type": "cpu", "vram_free": 5, "torch_vram_total": 7, "torch_vram_free": 2}, None),
        ({}, None),
    ],
)
def test_what_comfyui_holds_itself_counts_as_room(device: Dict[str, Any], room: Optional[int]) -> None:
    assert room_for_comfyui(device) == room


@pytest.mark.parametrize(
    ("device", "model_bytes", "unloads", "state", "text"),
    [
        ({"type": "cuda", "vram_total": 24 * GIB}, 3 * GIB, False, "ok", "hold the two"),
        ({"type": "cuda", "vram_total": 8 * GIB}, 3 * GIB, False, "warning", "about 12 GB together, and it has 8 GB"),
        ({"type": "cuda", "vram_total": 8 * GIB}, 3 * GIB, True, "ok", "keep_alive: 0 unloads"),
        ({"type": "cuda"}, 3 * GIB, False, "ok", "should memory run out"),
        ({"type": "cpu", "vram_total": 8 * GIB}, 3 * GIB, False, "ok", "on the CPU"),
    ],
)
def test_one_gpu_for_both(device: Dict[str, Any], model_bytes: int, unloads: bool, state: str, text: str) -> None:
    check = judge_sharing(device, model_bytes, 9 * GIB, unloads)
    assert check.state == state and text in check.text
    assert bool(check.mend) == (state != "ok")


@pytest.mark.parametrize(
    ("url", "machine"),
    [
        ("http://localhost:8188", ""),
        ("http://127.0.0.2:1", ""),
        ("http://[::1]:1", ""),
        ("https://GPU-box/x", "gpu-box"),
    ],
)
def test_loopback_in_any_spelling_is_this_machine(url: str, machine: str) -> None:
    assert machine_of(url) == machine


def test_commands_that_mend_name_the_project_as_a_shell_needs_it() -> None:
    assert option_of("my project", None) == " --project 'my project'"
    assert option_of(None, "/w") == " --workspace /w"
