"""Text as points of the vocabulary simplex, Gaussian noise on them, and how a network reads such points.

A token is a vector of logits, K at its own place and −K elsewhere. Noise has the standard deviation K, so that at t = 1
nothing of the token is left; the network is shown the softmax of the noisy logits, as a mixture of embeddings, after
the clean tokens of the block before.

Source: Han et al. 2023 (SSD-LM), sections 3.1 and 3.2, and the published code; the schedule after Nichol & Dhariwal
2021. Knows nothing of training and sampling. B texts, n slots, V − 1 tokens: the mask is none of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from model.backbones.dit import DiT

ONE_HOT = 5.0
"""K."""

OFFSET = 1e-4
"""s of the cosine schedule: noise does not begin at a standstill."""

TOLD = 10.0
"""The network is told 10 t: its embedding of noise levels is made for numbers of that size."""


def signal(level: Tensor) -> Tensor:
    """ᾱ(t), the share of the variance that is not noise: 1 at t = 0, 0 at t = 1; any shape."""
    angle = (level + OFFSET) / (1 + OFFSET) * (math.pi / 2)
    return (angle.cos() / _START).square()


def level_of(log_ratio: Tensor) -> Tensor:
    """The t at which log(ᾱ / (1 − ᾱ)) has the given value."""
    angle = torch.acos(torch.sigmoid(log_ratio).sqrt() * _START)
    return angle * (2 / math.pi) * (1 + OFFSET) - OFFSET


_START = math.cos(OFFSET / (1 + OFFSET) * math.pi / 2)


def corners(tokens: Tensor, vocabulary: int) -> Tensor:
    """The noise-free points [..., V − 1] of tokens [...], none of them the mask."""
    points = torch.full((*tokens.shape, vocabulary), -ONE_HOT, device=tokens.device)
    return points.scatter_(-1, tokens.unsqueeze(-1), ONE_HOT)


def diffuse(points: Tensor, level: Tensor, noise: Tensor) -> Tensor:
    """Points [..., V − 1] at noise level t [...], with standard normal noise of their shape."""
    kept = signal(level).unsqueeze(-1)
    return kept.sqrt() * points + (1 - kept).clamp(min=0.0).sqrt() * ONE_HOT * noise


def read(network: DiT, before: Tensor, tokens: Tensor, points: Tensor, level: Tensor) -> Tensor:
    """Logits [B, n, V] of the clean tokens of a block.

    before [B, m]: the tokens of the block before, masks where the text begins. tokens [B, n]: those of the block that
    are given, masks elsewhere. points [B, n, V − 1]: what is seen at masked slots; a given token is seen as it is.
    level [B] is t. Both blocks are read in both directions, as published.
    """
    mask = network.config.mask
    mixed = torch.softmax(points, dim=-1) @ network.vocab_embed.embedding[:mask]
    block = torch.where((tokens == mask).unsqueeze(-1), mixed, network.vocab_embed(tokens))
    x = torch.cat([network.vocab_embed(before), block], dim=1)
    condition = network.condition(TOLD * level)
    rotary = network.rotary_emb(torch.arange(x.shape[1], device=x.device))
    for layer in network.blocks:
        x = layer(x, rotary, None, condition)
    logits: Tensor = network.output_layer(x[:, before.shape[1] :], condition)
    return logits
