"""What `project create` makes a project of: which rules are meant, under the new name, and which picture.

Nothing is made here of rules or a picture that would not run; the making itself is `workspace`'s business.
"""

from __future__ import annotations

import difflib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

import yaml

from . import images
from .advice import look_over
from .config import load_rules, read_text
from .errors import ConfigError
from .findings import count
from .model import Rules
from .workspace import Project, Workspace, example_names, shipped

TEMPLATE = "config/rules.yaml"


@dataclass(frozen=True)
class Created:
    """A project that was made, and of what. `example`: its picture is the templates' example."""

    project: Project
    source: Path  # where the rules came from
    rules: Rules
    picture: Path
    example: bool


def create(workspace: Workspace, name: str, rules: Optional[str] = None, picture: Optional[str] = None) -> Created:
    """Make the project `name`. `rules`: a path or the name of a shipped example, else the template.

    Raises ConfigError for a name that is taken or unfit, for rules with errors, and for a picture that does not decode.
    """
    workspace.check_free(name)
    source = find_rules(workspace, rules) if rules is not None else workspace.template(TEMPLATE)
    text, record = _renamed(source, name)
    chosen = _picture(picture) if picture is not None else workspace.example_picture()
    if picture is None and chosen.suffix.lower() != ".png":
        with tempfile.TemporaryDirectory() as folder:
            converted = Path(folder) / "input.png"
            converted.write_bytes(images.encode_png(images.load_input(chosen)))
            project = workspace.create(name, source, text, converted)
    else:
        project = workspace.create(name, source, text, chosen)
    return Created(project, source, record, project.input(), picture is None)


def find_rules(workspace: Workspace, named: str) -> Path:
    """A rules file by its path (from here, or from the workspace), or a shipped example by its name or path."""
    path = Path(named).expanduser()
    for candidate in (path, workspace.root / path):
        if candidate.is_file():
            return candidate
    name = path.stem if path.suffix in (".yaml", ".yml") else path.name
    if name in example_names() and str(path.parent) in (".", "rules"):
        return shipped("rules") / f"{name}.yaml"
    near = difflib.get_close_matches(name, example_names(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"the examples are {', '.join(example_names())}"
    raise ConfigError(f"--from: {named} is neither a file nor one of the examples", hint)


def _picture(named: str) -> Path:
    path = Path(named).expanduser()
    if not path.is_file():
        raise ConfigError(f"--input: {path} is not a file")
    images.load_input(path)
    return path


def _renamed(source: Path, name: str) -> Tuple[str, Rules]:
    """The text of `source` with project.name set to `name`, and what it says. Raises ConfigError when it has errors."""
    own = load_rules(source).record
    text = read_text(source)
    wanted = own.model_copy(update={"project": own.project.model_copy(update={"name": name})})
    if own != wanted:
        text = with_name(text, name)
    findings = look_over(source, name, text)
    if count(findings, "error"):
        problems = [f"{f.file}:{f.line} {f.key} {f.reason}" for f in findings if f.severity == "error"]
        raise ConfigError(f"{source} has rules that no run could meet", "mend them, then create the project", problems)
    if load_rules(source, text).record != wanted:
        raise ConfigError(f"{source} does not let project.name be replaced", f"write name: {name} in a copy of it")
    return text, wanted


def with_name(text: str, name: str) -> str:
    """`text`, a rules.yaml, with project.name set to `name`; everything else stays as it is, comments and all.

    The caller looks whether that is what came of it: a name that is shared by an alias cannot be replaced alone.
    """
    settings = _value(yaml.compose(text, Loader=yaml.SafeLoader), "project")
    if not isinstance(settings, yaml.MappingNode) or not settings.value:
        return text
    written = _scalar(name)
    old = _value(settings, "name")
    if old is not None:
        end = "\n" if getattr(old, "style", None) in ("|", ">") else ""
        return text[: old.start_mark.index] + written + end + text[old.end_mark.index :]
    first = settings.value[0][0].start_mark
    newline = "\r\n" if "\r\n" in text else "\n"
    after = ", " if settings.flow_style else newline + " " * first.column
    return text[: first.index] + f"name: {written}{after}" + text[first.index :]


def _value(node: Optional[yaml.Node], key: str) -> Optional[yaml.Node]:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _scalar(name: str) -> str:
    """`name` as YAML reads it back: in quotes unless it is a plain word that cannot be anything else."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name) and yaml.safe_load(name) == name:
        return name
    quoted: str = yaml.safe_dump(name, default_style='"', allow_unicode=True, width=10_000)
    return quoted.strip()
