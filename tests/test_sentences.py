"""Rules of whole sentences: what closes one, what only looks like it, and what is no good end of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.sentences import CLOSERS, closes_sentence, ends_with_a_word, is_no_end, is_said_again


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


@pytest.mark.parametrize("closer", CLOSERS)
def test_every_closing_mark_closes_a_sentence(closer: str) -> None:
    assert closes_sentence(f"It rained{closer}")


@pytest.mark.parametrize("text", ["It rained", "the mother-in-law", "it's", "(see above)", "[Your Name]", "雨が降った"])
def test_a_closing_mark_can_follow_a_word(text: str) -> None:
    assert ends_with_a_word(text)


@pytest.mark.parametrize(
    "text", ["", "in 3", "see a.com", "me@home.org", "Yes,", "It rained.", "a ", "x2", "caf\ufffd"]
)
def test_a_point_behind_anything_else_may_mean_something_else(text: str) -> None:
    assert not ends_with_a_word(text)


@pytest.mark.parametrize(
    "text",
    [
        "It rained.\n\n## What now?",
        "It rained.\n**What now?**",
        "It rained.\n- ",
        "It rained.\n12.",
        "It rained.\nb)",
        'He said "It rained.',
        "He said “It rained.",
        "It rained (a lot.",
        "It **rained.",
        "It *rained.",
        "",
        "It rained.\n***",
    ],
)
def test_a_text_does_not_end_with_a_heading_a_bare_marker_or_something_open(text: str) -> None:
    assert is_no_end(text)


@pytest.mark.parametrize(
    "text",
    [
        "It rained.",
        'He said "It rained."',
        '"It rained," he said. "A lot."',
        "1. Boil the water.\n2. Wait (a while).",
        "* Boil the *cold* water.",
        "a) Boil the water.",
        "**Tip:** Boil the water.",
        'An "open one.\nIt rained.',
    ],
)
def test_a_text_may_end_with_a_sentence_or_a_whole_item(text: str) -> None:
    assert not is_no_end(text)


@pytest.mark.parametrize(
    "text",
    [
        "He left. He left.",
        "The sea was calm that day. It rained. And the sea was calm that day.",
        "It was a way of life, a way of life, a way of life, a way of life.",
        "It rained.\n...",
    ],
)
def test_a_sentence_says_the_same_again(text: str) -> None:
    assert is_said_again(text)


@pytest.mark.parametrize(
    "text", ["It rained.", "He left. She left.", "The sea was calm. The sea was calm enough for a swim before noon."]
)
def test_a_sentence_says_something_new(text: str) -> None:
    assert not is_said_again(text)


@given(st.text('ab. \n"*(-1', max_size=30))
def test_white_space_at_the_end_changes_nothing(text: str) -> None:
    for asked in (closes_sentence, is_no_end, is_said_again):
        assert asked(text) == asked(f"{text} \n")
