"""The tolerant grammar for JSON as models write it (contracts/vlm-replies.md, Tolerant grammar).

Nothing here knows types: a string stays a string. What the grammar cannot vouch for is marked, not guessed:

    NO_VALUE   NaN, Infinity, a member without a value, a number with more digits than any answer has
    CutList    a list whose end is not in the text; its finished items are there, but it is no whole value
    Bare       text without quotes, e.g. `business-casual` or `92%`; only types with few values may take it

Members whose value is cut by the end of the text (half a string, `tru`, a number as the very last character) are left
out. Time is linear in the text: look-ahead is bounded and far searches are remembered. Nesting deeper than `MAX_DEPTH`
is skipped, so no input can exhaust the stack.
"""

from __future__ import annotations

import math
import re
import string
from typing import Any, Dict, FrozenSet, List, Optional, Tuple

from imagination.model import key_of

NO_VALUE: Any = type("NoValue", (), {"__repr__": lambda self: "NO_VALUE"})()
MAX_DEPTH = 40  # deeper than any answer, far below the interpreter's stack
MAX_DIGITS = 300  # more digits do not fit a float, and int() refuses 4300 since Python 3.11
MAX_KEY = 400  # characters; the question's text may be the key
LOOKAHEAD_COMMENTS = 8


class CutList(List[Any]):
    """A list that the text ends in."""


class Bare(str):
    """A word or phrase written without quotes where a value belongs."""


def number_from(text: str) -> Any:
    """Read a number in JSON's spelling, also with `+`, a leading dot or zeros; NO_VALUE if it is not finite."""
    if len(text) > MAX_DIGITS:
        return NO_VALUE
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else NO_VALUE


_OPENERS = re.compile(r"[{\[\s]+")
_KINDS = ('"“”„‟＂', "'‘’‚‛", "`´", "«»", "「」", "『』")  # marks of one kind may open and close in any pairing
_KIND_OF = {mark: kind for kind in _KINDS for mark in kind}
_QUOTES = "".join(_KINDS)
_SCAN = {kind: re.compile(rf"\\.|[{kind}]", re.DOTALL) for kind in _KINDS}
_OPENING, _CLOSING = frozenset("“„‘‚«「『"), frozenset("”’»」』")
_SOLID = frozenset(string.ascii_letters + string.digits + "\"'`{}[]:=()")  # no blank, separator or comment begins so
_BLANKS = re.compile(r"[\s\u200b-\u200d\u2060\ufeff]*(?:\\[nrt][\s\u200b-\u200d\u2060\ufeff]*)*")
_SEPARATORS = re.compile(
    r"[\s\u200b-\u200d\u2060\ufeff,;，；、…]*(?:(?:\.\.\.|\\[nrt])[\s\u200b-\u200d\u2060\ufeff,;，；、…]*)*"
)
_COLON = re.compile(r"(?:=>|[:：]=?|=)")
_BARE_KEY = re.compile(rf"[^\s{_QUOTES}{{}}\[\],;，；:：=#/<][^\"“”„`«»「」{{}}\[\],;，；:：=\n]{{0,120}}(?==>|[:：=])")
_BARE_END = re.compile(
    r"[,;，；{}\[\]\n\"“”„«»「」`]|//|/\*|<!--|\s#|(?<=\s)['‘](?=\w)|(?<=\s)[^\W\d][\w\\-]*\s*(?:=>|[:：=])"
)
_STRAY = re.compile(rf"[{_QUOTES}]+|[^\s{_QUOTES}{{}}\[\],;，；]+|.", re.DOTALL)
_ITEM_RUN = re.compile(rf"[^{_QUOTES}\[\]{{}},;，；\n]*")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d+(?:,\d+)+(?:\.\d+)?(?=\s*[,;}\]\n])")
_NO_NUMBER = re.compile(r"[+-]?(?:nan|inf|infinity)")
_LITERALS = {"true": True, "false": False, "null": None, "none": None, "undefined": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|(.))", re.DOTALL)
_COMMENTS = (("//", "\n"), ("#", "\n"), ("/*", "*/"), ("<!--", "-->"))


def _unescape(match: re.Match[str]) -> str:
    high, low, plain = match.groups()
    if plain is not None:
        return _ESCAPES.get(plain, plain)
    if low and 0xD800 <= int(high, 16) <= 0xDBFF:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
    return chr(int(high, 16)) + (chr(int(low, 16)) if low else "")


