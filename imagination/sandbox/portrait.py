"""Pictures in words, from measurements alone: what one looks like, how two differ. Pure."""

from __future__ import annotations

from typing import List

from .claims import QUALITIES, SAME_STRUCTURE, Scene
from .measure import WHOLE, Figures

_WORDS = {
    "light": ("brighter", "darker"),
    "contrast": ("more contrast", "less contrast"),
    "warmth": ("warmer colours", "cooler colours"),
    "saturation": ("stronger colours", "weaker colours"),
    "sharpness": ("sharper", "softer"),
    "grain": ("more noise", "less noise"),
}


def describe(scene: Scene) -> str:
    """Say in two sentences how the picture that is judged looks; what it shows is beyond measuring."""
    seen = scene.figures()
    width, height = seen.size
    shape = "landscape" if width > height else "portrait" if height > width else "square"
    return (
        f"A {shape} picture of {width} x {height} px with {light_of(seen)} light and {contrast_of(seen)} contrast. "
        f"Its colours are {colours_of(seen)}, and it is {sharpness_of(seen)}."
    )


def differences(scene: Scene) -> List[str]:
    """How the result differs from the original, strongest words only; empty without an original."""
    if scene.original is None:
        return []
    told = []
    for name, (more, less) in _WORDS.items():
        before, after = scene.value(name, WHOLE, original=True), scene.value(name, WHOLE)
        if abs(after - before) >= QUALITIES[name].change:
            told.append(f"{more if after > before else less} ({before:.2f} → {after:.2f})")
    if scene.structure() < SAME_STRUCTURE:
        told.append(f"outlines moved or lost (match {scene.structure():.0%})")
    return told


def light_of(seen: Figures) -> str:
    """Bright, medium or dim."""
    return _band("light", seen.light, "bright", "medium", "dim")


def contrast_of(seen: Figures) -> str:
    """Strong, medium or low."""
    return _band("contrast", seen.contrast, "strong", "medium", "low")


def colours_of(seen: Figures) -> str:
    """Temperature, strength and the hues that take up the most room."""
    warmth = _band("warmth", seen.warmth, "warm", "neutral", "cool")
    strength = _band("saturation", seen.saturation, "vivid", "moderate", "muted")
    hues = main_hues(seen)
    return f"{warmth} and {strength}" + (f", mostly {' and '.join(hues[:2])}" if hues else ", close to grey")


def sharpness_of(seen: Figures) -> str:
    """Sharp or soft, and whether noise is seen."""
    noisy = " and noisy" if seen.noise >= QUALITIES["grain"].high else ""
    return ("sharp" if seen.sharpness >= QUALITIES["sharpness"].high else "soft") + noisy


def main_hues(seen: Figures) -> List[str]:
    """Names of the hues that take up at least a twentieth of the picture, the largest first."""
    return [hue for hue, share in sorted(seen.hues.items(), key=lambda item: -item[1]) if share >= 0.05]


def _band(name: str, value: float, high: str, between: str, low: str) -> str:
    quality = QUALITIES[name]
    return high if value >= quality.high else low if value < quality.low else between
