"""Rules of files for other programs: no word is lost, and every system takes the file's name."""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from app.converting import run_typst
from app.draft import Document, one_line
from app.export import FORMATS, MAX_NAME_BYTES, export, file_name, section_alone, to_html, to_markdown, to_text
from app.formats.reading import read
from app.formats.typst_source import source
from tests.documents import (
    LATIN_TEXTS,
    LATIN_TITLES,
    TEXTS,
    TITLES,
    Told,
    document,
    documents,
    told,
    words_of_html,
    words_read,
    writable,
)


def flat(sections: Told) -> list[str]:
    return [word for title, text in sections for word in title + text]


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


def test_a_title_is_words_in_the_markdown_too() -> None:
    made = to_markdown(document("*T*", ("Chapter #", "a"), ("[b]", "c")))
    assert made == "# \\*T\\*\n\n## Chapter \\#\n\na\n\n## \\[b]\n\nc\n"


def test_headings_inside_a_text_lie_below_those_above_it() -> None:
    texts = ("# One\n\na\n\n## Two", "### Three\n\n#four")
    assert to_markdown(document("T", ("A", texts[0]), ("B", texts[1]))) == (
        "# T\n\n## A\n\n### One\n\na\n\n#### Two\n\n## B\n\n### Three\n\n#four\n"
    )
    assert to_markdown(document("T", ("", texts[0]))) == "# T\n\n## One\n\na\n\n### Two\n"
    assert to_markdown(document("", ("", texts[0]))) == f"{texts[0]}\n"


@pytest.mark.parametrize("fence", ["```", "~~~~", "````"])
def test_open_code_ends_with_its_text(fence: str) -> None:
    made = to_markdown(document("", ("A", f"{fence} python\nx"), ("B", "> ```\n> y"), ("C", "- ```\n  z"), ("D", "d")))
    assert made == f"## A\n\n{fence} python\nx\n{fence}\n\n## B\n\n> ```\n> y\n\n## C\n\n- ```\n  z\n\n## D\n\nd\n"


@given(documents(TEXTS.map(writable), TITLES.map(writable)))
def test_every_word_is_in_the_html(made: Document) -> None:
    body = export(made, "html").content.decode().partition("<body>")[2]
    assert words_of_html(body) == writable(one_line(made.title)).split() + flat(told(made))


@given(documents(TEXTS, TITLES))
def test_every_word_is_in_the_plain_text_in_its_order(made: Document) -> None:
    text = to_text(made)
    found = iter(text.split())
    words = writable(one_line(made.title)).split() + flat(told(made))
    wanted = " ".join(words).lstrip("\ufeff ").split(" ")  # a file does not begin with a mark of its coding
    assert all(any(word == other for other in found) for word in wanted if word)


@pytest.mark.parametrize("title", ["\ufeff", "\ufeff \ufeffTides", "Tides\ufeff"])
def test_a_text_file_does_not_begin_with_a_mark_of_its_coding(title: str) -> None:
    text = to_text(document(title, ("\ufeffNorth", "It rained.")))
    assert text.startswith("North\n" if title == "\ufeff" else "Tides")
    assert text.endswith("It rained.\n")


def test_plain_text_has_no_signs_but_those_of_lists() -> None:
    text = "a *b*\nc\\\nd\n\n- x\n  1. y\n\n> q\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n\n`e` [f](http://g.h)"
    assert to_text(document("T", ("S", text))) == (
        "T\n\n\nS\n\na b c\nd\n\n- x\n  1. y\n\n    q\n\na\tb\n1\t2\n\n* * *\n\ne f\n"
    )


# --------------------------------------------------------------------------------------------- Word, e-books and PDF


