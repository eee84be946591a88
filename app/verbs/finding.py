"""Verbs that find words in all documents, and put others in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.session import Session
from app.verbs.fields import Fields, Json
from app.verbs.shapes import hit_json

MAX_QUERY = 1000


def _search(session: Session, given: Fields) -> Json:
    return {"hits": [hit_json(hit) for hit in session.search(given.text("query", MAX_QUERY))]}


def _count_places(session: Session, given: Fields) -> Json:
    found = session.places(
        given.text("query", MAX_QUERY),
        given.text("replacement", MAX_QUERY),
        document_id=given.optional_integer("document_id"),
        section_id=given.optional_integer("section_id"),
        match_case=given.flag("match_case"),
    )
    return {"count": sum(map(len, found.values()))}


def _places(session: Session, given: Fields) -> Json:
    section_id = given.integer("section_id")
    found = session.places(
        given.text("query", MAX_QUERY),
        given.text("replacement", MAX_QUERY),
        document_id=None,
        section_id=section_id,
        match_case=given.flag("match_case"),
    )
    return {"places": found.get(section_id, [])}


def _replace(session: Session, given: Fields) -> Json:
    changed = session.replace(
        given.text("query", MAX_QUERY),
        given.text("replacement", MAX_QUERY),
        document_id=given.optional_integer("document_id"),
        section_id=given.optional_integer("section_id"),
        match_case=given.flag("match_case"),
        start=given.optional_integer("start"),
    )
    return {"changed": [{"section_id": section_id, "count": count} for section_id, count in changed.items()]}


FINDING: Mapping[str, Callable[[Session, Fields], Json]] = {
    "search": _search,
    "count_places": _count_places,
    "places": _places,
    "replace": _replace,
}
