"""The reply parser: two corpora of replies, and what must hold for any text at all."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagination.replies import Reading, parse_reply, read_reply

DATA = Path(__file__).parent.parent / "data"
CASES: List[Dict[str, Any]] = [
    case
    for name in ("vlm-replies.json", "vlm-replies-more.json")
    for case in json.loads((DATA / name).read_text(encoding="utf-8"))
]
UNTIMED = settings(deadline=None)  # no clock decides a test

FORMAL = {"type": "object", "properties": {"is_formal": {"type": "boolean"}}, "required": ["is_formal"]}
MIXED = {
    "type": "object",
    "properties": {
        "note": {"type": "string"},
        "ok": {"type": "boolean"},
        "count": {"type": "integer"},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "style": {"type": "string", "enum": ["formal", "casual"]},
        "seen": {"type": "array", "items": {"type": "string"}},
        "rain": {"type": ["boolean", "null"]},
        "tie": {
            "type": "object",
            "properties": {"reason": {"type": "string"}, "verdict": {"type": "boolean"}},
            "required": ["verdict"],
        },
    },
}
MIXED["required"] = list(MIXED["properties"])  # type: ignore[call-overload]
RELAXED = {**MIXED, "required": []}


def same(one: Any, other: Any) -> bool:
    """Compare as the corpus asks: 95 is 95.0, a boolean is no number, numbers within 1e-9."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return abs(one - other) < 1e-9
    return bool(one == other)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_corpus_is_read_as_expected(case: Dict[str, Any]) -> None:
    values = parse_reply(case["raw"], case["schema"])
    assert same(values, case["expect"]), f"{case['note']}: {case['raw'][:300]!r} gave {values!r}"


TEXTS = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=60)
ANSWERS = st.fixed_dictionaries(
    {
        "note": TEXTS,
        "ok": st.booleans(),
        "count": st.integers(-(10**20), 10**20),
        "share": st.floats(0, 1),
        "style": st.sampled_from(["formal", "casual"]),
        "seen": st.lists(TEXTS, max_size=4),
        "rain": st.none() | st.booleans(),
        "tie": st.fixed_dictionaries({"reason": TEXTS, "verdict": st.booleans()}),
    }
)


@given(
    ANSWERS, st.booleans(), st.sampled_from([None, 2]), st.sampled_from(["{}", "```json\n{}\n```", "Sure!\n{}\nDone."])
)
def test_a_valid_object_comes_back_unchanged(
    answers: Dict[str, Any], ascii_only: bool, indent: Any, around: str
) -> None:
    text = json.dumps(answers, ensure_ascii=ascii_only, indent=indent)
    reading = read_reply(around.replace("{}", text), MIXED)
    assert reading.values == answers
    assert (reading.repairs, reading.dropped) == ((), ())


@UNTIMED
@given(ANSWERS, st.integers(0, 10_000))
def test_no_part_of_a_cut_reply_is_invented(answers: Dict[str, Any], length: int) -> None:
    text = json.dumps(answers)
    values = parse_reply(text[: length % len(text)], RELAXED) or {}
    assert all(values[key] == answers[key] for key in values if key not in ("tie", "seen"))
    seen = values.get("seen", [])  # a list may end after a whole item: only its closer is missing then
    assert seen == answers["seen"][: len(seen)]
    assert values.get("tie", {}).items() <= answers["tie"].items()


PIECES = st.sampled_from(
    [
        *"{}[]()<>\"'`“”„‘’«»「」:=,;，：\\/#*|-–?! \t\n\r\x00\u200b\u3000½٣²é😀",
        *[
            "note",
            "ok",
            "count",
            "share",
            "style",
            "seen",
            "rain",
            "tie",
            "verdict",
            "reason",
            "answer",
            "value",
            "field",
            "q1",
        ],
        *[
            "true",
            "False",
            "null",
            "NaN",
            "yes",
            "no",
            "1",
            "0.5",
            "1,250",
            "92%",
            "8/10",
            "1e999",
            "formal",
            "...",
            "---",
            "=>",
            "-->",
        ],
        *[
            "<think>",
            "</think>",
            "<|im_end|>",
            "<|channel|>final<|message|>",
            "<answer>",
            "<ok>",
            "</ok>",
            "User:",
            "&quot;",
            '\\"',
        ],
        *["/*", "*/", "//", "<!--", "\\u12", "\\ud83d", "```json"],
        *["\n- ", "| a |", '{"ok": true}', "9" * 5000, "\ud83d"],
    ]
)
JUNK = st.text(max_size=200) | st.lists(PIECES, max_size=60).map("".join)


@settings(max_examples=300, deadline=None)
@given(JUNK, st.sampled_from([MIXED, RELAXED, FORMAL, {}, {"type": "object"}]))
def test_any_text_is_read_without_an_exception_and_twice_alike(text: str, schema: Dict[str, Any]) -> None:
    reading = read_reply(text, schema)
    assert reading == read_reply(text, schema)
    assert reading.values is None or set(reading.values) <= set(schema["properties"])
    json.dumps(reading.values, ensure_ascii=False, allow_nan=False).encode("utf-8")


UNITS = ["[", "{", '{"a":', '{"', '"', '",', '{"ok": "', '{"note": "x" /*', '{"a":1}', "{}", '"//\n', "<a>", "<think>"]
UNITS += [
    "a: b\n",
    "|a|b|\n",
    "1,",
    "\\",
    " ",
    "“a” ",
    '{"note": "“',
    "a-",
    "</think>",
    "user:\n",
    "`",
    "&quot;",
    "{a}",
]


def calls_for(text: str) -> int:
    """Count the Python and C calls that reading `text` takes: a measure of work that knows no clock."""
    count = 0

    def tick(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(tick)
    try:
        parse_reply(text, MIXED)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("unit", UNITS)
def test_twice_the_junk_takes_about_twice_the_work(unit: str) -> None:
    short, long = (unit * (size // len(unit)) for size in (8_000, 16_000))
    assert calls_for(long) < 2.6 * calls_for(short) + 5_000


@pytest.mark.parametrize("opener", ["[", "{", '{"a":', '[{"a":', '{"a":[', "{a:"])
def test_deep_nesting_is_no_recursion_error(opener: str) -> None:
    assert parse_reply(opener * 50_000 + '{"is_formal": true}', FORMAL) in (None, {"is_formal": True})


def test_a_reading_tells_what_was_done_and_what_was_dropped() -> None:
    text = "<think>hm</think>{'Is Formal': 'Yes, a suit', 'confidence': 0.9}"
    assert read_reply(text, FORMAL) == Reading(
        {"is_formal": True},
        ("thinking removed", "syntax repaired", "keys mapped", "values converted"),
        ("confidence",),
    )


def test_half_a_surrogate_pair_becomes_a_character_that_files_can_hold() -> None:
    schema = {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}
    assert parse_reply('{"note": "a\\ud83d"}', schema) == {"note": "a\ufffd"}


def test_an_answer_behind_much_thinking_keeps_what_looks_like_markup_in_it() -> None:
    """Valid objects are set aside first, also behind hundreds of others."""
    schema = {
        "type": "object",
        "properties": {"positive": {"type": "string"}, "negative": {"type": "string"}},
        "required": ["positive", "negative"],
    }
    thinking = 'I consider {"x": [1, 2, {"y": "a[b"}]} and so on. ' * 1800
    answer = {"positive": "a sign that says <s>sale</s>", "negative": "User: b </think> c"}
    assert read_reply(f"<think>{thinking}</think>{json.dumps(answer)}", schema).values == answer
