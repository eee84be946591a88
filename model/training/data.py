"""Training text: documents from files or data sets, tokenised once into a file, read as rows of whole blocks.

Text files, Parquet, JSON lines, CSV and Hugging Face data sets come through `datasets`. Their tokens, with the end
token behind every document, are one long memory-mapped array; a row is the end token and the next L − 1 tokens of it,
so one file serves every row length. Knows nothing of networks.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]

from model.training.vocabulary import Vocabulary

BUILDERS = {".txt": "text", ".md": "text", ".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv"}
"""Which builder of `datasets` reads a file."""

HUB = "hub:"
"""Begins a data set's name: hub:NAME, hub:NAME:CONFIG or hub:NAME:CONFIG:SPLIT."""

BATCH = 256
"""Documents tokenised together."""

HELD_OUT = 0.02
"""Share of the rows, at the end, that validate where no other text is named for that."""


class NoData(ValueError):
    """A text cannot be read, or is too short; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where text comes from: files, in order, or a data set of the hub; column: the text's, where there are several."""

    names: tuple[str, ...]
    column: str = "text"

    def describe(self) -> list[Any]:
        """What the text depends on, as JSON values: a file's path, size and time, a data set's name."""
        return [self.column, *(name if name.startswith(HUB) else _stamp(name) for name in self.names)]

    def documents(self) -> Iterator[str]:
        """Every text, in order. Raises NoData."""
        for name in self.names:
            yield from _hub(name, self.column) if name.startswith(HUB) else _file(name, self.column)


def _stamp(name: str) -> list[Any]:
    try:
        found = Path(name).stat()
    except OSError as error:
        raise NoData(f"{name} cannot be read ({error.strerror}).") from error
    return [str(Path(name).resolve()), found.st_size, found.st_mtime_ns]


def _file(name: str, column: str) -> Iterator[str]:
    from datasets import load_dataset  # type: ignore[import-untyped]

    builder = BUILDERS.get(Path(name).suffix.lower())
    if builder is None:
        raise NoData(f"{name} is of no known kind; give a file that ends in one of {', '.join(BUILDERS)}.")
    more = {"sample_by": "document"} if builder == "text" else {}
    try:
        rows = load_dataset(builder, data_files=[name], split="train", streaming=True, **more)
        yield from _column(rows, "text" if builder == "text" else column, name)
    except (OSError, UnicodeDecodeError) as error:
        raise NoData(f"{name} cannot be read ({error}).") from error


def _hub(name: str, column: str) -> Iterator[str]:
    from datasets import load_dataset

    dataset, config, split = [*name.removeprefix(HUB).split(":"), "", ""][:3]
    try:
        rows = load_dataset(dataset, config or None, split=split or "train", streaming=True)
        yield from _column(rows, column, name)
    except (OSError, ValueError) as error:
        if isinstance(error, NoData):
            raise
        raise NoData(f"The data set {name} cannot be read ({error}).") from error


def _column(rows: Any, column: str, name: str) -> Iterator[str]:
    for row in rows:
        if column not in row:
            raise NoData(f"{name} has no column {column!r}; choose one of {', '.join(row)}.")
        yield str(row[column])


def tokenise(source: Source, vocabulary: Vocabulary, cache: Path, *, quiet: bool = False) -> Path:
    """The file with all tokens of a source: made once, found again afterwards. Raises NoData, OSError.

    It is named after the source and the tokenizer, so a changed text or tokenizer makes a new file.
    """
    facts = json.dumps([source.describe(), vocabulary.tokenizer.to_str(), vocabulary.end])
    file = cache / f"{hashlib.sha256(facts.encode()).hexdigest()[:24]}.tokens"
    if file.exists():
        return file
    cache.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".part{os.getpid()}")
    try:
        with part.open("wb") as out, tqdm(desc="tokenising", unit="tok", unit_scale=True, disable=quiet or None) as bar:
            documents = source.documents()
            while texts := list(islice(documents, BATCH)):
                for ids in vocabulary.encode(texts):
                    np.asarray([*ids, vocabulary.end], dtype=_dtype(vocabulary)).tofile(out)
                    bar.update(len(ids) + 1)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return file


def _dtype(vocabulary: Vocabulary) -> type[np.unsignedinteger[Any]]:
    return np.uint16 if vocabulary.size <= 2**16 else np.uint32


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of L tokens over a tokenised text: row i is the end token and tokens i(L − 1) … (i + 1)(L − 1).

    tokens  the whole text, memory-mapped.
    start, stop  which rows of it these are.
    """

    tokens: np.ndarray[Any, Any]
    length: int
    end: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def batch(self, chosen: Sequence[int]) -> Tensor:
        """Rows by number, [n, L] int64."""
        body = self.length - 1
        rows = torch.full((len(chosen), self.length), self.end, dtype=torch.long)
        for at, number in enumerate(chosen):
            first = (self.start + int(number)) * body
            rows[at, 1:] = torch.from_numpy(self.tokens[first : first + body].astype(np.int64))
        return rows

    def split(self, share: float = HELD_OUT) -> tuple[Rows, Rows]:
        """All rows but the last ones, and the last ones: at least one. Raises NoData where there is one row only."""
        if len(self) < 2:
            raise NoData(
                "The text has one row only, and none is left to validate with; give more text or a second one."
            )
        at = self.stop - max(1, round(len(self) * share))
        return (
            Rows(self.tokens, self.length, self.end, self.start, at),
            Rows(self.tokens, self.length, self.end, at, self.stop),
        )


def open_rows(file: Path, vocabulary: Vocabulary, length: int) -> Rows:
    """Rows of a tokenised text; what is left at the end and fills no row is not used. Raises NoData."""
    known = file.stat().st_size // np.dtype(_dtype(vocabulary)).itemsize
    count = known // (length - 1)
    if count < 1:
        raise NoData(f"The text has {known} tokens, and a row needs {length - 1}; give more text or shorter rows.")
    tokens = np.memmap(file, dtype=_dtype(vocabulary), mode="r", shape=(known,))
    return Rows(tokens, length, vocabulary.end, 0, count)


class Order:
    """Which rows each step reads: all of them in a new order, again and again. A step depends on its number alone."""

    def __init__(self, rows: int, batch: int, seed: int) -> None:
        self._rows, self._batch, self._seed = rows, batch, seed
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def step(self, number: int) -> list[int]:
        """Row numbers of a step, counted from 0."""
        first = number * self._batch
        return [self._at(place) for place in range(first, first + self._batch)]

    def _at(self, place: int) -> int:
        epoch, within = divmod(place, self._rows)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng([self._seed, epoch]).permutation(self._rows)
        return int(self._order[within])
