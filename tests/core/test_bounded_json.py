"""What is nested too deeply is refused before a parser goes down into it."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagination.bounded_json import MAX_DEPTH, OutOfBounds, deep_starts, loads, out_of_bounds
from imagination.config import MAX_DEPTH as YAML_DEPTH
from imagination.config import read_document
from imagination.errors import ConfigError

UNTIMED = settings(deadline=None)  # no clock decides a test
STACKS = st.lists(st.sampled_from(["[", '{"a": ', '{"]}": [1, "[{\\"", null], "a": ']), max_size=MAX_DEPTH + 3)


def nested(openers: Any) -> str:
    return "".join(openers) + "1" + "".join("]" if opener == "[" else "}" for opener in reversed(openers))


def depth_of(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max((depth_of(part) for part in inside), default=0)


@UNTIMED
@given(STACKS)
def test_the_depth_is_what_a_parser_would_find(openers: Any) -> None:
    text = nested(openers)
    assert bool(out_of_bounds(text)) == (depth_of(json.loads(text)) > MAX_DEPTH)


@pytest.mark.parametrize("opener, closer", [("[", "]"), ('{"a": ', "}")])
def test_the_limit_is_the_last_that_is_read(opener: str, closer: str) -> None:
    assert depth_of(loads(opener * MAX_DEPTH + "1" + closer * MAX_DEPTH)) == MAX_DEPTH
    with pytest.raises(OutOfBounds, match="nested too deeply"):
        loads(opener * (MAX_DEPTH + 1) + "1" + closer * (MAX_DEPTH + 1))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps("[" * 1000),
        json.dumps(["{" * 1000, 'a"' + "[" * 1000, "\\" + "[" * 1000]),
        "[" + ",".join(["[]"] * 1000) + "]",
        "[]" + "[" * 1000,
        "[" * 50 + '"' + "[" * 1000,
    ],
    ids=["one text", "texts", "beside one another", "after the end", "a text without an end"],
)
def test_what_is_not_deep_is_left_to_the_parser(text: str) -> None:
    assert not out_of_bounds(text)


@pytest.mark.parametrize("text", ["[" * 1000, "[" * 1000 + "}" * 1000, "[{" * 500 + '"' + "]" * 1000])
def test_what_is_deep_needs_no_end_to_be_seen(text: str) -> None:
    assert out_of_bounds(text)


@pytest.mark.parametrize(("part", "parts"), [("[]", 1), ('{"a":0}', 1), ('{"[":[[]]}', 3)])
@pytest.mark.parametrize("times", [3, 300])
def test_parts_are_counted_where_they_are_limited(part: str, parts: int, times: int) -> None:
    text, most = "[" + ",".join([part] * times) + "]", 1 + parts * times
    assert loads(text, most) == loads(text) == json.loads(text)
    with pytest.raises(OutOfBounds, match="too many parts"):
        loads(text, most - 1)


TEXTS = st.lists(
    st.sampled_from(["{", "[", "}", "]", '"', '\\"', "\\\\", "a", "[" * 40, '"[', '"{"a":' * 20]), max_size=60
)


@UNTIMED
@given(TEXTS.map("".join))
def test_every_start_that_is_too_deep_is_found_in_one_go(text: str) -> None:
    starts = [index for index, char in enumerate(text) if char in "{[" and text[index - 1 : index] != "\\"]
    deep = deep_starts(text)
    assert [start in deep for start in starts] == [bool(out_of_bounds(text[start:])) for start in starts]


def test_what_a_look_at_it_takes_is_less_than_what_it_keeps_out() -> None:
    text = '{"note": "' + "\\n" * 1_000_000 + '", "x": [' + "[], " * 200 + "1]}"
    tracemalloc.start()
    loads(text)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 8 * len(text)


def test_yaml_is_read_down_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("[" * YAML_DEPTH + "]" * YAML_DEPTH, encoding="utf-8")
    assert depth_of(read_document(path).data) == YAML_DEPTH
    path.write_text("a:\n  " + "[" * YAML_DEPTH + "1" + "]" * YAML_DEPTH, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"rules\.yaml:2 is not valid YAML: it is nested too deeply"):
        read_document(path)


# What is collected while a parser is deep runs on what is left of the stack; here that is deep itself, and goes on after
# it has hit the end, which up to Python 3.9.1 ends the process.
COLLECTED = """
import gc, sys
sys.unraisablehook = lambda about: None
def deep(left):
    return deep(left - 1) if left else 0
class Left:
    def __init__(self):
        self.me = self
    def __del__(self):
        try:
            deep(40)
        except RecursionError:
            deep(80)
def leave(phase, about):
    if phase == "stop":
        Left()
def go():
    gc.set_threshold(7, 2, 2)
    gc.callbacks.append(leave)
    for _ in range(10):
        try:
            READ
        except Exception as err:
            assert "Recursion" not in repr(err), err
    gc.callbacks.clear()
"""
READERS = {
    "an artefact": "read_json(path)",
    "a configuration": "read_document(path, text)",
    "a workflow": "read_workflow(text.encode(), 'w.json')",
    "a server's answer": "HttpAnswer(200, {}, text).body",
    "a ranking": "read(text.encode())",
    "a model's reply": "candidates(text)",
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_comes_near_the_end_of_the_stack(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "artefact.json"
    path.write_text('{"a":' * 50_000, encoding="ascii")
    program = (
        "from pathlib import Path\n"
        "from imagination._jsonish import candidates\n"
        "from imagination.config import read_document\n"
        "from imagination.disk import read_json\n"
        "from imagination.providers import HttpAnswer\n"
        "from imagination.ranking_file import read\n"
        "from imagination.workflow import read_workflow\n"
        f"path = Path({str(path)!r})\ntext = path.read_text()\n" + COLLECTED.replace("READ", READERS[reader]) + "go()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
