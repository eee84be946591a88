"""The layers of a Llama over a cache, written so that TorchScript can read them: plain tensors, lists and numbers.

Knows nothing of weights' names, adapters and masks. B texts, n tokens, D width; d width of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.attention import attend, keep
from model.linear import Linear

Product = Callable[[Tensor], Tensor]
"""x [..., in] → [..., out]."""


@dataclass(frozen=True, slots=True)
class LayerShape:
    """Heads of queries, heads of keys and of values, numbers of a head; what a norm adds to the mean square."""

    heads: int
    kv_heads: int
    head_dim: int
    eps: float


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """Weights of a layer as they are published, but fused: qkv gives queries, keys and values side by side, gate_up
    gate and up. qkv_bias is added to the former, and qk_norm [heads + kv_heads, d] norms queries and keys."""

    before_attention: Tensor
    before_mlp: Tensor
    qkv: Tensor
    out: Tensor
    gate_up: Tensor
    down: Tensor
    qkv_bias: Tensor | None = None
    qk_norm: Tensor | None = None


@dataclass(frozen=True, slots=True)
class LayerPairs:
    """What an adapter adds to the weights of a layer, apart: A [r, in] and B [out, r] of B·A, the scale in B."""

    qkv: tuple[Tensor, Tensor]
    out: tuple[Tensor, Tensor]
    gate_up: tuple[Tensor, Tensor]
    down: tuple[Tensor, Tensor]


class RmsNorm(nn.Module):
    """x / √(mean x² + eps) · weight over the last axis, in few operations: x / hypot(‖x‖, √(eps·D)) · (√D·weight).

    On a CPU torch's own rms_norm is a chain of eight and takes twice as long.
    """

    def __init__(self, weight: Tensor, eps: float) -> None:
        super().__init__()
        width = weight.shape[-1]
        self.weight = weight.float() * width**0.5
        self.floor = torch.tensor((eps * width) ** 0.5, device=weight.device)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., D] → the same shape and dtype."""
        length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scaled: Tensor = x / torch.hypot(length, self.floor) * self.weight
        return scaled.to(x.dtype)


class Layer(nn.Module):
    """Attention and MLP, of what `LayerWeights` says."""

    def __init__(
        self,
        *,
        before_attention: RmsNorm,
        before_mlp: RmsNorm,
        qkv: Linear,
        out: Linear,
        gate_up: Linear,
        down: Linear,
        shape: LayerShape,
        qkv_bias: Tensor | None = None,
        qk_norm: RmsNorm | None = None,
    ) -> None:
        super().__init__()
        self.before_attention, self.before_mlp = before_attention, before_mlp
        self.qkv, self.out, self.gate_up, self.down = qkv, out, gate_up, down
        self.heads, self.kv_heads, self.head_dim = shape.heads, shape.kv_heads, shape.head_dim
        self.qkv_bias, self.qk_norm = qkv_bias, qk_norm

    def forward(self, x: Tensor, turns: Tensor, bias: Tensor, store: Tensor, at: int) -> Tensor:
        """x [B, n, D]; turns [n, heads + 2·kv_heads, d/2], complex; keys and values go to columns at … at+n of the
        store [2, B, kv_heads, capacity, d]."""
        batch, n, d = x.shape[0], x.shape[1], self.head_dim
        qkv = self.qkv(self.before_attention(x)).float()
        if self.qkv_bias is not None:
            qkv = qkv + self.qkv_bias
        if self.qk_norm is not None:
            queries_keys, values = qkv.split((self.heads + self.kv_heads) * d, dim=-1)
            normed = self.qk_norm(queries_keys.reshape(batch, n, -1, d)).view(batch, n, -1)
            qkv = torch.cat([normed, values], dim=-1)
        qkv = qkv.view(batch, n, -1, d // 2, 2)
        rotated = torch.view_as_real(torch.view_as_complex(qkv) * turns).view(batch, n, -1, d)
        keep(store, at, rotated[:, :, self.heads :].view(batch, n, 2, self.kv_heads, d))
        x = x + self.out(attend(rotated[:, :, : self.heads], store[0], store[1], bias))
        gate, up = self.gate_up(self.before_mlp(x)).chunk(2, dim=-1)
        y: Tensor = x + self.down(F.silu(gate) * up)
        return y


class Layers(nn.Module):
    """One layer after the other, and the norm after the last."""

    def __init__(self, layers: Sequence[Layer], after: RmsNorm) -> None:
        super().__init__()
        self.layers, self.after = nn.ModuleList(layers), after

    def forward(self, x: Tensor, turns: Tensor, bias: Tensor, stores: list[Tensor], at: int) -> Tensor:
        """x [B, n, D], and what a layer takes; stores: of each layer."""
        for number, layer in enumerate(self.layers):
            x = layer(x, turns, bias, stores[number], at)
        y: Tensor = self.after(x)
        return y


class Correction(nn.Module):
    """The sampler head: h + W2·SiLU(W1·[h ; rmsnorm(e)] + b1) + b2."""

    def __init__(self, w1: Product, b1: Tensor, w2: Product, b2: Tensor, eps: float) -> None:
        super().__init__()
        self.w1, self.b1, self.w2, self.b2, self.eps = w1, b1, w2, b2, eps

    def forward(self, features: Tensor, left: Tensor) -> Tensor:
        """features [B, D] of a slot, embedding [B, D] of the token to its left → features [B, D]."""
        known = F.rms_norm(left, [left.shape[-1]], None, self.eps)
        inner = F.silu(self.w1(torch.cat([features, known], dim=-1)) + self.b1)
        y: Tensor = features + self.w2(inner) + self.b2
        return y
