"""What a run shows: on a terminal of 80 columns, and as plain lines."""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, List

import pytest
from rich.console import Console
from scripted import ALL, HALF, NONE, RULES, Bench, ScriptedGenerator, ScriptedVision
from test_changed_rules import begun, reworded

from imagination.display import LiveDisplay, PlainDisplay, best_told, closing, duration
from imagination.errors import ExecutionFailed, ServiceError
from imagination.model import Answer, Request, Totals, Usage
from imagination.streams import clean

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
HOSTILE = {
    "is_red": {"reason": "\x1b[2Jgone\r\nfake [bold]line[/bold] \u202e", "verdict": False},
    "same_shape": {"verdict": True},
}


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, highlight=False)


def shown(console: Console) -> List[str]:
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return ESCAPES.sub("", text).replace("\r", "\n").split("\n")


def run_on(bench: Bench, console: Console, vision: ScriptedVision, faults: Any = None) -> Any:
    display = LiveDisplay(console)
    try:
        outcome = bench.run(ScriptedGenerator(faults), vision, observer=display)
    finally:
        display.close()
    closing(console, outcome, bench.project.root / "output" / "output.png")
    return outcome


def test_a_terminal_shows_each_iteration_and_a_closing_table(bench: Bench) -> None:
    console = terminal()
    run_on(bench, console, ScriptedVision([NONE, ALL], 0.95), {1: ExecutionFailed("KSampler (node 3): out of memory")})
    lines = shown(console)
    text = "\n".join(lines)
    assert "✗ iteration 1 failed: KSampler (node 3): out of memory" in text
    assert "• iteration 2: score 0%, similarity 0.95" in text and "✓ iteration 3: score 100%" in text
    assert "✗ is_red: is_red seen" in text
    assert "→ denoise 0.5 → 0.55, cfg 7 → 8: the picture is too like the original" in text
    head = next(line for line in lines if line.split()[:1] == ["#"])
    assert head.split() == ["#", "score", "like", "denoise", "cfg", "steps", "seed", "failed"]
    assert "passed: all 2 criteria met in iteration 3" in text


@pytest.mark.parametrize("width", [40, 80])
def test_no_line_is_wider_than_the_terminal(bench: Bench, width: int) -> None:
    console = terminal(width)
    run_on(bench, console, ScriptedVision([NONE, ALL], 0.95))
    folder = str(bench.project.root)  # the path of the output is never broken, so that it can be copied
    assert [line for line in shown(console) if len(line) > width and folder not in line] == []


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_live_block_keeps_its_height(bench: Bench, width: int) -> None:
    """Rich redraws it from a thread of its own; drawn at two heights it covers a finished line, or leaves one of its own."""
    drawn: List[str] = []

    class Watching(ScriptedGenerator):
        def generate(self, *given: Any, **named: Any) -> Any:
            drawn.append(picture_of(display))
            return super().generate(*given, **named)

    console = terminal(width)
    display = LiveDisplay(console)
    display._doing = "waiting in ComfyUI's queue"
    display._step, display._steps = 12, 12
    drawn.append(picture_of(display))
    bench.run(Watching(), ScriptedVision([NONE, ALL], 0.95), observer=display)
    display.close()
    assert {text.count("\n") for text in drawn} == {3}, drawn


def picture_of(display: LiveDisplay) -> str:
    console = terminal(display._console.width)
    console.print(display._block())
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_before_a_run_is_chosen_no_iteration_is_told_of() -> None:
    display = LiveDisplay(terminal())
    told = picture_of(display)
    display.close()
    assert "starting" in told and "iteration" not in told


