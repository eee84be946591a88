"""Files of other programs come in with every word, in the sections that their headings name."""

from __future__ import annotations

import io
import re
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.converting import ConversionError, run_pandoc
from app.draft import Document, one_line
from app.export import export, to_markdown, to_text
from app.formats.docx import MAX_PARTS, MAX_SIZE
from app.formats.reading import simple_breaks
from app.importing import MAX_SECTIONS, MAX_TITLE, Imported, Part, decode, from_markdown, import_file, outline
from tests.documents import TEXTS, TITLES, Told, document, documents, told, words_read, writable

FEW = settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def told_by(imported: Imported) -> Told:
    return [(part.title.split(), words_read(part.text)) for part in imported.parts]


def without_soft_hyphens(text: str) -> str:
    """pandoc drops one at the end of a word, where it cannot be seen: so a title, or a text, may be none in Word."""
    return text.replace("\u00ad", "")


# ----------------------------------------------------------------------------------------------------- out and back


@given(documents(TEXTS, TITLES))
def test_a_document_comes_back_from_markdown_section_by_section(made: Document) -> None:
    back = import_file("x.md", export(made, "md").content)
    assert back.title.split() == one_line(made.title).split()
    assert [(title, text) for title, text in told_by(back)] == [
        (one_line(section.title).split(), words_read(section.text)) for section in made.sections
    ]


@FEW
@given(documents(TEXTS.map(without_soft_hyphens), TITLES.map(without_soft_hyphens)))
def test_a_document_comes_back_from_word_section_by_section(made: Document) -> None:
    back = import_file("x.docx", export(made, "docx").content)
    if title := writable(one_line(made.title)):
        assert back.title.split() == title.split()
    assert told_by(back) == told(made)


def test_a_soft_hyphen_within_a_word_comes_back_from_word() -> None:
    made = document("T", ("A co\u00adoperation", "Light\u00adhouse keepers"), ("B", "Night"))
    assert told_by(import_file("x.docx", export(made, "docx").content)) == told(made)


@given(documents(TEXTS, TITLES))
def test_plain_text_comes_back_with_its_words(made: Document) -> None:
    text = to_text(made)
    assert words_of(import_file("x.txt", text.encode())) == words_read(text)


NO_DEFINITIONS = TEXTS.map(lambda text: simple_breaks(writable(text)).replace("]:", "] :"))
"""A definition of a link would count in its own section only."""


@given(NO_DEFINITIONS)
def test_any_text_comes_in_with_all_its_words(text: str) -> None:
    assert words_of(from_markdown(text)) == words_read(text)


def words_of(imported: Imported) -> list[str]:
    """Of the file: a title that it did not say is its name."""
    title = [] if imported.title == "x" else imported.title.split()
    return title + [word for name, text in told_by(imported) for word in name + text]


def test_texts_stay_as_they_are_typed() -> None:
    text = "*a*  b\\\n\n\n\n    code\n\n<b> & [c]: d"
    assert from_markdown(f"# T\n\n## S\n\n{text}\n\n").parts == (Part("S", text),)
    assert to_markdown_again(f"# T\n\n## S\n\n{text}\n") == f"# T\n\n## S\n\n{text}\n"


def to_markdown_again(text: str) -> str:
    back = from_markdown(text)
    return to_markdown(document(back.title, *((part.title, part.text) for part in back.parts)))


MARKUP = st.text(alphabet="#*_`>-+=|[]()!<&\\\n\r\t \x00\u2028\u202eab1.:", max_size=200).map(str.encode)


@settings(max_examples=500)
@given(st.binary(max_size=200) | MARKUP, st.sampled_from(["x.md", "x.txt"]))
def test_any_bytes_come_in_or_are_refused_in_a_sentence(content: bytes, name: str) -> None:
    said, parts = "It came in.", ()
    try:
        parts = import_file(name, content).parts
    except ConversionError as error:
        said = str(error)
    assert re.fullmatch(r"[A-Z].*\.", said)
    assert len(parts) <= MAX_SECTIONS


# --------------------------------------------------------------------------------------------------------- sections


@pytest.mark.parametrize(
    ("levels", "leads", "titled", "level"),
    [
        ([], False, False, 0),
        ([1], True, True, 0),
        ([1], False, False, 1),
        ([1, 2, 3, 2], True, True, 2),
        ([1, 3, 4], True, True, 3),
        ([1, 2, 1], True, False, 1),
        ([2, 1], True, False, 1),
        ([2, 3, 2], True, False, 2),
    ],
)
def test_a_single_first_heading_is_the_title_and_the_highest_others_are_sections(
    levels: list[int], leads: bool, titled: bool, level: int
) -> None:
    assert outline(levels, leads=leads) == (titled, level)


NO_HEADINGS = "- # no\n\n> ## no\n\n    # no\n\n```\n# no\n```\n\n#hashtag\n\n\\# no"


