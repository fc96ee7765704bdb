"""Who owns each phrase of the prompts, and what a model's rewrite may do to it. Pure.

A phrase belongs to the user, to the criterion whose tag it is, or to the criterion for which the tool added it. A rewrite
may add phrases and strengthen those of what failed; it may leave out only what the tool added and what has not helped in
two pictures. What else it left out stays: models forget, and a prompt that forgets with them drifts. What stands in one
prompt is not added to the other: a car that is asked for and kept away at once is whatever the sampler makes of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple

from .model import Attempt, Criterion, Move, Prompts
from .shaping import cleared, contains, phrases

MOST_ADDED = 4  # phrases at one go, in each prompt: more, and nobody knows what helped
LONGEST_PHRASE = 16  # words; what is longer is a text, not a phrase
LONG_PROMPT = 60  # words; a CLIP encoder hears 75 tokens at a time, and what comes late is heard least
ENOUGH_TRIED = 2  # pictures in which a phrase may fail to help
STRONGEST, STRONGER = 1.4, 0.1  # weight at most, and what one step may add to it: beyond, pictures burn
LONGEST_TOLD, MOST_TOLD = 100, 8  # characters of a phrase, and phrases, in what is told of them
_TOO_LATE = f"past {LONG_PROMPT} words little is heard"
_WEIGHTED = re.compile(r"^[(\[]+(?P<text>.*?)(?::\s*(?P<weight>\d*\.?\d+))?[)\]]+$")
_WEIGHT = re.compile(r":\s*([-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf))\s*(?=[)\]])", re.IGNORECASE)
_BRACKETS = {")": "(", "]": "["}


@dataclass(frozen=True)
class Revision:
    """Prompts after a rewrite, what changed and why, and the phrases the tool owns now: core of the phrase to field.

    `refused`: what the rewrite brought and was not taken, and why. `remarks`: what is to be said of the prompts as they are.
    """

    prompts: Prompts
    moves: Tuple[Move, ...]
    owned: Dict[str, str]
    refused: Tuple[Move, ...] = ()
    remarks: Tuple[Move, ...] = ()


@dataclass(frozen=True)
class _Side:
    """One of the two prompts after a rewrite; the rest as in `Revision`."""

    texts: List[str]
    moves: List[Move]
    refused: List[Move]
    remarks: List[Move]


def core(phrase: str) -> str:
    """A phrase without weight, brackets and case: `(Red coat:1.3)` is `red coat`."""
    found = _weighted(phrase)
    return " ".join((found["text"] if found else phrase).split()).casefold()


def weight_of(phrase: str) -> float:
    """The weight a phrase is given, 1.0 without one; bare brackets count 1.1 each, as ComfyUI reads them."""
    found = _weighted(phrase)
    if not found:
        return 1.0
    return float(found["weight"]) if found["weight"] else 1.1 ** min(99, len(phrase) - len(phrase.lstrip("(")))


def strengthened(phrase: str) -> str:
    """The phrase one step stronger, e.g. `(sunset:1.1)`."""
    found = _weighted(phrase)
    return f"({found['text'] if found else phrase.strip()}:{min(STRONGEST, weight_of(phrase) + STRONGER):.4g})"


def tamed(phrase: str) -> str:
    """The phrase with no weight, outside or inside, beyond the strongest; no less than none."""
    text = phrase if weight_of(phrase) <= STRONGEST or _WEIGHT.search(phrase) else f"({core(phrase)}:{STRONGEST})"
    return _WEIGHT.sub(lambda found: f":{min(STRONGEST, max(0.0, float(found[1]))):.4g}", text)


def is_phrase(text: str) -> bool:
    """Say whether a text may stand in a prompt among others: short, with a word in it, and every bracket closed.

    An open bracket would swallow what follows it.
    """
    return bool(re.search(r"\w", core(text))) and len(text.split()) <= LONGEST_PHRASE and _is_balanced(text)


def _weighted(phrase: str) -> Optional[re.Match[str]]:
    """The parts of a phrase in brackets; None for `(red) coat (blue)`, whose outer brackets are not one pair."""
    found = _WEIGHTED.match(phrase.strip())
    return found if found and _is_balanced(found["text"]) else None


def _is_balanced(text: str) -> bool:
    opened: List[str] = []
    for char in re.sub(r"\\.", "", text):  # an escaped bracket is a letter
        if char in _BRACKETS.values():
            opened.append(char)
        elif char in _BRACKETS and (not opened or opened.pop() != _BRACKETS[char]):
            return False
    return not opened


def brings_anything(old: Prompts, proposed: Prompts) -> bool:
    """Say whether a rewrite has a phrase that was not in the prompts before, whatever became of it."""
    sides = ((old.positive, proposed.positive), (old.negative, proposed.negative))
    return any(core(each) and not contains(before, core(each)) for before, after in sides for each in _split(after))


class Ledger:
    """Revises the prompts of one run. `owned`: phrases that the tool added so far, by core, with their criterion."""

    def __init__(self, criteria: Sequence[Criterion], owned: Mapping[str, str]) -> None:
        self.criteria = {c.field: c for c in criteria}
        self.owned = dict(owned)

    def revise(self, old: Prompts, proposed: Prompts, history: Sequence[Attempt]) -> Revision:
        """Take of a rewrite what the ledger allows. `history`: the judged pictures, of which the last one is answered."""
        proposed = cleared(proposed, list(self.criteria.values()))
        owned, sides, texts = dict(self.owned), [], {"negative": old.negative}
        for side, other in (("positive", "negative"), ("negative", "positive")):
            revised = self._side(side, getattr(old, side), getattr(proposed, side), texts[other], history, owned)
            texts[side] = ", ".join(revised.texts)
            sides.append(revised)
        still = {core(each) for text in texts.values() for each in phrases(text)}
        return Revision(
            Prompts(**texts),
            tuple(move for side in sides for move in side.moves),
            {name: of for name, of in owned.items() if name in still},
            tuple(move for side in sides for move in side.refused),
            tuple(move for side in sides for move in side.remarks),
        )

    def _side(
        self,
        side: str,
        old: str,
        proposed: str,
        other: str,
        history: Sequence[Attempt],
        owned: Dict[str, str],
    ) -> _Side:
        """One prompt revised; `other` is what the other one will be, or was."""
        failed = history[-1].evaluation.failed_fields
        written = {core(each): each for each in _split(proposed)}
        wanted = {name: text for name, text in written.items() if not _said(text) & _said(other)}
        kept, dropped, stronger = [], [], []  # type: List[str], List[str], List[str]
        for phrase in phrases(old):
            name = core(phrase)
            if name not in wanted and self._is_useless(name, side, history):
                dropped.append(phrase)
            elif name in wanted and self._may_strengthen(phrase, wanted[name], failed):
                kept.append(strengthened(phrase))
                stronger.append(kept[-1])
            else:
                kept.append(phrase)
        known = {core(each) for each in kept} | {core(each) for each in dropped}
        fresh = [text for name, text in wanted.items() if name not in known and not contains(old, name)]
        whole = [text for text in fresh if is_phrase(text)]
        added = [tamed(text) for text in whole[:MOST_ADDED]] if failed else []
        owned.update({core(text): self._owner(text, failed) for text in added})
        texts = self._ordered([*kept, *added], owned) if side == "positive" else [*kept, *added]
        texts, shed = self._shortened(texts, owned)
        gone, late = [s for s in shed if s not in added], [a for a in added if a in shed]
        moves = _told(side, [a for a in added if a not in shed], stronger, dropped, failed)
        moves += _listed(f"{side} prompt: left out", gone, _TOO_LATE)
        elsewhere = [text for name, text in written.items() if name not in wanted and not contains(old, name)]
        refused = [
            *_listed(f"{side} prompt: not added", late, _TOO_LATE),
            *_listed(f"{side} prompt: not added", elsewhere, "it stands in the other prompt"),
            *_listed(
                f"{side} prompt: not added",
                [text for text in fresh if text not in whole],
                "that is no phrase of a prompt",
            ),
        ]
        return _Side(texts, moves, refused, _long(side, texts))

    def _is_useless(self, name: str, side: str, history: Sequence[Attempt]) -> bool:
        """The tool's own phrase whose criterion failed in every one of several pictures that had it, or is gone.

        A picture that nobody looked at, a verdict that was left out, and one that no longer holds are no evidence.
        """
        field = self.owned.get(name)
        if field is None or field not in self.criteria:
            return field is not None
        heard = [a for a in history if a.evaluation.source == "aivis" and field in a.evaluation.criteria_results]
        told = [a for a in heard if field not in a.evaluation.unanswered]
        tried = [a for a in told if name in {core(each) for each in phrases(getattr(a.prompts, side))}]
        return len(tried) >= ENOUGH_TRIED and all(field in a.evaluation.failed_fields for a in tried)

    def _may_strengthen(self, phrase: str, wanted: str, failed: Sequence[str]) -> bool:
        owner = self.owned.get(core(phrase)) or self._tag_is(core(phrase))
        return owner in failed and weight_of(phrase) < min(weight_of(wanted), STRONGEST)

    def _tag_is(self, name: str) -> Optional[str]:
        """The criterion that has a phrase among its tags; a longer one in which it stands is the user's."""
        return next(
            (field for field, c in self.criteria.items() if name in {core(term) for term in c.must_include}), None
        )

    def _tag_of(self, name: str) -> Optional[str]:
        """The criterion of which a tag stands in a phrase."""
        return next(
            (field for field, c in self.criteria.items() if any(contains(name, term) for term in c.must_include)), None
        )

    def _owner(self, phrase: str, failed: Sequence[str]) -> str:
        """The failed criterion that a new phrase is most about; a change before what is kept."""
        words = set(re.findall(r"\w{3,}", phrase.casefold()))

        def nearness(field: str) -> Tuple[int, bool]:
            c = self.criteria[field]
            told = " ".join([field.replace("_", " "), c.question, *c.must_include]).casefold()
            return len(words & set(re.findall(r"\w{3,}", told))), c.intent == "change"

        return max((field for field in failed if field in self.criteria), key=nearness, default="")

    def _ordered(self, texts: Sequence[str], owned: Mapping[str, str]) -> List[str]:
        """Changes first, then the user's own words, then what keeps the rest as it was; each in its order."""

        def rank(text: str) -> int:
            field = owned.get(core(text)) or self._tag_of(core(text))
            intent = self.criteria[field].intent if field in self.criteria else None
            return {"change": 0, "preserve": 2}.get(intent or "", 1)

        return sorted(texts, key=rank)

    def _shortened(self, texts: List[str], owned: Mapping[str, str]) -> Tuple[List[str], List[str]]:
        """Past about 60 words only what the tool added goes, the latest first."""
        kept, shed = list(texts), []  # type: List[str], List[str]
        for text in reversed(texts):
            if sum(len(each.split()) for each in kept) <= LONG_PROMPT:
                break
            if core(text) in owned and self._tag_of(core(text)) is None:
                kept.remove(text)
                shed.append(text)
        return kept, shed


