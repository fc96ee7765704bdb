"""Editing a rules file in place: the intended lines change, every other byte stays."""

from __future__ import annotations

import difflib
from typing import Any, Dict, List, Tuple

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from imagination.errors import ConfigError
from imagination.yaml_edit import Append, CannotEdit, Edit, Exclude, Include, Put, changed, read_data, rewrite

ORDER = (
    "field",
    "question",
    "type",
    "min",
    "max",
    "intent",
    "edit_strength",
    "must_include",
    "ban_terms",
    "avoid_terms",
)

ODD = """\
%YAML 1.1
# top remark, with a "quote" and {braces}
---
project: {name: odd, max_iterations: 3}   # in brackets

terms: &shared [one, two]

acceptance_criteria:
    # deep indentation
    -   field:   first   # three blanks
        question: 'Is the result''s coat red?' # single
        type: boolean
        min: 0
        max: 1
        intent: "change"
        must_include:   [ red coat,scarf , "a, b" ]   # odd blanks
        ban_terms:
        - blue coat   # block, not indented
        - 'grey coat'
          # a remark on the grey one
        avoid_terms: *shared
      # a remark on the whole first criterion

    -   field: second
        question: >-
            Is the face in the result
            the same as in the original?
        "edit_strength": low
        must_include: [
            face,   # why
            eyes    # why not
        ]
        ban_terms:
            - mask
        avoid_terms:
    -   {field: third, question: Is it sharp, type: boolean, must_include: []}
    -   <<: {intent: preserve, ban_terms: [noise]}
        field: fourth
        question: &q "Plain \\u00fc?"
        must_include: ~

questions:
- field: worn
  question: |   # kept line by line
    What is worn?
  type: string
# the end
"""


def differences(before: str, after: str) -> List[str]:
    """Lines taken out and put in, as `-old` and `+new`."""
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line[0] + line[2:].rstrip("\r\n") for line in lines if line[0] in "+-"]


def at(number: int, key: str) -> Tuple[Any, ...]:
    return ("acceptance_criteria", number, key)


