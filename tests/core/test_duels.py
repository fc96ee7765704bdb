"""Who is compared at the end of a run without a pass, and who wins."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest

from imagination.duels import contenders, pairs, told, winner, wins
from imagination.model import (
    Attempt,
    CallRecord,
    Comparison,
    Criterion,
    Duel,
    Evaluation,
    FinalComparison,
    Prompts,
    Sampling,
)
from imagination.prompts import list_wanted

CALL = CallRecord(provider="ollama", model="eyes")


def attempt(iteration: int, score: float, source: Any = "aivis", rules: str = "now") -> Attempt:
    evaluation = Evaluation(
        iteration=iteration,
        source=source,
        overall_score=score,
        criteria_results={},
        values={},
        reasons={},
        passed_fields=[],
        failed_fields=[],
        unanswered=[],
        aivis_metadata=CALL,
        rules_sha256=rules,
    )
    comparison = Comparison(
        iteration=iteration,
        source="aivis",
        similarity_score=0.5,
        differences=[],
        analysis="",
        measured=0.5,
        aivis_metadata=CALL,
    )
    return Attempt(iteration, Sampling(), Prompts(), evaluation, comparison)


def of_now(evaluation: Evaluation) -> bool:
    return evaluation.rules_sha256 == "now"


# score by iteration, what each picture shows (None: there is none), who meets
MEETING: Dict[str, Any] = {
    "the three with the best scores": ({1: 20, 2: 80, 3: 60, 4: 70}, {}, [2, 4, 3]),
    "of equal scores the earlier first": ({1: 50, 2: 50, 3: 50, 4: 50}, {}, [1, 2, 3]),
    "the same picture once": ({1: 50, 2: 60, 3: 40, 4: 30}, {1: "twin", 2: "twin"}, [2, 3, 4]),
    "not one that is gone": ({1: 50, 2: 60}, {2: None}, [1]),
    "one alone": ({1: 50}, {}, [1]),
    "none": ({}, {}, []),
}


@pytest.mark.parametrize(("scores", "shown", "expected"), MEETING.values(), ids=MEETING.keys())
def test_the_best_distinct_pictures_meet(scores: Any, shown: Any, expected: List[int]) -> None:
    history = [attempt(n, score) for n, score in scores.items()]
    assert contenders(history, lambda n: shown.get(n, f"picture {n}"), of_now) == expected


def test_unjudged_pictures_and_those_under_other_rules_stay_out() -> None:
    history = [attempt(1, 90, source="fallback"), attempt(2, 80, rules="before"), attempt(3, 10), attempt(4, 20)]
    assert contenders(history, str, of_now) == [4, 3]


def test_no_more_pictures_are_read_than_it_takes() -> None:
    read: List[int] = []

    def shows(iteration: int) -> Optional[str]:
        read.append(iteration)
        return str(iteration)

    contenders([attempt(n, n) for n in range(1, 50)], shows, of_now)
    assert read == [49, 48, 47]


def test_every_pair_meets_in_both_orders() -> None:
    assert pairs([2, 4, 3]) == [((2, 4), (4, 2)), ((2, 3), (3, 2)), ((4, 3), (3, 4))]


def fought(order: List[int], choose: Any) -> List[Duel]:
    return [Duel(first=a, second=b, better=choose(a, b)) for both in pairs(order) for a, b in both]


# how the judge chooses between two pictures, and who wins of 2, 4, 3 (in the order of their scores)
CHOICES: Dict[str, Any] = {
    "always the first": (lambda a, b: a, 2),
    "always the second": (lambda a, b: b, 2),
    "never": (lambda a, b: None, 2),
    "the last by score is the best": (lambda a, b: 3 if 3 in (a, b) else None, 3),
    "the second by score is the best": (lambda a, b: 4 if 4 in (a, b) else a, 4),
    "a circle": (
        lambda a, b: {(2, 4): 2, (4, 3): 4, (2, 3): 3}.get((a, b)) or {(4, 2): 2, (3, 4): 4, (3, 2): 3}[(a, b)],
        2,
    ),
    "one that did not fight": (lambda a, b: 99, 2),
}


@pytest.mark.parametrize(("choose", "expected"), CHOICES.values(), ids=CHOICES.keys())
def test_most_duels_win_and_scores_decide_between_equals(choose: Any, expected: int) -> None:
    order = [2, 4, 3]
    assert winner(order, fought(order, choose)) == expected


def test_the_outcome_is_told_in_one_line() -> None:
    duels = fought([2, 4], lambda a, b: 4)
    found = FinalComparison(iterations=[2, 4], duels=duels, winner=4, aivis_metadata=CALL)
    assert wins([2, 4], duels) == {2: 0, 4: 2}
    better = "iteration 4 goes before iteration 2, which has the better score"
    assert told(found) == f"{better} (2 duels: iteration 2 won 0, iteration 4 won 2)"
    assert told(found.model_copy(update={"winner": 2})).startswith("iteration 2 stays the best (")


def test_duels_that_the_judge_left_open_are_told_as_that() -> None:
    found = FinalComparison(iterations=[2, 4], duels=fought([2, 4], lambda a, b: None), winner=2, aivis_metadata=CALL)
    assert told(found) == "iteration 2 stays the best by its score: the judge could not tell any two apart"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "yes"),
        ({"min": 0, "max": 1}, "yes"),
        ({"max": 0}, "no"),
        ({"type": "number", "min": 0.9, "max": 1}, "number, at least 0.9 and at most 1"),
        ({"type": "integer", "max": 2}, "integer, at most 2"),
        ({"type": "string", "enum": ["red"]}, 'string, one of "red"'),
    ],
)
def test_a_duel_is_told_what_is_wanted(keys: Any, expected: str) -> None:
    criterion = Criterion(**{"field": "f", "question": "How is\nit?", **keys})
    assert list_wanted([criterion]) == f"- How is it? (wanted: {expected})"
