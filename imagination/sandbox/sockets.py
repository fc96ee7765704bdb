"""The WebSocket side of the generator: who listens under which clientId, and who hears what.

A second connection under one clientId silences the first, and when the first then closes, the second is cut off: both
are ComfyUI's behaviour, which clients must live with.
"""

from __future__ import annotations

import asyncio
import io
import json
import struct
import uuid
from typing import Any, Callable, Dict, Mapping, Optional, Set, Union

from aiohttp import WSCloseCode, WSMsgType, web
from PIL import Image, ImageOps

from imagination.bounded_json import loads

PREVIEW_SIDE = 512  # px; the longest side of a preview, whatever the picture's
PLAIN_PREVIEW, LABELLED_PREVIEW = 1, 4  # event types of binary frames
JPEG = 1  # format number inside a plain preview
Message = Union[str, bytes]


class Hub:
    """The open connections. Everything but `post` and `post_preview` runs in the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, features: Mapping[str, Any]) -> None:
        self.loop = loop
        self.features = dict(features)
        self._outboxes: Dict[str, asyncio.Queue[Message]] = {}
        self._wants_labels: Dict[str, bool] = {}
        self._sockets: Set[web.WebSocketResponse] = set()

    async def serve(self, request: web.Request, greeting: Callable[[str], Any]) -> web.WebSocketResponse:
        """Hold one connection until it closes; `greeting` gives the messages it is met with."""
        socket = web.WebSocketResponse(timeout=1.0)  # s to wait for the other side to say goodbye
        await socket.prepare(request)
        sid = request.rel_url.query.get("clientId", "") or uuid.uuid4().hex
        outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._outboxes[sid] = outbox
        self._sockets.add(socket)
        self._wants_labels.pop(sid, None)
        for kind, data in greeting(sid):
            outbox.put_nowait(_text(kind, data))
        writer = asyncio.ensure_future(_write(socket, outbox))
        try:
            await self._read(socket, sid, outbox)
        finally:
            writer.cancel()
            self._sockets.discard(socket)
            self._outboxes.pop(sid, None)
            self._wants_labels.pop(sid, None)
        return socket

    async def close(self, _app: web.Application) -> None:
        """Close every connection; the server would wait for them else."""
        await asyncio.gather(*(socket.close(code=WSCloseCode.GOING_AWAY) for socket in set(self._sockets)))

    async def _read(self, socket: web.WebSocketResponse, sid: str, outbox: asyncio.Queue[Message]) -> None:
        is_first = True
        async for message in socket:
            if message.type is WSMsgType.TEXT and is_first:
                flags = _feature_flags(message.data)
                if flags is not None:
                    self._wants_labels[sid] = bool(flags.get("supports_preview_metadata"))
                    outbox.put_nowait(_text("feature_flags", self.features))
            is_first = False

    def post(self, kind: str, data: Mapping[str, Any], sid: Optional[str] = None) -> None:
        """Send a JSON message to one client, or to everyone. Callable from any thread; order is kept."""
        self.loop.call_soon_threadsafe(self._put, _text(kind, data), sid)

    def post_preview(self, picture: Image.Image, about: Mapping[str, Any], sid: Optional[str]) -> None:
        """Send a preview frame: labelled with `about` for those who asked for labels, else plain."""
        shown = ImageOps.contain(picture.convert("RGB"), (PREVIEW_SIDE, PREVIEW_SIDE))
        data = io.BytesIO()
        shown.save(data, "JPEG", quality=85)
        label = json.dumps({**about, "image_type": "image/jpeg"}).encode()
        labelled = struct.pack(">II", LABELLED_PREVIEW, len(label)) + label + data.getvalue()
        plain = struct.pack(">II", PLAIN_PREVIEW, JPEG) + data.getvalue()
        self.loop.call_soon_threadsafe(self._put_preview, labelled, plain, sid)

    def _put(self, message: Message, sid: Optional[str]) -> None:
        for outbox in self._chosen(sid).values():
            outbox.put_nowait(message)

    def _put_preview(self, labelled: bytes, plain: bytes, sid: Optional[str]) -> None:
        for key, outbox in self._chosen(sid).items():
            outbox.put_nowait(labelled if self._wants_labels.get(key) else plain)

    def _chosen(self, sid: Optional[str]) -> Dict[str, asyncio.Queue[Message]]:
        return dict(self._outboxes) if sid is None else {k: v for k, v in self._outboxes.items() if k == sid}


async def _write(socket: web.WebSocketResponse, outbox: asyncio.Queue[Message]) -> None:
    """Send what is put into `outbox`, so that a slow reader keeps nobody else waiting."""
    while not socket.closed:
        message = await outbox.get()
        try:
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
        except ConnectionError:
            return


def _text(kind: str, data: Mapping[str, Any]) -> str:
    return json.dumps({"type": kind, "data": data})


def _feature_flags(text: str) -> Optional[Dict[str, Any]]:
    try:
        message = loads(text)
        return dict(message["data"]) if message["type"] == "feature_flags" else None
    except (ValueError, KeyError, TypeError):
        return None
