"""Many texts at once with the causal reading of a network: read the prompts, then draw → commit until all have ended.

A leaner loop than the block sampler's, for throughput: texts that have ended leave the cache, so the others do not pay
for them, and a nucleus is drawn from without sorting the vocabulary. Beside it the block sampler itself, one text after
the other, for the states that it visits. Knows token ids only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model import repetition
from model.contract import Dial
from model.denoiser import Denoiser
from model.sampler import BlockSampler, Draws, Pictures, block_seed
from model.unmasking import candidates

CHUNK = 32
"""Prompt tokens of every row read at once: enough for full matrix products, little memory."""

TRIES = 6
"""Draws from the whole law before a row's nucleus is sorted out; a draw is outside with chance 1 − nucleus."""

GROUP = 256
"""Tokens whose probabilities are summed first when one is looked for by its quantile."""

DROP = 16
"""Texts that have ended leave the cache when they are more than one in so many: copying it has its price, too."""

RECENT, DIFFERENT = 64, 16
"""A text goes round in circles, and is left there, when its last RECENT tokens are fewer than DIFFERENT ones."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One text: its prompt, most tokens to write, seed of its random numbers, tokens before which it may not end."""

    prompt: Sequence[int]
    limit: int
    seed: int
    least: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """A finished text: its index among the wanted ones; tokens, the end token included if it came.

    starts  places of tokens with which a cycle of the block sampler began, where that wrote it.
    """

    index: int
    tokens: tuple[int, ...]
    ended: bool
    starts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Law:
    """How tokens are drawn: temperature >= 0 (0: greedy), nucleus in (0, 1], penalty on repeats in nats (0: none)."""

    temperature: float
    nucleus: float
    repeat_penalty: float = 0.0


class _Text:
    """A text that is being written. All its random numbers are drawn when it begins, from its own stream."""

    def __init__(self, index: int, wanted: Wanted) -> None:
        self.index, self.limit, self.least = index, wanted.limit, wanted.least
        self.tokens: list[int] = []
        self.finished = False
        stream = torch.Generator().manual_seed(wanted.seed)
        self._uniforms = torch.rand(wanted.limit, TRIES + 1, generator=stream)

    @property
    def uniforms(self) -> Tensor:
        """[TRIES + 1] for the next token; a finished text that still stands in the batch has no use for them."""
        return self._uniforms[min(len(self.tokens), self.limit - 1)]

    def add(self, token: int, end: int) -> None:
        """One token more; it may be the last one."""
        self.tokens.append(token)
        circles = len(self.tokens) >= RECENT and len(set(self.tokens[-RECENT:])) < DIFFERENT
        self.finished = token == end or len(self.tokens) == self.limit or circles


def write(network: Denoiser, wanted: Sequence[Wanted], law: Law) -> Iterator[tuple[Written, ...]]:
    """Writes the texts in lockstep; yields after every token of all of them those that it finished.

    Call it under torch.inference_mode(). Raises ContextFull where the longest prompt and text do not fit.
    """
    end, banned = network.facts.end, list(network.facts.banned)
    texts = [_Text(index, one) for index, one in enumerate(wanted)]
    cache = network.new_cache(len(texts))
    device, inner = cache.tokens.device, frozenset(network.facts.inner)
    longest = max(len(one.prompt) for one in wanted)
    rows = torch.tensor([[0] * (longest - len(one.prompt)) + list(one.prompt) for one in wanted], device=device)
    cache.padding = torch.tensor([longest - len(one.prompt) for one in wanted], device=device)
    for at in range(0, longest, CHUNK):
        ahead = network.commit(rows[:, at : at + CHUNK], cache, last_only=True)
    while texts:
        logits = ahead[:, -1]
        logits[:, banned] = -torch.inf
        logits[[row for row, text in enumerate(texts) if len(text.tokens) < text.least], end] = -torch.inf
        if law.repeat_penalty > 0.0:
            before = cache.tokens[:, : cache.decided]
            lost = repetition.loss(before, law.repeat_penalty, inner, padding=cache.padding)
            if lost is not None:
                lost.take_from(logits)
        tokens = draw(logits, torch.stack([text.uniforms for text in texts]).to(device), law)
        finished: list[Written] = []
        for text, token in zip(texts, tokens.tolist(), strict=True):
            if text.finished:
                continue
            text.add(token, end)
            if text.finished:
                finished.append(Written(text.index, tuple(text.tokens), token == end))
        yield tuple(finished)
        going = [row for row, text in enumerate(texts) if not text.finished]
        if not going:
            return
        if DROP * (len(texts) - len(going)) > len(texts):
            texts = [texts[row] for row in going]
            kept = torch.tensor(going, device=device)
            cache, tokens = cache.rows(kept), tokens[kept]
        ahead = network.commit(tokens[:, None], cache)


