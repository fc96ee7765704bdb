"""One ComfyUI of this machine as a service: where it should be, what is found there, how it is started.

The words of `iterativectl comfyui` are made here too; processes in general are `daemons`' business, finding the program is
`comfyui_home`'s.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from .comfyui_home import Home
from .comfyui_wire import Door, server_url
from .config import load_generation
from .errors import ComfyUIError, ComfyUIUnreachable, ConfigError
from .services import BUILTIN
from .streams import clean
from .workspace import Workspace

QUICK = (2.0, 5.0)  # s: to connect, between two bytes


@dataclass(frozen=True)
class Address:
    """Where ComfyUI should be, and the file that says so."""

    url: str
    port: int
    source: Path

    @property
    def key(self) -> str:
        """Part of a file's name, the same for all names of this machine's own loopback."""
        host = (urlsplit(self.url).hostname or "").lower()
        here = host in ("localhost", "::1") or host.startswith("127.")
        return str(self.port) if here else f"{re.sub(r'[^a-z0-9.-]', '_', host)[:100]}-{self.port}"


def address_of(workspace: Workspace, project: Optional[str]) -> Address:
    """The address in a project's AIGen.yaml, or in the template's. Raises ConfigError."""
    path = workspace.project(project).generation if project else workspace.template("config/AIGen.yaml")
    settings = load_generation(path).record.comfyui
    if settings.host.strip().lower() == BUILTIN:
        raise ConfigError(
            f"{path}: comfyui.host is builtin, the engine that runs inside each run",
            "nothing is to be started; for a real ComfyUI put its host there",
        )
    url = server_url(settings.host, settings.port)
    parts = urlsplit(url)
    return Address(url, parts.port or (443 if parts.scheme == "https" else 80), path)


def listening_address(address: Address) -> str:
    """What `--listen` is to be told. Raises ConfigError where the address is none that this machine could listen on."""
    parts = urlsplit(address.url)
    name = parts.hostname or ""
    if parts.scheme != "http" or parts.path:
        raise ConfigError(f"{address.url} (from {address.source}) is behind a proxy", "start ComfyUI by hand there")
    found = "127.0.0.1" if name == "localhost" else _own_address(name)
    if found is None:
        raise ConfigError(f"{name} (from {address.source}) is another machine", "start ComfyUI there")
    return found


def _own_address(name: str) -> Optional[str]:
    """The address of `name` if it is one of this machine's: only those can be bound."""
    with contextlib.suppress(OSError, UnicodeError):
        for family, kind, _, _, where in socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM):
            with contextlib.suppress(OSError), socket.socket(family, kind) as probe:
                probe.bind(where)
                return str(where[0])
    return None


# --- what is found there ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sight:
    """What was found at an address."""

    stats: Optional[Mapping[str, Any]]  # /system_stats, if ComfyUI answered
    running: int = 0  # jobs
    waiting: int = 0
    occupied: bool = False  # somebody listens, but does not answer as ComfyUI

    @property
    def is_comfyui(self) -> bool:
        """Say whether ComfyUI answered."""
        return self.stats is not None

    @property
    def jobs(self) -> int:
        """Jobs at work and in the queue."""
        return self.running + self.waiting


def look(url: str) -> Sight:
    """Ask what is at `url`, without patience."""
    door = Door(url, QUICK)
    try:
        stats = door.get_json("/system_stats")
        if not isinstance(stats, dict) or not isinstance(stats.get("system"), dict):
            return Sight(None, occupied=True)
        return Sight(stats, *_queue(door))
    except ComfyUIUnreachable:
        return Sight(None, occupied=_somebody_listens(url))
    except ComfyUIError:
        return Sight(None, occupied=True)
    finally:
        door.close()


def answers(url: str) -> bool:
    """Does a ComfyUI answer there?"""
    return look(url).is_comfyui


def _queue(door: Door) -> Tuple[int, int]:
    with contextlib.suppress(ComfyUIError):
        queue = door.get_json("/queue")
        if isinstance(queue, dict):
            parts = (queue.get("queue_running"), queue.get("queue_pending"))
            running, waiting = (len(part) if isinstance(part, list) else 0 for part in parts)
            return running, waiting
    return 0, 0


