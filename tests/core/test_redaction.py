"""Whatever a server makes of a secret, no more than its tail is left; and nothing else is touched."""

from __future__ import annotations

import base64
import json
import re
from typing import Callable
from urllib.parse import quote

import pytest

from imagination.redaction import redacted, tail_of

KEY = 'ab/cd"SECRET\\KEY+%/1234567890abcd'


def as_numbers(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" for c in text)


def as_entities(text: str) -> str:
    return "".join(f"&#{ord(c)};" if not c.isalnum() else f"&#x{ord(c):X};" for c in text)


FORMS = {
    "raw": str,
    "JSON": json.dumps,
    "PHP": lambda key: json.dumps(key).replace("/", "\\/"),
    "numbers": as_numbers,
    "large numbers": lambda key: as_numbers(key).upper().replace("\\U", "\\u"),
    "JSON in JSON": lambda key: json.dumps(json.dumps(key).replace("/", "\\/")),
    "numbers in JSON": lambda key: json.dumps(as_numbers(key)),
    "address": quote,
    "small address": lambda key: re.sub("%..", lambda found: found.group().lower(), quote(key, safe="")),
    "entities": as_entities,
    **{f"base64 after {n}": lambda key, n=n: base64.b64encode(b"joe:"[:n] + key.encode()).decode() for n in range(3)},
    "capitals": str.upper,
    "spaced": " ".join,
    "UTF-16 as UTF-8": lambda key: key.encode("utf-16-le").decode("utf-8"),
    "NULs in JSON": lambda key: json.dumps("\0".join(key)),
    "unseen": lambda key: "\u200b".join(key),
    "hexadecimal": lambda key: key.encode().hex().upper(),
    "base64 of addresses": lambda key: base64.urlsafe_b64encode(b"\xff" + key.encode()).decode(),
}


@pytest.mark.parametrize("form", [pytest.param(form, id=name) for name, form in FORMS.items()])
def test_a_secret_is_taken_out_in_every_form(form: Callable[[str], str]) -> None:
    text = f"before {form(KEY)} after"
    left = redacted(text, KEY)
    assert left.startswith("before ") and left.endswith(" after") and "…abcd" in left
    assert len(left) <= len("before …abcd after") + 8  # quotes, and the ends of base64


@pytest.mark.parametrize("form", ["JSON", "PHP", "numbers"])
def test_json_stays_json(form: str) -> None:
    quoted = FORMS[form](KEY).strip('"')
    assert json.loads(redacted(f'{{"{quoted}": ["x", "{quoted}"]}}', KEY)) == {"…abcd": ["x", "…abcd"]}
    assert json.loads(json.loads(redacted(json.dumps(f'"{quoted}"'), KEY))) == "…abcd"


@pytest.mark.parametrize("secret", ["", "abc", "not in it", "quite another key 0123"])
def test_the_rest_stays(secret: str) -> None:
    text = 'abc \\u0061\\/ "%2F" {"a": "b\\\\"} YWJj &#47;'
    assert redacted(text, secret) == text


def test_no_two_pieces_of_an_answer_hold_a_key_between_them() -> None:
    key = "sk-or-v1-0123456789abcdef0123456789abcdef"
    for at in range(1, len(key)):
        left = redacted(json.dumps({"one": key[:at], "two": key[at:]}), key)
        assert key not in "".join(json.loads(left).values()), at


@pytest.mark.parametrize("odd", ["\\", " ", "\\n", "\0", KEY[:5], KEY[0] + " ", "\\\\\\u0000"])
def test_a_text_that_is_nearly_a_key_all_over_takes_no_time(odd: str) -> None:
    text = odd * 100_000
    assert redacted(text, KEY) == text


@pytest.mark.parametrize(
    ("secret", "tail"), [("sk-or-v1-abcdef", "…cdef"), ("short", "…"), ("a long password\"'", "…"), ("", "…")]
)
def test_the_tail_is_short_and_breaks_nothing(secret: str, tail: str) -> None:
    assert tail_of(secret) == tail
