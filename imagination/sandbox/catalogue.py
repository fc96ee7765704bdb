"""The node classes the built-in generator offers, as /object_info describes them.

Names, types, defaults and limits are ComfyUI's, so that a workflow made for it is checked alike; tooltips are left out.
What a class does is in `nodes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from imagination.sandbox import nodes
from imagination.sandbox.folders import Folders, NotAllowed, fingerprint

CKPT_NAME = "builtin.safetensors"
SAMPLERS = (  # noqa: SIM905 - forty lines otherwise
    "euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 dpm_2 dpm_2_ancestral lms dpm_fast "
    "dpm_adaptive dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp dpmpp_sde dpmpp_sde_gpu dpmpp_2m dpmpp_2m_cfg_pp "
    "dpmpp_2m_sde dpmpp_2m_sde_gpu dpmpp_2m_sde_heun dpmpp_2m_sde_heun_gpu dpmpp_3m_sde dpmpp_3m_sde_gpu ddpm lcm "
    "ipndm ipndm_v deis res_multistep res_multistep_cfg_pp res_multistep_ancestral res_multistep_ancestral_cfg_pp "
    "gradient_estimation gradient_estimation_cfg_pp er_sde seeds_2 seeds_3 sa_solver sa_solver_pece ddim uni_pc "
    "uni_pc_bh2"
).split()
SCHEDULERS = "simple sgm_uniform karras exponential ddim_uniform beta normal linear_quadratic kl_optimal".split()  # noqa: SIM905
FILES = object()  # stands for the pictures in the input folder
Spec = List[Any]  # one input as /object_info describes it: [type or choices, {limits}]


@dataclass(frozen=True)
class NodeClass:
    """One class: its entry in /object_info, and `run(tools, **inputs)`, which gives the outputs (or an output node's ui)."""

    name: str
    run: Callable[..., Any]
    required: Mapping[str, Spec]
    outputs: Tuple[str, ...] = ()
    names: Tuple[str, ...] = ()
    title: str = ""
    category: str = ""
    is_output: bool = False
    check: Optional[Callable[[Folders, Mapping[str, Any]], Optional[str]]] = None  # text: why the inputs are refused
    changed: Optional[Callable[[Folders, Mapping[str, Any]], str]] = None  # joins the cache key

    def inputs(self, folders: Folders) -> Dict[str, Spec]:
        """Describe the inputs as they are now: a list of files is read from the disk."""
        return {
            name: [folders.pictures(), *spec[1:]] if spec[0] is FILES else spec for name, spec in self.required.items()
        }

    def describe(self, folders: Folders) -> Dict[str, Any]:
        """Give the class's entry in /object_info."""
        inputs: Dict[str, Any] = {"required": self.inputs(folders)}
        order: Dict[str, Any] = {"required": list(self.required)}
        if self.is_output:
            inputs["hidden"] = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
            order["hidden"] = list(inputs["hidden"])
        return {
            "input": inputs,
            "input_order": order,
            "output": list(self.outputs),
            "output_is_list": [False] * len(self.outputs),
            "output_name": list(self.names or self.outputs),
            "name": self.name,
            "display_name": self.title or self.name,
            "description": "",
            "python_module": "nodes",
            "category": self.category,
            "output_node": self.is_output,
        }


def _file_is_there(folders: Folders, inputs: Mapping[str, Any]) -> Optional[str]:
    try:
        found = folders.annotated(str(inputs["image"])).is_file()
    except (NotAllowed, ValueError):
        found = False
    return None if found else f"image - Invalid image file: {inputs['image']}"


def _file_content(folders: Folders, inputs: Mapping[str, Any]) -> str:
    return fingerprint(folders.annotated(inputs["image"]))


_SEED: Spec = ["INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}]
_STEPS: Spec = ["INT", {"default": 20, "min": 1, "max": 10000}]
_CFG: Spec = ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01}]
_SIDE: Spec = ["INT", {"default": 512, "min": 16, "max": 16384, "step": 8}]
_GROWTH: Spec = ["INT", {"default": 6, "min": 0, "max": 64, "step": 1}]
_METHOD: Spec = [list(nodes.UPSCALERS), {}]


