"""The table of runs through the built-in engines is printed and measures what it says; how strategies fare is not asserted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest
from engine_runs import CASES, STRATEGIES, Job, NoisyEyes, Restarts, opposite, run

from imagination.model import Answer, CallRecord, Criterion, Picture, Request, Usage

YES = Criterion(field="yes", question="Is it so?", type="boolean", min=0, max=1)
NUMBER = Criterion(field="number", question="How much?", type="number", min=0.9, max=1)


def test_the_engines_table_has_a_row_for_each_strategy_with_either_judge() -> None:
    options = ["--runs", "1", "--case", "grey", "--start", "timid"]
    command = [sys.executable, str(Path(__file__).with_name("engines.py")), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    exact, noisy = done.stdout.split("10% of the verdicts wrong at random")
    assert "the judge as it is, never wrong: cases 1, starts 1, runs of each 1" in exact
    for table in (exact, noisy):
        for strategy in STRATEGIES:
            assert re.search(rf"^{strategy} +\d+\.\d\d ± \d+\.\d\d +(\d+\.\d% \(\d+%-\d+%\) +){{3}}", table, re.M)
        for group in ("grey", "timid"):
            assert re.search(rf"^{group}( +\d+\.\d\d +\d+%){{3}}$", table, re.M), group
    for line in exact.splitlines():  # a judge that is never wrong: what passed, passes
        cells = re.findall(r"\d+\.\d%", line)
        assert not cells or (cells[0] == cells[1] and cells[2] == "0.0%")


@pytest.mark.parametrize("case", sorted(CASES))
def test_each_case_can_pass_where_its_start_is_right(case: str) -> None:
    found = run(Job(case, "right", "adaptive", 0.0, 0))
    assert found.passed and found.truly
    assert found.requests >= 2 * found.pictures


def test_a_pass_that_noise_made_is_told_from_a_true_one() -> None:
    found = (run(Job("grey", "timid", "spec", 0.3, number)) for number in range(12))
    assert any(result.passed and not result.truly for result in found)


def test_a_run_is_the_same_every_time() -> None:
    job = Job("grey", "timid", "random restarts", 0.1, 1)
    assert run(job) == run(job)


def test_random_restarts_differ_from_run_to_run() -> None:
    first, again, other = (Restarts([YES], (), luck)._dice.random() for luck in ("a", "a", "b"))
    assert first == again != other


# --- the noisy judge ------------------------------------------------------------------------------------------------------


class Steady:
    """Says yes, and 0.95."""

    def ask(self, request: Request) -> Answer:
        values = {"yes": {"reason": "seen", "verdict": True}, "number": {"reason": "seen", "verdict": 0.95}}
        return Answer(values, "", (), CallRecord(provider="p", model="m"), Usage(requests=1))


def look_at(eyes: NoisyEyes, picture: bytes, look: int, purpose: str = "evaluation") -> List[object]:
    shown = Picture("the result", picture, "", (1, 1))
    values = eyes.ask(Request(purpose, "", (shown, shown), look=look)).values
    return [values["yes"]["verdict"], values["number"]["verdict"]]


def test_a_share_of_the_verdicts_is_turned_round() -> None:
    eyes = NoisyEyes(Steady(), [YES, NUMBER], 0.1, "x")
    seen = [look_at(eyes, bytes([n]), look) for n in range(100) for look in range(5)]
    for verdicts, wrong in zip(zip(*seen), (False, 0.0)):
        assert 30 <= verdicts.count(wrong) <= 70
    assert eyes.requests == 500


def test_looks_err_apart_but_the_same_look_errs_again() -> None:
    eyes, again = (NoisyEyes(Steady(), [YES, NUMBER], 0.5, "x") for _ in range(2))
    looks = [look_at(eyes, b"a", look) for look in range(12)]
    assert looks == [look_at(again, b"a", look) for look in range(12)]
    assert len({str(verdicts) for verdicts in looks}) > 1


def test_without_noise_and_in_other_requests_nothing_is_turned_round() -> None:
    assert look_at(NoisyEyes(Steady(), [YES, NUMBER], 0.0, "x"), b"a", 0) == [True, 0.95]
    assert look_at(NoisyEyes(Steady(), [YES, NUMBER], 1.0, "x"), b"a", 0, "questions") == [True, 0.95]


@pytest.mark.parametrize(
    ("criterion", "value", "wrong"),
    [(YES, True, False), (YES, False, True), (YES, None, None), (NUMBER, 0.95, 0.0), (NUMBER, 0.2, 0.9)],
)
def test_the_opposite_verdict_means_the_contrary(criterion: Criterion, value: object, wrong: object) -> None:
    assert opposite(criterion, value) == wrong
