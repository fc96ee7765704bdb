"""Taking a secret out of what a server sends back, in whatever way the server has written it down.

All in the text as it came, before anything is read from it: what is decoded later then cannot bring the secret back.
"""

from __future__ import annotations

import base64
import functools
import re
from typing import List, Pattern

SHORTEST = 4  # characters; less is a word, and stands in any answer
LONG = 12  # characters: as many make sure that four of them, or its base64, are not the whole or anything else


def tail_of(secret: str) -> str:
    """The last four characters, enough to tell keys apart; none of a key that is hardly longer, or that breaks JSON."""
    return f"…{secret[-4:]}" if len(secret) >= LONG and secret[-4:].isalnum() else "…"


def redacted(text: str, secret: str) -> str:
    """`text` with no more than the tail of `secret` wherever it is quoted: raw, or escaped as JSON (in JSON), URLs, HTML
    and base64 do it.
    """
    return _pattern(secret).sub(tail_of(secret), text) if len(secret) >= SHORTEST else text


@functools.lru_cache(maxsize=4)
def _pattern(secret: str) -> Pattern[str]:
    forms = ["".join(map(_character, secret))]
    return re.compile("|".join(forms + (_in_base64(secret) if len(secret) >= LONG else [])))


def _character(char: str) -> str:
    """One character in any form. JSON in JSON has more than one backslash; the bound keeps a text full of them cheap."""
    code, percent = ord(char), "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "replace"))
    json_or_url = rf"\\{{1,8}}(?:u{code:04x}|x{code:02x})|{percent}"
    return rf"(?:\\{{0,8}}{re.escape(char)}|(?i:{json_or_url}|&#x0*{code:x};)|&#0*{code};)"


def _in_base64(secret: str) -> List[str]:
    """The secret within something longer in base64: for each place in a group of three, what depends on it alone."""
    forms = []
    for before in range(3):
        data = secret.encode("utf-8", "replace")
        whole = base64.b64encode(b"\0" * before + data).decode("ascii")
        end = {0: 0, 1: 3, 2: 2}[(before + len(data)) % 3]
        own = whole[(0, 2, 3)[before] : len(whole) - end]
        forms.append(re.escape(own).replace("/", r"\\{0,8}[/_]").replace(r"\+", "[+-]"))
    return forms
