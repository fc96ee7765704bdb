"""The table of the simulated worlds is printed, and the worlds are what it says they are: the same every time, in two halves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import List

from world_laws import KINDS, World, worlds
from worlds import WAYS


def test_the_worlds_table_has_a_row_for_each_strategy_and_each_kind() -> None:
    command = [sys.executable, str(Path(__file__).with_name("worlds.py")), "--count", "10", "--half", "open"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    shown = done.stdout
    assert "open half: 10 worlds" in shown and "held half" not in shown
    for strategy in ("perfect tuner", *WAYS):
        assert re.search(rf"^{strategy} +\d+\.\d\d ± +\d+\.\d\d +\d+\.\d\dx +\d+\.\d%", shown, re.M), strategy
    assert re.search(r"^search alone .*\) +0\.0% \(0%-\d+%\) +\d+\.\d$", shown, re.M)
    for kind in KINDS:
        assert re.search(rf"^{kind} +(\d+\.\d\d *){{{len(WAYS) + 1}}}$", shown, re.M), kind
    assert "conflicts found:" in shown


def laws_in(chosen: World) -> List[object]:
    """What a world does, at some settings and looks."""
    some = [(d / 10, c, seed) for d in range(1, 10) for c in (3.0, 8.0) for seed in (1, 2)]
    words = ", ".join(word for need in chosen.needs for word in need.words)
    seen = [chosen.truth(d, c, seed, words) for d, c, seed in some]
    votes = [chosen.vote(need.criterion.field, True, "a", look) for need in chosen.needs for look in range(20)]
    return [seen, votes, chosen.errs, [need.criterion for need in chosen.needs]]


def test_a_world_is_the_same_every_time_it_is_made() -> None:
    first = [laws_in(world) for world in worlds(20, "open")]
    worlds.cache_clear()
    assert [laws_in(world) for world in worlds(20, "open")] == first


def test_more_worlds_begin_with_the_same_ones() -> None:
    assert [w.name for w in worlds(30, "held")][:10] == [w.name for w in worlds(10, "held")]


def test_no_world_is_in_both_halves() -> None:
    both = {half: [*worlds(40, half)] for half in ("open", "held")}
    names = {half: {world.name for world in chosen} for half, chosen in both.items()}
    assert len(names["open"] | names["held"]) == 80
    assert {repr(laws_in(w)) for w in both["open"]}.isdisjoint(repr(laws_in(w)) for w in both["held"])
