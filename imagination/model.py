"""The frozen records everything else speaks in. No logic beyond what a record can say about itself.

Records that come from a file or a reply are pydantic models (`Frozen`): one definition gives validation, the JSON Schema
for editors and the error with its dotted key. Records that only live in memory are frozen dataclasses. Names are those of
the files and of ComfyUI's inputs. Sizes are (width, height) in px, times are seconds, pictures are PNG `bytes`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from typing_extensions import Annotated, Literal

Scalar = Union[bool, int, float, str]
Value = Union[None, bool, int, float, str, List[Any], Dict[str, Any]]
AnswerType = Literal["string", "integer", "number", "boolean", "array"]
SAMPLING_FIELDS = ("denoise", "cfg", "steps", "seed", "sampler_name", "scheduler")
MOST_ITERATIONS = 100_000  # a hundred days of a fast GPU
LONGEST_QUESTION, LONGEST_TERM = 2000, 200  # characters
MOST_TERMS = 100  # in one list
MAX_SEED = 2**64 - 1  # KSampler's own limit (ComfyUI object_info)
MOST_COUNTED, MOST_COST, MOST_SECONDS = 10**15, 1e9, 1e9  # of a run: requests or tokens, USD, s; more on disk is damage


class Frozen(BaseModel):
    """Base of every record read from a file or a reply: immutable; unknown keys are reported by `config`, not here.

    Strict, so that a `yes` is no cfg of 1.0 and a quoted "25" no number of steps.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", protected_namespaces=(), allow_inf_nan=False)


Count = Annotated[int, Field(ge=0, le=MOST_COUNTED)]
Seconds = Annotated[float, Field(ge=0, le=MOST_SECONDS)]


# --- rules.yaml ------------------------------------------------------------------------------------------------------


_KINDS: Mapping[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool}


class Question(Frozen):
    """A helper question: what the model is asked about each picture before it marks the criteria."""

    field: str = Field(description="Unique identifier; the answer's key in every reply and artefact.")
    question: str = Field(description="The question as the vision model reads it.")
    type: AnswerType = Field("string", description="Type of the answer.")
    min: Optional[float] = Field(None, description="Least value (numbers) or length (arrays).")
    max: Optional[float] = Field(None, description="Greatest value (numbers) or length (arrays).")
    enum: Optional[List[Scalar]] = Field(None, description="Allowed answers.")
    items: Optional[Union[List[Scalar], Dict[str, Any]]] = Field(
        None, description="Arrays only: a list of allowed values, or a JSON Schema for each item."
    )

    @field_validator("field")
    @classmethod
    def _field_is_a_name(cls, value: str) -> str:
        if not key_of(value) or len(value) > 80 or any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise ValueError("a name of 1 to 80 characters with at least one letter or digit")
        return value

    @field_validator("question")
    @classmethod
    def _question_is_asked(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("a question, not an empty text")
        if len(value) > LONGEST_QUESTION:
            raise ValueError(f"a question of at most {LONGEST_QUESTION} characters, which a model can take in")
        return value

    @model_validator(mode="after")
    def _bounds_and_lists_fit_the_type(self) -> Question:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min:g}) must not be above max ({self.max:g})")
        if self.items is not None and self.type != "array":
            raise ValueError(f"items goes with type array, not {self.type}")
        kinds = self.items.get("type", "string") if isinstance(self.items, dict) else "string"
        if not all(isinstance(kind, str) for kind in (kinds if isinstance(kinds, list) else [kinds])):
            raise ValueError("items.type must be a text, such as string")
        if isinstance(self.items, dict) and not isinstance(self.items.get("enum", []), list):
            raise ValueError("items.enum must be a list")
        for key in ("minimum", "maximum", "minLength", "maxLength"):
            if isinstance(self.items, dict) and not isinstance(self.items.get(key, 0), (int, float)):
                raise ValueError(f"items.{key} must be a number")
        if self.enum is not None and not self.enum:
            raise ValueError("enum must name at least one value")
        odd = [value for value in self.enum or [] if not isinstance(value, _KINDS.get(self.type, object))]
        odd += [value for value in self.enum or [] if isinstance(value, bool) and self.type not in ("boolean", "array")]
        if odd:
            raise ValueError(f"enum of type {self.type} cannot hold {odd[0]!r} (put yes, no and numbers in quotes)")
        return self


