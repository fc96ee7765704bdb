"""Runs in simulated worlds: the loop's own decisions, judging and shaping, with a world where generator and model would be.

What a run does between two pictures is the tool's own code (`Decider`, `confirmed`, `shape`, the strategies); only the
order of the steps is told here once more, without disk and network, so that thousands of runs take minutes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any, Callable, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

from world_laws import JudgeErrs, World

from imagination.confirm import confirmed
from imagination.conflict import find_conflict
from imagination.decide import Decider
from imagination.judge import evaluation_record
from imagination.model import (
    Answer,
    Attempt,
    CallRecord,
    Comparison,
    Criterion,
    Evaluation,
    Generation,
    Parameters,
    Prompts,
    Sampling,
    Usage,
)
from imagination.shaping import shape
from imagination.tuning import Plan, Strategy
from imagination.votes import Outlook, Vote

BUDGET = 20  # pictures
START = Parameters(denoise=0.5, cfg=7.0)  # where the templates begin
POSSIBLE = 0.1  # a world whose best settings promise less is not counted as one that can be won
CALL = CallRecord(provider="world", model="world")
ONE = Usage(requests=1)


@dataclass(frozen=True)
class Result:
    """How a run ended. `truly`: every criterion really holds in the picture it stopped with."""

    pictures: int
    calls: int  # of the vision model
    stopped: bool  # as passed
    truly: bool
    conflict: bool = False


@dataclass(frozen=True)
class Way:
    """A strategy with what goes with it."""

    strategy: Callable[[Sequence[Criterion], Sequence[Tuple[bool, Vote]]], Strategy]
    looks: int = 0
    checks_judge: bool = False
    stops_on_conflict: bool = False
    shapes_first: bool = False
    keeps_ledger: bool = False
    locked: Tuple[str, ...] = ()
    keeps_seed: bool = False
    knows_the_world: bool = False  # plays the best settings with every word: what is left is the judge's doing
    judge_is_right: bool = False  # what is left is the search's doing
    worth_a_look: int = 2  # failures at first sight with which a picture is still looked at again


class SimulatedModel:
    """The vision model of a world: verdicts with errors, and prompts that are mostly better."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.criteria = [need.criterion for need in world.needs]
        self.calls = 0
        self._dice = random.Random(f"{world.name} improver")

    def evaluate(
        self, picture: str, truth: Mapping[str, bool], look: int, fields: Optional[Sequence[str]]
    ) -> Evaluation:
        """Verdicts on a picture, as the judge's record."""
        self.calls += 1
        criteria = [c for c in self.criteria if fields is None or c.field in fields]
        values: Dict[str, Any] = {c.field: self.world.vote(c.field, truth[c.field], picture, look) for c in criteria}
        return evaluation_record(0, criteria, values, {}, CALL, ONE, "")

    def improve(self, prompts: Prompts, evaluation: Evaluation, *_: Any, **__: Any) -> Tuple[Prompts, Answer]:
        """Now and then a word that helps what failed; also words that are banned, that do nothing, or that get lost."""
        self.calls += 1
        phrases = [each.strip() for each in prompts.positive.split(",")]
        for need in self.world.needs:
            if need.criterion.field in evaluation.failed_fields and self._dice.random() < 0.5:
                phrases += [word for word in need.helpers if word not in phrases]
        if self._dice.random() < self.world.banned_by_improver:
            phrases.append("blurry")
        if self._dice.random() < 0.3:
            phrases.append(f"detail {self._dice.randrange(9)}")
        if self._dice.random() < 0.2 and len(phrases) > 1:
            phrases.pop(self._dice.randrange(len(phrases)))
        new = Prompts(positive=", ".join(phrases), negative=prompts.negative)
        return new, Answer({}, "", (), CALL, ONE)

    def suggest(self, *_: Any) -> Answer:
        """No opinion on steps and samplers: they do nothing here."""
        self.calls += 1
        return Answer({}, "", (), CALL, ONE)

    def known(self) -> List[Tuple[bool, Vote]]:
        """Votes on the unedited original, twice, and on a grey square."""
        self.calls += 3
        truth = {need.criterion.field: not need.words for need in self.world.needs if need.criterion.intent is not None}
        votes = [
            (holds, self.world.vote(name, holds, "original", look)) for look in (0, 1) for name, holds in truth.items()
        ]
        kept = [c.field for c in self.criteria if c.intent == "preserve"]
        return [*votes, *((False, self.world.vote(name, False, "grey", 0)) for name in kept)]


