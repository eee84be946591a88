"""Weights as they are published in few bits: on levels."""

from __future__ import annotations

import torch
from torch import Tensor

from model.levels import GROUP


def in_four_bits(out: int = 48, into: int = 64, dtype: torch.dtype = torch.float32) -> Tensor:
    """A weight as GGUF's Q4_1 has it: of every 32 numbers each is one of 16, the lowest and the highest among them."""
    stream = torch.Generator().manual_seed(out)
    levels = torch.randint(0, 16, (out, into // 32, 32), generator=stream)
    levels[..., 3], levels[..., 17] = 0, 15
    step, zero = torch.rand(2, out, into // 32, 1, generator=stream).unbind()
    return ((levels - 15 * zero) * (step + 0.1)).view(out, into).to(dtype).float()


def in_eight_bits(out: int = 48, into: int = 64, dtype: torch.dtype = torch.float32) -> Tensor:
    """A weight as GGUF's Q8_0 has it: of every 32 numbers each is a whole number of steps, the largest 127 of them."""
    stream = torch.Generator().manual_seed(out + 1)
    levels = torch.randint(-127, 128, (out, into // 32, 32), generator=stream)
    levels[..., 5] = -127
    step = torch.rand(out, into // 32, 1, generator=stream) + 0.1
    return (levels * step).view(out, into).to(dtype).float()


def nearest_on_levels(weight: Tensor, bits: int) -> Tensor:
    """The nearest weight of which every 32 numbers of a row are evenly spread ones, as in the two above."""
    groups = weight.reshape(len(weight), -1, GROUP)
    if bits == 4:
        low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
        step = (high - low) / 15
        return (low + step * ((groups - low) / step.clamp(min=1e-30)).round()).view_as(weight)
    step = groups.abs().amax(-1, keepdim=True) / 127
    return (step * (groups / step.clamp(min=1e-30)).round()).view_as(weight)
