"""What can be measured on a picture, and on two: light, colour, sharpness, noise, structure. Pure; Pillow's statistics.

All figures are from 0 to 1 unless said otherwise, and none depends on the size of the picture by much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, List, Mapping, Tuple

from PIL import Image, ImageChops, ImageFilter, ImageStat

Box = Tuple[float, float, float, float]  # left, top, right, bottom as shares of the sides
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
SIDE = 512  # px: the longest side that is looked at
STRUCTURE_SIDE = 112  # px
COLOURED = 38  # of 255: less chroma than this is grey to the eye

# hue in degrees where each name ends; brown and black are darker kinds of these and not told apart
_HUES: Tuple[Tuple[float, str], ...] = (
    (16, "red"),
    (45, "orange"),
    (68, "yellow"),
    (160, "green"),
    (195, "teal"),
    (255, "blue"),
    (290, "purple"),
    (340, "pink"),
    (360, "red"),
)


@dataclass(frozen=True)
class Figures:
    """One picture, or one part of it."""

    size: Tuple[int, int]  # px, as sent
    light: float  # mean brightness
    contrast: float  # standard deviation of brightness
    warmth: float  # -1 to 1: mean red less mean blue
    saturation: float  # mean difference of the strongest and the weakest channel
    sharpness: float  # fine detail as a share of coarse detail; about 0.2 is soft, 0.4 and more is crisp
    noise: float  # unrest of the calmest parts
    hues: Mapping[str, float]  # share of the pixels that have each hue plainly


def look_at(image: Image.Image, box: Box = WHOLE) -> Figures:
    """Measure the part of `image` inside `box`."""
    width, height = image.size
    left, top, right, bottom = box
    crop = (int(left * width), int(top * height), max(1, math.ceil(right * width)), max(1, math.ceil(bottom * height)))
    part = image.convert("RGB").crop(crop)
    part.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    grey = part.convert("L")
    tone = ImageStat.Stat(grey)
    red, _, blue = ImageStat.Stat(part).mean
    noise = _noise(grey)
    return Figures(
        size=image.size,
        light=tone.mean[0] / 255,
        contrast=tone.stddev[0] / 255,
        warmth=(red - blue) / 255,
        saturation=ImageStat.Stat(_chroma(part)).mean[0] / 255,
        sharpness=_sharpness(grey, noise),
        noise=noise,
        hues=_hues(part),
    )


def structure(original: Image.Image, result: Image.Image) -> float:
    """Correlation of the outlines of two pictures, 0 to 1. Light and colour do not count, a shifted outline does."""
    size = _fitted(original.size, STRUCTURE_SIDE)
    return max(0.0, _correlation(_outlines(original, size), _outlines(result, size)))


def colour_distance(original: Image.Image, result: Image.Image) -> float:
    """Mean difference of the channels at low resolution, 0 (same colours in the same places) to 1."""
    first, second = (image.convert("RGB").resize((24, 24), Image.Resampling.BOX) for image in (original, result))
    return sum(ImageStat.Stat(ImageChops.difference(first, second)).mean) / 3 / 255


def similarity(original: Image.Image, result: Image.Image) -> float:
    """Likeness of two pictures, 0 to 1: outlines for 0.6, colours for 0.4 (a mean difference of 0.6 leaves nothing)."""
    colours = max(0.0, 1 - colour_distance(original, result) / 0.6)
    return 0.6 * structure(original, result) + 0.4 * colours


def _chroma(image: Image.Image) -> Image.Image:
    red, green, blue = image.split()
    most = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return ImageChops.subtract(most, ImageChops.darker(ImageChops.darker(red, green), blue))


def _hues(image: Image.Image) -> Dict[str, float]:
    soft = image.resize((64, 64), Image.Resampling.BOX)
    coloured = _chroma(soft).point([255 if i >= COLOURED else 0 for i in range(256)])
    counts = soft.convert("HSV").split()[0].histogram(coloured)
    shares: Dict[str, float] = {}
    for value, count in enumerate(counts):
        name = next(name for end, name in _HUES if value * 360 / 256 < end)
        shares[name] = shares.get(name, 0.0) + count / (64 * 64)
    return shares


def _sharpness(grey: Image.Image, noise: float) -> float:
    """Detail of 1 px against detail of 4 px; what noise adds to the first is taken off."""
    softer, softest = (grey.filter(ImageFilter.GaussianBlur(radius)) for radius in (1, 4))
    fine = ImageStat.Stat(ImageChops.difference(grey, softer)).mean[0] - 255 * noise
    coarse = ImageStat.Stat(ImageChops.difference(grey, softest)).mean[0]
    return max(0.0, min(1.0, fine / coarse)) if coarse > 0.5 else 0.0


def _noise(grey: Image.Image) -> float:
    """Mean unrest of a fifth of the picture, the calmest: there, what differs from its neighbours is noise."""
    unrest = ImageChops.difference(grey, grey.filter(ImageFilter.GaussianBlur(1)))
    blocks = sorted(
        unrest.point([min(255, 8 * i) for i in range(256)]).resize((16, 16), Image.Resampling.BOX).tobytes()
    )
    calmest = blocks[len(blocks) // 20 : len(blocks) // 5]
    return sum(calmest) / len(calmest) / 8 / 255


def _outlines(image: Image.Image, size: Tuple[int, int]) -> List[float]:
    grey = image.convert("L").resize(size, Image.Resampling.BOX)
    edges = ImageChops.subtract(grey.filter(ImageFilter.MaxFilter(3)), grey.filter(ImageFilter.MinFilter(3)))
    return [math.sqrt(value) for value in edges.filter(ImageFilter.GaussianBlur(0.7)).tobytes()]


def _correlation(first: List[float], second: List[float]) -> float:
    """Pearson's. Two pictures without any outline are alike; one without, beside one with, is not."""
    count = len(first)
    mean_1, mean_2 = sum(first) / count, sum(second) / count
    var_1, var_2 = sum((a - mean_1) ** 2 for a in first), sum((b - mean_2) ** 2 for b in second)
    if var_1 < 1e-9 or var_2 < 1e-9:
        return 1.0 if var_1 < 1e-9 and var_2 < 1e-9 else 0.0
    return sum((a - mean_1) * (b - mean_2) for a, b in zip(first, second)) / math.sqrt(var_1 * var_2)


def _fitted(size: Tuple[int, int], longest: int) -> Tuple[int, int]:
    scale = longest / max(size)
    return max(4, round(size[0] * scale)), max(4, round(size[1] * scale))
