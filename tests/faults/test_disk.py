"""Odd folders, files that change under a run, two runs at once, a clock that goes back: nothing is lost, one line is said."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
from click.testing import CliRunner
from proxy import Answer
from wire_bench import ITERATIONS, WireBench, at

from imagination.cli import main
from imagination.errors import ConfigError, StoreError
from imagination.store import Store

FINE = ["ok"] * ITERATIONS


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[WireBench]:
    bench = WireBench(tmp_path)
    yield bench
    bench.close()


# --- where it lies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["with blanks and  two", "ünï-雪-ß-🦊", "x" * 200, "it's $(x) & #1 %20 [a]{b}", "-dash", "~", "a.b..c"],
)
def test_a_workspace_on_any_path(tmp_path: Path, name: str) -> None:
    bench = WireBench(tmp_path / name)
    result = bench.run()
    bench.close()
    assert (result.told, result.iterations) == ("fine", FINE), result.stopped
    assert (bench.project.root / "output" / "output.png").is_file()


@pytest.mark.parametrize("folder", ["", "working", "output"])
def test_a_folder_that_cannot_be_written_stops_the_run_in_one_line(
    bench: WireBench, folder: str, tmp_path: Path
) -> None:
    if not permissions_bind(tmp_path):
        pytest.skip("permissions do not bind here")
    place = bench.project.root / folder
    place.mkdir(exist_ok=True)
    place.chmod(0o555)
    try:
        result = bench.run()
    finally:
        place.chmod(0o755)
    assert isinstance(result.stopped, StoreError) and str(place) in result.stopped.message
    assert bench.run().iterations == FINE


@pytest.mark.parametrize("part", ["working", "output", "working/checkpoint.json"])
def test_a_file_where_a_folder_belongs_and_the_other_way_round(bench: WireBench, part: str) -> None:
    place = bench.project.root / part
    place.parent.mkdir(exist_ok=True)
    if place.suffix:
        place.mkdir()
    else:
        place.write_text("", encoding="ascii")
    result = bench.run()
    assert isinstance(result.stopped, (StoreError, ConfigError)) and str(place) in result.stopped.message
    place.rmdir() if place.suffix else place.unlink()
    assert bench.run().iterations == FINE


@pytest.mark.parametrize("part", ["logs", "logs/app.log"])
def test_a_log_that_cannot_be_written_stops_the_command_before_it_asks_anybody(bench: WireBench, part: str) -> None:
    place = bench.project.root / part
    if part == "logs":
        place.write_text("", encoding="ascii")
    else:
        place.mkdir(parents=True)
    told = CliRunner().invoke(main, ["--project", "p", "--workspace", str(bench.project.workspace.root)])
    log = bench.project.root / "logs" / "app.log"
    assert told.exit_code == 4 and f"error: {log} cannot be written: " in told.output, told.output
    assert not bench.comfyui.seen and not bench.vision.seen


NAMED_BY_TEMPLATE = [
    "config/AIVis.yaml",
    "config/AIGen.yaml",
    "config/prompts.yaml",
    "workflow/img2img_no_mask_api.json",
]


@pytest.mark.parametrize("part", NAMED_BY_TEMPLATE)
@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_file_that_cannot_be_reached_is_told_of_and_no_template_steps_in(
    bench: WireBench, part: str, kind: str, tmp_path: Path
) -> None:
    """A link to a disk that is not mounted: another judge than the user's, which may cost money, is no stand-in."""
    place = bench.project.root / part
    place.parent.mkdir(exist_ok=True)
    place.unlink() if place.is_file() else None
    place.mkdir() if kind == "folder" else place.symlink_to(tmp_path / "unmounted" / place.name)
    with pytest.raises(ConfigError) as caught:
        bench.run()
    told = f"link to {tmp_path / 'unmounted' / place.name}, which is not there" if kind == "link" else "is not a file"
    assert str(place) in caught.value.message and told in caught.value.message


def permissions_bind(folder: Path) -> bool:
    """Not for root, and not on every file system."""
    probe = folder / "probe"
    probe.mkdir(mode=0o555)
    return not os.access(str(probe), os.W_OK)


# --- what changes under it ------------------------------------------------------------------------------------------------


def in_iteration(bench: WireBench, number: int, act: Callable[[], None]) -> None:
    """Do something to the disk while ComfyUI is asked for the picture of an iteration."""

    def fault(client: Any, answer: Answer) -> None:
        act()
        client.sendall(answer.whole)

    bench.comfyui.faults = at("/prompt", fault, number)


