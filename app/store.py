"""Documents, their history and their jobs in one SQLite file: what a writer has typed or seen locked in is in here.

Knows nothing of the model, the page or events. Every verb is one transaction and is on the disk when it returns. Every
write names the revision it was made on; a stale one is refused, and the refused text is kept in the history.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from sqlite_utils import Database

from app.database import Door, StoreError, StoreUnavailable
from app.draft import (
    STATUSES,
    Block,
    Card,
    Document,
    Section,
    Status,
    count_words,
    join,
    one_line,
    replace_text,
    shared_prefix,
    shared_suffix,
    storable,
)
from app.records import HistoryRow, InvalidValue, JobRow, JobState, Kind, NotFound, StaleDocument, StaleRevision
from app.rows import BlockCache, block_row, insert_blocks

__all__ = [
    "MAX_TARGET_WORDS",
    "HistoryRow",
    "InvalidValue",
    "JobRow",
    "JobState",
    "NotFound",
    "StaleDocument",
    "StaleRevision",
    "Store",
    "StoreError",
    "StoreUnavailable",
]

MAX_TARGET_WORDS = 5000
"""The longest section a target may ask for, in words."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Store:
    """All verbs raise StoreUnavailable when the file cannot be read or written, and are safe from several threads."""

    def __init__(self, path: Path, *, now: Callable[[], datetime] = _utc_now) -> None:
        """Opens the database, makes it where there is none, brings an older one up to date.

        Raises StoreUnavailable: damaged, not ours, newer, read-only, full or in the way; the file is left as it is.
        """
        self._door = Door(path)
        self._now = now
        # Guarded by the door's lock: used inside its transactions only.
        self._blocks = BlockCache()

    def close(self) -> None:
        self._door.close()

    # ------------------------------------------------------------------------------------------------- documents

    def documents(self) -> list[Card]:
        """All documents, the last changed first."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT d.id, d.title, d.updated, count(s.id), coalesce(sum(s.words), 0) FROM documents d "
                "LEFT JOIN sections s ON s.document_id = d.id AND s.deleted IS NULL "
                "WHERE d.deleted IS NULL GROUP BY d.id ORDER BY d.updated DESC, d.id DESC"
            )
            return [Card(*row) for row in rows]

    def document(self, document_id: int) -> Document:
        """Raises NotFound."""
        with self._reading() as db:
            return self._document(db, document_id)

    def create_document(self, title: str) -> Document:
        """A new document with one empty section."""
        at, title = self._at(), one_line(title)
        with self._writing() as db:
            document_id = _insert(db, "documents", {"title": title, "created": at, "updated": at})
            _log(db, at, document_id, None, "document added", 0, after=title)
            self._insert_section(db, at, document_id, 0, 0, "", "", 150)
            return self._document(db, document_id)

    def rename_document(self, document_id: int, revision: int, title: str) -> Document:
        """revision: the document's. Raises NotFound, StaleDocument."""
        title = one_line(title)
        with self._writing() as db:
            document = self._document(db, document_id)
            if title == document.title:
                return document
            self._expect_document(db, document, revision, title)
            at = self._at()
            _bump_document(db, at, document_id)
            db.execute("UPDATE documents SET title = ? WHERE id = ?", [title, document_id])
            _log(db, at, document_id, None, "document renamed", revision + 1, before=document.title, after=title)
            return self._document(db, document_id)

    def delete_document(self, document_id: int, revision: int) -> None:
        """Takes the document out of every list; its text and history stay in the database.

        revision: the document's. Raises NotFound, StaleDocument.
        """
        with self._writing() as db:
            document = self._document(db, document_id)
            self._expect_document(db, document, revision, "")
            at = self._at()
            _bump_document(db, at, document_id)
            db.execute("UPDATE documents SET deleted = ? WHERE id = ?", [at, document_id])
            _log(db, at, document_id, None, "document deleted", revision + 1, before=document.title)

    # -------------------------------------------------------------------------------------------------- sections

    def section(self, section_id: int) -> Section:
        """Raises NotFound."""
        with self._reading() as db:
            return self._section(db, section_id)

    def add_section(
        self,
        document_id: int,
        revision: int,
        *,
        after: int | None,
        title: str = "",
        brief: str = "",
        target_words: int = 150,
    ) -> Document:
        """A new section behind the section `after`, or at the beginning where that is None.

        revision: the document's. Raises NotFound, StaleDocument, InvalidValue.
        """
        title, brief, target_words = one_line(title), storable(brief), _target(target_words)
        with self._writing() as db:
            document = self._document(db, document_id)
            self._expect_document(db, document, revision, f"{title}\n{brief}".strip())
            ids = [section.id for section in document.sections]
            if after is not None and after not in ids:
                raise NotFound("The section after which the new one should stand is not in this document any more.")
            at, place = self._at(), 0 if after is None else ids.index(after) + 1
            _bump_document(db, at, document_id)
            added = self._insert_section(db, at, document_id, revision + 1, place, title, brief, target_words)
            _put_in_order(db, [*ids[:place], added, *ids[place:]])
            return self._document(db, document_id)

    def change_section(
        self,
        section_id: int,
        revision: int,
        *,
        title: str | None = None,
        brief: str | None = None,
        target_words: int | None = None,
        status: Status | None = None,
    ) -> Section:
        """Changes what is given. revision: the section's. Raises NotFound, StaleRevision, InvalidValue."""
        wanted: dict[str, Any] = {}
        if title is not None:
            wanted["title"] = one_line(title)
        if brief is not None:
            wanted["brief"] = storable(brief)
        if target_words is not None:
            wanted["target_words"] = _target(target_words)
        if status is not None:
            wanted["status"] = _status(status)
        said = "\n".join(str(value) for value in wanted.values())
        with self._writing() as db:
            section = self._find(db, section_id, revision, said)
            changes = {
                name: [getattr(section, name), value]
                for name, value in wanted.items()
                if value != getattr(section, name)
            }
            if not changes:
                return section
            self._expect_section(db, section, revision, said)
            at = self._at()
            for name, (_, value) in changes.items():
                db.execute(f"UPDATE sections SET {name} = ? WHERE id = ?", [value, section_id])
            _bump_section(db, at, section)
            _log(db, at, section.document_id, section_id, "section changed", revision + 1, detail=changes)
            return self._section(db, section_id)

    def delete_section(self, section_id: int, revision: int) -> Document:
        """Takes the section out of its document; its text and history stay in the database.

        revision: the section's, so that words typed elsewhere are not deleted unseen. Raises NotFound, StaleRevision.
        """
        with self._writing() as db:
            section = self._section(db, section_id)
            self._expect_section(db, section, revision, "")
            at = self._at()
            _bump_document(db, at, section.document_id)
            db.execute("UPDATE sections SET deleted = ? WHERE id = ?", [at, section_id])
            document = self._document(db, section.document_id)
            _put_in_order(db, [other.id for other in document.sections])
            _log(db, at, section.document_id, section_id, "section deleted", document.revision, before=section.title)
            return document

    def move_section(self, section_id: int, revision: int, position: int) -> Document:
        """Puts the section at a position counted from 0; one beyond the ends means the end.

        revision: the document's, whose order it is. Raises NotFound, StaleDocument.
        """
        with self._writing() as db:
            section = self._section(db, section_id)
            document = self._document(db, section.document_id)
            ids = [other.id for other in document.sections]
            old, new = ids.index(section_id), min(max(position, 0), len(ids) - 1)
            if old == new:
                return document
            self._expect_document(db, document, revision, "")
            at = self._at()
            _bump_document(db, at, document.id)
            ids.insert(new, ids.pop(old))
            _put_in_order(db, ids)
            _log(db, at, document.id, section_id, "section moved", revision + 1, detail={"position": [old, new]})
            return self._document(db, document.id)

    def _insert_section(
        self,
        db: Database,
        at: str,
        document_id: int,
        revision: int,
        place: int,
        title: str,
        brief: str,
        target_words: int,
    ) -> int:
        fields = {"title": title, "brief": brief, "target_words": target_words, "status": "planned"}
        section_id = _insert(db, "sections", {"document_id": document_id, "place": place, **fields})
        _log(
            db,
            at,
            document_id,
            section_id,
            "section added",
            revision,
            after=title,
            detail={"position": place, **fields},
        )
        return section_id

    # ------------------------------------------------------------------------------------------------------ text

    def save_text(self, section_id: int, revision: int, seen_blocks: int, text: str) -> Section:
        """The writer's text takes the place of the section's first `seen_blocks` blocks; later ones stay behind it.

        revision: the section's. Text that already stands there changes nothing, whatever the revision.
        Raises StaleRevision (also where there are fewer than `seen_blocks` blocks), NotFound.
        """
        text = storable(text)
        with self._writing() as db:
            section = self._find(db, section_id, revision, text)
            if text == section.text and (revision != section.revision or seen_blocks == len(section.blocks)):
                return section
            self._expect_section(db, section, revision, text, valid=0 <= seen_blocks <= len(section.blocks))
            seen = section.blocks[:seen_blocks]
            if text == join(seen):
                return section
            at = self._at()
            made = replace_text(seen, text)
            removed = _replace_rows(db, section_id, seen, made)
            blocks = made + section.blocks[seen_blocks:]
            self._blocks.put(section_id, blocks)
            _bump_section(db, at, section)
            _count(db, section_id, count_words(join(blocks)))
            place, before, after = _span(join(seen), text)
            _log(
                db,
                at,
                section.document_id,
                section_id,
                "edit",
                revision + 1,
                place=place,
                before=before,
                after=after,
                detail={"removed": removed} if removed else {},
            )
            return self._section(db, section_id)

    def append_block(self, section_id: int, block: Block) -> tuple[int, Section]:
        """Puts a block of the model at the end: (its index, the section with it). On the disk when this returns.

        Leaves the section's revision alone. A planned section becomes a draft. Raises NotFound where the section has
        been deleted; the block's text is then kept in the history.
        """
        block = replace(block, text=storable(block.text))
        with self._writing() as db:
            section = self._find(db, section_id, -1, block.text)
            at, index = self._at(), len(section.blocks)
            insert_blocks(db, section_id, index, [block])
            self._blocks.put(section_id, (*section.blocks, block))
            _touch(db, at, section.document_id)
            known = db.execute("SELECT words FROM sections WHERE id = ?", [section_id]).fetchone()[0]
            _count(db, section_id, known + _words_more(section.text, block.text))
            _log(
                db,
                at,
                section.document_id,
                section_id,
                "block",
                section.revision,
                place=len(section.text),
                after=block.text,
                detail={"index": index, "job": block.job},
            )
            return index, self._section(db, section_id)

    # ------------------------------------------------------------------------------------------------------ jobs

    def start_job(self, job: str, section_id: int, request: Mapping[str, Any]) -> None:
        """Notes a running job. request: what was asked, as JSON values. Raises NotFound, InvalidValue (id in use)."""
        with self._writing() as db:
            self._section(db, section_id)
            if db.execute("SELECT 1 FROM jobs WHERE job = ?", [job]).fetchone():
                raise InvalidValue(f"The job {job} has been started before; give the new one another name.")
            _insert(
                db,
                "jobs",
                {
                    "job": job,
                    "section_id": section_id,
                    "state": "running",
                    "request": json.dumps(dict(request)),
                    "started": self._at(),
                },
            )

    def end_job(self, job: str, state: JobState, note: Any) -> None:
        """Notes how a job ended. note: JSON values. Raises NotFound."""
        with self._writing() as db:
            changed = db.execute(
                "UPDATE jobs SET state = ?, note = ?, ended = ? WHERE job = ?",
                [state, json.dumps(note), self._at(), job],
            )
            if not changed.rowcount:
                raise NotFound(f"There is no job {job}; look at the list of jobs again.")

    def jobs(self, section_id: int) -> list[JobRow]:
        """All jobs of a section, the first one first."""
        return self._jobs("section_id = ?", [section_id])

    def unfinished_jobs(self) -> list[JobRow]:
        """Jobs that were started and never ended: running now, or cut off by a crash."""
        return self._jobs("state = 'running'", [])

    def _jobs(self, where: str, values: list[Any]) -> list[JobRow]:
        with self._reading() as db:
            rows = db.execute(
                f"SELECT job, section_id, state, request, note, started, ended FROM jobs WHERE {where} ORDER BY rowid",
                values,
            ).fetchall()
        return [
            JobRow(job, of, state, json.loads(request), json.loads(note), *t)
            for job, of, state, request, note, *t in rows
        ]

    # --------------------------------------------------------------------------------------------------- history

    def history(self, *, section_id: int | None = None, document_id: int | None = None) -> list[HistoryRow]:
        """Everything that happened to a section or to a document with its sections, the first change first.

        Also of deleted ones; empty for an id that never was.
        """
        column, value = ("document_id", document_id) if section_id is None else ("section_id", section_id)
        if value is None or not _possible(value):
            return []
        with self._reading() as db:
            rows = db.execute(
                "SELECT id, at, document_id, section_id, kind, revision, place, before, after, detail FROM history "
                f"WHERE {column} = ? ORDER BY id",
                [value],
            ).fetchall()
        return [HistoryRow(*(*row, json.loads(detail))) for *row, detail in rows]

    # --------------------------------------------------------------------------------------------------- refusals

    def _find(self, db: Database, section_id: int, revision: int, text: str) -> Section:
        """The section; where it has been deleted, the text goes to the history and NotFound is raised."""
        if _possible(section_id):
            gone = db.execute(
                "SELECT d.id FROM sections s JOIN documents d ON d.id = s.document_id "
                "WHERE s.id = ? AND (s.deleted IS NOT NULL OR d.deleted IS NOT NULL)",
                [section_id],
            ).fetchone()
            if gone and text:
                self._keep_refused(db, gone[0], section_id, revision, text)
        return self._section(db, section_id)

    def _expect_section(self, db: Database, section: Section, revision: int, mine: str, *, valid: bool = True) -> None:
        if revision != section.revision or not valid:
            self._keep_refused(db, section.document_id, section.id, revision, mine)
            raise StaleRevision(mine, section)

    def _expect_document(self, db: Database, document: Document, revision: int, mine: str) -> None:
        if revision != document.revision:
            self._keep_refused(db, document.id, None, revision, mine)
            raise StaleDocument(mine, document)

    def _keep_refused(self, db: Database, document_id: int, section_id: int | None, revision: int, mine: str) -> None:
        """Commits the refused text to the history at once, because the refusal that follows undoes the rest.

        A tab that tries again and again with the same text leaves one entry.
        """
        last = db.execute(
            "SELECT kind, after FROM history WHERE document_id = ? AND section_id IS ? ORDER BY id DESC LIMIT 1",
            [document_id, section_id],
        ).fetchone()
        if mine and last != ("refused", mine):
            made_on = revision if _possible(revision) else -1
            _log(db, self._at(), document_id, section_id, "refused", made_on, after=mine)
        db.commit()

    # --------------------------------------------------------------------------------------------- transactions

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Database]:
        with self._door.reading() as db:
            self._blocks.check(db)
            yield db

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Database]:
        done = False
        try:
            with self._door.writing() as db:
                self._blocks.check(db)
                yield db
            done = True
        finally:
            if not done:
                self._blocks.forget()

    def _document(self, db: Database, document_id: int) -> Document:
        found = (
            _possible(document_id)
            and db.execute(
                "SELECT title, revision, created, updated FROM documents WHERE id = ? AND deleted IS NULL",
                [document_id],
            ).fetchone()
        )
        if not found:
            raise NotFound("This document does not exist any more; open another one from the list.")
        title, revision, created, updated = found
        ids = db.execute(
            "SELECT id FROM sections WHERE document_id = ? AND deleted IS NULL ORDER BY place", [document_id]
        ).fetchall()
        sections = tuple(self._section(db, section_id) for (section_id,) in ids)
        return Document(document_id, title, revision, sections, created, updated)

    def _section(self, db: Database, section_id: int) -> Section:
        found = (
            _possible(section_id)
            and db.execute(
                "SELECT s.id, s.document_id, s.title, s.brief, s.target_words, s.status, s.revision FROM sections s "
                "JOIN documents d ON d.id = s.document_id "
                "WHERE s.id = ? AND s.deleted IS NULL AND d.deleted IS NULL",
                [section_id],
            ).fetchone()
        )
        if not found:
            raise NotFound("This section does not exist any more; look at the document again.")
        return Section(*(*found, self._blocks.read(db, section_id)))

    def _at(self) -> str:
        return self._now().astimezone(UTC).isoformat(timespec="milliseconds")


