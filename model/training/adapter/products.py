"""Differentiable pieces of a network whose own weights are frozen, each with a backward of its own.

torch has packed products for frozen weights but no gradients for them, and its generic ones do work that nobody reads:
gradients of frozen weights, of clean keys, and copies for every slice. N rows, all in the dtype of the weights but for
the residual stream and what is trained, which are float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class _LowRank(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        low_a, low_b = a.to(weight.dtype), (scale * b).to(weight.dtype)
        h = x @ low_a.T
        ctx.save_for_backward(x, weight, low_a, low_b, h)
        ctx.scale = scale
        return (x @ weight.T).addmm_(h, low_b.T)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, Tensor | None, Tensor | None, None]:
        x, weight, low_a, low_b, h = ctx.saved_tensors
        to_h = grad @ low_b  # [N, r]
        to_x = (grad @ weight).addmm_(to_h, low_a) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[2]:
            return to_x, None, None, None, None
        return to_x, None, (to_h.T @ x).float(), ctx.scale * (grad.T @ h).float(), None


def low_rank(x: Tensor, weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """(W + scale·B·A)·x of rows x [N, in]; A [r, in] and B [out, r] in float32."""
    out: Tensor = _LowRank.apply(x, weight, a, b, scale)  # type: ignore[no-untyped-call]
    return out


class _Norm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        turn = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, weight, turn)
        return (x * turn).to(weight.dtype).mul_(weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x, weight, turn = ctx.saved_tensors
        inner = (grad * weight).float()
        along = (inner * x).mean(-1, keepdim=True)
        return (inner - x * (along * turn.square())).mul_(turn), None, None


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / √(mean x² + eps) · weight of rows x [N, D] in float32; the result has the dtype of the frozen weight."""
    out: Tensor = _Norm.apply(x, weight, eps)  # type: ignore[no-untyped-call]
    return out


class _Gated(Function):
    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, dim=-1)
        return torch.nn.functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        (gate, up), to_both = both.chunk(2, dim=-1), torch.empty_like(both)
        to_both[:, : gate.shape[1]] = torch.ops.aten.silu_backward(grad * up, gate)
        torch.mul(grad, torch.nn.functional.silu(gate), out=to_both[:, gate.shape[1] :])
        return to_both


def gated(both: Tensor) -> Tensor:
    """silu(gate) · up of rows [N, 2·inner] that hold gate and up side by side."""
    out: Tensor = _Gated.apply(both)  # type: ignore[no-untyped-call]
    return out


class _Turn(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return (grad * cos).add_((grad * sin).roll(grad.shape[-1] // 2, -1)), None, None


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x·cos + roll(x)·sin: rotary embedding of x [N, heads, d]; tables of the same shape, the sign in sin."""
    out: Tensor = _Turn.apply(x, cos, sin)  # type: ignore[no-untyped-call]
    return out


class Slice:
    """Rows that attend together: their number, the clean columns they read, and the bias that hides the rest.

    bias [1, G·n, columns + n]: rows are the n inputs for each of the G query heads that share a key head; columns are
    the clean ones and then the n inputs themselves.
    """

    __slots__ = ("bias", "columns", "rows")

    def __init__(self, rows: slice, columns: int, visible: Tensor, groups: int, dtype: torch.dtype) -> None:
        """visible: boolean [n, columns + n]."""
        self.rows, self.columns = rows, columns
        bias = torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, torch.finfo(dtype).min / 2)
        self.bias = bias.repeat(groups, 1)[None]


def fold(x: Tensor, heads: int) -> Tensor:
    """[n, heads·G, d] → [heads, G·n, d]: the query heads that share a key head become rows of one product."""
    n, every, d = x.shape
    return x.view(n, heads, every // heads, d).permute(1, 2, 0, 3).reshape(heads, -1, d)


def unfold(x: Tensor, n: int) -> Tensor:
    """[heads, G·n, d] → [n, heads·G·d], the inverse of `fold`."""
    heads, _, d = x.shape
    return x.view(heads, -1, n, d).permute(2, 0, 1, 3).reshape(n, -1)


def _own(x: Tensor) -> Tensor:
    """[n, heads, d] → [heads, n, d]."""
    return x.transpose(0, 1)


def read_slice(qkv: Tensor, keys: Tensor, values: Tensor, part: Slice, heads: int) -> tuple[Tensor, Tensor]:
    """What the rows of one slice read, [n, heads·G·d], and their shares [heads, G·n, columns + n].

    qkv [N, heads·G + 2·heads, d] of all rows, rotated and scaled; clean keys and values [heads, T, d].
    """
    mine = qkv[part.rows]
    n, queries = mine.shape[0], mine.shape[1] - 2 * heads
    all_keys = torch.cat([keys[:, : part.columns], _own(mine[:, queries : queries + heads])], dim=1)
    all_values = torch.cat([values[:, : part.columns], _own(mine[:, queries + heads :])], dim=1)
    scores = torch.baddbmm(part.bias, fold(mine[:, :queries], heads), all_keys.mT)
    shares = torch.softmax(scores, dim=-1)
    return unfold(shares @ all_values, n), shares


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, keys: Tensor, values: Tensor, slices: Sequence[Slice], heads: int) -> Tensor:
        ctx.slices, ctx.heads, ctx.shares = slices, heads, []
        ctx.save_for_backward(qkv, keys, values)
        out = qkv.new_empty(qkv.shape[0], (qkv.shape[1] - 2 * heads) * qkv.shape[2])
        for part in slices:
            out[part.rows], shares = read_slice(qkv, keys, values, part, heads)
            ctx.shares.append(shares)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        qkv, keys, values = ctx.saved_tensors
        heads, queries, d = ctx.heads, qkv.shape[1] - 2 * ctx.heads, qkv.shape[2]
        to_qkv = torch.empty_like(qkv)
        for part, shares in zip(ctx.slices, ctx.shares, strict=True):
            mine, to_mine, columns = qkv[part.rows], to_qkv[part.rows], part.columns
            n = mine.shape[0]
            all_keys = torch.cat([keys[:, :columns], _own(mine[:, queries : queries + heads])], dim=1)
            all_values = torch.cat([values[:, :columns], _own(mine[:, queries + heads :])], dim=1)
            out = fold(grad[part.rows].view(n, queries, d), heads)  # [heads, G·n, d]
            to_shares = out @ all_values.mT
            to_scores = torch._softmax_backward_data(to_shares, shares, -1, shares.dtype)
            to_mine[:, :queries] = unfold(to_scores @ all_keys, n).view(n, queries, d)
            own_scores = to_scores[..., columns:].mT.contiguous()
            to_mine[:, queries : queries + heads] = _own(own_scores @ fold(mine[:, :queries], heads))
            to_mine[:, queries + heads :] = _own(shares[..., columns:].mT.contiguous() @ out)
        return to_qkv, None, None, None, None


def attention(qkv: Tensor, keys: Tensor, values: Tensor, slices: Sequence[Slice], heads: int) -> Tensor:
    """What every row reads, [N, heads·G·d], slice by slice; the clean keys and values are frozen. See `read_slice`."""
    out: Tensor = _Attention.apply(qkv, keys, values, slices, heads)  # type: ignore[no-untyped-call]
    return out
