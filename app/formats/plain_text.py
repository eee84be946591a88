"""Readings as plain text: no signs but those of lists, one line for each paragraph.

Pure. Every word stands in its order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.formats.reading import Block, Code, Heading, List, Paragraph, Quote, Rule, Table, plain

INDENT = "    "


def plain_text(blocks: Iterable[Block]) -> str:
    """Ends without a line break."""
    return "\n".join(_lines(blocks))


def _lines(blocks: Iterable[Block], *, tight: bool = False) -> Iterator[str]:
    first = True
    for block in blocks:
        if not first and not tight:
            yield ""
        if not first and isinstance(block, Heading):
            yield ""
        first = False
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(runs) | Heading(_, runs):
            yield from plain(runs).split("\n")
        case Code(text):
            yield from _indented(text.split("\n"), INDENT)
        case Quote(blocks):
            yield from _indented(_lines(blocks), INDENT)
        case List(items, start, tight):
            for number, item in enumerate(items):
                if number and not tight:
                    yield ""
                sign = "- " if start is None else f"{start + number}. "
                lines = _lines(item, tight=tight)
                yield f"{sign}{next(lines, '')}".rstrip(" ")
                yield from _indented(lines, " " * len(sign))
        case Table(_, rows):
            for row in rows:
                yield "\t".join(plain(cell).replace("\n", " ") for cell in row)
        case Rule():
            yield "* * *"


def _indented(lines: Iterable[str], indent: str) -> Iterator[str]:
    for line in lines:
        yield indent + line if line else ""
