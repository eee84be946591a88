"""What the press knows of a job: when its turn comes, what it hears, how it ends.

Knows nothing of what is written or where it is kept.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Literal

from app.dialing import Corrections
from app.events import DeskEvent
from model.catalog import Entry
from model.contract import Fill, Filled, Finished, JobEvent, Ready, Request

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

    owner       whose it is: visitors take turns.
    section_id  what it writes in.
    ending      set once it is to end: the press then asks the model to let go of it.
    """

    kind: str

    def __init__(self, owner: Hashable, document_id: int, section_id: int) -> None:
        self.id = uuid.uuid4().hex
        self.owner = owner
        self.document_id = document_id
        self.section_id = section_id
        self.ending: Ending | None = None

    @abstractmethod
    def check(self, known: Known) -> None:
        """Raises Refused where it could not be begun as things are."""

    @abstractmethod
    def begin(self, known: Known) -> Asked:
        """Its turn: what the model is asked. Raises Refused, and has then not begun."""

    @abstractmethod
    def again(self) -> Asked:
        """What to ask a new model process for, after the one before has died."""

    @abstractmethod
    def wait(self, position: int) -> None:
        """It stands in the line, and so many are to begin up to its own turn."""

    @abstractmethod
    def interrupted(self, sentence: str) -> None:
        """The model process has died; another one is on its way."""

    @abstractmethod
    def hear(self, event: JobEvent) -> bool:
        """Something happened that does not end it. Returns whether it has got ahead: something is kept now."""

    @abstractmethod
    def finish(self, event: Finished | Filled) -> Ending:
        """The model is done with it."""

    @abstractmethod
    def conclude(self, ending: Ending) -> None:
        """It is over: noted and told."""

    @property
    @abstractmethod
    def complete(self) -> bool:
        """All of it is there; only the word that it is finished is missing."""

    @abstractmethod
    def facts(self) -> DeskEvent:
        """What a page that opens now shows of it: a "job" event and more."""


def state_of(task: Task) -> dict[str, Any]:
    """What every event about a job says of it."""
    return {
        "job": task.id,
        "kind": task.kind,
        "document_id": task.document_id,
        "section_id": task.section_id,
    }
