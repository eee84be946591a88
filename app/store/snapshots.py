"""Snapshots: a whole document as it was, to be looked at, compared and brought back; bringing back can be undone."""

from __future__ import annotations

from app.draft import Document, Section, one_line
from app.records import SNAPSHOT_KINDS, InvalidValue, NotFound, Snapshot, SnapshotCard, SnapshotKind
from app.store import fields
from app.store.keeping import DOCUMENT_FIELDS, SECTION_FIELDS, bump_document, bump_section, keep, read_document
from app.store.sections import bring_back, put_in_order, take_out
from app.store.text import change_text
from app.store.transaction import Transaction, Verbs, possible
from app.store.tree import Change

_CARDS = (
    "SELECT s.id, s.document_id, s.at, s.name, s.kind, count(p.place), coalesce(sum(p.words), 0) FROM snapshots s "
    "LEFT JOIN snapshot_sections p ON p.snapshot_id = s.id WHERE {} GROUP BY s.id ORDER BY s.id DESC"
)


class SnapshotVerbs(Verbs):
    def take_snapshot(self, document_id: int, name: str, kind: SnapshotKind = "named") -> SnapshotCard:
        """Keeps the document as it is, with everything in it. Raises NotFound, InvalidValue."""
        if kind not in SNAPSHOT_KINDS:
            raise InvalidValue(
                f"There are no snapshots of the kind {kind!r}; choose one of {', '.join(SNAPSHOT_KINDS)}."
            )
        with self._writing() as tx:
            return _card(tx, keep(tx, tx.document(document_id), one_line(name), kind))

    def snapshots(self, document_id: int) -> list[SnapshotCard]:
        """All snapshots of a document, the last one first. Raises NotFound."""
        with self._reading() as tx:
            tx.document(document_id)
            rows = tx.db.execute(_CARDS.format("s.document_id = ?"), [document_id])
            return [SnapshotCard(*row) for row in rows]

    def snapshot(self, snapshot_id: int) -> Snapshot:
        """The document as it was; also of one that has been deleted. Raises NotFound."""
        with self._reading() as tx:
            return _snapshot(tx, snapshot_id)

    def restore_snapshot(self, snapshot_id: int, revision: int) -> Document:
        """Makes the document what it was, and keeps what it is in a snapshot "before restore".

        Every section gets its text as a new version, to be undone by itself, and its other fields; sections deleted
        since come back, sections added since are deleted. revision: the document's. Raises NotFound, StaleDocument.
        """
        with self._writing() as tx:
            snapshot = _snapshot(tx, snapshot_id)
            card, old = snapshot.card, snapshot.document
            document = tx.document(card.document_id)
            tx.expect_document(document, revision)
            bump_document(tx, document.id)
            kept = keep(tx, document, f"Before “{card.name}” was restored", "before restore")
            fields.write_document(tx, document.id, {name: getattr(old, name) for name in DOCUMENT_FIELDS})
            wanted = [section.id for section in old.sections]
            for section_id in {section.id for section in document.sections} - set(wanted):
                take_out(tx, section_id)
            for section in old.sections:
                bring_back(tx, section.id)
                _restore(tx, section, card.name)
            put_in_order(tx, wanted)
            about = {"snapshot": snapshot_id, "kept": kept}
            tx.log(document.id, None, "snapshot restored", revision + 1, after=card.name, detail=about)
            return tx.document(document.id)


def _restore(tx: Transaction, old: Section, name: str) -> None:
    """Makes a section what it was: first its text, because a planned section that gets words becomes a draft."""
    now = tx.section(old.id)
    if now.blocks != old.blocks:
        now = change_text(tx, now, old.blocks, Change("restore", name), "restored")
    wanted = {field: getattr(old, field) for field in SECTION_FIELDS}
    changes = fields.changed(now, wanted)
    if changes:
        bump_section(tx, now)
        fields.write_section(tx, now.id, wanted)
        tx.log(now.document_id, now.id, "section changed", now.revision + 1, detail=changes)


def _card(tx: Transaction, snapshot_id: int) -> SnapshotCard:
    """Raises NotFound."""
    row = possible(snapshot_id) and tx.db.execute(_CARDS.format("s.id = ?"), [snapshot_id]).fetchone()
    if not row:
        raise NotFound("This snapshot was never here; look at the document's snapshots again.")
    return SnapshotCard(*row)


def _snapshot(tx: Transaction, snapshot_id: int) -> Snapshot:
    card = _card(tx, snapshot_id)
    (content,) = tx.db.execute(
        "SELECT c.fields FROM snapshots s JOIN contents c ON c.id = s.content_id WHERE s.id = ?", [snapshot_id]
    ).fetchone()
    return Snapshot(card, read_document(tx, snapshot_id, card.document_id, content, card.at))
