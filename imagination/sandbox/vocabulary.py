"""Words about pictures and what they mean in measurable terms: the one dictionary of the built-in engines.

The generator reads a prompt's words as wishes, the judge reads a question's words as claims. `LOOKS` gives each phrase
its qualities: a number from -1 to 1 for the global ones (`light`, `contrast`, `warmth`, `saturation`, `sharpness`), and an
amount from 0 for the rest (`tint:red`, and the layers that `effects` paints). Pure data and the finding of words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Iterator, List, Mapping, Tuple

Look = Mapping[str, float]

COLOURS: Mapping[str, Tuple[int, int, int]] = {
    "red": (225, 60, 50),
    "orange": (240, 145, 50),
    "yellow": (245, 215, 80),
    "green": (80, 170, 80),
    "teal": (50, 160, 165),
    "blue": (60, 110, 215),
    "purple": (140, 80, 190),
    "pink": (240, 140, 180),
}

# phrases separated by "|", and what they mean
_TABLE: Tuple[Tuple[str, Dict[str, float]], ...] = (
    # light and time of day
    ("sunset|sunrise|setting sun|evening glow", {"warmth": 0.8, "light": -0.25, "saturation": 0.4, "glow": 1.0}),
    (
        "golden hour|golden light|evening light|evening sun",
        {"warmth": 0.8, "light": -0.15, "saturation": 0.2, "glow": 0.7},
    ),
    ("dusk|evening|twilight", {"light": -0.45, "warmth": 0.25, "glow": 0.6}),
    ("dawn|morning light|early morning", {"light": 0.1, "warmth": 0.35, "saturation": -0.1, "glow": 0.4, "fog": 0.15}),
    ("blue hour", {"light": -0.5, "warmth": -0.7, "saturation": 0.1}),
    (
        "night|nighttime|night time|moonlight|moonlit",
        {"light": -0.9, "warmth": -0.6, "saturation": -0.3, "vignette": 0.5},
    ),
    ("daylight|daytime|midday|noon|broad daylight", {"light": 0.35, "warmth": -0.1}),
    ("sunny|sunlight|sunlit|sunshine", {"light": 0.3, "warmth": 0.3, "contrast": 0.2, "saturation": 0.2}),
    ("overcast|cloudy|grey sky|gray sky|dull", {"light": -0.2, "warmth": -0.25, "contrast": -0.35, "saturation": -0.4}),
    ("bright|brightly lit|well lit|luminous|high key|overexposed|lighter|brighter", {"light": 0.6}),
    ("dark|darker|dim|dimmer|gloomy|low key|underexposed|moody|shadowy", {"light": -0.6}),
    ("backlit|backlight|silhouette", {"light": -0.3, "contrast": 0.5, "glow": 0.4}),
    ("dramatic|dramatic light|dramatic lighting", {"contrast": 0.6, "light": -0.15, "vignette": 0.4}),
    ("soft light|diffuse light", {"contrast": -0.3}),
    # colour
    ("warm|warmer|warm light|warm colours|warm colors|warm tones|golden|amber", {"warmth": 0.7}),
    ("cool|cold|cooler|colder|chilly|bluish|cool light|cool tones|blue tint|blue cast", {"warmth": -0.7}),
    ("colourful|colorful|vivid|vibrant|saturated|rich colours|rich colors", {"saturation": 0.7}),
    ("muted|desaturated|faded|washed out|subdued", {"saturation": -0.5, "contrast": -0.25}),
    ("pastel|pale", {"saturation": -0.35, "light": 0.35, "contrast": -0.3}),
    ("black and white|monochrome|greyscale|grayscale|colourless|colorless", {"saturation": -1.0}),
    ("sepia", {"saturation": -0.8, "sepia": 1.0, "warmth": 0.3}),
    # tone
    ("high contrast|strong contrast|contrasty|punchy", {"contrast": 0.7}),
    ("low contrast|flat|hazy contrast", {"contrast": -0.7}),
    ("cinematic|film look|movie still", {"contrast": 0.35, "warmth": 0.2, "saturation": -0.1, "vignette": 0.5}),
    ("vintage|retro|old photo|old photograph", {"sepia": 0.5, "contrast": -0.25, "grain": 0.4, "vignette": 0.6}),
    # season and weather
    ("winter|snow|snowy|snow covered|snow-covered|frost|frosty", {"snow": 1.0, "warmth": -0.5, "light": 0.15}),
    ("autumn|autumnal|fall colours|fall colors|fall foliage", {"autumn": 1.0, "warmth": 0.4}),
    ("spring|springtime", {"spring": 0.8, "light": 0.2, "saturation": 0.2}),
    ("summer|summery|summertime", {"spring": 0.4, "light": 0.2, "warmth": 0.35, "saturation": 0.3}),
    ("fog|foggy|mist|misty|haze|hazy", {"fog": 1.0, "contrast": -0.2}),
    ("rain|rainy|raining|downpour", {"rain": 1.0, "light": -0.3, "warmth": -0.3, "saturation": -0.3}),
    ("stormy|storm|thunderstorm", {"rain": 0.5, "light": -0.6, "contrast": 0.3, "warmth": -0.3}),
    # sharpness and noise
    ("sharp|sharper|crisp|sharp focus|in focus|detailed|highly detailed|fine detail|clear detail", {"sharpness": 0.6}),
    ("blur|blurs|blurry|blurred|blurriness|out of focus|unsharp|soft focus|fuzzy|smeared", {"sharpness": -0.7}),
    ("noise|noisy|grain|grainy|graininess|film grain|speckled|speckles", {"grain": 1.0}),
    # style
    ("watercolour|watercolor|aquarelle", {"watercolour": 1.0, "light": 0.15}),
    ("sketch|pencil drawing|pencil sketch|line drawing|charcoal", {"sketch": 1.0, "saturation": -0.9}),
    ("oil painting|oil paint|painterly|impressionist", {"oil": 1.0, "saturation": 0.2}),
    ("comic|comic book|cartoon|cel shaded|pop art", {"comic": 1.0, "saturation": 0.5}),
    ("vignette|dark corners|dark edges", {"vignette": 1.0}),
)
_TINTS = {
    "red": "red|reddish|crimson",
    "orange": "orange",
    "yellow": "yellow|yellowish",
    "green": "green|greenish",
    "teal": "teal|cyan|turquoise",
    "blue": "blue",
    "purple": "purple|violet|lilac|magenta",
    "pink": "pink|pinkish|rose",
}

LOOKS: Mapping[str, Look] = {
    **{phrase: look for phrases, look in _TABLE for phrase in phrases.split("|")},
    **{phrase: {f"tint:{hue}": 1.0} for hue, phrases in _TINTS.items() for phrase in phrases.split("|")},
}
LONGEST_PHRASE = max(len(phrase.split()) for phrase in LOOKS)  # words
_WORD = re.compile(r"[a-z]+(?:[-'’][a-z]+)*|\d+(?:\.\d+)?")
NEGATIONS = frozenset(["no", "not", "without", "free", "never", "neither", "nor", "lack", "lacks", "lacking", "hardly"])
TURNS = ("but", "yet", "while", "instead", "rather")  # a negation before these says nothing of what follows
NEGATION_REACH = 4  # words: "free of any visible blur"


@dataclass(frozen=True)
class Found:
    """A phrase of `LOOKS` in a text. `at` is the index of its first word; `negated` by a word shortly before it."""

    phrase: str
    at: int
    negated: bool

    @property
    def look(self) -> Look:
        """What the phrase means, negation aside."""
        return LOOKS[self.phrase]


def words_of(text: str) -> List[str]:
    """Lower-case words and numbers. Hyphens part words, except in a phrase that is listed with one."""
    words: List[str] = []
    for word in _WORD.findall(text.lower().replace("’", "'")):
        words += [word] if word in LOOKS else word.split("-")
    return words


def find(words: List[str]) -> List[Found]:
    """The phrases in `words`, the longest first where several begin at one word; none overlap."""
    return list(_scan(words))


def _scan(words: List[str]) -> Iterator[Found]:
    at = 0
    while at < len(words):
        length = next((n for n in range(LONGEST_PHRASE, 0, -1) if " ".join(words[at : at + n]) in LOOKS), 0)
        if length:
            yield Found(" ".join(words[at : at + length]), at, is_negated(words, at))
        at += length or 1


def is_negated(words: List[str], at: int) -> bool:
    """Say whether a negation stands shortly before the word at `at`, with no "but" between."""
    before = words[max(0, at - NEGATION_REACH) : at]
    for turn in TURNS:
        before = before[before.index(turn) + 1 :] if turn in before else before
    return any(word in NEGATIONS or word.endswith("n't") for word in before)
