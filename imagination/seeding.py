"""From a run's human ranking on disk to what seeds the next run. The arithmetic is `ranking`'s."""

from __future__ import annotations

from .errors import ConfigError, StoreError
from .model import RankingMode, Seeding
from .ranking import leading, seeding
from .store import Run, Store


def find_seeding(store: Store, run_id: str, mode: RankingMode) -> Seeding:
    """What a new run takes from the ranking of `run_id`, or of the newest run that has one ("latest").

    Raises ConfigError for an unknown run, StoreError for a ranking that is missing or broken, or that names an
    iteration without metadata or without a picture.
    """
    return _seeding_of(_chosen(store, run_id), mode)


def _chosen(store: Store, run_id: str) -> Run:
    runs = {run.run_id: run for run in store.runs()}
    if run_id == "latest":
        ranked = [run for run in runs.values() if run.ranking_file.is_file()]
        if not ranked:
            raise ConfigError(
                f"{store.project.name} has no run with a ranking", "rank the iterations of one in the viewer"
            )
        return ranked[-1]
    if run_id not in runs:
        have = ", ".join(list(runs)[-5:]) or "none"
        raise ConfigError(
            f"{store.project.name} has no run {run_id[:60]} (the newest: {have})", "use a run id, or latest"
        )
    return runs[run_id]


def _seeding_of(run: Run, mode: RankingMode) -> Seeding:
    ranking = run.ranking()
    try:
        chosen = leading(ranking, mode)
    except StoreError as err:
        raise StoreError(f"{run.ranking_file}: {err.message}", err.hint) from err
    found = {number: metadata for number in chosen if (metadata := run.metadata(number)) is not None}
    for number in chosen:
        fault = "has no metadata in this run" if number not in found else ""
        if number in found and found[number].status == "failed":
            fault = "made no picture"
        if fault:
            raise StoreError(f"{run.ranking_file} names iteration {number}, which {fault}", "rank the iterations again")
    return seeding(run.run_id, ranking, mode, found)
