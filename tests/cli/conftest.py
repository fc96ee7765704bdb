from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest
from desk import Desk

from imagination.sandbox import stop_all


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file and no variable of the person who runs the tests is seen by the command."""
    home, workspace = tmp_path / "home", tmp_path / "workspace"
    home.mkdir()
    (workspace / "projects").mkdir(parents=True)
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("HOME", str(home))
    for name in ("ITERATIVE_IMAGINATION_HOME", "OPENROUTER_API_KEY", "OLLAMA_HOST", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "workspace")


@pytest.fixture(scope="session", autouse=True)
def _engines_end() -> Iterator[None]:
    yield
    stop_all()