# ------------------------------------------------------------------------------------------------------------- rows


def _possible(number: int) -> bool:
    """Whether SQLite's integers can hold it; a larger one cannot be an id."""
    return -(2**63) <= number < 2**63


def _insert(db: Database, table: str, row: dict[str, Any]) -> int:
    return cast(int, db.table(table).insert(row).last_rowid)


def _replace_rows(
    db: Database, section_id: int, old: tuple[Block, ...], new: tuple[Block, ...]
) -> list[dict[str, Any]]:
    """Makes `new` of the section's first rows, touching only those that differ; returns the model's rows taken out."""
    first = 0
    while first < min(len(old), len(new)) and old[first] is new[first]:
        first += 1
    kept = 0
    while kept < min(len(old), len(new)) - first and old[-1 - kept] is new[-1 - kept]:
        kept += 1
    last, grown = len(old) - kept, len(new) - len(old)
    db.execute("DELETE FROM blocks WHERE section_id = ? AND place >= ? AND place < ?", [section_id, first, last])
    if grown:
        db.execute("UPDATE blocks SET place = place + ? WHERE section_id = ? AND place >= ?", [grown, section_id, last])
    insert_blocks(db, section_id, first, new[first : len(new) - kept])
    # A writer's block has nothing but its text, and the span in the history has that.
    return [{"index": index, **block_row(old[index])} for index in range(first, last) if old[index].author != "writer"]


