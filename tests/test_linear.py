"""Rules of a frozen product: the plain form is torch's own, every packed form keeps to the rounding of its format."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model import linear
from model.linear import FEW_IN_FOUR_BITS, FEW_ROWS, Linear, four_bits, has_fbgemm, multiplies_bfloat16
from tests.on_levels import in_four_bits

FORMS = [(bf16, fp16) for bf16 in (False, True) for fp16 in (False, True)]
"""What a machine may be able to do; here at most what this one can."""


def numbers(*rows: int, out: int = 48, into: int = 64) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(into)
    return torch.randn(*rows, into, generator=stream), torch.randn(out, into, generator=stream)


def error(found: Tensor, x: Tensor, weight: Tensor) -> float:
    """The largest error of a product, as a part of |x|·|w|, which is what rounding the factors may cost."""
    exact, scale = x.double() @ weight.double().T, x.double().abs() @ weight.double().abs().T
    return float(((found.double() - exact).abs() / scale).max())


@pytest.fixture(params=FORMS, ids=lambda form: f"bfloat16={form[0]},float16={form[1]}")
def able(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, bool]:
    bf16, fp16 = request.param
    if (bf16 and not multiplies_bfloat16()) or (fp16 and not has_fbgemm()):
        pytest.skip("this CPU has no such products")
    monkeypatch.setattr(linear, "multiplies_bfloat16", lambda: bf16)
    monkeypatch.setattr(linear, "has_fbgemm", lambda: fp16)
    return bf16, fp16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_plain_form_is_the_product_itself(dtype: torch.dtype) -> None:
    x, weight = (t.to(dtype) for t in numbers(2, 3))
    assert torch.equal(Linear(weight)(x), F.linear(x, weight))


rows_of_every_kind = pytest.mark.parametrize("rows", [(1,), (FEW_ROWS,), (FEW_ROWS + 1,), (16,), (2, 1), (3, 5)])


@rows_of_every_kind
def test_packed_products_keep_to_their_rounding(able: tuple[bool, bool], rows: tuple[int, ...]) -> None:
    bf16, fbgemm = able
    x, weight = numbers(*rows)
    found = Linear(weight, packed=True)(x)
    if not bf16 and not fbgemm:
        assert torch.equal(found, F.linear(x, weight))
    in_bfloat16 = bf16 and not (fbgemm and x.numel() // 64 <= FEW_ROWS)
    assert (found.shape, found.dtype) == ((*rows, 48), torch.bfloat16 if in_bfloat16 else torch.float32)
    # bfloat16 rounds both factors and the result by up to 2⁻⁸ each; float16 the weights alone, by up to 2⁻¹¹
    assert error(found, x, weight) < (3 * 2**-8 if in_bfloat16 else 2**-11)


@rows_of_every_kind
def test_rough_products_are_near(able: tuple[bool, bool], rows: tuple[int, ...]) -> None:
    x, weight = numbers(*rows)
    found = Linear(weight, packed=True, rough=True)(x)
    assert found.shape == (*rows, 48)
    # int8 steps of a 127th (weights) and a 255th of the range (activations, about 6 times their mean size): half of
    # either, were all of them to add up
    assert error(found, x, weight) < 0.5 / 127 * 4 + 0.5 * 6 / 255


@pytest.mark.parametrize("vnni", [False, True])
def test_rough_products_of_large_numbers_do_not_overflow(vnni: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of two products of 8 bits would not fit the 16 bits in which a CPU without VNNI adds them."""
    if vnni and not torch.cpu._is_vnni_supported():
        pytest.skip("this CPU has none")
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: vnni)
    x, weight = torch.ones(3, 64), torch.ones(48, 64)
    assert error(Linear(weight, packed=True, rough=True)(x), x, weight) < 1e-2


needs_4_bits = pytest.mark.skipif(not linear.multiplies_4_bits(), reason="this CPU is not fast at such products")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_4_bit_weights_are_found_again_in_what_was_made_of_them(dtype: torch.dtype) -> None:
    weight = in_four_bits(dtype=dtype)
    weight[5, :32] = 0.25  # all alike: no step at all
    found = four_bits(weight)
    assert found is not None
    levels, scales = found
    assert (int(levels.min()), int(levels.max())) == (0, 15)
    step, middle = (part.T[..., None].double() for part in scales.unbind(-1))
    again = (levels.view(48, 2, 32) - 8) * step + middle
    # two numbers of a group are rounded to bfloat16: the step, up to 8 times, and its middle
    bound = 2**-8 * (8 * step.abs() + middle.abs()) + 2e-3
    assert bool(((again - weight.view(48, 2, 32)).abs() <= bound).all())


def test_other_weights_are_not_taken_for_4_bit_ones() -> None:
    assert four_bits(numbers(1)[1]) is None
    assert four_bits(in_four_bits(into=96)[:, :80]) is None, "groups have 32"
    assert four_bits(in_four_bits()[:40]) is None, "the product takes 16 rows at a time"
    weight = in_four_bits()
    weight[-1, -2] += 0.3 * (weight[-1, 32:].max() - weight[-1, 32:].min()) / 15
    assert four_bits(weight) is None, "one number between two levels, in the last row"


@needs_4_bits
@pytest.mark.parametrize("rows", [(1,), (4,), (2, 3), (FEW_IN_FOUR_BITS,), (FEW_IN_FOUR_BITS + 1,), (3, 5)])
def test_4_bit_products_keep_to_the_rounding_of_bfloat16(able: tuple[bool, bool], rows: tuple[int, ...]) -> None:
    x, weight = numbers(*rows)[0], in_four_bits()
    made = Linear(weight, packed=True)
    found = made(x)
    assert (made.four is not None) == able[1]
    assert found.shape == (*rows, 48)
    assert error(found, x, weight) < 4 * 2**-8
    alone = torch.stack([made(row[None])[0] for row in x.flatten(0, -2)]).view(found.shape)
    assert error(alone, x, weight) < 4 * 2**-8


@pytest.mark.parametrize("rough", [False, True])
def test_only_the_copies_in_use_are_kept(able: tuple[bool, bool], rough: bool) -> None:
    bf16, fbgemm = able
    made = Linear(numbers(1)[1], packed=True, rough=rough)
    kept = [name for name in ("weight", "many", "fp16", "int8") if getattr(made, name) is not None]
    if rough and fbgemm:
        assert kept == ["int8"]
    else:
        assert kept == (["many"] * bf16 + ["fp16"] * fbgemm or ["weight"])
    four = Linear(in_four_bits(), packed=True, rough=rough)
    kept = [name for name in ("four", "many", "fp16", "int8") if getattr(four, name) is not None]
    if fbgemm and not rough and linear.multiplies_4_bits():
        assert kept == ["four", "many" if bf16 else "fp16"]


def test_a_row_of_zeros_stays_zero_in_int8() -> None:
    x, weight = numbers(3)
    weight[5] = 0.0
    assert torch.equal(Linear(weight, packed=True, rough=True)(x)[:, 5], torch.zeros(3))


def test_a_slice_of_a_larger_matrix_is_taken_as_it_is(able: tuple[bool, bool]) -> None:
    x, weight = numbers(6, out=96)
    part = weight[::2]
    for packed in (False, True):
        assert error(Linear(part, packed=packed)(x), x, part) < 3 * 2**-8
