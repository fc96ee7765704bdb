"""The HTTP session of both clients: it leads nowhere but to the address that was asked.

What to make of a redirect's status is for those who asked.
"""

from __future__ import annotations

import requests


class Session(requests.Session):
    """A session that follows no redirect: a POST would arrive as a GET, and elsewhere than the user said.

    `allow_redirects=False` alone is not enough: requests then reads the whole body of a redirect to find out about the
    next address, `stream=True` or not, and so goes round any limit of size.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Say that there is no other address."""
