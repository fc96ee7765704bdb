"""What the next iteration gets: the strategy's settings, the model's suggestion, improved prompts, and why.

Works from the settings the judged picture was made with, so that doing it again after a kill gives the same; replies that
were paid for are put into the resume point at once. Writing the decision down is the loop's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from .adaptive import AdaptiveStrategy
from .assess import usage_of
from .errors import VisionError
from .judge import Judge
from .ledger import Ledger, Revision, brings_anything
from .model import Attempt, Criterion, Generation, Move, Parameters, Pending, Prompts, Rules, Sampling, Usage
from .setup import yaml_for_model
from .shaping import phrases, shape
from .tuning import Plan, SpecStrategy, Strategy, accept_suggestion, outside_band
from .votes import Vote


@dataclass(frozen=True)
class Decision:
    """Settings for the next iteration, each move with its reason, and the calls it took (in `pending`).

    `owned`: the phrases that the tool has put into the prompts, see `ledger`.
    """

    generation: Generation
    moves: Tuple[Move, ...]
    pending: Pending
    owned: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Decider:
    """Decides for one run. `keep` puts `pending` on disk; `choices` are the names the server offers."""

    strategy: Strategy
    judge: Judge
    criteria: Sequence[Criterion]
    choices: Mapping[str, Sequence[str]]
    keep: Callable[[Pending], None]
    asking: Callable[[str], None]
    warn: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    keeps_ledger: bool = False  # of the phrases: else the model's rewrite is taken as it is

    def decide(
        self,
        history: Sequence[Attempt],
        generation: Generation,
        pending: Optional[Pending],
        owned: Mapping[str, str] = MappingProxyType({}),
    ) -> Decision:
        """Settings after the last of `history`, whose evaluation is a judged one. `pending`: what was asked already.

        `owned`: phrases that the tool has added in this run, as the decision before returned them.
        """
        last = history[-1]
        if pending is None or pending.iteration != last.iteration:
            pending = Pending(iteration=last.iteration, parameters=last.sampling.as_dict(), prompts=last.prompts)
        pending, plan = self._planned(history, pending, generation, _fixed(generation))
        edits = edited(generation, last.sampling, plan.sampling)
        if edits:  # the user's own hand goes before ours
            pending, plan = self._planned(history, pending, generation, frozenset({*_fixed(generation), *edits}))
        pending, revision = self._improved(pending, history, generation.prompts, owned)
        decided = in_force(generation, last.sampling, replace(plan.sampling, **edits), revision.prompts)
        moves = (*_told(edits, last.sampling), *plan.moves, *revision.moves)
        return Decision(decided, moves, pending, revision.owned)

    def _planned(
        self, history: Sequence[Attempt], pending: Pending, generation: Generation, locked: FrozenSet[str]
    ) -> Tuple[Pending, Plan]:
        """The strategy's settings with what is taken of the suggestion. Asks at most once, however often it is called."""
        plan = self.strategy.next(history, locked)
        pending, suggested = self._suggested(pending, history[-1], plan.sampling, generation, locked)
        return pending, Plan(suggested.sampling, (*plan.moves, *suggested.moves))

    def _suggested(
        self, pending: Pending, last: Attempt, sampling: Sampling, generation: Generation, locked: FrozenSet[str]
    ) -> Tuple[Pending, Plan]:
        """Outside the similarity band the model is shown AIGen.yaml; what is valid of its suggestion is taken."""
        comparison = last.comparison
        asked = comparison.source == "aivis" and outside_band(comparison.similarity_score)
        if asked and pending.suggestion is None and not {"steps", "sampler_name", "scheduler"} <= locked:
            shown, similarity = yaml_for_model(generation), comparison.similarity_score

            def ask() -> Any:
                return self.judge.suggest(shown, similarity, last.evaluation, self.choices)

            pending, answer = self._text_call("suggestion", ask, pending)
            pending = pending.model_copy(update={"suggestion": dict(answer.values) if answer else {}})
            self.keep(pending)
        return pending, accept_suggestion(sampling, pending.suggestion or {}, self.choices, locked)

    def _improved(
        self, pending: Pending, history: Sequence[Attempt], configured: Prompts, owned: Mapping[str, str]
    ) -> Tuple[Pending, Revision]:
        """Prompts rewritten by the model for what failed, then shaped by the tags; from the user's own where edited."""
        last = history[-1]
        old = _newest(configured, last.prompts, pending.improvement)
        if self.keeps_ledger and shape(old, self.criteria) == last.prompts:  # only the tags were added to them
            old = last.prompts
        failed = ", ".join(last.evaluation.failed_fields)
        if not failed:  # what does is asked otherwise now than it was of this picture
            return pending, self._only_shaped(old, "nothing is known yet to fail by today's rules", owned)
        if pending.improvement is None:

            def ask() -> Any:
                return self.judge.improve(old, last.evaluation, last.comparison, *self._extremes(history))

            pending, got = self._text_call("improvement", ask, pending)
            if got is None:
                return pending, self._only_shaped(old, "the vision model gave no better ones", owned)
            taken = Ledger(self.criteria, owned).revise(old, got[0], history).prompts if self.keeps_ledger else got[0]
            pending = pending.model_copy(update={"improvement": shape(taken, self.criteria), "proposed": got[0]})
            self.keep(pending)
        new = pending.improvement or old
        proposed = pending.proposed or old
        revision = Revision(old, (), dict(owned))
        if self.keeps_ledger:
            revision = Ledger(self.criteria, owned).revise(old, proposed, history)
        told = (*revision.refused, *revision.remarks)
        if _each(new) == _each(old):
            move = Move(what="prompts unchanged", why=f"{_why_unchanged(old, proposed, revision)} (failed: {failed})")
            return pending, Revision(new, (move, *told), dict(owned))
        if self.keeps_ledger and pending.proposed is not None:
            return pending, replace(revision, prompts=new, moves=(*(revision.moves or (_reshaped(old, new),)), *told))
        changed = [name for name in ("positive", "negative") if getattr(new, name) != getattr(old, name)]
        move = Move(what=f"{' and '.join(changed)} prompt rewritten", why=f"for what failed: {failed}")
        return pending, Revision(new, (move,), dict(owned))

    def _only_shaped(self, old: Prompts, why: str, owned: Mapping[str, str]) -> Revision:
        shaped = shape(old, self.criteria)
        what = "prompts unchanged" if shaped == old else "prompts shaped by the tags"
        return Revision(shaped, (Move(what=what, why=why),), dict(owned))

    def _extremes(self, history: Sequence[Attempt]) -> Tuple[Attempt, ...]:
        """The best and the worst picture of those judged on every criterion, for a model that would know only the last."""
        fields = {c.field for c in self.criteria}
        judged = [a for a in history if a.evaluation.source == "aivis" and fields <= {*a.evaluation.criteria_results}]
        if not self.keeps_ledger or len(judged) < 2:
            return ()
        by_score = sorted(judged, key=lambda a: (a.evaluation.overall_score, -a.iteration))
        return by_score[-1], by_score[0]

    def _text_call(self, purpose: str, ask: Callable[[], Any], pending: Pending) -> Tuple[Pending, Any]:
        """A text-only call whose failure costs nothing but its benefit. Usage and time go into `pending`."""
        started = self.clock()
        self.asking(purpose)
        got, usage = None, Usage()
        try:
            got = ask()
            usage = (got[1] if isinstance(got, tuple) else got).usage
        except VisionError as err:
            usage = usage_of(err)
            self.warn(f"no {purpose} from the vision model: {err}")
        timings = {**pending.timings, purpose: round(self.clock() - started, 3)}
        return pending.model_copy(update={"usage": pending.usage + usage, "timings": timings}), got