def _span(old: str, new: str) -> tuple[int, str, str]:
    """(place, before, after): at `place` in `old` stands `before`, which becomes `after`."""
    left = shared_prefix(old, new)
    right = shared_suffix(old, new, min(len(old), len(new)) - left)
    return left, old[left : len(old) - right], new[left : len(new) - right]


def _log(
    db: Database,
    at: str,
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
    row = {"at": at, "document_id": document_id, "section_id": section_id, "kind": kind, "revision": revision}
    _insert(
        db, "history", {**row, "place": place, "before": before, "after": after, "detail": json.dumps(detail or {})}
    )


def _touch(db: Database, at: str, document_id: int) -> None:
    db.execute("UPDATE documents SET updated = ? WHERE id = ?", [at, document_id])


def _bump_document(db: Database, at: str, document_id: int) -> None:
    db.execute("UPDATE documents SET revision = revision + 1 WHERE id = ?", [document_id])
    _touch(db, at, document_id)


def _bump_section(db: Database, at: str, section: Section) -> None:
    db.execute("UPDATE sections SET revision = revision + 1 WHERE id = ?", [section.id])
    _touch(db, at, section.document_id)


def _count(db: Database, section_id: int, words: int) -> None:
    """Notes a section's word count; a planned section with words becomes a draft."""
    db.execute(
        "UPDATE sections SET words = ?, status = CASE WHEN status = 'planned' AND ? THEN 'draft' ELSE status END "
        "WHERE id = ?",
        [words, words > 0, section_id],
    )


def _words_more(text: str, added: str) -> int:
    """How many words `text` gains when `added` is put behind it, without counting all of `text` again.

    No word has space inside, so only the last stretch without space can change.
    """
    last = "" if not text or text[-1].isspace() else text.rsplit(None, 1)[-1]
    return count_words(last + added) - count_words(last)


def _put_in_order(db: Database, ids: list[int]) -> None:
    for place, section_id in enumerate(ids):
        db.execute("UPDATE sections SET place = ? WHERE id = ?", [place, section_id])


# ------------------------------------------------------------------------------------------------------------ checks


def _target(words: int) -> int:
    if not 1 <= words <= MAX_TARGET_WORDS:
        raise InvalidValue(f"A target of {words} words is not possible; choose 1 to {MAX_TARGET_WORDS}.")
    return words


def _status(status: str) -> Status:
    if status not in STATUSES:
        raise InvalidValue(f"There is no status {status!r}; choose one of {', '.join(STATUSES)}.")
    return status
