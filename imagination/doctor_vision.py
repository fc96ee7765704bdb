"""The part of `doctor` that asks the vision model's server, and the one about a GPU that both services share.

Whether a provider is fit for a run is for its own `check` to say; here that is told in lines, with what else there is to know.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping, Optional, Sequence, Tuple

from .checkup import WARNING, Check, failed, failure, ok, warning
from .doctor_files import Files, family_of
from .doctor_generator import Sighting, address_in, machine_of
from .errors import ConfigError, VisionBusy, VisionError, VisionTimedOut, VisionUnreachable
from .model import MOST_COST, MOST_COUNTED, Rules, VisionSettings
from .ollama_wire import DEFAULT_NUM_CTX, keep_alive_value, ollama_url, origins, same_model, text_of
from .openrouter import is_public, openrouter_url
from .openrouter_faults import NO_KEY_HINT
from .providers import Wire, clean_key, count, is_sendable, items, mapping
from .services import BUILTIN
from .streams import clean
from .vision import Vision

SIDE = 1024  # px: the longest side of a picture as it is sent
TEXT = 700  # tokens of an instruction without the user's rules
RULE = 60  # tokens of a criterion or question, beside its wording
LETTERS = 3  # to a token, at worst
STEP = 4096
GENERATION_BYTES = {512: 4 * 1024**3, 768: 6 * 1024**3, 1024: 9 * 1024**3}  # of graphics memory, by a checkpoint's side

MENDS = (  # by a part of the provider's warning; the first that is in it
    ("Ollama", "update Ollama: https://ollama.com/download"),
    ("runs in the cloud", "name a model without cloud in AIVis.yaml"),
    (
        "cannot give structured",
        "name a model that can: https://openrouter.ai/models?supported_parameters=structured_outputs",
    ),
    ("limit is used up", "raise the key's limit: https://openrouter.ai/settings/keys"),
    ("free models", "name a paid model in AIVis.yaml, or keep max_iterations low"),
    ("ends on", "name another model in AIVis.yaml in time"),
    ("does not tell whether", "look for vision among its capabilities: ollama show MODEL"),
    ("does not list", "name one of those in AIVis.yaml"),
    ("/models answered", "add /v1 to base_url in AIVis.yaml"),
)


def solo(settings: VisionSettings, fallback: bool) -> VisionSettings:
    """The settings with one of the two providers alone, asked once."""
    alone = {"fallback_provider": None, "fallback_model": None, "fallback_base_url": None, "retries": 0}
    if not fallback:
        return settings.model_copy(update=alone)
    moved = {
        "provider": settings.fallback_provider,
        "model": settings.fallback_model or "",
        "base_url": settings.fallback_base_url,
        "api_key": None,
    }
    return settings.model_copy(update={**alone, **moved})


def look_at_vision(
    files: Files, environ: Mapping[str, str], sighting: Sighting, fallback: bool = False
) -> Iterator[Check]:
    """Ask the provider, or the fallback: what that lacks is a warning, since a run starts without it."""
    assert files.vision is not None
    settings, label = solo(files.vision, fallback), "fallback" if fallback else "vision"
    look = _look_at_openrouter if settings.provider == "openrouter" else _look_at_ollama
    for check in look(label, settings, files.rules, environ, sighting):
        yield _eased(check) if fallback else check


def _eased(check: Check) -> Check:
    return (
        Check(check.name, WARNING, f"cannot step in: {check.text}", check.mend) if check.state == "failure" else check
    )


def _settle(label: str, settings: VisionSettings, environ: Mapping[str, str]) -> Tuple[Sequence[Check], bool]:
    """What the provider's own check says, and whether it would do."""
    try:
        eyes = Vision.from_settings(settings, environ)
        return [warning(f"{label} model", text, mend_for(text)) for text in eyes.preflight()], True
    except (VisionUnreachable, VisionTimedOut, VisionBusy) as err:
        return [failed(f"{label} server", err)], False
    except (VisionError, ConfigError) as err:
        return [failed(f"{label} {'key' if err.hint == NO_KEY_HINT else 'model'}", err)], False


def mend_for(text: str) -> str:
    """What helps against a provider's warning."""
    return next((mend for part, mend in MENDS if part in text), "see the provider and model in AIVis.yaml")


