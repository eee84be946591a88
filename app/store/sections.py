"""Sections: their order, their own fields, taking them away and bringing them back."""

from __future__ import annotations

from typing import Unpack

from app.draft import Document, Section
from app.records import InvalidValue, NotFound, SectionFields
from app.store import fields
from app.store.keeping import bump_document, bump_section
from app.store.transaction import Transaction, Verbs, possible
from app.store.tree import plant


class SectionVerbs(Verbs):
    def section(self, section_id: int) -> Section:
        """Raises NotFound."""
        with self._reading() as tx:
            return tx.section(section_id)

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
        wanted = fields.checked({"title": title, "brief": brief, "target_words": target_words})
        with self._writing() as tx:
            document = tx.document(document_id)
            tx.expect_document(document, revision, "\n".join([wanted["title"], wanted["brief"]]).strip())
            ids = [section.id for section in document.sections]
            if after is not None and after not in ids:
                raise NotFound("The section after which the new one should stand is not in this document any more.")
            place = 0 if after is None else ids.index(after) + 1
            bump_document(tx, document_id)
            added = insert_section(tx, document_id, revision + 1, place, **wanted)
            put_in_order(tx, [*ids[:place], added, *ids[place:]])
            return tx.document(document_id)

    def change_section(self, section_id: int, revision: int, **given: Unpack[SectionFields]) -> Section:
        """Changes what is given. revision: the section's. Raises NotFound, StaleRevision, InvalidValue."""
        wanted = fields.checked(given)
        with self._writing() as tx:
            section = tx.find(section_id, revision, fields.said(wanted))
            changes = fields.changed(section, wanted)
            if not changes:
                return section
            tx.expect_section(section, revision, fields.said(wanted))
            bump_section(tx, section)
            fields.write_section(tx, section_id, wanted)
            tx.log(section.document_id, section_id, "section changed", revision + 1, detail=changes)
            return tx.section(section_id)

    def delete_section(self, section_id: int, revision: int) -> Document:
        """Takes the section out of its document; its text and history stay in the database.

        revision: the section's, so that words typed elsewhere are not deleted unseen. Raises NotFound, StaleRevision.
        """
        with self._writing() as tx:
            section = tx.section(section_id)
            tx.expect_section(section, revision)
            bump_document(tx, section.document_id)
            take_out(tx, section_id)
            document = tx.document(section.document_id)
            put_in_order(tx, [other.id for other in document.sections])
            tx.log(section.document_id, section_id, "section deleted", document.revision, before=section.title)
            return document

    def restore_section(self, section_id: int) -> Document:
        """Brings a deleted section back to where it stood; one that is there stays. Raises NotFound, InvalidValue."""
        with self._writing() as tx:
            row = (
                possible(section_id)
                and tx.db.execute(
                    "SELECT s.document_id, s.place, s.title, s.deleted IS NOT NULL, d.deleted IS NOT NULL "
                    "FROM sections s JOIN documents d ON d.id = s.document_id WHERE s.id = ?",
                    [section_id],
                ).fetchone()
            )
            if not row:
                raise NotFound("This section was never here; look at the list of deleted ones again.")
            document_id, place, title, deleted, with_document = row
            if with_document:
                raise InvalidValue("The document of this section was deleted, too; bring the document back first.")
            if deleted:
                bump_document(tx, document_id)
                ids = tx.section_ids(document_id)
                ids.insert(place, section_id)
                bring_back(tx, section_id)
                put_in_order(tx, ids)
                revision = tx.document(document_id).revision
                tx.log(document_id, section_id, "section restored", revision, after=title, detail={"position": place})
            return tx.document(document_id)

    def move_section(self, section_id: int, revision: int, position: int) -> Document:
        """Puts the section at a position counted from 0; one beyond the ends means the end.

        revision: the document's, whose order it is. Raises NotFound, StaleDocument.
        """
        with self._writing() as tx:
            section = tx.section(section_id)
            document = tx.document(section.document_id)
            ids = [other.id for other in document.sections]
            old, new = ids.index(section_id), min(max(position, 0), len(ids) - 1)
            if old == new:
                return document
            tx.expect_document(document, revision)
            bump_document(tx, document.id)
            ids.insert(new, ids.pop(old))
            put_in_order(tx, ids)
            tx.log(document.id, section_id, "section moved", revision + 1, detail={"position": [old, new]})
            return tx.document(document.id)


def insert_section(
    tx: Transaction, document_id: int, revision: int, place: int, title: str, brief: str, target_words: int
) -> int:
    """Returns the id of a new section without text."""
    row = {"title": title, "brief": brief, "target_words": target_words, "status": "planned"}
    section_id = tx.insert("sections", {"document_id": document_id, "place": place, **row})
    plant(tx, section_id)
    tx.log(document_id, section_id, "section added", revision, after=title, detail={"position": place, **row})
    return section_id


def take_out(tx: Transaction, section_id: int) -> None:
    tx.db.execute("UPDATE sections SET deleted = ?, search_stale = 1 WHERE id = ?", [tx.at, section_id])


def bring_back(tx: Transaction, section_id: int) -> None:
    tx.db.execute("UPDATE sections SET deleted = NULL, search_stale = 1 WHERE id = ?", [section_id])


def put_in_order(tx: Transaction, ids: list[int]) -> None:
    for place, section_id in enumerate(ids):
        tx.db.execute("UPDATE sections SET place = ? WHERE id = ? AND place <> ?", [place, section_id, place])
