"""Answers given as text rather than as JSON (contracts/vlm-replies.md, Text fallback).

`members` finds `field: value` lines, tables and tags whose name is a property; `whole_value` takes the whole text for
the value of a lone property that is no free string, since a refusal must not become an answer.
"""

from __future__ import annotations

import html
import re
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from imagination._coerce import VALUE_KEYS, allows_null, coerce, folded_key
from imagination._jsonish import Candidate
from imagination._scalars import Schema
from imagination._tolerant import NO_VALUE

Member = Tuple[str, Any]
Names = Mapping[str, Optional[str]]  # folded spelling to property, as `names_of` gives it

_MARKS = re.compile(r"^\s*(?:>\s*)*(?:#{1,6}\s+|[-*+•·–‣◦]\s+|•|\(?(?:\d{1,3}|[a-zA-Z])[.)]\s+)*")
_BULLET = re.compile(r"^\s*(?:[-*+•·–—‣◦]\s+|•|\(?\d{1,3}[.)]\s+)(.*)$")
_SEPARATOR = re.compile(r"=>|[:：=]|(?<=\s)[-–—](?=\s|$)|[–—]|\?")
_RULE = re.compile(r"^[\s|:\-+=]*$")
_TAG = re.compile(
    r"<(?P<close>/)?(?P<name>[^\W\d][\w .-]{0,80})(?:=(?P<is>[\w .-]{1,80})|\s+name=[\"'](?P<named>[^\"'<>]{1,80})[\"'])?\s*>"
)
_MAX_CELLS = 100
_MAX_SEPARATORS = 8  # a field's name has no more marks in it


def members(text: str, names: Names) -> List[Member]:
    """Find the fields that `text` names, in order, with their values as text or list of texts."""
    lines = text.splitlines()
    filled = [line for line in lines if line.strip()]
    return [*_columns(lines, names), *_rows(filled, names), *_lines(filled, names), *_tags(text, names)]


def without_objects(text: str, found: Sequence[Candidate]) -> str:
    """Cut the objects out of a text: what could not be used as JSON is not read a second time as lines."""
    kept, start = [], 0
    for candidate in found:
        if text[candidate.start] == "{":
            kept.append(text[start : candidate.start])
            start = candidate.end
    return "".join(kept) + text[start:]


def whole_value(text: str, schema: Schema) -> Any:
    """Take the whole text for the only property's value, or NO_VALUE where that cannot be meant."""
    properties = list((schema.get("properties") or {}).values())
    if len(properties) != 1 or re.search(r"[{\[<]", text):
        return NO_VALUE
    rules: Dict[str, Any] = dict(properties[0]) if isinstance(properties[0], Mapping) else {}
    kinds = rules.get("type")
    kinds = [kinds] if isinstance(kinds, str) else [k for k in kinds or () if k != "null"]
    if "enum" not in rules and not (kinds and set(kinds) <= {"boolean", "integer", "number"}):
        return NO_VALUE
    value = coerce(text.strip().strip("`*_ \t\r\n"), rules)
    return NO_VALUE if value is None and not allows_null(rules) else value


# --- lines ------------------------------------------------------------------------------------------------------------


def _lines(lines: Sequence[str], names: Names) -> Iterator[Member]:
    for number, line in enumerate(lines):
        found = _field(line, names)
        if found and found[1]:
            yield found
        elif found:
            yield found[0], _following(lines, number + 1, names)


def _field(line: str, names: Names) -> Optional[Member]:
    """Split a line at the first separator whose left side is a field; a heading that is one has no value yet."""
    if line.lstrip()[:1] in ("|", ""):
        return None
    body = line[_MARKS.match(line).end() :]  # type: ignore[union-attr]
    for count, mark in enumerate(_SEPARATOR.finditer(body)):
        if count == _MAX_SEPARATORS:
            return None
        if names.get(folded_key(body[: mark.start()])):
            value = re.sub(r"^[*_`\"'\s]*[:：=]", "", body[mark.end() :]) if mark.group() == "?" else body[mark.end() :]
            return body[: mark.start()], _unmarked(value)
    is_heading = line.lstrip()[:1] in ("#", "*")
    return (body, "") if is_heading and names.get(folded_key(body)) else None


