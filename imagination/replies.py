"""A vision model's text to a valid answers object, or nothing (contracts/vlm-replies.md).

    text  -> clean       tokens, thinking, invented turns, wrappings of the whole text      _reply_text
          -> candidates  every outermost {…} and […], strict JSON first, else tolerant      _jsonish, _tolerant
          -> resolve     the object itself, one inside it, a list of pairs, all merged      here
          -> fit         keys to properties, values to their types; all or nothing          _coerce, _scalars
          -> lines       `field: value`, tables and tags, only when no object served        _reply_lines

Later objects go before earlier ones: models correct themselves at the end and quote templates at the start. Nothing is
invented: a required field without a readable value makes the whole reply unusable. No exception leaves this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, FrozenSet, Iterator, List, Mapping, Optional, Sequence, Tuple

from imagination._coerce import VALUE_KEYS, Fit, fit, names_of
from imagination._jsonish import Candidate, Strict, candidates
from imagination._reply_lines import members, whole_value, without_objects
from imagination._reply_text import clean
from imagination._scalars import Schema
from imagination._tolerant import NO_VALUE, Reader
from imagination.model import key_of

MAX_ALONE = 500  # objects tried alone, from the last; a real reply has a handful
MAX_REREAD = 20
MAX_LEVELS = 4  # of wrappers around the answers (contract, step 6)

Member = Tuple[str, Any]


@dataclass(frozen=True)
class Reading:
    """What came of a reply: the valid values or None, what was done to get them, and the keys that were left out."""

    values: Optional[Dict[str, Any]]
    repairs: Tuple[str, ...] = ()
    dropped: Tuple[str, ...] = ()


def parse_reply(text: str, schema: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    """Return the answers in `text` as `schema` (type object) wants them, or None if the reply is unusable."""
    return read_reply(text, schema).values


def read_reply(text: str, schema: Mapping[str, Any]) -> Reading:
    """Like `parse_reply`, with an account of what was done.

    A complete answer is looked for first, even if the schema requires less. Only then a schema without required fields
    gets the fullest partial answer.
    """
    properties = schema.get("properties") or {}
    names = frozenset(names_of(schema)) | {key_of(str(name)) for name in properties}
    cleaned, repairs = clean(text, names)
    found = candidates(cleaned, names)
    result = None
    if schema.get("required"):
        result = _first(_ways(cleaned, found, schema, names))
    elif properties:
        complete = {**schema, "required": list(properties)}
        result = _first(_ways(cleaned, found, complete, names)) or _fullest(_ways(cleaned, found, schema, names))
    if result is None:
        return Reading(None, repairs)
    return replace(result, repairs=tuple(dict.fromkeys(repairs + result.repairs)))


# --- the ways an answer may be found, best first ----------------------------------------------------------------------

Ways = Iterator[Callable[[], Optional[Reading]]]


def _ways(text: str, found: Sequence[Candidate], schema: Schema, names: FrozenSet[str]) -> Ways:
    for candidate in reversed(found[-MAX_ALONE:]):
        yield lambda c=candidate: _alone(c, schema)  # type: ignore[misc]
    yield lambda: _named(fit(_flattened([c.value for c in found]), schema), "merged")
    if _CURLY.search(text):
        yield lambda: _first(lambda c=c: _reread(text, c, schema, names) for c in reversed(found[-MAX_REREAD:]))  # type: ignore[misc]
    yield lambda: _without_brace(text, found, schema, names)
    if not all(candidate.strict for candidate in found):
        yield lambda: _inside_broken(text, schema)
    yield lambda: _from_text(text, found, schema)


def _first(ways: Ways) -> Optional[Reading]:
    return next((reading for reading in (way() for way in ways) if reading), None)


def _fullest(ways: Ways) -> Optional[Reading]:
    """The reading with the most fields; of equals the one found first."""
    readings = [reading for reading in (way() for way in ways) if reading]
    return max(readings, key=lambda reading: len(reading.values or ()), default=None)


def _named(found: Optional[Fit], *how: str) -> Optional[Reading]:
    return Reading(found.values, (*how, *found.repairs), found.dropped) if found else None


def _alone(candidate: Candidate, schema: Schema) -> Optional[Reading]:
    reading = _resolve(candidate.value, schema, 0)
    if reading and not candidate.strict:
        return replace(reading, repairs=("syntax repaired", *reading.repairs))
    return reading


_CURLY = re.compile("[“”„]")


def _reread(text: str, candidate: Candidate, schema: Schema, names: FrozenSet[str]) -> Optional[Reading]:
    """Read valid JSON tolerantly: where straight and curly quotes mix, one may run from one key into the next."""
    if not candidate.strict:
        return None
    value, end = Reader(text, names).read(candidate.start)
    return _alone(Candidate(value, candidate.start, end, False), schema)


def _without_brace(text: str, found: Sequence[Candidate], schema: Schema, names: FrozenSet[str]) -> Optional[Reading]:
    """Read members whose first brace is missing, from the first key that is a property."""
    starts = [next((m.start() for m in _QUOTED_NAME.finditer(text) if key_of(m.group(1)) in names), None)]
    if "}" in text:
        starts.append(next((m.start() for m in _BARE_NAME.finditer(text) if key_of(m.group()) in names), None))
    start = min((start for start in starts if start is not None), default=None)
    if start is None or any(candidate.start < start < candidate.end for candidate in found):
        return None
    read, _ = Reader(text, names).members(start)
    return _named(fit(read.items(), schema), "syntax repaired")


_QUOTED_NAME = re.compile(r"[\"'“‘„`«]([^\"'“”‘’„`«»\n]{1,200})[\"'”’“‘`»][ \t]*(?:=>|[:：=])")
_BARE_NAME = re.compile(r"(?<![\w\"'`])[^\W\d][\w \\-]{0,80}(?=[ \t]*[:：=])")


def _inside_broken(text: str, schema: Schema) -> Optional[Reading]:
    """Read valid objects inside something that is not: an answer begun anew after a string that never ended."""
    reading = _first(lambda c=c: _alone(c, schema) for c in reversed(Strict(text).objects()[-MAX_ALONE:]))  # type: ignore[misc]
    return replace(reading, repairs=("taken out of broken text", *reading.repairs)) if reading else None


def _from_text(text: str, found: Sequence[Candidate], schema: Schema) -> Optional[Reading]:
    reading = _named(fit(members(without_objects(text, found), names_of(schema)), schema), "read as lines")
    if reading:
        return reading
    value = whole_value(text, schema)
    if value is NO_VALUE:
        return None
    return Reading({next(iter(schema["properties"])): value}, ("read as one value",))


# --- one candidate ----------------------------------------------------------------------------------------------------


def _resolve(value: Any, schema: Schema, level: int) -> Optional[Reading]:
    """Find the answers in a value: it itself, something inside it, a list of pairs, a list of objects."""
    if isinstance(value, dict):
        return _named(fit(value.items(), schema)) or _inside(value.values(), schema, level)
    if isinstance(value, list):
        return _inside(value, schema, level) or _named(fit(_flattened(value), schema), "merged")
    if isinstance(value, str) and level:
        return _inside_string(value, schema, level)
    return None


def _inside(values: Any, schema: Schema, level: int) -> Optional[Reading]:
    if level == MAX_LEVELS:
        return None
    for value in reversed(list(values)):
        reading = _resolve(value, schema, level + 1)
        if reading:
            return replace(reading, repairs=tuple(dict.fromkeys(("unwrapped", *reading.repairs))))
    return None


_STRING_SHELL = re.compile(r"\A\s*(?:`{1,}\w*\s*)?(?=[{\[\"])")


def _inside_string(text: str, schema: Schema, level: int) -> Optional[Reading]:
    """Read a string that holds JSON; prose with an object somewhere in it is content, not an answer."""
    shell = _STRING_SHELL.match(text)
    if not shell:
        return None
    cleaned, _ = clean(text[shell.end() :], frozenset())
    for candidate in reversed(candidates(cleaned)):
        reading = _resolve(candidate.value, schema, level)
        if reading:
            return reading
    return None


def _flattened(values: Sequence[Any], level: int = 0) -> List[Member]:
    """List the members of all objects in order, outer ones first; a name/value pair counts as a member too."""
    found: List[Member] = []
    for value in values:
        if isinstance(value, dict):
            found += value.items()
            found += _pair(value)
        elif isinstance(value, list) and all(_is_tuple(item) for item in value):
            found += [(name, part) for name, part in value]
        if level < MAX_LEVELS and isinstance(value, (dict, list)):
            found += _flattened(list(value.values()) if isinstance(value, dict) else value, level + 1)
    return found


def _is_tuple(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


_NAME_KEYS = ("field", "key", "name", "property", "id", "question", "criterion", "number")


def _pair(value: Dict[str, Any]) -> List[Member]:
    """Read `{"field": name, "answer": value}`; a pair that names two things under the same word names none."""
    folded = {key_of(key): part for key, part in value.items()}
    answers = [folded[key] for key in VALUE_KEYS if key in folded]
    if len(answers) != 1:
        return []
    named = [folded[key] for key in _NAME_KEYS if isinstance(folded.get(key), (str, int))]
    return [(str(name), answers[0]) for name in named]
