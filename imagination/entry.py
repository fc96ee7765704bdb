"""The doors of the two commands. What they need is imported here: Ctrl-C in the first tenth of a second is a stop as well."""

from __future__ import annotations


def iterate() -> None:
    """Run `iterative-imagination`."""
    try:
        from .cli import main
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    main()


def control() -> None:
    """Run `iterativectl`."""
    try:
        from .ctl import main
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    main()