class Criterion(Question):
    """An acceptance criterion: a question whose answer passes or fails the picture."""

    type: AnswerType = Field("boolean", description="Type of the answer; boolean is the usual one.")
    intent: Optional[Literal["change", "preserve"]] = Field(
        None, description="change: the edit this criterion asks for; preserve: what must stay as it was."
    )
    edit_strength: Optional[Literal["low", "medium", "high"]] = Field(
        None, description="How strong an edit this criterion needs (change) or bears (preserve)."
    )
    must_include: List[str] = Field(default_factory=list, description="Terms kept in the positive prompt.")
    ban_terms: List[str] = Field(
        default_factory=list, description="Terms kept in the negative and out of the positive prompt."
    )
    avoid_terms: List[str] = Field(default_factory=list, description="Terms kept out of both prompts.")

    @field_validator("must_include", "ban_terms", "avoid_terms")
    @classmethod
    def _terms_fit_a_prompt(cls, value: List[str]) -> List[str]:
        if len(value) > MOST_TERMS or any(len(term) > LONGEST_TERM for term in value):
            raise ValueError(f"at most {MOST_TERMS} terms of at most {LONGEST_TERM} characters: a prompt holds no more")
        return value


class ProjectSettings(Frozen):
    """`project:` in rules.yaml."""

    name: str = Field("", description="Project name; the project's folder wins where they differ.")
    max_iterations: int = Field(ge=1, le=MOST_ITERATIONS, description="The most pictures a run may make.")
    disable_general_notes: bool = Field(False, description="Leave general notes out of `rules suggest`.")
    strategy: Literal["adaptive", "spec"] = Field(
        "adaptive",
        description="adaptive: settings from an estimate of where every criterion passes; spec: small steps by likeness.",
    )
    confirmations: Optional[int] = Field(
        None, ge=0, le=50, description="Further looks at a picture that seems to pass. Default: 5; under spec 0."
    )
    judge_check: Optional[bool] = Field(
        None, description="Try the judge on the unedited original first. Default: true; under spec false."
    )
    stop_on_conflict: Optional[bool] = Field(
        None, description="End the run when two criteria rule each other out. Default: true; under spec false."
    )
    final_comparison: Optional[bool] = Field(
        None, description="Without a pass, compare the best three in pairs. Default: true; under spec false."
    )
    max_cost: Optional[float] = Field(
        None, gt=0, description="End the run when its vision calls have cost this much, in USD."
    )
    max_minutes: Optional[float] = Field(None, gt=0, description="End the run when it has worked this many minutes.")

    def has(self, part: Literal["judge_check", "stop_on_conflict", "final_comparison"]) -> bool:
        """Say whether a part is on: as its key says, else with every strategy but the spec's."""
        told: Optional[bool] = getattr(self, part)
        return self.strategy != "spec" if told is None else told

    @property
    def looks(self) -> int:
        """The most further looks at one picture."""
        if self.confirmations is not None:
            return self.confirmations
        return 0 if self.strategy == "spec" else 5


class Rules(Frozen):
    """rules.yaml: what the picture must become, and how that is judged."""

    project: ProjectSettings
    acceptance_criteria: List[Criterion] = Field(description="All of these must pass.")
    questions: List[Question] = Field(default_factory=list, description="Asked first, to help the judgement.")

    @field_validator("acceptance_criteria")
    @classmethod
    def _something_to_reach(cls, value: List[Criterion]) -> List[Criterion]:
        if not value:
            raise ValueError("at least one criterion: without one every picture would pass")
        return value


# --- AIGen.yaml ------------------------------------------------------------------------------------------------------


