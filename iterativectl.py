"""Launcher: `python iterativectl.py COMMAND`."""

from imagination.entry import control

if __name__ == "__main__":
    control()
