"""Other words for one hole, with as many tokens as suit: drawn from the left, denoised between what is kept, ranked."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.drawing import Texts, different, only
from model.filling.bench import BLOCK, BRIDGE, ROWS, SPARE, WORDS, Bench, Shown
from model.passage import LOOKED_AT, Hole

ENDS = 2
"""Ends that are tried of each text."""

PLAUSIBLE = 2.3
"""Nats: where a full stop has this chance (a tenth) or a better one, a sentence may be closed with it."""

BETWEEN = 1000
"""Numbers of the texts that are denoised start here, so that they differ from those of the others."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Tokens for one hole, from text number `row`; nll: of each, as far as it is known.

    join: nll of the first kept token to the right after them, where it was drawn for.
    """

    row: int
    tokens: tuple[int, ...]
    nll: tuple[float, ...] = ()
    join: tuple[float, ...] = ()


def fill_one_hole(bench: Bench, hole: Hole, ahead: Tensor) -> Iterator[Shown]:
    """With as many tokens as suit."""
    spans = yield from _from_the_left(bench, hole, ahead)
    if bench.request.quick or not hole.right:  # everything is known already
        for span in spans:
            bench.ranking.add(span.row, [span.tokens], span.nll + span.join, span.nll)
        return
    if bench.sees_right and hole.length <= BRIDGE:
        spans += yield from _between(bench, hole, ahead)
    yield from _rank(bench, hole, spans, ahead)


def _from_the_left(bench: Bench, hole: Hole, ahead: Tensor) -> Generator[Shown, None, list[_Span]]:
    """Texts that go on as they like; each may end at several places."""
    count = bench.request.candidates + SPARE
    if hole.right and not bench.request.quick:
        count = max(WORDS if hole.single else ROWS, count)
    allowed, first = bench.allowed(hole), bench.allowed(hole, first=True)
    begin: list[int] = []
    if hole.single:  # or many of them would be the same word
        stream = torch.Generator().manual_seed(bench.seed("words"))
        begin = different(only(ahead[0], first), count, bench.dial.temperature, stream).tolist()
        count = len(begin)
    stop = bench.tokenizer.encode(".")[0]
    spans: list[_Span] = []
    for rows in bench.batches(count):
        texts = Texts(bench.denoiser, bench.copies(rows), ahead, [bench.seed("left", row) for row in rows])
        stops: list[Tensor] = []  # nll of a full stop in place of each token
        joins: list[Tensor] = []  # and of the first token to the right
        pieces: list[list[str]] = [[] for _ in rows]
        while True:
            drawn = texts.draw(allowed if stops else first, bench.dial.temperature, bench.dial.nucleus)
            if begin and not stops:
                drawn = torch.tensor([begin[row] for row in rows], device=bench.device)[:, None]
            costs = -texts.ahead.log_softmax(-1)
            stops.append(costs[:, stop])
            joins += [costs[:, token] for token in hole.right[:1]]
            texts.add(drawn)
            for text, token in zip(pieces, drawn[:, 0].tolist(), strict=True):
                if not hole.is_long_enough(text):  # else it only waits for the others
                    text.append(bench.tokenizer.piece(token))
            if len(stops) == hole.most or all(hole.is_long_enough(text) for text in pieces):
                break
            yield from bench.reading(texts)
        for at, row in enumerate(rows):
            tokens, nll = texts.tokens[at].tolist(), texts.nll[at].tolist()
            closing, joining = ([float(column[at]) for column in columns] for columns in (stops, joins))
            spans += ended(bench, hole, row, tokens, nll, pieces[at], closing, joining)
    return spans


def ended(
    bench: Bench,
    hole: Hole,
    row: int,
    tokens: list[int],
    nll: list[float],
    pieces: list[str],
    closing: list[float],
    joining: list[float],
) -> list[_Span]:
    """What a text gives for the hole: cut at a good end, or at the least bad one."""

    def cut(end: int) -> _Span:
        return _Span(row, tuple(tokens[:end]), tuple(nll[:end]), tuple(joining[end : end + 1]))

    ends = hole.ends(pieces)
    if bench.request.quick and joining:
        ends.sort(key=lambda end: joining[end])
    spans = [cut(end) for end in ends]
    if hole.closes:
        stops = sorted(hole.stops(pieces), key=lambda end: closing[end])
        good = [end for end in stops if closing[end] <= PLAUSIBLE or (not spans and end == stops[0])]
        closed = [_closed(bench, row, tokens, nll, end, closing) for end in good]
        spans += [span for span in closed if all(span.tokens != other.tokens for other in spans)]
    end = None if spans else hole.nearest_end(pieces)
    if end is not None and hole.closes:
        spans.append(_closed(bench, row, tokens, nll, end, closing))
    elif end is not None:
        spans.append(cut(end))
    return spans[:ENDS]


def _closed(bench: Bench, row: int, tokens: list[int], nll: list[float], end: int, closing: list[float]) -> _Span:
    stop = bench.tokenizer.encode(".")[0]
    return _Span(row, (*tokens[:end], stop), (*nll[:end], closing[end]))


def _between(bench: Bench, hole: Hole, ahead: Tensor) -> Generator[Shown, None, list[_Span]]:
    """Texts of one length, denoised with what is kept to the right in view."""
    cells = [bench.facts.mask] * hole.length + list(hole.right[: BLOCK - hole.length])
    spans: list[_Span] = []
    for rows in bench.batches(max(2, min(ROWS, 2 * BLOCK // hole.length))):  # a long hole takes more forwards
        texts = Texts(bench.denoiser, bench.copies(rows), ahead, [bench.seed("between", row) for row in rows])
        block = torch.tensor([cells] * len(rows), device=bench.device)
        yield from bench.denoise(texts.cache, texts.draws, block, hole.length)
        for row, tokens in zip(rows, block[:, : hole.length].tolist(), strict=True):
            if bench.begins_well(hole, tokens[0]):
                spans.append(_Span(BETWEEN + row, tuple(tokens)))
    return spans


def _rank(bench: Bench, hole: Hole, spans: Sequence[_Span], ahead: Tensor) -> Iterator[Shown]:
    """Reads every span with what is kept to its right."""
    right = list(hole.right[:LOOKED_AT])
    others = {span.tokens: span for span in reversed(spans) if span.tokens != hole.tokens}
    ordered = sorted(others.values(), key=lambda span: len(span.tokens))
    for rows in bench.batches(len(ordered)):
        some = [ordered[row] for row in rows]
        lines = [[*span.tokens, *right] for span in some]
        padded = [line + [right[-1]] * (len(lines[-1]) - len(line)) for line in lines]
        texts = Texts(bench.denoiser, bench.copies(rows), ahead, rows)
        texts.add(torch.tensor(padded, device=bench.device))
        yield from bench.reading(texts)
        for span, line, nll in zip(some, lines, texts.nll.tolist(), strict=True):
            bench.ranking.add(span.row, [span.tokens], nll[: len(line)], nll[: len(span.tokens)])
