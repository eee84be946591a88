"""Documents: their list, their own fields, taking them away and bringing them back."""

from __future__ import annotations

from typing import Unpack

from app.draft import Card, Document, one_line
from app.records import Deleted, DocumentFields, NotFound
from app.store import fields
from app.store.keeping import bump_document
from app.store.sections import insert_section
from app.store.transaction import Verbs, possible


class DocumentVerbs(Verbs):
    def documents(self) -> list[Card]:
        """All documents, the last changed first."""
        with self._reading() as tx:
            rows = tx.db.execute(
                "SELECT d.id, d.title, d.updated, count(s.id), coalesce(sum(s.words), 0) FROM documents d "
                "LEFT JOIN sections s ON s.document_id = d.id AND s.deleted IS NULL "
                "WHERE d.deleted IS NULL GROUP BY d.id ORDER BY d.updated DESC, d.id DESC"
            )
            return [Card(*row) for row in rows]

    def document(self, document_id: int) -> Document:
        """Raises NotFound."""
        with self._reading() as tx:
            return tx.document(document_id)

    def create_document(self, title: str) -> Document:
        """A new document with one empty section."""
        title = one_line(title)
        with self._writing() as tx:
            document_id = tx.insert("documents", {"title": title, "created": tx.at, "updated": tx.at})
            tx.log(document_id, None, "document added", 0, after=title)
            insert_section(tx, document_id, 0, 0, "", "", 150)
            return tx.document(document_id)

    def change_document(self, document_id: int, revision: int, **given: Unpack[DocumentFields]) -> Document:
        """Changes what is given. revision: the document's. Raises NotFound, StaleDocument, InvalidValue."""
        wanted = fields.checked(given)
        with self._writing() as tx:
            document = tx.document(document_id)
            changes = fields.changed(document, wanted)
            if not changes:
                return document
            tx.expect_document(document, revision, fields.said(wanted))
            bump_document(tx, document_id)
            fields.write_document(tx, document_id, wanted)
            if "title" in changes:
                before, after = changes.pop("title")
                tx.log(document_id, None, "document renamed", revision + 1, before=before, after=after)
            if changes:
                tx.log(document_id, None, "document changed", revision + 1, detail=changes)
            return tx.document(document_id)

    def delete_document(self, document_id: int, revision: int) -> None:
        """Takes the document out of every list; its text and history stay in the database.

        revision: the document's. Raises NotFound, StaleDocument.
        """
        with self._writing() as tx:
            document = tx.document(document_id)
            tx.expect_document(document, revision)
            bump_document(tx, document_id)
            tx.db.execute("UPDATE documents SET deleted = ? WHERE id = ?", [tx.at, document_id])
            tx.db.execute("UPDATE sections SET search_stale = 1 WHERE document_id = ?", [document_id])
            tx.log(document_id, None, "document deleted", revision + 1, before=document.title)

    def restore_document(self, document_id: int) -> Document:
        """Brings a deleted document back as it was; one that is there stays as it is. Raises NotFound."""
        with self._writing() as tx:
            row = (
                possible(document_id)
                and tx.db.execute(
                    "SELECT deleted IS NOT NULL, title, revision FROM documents WHERE id = ?", [document_id]
                ).fetchone()
            )
            if not row:
                raise NotFound("This document was never here; look at the list of deleted ones again.")
            deleted, title, revision = row
            if deleted:
                tx.db.execute(
                    "UPDATE documents SET deleted = NULL, revision = revision + 1, updated = ? WHERE id = ?",
                    [tx.at, document_id],
                )
                tx.db.execute("UPDATE sections SET search_stale = 1 WHERE document_id = ?", [document_id])
                tx.log(document_id, None, "document restored", revision + 1, after=title)
            return tx.document(document_id)

    def deleted(self, document_id: int | None = None) -> list[Deleted]:
        """What can be brought back, the last deleted first: documents, or the sections of a document.

        Raises NotFound.
        """
        with self._reading() as tx:
            if document_id is None:
                rows = tx.db.execute(
                    "SELECT d.id, NULL, d.title, coalesce(sum(s.words), 0), d.deleted FROM documents d "
                    "LEFT JOIN sections s ON s.document_id = d.id AND s.deleted IS NULL "
                    "WHERE d.deleted IS NOT NULL GROUP BY d.id ORDER BY d.deleted DESC, d.id DESC"
                )
            else:
                tx.document(document_id)
                rows = tx.db.execute(
                    "SELECT document_id, id, title, words, deleted FROM sections "
                    "WHERE document_id = ? AND deleted IS NOT NULL ORDER BY deleted DESC, id DESC",
                    [document_id],
                )
            return [Deleted(*row) for row in rows]
