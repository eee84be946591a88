"""x_t ⊕ x_0 through the network in one pass: the fast twin of `DiT.forward` under the dense training mask.

Same numbers, less work. On a CPU the row is cut into slices, and each attends to nothing that the mask hides from all
of it; the last layer leaves out the clean half, which nobody reads. On a GPU FlexAttention skips what is hidden. Knows
nothing of losses or noise. B rows, L tokens, L' block, H heads, D width.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from model.backbones import masks
from model.backbones.dit import Block, DiT, flex, rotate

SLICE = 128
"""Tokens of a slice on a CPU: fewer hide more, but make more and smaller products."""


def noisy_features(network: DiT, noisy: Tensor, clean: Tensor) -> Tensor:
    """What the output layer reads at the noisy positions, [B, L, D], from noisy and clean tokens [B, L]."""
    length, size = noisy.shape[1], network.config.block_size
    x: Tensor = network.vocab_embed(torch.cat([noisy, clean], dim=1))
    condition = network.condition(None)
    rotary = network.rotary_emb(masks.positions(length, noisy.device))
    last = len(network.blocks) - 1
    for number, block in enumerate(cast("Iterable[Block]", network.blocks)):
        x = _layer(block, x, rotary, condition, size, only_noisy=number == last)
    return x


def _layer(
    block: Block,
    x: Tensor,
    rotary: tuple[Tensor, Tensor],
    condition: Tensor | None,
    size: int,
    *,
    only_noisy: bool,
) -> Tensor:
    """One transformer block, x [B, 2L, D]. Returns [B, L, D], the noisy half, with `only_noisy`."""
    if block.adaLN_modulation is None:
        modulation = [x.new_zeros(1), x.new_zeros(1), x.new_ones(1)] * 2
    else:
        modulation = list(block.adaLN_modulation(condition).chunk(6, dim=-1))
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = modulation
    qkv = block.attn_qkv(block.norm1(x) * (1 + scale) + shift)
    qkv = qkv.unflatten(-1, (3, block.heads, -1)).transpose(1, 3)  # [B, H, 3, 2L, d]
    queries, keys = rotate(qkv[:, :, :2], *rotary).to(qkv.dtype).unbind(2)
    heads = _attention(queries, keys, qkv[:, :, 2], size, only_noisy=only_noisy)
    attended = block.attn_out(heads.transpose(1, 2).flatten(2))
    x = x[:, : attended.shape[1]]
    x = x + gate * F.dropout(attended, block.dropout, block.training)
    h: Tensor = block.mlp(block.norm2(x) * (1 + scale_mlp) + shift_mlp)
    return x + gate_mlp * F.dropout(h, block.dropout, block.training)


def _attention(queries: Tensor, keys: Tensor, values: Tensor, size: int, *, only_noisy: bool) -> Tensor:
    """Attention under the training mask, all [B, H, 2L, d]; [B, H, L, d] with `only_noisy`."""
    length = queries.shape[2] // 2
    if queries.device.type == "cuda":
        out: Tensor = flex("cuda")(queries, keys, values, block_mask=masks.flex(length, size, queries.device))
        return out[:, :, :length] if only_noisy else out
    noisy, clean = [], []
    for start, stop in slices(length, size):
        own, past = slice(start, stop), slice(length, length + stop)
        mask = _slice_mask(start, stop, size, queries.device)
        near = torch.cat([keys[:, :, own], keys[:, :, past]], dim=2)
        near_values = torch.cat([values[:, :, own], values[:, :, past]], dim=2)
        noisy.append(F.scaled_dot_product_attention(queries[:, :, own], near, near_values, attn_mask=mask))
        if not only_noisy:
            here = queries[:, :, length + start : length + stop]
            rows = masks.clean(stop, size, queries.device)[start:]
            clean.append(F.scaled_dot_product_attention(here, keys[:, :, past], values[:, :, past], attn_mask=rows))
    return torch.cat(noisy + clean, dim=2)


def slices(length: int, size: int) -> list[tuple[int, int]]:
    """The row in pieces of whole blocks, of about SLICE tokens each."""
    step = max(SLICE // size, 1) * size
    return [(start, min(start + step, length)) for start in range(0, length, step)]


@lru_cache(maxsize=64)
def _slice_mask(start: int, stop: int, size: int, device: torch.device) -> Tensor:
    """What noisy tokens start … stop read: each other, then the clean tokens 0 … stop. Boolean [n, n + stop]."""
    block = torch.arange(stop, device=device) // size
    own = block[start:, None]
    return torch.cat([own == block[None, start:], own > block[None]], dim=1)
