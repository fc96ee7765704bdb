"""The edits there are, and what each makes of a file's data. How they are written into its text is `yaml_edit`'s. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Union

from .config import Keys, dotted
from .errors import ConfigError


class CannotEdit(ConfigError):
    """An edit that cannot be made without touching more than it says."""


@dataclass(frozen=True)
class Put:
    """Give a mapping's key a text: replaced where there is one, else added. A line break at the old text's end stays."""

    keys: Keys
    value: str


@dataclass(frozen=True)
class Include:
    """Add a text to a list of texts, which is made where there is none."""

    keys: Keys
    item: str


@dataclass(frozen=True)
class Exclude:
    """Take a text out of a list of texts."""

    keys: Keys
    item: str


@dataclass(frozen=True)
class Append:
    """Add a mapping to the end of a list of mappings, which is made where there is none."""

    keys: Keys
    item: Mapping[str, Any]


Edit = Union[Put, Include, Exclude, Append]


def changed(data: Any, edit: Edit) -> Any:
    """A copy of `data` with `edit` made in it. Raises CannotEdit where there is no such place."""
    copy = _copy(data)
    holder = copy
    try:
        for key in edit.keys[:-1]:
            holder = holder[key]
        if not isinstance(holder, dict):
            raise TypeError
    except (KeyError, IndexError, TypeError) as err:
        raise CannotEdit(f"{dotted(edit.keys)} has no place in the file") from err
    holder[edit.keys[-1]] = _value_after(holder.get(edit.keys[-1]), edit)
    return copy


def _value_after(old: Any, edit: Edit) -> Any:
    if isinstance(edit, Put):
        if isinstance(old, (dict, list)):
            raise CannotEdit(f"{dotted(edit.keys)} is not a text")
        return edit.value + "\n" if isinstance(old, str) and old.endswith("\n") else edit.value
    old = [] if old is None else old
    if not isinstance(old, list):
        raise CannotEdit(f"{dotted(edit.keys)} is not a list")
    if not isinstance(edit, Exclude):
        return [*old, dict(edit.item) if isinstance(edit, Append) else edit.item]
    if edit.item not in old:
        raise CannotEdit(f'{dotted(edit.keys)} has no "{edit.item}"')
    at = old.index(edit.item)
    return [*old[:at], *old[at + 1 :]]


def _copy(data: Any) -> Any:
    """A deep copy in which nothing is shared any more, unlike `copy.deepcopy`'s."""
    if isinstance(data, dict):
        return {key: _copy(value) for key, value in data.items()}
    return [_copy(value) for value in data] if isinstance(data, list) else data


def same(one: Any, other: Any) -> bool:
    """Equal also in type: 1, 1.0 and true are three things."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