@pytest.mark.parametrize(
    ("text", "title", "parts"),
    [
        ("", "", ()),
        ("only text", "", (Part("", "only text"),)),
        ("# T", "T", ()),
        ("# T\n\na\n\n## B\n\nb\n\n### C\n\nc", "T", (Part("", "a"), Part("B", "b\n\n### C\n\nc"))),
        ("before\n\n# A\n\na\n\n# B\n\n## C", "", (Part("", "before"), Part("A", "a"), Part("B", "### C"))),
        ("Title\n=====\n\nPart *one*\n---\n\na", "Title", (Part("Part one", "a"),)),
        ("# T\n\n### A\n\n#### B", "T", (Part("A", "### B"),)),
        (NO_HEADINGS, "", (Part("", NO_HEADINGS),)),
        ("## A\n## B\nb", "", (Part("A", ""), Part("B", "b"))),
        ("---\ntags: [a]\ntitle: x\n---\n# T\n\na", "T", (Part("", "```\n---\ntags: [a]\ntitle: x\n---\n```\n\na"),)),
    ],
)  # fmt: skip
def test_headings_of_the_top_level_begin_sections(text: str, title: str, parts: tuple[Part, ...]) -> None:
    assert from_markdown(text) == Imported(title, parts)


def test_a_file_without_a_title_is_called_by_its_name() -> None:
    assert import_file("C:\\My texts\\The lamp.v2.md", b"a").title == "The lamp.v2"
    assert import_file("", b"a").title == ""


def test_an_empty_file_is_one_empty_section() -> None:
    assert import_file("empty.txt", b"") == Imported("empty", (Part("", ""),))


@pytest.mark.parametrize(("words", "target"), [(0, 150), (150, 150), (151, 160), (1234, 1240)])
def test_a_section_is_to_stay_as_long_as_it_is(words: int, target: int) -> None:
    assert Part("", "word " * words).target_words == target


def test_a_title_that_is_too_long_goes_on_in_the_text() -> None:
    words = [f"w{number}" for number in range(300)]
    made = import_file("x.md", f"# {' '.join(words)}\n\n## {' '.join(words)}\n\nend".encode())
    assert len(made.title) <= MAX_TITLE
    assert made.title.split() + made.parts[0].text.split() == words
    assert made.parts[1].title.split() + made.parts[1].text.split() == [*words, "end"]


def test_more_sections_than_a_desk_can_show_are_refused() -> None:
    with pytest.raises(ConversionError, match=r"1,001 sections; at most 1,000 are possible\."):
        import_file("x.md", b"# a\n\n" * (MAX_SECTIONS + 1))


# --------------------------------------------------------------------------------------------------------- encoding


@pytest.mark.parametrize(
    ("coding", "mark"), [("utf-8", ""), ("utf-8", "\ufeff"), ("utf-16", ""), ("utf-16-be", "\ufeff")]
)
def test_unicode_is_read_with_and_without_its_mark(coding: str, mark: str) -> None:
    assert decode(f"{mark}naïve “Ж” 🙂\r\nnext\rlast".encode(coding)) == ("naïve “Ж” 🙂\nnext\nlast", ())


def test_windows_text_is_read_and_told() -> None:
    text, notes = decode("“café” – naïve €".encode("cp1252"))
    assert text == "“café” – naïve €"
    assert "cp1252" in notes[0]
    assert decode(b"\x81 a")[0] == "\ufffd a"


@pytest.mark.parametrize(
    "content",
    [
        *(b"a\0b", b"%PDF-1.7 x", b"{\\rtf1 x}", b"\xff\xfea", "a".encode("utf-16-le")),
        *(b"PK\x03\x04", b"PK\x03\x04" + b"x" * 99),
    ],
)
def test_what_is_no_text_is_refused_with_a_sentence(content: bytes) -> None:
    with pytest.raises(ConversionError, match=r"^[A-Z].*\.$"):
        import_file("x.txt", content)


# ------------------------------------------------------------------------------------------------------- Word files


def word_file(markdown: str) -> bytes:
    """As pandoc writes it, which knows more of Word than this desk does."""
    return run_pandoc(["--from=markdown", "--to=docx"], markdown.encode())


ODD = """\
% The Lamp
% Ann Author

# One

H~2~O, [small]{.smallcaps}, [under]{.underline}^up^[^1] and $x^2$.

[^1]: Note *one*.

    More.

## Deeper

b

# Two

+----------------+--------+
| a              | - b    |
|                | - c    |
+----------------+--------+
| d^[Note two.]  | e      |
+----------------+--------+
"""


def test_what_word_knows_and_the_desk_does_not_becomes_words() -> None:
    made = import_file("x.docx", word_file(ODD))
    assert made.title == "The Lamp"
    assert [part.title for part in made.parts] == ["", "One", "Two"]
    assert made.parts[0].text == "Ann Author"
    assert made.parts[1].text == ("H2O, small, underup[1] and `x^{2}`.\n\n### Deeper\n\nb\n\n[1] Note *one*.\n\nMore.")
    assert words_read(made.parts[2].text) == ["a", "b", "c", "d[2]", "e", "[2]", "Note", "two."]
    assert made.notes == ("Footnotes stand at the ends of their sections, with their numbers in brackets.",)


