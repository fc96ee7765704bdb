"""Every outermost `{…}` and `[…]` of a text, in order (contracts/vlm-replies.md, step 5).

Each is read by `json` first and by the tolerant grammar only when that fails, so repairs never touch what was valid.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from imagination._tolerant import NO_VALUE, Reader, number_from
from imagination.bounded_json import deep_starts


class Candidate(NamedTuple):
    """One outermost object or list, where it stands, and whether it was valid JSON."""

    value: Any
    start: int
    end: int
    strict: bool


def _last_wins(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    """Build an object in which a repeated key stands where it came last, so that spellings of one name keep their order."""
    found: Dict[str, Any] = {}
    for key, value in pairs:
        found.pop(key, None)
        found[key] = value
    return found


_DECODER = json.JSONDecoder(
    object_pairs_hook=_last_wins,
    parse_int=number_from,
    parse_float=number_from,
    parse_constant=lambda name: NO_VALUE,
    strict=False,  # raw line breaks inside strings are kept
)


class Strict:
    """Reads valid JSON at a place of one text, as often as a budget allows.

    A failed attempt costs what it had read, and `json` counts the lines before the place of every error; without a
    budget a megabyte of broken openers would take quadratic time.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.budget = 500_000 + 2 * len(text)
        self.deep = deep_starts(text)  # the tolerant grammar cuts these off

    def at(self, start: int) -> Optional[Tuple[Any, int]]:
        """Return the value that begins at `start` and where it ends, or None where the text is not JSON."""
        if self.budget <= 0 or start in self.deep:
            return None
        try:
            value, end = _DECODER.raw_decode(self.text, start)
        except json.JSONDecodeError as err:
            read = len(self.text) - start if err.msg.startswith("Unterminated") else err.pos - start
            self.budget -= read + start // 16 + 100
            return None
        return value, end

    def objects(self) -> List[Candidate]:
        """Find all valid objects, also those inside something broken, in order."""
        found: List[Candidate] = []
        start = self.text.find("{")
        while start >= 0 and self.budget > 0:
            read = self.at(start)
            if read:
                found.append(Candidate(read[0], start, read[1], True))
            start = self.text.find("{", read[1] if read else start + 1)
        return found


_OPENER = re.compile(r"[{\[]")


def candidates(text: str, names: FrozenSet[str] = frozenset()) -> List[Candidate]:
    """Find every outermost object or list of `text` in order; `names` are the folded keys that may be expected."""
    found: List[Candidate] = []
    strict, reader = Strict(text), Reader(text, names)
    opener = _OPENER.search(text)
    while opener:
        start = opener.start()
        read = strict.at(start)
        value, end = read or reader.read(start)
        found.append(Candidate(value, start, end, read is not None))
        opener = _OPENER.search(text, end)
    return found
