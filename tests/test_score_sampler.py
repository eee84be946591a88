"""SEDD's analytic sampler: its step against matrix exponentials, its law against the truth and the ancestral one."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model import noise
from model.backbones.dit_config import DiTConfig
from model.block_diffusion import Recipe, SeededDraws, Text, fill, finish
from model.score_sampler import HIGHEST, LOWEST, ScoreRecipe, TooLong, chances, denoise, write
from model.training import objectives
from tests.test_block_diffusion import Table, certain
from tests.training_tiny import config, network

SHAPE = config("sedd")
MASK, END = SHAPE.mask, 21


class OneStream:
    """All chances from one generator: fast for thousands of rows."""

    def __init__(self, seed: int) -> None:
        self._stream = torch.Generator().manual_seed(seed)

    def begin(self, block: int) -> None:
        pass

    def slots(self, masked: Tensor) -> Tensor:
        return torch.rand(masked.shape, generator=self._stream, dtype=torch.float64)

    def tokens(self, chosen: Tensor, vocabulary: int) -> Tensor:
        return torch.rand(int(chosen.sum()), vocabulary, generator=self._stream, dtype=torch.float64)


class Exact:
    """A network that knows the law [3, 3, 3] of rows of three tokens out of three, and thereby every score."""

    config = DiTConfig(
        vocab_size=4, hidden_dim=4, n_blocks=1, n_heads=1, cond_dim=2, model_length=3, block_size=3,
        cross_attn=False, time_conditioning=True,
    )  # fmt: skip

    def __init__(self, law: Tensor) -> None:
        self.law = law
        self.told: list[float] = []

    def posterior(self, row: tuple[int, ...]) -> Tensor:
        """[3, 3]: law of every slot given the slots that are not masked."""
        seen = torch.zeros_like(self.law)
        for text in product(range(3), repeat=3):
            if all(token in (3, other) for token, other in zip(row, text, strict=True)):
                seen[text] = self.law[text]
        sums = torch.stack([seen.sum(dim=[axis for axis in range(3) if axis != slot]) for slot in range(3)])
        return sums / sums.sum(-1, keepdim=True)

    def __call__(self, tokens: Tensor, positions: Tensor, mask: None = None, sigma: Tensor | None = None) -> Tensor:
        assert sigma is not None
        self.told.append(float(sigma[0]))
        unique, where = tokens.unique(dim=0, return_inverse=True)
        known = torch.stack([self.posterior(tuple(row)) for row in unique.tolist()])
        logits = known.log() + math.log(3)  # s = p / (e^σ − 1), and log(V − 1) is taken off
        return torch.cat([logits, torch.full_like(logits[..., :1], 7.0)], dim=-1)[where]


def law(seed: int = 0) -> Tensor:
    """Tokens that depend on each other strongly."""
    raw = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (2.5 * raw).flatten().softmax(0).view(3, 3, 3)


def chi_square(rows: Tensor, wanted: Tensor) -> float:
    """Of rows [N, 3] against their law; likely cells alone, the others pooled."""
    cells = torch.bincount(rows @ torch.tensor([9, 3, 1]), minlength=27).double()
    expected = wanted.flatten() * len(rows)
    small = expected < 5
    seen = torch.cat([cells[~small], cells[small].sum()[None]])
    hoped = torch.cat([expected[~small], expected[small].sum()[None]])
    return float(((seen - hoped).square() / hoped.clamp(min=1e-9)).sum())


QUANTILE = 54.1
"""99.9 % for 26 degrees of freedom, which are the most."""


# -------------------------------------------------------------------------------------------------------------- a step


@given(
    seed=st.integers(0, 999),
    level=st.floats(0.02, 0.99),
    share=st.floats(0.0, 0.99),
    vocabulary=st.integers(2, 6),
)
def test_a_step_is_that_of_matrix_exponentials_of_the_noise(
    seed: int, level: float, share: float, vocabulary: int
) -> None:
    """The plain twin in float64: scores staggered by e^−ΔQ, times the row of e^ΔQ that leads to the mask."""
    mask = vocabulary - 1
    stream = torch.Generator().manual_seed(seed)
    posterior = torch.randn(mask, generator=stream, dtype=torch.float64).softmax(0)
    logits = torch.cat([posterior.log() + math.log(mask), torch.zeros(1, dtype=torch.float64)])
    less = level * share
    step = math.log((1 - less) / (1 - level))
    scores = torch.cat([posterior * (1 - level) / level, torch.ones(1, dtype=torch.float64)])
    rate = torch.zeros(vocabulary, vocabulary, dtype=torch.float64)  # column: from, row: to
    for token in range(mask):
        rate[mask, token], rate[token, token] = 1.0, -1.0
    plain = (torch.matrix_exp(-step * rate) @ scores) * torch.matrix_exp(step * rate)[mask]
    found = chances(logits[None], level, less, mask)[0]
    torch.testing.assert_close(found[:mask], plain[:mask], rtol=1e-9, atol=1e-12)
    assert float(found[mask]) == 0.0
    assert 1 - float(found.sum()) == pytest.approx(float(plain[mask]), abs=1e-9)
    assert float(found.sum()) == pytest.approx(1 - less / level)  # of exact scores: what ancestral sampling takes


def test_scores_that_promise_too_much_are_scaled_to_chances() -> None:
    found = chances(torch.tensor([[5.0, 4.0, 3.0, 0.0]]), 0.9, 0.1, 3)
    assert float(found.sum()) == pytest.approx(1.0)
    assert float(found[0, 0] / found[0, 1]) == pytest.approx(math.e)


def test_exact_scores_are_where_the_training_loss_is_smallest() -> None:
    """The sampler reads logits as training writes them: the loss, averaged over the posterior, has no slope there."""
    posterior, level = torch.tensor([0.6, 0.3, 0.1]), torch.tensor([[0.4]])
    logits = torch.cat([posterior.log() + math.log(3), torch.zeros(1)])[None, None].requires_grad_()
    masked = torch.tensor([[3]])
    costs = [
        objectives.score_entropy(logits, torch.tensor([[token]]), masked, level, 3).nll.sum() for token in range(3)
    ]
    torch.stack([p * cost for p, cost in zip(posterior, costs, strict=True)]).sum().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[0, 0, :3], torch.zeros(3), atol=1e-6, rtol=0.0)


# -------------------------------------------------------------------------------------------------------------- its law


def test_with_many_steps_the_law_is_the_true_one_and_with_one_it_is_not() -> None:
    truth, many = law(), 3000
    masked = torch.full((many, 3), 3)
    found = {}
    for steps in (1, 64):
        last = list(denoise(Exact(truth), masked, ScoreRecipe(steps, 1.0), OneStream(steps)))[-1]
        found[steps] = chi_square(last.tokens, truth)
    assert found[64] < QUANTILE < 10 * QUANTILE < found[1]


def test_the_law_is_that_of_ancestral_sampling() -> None:
    truth, many = law(), 3000
    network = Exact(truth)

    class Posterior(Table):
        def denoise(self, block: Tensor, cache: object) -> Tensor:
            return network(block, torch.arange(3), sigma=torch.zeros(len(block)))

    masked, table = torch.full((many, 3), 3), Posterior(torch.zeros(3, 4))
    job = fill(table, masked, table.new_cache(many), Recipe("ancestral", steps=64, nucleus=1.0), OneStream(5))
    assert chi_square(list(job)[-1].tokens, truth) < QUANTILE


def test_given_tokens_stay_and_the_others_follow_their_law_given_them() -> None:
    truth, many = law(), 3000
    rows = torch.tensor([[3, 1, 3]]).expand(many, 3)
    last = list(denoise(Exact(truth), rows, ScoreRecipe(64, 1.0), OneStream(1)))[-1]
    assert bool((last.tokens[:, 1] == 1).all())
    wanted = torch.zeros_like(truth)
    wanted[:, 1] = truth[:, 1] / truth[:, 1].sum()
    assert chi_square(last.tokens, wanted) < QUANTILE


# ------------------------------------------------------------------------------------------------------------- the rows


def test_the_network_is_told_less_noise_at_every_step_and_the_last_step_takes_all_masks_away() -> None:
    exact = Exact(law())
    seen = list(denoise(exact, torch.full((200, 3), 3), ScoreRecipe(8, 1.0), OneStream(0)))
    levels = torch.linspace(HIGHEST, LOWEST, 9, dtype=torch.float64)
    assert exact.told == pytest.approx(noise.sigma(levels).tolist(), rel=1e-5)
    assert [step.nfe for step in seen] == list(range(1, 10))
    shares = [float((step.tokens == 3).float().mean()) for step in seen]
    for share, level in zip(shares[:-1], levels[1:].tolist(), strict=True):
        assert abs(share - level) <= 4 * (level * (1 - level) / 600) ** 0.5 + 1e-3
    assert shares[-1] == 0.0


def test_even_one_step_leaves_no_mask() -> None:
    text = finish(write(network(SHAPE), [[END]], ScoreRecipe(1), SeededDraws([0]), length=16, end=END))[0]
    assert MASK not in text.tokens
    assert (len(text.tokens), text.reason, text.nfe) == (16, "length", 2)


def test_a_batch_is_written_as_one_by_one() -> None:
    net, prompts = network(SHAPE), [[END], [1, 2, 3, 4, 5], [5, 6]]
    together = finish(write(net, prompts, ScoreRecipe(4), SeededDraws([1, 2, 3]), length=12, end=END))
    for seed, prompt in enumerate(prompts, 1):
        alone = finish(write(net, [prompt], ScoreRecipe(4), SeededDraws([seed]), length=12, end=END))[0]
        assert (alone, alone.nfe) == (together[seed - 1], together[seed - 1].nfe)
        assert alone.tokens[: len(prompt)] == prompt


def test_a_shorter_text_is_the_beginning_of_a_row() -> None:
    net = network(SHAPE)
    long, short = (
        finish(write(net, [[END]], ScoreRecipe(3), SeededDraws([4]), length=length, end=END))[0] for length in (16, 9)
    )
    assert short.tokens == long.tokens[:9]


def test_a_text_longer_than_the_rows_is_refused_in_a_sentence() -> None:
    for prompts, length in (([[END]], 17), ([[1] * 17], 16)):
        with pytest.raises(TooLong, match="rows of 16 tokens and no more; ask for at most 16"):
            finish(write(network(SHAPE), prompts, ScoreRecipe(1), SeededDraws([0]), length=length, end=END))


def test_a_text_ends_with_the_end_token_where_stop_rules_hold() -> None:
    class Sure:
        config = replace(Exact.config, model_length=4, block_size=4, vocab_size=10)

        def __call__(self, tokens: Tensor, positions: Tensor, mask: None = None, sigma: Tensor | None = None) -> Tensor:
            return certain([5, 6, 0, 7], 9).expand(len(tokens), 4, 10)

    texts = finish(write(Sure(), [[1], [1, 2]], ScoreRecipe(2), SeededDraws([1, 2]), length=4, end=0, stop=True))
    assert texts == [Text([1, 6, 0], "end"), Text([1, 2, 0], "end")]


@pytest.mark.parametrize(("recipe", "sentence"), [((0, 0.9), "0 steps"), ((5, 1.5), "nucleus is a probability")])
def test_a_recipe_that_cannot_be_followed_is_refused(recipe: tuple[int, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ScoreRecipe(*recipe)


def test_a_text_without_a_first_token_is_refused() -> None:
    with pytest.raises(ValueError, match="give the BOS token"):
        finish(write(network(SHAPE), [[1], []], ScoreRecipe(1), SeededDraws([0, 1]), length=4, end=END))
