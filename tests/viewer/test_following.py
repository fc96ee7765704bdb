"""What stays as it is while the page follows a run: focus, selected words, pictures; and what must not stay."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Site
from make_runs import add_iteration, draw, file_of, make_run, make_workspace, supersede

CARDS = "#grid > li"


def running(site: Site, iterations: int = 5) -> Any:
    return make_run(site.root, "house", iterations=iterations, status="running", max_iterations=40)


def test_a_link_with_filters_counts_on_the_run_that_is_open(site: Site) -> None:
    run = make_run(site.root, "house", iterations=4)
    visit = site.visit(f"#/house/{run.run_id}")
    visit.page.wait_for_selector(CARDS)
    visit.page.evaluate("address => { window.location.hash = address; }", f"#/house/{run.run_id}?sort=denoise&order=up")
    visit.wait("document.querySelector('[data-key=sort]').value === 'denoise'")
    assert visit.page.input_value("[data-key=order]") == "up"


def test_what_is_selected_and_focused_on_an_iteration_stays(site: Site) -> None:
    run = running(site)
    visit = site.visit(f"#/house/{run.run_id}/5")
    page = visit.page
    page.wait_for_selector(".prompt")
    page.evaluate("window.getSelection().selectAllChildren(document.querySelector('.prompt'))")
    page.focus("button:has-text('Copy seed')")
    add_iteration(site.root, "house")
    page.wait_for_selector("a[rel=next]")  # the page has seen it
    assert page.evaluate("window.getSelection().toString()") != ""
    assert page.evaluate("document.activeElement.textContent") == "Copy seed"


def test_the_run_keeps_its_pictures_and_the_focus(site: Site) -> None:
    run = running(site)
    visit = site.visit(f"#/house/{run.run_id}")
    page = visit.page
    page.wait_for_selector(".hero img")
    page.evaluate("window.original = document.querySelector('.hero img')")
    page.focus(".status a")
    add_iteration(site.root, "house", failed=True)
    page.wait_for_selector(f"{CARDS}[data-iteration='6']")
    assert page.evaluate("window.original.isConnected")
    assert page.evaluate("document.activeElement.textContent") == "Rank the pictures"


def test_the_list_keeps_its_cards_and_the_focus(site: Site) -> None:
    make_workspace(site.root, [{"project": "other", "runs": [{"iterations": 2}]}])
    running(site)
    page = site.visit("#/").page
    page.wait_for_selector("a:has-text('other')")
    page.evaluate(
        "window.card = [...document.querySelectorAll('.card')].find(each => each.textContent.includes('other'))"
    )
    page.focus("h2 a:has-text('house')")
    page.evaluate("window.house = document.activeElement")
    make_run(site.root, "house", iterations=1, status="running")
    page.wait_for_selector(":text('2 runs')")
    assert page.evaluate("[window.card.isConnected, document.activeElement.textContent]") == [True, "house"]


def test_a_picture_that_was_made_again_is_shown(site: Site) -> None:
    run = running(site)
    visit = site.visit(f"#/house/{run.run_id}/5")
    page = visit.page
    page.wait_for_selector(".stage img")
    page.click(f"#crumbs a:has-text('{run.run_id}')")
    visit.wait(f"document.querySelector(\"{CARDS}[data-iteration='5'] img\")?.naturalWidth === 320")
    supersede(site.root, "house", 5)
    page.wait_for_selector(f"{CARDS}[data-iteration='5']", state="detached")
    add_iteration(site.root, "house")
    for kind in ("thumb", "image"):
        file_of(run, kind, 5).write_bytes(draw(5, (160, 120)))
    visit.wait(f"document.querySelector(\"{CARDS}[data-iteration='5'] img\")?.naturalWidth === 160")
    page.click(f"{CARDS}[data-iteration='5'] a.see")
    visit.wait("document.querySelector('.pane.after img')?.naturalWidth === 160")


def test_a_run_that_falls_silent_says_so(site: Site) -> None:
    run = running(site)
    visit = site.visit(None)
    visit.page.clock.install()
    page = visit.go(f"#/house/{run.run_id}")
    page.wait_for_selector(".status .badge:text-is('running')")
    page.clock.fast_forward(700_000)
    page.clock.run_for(11_000)
    page.wait_for_selector(".status .badge:has-text('no news since')")


@pytest.mark.parametrize("newer", [False, True])
def test_the_command_makes_this_picture_again_and_no_other(site: Site, newer: bool) -> None:
    run = make_run(site.root, "house", iterations=3, failed=[], fallback=[])
    if newer:
        make_run(site.root, "house", iterations=3)
    page = site.visit(f"#/house/{run.run_id}/2").page
    page.wait_for_selector("button:has-text('Copy command')")
    command = page.get_attribute("button:has-text('Copy command')", "title")
    # --resume-from works in the project's last run: for an older one it would throw away another run's pictures
    assert command == f"iterativectl run --project house {'--reset' if newer else '--resume-from 2'}"
    assert ("set aside" in page.inner_text("main")) is not newer
