"""Rules of the cache: it holds the decided tokens and what was read of them, and nothing it was told to forget."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from torch import Tensor

from model.denoiser import GROWTH, ROOM, BlockCache, ContextFull

LAYERS, HEADS, WIDTH = 2, 2, 3
LIMIT = 2 * GROWTH + 40
CPU = torch.device("cpu")


def cache(batch: int = 2) -> BlockCache:
    return BlockCache(
        layers=LAYERS, batch=batch, heads=HEADS, width=WIDTH, limit=LIMIT, dtype=torch.float64, device=CPU
    )


def keys_values(tokens: Tensor, start: int) -> Tensor:
    """Numbers [B, n, 2, H, D] that tell token, position, key or value, head and place apart."""
    batch, n = tokens.shape
    mark = tokens.double() * 1000 + torch.arange(start, start + n)
    place = torch.arange(2 * HEADS * WIDTH).view(2, HEADS, WIDTH) / 16
    return mark.view(batch, n, 1, 1, 1) + place


def read(cache: BlockCache, tokens: Tensor) -> None:
    """What a network does on a commit."""
    if cache.pending:
        tokens = torch.cat([cache.tokens[:, cache.size : cache.size + 1], tokens], dim=1)
    cache.reserve(cache.size + tokens.shape[1])
    for number, layer in enumerate(cache.layers):
        cache.write(layer, keys_values(tokens, cache.size) + number / 2)
    cache.extend(tokens)


class Texts(RuleBasedStateMachine):
    """The cache beside its plain model: one list of tokens per row, and whether the last one is unread."""

    @initialize(batch=st.integers(1, 3))
    def begin(self, batch: int) -> None:
        self.cache = cache(batch)
        self.texts: list[list[int]] = [[] for _ in range(batch)]
        self.pending = False
        self.token = 0

    def new_tokens(self, n: int) -> Tensor:
        batch = len(self.texts)
        self.token += batch * n
        return torch.arange(self.token - batch * n, self.token).view(batch, n)

    def add(self, tokens: Tensor) -> None:
        for text, more in zip(self.texts, tokens.tolist(), strict=True):
            text += more

    @rule(n=st.integers(0, 9) | st.integers(0, LIMIT))
    def read(self, n: int) -> None:
        tokens = self.new_tokens(n)
        if len(self.texts[0]) + n > LIMIT:
            with pytest.raises(ContextFull):
                read(self.cache, tokens)
            return
        read(self.cache, tokens)
        self.add(tokens)
        self.pending = False

    @rule()
    def decide(self) -> None:
        token = self.new_tokens(1)
        if self.pending or len(self.texts[0]) == LIMIT:
            with pytest.raises((ValueError, ContextFull)):
                self.cache.decide(token[:, 0])
            return
        self.cache.decide(token[:, 0])
        self.add(token)
        self.pending = True

    @rule(where=st.integers(-1, LIMIT + 1))
    def cut(self, where: int) -> None:
        if not 0 <= where <= len(self.texts[0]):
            with pytest.raises(ValueError, match=f"Cannot cut at {where}"):
                self.cache.cut(where)
            return
        self.cache.cut(where)
        self.pending = self.pending and where == len(self.texts[0])
        self.texts = [text[:where] for text in self.texts]

    @rule(back=st.integers(0, 9))
    def cut_a_little(self, back: int) -> None:
        self.cut(max(0, len(self.texts[0]) - back))

    @rule(n=st.integers(1, ROOM))
    def scribble(self, n: int) -> None:
        """A denoising step writes scratch columns."""
        self.cache.reserve(self.cache.size, scratch=n)
        for layer in self.cache.layers:
            self.cache.write(layer, torch.full((len(self.texts), n, 2, HEADS, WIDTH), -7.0, dtype=torch.float64))

    @precondition(lambda self: len(self.texts) <= 4)
    @rule(data=st.data())
    def take_rows(self, data: st.DataObject) -> None:
        index = data.draw(st.lists(st.integers(0, len(self.texts) - 1), min_size=1, max_size=4))
        parent = self.cache
        self.cache = parent.rows(torch.tensor(index))
        self.texts = [list(self.texts[i]) for i in index]
        parent.cut(0)
        read(parent, torch.full((parent.batch, 20), -1))  # the copy does not care

    @invariant()
    def holds_the_texts(self) -> None:
        decided = len(self.texts[0])
        assert (self.cache.decided, self.cache.pending) == (decided, self.pending)
        assert self.cache.size == decided - self.pending
        assert self.cache.tokens[:, :decided].tolist() == self.texts

    @invariant()
    def holds_what_was_read(self) -> None:
        size = self.cache.size
        expected = keys_values(torch.tensor(self.texts)[:, :size], 0).permute(2, 0, 3, 1, 4)
        for number, layer in enumerate(self.cache.layers):
            assert layer.shape == (2, len(self.texts), HEADS, self.cache.capacity, WIDTH)
            assert torch.equal(layer[..., :size, :], expected + number / 2)


TestTexts = Texts.TestCase
TestTexts.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_capacity_grows_in_steps_so_that_shapes_stay_the_same_between() -> None:
    growing = cache()
    seen = []
    for _ in range(GROWTH + 2):
        read(growing, torch.zeros(2, 1, dtype=torch.long))
        seen.append(growing.capacity)
    assert seen == [GROWTH] * GROWTH + [2 * GROWTH] * 2


def test_scratch_columns_may_lie_past_the_context_but_no_token() -> None:
    full = cache()
    read(full, torch.zeros(2, LIMIT, dtype=torch.long))
    full.reserve(full.size, scratch=ROOM)
    assert full.capacity >= LIMIT + ROOM
    with pytest.raises(ContextFull, match=rf"^The text is longer than the {LIMIT} tokens this model can hold\.$"):
        full.decide(torch.zeros(2, dtype=torch.long))
    assert (full.decided, full.pending) == (LIMIT, False)


def test_only_one_token_can_be_pending() -> None:
    waiting = cache()
    waiting.decide(torch.tensor([4, 5]))
    with pytest.raises(ValueError, match="A token is pending already"):
        waiting.decide(torch.tensor([6, 7]))
    assert waiting.tokens[:, :1].tolist() == [[4], [5]]


def test_rows_take_their_padding_along() -> None:
    padded = cache()
    padded.padding = torch.tensor([0, 3])
    chosen = padded.rows(torch.tensor([1, 1, 0])).padding
    assert chosen is not None
    assert chosen.tolist() == [3, 3, 0]