CASES: List[Tuple[str, Edit, List[str]]] = [
    (
        "single quotes stay, also around an apostrophe",
        Put(at(0, "question"), "Is the result's coat dark red?"),
        [
            "-        question: 'Is the result''s coat red?' # single",
            "+        question: 'Is the result''s coat dark red?' # single",
        ],
    ),
    (
        "double quotes stay",
        Put(at(0, "intent"), "preserve"),
        ['-        intent: "change"', '+        intent: "preserve"'],
    ),
    (
        "a new key stands where it usually does",
        Put(at(0, "edit_strength"), "high"),
        ["+        edit_strength: high"],
    ),
    (
        "odd blanks in brackets stay",
        Include(at(0, "must_include"), "mitten"),
        [
            '-        must_include:   [ red coat,scarf , "a, b" ]   # odd blanks',
            '+        must_include:   [ red coat,scarf , "a, b", "mitten" ]   # odd blanks',
        ],
    ),
    (
        "from the middle of brackets",
        Exclude(at(0, "must_include"), "scarf"),
        [
            '-        must_include:   [ red coat,scarf , "a, b" ]   # odd blanks',
            '+        must_include:   [ red coat,"a, b" ]   # odd blanks',
        ],
    ),
    (
        "from the end of brackets",
        Exclude(at(0, "must_include"), "a, b"),
        [
            '-        must_include:   [ red coat,scarf , "a, b" ]   # odd blanks',
            "+        must_include:   [ red coat,scarf ]   # odd blanks",
        ],
    ),
    (
        "a block item goes behind the last one and its remark, in its quotes",
        Include(at(0, "ban_terms"), "green coat"),
        ["+        - 'green coat'"],
    ),
    (
        "a block item goes with its line",
        Exclude(at(0, "ban_terms"), "blue coat"),
        ["-        - blue coat   # block, not indented"],
    ),
    (
        "a folded text stays folded",
        Put(at(1, "question"), "Is the person in the result recognisably the same person as in the original picture?"),
        [
            "-            Is the face in the result",
            "-            the same as in the original?",
            "+            Is the person in the result recognisably the",
            "+            same person as in the original picture?",
        ],
    ),
    (
        "a quoted key stays quoted",
        Put(at(1, "edit_strength"), "medium"),
        ['-        "edit_strength": low', '+        "edit_strength": medium'],
    ),
    (
        "behind the last line of brackets over several lines",
        Include(at(1, "must_include"), "chin"),
        ["-            eyes    # why not", "+            eyes, chin    # why not"],
    ),
    (
        "a line of brackets over several lines",
        Exclude(at(1, "must_include"), "face"),
        ["-            face,   # why"],
    ),
    (
        "the last line of brackets over several lines",
        Exclude(at(1, "must_include"), "eyes"),
        ["-            eyes    # why not"],
    ),
    (
        "the last item of a block leaves an empty list",
        Exclude(at(1, "ban_terms"), "mask"),
        ["-        ban_terms:", "-            - mask", "+        ban_terms: []"],
    ),
    (
        "a list where the value was left out",
        Include(at(1, "avoid_terms"), "no: good"),
        ["-        avoid_terms:", '+        avoid_terms: ["no: good"]'],
    ),
    (
        "into empty brackets inside braces",
        Include(at(2, "must_include"), "edge"),
        [
            "-    -   {field: third, question: Is it sharp, type: boolean, must_include: []}",
            "+    -   {field: third, question: Is it sharp, type: boolean, must_include: [edge]}",
        ],
    ),
    (
        "a text in braces is quoted where it has to be",
        Put(at(2, "question"), "Is it sharp, and not {soft}?"),
        [
            "-    -   {field: third, question: Is it sharp, type: boolean, must_include: []}",
            '+    -   {field: third, question: "Is it sharp, and not {soft}?", type: boolean, must_include: []}',
        ],
    ),
    (
        "a new key in braces",
        Put(at(2, "intent"), "preserve"),
        [
            "-    -   {field: third, question: Is it sharp, type: boolean, must_include: []}",
            "+    -   {field: third, question: Is it sharp, type: boolean, intent: preserve, must_include: []}",
        ],
    ),
    (
        "an anchor that nothing uses stays",
        Put(at(3, "question"), "Plain ü and 🎩?"),
        ['-        question: &q "Plain \\u00fc?"', '+        question: &q "Plain ü and 🎩?"'],
    ),
    (
        "a null that is written down",
        Include(at(3, "must_include"), "yes"),
        ["-        must_include: ~", '+        must_include: ["yes"]'],
    ),
    (
        "a text that is kept line by line, with the remark on its header",
        Put(("questions", 0, "question"), "What does the person wear?"),
        ["-    What is worn?", "+    What does the person wear?"],
    ),
    (
        "a new question, before the remark that ends the file",
        Append(
            ("questions",), {"field": "hat", "question": "Is it 3: a hat?", "type": "string", "enum": ["no", "hat"]}
        ),
        [
            "+",
            "+- field: hat",
            '+  question: "Is it 3: a hat?"',
            "+  type: string",
            '+  enum: ["no", hat]',
        ],
    ),
    (
        "a new criterion, in the indentation and the quotes of the last",
        Append(
            ("acceptance_criteria",), {"field": "fifth", "question": "Is it?", "min": 0, "max": 0.5, "ban_terms": []}
        ),
        [
            "+    -   field: fifth",
            '+        question: "Is it?"',
            "+        min: 0",
            "+        max: 0.5",
            "+        ban_terms: []",
        ],
    ),
]


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old-mac"])
@pytest.mark.parametrize(("name", "edit", "expected"), CASES, ids=[case[0] for case in CASES])
def test_only_the_intended_lines_change(name: str, edit: Edit, expected: List[str], line_break: str) -> None:
    before = ODD.replace("\n", line_break)
    after = rewrite(before, edit, ORDER)
    assert sorted(differences(before, after)) == sorted(expected)
    assert after.replace(line_break, "").count("\r") == after.replace(line_break, "").count("\n") == 0
    assert read_data(after) == changed(read_data(before), edit)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (Include(at(0, "avoid_terms"), "x"), "alias *shared (line 21)"),
        (Include(("terms",), "x"), "shared through the anchor &shared (line 6)"),
        (Put(at(3, "intent"), "change"), "comes from a merge"),
        (Include(at(3, "ban_terms"), "x"), "comes from a merge"),
        (Put(at(0, "must_include"), "x"), "is not a text"),
        (Include(at(0, "question"), "x"), "is not a list"),
        (Exclude(at(0, "must_include"), "x"), 'has no "x"'),
        (Put(at(9, "intent"), "change"), "no place in the file"),
    ],
)
def test_what_would_touch_another_place_is_refused(edit: Edit, told: str) -> None:
    with pytest.raises(CannotEdit) as caught:
        rewrite(ODD, edit, ORDER)
    assert told in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "edit", "expected"),
    [
        ("a: 1", Append(("q",), {"field": "x"}), "a: 1\n\nq:\n  - field: x"),
        ("a: 1\nq: []", Append(("q",), {"field": "x"}), "a: 1\nq:\n  - field: x"),
        ("q: [] # none\nb: 2\n", Append(("q",), {"field": "x"}), "q: # none\n  - field: x\nb: 2\n"),
        ("q:\nb: 2\n", Append(("q",), {"field": "x"}), "q:\n  - field: x\nb: 2\n"),
        ("q: null", Append(("q",), {"field": "x"}), "q:\n  - field: x"),
        ("q: [{field: y}]\n", Append(("q",), {"field": "x"}), "q: [{field: y}, { field: x }]\n"),
        ("q:\n- field: y\n- field: z", Append(("q",), {"field": "x"}), "q:\n- field: y\n- field: z\n- field: x"),
        ("q:\n- field: y\n\n- field: z", Append(("q",), {"field": "x"}), "q:\n- field: y\n\n- field: z\n\n- field: x"),
        ("q: [a,]", Include(("q",), "b"), "q: [a, b,]"),
        ("q: [a,]", Exclude(("q",), "a"), "q: []"),
        ("q: [ a ]", Exclude(("q",), "a"), "q: [  ]"),
        ("q:\n  - a", Include(("q",), "b"), "q:\n  - a\n  - b"),
        ("q:\n  - a", Exclude(("q",), "a"), "q: []\n"),
        ("q: !!str 5 # five", Put(("q",), "no"), 'q: !!str "no" # five'),
        ("q: x", Put(("q",), "no"), 'q: "no"'),
        ("q: x", Put(("q",), "- #{"), 'q: "- #{"'),
        ("q: >2\n   a\n", Put(("q",), "b"), "q: >\n   b\n"),
        ("q:\n  several\n  lines # end\nr: 1", Put(("q",), "one"), "q:\n  one # end\nr: 1"),
        ("{q: x}", Put(("r",), "y"), "{q: x, r: y}"),
    ],
)
def test_corners_of_the_format(text: str, edit: Edit, expected: str) -> None:
    assert rewrite(text, edit) == expected


