"""Weights that lie on levels: as they were published, or the nearest ones.

A weight [out, in] on levels is lowest + step · level, with one lowest and one step for each GROUP of a row: GGUF's Q4_1
(levels 0 … 15) and Q8_0 (−127 … 127, here 1 … 255 with lowest = −128 · step). Knows nothing of products.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

GROUP, TILE = 32, 16
"""Inputs that share a scale; rows that products take together."""

OFF_LEVEL = {4: 0.02, 8: 0.15}
"""Of a step: what rounding to 16 bits moves weights from their levels. Weights that are on none are half a step off."""


@dataclass(frozen=True, slots=True)
class Levels:
    """levels [out, in], whole numbers from 0 on (uint8); lowest, step [out, in / GROUP] (float32)."""

    bits: int
    levels: Tensor
    lowest: Tensor
    step: Tensor


def on_levels(weight: Tensor, bits: int) -> Levels | None:
    """A weight that lies on levels of 4 or 8 bits, from the lowest to the top; None where it does not."""
    if not fits_tiles(weight):
        return None
    for some in (weight[:TILE], weight):  # most weights show in their first rows that they do not
        found = nearest_levels(some, bits)
        groups, step = _grouped(some), found.step[..., None]
        there = found.lowest[..., None] + step * _grouped(found.levels)
        if bool(((there - groups).abs() > OFF_LEVEL[bits] * step).any()):
            return None
    return found


def nearest_levels(weight: Tensor, bits: int) -> Levels:
    """The nearest of 16 levels between the lowest and the highest number of each group, or of 255 around 0."""
    groups = _grouped(weight)
    if bits == 4:
        lowest = groups.amin(-1)
        step = (groups.amax(-1) - lowest) / 15
    else:
        step = groups.abs().amax(-1) / 127
        lowest = -128 * step
    levels = ((groups - lowest[..., None]) / step.clamp(min=1e-30)[..., None]).round().clamp(0, 2**bits - 1)
    return Levels(bits, levels.to(torch.uint8).view(weight.shape), lowest, step)


def fits_tiles(weight: Tensor) -> bool:
    """Whether there are whole groups and tiles."""
    return weight.shape[0] % TILE == 0 and weight.shape[1] % GROUP == 0


def _grouped(weight: Tensor) -> Tensor:
    return weight.float().view(weight.shape[0], -1, GROUP)
