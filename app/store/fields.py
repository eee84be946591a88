"""The fields of documents and sections: what they may be set to, what changed, where they are kept.

Each check returns the value as it is stored, or raises InvalidValue.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from app.draft import STATUSES, Document, Section, Status, one_line, span, storable
from app.records import DocumentFields, InvalidValue, SectionFields
from app.store.transaction import Transaction

MAX_TARGET_WORDS = 5000
"""The longest section a target may ask for, in words."""

MAX_NOTES = 200_000
"""Characters of notes, and of a style sheet."""

MAX_DIAL = 2_000
"""Characters of a dial's JSON."""


LONG = ("notes", "style")
"""Fields that the history holds as spans, because they are saved while they are typed."""


def target(words: int) -> int:
    if not 1 <= words <= MAX_TARGET_WORDS:
        raise InvalidValue(f"A target of {words} words is not possible; choose 1 to {MAX_TARGET_WORDS}.")
    return words


def known_status(value: str) -> Status:
    if value not in STATUSES:
        raise InvalidValue(f"There is no status {value!r}; choose one of {', '.join(STATUSES)}.")
    return value


def long_text(text: str, called: str) -> str:
    """called: "notes" or "style sheet"."""
    if len(text) > MAX_NOTES:
        raise InvalidValue(f"The {called} cannot have {len(text):,} characters; {MAX_NOTES:,} are possible.")
    return storable(text)


def dial_json(text: str) -> str | None:
    """A setting of the dial as JSON; an empty text is none. What it says is not looked at."""
    if not text:
        return None
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValue("The setting of the dial is not readable as JSON.") from error
    if len(text) > MAX_DIAL:
        raise InvalidValue(f"The setting of the dial is too long; {MAX_DIAL:,} characters are possible.")
    return storable(text)


_CHECKS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "title": ("title", one_line),
    "brief": ("brief", storable),
    "target_words": ("target_words", target),
    "status": ("status", known_status),
    "style": ("style", partial(long_text, called="style sheet")),
    "notes": ("notes", partial(long_text, called="notes")),
    "dial": ("dial_json", dial_json),
}
"""What is given, as the field of Document or Section that it is and the check of it."""


def checked(given: DocumentFields | SectionFields) -> dict[str, Any]:
    """What is given, checked, by the names of the fields of Document or Section."""
    known = {name: value for name, value in given.items() if value is not None}
    return {_CHECKS[name][0]: _CHECKS[name][1](value) for name, value in known.items()}


def said(wanted: Mapping[str, Any]) -> str:
    """What a refused change leaves in the history."""
    return "\n".join(str(value) for value in wanted.values() if value is not None).strip()


def changed(old: Document | Section, wanted: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The fields that are another one now, as the history tells it."""
    pairs = {name: (getattr(old, name), value) for name, value in wanted.items()}
    return {
        name: list(span(before, after)) if name in LONG else [before, after]
        for name, (before, after) in pairs.items()
        if before != after
    }


def write_document(tx: Transaction, document_id: int, wanted: Mapping[str, Any]) -> None:
    _update(tx, "documents", "id", document_id, wanted, {"title": "title", "dial_json": "dial"})
    if any(name in wanted for name in LONG):
        tx.db.execute("INSERT OR IGNORE INTO document_notes VALUES (?, '', '')", [document_id])
        _update(tx, "document_notes", "document_id", document_id, wanted, {"style": "style", "notes": "notes"})


def write_section(tx: Transaction, section_id: int, wanted: Mapping[str, Any]) -> None:
    columns = {name: name for name in ("title", "brief", "target_words", "status")}
    _update(tx, "sections", "id", section_id, wanted, {**columns, "dial_json": "dial"})
    if any(name in wanted for name in LONG):
        tx.db.execute("INSERT OR IGNORE INTO section_notes(section_id, style, notes) VALUES (?, '', '')", [section_id])
        _update(tx, "section_notes", "section_id", section_id, wanted, {"style": "style", "notes": "notes"})


def _update(
    tx: Transaction, table: str, key: str, row_id: int, wanted: Mapping[str, Any], columns: Mapping[str, str]
) -> None:
    values = {columns[name]: value for name, value in wanted.items() if name in columns}
    if values:
        names = ", ".join(f"{name} = ?" for name in values)
        tx.db.execute(f"UPDATE {table} SET {names} WHERE {key} = ?", [*values.values(), row_id])
