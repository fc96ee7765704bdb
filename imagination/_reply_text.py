"""What surrounds an answer in a model's text, taken away (contracts/vlm-replies.md, steps 1 to 4).

`clean` removes special tokens, thinking, an invented next turn and wrappings around the whole text. Objects that are
valid JSON are set aside meanwhile, so that a `</think>` or `User:` inside one of their strings stays where it is.
"""

from __future__ import annotations

import html
import re
from typing import FrozenSet, List, Optional, Tuple

from imagination._jsonish import Strict
from imagination.bounded_json import loads
from imagination.model import key_of

MAX_DECODINGS = 3  # a reply inside a JSON string inside a JSON string …

_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]{0,200}(?:<\|constrain\|>[^<]{0,40})?<\|message\|>")
_CHANNEL_END = re.compile(r"<\|(?:end|return|start|call|channel)\|>")
_THINKING = re.compile(
    r"<\|?(?P<close>/)?\s*(?P<name>think|thinking|thoughts?|reasoning)(?:\s[^<>]{0,80})?\|?>"
    r"|(?P<close2>◁/think▷|\[/THINK\]|<\|end_of_thought\|>|<channel\|>)"
    r"|(?:◁think▷|\[THINK\]|<\|begin_of_thought\|>|<\|channel>thought)",
    re.IGNORECASE,
)
_BOX = re.compile(
    r"<\|begin_of_(?:box|solution)\|>|<(?P<name>answer|final_answer|final|output|response)>", re.IGNORECASE
)
_BOX_END = re.compile(r"<\|end_of_(?:box|solution)\|>|</(?:answer|final_answer|final|output|response)>", re.IGNORECASE)
_NEXT_TURN = re.compile(
    r"^[ \t>*#]*(?P<name>user|human)\b[ \t*]*[:：]"
    r"|^\#{2,}[ \t]*(?:instructions?|user|human|input)\b"
    r"|<\|(?:im_start|start|start_header_id|turn)\|?>\s*user\b|<start_of_turn>\s*user\b"
    r"|<\|user\|?>|<｜User｜>|\[INST\]",
    re.IGNORECASE | re.MULTILINE,
)
_TOKENS = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|<｜[^｜<>\n]{1,40}｜>|</?s>|<(?:bos|eos|pad|unk)>|<think\s*/>"
    r"|<(?:start|end)_of_(?:turn|utterance|image|text)>|\[/?INST\]|<</?SYS>>|\[/?TOOL_CALLS?\]"
    r"|</?(?:tool_calls?|function_calls?|tool_response|invoke)\b[^<>]{0,200}>|<function=[^<>]{0,80}>|</function>",
    re.IGNORECASE,
)
_ROLE = re.compile(
    r"\A\s*(?:\#+[ \t]*)?\**(?P<name>assistant|model|ai|bot|response)\**[ \t]*(?:[:：]\**|\r?\n)", re.IGNORECASE
)
_ASIDE = re.compile(r"\x00(\d+)\x00")
_FENCE = re.compile(r"\A(?:`{3,}[\w-]*\s*|`)|\s*`{1,}\s*\Z")
_ENTITY_QUOTES = re.compile(r"&(?:amp;)*(?:quot|apos|#0*34|#0*39|#x0*22|#x0*27);", re.IGNORECASE)
_UNESCAPES = {"n": "\n", "t": "\t"}


def clean(text: str, names: FrozenSet[str]) -> Tuple[str, Tuple[str, ...]]:
    """Return what is left of `text` and what was done to it. Tags that are a property's name in `names` stay."""
    done: List[str] = []
    text = text.replace("\x00", "")
    for _ in range(MAX_DECODINGS + 1):
        text = _strip(text, names, done)
        inner = _decoded(text) if done.count("string decoded") < MAX_DECODINGS else None
        if inner is None:
            break
        done.append("string decoded")
        text = inner.replace("\x00", "")
    return text, tuple(dict.fromkeys(done))


