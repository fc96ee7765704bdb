"""The ways to write an edit into a YAML text: which piece is replaced by what. Pure.

Each is a proposal: `yaml_edit` reads the result and takes the first that says what it should. Refuses with `CannotEdit`
what would also change another place: aliases, what an anchor shares, what a merge brings in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

from ._yaml_changes import Append, CannotEdit, Edit, Exclude, Include, Put
from ._yaml_parts import (
    BREAK,
    Outline,
    Part,
    column,
    end_with_remarks,
    line_break,
    line_end,
    line_start,
    lines_between,
    next_line,
)
from ._yaml_write import double_quoted, flow, flow_item, folded, scalar
from .config import Keys, dotted

Splice = Tuple[int, int, str]  # from, to, what stands there instead


# --- finding the place ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """The text to be edited, and how its parts are found."""

    text: str
    parts: Outline
    data: Any
    order: Sequence[str]

    def mapping(self, keys: Keys) -> Part:
        """The mapping that `keys` leads to, if it stands for itself alone."""
        part = self.own(self.parts.root, ())
        for depth, key in enumerate(keys):
            if isinstance(key, int):
                part = part.items[key]
            else:
                pair = part.pair(key)
                if pair is None:
                    raise CannotEdit(
                        f"{dotted(keys[: depth + 1])} comes from a merge (<<); change it where it is written"
                    )
                part = pair[1]
            self.own(part, keys[: depth + 1])
        return part

    def pair(self, keys: Keys) -> Optional[Tuple[Part, Part]]:
        """Key and value of the last of `keys`; None where they have yet to be written."""
        holder, key = self.mapping(keys[:-1]), str(keys[-1])
        found = holder.pair(key)
        if found is not None:
            self.own(found[1], keys)
        elif key in self._data_at(keys[:-1]):
            raise CannotEdit(f"{dotted(keys)} comes from a merge (<<); change it where it is written")
        return found

    def own(self, part: Part, keys: Keys) -> Part:
        """Raise CannotEdit if the part is an alias or has one: another place would change as well."""
        line = len(BREAK.split(self.text[: part.start]))
        if part.kind == "alias":
            raise CannotEdit(f"{dotted(keys)} is the alias *{part.anchor} (line {line}); change it where it is written")
        if part.anchor in self.parts.shared:
            raise CannotEdit(f"{dotted(keys)} is shared through the anchor &{part.anchor} (line {line})")
        return part

    def _data_at(self, keys: Keys) -> Any:
        found = self.data
        for key in keys:
            found = found[key]
        return found


def ways(place: Place, edit: Edit) -> Iterator[List[Splice]]:
    """The ways to write an edit, the one that keeps most of the style first."""
    if isinstance(edit, Append):
        return _append(place, edit)
    pair = place.pair(edit.keys)
    if isinstance(edit, Exclude):
        return _exclude(place, edit, pair)
    if pair is None:
        value = edit.value if isinstance(edit, Put) else [edit.item]
        return iter([_new_key(place, edit.keys, value)])
    if isinstance(edit, Put):
        return _put(place.text, edit, pair[1])
    return iter([_include(place.text, edit, pair[1])])


# --- scalars ----------------------------------------------------------------------------------------------------------

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
_HEADER = re.compile(r"[|>][-+0-9]*")


def _put(text: str, edit: Put, old: Part) -> Iterator[List[Splice]]:
    if old.start == old.end:
        yield [(old.start, old.end, " " + scalar(edit.value))]
        return
    head = _PROPERTIES.match(text, old.start, old.end)
    start = head.end() if head else old.start
    if old.style in ("|", ">"):
        yield [(start, old.end, _block(text, start, old, edit.value))]
        header_end = line_end(text, start)
        remark = re.search(r"\s+#.*", text[start:header_end])
        value = edit.value + "\n" if old.value.endswith("\n") else edit.value
        yield [(start, old.end, double_quoted(value) + (remark[0] if remark else ""))]
        return
    for in_brackets in (False, True):
        yield [(start, old.end, scalar(edit.value, old.style, in_brackets))]
    yield [(start, old.end, double_quoted(edit.value))]


def _block(text: str, start: int, old: Part, value: str) -> str:
    """A block scalar's header as it is, less an explicit indentation, with the new text below it."""
    header_end = line_end(text, start)
    first = re.compile(r"\S").search(text, next_line(text, start))
    indent = column(text, first.start()) if first else 2
    found = _HEADER.match(text, start)
    header = re.sub(r"\d", "", found[0]) + text[found.end() : header_end] if found else ""
    width = max(len(line) for line in text[next_line(text, start) : old.end].splitlines() or [""])
    wrapped = folded(value, indent, width) if old.style == ">" else [" " * indent + value]
    return line_break(text).join([header, *wrapped])


