"""A run that ends without a pass compares its best pictures side by side."""

from __future__ import annotations

import io
import json
from typing import Any, Dict, Optional

import pytest
from rich.console import Console
from scripted import ALL, HALF, NONE, Bench, ScriptedGenerator, ScriptedVision, picture

from imagination import page_rebuild, pages
from imagination.display import LiveDisplay, PlainDisplay
from imagination.model import Request

OTHER_HALF = {"is_red": False, "same_shape": True}


@pytest.fixture
def compared(bench: Bench) -> Bench:
    bench.rules(max_iterations=3, final_comparison=True)
    return bench


def output(bench: Bench) -> Dict[str, Any]:
    data: Dict[str, Any] = json.loads((bench.project.root / "output" / "output_metadata.json").read_text("utf-8"))
    return data


def likes(*pictures: bytes, **keys: Any) -> ScriptedVision:
    vision = ScriptedVision([HALF, NONE, OTHER_HALF], **keys)
    vision.likes = pictures
    return vision


def test_the_winner_of_the_duels_is_the_output(compared: Bench) -> None:
    lines, vision = [], likes(picture(60))
    outcome = compared.run(ScriptedGenerator(), vision, observer=PlainDisplay(lines.append))
    assert (outcome.checkpoint.status, outcome.checkpoint.best_iteration) == ("exhausted", 3)
    assert (compared.project.root / "output" / "output.png").read_bytes() == picture(60)
    told = output(compared)
    assert (told["iteration"], told["result"]) == (3, "best_so_far")
    assert (told["final_comparison"]["iterations"], told["final_comparison"]["winner"]) == ([1, 3, 2], 3)
    line = next(line for line in lines if "final comparison:" in line)
    assert "iteration 3 goes before iteration 1, which has the better score (6 duels: " in line
    assert vision.count("duel") == 6
    path = compared.store.run(outcome.checkpoint.run_id).root / "final_comparison.json"
    duels = json.loads(path.read_text(encoding="utf-8"))["duels"]
    assert [(d["first"], d["second"], d["better"]) for d in duels[:3]] == [(1, 3, 3), (3, 1, 3), (1, 2, None)]
    assert told["totals"]["usage"]["requests"] == len(vision.asked)


def test_a_winner_that_was_not_compared_is_asked_for_anew(compared: Bench) -> None:
    run_id = compared.run(ScriptedGenerator(), likes()).checkpoint.run_id
    path = compared.store.run(run_id).root / "final_comparison.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "winner": 99}), encoding="utf-8")
    checkpoint = compared.store.read_checkpoint()
    assert checkpoint is not None
    compared.store.write_checkpoint(checkpoint.model_copy(update={"status": "running"}))
    vision = likes(picture(60))
    outcome = compared.run(ScriptedGenerator(), vision)
    assert (vision.count("duel"), outcome.checkpoint.best_iteration) == (6, 3)


def test_a_duel_shows_the_original_and_both_pictures_with_what_is_wanted(compared: Bench) -> None:
    vision = likes()
    compared.run(ScriptedGenerator(), vision)
    asked = next(request for request in vision.asked if request.purpose == "duel")
    assert [p.png for p in asked.pictures] == [vision.asked[0].pictures[0].png, picture(20), picture(60)]
    assert "- Is it red? (wanted: yes)\n- Is the shape the same? (wanted: yes)" in asked.instruction
    assert "A car stands in a field." in asked.instruction
    assert list(asked.schema["properties"]) == ["reason", "better"]  # a model thinks in the order that it writes in


@pytest.mark.parametrize("place", ["first", "second", None])
def test_a_model_that_leans_to_one_place_leaves_it_to_the_scores(compared: Bench, place: Optional[str]) -> None:
    class Leaning(ScriptedVision):
        def better(self, request: Request) -> Optional[str]:
            return place

    outcome = compared.run(ScriptedGenerator(), Leaning([NONE, HALF, NONE]))
    assert outcome.checkpoint.best_iteration == 2


def test_without_an_answer_the_score_decides_and_that_is_said(compared: Bench) -> None:
    lines, vision = [], likes(picture(60), faults={"duel": 1})
    outcome = compared.run(ScriptedGenerator(), vision, observer=PlainDisplay(lines.append))
    assert outcome.checkpoint.best_iteration == 1
    assert "final_comparison" not in output(compared)
    warned = [line for line in lines if "warning:" in line]
    assert len(warned) == 1 and "could not be compared, the score decides" in warned[0]
    assert outcome.checkpoint.totals.usage.requests == len(vision.asked) - 1  # the one that failed told no usage


