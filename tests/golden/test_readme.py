"""README's options and commands are what click prints. To renew them: `python tests/golden/test_readme.py`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator, Tuple

import click

from imagination.cli import main
from imagination.ctl import main as group

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(r"(<!-- (\w+): .*? -->\n)(.*?)(<!-- /\2 -->)", re.DOTALL)


def options() -> str:
    """`--help` at 80 columns, as a fenced block."""
    with main.make_context("iterative-imagination", ["--project", "x"], terminal_width=80) as context:
        return f"```text\n{main.get_help(context)}\n```\n"


def commands() -> str:
    """A table of iterativectl's commands: how each is called, and its first sentence."""
    rows = "".join(f"| `{usage}` | {text} |\n" for usage, text in _walk(group, "iterativectl"))
    return f"| command | |\n| --- | --- |\n{rows}"


def _walk(command: click.Command, path: str) -> Iterator[Tuple[str, str]]:
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _walk(command.commands[name], f"{path} {name}")
        return
    needed = [p for p in command.params if p.required or isinstance(p, click.Argument)]
    words = [
        f"{p.opts[0]} {p.metavar}" if isinstance(p, click.Option) else (p.metavar or p.name or "").upper()
        for p in needed
    ]
    yield " ".join([path, *words]), command.get_short_help_str(200)


PRINTED = {"options": options, "commands": commands}


def test_the_readme_shows_what_click_prints() -> None:
    found = {block[2]: block[3] for block in BLOCK.finditer(README.read_text(encoding="utf-8"))}
    # words alone: click's versions differ in where they break lines
    assert {name: text.split() for name, text in found.items()} == {
        name: make().split() for name, make in PRINTED.items()
    }


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(BLOCK.sub(lambda found: found[1] + PRINTED[found[2]]() + found[4], text), encoding="utf-8")