def unzipped(content: bytes) -> dict[str, str]:
    """The parts that are text, by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


FEW = settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
"""Each example is a document of several texts, for each takes a tenth of a second."""


@FEW
@given(documents(TEXTS, TITLES))
def test_every_word_is_in_the_book_once(made: Document) -> None:
    parts = unzipped(export(made, "epub").content)
    spine = re.findall(r'<itemref idref="(\w+)_xhtml"', parts["EPUB/content.opf"])
    found = [word for name in spine for word in words_of_html(parts[f"EPUB/text/{name}.xhtml"])]
    assert found == writable(one_line(made.title)).split() + flat(told(made))


def test_a_book_has_a_title_and_a_table_of_its_sections() -> None:
    parts = unzipped(
        export(document("Tides", ("Ebb", "a"), ("", "b"), ("Ebb", "### c"), ("שלום", "d")), "epub").content
    )
    titles = re.findall(r'<a href="text/(\w+).xhtml#section-\d">(.*?)</a>', parts["EPUB/nav.xhtml"])
    assert titles == [("ch001", "Ebb"), ("ch002", "Ebb"), ("ch003", '<span dir="rtl">שלום</span>')]
    assert '<dc:title id="epub-title-1">Tides</dc:title>' in parts["EPUB/content.opf"]
    assert '<dc:date id="epub-date">2026-03-02T11:22:33Z</dc:date>' in parts["EPUB/content.opf"]
    assert "1970" not in parts["EPUB/content.opf"]


def test_another_export_is_another_edition_of_the_same_book() -> None:
    def name(made: Document) -> str:
        return re.findall("urn:uuid:[0-9a-f-]+", unzipped(export(made, "epub").content)["EPUB/content.opf"])[0]

    first = document("Tides", ("Ebb", "a"))
    assert name(first) == name(replace(first, title="Ebbs"))
    assert name(first) != name(replace(first, id=2))


def test_a_word_file_has_real_headings() -> None:
    made = unzipped(export(document("T", ("A", "x\n\n### B\n\n#### C"), ("D", "y")), "docx").content)
    found = re.findall(
        r'<w:pStyle w:val="(Title|Heading\d)" />.*?<w:t [^>]*>(\w)</w:t>', made["word/document.xml"], re.S
    )
    assert found == [("Title", "T"), ("Heading1", "A"), ("Heading2", "B"), ("Heading3", "C"), ("Heading1", "D")]
    assert "2026-03-02T11:22:33Z" in made["docProps/core.xml"]


def pages(content: bytes) -> list[str]:
    """The text of each page without its number."""
    found = [page.extract_text().replace("\u200b", "").rstrip() for page in PdfReader(io.BytesIO(content)).pages]
    assert all(text.endswith(str(number)) for number, text in enumerate(found, 1))
    return [text.removesuffix(str(number)) for number, text in enumerate(found, 1)]


def squeezed(text: str) -> str:
    """Without white space and what cannot be seen: where lines and long words are broken is the page's business."""
    return re.sub("[\\s\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]", "", unicodedata.normalize("NFKC", text))


NO_SOFT_HYPHENS = LATIN_TEXTS.map(lambda text: text.replace("\u00ad", ""))
"""pypdf shows a hyphen that shares its glyph with a soft one as a soft one."""


@FEW
@given(documents(NO_SOFT_HYPHENS, LATIN_TITLES.map(lambda text: text.replace("\u00ad", ""))))
def test_every_letter_is_in_the_pdf_once(made: Document) -> None:
    file = export(made, "pdf")
    assert file.note == ""
    wanted = writable(one_line(made.title))
    for section in made.sections:
        wanted += writable(one_line(section.title)) + "".join(words_read(section.text, signs=True))
    assert squeezed("".join(pages(file.content))) == squeezed(wanted)


def test_every_word_of_prose_is_in_the_pdf() -> None:
    prose = " ".join(f"The keeper's {number}th lamp; an official, affluent “fish” waited." for number in range(300))
    file = export(document("Lamps", ("Fog", prose), ("Dusk", prose)), "pdf")
    found = pages(file.content)
    assert len(found) > 3
    assert " ".join(found).split() == ["Lamps", "Fog", *prose.split(), "Dusk", *prose.split()]


def test_a_pdf_has_bookmarks_and_a_title() -> None:
    reader = PdfReader(io.BytesIO(export(document("*T*", ("A", "x"), ("B", "y")), "pdf").content))
    assert [mark.title for mark in reader.outline] == ["A", "B"]
    assert reader.metadata is not None
    assert reader.metadata.title == "*T*"


def test_a_word_that_is_longer_than_a_line_or_a_cell_stays_on_the_page() -> None:
    table = f"|{'abcdefghijklm|' * 12}\n|{'-|' * 12}\n|{'nopqrstuvwxyz|' * 12}"
    wide = f"|{'a|' * 60}\n|{'-|' * 60}"
    made = export(document("", ("", f"{'x' * 500}\n\n```\n{'y' * 500}\n```\n\n{table}\n\n{wide}")), "pdf").content
    lines = "".join(pages(made)).splitlines()
    assert max(line.count("x") for line in lines) < 100
    assert max(line.count("y") for line in lines) < 100
    assert squeezed("".join(pages(made))) == squeezed(
        "x" * 500 + "y" * 500 + "abcdefghijklm" * 12 + "nopqrstuvwxyz" * 12 + "a" * 60
    )


def test_letters_that_no_font_has_are_told_and_not_dropped() -> None:
    file = export(document("T", ("A", "abc \U000f0000 \U000f0001 é Ж")), "pdf")
    assert "\U000f0000 \U000f0001;" in file.note
    assert file.note.startswith("No font on this machine has these characters")
    assert len(pages(file.content)) == 1