class Parameters(Frozen):
    """KSampler inputs as configured. None: the workflow's own value stays (for `seed`: drawn for each iteration)."""

    denoise: Optional[float] = Field(None, ge=0.0, le=1.0, description="0 keeps the input image, 1 forgets it.")
    cfg: Optional[float] = Field(None, ge=1.0, le=20.0, description="Classifier-free guidance scale.")
    steps: Optional[int] = Field(None, ge=1, le=10000, description="Sampling steps.")
    seed: Optional[int] = Field(None, ge=0, le=MAX_SEED, description="null: drawn anew for each iteration.")
    sampler_name: Optional[str] = Field(
        None, min_length=1, description="As ComfyUI's KSampler lists it, e.g. dpmpp_2m."
    )
    scheduler: Optional[str] = Field(None, min_length=1, description="As ComfyUI's KSampler lists it, e.g. karras.")


class ModelSettings(Frozen):
    """`model:` in AIGen.yaml."""

    ckpt_name: Optional[str] = Field(None, min_length=1, description="Checkpoint file as ComfyUI lists it.")


class ComfyUISettings(Frozen):
    """`comfyui:` in AIGen.yaml: where the server is and how long its silence is borne."""

    host: str = Field(
        "localhost", min_length=1, description="Host, host:port or URL; `builtin` runs the built-in engine."
    )
    port: int = Field(8188, ge=1, le=65535, description="Port, unless host already names one.")
    timeout: float = Field(
        300.0, gt=0, le=86400, description="Seconds of silence from a working server before giving up."
    )


class Prompts(Frozen):
    """Text conditioning: the inputs of the two text encoders."""

    positive: str = Field(
        "", description="What the picture should show. Empty: made from the description and the tags."
    )
    negative: str = Field("", description="What it should not show.")


class InputSettings(Frozen):
    """`input:` in AIGen.yaml."""

    max_megapixels: Optional[float] = Field(1.0, gt=0, description="Scale larger inputs down to this; null: never.")


Lockable = Literal["denoise", "cfg", "steps", "sampler_name", "scheduler"]


class Generation(Frozen):
    """AIGen.yaml: how ComfyUI is driven."""

    workflow_file: str = Field(min_length=1, description="Workflow in API format; relative to the project.")
    model: ModelSettings = Field(default_factory=ModelSettings)
    comfyui: ComfyUISettings = Field(default_factory=ComfyUISettings)
    parameters: Parameters = Field(default_factory=Parameters)
    prompts: Prompts = Field(default_factory=Prompts)
    input: InputSettings = Field(default_factory=InputSettings)
    locked: List[Lockable] = Field(default_factory=list, description="Parameters that nothing may change.")


# --- AIVis.yaml ------------------------------------------------------------------------------------------------------

ProviderName = Literal["ollama", "openrouter", "builtin"]


