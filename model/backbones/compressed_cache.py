"""A window of committed text whose keys and values take a byte each: for texts and batches that would not fit.

Past the paper. Every key and every value of a head is stored as 8-bit integers and one scale, the largest of its
numbers being 127. What is being read or denoised is seen as it is; only what was committed before is rounded. A layer
is spread out when a forward comes to it, so a forward has the full size of one layer beside the cache, not of all.

Knows nothing of text, unmasking rules or files.
"""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from model.backbones.dit_config import DiTConfig
from model.backbones.dit_denoiser import DiTDenoiser, WindowCache

MOST = 127


class CompressedCache(WindowCache):
    """layers [2, B, H, capacity, D] hold integers; scales [2, B, H, capacity, 1] what one of them is worth."""

    def __init__(self, config: DiTConfig, batch: int, *, exact: bool, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(config, batch, exact=exact, dtype=dtype, device=device)
        self.scales = [layer.new_zeros((*layer.shape[:-1], 1)) for layer in self.layers]
        self.layers = [torch.zeros_like(layer, dtype=torch.int8) for layer in self.layers]

    @property
    def nbytes(self) -> int:
        """Memory of keys, values and scales."""
        return super().nbytes + sum(scale.nbytes for scale in self.scales)

    def see(self, layer: int, keys: Tensor, values: Tensor, used: int) -> tuple[Tensor, Tensor]:
        """See WindowCache: the new ones among the columns are the given ones, the others come out rounded."""
        new = torch.stack([keys, values]).transpose(2, 3).to(self.dtype)  # [2, B, H, n, D]
        here = slice(self.column(self.size), self.column(self.size) + keys.shape[1])
        self.layers[layer][:, :, :, here], self.scales[layer][:, :, :, here] = rounded(new)
        spread = self.layers[layer][:, :, :, :used].to(self.dtype) * self.scales[layer][:, :, :, :used]
        spread[:, :, :, here] = new
        return spread[0], spread[1]

    def reserve(self, size: int, scratch: int = 0) -> None:
        """See BlockCache."""
        super().reserve(size, scratch)
        more = self.capacity - self.scales[0].shape[3] if self.scales else 0
        if more:
            self.scales = [F.pad(scale, (0, 0, 0, more)) for scale in self.scales]

    def rows(self, index: Tensor) -> Self:
        """See BlockCache."""
        copy = super().rows(index)
        copy.scales = [scale[:, index] for scale in self.scales]
        return copy

    def beginning(self, position: int) -> Self:
        """See BlockCache."""
        copy = super().beginning(position)
        copy.scales = [scale[:, :, :, : copy.capacity].clone() for scale in self.scales]
        return copy


def rounded(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Integers [..., D] of at most MOST, and what one is worth [..., 1], so that their product is about the numbers."""
    scale = numbers.abs().amax(-1, keepdim=True) / MOST
    return (numbers / scale.clamp(min=torch.finfo(numbers.dtype).tiny)).round().to(torch.int8), scale


class CompressedDenoiser(DiTDenoiser):
    """The same network, which reads what was committed from a CompressedCache."""

    def new_cache(self, batch: int) -> CompressedCache:
        """An empty window for `batch` texts."""
        dtype = torch.bfloat16 if self.packed else self.dtype
        return CompressedCache(self.config, batch, exact=self.exact, dtype=dtype, device=self.device)
