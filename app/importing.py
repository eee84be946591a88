"""Files of other programs as titles and texts of sections: Markdown, Word files, plain text.

Knows nothing of storage or the page. Every word of the file is in the result, once and in its order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from app.converting import ConversionError, run_pandoc
from app.draft import count_words, one_line
from app.formats.docx import is_docx, words_only
from app.formats.markdown import lowered, markdown
from app.formats.pandoc_tree import from_tree
from app.formats.reading import Block, Heading, Paragraph, Run, headings, plain, simple_breaks

MAX_CHARACTERS = 6_000_000
MAX_SECTIONS = 1_000
MAX_TITLE = 500

LEAST_TARGET = 150

_FRONT_MATTER = re.compile(r"---\n(?:[\w-]+:.*\n|[ \t#-].*\n)+(?:---|\.\.\.)(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class Part:
    """What becomes a section."""

    title: str
    text: str

    @property
    def target_words(self) -> int:
        return max(LEAST_TARGET, -(-count_words(self.text) // 10) * 10)


@dataclass(frozen=True, slots=True)
class Imported:
    """What becomes a document, with at least one part. notes: what the writer should know of it, in sentences."""

    title: str
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()


def import_file(name: str, content: bytes) -> Imported:
    """The file's headings of the top level become parts; a single first heading before all else is the title.

    What stands before the first of these headings is a part without a title; lower headings stay in the texts.
    name: the title where the file has none. Raises ConversionError.
    """
    found = _from_docx(content) if is_docx(content) else _from_text(content)
    if len(found.parts) > MAX_SECTIONS:
        raise ConversionError(
            f"This file would have {len(found.parts):,} sections; at most {MAX_SECTIONS:,} are possible."
        )
    title, rest = _short(found.title)
    parts = [Part("", rest)] if rest else []
    for part in found.parts:
        called, rest = _short(part.title)
        parts.append(Part(called, f"{rest}\n\n{part.text}".strip("\n") if rest else part.text))
    return replace(found, title=title or _stem(name), parts=tuple(parts) or (Part("", ""),))


def _from_text(content: bytes) -> Imported:
    text, notes = decode(content)
    if len(text) > MAX_CHARACTERS:
        raise ConversionError(f"This file has {len(text):,} characters; at most {MAX_CHARACTERS:,} are possible.")
    return replace(from_markdown(text), notes=notes)


def decode(content: bytes) -> tuple[str, tuple[str, ...]]:
    """The text with simple line breaks, and what had to be guessed. Raises ConversionError."""
    coding = "utf-8"
    notes: tuple[str, ...] = ()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        coding = "utf-16"
    elif b"\0" in content or content.startswith((b"%PDF-", b"{\\rtf")):
        raise ConversionError("This is not a text; Galley reads Markdown, Word files (.docx) and plain text.")
    try:
        text = content.decode(coding)
    except UnicodeDecodeError as error:
        if coding == "utf-16":
            raise ConversionError("This text is broken: it begins as UTF-16 and is none; save it as UTF-8.") from error
        text = content.decode("cp1252", "replace")
        notes = (
            "The file is not UTF-8, so it was read as Windows text (cp1252); look at its accents and quotation marks.",
        )
    return simple_breaks(text.removeprefix("\ufeff")), notes


def from_markdown(text: str) -> Imported:
    """The Markdown text, cut at its headings. Texts stay as they are typed but for the level of their headings."""
    first = []
    if matter := _FRONT_MATTER.match(text):
        # As Markdown it would be a rule and a heading. In a fence it is what it was.
        first = [f"```\n{matter[0].strip()}\n```"]
        text = text[matter.end() :]
    lines = text.split("\n")
    found = headings(text)
    leads = bool(found) and not any(line.strip() for line in lines[: found[0].first])
    titled, level = outline([heading.level for heading in found], leads=leads)
    start, title = (found[0].end, found[0].title) if titled else (0, "")
    cuts = [heading for heading in found[titled:] if heading.level == level]
    ends = [heading.first for heading in cuts] + [len(lines)]
    stretches = [("", start, ends[0])] + [(cut.title, cut.end, end) for cut, end in zip(cuts, ends[1:], strict=True)]
    parts = []
    for number, (called, begin, end) in enumerate(stretches):
        text = "\n".join(lines[begin:end]).strip("\n")
        whole = "\n\n".join([*first, text] if text else first) if number == 0 else text
        if whole or number:
            parts.append(Part(called, lowered(whole, 2 - level) if level else whole))
    return Imported(title, tuple(parts))


def _from_docx(content: bytes) -> Imported:
    try:
        found = from_tree(json.loads(run_pandoc(["--from=docx", "--to=json"], words_only(content))))
    except (ValueError, RecursionError) as error:
        raise ConversionError("This Word file holds something that cannot be read; save it anew in Word.") from error
    tops = [block for block in found.blocks if isinstance(block, Heading)]
    leads = bool(tops) and found.blocks[0] is tops[0]
    titled, level = outline([block.level for block in tops], leads=leads and not found.title)
    parts: list[tuple[str, list[Block]]] = [("", [])]
    for block in found.blocks[titled:]:
        if isinstance(block, Heading) and block.level == level:
            parts.append((_title(block), []))
        elif isinstance(block, Heading):
            parts[-1][1].append(Heading(min(6, block.level + 2 - level), block.runs))
        else:
            parts[-1][1].append(block)
    notes = []
    if found.notes:
        notes.append("Footnotes stand at the ends of their sections, with their numbers in brackets.")
    if found.images:
        notes.append("Pictures were left out; where one had a description, it stands in brackets.")
    made = [Part(title, markdown(blocks)) for number, (title, blocks) in enumerate(parts) if blocks or number]
    if sum(len(part.text) for part in made) > MAX_CHARACTERS:
        raise ConversionError(f"This Word file has more than {MAX_CHARACTERS:,} characters, which are too many.")
    return Imported(found.title or (_title(tops[0]) if titled else ""), tuple(made), tuple(notes))


def outline(levels: Sequence[int], *, leads: bool) -> tuple[bool, int]:
    """Whether the first heading is the document's title, and which level begins a section (0: none does).

    leads: whether the first heading stands before all else.
    """
    titled = leads and levels[0] == 1 and levels.count(1) == 1
    return titled, min(levels[titled:], default=0)


def _title(heading: Heading) -> str:
    return one_line(plain(heading.runs))


def _short(title: str) -> tuple[str, str]:
    """A title that is too long goes on as text: (title, text)."""
    if len(title) <= MAX_TITLE:
        return title, ""
    cut = title.rfind(" ", 0, MAX_TITLE + 1)
    cut = cut if cut > 0 else MAX_TITLE
    return title[:cut], markdown([Paragraph((Run(title[cut:].strip()),))])


def _stem(name: str) -> str:
    return one_line(PurePosixPath(name.replace("\\", "/")).stem)[:MAX_TITLE]
