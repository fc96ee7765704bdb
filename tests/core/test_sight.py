"""The built-in judge: it answers what can be measured from the words of the question, and says when it cannot tell."""

from __future__ import annotations

import json
import random
from typing import Any, Dict, Optional

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from imagination.combined import combined_schema
from imagination.duels import DUEL
from imagination.model import Criterion, Question
from imagination.sandbox.claims import CANNOT_TELL, Scene, answer, shown
from imagination.sandbox.sight import reply


def house(ground: Any = (120, 120, 120)) -> Image.Image:
    """Sharp grey shapes on a grey ground, neither bright nor dark, neither warm nor cool."""
    image = Image.new("RGB", (240, 160), ground)
    draw = ImageDraw.Draw(image)
    for n in range(9):
        draw.rectangle((10 + 25 * n, 20 + 9 * n, 22 + 25 * n, 130), fill=(60 + 15 * n,) * 3)
    return image


def graded(red: float, green: float, blue: float) -> Image.Image:
    return house().point([min(255, round(i * gain)) for gain in (red, green, blue) for i in range(256)])


def noisy() -> Image.Image:
    draws = random.Random(0).getrandbits(8 * 240 * 160).to_bytes(240 * 160, "little")
    grain = Image.frombytes("L", (240, 160), draws).point([112 + i // 8 for i in range(256)]).convert("RGB")
    return ImageChops.add(house(), grain, 1, -128)


PICTURES = {
    "plain": house(),
    "bright": graded(1.7, 1.7, 1.7),
    "dark": graded(0.4, 0.4, 0.4),
    "warm": graded(1.3, 1.0, 0.5),
    "cool": graded(0.6, 0.9, 1.3),
    "blurred": house().filter(ImageFilter.GaussianBlur(4)),
    "noisy": noisy(),
    "flat": ImageEnhance.Contrast(house()).enhance(0.2),
    "red": Image.new("RGB", (240, 160), (200, 30, 30)),
    "mirrored": house().transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}

# question, picture, truth; None: cannot tell
ALONE = [
    ("Is the picture bright?", "bright", True),
    ("Is the picture bright?", "dark", False),
    ("Is it a dark image?", "dark", True),
    ("Is the image dark?", "plain", False),
    ("Is the light warm?", "warm", True),
    ("Is the light warm?", "cool", False),
    ("Is the light warm rather than cool?", "warm", True),
    ("Does the photo have cool tones?", "cool", True),
    ("Is the picture warm and dark?", "warm", False),
    ("Is the picture warm or dark?", "warm", True),
    ("Is the picture blurry?", "blurred", True),
    ("Is the picture blurry?", "plain", False),
    ("Is the picture sharp?", "plain", True),
    ("Is the picture in focus?", "blurred", False),
    ("Is the picture free of blur?", "plain", True),
    ("Is the picture free of blur?", "blurred", False),
    ("Is the picture free of blur and noise?", "noisy", False),
    ("Is there visible noise?", "noisy", True),
    ("Is there visible noise?", "plain", False),
    ("Is the picture not dark?", "bright", True),
    ("Is the picture neither dark nor blurry?", "plain", True),
    ("Is the picture not blurry but bright?", "bright", True),
    ("Does it no longer look like daylight?", "dark", True),
    ("Is it black and white?", "plain", True),
    ("Is it black and white?", "red", False),
    ("Is the sky red?", "red", True),
    ("Is the sky blue?", "red", False),
    ("Is the contrast low?", "plain", None),
    ("Is it low contrast?", "flat", True),
    ("Is the man wearing a warm coat?", "warm", None),
    ("Is it raining?", "dark", None),
    ("Does it look like a watercolour?", "bright", None),
    ("Isn't the picture dark?", "dark", None),
    ("Is it darker than the original?", "dark", None),
    ("Is the structure the same as in the original?", "plain", None),
    ("", "plain", None),
]


@pytest.mark.parametrize("question, picture, truth", ALONE)
def test_questions_about_one_picture(question, picture, truth):
    assert answer(question, Scene(PICTURES[picture])).truth is truth


# question, result (the original is the plain one), truth
BESIDE = [
    ("Is the result darker than the original?", "dark", True),
    ("Is the result darker than the original?", "plain", False),
    ("Is the result brighter than the original?", "bright", True),
    ("Is it warmer?", "warm", True),
    ("Is the result less bright than the original?", "dark", True),
    ("Is the result at least as sharp as the original?", "plain", True),
    ("Is the result as sharp as the original?", "blurred", False),
    ("Is the building unchanged?", "warm", True),
    ("Is the building unchanged?", "mirrored", False),
    ("Is the composition kept as in the original?", "dark", True),
    ("Is the pose the same as in the original?", "mirrored", False),
    ("Has the structure changed?", "mirrored", True),
    ("Has the structure changed?", "cool", False),
    ("Is the structure not changed?", "cool", True),
    ("Are the colours the same as in the original?", "plain", True),
    ("Are the colours the same as in the original?", "cool", False),
    ("Has the light changed?", "dark", True),
    ("Has the light changed?", "plain", False),
    ("Is the clothing the same as in the original?", "plain", None),
    ("Has the weather changed?", "dark", None),
]


@pytest.mark.parametrize("question, picture, truth", BESIDE)
def test_questions_about_a_result_and_its_original(question, picture, truth):
    assert answer(question, Scene(PICTURES[picture], PICTURES["plain"])).truth is truth


def test_a_reason_quotes_the_measurement_and_the_limit():
    assert answer("Is the picture dark?", Scene(PICTURES["dark"])).reason == "brightness 18% (“dark” is below 42%)"
    found = answer("Is it darker than the original?", Scene(PICTURES["dark"], PICTURES["plain"]))
    assert found.reason == "brightness 18%, in the original 46%"


@pytest.mark.parametrize(
    "quality, values, told",
    [
        ("warmth", (0.0796, 0.08), ["0.0796", "0.0800"]),
        ("warmth", (0.0791, 0.08), ["0.079", "0.080"]),
        ("light", (0.534, 0.53), ["53.4%", "53.0%"]),
        ("light", (0.4, 0.53), ["40%", "53%"]),
        ("grain", (0.01, 0.01), ["0.010", "0.010"]),
    ],
)
def test_a_value_and_its_limit_never_look_the_same_when_they_are_not(quality, values, told):
    assert shown(quality, *values) == told


# --- by schema ----------------------------------------------------------------------------------------------------------


def ask(part: Dict[str, Any], result: str, original: Optional[str] = "plain", name: str = "x") -> Any:
    pictures = [PICTURES[p] for p in (original, result) if p]
    return json.loads(reply("Answer.", pictures, {"type": "object", "properties": {name: part}}))[name]


def asked(kind: str, question: str, **more: Any) -> Dict[str, Any]:
    return {"type": [kind, "null"], "description": question, **more}


TYPED = [
    (asked("boolean", "Is the result dark?"), "dark", True),
    (asked("boolean", "Is a cat in the result?"), "dark", None),
    (asked("number", "How bright is the picture, from 0 to 1?"), "red", 0.318),
    (asked("number", "How dark is the picture, from 0 to 1?"), "red", 0.682),
    (asked("integer", "How warm is the light, from 0 (cold) to 10 (warm)?"), "red", 10),
    (asked("integer", "How bright is the picture?", minimum=0, maximum=100), "red", 32),
    (asked("number", "What percentage of the picture is red?"), "red", 100.0),
    (asked("integer", "How many pixels wide is the picture?"), "red", 240),
    (asked("integer", "How many people are there?"), "plain", None),
    (asked("number", "How similar is the structure to the original?", minimum=0, maximum=1), "plain", 1.0),
    (asked("array", "Which colours dominate the picture?", items={"type": "string"}), "red", ["red"]),
    (asked("array", "Which colours are there?", items={"type": "string", "enum": ["blue"]}), "red", []),
    (asked("array", "What are the differences?", items={"type": "string"}), "plain", []),
    (asked("array", "Which animals are there?", items={"type": "string"}), "plain", None),
    (asked("string", "What is the sharpness like?"), "blurred", "soft"),
    (asked("string", "What is the person wearing?"), "plain", None),
    (asked("string", "Is the light warm, neutral or cool?", enum=["warm", "neutral", "cool", None]), "cool", "cool"),
    (
        asked("string", "Is the light warm, neutral or cool?", enum=["warm", "neutral", "cool", None]),
        "plain",
        "neutral",
    ),
    (asked("string", "Which animal is it?", enum=["cat", "dog", None]), "plain", None),
]


@pytest.mark.parametrize("part, result, expected", TYPED)
def test_answers_of_every_type(part, result, expected):
    assert ask(part, result) == expected


@pytest.mark.parametrize(
    "part, expected",
    [
        ({"type": "boolean"}, False),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "number", "maximum": -2}, -2.0),
        ({"type": "string"}, CANNOT_TELL),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, [CANNOT_TELL]),
        ({"type": "string", "enum": ["cat", "unknown"]}, "unknown"),
        ({"type": "string", "enum": ["cat", "dog"]}, "cat"),
        ({"type": ["string", "null"], "enum": ["cat", None]}, None),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, None),
    ],
)
def test_what_cannot_be_told_is_null_where_allowed_and_the_least_value_elsewhere(part, expected):
    assert ask({**part, "description": "Which animal sits on the sofa?"}, "plain") == expected


