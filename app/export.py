"""Documents as files for other programs: Markdown, and a file name that every system takes.

Pure. Knows nothing of storage or the page. Every word of the document is in the file.
"""

from __future__ import annotations

import re
import unicodedata

from app.draft import Document, one_line

MAX_NAME_BYTES = 120
"""Of a file name without its ending, in UTF-8: well under the 255 bytes that file systems take."""

_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)


def to_markdown(document: Document) -> str:
    """The document as Markdown: its title as first heading, section titles as second ones, texts as they are.

    What has no title has no heading. Ends with one line break; empty where nothing has been written.
    """
    parts = []
    if title := one_line(document.title):
        parts.append(f"# {title}")
    for section in document.sections:
        if title := one_line(section.title):
            parts.append(f"## {title}")
        if text := section.text.strip("\n"):
            parts.append(text)
    return "\n\n".join(parts) + "\n" if parts else ""


def file_name(title: str, ending: str = ".md") -> str:
    """A file name for a document of that title: safe on Windows, macOS and Linux, without a path, never empty."""
    text = "".join(" " if _invisible(character) else character for character in unicodedata.normalize("NFC", title))
    name = " ".join(_FORBIDDEN.sub(" ", text).split())
    name = name.encode("utf-8", "ignore")[:MAX_NAME_BYTES].decode("utf-8", "ignore")
    # Windows drops dots and spaces at the end; a dot in front hides the file; a hyphen there reads as an option.
    name = name.strip(". ").lstrip("-~. ")
    if not name:
        name = "Untitled"
    if _RESERVED.fullmatch(name):
        name = f"{name} (document)" if "." not in name else f"Document {name}"
    return name + ending


def _invisible(character: str) -> bool:
    """Control, surrogate, private and unassigned characters, and marks that change the direction of the line."""
    category = unicodedata.category(character)
    return category in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp") or (category == "Cf" and character not in "\u200c\u200d")
