"""`python -m model.evaluation.filling --texts FILE`: what filling holes costs, and how well new words fit.

Three questions about the default model, each answered by a table in Markdown. What a re-roll of one block costs beside
an ordinary block. How many words differ after a rewriting at a strength. And how well a text goes on after a gap that
was filled: nats per token of what stands to its right, under the model's own causal reading, for the text that stood
there, for an infill, and for a continuation that knows nothing of the right side.

The texts are JSON lines with `prompt` and `text`. Figures are sums over gaps above and below one line; ± is a standard
error over gaps, which are independent. Differences are paired: the same gaps.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from model.backbones.load import fastest_precision, open_model
from model.catalog import CATALOG
from model.contract import (
    BlockLocked,
    Dial,
    Failed,
    Fill,
    Filled,
    InvalidSetting,
    Piece,
    Ready,
    Request,
    count_words,
)
from model.denoiser import Denoiser
from model.drawing import nll_of
from model.engine import Engine
from model.evaluation.intervals import Estimate, difference, quotient, ratio, student
from model.evaluation.options import add_options, positive
from model.evaluation.writing import SYSTEM, default_cache, say
from model.passage import LOOKED_AT
from model.tokenizer import TextTokenizer
from model.weights import WeightsUnavailable, obtain

LENGTHS = {"short": 1, "medium": 2, "long": 4}
"""Sentences of a gap."""

LEFT_WORDS = 40
"""A gap has at least so many words to its left."""

RIGHT = 2 * LOOKED_AT
"""Tokens to the right of a gap whose NLL is told; the ranking of infills has looked at the first half of them."""

STRENGTHS = (0.1, 0.25, 0.5, 0.75, 1.0)

PREFIX = 600
"""Tokens before the block that is written once more."""

_SENTENCE = re.compile(r"[A-Z][^.!?\n]{20,}[.!?](?=\s)")


class NotPossible(ValueError):
    """A wish that cannot be measured; the message says why."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Sentences of a text, and what stands on both sides of them."""

    prompt: str
    before: str
    was: str
    after: str
    length: str