class Reader:
    """The tolerant grammar over one text. `read` starts at an opener, `members` where a first `{` is missing."""

    def __init__(self, text: str, names: FrozenSet[str] = frozenset()) -> None:
        self.text = text
        self.names = names  # tell a key without quotes from a word of the text
        self.pos = 0
        self.cut = False  # the text ended inside a value
        self._seen: Dict[str, Tuple[int, int]] = {}

    def read(self, start: int) -> Tuple[Any, int]:
        """Read the object or list that opens at `start`; return it and where it ends."""
        self.pos, self.cut = start, False
        return self._value("", False), self.pos

    def members(self, start: int) -> Tuple[Dict[str, Any], int]:
        """Read the members of an object whose `{` is missing; return it and where it ends."""
        self.pos, self.cut = start, False
        return self._object(""), self.pos

    # --- containers -------------------------------------------------------------------------------------------------

    def _object(self, inside: str) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        inside += "{"
        while True:
            self._skip_separators()
            char = self._peek()
            if not char or (char == "]" and "[" in inside):  # the end, or its list is closed and so is it
                return found
            if char in "}]":
                self.pos += 1
                if char == "}":
                    return found
            elif char in "{[":  # no key: kept under a name that no property can have
                self._put(found, f"(unnamed {len(found)})", self._value(inside, False))
            else:
                self._member(found, inside)

    def _member(self, found: Dict[str, Any], inside: str) -> None:
        bare = self._peek() not in _KIND_OF
        key = self._key(self.pos)
        if key is None:
            self.pos = self._end_of(_STRAY, self.pos)
            return
        name, self.pos = key
        self._put(found, name, self._value(inside, bare))

    def _put(self, found: Dict[str, Any], key: str, value: Any) -> None:
        if value is NO_VALUE and self.cut:
            return
        found.pop(key, None)  # a repeated key stands where it came last
        found[key] = value

    def _list(self, inside: str) -> List[Any]:
        items: List[Any] = []
        keyed: Dict[str, Any] = {}  # PHP writes objects as ["key" => value]
        inside += "["
        while True:
            separated = self._skip_separators()
            char = self._peek()
            if not char:
                whole = bool(items or keyed) and not separated and not self.cut
                return self._with(items if whole else CutList(items), keyed)
            if char == "]" or (char == "}" and "{" in inside):
                if char == "]" or self._next_key_follows(self.pos + 1):
                    self.pos += 1
                return self._with(items, keyed)
            if char == "}":
                self.pos += 1  # a surplus closer
                continue
            key = self._key(self.pos) if char in _KIND_OF else None
            if key:
                self.pos = key[1]
                self._put(keyed, key[0], self._value(inside, False))
            else:
                self._item(items, inside)

    def _item(self, items: List[Any], inside: str) -> None:
        start = self.pos
        value = self._value(inside, False)
        if self.pos == start:
            self.pos += 1
        elif not (value is NO_VALUE and self.cut):
            items.append(value)

    @staticmethod
    def _with(items: List[Any], keyed: Dict[str, Any]) -> List[Any]:
        if keyed:
            items.append(keyed)
        return items

    # --- values -----------------------------------------------------------------------------------------------------

    def _value(self, inside: str, bare_key: bool) -> Any:
        before = self.pos
        self.pos = self._skip(self.pos)
        char = self._peek()
        if char and char in "{[":
            if len(inside) >= MAX_DEPTH:
                self.pos = self._end_of(_OPENERS, self.pos)
                return NO_VALUE
            self.pos += 1
            return self._object(inside) if char == "{" else self._list(inside)
        if char in _KIND_OF:
            if "\n" in self.text[before : self.pos] and inside.endswith("{") and self._key(self.pos):
                return NO_VALUE  # the value is missing and the next line's key is here
            return self._string(inside, bare_key)
        if not char:
            self.cut = True
        return NO_VALUE if not char or char in ",;，；}]" else self._bare(inside)

    def _string(self, inside: str, bare_key: bool) -> Any:
        text, start, nested = self.text, self.pos + 1, 0
        for mark in _SCAN[_KIND_OF[text[self.pos]]].finditer(text, start):
            token = mark.group()
            if token[0] == "\\":
                continue
            if nested and token in _CLOSING:
                nested -= 1
            elif self._ends_string(mark.end(), inside, bare_key):
                self.pos = mark.end()
                return _ESCAPE.sub(_unescape, text[start : mark.start()])
            elif token in _OPENING:
                nested += 1
        self.pos, self.cut = len(text), True
        return NO_VALUE

    def _ends_string(self, pos: int, inside: str, bare_key: bool) -> bool:
        """Say whether a quote that ends at `pos` closes its string: what follows must be able to follow a value."""
        after = self._skip(pos, LOOKAHEAD_COMMENTS)
        char = self.text[after : after + 1]
        if not char or char in "}]":
            return True
        comma = char in ",;，；"
        if not comma and after == pos:
            return False
        if comma:
            after = self._skip(self._end_of(_SEPARATORS, after), LOOKAHEAD_COMMENTS)
            char = self.text[after : after + 1]
            if not char or char in "}]{":
                return True
        if inside.endswith("["):
            return self._is_item(after, comma)
        return self._is_key(after, bare_key)

    def _is_item(self, pos: int, comma: bool) -> bool:
        if self.text[pos] in _KIND_OF or self.text[pos] in "[{":
            return True
        stop = self._end_of(_ITEM_RUN, pos)  # without quotes an item runs up to a comma or the closer
        return comma and (stop >= len(self.text) or self.text[stop] in ",;，；]\n")

    def _is_key(self, pos: int, any_bare: bool) -> bool:
        key = self._key(pos)
        if key:
            return any_bare or self.text[pos] in _KIND_OF or key_of(key[0]) in self.names
        return self._is_cut_key(pos, any_bare)

    def _is_cut_key(self, pos: int, any_bare: bool) -> bool:
        """Say whether the text ends inside or right after a key that begins at `pos`."""
        if len(self.text) - pos > MAX_KEY:
            return False
        kind = _KIND_OF.get(self.text[pos])
        rest = self.text[pos:].strip()
        if kind:
            return not set(kind) & set(rest[1:-1])
        return any_bare and re.fullmatch(r"[^\W\d]\w*", rest) is not None

    def _bare(self, inside: str) -> Any:
        start, text = self.pos, self.text
        grouped = _GROUPED.match(text, start) if inside.endswith("{") else None
        if grouped:  # 1,250 or 0,4: no key follows the comma, so it belongs to the number
            self.pos = grouped.end()
            return Bare(grouped.group())
        stop = _BARE_END.search(text, start)
        self.pos = stop.start() if stop else len(text)
        word = text[start : self.pos].strip()
        at_end = self.pos == len(text) and not text[-1].isspace()
        folded = word.casefold()
        if folded in _LITERALS:
            return _LITERALS[folded]
        if at_end and folded not in ("yes", "no"):
            self.cut = True
            return NO_VALUE
        if _NO_NUMBER.fullmatch(folded):
            return NO_VALUE
        return number_from(word) if _NUMBER.fullmatch(word) else Bare(word)

    # --- keys -------------------------------------------------------------------------------------------------------

    def _key(self, pos: int) -> Optional[Tuple[str, int]]:
        """Read a key and its colon at `pos`: return the key and the place after the colon, or None."""
        char = self.text[pos : pos + 1]
        if char in _KIND_OF:
            return self._quoted_key(pos)
        bare = _BARE_KEY.match(self.text, pos)
        return (bare.group().strip(), self._end_of(_COLON, bare.end())) if bare else None

    def _quoted_key(self, pos: int) -> Optional[Tuple[str, int]]:
        marks = _SCAN[_KIND_OF[self.text[pos]]].finditer(self.text, pos + 1, pos + MAX_KEY)
        for mark in marks:
            if mark.group()[0] == "\\":
                continue
            end = mark.end()
            colon = _COLON.match(self.text, self._skip(end, 1))
            if colon:
                return _ESCAPE.sub(_unescape, self.text[pos + 1 : mark.start()]), colon.end()
            if not self.text[end : end + 1].isalnum():  # else an apostrophe
                break
        return None

    def _next_key_follows(self, pos: int) -> bool:
        after = self._skip(self._end_of(_SEPARATORS, pos), LOOKAHEAD_COMMENTS)
        return self._key(after) is not None

    # --- blanks and comments ----------------------------------------------------------------------------------------

    def _peek(self) -> str:
        return self.text[self.pos : self.pos + 1]

    def _end_of(self, pattern: re.Pattern[str], pos: int) -> int:
        match = pattern.match(self.text, pos)
        return match.end() if match else pos

    def _skip_separators(self) -> bool:
        """Go to the next token; say whether a comma or its like was passed."""
        start, separated = self.pos, False
        while self._peek() not in _SOLID:
            end = self._end_of(_SEPARATORS, self.pos)
            separated = separated or any(c in ",;，；" for c in self.text[self.pos : end])
            self.pos = self._skip(end)
            if self.pos == end:
                break
        return separated and self.pos > start

    def _skip(self, pos: int, comments: int = -1) -> int:
        """Skip blanks and at most `comments` comments (all of them when negative)."""
        while self.text[pos : pos + 1] not in _SOLID:
            pos = self._end_of(_BLANKS, pos)
            end = self._comment_end(pos) if comments else pos
            if end == pos:
                break
            pos, comments = end, comments - 1
        return pos

    def _comment_end(self, pos: int) -> int:
        if self.text[pos : pos + 1] not in ("/", "#", "<"):
            return pos
        for opener, closer in _COMMENTS:
            if self.text.startswith(opener, pos):
                found = self._find(closer, pos + len(opener))
                return len(self.text) if found < 0 else found + len(closer)
        return pos

    def _find(self, needle: str, pos: int) -> int:
        """`str.find` that remembers: look-ahead asks for the same far end again and again."""
        since, found = self._seen.get(needle, (0, 0))
        if since <= pos <= found or (found < 0 and since <= pos):
            return found
        found = self.text.find(needle, pos)
        self._seen[needle] = (pos, found)
        return found
