"""Rules of the draws and of unmasking, on numbers small enough to check by hand, and against plain twins."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model.contract import Dial
from model.unmasking import (
    GROUP,
    Candidates,
    above,
    accepted,
    candidates,
    confident,
    first_hitting,
    largest,
    residual,
    share,
)
from tests.tiny import law_of

ALMOST_ONE = 1.0 - 2.0**-53
"""The largest float64 that a uniform draw in [0, 1) can be."""


def law(**chances: float) -> Candidates:
    """law(a=0.5, c=0.5): one law [1, K] over tokens named by letters, a = 0."""
    ids, probs = [ord(name) - ord("a") for name in chances], list(chances.values())
    return Candidates(torch.tensor([ids]), torch.tensor([probs]))


def as_dict(one: Candidates, row: int = 0) -> dict[int, float]:
    """Tokens that have a chance."""
    return {
        token: chance
        for token, chance in zip(one.ids[row].tolist(), one.probs[row].tolist(), strict=True)
        if chance > 0.0
    }


def mask(picture: str) -> Tensor:
    """[B, L] from rows of "x" (masked) and "."."""
    return torch.tensor([[slot == "x" for slot in row] for row in picture.split()])


def shown(masked: Tensor) -> str:
    return " ".join("".join("x" if slot else "." for slot in row) for row in masked.tolist())


# laws over a few tokens, zeros among them
weights = st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any)
quantiles = st.floats(0.0, 1.0, exclude_max=True)
some_logits = st.lists(st.integers(-24, 24), min_size=2, max_size=9, unique=True).map(
    lambda whole: [n / 4 for n in whole]
)


def law_from(weights: list[int], ids: list[int] | None = None) -> Candidates:
    whole = torch.tensor([weights], dtype=torch.float32)
    return Candidates(torch.tensor([ids or list(range(len(weights)))]), whole / whole.sum())


# ---------------------------------------------------------------------------------------------------- the largest


@given(st.integers(1, 7), st.sampled_from([GROUP * 300, GROUP * 301 + 1, 90]), st.integers(0, 2**32), st.booleans())
def test_the_largest_are_those_of_topk(count: int, size: int, seed: int, rising: bool) -> None:
    values = torch.randn(2, 3, size, generator=torch.Generator().manual_seed(seed))
    values = values.sort(dim=-1).values if rising else values
    top, where = largest(values, count)
    expected, there = values.topk(count, dim=-1)
    assert torch.equal(top, expected)
    assert torch.equal(where, there)


@given(st.integers(0, 2**32))
def test_among_equals_any_may_be_the_largest_but_each_only_once(seed: int) -> None:
    values = torch.randint(0, 3, (2, GROUP * 100), generator=torch.Generator().manual_seed(seed)).float()
    values[0] = -torch.inf
    top, where = largest(values, 5)
    assert torch.equal(top, values.topk(5).values)
    assert torch.equal(top, values.gather(-1, where))
    assert all(len(set(row)) == 5 for row in where.tolist())


# ------------------------------------------------------------------------------------------------------- a law


@given(weights, quantiles)
def test_a_draw_is_the_inverse_of_the_cumulated_chances(weights: list[int], quantile: float) -> None:
    one = law_from(weights, [7 * n % 11 for n in range(len(weights))])
    edges, total = [], 0.0
    for token, chance in as_dict(one).items():
        total += chance
        edges.append((total, token))
    expected = next(token for edge, token in edges if edge > quantile * total)
    assert int(one.draw(torch.tensor([quantile], dtype=torch.float64))) == expected


@pytest.mark.parametrize("quantile", [0.0, 1e-300, 0.5, ALMOST_ONE])
@pytest.mark.parametrize("seed", range(20))
def test_a_token_without_a_chance_is_never_drawn(seed: int, quantile: float) -> None:
    stream = torch.Generator().manual_seed(seed)
    chances = torch.rand(4, 100, generator=stream)
    chances[:, ::3] = 0.0  # the first and the last among them
    one = Candidates(torch.arange(100).expand(4, -1), chances / chances.sum(-1, keepdim=True))
    drawn = one.draw(torch.full((4,), quantile, dtype=torch.float64))
    assert (one.prob_of(drawn) > 0.0).all()


def test_chances_by_hand() -> None:
    both = Candidates(torch.tensor([[0, 2], [1, 3]]), torch.tensor([[0.25, 0.75], [1.0, 0.0]]))
    assert both.prob_of(torch.tensor([2, 1])).tolist() == [0.75, 1.0]
    assert both.prob_of(torch.tensor([1, 0])).tolist() == [0.0, 0.0]


def test_a_law_can_be_one_in_some_rows_and_another_elsewhere() -> None:
    here = Candidates(torch.tensor([[0], [1]]), torch.ones(2, 1))
    there = Candidates(torch.tensor([[2, 3], [4, 5]]), torch.tensor([[0.5, 0.5], [0.25, 0.75]]))
    mixed = here.where(torch.tensor([True, False]), there)
    assert [as_dict(mixed, row) for row in (0, 1)] == [{0: 1.0}, {4: 0.25, 5: 0.75}]


# ----------------------------------------------------------------------------------------------- what is drawn


@given(some_logits, st.sampled_from([0.5, 1.0, 1.7]), st.sampled_from([0.05, 0.5, 0.9, 0.999, 1.0]))
def test_candidates_are_the_law_of_the_plain_twin(logits: list[float], temperature: float, nucleus: float) -> None:
    found = as_dict(candidates(torch.tensor([logits]), temperature, nucleus))
    expected = law_of(torch.tensor(logits).double(), Dial(1, 1, "verified", 0.0, temperature, nucleus))
    assert found == pytest.approx(dict(expected), abs=1e-5)


@given(some_logits, st.floats(0.01, 0.999))
def test_a_nucleus_is_the_smallest_set_that_reaches_its_mass(logits: list[float], nucleus: float) -> None:
    whole = torch.tensor(logits).softmax(-1)
    kept = as_dict(candidates(torch.tensor([logits]), 1.0, nucleus))
    mass = sorted((float(whole[token]) for token in kept), reverse=True)
    assert sum(mass) >= nucleus - 1e-6
    assert sum(mass[:-1]) < nucleus + 1e-6
    assert min(mass) >= max([float(whole[t]) for t in range(len(logits)) if t not in kept], default=0.0)
    assert sum(kept.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("nucleus", [0.02, 0.5, 0.9])
def test_flat_laws_are_cut_right_however_many_candidates_they_need(nucleus: float) -> None:
    # 0.02 · 2000 tokens fit the first look, 1000 the second, 1800 neither
    logits = torch.linspace(0.0, 0.001, 2000).expand(2, -1)
    kept = candidates(logits, 1.0, nucleus)
    assert (kept.probs > 0.0).sum(-1).tolist() == pytest.approx([nucleus * 2000] * 2, abs=2)
    assert kept.probs.sum(-1).tolist() == pytest.approx([1.0] * 2)
    assert int(kept.ids[0, 0]) == 1999


def test_rows_that_need_few_and_many_candidates_go_together() -> None:
    logits = torch.stack([torch.zeros(500), torch.full((500,), -20.0).index_fill(0, torch.tensor([7]), 20.0)])
    kept = candidates(logits, 1.0, 0.9)
    assert (kept.probs > 0.0).sum(-1).tolist() == [450, 1]
    assert as_dict(kept, 1) == {7: 1.0}


def test_without_temperature_only_the_likeliest_token_is_left() -> None:
    logits = torch.tensor([[0.1, 3.0, -1.0], [5.0, 3.0, -1.0]])
    assert [as_dict(candidates(logits, 0.0, 0.5), row) for row in (0, 1)] == [{1: 1.0}, {0: 1.0}]
    named = candidates(logits, 0.0, 1.0, torch.tensor([[9, 8, 7], [6, 5, 4]]))
    assert named.ids.tolist() == [[8], [6]]


@pytest.mark.parametrize("nucleus", [0.7, 1.0])
def test_a_selection_of_logits_keeps_its_tokens_names(nucleus: float) -> None:
    logits, ids = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[30, 10, 20]])
    plain = as_dict(candidates(logits, 1.0, nucleus))
    assert as_dict(candidates(logits, 1.0, nucleus, ids)) == {int(ids[0, at]): chance for at, chance in plain.items()}


@pytest.mark.parametrize("nucleus", [0.9, 1.0])
def test_barred_logits_have_no_chance(nucleus: float) -> None:
    kept = candidates(torch.tensor([[1.0, -math.inf, 0.5, -math.inf]]), 0.8, nucleus)
    assert set(as_dict(kept)) == {0, 2}


# --------------------------------------------------------------------------------------------- unmasking rules


@given(st.integers(1, 64), st.data())
def test_shares_fill_all_slots_in_just_the_steps_there_are(masked: int, data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, masked))
    shares = []
    for left in range(steps, 0, -1):
        shares.append(share(masked, left))
        masked -= shares[-1]
    assert masked == 0
    assert shares == sorted(shares, reverse=True)
    assert shares[0] - 1 <= shares[-1] >= 1


def test_the_most_confident_masked_slots_are_chosen() -> None:
    sure = torch.tensor([[0.9, 0.2, 0.8, 0.3], [0.1, 0.5, 0.4, 0.6]])
    masked = mask(".xxx xxx.")
    assert [shown(confident(sure, masked, count)) for count in (0, 1, 2, 3)] == [
        ".... ....",
        "..x. .x..",
        "..xx .xx.",
        ".xxx xxx.",
    ]
    assert shown(confident(sure, mask(".x.. ...."), 3)) == ".x.. ...."  # no more than are masked


def test_a_threshold_takes_every_sure_slot_and_at_least_one() -> None:
    sure = torch.tensor([[0.9, 0.6, 0.61, 0.3], [0.1, 0.5, 0.4, 0.9], [0.9, 0.9, 0.9, 0.9]])
    assert shown(above(sure, mask(".xxx xxx. ...."), 0.6)) == ".xx. .x.. ...."


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_first_hitting_takes_masked_slots_all_alike(count: int) -> None:
    rows = 6000
    masked = mask("xx.x.x").expand(rows, -1)
    uniforms = torch.rand(rows, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    chosen = first_hitting(masked, count, uniforms)
    assert not (chosen & ~masked).any()
    assert (chosen.sum(-1) == min(count, 4)).all()
    chance = min(count, 4) / 4
    for slot in (0, 1, 3, 5):
        error = abs(float(chosen[:, slot].double().mean()) - chance)
        assert error <= 4 * math.sqrt(chance * (1 - chance) / rows)


# -------------------------------------------------------------------------------------------- the verified prefix


def passes(p: Candidates, q: Candidates, token: int, uniform: float, leniency: float = 0.0) -> bool:
    return bool(accepted(p, q, torch.tensor([token]), torch.tensor([uniform], dtype=torch.float64), leniency))


def test_a_proposal_passes_with_chance_p_over_q() -> None:
    p, q = law(a=0.2, b=0.8), law(a=0.8, b=0.2)
    assert passes(p, q, 0, 0.24)  # .2/.8 = .25
    assert not passes(p, q, 0, 0.26)
    assert passes(p, q, 1, ALMOST_ONE)
    assert passes(p, p, 0, ALMOST_ONE)
    assert not passes(law(a=1.0), law(a=0.5, b=0.5), 1, 0.0)  # p gives it nothing


def test_leniency_raises_the_chance_but_not_of_what_the_verifier_rules_out() -> None:
    p, q = law(a=0.2, b=0.8), law(a=0.8, b=0.2)
    assert passes(p, q, 0, 0.49, leniency=0.5)  # .2 / (.5 · .8) = .5
    assert not passes(p, q, 0, 0.51, leniency=0.5)
    assert passes(p, q, 0, ALMOST_ONE, leniency=0.75)
    assert not passes(law(a=1.0), law(a=0.5, b=0.5), 1, 0.0, leniency=0.99)


@given(weights, weights)
def test_a_token_accepted_or_corrected_has_exactly_the_verifier_s_law(target: list[int], proposed: list[int]) -> None:
    """All ways are enumerated: the proposal, whether it passes (on a grid of quantiles), the correction."""
    p, q = law_from(target), law_from(proposed, [(n + 1) % 7 for n in range(len(proposed))])
    grid = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    after_refusal = as_dict(residual(p, q))
    found = dict.fromkeys(range(7), 0.0)
    for token, chance in as_dict(q).items():
        slots = [Candidates(one.ids.expand(4000, -1), one.probs.expand(4000, -1)) for one in (p, q)]
        share_passed = float(accepted(*slots, torch.full((4000,), token), grid).double().mean())
        found[token] += chance * share_passed
        for corrected, again in after_refusal.items():
            found[corrected] += chance * (1.0 - share_passed) * again
    assert found == pytest.approx({token: as_dict(p).get(token, 0.0) for token in range(7)}, abs=3e-4)


def test_after_a_refusal_what_the_verifier_has_over_the_proposal_is_left() -> None:
    p, q = law(a=0.5, b=0.3, c=0.2), law(b=0.5, c=0.1, d=0.4)
    assert as_dict(residual(p, q)) == pytest.approx({0: 0.5 / 0.6, 2: 0.1 / 0.6})
    assert as_dict(residual(p, p)) == as_dict(p)  # never asked for; rounding must not make nan of it


@given(weights, weights)
def test_a_residual_is_a_law_over_the_verifier_s_tokens(target: list[int], proposed: list[int]) -> None:
    p, q = law_from(target), law_from(proposed)
    left = as_dict(residual(p, q))
    assert sum(left.values()) == pytest.approx(1.0)
    assert set(left) <= set(as_dict(p))
