"""What judging takes in each mode: requests, characters and picture bytes per iteration. `python tests/benchmarks/calls.py`

Runs the demo project on the built-in engines, once with `calls: staged` and once with `calls: combined`, the judge behind a
proxy that writes down what it is sent. The description of the original, once a run, is left out.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE.parent / "faults")]
ITERATIONS = 4


def make_project(workspace: Path, address: str, calls: str) -> Path:
    """The demo project, with the spec's strategy and a seed, so that both runs ask for the same things."""
    import yaml

    project = workspace / "projects" / "demo"
    for folder in ("config", "input"):
        shutil.copytree(str(ROOT / "projects" / "demo" / folder), str(project / folder))
    (workspace / "viewer").mkdir()  # a page of its own: nothing is copied
    vision = {"provider": "ollama", "model": "builtin", "base_url": address, "calls": calls}
    (project / "config" / "AIVis.yaml").write_text(yaml.safe_dump(vision), encoding="utf-8")
    rules = yaml.safe_load((project / "config" / "rules.yaml").read_text(encoding="utf-8"))
    rules["project"].update(strategy="spec", max_iterations=ITERATIONS)
    (project / "config" / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    settings = yaml.safe_load((project / "config" / "AIGen.yaml").read_text(encoding="utf-8"))
    settings["parameters"]["seed"] = 7
    (project / "config" / "AIGen.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return project


def measure(calls: str) -> Dict[str, Any]:
    """Figures per iteration of one mode, and the verdicts that the run came to."""
    from proxy import Proxy

    from imagination.runner import Order, run_command
    from imagination.sandbox import start_vision
    from imagination.store import Store

    parts = urlsplit(start_vision())
    proxy = Proxy((str(parts.hostname), int(parts.port or 0)))
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), proxy.url, calls)
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            code = run_command(Order("demo", None, None, None, False, False, False, folder))
        if code not in (0, 1):
            raise SystemExit(f"the run failed (exit {code}):\n{shown.getvalue()}")
        run = Store(project).runs()[-1]
        found = [run.evaluation(n) for n in run.iterations()]
    proxy.close()
    bodies = [json.loads(seen.body) for seen in proxy.seen if seen.path == "/api/chat"]
    return {**figures(bodies, len(found)), "verdicts": verdicts(found)}


def figures(bodies: List[Dict[str, Any]], iterations: int) -> Dict[str, float]:
    """Sums over the requests about an iteration, divided by their number. The description has one picture."""
    messages = [body["messages"][-1] for body in bodies]
    asked = [message for message in messages if len(message.get("images", ())) != 1]
    judging = [message for message in asked if message.get("images")]
    pictures = [base64.b64decode(picture) for message in judging for picture in message["images"]]
    totals = {
        "requests": len(asked),
        "judging": len(judging),
        "characters": sum(len(message["content"]) for message in judging),
        "pictures": sum(map(len, pictures)),
    }
    return {name: total / iterations for name, total in totals.items()}


def verdicts(found: List[Any]) -> List[Any]:
    return [evaluation.criteria_results for evaluation in found]


def main() -> int:
    rows = {calls: measure(calls) for calls in ("staged", "combined")}
    print(f"{'per iteration':<34}{'staged':>12}{'combined':>12}{'share':>8}")
    for name, label, unit in (
        ("judging", "requests about the picture", 1),
        ("requests", "all requests (with the prompts' own)", 1),
        ("characters", "characters of those about it", 1),
        ("pictures", "kB of pictures sent", 1000),
    ):
        staged, combined = rows["staged"][name] / unit, rows["combined"][name] / unit
        shown = [f"{value:.2f}" if value < 100 else f"{value:.0f}" for value in (staged, combined)]
        print(f"{label:<36}{shown[0]:>10}{shown[1]:>12}{combined / staged:>8.0%}")
    same = rows["staged"]["verdicts"] == rows["combined"]["verdicts"]
    print(f"the same verdicts in both modes: {'yes' if same else 'NO'}")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
