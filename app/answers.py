"""What the server says in JSON: answers and refusals.

Knows nothing of what was asked.
"""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.responses import Response


def answer(value: dict[str, Any], status: int = 200) -> Response:
    """Kept by no browser or proxy."""
    return Response(dumps(value), status, {"Cache-Control": "no-store"}, "application/json")


def refusal(status: int, error: str, sentence: str, sides: dict[str, Any] | None = None) -> Response:
    """error: its name for a program; sentence: for the writer; sides: of a conflict."""
    return answer({"error": error, "sentence": sentence, **(sides or {})}, status)


def dumps(value: Any) -> str:
    """JSON that every browser reads: a number it has no word for becomes null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
