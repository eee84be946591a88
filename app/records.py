"""What the store hands out beside documents: rows of the history and of jobs, and its refusals.

Knows nothing of SQLite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from app.database import StoreError
from app.draft import Document, Section

JobState = Literal["running", "finished", "stopped", "failed"]

Kind = Literal[
    "document added",
    "document renamed",
    "document deleted",
    "section added",
    "section changed",
    "section deleted",
    "section moved",
    "edit",
    "block",
    "refused",
]


class NotFound(StoreError):
    """There is no such document, section or job, or it has been deleted."""


class InvalidValue(StoreError):
    """A value is outside what the store takes; the message says which and what is allowed."""


class StaleRevision(StoreError):
    """The section was changed elsewhere since it was read; nothing was saved over it.

    mine    the refused text (or title, brief …); it is in the history, too.
    theirs  the section as it is now.
    """

    def __init__(self, mine: str, theirs: Section) -> None:
        super().__init__(
            f"{_called(theirs.title)} was changed elsewhere since it was opened here; "
            "choose which of the two versions to keep."
        )
        self.mine = mine
        self.theirs = theirs


class StaleDocument(StoreError):
    """The document's title or list of sections was changed elsewhere; nothing was changed.

    mine    the refused title, where there was one; theirs: the document as it is now.
    """

    def __init__(self, mine: str, theirs: Document) -> None:
        super().__init__("This document was changed elsewhere since it was opened here; look at it again and repeat.")
        self.mine = mine
        self.theirs = theirs


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One entry of the append-only history.

    at        ISO 8601, UTC.
    revision  after the change: of the section for "section changed", "edit" and "block", of the document for all other
              kinds; for "refused" the revision it was made on.
    place     "edit", "block": the character at which the section's text was changed.
    before, after  what stood there and what stands there now: for an edit the span that changed, for a block nothing
              and its text, for a refused save nothing and the whole refused text.
    detail    "edit": `removed`, the model's blocks that the edit took out or changed, each with its `index` and all it
              knew. Others: the fields that changed, as [before, after].
    """

    id: int
    at: str
    document_id: int
    section_id: int | None
    kind: Kind
    revision: int
    place: int
    before: str
    after: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job of a section: what was asked, how it ended and what was said about it. Times: ISO 8601, UTC."""

    job: str
    section_id: int
    state: JobState
    request: dict[str, Any]
    note: Any
    started: str
    ended: str | None


def _called(title: str) -> str:
    return f"The section “{title}”" if title else "This section"