def _new_key(place: Place, keys: Keys, value: Any) -> List[Splice]:
    """A key that its mapping does not have yet, on a line of its own; in brackets, at the end."""
    text, holder, key = place.text, place.mapping(keys[:-1]), str(keys[-1])
    if not holder.pairs:
        raise CannotEdit(f"{dotted(keys[:-1])} has no keys to stand beside")
    before = _pair_before(holder, key, place.order)
    name = scalar(key, before[0].style, holder.flow)
    if holder.flow:
        return [(before[1].end, before[1].end, f", {name}: {flow_item(value)}")]
    indent = column(text, before[0].start)
    end = end_with_remarks(text, before[1].end, indent)
    return [(end, end, f"{line_break(text)}{' ' * indent}{name}: {flow(value)}")]


def _pair_before(holder: Part, key: str, order: Sequence[str]) -> Tuple[Part, Part]:
    """The last pair that usually stands before `key`; the last of all where none does."""
    earlier = order[: order.index(key)] if key in order else ()
    found = [pair for pair in holder.pairs if pair[0].value in earlier]
    return (found or list(holder.pairs))[-1]


# --- lists of texts ---------------------------------------------------------------------------------------------------


def _include(text: str, edit: Include, old: Part) -> List[Splice]:
    if old.kind == "scalar":  # null, written or not
        return [(old.start, old.end, (" " if old.start == old.end else "") + flow([edit.item]))]
    if not old.items:
        inside = text.index("[", old.start) + 1
        return [(inside, inside, flow_item(edit.item))]
    last = old.items[-1]
    new = scalar(edit.item, last.style, old.flow)
    if old.flow:
        return [(last.end, last.end, f", {new}")]
    dash, gap = _dash(text, last, edit.keys)
    end = end_with_remarks(text, last.end, column(text, dash))
    return [(end, end, f"{line_break(text)}{' ' * column(text, dash)}-{gap}{new}")]


def _exclude(place: Place, edit: Exclude, pair: Optional[Tuple[Part, Part]]) -> Iterator[List[Splice]]:
    if pair is None:
        raise CannotEdit(f"{dotted(edit.keys)} is not written in the file")
    key, old = pair
    texts = [item.value if item.kind == "scalar" else None for item in old.items]
    if edit.item not in texts:
        raise CannotEdit(f'"{edit.item}" of {dotted(edit.keys)} comes from an alias; change it where it is written')
    at = texts.index(edit.item)
    if old.flow:
        yield [_cut_in_brackets(place.text, old, at)]
        return
    cut = _cut_line(place.text, old.items[at], edit.keys)
    if len(old.items) > 1:
        yield [cut]
        return
    colon = re.compile(r"\s*:").match(place.text, key.end)
    if colon:
        yield [(colon.end(), colon.end(), " []"), cut]


def _cut_line(text: str, item: Part, keys: Keys) -> Splice:
    """An item of a block list, with its line and the remark on it."""
    dash, _ = _dash(text, item, keys)
    start = line_start(text, dash)
    if text[start:dash].strip(" "):
        raise CannotEdit(f"{dotted(keys)} begins in the middle of a line; change it by hand")
    return (start, next_line(text, item.end), "")


