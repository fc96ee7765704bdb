"""Which request means which file, who may ask, and who may save a ranking: the viewer's server as pure decisions.

Only shapes that a page needs are known: the viewer's own files, and of each project its pictures, thumbnails, scripts and
JSON artefacts. Configs, logs, locks and whatever else lies there have no address, so nothing has to be forbidden by name.
"""

from __future__ import annotations

import re
from typing import List, Mapping, Optional, Sequence, Tuple
from urllib.parse import unquote_to_bytes

from .ranking_file import LIMIT
from .store import RUN_ID

Parts = Tuple[str, ...]

TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif"})  # no SVG: it could carry a script

RUN = RUN_ID.pattern
_PROJECT_FILES = tuple(
    (re.compile(shape), kinds)
    for shape, kinds in (
        (r"index\.js", frozenset({".js"})),
        (r"[^/]+/input/input\.\w+", PICTURES),
        (r"[^/]+/output/[^/]+", PICTURES | {".json"}),
        (r"[^/]+/working/checkpoint\.json", frozenset({".json"})),
        (rf"[^/]+/working/{RUN}/run\.js", frozenset({".js"})),
        (rf"[^/]+/working/{RUN}/scripts/[^/]+", frozenset({".js"})),
        (rf"[^/]+/working/{RUN}/(?:images|thumbs)/[^/]+", PICTURES),
        (rf"[^/]+/working/{RUN}/inputs/input\.\w+", PICTURES),
        (rf"[^/]+/working/{RUN}/output/[^/]+", PICTURES | {".json"}),
        (rf"[^/]+/working/{RUN}/(?:questions|evaluation|comparison|metadata)/[^/]+", frozenset({".json"})),
        (rf"[^/]+/working/{RUN}/(?:judge_check|final_comparison)\.json", frozenset({".json"})),
        (rf"[^/]+/working/{RUN}/human/ranking\.json", frozenset({".json"})),
    )
)
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def read_target(target: str) -> Optional[Parts]:
    """The names in a request's path, decoded once; None for anything but a plain path below `/`.

    `/` alone is `()`, and so is the page's own folder. What could mean something else to a file system than to us is no
    plain path: backslashes, colons, dots in front or at the end, empty names, devices, control characters, escapes that do
    not decode.
    """
    path = target.partition("?")[0]
    if not path.startswith("/") or len(path) > 2000 or not path.isascii() or re.search(r"%(?![0-9A-Fa-f]{2})", path):
        return None
    if path in ("/", "/viewer", "/viewer/"):
        return ()
    try:
        parts = tuple(unquote_to_bytes(part).decode("utf-8") for part in path[1:].split("/"))
    except UnicodeDecodeError:
        return None
    return parts if all(_is_plain(part) for part in parts) else None


def _is_plain(name: str) -> bool:
    return (
        0 < len(name) <= 200
        and not any(c in '/\\:*?"<>|' for c in name)
        and name.isprintable()
        and not name.startswith((".", " ", "~"))
        and not name.endswith((".", " ", "~"))
        and not _DEVICE.fullmatch(name)
    )


def content_type(parts: Parts) -> Optional[str]:
    """The type of a file that is served, by its path as `read_target` gave it; None for all others."""
    suffix = _suffix(parts[-1]) if parts else ""
    if len(parts) < 2:
        return None
    if parts[0] == "viewer":
        return TYPES.get(suffix)
    if parts[0] != "projects":
        return None
    path = "/".join(parts[1:])
    served = any(shape.fullmatch(path) and suffix in kinds for shape, kinds in _PROJECT_FILES)
    return TYPES[suffix] if served else None


def _suffix(name: str) -> str:
    """With its dot, as written: `.PNG` is none of ours, so that no two addresses mean one file."""
    return name[name.rindex(".") :] if "." in name else ""


# --- who may ask --------------------------------------------------------------------------------------------------------


