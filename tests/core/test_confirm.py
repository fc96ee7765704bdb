"""A pass is confirmed: what is asked again, and what the votes come to."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Tuple

import pytest

from imagination.confirm import confirmed
from imagination.errors import VisionUnreachable
from imagination.judge import evaluation_record
from imagination.model import CallRecord, Criterion, Evaluation, Usage
from imagination.votes import Outlook, Rates

T, F, N = True, False, None
FIELDS = ("a", "b", "c", "d")
CRITERIA = [Criterion(field=name, question="?", type="boolean") for name in FIELDS]


class Looks:
    """Verdicts look by look; `asked` remembers number and fields."""

    def __init__(self, *looks: Any) -> None:
        self.looks, self.asked = list(looks), []  # type: List[Any], List[Tuple[int, Optional[Sequence[str]]]]

    def __call__(self, number: int, fields: Optional[Sequence[str]]) -> Evaluation:
        self.asked.append((number, fields))
        found = self.looks[number]
        if isinstance(found, Exception):
            raise found
        values = {name: found.get(name, T) for name in (fields or FIELDS)}
        criteria = [c for c in CRITERIA if c.field in values]
        reasons = dict.fromkeys(values, f"look {number}")
        usage = Usage(requests=1, prompt_tokens=10)
        return evaluation_record(1, criteria, values, reasons, CallRecord(provider="p", model="m"), usage, "r")


def run(*looks: Dict[str, Any], most: int = 5, outlook: Outlook = Outlook()) -> Tuple[Evaluation, Looks]:  # noqa: B008
    looker = Looks(*looks)
    return confirmed(looker(0, None), looker, most, outlook), looker


def test_a_pass_takes_a_second_look_at_everything() -> None:
    evaluation, looks = run({}, {})
    assert evaluation.all_pass
    assert looks.asked == [(0, None), (1, list(FIELDS))]
    assert evaluation.votes == {name: [T, T] for name in FIELDS}
    assert evaluation.usage == Usage(requests=2, prompt_tokens=20)
    assert all(p > 0.97 for p in evaluation.posteriors.values())


def test_only_what_is_still_in_doubt_is_asked_about() -> None:
    evaluation, looks = run({}, {"b": F}, {}, {})
    assert evaluation.all_pass
    assert [fields for _, fields in looks.asked[2:]] == [["b"], ["b"]]


def test_a_false_pass_is_found_out() -> None:
    evaluation, looks = run({}, {"b": F}, {"b": F}, {"b": F}, {"b": F})
    assert evaluation.failed_fields == ["b"] and evaluation.overall_score == 75.0
    assert len(looks.asked) == 4  # two more than it was for, and the matter is settled
    assert evaluation.reasons["b"] == "look 3" and evaluation.values["b"] is F
    assert evaluation.reasons["a"] == "look 1"


def test_a_false_fail_is_found_out() -> None:
    evaluation, _ = run({"c": F}, {}, {}, {})
    assert evaluation.all_pass and evaluation.votes["c"] == [F, T, T, T]


def test_a_picture_that_fails_at_first_sight_is_left_at_that() -> None:
    evaluation, looks = run({"a": F, "b": F, "c": F})
    assert len(looks.asked) == 1
    assert evaluation.failed_fields == ["a", "b", "c"] and evaluation.passed_fields == ["d"]


def test_what_stays_in_doubt_counts_as_failed() -> None:
    evaluation, looks = run({}, {"b": F}, {}, {"b": F}, most=3)
    assert len(looks.asked) == 4
    assert evaluation.failed_fields == ["b"] and 0.02 < evaluation.posteriors["b"] < 0.97


def test_no_more_looks_than_allowed() -> None:
    doubtful = Outlook(Rates(false_pass=0.45, false_fail=0.45))
    _, looks = run(*[{}] * 9, most=2, outlook=doubtful)
    assert len(looks.asked) == 3


# --- what was left out ----------------------------------------------------------------------------------------------------


def test_what_was_left_out_is_asked_for_once_more_and_then_confirmed_with_the_rest() -> None:
    evaluation, looks = run({"d": N}, {"d": T}, {}, {})
    assert evaluation.all_pass and evaluation.votes["d"] == [N, T, T] and evaluation.votes["a"] == [T, T]
    assert looks.asked == [(0, None), (1, ["d"]), (3, list(FIELDS))]  # an odd number: in the other wording


def test_an_unanswered_criterion_never_passes() -> None:
    evaluation, looks = run({"d": N}, {"d": N})
    assert evaluation.failed_fields == ["d"] and evaluation.unanswered == ["d"]
    assert looks.asked == [(0, None), (1, ["d"])]


def test_nothing_is_asked_for_where_too_much_failed_anyhow() -> None:
    evaluation, looks = run({"a": F, "b": F, "c": F, "d": N})
    assert len(looks.asked) == 1 and evaluation.unanswered == ["d"]


@pytest.mark.parametrize("told", [T, F])
def test_what_comes_late_may_show_that_too_much_failed(told: bool) -> None:
    evaluation, looks = run({"a": F, "b": F, "c": N, "d": N}, {"c": F, "d": told})
    assert looks.asked == [(0, None), (1, ["c", "d"])]
    assert evaluation.criteria_results == {"a": F, "b": F, "c": F, "d": told} and evaluation.unanswered == []


@pytest.mark.parametrize("outlook", [Outlook(), Outlook(Rates(0.02, 0.02), dict.fromkeys(FIELDS, 1.0))])
def test_where_no_look_is_left_to_confirm_it_a_late_answer_is_no_pass(outlook: Outlook) -> None:
    evaluation, looks = run({"d": N}, {"d": T}, most=1, outlook=outlook)
    assert len(looks.asked) == 2
    assert evaluation.failed_fields == ["d"] and evaluation.overall_score == 75.0


def test_without_further_looks_nothing_is_asked_for() -> None:
    evaluation, looks = run({"d": N}, most=0)
    assert len(looks.asked) == 1 and evaluation.failed_fields == ["d"]


def test_a_picture_that_could_not_be_confirmed_is_not_judged() -> None:
    with pytest.raises(VisionUnreachable):
        run({}, VisionUnreachable("gone"))  # type: ignore[arg-type]
