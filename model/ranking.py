"""Which of the words found for a passage are offered: the likeliest, no two alike, nothing that was there before.

Knows nothing of networks and of how the words were found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.contract import Candidate
from model.passage import Passage
from model.tokenizer import TextStream, TextTokenizer

ECHO = 8
"""Tokens in a row that should not come twice, in the new words or in them and around them: text that was there before
is likelier than any other."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Tokens for every hole, from text number `row`. nll: per token, of what ranks it."""

    row: int
    tokens: tuple[tuple[int, ...], ...]
    misfit: bool
    nll: float
    sureness: tuple[float, ...]


class Ranking:
    """left: tokens that stand before the passage."""

    def __init__(self, tokenizer: TextTokenizer, passage: Passage, left: Sequence[int]) -> None:
        self._tokenizer, self._holes = tokenizer, passage.holes
        self._around = {run for text in (left, *(hole.right for hole in passage.holes)) for run in _runs_of(ECHO, text)}
        self._found: list[_Found] = []

    def add(
        self,
        row: int,
        tokens: Sequence[Sequence[int]],
        counted: Sequence[float],
        own: Sequence[float],
        *,
        misfit: bool = False,
    ) -> None:
        """Tokens for every hole, from text number `row`. counted: nll of the tokens that rank it; own: of those in the
        holes. A misfit is offered where there is nothing else."""
        sureness = tuple(math.exp(-cost) for cost in own)
        misfit = misfit or any(self._echoes(part) for part in tokens)
        self._found.append(_Found(row, tuple(map(tuple, tokens)), misfit, sum(counted) / len(counted), sureness))

    def best(self, wanted: int, *, known: bool) -> Iterator[Candidate]:
        """The wanted number, best first; a second one from the same text only where there are no others.

        known: whether an nll is that of a causal reading.
        """
        seen = {tuple(hole.lead + hole.was + hole.trail for hole in self._holes)}
        rows: set[int] = set()
        ranked = sorted(self._found, key=_rank)
        chosen: list[tuple[_Found, tuple[str, ...]]] = []
        for again in (False, True):
            for found in ranked:
                texts = self._texts(found)
                if texts is None or texts in seen or (found.row in rows and not again):
                    continue
                if len(chosen) == wanted:
                    break
                seen.add(texts)
                rows.add(found.row)
                chosen.append((found, texts))
        for found, texts in sorted(chosen, key=lambda pair: _rank(pair[0])):
            yield Candidate(texts, found.nll if known else None, found.sureness)

    def _echoes(self, tokens: Sequence[int]) -> bool:
        """Whether a run of tokens stands around the holes, too, or comes twice."""
        runs = list(_runs_of(ECHO, tokens))
        return len(set(runs)) < len(runs) or not self._around.isdisjoint(runs)

    def _texts(self, found: _Found) -> tuple[str, ...] | None:
        """What takes the places of the holes; None where it is no text."""
        texts = []
        for hole, tokens in zip(self._holes, found.tokens, strict=True):
            text = TextStream(self._tokenizer).add(tokens).strip()
            lines = text.split("\n")
            if not text or "\ufffd" in text or (lines[1:] and not hole.lines) or not all(map(str.isprintable, lines)):
                return None
            texts.append(hole.text(text))
        return tuple(texts)


def _rank(found: _Found) -> tuple[bool, float]:
    return found.misfit, found.nll


def _runs_of(count: int, tokens: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every run of so many tokens."""
    return (tuple(tokens[at : at + count]) for at in range(len(tokens) - count + 1))
