"""Templates: what may be filled in, what is checked before a run, and how the project's texts lie over the defaults."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Sequence, Set

import pytest
from pictures import judged

from imagination.config import load_texts
from imagination.errors import ConfigError
from imagination.model import Attempt, Criterion, Prompts, Question
from imagination.prompts import (
    ATTEMPT_TEXT,
    OUTCOMES_TEXT,
    TEMPLATES,
    Templates,
    describe_attempt,
    list_criteria,
    list_outcomes,
    list_questions,
    list_values,
    shape_of,
)

DEFAULTS = Path(__file__).resolve().parents[2] / "defaults" / "prompts.yaml"


def merged(*texts: str, folder: Path) -> Any:
    """The defaults with `texts` laid over them, as files."""
    paths = [DEFAULTS]
    for number, text in enumerate(texts):
        paths.append(folder / f"over{number}.yaml")
        paths[-1].write_text(text, encoding="utf-8")
    return Templates.merge([load_texts(path) for path in paths])


# --- filling in ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("say {positive} now", {"positive": "hello"}, "say hello now"),
        ("say {positive}", {"positive": " \n "}, "say (none)"),
        ("say {positive}", {}, "say (none)"),
        ("say {{positive}}", {"positive": "hello"}, "say {positive}"),
        ('{"a": 1} { positive } {} {1} {a-b}', {"positive": "x"}, '{"a": 1} { positive } {} {1} {a-b}'),
        ("{positive}{negative}", {"positive": "{negative}", "negative": "{positive}"}, "{negative}{positive}"),
        ("{positive}", {"positive": "{0} %s {{x}} \\1 \\g<1>"}, "{0} %s {{x}} \\1 \\g<1>"),
        ("\n a \n", {}, "a"),
    ],
)
def test_only_names_in_braces_are_filled_in_and_only_once(template: str, values: Dict[str, str], expected: str) -> None:
    assert Templates({"t": template}).fill("t", **values) == expected


# --- checking -----------------------------------------------------------------------------------------------------------


def test_the_defaults_are_complete_and_give_no_warning(tmp_path: Path) -> None:
    templates, warnings = merged(folder=tmp_path)
    assert (set(templates.texts), warnings) == (set(TEMPLATES), ())


@pytest.mark.parametrize("key", TEMPLATES)
def test_the_comments_of_the_defaults_name_what_each_template_may_use(key: str) -> None:
    told = re.search(rf"Names: (.*)\n{key}:", DEFAULTS.read_text(encoding="utf-8"))
    assert told
    needed, allowed = TEMPLATES[key]
    names = set() if told[1] == "none." else set(told[1].split())
    assert names == {*(f"{name}*" for name in needed), *allowed}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "comparison: '{shape} {similarity}'",
            "over0.yaml:1 comparison uses {similarity}; the names it may use are: shape, ",
        ),
        ("comparison: look", "over0.yaml:1 comparison must use {shape}; the names it may use are: shape, description"),
        ("comparison: '{{shape}}'", "over0.yaml:1 comparison must use {shape}"),
        ("describe: '{description}'", "over0.yaml:1 describe uses {description}; the names it may use are: none"),
        ("describe: ''", "over0.yaml:1 describe is empty"),
        ("describe: 1", "over0.yaml:1 describe must be a text"),
        ("describe:", "over0.yaml:1 describe must be a text"),
        ("- describe", "over0.yaml:1 must be a mapping of names to texts"),
    ],
)
def test_a_wrong_template_is_told_by_file_line_key_and_valid_names(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        merged(text, folder=tmp_path)
    assert told in str(caught.value)
    assert caught.value.exit_code == 2


def test_all_wrong_templates_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^4 problems in the prompt templates$") as caught:
        merged("describe: '{a} {b}'\ncomparison: '{c}'", folder=tmp_path)
    assert [re.sub(r"^.*/|;.*$", "", problem) for problem in caught.value.problems] == [
        "over0.yaml:1 describe uses {a}",
        "over0.yaml:1 describe uses {b}",
        "over0.yaml:2 comparison uses {c}",
        "over0.yaml:2 comparison must use {shape}",
    ]


def test_an_unknown_template_is_a_warning_that_names_the_nearest(tmp_path: Path) -> None:
    _, warnings = merged("improvment: x\nzzz: y", folder=tmp_path)
    assert warnings[0].endswith("improvment is not a known template and is ignored; did you mean improvement?")
    assert warnings[1].endswith("zzz is not a known template and is ignored; known: " + ", ".join(TEMPLATES))


def test_defaults_that_lack_a_template_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text("describe: look", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"^{len(TEMPLATES) - 1} problems"):
        Templates.merge([load_texts(path)])


def test_later_files_lie_over_earlier_ones_key_by_key(tmp_path: Path) -> None:
    templates, _ = merged("describe: ours\ncomparison: 'ours {shape}'", "describe: mine", folder=tmp_path)
    assert templates.texts["describe"] == "mine"
    assert templates.texts["comparison"] == "ours {shape}"
    assert templates.texts["questions"].startswith("You see two pictures.")


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert merged("", folder=tmp_path)[0].texts == merged(folder=tmp_path)[0].texts


# --- what is filled in --------------------------------------------------------------------------------------------------


def test_questions_are_listed_with_what_is_wanted() -> None:
    questions = [
        Question(field="a", question="What\nis it?"),
        Question(field="b", question="How many?", type="integer", min=0),
        Question(field="c", question="How much?", type="number", min=0, max=1),
        Question(field="d", question="Which?", enum=["x", 'y"']),
        Question(field="e", question="Which all?", type="array", items=["x", "y"], max=3),
        Question(field="f", question="Is it?", type="boolean", min=0, max=1),
    ]
    assert list_questions(questions).split("\n") == [
        "- a: What is it? (string)",
        "- b: How many? (integer, at least 0)",
        "- c: How much? (number, at least 0 and at most 1)",
        '- d: Which? (string, one of "x", "y\\"")',
        '- e: Which all? (array of "x", "y", at most 3 entries)',
        "- f: Is it? (boolean)",
    ]


def test_criteria_are_listed_without_what_lets_them_pass() -> None:
    criteria = [
        Criterion(field="a", question="Is it?", min=0, max=0),
        Criterion(field="b", question="How warm?", type="number", min=0.9, max=1),
        Criterion(field="c", question="How many?", type="integer", max=0),
    ]
    assert list_criteria(criteria).split("\n") == [
        "- a: Is it? (true or false)",
        "- b: How warm? (a number)",
        "- c: How many? (a whole number)",
    ]


def test_an_answer_cannot_look_like_another_line() -> None:
    values = {"a": "x\n- b: true", "b": None, "c": ["é"]}
    asked = [Question(field="a", question="What?")]
    assert list_values(values, asked).split("\n") == ['- What? "x\\n- b: true"', "- b unknown", '- c ["é"]']


def test_outcomes_are_listed_with_reason_and_wanted_terms() -> None:
    criteria = [
        Criterion(field="a", question="Is it?", intent="change", must_include=["red", "paint"]),
        Criterion(field="b", question="And this?"),
    ]
    assert list_outcomes(criteria, ["a"], {"a": "too\nblue", "b": "x"}) == (
        "- a: Is it? [change] Seen: too blue Wanted: red, paint."
    )
    assert list_outcomes(criteria, [], {}) == ""


# --- what is told of many criteria --------------------------------------------------------------------------------------

MANY = [Criterion(field=f"criterion_{n}", question=f"Is the thing number {n} as it should be?") for n in range(30)]


def missed_all(reason: str, criteria: Sequence[Criterion] = MANY, prompt: str = "a car") -> Attempt:
    votes = {c.field: False for c in criteria}
    attempt = judged(1, votes, prompts=Prompts(positive=prompt))
    reasons = dict.fromkeys(votes, reason)
    return replace(attempt, evaluation=attempt.evaluation.model_copy(update={"reasons": reasons}))


def reasons_in(text: str) -> Set[str]:
    """The different reasons told, which are all of one letter here."""
    return set(re.findall("x+…?", text))


@pytest.mark.parametrize(("length", "told"), [(10, 10), (40, 40), (400, 50), (100_000, 50)])
def test_an_earlier_picture_takes_little_room_and_its_reasons_are_cut_first_and_evenly(length: int, told: int) -> None:
    text = describe_attempt(missed_all("x" * length, MANY[:20]))
    assert len(text) <= ATTEMPT_TEXT and '"a car"' in text
    assert all(f"criterion_{n} (" in text for n in range(20))
    assert {len(reason) for reason in reasons_in(text)} == {told}


def test_without_reasons_an_earlier_pictures_prompt_is_cut_before_its_criteria() -> None:
    text = describe_attempt(missed_all("x" * 400, prompt="words, " * 1000))
    assert ATTEMPT_TEXT - 5 <= len(text) <= ATTEMPT_TEXT
    assert '"words, words' in text and '…" (denoise 0.5, cfg 7)' in text
    assert "no reason" not in text and not reasons_in(text)
    assert text.endswith("; ".join(c.field for c in MANY))


def test_an_earlier_picture_takes_no_more_room_however_many_criteria_there_are() -> None:
    crowd = [Criterion(field=f"criterion_{n}", question="?") for n in range(500)]
    assert len(describe_attempt(missed_all("", crowd))) <= ATTEMPT_TEXT


def test_all_that_failed_is_told_of_however_long_the_reasons() -> None:
    text = list_outcomes(MANY, [c.field for c in MANY], {c.field: "x" * 1000 for c in MANY})
    assert len(text) <= OUTCOMES_TEXT and {len(reason) for reason in reasons_in(text)} == {100}
    assert [line.split(" Seen:")[0] for line in text.split("\n")] == [f"- {c.field}: {c.question}" for c in MANY]


def test_the_rules_own_words_stay_where_they_alone_are_too_long() -> None:
    wordy = [c.model_copy(update={"question": f"{c.question} {'really ' * 40}so?"}) for c in MANY]
    text = list_outcomes(wordy, [c.field for c in wordy], {c.field: "x" for c in wordy})
    assert len(text) > OUTCOMES_TEXT and not reasons_in(text)
    assert text.split("\n") == [f"- {c.field}: {c.question}" for c in wordy]


def test_the_shape_of_a_reply_is_said_in_words() -> None:
    schema = {
        "properties": {
            "a": {"type": ["boolean", "null"]},
            "b": {"type": "number", "minimum": 0, "maximum": 1},
            'c"': {"type": ["string", "null"], "enum": ["x", None]},
            "d": {"type": "object", "properties": {"reason": {"type": "string"}, "verdict": {"type": "array"}}},
        }
    }
    lines = shape_of(schema).split("\n")
    assert lines[1:] == [
        '  "a": true or false or null',
        '  "b": number from 0 to 1',
        '  "c\\"": one of "x", null',
        '  "d": an object {"reason": text, "verdict": list}',
        'For example (made-up values): {"a": false, "b": 0.0, "c\\"": "x", "d": {"reason": "...", "verdict": ["..."]}}',
    ]
