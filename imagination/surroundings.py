"""What of the environment stands between us and a server: proxies and certificates that `requests` takes from there.

An error that comes of one is told by the name of the variable, which is what has to be mended.
"""

from __future__ import annotations

import os
from typing import Optional
from urllib.parse import urlsplit

import requests
from requests.exceptions import InvalidURL, ProxyError, SSLError
from requests.utils import get_environ_proxies, select_proxy

from .errors import VisionError, VisionRefused, VisionUnreachable
from .sessions import BUNDLES, is_loopback


def hindrance(err: Exception, url: str, where: str) -> Optional[VisionError]:
    """The error that a variable of the environment led to, or None. `where`: the server, for people."""
    bundle = _first_set(*BUNDLES)
    if bundle and (isinstance(err, SSLError) or "TLS CA certificate" in str(err)):
        hint = f"Let {bundle} name a PEM file that holds the certificate of the server's authority, or unset it."
        return VisionRefused(f"{where} cannot be trusted: {bundle} names no certificate for it", hint, lasting=True)
    if isinstance(err, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(err):
        hint = f"Let {BUNDLES[0]} name a PEM file that holds the certificate of the server's authority."
        return VisionRefused(
            f"{where} cannot be trusted: nobody known here vouches for its certificate", hint, lasting=True
        )
    proxy = proxy_for(url)
    if proxy is None:
        return None
    aside = "or put the server's host into NO_PROXY"
    if isinstance(err, ProxyError):
        hint = f"Start that proxy, mend {proxy}, {aside}."
        return VisionUnreachable(f"{where} cannot be reached through the proxy that {proxy} names", hint)
    if "SOCKS" in str(err):
        hint = f'pip install "requests[socks]", or let {proxy} name an http:// proxy, {aside}.'
        return VisionRefused(
            f"{where} cannot be asked: {proxy} names a SOCKS proxy, which takes a package that is missing",
            hint,
            lasting=True,
        )
    if isinstance(err, InvalidURL) and _is_address(url):
        hint = f"Write it as http://host:port, or unset it, {aside}."
        return VisionRefused(f"{where} cannot be asked: {proxy} is no address of a proxy", hint, lasting=True)
    return None


def proxy_for(url: str) -> Optional[str]:
    """The variable whose proxy requests to `url` go through, or None. Of this machine nobody asks a proxy."""
    try:
        parts = urlsplit(url)
        proxy = None if is_loopback(parts.hostname or "") else select_proxy(url, get_environ_proxies(url))
    except ValueError:  # no address
        return None
    if proxy is None:
        return None
    names = [spelt for name in (f"{parts.scheme}_proxy", "all_proxy") for spelt in (name, name.upper())]
    return next((name for name in names if os.environ.get(name) == proxy), "a setting of this system")


def _first_set(*names: str) -> Optional[str]:
    return next((name for name in names if os.environ.get(name)), None)


def _is_address(url: str) -> bool:
    try:
        requests.Request("GET", url).prepare()
    except ValueError:
        return False
    return True
