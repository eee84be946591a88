"""The protocol behind which every system of the paper stands, so that one training loop and one evaluation serve all.

The way of a batch is `noise → loss`: noise is drawn for all rows of a step at once, on the CPU, from one generator,
then each process takes its rows and computes their loss. Knows nothing of optimisers, data or files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model.backbones.dit import DiT, DiTConfig
from model.noise import ClippedInterval
from model.training.objectives import TokenLoss


@dataclass(frozen=True, slots=True)
class Noised:
    """Rows and their noise: all a loss needs besides the network.

    clean   [B, L] token ids.
    noisy   [B, L] token ids, the mask where a token is hidden; the clean ones where a system knows no noise.
    level   [B, L] float32, the mask chance of every token.
    weight  [B, L] float32, the weight of −log p at masked tokens.
    """

    clean: Tensor
    noisy: Tensor
    level: Tensor
    weight: Tensor

    def rows(self, chosen: slice) -> Noised:
        """Some of the rows."""
        return Noised(self.clean[chosen], self.noisy[chosen], self.level[chosen], self.weight[chosen])

    def to(self, device: torch.device) -> Noised:
        """The same on a device."""
        move = (tensor.to(device, non_blocking=True) for tensor in (self.clean, self.noisy, self.level, self.weight))
        return Noised(*move)


class System(Protocol):
    """One way to train the network on rows of tokens, and to bound their likelihood.

    exact    whether `bound` is the likelihood itself.
    clipped  whether the noise levels come from an interval that may be searched for.
    """

    config: DiTConfig
    exact: bool
    clipped: bool

    def noise(self, rows: Tensor, interval: ClippedInterval, generator: torch.Generator) -> Noised:
        """Noise for training, rows [B, L]."""

    def loss(self, network: DiT, batch: Noised) -> TokenLoss:
        """What training makes small; the network may be in any precision, the loss is in float32."""

    def bound(self, network: DiT, rows: Tensor, counted: Tensor, generator: torch.Generator) -> TokenLoss:
        """One draw of a bound on −log p of the counted tokens [B, L] given the other ones, which stay clean.

        Only sums over whole rows mean something; their expectation is the bound.
        """
