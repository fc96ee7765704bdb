"""Values as models give them, to values of a declared type (contracts/vlm-replies.md, Keys and Values).

`fit` maps the members of an object to the properties of a schema, `coerce` makes one value valid against one schema or
returns `NO_VALUE`. Nothing is clamped, rounded, defaulted or chosen between: what could mean two things is no value.
The schema words understood are those the product writes: type (also as a list), enum, const, anyOf, properties,
required, items, and the usual bounds.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from imagination._jsonish import candidates
from imagination._scalars import (
    Schema,
    allowed_values,
    member_of,
    same,
    to_boolean,
    to_member,
    to_number,
    to_string,
    whole_characters,
)
from imagination._tolerant import NO_VALUE, Bare, CutList
from imagination.model import key_of

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
        if kind != "string" or allowed_values(schema) is not None or not all(isinstance(item, str) for item in value):
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
    repeated = schema.get("uniqueItems") and any(same(a, b) for n, a in enumerate(items) for b in items[:n])
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
    required = list(schema.get("required") or [])
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
    allowed = allowed_values(schema)
    if allowed is None:
        return _plain(value)
    exact = member_of(value, schema)
    if exact is not NO_VALUE or not isinstance(value, (str, int, float)) or isinstance(value, bool):
        return exact
    if isinstance(value, str) and all(isinstance(m, (int, float)) and not isinstance(m, bool) for m in allowed):
        return to_number(value, {**schema, "type": "number"})
    return to_member(value if isinstance(value, str) else json.dumps(value), allowed)


def _plain(value: Any, depth: int = 0) -> Any:
    """Copy a value of no declared type without the parser's marks; what holds one of them is no value."""
    if value is NO_VALUE or isinstance(value, CutList) or depth > 20:
        return NO_VALUE
    if isinstance(value, str):
        return whole_characters(str(value))
    if isinstance(value, (list, dict)):
        parts = [_plain(part, depth + 1) for part in (value.values() if isinstance(value, dict) else value)]
        if any(part is NO_VALUE for part in parts):
            return NO_VALUE
        return dict(zip(value, parts)) if isinstance(value, dict) else parts
    return value


_SCALARS: Dict[str, Callable[[Any, Schema], Any]] = {
    "boolean": to_boolean,
    "integer": to_number,
    "number": to_number,
    "string": to_string,
    "any": _to_any,
}
