"""What each node of the built-in generator does: `node(tools, **inputs)` gives its outputs, an output node its ui.

A latent is the picture itself, cropped to sides that are multiples of 8; a conditioning is its text. An IMAGE is a
tuple of RGB pictures, a MASK a grey one (white: to be painted). `catalogue` describes the inputs.
"""

from __future__ import annotations

import json
import random
import string
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageSequence
from PIL.PngImagePlugin import PngInfo

from imagination.sandbox.folders import Folders

UPSCALERS = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
PNG_EFFORT = 1  # zlib level; 4 as in ComfyUI would take longer than the sampling

Sampler = Callable[..., Image.Image]  # imagination.sandbox.diffusion.sample
OnStep = Callable[[int, int, Optional[Image.Image]], None]
Pictures = Tuple[Image.Image, ...]


@dataclass(frozen=True)
class Tools:
    """What a node may use while it runs. `on_step` reports progress and raises when the run was interrupted."""

    sample: Sampler
    folders: Folders
    on_step: OnStep
    png_texts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Conditioning:
    """The prompt text, as CLIPTextEncode hands it on."""

    text: str


@dataclass(frozen=True)
class Latent:
    """Pictures to sample from; where `mask` is black they are kept."""

    images: Pictures
    mask: Optional[Image.Image] = None


@dataclass(frozen=True)
class Guider:
    """Both texts and their weight, as the custom sampling nodes pass them."""

    positive: Conditioning
    negative: Conditioning
    cfg: float


@dataclass(frozen=True)
class Sigmas:
    """A scheduler's part of the sampling settings."""

    scheduler: str
    steps: int
    denoise: float


# --- pictures in and out ----------------------------------------------------------------------------------------------


def load_image(tools: Tools, image: str) -> Tuple[Pictures, Image.Image]:
    """Give the file's frames, turned as EXIF says, and its mask: white where the picture is transparent."""
    with Image.open(tools.folders.annotated(image)) as opened:
        frames = [ImageOps.exif_transpose(frame.copy()) for frame in ImageSequence.Iterator(opened)]
    return tuple(frame.convert("RGB") for frame in frames), _transparency(frames[0])


def load_image_mask(tools: Tools, image: str, channel: str) -> Tuple[Image.Image]:
    with Image.open(tools.folders.annotated(image)) as opened:
        picture = ImageOps.exif_transpose(opened.copy())
    if channel == "alpha":
        return (_transparency(picture),)
    return (picture.convert("RGB").getchannel(channel[0].upper()),)


def save_image(tools: Tools, images: Pictures, filename_prefix: str) -> Dict[str, Any]:
    return _save(tools, images, "output", filename_prefix, tools.png_texts)


def preview_image(tools: Tools, images: Pictures) -> Dict[str, Any]:
    letters = "".join(random.choice(string.ascii_lowercase) for _ in range(5))
    return _save(tools, images, "temp", f"ComfyUI_temp_{letters}", tools.png_texts)


def _save(tools: Tools, images: Pictures, kind: str, prefix: str, texts: Mapping[str, Any]) -> Dict[str, Any]:
    folder, stem, number = tools.folders.numbered(kind, prefix, images[0].size)
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, json.dumps(value))
    saved = []
    for index, image in enumerate(images):
        name = f"{stem.replace('%batch_num%', str(index))}_{number + index:05}_.png"
        image.save(folder / name, pnginfo=info, compress_level=PNG_EFFORT)
        saved.append({"filename": name, "subfolder": tools.folders.subfolder_of(kind, folder), "type": kind})
    return {"images": saved}


def image_scale(
    tools: Tools, image: Pictures, upscale_method: str, width: int, height: int, crop: str
) -> Tuple[Pictures]:
    """Resize; a side of 0 follows from the other one, and both 0 leave the picture alone."""
    return (tuple(_resized(picture, upscale_method, width, height, crop) for picture in image),)


def scale_to_total_pixels(tools: Tools, image: Pictures, upscale_method: str, megapixels: float) -> Tuple[Pictures]:
    width, height = image[0].size
    factor = (megapixels * 1024 * 1024 / (width * height)) ** 0.5
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return (tuple(picture.resize(size, UPSCALERS[upscale_method]) for picture in image),)


def _resized(picture: Image.Image, method: str, width: int, height: int, crop: str) -> Image.Image:
    if width == 0 and height == 0:
        return picture
    width = width or max(1, round(picture.width * height / picture.height))
    height = height or max(1, round(picture.height * width / picture.width))
    if crop == "center":
        return ImageOps.fit(picture, (width, height), UPSCALERS[method])
    return picture.resize((width, height), UPSCALERS[method])


def _transparency(picture: Image.Image) -> Image.Image:
    if "A" in picture.getbands() or "transparency" in picture.info:
        return ImageChops.invert(picture.convert("RGBA").getchannel("A"))
    return Image.new("L", picture.size, 0)


# --- latents ----------------------------------------------------------------------------------------------------------


def vae_encode(tools: Tools, pixels: Pictures, vae: Any) -> Tuple[Latent]:
    return (Latent(tuple(_cropped(picture) for picture in pixels)),)


