"""The key is in nothing that the tool writes, shows or starts, whatever goes wrong; and a key that others see is told of."""

from __future__ import annotations

import base64
import logging
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List
from urllib.parse import quote

import pytest
from proxy import body, half, page, reset, reset_after, stall_after, status, wrong_length
from wire_bench import CHAT, WireBench, at

from imagination.config import load_vision
from imagination.exposure import exposures

KEY = "sk/or+v1-" + "0123456789abcdef" * 4
BASIC = base64.b64encode(f"joe:{KEY}".encode()).decode()
# how servers write it down: what the program reads, and what it logs as it came, must be without it
QUOTED = {
    "raw": KEY,
    "as PHP does": KEY.replace("/", "\\/"),
    "as numbers": "".join(f"\\u{ord(c):04X}" for c in KEY),
    "JSON in JSON": KEY.replace("/", "\\\\\\/"),
    "in an address": quote(KEY, safe=""),
    "in base64": BASIC,
}
ECHOES: List[Any] = [
    pytest.param(fault, id=name)
    for name, fault in {
        "nothing": body(lambda answer: answer),
        "reset": reset,
        "reset at byte 30": reset_after(30),
        "stalled in the middle": stall_after(150),
        "half a body": half,
        "wrong length": wrong_length,
        "HTML": page,
        "500 that quotes it": status(500, f"<html>{KEY}</html>".encode(), "text/html"),
        "429 that quotes it": status(429, f'{{"error": {{"message": "{KEY} is out of money"}}}}'.encode()),
        "a reply that quotes it": body(lambda answer: answer.replace(b'"content":"', b'"content":"' + KEY.encode())),
        "a redirect with it": status(302, b"", "text/plain", f"Location: http://127.0.0.1/?key={KEY}\r\n"),
        **{
            f"401 that quotes it {how}": status(401, f'{{"error": "wrong key {q}"}}'.encode())
            for how, q in QUOTED.items()
        },
        "a name that quotes it": status(400, f'{{"error": {{"{QUOTED["as PHP does"]}": "is unknown"}}}}'.encode()),
    }.items()
]
FORMS = [*QUOTED.values(), BASIC[-40:-4]]


@pytest.mark.parametrize("fault", ECHOES)
def test_the_key_is_nowhere(tmp_path: Path, fault: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bench = WireBench(tmp_path, api_key=KEY)
    bench.vision.faults = at(CHAT, fault)
    result = bench.run()
    bench.close()
    assert any(KEY.encode() in part for part in bench.vision.heads), "the key was never sent: this test shows nothing"
    told = [result.shown, *result.warnings, repr(result), caplog.text]
    if result.stopped is not None:
        told += [str(result.stopped), result.stopped.hint, repr(result.stopped.__cause__), *result.stopped.problems]
    assert not any(form in text for text in told for form in FORMS)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path != bench.project.vision:
            assert not any(form.encode() in path.read_bytes() for form in FORMS), path


INSTEAD = "put it elsewhere"


def settings_file(folder: Path, mode: int) -> Path:
    path = folder / "AIVis.yaml"
    path.write_text(f"provider: openrouter\nmodel: m\napi_key: {KEY}\n", encoding="utf-8")
    path.chmod(mode)
    return path


@pytest.mark.skipif(os.name != "posix", reason="a mode says nothing there")
@pytest.mark.parametrize(("mode", "seen"), [(0o600, False), (0o640, True), (0o604, True), (0o644, True)])
def test_a_key_that_others_can_read_is_warned_of(tmp_path: Path, mode: int, seen: bool) -> None:
    found = exposures(settings_file(tmp_path, mode), "key", INSTEAD)
    assert [("chmod 600" in line and INSTEAD in line) for line in found] == [True] * seen


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git here")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=n@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@needs_git
def test_a_key_that_git_tracks_is_warned_of(tmp_path: Path) -> None:
    path = settings_file(tmp_path, 0o600)
    git(tmp_path, "init")
    assert exposures(path, "key", INSTEAD) == []
    git(tmp_path, "add", "AIVis.yaml")
    (line,) = exposures(path, "key", INSTEAD)
    assert line.startswith("git tracks it") and INSTEAD in line


@needs_git
@pytest.mark.skipif(os.name != "posix", reason="links need rights there")
def test_a_key_is_looked_for_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "project").mkdir()
    real, link = settings_file(tmp_path / "dotfiles", 0o600), tmp_path / "project" / "AIVis.yaml"
    link.symlink_to(real)
    git(tmp_path / "project", "init")
    git(tmp_path / "project", "add", "AIVis.yaml")
    assert exposures(link, "key", INSTEAD) == []  # where it leads is all that is tracked
    git(tmp_path / "dotfiles", "init")
    git(tmp_path / "dotfiles", "add", "AIVis.yaml")
    (line,) = exposures(link, "key", INSTEAD)
    assert line.startswith(f"git tracks {real.resolve()}, to which it leads, and the key with it")


