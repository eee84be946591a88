"""What attention under the training mask costs: a dense mask against FlexAttention, which skips what is hidden.

The attention of one layer over x_t ⊕ x_0, on random numbers, without projections. With the gradient on a GPU; elsewhere
FlexAttention has none, is not compiled, and skips nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.backbones import masks
from model.backbones.dit import DiTConfig, flex

UNTIMED = 2
"""Rounds before the first timed one: compiling, plans for the shapes."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds for rows of so many tokens, the least of the rounds."""

    length: int
    dense: float
    flex: float


def measure(
    config: DiTConfig, length: int, *, rows: int, rounds: int, device: torch.device, dtype: torch.dtype = torch.bfloat16
) -> Speed:
    """Both in turns, so that what else the machine does falls on either. Heads and blocks are those of `config`."""
    width, gradient = config.hidden_dim // config.n_heads, device.type == "cuda"
    draws = torch.Generator().manual_seed(length)
    shape = (3, rows, config.n_heads, 2 * length, width)
    made = torch.randn(shape, generator=draws).to(device, dtype)
    queries, keys, values = (one.clone().requires_grad_(gradient) for one in made)
    dense, blocks = masks.dense(length, config.block_size, device), masks.flex(length, config.block_size, device)
    ways: dict[str, Callable[[], Tensor]] = {
        "dense": lambda: F.scaled_dot_product_attention(queries, keys, values, attn_mask=dense),
        "flex": lambda: flex(device.type)(queries, keys, values, block_mask=blocks),
    }
    best = dict.fromkeys(ways, float("inf"))
    for turn in range(-UNTIMED, rounds):
        for name, way in ways.items():
            seconds = _seconds(way, device)
            if turn >= 0:
                best[name] = min(best[name], seconds)
    return Speed(length, **best)


def _seconds(way: Callable[[], Tensor], device: torch.device) -> float:
    _wait(device)
    began = time.perf_counter()
    out = way()
    if out.requires_grad:
        out.float().sum().backward()  # type: ignore[no-untyped-call]
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    """A GPU answers before it has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