def test_changes_that_word_tracks_are_taken_as_made() -> None:
    by = 'author="a" date="2020-01-01T00:00:00Z"'
    tracked = f"# A\n\nold [new]{{.insertion {by}}} [gone]{{.deletion {by}}}"
    assert import_file("x.docx", word_file(tracked)).parts[0].text == "old new"


def test_words_that_look_like_markdown_stay_words() -> None:
    text = "\\# no heading\n\n1986\\. A year\n\n\\* star \\*not slanted\\* a_b_c \\<b\\> \\[x\\](y) \\`z\\`"
    (part,) = import_file("x.docx", word_file(text)).parts
    assert words_read(part.text) == words_read(text)


def test_pictures_are_left_out_and_told() -> None:
    files = unzipped(word_file("a\n\nb"))
    picture = (
        '<w:r><w:drawing><wp:inline xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing">'
        '<wp:extent cx="1" cy="1"/><wp:docPr id="1" name="p" descr="A lighthouse"/>'
        '<a:graphic xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><a:graphicData>'
        '<pic:pic xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"><pic:blipFill>'
        '<a:blip r:embed="rId99" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"/>'
        "</pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>"
    )
    name = "word/document.xml"
    files[name] = files[name].replace(b"</w:p>", picture.encode(), 1)
    links = "word/_rels/document.xml.rels"
    relation = (
        b'<Relationship Id="rId99" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/image"'
    )
    files[links] = files[links].replace(b"</Relationships>", relation + b' Target="media/i.png"/></Relationships>')
    made = import_file("x.docx", zipped({**files, "word/media/i.png": b"\x89PNG"}))
    assert words_read(made.parts[0].text)[0] == "a[A"
    assert made.notes == ("Pictures were left out; where one had a description, it stands in brackets.",)


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def refused(content: bytes) -> str:
    with pytest.raises(ConversionError) as caught:
        import_file("x.docx", content)
    assert str(caught.value).endswith(".")
    return str(caught.value)


def test_a_file_with_a_password_is_refused() -> None:
    assert "password" in refused(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500)
    encrypted = bytearray(word_file("a"))
    at = encrypted.index(b"PK\x01\x02")
    while at != -1:  # every entry of the directory says that it is encrypted
        encrypted[at + 8] |= 1
        at = encrypted.find(b"PK\x01\x02", at + 4)
    assert "password" in refused(bytes(encrypted))


def test_another_archive_is_refused() -> None:
    assert "no" in refused(zipped({"a.txt": b"a"}))
    assert "not a Word file" in refused(zipped({"content.xml": b"<office/>"}))


@given(st.data())
@settings(max_examples=25)
def test_a_broken_word_file_is_read_or_refused_with_a_sentence(data: st.DataObject) -> None:
    content = bytearray(WORD_FILE)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    outcome = outcome_of(bytes(content[: data.draw(st.integers(5, len(content)))]))
    assert outcome.endswith(".")


def outcome_of(content: bytes) -> str:
    try:
        import_file("x.docx", content)
    except ConversionError as error:
        return str(error)
    return "It was read."


WORD_FILE = word_file("# A\n\nb *c* d\n")


def test_an_archive_that_grows_without_end_is_refused() -> None:
    files = unzipped(WORD_FILE)
    bomb = zipped({**files, "word/bomb.xml": b" " * (MAX_SIZE + 1)})
    assert len(bomb) < 1_000_000
    assert "too large" in refused(bomb)
    assert "parts" in refused(zipped({**files, **{f"word/{number}.xml": b"" for number in range(MAX_PARTS)}}))


def test_a_size_that_is_not_true_helps_nobody() -> None:
    lying = bytearray(zipped({**unzipped(WORD_FILE), "word/bomb.xml": b" " * (MAX_SIZE + 1)}))
    at = lying.rindex(b"word/bomb.xml") - 46
    assert lying[at : at + 4] == b"PK\x01\x02"
    lying[at + 24 : at + 28] = (10).to_bytes(4, "little")
    refused(bytes(lying))


def test_entities_are_refused_before_anybody_expands_them() -> None:
    files = unzipped(WORD_FILE)
    laughs = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha">]><a>&b;</a>'
    assert "defines" in refused(zipped({**files, "word/document.xml": laughs}))
    assert "defines" in refused(zipped({**files, "word/document.xml": laughs.decode().encode("utf-16")}))


def test_tables_in_tables_without_end_are_refused() -> None:
    files = unzipped(WORD_FILE)
    name = "word/document.xml"
    for deep, sentence in ((20, "It was read."), (3000, "This Word file has tables in tables")):
        tables = b"<w:tbl><w:tr><w:tc>" * deep + b"<w:p/>" + b"</w:tc></w:tr></w:tbl>" * deep
        changed = files[name].replace(b"<w:body>", b"<w:body>" + tables)
        assert outcome_of(zipped({**files, name: changed})).startswith(sentence)
