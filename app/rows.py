"""A section's blocks as database rows, and back, with a memory of those that were read before.

Knows nothing of edits. A setting that this Galley no longer allows reads as "no setting" instead of hiding
the text it belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, cast

from sqlite_utils import Database

from app.draft import Author, Block, join, shared_prefix, shared_suffix, storable
from model.contract import Dial, InvalidSetting

COLUMNS = ("text", "author", "tokens", "seed", "dial", "nll", "nfe", "seconds", "job")
"""Columns of a block's origin, in the order of `Block`'s fields."""

PIECE = 1000
"""Characters of the longest row: a key typed into a long block writes one page of the database, not the block."""

STEP = 1024
"""Places between two rows that are written behind each other, so that others fit between them later."""

MEMORY = 1_500_000
"""Characters of text of the sections that are remembered."""


def block_row(block: Block) -> dict[str, Any]:
    """The columns of a block. The seed is text, because it may use all 64 bits and SQLite's integers are signed."""
    return {
        "text": storable(block.text),
        "author": block.author,
        "tokens": json.dumps(block.tokens),
        "seed": None if block.seed is None else str(block.seed),
        "dial": None if block.dial is None else json.dumps(asdict(block.dial)),
        "nll": block.nll,
        "nfe": block.nfe,
        "seconds": block.seconds,
        "job": block.job,
    }


def read_block(row: Sequence[Any]) -> Block:
    """The block of a row of COLUMNS."""
    text, author, tokens, seed, dial, nll, nfe, seconds, job = row
    return Block(
        text=text,
        author=cast(Author, author),
        tokens=() if tokens == "[]" else tuple(json.loads(tokens)),
        seed=None if seed is None else int(seed),
        dial=None if dial is None else _dial(dial),
        nll=nll,
        nfe=nfe,
        seconds=seconds,
        job=job,
    )


@lru_cache(maxsize=256)
def _dial(text: str) -> Dial | None:
    try:
        return Dial(**json.loads(text))
    except (InvalidSetting, TypeError):
        return None


_WRITERS = block_row(Block("", "writer"))


def brief_row(block: Block) -> dict[str, Any]:
    """The columns in which a block differs from a writer's block without text."""
    return {name: value for name, value in block_row(block).items() if value != _WRITERS[name]}


def read_brief(row: Mapping[str, Any]) -> Block:
    """The block of a `brief_row`."""
    full = {**_WRITERS, **row}
    return read_block([full[name] for name in COLUMNS])


# -------------------------------------------------------------------------------------------------------- the table


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: `chars` characters of a block. first: the block begins here, its origin is in this row."""

    id: int
    place: int
    chars: int
    first: bool


@dataclass(frozen=True, slots=True)
class Shelf:
    """A section's blocks and the rows in which they are, both in order."""

    blocks: tuple[Block, ...]
    rows: tuple[Row, ...]


Piece = tuple[Block | None, str]
"""What is in a row: the origin (a block without its text), or None where the block before goes on; and the text."""


def read_shelf(db: Database, section_id: int) -> Shelf:
    """The section's blocks as the table has them."""
    rows: list[Row] = []
    blocks: list[Block] = []
    texts: list[str] = []
    found = db.execute(
        f"SELECT id, place, continues, {', '.join(COLUMNS)} FROM blocks WHERE section_id = ? ORDER BY place",
        [section_id],
    )
    for row_id, place, continues, *columns in found:
        rows.append(Row(row_id, place, len(columns[0]), not continues))
        if continues:
            texts.append(columns[0])
            continue
        _lengthen(blocks, texts)
        blocks.append(read_block(columns))
        texts = [columns[0]]
    _lengthen(blocks, texts)
    return Shelf(tuple(blocks), tuple(rows))


def _lengthen(blocks: list[Block], texts: list[str]) -> None:
    if len(texts) > 1:
        blocks[-1] = replace(blocks[-1], text="".join(texts))


def write_blocks(db: Database, section_id: int, old: Shelf, blocks: tuple[Block, ...]) -> Shelf:
    """Makes `blocks` of the section's rows, touching only those whose text or origin is another one."""
    first, last, end = differing(old.blocks, blocks)
    starts = [index for index, row in enumerate(old.rows) if row.first] + [len(old.rows)]
    top, bottom = starts[first], starts[last]
    had = _pieces(old.blocks[first:last], old.rows[top:bottom])
    wanted = _recut(had, blocks[first:end])
    same, had_end, wanted_end = differing(had, wanted)
    rows = _write_rows(db, section_id, old.rows, top + same, top + had_end, wanted[same:wanted_end])
    return Shelf(blocks, rows)


def differing(old: Sequence[object], new: Sequence[object]) -> tuple[int, int, int]:
    """(first, last, end): old[first:last] became new[first:end]; what stands around them is the same on both sides."""
    first = 0
    for a, b in zip(old, new, strict=False):
        if a is not b and a != b:
            break
        first += 1
    kept, most = 0, min(len(old), len(new)) - first
    for a, b in zip(reversed(old), reversed(new), strict=False):
        if kept == most or (a is not b and a != b):
            break
        kept += 1
    return first, len(old) - kept, len(new) - kept


def _pieces(blocks: Sequence[Block], rows: Sequence[Row]) -> list[Piece]:
    """What is in these rows, which hold these blocks."""
    pieces: list[Piece] = []
    left, text, at = iter(blocks), "", 0
    for row in rows:
        origin = None
        if row.first:
            block = next(left)
            origin, text, at = _origin(block), block.text, 0
        pieces.append((origin, text[at : at + row.chars]))
        at += row.chars
    return pieces


