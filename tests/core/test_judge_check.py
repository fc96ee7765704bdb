"""What a judge's verdicts on pictures with known truth say about it, and about the rules."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest

from imagination.judge_check import conclude, concluded, known, majority
from imagination.judge_trial import Look
from imagination.model import CallRecord, Criterion, JudgeCheck, Usage
from imagination.vision import AskFailed

RED, SNOW = ("red", "change"), ("snow", "change")
SHAPE, FACE = ("shape", "preserve"), ("face", "preserve")
PLAIN = ("plain", None)
Y, N, U = True, False, None


def rules(*named: Any) -> List[Criterion]:
    return [Criterion(field=field, question=f"Is it {field}?", intent=intent) for field, intent in named]


def check(original: Dict[str, List[Optional[bool]]], grey: Dict[str, List[Optional[bool]]]) -> JudgeCheck:
    call = CallRecord(provider="ollama", model="eyes")
    return JudgeCheck(original=original, grey=grey, warnings=[], aivis_metadata=call)


# criteria, votes on the original, votes on grey, and a part of each warning that is due
CASES: Dict[str, Any] = {
    "a good judge": ([RED, SHAPE], {"red": [N, N], "shape": [Y, Y]}, {"red": [N], "shape": [N]}, []),
    "one change is there already, the other is not": (
        [RED, SNOW, SHAPE],
        {"red": [Y, Y], "snow": [N, N], "shape": [Y, Y]},
        {"red": [N], "snow": [N], "shape": [N]},
        [],
    ),
    "yes to everything": (
        [RED, SHAPE],
        {"red": [Y, Y], "shape": [Y, Y]},
        {"red": [Y], "shape": [Y]},
        ["says yes to everything: a plain grey picture passed all 2 criteria"],
    ),
    "yes to grey alone": (
        [RED, SHAPE],
        {"red": [N, N], "shape": [Y, Y]},
        {"red": [Y], "shape": [Y]},
        ["says yes to everything: a plain grey picture passed all 2 criteria"],
    ),
    "yes to every change, wherever": (
        [RED, SHAPE],
        {"red": [Y, Y], "shape": [Y, Y]},
        {"red": [Y], "shape": [N]},
        ["says yes to everything: it finds every change both in the unedited original and in a plain grey picture"],
    ),
    "one criterion, passed by grey": ([SHAPE], {"shape": [Y, Y]}, {"shape": [Y]}, ["passed the only criterion"]),
    "a change that grey has, and the original has not": ([RED], {"red": [N, N]}, {"red": [Y]}, []),
    "two changes, of which grey has both": (
        [RED, SNOW],
        {"red": [N, N], "snow": [N, N]},
        {"red": [Y], "snow": [Y]},
        [],
    ),
    "blind": (
        [RED, SHAPE],
        {"red": [N, N], "shape": [Y, Y]},
        {"red": [N], "shape": [Y]},
        ["does not seem to see the picture: plain grey got the same verdicts as the original: name a model that takes"],
    ),
    "changes only: the same verdicts are the right ones": (
        [RED, SNOW],
        {"red": [N, N], "snow": [N, N]},
        {"red": [N], "snow": [N]},
        [],
    ),
    "blind, without an intent to tell by": (
        [PLAIN, RED],
        {"plain": [Y, Y], "red": [N, N]},
        {"plain": [Y], "red": [N]},
        ["does not seem to see"],
    ),
    "changes its mind": (
        [RED, SHAPE, FACE],
        {"red": [N, Y], "shape": [Y, N], "face": [Y, Y]},
        {"red": [N], "shape": [N], "face": [N]},
        ["changes its mind: red, shape got both verdicts for the same picture: word"],
    ),
    "an answer left out is no change of mind": (
        [RED, SHAPE],
        {"red": [N, U], "shape": [Y, Y]},
        {"red": [N], "shape": [N]},
        [],
    ),
    "a question that the original does not meet": (
        [RED, SHAPE, FACE],
        {"red": [N, N], "shape": [N, N], "face": [Y, Y]},
        {"red": [N], "shape": [N], "face": [N]},
        ["shape fails on the unedited original, so no edit can keep it: put its question in other words"],
    ),
    "two of them": (
        [RED, SHAPE, FACE, PLAIN],
        {"red": [N, N], "shape": [N, N], "face": [N, N], "plain": [Y, Y]},
        {"red": [N], "shape": [N], "face": [N], "plain": [N]},
        ["shape, face fail on the unedited original, so no edit can keep them: put their questions"],
    ),
    "all changes are there already": (
        [RED, SNOW, SHAPE],
        {"red": [Y, Y], "snow": [Y, Y], "shape": [Y, Y]},
        {"red": [N], "snow": [N], "shape": [N]},
        ["the unedited original already has all 2 changes (red, snow): ask in rules.yaml"],
    ),
    "the only change is there already": (
        [RED, SHAPE],
        {"red": [Y, Y], "shape": [Y, Y]},
        {"red": [N], "shape": [N]},
        ["already has the only change (red)"],
    ),
    "most verdicts unanswered": (
        [RED, SHAPE],
        {"red": [U, U], "shape": [N, U]},
        {"red": [U], "shape": [N]},
        ["left 4 of 6 verdicts unanswered: ask what can be seen in a picture, or name another vision model"],
    ),
    "half of them is enough": ([RED, SHAPE], {"red": [U, U], "shape": [Y, Y]}, {"red": [U], "shape": [N]}, []),
}


@pytest.mark.parametrize(("criteria", "original", "grey", "due"), CASES.values(), ids=CASES.keys())
def test_verdicts_with_a_known_truth_tell_of_the_judge(criteria: Any, original: Any, grey: Any, due: List[str]) -> None:
    warnings = conclude(rules(*criteria), original, grey)
    assert len(warnings) == len(due), warnings
    for warning, part in zip(warnings, due):
        assert part in warning
        assert "\n" not in warning


# criteria, votes on the original, votes on grey, what is known of the judge
KNOWN: Dict[str, Any] = {
    "what stays is true, a change is false, grey keeps nothing": (
        [RED, SHAPE],
        {"red": [N, Y], "shape": [Y, N]},
        {"red": [Y], "shape": [N]},
        [(Y, Y), (Y, N), (N, N), (N, Y), (N, N)],
    ),
    "one change that every look sees may be there": (
        [RED, SNOW],
        {"red": [Y, Y], "snow": [N, N]},
        {"red": [N], "snow": [N]},
        [(N, N), (N, N)],
    ),
    "two such changes are errors of the judge": (
        [RED, SNOW],
        {"red": [Y, Y], "snow": [Y, Y]},
        {},
        [(N, Y), (N, Y), (N, Y), (N, Y)],
    ),
    "one thing that never was there may be badly asked for": (
        [SHAPE, FACE],
        {"shape": [N, N], "face": [Y, Y]},
        {},
        [(Y, Y), (Y, Y)],
    ),
    "two of them are errors of the judge": (
        [SHAPE, FACE],
        {"shape": [N, N], "face": [N, N]},
        {},
        [(Y, N), (Y, N), (Y, N), (Y, N)],
    ),
    "without an intent nothing is known": ([PLAIN], {"plain": [Y, N]}, {"plain": [Y]}, []),
    "what was left out stays so": ([SHAPE], {"shape": [Y, U]}, {"shape": [U]}, [(Y, Y), (Y, U), (N, U)]),
    "nothing was asked": ([RED, SHAPE], {}, {}, []),
}


@pytest.mark.parametrize(("criteria", "original", "grey", "expected"), KNOWN.values(), ids=KNOWN.keys())
def test_votes_are_known_by_their_truth(criteria: Any, original: Any, grey: Any, expected: Any) -> None:
    assert known(check(original, grey), rules(*criteria)) == expected


@pytest.mark.parametrize(
    ("votes", "expected"), [([], U), ([U], U), ([Y, N, Y], Y), ([N, N, Y], N), ([Y, N], Y), ([N, Y], N), ([U, Y], Y)]
)
def test_a_majority_of_equals_is_the_first_look(votes: Any, expected: Any) -> None:
    assert majority(votes) is expected


def test_an_error_is_told_of_alone_and_what_it_cost_is_kept() -> None:
    call = CallRecord(provider="ollama", model="eyes", success=False)
    trouble = AskFailed("no answer from ollama (eyes): HTTP 500", "restart it", call, Usage(requests=3))
    looks = [
        Look("original", {"red": Y}, 2.0, Usage(requests=1)),
        Look("original", {}, 1.0, Usage(requests=3), call, trouble),
    ]
    found = concluded(rules(RED), looks, "ollama eyes")
    assert found.warnings == [
        "the judge could not be tried, the run goes on without: no answer from ollama (eyes): HTTP 500 (restart it)"
    ]
    assert (found.original, found.grey, found.aivis_metadata.success) == ({"red": [Y]}, {}, False)
    assert (found.usage.requests, found.seconds, found.judge) == (4, 3.0, "ollama eyes")