def test_a_value_of_several_lines_is_never_written_bare() -> None:
    after = rewrite("q: x\n", Put(("q",), "a\nb\x07 \u2028 c"))
    assert after.count("\n") == 1
    assert yaml.safe_load(after) == {"q": "a\nb\x07 \u2028 c"}


# --- any file, any edit -----------------------------------------------------------------------------------------------

WORDS = st.text(st.sampled_from("ab cé:#-,[]{}'\"&*!|>%@`?~0123.\\🎩"), min_size=1, max_size=14).map(str.strip)
TEXTS = st.one_of(WORDS, st.sampled_from(["yes", "null", "1.5", "- x", "a: b", "x #y", "", "true", "=", "<<"])).filter(
    bool
)
STYLES = ["plain", "single", "double", "folded", "literal"]


@st.composite
def rules_files(draw: Any) -> Tuple[str, List[int], Any]:
    """A rules file in random dress: its text, to which criterion each line belongs (-1: none), its data."""
    lines: List[Tuple[int, str]] = [(-1, "# a remark"), (-1, "acceptance_criteria: # all")]
    data: List[Dict[str, Any]] = []
    for number in range(draw(st.integers(1, 3))):
        dash = draw(st.sampled_from(["- ", "-   "]))
        criterion: Dict[str, Any] = {"field": f"f{number}"}
        own = [f"field: f{number}"]
        for key in draw(st.permutations(["question", "must_include", "ban_terms"])):
            if key == "question":
                criterion[key] = draw(TEXTS)
                own += _question(criterion[key], draw(st.sampled_from(STYLES)))
            elif draw(st.booleans()):
                criterion[key] = draw(st.lists(TEXTS, max_size=3, unique=True))
                own += _terms(key, criterion[key], draw(st.sampled_from(["flow", "block", "flat"])))
            if draw(st.integers(0, 3)) == 0:
                own.append("# a remark of its own")
        data.append(criterion)
        lines += [(number, (dash if n == 0 else " " * len(dash)) + line) for n, line in enumerate(own)]
        lines += [(-1, "")] * draw(st.integers(0, 1))
    text = draw(st.sampled_from(["\n", "\r\n"])).join(line for _, line in lines)
    return (
        text + draw(st.sampled_from(["", "\n# the end\n"])),
        [owner for owner, _ in lines],
        {"acceptance_criteria": data},
    )


