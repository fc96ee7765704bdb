"""The built-in generator's sampler: a stand-in for diffusion, with Pillow on the CPU.

It obeys the trade-off that makes img2img hard: with `denoise` grows the effect of the prompts, and with its square grows
what nobody asked for (blur, warp, noise). `cfg` strengthens the effect and burns the picture when it is very high; more
`steps` leave less drift; `seed`, sampler and scheduler decide the luck. `denoise` 0 gives the input back. For trying the
tool and for tests: nothing here understands a picture.
"""

from __future__ import annotations

import math
import random
from typing import Callable, Dict, List, Optional, Tuple

from PIL import Image, ImageChops, ImageEnhance, ImageFilter

from .effects import apply_look, noise
from .vocabulary import Look
from .wishes import wish

Mesh = List[Tuple[Tuple[int, int, int, int], Tuple[float, ...]]]  # box to fill, corners to take it from
OnStep = Callable[[int, int, Optional[Image.Image]], None]
PREVIEW_SIDE = 256  # px
USUAL_STEPS = 20  # at which drift is neither helped nor made worse
USUAL_CFG = 7.0
BURNT_FROM = 12.0  # cfg above this hardens contrast and colour
GRID = (8, 6)  # cells of the warp


def sample(
    image: Image.Image,
    positive: str,
    negative: str,
    *,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    denoise: float,
    on_step: OnStep,
) -> Image.Image:
    """Work the prompts into `image` (any mode; RGB comes back). The same arguments give the same pixels.

    `on_step(step, steps, preview)` is called after each step, with a small RGB picture of how far it is; what it raises
    ends the sampling.
    """
    source = image.convert("RGB")
    look, luck = wish(positive, negative), f"{seed}/{sampler_name}/{scheduler}"
    small = _thumbnail(source)
    goal = render(small, look, luck, steps, cfg, denoise)
    start = _noised(small, denoise, luck)
    for step in range(1, steps):
        on_step(step, steps, Image.blend(start, goal, step / steps))
    result = render(source, look, luck, steps, cfg, denoise)
    on_step(steps, steps, goal)
    return result


def render(source: Image.Image, look: Look, luck: str, steps: int, cfg: float, denoise: float) -> Image.Image:
    """The finished picture: drift below, effect above. `luck` seeds all chance."""
    if denoise <= 0:
        return source.copy()
    rng = random.Random(luck)
    strength = effect(denoise, cfg) * rng.uniform(0.95, 1.05)
    drift = unrest(denoise, steps, look)
    wished = {name: amount * strength for name, amount in look.items()}
    wished["warmth"] = wished.get("warmth", 0.0) + drift * rng.uniform(-0.08, 0.08)
    drifted = _drift(source, drift, rng)
    painted = apply_look(drifted, wished, rng)
    painted = Image.composite(painted, drifted, _mottle(source.size, strength, rng))
    return _grain(_burn(painted, cfg), 0.18 * drift + 0.25 * wished.get("grain", 0.0), rng)


def effect(denoise: float, cfg: float) -> float:
    """How much of what the prompts ask for comes about: 0 at denoise 0, about 1 at 0.65 with the usual cfg."""
    adherence = min(1.4, 0.55 + 0.45 * cfg / USUAL_CFG)
    return min(1.35, 1.9 * denoise * math.sqrt(denoise) * adherence)


def unrest(denoise: float, steps: int, look: Look) -> float:
    """How much changes that nobody asked for, 0 to about 1.3. A wish for sharpness and against noise calms it."""
    calm = 1 - 0.2 * max(0.0, min(1.0, look.get("sharpness", 0.0)))
    return denoise**2 * (0.8 + 0.2 * min(3.0, USUAL_STEPS / steps)) * calm


def _drift(image: Image.Image, amount: float, rng: random.Random) -> Image.Image:
    warped = image.transform(
        image.size, Image.Transform.MESH, _mesh(image.size, 0.028 * amount, rng), Image.Resampling.BICUBIC
    )
    return warped.filter(ImageFilter.GaussianBlur(amount * image.width / 300))


def _mesh(size: Tuple[int, int], amount: float, rng: random.Random) -> Mesh:
    """A grid whose inner corners are moved by up to `amount` of the width; the frame stays."""
    width, height = size
    columns, rows = min(GRID[0], width), min(GRID[1], height)  # a strip of a few pixels has no more cells than pixels
    reach = amount * width
    corner: Dict[Tuple[int, int], Tuple[float, float]] = {}
    for row in range(rows + 1):
        for column in range(columns + 1):
            dx, dy = rng.uniform(-reach, reach), rng.uniform(-reach, reach)
            x, y = column * width // columns, row * height // rows
            corner[column, row] = (x + (dx if 0 < column < columns else 0), y + (dy if 0 < row < rows else 0))
    mesh: Mesh = []
    for row in range(rows):
        for column in range(columns):
            box = (
                column * width // columns,
                row * height // rows,
                (column + 1) * width // columns,
                (row + 1) * height // rows,
            )
            around = ((column, row), (column, row + 1), (column + 1, row + 1), (column + 1, row))  # from top left, down
            mesh.append((box, tuple(v for at in around for v in corner[at])))
    return mesh


def _mottle(size: Tuple[int, int], strength: float, rng: random.Random) -> Image.Image:
    """Where the effect took: nearly everywhere, a little uneven, differently for each seed."""
    patches = bytes(255 - rng.randrange(36) for _ in range(20))
    return Image.frombytes("L", (5, 4), patches).resize(size, Image.Resampling.BICUBIC)


def _burn(image: Image.Image, cfg: float) -> Image.Image:
    burnt = max(0.0, cfg - BURNT_FROM) / 8
    return (
        ImageEnhance.Contrast(ImageEnhance.Color(image).enhance(1 + burnt)).enhance(1 + 0.6 * burnt) if burnt else image
    )


def _grain(image: Image.Image, amount: float, rng: random.Random) -> Image.Image:
    """Add noise; `amount` 1 shifts a pixel by up to half the range."""
    if amount <= 0:
        return image
    grain = noise(image.size, rng).point([round(128 + (i - 128) * min(1.0, amount)) for i in range(256)])
    return ImageChops.add(image, grain.convert("RGB"), 1, -128)


def _noised(image: Image.Image, denoise: float, luck: str) -> Image.Image:
    """What the sampler starts from: the picture under as much noise as denoise asks for."""
    return Image.blend(image, noise(image.size, random.Random(luck)).convert("RGB"), min(1.0, denoise))


def _thumbnail(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.BILINEAR)
    return small
