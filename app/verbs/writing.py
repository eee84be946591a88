"""Verbs about the model: what it shall write, what that would cost, and what it reads for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.passages import KINDS, Kind
from app.session import Refused, Session
from app.verbs.dial import asked_dial, read_dial
from app.verbs.fields import BadRequest, Fields, Json
from app.verbs.shapes import models_json, reading_json, state_json

MAX_PINS = 500


def _state(session: Session, given: Fields) -> Json:
    return state_json(session)


def _write(session: Session, given: Fields) -> Json:
    dial, stop_name = asked_dial(session, given)
    job = session.write(
        given.integer("section_id"),
        dial=dial,
        stop_name=stop_name,
        words=given.optional_integer("words"),
        seed=given.optional_integer("seed"),
    )
    return {"job": job}


def _write_all(session: Session, given: Fields) -> Json:
    dial, stop_name = asked_dial(session, given)
    return {"jobs": session.write_all(given.integer("document_id"), dial=dial, stop_name=stop_name)}


def _revise(session: Session, given: Fields) -> Json:
    dial, stop_name = asked_dial(session, given)
    job = session.revise(
        given.integer("section_id"),
        given.integer("revision"),
        _kind(given.text("kind", 20)),
        given.integer("start"),
        given.integer("end"),
        dial=dial,
        stop_name=stop_name,
        words=given.optional_integer("words") or 0,
        strength=given.number("strength") if given.has("strength") else 1.0,
        pins=given.spans("pins", MAX_PINS) if given.has("pins") else (),
        seed=given.optional_integer("seed"),
    )
    return {"job": job}


def _kind(kind: str) -> Kind:
    if kind not in KINDS:
        raise BadRequest(f"There is no such action as {kind!r}; choose one of {', '.join(KINDS)}.")
    return kind


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
        answer["seconds"] = session.predict(section_id, read_dial(given.fields("dial")), None, words)
    return answer


def _predict_all(session: Session, given: Fields) -> Json:
    """As `_predict`, for all sections of a document that lack words."""
    named = [(stop.dial, stop.name) for stop in session.entry.stops]
    own = [(read_dial(given.fields("dial")), None)] if given.has("dial") else []
    seconds = session.predict_all(given.integer("document_id"), [*named, *own])
    answer: Json = {"stops": {name: found for (_, name), found in zip(named, seconds, strict=False)}}
    return answer | ({"seconds": seconds[-1]} if own else {})


def _context(session: Session, given: Fields) -> Json:
    """That there is nothing to read yet answers the question, too: the writer had asked for nothing."""
    try:
        reading, room = session.context(given.integer("section_id"))
    except Refused as why:
        return {"refused": str(why)}
    return reading_json(reading, room)


def _models(session: Session, given: Fields) -> Json:
    return {"models": models_json(session)}


def _retry(session: Session, given: Fields) -> Json:
    session.restart()
    return {"engine": session.engine()}


WRITING: Mapping[str, Callable[[Session, Fields], Json]] = {
    "state": _state,
    "write": _write,
    "write_all": _write_all,
    "revise": _revise,
    "stop": _stop,
    "predict": _predict,
    "predict_all": _predict_all,
    "context": _context,
    "models": _models,
    "retry": _retry,
}