def _cut_in_brackets(text: str, old: Part, at: int) -> Splice:
    """An item of a list in brackets, with the comma that goes with it; with its line, where it has one to itself."""
    item, later = old.items[at], old.items[at + 1 : at + 2]
    comma = re.compile(r"\s*,").match(text, item.end)
    start, end = item.start, comma.end() if comma else item.end
    alone = not text[line_start(text, start) : start].strip() and re.match(
        r"[ \t]*(#.*)?\Z", text[end : line_end(text, end)]
    )
    if alone and line_start(text, start) > old.start:
        return (line_start(text, start), next_line(text, end), "")
    if later and not line_break_between(text, end, later[0].start):
        return (start, later[0].start, "")
    if at and not later and not line_break_between(text, old.items[at - 1].end, start):
        return (old.items[at - 1].end, item.end, "")
    return (start, end, "")


def line_break_between(text: str, start: int, end: int) -> bool:
    """Say whether `start` and `end` lie on different lines."""
    return line_end(text, start) < end


def _dash(text: str, item: Part, keys: Keys) -> Tuple[int, str]:
    """Where the dash of a block list's item stands, and the blanks behind it."""
    before = re.search(r"-([ \t]*)\Z", text[line_start(text, item.start) : item.start])
    if before is None:
        raise CannotEdit(f"{dotted(keys)} has an item on another line than its dash; change it by hand")
    return line_start(text, item.start) + before.start(), before[1] or " "


# --- lists of mappings ------------------------------------------------------------------------------------------------


def _append(place: Place, edit: Append) -> Iterator[List[Splice]]:
    text, pair, br = place.text, place.pair(edit.keys), line_break(place.text)
    if pair is None:
        holder = place.mapping(edit.keys[:-1])
        key = holder.pairs[-1][0] if holder.pairs else holder
        indent = column(text, key.start)
        end = end_with_remarks(text, holder.end, indent)
        head = f"{br}{br}{' ' * indent}{scalar(edit.keys[-1])}:"
        yield [(end, end, br.join([head, *_item_lines(edit.item, indent + 2)]))]
        return
    key, old = pair
    if old.kind == "list" and old.items:
        yield [_after_last(text, old, edit)]
    elif old.kind == "list" and "#" in text[old.start : old.end]:  # empty but for a remark, which stays
        inside = text.index("[", old.start) + 1
        yield [(inside, inside, flow_item(edit.item))]
    elif old.kind in ("list", "scalar"):  # empty, or null
        blank = len(text[: old.start]) - len(text[: old.start].rstrip(" "))
        cut = (old.start - blank, old.end, "") if old.end > old.start else (old.start, old.end, "")
        end = line_end(text, old.end)
        lines = _item_lines(edit.item, column(text, key.start) + 2)
        yield [cut, (end, end, br + br.join(lines))] if end > cut[1] else [(cut[0], end, br + br.join(lines))]


def _after_last(text: str, old: Part, edit: Append) -> Splice:
    last, br = old.items[-1], line_break(text)
    if old.flow:
        return (last.end, last.end, f", {flow_item(edit.item)}")
    dash, gap = _dash(text, last, edit.keys)
    indent = column(text, dash)
    end = end_with_remarks(text, last.end, indent)
    if last.flow:
        lines = [f"{' ' * indent}-{gap}{flow_item(edit.item)}"]
    else:
        styles = {key.value: value.style for key, value in last.pairs if value.style in ("'", '"')}
        lines = _item_lines(edit.item, indent, gap, styles)
    apart = len(old.items) < 2 or any(not line.strip() for line in lines_between(text, old.items[-2].end, dash))
    return (end, end, br * (1 + apart) + br.join(lines))


def _item_lines(
    item: Mapping[str, Any], indent: int, gap: str = " ", styles: Optional[Mapping[str, str]] = None
) -> List[str]:
    """A mapping as an item of a block list, one line a key."""
    lines = []
    for number, (key, value) in enumerate(item.items()):
        shown = scalar(value, (styles or {}).get(key, "")) if isinstance(value, str) else flow(value)
        start = f"{' ' * indent}-{gap}" if number == 0 else " " * (indent + 1 + len(gap))
        lines.append(f"{start}{scalar(key)}: {shown}")
    return lines
