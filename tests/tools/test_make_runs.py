"""The runs that the page's tests are made of hold what those tests look for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

from make_runs import (
    HOSTILE,
    add_iteration,
    file_of,
    finish_run,
    last_run,
    main,
    make_run,
    make_workspace,
    rejudge,
    supersede,
)

from imagination.pages import read_rows, read_script
from imagination.store import Run, Store


def head_of(run: Run) -> Dict[str, Any]:
    head = read_script(file_of(run, "head"))
    assert head is not None
    return head


def rows_of(run: Run, blocks: int = 1) -> List[Dict[str, Any]]:
    return [row for block in range(1, blocks + 1) for row in read_rows(run, block)]


def test_a_run_has_iterations_of_every_kind(tmp_path: Path) -> None:
    run = make_run(tmp_path, "garden", iterations=60, status="passed", ranking=["3"], notes={"7": "no"})
    head, rows = head_of(run), rows_of(run, 2)
    assert [row["iteration"] for row in rows] == list(range(1, 61))
    assert {(row["status"], row["source"]) for row in rows} == {("ok", "aivis"), ("ok", "fallback"), ("failed", None)}
    assert [row["picture"] for row in rows] == [row["status"] == "ok" for row in rows]
    assert {None, True, False} == {verdict for row in rows for verdict in row["results"].values()}
    assert len({row["score"] for row in rows}) > 5
    assert all(row["results"].values() for row in rows[-1:])
    assert head["never_met"] == [] and head["best_iteration"] == 60 and head["status"] == "passed"
    assert head["ranking"]["ranking"] == ["3"] and len(head["blocks"]) == 2


def test_what_the_model_wrote_is_full_of_markup(tmp_path: Path) -> None:
    run = make_run(tmp_path, "garden", iterations=30)
    texts = "".join(
        file_of(run, kind, n).read_text("utf-8") for n in (3, 4, 6, 7) for kind in ("metadata", "evaluation")
    )
    assert all(json.dumps(text, ensure_ascii=False)[1:-1] in texts for text in HOSTILE)
    plain = make_run(tmp_path, "garden", iterations=3, hostile=False)
    assert "pwned" not in file_of(plain, "metadata", 3).read_text("utf-8")


def test_the_same_call_makes_the_same_run(tmp_path: Path) -> None:
    first, second = (make_run(tmp_path / name, "garden", iterations=6) for name in "ab")
    assert first.run_id == second.run_id
    assert file_of(first, "metadata", 5).read_bytes() == file_of(second, "metadata", 5).read_bytes()
    assert len({first.image_file(n).read_bytes() for n in (1, 2, 3, 4, 6)}) == 5


def test_a_running_run_grows_is_rejudged_put_back_and_ends(tmp_path: Path) -> None:
    run = make_run(tmp_path, "garden", iterations=2, status="running", max_iterations=9)
    assert add_iteration(tmp_path, "garden") == 3
    assert add_iteration(tmp_path, "garden", fallback=True) == 4
    assert [row["source"] for row in rows_of(run)][3] == "fallback"
    rejudge(tmp_path, "garden", 4)
    head = head_of(run)
    assert (head["last_iteration"], head["best_iteration"], head["status"]) == (4, 4, "running")
    assert head["never_met"] == ["never_met_one"] and rows_of(run)[3]["source"] == "aivis"
    supersede(tmp_path, "garden", 3)
    assert head_of(run)["last_iteration"] == 2 and not file_of(run, "image", 3).exists()
    assert add_iteration(tmp_path, "garden", failed=True) == 3
    assert [row["status"] for row in rows_of(run)] == ["ok", "ok", "failed"]
    finish_run(tmp_path, "garden", "stopped")
    index = read_script(file_of(run, "index"))
    assert index is not None and index["projects"][0]["runs"][0]["status"] == "stopped"


def test_files_can_be_cut_in_half_or_taken_away(tmp_path: Path) -> None:
    run = make_run(
        tmp_path, "p", iterations=5, broken={"block": [1], "index": True}, missing={"thumb": [2], "script": [3]}
    )
    assert read_script(file_of(run, "block", 1)) is None and read_script(file_of(run, "index")) is None
    assert not file_of(run, "thumb", 2).exists() and not file_of(run, "script", 3).exists()
    assert file_of(run, "thumb", 1).is_file() and read_script(file_of(run, "script", 2)) is not None


def test_a_workspace_has_projects_with_and_without_runs(tmp_path: Path) -> None:
    make_workspace(tmp_path, ["empty", {"project": "é 50% #1", "runs": [{"iterations": 2}, {"iterations": 1}]}])
    assert [len(Store(tmp_path / "projects" / name).runs()) for name in ("empty", "é 50% #1")] == [0, 2]
    assert head_of(last_run(tmp_path, "é 50% #1"))["last_iteration"] == 1


def test_the_command_makes_one_run_of_the_size_asked_for(tmp_path: Path) -> None:
    assert main([str(tmp_path), "--project", "p", "--iterations", "1", "--size", "64x80", "--status", "stopped"]) == 0
    metadata = last_run(tmp_path, "p").metadata(1)
    assert metadata is not None and metadata.image_size == [64, 80]
