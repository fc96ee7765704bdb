"""Which verdicts still count after rules.yaml was changed in mid-run."""

from __future__ import annotations

from typing import Any, Dict

import pytest

from imagination.holding import Yardstick
from imagination.judge import evaluation_record
from imagination.model import CallRecord, Evaluation, Question, Rules, Usage

CALL = CallRecord(provider="ollama", model="eyes")
RED: Dict[str, Any] = {"field": "is_red", "question": "Is it red?", "intent": "change"}
SHAPE: Dict[str, Any] = {"field": "same_shape", "question": "Is the shape the same?", "intent": "preserve"}
TALL: Dict[str, Any] = {"field": "towers", "question": "How many towers?", "type": "integer", "min": 2, "max": 4}


def rules(*criteria: Dict[str, Any], **more: Any) -> Rules:
    return Rules.model_validate({"project": {"max_iterations": 5}, "acceptance_criteria": [*criteria], **more})


BEFORE = rules(RED, SHAPE, TALL)


def evaluation(judged: bool = True) -> Evaluation:
    """By the rules as they were: red, another shape, three towers; a second look at the first."""
    values: Dict[str, Any] = {"is_red": True, "same_shape": False, "towers": 3} if judged else {}
    reasons = dict.fromkeys(values, "seen")
    sha = Yardstick.of(BEFORE).rules_sha256
    found = evaluation_record(1, BEFORE.acceptance_criteria, values, reasons, CALL, Usage(requests=1), sha, judged)
    looked = {"votes": {**found.votes, "is_red": [True, True]}, "posteriors": {"is_red": 0.98}} if judged else {}
    return found.model_copy(update=looked)


def test_the_same_rules_leave_everything_as_it_is() -> None:
    found, now = evaluation(), Yardstick.of(rules(RED, SHAPE, TALL))
    assert now.holds(found) and now.seen(found) is found


@pytest.mark.parametrize(
    "changed",
    [
        {"question": "Is it bright red?"},
        {"type": "string"},
        {"type": "string", "enum": ["red"]},
        {"max": 0},
        {"type": "array", "items": ["red", "blue"]},
        {"field": "is_bright_red"},
    ],
    ids=str,
)
def test_a_criterion_that_is_asked_otherwise_takes_its_own_verdicts_only(changed: Dict[str, Any]) -> None:
    now = Yardstick.of(rules({**RED, **changed}, SHAPE, TALL))
    seen = now.seen(evaluation())
    assert seen.criteria_results == {"same_shape": False, "towers": True}
    assert (seen.passed_fields, seen.failed_fields, seen.source) == (["towers"], ["same_shape"], "aivis")
    assert (seen.votes, seen.posteriors) == ({"same_shape": [False], "towers": [True]}, {})
    assert (seen.values, {*seen.reasons}) == ({"same_shape": False, "towers": 3}, {"same_shape", "towers"})
    assert seen.overall_score == 33.3  # of the three in force one is known to be met
    assert not now.holds(evaluation()) and not now.holds(seen)


@pytest.mark.parametrize(
    "now",
    [
        rules({**RED, "must_include": ["red paint"], "edit_strength": "high", "ban_terms": ["blue"]}, SHAPE, TALL),
        rules({**RED, "intent": None, "avoid_terms": ["pink"]}, SHAPE, TALL),
        rules(TALL, RED, SHAPE),
        rules(RED, SHAPE, TALL, questions=[Question(field="colour", question="Which colour?")]),
    ],
    ids=["tags", "intent", "order", "a helper question"],
)
def test_what_does_not_change_what_a_verdict_means_takes_none(now: Rules) -> None:
    found, yardstick = evaluation(), Yardstick.of(now)
    seen = yardstick.seen(found)
    assert yardstick.holds(found) and found.rules_sha256 != yardstick.rules_sha256
    assert (seen.criteria_results, seen.votes) == (found.criteria_results, found.votes)
    assert (seen.overall_score, seen.source) == (found.overall_score, "aivis")


def test_a_new_criterion_is_not_known_and_one_that_is_gone_does_not_count() -> None:
    more, less = Yardstick.of(rules(RED, SHAPE, TALL, {**RED, "field": "sky"})), Yardstick.of(rules(RED, TALL))
    assert not more.holds(evaluation()) and more.seen(evaluation()).overall_score == 50.0
    assert less.holds(evaluation()) and less.seen(evaluation()).overall_score == 100.0


def test_a_picture_of_which_no_verdict_holds_is_as_if_nobody_had_looked() -> None:
    seen = Yardstick.of(rules({**RED, "question": "Is it blue?"})).seen(evaluation())
    assert (seen.source, seen.criteria_results, seen.failed_fields, seen.votes) == ("fallback", {}, [], {})


def test_a_picture_that_nobody_looked_at_stays_one() -> None:
    seen = Yardstick.of(rules(RED, SHAPE)).seen(evaluation(judged=False))
    assert (seen.source, seen.unanswered) == ("fallback", ["is_red", "same_shape"])


def test_an_evaluation_of_an_older_version_holds_under_the_same_rules_as_a_whole_only() -> None:
    old = evaluation().model_copy(update={"criteria_sha256": {}})
    assert Yardstick.of(BEFORE).seen(old) is old
    now = Yardstick.of(rules({**RED, "must_include": ["red paint"]}, SHAPE, TALL))
    assert not now.holds(old) and now.seen(old).source == "fallback"


def test_where_the_rules_cannot_be_read_only_the_same_whole_holds() -> None:
    found = evaluation()
    assert Yardstick(found.rules_sha256, {}).holds(found)
    assert not Yardstick("another", {}).holds(found) and Yardstick("another", {}).seen(found).overall_score == 0.0
