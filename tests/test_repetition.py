"""What a token loses that would make a run of the text come again: against a plain search, and by its purpose."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from model.contract import Dial
from model.repetition import GROWTH, LONGEST, RUN, Loss, loss, runs
from tests.tiny import lost

VOCABULARY = 4
NONE = frozenset[int]()
TWO_IS_SPARED = frozenset({2})
MASK = 99
texts = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=60)


def dense(found: Loss | None, rows: int = 1, vocabulary: int = VOCABULARY) -> torch.Tensor:
    """Nats [rows, V]."""
    logits = torch.zeros(rows, vocabulary)
    if found is not None:
        found.take_from(logits)
    return -logits


def lost_by(token: int, text: list[int], inner: frozenset[int] = NONE) -> float:
    return float(dense(loss(torch.tensor([text]), 1.0, inner), vocabulary=60)[0, token])


@given(texts, st.floats(0.1, 5.0))
def test_the_losses_are_those_of_a_plain_search(text: list[int], penalty: float) -> None:
    expected = lost(text, Dial(1, 1, "verified", repeat_penalty=penalty), VOCABULARY, (2,))
    found = loss(torch.tensor([text]), penalty, TWO_IS_SPARED)
    torch.testing.assert_close(dense(found)[0], expected)


@given(texts, texts)
def test_rows_know_nothing_of_each_other(one: list[int], other: list[int]) -> None:
    length = min(len(one), len(other))
    both = torch.tensor([one[:length], other[:length]])
    together = dense(loss(both, 1.0, TWO_IS_SPARED), rows=2)
    for row in range(2):
        assert together[row].equal(dense(loss(both[row : row + 1], 1.0, TWO_IS_SPARED))[0])


@given(st.lists(texts, min_size=2, max_size=2), st.lists(st.permutations(range(VOCABULARY)), min_size=2, max_size=2))
def test_a_few_tokens_lose_what_they_lose_among_all(two: list[list[int]], chosen: list[list[int]]) -> None:
    length = min(map(len, two))
    found = loss(torch.tensor([text[:length] for text in two]), 1.0, TWO_IS_SPARED)
    ids = torch.tensor(chosen)[:, :3]
    assert (torch.zeros(2, 3) if found is None else found.of(ids)).equal(dense(found, rows=2).gather(-1, ids))


@given(texts, st.integers(0, 5), st.data())
def test_columns_that_a_row_does_not_use_are_not_there(text: list[int], padding: int, data: st.DataObject) -> None:
    unused = data.draw(st.lists(st.integers(0, VOCABULARY - 1), min_size=padding, max_size=padding))
    found = loss(torch.tensor([[*unused, *text]]), 1.0, NONE, padding=torch.tensor([padding]))
    assert dense(found).equal(dense(loss(torch.tensor([text]), 1.0, NONE)))


def test_a_longer_run_costs_more() -> None:
    losses = []
    for same in range(RUN + 4):
        run = list(range(10, 10 + same))
        losses.append(lost_by(50, [*run, 50, 1, *run]))  # the token after the run was 50
    assert losses == [0.0] * RUN + [GROWTH**more for more in range(4)]


def test_what_has_come_often_costs_more_each_time() -> None:
    losses = [lost_by(8, [*[7, 8, 1] * times, 7]) for times in range(4)]
    assert losses[:2] == [0.0, 1.0]
    assert losses[1] < losses[2] < losses[3]


def test_a_word_keeps_its_spelling_but_is_not_drawn_out_for_ever() -> None:
    inner = frozenset({30, 31})
    name = [5, 30, 31]  # a name of three tokens, said often
    assert lost_by(31, [*[*name, 9] * 5, 5, 30], inner) == 0.0
    assert lost_by(30, [5, *[30, 31] * 4], inner) > 1.0


def test_a_mask_is_never_part_of_a_run() -> None:
    text = [5, 6, MASK, 5, 4, 6]
    assert list(runs(text, MASK)) == [(1, 1)]
    assert loss(torch.tensor([text]), 1.0, NONE, mask=MASK) is None, "the place after the run holds nothing"
    assert loss(torch.tensor([[MASK, 5, MASK]]), 1.0, NONE, mask=MASK) is None
    assert list(runs([MASK, 6, 5, MASK, 6], MASK)) == [(1, 1)]


def test_no_run_is_counted_further_than_it_matters() -> None:
    assert max(length for _, length in runs([7] * 4 * LONGEST)) == LONGEST
