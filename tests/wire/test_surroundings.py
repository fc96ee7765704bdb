"""What keeps a request from leaving is told by where it was set: a variable of the environment or a key of AIVis.yaml."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Dict

import pytest
from fake_vision import FakeVision, chat, dead_url
from requests.exceptions import SSLError
from vision_samples import FORMAL, request

from imagination.errors import VisionError, VisionRefused, VisionUnreachable
from imagination.model import VisionSettings
from imagination.sessions import Session, is_loopback
from imagination.surroundings import hindrance
from imagination.vision import AskFailed, Vision

BOX = "https://box.invalid/v1"
HAS_SOCKS = importlib.util.find_spec("socks") is not None


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def refused(environ: Dict[str, str], **settings: Any) -> VisionError:
    """What becomes of a request."""
    given = {"provider": "ollama", "model": "eyes", "timeout": 5, "retries": 0, **settings}
    with pytest.raises(AskFailed) as failed:
        Vision.from_settings(VisionSettings(**given), environ, sleep=lambda _: None).ask(request())
    cause = failed.value.__cause__
    assert isinstance(cause, VisionError)
    return cause


@pytest.mark.parametrize("provider", ["ollama", "openrouter"])
@pytest.mark.parametrize(
    ("variable", "value", "told", "right"),
    [
        pytest.param(
            "ALL_PROXY", "socks5://127.0.0.1:9", "names a SOCKS proxy", 'pip install "requests[socks]"',
            marks=pytest.mark.skipif(HAS_SOCKS, reason="SOCKS is spoken here"),
        ),
        ("https_proxy", "http://", "is no address of a proxy", "Write it as http://host:port"),
        ("HTTPS_PROXY", "http:///proxy", "is no address of a proxy", "Write it as http://host:port"),
        ("ALL_PROXY", "ftp://127.0.0.1:9", "is no address of a proxy", "Write it as http://host:port"),
        ("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem", "names no certificate for it", "name a PEM file"),
        ("CURL_CA_BUNDLE", "/nowhere/ca.pem", "names no certificate for it", "name a PEM file"),
    ],
)  # fmt: skip
def test_a_variable_that_no_request_can_go_by_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str, right: str, provider: str
) -> None:
    monkeypatch.setenv(variable, value)
    err = refused({}, provider=provider, base_url=BOX)
    assert isinstance(err, VisionRefused) and err.lasting
    assert f"{variable} {told}" in err.message and right in err.hint


def test_a_proxy_that_is_not_there_is_named_and_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", dead_url())
    err = refused({}, base_url=BOX)
    assert isinstance(err, VisionUnreachable) and "through the proxy that HTTPS_PROXY names" in err.message


def test_certificates_that_do_not_fit_the_server_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hindrance(SSLError(), BOX, "Ollama") is None
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", __file__)
    err = hindrance(SSLError(), BOX, "Ollama")
    assert err is not None and "Ollama cannot be trusted: REQUESTS_CA_BUNDLE" in err.message


@pytest.mark.parametrize("host", ["localhost", "box.invalid"])
def test_certificates_of_our_own_are_taken_wherever_the_server_is(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", __file__)
    with Session(host) as session:
        settings = session.merge_environment_settings(f"https://{host}", {}, True, None, None)
    assert settings["verify"] == __file__


def test_a_server_that_nobody_vouches_for_is_told_as_such() -> None:
    err = hindrance(SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"), BOX, "Ollama")
    assert err is not None and "nobody known here vouches" in err.message and "REQUESTS_CA_BUNDLE" in err.hint


@pytest.mark.parametrize(
    ("host", "own"),
    [
        *(
            (name, True)
            for name in ("localhost", "LOCALHOST", "localhost.", "x.localhost", "127.0.0.1", "127.8.9.1", "127.1")
        ),
        *((name, True) for name in ("::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "127.0.0.1.")),
        *(
            (name, False)
            for name in ("", ".", "box", "mylocalhost", "localhost.box", "127.0.0.1.example.org", "10.0.0.1")
        ),
        *((name, False) for name in ("128.1", "::2", "::ffff:10.0.0.1", "fe80::1", "local\0host", "\ud800")),
    ],
)
def test_what_names_this_machine(host: str, own: bool) -> None:
    assert is_loopback(host) is own


def test_our_own_machine_is_asked_whatever_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with FakeVision(chat(FORMAL)) as server:
        settings = VisionSettings(provider="ollama", model="eyes", base_url=server.url)
        assert Vision.from_settings(settings, {}).ask(request()).call.success


@pytest.mark.parametrize("proxy", ["", "http://127.0.0.1:9"])
@pytest.mark.parametrize("address", ["ftp://box", "http://[::1", "..", "a..b"])
def test_an_address_that_is_none_is_told_by_where_it_stands(
    monkeypatch: pytest.MonkeyPatch, address: str, proxy: str
) -> None:
    if proxy and address != "a..b":  # which is for the proxy to find out
        monkeypatch.setenv("http_proxy", proxy)
    err = refused({"OLLAMA_HOST": address})
    assert isinstance(err, VisionRefused) and "OLLAMA_HOST is no address of a server" in err.message
    assert err.hint == "Write OLLAMA_HOST as http://host:port."


@pytest.mark.parametrize("place", ["base_url", "fallback_base_url"])
@pytest.mark.parametrize("provider", ["ollama", "openrouter"])
def test_an_address_in_the_settings_is_told_by_its_key(place: str, provider: str) -> None:
    first = {"base_url": dead_url(), "fallback_provider": provider, "fallback_model": "eyes"}
    given = {"provider": provider} if place == "base_url" else first
    err = refused({"OLLAMA_HOST": "fine"}, **{**given, place: "http://a..b/v1"})
    assert f"{place} in AIVis.yaml is no address of a server" in err.message


@pytest.mark.parametrize("key", ["schlüssel-0123456789", "ключ-0123456789"])
def test_a_key_that_no_header_holds_is_told_by_where_it_stands_and_not_sent(key: str) -> None:
    with FakeVision() as server:
        first = refused({"OLLAMA_API_KEY": key}, base_url=server.url)
        second = refused({"OLLAMA_API_KEY": "fine"}, base_url=server.url, api_key=key)
        assert server.asked == []
    assert "(OLLAMA_API_KEY) has characters that cannot be in a key" in first.message
    assert "(api_key in AIVis.yaml) has characters" in second.message and "OLLAMA" not in second.message + second.hint
    assert not any(key[:5] in err.message + err.hint for err in (first, second))
