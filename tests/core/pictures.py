"""Judged pictures to test decisions with, by what differs between them."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

from imagination.model import Attempt, CallRecord, Comparison, Criterion, Evaluation, Prompts, Sampling

CALL = CallRecord(provider="ollama", model="eyes")


def criterion(field: str, intent: Optional[str] = None, **tags: Any) -> Criterion:
    """A criterion by its name and tags."""
    tags.setdefault("question", f"Is it {field}?")
    return Criterion(field=field, intent=intent, **tags)  # type: ignore[arg-type]


def judged(
    iteration: int,
    votes: Mapping[str, Any],
    *,
    denoise: Optional[float] = 0.5,
    cfg: Optional[float] = 7.0,
    likeness: float = 0.6,
    compared: bool = True,
    looked: bool = True,
    with_votes: bool = True,
    prompts: Optional[Prompts] = None,
    **sampling: Any,
) -> Attempt:
    """A picture and its verdicts: one each, or a list of votes, of which the last is the verdict; None is unanswered."""
    cast = {name: list(v) if isinstance(v, list) else [v] for name, v in votes.items()}
    results: Dict[str, bool] = {name: looked and each[-1] is True for name, each in cast.items()}
    evaluation = Evaluation(
        iteration=iteration,
        source="aivis" if looked else "fallback",
        overall_score=100 * sum(results.values()) / len(results),
        criteria_results=results,
        values={},
        reasons={},
        passed_fields=[name for name, met in results.items() if met],
        failed_fields=[name for name, met in results.items() if not met],
        unanswered=[name for name, each in cast.items() if not looked or not any(v is not None for v in each)],
        aivis_metadata=CALL,
        votes=cast if looked and with_votes else {},
    )
    comparison = Comparison(
        iteration=iteration,
        source="aivis" if compared else "measured",
        similarity_score=likeness,
        differences=[],
        analysis="",
        measured=likeness,
        aivis_metadata=CALL,
    )
    used = Sampling(denoise=denoise, cfg=cfg, seed=1000 + iteration, **sampling)
    return Attempt(iteration, used, prompts or Prompts(positive="a car, red paint"), evaluation, comparison)
