"""A human ranking as it comes from a browser: read strictly, saved where the run lies, never over one that was not seen.

What is decided here is pure but for `save`, which looks at the disk and writes. Source of the shape: spec, "Human ranking
feedback (viewer)".
"""

from __future__ import annotations

import os
import re
import stat
import threading
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from .bounded_json import OutOfBounds, loads

LIMIT = 1024 * 1024  # bytes of a request
ENTRIES = 10_000
NOTE = 10_000  # characters
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_KEYS = {"ranking", "notes", "updated_at"}


class Unfit(ValueError):
    """What came is no ranking; the message says why in one line."""


@dataclass(frozen=True)
class Refusal(Exception):
    """Why a ranking is not saved: the status of the answer and its line; `tag` is what is there now."""

    status: int
    why: str
    tag: Optional[str] = None


def read(body: bytes) -> Dict[str, Any]:
    """The ranking in a request's body: `ranking` and `notes`. Raises Unfit."""
    try:
        data = loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except OutOfBounds as err:
        raise Unfit(str(err)) from None
    except Unfit:
        raise
    except ValueError:
        raise Unfit("it is no JSON") from None
    if not isinstance(data, dict):
        raise Unfit("it is no JSON object")
    strange = sorted(set(data) - _KEYS)
    if strange:
        raise Unfit(f"it has the unknown key {strange[0][:40]!r}")
    return {"ranking": _order(data.get("ranking")), "notes": _notes(data.get("notes", {}))}


def _once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise Unfit("it names a key twice")
    return data


def _no_constant(name: str) -> Any:
    raise Unfit(f"{name} is no number")


def _order(value: Any) -> List[str]:
    if not isinstance(value, list) or len(value) > ENTRIES:
        raise Unfit(f"ranking must be a list of at most {ENTRIES} iterations")
    for entry in value:
        if not isinstance(entry, str) or not _NUMBER.fullmatch(entry):
            raise Unfit(f"ranking must name iterations as strings of digits, not {str(entry)[:40]!r}")
    if len(set(value)) != len(value):
        raise Unfit("ranking names an iteration twice")
    return value


def _notes(value: Any) -> Dict[str, str]:
    if not isinstance(value, dict) or len(value) > ENTRIES:
        raise Unfit("notes must be a mapping of iteration to text")
    for key, text in value.items():
        if not _NUMBER.fullmatch(key):
            raise Unfit(f"notes must be for iterations, not {key[:40]!r}")
        if not isinstance(text, str) or len(text) > NOTE:
            raise Unfit(f"the note on iteration {key} must be text of at most {NOTE} characters")
    # what a terminal or an editor would act upon has no place in a note; line breaks and tabs have
    return {
        key: "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc") for key, text in value.items()
    }


def tag_of(path: Path) -> Optional[str]:
    """The ETag of a file as it lies there; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return tag_of_status(status)


def tag_of_status(status: os.stat_result) -> str:
    """The ETag of a file: a file that takes another's place has another inode, also within one tick of the disk's clock."""
    return f'"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"'


_ONE_AT_A_TIME = threading.Lock()  # the look at what is there and the writing are one step


def save(
    run: Path, data: Dict[str, Any], expected: Optional[str], now: Optional[float] = None
) -> Tuple[Dict[str, Any], str]:
    """Save a ranking in the folder of a run if `expected` is what is there (an ETag; None: nothing).

    Returns what was written and its ETag. Raises Refusal where it is not written, StoreError when the disk refuses.
    """
    from .disk import write_json
    from .store import Run

    path = run / "human" / "ranking.json"
    # looked for first: another request may be making it
    if not _is_plain_folder(run) or (_is_there(path.parent) and not _is_plain_folder(path.parent)):
        raise Refusal(404, "there is no such run")
    if _is_there(path) and not stat.S_ISREG(path.lstat().st_mode):
        raise Refusal(404, "there is nothing here")
    known = {str(number) for number in Run(run, run.name).iterations()}
    strange = [entry for entry in (*data["ranking"], *data["notes"]) if entry not in known]
    if strange:
        raise Refusal(422, f"the run has no iteration {strange[0]}")
    with _ONE_AT_A_TIME:
        found = tag_of(path)
        if found != expected:
            raise Refusal(412, "another ranking has been saved meanwhile", found)
        whole = {**data, "updated_at": round(time.time() if now is None else now, 3)}
        write_json(path, whole)
        return whole, tag_of(path) or ""


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True


def _is_plain_folder(path: Path) -> bool:
    """A folder that is where it says: no link on the way."""
    try:
        return path.resolve(strict=True) == path and path.is_dir()
    except (OSError, RuntimeError):
        return False
