"""API-format workflow + settings to a new workflow, by following links from the sampler; and what is missing for it.

The graph stays a dict: it is ComfyUI's document, not ours. A link is `[node_id, slot]`; any other input is a value. No
node ids are assumed: `trace` finds the sampler that redraws the input picture and walks up from its inputs, through
whatever lies between (LoRA loaders, ControlNet, reroutes, primitives, the separate noise, guider, sampler and sigmas
nodes of custom sampling). Ids "9" and "10" only break ties between text encoders, as the spec names them.
"""

from __future__ import annotations

import copy
import io
import json
import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from .bounded_json import OutOfBounds, loads
from .errors import WorkflowError
from .model import SAMPLING_FIELDS, Sampling
from .reading import MAX_WORKFLOW_PARTS, unfit

Graph = Dict[str, Dict[str, Any]]
Slot = Tuple[str, str]  # (node_id, input name)

EXPORT_HINT = "in ComfyUI, open it and use the menu Workflow > Export (API), then name that file in workflow_file"
TIE_BREAKERS = {"positive": "9", "negative": "10"}  # spec, "Workflow Updates Required"
TEXT_INPUTS = ("text", "text_g", "text_l", "clip_g", "clip_l", "t5xxl", "prompt")
PRIMITIVE_NUMBERS = ("value", "int", "float", "number", "seed")
PRIMITIVE_TEXTS = ("value", "string", "text")
NUMBERS = frozenset({"denoise", "cfg", "steps", "seed"})
PARTS = ("guider", "noise", "sampler", "sigmas")  # what SamplerCustomAdvanced splits a KSampler into
NOT_THE_PICTURE = {"mask", "vae", "model", "clip", "positive", "negative", "control_net", "clip_vision", "style_model"}


@dataclass(frozen=True)
class Targets:
    """Where each setting is written. A setting that is absent is in `unreachable`, with the reason."""

    sampler: str
    output_node: str
    slots: Mapping[str, Tuple[Slot, ...]]
    unreachable: Mapping[str, str]

    def reaches(self, setting: str) -> bool:
        """Say whether `setting` ("denoise", "positive", "ckpt_name", "image", …) has a place in the workflow."""
        return setting in self.slots


# --- reading ---------------------------------------------------------------------------------------------------------


def read_workflow(data: bytes, name: str) -> Graph:
    """Parse a workflow file: API-format JSON, or a PNG or WebP that carries an API graph. `name` is for messages.

    Raises WorkflowError when it is none of these; an editor graph is refused with the menu entry that exports it.
    """
    if data[:4] in (b"\x89PNG", b"RIFF"):
        return _embedded(data, name)
    try:
        document = loads(data.decode("utf-8-sig"), MAX_WORKFLOW_PARTS)
    except OutOfBounds as err:
        raise WorkflowError(f"{name} cannot be read: {err}", EXPORT_HINT) from err
    except ValueError as err:
        line = f":{err.lineno}" if isinstance(err, json.JSONDecodeError) else ""
        raise WorkflowError(f"{name}{line} is not JSON: {str(err).split(':')[0]}", EXPORT_HINT) from err
    return _api_graph(document, name)


def _embedded(data: bytes, name: str) -> Graph:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            texts = [image.info.get("prompt"), image.info.get("workflow")]
            for value in image.getexif().values():  # WebP: ComfyUI writes "prompt:{...}" into free EXIF tags
                texts += [
                    str(value)[len(key) + 1 :] for key in ("prompt", "workflow") if str(value).startswith(key + ":")
                ]
    except Exception as err:  # Pillow's readers raise whatever a damaged file trips them over, SyntaxError and all
        raise WorkflowError(f"{name} is a damaged picture, no workflow can be read from it", EXPORT_HINT) from err
    found: Optional[WorkflowError] = None
    for text in texts:
        try:
            if isinstance(text, str):
                return _api_graph(loads(text, MAX_WORKFLOW_PARTS), name)
        except ValueError:
            continue
        except WorkflowError as err:
            found = found or err
    raise found or WorkflowError(f"{name} is a picture that carries no workflow", EXPORT_HINT)


