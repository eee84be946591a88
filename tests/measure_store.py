"""`python -m tests.measure_store`: bytes and milliseconds that one save of a key costs, and a block, in a long section.

A section of 30,000 words in one block of the writer's, or of the model's blocks, is typed into once a second (by the
store's clock) as the page does it; bytes are those that reach the write-ahead log. `--words 5000` for another length.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from app.draft import Block, Section
from app.store import Store

PHRASES = ["the sea was calm", "that night", "and nobody", "in the old house", "by the harbour", "had seen", "a light"]
SAVES = 50


def prose(words: int, chance: random.Random) -> str:
    made: list[str] = []
    while len(made) < words:
        made += chance.choice(PHRASES).split()
    return " ".join(made[:words])


class Bench:
    """A store with its own clock and a write-ahead log that is emptied before each measurement."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "galley.db"
        self.clock = datetime(2030, 1, 1, tzinfo=UTC)
        self.store = Store(self.path, now=lambda: self.clock)

    def measure(self, called: str, action: Callable[[], object]) -> None:
        bytes_each, seconds = [], []
        for _ in range(SAVES):
            self.clock += timedelta(seconds=1)
            self.store._door._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            start = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - start)
            bytes_each.append(self.path.with_name("galley.db-wal").stat().st_size)
        print(
            f"{called:50} {median(bytes_each) / 1024:8.1f} KB (most {max(bytes_each) / 1024:.1f}) "
            f"{median(seconds) * 1000:8.1f} ms (most {max(seconds) * 1000:.1f})"
        )


def type_at(bench: Bench, section: Section, place: int) -> Callable[[], None]:
    """Types one more word at a place each time."""
    state = {"section": section, "place": place}

    def save() -> None:
        now, at = state["section"], state["place"]
        text = now.text[:at] + " word" + now.text[at:]
        state["section"] = bench.store.save_text(now.id, now.revision, len(now.blocks), text)
        state["place"] = at + len(" word")

    return save


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=int, default=30_000)
    words = parser.parse_args().words
    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        document = bench.store.create_document("D")
        document = bench.store.add_section(document.id, 0, after=None)
        mine, models = document.sections
        mine = bench.store.save_text(mine.id, 0, 0, prose(words, chance))
        for number in range(words // 18):
            tokens = tuple(chance.randrange(50_000) for _ in range(24))
            block = Block(" " + prose(18, chance), "model", tokens, number, nll=30.0, nfe=9, seconds=0.3, job="j")
            _, models = bench.store.append_block(models.id, block)
        middle = len(mine.text) // 2
        bench.measure("typing in the middle of one long block", type_at(bench, mine, middle))
        bench.measure("typing at its beginning", type_at(bench, bench.store.section(mine.id), 0))
        bench.measure("typing between the model's blocks", type_at(bench, models, len(models.text) // 2))
        bench.measure(
            "a block of the model at the end",
            lambda: bench.store.append_block(models.id, Block(" One more block of words.", "model", (1, 2, 3))),
        )
        bench.store.close()


if __name__ == "__main__":
    main()
