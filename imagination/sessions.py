"""The HTTP session of both clients: it leads nowhere but to the address that was asked.

What to make of a redirect's status is for those who asked.
"""

from __future__ import annotations

import ipaddress
import os
import socket

import requests

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # as requests reads them


class Session(requests.Session):
    """A session for one host. It follows no redirect: a POST would arrive as a GET, and elsewhere than the user said.

    `allow_redirects=False` alone is not enough: requests then reads the whole body of a redirect to find out about the
    next address, `stream=True` or not, and so goes round any limit of size. A proxy of the environment is for the world
    outside: it cannot reach our own machine.
    """

    def __init__(self, host: str) -> None:
        super().__init__()
        if is_loopback(host):
            self.trust_env = False
            self.verify = next((os.environ[name] for name in BUNDLES if os.environ.get(name)), True)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Say that there is no other address."""


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own; 127.0.0.1.example.org is not.

    So is every name below `localhost` (RFC 6761), and 0.0.0.0, which is what a server says that listens everywhere.
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return _is_short_loopback(name)
    return any(
        each.is_loopback or each.is_unspecified for each in (address, getattr(address, "ipv4_mapped", None) or address)
    )


def _is_short_loopback(name: str) -> bool:
    """127.1 and the like, which C's `inet_aton` takes for addresses."""
    try:
        return socket.inet_aton(name)[0] == 127
    except (OSError, ValueError):
        return False
