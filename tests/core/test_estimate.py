"""Where a criterion passes, as far as votes on pictures tell."""

from __future__ import annotations

from typing import List, Optional

import pytest

from imagination.estimate import Belief, Kind, Sighting
from imagination.votes import LEAST, MOST, Rates, likelihoods

CHANGE, KEPT, UNSAID = Kind(True, 0.5, 0.24, 7.0), Kind(False, 0.55, 0.24, 7.0), Kind(None, 0.5, 0.28, 7.0)
GRID = [round(0.05 * n, 2) for n in range(21)]


def met(denoise: float, cfg: float = 7.0, weight: float = 1.0) -> Sighting:
    return Sighting(denoise, cfg, 0.9, 0.1, weight)


def missed(denoise: float, cfg: float = 7.0, weight: float = 1.0) -> Sighting:
    return Sighting(denoise, cfg, 0.1, 0.9, weight)


def chances(belief: Belief, cfg: float = 7.0) -> List[float]:
    return [belief.chance(denoise, cfg) for denoise in GRID]


@pytest.mark.parametrize(("kind", "rises"), [(CHANGE, True), (KEPT, False)])
def test_before_the_first_picture_the_tags_say_which_way_it_goes(kind: Kind, rises: bool) -> None:
    found = chances(Belief(kind, []))
    assert found == sorted(found, reverse=not rises)
    assert all(0.0 < chance < 1.0 for chance in found)


def test_without_a_tag_neither_way_is_held_until_pictures_tell() -> None:
    found = chances(Belief(UNSAID, []))
    assert abs(found[0] - found[-1]) < 0.02
    rising = Belief(UNSAID, [missed(0.2), met(0.8), missed(0.3), met(0.7)])
    assert rising.chance(0.8, 7.0) > 0.75 > 0.25 > rising.chance(0.2, 7.0)


@pytest.mark.parametrize(
    ("kind", "seen", "low", "high"),
    [
        (CHANGE, [missed(0.5), missed(0.6), met(0.75), met(0.8)], 0.6, 0.75),
        (CHANGE, [missed(0.3), met(0.4), met(0.45)], 0.25, 0.4),
        (KEPT, [met(0.6), met(0.65), missed(0.8), missed(0.85)], 0.6, 0.8),
        (KEPT, [missed(0.4), missed(0.3), met(0.2)], 0.15, 0.35),
    ],
)
def test_the_turn_is_where_the_pictures_put_it(kind: Kind, seen: List[Sighting], low: float, high: float) -> None:
    assert low <= Belief(kind, seen).turns_at(7.0) <= high


def test_the_order_of_the_pictures_makes_no_difference() -> None:
    seen = [missed(0.4), met(0.6), missed(0.5), met(0.8, 9.0)]
    assert chances(Belief(CHANGE, seen)) == pytest.approx(chances(Belief(CHANGE, seen[::-1])))


@pytest.mark.parametrize("weight", [0.0, None])
def test_what_says_nothing_changes_nothing(weight: Optional[float]) -> None:
    nothing = missed(0.5, weight=weight) if weight is not None else Sighting(0.5, 7.0, 1.0, 1.0)
    assert chances(Belief(CHANGE, [nothing])) == pytest.approx(chances(Belief(CHANGE, [])))


def test_a_lighter_picture_moves_the_estimate_less() -> None:
    before, light, full = (
        Belief(CHANGE, seen).chance(0.5, 7.0) for seen in ([], [missed(0.5, weight=0.25)], [missed(0.5)])
    )
    assert full < light < before


def test_cfg_counts_for_little_until_pictures_show_that_it_matters() -> None:
    open_minded = Belief(CHANGE, [])
    assert open_minded.chance(0.7, 7.0) - open_minded.chance(0.7, 3.0) < 0.3
    strict = Belief(CHANGE, [missed(0.7, 3.5), missed(0.75, 3.5), met(0.7, 10.0), met(0.65, 10.0), missed(0.7, 3.5)])
    assert strict.chance(0.7, 10.0) - strict.chance(0.7, 3.5) > 0.4


@pytest.mark.parametrize("cfg", [1.0, 7.0, 20.0])
def test_cfg_is_measured_by_the_one_that_the_run_began_with(cfg: float) -> None:
    scaled = Belief(Kind(True, 0.5, 0.24, cfg), [Sighting(0.5, cfg * 2, 0.1, 0.9)])
    usual = Belief(Kind(True, 0.5, 0.24, 7.0), [Sighting(0.5, 14.0, 0.1, 0.9)])
    assert scaled.chance(0.6, cfg) == pytest.approx(usual.chance(0.6, 7.0))


def test_no_number_of_pictures_makes_a_certainty() -> None:
    sure = Belief(CHANGE, [missed(0.4)] * 300 + [met(0.6)] * 300)
    assert 0.0 < sure.chance(0.0, 7.0) < 0.1 and 0.9 < sure.chance(1.0, 7.0) < 1.0


def test_the_estimate_says_how_sure_it_is() -> None:
    def spread(belief: Belief) -> float:
        mean, square = belief.moments(0.6, 7.0)
        return square - mean * mean

    assert spread(Belief(CHANGE, [met(0.6), met(0.65), met(0.55), missed(0.3)])) < spread(Belief(CHANGE, []))


@pytest.mark.parametrize("kind", [CHANGE, KEPT, UNSAID])
def test_many_pictures_of_the_same_settings_count_as_often_as_there_are(kind: Kind) -> None:
    seen = [met(0.6), missed(0.3, 9.0), met(0.45, weight=0.5)] * 40
    apart = [
        Sighting(each.denoise + n * 1e-9, each.cfg, each.met, each.unmet, each.weight) for n, each in enumerate(seen)
    ]
    assert chances(Belief(kind, seen)) == pytest.approx(chances(Belief(kind, apart)), rel=1e-9)


@pytest.mark.parametrize("cfg", [1e-300, 1e200, 1e308])
@pytest.mark.parametrize("votes", [[True] * 337 + [False] * 307, [True, False] * 2000])
def test_what_no_run_could_have_seen_is_taken_for_what_it_is(cfg: float, votes: List[Optional[bool]]) -> None:
    """As a damaged artefact may tell it."""
    belief = Belief(CHANGE, [Sighting(1e-9, cfg, *likelihoods(votes, Rates(LEAST, MOST))), met(0.8)])
    assert 0.0 < belief.chance(0.5, cfg) < 1.0
