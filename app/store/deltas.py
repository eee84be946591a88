"""What lies between two states of a section's blocks, small enough to be kept for every key, and walked both ways.

Pure. Of the first and the last block that changed, only what is not shared by both sides is held.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.draft import Block, join, shared_prefix, shared_suffix
from app.rows import brief_row, differing, read_brief


class DoesNotFit(Exception):
    """These blocks are not those that the delta was made from."""


@dataclass(frozen=True, slots=True)
class Delta:
    """blocks[place : place + len(removed)] became `inserted`.

    The first block on either side begins with the same `head` characters, the last ends with the same `tail`
    characters; the texts here lack them.
    """

    place: int
    head: int
    tail: int
    removed: tuple[Block, ...]
    inserted: tuple[Block, ...]


def between(old: Sequence[Block], new: Sequence[Block]) -> Delta:
    """The delta that leads from `old` to `new`."""
    first, last, end = differing(old, new)
    removed, inserted = old[first:last], new[first:end]
    if not removed or not inserted:
        return Delta(first, 0, 0, tuple(removed), tuple(inserted))
    head = shared_prefix(removed[0].text, inserted[0].text)
    tail = shared_suffix(removed[-1].text, inserted[-1].text, min(_room(removed, head), _room(inserted, head)))
    return Delta(first, head, tail, _without(removed, head, tail), _without(inserted, head, tail))


def forwards(blocks: Sequence[Block], delta: Delta) -> tuple[Block, ...]:
    """The blocks after the change. Raises DoesNotFit."""
    return _exchange(blocks, delta, delta.removed, delta.inserted)


def backwards(blocks: Sequence[Block], delta: Delta) -> tuple[Block, ...]:
    """The blocks before the change. Raises DoesNotFit."""
    return _exchange(blocks, delta, delta.inserted, delta.removed)


def to_json(delta: Delta) -> str:
    return json.dumps(
        [delta.place, delta.head, delta.tail, *([brief_row(block) for block in side] for side in _sides(delta))],
        ensure_ascii=False,
        separators=(",", ":"),
    )


def from_json(text: str) -> Delta:
    place, head, tail, removed, inserted = json.loads(text)
    return Delta(place, head, tail, tuple(map(read_brief, removed)), tuple(map(read_brief, inserted)))


def _sides(delta: Delta) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    return delta.removed, delta.inserted


def _room(blocks: Sequence[Block], head: int) -> int:
    """Characters of the last block that may be taken for its end."""
    return len(blocks[-1].text) - (head if len(blocks) == 1 else 0)


def _without(blocks: Sequence[Block], head: int, tail: int) -> tuple[Block, ...]:
    first, *others = blocks
    made = [replace(first, text=first.text[head:]), *others]
    if tail:
        made[-1] = replace(made[-1], text=made[-1].text[:-tail])
    return tuple(made)


def _exchange(blocks: Sequence[Block], delta: Delta, out: Sequence[Block], put: Sequence[Block]) -> tuple[Block, ...]:
    stop = delta.place + len(out)
    old = blocks[delta.place : stop]
    text = join(old)
    room = len(text) - delta.head - delta.tail  # below 0 where what stays would overlap
    if len(old) != len(out) or room < 0 or text[delta.head : len(text) - delta.tail] != join(out):
        raise DoesNotFit
    made = list(put)
    if made:
        made[0] = replace(made[0], text=text[: delta.head] + made[0].text)
        made[-1] = replace(made[-1], text=made[-1].text + text[len(text) - delta.tail :])
    return (*blocks[: delta.place], *made, *blocks[stop:])