def _somebody_listens(url: str) -> bool:
    parts = urlsplit(url)
    names = ("127.0.0.1", "::1") if parts.hostname == "localhost" else (parts.hostname or "",)
    for name in names:
        with contextlib.suppress(OSError, UnicodeError), socket.create_connection((name, parts.port or 80), timeout=1):
            return True
    return False


# --- how it is started --------------------------------------------------------------------------------------------------


def command_for(home: Home, listen: str, port: int, arguments: Sequence[str]) -> List[str]:
    """The command line. Raises ConfigError for an argument that would put the server elsewhere than it is looked for."""
    options = [each.split("=")[0] for each in arguments]
    if "--port" in options:
        raise ConfigError("--port after -- is not possible", f"set comfyui.port in AIGen.yaml (now {port})")
    chosen = [] if "--listen" in options else ["--listen", listen]
    return [str(home.python), "main.py", *chosen, "--port", str(port), *arguments]


def environment_for(home: Home, environ: Mapping[str, str]) -> Dict[str, str]:
    """Our environment as its own: with its virtual environment in the place of ours, and a log without delay."""
    made = {key: value for key, value in environ.items() if key not in ("VIRTUAL_ENV", "__PYVENV_LAUNCHER__")}
    bin_folder = home.python.parent
    if (bin_folder.parent / "pyvenv.cfg").is_file():
        made["VIRTUAL_ENV"] = str(bin_folder.parent)
        made["PATH"] = os.pathsep.join(part for part in (str(bin_folder), environ.get("PATH", "")) if part)
    return {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", **made}


def advice(lines: Sequence[str], log: Path) -> str:
    """What to do when ComfyUI died with these last words."""
    text = "\n".join(lines)
    if re.search(r"No module named|ModuleNotFoundError", text):
        return "is that ComfyUI's own Python? name it with --python, or install ComfyUI's requirements.txt into it"
    if "unrecognized arguments" in text:
        return "ComfyUI does not know one of the arguments after --"
    if "error: argument" in text:
        return "ComfyUI does not take the value of one of the arguments after --"
    if re.search(r"no NVIDIA driver|not compiled with CUDA|No CUDA GPUs", text):
        return "where there is no GPU that its PyTorch can use, start it with: iterativectl comfyui start -- --cpu"
    if "address already in use" in text.lower():
        return "end the program on that port, or set another comfyui.port in AIGen.yaml"
    return f"its whole log: {log}"


# --- in words -----------------------------------------------------------------------------------------------------------


def facts(sight: Sight) -> List[Tuple[str, str]]:
    """Version, queue and memory as pairs of label and text. A server's words are data: shown on one line, shortened."""
    stats = sight.stats or {}
    system = stats["system"] if isinstance(stats.get("system"), dict) else {}
    told = [("version", _version(system)), ("queue", queue_text(sight.running, sight.waiting))]
    devices = stats.get("devices")
    for device in devices if isinstance(devices, list) else ():
        if isinstance(device, dict):
            memory = _memory(device.get("vram_free"), device.get("vram_total"))
            told.append(("device", clean(str(device.get("name") or "unknown"), 44) + (memory and f", {memory}")))
    told.append(("memory", _memory(system.get("ram_free"), system.get("ram_total")) or "unknown"))
    return told


def queue_text(running: int, waiting: int) -> str:
    """How many jobs there are."""
    return f"{running} running, {waiting} waiting" if running or waiting else "empty"


def _version(system: Mapping[str, Any]) -> str:
    parts = [str(system.get("comfyui_version") or "unknown")]
    parts += [f"Python {str(system['python_version']).split()[0]}"] if system.get("python_version") else []
    parts += [f"PyTorch {system['pytorch_version']}"] if system.get("pytorch_version") else []
    return clean(", ".join(parts), 66)


def _memory(free: object, total: object) -> str:
    if not isinstance(free, (int, float)) or not isinstance(total, (int, float)) or total <= 0:
        return ""
    return f"{free / 1024**3:.1f} of {total / 1024**3:.1f} GB free"


def waiting_line(waited: float, last: str, width: int) -> str:
    """One line on how long it takes, with the log's last words, at most `width` columns."""
    line = f"waiting for ComfyUI, {waited:.0f} s  {clean(last, 200)}".rstrip()
    return line if len(line) <= width else line[: width - 1] + "…"
