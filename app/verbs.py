"""The writer's verbs as the page sends them: JSON in, one call of the session, JSON out.

Knows nothing of HTTP. What comes in is checked field by field here; what goes out is plain dicts, lists and strings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, cast

from app.draft import STATUSES, Card, Document, Section, Status, covered, join, storable
from app.render import document_html, section_html
from app.session import Session
from model.catalog import Entry
from model.contract import BLOCK_SIZES, Dial, Rule

Json = dict[str, Any]

MAX_TITLE = 500
MAX_BRIEF = 200_000
MAX_TEXT = 6_000_000
"""In characters: far above a novel, far below what would fill the memory."""


class BadRequest(Exception):
    """What the page sent is not what this verb takes; the message is one sentence."""


class Fields:
    """The fields of one request. Each reader raises BadRequest where the field is missing or of another kind."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def has(self, name: str) -> bool:
        return self._given.get(name) is not None

    def integer(self, name: str) -> int:
        value = self._given.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
            raise BadRequest(f"“{name}” has to be a whole number.")
        return value

    def number(self, name: str) -> float:
        value = self._given.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise BadRequest(f"“{name}” has to be a number.")
        try:
            return float(value)
        except OverflowError as error:
            raise BadRequest(f"“{name}” is too large a number.") from error

    def text(self, name: str, most: int) -> str:
        value = self._given.get(name)
        if not isinstance(value, str):
            raise BadRequest(f"“{name}” has to be text.")
        if len(value) > most:
            raise BadRequest(f"“{name}” is too long: {len(value):,} characters, at most {most:,} are possible.")
        return value

    def optional_integer(self, name: str) -> int | None:
        return self.integer(name) if self.has(name) else None

    def optional_text(self, name: str, most: int) -> str | None:
        return self.text(name, most) if self.has(name) else None

    def fields(self, name: str) -> Fields:
        value = self._given.get(name)
        if not isinstance(value, dict):
            raise BadRequest(f"“{name}” has to be an object.")
        return Fields(value)


# ------------------------------------------------------------------------------------------------------- values out


def card_json(card: Card) -> Json:
    return asdict(card)


def outline_json(document: Document) -> Json:
    """A document with its sections, but without their texts: those come one by one."""
    return {
        "id": document.id,
        "title": document.title,
        "revision": document.revision,
        "created": document.created,
        "updated": document.updated,
        "sections": [section_line_json(section) for section in document.sections],
    }


def section_line_json(section: Section) -> Json:
    return {
        "id": section.id,
        "document_id": section.document_id,
        "title": section.title,
        "brief": section.brief,
        "target_words": section.target_words,
        "status": section.status,
        "revision": section.revision,
        "words": section.words,
        "blocks": len(section.blocks),
    }


def section_json(section: Section) -> Json:
    return {**section_line_json(section), "text": section.text}


def model_json(entry: Entry) -> Json:
    """What the dial shows: the facts of the catalogue."""
    return {
        "id": entry.id,
        "title": entry.title,
        "licence": entry.licence,
        "context": entry.context,
        "block_sizes": [size for size in entry.block_sizes if size in BLOCK_SIZES],
        "rules": list(entry.rules),
        "instructs": entry.instructs,
        "default_stop": entry.default_stop,
        "stops": [asdict(stop) for stop in entry.stops],
    }


def state_json(session: Session) -> Json:
    """Everything a page that has just been opened needs first."""
    return {
        "documents": [card_json(card) for card in session.documents()],
        "engine": session.engine(),
        "job": session.job(),
        "model": model_json(session.entry),
    }


# ------------------------------------------------------------------------------------------------------------ verbs


def _state(session: Session, given: Fields) -> Json:
    return state_json(session)


def _documents(session: Session, given: Fields) -> Json:
    return {"documents": [card_json(card) for card in session.documents()]}


def _document(session: Session, given: Fields) -> Json:
    return {"document": outline_json(session.document(given.integer("document_id")))}


def _create_document(session: Session, given: Fields) -> Json:
    return {"document": outline_json(session.create_document(given.text("title", MAX_TITLE)))}


def _rename_document(session: Session, given: Fields) -> Json:
    document = session.rename_document(
        given.integer("document_id"), given.integer("revision"), given.text("title", MAX_TITLE)
    )
    return {"document": outline_json(document)}


def _delete_document(session: Session, given: Fields) -> Json:
    session.delete_document(given.integer("document_id"), given.integer("revision"))
    return _documents(session, given)


def _section(session: Session, given: Fields) -> Json:
    """With `seen`: also the text of the blocks behind the first `seen` ones."""
    section = session.section(given.integer("section_id"))
    answer: Json = {"section": section_json(section)}
    if given.has("seen"):
        answer["tail"] = join(section.blocks[max(given.integer("seen"), 0) :])
    return answer


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
    )
    return {"section": section_line_json(section)}


def _delete_section(session: Session, given: Fields) -> Json:
    return {"document": outline_json(session.delete_section(given.integer("section_id"), given.integer("revision")))}


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


def _write(session: Session, given: Fields) -> Json:
    stop_name = given.optional_text("stop_name", 100)
    job = session.write(
        given.integer("section_id"),
        dial=_dial(session, given, stop_name),
        stop_name=stop_name,
        words=given.optional_integer("words"),
        seed=given.optional_integer("seed"),
    )
    return {"job": job}


def _stop(session: Session, given: Fields) -> Json:
    session.stop(given.text("job", 200))
    return {}


def _predict(session: Session, given: Fields) -> Json:
    """Seconds for this section at every named stop, and at the dial's own setting where one was given."""
    section_id, words = given.integer("section_id"), given.optional_integer("words")
    answer: Json = {
        "stops": {stop.name: session.predict(section_id, stop.dial, stop.name, words) for stop in session.entry.stops}
    }
    if given.has("dial"):
        answer["seconds"] = session.predict(section_id, _dial(session, given, None), None, words)
    return answer


def _read(session: Session, given: Fields) -> Json:
    """A section, or a whole document, as HTML."""
    if given.has("section_id"):
        return {"html": section_html(session.section(given.integer("section_id")))}
    return {"html": document_html(session.document(given.integer("document_id")))}


def _retry(session: Session, given: Fields) -> Json:
    session.restart()
    return {"engine": session.engine()}


VERBS: Mapping[str, Callable[[Session, Fields], Json]] = {
    "state": _state,
    "documents": _documents,
    "document": _document,
    "create_document": _create_document,
    "rename_document": _rename_document,
    "delete_document": _delete_document,
    "section": _section,
    "add_section": _add_section,
    "change_section": _change_section,
    "delete_section": _delete_section,
    "move_section": _move_section,
    "save_text": _save_text,
    "write": _write,
    "stop": _stop,
    "predict": _predict,
    "read": _read,
    "retry": _retry,
}


def _status(status: str | None) -> Status | None:
    if status is not None and status not in STATUSES:
        raise BadRequest(f"There is no status {status!r}; choose one of {', '.join(STATUSES)}.")
    return status


def _dial(session: Session, given: Fields, stop_name: str | None) -> Dial:
    """The named stop's setting, or the one given. Raises InvalidSetting, UnknownStop."""
    if stop_name is not None:
        return session.entry.stop(stop_name).dial
    dial = given.fields("dial")
    return Dial(
        block_size=dial.integer("block_size"),
        steps=dial.integer("steps"),
        rule=cast(Rule, dial.text("rule", 100)),
        threshold=dial.number("threshold"),
        temperature=dial.number("temperature"),
        nucleus=dial.number("nucleus"),
    )
