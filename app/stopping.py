"""What Ctrl+C, SIGTERM and a closed terminal mean: first end in good order, then, asked again, end at once.

Knows nothing of what is being ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Inside, the first of SIGNALS raises KeyboardInterrupt and the second ends the process without further ado.

    Main thread only. The second way out is safe: locked text is on the disk already, and the model process ends when
    this one is gone.
    """
    asked = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + number)
        asked = True
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