def _api_graph(document: Any, name: str) -> Graph:
    if isinstance(document, dict) and isinstance(document.get("nodes"), list):
        raise WorkflowError(f"{name} is in the editor's own format, which ComfyUI's API does not take", EXPORT_HINT)
    if isinstance(document, dict) and isinstance(document.get("prompt"), dict):
        document = document["prompt"]  # a whole /prompt request
    if not isinstance(document, dict) or not document:
        raise WorkflowError(f"{name} holds no workflow in API format", EXPORT_HINT)
    for node_id, node in document.items():
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            raise WorkflowError(
                f"{name}: node {_short(node_id)} has no class_type, so this is no API-format workflow", EXPORT_HINT
            )
        node.pop("is_changed", None)  # what ComfyUI computed for itself when it ran, often NaN
        if not isinstance(node.setdefault("inputs", {}), dict):
            raise WorkflowError(f"{name}: the inputs of {_title(document, node_id)} are not a mapping", EXPORT_HINT)
    for node_id, node in document.items():
        for key, value in node["inputs"].items():
            if _is_link(value) and value[0] not in document:
                raise WorkflowError(
                    f"{name}: input {key} of {_title(document, node_id)} is linked to node {_short(value[0])}, which is not there",
                    EXPORT_HINT,
                )
    problem = unfit(document)
    if problem:
        raise WorkflowError(f"{name}: {problem}", f"mend it in that file, or {EXPORT_HINT}")
    return document


# --- tracing ---------------------------------------------------------------------------------------------------------


def trace(graph: Graph, name: str) -> Targets:
    """Find where each setting goes. Raises WorkflowError where the workflow cannot be an img2img of one input picture."""
    sampler = _find_sampler(graph, name)
    slots: Dict[str, Tuple[Slot, ...]] = {}
    missing: Dict[str, str] = {}
    for setting, find in {**_SAMPLING, "ckpt_name": _find_checkpoint}.items():
        _note(graph, slots, missing, setting, find(graph, sampler, setting))
    _find_texts(graph, sampler, slots, missing)
    slots["image"] = (_find_picture(graph, sampler, name),)
    return Targets(sampler, _find_output(graph, sampler, name), slots, missing)


def _note(graph: Graph, slots: Dict[str, Tuple[Slot, ...]], missing: Dict[str, str], setting: str, found: Any) -> None:
    if isinstance(found, str):
        missing[setting] = found
        return
    settled = [_settle(graph, slot, PRIMITIVE_NUMBERS if setting in NUMBERS else PRIMITIVE_TEXTS) for slot in found]
    if None in settled:
        node_id, key = found[settled.index(None)]
        source = graph[node_id]["inputs"][key][0]
        missing[setting] = (
            f"{key} of {_title(graph, node_id)} comes from {_title(graph, source)}, which holds no value to set"
        )
    else:
        slots[setting] = tuple(slot for slot in settled if slot)


def _find_sampler(graph: Graph, name: str) -> str:
    """The sampler that redraws the input picture: the first after it, where a later one refines."""
    samplers = [i for i in sorted(graph, key=_order) if _is_sampler(graph[i])]
    if not samplers:
        raise WorkflowError(f"{name} has no sampler (KSampler or one like it)", "use an img2img workflow")
    fed = [
        i
        for i in samplers
        if any(_loads_picture(graph[n]) for n in _upward(graph, _latent(graph, i), stop=_is_sampler))
    ]
    if len(fed) == 1:
        return fed[0]
    if not fed:
        raise WorkflowError(
            f"{name}: no LoadImage leads to latent_image of {_title(graph, samplers[0])}: this is text-to-image",
            "use an img2img workflow: LoadImage > VAEEncode > KSampler",
        )
    raise WorkflowError(
        f"{name} redraws the input in several samplers: {', '.join(_title(graph, i) for i in fed)}",
        "leave one sampler in the workflow that starts from the input picture",
    )


def _is_sampler(node: Mapping[str, Any]) -> bool:
    inputs = node["inputs"]
    return _is_link(inputs.get("latent_image")) and ("positive" in inputs or "guider" in inputs)


def _loads_picture(node: Mapping[str, Any]) -> bool:
    return (
        node["class_type"].startswith("LoadImage")
        and not node["class_type"].startswith("LoadImageMask")
        and "image" in node["inputs"]
    )


def _latent(graph: Graph, sampler: str) -> List[str]:
    return [str(graph[sampler]["inputs"]["latent_image"][0])]


def _upward(
    graph: Graph, start: Sequence[str], stop: Callable[[Mapping[str, Any]], bool] = lambda node: False
) -> Iterator[str]:
    """Node ids from `start` up the links that can carry the picture, nearest first; not past nodes that `stop` names."""
    waiting, seen = list(start), set(start)
    while waiting:
        node_id = waiting.pop(0)
        node = graph[node_id]
        if stop(node):
            continue
        yield node_id
        for key, value in node["inputs"].items():
            if _is_link(value) and key not in NOT_THE_PICTURE and value[0] not in seen:
                seen.add(value[0])
                waiting.append(value[0])


def _find_picture(graph: Graph, sampler: str, name: str) -> Slot:
    loaders = [n for n in _upward(graph, _latent(graph, sampler)) if _loads_picture(graph[n])]
    if len(loaders) > 1:
        named = [n for n in loaders if "input" in _meta_title(graph[n])]
        loaders = named if len(named) == 1 else loaders
    if len(loaders) != 1:
        raise WorkflowError(
            f"{name}: several nodes load the picture of {_title(graph, sampler)}: {', '.join(_title(graph, n) for n in loaders)}",
            'give the one that takes the input picture a title with the word "input"',
        )
    return loaders[0], "image"


