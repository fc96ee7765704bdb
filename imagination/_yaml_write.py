"""Values as YAML text: plain where that reads back as the same value, quoted otherwise. Pure."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, List, Mapping

import yaml

from .config import read_document
from .errors import ConfigError

_PROBE = Path("value")
SHORTEST_FOLD = 60  # characters to a line of a folded text, at least


def scalar(value: Any, style: str = "", flow: bool = False) -> str:
    """A scalar on one line, in the quotes of `style` where it can have them. `flow`: inside brackets."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        shown = repr(value)
        return f"{value:f}" if "e" in shown else shown  # YAML 1.1 takes 1e-05 for a text
    if value is None:
        return "null"
    text = str(value)
    if style == "'" and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    if style != '"' and _stays_plain(text, flow):
        return text
    return double_quoted(text)


def double_quoted(text: str) -> str:
    """`text` in double quotes, with escapes for what cannot stand there."""
    if text.isprintable():  # safe_dump would escape what lies beyond the first 65536 characters
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    dumped: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=float("inf"))
    return dumped.strip()


def flow(value: Any) -> str:
    """Any plain value on one line."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow_item(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{scalar(k, flow=True)}: {flow_item(v)}" for k, v in value.items()) + " }"
    return scalar(value)


def flow_item(value: Any) -> str:
    """Any plain value inside brackets."""
    return flow(value) if isinstance(value, (list, tuple, Mapping)) else scalar(value, flow=True)


def folded(text: str, indent: int, width: int) -> List[str]:
    """The lines of a folded block (`>`)."""
    room = max(SHORTEST_FOLD, width) - indent
    lines = textwrap.wrap(text, max(20, room), break_long_words=False, break_on_hyphens=False)
    return [" " * indent + line for line in lines]


def _stays_plain(text: str, flow: bool) -> bool:
    """Say whether the bare words read back as the same text: `no`, `2`, `a: b` and `x #y` do not."""
    if not text.isprintable():
        return False
    probe, wanted = (f"[{text}, x]", [text, "x"]) if flow else (f"k: {text}", {"k": text})
    try:
        return bool(read_document(_PROBE, probe).data == wanted)
    except ConfigError:
        return False
