"""Rules of the block sampler: verified text has exactly the base model's law, and every rule writes what its uncached
twin writes with the same draws."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model import repetition, sampler, unmasking
from model.backbones.llama import Llama
from model.contract import Dial, Rule
from model.denoiser import PROPOSALS, BlockCache, ContextFull, Facts
from model.sampler import Block, BlockSampler, Draws, Step
from model.unmasking import Candidates
from tests.tiny import BANNED, CONFIG, END, MASK, Parts, PlainSampler, law_of, lost, parts

PROMPT = [5, 17, 9, 20, 3]
UNVERIFIED: tuple[Rule, ...] = ("first-hitting", "confidence", "threshold")

DIALS = {
    "block size 1": Dial(1, 1, "verified"),
    "block size 1, unverified": Dial(1, 1, "confidence"),
    "exact": Dial(8, 1, "verified"),
    "exact, two steps": Dial(8, 2, "verified", temperature=1.0, nucleus=1.0),
    "exact, as many steps as slots": Dial(4, 4, "verified", temperature=1.3, nucleus=0.8),
    "exact, large blocks": Dial(16, 1, "verified"),
    "lenient": Dial(8, 3, "verified", threshold=0.2),
    "exact, against repeats": Dial(8, 2, "verified", temperature=1.0, repeat_penalty=1.0),
    "lenient, against repeats": Dial(8, 3, "verified", threshold=0.2, repeat_penalty=0.6),
    "greedy": Dial(8, 2, "verified", temperature=0.0),
    "first-hitting": Dial(8, 8, "first-hitting"),
    "first-hitting, fewer steps": Dial(8, 3, "first-hitting", temperature=1.0, nucleus=1.0),
    "confidence": Dial(8, 3, "confidence"),
    "confidence, one step": Dial(4, 1, "confidence", temperature=1.0, nucleus=1.0),
    "confidence, against repeats": Dial(8, 3, "confidence", repeat_penalty=2.0),
    "confidence, greedy": Dial(4, 2, "confidence", temperature=0.0),
    "threshold": Dial(8, 4, "threshold", threshold=0.3),
    "threshold, never sure": Dial(8, 8, "threshold", threshold=1.0, temperature=1.3),
    "threshold, one step": Dial(4, 1, "threshold", threshold=0.3),
}
every_dial = pytest.mark.parametrize("dial", DIALS.values(), ids=DIALS.keys())


@pytest.fixture(scope="module")
def tiny() -> Parts:
    return parts(seed=11)


@pytest.fixture(scope="module")
def network(tiny: Parts) -> Llama:
    return tiny.fast()


@pytest.fixture(autouse=True)
def _as_the_engine_does() -> Iterator[None]:
    with torch.inference_mode():
        yield


def start(network: Llama | Table, dial: Dial, *prompts: list[int], may_end: bool = True) -> BlockSampler:
    """A sampler that has read its prompts; shorter ones are padded."""
    longest = max(len(prompt) for prompt in prompts)
    padding = torch.tensor([longest - len(prompt) for prompt in prompts])
    tokens = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    begun = BlockSampler(network, dial, batch=len(prompts), may_end=may_end)
    for _ in begun.read(tokens, padding if padding.any() else None):
        pass
    return begun


def run(begun: BlockSampler, draws: Draws, size: int | None = None) -> tuple[list[Step], Block]:
    """The pictures of one block, and the block."""
    steps, pictures = begun.block(size or begun.dial.block_size, draws), []
    while True:
        try:
            pictures.append(next(steps))
        except StopIteration as stop:
            return pictures, stop.value


def write(begun: BlockSampler, draws: Draws, blocks: int) -> list[list[int]]:
    """The tokens of some blocks, for every row."""
    return torch.cat([run(begun, draws)[1].tokens for _ in range(blocks)], dim=1).tolist()


# -------------------------------------------------------------------------------------------- cached = uncached


@every_dial
@pytest.mark.parametrize("may_end", [True, False])
def test_the_cached_sampler_writes_what_its_uncached_twin_writes(
    tiny: Parts, network: Llama, dial: Dial, may_end: bool
) -> None:
    fast, plain = start(network, dial, PROMPT, may_end=may_end), PlainSampler(tiny.plain(), dial, [*PROMPT], may_end)
    draws, same_draws = Draws([3]), Draws([3])
    nll: list[float] = []
    for _ in range(3):
        block = run(fast, draws)[1]
        assert block.tokens[0].tolist() == plain.block(dial.block_size, same_draws)
        nll += block.nll[0].tolist()
        assert fast.nfe == plain.nfe
    assert nll == pytest.approx(plain.nll, abs=1e-4)
    assert fast.cache.tokens[0, : fast.cache.decided].tolist() == plain.text


@pytest.mark.parametrize("adapter", [True, False], ids=["no head", "neither"])
def test_a_network_without_sampler_head_or_adapter_is_sampled_just_the_same(adapter: bool) -> None:
    bare = parts(seed=12, adapter=adapter, head=False, tied=False)
    for dial in (DIALS["exact, two steps"], DIALS["confidence"]):
        fast, plain = start(bare.fast(), dial, PROMPT), PlainSampler(bare.plain(), dial, [*PROMPT])
        assert write(fast, Draws([5]), 1)[0] == plain.block(dial.block_size, Draws([5]))


@pytest.mark.parametrize("verified", [True, False])
def test_block_size_1_is_autoregressive_sampling(tiny: Parts, network: Llama, verified: bool) -> None:
    """One draw from the causal reading after another: written out here, for it is the yardstick of all the rest."""
    dial = Dial(1, 1, "verified" if verified else "first-hitting", temperature=0.9, nucleus=0.9)
    draws, text = Draws([8]), [*PROMPT]
    for _ in range(20):
        logits = tiny.plain().causal(text)[-1]
        logits[list(BANNED)] = -math.inf
        ordered, ids = (logits / dial.temperature).softmax(-1).sort(descending=True)
        inside = ordered.cumsum(-1) - ordered < dial.nucleus
        edges = (ordered[inside] / ordered[inside].sum()).cumsum(-1)
        text.append(int(ids[int((edges <= float(draws.uniform())).sum())]))
    found = start(network, dial, PROMPT)
    assert write(found, Draws([8]), 20)[0] == text[len(PROMPT) :]
    assert found.nfe == 20  # one each: what was decided last is read for the next one, or at its own block's end


# --------------------------------------------------------------------------------- verified = the base model's law


class Table:
    """A network without arithmetic: what comes next depends on the last two tokens, what is denoised on the slot and on
    the token to its left, where that is visible. Denoised laws are near the causal ones, but never the same."""

    def __init__(self, vocabulary: int, end: int = -1) -> None:
        v, stream = vocabulary, torch.Generator().manual_seed(vocabulary)
        self.facts = Facts(v, mask=v, end=end, banned=(), causal=True, block_sizes=(1, 4, 8), context=64)
        self.next = torch.randn(v, v, v, generator=stream) * 1.2
        known = self.next.mean(0) + torch.randn(v, v, generator=stream) * 0.6
        self.guess = torch.cat([known, known.mean(0, keepdim=True)])  # [V + 1, V]: the last row does not know its left
        self.slot = torch.randn(8, v, generator=stream) * 1.2
        self.common = torch.arange(0, v, 2) if v > 3 else torch.arange(v)  # is proposed; the rest has its law, too
        self.beside = torch.randn(v, v, generator=stream) * 0.8

    def relaxed(self) -> Table:
        return self

    def new_cache(self, batch: int) -> BlockCache:
        return BlockCache(
            layers=0, batch=batch, heads=1, width=1, limit=64, dtype=torch.float32, device=torch.device("cpu")
        )

    def commit(self, tokens: Tensor, cache: BlockCache, *, last_only: bool = False) -> Tensor:
        if cache.pending:
            tokens = torch.cat([cache.tokens[:, cache.size : cache.size + 1], tokens], dim=1)
        last = cache.tokens[:, cache.size - 1 : cache.size] if cache.size else tokens[:, :1]
        before = torch.cat([last, tokens[:, :-1]], dim=1)
        cache.extend(tokens)
        logits = self.next[before, tokens]
        return logits[:, -1:] if last_only else logits

    def denoise(self, block: Tensor, cache: BlockCache, *, open_end: bool = False) -> Tensor:
        left = torch.cat([cache.tokens[:, cache.decided - 1 : cache.decided], block[:, :-1]], dim=1)
        return self.guess[left] + self.slot[: block.shape[1]]

    def logits(self, features: Tensor) -> Tensor:
        return features

    def guesses(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return features[..., self.common], self.common

    def chain(self, features: Tensor, left: Tensor, candidates: Tensor) -> Tensor:
        return (features + self.beside[left]).gather(-1, candidates)

    def law(self, before: list[int], length: int, dial: Dial) -> dict[tuple[int, ...], float]:
        """The chance of every text of that length, or shorter with its end token, by the causal reading."""
        logits = self.next[before[-2], before[-1]]
        law = dict(law_of((logits - lost(before, dial, len(logits))).double(), dial))
        if length == 1:
            return {(token,): chance for token, chance in law.items()}
        texts: dict[tuple[int, ...], float] = {}
        for token, chance in law.items():
            rest = {(): 1.0} if token == self.facts.end else self.law([*before, token], length - 1, dial)
            texts |= {(token, *text): chance * more for text, more in rest.items()}
        return texts


def cut(text: list[int], length: int, end: int) -> tuple[int, ...]:
    """The first tokens of a text, not further than its end token."""
    text = text[:length]
    return tuple(text[: text.index(end) + 1] if end in text else text)


def p_value(counts: Counter[tuple[int, ...]], law: dict[tuple[int, ...], float]) -> float:
    """Of Pearson's chi-square test; rare texts share a cell."""
    total = counts.total()
    if not set(counts) <= set(law):
        return 0.0
    rare = [text for text, chance in law.items() if chance * total < 5]
    cells = [([text], chance) for text, chance in law.items() if chance * total >= 5]
    if rare:
        cells.append((rare, sum(law[text] for text in rare)))
    score = sum(
        (sum(counts[text] for text in texts) - total * chance) ** 2 / (total * chance) for texts, chance in cells
    )
    half = torch.tensor([(len(cells) - 1) / 2, score / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


LAWS = {
    "one step": (3, Dial(4, 1, "verified", temperature=1.0, nucleus=1.0), 1, (4,)),
    "two steps, over the edge of a block": (3, Dial(4, 2, "verified", temperature=0.7, nucleus=0.9), 1, (3, 3)),
    "as many steps as slots": (3, Dial(4, 4, "verified", temperature=1.0, nucleus=1.0), 2, (4,)),
    "long blocks": (2, Dial(8, 3, "verified", temperature=1.2, nucleus=1.0), 1, (8,)),
    "against repeats": (2, Dial(8, 2, "verified", temperature=1.2, nucleus=1.0, repeat_penalty=1.0), 1, (8,)),
    "rows in step": (3, Dial(4, 1, "verified", temperature=1.0, nucleus=0.95), 4, (4, 4)),
}
"""Vocabulary, dial, rows, and the sizes of the blocks of a text."""

SEEN, RULED_OUT = 1e-3, 1e-6
"""A right law has a p-value above the first with these seeds, a wrong one stays below the second."""


def sample(table: Table, dial: Dial, batch: int, sizes: tuple[int, ...], texts: int) -> Iterator[list[list[int]]]:
    """The rows of many runs, each with a seed of its own."""
    read = start(table, dial, [0, 1])
    for at in range(0, texts, batch):
        fork, draws = read.fork(torch.zeros(batch, dtype=torch.long)), Draws(range(at, at + batch))
        yield torch.cat([run(fork, draws, size)[1].tokens for size in sizes], dim=1).tolist()


def fit(vocabulary: int, dial: Dial, batch: int, sizes: tuple[int, ...], *, end: int = -1, texts: int = 1000) -> float:
    """p-value of the texts that the sampler writes under the law of the causal reading."""
    table, length = Table(vocabulary, end), 4 if vocabulary > 2 else 6
    counts = Counter(cut(row, length, end) for rows in sample(table, dial, batch, sizes, texts) for row in rows)
    return p_value(counts, table.law([0, 1], length, dial))


@pytest.mark.parametrize("case", LAWS.values(), ids=LAWS.keys())
def test_verified_text_has_exactly_the_base_model_s_law(case: tuple[int, Dial, int, tuple[int, ...]]) -> None:
    assert fit(*case) > SEEN


def test_a_short_list_of_candidates_costs_no_exactness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "SHORTLIST", 2)
    assert fit(*LAWS["one step"]) > SEEN


def test_so_has_verified_text_over_the_early_end_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "GIVEN_UP", 2)  # so that blocks of 8 are large: the first has 5 tokens or more
    assert fit(2, Dial(8, 1, "verified", temperature=1.2, nucleus=1.0), 1, (8, 8)) > SEEN