class VisionSettings(Frozen):
    """AIVis.yaml: which vision model judges, and how patiently it is asked."""

    provider: ProviderName = Field(description="ollama, openrouter (or any server of its shape), or builtin.")
    model: str = Field("", description="Model name as the provider lists it.")
    fallback_provider: Optional[ProviderName] = Field(None, description="Asked when the provider fails.")
    fallback_model: Optional[str] = Field(None, description="Model of the fallback provider.")
    api_key: Optional[SecretStr] = Field(None, description="Key of `provider`; else OPENROUTER_API_KEY.")
    base_url: Optional[str] = Field(None, description="Address of `provider`; else OLLAMA_HOST or the public address.")
    fallback_base_url: Optional[str] = Field(None, description="Address of `fallback_provider`.")
    api: Literal["chat", "generate"] = Field("chat", description="Ollama's /api/chat or /api/generate.")
    max_concurrent: int = Field(1, ge=1, le=16, description="Requests of one iteration in flight together.")
    timeout: float = Field(180.0, gt=0, le=3600, description="Seconds until an answer must be there.")
    retries: int = Field(2, ge=0, le=10, description="Further attempts after a failure that may pass.")
    retry_delay: float = Field(5.0, ge=0, le=600, description="Seconds between attempts, unless the server says.")
    max_tokens: int = Field(2048, ge=64, le=131072, description="Length limit of one answer, in tokens.")
    options: Dict[str, Any] = Field(default_factory=dict, description="Ollama options, e.g. num_ctx, temperature.")
    think: Optional[Union[bool, Literal["low", "medium", "high", "max"]]] = Field(
        None, description="Thinking models: false (the default here) answers at once."
    )
    keep_alive: Optional[Union[int, str]] = Field(
        None, description="Ollama: how long the model stays loaded; 0 unloads it after each iteration."
    )
    calls: Literal["staged", "combined"] = Field(
        "staged", description="combined: questions, criteria and comparison in one request; staged: one each."
    )
    data_collection: Optional[Literal["allow", "deny"]] = Field(
        None, description="OpenRouter: deny uses only hosts that do not store what they are sent."
    )

    @field_validator("base_url", "fallback_base_url")
    @classmethod
    def _address_can_be_asked(cls, value: Optional[str]) -> Optional[str]:
        if value is None or not value.strip():
            return None
        text = value.strip()
        try:
            parts = urlsplit(text if "://" in text else f"//{text}")
            fits = bool(parts.hostname) and parts.scheme in ("", "http", "https") and (parts.port or 1) > 0
            fits = fits and "\\" not in text  # which ends the host for some readers, and not for others
            # http:/user:pass@host and http//host, where a slash or the colon is missing
            fits = fits and ("://" in text or "@" not in parts.path) and parts.hostname not in ("http", "https")
        except ValueError:
            fits = False
        if not fits:
            raise ValueError("an address such as http://127.0.0.1:11434")
        if parts.query or parts.fragment:
            raise ValueError("an address without ? and # (a key goes into OPENROUTER_API_KEY or api_key)")
        return value

    @field_validator("options")
    @classmethod
    def _options_are_json(cls, value: Dict[str, Any]) -> Dict[str, Any]:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as err:
            raise ValueError(f"values that JSON can hold ({err})") from err
        wide = [key for key, given in value.items() if isinstance(given, (int, float)) and not abs(given) < 2**63]
        if wide:
            raise ValueError(f"{wide[0]} is a number beyond 64 bits, which no server takes")
        return value

    @model_validator(mode="after")
    def _models_are_named(self) -> VisionSettings:
        if self.provider != "builtin" and not self.model.strip():
            raise ValueError(f"model is missing: name a vision model of {self.provider}")
        if self.fallback_provider and self.fallback_provider != "builtin" and not (self.fallback_model or "").strip():
            raise ValueError(f"fallback_model is missing: name a vision model of {self.fallback_provider}")
        if self.fallback_model and not self.fallback_provider:
            raise ValueError("fallback_model needs fallback_provider beside it")
        return self


# --- in memory: sampling and the vision model's side -----------------------------------------------------------------


@dataclass(frozen=True)
class Sampling:
    """KSampler inputs in force for one iteration. A None is not reachable in the workflow."""

    denoise: Optional[float] = None
    cfg: Optional[float] = None
    steps: Optional[int] = None
    seed: Optional[int] = None
    sampler_name: Optional[str] = None
    scheduler: Optional[str] = None

    def as_dict(self) -> Dict[str, Any]:
        """The six values under ComfyUI's input names, in the order of the spec."""
        return {name: getattr(self, name) for name in SAMPLING_FIELDS}


@dataclass(frozen=True)
class Picture:
    """A picture ready to be sent to a vision model: PNG of at most 1024 px, encoded once."""

    label: str  # what the instruction calls it, e.g. "the original"
    png: bytes = field(repr=False)
    base64: str = field(repr=False)
    size: Tuple[int, int]

    @cached_property
    def sha256(self) -> str:
        """Of its bytes; worked out once, as the same picture goes with several requests."""
        return hashlib.sha256(self.png).hexdigest()


@dataclass(frozen=True)
class Request:
    """One question to a vision model, independent of the provider.

    `schema` is the JSON Schema that the reply must have (None: free text); every property is required in it.
    `accept` is what is read from the reply where that is laxer (None: `schema`), e.g. with reasons left optional.
    """

    purpose: str  # "description", "questions", "evaluation", "comparison", "improvement", "suggestion" …
    instruction: str
    pictures: Tuple[Picture, ...] = ()
    schema: Optional[Mapping[str, Any]] = None
    accept: Optional[Mapping[str, Any]] = None
    look: int = 0  # how often this was asked before: another look gets another seed of the model
    in_parts: bool = False  # a part is an answer: what is left out is asked for by the caller, in other words
    # Told what exchanges took that were not the last, before anything more is sent or waited for; the rest the asker hears
    # with the answer, and books it together with keeping that.
    book: Callable[[Usage], None] = field(default=lambda _: None, repr=False, compare=False)


