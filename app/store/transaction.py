"""One transaction of the store: what every verb reads, refuses and notes in it; and the ground all verbs stand on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from sqlite_utils import Database

from app.database import Door
from app.draft import Document, Section
from app.records import Kind, NotFound, StaleDocument, StaleRevision
from app.rows import ShelfCache, insert


class Transaction:
    """db: its connection. shelves: the blocks of sections. at: when it was begun, ISO 8601, UTC."""

    def __init__(self, db: Database, shelves: ShelfCache, now: datetime) -> None:
        self.db = db
        self.shelves = shelves
        self.at = now.astimezone(UTC).isoformat(timespec="milliseconds")

    # ------------------------------------------------------------------------------------------------------ reading

    def document(self, document_id: int) -> Document:
        """Raises NotFound."""
        found = possible(document_id) and self._one(
            "SELECT d.title, d.revision, d.created, d.updated, coalesce(n.style, ''), coalesce(n.notes, ''), d.dial "
            "FROM documents d LEFT JOIN document_notes n ON n.document_id = d.id WHERE d.id = ? AND d.deleted IS NULL",
            document_id,
        )
        if not found:
            raise NotFound("This document does not exist any more; open another one from the list.")
        title, revision, created, updated, style, notes, dial = found
        sections = tuple(self.section(section_id) for section_id in self.section_ids(document_id))
        return Document(document_id, title, revision, sections, created, updated, style, notes, dial)

    def section_ids(self, document_id: int) -> list[int]:
        """Of a document, in order."""
        rows = self.db.execute(
            "SELECT id FROM sections WHERE document_id = ? AND deleted IS NULL ORDER BY place", [document_id]
        )
        return [section_id for (section_id,) in rows]

    def section(self, section_id: int) -> Section:
        """Raises NotFound."""
        found = possible(section_id) and self._one(
            "SELECT s.id, s.document_id, s.title, s.brief, s.target_words, s.status, s.revision, s.dial, "
            "coalesce(n.style, ''), coalesce(n.notes, '') FROM sections s JOIN documents d ON d.id = s.document_id "
            "LEFT JOIN section_notes n ON n.section_id = s.id "
            "WHERE s.id = ? AND s.deleted IS NULL AND d.deleted IS NULL",
            section_id,
        )
        if not found:
            raise NotFound("This section does not exist any more; look at the document again.")
        *fields, dial, style, notes = found
        return Section(*(*fields, self.shelves.read(self.db, section_id).blocks, style, notes, dial))

    def _one(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        return cast("tuple[Any, ...] | None", self.db.execute(query, list(values)).fetchone())

    # ----------------------------------------------------------------------------------------------------- refusals

    def find(self, section_id: int, revision: int, text: str) -> Section:
        """The section; where it has been deleted, the text goes to the history and NotFound is raised."""
        if possible(section_id):
            gone = self._one(
                "SELECT d.id FROM sections s JOIN documents d ON d.id = s.document_id "
                "WHERE s.id = ? AND (s.deleted IS NOT NULL OR d.deleted IS NOT NULL)",
                section_id,
            )
            if gone and text:
                self._keep_refused(gone[0], section_id, revision, text)
        return self.section(section_id)

    def expect_section(self, section: Section, revision: int, mine: str = "", *, valid: bool = True) -> None:
        """To be asked before anything is changed. Raises StaleRevision; `mine` is then in the history."""
        if revision != section.revision or not valid:
            self._keep_refused(section.document_id, section.id, revision, mine)
            raise StaleRevision(mine, section)

    def expect_document(self, document: Document, revision: int, mine: str = "") -> None:
        """To be asked before anything is changed. Raises StaleDocument; `mine` is then in the history."""
        if revision != document.revision:
            self._keep_refused(document.id, None, revision, mine)
            raise StaleDocument(mine, document)

    def _keep_refused(self, document_id: int, section_id: int | None, revision: int, mine: str) -> None:
        """Commits the refused text to the history at once, because the refusal that follows undoes the rest.

        A tab that tries again and again with the same text leaves one entry.
        """
        last = self._one(
            "SELECT kind, after FROM history WHERE document_id = ? AND section_id IS ? ORDER BY id DESC LIMIT 1",
            document_id,
            section_id,
        )
        if mine and last != ("refused", mine):
            made_on = revision if possible(revision) else -1
            self.log(document_id, section_id, "refused", made_on, after=mine)
        self.db.commit()

    # ------------------------------------------------------------------------------------------------------ writing

    def insert(self, table: str, row: Mapping[str, Any]) -> int:
        """Returns the new row's id."""
        return insert(self.db, table, row)

    def log(
        self,
        document_id: int,
        section_id: int | None,
        kind: Kind,
        revision: int,
        *,
        place: int = 0,
        before: str = "",
        after: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds to the history; see HistoryRow."""
        what = {"document_id": document_id, "section_id": section_id, "kind": kind, "revision": revision}
        span = {"place": place, "before": before, "after": after}
        self.insert("history", {"at": self.at, **what, **span, "detail": json.dumps(detail or {})})


class Verbs:
    """Verbs raise StoreUnavailable when the file cannot be read or written, and are safe from several threads."""

    def __init__(self, door: Door, now: Callable[[], datetime]) -> None:
        self._door = door
        self._now = now
        # Guarded by the door's lock: used inside its transactions only.
        self._shelves = ShelfCache()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Transaction]:
        """All reads inside see one state of the database."""
        with self._door.reading() as db:
            self._shelves.check(db)
            yield Transaction(db, self._shelves, self._now())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Transaction]:
        """All or nothing, and on the disk when it is left without an error."""
        done = False
        try:
            with self._door.writing() as db:
                self._shelves.check(db)
                yield Transaction(db, self._shelves, self._now())
            done = True
        finally:
            if not done:
                self._shelves.forget()


def possible(number: int) -> bool:
    """Whether SQLite's integers can hold it; a larger one cannot be an id."""
    return -(2**63) <= number < 2**63