def test_an_answer_outside_the_bounds_is_not_given():
    assert ask(asked("integer", "How many pixels wide is the picture?", maximum=100), "plain") is None


@pytest.mark.parametrize("name", ["is_dark", "bright", "analysis", "differences", "similarity_score", "positive", "x"])
def test_no_answer_depends_on_the_name_of_its_field(name):
    assert ask(asked("boolean", "Is the light of the result warm?"), "warm", name=name) is True
    assert ask(asked("boolean", "Is there a dog in the result?"), "dark", name=name) is None


@pytest.mark.parametrize("place", ["verdict", "object"])
def test_a_criterion_gets_reason_and_verdict(place):
    question = {"description": "Is the result dark?"}
    part = {
        "type": "object",
        "properties": {
            "reason": {"type": "string"},
            "verdict": {"type": ["boolean", "null"], **(question if place == "verdict" else {})},
        },
        **(question if place == "object" else {}),
    }
    assert ask(part, "dark") == {"reason": "brightness 18% (“dark” is below 42%)", "verdict": True}


def test_a_criterion_beyond_measuring_says_so():
    verdict = {"type": ["boolean", "null"], "description": "Is the person smiling?"}
    part = {"type": "object", "properties": {"reason": {"type": "string"}, "verdict": verdict}}
    assert ask(part, "plain") == {"reason": CANNOT_TELL, "verdict": None}


