"""Losses and noise: equal to the published numbers, to plain slow twins, and to what the mathematics promises."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model.backbones import masks
from model.evaluation.training_speed import loop, two_passes
from model.noise import ClippedInterval
from model.training import objectives
from model.training.objectives import TokenLoss, all_but_first
from model.training.one_pass import noisy_features
from model.training.systems.base import Noised
from model.training.systems.block_diffusion import BlockDiffusion
from model.training.systems.choice import SYSTEMS, system_for
from tests.training_tiny import CONFIG, config, network, rows

GOLDENS = sorted((Path(__file__).parent / "goldens").glob("block*.safetensors"))
MASK = 50


def draws(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(ours: TokenLoss, golden: dict[str, torch.Tensor], name: str) -> None:
    torch.testing.assert_close(ours.nll, golden[f"{name}/nll_per_token"], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.mean[None], golden[f"{name}/loss"], rtol=1e-6, atol=0)
    assert torch.equal(ours.counted, golden[f"{name}/token_mask"].bool())


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_losses_equal_the_published_ones(path: Path) -> None:
    golden = load_file(path)
    clean = golden["x0"]
    for run in ("bd3lm.full", "bd3lm.clipped"):
        part = {key: golden[f"{run}/{key}"] for key in ("logits", "xt", "t")}
        same(objectives.block_diffusion(part["logits"], clean, part["xt"], part["t"], MASK), golden, run)
    mdlm, sedd = golden["mdlm/input"], golden["sedd/input"]
    same(objectives.block_diffusion(golden["mdlm/logits"], clean, mdlm, golden["mdlm/t"], MASK), golden, "mdlm")
    same(objectives.score_entropy(golden["sedd/logits"], clean, sedd, golden["sedd/t"], MASK), golden, "sedd")
    ar = objectives.autoregressive(golden["ar/logits"], clean, MASK)
    same(TokenLoss(ar.nll[:, 1:], ar.counted[:, 1:]), golden, "ar")


@pytest.mark.parametrize(("length", "block"), [(16, 1), (16, 4), (16, 8), (256, 16), (96, 32)])
def test_one_pass_reads_what_the_dense_mask_lets_it_read(length: int, block: int) -> None:
    shape = config(block_size=block, model_length=length)
    net, system = network(shape), BlockDiffusion(shape)
    batch = system.noise(rows(2, length), ClippedInterval(), draws())
    both = torch.cat([batch.noisy, batch.clean], dim=1)
    plain = net(both, masks.positions(length), masks.dense(length, block))[:, :length]
    fast = net.output_layer(noisy_features(net, batch.noisy, batch.clean), net.condition(None))
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", [1, 4, 8])
def test_one_pass_two_passes_and_a_loop_over_blocks_have_one_loss_and_one_gradient(block: int) -> None:
    shape = config(block_size=block)
    net, system = network(shape), BlockDiffusion(shape)
    batch = system.noise(rows(3), ClippedInterval(), draws())
    found = []
    for way in (system.loss, two_passes, loop):
        net.zero_grad()
        loss = way(net, batch)
        loss.mean.backward()
        found.append((loss.nll.detach(), [parameter.grad.clone() for parameter in net.parameters()]))
    for nll, gradient in found[1:]:
        torch.testing.assert_close(nll, found[0][0], rtol=1e-4, atol=1e-5)
        for ours, theirs in zip(found[0][1], gradient, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_blocks_of_one_token_all_masked_are_next_token_cross_entropy() -> None:
    shape = config(block_size=1)
    net, system, clean = network(shape), BlockDiffusion(config(block_size=1)), rows(2)
    bound = system.bound(net, clean, all_but_first(clean), draws())
    for at in range(1, clean.shape[1]):
        text = torch.cat([clean[:, :at], torch.full((2, 1), CONFIG.mask)], dim=1)
        logits = net(text, torch.arange(at + 1), masks.clean(at + 1, 1))[:, -1, : CONFIG.mask]
        plain = torch.nn.functional.cross_entropy(logits, clean[:, at], reduction="none")
        torch.testing.assert_close(bound.nll[:, at], plain, rtol=1e-4, atol=1e-5)


def test_the_mean_nelbo_over_many_draws_at_one_token_meets_the_exact_nll() -> None:
    shape = config(block_size=1)
    net, system, clean = network(shape), BlockDiffusion(shape), rows(8)
    with torch.no_grad():
        exact = float(system.bound(net, clean, all_but_first(clean), draws()).mean)
        many = torch.stack(
            [system.loss(net, system.noise(clean, ClippedInterval(), draws(seed))).mean for seed in range(400)]
        )
    assert abs(float(many.mean()) - exact) < 3 * float(many.std()) / math.sqrt(len(many))


@pytest.mark.parametrize("block", [4, 16])
def test_the_bound_with_the_level_integrated_out_is_the_integral_over_all_masks(block: int) -> None:
    """Σ over every set of masked tokens of ∫ t^k (1−t)^(n−k) / t dt · Σ −log p, for one block of three free tokens."""
    shape = config(block_size=block)
    net, system, clean = network(shape), BlockDiffusion(shape), rows(1)
    free = list(range(1, 4))
    counted = torch.zeros_like(clean, dtype=torch.bool)
    counted[:, free] = True
    exact = 0.0
    ones = torch.ones(clean.shape)
    with torch.no_grad():
        for chosen in product([False, True], repeat=len(free)):
            masked = torch.zeros_like(counted)
            masked[:, free] = torch.tensor(chosen)
            if k := sum(chosen):
                noisy = torch.where(masked, CONFIG.mask, clean)
                nats = float(system.loss(net, Noised(clean, noisy, ones, ones)).nll.sum())
                exact += nats * math.gamma(k) * math.gamma(len(free) - k + 1) / math.gamma(len(free) + 1)
        many = torch.stack([system.bound(net, clean, counted, draws(seed)).total for seed in range(500)])
    assert abs(float(many.mean()) - exact) < 3 * float(many.std()) / math.sqrt(len(many))


def test_counts_within_an_interval_have_the_law_of_drawing_again() -> None:
    """Chi-square against the published rejection loop, both bounds enforced."""
    interval, size, blocks = ClippedInterval(0.3, 0.8), 8, 4000
    system = BlockDiffusion(config(block_size=size, model_length=2 * size))
    batch = system.noise(rows(blocks, 2 * size), interval, draws())
    ours = (batch.noisy[:, size:] == CONFIG.mask).sum(-1)  # the second block: nothing in it is kept clean
    levels = batch.level[:, size]
    stream, theirs = draws(2), []
    for level in levels.tolist():
        while True:
            count = int((torch.rand(size, generator=stream) <= level).sum())
            if interval.low <= count / size <= interval.high:
                theirs.append(count)
                break
    seen, wanted = torch.bincount(ours, minlength=9), torch.bincount(torch.tensor(theirs), minlength=9)
    assert seen.nonzero().flatten().tolist() == [3, 4, 5, 6]
    pooled = (seen + wanted)[3:7] / 2
    chi_square = float((((seen[3:7] - pooled) ** 2 + (wanted[3:7] - pooled) ** 2) / pooled).sum())
    assert chi_square < 16.3  # 99.9 % quantile for three degrees of freedom


def test_every_stratum_of_levels_is_used_once_and_falls_on_any_block() -> None:
    system = BlockDiffusion(config())
    levels = system.noise(rows(8), ClippedInterval(), draws()).level[:, ::4].flatten()
    assert torch.equal((levels.sort().values * 32).floor().clamp(max=31), torch.arange(32.0))
    assert not torch.equal(levels, levels.sort().values)


@pytest.mark.parametrize("name", SYSTEMS)
def test_only_masks_change_and_the_first_token_never(name: str) -> None:
    system, clean = system_for(config(name)), rows(64)
    batch = system.noise(clean, ClippedInterval(), draws())
    changed = batch.noisy != clean
    assert bool((batch.noisy[changed] == CONFIG.mask).all())
    assert not bool(changed[:, 0].any())
    assert bool(changed.any()) == (name != "ar")


@pytest.mark.parametrize("name", SYSTEMS)
def test_rows_of_a_batch_cost_what_they_cost_alone(name: str) -> None:
    system, clean = system_for(config(name)), rows(4)
    net = network(system.config)
    batch = system.noise(clean, ClippedInterval(), draws())
    whole = system.loss(net, batch).nll
    for at in range(4):
        torch.testing.assert_close(
            system.loss(net, batch.rows(slice(at, at + 1))).nll[0], whole[at], rtol=1e-4, atol=1e-5
        )


def test_a_share_that_no_count_has_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="choose a wider interval"):
        BlockDiffusion(config(block_size=1)).noise(rows(2), ClippedInterval(0.3, 0.8), draws())
