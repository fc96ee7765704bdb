"""What is shown: the newest run at once, lists, the grid and its filters, the chart, one iteration, two."""

from __future__ import annotations

from typing import Any, List
from urllib.parse import quote

import pytest
from conftest import Site
from make_runs import add_iteration, file_of, finish_run, make_project, make_run, make_workspace, rejudge, supersede

from imagination.pages import read_script

CARDS = "#grid > li"


def numbers(page: Any) -> List[int]:
    found: List[int] = page.eval_on_selector_all(CARDS, "all => all.map(each => Number(each.dataset.iteration))")
    return found


def test_the_newest_run_is_there_at_once(site: Site) -> None:
    make_workspace(site.root)
    page = site.visit().page
    page.wait_for_selector(CARDS)
    assert "/garden/" in page.url and "running" in page.inner_text(".status")
    assert numbers(page) == [5, 4, 3, 2, 1]
    assert page.inner_text("h1").startswith("garden")


def test_an_empty_workspace_says_how_to_begin(site: Site) -> None:
    page = site.visit().page
    page.wait_for_selector(".empty code")
    assert "iterative_imagination.py --project demo" in page.inner_text("main")
    site.expected = lambda text: "index.js" in text or "404" in text or "ERR_FILE_NOT_FOUND" in text


def test_an_empty_project_says_how_to_run_it(site: Site) -> None:
    make_workspace(site.root, ["alone"])
    page = site.visit("#/alone").page
    page.wait_for_selector(".empty")
    assert "iterativectl run --project alone" in page.inner_text("main")


def test_projects_and_runs_are_listed_newest_first(site: Site) -> None:
    make_workspace(site.root)
    visit = site.visit("#/")
    page = visit.page
    page.wait_for_selector(".card.lead")
    assert page.eval_on_selector_all(".card.lead h2 a", "all => all.map(each => each.textContent)")[0] == "garden"
    visit.wait("document.querySelector('.card.lead img').naturalWidth > 0")
    assert "Never met so far: never_met_one" in page.inner_text("main")
    page.click("text=garden")
    page.wait_for_selector("h1:has-text('garden')")
    page.wait_for_selector(".card.lead:nth-child(3)")
    runs = page.eval_on_selector_all(".card.lead h2 a", "all => all.map(each => each.textContent)")
    assert runs == sorted(runs, reverse=True) and len(runs) == 3


@pytest.mark.parametrize("name", ["café 50% #1 [x]", "a&b=c", "100%25", "%2e%2e", "ünïcode 日本"])
def test_any_name_of_a_project_can_be_linked(site: Site, name: str) -> None:
    run = make_run(site.root, name, iterations=2)
    page = site.visit(f"#/{quote(name, safe='')}/{run.run_id}/2").page
    page.wait_for_selector(".stage")
    assert page.inner_text("h1") == "Iteration 2"
    page.click(".crumbs a:has-text('" + name.replace("'", "\\'") + "')")
    page.wait_for_selector(".card.lead")


@pytest.mark.parametrize("address", ["#/../..", "#/%2e%2e/{run}", "#/house/..", "#/./{run}", "#/%2E./%2e%2e/1/rank"])
def test_no_address_leads_out_of_the_projects(site: Site, address: str) -> None:
    run = make_run(site.root, "house", iterations=2)
    (site.root / "run.js").write_text("window.pwned = 1;", encoding="utf-8")
    (site.root / "projects" / "house" / "run.js").write_text("window.pwned = 2;", encoding="utf-8")
    visit = site.visit(address.replace("{run}", run.run_id))
    visit.page.wait_for_selector("h1:has-text('Projects')")
    allowed = (
        f"{site.base}/viewer/",
        f"{site.base}/projects/index.js",
        f"{site.base}/projects/house/",
        "about:",
        "data:",
    )
    assert [url for url in visit.requests if not url.startswith(allowed)] == []


