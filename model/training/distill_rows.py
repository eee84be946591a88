"""The file of texts that a model wrote: JSON lines, one row per text, appended as they are finished.

Knows nothing of prompts and networks. A row holds everything that training on it needs, in tokens, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Self


class UnreadableRows(ValueError):
    """A file is not one of rows, or of other rows; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One text.

    prompt, so_far  what the user asked, and the beginning of the answer that was given ("": none).
    text, tokens    what the model wrote after that; the end token is the last one if it came (`ended`).
                    Otherwise the text was cut off, at its limit or where it went round in circles.
    temperature, nucleus, penalty, seed, model  how it was drawn, and by which model of the catalogue.
    prompt_tokens   all that was read: the conversation up to the answer, and so_far.
    kind            of the prompt: "request", "section", "next" or "continue" (see model.training.prompts).
    least           tokens before which the text was not allowed to end.
    dial            the stop of the dial at which the adapter wrote, checked by the base model; "": that wrote alone.
    starts          places in `tokens` where a cycle of the block sampler began, if it wrote.
    """

    prompt: str
    so_far: str
    text: str
    tokens: list[int]
    ended: bool
    temperature: float
    nucleus: float
    seed: int
    model: str
    prompt_tokens: list[int]
    kind: str
    least: int
    penalty: float = 0.0
    dial: str = ""
    starts: list[int] = field(default_factory=list)


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, in order; a last line that was cut off by a crash is left out.

    Raises UnreadableRows, OSError.
    """
    known = {one.name: one.default is one.default_factory is MISSING for one in fields(Row)}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                values = json.loads(line)
                yield Row(**{name: values[name] for name, needed in known.items() if needed or name in values})
            except (ValueError, KeyError, TypeError) as error:
                raise UnreadableRows(
                    f"Line {number} of {path} is not a text that distill wrote; name another file."
                ) from error


class RowFile:
    """A file that is being written, and the rows in it."""

    def __init__(self, path: Path) -> None:
        """Opens or begins it; a line that was cut off goes. Raises UnreadableRows, OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.rows: dict[int, Row] = {row.seed: row for row in read_rows(path)} if path.exists() else {}
        self._file = path.open("ab")
        self._file.truncate(_whole_lines(path))

    def append(self, row: Row) -> None:
        """On the disk's way when it returns. Raises OSError."""
        self._file.write(json.dumps(asdict(row), ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        self.rows[row.seed] = row

    def tokens(self, kinds: tuple[str, ...]) -> int:
        """Tokens written in rows of these kinds."""
        return sum(len(row.tokens) for row in self.rows.values() if row.kind in kinds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _whole_lines(path: Path) -> int:
    """Bytes up to the last line's end."""
    return path.read_bytes().rfind(b"\n") + 1
