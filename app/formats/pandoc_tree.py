"""Readings as pandoc's document tree, and back.

Pure. Nothing that pandoc would hand through unread (raw blocks, images, files) is ever put into a tree. What is taken
out of one has every word of the tree; what a reading does not know (footnotes, formulas) becomes words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Any

from app.formats.reading import (
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
    direction,
    flat,
    tidy,
)
from app.render import allowed

Json = dict[str, Any]

VERSION = [1, 23, 1]
"""Of the tree's form: pandoc 3."""

_NONE: list[Any] = ["", [], []]  # no identifier, no classes, no attributes
_ALIGNS: dict[Align, str] = {"": "AlignDefault", "left": "AlignLeft", "center": "AlignCenter", "right": "AlignRight"}
_SIDES: dict[str, Align] = {name: align for align, name in _ALIGNS.items()}
_MARKS: dict[Mark, str] = {"strong": "Strong", "em": "Emph", "s": "Strikeout"}
_MARKED: dict[str, Mark] = {name: mark for mark, name in _MARKS.items()}


# -------------------------------------------------------------------------------------------------------------- out


def tree(title: str, blocks: Iterable[Block], facts: dict[str, str] | None = None) -> Json:
    """A whole document. title: empty for none. facts: more of pandoc's metadata, as text.

    First headings are named section-1, section-2, …: names made of their words could be the same twice.
    """
    blocks = list(flat(blocks))
    base = next(filter(None, map(direction, blocks)), "ltr")
    meta: Json = {name: {"t": "MetaString", "c": text} for name, text in {"dir": base, **(facts or {})}.items()}
    if title:
        meta["title"] = {"t": "MetaInlines", "c": _inlines((Run(title),))}
    made, number = [], 0
    for block in blocks:
        number += isinstance(block, Heading) and block.level == 1
        made.append(_directed(block, base, f"section-{number}"))
    return {"pandoc-api-version": VERSION, "meta": meta, "blocks": made}


def _directed(block: Block, base: str, section: str) -> Json:
    attributes = ["", [], [["dir", direction(block)]]] if direction(block) not in ("", base) else _NONE
    match block:
        case Heading(level, runs):  # in a Div it would begin no new part of a book
            inlines = _inlines(runs) if attributes is _NONE else [_node("Span", [attributes, _inlines(runs)])]
            return _node("Header", [level, [section if level == 1 else "", [], []], inlines])
        case _:
            return _block(block) if attributes is _NONE else _node("Div", [attributes, [_block(block)]])


def _block(block: Block) -> Json:
    match block:
        case Paragraph(runs):
            return _node("Para", _inlines(runs))
        case Heading(level, runs):
            return _node("Header", [level, _NONE, _inlines(runs)])
        case Code(text):
            return _node("CodeBlock", [_NONE, text])
        case Quote(blocks):
            return _node("BlockQuote", [_block(inner) for inner in blocks])
        case List(items, None, tight):
            return _node("BulletList", [_item(item, tight) for item in items])
        case List(items, start, tight):
            numbers = [start, _node("Decimal"), _node("Period")]
            return _node("OrderedList", [numbers, [_item(item, tight) for item in items]])
        case Table(aligns, rows):
            columns = [[_node(_ALIGNS[align]), _node("ColWidthDefault")] for align in aligns]
            head, *body = [[_NONE, [_cell(cell) for cell in row]] for row in rows]
            bodies = [[_NONE, 0, [], body]]
            return _node("Table", [_NONE, [None, []], columns, [_NONE, [head]], bodies, [_NONE, []]])
        case Rule():
            return _node("HorizontalRule")


def _item(blocks: Blocks, tight: bool) -> list[Json]:
    return [
        _node("Plain", _inlines(block.runs)) if tight and isinstance(block, Paragraph) else _block(block)
        for block in blocks
    ]


def _cell(runs: Runs) -> list[Any]:
    return [_NONE, _node("AlignDefault"), 1, 1, [_node("Plain", _inlines(runs))]]


def _inlines(runs: Runs) -> list[Json]:
    made: list[Json] = []
    for link, group in groupby(runs, lambda run: run.link):
        inner = list(chain.from_iterable(map(_run, group)))
        made += [_node("Link", [_NONE, inner, [link, ""]])] if link else inner
    return made


