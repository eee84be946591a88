"""The shape of the database, as named steps that are only ever added.

Knows nothing of what the desk does with it. A step that has been released is never changed: a database made by any
earlier Galley is brought up to date by the steps it lacks.
"""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

APPLICATION_ID = 0x47616C79
"""Written into the file's header ("Galy"), so that another program's database is never taken for ours."""


def documents_sections_blocks(db: Database) -> None:
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(
        """
        CREATE TABLE documents (
            id INTEGER PRIMARY KEY,
            title TEXT NOT NULL,
            revision INTEGER NOT NULL DEFAULT 0,
            created TEXT NOT NULL,
            updated TEXT NOT NULL,
            deleted TEXT
        )
        """
    )
    db.execute(
        """
        CREATE TABLE sections (
            id INTEGER PRIMARY KEY,
            document_id INTEGER NOT NULL REFERENCES documents(id),
            place INTEGER NOT NULL,
            title TEXT NOT NULL,
            brief TEXT NOT NULL,
            target_words INTEGER NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('planned', 'draft', 'done')),
            revision INTEGER NOT NULL DEFAULT 0,
            words INTEGER NOT NULL DEFAULT 0,
            deleted TEXT
        )
        """
    )
    db.execute("CREATE INDEX sections_in_order ON sections(document_id, place)")
    db.execute(
        """
        CREATE TABLE blocks (
            id INTEGER PRIMARY KEY,
            section_id INTEGER NOT NULL REFERENCES sections(id),
            place INTEGER NOT NULL,
            text TEXT NOT NULL,
            author TEXT NOT NULL CHECK (author IN ('writer', 'model', 'edited')),
            tokens TEXT NOT NULL DEFAULT '[]',
            seed TEXT,
            dial TEXT,
            nll REAL,
            nfe INTEGER NOT NULL DEFAULT 0,
            seconds REAL NOT NULL DEFAULT 0,
            job TEXT
        )
        """
    )
    db.execute("CREATE INDEX blocks_in_order ON blocks(section_id, place)")
    db.execute(
        """
        CREATE TABLE history (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,
            document_id INTEGER NOT NULL REFERENCES documents(id),
            section_id INTEGER REFERENCES sections(id),
            kind TEXT NOT NULL,
            revision INTEGER NOT NULL,
            place INTEGER NOT NULL DEFAULT 0,
            before TEXT NOT NULL DEFAULT '',
            after TEXT NOT NULL DEFAULT '',
            detail TEXT NOT NULL DEFAULT '{}'
        )
        """
    )
    db.execute("CREATE INDEX history_of_document ON history(document_id)")
    db.execute("CREATE INDEX history_of_section ON history(section_id)")


def history_is_append_only(db: Database) -> None:
    for verb in ("UPDATE", "DELETE"):
        db.execute(
            f"CREATE TRIGGER history_no_{verb.lower()} BEFORE {verb} ON history "
            "BEGIN SELECT RAISE(ABORT, 'history is append-only'); END"
        )


def jobs(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE jobs (
            job TEXT PRIMARY KEY,
            section_id INTEGER NOT NULL REFERENCES sections(id),
            state TEXT NOT NULL CHECK (state IN ('running', 'finished', 'stopped', 'failed')),
            request TEXT NOT NULL,
            note TEXT NOT NULL DEFAULT 'null',
            started TEXT NOT NULL,
            ended TEXT
        )
        """
    )
    db.execute("CREATE INDEX jobs_of_section ON jobs(section_id)")


STEPS = (documents_sections_blocks, history_is_append_only, jobs)
"""In the order in which they are applied; new ones go to the end."""


def migrations() -> Migrations:
    """The steps as sqlite-utils applies and records them."""
    chain = Migrations("galley")
    for step in STEPS:
        chain()(step)
    return chain


def unknown_steps(db: Database) -> set[str]:
    """Names of steps that were applied to this database and that this Galley does not know: a newer one made it."""
    return {step.name for step in migrations().applied(db)} - {step.__name__ for step in STEPS}
