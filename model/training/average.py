"""The exponential moving average of the weights: what is validated, kept and published.

Knows nothing of files or losses.
"""

from __future__ import annotations

from copy import deepcopy

import torch

from model.backbones.dit import DiT


class Average:
    """A second network that follows the first; its weights are the average.

    After n updates the old average keeps the share min(decay, (1 + n) / (10 + n)), so that a young average is not held
    back by the weights it began with.
    """

    def __init__(self, network: DiT, decay: float) -> None:
        self.network = deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: DiT) -> None:
        """Follows the network by one step."""
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - keep)
