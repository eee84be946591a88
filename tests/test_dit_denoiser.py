"""Rules of the cached network: it gives what the plain one gives in the window, and past it as published or exactly."""

from __future__ import annotations

import functools
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model.backbones import masks
from model.backbones.dit import Block, DiT, DiTConfig, rotate
from model.backbones.dit_denoiser import DiTDenoiser, WindowCache
from model.denoiser import BlockCache
from model.evaluation.engine_speed import Uncached, random_network
from model.linear import has_fbgemm, multiplies_bfloat16

CONFIG = DiTConfig(vocab_size=23, hidden_dim=24, n_blocks=3, n_heads=2, cond_dim=6, model_length=16, block_size=4)
WHOLE = replace(CONFIG, block_size=16, cross_attn=False)
TIMED = replace(WHOLE, time_conditioning=True)
AR = replace(CONFIG, block_size=1, cross_attn=False, causal=True, adaln=False)
NEAR = {"atol": 2e-5, "rtol": 0.0}


def network(config: DiTConfig = CONFIG) -> DiT:
    """Gates, scales and logits large enough that every part counts."""
    made = random_network(config)
    for name, parameter in made.named_parameters():
        if "adaLN" in name or name.startswith("output_layer.linear"):
            torch.nn.init.normal_(parameter, std=0.3)
    return made


@functools.cache
def denoiser(config: DiTConfig = CONFIG, *, exact: bool = False) -> DiTDenoiser:
    return DiTDenoiser(network(config), end=0, exact=exact)


def text(length: int, rows: int = 1, seed: int = 0) -> Tensor:
    return torch.randint(0, CONFIG.mask, (rows, length), generator=torch.Generator().manual_seed(seed))


def noisy(block: int, rows: int = 1, seed: int = 7) -> Tensor:
    """A block of which about half is masked."""
    hidden = torch.rand(rows, block, generator=torch.Generator().manual_seed(seed)) < 0.5
    return torch.where(hidden, CONFIG.mask, text(block, rows, seed))


def answers(engine: DiTDenoiser | Uncached, clean: Tensor, size: int) -> Tensor:
    """Logits [n, L', V] of the same noisy block before the text and after each of its blocks."""
    cache, found = engine.new_cache(1), []
    for block in torch.split(clean, size, dim=1):
        found.append(engine.logits(engine.denoise(noisy(size), cache))[0])
        engine.commit(block, cache)
    return torch.stack(found)


class Published:
    """The published cache, as plainly as it can be written: per layer bare keys and values of the window, rotated from
    position 0 on at each call; the oldest block is dropped when the window is full."""

    def __init__(self, made: DiT) -> None:
        self._network, self._config = made, made.config
        self._kept: list[Tensor] = [torch.zeros(1, 0, 3 * made.config.hidden_dim) for _ in made.blocks]

    def read(self, tokens: Tensor, *, store: bool) -> Tensor:
        """Logits [1, L', V] of a block that follows the window."""
        made, config = self._network, self._config
        x, condition = made.vocab_embed(tokens), made.condition(None)
        size = tokens.shape[1]
        for i, block in enumerate(made.blocks):
            assert isinstance(block, Block)
            assert block.adaLN_modulation is not None
            shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = block.adaLN_modulation(condition).chunk(6, dim=-1)
            window = torch.cat([self._kept[i], block.attn_qkv(block.norm1(x) * (1 + scale) + shift)], dim=1)
            if store:
                full = window.shape[1] >= config.model_length
                self._kept[i] = window[:, config.block_size if full else 0 :]
            q, k, v = window.view(1, -1, 3, config.n_heads, config.head_dim).permute(2, 0, 3, 1, 4)
            turn = made.rotary_emb(torch.arange(window.shape[1]))
            scores = rotate(q, *turn)[:, :, -size:] @ rotate(k, *turn).mT / config.head_dim**0.5
            x = x + gate * block.attn_out((scores.softmax(-1) @ v).transpose(1, 2).reshape(1, size, -1))
            x = x + gate_mlp * block.mlp(block.norm2(x) * (1 + scale_mlp) + shift_mlp)
        logits: Tensor = made.output_layer(x, condition)
        return logits


# ------------------------------------------------------------------------------------------------- inside the window


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("block", [1, 2, 4, 8])
def test_cached_is_uncached_in_the_window(block: int, exact: bool) -> None:
    config, clean = replace(CONFIG, block_size=block), text(16)
    cached = answers(denoiser(config, exact=exact), clean, block)
    torch.testing.assert_close(cached, answers(Uncached(network(config), end=0), clean, block), **NEAR)


