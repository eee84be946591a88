"""Verbs about what was: versions of a section, takes for a passage, snapshots of a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.draft import Section
from app.events import take_facts
from app.session import Session
from app.verbs.fields import MAX_TITLE, Fields, Json
from app.verbs.shapes import outline_json, section_json, snapshot_card_json, snapshot_json, version_json

MAX_CHANGES = 2000
"""Of one candidate: more than a passage and what takes its place have words and marks."""


def _undo(session: Session, given: Fields) -> Json:
    return _stepped(session.undo(given.integer("section_id"), given.integer("revision")))


def _redo(session: Session, given: Fields) -> Json:
    section_id, revision = given.integer("section_id"), given.integer("revision")
    return _stepped(session.redo(section_id, revision, given.optional_integer("version_id")))


def _go_to(session: Session, given: Fields) -> Json:
    section_id, revision = given.integer("section_id"), given.integer("revision")
    return _stepped(session.go_to(section_id, revision, given.integer("version_id")))


def _rewind(session: Session, given: Fields) -> Json:
    """The text up to the block with this number: it and all that follows are taken out."""
    section_id, revision = given.integer("section_id"), given.integer("revision")
    return _stepped(session.rewind(section_id, revision, given.integer("block")))


def _versions(session: Session, given: Fields) -> Json:
    return {"versions": [version_json(version) for version in session.versions(given.integer("section_id"))]}


def _version_text(session: Session, given: Fields) -> Json:
    return {"text": session.version_text(given.integer("section_id"), given.integer("version_id"))}


def _takes(session: Session, given: Fields) -> Json:
    """The newest first."""
    return {"takes": [take_facts(take) for take in reversed(session.takes(given.integer("section_id")))]}


def _choose_take(session: Session, given: Fields) -> Json:
    """All of a candidate, or some changes of it."""
    take_id, index, revision = given.integer("take_id"), given.integer("index"), given.integer("revision")
    changes = given.fours("changes", MAX_CHANGES) if given.has("changes") else None
    return _stepped(session.choose_take(take_id, index, revision, changes))


def _snapshots(session: Session, given: Fields) -> Json:
    """The newest first."""
    return {"snapshots": [snapshot_card_json(card) for card in session.snapshots(given.integer("document_id"))]}


def _take_snapshot(session: Session, given: Fields) -> Json:
    made = session.take_snapshot(given.integer("document_id"), given.text("name", MAX_TITLE))
    return {"snapshot": snapshot_card_json(made)}


def _snapshot(session: Session, given: Fields) -> Json:
    return snapshot_json(session.snapshot(given.integer("snapshot_id")))


def _restore_snapshot(session: Session, given: Fields) -> Json:
    return {"document": outline_json(session.restore_snapshot(given.integer("snapshot_id"), given.integer("revision")))}


def _stepped(step: tuple[Section, int]) -> Json:
    """The section as it is now, and the place in its text where the change begins."""
    section, place = step
    return {"section": section_json(section), "text": section.text, "place": place, "seen": len(section.blocks)}


HISTORY: Mapping[str, Callable[[Session, Fields], Json]] = {
    "undo": _undo,
    "redo": _redo,
    "go_to": _go_to,
    "rewind": _rewind,
    "versions": _versions,
    "version_text": _version_text,
    "takes": _takes,
    "choose_take": _choose_take,
    "snapshots": _snapshots,
    "take_snapshot": _take_snapshot,
    "snapshot": _snapshot,
    "restore_snapshot": _restore_snapshot,
}
