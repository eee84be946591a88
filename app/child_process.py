"""A process of the desk's own, from both sides: it is spawned with a line to it, and never outlives the desk.

Knows nothing of what is said on the line.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NoReturn


def spawned(child: Callable[..., None], arguments: tuple[Any, ...], name: str) -> tuple[BaseProcess, Connection]:
    """The process, which runs child(its end of the line, *arguments), and the desk's end. Raises OSError."""
    context = multiprocessing.get_context("spawn")
    line, childs_end = context.Pipe()
    process = context.Process(target=child, args=(childs_end, *arguments), name=name, daemon=True)
    process.start()
    childs_end.close()  # so that the child's death ends the line
    return process, line


def how(exitcode: int | None) -> str:
    """In words, how a process ended."""
    return f"signal {-exitcode}" if exitcode is not None and exitcode < 0 else f"exit code {exitcode}"


def begin_as_child() -> None:
    """To be called first in the process: Ctrl+C is the desk's to answer, and the desk's end is this process's end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()


def _end_with_parent() -> None:
    """No orphan: ends this process, and what it may have started, when the desk's process is gone, even in mid-forward.

    A process group of its own keeps the terminal's Ctrl+C away and lets the desk end a download with its downloader.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    sentinel = parent.sentinel

    def watch() -> NoReturn:
        wait([sentinel])
        if hasattr(os, "killpg"):
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, name="desk-watch", daemon=True).start()
