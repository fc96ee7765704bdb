"""Values as models give them, to values of a declared type (contracts/vlm-replies.md, Keys and Values).

`fit` maps the members of an object to the properties of a schema, `coerce` makes one value valid against one schema or
returns `NO_VALUE`. Nothing is clamped, rounded, defaulted or chosen between: what could mean two things is no value.
The schema words understood are those the product writes: type (also as a list), enum, const, anyOf, properties,
required, items, and the usual bounds.
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from imagination._jsonish import MAX_DIGITS, NO_VALUE, Bare, CutList, candidates
from imagination.model import key_of

Schema = Mapping[str, Any]
VALUE_KEYS = ("value", "answer", "result", "response")
MAX_NESTING = 8  # of value objects inside value objects


class Fit(NamedTuple):
    """The members of an object as valid properties, in the order of the schema."""

    values: Dict[str, Any]
    dropped: Tuple[str, ...]  # keys that are no property, or whose value is unusable
    repairs: Tuple[str, ...]


# --- keys -------------------------------------------------------------------------------------------------------------


folded_key = lru_cache(maxsize=4096)(key_of)  # the same few names come again and again


def names_of(schema: Schema) -> Dict[str, Optional[str]]:
    """Map every folded spelling a key may have to its property; to None where two properties share it."""
    names: Dict[str, Optional[str]] = {}
    properties = schema.get("properties") or {}
    for spelling in (str, lambda name: _as_mapping(properties[name]).get("description")):
        taken: Dict[str, Optional[str]] = {}
        for name in properties:
            folded = folded_key(str(spelling(name) or ""))
            taken[folded] = None if folded in taken else name
        names = {**taken, **names}  # a name goes before another property's description
    names.pop("", None)
    return names


def fit(members: Iterable[Tuple[str, Any]], schema: Schema) -> Optional[Fit]:
    """Make the valid object of `members` (later ones win), or None where a required property has no value."""
    properties: Dict[str, Any] = schema.get("properties") or {}
    members = list(members)
    if not members:
        return None
    found, unknown = _by_property(members, schema)
    repairs = {"keys mapped"} if any(key != name for name, (key, _) in found.items()) else set()
    values: Dict[str, Any] = {}
    for name, rules in properties.items():
        if name not in found:
            continue
        key, raw = found[name]
        value = coerce(raw, _as_mapping(rules))
        if value is NO_VALUE:
            unknown.append(key)
            continue
        values[name] = value
        if type(value) is not type(raw) or value != raw:
            repairs.add("values converted")
    if not values or any(name not in values for name in schema.get("required") or ()):
        return None
    return Fit(values, tuple(dict.fromkeys(unknown)), tuple(sorted(repairs)))


def _by_property(members: Sequence[Tuple[str, Any]], schema: Schema) -> Tuple[Dict[str, Tuple[str, Any]], List[str]]:
    properties = schema.get("properties") or {}
    names = {} if all(key in properties for key, _ in members) else names_of(schema)
    found: Dict[str, Tuple[str, Any]] = {}
    unknown: List[str] = []
    for key, value in members:
        name = key if key in properties else names.get(folded_key(key))
        if name is None:
            unknown.append(key)
        else:
            found[name] = (key, value)
    return (found, unknown) if found else _by_position(members, list(properties))


def _by_position(members: Sequence[Tuple[str, Any]], names: List[str]) -> Tuple[Dict[str, Tuple[str, Any]], List[str]]:
    """Take keys 1…n or q1…qn as positions, if there are exactly n of one kind for n properties."""
    for prefix in ("", "q"):
        numbered: Dict[str, Tuple[str, Any]] = {}
        rest: List[str] = []
        for key, value in members:
            if re.fullmatch(prefix + r"[1-9]\d{0,3}", key_of(key), re.ASCII):
                numbered[key_of(key)] = (key, value)
            else:
                rest.append(key)
        wanted = [f"{prefix}{n}" for n in range(1, len(names) + 1)]
        if names and set(numbered) == set(wanted):
            return {name: numbered[number] for name, number in zip(names, wanted)}, rest
    return {}, [key for key, _ in members]


# --- any value --------------------------------------------------------------------------------------------------------


def coerce(value: Any, schema: Schema, depth: int = 0) -> Any:
    """Make `value` valid against `schema`, or NO_VALUE. A string keeps its contents."""
    if value is NO_VALUE or isinstance(value, CutList) or depth > MAX_NESTING:
        return NO_VALUE
    if value is None:
        return _null(schema)
    options = [option for kind in _alternatives(schema) for option in _by_type(kind)]
    exact = [option for option in options if _is_native(value, option.get("type"))]
    for option in exact + [option for option in options if option not in exact]:
        made = _convert(value, option, depth)
        if made is not NO_VALUE:
            return made
    return NO_VALUE


def _null(schema: Schema) -> Any:
    if allows_null(schema):
        return None
    wanted = _only_required(schema)
    return {wanted: None} if wanted and allows_null(schema["properties"][wanted]) else NO_VALUE


def _as_mapping(schema: Any) -> Schema:
    return schema if isinstance(schema, Mapping) else {}


def _alternatives(schema: Schema) -> List[Schema]:
    """Spread `anyOf` into whole schemas; what stands beside it holds for each."""
    options = schema.get("anyOf") or schema.get("oneOf")
    if not isinstance(options, list):
        return [schema]
    outer = {key: rule for key, rule in schema.items() if key not in ("anyOf", "oneOf")}
    return [{**outer, **_as_mapping(option)} for option in options]


def _by_type(schema: Schema) -> List[Schema]:
    """One schema for each type that is not null; a schema without a type says it by its other words."""
    kinds = schema.get("type")
    if kinds is None:
        kinds = "object" if "properties" in schema else "array" if "items" in schema else "any"
    return [{**schema, "type": kind} for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]


def allows_null(schema: Schema) -> bool:
    """Say whether null is a valid value."""
    schema = _as_mapping(schema)
    if "anyOf" in schema or "oneOf" in schema:
        return any(allows_null(option) for option in _alternatives(schema))
    if "enum" in schema and None in schema["enum"]:
        return True
    kinds = schema.get("type")
    if "enum" in schema:  # null beside the type, but not among the members: the type is the clearer word
        return kinds is not None and "null" in ([kinds] if isinstance(kinds, str) else kinds)
    return (kinds is None and not schema) or "null" in ([kinds] if isinstance(kinds, str) else kinds or ())


def _is_native(value: Any, kind: Any) -> bool:
    if isinstance(value, bool):
        return bool(kind == "boolean")
    if isinstance(value, (int, float)):
        return kind == "number" or (kind == "integer" and isinstance(value, int))
    return isinstance(value, {"string": str, "array": list, "object": dict}.get(kind, ()))


def _convert(value: Any, schema: Schema, depth: int) -> Any:
    kind = schema["type"]
    if kind == "object":
        return _to_object(value, schema, depth)
    if isinstance(value, dict):
        return _inner_value(value, schema, depth) if kind != "any" else _to_any(value, schema)
    if kind == "array":
        return _to_array(value, schema, depth)
    if isinstance(value, list) and kind != "any":
        if len(value) == 1 and not isinstance(value[0], (list, dict)):
            return coerce(value[0], schema, depth + 1)
        if kind != "string" or _enum(schema) is not None or not all(isinstance(item, str) for item in value):
            return NO_VALUE
        value = ", ".join(value)
    convert: Optional[Callable[[Any, Schema], Any]] = _SCALARS.get(kind)
    return convert(value, schema) if convert else NO_VALUE


def _inner_value(value: Dict[str, Any], schema: Schema, depth: int) -> Any:
    """Take what an object says under `value`, `answer`, `result` or `response`; two that differ are not chosen between."""
    inner = [coerce(part, schema, depth + 1) for key, part in value.items() if key_of(key) in VALUE_KEYS]
    usable = [part for part in inner if part is not NO_VALUE]
    agree = all(part == usable[0] and type(part) is type(usable[0]) for part in usable)
    return usable[0] if usable and agree else NO_VALUE


def _enum(schema: Schema) -> Optional[List[Any]]:
    if "const" in schema:
        return [schema["const"]]
    return list(schema["enum"]) if schema.get("enum") is not None else None


def _same(one: Any, other: Any) -> bool:
    """Compare by value: 95 equals 95.0, a boolean never equals a number."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _member(value: Any, schema: Schema) -> Any:
    allowed = _enum(schema)
    if allowed is None:
        return value
    return next((member for member in allowed if _same(member, value)), NO_VALUE)


