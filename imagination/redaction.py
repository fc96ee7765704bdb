"""Taking a secret out of what a server sends back, in whatever way the server has written it down.

In the text as it came, before anything is read from it: what is decoded later then cannot bring the secret back. What is
joined of several parts goes through here once more.
"""

from __future__ import annotations

import base64
import functools
import re
from typing import List, Pattern

SHORTEST = 4  # characters; less is a word, and stands in any answer
LONG = 12  # characters: as many make sure that four of them, or its base64, are not the whole or anything else
# between two characters of a secret: blanks, and what a screen does not show (UTF-16 read as UTF-8 is full of NULs)
UNSEEN = (
    r"(?:[\s\x00-\x1f\x7f\u200b-\u200f\u2060\ufeff]"
    r"|\\{1,8}(?:u(?:00[01][0-9a-f]|00a0|200[b-f]|2060|feff)|x[01][0-9a-f]|[bfnrt])){0,8}"
)


def tail_of(secret: str) -> str:
    """The last four characters, enough to tell keys apart; none of a key that is hardly longer, or that breaks JSON."""
    return f"…{secret[-4:]}" if len(secret) >= LONG and secret[-4:].isalnum() else "…"


def redacted(text: str, secret: str) -> str:
    """`text` with no more than the tail of `secret` wherever it is quoted: raw, in capitals or small letters, spaced out,
    or escaped as JSON (in JSON), URLs, HTML, base64 and hexadecimal do it. So is each half of a long one: what is in two
    places of an answer may be put together later.
    """
    return _pattern(secret).sub(tail_of(secret), text) if len(secret) >= SHORTEST else text


@functools.lru_cache(maxsize=4)
def _pattern(secret: str) -> Pattern[str]:
    whole = [_spelled(secret)]
    if len(secret) >= LONG:
        whole += [f"(?i:{secret.encode('utf-8', 'replace').hex()})", *_in_base64(secret)]
    half = len(secret) // 2
    halves = [_spelled(secret[:half]), _spelled(secret[half:])] if half >= LONG else []
    return re.compile("|".join(whole + halves))


def _spelled(text: str) -> str:
    return UNSEEN.join(map(_character, text))


def _character(char: str) -> str:
    """One character in any form. JSON in JSON has more than one backslash; the bound keeps a text full of them cheap."""
    code, percent = ord(char), "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "replace"))
    json_or_url = rf"\\{{1,8}}(?:u{code:04x}|x{code:02x})|{percent}"
    return rf"(?i:\\{{0,8}}{re.escape(char)}|{json_or_url}|&#x0*{code:x};|&#0*{code};)"


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
