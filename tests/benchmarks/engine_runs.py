"""Runs of the real loop through the built-in engines, over HTTP: the cases, the noisy judge, one run and what came of it.

A run is put together as `runner` does it. What is not the user's is the strategy of random restarts, and a judge whose
verdicts may be turned round on their way back: the built-in one measures and is never wrong.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Collection, Dict, List, Mapping, Sequence, Tuple

import yaml
from PIL import Image
from world_runs import RandomStrategy

from imagination import images
from imagination.judge import Asks, Judge
from imagination.loop import Loop, Observer, Tools
from imagination.model import Answer, Criterion, Request
from imagination.resume import open_run
from imagination.scoring import passes
from imagination.services import connect, preflight
from imagination.setup import Setup, read_setup
from imagination.store import Store
from imagination.workspace import Workspace

DEMO = Path(__file__).resolve().parents[2] / "projects" / "demo"
SIDE = 160  # px, the longest: enough to be measured, and a picture takes hundredths of a second
BUDGET = 10  # pictures, the demo's own
STRATEGIES = ("spec", "random restarts", "adaptive")
STARTS = ("timid", "right", "bold")


@dataclass(frozen=True)
class Case:
    """What is asked of the photograph. `right`: a denoise at which it mostly succeeds, the cfg being 7."""

    criteria: Sequence[Mapping[str, Any]]
    positive: str
    negative: str
    right: float


def _change(field: str, question: str, term: str, banned: str) -> Dict[str, Any]:
    tags = {"must_include": [term], "ban_terms": [banned]}
    return {"field": field, "question": question, "type": "boolean", "min": 0, "max": 1, "intent": "change", **tags}


def _keep(field: str, question: str) -> Dict[str, Any]:
    return {"field": field, "question": question, "type": "boolean", "min": 0, "max": 1, "intent": "preserve"}


def _outlines(least: float) -> Dict[str, Any]:
    question = "How similar is the composition of the result to that of the original, from 0 to 1?"
    return {"field": "outlines", "question": question, "type": "number", "min": least, "max": 1, "intent": "preserve"}


_PLAIN = "photograph of a pavilion above a lake"
_CLEAN = (_keep("no_blur", "Is the result free of blur?"), _keep("no_noise", "Is the result free of noise?"))
_RULES = yaml.safe_load((DEMO / "config" / "rules.yaml").read_text(encoding="utf-8"))
CASES: Mapping[str, Case] = {
    "sunset": Case(_RULES["acceptance_criteria"], f"{_PLAIN} in the evening", "text, watermark", 0.4),  # the demo's
    "cool": Case(
        (
            _change("cooler", "Is the light in the result cooler than in the original?", "cool light", "golden"),
            _change("cool", "Are the colours of the result cool?", "bluish", "sepia"),
            _keep("as_bright", "Is the result as bright as the original?"),
            *_CLEAN,
            _outlines(0.985),
        ),
        _PLAIN,
        "text",
        0.35,
    ),
    "night": Case(
        (
            _change("dark", "Is the result dark?", "night", "daylight"),
            _change("cold", "Are the colours of the result cool?", "moonlight", "golden"),
            _keep("same_place", "Are the building and the trees in the result the same as in the original?"),
            _keep("as_sharp", "Is the result as sharp as the original?"),
            *_CLEAN,
        ),
        _PLAIN,
        "text",
        0.52,
    ),
    "grey": Case(
        (
            _change("no_colour", "Is the result black and white?", "black and white", "colourful"),
            *_CLEAN,
            _outlines(0.95),
        ),
        _PLAIN,
        "text",
        0.55,
    ),
}


@dataclass(frozen=True)
class Job:
    """One run. `noise`: share of the judge's verdicts that are turned round; `number` decides seeds and noise."""

    case: str
    start: str
    strategy: str
    noise: float
    number: int

    @property
    def luck(self) -> str:
        """The same for every strategy, so that they meet the same chances."""
        return f"{self.case} {self.start} {self.number}"

    @property
    def denoise(self) -> float:
        """Where the run begins."""
        return {"timid": 0.15, "right": CASES[self.case].right, "bold": 0.85}[self.start]


@dataclass(frozen=True)
class Result:
    """How a run ended. `truly`: its output, measured once more without noise, meets every criterion."""

    pictures: int
    requests: int  # to the vision model
    passed: bool
    truly: bool


