"""One scalar as models give it, to a boolean, number, string or member of a list (contracts/vlm-replies.md, Values).

Each `to_*` returns a value valid against its schema, or `NO_VALUE` where the text could mean two things or none.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, List, Mapping, Optional, Sequence

from imagination._tolerant import MAX_DIGITS, NO_VALUE, Bare

Schema = Mapping[str, Any]


def allowed_values(schema: Schema) -> Optional[List[Any]]:
    if "const" in schema:
        return [schema["const"]]
    return list(schema["enum"]) if schema.get("enum") is not None else None


def same(one: Any, other: Any) -> bool:
    """Compare by value: 95 equals 95.0, a boolean never equals a number."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def member_of(value: Any, schema: Schema) -> Any:
    allowed = allowed_values(schema)
    if allowed is None:
        return value
    return next((member for member in allowed if same(member, value)), NO_VALUE)


# --- boolean ----------------------------------------------------------------------------------------------------------

_TRUE = frozenset(["yes", "y", "true", "pass", "passed", "✓", "✔", "✅"])
_FALSE = frozenset(["no", "n", "false", "fail", "failed", "✗", "✘", "❌"])
_VERDICT = re.compile(r"(?:yes|no|true|false|pass(?:ed)?|fail(?:ed)?|y|n)(?!\w)|[✓✔✅✗✘❌]", re.IGNORECASE)
_REASON = re.compile(
    r"\s*[,.;:!(–—\-，。；：！（]|\s*[\r\n]|\s+(?:because|since|as|it|the|this|there|they|he|she)\b", re.IGNORECASE
)
_MARKS = " \t\r\n\u00a0\"'`“”‘’*_"
_NOT_APPLICABLE = re.compile(r"n\s*[./]\s*a\.?", re.IGNORECASE)


def to_boolean(value: Any, schema: Schema) -> Any:
    if isinstance(value, str):
        value = _verdict(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        value = bool(value) if value in (0, 1) else NO_VALUE
    return member_of(value, schema) if isinstance(value, bool) else NO_VALUE


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


def to_number(value: Any, schema: Schema) -> Any:
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
    return member_of(value, schema) if _within(value, schema) else NO_VALUE


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


def to_string(value: Any, schema: Schema) -> Any:
    allowed = allowed_values(schema)
    if allowed is not None:
        return to_member(value if isinstance(value, str) else json.dumps(value), allowed)
    if isinstance(value, Bare) and value.casefold() not in ("yes", "no"):
        return NO_VALUE  # without quotes nobody knows where the text ends
    if not isinstance(value, str):
        value = json.dumps(value)
    text = whole_characters(str(value))
    fits = schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", len(text))
    return text if fits and re.search(schema.get("pattern", ""), text) else NO_VALUE


def whole_characters(text: str) -> str:
    """Replace half a surrogate pair, which no file could hold."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


_FOLDED_AWAY = re.compile(r"[\s_\-\u200b\"'`“”„‘’«»*]+")
_FOLLOWER = re.compile(r"[,.;:!(–—，。；：！（]|-(?=\s)|(?<=\s)-")  # a hyphen inside a word is no dash
_PARTS = re.compile(r"[,;/|&()，；]|\.(?:\s|$)|\b(?:and|or)\b", re.IGNORECASE)
_HEDGES = re.compile(r"^\s*(?:maybe|perhaps|possibly|probably|also|rather|[:–—-])\s*", re.IGNORECASE)


def _folded(text: str) -> str:
    return _FOLDED_AWAY.sub("", text.casefold()).rstrip(".,;:!。")


def to_member(text: str, allowed: Sequence[Any]) -> Any:
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