@pytest.mark.parametrize("batch", [1, 3])
def test_so_has_verified_text_that_ends_inside_a_block(batch: int) -> None:
    assert fit(3, LAWS["one step"][1], batch, (4,), end=2) > SEEN


def test_verified_rows_keep_step_and_yet_know_nothing_of_each_other() -> None:
    table, dial = Table(2), LAWS["long blocks"][1]
    counts = Counter(
        (*cut(first, 3, -1), *cut(second, 3, -1)) for first, second in sample(table, dial, 2, (4,), texts=1500)
    )
    alone = table.law([0, 1], 3, dial)
    assert p_value(counts, {(*a, *b): alone[a] * alone[b] for a in alone for b in alone}) > SEEN


def always_accept(p: Candidates, q: Candidates, tokens: Tensor, uniforms: Tensor, leniency: float) -> Tensor:
    return torch.ones_like(tokens, dtype=torch.bool)


def accept_with_chance_p(p: Candidates, q: Candidates, tokens: Tensor, uniforms: Tensor, leniency: float) -> Tensor:
    return uniforms < p.prob_of(tokens)  # it should be p/q


def forget_the_refusal(p: Candidates, q: Candidates) -> Candidates:
    return p


@pytest.mark.parametrize(
    ("case", "name", "broken", "texts"),
    [
        ("one step", "accepted", always_accept, 300),
        ("rows in step", "accepted", always_accept, 300),
        ("two steps, over the edge of a block", "accepted", accept_with_chance_p, 300),
        ("rows in step", "accepted", accept_with_chance_p, 1000),
        ("two steps, over the edge of a block", "residual", forget_the_refusal, 1000),
        ("long blocks", "residual", forget_the_refusal, 1500),
    ],
    ids=lambda part: getattr(part, "__name__", str(part)),
)
def test_a_broken_check_would_be_seen(
    case: str, name: str, broken: Callable[..., object], texts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unmasking, name, broken)
    assert fit(*LAWS[case], texts=texts) < RULED_OUT


