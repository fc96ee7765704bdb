"""HTML as values, and what a report is made of. Pure.

A `Node` is markup that was made here; everything else that is put into one is text and gets escaped. So what a model or a
file says can become text or an attribute's value, never markup.
"""

from __future__ import annotations

import html
import re
from typing import Iterable, List, Mapping, Optional, Sequence, Tuple, Union

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_EMPTY = {"img", "meta", "line", "path", "circle"}  # HTML's own and SVG's that are used here: neither has an end tag


class Node(str):
    """Markup that is safe to put into a page."""


Child = Union[str, int, float, Node, None, Iterable["Child"]]


def text(value: object) -> Node:
    """Any value as text: escaped, without the characters that no text has."""
    return Node(html.escape(_CONTROL.sub("", str(value)), quote=True))


def el(tag: str, *children: Child, **attributes: Optional[object]) -> Node:
    """An element. `class_` and the like drop their underscore, others become dashes; None and False leave an attribute out."""
    told = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{text("" if value is True else value)}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _EMPTY:
        return Node(f"<{tag}{told}/>")
    return Node(f"<{tag}{told}>{join(children)}</{tag}>")


def join(children: Iterable[Child]) -> Node:
    """Children in a row: nodes as they are, everything else as text, None not at all."""
    parts: List[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Node):
            parts.append(child)
        elif isinstance(child, (str, int, float)):
            parts.append(text(child))
        else:
            parts.append(join(child))
    return Node("".join(parts))


def facts(pairs: Iterable[Tuple[str, Child]]) -> Node:
    """Names and values."""
    return el("dl", [el("div", el("dt", name), el("dd", value)) for name, value in pairs], class_="facts")


def number(value: object, digits: int = 2) -> str:
    """A number without needless digits; a dash for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "–"
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def shown(value: object) -> str:
    """An answer of a model."""
    if value is None:
        return "no answer"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(each) for each in value)
    return number(value, 4) if isinstance(value, float) else str(value)


def mark(verdict: Optional[bool]) -> Node:
    """A sign that is more than its colour."""
    sign, word, kind = {
        True: ("✓", "met", "pass"),
        False: ("✗", "not met", "fail"),
        None: ("?", "not answered", "open"),
    }[verdict]
    return el("span", sign, class_=f"mark {kind}", role="img", aria_label=word, title=word)


def word_changes(before: str, after: str) -> Node:
    """A prompt with the words that came and went against an earlier one."""
    from difflib import SequenceMatcher

    old, new = re.findall(r"[^\s,]+|,", before), re.findall(r"[^\s,]+|,", after)
    parts: List[Child] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        pieces = [(None, new[c:d])] if kind == "equal" else [("del", old[a:b]), ("ins", new[c:d])]
        for tag, words in pieces:
            if words:
                parts.append(" " if parts and words[0] != "," else None)
                parts.append(el(tag, _words(words)) if tag else _words(words))
    return el("p", parts, class_="prompt")


def _words(words: Sequence[str]) -> str:
    return " ".join(words).replace(" ,", ",")


# --- the chart ------------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, EDGE = 960, 200, 30


def chart(series: Mapping[str, Sequence[Optional[float]]], summary: str) -> Node:
    """Lines over the iterations, from 1. Values are between 0 and 1; None leaves a gap."""
    count = max((len(values) for values in series.values()), default=0)
    if not count:
        return Node("")
    step = (WIDTH - 2 * EDGE) / max(1, count - 1)

    def at(position: int, value: float) -> Tuple[str, str]:
        x = WIDTH / 2 if count == 1 else EDGE + position * step
        return f"{x:.1f}", f"{EDGE + (1 - min(1.0, max(0.0, value))) * (HEIGHT - 2 * EDGE):.1f}"

    parts: List[Child] = []
    for level in (0.0, 0.5, 1.0):
        _, y = at(0, level)
        parts.append(el("line", x1=EDGE, x2=WIDTH - EDGE, y1=y, y2=y, class_="level"))
        parts.append(el("text", number(level), x=EDGE - 6, y=y, dy="4", text_anchor="end"))
    for name, values in series.items():
        pen, path = "M", ""
        for position, value in enumerate(values):
            if value is None:
                pen = "M"
                continue
            x, y = at(position, value)
            path += f"{pen}{x} {y}"
            pen = "L"
            if count <= 80:
                parts.append(el("circle", cx=x, cy=y, r="2.6", class_=name))
        parts.append(el("path", d=path or "M0 0", class_=name))
    for position in {0, count // 2, count - 1}:
        x, _ = at(position, 0)
        parts.append(el("text", position + 1, x=x, y=HEIGHT - 8, text_anchor="middle"))
    legend = el("p", [el("span", name, class_=f"key {name}") for name in series], class_="legend")
    picture = el("svg", parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=summary)
    return el("figure", legend, picture, class_="chart")
