"""Artefacts on a disk that is full, torn, newer or in use: the old file or the new one, and one line about it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import resource
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterator, List

import pytest

from imagination.disk import read_json, read_record, write_bytes, write_json
from imagination.errors import StoreError
from imagination.model import CallRecord, Checkpoint, Evaluation, Generation, Prompts
from imagination.setup import LONGEST_TEXT
from imagination.store import Run, Store

RUN_ID = "2026-01-09_22-25-59"
NOW = time.mktime((2026, 1, 9, 22, 25, 59, 0, 0, -1))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "projects" / "p")


@pytest.fixture
def run(store: Store) -> Run:
    return store.new_run(NOW)


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond 4 kB, as on a disk with no more room: a real refusal by the system.

    Nothing may be printed meanwhile: the suite's own output may be such a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def checkpoint(**keys: Any) -> Checkpoint:
    given = {"run_id": RUN_ID, "status": "running", "started_at": 1.0, "updated_at": 2.0}
    return Checkpoint(**{**given, "rules_sha256": "r", "input_sha256": "i", **keys})


def evaluation(iteration: int = 1, **keys: Any) -> Evaluation:
    given = {"source": "aivis", "overall_score": 50.0, "criteria_results": {"a": True}, "values": {"a": True}}
    lists = {"reasons": {}, "passed_fields": ["a"], "failed_fields": [], "unanswered": []}
    call = CallRecord(provider="ollama", model="eyes")
    return Evaluation(**{"iteration": iteration, "aivis_metadata": call, **given, **lists, **keys})


def names(folder: Path) -> List[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


# --- writing ------------------------------------------------------------------------------------------------------------


def test_json_is_utf_8_with_two_blanks_and_a_newline_at_the_end(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": ["é", 1.5, None]})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "a": [\n    "é",\n    1.5,\n    null\n  ]\n}\n'.encode()


def test_a_full_disk_leaves_the_old_file_and_no_scraps(tmp_path: Path) -> None:
    path = tmp_path / "a" / "a.bin"
    write_bytes(path, b"old")
    with full_disk(), pytest.raises(StoreError, match=r"a\.bin cannot be written: File too large") as caught:
        write_bytes(path, b"x" * 5000)
    assert caught.value.exit_code == 4 and "free some space" in caught.value.hint
    assert (names(tmp_path), path.read_bytes()) == (["a/a.bin"], b"old")


def test_a_folder_that_cannot_be_made_is_a_store_error(store: Store) -> None:
    store.project.parent.mkdir(parents=True)
    store.project.write_text("a file where the project should be", encoding="utf-8")
    for act in (
        lambda: store.write_checkpoint(checkpoint()),
        lambda: store.new_run(NOW),
        lambda: store.lock().__enter__(),
    ):
        with pytest.raises(StoreError, match=r"cannot be (written|made)|is not there any more"):
            act()


def test_a_reader_sees_the_old_file_or_the_new_one_and_nothing_between(tmp_path: Path) -> None:
    path, contents = tmp_path / "a.bin", [bytes([n]) * 300_000 for n in range(20)]
    write_bytes(path, contents[0], durable=False)
    enough = threading.Event()

    def keep_writing() -> None:
        for data in itertools.cycle(contents):
            write_bytes(path, data, durable=False)
            if enough.is_set():
                return

    writer = threading.Thread(target=keep_writing)
    writer.start()
    seen = [path.read_bytes() for _ in range(300)]
    enough.set()
    writer.join()
    assert len(set(seen)) > 1 and all(data in contents for data in seen)
    assert names(tmp_path) == ["a.bin"]


def test_many_may_write_one_file_at_once(tmp_path: Path) -> None:
    """As threads of a viewer do, and processes of two containers that have the same number."""
    path, failed = tmp_path / "a.bin", []

    def write(content: bytes) -> None:
        try:
            for _ in range(50):
                write_bytes(path, content, durable=False)
        except StoreError as err:
            failed.append(err)

    contents = [bytes([n]) * 100_000 for n in range(4)]
    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and path.read_bytes() in contents and names(tmp_path) == ["a.bin"]


# --- reading ------------------------------------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_went(store: Store, run: Run) -> None:
    given = evaluation(values={"a": [1, 1.5, "é", None, {"x": True}]}, reasons={"a": "zwei\nZeilen\t\x00"})
    run.write("evaluation", given)
    assert run.evaluation(1) == given
    assert names(run.root) == ["evaluation/iteration_1_evaluation.json"]
    store.write_checkpoint(checkpoint(description="d"))
    assert store.read_checkpoint() == checkpoint(description="d")


@pytest.mark.parametrize("durable", [True, False])
def test_a_name_is_on_the_disk_before_anything_tells_of_it(tmp_path: Path, durable: bool) -> None:
    """Then no power cut keeps the resume point and loses what it tells of."""
    seen: List[str] = []
    watched = [True]

    def note(event: str, arguments: Any) -> None:
        if watched and event in ("open", "os.rename") and str(arguments[0]).startswith(str(tmp_path)):
            seen.append(event if event == "os.rename" else Path(arguments[0]).name)

    sys.addaudithook(note)  # there is no way to take it away again
    write_bytes(tmp_path / "a.json", b"{}", durable)
    watched.clear()
    after = seen[seen.index("os.rename") + 1 :]
    assert after == ([tmp_path.name] if durable and os.name == "posix" else [])


def test_half_a_surrogate_pair_makes_no_file_that_cannot_be_read(store: Store) -> None:
    store.working.mkdir(parents=True)
    store.write_checkpoint(checkpoint(description="a \ud83d b"))
    kept = store.read_checkpoint()
    assert kept is not None and kept.description == "a ? b"


def test_what_is_not_there_is_none(store: Store) -> None:
    run = store.run(RUN_ID)
    assert (store.read_checkpoint(), run.evaluation(1), run.read_image(1), run.iterations(), store.runs()) == (
        None, None, None, [], [],
    )  # fmt: skip


GOOD = json.dumps(checkpoint().model_dump(mode="json"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is damaged: it is no JSON"),
        (GOOD[: len(GOOD) // 2].encode(), "is damaged: it is no JSON"),
        (b"\0" * 500, "is damaged: it is no JSON"),  # what a power cut leaves
        (b"\xff\xfe{}", "is damaged: it is no JSON"),
        (b"[" * 100_000, "is damaged: it is nested too deeply"),
        (b'{"a": [' + b"[]," * 100_000 + b"1]}", "is damaged: it has too many parts"),
        (b"[]", "is damaged: it is no JSON object"),
        (b"{}", "is damaged: run_id: Field required"),
        (GOOD.replace("running", "walking").encode(), "is damaged: status: "),
        (GOOD.replace('"format": 1', '"format": 2').encode(), "has format 2, newer than this program knows (1)"),
        (GOOD.replace('"format": 1', '"format": "x"').encode(), "has format x, newer than this program knows (1)"),
    ],
    ids=[
        "empty",
        "torn",
        "zeros",
        "no text",
        "deep",
        "wide",
        "a list",
        "no keys",
        "a wrong value",
        "newer",
        "no number",
    ],
)
def test_a_file_that_cannot_be_understood_is_a_store_error(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "checkpoint.json"
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        read_record(path, Checkpoint)
    assert str(caught.value).startswith(f"{path} {told}") and "\n" not in str(caught.value)
    assert caught.value.exit_code == 4 and caught.value.hint


def test_keys_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    path.write_text(GOOD.replace("{", '{"later": 1, ', 1), encoding="utf-8")
    assert read_record(path, Checkpoint) == checkpoint()


def test_a_folder_where_a_file_should_be_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read: it is no regular file"):
        read_json(tmp_path)


def test_the_longest_prompts_are_read_back(store: Store) -> None:
    text = "\U0010ffff" * LONGEST_TEXT  # ten characters each once they are escaped
    store.write_generation(Generation(workflow_file="w.json", prompts=Prompts(positive=text, negative=text)))
    assert store.read_generation().prompts == Prompts(positive=text, negative=text)


# --- runs ---------------------------------------------------------------------------------------------------------------


def test_a_run_id_that_is_taken_gets_a_number(store: Store) -> None:
    ids = [store.new_run(NOW).run_id for _ in range(11)]
    assert ids[:3] == [RUN_ID, f"{RUN_ID}-2", f"{RUN_ID}-3"]
    assert [run.run_id for run in store.runs()] == ids  # -10 comes after -9


@pytest.mark.parametrize("run_id", ["", "..", "../../etc", RUN_ID + "/x", "x" * 5000, RUN_ID + "-", RUN_ID + "\n"])
def test_no_text_can_be_a_run_id_that_is_none(store: Store, run_id: str) -> None:
    with pytest.raises(StoreError, match="is no run id"):
        store.run(run_id)


def test_superseding_moves_every_artefact_of_the_later_iterations(run: Run) -> None:
    for iteration in (1, 2, 10):
        run.write_image(iteration, b"png")
        for kind in ("questions", "evaluation", "comparison", "metadata"):
            write_json(run.file(kind, iteration), {})
    run.supersede(2, NOW)
    left = [name for name in names(run.root) if not name.startswith("superseded")]
    assert len(left) == 5 and all("iteration_1" in name and "iteration_10" not in name for name in left)
    moved = [name for name in names(run.root) if name.startswith(f"superseded/{RUN_ID}/")]
    assert len(moved) == 10
    for iteration in (2, 10):
        run.write_image(iteration, b"again")
    run.supersede(2, NOW)  # in the same second: nothing is overwritten
    assert len([name for name in names(run.root) if name.startswith("superseded/")]) == 12


def test_loose_files_of_the_old_layout_get_a_run_of_their_own(store: Store) -> None:
    store.working.mkdir(parents=True)
    loose = ["iteration_1.png", "iteration_1_evaluation.json", "iteration_1_metadata.json", "iteration_12.png"]
    for name in [*loose, "iteration_x.png", "notes.txt", "AIGen.yaml"]:
        (store.working / name).write_bytes(name.encode())
    run = store.archive_loose(NOW)
    assert run is not None
    assert names(run.root) == [
        "evaluation/iteration_1_evaluation.json",
        "images/iteration_1.png",
        "images/iteration_12.png",
        "metadata/iteration_1_metadata.json",
    ]
    left = [name for name in names(store.working) if "/" not in name]
    assert left == ["AIGen.yaml", "iteration_x.png", "notes.txt"]
    assert store.archive_loose(NOW) is None


# --- output/ ------------------------------------------------------------------------------------------------------------


def test_an_earlier_output_moves_to_the_run_that_made_it(store: Store, run: Run) -> None:
    store.write_output(b"png", {"run_id": run.run_id, "iteration": 3})
    told = store.output_told(run.run_id)
    assert told is not None and told["iteration"] == 3 and store.output_told("other") is None
    store.put_output_aside(NOW)
    assert names(store.project / "output") == []
    assert names(run.root / "output") == ["output.png", "output_metadata.json"]


@pytest.mark.parametrize("owner", ['{"run_id": "../../.."}', '{"run_id": "2020-01-01_00-00-00"}', "{torn", "{}"])
def test_an_output_of_nobody_known_is_kept_beside(store: Store, owner: str) -> None:
    write_bytes(store.project / "output" / "output.png", b"png")
    write_bytes(store.project / "output" / "output_metadata.json", owner.encode())
    store.put_output_aside(NOW)
    assert names(store.project) == [
        f"output/earlier_{RUN_ID}/output.png",
        f"output/earlier_{RUN_ID}/output_metadata.json",
    ]


# --- the lock -----------------------------------------------------------------------------------------------------------


def test_a_project_is_held_by_one_run_at_a_time(store: Store) -> None:
    with store.lock():
        with pytest.raises(StoreError, match=rf"another run is at work on p \(process {os.getpid()}, since \d{{4}}-"):
            store.lock().__enter__()
        write_bytes(store.working / ".run.lock.json", b"{torn")
        with pytest.raises(StoreError, match=r"another run is at work on p$"):
            store.lock().__enter__()
    with store.lock():
        pass
    assert not (store.working / ".run.lock.json").exists()


@pytest.mark.parametrize("left", [{"pid": 1}, {"pid": 1, "started": "another boot 7"}, {"pid": 10**30, "started": "x"}])
def test_a_note_of_a_process_that_has_ended_holds_nothing(store: Store, left: Any) -> None:
    write_json(store.working / ".run.lock.json", left)
    with store.lock():
        pass


def test_a_copy_of_a_project_that_is_held_is_not_held(store: Store, tmp_path: Path) -> None:
    copied = Store(tmp_path / "copy" / "p")
    with store.lock():
        shutil.copytree(str(store.project), str(copied.project))
        assert store.is_held() and not copied.is_held()
        with copied.lock():
            pass


NOBODY = 99_999_999  # more than any system counts to


@pytest.mark.parametrize(
    ("name", "age", "stays"),
    [
        (f".checkpoint.json.{NOBODY}.0123abcd.tmp", 0, False),
        (f".checkpoint.json.{NOBODY}.tmp", 0, False),  # as older versions called them
        (f".checkpoint.json.{os.getpid()}.0123abcd.tmp", 0, False),
        (f".ranking.json.{os.getppid()}.0123abcd.tmp", 0, True),  # one who may be at it
        (f".ranking.json.{os.getppid()}.0123abcd.tmp", 3600, False),
        (".somebody-elses.tmp", 3600, True),
        ("ranking.json.1.0123abcd.tmp", 3600, True),
    ],
    ids=["of one who is gone", "of an older version", "of our number", "under way", "too long", "another's", "no dot"],
)
def test_half_written_files_are_swept_when_nobody_writes_them_any_more(
    store: Store, name: str, age: float, stays: bool
) -> None:
    for folder in (store.working / RUN_ID / "human", store.project / "output"):
        folder.mkdir(parents=True)
        (folder / name).write_bytes(b"{")
        os.utime(folder / name, (time.time() - age, time.time() - age))
    with store.lock():
        assert (store.working / RUN_ID / "human" / name).exists() == stays
        assert (store.project / "output" / name).exists() == stays


def test_the_lock_is_given_back_when_the_run_fails(store: Store) -> None:
    with pytest.raises(ValueError, match="boom"), store.lock():
        raise ValueError("boom")
    with store.lock():
        pass
