"""The built-in engines: a generator that speaks ComfyUI's protocol and a judge that speaks Ollama's, on loopback.

They are for trying the tool and for tests: no model, no GPU, nothing to install beside aiohttp. `start_generator` and
`start_vision` run them inside this process, where the ordinary clients reach them; `python -m imagination.sandbox` runs
both for any other client.
"""

from __future__ import annotations

import atexit
import threading
from typing import TYPE_CHECKING, Dict, Union

from imagination.errors import ConfigError

if TYPE_CHECKING:
    from imagination.sandbox.comfyui_server import ComfyUIServer
    from imagination.sandbox.ollama_server import OllamaServer

MISSING_HINT = 'pip install "iterative-imagination[demo]" (in a checkout: pip install -e ".[demo]")'
_running: Dict[str, Union[ComfyUIServer, OllamaServer]] = {}
_urls: Dict[str, str] = {}
_lock = threading.Lock()


def start_generator(port: int = 0, *, previews: bool = False) -> str:
    """Start the generator once in this process and return its base URL. ConfigError without aiohttp."""
    with _lock:
        if "generator" not in _running:
            require_server()
            from imagination.sandbox.comfyui_server import ComfyUIServer

            _start("generator", ComfyUIServer(previews=previews), port)
        return _urls["generator"]


def start_vision(port: int = 0) -> str:
    """Start the judge once in this process and return its base URL. ConfigError without aiohttp."""
    with _lock:
        if "vision" not in _running:
            require_server()
            from imagination.sandbox.ollama_server import OllamaServer

            _start("vision", OllamaServer(), port)
        return _urls["vision"]


def stop_all() -> None:
    """Stop what was started and remove its files; starting again is allowed."""
    with _lock:
        while _running:
            name, server = _running.popitem()
            del _urls[name]
            server.stop()


def require_server() -> None:
    """Raise ConfigError, naming the command that helps, where the engines' one dependency is missing."""
    try:
        import aiohttp  # noqa: F401
    except ImportError as err:
        raise ConfigError("the built-in engines need aiohttp, which is not installed", MISSING_HINT) from err


def _start(name: str, server: Union[ComfyUIServer, OllamaServer], port: int) -> None:
    try:
        _urls[name] = server.start(port)
    except OSError as err:
        server.stop()
        raise ConfigError(f"port {port} cannot be used: {err.strerror or err}", "choose another port") from err
    _running[name] = server


atexit.register(stop_all)
