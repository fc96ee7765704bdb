"""JSON from outside, refused before it is parsed where it is deeper or has more parts than anything honest.

A parser at the end of Python's stack is not sure to answer with an exception: what is collected just then runs on the last
of the stack, and up to Python 3.9.1 a second overflow there ends the process (https://github.com/python/cpython/issues/86666).
And what takes three bytes as text takes two hundred once it is parsed.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate, takewhile
from typing import Any, FrozenSet, List, Optional, Set, Tuple

MAX_DEPTH = 100  # lists and mappings inside one another; real workflows have some ten
_STRING = re.compile('"[^"]*"?')  # where no quote is escaped any more
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: one deeper, one less deep
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"[{]}")
_TOKEN = re.compile(r'\\.|["{}\[\]]', re.DOTALL)


class OutOfBounds(ValueError):
    """It is nested too deeply, or has too many parts; the message says which."""


def loads(text: str, most: Optional[int] = None, **options: Any) -> Any:
    """`json.loads`, but ValueError (an OutOfBounds) also where the text is nested deeper than `MAX_DEPTH`, or has more than
    `most` lists and mappings.
    """
    problem = out_of_bounds(text, most)
    if problem:
        raise OutOfBounds(problem)
    return json.loads(text, **options)


def out_of_bounds(text: str, most: Optional[int] = None) -> str:
    """What is beyond the bounds in the JSON that begins a text, or nothing. Takes linear time; where the text is no JSON, it
    is right about what stands before the first error.
    """
    if _openers(text) <= (MAX_DEPTH if most is None else min(most, MAX_DEPTH)):
        return ""
    bare = _STRING.sub("", text.replace("\\\\", "").replace('\\"', "")).encode("utf-8", "replace")
    steps = memoryview(bare.translate(_STEPS, _NO_BRACKETS)).cast("b")
    if max(takewhile((0).__lt__, accumulate(steps)), default=0) > MAX_DEPTH:
        return "it is nested too deeply"
    return "it has too many parts" if most is not None and len(steps) > 2 * most else ""


def deep_starts(text: str) -> FrozenSet[int]:
    """Where in a text JSON begins that is nested deeper than `MAX_DEPTH`, wherever a parser is set on.

    What is inside a string for one start is outside for another, by the number of quotes between them: so brackets are
    counted twice, those behind an even number of quotes and those behind an odd one.
    """
    if _openers(text) <= MAX_DEPTH:
        return frozenset()
    found: Set[int] = set()
    stacks: Tuple[List[int], List[int]] = ([], [])
    quotes = 0
    for token in _TOKEN.finditer(text):
        char, stack = token.group(), stacks[quotes % 2]
        if char == '"':
            quotes += 1
        elif char in "{[":
            stack.append(token.start())
            if len(stack) > MAX_DEPTH:
                found.add(stack[-MAX_DEPTH - 1])
        elif char in "}]" and stack:
            stack.pop()
    return frozenset(found)


def _openers(text: str) -> int:
    return text.count("[") + text.count("{")
