"""A prompt to what it asks for: phrases with weights, summed into one look. Pure.

The syntax is ComfyUI's: `(term:1.3)` weighs a term, `(term)` is `(term:1.1)`, brackets nest, `\\(` is a plain bracket.
Words that the vocabulary lacks ask for nothing here, as words a checkpoint never learned would.
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Tuple

from .vocabulary import find, words_of

BRACKET_WEIGHT = 1.1  # ComfyUI, comfy/sd1_clip.py: token_weights
NEGATIVE_FORCE = 0.5  # a negative prompt pushes away less than a positive one pulls
_CLAMP = 1.3  # words of one meaning add up only this far
_PIECE = re.compile(r"\\[()]|[()]|[^()\\]+|\\")
_WEIGHT = re.compile(r":\s*([-+]?\d*\.?\d+)\s*$")


def weighted(prompt: str) -> Iterator[Tuple[str, float]]:
    """Each comma-separated term with its weight."""
    for text, weight in _brackets(prompt):
        for term in re.split(r"[,;\n.]", text):
            if term.strip():
                yield term.strip(), weight


def wish(positive: str, negative: str) -> Dict[str, float]:
    """The look that both prompts ask for together. Synonyms add up with diminishing returns."""
    pull, push = _sum(positive), _sum(negative)
    names = {*pull, *push}
    total = {name: pull.get(name, 0.0) - NEGATIVE_FORCE * push.get(name, 0.0) for name in sorted(names)}
    signed = ("light", "contrast", "warmth", "saturation", "sharpness")
    return {name: max(-_CLAMP if name in signed else 0.0, min(_CLAMP, value)) for name, value in total.items()}


def _sum(prompt: str) -> Dict[str, float]:
    """For each quality the strongest term counts in full, further ones by a quarter."""
    shares: Dict[str, List[float]] = {}
    for term, weight in weighted(prompt):
        for found in find(words_of(term)):
            for name, amount in found.look.items():
                shares.setdefault(name, []).append(amount * weight * (-1 if found.negated else 1))
    return {name: _pooled(values) for name, values in shares.items()}


def _pooled(values: List[float]) -> float:
    strongest = max(values, key=abs)
    return strongest + 0.25 * (sum(values) - strongest)


def _brackets(prompt: str) -> Iterator[Tuple[str, float]]:
    """Runs of text at one bracket depth, weighed. An explicit weight replaces the brackets' own, as in ComfyUI."""
    stack = [1.0]
    pieces = _PIECE.findall(prompt)
    for index, piece in enumerate(pieces):
        if piece == "(":
            stack.append(stack[-1] * _weight_ahead(pieces[index + 1 :]))
        elif piece == ")":
            stack = stack[:-1] or [1.0]
        else:
            yield _WEIGHT.sub("", piece) if len(stack) > 1 else piece.replace("\\", ""), stack[-1]


def _weight_ahead(pieces: List[str]) -> float:
    """The weight of the bracket that has just opened: the number before its closing, else 1.1."""
    depth = 0
    for index, piece in enumerate(pieces):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if depth < 0:
            said = _WEIGHT.search(pieces[index - 1]) if index else None
            return float(said[1]) if said else BRACKET_WEIGHT
    return BRACKET_WEIGHT
