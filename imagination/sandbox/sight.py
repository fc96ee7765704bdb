"""The built-in judge: measures the pictures it is sent and answers what can be measured, else says that it cannot tell.

For trying the tool and for tests: there is no vision model here. Answers come from the words of the questions (each
property's `description` in the schema) and from `measure`. A name is read only where there is no description: as the
question, or as one of the parts that the tool itself asks for without words (comparison, improvement, suggestion). Of two
pictures the first is the original.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence

from PIL import Image

from . import measure, rewriting
from .answers import Reading, fallback, fitting, read, types_of
from .claims import Scene, answer
from .duels import duel, is_duel
from .portrait import describe, differences

_REASON = re.compile(r"reason|why|explanation|rationale|because", re.I)
_PROMPTS, _SETTINGS = frozenset(["positive", "negative"]), frozenset(["steps", "sampler_name", "scheduler"])
DEEPEST = 24  # levels of a schema that are read
NO_PICTURE = "I only measure pictures, and none came with the question."


def reply(instruction: str, images: Sequence[Image.Image], schema: Optional[Mapping[str, Any]]) -> str:
    """The judge's text: prose without a schema, else JSON that obeys it. With more than two pictures the last is judged,
    unless two of three are to be chosen between.
    """
    scene = Scene(images[-1], images[0] if len(images) > 1 else None) if images else None
    if schema is None:
        return _prose(instruction, scene)
    wanted = _inlined(schema, schema)
    if is_duel(wanted.get("properties") or {}, images):
        return json.dumps(duel(instruction, images, wanted["properties"]), ensure_ascii=False)
    return json.dumps(_value(wanted, instruction, instruction, scene), ensure_ascii=False)


def _prose(instruction: str, scene: Optional[Scene]) -> str:
    if scene is None:
        return NO_PICTURE
    asked = instruction.strip()
    if asked.endswith("?") and "\n" not in asked:
        found = answer(asked, scene)
        if found.truth is not None:
            return f"{'Yes' if found.truth else 'No'}: {found.reason}."
    return describe(scene)


def _inlined(part: Any, root: Mapping[str, Any], depth: int = 0) -> Any:
    """`part` with each `$ref` into `root` replaced by what it names, as pydantic's nested models need it.

    A schema that contains itself ends in "anything" at the depth limit.
    """
    if depth > DEEPEST:
        return {}
    if isinstance(part, list):
        return [_inlined(item, root, depth + 1) for item in part]
    if not isinstance(part, Mapping):
        return part
    place = part.get("$ref")
    if isinstance(place, str) and place.startswith("#/"):
        target: Any = root
        for key in place[2:].split("/"):
            target = target.get(key, {}) if isinstance(target, Mapping) else {}
        return _inlined({**target, **{k: v for k, v in part.items() if k != "$ref"}}, root, depth + 1)
    return {key: _inlined(value, root, depth + 1) for key, value in part.items() if key != "$defs"}


# --- by schema --------------------------------------------------------------------------------------------------------


def _value(schema: Mapping[str, Any], question: str, instruction: str, scene: Optional[Scene]) -> Any:
    """A value for one part of a schema. An object with a question of its own is reason and verdict; others are taken apart."""
    if "object" not in types_of(schema):
        return _read(question, schema, scene).value
    properties: Mapping[str, Any] = schema.get("properties") or {}
    if not properties:
        return {"answer": _prose(instruction, scene)}
    if scene is None:
        written = _written(instruction, set(properties))
        return {name: _lawful(written.get(name), part, question, scene) for name, part in properties.items()}
    reasons = [name for name, part in properties.items() if _REASON.search(name) and "string" in types_of(part)]
    if reasons and len(properties) == len(reasons) + 1:
        return _reasoned(schema, properties, reasons, question, scene)
    return {name: _member(name, part, instruction, scene) for name, part in properties.items()}


def _member(name: str, part: Mapping[str, Any], instruction: str, scene: Scene) -> Any:
    """One property: by its question; without one, by the name the tool gives to a part of a comparison."""
    question = str(part.get("description") or part.get("title") or "")
    if not question and scene.original is not None:
        compared = _compared(name, scene)
        if compared is not None:
            return _lawful(compared, part, "", scene)
    return _value(part, question or name.replace("_", " "), instruction, scene)


def _reasoned(
    schema: Mapping[str, Any], properties: Mapping[str, Any], reasons: List[str], question: str, scene: Scene
) -> Dict[str, Any]:
    verdict = next(name for name in properties if name not in reasons)
    asked = str(properties[verdict].get("description") or schema.get("description") or question)
    reading = _read(asked, properties[verdict], scene)
    return {name: reading.reason if name in reasons else reading.value for name in properties}


def _read(question: str, schema: Mapping[str, Any], scene: Optional[Scene]) -> Reading:
    return read(question, schema, scene) if scene is not None else Reading(fallback(schema), NO_PICTURE)


def _lawful(value: Any, part: Mapping[str, Any], question: str, scene: Optional[Scene]) -> Any:
    return value if fitting(value, part) else _read(question, part, scene).value


def _compared(name: str, scene: Scene) -> Any:
    assert scene.original is not None
    alike = measure.similarity(scene.original, scene.result)
    if name == "similarity_score":
        return round(alike, 3)
    if name == "differences":
        return differences(scene)
    if name == "analysis":
        told = "; ".join(differences(scene)) or "no measurable difference"
        return f"Measured likeness {alike:.2f}, outlines alone {scene.structure():.2f}: {told}."
    return None


def _written(instruction: str, names: set[str]) -> Dict[str, Any]:
    """What can be said without a picture."""
    if names >= _PROMPTS:
        positive, negative = rewriting.improve(instruction)
        return {"positive": positive, "negative": negative}
    if names & _SETTINGS:
        return rewriting.suggest(instruction)
    return {}
