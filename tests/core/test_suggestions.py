"""What of a vision model's reply becomes a change to the rules, and what is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagination.config import load_rules
from imagination.model import Ranking, Rules
from imagination.prompts import Templates
from imagination.replies import parse_reply
from imagination.suggest import LONGEST, Proposal, general_notes, list_notes, plan, proposals, request, tidy
from imagination.yaml_edit import Include, Put, read_data

PATH = Path("rules.yaml")
TEXT = """\
project: {name: p, max_iterations: 3} # mine
acceptance_criteria:
  - field: coat_red
    question: Is the coat red?
    min: 0
    max: 1
    intent: change
    must_include: [red coat]
    ban_terms: [blue coat]
  - field: face
    question: Is the face the same?
    min: 0
    max: 1
    intent: preserve
    edit_strength: low
questions:
  - field: worn
    question: What is worn?
"""


@pytest.fixture(scope="module")
def rules() -> Rules:
    return load_rules(PATH, TEXT).record


def change(field: Any, key: Any, value: Any, action: Any = "add", reason: Any = "Why.") -> Dict[str, Any]:
    return {"reason": reason, "field": field, "key": key, "action": action, "value": value}


def told(entry: Dict[str, Any], rules: Rules, name: str = "changes") -> List[str]:
    return [f"{p.what} | {p.fault}" if p.edit is None else p.what for p in proposals({name: [entry]}, rules)]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (change("coat_red", "must_include", "scarf"), ['coat_red.must_include: add "scarf"']),
        (change("Coat Red", "mustInclude", "scarf", "Add"), ['coat_red.must_include: add "scarf"']),
        (
            change("coat_red", "must_include", "[scarf, 'hat']"),
            [f'coat_red.must_include: add "{t}"' for t in ("scarf", "hat")],
        ),
        (change("coat_red", "must_include", "Red-Coat"), []),
        (change("coat_red", "must_include", "RED COAT", "delete"), ['coat_red.must_include: remove "red coat"']),
        (change("coat_red", "must_include", "hat", "remove"), []),
        (change("coat_red", "must_include", ", ,"), ["coat_red must_include | there is no term in it"]),
        (change("coat_red", "intent", "Preserve"), ["coat_red.intent: change -> preserve"]),
        (change("coat_red", "intent", "change"), []),
        (change("coat_red", "edit_strength", "high"), ["coat_red.edit_strength: add high"]),
        (change("face", "question", "Is the face  the\nsame?"), []),
        (change("worn", "question", "What does the person wear?"), ["worn.question: reword"]),
        (
            change("worn", "type", "array"),
            [
                "worn type | only the question and the tags (intent, edit_strength, "
                "must_include, ban_terms, avoid_terms) may change"
            ],
        ),
        (change("worn", "must_include", "x"), ["worn must_include | worn is a question and has no must_include"]),
        (change(None, None, None), ["changes | there is no such field"]),
        (change("nobody", "question", "Who?"), ["nobody question | there is no such field"]),
    ],
)
def test_a_change_is_taken_as_it_is_meant_or_told_of(entry: Any, expected: List[str], rules: Rules) -> None:
    assert told(entry, rules) == expected


@pytest.mark.parametrize(
    ("name", "entry", "expected"),
    [
        ("new_criteria", {"field": "Hat kept", "question": "Is it?", "intent": "preserve"}, ["new criterion hat_kept"]),
        (
            "new_criteria",
            {"field": "hat", "question": "Is it?"},
            ["hat | it does not say whether it changes or preserves"],
        ),
        (
            "new_criteria",
            {"field": "FACE", "question": "Is it?", "intent": "change"},
            ["FACE | there is a field face already"],
        ),
        (
            "new_criteria",
            {"field": "worn", "question": "Is it?", "intent": "change"},
            ["worn | there is a field worn already"],
        ),
        (
            "new_criteria",
            {"field": "//..", "question": "Is it?", "intent": "change"},
            ["//.. | a field has 1 to 60 letters and digits"],
        ),
        (
            "new_criteria",
            {"field": "hat", "question": "", "intent": "change"},
            ["hat | a question has 1 to 300 characters"],
        ),
        (
            "new_questions",
            {"field": "n", "question": "How many?", "type": "Integer", "min": 0, "max": 9.0},
            ["new question n"],
        ),
        (
            "new_questions",
            {"field": "n", "question": "How many?", "type": "integer", "min": 5, "max": 1},
            ["n | Value error, min (5) must not be above max (1)"],
        ),
    ],
)
def test_something_new_is_checked_like_the_users_own(name: str, entry: Any, expected: List[str], rules: Rules) -> None:
    assert told(entry, rules, name) == expected


def test_of_two_changes_of_the_same_thing_the_first_counts(rules: Rules) -> None:
    both = [change("worn", "question", "A?"), change("worn", "question", "B?")]
    assert [p.edit for p in proposals({"changes": both}, rules)] == [Put(("questions", 0, "question"), "A?")]


def test_a_reply_that_goes_on_and_on_is_cut_and_says_so(rules: Rules) -> None:
    entries = [change("coat_red", "must_include", ", ".join(f"hat {n}x{m}" for m in range(9))) for n in range(40)]
    found = proposals({"changes": entries}, rules)
    assert sum(p.edit is not None for p in found) == 60
    assert (found[-1].what, found[-1].fault[:31]) == ("300 more", "only the first 60 are looked at")
    endless = change("coat_red", "must_include", ", ".join(f"hat {n}" for n in range(99)))
    assert told(endless, rules) == ["coat_red must_include | the terms of one change have at most 300 characters"]


def test_a_reason_that_is_missing_is_said_to_be(rules: Rules) -> None:
    (found,) = proposals({"changes": [change("coat_red", "must_include", "hat", reason=None)]}, rules)
    assert found.reason == "(no reason given)"


def test_the_plan_leaves_the_project_and_the_names_alone() -> None:
    wanted = [
        Proposal("name", "", Put(("project", "name"), "q")),
        Proposal("field", "", Put(("acceptance_criteria", 0, "field"), "q")),
        Proposal("type", "", Put(("acceptance_criteria", 0, "type"), "colour")),
        Proposal("term", "", Include(("acceptance_criteria", 0, "ban_terms"), "cap")),
    ]
    made = plan(PATH, TEXT, wanted)
    assert [p.what for p in made.taken] == ["term"]
    assert [p.what for p in made.left] == ["name", "field", "type"]
    assert "expected one of" in made.left[2].fault
    assert made.text == TEXT.replace("[blue coat]", "[blue coat, cap]")


def test_a_finding_that_was_there_before_stops_no_change() -> None:
    text = TEXT.replace("[blue coat]", "[red coat]")  # required and banned
    made = plan(PATH, text, [Proposal("term", "", Include(("acceptance_criteria", 1, "ban_terms"), "mask"))])
    assert len(made.taken) == 1


def test_notes_of_the_newest_rankings_are_kept_where_there_is_no_room_for_all() -> None:
    rankings = [(f"run{n}", Ranking(ranking=["1"], notes={"1": "x" * 900, "2": ""})) for n in range(30)]
    lines = list_notes(rankings).splitlines()
    assert lines[0].startswith("- run run29, iteration 1 (rank 1): xxx")
    assert 5 < len(lines) < 12
    assert list_notes([]) == ""


def test_tidy_leaves_one_line_of_letters() -> None:
    assert tidy(" a\x00b\x1b[31m\u200b\ud800\n\u2028c\u202e\ufeff ") == "a b [31m c"
    assert len(general_notes({"notes": "x" * 5000})) == LONGEST["notes"]


def test_what_is_asked_for_reads_back_leniently() -> None:
    texts = {"rules_suggestion": "{rules}|{guidelines}|{notes}|{shape}"}
    asked = request(Templates(texts), "R {shape}", "", "N")
    assert asked.instruction.startswith("R {shape}|(none)|N|Answer with only one JSON object")
    assert '"changes": list; each entry an object {"reason": text, "field": text' in asked.instruction
    assert asked.schema is not None and asked.accept is not None
    reply = 'Sure!\n```json\n{"changes": [{"Field": "face", "key": "mood", "value": ["a", "b"]}, {"reason": "r"}]}\n```'
    assert parse_reply(reply, asked.schema) is None
    assert parse_reply(reply, asked.accept) == {
        "changes": [{"field": "face", "key": "mood", "value": "a, b"}, {"reason": "r"}]
    }


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
WORD = st.sampled_from(
    ["coat_red", "face", "worn", "question", "intent", "must_include", "add", "red coat", "low", "n: 1"]
)
ENTRY = st.dictionaries(
    st.sampled_from(
        ["reason", "field", "key", "action", "value", "question", "type", "min", "max", "enum", "intent", "ban_terms"]
    ),
    WORD | ANYTHING,
    max_size=8,
)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.lists(ENTRY | ANYTHING, max_size=3) | ANYTHING
            for name in ("changes", "new_criteria", "new_questions", "notes")
        },
    )
)
def test_no_reply_breaks_the_rules(values: Dict[str, Any]) -> None:
    before = load_rules(PATH, TEXT).record
    made = plan(PATH, TEXT, proposals(values, before))
    after = load_rules(PATH, made.text).record
    assert after.project == before.project
    assert [c.field for c in after.acceptance_criteria][:2] == ["coat_red", "face"]
    assert (read_data(made.text) == read_data(TEXT)) == (not made.taken)
    assert "# mine" in made.text
    assert general_notes(values).isprintable()
