"""Where settings go in workflows of many shapes, and what is said when one has no place."""

from __future__ import annotations

import io
import json
from typing import Any, Dict, Optional

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagination.errors import WorkflowError
from imagination.workflow import Graph, apply, current, read_workflow, require, trace


def node(class_type: str, title: str = "", **inputs: Any) -> Dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs, **({"_meta": {"title": title}} if title else {})}


def plain() -> Graph:
    """The default img2img, with ids that mean nothing."""
    return {
        "a": node("CheckpointLoaderSimple", ckpt_name="x.safetensors"),
        "b": node("LoadImage", image="example.png"),
        "c": node("VAEEncode", pixels=["b", 0], vae=["a", 2]),
        "d": node("CLIPTextEncode", text="good", clip=["a", 1]),
        "e": node("CLIPTextEncode", text="bad", clip=["a", 1]),
        "f": node(
            "KSampler",
            model=["a", 0],
            positive=["d", 0],
            negative=["e", 0],
            latent_image=["c", 0],
            seed=5,
            steps=20,
            cfg=7.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=0.5,
        ),
        "g": node("VAEDecode", samples=["f", 0], vae=["a", 2]),
        "h": node("SaveImage", images=["g", 0], filename_prefix="x"),
    }


def flux() -> Graph:
    """Custom sampling in separate nodes, one positive text, no negative, no checkpoint file."""
    return {
        "1": node("UNETLoader", unet_name="flux.safetensors", weight_dtype="default"),
        "2": node("DualCLIPLoader", clip_name1="a", clip_name2="b", type="flux"),
        "3": node("VAELoader", vae_name="ae.safetensors"),
        "4": node("LoadImage", image="x.png"),
        "5": node("ImageScaleToTotalPixels", image=["4", 0], megapixels=1.0),
        "6": node("VAEEncode", pixels=["5", 0], vae=["3", 0]),
        "7": node("CLIPTextEncode", text="a fox", clip=["2", 0]),
        "8": node("FluxGuidance", conditioning=["7", 0], guidance=3.5),
        "11": node("BasicGuider", model=["1", 0], conditioning=["8", 0]),
        "12": node("RandomNoise", noise_seed=7),
        "13": node("KSamplerSelect", sampler_name="euler"),
        "14": node("BasicScheduler", model=["1", 0], scheduler="simple", steps=20, denoise=0.6),
        "15": node(
            "SamplerCustomAdvanced",
            noise=["12", 0],
            guider=["11", 0],
            sampler=["13", 0],
            sigmas=["14", 0],
            latent_image=["6", 0],
        ),
        "16": node("VAEDecode", samples=["15", 0], vae=["3", 0]),
        "17": node("SaveImage", images=["16", 0], filename_prefix="x"),
    }


def test_settings_are_found_by_links_not_by_ids() -> None:
    targets = trace(plain(), "w.json")
    assert targets.sampler == "f" and targets.output_node == "h"
    assert {name: slots[0] for name, slots in targets.slots.items()} == {
        **{name: ("f", name) for name in ("denoise", "cfg", "steps", "seed", "sampler_name", "scheduler")},
        "ckpt_name": ("a", "ckpt_name"),
        "positive": ("d", "text"),
        "negative": ("e", "text"),
        "image": ("b", "image"),
    }


def test_only_what_is_given_is_changed_and_the_original_stays() -> None:
    graph = plain()
    targets = trace(graph, "w.json")
    changed = apply(graph, targets, {"cfg": 9.0, "positive": "better", "denoise": None})
    assert graph == plain()
    expected = plain()
    expected["f"]["inputs"]["cfg"] = 9.0
    expected["d"]["inputs"]["text"] = "better"
    assert changed == expected


def test_current_reads_the_workflows_own_values() -> None:
    graph = plain()
    assert current(graph, trace(graph, "w")).as_dict() == {
        "denoise": 0.5,
        "cfg": 7.0,
        "steps": 20,
        "seed": 5,
        "sampler_name": "euler",
        "scheduler": "normal",
    }


def test_intermediate_nodes_are_passed_through() -> None:
    graph = plain()
    graph["l"] = node("LoraLoader", model=["a", 0], clip=["a", 1], lora_name="y", strength_model=1.0, strength_clip=1.0)
    graph["n"] = node("ControlNetLoader", control_net_name="z")
    graph["p"] = node("LoadImage", image="pose.png")
    graph["m"] = node(
        "ControlNetApplyAdvanced",
        positive=["d", 0],
        negative=["e", 0],
        control_net=["n", 0],
        image=["p", 0],
        strength=1.0,
    )
    graph["s"] = node("ImageScale", image=["b", 0], width=512, height=512, upscale_method="lanczos", crop="disabled")
    graph["r"] = node("Reroute", **{"": ["l", 0]})
    graph["c"]["inputs"]["pixels"] = ["s", 0]
    graph["f"]["inputs"].update(model=["r", 0], positive=["m", 0], negative=["m", 1])
    targets = trace(graph, "w")
    assert targets.slots["positive"] == (("d", "text"),)
    assert targets.slots["negative"] == (("e", "text"),)
    assert targets.slots["ckpt_name"] == (("a", "ckpt_name"),)
    assert targets.slots["image"] == (("b", "image"),)


