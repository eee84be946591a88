"""Whose desk it is: every visitor has a session over a database of their own, and all share one press.

What one visitor writes is in a file that no other visitor's session ever opens. Knows nothing of the network: who a
visitor is, somebody else has found out.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

from app.press import Press
from app.session import Session
from app.store import Store, StoreError, utc_now

OWN = ""
"""The visitor of a desk that belongs to one person."""

MOST_OPEN = 64
"""Databases kept open for visitors who are not there at the moment."""

BACKUPS = "backups"


class Visitors:
    """database: the file of OWN; those of the others lie in a folder beside it. Safe from several threads."""

    def __init__(self, database: Path, press: Press, now: Callable[[], datetime] = utc_now) -> None:
        self.press = press
        self._database = database
        self._now = now
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Store, Session]] = {}
        self._backed_up: dict[str, date] = {}  # when it was last tried

    def session(self, visitor: str) -> Session:
        """The visitor's desk, opened where it is not yet. Raises StoreUnavailable."""
        with self._lock:
            known = self._open.pop(visitor, None)
            if known is None:
                self._make_room()
                store = Store(self._path(visitor), now=self._now)
                known = store, Session(store, self.press)
            self._open[visitor] = known  # the last used stands last
            self._back_up(visitor, known[0])
            return known[1]

    def close(self) -> None:
        """Ends everybody's jobs; the press goes on."""
        with self._lock:
            for store, session in self._open.values():
                with closing(store):
                    session.close()
            self._open.clear()

    def _back_up(self, visitor: str, store: Store) -> None:
        """Once a day, also of a desk that is never closed."""
        if self._backed_up.get(visitor) == (day := self._now().date()):
            return
        self._backed_up[visitor] = day
        # A desk without today's copy is better than no desk: the disk may be full.
        with contextlib.suppress(StoreError):
            store.backup_daily(self._path(visitor).parent / BACKUPS)

    def _make_room(self) -> None:
        idle = [visitor for visitor, (_, session) in self._open.items() if visitor != OWN and not session.in_use]
        for visitor in idle[: max(0, len(self._open) - MOST_OPEN + 1)]:
            store, session = self._open.pop(visitor)
            self._backed_up.pop(visitor, None)
            with closing(store):
                session.close()

    def _path(self, visitor: str) -> Path:
        if visitor == OWN:
            return self._database
        # Neither a name nor a cookie can be read off, or leave the folder.
        return self._database.parent / "visitors" / f"{hashlib.sha256(visitor.encode()).hexdigest()[:40]}.db"
