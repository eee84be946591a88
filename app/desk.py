"""Joins stores, worker, press and sessions to a working desk, and takes them apart in reverse order.

Knows nothing of the page, the terminal or the network the model runs on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from app.press import Press
from app.settings import Settings
from app.visitors import OWN, Visitors
from app.worker import Child, Worker, WorkerEvent, child_main


@contextmanager
def opened(settings: Settings, child: Child = child_main) -> Iterator[Visitors]:
    """The desk of these settings, its model on the way.

    child: what runs in the model process. Raises StoreUnavailable, where the desk belongs to one person.
    """

    def make_worker(on_event: Callable[[WorkerEvent], None]) -> Worker:
        return Worker(
            settings.model, cache_dir=settings.cache, threads=settings.threads, on_event=on_event, child=child
        )

    press = Press(settings.entry, make_worker, cache_dir=settings.cache)
    with closing(press), closing(Visitors(settings.database, press)) as visitors:
        if not settings.shared:
            visitors.session(OWN)  # a database that cannot be opened is told before anything else begins
        press.start()
        yield visitors
