"""Which verdicts hold under the rules in force: rules.yaml may change between two processes of a run. Pure.

It is said criterion by criterion: one that is asked in other words, or within other bounds, makes its own old verdicts
history and leaves those of the others as they are. Tags say what is made and helper questions make the model look
closely: neither changes what a verdict means. Another original changes all of it: likeness, and what is to be kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Collection, Dict, Mapping

from .config import criterion_hash, rules_hash
from .model import Attempt, Evaluation, Rules
from .scoring import score

ANOTHER = "another original"  # no fingerprint of any rules


@dataclass(frozen=True)
class Yardstick:
    """What is measured by: the rules as a whole, and each criterion by its field, as fingerprints.

    An evaluation of an older version of this program names only the whole, and holds where that is the same.
    """

    rules_sha256: str
    criteria: Mapping[str, str]
    input_sha256: str = ""  # of the original; "": any

    @classmethod
    def of(cls, rules: Rules, input_sha256: str = "") -> Yardstick:
        criteria = {c.field: criterion_hash(c) for c in rules.acceptance_criteria}
        return cls(rules_hash(rules), criteria, input_sha256)

    def made_from(self, input_sha256: str) -> Yardstick:
        """The yardstick for a picture that was made from this original ("": not known): of another's, nothing holds."""
        is_same = not self.input_sha256 or input_sha256 in ("", self.input_sha256)
        return self if is_same else Yardstick(ANOTHER, {})

    def holds(self, evaluation: Evaluation) -> bool:
        """Say whether every criterion in force was judged as it is asked now."""
        if evaluation.rules_sha256 == self.rules_sha256:
            return True
        return bool(self.criteria) and all(self._is_same(evaluation, field) for field in self.criteria)

    def seen(self, evaluation: Evaluation) -> Evaluation:
        """An evaluation with the verdicts that hold, and no others; of one without any, nothing is judged.

        The score is the share of the criteria in force: one that was not judged is not known to be met.
        """
        if evaluation.rules_sha256 == self.rules_sha256:
            return evaluation
        kept = [f for f in self.criteria if f in evaluation.criteria_results and self._is_same(evaluation, f)]
        results = {field: evaluation.criteria_results[field] for field in kept}
        changes: Dict[str, Any] = {
            "source": evaluation.source if kept else "fallback",
            "overall_score": score({f: results.get(f, False) for f in self.criteria}) if self.criteria else 0.0,
            "criteria_results": results,
            "passed_fields": [field for field in kept if results[field]],
            "failed_fields": [field for field in kept if not results[field]],
            "unanswered": [field for field in kept if field in evaluation.unanswered],
            **{
                name: _only(kept, getattr(evaluation, name))
                for name in ("values", "reasons", "votes", "posteriors", "criteria_sha256")
            },
        }
        return evaluation.model_copy(update=changes)

    def told_by(self, attempt: Attempt) -> Attempt:
        """A picture with the verdicts that hold."""
        return replace(attempt, evaluation=self.seen(attempt.evaluation))

    def _is_same(self, evaluation: Evaluation, field: str) -> bool:
        return evaluation.criteria_sha256.get(field) == self.criteria[field]


def _only(fields: Collection[str], by_field: Mapping[str, Any]) -> Dict[str, Any]:
    return {field: value for field, value in by_field.items() if field in fields}
