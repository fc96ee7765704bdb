"""Every page of the viewer at three widths in both themes, to be looked at: `python tests/tools/screenshots.py OUT [WORKSPACE]`.

Without a workspace, one with made-up runs is shown.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Dict
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
for place in (HERE, HERE.parent / "viewer", HERE.parents[1]):
    sys.path.insert(0, str(place))

from conftest import QUIET, chromium, put_page  # noqa: E402
from make_runs import make_workspace  # noqa: E402

from imagination.store import Store  # noqa: E402

WIDTHS = (360, 800, 1400)


def addresses(root: Path) -> Dict[str, str]:
    """Each kind of page once, of the project whose newest run has the most pictures."""
    stores = [Store(folder) for folder in sorted((root / "projects").iterdir()) if folder.is_dir()]
    runs = [(len(run.iterations()), store.project.name, run) for store in stores for run in store.runs()]
    _, project, run = max(runs, key=lambda each: each[:2])
    last = run.iterations()[-1]
    name = quote(project, safe="")
    base = f"#/{name}/{run.run_id}"
    return {
        "projects": "#/", "project": f"#/{name}", "run": base, "iteration": f"{base}/{last}", "pair": f"{base}/1/{last}",
        "ranking": f"{base}/rank", "missing": f"#/{name}/2001-01-01_00-00-00",
    }  # fmt: skip


def main(out: Path, root: Path) -> None:
    from playwright.sync_api import sync_playwright

    put_page(root)
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, "--no-sandbox"])
        for theme in ("light", "dark"):
            for width in WIDTHS:
                page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
                for name, address in addresses(root).items():
                    page.goto("about:blank")
                    page.goto(f"{root.as_uri()}/viewer/index.html{address}")
                    page.wait_for_selector("main .card, main .panel, main .item, main .empty code")
                    page.wait_for_timeout(600)
                    page.screenshot(path=str(out / f"{name}-{width}-{theme}.png"), full_page=True)
                page.close()
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        given = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else make_workspace(Path(folder))
        main(Path(sys.argv[1]), given)
