"""The process that sets a PDF: source of typst in at stdin, PDF out at stdout.

Knows nothing of the desk. A process of its own, because it has to be stopped when it takes too long. The last line of
stderr is a JSON list of the characters for which no font was found; in the PDF each of them is an empty box.
"""

from __future__ import annotations

import json
import re
import sys

import typst

ARCHIVE: typst.PDFStandard = "a-2b"
"""PDF/A: the standard that wants a glyph for every character, and so finds those that have none."""

_MISSING = re.compile(r'error: the text `"(.+?)"` could not be displayed')
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-f]+)\}|(.))")


def set_pdf(source: bytes, root: str, *, system_fonts: bool = True) -> tuple[bytes, list[str]]:
    """The PDF, and the characters without a glyph. root: a folder with nothing in it."""
    compiler = typst.Compiler(root=root, ignore_system_fonts=not system_fonts)
    try:
        return _pdf(compiler, source, [ARCHIVE]), []
    except typst.TypstError as error:
        missing = _MISSING.findall(error.diagnostic)
        if not missing:
            raise
    return _pdf(compiler, source, []), sorted({_character(text) for text in missing})


def _pdf(compiler: typst.Compiler, source: bytes, standards: list[typst.PDFStandard]) -> bytes:
    made = compiler.compile(source, format="pdf", pdf_standards=standards)
    assert isinstance(made, bytes)
    return made


def _character(text: str) -> str:
    """Out of the quoted form in which Rust shows text."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2], text)


if __name__ == "__main__":
    pdf, missing = set_pdf(sys.stdin.buffer.read(), sys.argv[1], system_fonts="--own-fonts" not in sys.argv)
    print(json.dumps(missing), file=sys.stderr)
    sys.stdout.buffer.write(pdf)
