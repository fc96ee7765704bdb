"""Connect to the services a project names, and see beforehand that they have what it needs."""

from __future__ import annotations

import contextlib
import difflib
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, cast

from .comfyui import ComfyUI, server_url
from .errors import ComfyUIError, ImaginationError, NotReady
from .model import ComfyUISettings, Generation, VisionSettings
from .rejection import offered_values
from .setup import Setup, Workflow
from .vision import Vision, tells_cost
from .workflow import apply, classes

BUILTIN = "builtin"  # as comfyui.host and as provider: the engines inside this process


@contextlib.contextmanager
def connect(
    comfyui: ComfyUISettings, vision: VisionSettings, environ: Mapping[str, str]
) -> Iterator[Tuple[ComfyUI, Vision]]:
    """Clients for both services, closed at the end. Nothing is sent yet, but `builtin` engines are started."""
    eyes = Vision.from_settings(vision, environ)
    try:
        with ComfyUI(generator_url(comfyui), silence=comfyui.timeout) as generator:
            yield generator, eyes
    finally:
        eyes.close()


def generator_url(settings: ComfyUISettings) -> str:
    """Base URL of the ComfyUI that the settings name; `builtin` starts the engine inside this process."""
    if settings.host.strip().lower() == BUILTIN:
        from .sandbox import start_generator

        return start_generator()
    return server_url(settings.host, settings.port)


@dataclass(frozen=True)
class Readiness:
    """What was found before the first picture: server, warnings, and the names a suggestion may use."""

    comfyui: str  # one line, e.g. "ComfyUI 0.3.64 at http://127.0.0.1:8188 (cuda:0 NVIDIA GeForce RTX 3060)"
    choices: Mapping[str, Tuple[str, ...]]
    warnings: Tuple[str, ...]


def preflight(setup: Setup, generator: ComfyUI, eyes: Vision, source: str = "") -> Readiness:
    """Ask both services whether they have what the project names. Raises the error of the one that has not, or NotReady.

    `source`: for the hint, where a name that the server does not know is to be corrected (else the settings file).
    """
    errors: List[ImaginationError] = []
    server, choices = "", cast(Dict[str, Tuple[str, ...]], {})
    warnings: Tuple[str, ...] = ()
    try:
        server, choices = _check_generator(setup, generator, source or str(setup.generation_path))
    except ImaginationError as err:
        errors.append(err)
    try:
        warnings = eyes.preflight()
    except ImaginationError as err:
        errors.append(err)
    if errors:
        raise errors[0] if len(errors) == 1 else NotReady(errors)
    return Readiness(server, choices, (*warnings, *_costless(setup)))


def _costless(setup: Setup) -> Tuple[str, ...]:
    """A limit that can never be reached is told of: what a request costs is known only where the server says."""
    limit = setup.rules.project.max_cost
    if limit is None or tells_cost(setup.vision):
        return ()
    who = "a server at base_url" if setup.vision.provider == "openrouter" else setup.vision.provider
    return (f"project.max_cost may have no effect: {who} does not tell what a request costs (max_minutes always has)",)


def _check_generator(setup: Setup, generator: ComfyUI, source: str) -> Tuple[str, Dict[str, Tuple[str, ...]]]:
    server = describe_server(generator)
    infos = {name: generator.object_info(name) for name in classes(setup.workflow.graph)}
    check_workflow(setup.workflow, setup.generation, infos, generator.url, source)
    return server, {name: _offered(setup.workflow, infos, name) for name in ("sampler_name", "scheduler")}


def describe_server(generator: ComfyUI) -> str:
    """One line on the ComfyUI that answers: version, address, device."""
    stats = generator.system_stats()
    system, devices = stats.get("system"), stats.get("devices")
    version = str(system.get("comfyui_version") or "") if isinstance(system, dict) else ""
    device = devices[0].get("name") if isinstance(devices, list) and devices and isinstance(devices[0], dict) else None
    return " ".join(f"ComfyUI {version} at {generator.url}{f' ({device})' if device else ''}".split())


def check_workflow(
    workflow: Workflow,
    generation: Generation,
    infos: Mapping[str, Optional[Dict[str, Any]]],
    url: str,
    settings_path: str = "AIGen.yaml",
) -> None:
    """Raise ComfyUIError if the server lacks a node class of the workflow or a name that stands in one of its lists.

    `settings_path` is for the hint: the file whose names these are.
    """
    lacking = [name for name, info in infos.items() if info is None]
    if lacking:
        raise ComfyUIError(
            f"ComfyUI at {url} does not have the node {', '.join(lacking)} that {workflow.path} uses",
            "install the custom nodes it comes from and restart ComfyUI, or use another workflow",
        )
    graph = apply(workflow.graph, workflow.targets, configured_values(generation))
    problems = [
        problem
        for node_id, node in graph.items()
        for key, value in node["inputs"].items()
        if (node_id, key) not in workflow.targets.slots["image"]
        for problem in _not_offered(node_id, node["class_type"], key, value, infos)
    ]
    if problems:
        raise ComfyUIError(
            f"ComfyUI at {url}: {'; '.join(problems)}",
            f"correct the name in {settings_path} (or in the workflow), or put the file into ComfyUI's models folder",
        )


def configured_values(generation: Generation) -> Dict[str, Any]:
    """Settings of AIGen.yaml that name something the server lists, or are numbers."""
    return {**generation.parameters.model_dump(), "ckpt_name": generation.model.ckpt_name}


def _not_offered(node_id: str, class_type: str, key: str, value: Any, infos: Mapping[str, Any]) -> List[str]:
    if not isinstance(value, str):
        return []
    offered = [str(name) for name in offered_values(infos, class_type, key)]
    if not offered or value in offered:
        return []
    near = difflib.get_close_matches(value, offered, n=1)
    listed = ", ".join(offered[:12]) + (f" and {len(offered) - 12} more" if len(offered) > 12 else "")
    meant = f" (did you mean {near[0]}?)" if near else ""
    return [f'{class_type} (node {node_id}) knows no {key} "{value}"{meant}; it has: {listed}']


def _offered(workflow: Workflow, infos: Mapping[str, Any], setting: str) -> Tuple[str, ...]:
    for node_id, key in workflow.targets.slots.get(setting, ()):
        names = offered_values(infos, workflow.graph[node_id]["class_type"], key)
        return tuple(name for name in names if isinstance(name, str))
    return ()
