"""The files that a run leaves, and the keys in each: other programs and the page read them, so a change is seen here.

`python tests/golden/test_artefacts.py` writes `artefacts.json` anew; what changed in it belongs in the commit's message.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List

import yaml
from click.testing import CliRunner
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("artefacts.json")
BY_FIELD = {
    "answers",
    "criteria_results",
    "criteria_sha256",
    "grey",
    "original",
    "owned_phrases",
    "posteriors",
    "questions",
    "reasons",
    "values",
    "votes",
}  # keys that come from rules.yaml or from a model


def run_the_demo(workspace: Path) -> Path:
    """The demo project on a small picture, in two iterations that do not pass."""
    from imagination.cli import main

    project = workspace / "projects" / "demo"
    for folder in ("config", "input"):
        shutil.copytree(str(ROOT / "projects" / "demo" / folder), str(project / folder))
    with Image.open(project / "input" / "input.png") as picture:
        picture.resize((96, 64)).save(project / "input" / "input.png")
    change(project / "config" / "AIGen.yaml", "parameters", steps=1, denoise=0.1, seed=1)
    parts = {"judge_check": True, "final_comparison": True}
    change(project / "config" / "rules.yaml", "project", max_iterations=2, **parts)
    settings = project / "config" / "AIGen.yaml"
    settings.write_text(settings.read_text(encoding="utf-8") + "locked: [denoise, cfg]\n", encoding="utf-8")
    result = CliRunner().invoke(main, ["--project", "demo", "--workspace", str(workspace)])
    assert result.exit_code == 1, result.output
    return workspace


def change(path: Path, part: str, **keys: Any) -> None:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    data[part].update(keys)
    path.write_text(yaml.safe_dump(data), encoding="utf-8")


def artefacts(workspace: Path) -> Dict[str, List[str]]:
    """Files below projects/ that are not hidden, each with its keys, ids and hashes replaced; dotted below a mapping, `[]` below
    a list."""
    found: Dict[str, List[str]] = {}
    for path in sorted(p for p in (workspace / "projects").rglob("[!.]*") if p.is_file()):
        name = re.sub(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", "RUN", path.relative_to(workspace).as_posix())
        name = re.sub(r"[0-9a-f]{64}", "SHA256", name)
        found[name] = sorted({*found.get(name, ()), *keys_of(read(path))})
    return found


def read(path: Path) -> Any:
    """The data in a file of an artefact's kind; None for others."""
    if path.suffix == ".js":
        text = path.read_text(encoding="utf-8")
        return json.loads(text[text.index("(") + 1 : text.rindex(")")])
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    return None


def keys_of(data: Any, at: str = "") -> List[str]:
    if isinstance(data, list):
        return [key for item in data for key in keys_of(item, f"{at}[]")]
    if not isinstance(data, dict) or at.split(".")[-1] in BY_FIELD:
        return []
    return [
        key
        for name, part in data.items()
        for key in [f"{at}.{name}".strip("."), *keys_of(part, f"{at}.{name}".strip("."))]
    ]


def test_a_run_leaves_these_files_with_these_keys(tmp_path: Path) -> None:
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    found = artefacts(run_the_demo(tmp_path))
    assert list(found) == list(expected)
    for name, keys in expected.items():
        assert (name, found[name]) == (name, keys)


def test_every_json_artefact_has_its_format() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert [name for name, keys in golden.items() if name.endswith(".json") and "format" not in keys] == []


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(json.dumps(artefacts(run_the_demo(Path(folder))), indent=1) + "\n", encoding="utf-8")
