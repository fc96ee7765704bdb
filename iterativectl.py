"""Launcher: `python iterativectl.py COMMAND`."""

from imagination.ctl import main

if __name__ == "__main__":
    main()
