"""Rules of the training mask: three named parts, one rule, two backends."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_mask

from model.backbones import masks
from model.backbones.dit import DiTConfig
from model.evaluation.engine_speed import random_network

ROWS = st.integers(1, 6).flatmap(lambda block: st.tuples(st.integers(1, 5).map(lambda n: n * block), st.just(block)))


def may_attend(q: int, k: int, length: int, block: int) -> bool:
    """The words of the paper, for one pair."""
    q_block, k_block = q % length // block, k % length // block
    q_noisy, k_noisy = q < length, k < length
    if q_noisy and k_noisy:
        return q_block == k_block
    if q_noisy:
        return k_block < q_block
    return not k_noisy and k_block <= q_block


@given(row=ROWS)
def test_the_mask_says_what_the_paper_says(row: tuple[int, int]) -> None:
    length, block = row
    plain = [[may_attend(q, k, length, block) for k in range(2 * length)] for q in range(2 * length)]
    assert masks.dense(length, block).tolist() == plain


@given(row=ROWS)
def test_the_three_parts_share_no_pair_but_a_clean_block_with_itself(row: tuple[int, int]) -> None:
    length, block = row
    index = torch.arange(2 * length)
    diagonal, offset, causal = (
        part(length, block)(index[:, None], index[None, :])
        for part in (masks.block_diagonal, masks.offset_block_causal, masks.block_causal)
    )
    assert torch.equal(diagonal | offset | causal, masks.dense(length, block))
    assert not bool((offset & (diagonal | causal)).any())
    assert bool((diagonal & causal)[:length].any()) is False


@given(row=ROWS)
def test_clean_text_is_read_as_in_the_clean_half_of_training(row: tuple[int, int]) -> None:
    length, block = row
    assert torch.equal(masks.clean(length, block), masks.dense(length, block)[length:, length:])


@pytest.mark.parametrize(("length", "block"), [(4, 1), (12, 4), (80, 16), (96, 96)])
def test_both_backends_have_the_same_mask(length: int, block: int) -> None:
    rule = masks.training_rule(length, block)
    there = create_mask(lambda b, h, q, k: rule(q, k), None, None, 2 * length, 2 * length, device="cpu")
    assert torch.equal(there[0, 0], masks.dense(length, block))
    tiles = masks.flex(length, block).to_dense()[0, 0].bool()
    size = masks.flex(length, block).BLOCK_SIZE[0]
    for i, j in tiles.logical_not().nonzero().tolist():  # a tile that is skipped holds no pair
        assert not bool(masks.dense(length, block)[i * size : (i + 1) * size, j * size : (j + 1) * size].any())


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize(("length", "block"), [(12, 4), (160, 16)])
def test_both_backends_give_the_same_logits(length: int, block: int) -> None:
    config = DiTConfig(
        vocab_size=23, hidden_dim=32, n_blocks=2, n_heads=2, cond_dim=6, model_length=length, block_size=block
    )
    network = random_network(config)
    both = torch.randint(0, 23, (2, 2 * length), generator=torch.Generator().manual_seed(0))
    dense = network(both, masks.positions(length), masks.dense(length, block))
    flex = network(both, masks.positions(length), masks.flex(length, block))
    torch.testing.assert_close(dense, flex, atol=1e-5, rtol=0)


def test_a_row_that_is_not_whole_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="10 tokens does not split into blocks of 4"):
        masks.dense(10, 4)
