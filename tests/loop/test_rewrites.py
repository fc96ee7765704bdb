"""What a run tells of a rewrite of the prompts: what came of it, and why nothing did."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest
from scripted import GENERATION, NONE, Bench, ScriptedGenerator, ScriptedVision
from test_edits import Editor

from imagination.loop import Observer

PARTS = {"confirmations": 0, "judge_check": False, "final_comparison": False, "stop_on_conflict": False}
BEFORE = {"positive": "red paint, a car", "negative": "blurry, melted"}
FAILED = "(failed: is_red, same_shape)"


def told(
    bench: Bench, reply: Dict[str, str], before: Dict[str, str] = BEFORE, strategy: str = "adaptive"
) -> List[List[str]]:
    """What was said of the prompts after each of three pictures, the last one's aside."""
    bench.write("AIGen.yaml", {**GENERATION, "prompts": before})
    bench.rules(strategy=strategy, max_iterations=3, **PARTS)
    return said(bench, ScriptedVision([NONE], replies={"improvement": reply}))


def said(bench: Bench, vision: ScriptedVision, observer: Optional[Observer] = None) -> List[List[str]]:
    outcome = bench.run(ScriptedGenerator(), vision, observer=observer)
    return [[f"{m.what} ({m.why})" for m in each.decision if "prompt" in m.what] for each in outcome.history[:-1]]


def test_a_rewrite_that_says_the_same_brings_nothing_new(bench: Bench) -> None:
    assert told(bench, BEFORE) == [[f"prompts unchanged (the rewrite brought nothing new {FAILED})"]] * 2


def test_prompts_that_change_their_order_alone_are_not_called_shaped(bench: Bench) -> None:
    first, second = told(bench, BEFORE, {"positive": "a car, red paint, a car", "negative": "blurry, melted"})
    assert first == ["prompts put in order (what is to change stands first, and nothing twice)"]
    assert second == [f"prompts unchanged (the rewrite brought nothing new {FAILED})"]


def test_prompts_that_lacked_what_the_tags_require_are_called_shaped(bench: Bench) -> None:
    editor = Editor(bench, 1)
    editor.prompts = {"positive": "a steam engine"}
    bench.rules(strategy="adaptive", max_iterations=2, **PARTS)
    reply = {"positive": "a steam engine", "negative": "blurry"}
    (moves,) = said(bench, ScriptedVision([NONE], replies={"improvement": reply}), editor)
    assert moves == ["prompts shaped by the tags (what the rules require and ban stands in them again)"]


def test_what_a_rewrite_brought_and_length_shed_is_told_of(bench: Bench) -> None:
    mine = ", ".join(f"my own phrase {n}" for n in range(21))
    before = {**BEFORE, "positive": f"red paint, {mine}"}
    reply = {"positive": f"red paint, {mine}, thick coat, glossy", "negative": "blurry, melted"}
    unchanged = f"prompts unchanged (nothing of what the rewrite brought was taken {FAILED})"
    shed = "positive prompt: not added thick coat, glossy (past 60 words little is heard)"
    mine_alone = (
        "positive prompt has 86 words (past about 60 little of it is heard, but these are your own words and tags)"
    )
    assert told(bench, reply, before) == [[unchanged, shed, mine_alone]] * 2


@pytest.mark.parametrize(
    ("negative", "why"),
    [
        ("(A car:1.2)", "it stands in the other prompt"),
        ("(wax", "that is no phrase of a prompt"),
    ],
)
def test_what_the_ledger_refused_is_told_of(bench: Bench, negative: str, why: str) -> None:
    unchanged = f"prompts unchanged (nothing of what the rewrite brought was taken {FAILED})"
    moves = told(bench, {**BEFORE, "negative": f"blurry, melted, {negative}"})
    assert moves == [[unchanged, f"negative prompt: not added {negative} ({why})"]] * 2


def test_what_was_refused_is_told_of_beside_what_was_taken(bench: Bench) -> None:
    first, _ = told(bench, {**BEFORE, "negative": "blurry, melted, a car, wax"})
    assert first == [
        "negative prompt: added wax (for what failed: is_red, same_shape)",
        "negative prompt: not added a car (it stands in the other prompt)",
    ]


@pytest.mark.parametrize("strategy", ["adaptive", "spec"])
def test_a_rewrite_of_which_the_tags_leave_nothing_is_told_of(bench: Bench, strategy: str) -> None:
    moves: List[Any] = told(bench, {**BEFORE, "negative": "blurry, melted, red paint"}, strategy=strategy)
    assert moves == [[f"prompts unchanged (the tags leave nothing of what the rewrite brought {FAILED})"]] * 2


def test_a_text_that_runs_wild_is_told_by_its_beginning(bench: Bench) -> None:
    wild = ", ".join(f"{'words ' * 30}{n}" for n in range(20))
    first, _ = told(bench, {**BEFORE, "positive": f"red paint, a car, {wild}"})
    assert first[1].endswith("…, 12 more (that is no phrase of a prompt)") and len(first[1]) < 1000