def _split(text: str) -> List[str]:
    """Phrases of a model's prompt: it may write sentences where phrases were asked for."""
    return [part.strip(" .;") for each in phrases(text) for part in re.split(r"[;\n]|\.\s", each) if part.strip(" .;")]


def _said(text: str) -> Set[str]:
    """The bare words of every phrase in a text, those that share a pair of brackets each for itself."""
    bare = re.sub(r"[()\[\]{}\\]", " ", _WEIGHT.sub("", text))
    parts = (" ".join(re.split(r"[\s_-]+", part)).strip(" .") for part in re.split(r"[,;\n]|\.\s", bare))
    return {part.casefold() for part in parts if part}


def _told(
    side: str, added: Sequence[str], stronger: Sequence[str], dropped: Sequence[str], failed: Sequence[str]
) -> List[Move]:
    what = [
        f"{verb} {', '.join(texts)}"
        for verb, texts in (("added", added), ("stronger", stronger), ("dropped", dropped))
        if texts
    ]
    if not what:
        return []
    why = f"for what failed: {', '.join(failed)}" if added or stronger else "it did not help"
    return [Move(what=f"{side} prompt: {'; '.join(what)}", why=why)]


def _listed(what: str, texts: Sequence[str], why: str) -> List[Move]:
    """One move for phrases of the same fate; a text that a model wrote instead of one is told by its beginning."""
    told = (text if len(text) <= LONGEST_TOLD else f"{text[: LONGEST_TOLD - 1]}…" for text in texts[:MOST_TOLD])
    more = [f"{len(texts) - MOST_TOLD} more"] if len(texts) > MOST_TOLD else []
    return [Move(what=f"{what} {', '.join([*told, *more])}", why=why)] if texts else []


def _long(side: str, texts: Sequence[str]) -> List[Move]:
    words = sum(len(each.split()) for each in texts)
    if words <= LONG_PROMPT:
        return []
    why = f"past about {LONG_PROMPT} little of it is heard, but these are your own words and tags"
    return [Move(what=f"{side} prompt has {words} words", why=why)]
