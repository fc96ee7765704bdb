"""Every file of a real run and of a project, with one value in it changed: fine, or one error, whatever reads it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
import yaml
from changed import one_value, read, write
from click.testing import CliRunner
from cut import ALL, some, tried
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).resolve().parents[1] / "loop"))

from scripted import NONE, RULES, Bench, ScriptedGenerator, ScriptedVision, rank
from test_display import run_on, terminal

from imagination.config import load_generation, load_vision
from imagination.ctl import main as control
from imagination.errors import ImaginationError
from imagination.page_rebuild import rebuild_all
from imagination.reply_cache import ReplyCache
from imagination.services import connect

PROJECT: Dict[str, Any] = {**RULES["project"], "strategy": "adaptive", "max_iterations": 2, "max_cost": 9.0}
LONGEST = 20.0  # s


def bench_in(root: Path) -> Bench:
    bench = Bench(root)
    bench.remembers = ReplyCache
    bench.write("rules.yaml", {**RULES, "project": PROJECT})
    return bench


def stopped(root: Path) -> Bench:
    """A run that Ctrl-C ended in its second iteration, ranked by people."""
    bench = bench_in(root)
    bench.run_stopped(ScriptedGenerator({2: KeyboardInterrupt()}), ScriptedVision([NONE]))
    rank(bench, bench.store.runs()[-1].run_id, ["1"], {"1": "too dark"})
    return bench


def exhausted(root: Path) -> Bench:
    """A run that has made all its iterations, and may make one more now."""
    bench = bench_in(root)
    bench.run(ScriptedGenerator(), ScriptedVision([NONE]))
    rank(bench, bench.store.runs()[-1].run_id, ["2", "1"])
    bench.write("rules.yaml", {**RULES, "project": {**PROJECT, "max_iterations": 3}})
    return bench


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> List[Path]:
    """Workspaces, each with a run."""
    benches = [stopped(tmp_path_factory.mktemp("stopped")), exhausted(tmp_path_factory.mktemp("exhausted"))]
    for bench in benches:
        rebuild_all(bench.workspace.projects)
    return [bench.workspace.root for bench in benches]


@pytest.fixture
def roots(tmp_path: Path) -> Iterator[Path]:
    """A new folder each time it is asked."""
    return (tmp_path / str(number) for number in range(10**9))


def copied(source: Path, root: Path) -> Bench:
    bench = bench_in(root)
    shutil.copytree(str(source), str(root), dirs_exist_ok=True)
    return bench


def one_line(err: ImaginationError) -> None:
    told = [err.message, *err.problems, *err.hint.splitlines()]
    assert not any("\n" in line or "\x1b" in line or "Traceback" in line for line in told), told


def answers(act: Callable[[], Any]) -> None:
    """It does what it does, or raises one error of ours; and it comes to an end."""
    begun = time.monotonic()
    try:
        act()
    except ImaginationError as err:
        one_line(err)
    assert time.monotonic() - begun < LONGEST


def commanded(bench: Bench, *words: str) -> None:
    result = CliRunner().invoke(control, [*words, "--workspace", str(bench.workspace.root)])
    assert isinstance(result.exception, (SystemExit, type(None))), result.exception
    assert result.exit_code in (0, 1, 2, 3, 4) and result.output.count("error: ") <= 1, result.output


def went_on(bench: Bench) -> None:
    run_on(bench, terminal(), ScriptedVision([NONE]))


def report(bench: Bench) -> None:
    commanded(bench, "report", "--project", "p", "--output", str(bench.workspace.root / "report.html"))


READERS: Dict[str, Callable[[Bench], Any]] = {
    "gone on with": went_on,
    "begun anew": lambda bench: bench.run(ScriptedGenerator(), ScriptedVision([NONE]), resume_from=1),
    "seeded from": lambda bench: bench.run(ScriptedGenerator(), ScriptedVision([NONE]), reset=True, seed_from="latest"),
    "listed": lambda bench: commanded(bench, "project", "list"),
    "told of": report,
    "shown": lambda bench: rebuild_all(bench.workspace.projects),
}


@pytest.mark.parametrize("reader", sorted(READERS) if ALL else ["gone on with", "listed", "shown", "told of"])
@some
@given(data=st.data())
def test_a_run_with_one_value_changed_is(runs: List[Path], reader: str, data: st.DataObject, roots: Any) -> None:
    tried()
    bench = copied(data.draw(st.sampled_from(runs)), next(roots))
    kinds = _kinds(bench.store.project)
    path = data.draw(st.sampled_from(kinds[data.draw(st.sampled_from(sorted(kinds)))]))
    write(path, data.draw(one_value(read(path))))
    answers(lambda: READERS[reader](bench))
    shutil.rmtree(str(bench.workspace.root))


def _kinds(project: Path) -> Dict[str, List[Path]]:
    """The artefacts and scripts of a project by what they are, so that none is rare among many of another kind."""
    found: Dict[str, List[Path]] = {}
    for path in sorted(p for p in (*project.rglob("*.json"), *project.rglob("*.js"))):
        kind = path.parent.name if path.parent.name == "cache" else re.sub(r"[0-9]", "", path.name)
        found.setdefault(kind, []).append(path)
    return found


# --- what the user wrote --------------------------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = "workflow/img2img_no_mask_api.json"
WRITTEN = {
    "config/rules.yaml": ROOT / "projects" / "demo" / "config" / "rules.yaml",
    "config/AIGen.yaml": ROOT / "projects" / "demo" / "config" / "AIGen.yaml",
    "config/AIVis.yaml": ROOT / "defaults" / "config" / "AIVis.yaml",
    "config/prompts.yaml": ROOT / "defaults" / "prompts.yaml",
    WORKFLOW: ROOT / "defaults" / WORKFLOW,
}


@pytest.mark.parametrize("name", sorted(WRITTEN))
@some
@given(data=st.data())
def test_a_project_with_one_value_changed_runs_or_is_refused(name: str, data: st.DataObject, roots: Any) -> None:
    """As far as the first picture: the clients are made, and nobody is asked."""
    tried()
    bench = Bench(next(roots))
    for part, source in WRITTEN.items():
        (bench.project.root / part).parent.mkdir(exist_ok=True)
        shutil.copyfile(str(source), str(bench.project.root / part))
    path = bench.project.root / name
    odd = data.draw(one_value(yaml.safe_load(path.read_text(encoding="utf-8"))))
    path.write_text(json.dumps(odd) if path.suffix == ".json" else yaml.safe_dump(odd), encoding="ascii")
    answers(lambda: begin(bench))
    shutil.rmtree(str(bench.workspace.root))


def begin(bench: Bench) -> None:
    generation, vision = load_generation(bench.project.generation).record, load_vision(bench.project.vision).record
    with connect(generation.comfyui, vision, {}):
        pass
    with contextlib.suppress(KeyboardInterrupt):
        bench.run(ScriptedGenerator({1: KeyboardInterrupt()}), ScriptedVision([NONE]))
