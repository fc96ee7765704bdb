"""What is read of a file that somebody else has put there, and what of JSON can be written again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Callable

import pytest

from imagination.disk import read_json
from imagination.errors import ConfigError, StoreError
from imagination.images import load_input
from imagination.reading import MAX_JSON, MAX_PICTURE, read_bytes, unfit
from imagination.store import Run

READERS = {
    "artefact": (read_json, StoreError),
    "input": (load_input, ConfigError),
    "picture of a run": (lambda path: Run(path.parent.parent, "run").read_image(1), StoreError),
}
each_reader = pytest.mark.parametrize("read, error", READERS.values(), ids=list(READERS))


def here(folder: Path) -> Path:
    path = folder / "images" / "iteration_1.png"
    path.parent.mkdir()
    return path


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(OSError, match="larger than 0 MB"):
        read_bytes(path, 4)


@each_reader
def test_a_file_beyond_any_sensible_size_is_one_error(tmp_path: Path, read: Callable[[Path], Any], error: Any) -> None:
    path = here(tmp_path)
    with path.open("wb") as file:
        file.truncate(MAX_PICTURE + 1)  # takes no room on the disk
    with pytest.raises(error, match=r"iteration_1\.png cannot be read: it is larger than \d+ MB"):
        read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@each_reader
def test_a_pipe_is_not_waited_for(tmp_path: Path, read: Callable[[Path], Any], error: Any) -> None:
    path = here(tmp_path)
    os.mkfifo(path)
    with pytest.raises(error, match=r"iteration_1\.png cannot be read: it is no regular file"):
        read(path)


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1")
    (tmp_path / "link").symlink_to(path)
    assert read_bytes(tmp_path / "link", MAX_JSON) == b"1"


@pytest.mark.parametrize(
    "text, problem",
    [
        ('{"a": [1, {"b": "x \\ud800 y"}]}', "a[1].b has half a character (a lone surrogate)"),
        ('{"a": {"\\udfff": 1}}', "a.  has half a character (a lone surrogate)"),
        ('{"a": {"b": [0, 1e999]}}', "a.b[1] is a number without bounds (NaN, Infinity or one like 1e999)"),
        ('{"a": NaN, "b": 1}', "a is a number without bounds (NaN, Infinity or one like 1e999)"),
        ('{"a": "\\ud83d\\ude00", "b": [1e308, null, true, "\\u0000"]}', ""),
    ],
)
def test_what_cannot_be_written_again_is_told_with_its_key(text: str, problem: str) -> None:
    assert unfit(json.loads(text)) == problem


@pytest.mark.parametrize("value", ["1e999", '"\\ud800"'])
def test_an_artefact_with_such_a_value_is_damaged(tmp_path: Path, value: str) -> None:
    path = tmp_path / "checkpoint.json"
    path.write_text(f'{{"totals": {{"cost": {value}}}}}', encoding="utf-8")
    with pytest.raises(StoreError, match=r"checkpoint\.json is damaged: totals\.cost "):
        read_json(path)
