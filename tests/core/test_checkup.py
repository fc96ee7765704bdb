"""Checks side by side: the order they are told in, and what becomes of those that hang or break."""

from __future__ import annotations

import threading
from typing import Iterator

import pytest

from imagination.checkup import Check, Probe, carry_out, count, failed, failure, ok, warning
from imagination.errors import ConfigError


def saying(*checks: Check) -> Probe:
    return Probe(checks[0].name, lambda: iter(checks))


def test_checks_are_made_side_by_side_and_told_in_their_order() -> None:
    together = threading.Barrier(3)  # breaks unless all three are under way at once

    def work(name: str) -> Iterator[Check]:
        together.wait(10)
        yield ok(name, "there")
        yield ok(name, "still there")

    probes = [Probe(name, lambda name=name: work(name)) for name in "abc"]
    assert [check.name for check in carry_out(probes)] == list("aabbcc")


def test_a_check_that_hangs_is_a_warning_after_what_it_found() -> None:
    over = threading.Event()

    def hangs() -> Iterator[Check]:
        yield ok("comfyui", "answers")
        over.wait(30)
        yield ok("comfyui", "too late")

    probes = [Probe("comfyui", hangs, "restart it"), saying(ok("disk", "large"))]
    found = carry_out(probes, cap=1.5)
    over.set()
    assert found == [
        ok("comfyui", "answers"),
        warning("comfyui", "no answer within 1.5 s; not looked at further", "restart it"),
        ok("disk", "large"),
    ]


@pytest.mark.parametrize("optional", [False, True])
def test_what_says_nothing_at_all_is_a_failure_unless_a_run_can_do_without(optional: bool) -> None:
    over = threading.Event()

    def hangs() -> Iterator[Check]:
        over.wait(30)
        return iter(())

    (found,) = carry_out([Probe("fallback", hangs, "restart it", optional)], cap=1.5)
    over.set()
    make = warning if optional else failure
    assert found == make("fallback", "no answer within 1.5 s; not looked at further", "restart it")


def test_what_hangs_does_not_keep_the_program_alive() -> None:
    over, seen = threading.Event(), []

    def hangs() -> Iterator[Check]:
        seen.append(threading.current_thread().daemon)
        over.wait(30)
        return iter(())

    carry_out([Probe("x", hangs)], cap=1.5)
    over.set()
    assert seen == [True]


def test_our_own_errors_keep_their_hint() -> None:
    def refuses() -> Iterator[Check]:
        yield ok("vision", "answers")
        raise ConfigError("no model", "ollama pull eyes\ninstalled: none")

    assert carry_out([Probe("vision", refuses)]) == [
        ok("vision", "answers"),
        failure("vision", "no model", "ollama pull eyes | installed: none"),
    ]


def test_a_check_that_breaks_takes_no_other_along_and_quotes_nothing() -> None:
    def breaks() -> Iterator[Check]:
        raise KeyError("sk-or-v1-secret")

    broken, fine = carry_out([Probe("vision", breaks), saying(ok("disk", "large"))])
    assert (broken.state, broken.text) == ("failure", "this check broke: KeyError")
    assert broken.mend and "secret" not in repr(broken)
    assert fine == ok("disk", "large")


def test_a_better_mend_goes_before_the_hint() -> None:
    assert failed("comfyui", ConfigError("down", "start it"), "iterativectl comfyui start").mend == (
        "iterativectl comfyui start"
    )
    assert count([ok("a", ""), warning("b", "", "x")], "warning") == 1
