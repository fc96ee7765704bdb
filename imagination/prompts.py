"""Templates to VLM instructions; project overrides laid over defaults. Pure, but for reading the files it is given.

A template uses `{name}` for the names it is given and nothing else: other braces are text, `{{name}}` is a literal
`{name}`, and what is filled in is never looked at again, so a model's answer cannot pull anything in. The names of each
template, and which of them it cannot do without, are `TEMPLATES`.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from .config import Document
from .errors import ConfigError
from .model import Attempt, Criterion, Question, Value

NOTHING = "(none)"
# characters: what a request may tell of the criteria that failed, and of one earlier picture. Thirty criteria with long
# reasons, told of three pictures, would overflow the context that is asked for
OUTCOMES_TEXT, ATTEMPT_TEXT = 6000, 2000
REASON_TEXT = (400, 200, 100, 50, 25)  # of one reason, the first that fits: as much as is asked for, then less

# template: names it must use, names it may use
TEMPLATES: Mapping[str, Tuple[Tuple[str, ...], Tuple[str, ...]]] = {
    "describe": ((), ()),
    "questions": (("questions", "shape"), ("description",)),
    "evaluation": (("criteria", "shape"), ("answers", "description")),
    "second_look": (("criteria", "shape"), ("answers", "description")),
    "comparison": (("shape",), ("description",)),
    "combined": (("questions", "criteria", "shape"), ("description",)),
    "duel": (("criteria", "shape"), ("description",)),
    "improvement": (
        ("positive", "negative", "failed", "shape"),
        ("passed", "comparison", "required", "banned", "avoided", "description", "notes", "best", "worst"),
    ),
    "suggestion": (("settings", "similarity", "shape"), ("failed", "samplers", "schedulers")),
    "rules_suggestion": (("rules", "shape"), ("guidelines", "notes")),
}
_NAME = re.compile(r"\{\{([A-Za-z_]\w*)\}\}|\{([A-Za-z_]\w*)\}")


class Templates:
    """The texts in force, checked when made: a run does not die at iteration 3 of a typing error in prompts.yaml."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = dict(texts)

    @classmethod
    def merge(cls, documents: Sequence[Document]) -> Tuple[Templates, Tuple[str, ...]]:
        """Lay the documents over each other, the last on top. Returns warnings of unknown keys as well.

        Raises ConfigError naming file, line, key and the valid names for every unknown or missing name.
        """
        texts: Dict[str, str] = {}
        problems: List[str] = []
        warnings: List[str] = []
        for document in documents:
            for key, text in document.data.items():
                if key in TEMPLATES:
                    problems += [f"{document.place((key,))} {problem}" for problem in _problems(key, text)]
                    texts[key] = text
                else:
                    near = difflib.get_close_matches(str(key), TEMPLATES, n=1)
                    hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(TEMPLATES)}"
                    warnings.append(f"{document.place((key,))} is not a known template and is ignored{hint}")
        if documents:
            problems += [f"{documents[0].path} lacks {key}" for key in TEMPLATES if key not in texts]
        if problems:
            told = problems[0] if len(problems) == 1 else f"{len(problems)} problems in the prompt templates"
            raise ConfigError(told, "see the comments in defaults/prompts.yaml", problems=problems)
        return cls(texts), tuple(warnings)

    def fill(self, template: str, **values: str) -> str:
        """The text of `template` with `values` in place, in one pass. Names without a value get "(none)"."""
        return _NAME.sub(
            lambda found: "{" + found[1] + "}" if found[1] else values.get(found[2], "").strip() or NOTHING,
            self.texts[template],
        ).strip()


def _problems(key: str, text: str) -> List[str]:
    if not text.strip():
        return ["is empty; leave the key out to use the default text"]
    needed, allowed = TEMPLATES[key]
    used = {found[2] for found in _NAME.finditer(text) if found[2]}
    names = ", ".join([*needed, *allowed]) or "none"
    unknown = [f"uses {{{name}}}; the names it may use are: {names}" for name in sorted(used - {*needed, *allowed})]
    return unknown + [f"must use {{{name}}}; the names it may use are: {names}" for name in needed if name not in used]


