"""A project's run as what must be the same again: every artefact without times, ids and the address of a file."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Dict, List

RUN_ID = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(-\d+)?")
# when it happened, how long it took, what it was called, and what an answer that was asked for again has cost once more
MOVING = {
    "timestamp", "started_at", "updated_at", "seconds", "timings", "prompt_id", "run_id", "blocks", "usage", "totals",
    "since", "pid", "worked", "cached", "bookings", "booked",
}  # fmt: skip


def tree(project: Path) -> Dict[str, str]:
    """A hash of each file below `project`, by its path; half-written files and what is hidden are told, too."""
    found = {}
    for path in sorted(p for p in project.rglob("*") if p.is_file()):
        name = RUN_ID.sub("RUN", path.relative_to(project).as_posix())
        if path.name.startswith(".run.lock") or name.startswith("logs/"):
            continue
        found[name] = hashlib.sha256(settled(path)).hexdigest()[:16]
    return found


def settled(path: Path) -> bytes:
    """A file's bytes; of JSON what it says, of half-written JSON the bytes as well."""
    data = path.read_bytes()
    inner = data[data.find(b"(") + 1 : data.rfind(b")")] if path.suffix == ".js" else data
    if path.suffix not in (".js", ".json"):
        return data
    try:
        return json.dumps(_still(json.loads(inner)), sort_keys=True).encode()
    except ValueError:
        return data


def _still(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _still(value) for key, value in data.items() if key not in MOVING}
    if isinstance(data, list):
        return [_still(each) for each in data]
    return RUN_ID.sub("RUN", data) if isinstance(data, str) else data


def differences(wanted: Dict[str, str], found: Dict[str, str]) -> List[str]:
    """What is missing, too much, or other than wanted."""
    return [
        *(f"missing: {name}" for name in wanted if name not in found),
        *(f"too much: {name}" for name in found if name not in wanted),
        *(f"differs: {name}" for name in wanted if name in found and wanted[name] != found[name]),
    ]
