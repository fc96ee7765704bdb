"""The generator's routes that take and give files: /upload/image, /upload/mask, /view."""

from __future__ import annotations

import io
import mimetypes
from pathlib import Path
from typing import Any, Optional

from aiohttp import web
from PIL import Image

from imagination.bounded_json import loads
from imagination.sandbox.folders import KINDS, Folders, NotAllowed, split_annotation

UNSAFE_TO_SHOW = ("text/html", "text/html-sandboxed", "application/xhtml+xml", "text/javascript", "text/css")
PREVIEW_FORMATS = ("webp", "jpeg")


class FileRoutes:
    """Handlers over one set of folders."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders

    async def upload_image(self, request: web.Request) -> web.Response:
        """Store a picture; its content is not looked at."""
        form = await request.post()
        upload: Any = form.get("image")
        if upload is None:
            return web.Response(status=400)
        return self._stored(form, upload.filename, upload.file.read())

    async def upload_mask(self, request: web.Request) -> web.Response:
        """Store the picture named by `original_ref` with the upload's alpha; without that picture nothing is written."""
        form = await request.post()
        upload: Any = form.get("image")
        if upload is None:
            return web.Response(status=400)
        mask, reference = upload.file.read(), loads(str(form["original_ref"]))
        original = self._original(reference)
        if original is None:
            answer = {
                "name": upload.filename,
                "subfolder": form.get("subfolder", ""),
                "type": form.get("type", "input"),
            }
            return web.json_response(answer)
        return self._stored(form, upload.filename, _with_alpha(original, mask))

    async def view(self, request: web.Request) -> web.StreamResponse:
        """Give a file as it is, or its picture re-encoded (`preview`) or reduced to channels (`channel`)."""
        query = request.rel_url.query
        if "filename" not in query:
            return web.Response(status=404)
        name, kind = split_annotation(query["filename"], query.get("type"))
        if not name or name.startswith("/") or ".." in name or kind not in KINDS:
            return web.Response(status=400)
        try:
            path = self.folders.within(kind, query.get("subfolder", ""), _last(name))
            found = path.is_file()
        except NotAllowed:
            return web.Response(status=403)
        except (ValueError, OSError):  # a NUL byte, or a name longer than the file system takes
            found = False
        if not found:
            return web.Response(status=404)
        if "preview" in query or query.get("channel", "rgba") != "rgba":
            data, content_type = _rendered(path, query.get("preview"), query.get("channel", "rgba"))
            return web.Response(body=data, content_type=content_type, headers=_disposition(path))
        return web.FileResponse(path, headers={**_disposition(path), "Content-Type": _content_type(path)})

    def _stored(self, form: Any, name: str, data: bytes) -> web.Response:
        kind, subfolder = str(form.get("type", "input")), str(form.get("subfolder", ""))
        name, overwrite = name.lstrip("/"), form.get("overwrite") in ("true", "1")
        try:
            name = self.folders.store(kind, subfolder, name, data, overwrite)
        except NotAllowed:
            return web.Response(status=400)
        return web.json_response({"name": name, "subfolder": subfolder, "type": kind})

    def _original(self, reference: Any) -> Optional[Path]:
        kind = reference.get("type", "output")
        path = self.folders.within(kind, reference.get("subfolder", ""), _last(reference["filename"]))
        return path if path.is_file() else None


def _last(name: str) -> str:
    """Cut off the folders inside a file name: they are not searched."""
    return name.rpartition("/")[2]


def _disposition(path: Path) -> Any:
    return {"Content-Disposition": f'filename="{path.name}"'}


def _content_type(path: Path) -> str:
    guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return "application/octet-stream" if guessed in UNSAFE_TO_SHOW else guessed


def _rendered(path: Path, preview: Optional[str], channel: str) -> Any:
    """Encode the picture anew; return its bytes and content type. `preview` is `format;quality`."""
    with Image.open(path) as opened:
        picture = opened.convert("RGBA") if channel == "a" else opened.copy()
    if preview is None:
        shown = picture.convert("RGB") if channel == "rgb" else _alpha_only(picture)
        return _encoded(shown, "png", 90)
    kind, _, quality = preview.partition(";")
    kind = kind if kind in PREVIEW_FORMATS else "webp"
    if kind == "jpeg" or channel == "rgb" or picture.mode not in ("RGB", "RGBA"):
        picture = picture.convert("RGB")
    return _encoded(picture, kind, int(quality) if quality.isdigit() else 90)


def _encoded(picture: Image.Image, kind: str, quality: int) -> Any:
    data = io.BytesIO()
    picture.save(data, kind, quality=quality)
    return data.getvalue(), f"image/{kind}"


def _alpha_only(picture: Image.Image) -> Image.Image:
    shown = Image.new("RGBA", picture.size)
    shown.putalpha(picture.convert("RGBA").getchannel("A"))
    return shown


def _with_alpha(original: Path, mask: bytes) -> bytes:
    """Give `original` as PNG with the alpha of the picture `mask`."""
    with Image.open(original) as opened, Image.open(io.BytesIO(mask)) as drawn:
        picture = opened.convert("RGBA")
        picture.putalpha(drawn.convert("RGBA").resize(picture.size).getchannel("A"))
    data = io.BytesIO()
    picture.save(data, "png", compress_level=1)
    return data.getvalue()