def refuse(headers: Sequence[Tuple[str, str]], port: int, saves: bool = False) -> Optional[Tuple[int, str]]:
    """Why a request is not answered, as status and reason; None if it is. `saves`: it brings a ranking.

    Another site's page in the same browser can send requests here: by its own address (Origin, Sec-Fetch-Site), or by a
    name of its own that leads to this machine (Host).
    """
    ours = {f"127.0.0.1:{port}", f"localhost:{port}"}
    hosts = _all(headers, "host")
    if len(hosts) != 1:
        return 400, "one Host header, please"
    if hosts[0].lower() not in ours:
        return 403, "this server is known as 127.0.0.1 and localhost only"
    if any(origin.lower() not in {f"http://{each}" for each in ours} for origin in _all(headers, "origin")):
        return 403, "not for other sites"
    if any(site not in ("same-origin", "none") for site in _all(headers, "sec-fetch-site")) and not _is_visit(headers):
        return 403, "not for other sites"
    if _all(headers, "transfer-encoding"):
        return 411, "a body must tell its length"
    if saves:
        return _refuse_to_save(headers)
    if any(length != "0" for length in _all(headers, "content-length")):
        return 400, "a request here has no body"
    return None


def _refuse_to_save(headers: Sequence[Tuple[str, str]]) -> Optional[Tuple[int, str]]:
    """A ranking comes from our own page, says how long it is, and which one it is meant to replace."""
    if not _all(headers, "origin"):  # every browser sends it with a PUT
        return 403, "only the viewer's own page saves rankings"
    lengths = _all(headers, "content-length")
    if not lengths:
        return 411, "a body must tell its length"
    if len(lengths) != 1 or not re.fullmatch(r"[0-9]{1,9}", lengths[0]):
        return 400, "one Content-Length, please"
    if int(lengths[0]) > LIMIT:
        return 413, f"a ranking has at most {LIMIT} bytes"
    kinds = _all(headers, "content-type")
    if len(kinds) != 1 or kinds[0].partition(";")[0].strip().lower() != "application/json":
        return 415, "a ranking is application/json"
    matches, nones = _all(headers, "if-match"), _all(headers, "if-none-match")
    if len(matches) + len(nones) != 1 or nones not in ([], ["*"]):
        return 428, 'say what is replaced: If-Match: "…", or If-None-Match: * for the first'
    return None


def replaced(headers: Sequence[Tuple[str, str]]) -> Optional[str]:
    """The ETag of the ranking that a request replaces; None for the first of a run."""
    return next(iter(_all(headers, "if-match")), None)


_RANKING = re.compile(rf"projects/[^/]+/working/{RUN}/human/ranking\.json")


def is_ranking(parts: Optional[Parts]) -> bool:
    """Is this the address of a run's ranking, the one thing that may be written?"""
    return parts is not None and bool(_RANKING.fullmatch("/".join(parts)))


def _is_visit(headers: Sequence[Tuple[str, str]]) -> bool:
    """A link that was followed from another page: the other page learns nothing of what is shown."""
    return _all(headers, "sec-fetch-mode") == ["navigate"] and _all(headers, "sec-fetch-dest") == ["document"]


def _all(headers: Sequence[Tuple[str, str]], name: str) -> List[str]:
    return [value.strip() for key, value in headers if key.lower() == name]


BASE_HEADERS: Tuple[Tuple[str, str], ...] = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),  # no other page may show our pictures or run our scripts
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
)
FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"


def policy(kind: str, host: str) -> str:
    """The Content-Security-Policy of a content type; `host` is the Host header, checked by `refuse`.

    The page runs what lies in /viewer/ and nothing else: a script among a project's files is read as data. Files may
    do nothing.
    """
    if not kind.startswith("text/html"):
        return FILE_POLICY
    own = f"http://{host}/viewer/"
    return (
        f"default-src 'none'; script-src {own}; style-src {own}; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
