"""What has been read becomes Markdown that is read the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.draft import one_line
from app.formats.markdown import heading, lowered, markdown
from app.formats.reading import (
    Heading,
    Paragraph,
    Run,
    Table,
    headings,
    plain,
    read,
    simple_breaks,
    tidy,
    words,
    writable,
)
from tests.documents import LATIN, OTHER, TEXTS, TITLES, words_read

NASTY = st.lists(st.sampled_from(LATIN + OTHER) | st.text(max_size=4), max_size=12).map("".join)

MARKS = st.frozensets(st.sampled_from(["em", "strong", "s", "code"]), max_size=3)
RUNS = st.lists(st.builds(Run, NASTY, MARKS, st.sampled_from(["", "http://a.b/(c)_d", "mailto:a@b.c"])), max_size=6)


@given(TEXTS)
def test_no_word_changes_on_the_way_to_values_and_back(text: str) -> None:
    assert words_read(markdown(read(text))) == words_read(text)


@given(RUNS)
def test_any_words_with_any_marks_can_be_said(runs: list[Run]) -> None:
    tidied = tidy(Run(" ".join(run.text.replace("\0", "").split()), run.marks, run.link) for run in runs)
    blocks = [Paragraph(tidied)] if tidied else []
    assert words_read(markdown(blocks)) == words([Paragraph(read_as_written(tidied))])


def read_as_written(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """A character that no file can hold is read as U+FFFD."""
    return tuple(Run(writable(run.text), run.marks, run.link) for run in runs)


@pytest.mark.parametrize(
    "text",
    [
        "5 * 3 is 15, snake_case, 2 < 3, [sic], a_b & c",
        "*a **b*** and `co``de`, ~~c~~\\\nnext",
        "[l **m**](http://x.y/a_b?c=1&d), <http://x.y>",
        "\\# no heading\n\n1986\\. A year\n\n\\- no item\n\n\\> no quotation",
        "- a\n- b\n  1. k\n  2. l\n\n* another list\n\n3. q\n\n   p\n\n4. z",
        "> k\n>\n> - x\n\n___\n\n```\n    code\n```",
        "| a | b |\n| --- | :-: |\n| 1\\|2 | **2** |",
        "### a *b*",
    ],
)
def test_plain_things_are_said_plainly(text: str) -> None:
    assert markdown(read(text)) == text


def test_a_table_that_cannot_be_said_becomes_its_cells() -> None:
    table = Table(("",), (((Run("a"),),), ((Run("x"), Run("\n"), Run("`|", frozenset({"code"}))),)))
    assert words(read(markdown([table]))) == ["a", "x", "`|"]


@given(TITLES)
def test_a_heading_says_its_title_in_words(title: str) -> None:
    (read_back,) = read(f"{heading(2, title)}\n\n[a]: http://x.y")
    assert isinstance(read_back, Heading)
    assert plain(read_back.runs).split() == writable(one_line(title)).split()


@given(TEXTS, st.sampled_from([-1, 1, 3]))
def test_lower_headings_have_the_same_words(text: str, by: int) -> None:
    text = simple_breaks(text)
    low = lowered(text, by)
    assert words_read(low) == words_read(text)
    assert [place.title for place in headings(low)] == [place.title for place in headings(text)]


def test_all_kinds_of_headings_get_lower_and_nothing_else_changes() -> None:
    text = "# a #\n\nb\nc\n---\n\n- # d\n\n###### e\n\n    # code\n\n\\# f\n\n#g"
    assert lowered(text, 1) == "## a #\n\n### b c\n\n- # d\n\n###### e\n\n    # code\n\n\\# f\n\n#g"
