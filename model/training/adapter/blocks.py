"""Noisy copies of a text: where its blocks begin, which slots are masked, and what each masked slot is to learn.

Pure. Knows token ids only. A copy has `blocks` blocks of L' slots, each read with the token before it: L' + 1 inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.noise import ClippedInterval
from model.training.adapter.rows import Written


@dataclass(frozen=True, slots=True)
class Noise:
    """How copies are drawn.

    sizes      block sizes, one drawn for each copy; intervals: noise levels of a block, for each of the sizes.
    masked     share of blocks that are masked throughout, as a verified block is.
    decay      weight of a masked slot: decay ^ (masked slots to its left in its block).
    plain      share of slots that train without the sampler head although it could be used.
    visited    share of copies, of texts that the block sampler wrote, whose blocks begin where its cycles did.
    """

    sizes: tuple[int, ...]
    intervals: tuple[ClippedInterval, ...]
    masked: float
    decay: float
    plain: float
    visited: float = 0.0


@dataclass(frozen=True, slots=True)
class Copy:
    """One noisy copy of a text.

    inputs     [blocks, L' + 1] token ids, the mask's where nothing is decided.
    starts     [blocks] position of slot 0. Positions are the text's.
    slot       [m] which input predicts each slot that has a loss, counted through all inputs; the shift is in it.
    at         [m] its position in the text; its target is the law after at − 1.
    left       [m] the token beside it that the sampler head is told, or −1 where the head is not used.
    soft       [m] whether nothing to its right is visible, so that the base's own law is its target.
    weight     [m] of its loss.
    """

    inputs: Tensor
    starts: Tensor
    slot: Tensor
    at: Tensor
    left: Tensor
    soft: Tensor
    weight: Tensor

    @property
    def size(self) -> int:
        return self.inputs.shape[1] - 1

    @property
    def positions(self) -> Tensor:
        """[blocks, L' + 1] of the inputs."""
        return self.starts[:, None] + torch.arange(-1, self.size)


def draw(text: Written, noise: Noise, mask: int, generator: torch.Generator) -> Copy:
    """A random copy: its blocks cover the text from a random one of the first L' written tokens on, or they begin at
    some of the places that were visited, about as many of them."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    kind = int(uniform() * len(noise.sizes))
    size, interval = noise.sizes[kind], noise.intervals[kind]
    offset = int(uniform() * min(size, len(text.tokens) - text.start))
    starts = torch.arange(text.start + offset, len(text.tokens), size)
    if text.visited and bool(uniform() < noise.visited):
        every = -(-len(text.visited) // max(len(starts), 1))
        starts = torch.tensor(text.visited[int(uniform() * every) :: every])
    blocks = len(starts)
    level = torch.where(uniform(blocks) < noise.masked, 1.0, interval.levels(uniform(blocks)))
    order = uniform(blocks, size)
    masked = (order <= level[:, None]) | (order == order.amin(1, keepdim=True))  # one of a block at least
    told = uniform(blocks, size) >= noise.plain
    return copy_of(text, starts, masked, told, noise.decay, mask)


def copy_of(text: Written, starts: Tensor, masked: Tensor, told: Tensor, decay: float, mask: int) -> Copy:
    """The copy whose blocks begin at `starts` [blocks] with these slots masked and told of their left [blocks, L'].

    A block may reach past the end of the text: there its slots are masked and have no loss.
    """
    tokens, size = torch.tensor(text.tokens), masked.shape[1]
    positions = starts[:, None] + torch.arange(size)  # [blocks, L']
    inside = positions < len(tokens)
    masked = masked | ~inside
    clean = tokens[positions.clamp(max=len(tokens) - 1)]
    inputs = torch.cat([tokens[starts - 1][:, None], torch.where(masked, mask, clean)], dim=1)
    before = masked.long().cumsum(1) - masked.long()  # masked slots to the left
    seen_right = (~masked).flip(1).cumsum(1).flip(1) > 0
    chosen_left = torch.cat([torch.zeros_like(masked[:, :1]), masked[:, :-1]], dim=1) & told
    left = torch.where(chosen_left, tokens[(positions - 1).clamp(max=len(tokens) - 1)], -1)
    block, j = (masked & inside).nonzero(as_tuple=True)
    return Copy(
        inputs=inputs,
        starts=starts,
        slot=block * (size + 1) + j,
        at=positions[block, j],
        left=left[block, j],
        soft=~seen_right[block, j],
        weight=(decay ** before[block, j].double()).float(),
    )


def count(copies: Sequence[Copy]) -> int:
    """Slots with a loss."""
    return sum(len(copy.slot) for copy in copies)
