"""The samplers of BD3-LM: whole texts, block by block, as the paper writes them.

`begin` reads prompts, `fill` unmasks one block step by step, `write` does both until every text has its length or one
of the paper's stop rules holds. The desk has a sampler of its own (sampler.py); what both know is in unmasking.py.

First-hitting: one slot takes its token per forward, chosen uniformly. It follows the same law as ancestral sampling in
infinitely many steps (Zheng et al. 2024). Ancestral: t falls from 1 to 0 in T steps; a masked slot takes its token with
chance 1 − s/t, which is 1 in the last step. Probabilities are in float64: float32 draws the likely tokens too often.
Entropy: past the paper, a step decides as many slots as their entropies allow (adaptive.py).

Source: Arriola et al. 2025, algorithm 2 and section 6, and the published code. Knows token ids only.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from model import adaptive, unmasking
from model.denoiser import BlockCache, Facts
from model.noise import subs_log_probs

CHUNK = 256
"""Prompt tokens read at once."""

ENTROPY_SPAN, LOWEST_ENTROPY = 256, 4.0
"""A text has gone astray when the unigram entropy of its last 256 tokens is below 4 nats (paper, section 6.2)."""

TINY = 1e-10

Rule = Literal["first-hitting", "ancestral", "confidence", "threshold", "entropy"]
Reason = Literal["length", "end", "entropy"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a block is unmasked.

    steps      T per block of "ancestral"; forwards per block of "confidence" and at most of "threshold".
    nucleus    tokens are kept while their cumulated probability is ≤ nucleus; 1 keeps all.
    threshold  rule "threshold": a slot takes its token where the likeliest one reaches this probability.
    budget     rule "entropy": nats by which slots that are decided together may depend on each other; 0: one a step.
    sizes      rule "entropy": slots of the stretches in which a block is written; its whole rest, where that is less.
    limit      rule "entropy": mean entropy of a stretch, in nats, above which a shorter one is taken.
    """

    rule: Rule = "first-hitting"
    steps: int = 1
    nucleus: float = 0.9
    threshold: float = 0.9
    budget: float = 0.1
    sizes: tuple[int, ...] = (4, 8, 16)
    limit: float = 4.0

    def __post_init__(self) -> None:
        if self.rule not in get_args(Rule):
            raise ValueError(f"There is no rule {self.rule!r}; choose one of {', '.join(get_args(Rule))}.")
        if self.steps < 1:
            raise ValueError(f"A block cannot be written in {self.steps} steps; choose at least 1.")
        if not 0.0 < self.nucleus <= 1.0 or not 0.0 < self.threshold <= 1.0:
            raise ValueError("Nucleus and threshold are probabilities; choose values above 0, at most 1.")
        if self.budget < 0.0 or self.limit < 0.0:
            raise ValueError("Budget and limit are nats; choose 0 or more.")
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError("A stretch has at least one slot; choose sizes of 1 or more.")


@dataclass(frozen=True, slots=True)
class Text:
    """A finished text: its tokens, prompt included, and why it ends where it does.

    nfe  the forwards it would have taken alone: those that gave it no token, and those after its end, are its
         neighbours'. Commits are not counted.
    """

    tokens: list[int]
    reason: Reason
    nfe: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Step:
    """A picture of the block: tokens [B, n] with the mask id where nothing is decided; forwards so far."""

    tokens: Tensor
    nfe: int


class BlockDenoiser(Protocol):
    """What these samplers ask of a network; `Denoiser` and `room`."""

    facts: Facts

    def new_cache(self, batch: int) -> BlockCache:
        """An empty cache."""

    def room(self, cache: BlockCache) -> int:
        """Slots until the network's own block is full."""

    def commit(self, tokens: Tensor, cache: BlockCache, *, last_only: bool = False) -> Tensor:
        """Clean tokens enter the cache."""

    def denoise(self, block: Tensor, cache: BlockCache) -> Tensor:
        """Features [B, n, D] of a block."""

    def logits(self, features: Tensor) -> Tensor:
        """Logits [..., V]."""


