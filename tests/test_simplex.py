"""SSD-LM: noise on the simplex, its loss against a plain loop, its bound against the truth, and its sampler."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from model import simplex, simplex_diffusion
from model.backbones.dit import DiT, DiTConfig
from model.block_diffusion import Step, Text, finish
from model.noise import ClippedInterval
from model.simplex_diffusion import NormalDraws, SimplexRecipe, denoise, write
from model.training.objectives import all_but_first
from model.training.systems import simplex as system_module
from model.training.systems.simplex import Seeded, SimplexDiffusion
from tests.training_tiny import CONFIG, config, network, rows

SHAPE = config("ssd")
V = CONFIG.mask
END = 21


def draws(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noised(clean: Tensor, level: float) -> Seeded:
    batch = SimplexDiffusion(SHAPE).noise(clean, ClippedInterval(), draws())
    return Seeded(batch.clean, batch.noisy, torch.full_like(batch.level, level), batch.weight, batch.seeds)


class Given(nn.Module):
    """Stands where an embedding stood, and gives what it was told to."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.vectors = vectors

    def forward(self, tokens: Tensor) -> Tensor:
        return self.vectors


def plain_logits(net: DiT, before: Tensor, tokens: Tensor, points: Tensor, level: float) -> Tensor:
    """Logits [n, V] of one block, slot by slot, through the network's own forward."""
    table = net.vocab_embed.embedding
    vectors = [table[token] for token in before]
    for token, point in zip(tokens, points, strict=True):
        parts = torch.exp(point) / torch.exp(point).sum()
        vectors.append(table[token] if token != V else sum(part * table[i] for i, part in enumerate(parts)))
    embedding, net.vocab_embed = net.vocab_embed, Given(torch.stack(vectors)[None])  # type: ignore[assignment]
    logits = net(torch.zeros(1, len(vectors)), torch.arange(len(vectors)), sigma=torch.tensor([10.0 * level]))
    net.vocab_embed = embedding
    return logits[0, len(before) :]


# ------------------------------------------------------------------------------------------------------------- noise


def test_without_noise_a_point_is_the_token_and_at_the_end_nothing_of_it_is_left() -> None:
    tokens, noise = rows(3), torch.randn(3, 16, V, generator=draws())
    points = simplex.corners(tokens, V)
    assert torch.equal(points.max(-1).values, torch.full((3, 16), 5.0))
    assert torch.equal(points.min(-1).values, torch.full((3, 16), -5.0))
    clear = simplex.diffuse(points, torch.zeros(3, 16), noise)
    torch.testing.assert_close(clear, points)
    assert torch.equal(clear.argmax(-1), tokens)
    gone = simplex.diffuse(points, torch.ones(3, 16), noise)
    torch.testing.assert_close(gone, 5.0 * noise, atol=1e-4, rtol=0.0)


def test_the_schedule_is_the_published_cosine_and_can_be_turned_round() -> None:
    levels = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    steps = [
        math.cos((t + 1e-4) / (1 + 1e-4) * math.pi / 2) ** 2 / math.cos(1e-4 / (1 + 1e-4) * math.pi / 2) ** 2
        for t in levels.tolist()
    ]
    kept = simplex.signal(levels)
    torch.testing.assert_close(kept, torch.tensor(steps, dtype=torch.float64))
    torch.testing.assert_close(simplex.level_of(torch.logit(kept)), levels)


# -------------------------------------------------------------------------------------------------------------- loss


@torch.no_grad()
def test_the_loss_of_a_batch_is_that_of_a_plain_loop_over_rows_blocks_and_slots() -> None:
    net, clean = network(SHAPE), rows(3)
    batch = SimplexDiffusion(SHAPE).noise(clean, ClippedInterval(), draws())
    found = SimplexDiffusion(SHAPE).loss(net, batch)
    for row in range(3):
        noise = torch.randn(16, V, generator=draws(int(batch.seeds[row])))
        for start in range(0, 16, 4):
            level = float(batch.level[row, start])
            kept = float(simplex.signal(torch.tensor(level, dtype=torch.float64)))
            points = torch.empty(4, V)
            for slot in range(4):
                for token in range(V):
                    corner = 5.0 if token == int(clean[row, start + slot]) else -5.0
                    noisy = math.sqrt(kept) * corner + math.sqrt(1 - kept) * 5.0 * float(noise[start + slot, token])
                    points[slot, token] = noisy
            before = clean[row, start - 4 : start] if start else torch.full((4,), V)
            logits = plain_logits(net, before, batch.noisy[row, start : start + 4], points, level)
            chances = torch.log_softmax(logits[:, :V], dim=-1)
            for slot in range(4):
                given = start + slot == 0
                wanted = 0.0 if given else -float(chances[slot, clean[row, start + slot]])
                assert float(found.nll[row, start + slot]) == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def test_a_block_reads_the_block_before_it_and_no_further() -> None:
    net, clean = network(SHAPE), rows(1)
    other = clean.clone()
    other[0, :4] = (clean[0, :4] + 1) % V
    one, two = (SimplexDiffusion(SHAPE).loss(net, noised(each, 0.4)).nll[0] for each in (clean, other))
    assert not torch.allclose(one[4:8], two[4:8])
    torch.testing.assert_close(one[8:], two[8:])


