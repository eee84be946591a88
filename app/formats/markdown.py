"""What has been read, as Markdown again: as few signs as possible, and never another reading.

Pure. Every paragraph is read back before it is given out: what would be read otherwise gets backslashes, and where
these do not help either, a mark goes rather than a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from app.draft import one_line
from app.formats.reading import (
    MARKS,
    Align,
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
    flat,
    headings,
    read,
    texts,
    tidy,
    words,
)

_SIGNS: dict[Mark, str] = {"strong": "**", "em": "*", "s": "~~"}
_SIDES: dict[Align, str] = {"": "---", "left": ":--", "center": ":-:", "right": "--:"}
_LIKELY = re.compile(r"[\\`*_\[\]<~]|&(?=#?\w)|^[#>+=|-]|(?<=^\d)[.)]|(?<=^\d\d)[.)]|(?<=^\d{3})[.)]|(?<=^\d{4})[.)]")
_ANY = re.compile(r"[!-/:-@\[-`{-~]")

Escape = Callable[[str], str]


def markdown(blocks: Sequence[Block]) -> str:
    """The blocks as Markdown. Ends without a line break."""
    made = "\n".join(_lines(flat(blocks)))
    if words(read(made)) == words(blocks):
        return made
    # Each text for itself reads back as it is, so it is something between them that went wrong.
    return "\n\n".join(_paragraph((Run(" ".join(text.split())),)) for text in texts(blocks) if text.strip())


def heading(level: int, title: str) -> str:
    """A heading whose words are text: `*` in it is a star, and a word in brackets is no link, whatever else says so."""
    return re.sub(r"(?<!\\)\[", r"\\[", _heading(level, tidy([Run(one_line(title))])))


def lowered(text: str, by: int) -> str:
    """The Markdown text with its headings so many levels lower, but for those in lists and quotations.

    All else stays as it is typed. The text has no line breaks but "\\n".
    """
    lines = text.split("\n")
    for place in reversed(headings(text) if by else []):
        old = lines[place.first : place.end]
        level = min(6, max(1, place.level + by))
        new = f"{'#' * level} {' '.join(old[:-1])}" if place.underlined else re.sub("#+", "#" * level, old[0], count=1)
        was = read("\n".join(old))
        if words(read(new)) != words(was):
            new = "\n".join(_heading(level, block.runs) for block in was if isinstance(block, Heading))
        lines[place.first : place.end] = [new]
    return "\n".join(lines)


def _lines(blocks: Iterable[Block]) -> Iterator[str]:
    before: Block | None = None
    turn = False  # two lists in a row would be one, were their signs not different
    for block in blocks:
        if before is not None:
            yield ""
        turn = isinstance(block, List) and isinstance(before, List) and not turn
        yield from _block(block, turn)
        before = block


def _block(block: Block, turn: bool) -> Iterator[str]:
    match block:
        case Paragraph(runs):
            yield from _paragraph(runs).split("\n")
        case Heading(level, runs):
            yield _heading(level, runs)
        case Code(text):
            fence = "`" * max([3, *(len(found) + 1 for found in re.findall("`+", text))])
            yield from (fence, *text.split("\n"), fence)
        case Quote(inner):
            yield from (f"> {line}" if line else ">" for line in _lines(inner))
        case List():
            yield from _list(block, turn)
        case Table():
            yield from _table(block)
        case Rule():
            yield "___"  # as "---" it would not be one in an item whose sign is a "-" as well


def _list(block: List, turn: bool) -> Iterator[str]:
    for number, item in enumerate(block.items):
        if number and not block.tight:
            yield ""
        sign = "-*"[turn] if block.start is None else f"{block.start + number}{'.)'[turn]}"
        lines = _item(item) if block.tight else _lines(item)
        yield f"{sign} {next(lines, '')}".rstrip(" ")
        yield from (f"{' ' * len(sign)} {line}" if line else "" for line in lines)


def _item(blocks: Blocks) -> Iterator[str]:
    """Of a tight list: nothing stands between a paragraph and the list under it."""
    match blocks:
        case (Paragraph(), List(start=None | 1)):
            yield from _lines(blocks[:1])
            yield from _lines(blocks[1:])
        case _:
            yield from _lines(blocks)


def _table(table: Table) -> Iterator[str]:
    rows = tuple(tuple(map(_on_one_line, row)) for row in table.rows)
    sides = [_SIDES[align] for align in table.aligns]
    head, *body = [[_paragraph(cell) for cell in row] for row in rows]
    lines = [_row(cells) for cells in (head, sides, *body)]
    if read("\n".join(lines)) == (Table(table.aligns, rows),):
        yield from lines
    else:
        yield from _lines([Paragraph(cell) for cell in chain.from_iterable(rows) if cell])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


# --------------------------------------------------------------------------------------------------------- one text


def _heading(level: int, runs: Runs) -> str:
    runs = _on_one_line(runs)
    return _first_that_reads(runs, lambda text: f"{'#' * level} {text}".rstrip(" "), lambda runs: Heading(level, runs))


def _paragraph(runs: Runs) -> str:
    return _first_that_reads(runs, lambda text: text, Paragraph) if runs else ""


def _first_that_reads(runs: Runs, line: Callable[[str], str], block: Callable[[Runs], Block]) -> str:
    bare = tidy(Run(run.text) for run in runs)
    for wanted in (runs, bare):
        for escape in (_as_it_is, _escape_likely, _escape_any):
            text = line(_marked(wanted, escape))
            if read(text) == (block(wanted),):
                return text
    return text


def _as_it_is(text: str) -> str:
    return text


def _escape_likely(text: str) -> str:
    """Where a sign usually says something."""
    return _LIKELY.sub(r"\\\g<0>", text)


def _escape_any(text: str) -> str:
    return _ANY.sub(r"\\\g<0>", text)


def _marked(runs: Runs, escape: Escape, marks: frozenset[Mark] = frozenset(), link: str = "") -> str:
    """The runs, all of which have these marks and this link already, with signs for what else they have."""
    made = []
    while runs:
        first = runs[0]
        if first.text == "\n":
            made.append("\\\n")
            runs = runs[1:]
        elif first.link != link:
            count = _how_many(runs, lambda run: run.link == first.link)  # noqa: B023 (used up at once)
            made.append(_linked(first.link, runs[:count], escape, marks))
            runs = runs[count:]
        elif more := [mark for mark in MARKS if mark in first.marks - marks and mark != "code"]:
            counts = {mark: _how_many(runs, lambda run: mark in run.marks) for mark in more}  # noqa: B023
            mark = max(counts, key=lambda mark: counts[mark])
            inner = _marked(runs[: counts[mark]], escape, marks | {mark}, link)
            made.append(f"{_SIGNS[mark]}{inner}{_SIGNS[mark]}")
            runs = runs[counts[mark] :]
        else:
            made.append(_code(first.text) if "code" in first.marks else escape(first.text))
            runs = runs[1:]
    return "".join(made)


def _how_many(runs: Runs, same: Callable[[Run], bool]) -> int:
    return next((number for number, run in enumerate(runs) if not same(run)), len(runs))


def _code(text: str) -> str:
    fence = "`" * next(length for length in range(1, len(text) + 2) if length not in map(len, re.findall("`+", text)))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def _linked(link: str, runs: Runs, escape: Escape, marks: frozenset[Mark]) -> str:
    if runs == (Run(link, marks, link),):
        return f"<{link}>"
    address = re.sub(r"[<>\\]", lambda found: f"%{ord(found[0]):02X}", link)
    if re.search(r"[\s()]", address):
        address = f"<{address}>"
    return f"[{_marked(runs, escape, marks, link)}]({address})"


def _on_one_line(runs: Runs) -> Runs:
    return tidy(Run(" ") if run.text == "\n" else run for run in runs)
