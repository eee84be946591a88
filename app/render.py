"""Markdown to safe HTML for the reading view.

Pure. Knows nothing of storage or the page. Text of writers and of models is text: HTML in it is shown, never obeyed;
no rendered page asks another host for anything until the reader follows a link.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from app.draft import Document, Section

SCHEMES = frozenset({"http", "https", "mailto"})
"""Links of other kinds stay text."""

MAX_NESTING = 40
"""Of lists and quotations. The parser leaves out what is deeper, so such a text is shown as it was typed."""


class SafeRenderer(RendererHTML):
    """Links open elsewhere and say nothing of where they were followed; an image stands as its description."""

    def link_open(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        tokens[index].attrSet("rel", "noopener noreferrer nofollow")
        tokens[index].attrSet("target", "_blank")
        if not tokens[index].attrGet("href"):  # "[a]()" would lead to the desk itself
            del tokens[index].attrs["href"]
        return self.renderToken(tokens, index, options, env)

    def th_open(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        _align_by_class(tokens[index])
        return self.renderToken(tokens, index, options, env)

    td_open = th_open

    def image(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        return f'<span class="image">[{escapeHtml(described(tokens[index]))}]</span>'


def to_html(text: str) -> str:
    """The Markdown text as HTML: CommonMark with tables and strikethrough, without raw HTML or images."""
    text = text.replace("\0", "\ufffd")
    tokens = parse(text)
    if tokens is None:
        return f"<pre>{escapeHtml(text)}</pre>\n"
    parser = _parser()
    return str(parser.renderer.render(tokens, parser.options, {}))


def parse(text: str) -> list[Token] | None:
    """The tokens of the Markdown text; None where it is nested too deeply to be read and stands as it was typed."""
    tokens = _parser().parse(text)
    return None if any(token.level >= MAX_NESTING - 1 for token in tokens) else tokens


def described(image: Token) -> str:
    """What stands in the place of an image."""
    parser = _parser()
    return SafeRenderer(parser).renderInlineAsText(image.children or [], parser.options, {}) or "image"


def section_html(section: Section) -> str:
    """A section with its title as second heading."""
    return _heading(2, section.title) + to_html(section.text)


def document_html(document: Document) -> str:
    """A document with its title as first heading."""
    return _heading(1, document.title) + "".join(map(section_html, document.sections))


def _align_by_class(cell: Token) -> None:
    """A style attribute would need a weaker content security policy."""
    style = str(cell.attrs.pop("style", ""))
    if align := style.removeprefix("text-align:"):
        cell.attrSet("class", align)


def _heading(level: int, title: str) -> str:
    return f"<h{level}>{escapeHtml(title)}</h{level}>\n" if title else ""


@cache
def _parser() -> MarkdownIt:
    """Made once: it keeps nothing of what it read."""
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING}, renderer_cls=SafeRenderer).enable(
        ["table", "strikethrough"]
    )
    parser.validateLink = allowed  # type: ignore[method-assign]
    return parser


def allowed(url: str) -> bool:
    """Whether a link may lead there. Relative ones may not: there is nothing of the writer's beside the page."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return False
    return parts.scheme.lower() in SCHEMES and bool(parts.netloc or parts.path)
