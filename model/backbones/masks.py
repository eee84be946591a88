"""The training mask of BD3-LM over x_t ⊕ x_0: three named parts, one rule, two backends.

The input is L noisy tokens, then the same L tokens clean; both halves have the positions 0 … L−1. A token's block is
(i mod L) // L'.

    M_BD   block diagonal        same half, same block
    M_OBC  offset block causal   a noisy query reads clean keys of earlier blocks
    M_BC   block causal          a clean query reads clean keys of its own block and of earlier ones

Arriola et al. 2025, section 3.1 and suppl. B.6. Knows nothing of weights and tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

Rule = Callable[[Tensor, Tensor], Tensor]
"""Whether queries at rows q may attend to keys at columns k; the two index tensors broadcast."""


def block_diagonal(length: int, block: int) -> Rule:
    """M_BD."""

    def rule(q: Tensor, k: Tensor) -> Tensor:
        return ((q < length) == (k < length)) & (q % length // block == k % length // block)

    return rule


def offset_block_causal(length: int, block: int) -> Rule:
    """M_OBC."""

    def rule(q: Tensor, k: Tensor) -> Tensor:
        return (q < length) & (k >= length) & (q % length // block > k % length // block)

    return rule


def block_causal(length: int, block: int) -> Rule:
    """M_BC."""

    def rule(q: Tensor, k: Tensor) -> Tensor:
        return (q >= length) & (k >= length) & (q % length // block >= k % length // block)

    return rule


def training_rule(length: int, block: int) -> Rule:
    """M_BD ∪ M_OBC ∪ M_BC. Raises ValueError where blocks do not fill the row."""
    if length < 1 or block < 1 or length % block:
        raise ValueError(f"A row of {length} tokens does not split into blocks of {block}; choose a divisor.")
    parts = [part(length, block) for part in (block_diagonal, offset_block_causal, block_causal)]

    def rule(q: Tensor, k: Tensor) -> Tensor:
        return parts[0](q, k) | parts[1](q, k) | parts[2](q, k)

    return rule


def dense(length: int, block: int, device: torch.device | str = "cpu") -> Tensor:
    """The training mask as booleans [2L, 2L], for scaled_dot_product_attention."""
    index = torch.arange(2 * length, device=device)
    return training_rule(length, block)(index[:, None], index[None, :])


@lru_cache(maxsize=8)
def flex(length: int, block: int, device: torch.device | str = "cpu") -> BlockMask:
    """The training mask for FlexAttention, which skips tiles that nothing attends to. Kept: making it takes a while."""
    rule = training_rule(length, block)

    def mask_mod(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return rule(q, k)

    return create_block_mask(mask_mod, None, None, 2 * length, 2 * length, device=str(device))


def clean(length: int, block: int, device: torch.device | str = "cpu") -> Tensor:
    """M_BC alone, booleans [L, L]: how text is read that holds noise in its last block at most."""
    at = torch.arange(length, device=device) // block
    return at[:, None] >= at[None, :]


def positions(length: int, device: torch.device | str = "cpu") -> Tensor:
    """Positions [2L] of x_t ⊕ x_0."""
    return torch.arange(length, device=device).repeat(2)
