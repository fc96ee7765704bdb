"""Launcher: `python iterative_imagination.py --project NAME`."""

from imagination.cli import main

if __name__ == "__main__":
    main()
