"""Where ComfyUI lies on this machine, and which Python it runs with.

Looked for in this order: --dir, $COMFYUI_DIR, `comfyui_dir` in the workspace's iterativectl.yaml, what comfy-cli
remembers, the usual places. What a user names is never passed over in silence: a wrong name is an error.
"""

from __future__ import annotations

import configparser
import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Mapping, Optional, Tuple

from pydantic import Field

from .config import load_record
from .errors import ConfigError
from .model import Frozen
from .workspace import expanded

SETTINGS = "iterativectl.yaml"
VARIABLE = "COMFYUI_DIR"
# comfy_cli/constants.py, DEFAULT_CONFIG: its folder for config.ini
_COMFY_CLI = {"win32": "AppData/Local/comfy-cli", "darwin": "Library/Application Support/comfy-cli"}
_USUAL = (
    "ComfyUI",
    "comfy/ComfyUI",  # comfy-cli's default on Linux
    "Documents/comfy/ComfyUI",  # and elsewhere
    "Documents/ComfyUI",
    "ComfyUI_windows_portable/ComfyUI",
    "src/ComfyUI",
)
_PYTHONS = ("bin/python", "Scripts/python.exe", "python.exe")


class WorkspaceSettings(Frozen):
    """iterativectl.yaml in the workspace: what is true of this machine rather than of a project."""

    comfyui_dir: Optional[str] = Field(None, min_length=1, description="The folder that holds ComfyUI's main.py.")
    comfyui_python: Optional[str] = Field(None, min_length=1, description="The Python that runs ComfyUI.")


@dataclass(frozen=True)
class Home:
    """A ComfyUI on this disk: its folder, its Python, and what named the folder."""

    folder: Path
    python: Path
    source: str
    warnings: Tuple[str, ...] = ()


def read_settings(root: Path) -> Tuple[WorkspaceSettings, Tuple[str, ...]]:
    """The workspace's settings, all unset where the file is not there, and what to warn of. Raises ConfigError."""
    path = root / SETTINGS
    if not path.exists():
        return WorkspaceSettings(), ()
    loaded = load_record(path, WorkspaceSettings)
    return loaded.record, loaded.warnings


def find_home(
    folder: Optional[str],
    python: Optional[str],
    root: Path,
    environ: Mapping[str, str],
    user: Path,
    platform: str = sys.platform,
) -> Home:
    """The ComfyUI to start. `folder`, `python`: as given on the command line; `root`: the workspace; `user`: the user's home.

    Raises ConfigError with what is wrong with the name given, or with the places that were looked at.
    """
    settings, warnings = read_settings(root)
    place, source = _named(folder, settings, root, environ) or _discovered(root, user, platform)
    if python:
        interpreter = _named_python(python, "--python", Path.cwd())
    elif settings.comfyui_python:
        interpreter = _named_python(settings.comfyui_python, f"{root / SETTINGS} comfyui_python", root)
    else:
        interpreter = _own_python(place) or Path(sys.executable)
    return Home(place, interpreter, source, warnings)


def _named(
    folder: Optional[str], settings: WorkspaceSettings, root: Path, environ: Mapping[str, str]
) -> Optional[Tuple[Path, str]]:
    """The folder that the user has named, by the first of the three ways."""
    ways = (
        (folder, "--dir", Path.cwd()),
        (environ.get(VARIABLE), f"${VARIABLE}", Path.cwd()),
        (settings.comfyui_dir, f"{root / SETTINGS} comfyui_dir", root),
    )
    for name, source, base in ways:
        if name:
            place = base / _expanded(name, source)
            found = _comfyui_at(place)
            if found is None:
                what = "has no main.py" if place.is_dir() else "is not a folder"
                raise ConfigError(f"{source}: {place} {what}", "name the folder that holds ComfyUI's main.py")
            return found, source
    return None


def _discovered(root: Path, user: Path, platform: str) -> Tuple[Path, str]:
    """A ComfyUI that nobody named."""
    looked: List[Path] = []
    for place, source in (*_remembered_by_comfy_cli(user, platform), *_usual_places(root, user)):
        found = _comfyui_at(place)
        if found is not None and ((found / "nodes.py").is_file() or (found / "comfy").is_dir()):
            return found, source
        looked.append(place)
    where = ", ".join(str(place) for place in dict.fromkeys(looked))
    raise ConfigError(
        f"no ComfyUI was found (looked in {where})",
        f"name its folder: --dir DIR, ${VARIABLE}, or `comfyui_dir: DIR` in {root / SETTINGS}",
    )


def _remembered_by_comfy_cli(user: Path, platform: str) -> Iterator[Tuple[Path, str]]:
    path = user / _COMFY_CLI.get(platform, ".config/comfy-cli") / "config.ini"
    record = configparser.ConfigParser(interpolation=None)
    try:
        record.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return
    for key in ("default_workspace", "recent_workspace"):
        name = record.defaults().get(key)
        with contextlib.suppress(ConfigError):
            if name:
                yield expanded(name), f"comfy-cli's {key}"


def _usual_places(root: Path, user: Path) -> Iterator[Tuple[Path, str]]:
    for place in (root / "ComfyUI", root.parent / "ComfyUI", *(user / name for name in _USUAL), Path("/opt/ComfyUI")):
        yield place, "a usual place"


def _comfyui_at(place: Path) -> Optional[Path]:
    """The folder with main.py: `place`, or the ComfyUI in it (the portable package for Windows)."""
    for folder in (place, place / "ComfyUI"):
        if (folder / "main.py").is_file():
            return folder.resolve()
    return None


def _own_python(folder: Path) -> Optional[Path]:
    """The interpreter of ComfyUI's own environment, in its folder or beside it."""
    places = (
        folder / ".venv",
        folder / "venv",
        folder / "python_embeded",
        folder.parent / "python_embeded",
        folder.parent / ".venv",
        folder.parent / "venv",
    )
    # not resolved: the link in bin/ is what makes it this environment's Python
    return next((env / name for env in places for name in _PYTHONS if (env / name).is_file()), None)


def _expanded(name: str, given: str) -> Path:
    try:
        return expanded(name)
    except ConfigError as err:
        raise ConfigError(f"{given}: {err.message}", "name a folder that is there") from err


def _named_python(name: str, given: str, base: Path) -> Path:
    path = base / _expanded(name, given)
    found = path if path.is_file() else next((path / each for each in _PYTHONS if (path / each).is_file()), None)
    if found is None:
        raise ConfigError(f"{given}: {path} is not a Python", "name the interpreter, or its environment's folder")
    return found.absolute()