@pytest.mark.parametrize(
    ("keys", "verdicts", "why"),
    [
        ({"max_iterations": 1}, [HALF], "one picture"),
        ({"max_iterations": 3}, [HALF, NONE, ALL], "a pass"),
        ({"max_iterations": 3, "max_cost": 0.09}, [HALF, NONE], "no money left"),
        ({"max_iterations": 3, "final_comparison": False}, [HALF, NONE], "switched off"),
        ({"max_iterations": 3, "final_comparison": None, "strategy": "spec"}, [HALF, NONE], "the spec's strategy"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_there_is_no_comparison(bench: Bench, keys: Any, verdicts: Any, why: str) -> None:
    bench.rules(**{"final_comparison": True, **keys})
    vision = ScriptedVision(verdicts)
    bench.run(ScriptedGenerator(), vision)
    assert vision.count("duel") == 0


def test_there_is_no_comparison_on_money_that_was_spent_on_what_was_set_aside(bench: Bench) -> None:
    bench.run(ScriptedGenerator(), ScriptedVision([HALF, NONE]))  # 0.20 USD
    bench.rules(final_comparison=True, max_cost=0.22)
    vision = ScriptedVision([NONE])
    outcome = bench.run(ScriptedGenerator(), vision, resume_from=5)
    assert outcome.checkpoint.last_iteration == 5 and vision.count("duel") == 0


class SameAgain(ScriptedGenerator):
    """Makes the same picture each time."""

    def _made(self, png: bytes, prompt_id: str) -> Any:
        return super()._made(picture(20), prompt_id)


def test_the_same_picture_is_not_compared_with_itself(compared: Bench) -> None:
    vision = likes()
    outcome = compared.run(SameAgain(), vision)
    assert (vision.count("duel"), outcome.checkpoint.best_iteration) == (0, 1)


def test_a_run_killed_among_the_duels_ends_as_if_it_had_not_been(compared: Bench) -> None:
    class Killed(ScriptedVision):
        def better(self, request: Request) -> Optional[str]:
            if self.count("duel") == 3:
                raise KeyboardInterrupt
            return super().better(request)

    compared.run_stopped(ScriptedGenerator(), Killed([HALF, NONE, OTHER_HALF]))
    generator, vision = ScriptedGenerator(), likes(picture(60))
    outcome = compared.run(generator, vision)
    assert (generator.jobs, outcome.checkpoint.best_iteration, vision.count("duel")) == ([], 3, 6)


def test_a_run_killed_after_the_duels_does_not_ask_them_again(compared: Bench) -> None:
    outcome = compared.run(ScriptedGenerator(), likes(picture(60)))
    before = {"status": "running", "best_iteration": 1, "best_score": 50.0}
    compared.store.write_checkpoint(outcome.checkpoint.model_copy(update=before))
    vision = likes()
    again = compared.run(ScriptedGenerator(), vision)
    assert (vision.asked, again.checkpoint.best_iteration) == ([], 3)
    assert output(compared)["final_comparison"]["winner"] == 3


def test_a_run_that_goes_on_compares_anew_and_sets_the_old_result_aside(compared: Bench) -> None:
    run_id = compared.run(ScriptedGenerator(), likes(picture(60))).checkpoint.run_id
    compared.rules(max_iterations=4, final_comparison=True)
    vision = ScriptedVision([HALF])
    vision.likes = [picture(20)]
    outcome = compared.run(ScriptedGenerator(), vision)
    assert (outcome.checkpoint.run_id, outcome.checkpoint.best_iteration) == (run_id, 1)
    assert vision.count("duel") == 6
    assert len(list(compared.store.run(run_id).root.glob("superseded/*/final_comparison.json"))) == 1


def test_the_page_of_an_earlier_run_still_names_the_winner(compared: Bench) -> None:
    run_id = compared.run(ScriptedGenerator(), likes(picture(60))).checkpoint.run_id
    compared.run(ScriptedGenerator(), ScriptedVision([ALL]), reset=True)
    run = compared.store.run(run_id)
    pages.head_file(run).unlink()
    page_rebuild.rebuild(compared.store)
    head = pages.read_head(run)
    assert head is not None and (head["best_iteration"], head["best_score"]) == (3, 50.0)


def test_a_terminal_shows_the_outcome_in_its_own_line(compared: Bench) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    display = LiveDisplay(console)
    compared.run(ScriptedGenerator(), likes(picture(60)), observer=display)
    display.close()
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "final comparison: iteration 3 goes before iteration 1, which has the better score" in shown