@given(cuts=st.lists(st.integers(1, 15), max_size=3), seed=st.integers(0, 9))
def test_a_prompt_may_be_read_in_any_pieces(cuts: list[int], seed: int) -> None:
    clean, whole, pieces = text(11, seed=seed), denoiser(), denoiser()
    at_once, bit_by_bit = whole.new_cache(1), pieces.new_cache(1)
    whole.commit(clean, at_once)
    edges = sorted({0, 11, *(cut for cut in cuts if cut < 11)})
    for start, stop in pairwise(edges):
        pieces.commit(clean[:, start:stop], bit_by_bit)
    assert (at_once.size, at_once.pending, at_once.decided) == (bit_by_bit.size, bit_by_bit.pending, 11) == (8, 3, 11)
    slot = torch.full((1, 1), CONFIG.mask)
    torch.testing.assert_close(whole.denoise(slot, at_once), pieces.denoise(slot, bit_by_bit), **NEAR)


def test_tokens_that_do_not_fill_a_block_are_a_part_of_the_next_one() -> None:
    engine, clean = denoiser(), text(6)
    apart, together = engine.new_cache(1), engine.new_cache(1)
    engine.commit(clean, apart)
    engine.commit(clean[:, :4], together)
    block = torch.cat([clean[:, 4:], torch.full((1, 2), CONFIG.mask)], dim=1)
    assert (engine.room(apart), engine.room(together)) == (2, 4)
    torch.testing.assert_close(
        engine.denoise(block[:, 2:], apart), engine.denoise(block, together)[:, 2:], atol=0, rtol=0
    )
    torch.testing.assert_close(  # the slots after those that are asked for are masked
        engine.denoise(block[:, 2:3], apart), engine.denoise(block, together)[:, 2:3], atol=0, rtol=0
    )


def test_a_block_that_does_not_fit_is_refused() -> None:
    engine = denoiser()
    cache = engine.new_cache(1)
    engine.commit(text(2), cache)
    with pytest.raises(ValueError, match="3 slots do not fit: 2 of the block's 4 are decided"):
        engine.denoise(noisy(3), cache)


@pytest.mark.parametrize("length", [8, 11, 40])
def test_denoising_leaves_the_text_as_it_is(length: int) -> None:
    engine = denoiser()
    cache = engine.new_cache(1)
    engine.commit(text(length), cache)
    slots = torch.full((1, engine.room(cache)), CONFIG.mask)
    before = engine.denoise(slots, cache)
    for seed in range(3):
        engine.denoise(noisy(engine.room(cache), seed=seed), cache)
    assert torch.equal(before, engine.denoise(slots, cache))
    assert cache.decided == length


def test_a_batch_is_as_one_by_one() -> None:
    engine, clean, block = denoiser(), text(40, rows=3), noisy(4, rows=3)
    together = engine.new_cache(3)
    engine.commit(clean, together)
    alone = []
    for row in range(3):
        cache = engine.new_cache(1)
        engine.commit(clean[row : row + 1], cache)
        alone.append(engine.denoise(block[row : row + 1], cache))
    torch.testing.assert_close(engine.denoise(block, together), torch.cat(alone), **NEAR)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("after", [0, 8, 24])
def test_blocks_that_pad_a_shorter_text_are_not_seen(after: int, exact: bool) -> None:
    """Whatever stands there, and also where they have left the window since."""
    engine, clean = denoiser(exact=exact), text(12 + after)
    alone, padded = engine.new_cache(1), engine.new_cache(2)
    padded.padding = torch.tensor([8, 0])
    engine.commit(torch.cat([torch.cat([text(8, seed=3), clean[:, :12]], dim=1), text(20, seed=4)]), padded)
    engine.commit(clean[:, :12], alone)
    if after:
        engine.commit(torch.cat([clean[:, 12:], text(after, seed=5)]), padded)
        engine.commit(clean[:, 12:], alone)
    both = engine.denoise(noisy(4).expand(2, 4), padded)
    assert bool(both.isfinite().all())
    torch.testing.assert_close(both[:1], engine.denoise(noisy(4), alone), **NEAR)


# ---------------------------------------------------------------------------------------------------- past the window


def test_after_eviction_the_cache_is_the_published_one() -> None:
    clean = text(48)
    plain, found = Published(network()), []
    for block in torch.split(clean, 4, dim=1):
        found.append(plain.read(noisy(4), store=False)[0])
        plain.read(block, store=True)
    torch.testing.assert_close(answers(denoiser(), clean, 4), torch.stack(found), **NEAR)


def test_after_eviction_the_exact_cache_is_uncached() -> None:
    clean = text(48)
    uncached = answers(Uncached(network(), end=0), clean, 4)
    torch.testing.assert_close(answers(denoiser(exact=True), clean, 4), uncached, **NEAR)
    published = answers(denoiser(), clean, 4)
    assert float((published - uncached)[4:].abs().amax((1, 2)).min()) > 1e-3  # the deep layers remember


