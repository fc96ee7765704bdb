"""Where things lie: the workspace, its projects, a project's own files, the templates. Looks, and copies templates.

The workspace is the folder that holds `projects/`. Templates come from its `defaults/`, else from the installed package.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import secrets
import shlex
import shutil
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Mapping, Optional

from .errors import ConfigError, StoreError

PACKAGE = Path(__file__).resolve().parent
HOME_VARIABLE = "ITERATIVE_IMAGINATION_HOME"
RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    "conin$",
    "conout$",
    "index",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)),
}
_MODELINE = re.compile(r"(\$schema=)\S*?([\w.]+\.schema\.json)")


def shipped(name: str) -> Path:
    """A folder that ships with the tool (`defaults`, `rules`, `viewer`): beside the package in a checkout, else inside it."""
    beside = PACKAGE.parent / name
    return beside if (PACKAGE.parent / "pyproject.toml").is_file() and beside.is_dir() else PACKAGE / "_data" / name


def example_names() -> List[str]:
    """Names of the example rules that ship with the tool, as `project create --from` takes them."""
    return sorted(path.stem for path in shipped("rules").glob("*.yaml"))


def expanded(text: str) -> Path:
    """A path as the user wrote it, `~` resolved. Raises ConfigError where that is no path at all."""
    try:
        path = Path(text).expanduser()
        path.exists()  # a name that is too long, or a zero byte, shows here and not in the middle of a run
        return path
    except (OSError, ValueError, RuntimeError) as err:
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise ConfigError(f"{shown!r} cannot be used as a path: {getattr(err, 'strerror', None) or err}") from err


def check_name(name: str) -> str:
    """Return `name` if it is fit to be a folder on every system. Raises ConfigError otherwise."""
    fault = ""
    if not name or name != name.strip():
        fault = "it is empty or has blanks at its ends"
    elif len(name) > 100 or len(name.encode("utf-8", "replace")) > 200:
        fault = "it is too long"
    elif name.startswith(".") or name.endswith("."):
        fault = "it begins or ends with a dot"
    elif name.startswith("-"):
        fault = "it begins with a dash, as options do"
    elif any(c in '/\\:*?"<>|' for c in name):
        fault = "it has a character that folders cannot have everywhere"
    elif not name.isprintable():  # other blanks, letters without width, marks that turn the direction of writing
        fault = "it has a character that cannot be seen"
    elif unicodedata.normalize("NFKC", name.split(".")[0]).strip().lower() in RESERVED:
        fault = "it is reserved by an operating system"
    if fault:
        shown = name.encode("unicode_escape").decode("ascii")[:60]
        raise ConfigError(f'"{shown}" cannot be a project name: {fault}', "use letters, digits, - and _")
    return name


def _is_there(path: Path) -> bool:
    """Say whether the name is taken, by whatever: a folder, or a link to a disk that is gone, is the user's own file that
    cannot be read, and whoever opens it says so. Only where there is nothing at all does something else step in.
    """
    return os.path.lexists(str(path))


@dataclass(frozen=True)
class Workspace:
    """The folder that holds `projects/`."""

    root: Path

    @classmethod
    def find(cls, option: Optional[str], environ: Mapping[str, str], cwd: Path) -> Workspace:
        """`option`, else the environment's, else the nearest folder from `cwd` upward with `projects/`, else `cwd`."""
        named = option or environ.get(HOME_VARIABLE)
        if named:
            root = expanded(named)
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

    def option(self) -> str:
        """What a command that is to be pasted here needs to find it: ` --workspace DIR`, or nothing."""
        found = Workspace.find(None, {}, Path.cwd()).root
        return "" if found.resolve() == self.root.resolve() else f" --workspace {shlex.quote(str(self.root))}"

    def names(self) -> List[str]:
        """Names of the projects: folders with a `config/`."""
        if not self.projects.is_dir():
            return []
        folders = (p for p in self.projects.iterdir() if not p.name.startswith("."))  # a dot: one that is being made
        return sorted(p.name for p in folders if (p / "config").is_dir())

    def project(self, name: str) -> Project:
        """An existing project; a path into projects/, as shells complete it, is understood. Raises ConfigError."""
        path = Path(name)
        if path.name != name and path.name and path.resolve().parent == self.projects.resolve():
            name = path.name
        folder = self.projects / check_name(name)
        if not folder.is_dir():
            raise self._unknown(name)
        return Project(name, folder, self)

    def _unknown(self, name: str) -> ConfigError:
        have = self.names()
        near = difflib.get_close_matches(_folded(name), [_folded(each) for each in have], n=1)
        meant = next((each for each in have if near and _folded(each) == near[0]), None)
        make = (
            "iterativectl demo"
            if name == "demo"
            else f"iterativectl project create {shlex.quote(name)} --input PICTURE"
        ) + self.option()
        guess = f"did you mean {meant}? Else make" if meant else "make"
        same = meant is not None and _folded(meant) == _folded(name)  # which `create` would refuse
        return ConfigError(
            f"there is no project {name} in {self.projects} (there are: {', '.join(have) or 'none'})",
            f"did you mean {meant}?"
            if same
            else f"{guess} it with: {make}, or name the folder that holds projects/ with --workspace",
        )

    def templates(self) -> List[Path]:
        """Template folders, the first that has a file wins."""
        return [self.root / "defaults", shipped("defaults")]

    def template(self, relative: str) -> Path:
        """A template file. Raises StoreError when the installation is damaged."""
        for folder in self.templates():
            if _is_there(folder / relative):
                return folder / relative
        raise StoreError(f"the template {relative} is missing from {self.templates()[-1]}", "install the tool again")

    def create(self, name: str, rules: Path, text: Optional[str] = None, picture: Optional[Path] = None) -> Project:
        """Make a project from the templates with `rules` as its rules.yaml, and `picture`, if any, as its input.

        `text`: what is to stand in rules.yaml, where that is not what `rules` says.
        """
        from .config import read_text

        text = read_text(rules) if text is None else text
        with self._making(name) as making:
            for relative in ("config", "input", "working"):
                (making / relative).mkdir()
            for relative in ("AIGen.yaml", "AIVis.yaml"):
                shutil.copyfile(self.template(f"config/{relative}"), making / "config" / relative)
            (making / "config" / "rules.yaml").write_bytes(text.encode("utf-8"))
            if picture is not None:
                Project(name, making, self).put_input(picture)
        return Project(name, self.projects / name, self)

    def copy_in(self, name: str, source: Path) -> Project:
        """Make a project of a folder that ships with the tool; what runs have left there stays behind."""
        left = shutil.ignore_patterns("working", "logs", "output")
        with self._making(name) as making:
            shutil.copytree(source, making, ignore=left, dirs_exist_ok=True)
        return Project(name, self.projects / name, self)

    def check_free(self, name: str) -> None:
        """Refuse the name of a project that is there, also one that differs in case alone. Raises ConfigError."""
        check_name(name)
        taken = {_folded(p.name): p.name for p in self.projects.iterdir()} if self.projects.is_dir() else {}
        other = taken.get(_folded(name))
        if other == name:
            raise ConfigError(f"{self.projects / name} exists already", "use another name")
        if other is not None:
            raise ConfigError(
                f"{name} differs from the project {other} in case alone: on many systems they are one folder",
                "use another name",
            )

    @contextlib.contextmanager
    def _making(self, name: str) -> Iterator[Path]:
        """A folder to make a project in. It gets its name when all is there; nothing is left of one that fails."""
        self.check_free(name)
        making = self.projects / f".{name}.{secrets.token_hex(4)}.new"  # its own: two commands may be at it
        try:
            making.mkdir(parents=True)
            yield making
            self._point_at_schemas(making)
            making.rename(self.projects / name)
        except OSError as err:
            if (self.projects / name).is_dir():
                raise ConfigError(f"{self.projects / name} exists already", "use another name") from err
            raise StoreError(
                f"{self.projects / name} cannot be made: {err.strerror or err}", "look at the permissions and the disk"
            ) from err
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def _point_at_schemas(self, project: Path) -> None:
        """Give a project the schemas that the first line of its files names, so that editors find them."""
        (project / "schema").mkdir(exist_ok=True)
        for schema in self.template("schema/rules.schema.json").parent.glob("*.json"):
            shutil.copyfile(schema, project / "schema" / schema.name)
        for path in (project / "config").glob("*.yaml"):
            text = path.read_bytes().decode("utf-8", "surrogateescape")
            path.write_bytes(_MODELINE.sub(r"\1../schema/\2", text).encode("utf-8", "surrogateescape"))

    def example_picture(self) -> Path:
        """The templates' example picture. Raises StoreError when the installation is damaged."""
        for folder in self.templates():
            for path in sorted((folder / "input").glob("example.*")):
                return path
        raise StoreError(f"the example picture is missing from {self.templates()[-1]}", "install the tool again")


