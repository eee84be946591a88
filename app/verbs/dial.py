"""The dial as a request says it: a named stop, or a setting of its own."""

from __future__ import annotations

import json
from typing import cast

from app.session import Session
from app.verbs.fields import BadRequest, Fields
from model.contract import Dial, Rule


def asked_dial(session: Session, given: Fields) -> tuple[Dial, str | None]:
    """The setting, and the name of its stop where one was named. Raises InvalidSetting, UnknownStop."""
    stop_name = given.optional_text("stop_name", 100)
    if stop_name is not None:
        return session.entry.stop(stop_name).dial, stop_name
    return read_dial(given.fields("dial")), None


def read_dial(given: Fields) -> Dial:
    """Raises InvalidSetting."""
    return Dial(
        block_size=given.integer("block_size"),
        steps=given.integer("steps"),
        rule=cast(Rule, given.text("rule", 100)),
        threshold=given.number("threshold"),
        temperature=given.number("temperature"),
        nucleus=given.number("nucleus"),
        repeat_penalty=given.number("repeat_penalty") if given.has("repeat_penalty") else 0.0,
    )


def kept_with(given: Fields) -> str | None:
    """The dial that shall be kept with a document or section, {"stop"} or {"dial"} as JSON; empty: none any more.

    None where the request does not speak of it. A stop of another model may be kept, too.
    """
    text = given.optional_text("dial", 2000)
    if not text:
        return text
    try:
        kept = json.loads(text)
    except ValueError as error:
        raise BadRequest("“dial” has to be JSON text.") from error
    if isinstance(kept, dict) and list(kept) == ["stop"] and isinstance(kept["stop"], str):
        return text
    if isinstance(kept, dict) and list(kept) == ["dial"] and isinstance(kept["dial"], dict):
        read_dial(Fields(kept["dial"]))
        return text
    raise BadRequest("“dial” has to name a stop or a whole setting.")
