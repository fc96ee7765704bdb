"""A report: what it tells, and that no text in it becomes markup."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, List, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagination.model import (
    Answers,
    CallRecord,
    Comparison,
    Criterion,
    Duel,
    Evaluation,
    FinalComparison,
    JudgeCheck,
    Metadata,
    Move,
    Prompts,
    Question,
    Ranking,
    Usage,
)
from imagination.report import Item, ReportRun, page
from imagination.report_html import chart, el, number, shown, word_changes
from imagination.report_votes import look_words, percent

CALL = CallRecord(provider="ollama", model="eyes", using_fallback=True)
PICTURE = "data:image/webp;base64,AAAA"


def item(iteration: int, text: str = "plain", met: bool = True, **how: Any) -> Item:
    evaluation = Evaluation(
        votes={"warm": [True, True, None], "calm": [False]}, posteriors={"warm": 0.988, "calm": 0.11},
        iteration=iteration, source="aivis", overall_score=100.0 if met else 50.0,
        criteria_results={"warm": True, "calm": met}, values={"warm": True, "calm": 0.75}, reasons={"warm": text},
        passed_fields=["warm"], failed_fields=[], unanswered=[], aivis_metadata=CALL,
    )  # fmt: skip
    comparison = Comparison(
        iteration=iteration,
        source="aivis",
        similarity_score=0.8,
        differences=[text],
        analysis=text,
        measured=0.7,
        aivis_metadata=CALL,
    )
    metadata = Metadata(
        iteration=iteration, timestamp=1.0, image_path="x", questions={},
        parameters_used={"denoise": 0.4, "sampler_name": text},
        evaluation={}, comparison={}, aivis_metadata=CALL, prompts_used=Prompts(positive=f"a house, {text}", negative=text),
        run_id="r",        status="ok", workflow_file="w", timings={"generation": 1.5}, usage=Usage(requests=3, cost=0.01),
        decision=[Move(what=text, why=text)],
    )  # fmt: skip
    answers = Answers(iteration=iteration, answers={"sky": text}, unanswered=[], aivis_metadata=CALL)
    return Item(iteration, metadata, evaluation, comparison, answers, **{"picture": PICTURE, **how})


def run(text: str = "plain", **how: Any) -> ReportRun:
    told: Any = {
        "project": text,
        "run_id": "2026-01-10_10-00-00",
        "status": "passed",
        "criteria": [
            Criterion(field="warm", question=f"? {text}"),
            Criterion(field="calm", question="Is it calm?", type="number"),
        ],
        "questions": [Question(field="sky", question=f"? {text}")],
        "items": [item(1, text, met=False), item(2, text)],
        "best": 2,
        "original": PICTURE,
        "ranking": Ranking(ranking=["2"], notes={"2": text, "1": text}),
        "totals": {"iterations": 2, "failed": 0, "seconds": 61.2, "usage": {"requests": 6, "cost": 0.02}},
    }
    told["ending"] = f"Over: {text}"
    told["check"] = JudgeCheck(
        original={"warm": [True, True], text: [None]}, grey={"calm": [False]}, warnings=[text], aivis_metadata=CALL
    )
    duels = [Duel(first=2, second=1, better=2, reason=text), Duel(first=1, second=2, better=None)]
    told["final"] = FinalComparison(iterations=[2, 1], duels=duels, winner=2, aivis_metadata=CALL)
    return ReportRun(**{**told, **how})


class Tags(HTMLParser):
    """The elements of a page with the names of their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: List[Any] = []
        self.words: List[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, sorted(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data!r}")


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("<>&\"'/=!-abc ;`$\\\n\x00\u202e"), min_size=1, max_size=30))
def test_no_text_becomes_markup(text: str) -> None:
    # one word in place of any number of them, for words are marked one by one
    plain = re.sub(r"[^\s,]+", "x", text)
    wanted, found = (Tags(page(run(each))).found for each in (plain, text))
    assert found == wanted


def test_no_script_and_no_address_is_in_it() -> None:
    text = page(run("https://evil.example <script>x</script>"))
    tags = {tag for tag, _ in Tags(text).found}
    assert not tags & {"script", "iframe", "object", "link", "form", "base"}
    sources = re.findall(r'\s(?:src|href)="([^"]*)"', text)
    assert sources and all(each.startswith("data:image/webp;base64,") for each in sources)


def test_the_policy_allows_the_style_that_is_in_it_and_nothing_else() -> None:
    text = page(run())
    style = text.split("<style>")[1].split("</style>")[0]
    allowed = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    assert f"default-src &#x27;none&#x27;; img-src data:; style-src &#x27;sha256-{allowed}&#x27;" in text
    assert " style=" not in text


def words(report: ReportRun) -> str:
    return " ".join(" ".join(Tags(page(report)).words).split())


def test_it_begins_with_the_result() -> None:
    assert "Passed: every criterion is met in iteration 2." in words(run())
    unmet = run(items=[item(1, met=False)], best=1, status="exhausted")
    assert "Not passed: the best is iteration 1 with a score of 50. Unmet there: calm." in words(unmet)
    assert "No picture of this run was judged." in words(run(items=[], best=None))


@pytest.mark.parametrize(
    ("best", "told"),
    [
        (None, "Stopped: no picture that was judged counts under the rules and the original in force."),
        (1, "Stopped: the best, iteration 1, has no verdict that can be read."),
        (2, "Stopped: the best, iteration 2, was not judged."),
    ],
)
def test_a_best_without_a_verdict_hides_no_other(best: Optional[int], told: str) -> None:
    items = [replace(item(1), evaluation=None), unjudged(2), item(3)]
    assert told in words(run(items=items, best=best, status="stopped"))


