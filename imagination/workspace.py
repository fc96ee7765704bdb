"""Where things lie: the workspace, its projects, a project's own files, the templates. Looks, and copies templates.

The workspace is the folder that holds `projects/`. Templates come from its `defaults/`, else from the installed package.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Optional

from .errors import ConfigError, StoreError

PACKAGE = Path(__file__).resolve().parent
HOME_VARIABLE = "ITERATIVE_IMAGINATION_HOME"
RESERVED = {"con", "prn", "aux", "nul", "index", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
_MODELINE = re.compile(r"(\$schema=)\S*?([\w.]+\.schema\.json)")


def shipped(name: str) -> Path:
    """A folder that ships with the tool (`defaults`, `rules`, `viewer`): beside the package in a checkout, else inside it."""
    beside = PACKAGE.parent / name
    return beside if (PACKAGE.parent / "pyproject.toml").is_file() and beside.is_dir() else PACKAGE / "_data" / name


def example_names() -> List[str]:
    """Names of the example rules that ship with the tool, as `project create --from` takes them."""
    return sorted(path.stem for path in shipped("rules").glob("*.yaml"))


def check_name(name: str) -> str:
    """Return `name` if it is fit to be a folder on every system. Raises ConfigError otherwise."""
    fault = ""
    if not name or name != name.strip():
        fault = "it is empty or has blanks at its ends"
    elif len(name) > 100 or len(name.encode("utf-8", "replace")) > 200:
        fault = "it is too long"
    elif name.startswith(".") or name.endswith("."):
        fault = "it begins or ends with a dot"
    elif any(c in '/\\:*?"<>|' or ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) <= 0xDFFF for c in name):
        fault = "it has a character that folders cannot have everywhere"
    elif name.split(".")[0].lower() in RESERVED:
        fault = "it is reserved by an operating system"
    if fault:
        shown = name.encode("unicode_escape").decode("ascii")[:60]
        raise ConfigError(f'"{shown}" cannot be a project name: {fault}', "use letters, digits, - and _")
    return name


@dataclass(frozen=True)
class Workspace:
    """The folder that holds `projects/`."""

    root: Path

    @classmethod
    def find(cls, option: Optional[str], environ: Mapping[str, str], cwd: Path) -> Workspace:
        """`option`, else the environment's, else the nearest folder from `cwd` upward with `projects/`, else `cwd`."""
        named = option or environ.get(HOME_VARIABLE)
        if named:
            root = Path(named).expanduser()
            if not root.is_dir():
                source = "--workspace" if option else HOME_VARIABLE
                raise ConfigError(f"{source}: {named} is not a folder", "create it first, or name another")
            return cls(root.resolve())
        for folder in (cwd, *cwd.parents):
            if (folder / "projects").is_dir():
                return cls(folder)
        return cls(cwd)

    @property
    def projects(self) -> Path:
        return self.root / "projects"

    def names(self) -> List[str]:
        """Names of the projects: folders with a `config/`."""
        if not self.projects.is_dir():
            return []
        return sorted(p.name for p in self.projects.iterdir() if (p / "config").is_dir())

    def project(self, name: str) -> Project:
        """An existing project. Raises ConfigError that names those there are."""
        folder = self.projects / check_name(name)
        if not folder.is_dir():
            have = ", ".join(self.names()) or "none"
            raise ConfigError(
                f"there is no project {name} in {self.projects} (there are: {have})",
                "make one: --rules rules/FILE.yaml --input PICTURE, or copy defaults/ to projects/NAME",
            )
        return Project(name, folder, self)

    def templates(self) -> List[Path]:
        """Template folders, the first that has a file wins."""
        return [self.root / "defaults", shipped("defaults")]

    def template(self, relative: str) -> Path:
        """A template file. Raises StoreError when the installation is damaged."""
        for folder in self.templates():
            if (folder / relative).is_file():
                return folder / relative
        raise StoreError(f"the template {relative} is missing from {self.templates()[-1]}", "install the tool again")

    def create(self, name: str, rules: Path) -> Project:
        """Make a project from the templates with `rules` as its rules.yaml; the picture is not part of it."""
        folder = self.projects / check_name(name)
        if folder.exists():
            raise ConfigError(f"{folder} exists already", "use another name")
        making = self.projects / f".{name}.new"
        try:
            shutil.rmtree(making, ignore_errors=True)
            for relative in ("config", "input", "working", "schema"):
                (making / relative).mkdir(parents=True)
            for relative in ("AIGen.yaml", "AIVis.yaml"):
                shutil.copyfile(self.template(f"config/{relative}"), making / "config" / relative)
            for schema in self.template("schema/rules.schema.json").parent.glob("*.json"):
                shutil.copyfile(schema, making / "schema" / schema.name)
            text = rules.read_text(encoding="utf-8-sig")
            (making / "config" / "rules.yaml").write_text(_MODELINE.sub(r"\1../schema/\2", text), encoding="utf-8")
            making.rename(folder)
        except OSError as err:
            raise StoreError(f"{folder} cannot be made: {err.strerror or err}") from err
        return Project(name, folder, self)


