"""A section's blocks as database rows, and back, with a memory of those that were read before.

Knows nothing of edits. A setting that this Galley no longer allows reads as "no setting" instead of hiding
the text it belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from typing import Any, cast

from sqlite_utils import Database

from app.draft import Author, Block, storable
from model.contract import Dial, InvalidSetting

COLUMNS = ("text", "author", "tokens", "seed", "dial", "nll", "nfe", "seconds", "job")
"""Columns of a block's origin, in the order of `Block`'s fields."""


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


def read_block(row: tuple[Any, ...]) -> Block:
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


def insert_blocks(db: Database, section_id: int, place: int, blocks: Iterable[Block]) -> None:
    """Puts rows of consecutive blocks into the table, the first one at `place`."""
    db.table("blocks").insert_all(
        {"section_id": section_id, "place": index, **block_row(block)} for index, block in enumerate(blocks, place)
    )


class BlockCache:
    """Blocks of the sections in use, so that one more block of a long section does not read all others again.

    Belongs to one connection. `check` first in every transaction; `forget` after one that was undone.
    """

    def __init__(self, sections: int = 32) -> None:
        self._sections = sections
        self._blocks: dict[int, tuple[Block, ...]] = {}
        self._version = -1

    def check(self, db: Database) -> None:
        """Forgets everything if another connection has written since."""
        version = db.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self.forget()
            self._version = version

    def forget(self) -> None:
        self._blocks.clear()

    def put(self, section_id: int, blocks: tuple[Block, ...]) -> None:
        """Remembers what this connection has read or written; the section that was put first makes room."""
        self._blocks.pop(section_id, None)
        self._blocks[section_id] = blocks
        if len(self._blocks) > self._sections:
            del self._blocks[next(iter(self._blocks))]

    def read(self, db: Database, section_id: int) -> tuple[Block, ...]:
        """The section's blocks in order."""
        if (blocks := self._blocks.get(section_id)) is None:
            rows = db.execute(
                f"SELECT {', '.join(COLUMNS)} FROM blocks WHERE section_id = ? ORDER BY place", [section_id]
            )
            blocks = tuple(map(read_block, rows))
            self.put(section_id, blocks)
        return blocks
