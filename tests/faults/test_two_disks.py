"""A folder of a project that lies on another disk: what is set aside gets there whole, wherever the move is ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

from imagination.store import Store

OWNER = "2026-01-01_10-00-00"
FILES = {"output_metadata.json": json.dumps({"run_id": OWNER}).encode(), "output.png": b"a picture" * 1000}
MOVE = """
import os, signal, sys
from pathlib import Path
from imagination.store import Store

seen = 0
def hook(event, arguments):
    global seen
    if event not in ("open", "os.mkdir", "os.rename", "os.remove") or sys.argv[1] not in str(arguments[0]):
        return
    seen += 1
    if seen == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

store = Store(Path(sys.argv[1]))
sys.addaudithook(hook)
store.put_output_aside(0.0)
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another disk."""
    for place in ("/dev/shm", "/tmp", "/var/tmp", str(Path.home())):
        if Path(place).is_dir() and os.access(place, os.W_OK) and Path(place).stat().st_dev != tmp_path.stat().st_dev:
            with tempfile.TemporaryDirectory(dir=place) as folder:
                yield Path(folder)
            return
    pytest.skip("there is one disk only")


def project(root: Path, linked: str, elsewhere: Path) -> Store:
    """A project with the output of an earlier run, its folder `linked` being a link to `elsewhere`."""
    elsewhere.mkdir()
    root.mkdir()
    (root / linked).symlink_to(elsewhere, target_is_directory=True)
    (root / "working" / OWNER).mkdir(parents=True)
    (root / "output").mkdir(exist_ok=True)
    for name, data in FILES.items():
        (root / "output" / name).write_bytes(data)
    return Store(root)


def files(root: Path) -> Dict[str, bytes]:
    """Every file by its path; a link at the top is followed."""
    found: Dict[str, bytes] = {}
    for folder in ("input", "output", "working"):
        for path in (root / folder).rglob("*"):
            if path.is_file() and not path.name.startswith(".run.lock"):
                found[str(path.relative_to(root))] = path.read_bytes()
    return found


@pytest.mark.parametrize("linked", ["output", "working"])
def test_an_earlier_output_moves_to_another_disk(tmp_path: Path, elsewhere: Path, linked: str) -> None:
    store = project(tmp_path / "p", linked, elsewhere / "disk")
    store.put_output_aside(0.0)
    assert files(store.project) == {f"working/{OWNER}/output/{name}": data for name, data in FILES.items()}


def test_a_picture_that_is_replaced_moves_to_another_disk(tmp_path: Path, elsewhere: Path) -> None:
    (elsewhere / "input.png").write_bytes(b"mine")
    (tmp_path / "input").symlink_to(elsewhere, target_is_directory=True)
    Store(tmp_path).put_aside(tmp_path / "input" / "input.png", "today")
    assert files(tmp_path) == {"working/replaced/today/input.png": b"mine"}


def test_other_files_of_that_name_are_kept(tmp_path: Path, elsewhere: Path) -> None:
    store = project(tmp_path / "p", "output", elsewhere / "disk")
    aside = store.working / OWNER / "output"
    aside.mkdir()
    (aside / "output.png").write_bytes(b"another")
    store.put_output_aside(0.0)
    found = files(store.project)
    assert found.pop(f"working/{OWNER}/output/output.png") == b"another"
    assert sorted(found.values()) == sorted(FILES.values())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="ends a process with SIGKILL")
def test_a_move_that_is_killed_anywhere_goes_on(tmp_path: Path, elsewhere: Path) -> None:
    codes: List[int] = []
    for at in range(1, 40):
        store = project(tmp_path / f"p{at}", "output", elsewhere / f"disk{at}")
        codes.append(subprocess.run([sys.executable, "-c", MOVE, str(store.project), str(at)], check=False).returncode)
        named = {path: data for path, data in files(store.project).items() if not path.endswith(".tmp")}
        assert all(data in FILES.values() for data in named.values()), (
            f"half a file after a kill at {at}: {list(named)}"
        )
        with store.lock():  # what was half-written goes
            store.put_output_aside(0.0)
        assert set(files(store.project).values()) == set(FILES.values()), f"killed at {at}"
        assert not any((store.project / "output" / name).exists() for name in FILES), f"killed at {at}"
        if codes[-1] == 0:
            break
    assert codes[-1] == 0 and len(codes) > 8
