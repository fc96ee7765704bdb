"""Questions of every type to lawful values: what a schema asks for, filled with what was measured. Pure.

"Cannot tell" is null where the schema allows it. Where it does not, a grammar leaves no honest value: the answer is then
the least the type can say (false, the minimum, an empty list), and the reason, where there is room for one, says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from . import measure
from .claims import CANNOT_TELL, QUALITIES, TOPICS, Scene, answer, region, shown, unknown_words
from .portrait import colours_of, contrast_of, describe, differences, light_of, main_hues, sharpness_of
from .vocabulary import find, words_of

_LIKENESS = frozenset(["similar", "similarity", "alike", "likeness", "resemblance", "resemble", "identical", "close"])
_SIZES = {"wide": 0, "width": 0, "high": 1, "height": 1, "tall": 1}
_UNSURE = frozenset(["unknown", "unclear", "unsure", "none", "other", "n/a", "undetermined", "neither"])
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)\s*(?:\([^)]*\)\s*)?(?:to|-|–|and)\s*(-?\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Reading:
    """A value for a question, and what it rests on."""

    value: Any
    reason: str


def types_of(schema: Mapping[str, Any]) -> Tuple[str, ...]:
    """The types that a part of a schema allows; nothing said means text, or an object where it has properties."""
    said = schema.get("type") or ("object" if "properties" in schema else "string")
    said = (said,) if isinstance(said, str) else tuple(said)
    choices = [t for part in schema.get("anyOf", ()) for t in types_of(part)]
    return tuple(choices) or said


def read(question: str, schema: Mapping[str, Any], scene: Scene) -> Reading:
    """Answer `question` with a value that `schema` allows."""
    kind = next((t for t in types_of(schema) if t != "null"), "null")
    if schema.get("enum"):
        found = _choose(question, schema["enum"], scene)
    elif kind == "boolean":
        finding = answer(question, scene)
        found = Reading(finding.truth, finding.reason)
    else:
        reader = {"number": _number, "integer": _number, "array": _list, "string": _text}.get(kind)
        found = reader(question, schema, scene) if reader else Reading(None, CANNOT_TELL)
    if found.value is not None and fitting(found.value, schema):
        return found
    return Reading(
        fallback(schema), CANNOT_TELL if found.value is None else f"{found.reason}: outside what may be said"
    )


def fallback(schema: Mapping[str, Any]) -> Any:
    """What is said when nothing can be told: null, or the least that the type allows."""
    types = types_of(schema)
    if schema.get("enum"):
        members = schema["enum"]
        return next((m for m in members if m is None or str(m).lower() in _UNSURE), members[0])
    if "null" in types:
        return None
    if types[0] == "array":
        return [fallback(schema.get("items") or {}) for _ in range(int(schema.get("minItems", 0)))]
    if types[0] == "object":
        return {name: fallback(part) for name, part in (schema.get("properties") or {}).items()}
    least = schema.get("minimum", min(0, schema.get("maximum", 0)))
    return {"boolean": False, "integer": int(least), "number": float(least)}.get(types[0], CANNOT_TELL)


def fitting(value: Any, schema: Mapping[str, Any]) -> bool:
    """Say whether `schema` allows `value`, in the parts of JSON Schema that questions use."""
    if value is None:
        return "null" in types_of(schema)
    if schema.get("enum"):
        return value in schema["enum"]
    kinds: Dict[str, Any] = {
        "boolean": bool,
        "integer": int,
        "number": (int, float),
        "string": str,
        "array": list,
        "object": dict,
    }
    accepted = [kinds[t] for t in types_of(schema) if t in kinds]
    if not any(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) for kind in accepted):
        return False
    if isinstance(value, list):
        return int(schema.get("minItems", 0)) <= len(value) <= int(schema.get("maxItems", len(value)))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


# --- by type ----------------------------------------------------------------------------------------------------------


def _choose(question: str, members: List[Any], scene: Scene) -> Reading:
    """The one member that holds as a claim of its own. None, or several, that hold: cannot tell."""
    words = words_of(question)
    named = [m for m in members if isinstance(m, str)]
    if set(unknown_words(words, find(words))) - set(words_of(" ".join(named))):
        return Reading(None, CANNOT_TELL)
    findings = [(m, answer(f"is it {m} {_about(words)}", scene)) for m in named]
    holding = [(m, f) for m, f in findings if f.truth]
    known = [f for _, f in findings if f.truth is not None]
    if len(holding) == 1:
        return Reading(holding[0][0], holding[0][1].reason)
    rest = [
        m
        for m, f in findings
        if f.truth is None and m.lower() in ("neutral", "medium", "normal", "balanced", "moderate")
    ]
    if not holding and known and rest:
        return Reading(rest[0], "; ".join(f.reason for f in known))
    return Reading(None, CANNOT_TELL)


def _about(words: List[str]) -> str:
    """Words of the question that say which part of the picture is meant."""
    return " ".join(word for word in words if region([word])[1])


def _number(question: str, schema: Mapping[str, Any], scene: Scene) -> Reading:
    words = words_of(question)
    found = _size(words, scene) or _degree(words, scene)
    if found is None:
        return Reading(None, CANNOT_TELL)
    value, reason, is_share = found
    if is_share:
        low, high = _scale(question, schema)
        value = low + value * (high - low)
    return Reading(round(value) if "integer" in types_of(schema) else round(value, 3), reason)


def _size(words: List[str], scene: Scene) -> Optional[Tuple[float, str, bool]]:
    side = next((_SIZES[w] for w in words if w in _SIZES), None)
    if side is None or not {"pixels", "px", "pixel"} & set(words):
        return None
    return scene.result.size[side], "the size of the picture as sent", False


def _degree(words: List[str], scene: Scene) -> Optional[Tuple[float, str, bool]]:
    """How much of a quality there is, 0 to 1; likeness to the original where that is asked."""
    if set(words) & _LIKENESS:
        if scene.original is None:
            return None
        alike, outlines = measure.similarity(scene.original, scene.result), scene.structure()
        if set(words) & {"structure", "composition", "outlines", "shape", "shapes", "layout", "pose", "geometry"}:
            return outlines, f"outlines match the original's by {outlines:.0%}", True
        return alike, f"likeness {alike:.2f} from outlines and colours", True
    claims = find(words)
    name = _quality_asked(words)
    if name is None or unknown_words(words, claims):
        return None
    box, where = region(words)
    value = scene.value(name, box)
    label = QUALITIES[name].label if name in QUALITIES else f"share of {name[5:]}"
    part = value / QUALITIES[name].full if name in QUALITIES else value
    part = part / 2 + 0.5 if name == "warmth" else part
    part = max(0.0, min(1.0, part))
    first = next((c.look[name] for c in claims if name in c.look), 1.0)  # "how dark" counts from the other end
    return (1 - part if first < 0 else part), f"{label}{where} {shown(name, value)[0]}", True


def _quality_asked(words: List[str]) -> Optional[str]:
    """The one quality that the words name."""
    names = [
        n for c in find(words) for n, a in c.look.items() if abs(a) >= 0.5 and (n in QUALITIES or n[:5] == "tint:")
    ]
    names = names or [TOPICS[w] for w in words if TOPICS.get(w, "colour") != "colour"]
    return names[0] if len(set(names)) == 1 else None


def _scale(question: str, schema: Mapping[str, Any]) -> Tuple[float, float]:
    """The ends of the scale: the schema's, else those the question names, else 0 to 1 (or 100 for per cent)."""
    if "minimum" in schema and "maximum" in schema:
        return float(schema["minimum"]), float(schema["maximum"])
    said = _RANGE.search(question)
    if said:
        return float(said[1]), float(said[2])
    top = 100.0 if re.search(r"per ?cent|%", question) else 1.0
    return float(schema.get("minimum", 0.0)), float(schema.get("maximum", top))


