"""The cached block sampler: read → (denoise → unmask)* → commit, one block at a time.

A generator that yields a picture after every network forward: not asking for the next one stops the job. Works on a
batch of texts in lockstep. Knows token ids only: nothing of text, words or events.

Where the weights read clean text causally, a commit also yields the law of the token that follows, for free. So a block
begins with a token of that law, and under the rule "verified" the whole block has it: proposals are checked from the
left, the kept ones and one more from the verifier take their slots, the rest are proposed again.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model import repetition, unmasking
from model.contract import Dial
from model.denoiser import BlockCache, Denoiser
from model.repetition import Loss
from model.unmasking import Candidates, candidates

CHUNK = 256
"""Prompt tokens read at once."""

GIVEN_UP = 4
"""A verified block ends where no whole cycle fits any more, if that leaves no more than one in so many of its slots. A
cycle for the last slots alone would cost as much as any other and give less."""

SHORTLIST = 64
"""Candidates of a slot that the sampler head weighs anew."""


@dataclass(frozen=True, slots=True)
class Step:
    """A picture of the block: tokens [B, L'] with the mask id where nothing is decided, confidence [B, L'] in 0 … 1."""

    tokens: Tensor
    confidence: Tensor


class Pictures:
    """The pictures of a block that is being written, to be taken once; `block` is there after the last one."""

    block: Block

    def __init__(self, steps: Generator[Step, None, Block]) -> None:
        self._steps = steps

    def __iter__(self) -> Iterator[Step]:
        self.block = yield from self._steps

    def finish(self) -> Block:
        """The finished block, for who does not look at it before."""
        for _ in self:
            pass
        return self.block


@dataclass(frozen=True, slots=True)
class Block:
    """A finished block: tokens and their nll [B, n], nats under the causal reading, nan where there is none.

    n < L' if all texts ended, where a block of the network's own ends, or where no whole cycle fits any more.
    watched [B, n, W]: nll that each of the sampler's watched tokens would have had in each slot.
    """

    tokens: Tensor
    nll: Tensor
    watched: Tensor


class Draws:
    """One random stream per row, so that a row does not depend on its neighbours.

    Verified rows keep step with the slowest: there only the law of a row does not depend on them.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._streams = [torch.Generator().manual_seed(seed) for seed in seeds]

    def uniform(self, *shape: int) -> Tensor:
        """[B, *shape] in [0, 1)."""
        return torch.stack([torch.rand(shape, generator=stream, dtype=torch.float64) for stream in self._streams])


def block_seed(seed: int, block: int) -> int:
    """The seed of one block of a text."""
    return random.Random(f"{seed}/{block}").getrandbits(63)


@dataclass(frozen=True, slots=True)
class _Shortlist:
    """The likeliest tokens of every slot after one denoising step: features [B, L', D]; ids, logits [B, L', K]."""

    denoiser: Denoiser
    temperature: float
    nucleus: float
    features: Tensor
    ids: Tensor
    logits: Tensor

    def law(self, slot: int, left: Tensor | None, lost: Loss | None) -> Candidates:
        """What a slot is drawn from; left [B] is the token just chosen beside it, which the features do not know.

        lost: by tokens that would repeat what stands to the left.
        """
        ids, logits = self.ids[:, slot], self.logits[:, slot]
        if left is not None:
            corrected = self.denoiser.chain(self.features[:, slot], left, ids)
            logits = corrected.masked_fill(logits == -torch.inf, -torch.inf)
        if lost is not None:
            logits = logits - lost.of(ids)
        return candidates(logits, self.temperature, self.nucleus, ids)


