"""Fingers and mouse on pictures: what moves the picture, what moves the page, what takes a picture along."""

from __future__ import annotations

from typing import Any, List, Tuple

import pytest
from conftest import Site
from make_runs import make_run

PHONE = {"has_touch": True, "is_mobile": True, "viewport": {"width": 400, "height": 800}}


class Fingers:
    """Up to two on the middle of the stage."""

    def __init__(self, page: Any) -> None:
        self.wire = page.context.new_cdp_session(page)
        box = page.locator(".box").bounding_box()
        self.x, self.y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def _send(self, kind: str, points: List[Tuple[float, float]]) -> None:
        told = [{"x": self.x + x, "y": self.y + y, "id": at} for at, (x, y) in enumerate(points)]
        self.wire.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": told})

    def move(self, *ways: Tuple[Tuple[float, float], Tuple[float, float]]) -> None:
        """Each finger from a point to a point, counted from the middle."""
        self._send("touchStart", [start for start, _ in ways])
        for step in range(1, 9):
            self._send(
                "touchMove", [(a[0] + (b[0] - a[0]) * step / 8, a[1] + (b[1] - a[1]) * step / 8) for a, b in ways]
            )
        self._send("touchEnd", [])


@pytest.mark.parametrize("mode", ["slider", "side", "after"])
def test_two_fingers_zoom_and_one_moves_the_picture(disk: Site, mode: str) -> None:
    run = make_run(disk.root, "house", iterations=3, failed=[], fallback=[])
    visit = disk.visit(f"#/house/{run.run_id}/2", **PHONE)
    page = visit.page
    page.wait_for_selector(".panel")
    page.tap(f"button[data-mode={mode}]")
    fingers = Fingers(page)
    fingers.move(((-20, 0), (-70, 0)), ((20, 0), (70, 0)))
    visit.wait("parseInt(document.querySelector('output.level').textContent) > 150")
    assert page.evaluate("window.visualViewport.scale") == 1
    place = "new DOMMatrix(document.querySelector('.pane.after img').style.transform).f"
    before, scrolled = page.evaluate(f"[{place}, window.scrollY]")
    fingers.move(((60, 30), (60, -15)))
    visit.wait(f"before => {place} < before - 10", before)
    assert page.evaluate("window.scrollY") == scrolled


def test_a_double_click_zooms_where_it_is_in_either_half(disk: Site) -> None:
    run = make_run(disk.root, "house", iterations=3, failed=[], fallback=[])
    visit = disk.visit(f"#/house/{run.run_id}/2")
    page = visit.page
    page.wait_for_selector(".panel")
    page.click("button[data-mode=side]")
    frame = page.locator(".pane.before").bounding_box()
    page.mouse.dblclick(frame["x"] + frame["width"] * 0.75, frame["y"] + frame["height"] / 2)
    x = page.evaluate("new DOMMatrix(document.querySelector('.pane.before img').style.transform).e")
    assert x == pytest.approx(-2 * 0.75 * frame["width"], abs=3)


def test_a_picture_is_ranked_by_dragging_it_and_still_opens_by_a_click(disk: Site) -> None:
    run = make_run(disk.root, "house", iterations=3, failed=[], fallback=[])
    page = disk.visit(f"#/house/{run.run_id}/rank").page
    page.wait_for_selector(".pool li:nth-child(3)")
    look = page.locator(".pool [data-iteration='2'] .look").bounding_box()
    place = page.locator(".ranking > section").first.bounding_box()
    page.mouse.move(look["x"] + 20, look["y"] + 20)
    page.mouse.down()
    page.mouse.move(place["x"] + 200, place["y"] + 60, steps=6)
    page.mouse.up()
    page.wait_for_selector(".item[data-iteration='2']")
    assert page.locator(".lightbox").count() == 0
    page.click(".item[data-iteration='2'] .look")
    page.wait_for_selector(".lightbox[open]")
