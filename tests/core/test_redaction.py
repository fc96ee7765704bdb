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


def test_a_text_full_of_backslashes_takes_no_time() -> None:
    assert redacted("\\" * 100_000, KEY) == "\\" * 100_000


@pytest.mark.parametrize(
    ("secret", "tail"), [("sk-or-v1-abcdef", "…cdef"), ("short", "…"), ("a long password\"'", "…"), ("", "…")]
)
def test_the_tail_is_short_and_breaks_nothing(secret: str, tail: str) -> None:
    assert tail_of(secret) == tail
