"""Edit the text of a YAML file in place: comments, order, quotes, anchors, indentation and line ends stay. Pure.

An edit says what the data must become (`changed`) and where the text is touched (`rewrite`). The new text is read again
and must hold exactly that data; an edit that cannot be written so, or that would change what an anchor shares with
another place, is refused with `CannotEdit`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

from ._yaml_changes import Append, CannotEdit, Edit, Exclude, Include, Put, changed, same
from ._yaml_parts import outline
from ._yaml_ways import Place, Splice, ways
from .config import dotted, read_document
from .errors import ConfigError

_PATH = Path("rules.yaml")


def read_data(text: str) -> Any:
    """The data in `text`. Raises ConfigError where it is not valid YAML."""
    return read_document(_PATH, text).data


def rewrite(text: str, edit: Edit, order: Sequence[str] = ()) -> str:
    """`text` with `edit` made in it. `order`: the usual order of a mapping's keys, for where a new one goes.

    Raises CannotEdit, with one line on why not.
    """
    wanted = changed(read_data(text), edit)
    parts = outline(text)
    if parts is None:
        raise CannotEdit("the file is empty")
    for splices in ways(Place(text, parts, read_data(text), order), edit):
        made = _spliced(text, splices)
        if _reads_as(made, wanted):
            return made
    raise CannotEdit(f"{dotted(edit.keys)} is written in a way that cannot be edited safely; change it by hand")


def _reads_as(text: str, wanted: Any) -> bool:
    try:
        return same(read_data(text), wanted)
    except ConfigError:
        return False


def _spliced(text: str, splices: Sequence[Splice]) -> str:
    for start, end, new in sorted(splices, reverse=True):
        text = text[:start] + new + text[end:]
    return text


__all__ = ["Append", "CannotEdit", "Edit", "Exclude", "Include", "Put", "changed", "read_data", "rewrite"]
