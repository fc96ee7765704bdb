"""For all tests: a suite that a script started in the background, or under nohup, has Ctrl-C or the end of the terminal
switched off, and so would its children; and a command that was stopped hears no more signals, which is for processes.
"""

from __future__ import annotations

import signal
from typing import Iterator

import pytest

USUAL = {"SIGINT": signal.default_int_handler, "SIGTERM": signal.SIG_DFL, "SIGHUP": signal.SIG_DFL}
HEARD = {getattr(signal, name): handler for name, handler in USUAL.items() if hasattr(signal, name)}

for number, handler in HEARD.items():
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _signals_are_heard_again() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in HEARD}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
