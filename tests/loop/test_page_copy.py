"""The page's copy in a workspace: whole or not at all, brought up to date, and the user's own work in it left alone."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Dict

import pytest
from click.testing import CliRunner

from imagination.ctl import main
from imagination.page_copy import KINDS, LIST, publish
from imagination.workspace import Workspace, shipped

SHIPPED = {path.name: path.read_bytes() for path in shipped("viewer").iterdir() if path.suffix in KINDS}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    publish(tmp_path)
    return tmp_path / "viewer"


def age(copy: Path, name: str, text: bytes = b"old") -> None:
    """Let a file be what an older version had copied."""
    (copy / name).write_bytes(text)
    listed = read_list(copy)
    listed["files"][name] = hashlib.sha256(text).hexdigest()
    (copy / LIST).write_text(json.dumps(listed), encoding="utf-8")


def read_list(copy: Path) -> Dict[str, Any]:
    found: Dict[str, Any] = json.loads((copy / LIST).read_text(encoding="utf-8"))
    return found


def contents(folder: Path) -> Dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LIST}


def test_the_copy_is_what_is_shipped_and_nothing_else_is_left(copy: Path) -> None:
    assert contents(copy) == SHIPPED and "index.html" in SHIPPED
    assert [path.name for path in copy.parent.iterdir()] == ["viewer"]
    assert Workspace.find(None, {}, copy) == Workspace(copy)  # viewer/ alone makes no workspace


def test_every_script_and_style_of_the_page_is_copied(copy: Path) -> None:
    page = (copy / "index.html").read_text(encoding="utf-8")
    named = [part.split('"')[1] for part in page.replace("src=", "href=").split("href=")[1:]]
    assert [
        name for name in named if "/" not in name and ":" not in name and name[0] != "#" and name not in SHIPPED
    ] == []


def test_a_second_time_writes_nothing(copy: Path) -> None:
    before = {path: path.stat().st_ino for path in copy.iterdir()}
    publish(copy.parent)
    assert {path: path.stat().st_ino for path in copy.iterdir()} == before


def test_an_older_copy_is_brought_up_to_date_with_what_went_and_what_came(copy: Path) -> None:
    age(copy, "app.js")
    age(copy, "gone.js")
    listed = read_list(copy)
    del listed["files"]["base.css"]
    (copy / LIST).write_text(json.dumps(listed), encoding="utf-8")
    (copy / "base.css").unlink()
    publish(copy.parent)
    assert contents(copy) == SHIPPED and set(read_list(copy)["files"]) == set(SHIPPED)


def test_a_file_that_was_lost_comes_back(copy: Path) -> None:
    (copy / "app.js").unlink()
    publish(copy.parent)
    assert contents(copy) == SHIPPED


def test_what_the_user_changed_stays_and_is_told_of_once(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    age(copy, "base.css")
    (copy / "base.css").write_bytes(b"mine")
    (copy / "notes.html").write_bytes(b"also mine")
    for _ in range(3):
        publish(copy.parent)
    assert contents(copy) == {**SHIPPED, "base.css": b"mine", "notes.html": b"also mine"}
    assert ["base.css was changed by hand" in record.getMessage() for record in caplog.records] == [True]
    (copy / "base.css").unlink()  # his way back to ours
    publish(copy.parent)
    assert (copy / "base.css").read_bytes() == SHIPPED["base.css"]


def test_a_change_to_the_newest_version_is_nothing_to_tell(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    (copy / "base.css").write_bytes(b"mine")
    publish(copy.parent)
    assert (copy / "base.css").read_bytes() == b"mine" and caplog.records == []


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_its_place_is_left_alone(tmp_path: Path, there: bool) -> None:
    (tmp_path / "viewer").symlink_to(tmp_path / "elsewhere")
    if there:
        (tmp_path / "elsewhere").mkdir()
    publish(tmp_path)
    assert (tmp_path / "viewer").is_symlink() and (not there or not any((tmp_path / "elsewhere").iterdir()))


def test_a_list_that_names_other_folders_touches_nothing_there(copy: Path) -> None:
    outside = copy.parent / "config.yaml"
    outside.write_bytes(b"mine")
    age(copy, "../config.yaml", b"mine")
    publish(copy.parent)
    assert outside.read_bytes() == b"mine"


@pytest.mark.parametrize("listed", ["{", '{"files": 3}', "[]"])
def test_a_damaged_list_costs_no_file(copy: Path, listed: str) -> None:
    (copy / LIST).write_text(listed, encoding="utf-8")
    (copy / "base.css").write_bytes(b"mine")
    publish(copy.parent)
    assert contents(copy) == {**SHIPPED, "base.css": b"mine"}


def test_where_nothing_can_be_written_it_is_only_warned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "file"
    root.write_bytes(b"no folder")
    publish(root)
    assert "could not be put into" in caplog.text and root.read_bytes() == b"no folder"


def test_the_shipped_page_itself_is_never_touched() -> None:
    folder = shipped("viewer")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    publish(folder.parent)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before and not (folder / LIST).exists()


def test_making_a_project_puts_the_page_beside_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["project", "create", "garden", "--workspace", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert contents(tmp_path / "viewer") == SHIPPED