# --- boolean ----------------------------------------------------------------------------------------------------------

_TRUE = frozenset(["yes", "y", "true", "pass", "passed", "✓", "✔", "✅"])
_FALSE = frozenset(["no", "n", "false", "fail", "failed", "✗", "✘", "❌"])
_VERDICT = re.compile(r"(?:yes|no|true|false|pass(?:ed)?|fail(?:ed)?|y|n)(?!\w)|[✓✔✅✗✘❌]", re.IGNORECASE)
_REASON = re.compile(
    r"\s*[,.;:!(–—\-，。；：！（]|\s*[\r\n]|\s+(?:because|since|as|it|the|this|there|they|he|she)\b", re.IGNORECASE
)
_MARKS = " \t\r\n\u00a0\"'`“”‘’*_"
_NOT_APPLICABLE = re.compile(r"n\s*[./]\s*a\.?", re.IGNORECASE)


def _to_boolean(value: Any, schema: Schema) -> Any:
    if isinstance(value, str):
        value = _verdict(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        value = bool(value) if value in (0, 1) else NO_VALUE
    return _member(value, schema) if isinstance(value, bool) else NO_VALUE


def _verdict(text: str) -> Any:
    """Read the verdict that a text begins with. What follows must not make it part of a phrase ("No visible tie")."""
    text = text.replace("\ufe0f", "").strip(_MARKS)
    digit = text.rstrip(".!")
    if digit in ("0", "1"):
        return digit == "1"
    word = _VERDICT.match(text)
    if not word or _NOT_APPLICABLE.fullmatch(text):
        return NO_VALUE
    verdict = word.group().casefold() in _TRUE
    rest = text[word.end() :].lstrip("*_\"'`”’")
    if not rest.strip(_MARKS + ".!"):
        return verdict
    if word.group() in "✓✔✅✗✘❌" and _verdict(rest) is verdict:
        return verdict  # a sign and the same verdict as a word
    return verdict if _REASON.match(rest) and not _takes_back(rest, verdict) else NO_VALUE


def _takes_back(rest: str, verdict: bool) -> bool:
    """Say whether nothing but the opposite verdict follows: "Yes, no", "Yes - and no"."""
    other = re.sub(r"^[\W_]+(?:(?:and|or|but|also)\b[\W_]*)*", "", rest.casefold()).strip(_MARKS + ".,;:!?()–—-")
    return other in (_FALSE if verdict else _TRUE)


# --- numbers ----------------------------------------------------------------------------------------------------------

_FIGURE = re.compile(r"(?:(?<![\w.)%])[+\-−])?(?:\d(?:[\d.,]*\d)?|(?<!\d)\.\d+)(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_PERCENT = re.compile(r"\s*(?:[%％]|percent\b|per cent\b)", re.IGNORECASE)
_OUT_OF = re.compile(r"\s*(?:/|out\s+of)\s*", re.IGNORECASE)
_SCALED = re.compile(r"[kKM]\b")  # 2k is not 2


def _to_number(value: Any, schema: Schema) -> Any:
    if isinstance(value, str):
        value = _number_in(value, schema.get("maximum", schema.get("exclusiveMaximum")))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return NO_VALUE
    if isinstance(value, float) and not math.isfinite(value):
        return NO_VALUE
    if schema["type"] == "integer" and isinstance(value, float):
        if not value.is_integer():
            return NO_VALUE
        value = int(value)
    return _member(value, schema) if _within(value, schema) else NO_VALUE


def _within(value: float, schema: Schema) -> bool:
    return (
        value >= schema.get("minimum", value)
        and value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )


def _number_in(text: str, maximum: Optional[float]) -> Any:
    """Read the one number in a text; percent and fractions by the field's maximum, and without one they mean nothing."""
    figures = []
    for figure in _FIGURE.finditer(text):
        figures.append(figure)
        if len(figures) > 2:
            return NO_VALUE
    numbers = [_figure(text, figure) for figure in figures]
    if not numbers or NO_VALUE in numbers or any(c.isnumeric() and not c.isdecimal() for c in text):
        return NO_VALUE  # the last: ½, ², 三
    if len(numbers) == 2:
        between = text[figures[0].end() : figures[1].start()]
        return _fraction(numbers[0], numbers[1], maximum) if _OUT_OF.fullmatch(between) else NO_VALUE
    if not _PERCENT.match(text, figures[0].end()):
        return numbers[0]
    if maximum is None:
        return NO_VALUE
    return numbers[0] / 100 if maximum <= 1 else numbers[0]


def _fraction(part: float, whole: float, maximum: Optional[float]) -> Any:
    if maximum is None or whole <= 0:
        return NO_VALUE
    if maximum <= 1:
        return part / whole
    return part if whole == maximum else NO_VALUE


def _figure(text: str, match: re.Match[str]) -> Any:
    before, figure = text[: match.start()][-1:], match.group().replace("−", "-")
    if before.isalpha() or before == "_" or _SCALED.match(text, match.end()) or len(figure) > MAX_DIGITS:
        return NO_VALUE
    sign, digits = (figure[0], figure[1:]) if figure[0] in "+-" else ("", figure)
    if _THOUSANDS.fullmatch(digits):
        digits = digits.replace(",", "")
    elif re.fullmatch(r"\d+,\d+", digits):
        digits = digits.replace(",", ".")
    if re.fullmatch(r"\d+", digits):
        return int(sign + digits)
    if not re.fullmatch(r"(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?", digits):
        return NO_VALUE
    number = float(sign + digits)
    return number if math.isfinite(number) else NO_VALUE


# --- strings ----------------------------------------------------------------------------------------------------------


def _to_string(value: Any, schema: Schema) -> Any:
    allowed = _enum(schema)
    if allowed is not None:
        return _to_member(value if isinstance(value, str) else json.dumps(value), allowed)
    if isinstance(value, Bare) and value.casefold() not in ("yes", "no"):
        return NO_VALUE  # without quotes nobody knows where the text ends
    if not isinstance(value, str):
        value = json.dumps(value)
    text = _whole_characters(str(value))
    fits = schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", len(text))
    return text if fits and re.search(schema.get("pattern", ""), text) else NO_VALUE


def _whole_characters(text: str) -> str:
    """Replace half a surrogate pair, which no file could hold."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


_FOLDED_AWAY = re.compile(r"[\s_\-\u200b\"'`“”„‘’«»*]+")
_FOLLOWER = re.compile(r"[,.;:!(–—，。；：！（]|-(?=\s)|(?<=\s)-")  # a hyphen inside a word is no dash
_PARTS = re.compile(r"[,;/|&()，；]|\.(?:\s|$)|\b(?:and|or)\b", re.IGNORECASE)
_HEDGES = re.compile(r"^\s*(?:maybe|perhaps|possibly|probably|also|rather|[:–—-])\s*", re.IGNORECASE)


def _folded(text: str) -> str:
    return _FOLDED_AWAY.sub("", text.casefold()).rstrip(".,;:!。")


def _to_member(text: str, allowed: Sequence[Any]) -> Any:
    """Find the member that a text is, or begins with before an explanation; never one of several."""
    if text in allowed:
        return text
    names = [member for member in allowed if isinstance(member, str)]
    head = text[: 200 + 4 * max((len(name) for name in names), default=0)]
    whole = [name for name in names if _folded(name) == _folded(text)] if head == text else []
    if whole:
        return whole[0] if len(whole) == 1 else NO_VALUE
    for dash in reversed(list(_FOLLOWER.finditer(head))):  # the longest beginning first: business-casual, not business
        found = [name for name in names if _folded(name) and _folded(name) == _folded(head[: dash.start()])]
        if found:
            return (
                found[0] if len(found) == 1 and not _names_another(text[dash.start() :], found[0], names) else NO_VALUE
            )
    return NO_VALUE


def _names_another(rest: str, member: str, names: Sequence[str]) -> bool:
    others = {_folded(name) for name in names} - {_folded(member)}
    parts = {_folded(_HEDGES.sub("", _HEDGES.sub("", part))) for part in _PARTS.split(rest)}
    return bool(parts & (others | {"no", "false", "not"}))


# --- arrays and objects -----------------------------------------------------------------------------------------------

_BULLET = re.compile(r"^\s*(?:[-*•·–—‣◦]\s+|•|\(?\d{1,3}[.)]\s+)")
_EMPTY = frozenset(("", "none", "n/a", "nothing"))


def _to_array(value: Any, schema: Schema, depth: int) -> Any:
    if isinstance(value, str) and not isinstance(value, Bare):
        value = items_of(value)
    if not isinstance(value, list) or isinstance(value, CutList):
        return NO_VALUE
    rules = _as_mapping(schema.get("items"))
    present = [item for item in value if item is not NO_VALUE and (item is not None or (rules and allows_null(rules)))]
    items = [coerce(item, rules, depth + 1) for item in present]
    if any(item is NO_VALUE for item in items):
        return NO_VALUE
    items = items[: schema.get("maxItems", len(items))]
    repeated = schema.get("uniqueItems") and any(_same(a, b) for n, a in enumerate(items) for b in items[:n])
    return NO_VALUE if len(items) < schema.get("minItems", 0) or repeated else items


def items_of(text: str) -> List[Any]:
    """Split a text that stands for a list: a list in brackets, lines, else semicolons, else commas."""
    text = text.strip()
    if text.strip(" .!*").casefold() in _EMPTY:
        return []
    if text[0] == "[" and text[-1] == "]":
        read = candidates(text)[0]
        if read.end == len(text) and not any(isinstance(item, Bare) for item in read.value):
            return list(read.value)
        text = text[1:-1]
    lines = [_BULLET.sub("", line) for line in text.splitlines() if line.strip()]
    if len(lines) == 1:
        lines = re.split("[;；]", lines[0]) if re.search("[;；]", lines[0]) else re.split("[,，、]", lines[0])
    return [line.strip() for line in lines if line.strip()]


def _only_required(schema: Schema) -> Optional[str]:
    required = schema.get("required") or ()
    return required[0] if len(required) == 1 and required[0] in (schema.get("properties") or {}) else None


def _to_object(value: Any, schema: Schema, depth: int) -> Any:
    """Make a nested object; where exactly one property is required, a bare scalar is that property."""
    if isinstance(value, str) and value.strip()[:1] == "{":
        read = candidates(value)
        value = read[0].value if len(read) == 1 else value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], (dict, str, int, float)):
        value = value[0]
    wanted = _only_required(schema)
    if not isinstance(value, dict):
        made = (
            coerce(value, schema["properties"][wanted], depth + 1)
            if wanted and not isinstance(value, list)
            else NO_VALUE
        )
        return NO_VALUE if made is NO_VALUE else {wanted: made}
    found = fit(value.items(), schema)
    if found:
        return found.values
    inner: List[Tuple[str, Any]] = []
    for part in (part for key, part in value.items() if folded_key(key) in VALUE_KEYS):
        inner += [(wanted, part)] if wanted else []
        inner += part.items() if isinstance(part, dict) else []
    found = fit([*value.items(), *inner], schema) if inner else None
    return found.values if found else NO_VALUE


def _to_any(value: Any, schema: Schema) -> Any:
    """A schema without a type: the value as JSON has it, or the member of `enum` that it is."""
    allowed = _enum(schema)
    if allowed is None:
        return _plain(value)
    exact = _member(value, schema)
    if exact is not NO_VALUE or not isinstance(value, (str, int, float)) or isinstance(value, bool):
        return exact
    if isinstance(value, str) and all(isinstance(m, (int, float)) and not isinstance(m, bool) for m in allowed):
        return _to_number(value, {**schema, "type": "number"})
    return _to_member(value if isinstance(value, str) else json.dumps(value), allowed)


def _plain(value: Any, depth: int = 0) -> Any:
    """Copy a value of no declared type without the parser's marks; what holds one of them is no value."""
    if value is NO_VALUE or isinstance(value, CutList) or depth > 20:
        return NO_VALUE
    if isinstance(value, str):
        return _whole_characters(str(value))
    if isinstance(value, (list, dict)):
        parts = [_plain(part, depth + 1) for part in (value.values() if isinstance(value, dict) else value)]
        if any(part is NO_VALUE for part in parts):
            return NO_VALUE
        return dict(zip(value, parts)) if isinstance(value, dict) else parts
    return value


_SCALARS: Dict[str, Callable[[Any, Schema], Any]] = {
    "boolean": _to_boolean,
    "integer": _to_number,
    "number": _to_number,
    "string": _to_string,
    "any": _to_any,
}
