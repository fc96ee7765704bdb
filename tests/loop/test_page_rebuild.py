"""The page's files after a kill, an update, a resume, a copy, or damage: what is made anew, and what is left alone."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))

from make_runs import add_iteration, draw, file_of, make_run, rank, supersede

from imagination import page_rebuild, pages
from imagination.disk import write_json
from imagination.model import Answers, CallRecord
from imagination.page_rows import ROWS, block_of, with_row
from imagination.store import Run, Store


def script(run: Run, kind: str, number: int = 0) -> Dict[str, Any]:
    data = pages.read_script(file_of(run, kind, number))
    assert data is not None, (kind, number)
    return data


def rebuild(root: Path) -> None:
    page_rebuild.rebuild_all(root / "projects")


def numbers(run: Run, block: int = 1) -> List[int]:
    return [row["iteration"] for row in pages.read_rows(run, block)]


def change(path: Path, **keys: Any) -> None:
    """Change keys of an artefact on disk."""
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **keys}), encoding="utf-8")


@pytest.mark.parametrize(("iteration", "block"), [(1, 1), (50, 1), (51, 2), (100, 2), (101, 3), (500, 10)])
def test_fifty_iterations_share_a_block(iteration: int, block: int) -> None:
    assert block_of(iteration) == block and ROWS == 50


def test_a_row_takes_the_place_of_its_iterations_earlier_one_and_rows_stay_in_order() -> None:
    rows: List[Dict[str, Any]] = [{"iteration": 1}, {"iteration": 3, "score": 1}]
    assert with_row(rows, {"iteration": 3, "score": 2}) == [{"iteration": 1}, {"iteration": 3, "score": 2}]
    assert [row["iteration"] for row in with_row(rows, {"iteration": 2})] == [1, 2, 3]


# --- rows -----------------------------------------------------------------------------------------------------------------


def test_rows_and_blocks_of_iterations_that_were_set_aside_are_dropped(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 53, size=(32, 24))
    supersede(tmp_path, "p", 4)
    assert script(run, "head")["blocks"] == pages.stamps(run, 3) and len(pages.stamps(run, 3)) == 1
    rebuild(tmp_path)
    assert numbers(run) == [1, 2, 3] and not file_of(run, "block", 2).exists()
    assert script(run, "head")["blocks"] == pages.stamps(run, 3)


def test_a_run_without_any_script_gets_them_all_again(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 52, size=(32, 24))
    files = ["head", *(f"block {n}" for n in (1, 2)), *(f"script {n}" for n in (1, 5, 52))]

    def told() -> Dict[str, Any]:
        found = {name: script(run, name.split()[0], int([*name.split(), "0"][1])) for name in files}
        return {**found, "head": {**found["head"], "blocks": len(found["head"]["blocks"])}}

    before = told()
    shutil.rmtree(str(run.root / "scripts"))
    file_of(run, "head").unlink()
    rebuild(tmp_path)
    assert told() == before


def test_a_block_that_was_made_anew_has_its_new_stamp_in_the_head(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 3, size=(32, 24), broken={"block": [1]})
    rebuild(tmp_path)
    assert numbers(run) == [1, 2, 3] and script(run, "head")["blocks"] == pages.stamps(run, 3)


def test_each_writing_changes_the_stamp_also_within_one_tick_of_the_clock(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 1, size=(32, 24))
    block = file_of(run, "block", 1)
    seen = []
    for _ in range(2):
        pages.write_rows(run, 1, pages.read_rows(run, 1))
        os.utime(str(block), (1_768_000_000, 1_768_000_000))
        seen.append(pages.stamps(run, 1))
    assert seen[0] != seen[1]


def test_a_damaged_evaluation_leaves_the_rest_of_its_iteration(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 3, size=(32, 24), broken={"evaluation": [2]}, missing={"script": [2], "block": [1]})
    file_of(run, "thumb", 2).unlink()
    rebuild(tmp_path)
    row = pages.read_rows(run, 1)[1]
    assert (row["picture"], row["source"], row["score"], row["results"]) == (True, None, None, {})
    assert row["error"] == "cannot be read: evaluation" and row["similarity"] is not None
    assert "evaluation" not in script(run, "script", 2) and file_of(run, "thumb", 2).is_file()


def test_a_damaged_picture_hides_no_other_thumbnail(tmp_path: Path) -> None:
    thumbs = [1, 2, 3]
    run = make_run(tmp_path, "p", 3, size=(32, 24), broken={"image": [2], "thumb": thumbs}, missing={"thumb": thumbs})
    rebuild(tmp_path)
    assert [number for number in thumbs if file_of(run, "thumb", number).exists()] == [1, 3]


def test_the_inputs_thumbnail_follows_another_input(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 1, size=(64, 32))
    rebuild(tmp_path)
    source = file_of(run, "input")
    source.write_bytes(draw(0, (30, 60)))
    later = time.time() + 5
    os.utime(str(source), (later, later))
    rebuild(tmp_path)
    with Image.open(file_of(run, "input_thumb")) as picture:
        assert picture.size == (30, 60)


# --- the head -------------------------------------------------------------------------------------------------------------


def test_a_run_killed_before_its_head_was_written_catches_up(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 3, status="stopped", size=(32, 24))
    behind = file_of(run, "head").read_bytes()
    add_iteration(tmp_path, "p")
    file_of(run, "head").write_bytes(behind)
    rebuild(tmp_path)
    assert (script(run, "head")["last_iteration"], len(numbers(run))) == (4, 4)


def test_a_state_that_only_the_resume_point_knows_is_taken_over(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 2, status="running", size=(32, 24), max_iterations=9)
    change(file_of(run, "checkpoint"), status="stopped")
    rebuild(tmp_path)
    assert script(run, "head")["status"] == "stopped" and script(run, "head")["max_iterations"] == 9
    assert script(run, "index")["projects"][0]["runs"][0]["status"] == "stopped"


def test_the_head_of_a_run_at_work_is_left_to_its_process(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 2, status="running", size=(32, 24))
    before = file_of(run, "head").read_bytes()
    rank(run, ["1"])
    with Store(tmp_path / "projects" / "p").lock():
        rebuild(tmp_path)
        assert file_of(run, "head").read_bytes() == before
    rebuild(tmp_path)  # nobody is at work any more
    assert script(run, "head")["ranking"]["ranking"] == ["1"]


def test_a_head_of_an_older_version_is_made_anew(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 2, size=(32, 24))
    whole = script(run, "head")
    older = {key: value for key, value in whole.items() if key not in ("blocks", "never_met", "ranking_saved_at")}
    pages.receive(file_of(run, "head"), older)
    rebuild(tmp_path)
    assert script(run, "head") == whole


def test_a_head_made_before_checks_and_ends_were_told_of_gets_them(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 3, size=(32, 24), failed=[], warnings=["it says yes"])
    whole = script(run, "head")
    assert whole["judge_check"]["warnings"] and whole["final_comparison"]["winner"] and whole["ended_by"]
    new = ("judge_check", "final_comparison", "ended_by", "ending")
    pages.receive(file_of(run, "head"), {key: value for key, value in whole.items() if key not in new})
    rebuild(tmp_path)
    assert script(run, "head") == whole
    pages.receive(file_of(run, "head"), {**whole, "judge_check": None, "final_comparison": None})
    rebuild(tmp_path)
    assert script(run, "head") == whole


@pytest.mark.parametrize("kind", ["judge_check", "final_comparison"])
def test_a_damaged_check_or_comparison_costs_its_own_part_only(tmp_path: Path, kind: str) -> None:
    run = make_run(tmp_path, "p", 3, size=(32, 24), failed=[])
    whole = script(run, "head")
    assert whole[kind] is not None
    file_of(run, kind).write_text('{"format": 1, "warnings": 3}', encoding="utf-8")
    file_of(run, "head").unlink()
    rebuild(tmp_path)
    assert script(run, "head") == {**whole, kind: None}


def test_a_run_put_back_to_before_its_final_comparison_has_none(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 3, size=(32, 24), failed=[])
    assert max(script(run, "head")["final_comparison"]["iterations"]) == 3
    supersede(tmp_path, "p", 3)
    assert script(run, "head")["final_comparison"] is None
    change(file_of(run, "checkpoint"), status="exhausted")
    rebuild(tmp_path)
    assert script(run, "head")["status"] == "exhausted" and script(run, "head")["final_comparison"] is None


def test_why_an_earlier_run_ended_is_told_from_its_output(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 3, max_iterations=9, size=(32, 24), failed=[], ended_by="conflict")
    before = script(run, "head")
    output = {"result": "best_so_far", "ended_by": "conflict", "ending": before["ending"]}
    write_json(run.root / "output" / "output_metadata.json", output)
    make_run(tmp_path, "p", 1, size=(32, 24))
    file_of(run, "head").unlink()
    rebuild(tmp_path)
    after = script(run, "head")
    for key in ("status", "ended_by", "ending", "final_comparison"):
        assert (key, after[key]) == (key, before[key])
    assert script(run, "index")["projects"][0]["runs"][1]["ended_by"] == "conflict"


@pytest.mark.parametrize("odd", [{"ended_by": "boredom"}, {"ended_by": ["cost"]}, {"ended_by": "cost", "ending": 3}])
def test_an_odd_end_in_an_output_hides_nothing(tmp_path: Path, odd: Any) -> None:
    run = make_run(tmp_path, "p", 2, size=(32, 24))
    write_json(run.root / "output" / "output_metadata.json", odd)
    make_run(tmp_path, "p", 1, size=(32, 24))
    file_of(run, "head").unlink()
    rebuild(tmp_path)
    assert script(run, "head")["ending"] is None and script(run, "head")["last_iteration"] == 2


def test_texts_of_a_check_and_reasons_of_duels_are_kept_short_in_the_head(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 3, size=(32, 24), failed=[], warnings=["yes " * 5000])
    duel = {"first": 1, "second": 3, "better": None, "reason": "so " * 5000}
    change(file_of(run, "final_comparison"), duels=[duel] * 900)
    rebuild(tmp_path)
    assert file_of(run, "head").stat().st_size < 60_000


def test_without_its_rules_an_earlier_run_shows_all_but_the_criteria(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 3, size=(32, 24), broken={"rules": True, "head": True, "checkpoint": True})
    rebuild(tmp_path)
    head = script(run, "head")
    assert (head["criteria"], head["max_iterations"], head["last_iteration"]) == ([], None, 3)
    assert head["best_iteration"] is not None and head["blocks"] == pages.stamps(run, 3)
    summary = script(run, "index")["projects"][0]["runs"][0]
    assert (summary["run_id"], summary["criteria"], summary["last_iteration"]) == (run.run_id, 0, 3)


@pytest.mark.parametrize(
    ("status", "max_iterations", "told"),
    [("passed", 9, "passed"), ("exhausted", 3, "exhausted"), ("stopped", 9, "stopped")],
)
def test_an_earlier_runs_state_is_told_from_its_artefacts(
    tmp_path: Path, status: Any, max_iterations: int, told: str
) -> None:
    run = make_run(tmp_path, "p", 3, status=status, max_iterations=max_iterations, size=(32, 24))
    before = script(run, "head")
    make_run(tmp_path, "p", 1, size=(32, 24))
    file_of(run, "head").unlink()
    rebuild(tmp_path)
    after = script(run, "head")
    assert after["status"] == told
    for key in ("best_iteration", "best_score", "never_met", "max_iterations", "totals", "started_at", "updated_at"):
        assert (key, after[key]) == (key, before[key])


def test_a_run_whose_files_all_are_damaged_stays_in_the_list_with_the_others(tmp_path: Path) -> None:
    lost = make_run(tmp_path, "p", 1, size=(32, 24), broken={"metadata": [1], "head": True, "evaluation": [1]})
    make_run(tmp_path, "p", 2, size=(32, 24))
    rebuild(tmp_path)
    runs = script(lost, "index")["projects"][0]["runs"]
    assert [run["last_iteration"] for run in runs] == [2, 1] and {*runs[0]} == {*runs[1]}


@pytest.mark.parametrize("last", [1_000_000_000, -1, None])
def test_a_head_with_a_number_of_iterations_that_no_run_has_is_made_anew(tmp_path: Path, last: Any) -> None:
    """There would be twenty million blocks to look for."""
    run = make_run(tmp_path, "p", 2, size=(32, 24))
    (run.root.parent / "checkpoint.json").unlink()
    pages.receive(file_of(run, "head"), {**script(run, "head"), "last_iteration": last})
    begun = time.monotonic()
    rebuild(tmp_path)
    assert script(run, "head")["last_iteration"] == 2 and time.monotonic() - begun < 5


def test_a_head_with_an_odd_ranking_is_made_anew(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 1, size=(32, 24))
    pages.receive(file_of(run, "head"), {**script(run, "head"), "ranking": [1]})
    rebuild(tmp_path)
    assert script(run, "head")["ranking"] is None


def test_a_file_of_an_iteration_that_no_run_has_is_passed_over(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 2, size=(32, 24))
    (run.root.parent / "checkpoint.json").unlink()
    for number in ("1000000000", "0", "9" * 200, "007"):
        shutil.copyfile(file_of(run, "metadata", 2), run.root / "metadata" / f"iteration_{number}_metadata.json")
    file_of(run, "head").unlink()
    rebuild(tmp_path)
    assert script(run, "head")["last_iteration"] == 2 and run.iterations() == [1, 2]


def test_only_verdicts_under_the_heads_rules_count(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 3, status="passed", size=(32, 24))
    change(file_of(run, "evaluation", 3), rules_sha256="of other rules", criteria_sha256={})
    file_of(run, "head").unlink()
    rebuild(tmp_path)
    assert "never_met_one" in script(run, "head")["never_met"]


# --- the ranking, the index, and odd values -------------------------------------------------------------------------------


def test_a_first_ranking_is_seen_in_the_index_at_once(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 2, size=(32, 24))
    rank(run, ["2"], {"1": "no"})
    pages.refresh_ranking(run)
    assert script(run, "head")["ranking"] == {"ranking": ["2"], "notes": {"1": "no"}, "updated_at": 1_768_000_000.0}
    assert script(run, "index")["projects"][0]["runs"][0]["ranked"] is True


def test_a_ranking_that_was_taken_away_is_gone_from_the_head(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 2, size=(32, 24), ranking=["2"], missing={"ranking": True})
    rebuild(tmp_path)
    head = script(run, "head")
    assert (head["ranking"], head["ranking_saved_at"]) == (None, None)
    assert script(run, "index")["projects"][0]["runs"][0]["ranked"] is False


@pytest.mark.parametrize("text", ['{"ranking": [', '{"ranking": "1"}', '{"ranking": [], "updated_at": NaN}', "[]"])
def test_a_damaged_ranking_has_a_time_but_says_nothing(tmp_path: Path, text: str) -> None:
    run = make_run(tmp_path, "p", 1, size=(32, 24), ranking=["1"])
    run.ranking_file.write_text(text, encoding="utf-8")
    pages.refresh_ranking(run)
    head = script(run, "head")
    assert head["ranking"] is None and head["ranking_saved_at"] == run.ranking_file.stat().st_mtime


def test_what_a_killed_run_left_behind_its_artefact_is_made_anew(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 3, size=(32, 24))
    rebuild(tmp_path)
    decided = [{"what": "denoise 0.4 -> 0.5", "why": "killed before the page heard of it"}]
    change(run.file("metadata", 2), decision=decided, status="failed")
    rebuild(tmp_path)
    assert script(run, "script", 2)["metadata"]["decision"] == decided
    assert [row["status"] for row in pages.read_rows(run, 1)] == ["ok", "failed", "ok"]


@pytest.mark.parametrize("rows", [[], ["old", 2], ["old"]])  # as the first, or the second writing of a row failed
def test_a_row_that_found_no_room_is_made_up_for_with_the_next_iteration(tmp_path: Path, rows: List[Any]) -> None:
    run = make_run(tmp_path, "p", 3, size=(32, 24))
    before = pages.read_rows(run, 1)
    pages.write_rows(run, 1, [before[0] if each == "old" else before[each - 1] for each in rows])
    change(run.file("metadata", 1), status="failed")
    last = run.metadata(3)
    assert last is not None
    pages.write_iteration(run, last)
    assert [(row["iteration"], row["status"]) for row in pages.read_rows(run, 1)] == [
        (1, "failed"),
        (2, "ok"),
        (3, "ok"),
    ]


def test_numbers_that_a_browser_would_round_are_told_as_text(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 1, size=(32, 24))
    metadata = run.metadata(1)
    assert metadata is not None
    for seed, told in ((2**64 - 1, str(2**64 - 1)), (2**53, 2**53)):
        pages.write_iteration(run, metadata.model_copy(update={"parameters_used": {"seed": seed}}))
        assert pages.read_rows(run, 1)[0]["parameters"]["seed"] == told
        assert script(run, "script", 1)["metadata"]["parameters_used"]["seed"] == told


def test_a_script_holds_json_whatever_a_model_wrote(tmp_path: Path) -> None:
    run = make_run(tmp_path, "p", 1, size=(32, 24))
    values: Any = {"weather": "</script>\u2028\ud800", "trees": [float("inf"), {"deep": float("nan")}]}
    answers = Answers(iteration=1, answers=values, unanswered=[], aivis_metadata=CallRecord(provider="p", model="m"))
    pages.receive(file_of(run, "script", 1), {"kind": "iteration", "questions": answers.model_dump()})
    text = file_of(run, "script", 1).read_text(encoding="ascii")
    assert "</" not in text and "NaN" not in text and "Infinity" not in text
    assert script(run, "script", 1)["questions"]["answers"]["trees"] == [None, {"deep": None}]


def test_a_rebuild_with_nothing_missing_writes_nothing_in_any_run(tmp_path: Path) -> None:
    for status in ("passed", "stopped", "running"):
        make_run(tmp_path, "p", 3, status=status, size=(32, 24), ranking=["1"])  # type: ignore[arg-type]
    rebuild(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "index.js"]
    before = {path: path.stat().st_ino for path in files}
    rebuild(tmp_path)
    assert {path: path.stat().st_ino for path in files} == before


@pytest.mark.parametrize(
    "name", ["2026-13-45_10-00-00", "0000-00-00_00-00-00", "0001-01-01_00-00-00", "9999-12-31_23-59-61"]
)
def test_a_folder_whose_name_is_no_date_is_shown_all_the_same(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path, "p", 2, size=(32, 24))
    other = run.root.with_name(name)
    shutil.copytree(str(run.root), str(other))
    (other / "run.js").unlink()
    rebuild(tmp_path)
    assert script(Run(other, name), "head")["last_iteration"] == 2