def _strip(text: str, names: FrozenSet[str], done: List[str]) -> str:
    text = text.lstrip("\ufeff")
    if _without_markup(text, names, []) == text:
        return text
    aside = Strict(text).objects() if "{" in text else []
    parts, start = [], 0
    for number, found in enumerate(aside):
        parts += [text[start : found.start], f"\x00{number}\x00"]
        start = found.end
    bare = _without_markup("".join(parts) + text[start:], names, done)
    return _ASIDE.sub(lambda m: text[aside[int(m.group(1))].start : aside[int(m.group(1))].end], bare)


def _without_markup(text: str, names: FrozenSet[str], done: List[str]) -> str:
    for name, step in _STEPS:
        after = step(text, names)
        if after != text:
            done.append(name)
            text = after
    return text


def _is_property(match: re.Match[str], names: FrozenSet[str]) -> bool:
    return key_of(match.groupdict().get("name") or "") in names


def _final_channel(text: str, names: FrozenSet[str]) -> str:
    """Keep the last `final` channel; other channels are thinking."""
    channels = list(_CHANNEL.finditer(text))
    if not channels:
        return text
    finals = [channel for channel in channels if channel.group(1).casefold() == "final"]
    if not finals:
        return text[: channels[0].start()]
    end = _CHANNEL_END.search(text, finals[-1].end())
    return text[finals[-1].end() : end.start() if end else len(text)]


def _without_thinking(text: str, names: FrozenSet[str]) -> str:
    """Drop thinking; before a lone closing tag everything is thinking, after a lone opening tag too."""
    kept: List[str] = []
    start, thinking = 0, False
    for tag in _THINKING.finditer(text):
        if _is_property(tag, names):
            continue
        if tag.group("close") or tag.group("close2"):
            kept = kept if thinking else []
            start, thinking = tag.end(), False
        elif not thinking:
            kept.append(text[start : tag.start()])
            thinking = True
    return "".join(kept) + ("" if thinking else text[start:])


def _last_box(text: str, names: FrozenSet[str]) -> str:
    boxes = [box for box in _BOX.finditer(text) if not _is_property(box, names)]
    if not boxes:
        return text
    end = _BOX_END.search(text, boxes[-1].end())
    return text[boxes[-1].end() : end.start() if end else len(text)]


def _first_turn(text: str, names: FrozenSet[str]) -> str:
    """Cut what the model invents as the user's next turn; a user's line that opens the text is no next turn."""
    for turn in _NEXT_TURN.finditer(text):
        if text[: turn.start()].strip() and not _is_property(turn, names):
            return text[: turn.start()]
    return text


def _without_tokens(text: str, names: FrozenSet[str]) -> str:
    """Remove special tokens and tool-call tags, then the role's name that they leave at the start."""
    text = _TOKENS.sub("", text)
    role = _ROLE.match(text)
    return text[role.end() :] if role and not _is_property(role, names) else text


_STEPS = (
    ("channel kept", _final_channel),
    ("thinking removed", _without_thinking),
    ("box kept", _last_box),
    ("next turn cut", _first_turn),
    ("markup removed", _without_tokens),
)


def _decoded(text: str) -> Optional[str]:
    """Undo a wrapping of the whole text: a JSON string, escaped quotes, HTML entities. None where there is none."""
    core = _FENCE.sub("", text.strip()).strip()
    if core[:1] == '"':
        try:
            whole = loads(core, strict=False)
        except ValueError:
            whole = None
        if isinstance(whole, str):
            return whole
    inner = core[core[:1] == '"' :]
    inner = inner[:-1] if inner[-1:] == '"' and inner[-2:] != '\\"' else inner
    if '\\"' in inner and not re.search(r'(?<!\\)"', inner):
        return re.sub(r'\\(["nt\\])', lambda m: _UNESCAPES.get(m.group(1), m.group(1)), inner)
    if '"' not in core and _ENTITY_QUOTES.search(core):
        return html.unescape(core)
    return None
