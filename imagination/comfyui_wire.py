"""The two lines to a ComfyUI server: one door for all HTTP, one ear for the WebSocket. Which words to send is `comfyui`'s.

Library errors end here: `Door` raises ComfyUIUnreachable where waiting can help and ComfyUIError where it cannot,
`Ear` never raises, since whatever it misses can be had from `/history`.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import logging
import re
import socket
import ssl
import time
import uuid
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple
from urllib.parse import SplitResult, urlencode, urlsplit

import requests
import websocket
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from .bounded_json import loads
from .config import without_secrets
from .deadline import within
from .errors import ComfyUIError, ComfyUIUnreachable, ConfigError
from .execution import first_line
from .sessions import Session, is_loopback
from .surroundings import proxy_for

log = logging.getLogger(__name__)

START_HINT = (
    "start ComfyUI with `iterativectl comfyui start` (and the same --project), or `python main.py` in its folder; "
    "or set comfyui.host and comfyui.port in config/AIGen.yaml"
)
ADDRESS_HINT = "is comfyui.host in config/AIGen.yaml the address of a ComfyUI server?"
LATE = 1.0  # s past its time that a frame which is already coming in may take
UNANSWERED_PINGS = 5  # this many without a single frame in return: the connection is dead
DOWN = (502, 503, 504)  # what a proxy says while the server behind it restarts
BUSY = (408, 425, 429)  # ... and when it is asked too often
MAX_ANSWER = 64 * 2**20  # bytes of JSON: a queue holds the whole workflow of every job, some with pictures inside
MAX_MESSAGE = 32 * 2**20  # bytes on the WebSocket: previews are pictures of a few hundred kB
STEP = 4096  # bytes read at once: small, since gzip makes a thousand times as many of them

Timeouts = Tuple[float, float]  # seconds: to connect, between two bytes
Sleep = Callable[[float], None]


# --- the address ------------------------------------------------------------------------------------------------------


def server_url(host: str, port: int) -> str:
    """The base URL, without a trailing slash, for what a user writes as `comfyui.host` and `comfyui.port`.

    `host` may be a name, an address (IPv6 with or without brackets), `name:port`, or a URL with scheme and path prefix.
    `port` counts where host brings none, except under https, whose own port is meant then. ConfigError for the rest.
    """
    text = host.strip()
    parts = _split(text)
    name = (parts.hostname or "").rstrip(".")
    own_port = parts.port
    if ":" in name:
        name = f"[{name}]"
    # a server that listens everywhere is reached through the loopback; Windows refuses the wildcard itself
    name = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(name, name)
    if own_port is None and parts.scheme == "http":
        own_port = port
    at = f":{own_port}" if own_port is not None else ""
    return f"{parts.scheme}://{name}{at}{parts.path.rstrip('/')}"


def _split(text: str) -> SplitResult:
    if _is_ipv6(text):
        text = f"[{text}]"
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        name = parts.hostname or ""
        usable = _is_ipv6(name) if "[" in parts.netloc else re.fullmatch(r"[^\s:/?#@\[\]\\]+", name)
        usable = usable and parts.port != 0
        usable = usable and ("://" in text or "@" not in parts.path)  # http:/user:pass@host, http//host
        usable = usable and name not in ("http", "https")
    except ValueError:  # a port that is no number, brackets that do not close
        usable = None
    if not usable or parts.scheme not in ("http", "https") or parts.query:
        raise ConfigError(
            f"comfyui.host: {without_secrets(text)!r} is not a host or an http(s) address",
            "e.g. localhost, gpu-box:8188",
        )
    if "@" in parts.netloc:
        raise ConfigError(
            "comfyui.host: a user name in the address is not supported", "leave it out: ComfyUI has no login"
        )
    return parts


def _is_ipv6(text: str) -> bool:
    try:
        return isinstance(ipaddress.ip_address(text), ipaddress.IPv6Address)
    except ValueError:
        return False


def _settle_localhost(url: str) -> str:
    """Replace `localhost` by the loopback address that answers; `url` itself where none does.

    ComfyUI listens on 127.0.0.1 only, while `localhost` is [::1] first on many machines: there every new connection
    would wait for the refusal (two seconds on Windows). A forwarded server may be on [::1] alone.
    """
    parts = urlsplit(url)
    if parts.hostname != "localhost" or parts.scheme != "http":  # a certificate is bound to the name
        return url
    port = parts.port or 80
    for address in ("127.0.0.1", "::1"):
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
            shown = f"[{address}]" if ":" in address else address
            return parts._replace(netloc=f"{shown}:{port}").geturl()
    return url


# --- HTTP -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of one exchange."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


class _TooLarge(ValueError):
    """More than any honest answer."""


class Door:
    """The one way to the server's HTTP routes; every answer comes back checked, every failure as an error of ours.

    `silence`: seconds that any one exchange may take, however slowly it drips; no shorter wait is longer than it either.
    """

    def __init__(self, url: str, timeouts: Timeouts = (5.0, 30.0), silence: float = 300.0) -> None:
        self.url = url
        self.timeouts = (min(timeouts[0], silence), min(timeouts[1], silence))
        self._silence = silence
        self._settled: Optional[str] = None
        self._proven = False  # it has answered as ComfyUI does: nonsense from now on is a passing trouble
        self.is_local = is_loopback(urlsplit(url).hostname or "")
        self._session = self._new_session()

    @property
    def authorities(self) -> str:
        """The file of those whose word for a certificate is taken, as by the session."""
        return self._session.verify if isinstance(self._session.verify, str) else DEFAULT_CA_BUNDLE_PATH

    def _new_session(self) -> Session:
        session = Session(urlsplit(self.url).hostname or "")
        session.headers["Accept-Encoding"] = "gzip, deflate"
        return session

    def address(self) -> str:
        """The URL that is really dialled."""
        if self._settled is None:
            self._settled = _settle_localhost(self.url)
        return self._settled

    def get(self, path: str, **options: Any) -> Answer:
        return self.call("GET", path, **options)

    def get_json(self, path: str, **options: Any) -> Any:
        return self.read_json(self.get(path, **options), path)

    def post(self, path: str, **options: Any) -> Answer:
        return self.call("POST", path, **options)

    def call(
        self,
        method: str,
        path: str,
        accept: Tuple[int, ...] = (200,),
        timeouts: Optional[Timeouts] = None,
        most: int = MAX_ANSWER,
        **options: Any,
    ) -> Answer:
        """Send one request and return its answer, of at most `most` bytes. Statuses beyond `accept` are raised as errors."""
        limits = timeouts or self.timeouts
        whole = self._silence if timeouts is None else min(self._silence, 2 * sum(limits))
        with self._translated(path):
            session, url = self._session, self.address() + path
            request = functools.partial(session.request, method, url, timeout=limits, stream=True, **options)
            answer = within(whole, lambda: _heard(request, most))
        if answer.status_code not in accept:
            raise self._refusal(answer, path)
        return answer

    def read_json(self, response: Answer, path: str) -> Any:
        try:
            answer = loads(response.content.decode("utf-8"))
        except (ValueError, MemoryError) as err:  # parsed, it is up to thirty times as large
            told = f"{self.url}{path} answered with something that cannot be read as JSON"
            raise self._trouble(told, ADDRESS_HINT) from err
        self._proven = True
        return answer

    def _trouble(self, what: str, hint: str) -> ComfyUIError:
        """An answer that a ComfyUI does not give: worth another try only from an address where one has answered before."""
        return ComfyUIUnreachable(what, hint) if self._proven else ComfyUIError(what, hint)

    def close(self) -> None:
        self._session.close()

    @contextlib.contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except (TimeoutError, requests.Timeout) as err:
            self._settled = None
            self._session = self._new_session()  # the old one's connection may still be dripping
            late = f"ComfyUI at {self.url} does not answer {path} in time"
            raise ComfyUIUnreachable(late, self._hint(START_HINT)) from err
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as err:
            self._settled = None
            raise ComfyUIUnreachable(f"no ComfyUI at {self.url}: {_reason(err)}", self._hint(START_HINT)) from err
        except _TooLarge as err:
            told = f"{self.url}{path} answered with {err} and was not heard out"
            raise self._trouble(told, ADDRESS_HINT) from err
        except (requests.RequestException, ValueError) as err:
            raise ComfyUIError(
                f"{self.url}{path} cannot be used: {without_secrets(first_line(err))}", self._hint(ADDRESS_HINT)
            ) from err

    def _hint(self, otherwise: str) -> str:
        """Where a proxy of the environment stands between us and the server, that is the first to look at."""
        sender = proxy_for(self.url)
        if sender is None:
            return otherwise
        return f"{sender} sends the request through a proxy: NO_PROXY={urlsplit(self.url).hostname} goes past it"

    def _refusal(self, response: Answer, path: str) -> ComfyUIError:
        status, route = response.status_code, path.split("?")[0]
        where = f"ComfyUI at {self.url} answered {route} with {status}"
        if status in DOWN:
            return ComfyUIUnreachable(f"{where}: it is down behind its proxy", self._hint(START_HINT))
        if 300 <= status < 400:
            target = response.headers.get("Location", "another address")
            return ComfyUIError(f"{where}: moved to {first_line(target)}", "set comfyui.host to the address it names")
        if status in (401, 403, 407):
            login = "a proxy before ComfyUI asks for a login, or a different Host"
            return ComfyUIError(f"{where}: access refused", self._hint(login))
        if status == 404:
            return ComfyUIError(f"{where}: not found", self._hint(ADDRESS_HINT))
        if status == 413:
            return ComfyUIError(f"{where}: too large", "start ComfyUI with a higher --max-upload-size")
        if status in BUSY:
            return ComfyUIUnreachable(f"{where}: too busy", START_HINT)
        if status >= 500:
            return self._trouble(where, "ComfyUI's own log says why")
        return ComfyUIError(where, "ComfyUI's own log says why")


def _heard(request: Callable[[], requests.Response], most: int) -> Answer:
    """The answer to `request`, read to the end. Raises _TooLarge."""
    content = bytearray()
    with request() as response:
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("identity", "gzip", "deflate"):  # others, and several at once, unpack without bound
            raise requests.exceptions.ContentDecodingError(f"Content-Encoding {encoding} was not asked for")
        for part in response.iter_content(STEP):
            content += part
            if len(content) > most:
                raise _TooLarge(f"more than {most // 2**20} MB")
        return Answer(response.status_code, response.headers, bytes(content))


def _reason(err: BaseException) -> str:
    """The system's own words at the root of a library's nested connection error."""
    reason = "the connection broke"
    cause: Optional[BaseException] = err
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            reason = str(cause.strerror).lower()
        cause = cause.__cause__ or cause.__context__
    return first_line(reason)


# --- WebSocket --------------------------------------------------------------------------------------------------------


class Ear:
    """One WebSocket under an id of its own, never shared and never used again (a second one would silence the first).

    `is_open` says whether anything can be heard; `losses` counts connections that were open and broke.
    """

    def __init__(self, door: Door, client_id: str = "", sleep: Sleep = time.sleep) -> None:
        self.client_id = client_id or str(uuid.uuid4())
        self.losses = 0
        self._door = door
        self._sleep = sleep
        self._pings = 0
        self._ends = 0.0  # on the monotonic clock: when `receive` is to return
        self._held = 0  # bytes of a message that is still coming
        self._socket: Any = None
        self._connect()

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def receive(self, seconds: float) -> Any:
        """The next text message, parsed; None after `seconds`, and for frames that say nothing (previews, pongs)."""
        if self._socket is None:
            self._sleep(max(0.0, seconds))
            return None
        try:
            self._ends = time.monotonic() + seconds
            opcode, frame = self._socket.recv_data_frame(True)
            self._pings = 0
            if opcode in (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY):
                self._held = 0
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                self._lose("closed by the server")
            return _parsed(frame.data) if opcode == websocket.ABNF.OPCODE_TEXT else None
        except websocket.WebSocketTimeoutException:
            return None
        except (websocket.WebSocketException, OSError) as err:
            self._lose(first_line(err) or type(err).__name__)
            return None

    def ping(self) -> None:
        """Find out about a dead connection: the server never pings by itself."""
        if self._socket is None:
            return
        if self._pings >= UNANSWERED_PINGS:
            self._lose("no answer to pings")
            return
        self._pings += 1
        try:
            self._socket.ping()
        except (websocket.WebSocketException, OSError) as err:
            self._lose(first_line(err))

    def reconnect(self) -> None:
        """Listen again, under a fresh id, if the line was lost. What was said meanwhile is not repeated."""
        if self._socket is None and self.losses:
            self.client_id = str(uuid.uuid4())
            self._connect()

    def close(self) -> None:
        held, self._socket = self._socket, None
        if held is not None:
            with contextlib.suppress(websocket.WebSocketException, OSError):
                held.close(timeout=1)
            held.shutdown()  # `close` leaves the socket open where the server was the first to say goodbye

    def __enter__(self) -> Ear:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _connect(self) -> None:
        self._pings = self._held = 0
        address = urlsplit(self._door.address())
        url = f"ws{address.geturl()[4:]}/ws?{urlencode({'clientId': self.client_id})}"
        limit = self._door.timeouts[0]
        # no Origin: ComfyUI compares it with Host and refuses localhost against 127.0.0.1
        # `_parsed` finds out about broken UTF-8 itself; the library would check byte by byte, in Python
        options: Dict[str, Any] = {"timeout": limit, "suppress_origin": True, "skip_utf8_validation": True}
        try:
            opened = within(2 * limit, lambda: websocket.create_connection(url, **self._dialled(address), **options))
            opened.frame_buffer.recv = functools.partial(self._receive, opened, opened.frame_buffer.recv)
            self._socket = opened
        except Exception as err:  # the library trusts a handshake: a length of 10**30, a header without its value
            log.info("no WebSocket at %s (%s): asking /history instead", self._door.url, first_line(err))

    def _dialled(self, address: SplitResult) -> Dict[str, Any]:
        """A connection to a server on this machine: the library would send even that through the environment's proxy."""
        if not self._door.is_local:
            return {}
        is_secure = address.scheme == "https"
        place = address.hostname or "", address.port or (443 if is_secure else 80)
        dialled = socket.create_connection(place, timeout=self._door.timeouts[0])
        if is_secure:
            dialled = ssl.create_default_context(cafile=self._door.authorities).wrap_socket(
                dialled, server_hostname=place[0]
            )
        return {"socket": dialled}

    def _receive(self, opened: Any, receive: Callable[[int], bytes], size: int) -> bytes:
        """The next bytes of a frame, before `_ends`: a frame that drips goes on where it was the next time."""
        left = self._ends - time.monotonic()
        if left < -LATE:
            raise websocket.WebSocketTimeoutException("a frame is still coming")
        opened.settimeout(max(0.001, left))
        data = receive(size)
        self._held += len(data)
        if self._held > MAX_MESSAGE:
            raise websocket.WebSocketProtocolException(f"a message of more than {MAX_MESSAGE // 2**20} MB")
        return data

    def _lose(self, why: str) -> None:
        log.info("the WebSocket to %s was lost: %s", self._door.url, why)
        self.losses += 1
        self.close()


def _parsed(text: bytes) -> Any:
    try:
        return loads(text.decode("utf-8"))
    except ValueError:
        return None
