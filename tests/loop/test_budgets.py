"""Runs with a limit on money or time: where they end, what is left, and how they go on."""

from __future__ import annotations

import io
import json
from typing import Any, Callable, List

import pytest
from rich.console import Console
from scripted import ALL, HALF, NONE, VISION, Bench, ScriptedGenerator, ScriptedVision

from imagination.comfyui import Generated
from imagination.display import PlainDisplay, closing
from imagination.errors import ComfyUIUnreachable, ConfigError
from imagination.execution import Execution
from imagination.loop import Outcome
from imagination.model import Checkpoint
from imagination.resume import foresee
from imagination.services import _costless
from imagination.setup import read_setup

EACH = 0.01  # USD of each scripted answer: one describes, three judge a picture, one improves the prompts


class Hours:
    """A clock that stands still until somebody moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class SlowGenerator(ScriptedGenerator):
    """Takes a minute for each picture."""

    def __init__(self, hours: Hours, **faults: Any) -> None:
        super().__init__(**faults)
        self.hours = hours

    def generate(
        self, workflow: Any, *, prompt_id: str, output_node: str, on_progress: Callable[[Execution], None]
    ) -> Generated:
        self.hours.now += 60
        return super().generate(workflow, prompt_id=prompt_id, output_node=output_node, on_progress=on_progress)


def standing(bench: Bench) -> Checkpoint:
    checkpoint = bench.store.read_checkpoint()
    assert checkpoint is not None
    return checkpoint


def seen(outcome: Outcome, bench: Bench) -> str:
    console = Console(file=io.StringIO(), width=200)
    closing(console, outcome, bench.project.root / "output" / "output.png")
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def foreseen(bench: Bench) -> str:
    return foresee(bench.store, read_setup(bench.project), reset=False, resume_from=None)


# --- money ------------------------------------------------------------------------------------------------------------------


def test_a_run_ends_when_it_has_cost_what_it_may(bench: Bench) -> None:
    bench.rules(max_cost=0.07)  # 0.04 after the first picture, 0.08 after the second
    vision = ScriptedVision([NONE, HALF, ALL])
    outcome = bench.run(ScriptedGenerator(), vision)
    checkpoint = standing(bench)
    assert not outcome.passed and checkpoint == outcome.checkpoint
    assert (checkpoint.status, checkpoint.last_iteration, checkpoint.ended_by) == ("exhausted", 2, "cost")
    assert checkpoint.ending == "It has cost 0.0800 USD, and project.max_cost allows 0.07 USD."
    assert vision.count("improvement") == 1  # nothing is decided for a picture that will not be made
    output = json.loads((bench.project.root / "output" / "output_metadata.json").read_text(encoding="utf-8"))
    assert (output["iteration"], output["result"]) == (2, "best_so_far")


def test_the_end_is_shown_with_its_figures_and_what_to_raise(bench: Bench) -> None:
    bench.rules(max_cost=0.07)
    told = seen(bench.run(ScriptedGenerator(), ScriptedVision([NONE])), bench)
    assert "not passed in 2 iterations; best is iteration 1 with 0%" in told
    assert "It has cost 0.0800 USD, and project.max_cost allows 0.07 USD." in told
    assert "to go on, raise project.max_cost in rules.yaml" in told


def test_the_ordinary_end_is_on_record_too(bench: Bench) -> None:
    bench.rules(max_iterations=1, max_cost=9.0)
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([NONE]))
    assert (outcome.checkpoint.ended_by, outcome.checkpoint.ending) == ("iterations", None)
    assert "raise project.max_iterations" in seen(outcome, bench)


def test_a_limit_may_be_reached_before_the_first_picture(bench: Bench) -> None:
    bench.rules(max_cost=0.01)
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([ALL]))  # the description alone has cost that much
    assert (outcome.checkpoint.last_iteration, outcome.checkpoint.ended_by) == (0, "cost")
    assert "no picture was made" in seen(outcome, bench)


def test_a_pass_goes_before_the_limit_that_it_reaches(bench: Bench) -> None:
    bench.rules(max_cost=0.04)
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    assert outcome.passed and outcome.checkpoint.ended_by is None


def test_the_same_command_goes_on_when_the_limit_was_raised(bench: Bench) -> None:
    bench.rules(max_cost=0.07)
    first = bench.run(ScriptedGenerator(), ScriptedVision([NONE]))
    over = f"a new run (run {first.checkpoint.run_id} is over: it has cost 0.0800 USD, and project.max_cost allows"
    assert foreseen(bench).startswith(over) and "raise project.max_cost to go on with it" in foreseen(bench)
    bench.rules(max_cost=0.1)
    assert foreseen(bench) == f"going on with run {first.checkpoint.run_id} after iteration 2"
    vision = ScriptedVision([NONE, ALL])
    second = bench.run(ScriptedGenerator(), vision)
    assert second.checkpoint.run_id == first.checkpoint.run_id
    assert (second.checkpoint.last_iteration, second.checkpoint.ended_by) == (3, "cost")
    assert vision.count("improvement") == 1
    bench.rules()
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL])).checkpoint.ended_by is None


def test_raising_one_limit_does_not_help_where_another_is_reached(bench: Bench) -> None:
    bench.rules(max_cost=0.07)
    first = bench.run(ScriptedGenerator(), ScriptedVision([NONE]))
    bench.rules(max_cost=0.07, max_iterations=50)
    second = bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    assert second.checkpoint.run_id != first.checkpoint.run_id


def test_without_the_limit_that_ended_it_a_run_goes_on(bench: Bench) -> None:
    bench.rules(max_cost=0.07)
    first = bench.run(ScriptedGenerator(), ScriptedVision([NONE]))
    bench.rules()
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL])).checkpoint.run_id == first.checkpoint.run_id


def test_a_stopped_run_whose_limit_is_reached_ends_before_it_asks_anything(bench: Bench) -> None:
    bench.run_stopped(ScriptedGenerator({3: KeyboardInterrupt()}), ScriptedVision([NONE]))
    bench.rules(max_cost=0.05)
    assert "which ends at once: it has cost 0.0900 USD" in foreseen(bench)
    generator, vision = ScriptedGenerator(), ScriptedVision([ALL])
    outcome = bench.run(generator, vision)
    assert (outcome.checkpoint.status, outcome.checkpoint.ended_by) == ("exhausted", "cost")
    assert (generator.jobs, generator.collected, vision.asked) == ([], [], [])
    bench.rules()
    again = ScriptedGenerator()
    assert bench.run(again, ScriptedVision([ALL])).passed
    assert again.sampler_inputs(0)["seed"] == 1002  # what was begun is taken up as it was


def test_what_was_set_aside_has_been_paid_for(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([NONE]))  # 0.01 + 5 x 0.03 + 4 x 0.01
    assert standing(bench).totals.usage.cost == pytest.approx(0.20)
    bench.rules(max_cost=0.25)
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([NONE]), resume_from=2)
    assert outcome.checkpoint.set_aside.cost == pytest.approx(0.16)  # and the description, which is asked once
    assert (outcome.checkpoint.ended_by, outcome.checkpoint.last_iteration) == ("cost", 3)
    assert outcome.checkpoint.ending == "It has cost 0.2700 USD, and project.max_cost allows 0.25 USD."


def test_nothing_is_set_aside_for_a_run_that_can_make_no_more(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([NONE]))
    bench.rules(max_cost=0.15)
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([NONE]), resume_from=2)
    assert isinstance(stopped, ConfigError) and "it has cost 0.2000 USD" in stopped.message
    assert "raise project.max_cost" in stopped.hint
    assert bench.store.runs()[-1].iterations() == [1, 2, 3, 4, 5]


def test_a_description_that_failed_has_cost_something_all_the_same(bench: Bench) -> None:
    from imagination.model import Answer, CallRecord, Request, Usage
    from imagination.vision import AskFailed

    class Mute(ScriptedVision):
        def ask(self, request: Request) -> Answer:
            if request.purpose == "description":
                raise AskFailed("no", "", CallRecord(provider="p", model="m"), Usage(requests=3, cost=0.5))
            return super().ask(request)

    bench.rules(max_cost=0.5)
    assert bench.run(ScriptedGenerator(), Mute([ALL])).checkpoint.ended_by == "cost"


def test_a_limit_is_shown_from_the_start(bench: Bench) -> None:
    bench.rules(max_cost=0.5, max_minutes=90)
    lines: List[str] = []
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]), observer=PlainDisplay(lines.append))
    assert "up to 5 iterations, 0.5 USD, 90 minutes" in lines[0]


@pytest.mark.parametrize(
    ("vision", "is_told"),
    [
        (VISION, True),
        ({"provider": "builtin"}, True),
        ({"provider": "openrouter", "model": "m"}, False),
        ({"provider": "openrouter", "model": "m", "base_url": "http://me:pw@localhost:8080/v1"}, True),
        ({"provider": "openrouter", "model": "m", "base_url": "https://openrouter.ai/api/v1"}, False),
        ({**VISION, "fallback_provider": "openrouter", "fallback_model": "m"}, False),
    ],
)
def test_a_limit_that_nothing_can_reach_is_warned_of(bench: Bench, vision: Any, is_told: bool) -> None:
    bench.write("AIVis.yaml", vision)
    assert _costless(read_setup(bench.project)) == ()
    bench.rules(max_cost=0.5)
    told = " ".join(_costless(read_setup(bench.project)))
    assert ("max_cost may have no effect" in told) is is_told and "pw" not in told


# --- time -------------------------------------------------------------------------------------------------------------------


def test_a_run_ends_when_it_has_worked_as_long_as_it_may(bench: Bench) -> None:
    hours = bench.clock = Hours()
    bench.rules(max_minutes=2)
    outcome = bench.run(SlowGenerator(hours), ScriptedVision([NONE, HALF, ALL]))
    assert (outcome.checkpoint.last_iteration, outcome.checkpoint.ended_by) == (2, "time")
    assert outcome.checkpoint.ending == "It has worked for 2.0 minutes, and project.max_minutes allows 2."
    assert "raise project.max_minutes" in seen(outcome, bench)
    bench.rules(max_minutes=3)
    hours.now += 86400  # nobody worked on it for a day
    outcome = bench.run(SlowGenerator(hours), ScriptedVision([NONE]))
    assert (outcome.checkpoint.last_iteration, outcome.checkpoint.worked) == (3, 180)


def test_the_work_of_all_processes_counts_also_where_it_came_to_nothing(bench: Bench) -> None:
    hours = bench.clock = Hours()
    gone = ComfyUIUnreachable("gone", "start it")
    bench.rules(max_minutes=5)
    bench.run_stopped(SlowGenerator(hours, faults={2: KeyboardInterrupt()}), ScriptedVision([NONE]))
    assert standing(bench).worked == 120  # of which `totals` knows the first minute only
    assert standing(bench).totals.seconds == 60
    hours.now += 3600
    bench.run_stopped(SlowGenerator(hours, faults={1: gone, 2: gone, 3: KeyboardInterrupt()}), ScriptedVision([NONE]))
    assert standing(bench).worked == 300
    outcome = bench.run(SlowGenerator(hours), ScriptedVision([ALL]))
    assert (outcome.passed, outcome.checkpoint.ended_by) == (False, "time")


def test_the_work_on_what_was_set_aside_counts(bench: Bench) -> None:
    hours = bench.clock = Hours()
    bench.run(SlowGenerator(hours), ScriptedVision([NONE]))
    bench.rules(max_minutes=7)
    outcome = bench.run(SlowGenerator(hours), ScriptedVision([NONE]), resume_from=2)
    assert (outcome.checkpoint.last_iteration, outcome.checkpoint.worked) == (3, 420)
    fresh = bench.run(SlowGenerator(hours), ScriptedVision([ALL]), reset=True)
    assert fresh.checkpoint.worked == 60