# --- Ollama -------------------------------------------------------------------------------------------------------------


def _look_at_ollama(
    label: str, settings: VisionSettings, rules: Optional[Rules], environ: Mapping[str, str], sighting: Sighting
) -> Iterator[Check]:
    is_builtin = settings.provider == BUILTIN
    name = BUILTIN if is_builtin else settings.model.strip()
    try:
        wire = _ollama_wire(settings, environ)
        version = mapping(wire.get("/api/version").body).get("version")
        if isinstance(version, str):
            yield ok(f"{label} server", clean(f"Ollama {version} at {wire.address}"))
    except (VisionError, ConfigError) as err:
        yield failed(f"{label} server", err)
        return
    warnings, fit = _settle(label, settings, environ)
    if fit and not any("sees images" in check.text for check in warnings):
        told = "the built-in engine measures images" if is_builtin else f"{name} is installed and sees images"
        yield ok(f"{label} model", told)
    yield from warnings
    if fit and not is_builtin:
        shown = mapping(wire.post("/api/show", {"model": name}, quick=True).body)
        yield judge_context(f"{label} context", settings, rules, context_of(shown))
        if label == "vision":
            sighting.model_bytes = _size(wire, name)


def _ollama_wire(settings: VisionSettings, environ: Mapping[str, str]) -> Wire:
    hint = "start Ollama with: ollama serve (or set base_url in AIVis.yaml, or OLLAMA_HOST)"
    if settings.provider == BUILTIN:
        from .sandbox import start_vision

        return Wire("Ollama", str(start_vision()), timeout=settings.timeout, hint=hint)
    key = clean_key(settings.api_key, environ.get("OLLAMA_API_KEY"))
    found, named = _ollama_address(settings, environ), origins(settings.base_url, settings.api_key)
    return Wire("Ollama", found, key=key, timeout=settings.timeout, hint=hint, origins=named)


def _ollama_address(settings: VisionSettings, environ: Mapping[str, str]) -> str:
    return ollama_url(settings.base_url or environ.get("OLLAMA_HOST", ""))


def _size(wire: Wire, name: str) -> int:
    """Bytes of the model on disk, which is about what it takes in memory; 0 where the list does not tell."""
    models = (mapping(model) for model in items(mapping(wire.get("/api/tags").body).get("models")))
    return next((count(model.get("size")) for model in models if same_model(text_of(model.get("name")), name)), 0)


def context_of(shown: Mapping[str, Any]) -> int:
    """The longest context a model was made for, in tokens, from /api/show; 0 where it is not told."""
    info = mapping(shown.get("model_info"))
    return next((count(value) for key, value in info.items() if str(key).endswith(".context_length")), 0)


# --- does it fit? -------------------------------------------------------------------------------------------------------


