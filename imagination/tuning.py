"""Similarity and failed criteria to the next settings, the spec's way; what every strategy has in common. Pure.

A strategy sees every judged picture of the run and says what denoise and cfg come next, each move with its reason.
Prompts are not its business (`shaping` and the improver's), nor are steps, sampler and scheduler (a suggestion of the
vision model, checked by `accept_suggestion`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

from typing_extensions import Protocol

from .model import Attempt, Move, Sampling
from .votes import Outlook

TOO_SIMILAR = 0.85  # spec, "Decision Making"
TOO_DIFFERENT = 0.30
MAX_SUGGESTED_STEPS = 150  # ComfyUI takes 10,000; a model's slip should not cost an hour


@dataclass(frozen=True)
class Plan:
    """Settings for the next iteration and what moved."""

    sampling: Sampling
    moves: Tuple[Move, ...]


class Strategy(Protocol):
    """How the next denoise and cfg are chosen, and what is expected of them."""

    def next(self, history: Sequence[Attempt], locked: Collection[str]) -> Plan:
        """Settings after the last of `history` (at least one attempt, oldest first); `locked` parameters stay.

        "seed" is among them when it is fixed: the same settings would then give the same picture.
        """

    def outlook(self, history: Sequence[Attempt], sampling: Sampling) -> Outlook:
        """What is held of the judge, and of a picture of these settings, before it is seen."""


class SpecStrategy:
    """The spec's rule alone: a step of denoise and cfg outside the similarity band, none inside."""

    def next(self, history: Sequence[Attempt], locked: Collection[str]) -> Plan:
        """Apply `nudge` to the last attempt."""
        last = history[-1]
        if last.comparison.source != "aivis":
            return Plan(last.sampling, (Move(what="settings unchanged", why="the comparison got no answer to go by"),))
        similarity = last.comparison.similarity_score
        wanted = nudge(last.sampling, similarity)
        kept = replace(wanted, **{name: getattr(last.sampling, name) for name in locked if name != "seed"})
        return Plan(kept, tuple(_moves(last.sampling, kept, wanted, similarity)))

    def outlook(self, history: Sequence[Attempt], sampling: Sampling) -> Outlook:
        """Nothing is expected: the spec takes each picture for itself."""
        return Outlook()


def nudge(sampling: Sampling, similarity: float) -> Sampling:
    """Move `sampling` back toward a useful likeness; inside the band it is returned as it is.

    `similarity` is the vision model's judgement, 0.0 (unrelated) to 1.0 (identical). Source: spec, "Decision Making".
    """
    if similarity > TOO_SIMILAR:  # the edit was too timid
        return replace(sampling, denoise=step(sampling.denoise, +0.05, 0, 1), cfg=step(sampling.cfg, +1, 1, 20))
    if similarity < TOO_DIFFERENT:  # too bold
        return replace(sampling, denoise=step(sampling.denoise, -0.05, 0, 1))
    return sampling


def step(value: Optional[float], by: float, low: float, high: float) -> Optional[float]:
    """`value + by` within `low` and `high`, rounded so that ten steps of 0.05 are 0.5. None stays None."""
    return None if value is None else round(float(min(high, max(low, value + by))), 4)


def outside_band(similarity: float) -> bool:
    """Say whether the picture is too like or too unlike the original for prompts alone to help."""
    return similarity > TOO_SIMILAR or similarity < TOO_DIFFERENT


def accept_suggestion(
    sampling: Sampling, suggestion: Mapping[str, Any], choices: Mapping[str, Collection[str]], locked: Collection[str]
) -> Plan:
    """Take what is valid of a vision model's suggestion for steps, sampler_name and scheduler.

    `choices` are the names that the server lists. Values that are out of range, unknown, locked or have no place in the
    workflow are left out; denoise and cfg are the strategy's and are never read from it.
    """
    valid: Dict[str, Any] = {}
    steps = suggestion.get("steps")
    if isinstance(steps, int) and not isinstance(steps, bool) and 1 <= steps <= MAX_SUGGESTED_STEPS:
        valid["steps"] = steps
    for name in ("sampler_name", "scheduler"):
        if isinstance(suggestion.get(name), str) and suggestion[name] in choices.get(name, ()):
            valid[name] = suggestion[name]
    now = sampling.as_dict()
    valid = {k: v for k, v in valid.items() if k not in locked and now[k] is not None and now[k] != v}
    why = " ".join(str(suggestion.get("reason") or "").split())[:200] or "the vision model suggested it"
    return Plan(replace(sampling, **valid), tuple(Move(what=f"{k} {now[k]} → {v}", why=why) for k, v in valid.items()))


def _moves(old: Sampling, new: Sampling, wanted: Sampling, similarity: float) -> List[Move]:
    if similarity > TOO_SIMILAR:
        why = f"the picture is too like the original (similarity {similarity:.3f}, above {TOO_SIMILAR})"
    elif similarity < TOO_DIFFERENT:
        why = f"the picture is too unlike the original (similarity {similarity:.3f}, below {TOO_DIFFERENT:.2f})"
    else:
        why = f"similarity {similarity:.3f} is within {TOO_DIFFERENT:.2f} to {TOO_SIMILAR}: only the prompts are worked on"
    moves = [
        Move(what=f"{name} {getattr(old, name):g} → {getattr(new, name):g}", why=why)
        for name in ("denoise", "cfg")
        if getattr(old, name) != getattr(new, name)
    ]
    if moves:
        return moves
    if wanted != new:
        why += "; what could help is locked"
    elif outside_band(similarity):
        why += "; there is no further step to take"
    return [Move(what="denoise and cfg unchanged", why=why)]
