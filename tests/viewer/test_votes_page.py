"""What is shown of votes, the judge check, the end of a run and the final comparison; and nothing of it where it is not."""

from __future__ import annotations

import json
from typing import Any, Dict, List

import pytest
from conftest import Site
from make_runs import HOSTILE, WARNINGS, add_iteration, file_of, finish_run, make_project, make_run

from imagination import pages

CARDS = "#grid > li"
MANY: List[Dict[str, Any]] = [
    {"field": f"field_{n}", "question": "Is it so?", "intent": ("change", "preserve")[n % 2]} for n in range(13)
]


def with_votes(run: Any, number: int, votes: Dict[str, Any], posteriors: Dict[str, Any], results: Any = None) -> None:
    """Put other votes into an iteration's script."""
    path = file_of(run, "script", number)
    data = pages.read_script(path)
    assert data is not None
    told = {"votes": votes, "posteriors": posteriors, "criteria_results": results or {}}
    pages.receive(path, {**data, "evaluation": {**data["evaluation"], **told}})


def line_of(page: Any, field: str) -> str:
    text: str = page.inner_text(f".verdicts li:has(b:text-is('{field}'))")
    return " ".join(text.split())


def test_each_look_is_a_mark_with_the_chance_and_what_it_came_to(site: Site) -> None:
    run = make_run(site.root, "house", iterations=2, failed=[], fallback=[], hostile=False)
    yes, no = True, False
    votes = {
        "warm_light": [yes, yes, None],
        "glowing_sky": [yes, no],
        "time_of_day": [no],
        "people_count": [yes, no, no],
        "house_kept": [None, None],
        "never_met_one": [no, no],
    }
    chances = {"warm_light": 0.9876, "glowing_sky": 0.5, "time_of_day": 0.1, "people_count": 0.011, "house_kept": 0.0}
    met = {"warm_light": True}
    with_votes(run, 2, votes, chances, met)
    page = site.visit(f"#/house/{run.run_id}/2").page
    page.wait_for_selector(".votes")
    for field, told in {
        "warm_light": "98.8 % likely met confirmed by 3 looks",
        "glowing_sky": "50 % likely met undecided after 2 looks, counted as failed",
        "time_of_day": "10 % likely met judged once",
        "people_count": "1.1 % likely met ruled out by 3 looks",
        "house_kept": "no answer in 2 looks",
        "never_met_one": "not met in 2 looks",
    }.items():
        assert told in line_of(page, field), field
    assert "likely met" not in line_of(page, "house_kept")  # of no answer no chance is known
    row = page.locator(".verdicts li:has(b:text-is('warm_light')) .ballots")
    assert row.get_attribute("aria-label") == "3 looks: met, met, not answered"
    assert row.locator(".ballot").all_inner_texts() == ["✓", "✓", "?"]


ODD = [None, [], "yes", {"warm_light": "yes"}, {"warm_light": []}, {"constructor": 3}, {"warm_light": [True]}]


@pytest.mark.parametrize("odd", ODD)
def test_votes_that_tell_nothing_new_are_not_shown_and_hide_nothing_else(disk: Site, odd: Any) -> None:
    run = make_run(disk.root, "house", iterations=2, failed=[], fallback=[])
    with_votes(run, 2, odd, odd)
    page = disk.visit(f"#/house/{run.run_id}/2").page
    page.wait_for_selector(".verdicts li:nth-child(6)")
    assert page.locator(".votes").count() == 0


def test_a_confirmed_pass_has_a_quiet_mark_and_its_calls(site: Site) -> None:
    run = make_run(site.root, "house", iterations=3, status="passed", failed=[], fallback=[])
    page = site.visit(f"#/house/{run.run_id}").page
    page.wait_for_selector(f"{CARDS}:nth-child(3)")
    assert "confirmed by 3 looks" in page.inner_text(f"{CARDS}[data-iteration='3']")
    assert page.locator(".confirmed").count() == 1
    assert "calls 5" in " ".join(page.inner_text(f"{CARDS}[data-iteration='3'] .small.facts").split())
    page.click(f"{CARDS}[data-iteration='3'] a.see")
    page.wait_for_selector(".facts dt:text-is('looks at the picture')")
    told = page.inner_text(".panel:has(h2:has-text('Who judged'))").split("\n")
    assert told[told.index("vision calls") + 1] == "5" and told[told.index("looks at the picture") + 1] == "3"


