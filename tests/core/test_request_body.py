"""A request's JSON is the body's, whatever is in it; its pictures are not encoded anew for each request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imagination.providers import LONG, _long_text, as_json

PICTURE = "iVBORw0KGgo/+=" * LONG
QUOTED = 'a "long" text\\ of ünïcode\n\x01' * LONG


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "m", "options": {"seed": 1, "temperature": 0.5}, "think": None, "format": {"enum": ["a", 1, None]}},
        {"messages": [{"role": "user", "content": "two", "images": [PICTURE, PICTURE[:-4]]}]},
        {"images": [PICTURE, "short", PICTURE]},
        {"first": PICTURE, "pair": ("short", PICTURE)},
        {"long but no picture": QUOTED},
    ],
)
def test_what_is_sent_reads_back_as_the_body(body: Any) -> None:
    sent = b"".join(as_json(body))
    assert json.loads(sent) == json.loads(json.dumps(body))
    assert len(as_json(body)) == len(sent)


def test_a_number_that_is_none_in_json_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        as_json({"options": {"temperature": float("nan")}})


def test_a_picture_that_goes_with_three_requests_is_encoded_once() -> None:
    _long_text.cache_clear()
    for purpose in ("questions", "comparison", "evaluation"):
        as_json({"purpose": purpose, "images": [PICTURE]})
    assert _long_text.cache_info().misses == 1
