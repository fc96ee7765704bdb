"""The built-in generator: a small server that speaks ComfyUI's protocol and samples on the CPU.

It is for trying the tool and for tests. The recorded exchanges of a ComfyUI 0.3.64 decide how it answers; where it
knowingly differs: its own node classes only, no tooltips, a picture cut short fails instead of passing in silence.
HTTP is answered by an event loop in one thread while a second thread works through the queue.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import threading
import uuid
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from aiohttp import web
from PIL import Image

from imagination.bounded_json import loads
from imagination.sandbox.catalogue import CKPT_NAME, CLASSES
from imagination.sandbox.execution import TO_EVERYONE, Executor, Listener
from imagination.sandbox.file_routes import FileRoutes
from imagination.sandbox.folders import Folders
from imagination.sandbox.graph import problem, validate
from imagination.sandbox.hosting import Host
from imagination.sandbox.jobs import Job, JobQueue, Outcome
from imagination.sandbox.nodes import Sampler
from imagination.sandbox.sockets import Hub

log = logging.getLogger(__name__)
VERSION = "0.3.64"  # the ComfyUI whose protocol is spoken
MAX_UPLOAD = 100 * 1024 * 1024  # bytes
LOOPBACK = ("localhost", "127.0.0.1", "::1")
MODEL_FOLDERS = (
    "checkpoints",
    "configs",
    "loras",
    "vae",
    "text_encoders",
    "diffusion_models",
    "embeddings",
    "controlnet",
)


class ComfyUIServer:
    """One generator. `sampler` is called as `imagination.sandbox.diffusion.sample`, which is also the default."""

    def __init__(
        self, sampler: Optional[Sampler] = None, *, previews: bool = False, max_upload_size: int = MAX_UPLOAD
    ) -> None:
        sampler = sampler or _built_in_sampler()
        self.folders = Folders()
        self.queue = JobQueue()
        self.executor = Executor(CLASSES, self.folders, sampler)
        self.previews = previews
        self.features = {"supports_preview_metadata": True, "max_upload_size": max_upload_size}
        self.host = Host(self._app(max_upload_size))
        self.hub = Hub(self.host.loop, self.features)
        self.host.app.on_shutdown.append(self.hub.close)
        self._number = 0
        self._at_work: Tuple[Optional[Job], Optional[str]] = (None, None)  # the running job and its node
        self._worker = threading.Thread(target=self._work, name="sandbox-generator", daemon=True)

    def start(self, port: int = 0) -> str:
        """Listen on loopback and return the base URL; OSError if the port is taken."""
        url = self.host.start(port)
        self._worker.start()
        return url

    def stop(self) -> None:
        """Interrupt what runs, close the connections and remove the files."""
        self.queue.close()
        if self._worker.is_alive():
            self._worker.join()
        self.host.stop()
        self.folders.remove()

    # -- the working thread

    def _work(self) -> None:
        while not self.queue.is_closed():
            job = self.queue.next()
            if self.queue.take_free():
                self.executor.forget()
            if job is not None:
                self._run(job)

    def _run(self, job: Job) -> None:
        self._at_work = (job, None)
        self._tell_status()
        try:
            outcome = self.executor.run(job, Listener(self._tell, self._show, self.queue.is_interrupted))
        except Exception:  # a fault of ours must not leave every later job waiting for ever
            log.exception("the built-in generator failed on prompt %s", job.prompt_id)
            outcome = Outcome(succeeded=False)
        self.queue.done(job, outcome, {node_id: _meta(node_id) for node_id in outcome.outputs})
        self._at_work = (None, None)
        self._tell_status()
        if job.has_client:
            self.hub.post("executing", {"node": None, "prompt_id": job.prompt_id}, job.client_id or "")

    def _tell(self, job: Job, kind: str, data: Dict[str, Any]) -> None:
        if kind == "executing":
            self._at_work = (job, data["node"])
        if job.has_client:
            self.hub.post(kind, data, job.client_id or "")
        elif kind in TO_EVERYONE:
            self.hub.post(kind, data)

    def _show(self, job: Job, node_id: str, picture: Image.Image) -> None:
        if self.previews:
            about: Dict[str, Any] = {"node_id": node_id, "prompt_id": job.prompt_id, "display_node_id": node_id}
            about.update({"parent_node_id": None, "real_node_id": node_id})
            self.hub.post_preview(picture, about, (job.client_id or "") if job.has_client else None)

    def _tell_status(self) -> None:
        self.hub.post("status", self._status())

    def _status(self) -> Dict[str, Any]:
        return {"status": {"exec_info": {"queue_remaining": self.queue.remaining()}}}

    # -- routes

    def _app(self, max_upload_size: int) -> web.Application:
        app = web.Application(client_max_size=max_upload_size, middlewares=[_guard])
        files = FileRoutes(self.folders)
        for prefix in ("", "/api"):
            for path, get in self._getters(files):
                app.router.add_get(prefix + path, get)
            for path, post in self._posters(files):
                app.router.add_post(prefix + path, post)
        app.router.add_get("/{anything:.*}", _nothing_here)
        return app

    def _getters(self, files: FileRoutes) -> Iterator[Tuple[str, Callable[..., Any]]]:
        yield "/", self.get_root
        yield "/ws", self.get_ws
        yield "/system_stats", self.get_system_stats
        yield "/features", self.get_features
        yield "/embeddings", self.get_embeddings
        yield "/extensions", self.get_embeddings
        yield "/models", self.get_models
        yield "/models/{folder}", self.get_models
        yield "/object_info", self.get_object_info
        yield "/object_info/{name}", self.get_object_info
        yield "/prompt", self.get_prompt
        yield "/queue", self.get_queue
        yield "/history", self.get_history
        yield "/history/{prompt_id}", self.get_history_entry
        yield "/view", files.view

    def _posters(self, files: FileRoutes) -> Iterator[Tuple[str, Callable[..., Any]]]:
        yield "/prompt", self.post_prompt
        yield "/queue", self.post_queue
        yield "/interrupt", self.post_interrupt
        yield "/history", self.post_history
        yield "/free", self.post_free
        yield "/upload/image", files.upload_image
        yield "/upload/mask", files.upload_mask

    async def get_root(self, request: web.Request) -> web.Response:
        page = "<!doctype html><title>no front end</title>\n<p>The built-in generator speaks ComfyUI's API only.</p>\n"
        return web.Response(text=page, content_type="text/html", headers={"Cache-Control": "no-cache"})

    async def get_ws(self, request: web.Request) -> web.WebSocketResponse:
        return await self.hub.serve(request, self._greeting)

    def _greeting(self, sid: str) -> Iterator[Tuple[str, Dict[str, Any]]]:
        yield "status", {**self._status(), "sid": sid}
        job, node_id = self._at_work
        if job is not None and node_id is not None and job.client_id == sid:
            yield "executing", {"node": node_id}

    async def get_system_stats(self, request: web.Request) -> web.Response:
        memory = _memory()
        system = {
            "os": os.name,
            "ram_total": memory,
            "ram_free": memory,
            "comfyui_version": VERSION,
            "required_frontend_version": "",
            "installed_templates_version": None,
            "required_templates_version": "",
            "python_version": sys.version,
            "pytorch_version": "none (built-in generator)",
            "embedded_python": False,
            "argv": ["imagination.sandbox", "--cpu"],
        }
        device: Dict[str, Any] = {"name": f"cpu {platform.machine()}".strip(), "type": "cpu", "index": None}
        device.update(dict.fromkeys(("vram_total", "vram_free", "torch_vram_total", "torch_vram_free"), memory))
        return web.json_response({"system": system, "devices": [device]})

    async def get_features(self, request: web.Request) -> web.Response:
        return web.json_response(self.features)

    async def get_embeddings(self, request: web.Request) -> web.Response:
        return web.json_response([])

    async def get_models(self, request: web.Request) -> web.Response:
        folder = request.match_info.get("folder")
        if folder is None:
            return web.json_response(MODEL_FOLDERS)
        if folder not in MODEL_FOLDERS:
            return web.Response(status=404)
        return web.json_response([CKPT_NAME] if folder == "checkpoints" else [])

    async def get_object_info(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name")
        chosen = CLASSES if name is None else {name: CLASSES[name]} if name in CLASSES else {}
        return web.json_response({key: value.describe(self.folders) for key, value in chosen.items()})

    async def get_prompt(self, request: web.Request) -> web.Response:
        return web.json_response(self._status()["status"])

    async def post_prompt(self, request: web.Request) -> web.Response:
        body = await _json(request) or {}
        number = self._next_number(body)
        if "prompt" not in body:
            error = problem("no_prompt", "No prompt provided", "No prompt provided")
            return web.json_response({"error": error, "node_errors": {}}, status=400)
        graph = body["prompt"] if body["prompt"] != [] else {}
        verdict = validate(graph, CLASSES, self.folders, body.get("partial_execution_targets"))
        if verdict.error is not None:
            return web.json_response({"error": verdict.error, "node_errors": verdict.node_errors}, status=400)
        extra_data = dict(body.get("extra_data", {}))
        if "client_id" in body:
            extra_data["client_id"] = body["client_id"]
        prompt_id = str(body.get("prompt_id", uuid.uuid4()))
        self.queue.put(Job(number, prompt_id, graph, extra_data, verdict.outputs), self._tell_status)
        return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors})

    def _next_number(self, body: Mapping[str, Any]) -> float:
        """Give the place in the queue: the client's own, before everyone (`front`), or behind everyone."""
        if "number" in body:
            return float(body["number"])
        number, self._number = self._number, self._number + 1
        return -number if body.get("front") else number

    async def get_queue(self, request: web.Request) -> web.Response:
        return web.json_response(self.queue.snapshot())

    async def post_queue(self, request: web.Request) -> web.Response:
        body = await _json(request)
        if body.get("clear"):
            self.queue.clear()
            self._tell_status()
        for prompt_id in body.get("delete", ()):
            if self.queue.delete(prompt_id):
                self._tell_status()
        return web.Response()

    async def post_interrupt(self, request: web.Request) -> web.Response:
        """Stop what runs, or only the job named; a body that is no JSON counts as none."""
        try:
            body = await _json(request)
        except ValueError:
            body = {}
        self.queue.interrupt(body.get("prompt_id") or "")
        return web.Response()

    async def get_history(self, request: web.Request) -> web.Response:
        query = request.rel_url.query
        most = int(query["max_items"]) if "max_items" in query else None
        return web.json_response(self.queue.history(None, most, int(query.get("offset", -1))))

    async def get_history_entry(self, request: web.Request) -> web.Response:
        return web.json_response(self.queue.history(request.match_info["prompt_id"]))

    async def post_history(self, request: web.Request) -> web.Response:
        body = await _json(request)
        if body.get("clear"):
            self.queue.forget()
        self.queue.forget(body.get("delete", ()))
        return web.Response()

    async def post_free(self, request: web.Request) -> web.Response:
        """Forget results if asked to; there are no models to unload."""
        if (await _json(request)).get("free_memory"):
            self.queue.free()
        return web.Response()


