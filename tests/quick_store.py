"""A store that does not wait for the disk, with a clock that is moved by hand: for tests that are about neither."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.store import Store


class Clock:
    """The store's time."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def quick_store(path: Path, clock: Clock | None = None) -> Store:
    store = Store(path, now=clock or Clock())
    store._door._db.execute("PRAGMA synchronous = OFF")
    return store
