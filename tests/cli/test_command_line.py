"""The command as it is typed: exit codes, what is said, and what is and is not on disk afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator, List, Sequence

import pytest
import yaml
from click.testing import CliRunner
from desk import BUILTIN_VISION, GENERATION, ROOT, Desk, checkpoint, hear_ctrl_c, png, rules, run_ids, tree

from imagination.ctl import main
from imagination.store import Store


def dead_port() -> int:
    """A port where nobody listens, and that no other program gets meanwhile."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    port: int = taken.getsockname()[1]
    taken.detach()  # bound as long as this process lives
    return port


# --- exit codes ---------------------------------------------------------------------------------------------------------


def test_0_every_criterion_passed(desk: Desk) -> None:
    project = desk.project()
    result = desk.run("--project", "p")
    assert result.exit_code == 0, result.output
    assert "passed: the only criterion met in iteration 1" in result.output
    assert f"output: {project / 'output' / 'output.png'}" in result.output
    assert json.loads((project / "output" / "output_metadata.json").read_text("utf-8"))["result"] == "passed"


def test_1_ended_without_and_the_best_is_in_output(desk: Desk) -> None:
    project = desk.project(passes=False, iterations=2)
    result = desk.run("--project", "p")
    assert result.exit_code == 1, result.output
    assert "not passed in 2 iterations; best is iteration 1 with 0%" in result.output
    assert json.loads((project / "output" / "output_metadata.json").read_text("utf-8"))["result"] == "best_so_far"
    assert (checkpoint(project)["status"], checkpoint(project)["last_iteration"]) == ("exhausted", 2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name a project (--project NAME) or a rules file"),
        (["--project", "p", "--reset", "--resume-from", "1"], "use one of them"),
        (["--project", "p", "--resume-from", "0"], "--resume-from"),
        (["--project", "p", "--no-such"], "--no-such"),
        (["--project", "nobody"], "there is no project nobody"),
        (["--project", "../p"], '"../p" cannot be a project name'),
        (["--project", "p", "--workspace", "nowhere"], "--workspace: nowhere is not a folder"),
        (["--project", "p", "--resume-from", "1"], "p has no run to resume"),
        (["--rules", "none.yaml"], "none.yaml is neither a file nor one of the examples"),
        (["--project", "p", "--input", "none.png"], "--input: none.png is not a file"),
    ],
)
def test_2_options_that_make_no_sense(desk: Desk, arguments: List[str], told: str) -> None:
    desk.project()
    result = desk.run(*arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("comfyui", "vision", "told"),
    [
        ({"host": "127.0.0.1"}, BUILTIN_VISION, "ComfyUI"),
        ({"host": "builtin"}, {"provider": "ollama", "model": "eyes"}, "Ollama"),
    ],
)
def test_3_a_service_that_cannot_be_reached(desk: Desk, comfyui: Any, vision: Any, told: str) -> None:
    project = desk.project()
    port = dead_port()
    desk.write(project / "config" / "AIGen.yaml", {**GENERATION, "comfyui": {**comfyui, "port": port}})
    if vision != BUILTIN_VISION:
        vision = {**vision, "base_url": f"http://127.0.0.1:{port}"}
    desk.write(project / "config" / "AIVis.yaml", {**vision, "retries": 0})
    result = desk.run("--project", "p")
    assert result.exit_code == 3
    assert re.search(rf"error: .*{told}.*{port}.*\nhint: \S", result.output)
    assert run_ids(project) == []


def test_3_two_services_that_cannot_be_reached_have_a_hint_each(desk: Desk) -> None:
    project = desk.project()
    port = dead_port()
    desk.write(project / "config" / "AIGen.yaml", {**GENERATION, "comfyui": {"host": "127.0.0.1", "port": port}})
    vision = {"provider": "ollama", "model": "eyes", "base_url": f"http://127.0.0.1:{port}", "retries": 0}
    desk.write(project / "config" / "AIVis.yaml", vision)
    hints = [line for line in desk.run("--project", "p").output.splitlines() if line.startswith("hint: ")]
    assert [hint.split("`")[0].split(":")[1] for hint in hints] == [" start ComfyUI with ", " start Ollama with"]


