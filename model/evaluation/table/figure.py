"""A number and its standard error, from independent parts. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.evaluation.intervals import Estimate, ratio


@dataclass(frozen=True, slots=True)
class Figure:
    """error: one standard error; None where there are too few parts to tell, or where there is none by its nature."""

    value: float
    error: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Two numbers, or null."""
        finite = self.error is not None and math.isfinite(self.error)
        return {"value": self.value, "error": self.error if finite else None}


def of_ratio(above: Sequence[float], below: Sequence[float]) -> Figure | None:
    """Σ above / Σ below, one number of each for every part; None where there is nothing below the line."""
    found = ratio(above, below)
    return None if found is None else Figure(found.value, standard_error(found))


def of_mean(values: Sequence[float]) -> Figure | None:
    """The mean; None of nothing."""
    return of_ratio(values, [1.0] * len(values))


def less(one: Figure | None, other: Figure | None) -> Figure | None:
    """One minus the other, which was measured apart from it; None where either is."""
    if one is None or other is None:
        return None
    error = None if one.error is None or other.error is None else math.hypot(one.error, other.error)
    return Figure(one.value - other.value, error)


def of_exponential(mean: Figure | None) -> Figure | None:
    """A perplexity from nats per token, its error to first order."""
    if mean is None:
        return None
    value = math.exp(mean.value)
    return Figure(value, None if mean.error is None else value * mean.error)


def of_median(values: Sequence[float]) -> Figure | None:
    """The median, and half the distance of the order statistics one standard deviation of their rank to either side."""
    if not values:
        return None
    ranked, half = sorted(values), math.sqrt(len(values)) / 2
    middle = (len(ranked) - 1) / 2
    value = (ranked[math.floor(middle)] + ranked[math.ceil(middle)]) / 2
    low, high = max(0, math.floor(middle - half)), min(len(ranked) - 1, math.ceil(middle + half))
    return Figure(value, (ranked[high] - ranked[low]) / 2 if len(ranked) > 2 else None)


def standard_error(estimate: Estimate) -> float | None:
    """Of a ratio of sums, to first order; None for a single part."""
    count = len(estimate.moves)
    if count < 2:
        return None
    return math.sqrt(count / (count - 1) * math.fsum(move * move for move in estimate.moves))


def as_json(figure: Figure | None) -> dict[str, Any] | None:
    """Null where there is none."""
    return None if figure is None else figure.as_json()
