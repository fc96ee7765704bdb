"""The state of a run as its artefacts tell it: where its resume point is damaged, gone, or has made way for a later run's."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any, Dict, List, Optional, Tuple

from typing_extensions import get_args

from .config import load_rules, rules_hash
from .disk import read_json
from .errors import ImaginationError, StoreError
from .holding import Yardstick
from .model import Checkpoint, EndedBy, Evaluation, Metadata, Rules, RunStatus
from .page_extras import ENDING
from .scoring import score_of
from .store import Run
from .tally import best_of_made, totals_of

log = logging.getLogger(__name__)
ENDS = get_args(EndedBy)
Known = List[Tuple[Metadata, Optional[Evaluation]]]


def recalled(run: Run, rules: Optional[Rules], known: Known) -> Checkpoint:
    """The state that `rules_of` a run and what is `readable` of it tell. What is not told by any artefact, as what was under
    way, is left out; what cannot be read counts as not there.
    """
    rules_sha256 = _in_force(known, rules)
    last = known[-1][0] if known else None
    input_sha256 = last.input_sha256 if last else ""
    begun, ending = _begun(run), _ending(run)
    totals = totals_of(metadata for metadata, _ in known)
    return Checkpoint(
        run_id=run.run_id,
        status="exhausted" if ending else _ended(run, known, rules, rules_sha256),
        **ending,
        last_iteration=max(run.iterations(), default=0),
        started_at=begun,
        updated_at=last.timestamp if last else begun,
        rules_sha256=rules_sha256,
        input_sha256=input_sha256,
        worked=totals.seconds,  # at least: what it waited and rested between is not told
        totals=totals,
        **_best(run, known, yardstick(rules_sha256, rules, input_sha256)),
    )


def rules_of(run: Run) -> Optional[Rules]:
    """The rules that the run kept; None where they cannot be read."""
    try:
        return load_rules(run.root / "inputs" / "rules.yaml").record
    except ImaginationError as err:
        log.info("run %s goes without its criteria: %s", run.run_id, err)
        return None


def readable(run: Run) -> Known:
    """Each iteration that can be read, with its verdict where that can be."""
    known: Known = []
    for number in run.iterations():
        with contextlib.suppress(StoreError):
            metadata = run.metadata(number)
            if metadata is not None:
                known.append((metadata, _evaluation(run, number)))
    return known


def yardstick(rules_sha256: str, rules: Optional[Rules], input_sha256: str) -> Yardstick:
    """What verdicts are measured by; without rules only those under the same whole count."""
    return Yardstick(rules_sha256, Yardstick.of(rules).criteria if rules else {}, input_sha256)


def _evaluation(run: Run, number: int) -> Optional[Evaluation]:
    with contextlib.suppress(StoreError):
        return run.evaluation(number)
    return None


def _best(run: Run, known: Known, measured_by: Yardstick) -> Dict[str, Any]:
    """By score, or as the final comparison has it."""
    found = {metadata.iteration: evaluation for metadata, evaluation in known}
    with contextlib.suppress(StoreError):
        final = run.final_comparison()
        winner = found.get(final.winner) if final else None
        if final and winner:
            return {"best_iteration": final.winner, "best_score": score_of(measured_by.seen(winner))}
    return best_of_made(known, measured_by)


def _ended(run: Run, known: Known, rules: Optional[Rules], rules_sha256: str) -> RunStatus:
    """Its output was put aside with it and tells whether it passed; else its last verdicts and its length do."""
    if _told(run).get("result") == "passed":
        return "passed"
    metadata, verdict = known[-1] if known else (None, None)
    if verdict is not None and verdict.all_pass and verdict.rules_sha256 == rules_sha256:
        return "passed"
    return "exhausted" if rules and metadata and metadata.iteration >= rules.project.max_iterations else "stopped"


def _ending(run: Run) -> Dict[str, Any]:
    """Why a run ended without a pass, as the output that was put aside with it tells; nothing where it does not."""
    told = _told(run)
    if told.get("ended_by") not in ENDS:
        return {}
    return {key: told[key] for key in ENDING if isinstance(told.get(key), str)}


def _told(run: Run) -> Dict[str, Any]:
    with contextlib.suppress(StoreError):
        return read_json(run.root / "output" / "output_metadata.json") or {}
    return {}


def _in_force(known: Known, rules: Optional[Rules]) -> str:
    """The rules whose verdicts count: those the run kept, or, where no verdict names them, those of the last verdict.

    (A later version of this program may put the same rules into another fingerprint.)
    """
    named = [evaluation.rules_sha256 for _, evaluation in known if evaluation]
    own = rules_hash(rules) if rules else ""
    return own if own in named or not named else named[-1]


def _begun(run: Run) -> float:
    """When a run was begun, in seconds since 1970: its id is that moment in local time, unless somebody has renamed it."""
    try:
        return time.mktime(time.strptime(run.run_id[:19], "%Y-%m-%d_%H-%M-%S"))
    except (ValueError, OverflowError):
        return run.root.stat().st_mtime
