"""Is the judge fit to judge? What it says of pictures whose verdicts are known beforehand, as warnings before picture 1.

The unedited original in the place of the result: what must stay has stayed, and at least one change is not made yet. The
same picture again: the same verdicts. A plain grey picture: nothing of what must stay. Pure, but for `try_judge`, which
asks (the pictures and the asking are `judge_trial`'s).
"""

from __future__ import annotations

import time
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .errors import UnreadableReply, VisionError
from .judge import Judge
from .judge_trial import Look, Trial
from .model import CallRecord, Criterion, JudgeCheck, Usage
from .store import Run

Votes = Mapping[str, Sequence[Optional[bool]]]
LEAST_ANSWERED = 0.5  # share of the verdicts
ANOTHER = "name another vision model in AIVis.yaml"
READABLE = "name a model that gives structured output in AIVis.yaml, or raise max_tokens there"
LARGER = "word their questions more narrowly, or name a larger model in AIVis.yaml"


class Doubt(NamedTuple):
    """What speaks against the judge or the rules, and what to do about it."""

    seen: str
    mend: str

    def __str__(self) -> str:
        return f"{self.seen}: {self.mend}"


# --- what follows from votes --------------------------------------------------------------------------------------------


def conclude(criteria: Sequence[Criterion], original: Votes, grey: Votes) -> List[str]:
    """Warnings, one line each: what was seen and what to do. Empty: nothing speaks against the judge.

    `original` holds a vote for each look at the unedited original, `grey` one for each at the grey picture. A judge that
    says nothing is told of alone: no more can be known of it.
    """
    silent = unanswered(original, grey)
    if silent:
        return [str(silent)]
    found = (
        says_yes(criteria, original, grey),
        cannot_see(criteria, original, grey),
        changes_its_mind(criteria, original),
        odd_preserve(criteria, original),
        already_there(criteria, original, grey),
    )
    return [str(doubt) for doubt in found if doubt]


def unanswered(*seen: Votes) -> Optional[Doubt]:
    """Most verdicts were left out."""
    votes = [vote for part in seen for each in part.values() for vote in each]
    none = votes.count(None)
    if not votes or len(votes) - none >= LEAST_ANSWERED * len(votes):
        return None
    mend = f"ask what can be seen in a picture, or {ANOTHER}"
    return Doubt(f"the judge left {none} of {len(votes)} verdicts unanswered", mend)


def says_yes(criteria: Sequence[Criterion], original: Votes, grey: Votes) -> Optional[Doubt]:
    """The grey picture passes everything, or every change is seen in both pictures, which have none.

    Where changes are all that is asked for ("darker"), grey may have them; a judge that missed one in the original can say no.
    """
    changes = _fields(criteria, "change")
    is_asked = any(c.type == "boolean" for c in criteria)  # a number within wide bounds is no yes
    says_no = len(changes) == len(criteria) and any(always(original, [field], False) for field in changes)
    if is_asked and not says_no and always(grey, [c.field for c in criteria], True):
        seen = f"a plain grey picture passed {_all_of(criteria)}"
    elif changes and always(original, changes, True) and always(grey, changes, True):
        seen = "it finds every change both in the unedited original and in a plain grey picture"
    else:
        return None
    return Doubt(f"the judge says yes to everything: {seen}, so its passes mean nothing", ANOTHER)


def cannot_see(criteria: Sequence[Criterion], original: Votes, grey: Votes) -> Optional[Doubt]:
    """The grey picture gets the original's verdicts, though some should differ: what must stay is not in it.

    Changes alone tell nothing, as neither picture has them; and a judge that says yes to everything is told of as that.
    """
    unsaid = [c.field for c in criteria if c.intent is None and always(original, [c.field], True)]
    pairs = [(majority(original.get(c.field, ())), majority(grey.get(c.field, ()))) for c in criteria]
    known = [(first, second) for first, second in pairs if first is not None and second is not None]
    if not known or not (_fields(criteria, "preserve") or unsaid) or says_yes(criteria, original, grey):
        return None
    if any(first is not second for first, second in known):
        return None
    seen = "the judge does not seem to see the picture: plain grey got the same verdicts as the original"
    return Doubt(seen, "name a model that takes images in AIVis.yaml")


def changes_its_mind(criteria: Sequence[Criterion], original: Votes) -> Optional[Doubt]:
    """Verdicts differ between looks at one picture."""
    fields = [c.field for c in criteria if len({v for v in original.get(c.field, ()) if v is not None}) > 1]
    if not fields:
        return None
    return Doubt(f"the judge changes its mind: {', '.join(fields)} got both verdicts for the same picture", LARGER)


def odd_preserve(criteria: Sequence[Criterion], original: Votes) -> Optional[Doubt]:
    """What must stay is not there to begin with, at any look."""
    fields = [f for f in _fields(criteria, "preserve") if always(original, [f], False)]
    if not fields:
        return None
    fails, it, its = ("fails", "it", "its question") if len(fields) == 1 else ("fail", "them", "their questions")
    seen = f"{', '.join(fields)} {fails} on the unedited original, so no edit can keep {it}"
    return Doubt(seen, f"put {its} in other words in rules.yaml")


def already_there(criteria: Sequence[Criterion], original: Votes, grey: Votes) -> Optional[Doubt]:
    """Every change is seen in the unedited original, by a judge that does not see it everywhere."""
    changes = _fields(criteria, "change")
    if not always(original, changes, True) or says_yes(criteria, original, grey):
        return None
    what = "the only change" if len(changes) == 1 else f"all {len(changes)} changes"
    seen = f"the unedited original already has {what} ({', '.join(changes)})"
    return Doubt(seen, "ask in rules.yaml for what it does not have yet, or how strongly")