@dataclass(frozen=True)
class Project:
    """A project's folder and the files in it that belong to the user."""

    name: str
    root: Path
    workspace: Workspace
    rules_file: Optional[Path] = None  # of a project that is yet to be made

    @property
    def rules(self) -> Path:
        return self.rules_file or self.root / "config" / "rules.yaml"

    @property
    def vision(self) -> Path:
        """AIVis.yaml: the project's, else the template's."""
        own = self.root / "config" / "AIVis.yaml"
        return own if own.is_file() else self.workspace.template("config/AIVis.yaml")

    @property
    def generation(self) -> Path:
        """AIGen.yaml as the user wrote it: the project's, else the template's."""
        own = self.root / "config" / "AIGen.yaml"
        return own if own.is_file() else self.workspace.template("config/AIGen.yaml")

    def prompt_files(self) -> List[Path]:
        """prompts.yaml files that are there, the last overrides (decisions.md, "Prompt templates")."""
        optional = [self.workspace.root / "prompts.yaml", self.root / "config" / "prompts.yaml"]
        return [self.workspace.template("prompts.yaml"), *(p for p in optional if p.is_file())]

    def input(self) -> Path:
        """The input picture: input/input.png, else the one input/input.*. Raises ConfigError when there is none."""
        exact = self.root / "input" / "input.png"
        if exact.is_file():
            return exact
        found = self._input_files()
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(p.name for p in found)
            raise ConfigError(
                f"{self.root / 'input'} has several input pictures: {names}", "keep one, or name it input.png"
            )
        raise ConfigError(
            f"{exact} is missing", f"put a picture there, or run with --project {self.name} --input PICTURE"
        )

    def has_input(self) -> bool:
        """Say whether any input picture is there."""
        return bool(self._input_files())

    def _input_files(self) -> List[Path]:
        """input/input.* of a kind that Pillow reads; when none is, whatever is there, so that it can be told of."""
        from PIL import Image

        found = sorted(p for p in (self.root / "input").glob("input.*") if p.is_file() and p.suffix != ".tmp")
        readable = Image.registered_extensions()
        return [p for p in found if p.suffix.lower() in readable] or found

    def put_input(self, source: Path) -> Path:
        """Copy a picture in as input/input.SUFFIX, byte for byte."""
        suffix = source.suffix.lower() if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", source.suffix) else ".png"
        target = self.root / "input" / f"input{suffix}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = target.with_name(target.name + ".tmp")
            shutil.copyfile(source, copy)
            copy.replace(target)
        except OSError as err:
            raise StoreError(f"{target} cannot be written: {err.strerror or err}") from err
        return target

    def lookup(self, relative: str) -> Path:
        """A file that a config names: in the project, then the workspace, then the templates. Raises ConfigError."""
        path = Path(relative).expanduser()
        if path.is_absolute():
            folders = [Path()]
        else:
            folders = [self.root, self.workspace.root, *self.workspace.templates()]
        for folder in folders:
            if (folder / path).is_file():
                return folder / path
        looked = ", ".join(str(folder) for folder in folders) if not path.is_absolute() else "as an absolute path"
        raise ConfigError(f"{relative} is not there (looked in {looked})")