def _unmarked(value: str) -> str:
    """Take the emphasis and quotes off a value, where they stand around all of it."""
    if value[:1].isalnum() and value[-1:].isalnum():
        return value
    value = re.sub(r"^(?:\*\*|__)\s+|^(?:\*\*|__|[*_`])(?=\s*$)", "", value.strip()).strip()
    for mark in ("**", "__", "*", "`", '"', "'", "“", "‘"):
        closer = {"“": "”", "‘": "’"}.get(mark, mark)
        inner = value[len(mark) : -len(closer)]
        if len(value) > 2 * len(mark) and value.startswith(mark) and value.endswith(closer) and closer not in inner:
            return inner.strip()
    return value


def _following(lines: Sequence[str], start: int, names: Names) -> Any:
    """Read what stands under a field: a list of bullets, or one line of text."""
    items: List[str] = []
    for number in range(start, len(lines)):
        bullet = _BULLET.match(lines[number])
        if not bullet or _field(lines[number], names):
            break
        items.append(_unmarked(bullet.group(1)))
    if items:
        return items
    text = lines[start] if start < len(lines) else ""
    return NO_VALUE if not text or _field(text, names) or text.lstrip()[0] in "#|" else _unmarked(text)


# --- tables -----------------------------------------------------------------------------------------------------------


def _cells(line: str) -> List[str]:
    if not 0 < line.count("|") <= _MAX_CELLS:
        return []
    return [_unmarked(cell) for cell in line.strip().strip("|").split("|")]


def _rows(lines: Sequence[str], names: Names) -> Iterator[Member]:
    """Read a table with one field a row: the value stands under the heading for it, else beside the field."""
    column: Optional[int] = None
    for line in lines:
        cells = [] if _RULE.match(line) else _cells(line)
        folded = [folded_key(cell) for cell in cells]
        at = next((n for n, name in enumerate(folded) if names.get(name)), None)
        if at is None:
            headed = [n for n, name in enumerate(folded) if name in VALUE_KEYS]
            column = headed[0] if len(headed) == 1 else None if cells else column
            continue
        field = names[folded[at]]
        rest = [n for n in range(at + 1, len(cells)) if names.get(folded[n]) != field]
        if column is not None and at < column < len(cells):
            yield cells[at], cells[column]
        elif rest and not names.get(folded[rest[0]]):
            yield cells[at], cells[rest[0]]


def _columns(lines: Sequence[str], names: Names) -> Iterator[Member]:
    """Read a table with the fields as columns and one row of values."""
    rows = [(n, _cells(line)) for n, line in enumerate(lines) if "|" in line]
    tables: List[List[List[str]]] = []
    before = -2
    for number, cells in rows:
        if number != before + 1:
            tables.append([])
        before = number
        if not _RULE.match(lines[number]):
            tables[-1].append(cells)
    for table in tables:
        if len(table) == 2 and len(table[0]) == len(table[1]):
            fields = [bool(names.get(folded_key(cell))) for cell in table[0]]
            below = any(names.get(folded_key(cell)) for cell in table[1])
            if any(fields) and not below and (fields.count(True) > 1 or len(fields) == 1 or not fields[0]):
                yield from ((name, value) for name, value, known in zip(*table, fields) if known)


# --- tags -------------------------------------------------------------------------------------------------------------


def _tags(text: str, names: Names) -> Iterator[Member]:
    """Read `<field>value</field>`, also as `<parameter=field>value</parameter>`."""
    opened: Optional[Tuple[str, str, int]] = None  # the field, the tag that will close it, where its value begins
    for tag in _TAG.finditer(text):
        name = tag.group("name").strip()
        if not tag.group("close"):
            field = tag.group("is") or tag.group("named") or name
            if names.get(folded_key(field)) and (opened is None or opened[0] != field):
                opened = (field, folded_key(name), tag.end())
        elif opened and folded_key(name) == opened[1]:
            yield opened[0], html.unescape(text[opened[2] : tag.start()]).strip()
            opened = None
