"""Documents as files for other programs, and a file name that every system takes.

Knows nothing of storage or the page. Every word of the document is in the file and is read there as app.render reads
it; whatever a text says, it is text in there.
"""

from __future__ import annotations

import io
import json
import re
import unicodedata
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from app.converting import run_pandoc, run_typst
from app.draft import Block as Stretch
from app.draft import Document, Section, one_line, storable
from app.formats.markdown import heading, lowered
from app.formats.pandoc_tree import tree
from app.formats.plain_text import plain_text
from app.formats.reading import Block, Heading, Run, headings, read, simple_breaks, writable
from app.formats.typst_source import source
from app.render import document_html, parse

MAX_NAME_BYTES = 120
"""Of a file name without its ending, in UTF-8: well under the 255 bytes that file systems take."""

UNTITLED = "Untitled"

STYLE = Path(__file__).resolve().parent.parent / "assets" / "export.css"

NO_SCRIPTS = "default-src 'none'; style-src 'unsafe-inline'"

_NEVER = b"1970-01-01T00:00:00Z"
"""When everything is made that pandoc makes in its sandbox."""

_MARKS_FIRST = re.compile(r"\A(?:\s*\ufeff)+\s*")
_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class File:
    """A document for another program. note: what the writer should know of it, a sentence, or empty."""

    name: str
    media_type: str
    content: bytes
    note: str = ""


@dataclass(frozen=True, slots=True)
class Format:
    """make: (content, note)."""

    media_type: str
    make: Callable[[Document], tuple[bytes, str]]


def export(document: Document, ending: str) -> File:
    """The document in the format with that ending: one of FORMATS. Raises ConversionError."""
    known = FORMATS[ending]
    content, note = known.make(document)
    return File(file_name(document.title, f".{ending}"), known.media_type, content, note)


def section_alone(document: Document, section_id: int) -> Document | None:
    """A document of that section alone, with its title; None where the document has no such section."""
    for section in document.sections:
        if section.id == section_id:
            title = section.title if one_line(section.title) else document.title
            return replace(document, title=title, sections=(replace(section, title=""),))
    return None


# ---------------------------------------------------------------------------------------------------------- formats


def to_markdown(document: Document) -> str:
    """The document as Markdown: its title as first heading, section titles as second ones, texts as they are.

    What has no title has no heading. Titles are words: a sign of Markdown in them gets a backslash. Nothing in a text
    reaches beyond it: its headings lie below its title, and a stretch of code that it leaves open ends with it. Ends
    with one line break; empty where nothing has been written.
    """
    parts = []
    if title := one_line(document.title):
        parts.append(heading(1, title))
    for section in _settled(document).sections:
        if title := one_line(section.title):
            parts.append(heading(2, title))
        if text := section.text.strip("\n"):
            parts.append(_closed(text))
    return "\n\n".join(parts) + "\n" if parts else ""


def to_html(document: Document) -> str:
    """One file that asks for no other; light or dark as the reader's system is."""
    title = one_line(document.title)
    return (
        '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{NO_SCRIPTS}">\n'
        f"<title>{escape(title or UNTITLED)}</title>\n"
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n"
        f"<body>\n<main>\n{document_html(_settled(document))}</main>\n</body>\n</html>\n"
    )


def to_text(document: Document) -> str:
    """As it is read, without Markdown's signs. Ends with one line break; empty where nothing has been written.

    A zero-width no-break space does not stand first: at the beginning of a file it is a mark of its coding.
    """
    title = writable(one_line(document.title))
    text = plain_text([Heading(1, (Run(title),)), *_blocks(document)] if title else _blocks(document))
    text = _MARKS_FIRST.sub("", text)
    return text + "\n" if text else ""


def _text_file(make: Callable[[Document], str]) -> Callable[[Document], tuple[bytes, str]]:
    return lambda document: (storable(make(document)).encode(), "")


def _word_file(document: Document) -> tuple[bytes, str]:
    made = tree(writable(one_line(document.title)), _blocks(document))
    return _dated(run_pandoc(["--from=json", "--to=docx"], _json(made)), document), ""


def _book(document: Document) -> tuple[bytes, str]:
    facts = {"identifier": f"urn:uuid:{_identity(document)}", "lang": "und"}
    blocks = list(_blocks(document))
    made = tree(writable(one_line(document.title)) or UNTITLED, blocks, facts)
    arguments = ["--from=json", "--to=epub3", "--toc", "--toc-depth=1", "--split-level=1"]
    # Over a text without a heading pandoc sets the book's title, which is not to be there twice.
    headed = bool(blocks) and isinstance(blocks[0], Heading) and blocks[0].level == 1
    return _dated(run_pandoc([*arguments, f"--epub-title-page={str(headed).lower()}"], _json(made)), document), ""


