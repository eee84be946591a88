"""How good the proposals are, measured on held-out texts: per slot of a block, and as tokens per verified cycle.

Everything is with all slots masked, the text's own tokens standing to the left. Knows nothing of training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.denoiser import PROPOSALS
from model.sampler import SHORTLIST
from model.training.adapter.blocks import copy_of
from model.training.adapter.network import Clean, FrozenLlama
from model.training.adapter.rows import Written
from model.unmasking import Candidates, candidates

SLOTS = 8
"""Slots of the table."""

BLOCKS = 24
"""Blocks of a text, at most, spread evenly over it; a third of them for the table."""

NUCLEUS = 0.95
"""Of the laws that are sampled from; their temperature is the text's own."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over blocks, for each slot. cross_entropy, plain and top are at temperature 1.

    cross_entropy  H(p, q) in nats, with the sampler head.
    plain          Σ min(p, q) without the sampler head; told: with it.
    top            share of slots where p and q have the same best token, with the head.
    sampled        Σ min(p, q) as the dial samples, with the head, at the slots of a block of PROPOSALS.
    cycle          tokens of a verified cycle, 1 + Σ_k Π_i accepted_i, and its standard error.
    """

    cross_entropy: list[float]
    plain: list[float]
    told: list[float]
    top: list[float]
    sampled: list[float]
    cycle: float
    cycle_error: float

    def as_json(self) -> dict[str, Any]:
        """Plain values for the log."""
        rounded: dict[str, Any] = {
            name: [round(value, 4) for value in getattr(self, name)]
            for name in ("cross_entropy", "plain", "told", "top", "sampled")
        }
        return {**rounded, "cycle": round(self.cycle, 4), "cycle_error": round(self.cycle_error, 4)}

    def table(self) -> str:
        """Lines for a terminal."""

        def line(name: str, values: Sequence[float]) -> str:
            return f"  {name:<22}" + " ".join(f"{value:5.2f}" for value in values)

        return "\n".join(
            [
                line("slot", range(len(self.told))).replace(".00", "   "),
                line("cross-entropy", self.cross_entropy),
                line("acceptance, no head", self.plain),
                line("acceptance, head", self.told),
                line("top-1 agreement, head", self.top),
                line("acceptance as sampled", self.sampled),
                f"  tokens per cycle      {self.cycle:.3f} ± {self.cycle_error:.3f}",
            ]
        )


class Validation:
    """Held-out texts, read by the frozen weights once."""

    def __init__(
        self,
        network: FrozenLlama,
        texts: Sequence[Written],
        banned: Sequence[int],
        common: Tensor,
        limit: int = BLOCKS,
    ) -> None:
        """common: ids [P] of the tokens that are proposed."""
        self.network, self.texts, self.banned, self.common, self.limit = network, texts, list(banned), common, limit
        self._clean: list[Clean] = []

    @torch.no_grad()
    def measure(
        self,
        adapter: Mapping[str, Tensor],
        head: Mapping[str, Tensor],
        scale: float,
        progress: Callable[[], object] = lambda: None,
    ) -> Quality:
        """The same blocks every time. progress: called after each text."""
        if not self._clean:
            self._clean = [self.network.read(torch.tensor(text.tokens)) for text in self.texts]
        sums = torch.zeros(5, SLOTS, dtype=torch.float64)
        found = torch.zeros(PROPOSALS + 1, dtype=torch.float64)
        cycles: list[Tensor] = []
        for text, clean in zip(self.texts, self._clean, strict=True):
            for blocks, size in ((self.limit // 3 or 1, SLOTS), (self.limit, PROPOSALS)):
                features, at, tokens = self._features(text, clean, blocks, size, adapter, scale)
                if not len(at):
                    continue
                before = clean.features[at - 1]  # [blocks, L', D]
                told = features.clone()
                told[:, 1:] = self.network.told(features[:, 1:].flatten(0, 1), tokens[:, :-1].flatten(), head).view_as(
                    features[:, 1:]
                )
                if size == SLOTS:
                    sums += self._at_one(before, features, told)
                else:
                    accepted, kept = self._as_sampled(before, features, told, tokens, text.temperature)
                    cycles.append(_cycle(accepted, kept))
                    found[:PROPOSALS] += accepted.sum(0)
                    found[PROPOSALS] += len(accepted)
            progress()
        count = sums[4].clamp(min=1)
        every = torch.cat(cycles) if cycles else torch.ones(1, dtype=torch.float64)
        error = float(every.std() / math.sqrt(len(every))) if len(every) > 1 else math.inf
        entropy, plain, told, top = (sums[:4] / count).tolist()
        sampled: list[float] = (found[:PROPOSALS] / found[PROPOSALS].clamp(min=1)).tolist()
        return Quality(entropy, plain, told, top, sampled, float(every.mean()), error)

    def _features(
        self, text: Written, clean: Clean, blocks: int, size: int, adapter: Mapping[str, Tensor], scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features [blocks, L', D] of masked slots, their positions and the text's tokens there [blocks, L'].

        Blocks lie within the text, evenly spread; where it was written in cycles they are some of those.
        """
        last = len(text.tokens) - size
        starts = torch.arange(text.start, max(last + 1, text.start))
        if text.visited:
            starts = torch.tensor([place for place in text.visited if place <= last], dtype=torch.long)
        if len(starts) > blocks:
            starts = starts[torch.linspace(0, len(starts) - 1, blocks).long()]
        if not len(starts):
            return torch.empty(0), torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long)
        everything = torch.ones(len(starts), size, dtype=torch.bool)
        copy = copy_of(text, starts, everything, everything, 1.0, self.network.config.vocab_size)
        features = self.network.denoise([copy], clean, adapter, scale).view(len(starts), size + 1, -1)[:, :-1]
        at = starts[:, None] + torch.arange(size)
        return features, at, torch.tensor(text.tokens)[at]

    def _at_one(self, before: Tensor, plain: Tensor, told: Tensor) -> Tensor:
        """Sums over blocks [5, SLOTS]: cross-entropy, acceptance without and with head, agreement, count."""
        sums = torch.zeros(5, SLOTS, dtype=torch.float64)
        for slot in range(SLOTS):
            p = self._logits(before[:, slot]).softmax(-1)
            log_q = self._logits(told[:, slot]).log_softmax(-1)
            sums[0, slot] = -(p * log_q).sum()
            sums[1, slot] = torch.minimum(p, self._logits(plain[:, slot]).softmax(-1)).sum()
            sums[2, slot] = torch.minimum(p, log_q.exp()).sum()
            sums[3, slot] = (p.argmax(-1) == log_q.argmax(-1)).sum()
            sums[4, slot] = len(p)
        return sums

    def _as_sampled(
        self, before: Tensor, plain: Tensor, told: Tensor, tokens: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """[blocks, PROPOSALS] each: Σ min(p, q) of the laws the sampler draws from, and min(1, q/p) of the text's
        token: the chance that the cycle gets past it."""
        accepted = torch.zeros(tokens.shape, dtype=torch.float64)
        kept = torch.zeros_like(accepted)
        for slot in range(tokens.shape[1]):
            p = candidates(self._allowed(before[:, slot]), temperature, NUCLEUS)
            first = self._allowed(plain[:, slot])[:, self.common]
            ids = self.common[first.topk(min(SHORTLIST, first.shape[-1]), dim=-1).indices].long()
            logits = self._allowed(told[:, slot]).gather(-1, ids)
            q = candidates(logits, temperature, NUCLEUS, ids)
            accepted[:, slot] = torch.minimum(self._dense(p), self._dense(q)).double().sum(-1)
            here = p.prob_of(tokens[:, slot]).double()
            passing = (q.prob_of(tokens[:, slot]).double() / here).clamp(max=1.0)
            kept[:, slot] = torch.where(here > 0.0, passing, accepted[:, slot])
        return accepted, kept

    def _dense(self, law: Candidates) -> Tensor:
        dense = torch.zeros(len(law.ids), self.network.config.vocab_size)
        return dense.scatter_add_(-1, law.ids, law.probs.float())

    def _allowed(self, features: Tensor) -> Tensor:
        logits = self._logits(features)
        logits[:, self.banned] = -torch.inf
        return logits

    def _logits(self, features: Tensor) -> Tensor:
        return self.network.logits(features).float()


def _cycle(accepted: Tensor, kept: Tensor) -> Tensor:
    """Expected tokens of a cycle from each block, [blocks]; both arguments [blocks, k].

    A text of the base's own law passes slots 0 … k − 1 with chance Π kept and is then accepted with chance accepted_k;
    its mean over texts is the chance that k + 1 proposals are accepted, without bias.
    """
    reached = torch.cat([torch.ones_like(kept[:, :1]), kept[:, :-1].cumprod(1)], dim=1)
    return 1 + (reached * accepted).sum(1)
