"""The loss over the vocabulary, fused: its gradient is found on the way forward, a few rows at a time.

Nothing of [m, V] is kept. m slots, V vocabulary, p the target and q the network's law, both at a temperature τ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

ROWS, FEW = 256, 32
"""Slots of one product, and slots whose laws are held in float32 at once."""


@dataclass(frozen=True, slots=True)
class Target:
    """What slots are to learn.

    logits  [n, V] of the base; row [m]: which of them is each slot's. label [m]: the text's token, which is the target
            where a slot is not `soft` [m]. weight [m].
    """

    logits: Tensor
    row: Tensor
    label: Tensor
    soft: Tensor
    weight: Tensor


@dataclass(frozen=True, slots=True)
class Objective:
    """(1 − acceptance) · cross-entropy H(p, q) + acceptance · (1 − Σ min(p, q)), at a temperature."""

    acceptance: float = 0.0
    temperature: float = 1.0


class _Loss(Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, unembedding: Tensor, target: Target, objective: Objective
    ) -> tuple[Tensor, Tensor]:
        total, accepted = features.new_zeros((), dtype=torch.float64), torch.empty(len(features))
        wanted = ctx.needs_input_grad[0]
        gradient = torch.empty_like(features) if wanted else None
        for start in range(0, len(features), ROWS):
            some = slice(start, start + ROWS)
            logits = features[some] @ unembedding.T
            for first in range(0, len(logits), FEW):
                few = slice(first, first + FEW)
                here = slice(start + first, min(start + first + FEW, len(features)))
                loss, accepted[here], to_logits = _few(logits[few], target, here, objective)
                total += loss
                logits[few] = to_logits
            if gradient is not None:
                torch.mm(logits, unembedding, out=gradient[some])
        if gradient is not None:
            ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(accepted)
        return total.float(), accepted

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad.to(gradient.dtype), None, None, None


def _few(logits: Tensor, target: Target, here: slice, objective: Objective) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted loss, acceptance of each row and the loss's gradient for the logits [k, V] of slots `here`."""
    tau, share = objective.temperature, objective.acceptance
    p = torch.softmax(target.logits[target.row[here]].float().div_(tau), dim=-1)
    hard = (~target.soft[here]).nonzero()[:, 0]
    if len(hard):
        p[hard] = 0.0
        p[hard, target.label[here][hard]] = 1.0
    s = logits.float().div_(tau)
    best = s.argmax(-1, keepdim=True)
    q = torch.softmax(s, dim=-1)
    log_sum = s.gather(-1, best) - q.gather(-1, best).log()
    weight = target.weight[here]
    entropy = log_sum[:, 0] - s.mul_(p).sum(-1)
    accepted = torch.minimum(p, q).sum(-1)
    loss = ((1 - share) * entropy + share * (1 - accepted)).mul(weight).double().sum()
    if share == 0.0:
        return loss, accepted, q.sub_(p).mul_(weight[:, None] / tau)
    below = (q < p).float()
    to_logits = q * ((q * below).sum(-1, keepdim=True) - below) * share
    if share < 1.0:
        to_logits += (1 - share) * q.sub_(p)
    return loss, accepted, to_logits.mul_(weight[:, None] / tau)


def vocabulary_loss(
    features: Tensor, unembedding: Tensor, target: Target, objective: Objective
) -> tuple[Tensor, Tensor]:
    """Σ weight · loss of the slots with features [m, D], and Σ min(p, q) of each, [m]."""
    both: tuple[Tensor, Tensor] = _Loss.apply(features, unembedding, target, objective)  # type: ignore[no-untyped-call]
    return both
