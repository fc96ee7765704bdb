"""Runs a queued graph node by node, reusing what an earlier run has made, and tells the listeners about it.

Messages, in the order recorded from ComfyUI 0.3.64: execution_start, execution_cached, for each node progress_state,
executing, (a sampler: progress_state and progress for each step), (an output node: executed), progress_state, and at the
end execution_success, execution_error or execution_interrupted. A node whose work another one has done in the same run
gives executed and progress_state, and no executing.
"""

from __future__ import annotations

import copy
import time
import traceback
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from PIL import Image

from imagination.sandbox import graph as graphs
from imagination.sandbox.catalogue import NodeClass
from imagination.sandbox.folders import Folders
from imagination.sandbox.jobs import Job, Outcome
from imagination.sandbox.nodes import Sampler, Tools

TO_EVERYONE = ("progress", "progress_state", "execution_interrupted")  # of a job without a client
KEPT_IN_HISTORY = (
    "execution_start",
    "execution_cached",
    "execution_success",
    "execution_error",
    "execution_interrupted",
)
AFTER_THE_ID = {"progress_state": "nodes", "progress": "node"}  # the key that stands behind prompt_id in these


class Interrupted(Exception):
    """Someone asked for the run to stop."""


@dataclass(frozen=True)
class Listener:
    """Where a run's news goes: JSON messages, and the picture so far for those who want to see it."""

    tell: Callable[[Job, str, Dict[str, Any]], None]
    show: Callable[[Job, str, Image.Image], None]
    is_interrupted: Callable[[], bool]


@dataclass(frozen=True)
class Result:
    """What a node has made: its outputs and, of an output node, the ui entry that names its files."""

    outputs: Tuple[Any, ...]
    ui: Optional[Dict[str, Any]] = None


class Executor:
    """Runs one job at a time and remembers the results of the last one."""

    def __init__(self, classes: Mapping[str, NodeClass], folders: Folders, sampler: Sampler) -> None:
        self.classes = classes
        self.folders = folders
        self.sampler = sampler
        self._cache: Dict[str, Result] = {}

    def forget(self) -> None:
        """Drop every result, so that the next run makes all of it anew."""
        self._cache.clear()

    def run(self, job: Job, listener: Listener) -> Outcome:
        """Run `job`; a failing node is an outcome, never an exception."""
        keys = graphs.signatures(job.graph, self.classes, self.folders)
        # Only what this graph can use is kept: a picture of an earlier job would be held for ever.
        self._cache = {key: self._cache[key] for key in keys.values() if key in self._cache}
        return _Run(self, job, listener, keys).go()

    def cached(self, key: Optional[str]) -> Optional[Result]:
        return None if key is None else self._cache.get(key)

    def has_file(self, node: Mapping[str, Any]) -> bool:
        """Say whether the file that a loading node names is there."""
        check = self.classes[node["class_type"]].check
        try:
            return check is not None and check(self.folders, node["inputs"]) is None
        except (KeyError, TypeError):  # a node that nothing needs may be broken
            return False

    def keep(self, key: str, result: Result) -> None:
        self._cache[key] = result


