"""A generator and a vision model that answer from a script and remember what they were asked; a project to run them on."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Type

import yaml
from PIL import Image, ImageDraw

from imagination.assess import usage_of
from imagination.comfyui import Generated
from imagination.config import load_rules
from imagination.errors import ImaginationError, VisionError
from imagination.execution import Execution, State
from imagination.judge import Asks, Judge
from imagination.loop import Loop, Observer, Outcome, Tools
from imagination.model import Answer, CallRecord, RankingMode, Request, Usage
from imagination.reply_cache import ReplyCache
from imagination.resume import open_run, settings_in_force
from imagination.seeding import find_seeding
from imagination.setup import read_setup
from imagination.store import Store
from imagination.till import Till
from imagination.workspace import Project, Workspace

RULES = {
    "project": {"name": "p", "max_iterations": 5, "strategy": "spec"},
    "acceptance_criteria": [
        {"field": "is_red", "question": "Is it red?", "intent": "change", "must_include": ["red paint"]},
        {"field": "same_shape", "question": "Is the shape the same?", "intent": "preserve", "ban_terms": ["melted"]},
    ],
    "questions": [{"field": "main_colour", "question": "Which colour is it?", "type": "string"}],
}
GENERATION = {
    "workflow_file": "workflow/img2img_no_mask_api.json",
    "model": {"ckpt_name": "tiny.safetensors"},
    "parameters": {"denoise": 0.5, "cfg": 7.0, "steps": 8, "sampler_name": "euler", "scheduler": "normal"},
    "prompts": {"positive": "a melted car", "negative": "blurry"},
}
VISION = {"provider": "ollama", "model": "eyes", "retry_delay": 0}


def picture(shade: int, size: Sequence[int] = (64, 48)) -> bytes:
    """A PNG that differs with `shade`."""
    image = Image.new("RGB", tuple(size), (shade % 256, 40, 90))
    ImageDraw.Draw(image).ellipse((10, 10, 40, 40), fill=(255 - shade % 256, 200, 20))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


class ScriptedGenerator:
    """Makes a picture for each job; `faults` are raised, by the number of the job (from 1). Remembers the jobs."""

    def __init__(self, faults: Optional[Mapping[int, BaseException]] = None) -> None:
        self.faults = dict(faults or {})
        self.jobs: List[Dict[str, Any]] = []
        self.uploads: List[bytes] = []
        self.finished: Dict[str, bytes] = {}  # what `collect` finds
        self.collected: List[str] = []

    def upload(self, png: bytes) -> str:
        self.uploads.append(png)
        return "uploaded.png"

    def generate(
        self, workflow: Any, *, prompt_id: str, output_node: str, on_progress: Callable[[Execution], None]
    ) -> Generated:
        self.jobs.append({"prompt_id": prompt_id, "output_node": output_node, "workflow": workflow})
        fault = self.faults.get(len(self.jobs))
        if fault is not None:
            raise fault
        on_progress(Execution(prompt_id, state=State.RUNNING, step=1, steps=8))
        return self._made(picture(len(self.jobs) * 20), prompt_id)

    def collect(
        self, prompt_id: str, workflow: Any, output_node: str, on_progress: Callable[[Execution], None]
    ) -> Optional[Generated]:
        self.collected.append(prompt_id)
        png = self.finished.get(prompt_id)
        return None if png is None else self._made(png, prompt_id)

    def _made(self, png: bytes, prompt_id: str) -> Generated:
        return Generated(png, "out.png", 64, 48, False, prompt_id)

    def sampler_inputs(self, job: int) -> Dict[str, Any]:
        """What the KSampler of a job was given."""
        nodes = self.jobs[job]["workflow"].values()
        return next(node["inputs"] for node in nodes if node["class_type"] == "KSampler")

    def text(self, job: int, node_id: str) -> str:
        """The text of an encoder of a job."""
        return str(self.jobs[job]["workflow"][node_id]["inputs"]["text"])


class ScriptedVision:
    """Answers by purpose. `verdicts` holds one mapping of field to verdict for each evaluation, the last one repeated;
    `faults` maps a purpose to how many of its calls fail (-1: all). When tried, it is a good judge; of two pictures it
    likes the one better that comes first in `likes`.
    """

    def __init__(
        self,
        verdicts: Sequence[Mapping[str, Any]],
        similarity: float = 0.5,
        faults: Optional[Mapping[str, int]] = None,
        replies: Optional[Mapping[str, Mapping[str, Any]]] = None,
    ) -> None:
        self.verdicts = [dict(v) for v in verdicts]
        self.similarity = similarity
        self.faults = dict(faults or {})
        self.replies = dict(replies or {})
        self.asked: List[Request] = []
        self.rests = 0
        self.likes: Sequence[bytes] = ()

    def ask(self, request: Request) -> Answer:
        self.asked.append(request)
        left = self.faults.get(request.purpose, self.faults.get("*", 0))
        if left:
            key = request.purpose if request.purpose in self.faults else "*"
            self.faults[key] = left - 1
            raise VisionError(f"no {request.purpose} today")
        values = dict(self.replies.get(request.purpose) or self._values(request))
        call = CallRecord(provider="ollama", model="eyes")
        return Answer(values, "A car stands in a field. It is blue.", (), call, Usage(requests=1, cost=0.01))

    def _values(self, request: Request) -> Dict[str, Any]:
        if request.purpose == "combined":
            names = {"questions": "questions", "comparison": "comparison", "criteria": "evaluation"}
            return {part: self._values(replace(request, purpose=purpose)) for part, purpose in names.items()}
        if request.purpose == "questions":
            return {"main_colour": "blue"}
        if request.purpose == "comparison":
            return {"similarity_score": self.similarity, "differences": ["colour"], "analysis": "paler"}
        if request.purpose == "evaluation":
            verdicts = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
            return {field: {"reason": f"{field} seen", "verdict": value} for field, value in verdicts.items()}
        if request.purpose == "improvement":
            return {"positive": f"a car, try {self.count('improvement')}", "negative": "blurry, red paint"}
        if request.purpose == "judge_check":
            kept = request.pictures[0].png == request.pictures[1].png
            return {field: {"verdict": kept and "same" in field} for field in request.schema["properties"]}
        if request.purpose == "duel":
            return {"reason": "it is nicer", "better": self.better(request)}
        return {}

    def better(self, request: Request) -> Optional[str]:
        """Which of two pictures it likes: "first", "second", or None."""
        places = [self.likes.index(p.png) if p.png in self.likes else 99 for p in request.pictures[1:]]
        return None if places[0] == places[1] else "first" if places[0] < places[1] else "second"

    def together(self, *thunks: Callable[[], Any]) -> List[Any]:
        return [self._settled(thunk) for thunk in thunks]

    def _settled(self, thunk: Callable[[], Any]) -> Any:
        try:
            return thunk()
        except VisionError as err:
            return err

    def rest(self) -> None:
        self.rests += 1

    def count(self, purpose: str) -> int:
        """How many requests of a purpose were made."""
        return sum(1 for request in self.asked if request.purpose == purpose)


class Counted:
    """A model whose requests are counted, and forgotten."""

    def __init__(self, vision: ScriptedVision, till: Till) -> None:
        self.vision, self.till = vision, till

    def ask(self, request: Request) -> Answer:
        try:
            answer = self.vision.ask(request)
        except VisionError as err:
            self.till.take(usage_of(err))
            raise
        self.till.take(answer.usage)
        return answer


NONE = {"is_red": False, "same_shape": False}
HALF = {"is_red": True, "same_shape": False}
ALL = {"is_red": True, "same_shape": True}


class Bench:
    """A project in a workspace, and the loop on it with scripted services."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        self.project = Project("p", root / "projects" / "p", self.workspace)
        for folder in ("config", "input"):
            (self.project.root / folder).mkdir(parents=True)
        (self.project.root / "input" / "input.png").write_bytes(picture(200))
        self.write("rules.yaml", RULES)
        self.write("AIGen.yaml", GENERATION)
        self.write("AIVis.yaml", VISION)
        self.store = Store(self.project.root)
        self.seeds = iter(range(1000, 2000))
        # off: a second generator makes the first one's pictures again, and a script judges them anew
        self.remembers: Optional[Type[ReplyCache]] = None
        self.clock: Callable[[], float] = time.monotonic
        self.ids = iter(f"job-{n}" for n in range(1, 1000))

    def write(self, name: str, data: Any) -> None:
        """Write a config file of the project."""
        (self.project.root / "config" / name).write_text(yaml.safe_dump(data), encoding="utf-8")

    def rules(self, **project: Any) -> None:
        """Change keys under `project:` in rules.yaml."""
        self.write("rules.yaml", {**RULES, "project": {**RULES["project"], **project}})

    def run(
        self,
        generator: ScriptedGenerator,
        vision: ScriptedVision,
        *,
        reset: bool = False,
        resume_from: Optional[int] = None,
        seed_from: Optional[str] = None,
        seed_mode: RankingMode = "rank1",
        observer: Optional[Observer] = None,
    ) -> Outcome:
        """One process's worth of running."""
        limits = load_rules(self.project.rules).record.project
        setup = read_setup(self.project, settings_in_force(self.store, limits, reset, resume_from))
        seeding = find_seeding(self.store, seed_from, seed_mode) if seed_from else None
        now = 1_768_000_000.0
        opening = open_run(self.store, setup, reset=reset, resume_from=resume_from, now=now, seeding=seeding)
        taken = opening.checkpoint.seeded_from
        if observer is not None:
            observer.opened(opening, setup)
        remembers = self.remembers
        paid = opening.checkpoint.paid
        asked: Asks = Counted(vision, Till(opening.run, paid))
        if remembers:
            asked = remembers(vision, opening.run, setup.vision, self.store.bookings, paid)
        tools = Tools(
            generator,
            vision,
            Judge(asked, setup.templates, setup.rules, notes="\n".join(taken.notes) if taken else ""),
            observer or Observer(),
            {"sampler_name": ("euler", "dpmpp_2m"), "scheduler": ("normal", "karras")},
            draw_seed=lambda: next(self.seeds),
            clock=self.clock,
            new_id=lambda: next(self.ids),
        )
        return Loop(setup, self.store, opening, tools).run()

    def run_stopped(self, *args: Any, **kwargs: Any) -> BaseException:
        """Run, and return what stopped it."""
        try:
            self.run(*args, **kwargs)
        except (ImaginationError, KeyboardInterrupt) as err:
            return err
        raise AssertionError("the run was not stopped")

    def settings(self) -> Dict[str, Any]:
        """working/AIGen.yaml as it stands."""
        data: Dict[str, Any] = yaml.safe_load(self.store.generation_file.read_text(encoding="utf-8"))
        return data


def rank(bench: Bench, run_id: str, order: Sequence[Any], notes: Optional[Mapping[str, str]] = None) -> Path:
    """Write the human ranking of a run, as the viewer does."""
    path = bench.store.run(run_id).ranking_file
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"ranking": list(order), "notes": dict(notes or {}), "updated_at": 1768001248.9}
    path.write_text(json.dumps(data), encoding="utf-8")
    return path
