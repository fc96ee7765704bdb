"""Where ComfyUI is looked for, in which order, and which Python it gets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Dict, Optional

import pytest

from imagination.comfyui_home import Home, find_home
from imagination.errors import ConfigError


class Disk:
    """A workspace and a user's home below one folder."""

    def __init__(self, top: Path) -> None:
        self.top = top.resolve()
        self.root, self.user = self.top / "workspace", self.top / "home"
        self.root.mkdir()
        self.user.mkdir()

    def comfyui(self, name: str) -> Path:
        self.file(f"{name}/main.py")
        self.file(f"{name}/nodes.py")
        return self.top / name

    def file(self, name: str, text: str = "") -> Path:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def find(
        self,
        folder: Optional[str] = None,
        python: Optional[str] = None,
        environ: Optional[Dict[str, str]] = None,
        platform: str = "linux",
    ) -> Home:
        return find_home(folder, python, self.root, environ or {}, self.user, platform)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_each_way_of_naming_it_wins_over_the_next(disk: Disk) -> None:
    option, variable, setting, remembered = (disk.comfyui(f"places/{n}") for n in ("a", "b", "c", "d"))
    usual = disk.comfyui("home/ComfyUI")
    assert disk.find().folder == usual
    disk.file("home/.config/comfy-cli/config.ini", f"[DEFAULT]\ndefault_workspace = {remembered}\n")
    assert disk.find().folder == remembered
    disk.file("workspace/iterativectl.yaml", f"comfyui_dir: {setting}\n")
    assert disk.find().folder == setting
    environ = {"COMFYUI_DIR": str(variable)}
    assert disk.find(environ=environ).folder == variable
    assert disk.find(str(option), environ=environ).folder == option


@pytest.mark.parametrize(
    ("platform", "folder"),
    [
        ("linux", ".config/comfy-cli"),
        ("darwin", "Library/Application Support/comfy-cli"),
        ("win32", "AppData/Local/comfy-cli"),
    ],
)
@pytest.mark.parametrize("key", ["default_workspace", "recent_workspace"])
def test_the_record_of_comfy_cli_is_read_on_each_system(disk: Disk, platform: str, folder: str, key: str) -> None:
    there = disk.comfyui("100% mine/ComfyUI")
    disk.file(f"home/{folder}/config.ini", f"[DEFAULT]\nenable_tracking = False\n{key} = {there}\n")
    found = disk.find(platform=platform)
    assert (found.folder, found.source) == (there, f"comfy-cli's {key}")


@pytest.mark.parametrize("text", ["no section\n", "[DEFAULT]\n", "[DEFAULT]\ndefault_workspace = /gone\n", "[DEF\x00"])
def test_a_record_of_comfy_cli_that_leads_nowhere_is_passed_over(disk: Disk, text: str) -> None:
    disk.file("home/.config/comfy-cli/config.ini", text)
    assert disk.find(environ={"COMFYUI_DIR": str(disk.comfyui("mine"))}).source == "$COMFYUI_DIR"
    assert disk.find(str(disk.comfyui("mine"))).source == "--dir"
    usual = disk.comfyui("workspace/ComfyUI")
    assert disk.find().folder == usual


@pytest.mark.parametrize("way", ["--dir", "$COMFYUI_DIR", "comfyui_dir"])
def test_a_wrong_name_is_an_error_even_when_another_is_there(disk: Disk, way: str) -> None:
    disk.comfyui("home/ComfyUI")
    gone = str(disk.top / "gone")
    if way == "comfyui_dir":
        disk.file("workspace/iterativectl.yaml", f"comfyui_dir: {gone}\n")
    with pytest.raises(ConfigError) as caught:
        disk.find(gone if way == "--dir" else None, environ={"COMFYUI_DIR": gone} if way == "$COMFYUI_DIR" else {})
    assert way in caught.value.message
    assert "gone is not a folder" in caught.value.message


def test_nothing_found_names_the_places_and_the_ways_to_name_one(disk: Disk) -> None:
    disk.file("home/ComfyUI/main.py")  # some main.py that nobody named is not enough
    if Path("/opt/ComfyUI").exists():
        pytest.skip("this machine has a ComfyUI in /opt")
    with pytest.raises(ConfigError) as caught:
        disk.find()
    assert str(disk.user / "ComfyUI") in caught.value.message
    assert "--dir" in caught.value.hint
    assert "COMFYUI_DIR" in caught.value.hint


@pytest.mark.parametrize(
    ("python", "folder"),
    [
        ("C/.venv/bin/python", "C"),
        ("C/venv/bin/python", "C"),
        ("C/venv/Scripts/python.exe", "C"),
        ("portable/python_embeded/python.exe", "portable/ComfyUI"),
        ("portable/python_embeded/python.exe", "portable"),
    ],
)
def test_its_own_environment_is_used(disk: Disk, python: str, folder: str) -> None:
    disk.comfyui("C")
    disk.comfyui("portable/ComfyUI")
    own = disk.file(python)
    assert disk.find(str(disk.top / folder)).python == own


def test_without_an_environment_our_own_python_is_used(disk: Disk) -> None:
    assert disk.find(str(disk.comfyui("C"))).python == Path(sys.executable)


def test_a_named_python_or_environment_wins(disk: Disk) -> None:
    place = str(disk.comfyui("C"))
    disk.file("C/.venv/bin/python")
    other = disk.file("envs/x/bin/python")
    assert disk.find(place, python=str(other)).python == other
    assert disk.find(place, python=str(disk.top / "envs/x")).python == other
    disk.file("workspace/iterativectl.yaml", "comfyui_python: ../envs/x\n")
    assert disk.find(place).python.resolve() == other
    with pytest.raises(ConfigError, match=r"--python: .* is not a Python"):
        disk.find(place, python=str(disk.top / "nowhere"))


def test_the_workspace_settings_are_checked_like_every_file(disk: Disk) -> None:
    place = disk.comfyui("C")
    path = disk.file("workspace/iterativectl.yaml", "# where it is\ncomfyui_dir: 5\n")
    with pytest.raises(ConfigError) as caught:
        disk.find()
    assert caught.value.message.startswith(f"{path}:2 comfyui_dir is 5; expected a text")
    path.write_text(f"comfyui_dri: {place}\n", encoding="utf-8")
    (warning,) = disk.find(str(place)).warnings
    assert "did you mean comfyui_dir?" in warning
