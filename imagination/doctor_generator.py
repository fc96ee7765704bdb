"""The part of `doctor` that asks ComfyUI: version, device, memory, queue, and whether it has what the workflow names."""

from __future__ import annotations

import contextlib
import shlex
from typing import Any, Dict, Iterator, List, Mapping, Optional
from urllib.parse import urlsplit

from .checkup import Check, failed, ok, warning
from .comfyui import ComfyUI
from .comfyui_service import facts, look, queue_text
from .comfyui_wire import server_url
from .doctor_files import Files
from .errors import ComfyUIError, ComfyUIUnreachable, ConfigError
from .model import Generation
from .services import BUILTIN, check_workflow, configured_values, describe_server, generator_url
from .streams import clean
from .workflow import classes

TIGHT = 2 * 1024**3  # bytes of graphics memory, below which even Stable Diffusion 1.5 has to swap
SHOWN = ("ckpt_name", "sampler_name", "scheduler")


class Sighting:
    """What the probes of the two services leave for the question whether they share a GPU."""

    def __init__(self) -> None:
        self.device: Mapping[str, Any] = {}  # the first of ComfyUI's /system_stats
        self.model_bytes = 0  # of the vision model on disk; 0: not told


def look_at_comfyui(files: Files, option: str, sighting: Sighting) -> Iterator[Check]:
    """Ask the server that AIGen.yaml names. `option`: how the command names the project, for the commands that mend."""
    assert files.generation is not None
    settings = files.generation.comfyui
    try:
        url = generator_url(settings)
    except ConfigError as err:
        yield failed("comfyui", err)
        return
    with ComfyUI(url) as generator:
        try:
            yield ok("comfyui", clean(describe_server(generator)))
        except ComfyUIError as err:
            yield failed("comfyui", err, _start(err, url, option))
            return
        yield from _state(url, sighting)
        yield from _names(files, generator)


def _start(err: ComfyUIError, url: str, option: str) -> str:
    """How to get it to answer: a command where it is a ComfyUI of this machine that does not run."""
    if isinstance(err, ComfyUIUnreachable) and machine_of(url) == "":
        return f"iterativectl comfyui start{option} (or set comfyui.host and comfyui.port in AIGen.yaml)"
    return err.hint


def _state(url: str, sighting: Sighting) -> Iterator[Check]:
    """Memory and queue, as `comfyui status` tells them."""
    sight = look(url)
    devices = (sight.stats or {}).get("devices")
    sighting.device = next((d for d in devices if isinstance(d, dict)), {}) if isinstance(devices, list) else {}
    told = dict(facts(sight))
    text = f"{told.get('device', 'unknown')}; machine: {told['memory']}"
    room = room_for_comfyui(sighting.device)
    if room is not None and room < TIGHT:
        text += f"; other programs leave ComfyUI {room / 1024**3:.1f} GB"
        mend = "nvidia-smi shows which program holds it; for Ollama: ollama ps, ollama stop MODEL"
        yield warning("comfyui memory", text, mend)
    else:
        yield ok("comfyui memory", text)
    queue = queue_text(sight.running, sight.waiting)
    if sight.waiting:
        yield warning("comfyui queue", f"{queue}: a run has to wait for them", "let them end, or clear ComfyUI's queue")
    else:
        yield ok("comfyui queue", queue)


def room_for_comfyui(device: Mapping[str, Any]) -> Optional[int]:
    """Bytes of graphics memory that ComfyUI could use: free, or held by its own models, which make way.

    None for a CPU, and where it is not told. `vram_free` counts what torch holds without using it.
    """
    numbers = [device.get(name) for name in ("vram_free", "torch_vram_total", "torch_vram_free")]
    whole = [number for number in numbers if isinstance(number, int)]
    if device.get("type") == "cpu" or len(whole) < 3:
        return None
    return whole[0] + whole[1] - whole[2]


def _names(files: Files, generator: ComfyUI) -> Iterator[Check]:
    """Nodes of the workflow, and the names in it that stand in a list of the server's."""
    if files.workflow is None or files.generation is None:
        return  # told of among the files
    try:
        infos: Dict[str, Any] = {name: generator.object_info(name) for name in classes(files.workflow.graph)}
        check_workflow(files.workflow, files.generation, infos, generator.url, str(files.generation_path))
    except ComfyUIError as err:
        yield failed("workflow", err)
        return
    yield ok("workflow", f"ComfyUI has all {len(infos)} kinds of node of {files.workflow.path.name}")
    names = _configured(files.generation)
    if names:
        yield ok("names", f"ComfyUI has {', '.join(names)}")


def _configured(generation: Generation) -> List[str]:
    values = configured_values(generation)
    return [str(values[name]) for name in SHOWN if values.get(name)]


def address_in(generation: Generation) -> str:
    """Where ComfyUI should be; empty for the built-in engine and for what is no address."""
    if generation.comfyui.host.strip().lower() == BUILTIN:
        return ""
    with contextlib.suppress(ConfigError):
        return server_url(generation.comfyui.host, generation.comfyui.port)
    return ""


def machine_of(url: str) -> str:
    """The machine that a URL leads to; empty for this one.

    >>> machine_of("http://[::1]:8188"), machine_of("http://GPU-box:11434")
    ('', 'gpu-box')
    """
    import socket

    name = (urlsplit(url).hostname or "").lower()
    is_here = name in ("localhost", "::1", socket.gethostname().lower()) or name.startswith("127.")
    return "" if is_here else name


def option_of(project: Optional[str], workspace: Optional[str]) -> str:
    """` --project NAME --workspace DIR`, as far as they were given."""
    given = {"--project": project, "--workspace": workspace}
    return "".join(f" {name} {shlex.quote(value)}" for name, value in given.items() if value)
