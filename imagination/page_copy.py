"""The page in a workspace: `viewer/` beside `projects/`, so that index.html opens from disk there too.

In a checkout the page is there. A workspace of a pip install gets a copy, kept up to date by a list of what was copied;
a file that the user has changed is his, and stays.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Dict, Optional

from .errors import StoreError
from .store import read_json, write_bytes, write_json
from .workspace import shipped

log = logging.getLogger(__name__)
LIST = ".copied.json"
KINDS = (".html", ".css", ".js", ".svg", ".png")


def publish(root: Path) -> None:
    """Put the page into the workspace `root`, or bring the copy there up to date. A refusal of the disk is logged only."""
    source, target = shipped("viewer"), root / "viewer"
    if not (source / "index.html").is_file() or _same(source, target):
        return
    try:
        copied = _copied(target)
        if copied is None:
            log.debug("%s is not a copy of ours and stays as it is", target)
        else:
            _bring(source, target, copied)
    except (StoreError, OSError) as err:
        log.warning("the page could not be put into %s: %s", target, err)


def _same(source: Path, target: Path) -> bool:
    try:
        return target.exists() and source.samefile(target)
    except OSError:
        return True


def _copied(target: Path) -> Optional[Dict[str, str]]:
    """Which files were copied, with the hash of each; None for a folder that is not ours."""
    if not target.exists():
        return {}
    files = (read_json(target / LIST) or {}).get("files")
    return {str(name): str(sha) for name, sha in files.items()} if isinstance(files, dict) else None


def _bring(source: Path, target: Path, copied: Dict[str, str]) -> None:
    shipped_files = {path.name: path.read_bytes() for path in sorted(source.iterdir()) if path.suffix in KINDS}
    now = dict(copied)
    for name, data in shipped_files.items():
        own = target / name
        standing = _sha256(own.read_bytes()) if own.is_file() else None
        if standing is not None and standing != copied.get(name):
            log.debug("%s was changed by hand and stays as it is", own)
            continue
        if standing != _sha256(data):
            write_bytes(own, data, durable=False)
        now[name] = _sha256(data)
    if now != copied:
        write_json(target / LIST, {"format": 1, "files": now}, durable=False)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
