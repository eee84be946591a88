"""How a small model is asked for what a brief says: what is a kind of text as one, anything else as a subject.

Pure, standard library only. The desk asks like this, and so does the text that adapters are trained on.
"""

from __future__ import annotations

import re

FORMS = (
    "letter", "e-?mail", "postcard", "message", "note", "invitation", "speech", "toast", "eulogy", "sermon", "lecture",
    "talk", "story", "tale", "fable", "novel", "chapter", "scene", "dialogue", "monologue", "poem", "play", "script",
    "sketch", "diary", "entry", "memoir", "essay", "article", "column", "post", "review", "report", "summary",
    "newsletter", "release", "interview", "profile", "portrait", "description", "introduction", "conclusion",
    "overview", "guide", "manual", "handout", "recipe", "checklist", "list", "glossary", "instructions?", "label",
    "advertisement", "advert", "application", "proposal", "plan", "obituary", "apology", "announcement",
)  # fmt: skip
"""Kinds of text that a brief may name, as regular expressions."""

_FORM = re.compile(
    rf"(?:an?|the|one|another|my|our)\s+(?:[\w’'-]+\s+){{0,2}}?(?:{'|'.join(FORMS)})"
    r"(?=\s*[.,:;]|\s*$|\s+(?:to|of|for|from|about|on|by|in|at|with|that|which|where|written|as|between)\b)",
    re.IGNORECASE,
)
"""A kind of text with its article, and what it is about behind it: not "a letter arrives"."""

_ORDER = re.compile(r"(?:write|tell|describe|explain|introduce|summari[sz]e|list|compare|give|make)\b", re.IGNORECASE)


def wish(brief: str) -> str:
    """The brief as a wish.

    Of 36 texts to briefs such as "A letter to a friend", 28 were such a letter where it was asked for with "Write a
    letter", and 8 behind "Write about this", where others told of a letter.
    """
    if _ORDER.match(brief):
        return brief
    if _FORM.match(brief):
        return f"Write {brief[0].lower()}{brief[1:]}"
    return f"Write about this: {brief}"


LENGTHS = ((60, "a few sentences"), (130, "one paragraph"), (260, "two or three paragraphs"))
"""How a length is told to the model: below so many words, in these."""


def task(title: str, part: str, brief: str, words: int, style: str = "") -> str:
    """What is asked for: `part` of a text called `title`; each may be empty, but not both part and brief.

    The titles as a heading, then the wish. Without the words section, document and title: a small model that reads them
    writes about a section.
    """
    heading, asked = ": ".join(name for name in (title, part) if name), wish(brief)
    if not brief:
        heading, asked = "", f'Write about "{part}"' + (f' for a text called "{title}".' if title else ".")
    keep_to = f"Keep to this style: {style}" if style else ""
    wanted = "\n".join(line for line in (asked, keep_to, length(words)) if line)
    return f"{heading}\n\n{wanted}" if heading else wanted


def length(words: int) -> str:
    """In paragraphs: a small model takes a number for something to write about. The words are counted by the engine."""
    return f"Write {next((told for below, told in LENGTHS if words < below), 'several paragraphs')}."
