"""The strategy `adaptive`: which settings follow on which verdicts, and how it is told."""

from __future__ import annotations

import itertools
import re
import time
from dataclasses import replace
from typing import Any, List, Optional, Sequence, Tuple

import pytest
from pictures import criterion, judged

from imagination.adaptive import AdaptiveStrategy, beliefs_of, cfgs_around, kind_of, rates_of
from imagination.conflict import find_conflict
from imagination.estimate import _chances
from imagination.model import Attempt, Criterion, Move, Prompts, Sampling
from imagination.tuning import Plan

RED = criterion("is_red", "change", must_include=["red paint"])
SHAPE = criterion("same_shape", "preserve")
BOTH = (RED, SHAPE)
Y, N, U = True, False, None
NONE, ALL = {"is_red": N, "same_shape": N}, {"is_red": Y, "same_shape": Y}
CHANGE_FAILED, KEPT_FAILED = {"is_red": N, "same_shape": Y}, {"is_red": Y, "same_shape": N}


def plan(history: Sequence[Attempt], *locked: str, criteria: Sequence[Criterion] = BOTH) -> Plan:
    return AdaptiveStrategy(criteria).next(history, locked)


def told(found: Plan) -> List[str]:
    return [move.what for move in found.moves]


# --- which way --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdicts", "way"),
    [
        ([CHANGE_FAILED], +1),
        ([CHANGE_FAILED, CHANGE_FAILED], +1),
        ([KEPT_FAILED], -1),
        ([KEPT_FAILED, KEPT_FAILED], -1),
    ],
)
def test_a_failed_change_asks_for_more_denoise_and_what_was_lost_for_less(verdicts: List[Any], way: int) -> None:
    found = plan([judged(n, each) for n, each in enumerate(verdicts, 1)])
    assert found.sampling.denoise is not None
    assert (found.sampling.denoise - 0.5) * way >= 0.05


def test_every_picture_counts_and_not_only_the_last() -> None:
    """The turn of both criteria lies between the pictures, wherever the last of them was."""
    seen = [(0.3, CHANGE_FAILED), (0.8, KEPT_FAILED), (0.35, CHANGE_FAILED), (0.75, KEPT_FAILED)]
    for turned in (seen, seen[::-1]):
        found = plan([judged(n, votes, denoise=at) for n, (at, votes) in enumerate(turned, 1)])
        assert 0.4 <= (found.sampling.denoise or 0.0) <= 0.7


def test_what_the_same_pictures_say_is_worked_out_once() -> None:
    history = between(0.3, 0.5)

    def believed(seen: Sequence[Attempt]) -> Any:
        return beliefs_of(BOTH, seen, rates_of(history), history[0].sampling)

    name = BOTH[0].field
    assert believed(history)[name] is believed(list(history))[name]
    assert believed(history)[name] is not believed(history[:1])[name]


def test_a_verdict_that_the_judge_took_back_weighs_less_than_one_that_it_repeated() -> None:
    fickle = plan([judged(1, {"is_red": [Y, N], "same_shape": Y})])
    firm = plan([judged(1, {"is_red": [N, N, N], "same_shape": Y})])
    assert (fickle.sampling.denoise or 0.0) < (firm.sampling.denoise or 0.0)


def test_a_picture_without_the_terms_of_a_criterion_says_less_of_it() -> None:
    without = Prompts(positive="a car")
    bare = plan([judged(n, CHANGE_FAILED, prompts=without) for n in (1, 2)])
    full = plan([judged(n, CHANGE_FAILED) for n in (1, 2)])
    assert (bare.sampling.denoise or 0.0) <= (full.sampling.denoise or 0.0)
    assert AdaptiveStrategy(BOTH).next([judged(1, CHANGE_FAILED, prompts=without)], ()) != plan(
        [judged(1, CHANGE_FAILED)]
    )


@pytest.mark.parametrize(("intent", "order"), [("change", 1), ("preserve", 1)])
def test_edit_strength_shifts_where_a_criterion_is_looked_for(intent: str, order: int) -> None:
    centres = [kind_of(criterion("a", intent, edit_strength=s), 7.0).centre for s in ("low", "medium", "high")]
    assert centres == sorted(centres) and len(set(centres)) == 3


