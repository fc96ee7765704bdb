"""A workspace on which the command is given, with projects that run on the built-in engines in a moment."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import yaml
from click.testing import CliRunner, Result
from PIL import Image, ImageDraw

from imagination.cli import main

ROOT = Path(__file__).resolve().parents[2]
LIKENESS = "How similar is the composition of the result to that of the original, from 0 to 1?"
GENERATION: Dict[str, Any] = {
    "workflow_file": "workflow/img2img_no_mask_api.json",
    "model": {"ckpt_name": "builtin.safetensors"},
    "comfyui": {"host": "builtin"},
    "parameters": {"denoise": 0.2, "cfg": 5.0, "steps": 1},
    "prompts": {"positive": "a lake", "negative": "text"},
}
BUILTIN_VISION = {"provider": "builtin"}


def rules(name: str = "p", passes: bool = True, iterations: int = 1) -> Dict[str, Any]:
    """Rules of one criterion that every picture passes, or none."""
    bounds = {"min": 0} if passes else {"min": 2}
    criterion = {"field": "likeness", "question": LIKENESS, "type": "number", **bounds}
    return {"project": {"name": name, "max_iterations": iterations}, "acceptance_criteria": [criterion]}


def png(shade: int = 90) -> bytes:
    image = Image.new("RGB", (48, 32), (shade, 120, 200))
    ImageDraw.Draw(image).ellipse((8, 8, 30, 28), fill=(220, 180, 40))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


class Desk:
    """The workspace `root`, and the command given from there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def project(self, name: str = "p", **keys: Any) -> Path:
        """Make a project; `keys` are those of `rules`."""
        folder = self.root / "projects" / name
        for part in ("config", "input"):
            (folder / part).mkdir(parents=True)
        (folder / "input" / "input.png").write_bytes(png())
        self.write(folder / "config" / "rules.yaml", rules(name, **keys))
        self.write(folder / "config" / "AIGen.yaml", GENERATION)
        self.write(folder / "config" / "AIVis.yaml", BUILTIN_VISION)
        return folder

    def templates(self) -> None:
        """Templates of the workspace that name the built-in engines, so that a new project runs on them."""
        self.write(self.root / "defaults" / "config" / "AIGen.yaml", GENERATION)
        self.write(self.root / "defaults" / "config" / "AIVis.yaml", BUILTIN_VISION)

    def file(self, name: str, content: Any) -> Path:
        """A file of the user's beside the projects: bytes, or data to be written as YAML."""
        path = self.root / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            self.write(path, content)
        return path

    @staticmethod
    def write(path: Path, data: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")

    def run(self, *arguments: Any) -> Result:
        """Give the command in this process. A traceback is a failure of the test."""
        result = CliRunner().invoke(main, [str(a) for a in arguments], prog_name="iterative-imagination")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    def start(self, *arguments: Any, **environ: str) -> Any:
        """Start the command as a process of its own, with a pipe for what it says."""
        return subprocess.Popen(
            [sys.executable, str(ROOT / "iterative_imagination.py"), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environ},
            cwd=str(self.root),
            encoding="utf-8",
            preexec_fn=hear_ctrl_c,
        )


def hear_ctrl_c() -> None:
    """A shell starts background jobs deaf to Ctrl-C, and their children inherit it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def free_port() -> int:
    """A free port below those that systems hand out, so that no other program takes it between two uses; of two hundred
    that another process of tests beside this one hardly has, too.
    """
    first = 20_000 + os.getpid() % 50 * 200
    while True:
        port = random.randrange(first, first + 200)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def tree(folder: Path) -> Dict[str, str]:
    """Every file and folder below `folder`, with a hash of its content."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "/"
        for path in sorted(folder.rglob("*"))
    }


def checkpoint(project: Path) -> Dict[str, Any]:
    data: Dict[str, Any] = json.loads((project / "working" / "checkpoint.json").read_text(encoding="utf-8"))
    return data


def run_ids(project: Path) -> List[str]:
    return sorted(p.name for p in (project / "working").iterdir() if p.is_dir() and p.name[:2] == "20")