def write_in_cycles(network: Denoiser, wanted: Sequence[Wanted], dial: Dial) -> Iterator[Written]:
    """Writes the texts with the block sampler, one after the other, as rows in lockstep would share their cycles.

    dial: of the rule "verified". Call it under torch.inference_mode(). Raises ContextFull where a prompt and its text
    do not fit.
    """
    for index, one in enumerate(wanted):
        text, number = _Text(index, one), 0
        sampler = BlockSampler(network, dial)
        for _ in sampler.read(torch.tensor([list(one.prompt)], device=sampler.cache.tokens.device)):
            pass
        while not text.finished:
            written = len(text.tokens)
            sampler.may_end = written >= one.least
            size = min(dial.block_size, (one.limit if sampler.may_end else one.least) - written)
            block = Pictures(sampler.block(size, Draws([block_seed(one.seed, number)]))).finish()
            number += 1
            for token in block.tokens[0].tolist():
                text.add(token, network.facts.end)
                if text.finished:
                    break
        places = (start - len(one.prompt) for start in sampler.starts)
        starts = tuple(place for place in places if place < len(text.tokens))
        yield Written(index, tuple(text.tokens), text.tokens[-1] == network.facts.end, starts)


def draw(logits: Tensor, uniforms: Tensor, law: Law) -> Tensor:
    """Tokens [B] from the nucleus of logits [B, V], with uniforms [B, TRIES + 1] in [0, 1).

    A token of the whole law is kept if the likelier ones weigh less than the nucleus, and drawn again otherwise: the
    law is that of `candidates`, which needs the likeliest tokens in order. Equally likely ones are in or out together.
    """
    if law.temperature == 0.0:
        return logits.argmax(-1)
    probs = torch.softmax(logits / law.temperature, dim=-1)
    tokens = torch.empty(len(probs), dtype=torch.long, device=probs.device)
    open_rows = torch.arange(len(probs), device=probs.device)
    some = probs
    for attempt in range(TRIES):
        tried = at_quantile(some, uniforms[open_rows, attempt])
        tokens[open_rows] = tried
        own = some.gather(-1, tried[:, None])
        outside = own[:, 0] == 0.0
        if law.nucleus < 1.0:
            outside |= torch.where(some > own, some, 0.0).sum(-1) >= law.nucleus
        if not bool(outside.any()):
            return tokens
        open_rows, some = open_rows[outside], some[outside]
    sorted_out = candidates(logits[open_rows], law.temperature, law.nucleus)
    tokens[open_rows] = sorted_out.draw(uniforms[open_rows, TRIES])
    return tokens


def at_quantile(probs: Tensor, uniform: Tensor) -> Tensor:
    """The tokens [B] at quantiles [B] of laws [B, V]: first the group of tokens is found, then the token in it."""
    groups = F.pad(probs, (0, -probs.shape[-1] % GROUP)).view(len(probs), -1, GROUP)
    edges = groups.sum(-1).cumsum(-1)  # [B, V / GROUP]
    wanted = (uniform * edges[:, -1])[:, None]
    group = torch.searchsorted(edges, wanted, right=True).clamp_(max=groups.shape[1] - 1)
    before = torch.where(group > 0, edges.gather(-1, (group - 1).clamp(min=0)), 0.0)
    inside = groups.gather(1, group[..., None].expand(-1, 1, GROUP))[:, 0].cumsum(-1)
    at = torch.searchsorted(inside, wanted - before, right=True).clamp_(max=GROUP - 1)
    return (group * GROUP + at)[:, 0].clamp_(max=probs.shape[-1] - 1)
