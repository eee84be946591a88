"""The autoregressive baseline: a causal network and next-token cross-entropy. It knows no noise.

Knows nothing of optimisers, data or files.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.backbones.dit import DiT, DiTConfig
from model.noise import ClippedInterval
from model.training.objectives import TokenLoss, autoregressive
from model.training.systems.base import Noised


class Autoregressive:
    """The network of `config`, which is causal."""

    exact = True
    clipped = False

    def __init__(self, config: DiTConfig) -> None:
        self.config = config

    def noise(self, rows: Tensor, interval: ClippedInterval, generator: torch.Generator) -> Noised:
        """None: the rows as they are."""
        ones = torch.ones(rows.shape)
        return Noised(rows, rows, ones, ones)

    def loss(self, network: DiT, batch: Noised) -> TokenLoss:
        """−log p of every token after the first."""
        rows = batch.clean
        positions = torch.arange(rows.shape[1] - 1, device=rows.device)
        return autoregressive(network(rows[:, :-1], positions), rows, self.config.mask)

    def bound(self, network: DiT, rows: Tensor, counted: Tensor, generator: torch.Generator) -> TokenLoss:
        """The exact likelihood; nothing is drawn."""
        ones = torch.ones_like(rows, dtype=torch.float32)
        return TokenLoss(self.loss(network, Noised(rows, rows, ones, ones)).nll, counted)
