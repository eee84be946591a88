"""Documents for the tests of files: nasty texts, and an oracle that reads words out of HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import strategies as st

from app.draft import Block, Document, Section, one_line
from app.importing import MAX_TITLE
from app.render import to_html

UNWRITABLE = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
"""What XML cannot hold; a zero byte is replaced before."""

BREAKS = {
    *("p", "br", "hr", "li", "ul", "ol", "pre", "blockquote", "table", "tr", "th", "td", "div", "section", "title"),
    *("h1", "h2", "h3", "h4", "h5", "h6"),
}


class Words(HTMLParser):
    """The words of HTML or XHTML, in order. With signs: bullets and numbers of lists are words as well."""

    def __init__(self, *, signs: bool = False) -> None:
        super().__init__()
        self.text = ""
        self._signs = signs
        self._lists: list[int | None] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("style", "script", "head")
        if tag in BREAKS:
            self.text += "\n"
        if tag in ("ul", "ol"):
            self._lists.append(int(dict(attrs).get("start") or 1) if tag == "ol" else None)
        if tag == "li" and self._signs:
            number = self._lists[-1]
            self.text += "• " if number is None else f"{number}. "
            self._lists[-1] = None if number is None else number + 1

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script", "head")
        if tag in BREAKS:
            self.text += "\n"
        if tag in ("ul", "ol"):
            self._lists.pop()

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data


def words_of_html(html: str, *, signs: bool = False) -> list[str]:
    found = Words(signs=signs)
    found.feed(html)
    found.close()
    return found.text.split()


def words_read(text: str, *, signs: bool = False) -> list[str]:
    """The words of a Markdown text as the page's reading view shows them."""
    return words_of_html(to_html(writable(text)), signs=signs)


def writable(text: str) -> str:
    return UNWRITABLE.sub("\ufffd", text)


def document(title: str, *sections: tuple[str, str]) -> Document:
    return Document(
        1,
        title,
        0,
        tuple(
            Section(number, 1, heading, "A brief is not exported.", 100, "draft", 0, (Block(text, "writer"),))
            for number, (heading, text) in enumerate(sections)
        ),
        "2026-03-01T10:00:00+00:00",
        "2026-03-02T11:22:33+00:00",
    )


LATIN = (
    *("# ", "## ", "###### ", "#hashtag ", "1. ", "10) ", "* ", "- ", "+ ", "---", "===", "***\n", "= x\n", "/ a: x\n"),
    *("\\", "\\\n", "$x$ ", "$$", "@cite ", "{#a .b}", "{=html}", ":smile: ", "~~", "~", "^", "[^1]", "[^1]: note\n"),
    *("<b>", "</b>", "<!-- ", "-->", "<script>", "<br>", "&amp;", "&lt;", "&", "*", "**", "_", "__", "`", "```"),
    *("~~~\n", "[a](http://a.b/c_d)", "[", "](", ")", "![", "![x](http://a.b/c.png)", "![x](/etc/passwd)"),
    *("<http://x.y>", "javascript:x", '#read("/etc/passwd") ', "#{1}", "#[", "\\input{x} ", "``#x``", "x" * 300),
    *("| a | b |\n", "|-|-|\n", "|", "\n", "\n\n", "\r\n", "\r\n\r\n", "    ", "\t", "  \n", "> ", ">> ", "- [ ] "),
    *("\u00ad", "\u00a0", "\u200b", "\u200d", "\ufeff", "\u2028", "\x1c", "\x07", "\x00", "\ufffe", "\u2009"),
    *("word ", "two ", "a", ". ", "!", "1986. ", "'", '"', "it's ", "… ", "-- ", "--- ", "... ", "é", "ﬁ", "Ωμέγα "),
)  # fmt: skip
"""Pieces of nasty texts in letters that typst has a font for and that run from left to right."""

OTHER = (
    *("שלום ", "مرحبا ", "🙂", "👩\u200d🚀 ", "e\u0301", "漢字 ", "한국어 ", "नमस्ते ", "ไทย ", "\u202e", "\u2067"),
    "\ue000",
)

TEXTS = st.lists(st.sampled_from(LATIN + OTHER) | st.text(max_size=4), max_size=40).map("".join)
TITLES = st.lists(st.sampled_from(LATIN + OTHER) | st.text(max_size=4), max_size=6).map("".join)

LATIN_TEXTS = st.lists(st.sampled_from(LATIN), max_size=40).map("".join)
LATIN_TITLES = st.lists(st.sampled_from(LATIN), max_size=6).map("".join)


def documents(texts: st.SearchStrategy[str], titles: st.SearchStrategy[str]) -> st.SearchStrategy[Document]:
    """Documents whose sections all have titles, so that each is known again in a file; the first may have none.

    No title is longer than the desk takes one: what is too long goes on as text.
    """
    titled = titles.filter(lambda title: 0 < len(one_line(title)) <= MAX_TITLE)
    sections = st.lists(st.tuples(titled, texts), min_size=1, max_size=5)
    opening = st.lists(st.tuples(st.just(""), texts.filter(lambda text: bool(words_read(text)))), max_size=1)
    return st.builds(lambda title, first, rest: document(title, *first, *rest), titled, opening, sections)


Told = list[tuple[list[str], list[str]]]


def told(document: Document) -> Told:
    """The words of each section: (of its title, of its text)."""
    return [(writable(one_line(section.title)).split(), words_read(section.text)) for section in document.sections]
