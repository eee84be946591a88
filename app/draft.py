"""What a writer has: documents, sections and blocks as frozen values, and the pure edits on them.

Knows nothing of storage, of the model or of the page. A section's text is the concatenation of its blocks; each block
remembers who wrote it, so that an edit in the middle of a long section leaves the origin of all other words alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from model.contract import Dial
from model.contract import count_words as count_words  # one counter on both sides of the border

Author = Literal["writer", "model", "edited"]
"""writer: typed or pasted. model: written by the model, untouched. edited: the model's block, changed by the writer."""

Status = Literal["planned", "draft", "done"]

STATUSES: tuple[Status, ...] = get_args(Status)

SURE_CHARS = 8
"""A block shorter than this may stand in a new text by chance."""

SURE_TRIES = 8


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a section's text with one origin.

    tokens   the model's token ids of `text`; empty for a writer's or an edited block.
    seed, dial, job   how the model wrote it; None for a writer's block.
    nll      summed over `tokens`, in nats, under the base model; of a chosen take, which has no tokens, the nats for
             each token that it was ranked by; None where there is none.
    nfe      network forwards spent on it; seconds: time spent on it.
    """

    text: str
    author: Author
    tokens: tuple[int, ...] = ()
    seed: int | None = None
    dial: Dial | None = None
    nll: float | None = None
    nfe: int = 0
    seconds: float = 0.0
    job: str | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """One section as it is now.

    revision      counts the accepted edits of this section: text, title, brief and all other fields. A block that the
                  model appends does not count, so typing while the model writes is no conflict.
    target_words  how long it shall become.
    style         its own style sheet, which is read after the document's. notes: what the writer notes beside it.
    dial_json     its own setting of the dial, None: the document's.
    """

    id: int
    document_id: int
    title: str
    brief: str
    target_words: int
    status: Status
    revision: int
    blocks: tuple[Block, ...]
    style: str = ""
    notes: str = ""
    dial_json: str | None = None

    @property
    def text(self) -> str:
        return join(self.blocks)

    @property
    def words(self) -> int:
        return count_words(self.text)


@dataclass(frozen=True, slots=True)
class Document:
    """A document with its sections in order.

    revision  counts changes of its fields and of its list of sections (added, deleted, moved), not those inside one.
    created, updated  ISO 8601, UTC; updated: the last change of any kind, blocks included.
    style     its style sheet: tone, names, facts. notes: what the writer notes beside it. dial_json: its own setting of
              the dial, None: the desk's.
    """

    id: int
    title: str
    revision: int
    sections: tuple[Section, ...]
    created: str
    updated: str
    style: str = ""
    notes: str = ""
    dial_json: str | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """One line of the list of documents; sections and words are counts."""

    id: int
    title: str
    updated: str
    sections: int
    words: int


def join(blocks: Sequence[Block]) -> str:
    """The text of consecutive blocks."""
    return "".join([block.text for block in blocks])


def covered(blocks: Sequence[Block], text: str) -> int:
    """How many of the first blocks stand at the beginning of `text`.

    After a save it tells an editor which blocks its text now stands for: the `seen_blocks` of the next save.
    """
    start = 0
    for index, block in enumerate(blocks):
        if not text.startswith(block.text, start):
            return index
        start += len(block.text)
    return len(blocks)


def storable(text: str) -> str:
    """The text with every character that UTF-8 or SQLite cannot hold (lone surrogates, NUL) replaced by U+FFFD.

    Two surrogates that belong together become their character. Any other text comes back as it is.
    """
    if text.isascii() and "\0" not in text:
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "\ufffd")


def one_line(text: str) -> str:
    """A title: storable text on one line, without space around it."""
    return " ".join(storable(text).split())


def words_more(text: str, start: int, end: int, new: str) -> int:
    """How many words `text` gains when its characters start … end become `new`, without counting all of it again.

    No word has space inside, so only the stretches without space that the change touches can count differently.
    """
    left, right = start, end
    while left > 0 and not text[left - 1].isspace():
        left -= 1
    while right < len(text) and not text[right].isspace():
        right += 1
    return count_words(text[left:start] + new + text[end:right]) - count_words(text[left:right])


# ------------------------------------------------------------------------------------------------------------ edits


def shared_prefix(a: str, b: str) -> int:
    """Length in characters of the longest common beginning, found by halving instead of character by character."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def shared_suffix(a: str, b: str, limit: int) -> int:
    """Length in characters of the longest common end, at most `limit`."""
    low, high = 0, min(len(a), len(b), limit)
    while low < high:
        middle = (low + high + 1) // 2
        if a[len(a) - middle : len(a) - low] == b[len(b) - middle : len(b) - low]:
            low = middle
        else:
            high = middle - 1
    return low


def span(old: str, new: str) -> tuple[int, str, str]:
    """(place, before, after): at `place` in `old` stands `before`, which became `after`."""
    left = shared_prefix(old, new)
    right = shared_suffix(old, new, min(len(old), len(new)) - left)
    return left, old[left : len(old) - right], new[left : len(new) - right]


def changed_blocks(blocks: Sequence[Block], text: str) -> tuple[int, int, int, int]:
    """Where `text` leaves the blocks: (first, last, start, end).

    blocks[first:last] are those that no longer stand in the text; text[start:end] stands in their place.
    """
    first, start = 0, 0
    while first < len(blocks) and text.startswith(blocks[first].text, start):
        start += len(blocks[first].text)
        first += 1
    last, end = len(blocks), len(text)
    while last > first:
        tail = blocks[last - 1].text
        if end - len(tail) < start or not text.startswith(tail, end - len(tail)):
            break
        end -= len(tail)
        last -= 1
    return first, last, start, end