class NoisyEyes:
    """Asks for the judge, counts, and turns round a share of the verdicts; the same look errs in the same way again."""

    def __init__(self, eyes: Asks, criteria: Sequence[Criterion], share: float, luck: str) -> None:
        self.requests = 0
        self._eyes = eyes
        self._criteria = criteria
        self._share = share
        self._luck = luck

    def ask(self, request: Request) -> Answer:
        """Answer as the model does, but for the verdicts that are turned round."""
        self.requests += 1
        answer = self._eyes.ask(request)
        if request.purpose not in ("evaluation", "judge_check"):
            return answer
        verdicts = {c.field: answer.values[c.field] for c in self._criteria if c.field in answer.values}
        for criterion in self._criteria:
            part = verdicts.get(criterion.field)
            if part is not None and self._errs(request, criterion.field):
                verdicts[criterion.field] = {**part, "verdict": opposite(criterion, part.get("verdict"))}
        return replace(answer, values={**answer.values, **verdicts})

    def _errs(self, request: Request, field: str) -> bool:
        seen = hashlib.sha256(request.pictures[-1].png).hexdigest()
        return random.Random(f"{self._luck} {seen} {field} {request.look}").random() < self._share


def opposite(criterion: Criterion, value: Any) -> Any:
    """A verdict that says the contrary, for booleans and for numbers with a lower bound above 0."""
    if value is None:
        return None
    if criterion.type == "boolean":
        return not value
    return 0.0 if passes(criterion, value) else criterion.min


class Restarts(RandomStrategy):
    """The worlds' baseline, with luck of its own in every run."""

    def __init__(self, criteria: Sequence[Criterion], known: Collection[Any], luck: str) -> None:
        super().__init__(criteria, ())
        self._dice = random.Random(f"random restarts {luck}")


def run(job: Job) -> Result:
    """One run in a project of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        return _run(job, _setup(job, Path(folder)))


def _setup(job: Job, root: Path) -> Setup:
    """The demo project with the case's rules, prompts and start, and the photograph made small."""
    (root / "projects").mkdir()
    project = Workspace(root).copy_in("p", DEMO)
    with Image.open(DEMO / "input" / "input.png") as photo:
        photo.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        photo.save(project.root / "input" / "input.png")
    case, named = CASES[job.case], "adaptive" if job.strategy == "adaptive" else "spec"
    settings = {"name": "p", "max_iterations": BUDGET, "strategy": named}
    rules = {"project": settings, "acceptance_criteria": list(case.criteria)}
    generation = yaml.safe_load(project.generation.read_text(encoding="utf-8"))
    generation["parameters"].update({"denoise": job.denoise, "cfg": 7.0})
    generation["prompts"] = {"positive": case.positive, "negative": case.negative}
    for path, data in ((project.rules, rules), (project.generation, generation)):
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return read_setup(project)


def _run(job: Job, setup: Setup) -> Result:
    store, seeds = Store(setup.project.root), random.Random(f"seeds {job.luck}")
    with store.lock(), connect(setup.generation.comfyui, setup.vision, {}) as (generator, eyes):
        ready = preflight(setup, generator, eyes)
        opening = open_run(store, setup, reset=False, resume_from=None, now=0.0)
        noisy = NoisyEyes(eyes, setup.rules.acceptance_criteria, job.noise, job.luck)
        judge = Judge(noisy, setup.templates, setup.rules)
        tools = Tools(generator, eyes, judge, Observer(), ready.choices, lambda: seeds.getrandbits(48))
        loop = Loop(setup, store, opening, tools)
        if job.strategy == "random restarts":
            loop.strategy = Restarts(setup.rules.acceptance_criteria, (), job.luck)
            loop.decider = replace(loop.decider, strategy=loop.strategy)
        outcome = loop.run()
        truly = outcome.passed and _holds(setup, Judge(eyes, setup.templates, setup.rules), store)
    return Result(outcome.checkpoint.last_iteration, noisy.requests, outcome.passed, truly)


def _holds(setup: Setup, exact: Judge, store: Store) -> bool:
    """Whether what the user is given meets every criterion."""
    output = (store.project / "output" / "output.png").read_bytes()
    shown: Tuple[Any, ...] = (images.for_vision(setup.source, "the original"), images.for_vision(output, "the result"))
    return exact.evaluate(0, *shown, {}).all_pass


def jobs(names: Sequence[str], starts: Sequence[str], noises: Sequence[float], runs: int) -> List[Job]:
    """Every case from every start, with every strategy and judge."""
    return [
        Job(case, start, strategy, noise, number)
        for noise in noises
        for strategy in STRATEGIES
        for case in names
        for start in starts
        for number in range(runs)
    ]
