"""Figures over independent texts, with 95% intervals: sums over texts, one division, and what each text moves it by.

A figure is a ratio of two sums, such as nats over tokens, so long texts count for more. Its variance is that of its
linearisation (Cochran, Sampling Techniques, ch. 6): with y_i above and x_i below the line and R = Σy/Σx, text i moves R
by (y_i − R·x_i)/Σx. A difference or quotient of two figures over the same texts is moved by the same texts, so it is
paired. Where all x_i are equal, this is the usual mean ± t·s/√n. Knows nothing of what is counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, and how far each text moves it (to first order; the sum is 0)."""

    value: float
    moves: tuple[float, ...]

    @property
    def margin(self) -> float | None:
        """Half the width of the 95% interval, after Student's t; None for a single text."""
        count = len(self.moves)
        if count < 2:
            return None
        variance = count / (count - 1) * math.fsum(move * move for move in self.moves)
        return student(count - 1) * math.sqrt(variance)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval; None for a single text."""
        margin = self.margin
        return None if margin is None else (self.value - margin, self.value + margin)


def ratio(above: Sequence[float], below: Sequence[float]) -> Estimate | None:
    """Σ above / Σ below, one number of each for every text. None where there is nothing below the line."""
    total = math.fsum(below)
    if total == 0.0:
        return None
    value = math.fsum(above) / total
    return Estimate(value, tuple((y - value * x) / total for y, x in zip(above, below, strict=True)))


def difference(one: Estimate, other: Estimate) -> Estimate:
    """one − other, over the same texts."""
    return Estimate(one.value - other.value, tuple(a - b for a, b in zip(one.moves, other.moves, strict=True)))


def quotient(one: Estimate, other: Estimate) -> Estimate:
    """one / other, over the same texts. Raises ZeroDivisionError."""
    value = one.value / other.value
    return Estimate(value, tuple((a - value * b) / other.value for a, b in zip(one.moves, other.moves, strict=True)))


@lru_cache
def student(freedom: int) -> float:
    """The t that Student's law with that many degrees of freedom stays within, either side, with chance LEVEL."""
    low, high = 0.0, 1.0
    while within(high, freedom) < LEVEL:
        high *= 2.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if within(middle, freedom) < LEVEL else (low, middle)
    return high


def within(t: float, freedom: int) -> float:
    """The chance of −t … t under Student's law: a finite sum (Abramowitz & Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(2 + odd, freedom + 1, 2):  # cosᵏ⁻² and its factor
        total += term
        term *= (k - 1) / k * cosine * cosine
    return 2.0 / math.pi * (angle + sine * total) if odd else sine * total
