"""The HTTP session of both clients: it leads nowhere but to the address that was asked.

What to make of a redirect's status is for those who asked.
"""

from __future__ import annotations

import ipaddress

import requests


class Session(requests.Session):
    """A session for one host. It follows no redirect: a POST would arrive as a GET, and elsewhere than the user said.

    `allow_redirects=False` alone is not enough: requests then reads the whole body of a redirect to find out about the
    next address, `stream=True` or not, and so goes round any limit of size. A proxy of the environment is for the world
    outside: it cannot reach our own machine.
    """

    def __init__(self, host: str) -> None:
        super().__init__()
        self.trust_env = not is_loopback(host)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Say that there is no other address."""


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own; 127.0.0.1.example.org is not."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
