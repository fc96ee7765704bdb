"""ComfyUI as this program uses it: upload a picture, have a workflow run, bring the result home. Also pleasant by hand:

    with ComfyUI("http://127.0.0.1:8188") as comfy:
        name = comfy.upload(png)                      # the value for LoadImage's `image`
        made = comfy.generate(workflow, prompt_id=str(uuid.uuid4()), output_node="9")
        Path("out.png").write_bytes(made.png)

The WebSocket tells how a job gets on; `/queue` and `/history`, asked every few seconds, tell the truth. Nothing is sent
twice before both were asked, and no job but our own is ever stopped. What the messages mean is in `execution`, errors in
words in `rejection`, the sockets in `comfyui_wire`; filling in the workflow is left to `workflow`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple, TypeVar
from urllib.parse import quote

from . import images
from .comfyui_follow import ASKED_TWICE, QUICK, Following, Found, Silent
from .comfyui_wire import Door, Ear, server_url
from .errors import BadImage, ComfyUIError, ComfyUIUnreachable, WorkflowRejected
from .execution import Entry, Execution, ImageRef, Place, Workflow, begin, read_history, read_queue
from .reading import MAX_PICTURE
from .rejection import affects, explain_end, explain_rejection, lost_uploads, node_label, offered_values

__all__ = ["ComfyUI", "Generated", "server_url"]

log = logging.getLogger(__name__)
T = TypeVar("T")
OnProgress = Callable[[Execution], None]

CANCEL_ROUNDS = 20
CANCEL_TIMEOUTS = (2.0, 3.0)


class FileGone(ComfyUIError):
    """The history names a file that is no longer there: the cache does not look at the disk."""


@dataclass(frozen=True)
class Generated:
    """A picture that came back, checked to decode fully. `content` is the file as it was, with ComfyUI's metadata."""

    content: bytes = field(repr=False)
    filename: str
    width: int
    height: int
    cached: bool  # nothing ran: ComfyUI gave the file of an earlier job
    prompt_id: str  # as it was run: differs from the one asked for if the job had to be repeated

    @property
    def png(self) -> bytes:
        """The picture as PNG: `content` itself unless the workflow saves another format."""
        if self.content.startswith(b"\x89PNG\r\n\x1a\n"):
            return self.content
        from PIL import Image

        with Image.open(io.BytesIO(self.content)) as image, io.BytesIO() as out:
            image.convert("RGBA" if "A" in image.mode else "RGB").save(out, "PNG")
            return out.getvalue()


@dataclass(frozen=True)
class Job:
    """What `generate` was asked for."""

    workflow: Workflow
    prompt_id: str
    output_node: str
    on_progress: OnProgress
    extra_pnginfo: Optional[Mapping[str, Any]] = None


