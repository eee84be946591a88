"""A process that saves what is typed and locks blocks in is killed at 100 random moments; all it announced is there."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import sqlite3
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from app.draft import Block, Section
from app.store import Store
from tests.test_store import replay

KILLS = 100
MOST_MESSAGES = 8
"""Before a kill; with none of them the process is killed while it opens the file."""

MOST_TURNS = 200_000
"""Of an empty loop, some milliseconds, between the last message and the kill: it may hit any part of a verb."""


def write(path: Path, section_id: int, seed: int, announce: Connection) -> None:
    """Types in front of the model's blocks and appends more of them, and says what is saved as soon as it is."""
    chance = random.Random(seed)
    store = Store(path)
    while True:
        section = store.section(section_id)
        typed = typed_in(section)
        number = chance.randrange(10**9)
        match chance.randrange(6):
            case 0 | 1:
                text = f" block {number}."
                store.append_block(section_id, Block(text, "model", (1, 2, 3), number, job="j"))
                announce.send(("block", text))
            case 2 | 3:
                text = f"{typed}word {number} "
                store.save_text(section_id, section.revision, 1 if typed else 0, text)
                announce.send(("typed", text))
            case 4:
                store.search("word")
            case 5:
                store.take_snapshot(section.document_id, "S")


def typed_in(section: Section) -> str:
    """The writer's words, which stand in front."""
    return section.blocks[0].text if section.blocks and section.blocks[0].author == "writer" else ""


def written_in(section: Section) -> list[str]:
    return [block.text for block in section.blocks if block.author == "model"]


def starter() -> multiprocessing.context.BaseContext:
    """Processes that come out of one in which all is imported: a hundred of them are to be started."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def heard_until_killed(
    context: multiprocessing.context.BaseContext, path: Path, section_id: int, chance: random.Random
) -> list[tuple[str, str]]:
    """What a process announced until it was killed at a random moment."""
    ear, mouth = multiprocessing.Pipe(duplex=False)
    process = context.Process(target=write, args=(path, section_id, chance.randrange(10**9), mouth), daemon=True)  # type: ignore[attr-defined]
    process.start()
    mouth.close()
    with contextlib.closing(ear):
        heard = [ear.recv() for _ in range(chance.randrange(MOST_MESSAGES + 1))]
        for _ in range(chance.randrange(MOST_TURNS)):
            pass
        process.kill()
        process.join()
        heard += until_the_end(ear)
    return heard


def until_the_end(ear: Connection) -> Iterator[tuple[str, str]]:
    """The last message may have been cut off: it was announced to nobody."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            yield ear.recv()


def check_file(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []


def test_nothing_that_was_announced_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "galley.db"
    with contextlib.closing(Store(path)) as store:
        section = store.create_document("D").sections[0]
    context, chance = starter(), random.Random(5)
    for _ in range(KILLS):
        typed, blocks = typed_in(section), written_in(section)
        for what, text in heard_until_killed(context, path, section.id, chance):
            if what == "block":
                blocks.append(text)
            else:
                typed = text
        check_file(path)
        with contextlib.closing(Store(path)) as store:
            section = store.section(section.id)
        # What was saved and could not be announced any more may be there, too.
        assert typed_in(section).startswith(typed)
        assert written_in(section)[: len(blocks)] == blocks
        unheard = len(written_in(section)) - len(blocks) + (typed_in(section) != typed)
        assert unheard <= 1
    with contextlib.closing(Store(path)) as store:
        assert replay(store.history(section_id=section.id)) == section.text
        start, last = store.versions(section.id)[0], store.versions(section.id)[-1]
        assert store.go_to(section.id, section.revision, start.id).text == ""
        assert store.go_to(section.id, section.revision + 1, last.id).blocks == section.blocks
        assert len(section.blocks) > KILLS
