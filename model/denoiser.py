"""The contract between the sampler and every network: `Denoiser`, its `Facts`, and the `BlockCache` it is given.

Knows nothing of architectures, text or unmasking rules. The cache is an argument, never a hidden attribute of layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from model.attention import keep

GROWTH = 128
"""The cache grows by this many tokens: shapes stay the same between growths, so matrix products keep their plans."""

ROOM = 64
"""Positions past the context that a denoising step may use."""


PROPOSALS = 3
"""Tokens that are proposed at once where proposals are checked, unless a network says otherwise. Later ones are rarely
reached, and each costs a row in two forwards."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a sampler must know about a network.

    vocabulary   number of token ids; the mask token, not a part of it, has the id `mask`.
    end          the token that ends a text.
    banned       control tokens, never sampled.
    inner        tokens that go on with a word: a word that comes again is made of the same ones.
    causal       clean text is read causally: a commit yields the next-token logits, which verify proposals. Where it is
                 not, a block is denoised from its first slot on, and a text has no causal nll.
    block_sizes  of the blocks that it denoises; (1,): none, it only writes token by token.
    context      tokens that fit the cache.
    slides       the context is a window over the text, which may grow past it.
    rereads      every forward reads the window anew: several texts at once cost as much as one after the other.
    proposals    tokens to propose at once where proposals are checked: fewer where a row more costs more.
    """

    vocabulary: int
    mask: int
    end: int
    banned: tuple[int, ...]
    causal: bool
    block_sizes: tuple[int, ...]
    context: int
    slides: bool = False
    rereads: bool = False
    inner: tuple[int, ...] = ()
    proposals: int = PROPOSALS


class ContextFull(RuntimeError):
    """The text no longer fits the network's context."""


class BlockCache:
    """Keys and values of the committed tokens of a batch of equally long texts: extend, cut back, size.

    layers        per layer keys and values [2, B, H, capacity, D]. Columns from `size` on are scratch: zero, or left
                  over from a denoising step or a cut; the attention bias hides them.
    tokens        [B, capacity] ids.
    pending       decided tokens that were not read into keys yet: the last one, or, where clean text is read in blocks,
                  those that do not fill a block.
    padding       [B] columns at the left that a row does not use, or None.
    """

    def __init__(
        self, *, layers: int, batch: int, heads: int, width: int, limit: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.batch, self.limit, self.dtype = batch, limit, dtype
        self.size = 0
        self.pending: int = 0
        self.capacity = GROWTH
        self.padding: Tensor | None = None
        shape = (2, batch, heads, self.capacity, width)
        self.layers = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.tokens = torch.zeros((batch, self.capacity), dtype=torch.long, device=device)

    @property
    def decided(self) -> int:
        """Tokens of the text so far, the pending one included."""
        return self.size + self.pending

    def reserve(self, size: int, scratch: int = 0) -> None:
        """Makes room for `size` tokens in all, and scratch columns after them. Raises ContextFull."""
        if size > self.limit:
            raise ContextFull(f"The text is longer than the {self.limit} tokens this model can hold.")
        if size + scratch <= self.capacity:
            return
        more = -(-(size + scratch) // GROWTH) * GROWTH - self.capacity
        self.layers = [F.pad(layer, (0, 0, 0, more)) for layer in self.layers]
        self.tokens = torch.cat([self.tokens, self.tokens.new_zeros(self.batch, more)], dim=1)
        self.capacity += more

    def write(self, layer: Tensor, keys_values: Tensor) -> None:
        """keys_values [B, n, 2, H, D] of one layer go to the scratch columns size … size+n."""
        keep(layer, self.size, keys_values)

    def extend(self, tokens: Tensor) -> None:
        """Tokens [B, n] have been read: their keys and values lie at columns size … size+n."""
        self.tokens[:, self.size : self.size + tokens.shape[1]] = tokens
        self.size += tokens.shape[1]
        self.pending = 0

    def decide(self, token: Tensor) -> None:
        """Appends one decided token [B], to be read by the next forward."""
        if self.pending:
            raise ValueError("A token is pending already: commit before deciding the next one.")
        self.reserve(self.size + 1)
        self.tokens[:, self.size] = token
        self.pending = 1

    def cut(self, position: int) -> None:
        """Forgets everything from `position` on."""
        if not 0 <= position <= self.decided:
            raise ValueError(f"Cannot cut at {position}: the cache holds {self.decided} tokens.")
        self.pending = self.pending if position == self.decided else 0
        self.size = min(self.size, position)

    def rows(self, index: Tensor) -> Self:
        """A copy that holds the given rows, in that order; a row may come more than once (several candidates)."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.batch = len(index)
        copy.layers = [layer[:, index] for layer in self.layers]
        copy.tokens = self.tokens[index]
        copy.padding = None if self.padding is None else self.padding[index]
        return copy

    def choose(self, rows: Tensor, since: int) -> None:
        """The given rows [B] go on, some of them more than once. All rows are alike before position `since`."""
        for layer in self.layers:
            layer[:, :, :, since : self.size] = layer[:, rows, :, since : self.size]
        self.tokens[:, since : self.decided] = self.tokens[rows, since : self.decided]

    def beginning(self, position: int) -> Self:
        """A copy of the tokens before `position`, which have been read, and as large as if no others had been."""
        if not 0 <= position <= self.size:
            raise ValueError(f"Cannot begin with {position} tokens: the cache has read {self.size}.")
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.size, copy.pending = position, 0
        copy.capacity = max(GROWTH, -(-position // GROWTH) * GROWTH)
        copy.layers = [layer[..., : copy.capacity, :].clone() for layer in self.layers]
        copy.tokens = self.tokens[:, : copy.capacity].clone()
        return copy


class Denoiser(Protocol):
    """A network that denoises blocks, given a cache of what was committed."""

    facts: Facts

    def relaxed(self) -> Denoiser:
        """The same network for settings that do not promise its exact law: rounded more where that is faster, else
        itself. What one of them has read the other can read on from."""

    def new_cache(self, batch: int) -> BlockCache:
        """An empty cache for `batch` texts."""

    def room(self, cache: BlockCache) -> int:
        """Slots that the next block may have: to the end of one of the network's own, where it has them."""

    def commit(self, tokens: Tensor, cache: BlockCache, *, last_only: bool = False) -> Tensor:
        """Clean tokens [B, n] enter the cache, after the pending one if there is one.

        Returns next-token logits [B, m, V] in float32 after each token read (m = n, or n + 1 with a pending token), or
        after the last one only (m = 1). m = 0 where the network does not read causally.
        """

    def denoise(self, block: Tensor, cache: BlockCache, *, open_end: bool = False) -> Tensor:
        """Features [B, L', D] of a block [B, L'] with masked slots that follows the decided tokens. The cache stays.

        open_end: the last slot is masked, and a network that computes nothing from it but its neighbours' view of it
        may leave it out. For proposals that are checked.
        """

    def logits(self, features: Tensor) -> Tensor:
        """Logits [..., V] in float32 of features [..., D]."""

    def guesses(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [..., P] in float32 of the tokens that are worth proposing where proposals are checked, and these
        tokens [P]: all of them, or the common ones, which is faster."""

    def chain(self, features: Tensor, left: Tensor, candidates: Tensor) -> Tensor:
        """Logits [B, K] of the candidate tokens [B, K] of a slot with features [B, D], now that the token to its left
        [B] is chosen: repairs what independently denoised slots cannot know."""
