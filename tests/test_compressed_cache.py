"""A cache of bytes: how far it moves what the network says, what it saves, and that it is a cache like the other."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model.backbones.compressed_cache import CompressedCache, CompressedDenoiser, rounded
from model.backbones.dit import DiT
from model.backbones.dit_denoiser import DiTDenoiser
from model.block_diffusion import Recipe, SeededDraws, finish, write
from model.evaluation.compression import cached_bound, measure
from model.training.systems.base import Noised
from model.training.systems.block_diffusion import BlockDiffusion
from tests.test_dit_denoiser import AR, CONFIG, WHOLE, answers, network, text
from tests.training_tiny import config, rows
from tests.training_tiny import network as trained


def engines(shape: object = CONFIG) -> tuple[DiTDenoiser, CompressedDenoiser]:
    made = network(shape)  # type: ignore[arg-type]
    return DiTDenoiser(made, end=0), CompressedDenoiser(made, end=0)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=16))
def test_a_rounded_number_is_off_by_half_a_step_at_most(numbers: list[float]) -> None:
    given_numbers = torch.tensor(numbers)
    whole, scale = rounded(given_numbers)
    assert whole.dtype == torch.int8
    off = (whole * scale - given_numbers).abs().max()
    assert float(off) <= 0.501 * float(scale) + 1e-30  # numbers of no size at all have a scale of 0
    assert float(scale) == pytest.approx(float(given_numbers.abs().max()) / 127)


def test_logits_move_a_little_and_only_where_something_is_cached() -> None:
    """Past the window too: 60 tokens through a window of 16."""
    plain, small = engines()
    before, after = (answers(engine, text(60), 4) for engine in (plain, small))
    assert torch.equal(before[0], after[0])  # nothing is cached yet
    moved = (after - before).abs()
    assert bool((moved[1:].flatten(1).amax(1) > 0).all())
    spread = float(before.std())
    assert float(moved.max()) < 0.1 * spread
    assert float(moved.square().mean().sqrt()) < 0.02 * spread


def test_it_takes_little_more_than_a_quarter_of_the_memory() -> None:
    """A byte instead of four, and four for the scale of a head's numbers: (d + 4) / 4 d."""
    plain, small = (engine.new_cache(3).nbytes for engine in engines())
    width = CONFIG.head_dim
    assert small / plain == pytest.approx((width + 4) / (4 * width))


@pytest.mark.parametrize("shape", [CONFIG, AR, WHOLE], ids=["4", "ar", "whole"])
def test_texts_are_written_with_it_alone_or_side_by_side(shape: object) -> None:
    _, engine = engines(shape)
    prompts = [[1], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [5, 6, 7, 8, 9]]
    together = finish(write(engine, prompts, Recipe(), SeededDraws([1, 2, 3]), length=40))
    for seed, prompt in enumerate(prompts, 1):
        assert finish(write(engine, [prompt], Recipe(), SeededDraws([seed]), length=40)) == [together[seed - 1]]


def test_it_can_be_cut_copied_and_begun_again_like_the_other() -> None:
    _, engine = engines(replace(CONFIG, model_length=160))
    clean = text(140, rows=2)
    whole = engine.new_cache(2)
    engine.commit(clean, whole)
    noisy = torch.full((2, 4), engine.facts.mask)

    def says(cache: CompressedCache, block: Tensor) -> Tensor:
        return engine.logits(engine.denoise(block, cache))

    fresh = engine.new_cache(2)
    engine.commit(clean[:, :8], fresh)
    wanted = says(fresh, noisy)
    begun = whole.beginning(8)
    torch.testing.assert_close(says(begun, noisy), wanted)
    engine.commit(text(4, rows=2, seed=9), begun)  # a copy of its own
    one = whole.rows(torch.tensor([1]))
    assert isinstance(one, CompressedCache)
    torch.testing.assert_close(says(one, noisy[:1])[0], says(whole, noisy)[1])
    whole.cut(140 - 4)
    whole.cut(8)
    torch.testing.assert_close(says(whole, noisy), wanted)


# ----------------------------------------------------------------------------------------------------- what it costs


@torch.no_grad()
def test_through_the_plain_cache_the_bound_is_that_of_training() -> None:
    """The same masks, in one pass over x_t ⊕ x_0."""
    shape = config()
    net, clean = trained(shape), rows(3)
    nats, _ = cached_bound(DiTDenoiser(net, end=0), clean, torch.Generator().manual_seed(4))
    masked = nats > 0
    ones = torch.ones(clean.shape)
    batch = Noised(clean, torch.where(masked, shape.mask, clean), ones, ones)
    once = BlockDiffusion(shape).loss(net, batch).nll
    by_block = masked.view(3, 4, 4).sum(-1, keepdim=True)
    free = torch.tensor([3, 4, 4, 4]).view(1, 4, 1)
    weight = (free / by_block).expand(3, 4, 4).reshape(3, 16)
    torch.testing.assert_close(nats, once * weight, rtol=1e-3, atol=1e-4)


def test_the_cost_is_measured_on_the_same_masks_and_is_small() -> None:
    found = measure(trained(config()), rows(6), batch=4)
    assert 0 < abs(found.more) < 0.05 < found.nats
    assert found.error < 0.05
    assert found.compressed < found.plain


def test_with_a_network_that_says_the_same_everywhere_no_rounding_costs_anything() -> None:
    """A network that says the same everywhere costs log V per token, with either cache."""
    uniform = measure(DiT(config()), rows(4))
    assert uniform.nats == pytest.approx(math.log(config().mask), rel=1e-5)
    assert uniform.more == pytest.approx(0.0, abs=1e-6)