def _run(run: Run) -> list[Json]:
    if run.text == "\n":
        return [_node("LineBreak")]
    made = [_node("Code", [_NONE, run.text])] if "code" in run.marks else list(_words(run.text))
    for mark, name in _MARKS.items():
        if mark in run.marks:
            made = [_node(name, made)]
    return made


def _words(text: str) -> Iterator[Json]:
    for number, word in enumerate(text.split(" ")):
        if number:
            yield _node("Space")
        if word:
            yield _node("Str", word)


def _node(kind: str, content: Any = None) -> Json:
    return {"t": kind} if content is None else {"t": kind, "c": content}


# --------------------------------------------------------------------------------------------------------------- in


@dataclass(slots=True)
class Found:
    """What has been taken out of a tree.

    title   of the document; empty where it has none.
    notes   footnotes that stand at the ends of their parts; images: pictures that could not come along.
    """

    title: str = ""
    blocks: list[Block] = field(default_factory=list)
    notes: int = 0
    images: int = 0


def from_tree(given: Json) -> Found:
    """Reads a tree that pandoc has made. Raises ValueError for what is no such tree."""
    try:
        return _Taker().document(given)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError("This is not a tree as pandoc makes it.") from error


class _Taker:
    """Footnotes are gathered here until their part of the document ends."""

    def __init__(self) -> None:
        self.found = Found()
        self._waiting: list[Block] = []

    def document(self, given: Json) -> Found:
        meta = given["meta"]
        before: list[Block] = []
        for name, value in meta.items():
            runs = tidy(_joined(self._meta(value)))
            if name == "title":
                self.found.title = " ".join("".join(run.text for run in runs).split())
            elif runs and name in ("subtitle", "author", "date", "abstract"):
                before.append(Paragraph(runs))
        blocks = given["blocks"]
        top = min((block["c"][0] for block in blocks if block["t"] == "Header"), default=0)
        self.found.blocks += before
        for block in blocks:
            if block["t"] == "Header" and block["c"][0] == top:
                self._end_part()
            self.found.blocks += self._block(block)
        self._end_part()
        return self.found

    def _end_part(self) -> None:
        self.found.blocks += self._waiting
        self._waiting = []

    def _meta(self, value: Json) -> Iterator[Runs]:
        match value["t"]:
            case "MetaInlines":
                yield self._runs(value["c"])
            case "MetaBlocks":
                yield from _runs_of(self._blocks(value["c"]))
            case "MetaList":
                for item in value["c"]:
                    yield from self._meta(item)
            case "MetaString":
                yield (Run(value["c"]),)

    def _blocks(self, given: Sequence[Json]) -> Blocks:
        return tuple(chain.from_iterable(map(self._block, given)))

    def _block(self, given: Json) -> Iterator[Block]:
        content: Any = given.get("c")
        match given["t"]:
            case "Para" | "Plain":
                if runs := self._runs(content):
                    yield Paragraph(runs)
            case "LineBlock":
                if runs := tidy(chain.from_iterable((*self._runs(line), Run("\n")) for line in content)):
                    yield Paragraph(runs)
            case "Header":
                if runs := self._runs(content[2]):
                    yield Heading(min(6, max(1, content[0])), runs)
            case "CodeBlock":
                yield Code(content[1])
            case "RawBlock":
                yield Code(content[1])
            case "BlockQuote":
                if blocks := self._blocks(content):
                    yield Quote(blocks)
            case "BulletList":
                yield from self._list(content, None)
            case "OrderedList":
                yield from self._list(content[1], min(max(content[0][0], 0), 10**6))
            case "DefinitionList":
                for term, meanings in content:
                    if runs := self._runs(term):
                        yield Paragraph(runs)
                    for meaning in meanings:
                        yield from self._blocks(meaning)
            case "HorizontalRule":
                yield Rule()
            case "Table":
                yield from self._table(content)
            case "Figure":
                yield from self._blocks(content[2])
                yield from self._blocks(content[1][1])
            case "Div":
                yield from self._blocks(content[1])
            case unknown:
                raise ValueError(f"A tree of pandoc is not supposed to have {unknown}.")

    def _list(self, given: Sequence[Sequence[Json]], start: int | None) -> Iterator[List]:
        items = tuple(filter(None, map(self._blocks, given)))
        tight = not any(block["t"] == "Para" for item in given for block in item)
        if items:
            yield List(items, start, tight)

    def _table(self, content: list[Any]) -> Iterator[Block]:
        _, caption, columns, head, bodies, foot = content
        rows = [row for part in (head[1], *chain.from_iterable((body[2], body[3]) for body in bodies), foot[1])
                for row in part]  # fmt: skip
        made = [[tidy(_joined(_runs_of(self._blocks(cell[4])))) for cell in row[1]] for row in rows]
        width = max([len(columns), *map(len, made)])
        aligns = [_SIDES.get(column[0]["t"], "") for column in columns] + [""] * (width - len(columns))
        yield from self._blocks(caption[1])
        if any(map(any, made)):
            empty = [()] * width
            table = [tuple((row + empty)[:width]) for row in made]
            yield Table(tuple(aligns), tuple(table if head[1] else [tuple(empty), *table]))

    # ------------------------------------------------------------------------------------------------------- words

    def _runs(self, given: Iterable[Json]) -> Runs:
        return tidy(self._inlines(given, frozenset(), ""))

    def _inlines(self, given: Iterable[Json], marks: frozenset[Mark], link: str) -> Iterator[Run]:
        for inline in given:
            content: Any = inline.get("c")
            match inline["t"]:
                case "Str":
                    yield Run(content.replace("\n", " "), marks, link)
                case "Space" | "SoftBreak":
                    yield Run(" ", marks, link)
                case "LineBreak":
                    yield Run("\n")
                case "Emph" | "Strong" | "Strikeout" as kind:
                    yield from self._inlines(content, marks | {_MARKED[kind]}, link)
                case "Underline" | "Superscript" | "Subscript" | "SmallCaps":
                    yield from self._inlines(content, marks, link)
                case "Quoted":
                    left, right = "‘’" if content[0]["t"] == "SingleQuote" else "“”"
                    yield Run(left, marks, link)
                    yield from self._inlines(content[1], marks, link)
                    yield Run(right, marks, link)
                case "Cite" | "Span":
                    yield from self._inlines(content[1], marks, link)
                case "Code" | "Math" | "RawInline":
                    yield Run(content[1].replace("\n", " "), marks | {"code"}, link)
                case "Link":
                    address = content[2][0]
                    yield from self._inlines(content[1], marks, address if allowed(address) else "")
                case "Image":
                    self.found.images += 1
                    if described := self._runs(content[1]):
                        yield from (Run("["), *described, Run("]"))
                case "Note":
                    self.found.notes += 1
                    number = f"[{self.found.notes}]"
                    yield Run(number, marks, link)
                    self._waiting += _numbered(number, self._blocks(content))
                case unknown:
                    raise ValueError(f"A tree of pandoc is not supposed to have {unknown}.")


def _numbered(number: str, blocks: Blocks) -> Blocks:
    match blocks:
        case (Paragraph(runs), *rest):
            return (Paragraph(tidy((Run(f"{number} "), *runs))), *rest)
        case _:
            return (Paragraph((Run(number),)), *blocks)


def _runs_of(blocks: Iterable[Block]) -> Iterator[Runs]:
    """What stands in blocks that have to do without being blocks."""
    for block in blocks:
        match block:
            case Paragraph(runs) | Heading(_, runs):
                yield runs
            case Code(text):
                yield (Run(" ".join(text.split()), frozenset({"code"})),)
            case Quote(inner):
                yield from _runs_of(inner)
            case List(items):
                yield from _runs_of(chain.from_iterable(items))
            case Table(_, rows):
                yield from chain.from_iterable(rows)
            case Rule():
                pass


def _joined(parts: Iterable[Runs]) -> Iterator[Run]:
    """The parts on one line, with a space between."""
    for runs in parts:
        yield Run(" ")
        yield from (Run(" ") if run.text == "\n" else run for run in runs)
