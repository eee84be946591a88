"""The desk's own sampler writes with the published networks, too."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.backbones.dit import DiTConfig
from model.backbones.dit_denoiser import DiTDenoiser
from model.contract import Dial
from model.evaluation.engine_speed import random_network
from model.sampler import Block, BlockSampler, Draws

CONFIG = DiTConfig(vocab_size=51, hidden_dim=32, n_blocks=2, n_heads=2, cond_dim=16, model_length=32, block_size=8)
WHOLE = replace(CONFIG, block_size=32, cross_attn=False, time_conditioning=True)
AR = replace(CONFIG, block_size=1, cross_attn=False, causal=True, adaln=False)


def blocks(sampler: BlockSampler, count: int, seed: int = 0) -> list[Block]:
    found = []
    for number in range(count):
        steps = sampler.block(sampler.dial.block_size, Draws([seed + number] * sampler.cache.batch))
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                found.append(stop.value)
                break
    return found


def reader(config: DiTConfig, dial: Dial, prompt: Tensor) -> BlockSampler:
    sampler = BlockSampler(DiTDenoiser(random_network(config), end=49), dial, batch=len(prompt))
    for _ in sampler.read(prompt):
        pass
    return sampler


@pytest.mark.parametrize("config", [CONFIG, WHOLE], ids=["blocks", "whole row"])
@pytest.mark.parametrize("dial", [Dial(8, 4, "confidence"), Dial(4, 2, "first-hitting"), Dial(8, 8, "threshold", 0.5)])
def test_blocks_end_where_the_networks_own_do_and_text_outgrows_the_window(config: DiTConfig, dial: Dial) -> None:
    sampler = reader(config, dial, torch.arange(11)[None])
    found = blocks(sampler, 30)
    written = torch.cat([block.tokens for block in found], dim=1)
    assert int(written.max()) < CONFIG.mask
    assert sampler.cache.decided == 11 + written.shape[1] > 3 * CONFIG.model_length
    ends = torch.tensor([11 + sum(b.tokens.shape[1] for b in found[: n + 1]) for n in range(30)])
    assert all(b.tokens.shape[1] == dial.block_size or int(end) % 8 == 0 for b, end in zip(found, ends, strict=True))
    assert all(bool(block.nll.isnan().all()) for block in found)


def test_the_autoregressive_baseline_is_verified_token_by_token() -> None:
    sampler = reader(AR, Dial(1, 1, "verified"), torch.arange(11)[None])
    found = blocks(sampler, 60)
    assert all(bool(block.nll.isfinite().all()) for block in found)
    assert sampler.nfe == sampler.cache.decided - 11 == 60


def test_a_fork_goes_its_own_way() -> None:
    sampler = reader(CONFIG, Dial(8, 4, "confidence"), torch.arange(11)[None])
    twin = sampler.fork(torch.tensor([0, 0]))
    blocks(twin, 5, seed=9)
    again = reader(CONFIG, Dial(8, 4, "confidence"), torch.arange(11)[None])
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(blocks(sampler, 3), blocks(again, 3), strict=True))