class _Run:
    """One job on its way through the executor."""

    def __init__(self, executor: Executor, job: Job, listener: Listener, keys: Mapping[str, str]) -> None:
        self.executor = executor
        self.job = job
        self.listener = listener
        self.keys = keys
        self.messages: List[Tuple[str, Dict[str, Any]]] = []
        self.outputs: Dict[str, Any] = {}
        self.executed: List[str] = []
        self.progress: Dict[str, Dict[str, Any]] = {}
        self.results: Dict[str, Result] = {}

    def go(self) -> Outcome:
        self._tell("execution_start", stamped=True)
        reused = [n for n in self.job.graph if self.executor.cached(self.keys.get(n)) is not None]
        self._tell("execution_cached", nodes=reused, stamped=True)
        order = graphs.run_order(self.job.graph, self.job.outputs)
        for node_id in order:
            result = self.executor.cached(self.keys.get(node_id))
            if result is not None:
                self.results[node_id] = result
                if result.ui is not None:  # of earlier results only the outputs are told
                    self._reuse(node_id, result)
        succeeded = all(self._step(node_id) for node_id in order if node_id not in self.results)
        if succeeded:
            self._tell("execution_success", stamped=True)
        return Outcome(succeeded, self.outputs, tuple(self.messages))

    def _step(self, node_id: str) -> bool:
        """Run one node; False when it ends the job."""
        twin = self.executor.cached(self.keys.get(node_id))
        if twin is not None:  # the same work under another id has just been done in this very run
            self._reuse(node_id, twin)
            return True
        self._advance(node_id, 0.0, 1.0, "running")
        self._tell("executing", node=node_id, display_node=node_id)
        try:
            self._check_interrupt()
            result = self._execute(node_id)
        except Interrupted:
            node_type = self.job.graph[node_id]["class_type"]
            known = {"node_id": node_id, "node_type": node_type, "executed": list(self.executed)}
            self._tell("execution_interrupted", stamped=True, **known)
            return False
        except Exception as err:  # whatever a node raises ends the job, not the server
            self._tell("execution_error", stamped=True, **self._failure(node_id, err))
            return False
        self.results[node_id] = result
        self.executor.keep(self.keys[node_id], result)
        self._report_ui(node_id, result)
        self.executed.append(node_id)
        most = self.progress[node_id]["max"]
        self._advance(node_id, most, most, "finished")
        return True

    def _reuse(self, node_id: str, result: Result) -> None:
        """Take a result that is there, and tell it as ComfyUI does: `executed`, also with nothing to show."""
        self.results[node_id] = result
        if result.ui is not None:
            self.outputs[node_id] = result.ui
        self._tell("executed", node=node_id, display_node=node_id, output=result.ui)
        self._advance(node_id, 1, 1, "finished")

    def _execute(self, node_id: str) -> Result:
        node = self.job.graph[node_id]
        node_class = self.executor.classes[node["class_type"]]
        tools = self._tools(node_id, self._png_texts() if node_class.is_output else {})
        made = node_class.run(tools, **self._inputs(node, node_class))
        return Result((), made) if node_class.is_output else Result(tuple(made))

    def _inputs(self, node: Mapping[str, Any], node_class: NodeClass) -> Dict[str, Any]:
        given = {name: value for name, value in node["inputs"].items() if name in node_class.required}
        return {
            name: self.results[value[0]].outputs[value[1]] if graphs.is_link(value) else value
            for name, value in given.items()
        }

    def _tools(self, node_id: str, png_texts: Mapping[str, Any]) -> Tools:
        def on_step(step: int, steps: int, preview: Optional[Image.Image]) -> None:
            self._check_interrupt()
            if step < 1:
                return
            self._advance(node_id, step, steps, "running")
            if preview is not None:
                self.listener.show(self.job, node_id, preview)
            self._tell("progress", value=step, max=steps, node=node_id)

        return Tools(self.executor.sampler, self.executor.folders, on_step, png_texts)

    def _png_texts(self) -> Dict[str, Any]:
        """Give what SaveImage writes into the file: the graph as run, and the client's own keys."""
        graph = copy.deepcopy(self.job.graph)
        for node in graph.values():
            node_class = self.executor.classes.get(node["class_type"])
            if node_class and node_class.changed and self.executor.has_file(node):
                node["is_changed"] = [node_class.changed(self.executor.folders, node["inputs"])]
        return {"prompt": graph, **(self.job.extra_data.get("extra_pnginfo") or {})}

    def _check_interrupt(self) -> None:
        if self.listener.is_interrupted():
            raise Interrupted

    def _report_ui(self, node_id: str, result: Result) -> None:
        if result.ui is not None:
            self.outputs[node_id] = result.ui
            self._tell("executed", node=node_id, display_node=node_id, output=result.ui)

    def _advance(self, node_id: str, value: float, most: float, state: str) -> None:
        self.progress[node_id] = {
            "value": value,
            "max": most,
            "state": state,
            "node_id": node_id,
            "prompt_id": self.job.prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
        self._tell("progress_state", nodes={key: dict(value) for key, value in self.progress.items()})

    def _failure(self, node_id: str, err: Exception) -> Dict[str, Any]:
        node = self.job.graph[node_id]
        kind = type(err)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        given = self._inputs(node, self.executor.classes[node["class_type"]])
        return {
            "node_id": node_id,
            "node_type": node["class_type"],
            "executed": list(self.executed),
            "exception_message": f"{err}\n",
            "exception_type": name,
            "traceback": traceback.format_tb(err.__traceback__),
            "current_inputs": {key: [str(value)] for key, value in given.items()},
            "current_outputs": list(self.job.graph),
        }

    def _tell(self, kind: str, *, stamped: bool = False, **data: Any) -> None:
        # The id stands where the real server has it; clients read by key, people read logs side by side.
        message = {**data, "prompt_id": self.job.prompt_id}
        if kind in AFTER_THE_ID:
            message[AFTER_THE_ID[kind]] = message.pop(AFTER_THE_ID[kind])
        if stamped:
            message["timestamp"] = int(time.time() * 1000)
        if kind in KEPT_IN_HISTORY:
            self.messages.append((kind, message))
        self.listener.tell(self.job, kind, message)
