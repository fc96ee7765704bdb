"""What ComfyUI says about one queued prompt, understood without a socket: plain values in, frozen records out.

`advance` folds the WebSocket's messages, and those that a history entry repeats, into an `Execution`. Understood are

    | type                    | read from `data`              | effect on the Execution                         |
    | ----------------------- | ----------------------------- | ----------------------------------------------- |
    | `execution_start`       |                               | RUNNING                                         |
    | `execution_cached`      | `nodes`                       | those count as done                             |
    | `executing`             | `node`                        | RUNNING; the node before it is done             |
    | `executing`, node null  |                               | ENDED: over, well or not; /history says which   |
    | `progress`              | `node`, `value`, `max`        | step and steps of that node                     |
    | `progress_state`        | `nodes`: `state`, `value` ... | the same, and which nodes are done              |
    | `executed`              | `node`                        | that node is done                               |
    | `execution_success`     |                               | SUCCEEDED, though /history may not know it yet  |
    | `execution_error`       | `node_id`, `exception_*` ...  | FAILED with its cause                           |
    | `execution_interrupted` | `node_id`, `node_type`        | INTERRUPTED                                     |

Everything else (`status`, newer types, other prompts, `executing` without `prompt_id` after a reconnect, broken data)
leaves it as it is. Reading `/queue` and `/history` is here too; errors are put into words by `rejection`, and sending is
`comfyui`'s. Source of the facts: a recorded ComfyUI 0.3.64.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Sequence, Set, Tuple

from .errors import ComfyUIError

Workflow = Mapping[str, Any]


class State(enum.Enum):
    """How far a prompt has come."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"  # over, but how is not known yet
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def is_over(self) -> bool:
        return self not in (State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class Execution:
    """One queued prompt, as its messages have told it so far."""

    prompt_id: str
    state: State = State.QUEUED
    ahead: Optional[int] = None  # prompts before this one while it is QUEUED; None: not known
    node_id: str = ""  # the node at work, or the one that failed
    step: int = 0  # steps done by that node, of `steps` (0: it counts none)
    steps: int = 0
    cached: FrozenSet[str] = frozenset()  # nodes whose earlier results are used again
    done: FrozenSet[str] = frozenset()  # nodes that ran
    cause: str = ""  # first line of what a node raised
    exception_type: str = ""
    traceback: Tuple[str, ...] = field(default=(), repr=False)
    classes: Mapping[str, str] = field(default_factory=dict, repr=False)  # node id -> class_type
    needed: FrozenSet[str] = field(default=frozenset(), repr=False)  # nodes that lead to our picture

    @property
    def node_type(self) -> str:
        return self.classes.get(self.node_id, "")

    @property
    def total_nodes(self) -> int:
        return len(self.needed)

    @property
    def done_nodes(self) -> int:
        return len(self.needed & (self.done | self.cached))


def begin(prompt_id: str, workflow: Workflow, output_node: str) -> Execution:
    """The state before any message. Only nodes that lead to `output_node` are counted: ComfyUI runs no others for it."""
    classes = {node_id: str(mapping(node).get("class_type", "")) for node_id, node in workflow.items()}
    return Execution(prompt_id, classes=classes, needed=frozenset(ancestors(workflow, output_node)))


def ancestors(workflow: Workflow, output_node: str) -> Set[str]:
    found: Set[str] = set()
    waiting = [output_node]
    while waiting:
        node_id = waiting.pop()
        if node_id in found or node_id not in workflow:
            continue
        found.add(node_id)
        inputs = mapping(mapping(workflow[node_id]).get("inputs"))
        waiting += [str(v[0]) for v in inputs.values() if isinstance(v, (list, tuple)) and len(v) == 2]
    return found


# --- messages ---------------------------------------------------------------------------------------------------------


def concerns(execution: Execution, message: Any) -> bool:
    """Is this message about our prompt?"""
    return bool(mapping(mapping(message).get("data")).get("prompt_id") == execution.prompt_id)


def advance(execution: Execution, message: Any) -> Execution:
    """Fold one message in; see the table above. Never raises, whatever the message is."""
    if not concerns(execution, message):
        return execution
    fold = _FOLDS.get(str(message.get("type")))
    return fold(execution, message["data"]) if fold else execution


def _started(run: Execution, data: Mapping[str, Any]) -> Execution:
    return replace(run, state=State.RUNNING, ahead=None)


def _reused(run: Execution, data: Mapping[str, Any]) -> Execution:
    return replace(run, cached=run.cached | {str(node) for node in listing(data.get("nodes"))})


def _at_node(run: Execution, data: Mapping[str, Any]) -> Execution:
    if "node" in data and data["node"] is None:
        return run if run.state.is_over else replace(run, state=State.ENDED, ahead=None)
    node = str(data.get("node", ""))
    done = run.done | {run.node_id} if run.node_id and run.node_id != node else run.done
    return replace(_enter(run, node), done=done)


def _enter(run: Execution, node: str) -> Execution:
    """Move to `node`; the step count is kept only where it is that node's own."""
    if node == run.node_id:
        return replace(run, state=State.RUNNING, ahead=None)
    return replace(run, state=State.RUNNING, ahead=None, node_id=node, step=0, steps=0)


def _stepped(run: Execution, data: Mapping[str, Any]) -> Execution:
    node = str(data.get("node") or run.node_id)
    return replace(_enter(run, node), step=_count(data.get("value")), steps=_count(data.get("max")))


def _all_nodes(run: Execution, data: Mapping[str, Any]) -> Execution:
    nodes = {str(node): mapping(told) for node, told in mapping(data.get("nodes")).items()}
    run = replace(run, done=run.done | {node for node, told in nodes.items() if told.get("state") == "finished"})
    for node, told in nodes.items():
        # every node counts to 1; only what takes several steps is worth a bar
        if told.get("state") == "running" and _count(told.get("max")) > 1:
            run = _stepped(run, {**told, "node": node})
    return run


def _node_done(run: Execution, data: Mapping[str, Any]) -> Execution:
    return replace(run, done=run.done | {str(data.get("node", ""))})


def _succeeded(run: Execution, data: Mapping[str, Any]) -> Execution:
    return replace(run, state=State.SUCCEEDED, ahead=None)


def _failed(run: Execution, data: Mapping[str, Any]) -> Execution:
    return replace(
        _stopped(run, data),
        state=State.FAILED,
        cause=first_line(data.get("exception_message")) or "no reason given",
        exception_type=first_line(data.get("exception_type")),
        traceback=tuple(str(line) for line in listing(data.get("traceback"))),
    )


def _stopped(run: Execution, data: Mapping[str, Any]) -> Execution:
    node = str(data.get("node_id") or run.node_id)
    classes = {**run.classes, node: str(data["node_type"])} if data.get("node_type") else run.classes
    return replace(run, state=State.INTERRUPTED, ahead=None, node_id=node, classes=classes)


_FOLDS: Dict[str, Callable[[Execution, Mapping[str, Any]], Execution]] = {
    "execution_start": _started,
    "execution_cached": _reused,
    "executing": _at_node,
    "progress": _stepped,
    "progress_state": _all_nodes,
    "executed": _node_done,
    "execution_success": _succeeded,
    "execution_error": _failed,
    "execution_interrupted": _stopped,
}


# --- /queue and /history ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where a prompt stands in `/queue`: which ids are before it, and to which client its messages go."""

    is_running: bool
    ahead: Tuple[str, ...] = ()
    client_id: str = ""


@dataclass(frozen=True)
class ImageRef:
    """A file as `/view` wants it named. The names are the server's data, never paths of ours."""

    filename: str
    subfolder: str = ""
    type: str = "output"


@dataclass(frozen=True)
class Entry:
    """A finished prompt as `/history` keeps it."""

    succeeded: bool
    messages: Tuple[Mapping[str, Any], ...] = ()  # in the form that the WebSocket sends
    images: Mapping[str, Tuple[ImageRef, ...]] = field(default_factory=dict)  # node id -> files


def read_queue(answer: Any, prompt_id: str) -> Optional[Place]:
    """Find a prompt in the answer of `/queue`; None if it is not there. ComfyUIError for an answer of another shape.

    `queue_pending` is not in running order: the lower number runs first.
    """
    if not isinstance(answer, dict):
        raise ComfyUIError("ComfyUI's /queue answered with something that is not a queue")
    running = _queue_entries(answer.get("queue_running"))
    pending = sorted(_queue_entries(answer.get("queue_pending")), key=lambda entry: _number(entry[0]))
    for entries, is_running in ((running, True), (pending, False)):
        for index, entry in enumerate(entries):
            if entry[1] == prompt_id:
                before = [] if is_running else [str(e[1]) for e in running + pending[:index]]
                client = mapping(entry[3]).get("client_id") if len(entry) > 3 else None
                return Place(is_running, tuple(before), client if isinstance(client, str) else "")
    return None


def _queue_entries(entries: Any) -> List[Sequence[Any]]:
    return [entry for entry in listing(entries) if isinstance(entry, list) and len(entry) >= 2]


def take_place(execution: Execution, place: Place) -> Execution:
    """What `/queue` adds to the messages, for when these are lost or not sent yet."""
    if execution.state.is_over:
        return execution
    if place.is_running:
        return replace(execution, state=State.RUNNING, ahead=None)
    return replace(execution, ahead=len(place.ahead)) if execution.state is State.QUEUED else execution


def read_history(answer: Any, prompt_id: str) -> Optional[Entry]:
    """The entry of `prompt_id` in the answer of `/history/{id}`; None if it is not there (yet).

    ComfyUIError for an answer of another shape.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get(prompt_id, {}), dict):
        raise ComfyUIError("ComfyUI's /history answered with something that is not a history")
    entry = answer.get(prompt_id)
    if not entry:
        return None
    status = mapping(entry.get("status"))
    outputs = mapping(entry.get("outputs"))
    return Entry(
        # older servers keep no status: files are then all there is to go by
        succeeded=status.get("status_str", "success" if outputs else "error") == "success",
        messages=tuple(
            {"type": pair[0], "data": pair[1]}
            for pair in listing(status.get("messages"))
            if isinstance(pair, list) and len(pair) == 2
        ),
        images={str(node): _images(mapping(output).get("images")) for node, output in outputs.items()},
    )


def _images(refs: Any) -> Tuple[ImageRef, ...]:
    return tuple(
        ImageRef(ref["filename"], str(ref.get("subfolder") or ""), str(ref.get("type") or "output"))
        for ref in listing(refs)
        if isinstance(ref, dict) and isinstance(ref.get("filename"), str) and ref["filename"]
    )


def finish(execution: Execution, entry: Entry) -> Execution:
    """The last word: replay what the history keeps, so that lost messages change nothing."""
    for message in entry.messages:
        execution = advance(execution, message)
    if entry.succeeded:
        return replace(execution, state=State.SUCCEEDED, ahead=None)
    if execution.state in (State.FAILED, State.INTERRUPTED):
        return execution
    return replace(execution, state=State.FAILED, ahead=None, cause=execution.cause or "no reason given")


# --- lenient reading --------------------------------------------------------------------------------------------------


def first_line(text: Any, limit: int = 300) -> str:
    """The first line with something on it, without control characters, at most `limit` characters."""
    lines = (line.strip() for line in str("" if text is None else text).splitlines())
    line = next((line for line in lines if line), "")
    clean = "".join(c for c in line if c.isprintable())
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> List[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float:
    return value if isinstance(value, (int, float)) else 0.0  # as it is: 10**400 is no float


def _count(value: Any) -> int:
    try:
        return max(0, int(value))
    except (TypeError, ValueError, OverflowError):
        return 0