@web.middleware
async def _guard(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
    """Refuse a browser page of another origin while the Host is a loopback name, and answer every preflight."""
    if _is_foreign(request.headers.get("Host", ""), request.headers.get("Origin")):
        return web.Response(status=403)
    if request.method == "OPTIONS":
        return web.Response()
    response: web.StreamResponse = await handler(request)
    return response


def _is_foreign(host: str, origin: Optional[str]) -> bool:
    if not origin or origin == "null":
        return False
    here, there = urlsplit(f"//{host}"), urlsplit(origin)
    if here.hostname not in LOOPBACK:
        return False
    return here.hostname != there.hostname or (there.port is not None and here.port != there.port)


async def _nothing_here(request: web.Request) -> web.Response:
    return web.Response(status=404, content_type="application/octet-stream")


async def _json(request: web.Request) -> Any:
    """Parse the body whatever its content type says; ValueError (and so a 500) for anything but JSON."""
    return loads((await request.read()).decode("utf-8"))


def _meta(node_id: str) -> Dict[str, Any]:
    return {"node_id": node_id, "display_node": node_id, "parent_node": None, "real_node_id": node_id}


def _memory() -> int:
    """Measure the machine's memory in bytes; 8 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 8 * 2**30


def _built_in_sampler() -> Sampler:
    from imagination.sandbox.diffusion import sample

    return sample