@pytest.mark.parametrize(("bad", "good"), [(12.0, 3.5), (3.5, 12.0)])
def test_cfg_comes_down_as_well_as_up(bad: float, good: float) -> None:
    seen = [(7.0, N), (bad, N), (good, Y), (7.0, N), (bad, N), (good, Y), (7.0, N)]
    history = [judged(n, {"is_red": v, "same_shape": N}, cfg=cfg) for n, (cfg, v) in enumerate(seen, 1)]
    moved = plan(history, "denoise").sampling.cfg or 0.0
    assert (moved - 7.0) * (good - 7.0) > 0


@pytest.mark.parametrize("seen", [[U, U], [U, Y]])
def test_unanswered_is_no_evidence(seen: List[Optional[bool]]) -> None:
    """A criterion that is never answered moves nothing, in whichever direction."""
    votes = dict(zip(("is_red", "same_shape"), seen))
    with_it = plan([judged(1, votes)])
    of_others = plan([judged(1, {name: v for name, v in votes.items() if v is not None} or {"other": N})])
    assert with_it.sampling == of_others.sampling


# --- the spec's step is the least -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("likeness", "before", "votes", "least", "most"),
    [
        (0.9, (0.5, 7.0), NONE, (0.55, 8.0), (1.0, 20.0)),
        (0.86, (0.1, 7.0), CHANGE_FAILED, (0.15, 8.0), (1.0, 20.0)),
        (0.9, (0.98, 7.0), CHANGE_FAILED, (1.0, 8.0), (1.0, 20.0)),
        (0.2, (0.5, 7.0), NONE, (0.0, 1.0), (0.45, 20.0)),
        (0.2, (0.03, 7.0), KEPT_FAILED, (0.0, 1.0), (0.03, 20.0)),
        (0.9, (0.5, 7.0), KEPT_FAILED, (0.0, 1.0), (0.5, 20.0)),  # the edit did what it should: no bolder for that
    ],
)
def test_outside_the_band_the_step_of_the_specification_is_the_least(
    likeness: float, before: Tuple[float, float], votes: Any, least: Tuple[float, float], most: Tuple[float, float]
) -> None:
    found = plan([judged(1, votes, denoise=before[0], cfg=before[1], likeness=likeness)]).sampling
    assert found.denoise is not None and found.cfg is not None
    assert least[0] <= found.denoise <= most[0]
    assert least[1] <= found.cfg <= most[1]


@pytest.mark.parametrize("denoise", [round(0.05 * n, 2) for n in range(1, 19)])
def test_ground_that_a_picture_has_shown_is_the_estimates(denoise: float) -> None:
    """What lies a step further was seen to fail: the spec's step would walk into it again."""
    further, cfg = round(denoise + 0.05, 2), 8.0
    seen = [judged(n, KEPT_FAILED, denoise=further, cfg=cfg) for n in range(1, 6)]
    found = plan(
        [*seen, judged(6, CHANGE_FAILED, denoise=denoise, likeness=0.9)], criteria=[SHAPE, criterion("is_red")]
    )
    assert (found.sampling.denoise or 0.0) <= denoise


@pytest.mark.parametrize("denoise", [round(0.05 * n, 2) for n in range(2, 20)])
def test_the_same_holds_where_the_picture_is_too_unlike(denoise: float) -> None:
    nearer = round(denoise - 0.05, 2)
    seen = [judged(n, CHANGE_FAILED, denoise=nearer) for n in range(1, 6)]
    found = plan([*seen, judged(6, CHANGE_FAILED, denoise=denoise, likeness=0.1)], criteria=[RED])
    assert (found.sampling.denoise or 0.0) >= denoise


def test_a_picture_that_nobody_looked_at_has_shown_nothing() -> None:
    unseen = judged(1, NONE, denoise=0.8, cfg=10.0, looked=False)
    found = plan([unseen, judged(2, NONE, denoise=0.5, likeness=0.95)]).sampling
    assert (found.denoise or 0.0) >= 0.55 and (found.cfg or 0.0) >= 8.0


def test_a_likeness_measured_from_pixels_asks_for_nothing() -> None:
    measured = plan([judged(1, KEPT_FAILED, likeness=0.99, compared=False)])
    assert (measured.sampling.denoise or 1.0) < 0.5


# --- what stays -------------------------------------------------------------------------------------------------------

LOCKS = [locked for n in range(4) for locked in itertools.combinations(("denoise", "cfg", "seed"), n)]


