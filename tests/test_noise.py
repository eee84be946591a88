"""Rules of noise: what a level means, how blocks are masked, and what SUBS makes of logits."""

from __future__ import annotations

from math import comb

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model.noise import (
    EPS,
    SCHEDULES,
    ClippedInterval,
    mask_within,
    schedule,
    sigma,
    stratified,
    subs_log_probs,
)

MASK = 6

INTERVALS = st.tuples(st.integers(1, 50), st.integers(50, 100)).map(lambda p: ClippedInterval(p[0] / 100, p[1] / 100))


# ---------------------------------------------------------------------------------------------------------- levels


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_weight_of_a_schedule_is_the_relative_growth_of_its_chance(name: str) -> None:
    t = torch.linspace(0.05, 0.99, 50, dtype=torch.float64, requires_grad=True)
    chance = schedule(name).chance(t)
    (growth,) = torch.autograd.grad(chance.sum(), t)
    torch.testing.assert_close(schedule(name).weight(t), growth / chance)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_chance_of_a_mask_rises_from_about_0_to_about_1(name: str) -> None:
    chance = schedule(name).chance(torch.linspace(EPS, 1, 100))
    assert bool((chance.diff() >= 0).all())
    assert float(chance[0]) < 0.04
    assert float(chance[-1]) == pytest.approx(1, abs=2 * EPS)


def test_a_schedule_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'linar'.*linear, cosine"):
        schedule("linar")


@given(interval=INTERVALS, seed=st.integers(0, 99))
def test_levels_lie_in_the_interval_and_fill_it(interval: ClippedInterval, seed: int) -> None:
    levels = interval.levels(torch.rand(1000, generator=torch.Generator().manual_seed(seed)))
    width = interval.high - interval.low
    assert interval.low - 1e-6 <= float(levels.min()) <= interval.low + 0.05 * width + 1e-6
    assert interval.high - 0.05 * width - 1e-6 <= float(levels.max()) <= interval.high + 1e-6


@pytest.mark.parametrize("bounds", [(0.0, 0.5), (0.6, 0.5), (0.5, 1.1), (-0.1, 1.0)])
def test_what_is_no_interval_is_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="no interval"):
        ClippedInterval(*bounds)


def test_only_the_whole_range_is_a_bound() -> None:
    in_float32 = float(torch.tensor(EPS))
    assert ClippedInterval().is_bound
    assert ClippedInterval(in_float32, 1.0).is_bound
    assert not ClippedInterval(0.3, 1.0).is_bound
    assert not ClippedInterval(EPS, 0.9).is_bound


