"""The one door to the SQLite file: opening it safely, transactions, and what an SQLite error means to a writer.

Knows nothing of documents. Nothing here ever deletes or overwrites a file that is in the way.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sqlite_utils import Database

from app.migrations import APPLICATION_ID, migrations, unknown_steps

BUSY_SECONDS = 10.0
"""How long a write waits for another process that is writing to the same file."""

SMALLEST_PAGE = 512
"""Bytes of the smallest page, and so of the smallest database, that SQLite knows."""


class StoreError(Exception):
    """The store did not do what was asked; the message is one sentence for the writer."""


class StoreUnavailable(StoreError):
    """The database file cannot be read or written; the sentence names the file and says what to do."""


class Door:
    """One connection, one lock: every read and write of the store goes through `reading` or `writing`.

    Safe to use from several threads. Durable: a transaction that has been left without an error is on the disk.
    """

    def __init__(self, path: Path) -> None:
        """Opens or creates the file and brings its shape up to date. Raises StoreUnavailable."""
        self.path = path
        self._lock = threading.RLock()
        _make_room(path)
        with self._explained(), contextlib.ExitStack() as on_failure:
            connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            on_failure.callback(connection.close)
            self._db = Database(connection, execute_plugins=False)
            self._look()
            self._prepare()
            on_failure.pop_all()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Database]:
        """All reads inside see one state of the database. Raises StoreUnavailable."""
        with self._transaction("BEGIN") as db:
            yield db

    @contextlib.contextmanager
    def writing(self) -> Iterator[Database]:
        """All or nothing: an exception inside undoes every change. Raises StoreUnavailable."""
        with self._transaction("BEGIN IMMEDIATE") as db:
            yield db

    def close(self) -> None:
        """Closes the file; a second call does nothing. Later use raises StoreUnavailable."""
        with self._lock, self._explained():
            self._db.close()

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[Database]:
        with self._lock, self._explained():
            self._db.execute(begin)
            try:
                yield self._db
                self._db.commit()
            finally:
                if self._db.conn.in_transaction:
                    # A failing rollback would hide the first exception; SQLite rolls back by itself when it reopens.
                    with contextlib.suppress(sqlite3.Error):
                        self._db.rollback()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            sentence = explain(error, self.path)
            if sentence is None:
                raise
            raise StoreUnavailable(sentence) from error

    def _look(self) -> None:
        """Refuses a file that is damaged, another program's or a newer Galley's, before anything is written."""
        db = self._db
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return
        if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise StoreUnavailable(
                f"The file {self.path} is a database of another program and was left alone; "
                "start Galley with --data-dir and another folder."
            )
        if unknown_steps(db):
            raise StoreUnavailable(
                f"The database {self.path} was made by a newer Galley and was left as it is; "
                "update Galley, or start it with --data-dir and another folder."
            )
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreUnavailable(_damaged(self.path))

    def _enable_wal(self) -> None:
        """Two processes that open a new file together: SQLite refuses the second at once instead of letting it wait."""
        give_up = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._db.enable_wal()
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                    raise
            time.sleep(0.02)

    def _prepare(self) -> None:
        db = self._db
        self._enable_wal()
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA fullfsync = ON")
        with self.writing():
            migrations().apply(db)
        db.execute("PRAGMA foreign_keys = ON")


def _make_room(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        in_the_way = path.is_dir()
        size = path.stat().st_size if path.exists() else 0
    except OSError as error:
        raise StoreUnavailable(
            f"The folder {path.parent} for your documents cannot be used ({error.strerror}); "
            "start Galley with --data-dir and a folder you may write to."
        ) from error
    if in_the_way:
        raise StoreUnavailable(
            f"There is a folder at {path}, where the database file belongs; "
            "move it away, or start Galley with --data-dir and another folder."
        )
    # SQLite takes a file that is shorter than any database for an empty one and would write over it.
    if 0 < size < SMALLEST_PAGE:
        raise StoreUnavailable(_damaged(path))


def _damaged(path: Path) -> str:
    return (
        f"The database {path} is damaged and was left as it is; move it to a safe place and put a backup there, "
        "or start Galley with --data-dir and another folder."
    )


def explain(error: sqlite3.Error, path: Path) -> str | None:
    """One sentence for what SQLite reports, or None where it is a mistake in the program and must stay loud."""
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return f"The database {path} has been closed; start Galley again."
    # The low byte is the kind of error, the rest tells details that do not change what to do.
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return _damaged(path)
        case sqlite3.SQLITE_FULL:
            return f"The disk with {path} is full and the last change was not saved; make room and try again."
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return (
                f"The database {path} cannot be written to; make the file and its folder writable, "
                "or start Galley with --data-dir and another folder."
            )
        case sqlite3.SQLITE_CANTOPEN:
            return (
                f"The database {path} cannot be opened; check that its folder exists and may be written to, "
                "or start Galley with --data-dir and another folder."
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"Another program keeps the database {path} locked; close it and try again."
        case sqlite3.SQLITE_IOERR:
            return (
                f"The disk with {path} does not take or give its data and the last change was not saved; "
                "check the disk and its free space and try again."
            )
        case _:
            return None
