"""The ranking page: order by mouse, keyboard and touch, notes, undo, two at a time; where it is saved, and what is never lost."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from conftest import Site
from make_runs import add_iteration, make_run, rank

from imagination.seeding import find_seeding
from imagination.store import Run, Store

# a stand-in for the folder that a person would choose: the same calls, the files in the window
FOLDER = """
window.files = {};
const file = (path) => ({
  async getFile() {
    const found = window.files[path];
    return {size: found.text.length, lastModified: found.at, text: async () => found.text};
  },
  async createWritable() {
    return {write: async (text) => { window.files[path] = {text, at: Date.now()}; }, close: async () => {}};
  },
});
const missing = (name) => Object.assign(new Error(name), {name: 'NotFoundError'});
const folder = (name, path) => ({
  name,
  async getDirectoryHandle(each, how = {}) {
    const below = `${path}/${each}`;
    if (!how.create && !window.folders.some((known) => known === below || known.startsWith(below + '/'))) throw missing(each);
    return folder(each, below);
  },
  async getFileHandle(each) {
    const below = `${path}/${each}`;
    window.files[below] = window.files[below] || {text: '', at: 0};
    return file(below);
  },
});
window.showDirectoryPicker = async () => folder(window.chosen, window.chosenPath);
"""


class Ranking:
    """The ranking page of a run of six iterations."""

    def __init__(self, site: Site, **context: Any) -> None:
        self.site = site
        self.run: Run = make_run(site.root, "house", iterations=6, failed=[], fallback=[])
        site.expected = lambda text: "404" in text or "412" in text  # no ranking yet; a newer one
        self.visit = site.visit(f"#/house/{self.run.run_id}/rank", **context)
        self.page = self.visit.page
        self.page.wait_for_selector(".pool li:nth-child(6)")

    def order(self, page: Any = None) -> List[int]:
        found: List[int] = (page or self.page).eval_on_selector_all(
            ".ranked > .item", "all => all.map(each => Number(each.dataset.iteration))"
        )
        return found

    def add(self, *numbers: int, page: Any = None) -> None:
        for number in numbers:
            (page or self.page).click(f"button[aria-label='Rank iteration {number}']")

    def wait_saved(self, page: Any = None) -> Dict[str, Any]:
        (page or self.page).wait_for_selector(".saved:has-text('saved '):not(:has-text('not saved'))")
        data: Dict[str, Any] = json.loads(self.run.ranking_file.read_text(encoding="utf-8"))
        return data

    def drop(self, number: int, onto: int, below: bool = False) -> None:
        """Drag by the grip with the mouse."""
        grip = self.page.locator(f"[data-iteration='{number}'] .grip").bounding_box()
        target = self.page.locator(f".item[data-iteration='{onto}']").bounding_box()
        self.page.mouse.move(grip["x"] + 10, grip["y"] + 10)
        self.page.mouse.down()
        y = target["y"] + (target["height"] - 4 if below else 4)
        self.page.mouse.move(target["x"] + 60, y - 30)
        self.page.mouse.move(target["x"] + 60, y)
        assert self.page.locator(".ranked .line").count() == 1
        self.page.mouse.up()


def test_an_order_by_mouse_is_saved_and_seeds_the_next_run(served: Site) -> None:
    ranking = Ranking(served, viewport={"width": 1200, "height": 2400})
    ranking.add(2, 4, 6)
    ranking.drop(6, 2)
    assert ranking.order() == [6, 2, 4]
    ranking.drop(6, 4, below=True)
    assert ranking.order() == [2, 4, 6]
    ranking.drop(5, 4)  # out of the pool, between two
    assert ranking.order() == [2, 5, 4, 6]
    ranking.page.fill("textarea[aria-label='Note on iteration 5']", "the light is right")
    ranking.page.wait_for_timeout(50)
    ranking.page.wait_for_selector(".saved:has-text('saving')", state="hidden")
    saved = ranking.wait_saved()
    assert saved["ranking"] == ["2", "5", "4", "6"] and saved["notes"] == {"5": "the light is right"}
    assert saved["updated_at"] > 1.7e9
    seeding = find_seeding(Store(served.root / "projects" / "house"), "latest", "top3")
    assert seeding.iterations == [2, 5, 4] and seeding.notes == ["rank 2: the light is right"]


def test_an_order_by_keyboard_alone(served: Site) -> None:
    ranking = Ranking(served)
    page = ranking.page
    for number in (1, 3, 5):
        page.focus(f"button[aria-label='Rank iteration {number}']")
        page.keyboard.press("Enter")
    page.focus(".item[data-iteration='5'] .grip")
    for key in ("Space", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    assert ranking.order() == [5, 1, 3]
    assert page.get_attribute(".item[data-iteration='5'] .grip", "aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert ranking.order() == [1, 3, 5]
    for key in ("Space", "Home", "Space"):
        page.keyboard.press(key)
    assert ranking.order() == [5, 1, 3]
    page.wait_for_selector("#announce:has-text('put down as number 1')", state="attached")
    page.keyboard.press("Control+z")
    assert ranking.order() == [1, 3, 5]
    page.keyboard.press("Control+Shift+z")
    assert ranking.order() == [5, 1, 3]
    page.focus("button[aria-label='Move down iteration 5']")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert ranking.order() == [1, 3, 5]
    assert ranking.wait_saved()["ranking"] == ["1", "3", "5"]


def test_an_order_by_touch(served: Site) -> None:
    ranking = Ranking(served, has_touch=True, is_mobile=True, viewport={"width": 400, "height": 2200})
    ranking.add(1, 2, 3)
    page = ranking.page
    page.evaluate("window.scrollTo(0, 0)")
    wire = page.context.new_cdp_session(page)
    grip = page.locator(".item[data-iteration='3'] .grip").bounding_box()
    target = page.locator(".item[data-iteration='1']").bounding_box()
    x, y = grip["x"] + 15, grip["y"] + 15
    wire.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 6):
        at = y + (target["y"] + 5 - y) * step / 5
        wire.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": at}]})
    page.wait_for_selector(".ranked .line", state="attached")
    wire.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    ranking.visit.wait("document.querySelector('.item').dataset.iteration === '3'")
    assert ranking.order() == [3, 1, 2]
    assert page.evaluate("window.scrollY") == 0  # the page did not scroll with it
    assert ranking.wait_saved()["ranking"] == ["3", "1", "2"]


def test_two_at_a_time(served: Site) -> None:
    ranking = Ranking(served)
    page = ranking.page
    page.click("button:has-text('Which is better?')")
    asked = 0
    while page.locator(".duel:visible").count():
        one, other = page.eval_on_selector_all(
            ".duel img", "all => all.map(each => Number(each.alt.replace('Iteration ', '')))"
        )
        page.keyboard.press("ArrowLeft" if one < other else "ArrowRight")
        asked += 1
    assert ranking.order() == [1, 2, 3, 4, 5, 6] and asked <= 10
    assert ranking.wait_saved()["ranking"] == ["1", "2", "3", "4", "5", "6"]


def test_two_at_a_time_can_be_stopped(served: Site) -> None:
    ranking = Ranking(served)
    page = ranking.page
    page.click("button:has-text('Which is better?')")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    assert len(ranking.order()) == 2
    page.click("button:has-text('Undo')")
    assert len(ranking.order()) == 1


def test_a_newer_ranking_is_not_overwritten_silently(served: Site) -> None:
    ranking = Ranking(served)
    other = served.visit(f"#/house/{ranking.run.run_id}/rank")  # another browser
    other.page.wait_for_selector(".pool li:nth-child(6)")
    ranking.add(1)
    ranking.wait_saved()
    ranking.add(2, page=other.page)
    other.page.wait_for_selector("text=A newer ranking was saved elsewhere")
    assert json.loads(ranking.run.ranking_file.read_text(encoding="utf-8"))["ranking"] == ["1"]
    other.page.click("button:has-text('Keep mine and save it over')")
    ranking.wait_saved(other.page)
    assert json.loads(ranking.run.ranking_file.read_text(encoding="utf-8"))["ranking"] == ["2"]
    ranking.add(3)
    ranking.page.click("button:has-text('Take that one')")
    assert ranking.order() == [2]


def test_another_tab_takes_up_what_was_saved(served: Site) -> None:
    ranking = Ranking(served)
    tab = served.visit(f"#/house/{ranking.run.run_id}/rank", page=ranking.page.context.new_page())
    tab.page.wait_for_selector(".pool li:nth-child(6)")
    ranking.add(4)
    ranking.wait_saved()
    tab.page.wait_for_selector(".item[data-iteration='4']")


def test_a_broken_ranking_is_told_and_kept_until_asked(served: Site) -> None:
    run = make_run(served.root, "house", iterations=3, failed=[], fallback=[], ranking=["1"])
    run.ranking_file.write_text("{", encoding="utf-8")
    page = served.visit(f"#/house/{run.run_id}/rank").page
    page.wait_for_selector("text=cannot be read")
    page.click("button[aria-label='Rank iteration 2']")
    page.wait_for_selector(".saved:has-text('not saved')")
    assert run.ranking_file.read_text(encoding="utf-8") == "{"
    page.click("button:has-text('Save over it')")
    page.wait_for_selector(".saved:has-text('saved '):not(:has-text('not saved'))")
    assert json.loads(run.ranking_file.read_text(encoding="utf-8"))["ranking"] == ["2"]


def test_new_iterations_come_without_disturbing_a_note(site: Site) -> None:
    run = make_run(site.root, "house", iterations=3, status="running", failed=[], fallback=[], ranking=["1"])
    page = site.visit(f"#/house/{run.run_id}/rank").page
    page.wait_for_selector(".item[data-iteration='1']")
    note = page.locator("textarea")
    note.click()
    page.keyboard.type("half a se")
    add_iteration(site.root, "house")
    page.wait_for_selector(".pool [data-iteration='4']")
    page.keyboard.type("ntence")
    assert note.input_value() == "half a sentence"


# --- from disk ------------------------------------------------------------------------------------------------------------


def test_a_ranking_that_is_there_is_loaded_from_disk(disk: Site) -> None:
    run = make_run(
        disk.root, "house", iterations=4, failed=[], fallback=[], ranking=["3", "1"], notes={"3": "<b>good</b>"}
    )
    page = disk.visit(f"#/house/{run.run_id}/rank").page
    page.wait_for_selector(".item:nth-child(2)")
    assert page.eval_on_selector_all(".item", "all => all.map(each => each.dataset.iteration)") == ["3", "1"]
    assert page.input_value("textarea >> nth=0") == "<b>good</b>"


def test_from_disk_it_is_downloaded_with_the_place_to_put_it(disk: Site) -> None:
    ranking = Ranking(disk)
    ranking.add(2, 1)
    with ranking.page.expect_download() as download:
        ranking.page.click("button:has-text('Download ranking.json')")
    data = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert (download.value.suggested_filename, data["ranking"], data["notes"]) == ("ranking.json", ["2", "1"], {})
    assert str(ranking.run.ranking_file) in ranking.page.inner_text("main")


def test_what_is_not_saved_is_offered_again(disk: Site) -> None:
    ranking = Ranking(disk)
    ranking.add(2, 1)
    page = ranking.page
    page.reload()
    page.wait_for_selector("text=Your unsaved order")
    assert ranking.order() == []
    page.click("button:has-text('Take it')")
    assert ranking.order() == [2, 1]


@pytest.mark.parametrize("depth", [0, 1, 2, 4], ids=["workspace", "projects", "project", "run"])
def test_from_disk_it_is_saved_in_a_granted_folder(disk: Site, depth: int) -> None:
    run = make_run(disk.root, "house", iterations=4, failed=[], fallback=[])
    visit = disk.visit(None)
    page = visit.page
    page.add_init_script(FOLDER)
    visit.go(f"#/house/{run.run_id}/rank").wait_for_selector(".pool li:nth-child(4)")
    parts = ["w", "projects", "house", "working", run.run_id]
    page.evaluate("([folders, name, path]) => { window.folders = folders; window.chosen = name; window.chosenPath = path; }",
                  [["/".join([*parts, "inputs"])], parts[depth], "/".join(parts[: depth + 1])])  # fmt: skip
    page.click("button[aria-label='Rank iteration 3']")
    page.click("button:has-text('Save in the project folder')")
    page.wait_for_selector(".saved:has-text('saved '):not(:has-text('not saved'))")
    where = "/".join([*parts, "human", "ranking.json"])
    assert json.loads(page.evaluate("where => window.files[where].text", where))["ranking"] == ["3"]
    page.click("button[aria-label='Rank iteration 1']")
    visit.wait("where => JSON.parse(window.files[where].text).ranking.length === 2", where)
    page.evaluate(
        'where => { window.files[where] = {text: \'{"ranking": ["4"], "notes": {}, "updated_at": 5}\', at: Date.now() + 5000}; }',
        where,
    )
    page.click("button[aria-label='Rank iteration 2']")
    page.wait_for_selector("text=A newer ranking was saved elsewhere")
    assert json.loads(page.evaluate("where => window.files[where].text", where))["ranking"] == ["4"]


def test_another_folder_is_told_apart(disk: Site) -> None:
    run = make_run(disk.root, "house", iterations=2, failed=[], fallback=[])
    visit = disk.visit(None)
    page = visit.page
    page.add_init_script(FOLDER)
    visit.go(f"#/house/{run.run_id}/rank").wait_for_selector(".pool li:nth-child(2)")
    page.evaluate("window.folders = ['w/other/inputs']; window.chosen = 'w'; window.chosenPath = 'w'")
    page.click("button:has-text('Save in the project folder')")
    page.wait_for_selector(".saved:has-text('is not in the folder w')")
    assert page.evaluate("Object.keys(window.files)") == []


# --- the order by itself --------------------------------------------------------------------------------------------------


def test_orders_are_those_of_a_plain_list(disk: Site) -> None:
    """A random walk of acts, undo and redo, against a list in Python."""
    page = disk.visit("#/").page
    page.evaluate("window.walk = new imagination.order.History(imagination.order.EMPTY)")
    disk.expected = lambda text: True
    luck = random.Random(6)
    now: List[int] = []
    past: List[List[int]] = []
    future: List[List[int]] = []
    for _ in range(200):
        act, number, at = (
            luck.choice(["place", "place", "remove", "undo", "redo"]),
            luck.randint(1, 8),
            luck.randint(0, 9),
        )
        if act in ("undo", "redo"):
            source, target = (past, future) if act == "undo" else (future, past)
            if source:
                target.append(now)
                now = source.pop()
            page.evaluate(f"window.walk.{act}()")
        else:
            new = [each for each in now if each != number]
            if act == "place":
                new.insert(min(at, len(new)), number)
                page.evaluate("([number, at]) => walk.act(imagination.order.place(walk.now, number, at))", [number, at])
            else:
                page.evaluate("number => walk.act(imagination.order.remove(walk.now, number))", number)
            if new != now:
                past.append(now)
                future, now = [], new
        assert page.evaluate("walk.now.ranked") == now


READ = [
    ({"ranking": ["3", "1"], "notes": {"3": "x"}}, [3, 1], {"3": "x"}, []),
    ({"ranking": [3, "1", "1"]}, [3, 1], {}, []),
    ({"ranking": ["9", "2"]}, [2], {}, [9]),
    ({"ranking": ["x", "-1", "1.5", "", "007"], "notes": {"../x": "y", "2": 5}}, [], {}, []),
    ({"ranking": "no", "notes": "no"}, [], {}, []),
    (None, [], {}, []),
]


def test_any_file_is_read_as_far_as_it_is_a_ranking(disk: Site) -> None:
    page = disk.visit("#/").page
    disk.expected = lambda text: True
    for data, ranked, notes, gone in READ:
        found = page.evaluate("data => imagination.order.read(data, number => number < 9)", data)
        assert found == {"state": {"ranked": ranked, "notes": notes}, "gone": gone}, data


def test_a_ranking_written_while_the_page_is_open_elsewhere_is_seen_on_reload(disk: Site) -> None:
    from imagination.page_rebuild import rebuild_all

    run = make_run(disk.root, "house", iterations=3, failed=[], fallback=[])
    visit = disk.visit(f"#/house/{run.run_id}/rank")
    visit.page.wait_for_selector(".pool li:nth-child(3)")
    rank(run, ["2"], updated_at=time.time())
    rebuild_all(disk.root / "projects")
    visit.page.reload()
    visit.page.wait_for_selector(".item[data-iteration='2']")


def test_of_a_long_run_only_near_pictures_are_laid_out(disk: Site) -> None:
    run = make_run(disk.root, "long", iterations=90, size=(64, 48))
    visit = disk.visit(f"#/long/{run.run_id}/rank")
    page = visit.page
    page.wait_for_selector(".pool li:nth-child(80)", state="attached")
    far = "document.querySelector('.pool li:nth-child(80) img').checkVisibility({contentVisibilityAuto: true})"
    assert page.evaluate(far) is False
    page.evaluate("document.querySelector('.pool li:nth-child(80)').scrollIntoView()")
    visit.wait(far)
