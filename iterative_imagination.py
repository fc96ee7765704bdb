"""Launcher: `python iterative_imagination.py --project NAME`."""

from imagination.entry import iterate

if __name__ == "__main__":
    iterate()