@pytest.mark.parametrize("locked", LOCKS)
@pytest.mark.parametrize("likeness", [0.1, 0.6, 0.95])
@pytest.mark.parametrize(("denoise", "cfg"), [(0.5, 7.0), (None, 7.0), (0.5, None), (None, None)])
def test_what_is_locked_or_has_no_place_in_the_workflow_stays(
    locked: Sequence[str], likeness: float, denoise: Optional[float], cfg: Optional[float]
) -> None:
    history = [judged(n, NONE, denoise=denoise, cfg=cfg, likeness=likeness) for n in (1, 2)]
    found = plan(history, *locked)
    for name, before in (("denoise", denoise), ("cfg", cfg)):
        after = getattr(found.sampling, name)
        assert (after is None) is (before is None)
        if name in locked:
            assert after == before
    assert replace(found.sampling, denoise=denoise, cfg=cfg) == history[-1].sampling
    assert found.moves


@pytest.mark.parametrize(("locked", "cfg"), [((), 7.0), (("cfg",), 7.0), ((), None)])
def test_with_a_fixed_seed_no_settings_are_tried_twice(locked: Sequence[str], cfg: Optional[float]) -> None:
    history: List[Attempt] = []
    sampling = Sampling(denoise=0.5, cfg=cfg, seed=7)
    for number in range(1, 16):
        attempt = judged(number, NONE if number % 3 else KEPT_FAILED, denoise=sampling.denoise, cfg=sampling.cfg)
        history.append(attempt)
        sampling = plan(history, "seed", *locked).sampling
        assert (sampling.denoise, sampling.cfg) not in {(a.sampling.denoise, a.sampling.cfg) for a in history}


def test_with_other_prompts_the_same_settings_give_another_picture() -> None:
    history = [judged(n, CHANGE_FAILED, denoise=0.7, prompts=Prompts(positive=f"red paint {n}")) for n in (1, 2, 3)]
    assert "seed" not in told(plan(history, "seed")) and plan(history, "seed", "denoise", "cfg").moves


def test_settings_between_the_steps_stay_as_they_are() -> None:
    """An average of three pictures, say: rounding it would be called a move."""
    odd = 0.4512345
    found = plan([*between(0.5, 0.4, 0.55, 0.35, 0.6), *between(odd, odd, odd, odd)], "cfg")
    assert (found.sampling.denoise, told(found)) == (odd, ["denoise and cfg unchanged"])


def between(*denoises: float) -> List[Attempt]:
    """Pictures at these settings, of which every second keeps what is kept, and the others change what is changed."""
    verdicts = itertools.cycle([KEPT_FAILED, CHANGE_FAILED])
    return [judged(n, next(verdicts), denoise=at) for n, at in enumerate(denoises, 1)]


# --- within bounds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("began", [1.0, 1.5, 2.0, 3.5, 7.0, 12.0, 20.0])
def test_cfg_keeps_to_a_range_around_the_one_that_the_run_began_with(began: float) -> None:
    found = cfgs_around(began)
    assert found == sorted(set(found)) and found[0] >= 1.0 and found[-1] <= 20.0
    assert began in found and found[-1] <= 2 * began and found[0] >= min(1.0, began) and found[0] >= 0.4 * began


@pytest.mark.parametrize("began", [1.0, 1.5, 7.0, 18.0])
@pytest.mark.parametrize("likeness", [0.1, 0.6, 0.99])
@pytest.mark.parametrize("votes", [NONE, CHANGE_FAILED, KEPT_FAILED])
def test_however_long_a_run_fails_settings_stay_within_bounds(began: float, likeness: float, votes: Any) -> None:
    """A turbo model lives at a cfg of 1: twice that is the most that is tried."""
    history: List[Attempt] = []
    sampling = Sampling(denoise=0.5, cfg=began)
    for number in range(1, 10):
        history.append(judged(number, votes, denoise=sampling.denoise, cfg=sampling.cfg, likeness=likeness))
        sampling = plan(history).sampling
        assert 0.0 <= (sampling.denoise or 0.0) <= 1.0
        assert max(1.0, 0.4 * began) <= (sampling.cfg or 0.0) <= min(20.0, 2 * began)


@pytest.mark.parametrize("cfg", [0.0, 0.05, 0.5, 30.0])
@pytest.mark.parametrize("locked", [(), ("cfg",)])
def test_a_cfg_of_the_workflow_that_settings_cannot_hold_stays_or_moves_into_bounds(
    cfg: float, locked: Sequence[str]
) -> None:
    for likeness in (0.6, 0.95):
        found = plan([judged(1, NONE, cfg=cfg, likeness=likeness)], *locked)
        assert found.sampling.cfg == cfg or 1.0 <= (found.sampling.cfg or 0.0) <= 20.0
        assert found.sampling.cfg == cfg or not locked


