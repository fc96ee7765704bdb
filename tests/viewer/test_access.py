"""For everyone: axe finds nothing serious in either theme, everything is reached by keyboard, focus can be seen."""

from __future__ import annotations

from typing import Any, List

import pytest
from conftest import Site, unless_ci
from make_runs import WARNINGS, make_run

PAGES = ["#/", "#/house", "#/house/{run}", "#/house/{run}/2", "#/house/{run}/2/3", "#/house/{run}/rank", "#/house/none"]


def axe_source() -> str:
    try:
        import axe_playwright_python
    except ImportError:
        unless_ci("axe is not installed: pip install -e '.[dev]' (Python 3.9 or later)")
    from pathlib import Path

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_axe_finds_nothing_serious(disk: Site, theme: str, width: int) -> None:
    run = make_run(disk.root, "house", iterations=6, ranking=["3", "1"], hostile=False, warnings=WARNINGS)
    disk.expected = lambda text: "ERR_FILE_NOT_FOUND" in text
    source = axe_source()
    visit = disk.visit(None, color_scheme=theme, viewport={"width": width, "height": 800})
    found: List[str] = []
    for address in PAGES:
        page = visit.go(address.replace("{run}", run.run_id))
        page.wait_for_selector("main .card, main .panel, main .item, main .empty code")
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        page.evaluate(source)
        result: Any = page.evaluate("axe.run({resultTypes: ['violations'], preload: false})")
        for violation in result["violations"]:
            if violation["impact"] in ("serious", "critical"):
                found.append(
                    f"{address}: {violation['id']}: {violation['nodes'][0]['html'][:120]}: {violation['nodes'][0]['any'][:1]}"
                )
    assert found == []


@pytest.mark.parametrize("address", ["#/house/{run}", "#/house/{run}/2", "#/house/{run}/rank"])
def test_every_control_is_reached_by_tab_and_shows_its_focus(disk: Site, address: str) -> None:
    run = make_run(disk.root, "house", iterations=3, failed=[], ranking=["3", "1"])
    visit = disk.visit(address.replace("{run}", run.run_id))
    page = visit.page
    page.wait_for_selector("main .card, main .panel, main .item")
    visit.wait("document.querySelectorAll('main button, main a').length > 3")
    page.evaluate("(document.querySelector('.final') || {}).open = true")
    wanted = page.evaluate(
        """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
        .filter(each => each.checkVisibility() && !each.disabled && each.tabIndex >= 0).length"""
    )
    page.evaluate("document.activeElement.blur()")
    seen = set()
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        told = page.evaluate(
            """() => { const now = document.activeElement; if (now === document.body) return null;
            now.dataset.seen = now.dataset.seen || String(Math.random());
            const style = getComputedStyle(now);
            const visible = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
            return [now.dataset.seen, visible, now.outerHTML.slice(0, 80)]; }"""
        )
        if told is None:
            continue
        seen.add(told[0])
        assert told[1], f"no focus to be seen on {told[2]}"
    assert len(seen) >= wanted


def test_the_way_past_the_head_works(disk: Site) -> None:
    make_run(disk.root, "house", iterations=1)
    page = disk.visit("#/").page
    page.wait_for_selector(".card")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.url.endswith("#/")


def test_less_motion_is_honoured(disk: Site) -> None:
    make_run(disk.root, "house", iterations=1)
    page = disk.visit("#/", reduced_motion="reduce").page
    page.wait_for_selector(".card")
    assert page.eval_on_selector(".card", "each => getComputedStyle(each).transitionDuration") == "0s"
