"""Posteriors from votes, the judge's rates from its quarrels, and when a picture is settled."""

from __future__ import annotations

from typing import Dict, List, Optional

import pytest

from imagination.votes import Outlook, Rates, in_doubt, measured_rates, posterior, ruled_out, worth_another_look

T, F, N = True, False, None


@pytest.mark.parametrize(
    ("votes", "least", "most"),
    [
        ([T], 0.85, 0.95),
        ([T, T], 0.97, 0.99),  # two equal votes settle a criterion
        ([F, F], 0.01, 0.02),
        ([F], 0.05, 0.15),
        ([T, F], 0.4, 0.6),  # a quarrel says nothing
        ([T, F, T, T], 0.97, 0.99),
        ([T] * 50, 0.97, 0.985),  # the judge may be stuck on this picture, however often it is asked
        ([N, T, N], 0.85, 0.95),  # what says nothing counts for neither side
    ],
)
def test_votes_move_the_chance(votes: List[Optional[bool]], least: float, most: float) -> None:
    assert least <= posterior(votes, Rates()) <= most


@pytest.mark.parametrize("votes", [[], [N], [N, N]])
def test_unanswered_is_never_met(votes: List[Optional[bool]]) -> None:
    assert posterior(votes, Rates(), prior=0.9) == 0.0


def test_a_yes_of_a_yes_sayer_counts_for_less() -> None:
    kind = Rates(false_pass=0.4)
    assert posterior([T, T], kind) < 0.9 < posterior([T, T], Rates())
    assert posterior([F], kind) < 0.2


def test_what_is_expected_shifts_the_chance_but_never_decides() -> None:
    hopeful, hopeless = Outlook(expected={"a": 1.0}), Outlook(expected={"a": 0.0})
    assert hopeless.posteriors({"a": [T]})["a"] < Outlook().posteriors({"a": [T]})["a"]
    assert hopeful.posteriors({"a": [F, F]})["a"] < 0.1
    assert hopeless.posteriors({"a": [T, T, T]})["a"] > 0.95


def test_rates_are_measured_from_known_truths() -> None:
    yes_sayer = measured_rates([(False, T)] * 10, [], Rates())
    assert yes_sayer.false_pass == 0.45 and yes_sayer.false_fail == Rates().false_fail
    strict = measured_rates([(True, F)] * 5 + [(True, T)] * 5, [], Rates())
    assert strict.false_fail == pytest.approx(0.3)


def test_rates_are_measured_from_quarrels() -> None:
    steady = measured_rates([], [[T, T, T]] * 20, Rates())
    fickle = measured_rates([], [[T, T, F]] * 20, Rates())
    assert steady.false_fail < 0.06 < 0.2 < fickle.false_fail
    assert measured_rates([], [[T], [F], [N, T]], Rates()) == Rates()  # one vote quarrels with nobody


def test_quarrels_of_a_decent_judge_make_no_yes_sayer_of_it() -> None:
    assert measured_rates([], [[T, F, T, T]] * 8 + [[T, T]] * 10, Rates()).false_pass < 0.2


@pytest.mark.parametrize(
    ("posteriors", "expected"),
    [
        ({"a": 0.98, "b": 0.99}, False),
        ({"a": 0.98, "b": 0.019}, True),
        ({"a": 0.04, "b": 0.04}, True),  # two that are hardly met
        ({"a": 0.04, "b": 0.99}, False),
    ],
)
def test_a_picture_is_ruled_out(posteriors: Dict[str, float], expected: bool) -> None:
    assert ruled_out(posteriors) is expected


def test_only_what_is_in_doubt_is_asked_again() -> None:
    votes = {"a": [T, T], "b": [T, F], "c": [F], "d": [T], "e": [N, T]}
    posteriors = {"a": 0.98, "b": 0.5, "c": 0.03, "d": 0.99, "e": 0.99}
    assert in_doubt(posteriors, votes) == ["b", "c", "d", "e"]  # d, e: one answer settles no pass


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ([T], True),
        ([F], True),  # the only criterion: one verdict in ten is wrong
        ([F, F], False),
        ([T, F], True),
        ([T, F, F], True),
        ([F, F, F], False),
        ([T, T, F, N], True),
        ([T, F, F, F, T], False),
    ],
)
def test_a_picture_is_worth_another_look(first: List[Optional[bool]], expected: bool) -> None:
    assert worth_another_look(dict(zip("abcdef", first))) is expected


def test_three_passes_settle_even_what_was_hardly_hoped_for() -> None:
    """Else an early, lucky picture could never be accepted, however often the judge says that it is right."""
    hopeless = Outlook(expected={"a": 0.0})
    two, three = {"a": [T, T]}, {"a": [T, T, T]}
    assert in_doubt(hopeless.posteriors(two), two) == ["a"]
    assert in_doubt(hopeless.posteriors(three), three) == []


def test_a_thousand_votes_that_quarrel_say_nothing_and_are_no_impossibility() -> None:
    votes = [T, F] * 1000
    assert posterior(votes, measured_rates([], [votes], Rates())) == pytest.approx(0.5)
