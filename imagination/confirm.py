"""A pass is confirmed: a picture that seems to pass is judged again until every criterion is settled, one way or the other.

One verdict is noisy evidence, and a further look costs seconds where a picture costs minutes. Only what is still in doubt
is asked about. Asking is the caller's; when to ask, and what the votes come to, is decided here.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence

from .model import Evaluation, Usage
from .scoring import score
from .votes import Outlook, Vote, in_doubt, ruled_out, worth_another_look

Look = Callable[[int, Optional[Sequence[str]]], Evaluation]  # number of the look, fields to mark


def confirmed(first: Evaluation, look: Look, most: int, outlook: Outlook) -> Evaluation:
    """`first` with what up to `most` further looks add: votes, posteriors, and verdicts that follow from them.

    What `first` left out is asked for once more, alone, before anything else; without an answer it is not met. A picture
    that fails too much at first sight keeps its verdicts as they are. A criterion that is still in doubt at the end
    counts as failed. Raises what `look` raises: a picture that could not be confirmed is not judged at all.
    """
    votes = {name: list(cast) for name, cast in first.votes.items()}
    seen = [first]

    def look_again(number: int, fields: Sequence[str]) -> None:
        seen.append(look(number, fields))
        for name, cast in seen[-1].votes.items():
            votes[name].extend(cast)

    left_out = [name for name, cast in votes.items() if cast[0] is None]
    if left_out and most and worth_another_look({name: cast[0] is not False for name, cast in votes.items()}):
        look_again(1, left_out)
    skipped = len(seen) - 1  # a number, so that what was answered is confirmed in the second wording, not in the first
    posteriors = outlook.posteriors(votes)
    if worth_another_look({name: cast[-1] for name, cast in votes.items()}):
        while in_doubt(posteriors, votes) and not ruled_out(posteriors) and len(seen) <= most:
            look_again(len(seen) + skipped, in_doubt(posteriors, votes))
            posteriors = outlook.posteriors(votes)
    return _summed(seen, votes, posteriors)


def _summed(seen: Sequence[Evaluation], votes: Dict[str, List[Vote]], posteriors: Dict[str, float]) -> Evaluation:
    first = seen[0]
    results = _results(first, votes, posteriors)
    values, reasons = dict(first.values), dict(first.reasons)
    for each in seen[1:]:
        for name, value in each.values.items():
            if value is not None and each.criteria_results[name] is results[name]:  # the words that go with the verdict
                values[name] = value
                reasons[name] = each.reasons.get(name, reasons.get(name, ""))
    changes: Dict[str, Any] = {
        "criteria_results": results,
        "overall_score": score(results),
        "passed_fields": [name for name, passed in results.items() if passed],
        "failed_fields": [name for name, passed in results.items() if not passed],
        "unanswered": [name for name, cast in votes.items() if all(vote is None for vote in cast)],
        "values": values,
        "reasons": {name: text for name, text in reasons.items() if text},
        "votes": votes,
        "posteriors": {name: round(p, 4) for name, p in posteriors.items()},
        "usage": sum((each.usage for each in seen), Usage()),
        "aivis_metadata": first.aivis_metadata.model_copy(
            update={
                "using_fallback": any(each.aivis_metadata.using_fallback for each in seen),
                "attempts": max(each.aivis_metadata.attempts for each in seen),
            }
        ),
    }
    return first.model_copy(update=changes)


def _results(first: Evaluation, votes: Dict[str, List[Vote]], posteriors: Dict[str, float]) -> Dict[str, bool]:
    """Verdicts in the order of the rules. A full pass takes certainty of each; of a picture that fails, the likelier counts.

    Where nothing was confirmed, because too much failed or no look was left, the first answers stand; but for what was
    left out at first, an answer alone is no pass.
    """
    failing, doubtful = ruled_out(posteriors), in_doubt(posteriors, votes)

    def holds(name: str) -> bool:
        answers = [vote for vote in votes[name] if vote is not None]
        if len(answers) < 2:
            return answers == [True]
        return posteriors[name] > 0.5 if failing else name not in doubtful

    results = {name: holds(name) for name in first.criteria_results}
    if not all(results.values()):
        return results
    return {name: len(votes[name]) < 2 or name not in doubtful for name in results}
