"""README's option list is what click prints. To renew it: `python tests/golden/test_readme.py`."""

from __future__ import annotations

import re
from pathlib import Path

from imagination.cli import main

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(r"(<!-- options: .*? -->\n)(.*?)(<!-- /options -->)", re.DOTALL)


def printed() -> str:
    """`--help` at 80 columns, as a fenced block."""
    with main.make_context("iterative-imagination", ["--project", "x"], terminal_width=80) as context:
        return f"```text\n{main.get_help(context)}\n```\n"


def words(text: str) -> list[str]:
    """The words alone: click's versions differ in where they break lines."""
    return text.split()


def test_the_readme_shows_the_options_that_click_prints() -> None:
    found = BLOCK.search(README.read_text(encoding="utf-8"))
    assert found is not None
    assert words(found[2]) == words(printed()), "run: python tests/golden/test_readme.py"


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(BLOCK.sub(lambda found: found[1] + printed() + found[3], text), encoding="utf-8")