def _quoted(text: str) -> str:
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=9999).strip()


def _question(text: str, style: str) -> List[str]:
    if style == "single":
        return ["question: '" + text.replace("'", "''") + "' # why"]
    if style in ("folded", "literal"):
        return [f"question: {'>-' if style == 'folded' else '|-'} # why", "  " + text]
    plain = yaml.safe_dump({"question": text}, allow_unicode=True, width=9999).strip()
    return [plain if style == "plain" else f"question: {_quoted(text)}   # why"]


def _terms(key: str, terms: List[str], style: str) -> List[str]:
    if style == "flow" or not terms:
        return [f"{key}: [{', '.join(map(_quoted, terms))}] # why"]
    return [f"{key}: # why", *(("  " if style == "block" else "") + f"- {_quoted(term)} # x" for term in terms)]


@st.composite
def edits(draw: Any, data: Any) -> Tuple[int, Edit]:
    criteria = data["acceptance_criteria"]
    number = draw(st.integers(0, len(criteria) - 1))
    keys = ("acceptance_criteria", number)
    kind = draw(st.sampled_from(["reword", "intent", "include", "exclude", "append"]))
    key = draw(st.sampled_from(["must_include", "ban_terms"]))
    if kind == "exclude" and criteria[number].get(key):
        return number, Exclude((*keys, key), draw(st.sampled_from(criteria[number][key])))
    if kind == "append":
        item = {"field": "new", "question": draw(TEXTS), "min": 0, "must_include": draw(st.lists(TEXTS, max_size=2))}
        return -2, Append(("acceptance_criteria",), item)
    if kind == "intent":
        return number, Put((*keys, "intent"), "change")
    if kind == "reword":
        return number, Put((*keys, "question"), draw(TEXTS))
    return number, Include((*keys, key), draw(TEXTS))


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.data())
def test_any_edit_reads_back_and_leaves_the_other_lines(draw: Any) -> None:
    text, owners, data = draw.draw(rules_files())
    assert read_data(text) == data
    number, edit = draw.draw(edits(data))
    after = rewrite(text, edit, ORDER)
    assert read_data(after) == changed(data, edit)
    others = [line for owner, line in zip(owners, text.splitlines()) if owner != number]
    rest = iter(after.splitlines())
    assert all(any(line == other for line in rest) for other in others), "another criterion's line is gone"
    assert after.count("# a remark") == text.count("# a remark")
    assert len(differences(text, after)) <= 8
    assert after.endswith("# the end\n") == text.endswith("# the end\n")
    assert ("\r\n" in after) == ("\r\n" in text)
    assert "\n" not in after.replace("\r\n", "") or "\r\n" not in text or text.endswith("# the end\n")


def test_a_damaged_file_is_refused_as_the_loader_refuses_it() -> None:
    with pytest.raises(ConfigError, match="not valid YAML"):
        rewrite("a: [", Put(("a",), "x"))


def test_a_remark_in_an_empty_list_stays() -> None:
    text = "project: {max_iterations: 1}\nquestions: [\n  # ask Anna first\n]\n"
    made = rewrite(text, Append(("questions",), {"field": "a", "question": "b?"}))
    assert "# ask Anna first" in made and read_data(made)["questions"] == [{"field": "a", "question": "b?"}]
