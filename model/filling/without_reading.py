"""Other words from a network that reads nothing causally: all holes are denoised, block after block."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from model.filling.bench import SPARE, Bench, Shown
from model.filling.cells import Cells
from model.sampler import Draws


def denoise_all(bench: Bench, cells: Cells) -> Iterator[Shown]:
    """Block after block of the network's own; what is kept is seen where it is in the same block."""
    last = max(at for at, cell in enumerate(cells.tokens) if cell == bench.facts.mask) + 1
    for rows in bench.batches(bench.request.candidates + SPARE):
        cache, draws = bench.copies(rows), Draws([bench.seed("denoised", row) for row in rows])
        tokens = torch.tensor([cells.tokens] * len(rows), device=bench.device)
        sureness = torch.ones(tokens.shape, device=bench.device)
        done = 0
        while done < last:
            block = tokens[:, done : done + bench.denoiser.room(cache)]  # a view
            size = block.shape[1]
            sure = sureness[:, done : done + size]
            yield from bench.denoise(cache, draws, block, size, sure)
            done += size
            if done < last:
                read = cache.size
                bench.denoiser.commit(block, cache)
                bench.nfe += cache.size > read and not bench.facts.rereads  # else there was nothing to compute
                yield Shown(tokens[0, :done].tolist(), sureness[0, :done].tolist())
        for row, line, chances in zip(rows, tokens.tolist(), sureness.tolist(), strict=True):
            found = list(zip(line, cells.owners, chances, strict=True))
            parts = [[token for token, owner, _ in found if owner == n] for n in range(len(bench.passage.holes))]
            fits = all(bench.begins_well(hole, part[0]) for hole, part in zip(bench.passage.holes, parts, strict=True))
            own = [-math.log(max(chance, 1e-9)) for _, owner, chance in found if owner >= 0]
            bench.ranking.add(row, parts, own, own, misfit=not fits)
