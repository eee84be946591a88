"""All verbs of the store in one class, over one file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from app.database import Door
from app.store.backup import BackupVerbs
from app.store.documents import DocumentVerbs
from app.store.history import HistoryVerbs
from app.store.jobs import JobVerbs
from app.store.replacing import ReplaceVerbs
from app.store.searching import SearchVerbs
from app.store.sections import SectionVerbs
from app.store.snapshots import SnapshotVerbs
from app.store.takes import TakeVerbs
from app.store.text import TextVerbs
from app.store.versions import VersionVerbs


def utc_now() -> datetime:
    return datetime.now(UTC)


class Store(
    DocumentVerbs,
    SectionVerbs,
    TextVerbs,
    VersionVerbs,
    TakeVerbs,
    SnapshotVerbs,
    SearchVerbs,
    ReplaceVerbs,
    JobVerbs,
    HistoryVerbs,
    BackupVerbs,
):
    """All verbs raise StoreUnavailable when the file cannot be read or written, and are safe from several threads."""

    def __init__(self, path: Path, *, now: Callable[[], datetime] = utc_now) -> None:
        """Opens the database, makes it where there is none, brings an older one up to date.

        Raises StoreUnavailable: damaged, not ours, newer, read-only, full or in the way; the file is left as it is.
        """
        super().__init__(Door(path), now)

    def close(self) -> None:
        self._door.close()
