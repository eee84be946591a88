"""The end of a text of a wanted length: its last sentences are tried several times at once, the best cut is taken.

Works on a copy of the cache, so nothing is locked in before a whole sentence ends where it should. Knows nothing of
events or documents.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from model.contract import Dial
from model.denoiser import Facts
from model.ending import Cut, Target, Try, best_cut, clause_ends, nearest_cut, sentence_ends, word_ends, words_of
from model.sampler import Block, BlockSampler, Draws, Pictures
from model.tokenizer import TextTokenizer

LAST_WORDS = 24
"""With so many words to go the tries begin: a long sentence, so that each of them meets a sentence end."""

ENDING_TOKENS = 36
"""About how many tokens one try writes."""

ROUNDS = 3
"""Rounds of tries before a sentence is closed by force."""

ROWS = 4
LONG_TEXT = 2048
"""Past so many tokens of context a copy of the cache is large, and half the tries must do."""


Picture = tuple[list[int], list[float]]
"""Tokens of a try, and how sure the model was of each."""


@dataclass(frozen=True, slots=True)
class End:
    """The last tokens of a text, without an end token. nll: of each, in nats; None where the last one was forced."""

    tokens: tuple[int, ...]
    nll: tuple[float, ...] | None
    seed: int
    reason: Literal["length", "budget"]


class _Round:
    """Several tries side by side. tokens, nll, confidence: [rows, n] each."""

    def __init__(self, seeds: Sequence[int], before: str, written: int, device: torch.device) -> None:
        self.seeds, self._before, self._written = seeds, before, written
        self.tokens = torch.zeros(len(seeds), 0, dtype=torch.long, device=device)
        self.nll = torch.zeros(len(seeds), 0, device=device)
        self.confidence = torch.zeros(len(seeds), 0, device=device)
        self.tries: list[Try] = []

    def add(self, block: Block, confidence: Tensor, tokenizer: TextTokenizer) -> None:
        """One more block of every try."""
        self.tokens = torch.cat([self.tokens, block.tokens], dim=1)
        self.nll = torch.cat([self.nll, block.nll], dim=1)
        self.confidence = torch.cat([self.confidence, confidence], dim=1)
        self.tries = [_as_try(row, tokenizer) for row in self.tokens.tolist()]

    def words(self, one: Try) -> int:
        """Of the text with this try."""
        return self._written + words_of(self._before, one.pieces)

    def cuts(self) -> list[Cut]:
        return self._places(sentence_ends)

    def forced_cuts(self) -> Iterator[list[Cut]]:
        """Places where a full stop could be put, the better kind first."""
        yield self._places(clause_ends)
        yield self._places(word_ends)

    def _places(self, kind: Callable[[str, Try, int, int], Iterator[Cut]]) -> list[Cut]:
        return [cut for row, one in enumerate(self.tries) for cut in kind(self._before, one, row, self._written)]

    def end(self, cut: Cut, reason: Literal["length", "budget"]) -> End:
        kept = slice(0, cut.tokens)
        tokens, nll = self.tokens[cut.row, kept].tolist(), self.nll[cut.row, kept].tolist()
        return End(tuple(tokens), tuple(nll), self.seeds[cut.row], reason)


class Finale:
    """`tries` is to be exhausted; `end` is there then, and nfe counts the forwards of all tries."""

    def __init__(
        self, sampler: BlockSampler, tokenizer: TextTokenizer, target: Target, *, seed: int, block: int
    ) -> None:
        self._sampler, self._tokenizer, self._target = sampler, tokenizer, target
        self._name = f"{seed}/{block}"
        self._device = sampler.cache.tokens.device
        self.nfe = 0
        self.end = End((), None, seed, "length")

    def tries(self, before: str, written: int, room: int) -> Iterator[Picture]:
        """Yields the tokens and confidences of one of the tries after each forward.

        before, written: the text so far, as far as its last word, and its words. room: tokens that fit.
        """
        room = min(room, 3 * max(1, self._target.most - written) + ENDING_TOKENS)
        rows = tries_side_by_side(self._sampler.denoiser.facts, self._sampler.cache.decided)
        others: list[tuple[_Round, Cut]] = []
        for number in range(ROUNDS):
            seeds = [random.Random(f"{self._name}/{number}/{row}").getrandbits(63) for row in range(rows)]
            attempt = _Round(seeds, before, written, self._device)
            yield from self._write(attempt, room)
            cuts = attempt.cuts()
            if best := best_cut(cuts, self._target):
                self.end = attempt.end(best, "length")
                return
            others += [(attempt, cut) for cut in cuts]
        self.end = self._forced(attempt, others)

    def _write(self, attempt: _Round, room: int) -> Iterator[Picture]:
        """Writes block after block of every try until going on could not bring a better cut."""
        rows = len(attempt.seeds)
        twin = self._sampler.fork(torch.zeros(rows, dtype=torch.long, device=self._device))
        twin.dial, twin.may_end = ending_dial(self._sampler.dial), False
        draws, before = Draws(attempt.seeds), self.nfe
        while (left := room - attempt.tokens.shape[1]) > 0 and not self._enough(attempt):
            pictures = Pictures(twin.block(min(twin.dial.block_size, left), draws))
            for step in pictures:
                self.nfe = before + twin.nfe
                yield (
                    torch.cat([attempt.tokens[0], step.tokens[0]]).tolist(),
                    torch.cat([attempt.confidence[0], step.confidence[0]]).tolist(),
                )
            block = pictures.block
            attempt.add(block, step.confidence[:, : block.tokens.shape[1]], self._tokenizer)
            twin.may_end = min(attempt.words(one) for one in attempt.tries) >= self._target.least

    def _enough(self, attempt: _Round) -> bool:
        if not attempt.tries:
            return False
        words = [attempt.words(one) for one in attempt.tries if not one.ended]
        best = best_cut(attempt.cuts(), self._target)
        reach = self._target.most if best is None else self._target.wanted + self._target.miss(best.words)
        return not words or min(words) > reach

    def _forced(self, attempt: _Round, others: list[tuple[_Round, Cut]]) -> End:
        """No try has a sentence end where it should be: a clause or, failing that, a word there is closed with a stop.

        Where there is no room to get as far, the sentence end nearest to it is taken.
        """
        for cuts in attempt.forced_cuts():
            if cut := best_cut(cuts, self._target):
                end = attempt.end(cut, "length")
                return replace(end, tokens=(*end.tokens, *self._tokenizer.encode(".")), nll=None)
        if nearest := nearest_cut([cut for _, cut in others], self._target):
            return next(one for one, cut in others if cut is nearest).end(nearest, "budget")
        return attempt.end(Cut(0, len(attempt.tries[0].pieces), 0, False), "budget")


def _as_try(tokens: list[int], tokenizer: TextTokenizer) -> Try:
    ended = tokenizer.end in tokens
    kept = tokens[: tokens.index(tokenizer.end)] if ended else tokens
    return Try(tuple(tokenizer.piece(token) for token in kept), ended)


def tries_side_by_side(facts: Facts, tokens: int = 0) -> int:
    """Rows of a round after a text of so many tokens: one where a row more costs as much as a round more."""
    if facts.rereads:
        return 1
    return ROWS if tokens <= LONG_TEXT or facts.slides else ROWS // 2


def ending_dial(dial: Dial) -> Dial:
    """The setting of the tries. Verified text is tried at block size 1: the same law, and rows keep in step."""
    return replace(dial, block_size=1, steps=1) if dial.rule == "verified" else dial
