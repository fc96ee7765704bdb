"""A submitted workflow as a graph: is it valid, in which order do its nodes run, and what identifies a node's result.

Pure: a graph goes in, a verdict comes out. Shapes and texts of the errors are those of ComfyUI's `POST /prompt`
(recorded from 0.3.64), its oddities included: a wrong link is blamed on the node that holds it but under the *next*
node's input name, and a loop is refused without any reason.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Set, Tuple

from imagination.sandbox.catalogue import NodeClass, Spec
from imagination.sandbox.folders import Folders

Graph = Dict[str, Any]
Problem = Dict[str, Any]
LONGEST_LIST = 20  # choices repeated in an error; longer lists are only counted
_CONVERTERS: Mapping[str, Any] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


@dataclass(frozen=True)
class Verdict:
    """What became of a submitted graph: the output nodes that may run, or why none may."""

    outputs: Tuple[str, ...] = ()
    error: Optional[Problem] = None
    node_errors: Dict[str, Any] = field(default_factory=dict)


def validate(
    graph: Graph, classes: Mapping[str, NodeClass], folders: Folders, targets: Optional[Sequence[str]] = None
) -> Verdict:
    """Judge `graph`, converting its values in place (`steps` 2.9 becomes 2) as the server does.

    `targets` limits the run to those output nodes. A graph with one valid output is accepted; the errors of the
    others are reported beside it.
    """
    for node_id in graph:
        fault = _unusable(node_id, graph[node_id], classes)
        if fault:
            return Verdict(error=problem("invalid_prompt", fault, f"Node ID '#{node_id}'"))
    wanted = [n for n in graph if classes[graph[n]["class_type"]].is_output and (targets is None or n in targets)]
    if not wanted:
        return Verdict(error=problem("prompt_no_outputs", "Prompt has no outputs"))
    return _judge_outputs(_Validation(graph, classes, folders), wanted)


def problem(kind: str, message: str, details: str = "", **extra: Any) -> Problem:
    """Build one error in the wire's shape."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def links_of(node: Mapping[str, Any]) -> List[str]:
    """List the ids that a node's inputs are linked to, in input order."""
    return [value[0] for value in node["inputs"].values() if is_link(value)]


def is_link(value: Any) -> bool:
    return isinstance(value, list)


def run_order(graph: Graph, outputs: Sequence[str]) -> List[str]:
    """List the nodes the outputs need, each behind the ones it is linked to."""
    order: List[str] = []

    def visit(node_id: str) -> None:
        if node_id not in order:
            for linked in links_of(graph[node_id]):
                visit(linked)
            order.append(node_id)

    for output in outputs:
        visit(output)
    return order


def signatures(graph: Graph, classes: Mapping[str, NodeClass], folders: Folders) -> Dict[str, str]:
    """Identify each node's result by class, inputs and ancestors, whatever the node ids; unusable nodes are left out."""
    found: Dict[str, str] = {}

    def sign(node_id: str, path: FrozenSet[str]) -> str:
        if node_id in found:
            return found[node_id]
        if node_id in path:
            raise ValueError("a loop")
        node = graph[node_id]
        node_class = classes[node["class_type"]]
        inputs = [
            [name, [sign(value[0], path | {node_id}), value[1]] if is_link(value) else value]
            for name, value in sorted(node["inputs"].items())
            if name in node_class.required
        ]
        changed = node_class.changed(folders, node["inputs"]) if node_class.changed else ""
        # Hashed at each node: text inside text inside text would double in size with every level of the graph.
        found[node_id] = hashlib.sha256(json.dumps([node["class_type"], inputs, changed]).encode()).hexdigest()
        return found[node_id]

    for node_id in graph:
        try:
            sign(node_id, frozenset())
        except (KeyError, ValueError, IndexError, OSError, TypeError):
            continue  # a node that nothing needs may be broken: it is not part of the run
    return found


def _unusable(node_id: str, node: Any, classes: Mapping[str, NodeClass]) -> str:
    if not isinstance(node, dict) or "class_type" not in node:
        return "Cannot execute because a node is missing the class_type property."
    if node["class_type"] not in classes:
        return f"Cannot execute because node {node['class_type']} does not exist."
    return ""


def _judge_outputs(validation: _Validation, wanted: Sequence[str]) -> Verdict:
    good: List[str] = []
    details: List[str] = []
    node_errors: Dict[str, Any] = {}
    for output in wanted:
        seen: Set[str] = set()
        if validation.check_output(output, seen):
            good.append(output)
            continue
        details += [f"{p['message']}: {p['details']}" for p in validation.problems.get(output, [])]
        for node_id in (n for n in validation.problems if n in seen and validation.problems[n]):
            node = validation.graph[node_id]
            entry = {"errors": validation.problems[node_id], "dependent_outputs": [], "class_type": node["class_type"]}
            node_errors.setdefault(node_id, entry)["dependent_outputs"].append(output)
    if good:
        return Verdict(tuple(good), None, node_errors)
    message = "Prompt outputs failed validation"
    return Verdict((), problem("prompt_outputs_failed_validation", message, "\n".join(details)), node_errors)