def test_ksampler_advanced_has_noise_seed_and_no_denoise() -> None:
    graph = plain()
    inputs = graph["f"]["inputs"]
    del inputs["denoise"], inputs["seed"]
    inputs.update(
        noise_seed=3, add_noise="enable", start_at_step=4, end_at_step=20, return_with_leftover_noise="disable"
    )
    graph["f"]["class_type"] = "KSamplerAdvanced"
    targets = trace(graph, "w")
    assert targets.slots["seed"] == (("f", "noise_seed"),)
    with pytest.raises(WorkflowError, match=r"w: parameters.denoise has no place in it: KSamplerAdvanced \(node f\)"):
        require(targets, {"denoise": "parameters.denoise"}, "w")


def test_the_parts_of_custom_sampling_are_found() -> None:
    targets = trace(flux(), "w")
    assert {name: slots[0] for name, slots in targets.slots.items()} == {
        "denoise": ("14", "denoise"),
        "steps": ("14", "steps"),
        "scheduler": ("14", "scheduler"),
        "seed": ("12", "noise_seed"),
        "sampler_name": ("13", "sampler_name"),
        "positive": ("7", "text"),
        "image": ("4", "image"),
    }
    assert targets.output_node == "17"
    assert "UNETLoader (node 1)" in targets.unreachable["ckpt_name"]
    assert set(targets.unreachable) == {"cfg", "ckpt_name", "negative"}


def test_a_cfg_guider_brings_cfg_and_negative() -> None:
    graph = flux()
    graph["9"] = node("CLIPTextEncode", text="bad", clip=["2", 0])
    graph["11"] = node("CFGGuider", model=["1", 0], positive=["8", 0], negative=["9", 0], cfg=4.0)
    targets = trace(graph, "w")
    assert targets.slots["cfg"] == (("11", "cfg"),)
    assert targets.slots["negative"] == (("9", "text"),)


def test_a_blanked_negative_has_no_place() -> None:
    graph = plain()
    graph["z"] = node("ConditioningZeroOut", conditioning=["d", 0])
    graph["f"]["inputs"]["negative"] = ["z", 0]
    assert "blanks" in trace(graph, "w").unreachable["negative"]


def test_both_texts_of_an_sdxl_encoder_are_set() -> None:
    graph = plain()
    graph["d"] = node("CLIPTextEncodeSDXL", clip=["a", 1], text_g="g", text_l="l", width=1024)
    changed = apply(graph, trace(graph, "w"), {"positive": "new"})
    assert (changed["d"]["inputs"]["text_g"], changed["d"]["inputs"]["text_l"]) == ("new", "new")


def test_a_value_in_a_primitive_is_set_there() -> None:
    graph = plain()
    graph["q"] = node("PrimitiveString", value="old")
    graph["i"] = node("PrimitiveInt", value=3)
    graph["d"]["inputs"]["text"] = ["q", 0]
    graph["f"]["inputs"]["seed"] = ["i", 0]
    targets = trace(graph, "w")
    assert targets.slots["positive"] == (("q", "value"),)
    assert targets.slots["seed"] == (("i", "value"),)


def test_a_number_is_never_written_where_a_text_stands() -> None:
    graph = plain()
    graph["f"]["inputs"]["cfg"] = ["d", 0]  # linked to the text encoder by mistake
    targets = trace(graph, "w")
    assert "cfg" not in targets.slots
    assert "no value to set" in targets.unreachable["cfg"]


def test_ids_9_and_10_break_the_tie_between_encoders() -> None:
    graph = plain()
    graph["9"], graph["10"] = graph.pop("d"), graph.pop("e")
    graph["x"] = node("CLIPTextEncode", text="more", clip=["a", 1])
    graph["k"] = node("ConditioningCombine", conditioning_1=["x", 0], conditioning_2=["9", 0])
    graph["f"]["inputs"].update(positive=["k", 0], negative=["10", 0])
    targets = trace(graph, "w")
    assert targets.slots["positive"] == (("9", "text"),)
    assert targets.slots["negative"] == (("10", "text"),)


def test_the_sampler_next_to_the_input_is_the_one() -> None:
    graph = plain()
    graph["r"] = json.loads(json.dumps(graph["f"]))
    graph["r"]["inputs"].update(latent_image=["f", 0], denoise=0.2)
    graph["g"]["inputs"]["samples"] = ["r", 0]
    targets = trace(graph, "w")
    assert (targets.sampler, targets.output_node) == ("f", "h")


