"""Better rules proposed by a vision model: what it is asked, and what of its reply is fit to be written. Pure.

Only question texts and tags change, and criteria and questions are added; names, types, bounds and the project stay. What
the model writes is data: one line without control characters, bounded in length, checked like the user's own file.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from pydantic import ValidationError

from .advice import look_over
from .config import Keys, load_rules
from .errors import ConfigError
from .findings import Finding
from .judge import Schema, bounded
from .model import Criterion, Question, Ranking, Request, Rules, key_of
from .prompts import Templates, shape_of
from .shaping import contains
from .yaml_edit import Append, CannotEdit, Edit, Exclude, Include, Put, rewrite

CRITERIA, QUESTIONS = "acceptance_criteria", "questions"
LISTS = ("must_include", "ban_terms", "avoid_terms")
WORDS: Mapping[str, Tuple[str, ...]] = {"intent": ("change", "preserve"), "edit_strength": ("low", "medium", "high")}
TYPES = ("string", "integer", "number", "boolean", "array")
KEY_ORDER = ("field", "question", "type", "min", "max", "enum", "items", "intent", "edit_strength", *LISTS)

# characters; a term is for a prompt, a question for one line
LONGEST = {"term": 60, "question": 300, "field": 60, "reason": 300, "notes": 1200}
MOST_READ = 40  # entries of a list in the reply; what is asked for is less
MOST_CHANGES = 60  # proposals looked at: each is tried in the whole file, and more than a person would read is no help
MOST_NOTES = 4000  # characters of people's notes that are sent along


# --- what is asked ------------------------------------------------------------------------------------------------------


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Schema, most: int) -> Schema:
    return {"type": "array", "items": items, "maxItems": most}


def _word(*allowed: str) -> Schema:
    return {"type": "string", "enum": list(allowed)}


_TEXT: Schema = {"type": "string", "maxLength": LONGEST["question"]}
_SHORT: Schema = {"type": "string", "maxLength": LONGEST["term"]}
_TERMS = _list(_SHORT, 3)
_BOUND: Schema = {"type": ["number", "null"]}

SUGGESTIONS = _object(
    changes=_list(
        _object(
            reason=_TEXT,
            field=_SHORT,
            key=_word("question", *WORDS, *LISTS),
            action=_word("set", "add", "remove"),
            value=_TEXT,
        ),
        12,
    ),
    new_criteria=_list(
        _object(
            reason=_TEXT,
            field=_SHORT,
            question=_TEXT,
            intent=_word(*WORDS["intent"]),
            edit_strength=_word(*WORDS["edit_strength"]),
            must_include=_TERMS,
            ban_terms=_TERMS,
            avoid_terms=_TERMS,
        ),
        3,
    ),
    new_questions=_list(
        _object(
            reason=_TEXT,
            field=_SHORT,
            question=_TEXT,
            type=_word(*TYPES),
            min=_BOUND,
            max=_BOUND,
            enum=_list(_SHORT, 8),
        ),
        3,
    ),
    notes={"type": "string", "maxLength": LONGEST["notes"]},
)


def _lenient(schema: Schema) -> Schema:
    """The same for reading: one entry that lacks something, or has a word of its own, must not cost the others."""
    loose = {key: rule for key, rule in schema.items() if key not in ("enum", "maxItems", "maxLength")}
    if "properties" in schema:
        loose["properties"] = {name: _lenient(part) for name, part in schema["properties"].items()}
        loose["required"] = ["changes"] if "changes" in schema["properties"] else []
    if "items" in schema:
        loose["items"] = _lenient(schema["items"])
    return loose


def request(templates: Templates, rules: str, guidelines: str, notes: str) -> Request:
    """What the model is asked. `rules` is the text of rules.yaml, `notes` what people said of earlier results."""
    instruction = templates.fill(
        "rules_suggestion", rules=rules, guidelines=guidelines, notes=notes, shape=shape_of(SUGGESTIONS)
    )
    return Request("rules suggestion", instruction, (), bounded(SUGGESTIONS), _lenient(SUGGESTIONS))


def list_notes(rankings: Sequence[Tuple[str, Ranking]]) -> str:
    """One line a note, best ranked first; of many runs the newest, which come last in `rankings`."""
    lines: List[str] = []
    for run_id, ranking in reversed(rankings):
        ranked = [number for number in ranking.ranking if number in ranking.notes]
        for number in [*ranked, *(n for n in ranking.notes if n not in ranked)]:
            place = f"rank {ranking.ranking.index(number) + 1}" if number in ranked else "not ranked"
            note = tidy(ranking.notes[number])
            lines += [f"- run {run_id}, iteration {tidy(number)[:8]} ({place}): {note[:400]}"] if note else []
    kept, room = [], MOST_NOTES
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join(kept)


# --- what is proposed ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Proposal:
    """One change: what it is, the model's reason, and the edit; or, without one, why it cannot be made."""

    what: str
    reason: str
    edit: Optional[Edit] = None
    fault: str = ""


class _Unfit(Exception):
    """An entry of the reply that cannot become a change; the text says why."""