def test_moves_read_with_arrows(disk: Site) -> None:
    run = make_run(disk.root, "house", iterations=2, failed=[], fallback=[], hostile=False)
    script = pages.read_script(file_of(run, "script", 1))
    assert script is not None
    moves = [{"what": "denoise 0.5 -> 0.6", "why": "too timid"}, {"what": "seed kept", "why": ""}]
    script["metadata"]["decision"] = moves
    pages.receive(file_of(run, "script", 1), script)
    page = disk.visit(f"#/house/{run.run_id}/1").page
    lines = page.locator(".panel:has(h2:has-text('decided')) li")
    lines.first.wait_for()
    assert lines.all_inner_texts() == ["denoise 0.5 → 0.6 – too timid", "seed kept"]


# --- the run --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ended_by", "badge", "told"),
    [
        ("iterations", "out of iterations", "No picture of 4 passed"),
        ("conflict", "criteria in conflict", "warm_light and house_kept were never met together"),
        ("cost", "cost limit reached", "2.01 USD of 2 USD"),
        ("time", "time limit reached", "31 minutes of 30"),
    ],
)
def test_how_a_run_ended_is_told_on_its_page_and_in_the_list(site: Site, ended_by: Any, badge: str, told: str) -> None:
    run = make_run(site.root, "house", iterations=4, ended_by=ended_by, hostile=False)
    visit = site.visit(f"#/house/{run.run_id}")
    visit.page.wait_for_selector(f".status .badge:text-is('{badge}')")
    assert told in visit.page.inner_text(".ending")
    visit.go("#/house").wait_for_selector(f".card .badge:text-is('{badge}')")


def test_a_run_that_goes_on_says_nothing_of_an_end(site: Site) -> None:
    run = make_run(site.root, "house", iterations=3, status="running", max_iterations=5, failed=[])
    page = site.visit(f"#/house/{run.run_id}").page
    page.wait_for_selector(".check summary")
    assert page.locator(".ending, .final").count() == 0
    page.click(".check summary")
    page.focus(".check summary")
    add_iteration(site.root, "house")
    page.wait_for_selector(f"{CARDS}[data-iteration='4']")
    assert page.locator(".check[open]").count() == 1
    assert page.evaluate("document.activeElement.closest('.check') !== null")
    finish_run(site.root, "house")
    page.wait_for_selector(".ending")
    page.wait_for_selector(".final summary")


def test_the_judge_check_folds(site: Site) -> None:
    run = make_run(site.root, "house", iterations=3, warnings=WARNINGS, hostile=False)
    page = site.visit(f"#/house/{run.run_id}").page
    page.wait_for_selector(".check .badge:text-is('2 warnings')")
    assert WARNINGS[0] in page.inner_text(".check summary") and not page.is_visible(".check table")
    page.focus(".check summary")
    page.keyboard.press("Enter")
    page.wait_for_selector(".check table")
    assert all(text in page.inner_text(".check .warnings") for text in WARNINGS)
    row = page.locator(".check tbody tr:has(th:text('house_kept')) .ballots")
    labels = [each.get_attribute("aria-label") for each in row.all()]
    assert labels == ["2 looks: met, met", "1 look: not met"]


def test_the_final_comparison_names_winner_and_duels(site: Site) -> None:
    run = make_run(site.root, "house", iterations=4, failed=[], fallback=[], hostile=False)
    final = json.loads(file_of(run, "final_comparison").read_text(encoding="utf-8"))
    visit = site.visit(f"#/house/{run.run_id}")
    page = visit.page
    page.wait_for_selector(".final summary")
    assert f"iteration {final['winner']} is the output" in page.inner_text(".final summary")
    page.click(".final summary")
    assert page.locator(".contenders li").count() == 3 and page.locator(".duels li").count() == 6
    assert "preferred in 4 of 4" in page.inner_text(".contenders .won")
    duels = page.locator(".duels li").all_inner_texts()
    one, other = final["iterations"][:2]
    assert duels[0] == f"{one} against {other}: {one} is better – the light of {one} is warmer"
    assert "no preference" in duels[5]
    visit.wait("document.querySelector('.contenders img').naturalWidth > 0")
    page.click(".duels li:first-child a")
    page.wait_for_selector("h1:has-text('Iterations')")