def _list(question: str, schema: Mapping[str, Any], scene: Scene) -> Reading:
    words = words_of(question)
    if set(words) & {"differences", "changes", "changed", "differs", "different"} and scene.original is not None:
        told = differences(scene)
        return _listed(told, schema, "measured against the original")
    if any(TOPICS.get(w) == "colour" for w in words) and not unknown_words(words, find(words)):
        box, where = region(words)
        hues = main_hues(scene.figures(box))
        return _listed(hues or ["grey"], schema, f"hues by their share{where}")
    return Reading(None, CANNOT_TELL)


def _listed(values: List[str], schema: Mapping[str, Any], reason: str) -> Reading:
    allowed = (schema.get("items") or {}).get("enum")
    kept = [v for v in values if allowed is None or v in allowed]
    return Reading(kept[: int(schema.get("maxItems", len(kept)))], reason)


def _text(question: str, schema: Mapping[str, Any], scene: Scene) -> Reading:
    """A few words on the topic that is named."""
    words = words_of(question)
    if unknown_words(words, find(words)):
        return Reading(None, CANNOT_TELL)
    box, where = region(words)
    seen = scene.figures(box)
    told = {
        "light": f"{light_of(seen)} light, {_colours(seen)}",
        "contrast": f"{contrast_of(seen)} contrast",
        "warmth": colours_of(seen),
        "saturation": colours_of(seen),
        "colour": colours_of(seen),
        "sharpness": sharpness_of(seen),
        "grain": sharpness_of(seen),
    }
    topics = [told[TOPICS[w]] for w in words if w in TOPICS]
    if topics:
        return Reading("; ".join(dict.fromkeys(topics)), f"measured{where}")
    return Reading(describe(scene), "measured") if "describe" in words else Reading(None, CANNOT_TELL)


def _colours(seen: measure.Figures) -> str:
    return colours_of(seen).split(",")[0]
