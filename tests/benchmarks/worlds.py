"""How many pictures each strategy needs, how often it is right, and what that rests on: `python tests/benchmarks/worlds.py`.

Prints a table over simulated worlds (world_laws.py): half of them were looked at while the strategy was made ("open"), the
other half was not ("held"). `--parts` switches parts of the strategy off, one at a time. `--count N` worlds in each half.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from world_laws import KINDS, LAWS, World, worlds
from world_runs import POSSIBLE, RandomStrategy, Result, Way, perfect, run

from imagination import votes
from imagination.adaptive import AdaptiveStrategy
from imagination.tuning import SpecStrategy

ADAPTIVE = Way(
    AdaptiveStrategy, looks=5, checks_judge=True, stops_on_conflict=True, shapes_first=True, keeps_ledger=True
)
SPEC = Way(lambda criteria, known: SpecStrategy())
WAYS: Mapping[str, Way] = {
    "spec": SPEC,
    "random restarts": Way(RandomStrategy),
    "adaptive": ADAPTIVE,
    "judging alone": replace(ADAPTIVE, knows_the_world=True),  # what confirming costs at the best settings
    "search alone": replace(ADAPTIVE, judge_is_right=True),  # what finding them costs
}


class LastPictureOnly(AdaptiveStrategy):
    """Reacts to the last picture instead of pooling all."""

    def next(self, history: Any, locked: Any) -> Any:
        return super().next(history[-1:], locked)


class Credulous(AdaptiveStrategy):
    """Takes a vote for the truth when it looks for settings."""

    def next(self, history: Any, locked: Any) -> Any:
        plain = [replace(a, evaluation=a.evaluation.model_copy(update={"votes": _facts(a)})) for a in history]
        return super().next(plain, locked)


def _facts(attempt: Any) -> Dict[str, List[bool]]:
    return {name: [passed] * 3 for name, passed in attempt.evaluation.criteria_results.items()}


class Incurious(AdaptiveStrategy):
    """Takes the estimate for a fact: no credit for what is unknown."""

    curiosity = 0.0


PARTS: Mapping[str, Way] = {
    "all of it": ADAPTIVE,
    "no confirmation of a pass": replace(ADAPTIVE, looks=0),
    "only pictures with one failure again": replace(ADAPTIVE, worth_a_look=1),
    "votes taken for facts": replace(ADAPTIVE, strategy=Credulous),
    "no judge check": replace(ADAPTIVE, checks_judge=False),
    "no stop on a conflict": replace(ADAPTIVE, stops_on_conflict=False),
    "cfg stays": replace(ADAPTIVE, locked=("cfg",)),
    "rewritten prompts taken as they are": replace(ADAPTIVE, keeps_ledger=False),
    "only the last picture counts": replace(ADAPTIVE, strategy=LastPictureOnly),
    "no curiosity": replace(ADAPTIVE, strategy=Incurious),
    "seed kept while a change is tested": replace(ADAPTIVE, keeps_seed=True),
    "the spec's moves, passes confirmed": replace(SPEC, looks=5, shapes_first=True),
}


def one(job: Tuple[str, int, str, int]) -> Result:
    """A run, in whatever process: worlds are made anew there, as functions do not travel."""
    name, count, half, number = job
    world = worlds(count, half)[number]
    votes.WORTH_A_LOOK = {**WAYS, **PARTS}.get(name, ADAPTIVE).worth_a_look  # a constant, to be shown to earn its place
    if name == "perfect tuner":
        return perfect(world)
    return run(world, {**WAYS, **PARTS}[name])


def table(names: Sequence[str], count: int, half: str, pool: ProcessPoolExecutor) -> Dict[str, List[Result]]:
    """Every way in every world."""
    jobs = [(name, count, half, number) for name in names for number in range(count)]
    results = list(pool.map(one, jobs, chunksize=8))
    return {name: results[n * count : (n + 1) * count] for n, name in enumerate(names)}


def share(hits: Sequence[bool]) -> str:
    """A share with its 95 % interval (Wilson)."""
    n = max(1, len(hits))
    p, z = sum(hits) / n, 1.96
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    return f"{p:6.1%} ({max(0, low):.0%}-{high:.0%})"


def mean(values: Sequence[float]) -> Tuple[float, float]:
    """Mean and half its 95 % interval."""
    n = max(1, len(values))
    middle = sum(values) / n
    variance = sum((v - middle) ** 2 for v in values) / max(1, n - 1)
    return middle, 1.96 * math.sqrt(variance / n)


def lines(found: Mapping[str, List[Result]], chosen: Sequence[World]) -> List[str]:
    """The table's rows."""
    possible = [world.best()[2] >= POSSIBLE for world in chosen]
    limit = mean([r.pictures for r, p in zip(found["perfect tuner"], possible) if p])[0]
    rows = [
        f"{'':36} {'pictures':>13} {'of perfect':>10} {'truly all-pass':>18} {'false stops':>18} {'calls':>7}",
    ]
    for name, results in found.items():
        won = [r for r, p in zip(results, possible) if p]
        middle, half = mean([r.pictures for r in won])
        stops = [not r.truly for r in results if r.stopped]
        calls = mean([r.calls for r in won])[0]
        rows.append(
            f"{name:36} {middle:6.2f} ± {half:4.2f} {middle / limit:9.2f}x {share([r.stopped and r.truly for r in won]):>18} "
            f"{share(stops):>18} {calls:7.1f}"
        )
    return rows