def test_3_a_checkpoint_file_that_the_server_does_not_have(desk: Desk) -> None:
    project = desk.project()
    desk.write(project / "config" / "AIGen.yaml", {**GENERATION, "model": {"ckpt_name": "other.safetensors"}})
    result = desk.run("--project", "p")
    assert result.exit_code == 3
    assert 'knows no ckpt_name "other.safetensors"' in result.output


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"run_id": ', "is damaged: it is no JSON"),
        ('{"format": 2}', "has format 2, newer than this program knows (1)"),
    ],
)
def test_4_a_resume_point_that_cannot_be_read(desk: Desk, content: str, told: str) -> None:
    project = desk.project()
    desk.write(project / "working" / "checkpoint.json", content)
    result = desk.run("--project", "p")
    assert (result.exit_code, "Traceback" in result.output) == (4, False)
    assert told in result.output


def test_a_torn_resume_point_is_got_over_with_reset(desk: Desk) -> None:
    project = desk.project()
    desk.write(project / "working" / "checkpoint.json", "{")
    refused = desk.run("--project", "p")
    assert "hint: start afresh with --reset" in refused.output
    assert desk.run("--project", "p", "--reset").exit_code == 0


# --- finding the project ------------------------------------------------------------------------------------------------


def test_an_unknown_project_names_those_there_are(desk: Desk) -> None:
    desk.project("garden")
    desk.project("lake")
    (desk.root / "projects" / ".new.new" / "config").mkdir(parents=True)  # left behind by a killed `--rules`
    result = desk.run("--project", "lakes")
    assert f"there is no project lakes in {desk.root / 'projects'} (there are: garden, lake)" in result.output
    assert "hint: did you mean lake? Else make it with: iterativectl project create lakes" in result.output
    assert "did you mean" not in desk.run("--project", "winter").output
    other_case = desk.run("--project", "LAKE").output
    assert "hint: did you mean lake?" in other_case and "create" not in other_case  # which would be refused


