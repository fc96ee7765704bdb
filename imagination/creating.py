"""What `project create` makes a project of: which rules are meant, under the new name, and which picture.

Nothing is made here of rules or a picture that would not run; the making itself is `workspace`'s business.
"""

from __future__ import annotations

import difflib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

from . import images
from .advice import look_over
from .config import load_rules, read_text
from .errors import ConfigError
from .model import ProjectSettings, Rules
from .workspace import Project, Workspace, example_names, expanded, shipped
from .yaml_edit import CannotEdit, Put, rewrite

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


def find_rules(workspace: Workspace, named: str, option: str = "--from") -> Path:
    """A rules file by its path (from here, or from the workspace), or a shipped example by its name or path.

    Raises ConfigError, naming the nearest example and the `option` that was wrong.
    """
    path = expanded(named)
    for candidate in (path, workspace.root / path):
        if candidate.is_file():
            return candidate
    name = path.stem if path.suffix in (".yaml", ".yml") else path.name
    if name in example_names() and str(path.parent) in (".", "rules"):
        return shipped("rules") / f"{name}.yaml"
    near = difflib.get_close_matches(name, example_names(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"the examples are {', '.join(example_names())}"
    raise ConfigError(f"{option}: {named} is neither a file nor one of the examples", hint)


def _picture(named: str) -> Path:
    path = expanded(named)
    if not path.is_file():
        raise ConfigError(f"--input: {path} is not a file")
    images.load_input(path)
    return path


def _renamed(source: Path, name: str) -> Tuple[str, Rules]:
    """The text of `source` with project.name set to `name`, comments and all, and what it says.

    Raises ConfigError when it has errors, or writes the name in a way that cannot be edited.
    """
    text = read_text(source)
    if load_rules(source).record.project.name != name:
        try:
            text = rewrite(text, Put(("project", "name"), name), order=list(ProjectSettings.model_fields))
        except CannotEdit as err:
            raise ConfigError(f"{source}: {err.message}", f"or write name: {name} in a copy of the file") from err
    errors = [finding for finding in look_over(source, name, text) if finding.severity == "error"]
    if errors:
        problems = [f"{f.file}:{f.line} {f.key} {f.reason}" for f in errors]
        message = problems[0] if len(problems) == 1 else f"{source} has {len(problems)} problems"
        raise ConfigError(message, "mend the rules, then create the project", problems)
    return text, load_rules(source, text).record
