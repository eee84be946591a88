"""Replacing words: at one place, or everywhere at once with one version in each section and snapshots before."""

from __future__ import annotations

import re

from app.draft import put_text, storable
from app.records import InvalidValue, Replacing
from app.store.keeping import keep
from app.store.text import change_text
from app.store.transaction import Transaction, Verbs
from app.store.tree import Change, excerpt

Span = tuple[int, int]


class ReplaceVerbs(Verbs):
    def places(self, wanted: Replacing) -> dict[int, list[Span]]:
        """Where `replace` would put something else: (start, end) in characters, by section. Raises as `replace`."""
        pattern = _pattern(wanted)
        with self._reading() as tx:
            ids = [one for _, sections in _scope(tx, wanted) for one in sections]
            return {one: spans for one in ids if (spans := _spans(tx, one, pattern, wanted))}

    def replace(self, wanted: Replacing) -> dict[int, int]:
        """Puts the replacement wherever the query stands.

        Returns how often for each section that was changed. All or nothing; each section gets one version, and where
        more than one place was meant each document a snapshot "before replace". Raises NotFound, InvalidValue.
        """
        pattern, replacement = _pattern(wanted), storable(wanted.replacement)
        name = f"“{excerpt(storable(wanted.query))}” → “{excerpt(replacement)}”"
        counts: dict[int, int] = {}
        with self._writing() as tx:
            for document, sections in _scope(tx, wanted):
                found = {one: spans for one in sections if (spans := _spans(tx, one, pattern, wanted))}
                if found and wanted.start is None:
                    keep(tx, tx.document(document), f"Before {name}", "before replace")
                for one, spans in found.items():
                    section = tx.section(one)
                    blocks = put_text(section.blocks, spans, replacement)
                    change_text(tx, section, blocks, Change("replace", name), "replaced", {"count": len(spans)})
                    counts[one] = len(spans)
        return counts


def _pattern(wanted: Replacing) -> re.Pattern[str]:
    """Raises InvalidValue."""
    if not wanted.query:
        raise InvalidValue("There is nothing to look for; type the words that are to be replaced.")
    if wanted.start is not None and wanted.section_id is None:
        raise InvalidValue("One place is in one section; say which section it is.")
    return re.compile(re.escape(storable(wanted.query)), 0 if wanted.match_case else re.IGNORECASE)


def _scope(tx: Transaction, wanted: Replacing) -> list[tuple[int, list[int]]]:
    """The documents to look at, each with its sections. Raises NotFound."""
    if wanted.section_id is not None:
        section = tx.section(wanted.section_id)
        return [(section.document_id, [section.id])]
    if wanted.document_id is not None:
        return [(wanted.document_id, [section.id for section in tx.document(wanted.document_id).sections])]
    ids = tx.db.execute("SELECT id FROM documents WHERE deleted IS NULL ORDER BY id").fetchall()
    return [(one, tx.section_ids(one)) for (one,) in ids]


def _spans(tx: Transaction, section_id: int, pattern: re.Pattern[str], wanted: Replacing) -> list[Span]:
    """Where something else is to stand, in order."""
    rows = tx.db.execute("SELECT text FROM blocks WHERE section_id = ? ORDER BY place", [section_id])
    text, replacement = "".join(text for (text,) in rows), storable(wanted.replacement)
    spans = [found.span() for found in pattern.finditer(text) if found[0] != replacement]
    return spans if wanted.start is None else [span for span in spans if span[0] == wanted.start]
