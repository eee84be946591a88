"""SSD-LM: Gaussian diffusion on vocabulary simplices, a block after the block before, and cross-entropy.

Han et al. 2023. A block reads the one before it and no further, as the comparison of Arriola et al. 2025 has it; in the
published code a context of random length stands there, one block per row. So all blocks of a row are read at once, each
as a short text of its own: as much work as x_t ⊕ x_0. Knows nothing of optimisers, data or files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from model import simplex
from model.backbones.dit import DiT, DiTConfig
from model.noise import ClippedInterval, stratified
from model.training.objectives import TokenLoss, all_but_first, masked_nll, weighted
from model.training.systems.base import Noised

LOWEST, HIGHEST, SPREAD = -10.0, 3.0, 0.7
"""Log of signal over noise at the ends of the bound's integral: next to nothing is known there, and next to all. Draws
follow a logistic law of that spread, since the integrand is a peak where tokens begin to show, at r = ½ ln V."""


@dataclass(frozen=True, slots=True)
class Seeded(Noised):
    """The noise of a step would be V numbers per token: a row has the seed of its own noise instead, [B]."""

    seeds: Tensor

    def rows(self, chosen: slice) -> Seeded:
        """Some of the rows."""
        return Seeded(
            self.clean[chosen], self.noisy[chosen], self.level[chosen], self.weight[chosen], self.seeds[chosen]
        )

    def to(self, device: torch.device) -> Seeded:
        """The same on a device; seeds are read where they are."""
        clean, noisy, level, weight = (
            tensor.to(device, non_blocking=True) for tensor in (self.clean, self.noisy, self.level, self.weight)
        )
        return Seeded(clean, noisy, level, weight, self.seeds)


class SimplexDiffusion:
    """Blocks of `config.block_size` tokens."""

    exact = False
    clipped = False

    def __init__(self, config: DiTConfig) -> None:
        self.config = config

    def noise(self, rows: Tensor, interval: ClippedInterval, generator: torch.Generator) -> Seeded:
        """One level per block over the whole range, whatever the interval; the first token of a row is given."""
        return self._noised(rows, all_but_first(rows), self._strata(rows, generator), generator)

    def loss(self, network: DiT, batch: Noised) -> TokenLoss:
        """−log p of every noisy token, all levels alike; not a bound."""
        nll = masked_nll(self._logits(network, batch), batch.clean, self.config.mask)
        return weighted(nll, batch.noisy == self.config.mask, batch.weight)

    def bound(self, network: DiT, rows: Tensor, counted: Tensor, generator: torch.Generator) -> TokenLoss:
        """The variational bound, which training does not make small and neither paper reports.

        In continuous time, with r the ratio of signal to noise (Kingma et al. 2021, equation 14; points differ by 2 K
        and noise has the deviation K): ∫ 2 r ‖onehot(x) − p‖² d log r between LOWEST and HIGHEST, −log p(x) at the
        highest ratio, and 2 r at the lowest one, where the noisy text is drawn from noise alone.
        """
        log_ratio, density = _peaked(self._strata(rows, generator), math.log(math.log(self.config.mask) / 2))
        within = self._noised(rows, counted, simplex.level_of(log_ratio), generator)
        chances = self._logits(network, within).float()[..., : self.config.mask].softmax(-1)
        right = chances.gather(-1, rows.unsqueeze(-1)).squeeze(-1)
        distance = 1 - 2 * right + chances.square().sum(-1)
        weight = 2 * log_ratio.exp() / density
        weight = weight.float().repeat_interleave(self.config.block_size, dim=1).to(rows.device)
        end = self._noised(rows, counted, simplex.level_of(torch.full_like(log_ratio, HIGHEST)), generator)
        last = masked_nll(self._logits(network, end), rows, self.config.mask)
        nats = weight * distance + last + 2 * math.exp(LOWEST)
        return TokenLoss(torch.where(counted, nats, 0.0), counted)

    def _strata(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Uniforms [B, L / L'], stratified over all blocks and dealt to them at random."""
        shape = (rows.shape[0], rows.shape[1] // self.config.block_size)
        uniforms = stratified(torch.rand(shape, generator=generator, dtype=torch.float64)).flatten()
        return uniforms[torch.randperm(len(uniforms), generator=generator)].view(shape)

    def _noised(self, rows: Tensor, noisy: Tensor, level: Tensor, generator: torch.Generator) -> Seeded:
        """level [B, L / L'], of blocks; noisy [B, L] says which tokens have noise."""
        spread = level.float().repeat_interleave(self.config.block_size, dim=1).to(rows.device)
        seeds = torch.randint(0, 1 << 32, (len(rows),), generator=generator)  # torch reads 32 bits of a seed
        return Seeded(rows, torch.where(noisy, self.config.mask, rows), spread, torch.ones_like(spread), seeds)

    def _logits(self, network: DiT, batch: Noised) -> Tensor:
        """[B, L, V]: every block read after the clean block before it."""
        assert isinstance(batch, Seeded)
        size, (rows, length) = self.config.block_size, batch.clean.shape
        begin = batch.clean.new_full((rows, size), self.config.mask)
        before = torch.cat([begin, batch.clean[:, :-size]], dim=1)
        noise = torch.stack([self._normals(seed, length, batch.clean.device) for seed in batch.seeds.tolist()])
        points = simplex.diffuse(simplex.corners(batch.clean, self.config.mask), batch.level, noise)
        logits = simplex.read(
            network,
            before.view(-1, size),
            batch.noisy.reshape(-1, size),
            points.view(-1, size, self.config.mask),
            batch.level[:, ::size].flatten(),
        )
        return logits.view(rows, length, -1)

    def _normals(self, seed: int, length: int, device: torch.device) -> Tensor:
        """[L, V − 1]."""
        stream = torch.Generator(device).manual_seed(seed)
        return torch.randn(length, self.config.mask, generator=stream, device=device)


def _peaked(uniforms: Tensor, centre: float) -> tuple[Tensor, Tensor]:
    """Draws between LOWEST and HIGHEST around a centre, and the density of each, from uniforms of any shape."""
    low, high = (1 / (1 + math.exp((centre - end) / SPREAD)) for end in (LOWEST, HIGHEST))
    below = low + uniforms * (high - low)
    return centre + SPREAD * torch.logit(below), below * (1 - below) / (SPREAD * (high - low))