def test_what_is_not_there_says_so(site: Site) -> None:
    run = make_run(site.root, "house", iterations=2)
    visit = site.visit("#/house/2001-01-01_00-00-00")
    visit.page.wait_for_selector("text=There is no run 2001-01-01_00-00-00")
    visit.go(f"#/house/{run.run_id}/9").wait_for_selector("text=The run has no iteration 9 yet")
    visit.go("#/nobody").wait_for_selector("text=There is no project called nobody")
    site.expected = lambda text: "404" in text or "ERR_FILE_NOT_FOUND" in text


def test_back_restores_place_and_page(site: Site) -> None:
    run = make_run(site.root, "house", iterations=40)
    visit = site.visit(f"#/house/{run.run_id}")
    page = visit.page
    page.wait_for_selector(f"{CARDS}:nth-child(40)")
    card = page.locator(f"{CARDS}[data-iteration='3'] a.see")
    card.scroll_into_view_if_needed()
    before = page.evaluate("window.scrollY")
    assert before > 500
    card.click()
    page.wait_for_selector(".stage")
    assert page.evaluate("window.scrollY") == 0
    page.go_back()
    page.wait_for_selector(CARDS)
    visit.wait("before => Math.abs(window.scrollY - before) < 5", before)
    page.go_forward()
    page.wait_for_selector(".stage")


# --- many, broken, growing ------------------------------------------------------------------------------------------------


def test_five_hundred_iterations_load_few_pictures(site: Site) -> None:
    run = make_run(site.root, "long", iterations=500, size=(64, 48))
    visit = site.visit(f"#/long/{run.run_id}")
    page = visit.page
    page.wait_for_selector(f"{CARDS}:nth-child(500)", state="attached")
    thumbs = lambda: {url for url in visit.requests if "/thumbs/" in url}  # noqa: E731
    assert len(thumbs()) < 120
    full = [url for url in visit.requests if "/images/" in url]
    assert len(full) <= 1  # the best, beside the original
    assert sum("/scripts/" in url for url in visit.requests) == 10
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    few = len(thumbs())
    page.wait_for_selector(f"{CARDS}[data-iteration='1'] img")
    visit.wait("document.querySelector(\"#grid > li[data-iteration='1'] img\").naturalWidth > 0")
    assert len(thumbs()) > few


def test_what_is_broken_hides_nothing_else(site: Site) -> None:
    make_run(site.root, "house", iterations=3)
    run = make_run(site.root, "house", iterations=60, broken={"script": [58], "image": [59]}, missing={"thumb": [57]})
    site.expected = lambda text: True  # the browser tells of each
    visit = site.visit(f"#/house/{run.run_id}")
    page = visit.page
    page.wait_for_selector(f"{CARDS}:nth-child(60)")
    page.wait_for_selector(f"{CARDS}[data-iteration='57'] .nopicture")
    visit.go(f"#/house/{run.run_id}/58").wait_for_selector("text=The record of iteration 58 cannot be read")
    visit.go(f"#/house/{run.run_id}/59").wait_for_selector(".panel")
    file_of(run, "block", 1).write_text("imagination.receive({", encoding="utf-8")
    visit.go(f"#/house/{run.run_id}")
    page.wait_for_selector(f"{CARDS}[data-iteration='60'] .score")
    page.wait_for_selector(f"{CARDS}[data-iteration='3']:has-text('record cannot be read')")


def test_a_broken_index_leaves_the_runs(site: Site) -> None:
    run = make_run(site.root, "house", iterations=2, broken={"index": True})
    site.expected = lambda text: True
    page = site.visit(f"#/house/{run.run_id}").page
    page.wait_for_selector(f"{CARDS}:nth-child(2)")


