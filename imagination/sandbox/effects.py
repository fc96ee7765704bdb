"""What each quality of a look does to a picture: Pillow operations, each scaled by an amount. Pure.

Amounts are about 0 to 1.3 (the five global qualities -1.3 to 1.3); 0 changes nothing. Lengths scale with the picture's
width, so that a small preview looks like the whole.
"""

from __future__ import annotations

import random
from typing import Callable, List, Mapping, Tuple

from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from .vocabulary import COLOURS, Look

GOLD = ((112, 100, 150), (236, 146, 112), (255, 206, 128))  # a sunset from zenith to horizon
STYLES = ("watercolour", "sketch", "oil", "comic")


def apply_look(image: Image.Image, look: Look, rng: random.Random) -> Image.Image:
    """Paint `look` over an RGB picture: places first, then the grade of the whole, then style and what lies on top."""
    for name in ("glow", "snow", "autumn", "spring", "fog"):
        if look.get(name, 0) > 0:
            image = LAYERS[name](image, look[name])
    image = grade(image, look)
    for name in (*STYLES, "sepia", "vignette"):
        if look.get(name, 0) > 0:
            image = LAYERS[name](image, look[name])
    if look.get("rain", 0) > 0:
        image = rain(image, look["rain"], rng)
    return image


# --- the whole picture ------------------------------------------------------------------------------------------------


def grade(image: Image.Image, look: Look) -> Image.Image:
    """Light, contrast, warmth and tints as one curve a channel; then saturation and sharpness."""
    light, contrast, warmth = (look.get(name, 0.0) for name in ("light", "contrast", "warmth"))
    tint = _tint(look)
    gains = (1 + 0.15 * warmth, 1 + 0.02 * warmth, 1 - 0.32 * warmth)
    curves = [_curve(light, contrast, gains[c] * (1 + tint[c])) for c in range(3)]
    image = image.point([value for curve in curves for value in curve])
    if look.get("saturation"):
        image = ImageEnhance.Color(image).enhance(max(0.0, 1 + 0.9 * look["saturation"]))
    return _sharpen(image, look.get("sharpness", 0.0))


def _curve(light: float, contrast: float, gain: float) -> List[int]:
    """256 values: gain, exposure as a gamma that also scales, and an S around the middle."""
    gamma, scale = 2.0 ** (-light), 1 + 0.3 * min(light, 0.0)
    curve = []
    for i in range(256):
        x = min(1.0, i / 255 * gain) ** gamma * scale
        x += contrast * 1.6 * x * (1 - x) * (x - 0.5)
        curve.append(round(255 * max(0.0, min(1.0, x))))
    return curve


def _tint(look: Look) -> Tuple[float, float, float]:
    """Gains of the channels, less 1, that lean towards the colours asked for."""
    red = green = blue = 0.0
    for hue, (r, g, b) in COLOURS.items():
        amount, mean = look.get(f"tint:{hue}", 0.0), (r + g + b) / 3
        red, green, blue = (v + 0.35 * amount * (c - mean) / mean for v, c in ((red, r), (green, g), (blue, b)))
    return red, green, blue


def _sharpen(image: Image.Image, amount: float) -> Image.Image:
    if amount < 0:
        return image.filter(ImageFilter.GaussianBlur(-amount * image.width / 180))
    if amount > 0:
        return image.filter(ImageFilter.UnsharpMask(radius=2, percent=int(70 * amount), threshold=2))
    return image


# --- places: where a change belongs -----------------------------------------------------------------------------------


def ramp(size: Tuple[int, int], curve: Callable[[float], float]) -> Image.Image:
    """A mask that depends on the height alone: `curve` takes 0 (top) to 1 (bottom) and gives 0 to 1."""
    column = bytes(round(255 * max(0.0, min(1.0, curve(y / 255)))) for y in range(256))
    return Image.frombytes("L", (1, 256), column).resize(size, Image.Resampling.BILINEAR)


def smooth_bright(image: Image.Image) -> Image.Image:
    """A mask of what is bright and without detail, in the upper part above all: sky, mist, water."""
    grey = image.convert("L").resize(_small(image.size), Image.Resampling.BOX)
    detail = ImageChops.subtract(grey.filter(ImageFilter.MaxFilter(3)), grey.filter(ImageFilter.MinFilter(3)))
    calm = detail.point([round(255 * max(0.0, min(1.0, (30 - i) / 18))) for i in range(256)])
    bright = grey.point([round(255 * max(0.0, min(1.0, (i - 120) / 50))) for i in range(256)])
    core = ImageChops.multiply(calm, bright).filter(ImageFilter.MinFilter(3))
    mask = core.filter(ImageFilter.MaxFilter(9)).filter(ImageFilter.GaussianBlur(2))  # up to the outlines
    mask = ImageChops.multiply(mask, ramp(grey.size, lambda y: 1.45 - y)).resize(image.size, Image.Resampling.BICUBIC)
    outline = image.convert("L").point([min(255, max(0, i - 135) * 6) for i in range(256)])
    return ImageChops.multiply(mask, outline)


