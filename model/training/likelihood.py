"""Sums of nats and tokens over rows, and the perplexity they make, with its standard error.

Knows nothing of text and files; what a row's nats are is the business of the systems.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.training.objectives import TokenLoss
from model.training.share import ALONE, Share

Bound = Callable[[Tensor, Tensor, torch.Generator], TokenLoss]
"""A draw of a bound for rows [B, L] and their counted tokens [B, L]: `System.bound` with its network."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """What a text costs: nats [R] and counted tokens [R] of every row, float64; nats are a mean over the draws."""

    nats: Tensor
    tokens: Tensor

    @property
    def mean(self) -> float:
        """Nats per token: all nats over all tokens."""
        return float(self.nats.sum() / self.tokens.sum())

    @property
    def error(self) -> float:
        """Standard error of the mean, rows being the independent parts of the text; infinite for a single row."""
        rows = len(self.nats)
        if rows < 2:
            return math.inf
        off = self.nats - self.mean * self.tokens
        return float((off.square().sum() * rows / (rows - 1)).sqrt() / self.tokens.sum())

    @property
    def perplexity(self) -> float:
        return math.exp(self.mean)

    @property
    def perplexity_error(self) -> float:
        """Standard error of the perplexity, to first order."""
        return self.perplexity * self.error


@torch.no_grad()
def measure(
    bound: Bound, rows: Tensor, counted: Tensor, *, batch: int, draws: int, seed: int, share: Share = ALONE
) -> Likelihood:
    """Likelihood of rows [R, L] and their counted tokens [R, L], in batches, the mean of several draws.

    The same seed draws the same noise, however many processes share the work.
    """
    starts = range(0, len(rows), batch)
    nats = torch.zeros(len(rows), dtype=torch.float64)
    for piece in share.of(len(starts)):
        some = slice(starts[piece], starts[piece] + batch)
        for draw in range(draws):
            loss = bound(rows[some], counted[some], seeded(seed, piece, draw))
            nats[some] += (loss.nll.double() * loss.counted).sum(-1).cpu() / draws
    return Likelihood(share.total(nats), counted.sum(-1).double().cpu())


def seeded(*numbers: int) -> torch.Generator:
    """A generator of its own for a seed and what it is used for."""
    mixed = 0
    for number in numbers:
        mixed = (mixed * 0x9E3779B97F4A7C15 + number + 1) % 2**64
        mixed ^= mixed >> 29
    return torch.Generator().manual_seed(mixed % 2**63)


def differ(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Mean of the paired differences one − other, and its standard error; infinite for a single pair."""
    off = torch.tensor(one, dtype=torch.float64) - torch.tensor(other, dtype=torch.float64)
    return float(off.mean()), (float(off.std() / math.sqrt(len(off))) if len(off) > 1 else math.inf)
