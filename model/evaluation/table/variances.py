"""The variance of the training loss under different laws of noise (the paper's tables 2 and 8, and its section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model.evaluation.table.figure import Figure, of_ratio
from model.evaluation.table.kept import Kept, Values
from model.evaluation.table.networks import Network, place
from model.noise import ClippedInterval
from model.training import clipping
from model.training.likelihood import differ
from model.training.objectives import TokenLoss
from model.training.systems.base import Noised


def measure(
    kept: Kept, network: Network, intervals: Sequence[tuple[float, float]], *, rows: int, batch: int, seed: int
) -> list[Values]:
    """For each interval the variances of the mean loss of a block, one for each batch of rows; the same rows and
    random numbers for all. The schedule is the one the network was trained with."""

    def take() -> Values:
        opened = network.open()
        system = network.system(opened)

        def loss(noised: Noised) -> TokenLoss:
            with torch.autocast(place().type, torch.bfloat16, enabled=network.bf16):
                return system.loss(opened, noised.to(place()))

        found = clipping.search(
            system,
            loss,
            network.rows(network.settings.validation, rows),
            batch=batch,
            seed=seed,
            intervals=[ClippedInterval(*interval) for interval in intervals],
        )
        return {"of": [{"interval": list(interval), "variances": list(measure.variances)}
                       for interval, measure in zip(intervals, found.measures, strict=True)]}  # fmt: skip

    depends = {"weights": network.digest, "intervals": intervals, "rows": rows, "batch": batch, "seed": seed}
    of: list[Values] = kept.get(f"variance/{network.name}", depends, take)["of"]
    return of


def variance(found: Values) -> Figure:
    """Its mean over the batches."""
    return Figure(*differ(found["variances"], [0.0] * len(found["variances"])))


def times_less(full: Values, clipped: Values) -> Figure | None:
    """Variance over the whole range divided by that over the interval; None where the latter has none.

    The error is of the paired ratio of sums, batches being the parts.
    """
    return of_ratio(full["variances"], clipped["variances"])
