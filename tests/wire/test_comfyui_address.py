"""Where the server is: every spelling of `comfyui.host` that people use, and the ones that cannot be meant."""

from __future__ import annotations

import socket

import pytest
from fake_comfyui import FakeComfyUI

from imagination.comfyui import ComfyUI, server_url
from imagination.comfyui_wire import Door, Ear
from imagination.errors import ComfyUIError, ConfigError


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost", "http://localhost:8188"),
        (" gpu-box ", "http://gpu-box:8188"),
        ("gpu-box:5000", "http://gpu-box:5000"),
        ("GPU-Box.local.", "http://gpu-box.local:8188"),
        ("192.168.1.20", "http://192.168.1.20:8188"),
        ("http://gpu-box", "http://gpu-box:8188"),
        ("http://gpu-box:80/", "http://gpu-box:80"),
        ("https://box", "https://box"),
        ("https://box:8443", "https://box:8443"),
        ("https://box/comfy/", "https://box/comfy"),
        ("HTTPS://box/Comfy/a//", "https://box/Comfy/a"),
        ("box/comfy", "http://box:8188/comfy"),
        ("http://127.0.0.1:8188/#graph", "http://127.0.0.1:8188"),
        ("[::1]", "http://[::1]:8188"),
        ("::1", "http://[::1]:8188"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("fe80::1", "http://[fe80::1]:8188"),
        ("http://[2001:db8::7]:9/x", "http://[2001:db8::7]:9/x"),
        ("0.0.0.0", "http://127.0.0.1:8188"),
        ("0.0.0.0:99", "http://127.0.0.1:99"),
        ("::", "http://[::1]:8188"),
    ],
)
def test_every_usual_spelling_of_an_address_is_understood(host: str, url: str) -> None:
    assert server_url(host, 8188) == url


@pytest.mark.parametrize(
    "host",
    [
        "",
        "  ",
        "http://",
        ":8188",
        "box:port",
        "box:99999",
        "box:0",
        "ftp://box",
        "ws://box",
        "file:///etc/passwd",
        "two words",
        "http://box/?a=1",
        "[::1",
        "http://[nonsense]:1",
        "a\\b",
    ],
)
def test_what_is_no_address_is_an_error_in_the_users_file(host: str) -> None:
    with pytest.raises(ConfigError, match="host") as caught:
        server_url(host, 8188)
    assert caught.value.hint


@pytest.mark.parametrize(
    "host",
    [
        "http://user:secret@box",
        "http://user:secret@box:port",
        "user:secret@box",
        "http:/user:secret@box",
        "http//user:secret@box",
    ],
)
def test_a_password_in_the_address_is_refused_and_not_repeated(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        server_url(host, 8188)
    assert "secret" not in str(caught.value)


def test_localhost_reaches_a_server_on_the_ipv4_loopback() -> None:
    with FakeComfyUI() as server:
        door = Door(f"http://localhost:{server.port}/api")
        assert door.address() == f"http://127.0.0.1:{server.port}/api"
        door.close()


def test_localhost_reaches_a_server_on_the_ipv6_loopback() -> None:
    with socket.socket(socket.AF_INET6) as listening:
        try:
            listening.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
        listening.listen()
        door = Door(f"http://localhost:{listening.getsockname()[1]}")
        assert door.address() == f"http://[::1]:{listening.getsockname()[1]}"
        door.close()


@pytest.mark.parametrize("url", ["http://localhost:1", "https://localhost:1", "http://gpu-box:8188"])
def test_other_names_are_dialled_as_they_are(url: str) -> None:
    door = Door(url)
    assert door.address() == url
    door.close()


def test_a_path_prefix_leads_every_request_and_the_websocket() -> None:
    with FakeComfyUI() as server, ComfyUI(f"{server.url}/comfy") as comfy:
        comfy.features()
        Ear(Door(f"{server.url}/comfy")).close()
        assert [path.split("?")[0] for _, path, _ in server.asked] == ["/comfy/features", "/comfy/ws"]


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY"])
def test_no_proxy_hears_of_a_secure_address_of_this_machine(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with socket.socket() as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.listen()
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "elsewhere")
        with FakeComfyUI() as server, Ear(Door(server.url.replace("http:", "https:"))) as ear:
            assert not ear.is_open  # as it does not speak TLS
        proxy.settimeout(0.2)
        with pytest.raises(socket.timeout):
            proxy.accept()


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "elsewhere")
    with FakeComfyUI() as server, ComfyUI(server.url) as comfy:
        assert comfy.features() == {}
        with Ear(Door(server.url)) as ear:
            assert ear.is_open


@pytest.mark.parametrize(
    ("variable", "proxy", "told"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9", "SOCKS|no ComfyUI at"),
        ("http_proxy", "http://127.0.0.1:9", "no ComfyUI at http://gpu-box.test:8188: connection refused"),
        ("HTTP_PROXY", "http://user:secret@gate:nonsense", "cannot be used: "),
    ],
)
def test_a_proxy_between_us_and_the_server_is_the_first_to_look_at(
    monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str, told: str
) -> None:
    monkeypatch.setenv(variable, proxy)
    with ComfyUI("http://gpu-box.test:8188", silence=2) as comfy, pytest.raises(ComfyUIError, match=told) as caught:
        comfy.features()
    assert caught.value.hint == f"{variable} sends the request through a proxy: NO_PROXY=gpu-box.test goes past it"
    assert "secret" not in str(caught.value)


def test_a_proxy_that_is_gone_past_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "gpu-box.test")
    with ComfyUI("http://gpu-box.test:8188", silence=2) as comfy, pytest.raises(ComfyUIError) as caught:
        comfy.features()
    assert "PROXY" not in caught.value.hint


def test_a_line_that_answers_no_ping_is_given_up() -> None:
    with FakeComfyUI() as server:
        server.deaf = True
        with Ear(Door(server.url)) as ear:
            ear.receive(1)  # the greeting
            for _ in range(6):
                assert ear.is_open
                ear.ping()
            assert (ear.is_open, ear.losses) == (False, 1)


def test_a_line_that_answers_pings_stays_open() -> None:
    with FakeComfyUI() as server, Ear(Door(server.url)) as ear:
        for _ in range(12):
            ear.ping()
            ear.receive(1)
        assert ear.losses == 0


@pytest.mark.parametrize("host", ["http://h/?token=sk-SECRET", "http://me:sk-SECRET@h", "ftp://h/#sk-SECRET"])
def test_a_secret_in_an_address_is_not_repeated(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        server_url(host, 8188)
    assert "SECRET" not in str(caught.value)
