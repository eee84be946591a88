"""The transformer of BD3-LM, MDLM, SEDD and the autoregressive baseline, under the published parameter names.

One forward for all of them: tokens, their positions, and a mask that says what attends to what. Which positions hold
noise, what a block is and what the logits mean is the business of masks.py, noise.py and the objectives.

Source: Arriola et al. 2025 and the published code `kuleshov-group/bd3lms`; adaptive layer norm after DiT (Peebles & Xie
2023). Knows nothing of text, sampling, caches or files.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from model.backbones.dit_config import DiTConfig as DiTConfig  # this file's names for them, too
from model.backbones.dit_config import WrongConfig as WrongConfig

MLP_RATIO = 4
FREQUENCIES = 128
"""Of the noise level's embedding: as many cosines and as many sines."""
ROTARY_BASE = 10_000.0
EPS = 1e-5
"""Of every layer norm."""


class DiT(nn.Module):
    """The network. Parameters carry the published names, without the prefix `backbone.`."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        self.vocab_embed = Embedding(config.vocab_size, config.hidden_dim)
        self.sigma_map = SigmaMap(config.cond_dim) if config.adaln else None
        self.rotary_emb = Rotary(config.head_dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_blocks))
        self.output_layer = OutputLayer(config)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        mask: Tensor | BlockMask | None = None,
        sigma: Tensor | None = None,
    ) -> Tensor:
        """Logits [B, n, V] as the network gives them, before any parameterisation.

        tokens [B, n]; positions [n]; mask [n, n] boolean (true: the row may attend to the column) or a BlockMask; None
        is full attention, or causal where the network is. sigma [B] or [B, n], the total noise −ln(1 − mask chance), is
        read with time conditioning only; without it the network sees σ = 0.
        """
        x = self.vocab_embed(tokens)
        condition = self.condition(sigma)
        rotary = self.rotary_emb(positions)
        for block in self.blocks:
            x = block(x, rotary, mask, condition)
        logits: Tensor = self.output_layer(x, condition)
        return logits

    def condition(self, sigma: Tensor | None) -> Tensor | None:
        """c = SiLU(sigma_map(σ)), which modulates the layer norms: [B, n or 1, C], or [1, 1, C] where it is constant.

        Raises ValueError where the network is conditioned on σ and none is given.
        """
        if self.sigma_map is None:
            return None
        if not self.config.time_conditioning:
            sigma = self.rotary_emb.inv_freq.new_zeros(1)
        elif sigma is None:
            raise ValueError("This network is conditioned on the noise level; pass sigma.")
        condition = F.silu(self.sigma_map(sigma))
        return condition if condition.ndim == 3 else condition[:, None]


class Block(nn.Module):
    """Attention and MLP, each behind a modulated layer norm and added through a gate."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        width = config.hidden_dim
        self.heads, self.causal, self.dropout = config.n_heads, config.causal, config.dropout
        self.norm1 = LayerNorm(width)
        self.attn_qkv = nn.Linear(width, 3 * width, bias=False)
        self.attn_out = nn.Linear(width, width, bias=False)
        self.norm2 = LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width), nn.GELU(approximate="tanh"), nn.Linear(MLP_RATIO * width, width)
        )
        self.adaLN_modulation = zero_linear(config.cond_dim, 6 * width) if config.adaln else None

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | BlockMask | None, condition: Tensor | None
    ) -> Tensor:
        """x [B, n, D] → [B, n, D]."""
        h = self.norm1(x)
        if self.adaLN_modulation is None:
            x = x + self._drop(self._attention(h, rotary, mask))
            return x + self._drop(self.mlp(self.norm2(x)))
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = self.adaLN_modulation(condition).chunk(6, dim=-1)
        x = x + gate * self._drop(self._attention(h * (1 + scale) + shift, rotary, mask))
        h = self.norm2(x) * (1 + scale_mlp) + shift_mlp
        x = x + gate_mlp * self._drop(self.mlp(h))
        return x

    def _attention(self, h: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | BlockMask | None) -> Tensor:
        qkv = self.attn_qkv(h).unflatten(-1, (3, self.heads, -1)).transpose(1, 3)  # [B, H, 3, n, d]
        queries, keys = rotate(qkv[:, :, :2], *rotary).to(qkv.dtype).unbind(2)
        values = qkv[:, :, 2]
        if isinstance(mask, BlockMask):
            out = flex(queries.device.type)(queries, keys, values, block_mask=mask)
        else:
            causal = self.causal and mask is None
            out = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, is_causal=causal)
        attended: Tensor = self.attn_out(out.transpose(1, 2).flatten(2))
        return attended

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class OutputLayer(nn.Module):
    """A modulated layer norm and the unembedding, which is not tied to the embedding."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.norm_final = LayerNorm(config.hidden_dim)
        self.linear = zero_linear(config.hidden_dim, config.vocab_size)
        self.adaLN_modulation = zero_linear(config.cond_dim, 2 * config.hidden_dim) if config.adaln else None

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """x [B, n, D] → logits [B, n, V]."""
        h = self.norm_final(x)
        if self.adaLN_modulation is not None:
            shift, scale = self.adaLN_modulation(condition).chunk(2, dim=-1)
            h = h * (1 + scale) + shift
        logits: Tensor = self.linear(h)
        return logits


class Embedding(nn.Module):
    """Token embedding, unscaled."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(vocabulary, width))
        nn.init.kaiming_uniform_(self.embedding, a=math.sqrt(5))

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, n] → [B, n, D]."""
        return F.embedding(tokens, self.embedding)


class LayerNorm(nn.Module):
    """In float32, with a weight and no bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] → [..., D]."""
        return F.layer_norm(x.float(), [len(self.weight)], self.weight.float(), None, EPS)


class SigmaMap(nn.Module):
    """Embeds a noise level by cosines and sines of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, sigma: Tensor) -> Tensor:
        """[...] → [..., C]."""
        step = torch.arange(FREQUENCIES, dtype=torch.float32, device=sigma.device)
        angle = sigma.float().unsqueeze(-1) * torch.exp(-math.log(ROTARY_BASE) * step / FREQUENCIES)
        embedded: Tensor = self.mlp(torch.cat([angle.cos(), angle.sin()], dim=-1))
        return embedded


class Rotary(nn.Module):
    """Rotary position embedding (Su et al. 2021), half-split."""

    inv_freq: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", 1.0 / ROTARY_BASE ** (torch.arange(0, width, 2).float() / width))

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin [n, d/2] of positions [n], in float32 as published."""
        angle = torch.outer(positions.to(self.inv_freq), self.inv_freq)
        return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns queries or keys [..., n, d] by the angles of their positions, cos and sin [n, d/2]; in float32."""
    left, right = x.float().chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that begins at zero, so that a new network is the identity up to a uniform output."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


@cache
def flex(device: str) -> Any:
    """FlexAttention, compiled where that pays: on a GPU. Elsewhere it runs as it is, all scores in memory."""
    return torch.compile(flex_attention, dynamic=False) if device == "cuda" else flex_attention


def weight_shapes(config: DiTConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the network, without building it."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in DiT(config).state_dict().items()}
