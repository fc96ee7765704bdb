"""What `rules check` finds: one table for each thing a rules.yaml can get wrong beyond its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest

from imagination.advice import look_over
from imagination.advice_wording import asks_two_things, is_negated
from imagination.findings import Finding
from imagination.model import Question

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [
    *sorted((ROOT / "rules").glob("*.yaml")),
    ROOT / "defaults" / "config" / "rules.yaml",
    ROOT / "projects" / "demo" / "config" / "rules.yaml",
]
CHANGE = {
    "field": "coat_worn",
    "question": "Is a coat worn in the result?",
    "intent": "change",
    "must_include": ["coat"],
}
PRESERVE = {"field": "same_person", "question": "Is it the same person in the result?", "intent": "preserve"}
FILE = Path("rules.yaml")


def check(text: str, project: str = "") -> List[Finding]:
    return look_over(FILE, project, text)


def found(
    criteria: List[Dict[str, Any]], questions: Optional[List[Dict[str, Any]]] = None
) -> List[Tuple[str, str, str]]:
    """Severity, code and key of everything found in rules of these criteria and questions."""
    data = {"project": {"max_iterations": 5}, "acceptance_criteria": criteria, "questions": questions or []}
    return [(f.severity, f.code, f.key) for f in check(json.dumps(data))]


def of_criterion(**keys: Any) -> List[Tuple[str, str]]:
    """What is found about a preserve criterion with these keys, beside good ones."""
    criterion = {"field": "coats", "question": "How many coats are in the result?", "intent": "preserve", **keys}
    return [(severity, code) for severity, code, _ in found([CHANGE, PRESERVE, criterion])]


def of_question(**keys: Any) -> List[Tuple[str, str]]:
    """What is found about a helper question with these keys."""
    question = {"field": "coats", "question": "What about the coat?", **keys}
    return [(severity, code) for severity, code, _ in found([CHANGE, PRESERVE], [question])]


def test_good_rules_have_no_findings() -> None:
    question = {"field": "coat_colour", "question": "Which colour is the coat?", "type": "string"}
    assert found([CHANGE, PRESERVE], [question]) == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_shipped_rules_are_free_of_errors_and_warnings(path: Path) -> None:
    assert [f for f in look_over(path) if f.severity != "hint"] == []


# --- fields, names, intents ----------------------------------------------------------------------------------------------


def test_a_field_in_both_lists_is_an_error_that_names_the_other_line() -> None:
    text = """\
project: {max_iterations: 5}
acceptance_criteria:
  - field: coat_worn
    question: Is a coat worn?
    intent: change
    must_include: [coat]
  - {field: same_person, question: "Is it the same person?", intent: preserve}
questions:
  - question: Which coat is worn?
    field: Coat Worn
"""
    [finding] = check(text)
    assert (finding.severity, finding.code, finding.line) == ("error", "field-in-both", 10)
    assert finding.key == "questions[0].field"
    assert finding.reason == '"Coat Worn" is the field of a criterion as well (line 3)'


@pytest.mark.parametrize(
    ("folder", "codes"), [("winter", []), ("", []), ("summer", ["name-differs"]), ("Winter", ["name-differs"])]
)
def test_the_name_is_the_folders(folder: str, codes: List[str]) -> None:
    data = {"project": {"name": "winter", "max_iterations": 5}, "acceptance_criteria": [CHANGE, PRESERVE]}
    assert [f.code for f in check(json.dumps(data), folder)] == codes


@pytest.mark.parametrize(
    ("intents", "expected"),
    [
        (("change", "preserve"), []),
        (("change", "change"), [("warning", "only-change", "acceptance_criteria")]),
        (("preserve", "preserve"), [("warning", "only-preserve", "acceptance_criteria")]),
        (("change", None), [("warning", "no-intent", "acceptance_criteria[1]")]),
    ],
)
def test_both_intents_are_needed(intents: Tuple[str, ...], expected: List[Tuple[str, str, str]]) -> None:
    criteria = [{**c, "intent": intent, "must_include": ["x"]} for c, intent in zip((CHANGE, PRESERVE), intents)]
    assert found([{k: v for k, v in c.items() if v is not None} for c in criteria]) == expected


def test_a_change_without_a_term_is_hinted_at() -> None:
    assert found([{**CHANGE, "must_include": []}, PRESERVE]) == [("hint", "no-must-include", "acceptance_criteria[0]")]
    assert found([{**CHANGE, "must_include": [], "ban_terms": ["dust"]}, PRESERVE]) == []  # what has to go is named


@pytest.mark.parametrize("path", sorted((ROOT / "rules").glob("*.yaml")), ids=lambda path: str(path.stem))
def test_the_shipped_examples_are_without_fault(path: Path) -> None:
    assert look_over(path) == []


# --- terms ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("required", "banned", "expected"),
    [
        ("coat", "coat", [("error", "term-required-and-banned")]),
        ("Yellow  Coat", "yellow-coat", [("error", "term-required-and-banned")]),
        ("dress shirt", "shirt", [("warning", "term-in-required-banned")]),
        ("dress shirt", "t-shirt", []),
        ("shirt", "dress shirt", []),
        ("cat", "category", []),
        ("a single cat", "several cats", []),
    ],
)
def test_a_banned_term_must_not_be_required(required: str, banned: str, expected: List[Tuple[str, str]]) -> None:
    for same in (True, False):  # within a criterion, and between two
        change = {**CHANGE, "must_include": [required], "ban_terms": [banned] if same else []}
        preserve = {**PRESERVE, "ban_terms": [] if same else [banned]}
        place = f"acceptance_criteria[{0 if same else 1}].ban_terms[0]"
        assert found([change, preserve]) == [(*finding, place) for finding in expected]


def test_the_clash_names_both_criteria_and_the_other_line() -> None:
    text = """\