GOES_ON: List[Any] = [
    pytest.param(lambda root: shutil.rmtree(root / "output"), id="output/ removed"),
    pytest.param(lambda root: (root / "output" / "output_metadata.json").write_bytes(b"{"), id="output damaged"),
    pytest.param(lambda root: shutil.rmtree(run_of(root) / "scripts"), id="scripts removed"),
    pytest.param(lambda root: (run_of(root) / "run.js").write_bytes(b"\0"), id="run.js damaged"),
    pytest.param(lambda root: shutil.rmtree(run_of(root) / "thumbs"), id="thumbs removed"),
    pytest.param(lambda root: (root / "input" / "input.png").unlink(), id="input removed"),
    pytest.param(lambda root: (root / "config" / "rules.yaml").write_bytes(b": ["), id="rules spoilt"),
    pytest.param(lambda root: (root / "config" / "AIVis.yaml").unlink(), id="AIVis.yaml removed"),
    pytest.param(lambda root: (root / "working" / "checkpoint.json").unlink(), id="checkpoint removed"),
    pytest.param(lambda root: shutil.rmtree(run_of(root) / "images"), id="pictures removed"),
]
STOPS: List[Any] = [
    pytest.param(
        lambda root: (root / "working" / "AIGen.yaml").write_bytes(b": ["), "AIGen.yaml", id="settings spoilt"
    ),
    pytest.param(lambda root: (root / "working" / "AIGen.yaml").unlink(), "AIGen.yaml", id="settings removed"),
]


def run_of(root: Path) -> Path:
    return Store(root).runs()[-1].root


@pytest.mark.parametrize("act", GOES_ON)
def test_what_a_run_has_read_or_can_write_anew_does_not_stop_it(bench: WireBench, act: Callable[[Path], None]) -> None:
    in_iteration(bench, 2, lambda: act(bench.project.root))
    result = bench.run()
    assert (result.told, result.iterations) == ("fine", FINE), result.stopped
    assert (bench.project.root / "output" / "output.png").is_file() and (
        run_of(bench.project.root) / "run.js"
    ).is_file()
    checkpoint = bench.store.read_checkpoint()
    assert checkpoint is not None and checkpoint.last_iteration == ITERATIONS


@pytest.mark.parametrize(("act", "named"), STOPS)
def test_settings_that_cannot_be_read_stop_it_and_it_goes_on_when_they_can(
    bench: WireBench, act: Callable[[Path], None], named: str
) -> None:
    settings = bench.store.generation_file
    kept: List[bytes] = []

    def spoil() -> None:
        kept.append(settings.read_bytes())
        act(bench.project.root)

    in_iteration(bench, 2, spoil)
    result = bench.run()
    assert isinstance(result.stopped, ConfigError) and named in result.stopped.message
    assert result.iterations == FINE[:2]
    settings.write_bytes(kept[0])
    bench.comfyui.faults = lambda seen, count: None
    assert bench.run().iterations == FINE


def test_the_whole_project_removed_in_mid_run_is_one_line(bench: WireBench) -> None:
    in_iteration(bench, 2, lambda: shutil.rmtree(bench.project.root))
    result = bench.run()
    assert result.stopped is not None and "\n" not in str(result.stopped)


# --- two at once, and the clock ---------------------------------------------------------------------------------------------


def test_the_second_run_of_a_project_is_refused_and_names_the_first(bench: WireBench) -> None:
    named = rf"another run is at work on p .*{os.getpid()}"
    with bench.store.lock(), pytest.raises(StoreError, match=named), bench.store.lock():
        pass
    with bench.store.lock():
        pass


def test_two_that_start_at_once_are_one(bench: WireBench) -> None:
    won: List[bool] = []
    ready, refused = threading.Barrier(4), threading.Semaphore(0)

    def enter() -> None:
        ready.wait()
        try:
            with bench.store.lock():
                won.append(True)
                for _ in range(3):
                    refused.acquire(timeout=60)
        except StoreError:
            won.append(False)
            refused.release()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False, False, False, True]


def test_runs_of_one_second_have_names_of_their_own(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = [store.new_run(1_768_000_000.0).run_id for _ in range(12)]
    assert len(set(names)) == 12 and [run.run_id for run in store.runs()] == names


def test_a_clock_set_back_in_mid_run_loses_nothing(bench: WireBench) -> None:
    bench.now = iter([1_768_000_000.0, 1_768_000_050.0, *([1_000_000_000.0] * 99)]).__next__
    result = bench.run()
    assert (result.told, result.iterations) == ("fine", FINE), result.stopped
    assert [run.iterations() for run in bench.store.runs()] == [[1, 2, 3]]
