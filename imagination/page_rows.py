"""What the viewer's grid and chart show of an iteration, as one row. Pure.

Rows lie in blocks of fifty (`scripts/block_K.js`), so that a page opens a run of 500 iterations with ten small files, and
so that writing an iteration costs the same however long the run is.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional

from .model import Comparison, Evaluation, Metadata

ROWS = 50  # iterations of a block
ERROR = 200  # characters of an error that a row has room for


def block_of(iteration: int) -> int:
    """The number of the block, from 1, that an iteration's row is in."""
    return (iteration - 1) // ROWS + 1


def numbers_in(block: int) -> range:
    """The iterations whose rows a block holds."""
    return range((block - 1) * ROWS + 1, block * ROWS + 1)


def row(metadata: Metadata, evaluation: Optional[Evaluation], comparison: Optional[Comparison]) -> Dict[str, Any]:
    """One iteration as plain JSON; `viewer/README.md` has the keys."""
    judged = evaluation is not None and evaluation.source == "aivis"
    call = metadata.aivis_metadata
    return {
        "iteration": metadata.iteration,
        "status": metadata.status,
        "error": metadata.error[:ERROR] if metadata.error else None,
        "picture": metadata.image_path is not None,
        "source": evaluation.source if evaluation else None,
        "score": evaluation.overall_score if evaluation and judged else None,
        "similarity": comparison.similarity_score if comparison else None,
        "similarity_source": comparison.source if comparison else None,
        "results": results(evaluation),
        "looks": looks(evaluation),
        "confirmed": evaluation is not None and evaluation.all_pass and looks(evaluation) > 1,
        "requests": metadata.usage.requests,
        "parameters": metadata.parameters_used,
        "timestamp": metadata.timestamp,
        "seconds": round(sum(metadata.timings.values()), 3),
        "provider": call.provider,
        "model": call.model,
        "using_fallback": call.using_fallback,
    }


def results(evaluation: Optional[Evaluation]) -> Dict[str, Optional[bool]]:
    """Met, not met, or None for a criterion without an answer."""
    if evaluation is None:
        return {}
    return {
        field: None if field in evaluation.unanswered else met for field, met in evaluation.criteria_results.items()
    }


def looks(evaluation: Optional[Evaluation]) -> int:
    """How often the judge looked at the picture; 0 where no votes were kept."""
    return max(map(len, evaluation.votes.values()), default=0) if evaluation else 0


def with_row(rows: Iterable[Dict[str, Any]], new: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The rows of a block with `new` in the place of an earlier one of its iteration."""
    kept = [each for each in rows if each.get("iteration") != new["iteration"]]
    return sorted([*kept, new], key=lambda each: int(each["iteration"]))
