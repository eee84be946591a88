"""Verbs that find words in all documents, and put others in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.records import Replacing
from app.session import Session
from app.verbs.fields import Fields, Json
from app.verbs.shapes import hit_json

MAX_QUERY = 1000


def _search(session: Session, given: Fields) -> Json:
    return {"hits": [hit_json(hit) for hit in session.search(given.text("query", MAX_QUERY))]}


def _wanted(given: Fields) -> Replacing:
    return Replacing(
        given.text("query", MAX_QUERY),
        given.text("replacement", MAX_QUERY),
        document_id=given.optional_integer("document_id"),
        section_id=given.optional_integer("section_id"),
        match_case=given.flag("match_case"),
        start=given.optional_integer("start"),
    )


def _count_places(session: Session, given: Fields) -> Json:
    return {"count": sum(map(len, session.places(_wanted(given)).values()))}


def _places(session: Session, given: Fields) -> Json:
    """Of one section."""
    return {"places": session.places(_wanted(given)).get(given.integer("section_id"), [])}


def _replace(session: Session, given: Fields) -> Json:
    changed = session.replace(_wanted(given))
    return {"changed": [{"section_id": section_id, "count": count} for section_id, count in changed.items()]}


FINDING: Mapping[str, Callable[[Session, Fields], Json]] = {
    "search": _search,
    "count_places": _count_places,
    "places": _places,
    "replace": _replace,
}
