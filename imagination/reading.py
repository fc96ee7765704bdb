"""Files that others can have changed, read within bounds; and what of a JSON document could not be written again.

Configurations have a smaller bound of their own, in `config`.
"""

from __future__ import annotations

import errno
import json
import math
import stat
from pathlib import Path
from typing import Any, List, Tuple

from .config import HALF_A_CHARACTER, Keys, dotted

MAX_JSON = 8 * 2**20  # bytes; honest artefacts have a few hundred kB
MAX_PARTS = 100_000  # lists and mappings of an artefact: each takes some hundred times as much once it is parsed
MAX_WORKFLOW_PARTS = 1_000_000  # likewise; some have the editor's own graph beside theirs
MAX_WORKFLOW = 64 * 2**20  # bytes: some have pictures inside, others are inside pictures
MAX_PICTURE = 512 * 2**20  # bytes: as many as the largest picture that is decoded has pixels in


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises OSError, also for a pipe, whose end never comes."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    if found.st_size > most:
        raise OSError(errno.EFBIG, f"it is larger than {most // 2**20} MB")
    with path.open("rb") as file:
        return file.read(found.st_size)


def unfit(document: Any) -> str:
    """What of parsed JSON can be neither kept nor sent on, with its key: half a character, 1e999. Empty where all can."""
    try:
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
        return ""
    except ValueError:  # a UnicodeEncodeError is one
        pass
    waiting: List[Tuple[Keys, Any]] = [((), document)]
    for keys, value in waiting:  # grows while it is walked
        if isinstance(value, str) and HALF_A_CHARACTER.search(value):
            return f"{dotted(keys)} has half a character (a lone surrogate)"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{dotted(keys)} is a number without bounds (NaN, Infinity or one like 1e999)"
        if isinstance(value, dict):
            waiting += [((*keys, key), part) for key in value for part in (key, value[key])]
        elif isinstance(value, list):
            waiting += [((*keys, index), part) for index, part in enumerate(value)]
    return "it cannot be written as JSON"
