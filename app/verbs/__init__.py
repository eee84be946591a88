"""The writer's verbs as the page sends them: JSON in, one call of the session, JSON out.

Knows nothing of HTTP. What comes in is checked field by field here; what goes out is plain dicts, lists and strings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.session import Session
from app.verbs.documents import DOCUMENTS
from app.verbs.fields import BadRequest, Fields, Json
from app.verbs.finding import FINDING
from app.verbs.history import HISTORY
from app.verbs.writing import WRITING

__all__ = ["VERBS", "BadRequest", "Fields", "Json"]

VERBS: Mapping[str, Callable[[Session, Fields], Json]] = {**WRITING, **DOCUMENTS, **HISTORY, **FINDING}
