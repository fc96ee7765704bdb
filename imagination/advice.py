"""What in a rules.yaml makes a loop fail later, beyond what its schema says: a record and its document to findings.
Pure but for `look_over`, which reads the file.

Here: names, fields, intents and terms. Which answers pass is `advice_answers`' business, wording `advice_wording`'s.
Source: decisions.md, "Meaning", and defaults/config/rules_guidelines.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

from .advice_answers import criterion_remarks, question_remarks
from .advice_wording import wording_remarks
from .config import Document, Keys, Loaded, load_rules
from .errors import ConfigError
from .findings import Finding, Remark, from_error, from_line, line_of, placed
from .model import Rules, key_of
from .shaping import contains

CRITERIA, QUESTIONS = "acceptance_criteria", "questions"


def look_over(path: Path, project: str = "", text: Optional[str] = None) -> List[Finding]:
    """Everything found in a rules.yaml; what the loader refuses or warns of comes through the same door.

    `text`: what would stand in the file, where that is yet to be written.
    """
    try:
        return advise(load_rules(path, text), project)
    except ConfigError as err:
        return from_error(err, path)


def advise(loaded: Loaded[Rules], project: str = "") -> List[Finding]:
    """Everything found, in the order of the file. `project`: the name of the folder, empty where there is none yet."""
    rules, document = loaded.record, loaded.document
    remarks = [
        *_name(rules, project),
        *_fields(rules, document),
        *_intents(rules),
        *_terms(rules, document),
        *wording_remarks(rules),
    ]
    for index, criterion in enumerate(rules.acceptance_criteria):
        remarks += [remark.below(CRITERIA, index) for remark in criterion_remarks(criterion)]
    for index, question in enumerate(rules.questions):
        remarks += [remark.below(QUESTIONS, index) for remark in question_remarks(question)]
    warnings = [from_line("warning", text, document.path) for text in loaded.warnings]
    return sorted([*warnings, *placed(remarks, document)], key=lambda finding: finding.line)


def _name(rules: Rules, project: str) -> Iterator[Remark]:
    name = rules.project.name
    if project and name and name != project:
        reason = f'is "{name}", but the folder is {project}: the folder counts'
        yield Remark("warning", "name-differs", ("project", "name"), reason, f"write name: {project}")


def _fields(rules: Rules, document: Document) -> Iterator[Remark]:
    """A field in both lists. The same field twice in one list is the loader's to refuse."""
    criteria = {key_of(c.field): index for index, c in enumerate(rules.acceptance_criteria)}
    for index, question in enumerate(rules.questions):
        other = criteria.get(key_of(question.field))
        if other is not None:
            line = line_of(document, (CRITERIA, other, "field"))
            reason = f'"{question.field}" is the field of a criterion as well (line {line})'
            advice = "give the question a field of its own"
            yield Remark("error", "field-in-both", (QUESTIONS, index, "field"), reason, advice)


def _intents(rules: Rules) -> Iterator[Remark]:
    intents = {criterion.intent for criterion in rules.acceptance_criteria}
    for index, criterion in enumerate(rules.acceptance_criteria):
        if criterion.intent is None:
            reason = f"{criterion.field} does not say whether it changes or preserves"
            advice = "add intent: change (the edit you ask for) or intent: preserve (what must stay)"
            yield Remark("warning", "no-intent", (CRITERIA, index), reason, advice)
        elif criterion.intent == "change" and not criterion.must_include and not criterion.ban_terms:
            reason = f"{criterion.field} asks for a change, but names no term for either prompt"
            advice = "add must_include with one or two visible things (or ban_terms, where something has to go)"
            yield Remark("hint", "no-must-include", (CRITERIA, index), reason, advice)
    if intents == {"change"}:
        advice = "add a criterion with intent: preserve for what an edit must not spoil"
        reason = "every criterion changes something: a picture of anything else could pass"
        yield Remark("warning", "only-change", (CRITERIA,), reason, advice)
    if intents == {"preserve"}:
        advice = "add a criterion with intent: change for the edit you want"
        reason = "every criterion preserves: the untouched original would pass"
        yield Remark("warning", "only-preserve", (CRITERIA,), reason, advice)


# --- terms ---------------------------------------------------------------------------------------------------------------


class _Term(NamedTuple):
    text: str
    field: str  # of its criterion
    keys: Keys


def _terms(rules: Rules, document: Document) -> Iterator[Remark]:
    lists = {name: _collected(rules, name) for name in ("must_include", "ban_terms", "avoid_terms")}
    for name, terms in lists.items():
        yield from _empty_or_twice(name, terms)
    required, banned, avoided = lists.values()
    yield from _against(banned, required, "banned", document)
    yield from _against(avoided, required, "avoided", document)
    for term in avoided:
        other = _same(term, banned)
        if other is not None:
            reason = f'"{term.text}" is kept out of both prompts, yet {_named(other, document)} bans it: avoiding wins'
            yield Remark("warning", "term-avoided-and-banned", term.keys, reason, "take it out of one of the two lists")


def _collected(rules: Rules, name: str) -> List[_Term]:
    return [
        _Term(text, criterion.field, (CRITERIA, index, name, position))
        for index, criterion in enumerate(rules.acceptance_criteria)
        for position, text in enumerate(getattr(criterion, name))
    ]


def _empty_or_twice(name: str, terms: Sequence[_Term]) -> Iterator[Remark]:
    seen: Dict[Keys, List[_Term]] = {}
    for term in terms:
        before = seen.setdefault(term.keys[:2], [])
        if not contains(term.text, term.text):
            yield Remark("warning", "term-empty", term.keys, "is a term without a word", "take it out")
        elif _same(term, before):
            yield Remark("hint", "term-twice", term.keys, f'"{term.text}" stands in {name} already', "take one out")
        before.append(term)


def _against(refused: Sequence[_Term], required: Sequence[_Term], how: str, document: Document) -> Iterator[Remark]:
    """Refused terms that are required (an error), or that are part of a required one, which they then work against."""
    for term in refused:
        same = _same(term, required)
        if same is not None:
            reason = f'"{term.text}" is {how} by {term.field}, yet required by {_named(same, document)}'
            advice = "take it out of one of the two lists"
            yield Remark("error", f"term-required-and-{how}", term.keys, reason, advice)
            continue
        for other in required:
            if contains(other.text, term.text):
                whole = f'"{other.text}", which {_named(other, document)} requires'
                reason = f'"{term.text}" is {how} by {term.field}, and is part of {whole}'
                advice = f'name more exactly what is {how}, or put "{other.text}" in other words'
                yield Remark("warning", f"term-in-required-{how}", term.keys, reason, advice)
                break


def _same(term: _Term, terms: Sequence[_Term]) -> Optional[_Term]:
    """The first of `terms` that is the same as `term` to the prompts: case, blanks and hyphens between words aside."""
    return next((t for t in terms if contains(t.text, term.text) and contains(term.text, t.text)), None)


def _named(term: _Term, document: Document) -> str:
    return f"{term.field} (line {line_of(document, term.keys)})"
