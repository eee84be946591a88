"""`python -m tests.measure_desk`: what a writer waits for, on this machine, with the real model and the real desk.

Prints the warm start up to the first locked block, the peak memory of page and model process together, and for every
stop of the dial how far predicted seconds and wanted words were from what came out. `--json` for programs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from app.desk import opened
from app.draft import count_words
from app.launch import served, usable_port
from app.session import Session
from app.settings import parse
from app.visitors import OWN
from model.sentences import closes_sentence

BRIEFS = (
    "A lighthouse keeper counts the ships that do not come.",
    "A letter to the council about the broken bridge.",
    "How bees find their way home, for curious readers.",
)


@dataclass(frozen=True, slots=True)
class Section:
    """One section: what was asked for and expected, and what came."""

    stop: str
    target_words: int
    words: int
    whole_sentence: bool
    predicted_seconds: float
    seconds: float
    nfe_per_token: float

    @property
    def missed(self) -> float:
        """The prediction's error, as a share of what it took."""
        return abs(self.predicted_seconds - self.seconds) / self.seconds

    @property
    def within(self) -> bool:
        """Of ±3% of the wanted length, or a word of it."""
        return abs(self.words - self.target_words) <= max(1, 0.03 * self.target_words)


@dataclass(frozen=True, slots=True)
class Measured:
    """start_to_first_block: seconds from the start of the desk, libraries loaded, weights on the disk."""

    start_to_first_block: float
    peak_memory_mb: float
    sections: list[Section]


class Memory:
    """The most that this process and those it started have used at one moment, looked at ten times a second."""

    def __init__(self) -> None:
        self.peak = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._end.wait(0.1):
            used = me.memory_info().rss
            for child in me.children(recursive=True):
                try:
                    used += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, used)

    def close(self) -> float:
        """In MB."""
        self._end.set()
        self._thread.join()
        return self.peak / 2**20


@contextmanager
def desk(folder: Path) -> Iterator[Session]:
    """The desk with its page, as run.py opens it."""
    settings = parse(["--data-dir", str(folder), "--no-browser", "--port", "0"])
    with opened(settings) as visitors, served(visitors, settings, usable_port(settings.host, 0)):
        session = visitors.session(OWN)
        yield session


def wait_until_ready(session: Session) -> None:
    news = session.subscribe()
    while session.engine()["state"] == "preparing":
        news.get(timeout=1.0)
    if session.engine()["state"] == "failed":
        sys.exit(session.engine()["sentence"])
    news.close()


def write(session: Session, brief: str, stop: str, words: int, seed: int) -> tuple[Section, float]:
    """Has one section written; also when its first block was locked (a reading of time.monotonic)."""
    document = session.create_document(brief)
    section = document.sections[0]
    session.change_section(section.id, section.revision, brief=brief, target_words=words)
    dial = session.entry.stop(stop).dial
    predicted = session.predict(section.id, dial, stop)
    assert predicted is not None
    news = session.subscribe()
    job = session.write(section.id, dial=dial, stop_name=stop, seed=seed)
    first = 0.0
    while (event := news.get(timeout=600.0)) is not None:
        if event["type"] == "locked":
            first = first or time.monotonic()
        if event["type"] == "job" and event["job"] == job and event["state"] != "running":
            break
    assert event is not None
    news.close()
    text, meter = session.section(section.id).text, event["meter"]
    done = Section(
        stop, words, count_words(text), closes_sentence(text), predicted, meter["seconds"], meter["nfe_per_token"]
    )
    return done, first


def measure(lengths: Sequence[int], briefs: Sequence[str]) -> Measured:
    memory = Memory()
    sections: list[Section] = []
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        with desk(Path(folder)) as session:
            wait_until_ready(session)
            first = 0.0
            for number, brief in enumerate(briefs):
                for words in lengths:
                    for stop in session.entry.stops:
                        done, locked = write(session, brief, stop.name, words, seed=number)
                        first = first or locked - began
                        sections.append(done)
                        print(done, file=sys.stderr, flush=True)
    return Measured(first, memory.close(), sections)


CLOSE = 0.2
"""How far off a prediction may be, as a share of what it took."""


def close(predicted: Sequence[float], took: Sequence[float]) -> int:
    """How many predictions are close enough."""
    return sum(abs(said - seconds) <= CLOSE * seconds for said, seconds in zip(predicted, took, strict=True))


def close_at_best(sections: Sequence[Section]) -> int:
    """How many would be, were all of them longer or shorter by the one factor that suits them best: the rest is chance.

    The best factor is one at which a section is just close enough, since the number changes at those alone.
    """
    took = [section.seconds for section in sections]
    factors = (section.seconds * (1 - CLOSE) / section.predicted_seconds for section in sections)
    just = 1 + 1e-9  # what is rounded must not fall out
    return max(close([section.predicted_seconds * factor * just for section in sections], took) for factor in factors)


def table(measured: Measured) -> Iterator[str]:
    yield f"start to first locked block: {measured.start_to_first_block:.1f} s"
    yield f"peak memory of page and model process: {measured.peak_memory_mb:.0f} MB"
    yield (
        "| stop | sections | within ±3% | whole sentence | prediction missed by, median (worst) | within 20% "
        "| by the best factor afterwards | NFE/token |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for stop in dict.fromkeys(section.stop for section in measured.sections):
        these = [section for section in measured.sections if section.stop == stop]
        missed = sorted(section.missed for section in these)
        yield (
            f"| {stop} | {len(these)} | {sum(section.within for section in these)} | "
            f"{sum(section.whole_sentence for section in these)} | {missed[len(missed) // 2]:.0%} ({missed[-1]:.0%}) | "
            f"{close([each.predicted_seconds for each in these], [each.seconds for each in these])} | "
            f"{close_at_best(these)} | "
            f"{sum(section.nfe_per_token for section in these) / len(these):.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.measure_desk", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--lengths", type=int, nargs="+", default=[60, 150, 300], metavar="WORDS")
    parser.add_argument("--briefs", type=int, default=2, metavar="N", help=f"how many briefs (at most {len(BRIEFS)})")
    given = parser.parse_args()
    measured = measure(given.lengths, BRIEFS[: given.briefs])
    print(json.dumps(asdict(measured), indent=1) if given.json else "\n".join(table(measured)))


if __name__ == "__main__":
    main()
