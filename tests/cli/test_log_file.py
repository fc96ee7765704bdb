"""logs/app.log where it cannot be written: told once, and the run goes on; what would hang is refused."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from desk import Desk, checkpoint

from imagination.log_file import logged
from imagination.store import Store

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="files of POSIX")


@pytest.mark.skipif(not FULL.exists(), reason="there is no full device")
def test_a_log_that_finds_no_room_is_told_of_once_and_ends_no_run(desk: Desk) -> None:
    project = desk.project()
    (project / "logs").mkdir()
    (project / "logs" / "app.log").symlink_to(FULL)
    with desk.start("--project", "p") as process:
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert "Traceback" not in said and "Logging error" not in said
    told = f"warning: {project / 'logs' / 'app.log'} cannot be written: No space left on device; the run goes on"
    assert said.count("cannot be written") == 1 and told in said
    assert checkpoint(project)["status"] == "passed"


def test_a_pipe_for_a_log_is_refused(desk: Desk) -> None:
    project = desk.project()
    (project / "logs").mkdir()
    os.mkfifo(str(project / "logs" / "app.log"))
    with desk.start("--project", "p") as process:
        said = process.communicate(timeout=600)[0]
    path = project / "logs" / "app.log"
    assert (process.returncode, said) == (4, f"error: {path} is no regular file\nhint: remove it: rm {path}\n")


def test_a_path_that_is_no_utf8_is_written_down_as_escapes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with logged(store, verbose=False):
        logging.getLogger("imagination.somewhere").warning("%s is not there", "n\udcffx")
    assert "n\\udcffx is not there" in store.log_file.read_text(encoding="utf-8")
