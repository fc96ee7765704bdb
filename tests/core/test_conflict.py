"""Two criteria that rule each other out: when it is said, of which, and in which words."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, List, Optional, Sequence, Tuple

import pytest
from pictures import criterion, judged

from imagination.conflict import Conflict, find_conflict
from imagination.model import Attempt, Criterion

RED, SHAPE, LIGHT = (
    criterion("is_red", "change"),
    criterion("same_shape", "preserve"),
    criterion("same_light", "preserve"),
)
BOTH = (RED, SHAPE)
Y, N = True, False
Seen = Sequence[Tuple[float, Any, Any]]  # denoise, is it red, is the shape the same
APART: Seen = [(0.2, N, Y), (0.3, N, Y), (0.4, N, N), (0.5, N, N), (0.6, N, N), (0.8, Y, N), (0.85, Y, N), (0.25, N, Y)]


def pictures(seen: Seen, **more: Any) -> List[Attempt]:
    return [
        judged(n, {"is_red": [red] * 2, "same_shape": [same] * 2}, denoise=at, **more)
        for n, (at, red, same) in enumerate(seen, 1)
    ]


def found(seen: Seen, criteria: Sequence[Criterion] = BOTH, **more: Any) -> Optional[Conflict]:
    return find_conflict(criteria, pictures(seen, **more))


def test_two_that_hold_at_opposite_ends_only_rule_each_other_out() -> None:
    conflict = found(APART)
    assert conflict is not None and (conflict.first, conflict.second) == ("is_red", "same_shape")


def test_the_evidence_and_the_ways_out_are_told_in_one_line() -> None:
    conflict = found(APART)
    assert conflict is not None
    assert re.match(
        r"is_red and same_shape rule each other out: is_red is met from denoise 0\.\d+, same_shape is met up to denoise "
        r"0\.\d+; none of 8 pictures met both, and at the best settings the chance is [0-6]%\. To get further, ask less of one",
        conflict.evidence,
    )
    assert "stop_on_conflict: false" in conflict.evidence and "\n" not in conflict.evidence


@pytest.mark.parametrize("count", range(5))
def test_few_pictures_say_too_little(count: int) -> None:
    assert found(APART[-count:] if count else []) is None


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param([*APART, (0.5, Y, Y)], id="a picture met both"),
        pytest.param([(at, N, same) for at, _, same in APART], id="one is never met, and cfg was never moved"),
        pytest.param([(at, red, Y) for at, red, _ in APART], id="one is always met"),
        pytest.param(
            [(0.45, N, Y), (0.5, Y, N), (0.48, N, Y), (0.52, Y, N), (0.5, N, Y)], id="close by: luck may help"
        ),
        pytest.param([(at, [Y, N], [Y, N]) for at, _, _ in APART], id="the judge contradicts itself"),
    ],
)
def test_no_conflict_is_told_of_without_evidence(seen: Seen) -> None:
    history = [judged(n, {"is_red": red, "same_shape": same}, denoise=at) for n, (at, red, same) in enumerate(seen, 1)]
    assert find_conflict(BOTH, history) is None


def test_a_picture_in_which_one_of_the_two_was_not_judged_is_no_evidence_against_them() -> None:
    history = pictures([(0.2, Y, Y)] * 2) + pictures(APART)
    known = {"votes": {"is_red": [Y] * 2}, "criteria_results": {"is_red": Y}}
    partly = [replace(a, evaluation=a.evaluation.model_copy(update=known)) for a in history[:2]]
    conflict = find_conflict(BOTH, [*partly, *pictures(APART)])
    assert conflict is not None and "none of 8 pictures met both" in conflict.evidence
    half = [replace(a, evaluation=a.evaluation.model_copy(update=known)) for a in pictures(APART)[:4]]
    assert find_conflict(BOTH, [*half, *pictures(APART)[4:]]) is None


# --- one that was never met -----------------------------------------------------------------------------------------------

FAR = (0.5, 0.3, 0.7, 0.2, 0.6, 0.4, 0.55, 0.8)
CFGS = (4.0, 7.0, 9.0, 12.0, 5.0, 7.0, 8.0, 10.0)


def never_red(
    denoises: Sequence[float] = FAR, cfgs: Sequence[float] = CFGS, kept_up_to: float = 0.35
) -> Optional[Conflict]:
    """What is found where it is never red, and the shape the same up to a denoise."""
    history = [
        judged(n, {"is_red": [N, N], "same_shape": [at < kept_up_to] * 2}, denoise=at, cfg=cfg)
        for n, (at, cfg) in enumerate(zip(denoises, cfgs), 1)
    ]
    return find_conflict(BOTH, history)


def test_one_that_was_never_met_is_told_of_where_it_takes_settings_at_which_the_other_fails() -> None:
    conflict = never_red()
    assert conflict is not None and (conflict.first, conflict.second) == ("is_red", "same_shape")
    assert re.match(
        r"is_red and same_shape rule each other out: is_red was never met and could be from denoise (0\.9\d|1\.00) at best, "
        r"same_shape is met up to denoise 0\.3\d; none of 8 pictures met both, and at the best settings the chance is [0-6]%",
        conflict.evidence,
    )


def test_one_that_was_never_answered_is_no_conflict() -> None:
    history = [
        judged(n, {"is_red": [None, None], "same_shape": [at < 0.35] * 2}, denoise=at, cfg=cfg)
        for n, (at, cfg) in enumerate(zip(FAR, CFGS), 1)
    ]
    assert find_conflict(BOTH, history) is None


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"denoises": FAR[:-1]}, id="seven pictures say too little of it"),
        pytest.param({"denoises": [0.15 + 0.5 * at for at in FAR]}, id="pictures of much the same denoise"),
        pytest.param({"cfgs": [7 + 0.1 * cfg for cfg in CFGS]}, id="pictures of much the same cfg"),
        pytest.param({"kept_up_to": 0.65}, id="both may hold where nothing was tried"),
        pytest.param(
            {"denoises": (*FAR, *[1.0] * 12), "cfgs": (*CFGS, *[2.0, 3.0, 4.0, 5.0, 6.0, 8.0] * 2)},
            id="no settings are left for it",
        ),
        pytest.param({"kept_up_to": 0.0}, id="nothing was met at all"),
    ],
)
def test_else_one_that_was_never_met_is_no_conflict(changed: Any) -> None:
    assert never_red(**changed) is None


def test_a_picture_that_nobody_looked_at_is_no_evidence() -> None:
    history = pictures(APART[:4]) + pictures(APART[4:], looked=False)
    assert find_conflict(BOTH, history) is None


def test_verdicts_of_older_versions_count() -> None:
    old = [
        judged(n, {"is_red": red, "same_shape": same}, denoise=at, with_votes=False)
        for n, (at, red, same) in enumerate([*APART, *APART], 1)
    ]
    assert find_conflict(BOTH, old) is not None


@pytest.mark.parametrize("criteria", [[RED], [RED, LIGHT], [RED, criterion("unheard_of")]])
def test_only_criteria_of_today_are_told_of(criteria: Sequence[Criterion]) -> None:
    assert found(APART, criteria) is None


def test_where_the_settings_cannot_move_the_pictures_tell_alone() -> None:
    """Without denoise and cfg there is no estimate to say that none will: luck may still bring both."""
    seen = [judged(n, {"is_red": n % 2 == 0, "same_shape": n % 2 == 1}, denoise=None, cfg=None) for n in range(1, 7)]
    assert find_conflict(BOTH, seen) is None


def test_a_judge_that_is_known_to_err_needs_more_evidence() -> None:
    history = pictures(APART)
    assert find_conflict(BOTH, history) is not None
    assert find_conflict(BOTH, history, [(False, True), (True, False)] * 20) is None
