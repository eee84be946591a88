"""Joins store, worker and session to a working desk, and takes them apart in reverse order.

Knows nothing of the page, the terminal or the network the model runs on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from app.session import Session
from app.settings import Settings
from app.store import Store
from app.worker import Child, Worker, WorkerEvent, child_main


@contextmanager
def opened(settings: Settings, child: Child = child_main) -> Iterator[Session]:
    """The desk of these settings, its model on the way.

    child: what runs in the model process. Raises StoreUnavailable.
    """

    def make_worker(on_event: Callable[[WorkerEvent], None]) -> Worker:
        return Worker(
            settings.model, cache_dir=settings.cache, threads=settings.threads, on_event=on_event, child=child
        )

    with closing(Store(settings.database)) as store, closing(Session(store, settings.entry, make_worker)) as session:
        session.start()
        yield session