# --- in words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("votes", [NONE, CHANGE_FAILED, KEPT_FAILED, ALL, {"is_red": U, "same_shape": U}])
@pytest.mark.parametrize("likeness", [0.1, 0.6, 0.95])
@pytest.mark.parametrize("locked", [(), ("cfg",), ("denoise", "cfg")])
def test_every_move_is_told_with_one_reason(votes: Any, likeness: float, locked: Sequence[str]) -> None:
    found = plan([judged(1, votes, likeness=likeness), judged(2, votes, likeness=likeness)], *locked)
    before = judged(2, votes).sampling
    changed = [name for name in ("denoise", "cfg") if getattr(found.sampling, name) != getattr(before, name)]
    assert [move.what.split()[0] for move in found.moves] == (changed or ["denoise"])
    for move in found.moves:
        assert "\n" not in move.what + move.why and move.why and "{" not in move.why
        assert not re.search(r"\bnan\b|None|Sampling|posterior|likelihood", move.why)


def test_a_reason_names_the_criterion_and_what_it_gains() -> None:
    (move,) = plan([judged(1, CHANGE_FAILED)], "cfg").moves
    assert re.match(r"denoise 0\.5 → 0\.\d+$", move.what)
    assert re.match(r"is_red asks for a bolder edit: met with a chance of \d+% instead of \d+%$", move.why)
    (move,) = plan([judged(1, KEPT_FAILED)], "cfg").moves
    assert move.why.startswith("same_shape asks for a gentler edit: ")


@pytest.mark.parametrize("name", ["a{b}", "{}a", "{0.__class__}a", "50%a"])
def test_a_field_may_have_any_name(name: str) -> None:
    (move,) = plan([judged(1, {name: N})], "cfg", criteria=[criterion(name, "change")]).moves
    assert move.why.startswith(f"{name} asks for a bolder edit: ")


@pytest.mark.parametrize(
    ("denoise", "cfg", "locked", "why"),
    [
        (0.5, 7.0, ("denoise", "cfg"), "both are locked"),
        (None, 7.0, ("cfg",), "they are locked, or the workflow has no place for them"),
        (None, None, (), "they are locked, or the workflow has no place for them"),
    ],
)
def test_where_nothing_can_move_it_is_said_why(
    denoise: Optional[float], cfg: Optional[float], locked: Sequence[str], why: str
) -> None:
    (move,) = plan([judged(1, NONE, denoise=denoise, cfg=cfg)], *locked).moves
    assert move == Move(what="denoise and cfg unchanged", why=why)


def test_where_nothing_better_is_known_the_picture_was_unlucky() -> None:
    history = between(0.5, 0.4, 0.55, 0.35, 0.6, 0.45, 0.45)
    why = plan(history, "cfg").moves[-1].why
    assert re.fullmatch(
        r"no other settings promise more: with these all criteria are met with a chance of \d\d%; "
        "the picture was unlucky, and a new seed may do better",
        why,
    )
    assert "seed" not in plan(history, "cfg", "seed").moves[-1].why


def test_of_a_single_criterion_it_is_told_in_the_singular() -> None:
    history = [judged(n, {"is_red": [N, N]}, denoise=at) for n, at in enumerate((0.5, 0.85, 1.0), 1)]
    why = plan(history, "cfg", criteria=[criterion("is_red", "change")]).moves[-1].why
    assert re.match(r"no other settings promise more: with these the criterion is met with a chance of \d\d%; ", why)


def test_a_picture_of_which_nothing_was_answered_is_not_called_unlucky() -> None:
    kind = criterion("is_red", "change")
    stays = plan([judged(1, {"is_red": U})], "cfg", criteria=[kind]).sampling.denoise
    (move,) = plan([judged(1, {"is_red": U}, denoise=stays)], "cfg", criteria=[kind]).moves
    assert (move.what, move.why) == (
        "denoise and cfg unchanged",
        "no criterion was answered, so the picture tells nothing of them",
    )


def test_what_was_tried_is_not_called_untried() -> None:
    reasons = []
    for history in _walks():
        found = plan(history)
        after = (found.sampling.denoise, found.sampling.cfg)
        is_known = after in {(a.sampling.denoise, a.sampling.cfg) for a in history}
        reasons += [is_known for move in found.moves if "not been tried" in move.why]
    assert reasons and not any(reasons)


