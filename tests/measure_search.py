"""`python -m tests.measure_search`: how long a search takes in a million words of 2,000 sections.

The words are made up, as frequent as those of a language (Zipf), half of them by the model in blocks of 20 words.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from statistics import median

from app.draft import Block
from app.store import Store

VOCABULARY = 30_000
SECTIONS = 2000
SECTIONS_IN_DOCUMENT = 40
BLOCK_WORDS = 20
TRIES = 15


def vocabulary(chance: random.Random) -> list[str]:
    """Made-up words; the frequent ones are short."""
    syllables = [a + b for a in "bdfgklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er", "is", "ó")]
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        words["".join(chance.choices(syllables, k=1 + len(words) // 3000 % 4 + (len(words) > 60)))] = None
    return list(words)


def fill(store: Store, words: int, known: list[str], chance: random.Random) -> None:
    shares = list(accumulate(1 / (rank + 2) for rank in range(len(known))))
    text: Iterator[str] = iter(chance.choices(known, cum_weights=shares, k=words))
    for _ in range(SECTIONS // SECTIONS_IN_DOCUMENT):
        document = store.create_document(next(text))
        for number in range(SECTIONS_IN_DOCUMENT):
            if number:
                document = store.add_section(document.id, document.revision, after=None, title=next(text))
        for section in document.sections:
            typed = " ".join(next(text) for _ in range(words // SECTIONS // 2))
            store.save_text(section.id, 0, 0, typed)
            for _ in range(words // SECTIONS // 2 // BLOCK_WORDS):
                block = " ".join(next(text) for _ in range(BLOCK_WORDS))
                store.append_block(section.id, Block(f" {block}", "model", (1, 2, 3)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=int, default=1_000_000)
    words = parser.parse_args().words
    chance = random.Random(1)
    known = vocabulary(chance)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "galley.db"
        store = Store(path)
        store._door._db.execute("PRAGMA synchronous = OFF")  # of the filling only
        fill(store, words + 100_000, known, chance)
        store.close()
        store = Store(path)
        start = time.perf_counter()
        store.search(known[5])
        print(f"{sum(card.words for card in store.documents()):,} words in {SECTIONS:,} sections")
        print(f"the first search, which reads everything: {time.perf_counter() - start:.1f} s")
        queries = {
            "the most frequent word": known[0],
            "a frequent word": known[50],
            "a rare word": known[20_000],
            "three frequent words": " ".join(known[10:13]),
            "a phrase": f'"{known[0]} {known[1]}"',
            "one letter": "b",
            "two letters": "ba",
            "the beginning of a word": known[9000][:5],
        }
        for called, query in queries.items():
            seconds = []
            for _ in range(TRIES):
                start = time.perf_counter()
                hits = store.search(query)
                seconds.append(time.perf_counter() - start)
            matches = sum(hit.count for hit in hits)
            print(
                f"{called:25} {median(seconds) * 1000:7.1f} ms (most {max(seconds) * 1000:.1f}), "
                f"{len(hits)} sections shown with {matches} matches"
            )
        section = store.document(1).sections[0]
        seconds = []
        for number in range(TRIES):
            store.append_block(section.id, Block(f" new{number}", "model"))
            start = time.perf_counter()
            assert store.search(f"new{number}")
            seconds.append(time.perf_counter() - start)
        print(f"{'just after a change':25} {median(seconds) * 1000:7.1f} ms (most {max(seconds) * 1000:.1f})")
        store.close()
        print(f"the database has {path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