def test_a_hint_names_the_workspace_where_a_start_here_would_not_find_it(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.project("lake")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    option = f" --workspace {desk.root}"
    assert f"project create sea --input PICTURE{option}" in desk.run("--project", "sea", *option.split()).output


def test_the_workspace_is_the_nearest_folder_upward(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = desk.project() / "config"
    monkeypatch.chdir(inside)
    assert "ready: a run would start" in desk.run("--project", "p", "--dry-run").output


def test_the_workspace_can_be_named(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.project()
    monkeypatch.chdir(tmp_path)
    assert desk.run("--project", "p", "--dry-run").exit_code == 2
    assert desk.run("--project", "p", "--dry-run", "--workspace", desk.root).exit_code == 0
    monkeypatch.setenv("ITERATIVE_IMAGINATION_HOME", str(desk.root))
    assert desk.run("--project", "p", "--dry-run").exit_code == 0


def test_a_name_that_differs_from_the_folder_is_a_warning(desk: Desk) -> None:
    project = desk.project()
    desk.write(project / "config" / "rules.yaml", rules("other"))
    result = desk.run("--project", "p")
    assert result.exit_code == 0
    assert re.search(r'warning: .*rules\.yaml:\d+ project\.name is "other", but the folder is p', result.output)


def test_a_prompts_file_in_the_top_folder_is_pointed_out(desk: Desk) -> None:
    project = desk.project()
    desk.write(project / "prompts.yaml", {"describe": "look"})
    assert f"{project / 'prompts.yaml'} is not read" in desk.run("--project", "p", "--dry-run").output


# --- what is wrong in a file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("rules.yaml", "project: [\n", "rules.yaml:2 is not valid YAML"),
        ("rules.yaml", "", "rules.yaml"),
        ("AIGen.yaml", "\tworkflow_file: x", "AIGen.yaml:1 is not valid YAML"),
        ("AIGen.yaml", yaml.safe_dump({**GENERATION, "parameters": {"denoise": 1.4}}), "parameters.denoise is 1.4"),
        ("AIGen.yaml", yaml.safe_dump({**GENERATION, "workflow_file": "none.json"}), "none.json is not there"),
        ("AIVis.yaml", "provider: ollamma", "did you mean ollama?"),
        ("prompts.yaml", "comparison: look", "must use {shape}"),
    ],
)
def test_a_wrong_file_is_told_without_a_traceback(desk: Desk, name: str, text: str, told: str) -> None:
    project = desk.project()
    desk.write(project / "config" / name, text)
    before = {k: v for k, v in tree(project).items() if not k.startswith(("working", "logs"))}
    result = desk.run("--project", "p")
    assert result.exit_code == 2
    assert result.output.startswith("error: ") and told in result.output
    assert len(result.output.strip().split("\n")) <= 3
    assert {k: v for k, v in tree(project).items() if not k.startswith(("working", "logs"))} == before


def test_the_problems_of_all_files_are_told_together(desk: Desk) -> None:
    project = desk.project()
    desk.write(project / "config" / "rules.yaml", "project: {}")
    desk.write(project / "config" / "AIVis.yaml", "provider: x")
    desk.write(project / "config" / "prompts.yaml", "describe: '{x}'")
    (project / "input" / "input.png").write_bytes(b"text")
    result = desk.run("--project", "p", "--dry-run")
    assert result.exit_code == 2
    for told in ("rules.yaml:1", "AIVis.yaml:1", "prompts.yaml:1", "input.png is no picture"):
        assert told in result.output


def test_a_prompt_that_could_not_be_read_back_is_refused_at_the_start(desk: Desk) -> None:
    project = desk.project()
    graph = json.loads((ROOT / "defaults" / "workflow" / "img2img_no_mask_api.json").read_text(encoding="utf-8"))
    graph["9"]["inputs"]["text"] = "a lake " * 10_000
    desk.write(project / "long.json", json.dumps(graph))
    bare = {key: value for key, value in GENERATION.items() if key != "prompts"}
    desk.write(project / "config" / "AIGen.yaml", {**bare, "workflow_file": "long.json"})
    result = desk.run("--project", "p")
    assert result.exit_code == 2
    assert "long.json: 9.inputs.text is a prompt of 70000 characters; at most 40000 are taken" in result.output
    prompts = {"positive": "a lake", "negative": "text " * 10_000}
    desk.write(project / "config" / "AIGen.yaml", {**GENERATION, "prompts": prompts})
    result = desk.run("--project", "p")
    assert result.exit_code == 2
    assert "AIGen.yaml:10 prompts.negative is a prompt of 50000 characters" in result.output
    assert not (project / "working" / "AIGen.yaml").exists()


# --- --dry-run ----------------------------------------------------------------------------------------------------------


def test_a_dry_run_tells_what_a_run_would_use_and_writes_nothing(desk: Desk) -> None:
    desk.project()
    before = tree(desk.root)
    result = desk.run("--project", "p", "--dry-run")
    assert result.exit_code == 0
    assert "input      48x32 px" in result.output and "denoise=0.2 cfg=5 steps=1" in result.output
    assert tree(desk.root) == before


def test_a_dry_run_names_the_strategy_and_the_parts_that_are_on(desk: Desk) -> None:
    project = desk.project()
    parts = "judge_check, stop_on_conflict, final_comparison"
    assert f"strategy   adaptive, confirmations up to 5, {parts}\n" in desk.run("--project", "p", "--dry-run").output
    given = rules("p")
    given["project"].update(strategy="spec", confirmations=2, final_comparison=True)
    desk.write(project / "config" / "rules.yaml", given)
    told = desk.run("--project", "p", "--dry-run").output
    assert "strategy   spec, confirmations up to 2, final_comparison\n" in told


def test_a_dry_run_of_a_project_that_is_yet_to_be_made_writes_nothing(desk: Desk) -> None:
    desk.templates()
    named, picture = desk.file("new.yaml", rules("new")), desk.file("photo.png", png())
    before = tree(desk.root)
    result = desk.run("--rules", named, "--input", picture, "--dry-run")
    assert (result.exit_code, tree(desk.root)) == (0, before), result.output


def test_a_dry_run_after_a_run_writes_nothing(desk: Desk) -> None:
    desk.project()
    desk.run("--project", "p")
    before = tree(desk.root)
    assert desk.run("--project", "p", "--dry-run").exit_code == 0
    assert tree(desk.root) == before


def test_a_dry_run_refuses_what_a_run_would_refuse(desk: Desk) -> None:
    project = desk.project()
    other = desk.file("other.yaml", rules("p", passes=False))
    assert desk.run("--rules", other, "--dry-run").exit_code == 2
    assert desk.run("--project", "p", "--resume-from", "3", "--dry-run").exit_code == 2
    stopped = {**_ran(desk, project), "status": "stopped", "rules_sha256": "another"}
    desk.write(project / "working" / "checkpoint.json", json.dumps(stopped))
    result = desk.run("--project", "p", "--dry-run")
    assert result.exit_code == 2 and "changed since run" in result.output


def _ran(desk: Desk, project: Path) -> Any:
    desk.run("--project", "p")
    return checkpoint(project)


# --- --rules and --input ------------------------------------------------------------------------------------------------


def test_rules_and_a_picture_make_a_project_and_run_it(desk: Desk) -> None:
    desk.templates()
    named, picture = desk.file("new.yaml", rules("new")), desk.file("photo.PNG", png())
    result = desk.run("--rules", named, "--input", picture)
    assert result.exit_code == 0, result.output
    project = desk.root / "projects" / "new"
    assert (project / "input" / "input.png").read_bytes() == picture.read_bytes()
    assert (project / "config" / "rules.yaml").read_bytes() == named.read_bytes()
    assert {p.name for p in (project / "config").iterdir()} == {"rules.yaml", "AIGen.yaml", "AIVis.yaml"}
    again = desk.run("--rules", named, "--input", picture)
    assert again.exit_code == 0 and len(run_ids(project)) == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"project": {"max_iterations": 1}, "acceptance_criteria": []}, "acceptance_criteria"),
        (rules(""), "names no project"),
        (rules("a/b"), "cannot be a project name"),
        (rules("new"), "project new is new and has no picture"),
    ],
)
def test_no_project_is_made_of_what_would_not_run(desk: Desk, content: Any, told: str) -> None:
    result = desk.run("--rules", desk.file("r.yaml", content))
    assert result.exit_code == 2 and told in result.output
    assert list((desk.root / "projects").iterdir()) == []


