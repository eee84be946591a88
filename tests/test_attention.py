"""Rules of the attention call: softmax over what a mask shows, in either form, and no trace of what it hides."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model import attention
from model.attention import SHORT, as_bias, attend, block_mask, causal_mask

CPU = torch.device("cpu")
HEADS, GROUPS, WIDTH = 2, 3, 8


def numbers(batch: int, n: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    stream = torch.Generator().manual_seed(columns)
    queries = torch.randn(batch, n, HEADS * GROUPS, WIDTH, generator=stream)
    keys, values = torch.randn(2, batch, HEADS, columns, WIDTH, generator=stream)
    return queries, keys, values


def slow(queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor) -> Tensor:
    """One query head after the other, over the visible columns only; visible [B, n, T]."""
    batch, n, heads, width = queries.shape
    out = torch.zeros(batch, n, heads, width, dtype=torch.float64)
    for b in range(batch):
        for i in range(n):
            seen = visible[b, i].nonzero()[:, 0]
            for head in range(heads):
                scores = keys[b, head // GROUPS, seen].double() @ queries[b, i, head].double()
                out[b, i, head] = scores.exp() / scores.exp().sum() @ values[b, head // GROUPS, seen].double()
    return out.reshape(batch, n, heads * width)


@pytest.mark.parametrize("columns", [16, SHORT, SHORT + 1, SHORT + 128])
@pytest.mark.parametrize("padded", [False, True])
def test_attention_is_a_softmax_over_the_visible_columns(columns: int, padded: bool) -> None:
    queries, keys, values = numbers(2, 5, columns)
    padding = torch.tensor([3, 0]) if padded else None
    mask = causal_mask(7, 5, columns, CPU)
    hidden = torch.arange(columns) < (torch.tensor([3, 0]) if padded else torch.zeros(2))[:, None, None]
    found = attend(queries, keys, values, as_bias(mask, padding, GROUPS, keys.dtype))
    torch.testing.assert_close(found.double(), slow(queries, keys, values, mask & ~hidden), rtol=1e-5, atol=1e-5)


def test_a_mask_that_is_the_same_for_all_rows_needs_one_row() -> None:
    queries, keys, values = numbers(1, 4, 32)
    mask = block_mask(5, 8, 4, 32, CPU)
    one, many = (as_bias(m, None, GROUPS, keys.dtype) for m in (mask, mask.expand(4, -1)))
    torch.testing.assert_close(attend(queries, keys, values, one), attend(queries, keys, values, many))


@pytest.mark.parametrize("columns", [64, SHORT + 64])
def test_what_is_hidden_leaves_no_trace(columns: int) -> None:
    queries, keys, values = numbers(1, 3, columns)
    mask = block_mask(10, 20, 3, columns, CPU)
    bias = as_bias(mask, None, GROUPS, keys.dtype)
    before = attend(queries, keys, values, bias)
    keys[:, :, ~mask[0]], values[:, :, ~mask[0]] = 50.0, -1e6
    assert torch.equal(attend(queries, keys, values, bias), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("columns", [64, SHORT + 64])
def test_a_padded_position_that_sees_nothing_stays_a_number(columns: int, dtype: torch.dtype) -> None:
    queries, keys, values = numbers(2, 4, columns)
    bias = as_bias(causal_mask(0, 4, columns, CPU), torch.tensor([3, 0]), GROUPS, dtype)
    assert attend(queries, keys.to(dtype), values.to(dtype), bias).isfinite().all()


def test_keys_in_16_bits_give_the_same_within_their_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, keys, values = numbers(1, 4, 200)
    mask = causal_mask(150, 4, 200, CPU)
    exact = slow(queries, keys, values, mask[None])
    for short in (SHORT, 0):
        monkeypatch.setattr(attention, "SHORT", short)
        found = attend(queries, keys.bfloat16(), values.bfloat16(), as_bias(mask, None, GROUPS, torch.bfloat16))
        assert found.dtype == torch.bfloat16
        assert (found - exact).norm() / exact.norm() < 2**-5


# ------------------------------------------------------------------------------------------------------- masks


def picture(mask: Tensor) -> list[str]:
    return ["".join("x" if seen else "." for seen in row) for row in mask.tolist()]


def test_clean_tokens_read_everything_up_to_themselves() -> None:
    assert picture(causal_mask(2, 3, 6, CPU)) == ["xxx...", "xxxx..", "xxxxx."]


def test_noisy_positions_read_the_clean_columns_and_each_other() -> None:
    # three committed tokens, the last of them read anew as the first noisy position
    assert picture(block_mask(2, 3, 4, 9, CPU)) == ["xx.xxxx.."]


def test_the_bias_repeats_the_mask_for_each_query_of_a_group_and_hides_padding() -> None:
    mask = causal_mask(1, 2, 4, CPU)
    bias = as_bias(mask, torch.tensor([0, 1]), 2, torch.float32)  # [B, 1, G·n, T]
    assert bias.shape == (2, 1, 4, 4)
    assert [picture(row[0] == 0.0) for row in bias] == [["xx..", "xxx."] * 2, [".x..", ".xx."] * 2]
    assert set(bias.exp().flatten().tolist()) == {0.0, 1.0}