def test_a_verifier_that_forgets_the_penalty_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repetition, "loss", lambda *_, **__: None)
    assert fit(*LAWS["against repeats"], texts=1500) < RULED_OUT


def test_an_unverified_or_lenient_text_does_not_have_it() -> None:
    vocabulary, dial, batch, sizes = LAWS["one step"]
    for other in (replace(dial, rule="confidence"), replace(dial, threshold=0.5)):
        assert fit(vocabulary, other, batch, sizes, texts=300) < RULED_OUT


def test_leniency_lets_more_proposals_pass() -> None:
    strict, lenient = (replace(LAWS["one step"][1], block_size=8, threshold=leniency) for leniency in (0.0, 0.5))
    forwards = []
    for dial in (strict, lenient):
        begun = start(Table(3), dial, [0, 1])
        write(begun, Draws([1]), blocks=6)
        forwards.append(begun.nfe)
    assert forwards[1] < forwards[0]


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("size", [4, 8, 16, 32])
def test_greedy_verified_text_is_the_greedy_text_of_the_base_model(
    tiny: Parts, network: Llama, size: int, steps: int
) -> None:
    prompts = [PROMPT, [4, 4, 21], [7]]
    dial = Dial(size, steps, "verified", temperature=0.0)
    rows = write(start(network, dial, *prompts, may_end=False), Draws([1, 2, 3]), blocks=32 // size)
    for row, prompt in zip(rows, prompts, strict=True):
        text = [*prompt]
        for _ in row:
            logits = tiny.plain().causal(text)[-1]
            logits[[*BANNED, END]] = -math.inf
            text.append(int(logits.argmax()))
        assert row == text[len(prompt) :]
        assert len(row) > 24


# ------------------------------------------------------------------------------------------------------ each step


@every_dial
def test_a_step_fills_masks_and_touches_nothing_else(network: Llama, dial: Dial) -> None:
    begun, draws = start(network, dial, PROMPT, PROMPT[:2]), Draws([4, 5])
    for _ in range(3):
        pictures, block = run(begun, draws)
        before = torch.full((2, dial.block_size), MASK)
        for step in pictures:
            decided = before != MASK
            assert torch.equal(step.tokens[decided], before[decided])
            assert torch.equal(step.confidence > 0.0, step.tokens != MASK)
            assert (step.confidence < 1.0 + 1e-6).all()
            before = step.tokens
        n = block.tokens.shape[1]
        assert torch.equal(before[:, :n], block.tokens) or not pictures
        assert (before[:, n:] == MASK).all()
        assert (block.tokens != MASK).all()
        assert block.nll.shape == block.tokens.shape
        assert (block.nll > 0.0).all()


@every_dial
def test_a_picture_comes_after_every_forward(network: Llama, dial: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, draws, forwards = start(network, dial, PROMPT), Draws([6]), []
    for name in ("commit", "denoise"):
        forward = getattr(network, name)
        monkeypatch.setattr(network, name, lambda *a, forward=forward, **k: forwards.append(1) or forward(*a, **k))
    for _ in range(4):
        before = len(forwards)
        for number, _ in enumerate(begun.block(dial.block_size, draws), 1):
            assert len(forwards) == before + number
        assert begun.nfe == len(forwards)


@pytest.mark.parametrize("rule", UNVERIFIED)
@pytest.mark.parametrize(("size", "steps"), [(1, 1), (4, 1), (4, 4), (8, 3), (8, 7), (8, 8)])
def test_an_unverified_block_takes_its_steps_and_one_commit(network: Llama, rule: Rule, size: int, steps: int) -> None:
    begun, draws = start(network, Dial(size, steps, rule, threshold=1.0), PROMPT), Draws([7])
    for number in (1, 2, 3):
        run(begun, draws)
        assert begun.nfe == number * (min(steps, size - 1) + 1)  # the first slot is known from the commit before


def test_a_sure_threshold_needs_one_step(network: Llama) -> None:
    begun = start(network, Dial(8, 8, "threshold", threshold=1e-9), PROMPT)
    run(begun, Draws([8]))
    assert begun.nfe == 2


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_verified_cycle_takes_its_steps_and_one_commit(
    network: Llama, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no proposal passes, a cycle fills one slot; where each does, it fills theirs and one more."""
    none = sum(min(steps, left - 1, PROPOSALS) + 1 for left in range(1, 9))
    for passes, forwards in ((False, none), (True, 2 * (min(steps, PROPOSALS) + 1))):  # 4 + 4 tokens
        monkeypatch.setattr(
            unmasking, "accepted", lambda p, q, token, *_, passes=passes: torch.full(token.shape, passes)
        )
        begun, draws = start(network, Dial(8, steps, "verified"), PROMPT, may_end=False), Draws([9])
        run(begun, draws)
        assert begun.nfe == forwards


def test_a_large_verified_block_ends_where_no_whole_cycle_fits(network: Llama) -> None:
    begun, lengths = start(network, Dial(16, 1, "verified"), PROMPT, may_end=False), set()
    for seed in range(20):
        lengths.add(run(begun, Draws([seed]))[1].tokens.shape[1])
    assert begun.proposed == PROPOSALS * len(begun.starts)
    assert lengths <= set(range(16 - PROPOSALS, 17))
    assert len(lengths) > 1
    small = start(network, Dial(8, 1, "verified"), PROMPT, may_end=False)
    assert all(run(small, Draws([seed]))[1].tokens.shape[1] == 8 for seed in range(20))


# ---------------------------------------------------------------------------------------------------- whole texts


@every_dial
def test_finished_blocks_never_change(network: Llama, dial: Dial) -> None:
    begun, draws = start(network, dial, PROMPT, PROMPT[::-1], may_end=False), Draws([1, 2])
    locked = torch.tensor([PROMPT, PROMPT[::-1]])
    for _ in range(4):
        size = begun.cache.size
        kept = [layer[..., :size, :].clone() for layer in begun.cache.layers]
        block = run(begun, draws)[1].tokens
        locked = torch.cat([locked, block], dim=1)
        assert torch.equal(begun.cache.tokens[:, : begun.cache.decided], locked)
        assert all(torch.equal(now[..., :size, :], then) for now, then in zip(begun.cache.layers, kept, strict=True))


@every_dial
def test_a_job_left_in_the_middle_of_a_block_has_its_earlier_blocks(network: Llama, dial: Dial) -> None:
    begun, draws = start(network, dial, PROMPT), Draws([1])
    locked = [*PROMPT, *write(begun, draws, 2)[0]]
    steps = begun.block(dial.block_size, draws)
    next(steps)
    steps.close()
    assert begun.cache.tokens[0, : len(locked)].tolist() == locked
    assert begun.cache.decided >= len(locked)


@every_dial
def test_the_same_seed_writes_the_same_text_and_another_one_does_not(network: Llama, dial: Dial) -> None:
    texts = [write(start(network, dial, PROMPT, may_end=False), Draws([seed]), 24 // dial.block_size)
             for seed in (1, 1, 2)]  # fmt: skip
    assert texts[0] == texts[1]
    assert (texts[0] == texts[2]) == (dial.temperature == 0.0)


@pytest.mark.parametrize("dial", [dial for dial in DIALS.values() if dial.rule != "verified"])
def test_an_unverified_row_does_not_depend_on_its_neighbours(network: Llama, dial: Dial) -> None:
    prompts, seeds = [PROMPT, PROMPT, [6], [9] * 12], [1, 2, 3, 4]
    together = write(start(network, dial, *prompts), Draws(seeds), 4)
    for row, prompt, seed in zip(together, prompts, seeds, strict=True):
        assert row == write(start(network, dial, prompt), Draws([seed]), 4)[0]


@pytest.mark.parametrize("rule", ["verified", *UNVERIFIED])
def test_banned_tokens_and_a_forbidden_end_never_come(network: Llama, rule: Rule) -> None:
    wild = Dial(8, 3, rule, threshold=0.5, temperature=5.0, nucleus=1.0)
    rows = range(16)
    free, held = (
        {token for row in write(start(network, wild, *[PROMPT] * 16, may_end=may_end), Draws(rows), 3) for token in row}
        for may_end in (True, False)
    )
    allowed = set(range(CONFIG.vocab_size)) - set(BANNED)
    assert (free, held) == (allowed, allowed - {END})


@pytest.mark.parametrize("steps", [1, 2])
def test_a_verified_block_stops_once_every_row_has_ended(steps: int) -> None:
    table = Table(3, end=2)
    ended = Counter()
    for seed in range(60):
        begun = start(table, Dial(8, steps, "verified", temperature=1.0), [0, 1], [1, 0])
        pictures, block = run(begun, Draws([seed, seed + 100]))
        n, has_end = block.tokens.shape[1], (block.tokens == 2).any(-1)
        assert begun.cache.decided == 2 + n
        assert bool(has_end.all()) or n == 8
        if n < 8 and len(pictures) > steps + 1:  # the end came with the last check, not before
            earlier = pictures[-2 - steps].tokens
            assert not (earlier == 2).any(-1).all()
        ended["early" if n < 8 else "full"] += 1
    assert min(ended["early"], ended["full"]) > 3


@pytest.mark.parametrize("rule", UNVERIFIED)
def test_an_unverified_block_is_full_wherever_its_end_is(rule: Rule) -> None:
    begun = start(Table(3, end=2), Dial(8, 2, rule, threshold=0.5, temperature=1.0), [0, 1])
    blocks = [run(begun, Draws([seed]))[1].tokens for seed in range(5)]
    assert all(block.shape == (1, 8) for block in blocks)
    assert any((block == 2).any() for block in blocks)


@every_dial
def test_a_fork_goes_on_as_its_rows_would_and_leaves_them_alone(network: Llama, dial: Dial) -> None:
    begun = start(network, dial, PROMPT, PROMPT[:3], may_end=False)
    write(begun, Draws([1, 2]), 1)
    twin = begun.fork(torch.tensor([0, 1]))
    other = begun.fork(torch.tensor([1, 1, 0]))
    assert (twin.nfe, other.nfe) == (0, 0)
    write(other, Draws([9, 8, 7]), 2)
    before = begun.nfe
    assert write(twin, Draws([5, 6]), 2) == write(begun, Draws([5, 6]), 2)
    assert begun.nfe == before + twin.nfe
    assert not twin.may_end


@pytest.mark.parametrize(
    ("reader", "writer"), [("exact", "confidence"), ("confidence", "exact"), ("exact", "block size 1, unverified")]
)
def test_a_fork_may_go_on_with_another_dial(tiny: Parts, network: Llama, reader: str, writer: str) -> None:
    fork = start(network, DIALS[reader], PROMPT).fork(torch.tensor([0]))
    fork.dial = DIALS[writer]
    plain = PlainSampler(tiny.plain(), fork.dial, [*PROMPT])
    plain.fresh = reader == "confidence"  # it has read the whole prompt
    draws, same_draws = Draws([3]), Draws([3])
    for _ in range(2):
        assert run(fork, draws)[1].tokens[0].tolist() == plain.block(fork.dial.block_size, same_draws)


# ---------------------------------------------------------------------------------------------- reading, and edges


@pytest.mark.parametrize("back", [0, 1, 5])
def test_text_that_was_taken_back_is_as_if_it_had_never_been(network: Llama, back: int) -> None:
    dial = Dial(8, 1, "verified")
    begun = start(network, dial, [3, 4, 5, 6, 7])
    _, block = run(begun, Draws([1]))
    begun.back_to(5 + back)
    fresh = start(network, dial, [3, 4, 5, 6, 7, *block.tokens[0, :back].tolist()])
    assert write(begun, Draws([2]), 2) == write(fresh, Draws([2]), 2)


def test_an_unverified_text_cannot_be_taken_back_token_by_token(network: Llama) -> None:
    begun = start(network, Dial(8, 1, "confidence"), [3, 4, 5])
    with pytest.raises(ValueError, match="verified"):
        begun.back_to(2)


def test_a_prompt_is_read_in_chunks_and_none_of_it_is_lost(network: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "CHUNK", 4)
    begun = BlockSampler(network, DIALS["exact"])
    assert list(begun.read(torch.tensor([PROMPT * 2]))) == [4, 8, 9, 10]  # the last one stays pending
    assert begun.nfe == 0  # the text's forwards are counted, the prompt's are not
    pieces = write(begun, Draws([1]), 2)
    monkeypatch.undo()
    assert pieces == write(start(network, DIALS["exact"], PROMPT * 2), Draws([1]), 2)


@pytest.mark.parametrize("dial", [DIALS["exact"], DIALS["confidence"]])
def test_a_block_without_anything_before_it_is_refused(network: Llama, dial: Dial) -> None:
    with pytest.raises(ValueError, match=r"^A block needs something to follow: read a prompt first\.$"):
        next(BlockSampler(network, dial).block(8, Draws([1])))


@every_dial
def test_text_may_fill_the_context_to_its_last_token(tiny: Parts, dial: Dial) -> None:
    small = replace(tiny, config=replace(CONFIG, max_position_embeddings=len(PROMPT) + 2 * dial.block_size)).fast()
    begun, draws = start(small, dial, PROMPT, may_end=False), Draws([1])
    while (room := small.facts.context - begun.cache.decided) > 0:
        run(begun, draws, min(dial.block_size, room))
    assert begun.cache.decided == small.facts.context
    with pytest.raises(ContextFull, match="longer than the"):
        run(begun, Draws([2]))


def test_every_row_draws_from_a_stream_of_its_own() -> None:
    one, two = Draws([7]), Draws([3, 7])
    for shape in ((), (4,), (2, 3)):
        alone, both = one.uniform(*shape), two.uniform(*shape)
        assert (alone.shape, both.shape, both.dtype) == ((1, *shape), (2, *shape), torch.float64)
        assert torch.equal(alone[0], both[1])
        assert not torch.equal(both[0], both[1])
        assert ((both >= 0.0) & (both < 1.0)).all()
