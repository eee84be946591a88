"""`python -m model.evaluation.length`: how exactly a wanted length is met, and what the ending costs.

The default model writes sections of 50 to 600 words, most of them short, since those are the harder ones; each answers
another held-out request, asked for as the desk does, at the stops of the dial in turns. Prints a line for each, then
the share of those that are within ±3% of the wanted words (never less than one word) and end on a whole sentence, with
a 95% interval.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.catalog import CATALOG, Entry, UnknownStop
from model.contract import BlockLocked, BlockStep, Failed, Finished, Request, count_words
from model.ending import tolerance
from model.engine import Engine, ModelUnavailable
from model.evaluation.generation import HELD_OUT, NotPossible, read_requests, text_seed
from model.evaluation.options import add_options, positive
from model.evaluation.writing import SYSTEM, default_cache, say
from model.sentences import closes_sentence
from model.training.prompts import section_task

SHORTEST, LONGEST = 50, 600

Z = 1.96
"""The normal law stays within so many standard deviations with chance 95%."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One section that is to be written."""

    request: str
    stop: str
    words: int
    seed: int


@dataclass(frozen=True, slots=True)
class Section:
    """What came of a wish. seconds: of the whole job; ending_seconds: from the last ordinary block to the end."""

    wish: Wish
    text: str
    words: int
    seconds: float
    ending_seconds: float
    ending_nfe: int
    reason: str

    @property
    def miss(self) -> int:
        """Words too many, or, below 0, too few."""
        return self.words - self.wish.words

    @property
    def whole(self) -> bool:
        """Whether it ends on a whole sentence."""
        return closes_sentence(self.text)

    @property
    def met(self) -> bool:
        """Whether its length is met on a whole sentence."""
        return self.whole and abs(self.miss) <= tolerance(self.wish.words)

    def line(self) -> str:
        """One line of the table; with the last words of the text."""
        last = " ".join(self.text[-60:].split())
        return (
            f"{'met ' if self.met else 'MISS'} {self.wish.stop:<10} wanted {self.wish.words:>4} wrote {self.words:>4} "
            f"({self.miss:+d}) in {self.seconds:5.1f} s, its ending {self.ending_seconds:4.2f} s, "
            f"{self.ending_nfe:>3} forwards: … {last}"
        )


def wishes(count: int, stops: Sequence[str], requests: Sequence[str], seed: int) -> list[Wish]:
    """Sections of evenly growing length by ratio. Neighbours in length differ in stop and request."""
    ratio = LONGEST / SHORTEST
    lengths = [round(SHORTEST * ratio ** (number / max(1, count - 1))) for number in range(count)]
    return [
        Wish(requests[number % len(requests)], stops[number % len(stops)], words, text_seed(seed, number))
        for number, words in enumerate(lengths)
    ]


def write(engine: Engine, entry: Entry, wish: Wish) -> Section:
    """Has one section written. Raises NotPossible where the engine cannot."""
    task = section_task("", "", wish.request, wish.words)
    request = Request("length", SYSTEM, task, "", entry.stop(wish.stop).dial, wish.seed, wish.words)
    text, ending_nfe, last = "", 0, None
    before_it = began = time.perf_counter()
    ending = False
    for event in engine.write(request):
        match event:
            case BlockStep(phase="ending"):
                ending = True
            case BlockLocked():
                text += event.text
                ending_nfe += event.nfe if ending else 0
            case Failed():
                raise NotPossible(event.sentence)
            case Finished():
                last = event
        if not ending:
            before_it = time.perf_counter()
    assert last is not None
    end = time.perf_counter()
    return Section(wish, text, count_words(text), end - began, end - before_it, ending_nfe, last.reason)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95% interval of a share after Wilson, which does not shrink to nothing where all or none hit."""
    share, more = hits / count, Z * Z / count
    middle, half = share + more / 2.0, Z * math.sqrt(share * (1.0 - share) / count + more / (4.0 * count))
    return max(0.0, (middle - half) / (1.0 + more)), min(1.0, (middle + half) / (1.0 + more))


def summary(sections: Sequence[Section]) -> Iterator[str]:
    """The share that is met, the worst miss and what endings cost."""
    met, count = sum(section.met for section in sections), len(sections)
    low, high = wilson(met, count)
    worst = max(sections, key=lambda section: abs(section.miss) / section.wish.words)
    yield f"within ±3% on a whole sentence: {met} of {count} = {met / count:.1%} (95% interval {low:.1%} to {high:.1%})"
    yield (
        f"on a whole sentence: {sum(section.whole for section in sections)} of {count}; "
        f"worst length: {worst.words} words of {worst.wish.words}, {worst.miss / worst.wish.words:+.1%}"
    )
    for stop in dict.fromkeys(section.wish.stop for section in sections):
        these = sorted(section.ending_seconds for section in sections if section.wish.stop == stop)
        yield f"ending at {stop}: {these[len(these) // 2]:.2f} s in the middle, {these[-1]:.2f} s at most"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line a section and the sums. 0: measured. 1: not, and a sentence says why."""
    entry = CATALOG[0]
    given = _parser(entry).parse_args(arguments)
    try:
        for stop in given.stops:
            entry.stop(stop)
        chosen = wishes(given.count, given.stops, read_requests(HELD_OUT, None), given.seed)
        engine = Engine.open(entry.id, cache_dir=given.cache_dir or default_cache(), threads=given.threads, report=say)
        sections = []
        for wish in chosen:
            sections.append(write(engine, entry, wish))
            print(sections[-1].line(), flush=True)
    except (NotPossible, UnknownStop, ModelUnavailable) as problem:
        print(problem, file=sys.stderr)
        return 1
    print("\n".join(summary(sections)))
    return 0


def _parser(entry: Entry) -> argparse.ArgumentParser:
    names = [stop.name for stop in entry.stops]
    parser = argparse.ArgumentParser(prog="python -m model.evaluation.length", description=__doc__)
    parser.add_argument("--count", type=positive, default=60, metavar="N", help="how many sections (default: 60)")
    parser.add_argument("--stops", nargs="+", default=names, metavar="NAME", help=f"of the dial: {', '.join(names)}")
    return add_options(parser)


if __name__ == "__main__":
    sys.exit(main())
