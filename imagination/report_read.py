"""The facts of a report, from a run's artefacts. What cannot be read of one iteration leaves a line for it; the rest stands."""

from __future__ import annotations

import base64
import shlex
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional

from pydantic import ValidationError

from . import __version__, images, pages
from .errors import ImaginationError, StoreError
from .model import Criterion, Frozen, Question, Ranking, RunStatus, Totals
from .page_extras import final_comparison, judge_check
from .reading import MAX_PICTURE, read_bytes
from .report import BEST, Item, ReportRun
from .store import Run

LARGE, SMALL = 1024, 480  # px: original and best; the next best


def read_run(run: Run, head: Mapping[str, Any]) -> ReportRun:
    """The facts of a run. `head` is what its run.js tells: criteria, state, best."""
    told = _told(run, head)
    best = told.best_iteration
    items = [_item(run, number) for number in run.iterations()]
    sides = _sides(items, best)
    return ReportRun(
        project=told.project,
        run_id=run.run_id,
        status=told.status,
        criteria=told.criteria,
        questions=told.questions,
        items=[_with_picture(run, item, sides.get(item.iteration, 0)) for item in items],
        best=best,
        original=_original(run),
        ranking=_ranking(run),
        totals=told.totals.model_dump(),
        version=__version__,
        ending=told.ending if told.status == "exhausted" else None,
        check=judge_check(run),
        final=final_comparison(run, told.status),
    )


class _Told(Frozen):
    """What of a head is used here."""

    project: str
    status: RunStatus
    criteria: List[Criterion]
    questions: List[Question]
    best_iteration: Optional[int]
    totals: Totals
    ending: Optional[str] = None


def _told(run: Run, head: Mapping[str, Any]) -> _Told:
    try:
        return _Told.model_validate({name: head.get(name) for name in _Told.model_fields})
    except ValidationError as err:
        path = pages.head_file(run)
        where = ".".join(str(part) for part in err.errors(include_url=False)[0]["loc"])
        raise StoreError(
            f"{path} is damaged at {where}", f"remove it, and it is made anew: rm {shlex.quote(str(path))}"
        ) from err


def _sides(items: List[Item], best: Optional[int]) -> Dict[int, int]:
    """How large each picture is shown, px; those not named get their thumbnail."""
    others = sorted((each for each in items if each.iteration != best), key=lambda each: -(each.score or -1))
    sides = {each.iteration: SMALL for each in others[: BEST - 1]}
    return {**sides, best: LARGE} if best is not None else sides


def _item(run: Run, iteration: int) -> Item:
    found: Dict[str, Any] = {}
    problems = []
    for name in ("metadata", "evaluation", "comparison", "answers"):
        try:
            found[name] = getattr(run, name)(iteration)
        except ImaginationError:
            problems.append(name)
    problem = f"This of it cannot be read: {', '.join(problems)}." if problems else None
    return Item(iteration, problem=problem, **found)


def _with_picture(run: Run, item: Item, side: int) -> Item:
    """`side` 0: the thumbnail, if there is one."""
    try:
        if side:
            png = run.read_image(item.iteration)
            return replace(item, picture=_uri(images.reduced(png, side))) if png else item
        thumb = pages.thumb_file(run, item.iteration)
        return replace(item, picture=_uri(read_bytes(thumb, MAX_PICTURE))) if thumb.is_file() else item
    except (ImaginationError, OSError):
        return replace(item, problem=" ".join(filter(None, [item.problem, "Its picture cannot be read."])))


def _original(run: Run) -> Optional[str]:
    path = run.root / "inputs" / "input.png"
    try:
        return _uri(images.reduced(read_bytes(path, MAX_PICTURE), LARGE)) if path.is_file() else None
    except (ImaginationError, OSError):
        return None


def _uri(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode('ascii')}"


def _ranking(run: Run) -> Optional[Ranking]:
    try:
        return run.ranking()
    except ImaginationError:
        return None
