"""The judge's choice between two results, by counting the criteria that each is measured to meet. Pure.

The criteria are the lines of the instruction that say what is wanted ("- Is it warm? (wanted: yes)"). One that cannot be
measured counts for neither; equal counts are an honest "neither".
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from PIL import Image

from .answers import read
from .claims import Scene, answer

FIRST, SECOND = "first", "second"
_LINE = re.compile(r"^\s*[-*] (?P<question>.+) \(wanted: (?P<wanted>.+)\)\s*$", re.M)
_LEAST, _MOST = re.compile(r"\bat least (-?[\d.]+)"), re.compile(r"\bat most (-?[\d.]+)")


def is_duel(properties: Mapping[str, Any], images: Sequence[Image.Image]) -> bool:
    """Say whether two results are to be chosen between: three pictures, and a part that may be "first" or "second"."""
    return len(images) == 3 and _choice(properties) is not None


def duel(instruction: str, images: Sequence[Image.Image], properties: Mapping[str, Any]) -> Dict[str, Any]:
    """Reason and choice under the names that the schema has for them."""
    original, first, second = images
    criteria = [(found["question"], found["wanted"]) for found in _LINE.finditer(instruction)]
    met = [_met(criteria, Scene(result, original)) for result in (first, second)]
    better = None if met[0][0] == met[1][0] else FIRST if met[0][0] > met[1][0] else SECOND
    choice = _choice(properties)
    told = "; ".join(f"{name}: {count} met{_by(how)}" for name, (count, how) in zip((FIRST, SECOND), met))
    return {name: better if name == choice else told for name in properties}


def _choice(properties: Mapping[str, Any]) -> Optional[str]:
    return next((name for name, part in properties.items() if {FIRST, SECOND} <= set(part.get("enum") or ())), None)


def _met(criteria: Sequence[Tuple[str, str]], scene: Scene) -> Tuple[int, List[str]]:
    """How many criteria a picture meets, and the measurements of those."""
    found = [_meets(question, wanted, scene) for question, wanted in criteria]
    return sum(meets for meets, _ in found), [reason for meets, reason in found if meets]


def _meets(question: str, wanted: str, scene: Scene) -> Tuple[bool, str]:
    if wanted in ("yes", "no"):
        finding = answer(question, scene)
        return finding.truth is (wanted == "yes"), finding.reason
    least, most = _LEAST.search(wanted), _MOST.search(wanted)
    if not wanted.startswith(("number", "integer")) or not (least or most):
        return False, ""
    reading = read(question, {"type": ["number", "null"]}, scene)
    if reading.value is None:
        return False, ""
    enough = least is None or reading.value >= float(least[1])
    return enough and (most is None or reading.value <= float(most[1])), reading.reason


def _by(reasons: Sequence[str]) -> str:
    return f" ({'; '.join(dict.fromkeys(reasons))})" if reasons else ""
