"""Search in everything that is written: titles, briefs, notes and text of all sections, by SQLite's FTS5.

Writing never waits for the index: a change marks its section as stale, and a search reads those anew before it asks.
"""

from __future__ import annotations

import re
import secrets

from app.draft import storable
from app.records import Hit
from app.store.transaction import Transaction, Verbs, possible

MAX_TERMS = 32
"""Words and phrases of a query that are looked at."""

MAX_QUERY = 2000
"""Characters of it."""

MAX_HITS = 1000

BATCH_CHARS = 300_000
"""Characters that are indexed before others may write again."""

BEFORE_CHARS, AFTER_CHARS = 60, 140
"""Of a snippet: around its first match."""

WEIGHTS = (8.0, 2.0, 1.0, 1.0)
"""What a match in title, brief, notes and text is worth."""

_TERMS = re.compile(r'"([^"]*)("?)|([^\s"]+)')
_SPACE = re.compile(r"\s+")

Part = tuple[str, bool]
"""Text, and whether it matched."""


class SearchVerbs(Verbs):
    def search(self, query: str, limit: int = 50, *, document_id: int | None = None) -> list[Hit]:
        """The sections in which all words and "quoted phrases" of the query occur, the best first.

        The last word may be the beginning of one; accents and case do not matter. Any query is allowed; one without
        words finds nothing. limit: 1 … 1,000 hits. document_id: of this document only.
        """
        match = to_fts(query)
        if not match or (document_id is not None and not possible(document_id)):
            return []
        while self._stale():
            with self._writing() as tx:
                _index_some(tx)
        with self._reading() as tx:
            return _find(tx, match, min(max(limit, 1), MAX_HITS), document_id)

    def _stale(self) -> bool:
        with self._reading() as tx:
            return tx.db.execute("SELECT 1 FROM sections WHERE search_stale = 1 LIMIT 1").fetchone() is not None


def to_fts(query: str) -> str:
    """The query in FTS5's language, in which nothing but the quotes and the star at the end means anything.

    Side by side all have to occur; a term without a letter or digit in it is passed over by FTS5.
    """
    terms = list(_TERMS.finditer(storable(query[:MAX_QUERY])))[:MAX_TERMS]
    if not terms:
        return ""
    quoted = " ".join('"' + (term[1] or term[3] or "").replace('"', '""') + '"' for term in terms)
    return quoted if terms[-1][2] else f"{quoted} *"


def _index_some(tx: Transaction) -> None:
    """Reads stale sections anew; deleted ones leave the index."""
    stale = tx.db.execute(
        "SELECT s.id, s.deleted IS NULL AND d.deleted IS NULL, s.title, s.brief, coalesce(n.notes, '') "
        "FROM sections s JOIN documents d ON d.id = s.document_id LEFT JOIN section_notes n ON n.section_id = s.id "
        "WHERE s.search_stale = 1 LIMIT 200"
    ).fetchall()
    chars = 0
    for section_id, there, *fields in stale:
        tx.db.execute("DELETE FROM search WHERE rowid = ?", [section_id])
        if there:
            rows = tx.db.execute("SELECT text FROM blocks WHERE section_id = ? ORDER BY place", [section_id])
            values = [*fields, "".join(text for (text,) in rows)]
            tx.db.execute(
                "INSERT INTO search(rowid, title, brief, notes, text) VALUES (?, ?, ?, ?, ?)", [section_id, *values]
            )
            chars += sum(map(len, values))
        tx.db.execute("UPDATE sections SET search_stale = 0 WHERE id = ?", [section_id])
        if chars > BATCH_CHARS:
            return


def _find(tx: Transaction, match: str, limit: int, document_id: int | None) -> list[Hit]:
    # A mark that nobody can have typed tells where the matches stand.
    mark = secrets.token_hex(8)
    columns = ", ".join(f"highlight(search, {column}, '{mark}[', '{mark}]')" for column in range(len(WEIGHTS)))
    rows = tx.db.execute(
        f"SELECT s.document_id, s.id, d.title, s.title, {columns} FROM search "
        "JOIN sections s ON s.id = search.rowid JOIN documents d ON d.id = s.document_id "
        f"WHERE search MATCH ? AND rank MATCH 'bm25{WEIGHTS}' AND s.deleted IS NULL AND d.deleted IS NULL "
        "AND (? IS NULL OR s.document_id = ?) ORDER BY rank LIMIT ?",
        [match, document_id, document_id, limit],
    )
    return [_hit(row[:4], [_parts(text, mark) for text in row[4:]]) for row in rows]


def _hit(place: tuple[int, int, str, str], columns: list[list[Part]]) -> Hit:
    title, brief, notes, text = columns
    shown = next((parts for parts in (text, notes, brief, title) if _first(parts) is not None), text)
    count = sum(matched for parts in columns for _, matched in parts)
    return Hit(*place, snippet=_snippet(shown), count=count, start=_first(text))


def _parts(marked: str, mark: str) -> list[Part]:
    first, *others = marked.split(mark)
    return [(first, False), *((other[1:], other[0] == "[") for other in others)]


def _first(parts: list[Part]) -> int | None:
    """The character at which the first match begins."""
    at = 0
    for text, matched in parts:
        if matched:
            return at
        at += len(text)
    return None


def _snippet(parts: list[Part]) -> tuple[Part, ...]:
    """The text around the first match, in whole words."""
    text = "".join(piece for piece, _ in parts)
    first = _first(parts) or 0
    start, end = max(0, first - BEFORE_CHARS), min(len(text), first + AFTER_CHARS)
    while 0 < start < first and not text[start - 1].isspace():
        start += 1
    match = next((len(piece) for piece, matched in parts if matched), 0)
    while first + match < end < len(text) and not text[end].isspace():
        end -= 1
    made: list[Part] = [("…", False)] if start else []
    at = 0
    for text, matched in parts:
        if shown := text[max(0, start - at) : max(0, end - at)]:
            made.append((_SPACE.sub(" ", shown), matched))
        at += len(text)
    return (*made, ("…", False)) if end < at else tuple(made)
