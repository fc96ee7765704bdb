"""A run that goes on among artefacts that say odd things, or are gone: one line, and nothing is decided from them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import pytest
from scripted import ALL, GENERATION, NONE, Bench, ScriptedGenerator, ScriptedVision, picture
from test_display import run_on, shown, terminal

from imagination.errors import ExecutionFailed, StoreError
from imagination.loop import Observer
from imagination.model import Checkpoint
from imagination.reply_cache import ReplyCache
from imagination.resume import Opening, foresee, settings_in_force, to_come
from imagination.setup import Setup, read_setup
from imagination.store import Run


def stopped_after(bench: Bench, iterations: int) -> Run:
    """A run that Ctrl-C ended in the iteration behind these."""
    bench.run_stopped(ScriptedGenerator({iterations + 1: KeyboardInterrupt()}), ScriptedVision([NONE]))
    return bench.store.runs()[-1]


def change(run: Run, kind: str, of: int, **keys: Any) -> None:
    path = run.file(kind, of)
    data: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, **keys}), encoding="utf-8")


@pytest.mark.parametrize("kind", ["metadata", "evaluation", "comparison"])
@pytest.mark.parametrize("number", [2, -5, 0])
def test_an_artefact_that_says_it_is_another_iterations_is_damaged(bench: Bench, kind: str, number: int) -> None:
    run = stopped_after(bench, 2)
    change(run, kind, 1, iteration=number)
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]))
    assert isinstance(stopped, StoreError)
    assert str(stopped).startswith(f"{run.file(kind, 1)} is damaged: iteration: it says {number}, and its name says 1")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("evaluation", {"criteria_results": None}),
        ("evaluation", {"criteria_results": [1]}),
        ("evaluation", {"overall_score": "high"}),
        ("comparison", {"similarity_score": "much"}),
        ("comparison", {"differences": "none"}),
    ],
)
def test_what_metadata_repeats_has_types(bench: Bench, key: str, value: Any) -> None:
    run = stopped_after(bench, 2)
    change(run, "metadata", 1, **{key: value})
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]))
    assert isinstance(stopped, StoreError)
    assert f"{run.file('metadata', 1)} is damaged: {key}" in str(stopped) and "\n" not in str(stopped)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400"])
def test_a_number_that_could_not_be_written_down_again_is_damage(bench: Bench, number: str) -> None:
    run = stopped_after(bench, 2)
    change(run, "metadata", 2, questions={"main_colour": ["NUMBER"]})
    path = run.file("metadata", 2)
    path.write_text(path.read_text(encoding="utf-8").replace('"NUMBER"', number), encoding="utf-8")
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]))
    assert isinstance(stopped, StoreError)
    assert str(stopped).startswith(f"{path} is damaged: questions.main_colour[0] is a number without bounds")


def test_what_metadata_of_another_making_does_not_repeat_is_shown_as_not_known(bench: Bench) -> None:
    change(stopped_after(bench, 2), "metadata", 1, evaluation={}, comparison={})
    console = terminal()
    assert run_on(bench, console, ScriptedVision([ALL])).passed
    row = next(line.split() for line in shown(console) if line.split()[:1] == ["1"])
    assert row[:3] == ["1", "0", "-"]


@pytest.mark.parametrize("kind", ["metadata", "evaluation", "comparison"])
def test_both_ways_on_that_are_told_where_an_artefact_is_damaged_lead_on(bench: Bench, kind: str) -> None:
    run = stopped_after(bench, 3)
    damaged = run.file(kind, 2)
    damaged.write_bytes(b"{")
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]))
    assert isinstance(stopped, StoreError) and stopped.hint.splitlines() == [
        f"put it back, or go on without what it says: rm {damaged}",
        "--resume-from 2 makes that iteration again, and all after it",
    ]
    damaged.unlink()
    bench.run_stopped(ScriptedGenerator({2: KeyboardInterrupt()}), ScriptedVision([NONE]))
    assert bench.store.runs()[-1].iterations() == ([1, 3, 4] if kind == "metadata" else [1, 2, 3, 4])
    damaged.write_bytes(b"{")
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL]), resume_from=2).passed


# --- what is gone ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resume_from", [None, 1, 3])
def test_a_run_whose_folder_is_gone_is_not_gone_on_with(bench: Bench, resume_from: Optional[int]) -> None:
    run, vision = stopped_after(bench, 2), ScriptedVision([ALL])
    run.root.rename(bench.project.root / "elsewhere")
    stopped = bench.run_stopped(ScriptedGenerator(), vision, resume_from=resume_from)
    assert isinstance(stopped, StoreError) and f"its folder {run.root} is not there" in str(stopped)
    assert "--reset" in stopped.hint and not vision.asked and not run.root.exists()
    (bench.project.root / "elsewhere").rename(run.root)
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL])).checkpoint.run_id == run.run_id


def test_a_run_whose_folder_is_gone_makes_way_for_a_new_one(bench: Bench) -> None:
    shutil.rmtree(stopped_after(bench, 2).root)
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL]), reset=True).passed


@pytest.mark.parametrize("moved", ["working", "project"])
def test_a_folder_that_is_renamed_under_a_run_is_not_made_anew(bench: Bench, moved: str) -> None:
    place = bench.project.root / ("working" if moved == "working" else "")
    there = place.with_name("elsewhere")

    class Renaming(ScriptedGenerator):
        def generate(self, *given: Any, **named: Any) -> Any:
            if len(self.jobs) == 1:
                place.rename(there)
            return super().generate(*given, **named)

    stopped = bench.run_stopped(Renaming(), ScriptedVision([NONE]))
    assert isinstance(stopped, StoreError) and "is not there any more" in stopped.message
    assert not place.exists()
    there.rename(place)
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL])).checkpoint.best_iteration == 2


@pytest.mark.parametrize("kind", ["metadata", "evaluation", "comparison"])
def test_a_picture_that_is_no_evidence_any_more_is_told_of_once(
    bench: Bench, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = stopped_after(bench, 3)
    run.file(kind, 2).unlink()
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL])).passed
    told = [record.getMessage() for record in caplog.records if "is not there" in record.getMessage()]
    path = run.file(kind, 2)
    ways_on = "--resume-from 2 makes it again, and all after it"
    assert told == [f"{path} is not there, so nothing is decided from iteration 2; {ways_on}"]


def test_a_picture_that_is_gone_is_told_of_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    run = stopped_after(bench, 3)
    for iteration in (2, 3):
        run.image_file(iteration).unlink()
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL])).passed
    (told,) = [record.getMessage() for record in caplog.records if "is not there" in record.getMessage()]
    assert told.startswith(f"{run.image_file(2)} is not there (nor 1 other): ") and "--resume-from 2" in told


def test_settings_that_damage_has_taken_are_told_of(bench: Bench) -> None:
    """Its own were: nothing else than its metadata knows them."""
    run = stopped_after(bench, 3)
    told = foresee(bench.store, read_setup(bench.project), reset=False, resume_from=2)
    assert "settings in force" not in told
    run.file("metadata", 2).write_text("{", encoding="utf-8")
    told = foresee(bench.store, read_setup(bench.project), reset=False, resume_from=2)
    assert told.endswith(f"(with the settings in force: {run.file('metadata', 2)} does not tell its own)")


def test_a_failed_iteration_lacks_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    faults = {1: ExecutionFailed("out of memory"), 3: KeyboardInterrupt()}
    bench.run_stopped(ScriptedGenerator(faults), ScriptedVision([NONE]))
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL])).passed
    assert not [record for record in caplog.records if "is not there" in record.getMessage()]


def opening(bench: Bench, **order: Any) -> str:
    """What a start says it will do, which is also what a rehearsal says of it."""
    told = _Opened()
    setup = read_setup(bench.project)
    foreseen = foresee(bench.store, setup, reset=order.get("reset", False), resume_from=None)
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]), observer=told, **order)
    assert foreseen.partition(" (")[2] == told.story.partition(" (")[2]
    return told.story


class _Opened(Observer):
    story = ""

    def opened(self, opening: Opening, setup: Setup) -> None:
        self.story = opening.story


def test_a_new_run_that_begins_as_the_resume_point_is_gone_says_so(bench: Bench) -> None:
    run = stopped_after(bench, 2)
    bench.store.checkpoint_file.unlink()
    why = f"(run {run.run_id} cannot go on: its resume point {bench.store.checkpoint_file} is not there)"
    assert opening(bench).endswith(why)


def stopped_again(root: Path, first: int, left: Optional[str] = "") -> Tuple[Bench, str]:
    """A run of three iterations that goes on at `first`, where something else was left of its resume point."""
    bench = Bench(root)
    bench.remembers = ReplyCache
    stopped_after(bench, 3)
    if left != "":
        bench.store.checkpoint_file.unlink()
    if left:
        bench.store.checkpoint_file.write_text(left, encoding="utf-8")
    told = foresee(bench.store, read_setup(bench.project), reset=False, resume_from=first)
    bench.run_stopped(ScriptedGenerator({2: KeyboardInterrupt()}), ScriptedVision([NONE]), resume_from=first)
    return bench, told


def lasting(point: Checkpoint) -> Dict[str, Any]:
    """A resume point without times and what is drawn or counted anew where nobody knows what was under way."""
    told: Dict[str, Any] = point.model_dump(
        exclude={"updated_at", "started_at", "worked", "bookings", "pending", "totals"}
    )
    pending = point.pending.model_dump(exclude={"prompt_id", "parameters"}) if point.pending else {}
    return {**told, **pending, **point.totals.model_dump(exclude={"seconds"})}


@pytest.mark.parametrize("left", [None, "{", '{"run_id": 3}', "[" * 50_000], ids=["none", "torn", "wrong", "deep"])
@pytest.mark.parametrize("first", [2, 4])
def test_a_resume_point_is_made_again_of_what_the_iterations_tell(tmp_path: Path, first: int, left: Any) -> None:
    whole, _ = stopped_again(tmp_path / "whole", first)
    bench, told = stopped_again(tmp_path / "again", first, left)
    file = bench.store.checkpoint_file
    assert told.endswith(f"({file} is {'damaged' if left else 'not there'}, and is made again)")
    wanted, found = whole.store.read_checkpoint(), bench.store.read_checkpoint()
    assert wanted is not None and found is not None and found.last_iteration == first
    assert lasting(found) == lasting(wanted)
    assert found.worked >= found.totals.seconds > 0
    assert [path.name for path in sorted(bench.store.runs()[0].root.rglob("*"))] == [
        path.name for path in sorted(whole.store.runs()[0].root.rglob("*"))
    ]


def test_the_way_on_from_a_damaged_resume_point_is_told(bench: Bench) -> None:
    run = stopped_after(bench, 3)
    bench.store.checkpoint_file.write_text("{", encoding="utf-8")
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]))
    way_on = f"--resume-from 4 goes on with run {run.run_id} from what its iterations tell; --reset starts afresh"
    assert isinstance(stopped, StoreError) and stopped.hint == way_on
    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL]), resume_from=4).passed


def test_a_resume_point_of_a_later_version_is_not_made_again(bench: Bench) -> None:
    stopped_after(bench, 3)
    bench.store.checkpoint_file.write_text('{"format": 99}', encoding="utf-8")
    stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]), resume_from=4)
    assert isinstance(stopped, StoreError) and stopped.hint == "update the tool"


@pytest.mark.parametrize("resume_from", [None, 1, 2, 4])
@pytest.mark.parametrize("is_lost", [False, True])
def test_what_a_rehearsal_says_is_what_is_made(bench: Bench, resume_from: Optional[int], is_lost: bool) -> None:
    bench.run_stopped(ScriptedGenerator({4: KeyboardInterrupt()}), ScriptedVision([NONE], 0.95))
    if is_lost:
        bench.store.generation_file.unlink()
    path = settings_in_force(bench.store, None, False, resume_from)
    told = to_come(bench.store, read_setup(bench.project, path), reset=False, resume_from=resume_from)
    generator = ScriptedGenerator({2: KeyboardInterrupt()})
    bench.run_stopped(generator, ScriptedVision([NONE], 0.95), resume_from=resume_from)
    made = generator.sampler_inputs(0)
    assert {name: made[name] for name in ("denoise", "cfg", "steps", "seed")} == {
        name: told.as_dict()[name] for name in ("denoise", "cfg", "steps", "seed")
    }


def test_nothing_can_be_told_by_a_run_without_iterations(bench: Bench) -> None:
    stopped_after(bench, 0)
    bench.store.checkpoint_file.write_text("{", encoding="utf-8")
    for resume_from in (None, 1):
        stopped = bench.run_stopped(ScriptedGenerator(), ScriptedVision([ALL]), resume_from=resume_from)
        assert isinstance(stopped, StoreError) and stopped.hint == "start afresh with --reset"


@pytest.mark.parametrize("verdicts", [NONE, ALL])
def test_a_run_that_had_ended_is_not_missed(bench: Bench, verdicts: Any) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([verdicts]))
    bench.store.checkpoint_file.unlink()
    assert "(" not in opening(bench)


def test_nothing_is_missed_by_a_first_run_or_after_a_reset(bench: Bench) -> None:
    assert "(" not in opening(bench)
    stopped_after(bench, 2)
    bench.store.checkpoint_file.unlink()
    assert "(" not in opening(bench, reset=True)


@pytest.mark.parametrize("made", [0, 3])
@pytest.mark.parametrize("resume", [False, True])
def test_settings_in_force_that_are_gone_are_made_again(bench: Bench, made: int, resume: bool) -> None:
    """Not with what the run began with: it has learnt since, and nobody has edited anything."""
    bench.write("AIGen.yaml", {**GENERATION, "parameters": {"steps": 12}})  # denoise and cfg are left to the workflow
    run = stopped_after(bench, made)
    before = bench.settings()["parameters"]
    assert ("denoise" in before) == bool(made)  # it has been moved
    bench.store.generation_file.unlink()
    resume_from = made + 1 if resume else None
    told = foresee(bench.store, read_setup(bench.project), reset=False, resume_from=resume_from)
    assert f"{bench.store.generation_file} is not there, and is made again" in told
    bench.run_stopped(ScriptedGenerator({1: KeyboardInterrupt()}), ScriptedVision([NONE]), resume_from=resume_from)
    assert {**bench.settings()["parameters"], **before} == bench.settings()["parameters"]
    bench.run_stopped(ScriptedGenerator({2: KeyboardInterrupt()}), ScriptedVision([NONE]))
    metadata = run.metadata(made + 1)
    assert metadata is not None and metadata.decision
    assert not [move for move in metadata.decision if "edited" in move.why]


@pytest.mark.parametrize("left", [None, b"", b"\x89PNG\r\n\x1a\n torn"])
def test_an_output_that_is_gone_or_damaged_is_made_again(bench: Bench, left: Optional[bytes]) -> None:
    stopped_after(bench, 2)
    output = bench.project.root / "output" / "output.png"
    whole = output.read_bytes()
    output.unlink()
    if left is not None:
        output.write_bytes(left)
    bench.run_stopped(ScriptedGenerator({1: KeyboardInterrupt()}), ScriptedVision([NONE]))
    assert output.read_bytes() == whole


def test_an_output_that_somebody_has_retouched_stays(bench: Bench) -> None:
    stopped_after(bench, 2)
    output = bench.project.root / "output" / "output.png"
    output.write_bytes(picture(200))
    bench.run_stopped(ScriptedGenerator({1: KeyboardInterrupt()}), ScriptedVision([NONE]))
    assert output.read_bytes() == picture(200)
