"""What the vision providers share: the seam, the shape of a reply, and one HTTP exchange with its time limits.

`ollama` and `openrouter` speak the two protocols on top of this; `vision` decides about retries and fallback. Here every
error of `requests` becomes one of ours, and the key is taken out of whatever a server sends back.
"""

from __future__ import annotations

import functools
import json
import logging
import re
import time
import uuid
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import requests
from pydantic import SecretStr
from typing_extensions import Literal, Protocol

from .bounded_json import loads
from .deadline import within
from .errors import VisionBusy, VisionError, VisionRefused, VisionTimedOut, VisionUnreachable
from .model import MOST_COUNTED, Picture, Request, Usage
from .redaction import redacted, tail_of
from .sessions import Session
from .surroundings import hindrance

log = logging.getLogger(__name__)
T = TypeVar("T")

CONNECT_TIMEOUT = 10.0  # s; openrouter.md §12
CHECK_TIMEOUT = 20.0  # s; a server that lists its models slower than this is not usable
DEAREST = 10_000.0  # USD; no exchange costs more
LONG_PASSWORD = 8  # characters; a shorter one of an address may be a word, which would be missing in honest answers
MAX_BODY = 32 * 2**20  # bytes; the longest honest body, OpenRouter's list of models, is about 1 MB


class BrokenOff(VisionBusy):
    """The server gave up on this very answer (a loop, or text that its own parser rejects): a new seed can help."""


@dataclass(frozen=True)
class Reply:
    """One reply of a model. `text` is the thinking text where the answer itself was blank (`source` says so)."""

    text: str
    source: Literal["content", "thinking"] = "content"
    cut: bool = False  # ended by the length limit
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    notes: Tuple[str, ...] = ()


class Provider(Protocol):
    """One vision model on one server. Errors are `VisionError`s; `usage_of` tells what a failed call took.

    Exchanges before the last one are told to the request's `book`, and are in no reply or error.
    """

    name: str
    model: str

    def complete(self, request: Request, *, seed: int, temperature: float, max_tokens: int) -> Reply:
        """Ask once, stepping down from structured output to plain text as far as the server demands."""

    def check(self, needs_images: bool = True) -> Tuple[str, ...]:
        """Return warnings; raise what would stop a run (VisionError, or ConfigError for a missing key)."""

    def unload(self) -> None:
        """Free the model's memory, where the settings ask for that and the server can."""


def spent(err: VisionError, usage: Usage) -> VisionError:
    """Note on `err` what the failed call took: a refused or unusable answer may have been billed too."""
    err.__dict__["usage"] = usage
    return err


def usage_of(err: VisionError) -> Usage:
    """What the call that ended in `err` took; one request where nobody noted it."""
    usage = err.__dict__.get("usage")
    return usage if isinstance(usage, Usage) else Usage(requests=1)


# --- what the model is told -------------------------------------------------------------------------------------------


def picture_list(pictures: Iterable[Picture]) -> str:
    """One line a picture, numbered from 1: models do not reliably know the order from position alone (ollama.md §3)."""
    return "\n".join(f"Image {n}: {picture.label}." for n, picture in enumerate(pictures, 1))


def full_text(request: Request) -> str:
    """The list of pictures, if there are any, then the instruction."""
    listed = picture_list(request.pictures)
    return f"{listed}\n\n{request.instruction}" if listed else request.instruction


# --- reading what came ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HttpAnswer:
    """Status, headers (names in lower case) and body of one exchange."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> Any:
        """The body as JSON, leading blank lines allowed (keep-alive of OpenRouter); None where it is not JSON."""
        try:
            return loads(self.text)
        except ValueError:
            return None


def mapping(value: Any) -> Dict[str, Any]:
    """`value` if it is an object, else an empty one: servers send null, lists and strings in its place."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> List[Any]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def count(value: Any) -> int:
    """A number of tokens or bytes as the server said it; 0 for anything else."""
    return value if isinstance(value, int) and _can_be(value, MOST_COUNTED) else 0


def cost(value: Any) -> Optional[float]:
    """What an exchange cost (USD) as the server said it; None for anything else."""
    return float(value) if isinstance(value, (int, float)) and _can_be(value, DEAREST) else None


def _can_be(value: float, most: float) -> bool:
    """Say whether a figure can be true; another one is taken as not told."""
    fits = not isinstance(value, bool) and 0 <= value <= most
    if not fits:
        log.debug("a count or cost that is no number from 0 to %g is taken as not told", most)
    return fits