SHAPED = Move(what="prompts shaped by the tags", why="what the rules require and ban stands in them again")
ORDERED = Move(what="prompts put in order", why="what is to change stands first, and nothing twice")


def _each(prompts: Prompts) -> Tuple[List[str], List[str]]:
    return phrases(prompts.positive), phrases(prompts.negative)


def _reshaped(old: Prompts, new: Prompts) -> Move:
    """What became of prompts to which the rewrite itself has brought nothing."""
    before, after = ([{text.casefold() for text in side} for side in _each(prompts)] for prompts in (old, new))
    return ORDERED if before == after else SHAPED


def _why_unchanged(old: Prompts, proposed: Prompts, revision: Revision) -> str:
    if revision.refused:
        return "nothing of what the rewrite brought was taken"
    if brings_anything(old, proposed):
        return "the tags leave nothing of what the rewrite brought"
    return "the rewrite brought nothing new"


def strategy_for(rules: Rules, known: Sequence[Tuple[bool, Vote]] = ()) -> Strategy:
    """The strategy that `project.strategy` names. `known`: votes of the judge whose truth is known."""
    if rules.project.strategy == "spec":
        return SpecStrategy()
    return AdaptiveStrategy(rules.acceptance_criteria, known)


def edited(generation: Generation, used: Sampling, wanted: Sampling) -> Dict[str, Any]:
    """What the user has changed in working/AIGen.yaml since the judged picture was begun.

    A value that is `wanted` may be our own, written before a kill and now decided anew: that is no edit.
    """
    configured, before, after = generation.parameters.model_dump(), used.as_dict(), wanted.as_dict()
    names = [name for name in before if name != "seed" and configured[name] is not None and before[name] is not None]
    return {name: configured[name] for name in names if configured[name] not in (before[name], after[name])}


def _fixed(generation: Generation) -> FrozenSet[str]:
    """What the strategy may not change: locked parameters, and a seed that the user set."""
    return frozenset([*generation.locked, *(["seed"] if generation.parameters.seed is not None else [])])


def _newest(configured: Prompts, used: Prompts, ours: Optional[Prompts]) -> Prompts:
    """The prompts to improve: those of the judged picture, or what the user has written since. Empty ones say nothing."""
    found = Prompts(
        positive=configured.positive if configured.positive.strip() else used.positive,
        negative=configured.negative if configured.negative.strip() else used.negative,
    )
    return used if found == ours else found


def _told(edits: Mapping[str, Any], used: Sampling) -> List[Move]:
    before = used.as_dict()
    return [Move(what=f"{k} {before[k]} → {v}", why="edited in working/AIGen.yaml") for k, v in edits.items()]


def in_force(generation: Generation, used: Sampling, wanted: Sampling, prompts: Prompts) -> Generation:
    """`generation` with what was configured or moved, and nothing else, set; the seed stays as configured."""
    before, after, configured = used.as_dict(), wanted.as_dict(), generation.parameters.model_dump()
    chosen = {
        name: value
        for name, value in after.items()
        if name != "seed" and (configured[name] is not None or value != before[name])
    }
    parameters = Parameters(**{**configured, **chosen})
    return generation.model_copy(update={"parameters": parameters, "prompts": prompts})
