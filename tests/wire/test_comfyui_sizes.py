"""Answers without end, and redirects to nowhere: a server's fault in one line, never our memory."""

from __future__ import annotations

import contextlib
import gzip
import socket
import struct
import threading
from typing import List

import pytest
from fake_comfyui import FakeComfyUI, comfy, frame, server

from imagination.comfyui import ComfyUI
from imagination.comfyui_wire import MAX_ANSWER, MAX_MESSAGE, Door, Ear
from imagination.errors import ComfyUIError

__all__ = ["comfy", "server"]  # fixtures
MB = 2**20


def test_a_small_body_that_unpacks_to_a_large_one_is_not_heard_out(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.headers = {"Content-Encoding": "gzip"}
    server.answers["GET", "/system_stats"] = [(200, gzip.compress(bytes(MAX_ANSWER + 1), 1))]
    with pytest.raises(ComfyUIError, match=r"/system_stats answered with more than 64 MB and was not heard out"):
        comfy.system_stats()


def test_a_packed_answer_of_honest_size_is_read(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.headers = {"Content-Encoding": "gzip"}
    server.answers["GET", "/features"] = [(200, gzip.compress(b'{"max_upload_size": 7}'))]
    assert comfy.features() == {"max_upload_size": 7}


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd"])
def test_what_unpacks_without_bound_is_refused(server: FakeComfyUI, comfy: ComfyUI, encoding: str) -> None:
    server.headers = {"Content-Encoding": encoding}
    server.answers["GET", "/features"] = [(200, gzip.compress(gzip.compress(b"{}")))]
    with pytest.raises(ComfyUIError, match=f"/features cannot be used: Content-Encoding {encoding} was not asked for"):
        comfy.features()


@pytest.mark.parametrize(
    "target", ["http://[", "http://\u2100/".encode().decode("latin-1"), "//", "file:///etc/passwd"]
)
def test_a_redirect_is_told_wherever_it_leads(server: FakeComfyUI, comfy: ComfyUI, target: str) -> None:
    server.moved_to = target
    server.answers["GET", "/system_stats"] = [(302, b"")]
    with pytest.raises(ComfyUIError, match="answered /system_stats with 302: moved to ") as caught:
        comfy.system_stats()
    assert caught.value.hint == "set comfyui.host to the address it names"


def test_the_body_of_a_redirect_is_bounded_too(server: FakeComfyUI, comfy: ComfyUI) -> None:
    server.headers = {"Content-Encoding": "gzip"}
    server.answers["GET", "/system_stats"] = [(302, gzip.compress(bytes(MAX_ANSWER + 1), 1))]
    with pytest.raises(ComfyUIError, match="more than 64 MB"):
        comfy.system_stats()


@pytest.mark.parametrize("whole", [True, False], ids=["one frame", "in parts"])
def test_a_message_without_end_ends_the_websocket(server: FakeComfyUI, whole: bool) -> None:
    poured: List[int] = []

    def pour(wire: socket.socket) -> None:
        wire.sendall(b"\x02\x7f" + struct.pack(">Q", 1 << 40) if whole else frame(b"", 2, last=False))
        with contextlib.suppress(OSError):  # hung up on
            while sum(poured) < 4 * MAX_MESSAGE:
                wire.sendall(bytes(MB) if whole else frame(bytes(MB), 0, last=False))
                poured.append(MB)

    with Ear(Door(server.url)) as ear:
        ear.receive(60)  # the greeting
        pouring = threading.Thread(target=pour, args=(server.sockets[ear.client_id],))
        pouring.start()
        for _ in range(200):
            ear.receive(0.1 if ear.is_open else 0)
        pouring.join()
        assert (ear.is_open, ear.losses) == (False, 1)
    assert MAX_MESSAGE - MB <= sum(poured) < 2 * MAX_MESSAGE  # what the system's buffers take comes on top


def test_many_messages_are_no_long_one(server: FakeComfyUI) -> None:
    with Ear(Door(server.url)) as ear:
        ear.receive(60)  # the greeting
        wire = server.sockets[ear.client_id]
        wire.settimeout(60)
        piece = MB // 8  # what a socket takes although nobody reads yet
        for _ in range(MAX_MESSAGE // piece + 4):
            wire.sendall(frame(bytes(piece), 2))
            ear.receive(1)
        assert ear.losses == 0


def test_a_refusal_of_the_websocket_with_an_absurd_length_is_only_a_refusal(server: FakeComfyUI) -> None:
    server.headers = {"Content-Length": f"1{'0' * 30}"}
    server.answers["GET", "/ws"] = [(403, b"")]
    with Ear(Door(server.url, timeouts=(0.3, 0.3))) as ear:
        assert not ear.is_open