def tidy(text: object) -> str:
    """A model's text on one line, without control and format characters, surrogates and unassigned ones."""
    spaced = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in str(text))
    return " ".join("".join(c for c in spaced if unicodedata.category(c)[0] != "C").split())


def general_notes(values: Mapping[str, Any]) -> str:
    """The model's general remarks, on one line; empty where it has none."""
    return _cut(tidy(values.get("notes") or ""), LONGEST["notes"])


def proposals(values: Mapping[str, Any], rules: Rules) -> List[Proposal]:
    """Every proposal in a reply to `request`; what is so already is none."""
    found: List[Proposal] = []
    for name, read in (("changes", _changes), ("new_criteria", _criterion), ("new_questions", _question)):
        entries = values.get(name)
        for entry in entries[:MOST_READ] if isinstance(entries, list) else []:
            if not isinstance(entry, Mapping):
                continue
            reason = _cut(tidy(entry.get("reason") or ""), LONGEST["reason"]) or "(no reason given)"
            what = _cut(" ".join(filter(None, (tidy(entry.get(part) or "") for part in ("field", "key")))), 120)
            try:
                found += [Proposal(told, reason, edit) for told, edit in read(entry, rules)]
            except _Unfit as err:
                found.append(Proposal(what or name, reason, fault=str(err)))
    found = _distinct(found)
    more = len(found) - MOST_CHANGES
    if more <= 0:
        return found
    fault = f"only the first {MOST_CHANGES} are looked at; run it again for others"
    return [*found[:MOST_CHANGES], Proposal(f"{more} more", "(the reply goes on)", fault=fault)]


def _distinct(found: Sequence[Proposal]) -> List[Proposal]:
    """Of several changes of the same thing, the first."""
    firsts: Dict[Any, Proposal] = {}
    for proposal in found:
        firsts.setdefault(proposal.edit.keys if isinstance(proposal.edit, Put) else proposal.what, proposal)
    return list(firsts.values())


Told = Iterator[Tuple[str, Edit]]  # an edit, and how it is called


def _changes(entry: Mapping[str, Any], rules: Rules) -> Told:
    keys, item = _place(tidy(entry.get("field") or ""), rules)
    key = {key_of(name): name for name in ("question", *WORDS, *LISTS)}.get(key_of(str(entry.get("key") or "")), "")
    if not key:
        raise _Unfit(f"only the question and the tags ({', '.join([*WORDS, *LISTS])}) may change")
    if key != "question" and not isinstance(item, Criterion):
        raise _Unfit(f"{item.field} is a question and has no {key}")
    removes = key_of(str(entry.get("action") or "")) in ("remove", "delete")
    value = tidy(entry.get("value") or "")
    if key in LISTS:
        return _terms((*keys, key), f"{item.field}.{key}", value, getattr(item, key), removes)
    if removes:
        raise _Unfit(f"{key} can be changed, not taken away")
    return _text((*keys, key), f"{item.field}.{key}", key, value, getattr(item, key))


def _place(field: str, rules: Rules) -> Tuple[Keys, Union[Criterion, Question]]:
    """Where a field stands in the file. A field that a criterion and a question share cannot be meant."""
    lists: Tuple[Tuple[str, Sequence[Union[Criterion, Question]]], ...] = (
        (CRITERIA, rules.acceptance_criteria),
        (QUESTIONS, rules.questions),
    )
    found = [((name, n), x) for name, items in lists for n, x in enumerate(items) if key_of(x.field) == key_of(field)]
    if len(found) != 1:
        raise _Unfit("it stands for a criterion and for a question" if found else "there is no such field")
    return found[0]


def _text(keys: Keys, name: str, key: str, value: str, old: Optional[str]) -> Told:
    if key in WORDS:
        value = value.lower()
        if value not in WORDS[key]:
            raise _Unfit(f"it must be one of {', '.join(WORDS[key])}")
    elif not value or len(value) > LONGEST["question"]:
        raise _Unfit(f"a question has 1 to {LONGEST['question']} characters")
    if value != " ".join((old or "").split()):
        yield (
            f"{name}: {'reword' if key == 'question' else f'{old} -> {value}' if old else f'add {value}'}",
            Put(keys, value),
        )


def _terms(keys: Keys, name: str, value: str, old: Sequence[str], removes: bool) -> Told:
    for term in _split(value):
        there = [known for known in old if contains(known, term) and contains(term, known)]
        if removes and there:
            yield f'{name}: remove "{there[0]}"', Exclude(keys, there[0])
        elif not removes and not there:
            yield f'{name}: add "{term}"', Include(keys, term)


def _split(value: str) -> List[str]:
    """Terms out of one text: in prompts, a comma stands between two terms."""
    if len(value) > LONGEST["question"]:
        raise _Unfit(f"the terms of one change have at most {LONGEST['question']} characters")
    terms = [part.strip(" \"'[]") for part in value.split(",")]
    terms = [term for term in terms if term]
    if not terms:
        raise _Unfit("there is no term in it")
    for term in terms:
        if len(term) > LONGEST["term"] or not contains(term, term):
            raise _Unfit(f"a term is a few words, at most {LONGEST['term']} characters")
    return terms


