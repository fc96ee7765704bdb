"""YAML text to frozen records, with every problem of a file told together: file, line, dotted key, what was expected.

Reads `rules.yaml`, `AIGen.yaml`, `AIVis.yaml` and `prompts.yaml`. Unknown keys are no error: they come back as warnings
that name the nearest known key. Nothing here writes; where the files lie is `workspace`'s business.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Generic, Iterator, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union, cast

import yaml
from pydantic import BaseModel, ValidationError
from typing_extensions import get_args, get_origin

from .errors import ConfigError, one_line
from .model import Criterion, Frozen, Generation, Question, Rules, VisionSettings, key_of

Record = TypeVar("Record", bound=Frozen)
Keys = Tuple[Union[str, int], ...]
MAX_BYTES = 1_000_000  # a configuration of a megabyte is a mistake, or an attack
MAX_NODES = 20_000  # counted with aliases followed: a "billion laughs" file passes any bound
MAX_DEPTH = 50
LONGEST_KEY = 60  # characters of a key that a message repeats
HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")  # half of a surrogate pair, which no file can hold


@dataclass(frozen=True)
class Document:
    """A parsed YAML file: plain data, and the line (from 1) on which each key or item stands."""

    data: Any
    lines: Mapping[Keys, int]
    path: Path

    def place(self, keys: Keys) -> str:
        """`file:line key.path`, with the line of the nearest enclosing key where the key itself is absent."""
        known = keys
        while known and known not in self.lines:
            known = known[:-1]
        return f"{self.path}:{self.lines.get(known, 1)} {dotted(keys)}".rstrip()


@dataclass(frozen=True)
class Loaded(Generic[Record]):
    """A file as read: its record, what to warn of, and the document it came from (for later findings' lines)."""

    record: Record
    warnings: Tuple[str, ...]
    document: Document


def load_rules(path: Path, text: Optional[str] = None) -> Loaded[Rules]:
    """Read rules.yaml, or `text` as what would stand there. Raises ConfigError with all its problems."""
    return _load(path, Rules, text)


def load_generation(path: Path) -> Loaded[Generation]:
    """Read AIGen.yaml. Raises ConfigError with all its problems."""
    return _load(path, Generation)


def load_vision(path: Path) -> Loaded[VisionSettings]:
    """Read AIVis.yaml. Raises ConfigError with all its problems; the key in it stays out of every message."""
    return _load(path, VisionSettings)


def load_record(path: Path, model: Type[Record]) -> Loaded[Record]:
    """Read a YAML file of ours into `model`. Raises ConfigError with all its problems."""
    return _load(path, model)


def load_texts(path: Path) -> Document:
    """Read a mapping of names to texts (prompts.yaml). What the names may be is `prompts`' business."""
    document = read_document(path)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1 must be a mapping of names to texts")
    wrong = [f"{document.place((k,))} must be a text" for k, v in data.items() if not isinstance(v, str)]
    if wrong:
        raise _told_together(path, wrong)
    return Document(data, document.lines, path)


def rules_hash(rules: Rules) -> str:
    """Fingerprint of what is judged: criteria and questions, not the project's name or its number of iterations."""
    return _digest(rules.model_dump(mode="json", include={"acceptance_criteria", "questions"}))


def questions_hash(rules: Rules) -> str:
    """Fingerprint of the helper questions."""
    return _digest(rules.model_dump(mode="json", include={"questions"}))


def criterion_hash(criterion: Criterion) -> str:
    """Fingerprint of what a verdict means: what the judge is asked and what passes; not the tags, which no judge is told."""
    return _digest(criterion.model_dump(mode="json", include={*Question.model_fields}))


def json_schema(model: Type[Frozen]) -> Dict[str, Any]:
    """The JSON Schema that editors use for a file; unknown keys are marked there, as they are warned of here."""
    schema = model.model_json_schema()
    for part in [schema, *schema.get("$defs", {}).values()]:
        part["additionalProperties"] = False
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


# --- from a document to a record -------------------------------------------------------------------------------------


def _load(path: Path, model: Type[Record], text: Optional[str] = None) -> Loaded[Record]:
    document = read_document(path, text)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1 must be a mapping with the keys {', '.join(model.model_fields)}")
    problems: List[str] = []
    record: Optional[Record] = None
    try:
        record = model.model_validate(data)
    except ValidationError as err:
        problems += _problems(document, model, err.errors(include_url=False))
    problems += [document.place(keys) + f" {text}" for keys, text in _duplicate_fields(model, data)]
    warnings = tuple(f"{document.place(keys)} {text}" for keys, text in _unknown_keys(model, data))
    if problems or record is None:
        raise _told_together(path, [*problems, *warnings])  # a mistyped key is often why another is missing
    return Loaded(record, warnings, document)


def _told_together(path: Path, problems: Sequence[str]) -> ConfigError:
    if len(problems) == 1:
        return ConfigError(problems[0], problems=problems)
    return ConfigError(f"{path} has {len(problems)} problems", problems=problems)


def _problems(document: Document, model: Type[Frozen], errors: Sequence[Any]) -> List[str]:
    """One line a place, in the order of the file; the tried branches of a union are told together."""
    found: Dict[Keys, Tuple[str, List[str]]] = {}
    for error in errors:
        keys = tuple(k for k in error["loc"] if not _is_union_branch(k))
        while keys and not _reaches(document.data, keys[:-1]):
            keys = keys[:-1]
        if error["type"] == "missing":
            found[keys] = (f"{document.place(keys)} is missing", [])
        elif error["type"] == "value_error" and isinstance(error["input"], (dict, list)):
            found[keys] = (f"{document.place(keys)}: {error['ctx']['error']}", [])
        else:
            told = f"{document.place(keys)} is {_shown(keys, error['input'])}; expected "
            whole = "a whole number, " if error["type"].startswith("int") else ""
            limits = _range_of(model, keys)
            found.setdefault(keys, (told, []))[1].append(whole + limits if limits else _expected(error))
    ordered = sorted(found, key=lambda keys: document.lines.get(keys, 0))
    return [found[keys][0] + " or ".join(dict.fromkeys(found[keys][1])) for keys in ordered]


def _range_of(model: Type[BaseModel], keys: Keys) -> str:
    """Both bounds of a number that has two, as "0.0 to 1.0": half a range would cost the user a second try."""
    for key in keys[:-1]:
        inner = _models_in(model.model_fields[key].annotation) if key in model.model_fields else []
        model = inner[0] if inner else model
    field = model.model_fields.get(str(keys[-1])) if keys else None
    limits = {type(part).__name__: part for part in (field.metadata if field else [])}
    if "Le" not in limits or not ({"Ge", "Gt"} & set(limits)):
        return ""
    low = f"{limits['Ge'].ge} to" if "Ge" in limits else f"more than {limits['Gt'].gt}, up to"
    return f"{low} {limits['Le'].le}"


def _is_union_branch(key: object) -> bool:
    """Pydantic names the tried branch of a union in the location, e.g. `list[union[bool,...]]`; users never wrote that."""
    return isinstance(key, str) and (key in {"bool", "int", "float", "str"} or "[" in key)


def _reaches(data: Any, keys: Keys) -> bool:
    for key in keys:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _shown(keys: Keys, value: Any) -> str:
    if keys and str(keys[-1]).endswith("api_key"):
        return "not a text"
    if isinstance(value, str) and keys and str(keys[-1]).endswith("base_url"):
        value = without_secrets(value)
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:  # Python 3.11 and later refuse to write so many digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."


def without_secrets(address: str) -> str:
    """An address as messages may repeat it: without user, password, and what stands behind ? or #."""
    return re.sub(r"[?#].*", "?...", re.sub(r"^(\w+://)?.*@", r"\1...@", address, flags=re.DOTALL), flags=re.DOTALL)


def _expected(error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _LIMITS:
        return _LIMITS[kind].format(**context)
    if kind == "literal_error":
        return f"one of {context['expected']}".replace("'", "").replace(" or ", ", ") + _nearest(error, context)
    if kind == "value_error":
        return str(context["error"])
    return _KINDS.get(kind, str(error["msg"]).lower())


_LIMITS = {
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
    "greater_than": "more than {gt}",
    "less_than": "less than {lt}",
    "string_too_short": "a text that is not empty",
}
_KINDS = {
    "string_type": "a text (put it in quotes if it looks like a number, a date, or yes/no)",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _nearest(error: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    words = [w.strip(" '") for w in str(context["expected"]).replace(" or ", ",").split(",")]
    near = difflib.get_close_matches(str(error["input"]), words, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _duplicate_fields(model: Type[Frozen], data: Mapping[str, Any]) -> Iterator[Tuple[Keys, str]]:
    """Fields that a model could not tell apart in its reply: equal but for case, blanks and underscores."""
    if model is not Rules:
        return
    for name in ("acceptance_criteria", "questions"):
        seen: Dict[str, Tuple[int, str]] = {}
        items = data.get(name)
        for index, item in enumerate(items if isinstance(items, list) else []):
            field = item.get("field") if isinstance(item, dict) else None
            if not isinstance(field, str):
                continue
            if key_of(field) in seen:
                first, text = seen[key_of(field)]
                taken = f'is "{field}", which {name}[{first}] has already'
                yield (name, index, "field"), taken if text == field else f'{taken} as "{text}"'
            seen.setdefault(key_of(field), (index, field))


def _unknown_keys(model: Type[BaseModel], data: Any, at: Keys = ()) -> Iterator[Tuple[Keys, str]]:
    if not isinstance(data, dict):
        return
    for key, value in data.items():
        field = model.model_fields.get(key) if isinstance(key, str) else None
        if field is None:
            near = difflib.get_close_matches(str(key), list(model.model_fields), n=1)
            yield (*at, key), "is not a known key and is ignored" + (f"; did you mean {near[0]}?" if near else "")
            continue
        for inner in _models_in(field.annotation):
            items = enumerate(value) if isinstance(value, list) else [(None, value)]
            for index, item in items:
                yield from _unknown_keys(inner, item, (*at, key) if index is None else (*at, key, index))


def _models_in(annotation: Any) -> List[Type[BaseModel]]:
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


# --- YAML ------------------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, less dates: an unquoted 2024-01-01 is a text here."""

    depth = 0

    def compose_node(self, parent: Optional[yaml.Node], index: Any) -> Optional[yaml.Node]:
        """As PyYAML does, but no deeper than `MAX_DEPTH`: it would go down to the end of Python's stack (see `bounded_json`)."""
        self.depth += 1
        if self.depth > MAX_DEPTH + 1:  # the document itself is no level
            at = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "it is nested too deeply", at.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As PyYAML does, but a value that does not fit its tag (`!!int`, `!!bool maybe`) is an error with a line."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, OverflowError) as err:
            kind = str(node.tag).rpartition(":")[2]
            short = isinstance(node, yaml.ScalarNode) and len(node.value) <= 12  # a key is longer
            shown = json.dumps(node.value, ensure_ascii=False) if short else "this"
            raise yaml.constructor.ConstructorError(None, None, f"{shown} is no {kind}", node.start_mark) from err


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# what JSON cannot hold, no configuration needs: such a tag is told as one that is not known
_Loader.yaml_constructors = {
    tag: construct
    for tag, construct in yaml.SafeLoader.yaml_constructors.items()
    if tag not in {f"tag:yaml.org,2002:{name}" for name in ("binary", "set", "omap", "pairs", "timestamp")}
}


def read_document(path: Path, text: Optional[str] = None) -> Document:
    """Parse `path`, or `text` as its content, as YAML with the safe schema. Raises ConfigError with the line at fault."""
    return _parsed(read_text(path) if text is None else text, path)


@functools.lru_cache(maxsize=4)
def _parsed(text: str, path: Path) -> Document:
    """The settings in force are read at every step, and are mostly what they were at the last."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: Dict[Keys, int] = {}
        problems = list(_survey(node, lines))
        if problems:
            raise _told_together(path, [f"{path}:{line} {problem}" for line, problem in problems])
        data = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as err:
        raise ConfigError(f"{path}{_yaml_line(err)} is not valid YAML: {_yaml_problem(err)}") from err
    except (ValueError, OverflowError, TypeError) as err:
        what = str(err).split("\n")[0][:120]
        raise ConfigError(f"{path} is not valid YAML: {what}") from err
    return Document(data, lines, path)


def read_text(path: Path) -> str:
    """A user's text file as UTF-8 (a byte order mark is dropped). Raises ConfigError when it cannot be read."""
    try:
        if not path.is_file():
            raise ConfigError(f"{path} {not_a_file(path)}")
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_BYTES // 1000} kB; that is no configuration")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = path.read_bytes()[: err.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line} is not UTF-8 text", "save the file with the encoding UTF-8") from err
    except (OSError, ValueError) as err:
        raise ConfigError(f"{path} cannot be read: {getattr(err, 'strerror', None) or err}") from err


def not_a_file(path: Path) -> str:
    """What is the matter with a path where a file should be."""
    if path.exists():
        return "is not a file"
    return f"is a link to {os.readlink(str(path))}, which is not there" if path.is_symlink() else "does not exist"


def _survey(root: Optional[yaml.Node], lines: Dict[Keys, int]) -> Iterator[Tuple[int, str]]:
    """Fill `lines` and yield what PyYAML would swallow: duplicate keys, keys that are no words, files that explode."""
    stack: List[Tuple[Keys, Optional[yaml.Node]]] = [((), root)]
    for count in range(MAX_NODES + 1):
        if not stack:
            return
        keys, node = stack.pop()
        line = node.start_mark.line + 1 if node is not None else 1
        lines.setdefault(keys, line)
        if count == MAX_NODES or len(keys) > MAX_DEPTH:
            yield line, "expands beyond any sensible size (anchors and aliases?)"
            return
        if isinstance(node, yaml.ScalarNode) and HALF_A_CHARACTER.search(node.value):
            yield line, f"{dotted(keys)} has half a character (a lone surrogate)"
        elif isinstance(node, yaml.SequenceNode):
            stack += [((*keys, i), item) for i, item in reversed(list(enumerate(node.value)))]
        elif isinstance(node, yaml.MappingNode):
            seen: Dict[str, int] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    yield key.start_mark.line + 1, "has a key that is no plain word"
                elif key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                    place = dotted((*keys, key.value))
                    yield key.start_mark.line + 1, f"{place} is given twice (also on line {seen[key.value]})"
                else:
                    seen[key.value] = lines[(*keys, key.value)] = key.start_mark.line + 1
                    stack.append(((*keys, key.value), value))


def dotted(keys: Keys) -> str:
    """`("acceptance_criteria", 1, "min")` as `acceptance_criteria[1].min`."""
    text = ""
    for key in keys:
        name = one_line(str(key))
        name = name if len(name) <= LONGEST_KEY else name[: LONGEST_KEY - 1] + "…"
        text += f"[{name}]" if isinstance(key, int) else f".{name}" if text else name
    return text


def _yaml_line(err: yaml.YAMLError) -> str:
    mark = getattr(err, "problem_mark", None)
    return f":{mark.line + 1}" if mark is not None else ""


def _yaml_problem(err: yaml.YAMLError) -> str:
    parts = [getattr(err, "context", None), getattr(err, "problem", None)]
    text = ", ".join(str(p) for p in parts if p) or str(err).split("\n")[0]
    # an unquoted key that begins with * or ! or & is an alias, a tag or an anchor
    text = re.sub(r"(alias|anchor|tag|tag handle) '.+'", r"\1", text)
    return text + (" (indent with spaces, not tabs)" if "'\\t'" in text else "")


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def schemas() -> Dict[str, Dict[str, Any]]:
    """File name under `defaults/schema/` to its content."""
    models = {"rules": Rules, "AIGen": Generation, "AIVis": VisionSettings}
    return {f"{name}.schema.json": json_schema(cast(Type[Frozen], model)) for name, model in models.items()}


__all__ = [
    "Document",
    "Loaded",
    "criterion_hash",
    "dotted",
    "json_schema",
    "load_generation",
    "load_record",
    "load_rules",
    "load_texts",
    "load_vision",
    "not_a_file",
    "read_document",
    "read_text",
    "rules_hash",
    "schemas",
]