def test_text_of_a_model_is_plain_text_on_the_terminal(bench: Bench) -> None:
    console = terminal()
    bench.rules(max_iterations=1)
    run_on(bench, console, ScriptedVision([NONE], replies={"evaluation": HOSTILE}))
    raw = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[2J" not in raw and "\u202e" not in raw
    assert any("[2Jgone fake [bold]line[/bold]" in line for line in shown(console))


def test_text_in_the_closing_table_is_no_markup(bench: Bench) -> None:
    console = terminal(200)
    criteria = [{"field": "likeness [/all] [red]", "question": "Is it?"}]
    bench.write("rules.yaml", {**RULES, "acceptance_criteria": criteria, "project": {"name": "p", "max_iterations": 2}})
    run_on(bench, console, ScriptedVision([{"likeness [/all] [red]": False}]), {1: ExecutionFailed("[/a.pt] [bold]?")})
    rows = [line.split() for line in shown(console)]
    assert any(row[:1] == ["1"] and row[-4:] == ["no", "picture:", "[/a.pt]", "[bold]?"] for row in rows)
    assert any(row[:1] == ["2"] and row[-3:] == ["likeness", "[/all]", "[red]"] for row in rows)


def test_plain_lines_can_be_grepped(bench: Bench) -> None:
    lines: List[str] = []
    bench.run(ScriptedGenerator(), ScriptedVision([NONE, ALL], 0.95), observer=PlainDisplay(lines.append))
    text = "\n".join(lines)
    assert re.search(
        r"^\d\d:\d\d:\d\d iteration 1/5 denoise=0.5 cfg=7 steps=8 seed=1000 sampler_name=euler", text, re.M
    )
    assert "iteration 1 score=0 similarity=0.95 failed=is_red,same_shape used=" in text
    assert "next: denoise 0.5 → 0.55 (the picture is too like the original" in text
    assert "iteration 2 score=100 similarity=0.95 failed=none" in text
    assert all("\n" not in line for line in lines)


def test_a_best_that_nobody_judged_has_no_score(bench: Bench) -> None:
    console = terminal()
    display = LiveDisplay(console)
    stopped = bench.run_stopped(
        ScriptedGenerator(), ScriptedVision([NONE], faults={"evaluation": -1}), observer=display
    )
    drawn = picture_of(display)
    display.close()
    point = bench.store.read_checkpoint()
    assert (
        isinstance(stopped, ServiceError)
        and point is not None
        and (point.best_iteration, point.best_score) == (1, None)
    )
    here = bench.workspace.root  # where no start from another folder would find it
    assert stopped.hint == f"go on with: iterative-imagination --project p --workspace {here}"
    assert "best not judged (iteration 1)" in drawn and best_told(point) == "iteration 1, not judged"


class Looking(ScriptedVision):
    """Judges the first picture, and no other."""

    def ask(self, request: Request) -> Answer:
        if request.purpose == "evaluation" and self.count("evaluation"):
            self.faults = {"evaluation": -1}
        return super().ask(request)


def test_a_picture_that_nobody_judged_has_no_score(bench: Bench) -> None:
    console = terminal()
    bench.rules(max_iterations=2)
    run_on(bench, console, Looking([HALF], 0.95))
    told = shown(console)
    assert any("• iteration 2: not judged, similarity 0.95" in line for line in told)
    row = next(line.split(maxsplit=7) for line in reversed(told) if line.split()[:1] == ["2"])
    assert (row[1], row[2], row[7].strip()) == ("-", "0.95", "not judged")
    assert "never judged, the model gave no answer: iteration 2" in told
    lines: List[str] = []
    bench.run(ScriptedGenerator(), Looking([HALF], 0.95), reset=True, observer=PlainDisplay(lines.append))
    assert any(" iteration 2 judged=no similarity=0.95 used=" in line for line in lines)


def test_a_picture_whose_questions_alone_were_not_answered_was_judged(bench: Bench) -> None:
    console = terminal()
    bench.rules(max_iterations=2)
    run_on(bench, console, ScriptedVision([NONE], 0.95, {"questions": -1}))
    told = shown(console)
    row = next(line.split(maxsplit=7) for line in reversed(told) if line.split()[:1] == ["2"])
    assert (row[1], row[7].strip()) == ("0", "is_red, same_shape")
    assert not any("never judged" in line or "not judged" in line for line in told)


def test_the_time_to_go_is_by_the_pace_of_the_whole_run(bench: Bench) -> None:
    now = [0.0]
    drawn: List[str] = []
    bench.clock = lambda: now[0]

    class Slow(ScriptedGenerator):
        def generate(self, *given: Any, **named: Any) -> Any:
            now[0] += 20
            drawn.append(picture_of(display))
            now[0] += 40
            return super().generate(*given, **named)

    bench.rules(max_iterations=3)
    display = LiveDisplay(terminal(), lambda: now[0])
    bench.run_stopped(Slow({3: KeyboardInterrupt()}), ScriptedVision([NONE], 0.95), observer=display)
    display.close()
    assert "to go" not in drawn[0] and "up to about 1:40 to go" in drawn[1]
    assert "up to about 0:40 to go" in drawn[2]
    now[0] += 10_000  # nobody worked on it
    display = LiveDisplay(terminal(), lambda: now[0])
    bench.rules(max_iterations=5)
    bench.run(Slow(), ScriptedVision([NONE], 0.95), observer=display)
    display.close()
    told = [re.search(r"used (\S+) · up to about (\S+) to go", text) for text in drawn[3:]]
    assert [found.groups() for found in told if found] == [("3:20", "4:10"), ("4:20", "2:20"), ("5:20", "0:55")]


def test_what_earlier_processes_worked_counts_as_used(bench: Bench) -> None:
    seconds = itertools.count(0.0, 60.0)  # each look at the clock is a minute later
    bench.clock = lambda: next(seconds)
    bench.rules(max_iterations=2)
    first = bench.run(ScriptedGenerator(), ScriptedVision([NONE], 0.95))
    worked = first.checkpoint.worked
    bench.rules(max_iterations=3)
    lines: List[str] = []
    bench.run(ScriptedGenerator(), ScriptedVision([NONE], 0.95), observer=PlainDisplay(lines.append, lambda: 0.0))
    assert worked > 60
    assert any("iteration 3 score=0 similarity=0.95" in line and f"used={duration(worked)}" in line for line in lines)
    console = terminal()
    display = LiveDisplay(console, lambda: 0.0)
    bench.rules(max_iterations=4)
    last = bench.run(ScriptedGenerator(), ScriptedVision([NONE], 0.95), observer=display)
    drawn = picture_of(display)
    display.close()
    closing(console, last, Path("out.png"))
    assert re.search(r"used ([0-9:]+) ", drawn)[1] != "0:00"
    assert any(line.startswith(f"took {duration(last.checkpoint.worked)}, ") for line in shown(console))


@pytest.mark.parametrize(("seconds", "told"), [(0.9, "0:00"), (61, "1:01"), (3600, "1:00:00"), (36061, "10:01:01")])
def test_durations(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_clean_keeps_one_line_and_a_limit() -> None:
    assert clean("a\n\tb\x00c") == "a b c"
    assert clean("x" * 20, 10) == "x" * 9 + "…"


def test_iterations_that_a_dead_server_cost_are_told_of_at_the_end(bench: Bench) -> None:
    console = terminal(120)
    bench.rules(max_iterations=3)
    gone = ExecutionFailed("KSampler (node 3): out of memory")
    run_on(bench, console, ScriptedVision([NONE]), {2: gone, 3: gone})
    assert "the last iterations brought no picture; make them again with --resume-from 2" in "\n".join(shown(console))


def test_a_failed_iteration_in_the_middle_is_nothing_to_make_again(bench: Bench) -> None:
    console = terminal(120)
    bench.rules(max_iterations=3)
    run_on(bench, console, ScriptedVision([NONE]), {2: ExecutionFailed("KSampler (node 3): out of memory")})
    assert "make them again" not in "\n".join(shown(console))


def test_the_end_names_what_no_picture_met(bench: Bench) -> None:
    bench.rules(max_iterations=3)
    console = terminal()
    run_on(bench, console, ScriptedVision([HALF], 0.5))
    told = [line for line in shown(console) if line.startswith("met in none")]
    assert told == ["met in none of the pictures: same_shape; ask less there, or ask in other words"]


def test_two_pictures_say_nothing_of_what_cannot_be_met(bench: Bench) -> None:
    bench.rules(max_iterations=2)
    console = terminal()
    run_on(bench, console, ScriptedVision([HALF], 0.5))
    assert "not passed in 2 iterations" in "\n".join(shown(console))
    assert not [line for line in shown(console) if line.startswith("met in none")]


def test_one_iteration_is_told_in_the_singular(bench: Bench) -> None:
    bench.rules(max_iterations=1)
    console = terminal()
    run_on(bench, console, ScriptedVision([HALF], 0.5))
    assert "not passed in 1 iteration; best is" in "\n".join(shown(console))


def at_the_end(bench: Bench, vision: ScriptedVision, **given: Any) -> List[str]:
    console = terminal(120)
    closing(console, bench.run(ScriptedGenerator(), vision, **given), bench.project.root / "output" / "output.png")
    return shown(console)


@pytest.mark.parametrize(
    ("limits", "ended_by", "is_told"),
    [({"max_iterations": 2}, "iterations", True), ({"max_iterations": 3, "max_minutes": 1}, "time", False)],
)
def test_lost_iterations_are_only_called_back_where_they_could_be_made(
    bench: Bench, limits: Any, ended_by: str, is_told: bool
) -> None:
    now = [0.0]
    bench.clock = lambda: now[0]

    class Failing(ScriptedGenerator):
        def generate(self, *given: Any, **named: Any) -> Any:
            now[0] += 100.0 * len(self.jobs)  # the second job takes it past the limit
            return super().generate(*given, **named)

    bench.rules(**limits)
    outcome = bench.run(Failing({2: ExecutionFailed("no")}), ScriptedVision([NONE], 0.95))
    console = terminal()
    closing(console, outcome, Path("out.png"))
    assert (outcome.checkpoint.ended_by, outcome.history[-1].status) == (ended_by, "failed")
    told = any("make them again with --resume-from" in line for line in shown(console))
    assert told is is_told, shown(console)


def test_what_was_set_aside_is_told_beside_what_the_rest_has_cost(bench: Bench) -> None:
    given = {"strategy": "adaptive", "confirmations": 0, "judge_check": False, "final_comparison": False}
    bench.rules(**given, max_iterations=3)
    assert any(line.endswith("vision requests, 0.1200 USD") for line in at_the_end(bench, ScriptedVision([HALF])))
    bench.rules(**given, max_iterations=9, max_cost=0.3)
    lines = at_the_end(bench, ScriptedVision([HALF]), resume_from=2)
    assert "It has cost 0.3100 USD, and project.max_cost allows 0.3 USD." in lines
    assert any(
        line.endswith("23 vision requests, 0.2300 USD (8 requests, 0.0800 USD more set aside by --resume-from)")
        for line in lines
    )


def test_one_request_is_told_in_the_singular(bench: Bench) -> None:
    outcome, console = bench.run(ScriptedGenerator(), ScriptedVision([ALL])), terminal()
    totals = Totals(usage=Usage(requests=1))
    closing(
        console, replace(outcome, checkpoint=outcome.checkpoint.model_copy(update={"totals": totals})), Path("out.png")
    )
    assert "took 0:00, 1 vision request" in shown(console)


OUTDATED = "iteration 2 was judged before rules.yaml changed, and a pass from then does not count"


def test_a_full_score_that_is_no_pass_any_more_is_told_why(bench: Bench) -> None:
    begun(bench, NONE, ALL)
    reworded(bench, "is_red", must_include=["red paint", "glossy"])
    lines = at_the_end(bench, ScriptedVision([NONE]), resume_from=3)
    assert "not passed in 5 iterations; best is iteration 2 with 100%" in lines and OUTDATED in lines


def test_a_best_that_met_less_is_not_called_outdated(bench: Bench) -> None:
    begun(bench, NONE, HALF)
    reworded(bench, "is_red", must_include=["red paint", "glossy"])
    assert not [
        line for line in at_the_end(bench, ScriptedVision([NONE]), resume_from=3) if "was judged before" in line
    ]


@pytest.mark.parametrize("has_questions", [True, False])
def test_questions_are_told_of_where_there_are_any(bench: Bench, has_questions: bool) -> None:
    bench.write("rules.yaml", {**RULES, "questions": RULES["questions"] if has_questions else []})
    lines: List[str] = []
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]), observer=PlainDisplay(lines.append))
    assert any(line.endswith("asking the questions") for line in lines) is has_questions