COMPARISON = {
    "type": "object",
    "properties": {
        "differences": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        "analysis": {"type": "string"},
        "similarity_score": {"type": "number", "minimum": 0, "maximum": 1},
    },
}


def compare(result: str) -> Dict[str, Any]:
    got = json.loads(reply("Compare.", [PICTURES["plain"], PICTURES[result]], COMPARISON))
    assert isinstance(got, dict)
    return got


def test_the_comparison_scores_likeness_and_lists_differences():
    same = compare("plain")
    assert (same["similarity_score"], same["differences"]) == (1.0, [])
    assert same["similarity_score"] > compare("warm")["similarity_score"] > compare("red")["similarity_score"]
    assert compare("red")["similarity_score"] < 0.3
    assert compare("flat")["differences"] == ["less contrast (0.07 → 0.01)"]
    assert "outlines alone" in compare("warm")["analysis"]


def test_more_differences_than_the_schema_takes_are_left_out():
    assert len(compare("warm")["differences"]) <= 2


# --- prose and other shapes -----------------------------------------------------------------------------------------------


def test_a_description_tells_size_light_colours_and_sharpness():
    text = reply("Describe this picture for someone who cannot see it.", [PICTURES["blurred"]], None)
    assert "landscape picture of 240 x 160 px" in text
    assert text.endswith("close to grey, and it is soft.")


def test_a_plain_question_gets_a_plain_answer():
    assert reply("Is the picture dark?", [PICTURES["dark"]], None).startswith("Yes: brightness 18%")
    assert reply("Is the picture dark?", [PICTURES["bright"]], None).startswith("No: ")


def test_without_a_picture_nothing_is_made_up():
    assert "none came" in reply("Is it dark?", [], None)
    schema = {"type": "object", "properties": {"dark": {"type": ["boolean", "null"], "description": "Is it dark?"}}}
    assert json.loads(reply("Answer.", [], schema)) == {"dark": None}


@pytest.mark.parametrize(
    "schema, kind", [({"type": "object"}, dict), ({"type": "boolean"}, bool), ({"type": "array"}, list)]
)
def test_any_root_is_answered_in_kind(schema, kind):
    assert isinstance(json.loads(reply("Is the picture dark?", [PICTURES["dark"]], schema)), kind)


def test_a_schema_with_references_is_followed():
    mark = {"type": "object", "properties": {"dark": {"type": "boolean", "description": "Is the picture dark?"}}}
    schema = {"type": "object", "properties": {"mark": {"$ref": "#/$defs/Mark"}}, "$defs": {"Mark": mark}}
    assert json.loads(reply("Answer.", [PICTURES["dark"]], schema)) == {"mark": {"dark": True}}


def test_a_schema_that_contains_itself_comes_to_an_end():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    schema = {"$ref": "#/$defs/Node", "$defs": {"Node": node}}
    assert "next" in json.loads(reply("Answer.", [PICTURES["dark"]], schema))


# --- text alone -------------------------------------------------------------------------------------------------------------