class Usage(Frozen):
    """What requests to a vision model took. `cost` is in USD, None where no server said."""

    requests: Count = 0
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    cost: Optional[Annotated[float, Field(ge=0, le=MOST_COST)]] = None

    def __add__(self, other: Usage) -> Usage:
        """Both together, at most what a record holds."""
        costs = [c for c in (self.cost, other.cost) if c is not None]
        return Usage(
            requests=min(self.requests + other.requests, MOST_COUNTED),
            prompt_tokens=min(self.prompt_tokens + other.prompt_tokens, MOST_COUNTED),
            completion_tokens=min(self.completion_tokens + other.completion_tokens, MOST_COUNTED),
            cost=min(sum(costs), MOST_COST) if costs else None,
        )

    def __sub__(self, other: Usage) -> Usage:
        """What is left without `other`, never less than nothing: a part may be told of that the whole does not know."""
        return Usage(
            requests=max(0, self.requests - other.requests),
            prompt_tokens=max(0, self.prompt_tokens - other.prompt_tokens),
            completion_tokens=max(0, self.completion_tokens - other.completion_tokens),
            cost=None if self.cost is None else max(0.0, self.cost - (other.cost or 0.0)),
        )


class CallRecord(Frozen):
    """`aivis_metadata`: who answered, after how many attempts, and what went wrong."""

    provider: str
    model: str
    using_fallback: bool = False
    success: bool = True
    attempts: int = 1
    error: Optional[str] = None
    cached: bool = False  # answered earlier in this run: nothing was asked this time


@dataclass(frozen=True)
class Answer:
    """What came of a `Request`: the readable values (some may be missing), or the text of a free-text request."""

    values: Dict[str, Any]
    text: str
    missing: Tuple[str, ...]
    call: CallRecord
    usage: Usage


def key_of(name: str) -> str:
    """Fold a field name to what a model cannot misspell: letters and digits, case-folded (contracts/vlm-replies.md, Keys)."""
    return "".join(c for c in name.casefold() if c.isalnum())


# --- artefacts: what a run leaves on disk (decisions.md, "Files a run writes") ------------------------------------------


class Artefact(Frozen):
    """A JSON file of a run. `format` rises when a reader of this version could misread the file."""

    format: int = 1


class Answers(Artefact):
    """`questions/iteration_{N}_questions.json`."""

    iteration: int
    answers: Dict[str, Value]
    unanswered: List[str]
    aivis_metadata: CallRecord
    usage: Usage = Field(default_factory=Usage)
    questions_sha256: str = ""  # of what was asked; not told by older versions


class Evaluation(Artefact):
    """`evaluation/iteration_{N}_evaluation.json`. `source` "fallback": nothing was judged, every criterion is unanswered."""

    iteration: int
    source: Literal["aivis", "fallback"]
    overall_score: float
    criteria_results: Dict[str, bool]
    values: Dict[str, Value]
    reasons: Dict[str, str]
    passed_fields: List[str]
    failed_fields: List[str]
    unanswered: List[str]
    aivis_metadata: CallRecord
    usage: Usage = Field(default_factory=Usage)
    rules_sha256: str = ""  # of the criteria and questions it was judged by
    criteria_sha256: Dict[str, str] = Field(default_factory=dict)  # of each criterion as it was judged, see `holding`
    votes: Dict[str, List[Optional[bool]]] = Field(default_factory=dict)  # every verdict, the first one first
    posteriors: Dict[str, float] = Field(default_factory=dict)  # chance that it is met, after those votes

    @property
    def all_pass(self) -> bool:
        """Every criterion passes: what stops the run, not a score that rounds to 100."""
        return self.source == "aivis" and bool(self.criteria_results) and all(self.criteria_results.values())


class CachedReply(Artefact):
    """`cache/{key}.json`: an answer that was paid for, under the sha256 of all that decides it."""

    key: str
    purpose: str
    values: Dict[str, Any]
    text: str
    missing: List[str]
    call: CallRecord
    usage: Usage = Field(default_factory=Usage)
    booked: int = -1  # the resume point's `bookings` when it came; -1: not known, and taken for counted
    paid: Optional[Usage] = None  # what the run took by then, with this; see `till`