def seconds_until(value: str, now: float) -> Optional[float]:
    """A Retry-After header as seconds from `now` (Unix time): a number or an HTTP date; None where it is neither."""
    try:
        return max(0.0, float(value)) if float(value) < float("inf") else None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def short(text: str, limit: int = 300) -> str:
    """A server's text on one line and of bounded length; of an HTML page only the fact, never the page."""
    if re.match(r"\s*(<!doctype|<html|<\?xml)", text, re.IGNORECASE):
        return "an HTML page"
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


# --- addresses and keys -----------------------------------------------------------------------------------------------


def clean_key(secret: Optional[SecretStr], fallback: Optional[str] = None) -> SecretStr:
    """The key without the blanks and line ends that copying adds; empty where there is none."""
    value = secret.get_secret_value() if secret is not None else ""
    return SecretStr("".join(value.split()) or "".join((fallback or "").split()))


def is_sendable(key: SecretStr) -> bool:
    """Whether the key fits in an HTTP header: others would surface, whole, in the error of the HTTP library."""
    return all(33 <= ord(c) <= 126 for c in key.get_secret_value())


def key_tail(key: SecretStr) -> str:
    """What messages may show of a key."""
    return tail_of(key.get_secret_value())


def parts_of(url: str) -> SplitResult:
    """The parts of `url`; empty ones for what is no URL at all, which the exchange then reports."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def public_url(url: str) -> str:
    """`url` without the user, the password and the query it may carry."""
    parts = parts_of(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) or "the configured address"


def without_user(address: str) -> str:
    """`address` as it is written, with a scheme or without, less the user and the password it may carry."""
    return re.sub(r"^(\s*[a-z]+://)?[^/?#]*@", r"\1", address, flags=re.IGNORECASE)


class _Login(requests.auth.AuthBase):
    """Our own Authorization or none: without this, an entry in ~/.netrc would silently replace the key."""

    def __init__(self, url: str, key: SecretStr) -> None:
        self._key = key
        parts = parts_of(url)
        self._basic = (unquote(parts.username or ""), unquote(parts.password or ""))

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key.get_secret_value():
            request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        elif any(self._basic):
            request = requests.auth.HTTPBasicAuth(*self._basic)(request)
        return request


# --- what is sent -----------------------------------------------------------------------------------------------------

LONG = 10_000  # characters: texts beyond are pictures in base64


class Parts:
    """A request's body in parts: what is in megabytes is not copied together. Its length goes into the header."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)


def as_json(body: Mapping[str, Any]) -> Parts:
    """`body` as JSON. The pictures' own part is kept: each goes out with several requests, the original with all."""
    mark = f"picture {uuid.uuid4()}"
    pictures: List[str] = []

    def without_pictures(value: Any) -> Any:
        if isinstance(value, str) and len(value) > LONG:
            pictures.append(value)
            return mark
        if isinstance(value, dict):
            return {key: without_pictures(part) for key, part in value.items()}
        return [without_pictures(part) for part in value] if isinstance(value, (list, tuple)) else value

    head, *rest = json.dumps(without_pictures(body), allow_nan=False).encode("ascii").split(f'"{mark}"'.encode("ascii"))
    return Parts([head, *(part for picture, text in zip(pictures, rest) for part in (_long_text(picture), text))])


@functools.lru_cache(maxsize=4)
def _long_text(text: str) -> bytes:
    return json.dumps(text).encode("ascii")


# --- the exchange -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Origins:
    """Where address and key were written, for messages: that is where they can be mended."""

    address: str = "base_url in AIVis.yaml"
    key: str = "api_key in AIVis.yaml"


