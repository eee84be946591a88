"""What a training step costs against its two slow twins: ratios of one run.

One pass over x_t ⊕ x_0, as training does it, against two passes (the clean text first, whose keys and values the noisy
text then reads) and against a loop over blocks. All three have the same gradient, tested. A step is forward, loss and
backward on a small network with random weights; the optimiser costs the same everywhere and is left out. The
twins are plain: dense masks, and the output layer at every noisy position.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.backbones import masks
from model.backbones.dit import Block, DiT, DiTConfig, rotate
from model.noise import ClippedInterval
from model.training.objectives import TokenLoss, all_but_first, masked_nll, weighted
from model.training.systems.base import Noised
from model.training.systems.block_diffusion import BlockDiffusion

NETWORK = DiTConfig(
    vocab_size=50258, hidden_dim=256, n_blocks=6, n_heads=4, cond_dim=128, model_length=256, block_size=16, dropout=0.0
)
"""A small BD3-LM with the paper's vocabulary, 32M parameters, on rows of 256 tokens with L' = 16."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds of a step, the least of the rounds."""

    one_pass: float
    two_passes: float
    loop: float

    def lines(self) -> list[str]:
        """What a reader wants to know."""
        return [
            f"training step, one pass: {self.one_pass:.2f} s",
            f"  {self.one_pass / self.two_passes:.2f} × the time of two passes ({self.two_passes:.2f} s)",
            f"  {self.loop / self.one_pass:.1f} × faster than the loop over blocks ({self.loop:.2f} s)",
        ]


def two_passes(network: DiT, batch: Noised) -> TokenLoss:
    """The clean text goes first; the noisy text reads its keys and values."""
    length, size = batch.clean.shape[1], network.config.block_size
    mask = masks.dense(length, size, batch.clean.device)
    _, past = _pass(network, batch.clean, mask[length:, length:], None)
    features, _ = _pass(network, batch.noisy, mask[:length], past)
    return _loss(network, network.output_layer(features, network.condition(None)), batch)


def loop(network: DiT, batch: Noised) -> TokenLoss:
    """Every block on its own, after the clean text before it: sixteen blocks, sixteen passes."""
    size, length = network.config.block_size, batch.clean.shape[1]
    logits = []
    for start in range(0, length, size):
        tokens = torch.cat([batch.clean[:, :start], batch.noisy[:, start : start + size]], dim=1)
        features, _ = _pass(network, tokens, masks.clean(start + size, size, tokens.device), None)
        logits.append(network.output_layer(features[:, start:], network.condition(None)))
    return _loss(network, torch.cat(logits, dim=1), batch)


def _loss(network: DiT, logits: Tensor, batch: Noised) -> TokenLoss:
    mask = network.config.mask
    return weighted(masked_nll(logits, batch.clean, mask), batch.noisy == mask, batch.weight)


Kept = list[tuple[Tensor, Tensor]]
"""Keys and values [B, H, L, d] of every layer."""


def _pass(network: DiT, tokens: Tensor, mask: Tensor, past: Kept | None) -> tuple[Tensor, Kept]:
    """Features [B, n, D] of tokens [B, n], which read themselves and then `past`; and their own keys and values."""
    x: Tensor = network.vocab_embed(tokens)
    condition, kept = network.condition(None), []
    cos, sin = network.rotary_emb(torch.arange(tokens.shape[1], device=tokens.device))
    for number, block in enumerate(cast("Iterable[Block]", network.blocks)):
        assert block.adaLN_modulation is not None
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = block.adaLN_modulation(condition).chunk(6, dim=-1)
        qkv = block.attn_qkv(block.norm1(x) * (1 + scale) + shift).unflatten(-1, (3, block.heads, -1)).transpose(1, 3)
        queries, keys = rotate(qkv[:, :, :2], cos, sin).to(qkv.dtype).unbind(2)
        values = qkv[:, :, 2]
        kept.append((keys, values))
        if past is not None:
            keys = torch.cat([keys, past[number][0]], dim=2)
            values = torch.cat([values, past[number][1]], dim=2)
        heads = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        x = x + gate * block.attn_out(heads.transpose(1, 2).flatten(2))
        x = x + gate_mlp * block.mlp(block.norm2(x) * (1 + scale_mlp) + shift_mlp)
    return x, kept


def measure(config: DiTConfig = NETWORK, *, rows: int = 2, rounds: int = 4) -> Speed:
    """Times the three in turns, so that what else the machine does falls on all of them; the loop twice only."""
    system = BlockDiffusion(config)
    network = random_network(config)
    draws = torch.Generator().manual_seed(1)
    clean = torch.randint(0, config.mask, (rows, config.model_length), generator=draws)
    batch = system.noise(clean, ClippedInterval(), draws)
    ways: dict[str, Callable[[DiT, Noised], TokenLoss]] = {
        "one_pass": system.loss,
        "two_passes": two_passes,
        "loop": loop,
    }
    best = dict.fromkeys(ways, float("inf"))
    for turn in range(rounds):
        for name, way in ways.items():
            if name == "loop" and turn > 1:
                continue
            network.zero_grad(set_to_none=True)
            began = time.perf_counter()
            way(network, batch).total.div(all_but_first(clean).sum()).backward()  # type: ignore[no-untyped-call]
            best[name] = min(best[name], time.perf_counter() - began)
    return Speed(**best)


def random_network(config: DiTConfig, seed: int = 1) -> DiT:
    """A network in which nothing is zero any more, unlike a new one."""
    torch.manual_seed(seed)
    network = DiT(config)
    for parameter in network.parameters():
        if not bool(parameter.any()):
            nn.init.normal_(parameter, std=0.02)
    return network


if __name__ == "__main__":
    print("\n".join(measure().lines()))