class Paid(Artefact):
    """`paid.json`: what all requests of a run took, written after each; see `till`."""

    usage: Usage


class Comparison(Artefact):
    """`comparison/iteration_{N}_comparison.json`. `source` "measured": the score is pixel likeness, no model was heard."""

    iteration: int
    source: Literal["aivis", "measured"]
    similarity_score: float
    differences: List[str]
    analysis: str
    measured: float
    aivis_metadata: CallRecord
    usage: Usage = Field(default_factory=Usage)


class Move(Frozen):
    """One change for the next iteration (or the sentence that there is none), and why."""

    what: str
    why: str


class Ranking(Frozen):
    """`human/ranking.json` as the viewer writes it (spec, "Human ranking feedback"); it carries no `format`."""

    ranking: List[str]
    notes: Dict[str, str] = Field(default_factory=dict)
    updated_at: float = 0.0


RankingMode = Literal["rank1", "top3", "top5"]


class Seeding(Frozen):
    """From which human ranking a run's first settings came, and what was taken. `notes` go with every improvement."""

    run_id: str
    mode: RankingMode
    iterations: List[int]
    parameters: Dict[str, Any]
    prompts: Prompts
    notes: List[str] = Field(default_factory=list)


class _Used(Frozen):
    """The types, not the ranges, of KSampler's inputs on record: a workflow's own cfg may be 30."""

    denoise: Optional[float] = None
    cfg: Optional[float] = None
    steps: Optional[int] = None
    seed: Optional[int] = None
    sampler_name: Optional[str] = None
    scheduler: Optional[str] = None


def _checked_parameters(value: Dict[str, Any]) -> Dict[str, Any]:
    return {**_Used.model_validate({k: v for k, v in value.items() if k in SAMPLING_FIELDS}).model_dump()}


class _Verdicts(Frozen):
    """What metadata repeats of the evaluation. A key that is not there was not told by whoever wrote the file."""

    overall_score: float = 0.0
    criteria_results: Dict[str, bool] = Field(default_factory=dict)


class _Likeness(Frozen):
    """The same of the comparison."""

    similarity_score: Optional[float] = None
    differences: List[str] = Field(default_factory=list)
    analysis: str = ""


class Metadata(Artefact):
    """`metadata/iteration_{N}_metadata.json`: the spec's keys, then ours."""

    iteration: int
    timestamp: float
    image_path: Optional[str]
    parameters_used: Dict[str, Any]
    questions: Dict[str, Value]
    evaluation: Dict[str, Any]
    comparison: Dict[str, Any]
    aivis_metadata: CallRecord
    prompts_used: Prompts
    run_id: str
    status: Literal["ok", "failed"]
    error: Optional[str] = None
    prompt_id: Optional[str] = None
    workflow_file: str
    image_size: Optional[List[int]] = None
    timings: Dict[str, Seconds] = Field(default_factory=dict)
    usage: Usage = Field(default_factory=Usage)
    decision: List[Move] = Field(default_factory=list)
    input_sha256: str = ""  # of the original that the picture was made from; not told by older versions
    owned_phrases: Optional[Dict[str, str]] = None  # what the tool had put into the prompts by then; None: not known
    seeded_from: Optional[Seeding] = None

    _parameters_have_types = field_validator("parameters_used")(_checked_parameters)

    @field_validator("evaluation")
    @classmethod
    def _verdicts_have_types(cls, value: Dict[str, Any]) -> Dict[str, Any]:
        return _Verdicts.model_validate(value).model_dump()

    @field_validator("comparison")
    @classmethod
    def _likeness_has_types(cls, value: Dict[str, Any]) -> Dict[str, Any]:
        return _Likeness.model_validate(value).model_dump()


class Totals(Frozen):
    """What a run took so far: iterations made, of which failed; seconds; requests, tokens and cost."""

    iterations: Count = 0
    failed: Count = 0
    seconds: Seconds = 0.0
    usage: Usage = Field(default_factory=Usage)