project: {max_iterations: 5}
acceptance_criteria:
  - field: coat_worn
    question: Is a coat worn?
    intent: change
    must_include:
      - hat
      - coat
  - field: same_person
    question: Is it the same person?
    intent: preserve
    ban_terms: [crowd, coat]
"""
    [finding] = check(text)
    assert finding.line == 12
    assert finding.reason == '"coat" is banned by same_person, yet required by coat_worn (line 8)'


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"avoid_terms": ["Coat"]}, [("error", "term-required-and-avoided", "avoid_terms[0]")]),
        ({"must_include": ["long coat"], "avoid_terms": ["long"]}, [("warning", "term-in-required-avoided", "avoid_terms[0]")]),
        ({"avoid_terms": ["fog"], "ban_terms": ["fog"]}, [("warning", "term-avoided-and-banned", "avoid_terms[0]")]),
        ({"ban_terms": ["fog", "rain", "Fog"]}, [("hint", "term-twice", "ban_terms[2]")]),
        ({"ban_terms": ["fog", " - "]}, [("warning", "term-empty", "ban_terms[1]")]),
        ({"ban_terms": ["no hat"]}, [("hint", "term-negated", "ban_terms[0]")]),
        ({"must_include": ["without a hat"]}, [("hint", "term-negated", "must_include[0]")]),
        ({"must_include": ["non-slip shoes", "notebook"]}, []),
    ],
)  # fmt: skip
def test_terms_that_work_against_each_other(lists: Dict[str, Any], expected: List[Tuple[str, str, str]]) -> None:
    got = found([{**CHANGE, **lists}, PRESERVE])
    assert got == [(severity, code, f"acceptance_criteria[0].{key}") for severity, code, key in expected]


def test_two_criteria_may_require_and_ban_the_same_terms() -> None:
    both = {"must_include": ["coat"], "ban_terms": ["fog"], "avoid_terms": ["cute"]}
    assert found([{**CHANGE, **both}, {**PRESERVE, **both}]) == []


# --- which answers pass --------------------------------------------------------------------------------------------------

EVERY, NONE = ("warning", "every-answer-passes"), ("error", "no-answer-passes")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, []),
        ({"min": 0, "max": 1}, []),
        ({"min": 1}, []),
        ({"min": 1, "max": 1}, []),
        ({"max": 0}, []),
        ({"min": 0, "max": 0}, []),
        ({"min": 5}, [("warning", "boolean-range")]),
        ({"min": 0, "max": 10}, [("warning", "boolean-range")]),
        ({"max": 0.5}, [("warning", "boolean-range")]),
        ({"max": -1}, [("warning", "boolean-range")]),
        ({"enum": [True]}, [("warning", "enum-no-effect")]),
        ({"enum": [False]}, [("error", "enum-no-effect")]),
        ({"enum": [False], "max": 0}, [("warning", "enum-no-effect")]),
    ],
)
def test_a_boolean_criterion(keys: Dict[str, Any], expected: List[Tuple[str, str]]) -> None:
    assert of_criterion(type="boolean", question="Is the coat long in the result?", **keys) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"min": 1, "max": 1}, []),
        ({"min": 2}, []),
        ({"max": 3}, []),
        ({"enum": [1, 2]}, []),
        ({}, [EVERY]),
        ({"min": 0}, [EVERY]),
        ({"min": 1.2, "max": 1.8}, [NONE]),
        ({"min": 1, "max": 3, "enum": [2, 5]}, [("warning", "enum-never-passes")]),
        ({"min": 1, "max": 3, "enum": [5]}, [("error", "enum-never-passes")]),
        ({"min": 0, "max": 9, "question": "How warm is it, from 0 (cold) to 9 (warm)?"}, [EVERY]),
        ({"min": 7, "question": "How warm is it, from 0 (cold) to 9 (warm)?"}, []),
        ({"min": 10, "question": "How warm is it, from 0 (cold) to 9 (warm)?"}, [("warning", "no-answer-passes")]),
    ],
)
def test_an_integer_criterion(keys: Dict[str, Any], expected: List[Tuple[str, str]]) -> None:
    assert of_criterion(type="integer", **keys) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"min": 0.5}, []),
        ({"min": 0.5, "max": 1}, []),
        ({"max": 0.2}, []),
        ({"min": 0.25, "max": 0.75}, []),
        ({}, [EVERY]),
        ({"min": 0, "max": 1}, [EVERY]),
        ({"min": -1}, [EVERY]),
        ({"min": 0, "max": 1, "question": "What share is it, from 0 to 10?"}, []),
        ({"min": 0, "max": 1, "question": "What share is it, from 0.5 to 1.0?"}, [EVERY]),
        ({"min": 20, "question": "What share is it, from 0 to 1?"}, [("warning", "no-answer-passes")]),
    ],
)
def test_a_number_criterion(keys: Dict[str, Any], expected: List[Tuple[str, str]]) -> None:
    assert of_criterion(type="number", **keys) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"enum": ["red", "blue"]}, []),
        ({}, [EVERY]),
        ({"enum": ["red"], "max": 3}, [("warning", "bounds-no-effect")]),
        ({"enum": ["red", " "]}, [("warning", "enum-empty")]),
    ],
)
def test_a_string_criterion(keys: Dict[str, Any], expected: List[Tuple[str, str]]) -> None:
    assert of_criterion(type="string", **keys) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"max": 0}, []),
        ({"min": 1}, []),
        ({}, [EVERY]),
        ({"min": 0}, [EVERY]),
        ({"max": -1}, [NONE]),
        ({"min": 0.2, "max": 0.8}, [NONE]),
        ({"max": 0, "enum": ["dust"]}, [("warning", "enum-no-effect")]),
        ({"max": 0, "items": []}, [("warning", "items-empty")]),
        ({"max": 0, "items": {"type": "strin"}}, [("error", "items-type")]),
        ({"max": 0, "items": {"type": ["string", "null"]}}, []),
    ],
)
def test_an_array_criterion(keys: Dict[str, Any], expected: List[Tuple[str, str]]) -> None:
    assert of_criterion(type="array", **keys) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"type": "integer", "min": 0}, []),
        ({"type": "string"}, []),
        ({"type": "string", "enum": ["a", "b"]}, []),
        ({"type": "array", "items": ["a", "b"]}, []),
        ({"type": "string", "min": 1}, [("hint", "bounds-no-effect")]),
        ({"type": "boolean", "max": 1}, [("hint", "bounds-no-effect")]),
        ({"type": "array", "enum": ["a"]}, [("warning", "enum-no-effect")]),
        ({"type": "integer", "min": 0.2, "max": 0.8}, [("warning", "no-answer-passes")]),
        ({"type": "number", "min": 0.2, "max": 0.8}, []),
    ],
)
def test_a_helper_question(keys: Dict[str, Any], expected: List[Tuple[str, str]]) -> None:
    assert of_question(**keys) == expected


# --- wording -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "two"),
    [
        ("boolean", "Is the coat long and red?", True),
        ("boolean", "Is the coat red or blue?", True),
        ("boolean", "Is the coat long? Is it red?", True),
        ("boolean", "Is the coat the same in the original and the result?", False),
        ("boolean", "Is the result free of blur and noise?", False),
        ("boolean", "Is the coat (with collar and cuffs) red?", False),
        ("boolean", "Is the sandy beach bright?", False),
        ("integer", "How many coats and hats are there?", False),
        ("string", "What is worn and where is it worn?", True),
        ("string", "What is worn? And why?", True),
        ("array", "Which dust, stains and hands are there?", False),
    ],
)
def test_two_questions_in_one_are_guessed(kind: str, text: str, two: bool) -> None:
    question = Question.model_validate({"field": "f", "question": text, "type": kind})
    assert asks_two_things(question) is two


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("Is there no lettering in the result?", True),
        ("Is the person not wearing a hat?", True),
        ("Isn't the coat red?", True),
        ("Does the coat hang without a crease?", True),
        ("Is the result free of lettering?", False),
        ("Is the result free of lettering that is not in the original?", False),
        ("Is the notebook open?", False),
        ("Does the cat rest on a surface rather than float?", False),
    ],
)
def test_negations_are_guessed(text: str, negated: bool) -> None:
    assert is_negated(text) is negated


def test_wording_is_never_more_than_a_hint() -> None:
    odd = {"field": "x_y", "question": "Is there no fog and no rain in the result?", "intent": "preserve"}
    unused = {"field": "music", "question": "Which band plays?"}
    again = {"field": "again", "question": "is a coat worn in the result"}
    assert found([CHANGE, odd], [unused, again]) == [
        ("hint", "asks-two-things", "acceptance_criteria[1].question"),
        ("hint", "asks-in-the-negative", "acceptance_criteria[1].question"),
        ("hint", "question-unused", "questions[0]"),
        ("hint", "asked-twice", "questions[1].question"),
    ]


@pytest.mark.parametrize(
    ("field", "question"),
    [
        ("description", "What does the result look like?"),
        ("head_count", "How many people are there?"),
        ("coat_hue", "Which hue?"),
    ],
)
def test_a_question_may_help_in_more_ways_than_by_the_same_word(field: str, question: str) -> None:
    assert found([CHANGE, PRESERVE], [{"field": field, "question": question}]) == []


# --- what the loader finds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("project: [", [("yaml", 1, "")]),
        ("project:\n\tname: x\n", [("yaml", 2, "")]),
        ("- a\n", [("schema", 1, "")]),
        ("project: {}\n", [("missing", 1, "project.max_iterations"), ("missing", 1, "acceptance_criteria")]),
        ("project:\n  name: a\n  name: b\n", [("key-twice", 3, "project.name")]),
    ],
)  # fmt: skip
def test_what_the_loader_refuses_comes_through_the_same_door(text: str, expected: List[Tuple[str, int, str]]) -> None:
    findings = check(text)
    assert [(f.code, f.line, f.key) for f in findings] == expected
    assert {f.severity for f in findings} == {"error"}
    assert all(f.advice and not f.reason.startswith("rules.yaml") for f in findings)


def test_what_the_loader_refuses_in_a_criterion_has_its_key_and_line() -> None:
    text = """\