def test_a_live_run_appears_without_disturbing_anything(site: Site) -> None:
    run = make_run(site.root, "house", iterations=30, status="running", max_iterations=40)
    visit = site.visit(f"#/house/{run.run_id}?sort=score")
    page = visit.page
    page.wait_for_selector(f"{CARDS}:nth-child(30)")
    chosen = page.locator(f"{CARDS}[data-iteration='12'] input")
    chosen.check()
    chosen.focus()
    page.evaluate("document.querySelector('#grid').scrollIntoView()")
    scroll = page.evaluate("window.scrollY")
    add_iteration(site.root, "house")
    page.wait_for_selector(f"{CARDS}[data-iteration='31']")
    assert chosen.is_checked()
    assert page.evaluate("document.activeElement.closest('li').dataset.iteration") == "12"
    assert page.evaluate("document.querySelector('select').value") == "score"
    assert abs(page.evaluate("window.scrollY") - scroll) < 400  # the browser keeps what is looked at in its place
    assert "iteration 31 of 40" in page.inner_text(".status")
    finish_run(site.root, "house")
    page.wait_for_selector(".status :text('out of iterations')")


def test_a_judgement_that_came_later_and_a_resumed_run_are_shown(site: Site) -> None:
    run = make_run(site.root, "house", iterations=6, status="running", fallback=[2], failed=[])
    visit = site.visit(f"#/house/{run.run_id}")
    page = visit.page
    page.wait_for_selector(f"{CARDS}[data-iteration='2'] :text('not judged')")
    rejudge(site.root, "house", 2)
    visit.wait("!document.querySelector(\"#grid > li[data-iteration='2']\").textContent.includes('not judged')")
    supersede(site.root, "house", 4)
    page.wait_for_selector(f"{CARDS}:nth-child(4)", state="detached")
    assert numbers(page) == [3, 2, 1]


def test_a_newer_run_is_told_of(site: Site) -> None:
    run = make_run(site.root, "house", iterations=2)
    visit = site.visit(None)
    page = visit.page
    page.clock.install()
    visit.go(f"#/house/{run.run_id}").wait_for_selector(CARDS)
    newer = make_run(site.root, "house", iterations=1, status="running")
    page.clock.run_for(11_000)
    page.wait_for_selector(f"#notice a:has-text('{newer.run_id}')")


# --- the grid -------------------------------------------------------------------------------------------------------------


def test_the_grid_is_sorted_and_filtered_and_the_address_keeps_it(site: Site) -> None:
    run = make_run(site.root, "house", iterations=24)
    visit = site.visit(f"#/house/{run.run_id}")
    page = visit.page
    page.wait_for_selector(f"{CARDS}:nth-child(24)")
    page.select_option("[data-key=sort]", "denoise")
    page.select_option("[data-key=order]", "up")
    values = page.eval_on_selector_all(
        f"{CARDS} .small.facts > div:first-child dd", "all => all.map(each => Number(each.textContent))"
    )
    assert values == sorted(values) and len(values) == 24
    page.select_option("[data-key=criterion]", "warm_light")
    page.wait_for_selector("[data-key=verdict]")
    kept = numbers(page)
    block = read_script(file_of(run, "block", 1))
    assert block is not None
    rows = block["rows"]
    assert sorted(kept) == [
        r["iteration"] for r in rows if r["source"] == "aivis" and r["results"].get("warm_light") is True
    ]
    page.select_option("[data-key=range]", "score")
    page.fill("[data-key=from]", "50")
    visit.wait("known => document.querySelectorAll('#grid > li').length < known || true", len(kept))
    filtered = numbers(page)
    assert set(filtered) <= set(kept)
    address = page.url.split("#")[1]
    other = site.visit(f"#{address}").page
    other.wait_for_selector(CARDS)
    assert numbers(other) == filtered
    assert other.input_value("[data-key=from]") == "50"


def test_failed_unjudged_and_best_are_marked(site: Site) -> None:
    run = make_run(site.root, "house", iterations=6, failed=[2], fallback=[3], status="passed")
    page = site.visit(f"#/house/{run.run_id}").page
    page.wait_for_selector(f"{CARDS}:nth-child(6)")
    assert "failed" in page.inner_text(f"{CARDS}[data-iteration='2']")
    assert "not judged" in page.inner_text(f"{CARDS}[data-iteration='3']")
    assert "best" in page.inner_text(f"{CARDS}[data-iteration='6']")
    page.select_option("[data-key=state]", "failed")
    assert numbers(page) == [2]