def greenery(image: Image.Image) -> Image.Image:
    """A mask of what is green or yellow-green."""
    red, green, blue = image.split()
    lead = ImageChops.subtract(green, blue)
    not_red = ImageChops.subtract(red, green).point([max(0, 255 - 8 * i) for i in range(256)])
    return ImageChops.multiply(lead.point([min(255, 6 * i) for i in range(256)]), not_red)


def _small(size: Tuple[int, int]) -> Tuple[int, int]:
    return max(8, size[0] // 4), max(8, size[1] // 4)


def _scaled(mask: Image.Image, amount: float) -> Image.Image:
    return mask.point([min(255, round(i * max(0.0, amount))) for i in range(256)])


def _gradient(size: Tuple[int, int]) -> Image.Image:
    """The sunset's colours, from the top down to the horizon at about half height."""
    stops = Image.new("RGB", (1, 4))
    for y, colour in enumerate((*GOLD, GOLD[-1])):
        stops.putpixel((0, y), colour)
    return stops.resize(size, Image.Resampling.BICUBIC)


def glow(image: Image.Image, amount: float) -> Image.Image:
    """An evening sky where the picture is bright and calm, and low light that gilds the rest."""
    sky = _gradient(image.size)
    coloured = ImageChops.multiply(image, sky.point([round(i + (255 - i) * 0.12) for i in range(256)] * 3))
    coloured = Image.blend(coloured, sky, 0.35)
    lit = ImageChops.soft_light(image, Image.new("RGB", image.size, (205, 140, 70)))
    image = Image.blend(image, lit, min(1.0, 0.6 * amount))
    return Image.composite(coloured, image, _scaled(smooth_bright(image), 0.95 * amount))


def snow(image: Image.Image, amount: float) -> Image.Image:
    """White on greenery and on bright surfaces, more towards the bottom; the air goes pale."""
    grey = image.convert("L")
    lit = grey.point([min(255, max(0, i - 70) * 3) for i in range(256)])
    where = ImageChops.lighter(greenery(image), ImageChops.multiply(lit, ramp(image.size, lambda y: 0.25 + 0.6 * y)))
    bright = grey.point([min(255, 120 + round(i * 0.75)) for i in range(256)])
    white = Image.merge("RGB", (bright, bright, bright.point([min(255, i + 8) for i in range(256)])))
    return Image.composite(white, image, _scaled(where, 0.85 * amount))


def autumn(image: Image.Image, amount: float) -> Image.Image:
    """Greenery turned to orange and russet."""
    red, green, blue = image.split()
    turned = Image.merge(
        "RGB",
        (
            ImageChops.lighter(red, green.point([min(255, round(1.35 * i)) for i in range(256)])),
            green.point([round(0.72 * i) for i in range(256)]),
            blue.point([round(0.45 * i) for i in range(256)]),
        ),
    )
    return Image.composite(turned, image, _scaled(greenery(image), amount))


def spring(image: Image.Image, amount: float) -> Image.Image:
    """Greenery fresher and lighter."""
    red, green, blue = image.split()
    fresh = Image.merge("RGB", (red, green.point([min(255, round(1.22 * i + 8)) for i in range(256)]), blue))
    return Image.composite(fresh, image, _scaled(greenery(image), amount))


def fog(image: Image.Image, amount: float) -> Image.Image:
    """A pale veil, thickest at mid-height, where distance usually is."""
    veil = ramp(image.size, lambda y: 0.75 - 1.1 * abs(y - 0.45))
    soft = image.filter(ImageFilter.GaussianBlur(image.width / 300))
    return Image.composite(
        Image.blend(soft, Image.new("RGB", image.size, (222, 226, 230)), 0.85), image, _scaled(veil, amount)
    )


# --- style and what lies on top -----------------------------------------------------------------------------------------


def watercolour(image: Image.Image, amount: float) -> Image.Image:
    """Flat washes, pale paper, edges where the pigment gathers."""
    small = image.resize(_half(image.size), Image.Resampling.BOX).filter(ImageFilter.MedianFilter(5))
    wash = ImageOps.posterize(small.filter(ImageFilter.GaussianBlur(1)), 4).resize(image.size, Image.Resampling.BICUBIC)
    wash = wash.point([min(255, round(38 + i * 0.88)) for i in range(256)] * 3)
    painted = ImageChops.multiply(wash, _lines(image, 1.5).convert("RGB"))
    return Image.blend(image, painted, min(1.0, amount))


def sketch(image: Image.Image, amount: float) -> Image.Image:
    """Pencil: what is darker than its surroundings, on white paper (colour dodge)."""
    drawn = ImageChops.multiply(_lines(image, 4.0), image.convert("L").point([175 + i * 80 // 255 for i in range(256)]))
    return Image.blend(image, drawn.convert("RGB"), min(1.0, amount))


def oil(image: Image.Image, amount: float) -> Image.Image:
    """Patches of one colour with relief."""
    small = image.resize(_half(image.size), Image.Resampling.BOX).filter(ImageFilter.MedianFilter(5))
    patches = small.filter(ImageFilter.MedianFilter(3)).resize(image.size, Image.Resampling.BICUBIC)
    relief = image.convert("L").filter(ImageFilter.GaussianBlur(1.5)).filter(ImageFilter.EMBOSS)
    return Image.blend(image, ImageChops.soft_light(patches, relief.convert("RGB")), min(1.0, amount))


def comic(image: Image.Image, amount: float) -> Image.Image:
    """Few flat colours inside black outlines."""
    small = image.resize(_half(image.size), Image.Resampling.BOX).filter(ImageFilter.MedianFilter(5))
    flat = ImageOps.posterize(small, 3).resize(image.size, Image.Resampling.BICUBIC)
    flat = flat.point([min(255, round(i * 1.15)) for i in range(256)] * 3)
    return Image.blend(image, ImageChops.multiply(flat, _lines(image, 3.0).convert("RGB")), min(1.0, amount))


def sepia(image: Image.Image, amount: float) -> Image.Image:
    """Brown tones from dark to cream."""
    toned = ImageOps.colorize(image.convert("L"), (34, 22, 12), (250, 236, 208), mid=(158, 122, 82))
    return Image.blend(image, toned, min(1.0, amount))


def vignette(image: Image.Image, amount: float) -> Image.Image:
    """Darker towards the corners."""
    falloff = Image.radial_gradient("L").resize(image.size, Image.Resampling.BILINEAR)
    shade = falloff.point([255 - round(min(1.0, 0.6 * amount) * max(0, i - 90) * 255 / 165) for i in range(256)])
    return ImageChops.multiply(image, shade.convert("RGB"))


def rain(image: Image.Image, amount: float, rng: random.Random) -> Image.Image:
    """Slanting streaks of light."""
    size = (max(1, image.width // 2), image.height // 12 + 1)
    drops = (
        noise(size, rng)
        .point([255 if i > 218 else 0 for i in range(256)])
        .resize(image.size, Image.Resampling.BILINEAR)
    )
    slanted = drops.transform(image.size, Image.Transform.AFFINE, (1, 0.22, -0.11 * image.height, 0, 1, 0))
    return ImageChops.screen(image, _scaled(slanted, 0.35 * amount).convert("RGB"))


def noise(size: Tuple[int, int], rng: random.Random) -> Image.Image:
    """Grey noise around 128, about bell-shaped (the mean of two even draws), from `rng` alone."""
    count = size[0] * size[1]
    draws = [Image.frombytes("L", size, rng.getrandbits(8 * count).to_bytes(count, "little")) for _ in range(2)]
    return Image.blend(draws[0], draws[1], 0.5)


def _lines(image: Image.Image, strength: float) -> Image.Image:
    """White, with dark lines where the picture is darker than around: the blurred picture less the picture."""
    grey = image.convert("L")
    darker = ImageChops.subtract(grey.filter(ImageFilter.GaussianBlur(max(1.0, image.width / 200))), grey)
    return darker.point([max(0, 255 - round(strength * i)) for i in range(256)])


def _half(size: Tuple[int, int]) -> Tuple[int, int]:
    return max(8, size[0] // 2), max(8, size[1] // 2)


LAYERS: Mapping[str, Callable[[Image.Image, float], Image.Image]] = {
    "glow": glow,
    "snow": snow,
    "autumn": autumn,
    "spring": spring,
    "fog": fog,
    "watercolour": watercolour,
    "sketch": sketch,
    "oil": oil,
    "comic": comic,
    "sepia": sepia,
    "vignette": vignette,
}
