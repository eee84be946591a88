"""Unmasking rules and the draws they rest on: pure functions of probabilities, testable with four numbers.

Knows nothing of networks, caches or text. B rows, L slots, V vocabulary, K candidates of a slot.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

TOP = (64, 1024)
"""Candidates looked at for a nucleus, in this order; it rarely needs more, and then everything is sorted."""

GROUP = 64
"""Neighbours of which `largest` looks at the best one first."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """A distribution over a few token ids: ids [..., K], probs [..., K] that sum to 1."""

    ids: Tensor
    probs: Tensor

    def draw(self, uniform: Tensor) -> Tensor:
        """The token [...] at quantile `uniform` [...] of the cumulated probabilities (inverse transform)."""
        edges = self.probs.double().cumsum(-1)  # in float32 a quantile just under 1 would fall past the last edge
        at = torch.searchsorted(edges, (uniform * edges[..., -1]).unsqueeze(-1), right=True)
        token: Tensor = self.ids.gather(-1, at.clamp_(max=self.ids.shape[-1] - 1)).squeeze(-1)
        return token

    def prob_of(self, token: Tensor) -> Tensor:
        """Probability [...] of token [...]; 0 where it is no candidate."""
        return torch.where(self.ids == token.unsqueeze(-1), self.probs, 0.0).sum(-1)

    def slot(self, slot: int) -> Candidates:
        """That of one slot, where there are several [B, L, K]."""
        return Candidates(self.ids[:, slot], self.probs[:, slot])

    def where(self, rows: Tensor, other: Candidates) -> Candidates:
        """This law in the given rows [B], the other one elsewhere. Laws [B, K]."""
        width, pick = max(self.ids.shape[-1], other.ids.shape[-1]), rows[:, None]
        here, there = self._padded(width), other._padded(width)
        return Candidates(torch.where(pick, here.ids, there.ids), torch.where(pick, here.probs, there.probs))

    def _padded(self, width: int) -> Candidates:
        """With candidates of no chance."""
        pad = (0, width - self.ids.shape[-1])
        return Candidates(F.pad(self.ids, pad, value=-1), F.pad(self.probs, pad))


def candidates(logits: Tensor, temperature: float, nucleus: float, ids: Tensor | None = None) -> Candidates:
    """What is drawn from logits [..., V]: tempered, cut to the smallest set of tokens whose mass reaches `nucleus`.

    Temperature 0 keeps the likeliest token alone. `ids` [..., V] names the tokens where the logits are a selection.
    """
    if temperature == 0.0:
        best = logits.argmax(-1, keepdim=True)
        return Candidates(best if ids is None else ids.gather(-1, best), torch.ones_like(best, dtype=torch.float32))
    tempered = logits / temperature
    if nucleus == 1.0:
        whole = torch.arange(logits.shape[-1], device=logits.device).expand_as(logits) if ids is None else ids
        return Candidates(whole, torch.softmax(tempered, dim=-1))
    total = torch.logsumexp(tempered, dim=-1, keepdim=True)
    for count in (*TOP, logits.shape[-1]):
        best, where = largest(tempered, min(count, logits.shape[-1]))
        top = (best - total).exp()
        if float(top.sum(-1).min()) >= nucleus:
            break
    kept = torch.where(top.cumsum(-1) - top < nucleus, top, 0.0)
    return Candidates(where if ids is None else ids.gather(-1, where), kept / kept.sum(-1, keepdim=True))


def largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of values [..., V] and where they stand, best first: `topk`, an order of magnitude faster.

    Each of them stands in one of the `count` groups of neighbours with the best first entries; only those are sorted.
    """
    size = values.shape[-1]
    if size <= 2 * count * GROUP or size % GROUP:
        top, where = values.topk(count, dim=-1)
        return top, where
    groups = values.reshape(*values.shape[:-1], -1, GROUP)
    chosen = groups.amax(-1).topk(count, dim=-1, sorted=False).indices  # [..., count]
    there = groups.gather(-2, chosen.unsqueeze(-1).expand(*chosen.shape, GROUP)).flatten(-2)
    top, at = there.topk(count, dim=-1)
    where = chosen.gather(-1, at // GROUP) * GROUP + at % GROUP
    return top, where


def share(masked: int, steps_left: int) -> int:
    """Slots to unmask now so that `masked` slots are full after `steps_left` steps of nearly equal size."""
    return -(-masked // steps_left)


def first_hitting(masked: Tensor, count: int, uniforms: Tensor) -> Tensor:
    """`count` masked slots of each row, uniformly: masked and result [B, L] boolean, uniforms [B, L].

    With count 1 it is the first-hitting sampler of BD3-LM (Arriola et al. 2025, after Zheng et al. 2024).
    """
    return confident(uniforms, masked, count)


def confident(confidence: Tensor, masked: Tensor, count: int) -> Tensor:
    """The `count` masked slots of each row with the highest confidence [B, L]. All of them where fewer are masked."""
    ranked = torch.where(masked, confidence, -torch.inf)
    chosen = torch.zeros_like(masked).scatter_(-1, ranked.topk(min(count, masked.shape[-1]), dim=-1).indices, True)
    return chosen & masked


def above(confidence: Tensor, masked: Tensor, threshold: float) -> Tensor:
    """Every masked slot with confidence [B, L] of at least `threshold`, and the most confident one in any case."""
    return (masked & (confidence >= threshold)) | confident(confidence, masked, 1)


def accepted(target: Candidates, proposed: Candidates, token: Tensor, uniform: Tensor, leniency: float = 0.0) -> Tensor:
    """Whether a proposal passes, given that all to its left did: boolean like token and uniform [...].

    Speculative sampling (Leviathan et al. 2023, with the lenience of their appendix): a token drawn from q passes with
    chance min(1, p / ((1 − λ)·q)); target is p, proposed q. With λ = 0 the text has the law p; the nearer λ is to 1,
    the nearer it comes to q, but what p gives next to nothing is still refused.
    """
    return uniform * (1.0 - leniency) * proposed.prob_of(token) < target.prob_of(token)


def residual(target: Candidates, proposed: Candidates) -> Candidates:
    """What a slot is drawn from after its proposal was refused: max(0, p − q), normalised. Axes [B, K] each."""
    q_there = torch.where(target.ids[..., :, None] == proposed.ids[..., None, :], proposed.probs[..., None, :], 0.0)
    left = (target.probs - q_there.sum(-1)).clamp(min=0.0)
    total = left.sum(-1, keepdim=True)
    # A refusal has no chance where p = q; rounding may still leave nothing, and p itself is then the law.
    return Candidates(target.ids, torch.where(total > 0.0, left / total.clamp(min=1e-30), target.probs))
