"""A job as the press knows it: when its turn comes, what it hears, how it ends; and what is told of it to a visitor.

Knows nothing of what is written.
"""

from __future__ import annotations

import contextlib
import secrets
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from app.corrections import Corrections
from app.draft import Section
from app.events import DeskEvent, Hub
from app.store import Store, StoreError
from model.catalog import Entry
from model.contract import Dial, Fill, Filled, Finished, JobEvent, Ready, Request

Count = Callable[[str], int]
"""Tokens of a text."""

Asked = Request | Fill


class Refused(Exception):
    """The desk does not do this now; the message is one sentence for the writer."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the model that will do the job."""

    entry: Entry
    ready: Ready
    count: Count
    corrections: Corrections


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ends. sentence: empty for a plain stop by the writer; reason: why a finished one is finished."""

    state: Literal["finished", "stopped", "failed"]
    sentence: str = ""
    reason: str | None = None


class Task(ABC):
    """One job. The press calls every method with its lock held, one at a time; none may wait for anything but the disk.

    owner    the visitor's hub, to which everything is told: visitors take turns.
    section  what it writes in, as it was when it was asked for or begun.
    seed     None: a new one.
    ending   set once it is to end: the press then asks the model to let go of it.
    """

    kind: str

    def __init__(
        self, store: Store, hub: Hub, section: Section, *, dial: Dial, stop_name: str | None, seed: int | None
    ) -> None:
        self.id = uuid.uuid4().hex
        self.owner = hub
        self.document_id, self.section_id = section.document_id, section.id
        self.ending: Ending | None = None
        self._store, self._section = store, section
        self._dial, self._stop_name = dial, stop_name
        self._seed = secrets.randbits(32) if seed is None else seed
        self._position = 0  # in the line; 0: begun

    @abstractmethod
    def check(self, known: Known) -> None:
        """Raises Refused where it could not be begun as things are."""

    @abstractmethod
    def begin(self, known: Known) -> Asked:
        """Its turn: what the model is asked. Raises Refused, and has then not begun."""

    @abstractmethod
    def again(self) -> Asked:
        """What to ask a new model process for, after the one before has died."""

    def wait(self, position: int) -> None:
        """It stands in the line, and so many are to begin up to its own turn."""
        if position != self._position:
            self._position = position
            self._tell("queued")

    @abstractmethod
    def interrupted(self, sentence: str) -> None:
        """The model process has died; another one is on its way."""

    @abstractmethod
    def hear(self, event: JobEvent) -> bool:
        """Something happened that does not end it. Returns whether it has got ahead: something is kept now."""

    def onward(self, known: Callable[[], Known], event: Finished | Filled) -> Asked | None:
        """What to ask the model next, where what it has finished was a part of the job; else None. Raises Refused."""
        return None

    @abstractmethod
    def finish(self, event: Finished | Filled) -> Ending:
        """The model is done with it."""

    def conclude(self, ending: Ending) -> None:
        """It is over: noted and told."""
        sentence = ending.sentence
        if not sentence and ending.state == "stopped":
            sentence = self._stopped() if self._begun else "Taken out of the line before it was begun."
        if self._begun:
            note = {"sentence": sentence, "reason": ending.reason, "meter": self._meter()}
            # A store that does not take this note has been the end of the job already; the next start puts it right.
            with contextlib.suppress(StoreError):
                self._store.end_job(self.id, ending.state, note)
        self._tell(ending.state, sentence, ending.reason)

    @property
    @abstractmethod
    def complete(self) -> bool:
        """All of it is there; only the word that it is finished is missing."""

    def facts(self) -> DeskEvent:
        """What a page that opens now shows of it.

        step: the block being denoised as in a "step" event, or None. reading: {done, total} while the prompt is read.
        """
        return {
            **self._about(),
            "section_title": self._section.title,
            "state": "running" if self._begun else "queued",
            "waiting": False,
            "stopping": self.ending is not None,
            "reading": None,
            "step": None,
        }

    # ------------------------------------------------------------------------------------------- for the kinds of job

    @property
    @abstractmethod
    def _begun(self) -> bool: ...

    @abstractmethod
    def _stopped(self) -> str:
        """What is said of it where the writer has stopped it."""

    def _meter(self) -> DeskEvent | None:
        return None

    def _about(self) -> DeskEvent:
        """What every "job" event says of it."""
        return {
            "job": self.id,
            "kind": self.kind,
            "document_id": self.document_id,
            "section_id": self.section_id,
            "position": 0 if self._begun else self._position,
            "dial": asdict(self._dial),
            "stop_name": self._stop_name,
            "seed": str(self._seed),  # JavaScript's numbers do not hold 64 bits
            "left_out": [],
            "meter": self._meter(),
        }

    def _tell(self, state: str, sentence: str = "", reason: str | None = None) -> None:
        self._publish("job", **{**self._about(), "state": state, "sentence": sentence, "reason": reason})

    def _publish(self, type_: str, **facts: Any) -> None:
        """An event about this job."""
        self.owner.publish({"type": type_, "job": self.id, "section_id": self.section_id, **facts})