def _recut(had: Sequence[Piece], blocks: Sequence[Block]) -> list[Piece]:
    """The blocks in rows: cut where the rows they replace were cut, as far as that text is still there."""
    old, new = "".join(text for _, text in had), join(blocks)
    left = shared_prefix(old, new)
    right = len(old) - shared_suffix(old, new, min(len(old), len(new)) - left)
    grown = len(new) - len(old)
    ends = list(accumulate(len(text) for _, text in had))
    cuts = {end for end in ends if end <= left} | {end + grown for end in ends if end >= right}
    pieces: list[Piece] = []
    start = 0
    for block in blocks:
        stop = start + len(block.text)
        borders = [start, *sorted(cut for cut in cuts if start < cut < stop), stop]
        texts = [text for a, b in pairwise(borders) for text in _cut_evenly(new[a:b])]
        pieces += [(None if index else _origin(block), text) for index, text in enumerate(texts)]
        start = stop
    return pieces


def _cut_evenly(text: str) -> list[str]:
    """The text in as few pieces as the longest row allows; one piece of an empty text."""
    count = max(1, -(-len(text) // PIECE))
    return [text[len(text) * index // count : len(text) * (index + 1) // count] for index in range(count)]


def _origin(block: Block) -> Block:
    return replace(block, text="")


def _write_rows(
    db: Database, section_id: int, rows: tuple[Row, ...], top: int, bottom: int, pieces: Sequence[Piece]
) -> tuple[Row, ...]:
    """Puts the pieces in place of rows[top:bottom]; returns the section's rows."""
    kept = min(bottom - top, len(pieces))
    added = pieces[kept:]
    places = _places_between(rows[: top + kept], rows[bottom:], len(added))
    if places is None:
        rows = _spread(db, rows, bottom, len(added))
        places = [(bottom + index) * STEP for index in range(len(added))]
    made = [_update(db, row, piece) for row, piece in zip(rows[top : top + kept], pieces[:kept], strict=True)]
    for row in rows[top + kept : bottom]:
        db.execute("DELETE FROM blocks WHERE id = ?", [row.id])
    made += [_insert(db, section_id, place, piece) for place, piece in zip(places, added, strict=True)]
    return (*rows[:top], *made, *rows[bottom:])


def _update(db: Database, row: Row, piece: Piece) -> Row:
    columns = _columns(piece)
    names = ", ".join(f"{name} = ?" for name in columns)
    db.execute(f"UPDATE blocks SET {names} WHERE id = ?", [*columns.values(), row.id])
    return Row(row.id, row.place, len(piece[1]), piece[0] is not None)


def _insert(db: Database, section_id: int, place: int, piece: Piece) -> Row:
    row = {"section_id": section_id, "place": place, **_columns(piece)}
    return Row(insert(db, "blocks", row), place, len(piece[1]), piece[0] is not None)


def insert(db: Database, table: str, row: Mapping[str, Any]) -> int:
    """Returns the new row's id. The table's own `insert` looks at the whole schema first, at the price of the row."""
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    cursor = db.execute(f"INSERT INTO {table}({names}) VALUES ({marks})", list(row.values()))
    return cast(int, cursor.lastrowid)


def _columns(piece: Piece) -> dict[str, Any]:
    origin, text = piece
    return {**(_WRITERS if origin is None else block_row(origin)), "text": storable(text), "continues": origin is None}


def _places_between(left: Sequence[Row], right: Sequence[Row], count: int) -> list[int] | None:
    """Places for so many rows between two; None: there is no room for them."""
    if not right:
        last = left[-1].place if left else -STEP
        return [last + STEP * index for index in range(1, count + 1)]
    end = right[0].place
    start = left[-1].place if left else end - STEP * (count + 1)
    if end - start <= count:
        return None
    return [start + (end - start) * index // (count + 1) for index in range(1, count + 1)]


def _spread(db: Database, rows: tuple[Row, ...], gap: int, count: int) -> tuple[Row, ...]:
    """The section's rows at places that are STEP apart, with room for `count` more in front of rows[gap]."""
    moved = tuple(replace(row, place=(index + (count if index >= gap else 0)) * STEP) for index, row in enumerate(rows))
    for row in moved:
        db.execute("UPDATE blocks SET place = ? WHERE id = ?", [row.place, row.id])
    return moved


class ShelfCache:
    """Shelves of the sections in use, so that one more block of a long section does not read all others again.

    Belongs to one connection. `check` first in every transaction; `forget` after one that was undone.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        """memory: characters of text that are remembered at most; the shelf that is written or read last always is."""
        self._memory = memory
        self._shelves: dict[int, tuple[Shelf, int]] = {}
        self._chars = 0
        self._version = -1

    def check(self, db: Database) -> None:
        """Forgets everything if another connection has written since."""
        version = db.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self.forget()
            self._version = version

    def forget(self) -> None:
        self._shelves.clear()
        self._chars = 0

    def put(self, section_id: int, shelf: Shelf) -> None:
        """Remembers what this connection has read or written; the section that was put first makes room."""
        self._drop(section_id)
        chars = sum(row.chars for row in shelf.rows)
        self._shelves[section_id] = shelf, chars
        self._chars += chars
        while self._chars > self._memory and len(self._shelves) > 1:
            self._drop(next(iter(self._shelves)))

    def _drop(self, section_id: int) -> None:
        _, chars = self._shelves.pop(section_id, (None, 0))
        self._chars -= chars

    def read(self, db: Database, section_id: int) -> Shelf:
        """The section's blocks and rows."""
        if section_id not in self._shelves:
            self.put(section_id, read_shelf(db, section_id))
        return self._shelves[section_id][0]

    def write(self, db: Database, section_id: int, blocks: tuple[Block, ...]) -> None:
        """Makes these the section's blocks, in the table and here."""
        self.put(section_id, write_blocks(db, section_id, self.read(db, section_id), blocks))
