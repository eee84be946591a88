"""The append-only history: everything that happened, for whoever wants to know."""

from __future__ import annotations

import json

from app.records import HistoryRow
from app.store.transaction import Verbs, possible


class HistoryVerbs(Verbs):
    def history(self, *, section_id: int | None = None, document_id: int | None = None) -> list[HistoryRow]:
        """Everything that happened to a section or to a document with its sections, the first change first.

        Also of deleted ones; empty for an id that never was.
        """
        column, value = ("document_id", document_id) if section_id is None else ("section_id", section_id)
        if value is None or not possible(value):
            return []
        with self._reading() as tx:
            rows = tx.db.execute(
                "SELECT id, at, document_id, section_id, kind, revision, place, before, after, detail FROM history "
                f"WHERE {column} = ? ORDER BY id",
                [value],
            ).fetchall()
        return [HistoryRow(*(*row, json.loads(detail))) for *row, detail in rows]
