"""What AIVis.yaml is warned of before the first request, as tables of settings and environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Sequence

import pytest

from imagination.config import load_vision
from imagination.vision_remarks import remarks

OPENROUTER = "provider: openrouter\nmodel: m\n"
OLLAMA = "provider: ollama\nmodel: m\n"
FALLBACK = "provider: builtin\nfallback_provider: openrouter\nfallback_model: m\n"
KEYS = {"OPENROUTER_API_KEY": "sk-or-v1-0123456789abcdef", "OLLAMA_API_KEY": "0123456789abcdef-ollama"}
LENT = "the key of OPENROUTER_API_KEY goes to"
CLEAR = "the key goes to"


def told(folder: Path, text: str, environ: Dict[str, str]) -> List[str]:
    path = folder / "AIVis.yaml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    found = remarks(load_vision(path), environ)
    assert not any(key in line for key in KEYS.values() for line in found)
    return [line.replace(f"{path}:", "") for line in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OPENROUTER, []),
        (OPENROUTER + "base_url: https://openrouter.ai/api/v1\n", []),
        (OPENROUTER + "base_url: https://eu.openrouter.ai/api/v1\n", []),
        (OPENROUTER + "base_url: http://127.0.0.1:8080/v1\n", []),
        (OPENROUTER + "base_url: 'localhost:8080/v1'\n", []),
        (OPENROUTER + "base_url: 'http://[::1]:8080/v1'\n", []),
        (OPENROUTER + "base_url: https://evil.example/v1\n", [f"3 base_url: {LENT} evil.example, as base_url says; "]),
        (OPENROUTER + "base_url: https://openrouter.ai.example/v1\n", [f"3 base_url: {LENT} openrouter.ai.example"]),
        (OPENROUTER + "base_url: https://openrouter.ai@evil.example\n", [f"3 base_url: {LENT} evil.example"]),
        (OPENROUTER + "base_url: https://127.0.0.1.evil.example/v1\n", [f"3 base_url: {LENT} 127.0.0.1.evil"]),
        (OPENROUTER + "base_url: gpu-box:80\n", [f"3 base_url: {LENT} gpu-box", f"3 base_url: {CLEAR} gpu-box unenc"]),
        (OPENROUTER + "base_url: http://openrouter.ai/api\n", [f"3 base_url: {CLEAR} openrouter.ai unencrypted"]),
        (OPENROUTER + "base_url: https://evil.example/v1\napi_key: its-own\n", []),
        (OPENROUTER + "base_url: http://gpu-box/v1\napi_key: its-own\n", [f"3 base_url: {CLEAR} gpu-box unencrypted"]),
        (FALLBACK, []),
        (FALLBACK + "fallback_base_url: https://evil.example\n", [f"4 fallback_base_url: {LENT} evil.example, as fall"]),
        (OLLAMA, []),
        (OLLAMA + "base_url: https://ollama.com\n", []),
        (OLLAMA + "base_url: https://evil.example\n", ["3 base_url: the key of OLLAMA_API_KEY goes to evil.example"]),
    ],
)  # fmt: skip
def test_who_is_sent_a_key_is_told(tmp_path: Path, text: str, expected: Sequence[str]) -> None:
    found = told(tmp_path, text, KEYS)
    assert [line[: len(start)] for line, start in zip(found, expected)] == expected and len(found) == len(expected)


@pytest.mark.parametrize("key", ["base_url", "fallback_base_url"])
def test_what_to_do_is_told_with_it(tmp_path: Path, key: str) -> None:
    (line,) = told(tmp_path, f"{OPENROUTER}{FALLBACK[18:]}{key}: https://evil.example\n", KEYS)
    assert f"remove {key}" in line and "own key under api_key" in line


def test_without_a_key_nothing_is_sent(tmp_path: Path) -> None:
    assert told(tmp_path, OPENROUTER + "base_url: http://gpu-box/v1\n", {"OPENROUTER_API_KEY": " "}) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OPENROUTER + "data_collection: deny\n", None),
        (OPENROUTER + "base_url: https://openrouter.ai/api/v1\ndata_collection: deny\n", None),
        (FALLBACK + "data_collection: deny\n", None),
        (OPENROUTER + "data_collection: deny\nbase_url: http://localhost/v1\n", "3 data_collection is openrouter.ai's alone"),
        (OLLAMA + "data_collection: deny\nbase_url: http://openrouter.ai\n", "3 data_collection is openrouter.ai's alone"),
        (OPENROUTER + "keep_alive: 0\n", "3 keep_alive is ollama's alone"),
        ("provider: builtin\nbase_url: http://gpu-box\n", "2 base_url is not for the built-in engine"),
        (OLLAMA + "fallback_base_url: http://gpu-box\n", "3 fallback_base_url goes with a fallback_provider"),
    ],
)  # fmt: skip
def test_a_setting_that_nobody_reads_is_told(tmp_path: Path, text: str, expected: str) -> None:
    found = told(tmp_path, text, {})
    assert len(found) == (expected is not None) and all(line.startswith(expected) for line in found)


@pytest.mark.skipif(os.name != "posix", reason="a mode says nothing there")
@pytest.mark.parametrize("address", ["http://joe:opensesame@localhost:1", "joe:opensesame@localhost:1"])
def test_a_password_that_others_can_read_is_told(tmp_path: Path, address: str) -> None:
    path = tmp_path / "AIVis.yaml"
    path.write_text(f"{OLLAMA}base_url: {address}\nfallback_base_url: http://localhost/@v1\n", encoding="utf-8")
    path.chmod(0o644)
    lines = [line for line in remarks(load_vision(path), {}) if "the password" in line]
    assert len(lines) == 1 and lines[0].startswith(f"{path}:3 base_url: other users") and "opensesame" not in lines[0]
