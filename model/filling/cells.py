"""A passage as a row of cells, from its first hole on: which are masked, and whose each is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from model.filling.bench import Bench


@dataclass(frozen=True, slots=True)
class Cells:
    """tokens  mask where a token is wanted.
    owners  the number of the hole that each is in, −1: it is kept.
    stood   which token stood in its place, −1: nobody knows.
    """

    tokens: tuple[int, ...]
    owners: tuple[int, ...]
    stood: tuple[int, ...]


def cells_of(bench: Bench, costs: Sequence[Sequence[float]] | None = None) -> Cells:
    """costs: nll of what stood in each hole, where the weakest of it is to go."""
    tokens: list[int] = []
    owners: list[int] = []
    stood: list[int] = []
    mask = bench.facts.mask
    for number, hole in enumerate(bench.passage.holes):
        slots = [mask] * hole.length
        if bench.request.strength < 1.0:
            stream = random.Random(bench.seed("masks", number))
            masks = hole.masks(bench.request.strength, stream, costs[number] if costs else None)
            slots = [mask if masked else token for masked, token in zip(masks, hole.tokens, strict=True)]
        tokens += [*slots, *hole.right]
        owners += [number] * len(slots) + [-1] * len(hole.right)
        known = list(hole.tokens) if len(hole.tokens) == len(slots) else [-1] * len(slots)
        stood += known + [-1] * len(hole.right)
    return Cells(tuple(tokens), tuple(owners), tuple(stood))
