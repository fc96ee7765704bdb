"""A run of the loop with the real clients, through proxies, against the built-in engines."""

from __future__ import annotations

import contextlib
import io
import itertools
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional
from urllib.parse import urlsplit

import yaml
from cut import ALL
from PIL import Image
from proxy import Fault, Proxy, Seen
from rich.console import Console

from imagination.comfyui import ComfyUI
from imagination.display import LiveDisplay, PlainDisplay
from imagination.errors import ImaginationError
from imagination.judge import Judge
from imagination.loop import Loop, Observer, Outcome, Tools
from imagination.model import ProjectSettings
from imagination.reply_cache import ReplyCache
from imagination.resume import open_run, settings_in_force
from imagination.sandbox import start_generator, start_vision
from imagination.services import preflight
from imagination.setup import read_setup
from imagination.store import Store
from imagination.vision import Vision
from imagination.workspace import Project, Workspace

ROOT = Path(__file__).resolve().parents[2]
# s: `comfyui.timeout` and the vision `timeout` of these runs; all of it runs beside other processes, which starve each other
SILENCE = 2.0 if ALL else 10.0
ITERATIONS = 3
# description and preflight are over: what comes from here on belongs to an iteration
CHAT = "/api/chat"


@dataclass(frozen=True)
class Result:
    """What came of a run: why it stopped, if it did, and of each iteration "ok", "failed" or "unjudged"."""

    stopped: Optional[ImaginationError]
    iterations: List[str]
    warnings: List[str]
    shown: str  # on a pipe, then on a terminal

    @property
    def told(self) -> str:
        """One word for the whole run: the worst that befell it."""
        if self.stopped is not None:
            return "stopped"
        worst = [each for each in ("failed", "unjudged") if each in self.iterations]
        return worst[0] if worst else "fine"


class Ear(Observer):
    """Both displays, and what was warned of."""

    def __init__(self) -> None:
        self.warnings: List[str] = []
        self.lines: List[str] = []
        self.terminal = io.StringIO()
        self.displays = [
            PlainDisplay(self.lines.append),
            LiveDisplay(Console(file=self.terminal, force_terminal=True, width=80, highlight=False)),
        ]

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name not in vars(Observer):
            return super().__getattribute__(name)

        def told(*what: Any) -> None:
            self.warnings += what if name == "warned" else ()
            for display in self.displays:
                getattr(display, name)(*what)

        return told

    def close(self) -> str:
        for display in self.displays:
            display.close()
        return "\n".join(self.lines) + self.terminal.getvalue()


class WireBench:
    """A project, both engines behind proxies, and the loop on them."""

    def __init__(self, root: Path, **vision: object) -> None:
        self.comfyui = Proxy(address(start_generator()))
        self.vision = Proxy(address(start_vision()))
        self.fallback = Proxy(address(start_vision()))
        self.project = Project("p", root / "projects" / "p", Workspace(root))
        self.store = Store(self.project.root)
        self.now: Callable[[], float] = time.time
        shutil.copytree(str(ROOT / "projects" / "demo" / "config"), str(self.project.root / "config"))
        (self.project.root / "input").mkdir()
        with Image.open(ROOT / "projects" / "demo" / "input" / "input.png") as picture:
            picture.resize((64, 48)).save(self.project.root / "input" / "input.png")
        rules = yaml.safe_load(self.project.rules.read_text(encoding="utf-8"))
        rules["project"].update(name="p", max_iterations=ITERATIONS)
        rules["acceptance_criteria"].append(
            {"field": "night", "question": "Is it black and white?", "intent": "change"}
        )
        self.project.rules.write_text(yaml.safe_dump(rules), encoding="utf-8")
        usual = {"provider": "ollama", "model": "builtin", "timeout": SILENCE, "retry_delay": 0, "retries": 2}
        self.change_vision(**{**usual, **vision})
        generation = yaml.safe_load(self.project.generation.read_text(encoding="utf-8"))
        generation["parameters"].update(steps=2, seed=7)
        self.project.generation.write_text(yaml.safe_dump(generation), encoding="utf-8")

    def change_vision(self, **settings: object) -> None:
        self.project.vision.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def close(self) -> None:
        for proxy in (self.comfyui, self.vision, self.fallback):
            proxy.close()

    def run(self) -> Result:
        limits = ProjectSettings(max_iterations=ITERATIONS)
        setup = read_setup(self.project, settings_in_force(self.store, limits, False, None))
        setting = setup.vision.model_copy(update={"base_url": self.vision.url, "fallback_base_url": self.fallback.url})
        ear, ids = Ear(), itertools.count(1)
        outcome: Optional[Outcome] = None
        stopped: Optional[ImaginationError] = None
        with contextlib.closing(Vision.from_settings(setting, {})) as eyes, ComfyUI(
            self.comfyui.url, silence=SILENCE, pauses=(0.05, 0.1, 0.1), poll=0.1
        ) as generator:
            try:
                ready = preflight(setup, generator, eyes)
                opening = open_run(self.store, setup, reset=False, resume_from=None, now=1_768_000_000.0, seeding=None)
                vision = ReplyCache(eyes, opening.run, setup.vision, paid=opening.checkpoint.paid)
                judge = Judge(vision, setup.templates, setup.rules, notes="")
                tools = Tools(
                    generator, eyes, judge, ear, ready.choices,
                    now=self.now, draw_seed=lambda: 7, new_id=lambda: f"00000000-0000-4000-8000-{next(ids):012d}",
                )  # fmt: skip
                outcome = Loop(setup, self.store, opening, tools).run()
            except ImaginationError as err:
                stopped = err
        assert outcome is None or stopped is None
        return Result(stopped, list(self._iterations()), ear.warnings, ear.close())

    def _iterations(self) -> Iterator[str]:
        for run in self.store.runs()[-1:]:
            for number in run.iterations():
                metadata, evaluation = run.metadata(number), run.evaluation(number)
                assert metadata is not None
                if metadata.status == "failed":
                    yield "failed"
                else:
                    yield "ok" if evaluation is not None and evaluation.source == "aivis" else "unjudged"


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 0)


def at(path: str, fault: Fault, *counts: int, method: str = "") -> Faulty:
    """`fault` for the requests to `path` with these numbers (from 1); every one if none is given."""
    return Faulty(path, fault, counts, method)


@dataclass(frozen=True)
class Faulty:
    path: str
    fault: Fault
    counts: tuple[int, ...]
    method: str

    def __call__(self, seen: Seen, count: int) -> Optional[Fault]:
        here = seen.path.split("?")[0].startswith(self.path) and (not self.method or seen.method == self.method)
        return self.fault if here and (not self.counts or count in self.counts) else None


Paths = Dict[str, int]
