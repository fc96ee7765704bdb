"""The tags of the criteria laid over the prompts: by code, not by hope. Pure.

After `shape`, every `must_include` stands in the positive prompt, every `ban_terms` in the negative and not in the
positive, every `avoid_terms` in neither (decisions.md, "Prompt shaping"). Terms are found as whole words, in any case.
A required term that another criterion bans is kept: leaving out what was asked for is the worse of the two.
"""

from __future__ import annotations

import functools
import re
from typing import Dict, Iterable, List, Sequence, Tuple

from .model import Criterion, Prompts


def shape(prompts: Prompts, criteria: Sequence[Criterion]) -> Prompts:
    """Enforce the tags of `criteria` on `prompts` and drop phrases that stand there twice."""
    required, banned, _ = _terms(criteria)
    rest = cleared(prompts, criteria)
    positive, negative = _with(rest.positive, required), _with(rest.negative, banned)
    return Prompts(positive=_distinct(positive), negative=_distinct(negative))


def cleared(prompts: Prompts, criteria: Sequence[Criterion]) -> Prompts:
    """`prompts` without the terms that have no place in them; what is required is not added."""
    required, banned, avoided = _terms(criteria)
    return Prompts(
        positive=_without(prompts.positive, [*banned, *avoided], keep=required),
        negative=_without(prompts.negative, [*avoided, *required], keep=banned),
    )


def _terms(criteria: Sequence[Criterion]) -> Tuple[List[str], List[str], List[str]]:
    """Required, banned and avoided terms, each in one of the lists only: a required one wins, then an avoided one."""
    required = _all(c.must_include for c in criteria)
    avoided = [t for t in _all(c.avoid_terms for c in criteria) if not _names(required, t)]
    banned = [t for t in _all(c.ban_terms for c in criteria) if not _names(required, t) and not _names(avoided, t)]
    return required, banned, avoided


def opening_prompts(description: str, criteria: Sequence[Criterion]) -> Prompts:
    """Prompts for a project that has none: what the picture shows, then what the tags ask for."""
    first = re.split(r"(?<=[.!?])\s", description.strip(), maxsplit=1)[0]
    plain = re.sub(r"[\s,;:.]+$", "", " ".join(first.split()))[:300]
    return shape(Prompts(positive=plain), criteria)


def contains(text: str, term: str) -> bool:
    """Say whether `term` stands in `text` as whole words, in any case."""
    words = _words(term)
    if not words or (term.isascii() and text.isascii() and words[0].lower() not in text.lower()):
        return False  # the second is what is so nearly always, and quickly seen
    return bool(_pattern(term).search(text))


def phrases(text: str) -> List[str]:
    """The comma-separated phrases of a prompt; commas inside brackets do not separate."""
    found, depth, start = [], 0, 0
    for index, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth <= 0:
            found.append(text[start:index])
            start = index + 1
    return [p for p in (phrase.strip() for phrase in [*found, text[start:]]) if p]


def _all(lists: Iterable[Sequence[str]]) -> List[str]:
    seen: Dict[str, str] = {}
    for terms in lists:
        for term in terms:
            if _words(term):
                seen.setdefault(term.strip().casefold(), term.strip())
    return list(seen.values())


def _names(terms: Sequence[str], term: str) -> bool:
    return term.casefold() in {t.casefold() for t in terms}


def _words(term: str) -> List[str]:
    return [word for word in re.split(r"[\s_-]+", term.strip()) if word]


@functools.lru_cache(maxsize=4096)
def _pattern(term: str) -> re.Pattern[str]:
    """Blanks, hyphens and underscores between words are one; the "shirt" of "t-shirt" is no word of its own."""
    words = r"[\s_-]+".join(re.escape(word) for word in _words(term))
    return re.compile(rf"(?<!\w)(?<!\w-){words}(?!\w)(?!-\w)", re.IGNORECASE)


def _with(text: str, terms: Sequence[str]) -> str:
    missing = [term for term in terms if not contains(text, term)]
    return ", ".join([part for part in [text.strip().rstrip(",").rstrip(), *missing] if part])


def _without(text: str, terms: Sequence[str], keep: Sequence[str]) -> str:
    """Cut `terms` out of `text`, but not where they are part of a longer term to keep ("shirt" in "dress shirt").

    Again until nothing is found: what is left around a cut may read as one of the terms.
    """
    before = None
    while before != text:
        before = text
        for term in sorted(terms, key=len, reverse=True):
            text = _cut(text, term, keep)
        text = _tidied(text)
    return text


def _cut(text: str, term: str, keep: Sequence[str]) -> str:
    kept = [match.span() for k in keep for match in _pattern(k).finditer(text)]
    for match in reversed(list(_pattern(term).finditer(text))):
        start, end = match.span()
        if not any(low <= start and end <= high for low, high in kept):
            text = text[:start] + text[end:]
    return text


def _tidied(text: str) -> str:
    """Remove what cutting leaves behind: empty brackets and weights, doubled commas and blanks."""
    before = None
    while before != text:
        before = text
        text = re.sub(r"[(\[{]\s*,*\s*(:\s*[\d.]+)?\s*[)\]}]", "", text)
        text = re.sub(r"[ \t]{2,}", " ", text)
        text = re.sub(r"\s*,(\s*,)+", ",", text)
        text = re.sub(r"([(\[{])\s*,\s*", r"\1", text)
        text = re.sub(r"\s*,\s*(:\s*[\d.]+\s*)?([)\]}])", r"\1\2", text)
        text = re.sub(r"[\s,]+([.;])(?!\d)|\s+(,)", r"\1\2", text)
    return text.strip().strip(",").strip()


def _distinct(text: str) -> str:
    """Drop a phrase that stood before in the same words: what comes first weighs most."""
    parts = phrases(text)
    unique: Dict[str, str] = {}
    for part in parts:
        unique.setdefault(part.casefold(), part)
    return text if len(unique) == len(parts) else ", ".join(unique.values())