def _find_output(graph: Graph, sampler: str, name: str) -> str:
    """The nearest node below the sampler that saves: SaveImage, else PreviewImage, else another saver."""
    readers: Dict[str, List[str]] = {}
    for node_id in sorted(graph, key=_order):
        for value in graph[node_id]["inputs"].values():
            if _is_link(value):
                readers.setdefault(value[0], []).append(node_id)
    below: List[str] = [sampler]
    for node_id in below:  # grows while it is walked: nearest first
        below += [n for n in dict.fromkeys(readers.get(node_id, [])) if n not in below]
    for fits in (lambda c: c == "SaveImage", lambda c: c == "PreviewImage", lambda c: "Save" in c and "Image" in c):
        for node_id in below:
            if fits(graph[node_id]["class_type"]):
                return node_id
    raise WorkflowError(
        f"{name}: nothing saves the picture that {_title(graph, sampler)} makes", "add a SaveImage node"
    )


def _own_or_part(graph: Graph, sampler: str, names: Sequence[str]) -> Any:
    """The input of the sampler itself, or of the nodes that custom sampling splits it into; else the reason why not."""
    for node_id in _parts(graph, sampler):
        for key in names:
            if key in graph[node_id]["inputs"]:
                return [(node_id, key)]
    return f"{_title(graph, sampler)} and its parts have no input {names[0]}"


def _parts(graph: Graph, sampler: str) -> List[str]:
    found = [sampler]
    for node_id in found:
        for key, value in graph[node_id]["inputs"].items():
            if _is_link(value) and key in PARTS and value[0] not in found:
                found.append(value[0])
    return found


def _sampling_finder(*names: str) -> Callable[[Graph, str, str], Any]:
    return lambda graph, sampler, setting: _own_or_part(graph, sampler, names)


_SAMPLING: Dict[str, Callable[[Graph, str, str], Any]] = {
    "denoise": _sampling_finder("denoise"),
    "cfg": _sampling_finder("cfg"),
    "steps": _sampling_finder("steps"),
    "seed": _sampling_finder("seed", "noise_seed"),
    "sampler_name": _sampling_finder("sampler_name"),
    "scheduler": _sampling_finder("scheduler"),
}


def _find_checkpoint(graph: Graph, sampler: str, setting: str) -> Any:
    node_id: Optional[str] = sampler
    seen: Set[str] = set()
    while node_id is not None and node_id not in seen:
        seen.add(node_id)
        inputs = graph[node_id]["inputs"]
        if "ckpt_name" in inputs:
            return [(node_id, "ckpt_name")]
        link = next((inputs[k] for k in ("model", "guider") if _is_link(inputs.get(k))), None)
        link = link or (next((v for v in inputs.values() if _is_link(v)), None) if node_id != sampler else None)
        if link is None:
            break
        node_id = link[0]
    source = _title(graph, node_id) if node_id else "nothing"
    return f"the model of {_title(graph, sampler)} comes from {source}, which has no input ckpt_name"


def _find_texts(graph: Graph, sampler: str, slots: Dict[str, Tuple[Slot, ...]], missing: Dict[str, str]) -> None:
    for setting in ("positive", "negative"):
        found = _find_encoder(graph, sampler, setting)
        if setting == "negative" and not isinstance(found, str):
            taken = {slot[0] for slot in slots.get("positive", ())}
            if taken & {slot[0] for slot in found}:
                found = f"the negative of {_title(graph, sampler)} is the same text encoder as its positive"
        _note(graph, slots, missing, setting, found)


def _find_encoder(graph: Graph, sampler: str, setting: str) -> Any:
    start: Any = next(
        (
            graph[n]["inputs"][k]
            for n in _parts(graph, sampler)
            for k in _CONDITIONING[setting]
            if k in graph[n]["inputs"]
        ),
        None,
    )
    if not _is_link(start):
        return f"{_title(graph, sampler)} takes no {setting} conditioning"
    encoders = _encoders(graph, start, setting)
    if isinstance(encoders, str):
        return encoders
    if len(encoders) > 1:
        named = [n for n in encoders if setting in _meta_title(graph[n])]
        encoders = [n for n in encoders if n == TIE_BREAKERS[setting]] or (named if len(named) == 1 else encoders)
    if len(encoders) != 1:
        several = ", ".join(_title(graph, n) for n in encoders) or "none"
        return f"the {setting} of {_title(graph, sampler)} comes from several text encoders or none: {several}"
    inputs = graph[encoders[0]]["inputs"]
    return [(encoders[0], key) for key in TEXT_INPUTS if key in inputs]


_CONDITIONING = {"positive": ("positive", "conditioning"), "negative": ("negative",)}