def by(found: Mapping[str, List[Result]], chosen: Sequence[World], key: Callable[[World], str]) -> List[str]:
    """Pictures by kind of world or by law, of possible worlds; a conflict's row tells how often it was found."""
    groups: Dict[str, List[int]] = defaultdict(list)
    for n, world in enumerate(chosen):
        groups[key(world)].append(n)
    rows = [f"{'':22}" + "".join(f"{name[:16]:>18}" for name in found)]
    for group, members in groups.items():
        cells = [f"{mean([results[n].pictures for n in members])[0]:18.2f}" for results in found.values()]
        rows.append(f"{group:22}" + "".join(cells))
    return rows


def conflicts(results: Sequence[Result], chosen: Sequence[World]) -> str:
    """How often a conflict was found where there is one, and where there is none."""
    real = [r for r, w in zip(results, chosen) if w.best()[2] < POSSIBLE]
    none = [r for r, w in zip(results, chosen) if w.best()[2] >= POSSIBLE]
    pictures = mean([r.pictures for r in real if r.conflict])[0]
    return (
        f"conflicts found: {share([r.conflict for r in real])} of worlds where nothing can pass, after {pictures:.1f} pictures; "
        f"told wrongly in {share([r.conflict for r in none])} of the others"
    )


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="worlds in each half")
    parser.add_argument("--half", choices=["open", "held", "both"], default="both")
    parser.add_argument("--parts", action="store_true", help="switch parts off, one at a time")
    options = parser.parse_args(arguments)
    names = ["perfect tuner", *(PARTS if options.parts else WAYS)]
    with ProcessPoolExecutor() as pool:
        for half in ["open", "held"] if options.half == "both" else [options.half]:
            chosen = worlds(options.count, half)
            found = table(names, options.count, half, pool)
            print(f"\n{half} half: {len(chosen)} worlds, {len(KINDS)} kinds under {len(LAWS)} laws\n")
            print("\n".join(lines(found, chosen)))
            if not options.parts:
                print("\n" + "\n".join(by(found, chosen, lambda w: w.kind)))
                print("\n" + "\n".join(by(found, chosen, lambda w: w.law)))
            print("\n" + conflicts(found["all of it" if options.parts else "adaptive"], chosen), flush=True)


if __name__ == "__main__":
    main()
