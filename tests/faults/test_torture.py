"""The quick cut of `torture.py`: a few points of each kind, spread over a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cut import ALL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked child")
# of a file written there are three points, to make its folder, to open it and to rename it: no step is a multiple of 3
@pytest.mark.parametrize(("part", "every"), [("killed", 400), ("torn", 85), ("interrupted", 400), ("disk", 145)])
def test_nothing_is_lost(part: str, every: int) -> None:
    script = Path(__file__).with_name("torture.py")  # on its own: to fork among a suite's threads is to ask for trouble
    asked = [sys.executable, str(script), "--part", part, "--jobs", "2", "--every", "1" if ALL else str(every)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    figures = json.loads(done.stdout)
    assert figures["points"] >= (100 if part == "torn" else 200) and figures["tried"] > 2
    assert [figures[name] for name in ("losses", "hangs", "tracebacks")] == [0, 0, 0]
