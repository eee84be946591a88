"""Markdown becomes HTML that can do nothing but be read."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.draft import Block, Document, Section
from app.render import document_html, section_html, to_html

LINK = 'rel="noopener noreferrer nofollow" target="_blank"'

FIXTURES = {
    "paragraphs": ("one\n\ntwo", "<p>one</p>\n<p>two</p>\n"),
    "a soft break stays one paragraph": ("one\ntwo", "<p>one\ntwo</p>\n"),
    "emphasis": ("*a* **b** ~~c~~", "<p><em>a</em> <strong>b</strong> <s>c</s></p>\n"),
    "heading": ("## a & b", "<h2>a &amp; b</h2>\n"),
    "raw HTML is shown": ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>\n"),
    "a script is shown": ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"),
    "an event handler is shown": ("<img src=x onerror=f()>", "<p>&lt;img src=x onerror=f()&gt;</p>\n"),
    "a web link": ("[a](https://a.org/?b=1&c)", f'<p><a href="https://a.org/?b=1&amp;c" {LINK}>a</a></p>\n'),
    "a mail link": ("[a](mailto:a@b.org)", f'<p><a href="mailto:a@b.org" {LINK}>a</a></p>\n'),
    "a bare link in angles": ("<https://a.org>", f'<p><a href="https://a.org" {LINK}>https://a.org</a></p>\n'),
    "a javascript link stays text": ("[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>\n"),
    "in any case of letters": ("[a](JaVaScript:x)", "<p>[a](JaVaScript:x)</p>\n"),
    "and in entities": ("[a](&#x6A;avascript:x)", "<p>[a](javascript:x)</p>\n"),
    "and by reference": ("[a]\n\n[a]: javascript:x", "<p>[a]</p>\n<p>[a]: javascript:x</p>\n"),
    "and in angles": ("<javascript:x>", "<p>&lt;javascript:x&gt;</p>\n"),
    "a data link stays text": ("[a](data:text/html,x)", "<p>[a](data:text/html,x)</p>\n"),
    "a relative link stays text": ("[a](/desk/state)", "<p>[a](/desk/state)</p>\n"),
    "an image is its description": ('![a <b>](https://x.org/y)', '<p><span class="image">[a &lt;b&gt;]</span></p>\n'),
    "an image without one": ("![](https://x.org/y.png)", '<p><span class="image">[image]</span></p>\n'),
    "code": ("`<i>`", "<p><code>&lt;i&gt;</code></p>\n"),
    "a fence cannot break out of its attribute": (
        '```"><script>\nx\n```',
        '<pre><code class="language-&quot;&gt;&lt;script&gt;">x\n</code></pre>\n',
    ),
    "cells are aligned by class": (
        "|a|\n|-:|\n|1|",
        '<table>\n<thead>\n<tr>\n<th class="right">a</th>\n</tr>\n</thead>\n'
        '<tbody>\n<tr>\n<td class="right">1</td>\n</tr>\n</tbody>\n</table>\n',
    ),
    "right to left": ("שלום", "<p>שלום</p>\n"),
    "a zero byte": ("a\0b", "<p>a\ufffdb</p>\n"),
}  # fmt: skip

ALLOWED = {
    *("p", "br", "hr", "em", "strong", "s", "a", "span", "code", "pre", "blockquote", "ul", "ol", "li"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
ALLOWED_ATTRIBUTES = {"href", "rel", "target", "class", "start", "title"}


@pytest.mark.parametrize(("text", "html"), FIXTURES.values(), ids=FIXTURES.keys())
def test_text_becomes(text: str, html: str) -> None:
    assert to_html(text) == html


class Collector(HTMLParser):
    """The tags and attributes of a piece of HTML, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


PIECES = (
    *("<script>", "</script>", "<img src=x onerror=", "javascript:", "data:text/html,", "[a](", ")", "![", "]("),
    *("`", "```", "~~~", '"', "'", ">", "<", "&lt;", "&#106;", "\\", "- ", "1. ", "# ", "|", "|-|"),
    *("\n", "\n\n", "\0", "\u202e", "x"),
)
HOSTILE = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=30).map("".join)


@given(HOSTILE)
@example("[a]()")
def test_nothing_but_reading_tags_ever_comes_out(text: str) -> None:
    found = Collector()
    found.feed(to_html(text))
    assert found.tags <= ALLOWED
    assert {name for name, _ in found.attributes} <= ALLOWED_ATTRIBUTES
    links = [value for name, value in found.attributes if name == "href"]
    assert all(link.lower().startswith(("http:", "https:", "mailto:")) for link in links)


@pytest.mark.parametrize("opening", ["> ", "- ", "[", "*", "**a "])
def test_deep_nesting_is_no_harm(opening: str) -> None:
    assert "x" in to_html(opening * 5_000 + "x")


def section(title: str, text: str) -> Section:
    return Section(1, 1, title, "", 100, "draft", 1, (Block(text, "writer"),) if text else ())


def test_titles_are_text_and_an_empty_one_has_no_heading() -> None:
    assert section_html(section("<i>a", "b")) == "<h2>&lt;i&gt;a</h2>\n<p>b</p>\n"
    assert section_html(section("", "b")) == "<p>b</p>\n"


def test_a_document_is_its_title_and_its_sections_in_order() -> None:
    document = Document(1, "T", 1, (section("A", "a"), section("", ""), section("B", "b")), "", "")
    assert document_html(document) == "<h1>T</h1>\n<h2>A</h2>\n<p>a</p>\n<h2>B</h2>\n<p>b</p>\n"
