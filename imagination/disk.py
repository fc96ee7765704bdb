"""Files: written whole or not at all, read back with one clear error, moved without a moment in which they are nowhere.

A file is written to a sibling and renamed, so a killed process leaves the old file or the new one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
from pathlib import Path
from typing import Any, Optional, Type, TypeVar

from pydantic import ValidationError

from .bounded_json import OutOfBounds, loads
from .errors import Damaged, StoreError
from .model import Artefact
from .reading import MAX_JSON, MAX_PARTS, read_bytes, unfit

Record = TypeVar("Record", bound=Artefact)
FORMAT = 1
LONGEST_WRITE = 600.0  # s
_HALF = re.compile(r"\..+?\.([0-9]{1,9})(?:\.[0-9a-f]{8})?\.tmp", re.DOTALL)  # as `write_bytes` names it, and did
MAKE_WAY = "put it back, or remove it: it is made again"


def write_bytes(path: Path, data: bytes, durable: bool = True) -> None:
    """Write `data` so that `path` holds the old content or the new. Raises StoreError when the disk refuses.

    `durable` waits until the disk has it, and its name: a power cut then leaves no resume point that tells of more than is
    there. What can be rebuilt does without.
    """
    own = f"{os.getpid()}.{secrets.token_hex(4)}"  # threads and containers share pids
    beside = path.with_name(f".{path.name}.{own}.tmp")
    try:
        if path.exists() and not path.is_file():  # a device or a pipe would be gone, and a plain file in its place
            raise StoreError(f"{path} is there and is no regular file", "name another, or move it away")
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
        if durable:
            _settle(path.parent)
    except OSError as err:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise StoreError(
            f"{path} cannot be written: {err.strerror or err}",
            "free some space or mend the permissions, then run again",
        ) from err


def is_left(path: Path, now: float) -> bool:
    """Is it half of a file of ours, and nobody will write the other half? A viewer may be saving a ranking meanwhile, but
    no writing takes minutes; and this process has written nothing yet, so what has its number is an earlier one's.
    """
    from .daemons import identity

    match = _HALF.fullmatch(path.name)
    if match is None:
        return False
    gone = int(match[1]) == os.getpid() or identity(int(match[1])) is None
    return gone or now - path.stat().st_mtime > LONGEST_WRITE


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    """JSON as artefacts have it: UTF-8, two-space indent, a newline at the end."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode("utf-8", "replace"), durable)  # half a surrogate pair could not be read back


def read_record(path: Path, kind: Type[Record], hint: str = MAKE_WAY) -> Optional[Record]:
    """An artefact, or None where there is none. Raises StoreError when it is torn or newer than this program."""
    data = read_json(path, hint)
    if data is None:
        return None
    found = data.get("format", FORMAT)
    if not isinstance(found, int) or found > FORMAT:
        raise StoreError(f"{path} has format {found}, newer than this program knows ({FORMAT})", "update the tool")
    try:
        return kind.model_validate_json(json.dumps(data))
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Damaged(f"{path} is damaged: {where}: {first['msg']}", hint) from err


def read_json(path: Path, hint: str = MAKE_WAY) -> Optional[Any]:
    """A JSON object, or None where there is none."""
    try:
        data = loads(read_bytes(path, MAX_JSON).decode("utf-8"), MAX_PARTS)
    except FileNotFoundError:
        return None
    except OSError as err:
        raise StoreError(f"{path} cannot be read: {err.strerror or err}") from err
    except OutOfBounds as err:
        raise Damaged(f"{path} is damaged: {err}", hint) from err
    except ValueError as err:
        where = f" (line {err.lineno}, column {err.colno})" if isinstance(err, json.JSONDecodeError) else ""
        raise Damaged(f"{path} is damaged: it is no JSON{where}", hint) from err
    if not isinstance(data, dict):
        raise Damaged(f"{path} is damaged: it is no JSON object", hint)
    problem = unfit(data)
    if problem:
        raise Damaged(f"{path} is damaged: {problem}", hint)
    return data


def move(source: Path, target: Path) -> None:
    """Move a file, to another disk as well; where the name is taken, to the next free one. Raises StoreError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        number = 1
        while target.exists():
            number += 1
            target = target.with_name(f"{source.stem}-{number}{source.suffix}")
        try:
            source.rename(target)
        except OSError as err:
            if err.errno != errno.EXDEV:
                raise
            _carry(source, target)
    except OSError as err:
        raise StoreError(
            f"{source} cannot be moved to {target.parent}: {err.strerror or err}",
            "free some space or mend the permissions, then run again",
        ) from err


def _carry(source: Path, target: Path) -> None:
    """Move a file to another disk: it is whole there before it goes here, and a kill in between leaves it in both places."""
    write_bytes(target, source.read_bytes())
    source.unlink()


def _settle(folder: Path) -> None:
    """Wait until the disk has the names in a folder, where a system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(str(folder), os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