class Draws(Protocol):
    """Where chance comes from."""

    def begin(self, block: int) -> None:
        """The next block, counted from 0, begins."""

    def keep(self, rows: Sequence[int]) -> None:
        """Of the texts there are, these go on; the others have ended."""

    def slots(self, masked: Tensor) -> Tensor:
        """Uniforms [B, n] that choose slots; masked [B, n] says which slots have no token yet."""

    def tokens(self, chosen: Tensor, vocabulary: int) -> Tensor:
        """Uniforms [N, V] that draw the tokens of the N chosen slots (chosen [B, n])."""


class SeededDraws:
    """A stream for every text and block: a text depends neither on its neighbours nor on where it was resumed."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._seeds = seeds
        self._streams: list[torch.Generator] = []

    def begin(self, block: int) -> None:
        """New streams. Seeds are hashed: torch reads 32 bits of one, and streams of neighbouring seeds are alike."""
        seeds = (random.Random(f"{seed}/{block}").getrandbits(32) for seed in self._seeds)
        self._streams = [torch.Generator().manual_seed(seed) for seed in seeds]

    def keep(self, rows: Sequence[int]) -> None:
        """From the next block on."""
        self._seeds = [self._seeds[row] for row in rows]

    def slots(self, masked: Tensor) -> Tensor:
        """[B, n]."""
        return torch.stack([self._uniform(stream, masked.shape[1]) for stream in self._streams]).to(masked.device)

    def tokens(self, chosen: Tensor, vocabulary: int) -> Tensor:
        """[N, V]."""
        counts = chosen.sum(1).tolist()
        rows = [self._uniform(stream, n, vocabulary) for stream, n in zip(self._streams, counts, strict=True)]
        return torch.cat(rows).to(chosen.device)

    @staticmethod
    def _uniform(stream: torch.Generator, *shape: int) -> Tensor:
        return torch.rand(shape, generator=stream, dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------------- texts


def write(
    denoiser: BlockDenoiser,
    prompts: Sequence[Sequence[int]],
    recipe: Recipe,
    draws: Draws,
    *,
    length: int,
    stop: bool = False,
) -> Generator[Step, None, list[Text]]:
    """Continues every prompt, which holds one token at least: the BOS token, where there is nothing to continue.

    Yields a picture after every step, of the texts that have not ended; not asking for the next one stops the job.
    length counts the tokens of a text, prompt included. stop: a text also ends with the first end token it writes, and
    where its entropy falls too low.
    """
    cache, block, ahead = begin(denoiser, prompts)
    texts = [list(prompt) for prompt in prompts]
    ended: dict[int, Text] = {}
    going = list(range(len(texts)))  # whose rows the tensors hold
    known = [len(prompt) % block.shape[1] for prompt in prompts]
    spent = torch.zeros(len(texts), dtype=torch.long, device=block.device)
    nfe = number = 0
    while True:
        draws.begin(number)
        if denoiser.facts.causal:  # the autoregressive baseline: the last commit has told the law of the next token
            every = torch.ones_like(block, dtype=torch.bool)
            last = Step(_draw(ahead[:, -1], block, every, denoiser.facts.mask, recipe, draws), nfe + 1)
            spent += 1
            yield last
        else:
            last = yield from _counted(fill(denoiser, block, cache, recipe, draws, nfe), block, spent)
        nfe, number = last.nfe, number + 1
        for row, at in enumerate(going):
            texts[at].extend(last.tokens[row, known[row] :].tolist())
            found = ending(
                texts[at], len(prompts[at]), length, denoiser.facts.end if stop else None, nfe=int(spent[row])
            )
            if found is not None:
                ended[at] = found
        if len(ended) == len(texts):
            return [ended[at] for at in range(len(texts))]
        tokens = last.tokens
        rows = [row for row, at in enumerate(going) if at not in ended]
        if len(rows) < len(going):
            index = torch.tensor(rows, device=tokens.device)
            going, cache, tokens, spent = [going[row] for row in rows], cache.rows(index), tokens[index], spent[index]
            draws.keep(rows)
        ahead = denoiser.commit(tokens, cache, last_only=True)
        block = tokens.new_full((len(rows), denoiser.room(cache)), denoiser.facts.mask)
        known = [0] * len(rows)


def finish(job: Generator[Step, None, list[Text]]) -> list[Text]:
    """Runs a job to its end."""
    while True:
        try:
            next(job)
        except StopIteration as stopped:
            texts: list[Text] = stopped.value
            return texts


def begin(denoiser: BlockDenoiser, prompts: Sequence[Sequence[int]]) -> tuple[BlockCache, Tensor, Tensor]:
    """Reads the whole blocks of every prompt.

    Returns the cache, the first block [B, L'] with what is left of the prompts, and what the last commit returned.
    Blocks are aligned to the beginning of each text; shorter prompts are padded at the left by whole blocks.
    """
    if not prompts or not all(prompts):
        raise ValueError("Every text needs a first token; give the BOS token where there is nothing to continue.")
    cache = denoiser.new_cache(len(prompts))
    size = denoiser.room(cache)
    blocks = [len(prompt) // size for prompt in prompts]
    width = max(blocks) * size
    clean = torch.zeros((len(prompts), width), dtype=torch.long, device=cache.tokens.device)
    first = torch.full((len(prompts), size), denoiser.facts.mask, dtype=torch.long, device=cache.tokens.device)
    for row, (prompt, count) in enumerate(zip(prompts, blocks, strict=True)):
        tokens = torch.tensor(prompt, device=clean.device)
        clean[row, width - count * size :] = tokens[: count * size]
        first[row, : len(prompt) - count * size] = tokens[count * size :]
    if min(blocks) < max(blocks):
        cache.padding = torch.tensor([width - count * size for count in blocks], device=clean.device)
    ahead = torch.empty(len(prompts), 0, 0)
    for at in range(0, width, CHUNK):
        ahead = denoiser.commit(clean[:, at : at + CHUNK], cache, last_only=True)
    if denoiser.room(cache) < size:
        raise ValueError(f"This network writes rows of {size} tokens; give it prompts that are shorter.")
    return cache, first, ahead


def _counted(job: Generator[Step, None, Step], block: Tensor, spent: Tensor) -> Generator[Step, None, Step]:
    """The steps of a block [B, n]; every step that changes a text adds one to its `spent` [B]."""
    before = block
    while True:
        try:
            step = next(job)
        except StopIteration as stopped:
            last: Step = stopped.value
            return last
        spent += (step.tokens != before).any(1)
        before = step.tokens
        yield step


def ending(text: list[int], prompt: int, length: int, end: int | None, nfe: int = 0) -> Text | None:
    """The text, cut where it ends, or None while it does not. prompt and length count tokens; end: stop rules hold."""
    written = text[prompt:]
    if end is not None and len(text) > ENTROPY_SPAN and unigram_entropy(text[-ENTROPY_SPAN:]) < LOWEST_ENTROPY:
        return Text(text[:-ENTROPY_SPAN], "entropy", nfe)
    if end in written[: max(0, length - prompt)]:
        return Text(text[: prompt + written.index(end) + 1], "end", nfe)
    return Text(text[:length], "length", nfe) if len(text) >= length else None


def unigram_entropy(tokens: Sequence[int]) -> float:
    """Entropy of the token counts, in nats."""
    counts = torch.tensor(list(Counter(tokens).values()), dtype=torch.float64)
    return float(torch.special.entr(counts / counts.sum()).sum())


# -------------------------------------------------------------------------------------------------------- one block


def fill(
    denoiser: BlockDenoiser, block: Tensor, cache: BlockCache, recipe: Recipe, draws: Draws, nfe: int = 0
) -> Generator[Step, None, Step]:
    """Unmasks a block [B, n] that follows what the cache holds. The generator's value is the last step: a full block.

    Where a step of ancestral sampling changes nothing, the network is not asked again: its answer would be the same.
    """
    mask = denoiser.facts.mask
    steps = block.shape[1] if recipe.rule in ("first-hitting", "entropy") else recipe.steps
    edge = block.new_zeros(len(block))
    for left in range(steps, 0, -1):
        masked = block == mask
        if not bool(masked.any()):
            break
        chosen = _by_chance(masked, left, recipe, draws)
        if chosen is not None and not bool(chosen.any()):
            continue
        features = denoiser.denoise(block, cache)
        nfe += 1
        if chosen is None:
            log_probs = subs_log_probs(denoiser.logits(features), block, mask)
            if recipe.rule == "entropy":
                entropy = adaptive.entropies(log_probs)
                edge = adaptive.stretch(edge, entropy, masked, recipe.sizes, recipe.limit)
                before = torch.arange(block.shape[1], device=block.device) < edge[:, None]
                chosen = adaptive.within(entropy, masked & before, recipe.budget)
            else:
                chosen = _by_confidence(log_probs.amax(-1).exp(), masked, left, recipe)
        block = _draw(denoiser.logits(features[chosen]), block, chosen, mask, recipe, draws)
        yield Step(block, nfe)
    return Step(block, nfe)


def _draw(logits: Tensor, block: Tensor, chosen: Tensor, mask: int, recipe: Recipe, draws: Draws) -> Tensor:
    """The block [B, n] with new tokens in the N chosen slots, all masked, drawn by their logits [N, V]."""
    probs = nucleus(subs_log_probs(logits, block[chosen], mask).double().exp(), recipe.nucleus)
    return block.masked_scatter(chosen, race(probs, draws.tokens(chosen, probs.shape[-1])))


def _by_chance(masked: Tensor, left: int, recipe: Recipe, draws: Draws) -> Tensor | None:
    """The slots that take their token in this step, where the network has no say; `left` steps are to go."""
    match recipe.rule:
        case "first-hitting":
            return unmasking.first_hitting(masked, 1, draws.slots(masked))
        case "ancestral":  # t = left / T falls to s = (left − 1) / T, so 1 − s/t = 1 / left
            return masked & (draws.slots(masked) * left < 1)
        case _:
            return None


def _by_confidence(sureness: Tensor, masked: Tensor, left: int, recipe: Recipe) -> Tensor:
    if recipe.rule == "threshold" and left > 1:
        return unmasking.above(sureness, masked, recipe.threshold)
    counts = [unmasking.share(count, left) for count in masked.sum(1).tolist()]  # of a row, whatever its neighbours
    return torch.cat([unmasking.confident(sureness[i, None], masked[i, None], n) for i, n in enumerate(counts)])


def nucleus(probs: Tensor, p: float) -> Tensor:
    """Probabilities [..., V] cut as published: kept while their cumulated sum is ≤ p, the first always, renormalised.

    The token that crosses p is dropped; the desk's own rule (unmasking.candidates) keeps it.
    """
    if p == 1.0:
        return probs
    for count in (*unmasking.TOP, probs.shape[-1]):  # a few of the likeliest tokens are enough, as a rule
        ranked, order = probs.topk(min(count, probs.shape[-1]), dim=-1)
        if float(ranked.sum(-1).min()) > p:
            break
    keep = ranked.cumsum(-1) <= p
    keep[..., 0] = True
    kept = torch.zeros_like(probs).scatter_(-1, order, ranked * keep)
    return kept / kept.sum(-1, keepdim=True)


def race(probs: Tensor, uniforms: Tensor) -> Tensor:
    """Tokens [...] drawn from probs [..., V]: each arrives after an exponential time of rate p, the first one wins."""
    return (probs / (TINY - (uniforms + TINY).log())).argmax(-1)
