"""The optimiser of trainings: Muon for the matrices that are named, AdamW for the rest, one rate for all."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model.training.optimiser import Optimiser


def parameters(seed: int = 1) -> dict[str, torch.nn.Parameter]:
    draw = torch.Generator().manual_seed(seed)
    shapes = {"matrix": (6, 4), "other": (6, 4), "bias": (6,)}
    return {name: torch.nn.Parameter(torch.randn(shape, generator=draw)) for name, shape in shapes.items()}


def move(named: dict[str, torch.nn.Parameter], optimiser: Optimiser, steps: range, rate: float = 0.1) -> None:
    for step in steps:
        draw = torch.Generator().manual_seed(100 + step)
        optimiser.zero_grad()
        for parameter in named.values():
            parameter.grad = torch.randn(parameter.shape, generator=draw)
        optimiser.step(rate)


def values(named: dict[str, torch.nn.Parameter]) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in named.items()}


def test_a_matrix_moves_as_far_in_every_direction_and_as_far_as_adamw_would_move_it() -> None:
    named = parameters()
    before = values(named)
    move(named, Optimiser(named, ["matrix"]), range(1))
    moved = {name: parameter.detach() - before[name] for name, parameter in named.items()}
    strengths = torch.linalg.svdvals(moved["matrix"])
    assert strengths.min() > 0.6 * strengths.max()  # the gradient's own differ more
    assert moved["matrix"].square().mean().sqrt() == pytest.approx(0.2 * 0.1, rel=0.3)
    for name in ("other", "bias"):  # the first step of AdamW is the rate, against the gradient's sign
        torch.testing.assert_close(moved[name].abs(), torch.full_like(moved[name], 0.1), rtol=1e-4, atol=0)


def test_without_matrices_it_is_adamw() -> None:
    named, twins = parameters(), parameters()
    move(named, Optimiser(named, betas=(0.9, 0.99)), range(4), rate=0.02)
    twin = torch.optim.AdamW(twins.values(), lr=0.02, betas=(0.9, 0.99), weight_decay=0.0)
    for step in range(4):
        draw = torch.Generator().manual_seed(100 + step)
        for parameter in twins.values():
            parameter.grad = torch.randn(parameter.shape, generator=draw)
        twin.step()
    for name, parameter in named.items():
        assert torch.equal(parameter, twins[name]), name


@pytest.mark.parametrize("matrices", [(), ("matrix",), ("matrix", "other")])
def test_it_goes_on_where_it_was(matrices: tuple[str, ...]) -> None:
    whole = parameters()
    move(whole, Optimiser(whole, matrices), range(5))
    begun = parameters()
    optimiser = Optimiser(begun, matrices)
    move(begun, optimiser, range(3))
    later = {name: torch.nn.Parameter(parameter.detach().clone()) for name, parameter in begun.items()}
    again = Optimiser(later, matrices)
    again.resume({name: tensor.clone() for name, tensor in optimiser.tensors().items()}, 3)
    move(later, again, range(3, 5))
    for name, parameter in later.items():
        assert torch.equal(parameter, whole[name]), name


def test_what_another_optimiser_left_is_not_enough() -> None:
    named = parameters()
    optimiser = Optimiser(named)
    move(named, optimiser, range(1))
    with pytest.raises(KeyError):
        Optimiser(named, ["matrix"]).resume(optimiser.tensors(), 1)
