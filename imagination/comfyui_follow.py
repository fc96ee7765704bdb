"""Wait for the end of one queued job: what the WebSocket says moves it along, what `/queue` and `/history` say counts.

Messages can be lost in several ways (the line breaks, a proxy lets no WebSocket through, an earlier process had queued the
job), so the server is asked every few seconds in any case, and at once where something must have changed.
"""

from __future__ import annotations

from typing import Callable, Optional, Tuple, Union

from .comfyui_wire import START_HINT, Ear
from .errors import ComfyUIUnreachable, JobCancelled
from .execution import Entry, Execution, Place, State, advance, concerns, finish, take_place
from .rejection import explain_end

QUICK = 0.05  # s: first pause before asking again what should be known any moment; grows up to `poll`
ASKED_TWICE = 2  # a prompt in neither /queue nor /history is only then said to be gone
ASKED_OFTEN = 12  # ... and this often once the WebSocket has told of its end: the history comes a little later
UNSEEN = 4  # times `silence` for a job whose steps cannot be heard: a whole picture has to fit in, not one step

Found = Union[Place, Entry, None]


class Silent(ComfyUIUnreachable):
    """The server answers, but nothing has happened to our job for too long. Another try would wait as long again."""


class Lost(ComfyUIUnreachable):
    """The server has forgotten our job in a restart; it has to be sent again."""


class Following:
    """One job being waited for. `look` asks the server where it is; `heard_as` is the client id its messages go to."""

    def __init__(
        self,
        run: Execution,
        ear: Ear,
        look: Callable[[str], Found],
        *,
        heard_as: str,
        poll: float,
        silence: float,
        clock: Callable[[], float],
    ) -> None:
        self.run = run
        self._ear, self._look, self._heard_as = ear, look, heard_as
        self._poll, self._silence, self._clock = poll, silence, clock
        self._told: Optional[Execution] = None
        self._ahead: Optional[Tuple[str, ...]] = None
        self._absent = 0
        self._pause = QUICK
        self._due = self._alive = clock()

    def to_the_end(self, on_progress: Callable[[Execution], None]) -> Tuple[Execution, Entry]:
        """The final state and what the history keeps of it; `on_progress` is told of each change on the way.

        Raises JobCancelled (deleted), Lost, Silent, and what `look` raises.
        """
        while True:
            heard = self._listen()
            # what is already said comes first, unless it never ends
            overdue = self._clock() - self._due
            entry = self._ask() if overdue >= (self._poll if heard else 0) else None
            if self.run != self._told:
                self._told = self.run
                on_progress(self.run)
            if entry:
                return self.run, entry
            self._check_silence()

    def _listen(self) -> bool:
        """Fold one message in; False if there was none."""
        was_open = self._ear.is_open
        message = self._ear.receive(self._due - self._clock())
        now = self._clock()
        if concerns(self.run, message):
            self.run = advance(self.run, message)
            self._alive = now
        if self.run.state.is_over:
            self._due = min(self._due, now + self._pause)
        if was_open and not self._ear.is_open:
            self._due = now  # the server may be gone
        return message is not None

    def _ask(self) -> Optional[Entry]:
        found = self._look(self.run.prompt_id)
        if isinstance(found, Entry):
            self.run = finish(self.run, found)
            return found
        if found:
            self._absent = 0
            self._note_place(found)
        else:
            self._note_absence()
        self._ear.ping()
        self._ear.reconnect()
        hurry = self._absent or self.run.state.is_over
        self._due = self._clock() + (self._pause if hurry else self._poll)
        self._pause = min(self._poll, self._pause * 1.5) if hurry else QUICK
        return None

    def _note_place(self, place: Place) -> None:
        self.run = take_place(self.run, place)
        if place.ahead != self._ahead:  # the queue moves
            self._ahead, self._alive = place.ahead, self._clock()

    def _note_absence(self) -> None:
        self._absent += 1
        if self._absent < (ASKED_OFTEN if self.run.state.is_over else ASKED_TWICE):
            return
        if self._ear.losses:
            raise Lost("ComfyUI no longer knows the job (was it restarted?)", START_HINT)
        gone = "the job is no longer in ComfyUI: deleted there, or forgotten in a restart"
        raise explain_end(self.run) or JobCancelled(gone, "run again to go on where it stopped")

    def _check_silence(self) -> None:
        can_hear = self._ear.is_open and self._ear.client_id == self._heard_as
        limit = self._silence * (1 if can_hear and self.run.state is State.RUNNING else UNSEEN)
        if self._clock() - self._alive > limit:
            doing = f"node {self.run.node_id}" if self.run.node_id else f"it is {self.run.state.value}"
            raise Silent(
                f"ComfyUI has said nothing about the job for {limit:g} s ({doing})",
                "raise comfyui.timeout in config/AIGen.yaml if it is only slow",
            )