@pytest.mark.parametrize("count", [12, 13])
def test_more_than_twelve_criteria_are_folded(disk: Site, count: int) -> None:
    make_project(disk.root, "many", MANY[:count])
    run = make_run(disk.root, "many", iterations=3, failed=[], fallback=[])
    page = disk.visit(f"#/many/{run.run_id}", viewport={"width": 1200, "height": 900}).page
    page.wait_for_selector(f"{CARDS}:nth-child(3)")
    folded = count > 12
    assert page.locator(".criteria li").count() == count
    assert page.is_visible(".criteria li:first-child") is not folded
    if folded:
        assert "13 criteria" in page.inner_text(".many summary")
        page.click(".many summary")
        assert page.is_visible(".criteria li:first-child")


def test_a_run_of_before_looks_as_before(site: Site) -> None:
    run = make_run(site.root, "house", iterations=3, adaptive=False, failed=[], fallback=[])
    for kind, data in (
        ("head", pages.read_script(file_of(run, "head"))),
        ("block", pages.read_script(file_of(run, "block", 1))),
    ):
        assert data is not None
        for new in ("judge_check", "final_comparison", "ended_by", "ending"):
            data.pop(new, None)
        for row in data.get("rows", []):
            for new in ("looks", "confirmed", "requests"):
                row.pop(new)
        pages.receive(file_of(run, kind, 1), data)
    visit = site.visit(f"#/house/{run.run_id}")
    page = visit.page
    page.wait_for_selector(f"{CARDS}:nth-child(3)")
    assert page.locator(".fold, .ending, .confirmed").count() == 0
    assert "calls" not in page.inner_text("#grid") and page.inner_text(".status .badge") == "out of iterations"
    visit.go(f"#/house/{run.run_id}/2").wait_for_selector(".verdicts")
    assert page.locator(".votes").count() == 0 and "looks" not in page.inner_text("main")


def test_odd_facts_in_a_head_hide_nothing_else(disk: Site) -> None:
    run = make_run(disk.root, "house", iterations=3)
    head = pages.read_script(file_of(run, "head"))
    assert head is not None
    for odd in ({"judge_check": 3, "final_comparison": "x", "ending": 5, "ended_by": ["cost"]},
                {"judge_check": {"warnings": 3, "original": [1], "grey": {"x": 5}}, "final_comparison": {"winner": 2}},
                {"final_comparison": {"winner": 2, "iterations": [2, "x"], "duels": [None, {"first": 2}, 3]},
                 "ended_by": "constructor"}):  # fmt: skip
        pages.receive(file_of(run, "head"), {**head, **odd})
        disk.visit(f"#/house/{run.run_id}").page.wait_for_selector(f"{CARDS}:nth-child(3)")


def test_hostile_words_of_check_end_and_duels_are_text_and_fit(site: Site) -> None:
    run = make_run(site.root, "x", iterations=4, failed=[], fallback=[], hostile=False)
    hostile = " ".join(HOSTILE)
    head = pages.read_script(file_of(run, "head"))
    assert head is not None
    head["ending"] = hostile
    head["judge_check"].update(warnings=[hostile], provider=hostile, model=hostile, original={hostile: [True]})
    for duel in head["final_comparison"]["duels"]:
        duel["reason"] = hostile
    pages.receive(file_of(run, "head"), head)
    visit = site.visit(f"#/x/{run.run_id}", viewport={"width": 360, "height": 740})
    page = visit.page
    page.wait_for_selector(".duels li", state="attached")
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.locator("main script, main iframe, main svg[onload], main [onerror]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for place in (".ending", ".warnings", ".duels", ".check table"):
        assert "<img src=x" in page.inner_text(place), place