class BlockSampler:
    """One batch of texts being written.

    cache  what is committed; `cache.decided` tokens are the text so far.
    nfe    network forwards so far, those that read the prompt not counted.
    watched  tokens [W] whose nll is told of every slot, whether or not they are drawn.
    starts  under "verified": the place in the text of the first slot of each cycle; a cycle is a verifying forward.
    proposed, kept  tokens proposed to them, and those that took a slot.
    """

    def __init__(self, denoiser: Denoiser, dial: Dial, *, batch: int = 1, may_end: bool = True) -> None:
        self._reader, self._guessing = denoiser, denoiser.relaxed()  # what is proposed need not be exact
        self.denoiser = self._guessing if dial.rounds else denoiser
        self.dial, self.may_end = dial, may_end
        self.cache: BlockCache = denoiser.new_cache(batch)
        self.nfe = self.proposed = self.kept = 0
        self.starts: list[int] = []
        self.watched = torch.zeros(0, dtype=torch.long, device=self.cache.tokens.device)
        self._inner = frozenset(denoiser.facts.inner)
        facts = self.denoiser.facts
        self._most = facts.proposals if max(facts.block_sizes) > 1 else 0  # who cannot denoise proposes nothing
        self._ahead: Tensor | None = None  # logits [B, V] of the next token, where everything decided has been read

    def read(self, tokens: Tensor, padding: Tensor | None = None) -> Iterator[int]:
        """Reads a prompt [B, n] into the cache; yields the number of tokens read after each chunk.

        With exact weights, whatever the dial: what is read roughly puts every token after it off. Shorter prompts are
        padded at the left: padding [B] counts the columns a row does not use.
        """
        if tokens.shape[1] == 0:
            raise ValueError("There is nothing to read: a prompt has at least one token.")
        self.cache.padding = padding
        # Under "verified" the last token stays pending, as it does after a block: text that is read anew goes on alike.
        read = tokens.shape[1] - self._verifies
        for at in range(0, read, CHUNK):
            chunk = tokens[:, at : min(at + CHUNK, read)]
            ahead = self._reader.commit(chunk, self.cache, last_only=True)
            yield at + chunk.shape[1]
        if self._verifies:
            self.cache.decide(tokens[:, -1])
            yield tokens.shape[1]
        elif self.denoiser.facts.causal:
            self._ahead = ahead[:, -1]

    def fork(self, rows: Tensor, dial: Dial | None = None) -> BlockSampler:
        """A sampler that goes on from here with copies of the given rows, and its dial or another; nfe starts at 0."""
        twin = BlockSampler(self.denoiser, dial or self.dial, batch=0, may_end=self.may_end)
        twin.cache, twin.watched = self.cache.rows(rows), self.watched
        twin._ahead = None if self._ahead is None else self._ahead[rows]
        return twin

    def back_to(self, position: int) -> None:
        """Forgets what was decided from `position` on; the token before it is read again.

        Under "verified" and where the weights read clean text causally: elsewhere no block can be left half. Not where
        the context slides: later tokens lie in the places of the oldest ones.
        """
        if not self._verifies or self.denoiser.facts.slides:
            raise ValueError("Only verified text in a context that does not slide can be taken back token by token.")
        last = self.cache.tokens[:, position - 1].clone()
        self.cache.cut(position - 1)
        self.cache.decide(last)
        self._ahead = None

    def block(self, size: int, draws: Draws) -> Generator[Step, None, Block]:
        """Writes the next `size` tokens of every row, or as many as the network has room for in its block. A large
        verified block may end a few tokens early.

        The generator's return value is the finished block.
        """
        if not self.denoiser.facts.causal:
            size = min(size, self.denoiser.room(self.cache))
        elif self._ahead is None and not self.cache.pending:
            raise ValueError("A block needs something to follow: read a prompt first.")
        if self._verifies:
            return (yield from self._verified(size, draws))
        return (yield from self._unverified(size, draws))

    @property
    def _verifies(self) -> bool:
        return self.dial.rule == "verified" and self.denoiser.facts.causal

    # -------------------------------------------------------------------------------------------- verified prefix

    def _verified(self, size: int, draws: Draws) -> Generator[Step, None, Block]:
        tokens, nll, confidence = self._open_block(size)
        filled = 0
        if self._ahead is not None:
            self._take(0, self._ahead, draws, tokens, nll, confidence)
            self._ahead, filled = None, 1
        while not self._is_full(filled, size) and not self._all_ended(tokens[:, :filled]):
            count = min(size - filled - 1, self._most)  # the verifier adds one
            proposed, q, losses = yield from self._propose(count, draws, tokens, confidence)
            start = self.cache.decided
            self.starts.append(start)
            logits = self.denoiser.commit(proposed, self.cache)  # [B, count + 1, V]
            self.nfe += 1
            token, p = self._verify(logits, q, losses, proposed, draws)
            n = len(p) - 1
            self.proposed, self.kept = self.proposed + count, self.kept + n
            self.cache.cut(start + n)
            self.cache.decide(token)
            chosen = torch.cat([proposed[:, :n], token[:, None]], dim=1)
            tokens[:, filled : filled + n + 1] = chosen
            nll[:, filled : filled + n + 1] = self._nll(logits[:, : n + 1], chosen)
            for slot, law in enumerate(p):
                confidence[:, filled + slot] = law.prob_of(chosen[:, slot])
            filled += n + 1
            yield Step(tokens.clone(), confidence.clone())
        return _block(tokens[:, :filled], nll[:, :filled])

    def _is_full(self, filled: int, size: int) -> bool:
        cycle = self._most + 1  # tokens it may give
        return filled == size or (filled > 0 and size - filled < cycle <= size // GIVEN_UP)

    def _propose(
        self, count: int, draws: Draws, tokens: Tensor, confidence: Tensor
    ) -> Generator[Step, None, tuple[Tensor, list[Candidates], list[Loss | None]]]:
        """Proposals [B, count] for the next slots and their laws, drawn from left to right (exactness needs it); and
        what tokens lose in each of those slots, which is the same for the verifier."""
        block = torch.full((self.cache.batch, count), self.denoiser.facts.mask, device=tokens.device)
        laws: list[Candidates] = []
        losses: list[Loss | None] = []
        for step in range(min(self.dial.steps, count)):
            features = self.denoiser.denoise(block, self.cache, open_end=True)
            self.nfe += 1
            first = len(laws)
            upto = first + unmasking.share(count - first, self.dial.steps - step)
            slots = self._common(features[:, :upto])
            for slot in range(first, upto):
                losses.append(self._lost(torch.cat([self._text, block[:, :slot]], dim=1)))
                laws.append(slots.law(slot, block[:, slot - 1] if slot > first else None, losses[slot]))
                block[:, slot] = laws[-1].draw(draws.uniform().to(block.device))
            yield Step(tokens.clone(), confidence.clone())
        return block, laws, losses

    def _common(self, features: Tensor) -> _Shortlist:
        """Of the tokens that are worth proposing: what is not among them, the verifier draws."""
        logits, tokens = self._guessing.guesses(features)  # [B, L', P], [P]
        top, where = unmasking.largest(logits, min(SHORTLIST, logits.shape[-1]))
        ids = tokens[where]
        top = top.masked_fill(torch.isin(ids, ids.new_tensor(self._barred)), -torch.inf)
        return _Shortlist(self._guessing, self.dial.temperature, self.dial.nucleus, features, ids, top)

    def _verify(
        self, logits: Tensor, q: list[Candidates], losses: list[Loss | None], proposed: Tensor, draws: Draws
    ) -> tuple[Tensor, list[Candidates]]:
        """How far proposals [B, n] pass, and what follows: the token [B] of the first slot where one does not.

        That slot is the last whose law is returned. Rows go in lockstep: where another row's proposal is refused, an
        accepted one takes the slot, and what was proposed after it is dropped, which does not change its law.
        """
        uniforms, quantile = draws.uniform(proposed.shape[1]).to(proposed.device), draws.uniform().to(proposed.device)
        every = self._law(logits, [*losses, self._lost(self._text)])
        laws: list[Candidates] = []
        for slot, law in enumerate(q):
            laws.append(every.slot(slot))
            token = proposed[:, slot]
            passed = unmasking.accepted(laws[slot], law, token, uniforms[:, slot], self.dial.threshold)
            if not bool(passed.all()):
                fresh = unmasking.residual(laws[slot], law).draw(quantile)
                return torch.where(passed, token, fresh), laws
        laws.append(every.slot(len(q)))
        return laws[-1].draw(quantile), laws

    # ------------------------------------------------------------------------------------------------- unverified

    def _unverified(self, size: int, draws: Draws) -> Generator[Step, None, Block]:
        tokens, nll, confidence = self._open_block(size)
        first = int(self.denoiser.facts.causal)  # the slot whose token the causal reading gives
        if first:
            if self._ahead is None:
                self._ahead = self.denoiser.commit(tokens[:, :0], self.cache)[:, -1]
                self.nfe += 1
            self._take(0, self._ahead, draws, tokens, nll, confidence)
        block, sure = tokens[:, first:], confidence[:, first:]  # views: what is unmasked here shows in the picture
        for _ in self.unmask(block, sure, torch.ones_like(block, dtype=torch.bool), draws):
            yield Step(tokens.clone(), confidence.clone())
        read = self.cache.size
        after = self.denoiser.commit(block, self.cache)
        self.nfe += self.cache.size > read and not self.denoiser.facts.rereads  # else there was nothing to compute
        if first:
            nll[:, 1:] = self._nll(after[:, :-1], block)
            self._ahead = after[:, -1]
        else:
            nll.fill_(torch.nan)
        yield Step(tokens.clone(), confidence.clone())
        return _block(tokens, nll)

    def unmask(self, block: Tensor, sure: Tensor, masked: Tensor, draws: Draws) -> Iterator[None]:
        """Denoises a block [B, n] that follows the text, by the dial's rule: the masked slots [B, n] get their tokens,
        the others are visible and stay. Yields after each forward; the cache stays. sure [B, n]: the tokens' chances.
        """
        masked = masked.clone()
        quantiles = draws.uniform(block.shape[1]).to(block.device)  # one a slot, whatever a neighbour's slots need
        for step in range(self.dial.steps):
            if not bool(masked.any()):
                break
            features = self.denoiser.denoise(block, self.cache)
            logits = self._forbid(self._guessing.logits(features))  # [B, n, V]
            top, ids = unmasking.largest(logits, min(SHORTLIST, logits.shape[-1]))
            slots = _Shortlist(self._guessing, self.dial.temperature, self.dial.nucleus, features, ids, top)
            sureness = (top[..., 0] - torch.logsumexp(logits, dim=-1)).exp()  # of the best token, [B, n]
            self.nfe += 1
            chosen = self._choose(sureness, masked, self.dial.steps - step, draws)
            self._unmask(block, sure, chosen, slots, quantiles)
            masked &= ~chosen
            yield

    def _choose(self, sureness: Tensor, masked: Tensor, steps_left: int, draws: Draws) -> Tensor:
        count = unmasking.share(int(masked.sum(-1).max()), steps_left)
        match self.dial.rule:
            case "first-hitting":
                return unmasking.first_hitting(masked, count, draws.uniform(masked.shape[1]).to(masked.device))
            case "threshold" if steps_left > 1:
                return unmasking.above(sureness, masked, self.dial.threshold)
            case _:
                return unmasking.confident(sureness, masked, count)

    def _unmask(self, block: Tensor, sure: Tensor, chosen: Tensor, slots: _Shortlist, quantiles: Tensor) -> None:
        """Draws a token for every chosen slot, left to right; where the one to the left is as new, it is weighed in."""
        for slot in range(block.shape[1]):
            here = chosen[:, slot]
            if not bool(here.any()):
                continue
            lost = self._lost(torch.cat([self._text, block[:, :slot]], dim=1))
            law = slots.law(slot, None, lost)
            if slot > 0 and bool(chosen[:, slot - 1].any()):
                law = slots.law(slot, block[:, slot - 1], lost).where(chosen[:, slot - 1], law)
            token = law.draw(quantiles[:, slot])
            block[:, slot] = torch.where(here, token, block[:, slot])
            sure[:, slot] = torch.where(here, law.prob_of(token), sure[:, slot])

    # ----------------------------------------------------------------------------------------------------- shared

    def _open_block(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        batch, device = self.cache.batch, self.cache.tokens.device
        tokens = torch.full((batch, size), self.denoiser.facts.mask, dtype=torch.long, device=device)
        nll = torch.zeros(batch, size, 1 + len(self.watched), device=device)
        return tokens, nll, torch.zeros(batch, size, device=device)

    def _take(self, slot: int, logits: Tensor, draws: Draws, tokens: Tensor, nll: Tensor, confidence: Tensor) -> None:
        """Decides one slot from the causal logits [B, V]."""
        law = self._law(logits[:, None], [self._lost(self._text)]).slot(0)
        token = law.draw(draws.uniform().to(tokens.device))
        self.cache.decide(token)
        tokens[:, slot], nll[:, slot], confidence[:, slot] = token, self._nll(logits, token), law.prob_of(token)

    @property
    def _text(self) -> Tensor:
        """What is decided, [B, n]."""
        return self.cache.tokens[:, : self.cache.decided]

    def _law(self, logits: Tensor, losses: Sequence[Loss | None]) -> Candidates:
        """What the tokens of n slots are drawn from, by their causal logits [B, n, V] and what tokens lose in each."""
        logits = logits.clone()
        for slot, lost in enumerate(losses):
            if lost is not None:
                lost.take_from(logits[:, slot])
        return candidates(self._forbid(logits), self.dial.temperature, self.dial.nucleus)

    def _lost(self, text: Tensor) -> Loss | None:
        """What tokens lose after texts [B, n]."""
        if self.dial.repeat_penalty == 0.0:
            return None
        mask, padding = self.denoiser.facts.mask, self.cache.padding
        return repetition.loss(text, self.dial.repeat_penalty, self._inner, mask=mask, padding=padding)

    @property
    def _barred(self) -> list[int]:
        """The tokens that may not come now: control tokens, and the end where it is too early."""
        facts = self.denoiser.facts
        return [*facts.banned, *([] if self.may_end else [facts.end])]

    def _forbid(self, logits: Tensor) -> Tensor:
        """Logits [..., V], which are changed, without the tokens that may not come now."""
        if self._barred:
            logits[..., self._barred] = -torch.inf
        return logits

    def _nll(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """−log p under logits [..., V] of tokens [...], then of the watched ones: [..., 1 + W], in nats."""
        ids = torch.cat([tokens.unsqueeze(-1), self.watched.expand(*tokens.shape, -1)], dim=-1)
        return torch.logsumexp(logits, dim=-1, keepdim=True) - logits.gather(-1, ids)

    def _all_ended(self, tokens: Tensor) -> bool:
        return bool((tokens == self.denoiser.facts.end).any(-1).all())


def _block(tokens: Tensor, nll: Tensor) -> Block:
    """From the nll [B, n, 1 + W] of the tokens and of the watched ones."""
    return Block(tokens, nll[..., 0], nll[..., 1:])
