"""What passes a criterion, what a score is, and which iteration is best: decisions.md, "Meaning"."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

from imagination.model import CallRecord, Criterion, Evaluation
from imagination.scoring import better, never_met, passes, score, verdicts


def criterion(kind: str, **keys: Any) -> Criterion:
    return Criterion(field="f", question="How is it?", type=kind, **keys)  # type: ignore[arg-type]


YES_OR_NO: Dict[str, Any] = {"min": 0, "max": 1}


@pytest.mark.parametrize(
    ("kind", "keys", "good", "bad"),
    [
        ("boolean", {}, [True], [False, None, 1, 0, "true", "yes"]),
        ("boolean", YES_OR_NO, [True], [False, None]),  # the usual form: `min: 0` does not let a no pass
        ("boolean", {"min": 1}, [True], [False]),
        ("boolean", {"max": 0}, [False], [True, None, 0]),
        ("boolean", {"min": 0, "max": 0}, [False], [True, None]),
        ("integer", {"min": 2, "max": 4}, [2, 3, 4, 3.0], [1, 5, 2.5, None, True, "3"]),
        ("integer", {"min": 1}, [1, 10**400], [0, -1, None]),
        ("integer", {"max": 0}, [0, -3], [1, False]),
        ("integer", {}, [0, -1, 7], [None, False, 0.5]),
        ("integer", {"enum": [1, 3]}, [1, 3], [2, None, True]),
        ("number", {"min": 0.9, "max": 1}, [0.9, 1, 0.95], [0.8999, 1.0001, None, True, "0.95"]),
        ("number", {}, [0, -2.5], [None, float("nan"), "1"]),
        ("string", {}, ["x", "no"], ["", "  ", None, 3, True, ["x"]]),
        ("string", {"enum": ["Golden Hour", "dusk"]}, ["Golden Hour", "golden_hour", "DUSK"], ["noon", "", None]),
        ("string", {"enum": ["?", "yes"]}, ["?", "Yes"], ["!", "", " "]),
        ("string", {"enum": ["-1", "+1"]}, ["-1", "+1"], ["1"]),
        ("array", {}, [[], ["a"]], [None, "a", {}]),
        ("array", {"min": 1, "max": 2}, [["a"], ["a", "b"]], [[], ["a", "b", "c"], None, 1]),
        ("array", {"max": 0}, [[]], [["a"]]),
    ],
)
def test_what_passes_and_what_does_not(kind: str, keys: Dict[str, Any], good: List[Any], bad: List[Any]) -> None:
    asked = criterion(kind, **keys)
    assert [value for value in good if not passes(asked, value)] == []
    assert [value for value in bad if passes(asked, value)] == []


@pytest.mark.parametrize(
    ("passed", "total", "expected"),
    [(0, 1, 0.0), (1, 1, 100.0), (1, 3, 33.3), (2, 3, 66.7), (5, 6, 83.3), (1, 8, 12.5), (1999, 2000, 100.0)],
)
def test_the_score_is_the_share_of_criteria_passed(passed: int, total: int, expected: float) -> None:
    results = {str(n): n < passed for n in range(total)}
    assert score(results) == expected


def test_every_criterion_gets_a_verdict_and_an_unanswered_one_fails() -> None:
    criteria = [Criterion(field=name, question="Is it?") for name in ("a", "b", "c")]
    assert verdicts(criteria, {"a": True, "b": None}) == {"a": True, "b": False, "c": False}


# --- the best -----------------------------------------------------------------------------------------------------------


def evaluation(scored: float, source: str = "aivis", results: Any = None) -> Evaluation:
    return Evaluation(
        iteration=1,
        source=source,  # type: ignore[arg-type]
        overall_score=scored,
        criteria_results=results or {},
        values={},
        reasons={},
        passed_fields=[],
        failed_fields=[],
        unanswered=[],
        aivis_metadata=CallRecord(provider="ollama", model="eyes"),
    )


@pytest.mark.parametrize(
    ("candidate", "best", "is_better"),
    [
        ((4, 50.0), None, True),
        ((4, 50.1), (3, 50.0), True),
        ((4, 50.0), (3, 50.0), False),
        ((2, 50.0), (3, 50.0), True),
        ((4, 0.0, "fallback"), None, True),
        ((4, 0.0, "aivis"), (3, 0.0, "fallback"), True),
        ((4, 0.0, "fallback"), (5, 0.0, "aivis"), False),
    ],
)
def test_the_best_is_judged_then_higher_then_earlier(candidate: Any, best: Any, is_better: bool) -> None:
    def ranked(found: Any) -> Any:
        return found and (found[0], evaluation(*found[1:]))

    assert better(ranked(candidate), ranked(best)) is is_better


@pytest.mark.parametrize(
    ("scored", "source", "results", "all_pass"),
    [
        (100.0, "aivis", {"a": True, "b": True}, True),
        (100.0, "aivis", {"a": True, "b": False}, False),  # 1999 of 2000 round to 100
        (0.0, "aivis", {}, False),
        (100.0, "fallback", {"a": True}, False),
    ],
)
def test_a_run_is_over_when_all_pass_not_when_a_rounded_score_says_so(
    scored: float, source: str, results: Any, all_pass: bool
) -> None:
    assert evaluation(scored, source, results).all_pass is all_pass


def test_where_nothing_was_judged_no_criterion_was_never_met() -> None:
    criteria = [criterion("boolean")]
    assert never_met(criteria, []) == never_met(criteria, [evaluation(0.0, "fallback")]) == []
    assert never_met(criteria, [evaluation(0.0, results={"f": False})]) == ["f"]
    assert never_met(criteria, [evaluation(0.0, results={"another": False})]) == []
    assert never_met(criteria, [evaluation(0.0, results={"f": False})], least=2) == []


def test_a_criterion_that_got_no_answer_is_not_said_to_be_never_met() -> None:
    silent = evaluation(0.0, results={"f": False}).model_copy(update={"unanswered": ["f"]})
    assert never_met([criterion("boolean")], [silent]) == []
    assert never_met([criterion("boolean")], [silent, evaluation(0.0, results={"f": False})]) == ["f"]