def test_the_chart_has_gaps_and_leads_to_an_iteration(site: Site) -> None:
    run = make_run(site.root, "house", iterations=10, failed=[4], fallback=[7])
    visit = site.visit(f"#/house/{run.run_id}")
    page = visit.page
    page.wait_for_selector(".canvas svg .line.score")
    assert page.locator(".dot.score").count() == 8
    assert page.get_attribute(".line.score", "d").count("M") == 3
    assert "over 10 iterations" in page.get_attribute(".canvas svg", "aria-label")
    page.locator(".canvas svg").scroll_into_view_if_needed()
    frame = page.locator(".canvas svg").bounding_box()
    page.mouse.move(frame["x"] + frame["width"] - 14, frame["y"] + 60)
    visit.wait("document.querySelector('.told').textContent.startsWith('iteration 10:')")
    page.mouse.click(frame["x"] + frame["width"] - 14, frame["y"] + 60)
    page.wait_for_selector("h1:has-text('Iteration 10')")


# --- one iteration, and two -----------------------------------------------------------------------------------------------


def opened(site: Site, iterations: int = 6, number: int = 3, **how: Any) -> Any:
    run = make_run(site.root, "house", iterations=iterations, failed=[], fallback=[], **how)
    visit = site.visit(f"#/house/{run.run_id}/{number}")
    visit.page.wait_for_selector(".stage img")
    visit.wait("[...document.querySelectorAll('.stage img')].every(each => each.naturalWidth > 0)")
    return visit


def test_the_divider_moves_by_mouse_and_by_keyboard(site: Site) -> None:
    visit = opened(site)
    page = visit.page
    split = lambda: page.evaluate("parseFloat(document.querySelector('.box').style.getPropertyValue('--split'))")  # noqa: E731
    assert split() == 50
    frame = page.locator(".box").bounding_box()
    page.mouse.move(frame["x"] + frame["width"] / 2, frame["y"] + 50)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] * 0.25, frame["y"] + 50)
    page.mouse.up()
    assert abs(split() - 25) <= 1
    page.focus(".range input")
    page.keyboard.press("ArrowRight")
    assert abs(split() - 26) <= 1