class ComfyUI:
    """A client of the server at `url` (see `server_url`).

    `silence`: seconds without any sign of progress before a job is given up. `pauses`: seconds before each new try when
    the connection fails; together they outlast a restart. `poll`: seconds between two looks at /queue and /history.
    """

    def __init__(
        self,
        url: str,
        *,
        silence: float = 300.0,
        pauses: Sequence[float] = (5.0, 15.0, 40.0),
        poll: float = 3.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._silence = silence
        self._pauses = tuple(pauses)
        self._poll = poll
        self._sleep = sleep
        self._clock = clock
        self._door = Door(url, silence=silence)
        self._uploads: Dict[bytes, str] = {}  # picture -> value for LoadImage

    def __enter__(self) -> ComfyUI:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._door.close()

    # --- looking before leaping ---------------------------------------------------------------------------------------

    def system_stats(self) -> Dict[str, Any]:
        """Version, devices, memory: the proof that a ComfyUI answers at all."""
        return self._get_dict("/system_stats")

    def features(self) -> Dict[str, Any]:
        """`max_upload_size` in bytes and what else this server can do."""
        return self._get_dict("/features")

    def object_info(self, class_type: str) -> Optional[Dict[str, Any]]:
        """The inputs and outputs of a node class, `{"input": {...}, ...}`; None if it is not installed."""
        # an unknown class is 200 and {}, not 404
        info = self._get_dict(f"/object_info/{quote(class_type, safe='')}").get(class_type)
        return info if isinstance(info, dict) else None

    def choices(self, class_type: str, input_name: str) -> Tuple[Any, ...]:
        """The values that an input with a list offers here, e.g. the checkpoints installed."""
        return offered_values({class_type: self.object_info(class_type)}, class_type, input_name)

    def _get_dict(self, path: str) -> Dict[str, Any]:
        answer = self._door.get_json(path)
        if not isinstance(answer, dict):
            raise ComfyUIError(f"{self.url}{path} answered with something unexpected", "is this a ComfyUI server?")
        return answer

    # --- pictures in --------------------------------------------------------------------------------------------------

    def upload(self, png: bytes) -> str:
        """Store a picture in ComfyUI's input folder, once for each content, and return the value for LoadImage's `image`.

        The name comes from the content, so ComfyUI's cache knows the picture again in the next run.
        """
        if png not in self._uploads:
            self._uploads[png] = self._patiently(lambda again: self._send_picture(png))
        return self._uploads[png]

    def _send_picture(self, png: bytes) -> str:
        digest = hashlib.sha256(png).hexdigest()
        files = {"image": (f"imagination_{digest[:16]}.png", png, "image/png")}
        answer = self._door.read_json(self._door.post("/upload/image", files=files), "/upload/image")
        if not isinstance(answer, dict) or not isinstance(answer.get("name"), str):
            raise ComfyUIError(f"{self.url}/upload/image did not say under which name it stored the picture")
        # other bytes under our name (an upload once cut short) make ComfyUI choose another
        return "/".join(part for part in (str(answer.get("subfolder") or ""), answer["name"]) if part)

    # --- one job ------------------------------------------------------------------------------------------------------

    def generate(
        self,
        workflow: Workflow,
        *,
        prompt_id: str,
        output_node: str,
        on_progress: OnProgress = lambda execution: None,
        extra_pnginfo: Optional[Mapping[str, Any]] = None,
    ) -> Generated:
        """Have `workflow` run under `prompt_id` and return the first image of `output_node`.

        Raises WorkflowRejected, ExecutionFailed, JobCancelled, BadImage, ComfyUIUnreachable (also on silence) or, for an
        answer that makes no sense, ComfyUIError. Ctrl-C takes the job out of ComfyUI before it goes up.
        """
        job = Job(workflow, prompt_id, output_node, on_progress, extra_pnginfo)
        try:
            return self._run(job)
        except FileGone as err:
            log.info("%s; saving it again", err)
            return self._run(_saved_again(job, err))

    def collect(
        self, prompt_id: str, workflow: Workflow, output_node: str, on_progress: OnProgress = lambda execution: None
    ) -> Optional[Generated]:
        """The picture of a job that an earlier process queued, waited for if it is still at work.

        None if ComfyUI does not know the job (any more), or if it failed: then it has to be generated again.
        """
        job = Job(workflow, prompt_id, output_node, on_progress)

        def attempt(again: bool) -> Optional[Generated]:
            known = self._look_twice(prompt_id)
            # the process that had this id is gone: its messages can be ours
            listen_as = known.client_id if isinstance(known, Place) else ""
            return self._await(job, listen_as) if known else None

        try:
            with self._cancelled_on_interrupt(prompt_id):
                return self._patiently(attempt)
        except ComfyUIUnreachable:
            raise
        except ComfyUIError as err:
            log.info("nothing to collect of job %s: %s", prompt_id, err)
            return None

    def cancel(self, prompt_id: str) -> bool:
        """Take our job out of ComfyUI, waiting or running; True once it is gone. Raises no error of ours.

        `/interrupt` goes out with the id, and only while this very job is seen running: without an id, or on a server too
        old to read it, it would stop whatever runs, also other people's work.
        """
        absent = unanswered = 0
        for _ in range(CANCEL_ROUNDS if prompt_id else 0):
            try:
                self._door.post("/queue", json={"delete": [prompt_id]}, timeouts=CANCEL_TIMEOUTS)
                place = read_queue(self._door.get_json("/queue", timeouts=CANCEL_TIMEOUTS), prompt_id)
                if place and place.is_running:
                    self._door.post("/interrupt", json={"prompt_id": prompt_id}, timeouts=CANCEL_TIMEOUTS)
                absent, unanswered = (0 if place else absent + 1), 0
            except ComfyUIError as err:
                log.info("job %s could not be cancelled: %s", prompt_id, err)
                absent, unanswered = 0, unanswered + 1
            if unanswered >= ASKED_TWICE:  # once is not enough: it answers late while it computes on the CPU
                return False
            if absent >= ASKED_TWICE:  # ... nor here: the job may only just be arriving
                return True
            self._sleep(min(self._poll, 0.25))
        return False

    @contextlib.contextmanager
    def _cancelled_on_interrupt(self, prompt_id: str) -> Iterator[None]:
        try:
            yield
        except BaseException as err:
            if isinstance(
                err, KeyboardInterrupt
            ):  # a step on the CPU takes its time, and a silent wait gets a second Ctrl-C
                log.warning(
                    "stopping: the job is taken back from ComfyUI if it has it, which may first end the step that it is at"
                )
            # ComfyUI's own failures end the job by themselves, or leave it for `collect`
            if isinstance(err, Silent) or not isinstance(err, ComfyUIError):
                self.cancel(prompt_id)
            raise

    def _patiently(self, attempt: Callable[[bool], T]) -> T:
        """Call `attempt(again)`, and again after each of the pauses while the server cannot be reached."""
        for number, pause in enumerate(self._pauses):
            try:
                return attempt(number > 0)
            except Silent:
                raise
            except ComfyUIUnreachable as err:
                log.warning("%s; trying again in %g s", err, pause)
                self._sleep(pause)
        return attempt(bool(self._pauses))

    def _run(self, job: Job) -> Generated:
        with self._cancelled_on_interrupt(job.prompt_id):
            try:
                return self._patiently(lambda again: self._attempt(job, again))
            except WorkflowRejected as err:
                if not self._uploaded_again(job, err):
                    raise
            return self._patiently(lambda again: self._attempt(job, again))

    def _attempt(self, job: Job, again: bool) -> Generated:
        if again and self._look_twice(job.prompt_id):
            return self._await(job)
        with Ear(self._door, sleep=self._sleep) as ear:  # first: events go only to who already listens
            self._submit(job, ear.client_id)
            return self._follow(job, ear, ear.client_id)

    def _await(self, job: Job, client_id: str = "") -> Generated:
        """Follow a job that was queued before."""
        with Ear(self._door, client_id, sleep=self._sleep) as ear:
            return self._follow(job, ear, client_id)

    def _uploaded_again(self, job: Job, rejection: WorkflowRejected) -> bool:
        """Was it only that the server's input folder has been emptied, and are our pictures in it once more?"""
        wanted = lost_uploads(rejection, job.workflow)
        lost = [png for png, name in self._uploads.items() if name in wanted]
        for png in lost:
            del self._uploads[png]
            self.upload(png)
        return bool(lost) and wanted <= set(self._uploads.values())

    # --- sending ------------------------------------------------------------------------------------------------------

    def _submit(self, job: Job, client_id: str) -> None:
        body: Dict[str, Any] = {"prompt": job.workflow, "client_id": client_id, "prompt_id": job.prompt_id}
        if job.extra_pnginfo:
            body["extra_data"] = {"extra_pnginfo": dict(job.extra_pnginfo)}
        response = self._door.post("/prompt", json=body, accept=(200, 400, 500))
        if response.status_code == 500:
            self._forgive(job.prompt_id)
            return
        answer = self._door.read_json(response, "/prompt")
        node_errors = answer.get("node_errors") if isinstance(answer, dict) else None
        if response.status_code == 400:
            raise explain_rejection(answer, job.workflow, self._choices_if_known)
        if affects(node_errors, job.workflow, job.output_node):
            # 200 all the same: another output is valid, and is being run for nobody
            self.cancel(job.prompt_id)
            raise explain_rejection(answer, job.workflow, self._choices_if_known)

    def _forgive(self, prompt_id: str) -> None:
        """A 500 does not prove that nothing was queued: look before complaining."""
        if not self._look_twice(prompt_id):
            raise ComfyUIError(
                f"ComfyUI at {self.url} answered /prompt with 500 and did not queue the job",
                "ComfyUI's own log says why",
            )

    def _choices_if_known(self, class_type: str, input_name: str) -> Tuple[Any, ...]:
        with contextlib.suppress(ComfyUIError):
            return self.choices(class_type, input_name)
        return ()

    # --- following ----------------------------------------------------------------------------------------------------

    def _look(self, prompt_id: str) -> Found:
        """Where the job is. Queue first, history second: one that ends in between would look lost the other way round."""
        place = read_queue(self._door.get_json("/queue"), prompt_id)
        return place or read_history(self._door.get_json(f"/history/{quote(prompt_id, safe='')}"), prompt_id)

    def _look_twice(self, prompt_id: str) -> Found:
        for _ in range(ASKED_TWICE - 1):
            found = self._look(prompt_id)
            if found:
                return found
            self._sleep(min(self._poll, QUICK))
        return self._look(prompt_id)

    def _follow(self, job: Job, ear: Ear, heard_as: str) -> Generated:
        """Wait for the end of a queued job and fetch its picture. `heard_as`: the client id that its messages go to."""
        following = Following(
            begin(job.prompt_id, job.workflow, job.output_node),
            ear,
            self._look,
            heard_as=heard_as,
            poll=self._poll,
            silence=self._silence,
            clock=self._clock,
        )
        run, entry = following.to_the_end(job.on_progress)
        failure = explain_end(run)
        if failure:
            log.debug("job %s: %s\n%s", job.prompt_id, failure, "".join(run.traceback))
            raise failure
        return self._fetch(job, run, entry)

    # --- pictures out -------------------------------------------------------------------------------------------------

    def _fetch(self, job: Job, run: Execution, entry: Entry) -> Generated:
        refs = entry.images.get(job.output_node)
        if not refs:
            where = node_label(job.output_node, run.classes.get(job.output_node, ""))
            raise ComfyUIError(f"{where} gave no picture, though the run succeeded", "does it save an image?")
        try:
            content, (width, height) = self._picture(refs[0])
        except BadImage as err:  # a proxy may have cut it short: the file itself is asked for once more
            log.info("%s; fetching it again", err)
            self._sleep(min(self._poll, 1.0))
            content, (width, height) = self._picture(refs[0])
        cached = job.output_node in run.cached
        return Generated(content, refs[0].filename, width, height, cached, job.prompt_id)

    def _picture(self, ref: ImageRef) -> Tuple[bytes, Tuple[int, int]]:
        content = self._download(ref)
        return content, _size_of(content, ref.filename)

    def _download(self, ref: ImageRef) -> bytes:
        params = {"filename": ref.filename, "subfolder": ref.subfolder, "type": ref.type}
        response = self._door.get("/view", params=params, accept=(200, 404), most=MAX_PICTURE)
        if response.status_code == 404:
            raise FileGone(
                f"ComfyUI names {ref.filename!r} as the result, but the file is gone", "was its output folder emptied?"
            )
        return response.content


def _saved_again(job: Job, gone: FileGone) -> Job:
    """The job under a new id and file prefix: of a cached run that makes only the saving node run again.

    The same job would be answered from the cache with the same missing file; `/free` would cost everyone their cache.
    """
    node = job.workflow[job.output_node]
    prefix = node["inputs"].get("filename_prefix")
    if not isinstance(prefix, str):
        raise gone
    new_id = str(uuid.uuid4())
    inputs = {**node["inputs"], "filename_prefix": f"{prefix}_{new_id[:8]}"}
    return replace(job, prompt_id=new_id, workflow={**job.workflow, job.output_node: {**node, "inputs": inputs}})


def _size_of(content: bytes, filename: str) -> Tuple[int, int]:
    """(width, height) in px of a picture that decodes to its last row; BadImage otherwise."""
    try:
        return images.check_result(content)
    except BadImage as err:
        raise BadImage(f"{filename!r} from ComfyUI: {err}", "is the disk of ComfyUI's machine full?") from err
