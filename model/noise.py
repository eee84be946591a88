"""Noise of masked diffusion: from a uniform draw to a level, a mask chance, a masked text, and back to log p(x_0).

A level t in [0, 1] is drawn for every block, a schedule turns it into the chance that a token is masked and into the
weight of the loss, and SUBS turns the network's output into log-probabilities of the clean tokens.

Arriola et al. 2025 (clipped schedules: section 5), Sahoo et al. 2024 (SUBS).
Knows nothing of networks, text and training.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-3
"""Lowest noise level, and what keeps the weights of the other schedules finite."""

ROUNDING = 1e-6
"""Bounds of an interval may have been stored in float32."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """From level t to mask chance 1 − α(t), and to the weight −α′(t) / (1 − α(t)) of −log p(x_0) at masked tokens."""

    chance: Callable[[Tensor], Tensor]
    weight: Callable[[Tensor], Tensor]


def _cosine_chance(t: Tensor) -> Tensor:
    return 1 - (1 - EPS) * torch.cos(t * math.pi / 2)


def _cosine_weight(t: Tensor) -> Tensor:
    return (1 - EPS) * torch.sin(t * math.pi / 2) * (math.pi / 2) / _cosine_chance(t)


def _power(exponent: float) -> Schedule:
    def chance(t: Tensor) -> Tensor:
        return t.pow(exponent).clamp(min=EPS)

    return Schedule(chance, lambda t: exponent * t.pow(exponent - 1) / chance(t))


SCHEDULES: dict[str, Schedule] = {
    "linear": Schedule(lambda t: t, lambda t: 1 / t),
    "cosine": Schedule(_cosine_chance, _cosine_weight),
    "square": _power(2.0),
    "square-root": _power(0.5),
    "log": Schedule(lambda t: torch.log1p(t) / math.log(2), lambda t: 1 / (torch.log1p(t) * (1 + t))),
}
"""The schedules of the published code; "linear", where the chance is t itself, is what it calls log-linear.

Its cosine has EPS in the weight's denominator once more, which would make the loss no bound; here it has not.
"""


def schedule(name: str) -> Schedule:
    """The schedule of that name. Raises ValueError."""
    if name not in SCHEDULES:
        raise ValueError(f"There is no noise schedule {name!r}; choose one of {', '.join(SCHEDULES)}.")
    return SCHEDULES[name]


def mass(name: str) -> float:
    """∫ weight(t) · chance(t) dt from EPS to 1: how much of all noise, 1, a schedule of that name covers.

    What it leaves out are the lowest mask chances: square-root begins at √EPS = 3%. Raises ValueError.
    """
    law = schedule(name)
    levels = torch.linspace(EPS, 1, 100_001, dtype=torch.float64)
    return float(torch.trapezoid(law.weight(levels) * law.chance(levels), levels))


@dataclass(frozen=True, slots=True)
class ClippedInterval:
    """Noise levels are drawn from U[low, high]: fewer extreme levels, less variance (paper, section 5.2)."""

    low: float = EPS
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.low <= self.high <= 1.0:
            raise ValueError(f"[{self.low}, {self.high}] is no interval of noise levels; choose 0 < low ≤ high ≤ 1.")

    def levels(self, uniforms: Tensor) -> Tensor:
        """Levels t of uniforms in [0, 1), of the same shape."""
        return uniforms * (self.high - self.low) + self.low

    @property
    def is_bound(self) -> bool:
        """Whether the loss over this interval is still a bound on the likelihood: only the whole range is."""
        return self.low <= EPS + ROUNDING and self.high >= 1 - ROUNDING


def stratified(uniforms: Tensor) -> Tensor:
    """Spreads uniforms [B, N] over [0, 1): the i-th of the B·N falls into the i-th of as many equal parts."""
    count = uniforms.numel()
    part = torch.arange(count, dtype=uniforms.dtype, device=uniforms.device).view_as(uniforms)
    return (uniforms + part) / count % 1


def sigma(chance: Tensor, eps: float = EPS) -> Tensor:
    """Total noise σ = −ln(1 − chance), at most −ln eps: what a network with time conditioning is told."""
    return (-torch.log1p(-chance)).clamp(max=-math.log(eps))


def mask_within(chance: Tensor, interval: ClippedInterval, count_uniforms: Tensor, order: Tensor) -> Tensor:
    """Which tokens [B, L] are masked, so that every block's share of masks lies within the interval.

    chance and count_uniforms [B, L / L'], order [B, L] uniforms. The published code draws every token with its block's
    chance and draws a block again until its share fits; the same law without a loop is a number of masks from the
    binomial law cut to what fits, and as many positions, the ones that come first in `order`. As published, a bound at
    0.001 or at 1 is not enforced. Raises ValueError where no number of masks fits.
    """
    blocks = chance.shape[1]
    size = order.shape[1] // blocks
    counts = torch.arange(size + 1, dtype=torch.float64, device=chance.device)
    low = 0.0 if interval.low <= EPS + ROUNDING else interval.low
    fits = (counts / size >= low - ROUNDING) & (counts / size <= interval.high + ROUNDING)
    if not bool(fits.any()):
        raise ValueError(
            f"No number of masks in a block of {size} is a share within [{interval.low}, {interval.high}]; "
            "choose a wider interval or larger blocks."
        )
    p = chance.double().clamp(1e-12, 1 - 1e-12).unsqueeze(-1)  # [B, N, 1]
    ways = torch.lgamma(counts.new_tensor(size + 1.0)) - torch.lgamma(counts + 1) - torch.lgamma(size - counts + 1)
    log_law = ways + counts * p.log() + (size - counts) * torch.log1p(-p)  # [B, N, L' + 1]
    edges = torch.softmax(log_law.masked_fill(~fits, -torch.inf), dim=-1).cumsum(-1)
    drawn = torch.searchsorted(edges, (count_uniforms.double() * edges[..., -1]).unsqueeze(-1), right=True)
    rank = order.view(-1, blocks, size).argsort(-1).argsort(-1)
    return (rank < drawn.clamp(max=size)).flatten(1)


def subs_log_probs(logits: Tensor, tokens: Tensor, mask: int) -> Tensor:
    """log p(x_0) [..., V] of noisy tokens [...] from the network's logits [..., V], in float32 at least.

    SUBS (Sahoo et al. 2024): the mask is never predicted, and a visible token is carried over with certainty. What is
    ruled out has −∞.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    only_mask = torch.arange(logits.shape[-1], device=logits.device) == mask
    log_probs = F.log_softmax(logits.masked_fill(only_mask, -torch.inf), dim=-1)
    carried = torch.full_like(log_probs, -torch.inf).scatter_(-1, tokens.unsqueeze(-1), 0.0)
    return torch.where((tokens != mask).unsqueeze(-1), carried, log_probs)
