"""The part of `doctor` that looks at this machine: Python, packages, disk. Only the standard library is imported."""

from __future__ import annotations

import importlib
import platform
import re
import shlex
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

from .checkup import Check, failure, ok, warning

DISTRIBUTION = "iterative-imagination"
PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
MODULES = {"pillow": "PIL", "pyyaml": "yaml", "websocket-client": "websocket"}  # where the two names differ
SCARCE = 2 * 10**9  # bytes; a run of twenty iterations leaves some 100 MB behind
FULL = 200 * 10**6  # bytes
Version = Tuple[int, ...]
Installed = Callable[[str], Tuple[str, str]]  # name -> (version or "", why it cannot be imported or "")


# --- Python and packages ------------------------------------------------------------------------------------------------


def interpreter() -> Iterator[Check]:
    """Python and the packages, against what this program asks for."""
    minimum, needed = requirements()
    yield check_python(platform.python_version(), minimum)
    yield check_packages(needed, installed)


def check_python(version: str, minimum: str) -> Check:
    """Compare Python's version with the oldest that is supported."""
    if parsed(version) >= parsed(minimum):
        return ok("python", f"{version} at {sys.executable}")
    return failure("python", f"{version} is too old", f"use Python {minimum} or later")


def check_packages(needed: Sequence[Tuple[str, str]], find: Installed) -> Check:
    """Compare the packages with `needed`, pairs of name and oldest version ("" for any): one line for all of them."""
    told, wrong, asked = [], [], []
    for name, minimum in needed:
        version, fault = find(name)
        told.append(f"{name} {version}")
        if not version or fault or (minimum and parsed(version) < parsed(minimum)):
            reason = f"cannot be imported: {fault}" if version and fault else f"is older than {minimum}"
            wrong.append(f"{name} {version} {reason}" if version else f"{name} is missing")
            asked.append(shlex.quote(f"{name}>={minimum}" if minimum else name))
            asked += ["--force-reinstall"] if version and fault and "--force-reinstall" not in asked else []
    if not wrong:
        return ok("packages", ", ".join(told))
    return failure("packages", "; ".join(wrong), f"{shlex.quote(sys.executable)} -m pip install {' '.join(asked)}")


def installed(name: str) -> Tuple[str, str]:
    """Version of a package ("" where it is missing), and why it cannot be imported although it is there."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = ""
    try:
        importlib.import_module(module_of(name))
    except Exception as err:  # a broken package raises what it likes
        return version, " ".join(str(err).split())[:120] or type(err).__name__
    return version or "of unknown version", ""


def module_of(name: str) -> str:
    """What is imported of a package: its name is "Pillow" or "pillow", as it comes from pyproject.toml or from a wheel."""
    plain = name.lower().replace("_", "-")
    return MODULES.get(plain, plain.replace("-", "_"))


def requirements() -> Tuple[str, List[Tuple[str, str]]]:
    """The oldest Python and the packages with their oldest versions: from pyproject.toml, else as installed."""
    if PYPROJECT.is_file():
        return read_pyproject(PYPROJECT.read_text(encoding="utf-8"))
    try:
        info = metadata.metadata(DISTRIBUTION)
        lines = [line for line in metadata.requires(DISTRIBUTION) or [] if "extra ==" not in line]
        return _minimum(str(info["Requires-Python"])), [_requirement(line) for line in lines]
    except metadata.PackageNotFoundError:
        return "3.8", []


def read_pyproject(text: str) -> Tuple[str, List[Tuple[str, str]]]:
    """The same from the text of pyproject.toml, which Python reads by itself from 3.11 on only."""
    python = re.search(r'^requires-python\s*=\s*"([^"]*)"', text, re.MULTILINE)
    block = re.search(r"^dependencies\s*=\s*\[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    lines = re.findall(r'"([^"]+)"', block.group(1)) if block else []
    return _minimum(python.group(1) if python else ""), [_requirement(line) for line in lines]


def _requirement(line: str) -> Tuple[str, str]:
    name = re.match(r"[\w.-]+", line.strip())
    return (name.group(0) if name else line), _minimum(line, "")


def _minimum(text: str, default: str = "3.8") -> str:
    found = re.search(r">=\s*([\d.]+)", text)
    return found.group(1) if found else default


def parsed(version: str) -> Version:
    """The numbers a version begins with: what comes after them (rc1, .post0) counts for nothing here.

    >>> parsed("2.7.0rc1"), parsed("8.1") < parsed("8.10")
    ((2, 7), True)
    """
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match.group(0).split(".")] if match else [sys.maxsize]  # unknown is not too old
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


# --- the disk -----------------------------------------------------------------------------------------------------------


def space(folder: Path) -> Iterator[Check]:
    """Free space where the runs' pictures go."""
    yield judge_space(shutil.disk_usage(str(folder)).free, str(folder))


def judge_space(free: int, folder: str) -> Check:
    """Say whether `free` bytes are enough."""
    shown = f"{free / 10**9:.1f} GB" if free >= 10**9 else f"{free / 10**6:.0f} MB"
    mend = "free some: old runs are in projects/*/working/, or name a workspace on another disk (--workspace DIR)"
    if free < FULL:
        return failure("disk", f"only {shown} free in {folder}", mend)
    if free < SCARCE:
        return warning("disk", f"only {shown} free in {folder}", mend)
    return ok("disk", f"{shown} free in {folder}")


def writing(folders: Sequence[Path]) -> Iterator[Check]:
    """Write a file into each of `folders`, and take it away again; one that is not there is made when it is needed."""
    for folder in folders:
        fault = _fault(folder)
        if fault:
            yield failure("writing", f"{folder} cannot be written: {fault}", _way(folder))
            return
    yield ok("writing", f"{folders[0]} can be written")


def _fault(folder: Path) -> Optional[str]:
    if not folder.exists():
        return None
    try:
        with tempfile.NamedTemporaryFile(dir=str(folder), prefix=".doctor-"):
            return None
    except OSError as err:
        return err.strerror or str(err)


def _way(folder: Path) -> str:
    if not folder.is_dir():
        return f"a file stands where a folder is needed: mv {shlex.quote(str(folder))} {shlex.quote(f'{folder}.old')}"
    return f"chmod u+rwx {shlex.quote(str(folder))} (or chown it to yourself)"