def test_no_project_is_made_of_a_picture_that_is_none(desk: Desk) -> None:
    desk.templates()
    result = desk.run("--rules", desk.file("r.yaml", rules("new")), "--input", desk.file("x.png", b"text"))
    assert result.exit_code == 2 and "is no picture" in result.output
    assert list((desk.root / "projects").iterdir()) == []


def test_other_files_than_a_project_has_are_refused_naming_two_ways_on(desk: Desk) -> None:
    project = desk.project()
    before = tree(project)
    named, picture = desk.file("r.yaml", rules("p", iterations=3)), desk.file("x.png", png(10))
    result = desk.run("--rules", named, "--input", picture)
    assert result.exit_code == 2
    assert "project p has rules and a picture of its own" in result.output
    assert "another project.name" in result.output and "--reset" in result.output
    assert tree(project) == before


def test_reset_replaces_files_and_keeps_the_old_ones(desk: Desk) -> None:
    project = desk.project()
    old = [(project / "config" / "rules.yaml").read_bytes(), (project / "input" / "input.png").read_bytes()]
    named, picture = desk.file("r.yaml", rules("p", iterations=3)), desk.file("x.png", png(10))
    assert desk.run("--rules", named, "--input", picture, "--reset").exit_code == 0
    kept = sorted((project / "working" / "replaced").rglob("*.*"))
    assert {path.name for path in kept} == {"rules.yaml", "input.png"}
    assert sorted(path.read_bytes() for path in kept) == sorted(old)
    assert (project / "config" / "rules.yaml").read_bytes() == named.read_bytes()
    assert (project / "input" / "input.png").read_bytes() == picture.read_bytes()


