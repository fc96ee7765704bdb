"""`iterativectl project create`, `project list` and `demo`: what they make, what they refuse, what they show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
import yaml
from click.testing import CliRunner, Result
from desk import ROOT, Desk, checkpoint, png, rules, tree

from imagination import images
from imagination.config import load_rules
from imagination.ctl import main
from imagination.daemons import identity


def ctl(*arguments: Any) -> Result:
    """Give the command in this process. A traceback is a failure of the test."""
    result = CliRunner().invoke(main, [str(a) for a in arguments], prog_name="iterativectl")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def said(result: Result) -> str:
    """What stood on stdout and stderr, with one blank between words: paths of tests are long."""
    return " ".join(result.output.split())


def listed() -> Dict[str, Dict[str, Any]]:
    told = json.loads(ctl("project", "list", "--format", "json").output)
    return {row["name"]: row for row in told["projects"]}


# --- create --------------------------------------------------------------------------------------------------------------


def test_a_project_is_made_of_the_template_with_the_example_as_its_picture(desk: Desk) -> None:
    result = ctl("project", "create", "office")
    assert result.exit_code == 0, result.output
    assert "input/input.png: the example picture, as no --input was given" in said(result)
    project = desk.root / "projects" / "office"
    assert sorted(p.name for p in (project / "config").iterdir()) == ["AIGen.yaml", "AIVis.yaml", "rules.yaml"]
    assert (project / "input" / "input.png").read_bytes().startswith(b"\x89PNG")
    assert images.load_input(project / "input" / "input.png").size[0] > 100
    template = (ROOT / "defaults" / "config" / "rules.yaml").read_text(encoding="utf-8")
    written = (project / "config" / "rules.yaml").read_text(encoding="utf-8")
    assert written == template.replace("name: my-project", "name: office")


@pytest.mark.parametrize(
    ("rules", "told"), [([], "the template"), (["--from", "hair-copper"], "the example hair-copper")]
)
def test_what_is_told_of_a_new_project_fits_a_terminal(desk: Desk, rules: List[str], told: str) -> None:
    result = ctl("project", "create", "p", *rules)
    made, *others = result.output.splitlines()
    assert made == f"made     {desk.root / 'projects' / 'p'}"
    assert f"         from {told}" in others
    assert [line for line in others if len(line) > 80] == []


@pytest.mark.parametrize("named", ["season-winter", "season-winter.yaml", "rules/season-winter.yaml"])
def test_an_example_is_taken_by_its_name(desk: Desk, named: str) -> None:
    assert (
        ctl("project", "create", "my winter", "--from", named, "--input", desk.file("photo.png", png())).exit_code == 0
    )
    shipped = (ROOT / "rules" / "season-winter.yaml").read_text(encoding="utf-8")
    written = (desk.root / "projects" / "my winter" / "config" / "rules.yaml").read_text(encoding="utf-8")
    expected = shipped.replace("name: season-winter", "name: my winter").replace("../defaults/schema/", "../schema/")
    assert written == expected
    assert (desk.root / "projects" / "my winter" / "schema" / "rules.schema.json").is_file()


def test_the_picture_is_copied_as_it_is(desk: Desk) -> None:
    photo = desk.file("photo.png", png(10))
    result = ctl("project", "create", "p", "--input", photo)
    assert (desk.root / "projects" / "p" / "input" / "input.png").read_bytes() == photo.read_bytes()
    assert "example" not in said(result)


def test_a_created_project_passes_rules_check_and_a_rehearsal(desk: Desk) -> None:
    desk.templates()
    assert ctl("project", "create", "p", "--from", "lighting-golden-hour").exit_code == 0
    assert ctl("rules", "check", "--project", "p").output == "p: nothing to find fault with\n"
    rehearsal = ctl("run", "--project", "p", "--dry-run")
    assert rehearsal.exit_code == 0, rehearsal.output
    assert "warning    " not in rehearsal.output


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "rules").glob("*.yaml"))])
def test_every_example_makes_a_project_without_warnings(desk: Desk, name: str) -> None:
    assert ctl("project", "create", "x", "--from", name, "--input", desk.file("photo.png", png())).exit_code == 0
    told = json.loads(ctl("rules", "check", "--project", "x", "--format", "json").output)
    assert (told["counts"]["error"], told["counts"]["warning"]) == (0, 0)


def test_the_template_says_how_to_try_it_on_the_built_in_engines(tmp_path: Path) -> None:
    (tmp_path / "projects").mkdir()
    ctl("project", "create", "p", "--workspace", tmp_path)
    config = tmp_path / "projects" / "p" / "config"
    text = (config / "AIGen.yaml").read_text(encoding="utf-8")
    named = re.search(r"`builtin` runs .*\n.*ckpt_name (\S+)\.\n", text)
    assert named, text
    text = text.replace("host: localhost", "host: builtin").replace("sd_xl_base_1.0.safetensors", named[1])
    (config / "AIGen.yaml").write_text(text, encoding="utf-8")
    (config / "AIVis.yaml").write_text("provider: builtin\n", encoding="utf-8")
    result = ctl("run", "--project", "p", "--dry-run", "--workspace", tmp_path)
    assert (result.exit_code, "ready: a run would start" in result.output) == (0, True), result.output


def test_comments_and_windows_line_ends_of_a_rules_file_are_kept(desk: Desk) -> None:
    text = (
        "# mine\r\nproject:\r\n  max_iterations: 3 # few\r\nacceptance_criteria:\r\n"
        '  - {field: a, question: "Is it red?", intent: change, must_include: [red]}\r\n'
        '  - {field: b, question: "Is it round?", intent: preserve}\r\n'
    )
    source = desk.file("mine.yaml", text.encode())
    assert ctl("project", "create", "mine", "--from", source).exit_code == 0
    written = (desk.root / "projects" / "mine" / "config" / "rules.yaml").read_bytes().decode()
    kept = [line for line in written.split("\r\n") if line.strip() != "name: mine"]
    assert kept == text.split("\r\n")
    assert load_rules(desk.root / "projects" / "mine" / "config" / "rules.yaml").record.project.name == "mine"
    assert source.read_bytes() == text.encode()


@pytest.mark.parametrize("name", ["no", "2024-01-01", "1e3", "Ünïcödé 雪", "it's", "a, b", "#x", "null", "0x10"])
def test_any_name_that_is_a_folder_is_written_so_that_it_reads_back(desk: Desk, name: str) -> None:
    assert ctl("project", "create", name, "--input", desk.file("photo.png", png())).exit_code == 0
    assert load_rules(desk.root / "projects" / name / "config" / "rules.yaml").record.project.name == name


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["Office"], "Office differs from the project office in case alone"),
        (["office"], "exists already"),
        (["a/b"], '"a/b" cannot be a project name'),
        (["a\\b"], "cannot be a project name"),
        ([".."], "cannot be a project name"),
        (["con"], "reserved by an operating system"),
        (["index"], "reserved"),
        (["COM\u00b9"], "reserved"),
        (["CONIN$"], "reserved"),
        (["nul .txt"], "reserved"),
        (["--", "-x"], "begins with a dash"),
        (["a\u200b"], "a character that cannot be seen"),
        (["a\u202eb"], "a character that cannot be seen"),
        ([" x"], "blanks at its ends"),
        (["x", "--from", "season-wimter"], "did you mean season-winter?"),
        (["x", "--from", "../../season-winter"], "is neither a file nor one of the examples"),
        (["x", "--from", "broken.yaml"], "broken.yaml:1 project.max_iterations is missing"),
        (["x", "--from", "clash.yaml"], 'clash.yaml:10 acceptance_criteria[1].ban_terms[0] "red" is banned'),
        (["x", "--from", "alias.yaml"], "alias.yaml: project.name"),
        (["x", "--input", "nowhere.png"], "--input: nowhere.png is not a file"),
        (["x", "--input", "clash.yaml"], "clash.yaml is no picture that can be read"),
        (["x", "--workspace", "nowhere"], "--workspace: nowhere is not a folder"),
    ],
)
def test_what_is_refused_is_told_in_a_line_and_leaves_nothing(desk: Desk, arguments: List[str], told: str) -> None:
    desk.project("office")
    criteria = (
        "acceptance_criteria:\n"
        "- field: a\n  question: Is it red?\n  must_include: [red]\n  intent: change\n"
        "- {field: b, question: 'Is it?', intent: preserve, ban_terms: [%s]}\n"
    )
    desk.file("broken.yaml", b"project: {}\nacceptance_criteria: []\n")
    desk.file("clash.yaml", ("project:\n  max_iterations: 1\n\n" + criteria % "red").encode())
    alias = "x: &n some name\nproject: {name: *n, max_iterations: 1}\n" + criteria % "dots"
    desk.file("alias.yaml", alias.encode())
    before = tree(desk.root)
    result = ctl("project", "create", *arguments)
    assert result.exit_code == 2, result.output
    assert told in said(result)
    assert tree(desk.root) == before


def test_the_workspace_is_made_ready_where_there_is_none(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    result = ctl("project", "create", "p", "--workspace", empty)
    assert (empty / "projects" / "p" / "config" / "rules.yaml").is_file()
    assert f"iterativectl run --project p --workspace {empty}" in said(result)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind here")
def test_a_disk_that_refuses_is_told_and_leaves_nothing(desk: Desk) -> None:
    (desk.root / "projects").chmod(0o500)
    try:
        result = ctl("project", "create", "p")
    finally:
        (desk.root / "projects").chmod(0o700)
    assert result.exit_code == 4
    assert list((desk.root / "projects").iterdir()) == []


def test_a_template_that_cannot_be_copied_leaves_nothing(desk: Desk) -> None:
    (desk.root / "defaults" / "config" / "AIGen.yaml").mkdir(parents=True)
    (desk.root / "defaults" / "schema").mkdir(parents=True)
    (desk.root / "defaults" / "schema" / "rules.schema.json").write_text("{}", encoding="utf-8")
    (desk.root / "defaults" / "schema" / "x.json").mkdir()
    result = ctl("project", "create", "p")
    assert result.exit_code == 4
    assert "cannot be made" in said(result)
    assert list((desk.root / "projects").iterdir()) == []


# --- list ----------------------------------------------------------------------------------------------------------------


def test_an_empty_workspace_says_how_to_make_a_project(desk: Desk) -> None:
    assert "make one: iterativectl project create NAME" in ctl("project", "list").output
    assert listed() == {}


def test_the_list_tells_state_last_run_and_best_score(desk: Desk) -> None:
    desk.project("fresh")
    passed = desk.project("good")
    desk.project("poor", passes=False, iterations=2)
    assert desk.run("--project", "good").exit_code == 0
    assert desk.run("--project", "poor").exit_code == 1
    rows = [re.split(r"\s{2,}", line) for line in ctl("project", "list").output.splitlines()]
    run_id = checkpoint(passed)["run_id"]
    assert rows[0] == ["PROJECT", "STATE", "LAST RUN", "ITERATIONS", "BEST"]
    assert rows[1] == ["fresh", "new", "-", "-", "-"]
    assert rows[2] == ["good", "passed", run_id, "1", "100 (iteration 1)"]
    assert rows[3][:2] + rows[3][3:] == ["poor", "exhausted", "2", "0 (iteration 1)"]
    assert listed()["good"]["last_run"] == run_id
    assert listed()["good"]["best_score"] == 100.0
    assert listed()["fresh"] == {
        **dict.fromkeys(("last_run", "updated_at", "best_score", "best_iteration", "problem", "ended_by")),
        "name": "fresh",
        "path": str(desk.root / "projects" / "fresh"),
        "state": "new",
        "runs": 0,
        "iterations": 0,
    }


def test_a_run_that_a_limit_ended_goes_on_when_it_is_raised(desk: Desk) -> None:
    project = desk.project("slow", passes=False, iterations=2)
    limited = rules("slow", passes=False, iterations=2)
    limited["project"].update(max_minutes=0.0001, max_cost=2)
    desk.write(project / "config" / "rules.yaml", limited)
    ended = desk.run("--project", "slow")
    assert ended.exit_code == 1
    assert "max_cost may have no effect: builtin" in ended.output
    assert "seconds, and project.max_minutes allows 0.0001" in ended.output
    made = checkpoint(project)["last_iteration"]
    assert made < 2
    assert re.search(r"slow +exhausted \(time\) ", ctl("project", "list").output)
    assert (listed()["slow"]["state"], listed()["slow"]["ended_by"]) == ("exhausted", "time")
    told = desk.run("--project", "slow", "--dry-run").output
    assert "up to 2 iterations, 2 USD, 0.0001 minutes" in told
    assert "a new run (run" in told and "raise project.max_minutes to go on with it" in told
    desk.write(project / "config" / "rules.yaml", rules("slow", passes=False, iterations=2))
    assert "going on with run" in desk.run("--project", "slow", "--dry-run").output
    assert desk.run("--project", "slow").exit_code == 1
    assert (checkpoint(project)["last_iteration"], checkpoint(project)["ended_by"]) == (2, "iterations")
    assert re.search(r"slow +exhausted  ", ctl("project", "list").output)


def lock_note(project: Path, pid: Any, began: Optional[str]) -> None:
    (project / "working").mkdir(exist_ok=True)
    note = json.dumps({"pid": pid, "started": began})
    (project / "working" / ".run.lock.json").write_text(note, encoding="utf-8")


def as_if_killed(desk: Desk) -> Path:
    """A project whose checkpoint still says that it is running."""
    project = desk.project("p")
    assert desk.run("--project", "p").exit_code == 0
    data = {**checkpoint(project), "status": "running"}
    (project / "working" / "checkpoint.json").write_text(json.dumps(data), encoding="utf-8")
    return project


def test_a_best_that_nobody_judged_has_no_score(desk: Desk) -> None:
    project = as_if_killed(desk)
    data = {**checkpoint(project), "best_score": None}
    (project / "working" / "checkpoint.json").write_text(json.dumps(data), encoding="utf-8")
    assert re.search(r"p +stopped .* not judged \(iteration \d\)", ctl("project", "list").output)


def test_a_run_is_running_only_while_its_process_lives(desk: Desk) -> None:
    project = as_if_killed(desk)
    assert listed()["p"]["state"] == "stopped"
    began = identity(os.getpid())
    lock_note(project, os.getpid(), began)
    assert listed()["p"]["state"] == "running"
    for pid, when in [
        (os.getpid(), "another boot 7"),
        (os.getpid(), None),
        (2**22 + 1, began),
        (10**20, began),
        ("x", began),
    ]:
        lock_note(project, pid, when)
        assert listed()["p"]["state"] == "stopped"


def test_a_damaged_project_does_not_hide_the_others(desk: Desk) -> None:
    broken = desk.project("broken")
    (broken / "working").mkdir()
    (broken / "working" / "checkpoint.json").write_text("{", encoding="utf-8")
    desk.project("fine")
    result = ctl("project", "list")
    assert result.exit_code == 0
    assert "checkpoint.json is damaged" in said(result)
    assert {name: row["state"] for name, row in listed_of(result).items()} == {"broken": "damaged", "fine": "new"}


@pytest.mark.parametrize(
    "wrong", [{"run_id": "\u001b[31mX"}, {"run_id": "../x"}, {"last_iteration": -5}, {"last_iteration": 10**30}]
)
def test_a_resume_point_that_cannot_be_one_is_damaged(desk: Desk, wrong: Dict[str, Any]) -> None:
    project = as_if_killed(desk)
    path = project / "working" / "checkpoint.json"
    path.write_text(json.dumps({**checkpoint(project), **wrong}), encoding="utf-8")
    result = ctl("project", "list")
    assert "\x1b" not in result.output and listed_of(result)["p"]["state"] == "damaged"
    assert ctl("report", "--project", "p").exit_code in (0, 4)


def test_two_commands_that_make_the_same_project_make_one(desk: Desk) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from imagination.creating import create
    from imagination.errors import ConfigError
    from imagination.workspace import Workspace

    def attempt(name: str) -> str:
        try:
            create(Workspace(desk.root), name)
            return "made"
        except ConfigError as err:
            assert "exists already" in err.message
            return "refused"

    with ThreadPoolExecutor(2) as pool:
        for number in range(6):
            name = f"race{number}"
            assert sorted(pool.map(attempt, [name, name])) == ["made", "refused"]
            assert len(tree(desk.root / "projects" / name)) == len(tree(desk.root / "projects" / "race0"))
    assert not list((desk.root / "projects").glob(".*"))


def test_letters_that_the_output_lacks_are_escaped(desk: Desk) -> None:
    desk.project("雪")
    shown = subprocess.run(
        [sys.executable, str(ROOT / "iterativectl.py"), "project", "list"],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"}, cwd=str(desk.root), capture_output=True, check=False,
    )  # fmt: skip
    assert (shown.returncode, b"\\u96ea" in shown.stdout, shown.stderr) == (0, True, b"")


@pytest.mark.skipif(os.name != "posix", reason="closes stdout as a shell does")
def test_no_output_at_all_is_no_reason_to_fail(desk: Desk) -> None:
    desk.project("p")
    command = f"exec {sys.executable} {ROOT / 'iterativectl.py'} run --project p --dry-run >&-"
    shown = subprocess.run(["sh", "-c", command], cwd=str(desk.root), capture_output=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, b"")


def test_a_hint_can_be_pasted(desk: Desk) -> None:
    assert "iterativectl project create '$(x) y' --input" in said(ctl("rules", "check", "--project", "$(x) y"))


def listed_of(result: Result) -> Dict[str, Dict[str, str]]:
    """The table taken apart; warnings stand on other lines."""
    rows = [re.split(r"\s{2,}", line) for line in result.output.splitlines() if not line.startswith("warning")]
    return {row[0]: {"state": row[1]} for row in rows[1:]}


def test_the_list_has_no_colours_in_a_pipe(desk: Desk) -> None:
    desk.project("p")
    assert "\x1b" not in ctl("project", "list").output


# --- demo ----------------------------------------------------------------------------------------------------------------


def test_the_demo_is_made_in_any_folder_and_runs(tmp_path: Path) -> None:
    folder = tmp_path / "anywhere"
    folder.mkdir()
    result = ctl("demo", "--workspace", folder)
    assert result.exit_code == 0, result.output
    demo = folder / "projects" / "demo"
    assert f"made {demo}" in said(result)
    assert result.output.endswith(f"how it came about: iterativectl viewer start --open --workspace {folder}\n")
    assert (demo / "output" / "output.png").is_file()
    first = (demo / "config" / "rules.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../schema/rules.schema.json"
    assert (demo / "schema" / "rules.schema.json").is_file()


def test_a_demo_that_is_there_stays_as_it_is(desk: Desk) -> None:
    project = desk.project("demo")
    before = {name: digest for name, digest in tree(project).items() if not name.startswith("working")}
    result = ctl("demo")
    assert result.exit_code == 0, result.output
    assert "is there already and stays as it is" in said(result)
    after = tree(project)
    assert {name: after[name] for name in before} == before
    assert checkpoint(project)["status"] == "passed"


def test_the_shipped_demo_copies_no_runs(desk: Desk, tmp_path: Path) -> None:
    from imagination.workspace import Workspace

    source = tmp_path / "source"
    for name in ("config/rules.yaml", "input/input.png", "working/x/y.json", "output/output.png", "logs/app.log"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"x: 1\n")
    project = Workspace(desk.root).copy_in("demo", source)
    kept = {path.relative_to(project.root).parts[0] for path in project.root.rglob("*")}
    assert kept == {"config", "input", "schema"}
    assert yaml.safe_load((project.root / "config" / "rules.yaml").read_text(encoding="utf-8")) == {"x": 1}