def _encoders(graph: Graph, start: Sequence[Any], setting: str) -> Any:
    """Text encoders above a conditioning link; a node with both `positive` and `negative` passes each to its own output."""
    waiting, seen, found = [(str(start[0]), start[1])], set(), []
    while waiting:
        node_id, slot = waiting.pop(0)
        if (node_id, slot) in seen:
            continue
        seen.add((node_id, slot))
        inputs = graph[node_id]["inputs"]
        if graph[node_id]["class_type"] == "ConditioningZeroOut":
            return f"{_title(graph, node_id)} blanks the {setting} conditioning"
        if _is_encoder(graph[node_id]):
            found.append(node_id)
        elif _is_link(inputs.get("positive")) and _is_link(inputs.get("negative")):
            waiting.append(tuple(inputs["negative" if slot == 1 else "positive"][:2]))
        else:
            names = [k for k in inputs if k.startswith("conditioning")] or [
                k for k in inputs if k not in NOT_THE_PICTURE
            ]
            waiting += [tuple(inputs[k][:2]) for k in names if _is_link(inputs[k])]
    return found


def _is_encoder(node: Mapping[str, Any]) -> bool:
    inputs = node["inputs"]
    return _is_link(inputs.get("clip")) and any(key in inputs for key in TEXT_INPUTS)


def _settle(graph: Graph, slot: Slot, names: Tuple[str, ...]) -> Optional[Slot]:
    """Follow an input that is a link up to the primitive that holds its value under one of `names`; None without one."""
    seen: Set[Slot] = set()
    while _is_link(graph[slot[0]]["inputs"][slot[1]]):
        if slot in seen:
            return None
        seen.add(slot)
        source = graph[slot[0]]["inputs"][slot[1]][0]
        inputs = graph[source]["inputs"]
        keys = [k for k in (slot[1], *names) if k in inputs] or (list(inputs) if len(inputs) == 1 else [])
        if not keys:
            return None
        slot = (source, keys[0])
    return slot


# --- values in and out -----------------------------------------------------------------------------------------------


def current(graph: Graph, targets: Targets) -> Sampling:
    """The sampling values that stand in the workflow itself; None where there is no place for one."""
    values: Dict[str, Any] = {}
    for name in SAMPLING_FIELDS:
        slot = next(iter(targets.slots.get(name, ())), None)
        values[name] = None if slot is None else _typed(name, graph[slot[0]]["inputs"][slot[1]])
    return Sampling(**values)


def _typed(name: str, value: Any) -> Any:
    """A value of the workflow as ComfyUI would convert it; None for what is none of its kind."""
    if name in ("sampler_name", "scheduler"):
        return value if isinstance(value, str) else None
    try:
        number = float(value)
        return (number if name in ("denoise", "cfg") else int(value)) if math.isfinite(number) else None
    except (TypeError, ValueError, OverflowError):
        return None


def require(targets: Targets, settings: Mapping[str, str], name: str) -> None:
    """Raise WorkflowError if one of `settings` (setting to the key the user wrote) has no place in the workflow."""
    lost = [
        f"{name}: {key} has no place in it: {targets.unreachable[s]}"
        for s, key in settings.items()
        if not targets.reaches(s)
    ]
    if lost:
        hint = "remove the setting from AIGen.yaml, or use a workflow whose nodes have it"
        raise WorkflowError(
            lost[0] if len(lost) == 1 else f"{name} cannot take {len(lost)} of the settings", hint, problems=lost
        )


def apply(graph: Graph, targets: Targets, values: Mapping[str, Any]) -> Graph:
    """A copy of `graph` with `values` (setting to value) written where `targets` says; None and the unreachable are left out."""
    changed = copy.deepcopy(graph)
    for setting, value in values.items():
        for node_id, key in targets.slots.get(setting, ()) if value is not None else ():
            changed[node_id]["inputs"][key] = value
    return changed


def classes(graph: Graph) -> Dict[str, List[str]]:
    """Node classes of the workflow, each with the ids of its nodes."""
    found: Dict[str, List[str]] = {}
    for node_id in sorted(graph, key=_order):
        found.setdefault(graph[node_id]["class_type"], []).append(node_id)
    return found


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def _title(graph: Mapping[str, Any], node_id: str) -> str:
    return f"{_short(graph[node_id].get('class_type', '?'))} (node {_short(node_id)})"


def _meta_title(node: Mapping[str, Any]) -> str:
    meta = node.get("_meta")
    return str(meta.get("title", "")).lower() if isinstance(meta, dict) else ""


def _short(text: object) -> str:
    return str(text) if len(str(text)) <= 60 else str(text)[:57] + "..."


def _order(node_id: str) -> Tuple[int, str]:
    return (int(node_id) if node_id.isdigit() and len(node_id) < 18 else 10**18, node_id)
