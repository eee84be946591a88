"""The attention call over a cache, and the masks it takes: what may attend to what.

Knows nothing of weights and of what the columns mean.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHORT = 512
"""Up to so many columns scaled_dot_product_attention is the fastest form on a CPU; past it, two plain products are."""

FEW = 3
"""The same for the texts of a batch."""


def attend(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor, short: int = SHORT, few: int = FEW) -> Tensor:
    """Softmax attention with grouped queries over all columns of a cache.

    queries [B, n, H·G, D], already scaled; keys, values [B, H, T, D]; bias [B or 1, 1, G·n or 1, T]. Returns
    [B, n, H·G·D] in the dtype of the cache. TorchScript reads this function; constants reach it as defaults.
    The G query heads that share a key head are folded into the rows of one product (no copies of keys).
    """
    batch, n, query_heads, width = queries.shape
    heads, columns = keys.shape[1], keys.shape[2]
    groups = query_heads // heads
    q = (
        queries.to(keys.dtype)
        .view(batch, n, heads, groups, width)
        .permute(0, 2, 3, 1, 4)
        .reshape(batch, heads, groups * n, width)
    )
    if columns <= short and batch <= few:
        out = F.scaled_dot_product_attention(q, keys, values, attn_mask=bias, scale=1.0)
    else:
        scores = (q @ keys.mT).add_(bias)  # [B, H, G·n, T]
        out = torch.softmax(scores, dim=-1) @ values  # [B, H, G·n, D]
    return out.view(batch, heads, groups, n, width).permute(0, 3, 1, 2, 4).reshape(batch, n, query_heads * width)


def keep(store: Tensor, at: int, keys_values: Tensor) -> None:
    """keys_values [B, n, 2, H, D] of one layer go to the columns at … at+n of its store [2, B, H, capacity, D]."""
    store.narrow(3, at, keys_values.shape[1]).copy_(keys_values.permute(2, 0, 3, 1, 4))


def causal_mask(start: int, n: int, columns: int, device: torch.device) -> Tensor:
    """n clean tokens, written at columns start … start+n, read everything up to themselves. Boolean [n, columns]."""
    column = torch.arange(columns, device=device)
    return column <= start + torch.arange(n, device=device)[:, None]


def block_mask(clean: int, start: int, n: int, columns: int, device: torch.device) -> Tensor:
    """n noisy positions, written at columns start … start+n, read the columns before `clean` and each other, in both
    directions. Boolean [1, columns]: the same for each of them."""
    column = torch.arange(columns, device=device)
    return ((column < clean) | ((column >= start) & (column < start + n)))[None]


def as_bias(mask: Tensor, padding: Tensor | None, groups: int, dtype: torch.dtype) -> Tensor:
    """A mask [n or 1, T] as the additive bias that `attend` takes, without the columns a row is padded with.

    What is hidden gets a very low number, not −∞: a padded position sees nothing at all, and must not become nan.
    """
    if padding is None:
        mask = mask[None]
    else:
        mask = mask & (torch.arange(mask.shape[-1], device=mask.device) >= padding[:, None, None])
    bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min / 2)
    return (bias if mask.shape[1] == 1 else bias.repeat(1, groups, 1))[:, None]