def picture_tokens(model: str, size: Tuple[int, int] = (SIDE, SIDE)) -> int:
    """What a picture takes of the context (contract: ollama.md §3); for models that are not in there, the most."""
    name = model.lower()
    if "llava" in name:
        return 576
    if re.search(r"llama3\.2-vision|mllama", name):
        return 0
    patch = 32 if re.search(r"qwen3(\.\d)?-?vl|qwen3\.5", name) else 28
    tokens = -(-size[0] // patch) * -(-size[1] // patch)
    return max(1024, tokens) if "qwen" in name else tokens


def instruction_tokens(rules: Optional[Rules]) -> int:
    """About what the longest instruction takes: every criterion and question is in it."""
    asked = [*rules.acceptance_criteria, *rules.questions] if rules else []
    return TEXT + sum(RULE + len(each.question) // LETTERS for each in asked)


def judge_context(name: str, settings: VisionSettings, rules: Optional[Rules], made_for: int) -> Check:
    """Two pictures, the instruction and the answer against `num_ctx`, and against what the model was `made_for` (0: unknown)."""
    num_ctx = count(settings.options.get("num_ctx")) or DEFAULT_NUM_CTX
    sent = 2 * picture_tokens(settings.model) + instruction_tokens(rules)
    room = count(settings.options.get("num_predict")) or settings.max_tokens
    text = f"two pictures and the instruction take about {sent} tokens, an answer up to {room}"
    if 0 < made_for < sent:
        return failure(
            name, f"{text}; {settings.model} was made for {made_for} in all", "name another model in AIVis.yaml"
        )
    if sent + room > num_ctx:
        mend = f"set options: {{num_ctx: {-(-(sent + room) // STEP) * STEP}}} in AIVis.yaml"
        return warning(name, f"{text}; num_ctx is {num_ctx}", mend)
    return ok(name, f"{text}, of {num_ctx}")


# --- OpenRouter ---------------------------------------------------------------------------------------------------------


def _look_at_openrouter(
    label: str, settings: VisionSettings, rules: Optional[Rules], environ: Mapping[str, str], sighting: Sighting
) -> Iterator[Check]:
    """OpenRouter, or a server of its shape, which tells less. The key itself is shown nowhere."""
    url = openrouter_url(settings.base_url or "")
    warnings, fit = _settle(label, settings, environ)
    if fit:
        key = clean_key(settings.api_key, environ.get("OPENROUTER_API_KEY"))
        wire = Wire("OpenRouter", url, key=key, timeout=settings.timeout)
        can = "" if any("structured output" in check.text for check in warnings) else ", and gives structured output"
        if is_public(url):
            yield ok(f"{label} server", f"OpenRouter accepts the key; {limits_left(wire)}")
            yield ok(f"{label} model", f"{settings.model} exists, takes images{can}")
        elif not warnings:
            yield ok(f"{label} server", f"{wire.address} answers and lists {settings.model}")
    yield from warnings


def limits_left(wire: Wire) -> str:
    """What the key may still spend, as GET /key tells it."""
    assert is_sendable(wire.key)
    data = mapping(mapping(wire.get("/key").body).get("data"))
    left, limit = data.get("limit_remaining"), data.get("limit")
    known = [number for number in (left, limit) if isinstance(number, (int, float)) and abs(number) <= MOST_COST]
    told = f"${known[0]:.2f} of ${known[1]:.2f} left" if len(known) == 2 else "it has no limit of its own"
    day = mapping(data.get("free_model_daily_requests"))
    remaining = day.get("remaining")
    is_told = isinstance(remaining, int) and abs(remaining) <= MOST_COUNTED
    return told + (f"; free models today: {remaining} requests left" if is_told else "")


# --- one GPU for both ---------------------------------------------------------------------------------------------------


def sharing(files: Files, environ: Mapping[str, str], sighting: Sighting) -> Sequence[Check]:
    """Say whether ComfyUI and Ollama are on one machine and what that means; nothing where the question does not arise."""
    generation, vision = files.generation, files.vision
    if generation is None or vision is None or vision.provider != "ollama" or re.search(r"[:-]cloud$", vision.model):
        return ()
    generator, eyes = address_in(generation), _ollama_address(vision, environ)
    if not generator or not sighting.device:
        return ()
    if machine_of(generator) != machine_of(eyes):
        return (ok("gpu", "ComfyUI and Ollama are on two machines: neither takes the other's memory"),)
    side = family_of(generation.model.ckpt_name or "")[1]
    unloads = keep_alive_value(vision.keep_alive)[1]
    return (judge_sharing(sighting.device, sighting.model_bytes, GENERATION_BYTES[side], unloads),)


def judge_sharing(device: Mapping[str, Any], model_bytes: int, generation_bytes: int, unloads: bool) -> Check:
    """What one machine for both means. All in bytes; `unloads`: keep_alive is 0."""
    if device.get("type") == "cpu":
        return ok("gpu", "ComfyUI computes on the CPU, so Ollama has a GPU for itself")
    if unloads:
        return ok("gpu", "one GPU for both; keep_alive: 0 unloads the vision model after each iteration")
    total = count(device.get("vram_total"))
    if not total or not model_bytes:
        return ok("gpu", "one machine for both; should memory run out, set keep_alive: 0 in AIVis.yaml")
    needed, there = (model_bytes + generation_bytes) / 1024**3, total / 1024**3
    if needed > there:
        text = f"one GPU for both: they need about {needed:.0f} GB together, and it has {there:.0f} GB"
        return warning("gpu", text, "set keep_alive: 0 in AIVis.yaml: Ollama then makes way after each iteration")
    return ok("gpu", f"one GPU for both, and its {there:.0f} GB hold the two (about {needed:.0f} GB)")
