"""Documents, their versions and their jobs in one SQLite file: what a writer has typed or seen locked in is in here.

Knows nothing of the model, the page or events. Every verb is one transaction and is on the disk when it returns. Every
write names the revision it was made on; a stale one is refused, and the refused text is kept in the history.
"""

from app.database import StoreError, StoreUnavailable
from app.records import (
    Deleted,
    HistoryRow,
    Hit,
    InvalidValue,
    JobRow,
    JobState,
    NotFound,
    PassageChanged,
    Snapshot,
    SnapshotCard,
    StaleDocument,
    StaleRevision,
    Take,
    TakeText,
    Version,
)
from app.store.fields import MAX_NOTES, MAX_TARGET_WORDS
from app.store.store import Store, utc_now

__all__ = [
    "MAX_NOTES",
    "MAX_TARGET_WORDS",
    "Deleted",
    "HistoryRow",
    "Hit",
    "InvalidValue",
    "JobRow",
    "JobState",
    "NotFound",
    "PassageChanged",
    "Snapshot",
    "SnapshotCard",
    "StaleDocument",
    "StaleRevision",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "Take",
    "TakeText",
    "Version",
    "utc_now",
]
