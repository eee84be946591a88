"""What the store hands out beside documents: versions, takes, snapshots, hits, rows of its lists; and its refusals.

Knows nothing of SQLite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

from app.database import StoreError
from app.draft import Document, Section, Status

JobState = Literal["running", "finished", "stopped", "failed"]

TextKind = Literal["edit", "block", "undo", "redo", "version chosen", "take chosen", "replaced", "restored"]
"""Changes of a section's text: their `place`, `before` and `after` alone tell the whole text at any time."""

Kind = (
    Literal[
        "document added",
        "document renamed",
        "document changed",
        "document deleted",
        "document restored",
        "section added",
        "section changed",
        "section deleted",
        "section restored",
        "section moved",
        "snapshot restored",
        "refused",
    ]
    | TextKind
)

VersionKind = Literal["start", "typing", "block", "take", "restore", "replace", "import", "deleted blocks"]
"""start: the text before there were versions, at the root of every tree."""

EditKind = Literal["typing", "import", "deleted blocks"]
"""What a save of the writer's text may be."""

SnapshotKind = Literal["named", "daily", "before restore", "before replace"]

Exchange = tuple[int, int, int, int]
"""One change of a passage: its characters from the first number to the second become those of a candidate from the
third to the fourth."""

EDIT_KINDS: tuple[EditKind, ...] = get_args(EditKind)
SNAPSHOT_KINDS: tuple[SnapshotKind, ...] = get_args(SnapshotKind)


class DocumentFields(TypedDict, total=False):
    """What can be changed of a document; None: stays as it is. dial: JSON, empty for none of its own."""

    title: str | None
    style: str | None
    notes: str | None
    dial: str | None


class SectionFields(TypedDict, total=False):
    """What can be changed of a section; None: stays as it is. dial: JSON, empty for the document's."""

    title: str | None
    brief: str | None
    target_words: int | None
    status: Status | None
    style: str | None
    notes: str | None
    dial: str | None


class NotFound(StoreError):
    """There is no such document, section or job, or it has been deleted."""


class InvalidValue(StoreError):
    """A value is outside what the store takes; the message says which and what is allowed."""


class PassageChanged(InvalidValue):
    """The passage that a take was written for stands nowhere in the section any more, or at several places."""


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
    revision  after the change: of the section for "section changed" and changes of its text, of the document for all
              other kinds; for "refused" the revision it was made on.
    place     of a change of the text: the character at which it begins.
    before, after  what stood there and what stands there now; for a refused save nothing and the whole refused text.
    detail    of a change of the text: the `version` it led to, and what it came from. Others: the fields that changed,
              as [before, after], but "notes" and "style" as [place, before, after]: the span of them that changed.
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


@dataclass(frozen=True, slots=True)
class Version:
    """A state of a section's text: a node of its tree of versions, which is never cut.

    parent_id    the state it was made from; None for the start.
    at           of its last change: typing in one place is one version, up to a few seconds' pause. ISO 8601, UTC.
    label        a few words to know it by; words_delta: how many more there are than in the parent.
    current      it is the section's text now. on_path: it is that, or lies between it and the start.
    """

    id: int
    parent_id: int | None
    at: str
    kind: VersionKind
    label: str
    words_delta: int
    current: bool
    on_path: bool


@dataclass(frozen=True, slots=True)
class TakeText:
    """One candidate: the whole passage as it would be. nll: nats per token, None: not known.

    mixed: of the model's words and those that stood there, as the writer took some changes and left others.
    """

    text: str
    nll: float | None
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class Take:
    """What the model offered for a passage of a section. Takes are kept for ever.

    kind    what was asked for: "reroll", "rewrite", …
    start, end  characters of the section's text when it was asked for; before: what stood there.
    candidates  the model's, best first, and after them what the writer mixed of these and of `before`.
    chosen  index of the candidate that was chosen last.
    """

    id: int
    section_id: int
    at: str
    kind: str
    start: int
    end: int
    before: str
    candidates: tuple[TakeText, ...]
    chosen: int | None = None
    job: str | None = None


@dataclass(frozen=True, slots=True)
class SnapshotCard:
    """One line of a document's list of snapshots; sections and words are counts. at: ISO 8601, UTC."""

    id: int
    document_id: int
    at: str
    name: str
    kind: SnapshotKind
    sections: int
    words: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A document as it was. Its sections keep their ids; their revisions are those of that time."""

    card: SnapshotCard
    document: Document


@dataclass(frozen=True, slots=True)
class Replacing:
    """Words for others, letter by letter: in a section, in a document, or in all there is.

    start  character of the section's text: the place that begins there alone.
    """

    query: str
    replacement: str
    document_id: int | None = None
    section_id: int | None = None
    match_case: bool = False
    start: int | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A section in which a search found something, best first.

    snippet  the text around the first match, as (text, whether it matched).
    count    of matches in title, brief, notes and text.
    start    character of the section's text at which the first match begins; None: not in the text.
    """

    document_id: int
    section_id: int
    document_title: str
    section_title: str
    snippet: tuple[tuple[str, bool], ...]
    count: int
    start: int | None


@dataclass(frozen=True, slots=True)
class Deleted:
    """A document or section that can be brought back. section_id: None for a document. at: ISO 8601, UTC."""

    document_id: int
    section_id: int | None
    title: str
    words: int
    at: str


def _called(title: str) -> str:
    return f"The section “{title}”" if title else "This section"
