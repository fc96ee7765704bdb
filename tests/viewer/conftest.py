"""The page in a real browser: opened from disk, or served. Anything the page complains of fails its test."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HOW = "no Chromium was found: install Debian's package `chromium`, or name one in $CHROMIUM"
QUIET = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
# what the page may not do: told on the console by the browser, and by an event where the policy forbids it
WATCH = """
window.violations = [];
document.addEventListener('securitypolicyviolation',
  (event) => window.violations.push(event.violatedDirective + ' ' + event.blockedURI));
"""


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    for item in items:
        if Path(str(item.fspath)).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


def chromium() -> Optional[str]:
    """The browser's program, or None."""
    named = os.environ.get("CHROMIUM")
    return named or next((found for found in map(shutil.which, NAMES) if found), None)


def unless_ci(why: str) -> None:
    """Skip; but a check that is meant to have a browser must not pass without one."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unless_ci("playwright is not installed: pip install -e '.[dev]' (Python 3.9 or later)")
    program = chromium()
    if program is None:
        unless_ci(HOW)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=[*QUIET, *(["--no-sandbox"] if root else [])]
        )
        yield browser
        browser.close()


class Visit:
    """A page, with what the browser complained of."""

    def __init__(self, page: Any, base: str) -> None:
        self.page, self.base = page, base
        self.complaints: List[str] = []
        self.requests: List[str] = []
        page.set_default_timeout(10_000)
        page.add_init_script(WATCH)
        page.on(
            "console", lambda message: message.type in ("error", "warning") and self.complaints.append(message.text)
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def go(self, address: str = "") -> Any:
        """Open an address of the page anew: `#/project/run`, or nothing for what a double click shows."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}/viewer/index.html{address}")
        return self.page

    def wait(self, condition: str, argument: Any = None, seconds: float = 10.0) -> None:
        """Until an expression, or a function of `argument`, is true. Playwright's own way is `eval`: the policy forbids it."""
        ends = time.monotonic() + seconds
        while not self.page.evaluate(condition, argument):
            assert time.monotonic() < ends, f"it never came to be that {condition}"
            self.page.wait_for_timeout(25)

    def check(self, expected: Callable[[str], bool] = lambda text: False) -> None:
        """Nothing was complained of but what is expected, nothing was asked of the network, no text ran as a script."""
        assert [text for text in self.complaints if not expected(text)] == []
        ours = ("file:", "data:", "blob:", "about:", self.base)
        assert [url for url in self.requests if not url.startswith(ours)] == []
        assert self.page.evaluate("[window.violations, window.pwned]") == [[], None]


class Site:
    """A workspace with its page. `visit` opens a browser window on it; each is checked at the end of the test."""

    def __init__(self, browser: Any, root: Path, base: str) -> None:
        self.browser, self.root, self.base = browser, root, base
        self.visits: List[Visit] = []
        self.expected: Callable[[str], bool] = lambda text: False
        self.contexts: List[Any] = []

    def visit(self, address: Optional[str] = "", page: Any = None, **context: Any) -> Visit:
        if page is None:
            self.contexts.append(self.browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **context}))
            page = self.contexts[-1].new_page()
        visit = Visit(page, self.base)
        self.visits.append(visit)
        if address is not None:
            visit.go(address)
        return visit

    def close(self) -> None:
        try:
            for visit in self.visits:
                visit.check(self.expected)
        finally:
            for context in self.contexts:
                context.close()


def put_page(root: Path) -> None:
    shutil.copytree(str(ROOT / "viewer"), str(root / "viewer"), dirs_exist_ok=True)


@pytest.fixture
def disk(browser: Any, tmp_path: Path) -> Iterator[Site]:
    """The page opened from disk, beside an empty workspace at `disk.root`."""
    put_page(tmp_path)
    site = Site(browser, tmp_path, tmp_path.as_uri())
    yield site
    site.close()


@contextlib.contextmanager
def serving(root: Path) -> Iterator[str]:
    from imagination.viewer_server import open_server

    with open_server(0, root / "projects", root / "viewer") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def served(browser: Any, tmp_path: Path) -> Iterator[Site]:
    """The page from the viewer's server."""
    put_page(tmp_path)
    (tmp_path / "projects").mkdir()
    with serving(tmp_path) as base:
        site = Site(browser, tmp_path, base)
        yield site
        site.close()


@pytest.fixture(params=["disk", "served"])
def site(request: pytest.FixtureRequest) -> Any:
    """Both ways, one after the other."""
    return request.getfixturevalue(request.param)


Facts = Dict[str, Any]
