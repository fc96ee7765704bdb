"""A run seeded from a human ranking: what it takes, what it leaves, what it says when the ranking is no good."""

from __future__ import annotations

from typing import Any, Sequence

import pytest
import yaml
from scripted import ALL, GENERATION, HALF, NONE, Bench, ScriptedGenerator, ScriptedVision, rank

from imagination.errors import ConfigError, StoreError


@pytest.fixture
def ranked(bench: Bench) -> str:
    """A finished run of five iterations: denoise 0.5 to 0.7, cfg 7 to 11, steps 8, 11 and 20."""
    replies = iter([11, 11, 20, 20])

    class Suggesting(ScriptedVision):
        def _values(self, request: Any) -> Any:
            if request.purpose == "suggestion":
                return {"steps": next(replies), "scheduler": "karras" if self.count("suggestion") > 2 else "normal"}
            return super()._values(request)

    outcome = bench.run(ScriptedGenerator(), Suggesting([NONE, NONE, HALF, NONE, NONE], 0.95))
    run_id = outcome.checkpoint.run_id
    rank(bench, run_id, ["3", "1", "2", "5", "4"], {"3": "good light", "1": "too pale", "4": "awful"})
    return run_id


@pytest.mark.parametrize(
    ("mode", "denoise", "cfg", "steps", "scheduler"),
    [
        ("rank1", 0.6, 9.0, 11, "normal"),  # iteration 3
        ("top3", 0.55, 8.0, 10, "normal"),  # of 3, 1, 2; steps 11, 8, 11
        ("top5", 0.6, 9.0, 14, "normal"),  # steps 11, 8, 11, 20, 20; schedulers 3 to 2
    ],
)
def test_each_mode_takes_what_the_specification_says(
    bench: Bench, ranked: str, mode: Any, denoise: float, cfg: float, steps: int, scheduler: str
) -> None:
    first = bench.store.run(ranked).metadata(3)
    generator = ScriptedGenerator()
    outcome = bench.run(generator, ScriptedVision([ALL]), seed_from="latest", seed_mode=mode)
    sampler = generator.sampler_inputs(0)
    assert (sampler["denoise"], sampler["cfg"], sampler["steps"]) == (denoise, cfg, steps)
    assert (sampler["sampler_name"], sampler["scheduler"]) == ("euler", scheduler)
    assert first is not None and sampler["seed"] != first.parameters_used["seed"]
    assert generator.text(0, "9") == first.prompts_used.positive
    taken = outcome.history[0].seeded_from
    assert taken is not None and (taken.run_id, taken.mode) == (ranked, mode)
    assert taken.iterations == [3, 1, 2, 5, 4][: {"rank1": 1, "top3": 3, "top5": 5}[mode]]


def test_equally_common_samplers_go_to_the_better_ranked(bench: Bench, ranked: str) -> None:
    rank(bench, ranked, ["5", "1"])
    generator = ScriptedGenerator()
    bench.run(generator, ScriptedVision([ALL]), seed_from=ranked, seed_mode="top3")
    assert generator.sampler_inputs(0)["scheduler"] == "karras"


def test_notes_reach_every_improvement_also_after_a_resume(bench: Bench, ranked: str) -> None:
    first = ScriptedVision([NONE])
    bench.run_stopped(ScriptedGenerator({3: KeyboardInterrupt()}), first, seed_from=ranked, seed_mode="top3")
    second = ScriptedVision([NONE, ALL])
    bench.run(ScriptedGenerator(), second)
    sent = [r.instruction for vision in (first, second) for r in vision.asked if r.purpose == "improvement"]
    assert len(sent) == 3
    assert all("rank 1: good light\nrank 2: too pale" in text and "awful" not in text for text in sent)


def test_locked_parameters_are_not_seeded(bench: Bench, ranked: str) -> None:
    bench.write("AIGen.yaml", {**GENERATION, "locked": ["cfg"]})
    generator = ScriptedGenerator()
    bench.run(generator, ScriptedVision([ALL]), seed_from="latest", seed_mode="rank1")
    assert (generator.sampler_inputs(0)["denoise"], generator.sampler_inputs(0)["cfg"]) == (0.6, 7.0)


def test_latest_is_the_newest_run_that_has_a_ranking(bench: Bench, ranked: str) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([ALL]), seed_from="latest")
    assert outcome.checkpoint.seeded_from is not None and outcome.checkpoint.seeded_from.run_id == ranked


def test_numbers_without_quotes_are_understood(bench: Bench, ranked: str) -> None:
    rank(bench, ranked, [2, 1])
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([ALL]), seed_from=ranked)
    assert outcome.checkpoint.seeded_from is not None and outcome.checkpoint.seeded_from.iterations == [2]


def test_an_unfinished_run_is_not_pushed_aside_unless_reset(bench: Bench, ranked: str) -> None:
    bench.run_stopped(ScriptedGenerator({2: KeyboardInterrupt()}), ScriptedVision([NONE]))
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]), seed_from=ranked)
    assert isinstance(stopped, ConfigError) and "--reset" in stopped.hint
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL]), seed_from=ranked, reset=True).passed


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ([], "the ranking is empty"),
        (["9"], "names iteration 9, which has no metadata"),
        (["x"], "names 'x', which is no iteration"),
        (["../3"], "which is no iteration"),
        (["3", "3"], "names an iteration twice"),
        ([None], "is damaged at ranking.0"),
    ],
)
def test_a_broken_ranking_is_one_line(bench: Bench, ranked: str, order: Sequence[Any], told: str) -> None:
    rank(bench, ranked, order)
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]), seed_from=ranked, seed_mode="top3")
    assert isinstance(stopped, StoreError) and told in stopped.message and "\n" not in stopped.message


def test_a_slip_in_a_ranking_written_by_hand_is_told_with_its_place(bench: Bench, ranked: str) -> None:
    path = bench.project.root / "working" / ranked / "human" / "ranking.json"
    path.write_text('{"ranking":\n  ["3" "1"]}', encoding="utf-8")
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]), seed_from=ranked)
    assert isinstance(stopped, StoreError) and stopped.message.endswith("it is no JSON (line 2, column 8)")
    assert "rank the iterations again" in stopped.hint and "--resume-from" not in stopped.hint


def test_unknown_runs_and_missing_rankings_are_one_line(bench: Bench) -> None:
    outcome = bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    for run_id, told in (
        ("latest", "no run with a ranking"),
        ("2020-01-01_00-00-00", "has no run 2020-01-01_00-00-00"),
    ):
        stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]), seed_from=run_id)
        assert isinstance(stopped, ConfigError) and told in stopped.message
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]), seed_from=outcome.checkpoint.run_id)
    assert isinstance(stopped, StoreError) and "has no ranking" in stopped.message


def test_the_settings_in_force_are_the_seeded_ones(bench: Bench, ranked: str) -> None:
    bench.run_stopped(ScriptedGenerator({1: KeyboardInterrupt()}), ScriptedVision([ALL]), seed_from=ranked)
    data = yaml.safe_load(bench.store.generation_file.read_text(encoding="utf-8"))
    assert data["parameters"] == {
        "denoise": 0.6,
        "cfg": 9.0,
        "steps": 11,
        "seed": None,
        "sampler_name": "euler",
        "scheduler": "normal",
    }