def _pdf(document: Document) -> tuple[bytes, str]:
    pdf, missing = run_typst(source(writable(one_line(document.title)), _blocks(document)))
    seen = [character for character in missing if unicodedata.category(character) not in ("Cf", "Mn", "Zs")]
    return pdf, _lacking(seen) if seen else ""


FORMATS = {
    "md": Format("text/markdown; charset=utf-8", _text_file(to_markdown)),
    "html": Format("text/html; charset=utf-8", _text_file(to_html)),
    "docx": Format("application/vnd.openxmlformats-officedocument.wordprocessingml.document", _word_file),
    "epub": Format("application/epub+zip", _book),
    "pdf": Format("application/pdf", _pdf),
    "txt": Format("text/plain; charset=utf-8", _text_file(to_text)),
}
"""By the ending of their files' names."""


# ------------------------------------------------------------------------------------------------------------- parts


def _settled(document: Document) -> Document:
    """The headings inside its texts lie below the document's title and those of sections, where there are such."""
    titles = [one_line(section.title) for section in document.sections]
    highest = 3 if any(titles) else 2 if one_line(document.title) else 1

    def settled(section: Section) -> Section:
        text = simple_breaks(section.text)
        by = max(0, highest - min([place.level for place in headings(text)], default=highest))
        return replace(section, blocks=(Stretch(lowered(text, by), "writer"),)) if by else section

    return replace(document, sections=tuple(map(settled, document.sections)))


def _blocks(document: Document) -> Iterator[Block]:
    """The document but for its title: section titles are first headings, those inside a text lie below them."""
    below = 1 if one_line(document.title) or any(one_line(section.title) for section in document.sections) else 0
    for section in _settled(document).sections:
        if title := writable(one_line(section.title)):
            yield Heading(1, (Run(title),))
        for block in read(section.text):
            yield Heading(max(1, block.level - below), block.runs) if isinstance(block, Heading) else block


def _closed(text: str) -> str:
    """The text, whose last stretch of code ends with it: what follows is not to become a part of that."""
    if "```" not in text and "~~~" not in text:
        return text
    tokens = parse(f"{text}\n\n# x")
    if tokens is None or tokens[-1].type != "fence":
        return text
    return f"{text}\n{tokens[-1].markup}"


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _identity(document: Document) -> uuid.UUID:
    """The same for every export of this document, so that a reader's program knows the newer edition for one."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"galley:{document.id}:{document.created}")


def _dated(archive: bytes, document: Document) -> bytes:
    """The archive with the document's last change in place of the sandbox's date."""
    when = datetime.fromisoformat(document.updated) if document.updated else datetime.now(UTC)
    date = f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}".encode()
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename in ("EPUB/content.opf", "docProps/core.xml"):
                content = content.replace(_NEVER, date)
            new.writestr(entry, content)
    return made.getvalue()


def _lacking(characters: list[str]) -> str:
    shown = " ".join(characters[:12])
    more = f" and {len(characters) - 12} more" if len(characters) > 12 else ""
    return (
        f"No font on this machine has these characters, which are empty boxes in the PDF: {shown}{more}; "
        "install a font for them, or take another format."
    )


# -------------------------------------------------------------------------------------------------------------- name


def file_name(title: str, ending: str = ".md") -> str:
    """A file name for a document of that title: safe on Windows, macOS and Linux, without a path, never empty."""
    text = "".join(" " if _invisible(character) else character for character in unicodedata.normalize("NFC", title))
    name = " ".join(_FORBIDDEN.sub(" ", text).split())
    name = name.encode("utf-8", "ignore")[:MAX_NAME_BYTES].decode("utf-8", "ignore")
    # Windows drops dots and spaces at the end; a dot in front hides the file; a hyphen there reads as an option.
    name = name.strip(". ").lstrip("-~. ")
    if not name:
        name = UNTITLED
    if _RESERVED.fullmatch(name):
        name = f"{name} (document)" if "." not in name else f"Document {name}"
    return name + ending


def _invisible(character: str) -> bool:
    """Control, surrogate, private and unassigned characters, and marks that change the direction of the line."""
    category = unicodedata.category(character)
    return category in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp") or (category == "Cf" and character not in "\u200c\u200d")
