"""Strategies in the real loop, over HTTP with the built-in engines: `python tests/benchmarks/engines.py`.

Prints a table for the built-in judge as it is, which is never wrong, and one for the same judge with a share of its
verdicts turned round (`--noise`); below each, every two strategies run by run (engine_pairs.py). `--runs N` of each strategy
from each start in each case (engine_runs.py).
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from engine_pairs import Found, duels, order
from engine_runs import CASES, STARTS, STRATEGIES, Job, Result, jobs, run
from worlds import mean, share


def _begin(folder: str) -> None:
    """What a process that runs jobs needs: its engines' files where they are removed in the end, and silence."""
    tempfile.tempdir = folder
    logging.getLogger("imagination").addHandler(logging.NullHandler())


def measured(chosen: Sequence[Job], processes: int) -> Dict[Job, Result]:
    """Every run."""
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(processes, None, _begin, (folder,)) as pool:
        return dict(zip(chosen, pool.map(run, chosen)))


def lines(found: Found) -> List[str]:
    """The table's rows."""
    head = f"{'':16} {'pictures':>13} {'passed':>18} {'truly all-pass':>18} {'false stops':>18}"
    rows = [f"{head} {'a true pass':>12} {'requests':>8}"]
    for strategy in STRATEGIES:
        results = [result for job, result in found.items() if job.strategy == strategy]
        middle, half = mean([r.pictures for r in results])
        shares = [share(hits) for hits in ([r.passed for r in results], [r.truly for r in results], _false(results))]
        price = sum(r.pictures for r in results) / max(1, sum(r.truly for r in results))
        cells = f"{middle:6.2f} ± {half:4.2f} {shares[0]:>18} {shares[1]:>18} {shares[2]:>18} {price:12.2f}"
        rows.append(f"{strategy:16} {cells} {mean([r.requests for r in results])[0]:8.1f}")
    return rows


def _false(results: Sequence[Result]) -> List[bool]:
    return [not r.truly for r in results if r.passed]


def by(found: Found, key: Callable[[Job], str]) -> List[str]:
    """Pictures, and the share of true passes, by case or by start."""
    groups: Dict[str, Dict[str, List[Result]]] = defaultdict(lambda: defaultdict(list))
    for job, result in found.items():
        groups[key(job)][job.strategy].append(result)
    rows = [f"{'':16}" + "".join(f"{strategy:>18}" for strategy in STRATEGIES)]
    for group, of in groups.items():
        rows.append(f"{group:16}" + "".join(_cell(of[strategy]) for strategy in STRATEGIES))
    return rows


def _cell(results: Sequence[Result]) -> str:
    return f"{mean([r.pictures for r in results])[0]:12.2f}{mean([r.truly for r in results])[0]:6.0%}"


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each strategy from each start in each case")
    parser.add_argument("--noise", type=float, default=0.1, help="share of the noisy judge's verdicts that are wrong")
    parser.add_argument("--case", choices=list(CASES), action="append", help="only this one; may be given again")
    parser.add_argument("--start", choices=STARTS, action="append", help="only this one; may be given again")
    options = parser.parse_args(arguments)
    names, starts = options.case or list(CASES), options.start or STARTS
    chosen = jobs(names, starts, [0.0, options.noise], options.runs)
    found = measured(chosen, os.cpu_count() or 1)
    for noise in dict.fromkeys(job.noise for job in chosen):
        told = f"{noise:.0%} of the verdicts wrong at random" if noise else "the judge as it is, never wrong"
        part = {job: result for job, result in found.items() if job.noise == noise}
        print(f"\n{told}: cases {len(names)}, starts {len(starts)}, runs of each {options.runs}\n")
        print("\n".join([*lines(part), "", *duels(part), order(part), ""]))
        print("\n".join([*by(part, lambda job: job.case), "", *by(part, lambda job: job.start)]))


if __name__ == "__main__":
    main()
