"""A run of many iterations keeps all of them and does not grow with their number. `long_run.py` has the figures of 500."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cut import ALL


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_nothing_grows_with_the_number_of_iterations() -> None:
    count = 500 if ALL else 20
    script = Path(__file__).with_name("long_run.py")
    done = subprocess.run([sys.executable, str(script), str(count)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(done.stdout)
    assert [figures[name] for name in ("iterations", "pictures", "scripts", "rows")] == [count] * 4
    assert figures["memory"] < 1.2 and figures["checkpoint"] < 1.1
    assert sorted(figures["logs"]) == ["app.log", "app.log.1"] and max(figures["logs"].values()) <= 5_000_000
