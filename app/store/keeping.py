"""A document kept as it is: snapshots as rows, and the one that every day's first change leaves behind.

A content that is in a snapshot already is not written again, so a day on which one section was changed costs one.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

from app.draft import Block, Document, Section
from app.records import SnapshotKind
from app.rows import brief_row, read_brief
from app.store.transaction import Transaction

DOCUMENT_FIELDS = ("title", "style", "notes", "dial_json")
SECTION_FIELDS = ("title", "brief", "target_words", "status", "style", "notes", "dial_json")
"""What a snapshot holds, and a restore brings back, beside the blocks; revisions are held, and stay as they are."""


def touch(tx: Transaction, document_id: int) -> None:
    """To be called before anything of a document is changed: notes the time, keeps what yesterday left."""
    (updated,) = tx.db.execute("SELECT updated FROM documents WHERE id = ?", [document_id]).fetchone()
    if _day(updated) < _day(tx.at) and _has_words(tx, document_id):
        keep(tx, tx.document(document_id), _day(updated), "daily")
    tx.db.execute("UPDATE documents SET updated = ? WHERE id = ?", [tx.at, document_id])


def bump_document(tx: Transaction, document_id: int) -> None:
    """As `touch`, and counts the document's revision up by one."""
    touch(tx, document_id)
    tx.db.execute("UPDATE documents SET revision = revision + 1 WHERE id = ?", [document_id])


def bump_section(tx: Transaction, section: Section) -> None:
    """As `touch`, and counts the section's revision up by one; the search has to read it again."""
    touch(tx, section.document_id)
    tx.db.execute("UPDATE sections SET revision = revision + 1, search_stale = 1 WHERE id = ?", [section.id])


def keep(tx: Transaction, document: Document, name: str, kind: SnapshotKind) -> int:
    """Takes a snapshot; returns its id."""
    content = _keep_content(tx, {**_fields(document, DOCUMENT_FIELDS), "revision": document.revision})
    row = {"document_id": document.id, "at": tx.at, "name": name, "kind": kind, "content_id": content}
    snapshot_id = tx.insert("snapshots", row)
    for place, section in enumerate(document.sections):
        blocks = [brief_row(block) for block in section.blocks]
        fields = {**_fields(section, SECTION_FIELDS), "revision": section.revision, "blocks": blocks}
        what = {"section_id": section.id, "words": section.words, "content_id": _keep_content(tx, fields)}
        tx.insert("snapshot_sections", {"snapshot_id": snapshot_id, "place": place, **what})
    return snapshot_id


def read_document(tx: Transaction, snapshot_id: int, document_id: int, content: bytes, at: str) -> Document:
    """The document that a snapshot holds."""
    fields = _unpack(content)
    rows = tx.db.execute(
        "SELECT s.section_id, c.fields FROM snapshot_sections s JOIN contents c ON c.id = s.content_id "
        "WHERE s.snapshot_id = ? ORDER BY s.place",
        [snapshot_id],
    ).fetchall()
    sections = tuple(_read_section(section_id, document_id, _unpack(packed)) for section_id, packed in rows)
    (created,) = tx.db.execute("SELECT created FROM documents WHERE id = ?", [document_id]).fetchone()
    return Document(id=document_id, sections=sections, created=created, updated=at, **fields)


def _read_section(section_id: int, document_id: int, fields: dict[str, Any]) -> Section:
    blocks: tuple[Block, ...] = tuple(read_brief(row) for row in fields.pop("blocks"))
    return Section(id=section_id, document_id=document_id, blocks=blocks, **fields)


def _keep_content(tx: Transaction, fields: dict[str, Any]) -> int:
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    sha256 = hashlib.sha256(text).digest()
    found = tx.db.execute("SELECT id FROM contents WHERE sha256 = ?", [sha256]).fetchone()
    return int(found[0]) if found else tx.insert("contents", {"sha256": sha256, "fields": zlib.compress(text)})


def _unpack(content: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(zlib.decompress(content))
    return fields


def _fields(value: Document | Section, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _has_words(tx: Transaction, document_id: int) -> bool:
    query = "SELECT 1 FROM sections WHERE document_id = ? AND deleted IS NULL AND words > 0"
    return tx.db.execute(query, [document_id]).fetchone() is not None


def _day(at: str) -> str:
    return at[: len("2026-01-31")]
