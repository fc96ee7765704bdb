"""Which run a start continues, and from where: new, unfinished, extended, or from iteration N. Decides and moves files.

The rules are decisions.md, "Resume". Nothing is deleted: what is no longer part of a run moves to `superseded/`, what
an earlier run left in `output/` moves to that run's folder.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Union

import yaml
from pydantic import ValidationError

from .budget import spending, used_up
from .errors import ConfigError, Damaged, ImaginationError, StoreError
from .holding import Yardstick
from .model import (
    Checkpoint,
    FinalComparison,
    Generation,
    JudgeCheck,
    Metadata,
    Parameters,
    Pending,
    ProjectSettings,
    Prompts,
    Sampling,
    Seeding,
    Usage,
)
from .providers import without_user
from .recall import readable, recalled, rules_of
from .setup import Setup, sampling_in_force
from .store import FINAL_COMPARISON, JUDGE_CHECK, Run, Store
from .tally import best_of_made, paid_by, rejudging, spent, totals_of, without


@dataclass(frozen=True)
class Opening:
    """The run to work on. `story` says in one line how it was chosen."""

    run: Run
    checkpoint: Checkpoint
    is_new: bool
    story: str


def continues(checkpoint: Optional[Checkpoint], project: Optional[ProjectSettings]) -> bool:
    """Say whether a start without flags goes on with the checkpoint's run: unfinished, or exhausted with more allowed.

    `project` holds today's limits; None where rules.yaml cannot be read.
    """
    if checkpoint is None or checkpoint.status == "passed":
        return False
    if checkpoint.ended_by == "conflict" and project is not None and project.has("stop_on_conflict"):
        return False  # it would end the same way; new rules make a new run
    return checkpoint.status != "exhausted" or (project is not None and used_up(project, checkpoint) is None)


def resume_point(store: Store, resume_from: Optional[int] = None) -> Optional[Checkpoint]:
    """The resume point, or None before the first run. For `--resume-from`, where it is damaged or gone, what the newest
    run's artefacts tell. Raises Damaged, with that as the way on.
    """
    try:
        found = store.read_checkpoint()
    except Damaged as err:
        known = _newest(store)
        if known is None:
            raise
        if resume_from is None:
            hint = f"--resume-from {known.last_iteration + 1} goes on with run {known.run_id} from what its iterations tell"
            raise Damaged(err.message, f"{hint}; --reset starts afresh") from err
        return known
    return _newest(store) if found is None and resume_from is not None else found


def _newest(store: Store) -> Optional[Checkpoint]:
    runs = [run for run in store.runs() if run.iterations()]
    return recalled(runs[-1], rules_of(runs[-1]), readable(runs[-1])) if runs else None


def _point_lost(store: Store) -> str:
    with contextlib.suppress(Damaged):
        return "" if store.read_checkpoint() else f" ({store.checkpoint_file} is not there, and is made again)"
    return f" ({store.checkpoint_file} is damaged, and is made again)"


def settings_in_force(
    store: Store, project: Optional[ProjectSettings], reset: bool, resume_from: Optional[int]
) -> Optional[Path]:
    """working/AIGen.yaml when a run goes on; None for a new one, which starts from the configured settings."""
    if reset or not store.generation_file.is_file():
        return None
    checkpoint = resume_point(store, resume_from)
    goes_on = resume_from is not None or continues(checkpoint, project)
    return store.generation_file if checkpoint is not None and goes_on else None


def open_run(
    store: Store,
    setup: Setup,
    *,
    reset: bool,
    resume_from: Optional[int],
    now: float,
    seeding: Optional[Seeding] = None,
) -> Opening:
    """Choose and prepare the run; `seeding` gives a new one its first settings.

    Raises ConfigError when criteria, questions or input changed, when N makes no sense, or when a run that is not
    finished would have to make way for a seeded one.
    """
    story = foresee(store, setup, reset=reset, resume_from=resume_from, seeding=seeding)
    checkpoint = resume_point(store, resume_from) if not reset else None
    if checkpoint is not None:
        run = store.run(checkpoint.run_id)
        checkpoint = settled(run, _superseded(run, checkpoint, now))
    if checkpoint is not None and resume_from is not None:
        return _from(store, setup, checkpoint, resume_from, now, story)
    if checkpoint is not None and continues(checkpoint, setup.rules.project):
        run = store.run(checkpoint.run_id)
        if not store.generation_file.is_file():
            store.write_generation(_settings_again(store, setup, checkpoint))
        if checkpoint.status == "exhausted":  # more pictures are to come, and the best are to be compared anew
            run.put_aside([FINAL_COMPARISON], now)
        checkpoint = checkpoint.model_copy(update={"status": "running", "updated_at": now})
        return Opening(run, checkpoint, False, story)
    return _new(store, setup, reset, now, seeding)


def foresee(
    store: Store, setup: Setup, *, reset: bool, resume_from: Optional[int], seeding: Optional[Seeding] = None
) -> str:
    """Say in one line what `open_run` would do, or raise what it would raise; nothing is changed."""
    checkpoint = resume_point(store, resume_from) if not reset else None
    if resume_from is not None:
        known = _known(store, checkpoint)
        _check_there(store, known)
        _check_first(known, resume_from)
        _check_budget(known, setup.rules.project, resume_from)
        lost = (
            f"{_point_lost(store)}{_settings_lost(store)}{_made_with_lost(store.run(known.run_id), known, resume_from)}"
        )
        return f"run {known.run_id} again from iteration {resume_from}{lost}"
    if checkpoint is None or not continues(checkpoint, setup.rules.project):
        return f"a new run{_over(checkpoint, setup.rules.project)}{'' if reset else _cut_off(store)}"
    _check_there(store, checkpoint)
    if seeding is not None:
        raise ConfigError(
            f"--seed-from-ranking starts a new run, but run {checkpoint.run_id} is not finished",
            "add --reset to leave it as it is, or finish it first",
        )
    _check_unchanged(checkpoint, setup)
    over = used_up(setup.rules.project, checkpoint)
    ends = f", which ends at once: {over.told}" if over is not None and over.by != "iterations" else ""
    return f"going on with run {checkpoint.run_id} after iteration {checkpoint.last_iteration}{ends}{_settings_lost(store)}"


def to_come(store: Store, setup: Setup, *, reset: bool, resume_from: Optional[int]) -> Sampling:
    """The sampling that a run would go on or begin with; nothing is changed."""
    checkpoint = resume_point(store, resume_from) if not reset else None
    if checkpoint is None or not (resume_from or continues(checkpoint, setup.rules.project)):
        return sampling_in_force(setup.workflow, setup.generation)
    first = resume_from or checkpoint.last_iteration + 1
    again = _on_record(store.run(checkpoint.run_id), first) if resume_from else None
    pending = _under_way(checkpoint, first, again, True)
    if pending is not None:
        return Sampling(**pending.parameters)
    lost = not store.generation_file.is_file()
    return sampling_in_force(setup.workflow, _settings_again(store, setup, checkpoint) if lost else setup.generation)


def look_through(store: Store, project: Optional[ProjectSettings], resume_from: Optional[int] = None) -> None:
    """Read what a run would read that goes on, and raise what it would: an hour of waiting ends better than with damage."""
    checkpoint = resume_point(store, resume_from)
    if checkpoint is None or not (resume_from or continues(checkpoint, project)):
        return
    _check_there(store, checkpoint)
    run = store.run(checkpoint.run_id)
    for iteration in range(1, (resume_from or checkpoint.last_iteration + 1)):
        for read in (run.metadata, run.evaluation, run.comparison):
            read(iteration)
    run.judge_check()


def _made_with_lost(run: Run, checkpoint: Checkpoint, first: int) -> str:
    lost = first <= checkpoint.last_iteration and _on_record(run, first) is None
    return f" (with the settings in force: {run.file('metadata', first)} does not tell its own)" if lost else ""


def _settings_lost(store: Store) -> str:
    lost = not store.generation_file.is_file()
    return f" ({store.generation_file} is not there, and is made again)" if lost else ""


def _over(checkpoint: Optional[Checkpoint], project: ProjectSettings) -> str:
    """What keeps a start from going on with an exhausted run."""
    over = used_up(project, checkpoint) if checkpoint is not None and checkpoint.status == "exhausted" else None
    if checkpoint is None or over is None:
        return ""
    return f" (run {checkpoint.run_id} is over: {over.told}; raise project.{over.key} to go on with it)"


def _cut_off(store: Store) -> str:
    """What keeps a start from going on with a run that has not ended: its resume point is gone."""
    left = store.runs()[-1:] if store.read_checkpoint() is None else []
    if not left or not left[0].iterations() or _has_ended(store, left[0]):
        return ""
    return f" (run {left[0].run_id} cannot go on: its resume point {store.checkpoint_file} is not there)"


def _has_ended(store: Store, run: Run) -> bool:
    told = store.output_told(run.run_id) or {}
    return told.get("result") == "passed" or "ended_by" in told


def _check_there(store: Store, checkpoint: Checkpoint) -> None:
    """Refuse to go on in a run whose folder is gone: without its pictures and verdicts it would be another run."""
    root = store.run(checkpoint.run_id).root
    if not root.is_dir():
        raise StoreError(
            f"run {checkpoint.run_id} cannot go on: its folder {root} is not there",
            "put it back, or start afresh with --reset",
        )


def _new(store: Store, setup: Setup, reset: bool, now: float, seeding: Optional[Seeding]) -> Opening:
    why = "" if reset else _cut_off(store)
    if reset:
        store.archive_loose(now)
    store.put_output_aside(now)
    run = store.new_run(now)
    write_inputs(run, setup, now)
    store.write_generation_text(setup.project.generation.read_bytes())
    if seeding is not None:
        store.write_generation(seeded(setup.generation, seeding))
    checkpoint = Checkpoint(
        run_id=run.run_id,
        status="running",
        started_at=now,
        updated_at=now,
        rules_sha256=setup.rules_sha256,
        input_sha256=setup.input_sha256,
        seeded_from=seeding,
    )
    story = f"new run {run.run_id}{why}"
    if seeding is not None:
        story += f", seeded from the ranking of {seeding.run_id} ({seeding.mode})"
    return Opening(run, checkpoint, True, story)


def seeded(generation: Generation, seeding: Seeding) -> Generation:
    """The configured settings with what the ranking gives laid over them; locked parameters and the seed stay.

    Raises ConfigError for a value that settings cannot hold, as a workflow of its own may have had it.
    """
    taken = {name: value for name, value in seeding.parameters.items() if name not in generation.locked}
    try:
        parameters = Parameters(**{**generation.parameters.model_dump(), **taken})
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "a parameter"
        ranked = ", ".join(str(number) for number in seeding.iterations)
        raise ConfigError(
            f"the ranking of run {seeding.run_id} (iterations {ranked}) gives {name} {first['input']!r:.40}, "
            f"which AIGen.yaml cannot hold: {first['msg'].lower()}",
            f"keep your own with `locked: [{name}]` in config/AIGen.yaml, or rank other iterations",
        ) from err
    return generation.model_copy(update={"parameters": parameters, "prompts": seeding.prompts})


def _known(store: Store, checkpoint: Optional[Checkpoint]) -> Checkpoint:
    if checkpoint is None:
        raise ConfigError(
            f"--resume-from: {store.project.name} has no run to resume", "start one without --resume-from"
        )
    return checkpoint


def _check_first(checkpoint: Checkpoint, first: int) -> None:
    if not 1 <= first <= checkpoint.last_iteration + 1:
        raise ConfigError(
            f"--resume-from {first}: run {checkpoint.run_id} has iterations 1 to {checkpoint.last_iteration}",
            f"name one from 1 to {checkpoint.last_iteration + 1}",
        )


def _check_budget(checkpoint: Checkpoint, project: ProjectSettings, first: int) -> None:
    """Refuse to set iterations aside for a run that could not make them anew."""
    over = used_up(project, checkpoint.model_copy(update={"last_iteration": first - 1}))
    if over is not None and over.by != "iterations":
        raise ConfigError(
            f"--resume-from {first}: run {checkpoint.run_id} can make no more pictures: {over.told}",
            f"raise project.{over.key} in rules.yaml, or start afresh with --reset",
        )


def _from(store: Store, setup: Setup, checkpoint: Checkpoint, first: int, now: float, story: str) -> Opening:
    run = store.run(checkpoint.run_id)
    again = _on_record(run, first)
    if again is not None:  # without metadata the settings in force are its own
        store.write_generation(_restored(store, setup, again.parameters_used, again.prompts_used))
    elif not store.generation_file.is_file():
        store.write_generation(_settings_again(store, setup, checkpoint))
    same_input = checkpoint.input_sha256 == setup.input_sha256
    same = same_input and checkpoint.rules_sha256 == setup.rules_sha256
    run.put_aside([FINAL_COMPARISON] if same else [FINAL_COMPARISON, JUDGE_CHECK], now)
    write_inputs(run, setup, now)
    check = run.judge_check()
    kept = [metadata for n in run.iterations() if n < first and (metadata := run.metadata(n)) is not None]
    totals = spent(totals_of(kept), check.usage, check.seconds) if check else totals_of(kept)
    pending = _under_way(checkpoint, first, again, same_input) or (_undecided(checkpoint, kept) if same else None)
    counted = totals.usage + (pending.usage if pending else Usage())
    update: Dict[str, Any] = {
        "status": "running",
        "last_iteration": first - 1,
        "updated_at": now,
        "rules_sha256": setup.rules_sha256,
        "input_sha256": setup.input_sha256,
        "description": checkpoint.description if same_input else None,
        "pending": pending,
        "owned_phrases": _owned_at(first, again, checkpoint),
        "rejudging": next((rejudging(m) for m in kept if m.iteration == _being_rejudged(checkpoint)), None),
        "generation_failures": 0,
        "vision_failures": 0,
        "set_aside": without(spending(checkpoint), counted),
        "bookings": checkpoint.bookings + 1,  # what answers have cost so far is in `totals`, or set aside
        "totals": totals,
        **best_of_made(((m, run.evaluation(m.iteration)) for m in kept), Yardstick.of(setup.rules, setup.input_sha256)),
    }
    opened = checkpoint.model_copy(update=update)
    store.write_checkpoint(opened.model_copy(update={"superseding": first}))
    run.supersede(first, now)
    return Opening(run, opened, False, story)


def _under_way(checkpoint: Checkpoint, first: int, again: Optional[Metadata], same_input: bool) -> Optional[Pending]:
    """The settings that iteration `first` was made with, or was to be made with."""
    if again is not None:
        return Pending(iteration=first, parameters=again.parameters_used, prompts=again.prompts_used)
    pending = checkpoint.pending
    if pending is None or pending.iteration != first:
        return None
    if same_input:
        return pending
    return pending.model_copy(update={"prompt_id": None})  # what that job makes comes of the other original


def _undecided(checkpoint: Checkpoint, kept: Sequence[Metadata]) -> Optional[Pending]:
    """What was asked already for the decision after the last of `kept`, while that is not on record."""
    pending, last = checkpoint.pending, kept[-1] if kept else None
    if pending is None or last is None or pending.iteration != last.iteration or last.decision:
        return None
    return pending


def _superseded(run: Run, checkpoint: Checkpoint, now: float) -> Checkpoint:
    """The resume point once all is moved that a killed --resume-from was about to."""
    if checkpoint.superseding is None:
        return checkpoint
    run.supersede(checkpoint.superseding, now)
    return checkpoint.model_copy(update={"superseding": None})


def _owned_at(first: int, again: Optional[Metadata], checkpoint: Checkpoint) -> Dict[str, str]:
    """The phrases that are the tool's in the prompts of iteration `first`: what it dropped later was its own all the same.

    Of an iteration that was never made they are those of the last decision, counted or not.
    """
    if again is not None and again.owned_phrases is not None:
        return again.owned_phrases
    decided = checkpoint.pending
    if decided is not None and decided.iteration == first - 1 and decided.owned is not None:
        return decided.owned
    return checkpoint.owned_phrases


def _being_rejudged(checkpoint: Checkpoint) -> Optional[int]:
    return checkpoint.rejudging.iteration if checkpoint.rejudging else None


def settled(run: Run, checkpoint: Checkpoint) -> Checkpoint:
    """The resume point with what a killed process had put on disk, outside of iterations, and not in the totals yet."""
    for read in (run.judge_check, run.final_comparison):
        found: Union[JudgeCheck, FinalComparison, None] = None
        with contextlib.suppress(ImaginationError):  # one that cannot be read is told of where it is needed
            found = read()
        if found is not None and found.booked == checkpoint.bookings:
            totals = spent(checkpoint.totals, found.usage, found.seconds)
            checkpoint = checkpoint.model_copy(update={"totals": totals, "bookings": checkpoint.bookings + 1})
    paid, last = paid_by(run, checkpoint) or spending(checkpoint), run.last_cached()
    if last is not None and last.paid is not None and last.paid.requests > paid.requests:
        paid = last.paid  # the kill came between the answer and the account, and nobody may ask for that answer again
    return checkpoint.model_copy(update={"paid": paid})


def _on_record(run: Run, iteration: int) -> Optional[Metadata]:
    """What is known of an iteration that is to be made anew: nothing, where damage is the reason for that."""
    with contextlib.suppress(StoreError):
        return run.metadata(iteration)
    return None


def _settings_again(store: Store, setup: Setup, checkpoint: Checkpoint) -> Generation:
    """working/AIGen.yaml, which somebody has removed: what the iteration under way, or the last one, used."""
    pending, last = checkpoint.pending, _on_record(store.run(checkpoint.run_id), checkpoint.last_iteration)
    if pending is not None and pending.iteration > checkpoint.last_iteration:
        return _restored(store, setup, pending.parameters, pending.written or pending.prompts)
    return setup.generation if last is None else _restored(store, setup, last.parameters_used, last.prompts_used)


def _restored(store: Store, setup: Setup, used: Mapping[str, Any], prompts: Prompts) -> Generation:
    """The settings in force with what an iteration had used."""
    generation = store.read_generation() if store.generation_file.is_file() else _with_what_moved(setup, used)
    chosen = generation.parameters.model_dump(exclude_none=True)
    restored = {name: used.get(name, value) for name, value in chosen.items()}
    parameters = generation.parameters.model_copy(update={**restored, "seed": setup.generation.parameters.seed})
    return generation.model_copy(update={"parameters": parameters, "prompts": prompts})


def _with_what_moved(setup: Setup, used: Mapping[str, Any]) -> Generation:
    """The configured settings, with those that are left to the workflow and that the run has moved since."""
    configured, begun = setup.generation.parameters, sampling_in_force(setup.workflow, setup.generation).as_dict()
    left = [name for name, value in configured.model_dump().items() if value is None and name in used]
    moved = {name: used[name] for name in left if used[name] != begun.get(name)}
    return setup.generation.model_copy(update={"parameters": configured.model_copy(update=moved)})


def _check_unchanged(checkpoint: Checkpoint, setup: Setup) -> None:
    changed = []
    if checkpoint.rules_sha256 != setup.rules_sha256:
        changed.append("the criteria or questions in rules.yaml")
    if checkpoint.input_sha256 != setup.input_sha256:
        changed.append("the input picture")
    if changed:
        raise ConfigError(
            f"{' and '.join(changed)} changed since run {checkpoint.run_id} stopped after iteration {checkpoint.last_iteration}",
            f"go on under the new ones with --resume-from {checkpoint.last_iteration + 1} (or an earlier iteration), "
            "or start afresh with --reset",
        )


def write_inputs(run: Run, setup: Setup, now: float) -> None:
    """Keep what the run runs on; a key is not among it, nor a password in an address."""
    settings = setup.vision.model_dump(mode="json", exclude={"api_key"}, exclude_none=True)
    for key in {"base_url", "fallback_base_url"} & set(settings):
        settings[key] = without_user(settings[key])
    vision = yaml.safe_dump(settings, sort_keys=False)
    prompts = yaml.safe_dump(setup.templates.texts, sort_keys=False, allow_unicode=True, width=110)
    run.write_inputs(
        {
            "rules.yaml": setup.project.rules.read_bytes(),
            "AIGen.yaml": setup.project.generation.read_bytes(),
            "AIVis.yaml": vision.encode("utf-8"),
            "prompts.yaml": prompts.encode("utf-8"),
            "input.png": setup.source,
        },
        now,
    )
