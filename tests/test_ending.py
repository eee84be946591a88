"""Rules of the end of a text: whole sentences, the nearest allowed length, nothing taken for what it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.contract import Dial, Request, count_words
from model.ending import (
    Cut,
    Target,
    Try,
    best_cut,
    clause_ends,
    closes_sentence,
    last_word,
    nearest_cut,
    sentence_ends,
    target_of,
    word_ends,
    words_of,
)


def pieces(text: str) -> tuple[str, ...]:
    """Tokens as a tokenizer makes them: a word with the space before it, every other character alone."""
    out: list[str] = []
    for character in text:
        if out and character.isalnum() and (out[-1][-1:].isalnum() or out[-1] == " "):
            out[-1] += character
        else:
            out.append(character)
    return tuple(out)


@pytest.mark.parametrize(
    "text",
    [
        "It rained.",
        "Why?",
        'He said "no."',
        "It rained (a lot).",
        "Stop!”  ",
        "終わり。",
        "*It rained.*",
        "It was 1984.",
    ],
)
def test_a_sentence_is_closed(text: str) -> None:
    assert closes_sentence(text)


@pytest.mark.parametrize(
    "text", ["It rained", "He met Mr.", "by J.", "1.", "see e.g.", "and then…", "well...", "a,", "", "St."]
)
def test_what_only_looks_like_the_end_of_a_sentence(text: str) -> None:
    assert not closes_sentence(text)


def cuts(text: str, *, before: str = "", written: int = 0, ended: bool = False) -> list[tuple[str, int]]:
    attempt = Try(pieces(text), ended)
    return [("".join(attempt.pieces[: cut.tokens]), cut.words) for cut in sentence_ends(before, attempt, 0, written)]


def test_a_sentence_ends_where_the_next_one_begins() -> None:
    assert cuts("It rained. He left. And") == [("It rained.", 2), ("It rained. He left.", 4)]
    assert cuts('"Go." He left') == [('"Go."', 1)]
    assert cuts("Pi is 3.14 or so. Yes") == [("Pi is 3.14 or so.", 6)]


def test_the_last_sentence_counts_only_if_the_model_ended_there() -> None:
    assert cuts("It rained.") == []
    assert cuts("It rained.", ended=True) == [("It rained.", 2)]
    assert cuts("It rained. He", ended=True) == [("It rained.", 2)]


def test_words_are_counted_on_from_the_text_before() -> None:
    assert cuts("ness fell. Now", before="The dark", written=2) == [("ness fell.", 3)]


@given(before=st.text("ab '-.\n", max_size=12), after=st.text("ab '-.\n", max_size=12))
def test_words_of_a_piece_are_what_it_adds_to_the_whole_text(before: str, after: str) -> None:
    assert words_of(before, [after]) == count_words(before + after) - count_words(before)
    assert before.endswith(last_word(before))


def test_the_nearest_allowed_cut_wins_and_a_natural_end_counts_half() -> None:
    target = Target(wanted=100, least=90, most=110)
    near, far, natural = Cut(0, 5, 97, False), Cut(1, 9, 112, False), Cut(2, 7, 104, True)
    assert best_cut([near, far], target) is near
    assert best_cut([near, natural], target) is natural
    assert best_cut([far], target) is None
    assert nearest_cut([far], target) is far
    assert nearest_cut([], target) is None


def test_where_no_sentence_ends_a_clause_or_a_word_can() -> None:
    attempt = Try(pieces("he went on, and on"), False)
    assert [cut.words for cut in clause_ends("", attempt, 0, 0)] == [3]
    assert [cut.words for cut in word_ends("", attempt, 0, 0)] == [1, 2, 4]


def request(words: int | None, so_far: str = "") -> Request:
    return Request("job", "", "", so_far, Dial(8, 1, "verified"), 7, words)


@given(words=st.integers(1, 5000), there=st.integers(0, 500))
def test_the_allowance_is_a_tenth_of_the_whole_section(words: int, there: int) -> None:
    target = target_of(request(words, "word " * there))
    assert target is not None
    assert target.wanted == words
    assert 1 <= target.least <= words <= target.most
    assert target.most - words <= 0.1 * (words + there)


def test_without_a_wanted_length_there_is_no_target() -> None:
    assert target_of(request(None)) is None