class Pending(Frozen):
    """The iteration under way: drawn and written before it is used, so that a killed run repeats nothing it paid for."""

    iteration: int
    parameters: Dict[str, Any]
    prompts: Prompts
    written: Optional[Prompts] = None  # as AIGen.yaml had them, before the tags; None: as they are
    prompt_id: Optional[str] = None
    suggestion: Optional[Dict[str, Any]] = None
    improvement: Optional[Prompts] = None
    proposed: Optional[Prompts] = None  # what the model had written, before ledger and tags
    owned: Optional[Dict[str, str]] = None  # what the tool has put into the prompts, once that is decided
    usage: Usage = Field(default_factory=Usage)  # of the two text calls above
    timings: Dict[str, Seconds] = Field(default_factory=dict)

    _parameters_have_types = field_validator("parameters")(_checked_parameters)


class Rejudging(Frozen):
    """A picture that nobody had looked at and that is judged now, with what of it is in `totals` from before."""

    iteration: int
    usage: Usage
    seconds: Seconds


class JudgeCheck(Artefact):
    """`judge_check.json`: what the judge said of the unedited original (twice) and of a grey square, before picture 1."""

    original: Dict[str, List[Optional[bool]]]
    grey: Dict[str, List[Optional[bool]]]
    warnings: List[str]
    aivis_metadata: CallRecord
    usage: Usage = Field(default_factory=Usage)
    seconds: Seconds = 0.0
    judge: str = ""  # provider and model as configured: another one is tried anew
    booked: int = -1  # the resume point's `bookings` when it came; -1: not known, and taken for counted


class Duel(Frozen):
    """Two pictures put before the judge at once, in this order; `better` is an iteration, None when it would not say."""

    first: int
    second: int
    better: Optional[int]
    reason: str = ""


class FinalComparison(Artefact):
    """`final_comparison.json`: the best pictures of a run without a pass, compared in pairs in both orders."""

    iterations: List[int]  # the contenders, best score first
    duels: List[Duel]
    winner: int
    aivis_metadata: CallRecord
    usage: Usage = Field(default_factory=Usage)
    seconds: Seconds = 0.0
    booked: int = -1  # as in `JudgeCheck`


RunStatus = Literal["running", "passed", "exhausted", "stopped"]
EndedBy = Literal["iterations", "conflict", "cost", "time"]


class Checkpoint(Artefact):
    """`working/checkpoint.json`: the resume point."""

    run_id: str = Field(pattern=r"^\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(-\d+)?$")
    status: RunStatus
    last_iteration: int = Field(0, ge=0, le=MOST_ITERATIONS)
    best_iteration: Optional[int] = None
    best_score: Optional[float] = None
    started_at: float
    updated_at: float
    rules_sha256: str
    input_sha256: str
    description: Optional[str] = None
    pending: Optional[Pending] = None
    rejudging: Optional[Rejudging] = None
    generation_failures: Count = 0  # in a row
    vision_failures: Count = 0  # in a row
    ended_by: Optional[EndedBy] = None  # why an exhausted run is over
    ending: Optional[str] = None  # the same as a sentence for people, with the evidence
    owned_phrases: Dict[str, str] = Field(default_factory=dict)  # put into the prompts by the tool: phrase to criterion
    worked: Seconds = 0.0  # s that processes have worked on it (see `budget`)
    paid: Optional[Usage] = None  # what all requests took; None: none was made, or an older version made them
    superseding: Optional[int] = None  # from here on artefacts are being moved to superseded/
    set_aside: Usage = Field(default_factory=Usage)  # of them, what --resume-from took out of `totals`
    seeded_from: Optional[Seeding] = None
    totals: Totals = Field(default_factory=Totals)
    bookings: Count = 0  # how often `totals` was written: what was kept since then is not in it

    @field_validator("set_aside", mode="before")
    @classmethod
    def _was_a_cost(cls, value: Any) -> Any:
        """Older versions kept what was set aside in USD alone."""
        return {"cost": value or None} if isinstance(value, (int, float)) else value


# --- in memory: what the strategy sees ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attempt:
    """A judged picture: the settings that made it and what was found."""

    iteration: int
    sampling: Sampling
    prompts: Prompts
    evaluation: Evaluation
    comparison: Comparison
