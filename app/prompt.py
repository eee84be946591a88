"""What the model reads before it writes a section, within a budget of tokens, and what had to be left out.

A model that takes instructions reads a task; one that only continues text reads the document up to where it goes on.
Pure. Knows nothing of tokens but how to count them, nothing of the chat format and nothing of storage. Titles and
briefs are plain text; nothing in them is taken as markup or as an instruction to the desk.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app.draft import Block, Document, Section, count_words
from model import asking

SYSTEM = "You are a helpful writing assistant."

CHAT_TOKENS = 24
"""Room for the marks that the chat format puts around system, user and answer (SmolLM2 needs 15)."""

CONTEXT_WORDS = 120
"""How much of the section before is read, in words: more distracts a small model more than it helps."""

WHOLE_WORDS = 180
"""A section of no more words is asked for as a whole, whatever the model."""

PARAGRAPH_WORDS = 120
"""What is asked for where a longer one is asked for part by part."""

LEAST_SO_FAR = 64
"""Of a section that is to be continued, at least this many tokens are read, or the brief is too long."""

OUTLINE_SECTIONS = 6
"""Of so many sections, those before the one before, an outline is read."""

SUMMARY_WORDS = 14
"""Of a section in the outline, beside its title."""

CHARACTERS = 16
"""Of a text that is to be continued no more than this times the tokens of the budget are looked at."""

_SENTENCE_START = re.compile(r"(?<=[.!?…。！？])[\"'”’»)\]]*\s+|\n+")
_WORD_START = re.compile(r"\s+")
_EMPTY_LINE = re.compile(r"\n[^\S\n]*\n\s*")


class PromptError(Exception):
    """The section cannot be asked for like this; the message is one sentence for the writer."""


class EmptyBrief(PromptError):
    """Neither a title nor a brief says what to write."""


class BriefTooLong(PromptError):
    """Titles and brief alone do not fit what the model can read."""


class NothingToContinue(PromptError):
    """A model that only continues text is to begin on an empty page."""


Origin = Literal["desk", "style", "own style", "earlier", "before", "task", "text"]
"""desk: what the desk says to every model. style: the document's style sheet; own style: the section's. earlier: the
outline of the sections up to the one before. before: the end of the section before. task: titles, brief and length.
text: the section's own."""