def templates_schema() -> Dict[str, Any]:
    """The JSON Schema of prompts.yaml, for editors: each template with the names it may use."""
    texts = {
        key: {
            "type": "string",
            "description": f"Must use: {', '.join(needed) or 'nothing'}. May use: {', '.join(allowed) or 'nothing'}.",
        }
        for key, (needed, allowed) in TEMPLATES.items()
    }
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "prompts.yaml", "type": "object"}
    return {**head, "properties": texts, "additionalProperties": False}


# --- what goes into the templates ---------------------------------------------------------------------------------------


def list_questions(questions: Sequence[Question]) -> str:
    """One line a question: its field, the text, the type asked for."""
    return "\n".join(f"- {q.field}: {_one_line(q.question)} ({_wanted(q)})" for q in questions)


def list_criteria(criteria: Sequence[Criterion]) -> str:
    """One line a criterion. What lets it pass is not told: the examiner marks what is there, not what is hoped for."""
    return "\n".join(f"- {c.field}: {_one_line(c.question)} ({_asked_of_criterion(c)})" for c in criteria)


def list_wanted(criteria: Sequence[Criterion]) -> str:
    """One line a criterion with what meets it: whoever chooses between two pictures has to know what is hoped for."""
    return "\n".join(f"- {_one_line(c.question)} (wanted: {_hoped_for(c)})" for c in criteria)


def list_values(values: Mapping[str, Value], questions: Sequence[Question] = ()) -> str:
    """One line an answer, as JSON, so that nothing in it can look like another line."""
    asked = {q.field: _one_line(q.question) for q in questions}
    return "\n".join(
        f"- {asked.get(field, field)} {'unknown' if value is None else json.dumps(value, ensure_ascii=False)}"
        for field, value in values.items()
    )


def list_outcomes(criteria: Sequence[Criterion], fields: Sequence[str], reasons: Mapping[str, str]) -> str:
    """One line for each of the criteria named by `fields`: the question, what was found, and what the tags want.

    At most OUTCOMES_TEXT characters, as far as cutting what was found brings that about: the rules' own words all stay.
    """
    chosen = [criterion for criterion in criteria if criterion.field in fields]

    def listed(longest: int) -> str:
        return "\n".join(_outcome(c, _cut(_one_line(reasons.get(c.field, "")), longest)) for c in chosen)

    return _within(OUTCOMES_TEXT, listed)


def _outcome(criterion: Criterion, reason: str) -> str:
    line = f"- {criterion.field}: {_one_line(criterion.question)}"
    strength = f"{criterion.edit_strength} strength" if criterion.edit_strength else ""
    wanted = ", ".join(word for word in (criterion.intent, strength) if word)
    line += f" [{wanted}]" if wanted else ""
    line += f" Seen: {reason}" if reason else ""
    return line + (f" Wanted: {', '.join(criterion.must_include)}." if criterion.must_include else "")


def describe_attempt(attempt: Optional[Attempt]) -> str:
    """One picture as a rewriter of prompts needs it: prompt, settings, and what was met and missed.

    At most ATTEMPT_TEXT characters: first the reasons are cut, then the prompt, and the names of criteria last.
    """
    if attempt is None:
        return ""
    prompt = _one_line(attempt.prompts.positive)
    text = _within(ATTEMPT_TEXT, lambda longest: _attempt(attempt, prompt, longest))
    if len(text) > ATTEMPT_TEXT:
        text = _attempt(attempt, _cut(prompt, max(0, len(prompt) - len(text) + ATTEMPT_TEXT)), 0)
    return _cut(text, ATTEMPT_TEXT)


