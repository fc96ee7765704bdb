"""What AIVis.yaml has to be warned of before the first request: what has no effect, who sees a secret in it, who is sent one.

It is read by the runs and by `rules suggest`. Each remark names file, line and key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Mapping

from .config import Loaded
from .exposure import HOMES, exposures
from .model import VisionSettings
from .ollama_wire import ollama_url
from .openrouter import is_public, openrouter_url
from .providers import clean_key, parts_of, without_user
from .sessions import is_loopback

PUBLIC = "openrouter.ai"  # itself, which knows more settings than other servers of its shape
# settings of AIVis.yaml and the providers that read them
_READERS = {
    "api": {"ollama"},
    "options": {"ollama"},
    "keep_alive": {"ollama"},
    "data_collection": {PUBLIC},
}


def remarks(vision: Loaded[VisionSettings], environ: Mapping[str, str]) -> List[str]:
    """All of them. `environ` may hold the keys."""
    return [*_idle(vision), *_exposed(vision), *_sent(vision, environ)]


@dataclass(frozen=True)
class _Asked:
    """A provider as the settings name it. `key` is the setting of its address; `own`: it has a key in the file."""

    provider: str
    key: str
    address: str  # as written; empty where it is not
    own: bool

    @property
    def url(self) -> str:
        return openrouter_url(self.address) if self.provider == "openrouter" else ollama_url(self.address)


def _asked(settings: VisionSettings) -> List[_Asked]:
    """The provider and the fallback, as far as they have an address and a key: the built-in engine has neither."""
    own = bool(clean_key(settings.api_key).get_secret_value())
    asked = [_Asked(settings.provider, "base_url", settings.base_url or "", own)]
    if settings.fallback_provider:
        asked.append(_Asked(settings.fallback_provider, "fallback_base_url", settings.fallback_base_url or "", False))
    return [each for each in asked if each.provider in HOMES]


def _idle(vision: Loaded[VisionSettings]) -> List[str]:
    """Settings that were written down but that nothing reads: better told than silently without effect."""
    record = vision.record
    asked = _asked(record)
    readers = {each.provider for each in asked} | {
        PUBLIC for each in asked if each.provider == "openrouter" and is_public(each.url)
    }
    idle = {key: f"is {'/'.join(of)}'s alone" for key, of in _READERS.items() if not of & readers}
    if record.provider == "builtin":
        idle.update(base_url="is not for the built-in engine", api_key="is not for the built-in engine")
    if record.fallback_provider in (None, "builtin"):
        idle["fallback_base_url"] = "goes with a fallback_provider that has an address"
    written = [key for key in idle if key in record.model_fields_set and getattr(record, key) is not None]
    return [f"{vision.document.place((key,))} {idle[key]} and has no effect here" for key in written]


def _exposed(vision: Loaded[VisionSettings]) -> List[str]:
    """A key or a password in the file that others get to see."""
    record, document = vision.record, vision.document
    found = []
    if clean_key(record.api_key).get_secret_value():
        instead = f"put the key into {HOMES.get(record.provider, 'OPENROUTER_API_KEY')} instead"
        found += [f"{document.place(('api_key',))}: {text}" for text in exposures(document.path, "key", instead)]
    for key in ("base_url", "fallback_base_url"):
        address = getattr(record, key) or ""
        if without_user(address) != address:
            instead = "take it out of the address"
            found += [f"{document.place((key,))}: {text}" for text in exposures(document.path, "password", instead)]
    return found


def _sent(vision: Loaded[VisionSettings], environ: Mapping[str, str]) -> List[str]:
    """Addresses of the file that are sent a key: one of the environment, which was not drawn for them, or any in the clear."""
    found = []
    for each in _asked(vision.record):
        host, variable = parts_of(each.url).hostname or "", HOMES[each.provider]
        lent = not each.own and bool(clean_key(None, environ.get(variable)).get_secret_value())
        if not each.address or is_loopback(host) or not (each.own or lent):
            continue
        place = vision.document.place((each.key,))
        if lent and not _is_home(each.provider, host):
            way_out = f"put that server's own key under api_key, or remove {each.key}"
            if each.key != "base_url":  # `api_key` is the provider's
                way_out = f"remove {each.key}, or make that server the provider, with its own key under api_key"
            found.append(f"{place}: the key of {variable} goes to {host}, as {each.key} says; {way_out}")
        if parts_of(each.url).scheme != "https":
            found.append(f"{place}: the key goes to {host} unencrypted; write https:// if that server has it")
    return found


def _is_home(provider: str, host: str) -> bool:
    """Whether the key of the environment was drawn there."""
    home = {"openrouter": PUBLIC, "ollama": "ollama.com"}[provider]
    return host == home or host.endswith(f".{home}")