def test_everything_known_is_told() -> None:
    told = words(run("plain"))
    for part in ("met in 2 of 2", "met in 1 of 2", "Ranked by people", "Similarity 0.8", "generation", "1.5 s", "0.01000 USD",
                 "ollama eyes (the fallback)", "0.75", "2 iterations, 0 failed, 61 s, 6 vision calls, 0.0200 USD"):  # fmt: skip
        assert part in told, part


def test_the_best_comes_first_and_is_open() -> None:
    text = page(run())
    opened = re.findall(r"<details( open)?[^>]*><summary><b>Iteration (\d+)", text.replace('open=""', "open"))
    assert opened == [(" open", "2"), ("", "1")]


def unjudged(iteration: int) -> Item:
    made = item(iteration)
    assert made.evaluation is not None
    return replace(made, evaluation=made.evaluation.model_copy(update={"source": "fallback"}))


def test_a_run_that_nobody_judged_claims_no_verdict() -> None:
    told = words(run(items=[unjudged(1), unjudged(2)], best=1, status="stopped"))
    assert "No picture of this run was judged." in told and "Iteration 1, not judged" in told
    for claim in ("never met", "Unmet there", "score of"):
        assert claim not in told


def test_a_score_of_nothing_comes_before_no_score() -> None:
    nothing = item(3)
    assert nothing.evaluation is not None
    nothing = replace(nothing, evaluation=nothing.evaluation.model_copy(update={"overall_score": 0.0}))
    text = page(run(items=[unjudged(1), item(2), nothing]))
    assert re.findall(r"<summary><b>Iteration (\d+)", text) == ["2", "3", "1"]


def test_failed_unjudged_and_unreadable_iterations_say_so() -> None:
    failed = replace(item(1), evaluation=None, comparison=None, answers=None, picture=None)
    assert failed.metadata is not None
    failed = replace(failed, metadata=failed.metadata.model_copy(update={"status": "failed", "error": "out of memory"}))
    told = words(run(items=[failed, unjudged(2), Item(3, problem="This of it cannot be read: metadata.")], best=None))
    for part in (
        "out of memory",
        "failed",
        "not judged",
        "No model could be asked",
        "This of it cannot be read: metadata.",
    ):
        assert part in told, part


def test_words_that_came_and_went_are_marked() -> None:
    assert (
        word_changes("a house, fog", "a house, (sunset:1.2), fog")
        == '<p class="prompt">a house, <ins>(sunset:1.2),</ins> fog</p>'
    )
    assert word_changes("a", "b") == '<p class="prompt"><del>a</del> <ins>b</ins></p>'
    assert word_changes("", "") == '<p class="prompt"></p>'


def test_the_chart_leaves_gaps() -> None:
    picture = chart({"score": [0.5, None, 1.0, 0.2]}, "told")
    assert picture.count("M") == 2 and picture.count("<circle") == 3
    assert 'aria-label="told"' in picture
    assert chart({"score": []}, "told") == ""
    assert chart({"score": [0.5]}, "one").count("<circle") == 1


def test_values_are_shown_for_people() -> None:
    assert [number(each) for each in (1.0, 0.123456, 3, None, True, 0.0)] == ["1", "0.12", "3", "–", "–", "0"]
    assert [shown(each) for each in (None, True, False, 2.5, ["a", 1])] == ["no answer", "yes", "no", "2.5", "a, 1"]
    assert el("a", "<", [None, 1, ["&"]], class_='"') == '<a class="&quot;">&lt;1&amp;</a>'


@pytest.mark.parametrize(
    ("votes", "chance", "met", "words"),
    [
        ([True], 0.9, True, "judged once"),
        ([False], 0.1, False, "judged once"),
        ([None], None, False, ""),
        ([None, None], None, False, "no answer in 2 looks"),
        ([True, True, None], 0.98, True, "confirmed by 3 looks"),
        ([True, False, True], 0.9, True, "met in 2 of 3 looks"),
        ([True, False], 0.5, False, "undecided after 2 looks, counted as failed"),
        ([True], 0.9, False, "undecided after 1 look, counted as failed"),
        ([True, False, False, False], 0.012, False, "ruled out by 4 looks"),
        ([False, False], 0.03, False, "not met in 2 looks"),
    ],
)
def test_what_the_looks_at_a_criterion_came_to(votes: Any, chance: Any, met: bool, words: str) -> None:
    assert look_words(votes, chance, met) == words


def test_no_chance_is_told_as_sure() -> None:
    told = [percent(chance) for chance in (0.0, 0.0154, 0.333, 0.978, 0.99951, 1.0)]
    assert told == ["under 0.1 %", "1.5 %", "33 %", "97.8 %", "over 99.9 %", "over 99.9 %"]


def test_votes_check_end_and_final_comparison_are_told() -> None:
    told = words(run("plain"))
    for part in ("98.8 % likely met, confirmed by 3 looks", "11 % likely met, judged once", "How it ended: Over: plain",
                 "1 warning", "2 against 1: 2 is better – plain", "1 against 2: no preference", "2 is the output"):  # fmt: skip
        assert part in told, part
    assert page(run()).count(">confirmed by 3 looks</span>") == 1  # the badge of the one that passed


def test_a_run_of_before_has_none_of_it() -> None:
    old = [
        replace(each, evaluation=each.evaluation.model_copy(update={"votes": {"warm": [True]}, "posteriors": {}}))
        for each in (item(1, met=False), item(2))
        if each.evaluation
    ]
    told = words(run(items=old, ending=None, check=None, final=None))
    for part in ("likely met", "looks", "How it ended", "Judge check", "Final comparison", "confirmed"):
        assert part not in told, part