def run(world: World, way: Way) -> Result:
    """One run in a world."""
    if way.judge_is_right:
        world = replace(world, errs=JudgeErrs(0.0, 0.0, 0.0))
    model, dice = SimulatedModel(world), random.Random(f"{world.name} seeds")
    known = model.known() if way.checks_judge else []
    strategy = way.strategy(model.criteria, known)
    decider = Decider(
        strategy=strategy,
        judge=model,  # type: ignore[arg-type]
        criteria=model.criteria,
        choices={},
        keep=lambda pending: None,
        asking=lambda purpose: None,
        warn=lambda text: None,
        keeps_ledger=way.keeps_ledger,
    )
    prompts = Prompts(positive="a photograph, " + ", ".join(word for need in world.needs for word in need.words))
    generation = Generation(workflow_file="w", parameters=START, prompts=prompts, locked=list(way.locked))  # type: ignore[arg-type]
    if way.knows_the_world:
        denoise, cfg, _ = world.best()
        words = ", ".join(word for need in world.needs for word in (*need.words, *need.helpers))
        best = Parameters(denoise=denoise, cfg=cfg)
        update = {"parameters": best, "prompts": Prompts(positive=words), "locked": ["denoise", "cfg"]}
        generation = generation.model_copy(update=update)
    if way.shapes_first:
        generation = generation.model_copy(update={"prompts": shape(generation.prompts, model.criteria)})
    history: List[Attempt] = []
    seed, found, owned = 0, False, {}  # type: int, bool, Mapping[str, str]
    while len(history) < BUDGET and not found:
        moved = not history or (generation.parameters.denoise, generation.parameters.cfg) != _used(history[-1])
        seed = seed if way.keeps_seed and history and moved else dice.getrandbits(48)
        attempt = _picture(world, way, model, strategy, history, generation, seed)
        history.append(attempt)
        found = attempt.evaluation.all_pass
        if not found and way.stops_on_conflict and find_conflict(model.criteria, history, known):
            return Result(len(history), model.calls, False, False, True)
        if not found and len(history) < BUDGET:
            decision = decider.decide(history, generation, None, owned)
            generation, owned = decision.generation, decision.owned
    return Result(len(history), model.calls, found, all(_truth(world, history[-1]).values()))


def _used(attempt: Attempt) -> Tuple[Optional[float], Optional[float]]:
    return attempt.sampling.denoise, attempt.sampling.cfg


def _truth(world: World, attempt: Attempt) -> Dict[str, bool]:
    s = attempt.sampling
    return world.truth(s.denoise or 0.0, s.cfg or 0.0, s.seed or 0, attempt.prompts.positive)


def _picture(
    world: World,
    way: Way,
    model: SimulatedModel,
    strategy: Strategy,
    history: Sequence[Attempt],
    generation: Generation,
    seed: int,
) -> Attempt:
    """A picture with these settings, judged."""
    sampling = Sampling(denoise=generation.parameters.denoise, cfg=generation.parameters.cfg, seed=seed)
    similarity = world.similarity(sampling.denoise or 0.0)
    comparison = Comparison(
        iteration=len(history) + 1,
        source="aivis",
        similarity_score=similarity,
        differences=[],
        analysis="",
        measured=similarity,
        aivis_metadata=CALL,
    )
    draft = Attempt(len(history) + 1, sampling, generation.prompts, None, comparison)  # type: ignore[arg-type]
    truth, name = _truth(world, draft), f"{sampling.denoise}/{sampling.cfg}/{seed}/{generation.prompts.positive}"

    def look(number: int, fields: Optional[Sequence[str]]) -> Evaluation:
        return model.evaluate(name, truth, number, fields)

    evaluation = look(0, None)
    if way.looks:
        outlook = strategy.outlook(history, sampling)
        evaluation = confirmed(evaluation, look, way.looks, outlook)
    return replace(draft, evaluation=evaluation)


class RandomStrategy:
    """A baseline: other settings for every picture, whatever was seen."""

    def __init__(self, criteria: Sequence[Criterion], known: Sequence[Tuple[bool, Vote]]) -> None:
        self._dice = random.Random("random restarts")

    def next(self, history: Sequence[Attempt], locked: Collection[str]) -> Plan:
        """Any settings that people use."""
        denoise, cfg = self._dice.uniform(0.15, 0.95), self._dice.uniform(3, 12)
        return Plan(replace(history[-1].sampling, denoise=round(denoise, 3), cfg=round(cfg, 1)), ())

    def outlook(self, history: Sequence[Attempt], sampling: Sampling) -> Outlook:
        """Nothing is expected."""
        return Outlook()


def perfect(world: World) -> Result:
    """The limit: the best settings and every word from the start, and a stop at the first true pass."""
    denoise, cfg, _ = world.best()
    dice = random.Random(f"{world.name} seeds")
    words = [word for need in world.needs for word in (*need.words, *need.helpers)]
    for number in range(1, BUDGET + 1):
        if all(world.truth(denoise, cfg, dice.getrandbits(48), ", ".join(words)).values()):
            return Result(number, 0, True, True)
    return Result(BUDGET, 0, False, False)
