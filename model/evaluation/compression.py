"""What a compressed cache costs in nats and saves in memory: the same text, with the same noise, through both caches.

A row is read as a sampler reads it, block by block: a block is denoised after the cached blocks before it, then its
clean tokens are committed. So rounding, which happens in the cache alone, has its full effect, and the differences are
paired. Knows nothing of text and files.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.backbones.compressed_cache import CompressedDenoiser
from model.backbones.dit import DiT
from model.backbones.dit_denoiser import DiTDenoiser, WindowCache
from model.training.likelihood import Likelihood, seeded
from model.training.objectives import all_but_first, masked_nll


@dataclass(frozen=True, slots=True)
class Compression:
    """What a text costs with the plain cache, and by how much more with the compressed one, in nats per token.

    error   standard error of `more`, rows being the independent parts.
    plain, compressed   bytes of keys and values after a row, per row.
    """

    nats: float
    more: float
    error: float
    plain: int
    compressed: int


@torch.inference_mode()
def measure(network: DiT, rows: Tensor, *, batch: int = 8, seed: int = 1) -> Compression:
    """Rows [R, L] of clean tokens, of which the first is given; the network is a BD3-LM's, with blocks."""
    nats: list[list[Tensor]] = [[], []]
    sizes = [0, 0]
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        for way, denoiser in enumerate((DiTDenoiser(network, end=0), CompressedDenoiser(network, end=0))):
            cost, cache = cached_bound(denoiser, some, seeded(seed, start))
            nats[way].append(cost.double().sum(1))
            sizes[way] = cache.nbytes // len(some)
    plain, compressed = (torch.cat(parts) for parts in nats)
    tokens = all_but_first(rows).sum(1).double()
    off = Likelihood(compressed - plain, tokens)
    return Compression(Likelihood(plain, tokens).mean, off.mean, off.error, *sizes)


def cached_bound(denoiser: DiTDenoiser, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, WindowCache]:
    """A draw of the NELBO of rows [B, L] through a cache, nats [B, L], and the cache, which has read all of them.

    As `BlockDiffusion.bound` draws it: k of a block's n tokens are masked, k uniform, and weigh n / k.
    """
    cache = denoiser.new_cache(len(rows))
    parts = []
    for start in range(0, rows.shape[1], denoiser.config.block_size):
        clean = rows[:, start : start + denoiser.config.block_size]
        counted = torch.ones_like(clean, dtype=torch.bool)
        counted[:, 0] = start > 0
        n = counted.sum(1, keepdim=True)
        k = (torch.rand(n.shape, generator=generator, dtype=torch.float64) * n).long() + 1
        order = torch.rand(clean.shape, generator=generator).masked_fill(~counted, 2.0)
        masked = (order.argsort(1).argsort(1) < k) & counted
        noisy = torch.where(masked, denoiser.facts.mask, clean)
        nll = masked_nll(denoiser.logits(denoiser.denoise(noisy, cache)), clean, denoiser.facts.mask)
        parts.append(torch.where(masked, nll * (n / k), 0.0))
        denoiser.commit(clean, cache, last_only=True)
    return torch.cat(parts, dim=1), cache