@pytest.mark.parametrize("exact", [False, True])
def test_a_prompt_longer_than_the_window_is_as_one_written_block_by_block(exact: bool) -> None:
    engine, clean = denoiser(exact=exact), text(42)
    at_once, stepwise = engine.new_cache(1), engine.new_cache(1)
    engine.commit(clean, at_once)
    for block in torch.split(clean, 4, dim=1):
        engine.commit(block, stepwise)
    slots = torch.full((1, 2), CONFIG.mask)
    torch.testing.assert_close(engine.denoise(slots, at_once), engine.denoise(slots, stepwise), **NEAR)


def test_positions_far_from_the_beginning_are_as_good_as_near_ones() -> None:
    engine, clean = denoiser(exact=True), text(16)
    far, near = engine.new_cache(1), engine.new_cache(1)
    far.restart(4 * 250_000)
    for cache in (far, near):
        engine.commit(clean[:, :12], cache)
    torch.testing.assert_close(engine.denoise(noisy(4), far), engine.denoise(noisy(4), near), **NEAR)


@pytest.mark.parametrize("config", [CONFIG, WHOLE, AR])
def test_memory_stays_flat_as_the_text_grows(config: DiTConfig) -> None:
    engine = denoiser(config)
    cache = engine.new_cache(1)
    sizes = []
    for seed in range(20):
        engine.commit(text(config.model_length // 2, seed=seed), cache)
        sizes.append((cache.tokens.shape, [layer.shape for layer in cache.layers]))
    assert cache.decided == 10 * config.model_length
    assert sizes[2:] == sizes[2:3] * 18


# ------------------------------------------------------------------------------------------------------ cut and rows


@given(length=st.integers(0, 15), position=st.integers(0, 12))
def test_what_is_cut_off_leaves_no_trace(length: int, position: int) -> None:
    position = min(position, length)
    engine, clean = denoiser(), text(16)
    cut, fresh = engine.new_cache(1), engine.new_cache(1)
    engine.commit(clean[:, :length], cut)
    cut.cut(position)
    engine.commit(clean[:, :position], fresh)
    assert cut.decided == fresh.decided == position
    slot = torch.full((1, 1), CONFIG.mask)
    torch.testing.assert_close(engine.denoise(slot, cut), engine.denoise(slot, fresh), **NEAR)
    for cache in (cut, fresh):
        engine.commit(text(3, seed=2), cache)
    torch.testing.assert_close(engine.denoise(slot, cut), engine.denoise(slot, fresh), **NEAR)


@pytest.mark.parametrize("position", [-1, 3, 27, 41])
def test_a_cut_where_the_window_does_not_reach_is_refused(position: int) -> None:
    engine = denoiser()
    cache = engine.new_cache(1)
    engine.commit(text(40), cache)  # 28 … 40 can be seen
    with pytest.raises(ValueError, match=f"Cannot cut at {position}"):
        cache.cut(position)


def test_after_a_cut_what_was_overwritten_is_not_seen() -> None:
    """Later blocks lie where earlier ones were: a cut leaves fewer to see, and none of what it forgets."""
    engine = denoiser()
    cache = engine.new_cache(1)
    engine.commit(text(40), cache)
    cache.cut(32)
    assert cache.first == 28
    before = engine.denoise(noisy(4), cache)
    for layer in cache.layers:
        for position in (*range(24, 28), *range(36, 40)):
            layer[:, :, :, cache.column(position)] = 9.0
    assert torch.equal(engine.denoise(noisy(4), cache), before)


def test_rows_are_copies_that_go_their_own_way() -> None:
    engine = denoiser()
    cache = engine.new_cache(2)
    engine.commit(text(10, rows=2), cache)
    before = engine.denoise(noisy(2, rows=2), cache)
    twin = cache.rows(torch.tensor([1, 0, 1]))
    assert isinstance(twin, WindowCache)
    torch.testing.assert_close(engine.denoise(noisy(2, rows=2)[[1, 0, 1]], twin), before[[1, 0, 1]], **NEAR)
    engine.commit(text(9, rows=3, seed=5), twin)
    assert torch.equal(engine.denoise(noisy(2, rows=2), cache), before)
    assert (cache.decided, twin.decided) == (10, 19)


def test_another_networks_cache_is_refused() -> None:
    with pytest.raises(TypeError, match="another network"):
        denoiser().commit(
            text(4),
            BlockCache(layers=1, batch=1, heads=1, width=1, limit=9, dtype=torch.float32, device=torch.device("cpu")),
        )


# ------------------------------------------------------------------------------------------ other kinds of network


@pytest.mark.parametrize("exact", [False, True])
def test_a_causal_network_tells_the_next_token_as_the_plain_one_does(exact: bool) -> None:
    engine, plain, clean = denoiser(AR, exact=exact), network(AR), text(16)
    cache = engine.new_cache(1)
    logits = [engine.commit(clean[:, :5], cache)]
    cache.decide(clean[:, 5])
    logits += [engine.commit(clean[:, 6:6], cache), *(engine.commit(clean[:, i : i + 1], cache) for i in range(6, 16))]
    torch.testing.assert_close(torch.cat(logits, dim=1), plain(clean, torch.arange(16)), **NEAR)


def test_an_exact_causal_window_is_read_anew() -> None:
    engine, plain, clean = denoiser(AR, exact=True), network(AR), text(24)
    cache = engine.new_cache(1)
    engine.commit(clean[:, :16], cache)
    for end in range(17, 25):
        ahead = engine.commit(clean[:, end - 1 : end], cache)
        torch.testing.assert_close(ahead, plain(clean[:, end - 16 : end], torch.arange(16))[:, -1:], **NEAR)


def test_last_only_is_the_last() -> None:
    engine, clean = denoiser(AR), text(8)
    whole = engine.commit(clean, engine.new_cache(1))
    torch.testing.assert_close(engine.commit(clean, engine.new_cache(1), last_only=True), whole[:, -1:], **NEAR)


def test_a_network_that_does_not_read_causally_tells_no_next_token() -> None:
    for config in (CONFIG, WHOLE):
        engine = denoiser(config)
        assert engine.commit(text(8), engine.new_cache(1)).shape == (1, 0, 23)


@pytest.mark.parametrize("config", [WHOLE, replace(CONFIG, block_size=16)])
def test_a_whole_row_is_one_block_with_everything_decided_in_it(config: DiTConfig) -> None:
    engine, plain, clean = denoiser(config), network(config), text(9)
    cache = engine.new_cache(1)
    engine.commit(clean, cache)
    row = torch.cat([clean, torch.full((1, 7), CONFIG.mask)], dim=1)
    logits = engine.logits(engine.denoise(row[:, 9:12], cache))
    torch.testing.assert_close(logits, plain(row, torch.arange(16))[:, 9:12], **NEAR)


def test_a_full_row_goes_on_with_its_second_half() -> None:
    engine, plain, clean = denoiser(WHOLE), network(WHOLE), text(16)
    cache = engine.new_cache(1)
    engine.commit(clean, cache)
    assert (cache.decided, engine.room(cache)) == (16, 8)
    row = torch.cat([clean[:, 8:], torch.full((1, 8), CONFIG.mask)], dim=1)
    logits = engine.logits(engine.denoise(row[:, 8:], cache))
    torch.testing.assert_close(logits, plain(row, torch.arange(16))[:, 8:], **NEAR)


def test_with_time_conditioning_the_share_of_masks_is_the_noise_level() -> None:
    engine, plain = denoiser(TIMED), network(TIMED)
    row = torch.cat([noisy(16), noisy(16, seed=8)])
    share = (row == CONFIG.mask).float().mean(1)
    logits = engine.logits(engine.denoise(row, engine.new_cache(2)))
    torch.testing.assert_close(logits, plain(row, torch.arange(16), None, -torch.log1p(-share)), **NEAR)


# ------------------------------------------------------------------------------------------------ facts and numbers


def test_the_facts_are_those_of_the_network() -> None:
    facts = DiTDenoiser(network(), end=5, banned=(3,)).facts
    assert (facts.vocabulary, facts.mask, facts.end, facts.banned) == (22, 22, 5, (3, 22))
    assert (facts.causal, facts.block_sizes, facts.context) == (False, (1, 4), 16)
    assert denoiser(AR).facts.causal


def test_the_logits_of_candidates_are_those_of_all_tokens() -> None:
    engine = denoiser()
    features = engine.denoise(noisy(4), engine.new_cache(1))[:, 2]
    some = torch.tensor([[4, 0, 9]])
    torch.testing.assert_close(
        engine.chain(features, torch.tensor([1]), some), engine.logits(features).gather(1, some), **NEAR
    )


@pytest.mark.skipif(not (multiplies_bfloat16() or has_fbgemm()), reason="this machine packs no weights")
def test_packed_weights_give_nearly_the_same() -> None:
    plain, packed = denoiser(), DiTDenoiser(network(), end=0, packed=True)
    full, half = (answers(engine, text(40), 4) for engine in (plain, packed))
    assert 0 < float((full - half).abs().max() / full.abs().max()) < 0.05


def test_building_one_leaves_the_network_as_it_is() -> None:
    made = network()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    engine = DiTDenoiser(made, end=0)
    answers(engine, text(40), 4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())
    both = torch.cat([noisy(4), text(4)], dim=1)
    torch.testing.assert_close(
        made(both, masks.positions(4), masks.dense(4, 4))[:, :4],
        engine.logits(engine.denoise(noisy(4), engine.new_cache(1))),
        **NEAR,
    )
