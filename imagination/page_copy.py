"""The page in a workspace: `viewer/` beside `projects/`, so that index.html opens from disk there too.

In a checkout the page is there. A workspace of a pip install gets a copy, kept up to date by a list of what was copied;
a file that the user has changed is his, and stays.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from pathlib import Path
from typing import Dict, Mapping, Optional

from .disk import read_json, write_bytes, write_json
from .errors import StoreError
from .reading import MAX_JSON, read_bytes
from .workspace import shipped

log = logging.getLogger(__name__)
LIST = ".copied.json"  # in the copy: the hash of each file as it was copied
KINDS = (".html", ".css", ".js", ".svg", ".png")
Hashes = Dict[str, str]


def publish(root: Path) -> None:
    """Put the page into the workspace `root`, or bring the copy there up to date. A refusal of the disk is logged only."""
    source, target = shipped("viewer"), root / "viewer"
    if not (source / "index.html").is_file() or _same(source, target):
        return
    try:
        files = {path.name: path.read_bytes() for path in sorted(source.iterdir()) if path.suffix in KINDS}
        if not os.path.lexists(str(target)):
            _copy(files, target)
        elif (target / LIST).is_file() and not target.is_symlink():
            _refresh(files, target)
        else:
            log.debug("%s is not a copy of ours and stays as it is", target)
    except (StoreError, OSError) as err:
        log.warning("the page could not be put into %s: %s", target, err)


def _same(source: Path, target: Path) -> bool:
    try:
        return target.exists() and source.samefile(target)
    except OSError:
        return True


def _copy(files: Mapping[str, bytes], target: Path) -> None:
    """All files or none: half a copy without its list would be taken for the user's own."""
    making = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        for name, data in files.items():
            write_bytes(making / name, data, durable=False)
        _write_list(making, {name: _sha256(data) for name, data in files.items()}, {})
        if not target.exists():  # another process may have been quicker
            making.rename(target)
    finally:
        shutil.rmtree(str(making), ignore_errors=True)


def _refresh(files: Mapping[str, bytes], target: Path) -> None:
    """Replace what was copied by what is shipped now; a file that is neither is the user's work."""
    listed = read_json(target / LIST) or {}
    copied, told = _hashes(listed.get("files")), _hashes(listed.get("kept"))
    now: Hashes = {}
    kept: Hashes = {}
    for name in sorted({*files, *copied}):
        old, new = copied.get(name), _sha256(files[name]) if name in files else None
        standing = _standing(target / name)
        if standing in (None, old, new):
            _bring(target / name, standing, files.get(name))
            now.update({name: new} if new else {})
        else:  # the user's work
            now.update({name: old} if old else {})
            kept.update({name: new} if new and new != old else {})
    for name, _ in sorted(set(kept.items()) - set(told.items())):
        log.warning("%s was changed by hand and stays as it is; a newer one is shipped", target / name)
    if (now, kept) != (copied, told):
        _write_list(target, now, kept)


def _bring(path: Path, standing: Optional[str], shipped_data: Optional[bytes]) -> None:
    """Make a file of ours what is shipped; what is shipped no more goes."""
    if shipped_data is None:
        if standing is not None:
            path.unlink()
    elif standing != _sha256(shipped_data):
        write_bytes(path, shipped_data, durable=False)


def _write_list(folder: Path, files: Hashes, kept: Hashes) -> None:
    """`kept`: the shipped versions that the user was told of, in place of which his own stand."""
    write_json(folder / LIST, {"format": 1, "files": files, "kept": kept}, durable=False)


def _hashes(found: object) -> Hashes:
    """Hashes by file name; a list that names other folders is not ours."""
    pairs = found.items() if isinstance(found, dict) else ()
    return {name: str(sha) for name, sha in pairs if Path(name).name == name}


def _standing(path: Path) -> Optional[str]:
    return _sha256(read_bytes(path, MAX_JSON)) if path.is_file() else None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