def known(check: JudgeCheck, criteria: Sequence[Criterion]) -> List[Tuple[bool, Optional[bool]]]:
    """The check's votes, each after its truth: what the judge's error rates are estimated from.

    The grey picture keeps nothing of what must stay; what a change asks for ("darker") it may well show, so it tells
    nothing of changes. On the unedited original what must stay is true and a change is false, with one exception on either
    side: a single change that every look calls made may be there already, and a single
    preserve criterion that every look calls broken may ask for something that never was there. Their truth is not
    known, so their votes are left out. Two or more of them are no accident of the picture, and count as the judge's
    errors. Criteria without an intent tell nothing.
    """
    pairs: List[Tuple[bool, Optional[bool]]] = []
    for intent, truth in (("preserve", True), ("change", False)):
        fields = _fields(criteria, intent)
        odd = [field for field in fields if always(check.original, [field], not truth)]
        trusted = [field for field in fields if odd != [field]]
        pairs += [(truth, vote) for field in trusted for vote in check.original.get(field, ())]
    return pairs + [(False, vote) for field in _fields(criteria, "preserve") for vote in check.grey.get(field, ())]


def always(votes: Votes, fields: Sequence[str], verdict: bool) -> bool:
    """Say whether each of the fields got this verdict at every look that answered, and at one at least."""
    told = [[vote for vote in votes.get(field, ()) if vote is not None] for field in fields]
    return bool(told) and all(each and all(vote is verdict for vote in each) for each in told)


def majority(votes: Sequence[Optional[bool]]) -> Optional[bool]:
    """What most looks say; the first of them where they are equal, None where none answered."""
    told = [vote for vote in votes if vote is not None]
    if not told:
        return None
    yes = told.count(True)
    return told[0] if 2 * yes == len(told) else 2 * yes > len(told)


def _fields(criteria: Sequence[Criterion], intent: str) -> List[str]:
    return [c.field for c in criteria if c.intent == intent]


def _all_of(criteria: Sequence[Criterion]) -> str:
    return f"all {len(criteria)} criteria" if len(criteria) > 1 else "the only criterion"


# --- asking -------------------------------------------------------------------------------------------------------------

PLAN = (("original", 0), ("original", 1), ("grey", 0))  # which picture, and how often it was asked about before


def check_once(
    run: Run,
    judge: Judge,
    original: bytes,
    name: str,
    asking: Callable[[], None],
    clock: Callable[[], float],
    bookings: int = -1,
) -> Tuple[JudgeCheck, bool]:
    """The check of a run: from disk, else asked for now, and whether it was. One that failed, or was of another judge
    than `name`, is made again. `bookings`: how often the run's totals were written by now.
    """
    check = run.judge_check()
    if check is not None and check.aivis_metadata.success and check.judge == name:
        return check, False
    asking()
    check = try_judge(judge, original, name, clock).model_copy(update={"booked": bookings})
    run.write_judge_check(check)
    return check, True


def try_judge(judge: Judge, original: bytes, name: str = "", clock: Callable[[], float] = time.monotonic) -> JudgeCheck:
    """Put the original twice and the grey picture once before the judge. Never raises VisionError: that is a finding.

    `name` says who was asked, as configured. After an error no more is asked: the run has its own ways with a model that
    is not there.
    """
    trial = Trial(judge, original, clock)
    looks: List[Look] = []
    for shown, number in PLAN:
        looks.append(trial.look(shown, number))
        if looks[-1].trouble is not None:
            break
    return concluded(judge.rules.acceptance_criteria, looks, name)


def concluded(criteria: Sequence[Criterion], looks: Sequence[Look], name: str = "") -> JudgeCheck:
    """The looks as an artefact."""
    original, grey = votes_of(looks, "original"), votes_of(looks, "grey")
    trouble = next((look.trouble for look in looks if look.trouble is not None), None)
    warnings = conclude(criteria, original, grey) if original and grey else []
    return JudgeCheck(
        judge=name,
        original=original,
        grey=grey,
        warnings=warnings if trouble is None else [no_answer(trouble)],
        aivis_metadata=_call(looks),
        usage=sum((look.usage for look in looks), Usage()),
        seconds=round(sum(look.seconds for look in looks), 3),
    )


def votes_of(looks: Sequence[Look], shown: str) -> Dict[str, List[Optional[bool]]]:
    """Every vote on one of the pictures, by field, the first look first."""
    votes: Dict[str, List[Optional[bool]]] = {}
    for look in looks:
        if look.shown == shown:
            for field, vote in look.votes.items():
                votes.setdefault(field, []).append(vote)
    return votes


def no_answer(err: VisionError) -> str:
    """A warning of a judge that did not answer, or whose reply could not be read."""
    if is_unreadable(err):
        return str(Doubt(f"the judge gave no reply that can be read when it was tried ({err})", READABLE))
    hint = " | ".join(err.hint.splitlines())
    return f"the judge could not be tried, the run goes on without: {err}{f' ({hint})' if hint else ''}"


def is_unreadable(err: BaseException) -> bool:
    """Say whether a reply came and nothing in it could be used; `Vision.ask` wraps what the provider raised."""
    return isinstance(err, UnreadableReply) or isinstance(err.__cause__, UnreadableReply)


def _call(looks: Sequence[Look]) -> CallRecord:
    """One record of all looks: the last one's, and whether any went to the fallback."""
    calls = [look.call for look in looks if look.call is not None]
    if not calls:
        return CallRecord(provider="", model="", success=False, attempts=0)
    update = {"using_fallback": any(c.using_fallback for c in calls), "attempts": max(c.attempts for c in calls)}
    return calls[-1].model_copy(update={**update, "success": all(c.success for c in calls)})
