"""Rules of the published network: its shapes, what it sees, and what a new one begins with."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model.backbones import masks
from model.backbones.dit import DiT, DiTConfig, WrongConfig, weight_shapes
from model.evaluation.engine_speed import PUBLISHED, random_network

PLAIN = DiTConfig(
    vocab_size=23, hidden_dim=24, n_blocks=2, n_heads=2, cond_dim=6, model_length=12, block_size=4, dropout=0.0
)
WHOLE = replace(PLAIN, block_size=12, cross_attn=False)
CAUSAL = replace(PLAIN, block_size=1, cross_attn=False, causal=True, adaln=False)

CONFIG_JSON: dict[str, Any] = {
    "architectures": ["BD3LM"],
    "model_type": "bd3lm",
    "block_size": 4,
    "model_length": 1024,
    "vocab_size": 50258,
    "hidden_dim": 768,
    "n_blocks": 12,
    "n_heads": 12,
    "cond_dim": 128,
    "dropout": 0.1,
    "cross_attn": True,
    "var_min": True,
    "time_conditioning": False,
    "attn_backend": "sdpa",
    "sampling_eps_min": 0.001,
    "sampling_eps_max": 0.999,
}


def text(config: DiTConfig, rows: int = 2, length: int | None = None, seed: int = 0) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randint(0, config.vocab_size, (rows, length or config.model_length), generator=stream)


def positions(tokens: Tensor) -> Tensor:
    return torch.arange(tokens.shape[1])


# ------------------------------------------------------------------------------------------------- configurations


def test_a_published_configuration_is_read_and_what_it_leaves_out_has_the_published_default() -> None:
    config = DiTConfig.from_published(CONFIG_JSON)
    assert config == replace(PUBLISHED, block_size=4)
    assert (config.adaln, config.causal, config.mask) == (True, False, 50257)


@pytest.mark.parametrize(
    ("given_fields", "expected"),
    [
        ({"model_type": "mdlm"}, {"block_size": 1024, "cross_attn": False}),
        ({"cross_attn": False, "time_conditioning": True}, {"block_size": 1024, "time_conditioning": True}),
        ({"causal": True, "adaln": False, "cross_attn": False}, {"block_size": 1, "adaln": False, "causal": True}),
        ({"model_type": "ssd", "block_size": 32}, {"block_size": 32, "simplex": True, "time_conditioning": True}),
    ],
    ids=["mdlm", "sedd", "ar", "ssd"],
)
def test_the_baselines_are_read_too(given_fields: dict[str, Any], expected: dict[str, Any]) -> None:
    fields = {name: value for name, value in CONFIG_JSON.items() if name not in ("block_size", "cross_attn")}
    config = DiTConfig.from_published(fields | given_fields)
    assert {name: getattr(config, name) for name in expected} == expected


SSD = replace(WHOLE, block_size=4, time_conditioning=True, simplex=True)


@pytest.mark.parametrize("config", [PLAIN, WHOLE, CAUSAL, replace(WHOLE, time_conditioning=True), SSD])
def test_a_written_configuration_reads_back_as_itself(config: DiTConfig) -> None:
    assert DiTConfig.from_published(config.to_published()) == config


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": "llama"}, "'llama'.*bd3lm, mdlm, sedd, ar"),
        ({"model_type": None}, "architecture None"),
        ({"n_heads": 7}, "768 dimensions do not split into 7 heads"),
        ({"block_size": 5}, "1024 tokens do not split into blocks of 5"),
        ({"n_blocks": 0}, "n_blocks is 0"),
    ],
)
def test_what_this_network_cannot_be_is_refused_with_a_reason(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(WrongConfig, match=sentence):
        DiTConfig.from_published(CONFIG_JSON | change)


def test_a_field_that_is_missing_is_named() -> None:
    with pytest.raises(WrongConfig, match="lacks hidden_dim, n_heads"):
        DiTConfig.from_published({k: v for k, v in CONFIG_JSON.items() if k not in ("hidden_dim", "n_heads")})


def test_full_size_is_as_published() -> None:
    shapes = weight_shapes(PUBLISHED)
    buffer = "rotary_emb.inv_freq"
    bounds = 2  # sampling_eps_min and sampling_eps_max stand beside the network
    assert len(shapes) + bounds == 133
    assert sum(prod(shape) for name, shape in shapes.items() if name != buffer) == 169_627_218
    assert shapes["blocks.11.adaLN_modulation.weight"] == (4608, 128)
    assert shapes["output_layer.linear.weight"] == (50258, 768)
    assert shapes["sigma_map.mlp.0.weight"] == (128, 256)
    assert shapes[buffer] == (32,)


def test_the_autoregressive_network_has_no_modulation() -> None:
    assert not [name for name in weight_shapes(CAUSAL) if "adaLN" in name or "sigma_map" in name]


# ------------------------------------------------------------------------------------------------------ what it sees


@pytest.mark.parametrize("config", [PLAIN, CAUSAL, replace(WHOLE, time_conditioning=True)])
def test_a_new_network_gives_every_token_the_same_chance(config: DiTConfig) -> None:
    tokens = text(config)
    logits = DiT(config)(tokens, positions(tokens), None, torch.tensor([0.3, 2.0]))
    assert torch.equal(logits, torch.zeros(2, 12, 23))


def test_training_can_leave_the_beginning() -> None:
    network = DiT(PLAIN)
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    tokens = text(PLAIN)
    for _ in range(4):  # the zero layers move first, and what is behind their gates after them
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(tokens, positions(tokens)).flatten(0, 1), tokens.flatten()).backward()
        optimiser.step()
    still = [name for name, p in network.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert still == []


def test_without_a_mask_everything_is_seen_and_a_causal_network_sees_the_past() -> None:
    for config, mask in ((WHOLE, torch.ones(12, 12)), (CAUSAL, torch.ones(12, 12).tril())):
        network, tokens = random_network(config), text(config)
        plain = network(tokens, positions(tokens))
        torch.testing.assert_close(plain, network(tokens, positions(tokens), mask.bool()))


def test_a_causal_network_does_not_see_the_future() -> None:
    network, tokens = random_network(CAUSAL), text(CAUSAL)
    changed = tokens.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 23
    before, after = network(tokens, positions(tokens)), network(changed, positions(tokens))
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


@given(shift=st.integers(1, 500))
def test_only_differences_of_positions_count(shift: int) -> None:
    network, tokens = random_network(WHOLE), text(WHOLE)
    torch.testing.assert_close(
        network(tokens, positions(tokens)), network(tokens, positions(tokens) + shift), atol=1e-4, rtol=0
    )


def test_the_order_of_tokens_counts() -> None:
    network, tokens = random_network(WHOLE), text(WHOLE)
    turned = network(tokens.flip(1), positions(tokens)).flip(1)
    assert not torch.allclose(network(tokens, positions(tokens)), turned, atol=1e-3)


@pytest.mark.parametrize("block", [1, 2, 4, 12])
def test_a_noisy_block_beside_clean_text_reads_what_it_reads_in_sampling(block: int) -> None:
    """One pass over x_t ⊕ x_0 is as many passes over a clean beginning and one noisy block after it."""
    config = replace(PLAIN, block_size=block)
    network, clean = random_network(config), text(config)
    noisy = torch.where(torch.rand(clean.shape, generator=torch.Generator().manual_seed(1)) < 0.5, config.mask, clean)
    both = network(torch.cat([noisy, clean], dim=1), masks.positions(12), masks.dense(12, block))
    for end in range(block, 13, block):
        alone = torch.cat([clean[:, : end - block], noisy[:, end - block : end]], dim=1)
        logits = network(alone, positions(alone), masks.clean(end, block))
        torch.testing.assert_close(both[:, end - block : end], logits[:, -block:], atol=1e-5, rtol=0)


# ------------------------------------------------------------------------------------------- noise level and precision


def test_without_time_conditioning_the_noise_level_is_not_read() -> None:
    network, tokens = random_network(PLAIN), text(PLAIN)
    assert torch.equal(
        network(tokens, positions(tokens)), network(tokens, positions(tokens), None, torch.tensor([0.1, 3.0]))
    )


def test_with_time_conditioning_each_token_may_have_its_own_noise_level() -> None:
    network, tokens = random_network(replace(WHOLE, time_conditioning=True)), text(WHOLE)
    sigma = torch.tensor([0.1, 3.0])
    whole = network(tokens, positions(tokens), None, sigma)
    torch.testing.assert_close(whole, network(tokens, positions(tokens), None, sigma[:, None].expand(2, 12)))
    assert not torch.allclose(whole, network(tokens, positions(tokens), None, sigma.flip(0)))


def test_with_time_conditioning_the_noise_level_must_be_given() -> None:
    network, tokens = random_network(replace(WHOLE, time_conditioning=True)), text(WHOLE)
    with pytest.raises(ValueError, match="pass sigma"):
        network(tokens, positions(tokens))


def test_dropout_acts_in_training_alone() -> None:
    network, tokens = random_network(replace(PLAIN, dropout=0.5)), text(PLAIN)
    once, again = (network(tokens, positions(tokens)) for _ in range(2))
    assert torch.equal(once, again)
    network.train()
    assert not torch.allclose(once, network(tokens, positions(tokens)))


def test_autocast_gives_nearly_the_same() -> None:
    network, tokens = random_network(PLAIN), text(PLAIN)
    full = network(tokens, positions(tokens))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = network(tokens, positions(tokens))
    assert half.dtype == torch.bfloat16
    assert float((full - half).abs().max() / full.abs().max()) < 0.05
