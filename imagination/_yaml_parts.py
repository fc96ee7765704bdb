"""Where the parts of a YAML text stand: a tree of its scalars, lists and mappings with their places in the text. Pure.

Made from PyYAML's events and not from its nodes, because a node that an alias stands for only tells where its anchor is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, FrozenSet, Iterator, List, Optional, Tuple

import yaml

BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what PyYAML takes for the end of a line


@dataclass(frozen=True)
class Part:
    """A piece of the text, from `start` to `end` without the blanks, breaks and comments behind it."""

    kind: str  # "scalar", "list", "mapping" or "alias"
    start: int
    end: int
    anchor: str = ""  # its own; of an alias the one it stands for
    value: str = ""  # of a scalar
    style: str = ""  # of a scalar: ', ", | or >; empty: plain
    flow: bool = False  # of a list or mapping: in brackets
    items: Tuple[Part, ...] = ()
    pairs: Tuple[Tuple[Part, Part], ...] = ()

    def pair(self, name: str) -> Optional[Tuple[Part, Part]]:
        """Key and value of a mapping's `name`, or None."""
        return next((pair for pair in self.pairs if pair[0].kind == "scalar" and pair[0].value == name), None)


@dataclass(frozen=True)
class Outline:
    """The whole text as parts, and the anchors that some alias stands for."""

    root: Part
    shared: FrozenSet[str]


def outline(text: str) -> Optional[Outline]:
    """The parts of `text`, which is valid YAML and one document; None where there is nothing in it."""
    events = [event for event in yaml.parse(text, Loader=yaml.SafeLoader) if isinstance(event, _CONTENT)]
    if not events:
        return None
    shared = frozenset(str(event.anchor) for event in events if isinstance(event, yaml.AliasEvent))
    return Outline(_part(iter(events), text), shared)


_CONTENT = (yaml.NodeEvent, yaml.CollectionEndEvent)


def _part(events: Iterator[yaml.Event], text: str) -> Part:
    return _of(next(events), events, text)


def _of(event: yaml.Event, events: Iterator[yaml.Event], text: str) -> Part:
    start, end, anchor = _at(event.start_mark), _at(event.end_mark), str(getattr(event, "anchor", None) or "")
    if isinstance(event, yaml.AliasEvent):
        return Part("alias", start, end, anchor)
    if isinstance(event, yaml.ScalarEvent):
        style = event.style or ""
        end = start + len(text[start:end].rstrip()) if style in ("|", ">") else end
        return Part("scalar", start, end, anchor, str(event.value), style)
    inner: List[Part] = []
    following = next(events)
    while not isinstance(following, yaml.CollectionEndEvent):
        inner.append(_of(following, events, text))
        following = next(events)
    flow = bool(getattr(event, "flow_style", False))
    end = _at(following.end_mark) if flow or not inner else inner[-1].end
    if isinstance(event, yaml.SequenceStartEvent):
        return Part("list", start, end, anchor, flow=flow, items=tuple(inner))
    return Part("mapping", start, end, anchor, flow=flow, pairs=tuple(zip(inner[::2], inner[1::2])))


def _at(mark: Any) -> int:
    return int(mark.index)


# --- lines ------------------------------------------------------------------------------------------------------------


def line_break(text: str) -> str:
    """How the lines of `text` end."""
    found = BREAK.search(text)
    return found[0] if found else "\n"


def line_start(text: str, index: int) -> int:
    """Where the line begins in which `index` lies."""
    start = 0
    for found in BREAK.finditer(text, 0, index):
        start = found.end()
    return start


def line_end(text: str, index: int) -> int:
    """Where that line ends, before its break."""
    found = BREAK.search(text, index)
    return found.start() if found else len(text)


def next_line(text: str, index: int) -> int:
    """Where the line after that one begins; the end of the text where there is none."""
    found = BREAK.search(text, index)
    return found.end() if found else len(text)


def lines_between(text: str, start: int, end: int) -> List[str]:
    """The whole lines between two places, without those on which the places are."""
    return BREAK.split(text[start:end])[1:-1]


def column(text: str, index: int) -> int:
    """How far `index` is from the beginning of its line."""
    return index - line_start(text, index)


def end_with_remarks(text: str, index: int, indent: int) -> int:
    """The end of the line of `index`, or of the comment lines right behind it that stand deeper than `indent`."""
    end = line_end(text, index)
    while next_line(text, end) < len(text):
        following = next_line(text, end)
        line = text[following : line_end(text, following)]
        bare = line.lstrip(" ")
        if not bare.startswith("#") or len(line) - len(bare) <= indent:
            break
        end = line_end(text, following)
    return end