def read_texts(file: Path) -> list[tuple[str, str]]:
    """Requests and the texts that answer them. Raises NotPossible."""
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
        return [(row["prompt"], row["text"]) for row in rows]
    except OSError as error:
        raise NotPossible(f"{file} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NotPossible(f"{file} has no JSON lines with a prompt and a text each.") from error


def find_gaps(texts: Sequence[tuple[str, str]], count: int, tokenizer: TextTokenizer, seed: int) -> list[Gap]:
    """Gaps of every length in turns, each in another text. Raises NotPossible."""
    chance = random.Random(seed)
    order = chance.sample(range(len(texts)), len(texts))
    gaps: list[Gap] = []
    for number in order:
        prompt, text = texts[number]
        length = list(LENGTHS)[len(gaps) % len(LENGTHS)]
        places = [
            (start, end)
            for start, end in _runs_of_sentences(text, LENGTHS[length])
            if count_words(text[:start]) >= LEFT_WORDS and len(tokenizer.encode(text[end:])) >= RIGHT
        ]
        if places:
            start, end = chance.choice(places)
            gaps.append(Gap(prompt, text[:start], text[start:end], text[end:], length))
        if len(gaps) == count:
            return gaps
    raise NotPossible(f"The texts have only {len(gaps)} gaps with enough text on both sides; ask for fewer.")


def _runs_of_sentences(text: str, count: int) -> Iterator[tuple[int, int]]:
    """Where so many sentences of the same paragraph begin and end."""
    spans = [match.span() for match in _SENTENCE.finditer(text)]
    for first, last in zip(spans, spans[count - 1 :], strict=False):
        inside = text[first[0] : last[1]]
        if "\n" not in inside and len(_SENTENCE.findall(inside + " ")) == count:
            yield first[0], last[1]


# ---------------------------------------------------------------------------------------------------------- measuring


class Bench:
    """An engine of the default model, and what is asked of it."""

    def __init__(self, network: Denoiser, tokenizer: TextTokenizer, dial: Dial) -> None:
        self.network, self.tokenizer, self.dial = network, tokenizer, dial
        ready = Ready("", str(tokenizer.path), network.facts.context, "", 1, 0.0, (), 0, 1.0)
        self.engine = Engine(network, tokenizer, ready)

    def filled(
        self,
        gap: Gap,
        pieces: Sequence[Piece],
        after: str,
        seed: int,
        count: int,
        strength: float,
        *,
        quick: bool = False,
    ) -> Filled:
        """Raises NotPossible where the engine has no candidate."""
        asked = Fill("", SYSTEM, gap.prompt, gap.before, tuple(pieces), after, self.dial, seed, count, strength)
        request = replace(asked, quick=quick)
        last = list(self.engine.fill(request))[-1]
        if not isinstance(last, Filled):
            raise NotPossible(last.sentence if isinstance(last, Failed) else "The engine was stopped.")
        return last

    def written(self, gap: Gap, seed: int, *, words: int | None, tokens: int = 4096) -> list[BlockLocked]:
        """The blocks of an ordinary continuation."""
        request = Request("", SYSTEM, gap.prompt, gap.before, self.dial, seed, words, max_tokens=tokens)
        return [event for event in self.engine.write(request) if isinstance(event, BlockLocked)]

    def nll(self, gap: Gap, texts: Sequence[str]) -> list[list[float]]:
        """Of the first RIGHT tokens to the right of a gap, after each of the texts in it; nats."""
        left = self.tokenizer.prompt(SYSTEM, gap.prompt) + self.tokenizer.encode(gap.before.rstrip())
        space = gap.before[len(gap.before.rstrip()) :]
        right = self.tokenizer.encode(gap.after)[:RIGHT]
        found = []
        with torch.inference_mode():
            cache = self.network.new_cache(1)
            self.network.commit(torch.tensor([left], device=cache.tokens.device), cache, last_only=True)
            for text in texts:
                line = [*self.tokenizer.encode(space + text.strip()), *right]
                tokens = torch.tensor([line], device=cache.tokens.device)
                logits = self.network.commit(tokens, cache)
                found.append(nll_of(logits[:, -len(right) - 1 : -1], tokens[:, -len(right) :])[0].tolist())
                cache.cut(len(left))
        return found


@dataclass(frozen=True, slots=True)
class Filling:
    """What came of a gap: the text and the NLL of what stands to its right, by the way it was filled."""

    gap: Gap
    texts: dict[str, str]
    nll: dict[str, list[float]]


CONTINUATION = "a continuation"
WAYS = ("what stood there", "an infill", CONTINUATION)


def fill_gaps(bench: Bench, gaps: Sequence[Gap], candidates: int, seed: int) -> list[Filling]:
    """Every gap filled in each way."""
    found = []
    for number, gap in enumerate(gaps):
        words = count_words(gap.was)
        best = bench.filled(gap, [Piece(None, words)], gap.after, seed + number, candidates, 1.0).candidates[0]
        goes_on = "".join(block.text for block in bench.written(gap, seed + number, words=words))
        texts = dict(zip(WAYS, (gap.was, best.texts[0].strip(), goes_on.strip()), strict=True))
        nll = dict(zip(WAYS, bench.nll(gap, list(texts.values())), strict=True))
        found.append(Filling(gap, texts, nll))
        say(f"{number + 1} of {len(gaps)} gaps")
    return found


def fill_table(fillings: Sequence[Filling]) -> Iterator[str]:
    """Lines of Markdown."""
    yield (
        f"| gaps | filled with | words of wanted ones | NLL of {RIGHT} tokens to the right | less a continuation's "
        f"| NLL of the last {RIGHT - LOOKED_AT} of them | less a continuation's |"
    )
    yield "|---|---|---|---|---|---|---|"
    for length in (*LENGTHS, "all"):
        some = [one for one in fillings if length in ("all", one.gap.length)]
        if not some:
            continue
        for way in WAYS:
            words = ratio([count_words(one.texts[way]) for one in some], [count_words(one.gap.was) for one in some])
            cells = [f"{len(some)} {length}" if length != "all" else f"all {len(some)}", way, cell(words, 2)]
            for part in (slice(0, RIGHT), slice(LOOKED_AT, RIGHT)):
                own, other = (_per_token([one.nll[name][part] for one in some]) for name in (way, CONTINUATION))
                cells += [cell(own, 3), "" if way == CONTINUATION else cell(difference(own, other), 3)]
            yield f"| {' | '.join(cells)} |"


def _per_token(nll: Sequence[Sequence[float]]) -> Estimate:
    found = ratio([sum(one) for one in nll], [len(one) for one in nll])
    assert found is not None
    return found


def reroll_table(bench: Bench, gap: Gap, count: int, candidates: int, seed: int) -> Iterator[str]:
    """A block written, and written once more before the next one, as several candidates; in turns: a busy moment meets
    both. Markdown."""
    size = bench.dial.block_size
    seconds: dict[str, list[float]] = {"block": [], "takes": []}
    forwards: dict[str, list[float]] = {"block": [], "takes": []}
    for number in range(count + 1):
        block, *others = bench.written(gap, seed + number, words=None, tokens=2 * size)
        after = "".join(other.text for other in others)
        hole = [Piece(None, was=block.text)]
        filled = bench.filled(gap, hole, after, seed + number, candidates, 1.0, quick=True)
        if number == 0:
            continue  # here plans of matrix products are made
        for name, event in (("block", block), ("takes", filled)):
            seconds[name].append(event.seconds)
            forwards[name].append(event.nfe)
    once, takes = (_mean(seconds[name]) for name in ("block", "takes"))
    cost, dearer = (_mean(forwards[name]) for name in ("block", "takes"))
    yield "| | seconds | forwards |"
    yield "|---|---|---|"
    yield f"| one block of {size} tokens | {cell(once, 3)} | {cell(cost, 1)} |"
    yield f"| {candidates} candidates for it | {cell(takes, 3)} | {cell(dearer, 1)} |"
    yield f"| × | {cell(quotient(takes, once), 2)} | {cell(quotient(dearer, cost), 2)} |"


def strength_table(bench: Bench, gaps: Sequence[Gap], seed: int) -> Iterator[str]:
    """How many words differ, by strength. Lines of Markdown."""
    yield "| strength | words that differ, of those that stood there | NLL per token of the new words and their right |"
    yield "|---|---|---|"
    for strength in STRENGTHS:
        edits, words, nll = [], [], []
        for number, gap in enumerate(gaps):
            filled = bench.filled(gap, [Piece(None, was=gap.was)], gap.after, seed + number, 1, strength)
            best = filled.candidates[0]
            edits.append(edit_distance(gap.was.split(), best.texts[0].split()))
            words.append(len(gap.was.split()))
            nll.append(best.nll or 0.0)
        yield f"| {strength} | {cell(ratio(edits, words), 2)} | {cell(_mean(nll), 2)} |"


def _mean(numbers: Sequence[float]) -> Estimate:
    found = ratio(numbers, [1.0] * len(numbers))
    assert found is not None
    return found


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Words to insert, remove or replace until one is the other (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, mine in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, theirs in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (mine != theirs))
    return row[-1]


def cell(figure: Estimate | None, places: int) -> str:
    """A figure ± its standard error."""
    if figure is None:
        return "–"
    if figure.margin is None:
        return f"{figure.value:.{places}f}"
    return f"{figure.value:.{places}f} ± {figure.margin / student(len(figure.moves) - 1):.{places}f}"


# -------------------------------------------------------------------------------------------------------- the command


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables. 0: measured. 1: not, and a sentence says why."""
    given = _parser().parse_args(arguments)
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    entry = CATALOG[0]
    try:
        texts = read_texts(given.texts)
        folder = obtain(entry, given.cache_dir or default_cache(), say)
        network, tokenizer = open_model(entry, folder, fastest_precision())
        bench = Bench(network, tokenizer, entry.stop(entry.default_stop).dial)
        gaps = find_gaps(texts, given.gaps, tokenizer, given.seed)
        for line in _tables(bench, texts, gaps, given):
            print(line, flush=True)
    except (NotPossible, InvalidSetting, WeightsUnavailable) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _tables(
    bench: Bench, texts: Sequence[tuple[str, str]], gaps: Sequence[Gap], given: argparse.Namespace
) -> Iterator[str]:
    long = "\n\n".join(text for _, text in texts[:8])
    room = PREFIX - len(bench.tokenizer.prompt(SYSTEM, gaps[0].prompt))
    before = bench.tokenizer.encode(long)[:room]
    beginning = "".join(map(bench.tokenizer.piece, before)).rpartition(" ")[0]
    yield f"### A block once more, {PREFIX} tokens into a text\n"
    yield from reroll_table(bench, replace(gaps[0], before=beginning), given.rerolls, given.candidates, given.seed)
    yield "\n### Words that differ after a rewriting\n"
    sentences = [gap for gap in gaps if gap.length == "short"][: given.rewritings]
    yield from strength_table(bench, sentences, given.seed)
    yield "\n### How the text goes on after a gap\n"
    fillings = fill_gaps(bench, gaps, given.candidates, given.seed)
    yield from fill_table(fillings)
    for one in fillings[: given.samples]:
        yield f"\n**{one.gap.length}**: …{one.gap.before[-200:]}[…]{one.gap.after[:200]}…\n"
        yield from (f"- {way}: {text}" for way, text in one.texts.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model.evaluation.filling", description=__doc__)
    parser.add_argument("--texts", type=Path, required=True, metavar="FILE", help="JSON lines with `prompt` and `text`")
    parser.add_argument("--gaps", type=positive, default=40, metavar="N", help="gaps to fill (default: 40)")
    parser.add_argument("--candidates", type=positive, default=3, metavar="N", help="of each filling (default: 3)")
    parser.add_argument("--rerolls", type=positive, default=10, metavar="N", help="blocks (default: 10)")
    parser.add_argument(
        "--rewritings", type=positive, default=6, metavar="N", help="sentences that are rewritten (default: 6)"
    )
    parser.add_argument("--samples", type=int, default=0, metavar="N", help="print the first N gaps (default: 0)")
    return add_options(parser)


if __name__ == "__main__":
    sys.exit(main())
