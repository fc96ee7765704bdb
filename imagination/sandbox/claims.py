"""A question's words plus measurements to yes, no or "cannot tell". Pure.

A question is understood when all its words are about pictures as such: words of the vocabulary, names of what can be
measured, and small talk. One unknown word ("coat") means that it asks for more than can be measured. Questions whether
something stayed as it was are an exception: they are answered from the outlines of the whole picture, whatever the thing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Dict, List, Optional, Tuple

from PIL import Image

from . import measure
from .measure import WHOLE, Box, Figures
from .small_talk import CHANGED, KEPT, NOT_IN_OUTLINES, SMALL_TALK
from .vocabulary import Found, find, is_negated, words_of

CANNOT_TELL = "cannot tell from tone, colour, sharpness and structure"
SAME_STRUCTURE = 0.85  # correlation of the outlines from which on a picture shows the same things in the same places
SAME_COLOURS = 0.08  # mean difference of the channels up to which colours count as kept
KEPT_SHARPNESS = 0.6  # share of the original's


@dataclass(frozen=True)
class Quality:
    """One thing that can be measured: from where on it counts as high, as low, and as different from another picture."""

    label: str
    high: float
    low: float
    change: float
    full: float  # the value that counts as 1 on a scale from 0 to 1
    share: bool = True  # shown in per cent


QUALITIES: Dict[str, Quality] = {
    "light": Quality("brightness", 0.53, 0.42, 0.05, 1.0),
    "contrast": Quality("contrast", 0.25, 0.16, 0.03, 0.4),
    "warmth": Quality("warmth", 0.08, -0.05, 0.05, 0.5, share=False),
    "saturation": Quality("colourfulness", 0.20, 0.12, 0.04, 0.5),
    "sharpness": Quality("sharpness", 0.20, 0.20, 0.05, 0.5, share=False),
    "grain": Quality("noise", 0.010, 0.010, 0.004, 0.05, share=False),
    "glow": Quality("warm colours in the upper third", 0.30, 0.15, 0.10, 1.0),
}
_TINT = Quality("", 0.15, 0.15, 0.08, 1.0)
COMPARATIVES = frozenset(["lighter", "brighter", "darker", "dimmer", "warmer", "cooler", "colder", "sharper"])
TOLD_FROM = 0.3  # a look's qualities weaker than this are not asked for by its name
GREY = 0.04  # colourfulness below which a picture is black and white

REGIONS: Dict[str, Box] = {
    **dict.fromkeys(("sky", "top", "upper"), (0.0, 0.0, 1.0, 0.35)),
    **dict.fromkeys(("bottom", "lower", "ground"), (0.0, 0.65, 1.0, 1.0)),
    "left": (0.0, 0.0, 0.4, 1.0),
    "right": (0.6, 0.0, 1.0, 1.0),
    **dict.fromkeys(("centre", "center", "middle"), (0.3, 0.3, 0.7, 0.7)),
}
TOPICS: Dict[str, str] = {
    **dict.fromkeys(("light", "lighting", "brightness", "exposure", "illumination"), "light"),
    **dict.fromkeys(("contrast",), "contrast"),
    **dict.fromkeys(("warmth", "temperature"), "warmth"),
    **dict.fromkeys(("saturation", "colourfulness", "colorfulness"), "saturation"),
    **dict.fromkeys(("sharpness", "focus", "detail", "details"), "sharpness"),
    **dict.fromkeys(("noise", "grain", "graininess"), "grain"),
    **dict.fromkeys(("colour", "colours", "color", "colors", "palette", "hue", "hues", "tint", "colouring"), "colour"),
}


@dataclass(frozen=True)
class Finding:
    """What came of a question: the answer (None: cannot tell) and the measurement it rests on."""

    truth: Optional[bool]
    reason: str


UNKNOWN = Finding(None, CANNOT_TELL)


class Scene:
    """The pictures of one request. `result` is the one judged; `original` is None where only one was sent."""

    def __init__(self, result: Image.Image, original: Optional[Image.Image] = None) -> None:
        self.result = result
        self.original = original
        self.figures = lru_cache(maxsize=None)(self._figures)  # several questions look at the same parts
        self.structure = lru_cache(maxsize=None)(self._structure)

    def _figures(self, box: Box = WHOLE, original: bool = False) -> Figures:
        return measure.look_at(self.original if original and self.original else self.result, box)

    def _structure(self) -> float:
        return measure.structure(self.original, self.result) if self.original else 1.0

    def value(self, quality: str, box: Box, original: bool = False) -> float:
        """One figure by the vocabulary's name of the quality."""
        if quality == "glow":
            upper = self.figures(REGIONS["sky"], original).hues
            return sum(upper.get(hue, 0.0) for hue in ("red", "orange", "yellow", "pink"))
        figures = self.figures(box, original)
        if quality.startswith("tint:"):
            return figures.hues.get(quality[5:], 0.0)
        return float(getattr(figures, {"grain": "noise"}.get(quality, quality)))


def answer(question: str, scene: Scene) -> Finding:
    """Answer a yes-or-no question about `scene`."""
    words = _cut(words_of(question))
    if not words or words[0].endswith("n't"):  # "isn't it dark?" may mean either
        return UNKNOWN
    kept, changed = [i for i, w in enumerate(words) if w in KEPT], [i for i, w in enumerate(words) if w in CHANGED]
    claims = find(words)
    if (kept or changed) and not [c for c in claims if c.phrase not in TOPICS]:
        at = (kept or changed)[0]
        return _stayed(words, scene, wanted=bool(kept) != is_negated(words, at))
    if not claims or unknown_words(words, claims):
        return UNKNOWN
    findings = [_claim(claim, words, scene) for claim in claims]
    if any(f.truth is None for f in findings):
        return UNKNOWN
    holds = any if "or" in words else all
    return Finding(holds(bool(f.truth) for f in findings), "; ".join(dict.fromkeys(f.reason for f in findings)))


