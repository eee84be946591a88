"""Verbs about documents, their sections and texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.draft import STATUSES, Status, covered, join, storable
from app.render import document_html, section_html
from app.session import Session
from app.verbs.dial import kept_with
from app.verbs.fields import MAX_BRIEF, MAX_NOTES, MAX_TEXT, MAX_TITLE, BadRequest, Fields, Json
from app.verbs.shapes import blocks_json, card_json, deleted_json, outline_json, section_json, section_line_json


def _documents(session: Session, given: Fields) -> Json:
    return {"documents": [card_json(card) for card in session.documents()]}


def _document(session: Session, given: Fields) -> Json:
    return {"document": outline_json(session.document(given.integer("document_id")))}


def _create_document(session: Session, given: Fields) -> Json:
    return {"document": outline_json(session.create_document(given.text("title", MAX_TITLE)))}


def _change_document(session: Session, given: Fields) -> Json:
    document = session.change_document(
        given.integer("document_id"),
        given.integer("revision"),
        title=given.optional_text("title", MAX_TITLE),
        style=given.optional_text("style", MAX_NOTES),
        notes=given.optional_text("notes", MAX_NOTES),
        dial=kept_with(given),
    )
    return {"document": outline_json(document)}


def _delete_document(session: Session, given: Fields) -> Json:
    session.delete_document(given.integer("document_id"), given.integer("revision"))
    return _documents(session, given)


def _restore_document(session: Session, given: Fields) -> Json:
    return {"document": outline_json(session.restore_document(given.integer("document_id")))}


def _deleted(session: Session, given: Fields) -> Json:
    """What can be brought back: documents, and sections of one document where it is named."""
    return deleted_json(session.deleted(given.optional_integer("document_id")))


def _section(session: Session, given: Fields) -> Json:
    """With `seen`: also the text of the blocks behind the first `seen` ones."""
    section = session.section(given.integer("section_id"))
    answer: Json = {"section": section_json(section)}
    if given.has("seen"):
        answer["tail"] = join(section.blocks[max(given.integer("seen"), 0) :])
    return answer


def _blocks(session: Session, given: Fields) -> Json:
    section = session.section(given.integer("section_id"))
    return {"revision": section.revision, "blocks": blocks_json(section)}


def _add_section(session: Session, given: Fields) -> Json:
    document = session.add_section(
        given.integer("document_id"),
        given.integer("revision"),
        after=given.optional_integer("after"),
        title=given.optional_text("title", MAX_TITLE) or "",
        brief=given.optional_text("brief", MAX_BRIEF) or "",
        target_words=given.integer("target_words") if given.has("target_words") else 150,
    )
    return {"document": outline_json(document)}


def _change_section(session: Session, given: Fields) -> Json:
    section = session.change_section(
        given.integer("section_id"),
        given.integer("revision"),
        title=given.optional_text("title", MAX_TITLE),
        brief=given.optional_text("brief", MAX_BRIEF),
        target_words=given.optional_integer("target_words"),
        status=_status(given.optional_text("status", 20)),
        style=given.optional_text("style", MAX_NOTES),
        notes=given.optional_text("notes", MAX_NOTES),
        dial=kept_with(given),
    )
    return {"section": section_line_json(section)}


def _delete_section(session: Session, given: Fields) -> Json:
    return {"document": outline_json(session.delete_section(given.integer("section_id"), given.integer("revision")))}


def _restore_section(session: Session, given: Fields) -> Json:
    return {"document": outline_json(session.restore_section(given.integer("section_id")))}


def _move_section(session: Session, given: Fields) -> Json:
    document = session.move_section(given.integer("section_id"), given.integer("revision"), given.integer("position"))
    return {"document": outline_json(document)}


def _save_text(session: Session, given: Fields) -> Json:
    """seen: how many of the section's blocks the saved text now stands for, and the next save has to name."""
    text = given.text("text", MAX_TEXT)
    section = session.save_text(
        given.integer("section_id"), given.integer("revision"), given.integer("seen_blocks"), text
    )
    return {"section": section_line_json(section), "seen": covered(section.blocks, storable(text))}


def _read(session: Session, given: Fields) -> Json:
    """A section, or a whole document, as HTML."""
    if given.has("section_id"):
        return {"html": section_html(session.section(given.integer("section_id")))}
    return {"html": document_html(session.document(given.integer("document_id")))}


def _status(status: str | None) -> Status | None:
    if status is not None and status not in STATUSES:
        raise BadRequest(f"There is no status {status!r}; choose one of {', '.join(STATUSES)}.")
    return status


DOCUMENTS: Mapping[str, Callable[[Session, Fields], Json]] = {
    "documents": _documents,
    "document": _document,
    "create_document": _create_document,
    "change_document": _change_document,
    "delete_document": _delete_document,
    "restore_document": _restore_document,
    "deleted": _deleted,
    "section": _section,
    "blocks": _blocks,
    "add_section": _add_section,
    "change_section": _change_section,
    "delete_section": _delete_section,
    "restore_section": _restore_section,
    "move_section": _move_section,
    "save_text": _save_text,
    "read": _read,
}
