"""Which part of a section an action is about: what is to be written anew, what stays, and what stands around it.

Pure. Knows nothing of the model, of storage or of the page; places are characters of the section's text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from app.draft import Section
from model.contract import Piece

Kind = Literal["reroll", "fix", "rewrite", "seam", "infill", "alternatives", "pins"]
"""reroll: one block again. fix: its weakest words. rewrite: a selection, at a strength. seam: the words on both sides
of a block's border. infill: something between what stands left and right. alternatives: one word. pins: a selection but
for some words of it."""

KINDS: tuple[Kind, ...] = get_args(Kind)

CANDIDATES: dict[Kind, int] = {
    "reroll": 3, "fix": 2, "rewrite": 3, "seam": 3, "infill": 3, "alternatives": 6, "pins": 3,
}  # fmt: skip
"""How many are offered."""

SEAM_WORDS = 4
"""On either side of a border."""

WEAK_SHARE = 0.3
"""Of a passage's words are taken for weak."""

MOST_WORDS = 250
"""The longest passage that is written anew at once: it has to stay in sight, and in one reading of the model."""

_WORD = re.compile(r"\S+")


class BadPassage(ValueError):
    """There is nothing to do at this place; the message is one sentence for the writer."""


@dataclass(frozen=True, slots=True)
class Passage:
    """text[start:end] is what a take would replace: pieces joined, holes filled. before, after: text around it.

    strength  share of the words of a hole that may change; weakest: the least likely ones, not any.
    quick     it is to take about as long as writing the words, so what follows is only glanced at.
    """

    kind: Kind
    start: int
    end: int
    before: str
    pieces: tuple[Piece, ...]
    after: str
    candidates: int
    strength: float = 1.0
    weakest: bool = False
    quick: bool = False


def passage(
    section: Section,
    kind: Kind,
    start: int,
    end: int,
    *,
    words: int = 0,
    strength: float = 1.0,
    pins: Sequence[tuple[int, int]] = (),
) -> Passage:
    """The passage of an action at text[start:end]; start = end is a cursor.

    words     of an infill.
    strength  0 … 1, of a rewrite.
    pins      places inside start … end that stay.
    Raises BadPassage.
    """
    text = section.text
    if not 0 <= start <= end <= len(text):
        raise BadPassage("This place is not in the text any more; select the passage again.")
    match kind:
        case "infill":
            return _infill(text, start, end, words)
        case "seam":
            start, end = _seam(section, start)
        case "reroll" | "fix" if start == end or kind == "reroll":
            start, end = _block(section, start)
    start, end = _whole_words(text, start, end)
    if not text[start:end].strip():
        raise BadPassage("There are no words at this place; put the cursor into a word or select some.")
    if len(_WORD.findall(text, start, end)) > MOST_WORDS:
        raise BadPassage(f"This is too much at once; select at most {MOST_WORDS} words.")
    if kind == "alternatives" and len(_WORD.findall(text, start, end)) > 1:
        raise BadPassage("Alternatives are for one word; select a single one, or rewrite the passage.")
    pieces = _around_pins(text, start, end, pins) if kind == "pins" else (Piece(None, was=text[start:end]),)
    weakest = kind == "fix"
    return Passage(
        kind=kind,
        start=start,
        end=end,
        before=text[:start],
        pieces=pieces,
        after=text[end:],
        candidates=CANDIDATES[kind],
        strength=WEAK_SHARE if weakest else strength,
        weakest=weakest,
        quick=kind == "reroll",
    )


def _block(section: Section, place: int) -> tuple[int, int]:
    """The model's block at a place; at a border the one that begins there, at the end of the text the last one."""
    start = 0
    last: tuple[int, int] | None = None
    for block in section.blocks:
        end = start + len(block.text)
        if block.author != "writer":
            last = start, end
        if start <= place < end or (place == end and end == len(section.text)):
            if block.author == "writer":
                raise BadPassage("These words are your own; select them and rewrite them, if you like.")
            return start, end
        start = end
    if last is None:
        raise BadPassage("The model has written nothing here yet.")
    return last


def _seam(section: Section, place: int) -> tuple[int, int]:
    """So many words on both sides of the block border next to a place."""
    borders, start = [], 0
    for block in section.blocks[:-1]:
        start += len(block.text)
        borders.append(start)
    if not borders:
        raise BadPassage("There is no seam here: the text is of one piece.")
    border = min(borders, key=lambda border: abs(border - place))
    left = [match.start() for match in _WORD.finditer(section.text[:border])]
    right = [border + match.end() for match in _WORD.finditer(section.text[border:])]
    return (
        left[-SEAM_WORDS:][0] if left else 0,
        right[:SEAM_WORDS][-1] if right else len(section.text),
    )


def _whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Grown to the borders of words, less white space at its ends. A cursor takes the word it stands in or behind."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while start > 0 and not text[start - 1].isspace():
        start -= 1
    while end < len(text) and not text[end].isspace():
        end += 1
    return start, end


def _around_pins(text: str, start: int, end: int, pins: Sequence[tuple[int, int]]) -> tuple[Piece, ...]:
    """Pins stay with the white space around them; what lies between is to be written."""
    pieces: list[Piece] = []
    at = start
    for pin_start, pin_end in sorted(pins):
        if not start <= pin_start <= pin_end <= end:
            raise BadPassage("A word to keep lies outside of the passage; select the passage again.")
        first, last = _whole_words(text, pin_start, pin_end)
        if first >= last or first < at:
            continue
        gap = text[at:first]
        if gap.strip():
            body = gap.rstrip()
            pieces += [Piece(None, was=body), Piece(gap[len(body) :] + text[first:last])]
        else:
            pieces.append(Piece(gap + text[first:last]))
        at = last
    if text[at:end].strip():
        pieces.append(Piece(None, was=text[at:end]))
    if not any(piece.text is None for piece in pieces):
        raise BadPassage("All words of this passage are to be kept; leave some to be written.")
    return tuple(pieces)


def _infill(text: str, start: int, end: int, words: int) -> Passage:
    """Between two paragraphs a paragraph, inside of one a sentence or more."""
    if text[start:end].strip():
        raise BadPassage("To fill in, put the cursor between two words or paragraphs; a selection can be rewritten.")
    if not 1 <= words <= MOST_WORDS:
        raise BadPassage(f"{words} words cannot be filled in; choose 1 to {MOST_WORDS}.")
    left, right = text[:start].rstrip(), text[end:].lstrip()
    if not left and not right:
        raise BadPassage("There is nothing around this place to go by; write the section instead.")
    between = text[len(left) : len(text) - len(right)]
    border = "\n\n" if "\n" in between else " "
    pieces = [Piece(border)] if left else []
    pieces.append(Piece(None, words=words))
    if right:
        pieces.append(Piece(border))
    return Passage("infill", len(left), len(text) - len(right), left, tuple(pieces), right, CANDIDATES["infill"])
