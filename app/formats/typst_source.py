"""Readings as the source of a book for typst.

Pure. Every word stands in a string, so nothing in a text can be a command: see `_quoted`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import chain, groupby, pairwise

from app.formats.reading import (
    Block,
    Blocks,
    Code,
    Heading,
    List,
    Mark,
    Paragraph,
    Quote,
    Rule,
    Run,
    Runs,
    Table,
    direction,
    flat,
)

ZERO_WIDTH_SPACE = "\u200b"

LINE = 72
"""Letters on a line, about."""

MAX_COLUMNS = 40
"""Of a table that can be read on a page; the cells of a wider one are paragraphs."""

BOOK = """\
#set document(title: {title}, date: auto)
#set page(paper: "a4", margin: (x: 37mm, top: 30mm, bottom: 34mm), numbering: "1")
#set text(font: "Libertinus Serif", size: 11.5pt, hyphenate: false, overhang: true)
#set par(justify: true, leading: 0.72em, spacing: 1.15em)
#set list(indent: 0.6em, marker: [•])
#set enum(indent: 0.6em)
#set table(stroke: (x, y) => (top: if y == 1 {{ 0.6pt }} else {{ 0pt }}), inset: (x: 0.45em, y: 0.35em))
#show table: set par(justify: false)
#show heading: set block(above: 1.9em, below: 1em, sticky: true)
#show heading: set par(justify: false)
#show heading.where(level: 1): set text(size: 1.3em)
#show heading.where(level: 2): set text(size: 1.05em)
#show raw: set text(font: "DejaVu Sans Mono", size: 0.95em)
#show raw.where(block: true): block.with(inset: (left: 1em))
#show link: set text(fill: rgb("#1d4f91"))
#let rule() = align(center, line(length: 25%, stroke: 0.6pt))
"""

TITLE = """\
#align(center, block(above: 2em, below: 3.4em, text(size: 2em, hyphenate: false, {title})))
"""


def source(title: str, blocks: Iterable[Block]) -> str:
    """The whole book, its title on the first page; empty for none."""
    head = BOOK.format(title=_quoted(title))
    if title:
        head += TITLE.format(title=_content((Run(title),)))
    return head + "\n" + "\n\n".join(map(_directed, flat(blocks))) + "\n"


def _directed(block: Block) -> str:
    made = _block(block)
    return f"#[\n#set text(dir: rtl)\n{made}\n]" if direction(block) == "rtl" else made


def _block(block: Block) -> str:
    match block:
        case Paragraph(runs):
            return _inline(runs)
        case Heading(level, runs):
            return f"#heading(level: {level}, {_content(runs)})"
        case Code(text):
            return f"#raw(block: true, {_string(text)})"
        case Quote(blocks):
            return f"#quote(block: true, {_blocks(blocks)})"
        case List(items, None, tight):
            return f"#list(tight: {_bool(tight)}, {', '.join(map(_blocks, items))})"
        case List(items, start, tight):
            return f"#enum(start: {start}, tight: {_bool(tight)}, {', '.join(map(_blocks, items))})"
        case Table(aligns, rows) if len(aligns) > MAX_COLUMNS:
            return "\n\n".join(map(_inline, chain.from_iterable(rows)))
        case Table():
            return _table(block)
        case Rule():
            return "#rule()"


def _blocks(blocks: Blocks) -> str:
    return "[\n" + "\n\n".join(map(_block, blocks)) + "\n]"


def _table(table: Table) -> str:
    """Many columns in small letters, with words that may be broken where they do not fit."""
    columns = len(table.aligns)
    size = max(0.5, min(1.0, 8 / columns))
    longest = max(2, int(LINE / size / columns) - 2)
    head, *body = [[_content(cell, longest) for cell in row] for row in table.rows]
    cells = [f"table.header({', '.join(f'strong({cell})' for cell in head)})", *chain.from_iterable(body)]
    sides = ", ".join(align or "auto" for align in table.aligns)
    return f"#text(size: {size:.2f}em, table(columns: {columns}, align: ({sides},), {', '.join(cells)}))"


def _content(runs: Runs, longest: int = LINE // 2) -> str:
    return f"[{_inline(runs, longest)}]"


def _inline(runs: Runs, longest: int = LINE // 2) -> str:
    made = ""
    for link, group in groupby(runs, lambda run: run.link):
        inner = "".join(_run(run, longest) for run in group)
        made += f"#link({_quoted(link)})[{inner}]" if link else inner
    return made


_OTHER_BREAKS = {0x2028: " ", 0x2029: " "}
"""The reading view does not break a line at them either."""

_CALLS: dict[Mark, str] = {"em": "emph", "strong": "strong", "s": "strike"}


def _run(run: Run, longest: int) -> str:
    if run.text == "\n":
        return "#linebreak()"
    text = _string(run.text, longest)
    made = f"#raw({text})" if "code" in run.marks else f"#{text}"
    for mark, call in _CALLS.items():
        if mark in run.marks:
            made = f"#{call}[{made}]"
    return made


def _string(text: str, longest: int = LINE // 2) -> str:
    """The text as a string; words of more letters may be broken anywhere."""
    text = text.translate(_OTHER_BREAKS)
    return _quoted(re.sub(rf"\S{{{longest + 1},}}", lambda found: _breakable(found[0]), text))


def _quoted(text: str) -> str:
    """A string of typst: only a quotation mark or a backslash could end it or mean something in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _breakable(word: str) -> str:
    """The word with a place to break it after each letter. Nothing in it changes that can be seen."""
    made = word[:1]
    for before, after in pairwise(word):
        joined = unicodedata.category(before) == "Cf" or unicodedata.category(after)[0] in "MC"
        made += after if joined else f"{ZERO_WIDTH_SPACE}{after}"
    return made


def _bool(value: bool) -> str:
    return "true" if value else "false"