def replace_text(blocks: Sequence[Block], text: str) -> tuple[Block, ...]:
    """The blocks after the writer made `text` of them.

    Their concatenation is `text`. Blocks outside the changed span stay as they are, except that a writer's block takes
    in the writer's words that now touch it. A change inside a model's block makes that block "edited"; text put between
    two blocks, or over whole ones, is the writer's. A longer block of the model that stands unchanged between two
    changes is recognised. No block without text is made.
    """
    first, last, start, end = changed_blocks(blocks, text)
    if first == last and start == end:
        return tuple(blocks)
    made = _rewrite(blocks[first:last], text[start:end])
    left, right = list(blocks[:first]), list(blocks[last:])
    if left and _plain(left[-1]) and (not made or _plain(made[0])):
        made.insert(0, left.pop())
    if right and _plain(right[0]) and (not made or _plain(made[-1])):
        made.append(right.pop(0))
    return (*left, *_merge(made), *right)


def put_span(blocks: Sequence[Block], start: int, end: int, new: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks after the characters start … end of their text have become the blocks `new`.

    A block that is cut keeps its author and how it was written; tokens and NLL were those of its whole text and go.
    Blocks outside stay the same objects, unless the writer's words of a cut block and of `new` meet: those become one.
    Raises ValueError: the span does not lie in the text.
    """
    place, left, right = 0, [], []
    cut_left, cut_right = [], []
    for block in blocks:
        stop = place + len(block.text)
        if stop <= start:
            left.append(block)
        elif place >= end:
            right.append(block)
        else:
            if place < start:
                cut_left.append(_cut(block, block.text[: start - place]))
            if stop > end:
                cut_right.append(_cut(block, block.text[end - place :]))
        place = stop
    if not 0 <= start <= end <= place:
        raise ValueError(f"There are no characters {start} to {end} in a text of {place}.")
    return (*left, *_merge([*cut_left, *new, *cut_right]), *right)


def put_text(blocks: Sequence[Block], spans: Sequence[tuple[int, int]], text: str) -> tuple[Block, ...]:
    """The blocks after the writer put `text` in place of each of the spans (start, end) of characters.

    spans: in order, none empty, none overlapping, all inside the text. What is put belongs to the block in which its
    span begins; a block of the model that loses or gains something becomes "edited"; the others stay the same objects.
    """
    made, place, gone, left = [], 0, 0, list(reversed(spans))
    for block in blocks:
        stop = place + len(block.text)
        kept, at = [], max(place, gone)
        while left and left[-1][0] < stop:
            start, gone = left.pop()
            kept += [block.text[at - place : start - place], text]
            at = gone
        kept.append(block.text[at - place :])
        new = "".join(kept)
        if new == block.text:
            made.append(block)
        elif new:
            made.append(_piece(block, new))
        place = stop
    return tuple(made)


def _rewrite(old: Sequence[Block], text: str) -> list[Block]:
    """New blocks for `text`, which takes the place of `old`."""
    if survivor := _survivor(old, text):
        index, start = survivor
        end = start + len(old[index].text)
        return [*replace_text(old[:index], text[:start]), old[index], *replace_text(old[index + 1 :], text[end:])]
    before = join(old)
    kept_left = shared_prefix(before, text)
    kept_right = shared_suffix(before, text, min(len(before), len(text)) - kept_left)
    head, inserted, tail = text[:kept_left], text[kept_left : len(text) - kept_right], text[len(text) - kept_right :]
    if len(old) == 1 and old[0].author != "writer" and (head or tail):
        return [_edited(old[0], text)]
    # With several old blocks the head is a part of the first and the tail a part of the last: the middle ones are gone,
    # and what was inserted goes to a neighbour that is the writer's, else into a cut block of the model.
    pieces = [_piece(old[0], head)] if head else []
    ending = [_piece(old[-1], tail)] if tail else []
    if inserted:
        if pieces and not _plain(pieces[0]) and not (ending and _plain(ending[0])):
            pieces = [_edited(pieces[0], head + inserted)]
        elif not pieces and ending and not _plain(ending[0]):
            ending = [_edited(ending[0], inserted + tail)]
        else:
            pieces.append(Block(inserted, "writer"))
    return _merge(pieces + ending)


def _survivor(old: Sequence[Block], text: str) -> tuple[int, int] | None:
    """(index, place in `text`) of a block of the model that stands unchanged between two changes, if one is found.

    Looks from the middle outwards, so that many changes at once are halved again and again, and gives up early, so
    that a section which was rewritten as a whole does not cost a search for each of its blocks.
    """
    middle = len(old) // 2
    candidates = [index for index in range(len(old)) if not _plain(old[index]) and len(old[index].text) >= SURE_CHARS]
    for index in sorted(candidates, key=lambda index: abs(index - middle))[:SURE_TRIES]:
        start = text.find(old[index].text)
        if start >= 0 and text.find(old[index].text, start + 1) < 0:
            return index, start
    return None


def _piece(block: Block, text: str) -> Block:
    return Block(text, "writer") if block.author == "writer" else _edited(block, text)


def _cut(block: Block, text: str) -> Block:
    """What is left of a block: unchanged words of the same author."""
    return replace(block, text=text, tokens=(), nll=None)


def _edited(block: Block, text: str) -> Block:
    """The model's block with other text: seed, dial, job and cost stay; tokens and NLL were those of the old text."""
    return replace(block, text=text, author="edited", tokens=(), nll=None)


def _plain(block: Block) -> bool:
    return block.author == "writer"


def _merge(blocks: Sequence[Block]) -> list[Block]:
    """Neighbouring writer's blocks become one."""
    merged: list[Block] = []
    for block in blocks:
        if merged and _plain(merged[-1]) and _plain(block):
            merged[-1] = Block(merged[-1].text + block.text, "writer")
        else:
            merged.append(block)
    return merged
