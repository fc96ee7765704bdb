"""What runs write for the page: rows, head, index, the copy of the page; and that all of it can be made anew."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Dict, List

import pytest
from scripted import ALL, HALF, NONE, RULES, Bench, ScriptedGenerator, ScriptedVision, rank

from imagination import page_copy, page_rebuild, pages
from imagination.chronicle import Chronicle
from imagination.errors import ExecutionFailed, WorkflowRejected
from imagination.loop import Observer
from imagination.model import CallRecord, Duel, FinalComparison, JudgeCheck, ProjectSettings
from imagination.page_rows import row
from imagination.resume import Opening, settings_in_force
from imagination.setup import read_setup
from imagination.store import Run


def script(path: Path) -> Dict[str, Any]:
    data = pages.read_script(path)
    assert data is not None, path
    return data


def rows(run: Run, block: int = 1) -> List[Dict[str, Any]]:
    found: List[Dict[str, Any]] = script(pages.block_file(run, block))["rows"]
    return found


def last_run(bench: Bench) -> Run:
    return bench.store.runs()[-1]


def test_each_iteration_is_a_row(bench: Bench) -> None:
    generator = ScriptedGenerator({2: ExecutionFailed("out of memory")})
    bench.run(generator, ScriptedVision([{"is_red": True, "same_shape": None}, ALL]))
    first, failed, passed = rows(last_run(bench))
    assert first["results"] == {"is_red": True, "same_shape": None}
    assert (first["score"], first["similarity"], first["parameters"]["seed"]) == (50.0, 0.5, 1000)
    assert (failed["status"], failed["picture"], failed["score"], failed["error"]) == (
        "failed",
        False,
        None,
        "out of memory",
    )
    assert passed["results"] == {"is_red": True, "same_shape": True}


def test_an_unjudged_picture_has_no_score(bench: Bench) -> None:
    bench.run_stopped(ScriptedGenerator(), ScriptedVision([NONE], faults={"*": -1}))
    first = rows(last_run(bench))[0]
    assert (first["source"], first["score"], first["similarity_source"]) == ("fallback", None, "measured")
    assert first["results"] == {"is_red": None, "same_shape": None}


def test_rows_lie_in_blocks_of_fifty(bench: Bench) -> None:
    bench.rules(max_iterations=51)
    bench.run(ScriptedGenerator(), ScriptedVision([HALF]))
    run = last_run(bench)
    assert [row["iteration"] for row in rows(run, 1)] == list(range(1, 51))
    assert [row["iteration"] for row in rows(run, 2)] == [51]
    head = script(pages.head_file(run))
    assert len(head["blocks"]) == 2 and all(head["blocks"])


def test_only_the_block_that_changed_gets_another_stamp(bench: Bench) -> None:
    bench.rules(max_iterations=51)
    bench.run(ScriptedGenerator(), ScriptedVision([HALF]))
    before = script(pages.head_file(last_run(bench)))["blocks"]
    bench.rules(max_iterations=52)
    bench.run(ScriptedGenerator(), ScriptedVision([HALF]))
    after = script(pages.head_file(last_run(bench)))["blocks"]
    assert after[0] == before[0] and after[1] != before[1]


def test_rows_that_were_set_aside_go(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([NONE]))
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]), resume_from=3)
    assert [row["iteration"] for row in rows(last_run(bench))] == [1, 2, 3]


def test_a_criterion_that_was_met_once_is_not_never_met(bench: Bench) -> None:
    bench.rules(max_iterations=3)
    bench.run(ScriptedGenerator(), ScriptedVision([HALF, NONE]))
    assert script(pages.head_file(last_run(bench)))["never_met"] == ["same_shape"]
    [project] = script(bench.project.root.parent / "index.js")["projects"]
    [summary] = project["runs"]
    assert (summary["never_met"], summary["criteria"], summary["max_iterations"]) == (["same_shape"], 2, 3)
    assert (summary["ranked"], project["input"]) == (False, "input/input.png")


def test_the_index_knows_a_run_before_its_first_picture_is_judged(bench: Bench) -> None:
    seen: List[Any] = []

    class Eye(Observer):
        def iteration_begins(self, *_: Any) -> None:
            [project] = script(bench.project.root.parent / "index.js")["projects"]
            seen.append([(run["run_id"], run["status"], run["last_iteration"]) for run in project["runs"]])

    bench.run(ScriptedGenerator(), ScriptedVision([ALL]), observer=Eye())
    assert seen == [[(last_run(bench).run_id, "running", 0)]]


# --- made anew ------------------------------------------------------------------------------------------------------------


def page_files(run: Run) -> Dict[str, Any]:
    """Everything that can be rebuilt, without what tells when it was written."""
    files = [pages.head_file(run), *sorted((run.root / "scripts").iterdir())]
    told = {path.name: script(path) for path in files}
    told["run.js"].pop("blocks")
    return {**told, "thumbs": sorted(p.name for p in (run.root / "thumbs").iterdir())}


def test_everything_missing_is_made_anew(bench: Bench) -> None:
    bench.run(ScriptedGenerator({2: ExecutionFailed("no memory")}), ScriptedVision([HALF, ALL]))
    run = last_run(bench)
    before = page_files(run)
    for folder in ("scripts", "thumbs"):
        shutil.rmtree(str(run.root / folder))
    pages.head_file(run).unlink()
    page_rebuild.rebuild_all(bench.project.root.parent)
    assert page_files(run) == before


def test_a_run_whose_resume_point_made_way_gets_its_head_again(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([HALF, ALL]))
    first = last_run(bench)
    before = page_files(first)
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    pages.head_file(first).unlink()
    page_rebuild.rebuild_all(bench.project.root.parent)
    again = script(pages.head_file(first))
    for key in ("status", "best_iteration", "best_score", "last_iteration", "never_met", "criteria"):
        assert (key, again[key]) == (key, before["run.js"][key])


def test_one_damaged_artefact_hides_no_other(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([NONE]))
    run = last_run(bench)
    shutil.rmtree(str(run.root / "scripts"))
    run.file("evaluation", 2).write_text("{", encoding="utf-8")
    run.file("metadata", 4).write_bytes(b"\xff\x00")
    page_rebuild.rebuild_all(bench.project.root.parent)
    told = [(row["iteration"], row["source"], row["score"], row["error"]) for row in rows(run)]
    assert told[:2] == [(1, "aivis", 0.0, None), (2, None, None, "cannot be read: evaluation")]
    assert [each[0] for each in told] == [1, 2, 3, 5] and not pages.script_file(run, 4).exists()
    assert "evaluation" not in script(pages.script_file(run, 2)) and "comparison" in script(pages.script_file(run, 2))


def test_a_rebuild_with_nothing_missing_writes_nothing(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([NONE]))
    stamps = {path: path.stat().st_mtime_ns for path in last_run(bench).root.rglob("*")}
    page_rebuild.rebuild(bench.store)
    assert {path: path.stat().st_mtime_ns for path in last_run(bench).root.rglob("*")} == stamps


def test_a_damaged_block_is_made_anew(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([NONE]))
    run = last_run(bench)
    pages.block_file(run, 1).write_text("imagination.receive({", encoding="utf-8")
    page_rebuild.rebuild(bench.store)
    assert [row["iteration"] for row in rows(run)] == [1, 2, 3, 4, 5]


# --- the ranking ----------------------------------------------------------------------------------------------------------


def test_a_ranking_is_put_into_the_head_with_its_time(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    run = last_run(bench)
    assert script(pages.head_file(run))["ranking_saved_at"] is None
    path = rank(bench, run.run_id, ["1"], {"1": "good"})
    os.utime(str(path), (1_768_002_000, 1_768_002_000))
    pages.refresh_ranking(run)
    head = script(pages.head_file(run))
    assert (head["ranking"]["notes"], head["ranking_saved_at"]) == ({"1": "good"}, 1_768_002_000)
    assert head["status"] == "passed" and head["blocks"]


def test_a_rebuild_takes_up_a_ranking_that_was_saved_since(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    rank(bench, last_run(bench).run_id, ["1"])
    page_rebuild.rebuild_all(bench.project.root.parent)
    assert script(pages.head_file(last_run(bench)))["ranking"]["ranking"] == ["1"]
    [project] = script(bench.project.root.parent / "index.js")["projects"]
    assert project["runs"][0]["ranked"] is True


def test_the_head_of_a_run_at_work_is_left_to_it(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    run = last_run(bench)
    head = script(pages.head_file(run))
    pages.receive(pages.head_file(run), {**head, "status": "running"})
    rank(bench, run.run_id, ["1"])
    pages.refresh_ranking(run)
    assert script(pages.head_file(run))["ranking"] is None


# --- the copy of the page -------------------------------------------------------------------------------------------------


def test_a_workspace_gets_its_copy_of_the_page(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    copy = bench.workspace.root / "viewer"
    shipped = page_copy.shipped("viewer")
    names = {path.name for path in shipped.iterdir() if path.suffix in page_copy.KINDS}
    assert "index.html" in names
    assert {path.name for path in copy.iterdir()} == {*names, page_copy.LIST}
    assert (copy / "app.js").read_bytes() == (shipped / "app.js").read_bytes()


def test_an_older_copy_is_brought_up_to_date_and_a_changed_file_stays(tmp_path: Path) -> None:
    page_copy.publish(tmp_path)
    copy, listing = tmp_path / "viewer", tmp_path / "viewer" / page_copy.LIST
    old = json.loads(listing.read_text(encoding="utf-8"))
    (copy / "app.js").write_text("old", encoding="utf-8")
    old["files"]["app.js"] = page_copy._sha256(b"old")
    listing.write_text(json.dumps(old), encoding="utf-8")
    (copy / "base.css").write_text("mine", encoding="utf-8")
    page_copy.publish(tmp_path)
    assert (copy / "app.js").read_bytes() == (page_copy.shipped("viewer") / "app.js").read_bytes()
    assert (copy / "base.css").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_is_not_our_copy_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "viewer").mkdir()
    (tmp_path / "viewer" / "index.html").write_text("mine", encoding="utf-8")
    page_copy.publish(tmp_path)
    assert [path.name for path in (tmp_path / "viewer").iterdir()] == ["index.html"]
    assert (tmp_path / "viewer" / "index.html").read_text(encoding="utf-8") == "mine"


def test_a_workspace_that_cannot_be_written_is_only_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "viewer").mkdir()
    (tmp_path / "viewer" / page_copy.LIST).write_text('{"files": {}}', encoding="utf-8")
    (tmp_path / "viewer" / "app.js").mkdir()
    page_copy.publish(tmp_path)
    assert "could not be put into" in caplog.text


# --- the index through a run's life ----------------------------------------------------------------------------------------


def summary_of(bench: Bench) -> Dict[str, Any]:
    [project] = script(bench.project.root.parent / "index.js")["projects"]
    found: Dict[str, Any] = project["runs"][0]
    return found


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), WorkflowRejected("no such node")])
def test_a_run_that_is_stopped_says_so_in_head_and_index(bench: Bench, fault: BaseException) -> None:
    bench.run_stopped(ScriptedGenerator({2: fault}), ScriptedVision([HALF]))
    assert (summary_of(bench)["status"], summary_of(bench)["last_iteration"]) == ("stopped", 1)
    assert script(pages.head_file(last_run(bench)))["status"] == "stopped"


def test_a_run_has_a_head_and_its_input_before_the_first_iteration(bench: Bench) -> None:
    bench.run_stopped(ScriptedGenerator({1: KeyboardInterrupt()}), ScriptedVision([HALF]))
    run = last_run(bench)
    head = script(pages.head_file(run))
    assert (head["last_iteration"], head["blocks"], head["never_met"]) == (0, [], [])  # nothing was judged
    assert (run.root / "thumbs" / "input.webp").is_file() and summary_of(bench)["best_score"] is None


def test_of_a_run_that_nobody_judged_no_criterion_is_called_never_met(bench: Bench) -> None:
    bench.run_stopped(ScriptedGenerator(), ScriptedVision([NONE], faults={"*": -1}))
    assert (summary_of(bench)["never_met"], summary_of(bench)["last_iteration"]) == ([], 3)


def test_what_was_decided_after_an_iteration_reaches_the_page_with_a_new_stamp(bench: Bench) -> None:
    stamps: List[Any] = []

    class Eye(Observer):
        def iteration_ends(self, *_: Any) -> None:
            stamps.append(script(pages.head_file(last_run(bench)))["blocks"])

        def decided(self, *_: Any) -> None:
            assert script(pages.script_file(last_run(bench), 1))["metadata"]["decision"]
            stamps.append(script(pages.head_file(last_run(bench)))["blocks"])

    bench.rules(max_iterations=2)
    bench.run(ScriptedGenerator(), ScriptedVision([HALF, HALF]), observer=Eye())
    assert len(stamps) == 3 and stamps[0] != stamps[1]


def test_verdicts_under_other_rules_do_not_count_as_met(bench: Bench) -> None:
    bench.rules(max_iterations=2)
    bench.run(ScriptedGenerator(), ScriptedVision([HALF]))
    other = [{**RULES["acceptance_criteria"][0], "question": "Is it red all over?"}, RULES["acceptance_criteria"][1]]
    bench.write("rules.yaml", {**RULES, "acceptance_criteria": other, "project": {"name": "p", "max_iterations": 3}})
    bench.run(ScriptedGenerator(), ScriptedVision([NONE]), resume_from=3)
    assert summary_of(bench)["never_met"] == ["is_red", "same_shape"]
    assert [row["results"]["is_red"] for row in rows(last_run(bench))] == [True, True, False]


def test_a_ranking_that_is_none_ends_no_run(bench: Bench) -> None:
    class Eye(Observer):
        def iteration_begins(self, *_: Any) -> None:
            path = last_run(bench).ranking_file
            path.parent.mkdir(exist_ok=True)
            path.write_text('{"ranking": ["1"], "updated_at": NaN}', encoding="utf-8")

    assert bench.run(ScriptedGenerator(), ScriptedVision([ALL]), observer=Eye()).passed
    assert script(pages.head_file(last_run(bench)))["ranking"] is None


# --- votes, the judge check, the end ----------------------------------------------------------------------------------------

CALL = CallRecord(provider="ollama", model="eyes")
CHECK = JudgeCheck(
    original={"is_red": [True, True]}, grey={"is_red": [None]}, warnings=["says yes"], aivis_metadata=CALL
)
FINAL = FinalComparison(
    iterations=[2, 1], duels=[Duel(first=2, second=1, better=2, reason="redder")], winner=2, aivis_metadata=CALL
)


class Checking(Observer):
    """Writes what a judge check and a final comparison leave, as a run goes on."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def iteration_begins(self, *_: Any) -> None:
        last_run(self.bench).write_judge_check(CHECK)

    def iteration_ends(self, *_: Any) -> None:
        last_run(self.bench).write_final_comparison(FINAL)


