"""JSON from outside, refused where it is nested deeper than anything honest, before a parser goes down into it.

A parser at the end of Python's stack is not sure to answer with an exception: what is collected just then runs on the last
of the stack, and up to Python 3.9.1 a second overflow there ends the process (https://github.com/python/cpython/issues/86666).
"""

from __future__ import annotations

import json
import re
from itertools import accumulate, takewhile
from typing import Any

MAX_DEPTH = 100  # lists and mappings inside one another; real workflows have some ten
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: one deeper, one less deep
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"[{]}")


class TooDeep(ValueError):
    """It is nested deeper than `MAX_DEPTH`."""


def is_too_deep(text: str) -> bool:
    """Say whether the value that begins a text is nested deeper than `MAX_DEPTH`. Takes linear time; where the text is no
    JSON, it is right about what stands before the first error.
    """
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    bare = _STRING.sub("", text).encode("utf-8", "replace")
    steps = memoryview(bare.translate(_STEPS, _NO_BRACKETS)).cast("b")
    return max(takewhile((0).__lt__, accumulate(steps)), default=0) > MAX_DEPTH


def loads(text: str, **options: Any) -> Any:
    """`json.loads`, but ValueError (a TooDeep) also where the text is nested too deeply."""
    if is_too_deep(text):
        raise TooDeep("it is nested too deeply")
    return json.loads(text, **options)
