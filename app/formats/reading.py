"""A text as it is read: its Markdown as plain values that every format can be written from.

Pure. The same reading as app.render, from the same parser: HTML in a text is text, an image is its description, a link
that is not allowed stays text. So nothing here can say more to another program than words, marks and headings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypeAlias

from markdown_it.token import Token

from app.draft import one_line, storable
from app.render import described, parse

Mark = Literal["strong", "em", "s", "code"]
Align = Literal["", "left", "center", "right"]

MARKS: tuple[Mark, ...] = ("strong", "em", "s", "code")
"""From the outermost to the innermost."""

MAX_DEPTH = 12
"""Of lists and quotations in files for other programs."""

SPACE = " \t\n\r\f\v"
"""What HTML takes for one space; other kinds of space are characters like all others."""

_SPACES = re.compile(f"[{SPACE}]+")
_UNWRITABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Run:
    """Words with the same look. text "\\n": a line that ends here; there is no other line break in a text.

    link  where it leads, or empty.
    """

    text: str
    marks: frozenset[Mark] = frozenset()
    link: str = ""


_SPACE = Run(" ")

Runs: TypeAlias = tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    runs: Runs


@dataclass(frozen=True, slots=True)
class Heading:
    """level: 1 … 6."""

    level: int
    runs: Runs


@dataclass(frozen=True, slots=True)
class Code:
    """Lines as they were typed, without the last line break."""

    text: str


@dataclass(frozen=True, slots=True)
class Quote:
    blocks: Blocks


@dataclass(frozen=True, slots=True)
class List:
    """start: the first number; None where the items have bullets. tight: no space between the items."""

    items: tuple[Blocks, ...]
    start: int | None
    tight: bool


@dataclass(frozen=True, slots=True)
class Table:
    """rows[0] is the head. Every row has one cell for each of the columns."""

    aligns: tuple[Align, ...]
    rows: tuple[tuple[Runs, ...], ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across the page."""


Block: TypeAlias = Paragraph | Heading | Code | Quote | List | Table | Rule
Blocks: TypeAlias = tuple[Block, ...]


def read(text: str) -> Blocks:
    """The Markdown text as values. A character that no document format can hold is U+FFFD."""
    text = writable(text)
    tokens = parse(text)
    if tokens is None:
        return (Code(text.strip("\n")),)
    return tuple(_blocks(iter(tokens)))


@dataclass(frozen=True, slots=True)
class Place:
    """A heading and where it stands: lines[first:end]. underlined: its sign is a line under it."""

    level: int
    title: str
    first: int
    end: int
    underlined: bool


def headings(text: str) -> list[Place]:
    """The headings that stand in no list and no quotation. The text has no line breaks but "\\n"."""
    places = []
    tokens = iter(parse(text) or ())
    for token in tokens:
        if token.type == "heading_open" and token.level == 0 and token.map:
            first, end = token.map
            title = one_line(plain(_inline(tokens)))
            places.append(Place(int(token.tag[1:]), title, first, end, underlined=token.markup in ("=", "-")))
    return places


def writable(text: str) -> str:
    """The text with every character that XML cannot hold replaced by U+FFFD."""
    return _UNWRITABLE.sub("\ufffd", storable(text))


