"""`iterativectl doctor`: which checks there are for a project, or for the templates. They are carried out by `checkup`."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, Mapping, Optional, Sequence

from .checkup import CAP, FAILURE, Check, Probe, carry_out, ok, warning
from .doctor_files import Files, folders_of, look_at_input, read_files, templates_of
from .doctor_generator import Sighting, look_at_comfyui, option_of
from .doctor_machine import interpreter, space, writing
from .doctor_vision import look_at_vision, sharing
from .workspace import Workspace

UNANSWERED = "look whether its machine is overloaded, or restart it"


def examine(
    workspace: Workspace,
    project: Optional[str],
    environ: Mapping[str, str],
    option: Optional[str] = None,
    cap: float = CAP,
) -> List[Check]:
    """Make every check of a project (None: of the templates' settings). `option`: --workspace as it was given.

    Takes no longer than the slowest of them, and about `cap` seconds at most. Raises ConfigError if there is no such project.
    """
    home = workspace.project(project) if project else templates_of(workspace)
    named = option_of(project, option)
    files = read_files(home, project is not None, named)
    sighting = Sighting()
    checks = carry_out(_probes(files, workspace, named, environ, sighting), cap)
    return _once([*checks, *sharing(files, environ, sighting)])


def _once(checks: Sequence[Check]) -> List[Check]:
    """What two services lack for the same reason is told once."""
    first = {(check.text, check.mend): check for check in reversed(checks)}
    return [check for check in checks if check.state != FAILURE or first[check.text, check.mend] is check]


def _probes(
    files: Files, workspace: Workspace, option: str, environ: Mapping[str, str], sighting: Sighting
) -> List[Probe]:
    where = files.project.root if files.named else workspace.root
    probes = [
        Probe("python", interpreter),
        Probe("workspace", lambda: _look_at(workspace)),
        Probe("disk", lambda: space(where)),
        Probe("writing", lambda: writing(_written(files, workspace))),
        Probe("files", lambda: files.checks),
    ]
    if files.named:
        probes.append(Probe("input", lambda: look_at_input(files)))
    if files.generation:
        restart = f"iterativectl comfyui restart{option}"
        probes.append(Probe("comfyui", lambda: look_at_comfyui(files, option, sighting), restart))
    if files.vision:
        probes.append(Probe("vision", lambda: look_at_vision(files, environ, sighting), UNANSWERED))
        if files.vision.fallback_provider:
            work = lambda: look_at_vision(files, environ, sighting, fallback=True)  # noqa: E731
            probes.append(Probe("fallback", work, UNANSWERED, optional=True))
    return probes


def _look_at(workspace: Workspace) -> Iterator[Check]:
    names = workspace.names()
    if names:
        yield ok("workspace", f"{workspace.root}, with {len(names)} project{'s' if len(names) > 1 else ''}")
    else:
        mend = f"iterativectl demo, or: iterativectl project create NAME{workspace.option()}"
        yield warning("workspace", f"{workspace.root} has no projects yet", mend)


def _written(files: Files, workspace: Workspace) -> List[Path]:
    return list(folders_of(files.project)) if files.named else [workspace.root, workspace.projects]
