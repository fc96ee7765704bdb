"""Hints on wording: two questions in one, negations, questions that help no criterion, questions asked twice. Pure.

These are guesses from the words alone, made for English, so none of them is more than a hint.
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, Set, Tuple

from .config import Keys
from .findings import Remark
from .model import Criterion, Question, Rules

_COMPARED = re.compile(r"\bthe (original|result) and the (original|result)\b", re.IGNORECASE)
_SIDE_CLAUSE = re.compile(r"\b(that|which|who|than|such as|apart from|free of|from)\b.*?([,?.]|$)", re.IGNORECASE)
_NEGATED = re.compile(
    r"\b(isn't|aren't|doesn't|don't|hasn't|haven't|can't|cannot|never|without|nothing|nobody|none)\b"
    r"|^(is|are|does|do|has|have|can) (?:[\w'-]+ ){0,6}?(no|not)\b",
    re.IGNORECASE,
)
_NEGATED_TERM = re.compile(r"^(no|not|without|never|non)\b(?!-)", re.IGNORECASE)
_COMMON = frozenset(  # words that say nothing about what a question is about
    re.findall(
        r"\w+",
        """
    about after all along also and any apart are area areas been being both but can cannot compare compared
    could describe described description did different differs does each else ever exactly far few for free from
    full give has have hold how image its itself like list look looks made main many missing more most much name
    none not nothing null number object objects one only original other part parts picture place please result
    results same say see seem seems seen shape share should show shows some still such take than that the their
    them then there these they thing things this those visible was way well were what when where whether which
    while who whole whose why will with within word words would you your
    """,
    )
)
_ALIKE = {
    **dict.fromkeys(("people", "persons", "face", "faces", "facial"), "person"),
    **dict.fromkeys(("clothes", "dress", "wearing", "worn"), "clothing"),
    **dict.fromkeys(("color", "colors"), "colour"),
}


def wording_remarks(rules: Rules) -> Iterator[Remark]:
    """Everything that the words of questions and criteria suggest."""
    useful = {word for criterion in rules.acceptance_criteria for word in _words_of(criterion)}
    seen: Dict[str, Tuple[str, str]] = {}
    for index, criterion in enumerate(rules.acceptance_criteria):
        keys: Keys = ("acceptance_criteria", index)
        yield from (remark.below(*keys) for remark in _of_one(criterion))
        yield from (remark.below(*keys) for remark in _asked_twice(criterion, "criterion", seen))
        yield from (remark.below(*keys) for remark in _negated_terms(criterion))
    for index, question in enumerate(rules.questions):
        keys = ("questions", index)
        yield from (remark.below(*keys) for remark in _of_one(question, judged=False))
        yield from (remark.below(*keys) for remark in _asked_twice(question, "question", seen))
        words = _words_of(question)
        if words and not words & useful:
            reason = f"{question.field} shares no word with any criterion: nothing may depend on its answer"
            advice = "leave it out, or ask for what a criterion needs to know"
            yield Remark("hint", "question-unused", keys, reason, advice)


def _of_one(question: Question, judged: bool = True) -> Iterator[Remark]:
    if asks_two_things(question):
        reason = f"{question.field} seems to ask two things; a failure would not tell which of them failed"
        yield Remark("hint", "asks-two-things", ("question",), reason, "split it, each part with a field of its own")
    if judged and question.type == "boolean" and is_negated(question.question):
        reason = f"{question.field} asks in the negative, which models often answer the wrong way round"
        advice = 'put it so that "yes" is what you want: "Is the result free of …?"'
        yield Remark("hint", "asks-in-the-negative", ("question",), reason, advice)


def asks_two_things(question: Question) -> bool:
    """Say whether a question joins two: "and" (in a yes-or-no question also "or"), or two question marks.

    A list may be asked for with "and"; so may a comparison of the original and the result.
    """
    text = re.sub(r"\([^)]*\)", "", _COMPARED.sub("both", question.question))
    if text.count("?") > 1:
        return True
    joins = r"\b(and|or|as well as)\b" if question.type == "boolean" else r"\band (what|how|which|who|where|is|are)\b"
    return question.type != "array" and re.search(joins, _SIDE_CLAUSE.sub("", text), re.IGNORECASE) is not None


def is_negated(text: str) -> bool:
    """Say whether a yes-or-no question asks for the absence of something by negating, side clauses aside."""
    return _NEGATED.search(_SIDE_CLAUSE.sub("", re.sub(r"\([^)]*\)", "", text)).strip()) is not None


def _asked_twice(question: Question, kind: str, seen: Dict[str, Tuple[str, str]]) -> Iterator[Remark]:
    text = " ".join(re.findall(r"\w+", question.question.casefold()))
    if text in seen:
        field, other = seen[text]
        reason = f"asks the same as the {other} {field}"
        advice = 'ask what is there instead (not "Is it a suit?" but "What is worn?"), or leave one out'
        yield Remark("hint", "asked-twice", ("question",), reason, advice)
    seen.setdefault(text, (question.field, kind))


def _negated_terms(criterion: Criterion) -> Iterator[Remark]:
    advice = {
        "must_include": "name what is to be seen; what is not wanted belongs in ban_terms",
        "ban_terms": "name the thing alone: the negative prompt says no already",
    }
    for name, what in advice.items():
        for index, term in enumerate(getattr(criterion, name)):
            if _NEGATED_TERM.match(term.strip()):
                reason = f'"{term}" is a negation; image models paint what they read'
                yield Remark("hint", "term-negated", (name, index), reason, what)


def _words_of(question: Question) -> Set[str]:
    """The words that say what a question is about, cut to a stem of five letters; with a criterion's terms."""
    texts = [question.field.replace("_", " "), question.question, *(str(member) for member in question.enum or ())]
    if isinstance(question, Criterion):
        texts += [*question.must_include, *question.ban_terms]
    words = (_ALIKE.get(word, word) for word in re.findall(r"[^\W\d_]{3,}", " ".join(texts).casefold()))
    return {word[:5] for word in words if word not in _COMMON}