def _one(kind: str) -> Spec:
    return [kind, {}]


def _zero_to_one(step: float) -> Spec:
    return ["FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": step}]


def _integer(default: int, least: int, most: int) -> Spec:
    return ["INT", {"default": default, "min": least, "max": most}]


_SAMPLING: Dict[str, Spec] = {
    "steps": _STEPS,
    "cfg": _CFG,
    "sampler_name": [SAMPLERS, {}],
    "scheduler": [SCHEDULERS, {}],
    "positive": _one("CONDITIONING"),
    "negative": _one("CONDITIONING"),
    "latent_image": _one("LATENT"),
}
_PICTURE: Spec = [FILES, {"image_upload": True}]

_ALL: Sequence[NodeClass] = (
    NodeClass(
        "CheckpointLoaderSimple",
        nodes.load_checkpoint,
        {"ckpt_name": [[CKPT_NAME], {}]},
        ("MODEL", "CLIP", "VAE"),
        title="Load Checkpoint",
        category="loaders",
    ),
    NodeClass(
        "LoadImage",
        nodes.load_image,
        {"image": _PICTURE},
        ("IMAGE", "MASK"),
        title="Load Image",
        category="image",
        check=_file_is_there,
        changed=_file_content,
    ),
    NodeClass(
        "LoadImageMask",
        nodes.load_image_mask,
        {"image": _PICTURE, "channel": [["alpha", "red", "green", "blue"], {}]},
        ("MASK",),
        title="Load Image (as Mask)",
        category="mask",
        check=_file_is_there,
        changed=_file_content,
    ),
    NodeClass(
        "VAEEncode",
        nodes.vae_encode,
        {"pixels": _one("IMAGE"), "vae": _one("VAE")},
        ("LATENT",),
        title="VAE Encode",
        category="latent",
    ),
    NodeClass(
        "VAEEncodeForInpaint",
        nodes.vae_encode_for_inpaint,
        {
            "pixels": _one("IMAGE"),
            "vae": _one("VAE"),
            "mask": _one("MASK"),
            "grow_mask_by": _GROWTH,
        },
        ("LATENT",),
        title="VAE Encode (for Inpainting)",
        category="latent/inpaint",
    ),
    NodeClass(
        "SetLatentNoiseMask",
        nodes.set_noise_mask,
        {"samples": _one("LATENT"), "mask": _one("MASK")},
        ("LATENT",),
        title="Set Latent Noise Mask",
        category="latent/inpaint",
    ),
    NodeClass(
        "EmptyLatentImage",
        nodes.empty_latent,
        {"width": _SIDE, "height": _SIDE, "batch_size": _integer(1, 1, 4096)},
        ("LATENT",),
        title="Empty Latent Image",
        category="latent",
    ),
    NodeClass(
        "RepeatLatentBatch",
        nodes.repeat_latent,
        {"samples": _one("LATENT"), "amount": _integer(1, 1, 64)},
        ("LATENT",),
        title="Repeat Latent Batch",
        category="latent/batch",
    ),
    NodeClass(
        "VAEDecode",
        nodes.vae_decode,
        {"samples": _one("LATENT"), "vae": _one("VAE")},
        ("IMAGE",),
        title="VAE Decode",
        category="latent",
    ),
    NodeClass(
        "CLIPTextEncode",
        nodes.encode_text,
        {"text": ["STRING", {"multiline": True, "dynamicPrompts": True}], "clip": _one("CLIP")},
        ("CONDITIONING",),
        title="CLIP Text Encode (Prompt)",
        category="conditioning",
    ),
    NodeClass(
        "ConditioningZeroOut",
        nodes.zero_out,
        {"conditioning": _one("CONDITIONING")},
        ("CONDITIONING",),
        category="advanced/conditioning",
    ),
    NodeClass(
        "FluxGuidance",
        nodes.flux_guidance,
        {
            "conditioning": _one("CONDITIONING"),
            "guidance": ["FLOAT", {"default": 3.5, "min": 0.0, "max": 100.0, "step": 0.1}],
        },
        ("CONDITIONING",),
        category="advanced/conditioning/flux",
    ),
    NodeClass(
        "KSampler",
        nodes.k_sampler,
        {"model": _one("MODEL"), "seed": _SEED, **_SAMPLING, "denoise": _zero_to_one(0.01)},
        ("LATENT",),
        category="sampling",
    ),
    NodeClass(
        "KSamplerAdvanced",
        nodes.k_sampler_advanced,
        {
            "model": _one("MODEL"),
            "add_noise": [["enable", "disable"], {}],
            "noise_seed": _SEED,
            **_SAMPLING,
            "start_at_step": _integer(0, 0, 10000),
            "end_at_step": _integer(10000, 0, 10000),
            "return_with_leftover_noise": [["disable", "enable"], {}],
        },
        ("LATENT",),
        title="KSampler (Advanced)",
        category="sampling",
    ),
    NodeClass(
        "RandomNoise",
        nodes.random_noise,
        {"noise_seed": _SEED},
        ("NOISE",),
        category="sampling/custom_sampling/noise",
    ),
    NodeClass(
        "BasicGuider",
        nodes.basic_guider,
        {"model": _one("MODEL"), "conditioning": _one("CONDITIONING")},
        ("GUIDER",),
        category="sampling/custom_sampling/guiders",
    ),
    NodeClass(
        "CFGGuider",
        nodes.cfg_guider,
        {"model": _one("MODEL"), "positive": _one("CONDITIONING"), "negative": _one("CONDITIONING"), "cfg": _CFG},
        ("GUIDER",),
        category="sampling/custom_sampling/guiders",
    ),
    NodeClass(
        "KSamplerSelect",
        nodes.select_sampler,
        {"sampler_name": [SAMPLERS, {}]},
        ("SAMPLER",),
        category="sampling/custom_sampling/samplers",
    ),
    NodeClass(
        "BasicScheduler",
        nodes.basic_scheduler,
        {"model": _one("MODEL"), "scheduler": [SCHEDULERS, {}], "steps": _STEPS, "denoise": _zero_to_one(0.01)},
        ("SIGMAS",),
        category="sampling/custom_sampling/schedulers",
    ),
    NodeClass(
        "SamplerCustomAdvanced",
        nodes.sampler_custom_advanced,
        {
            "noise": _one("NOISE"),
            "guider": _one("GUIDER"),
            "sampler": _one("SAMPLER"),
            "sigmas": _one("SIGMAS"),
            "latent_image": _one("LATENT"),
        },
        ("LATENT", "LATENT"),
        ("output", "denoised_output"),
        category="sampling/custom_sampling",
    ),
    NodeClass(
        "ImageScale",
        nodes.image_scale,
        {
            "image": _one("IMAGE"),
            "upscale_method": _METHOD,
            "width": _integer(512, 0, 16384),
            "height": _integer(512, 0, 16384),
            "crop": [["disabled", "center"], {}],
        },
        ("IMAGE",),
        title="Upscale Image",
        category="image/upscaling",
    ),
    NodeClass(
        "ImageScaleToTotalPixels",
        nodes.scale_to_total_pixels,
        {
            "image": _one("IMAGE"),
            "upscale_method": ["COMBO", {"multiselect": False, "options": list(nodes.UPSCALERS)}],
            "megapixels": ["FLOAT", {"default": 1.0, "min": 0.01, "max": 16.0, "step": 0.01}],
        },
        ("IMAGE",),
        category="image/upscaling",
    ),
    NodeClass(
        "SaveImage",
        nodes.save_image,
        {"images": _one("IMAGE"), "filename_prefix": ["STRING", {"default": "ComfyUI"}]},
        title="Save Image",
        category="image",
        is_output=True,
    ),
    NodeClass(
        "PreviewImage",
        nodes.preview_image,
        {"images": _one("IMAGE")},
        title="Preview Image",
        category="image",
        is_output=True,
    ),
)
CLASSES: Mapping[str, NodeClass] = {node_class.name: node_class for node_class in _ALL}
