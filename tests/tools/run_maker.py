"""One synthetic run in the making: what `make_runs` puts into its iterations, and the order in which files are written."""

from __future__ import annotations

import io
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import run_votes
import yaml
from PIL import Image, ImageDraw
from run_votes import Kind

from imagination import pages
from imagination.config import load_rules, rules_hash
from imagination.disk import write_bytes, write_json
from imagination.holding import Yardstick
from imagination.images import content_hash, thumbnail
from imagination.judge import answers_record, evaluation_record
from imagination.model import (
    CallRecord,
    Checkpoint,
    Comparison,
    Evaluation,
    Metadata,
    Move,
    Prompts,
    Rules,
    RunStatus,
    Usage,
)
from imagination.page_rows import looks
from imagination.scoring import never_met
from imagination.store import FINAL_COMPARISON, JUDGE_CHECK, Run, Store
from imagination.tally import add_iteration as added
from imagination.tally import best_of

START = 1_768_000_000.0  # s since 1970: when the first run of a project begins, unless it is a running one
PACE = 42.0  # s an iteration

CRITERIA: List[Dict[str, Any]] = [
    {
        "field": "warm_light",
        "question": "Is the light in the result warm and golden?",
        "intent": "change",
        "edit_strength": "medium",
        "must_include": ["golden hour"],
        "ban_terms": ["cool light"],
    },
    {"field": "glowing_sky", "question": "Does the sky glow in the colours of a sunset?", "intent": "change"},
    {
        "field": "time_of_day",
        "question": "Which time of day is it?",
        "type": "string",
        "enum": ["evening", "dusk"],
        "intent": "change",
    },
    {"field": "people_count", "question": "How many people are there?", "type": "integer", "min": 2, "max": 4},
    {"field": "house_kept", "question": "Is the house the same as in the original?", "intent": "preserve"},
    {"field": "never_met_one", "question": "Does the house fly?", "intent": "change"},
]
QUESTIONS: List[Dict[str, Any]] = [
    {"field": "main_colours", "question": "Which colours are strongest?", "type": "array", "items": {"type": "string"}},
    {"field": "weather", "question": "What is the weather like?"},
    {"field": "trees", "question": "How many trees are there?", "type": "integer", "min": 0},
]
HOSTILE = (
    '<img src=x onerror="window.pwned=1">',
    "</script><script>window.pwned=2</script>",
    '"><svg onload=window.pwned=3>',
    "javascript:window.pwned=4",
    "<b>bold?</b> &amp; &lt;i&gt; <!-- gone? --> ${window.pwned=5} {{pwned}}",
    "\u202etxet desrever\u202c and \u05d0\u05d1\u05d2 \u0627\u0644\u0633\u0645\u0627\u0621 mixed",
    "\U0001f307\U0001f469\u200d\U0001f469\u200d\U0001f467 emoji, e\u0301 combining, \u65e5\u672c\u8a9e, \u2028 line separator",
    "Donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunterbeamtengesellschaft" * 3,
    "`code` and\nlines\n\n- that\n- look like lists\tand tabs \u0007 bell",
)
WORDS = ("golden hour", "sunset", "long shadows", "warm light", "glowing clouds", "soft haze", "amber windows", "dusk")
UNWANTED = ("cool light", "blue sky", "overcast", "night", "distorted", "blurry", "noise")


# --- what an iteration is -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What becomes of an iteration."""

    iteration: int
    failed: bool = False
    fallback: bool = False
    passed: bool = False

    @classmethod
    def of(
        cls,
        iteration: int,
        iterations: int,
        status: RunStatus,
        failed: Optional[Sequence[int]],
        fallback: Optional[Sequence[int]],
    ) -> Plan:
        edge = iteration in (1, iterations)
        fails = iteration in failed if failed is not None else not edge and iteration % 11 == 5
        unjudged = iteration in fallback if fallback is not None else not edge and iteration % 13 == 8
        return cls(iteration, fails, unjudged and not fails, status == "passed" and iteration == iterations)


