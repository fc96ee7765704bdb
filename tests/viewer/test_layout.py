"""How pages look where that can be measured: no figure in two pieces, no empty column, pictures in their own shape."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest
from conftest import Site
from make_runs import make_project, make_run

from imagination.pages import read_head
from imagination.report import page as report_page
from imagination.report_read import read_run

MANY: List[Dict[str, Any]] = [
    {"field": f"{'a_very_long_name_of_a_field_that_goes_on_' if n % 3 == 0 else 'field_'}{n}", "question": "Is it so?"}
    for n in range(24)
]
LINES = """selector => [...document.querySelectorAll(selector)].map(each => {
  const range = document.createRange();
  range.selectNodeContents(each);
  return Math.round(range.getBoundingClientRect().height / parseFloat(getComputedStyle(each).lineHeight));
})"""


def test_no_figure_is_cut_in_two_on_a_phone(disk: Site) -> None:
    run = make_run(disk.root, "house", iterations=24, size=(64, 48))
    phone = {"viewport": {"width": 360, "height": 740}}
    page = disk.visit(f"#/house/{run.run_id}", **phone).page
    page.wait_for_selector("#grid > li:nth-child(24)")
    for what in ("#grid .name > *", "#grid .small dd"):
        found = page.evaluate(LINES, what)
        assert found and set(found) == {1}, what
    page = disk.visit(f"#/house/{run.run_id}/1/24", **phone).page
    page.wait_for_selector("table")
    assert set(page.evaluate(LINES, "td.figure")) == {1}


@pytest.mark.parametrize("width", [800, 1400])
def test_seeds_are_not_cut_in_two(disk: Site, width: int) -> None:
    run = make_run(disk.root, "house", iterations=2, failed=[], fallback=[])
    page = disk.visit(f"#/house/{run.run_id}/2", viewport={"width": width, "height": 800}).page
    page.wait_for_selector(".facts .changed b")
    assert set(page.evaluate(LINES, ".facts .changed b")) == {1}


def test_many_criteria_leave_no_column_empty(disk: Site) -> None:
    make_project(disk.root, "many", MANY)
    run = make_run(disk.root, "many", iterations=2, failed=[], fallback=[])
    page = disk.visit(f"#/many/{run.run_id}/2", viewport={"width": 1400, "height": 900}).page
    page.wait_for_selector(".verdicts li:nth-child(24)")
    right = "Math.max(...[...document.querySelectorAll('{}')].map(each => each.getBoundingClientRect().right))"
    for what in (".columns > .panel", ".verdicts li"):
        assert page.evaluate(right.format(what)) > 1300, what


@pytest.mark.parametrize("size", [(320, 200), (200, 320)])
def test_pictures_have_their_own_shape(disk: Site, size: Any) -> None:
    run = make_run(disk.root, "house", iterations=3, size=size, failed=[], fallback=[])
    visit = disk.visit("#/")
    shape = "document.querySelector('{0}').clientWidth / document.querySelector('{0}').clientHeight"
    visit.wait(f"Math.abs({shape.format('.pair img')} - {size[0] / size[1]}) < 0.3")
    visit.go(f"#/house/{run.run_id}")
    visit.page.wait_for_selector("#grid .thumb")
    visit.wait(f"Math.abs({shape.format('.hero img')} - {size[0] / size[1]}) < 0.03")
    assert visit.page.evaluate("document.querySelector('.hero').offsetHeight < 650")


def test_the_chart_marks_what_is_known_and_nothing_else(disk: Site) -> None:
    alone = make_run(disk.root, "alone", iterations=200, size=(32, 24), failed=[20, 22], fallback=[])
    page = disk.visit(f"#/alone/{alone.run_id}").page
    page.wait_for_selector(".line.score")
    assert page.locator(".dot.score").count() == 1  # iteration 21: a point that has no neighbour makes no line
    unjudged = make_run(disk.root, "unjudged", iterations=2, failed=[], fallback=[1, 2])
    page = disk.visit(f"#/unjudged/{unjudged.run_id}").page
    page.wait_for_selector(".line.denoise")
    assert page.locator(".canvas .best").count() == 0


def test_a_report_fits_a_phone(disk: Site) -> None:
    make_project(disk.root, "many", MANY)
    run = make_run(disk.root, "many", iterations=3, failed=[], fallback=[])
    path = disk.root / "report.html"
    path.write_text(report_page(read_run(run, read_head(run) or {})), encoding="utf-8")
    visit = disk.visit(None, viewport={"width": 360, "height": 740})
    visit.page.goto(path.as_uri())
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
    widths = visit.page.eval_on_selector_all("tbody th", "all => all.map(each => each.clientWidth)")
    assert min(widths) > 150
    visit.page.goto("about:blank")
    visit.go("#/")
