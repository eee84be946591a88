"""What becomes of a request that the desk refuses: every foreseen error has its status and one sentence."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from app.answers import refusal
from app.converting import ConversionError
from app.session import Refused
from app.store import InvalidValue, NotFound, StaleDocument, StaleRevision, StoreError
from app.verbs import BadRequest
from app.verbs.shapes import outline_json, section_json
from model.catalog import UnknownStop
from model.contract import InvalidSetting


def attempt(work: Callable[[], Response]) -> Response:
    """What the work answers, or its refusal. What nobody foresaw stays loud."""
    try:
        return work()
    except StaleRevision as error:
        sides = {"mine": error.mine, "theirs": section_json(error.theirs)}
        return refusal(409, "StaleRevision", str(error), sides)
    except StaleDocument as error:
        sides = {"mine": error.mine, "theirs": outline_json(error.theirs)}
        return refusal(409, "StaleDocument", str(error), sides)
    except NotFound as error:
        return refusal(404, "NotFound", str(error))
    except (BadRequest, InvalidSetting, InvalidValue, UnknownStop) as error:
        return refusal(400, type(error).__name__, str(error))
    except (Refused, ConversionError) as error:
        return refusal(422, type(error).__name__, str(error))
    except StoreError as error:
        return refusal(503, type(error).__name__, str(error))