def _attempt(attempt: Attempt, prompt: str, longest: int) -> str:
    found, used = attempt.evaluation, attempt.sampling
    settings = ", ".join(f"{k} {v:g}" for k, v in (("denoise", used.denoise), ("cfg", used.cfg)) if v is not None)
    reasons = {n: _cut(_one_line(found.reasons.get(n, "no reason given")), longest) for n in found.failed_fields}
    missed = "; ".join(f"{name} ({reason})" if reason else name for name, reason in reasons.items())
    return "\n".join(
        [
            f"- positive prompt: {json.dumps(prompt, ensure_ascii=False)} ({settings})",
            f"- met: {', '.join(found.passed_fields) or 'nothing'}",
            f"- missed: {missed or 'nothing'}",
        ]
    )


def _within(most: int, told: Callable[[int], str]) -> str:
    """What `told` says with reasons of the most characters that keep it within `most`; else what it says without any."""
    texts = (told(longest) for longest in REASON_TEXT)
    return next((text for text in texts if len(text) <= most), told(0))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: max(0, longest - 1)].rstrip() + "…" * (longest > 0)


def shape_of(schema: Mapping[str, Any]) -> str:
    """Say in words what JSON the reply must be: servers enforce a schema without showing it to the model."""
    example = {name: _example(part) for name, part in schema["properties"].items()}
    lines = [f"  {_quoted(name)}: {_in_words(part)}" for name, part in schema["properties"].items()]
    return "\n".join(
        [
            "Answer with only one JSON object, nothing before or after it. Its keys, all of them needed:",
            *lines,
            "For example (made-up values): " + json.dumps(example, ensure_ascii=False),
        ]
    )


def _wanted(question: Question) -> str:
    text: str = question.type
    if question.enum:
        text += ", one of " + ", ".join(json.dumps(v, ensure_ascii=False) for v in question.enum)
    if isinstance(question.items, list):
        text += " of " + ", ".join(json.dumps(v, ensure_ascii=False) for v in question.items)
    bounds = [
        f"{word} {value:g}"
        for word, value in (("at least", question.min), ("at most", question.max))
        if value is not None
    ]
    counted = " entries" if question.type == "array" else ""
    return text if question.type == "boolean" or not bounds else f"{text}, {' and '.join(bounds)}{counted}"


def _asked_of_criterion(criterion: Criterion) -> str:
    if criterion.type == "boolean":
        return "true or false"
    if criterion.enum:
        members = ", ".join(json.dumps(v, ensure_ascii=False) for v in criterion.enum)
        return f"{criterion.type}; use one of these words if it is right, else your own: {members}"
    return {"integer": "a whole number", "number": "a number", "array": "a list"}.get(criterion.type, "a short text")


def _hoped_for(criterion: Criterion) -> str:
    if criterion.type == "boolean":
        return "no" if criterion.max is not None and criterion.max < 1 else "yes"
    return _wanted(criterion)


def _in_words(part: Mapping[str, Any]) -> str:
    if part.get("type") == "object":
        inner = ", ".join(f"{_quoted(name)}: {_in_words(sub)}" for name, sub in part["properties"].items())
        return f"an object {{{inner}}}"
    if isinstance(part.get("items"), Mapping) and "properties" in part["items"]:
        return f"list; each entry {_in_words(part['items'])}"
    kinds = part.get("type", "value")
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    words = " or ".join({"boolean": "true or false", "array": "list", "string": "text"}.get(k, k) for k in kinds)
    if part.get("enum"):
        words = "one of " + ", ".join(json.dumps(v, ensure_ascii=False) for v in part["enum"])
    low, high = part.get("minimum"), part.get("maximum")
    return words + (f" from {low:g} to {high:g}" if low is not None and high is not None else "")


def _example(part: Mapping[str, Any]) -> Any:
    if part.get("type") == "object":
        return {name: _example(sub) for name, sub in part["properties"].items()}
    if isinstance(part.get("items"), Mapping) and "properties" in part["items"]:
        return [_example(part["items"])]
    if part.get("enum"):
        return part["enum"][0]
    kinds = part.get("type", "string")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    low = part.get("minimum", 0)
    made_up = {"boolean": False, "integer": int(low), "number": float(low), "array": ["..."]}
    return made_up.get(kind, "...")


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())
