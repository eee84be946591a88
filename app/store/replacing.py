"""Replacing words: at one place, or everywhere at once with one version in each section and snapshots before."""

from __future__ import annotations

import re

from app.draft import put_text, storable
from app.records import InvalidValue
from app.store.keeping import keep
from app.store.text import change_text
from app.store.transaction import Transaction, Verbs
from app.store.tree import Change, excerpt

Span = tuple[int, int]


class ReplaceVerbs(Verbs):
    def places(
        self,
        query: str,
        replacement: str,
        *,
        document_id: int | None = None,
        section_id: int | None = None,
        match_case: bool = False,
    ) -> dict[int, list[Span]]:
        """Where `replace` would put something else: (start, end) in characters, by section. Raises as `replace`."""
        pattern = _pattern(query, match_case)
        with self._reading() as tx:
            ids = [one for _, sections in _scope(tx, document_id, section_id) for one in sections]
            return {one: spans for one in ids if (spans := _spans(tx, one, pattern, storable(replacement)))}

    def replace(
        self,
        query: str,
        replacement: str,
        *,
        document_id: int | None = None,
        section_id: int | None = None,
        match_case: bool = False,
        start: int | None = None,
    ) -> dict[int, int]:
        """Puts `replacement` wherever `query` stands, letter by letter, in a section, a document, or all there is.

        start: the place that begins there alone; otherwise each document gets a snapshot "before replace". Returns how
        often for each section that was changed. All or nothing; each section gets one version. Raises NotFound,
        InvalidValue.
        """
        if start is not None and section_id is None:
            raise InvalidValue("One place is in one section; say which section it is.")
        pattern, replacement = _pattern(query, match_case), storable(replacement)
        name = f"“{excerpt(storable(query))}” → “{excerpt(replacement)}”"
        counts: dict[int, int] = {}
        with self._writing() as tx:
            for document, sections in _scope(tx, document_id, section_id):
                found = {one: spans for one in sections if (spans := _spans(tx, one, pattern, replacement, start))}
                if found and start is None:
                    keep(tx, tx.document(document), f"Before {name}", "before replace")
                for one, spans in found.items():
                    section = tx.section(one)
                    blocks = put_text(section.blocks, spans, replacement)
                    change_text(tx, section, blocks, Change("replace", name), "replaced", {"count": len(spans)})
                    counts[one] = len(spans)
        return counts


def _pattern(query: str, match_case: bool) -> re.Pattern[str]:
    """Raises InvalidValue."""
    if not query:
        raise InvalidValue("There is nothing to look for; type the words that are to be replaced.")
    return re.compile(re.escape(storable(query)), 0 if match_case else re.IGNORECASE)


def _scope(tx: Transaction, document_id: int | None, section_id: int | None) -> list[tuple[int, list[int]]]:
    """The documents to look at, each with its sections. Raises NotFound."""
    if section_id is not None:
        section = tx.section(section_id)
        return [(section.document_id, [section_id])]
    if document_id is not None:
        return [(document_id, [section.id for section in tx.document(document_id).sections])]
    ids = tx.db.execute("SELECT id FROM documents WHERE deleted IS NULL ORDER BY id").fetchall()
    return [(one, tx.section_ids(one)) for (one,) in ids]


def _spans(
    tx: Transaction, section_id: int, pattern: re.Pattern[str], replacement: str, start: int | None = None
) -> list[Span]:
    """Where something else is to stand, in order. start: where that begins alone."""
    rows = tx.db.execute("SELECT text FROM blocks WHERE section_id = ? ORDER BY place", [section_id])
    text = "".join(text for (text,) in rows)
    spans = [found.span() for found in pattern.finditer(text) if found[0] != replacement]
    return spans if start is None else [span for span in spans if span[0] == start]
