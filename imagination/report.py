"""A run as one HTML file that can be mailed and opened anywhere: no script, no network, pictures inside.

`page` makes the text from plain facts, which `report_read` takes from the artefacts. Pure.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .model import Answers, Comparison, Criterion, Evaluation, FinalComparison, JudgeCheck, Metadata, Question, Ranking
from .report_html import Child, Node, chart, el, facts, join, mark, number, shown, word_changes
from .report_style import STYLE
from .report_votes import check_section, confirmed, final_section, votes_of

BEST = 20  # pictures of that size; the others get their thumbnail, so that a long run can still be mailed


@dataclass(frozen=True)
class Item:
    """One iteration. `problem` says why something of it could not be read; `picture` is a data URI."""

    iteration: int
    metadata: Optional[Metadata] = None
    evaluation: Optional[Evaluation] = None
    comparison: Optional[Comparison] = None
    answers: Optional[Answers] = None
    picture: Optional[str] = None
    problem: Optional[str] = None

    @property
    def judged(self) -> bool:
        return self.evaluation is not None and self.evaluation.source == "aivis"

    @property
    def score(self) -> Optional[float]:
        return self.evaluation.overall_score if self.evaluation and self.judged else None

    def verdict(self, name: str) -> Optional[bool]:
        """Met, not met, or None: not answered."""
        if self.evaluation is None or not self.judged or name in self.evaluation.unanswered:
            return None
        return self.evaluation.criteria_results.get(name)


@dataclass(frozen=True)
class ReportRun:
    """What a report tells."""

    project: str
    run_id: str
    status: str
    criteria: Sequence[Criterion]
    questions: Sequence[Question]
    items: Sequence[Item]
    best: Optional[int] = None
    original: Optional[str] = None
    ranking: Optional[Ranking] = None
    totals: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    ending: Optional[str] = None
    check: Optional[JudgeCheck] = None
    final: Optional[FinalComparison] = None

    def item(self, iteration: Optional[int]) -> Optional[Item]:
        return next((each for each in self.items if each.iteration == iteration), None)


# --- the page -------------------------------------------------------------------------------------------------------------


def page(run: ReportRun) -> str:
    """The whole file."""
    style = Node(STYLE)
    allowed = base64.b64encode(hashlib.sha256(STYLE.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{allowed}'"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="referrer", content="no-referrer"),
        el("title", f"{run.project}, run {run.run_id}"),
        Node(f"<style>{style}</style>"),
    )
    body = el(
        "body", el("main", _top(run), _folded(run), _criteria(run), _chart(run), _ranking(run), _items(run), _foot(run))
    )
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n"


def _top(run: ReportRun) -> Node:
    best = run.item(run.best)
    pictures = [_figure(run.original, "Original", "The original")]
    if best is not None:
        told = f"score {number(best.score, 1)}" if best.judged else "not judged"
        label = f"Iteration {best.iteration}, {told}"
        pictures.append(_figure(best.picture, label, f"The best: iteration {best.iteration}"))
    return join(
        [
            el("h1", run.project, " ", el("small", run.run_id)),
            el("p", _result(run), class_="result"),
            el("p", el("b", "How it ended: "), run.ending, class_="ending") if run.ending else None,
            el("div", pictures, class_="pair"),
        ]
    )


def _result(run: ReportRun) -> str:
    best = run.item(run.best)
    state = {"running": "Still running", "exhausted": "Not passed", "stopped": "Stopped"}.get(run.status, "Not passed")
    if best is None or not best.judged:
        if not any(each.judged for each in run.items):
            return "No picture of this run was judged."
        if best is None:
            return f"{state}: no picture that was judged counts under the rules and the original in force."
        why = "was not judged" if best.evaluation else "has no verdict that can be read"
        return f"{state}: the best, iteration {best.iteration}, {why}."
    unmet = [c.field for c in run.criteria if best.verdict(c.field) is not True]
    if not unmet:
        return f"Passed: every criterion is met in iteration {best.iteration}."
    best_of_it = f"the best is iteration {best.iteration} with a score of {number(best.score, 1)}"
    return f"{state}: {best_of_it}. Unmet there: {', '.join(unmet)}."


def _folded(run: ReportRun) -> List[Child]:
    final = final_section(run.final) if run.final else None
    return [final, check_section(run.check, run.criteria) if run.check else None]


def _figure(picture: Optional[str], caption: str, alt: str) -> Node:
    shown_picture = el("img", src=picture, alt=alt) if picture else el("div", "no picture", class_="nopicture")
    return el("figure", shown_picture, el("figcaption", caption))


def _criteria(run: ReportRun) -> Node:
    best = run.item(run.best)
    judged = [each for each in run.items if each.judged]
    rows = []
    for criterion in run.criteria:
        met = sum(1 for each in judged if each.verdict(criterion.field) is True)
        reason = best.evaluation.reasons.get(criterion.field, "") if best and best.evaluation else ""
        tally = f"met in {met} of {len(judged)}" if met else "never met" if judged else ""
        rows.append(
            el(
                "tr",
                el("td", mark(best.verdict(criterion.field)) if best else None),
                el("th", criterion.field, el("span", criterion.question, class_="hint"), scope="row"),
                el("td", reason, class_="reason"),
                el("td", tally, class_=None if met or not judged else "never"),
            )
        )
    heads = el("tr", [el("th", name, scope="col") for name in ("Best", "Criterion", "Reason", "In all")])
    return el("section", el("h2", "Criteria"), el("table", el("thead", heads), el("tbody", rows)))


def _chart(run: ReportRun) -> Node:
    values: Dict[str, List[Optional[float]]] = {"score": [], "similarity": [], "denoise": []}
    for each in run.items:
        denoise = each.metadata.parameters_used.get("denoise") if each.metadata else None
        values["score"].append(None if each.score is None else each.score / 100)
        values["similarity"].append(each.comparison.similarity_score if each.comparison else None)
        values["denoise"].append(denoise if isinstance(denoise, (int, float)) else None)
    scores = [each.score for each in run.items if each.score is not None]
    told = f"scores from {number(min(scores), 1)} to {number(max(scores), 1)}" if scores else "no score"
    return el(
        "section",
        el("h2", "Over the iterations"),
        chart(values, f"Score, similarity and denoise over {len(run.items)} iterations: {told}."),
    )


def _ranking(run: ReportRun) -> Optional[Node]:
    if run.ranking is None or not (run.ranking.ranking or run.ranking.notes):
        return None
    places = [el("li", f"Iteration {n}", _note(run.ranking, n)) for n in run.ranking.ranking]
    others = [
        el("li", f"Iteration {n}: {note}") for n, note in run.ranking.notes.items() if n not in run.ranking.ranking
    ]
    rest = [el("p", "Not ranked:"), el("ul", others)] if others else None
    return el("section", el("h2", "Ranked by people"), el("ol", places), rest)


def _note(ranking: Ranking, iteration: str) -> Optional[str]:
    note = ranking.notes.get(iteration)
    return f": {note}" if note else None


def _items(run: ReportRun) -> Node:
    ordered = sorted(run.items, key=lambda each: (each.iteration != run.best, *_unjudged_last(each), each.iteration))
    hint = "Best first."
    if sum(1 for each in run.items if each.picture) > BEST:
        hint += f" Pictures beyond the best {BEST} are small, so that this file can be mailed."
    before = {each.iteration: run.item(each.iteration - 1) for each in run.items}
    return el(
        "section",
        el("h2", "Iterations"),
        el("p", hint, class_="hint"),
        [_item(run, each, before[each.iteration]) for each in ordered],
    )


def _unjudged_last(item: Item) -> Tuple[bool, float]:
    """The key of an order by score; a score of 0 comes before none."""
    return item.score is None, -(item.score or 0.0)


def _item(run: ReportRun, item: Item, before: Optional[Item]) -> Node:
    badges = [
        "★ best" if item.iteration == run.best else None,
        "failed" if item.metadata and item.metadata.status == "failed" else None,
        "not judged" if item.evaluation and not item.judged else None,
        "cannot be read" if item.problem else None,
        confirmed(item.evaluation),
    ]
    marks = [mark(item.verdict(c.field)) for c in run.criteria] if item.judged else None
    summary = el("summary", el("b", f"Iteration {item.iteration}"), el("span", f"score {number(item.score, 1)}"),
                 [el("span", each, class_="badge") for each in badges if each], el("span", marks, class_="marks"))  # fmt: skip
    parts: List[Child] = [el("p", item.problem, class_="error") if item.problem else None]
    if item.metadata and item.metadata.error:
        parts.append(el("p", item.metadata.error, class_="error"))
    if item.picture:
        parts.append(el("img", src=item.picture, alt=f"Iteration {item.iteration}", loading="lazy"))
    parts += [_verdicts(run, item), _compared(item), _asked(run, item), _made(item, before), _judged_by(item)]
    return el("details", summary, el("div", parts, class_="about"), open=item.iteration == run.best)


def _verdicts(run: ReportRun, item: Item) -> Optional[Node]:
    if item.evaluation is None:
        return None
    if not item.judged:
        return el("p", "No model could be asked: nothing is known of the criteria, and nothing was decided from them.")
    reasons, values = item.evaluation.reasons, item.evaluation.values
    rows = [
        el(
            "li",
            mark(item.verdict(c.field)),
            " ",
            el("b", c.field),
            _value(c, values.get(c.field)),
            votes_of(item.evaluation, c.field),
            el("span", reasons.get(c.field, ""), class_="hint"),
        )
        for c in run.criteria
    ]
    return join([el("h3", "Verdicts"), el("ul", rows, class_="plain")])


def _value(criterion: Criterion, value: object) -> Optional[Node]:
    return None if criterion.type == "boolean" or value is None else el("span", f" {shown(value)}")


def _compared(item: Item) -> Optional[Node]:
    if item.comparison is None:
        return None
    source = "measured from the pixels" if item.comparison.source == "measured" else "as the model sees it"
    likeness = f"Similarity {number(item.comparison.similarity_score)}, {source}."
    differences = el("ul", [el("li", each) for each in item.comparison.differences])
    return join([el("h3", "Against the original"), el("p", likeness), differences, el("p", item.comparison.analysis)])


def _asked(run: ReportRun, item: Item) -> Optional[Node]:
    if item.answers is None or not item.answers.answers:
        return None
    asked = {question.field: question.question for question in run.questions}
    return join(
        [
            el("h3", "Questions"),
            facts((asked.get(name, name), shown(value)) for name, value in item.answers.answers.items()),
        ]
    )


def _made(item: Item, before: Optional[Item]) -> Optional[Node]:
    if item.metadata is None:
        return None
    used, prompts = item.metadata.parameters_used, item.metadata.prompts_used
    earlier = before.metadata.prompts_used if before and before.metadata else prompts
    decided = [el("li", el("b", move.what.replace(" -> ", " → ")), f" – {move.why}") for move in item.metadata.decision]
    return join(
        [
            el("h3", "Settings"), facts((name, shown(value)) for name, value in used.items() if value is not None),
            el("h3", "Positive prompt"), word_changes(earlier.positive, prompts.positive),
            el("h3", "Negative prompt"), word_changes(earlier.negative, prompts.negative),
            join([el("h3", "Decided for the next one"), el("ul", decided)]) if decided else None,
        ]
    )  # fmt: skip


def _judged_by(item: Item) -> Optional[Node]:
    if item.metadata is None:
        return None
    call, usage = item.metadata.aivis_metadata, item.metadata.usage
    fallback = " (the fallback)" if call.using_fallback else ""
    told: List[Tuple[str, Child]] = [
        ("judged by", f"{call.provider} {call.model}{fallback}"),
        ("vision calls", usage.requests),
    ]
    told += [("cost", f"{usage.cost:.5f} USD")] if usage.cost is not None else []
    told += [(step, f"{number(seconds, 1)} s") for step, seconds in item.metadata.timings.items()]
    return facts(told)


def _foot(run: ReportRun) -> Node:
    usage = run.totals.get("usage") or {}
    told = [
        f"{run.totals.get('iterations', len(run.items))} iterations, {run.totals.get('failed', 0)} failed",
        f"{number(run.totals.get('seconds'), 0)} s",
        f"{usage.get('requests', 0)} vision calls",
    ]
    cost = usage.get("cost")
    told += [f"{cost:.4f} USD"] if isinstance(cost, (int, float)) else []
    return el("footer", f"{', '.join(told)}. Iterative Imagination {run.version}")
