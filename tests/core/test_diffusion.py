"""The built-in generator's trade-off: denoise buys effect and pays with drift. Made pictures, no files."""

from __future__ import annotations

from typing import Any, List, Tuple

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageStat

from imagination.sandbox.diffusion import sample
from imagination.sandbox.measure import look_at, structure
from imagination.sandbox.wishes import weighted, wish

SETTINGS = {"seed": 1, "steps": 8, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.5}


def scene(size: Tuple[int, int] = (192, 128)) -> Image.Image:
    """A pale sky above a grey house with windows and a green meadow."""
    image = Image.new("RGB", size, (196, 212, 232))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 84, size[0], size[1]), fill=(92, 138, 66))
    draw.rectangle((60, 40, 130, 100), fill=(128, 120, 116))
    for x in range(66, 126, 12):
        for y in range(46, 94, 12):
            draw.rectangle((x, y, x + 5, y + 6), fill=(36, 36, 44))
    return image


def make(positive: str, negative: str = "", image: Any = None, **changes: Any) -> Image.Image:
    return sample(image or scene(), positive, negative, on_step=lambda *_: None, **{**SETTINGS, **changes})


def difference(first: Image.Image, second: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(first, second)).mean)


def test_denoise_0_gives_the_input_back():
    assert make("sunset, snow, watercolour", denoise=0.0).tobytes() == scene().tobytes()


def test_the_same_arguments_give_the_same_pixels():
    assert make("rain, fog, film grain").tobytes() == make("rain, fog, film grain").tobytes()


@pytest.mark.parametrize(
    "changes", [{"seed": 2}, {"sampler_name": "ddim"}, {"scheduler": "karras"}, {"denoise": 0.55}, {"cfg": 9.0}]
)
def test_each_setting_makes_a_difference(changes):
    assert make("sunset", **changes).tobytes() != make("sunset").tobytes()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_effect_grows_with_denoise(seed):
    warmth = [look_at(make("warm light", seed=seed, denoise=d / 10)).warmth for d in range(8)]  # beyond, channels clip
    assert warmth == sorted(warmth)
    assert warmth[-1] > warmth[0] + 0.15


def test_the_effect_grows_with_cfg():
    assert look_at(make("warm light", cfg=9)).warmth > look_at(make("warm light", cfg=2)).warmth


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_drift_grows_with_denoise(seed):
    kept = [structure(scene(), make("", seed=seed, denoise=d)) for d in (0.1, 0.4, 0.7, 1.0)]
    sharp = [look_at(make("", seed=seed, denoise=d)).sharpness for d in (0.1, 0.4, 0.7, 1.0)]
    assert kept == sorted(kept, reverse=True)
    assert sharp == sorted(sharp, reverse=True)


def test_more_steps_leave_less_drift():
    assert difference(make("", steps=40, denoise=0.7), scene()) < difference(make("", steps=4, denoise=0.7), scene())


# positive, negative, measured, direction
EFFECTS = [
    ("night", "", "light", -1),
    ("bright, high key", "", "light", +1),
    ("cool tones", "", "warmth", -1),
    ("golden hour", "", "warmth", +1),
    ("black and white", "", "saturation", -1),
    ("vivid colours", "", "saturation", +1),
    ("low contrast", "", "contrast", -1),
    ("high contrast", "", "contrast", +1),
    ("out of focus", "", "sharpness", -1),
    ("film grain", "", "noise", +1),
    ("snow", "", "light", +1),
    ("autumn", "", "warmth", +1),
    ("sepia", "", "warmth", +1),
    ("red tint", "", "warmth", +1),
    ("", "warm light", "warmth", -1),
    ("", "bright", "light", -1),
]


@pytest.mark.parametrize("positive, negative, measured, direction", EFFECTS)
def test_words_do_what_they_say(positive, negative, measured, direction):
    made, plain = (getattr(look_at(p), measured) for p in (make(positive, negative), make("")))
    assert (made - plain) * direction > 0.005


@pytest.mark.parametrize(
    "style", ["watercolour", "pencil sketch", "oil painting", "comic", "fog", "rain", "vintage", "spring"]
)
def test_every_layer_changes_the_picture(style):
    assert difference(make(style), make("")) > 2


def test_sunset_colours_the_sky_more_than_the_ground():
    made = make("sunset", denoise=0.6)
    upper, lower = look_at(made, (0, 0, 1, 0.35)), look_at(made, (0, 0.7, 1, 1))
    before = look_at(scene(), (0, 0, 1, 0.35)), look_at(scene(), (0, 0.7, 1, 1))
    assert upper.warmth - before[0].warmth > lower.warmth - before[1].warmth > 0


def test_a_weight_strengthens_a_term():
    assert look_at(make("(warm light:1.3)")).warmth > look_at(make("warm light")).warmth


def test_unknown_words_ask_for_nothing():
    assert make("an astronaut riding a horse").tobytes() == make("").tobytes()


@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("a, b", [("a", 1.0), ("b", 1.0)]),
        ("(a:1.3), b", [("a", 1.3), ("b", 1.0)]),
        ("(a)", [("a", 1.1)]),
        ("((a))", [("a", 1.21)]),
        ("(a, (b:2):0.5)", [("a", 0.5), ("b", 1.0)]),
        (r"a \(b\)", [("a", 1.0), ("(", 1.0), ("b", 1.0), (")", 1.0)]),
        ("(a", [("a", 1.1)]),
        (")a", [("a", 1.0)]),
        ("", []),
    ],
)
def test_weights_are_read_as_comfyui_reads_them(prompt, expected):
    assert [(t, pytest.approx(w)) for t, w in weighted(prompt)] == expected


def test_a_negated_word_asks_for_the_opposite_and_opposites_cancel():
    assert wish("no blur", "") == {"sharpness": 0.7}
    assert wish("warm", "warm")["warmth"] == pytest.approx(0.35)


def test_every_step_is_told_once_with_a_small_preview():
    told: List[Tuple[int, int, Any]] = []
    sample(scene((800, 600)), "night", "", on_step=lambda *step: told.append(step), **SETTINGS)
    assert [(step, steps) for step, steps, _ in told] == [(n, 8) for n in range(1, 9)]
    assert {preview.size for _, _, preview in told} == {(256, 192)}


def test_what_on_step_raises_ends_the_sampling():
    def stop(step: int, steps: int, preview: Any) -> None:
        if step == 3:
            raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        sample(scene(), "night", "", on_step=stop, **SETTINGS)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
@pytest.mark.parametrize("size", [(8, 8), (64, 8), (8, 200), (4000, 5), (3, 3000)])
def test_any_mode_and_any_size_is_painted(mode, size):
    image = scene().resize(size).convert(mode)
    made = make("sunset, snow, fog, rain, comic, oil painting, watercolour, sketch, vignette", image=image, steps=1)
    assert (made.mode, made.size) == ("RGB", size)
