"""Chooses how the holes of a passage are filled, and what is offered in the end."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from model.contract import Candidate
from model.drawing import Texts
from model.filling.bench import Bench, Shown
from model.filling.cells import cells_of
from model.filling.one_hole import fill_one_hole
from model.filling.several_holes import fill_several_holes
from model.filling.without_reading import denoise_all


class Filling:
    """`steps` is to be exhausted; `candidates` are there then, best first, and nfe counts the forwards."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.candidates: tuple[Candidate, ...] = ()

    @property
    def nfe(self) -> int:
        return self._bench.nfe

    def steps(self) -> Iterator[Shown]:
        """Yields a picture after each forward."""
        bench = self._bench
        if bench.facts.causal:
            yield from self._read_and_fill()
        else:
            yield from denoise_all(bench, cells_of(bench))
        self.candidates = self._best()

    def _read_and_fill(self) -> Iterator[Shown]:
        bench, request = self._bench, self._bench.request
        nothing = torch.zeros(1, 0, dtype=torch.long, device=bench.device)
        ahead = bench.denoiser.commit(nothing, bench.cache)[:, -1]  # reads the last token before the hole
        bench.nfe += 1
        yield Shown([], [])
        costs = None
        if request.weakest and request.strength < 1.0:
            costs = yield from self._weigh(ahead)
        cells = cells_of(bench, costs)
        if len(bench.passage.holes) == 1 and request.strength == 1.0:
            yield from fill_one_hole(bench, bench.passage.holes[0], ahead)
        else:
            yield from fill_several_holes(bench, cells, ahead)
        if not any(self._best()):  # nothing seems as likely here as what stood there
            yield from fill_several_holes(bench, cells, ahead, others=True)

    def _best(self) -> tuple[Candidate, ...]:
        bench = self._bench
        return tuple(bench.ranking.best(bench.request.candidates, known=bench.facts.causal))

    def _weigh(self, ahead: Tensor) -> Generator[Shown, None, list[list[float]]]:
        """Reads the passage as it stands: −log p of each token that stood in a hole."""
        bench = self._bench
        texts = Texts(bench.denoiser, bench.copies([0]), ahead, [0])
        cells = [token for hole in bench.passage.holes for token in (*hole.tokens, *hole.right)]
        texts.add(torch.tensor([cells], device=bench.device))
        yield from bench.reading(texts)
        nll, costs = iter(texts.nll[0].tolist()), []
        for hole in bench.passage.holes:
            costs.append([next(nll) for _ in hole.tokens])
            for _ in hole.right:
                next(nll)
        return costs