def _walks() -> List[List[Attempt]]:
    """Histories as runs make them, under verdicts of several kinds."""
    walks = []
    for pattern in itertools.product((NONE, CHANGE_FAILED, KEPT_FAILED), repeat=2):
        history: List[Attempt] = []
        sampling = Sampling(denoise=0.5, cfg=7.0)
        for number in range(1, 6):
            votes = pattern[number % 2]
            history.append(judged(number, votes, denoise=sampling.denoise, cfg=sampling.cfg))
            walks.append(list(history))
            sampling = plan(history).sampling
    return walks


# --- odd histories ----------------------------------------------------------------------------------------------------


def test_verdicts_of_older_versions_count_as_votes() -> None:
    old = [judged(n, CHANGE_FAILED, with_votes=False) for n in (1, 2)]
    assert plan(old).sampling == plan([judged(n, CHANGE_FAILED) for n in (1, 2)]).sampling


def test_criteria_that_came_later_and_that_are_gone_harm_nothing() -> None:
    found = plan([judged(1, {"is_red": N, "gone": N}), judged(2, {"is_red": N, "gone": Y})])
    assert (found.sampling.denoise or 0.0) > 0.5 and "gone" not in found.moves[0].why


def test_a_single_criterion_without_tags_is_searched_for_in_both_directions() -> None:
    alone = [criterion("a")]
    seen = [judged(n, {"a": N}, denoise=0.5) for n in (1, 2, 3)]
    found = plan(seen, criteria=alone).sampling.denoise or 0.0
    assert found != 0.5
    other = plan([*seen, *(judged(n, {"a": N}, denoise=found) for n in (4, 5, 6, 7))], criteria=alone).sampling.denoise
    assert ((other or 0.0) - 0.5) * (found - 0.5) < 0


def test_before_the_first_judged_picture_the_tags_are_all_that_is_held() -> None:
    strategy, sampling = AdaptiveStrategy(BOTH), Sampling(denoise=0.9, cfg=7.0)
    expected = strategy.outlook([], sampling).expected
    assert expected["is_red"] > 0.8 and expected["same_shape"] < 0.3
    unseen = [judged(1, NONE, looked=False)]
    assert strategy.outlook(unseen, sampling) == strategy.outlook([], sampling)


def test_what_is_known_of_the_judge_goes_into_the_outlook() -> None:
    yes_sayer = AdaptiveStrategy(BOTH, [(False, True)] * 20)
    assert yes_sayer.outlook([], Sampling(denoise=0.5)).rates.false_pass > 0.4
    quarrels = [judged(n, {"is_red": [Y, N, Y], "same_shape": [Y, Y]}) for n in range(1, 9)]
    assert AdaptiveStrategy(BOTH).outlook(quarrels, Sampling(denoise=0.5)).rates.false_fail > 0.1


def many(count: int, pictures: int) -> Tuple[List[Criterion], List[Attempt]]:
    """Criteria of all kinds, and pictures of which each meets some."""
    criteria = [criterion(f"c{n}", ("change", "preserve", None)[n % 3]) for n in range(count)]
    history = [
        judged(
            n, {c.field: (n + i) % (2 if i < 15 else 3) == 0 for i, c in enumerate(criteria)}, denoise=0.3 + 0.02 * n
        )
        for n in range(1, pictures + 1)
    ]
    return criteria, history


def test_thirty_criteria_are_decided_upon_at_once() -> None:
    """The bound is far above what it takes: this is about seconds, not about milliseconds."""
    criteria, history = many(30, 20)
    started = time.process_time()
    plan(history, criteria=criteria)
    find_conflict(criteria, history)
    assert time.process_time() - started < 3.0


def test_no_setting_is_worked_out_twice_in_a_decision() -> None:
    criteria, history = many(30, 20)
    before = _chances.cache_info()
    plan(history, criteria=criteria)
    after = _chances.cache_info()
    settings = 20 * 9 + 12  # denoise by cfg, and finer steps and the like
    assert after.hits + after.misses - before.hits - before.misses <= len(criteria) * (len(history) + settings)


@pytest.mark.parametrize("count", [2, 10, 20, 40])
def test_many_criteria_do_not_hold_settings_where_they_are(count: int) -> None:
    """The chance that all of many are met is small everywhere; what half of them ask for is to be done all the same."""
    criteria = [criterion(f"c{n}", "change" if n % 2 else "preserve") for n in range(count)]
    history = [judged(n, {c.field: c.intent == "preserve" for c in criteria}, denoise=0.3) for n in (1, 2)]
    denoise = plan(history, criteria=criteria).sampling.denoise
    assert denoise is not None and denoise > 0.4
