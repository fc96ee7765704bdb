"""The generator's three folders (input, output, temp) and the rules by which a name on the wire becomes a path in them.

Source of every rule: the recorded exchanges of a ComfyUI 0.3.64 (uploads, /view, SaveImage numbering). Nothing outside
the folders can be reached, whatever the name says.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import List, Optional, Tuple

KINDS = ("input", "output", "temp")
PREFIX = "imagination-engine-"
YOUNG = 60.0  # s in which a folder that nobody holds may be one that is just being made
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_ANNOTATED = re.compile(r"^(?P<name>.*?) ?\[(?P<kind>input|output|temp)\]$", re.DOTALL)


class NotAllowed(Exception):
    """A name that leaves the folder it belongs to."""


class Folders:
    """A scratch place on disk with the folders `input`, `output` and `temp`; `remove` takes all of it away.

    One that a killed process left is taken away by the next.
    """

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        self.base = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        self._held = _hold(self.base)
        for kind in KINDS:
            (self.base / kind).mkdir()

    def remove(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def folder(self, kind: str) -> Path:
        """Return the folder of `kind`; KeyError for anything but input, output and temp."""
        if kind not in KINDS:
            raise KeyError(kind)
        return self.base / kind

    def within(self, kind: str, *names: str) -> Path:
        """Join `names` to the folder of `kind`; NotAllowed when the result lies outside of it."""
        folder = self.folder(kind)
        path = Path(os.path.normpath(folder.joinpath(*names)))
        if path != folder and folder not in path.parents:
            raise NotAllowed("/".join(names))
        return path

    def annotated(self, name: str, kind: str = "input") -> Path:
        """Find the file that LoadImage names: `photo.png`, `job/photo.png`, or `photo.png [output]`.

        A path may lead from one of the three folders to another, as in a real server, but not out of all three.
        """
        bare, kind = split_annotation(name, kind)
        path = Path(os.path.normpath(self.folder(kind) / bare))
        if self.base not in path.parents:
            raise NotAllowed(name)
        return path

    def pictures(self) -> List[str]:
        """List what LoadImage offers: files at the top of the input folder whose suffix is a picture's."""
        names = (path.name for path in self.folder("input").iterdir() if path.is_file())
        return sorted(name for name in names if name.lower().endswith(PICTURE_SUFFIXES))

    def store(self, kind: str, subfolder: str, name: str, data: bytes, overwrite: bool) -> str:
        """Write an upload and return its name: the same for the same bytes, `photo (1).png` for others of that name."""
        target = self.within(kind, subfolder, name)
        self.within(kind, subfolder).mkdir(parents=True, exist_ok=True)
        suffix = Path(name).suffix
        stem = name[: len(name) - len(suffix)]
        count = 0
        while not overwrite and target.exists() and target.read_bytes() != data:
            count += 1
            name = f"{stem} ({count}){suffix}"
            target = self.within(kind, subfolder, name)
        target.write_bytes(data)
        return name

    def numbered(self, kind: str, prefix: str, size: Tuple[int, int]) -> Tuple[Path, str, int]:
        """Resolve a filename prefix to (folder, stem, next number); the folder is made."""
        prefix = os.path.normpath(_filled(prefix, size))
        subfolder, slash, stem = prefix.replace(os.sep, "/").rpartition("/")
        folder = Path(os.path.normpath(self.folder(kind) / (subfolder + slash)))
        if folder != self.folder(kind) and self.folder(kind) not in folder.parents:
            raise NotAllowed(_outside(folder, self.folder(kind)))
        folder.mkdir(parents=True, exist_ok=True)
        return folder, stem, 1 + max((_number(path.name, stem) for path in folder.iterdir()), default=0)

    def subfolder_of(self, kind: str, folder: Path) -> str:
        """Name `folder` as the wire does: relative to its kind, empty for the top."""
        relative = folder.relative_to(self.folder(kind)).as_posix()
        return "" if relative == "." else relative


def split_annotation(name: str, kind: Optional[str]) -> Tuple[str, str]:
    """Split `name [output]` into its two parts; without an annotation `kind` stays (`output` if there is none)."""
    match = _ANNOTATED.match(name)
    return (match["name"], match["kind"]) if match else (name, "output" if kind is None else kind)


def fingerprint(path: Path) -> str:
    """Hash a file's bytes, so that new content under an old name is noticed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _filled(prefix: str, size: Tuple[int, int]) -> str:
    now = time.localtime()
    fields = {"year": str(now.tm_year), "month": f"{now.tm_mon:02}", "day": f"{now.tm_mday:02}"}
    fields.update({"hour": f"{now.tm_hour:02}", "minute": f"{now.tm_min:02}", "second": f"{now.tm_sec:02}"})
    fields.update({"width": str(size[0]), "height": str(size[1])})
    return re.sub("%([a-z]+)%", lambda match: fields.get(match[1], match[0]), prefix)


def _number(name: str, stem: str) -> int:
    match = re.match(re.escape(stem) + r"_(\d+)(?=[_.]|$)", name)
    return int(match[1]) if match else 0


def _outside(folder: Path, allowed: Path) -> str:
    common = os.path.commonpath([folder, allowed])
    return (
        "**** ERROR: Saving image outside the output folder is not allowed.\n"
        f" full_output_folder: {folder}\n         output_dir: {allowed}\n         commonpath: {common}"
    )


def _hold(folder: Path) -> Optional[int]:
    """Hold a folder for as long as this process lives. None: another holds it, or this system knows no such hold."""
    try:
        import fcntl

        handle = os.open(str(folder), os.O_RDONLY | os.O_NOFOLLOW)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _sweep(place: Path) -> None:
    """Remove what killed processes left: nobody holds it any more."""
    for folder in place.glob(f"{PREFIX}*"):
        handle = _hold(folder)
        if handle is None:
            continue
        if time.time() - os.fstat(handle).st_mtime > YOUNG:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)
