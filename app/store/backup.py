"""Copies of the whole database, made by SQLite itself while everyone goes on writing."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from datetime import UTC
from pathlib import Path

from app.database import StoreUnavailable, explain
from app.records import InvalidValue
from app.store.transaction import Verbs

PART = ".part"
"""What a copy's name ends with until it is whole."""


class BackupVerbs(Verbs):
    def backup(self, path: Path) -> None:
        """Makes a copy of the database that is whole and has been checked, or none.

        Raises InvalidValue where there is a file already, StoreUnavailable where it cannot be written.
        """
        if path.exists():
            raise InvalidValue(f"There is a file {path} already; choose another name for the backup.")
        part = path.with_name(path.name + PART)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            with contextlib.ExitStack() as on_failure:
                on_failure.callback(_remove, part)
                self._copy(part)
                _flush(part)
                os.replace(part, path)
                on_failure.pop_all()
            _flush(path.parent)
        except OSError as error:
            raise StoreUnavailable(
                f"The backup {path} could not be written ({error.strerror}); choose a folder you may write to."
            ) from error

    def backup_daily(self, folder: Path, keep: int = 7) -> Path | None:
        """The first call of a day (UTC) makes a backup in the folder, and only the last `keep` of them are left.

        Returns the new file, or None where there is one of today. Other files in the folder, backups of other databases
        too, are left alone.
        Raises StoreUnavailable.
        """
        stem = self._door.path.stem
        path = folder / f"{stem}-{self._now().astimezone(UTC):%Y-%m-%d}.db"
        ours = re.compile(re.escape(stem) + r"-\d{4}-\d{2}-\d{2}\.db")
        if path.exists():
            return None
        self.backup(path)
        try:
            made = sorted(found for found in folder.iterdir() if ours.fullmatch(found.name.removesuffix(PART)))
            whole = [found for found in made if not found.name.endswith(PART)]
            for old in [found for found in made if found not in whole[-keep:]]:
                old.unlink()
        except OSError as error:
            raise StoreUnavailable(
                f"An old backup in {folder} could not be deleted ({error.strerror}); delete it by hand."
            ) from error
        return path

    def _copy(self, path: Path) -> None:
        """A connection of its own reads one state of the database and keeps nobody from writing."""
        try:
            with (
                contextlib.closing(
                    sqlite3.connect(f"{self._door.path.absolute().as_uri()}?mode=ro", uri=True)
                ) as source,
                contextlib.closing(sqlite3.connect(path)) as copy,
            ):
                source.backup(copy)
                # One file is easier to carry than three; Galley turns it back when it opens it.
                copy.execute("PRAGMA journal_mode = DELETE")
                found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            sentence = explain(error, path)
            if sentence is None:
                raise
            raise StoreUnavailable(sentence) from error
        if found != "ok":
            raise StoreUnavailable(f"The backup {path} came out damaged and was not kept; check the disk.")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Waits until a file, or a folder's list of files, is on the disk."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
