"""From files as packages have them to documents of plain paragraphs: R data, dict dictionaries, manuals, web pages.

Pure: bytes in, (title, text) out, in order. A paragraph is one line; an empty line stands between two.
"""

from __future__ import annotations

import gzip
import lzma
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from html.parser import HTMLParser
from itertools import pairwise

from model.training.data import NoData

Documents = Iterator[tuple[str, str]]


def novels(files: Mapping[str, bytes]) -> Documents:
    """Every character vector of R data bases; its first line is the title."""
    for data in files.values():
        at = 0
        while at < len(data):
            unpack = zlib.decompressobj() if data[at + 4] == ord("x") else lzma.LZMADecompressor()
            whole = unpack.decompress(data[at + 4 + (data[at + 4] == ord("Z")) :])
            at = len(data) - len(unpack.unused_data)
            lines = list(_strings(whole))
            yield lines[0].strip().title(), _paragraphs(lines)


def _strings(values: bytes) -> Iterator[str]:
    """The strings of an R character vector in R's XDR format, version 3: a header, then length and bytes of each."""
    encoding = struct.unpack(">I", values[14:18])[0]
    at = 18 + encoding
    kind, count = struct.unpack(">II", values[at : at + 8])
    if kind & 0xFF != 16:
        raise NoData("The package holds R data of another kind than text; it is another version of it.")
    at += 8
    for _ in range(count):
        size = struct.unpack(">I", values[at + 4 : at + 8])[0]
        yield values[at + 8 : at + 8 + size].decode("utf-8")
        at += 8 + size


DIGITS = {character: value for value, character in enumerate(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)}  # fmt: skip
"""Of the numbers in the index of a dict dictionary."""


def dictionary(files: Mapping[str, bytes]) -> Documents:
    """Articles of a dictionary of the dict protocol (RFC 2229), once each, where several headwords lead to one.

    The files are an index, `headword TAB offset TAB length`, and the articles. Marks of links are taken out.
    """
    index = next((data for name, data in files.items() if name.endswith(".index")), None)
    packed = next((data for name, data in files.items() if name.endswith(".dict.dz")), None)
    if index is None or packed is None:
        raise NoData("The package holds no dictionary; it is another version of it.")
    articles, places, titles = gzip.decompress(packed), set(), set[str]()
    for line in index.decode("utf-8").splitlines():
        headword, offset, size = line.split("\t")
        if not headword.startswith("00"):  # what a dictionary says about itself
            places.add((_number(offset), _number(size)))
    for start, length in sorted(places):
        text = re.sub(r"[{}]", "", articles[start : start + length].decode("utf-8", errors="replace"))
        title = text.strip().split("\n", 1)[0]
        if title not in titles:  # the same article under two offsets
            titles.add(title)
            yield title, _paragraphs(text.splitlines())


def _number(written: str) -> int:
    value = 0
    for character in written:
        value = 64 * value + DIGITS[character]
    return value


def manual(files: Mapping[str, bytes]) -> Documents:
    """Chapters of a manual in packed plain text: `N. Title`, underlined with asterisks. What stands before is not read.

    Underlines and lists of contents are left out.
    """
    for data in files.values():
        text = gzip.decompress(data).decode("utf-8")
        heads = list(re.finditer(r"^(\d+\. .+)\n\*{4,}$", text, re.MULTILINE))
        ends = [*(head.start() for head in heads), len(text)]
        for head, (start, end) in zip(heads, pairwise(ends), strict=True):
            lines = [line for line in text[start:end].splitlines() if not re.fullmatch(r"([*=\-~^_])\1{3,}", line)]
            yield head[1], _paragraphs(lines)


def pages(files: Mapping[str, bytes]) -> Documents:
    """Web pages, one document each, under their paths."""
    for name, data in files.items():
        page = _Page()
        page.feed(data.decode("utf-8", errors="replace"))
        page.close()
        yield name.rsplit("/", 1)[-1], _paragraphs("".join(page.parts).splitlines())


class _Page(HTMLParser):
    """The text of a page; an empty line where a block begins or ends."""

    BLOCKS = frozenset(("p", "div", "h1", "h2", "h3", "h4", "li", "ul", "ol", "blockquote", "br", "hr", "tr", "table"))
    SILENT = frozenset(("script", "style", "title"))

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        self._silent += tag in self.SILENT
        if tag in self.BLOCKS:
            self.parts.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        """See HTMLParser."""
        self._silent = max(0, self._silent - (tag in self.SILENT))
        if tag in self.BLOCKS:
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        """See HTMLParser."""
        if not self._silent:
            self.parts.append(data.replace("\n", " "))


def _paragraphs(lines: Iterable[str]) -> str:
    text = "\n".join(line.rstrip() for line in lines)
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n") if part.strip()) + "\n"
