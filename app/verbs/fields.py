"""What a request says, field by field.

Knows nothing of HTTP or of what the fields are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]

MAX_TITLE = 500
MAX_BRIEF = 200_000
MAX_NOTES = 200_000
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

    def flag(self, name: str) -> bool:
        """False where it is missing."""
        value = self._given.get(name, False)
        if not isinstance(value, bool):
            raise BadRequest(f"“{name}” has to be true or false.")
        return value

    def spans(self, name: str, most: int) -> tuple[tuple[int, int], ...]:
        """A list of pairs of whole numbers."""
        return tuple((start, end) for start, end in self._rows(name, most, "pairs", ("start", "end")))

    def fours(self, name: str, most: int) -> tuple[tuple[int, int, int, int], ...]:
        """A list of fours of whole numbers."""
        rows = self._rows(name, most, "fours", ("start", "end", "first", "last"))
        return tuple((start, end, first, last) for start, end, first, last in rows)

    def _rows(self, name: str, most: int, kind: str, parts: tuple[str, ...]) -> Iterator[list[int]]:
        """A list of so many whole numbers each."""
        value = self._given.get(name)
        if not isinstance(value, list) or len(value) > most:
            raise BadRequest(f"“{name}” has to be a list of at most {most:,} {kind}.")
        for row in value:
            if not isinstance(row, list) or len(row) != len(parts):
                raise BadRequest(f"“{name}” has to be a list of {kind} of whole numbers.")
            numbers = Fields(dict(zip(parts, row, strict=True)))
            yield [numbers.integer(part) for part in parts]

    def fields(self, name: str) -> Fields:
        value = self._given.get(name)
        if not isinstance(value, dict):
            raise BadRequest(f"“{name}” has to be an object.")
        return Fields(value)
