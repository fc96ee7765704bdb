"""Turn ComfyUI's refusals and failures into errors that a person can act on: which node, which input, which value.

Pure: what has to be asked of the server comes in as a function. The shapes are those of a recorded ComfyUI 0.3.64; an
answer of another shape still gives an error with whatever could be read.
"""

from __future__ import annotations

import difflib
from typing import Any, Callable, Mapping, Optional, Sequence, Set, Tuple

from .errors import ComfyUIError, ExecutionFailed, JobCancelled, WorkflowRejected
from .execution import Execution, State, Workflow, ancestors, first_line, listing, mapping

MANY_CHOICES = 20  # longer lists are shortened; ComfyUI itself leaves them out of its answer
Choices = Callable[[str, str], Sequence[Any]]  # (class_type, input_name) -> the values on offer


def explain_end(execution: Execution) -> Optional[ComfyUIError]:
    """The error that a finished execution stands for; None if it went well."""
    where = node_label(execution.node_id, execution.node_type)
    if execution.state is State.INTERRUPTED:
        at = f" at {where}" if execution.node_id else ""
        return JobCancelled(f"the job was interrupted in ComfyUI{at}", "run again to go on where it stopped")
    if execution.state is not State.FAILED:
        return None
    hint = "ComfyUI's own log has the details"
    if "outofmemory" in execution.exception_type.lower() or "out of memory" in execution.cause.lower():
        hint = (
            "lower input.max_megapixels in working/AIGen.yaml (for new runs in config/AIGen.yaml) and start again, "
            "or free memory on ComfyUI's machine"
        )
    return ExecutionFailed(
        f"{where} failed in ComfyUI: {execution.cause}",
        hint,
        node_id=execution.node_id,
        node_type=execution.node_type,
        traceback=execution.traceback,
    )


def explain_rejection(
    body: Any, workflow: Workflow, choices: Choices = lambda class_type, name: ()
) -> WorkflowRejected:
    """Put the 400 of `POST /prompt` (or the `node_errors` of a 200) into one line.

    `choices` is asked for a list that ComfyUI left out because it is long.
    """
    node_errors = mapping(mapping(body).get("node_errors"))
    parts = []
    for node_id, told in node_errors.items():
        class_type = str(mapping(told).get("class_type") or mapping(workflow.get(node_id)).get("class_type") or "")
        for error in listing(mapping(told).get("errors")):
            reason = _explain_input(mapping(error), class_type, workflow, choices)
            parts.append(f"{node_label(str(node_id), class_type)}: {reason}")
    text = "; ".join(parts) or _explain_whole(mapping(mapping(body).get("error")))
    return WorkflowRejected(f"ComfyUI rejects the workflow: {text}", _hint(node_errors, body), node_errors)


def node_label(node_id: str, class_type: str) -> str:
    return f"{class_type or 'a node'} (node {node_id or '?'})"


def _explain_whole(error: Mapping[str, Any]) -> str:
    words = [first_line(error.get("message")), first_line(error.get("details"))]
    text = " ".join(word for word in dict.fromkeys(words) if word)
    if error.get("type") == "prompt_outputs_failed_validation":
        return f"{text.rstrip('.')}, with no reason given (a loop in the graph?)"
    return text or "no reason given"


def _hint(node_errors: Mapping[str, Any], body: Any) -> str:
    kind = mapping(mapping(body).get("error")).get("type")
    if not node_errors and kind == "invalid_prompt":
        return "install that node in ComfyUI; if the file is the editor's own format, use `Export (API)` instead"
    if not node_errors and kind == "prompt_no_outputs":
        return "the workflow needs a SaveImage node"
    return "correct config/AIGen.yaml or the workflow file it names"


def _explain_input(error: Mapping[str, Any], class_type: str, workflow: Workflow, choices: Choices) -> str:
    extra = mapping(error.get("extra_info"))
    name = str(extra.get("input_name") or "an input")
    config = listing(extra.get("input_config"))
    value = _shown(extra.get("received_value"))
    details = first_line(error.get("details"))
    kind = error.get("type")
    if kind == "value_not_in_list":
        offered = config[0] if config and isinstance(config[0], list) else choices(class_type, name)
        return f"{name} {value} is not one of: {_listed(extra.get('received_value'), offered)}"
    if kind in ("value_smaller_than_min", "value_bigger_than_max"):
        return f"{name} {value} is out of range{_limits(config)}"
    if kind == "invalid_input_type":
        return f"{name} wants {config[0] if config else 'another type'}, got {value}"
    if kind == "required_input_missing":
        return f"{name} is missing"
    if kind == "custom_validation_failed":
        return details or f"{name} is not accepted"
    if kind == "return_type_mismatch":
        return (
            f"wrong link at {name}: it wants {config[0] if config else '?'}, got {_shown(extra.get('received_type'))}"
        )
    if kind == "bad_linked_input":
        return f"wrong link at {name}: {value} is not [node id, output number]"
    if kind == "exception_during_inner_validation":
        missing = details.strip("'\"")  # a KeyError's text: `input_name` here belongs to the next node
        broken = missing.isdigit() and missing not in workflow
        return f"a link leads to node {missing}, which does not exist" if broken else f"cannot be checked: {details}"
    return " ".join(word for word in (first_line(error.get("message")), details) if word) or "no reason given"


def _listed(value: Any, offered: Sequence[Any]) -> str:
    names = [str(name) for name in offered]
    if not names:
        return "(a list that is empty, or could not be asked for)"
    if len(names) <= MANY_CHOICES:
        return ", ".join(names)
    near = difflib.get_close_matches(str(value), names, n=5, cutoff=0.3) or names[:5]
    return f"{', '.join(near)} ... ({len(names)} in all)"


def _limits(config: Sequence[Any]) -> str:
    options = mapping(config[1]) if len(config) > 1 else {}
    low, high = options.get("min"), options.get("max")
    return f": {low} to {high}" if low is not None and high is not None else ""


def offered_values(object_info: Any, class_type: str, input_name: str) -> Tuple[Any, ...]:
    """The choices of one input in the answer of `/object_info/{class_type}`; empty where it has no list.

    ComfyUI writes `[[options...], {...}]` or `["COMBO", {"options": [...]}]`.
    """
    inputs = mapping(mapping(mapping(object_info).get(class_type)).get("input"))
    for group in ("required", "optional"):
        spec = listing(mapping(inputs.get(group)).get(input_name))
        if spec and isinstance(spec[0], list):
            return tuple(spec[0])
        if len(spec) > 1:
            return tuple(listing(mapping(spec[1]).get("options")))
    return ()


def affects(node_errors: Any, workflow: Workflow, output_node: str) -> bool:
    """Do these `node_errors` of an accepted prompt keep `output_node` from running?"""
    leading = ancestors(workflow, output_node)
    return any(
        node_id in leading or output_node in listing(mapping(told).get("dependent_outputs"))
        for node_id, told in mapping(node_errors).items()
    )


def lost_uploads(rejection: WorkflowRejected, workflow: Workflow) -> Set[str]:
    """The input images that the server says it does not have (its input folder was emptied), as the workflow names them."""
    images = set()
    for node_id, told in rejection.node_errors.items():
        details = [str(mapping(error).get("details")) for error in listing(mapping(told).get("errors"))]
        image = mapping(mapping(workflow.get(node_id)).get("inputs")).get("image")
        if isinstance(image, str) and any("Invalid image file" in text for text in details):
            images.add(image)
    return images


def _shown(value: Any) -> str:
    return first_line(repr(value), 120)
