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

AUTHORS: tuple[Author, ...] = get_args(Author)
STATUSES: tuple[Status, ...] = get_args(Status)

SURE_CHARS = 8
"""A block shorter than this may stand in a new text by chance."""

SURE_TRIES = 8


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a section's text with one origin.

    tokens   the model's token ids of `text`; empty for a writer's or an edited block.
    seed, dial, job   how the model wrote it; None for a writer's block.
    nll      summed over `tokens`, in nats, under the base model; None where there is none.
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

    revision      counts the accepted edits of this section: title, brief, target, status and text. A block that the
                  model appends does not count, so typing while the model writes is no conflict.
    target_words  how long it shall become.
    """

    id: int
    document_id: int
    title: str
    brief: str
    target_words: int
    status: Status
    revision: int
    blocks: tuple[Block, ...]

    @property
    def text(self) -> str:
        return join(self.blocks)

    @property
    def words(self) -> int:
        return count_words(self.text)


@dataclass(frozen=True, slots=True)
class Document:
    """A document with its sections in order.

    revision  counts changes of its title and of its list of sections (added, deleted, moved), not those inside one.
    created, updated  ISO 8601, UTC; updated: the last change of any kind, blocks included.
    """

    id: int
    title: str
    revision: int
    sections: tuple[Section, ...]
    created: str
    updated: str


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
