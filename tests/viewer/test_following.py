"""What stays as it is while the page follows a run: focus, selected words, pictures; and what must not stay."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Site
from make_runs import add_iteration, draw, file_of, make_run, make_workspace, supersede

from imagination import pages

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
