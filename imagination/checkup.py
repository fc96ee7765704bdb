"""What `doctor` speaks in: a check and its outcome, and how many of them are carried out side by side.

Only the standard library is imported, so that a missing package can still be told of.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Sequence, Tuple

from .errors import ImaginationError

OK, WARNING, FAILURE = "ok", "warning", "failure"
STATES = (OK, WARNING, FAILURE)
CAP = 20.0  # s for all together: who waits longer for a server has found out already
TICK = 0.2  # s; a longer wait on Windows would hold Ctrl-C back


@dataclass(frozen=True)
class Check:
    """One line of `doctor`. `state` is one of STATES; `mend`: the command or the edit that helps, empty where all is well."""

    name: str
    state: str
    text: str
    mend: str = ""

    def as_dict(self) -> Dict[str, str]:
        """For `--format json`."""
        return {"name": self.name, "state": self.state, "text": self.text, "mend": self.mend}


@dataclass(frozen=True)
class Probe:
    """Checks that are made one after the other. `work` yields them as they come; `mend`: what to do if it hangs.

    `optional`: a run can do without what is looked at.
    """

    name: str
    work: Callable[[], Iterable[Check]]
    mend: str = "look whether the disk or the network answers at all"
    optional: bool = False


def ok(name: str, text: str) -> Check:
    """All is well."""
    return Check(name, OK, text)


def warning(name: str, text: str, mend: str) -> Check:
    """A run can start, but not as well as it might."""
    return Check(name, WARNING, text, mend)


def failure(name: str, text: str, mend: str) -> Check:
    """A run cannot start, or cannot do what is asked of it."""
    return Check(name, FAILURE, text, mend)


def failed(name: str, err: ImaginationError, mend: str = "") -> Check:
    """An error of ours as a failure; its own hint mends it, unless a better one is known."""
    return failure(name, err.message, mend or " | ".join(err.hint.splitlines()) or "see the message")


def carry_out(probes: Sequence[Probe], cap: float = CAP) -> List[Check]:
    """Make all checks side by side, at most `cap` seconds; in the order of `probes`, whatever was ready first.

    A probe that is not done by then is left behind: what it has found counts, with a warning after it. One that has found
    nothing at all is a failure: a run would wait for the same silence.
    """
    works = [_Work(probe) for probe in probes]
    for work in works:
        work.start()
    ends = time.monotonic() + cap
    for work in works:
        while work.is_alive() and time.monotonic() < ends:
            work.join(min(TICK, max(0.0, ends - time.monotonic())))
    return [check for work in works for check in work.outcome(cap)]


class _Work(threading.Thread):
    """A probe in a thread of its own, which must not keep the program alive."""

    def __init__(self, probe: Probe) -> None:
        super().__init__(name=f"doctor-{probe.name}", daemon=True)
        self._probe = probe
        self._found: Tuple[Check, ...] = ()
        self._over = False

    def run(self) -> None:
        try:
            for check in self._probe.work():
                self._found += (check,)
        except ImaginationError as err:
            self._found += (failed(self._probe.name, err),)
        except Exception as err:  # one check that breaks must not take the others along; its text may quote a secret
            text = f"this check broke: {type(err).__name__}"
            self._found += (failure(self._probe.name, text, "report it, with what is special about your set-up"),)
        self._over = True

    def outcome(self, cap: float) -> Sequence[Check]:
        """What was found, and that it is not all, if so."""
        over, found = self._over, self._found  # in this order: it may just be ending
        if over:
            return found
        told = warning if found or self._probe.optional else failure
        return (*found, told(self._probe.name, f"no answer within {cap:g} s; not looked at further", self._probe.mend))


def count(checks: Sequence[Check], state: str) -> int:
    """How many are in `state`."""
    return sum(check.state == state for check in checks)
