"""Hosts an aiohttp application on a loopback port, in a daemon thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any, Coroutine, Optional

from aiohttp import web

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # a malformed request answered with 500 is the client's news, not the terminal's


class Host:
    """A running server. `start` returns when it listens; `stop` may be called twice."""

    def __init__(self, app: web.Application) -> None:
        self.app = app
        self.loop = asyncio.new_event_loop()
        self._runner: Optional[web.AppRunner] = None
        self._thread = threading.Thread(target=self._serve, name="sandbox-server", daemon=True)

    def start(self, port: int = 0) -> str:
        """Listen on 127.0.0.1 at `port` (0: a free one) and return the base URL; OSError if the port is taken."""
        self._thread.start()
        try:
            url: str = self._do(self._listen(port))
            return url
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        if self._thread.is_alive():
            if self._runner is not None:
                self._do(self._runner.cleanup())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.close()

    async def _listen(self, port: int) -> str:
        self._runner = web.AppRunner(self.app, access_log=None, logger=log, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()
