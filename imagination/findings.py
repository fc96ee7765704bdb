"""What `rules check` speaks in: a finding with its severity, its place, its reason and what to do about it. Pure."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Sequence, Tuple

from typing_extensions import Literal

from .config import Document, Keys, dotted
from .errors import ConfigError

Severity = Literal["error", "warning", "hint"]
SEVERITIES: Tuple[Severity, ...] = ("error", "warning", "hint")  # error: the run cannot reach its goal; hint: a guess


class Remark(NamedTuple):
    """A finding that does not know its file yet. `code` is a stable word that scripts may rely on."""

    severity: Severity
    code: str
    keys: Keys
    reason: str
    advice: str

    def below(self, *keys: Any) -> Remark:
        """The same of a key that stands further down in the file."""
        return self._replace(keys=(*keys, *self.keys))


@dataclass(frozen=True)
class Finding:
    """One line of `rules check`. `key` is the dotted key, empty where the file as a whole is meant."""

    severity: Severity
    code: str
    file: str
    line: int  # from 1
    key: str
    reason: str
    advice: str

    def as_dict(self) -> Dict[str, Any]:
        """For `--format json`."""
        return asdict(self)


def placed(remarks: Iterable[Remark], document: Document) -> List[Finding]:
    """Remarks with their lines, in the order of the file."""
    found = [
        Finding(r.severity, r.code, str(document.path), line_of(document, r.keys), dotted(r.keys), r.reason, r.advice)
        for r in remarks
    ]
    return sorted(found, key=lambda f: (f.line, SEVERITIES.index(f.severity)))


def line_of(document: Document, keys: Keys) -> int:
    """The line of a key, or of the nearest enclosing one where it is absent (or comes from an alias)."""
    while keys and keys not in document.lines:
        keys = keys[:-1]
    return document.lines.get(keys, 1)


def count(findings: Sequence[Finding], severity: Severity) -> int:
    """How many findings are of `severity`."""
    return sum(finding.severity == severity for finding in findings)


# --- from the loader's own lines -----------------------------------------------------------------------------------------

_KEY = re.compile(r"((?:project|acceptance_criteria|questions)\b[\w.\[\]-]*):? (.*)", re.DOTALL)
_UNKNOWN = "is not a known key"
_ADVICE = (  # by a part of the loader's line; the first that is in it
    (_UNKNOWN, "unknown-key", "mend its spelling, or take it out"),
    ("does not exist", "no-file", "make the project with `iterativectl project create`"),
    ("cannot be read", "no-file", "mend the file's permissions"),
    ("not UTF-8", "encoding", "save the file with the encoding UTF-8"),
    ("not valid YAML", "yaml", "look at indentation, quotes and colons on this line and the one before"),
    ("is given twice", "key-twice", "keep one of the two"),
    (" already", "field-taken", "give one of the two another name"),
    ("is missing", "missing", "add it"),
    ("min (", "no-answer-passes", "swap the two bounds, or leave one out"),
    ("enum of type", "enum-of-another-type", "write its values as the type has them, or change the type"),
    ("at least one criterion", "no-criteria", "add a criterion"),
)


def from_error(err: ConfigError, path: Path) -> List[Finding]:
    """What the loader refuses, through the same door as everything else."""
    return [from_line("error", text, path) for text in (err.problems or (err.message,))]


def from_line(severity: Severity, text: str, path: Path) -> Finding:
    """A line of the loader, `file:line dotted.key what is wrong`, taken apart."""
    start = f"{path}"
    rest = text[len(start) :] if text.startswith(start) else text
    numbered = re.match(r":(\d+)\s*(.*)", rest, re.DOTALL)
    line, rest = (int(numbered[1]), numbered[2]) if numbered else (1, rest.strip())
    keyed = _KEY.match(rest)
    key, reason = (keyed[1], keyed[2]) if keyed else ("", rest)
    if not keyed and _UNKNOWN in rest:  # a key at the top of the file that has any name
        key, _, reason = rest.partition(f" {_UNKNOWN}")
        reason = _UNKNOWN + reason
    code, advice = _advice(reason)
    return Finding("warning" if code == "unknown-key" else severity, code, str(path), line, key, reason, advice)


def _advice(reason: str) -> Tuple[str, str]:
    for part, code, advice in _ADVICE:
        if part in reason:
            return code, advice
    return "schema", "write what is expected; defaults/config/rules.yaml has an example of every key"
