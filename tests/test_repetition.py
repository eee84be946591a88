"""What a token loses that would make a run of the text come again: against a plain search, and by its purpose."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from model.contract import Dial
from model.repetition import GROWTH, LONGEST, RUN, loss, runs
from tests.tiny import lost

VOCABULARY = 4
NONE = torch.zeros(60, dtype=torch.bool)
TWO_IS_SPARED = torch.tensor([False, False, True, False])
texts = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=60)


@given(texts, st.floats(0.1, 5.0))
def test_the_losses_are_those_of_a_plain_search(text: list[int], penalty: float) -> None:
    expected = lost(text, Dial(1, 1, "verified", repeat_penalty=penalty), VOCABULARY, (2,))
    found = loss(torch.tensor([text]), penalty, TWO_IS_SPARED)
    if found is None:
        assert float(expected.sum()) == 0.0
    else:
        torch.testing.assert_close(found[0], expected)


@given(texts, texts)
def test_rows_know_nothing_of_each_other(one: list[int], other: list[int]) -> None:
    length = min(len(one), len(other))
    both = torch.tensor([one[:length], other[:length]])
    together = loss(both, 1.0, TWO_IS_SPARED)
    for row in range(2):
        alone = loss(both[row : row + 1], 1.0, TWO_IS_SPARED)
        if alone is not None:
            assert together is not None
            assert together[row].equal(alone[0])
        elif together is not None:
            assert float(together[row].sum()) == 0.0


def test_a_longer_run_costs_more() -> None:
    losses = []
    for same in range(RUN + 4):
        run = list(range(10, 10 + same))
        text = torch.tensor([[*run, 50, 1, *run]])  # the token after the run was 50
        found = loss(text, 1.0, NONE)
        losses.append(0.0 if found is None else float(found[0, 50]))
    assert losses == [0.0] * RUN + [GROWTH**more for more in range(4)]


def test_what_has_come_often_costs_more_each_time() -> None:
    losses = []
    for times in range(4):
        found = loss(torch.tensor([[*[7, 8, 1] * times, 7]]), 0.5, NONE)
        losses.append(0.0 if found is None else float(found[0, 8]))
    assert losses[:2] == [0.0, 0.5]
    assert losses[1] < losses[2] < losses[3]


def test_a_word_keeps_its_spelling_but_is_not_drawn_out_for_ever() -> None:
    inner = torch.zeros(60, dtype=torch.bool)
    inner[[30, 31]] = True
    name = [5, 30, 31]  # a name of three tokens, said often
    spelt = loss(torch.tensor([[*[*name, 9] * 5, 5, 30]]), 1.0, inner)
    assert spelt is None or float(spelt[0, 31]) == 0.0
    drawn_out = loss(torch.tensor([[5, *[30, 31] * 4]]), 1.0, inner)
    assert drawn_out is not None
    assert float(drawn_out[0, 30]) > 1.0


def test_what_is_no_token_is_never_part_of_a_run() -> None:
    text = torch.tensor([[5, 6, -3, 4, 6]])
    assert list(runs(text[0].tolist())) == [(1, 1)]
    assert loss(text, 1.0, NONE) is None  # the place after the run holds nothing


def test_no_run_is_counted_further_than_it_matters() -> None:
    assert max(length for _, length in runs([7] * 4 * LONGEST)) == LONGEST
