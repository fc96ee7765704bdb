"""What a run's head tells beside its state: how it ended, what the judge check found, who won the final comparison.

The two artefacts are small, and are looked up whenever a head is written: so a head that is made anew has them, too.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, Dict, Optional, TypeVar

from .errors import StoreError
from .model import Artefact, FinalComparison, JudgeCheck
from .store import Run

log = logging.getLogger(__name__)
Kind = TypeVar("Kind", bound=Artefact)
ENDING = ("ended_by", "ending")  # of the resume point
TEXT = 600  # characters of a warning or a reason that a head has room for
MOST = 50  # warnings, duels


def judge_check(run: Run) -> Optional[JudgeCheck]:
    """None where there is none that can be read."""
    return _read(run.judge_check)


def final_comparison(run: Run, status: Optional[str]) -> Optional[FinalComparison]:
    """The same; a run that went on after it, or was put back to before it, has none."""
    found = _read(run.final_comparison) if status == "exhausted" else None
    named = {*found.iterations, found.winner} if found else set()
    return found if all(run.image_file(iteration).is_file() for iteration in named) else None


def _read(read: Callable[[], Optional[Kind]]) -> Optional[Kind]:
    try:
        return read()
    except StoreError as err:
        log.info("left out of the page: %s", err)
        return None


def extras(run: Run, status: Optional[str]) -> Dict[str, Any]:
    """Both as a head has them; None where there is none."""
    check, final = judge_check(run), final_comparison(run, status)
    return {"judge_check": _check(check) if check else None, "final_comparison": _final(final) if final else None}


def _check(check: JudgeCheck) -> Dict[str, Any]:
    return {
        "original": check.original,
        "grey": check.grey,
        "warnings": [text[:TEXT] for text in check.warnings[:MOST]],
        "provider": check.aivis_metadata.provider,
        "model": check.aivis_metadata.model,
        "requests": check.usage.requests,
        "seconds": check.seconds,
    }


def _final(final: FinalComparison) -> Dict[str, Any]:
    duels = [duel.model_dump(mode="json") for duel in final.duels[:MOST]]
    return {
        "iterations": final.iterations,
        "duels": [{**duel, "reason": duel["reason"][:TEXT]} for duel in duels],
        "winner": final.winner,
        "requests": final.usage.requests,
    }