def draw(number: int, size: Tuple[int, int] = (320, 240)) -> bytes:
    """A PNG of a house under a sky that turns with `number`; 0 is the original."""
    width, height = size
    warm = min(1.0, number / 20)
    image = Image.new("RGB", size, (int(110 + 130 * warm), int(160 - 40 * warm), int(220 - 150 * warm)))
    pen = ImageDraw.Draw(image)
    sun = width * (0.15 + 0.7 * ((number * 37) % 100) / 100), height * (0.2 + 0.25 * ((number * 53) % 100) / 100)
    radius = min(size) / 9
    pen.ellipse((sun[0] - radius, sun[1] - radius, sun[0] + radius, sun[1] + radius), fill=(255, 236, 150))
    pen.rectangle((0, height * 0.7, width, height), fill=(60, int(120 - 50 * warm), 50))
    house = (width * 0.35, height * 0.45, width * 0.7, height * 0.85)
    pen.rectangle(house, fill=((number * 29) % 90 + 130, 90, 70))
    pen.polygon(((house[0] - 8, house[1]), (width * 0.525, height * 0.25), (house[2] + 8, house[1])), fill=(90, 40, 40))
    pen.rectangle((width * 0.48, height * 0.62, width * 0.57, height * 0.85), fill=(40, 30, 30))
    pen.text((8, 8), str(number) if number else "original", fill=(0, 0, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


class Maker:
    """A run in the making: its artefacts and resume point, as a loop would leave them, without waiting for the disk."""

    def __init__(
        self,
        root: Path,
        project: str,
        run: Run,
        checkpoint: Checkpoint,
        rules: Rules,
        hostile: bool,
        ticking: bool,
        kind: Kind,
    ) -> None:
        self.store = Store(root / "projects" / project)
        self.project = project
        self.run = run
        self.checkpoint = checkpoint
        self.rules = rules
        self.hostile = hostile
        self.ticking = ticking  # time is now, not the run's own
        self.kind = kind
        self.evaluations: Dict[int, Evaluation] = {}

    @classmethod
    def begin(
        cls,
        root: Path,
        project: str,
        size: Tuple[int, int],
        status: RunStatus,
        iterations: int,
        max_iterations: Optional[int],
        started: Optional[float],
        hostile: bool,
        kind: Kind,
    ) -> Maker:
        store = Store(root / "projects" / project)
        if started is None:
            later = 86_400.0 * len(store.runs())
            started = time.time() - PACE * iterations if status == "running" else START + later
        run = store.new_run(started)
        text = (store.project / "config" / "rules.yaml").read_text(encoding="utf-8")
        data = yaml.safe_load(text)
        data["project"]["max_iterations"] = max_iterations or max(iterations, 1)
        source = draw(0, size)
        write_bytes(run.root / "inputs" / "input.png", source, durable=False)
        write_bytes(run.root / "thumbs" / "input.webp", thumbnail(source), durable=False)
        rules_text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode("utf-8")
        write_bytes(run.root / "inputs" / "rules.yaml", rules_text, durable=False)
        rules = load_rules(run.root / "inputs" / "rules.yaml").record
        checkpoint = Checkpoint(
            run_id=run.run_id,
            status="running",
            started_at=started,
            updated_at=started,
            rules_sha256=rules_hash(rules),
            input_sha256=content_hash(source),
        )
        maker = cls(root, project, run, checkpoint, rules, hostile, status == "running", kind)
        if kind.adaptive:
            maker.check_judge()
        return maker

    @classmethod
    def resume(cls, root: Path, project: str) -> Maker:
        store = Store(root / "projects" / project)
        checkpoint = store.read_checkpoint()
        assert checkpoint is not None, f"{project} has no run"
        run = store.run(checkpoint.run_id)
        rules = load_rules(run.root / "inputs" / "rules.yaml").record
        running = checkpoint.model_copy(update={"status": "running", "ended_by": None, "ending": None})
        kind = Kind(adaptive=(run.root / JUDGE_CHECK).is_file())
        maker = cls(root, project, run, running, rules, True, checkpoint.status == "running", kind)
        for iteration in run.iterations():
            evaluation = run.evaluation(iteration)
            if evaluation is not None:
                maker.evaluations[iteration] = evaluation
        return maker

    # --- one iteration ----------------------------------------------------------------------------------------------------

    def add(self, plan: Plan) -> None:
        """Artefacts in the loop's order: picture, thumbnail, answers, comparison, evaluation, metadata, page."""
        number = plan.iteration
        chance = random.Random(number)
        png = None if plan.failed else self._picture(number)
        if png is not None:
            write_bytes(self.run.image_file(number), png, durable=False)
            pages.write_thumb(self.run, number, png)
        metadata = self._metadata(plan, chance, png)
        if png is not None:
            metadata = self._judged(plan, chance, metadata)
        self._keep("metadata", metadata)
        update = {
            "last_iteration": number,
            "updated_at": metadata.timestamp,
            "totals": added(self.checkpoint.totals, metadata),
            **best_of(self.evaluations.items(), Yardstick.of(self.rules)),
        }
        self.checkpoint = self.checkpoint.model_copy(update=update)
        pages.write_iteration(self.run, metadata)

    def judge_again(self, number: int) -> None:
        metadata = self.run.metadata(number)
        assert metadata is not None
        values: Dict[str, Any] = {**self._passing(), "never_met_one": False}
        reasons = dict.fromkeys(values, "looked at once more")
        call = CallRecord(provider="ollama", model="qwen2.5vl:7b")
        sha = self.checkpoint.rules_sha256
        evaluation = evaluation_record(
            number, self.rules.acceptance_criteria, self._known(values), reasons, call, Usage(), sha
        )
        self._keep("evaluation", evaluation)
        self.evaluations[number] = evaluation
        told = {"overall_score": evaluation.overall_score, "criteria_results": evaluation.criteria_results}
        metadata = metadata.model_copy(update={"evaluation": told, "aivis_metadata": call})
        self._keep("metadata", metadata)
        best = best_of(self.evaluations.items(), Yardstick.of(self.rules))
        self.checkpoint = self.checkpoint.model_copy(update={"updated_at": time.time(), **best})
        pages.write_iteration(self.run, metadata)

    def take_back(self, first: int) -> None:
        self.evaluations = {n: each for n, each in self.evaluations.items() if n < first}
        best = best_of(self.evaluations.items(), Yardstick.of(self.rules))
        update = {"status": "running", "last_iteration": first - 1, "updated_at": time.time(), **best}
        self.checkpoint = self.checkpoint.model_copy(update=update)

    def _picture(self, number: int) -> bytes:
        with Image.open(self.run.root / "inputs" / "input.png") as original:
            return draw(number, original.size)

    def _keep(self, kind: str, record: Any) -> None:
        write_json(self.run.file(kind, record.iteration), record.model_dump(mode="json"), durable=False)

    def _say(self, chance: random.Random) -> Callable[[str], str]:
        return lambda plain: self._text(chance, plain)

    def _text(self, chance: random.Random, plain: str) -> str:
        return f"{plain} {chance.choice(HOSTILE)}" if self.hostile and chance.random() < 0.5 else plain

    def _now(self, number: int) -> float:
        return time.time() if self.ticking else self.checkpoint.started_at + PACE * number

    def _metadata(self, plan: Plan, chance: random.Random, png: Optional[bytes]) -> Metadata:
        number = plan.iteration
        image = self.run.image_file(number).relative_to(self.store.project).as_posix()
        generation = round(20 + 15 * chance.random(), 3)
        call = CallRecord(
            provider="ollama", model="qwen2.5vl:7b", success=not plan.failed, attempts=0 if plan.failed else 1
        )
        size = None
        if png is not None:
            with Image.open(io.BytesIO(png)) as picture:
                size = list(picture.size)
        return Metadata(
            iteration=number,
            timestamp=self._now(number),
            image_path=image if png else None,
            parameters_used={
                "denoise": round(min(0.95, 0.35 + 0.05 * (number % 9)), 3),
                "cfg": 5.0 + number % 6,
                "steps": 20 + number % 5,
                "seed": chance.randrange(2**53),
                "sampler_name": ("euler", "dpmpp_2m")[number % 2],
                "scheduler": ("normal", "karras")[number // 4 % 2],
            },
            questions={},
            evaluation={"overall_score": 0.0, "criteria_results": {}},
            comparison={"similarity_score": None, "differences": [], "analysis": ""},
            aivis_metadata=call,
            prompts_used=self._prompts(number),
            run_id=self.run.run_id,
            status="failed" if plan.failed else "ok",
            error=self._error(chance) if plan.failed else None,
            prompt_id=f"job-{number}",
            workflow_file="workflow/img2img_no_mask_api.json",
            image_size=size,
            timings={"generation": generation},
            decision=self._decision(plan, chance),
        )

    def _error(self, chance: random.Random) -> str:
        cause = self._text(chance, "CUDA out of memory")
        return f"ComfyUI: KSampler (node 3) raised {cause}; tried to allocate " + "2.00 GiB, " * 30

    def _prompts(self, number: int) -> Prompts:
        """Words come and go from one iteration to the next; every tenth prompt is a long one."""
        start = number % len(WORDS)
        words = [WORDS[(start + step) % len(WORDS)] for step in range(3 + number % 3)]
        text = "a house in a garden, " + ", ".join(words)
        if self.hostile and number % 10 == 3:
            text += ", " + ", ".join(HOSTILE) + ", very long" * 200
        return Prompts(positive=text, negative=", ".join(UNWANTED[: 2 + number % 5]))

    def _decision(self, plan: Plan, chance: random.Random) -> List[Move]:
        if plan.failed:
            return [Move(what="settings unchanged", why="no picture was made, so there is nothing to go by")]
        told = [
            Move(what="denoise 0.5 -> 0.55", why=self._text(chance, "similarity 0.91 is above 0.85: too timid")),
            Move(what="prompt improved", why=self._text(chance, "warm_light, glowing_sky failed")),
        ]
        return run_votes.moves(plan.iteration, self._say(random.Random(plan.iteration))) if self.kind.adaptive else told

    def _judged(self, plan: Plan, chance: random.Random, metadata: Metadata) -> Metadata:
        """Answers, comparison and evaluation of a picture on disk, and its metadata with what they say."""
        number, heard = plan.iteration, not plan.fallback
        second = number % 7 == 6
        call = CallRecord(
            provider="openrouter" if second else "ollama",
            model="qwen/qwen2.5-vl-72b-instruct:free" if second else "qwen2.5vl:7b",
            using_fallback=second,
            success=heard,
            attempts=3 if second or not heard else 1,
            error=None if heard else self._text(chance, "no answer within 180 s"),
        )
        usage = Usage(requests=3, prompt_tokens=2400 + number, completion_tokens=310, cost=0.0004 if second else None)
        one = usage.model_copy(update={"requests": 1})
        answers = answers_record(number, self._answers(chance, heard), call, one)
        comparison = self._comparison(chance, number, heard, call, one)
        values, reasons = self._verdicts(chance, plan)
        evaluation = evaluation_record(
            number, self.rules.acceptance_criteria, values, reasons, call, one, self.checkpoint.rules_sha256, heard
        )
        if heard and self.kind.adaptive:
            evaluation = run_votes.looked_again(evaluation)
            usage = usage.model_copy(update={"requests": usage.requests + looks(evaluation) - 1})
        for kind, record in (("questions", answers), ("comparison", comparison), ("evaluation", evaluation)):
            self._keep(kind, record)
        self.evaluations[number] = evaluation
        told = {"overall_score": evaluation.overall_score, "criteria_results": evaluation.criteria_results}
        seen = comparison.model_dump(include={"similarity_score", "differences", "analysis"})
        timings = {**metadata.timings, "questions": 2.5, "comparison": 3.1, "evaluation": round(4 + chance.random(), 3)}
        update = {"questions": answers.answers, "evaluation": told, "comparison": seen, "usage": usage}
        return metadata.model_copy(update={**update, "aivis_metadata": call, "timings": timings})

    def _answers(self, chance: random.Random, heard: bool) -> Dict[str, Any]:
        colours: List[Any] = ["red", "amber", *([chance.choice(HOSTILE)] if self.hostile else [])]
        trees = chance.choice((None, 3, 4))
        asked = {"main_colours": colours, "weather": self._text(chance, "clear"), "trees": trees}
        return {question.field: asked.get(question.field) if heard else None for question in self.rules.questions}

    def _comparison(
        self, chance: random.Random, number: int, heard: bool, call: CallRecord, usage: Usage
    ) -> Comparison:
        analysis = self._text(chance, "The sky is warmer, the house is as it was.")
        if self.hostile and number % 10 == 4:
            analysis = (analysis + " It goes on and on.") * 300
        measured = round(0.95 - 0.4 * chance.random(), 4)
        return Comparison(
            iteration=number,
            source="aivis" if heard else "measured",
            similarity_score=round(0.9 - 0.5 * chance.random(), 3) if heard else measured,
            differences=[self._text(chance, "warmer sky"), "longer shadows"] if heard else [],
            analysis=analysis if heard else "",
            measured=measured,
            aivis_metadata=call,
            usage=usage,
        )

    def _verdicts(self, chance: random.Random, plan: Plan) -> Tuple[Dict[str, Any], Dict[str, str]]:
        """What the model said of each criterion: later pictures fare better, some get no answer."""
        if plan.fallback:
            return {}, {}
        values = self._passing()
        if not plan.passed:
            likely = min(0.9, 0.25 + plan.iteration / 40)
            wrong: Dict[str, Any] = {"time_of_day": "noon", "people_count": 9}
            for field in values:
                if field == "never_met_one" or chance.random() > likely:
                    values[field] = wrong.get(field, False)
            if plan.iteration % 5 == 2:
                values[chance.choice(sorted(values))] = None
        reasons = {
            field: self._text(chance, f"{field} as far as can be seen") for field in values if values[field] is not None
        }
        return self._known(values), reasons

    def _passing(self) -> Dict[str, Any]:
        special: Dict[str, Any] = {"time_of_day": "dusk", "people_count": 3}
        return {each.field: special.get(each.field, True) for each in self.rules.acceptance_criteria}

    def _known(self, values: Mapping[str, Any]) -> Dict[str, Any]:
        return {each.field: values.get(each.field) for each in self.rules.acceptance_criteria}

    # --- the run ----------------------------------------------------------------------------------------------------------

    def check_judge(self) -> None:
        """What the judge says before the first picture."""
        call, say = CallRecord(provider="ollama", model="qwen2.5vl:7b"), self._say(random.Random(7))
        check = run_votes.checked(self.rules.acceptance_criteria, self.kind.warnings or (), call, say)
        write_json(self.run.root / JUDGE_CHECK, check.model_dump(mode="json"), durable=False)

    def compare_best(self) -> None:
        """The best three in pairs. The winner is the best of the run from then on."""
        ranked = sorted(self.evaluations.values(), key=lambda each: (-each.overall_score, each.iteration))
        best = [each.iteration for each in ranked if each.source == "aivis"][:3]
        call, say = CallRecord(provider="ollama", model="qwen2.5vl:7b"), self._say(random.Random(8))
        final = run_votes.compared(best, call, say)
        if final is not None:
            write_json(self.run.root / FINAL_COMPARISON, final.model_dump(mode="json"), durable=False)

    def end(self, status: RunStatus, index: bool) -> None:
        ended = {}
        if status == "exhausted" and self.kind.adaptive:
            self.compare_best()
            ended = run_votes.ending(self.kind, self.checkpoint.last_iteration)
            ended["ending"] = self._text(random.Random(9), ended["ending"])
        self.checkpoint = self.checkpoint.model_copy(update={"status": status, **ended})
        self.write_checkpoint()
        self.write_head()
        if index:
            pages.write_index(self.store.project.parent)

    def write_checkpoint(self) -> None:
        write_json(self.store.working / "checkpoint.json", self.checkpoint.model_dump(mode="json"), durable=False)

    def write_head(self) -> None:
        missing = never_met(self.rules.acceptance_criteria, self.evaluations.values())
        pages.write_head(self.run, self.project, self.rules, self.checkpoint, missing)