@pytest.mark.parametrize(
    "text", ["Ελληνικά ἀρχή", "Кириллица ґ", "שלום עולם", "مرحبا بالعالم", "Tiếng Việt", "Հայերեն"]
)
def test_typst_itself_has_letters_for_many_scripts(text: str) -> None:
    assert run_typst(source("", read(text)), system_fonts=False)[1] == []


# ------------------------------------------------------------------------------------------------------------ safety

HOSTILE = """\
<script>alert(1)</script> <img src=x onerror=alert(1)> <iframe src="http://evil.example/">

`<b>raw</b>`{=html} `\\evil{x}`{=latex} `#panic()`{=typst} `<w:p/>`{=openxml}

```{=html}
<script>alert(2)</script>
```

[a](javascript:alert(1)) [b](data:text/html,x) [c](file:///etc/passwd) <javascript:x> [d](http://good.example/)

![e](/etc/passwd) ![f](http://evil.example/x.png) ![g](file:///etc/passwd){width=1}

#read("/etc/passwd") #image("/etc/passwd") #panic("x") #eval("1") #import "@preview/a:0.1.0" $ #read("/etc/passwd") $

\\input{/etc/passwd} $\\input{/etc/passwd}$ {{< include /etc/passwd >}} !include /etc/passwd

---
title: Other
header-includes: <script>alert(3)</script>
---

"#read("/etc/passwd")" \\" #panic() \\\\" #panic() //"""


@pytest.mark.parametrize("ending", list(FORMATS))
def test_a_hostile_text_is_text_in_every_format(ending: str) -> None:
    made = document(HOSTILE.split("\n", maxsplit=1)[0], ('#panic("x") `x`{=html}', HOSTILE))
    content = export(made, ending).content
    assert b"root:" not in content
    match ending:
        case "docx":
            parts = unzipped(content)
            links = "".join(text for name, text in parts.items() if name.endswith(".rels"))
            outside = [link for link in re.findall("<Relationship [^>]*>", links) if "External" in link]
            assert set(re.findall('Target="(.*?)"', "".join(outside))) == {"http://good.example/"}
            assert not any("media" in name for name in parts)
            assert "<w:drawing" not in parts["word/document.xml"]
        case "epub":
            parts = unzipped(content)
            pages = "".join(text for name, text in parts.items() if name.startswith("EPUB/text/"))
            assert not re.search(r"<(script|img|iframe|object)|<[^>]*\son\w+=", pages)
            assert set(re.findall(r'href="(\w+:[^"]*)"', pages)) == {"http://good.example/"}
            assert "root:" not in "".join(parts.values())
        case "html":
            body = content.decode().partition("<body>")[2]
            assert not re.search(r"<(script|img|iframe|object)", body)
            assert set(re.findall(r'(?:href|src)="([^"]*)"', body)) == {"http://good.example/"}
        case "pdf":
            reader = PdfReader(io.BytesIO(content))
            notes = [note.get_object() for page in reader.pages for note in page.get("/Annots", [])]
            assert {str(note["/A"]["/URI"]) for note in notes} == {"http://good.example/"}
            assert '#read("/etc/passwd")' in "".join(page.extract_text() for page in reader.pages)
            assert "/JavaScript" not in content.decode("latin-1")


@pytest.mark.parametrize("ending", list(FORMATS))
@pytest.mark.parametrize("opening", ["> ", "- ", "[", "*", "**a "])
def test_deep_nesting_is_no_harm(ending: str, opening: str) -> None:
    for deep in (18, 37, 2_000):
        assert export(document("T", ("A", opening * deep + "x")), ending).content


def test_html_needs_no_other_file() -> None:
    html = to_html(document("<T>", ("A", "![x](http://a.b/c.png)")))
    assert "<title>&lt;T&gt;</title>" in html
    assert not re.search(r"<link|<script|url\(|@import", html)
    assert "default-src 'none'" in html


# ------------------------------------------------------------------------------------------------------ one section


def test_a_section_alone_has_its_own_title_and_name() -> None:
    whole = document("Tides", ("Ebb", "a"), ("", "b"))
    alone = section_alone(whole, 0)
    assert alone is not None
    assert (export(alone, "md").name, export(alone, "md").content) == ("Ebb.md", b"# Ebb\n\na\n")
    untitled = section_alone(whole, 1)
    assert untitled is not None
    assert export(untitled, "md").content == b"# Tides\n\nb\n"
    assert section_alone(whole, 2) is None


@pytest.mark.parametrize("ending", list(FORMATS))
def test_an_empty_document_can_be_exported(ending: str) -> None:
    assert export(document("", ("", "")), ending).name == f"Untitled.{ending}"


# -------------------------------------------------------------------------------------------------------------- name


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
