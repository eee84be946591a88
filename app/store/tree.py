"""The tree of a section's versions, as rows: every state its text has been in, and the way from one to another.

A version holds what it changed in its parent. It remembers the child that was left or made last, for a redo.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.database import StoreError
from app.draft import Block, Section, join, span, words_more
from app.records import VersionKind
from app.store.deltas import DoesNotFit, backwards, between, forwards, from_json, to_json
from app.store.transaction import Transaction

PAUSE_SECONDS = 5.0
"""Typing that goes on in one place after a shorter pause belongs to the same version …"""

BURST_SECONDS = 30.0
BURST_CHARS = 2000
"""… but no version takes in more than this, so that an undo takes back a burst and not what was pasted before it."""

LABEL_CHARS = 60


@dataclass(frozen=True, slots=True)
class Change:
    """What a new version is. label: a few words to know it by; None: the words that came or went."""

    kind: VersionKind
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A row of the tree. redo_id: the child to which a redo leads; every version with children has one."""

    id: int
    parent_id: int | None
    redo_id: int | None
    kind: VersionKind
    at: str
    changed: str
    words: int
    delta: str


def plant(tx: Transaction, section_id: int) -> None:
    """Makes the root of a new section's tree."""
    row = {"section_id": section_id, "kind": "start", "at": tx.at, "changed": tx.at}
    root = tx.insert("versions", {**row, "words": 0, "label": "", "delta": ""})
    tx.db.execute("UPDATE sections SET version_id = ? WHERE id = ?", [root, section_id])


def current(tx: Transaction, section_id: int) -> Node:
    """The version that the section's text is now."""
    row = tx.db.execute(
        "SELECT v.id, v.parent_id, v.redo_id, v.kind, v.at, v.changed, v.words, v.delta "
        "FROM versions v JOIN sections s ON s.version_id = v.id WHERE s.id = ?",
        [section_id],
    ).fetchone()
    return Node(*row)


def grow(tx: Transaction, section: Section, blocks: tuple[Block, ...], change: Change) -> int:
    """The version that `blocks` are: a new child of the section's current one, or that one where typing goes on.

    Returns its id; whoever calls this makes it the current one.
    """
    parent = current(tx, section.id)
    old, text = section.blocks, section.text
    place, gone, put = span(text, join(blocks))
    more = words_more(text, place, place + len(gone), put)
    if change.kind == "typing" and (before := _before_typing(tx, parent, old, blocks)) is not None:
        row = {"changed": tx.at, "words": parent.words + more, **_content(before, blocks, change)}
        names = ", ".join(f"{name} = ?" for name in row)
        tx.db.execute(f"UPDATE versions SET {names} WHERE id = ?", [*row.values(), parent.id])
        return parent.id
    row = {"section_id": section.id, "parent_id": parent.id, "kind": change.kind, "at": tx.at, "changed": tx.at}
    made = tx.insert("versions", {**row, "words": more, **_content(old, blocks, change)})
    _set_redo(tx, parent.id, made)
    return made


@dataclass(frozen=True, slots=True)
class Way:
    """From a section's current version to another one: up to the ancestor they share, then down.

    up, down  the versions of which a change is taken back, and made again, in order.
    parents   of all versions of the section.
    """

    up: list[int]
    down: list[int]
    parents: dict[int, int | None]


def way_to(tx: Transaction, section_id: int, target_id: int) -> Way:
    """target_id: a version of this section."""
    parents: dict[int, int | None] = dict(
        tx.db.execute("SELECT id, parent_id FROM versions WHERE section_id = ?", [section_id]).fetchall()
    )
    up, down = ancestry(parents, current(tx, section_id).id), ancestry(parents, target_id)
    while up and down and up[-1] == down[-1]:
        up.pop()
        down.pop()
    return Way(up, down[::-1], parents)


def walk(tx: Transaction, section: Section, way: Way) -> tuple[Block, ...]:
    """The blocks at the end of the way. Raises StoreError: the text is not that of the current version."""
    blocks = section.blocks
    try:
        for version_id in way.up:
            blocks = backwards(blocks, from_json(_delta(tx, version_id)))
        for version_id in way.down:
            blocks = forwards(blocks, from_json(_delta(tx, version_id)))
    except DoesNotFit as error:
        raise StoreError(
            "This version cannot be reached, because the section's text was changed by another program; "
            "the text stays as it is."
        ) from error
    return blocks


def remember(tx: Transaction, way: Way) -> None:
    """Every version that was passed learns to which child a redo leads back."""
    for version_id in [*way.up, *way.down]:
        if (parent_id := way.parents[version_id]) is not None:
            _set_redo(tx, parent_id, version_id)


def ancestry(parents: dict[int, int | None], version_id: int) -> list[int]:
    """The version, its parent, and so on up to the root."""
    found: list[int] = []
    at: int | None = version_id
    while at is not None:
        found.append(at)
        at = parents[at]
    return found


def _set_redo(tx: Transaction, parent_id: int, child_id: int) -> None:
    tx.db.execute("UPDATE versions SET redo_id = ? WHERE id = ? AND redo_id IS NOT ?", [child_id, parent_id, child_id])


def _delta(tx: Transaction, version_id: int) -> str:
    row: tuple[str] = tx.db.execute("SELECT delta FROM versions WHERE id = ?", [version_id]).fetchone()
    return row[0]


def _before_typing(
    tx: Transaction, node: Node, old: tuple[Block, ...], new: tuple[Block, ...]
) -> tuple[Block, ...] | None:
    """The blocks before the typing that goes on here, or None where something new begins."""
    if node.kind != "typing" or node.redo_id is not None or len(node.delta) > BURST_CHARS:
        return None
    if not 0 <= _seconds(node.changed, tx.at) < PAUSE_SECONDS or _seconds(node.at, tx.at) >= BURST_SECONDS:
        return None
    try:
        before = backwards(old, from_json(node.delta))
    except DoesNotFit:
        return None
    text, result = join(old), join(new)
    typed_at, _, typed = span(join(before), text)
    at, gone, _ = span(text, result)
    elsewhere = at > typed_at + len(typed) or at + len(gone) < typed_at
    # Typing that takes itself back is a version of its own: none is ever without a change.
    return None if elsewhere or result == join(before) else before


def _content(old: tuple[Block, ...], new: tuple[Block, ...], change: Change) -> dict[str, Any]:
    _, before, after = span(join(old), join(new))
    label = change.label
    if label is None:
        label = excerpt(after) if after.strip() or not before.strip() else f"− {excerpt(before)}"
    return {"label": label, "delta": to_json(between(old, new))}


def excerpt(text: str) -> str:
    """The beginning of a text on one line."""
    words = " ".join(text[: 4 * LABEL_CHARS].split())
    return words if len(words) <= LABEL_CHARS else f"{words[:LABEL_CHARS].rstrip()}…"


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
