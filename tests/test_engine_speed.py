"""The benchmark of the paper's sampler measures what it says; how fast it is, is measured there."""

from __future__ import annotations

import torch

from model.backbones.dit import DiTConfig
from model.backbones.dit_denoiser import DiTDenoiser
from model.evaluation.engine_speed import Ratio, Uncached, cached_against_uncached, late_against_full, random_network

CONFIG = DiTConfig(vocab_size=23, hidden_dim=24, n_blocks=2, n_heads=2, cond_dim=6, model_length=16, block_size=4)


def test_both_ways_are_measured_and_compared() -> None:
    network = random_network(CONFIG)
    for ratio in (
        cached_against_uncached(network, places=2, steps=3, text=16),
        late_against_full(network, rounds=2, full=16, late=64),
    ):
        row = ratio.row()
        assert row["ratio"] == ratio.seconds / ratio.other > 0
        assert set(row) == {"name", "seconds per token", "against", "ratio", "bound"}


def test_a_ratio_is_of_the_first_to_the_second() -> None:
    assert Ratio("plain / fast", 6.0, 2.0, "≥ 3").row()["ratio"] == 3.0


def test_the_twins_give_the_same_logits() -> None:
    network = random_network(CONFIG)
    clean, slots = torch.arange(12)[None], torch.full((1, 4), CONFIG.mask)
    found = []
    for engine in (Uncached(network, end=0), DiTDenoiser(network, end=0)):
        cache = engine.new_cache(1)
        engine.commit(clean, cache)
        found.append(engine.logits(engine.denoise(slots, cache)))
    torch.testing.assert_close(*found, atol=1e-5, rtol=0)
    assert float(found[0].abs().max()) > 0.01
