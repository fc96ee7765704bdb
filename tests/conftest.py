"""For all tests: a suite that a script started in the background has Ctrl-C switched off, and so would its children."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
