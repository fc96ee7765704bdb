"""`iterativectl doctor` on broken set-ups: each is named by exactly one line, and that line would have helped."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

import pytest
import yaml
from click.testing import CliRunner, Result
from desk import ROOT, Desk, tree
from PIL import Image
from pydantic import SecretStr

from imagination.ctl import main
from imagination.doctor import examine
from imagination.doctor_vision import limits_left
from imagination.providers import Wire
from imagination.store import Store
from imagination.workspace import Workspace

sys.path.append(str(Path(__file__).resolve().parents[1] / "wire"))
from fake_comfyui import FakeComfyUI
from fake_vision import FakeVision, Says, chat, dead_url

CLASSES = json.loads((ROOT / "tests/data/comfyui_recorded/object_info.json").read_text("utf-8"))["classes"]
KEY = "sk-or-v1-very-secret-0123456789"
GPU = {
    "name": "cuda:0 NVIDIA GeForce RTX 3060",
    "type": "cuda",
    "vram_total": 12 * 1024**3,
    "vram_free": 11 * 1024**3,
    "torch_vram_total": 0,
    "torch_vram_free": 0,
}
EYES = {"name": "qwen3-vl:4b", "size": 3300 * 10**6, "capabilities": ["completion", "vision"]}


class Bench(NamedTuple):
    """A project on two servers, all of it in order until a test breaks something."""

    folder: Path
    comfyui: FakeComfyUI
    ollama: FakeVision

    def change(self, name: str, **keys: Any) -> None:
        """Set keys of config/NAME.yaml."""
        path = self.folder / "config" / f"{name}.yaml"
        data: Dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump({**data, **keys}, sort_keys=False), encoding="utf-8")

    def parameter(self, **keys: Any) -> None:
        self.change("AIGen", parameters={"denoise": 0.5, "sampler_name": "euler", "scheduler": "normal", **keys})

    def sees(self, device: Dict[str, Any]) -> None:
        """Let ComfyUI tell of another device."""
        stats = {"system": {"comfyui_version": "0.3.64"}, "devices": [device]}
        self.comfyui.answers[("GET", "/system_stats")] = [(200, stats)] * 4


@pytest.fixture
def bench(desk: Desk) -> Iterator[Bench]:
    routes = {
        "GET /api/version": Says({"version": "0.12.7"}),
        "GET /api/tags": Says({"models": [EYES]}),
        "POST /api/show": Says({"capabilities": ["completion", "vision"], "model_info": {"x.context_length": 262144}}),
    }
    with FakeComfyUI() as comfyui, FakeVision(routes=routes) as ollama:
        comfyui.info = json.loads(json.dumps(CLASSES))
        bench = Bench(desk.project("p"), comfyui, ollama)
        bench.sees(GPU)
        bench.change("AIGen", model={"ckpt_name": "builtin.safetensors"}, comfyui={"host": comfyui.url, "port": 8188})
        bench.parameter()
        settings = {"provider": "ollama", "model": "qwen3-vl:4b", "base_url": ollama.url, "keep_alive": 0, "timeout": 5}
        bench.change("AIVis", **settings)
        paint(bench.folder / "input" / "input.png", (640, 512))
        yield bench


def paint(path: Path, size: Any) -> None:
    out = io.BytesIO()
    Image.new("RGB", size, "teal").save(out, "PNG")
    path.write_bytes(out.getvalue())


RUNNER = CliRunner(**({"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}))  # type: ignore[arg-type]


def doctor(*arguments: Any) -> Result:
    result = RUNNER.invoke(main, ["doctor", *map(str, arguments)], prog_name="iterativectl")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def troubles(*arguments: Any) -> List[Dict[str, str]]:
    """The lines that are not ok; the exit code is seen to be theirs."""
    result = doctor("--format", "json", *(arguments or ("--project", "p")))
    assert KEY not in result.output
    told = json.loads(result.output)
    assert result.exit_code == (1 if told["counts"]["failure"] else 0)
    return [check for check in told["checks"] if check["state"] != "ok"]


# --- a set-up in order --------------------------------------------------------------------------------------------------


def test_a_set_up_in_order_is_told_line_by_line(bench: Bench) -> None:
    before = tree(bench.folder)
    result = doctor("--project", "p")
    assert result.exit_code == 0, result.output
    states = {line.split()[0] for line in result.output.splitlines() if line[:1].strip()}
    assert states == {"ok", "all"} and result.output.endswith("\nall is well\n")
    told = " ".join(result.output.split())
    for part in (
        "ComfyUI 0.3.64 at http",
        "cuda:0 NVIDIA GeForce RTX 3060, 11.0 of 12.0 GB free",
        "comfyui queue empty",
        "ComfyUI has builtin.safetensors, euler, normal",
        "input.png will be sent with 640x512 px",
        "Ollama 0.12.7 at http",
        "qwen3-vl:4b is installed and sees images",
        "one GPU for both; keep_alive: 0 unloads the vision model",
    ):
        assert part in told
    assert tree(bench.folder) == before
    assert [line for line in result.output.splitlines() if len(line) > 80 and "/" not in line] == []


def test_no_model_is_asked_and_nothing_is_queued(bench: Bench) -> None:
    doctor("--project", "p")
    assert bench.ollama.bodies == []
    assert {method for method, _, _ in bench.comfyui.asked} == {"GET"}


# --- broken set-ups -----------------------------------------------------------------------------------------------------


def no_comfyui(bench: Bench) -> None:
    bench.change("AIGen", comfyui={"host": dead_url()})


def another_server(bench: Bench) -> None:
    bench.ollama.routes["GET /system_stats"] = Says("404 page not found", 404)
    bench.change("AIGen", comfyui={"host": bench.ollama.url})


def unknown_checkpoint(bench: Bench) -> None:
    bench.change("AIGen", model={"ckpt_name": "bultin.safetensors"})


def unknown_sampler(bench: Bench) -> None:
    bench.parameter(sampler_name="eular")


def missing_node(bench: Bench) -> None:
    del bench.comfyui.info["VAEEncode"]


def long_queue(bench: Bench) -> None:
    bench.comfyui.pending = [[0, "a"], [1, "b"]]


def little_graphics_memory(bench: Bench) -> None:
    bench.sees({**GPU, "vram_free": 1 * 1024**3})


def no_ollama(bench: Bench) -> None:
    bench.change("AIVis", base_url=dead_url())


def model_not_pulled(bench: Bench) -> None:
    bench.ollama.routes["POST /api/show"] = Says({"error": "model 'qwen3-vl:4b' not found"}, 404)


def blind_model(bench: Bench) -> None:
    bench.ollama.routes["POST /api/show"] = Says({"capabilities": ["completion"]})


def small_context(bench: Bench) -> None:
    bench.change("AIVis", options={"num_ctx": 2048})


def one_gpu(bench: Bench) -> None:
    bench.sees({**GPU, "vram_total": 8 * 1024**3, "vram_free": 7 * 1024**3})
    bench.change("AIVis", keep_alive="5m")


def no_key(bench: Bench) -> None:
    bench.change("AIVis", provider="openrouter", model="qwen/vl", base_url=None, keep_alive=None)


def refused_key(bench: Bench) -> None:
    refusal = {"error": {"code": 401, "message": f"no user of {KEY}"}}
    bench.ollama.routes["GET /v1/models"] = Says(refusal, 401)
    url = f"{bench.ollama.url}/v1"
    bench.change("AIVis", provider="openrouter", model="qwen/vl", base_url=url, api_key=KEY, keep_alive=None)
    (bench.folder / "config" / "AIVis.yaml").chmod(0o600)  # a key that others can read is a finding of its own


def seen_key(bench: Bench) -> None:
    bench.ollama.routes["GET /v1/models"] = Says({"data": [{"id": "qwen/vl"}]})
    url = f"{bench.ollama.url}/v1"
    bench.change("AIVis", provider="openrouter", model="qwen/vl", base_url=url, api_key=KEY, keep_alive=None)
    (bench.folder / "config" / "AIVis.yaml").chmod(0o644)


def blind_fallback(bench: Bench) -> None:
    models = {"data": [{"id": "text/only", "architecture": {"input_modalities": ["text"]}}]}
    bench.ollama.routes["GET /v1/models"] = Says(models)
    url = f"{bench.ollama.url}/v1"
    bench.change("AIVis", fallback_provider="openrouter", fallback_model="text/only", fallback_base_url=url)


def broken_picture(bench: Bench) -> None:
    path = bench.folder / "input" / "input.png"
    path.write_bytes(path.read_bytes()[:200])


def no_picture(bench: Bench) -> None:
    (bench.folder / "input" / "input.png").unlink()


def tiny_picture(bench: Bench) -> None:
    paint(bench.folder / "input" / "input.png", (200, 160))


def huge_picture(bench: Bench) -> None:
    paint(bench.folder / "input" / "input.png", (3000, 2000))
    bench.change("AIGen", input={"max_megapixels": None})


def value_out_of_range(bench: Bench) -> None:
    bench.parameter(cfg=70)


def mistyped_key(bench: Bench) -> None:
    bench.change("AIVis", retrys=3)


def broken_rules(bench: Bench) -> None:
    bench.change("rules", acceptance_criteria=[{"field": "a", "question": "Is it red?", "type": "bool"}])


def missing_workflow(bench: Bench) -> None:
    bench.change("AIGen", workflow_file="workflow/mine.json")


def torn_checkpoint(bench: Bench) -> None:
    working = bench.folder / "working"
    working.mkdir()
    (working / "AIGen.yaml").write_bytes((bench.folder / "config" / "AIGen.yaml").read_bytes())
    (working / "checkpoint.json").write_text('{"format": 1, "run')


def file_for_a_folder(bench: Bench) -> None:
    (bench.folder / "output").write_text("mine")


BROKEN = [
    (no_comfyui, "failure", "comfyui", "connection refused", "iterativectl comfyui start --project p"),
    (another_server, "failure", "comfyui", "/system_stats", "comfyui.host"),
    (
        unknown_checkpoint,
        "failure",
        "workflow",
        'no ckpt_name "bultin.safetensors" (did you mean builtin',
        "AIGen.yaml",
    ),
    (unknown_sampler, "failure", "workflow", 'no sampler_name "eular" (did you mean euler?)', "AIGen.yaml"),
    (missing_node, "failure", "workflow", "does not have the node VAEEncode", "install the custom nodes"),
    (long_queue, "warning", "comfyui queue", "2 waiting", "clear ComfyUI's queue"),
    (little_graphics_memory, "warning", "comfyui memory", "leave ComfyUI 1.0 GB", "ollama stop"),
    (no_ollama, "failure", "vision server", "cannot be reached", "ollama serve"),
    (model_not_pulled, "failure", "vision model", "is not installed", "ollama pull qwen3-vl:4b"),
    (blind_model, "failure", "vision model", "cannot see images", "Use one that can: qwen3-vl:4b"),
    (small_context, "warning", "vision context", "num_ctx is 2048", "set options: {num_ctx: 8192} in AIVis.yaml"),
    (one_gpu, "warning", "gpu", "and it has 8 GB", "keep_alive: 0 in AIVis.yaml"),
    (no_key, "failure", "vision key", "needs a key", "OPENROUTER_API_KEY"),
    (refused_key, "failure", "vision key", "refused the key", "OPENROUTER_API_KEY"),
    (seen_key, "warning", "files", "other users of this machine can read the key", "chmod 600"),
    (blind_fallback, "warning", "fallback model", "cannot step in: Model text/only cannot see images", "--mmproj"),
    (broken_picture, "failure", "input", "cut short or damaged", "save it again"),
    (no_picture, "failure", "input", "input.png is missing", "cp PICTURE.png"),
    (tiny_picture, "warning", "input", "too small", "larger picture"),
    (huge_picture, "warning", "input", "3000x2000", "max_megapixels: 1.0"),
    (value_out_of_range, "failure", "AIGen.yaml", "parameters.cfg is 70; expected 1.0 to 20.0", "AIGen.yaml"),
    (mistyped_key, "warning", "files", "did you mean retries?", "correct that line"),
    (broken_rules, "failure", "rules", "acceptance_criteria[0].type", "rules.yaml"),
    (missing_workflow, "failure", "workflow", "workflow/mine.json is not there", "workflow"),
    (torn_checkpoint, "failure", "last run", "checkpoint.json", "--reset"),
    (file_for_a_folder, "failure", "writing", "output cannot be written", "mv "),
]


@pytest.mark.parametrize(
    ("breaks", "state", "name", "text", "mend"), BROKEN, ids=[breaks.__name__ for breaks, *_ in BROKEN]
)
def test_a_broken_set_up_is_named_by_one_line(
    bench: Bench, breaks: Callable[[Bench], None], state: str, name: str, text: str, mend: str
) -> None:
    breaks(bench)
    (trouble,) = troubles()
    assert (trouble["state"], trouble["name"]) == (state, name), trouble
    assert text in trouble["text"]
    assert mend in trouble["mend"]


def test_several_faults_are_told_together(bench: Bench) -> None:
    no_comfyui(bench)
    model_not_pulled(bench)
    tiny_picture(bench)
    assert [trouble["name"] for trouble in troubles()] == ["input", "comfyui", "vision model"]
    assert doctor("--project", "p").output.endswith("\n2 failures, 1 warning\n")


def test_two_servers_that_hang_are_two_failures(bench: Bench) -> None:
    for route in ("GET /system_stats", "GET /api/version"):
        bench.ollama.routes[route] = Says({}, hang=60)
    bench.change("AIGen", comfyui={"host": bench.ollama.url})
    bench.change("AIVis", timeout=60)
    found = examine(Workspace(bench.folder.parents[1]), "p", {}, cap=8)
    assert [(check.state, check.name) for check in found if check.state != "ok"] == [
        ("failure", "comfyui"),
        ("failure", "vision"),
    ]
    assert "iterativectl comfyui restart --project p" in {check.mend for check in found}


def test_servers_are_asked_though_the_rules_cannot_be_read(bench: Bench) -> None:
    broken_rules(bench)
    no_ollama(bench)
    assert [trouble["name"] for trouble in troubles()] == ["rules", "vision server"]


def test_the_problem_of_a_file_has_its_line(bench: Bench) -> None:
    value_out_of_range(bench)
    path = bench.folder / "config" / "AIGen.yaml"
    number = 1 + next(n for n, line in enumerate(path.read_text().splitlines()) if "cfg: 70" in line)
    assert f"{path}:{number} " in troubles()[0]["text"]


def test_the_command_that_tells_more_of_the_rules_can_be_pasted(bench: Bench) -> None:
    bench.change("rules", project={"name": "p"})
    assert troubles()[0]["mend"].endswith("for more: iterativectl rules check --project p")


def test_settings_of_an_unfinished_run_are_the_ones_looked_at(bench: Bench) -> None:
    """The run reads working/AIGen.yaml: mending the configured file alone would not help."""
    working = bench.folder / "working"
    working.mkdir()
    unknown_sampler(bench)
    (bench.folder / "config" / "AIGen.yaml").rename(working / "AIGen.yaml")
    (bench.folder / "config" / "AIGen.yaml").write_bytes(
        (working / "AIGen.yaml").read_bytes().replace(b"eular", b"euler")
    )
    assert troubles() == []
    state = {"format": 1, "run_id": "2024-01-01_10-00-00", "status": "stopped", "last_iteration": 0}
    state.update(started_at=1.0, updated_at=1.0, rules_sha256="", input_sha256="")
    (working / "checkpoint.json").write_text(json.dumps(state))
    (working / state["run_id"]).mkdir()
    (trouble,) = troubles()
    assert str(working / "AIGen.yaml") in trouble["mend"]
    (working / state["run_id"]).rmdir()
    gone, _ = troubles()
    assert gone["name"] == "last run" and str(working / state["run_id"]) in json.dumps(gone)


def test_the_server_of_an_unfinished_run_is_where_the_configured_settings_say(bench: Bench) -> None:
    """It may have moved, and the run goes there."""
    working = bench.folder / "working"
    working.mkdir()
    (working / "AIGen.yaml").write_bytes((bench.folder / "config" / "AIGen.yaml").read_bytes())
    state = {"format": 1, "run_id": "2024-01-01_10-00-00", "status": "stopped", "last_iteration": 0}
    state.update(started_at=1.0, updated_at=1.0, rules_sha256="", input_sha256="")
    (working / "checkpoint.json").write_text(json.dumps(state))
    no_comfyui(bench)
    assert any(trouble["name"] == "comfyui" for trouble in troubles())


def test_a_run_at_work_is_told(bench: Bench) -> None:
    with Store(bench.folder).lock():
        (trouble,) = troubles()
    assert (trouble["state"], trouble["name"], trouble["mend"]) == ("warning", "run", "wait for it, or stop it")


# --- what is looked at, and how -----------------------------------------------------------------------------------------


def test_the_key_is_shown_nowhere(bench: Bench) -> None:
    refused_key(bench)
    assert KEY not in doctor("--project", "p").output
    assert any(asked.headers.get("authorization") == f"Bearer {KEY}" for asked in bench.ollama.asked)


def test_templates_are_looked_at_without_a_project(desk: Desk) -> None:
    desk.templates()
    (trouble,) = troubles("--workspace", desk.root)
    assert (trouble["state"], trouble["name"]) == ("warning", "workspace")
    assert "iterativectl project create NAME" in trouble["mend"]
    assert "input" not in {check["name"] for check in json.loads(doctor("--format", "json").output)["checks"]}


def test_built_in_engines_are_in_order(desk: Desk) -> None:
    desk.project("p")
    assert troubles() == []


def test_a_project_that_is_not_there_is_a_wrong_option(desk: Desk) -> None:
    result = doctor("--project", "nope")
    assert result.exit_code == 2
    assert "there is no project nope" in result.stderr


def test_a_servers_words_cannot_colour_the_terminal(bench: Bench) -> None:
    bench.ollama.routes["GET /api/version"] = Says({"version": "0.12.7\x1b[31m\nfailure  python"})
    output = doctor("--project", "p").output
    assert "\x1b" not in output and "\nfailure" not in output


def test_colour_is_for_a_terminal(bench: Bench) -> None:
    coloured = CliRunner().invoke(main, ["doctor", "--project", "p"], color=True).output
    assert "\x1b[32mok " in coloured
    assert "\x1b" not in doctor("--project", "p").output


def without(module: str, *arguments: str, cwd: Path) -> Any:
    """Give the command in a Python that cannot import `module`."""
    script = (
        f"import sys; sys.modules[{module!r}] = None; from imagination.ctl import main; main({['doctor', *arguments]})"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=str(cwd),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
    )


def test_a_missing_package_is_told_with_the_command_that_mends_it(desk: Desk) -> None:
    done = without("pydantic", cwd=desk.root)
    assert (done.returncode, done.stderr) == (1, "")
    told = " ".join(done.stdout.split())
    assert "failure packages pydantic" in told and "-m pip install" in told and told.endswith("1 failure")


def test_a_package_that_both_built_in_engines_need_is_told_once(desk: Desk) -> None:
    desk.project("p")
    done = without("aiohttp", "--project", "p", "--format", "json", cwd=desk.root)
    assert (done.returncode, done.stderr) == (1, "")
    (trouble,) = [check for check in json.loads(done.stdout)["checks"] if check["state"] != "ok"]
    assert "need aiohttp" in trouble["text"] and "pip install" in trouble["mend"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"limit": 10, "limit_remaining": 7.5}, "$7.50 of $10.00 left"),
        ({"limit": None, "limit_remaining": None}, "it has no limit of its own"),
        (
            {"limit": None, "free_model_daily_requests": {"used": 8, "limit": 50, "remaining": 42}},
            "it has no limit of its own; free models today: 42 requests left",
        ),
        ({"limit": 10**400, "limit_remaining": 1.7e308}, "it has no limit of its own"),
        ({"limit": 10, "free_model_daily_requests": {"remaining": 10**400}}, "it has no limit of its own"),
    ],
)
def test_what_a_key_may_still_spend(data: Dict[str, Any], told: str) -> None:
    with FakeVision(routes={"GET /key": Says({"data": data})}) as server:
        assert limits_left(Wire("OpenRouter", server.url, key=SecretStr(KEY))) == told


def test_help_has_an_example(desk: Desk) -> None:
    assert "iterativectl doctor --project portrait" in doctor("--help").output


# --- --judge: the model on the user's own rules and picture ----------------------------------------------------------------

TRIED = [
    {"field": "is_night", "question": "Is it night?", "intent": "change"},
    {"field": "same_people", "question": "Are the people the same?", "intent": "preserve"},
]
DESCRIBED = chat("A teal field.")
COMPARED = chat('{"similarity_score": 1.0}')


def verdict(night: Any, people: Any) -> Says:
    return chat(json.dumps({"is_night": {"verdict": night}, "same_people": {"verdict": people}}))


def judge_on(bench: Bench, *answers: Says) -> Dict[str, Any]:
    """What `doctor --judge` tells of a model that gives these answers to the nine looks."""
    bench.change("rules", project={"name": "p", "max_iterations": 1}, acceptance_criteria=TRIED)
    bench.ollama.answers = [DESCRIBED, COMPARED, *answers]
    told: Dict[str, Any] = json.loads(doctor("--project", "p", "--judge", "--format", "json").stdout)
    return told


def judge_lines(told: Dict[str, Any]) -> Dict[str, str]:
    return {check["name"]: check["state"] for check in told["checks"] if check["name"].startswith("judge")}


GOOD = [*[verdict(False, True)] * 5, *[verdict(False, False)] * 4]


def test_a_good_judge_is_shown_in_figures(bench: Bench) -> None:
    told = judge_on(bench, *GOOD)
    names = ("judge replies", "judge yes-rate", "judge sight", "judge flips", "judge effort")
    assert judge_lines(told) == dict.fromkeys(names, "ok")
    figures = told["judge"]
    assert figures["yes_rate"] == {"original": 0.5, "grey": 0.0, "ruined": 0.0}
    assert (figures["looks"], figures["parse_rate"], figures["answered"], figures["flip_rate"]) == (9, 1.0, 1.0, 0.0)
    assert (figures["blindness"], figures["cost_per_picture"]) == (0.5, None)
    assert figures["seconds_per_picture"] >= figures["seconds_per_look"] > 0


def test_the_judge_sees_the_original_grey_and_a_ruined_copy(bench: Bench) -> None:
    judge_on(bench, *GOOD)
    looks = [body["messages"][0] for body in bench.ollama.bodies[2:11]]
    first = [message["images"][0] for message in looks]
    second = [message["images"][1] for message in looks]
    assert len(set(first)) == 1 and second[:5] == first[:5]
    assert len(set(second)) == 3 and second[5] == second[6] and second[7] == second[8]
    seeds = [body["options"]["seed"] for body in bench.ollama.bodies[2:7]]
    assert len(set(seeds)) == 5
    assert all("A teal field." in message["content"] for message in looks)


@pytest.mark.parametrize(
    ("answers", "states"),
    [
        ([verdict(True, True)] * 9, {"judge yes-rate": "failure"}),
        ([verdict(False, True)] * 9, {"judge sight": "failure", "judge yes-rate": "warning"}),
        (
            [*[verdict(False, True)] * 3, *[verdict(True, True)] * 2, *[verdict(False, False)] * 4],
            {"judge flips": "warning"},
        ),
        ([verdict(False, False)] * 9, {"judge sight": "failure", "judge and rules": "warning"}),
        ([*[verdict(True, True)] * 5, *[verdict(False, False)] * 4], {"judge and rules": "warning"}),
        ([verdict(None, None)] * 40, {"judge replies": "failure"}),
        ([chat("I would rather not.")] * 40, {"judge replies": "failure"}),
        ([*[each for look in GOOD for each in (chat("Well ..."), look)]], {"judge replies": "warning"}),
    ],
    ids=["yes", "blind", "flips", "no to everything", "there already", "says nothing", "no JSON", "JSON at second try"],
)
def test_a_bad_judge_is_told_of_with_what_helps(bench: Bench, answers: List[Says], states: Dict[str, str]) -> None:
    told = judge_on(bench, *answers)
    assert {name: state for name, state in judge_lines(told).items() if state != "ok"} == states
    assert all(check["mend"] for check in told["checks"] if check["state"] != "ok")


def test_a_server_that_dies_is_given_up_after_two_looks(bench: Bench) -> None:
    told = judge_on(bench, verdict(False, True), *[Says({"error": "out of memory"}, 500)] * 20)
    assert judge_lines(told)["judge replies"] == "warning"
    assert told["judge"]["looks"] == 3
    assert "out of memory" in next(check["text"] for check in told["checks"] if check["name"] == "judge replies")


def test_progress_is_told_on_stderr_and_the_lines_on_stdout(bench: Bench) -> None:
    bench.change("rules", project={"name": "p", "max_iterations": 1}, acceptance_criteria=TRIED)
    bench.ollama.answers = [DESCRIBED, COMPARED, *GOOD]
    result = doctor("--project", "p", "--judge")
    assert "judge: look 6 of 9: a plain grey picture ..." in result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "all is well" and lines[-2] == ""
    assert [line.split()[:3] for line in lines].count(["ok", "judge", "flips"]) == 1
    assert [line for line in lines if line.startswith("ok       python")] != []


def test_without_a_project_there_is_nothing_to_try_the_judge_on(bench: Bench) -> None:
    result = doctor("--judge")
    assert result.exit_code == 2 and "--judge needs --project NAME" in result.stderr


def test_a_judge_that_cannot_be_reached_is_not_tried(bench: Bench) -> None:
    bench.change("AIVis", base_url=dead_url())
    told = json.loads(doctor("--project", "p", "--judge", "--format", "json").stdout)
    assert judge_lines(told) == {"judge": "warning"} and told["judge"] is None


def test_without_comfyui_the_judge_is_tried_all_the_same(bench: Bench) -> None:
    bench.change("AIGen", comfyui={"host": dead_url()})
    assert judge_lines(judge_on(bench, *GOOD))["judge flips"] == "ok"
