"""Rules of the paper's samplers: what a step may change, which laws are drawn from, and where a text ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import log
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model.backbones.dit import DiT, DiTConfig
from model.backbones.dit_denoiser import DiTDenoiser
from model.block_diffusion import (
    LOWEST_ENTROPY,
    Recipe,
    Rule,
    SeededDraws,
    Step,
    Text,
    begin,
    fill,
    finish,
    nucleus,
    race,
    unigram_entropy,
    write,
)
from model.denoiser import BlockCache, Facts
from model.evaluation.engine_speed import Uncached, random_network

CONFIG = DiTConfig(vocab_size=23, hidden_dim=24, n_blocks=2, n_heads=2, cond_dim=6, model_length=16, block_size=4)
WHOLE = replace(CONFIG, block_size=16, cross_attn=False)
AR = replace(CONFIG, block_size=1, cross_attn=False, causal=True, adaln=False)
MASK, BOS = CONFIG.mask, 21
RULES: tuple[Rule, ...] = get_args(Rule)
RECIPES = st.builds(
    Recipe,
    st.sampled_from(RULES),
    steps=st.integers(1, 6),
    nucleus=st.sampled_from([0.5, 0.9, 1.0]),
    threshold=st.just(0.2),
)


@cache
def sharp_network(config: DiTConfig = CONFIG) -> DiT:
    """Surer of some tokens and slots than of others: else the last bits of a sum decide which of them come first."""
    network = random_network(config)
    for name, parameter in network.named_parameters():
        if "adaLN" in name or name.startswith("output_layer.linear"):
            torch.nn.init.normal_(parameter, std=0.3)
    return network


@cache
def denoiser(config: DiTConfig = CONFIG) -> DiTDenoiser:
    return DiTDenoiser(sharp_network(config), end=BOS)


class Table:
    """A network whose law does not depend on anything: logits [n, V] of the slots of a block of n."""

    def __init__(self, logits: Tensor, end: int = 0) -> None:
        self.table, mask = logits, logits.shape[1] - 1
        self.facts = Facts(
            vocabulary=mask,
            mask=mask,
            end=end,
            banned=(mask,),
            causal=False,
            block_sizes=(len(logits),),
            context=1 << 20,
        )
        self.asked: list[Tensor] = []

    def new_cache(self, batch: int) -> BlockCache:
        return BlockCache(
            layers=0, batch=batch, heads=1, width=1, limit=1 << 20, dtype=torch.float32, device=torch.device("cpu")
        )

    def room(self, cache: BlockCache) -> int:
        return len(self.table)

    def commit(self, tokens: Tensor, cache: BlockCache, *, last_only: bool = False) -> Tensor:
        cache.reserve(cache.size + tokens.shape[1])
        cache.extend(tokens)
        return torch.empty(len(tokens), 0, self.table.shape[1])

    def denoise(self, block: Tensor, cache: BlockCache) -> Tensor:
        self.asked.append(block.clone())
        return self.table.expand(len(block), -1, -1)

    def logits(self, features: Tensor) -> Tensor:
        return features


def pictures(job: Generator[Step, None, list[Text]]) -> tuple[list[Step], list[Text]]:
    steps = []
    while True:
        try:
            steps.append(next(job))
        except StopIteration as stopped:
            return steps, stopped.value


def certain(tokens: Sequence[int], vocabulary: int) -> Tensor:
    """Logits that leave no doubt."""
    return torch.full((len(tokens), vocabulary + 1), -50.0).scatter_(1, torch.tensor(tokens)[:, None], 50.0)


def near(frequency: float, chance: float, many: int) -> bool:
    """Within four standard errors."""
    return abs(frequency - chance) <= 4 * (chance * (1 - chance) / many) ** 0.5 + 1e-9


# ------------------------------------------------------------------------------------------------------------- steps


@given(recipe=RECIPES, prompt=st.lists(st.integers(0, 20), min_size=1, max_size=9), seed=st.integers(0, 99))
def test_only_masks_change_in_a_step_and_finished_blocks_never_change(
    recipe: Recipe, prompt: list[int], seed: int
) -> None:
    steps, texts = pictures(write(denoiser(), [prompt], recipe, SeededDraws([seed]), length=40))
    assert texts[0].tokens[: len(prompt)] == prompt
    assert len(texts[0].tokens) == 40
    assert MASK not in texts[0].tokens
    blocks: list[list[list[int]]] = []
    for step in steps:
        row = step.tokens[0].tolist()
        grows = bool(blocks) and all(old in (MASK, new) for old, new in zip(blocks[-1][-1], row, strict=True))
        if grows and MASK in blocks[-1][-1]:
            blocks[-1].append(row)
        else:
            blocks.append([row])
    written = [token for pictures_of_block in blocks for token in pictures_of_block[-1]]
    before = len(prompt) - len(prompt) % 4
    assert prompt[:before] + written == texts[0].tokens
    for seen in blocks:
        for old, new in pairwise(seen):
            assert all(was in (MASK, now) for was, now in zip(old, new, strict=True))
            assert old != new


@given(recipe=RECIPES, seed=st.integers(0, 999))
def test_the_same_seed_gives_the_same_text(recipe: Recipe, seed: int) -> None:
    once, again = (finish(write(denoiser(), [[BOS]], recipe, SeededDraws([seed]), length=32)) for _ in range(2))
    assert once == again


def test_every_seed_and_block_has_chances_of_its_own() -> None:
    draws = SeededDraws(range(1000))
    seen: set[float] = set()
    for block in range(3):
        draws.begin(block)
        seen |= set(draws.slots(torch.ones(1000, 1)).flatten().tolist())
    assert len(seen) == 3000


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, block_size=1), WHOLE, AR], ids=["4", "1", "whole", "ar"])
def test_a_batch_is_written_as_one_by_one(config: DiTConfig, rule: Rule) -> None:
    prompts = [[BOS], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [5, 6, 7, 8, 9]]
    recipe, engine = Recipe(rule, steps=3), denoiser(config)
    together = finish(write(engine, prompts, recipe, SeededDraws([1, 2, 3]), length=30))
    alone = [
        finish(write(engine, [prompt], recipe, SeededDraws([seed]), length=30))[0]
        for seed, prompt in enumerate(prompts, 1)
    ]
    assert together == alone


@pytest.mark.parametrize("rule", RULES)
def test_with_the_cache_the_text_is_that_of_the_plain_twin(rule: Rule) -> None:
    """As long as the window is not full."""
    recipe, network = Recipe(rule, steps=2), sharp_network()
    for seed in range(8):
        engines = (DiTDenoiser(network, end=BOS), Uncached(network, end=BOS))
        cached, plain = (
            finish(write(engine, [[BOS, 3]], recipe, SeededDraws([seed]), length=16)) for engine in engines
        )
        assert cached == plain


def test_with_the_exact_cache_it_stays_that_of_the_plain_twin() -> None:
    network = random_network(CONFIG)
    engines = (DiTDenoiser(network, end=BOS, exact=True), Uncached(network, end=BOS))
    cached, plain = (finish(write(engine, [[BOS]], Recipe(), SeededDraws([5]), length=60)) for engine in engines)
    assert cached == plain


@pytest.mark.parametrize("config", [CONFIG, WHOLE, AR], ids=["4", "whole", "ar"])
def test_a_text_may_be_ten_times_as_long_as_the_window(config: DiTConfig) -> None:
    text = finish(write(denoiser(config), [[BOS]], Recipe(), SeededDraws([0]), length=160))[0]
    assert (len(text.tokens), text.reason) == (160, "length")


def test_first_hitting_takes_one_forward_per_token() -> None:
    steps, _ = pictures(write(denoiser(), [[BOS]], Recipe("first-hitting"), SeededDraws([0]), length=32))
    assert [step.nfe for step in steps] == list(range(1, 32))  # L − 1: the first token is given


# ------------------------------------------------------------------------------------------------------------- rules


def test_first_hitting_takes_the_masked_slots_in_any_order_alike() -> None:
    many, engine = 3000, Table(torch.zeros(3, 4))
    block = torch.full((many, 3), 3)
    draws = SeededDraws(range(many))
    draws.begin(0)
    list(fill(engine, block, engine.new_cache(many), Recipe(nucleus=1.0), draws))
    once, twice = engine.asked[1] != 3, engine.asked[2] != 3
    orders = Counter(zip(once.int().argmax(1).tolist(), (twice & ~once).int().argmax(1).tolist(), strict=True))
    assert len(orders) == 6
    assert all(near(count / many, 1 / 6, many) for count in orders.values())


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_draws_tokens_by_the_law_of_their_slot(rule: Rule) -> None:
    many, laws = 4000, torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    engine = Table(torch.cat([laws.log(), torch.full((2, 1), 9.0)], dim=1))  # the mask itself is never drawn
    draws = SeededDraws(range(many))
    draws.begin(0)
    job = fill(engine, torch.full((many, 2), 3), engine.new_cache(many), Recipe(rule, steps=2, nucleus=1.0), draws)
    tokens = list(job)[-1].tokens
    for slot in range(2):
        for token in range(3):
            assert near(float((tokens[:, slot] == token).float().mean()), float(laws[slot, token]), many)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_ancestral_slots_take_their_token_at_a_uniform_time_and_none_is_left_at_the_end(steps: int) -> None:
    """At t = 0 the published code divides 0 by 0."""
    many, engine = 4000, Table(torch.zeros(2, 4))
    draws = SeededDraws(range(many))
    draws.begin(0)
    seen = list(fill(engine, torch.full((many, 2), 3), engine.new_cache(many), Recipe("ancestral", steps=steps), draws))
    assert not bool((seen[-1].tokens == 3).any())
    for step, picture in enumerate(seen, 1):
        assert near(float((picture.tokens != 3).float().mean()), step / steps, 2 * many)


def test_ancestral_asks_the_network_where_something_changes_alone() -> None:
    engine = Table(torch.zeros(4, 4))
    draws = SeededDraws([0])
    draws.begin(0)
    steps = list(fill(engine, torch.full((1, 4), 3), engine.new_cache(1), Recipe("ancestral", steps=500), draws))
    assert steps[-1].nfe == len(engine.asked) == len(steps) == 4
    assert all(not torch.equal(old, new) for old, new in pairwise(engine.asked))


def test_confidence_takes_the_surest_slots_first() -> None:
    laws = torch.tensor([[0.5, 0.5, 1e-9], [0.9, 0.1, 1e-9], [0.6, 0.4, 1e-9], [0.8, 0.2, 1e-9]]).log()
    engine = Table(torch.cat([laws, torch.zeros(4, 1)], dim=1))
    draws = SeededDraws([0])
    draws.begin(0)
    steps = list(fill(engine, torch.full((1, 4), 3), engine.new_cache(1), Recipe("confidence", steps=2), draws))
    assert [(step.tokens[0] != 3).tolist() for step in steps] == [[False, True, False, True], [True] * 4]


def test_threshold_takes_every_sure_slot_and_the_rest_in_the_last_step() -> None:
    laws = torch.tensor([[0.5, 0.5, 1e-9], [0.9, 0.1, 1e-9], [0.6, 0.4, 1e-9], [0.8, 0.2, 1e-9]]).log()
    engine = Table(torch.cat([laws, torch.zeros(4, 1)], dim=1))
    draws = SeededDraws([0])
    draws.begin(0)
    recipe = Recipe("threshold", steps=3, threshold=0.75)
    steps = list(fill(engine, torch.full((1, 4), 3), engine.new_cache(1), recipe, draws))
    assert [int((step.tokens != 3).sum()) for step in steps] == [2, 3, 4]


@pytest.mark.parametrize(
    ("p", "kept"),
    [(1.0, [0.4, 0.3, 0.2, 0.1]), (0.95, [0.4, 0.3, 0.2]), (0.8, [0.4, 0.3]), (0.69, [0.4]), (0.1, [0.4])],
)
def test_the_nucleus_drops_the_token_that_crosses_p_but_never_the_first(p: float, kept: list[float]) -> None:
    probs = torch.tensor([0.2, 0.4, 0.1, 0.3], dtype=torch.float64)
    cut = nucleus(probs, p)
    expected = torch.tensor([q if q in kept else 0.0 for q in probs.tolist()], dtype=torch.float64)
    torch.testing.assert_close(cut, expected / expected.sum())


@given(seed=st.integers(0, 99), p=st.sampled_from([0.3, 0.9, 0.99]), sharp=st.sampled_from([0.1, 3.0, 10.0]))
def test_the_nucleus_is_found_among_the_likeliest_as_among_all(seed: int, p: float, sharp: float) -> None:
    probs = (torch.randn(2, 3000, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * sharp).softmax(
        -1
    )
    ranked, order = probs.sort(-1, descending=True)
    keep = ranked.cumsum(-1) <= p
    keep[:, 0] = True
    plain = torch.zeros_like(probs).scatter(-1, order, ranked * keep)
    torch.testing.assert_close(nucleus(probs, p), plain / plain.sum(-1, keepdim=True))


def test_the_race_is_won_by_chance_in_proportion() -> None:
    many, probs = 20000, torch.tensor([0.5, 0.0, 0.3, 0.2], dtype=torch.float64)
    uniforms = torch.rand(many, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = torch.bincount(race(probs.expand(many, 4), uniforms), minlength=4) / many
    assert all(near(float(found), float(chance), many) for found, chance in zip(counts, probs, strict=True))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"rule": "magic"}, "no rule 'magic'"),
        ({"steps": 0}, "0 steps"),
        ({"nucleus": 0.0}, "probabilities"),
        ({"threshold": 1.5}, "probabilities"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Recipe(**fields)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ prompts and endings


def test_a_prompt_is_read_up_to_its_last_whole_block() -> None:
    cache, block, _ = begin(denoiser(), [[1, 2, 3, 4, 5, 6]])
    assert (cache.size, cache.padding) == (4, None)
    assert block.tolist() == [[5, 6, MASK, MASK]]


def test_a_text_without_a_first_token_is_refused() -> None:
    for prompts in ([], [[1], []]):
        with pytest.raises(ValueError, match="give the BOS token"):
            begin(denoiser(), prompts)


def test_a_prompt_that_fills_a_whole_row_is_refused() -> None:
    with pytest.raises(ValueError, match="rows of 16 tokens; give it prompts that are shorter"):
        begin(denoiser(WHOLE), [list(range(16))])


def test_a_text_ends_with_the_first_end_token_it_writes() -> None:
    """In a text that begins with BOS, which is the same token, that is the second one."""
    engine = Table(certain([5, 6, 0, 7], 9), end=0)
    texts = finish(write(engine, [[0], [0, 1, 0, 2, 3]], Recipe(), SeededDraws([1, 2]), length=100, stop=True))
    assert texts == [Text([0, 6, 0], "end"), Text([0, 1, 0, 2, 3, 6, 0], "end")]


def test_without_stop_rules_a_text_has_its_length() -> None:
    engine = Table(certain([5, 6, 0, 7], 9), end=0)
    assert finish(write(engine, [[0]], Recipe(), SeededDraws([1]), length=7)) == [Text([0, 6, 0, 7, 5, 6, 0], "length")]


def test_a_text_whose_entropy_falls_too_low_loses_its_last_256_tokens() -> None:
    prompt = list(range(1, 301))
    engine = Table(certain([5, 6, 7, 8], 400), end=0)
    text = finish(write(engine, [prompt], Recipe(), SeededDraws([1]), length=2000, stop=True))[0]
    assert text.reason == "entropy"
    whole = prompt + [5, 6, 7, 8] * 100
    end = len(text.tokens) + 256
    assert text.tokens == whole[: end - 256]
    assert unigram_entropy(whole[end - 256 : end]) < LOWEST_ENTROPY <= unigram_entropy(whole[end - 260 : end - 4])


def test_a_short_text_is_not_judged_by_its_entropy() -> None:
    engine = Table(certain([5, 6, 7, 8], 9), end=0)
    assert finish(write(engine, [[1]], Recipe(), SeededDraws([1]), length=256, stop=True))[0].reason == "length"


def test_the_entropy_of_tokens_is_in_nats() -> None:
    assert unigram_entropy([1, 1, 2, 2]) == pytest.approx(log(2))
    assert unigram_entropy([3] * 10) == 0


def test_texts_that_have_ended_wait_for_the_others() -> None:
    engine = Table(certain([5, 6, 7, 8], 9), end=0)
    prompts = [[1], [1, 2, 3, 4, 5, 6, 7, 8, 9]]
    texts = finish(write(engine, prompts, Recipe(), SeededDraws([1, 2]), length=12))
    assert [text.tokens for text in texts] == [[1, 6, 7, 8, *[5, 6, 7, 8] * 2], [*prompts[1], 6, 7, 8]]
