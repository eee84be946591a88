"""The search for the interval of noise levels with the least variance of the loss (Arriola et al. 2025, section 5).

Every interval of the grid is tried on the same rows with the same random numbers; the variance that counts is that of
the mean loss of a block. Knows nothing of networks, optimisers and files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.noise import EPS, ClippedInterval, mass
from model.training.likelihood import differ, seeded
from model.training.objectives import TokenLoss
from model.training.share import ALONE, Share
from model.training.systems.base import Noised, System

WIDTHS = (0.5, 0.6, 0.7, 0.8, 0.9)
STEP = 0.05
"""Between the beginnings of intervals of one width."""

FULL = ClippedInterval()


def grid(block_size: int) -> tuple[ClippedInterval, ...]:
    """The intervals tried: the whole range first, then 35 clipped ones by width and beginning.

    A block of one token has two: the whole range, and every token masked.
    """
    if block_size == 1:
        return FULL, ClippedInterval(1.0, 1.0)
    clipped = [
        ClippedInterval(max(round(start * STEP, 2), EPS), round(start * STEP + width, 2))
        for width in WIDTHS
        for start in range(round((1 - width) / STEP) + 1)
    ]
    return FULL, *clipped


LEAST_MASS = 0.99
"""Of all noise, for a loss that is called a bound."""


def is_bound(interval: ClippedInterval, block_size: int, schedule: str = "linear") -> bool:
    """Whether the expected training loss over the interval still bounds −log p from above.

    The whole range does, but for levels below 0.001. So does any interval with blocks of one token: a token's chance to
    be masked and its weight cancel at every level. No interval does under a schedule that leaves out more than that.
    """
    return (interval.is_bound or block_size == 1) and mass(schedule) > LEAST_MASS


@dataclass(frozen=True, slots=True)
class Measure:
    """One interval on n batches of rows.

    variances  of the mean loss of a block, one for each batch.
    means      loss in nats per token, one for each batch.
    """

    interval: ClippedInterval
    variances: tuple[float, ...]
    means: tuple[float, ...]

    @property
    def variance(self) -> float:
        return sum(self.variances) / len(self.variances)

    @property
    def variance_error(self) -> float:
        """Standard error of `variance` over the batches."""
        return differ(self.variances, [0.0] * len(self.variances))[1]

    @property
    def mean(self) -> float:
        return sum(self.means) / len(self.means)

    @property
    def mean_error(self) -> float:
        """Standard error of `mean` over the batches."""
        return differ(self.means, [0.0] * len(self.means))[1]


@dataclass(frozen=True, slots=True)
class Search:
    """The outcome of one search, the whole range first."""

    block_size: int
    measures: tuple[Measure, ...]

    @property
    def best(self) -> Measure:
        return min(self.measures, key=lambda measure: measure.variance)

    @property
    def full(self) -> Measure:
        return self.measures[0]

    @property
    def sentence(self) -> str:
        """What was chosen, how sure that is, and whether its loss is still a bound."""
        best, full = self.best, self.full
        gain, gain_error = differ(full.variances, best.variances)
        more, more_error = differ(best.means, full.means)
        said = (
            f"U[{best.interval.low:g}, {best.interval.high:g}] has variance {best.variance:.3g}, "
            f"{gain:.3g} ± {gain_error:.2g} below that of the whole range. "
        )
        if is_bound(best.interval, self.block_size):
            return said + "Its loss is still a bound."
        return said + (
            f"Its loss is no bound: on the same rows it differs from the bound by {more:+.3g} ± {more_error:.2g} nats "
            "per token. Perplexities are taken over the whole range."
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint and the log."""
        return {
            "best": [self.best.interval.low, self.best.interval.high],
            "is_bound": is_bound(self.best.interval, self.block_size),
            "sentence": self.sentence,
            "intervals": [
                {
                    "low": one.interval.low,
                    "high": one.interval.high,
                    "variance": one.variance,
                    "variance_error": _finite(one.variance_error),
                    "mean": one.mean,
                    "mean_error": _finite(one.mean_error),
                }
                for one in self.measures
            ],
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@torch.no_grad()
def search(
    system: System,
    loss: Callable[[Noised], TokenLoss],
    rows: Tensor,
    *,
    batch: int,
    seed: int,
    share: Share = ALONE,
    intervals: Sequence[ClippedInterval] | None = None,
) -> Search:
    """Tries the grid on rows [R, L] in batches. loss: the system's, with the network that is being trained."""
    size = system.config.block_size
    intervals = intervals or grid(size)
    starts = range(0, len(rows), batch)
    found = torch.zeros(len(intervals), len(starts), 2, dtype=torch.float64)
    for piece in share.of(len(starts)):
        some = rows[starts[piece] : starts[piece] + batch]
        for at, interval in enumerate(intervals):
            result = loss(system.noise(some, interval, seeded(seed, piece)))
            of_blocks = result.nll.double().view(-1, size).mean(-1)
            found[at, piece] = torch.stack([of_blocks.var(), result.mean.double()]).cpu()
    found = share.total(found)
    measures = [
        Measure(interval, tuple(part[:, 0].tolist()), tuple(part[:, 1].tolist()))
        for interval, part in zip(intervals, found, strict=True)
    ]
    return Search(size, tuple(measures))