def simple_breaks(text: str) -> str:
    """The text with "\\n" for every kind of line break that Markdown knows."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def plain(runs: Iterable[Run]) -> str:
    return "".join(run.text for run in runs)


def words(blocks: Iterable[Block]) -> list[str]:
    """Everything that is read, in order, split at white space."""
    return [word for text in texts(blocks) for word in text.split()]


def texts(blocks: Iterable[Block]) -> Iterator[str]:
    """The text of each paragraph, heading, cell and stretch of code, in order."""
    for block in blocks:
        match block:
            case Paragraph(runs) | Heading(_, runs):
                yield plain(runs)
            case Code(text):
                yield text
            case Quote(inner):
                yield from texts(inner)
            case List(items):
                for item in items:
                    yield from texts(item)
            case Table(_, rows):
                for row in rows:
                    yield from map(plain, row)
            case Rule():
                pass


def flat(blocks: Iterable[Block], depth: int = MAX_DEPTH) -> Iterator[Block]:
    """The blocks with what lies deeper in lists and quotations set beside them."""
    for block in blocks:
        match block:
            case Quote(inner):
                made = tuple(flat(inner, max(0, depth - 1)))
                yield from (Quote(made),) if depth else made
            case List(items, start, tight):
                parts = [tuple(flat(item, max(0, depth - 1))) for item in items]
                yield from (List(tuple(parts), start, tight),) if depth else chain.from_iterable(parts)
            case _:
                yield block


def direction(block: Block) -> Literal["", "ltr", "rtl"]:
    """Where the first letter that has a direction runs; empty where there is none."""
    for character in chain.from_iterable(texts([block])):
        match unicodedata.bidirectional(character):
            case "L":
                return "ltr"
            case "R" | "AL":
                return "rtl"
    return ""


def tidy(runs: Iterable[Run]) -> Runs:
    """The same words and marks in their one form: as few runs as possible, no two spaces, none at the ends of a line.

    A space has only the marks that both of its neighbours have.
    """
    lines: list[list[Run]] = [[]]
    for run in runs:
        if run.text == "\n":
            lines.append([])
        else:
            lines[-1] += _pieces(run)
    tidied = [line for line in map(_line, lines) if line]
    return tuple(run for number, line in enumerate(tidied) for run in ([Run("\n")] if number else []) + line)


def _pieces(run: Run) -> Iterator[Run]:
    """The space before its words, if there is any, its words, and the space after them."""
    core = " ".join(word for word in _SPACES.split(run.text) if word)
    if run.text and run.text[0] in SPACE:
        yield _SPACE
    if core:
        yield Run(core, run.marks, run.link)
    if run.text and run.text[-1] in SPACE:
        yield _SPACE


def _line(pieces: Sequence[Run]) -> list[Run]:
    cores: list[Run] = []
    spaced: list[bool] = []  # whether a space stands before each
    pending = False
    for piece in pieces:
        if piece is _SPACE:
            pending = True
        else:
            cores.append(piece)
            spaced.append(pending)
            pending = False
    line: list[Run] = []
    for core, space in zip(cores, spaced, strict=True):
        if line and space:
            left = line[-1]
            link = core.link if core.link == left.link else ""
            shared = core.marks & left.marks
            _append(line, Run(" ", shared if shared == core.marks == left.marks else shared - {"code"}, link))
        _append(line, core)
    return line


def _append(line: list[Run], run: Run) -> None:
    if line and (line[-1].marks, line[-1].link) == (run.marks, run.link):
        run = Run(line.pop().text + run.text, run.marks, run.link)
    line.append(run)


# ----------------------------------------------------------------------------------------------------- from the tokens


def _blocks(tokens: Iterator[Token]) -> Iterator[Block]:
    """Up to the end of what has been opened."""
    for token in tokens:
        match token.type:
            case "paragraph_open":
                if runs := _inline(tokens):
                    yield Paragraph(runs)
            case "heading_open":
                yield Heading(int(token.tag[1:]), _inline(tokens))
            case "fence" | "code_block":
                yield Code(token.content.removesuffix("\n"))
            case "blockquote_open":
                yield Quote(tuple(_blocks(tokens)))
            case "bullet_list_open" | "ordered_list_open":
                yield _list(token, tokens)
            case "table_open":
                yield _table(tokens)
            case "hr":
                yield Rule()
            case _ if token.nesting == -1:
                return
            case unknown:
                raise ValueError(f"The parser is not supposed to know {unknown}.")


def _list(opening: Token, tokens: Iterator[Token]) -> List:
    items, tight = [], True
    level = opening.level + 2

    def watched() -> Iterator[Token]:
        nonlocal tight
        for token in tokens:
            if token.type == "paragraph_open" and token.level == level and not token.hidden:
                tight = False
            yield token

    inside = watched()
    for token in inside:
        if token.nesting == -1:
            break
        items.append(tuple(_blocks(inside)))
    start = int(opening.attrs.get("start", 1)) if opening.type == "ordered_list_open" else None
    return List(tuple(items), start, tight)


def _table(tokens: Iterator[Token]) -> Table:
    aligns: list[Align] = []
    rows: list[list[Runs]] = []
    for token in tokens:
        match token.type:
            case "table_close":
                break
            case "tr_open":
                rows.append([])
            case "th_open" | "td_open":
                if token.type == "th_open":
                    aligns.append(_align(str(token.attrs.get("style", ""))))
                rows[-1].append(_inline(tokens))
    return Table(tuple(aligns), tuple(map(tuple, rows)))


def _align(style: str) -> Align:
    match style.removeprefix("text-align:"):
        case "left" | "center" | "right" as align:
            return align
        case _:
            return ""


def _inline(tokens: Iterator[Token]) -> Runs:
    """Of the paragraph, heading or cell that has been opened, up to its end."""
    inner = next(tokens)
    next(tokens)
    return tidy(_runs(inner.children or []))


def _runs(tokens: Iterable[Token]) -> Iterator[Run]:
    """Marks can be nested without end, but there are only four of them."""
    depth: dict[Mark, int] = dict.fromkeys(MARKS, 0)
    link = ""
    for token in tokens:
        marks = frozenset(mark for mark, deep in depth.items() if deep)
        match token.type:
            case "text":
                yield Run(token.content, marks, link)
            case "code_inline":
                yield Run(token.content, marks | {"code"}, link)
            case "softbreak":
                yield Run(" ", marks, link)
            case "hardbreak":
                yield Run("\n")
            case "image":
                yield Run(f"[{described(token)}]".replace("\n", " "), marks, link)
            case "link_open":
                link = str(token.attrs.get("href", ""))
            case "link_close":
                link = ""
            case "strong_open" | "em_open" | "s_open" | "strong_close" | "em_close" | "s_close":
                mark: Mark = token.type.partition("_")[0]  # type: ignore[assignment]
                depth[mark] += token.nesting
            case unknown:
                raise ValueError(f"The parser is not supposed to know {unknown}.")
