"""What a run shows: plain, greppable lines when there is no terminal; with one, a live line and a closing table.

Text from a model or a server is data: it is printed without markup and without control characters.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Callable, List, Optional, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .budget import count, limits
from .duels import told
from .execution import Execution, State
from .loop import Observer, Outcome
from .model import Checkpoint, Evaluation, FinalComparison, Metadata, Move, Prompts, Sampling
from .resume import Opening
from .setup import Setup
from .streams import clean

DOING = {
    "description": "describing the original",
    "questions": "asking the questions",
    "comparison": "comparing with the original",
    "evaluation": "marking the criteria",
    "second_look": "making sure of the verdict",
    "combined": "looking at the picture",
    "suggestion": "asking for better settings",
    "improvement": "improving the prompts",
    "judge_check": "trying the judge on the unedited original",
    "duel": "comparing the best pictures in pairs",
}


RAISED = {"iterations": "max_iterations", "cost": "max_cost", "time": "max_minutes"}  # what lets an ended run go on


def duration(seconds: float) -> str:
    """Seconds as `m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: Optional[float]) -> str:
    """A parameter as a person writes it; `-` where the workflow has no place for it."""
    return "-" if value is None else f"{value:g}"


def best_told(checkpoint: Checkpoint) -> str:
    """The best iteration with its score."""
    score = ", not judged" if checkpoint.best_score is None else f" with {checkpoint.best_score:g}%"
    return f"iteration {checkpoint.best_iteration}{score}"


def likeness(metadata: Metadata) -> str:
    """How like the original it is; `-` where that is not on record."""
    similarity = metadata.comparison["similarity_score"]
    return "-" if similarity is None else f"{similarity:.2f}"


def settings_line(sampling: Sampling) -> str:
    """Sampling as `key=value` words; what the workflow has no place for is left out."""
    values = sampling.as_dict()
    return " ".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items() if v is not None)


class PlainDisplay(Observer):
    """One line an event, `key=value` where it can be; time of day first."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._started = clock()
        self._max = 0
        self._half = -1
        self._lock = threading.Lock()

    def _say(self, text: str) -> None:
        with self._lock:
            self._write(f"{time.strftime('%H:%M:%S')} {clean(text, 2000)}")

    def opened(self, opening: Opening, setup: Setup) -> None:
        self._max = setup.rules.project.max_iterations
        self._started -= opening.checkpoint.worked
        self._say(f"project={setup.project.name} {opening.story}, {limits(setup.rules.project)}")

    def iteration_begins(self, iteration: int, sampling: Sampling, prompts: Prompts) -> None:
        self._half = -1
        self._say(f"iteration {iteration}/{self._max} {settings_line(sampling)}")

    def generating(self, execution: Execution) -> None:
        """A line when the job waits, and one at each half of the steps: a log is not a film."""
        if execution.state is State.QUEUED and self._half == -1:
            self._half = 0
            self._say("queued in ComfyUI")
        elif execution.steps and execution.step and execution.step * 2 // execution.steps > max(0, self._half):
            self._half = execution.step * 2 // execution.steps
            self._say(f"sampling step {execution.step}/{execution.steps}")

    def asking(self, purpose: str) -> None:
        self._say(DOING.get(purpose, purpose))

    def iteration_ends(self, metadata: Metadata, evaluation: Optional[Evaluation], checkpoint: Checkpoint) -> None:
        used = self._clock() - self._started
        self._say(f"iteration {metadata.iteration} {verdict_line(metadata, evaluation)} used={duration(used)}")
        for field in _worth_telling(evaluation):
            self._say(f"iteration {metadata.iteration} fails {field}: {reason_of(evaluation, field)}")

    def decided(self, moves: Sequence[Move]) -> None:
        for move in moves:
            self._say(f"next: {move.what} ({move.why})")

    def compared(self, found: FinalComparison) -> None:
        self._say(f"final comparison: {told(found)}")

    def warned(self, text: str) -> None:
        self._say(f"warning: {text}")

    def close(self) -> None:
        """Nothing is held."""


def verdict_line(metadata: Metadata, evaluation: Optional[Evaluation]) -> str:
    """Score, likeness and failed fields as `key=value` words."""
    if evaluation is None:
        return f"status=failed error: {metadata.error}"
    if evaluation.source == "fallback":
        words = ["judged=no", f"similarity={likeness(metadata)}"]
    else:
        words = [f"score={evaluation.overall_score:g}", f"similarity={likeness(metadata)}"]
        words.append(f"failed={','.join(evaluation.failed_fields) or 'none'}")
    if metadata.aivis_metadata.using_fallback:
        words.append(f"fallback={metadata.aivis_metadata.provider}")
    return " ".join(words)


def _worth_telling(evaluation: Optional[Evaluation]) -> Sequence[str]:
    """Failed fields, unless nothing was judged: then there is no reason to tell of each."""
    return evaluation.failed_fields if evaluation is not None and evaluation.source == "aivis" else ()


def reason_of(evaluation: Optional[Evaluation], field: str) -> str:
    """Why a criterion failed, in the model's words, or that it was not answered."""
    if evaluation is None or field in evaluation.unanswered:
        return "no answer"
    return evaluation.reasons.get(field) or f"answered {evaluation.values.get(field)!r}"


class LiveDisplay(Observer):
    """A live block of three lines at the bottom, finished iterations scrolling above it."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._started = clock()
        self._before = 0.0  # s that earlier processes worked on the run
        self._done = 0  # iterations that the time up to `_last_end` was spent on
        self._last_end = self._started
        self._iteration = self._max = 0
        self._doing = "starting"
        self._step = self._steps = 0
        self._best = ""
        self._failing = ""
        self._live = Live(get_renderable=self._block, console=console, refresh_per_second=8, transient=True)
        self._live.start()

    def _block(self) -> Group:
        """Always three lines: two threads draw it, and one that thinks it lower than it is leaves a line standing."""
        width = max(10, self._console.width - 34)
        bar = ProgressBar(total=max(1, self._steps), completed=self._step, width=min(24, width))
        head = Table.grid(padding=(0, 1))
        for _ in range(4):
            head.add_column(no_wrap=True, overflow="ellipsis")
        steps = f"step {self._step}/{self._steps}" if self._steps else ""
        number_of = f"iteration {self._iteration}/{self._max}" if self._max else ""
        head.add_row(Text(number_of, "bold"), bar, Text(steps), Text(self._doing, "cyan"))
        now = self._clock()
        line = Text(f"  used {duration(self._before + now - self._started)}{self._to_go(now)}{self._best}", "dim")
        fails = Text(f"  fails: {self._failing}" if self._failing else "", "yellow")
        for each in (line, fails):
            each.truncate(max(10, self._console.width - 1), overflow="ellipsis")
        return Group(head, line, fails)

    def _to_go(self, now: float) -> str:
        """At the pace of the run so far, if it takes all iterations: more is not known."""
        left = self._max - self._iteration + (1 if self._doing else 0)
        if not self._done or left <= 0:
            return ""
        pace = (self._before + self._last_end - self._started) / self._done
        under_way = min(pace, now - self._last_end)
        return f" · up to about {duration(pace * left - under_way)} to go"

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=False)

    def opened(self, opening: Opening, setup: Setup) -> None:
        self._max = setup.rules.project.max_iterations
        self._iteration = opening.checkpoint.last_iteration
        self._before = opening.checkpoint.worked
        self._done = opening.checkpoint.last_iteration if self._before else 0  # older versions kept no times
        self._print(Text(f"{setup.project.name}: {opening.story}, {limits(setup.rules.project)}", "bold"))

    def iteration_begins(self, iteration: int, sampling: Sampling, prompts: Prompts) -> None:
        self._iteration, self._step, self._steps = iteration, 0, 0
        self._doing = f"denoise {number(sampling.denoise)} cfg {number(sampling.cfg)}"

    def generating(self, execution: Execution) -> None:
        self._step, self._steps = execution.step, execution.steps
        if execution.state is State.QUEUED:
            self._doing = "waiting in ComfyUI's queue"
        elif execution.state is State.RUNNING:
            self._doing = (
                "sampling" if execution.steps else clean(f"running {execution.node_type or 'the workflow'}", 24)
            )

    def asking(self, purpose: str) -> None:
        self._step = self._steps = 0
        self._doing = DOING.get(purpose, purpose)

    def iteration_ends(self, metadata: Metadata, evaluation: Optional[Evaluation], checkpoint: Checkpoint) -> None:
        self._done += 1
        self._last_end = self._clock()
        self._doing = ""
        self._failing = ", ".join(_worth_telling(evaluation)) if evaluation else self._failing
        if checkpoint.best_iteration is not None:
            score = "not judged" if checkpoint.best_score is None else f"{checkpoint.best_score:g}%"
            self._best = f" · best {score} (iteration {checkpoint.best_iteration})"
        self._print(finished_line(metadata, evaluation))
        for field in _worth_telling(evaluation):
            told = Text(f"✗ {field}: {clean(reason_of(evaluation, field), 300)}", "yellow")
            self._console.print(Padding(told, (0, 0, 0, 4)))

    def decided(self, moves: Sequence[Move]) -> None:
        for why in dict.fromkeys(move.why for move in moves):
            what = ", ".join(move.what for move in moves if move.why == why)
            self._console.print(Padding(Text(f"→ {clean(what)}: {clean(why)}", "dim"), (0, 0, 0, 4)))

    def compared(self, found: FinalComparison) -> None:
        self._print(Text(clean(f"final comparison: {told(found)}"), "bold"))

    def warned(self, text: str) -> None:
        self._print(Text(f"warning: {clean(text)}", "magenta"))

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()


def finished_line(metadata: Metadata, evaluation: Optional[Evaluation]) -> Text:
    """One finished iteration."""
    if evaluation is None:
        return Text(f"✗ iteration {metadata.iteration} failed: {clean(str(metadata.error))}", "red")
    mark, style = ("✓", "green") if evaluation.all_pass else ("•", "")
    score = "not judged" if evaluation.source == "fallback" else f"score {evaluation.overall_score:g}%"
    told = f"{mark} iteration {metadata.iteration}: {score}, similarity {likeness(metadata)}"
    told += f" (judged by {metadata.aivis_metadata.provider})" if metadata.aivis_metadata.using_fallback else ""
    return Text(told, style)


def closing(console: Console, outcome: Outcome, output: Path) -> None:
    """How the run ended and where the output is; on a terminal after a table of the iterations."""
    if console.is_terminal:
        console.print(_table(outcome))
    best, total = outcome.checkpoint, _criteria(outcome)
    if outcome.passed:
        console.print(Text(f"passed: {_all_of(total)} met in iteration {best.best_iteration}", "bold green"))
    else:
        told = "no picture was made"
        if best.best_iteration is not None:
            told = f"best is {best_told(best)}"
        console.print(Text(f"not passed in {count(best.last_iteration, 'iteration')}; {told}", "bold yellow"))
        if outcome.outdated:
            told = f"iteration {best.best_iteration} was judged before rules.yaml changed, and a pass from then does not count"
            console.print(Text(told, "yellow"), soft_wrap=True)
        if best.ending:
            console.print(Text(clean(best.ending, 1000), "yellow"), soft_wrap=True)
        if outcome.never_met:
            told = f"met in none of the pictures: {', '.join(outcome.never_met)}; ask less there, or ask in other words"
            console.print(Text(clean(told, 1000), "yellow"), soft_wrap=True)
        if best.ended_by in RAISED:
            key = f"project.{RAISED[best.ended_by]}"
            told_more = f"to go on, raise {key} in rules.yaml; else the same command starts a new run"
            console.print(Text(told_more, "dim"), soft_wrap=True)
        lost = _lost_at_the_end(outcome)
        if lost is not None and best.ended_by in (None, "iterations"):  # what else ended it keeps them from being made
            told = f"the last iterations brought no picture; make them again with --resume-from {lost}"
            console.print(Text(told, "bold yellow"), soft_wrap=True)
    if outcome.unjudged:
        numbers = ", ".join(str(iteration) for iteration in outcome.unjudged)
        console.print(Text(f"never judged, the model gave no answer: iteration {numbers}", "bold yellow"))
    took = best.worked or best.totals.seconds  # older versions kept only what the services took
    console.print(Text(f"took {duration(took)}, {_used(best)}", "dim"), soft_wrap=True)
    if best.best_iteration is not None:
        console.print(Text(f"output: {output}"), soft_wrap=True)


def _used(run: Checkpoint) -> str:
    """Requests and costs of the iterations that count, and apart from them those that --resume-from set aside."""
    told = [count(run.totals.usage.requests, "vision request"), *_usd(run.totals.usage.cost)]
    aside = [count(run.set_aside.requests, "request"), *_usd(run.set_aside.cost)]
    more = f" ({', '.join(aside)} more set aside by --resume-from)" if run.set_aside.requests else ""
    return ", ".join(told) + more


def _usd(cost: Optional[float]) -> List[str]:
    return [] if cost is None else [f"{cost:.4f} USD"]


def _lost_at_the_end(outcome: Outcome) -> Optional[int]:
    """The first of the iterations at the end that failed, as by a server that died; None where the last one has a picture."""
    lost = None
    for metadata in reversed(outcome.history):
        if metadata.status == "ok":
            break
        lost = metadata.iteration
    return lost


def _table(outcome: Outcome) -> Table:
    """The iterations, the best in bold; at any width the failed criteria are what gives way."""
    table = Table(box=None, padding=(0, 1), header_style="bold", expand=True)
    for head in ("#", "score", "like", "denoise", "cfg", "steps", "seed"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("failed", overflow="ellipsis", no_wrap=True, ratio=1)
    for metadata in outcome.history:
        cells = [Text(clean(cell)) for cell in _row(metadata, metadata.iteration not in outcome.unjudged)]
        table.add_row(*cells, style="bold" if metadata.iteration == outcome.checkpoint.best_iteration else "")
    return table


def _all_of(total: int) -> str:
    return f"all {total} criteria" if total > 1 else "the only criterion"


def _criteria(outcome: Outcome) -> int:
    best = [m for m in outcome.history if m.iteration == outcome.checkpoint.best_iteration]
    return max((len(m.evaluation["criteria_results"]) for m in best), default=0)


def _row(metadata: Metadata, judged: bool) -> List[str]:
    used = metadata.parameters_used
    results = metadata.evaluation["criteria_results"]
    ok = metadata.status == "ok"
    failed = ", ".join(field for field, passed in results.items() if not passed) if judged else "not judged"
    return [
        str(metadata.iteration),
        f"{metadata.evaluation['overall_score']:g}" if ok and judged else "-",
        likeness(metadata),
        number(used.get("denoise")),
        number(used.get("cfg")),
        str(used.get("steps") or "-"),
        str(used.get("seed") if used.get("seed") is not None else "-"),
        failed if ok else f"no picture: {metadata.error}",
    ]
