"""The table of runs through the built-in engines is printed and measures what it says; how strategies fare is not asserted."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import pytest
from engine_pairs import by_chance, duel, duels, order
from engine_runs import CASES, STRATEGIES, Job, NoisyEyes, Restarts, Result, opposite, run

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
        for pair in itertools.combinations(STRATEGIES, 2):
            alone = "only the first truly passes in [01], only the second in [01] of 1 runs"
            assert re.search(rf"^{' and '.join(pair)}: {alone}; [+-]\d+\.\d\d ± 0\.00 pictures$", table, re.M), pair
        assert len(re.findall(r"^which order holds: by true passes .+; by pictures .+$", table, re.M)) == 1
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


# --- strategies run by run ----------------------------------------------------------------------------------------------

SPEC, RESTARTS, ADAPTIVE = STRATEGIES
Ends = Sequence[Tuple[int, bool]]  # pictures, truly passed; run by run


def runs(**ends: Ends) -> Dict[Job, Result]:
    """Runs of the strategies (spec, restarts, adaptive), each beside those of the others with the same number."""
    names = {"spec": SPEC, "restarts": RESTARTS, "adaptive": ADAPTIVE}
    return {
        Job("grey", "right", names[short], 0.0, number): Result(pictures, pictures, truly, truly)
        for short, of in ends.items()
        for number, (pictures, truly) in enumerate(of)
    }


GOOD, MIDDLING, BAD = [(2, True), (3, True)] * 4, [(9, True), (9, False)] * 4, [(10, False)] * 8


def test_two_strategies_are_compared_run_by_run() -> None:
    found = runs(
        spec=[(10, False), (4, True), (8, True), (5, False)], adaptive=[(3, True), (5, False), (2, True), (5, False)]
    )
    seen = duel(found, ADAPTIVE, SPEC)
    assert (seen.runs, seen.only_one, seen.only_other, seen.pictures) == (4, 1, 1, -3.0)
    assert seen.half == pytest.approx(1.96 * (50 / 3 / 4) ** 0.5)  # of -7, 1, -6 and 0
    turned = duel(found, SPEC, ADAPTIVE)
    assert (turned.only_one, turned.pictures, turned.half) == (1, 3.0, seen.half)


def test_there_is_a_line_for_every_two() -> None:
    assert duels(runs(spec=BAD, restarts=MIDDLING, adaptive=GOOD)) == [
        "spec and random restarts: only the first truly passes in 0, only the second in 4 of 8 runs; +1.00 ± 0.00 pictures",
        "spec and adaptive: only the first truly passes in 0, only the second in 8 of 8 runs; +7.50 ± 0.37 pictures",
        "random restarts and adaptive: only the first truly passes in 0, only the second in 4 of 8 runs; "
        "+6.50 ± 0.37 pictures",
    ]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (
            runs(spec=BAD, restarts=GOOD, adaptive=GOOD),
            "by true passes adaptive before spec, random restarts before spec; "
            "by pictures adaptive before spec, random restarts before spec",
        ),
        (
            runs(spec=[(2, False)] * 8, restarts=[(9, True), (5, True)] * 4, adaptive=[(7, True)] * 8),
            "by true passes adaptive before spec, random restarts before spec; "
            "by pictures spec before random restarts and adaptive",
        ),
        pytest.param(
            runs(spec=BAD[:5], restarts=BAD[:5], adaptive=GOOD[:5]),
            "by true passes none, it may all be chance; by pictures none, it may all be chance",
            id="few runs cannot tell",
        ),
    ],
)
def test_the_order_that_holds_is_said_in_words(found: Dict[Job, Result], told: str) -> None:
    assert order(found) == f"which order holds: {told}"


@pytest.mark.parametrize(
    ("more", "less", "chance"), [(0, 0, 1.0), (1, 0, 1.0), (3, 3, 1.0), (6, 0, 0.03125), (8, 1, 0.0390625)]
)
def test_what_chance_alone_would_do(more: int, less: int, chance: float) -> None:
    assert by_chance(more, less) == by_chance(less, more) == chance


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