def unknown_words(words: List[str], claims: List[Found]) -> List[str]:
    """The words that are neither of the vocabulary nor small talk."""
    known = {i for c in claims for i in range(c.at, c.at + len(words_of(c.phrase)))}
    return [w for i, w in enumerate(words) if i not in known and w not in SMALL_TALK and not w[0].isdigit()]


def region(words: List[str]) -> Tuple[Box, str]:
    """The part of the picture that is asked about, and its name for the reason."""
    for word in words:
        if word in REGIONS:
            return REGIONS[word], {"sky": " in the upper third"}.get(word, f" ({word})")
    return WHOLE, ""


def shown(quality: str, *values: float) -> List[str]:
    """Figures for people, with as many digits as it takes to tell them apart (three more at most)."""
    share = _quality(quality).share
    digits = 0 if share else 3 if quality == "grain" else 2
    for more in range(digits, digits + 4):
        texts = [f"{value:.{more}%}" if share else f"{value:.{more}f}" for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts


# --- claims about one picture, or about more or less than the other ---------------------------------------------------


def _claim(claim: Found, words: List[str], scene: Scene) -> Finding:
    """Test the qualities that the claim's phrase stands for. One that cannot be measured spoils the answer."""
    asked = {name: amount for name, amount in claim.look.items() if abs(amount) >= TOLD_FROM}
    if not asked or any(name not in QUALITIES and not name.startswith("tint:") for name in asked):
        return UNKNOWN
    how = _compared(claim, words)
    if how and scene.original is None:
        return UNKNOWN
    box, where = region(words)
    tests = [_test(name, amount, claim.phrase, scene, box, where, how) for name, amount in asked.items()]
    telling = [f for f in tests if not f.truth] or tests  # what speaks against it, if anything does
    return Finding(all(f.truth for f in tests) != claim.negated, ", ".join(f.reason for f in telling))


def _compared(claim: Found, words: List[str]) -> str:
    """How the claim leans on the original: "more", "less", "as" (much), or not at all."""
    before, after = words[max(0, claim.at - 1) : claim.at], words[claim.at + len(words_of(claim.phrase)) :][:1]
    if before == ["less"]:
        return "less"
    if before == ["as"] and after == ["as"]:
        return "as"
    return "more" if before == ["more"] or "than" in words or claim.phrase in COMPARATIVES else ""


def _test(name: str, amount: float, phrase: str, scene: Scene, box: Box, where: str, how: str) -> Finding:
    """Hold one quality against its limit, or against the original where `how` says so."""
    quality, value = _quality(name), scene.value(name, box)
    told = f"{quality.label or name[5:]}{where if name != 'glow' else ''}"
    if how:
        base = scene.value(name, box, original=True)
        moved = (value - base) * (1 if amount > 0 else -1) * (-1 if how == "less" else 1)
        allowed = (1 - KEPT_SHARPNESS) * base if name == "sharpness" else quality.change
        held = moved >= -allowed if how == "as" else moved >= quality.change
        now, then = shown(name, value, base)
        return Finding(held, f"{told} {now}, in the original {then}")
    if name == "saturation" and amount <= -1:
        now, most = shown(name, value, GREY)
        return Finding(value <= GREY, f"{told} {now} (“{phrase}” is up to {most})")
    limit = quality.high if amount > 0 else quality.low
    truth = value >= limit if amount > 0 else value < limit
    now, edge = shown(name, value, limit)
    return Finding(truth, f"{told} {now} (“{phrase}” is {'from' if amount > 0 else 'below'} {edge})")


def _quality(name: str) -> Quality:
    return QUALITIES.get(name, _TINT)


# --- did it stay as it was? -----------------------------------------------------------------------------------------------


def _stayed(words: List[str], scene: Scene, wanted: bool) -> Finding:
    """Compare with the original: the topic that is named, else the outlines. `wanted` False asks whether it changed."""
    if scene.original is None or set(words) & NOT_IN_OUTLINES:
        return UNKNOWN
    topics = [TOPICS[w] for w in words if w in TOPICS]
    findings = [_kept_topic(topic, words, scene) for topic in dict.fromkeys(topics)] or [_kept_outlines(scene)]
    kept = all(f.truth for f in findings)
    return Finding(kept == wanted, "; ".join(f.reason for f in findings))


def _kept_topic(topic: str, words: List[str], scene: Scene) -> Finding:
    assert scene.original is not None
    if topic == "colour":
        distance = measure.colour_distance(scene.original, scene.result)
        return Finding(distance <= SAME_COLOURS, f"colours differ from the original by {distance:.0%} on average")
    box, where = region(words)
    value, base = scene.value(topic, box), scene.value(topic, box, original=True)
    same = value >= KEPT_SHARPNESS * base if topic == "sharpness" else abs(value - base) < QUALITIES[topic].change
    label = QUALITIES[topic].label + where
    now, then = shown(topic, value, base)
    return Finding(same, f"{label} {now}, in the original {then}")


def _kept_outlines(scene: Scene) -> Finding:
    alike = scene.structure()
    return Finding(alike >= SAME_STRUCTURE, f"outlines of the whole picture match the original's by {alike:.0%}")


def _cut(words: List[str]) -> List[str]:
    """Drop what is only there for contrast: "warm rather than cool", "as opposed to"."""
    text = " ".join(words)
    return re.split(r" (?:rather than|instead of|as opposed to) ", text)[0].split()
