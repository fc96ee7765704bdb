"""One value of a file changed at a random place, as a hand, a disk or another program does it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, List, Tuple

from hypothesis import strategies as st

Keys = Tuple[Any, ...]
GONE = object()
ODD = st.one_of(
    st.sampled_from(
        [
            None, True, False, 0, 1, 2, -1, -5, 0.5, 10**9, 10**30, -(10**30), 1e200, 1e308, float("nan"), float("inf"),
            "", " ", "\ud800", "a\udc80b", "a\nb\x1b[2J\u202e", "../../x", "/etc/passwd", "{x}", "2", "x" * 5000,
            [], [1], [None], [True, False] * 1000, ["\ud800"], {}, {"\ud800": 1}, {"a": None}, [[[[[]]]]],
        ]
    ),
    st.just(GONE),
    st.integers(),
    st.floats(),
    st.text(max_size=10),
)  # fmt: skip


def places(data: Any, at: Keys = ()) -> List[Keys]:
    """The keys that lead to each value in a document, the whole of it first."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [at, *(place for key, value in inner for place in places(value, (*at, key)))]


def changed(data: Any, at: Keys, value: Any) -> Any:
    """`data` with another value in that place, or with none there."""
    if not at:
        return {} if value is GONE else value
    whole = copy.deepcopy(data)
    part = whole
    for key in at[:-1]:
        part = part[key]
    if value is GONE:
        del part[at[-1]]
    else:
        part[at[-1]] = value
    return whole


@st.composite
def one_value(draw: Any, data: Any) -> Any:
    """`data` with one value changed."""
    return changed(data, draw(st.sampled_from(places(data))), draw(ODD))


def read(path: Path) -> Any:
    """The data in a file of JSON, or in a script of the page."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text[text.index("(") + 1 : text.rindex(")")] if path.suffix == ".js" else text)


def write(path: Path, data: Any) -> None:
    """Put it there again; the lone surrogates in it as the escapes that JSON has for them."""
    text = json.dumps(data)
    path.write_text(f"imagination.receive({text});\n" if path.suffix == ".js" else text, encoding="ascii")