@pytest.mark.parametrize("broken", ["rules", "picture"])
def test_reset_replaces_nothing_by_what_would_not_run(desk: Desk, broken: str) -> None:
    project = desk.project()
    before = {k: v for k, v in tree(project).items() if not k.startswith(("working", "logs"))}
    named = desk.file("r.yaml", "project: {name: p}" if broken == "rules" else rules("p", iterations=3))
    picture = desk.file("x.png", b"text" if broken == "picture" else png(10))
    result = desk.run("--project", "p", "--rules", named, "--input", picture, "--reset")
    assert result.exit_code == 2
    assert {k: v for k, v in tree(project).items() if not k.startswith(("working", "logs"))} == before


def test_a_project_without_a_picture_takes_the_one_named(desk: Desk) -> None:
    project = desk.project()
    (project / "input" / "input.png").unlink()
    refused = desk.run("--project", "p")
    assert refused.exit_code == 2
    # the whole command: `iterativectl run` may have been given, which has no --input
    assert "or: iterative-imagination --project p --input PICTURE" in refused.output
    assert desk.run("--project", "p", "--input", desk.file("x.png", png(10))).exit_code == 0
    assert (project / "input" / "input.png").read_bytes() == png(10)


def test_a_folder_without_rules_takes_the_ones_named(desk: Desk) -> None:
    project = desk.project()
    (project / "config" / "rules.yaml").unlink()
    assert desk.run("--rules", desk.file("r.yaml", rules("p"))).exit_code == 0
    assert (project / "config" / "rules.yaml").is_file()


