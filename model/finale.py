"""The end of a text of a wanted length: its last sentences are tried several times at once, the best cut is taken.

Works on a copy of the cache, so nothing is locked in before a whole sentence ends where it should. Where weights read
text causally, every forward also tells what a closing mark would have cost in place of each token: so a sentence may
end wherever the model finds that plausible, not only where it happened to. Knows nothing of events or documents.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

import torch
from torch import Tensor

from model.contract import Dial
from model.denoiser import Facts
from model.ending import (
    Cut,
    Target,
    Try,
    best_cut,
    clause_ends,
    nearest_cut,
    offered_ends,
    sentence_ends,
    word_ends,
    words_of,
)
from model.sampler import Block, BlockSampler, Draws, Pictures
from model.sentences import CLOSERS
from model.tokenizer import TextTokenizer

LAST_WORDS = 16
"""With so many words to go until it may end the tries begin: they need a few to go different ways."""

ENDING_TOKENS = 28
"""About how many tokens one try writes."""

ROUNDS = 3
"""Rounds of tries before the best end of them all is taken, good or not."""

AGAIN_WORDS = 8
"""So many words before the wanted length the second round leaves the tries of the first one, the third round twice as
many, where tokens can be taken back one by one: so a round more costs less, and takes a section less by surprise."""

LIVELIER = 0.3
"""Rise of the temperature from round to round: the same text would be found no better."""

SURE = 0.7
"""Nats: with an end as likely as this (one in two) no better one is looked for."""

ROWS = 8
WIDE = 4
"""Where a text may be so many words longer or shorter a try has many places to end, and half the tries must do."""

LONG_TEXT = 2048
"""Past so many tokens of context a copy of the cache is large, and half the tries must do."""


Picture = tuple[list[int], list[float]]
"""Tokens of a try, and how sure the model was of each."""


@dataclass(frozen=True, slots=True)
class End:
    """The last tokens of a text, without an end token. nll: of each, in nats; None where the weights tell none."""

    tokens: tuple[int, ...]
    nll: tuple[float, ...] | None
    seed: int
    reason: Literal["length", "budget"]


class _Round:
    """Several tries side by side. tokens, confidence: [rows, n] each; cuts: where they may end."""

    def __init__(self, seeds: Sequence[int], before: str, written: int, device: torch.device) -> None:
        self.seeds, self._before, self._written = seeds, before, written
        self.tokens = torch.zeros(len(seeds), 0, dtype=torch.long, device=device)
        self.confidence = torch.zeros(len(seeds), 0, device=device)
        self.tries = [Try() for _ in seeds]
        self.cuts: list[Cut] = []

    def shared(self, words: int) -> int:
        """How many tokens of every try leave it at no more than so many words."""
        return min(sum(count <= words for count in one.words) for one in self.tries)

    def branch(self, tokens: int, seeds: Sequence[int]) -> _Round:
        """Another round, whose tries begin as those of this one do."""
        branch = _Round(seeds, self._before, self._written, self.tokens.device)
        branch.tokens, branch.confidence = self.tokens[:, :tokens], self.confidence[:, :tokens]
        branch.tries = [one.beginning(tokens) for one in self.tries]
        return branch

    def add(
        self, block: Block, confidence: Tensor, tokenizer: TextTokenizer, target: Target, closers: Sequence[str]
    ) -> None:
        """One more block of every try. The watched tokens are the closing marks, then the end of the text."""
        since = self.tokens.shape[1]
        self.tokens = torch.cat([self.tokens, block.tokens], dim=1)
        self.confidence = torch.cat([self.confidence, confidence], dim=1)
        told = zip(self.tries, block.tokens.tolist(), block.nll.tolist(), block.watched.tolist(), strict=True)
        for row, (one, tokens, nll, watched) in enumerate(told):
            if not one.ended:
                self.tries[row] = longer = self._longer(one, tokens, nll, watched, tokenizer)
                self.cuts += sentence_ends(self._before, longer, row, max(0, since - 1))
                self.cuts += offered_ends(self._before, longer, row, target, closers, since)

    def words(self) -> list[int]:
        """Words so far of every try that goes on."""
        return [one.words[-1] for one in self.tries if not one.ended]

    def forced_cuts(self) -> Iterator[list[Cut]]:
        """Places where a full stop could be put, the better kind first."""
        for kind in (clause_ends, word_ends):
            yield [cut for row, one in enumerate(self.tries) for cut in kind(one, row)]

    def _longer(
        self, one: Try, tokens: list[int], nll: list[float], watched: list[list[float]], tokenizer: TextTokenizer
    ) -> Try:
        """A try with the tokens of one more block."""
        ended = tokenizer.end in tokens
        count = tokens.index(tokenizer.end) if ended else len(tokens)
        pieces, words = list(one.pieces), list(one.words)
        for token in tokens[:count]:
            pieces.append(tokenizer.piece(token))
            words.append(self._written + words_of(self._before, pieces))
        known = [] if not watched[0] else watched[:count]
        return Try(
            tuple(pieces),
            tuple(words),
            ended,
            (*one.nll, *nll[:count]),
            (*one.offers, *(tuple(nats[:-1]) for nats in known)),
            (*one.ends, *(nats[-1] for nats in known)),
        )


class Finale:
    """`tries` is to be exhausted; `end` is there then, and nfe counts the forwards of all tries."""

    def __init__(
        self, sampler: BlockSampler, tokenizer: TextTokenizer, target: Target, *, seed: int, block: int
    ) -> None:
        self._sampler, self._tokenizer, self._target = sampler, tokenizer, target
        self._name = f"{seed}/{block}"
        self._device = sampler.cache.tokens.device
        self._closers = closing_tokens(tokenizer, sampler.denoiser.facts)
        self.nfe = 0
        self.end = End((), None, seed, "length")

    def tries(self, before: str, written: int, room: int) -> Iterator[Picture]:
        """Yields the tokens and confidences of one of the tries after each forward.

        before, written: the text so far and its words. room: tokens that fit.
        """
        room = min(room, 2 * max(1, self._target.most - written) + ENDING_TOKENS)
        slack = self._target.most - self._target.wanted
        rows = tries_side_by_side(self._sampler.denoiser.facts, self._sampler.cache.decided, slack)
        twin = self._twin(rows)
        rounds = [_Round(self._seeds(0, rows), before, written, self._device)]
        yield from self._write(rounds[0], twin, room)
        while len(rounds) < ROUNDS and not self._found(rounds[-1]):
            kept = 0
            if goes_back(twin.denoiser.facts):
                kept = rounds[0].shared(self._target.wanted - AGAIN_WORDS * len(rounds))
                twin.back_to(self._sampler.cache.decided + kept)
            else:
                twin = self._twin(rows)
            twin.dial = ending_dial(self._sampler.dial, twin.denoiser.facts, len(rounds))
            rounds.append(rounds[0].branch(kept, self._seeds(len(rounds), rows)))
            yield from self._write(rounds[-1], twin, room)
        self.end = self._best_of(rounds)

    def _seeds(self, number: int, rows: int) -> list[int]:
        return [random.Random(f"{self._name}/{number}/{row}").getrandbits(63) for row in range(rows)]

    def _twin(self, rows: int) -> BlockSampler:
        """Goes on from the end of the text, in so many rows."""
        dial = ending_dial(self._sampler.dial, self._sampler.denoiser.facts)
        twin = self._sampler.fork(torch.zeros(rows, dtype=torch.long, device=self._device), dial)
        twin.may_end = False
        if twin.denoiser.facts.causal:
            twin.watched = torch.tensor([*self._closers.values(), self._tokenizer.end], device=self._device)
        return twin

    def _write(self, attempt: _Round, twin: BlockSampler, room: int) -> Iterator[Picture]:
        """Writes block after block of every try until going on could hardly bring a better cut."""
        draws, before = Draws(attempt.seeds), self.nfe - twin.nfe
        while (left := room - attempt.tokens.shape[1]) > 0 and not self._enough(attempt):
            pictures = Pictures(twin.block(min(twin.dial.block_size, left), draws))
            step = None
            for step in pictures:
                self.nfe = before + twin.nfe
                yield (
                    torch.cat([attempt.tokens[0], step.tokens[0]]).tolist(),
                    torch.cat([attempt.confidence[0], step.confidence[0]]).tolist(),
                )
            block = pictures.block
            # a token that the last forward told needs no picture of its own
            confidence = (-block.nll).exp() if step is None else step.confidence[:, : block.tokens.shape[1]]
            attempt.add(block, confidence, self._tokenizer, self._target, tuple(self._closers))
            # where the weights tell what an end would cost it need not be drawn
            twin.may_end = not twin.denoiser.facts.causal and min(attempt.words(), default=0) >= self._target.least

    def _found(self, attempt: _Round) -> bool:
        best = best_cut(attempt.cuts, self._target)
        return best is not None and best.is_good

    def _enough(self, attempt: _Round) -> bool:
        if not attempt.tokens.shape[1]:
            return False
        words, reach = attempt.words(), min(self._target.most, self._target.wanted + WIDE)
        if not words or min(words) > reach:
            return True
        best = best_cut(attempt.cuts, self._target)
        return best is not None and best.is_good and (best.cost <= SURE or median(words) > reach)

    def _best_of(self, rounds: Sequence[_Round]) -> End:
        """The best end of all rounds.

        Where none is allowed a clause or, failing that, a word is closed with a full stop; where there is no room to
        get as far, the sentence end nearest to it is taken.
        """
        bests = [(attempt, best) for attempt in rounds if (best := best_cut(attempt.cuts, self._target))]
        if best := best_cut([best for _, best in bests], self._target):
            return self._end(next(attempt for attempt, cut in bests if cut is best), best, "length")
        for attempt in rounds:
            for cuts in attempt.forced_cuts():
                if cut := best_cut(cuts, self._target):
                    return self._end(attempt, cut, "length")
        nearest = [(attempt, cut) for attempt in rounds if (cut := nearest_cut(attempt.cuts, self._target))]
        if nearest:
            attempt, cut = min(nearest, key=lambda found: self._target.miss(found[1].words))
            return self._end(attempt, cut, "budget")
        return self._end(rounds[0], Cut(0, len(rounds[0].tries[0].pieces), 0), "budget")

    def _end(self, attempt: _Round, cut: Cut, reason: Literal["length", "budget"]) -> End:
        one = attempt.tries[cut.row]
        tokens, nll = attempt.tokens[cut.row, : cut.tokens].tolist(), list(one.nll[: cut.tokens])
        if cut.closer is not None:
            tokens.append(self._closers[cut.closer])
            if one.offers:
                nll.append(one.offers[cut.tokens][list(self._closers).index(cut.closer)])
        known = tuple(nll) if self._sampler.denoiser.facts.causal else None
        return End(tuple(tokens), known, attempt.seeds[cut.row], reason)


def goes_back(facts: Facts) -> bool:
    """Whether tokens can be taken back one by one: the places of what has left a sliding window are taken."""
    return facts.causal and not facts.slides


def closing_tokens(tokenizer: TextTokenizer, facts: Facts) -> Mapping[str, int]:
    """The closing marks that are single tokens."""
    found = {closer: tokenizer.encode(closer) for closer in CLOSERS}
    return {closer: ids[0] for closer, ids in found.items() if len(ids) == 1 and ids[0] not in facts.banned}


def tries_side_by_side(facts: Facts, tokens: int = 0, slack: int = 1) -> int:
    """Rows of a round: one where a row more costs as much as a round more.

    tokens of the text so far; slack: words that it may be longer or shorter than wanted.
    """
    if facts.rereads:
        return 1
    rows = ROWS if slack < WIDE else ROWS // 2
    return rows if tokens <= LONG_TEXT or facts.slides else rows // 2


def ending_dial(dial: Dial, facts: Facts, number: int = 0) -> Dial:
    """The setting of the tries in round number 0 or a later one, which is livelier.

    Where text can be verified it is tried at block size 1: with so many rows proposals bring nothing, as each row would
    wait for the slowest, and unchecked text would cost as much.
    """
    dial = replace(dial, temperature=min(5.0, dial.temperature + LIVELIER * number))
    return replace(dial, block_size=1, steps=1, rule="verified", threshold=0.0) if facts.causal else dial