def test_the_check_reaches_the_page_with_the_next_iteration_and_the_comparison_with_the_end(bench: Bench) -> None:
    seen: List[Any] = []

    class Eye(Checking):
        def decided(self, *_: Any) -> None:
            head = script(pages.head_file(last_run(bench)))
            seen.append((head["judge_check"]["warnings"], head["final_comparison"]))

    bench.rules(max_iterations=2)
    bench.run(ScriptedGenerator(), ScriptedVision([NONE]), observer=Eye(bench))
    assert seen == [(["says yes"], None)]  # a run that goes on has no final comparison
    head = script(pages.head_file(last_run(bench)))
    assert head["judge_check"]["original"] == {"is_red": [True, True]} and head["judge_check"]["model"] == "eyes"
    assert head["final_comparison"]["duels"] == [{"first": 2, "second": 1, "better": 2, "reason": "redder"}]


def test_a_run_under_spec_tells_of_no_check_end_comparison_or_confirmation(bench: Bench) -> None:
    bench.rules(strategy="spec")
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    head, [row] = script(pages.head_file(last_run(bench))), rows(last_run(bench))
    assert (head["judge_check"], head["final_comparison"], head["ending"]) == (None, None, None)
    assert (row["looks"], row["confirmed"]) == (1, False)


@pytest.mark.parametrize(
    ("votes", "met", "looks", "confirmed"),
    [
        ({"is_red": [True], "same_shape": [True]}, True, 1, False),
        ({"is_red": [True, True, None], "same_shape": [True]}, True, 3, True),
        ({"is_red": [True, True], "same_shape": [False, True]}, False, 2, False),
        ({}, True, 0, False),
    ],
)
def test_a_row_says_how_often_was_looked_and_whether_a_pass_was_confirmed(
    bench: Bench, votes: Any, met: bool, looks: int, confirmed: bool
) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([ALL]))
    run = last_run(bench)
    metadata, evaluation = run.metadata(1), run.evaluation(1)
    assert metadata is not None and evaluation is not None
    told = {"votes": votes, "criteria_results": {"is_red": True, "same_shape": met}}
    made = row(metadata, evaluation.model_copy(update=told), None)
    assert (made["looks"], made["confirmed"], made["requests"]) == (looks, confirmed, metadata.usage.requests)


def test_the_output_tells_why_a_run_ended_without_a_pass(bench: Bench) -> None:
    bench.rules(max_iterations=1)
    bench.run(ScriptedGenerator(), ScriptedVision([NONE]))
    output = bench.project.root / "output" / "output_metadata.json"
    checkpoint = bench.store.read_checkpoint()
    assert checkpoint is not None
    ended = checkpoint.model_copy(update={"ended_by": "cost", "ending": "It has cost 2 USD."})
    setup = read_setup(bench.project, settings_in_force(bench.store, ProjectSettings(max_iterations=1), False, None))
    for status, told in (("exhausted", ("cost", "It has cost 2 USD.")), ("passed", (None, None))):
        book = Chronicle(setup, bench.store, Opening(last_run(bench), ended, False, ""))
        book.remember()
        book.finish(status, 1_768_000_100.0)  # type: ignore[arg-type]
        data = json.loads(output.read_text(encoding="utf-8"))
        assert (data.get("ended_by"), data.get("ending")) == told
