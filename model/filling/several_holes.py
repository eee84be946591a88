"""Other words for several holes, or for some slots of one, each with a given number of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from model.drawing import Texts
from model.filling.bench import BLOCK, BRIDGE, PARTICLES, SPARE, Bench, Shown
from model.filling.cells import Cells
from model.passage import LOOKED_AT


def fill_several_holes(bench: Bench, cells: Cells, ahead: Tensor, *, others: bool = False) -> Iterator[Shown]:
    """All texts keep step, so they can be chosen from after each hole.

    others: no token may be the one that stood in its place.
    """
    families = bench.request.candidates + SPARE
    for group in bench.batches(families, PARTICLES):
        seeds = [bench.seed("family", family, at) for family in group for at in range(PARTICLES)]
        texts = Texts(bench.denoiser, bench.copies(seeds), ahead, seeds)
        done = 0
        for start, stop in _runs(cells, bench.facts.mask):
            texts.add(torch.tensor([cells.tokens[done:start]] * len(seeds), dtype=torch.long, device=bench.device))
            yield from bench.reading(texts)
            if done:
                texts.keep(_better_half(texts.nll.sum(1)))
            yield from _fill_run(bench, texts, cells, start, stop, others=others)
            done = stop
        texts.add(torch.tensor([cells.tokens[done:]] * len(seeds), dtype=torch.long, device=bench.device))
        yield from bench.reading(texts)
        for row, (tokens, nll) in enumerate(zip(texts.tokens.tolist(), texts.nll.tolist(), strict=True)):
            parts = [
                [token for token, owner in zip(tokens, cells.owners, strict=True) if owner == number]
                for number in range(len(bench.passage.holes))
            ]
            counted = [cost for cost, near in zip(nll, _near(cells.owners), strict=True) if near]
            own = [cost for cost, owner in zip(nll, cells.owners, strict=True) if owner >= 0]
            bench.ranking.add(group[row // PARTICLES], parts, counted, own)


def _fill_run(bench: Bench, texts: Texts, cells: Cells, start: int, stop: int, *, others: bool) -> Iterator[Shown]:
    """Masked slots in a row: half of the texts draw them from the left, the others denoise the last of them."""
    owners = cells.owners
    hole = bench.passage.holes[owners[start]]
    allowed = bench.allowed(hole)
    begins_hole = start == 0 or owners[start] != owners[start - 1]
    denoised = torch.arange(len(texts.tokens), device=bench.device) % PARTICLES < PARTICLES // 2
    denoised &= bench.sees_right
    bridge = max(start, stop - BRIDGE)
    block = texts.tokens[:, :0]
    for slot in range(start, stop):
        yield from bench.reading(texts)
        if slot == bridge and bool(denoised.any()):
            block = torch.tensor([cells.tokens[bridge : bridge + BLOCK]] * len(texts.tokens), device=bench.device)
            yield from bench.denoise(texts.cache, texts.draws, block, stop - bridge)
        now = bench.allowed(hole, first=True) if begins_hole and slot == start else allowed
        if others and cells.stood[slot] >= 0:
            now = now.index_fill(0, torch.tensor(cells.stood[slot], device=bench.device), False)
        drawn = texts.draw(now, bench.dial.temperature, bench.dial.nucleus)
        if slot >= bridge and block.shape[1]:
            found = block[:, slot - bridge, None]
            drawn = torch.where(denoised[:, None] & now[found], found, drawn)
        texts.add(drawn)


def _runs(cells: Cells, mask: int) -> list[tuple[int, int]]:
    """Masked cells in a row that belong to the same hole: from, to."""
    runs: list[tuple[int, int]] = []
    for at, token in enumerate(cells.tokens):
        if token != mask:
            continue
        if runs and runs[-1][1] == at and cells.owners[at] == cells.owners[at - 1]:
            runs[-1] = (runs[-1][0], at + 1)
        else:
            runs.append((at, at + 1))
    return runs


def _near(owners: Sequence[int]) -> list[bool]:
    """Which cells belong to a hole, or are kept and among the next ones to its right."""
    near, left = [], 0
    for owner in owners:
        left = LOOKED_AT if owner >= 0 else left - 1
        near.append(owner >= 0 or left >= 0)
    return near


def _better_half(costs: Tensor) -> Tensor:
    """Rows [B] that go on: of each family of PARTICLES the better half, twice over."""
    order = costs.view(-1, PARTICLES).argsort(dim=1, stable=True)[:, : PARTICLES // 2]
    first = torch.arange(0, len(costs), PARTICLES, device=costs.device)[:, None]
    return (order + first).repeat(1, 2).flatten()
