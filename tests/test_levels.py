"""Rules of weights on levels: what was published on them is found again, and what was not is not taken for it."""

from __future__ import annotations

import pytest
import torch

from model.levels import GROUP, TILE, Levels, nearest_levels, on_levels
from tests.on_levels import in_eight_bits, in_four_bits

MADE = {4: in_four_bits, 8: in_eight_bits}

of_both = pytest.mark.parametrize("bits", [4, 8])


def again(found: Levels) -> torch.Tensor:
    groups = found.levels.double().view(*found.step.shape, GROUP)
    return (found.lowest[..., None] + found.step[..., None] * groups).flatten(1)


@of_both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_published_weights_are_found_again(bits: int, dtype: torch.dtype) -> None:
    weight = MADE[bits](dtype=dtype)
    weight[5, :32] = 0.25  # all alike: no step at all
    found = on_levels(weight, bits)
    assert found is not None
    assert int(found.levels.max()) <= (15 if bits == 4 else 255)
    off = (again(found) - weight).abs().view(48, -1, GROUP) / found.step.clamp(min=1e-6)[..., None]
    assert float(off.max()) < (1e-4 if dtype == torch.float32 else 0.13)


@of_both
def test_others_are_not_taken_for_them(bits: int) -> None:
    stream = torch.Generator().manual_seed(1)
    assert on_levels(torch.randn(48, 64, generator=stream), bits) is None
    assert on_levels(MADE[bits](into=96)[:, :80], bits) is None, "groups have 32"
    assert on_levels(MADE[bits]()[: TILE + 8], bits) is None, "products take 16 rows at a time"
    weight = MADE[bits]()
    found = nearest_levels(weight, bits)
    weight[-1, -2] += 0.4 * found.step[-1, -1]
    assert on_levels(weight, bits) is None, "one number between two levels, in the last row"


@of_both
def test_the_nearest_levels_are_half_a_step_off_at_most(bits: int) -> None:
    weight = torch.randn(48, 64, generator=torch.Generator().manual_seed(2))
    found = nearest_levels(weight, bits)
    off = (again(found) - weight).abs().view(48, -1, GROUP)
    assert bool((off <= 0.5001 * found.step[..., None]).all())
    zeros = nearest_levels(torch.zeros(16, 32), bits)
    assert torch.equal(again(zeros), torch.zeros(16, 32).double())