def _criterion(entry: Mapping[str, Any], rules: Rules) -> Told:
    """A new criterion: always one that passes when its answer is yes. Other types are the user's to choose."""
    item: Dict[str, Any] = {**_asked(entry, rules), "type": "boolean", "min": 0, "max": 1}
    for key, allowed in WORDS.items():
        word = key_of(str(entry.get(key) or ""))
        if word in allowed:
            item[key] = word
    if "intent" not in item:
        raise _Unfit("it does not say whether it changes or preserves")
    for key in LISTS:
        terms = [term for text in _texts(entry.get(key)) for term in _split(text)]
        if terms:
            item[key] = list(dict.fromkeys(terms))
    yield f"new criterion {item['field']}", Append((CRITERIA,), _checked(item, Criterion))


def _question(entry: Mapping[str, Any], rules: Rules) -> Told:
    kind = key_of(str(entry.get("type") or ""))
    item: Dict[str, Any] = {**_asked(entry, rules), "type": kind if kind in TYPES else "string"}
    if item["type"] in ("integer", "number"):
        bounds: Dict[str, Any] = {key: entry.get(key) for key in ("min", "max")}
        numbers = {key: value for key, value in bounds.items() if _is_number(value)}
        item.update({key: int(value) if value == int(value) else value for key, value in numbers.items()})
    answers = list(dict.fromkeys(_texts(entry.get("enum"))))
    if item["type"] == "string" and len(answers) > 1:
        item["enum"] = answers
    yield f"new question {item['field']}", Append((QUESTIONS,), _checked(item, Question))


def _asked(entry: Mapping[str, Any], rules: Rules) -> Dict[str, Any]:
    """Field and question of something new."""
    field = "_".join(re.findall(r"[^\W_]+", tidy(entry.get("field") or "").lower()))
    if not field or len(field) > LONGEST["field"]:
        raise _Unfit(f"a field has 1 to {LONGEST['field']} letters and digits")
    taken = [x.field for x in (*rules.acceptance_criteria, *rules.questions) if key_of(x.field) == key_of(field)]
    if taken:
        raise _Unfit(f"there is a field {taken[0]} already")
    question = tidy(entry.get("question") or "")
    if not question or len(question) > LONGEST["question"]:
        raise _Unfit(f"a question has 1 to {LONGEST['question']} characters")
    return {"field": field, "question": question}


def _checked(item: Dict[str, Any], kind: Any) -> Dict[str, Any]:
    try:
        kind.model_validate(item)
    except ValidationError as err:
        raise _Unfit(tidy(err.errors(include_url=False)[0]["msg"])) from err
    return item


def _texts(value: Any) -> List[str]:
    texts = [tidy(part) for part in value] if isinstance(value, list) else []
    return [text for text in texts[:MOST_READ] if 0 < len(text) <= LONGEST["term"]]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


# --- what can be written ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """The text with every change that can be made, those changes, and the others with why not."""

    text: str
    taken: Tuple[Proposal, ...]
    left: Tuple[Proposal, ...]  # each with its `fault`


def plan(path: Path, text: str, wanted: Sequence[Proposal], project: str = "") -> Plan:
    """Make the changes one after the other, in the text of `path`; one that does harm is left out.

    Terms are taken out first: one may move from one list to another. `project` is the name of the folder.
    """
    taken: List[Proposal] = []
    left = [proposal for proposal in wanted if proposal.edit is None]
    for proposal in sorted((p for p in wanted if p.edit is not None), key=lambda p: not isinstance(p.edit, Exclude)):
        try:
            made = _made(path, text, proposal, project)
        except ConfigError as err:
            left.append(Proposal(proposal.what, proposal.reason, proposal.edit, tidy(err.message)))
        else:
            text = made
            taken.append(proposal)
    return Plan(text, tuple(taken), tuple(left))


def _made(path: Path, text: str, proposal: Proposal, project: str) -> str:
    """The text with one change made. Raises ConfigError where the file would be the worse for it."""
    assert proposal.edit is not None  # see `plan`
    made = rewrite(text, proposal.edit, KEY_ORDER)
    before, after = load_rules(path, text).record, load_rules(path, made).record
    if after.project != before.project or not _keeps_fields(before, after):
        raise CannotEdit("it would rename or remove something")
    known = {_signature(finding) for finding in look_over(path, project, text)}
    for finding in look_over(path, project, made):
        if finding.severity != "hint" and _signature(finding) not in known:
            raise CannotEdit(f"{finding.key} {finding.reason}")
    return made


def _keeps_fields(before: Rules, after: Rules) -> bool:
    return all(
        [item.field for item in new][: len(old)] == [item.field for item in old]
        for old, new in ((before.acceptance_criteria, after.acceptance_criteria), (before.questions, after.questions))
    )


def _signature(finding: Finding) -> Tuple[str, str]:
    """A finding apart from its place, which moves when a line is added above it."""
    return finding.code, re.sub(r"\(line \d+\)|\[\d+\]|:\d+", "", finding.reason)


__all__ = ["Plan", "Proposal", "general_notes", "list_notes", "plan", "proposals", "request", "tidy"]
