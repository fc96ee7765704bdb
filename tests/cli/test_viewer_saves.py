"""The one thing the viewer's server writes: a ranking, from its own page, over the one that was seen, and nothing else."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import sys
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from make_runs import make_run, rank

from imagination.disk import write_bytes
from imagination.pages import read_head
from imagination.ranking_file import Unfit, read
from imagination.store import Run
from imagination.viewer_server import Server, _show, open_server

GOOD: Dict[str, Any] = {"ranking": ["3", "1"], "notes": {"3": "the light!"}}


class Desk:
    """A run of three iterations, and a server that shows it."""

    def __init__(self, top: Path, server: Server, run: Run) -> None:
        self.top, self.server, self.run = top, server, run
        self.address = f"/projects/p/working/{run.run_id}/human/ranking.json"
        self.host = f"127.0.0.1:{server.server_port}"

    def put(
        self, body: Any, *headers: str, address: Optional[str] = None, usual: bool = True
    ) -> Tuple[int, Dict[str, str], bytes]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8")
        common = [f"Origin: http://{self.host}", "Content-Type: application/json", f"Content-Length: {len(data)}"]
        lines = [
            f"PUT {address or self.address} HTTP/1.1",
            f"Host: {self.host}",
            *(common if usual else []),
            *headers,
            "",
            "",
        ]
        return self.talk("\r\n".join(lines).encode("utf-8") + data)

    def talk(self, request: bytes) -> Tuple[int, Dict[str, str], bytes]:
        with socket.create_connection(("127.0.0.1", self.server.server_port), timeout=20) as wire:
            wire.sendall(request)
            wire.shutdown(socket.SHUT_WR)
            received = b""
            while True:
                try:
                    data = wire.recv(65536)
                except ConnectionError:
                    break
                if not data:
                    break
                received += data
        head, _, body = received.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        return int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in rest)}, body

    def saved(self) -> Any:
        return json.loads(self.run.ranking_file.read_text(encoding="utf-8"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    run = make_run(tmp_path / "w", "p", iterations=3, status="exhausted")
    (tmp_path / "w" / "viewer").mkdir(exist_ok=True)
    with open_server(0, tmp_path / "w" / "projects", tmp_path / "w" / "viewer") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield Desk(tmp_path, server, run)
        server.shutdown()
        thread.join()


FIRST = "If-None-Match: *"


def test_the_first_ranking_of_a_run_is_saved(desk: Desk) -> None:
    status, headers, body = desk.put(GOOD, FIRST)
    assert status == 200 and headers["etag"]
    saved = desk.saved()
    assert {key: saved[key] for key in GOOD} == GOOD and saved["updated_at"] > 1.7e9
    assert json.loads(body) == saved
    assert desk.run.ranking().ranking == ["3", "1"]


def test_the_page_from_disk_gets_it_too(desk: Desk) -> None:
    desk.put(GOOD, FIRST)
    head = read_head(desk.run)
    assert head is not None and head["ranking"]["notes"] == GOOD["notes"] and head["ranking_saved_at"]


def test_a_ranking_is_replaced_by_who_has_seen_it(desk: Desk) -> None:
    tag = desk.put(GOOD, FIRST)[1]["etag"]
    got = desk.talk(f"GET {desk.address} HTTP/1.1\r\nHost: {desk.host}\r\nConnection: close\r\n\r\n".encode())
    assert got[1]["etag"] == tag
    status, headers, _ = desk.put({"ranking": ["2"], "notes": {}}, f"If-Match: {tag}")
    assert status == 200 and headers["etag"] != tag
    assert desk.saved()["ranking"] == ["2"]


@pytest.mark.parametrize("condition", [FIRST, 'If-Match: "1-2"'])
def test_a_ranking_that_was_not_seen_stays(desk: Desk, condition: str) -> None:
    tag = desk.put(GOOD, FIRST)[1]["etag"]
    status, headers, _ = desk.put({"ranking": ["2"], "notes": {}}, condition)
    assert (status, headers["etag"], desk.saved()["ranking"]) == (412, tag, ["3", "1"])


def test_a_ranking_of_the_same_size_and_time_is_another(desk: Desk) -> None:
    """The clock of a disk has ticks of some milliseconds, and an order changed by hand keeps its length."""
    tag = desk.put(GOOD, FIRST)[1]["etag"]
    before = desk.run.ranking_file.stat()
    write_bytes(desk.run.ranking_file, desk.run.ranking_file.read_bytes().replace(b'"3"', b'"2"', 1))
    os.utime(desk.run.ranking_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert desk.put({"ranking": ["1"], "notes": {}}, f"If-Match: {tag}")[0] == 412


def test_of_two_at_once_one_is_saved(desk: Desk) -> None:
    def save(first: str) -> None:
        told.append(desk.put({"ranking": [first], "notes": {}}, FIRST)[0])

    for _ in range(20):
        told: List[int] = []
        threads = [threading.Thread(target=save, args=(str(n % 3 + 1),)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(told) == [200] + [412] * 7
        shutil.rmtree(str(desk.run.ranking_file.parent))  # the folder is made by the first, while the others look at it


def test_the_page_from_disk_gets_the_last_of_many_at_once(desk: Desk) -> None:
    def save(note: int) -> None:
        rank(desk.run, ["1"], {"1": str(note)})
        _show(desk.run.root)

    for turn in range(10):
        threads = [threading.Thread(target=save, args=(10 * turn + n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        head = read_head(desk.run)
        assert head is not None and head["ranking"] == desk.run.ranking().model_dump(mode="json")


def test_notes_alone_are_a_ranking(desk: Desk) -> None:
    assert desk.put({"ranking": [], "notes": {"2": "too dark"}}, FIRST)[0] == 200


def test_the_time_is_the_servers(desk: Desk) -> None:
    desk.put({**GOOD, "updated_at": 5}, FIRST)
    assert desk.saved()["updated_at"] > 1.7e9


# --- what is refused ------------------------------------------------------------------------------------------------------

BODIES: Dict[str, Tuple[Any, int]] = {
    "nothing": (b"", 422),
    "no JSON": (b"{", 422),
    "not UTF-8": (b'{"ranking": ["\xff"]}', 422),
    "a list": ([], 422),
    "a text": ("x", 422),
    "null": (None, 422),
    "no ranking": ({"notes": {}}, 422),
    "ranking a text": ({"ranking": "123"}, 422),
    "ranking of numbers": ({"ranking": [1]}, 422),
    "ranking of lists": ({"ranking": [["1"]]}, 422),
    "twice the same": ({"ranking": ["1", "1"]}, 422),
    "zero": ({"ranking": ["0"]}, 422),
    "leading zero": ({"ranking": ["01"]}, 422),
    "negative": ({"ranking": ["-1"]}, 422),
    "a path": ({"ranking": ["../x"]}, 422),
    "other digits": ({"ranking": ["\u0661"]}, 422),
    "a newline": ({"ranking": ["1\n"]}, 422),
    "unknown iteration": ({"ranking": ["4"]}, 422),
    "note on an unknown one": ({"ranking": ["1"], "notes": {"9": "x"}}, 422),
    "note on a path": ({"ranking": ["1"], "notes": {"../../x": "x"}}, 422),
    "note a number": ({"ranking": ["1"], "notes": {"1": 5}}, 422),
    "notes a list": ({"ranking": ["1"], "notes": ["x"]}, 422),
    "a long note": ({"ranking": ["1"], "notes": {"1": "x" * 10_001}}, 422),
    "a strange key": ({"ranking": ["1"], "__proto__": {}}, 422),
    "NaN": (b'{"ranking": [], "updated_at": NaN}', 422),
    "a key twice": (b'{"ranking": ["1"], "ranking": ["2"]}', 422),
    "nested deep": (b'{"ranking": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 422),
    "too many": ({"ranking": [str(n) for n in range(1, 10_003)]}, 422),
    "too large": (b" " * (1024 * 1024 + 1), 413),
}


def tree(top: Path) -> Dict[str, bytes]:
    return {
        str(p.relative_to(top)): p.read_bytes() for p in sorted(top.rglob("*")) if p.is_file() and not p.is_symlink()
    }


def test_one_who_is_turned_away_while_sending_hears_why(desk: Desk) -> None:
    size = 3 * 1024 * 1024
    head = f"PUT {desk.address} HTTP/1.1\r\nHost: {desk.host}\r\nOrigin: http://{desk.host}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {size}\r\n{FIRST}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", desk.server.server_port), timeout=20) as wire:
        wire.sendall(head.encode("ascii") + b" " * 100_000)
        select.select([wire], [], [], 20)  # the answer is there already
        for _ in range(29):
            wire.sendall(b" " * 100_000)
        wire.shutdown(socket.SHUT_WR)
        assert wire.makefile("rb").read().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=list(BODIES))
def test_what_is_no_ranking_is_not_saved(desk: Desk, body: Any, status: int) -> None:
    before = tree(desk.top)
    answer = desk.put(body, FIRST)
    assert answer[0] == status and answer[2].count(b"\n") == 1
    assert tree(desk.top) == before


ADDRESSES = {
    "another file": "/projects/p/working/{run}/human/other.json",
    "metadata": "/projects/p/working/{run}/metadata/iteration_1_metadata.json",
    "the checkpoint": "/projects/p/working/checkpoint.json",
    "config": "/projects/p/config/AIVis.yaml",
    "the page": "/viewer/index.html",
    "out of the run": "/projects/p/working/{run}/human/../../../config/ranking.json",
    "encoded dots": "/projects/p/working/{run}/human/%2e%2e/ranking.json",
    "encoded slashes": "/projects/..%2f..%2fp/working/{run}/human/ranking.json",
    "backslashes": "/projects/..%5c..%5cp/working/{run}/human/ranking.json",
    "double slash": "//projects/p/working/{run}/human/ranking.json",
    "whole address": "http://evil.example/projects/p/working/{run}/human/ranking.json",
    "zero byte": "/projects/p/working/{run}/human/ranking.json%00.txt",
    "a stream": "/projects/p/working/{run}/human/ranking.json::$DATA",
    "no run id": "/projects/p/working/today/human/ranking.json",
}


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=list(ADDRESSES))
def test_nothing_but_a_ranking_is_written(desk: Desk, address: str) -> None:
    before = tree(desk.top)
    assert desk.put(GOOD, FIRST, address=address.replace("{run}", desk.run.run_id))[0] == 405
    assert tree(desk.top) == before


MISSING = {
    "another project": "/projects/q/working/{run}/human/ranking.json",
    "another run": "/projects/p/working/2020-01-01_00-00-00/human/ranking.json",
}


@pytest.mark.parametrize("address", MISSING.values(), ids=list(MISSING))
def test_no_run_is_made_by_saving(desk: Desk, address: str) -> None:
    before = tree(desk.top)
    assert desk.put(GOOD, FIRST, address=address.replace("{run}", desk.run.run_id))[0] == 404
    assert tree(desk.top) == before and not (desk.top / "w" / "projects" / "q").exists()


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
@pytest.mark.parametrize("what", ["folder", "file", "run"])
def test_a_link_leads_nowhere(desk: Desk, what: str) -> None:
    outside = desk.top / "outside"
    outside.mkdir()
    (outside / "ranking.json").write_text("mine", encoding="utf-8")
    address = desk.address
    if what == "folder":
        (desk.run.root / "human").symlink_to(outside)
    elif what == "file":
        (desk.run.root / "human").mkdir()
        desk.run.ranking_file.symlink_to(outside / "ranking.json")
    else:
        (desk.run.root.parent / "2020-01-01_00-00-00").symlink_to(outside)
        address = "/projects/p/working/2020-01-01_00-00-00/human/ranking.json"
    assert desk.put(GOOD, FIRST, address=address)[0] == 404
    assert [p.name for p in outside.iterdir()] == ["ranking.json"]
    assert (outside / "ranking.json").read_text(encoding="utf-8") == "mine"


HEADS = {
    "no origin": (["Content-Type: application/json", "Content-Length: 2", FIRST], 403),
    "another origin": (["Origin: http://evil.example", "Content-Type: application/json", "Content-Length: 2", FIRST], 403),
    "no origin of a page from disk": (["Origin: null", "Content-Type: application/json", "Content-Length: 2", FIRST], 403),
    "no condition": (["Origin: http://{host}", "Content-Type: application/json", "Content-Length: 2"], 428),
    "a form": (["Origin: http://{host}", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 2", FIRST], 415),
    "plain text": (["Origin: http://{host}", "Content-Type: text/plain", "Content-Length: 2", FIRST], 415),
    "no length": (["Origin: http://{host}", "Content-Type: application/json", FIRST], 411),
    "chunked": (["Origin: http://{host}", "Content-Type: application/json", "Transfer-Encoding: chunked", FIRST], 411),
    "longer than it is": (["Origin: http://{host}", "Content-Type: application/json", "Content-Length: 50", FIRST], 400),
    "two lengths": (["Origin: http://{host}", "Content-Type: application/json", *["Content-Length: 2"] * 2, FIRST], 400),
}  # fmt: skip


@pytest.mark.parametrize(("headers", "status"), HEADS.values(), ids=list(HEADS))
def test_only_a_proper_request_of_our_own_page_saves(desk: Desk, headers: List[str], status: int) -> None:
    before = tree(desk.top)
    answer = desk.put(b"{}", *(each.replace("{host}", desk.host) for each in headers), usual=False)
    assert answer[0] == status
    assert tree(desk.top) == before


def test_other_methods_are_told_what_is_allowed(desk: Desk) -> None:
    for method in ("POST", "DELETE", "PATCH"):
        status, headers, _ = desk.talk(f"{method} {desk.address} HTTP/1.1\r\nHost: {desk.host}\r\n\r\n".encode())
        assert (status, headers["allow"]) == (405, "GET, HEAD, PUT")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_disk_that_refuses_is_told(desk: Desk) -> None:
    desk.run.root.chmod(0o500)
    assert desk.put(GOOD, FIRST)[0] == 500
    desk.run.root.chmod(0o700)


def test_control_characters_are_taken_out_of_notes() -> None:
    assert read(b'{"ranking": [], "notes": {"1": "a\\u001b[31m\\nb\\tc\\u0000"}}')["notes"] == {"1": "a[31m\nb\tc"}
    assert read(b'{"ranking": [], "notes": {"1": "\\u009b31m\\u0085 caf\\u00e9"}}')["notes"] == {"1": "31m caf\u00e9"}


def test_the_reason_names_what_is_wrong() -> None:
    with pytest.raises(Unfit, match="not '01'"):
        read(b'{"ranking": ["01"]}')