class Wire:
    """One server: its address, its key and how long it may take.

    A connection is opened for each exchange: calls are seconds to minutes apart, so a kept one would often be stale, and
    threads share nothing.
    """

    def __init__(
        self,
        service: str,
        base: str,
        *,
        key: Optional[SecretStr] = None,
        timeout: float = 180.0,
        headers: Optional[Mapping[str, str]] = None,
        hint: str = "",
        origins: Origins = Origins(),  # frozen
    ) -> None:
        self.service = service  # as messages call it: "Ollama"
        self.base = base
        self.key = key or SecretStr("")
        self.timeout = timeout
        self.hint = hint  # what to do when it cannot be reached
        self._headers = dict(headers or {})
        self._origins = origins

    @property
    def _host(self) -> str:
        return parts_of(self.base).hostname or ""

    @property
    def address(self) -> str:
        """The address as messages may show it."""
        return public_url(self.base)

    def get(self, path: str) -> HttpAnswer:
        """GET with the short time limit of questions about the server itself."""
        return self._call("GET", path, None, min(self.timeout, CHECK_TIMEOUT))

    def post(self, path: str, body: Mapping[str, Any], *, quick: bool = False) -> HttpAnswer:
        """POST `body` as JSON; `quick` for questions about the server, else the time limit of an answer."""
        return self._call("POST", path, body, min(self.timeout, CHECK_TIMEOUT) if quick else self.timeout)

    def _call(self, method: str, path: str, body: Optional[Mapping[str, Any]], timeout: float) -> HttpAnswer:
        if not is_sendable(self.key):
            told = f"the key for {self.service} ({self._origins.key}) has characters that cannot be in a key"
            raise spent(VisionRefused(told, f"Copy the key anew into {self._origins.key}.", lasting=True), Usage())
        started = time.monotonic()
        try:
            answer = within(2 * timeout, lambda: self._exchange(method, path, body, timeout))
        except (OSError, ValueError) as err:  # those of `requests` are all among them
            trouble = self._translate(err, timeout)
            log.debug("%s %s%s: %s", method, self.address, path, trouble)
            raise trouble from err
        took = time.monotonic() - started
        log.debug("%s %s%s: %d in %.1f s: %s", method, self.address, path, answer.status, took, short(answer.text))
        return answer

    def _exchange(self, method: str, path: str, body: Optional[Mapping[str, Any]], timeout: float) -> HttpAnswer:
        ends = time.monotonic() + 2 * timeout
        with Session(self._host) as session, session.request(
            method,
            self.base + path,
            data=None if body is None else as_json(body),
            headers={**self._headers, **({} if body is None else {"Content-Type": "application/json"})},
            auth=_Login(self.base, self.key),
            timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
            stream=True,
        ) as response:
            text = _read(response, ends).decode("utf-8", "replace")
            headers = {name.lower(): value for name, value in response.headers.items()}
            return HttpAnswer(response.status_code, headers, self._redacted(text))

    def without_key(self, reply: Reply) -> Reply:
        """A reply without what its parts, each of them harmless, have made together."""
        return replace(reply, text=self._redacted(reply.text), model=self._redacted(reply.model))

    def _redacted(self, text: str) -> str:
        password = unquote(parts_of(self.base).password or "")
        without_key = redacted(text, self.key.get_secret_value())
        return redacted(without_key, password) if len(password) >= LONG_PASSWORD else without_key

    def _translate(self, err: Exception, timeout: float) -> VisionError:
        """An error of `requests` in our words. Its own text is not repeated: it may quote the URL with a password."""
        where = f"{self.service} at {self.address}"
        hindered = hindrance(err, self.base, where)
        if hindered is not None:
            return hindered
        if isinstance(err, _TooLarge):
            return VisionBusy(f"{where} sent more than {MAX_BODY // 2**20} MB and was not heard out")
        if isinstance(err, requests.exceptions.ConnectTimeout):
            return VisionUnreachable(f"{where} cannot be reached: no connection in {CONNECT_TIMEOUT:g} s", self.hint)
        if isinstance(err, (TimeoutError, requests.Timeout)) or "Read timed out" in str(err):
            hint = "The model may still be loading or be too slow; raise timeout in AIVis.yaml."
            return VisionTimedOut(f"{where} gave no answer within {timeout:g} s", hint)
        if isinstance(err, requests.exceptions.ChunkedEncodingError) or "Connection aborted" in str(err):
            return VisionUnreachable(f"{where} broke the connection off", self.hint)
        if isinstance(err, requests.ConnectionError):
            return VisionUnreachable(f"{where} cannot be reached", self.hint)
        if isinstance(err, requests.exceptions.ContentDecodingError):
            return VisionBusy(f"{where} sent a body that cannot be decoded")
        told = f"{where} cannot be asked: {self._origins.address} is no address of a server ({type(err).__name__})"
        return VisionRefused(told, f"Write {self._origins.address} as http://host:port.", lasting=True)


class _TooLarge(ValueError):
    """More than any honest answer."""


def _read(response: requests.Response, ends: float) -> bytes:
    """The whole body. Small steps, so that a dripping body is dropped soon after `ends` and its server can stop."""
    parts: List[bytes] = []
    size = 0
    for part in response.iter_content(256):
        parts.append(part)
        size += len(part)
        if size > MAX_BODY:
            raise _TooLarge
        if time.monotonic() > ends:
            raise TimeoutError
    return b"".join(parts)
