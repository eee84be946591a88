"""The losses of BD3-LM, MDLM, SEDD and the autoregressive model: pure functions of logits and tokens.

Every one gives nats per token of a whole row, so that the caller adds up sums and counts and divides once. Knows
nothing of networks, of how noise is drawn, or of text. B rows, L tokens, V vocabulary with the mask.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TokenLoss:
    """What a batch of rows costs.

    nll      [B, L] nats per token, float32. Where the objective is a bound on −log p, it is so in expectation.
    counted  [B, L] boolean: tokens that are part of the mean. The first token of a row is given, not predicted.
    """

    nll: Tensor
    counted: Tensor

    @property
    def total(self) -> Tensor:
        """Nats of all counted tokens."""
        return self.nll.mul(self.counted).sum()

    @property
    def mean(self) -> Tensor:
        """Nats per counted token."""
        return self.total / self.counted.sum()


def block_diffusion(logits: Tensor, clean: Tensor, noisy: Tensor, level: Tensor, mask: int) -> TokenLoss:
    """The NELBO of masked diffusion, Σ −log p(x_0) / t over masked tokens; MDLM where the whole row is one block.

    logits [B, L, V] at the noisy positions, before SUBS; clean, noisy [B, L]; level [B, L] or [B, 1], t of the linear
    schedule. Arriola et al. 2025, equation 8; Sahoo et al. 2024, equation 10.
    """
    return weighted(masked_nll(logits, clean, mask), noisy == mask, 1 / level)


def weighted(nll: Tensor, masked: Tensor, weight: Tensor) -> TokenLoss:
    """−log p(x_0) [B, L] at masked tokens [B, L], times the weight of the schedule [B, L] or [B, 1]."""
    return TokenLoss(torch.where(masked, nll * weight, 0.0), all_but_first(nll))


def autoregressive(logits: Tensor, clean: Tensor, mask: int) -> TokenLoss:
    """The exact −log p of every token after the first.

    logits [B, L − 1, V]: those at position i tell token i + 1. The mask, which no text holds, is never predicted.
    """
    return TokenLoss(F.pad(masked_nll(logits, clean[:, 1:], mask), (1, 0)), all_but_first(clean))


def exact_nll(logits: Tensor, clean: Tensor, mask: int) -> TokenLoss:
    """The exact −log p of every token after the first from a block size of 1 with every token masked.

    logits [B, L, V] at the noisy positions. The NELBO at t = 1.
    """
    return TokenLoss(masked_nll(logits, clean, mask) * all_but_first(clean), all_but_first(clean))


def score_entropy(logits: Tensor, clean: Tensor, noisy: Tensor, level: Tensor, mask: int) -> TokenLoss:
    """The denoising score entropy of SEDD for absorbing noise (Lou et al. 2024, equation 9 and appendix C).

    logits [B, L, V]; level [B, 1] or [B, L], the mask chance t < 1, of which σ = −ln(1 − t) is the total noise. The
    network's logits are log-scores up to log(e^σ − 1) + log(V − 1), as published. Per token it is the bound's integrand
    with respect to t: dσ/dt · (Σ_y s_y − r·log s_{x_0} + r·(log r − 1)) at masked tokens, r = 1 / (e^σ − 1).
    """
    growth = level / (1 - level)  # e^σ − 1, [B, 1 or L]
    log_score = logits.float() - growth.log().unsqueeze(-1) - math.log(logits.shape[-1] - 1)
    ratio = 1 / growth
    total = log_score.exp().sum(-1) - log_score[..., mask].exp()
    right = log_score.gather(-1, clean.unsqueeze(-1)).squeeze(-1)
    entropy = total - ratio * right + ratio * (ratio.log() - 1)
    return weighted(entropy, noisy == mask, 1 / (1 - level))


def masked_nll(logits: Tensor, clean: Tensor, mask: int) -> Tensor:
    """−log p(x_0) [...] of masked tokens under SUBS: logits [..., V] with the mask's left out. In float32."""
    only_mask = torch.arange(logits.shape[-1], device=logits.device) == mask
    scores = logits.float().masked_fill(only_mask, -torch.inf)
    return F.cross_entropy(scores.flatten(0, -2), clean.flatten(), reduction="none").view(clean.shape)


def all_but_first(like: Tensor) -> Tensor:
    """Boolean [B, L]: every token of a row but the first."""
    counted = torch.ones(like.shape, dtype=torch.bool, device=like.device)
    counted[:, 0] = False
    return counted
