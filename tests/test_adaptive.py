"""Stretches and steps from measured entropy: against plain loops, and without changing the law."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model import adaptive
from model.block_diffusion import Recipe, SeededDraws, fill, finish, write
from tests.test_block_diffusion import Table, denoiser
from tests.test_score_sampler import QUANTILE, Exact, OneStream, chi_square, law

LINES = st.lists(st.tuples(st.floats(0.0, 5.0, width=32), st.booleans()), min_size=1, max_size=12)
SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=4)


def tensors(line: list[tuple[float, bool]]) -> tuple[Tensor, Tensor]:
    return torch.tensor([[value for value, _ in line]], dtype=torch.float64), torch.tensor(
        [[hidden for _, hidden in line]]
    )


def test_entropies_are_in_nats_and_what_is_certain_has_none() -> None:
    log_probs = torch.tensor([[0.25] * 4, [0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]).log()
    torch.testing.assert_close(adaptive.entropies(log_probs), torch.tensor([math.log(4), math.log(2), 0.0]))


@given(line=LINES, budget=st.floats(0.0, 9.0))
def test_slots_are_decided_together_as_a_plain_loop_decides(line: list[tuple[float, bool]], budget: float) -> None:
    entropy, masked = tensors(line)
    left = sorted((value, slot) for slot, (value, hidden) in enumerate(line) if hidden)
    chosen: set[int] = set()
    spent = 0.0
    for value, slot in left:
        if spent > budget:
            break
        chosen.add(slot)
        spent += value
    found = adaptive.within(entropy, masked, budget)[0]
    assert set(found.nonzero().flatten().tolist()) == chosen
    assert bool(found.any()) == bool(masked.any())


@given(line=LINES, sizes=SIZES, limit=st.floats(0.0, 6.0), edge=st.integers(0, 12))
def test_a_stretch_is_the_longest_that_is_sure_enough(
    line: list[tuple[float, bool]], sizes: list[int], limit: float, edge: int
) -> None:
    entropy, masked = tensors(line)
    hidden = [slot for slot, (_, is_hidden) in enumerate(line) if is_hidden]
    if not hidden or hidden[0] < edge:
        wanted = edge
    else:
        wanted = hidden[0] + min(sizes)
        for size in sizes:
            inside = [line[slot][0] for slot in hidden if slot < hidden[0] + size]
            if math.fsum(inside) / len(inside) <= limit:
                wanted = max(wanted, hidden[0] + size)
    assert adaptive.stretch(torch.tensor([edge]), entropy, masked, sizes, limit).tolist() == [wanted]


def picture(recipe: Recipe, laws: Tensor) -> list[list[bool]]:
    """Which slots have their token after each step."""
    engine = Table(torch.cat([laws.log(), torch.zeros(len(laws), 1)], dim=1))
    draws = SeededDraws([0])
    draws.begin(0)
    mask = engine.facts.mask
    steps = fill(engine, torch.full((1, len(laws)), mask), engine.new_cache(1), recipe, draws)
    return [(step.tokens[0] != mask).tolist() for step in steps]


SURE, UNSURE = [1 - 2e-9, 1e-9, 1e-9], [0.4, 0.3, 0.3]


def test_sure_slots_are_written_at_once_and_unsure_ones_one_by_one() -> None:
    recipe = Recipe("entropy", budget=0.1, sizes=(6,))
    assert picture(recipe, torch.tensor([SURE] * 6)) == [[True] * 6]
    assert len(picture(recipe, torch.tensor([UNSURE] * 6))) == 6
    both = picture(recipe, torch.tensor([UNSURE, SURE, SURE, UNSURE, SURE, SURE]))
    assert both == [[True, True, True, False, True, True], [True] * 6]


def test_an_unsure_text_is_written_in_short_stretches_from_the_left() -> None:
    laws = torch.tensor([UNSURE, UNSURE, SURE, SURE])
    short = picture(Recipe("entropy", budget=9.0, sizes=(2, 4), limit=0.3), laws)
    assert short == [[True, True, False, False], [True] * 4]
    assert picture(Recipe("entropy", budget=9.0, sizes=(2, 4), limit=0.6), laws) == [[True] * 4]


@pytest.mark.parametrize("sizes", [(1,), (2,), (3,), (1, 2, 3)])
def test_without_a_budget_the_law_is_the_true_one_in_whatever_order(sizes: tuple[int, ...]) -> None:
    truth, many = law(), 3000
    network = Exact(truth)

    class Posterior(Table):
        def denoise(self, block: Tensor, cache: object) -> Tensor:
            return network(block, torch.arange(3), sigma=torch.zeros(len(block)))

    table = Posterior(torch.zeros(3, 4))
    recipe = Recipe("entropy", nucleus=1.0, budget=0.0, sizes=sizes, limit=0.8)
    job = fill(table, torch.full((many, 3), 3), table.new_cache(many), recipe, OneStream(3))
    assert chi_square(list(job)[-1].tokens, truth) < QUANTILE


@settings(max_examples=40)
@given(budgets=st.tuples(st.floats(0.0, 20.0), st.floats(0.0, 20.0)), seed=st.integers(0, 99))
def test_every_block_costs_between_one_forward_and_one_per_slot(budgets: tuple[float, float], seed: int) -> None:
    texts = [
        finish(write(denoiser(), [[1, 2, 3, 4]], Recipe("entropy", budget=budget), SeededDraws([seed]), length=20))[0]
        for budget in budgets
    ]
    assert all(4 <= text.nfe <= 16 for text in texts)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"budget": -1.0}, "nats"),
        ({"limit": -0.1}, "nats"),
        ({"sizes": ()}, "at least one slot"),
        ({"sizes": (0,)}, "1 or more"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Recipe("entropy", **fields)  # type: ignore[arg-type]