def test_zoom_and_pan_go_in_step(site: Site) -> None:
    visit = opened(site)
    page = visit.page
    page.click("button:has-text('Side by side')")
    page.focus(".box")
    for key in ("+", "+", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    one, other = page.eval_on_selector_all(".pane img", "all => all.map(each => each.style.transform)")
    assert one == other and "scale(2.25)" in one and "translate(0px" not in one
    page.keyboard.press("0")
    assert "scale(1)" in page.eval_on_selector(".pane img", "each => each.style.transform")


def test_the_difference_is_blended_by_the_browser(site: Site) -> None:
    page = opened(site).page
    page.click("button:has-text('Difference')")
    assert page.eval_on_selector(".pane.after", "each => getComputedStyle(each).mixBlendMode") == "difference"
    page.focus("input[aria-label^='How much']")
    page.keyboard.press("ArrowRight")
    assert "brightness(5)" in page.eval_on_selector(".box", "each => getComputedStyle(each).filter")


def test_everything_known_of_an_iteration_is_told(site: Site) -> None:
    visit = opened(site, hostile=False)
    page = visit.page
    text = page.inner_text("main")
    for part in (
        "Criteria",
        "Against the original",
        "What was decided for the next one",
        "Settings",
        "Prompts",
        "Questions",
        "Who judged",
    ):
        assert part in text
    for part in ("warm_light", "Similarity", "qwen2.5vl", "sampler_name", "Positive prompt", "attempts", "generation"):
        assert part in text, part
    assert page.locator("ins, del").count() > 0
    assert page.locator(".facts .changed").count() > 0


def test_arrows_turn_the_page(site: Site) -> None:
    page = opened(site).page
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("h1:has-text('Iteration 4')")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("h1:has-text('Iteration 3')")
    page.click("a[rel=prev]")
    page.wait_for_selector("h1:has-text('Iteration 2')")


def test_settings_can_be_copied(served: Site) -> None:
    run = make_run(served.root, "house", iterations=2, failed=[], fallback=[], hostile=False)
    visit = served.visit(f"#/house/{run.run_id}/2", permissions=["clipboard-read", "clipboard-write"])
    page = visit.page
    page.click("button:has-text('Copy command')")
    page.wait_for_selector("button:has-text('Copied')")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "iterativectl run --project house --resume-from 2"
    page.click("button:has-text('Copy settings')")
    visit.wait("navigator.clipboard.readText().then(text => text.startsWith('parameters:'))")
    import yaml

    from imagination.model import Parameters

    data = yaml.safe_load(page.evaluate("navigator.clipboard.readText()"))
    metadata = run.metadata(2)
    assert metadata is not None
    assert Parameters(**data["parameters"]).seed == metadata.parameters_used["seed"]
    assert data["prompts"]["positive"] == metadata.prompts_used.positive


def test_two_iterations_are_compared(site: Site) -> None:
    run = make_run(site.root, "house", iterations=6, failed=[], fallback=[])
    page = site.visit(f"#/house/{run.run_id}").page
    page.check(f"{CARDS}[data-iteration='5'] input")
    page.check(f"{CARDS}[data-iteration='2'] input")
    page.click(".tray a:has-text('Compare 2 and 5')")
    page.wait_for_selector(".stage")
    assert page.inner_text("h1") == "Iterations 2 and 5"
    assert page.locator("table tbody tr").count() == 7
    assert "Settings that differ" in page.inner_text("main")


# --- texts are texts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page_of", ["#/", "#/x", "#/x/{run}", "#/x/{run}/1", "#/x/{run}/3", "#/x/{run}/2/3", "#/x/{run}/rank"]
)
def test_what_a_model_says_is_text_and_fits(site: Site, page_of: str) -> None:
    run = make_run(
        site.root,
        "x",
        iterations=8,
        hostile=True,
        ranking=["3", "2"],
        notes={"3": "<img src=x onerror='window.pwned=9'>" * 20},
    )
    visit = site.visit(page_of.replace("{run}", run.run_id), viewport={"width": 360, "height": 740})
    visit.page.wait_for_selector("main .card, main .panel, main .item")
    visit.wait("document.querySelectorAll('main img').length > 0")
    assert visit.page.locator("main script, main iframe, main svg[onload], main [onerror]").count() == 0
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_server_that_goes_and_comes_back(served: Site) -> None:
    run = make_run(served.root, "house", iterations=3, status="running")
    served.expected = lambda text: "ERR_" in text or "Failed to" in text
    visit = served.visit(None)
    page = visit.page
    page.clock.install()
    visit.go(f"#/house/{run.run_id}").wait_for_selector(f"{CARDS}:nth-child(3)")
    page.context.set_offline(True)
    page.clock.run_for(11_000)
    page.wait_for_selector("#notice:has-text('does not answer')")
    assert numbers(page) == [3, 2, 1]
    page.context.set_offline(False)
    add_iteration(served.root, "house")
    page.clock.run_for(11_000)
    page.wait_for_selector(f"{CARDS}[data-iteration='4']")
    page.wait_for_selector("#notice", state="hidden")


def test_colours_are_chosen_and_kept(site: Site) -> None:
    make_project(site.root, "house")
    make_run(site.root, "house", iterations=1)
    page = site.visit("#/", color_scheme="light").page
    dark = lambda: page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 21, 23)"  # noqa: E731
    assert not dark()
    page.click("#theme")
    page.click("#theme")
    assert dark()
    page.reload()
    page.wait_for_selector(".card")
    assert dark()