@needs_git
def test_another_repository_of_the_environment_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settings_file(tmp_path, 0o600)
    git(tmp_path, "init")
    git(tmp_path, "add", "AIVis.yaml")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert len(exposures(path, "key", INSTEAD)) == 1


@needs_git
@pytest.mark.skipif(os.name != "posix", reason="the commands are those of a shell")
@pytest.mark.parametrize("lacking", [False, True], ids=["to hear of changes", "to fetch what is lacking"])
def test_no_command_that_a_repository_names_is_run(tmp_path: Path, lacking: bool) -> None:
    path, ran = settings_file(tmp_path, 0o600), tmp_path.parent / f"{tmp_path.name}.ran"
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    settings = _partial_clone(tmp_path, f"touch {ran}; false") if lacking else {"core.fsmonitor": f"touch {ran}; false"}
    for name, value in settings.items():
        git(tmp_path, "config", name, value)
    exposures(path, "key", INSTEAD)
    assert not ran.exists()


def _partial_clone(folder: Path, command: str) -> Dict[str, str]:
    """Make `folder` lack something that git needs to list its files; the settings tell how it is fetched."""
    (folder / "outside").mkdir()
    (folder / "outside" / "file").write_text("x", encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "all")
    try:
        git(folder, "sparse-checkout", "set", "--cone", "--sparse-index", "inside")
    except subprocess.CalledProcessError:
        pytest.skip("a git that has no sparse index")
    tree = git(folder, "rev-parse", "HEAD:outside")
    (folder / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    origin = {"url": str(folder), "promisor": "true", "uploadpack": command}
    settings = {f"remote.origin.{name}": value for name, value in origin.items()}
    return {"core.repositoryFormatVersion": "1", "extensions.partialClone": "origin", **settings}


def test_a_run_warns_of_it_with_file_and_line(tmp_path: Path) -> None:
    bench = WireBench(tmp_path, api_key=KEY)
    bench.project.vision.chmod(0o644)
    from imagination.setup import read_setup

    (told,) = [line for line in read_setup(bench.project).warnings if "api_key" in line]
    line = load_vision(bench.project.vision).document.lines[("api_key",)]
    assert f"AIVis.yaml:{line} api_key: other users" in told and KEY not in told
    bench.close()


def test_a_password_in_an_address_is_not_copied_to_the_run(tmp_path: Path) -> None:
    bench = WireBench(tmp_path)
    address = bench.vision.url.replace("//", "//joe:opensesame@")
    bench.change_vision(
        provider="ollama", model="builtin", base_url=address, fallback_base_url="me:opensesame@box:1/v1"
    )
    bench.run()
    (copy,) = bench.store.runs()[-1].root.glob("inputs/AIVis.yaml")
    copied = load_vision(copy).record
    assert (copied.base_url, copied.fallback_base_url) == (bench.vision.url, "box:1/v1")
    for path in tmp_path.rglob("*"):
        if path.is_file() and path != bench.project.vision:
            assert b"opensesame" not in path.read_bytes(), path
    bench.close()
