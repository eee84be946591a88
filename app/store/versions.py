"""Undo, redo and every other state a section's text has been in; all of it survives a restart."""

from __future__ import annotations

from app.draft import Section, join
from app.records import InvalidValue, NotFound, TextKind, Version
from app.store.keeping import touch
from app.store.text import put_text
from app.store.transaction import Transaction, Verbs, possible
from app.store.tree import ancestry, current, remember, walk, way_to


class VersionVerbs(Verbs):
    def undo(self, section_id: int, revision: int) -> Section:
        """Back to the version that the current one was made from.

        revision: the section's. Raises NotFound, StaleRevision, InvalidValue (there is none).
        """
        with self._writing() as tx:
            section = tx.section(section_id)
            tx.expect_section(section, revision)
            parent_id = current(tx, section_id).parent_id
            if parent_id is None:
                raise InvalidValue("There is nothing more to undo in this section.")
            return _go(tx, section, parent_id, "undo")

    def redo(self, section_id: int, revision: int, version_id: int | None = None) -> Section:
        """On to the version that was left last by an undo, or else made last; or to another child of the current one.

        revision: the section's. Raises NotFound, StaleRevision, InvalidValue (there is none).
        """
        with self._writing() as tx:
            section = tx.section(section_id)
            tx.expect_section(section, revision)
            here = current(tx, section_id)
            if version_id is None:
                version_id = here.redo_id
            elif _parent(tx, section_id, version_id) != here.id:
                raise InvalidValue("This version was not made from the one that is shown; go to it instead.")
            if version_id is None:
                raise InvalidValue("There is nothing more to redo in this section.")
            return _go(tx, section, version_id, "redo")

    def go_to(self, section_id: int, revision: int, version_id: int) -> Section:
        """To any version of the section. revision: the section's. Raises NotFound, StaleRevision."""
        with self._writing() as tx:
            section = tx.section(section_id)
            tx.expect_section(section, revision)
            _parent(tx, section_id, version_id)
            if version_id == current(tx, section_id).id:
                return section
            return _go(tx, section, version_id, "version chosen")

    def versions(self, section_id: int) -> list[Version]:
        """All versions of a section, the first one first. Raises NotFound."""
        with self._reading() as tx:
            tx.section(section_id)
            now = current(tx, section_id).id
            rows = tx.db.execute(
                "SELECT id, parent_id, changed, kind, label, words FROM versions WHERE section_id = ? ORDER BY id",
                [section_id],
            ).fetchall()
        path = set(ancestry({row[0]: row[1] for row in rows}, now))
        return [Version(*(*row, row[0] == now, row[0] in path)) for row in rows]

    def version_text(self, section_id: int, version_id: int) -> str:
        """The section's text as it was in a version. Raises NotFound."""
        with self._reading() as tx:
            section = tx.section(section_id)
            _parent(tx, section_id, version_id)
            return join(walk(tx, section, way_to(tx, section_id, version_id)))


def _go(tx: Transaction, section: Section, version_id: int, kind: TextKind) -> Section:
    touch(tx, section.document_id)
    start, way = current(tx, section.id).id, way_to(tx, section.id, version_id)
    blocks = walk(tx, section, way)
    remember(tx, way)
    return put_text(tx, section, blocks, version_id, kind, {"from": start})


def _parent(tx: Transaction, section_id: int, version_id: int) -> int | None:
    """Raises NotFound."""
    row = (
        possible(version_id)
        and tx.db.execute(
            "SELECT parent_id FROM versions WHERE id = ? AND section_id = ?", [version_id, section_id]
        ).fetchone()
    )
    if not row:
        raise NotFound("This version is not one of this section; look at its versions again.")
    parent_id: int | None = row[0]
    return parent_id
