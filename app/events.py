"""What happens at the desk, told to everyone who listens: plain dictionaries that JSON can hold.

Knows nothing of who listens or how it is sent on. Events are shared between listeners and must not be changed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from app.draft import Block
from app.records import Take
from model.contract import BlockStep

DeskEvent = dict[str, Any]
"""`type` says which: engine, reading, step, locked, job, trying, takes or changed."""


PICTURES = frozenset({"step", "trying", "reading"})
"""Types that show how far something is: a newer one says all that the one before said."""


class Subscription:
    """What one listener has not heard yet: the newest picture of each type, and every other event, in order."""

    def __init__(self, leave: Callable[[Subscription], None]) -> None:
        self._leave = leave
        self._news: deque[DeskEvent] = deque()
        self._changed = threading.Condition()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Nothing more will come than what is still to be fetched."""
        with self._changed:
            return self._closed

    def get(self, timeout: float | None = None) -> DeskEvent | None:
        """The next event; waits for it up to `timeout` seconds. None: none came, or the subscription is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._news or self._closed, timeout)
            return self._news.popleft() if self._news else None

    def put(self, event: DeskEvent) -> None:
        with self._changed:
            if self._closed:
                return
            if event["type"] in PICTURES:
                self._news = deque(earlier for earlier in self._news if earlier["type"] != event["type"])
            self._news.append(event)
            self._changed.notify_all()

    def close(self) -> None:
        """A second call does nothing."""
        self._leave(self)
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Hub:
    """All subscriptions. Safe from several threads; never waits for a listener."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Subscription] = []
        self._closed = False

    def __len__(self) -> int:
        """How many listen."""
        with self._lock:
            return len(self._open)

    def subscribe(self) -> Subscription:
        """Hears everything that is published from now on."""
        subscription = Subscription(self._forget)
        with self._lock:
            closed = self._closed
            self._open.append(subscription)
        if closed:
            subscription.close()
        return subscription

    def publish(self, event: DeskEvent) -> None:
        with self._lock:
            for subscription in self._open:
                subscription.put(event)

    def close(self) -> None:
        """Ends every subscription, also those still to come."""
        with self._lock:
            self._closed = True
            listening = list(self._open)
        for subscription in listening:
            subscription.close()

    def _forget(self, subscription: Subscription) -> None:
        with self._lock:
            if subscription in self._open:
                self._open.remove(subscription)


# ----------------------------------------------------------------------------------------------------------- shapes


def picture(step: BlockStep) -> DeskEvent:
    """The block being denoised: `block` is its number in the job, a slot's text is None while it is masked."""
    return {
        "block": step.block,
        "phase": step.phase,
        "slots": [{"text": slot.text, "confidence": slot.confidence} for slot in step.slots],
    }


def block_facts(block: Block) -> DeskEvent:
    """A block of a section; tokens: how many. The seed is text, because JavaScript's numbers do not hold 64 bits."""
    return {
        "text": block.text,
        "author": block.author,
        "tokens": len(block.tokens),
        "seed": None if block.seed is None else str(block.seed),
        "dial": None if block.dial is None else asdict(block.dial),
        "nll": block.nll,
        "nfe": block.nfe,
        "seconds": block.seconds,
        "job": block.job,
    }


def take_facts(take: Take) -> DeskEvent:
    """What a page shows of takes: the passage they are for, and each one's words."""
    return {
        "id": take.id,
        "at": take.at,
        "kind": take.kind,
        "start": take.start,
        "end": take.end,
        "before": take.before,
        "candidates": [asdict(candidate) for candidate in take.candidates],
        "chosen": take.chosen,
    }


def changed(document_id: int, section_id: int | None, revision: int, *, deleted: bool = False) -> DeskEvent:
    """section_id None: the document's title or list of sections changed and `revision` is the document's."""
    return {
        "type": "changed",
        "document_id": document_id,
        "section_id": section_id,
        "revision": revision,
        "deleted": deleted,
    }