IMPROVEMENT = {"type": "object", "properties": {"positive": {"type": "string"}, "negative": {"type": "string"}}}
SUGGESTION = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "steps": {"type": ["integer", "null"]},
        "sampler_name": {"type": ["string", "null"]},
        "scheduler": {"type": ["string", "null"]},
    },
}


def improved(positive: str, negative: str, *failed: str) -> Any:
    lines = "\n".join(f"- {line}" for line in failed)
    prompts = f"CURRENT POSITIVE PROMPT:\n{positive}\n\nCURRENT NEGATIVE PROMPT:\n{negative}\n\n"
    text = f"{prompts}FAILED CRITERIA:\n{lines}\n\nPASSED CRITERIA:\n- a: Is it dark?"
    got = json.loads(reply(text, [], IMPROVEMENT))
    return got["positive"], got["negative"]


@pytest.mark.parametrize(
    "before, failed, after",
    [
        (("a lake", "text"), [], ("a lake", "text")),
        (("a lake", "(none)"), ["f: Is it warm? [change]"], ("a lake, warm", "cool tones")),
        (("a lake, warm", ""), ["f: Is it warm?"], ("a lake, (warm:1.2)", "cool tones")),
        (("(warm:1.2)", "cool tones"), ["f: Is it warm?"], ("(warm:1.4)", "cool tones")),
        (("(warm:1.6)", "cool tones"), ["f: Is it warm?"], ("(warm:1.6)", "cool tones")),
        (("a", "b"), ["f: Is it cosy? Seen: nothing. Wanted: candle, red rug."], ("a, candle, red rug", "b")),
        (("a", "b"), ["f: Is it no longer bright?"], ("a", "b, bright")),
        (("a", ""), ["f: Is it free of blur? [preserve]"], ("a, sharp focus, detailed", "blurry, noise, distorted")),
        (("a", "b"), ["f: Is there a cat?"], ("a", "b")),
    ],
)
def test_an_improvement_keeps_the_prompts_and_works_on_what_failed(before, failed, after):
    assert improved(*before, *failed) == after


@pytest.mark.parametrize(
    "failed, steps",
    [
        ("- f: Is it free of noise?", 16),
        ("- f: Is it warm?", None),
        ("(none)", None),
        ("denoise is set elsewhere; null means keep", None),
    ],
)
def test_more_steps_are_suggested_only_against_blur_and_noise(failed, steps):
    got = json.loads(reply(f"parameters:\n  steps: 12\n\nFAILED CRITERIA:\n{failed}\n", [], SUGGESTION))
    assert (got["steps"], got["sampler_name"], got["scheduler"]) == (steps, None, None)


# --- which of two results? ------------------------------------------------------------------------------------------------

WANTED = """CRITERIA:
- Is the light warm? (wanted: yes)
- Is the picture blurry? (wanted: no)
- How similar is the composition of the result to that of the original, from 0 to 1? (wanted: number, at least 0.9)
- Does she wear a coat? (wanted: yes)

Answer with only one JSON object.
"""


@pytest.mark.parametrize(
    ("first", "second", "better"),
    [
        ("warm", "cool", "first"),
        ("cool", "warm", "second"),
        ("blurred", "plain", "second"),
        ("mirrored", "plain", "second"),
        ("warm", "warm", None),
    ],
)
def test_of_two_results_the_one_that_meets_more_is_better(first: str, second: str, better: Optional[str]) -> None:
    told = json.loads(reply(WANTED, [house(), PICTURES[first], PICTURES[second]], DUEL))
    assert list(told) == ["reason", "better"]
    assert told["better"] == better
    assert "first: " in told["reason"] and "second: " in told["reason"]


def test_three_pictures_without_a_choice_are_no_duel() -> None:
    schema = {"type": "object", "properties": {"dark": {"type": "boolean", "description": "Is the picture dark?"}}}
    told = json.loads(reply("look", [house(), PICTURES["bright"], PICTURES["dark"]], schema))
    assert told == {"dark": True}


def test_questions_comparison_and_criteria_in_one_are_answered_as_each_alone() -> None:
    criteria = [
        Criterion(field="is_warm", question="Is the light warm?"),
        Criterion(field="dark", question="Is it dark?"),
    ]
    questions = [Question(field="tone", question="Which colours are there?", type="array")]
    whole = combined_schema(questions, criteria)
    for name in PICTURES:
        pictures = [PICTURES["plain"], PICTURES[name]]
        alone = {part: json.loads(reply("Look.", pictures, schema)) for part, schema in whole["properties"].items()}
        assert json.loads(reply("Look.", pictures, whole)) == alone
        assert list(alone["criteria"]["is_warm"]) == ["reason", "verdict"]
