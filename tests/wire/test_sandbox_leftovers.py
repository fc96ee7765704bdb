"""What a killed process left of the built-in generator is removed by the next; what a living one uses is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Tuple

import pytest

HOLDS = """
import sys
from imagination.sandbox.folders import Folders

print(Folders().base, flush=True)
sys.stdin.read()
"""
pytestmark = pytest.mark.skipif(os.name != "posix", reason="holds of POSIX")


def holding(place: Path) -> Tuple[Any, Path]:
    """A process that has the three folders somewhere in `place`, and where."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(place)},
        encoding="utf-8",
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_goes_and_what_is_used_or_young_stays(tmp_path: Path) -> None:
    long_ago = time.time() - 3600
    (alive, used), (killed, left), (also_killed, young) = holding(tmp_path), holding(tmp_path), holding(tmp_path)
    with alive, killed, also_killed:
        for process in (killed, also_killed):
            process.kill()
            process.wait()
        (left / "input" / "photo.png").write_bytes(b"x")
        other = tmp_path / "somebody-elses"
        other.mkdir()
        for folder in (used, left, other):
            os.utime(str(folder), (long_ago, long_ago))
        os.utime(str(young))
        last, fresh = holding(tmp_path)
        with last:
            assert sorted(tmp_path.iterdir()) == sorted([used, young, other, fresh])
            assert (used / "input").is_dir()
            last.communicate(timeout=600)
        alive.communicate(timeout=600)