def test_given_tokens_are_read_as_they_are_whatever_the_noise_on_them() -> None:
    net = network(SHAPE)
    before, tokens = rows(2, 4), torch.full((2, 4), V)
    tokens[:, 0] = 7
    points = torch.randn(2, 4, V, generator=draws())
    moved = points.clone()
    moved[:, 0] += 3.0 * torch.randn(2, V, generator=draws(2))
    level = torch.full((2,), 0.5)
    same = [simplex.read(net, before, tokens, each, level) for each in (points, moved)]
    assert torch.equal(same[0], same[1])
    moved[:, 1] += 3.0 * torch.randn(2, V, generator=draws(2))
    assert not torch.allclose(same[0], simplex.read(net, before, tokens, moved, level))


def test_levels_are_stratified_over_all_blocks_and_every_row_has_noise_of_its_own() -> None:
    batch = SimplexDiffusion(SHAPE).noise(rows(8), ClippedInterval(0.3, 0.5), draws())
    levels = batch.level[:, ::4].flatten()
    assert torch.equal((levels.sort().values * 32).floor().clamp(max=31), torch.arange(32.0))
    assert len(set(batch.seeds.tolist())) == 8


# ------------------------------------------------------------------------------------------------------------- bound


def test_for_a_network_that_knows_the_posterior_the_bound_is_the_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Independent tokens of a known law: Bayes' rule on Gaussian points is log p + 2 √ᾱ z / ((1 − ᾱ) K)."""
    law = torch.arange(1.0, V + 1) / torch.arange(1.0, V + 1).sum()

    def posterior(net: DiT, before: Tensor, tokens: Tensor, points: Tensor, level: Tensor) -> Tensor:
        kept = simplex.signal(level.double())[:, None, None]
        logits = law.log() + 2 * kept.sqrt() * points / ((1 - kept) * simplex.ONE_HOT)
        return torch.cat([logits, torch.zeros_like(logits[..., :1])], dim=-1)

    monkeypatch.setattr(system_module.simplex, "read", posterior)
    clean = torch.multinomial(law, 1600 * 16, replacement=True, generator=draws()).view(1600, 16)
    system, net, counted = SimplexDiffusion(SHAPE), network(SHAPE), all_but_first(clean)
    nats = torch.stack([system.bound(net, clean, counted, draws(seed)).nll.sum(1) for seed in range(20)]).mean(0) / 15
    exact = -law.log()[clean][:, 1:].mean(1)
    off = nats - exact  # paired with what the drawn tokens cost
    assert abs(float(off.mean())) < 4 * float(off.std()) / math.sqrt(len(off)) < 0.1


def test_the_bound_counts_what_is_counted_and_leaves_the_rest_clean() -> None:
    net, clean = network(SHAPE), rows(2)
    counted = torch.zeros_like(clean, dtype=torch.bool)
    counted[:, 5] = True
    found = SimplexDiffusion(SHAPE).bound(net, clean, counted, draws())
    assert found.nll[~counted].count_nonzero() == 0
    assert bool((found.nll[counted] > 0).all())


# ----------------------------------------------------------------------------------------------------------- sampler


def steps_of(prompts: list[list[int]], recipe: SimplexRecipe, **other: object) -> tuple[list[Step], list[Text]]:
    job, seen = write(network(SHAPE), prompts, recipe, NormalDraws(range(len(prompts))), end=END, **other), []  # type: ignore[arg-type]
    while True:
        try:
            seen.append(next(job))
        except StopIteration as stopped:
            return seen, stopped.value