@given(rows=st.integers(1, 4), blocks=st.integers(1, 8), seed=st.integers(0, 99))
def test_stratified_levels_have_one_in_every_equal_part(rows: int, blocks: int, seed: int) -> None:
    uniforms = torch.rand(rows, blocks, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    parts = (stratified(uniforms) * rows * blocks).floor().flatten().long()
    assert sorted(parts.tolist()) == list(range(rows * blocks))


def test_the_total_noise_is_the_logarithm_of_what_stays_visible() -> None:
    chance = torch.tensor([0.0, 0.5, 0.9, 1.0])
    torch.testing.assert_close(torch.exp(-sigma(chance)), torch.tensor([1.0, 0.5, 0.1, EPS]))


# -------------------------------------------------------------------------------------------------------- the masks


def rejection_law(chance: float, size: int, low: float, high: float) -> list[float]:
    """Law of the number of masks, when a block is drawn again until its share of masks fits."""
    law = [comb(size, n) * chance**n * (1 - chance) ** (size - n) * (low <= n / size <= high) for n in range(size + 1)]
    return [p / sum(law) for p in law]


@given(
    chance=st.sampled_from([0.01, 0.3, 0.5, 0.83, 1.0]),
    size=st.sampled_from([1, 2, 4, 16]),
    bounds=st.sampled_from([(EPS, 1.0), (0.3, 0.8), (0.45, 0.95), (EPS, 0.5), (0.5, 1.0)]),
)
def test_the_number_of_masks_follows_the_law_of_redrawing(
    chance: float, size: int, bounds: tuple[float, float]
) -> None:
    low, high = bounds
    enforced = (0.0 if low == EPS else low, high)
    if chance == 1.0 and high < 1.0:
        chance = 0.99  # redrawing would not come to an end
    if not any(enforced[0] <= n / size <= high for n in range(size + 1)):
        return
    many = 2000
    quantiles = ((torch.arange(many, dtype=torch.float64) + 0.5) / many)[:, None]
    order = torch.rand(many, size, generator=torch.Generator().manual_seed(0))
    masked = mask_within(torch.full((many, 1), chance), ClippedInterval(low, high), quantiles, order)
    frequency = torch.bincount(masked.sum(1), minlength=size + 1) / many
    torch.testing.assert_close(
        frequency, torch.tensor(rejection_law(chance, size, *enforced)), atol=1.1 / many, rtol=0, check_dtype=False
    )


@given(seed=st.integers(0, 99))
def test_every_block_is_within_the_interval_and_masks_come_first_in_the_order(seed: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    order, counts = torch.rand(3, 32, generator=stream), torch.rand(3, 4, generator=stream)
    masked = mask_within(torch.rand(3, 4, generator=stream), ClippedInterval(0.3, 0.8), counts, order).view(3, 4, 8)
    share = masked.float().mean(-1)
    assert bool(((share >= 0.3) & (share <= 0.8)).all())
    ranked = order.view(3, 4, 8)
    assert bool((ranked.masked_fill(~masked, 0).amax(-1) < ranked.masked_fill(masked, 1).amin(-1)).all())


def test_bounds_that_were_stored_in_float32_mean_the_same() -> None:
    order, counts, chance = torch.rand(1, 8), torch.zeros(1, 2), torch.full((1, 2), 0.5)
    stored = ClippedInterval(*torch.tensor([EPS, 0.5]).tolist())
    assert int(mask_within(chance, stored, counts, order).sum()) == 0  # the lower bound is not enforced


def test_an_interval_that_no_share_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="block of 1 is a share within"):
        mask_within(torch.ones(1, 4), ClippedInterval(0.3, 0.8), torch.rand(1, 4), torch.rand(1, 4))


# ------------------------------------------------------------------------------------------------------------- SUBS


@given(seed=st.integers(0, 999))
def test_subs_never_predicts_the_mask_and_carries_over_what_is_visible(seed: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    logits: Tensor = torch.randn(2, 5, MASK + 1, generator=stream) * 5
    tokens = torch.randint(0, MASK + 1, (2, 5), generator=stream)
    probs = subs_log_probs(logits, tokens, MASK).exp()
    torch.testing.assert_close(probs.sum(-1), torch.ones(2, 5))
    hidden = tokens == MASK
    assert bool((probs[hidden][:, MASK] == 0).all())
    torch.testing.assert_close(probs[hidden][:, :MASK], logits[hidden][:, :MASK].softmax(-1))
    assert torch.equal(probs[~hidden].argmax(-1), tokens[~hidden])
    assert bool((probs[~hidden].amax(-1) == 1).all())


def test_subs_leaves_the_logits_it_is_given_as_they_are() -> None:
    logits = torch.randn(1, 3, MASK + 1)
    before = logits.clone()
    subs_log_probs(logits, torch.full((1, 3), MASK), MASK)
    assert torch.equal(logits, before)


def test_subs_has_a_gradient_without_nan() -> None:
    logits = torch.randn(1, 4, MASK + 1, requires_grad=True)
    clean, noisy = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[0, MASK, 2, MASK]])
    (gradient,) = torch.autograd.grad(subs_log_probs(logits, noisy, MASK).gather(-1, clean[..., None]).sum(), logits)
    assert bool(gradient.isfinite().all())
    assert gradient[0, 0].tolist() == [0.0] * (MASK + 1)
    assert bool((gradient[0, 1] != 0).any())
