"""A human ranking to the settings that seed a run. Pure.

`rank1` takes the prompts and parameters of the best-ranked iteration. `top3` and `top5` average denoise, cfg and steps
over the best K, take the most common sampler and scheduler (ties go to the better ranked) and rank 1's prompts. The
notes of the best K go with every prompt improvement of the new run. Source: spec, "Using human ranking".
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

from .errors import StoreError
from .model import Metadata, Ranking, RankingMode, Seeding

TOP: Mapping[str, int] = {"rank1": 1, "top3": 3, "top5": 5}


def leading(ranking: Ranking, mode: RankingMode) -> List[int]:
    """Numbers of the iterations that count in `mode`, best first. Raises StoreError when the ranking is no ranking."""
    if not ranking.ranking:
        raise StoreError("the ranking is empty", "rank at least one iteration in the viewer")
    numbers = []
    for entry in ranking.ranking:
        if len(entry) > 9 or not entry.isascii() or not entry.isdigit() or int(entry) < 1:
            raise StoreError(f"the ranking names {entry[:40]!r}, which is no iteration", "rank the iterations again")
        numbers.append(int(entry))
    if len(set(numbers)) != len(numbers):
        raise StoreError("the ranking names an iteration twice", "rank the iterations again")
    return numbers[: TOP[mode]]


def seeding(run_id: str, ranking: Ranking, mode: RankingMode, metadata: Mapping[int, Metadata]) -> Seeding:
    """What a new run takes from the ranking of `run_id`. `metadata` has the iterations of `leading`.

    A seed is never taken, and steps are rounded. What an iteration's workflow had no place for is left out.
    """
    chosen = leading(ranking, mode)
    used = [metadata[number].parameters_used for number in chosen]
    averaged = {name: _mean(used, name) for name in ("denoise", "cfg", "steps")}
    common = {name: _most_common(used, name) for name in ("sampler_name", "scheduler")}
    parameters: Dict[str, Any] = {k: v for k, v in {**averaged, **common}.items() if v is not None}
    if "steps" in parameters:
        parameters["steps"] = max(1, int(parameters["steps"] + 0.5))
    notes = [" ".join(ranking.notes.get(str(number), "").split()) for number in chosen]
    return Seeding(
        run_id=run_id,
        mode=mode,
        iterations=chosen,
        parameters=parameters,
        prompts=metadata[chosen[0]].prompts_used,
        notes=[f"rank {place}: {note}" for place, note in enumerate(notes, 1) if note],
    )


def _mean(used: Sequence[Mapping[str, Any]], name: str) -> Any:
    values = [each[name] for each in used if isinstance(each.get(name), (int, float))]
    return round(sum(values) / len(values), 4) if values else None


def _most_common(used: Sequence[Mapping[str, Any]], name: str) -> Any:
    """The value that occurs most; `max` keeps the first of equals, and the better ranked come first."""
    values = [each[name] for each in used if isinstance(each.get(name), str)]
    return max(values, key=values.count) if values else None