@pytest.mark.parametrize("door", ["iterate", "control"])
def test_ctrl_c_before_the_command_line_is_loaded_is_a_stop_too(door: str) -> None:
    code = f"""
import sys
class Stop:
    def find_spec(self, name, *more):
        if name == "click":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stop())
from imagination.entry import {door}
{door}()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


# --- going on and starting afresh ---------------------------------------------------------------------------------------


def test_a_finished_run_is_left_alone_and_a_new_one_started(desk: Desk) -> None:
    project = desk.project()
    desk.run("--project", "p")
    first = tree(project / "working" / run_ids(project)[0])
    assert "new run" in desk.run("--project", "p").output
    assert len(run_ids(project)) == 2
    after = tree(project / "working" / run_ids(project)[0])
    assert {name: after[name] for name in first} == first
    assert {name.split("/")[0] for name in set(after) - set(first)} == {"output"}


def test_resume_from_repeats_an_iteration_and_sets_the_old_one_aside(desk: Desk) -> None:
    project = desk.project(passes=False, iterations=2)
    desk.run("--project", "p")
    result = desk.run("--project", "p", "--resume-from", "2")
    assert result.exit_code == 1 and "again from iteration 2" in result.output
    (run_id,) = run_ids(project)
    aside = list((project / "working" / run_id / "superseded").glob("*/images/*"))
    assert [path.name for path in aside] == ["iteration_2.png"]


# --- what is said -------------------------------------------------------------------------------------------------------


def test_without_a_terminal_there_are_plain_lines(desk: Desk) -> None:
    desk.project(passes=False)
    for environ in ({}, {"FORCE_COLOR": "1"}):
        with desk.start("--project", "p", "--reset", **environ) as process:
            said = process.communicate()[0]
        assert process.returncode == 1
        assert "\x1b" not in said and "\r" not in said
        assert re.search(r"^\d\d:\d\d:\d\d iteration 1/1 denoise=0.2 cfg=5 steps=1 seed=\d+", said, re.MULTILINE)
        assert re.search(r"^\d\d:\d\d:\d\d iteration 1 score=0 similarity=\d\.\d\d failed=likeness", said, re.MULTILINE)


def test_letters_that_the_output_cannot_show_end_no_run(desk: Desk) -> None:
    project = desk.project("über", passes=False, iterations=2)
    with desk.start("--project", "über", PYTHONIOENCODING="ascii") as process:
        said = process.communicate()[0]
    assert process.returncode == 1, said
    assert checkpoint(project)["status"] == "exhausted"


def test_verbose_shows_the_log_and_writes_it(desk: Desk) -> None:
    project = desk.project()
    result = desk.run("--project", "p", "--verbose")
    assert re.search(r"(INFO|DEBUG) imagination\.", result.output)
    assert " DEBUG " in (project / "logs" / "app.log").read_text("utf-8")


@pytest.mark.parametrize("script", ["iterative_imagination.py", "iterativectl.py"])
def test_help_imports_only_click(script: str) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "sys.argv = ['x', '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / script)!r}, run_name='__main__')\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'pydantic', 'PIL', 'yaml', 'requests', 'rich', 'websocket', 'filelock', 'aiohttp'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout
    assert "Usage:" in said and said.endswith("HEAVY []\n")


def test_without_aiohttp_the_engines_name_the_command_that_helps(desk: Desk, tmp_path: Path) -> None:
    desk.project()
    desk.write(tmp_path / "lacking" / "aiohttp.py", "raise ImportError('No module named aiohttp')")
    with desk.start("--project", "p", PYTHONPATH=str(tmp_path / "lacking")) as process:
        said = process.communicate()[0]
    assert process.returncode == 2
    assert "error: the built-in engines need aiohttp, which is not installed\nhint: pip install" in said


# --- stopping -----------------------------------------------------------------------------------------------------------


def lines_until(process: Any, word: str) -> Iterator[str]:
    for line in process.stdout:
        yield line
        if word in line:
            return
    raise AssertionError(f"ended without {word!r}")


@pytest.mark.parametrize(
    ("number", "code", "options", "hint"),
    [
        (signal.SIGINT, 130, [], "stopped; the same command goes on where it was"),
        (signal.SIGTERM, 143, ["--reset"], "stopped; the same command without --reset goes on where it was"),
    ],
)
def test_a_stopped_run_can_go_on(desk: Desk, number: int, code: int, options: List[str], hint: str) -> None:
    project = desk.project(passes=False, iterations=5000)
    with desk.start("--project", "p", *options) as process:
        list(lines_until(process, "iteration 2/5000"))
        os.kill(process.pid, number)
        said = process.communicate(timeout=600)[0]
    assert (process.returncode, "Traceback" in said) == (code, False), said
    assert hint in said
    stopped = checkpoint(project)
    assert stopped["status"] == "stopped" and stopped["last_iteration"] >= 1
    best, output = stopped["best_iteration"], project / "output" / "output.png"
    assert f"best so far: iteration {best} with 0%, in {output}\n" in said and output.is_file()
    done = stopped["last_iteration"]
    desk.write(project / "config" / "rules.yaml", rules(passes=False, iterations=done + 1))
    result = desk.run("--project", "p")
    assert result.exit_code == 1 and f"going on with run {stopped['run_id']} after iteration {done}" in result.output
    assert (checkpoint(project)["run_id"], checkpoint(project)["last_iteration"]) == (stopped["run_id"], done + 1)


def test_a_best_picture_that_found_no_room_is_not_said_to_be_in_output(desk: Desk) -> None:
    project = desk.project(passes=False, iterations=3)
    (project / "output").write_text("", encoding="ascii")
    result = desk.run("--project", "p")
    assert result.exit_code == 4 and "best so far: iteration 1 with 0%\n" in result.stdout


def test_a_stop_before_the_run_began_does_not_send_to_an_earlier_one(desk: Desk) -> None:
    project = desk.project()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
        desk.write(project / "config" / "AIGen.yaml", {**GENERATION, "comfyui": address})
        with desk.start("--project", "p", "--reset") as process:
            connection, _ = silent.accept()
            os.kill(process.pid, signal.SIGINT)
            said = process.communicate(timeout=600)[0]
            connection.close()
    assert process.returncode == 130
    assert said.endswith("\nstopped before the run began; the same command tries again\n")


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps a folder that is somebody's current one")
def test_a_current_folder_that_is_gone_is_named_as_the_trouble(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        [sys.executable, str(ROOT / "iterativectl.py"), "project", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        cwd=str(gone),
        preexec_fn=gone.rmdir,
        check=False,
    )
    assert (done.returncode, done.stdout) == (
        2,
        "error: the current folder has been removed\nhint: go to one that is there: cd DIR\n",
    )


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_before_anything_is_loaded_is_a_stop_too(desk: Desk, tmp_path: Path) -> None:
    """Exit code 1 would say that something was found."""
    desk.write(tmp_path / "slow" / "yaml.py", "import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    done = subprocess.run(
        [sys.executable, str(ROOT / "iterative_imagination.py"), "--project", "p"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "slow")},
        encoding="utf-8",
        preexec_fn=hear_ctrl_c,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "\nstopped\n")


@pytest.mark.parametrize("lost", ["", ".run.lock"])
def test_a_second_run_of_a_project_is_refused_while_the_first_is_at_work(desk: Desk, lost: str) -> None:
    """Also where somebody has tidied up in between."""
    project = desk.project(passes=False, iterations=5000)
    with desk.start("--project", "p") as process:
        try:
            list(lines_until(process, "iteration 1/5000"))
            if lost:
                (project / "working" / lost).unlink()
            result = desk.run("--project", "p")
        finally:
            process.terminate()
            process.communicate(timeout=600)
    assert result.exit_code == 4
    assert re.search(rf"another run is at work on p \(process {process.pid}, since .*\)", result.output)
    assert len(run_ids(project)) == 1


def test_terms_that_contradict_each_other_are_warned_of_before_a_run(desk: Desk) -> None:
    project = desk.project()
    data = rules("p")
    data["acceptance_criteria"][0].update(intent="change", must_include=["sunset"], ban_terms=["sunset"])
    desk.write(project / "config" / "rules.yaml", data)
    for words in (("--dry-run",), ()):
        result = desk.run("--project", "p", *words)
        assert result.exit_code == 0 and '"sunset" is banned' in result.output, result.output


@pytest.mark.parametrize("words", [("--dry-run",), ()])
def test_who_is_sent_the_key_is_told_before_anybody_is(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, words: Sequence[str]
) -> None:
    project = desk.project()
    vision = {"provider": "openrouter", "model": "m", "base_url": "http://nowhere.invalid", "retries": 0, "timeout": 1}
    desk.write(project / "config" / "AIVis.yaml", vision)
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-0123456789abcdef")
    told = desk.run("--project", "p", *words).output.replace("\n", " ")
    assert told.index("the key of OPENROUTER_API_KEY goes to nowhere.invalid") < told.index("cannot be reached")


def test_nobody_reading_ends_no_run(desk: Desk) -> None:
    project = desk.project()
    for words in ("--dry-run", ""):
        command = f"{sys.executable} -m imagination.cli --project p --workspace {desk.root} {words} | head -n 1"
        shell = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert "Traceback" not in shell.stderr
    assert checkpoint(project)["status"] == "passed"


def test_edits_that_a_run_which_goes_on_does_not_see_are_told(desk: Desk) -> None:
    project = desk.project(passes=False)
    desk.run("--project", "p")
    desk.write(project / "config" / "rules.yaml", rules("p", passes=False, iterations=2))
    settings = project / "config" / "AIGen.yaml"
    told = f"{settings} was edited after the run had begun and does not count for it: edit {project / 'working'}"
    assert told not in desk.run("--project", "p", "--dry-run").output
    desk.write(settings, {**GENERATION, "parameters": {"denoise": 0.3}})
    assert told in desk.run("--project", "p", "--dry-run").output
    assert told not in desk.run("--project", "p", "--dry-run", "--reset").output
    assert told in desk.run("--project", "p").output.replace("\n", "")


def test_where_comfyui_is_the_configured_settings_say_also_for_a_run_that_goes_on(desk: Desk) -> None:
    project = desk.project(passes=False)
    desk.run("--project", "p")
    desk.write(project / "config" / "rules.yaml", rules("p", passes=False, iterations=2))
    own, settings = project / "working" / "AIGen.yaml", project / "config" / "AIGen.yaml"
    written = own.read_text(encoding="utf-8")
    own.write_text(written.replace("host: builtin", "host: nowhere.test"), encoding="utf-8")
    result = desk.run("--project", "p", "--dry-run")
    assert re.search(rf"{own}:\d+ comfyui does not count: where ComfyUI is, .*{settings} says", result.output)
    own.write_text(written, encoding="utf-8")
    desk.write(settings, {**GENERATION, "comfyui": {"host": "builtin", "timeout": 7}})
    result = desk.run("--project", "p", "--dry-run")
    assert result.exit_code == 0 and "not count" not in result.output


def stopped_run(desk: Desk) -> Path:
    """A project whose run may make one more iteration."""
    project = desk.project(passes=False)
    desk.run("--project", "p")
    desk.write(project / "config" / "rules.yaml", rules("p", passes=False, iterations=2))
    return project


def test_a_slip_where_comfyui_is_named_is_told_also_when_a_run_goes_on(desk: Desk) -> None:
    project = stopped_run(desk)
    desk.write(project / "config" / "AIGen.yaml", {**GENERATION, "comfyui": {"host": "builtin", "prot": 8188}})
    told = desk.run("--project", "p", "--dry-run").output
    assert told.count("comfyui.prot is not a known key and is ignored; did you mean port?") == 1


def test_settings_that_are_not_there_any_more_are_no_edit(desk: Desk) -> None:
    desk.templates()
    project = stopped_run(desk)
    settings = project / "config" / "AIGen.yaml"
    settings.unlink()
    told = desk.run("--project", "p", "--dry-run").output
    assert f"{settings} is not there: where ComfyUI is" in told and "was edited" not in told


@pytest.mark.parametrize("text", ["", "parameters: {", "workflow_file: [1]"])
def test_damaged_settings_in_force_can_be_made_again(desk: Desk, text: str) -> None:
    own = stopped_run(desk) / "working" / "AIGen.yaml"
    own.write_text(text, encoding="utf-8")
    told = desk.run("--project", "p")
    assert told.exit_code == 2
    assert f"hint: mend it, or remove it, and it is made again: rm {own}" in told.output.splitlines()
    assert "best so far" not in told.output  # which is no news of this run
    own.unlink()
    told = desk.run("--project", "p")
    assert told.exit_code == 1 and "is not there, and is made again" in told.output.replace("\n", " ")


def test_a_rehearsal_tells_of_a_run_that_is_at_work(desk: Desk) -> None:
    desk.project(passes=False)
    assert "another run is at work" not in desk.run("--project", "p", "--dry-run").output
    with Store(desk.root / "projects" / "p").lock():
        told = desk.run("--project", "p", "--dry-run").output
    assert "another run is at work on this project: wait for it, or stop it" in told
    assert "a run would start once the other has ended" in told and "ready" not in told


@pytest.mark.parametrize("kind", ["metadata", "evaluation", "comparison"])
def test_a_rehearsal_and_doctor_find_the_damage_that_a_run_would_stop_at(desk: Desk, kind: str) -> None:
    project = desk.project(passes=False, iterations=2)
    assert desk.run("--project", "p").exit_code == 1
    desk.write(project / "config" / "rules.yaml", rules("p", passes=False, iterations=3))
    run = Store(project).runs()[0]
    path = run.file(kind, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    told = [desk.run("--project", "p", *words) for words in (("--dry-run",), ())]
    assert {result.exit_code for result in told} == {4}
    assert all(f"{path} is damaged: it is no JSON" in result.output for result in told)
    found = CliRunner().invoke(main, ["doctor", "--project", "p", "--workspace", str(desk.root), "--format", "json"])
    assert any(f"{path} is damaged" in json.dumps(check) for check in json.loads(found.output)["checks"])
    again = desk.run("--project", "p", "--resume-from", "1", "--dry-run")
    assert again.exit_code == 0, again.output