project: {max_iterations: 5}
acceptance_criteria:
  - {field: a, question: "Is it?", min: 5, max: 0}
  - {field: A_, question: "Is it not?", type: bool}
"""
    told = [(f.code, f.line, f.key, f.reason) for f in check(text)]
    assert told[0] == ("no-answer-passes", 3, "acceptance_criteria[0]", "min (5) must not be above max (0)")
    assert told[1][:3] == ("schema", 4, "acceptance_criteria[1].type")
    assert told[2][:3] == ("field-taken", 4, "acceptance_criteria[1].field")


def test_a_mistyped_key_stays_a_warning_beside_an_error() -> None:
    text = 'project: {max_iteration: 5}\nacceptance_criteria: [{field: a, question: "Is it?"}]\n'
    assert ("error", "missing", "project.max_iterations") in [(f.severity, f.code, f.key) for f in check(text)]
    assert all(f.severity == "warning" for f in check(text) if f.code == "unknown-key")


def test_what_the_loader_warns_of_is_a_warning() -> None:
    criteria = [{**CHANGE, "ban_term": ["x"]}, PRESERVE]
    data = {"project": {"max_iterations": 5}, "acceptance_criteria": criteria, "extra things": 1}
    assert [(f.severity, f.code, f.key) for f in check(json.dumps(data))] == [
        ("warning", "unknown-key", "acceptance_criteria[0].ban_term"),
        ("warning", "unknown-key", "extra things"),
    ]


def test_a_file_that_is_not_there_is_a_finding(tmp_path: Path) -> None:
    [finding] = look_over(tmp_path / "rules.yaml")
    assert (finding.severity, finding.code, finding.line) == ("error", "no-file", 1)
    assert finding.reason == "does not exist"
