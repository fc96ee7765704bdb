"""A whole afternoon with `iterativectl`: make a project, look it over, let a model propose, run, rank, seed the next run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, List

import yaml
from click.testing import CliRunner, Result
from desk import BUILTIN_VISION, GENERATION, Desk, checkpoint, png, run_ids

from imagination.ctl import main

sys.path.append(str(Path(__file__).resolve().parents[1] / "wire"))
from fake_vision import FakeVision, Says, chat

ROUTES = {
    "GET /api/version": Says({"version": "0.12.0"}),
    "POST /api/show": Says({"capabilities": ["completion", "vision"]}),
}
RULES = """\
# what this afternoon is about
project: {name: evening, max_iterations: 4}

acceptance_criteria:
  - field: warm_light # the light
    question: Is the light in the result warm and golden?
    intent: change
    must_include: [golden hour]
  - field: never # so that the run uses every iteration
    question: Is the result brighter than white?
    intent: change
    must_include: [evening light]
  - field: same_shapes
    question: Are the outlines in the result the same as in the original?
    intent: preserve
    ban_terms: [distorted]
"""


def ctl(*words: str) -> Result:
    result = CliRunner().invoke(main, list(words), prog_name="iterativectl")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def used(project: Path, run_id: str, iteration: int) -> Dict[str, Any]:
    path = project / "working" / run_id / "metadata" / f"iteration_{iteration}_metadata.json"
    data: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def test_an_afternoon(desk: Desk) -> None:
    desk.templates()
    desk.file("evening.yaml", RULES.encode("utf-8"))
    desk.file("photo.png", png())

    # make it, look it over
    assert ctl("project", "create", "evening", "--from", "evening.yaml", "--input", "photo.png").exit_code == 0
    project = desk.root / "projects" / "evening"
    assert ctl("rules", "check", "--project", "evening").exit_code == 0
    assert "evening" in ctl("project", "list").output

    # a model proposes; what is accepted is written, remarks stay
    proposed = [
        {"reason": "It fits.", "field": "warm_light", "key": "must_include", "action": "add", "value": "low sun"}
    ]
    answer = {"changes": proposed, "new_criteria": [], "new_questions": [], "notes": ""}
    with FakeVision(chat(json.dumps(answer)), chat(json.dumps(answer)), routes=ROUTES) as model:
        settings = {"provider": "ollama", "model": "eyes", "base_url": model.url, "retries": 0}
        desk.write(project / "config" / "AIVis.yaml", settings)
        before = (project / "config" / "rules.yaml").read_text(encoding="utf-8")
        assert ctl("rules", "suggest", "--project", "evening").exit_code == 0
        assert (project / "config" / "rules.yaml").read_text(encoding="utf-8") == before
        assert ctl("rules", "suggest", "--project", "evening", "--apply").exit_code == 0
    after = (project / "config" / "rules.yaml").read_text(encoding="utf-8")
    assert after == before.replace("[golden hour]", "[golden hour, low sun]")
    desk.write(project / "config" / "AIVis.yaml", BUILTIN_VISION)

    # everything is there; run until the iterations are used up
    assert ctl("doctor", "--project", "evening").exit_code == 0
    assert ctl("run", "--project", "evening", "--dry-run").exit_code == 0
    assert ctl("run", "--project", "evening").exit_code == 1
    (first,) = run_ids(project)
    assert checkpoint(project)["status"] == "exhausted"
    seen = [used(project, first, n) for n in (1, 2, 3, 4)]

    # people rank; each mode takes what it should into a new run
    human = project / "working" / first / "human"
    human.mkdir()
    ranking = {"ranking": ["4", "2", "1"], "notes": {"4": "the best light"}, "updated_at": 1768001248.9}
    (human / "ranking.json").write_text(json.dumps(ranking), encoding="utf-8")
    for mode, best in (("rank1", [4]), ("top3", [4, 2, 1]), ("top5", [4, 2, 1])):
        run = ctl("run", "--project", "evening", "--seed-from-ranking", first, "--seed-ranking-mode", mode, "--reset")
        assert run.exit_code == 1, run.output
        opening = used(project, run_ids(project)[-1], 1)
        taken: List[Dict[str, Any]] = [seen[n - 1]["parameters_used"] for n in best]
        for name in ("denoise", "cfg"):
            assert abs(opening["parameters_used"][name] - sum(t[name] for t in taken) / len(taken)) < 1e-3
        assert opening["prompts_used"] == seen[3]["prompts_used"]
        assert opening["parameters_used"]["seed"] != seen[3]["parameters_used"]["seed"]
        assert (opening["seeded_from"]["run_id"], opening["seeded_from"]["iterations"]) == (first, best)
        assert opening["seeded_from"]["notes"] == ["rank 1: the best light"]
    assert len(run_ids(project)) == 4
    assert yaml.safe_load((project / "config" / "AIGen.yaml").read_text(encoding="utf-8")) == GENERATION
