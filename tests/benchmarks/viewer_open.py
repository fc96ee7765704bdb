"""How long the page takes to show a run of 500 iterations, opened from disk, against an empty page in the same browser.

`python tests/benchmarks/viewer_open.py [ITERATIONS]`: a ratio within one run, the least of several openings each, and the
time in seconds beside it. Needs a Chromium, as the page's tests do.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

HERE = Path(__file__).resolve().parent
for place in (HERE.parent / "tools", HERE.parent / "viewer", HERE.parents[1]):
    sys.path.insert(0, str(place))

from conftest import QUIET, chromium, put_page  # noqa: E402
from make_runs import make_run  # noqa: E402

TIMES = 5


def least(act: Callable[[], Any]) -> float:
    """The shortest of several goes, in seconds."""
    taken = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        act()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def main(iterations: int) -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = Path(folder)
        put_page(root)
        (root / "empty.html").write_text("<!doctype html><title>empty</title><p>nothing", encoding="utf-8")
        make_run(root, "long", iterations=iterations, size=(320, 240))
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, "--no-sandbox"])

        def opened(address: str, card: str) -> Callable[[], None]:
            def act() -> None:
                page = browser.new_page()
                page.goto(address)
                page.wait_for_selector(card, state="attached")
                page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
                page.close()

            return act

        empty = least(opened(f"{root.as_uri()}/empty.html", "p"))
        full = least(opened(f"{root.as_uri()}/viewer/index.html", f"#grid > li:nth-child({iterations})"))
        browser.close()
    print(f"empty page {empty:.3f} s, {iterations} iterations {full:.3f} s: ratio {full / empty:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