class _Validation:
    """One walk over a graph from its outputs to its sources; `problems` collects what is wrong, node by node."""

    def __init__(self, graph: Graph, classes: Mapping[str, NodeClass], folders: Folders) -> None:
        self.graph = graph
        self.folders = folders
        self.classes = classes
        self.problems: Dict[str, List[Problem]] = {}
        self.results: Dict[str, bool] = {}

    def check_output(self, output: str, seen: Set[str]) -> bool:
        """Say whether `output` may run; `seen` gathers the nodes it needs."""
        try:
            return self._check(output, seen, frozenset())
        except (KeyError, IndexError, TypeError, AttributeError) as err:
            extra = {"exception_type": type(err).__name__, "traceback": []}
            fault = problem("exception_during_validation", "Exception when validating node", str(err), **extra)
            self.problems[output] = [fault]
            return False

    def _check(self, node_id: str, seen: Set[str], path: FrozenSet[str]) -> bool:
        seen.add(node_id)
        if node_id in path:
            return False  # a loop; ComfyUI gives no reason either
        if node_id in self.results:
            self._see_ancestors(node_id, seen)
            return self.results[node_id]
        node = self.graph[node_id]
        inputs = node["inputs"]
        faults: List[Problem] = []
        specs = self.classes[node["class_type"]].inputs(self.folders)
        linked = [self._check_input(name, spec, inputs, faults, seen, path | {node_id}) for name, spec in specs.items()]
        faults += self._check_values(self.classes[node["class_type"]], inputs)
        self.problems[node_id] = faults
        self.results[node_id] = not faults and all(linked)
        return self.results[node_id]

    def _see_ancestors(self, node_id: str, seen: Set[str]) -> None:
        for linked in links_of(self.graph[node_id]):
            if linked in self.graph and linked not in seen:
                seen.add(linked)
                self._see_ancestors(linked, seen)

    def _check_input(
        self, name: str, spec: Spec, inputs: Dict[str, Any], faults: List[Problem], seen: Set[str], path: FrozenSet[str]
    ) -> bool:
        """Check one input, adding to `faults`; False when the fault lies in a node further up."""
        if name not in inputs:
            faults.append(problem("required_input_missing", "Required input is missing", name, input_name=name))
            return True
        if not is_link(inputs[name]):
            faults.extend(_check_widget(name, spec, inputs))
            return True
        fault = self._check_link(name, spec, inputs[name])
        if fault:
            faults.append(fault)
            return True
        return self._check_linked(name, spec, inputs[name], seen, path)

    def _check_link(self, name: str, spec: Spec, link: List[Any]) -> Optional[Problem]:
        if len(link) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            return problem("bad_linked_input", message, name, input_name=name, input_config=spec, received_value=link)
        outputs = self.classes[self.graph[link[0]]["class_type"]].outputs
        received, wanted = outputs[link[1]], "COMBO" if isinstance(spec[0], list) else spec[0]
        if received == wanted:
            return None
        details = f"{name}, received_type({received}) mismatch input_type({wanted})"
        extra = {"input_name": name, "input_config": spec, "received_type": received, "linked_node": link}
        return problem("return_type_mismatch", "Return type mismatch between linked nodes", details, **extra)

    def _check_linked(self, name: str, spec: Spec, link: List[Any], seen: Set[str], path: FrozenSet[str]) -> bool:
        """Check the node at the other end. What breaks in there is noted under it, with the name of *this* input."""
        try:
            return self._check(link[0], seen, path)
        except (KeyError, IndexError, TypeError, AttributeError) as err:
            extra = {
                "input_name": name,
                "input_config": spec,
                "exception_message": str(err),
                "exception_type": type(err).__name__,
                "traceback": [],
                "linked_node": link,
            }
            message = "Exception when validating inner node"
            fault = problem("exception_during_inner_validation", message, str(err), **extra)
            self.problems[link[0]] = [fault]
            self.results[link[0]] = False
            return False

    def _check_values(self, node_class: NodeClass, inputs: Mapping[str, Any]) -> List[Problem]:
        if node_class.check is None or any(is_link(value) for value in inputs.values()):
            return []
        reason = node_class.check(self.folders, inputs) if "image" in inputs else None
        if reason is None:
            return []
        return [problem("custom_validation_failed", "Custom validation failed for node", reason, input_name="image")]


def _check_widget(name: str, spec: Spec, inputs: Dict[str, Any]) -> List[Problem]:
    """Convert and check a value that is typed in rather than linked."""
    kind, limits = spec[0], spec[1] if len(spec) > 1 else {}
    value = inputs[name]
    converter = _CONVERTERS.get(kind) if isinstance(kind, str) else None
    if converter is not None:
        try:
            value = inputs[name] = converter(value)
        except (ValueError, TypeError, OverflowError) as err:
            message = f"Failed to convert an input value to a {kind} value"
            extra = {"input_name": name, "input_config": spec, "received_value": value, "exception_message": str(err)}
            return [problem("invalid_input_type", message, f"{name}, {value}, {err}", **extra)]
    known = {"input_name": name, "input_config": spec, "received_value": value}
    if "min" in limits and value < limits["min"]:
        return [problem("value_smaller_than_min", f"Value {value} smaller than min of {limits['min']}", name, **known)]
    if "max" in limits and value > limits["max"]:
        return [problem("value_bigger_than_max", f"Value {value} bigger than max of {limits['max']}", name, **known)]
    choices = kind if isinstance(kind, list) else limits.get("options") if kind == "COMBO" else None
    # An uploaded file is judged by being there, since the list leaves out subfolders and annotated names.
    if choices is not None and value not in choices and not limits.get("image_upload"):
        return [_not_in_list(name, spec, choices, value)]
    return []


def _not_in_list(name: str, spec: Spec, choices: Sequence[Any], value: Any) -> Problem:
    is_long = len(choices) > LONGEST_LIST
    listed = f"(list of length {len(choices)})" if is_long else str(list(choices))
    extra = {"input_name": name, "input_config": None if is_long else spec, "received_value": value}
    return problem("value_not_in_list", "Value not in list", f"{name}: '{value}' not in {listed}", **extra)