@settings(max_examples=40)
@given(prompt=st.lists(st.integers(0, 20), min_size=1, max_size=9), steps=st.integers(1, 4), length=st.integers(10, 50))
def test_texts_of_any_length_begin_with_their_prompt_and_hold_no_mask(
    prompt: list[int], steps: int, length: int
) -> None:
    pictures, texts = steps_of([prompt], SimplexRecipe(steps), length=length)
    assert texts[0].tokens[: len(prompt)] == prompt
    assert len(texts[0].tokens) == length
    assert V not in texts[0].tokens
    blocks = -(-length // 4) - len(prompt) // 4
    assert [picture.nfe for picture in pictures] == list(range(1, steps * blocks + 1))
    assert texts[0].nfe == steps * blocks
    for picture in pictures[:steps]:  # noise-free input is kept, in the first block
        known = prompt[len(prompt) - len(prompt) % 4 :]
        assert picture.tokens[0, : len(known)].tolist() == known


def test_a_batch_is_written_as_one_by_one() -> None:
    prompts, net = [[END], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [5, 6, 7, 8]], network(SHAPE)
    recipe = SimplexRecipe(3)
    together = finish(write(net, prompts, recipe, NormalDraws([1, 2, 3]), length=30, end=END))
    for seed, prompt in enumerate(prompts, 1):
        alone = finish(write(net, [prompt], recipe, NormalDraws([seed]), length=30, end=END))[0]
        text = together[seed - 1]
        assert (alone.tokens, alone.nfe) == (text.tokens, text.nfe)


def test_what_the_network_is_sure_of_is_written_and_is_what_the_next_step_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, seen = torch.tensor([[3, 1, 4, 1]]), []

    def sure(net: DiT, before: Tensor, tokens: Tensor, points: Tensor, level: Tensor) -> Tensor:
        seen.append((float(level[0]), points))
        return torch.full((1, 4, V + 1), -50.0).scatter(-1, wanted[..., None], 50.0)

    monkeypatch.setattr(simplex_diffusion.simplex, "read", sure)
    chances = NormalDraws([0])
    chances.begin(0)
    last = list(denoise(network(SHAPE), rows(1, 4), torch.full((1, 4), V), SimplexRecipe(50), chances))[-1]
    assert torch.equal(last.tokens, wanted)
    assert [level for level, _ in seen] == pytest.approx([step / 50 for step in range(50, 0, -1)])
    assert torch.equal(seen[-1][1].argmax(-1), wanted)  # hardly any noise is left
    distances = [float((points - simplex.corners(wanted, V)).square().mean()) for _, points in seen[::10]]
    assert all(later < earlier for earlier, later in pairwise(distances))


def test_a_step_draws_from_the_smallest_set_that_reaches_the_nucleus(monkeypatch: pytest.MonkeyPatch) -> None:
    law, many = torch.tensor([0.5, 0.3, 0.15, 0.05]), 4000
    shape = DiTConfig(vocab_size=5, hidden_dim=4, n_blocks=1, n_heads=1, cond_dim=2, model_length=2, block_size=2,
                      cross_attn=False, time_conditioning=True, simplex=True)  # fmt: skip

    def fixed(net: DiT, before: Tensor, tokens: Tensor, points: Tensor, level: Tensor) -> Tensor:
        return torch.cat([law.log(), torch.tensor([9.0])]).expand(many, 2, 5)

    monkeypatch.setattr(simplex_diffusion.simplex, "read", fixed)
    chances = NormalDraws(range(many))
    chances.begin(0)
    given = torch.full((many, 2), 4)
    last = list(denoise(DiT(shape), given, given, SimplexRecipe(1, 0.8), chances))[-1]
    shares = torch.bincount(last.tokens.flatten(), minlength=5) / last.tokens.numel()
    kept = [0.5 / 0.8, 0.3 / 0.8, 0.0, 0.0, 0.0]
    assert all(abs(float(s) - p) <= 4 * (p * (1 - p) / (2 * many)) ** 0.5 for s, p in zip(shares, kept, strict=True))


def test_a_text_ends_with_the_end_token_where_stop_rules_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def sure(net: DiT, before: Tensor, tokens: Tensor, points: Tensor, level: Tensor) -> Tensor:
        wanted = torch.tensor([[5, 6, END, 8]])
        return torch.full((1, 4, V + 1), -50.0).scatter(-1, wanted[..., None], 50.0)

    monkeypatch.setattr(simplex_diffusion.simplex, "read", sure)
    _, texts = steps_of([[END]], SimplexRecipe(2), length=40, stop=True)
    assert texts == [Text([END, 6, END], "end")]
    _, texts = steps_of([[END]], SimplexRecipe(2), length=7)
    assert texts == [Text([END, 6, END, 8, 5, 6, END], "length")]


@pytest.mark.parametrize(("recipe", "sentence"), [((0, 0.9), "0 steps"), ((5, 0.0), "nucleus is a probability")])
def test_a_recipe_that_cannot_be_followed_is_refused(recipe: tuple[int, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SimplexRecipe(*recipe)


def test_a_text_without_a_first_token_is_refused() -> None:
    for prompts in ([], [[1], []]):
        with pytest.raises(ValueError, match="give the BOS token"):
            finish(write(network(SHAPE), prompts, SimplexRecipe(1), NormalDraws([0, 1]), length=4, end=END))