@dataclass(frozen=True, slots=True)
class Part:
    """One stretch of what the model reads. tokens: of it alone; they need not add up to those of the whole."""

    origin: Origin
    title: str
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model reads.

    so_far    the section's text, or its end: the beginning of the model's answer.
    left_out  one sentence for each thing that is not read although it stands before.
    tokens    of all of it, room for the marks of the chat format included.
    parts     all of it again, by origin, in the order in which it is read.
    """

    system: str
    user: str
    so_far: str
    left_out: tuple[str, ...]
    tokens: int
    parts: tuple[Part, ...]


def read_for(
    document: Document,
    section: Section,
    *,
    count: Callable[[str], int],
    budget: int,
    words: int | None = None,
    part: int = 0,
) -> Reading:
    """What the model reads to write `section`: outline of what went before, the end of the section before, the task
    with the document's style sheet and the section's, and the section's own text.

    count   tokens of a text.
    budget  tokens that may be read: the model's context less what is to be written.
    words   length of the whole section that is asked for; None: its target.
    part    a long section is asked for part by part, each of about so many words: its earlier parts are read like a
            section before, so that the model begins an answer of a length it is good at. 0: as a whole.
    Raises EmptyBrief, BriefTooLong.

    Where not all of it fits, the outline gives way first, then the section before, then the beginning of the section's
    own text.
    """
    if not section.title.strip() and not section.brief.strip():
        raise EmptyBrief("This section has neither a title nor a brief; write in one of them what it is to be about.")
    words = section.target_words if words is None else words
    shared, own = document.style.strip(), section.style.strip()
    part = part_for(words, part)
    start = beginning_of_part(section.text, part)
    earlier, text = section.text[:start].strip(), section.text[start:]
    asked = min(words - count_words(earlier), PARAGRAPH_WORDS) if part else words
    names = document.title.strip(), section.title.strip(), section.brief.strip()
    # The section's stands last: what is said later counts where the two differ.
    task = asking.task(*names, asked, "\n".join(style for style in (shared, own) if style))
    room = budget - CHAT_TOKENS - count(SYSTEM)
    missing = count(task) + min(count(text), LEAST_SO_FAR) - room
    if missing > 0:
        what = f"The brief of {_called(section)}"
        read_with_it = [name for name, style in (("the style sheet", shared), ("its own style", own)) if style]
        if read_with_it:
            what += f", with {' and '.join(read_with_it)},"
        raise BriefTooLong(f"{what} is about {missing} tokens longer than the model can read; shorten it.")
    so_far = end_that_fits(text, count, room - count(task))
    before = [other for other in _before(document, section) if other.text.strip()]
    if earlier:
        before.append(replace(section, blocks=(Block(earlier, "writer"),)))
    ending = outline = ""
    left_out = []
    if before:
        ending = end_that_fits(before[-1].text.strip(), count_words, CONTEXT_WORDS)
        ending = end_that_fits(ending, lambda text: count(_message("", text, task)), room - count(so_far))
        if ending:
            outline = _outline(before[:-1], lambda text: count(_message(text, ending, task)) <= room - count(so_far))
        left_out = _left_out(before, ending, outline)
    user = _message(outline, ending, task)
    if so_far != text:
        left_out.append(f"The beginning of {_called(section)} does not fit and is left out.")
    parts = _parts(
        ("desk", "What every model is told", SYSTEM),
        ("earlier", "Outline of the earlier sections", outline),
        ("before", f"End of {_called(before[-1])}" if before else "", ending),
        ("task", "Titles, brief and length", asking.task(*names, asked)),
        ("style", "Style sheet", shared),
        ("own style", "Style of this section", own),
        ("text", "This section so far", so_far),
        count=count,
    )
    tokens = CHAT_TOKENS + count(SYSTEM) + count(user) + count(so_far)
    return Reading(SYSTEM, user, so_far, tuple(left_out), tokens, parts)


def part_for(words: int, part: int) -> int:
    """Words of a part of a section of so many words; 0 where it is asked for as a whole."""
    return part if words > WHOLE_WORDS else 0


def beginning_of_part(text: str, part: int) -> int:
    """Where in a text the part begins that is being written: behind the last empty line that has so many words before
    it, up to the one before. The same text always has the same parts, whoever wrote it."""
    start = 0
    if part:
        for line in _EMPTY_LINE.finditer(text):
            if count_words(text[start : line.start()]) >= part:
                start = line.end()
    return start


def read_on(document: Document, section: Section, *, count: Callable[[str], int], budget: int) -> Reading:
    """What a model reads that only continues text: the end of the document as it stands, up to the end of `section`.

    Its titles stand there as lines of their own, without any mark; a brief or a style sheet is no text of the document
    and is not read. count, budget: as in `read_for`. Raises NothingToContinue.
    """
    so_far = end_that_fits(section.text[-CHARACTERS * budget :], count, budget)
    lines = [document.title, *(part for other in _before(document, section) for part in (other.title, other.text))]
    before = "".join(f"{line.strip()}\n\n" for line in [*lines, section.title] if line.strip())
    if not before and not section.text.strip():
        raise NothingToContinue("This model continues text, and there is none yet; write the opening words or a title.")
    read = ""
    if so_far == section.text:
        read = end_that_fits(before[-CHARACTERS * budget :], count, budget - count(so_far))
    left_out = () if read == before and so_far == section.text else ("Only the end of what stands before is read.",)
    parts = _parts(("before", "The document up to here", read), ("text", "This section so far", so_far), count=count)
    return Reading("", read, so_far, left_out, 1 + count(read) + count(so_far), parts)


def _parts(*read: tuple[Origin, str, str], count: Callable[[str], int]) -> tuple[Part, ...]:
    return tuple(Part(origin, title, text, count(text)) for origin, title, text in read if text.strip())


def end_that_fits(text: str, size: Callable[[str], int], room: int) -> str:
    """The longest end of `text` that starts with a sentence and whose size is at most `room`.

    Where not even the last sentence fits it starts with a word, and where no word fits with any character.
    """
    if size(text) <= room:
        return text
    for borders in (_SENTENCE_START, _WORD_START):
        starts = [match.end() for match in borders.finditer(text)]
        end = _first_that_fits(text, starts, size, room)
        if end.strip():
            return end
    return _first_that_fits(text, range(len(text)), size, room)


def _first_that_fits(text: str, starts: Sequence[int], size: Callable[[str], int], room: int) -> str:
    """`text` from the first of the rising `starts` from which it fits; empty where it never does."""
    found = bisect_left(starts, True, key=lambda start: size(text[start:]) <= room)
    # A tokenizer may need a token more for a little less text, so the halving is checked at its end.
    for start in starts[found:]:
        if size(text[start:]) <= room:
            return text[start:]
    return ""


def _message(outline: str, ending: str, task: str) -> str:
    earlier = f"This comes first:\n\n{outline}" if outline else ""
    before = f"This was written before:\n\n{ending}" if ending else ""
    return "\n\n".join(part for part in (earlier, before, task) if part)


def _outline(sections: Sequence[Section], fits: Callable[[str], bool]) -> str:
    """A line for each of the last sections of which nothing else is read: its title and its first words."""
    lines: list[str] = []
    for section in reversed(sections[-OUTLINE_SECTIONS:]):
        longer = [f"- {summary(section)}", *lines]
        if not fits("\n".join(longer)):
            break
        lines = longer
    return "\n".join(lines)


def summary(section: Section) -> str:
    """A section in one line: its title, and its first sentence, cut where it is long. Made of its own words only."""
    first = _SENTENCE_START.split(section.text.strip(), maxsplit=1)[0].split()
    said = " ".join(first[:SUMMARY_WORDS]) + (" …" if len(first) > SUMMARY_WORDS else "")
    return f"{section.title.strip()}: {said}" if section.title.strip() else said


def _before(document: Document, section: Section) -> tuple[Section, ...]:
    ids = [other.id for other in document.sections]
    return document.sections[: ids.index(section.id)] if section.id in ids else ()


def _left_out(before: Sequence[Section], ending: str, outline: str) -> list[str]:
    """Sentences about the sections before; `ending` is what is read of the last of them, `outline` of the others."""
    last = before[-1]
    if not ending:
        if len(before) == 1:
            return [f"{_called(last, start=True)} does not fit and is left out."]
        return [f"The sections up to {_called(last)} do not fit and are left out."]
    sentences = []
    if ending != last.text.strip():
        sentences.append(f"Of {_called(last)} only the end is read.")
    if len(before) > 1:
        lines = outline.count("\n") + 1 if outline else 0
        if lines == len(before) - 1:
            sentences.append(f"Of what stands before {_called(last)} only an outline is read.")
        elif lines:
            sentences.append(
                f"Of what stands before {_called(last)} only an outline of the last "
                f"{'section' if lines == 1 else f'{lines} sections'} is read."
            )
        else:
            sentences.append(f"What stands before {_called(last)} is left out.")
    return sentences


def _called(section: Section, *, start: bool = False) -> str:
    title = section.title.strip()
    if not title:
        return f"{'The' if start else 'the'} untitled section"
    return f"“{title if len(title) <= 60 else title[:59].rstrip() + '…'}”"
