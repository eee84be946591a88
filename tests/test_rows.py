"""Rules of the rows that keep blocks: they read as what was written, and a little change writes little."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from app.database import Door
from app.draft import Block, join, replace_text
from app.rows import PIECE, Shelf, ShelfCache, brief_row, read_brief, read_shelf, write_blocks
from model.contract import Dial

EMPTY = Shelf((), ())
MODEL = Block(" The sea was calm.", "model", (5, 0, 49151), 2**64 - 1, Dial(8, 1, "verified"), 12.25, 7, 0.5, "job-1")

texts = st.text("ab ", max_size=20)
a_block = st.builds(
    Block, texts, st.sampled_from(["writer", "model", "edited"]), job=st.sampled_from([None, "j", "k"])
) | st.just(MODEL)
some_blocks = st.lists(a_block, max_size=6).map(tuple)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with contextlib.closing(Door(tmp_path / "galley.db")) as door, door.writing() as db:
        db.table("documents").insert({"id": 1, "title": "", "created": "", "updated": ""})
        for number in (1, 2):
            row = {"place": 0, "title": "", "brief": "", "target_words": 1, "status": "planned"}
            db.table("sections").insert({"id": number, "document_id": 1, **row})
        yield db


def rows_of(db: Database) -> dict[int, tuple[object, ...]]:
    return {row[0]: row for row in db.execute("SELECT * FROM blocks WHERE section_id = 1")}


@given(st.lists(some_blocks, min_size=1, max_size=8))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_come_back_as_they_were_written_whatever_was_there_before(
    db: Database, states: list[tuple[Block, ...]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.rows.PIECE", 5)
        patch.setattr("app.rows.STEP", 3)
        shelf = read_shelf(db, 1)
        for blocks in states:
            shelf = write_blocks(db, 1, shelf, blocks)
            assert shelf == read_shelf(db, 1)
            assert shelf.blocks == blocks
            assert max((row.chars for row in shelf.rows), default=0) <= 5
        assert read_shelf(db, 2) == EMPTY


@given(st.text("ab ", min_size=1, max_size=80), st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_typing_changes_few_rows_of_a_long_block(db: Database, text: str, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.rows.PIECE", 5)
        # From an empty section: what the example before has left between the places of its rows is not this one's.
        shelf = write_blocks(db, 1, write_blocks(db, 1, read_shelf(db, 1), ()), replace_text((), text))
        for _ in range(4):
            before, old = rows_of(db), join(shelf.blocks)
            at = data.draw(st.integers(0, len(old)))
            new = old[:at] + data.draw(st.text("ab ", max_size=2)) + old[at + data.draw(st.integers(0, 2)) :]
            shelf = write_blocks(db, 1, shelf, replace_text(shelf.blocks, new))
            after = rows_of(db)
            assert join(shelf.blocks) == new
            assert sum(before.get(number) != row for number, row in after.items()) <= 3


@pytest.mark.parametrize("place", [0, 100_000, 100_500, 220_000])
def test_a_key_in_a_very_long_block_writes_no_more_than_two_rows(db: Database, place: int) -> None:
    text = "A long line of words. " * 10_000
    shelf = write_blocks(db, 1, EMPTY, (Block(text, "writer"),))
    before = rows_of(db)
    write_blocks(db, 1, shelf, (Block(text[:place] + "x" + text[place:], "writer"),))
    changed = [row for row in rows_of(db).values() if row not in before.values()]
    assert len(changed) <= 2
    assert all(len(str(row[3])) <= PIECE for row in changed)


def test_a_block_put_between_two_others_moves_neither(db: Database) -> None:
    blocks: tuple[Block, ...] = tuple(Block(f"{number}.", "model", job="j") for number in range(100))
    shelf = write_blocks(db, 1, EMPTY, blocks)
    before = rows_of(db)
    for number in range(5):
        blocks = (*blocks[:50], Block(f"new {number}", "model"), *blocks[50:])
        shelf = write_blocks(db, 1, shelf, blocks)
    after = rows_of(db)
    assert {number: after[number] for number in before} == before
    assert read_shelf(db, 1).blocks == blocks


def test_the_origin_of_a_writers_block_takes_no_room() -> None:
    assert brief_row(Block("Words.", "writer")) == {"text": "Words."}


@given(a_block)
def test_a_block_in_brief_is_the_whole_block(block: Block) -> None:
    assert read_brief(brief_row(block)) == block


def test_the_cache_makes_room_for_the_section_in_use(db: Database) -> None:
    cache = ShelfCache(memory=25)
    cache.check(db)
    for number in (1, 2):
        cache.write(db, number, (Block(f"{number} has 15 letters"[:15], "writer"),))
    db.execute("UPDATE blocks SET text = 'changed'")  # behind the cache's back
    assert join(cache.read(db, 2).blocks) == "2 has 15 letter"
    assert join(cache.read(db, 1).blocks) == "changed"
    assert join(cache.read(db, 2).blocks) == "2 has 15 letter"
