"""A text read as values says what the page's reading view shows."""

from __future__ import annotations

import pytest
from hypothesis import given

from app.formats.reading import (
    Code,
    Heading,
    List,
    Paragraph,
    Quote,
    Rule,
    Run,
    Table,
    direction,
    flat,
    read,
    tidy,
    words,
)
from tests.documents import TEXTS, words_read

EM, STRONG, CODE = frozenset({"em"}), frozenset({"strong"}), frozenset({"code"})


@given(TEXTS)
def test_the_words_are_those_of_the_reading_view(text: str) -> None:
    assert words(read(text)) == words_read(text)


@given(TEXTS)
def test_runs_have_one_form(text: str) -> None:
    for block in read(text):
        if isinstance(block, Paragraph):
            assert tidy(block.runs) == block.runs


def test_each_kind_of_block_is_read() -> None:
    text = "## a\n\nb\nc  \nd\n\n> q\n\n- x\n- y\n\n3. z\n\n   zz\n\n|a|b|\n|-|:-:|\n|1|2|\n\n---\n\n```\ncode\n```"
    z = (Paragraph((Run("z"),)), Paragraph((Run("zz"),)))
    row = tuple[tuple[Run, ...], ...]
    head: row = ((Run("a"),), (Run("b"),))
    body: row = ((Run("1"),), (Run("2"),))
    assert read(text) == (
        Heading(2, (Run("a"),)),
        Paragraph((Run("b c"), Run("\n"), Run("d"))),
        Quote((Paragraph((Run("q"),)),)),
        List(((Paragraph((Run("x"),)),), (Paragraph((Run("y"),)),)), None, True),
        List((z,), 3, False),
        Table(("", "center"), (head, body)),
        Rule(),
        Code("code"),
    )


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("*a* **b** `c`", (Run("a", EM), Run(" "), Run("b", STRONG), Run(" "), Run("c", CODE))),
        ("*a **b***", (Run("a ", EM), Run("b", EM | STRONG))),
        ("[a **b**](http://c.d)", (Run("a ", link="http://c.d"), Run("b", STRONG, "http://c.d"))),
        ("[a](javascript:b)", (Run("[a](javascript:b)"),)),
        ("![a *b*](http://c.d/e.png)", (Run("[a b]"),)),
        ("<b>x</b>", (Run("<b>x</b>"),)),
    ],
)
def test_marks_and_links_belong_to_runs(text: str, runs: tuple[Run, ...]) -> None:
    assert read(text) == (Paragraph(runs),)


def test_a_text_that_is_nested_too_deeply_stands_as_it_was_typed() -> None:
    assert read("> " * 60 + "x") == (Code("> " * 60 + "x"),)


def test_marks_without_end_are_no_harm() -> None:
    assert words(read("*a " * 3000 + "b*" * 3000))[-1].startswith("b")


def test_what_lies_too_deep_is_set_beside_its_list() -> None:
    deep = "".join("  " * level + f"- {level}\n" for level in range(18))
    (outer,) = flat(read(deep))
    assert words([outer]) == words(read(deep))
    depth = 0
    while isinstance(outer, List):
        depth += 1
        outer = outer.items[0][1]
    assert depth == 12


@pytest.mark.parametrize(("text", "runs"), [("12 שלום a", "rtl"), ("a שלום", "ltr"), ("12!", ""), ("- مرحبا", "rtl")])
def test_the_first_letter_decides_about_the_direction(text: str, runs: str) -> None:
    assert direction(read(text)[0]) == runs
