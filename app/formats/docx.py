"""Word files from outside, opened with care.

Pure. What comes out is a new archive with nothing in it but the parts that hold words; unlike that of the file that
came in, its size is what it says it is, and no part of it can grow while it is read.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from xml.parsers.expat import ExpatError, ParserCreate

from app.converting import ConversionError

MAX_SIZE = 64 * 2**20
"""Of the parts that hold words, unpacked. A novel of 100,000 words has 2 to 20 MB."""

MAX_PARTS = 10_000

MAX_DEPTH = 250
"""Of elements in elements: a table in a table in a table takes 40. Readers need time that grows with its square."""

_NAMESPACES = (
    b"http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    b"http://purl.oclc.org/ooxml/wordprocessingml/main",
)


def is_docx(content: bytes) -> bool:
    """Whether it could be one: an archive, or what Word makes of one with a password."""
    return content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"))


def words_only(content: bytes) -> bytes:
    """The file without pictures, fonts and what else holds no words. Raises ConversionError."""
    if not content.startswith(b"PK"):
        raise ConversionError(
            "This Word file has a password or is in the old format .doc; save it in Word as .docx without a password."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = _parts(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError, ExpatError) as error:
        raise ConversionError("This Word file is broken; open it in Word and save it anew.") from error
    if not any(namespace in part for part in parts.values() for namespace in _NAMESPACES):
        raise ConversionError("This is not a Word file; Galley reads Markdown, Word files (.docx) and plain text.")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return made.getvalue()


def _parts(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """A picture is an empty part: it has to be there for its description to be found."""
    entries = archive.infolist()
    if len(entries) > MAX_PARTS:
        raise ConversionError(f"This Word file has {len(entries):,} parts; at most {MAX_PARTS:,} are possible.")
    parts: dict[str, bytes] = {}
    left = MAX_SIZE
    for entry in entries:
        if not entry.filename.endswith((".xml", ".rels")):
            parts[entry.filename] = b""
            continue
        if entry.flag_bits & 1:
            raise ConversionError("This Word file has a password; save it in Word without one.")
        with archive.open(entry) as packed:  # gives no more than was asked for, whatever the archive says of itself
            part = packed.read(left + 1)
        left -= len(part)
        if left < 0:
            size = MAX_SIZE // 2**20
            raise ConversionError(f"This Word file is too large: unpacked it has more than {size} MB of text.")
        _check(part)
        parts[entry.filename] = part
    return parts


def _check(part: bytes) -> None:
    """Raises ConversionError and ExpatError for XML that no Word file has."""
    depth = 0

    def opened(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise ConversionError("This Word file has tables in tables in tables without end; save it anew in Word.")

    def closed(*_: object) -> None:
        nonlocal depth
        depth -= 1

    def defined(*_: object) -> None:
        raise ConversionError("This Word file defines signs of its own, as no Word file does; save it anew in Word.")

    parser = ParserCreate()
    parser.StartElementHandler = opened
    parser.EndElementHandler = closed
    parser.StartDoctypeDeclHandler = defined
    parser.Parse(part, True)
