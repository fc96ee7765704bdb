"""Who else can see a secret that stands in a settings file: other users of the machine, and whoever gets the repository."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Dict, List, Mapping

HOMES = {
    "openrouter": "OPENROUTER_API_KEY",
    "ollama": "OLLAMA_API_KEY",
}  # provider: variable that holds the key instead
CONFIGURED = "GIT_CONFIG_"  # and the user's rules for folders of others (safe.directory) with it
PATIENCE = 5.0  # s for git, which may wait for a disk


def exposures(path: Path, secret: str, instead: str) -> List[str]:
    """What exposes the `secret` ("key") in `path`, each as a warning that says what to do; `instead`: to be rid of it there."""
    shown = shlex.quote(str(path))
    found = []
    if _others_can_read(path):
        found.append(f"other users of this machine can read the {secret} in it: chmod 600 {shown}, or {instead}")
    real = path.resolve()  # of a link git tracks no more than where it leads
    if _is_tracked(real):
        it = f"{real}, to which it leads" if path.is_symlink() else "it"
        found.append(
            f"git tracks {it}, and the {secret} with it: {instead}, and draw a new one where the commit has left this machine"
        )
    return found


def _others_can_read(path: Path) -> bool:
    """By the mode alone; on Windows it says nothing, and a profile is its user's own."""
    return os.name == "posix" and bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _is_tracked(path: Path) -> bool:
    """Whether git tracks the file itself. The repository may be anybody's, so nothing that it configures is run."""
    command = ["git", "--literal-pathspecs", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"]
    command += ["-C", str(path.parent), "ls-files", "--error-unmatch", "--", path.name]
    try:
        asked = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False, env=_for_git(os.environ))
    except (OSError, subprocess.SubprocessError):  # no git, no repository of git
        return False
    return asked.returncode == 0


def _for_git(environ: Mapping[str, str]) -> Dict[str, str]:
    """The environment without what names another repository, as a hook of git has it; the user's configuration stays.

    No protocol is allowed: git would fetch what a partial clone lacks, by a command that the clone names.
    """
    kept = {
        name: value for name, value in environ.items() if not name.startswith("GIT_") or name.startswith(CONFIGURED)
    }
    return {**kept, "GIT_ALLOW_PROTOCOL": ""}
