"""The text of a section: what the writer types, what the model appends, and the one way in which either is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.draft import Block, Section, join, replace_text, span, storable, words_more
from app.records import EDIT_KINDS, EditKind, InvalidValue, TextKind
from app.store.keeping import touch
from app.store.transaction import Transaction, Verbs
from app.store.tree import Change, grow


class TextVerbs(Verbs):
    def save_text(
        self, section_id: int, revision: int, seen_blocks: int, text: str, *, kind: EditKind = "typing"
    ) -> Section:
        """The writer's text takes the place of the section's first `seen_blocks` blocks; later ones stay behind it.

        revision: the section's. Text that already stands there changes nothing, whatever the revision.
        kind: what the version that comes of it is called; typing in one place goes on in the same version for a while.
        Raises StaleRevision (also where there are fewer than `seen_blocks` blocks), NotFound, InvalidValue.
        """
        if kind not in EDIT_KINDS:
            raise InvalidValue(f"There is no edit of the kind {kind!r}; choose one of {', '.join(EDIT_KINDS)}.")
        text = storable(text)
        with self._writing() as tx:
            section = tx.find(section_id, revision, text)
            if text == section.text and (revision != section.revision or seen_blocks == len(section.blocks)):
                return section
            tx.expect_section(section, revision, text, valid=0 <= seen_blocks <= len(section.blocks))
            seen = section.blocks[:seen_blocks]
            if text == join(seen):
                return section
            blocks = replace_text(seen, text) + section.blocks[seen_blocks:]
            return change_text(tx, section, blocks, Change(kind), "edit")

    def append_block(self, section_id: int, block: Block) -> tuple[int, Section]:
        """Puts a block of the model at the end: (its index, the section with it). On the disk when this returns.

        Leaves the section's revision alone. A planned section becomes a draft. Raises NotFound where the section has
        been deleted; the block's text is then kept in the history.
        """
        block = replace(block, text=storable(block.text))
        with self._writing() as tx:
            section = tx.find(section_id, -1, block.text)
            index, blocks = len(section.blocks), (*section.blocks, block)
            about = {"index": index, "job": block.job}
            return index, change_text(tx, section, blocks, Change("block"), "block", about, counts=False)


def change_text(
    tx: Transaction,
    section: Section,
    blocks: tuple[Block, ...],
    change: Change,
    kind: TextKind,
    about: Mapping[str, Any] | None = None,
    *,
    counts: bool = True,
) -> Section:
    """Makes `blocks` of the section and a new version of it. counts: it is an edit, of which the revision tells."""
    touch(tx, section.document_id)
    version_id = grow(tx, section, blocks, change)
    return put_text(tx, section, blocks, version_id, kind, about, counts=counts)


def put_text(
    tx: Transaction,
    section: Section,
    blocks: tuple[Block, ...],
    version_id: int,
    kind: TextKind,
    about: Mapping[str, Any] | None = None,
    *,
    counts: bool = True,
) -> Section:
    """Makes `blocks` of the section, which is a version that is there; the document has been touched already.

    A planned section that gets words becomes a draft.
    """
    old = section.text
    place, before, after = span(old, join(blocks))
    tx.shelves.write(tx.db, section.id, blocks)
    more = words_more(old, place, place + len(before), after)
    tx.db.execute(
        "UPDATE sections SET revision = revision + ?, words = words + ?, version_id = ?, search_stale = 1, "
        "status = CASE WHEN status = 'planned' AND words + ? > 0 THEN 'draft' ELSE status END WHERE id = ?",
        [counts, more, version_id, more, section.id],
    )
    made = tx.section(section.id)
    tx.log(
        section.document_id,
        section.id,
        kind,
        made.revision,
        place=place,
        before=before,
        after=after,
        detail={"version": version_id, **(about or {})},
    )
    return made
