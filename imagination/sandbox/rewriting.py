"""The judge's answers from text alone: better prompts, and better settings. Pure.

No language is understood here. What a failed criterion names and the vocabulary knows gets more weight, its opposite goes
into the negative prompt, and for what should have stayed the words that calm the sampler are added.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Tuple

from .vocabulary import find, words_of

FIRST_WEIGHT, WEIGHT_STEP, MOST_WEIGHT = 1.2, 0.2, 1.6
MOST_ADDED = 4  # terms an improvement adds to a prompt
MOST_STEPS = 30
_HEADING = re.compile(r"^[ \t#*]*([A-Z][A-Z' ]{4,})(?:\([^)\n]*\))?[ \t*]*:[ \t]*", re.M)
_STAYS = re.compile(
    r"\[preserve\]|\b(same|unchanged|preserved?|kept|keeps?|intact|remains?|recogni[sz]abl[ey]|free of|blur\w*|nois\w*|sharp)\b",
    re.I,
)
_CALMING = ("sharp focus", "detailed"), ("blurry", "noise", "distorted")
_OPPOSITES = {"warmth": ("warm light", "cool tones"), "light": ("bright", "dark"), "saturation": ("vivid", "muted")}
_NOTHING = ("(none)", "none", "")


def sections(instruction: str) -> Dict[str, str]:
    """Texts under headings in capitals ("FAILED CRITERIA:"), by heading. A heading ends what stands before it."""
    found = list(_HEADING.finditer(instruction))
    ends = [match.start() for match in found[1:]] + [len(instruction)]
    return {match[1].strip(): instruction[match.end() : end].strip() for match, end in zip(found, ends)}


def improve(instruction: str) -> Tuple[str, str]:
    """The positive and the negative prompt anew, from the sections of an improvement request."""
    parts = sections(instruction)
    positive, negative = _section(parts, "POSITIVE"), _section(parts, "NEGATIVE")
    for line in _failed(parts):
        positive, negative = _for_failed(line, positive, negative)
    return positive, negative


def suggest(instruction: str) -> Dict[str, Any]:
    """Steps, sampler_name and scheduler, None to keep them: noise and blur are the one thing that steps can help."""
    parts = sections(instruction)
    steps = _number("steps", instruction)
    stays_failed = any(_STAYS.search(line) for line in _failed(parts))
    more: Optional[int] = min(MOST_STEPS, steps + 4) if stays_failed and steps and steps < MOST_STEPS else None
    reason = "more steps leave less blur and noise" if more else "nothing measured speaks for other settings"
    return {"reason": reason, "steps": more, "sampler_name": None, "scheduler": None}


def _failed(parts: Dict[str, str]) -> List[str]:
    """The failed criteria: the list's lines, not the prose that may follow it."""
    return [line for line in _section(parts, "FAILED").splitlines() if re.match(r"\s*([-*•]|\d+[.)])\s", line)]


def _section(parts: Dict[str, str], word: str) -> str:
    """The first section whose heading holds `word` and does not speak of terms that must stay in or out."""
    text = next((text for heading, text in parts.items() if word in heading and "TERMS" not in heading), "")
    return "" if text.lower() in _NOTHING else text


def _for_failed(line: str, positive: str, negative: str) -> Tuple[str, str]:
    question = re.split(r"\bSeen:|\bWanted:", line)[0]
    wanted = _wanted(line) or [f.phrase for f in find(words_of(question)) if not f.negated]
    if _STAYS.search(question):
        more, less = _CALMING
        return _add(positive, more), _add(negative, less)
    unwanted = [f.phrase for f in find(words_of(question)) if f.negated]
    unwanted += [opposite for term in wanted for opposite in _opposites(term)]
    for term in wanted[:MOST_ADDED]:
        positive = _strengthen(positive, term)
    return positive, _add(negative, tuple(unwanted[:MOST_ADDED]))


def _wanted(line: str) -> List[str]:
    said = re.search(r"\bWanted:\s*(.*?)\.?\s*$", line)
    return [term.strip() for term in said[1].split(",") if term.strip()] if said else []


def _opposites(term: str) -> List[str]:
    names = []
    for found in find(words_of(term)):
        for quality, (high, low) in _OPPOSITES.items():
            amount = found.look.get(quality, 0.0)
            names += [low] if amount >= 0.5 else [high] if amount <= -0.5 else []
    return names


def _strengthen(prompt: str, term: str) -> str:
    """Raise the weight of `term` by a step, or add it."""
    weighted = re.compile(r"\(\s*" + re.escape(term) + r"\s*:\s*(\d+(?:\.\d+)?)\s*\)", re.I)
    there = weighted.search(prompt)
    if there:
        weight = min(MOST_WEIGHT, float(there[1]) + WEIGHT_STEP)
        return weighted.sub(f"({term}:{weight:.1f})", prompt, count=1)
    bare = re.compile(r"(?<![\w(])" + re.escape(term) + r"(?![\w):])", re.I)
    if bare.search(prompt):
        return bare.sub(f"({term}:{FIRST_WEIGHT})", prompt, count=1)
    return _add(prompt, (term,))


def _add(prompt: str, terms: Tuple[str, ...]) -> str:
    missing = [t for t in dict.fromkeys(terms) if not re.search(r"\b" + re.escape(t) + r"\b", prompt, re.I)]
    return ", ".join([part for part in (prompt.strip().rstrip(","), *missing) if part])


def _number(name: str, text: str) -> Optional[int]:
    found = re.search(r"\b" + name + r"\W{1,3}(\d+)", text)
    return int(found[1]) if found else None