def vae_encode_for_inpaint(
    tools: Tools, pixels: Pictures, vae: Any, mask: Image.Image, grow_mask_by: int
) -> Tuple[Latent]:
    grown = mask.filter(ImageFilter.MaxFilter(2 * (grow_mask_by // 2) + 1)) if grow_mask_by > 1 else mask
    return (replace(vae_encode(tools, pixels, vae)[0], mask=grown),)


def set_noise_mask(tools: Tools, samples: Latent, mask: Image.Image) -> Tuple[Latent]:
    return (replace(samples, mask=mask),)


def empty_latent(tools: Tools, width: int, height: int, batch_size: int) -> Tuple[Latent]:
    grey = Image.new("RGB", (width - width % 8, height - height % 8), (128, 128, 128))
    return (Latent((grey,) * batch_size),)


def repeat_latent(tools: Tools, samples: Latent, amount: int) -> Tuple[Latent]:
    return (replace(samples, images=samples.images * amount),)


def vae_decode(tools: Tools, samples: Latent, vae: Any) -> Tuple[Pictures]:
    return (samples.images,)


def _cropped(picture: Image.Image) -> Image.Image:
    width, height = picture.width - picture.width % 8, picture.height - picture.height % 8
    if not (width and height):
        raise RuntimeError(f"a picture of {picture.width}x{picture.height} px is too small: 8 px a side at least")
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


# --- sampling ---------------------------------------------------------------------------------------------------------


def load_checkpoint(tools: Tools, ckpt_name: str) -> Tuple[str, str, str]:
    return ckpt_name, ckpt_name, ckpt_name


def encode_text(tools: Tools, text: str, clip: Any) -> Tuple[Conditioning]:
    return (Conditioning(text),)


def k_sampler(
    tools: Tools,
    model: Any,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    denoise: float,
) -> Tuple[Latent]:
    guider = Guider(_text(positive, "positive"), _text(negative, "negative"), cfg)
    return (_sampled(tools, latent_image, guider, seed, sampler_name, Sigmas(scheduler, steps, denoise)),)


def k_sampler_advanced(
    tools: Tools,
    model: Any,
    add_noise: str,
    noise_seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    start_at_step: int,
    end_at_step: int,
    return_with_leftover_noise: str,
) -> Tuple[Latent]:
    """Sample a stretch of the steps: the share of them that is run stands for denoise."""
    run = max(0, min(end_at_step, steps) - start_at_step)
    guider = Guider(_text(positive, "positive"), _text(negative, "negative"), cfg)
    return (_sampled(tools, latent_image, guider, noise_seed, sampler_name, Sigmas(scheduler, steps, run / steps)),)


def sampler_custom_advanced(
    tools: Tools, noise: int, guider: Guider, sampler: str, sigmas: Sigmas, latent_image: Latent
) -> Tuple[Latent, Latent]:
    latent = _sampled(tools, latent_image, guider, noise, sampler, sigmas)
    return latent, latent


def _sampled(tools: Tools, latent: Latent, guider: Guider, seed: int, sampler_name: str, sigmas: Sigmas) -> Latent:
    """Sample each picture of the batch under a seed of its own; only the last one reports its steps."""
    if sigmas.denoise <= 0:
        return latent
    images = []
    for index, image in enumerate(latent.images):
        last = index == len(latent.images) - 1
        image_out = tools.sample(
            image,
            guider.positive.text,
            guider.negative.text,
            seed=(seed + index) % 2**64,
            steps=sigmas.steps,
            cfg=guider.cfg,
            sampler_name=sampler_name,
            scheduler=sigmas.scheduler,
            denoise=sigmas.denoise,
            on_step=tools.on_step if last else _silent(tools.on_step),
        )
        images.append(_kept_outside(image_out, image, latent.mask))
    return Latent(tuple(images))


def _silent(on_step: OnStep) -> OnStep:
    return lambda step, steps, preview: on_step(0, steps, None)


def _kept_outside(sampled: Image.Image, original: Image.Image, mask: Optional[Image.Image]) -> Image.Image:
    if mask is None:
        return sampled
    return Image.composite(sampled, original, mask.convert("L").resize(sampled.size))


def _text(value: Any, name: str) -> Conditioning:
    """Accept a conditioning only: plain text passes the validation of the graph and must fail here, as in ComfyUI."""
    if not isinstance(value, Conditioning):
        raise TypeError(f"{name} must be linked to a CONDITIONING, got {value!r}")
    return value


def random_noise(tools: Tools, noise_seed: int) -> Tuple[int]:
    return (noise_seed,)


def basic_guider(tools: Tools, model: Any, conditioning: Conditioning) -> Tuple[Guider]:
    return (Guider(_text(conditioning, "conditioning"), Conditioning(""), 1.0),)


def cfg_guider(tools: Tools, model: Any, positive: Conditioning, negative: Conditioning, cfg: float) -> Tuple[Guider]:
    return (Guider(_text(positive, "positive"), _text(negative, "negative"), cfg),)


def select_sampler(tools: Tools, sampler_name: str) -> Tuple[str]:
    return (sampler_name,)


def basic_scheduler(tools: Tools, model: Any, scheduler: str, steps: int, denoise: float) -> Tuple[Sigmas]:
    return (Sigmas(scheduler, steps, denoise),)


def zero_out(tools: Tools, conditioning: Conditioning) -> Tuple[Conditioning]:
    return (Conditioning(""),)


def flux_guidance(tools: Tools, conditioning: Conditioning, guidance: float) -> Tuple[Conditioning]:
    """Hand the text on: the weight that counts here is the sampler's cfg."""
    return (conditioning,)