def _folded(name: str) -> str:
    """A name as file systems compare that know no case, and that compose letters with their accents."""
    return unicodedata.normalize("NFC", name).casefold()


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
        return self.own_or_template("config/AIVis.yaml")

    @property
    def generation(self) -> Path:
        """AIGen.yaml as the user wrote it: the project's, else the template's."""
        return self.own_or_template("config/AIGen.yaml")

    def own_or_template(self, relative: str) -> Path:
        """A file of the project, whatever is in its place; the template's only where there is nothing at all."""
        own = self.root / relative
        return own if _is_there(own) else self.workspace.template(relative)

    def prompt_files(self) -> List[Path]:
        """prompts.yaml files that are there, the last overrides (decisions.md, "Prompt templates").

        The shipped one comes first, so that a workspace's older copy of the templates does not lack what is newer.
        """
        own = [self.workspace.root / "defaults", self.workspace.root, self.root / "config"]
        found = [shipped("defaults") / "prompts.yaml", *(folder / "prompts.yaml" for folder in own)]
        return [path for path in dict.fromkeys(found) if _is_there(path)]

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
        others = sorted(p.name for p in (self.root / "input").glob("*") if p.is_file() and p.name[0] != ".")[:5]
        lies = f" (there is {', '.join(others)}: rename it)" if others else ""
        raise ConfigError(
            f"{exact} is missing{lies}",
            f"put a picture there, or: iterative-imagination --project {shlex.quote(self.name)} --input PICTURE"
            f"{self.workspace.option()}",
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
        from .config import not_a_file

        path = expanded(relative)
        if path.is_absolute():
            folders = [Path()]
        else:
            folders = [self.root, self.workspace.root, *self.workspace.templates()]
        for folder in folders:
            if (folder / path).is_file():
                return folder / path
            if _is_there(folder / path):
                raise ConfigError(f"{folder / path} {not_a_file(folder / path)}")
        looked = (
            ", ".join(dict.fromkeys(str(folder) for folder in folders))
            if not path.is_absolute()
            else "as an absolute path"
        )
        raise ConfigError(f"{relative} is not there (looked in {looked})")