def test_the_nearest_saver_below_the_sampler_is_the_output() -> None:
    graph = plain()
    graph["0"] = node("SaveImage", images=["b", 0], filename_prefix="the input")
    graph["u"] = node("UpscaleModelLoader", model_name="4x")
    graph["v"] = node("ImageUpscaleWithModel", upscale_model=["u", 0], image=["g", 0])
    graph["1"] = node("SaveImage", images=["v", 0], filename_prefix="large")
    assert trace(graph, "w").output_node == "h"


def _without(graph: Graph, *ids: str) -> Graph:
    return {node_id: value for node_id, value in graph.items() if node_id not in ids}


def _linked(graph: Graph, node_id: str, **inputs: Any) -> Graph:
    graph[node_id]["inputs"].update(inputs)
    return graph


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        (_without(plain(), "f", "g", "h"), "has no sampler"),
        (_without(plain(), "h"), "nothing saves the picture"),
        (_linked({**plain(), "t": node("EmptyLatentImage", width=8)}, "f", latent_image=["t", 0]), "text-to-image"),
        (
            _linked(
                {
                    **plain(),
                    "t": node("LoadImage", image="y"),
                    "u": node("ImageBlend", image1=["b", 0], image2=["t", 0]),
                },
                "c",
                pixels=["u", 0],
            ),
            "several nodes load the picture",
        ),
    ],
)
def test_what_cannot_be_driven_is_refused(graph: Graph, told: str) -> None:
    with pytest.raises(WorkflowError, match=told):
        trace(graph, "w.json")


def test_a_loop_in_the_graph_does_not_hang() -> None:
    graph = _linked({**plain(), "t": node("Reroute", x=["t", 0])}, "f", model=["t", 0])
    assert "ckpt_name" in trace(graph, "w").unreachable


# --- files ---------------------------------------------------------------------------------------------------------------

EDITOR = {"nodes": [{"id": 1, "type": "KSampler"}], "links": [], "version": 0.4}


def _png(prompt: Optional[Any] = None, workflow: Optional[Any] = None, exif: bytes = b"") -> bytes:
    info = PngInfo()
    for key, value in (("prompt", prompt), ("workflow", workflow)):
        if value is not None:
            info.add_text(key, json.dumps(value))
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=info, exif=exif)
    return buffer.getvalue()


def _webp(prompt: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0110] = "prompt:" + json.dumps(prompt)
    exif[0x010F] = "workflow:" + json.dumps(EDITOR)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "WEBP", exif=exif)
    return buffer.getvalue()


def _with_nan(graph: Graph) -> Graph:
    """As ComfyUI saves a graph whose node says that it is to run every time."""
    graph["b"]["is_changed"] = [float("nan")]
    return graph


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(plain()).encode(),
        b"\xef\xbb\xbf" + json.dumps(plain()).encode(),
        json.dumps({"prompt": plain(), "client_id": "x"}).encode(),
        _png(prompt=plain(), workflow=EDITOR),
        _webp(plain()),
        _png(prompt=_with_nan(plain())),
    ],
    ids=["json", "byte order mark", "request body", "png", "webp", "png of a run that looked for changes"],
)
def test_api_workflows_are_read(data: bytes) -> None:
    assert read_workflow(data, "w") == plain()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (json.dumps(EDITOR).encode(), "editor's own format"),
        (_png(workflow=EDITOR), "editor's own format"),
        (_png(), "carries no workflow"),
        (_png()[:40], "damaged picture"),
        (_png(prompt=plain(), exif=b"Exif\0\0no TIFF at all"), "damaged picture"),
        (json.dumps(_linked(plain(), "d", text="a \ud800 b")).encode(), r"w: d\.inputs\.text has half a character"),
        (json.dumps({**plain(), "x": node("Ka\ud800")}).encode(), r"w: x\.class_type has half a character"),
        (json.dumps(plain()).replace("7.0", "1e999").encode(), r"w: f\.inputs\.cfg is a number without bounds"),
        (_png(prompt=_linked(plain(), "f", cfg=float("nan"))), r"w: f\.inputs\.cfg is a number without bounds"),
        (b"{", "w:1 is not JSON"),
        (b"[1]", "holds no workflow"),
        (b"{}", "holds no workflow"),
        pytest.param(b"[" * 100_000, "w cannot be read: it is nested too deeply", id="deep"),
        pytest.param(b"[" + b"[]," * 1_000_000 + b"1]", "w cannot be read: it has too many parts", id="wide"),
        (b'{"1": {"inputs": {}}}', "node 1 has no class_type"),
        (b'{"1": {"class_type": "X", "inputs": 3}}', "not a mapping"),
        (b'{"1": {"class_type": "X", "inputs": {"a": ["7", 0]}}}', "node 7, which is not there"),
    ],
)
def test_other_files_are_refused_in_one_line_with_the_way_out(data: bytes, told: str) -> None:
    with pytest.raises(WorkflowError, match=told) as caught:
        read_workflow(data, "w")
    assert "\n" not in caught.value.message and "Export (API)" in caught.value.hint
