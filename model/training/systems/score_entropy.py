"""The SEDD baseline for absorbing noise: score entropy, and a network that is told the noise level.

Lou et al. 2024. Knows nothing of optimisers, data or files.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model import noise
from model.backbones.dit import DiT, DiTConfig
from model.noise import EPS, ClippedInterval
from model.training import objectives
from model.training.objectives import TokenLoss, all_but_first
from model.training.systems.base import Noised

RANGE = ClippedInterval(EPS, 1 - EPS)
"""At t = 1 a score is worth nothing: its ratio to the mask's is 0."""


class ScoreEntropy:
    """One noise level per row, stratified over the rows."""

    exact = False
    clipped = False

    def __init__(self, config: DiTConfig) -> None:
        self.config = config

    def noise(self, rows: Tensor, interval: ClippedInterval, generator: torch.Generator) -> Noised:
        """Levels come from the whole range, whatever the interval; the first token of a row is never masked."""
        return self._noised(rows, all_but_first(rows), generator)

    def loss(self, network: DiT, batch: Noised) -> TokenLoss:
        """The network is told σ = −ln(1 − t) of each row."""
        sigma = noise.sigma(batch.level[:, 0])
        positions = torch.arange(batch.noisy.shape[1], device=batch.noisy.device)
        logits = network(batch.noisy, positions, sigma=sigma)
        return objectives.score_entropy(logits, batch.clean, batch.noisy, batch.level, self.config.mask)

    def bound(self, network: DiT, rows: Tensor, counted: Tensor, generator: torch.Generator) -> TokenLoss:
        """The score-entropy bound, but for levels below 0.001 and above 0.999."""
        loss = self.loss(network, self._noised(rows, counted, generator))
        return TokenLoss(loss.nll, counted)

    def _noised(self, rows: Tensor, may: Tensor, generator: torch.Generator) -> Noised:
        batch, length = rows.shape
        strata = noise.stratified(torch.rand(batch, 1, generator=generator, dtype=torch.float64))
        level = RANGE.levels(strata[torch.randperm(batch, generator=generator)]).float().expand(batch, length)
        uniforms = torch.rand(batch, length, generator=generator)
        level, uniforms = level.to(rows.device), uniforms.to(rows.device)
        noisy = torch.where((uniforms < level) & may, self.config.mask, rows)
        return Noised(rows, noisy, level, 1 / (1 - level))
