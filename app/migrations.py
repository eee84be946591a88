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


def long_blocks_in_pieces(db: Database) -> None:
    """A row with continues = 1 holds more text of the block whose row stands before it."""
    db.execute("ALTER TABLE blocks ADD COLUMN continues INTEGER NOT NULL DEFAULT 0")


def versions(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE versions (
            id INTEGER PRIMARY KEY,
            section_id INTEGER NOT NULL REFERENCES sections(id),
            parent_id INTEGER REFERENCES versions(id),
            redo_id INTEGER REFERENCES versions(id),
            kind TEXT NOT NULL,
            at TEXT NOT NULL,
            changed TEXT NOT NULL,
            words INTEGER NOT NULL,
            label TEXT NOT NULL,
            delta TEXT NOT NULL
        )
        """
    )
    db.execute("CREATE INDEX versions_of_section ON versions(section_id)")
    db.execute("ALTER TABLE sections ADD COLUMN version_id INTEGER REFERENCES versions(id)")
    db.execute(
        "INSERT INTO versions(section_id, kind, at, changed, words, label, delta) "
        "SELECT s.id, 'start', d.updated, d.updated, 0, '', '' "
        "FROM sections s JOIN documents d ON d.id = s.document_id ORDER BY s.id"
    )
    db.execute("UPDATE sections SET version_id = (SELECT id FROM versions WHERE section_id = sections.id)")


def takes(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE takes (
            id INTEGER PRIMARY KEY,
            section_id INTEGER NOT NULL REFERENCES sections(id),
            at TEXT NOT NULL,
            kind TEXT NOT NULL,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            before TEXT NOT NULL,
            around TEXT NOT NULL,
            candidates TEXT NOT NULL,
            chosen INTEGER,
            job TEXT
        )
        """
    )
    db.execute("CREATE INDEX takes_of_section ON takes(section_id)")


def notes_styles_dials(db: Database) -> None:
    """Notes are apart from the rows that every block and every key writes again."""
    db.execute("ALTER TABLE documents ADD COLUMN dial TEXT")
    db.execute("ALTER TABLE sections ADD COLUMN dial TEXT")
    db.execute(
        """
        CREATE TABLE document_notes (
            document_id INTEGER PRIMARY KEY REFERENCES documents(id),
            style TEXT NOT NULL,
            notes TEXT NOT NULL
        )
        """
    )
    db.execute(
        """
        CREATE TABLE section_notes (
            section_id INTEGER PRIMARY KEY REFERENCES sections(id),
            notes TEXT NOT NULL
        )
        """
    )


def snapshots(db: Database) -> None:
    """A content (fields of a document or a section, as compressed JSON) is there once for all snapshots with it."""
    db.execute(
        """
        CREATE TABLE contents (
            id INTEGER PRIMARY KEY,
            sha256 BLOB NOT NULL UNIQUE,
            fields BLOB NOT NULL
        )
        """
    )
    db.execute(
        """
        CREATE TABLE snapshots (
            id INTEGER PRIMARY KEY,
            document_id INTEGER NOT NULL REFERENCES documents(id),
            at TEXT NOT NULL,
            name TEXT NOT NULL,
            kind TEXT NOT NULL,
            content_id INTEGER NOT NULL REFERENCES contents(id)
        )
        """
    )
    db.execute("CREATE INDEX snapshots_of_document ON snapshots(document_id)")
    db.execute(
        """
        CREATE TABLE snapshot_sections (
            snapshot_id INTEGER NOT NULL REFERENCES snapshots(id),
            place INTEGER NOT NULL,
            section_id INTEGER NOT NULL REFERENCES sections(id),
            words INTEGER NOT NULL,
            content_id INTEGER NOT NULL REFERENCES contents(id),
            PRIMARY KEY (snapshot_id, place)
        ) WITHOUT ROWID
        """
    )


def search(db: Database) -> None:
    """The index is brought up to date before it is asked; a section's change only marks it as stale there."""
    db.execute(
        "CREATE VIRTUAL TABLE search USING fts5"
        "(title, brief, notes, text, tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2')"
    )
    db.execute("ALTER TABLE sections ADD COLUMN search_stale INTEGER NOT NULL DEFAULT 1")
    db.execute("CREATE INDEX sections_stale_in_search ON sections(search_stale) WHERE search_stale = 1")


def styles_of_sections(db: Database) -> None:
    db.execute("ALTER TABLE section_notes ADD COLUMN style TEXT NOT NULL DEFAULT ''")


STEPS = (
    documents_sections_blocks,
    history_is_append_only,
    jobs,
    long_blocks_in_pieces,
    versions,
    takes,
    notes_styles_dials,
    snapshots,
    search,
    styles_of_sections,
)
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
