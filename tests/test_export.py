"""Rules of files for other programs: no word is lost, and every system takes the file's name."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.draft import Block, Document, Section, one_line
from app.export import MAX_NAME_BYTES, file_name, to_markdown


def document(title: str, *sections: tuple[str, str]) -> Document:
    return Document(
        1,
        title,
        0,
        tuple(
            Section(number, 1, heading, "A brief is not exported.", 100, "draft", 0, (Block(text, "writer"),))
            for number, (heading, text) in enumerate(sections)
        ),
        "",
        "",
    )


def test_a_document_becomes_headings_and_texts() -> None:
    made = to_markdown(document("The Lighthouse", ("Dusk", "The sun sank.\n\nIt was *cold*.\n"), ("Night", "Fog.")))
    assert made == "# The Lighthouse\n\n## Dusk\n\nThe sun sank.\n\nIt was *cold*.\n\n## Night\n\nFog.\n"


def test_what_has_no_title_has_no_heading() -> None:
    assert to_markdown(document("", ("", "Only text."))) == "Only text.\n"


def test_an_empty_document_is_an_empty_file() -> None:
    assert to_markdown(document(" ", ("", "\n"))) == ""


def test_a_planned_section_keeps_its_heading() -> None:
    assert to_markdown(document("D", ("Later", ""))) == "# D\n\n## Later\n"


def test_texts_are_written_as_they_are() -> None:
    text = "    indented\n\n- list\n\n<script>alert(1)</script> & ‏שלום‏ 🏳️‍🌈  \nline\\"
    assert text in to_markdown(document("<b>", ("*x*", text)))


@given(st.text(), st.lists(st.tuples(st.text(), st.text()), max_size=4))
def test_every_word_is_in_the_file_in_its_order(title: str, sections: list[tuple[str, str]]) -> None:
    made = to_markdown(document(title, *sections))
    words = one_line(title).split()
    for heading, text in sections:
        words += one_line(heading).split() + text.split()
    found = iter(made.split())
    assert all(any(word == other for other in found) for word in words)
    assert sum(map(len, words)) <= sum(map(len, made.split())) <= sum(map(len, words)) + 1 + 2 * len(sections)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("The Lighthouse", "The Lighthouse.md"),
        ("", "Untitled.md"),
        ("...", "Untitled.md"),
        ("../../etc/passwd", "etc passwd.md"),
        ("C:\\Windows\\system32", "C Windows system32.md"),
        ('a/b?c*d|e<f>g"h', "a b c d e f g h.md"),
        (".hidden", "hidden.md"),
        ("--help", "help.md"),
        ("CON", "CON (document).md"),
        ("com1.tar", "Document com1.tar.md"),
        ("NUL.", "NUL (document).md"),
        ("tab\there\x00\x1f\x7f", "tab here.md"),
        ("right\u202eto left", "right to left.md"),
        ("שלום עולם 🙂", "שלום עולם 🙂.md"),
        ("\ud83d", "Untitled.md"),
        ("ends with a dot. ", "ends with a dot.md"),
    ],
)
def test_a_title_becomes_a_file_name(title: str, name: str) -> None:
    assert file_name(title) == name


@given(st.text(st.characters(), max_size=300))
@example("é" * 300)
@example("a" * (MAX_NAME_BYTES - 1) + " .b")
def test_every_file_name_is_safe_everywhere(title: str) -> None:
    name = file_name(title)
    assert name.endswith(".md")
    stem = name.removesuffix(".md")
    assert stem
    assert len(name.encode()) <= MAX_NAME_BYTES + 20
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f\x7f]', name)
    assert stem == stem.strip(". ")
    assert stem[0] not in "-~"
    assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", stem)
    assert file_name(stem) == name
