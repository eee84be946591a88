"""The lab's own process, seen from both sides: what is asked of it, and how it is started, asked and ended.

One question, one answer: nothing is computed that was not asked for, so whoever asks decides when the desk goes first.
The child imports the networks only once it runs. Knows nothing of the page.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from app.child_process import begin_as_child, how, spawned

GRACE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Compare:
    """Open these systems, (checkpoint, system), and lay the prompt before each.

    tokens  to be written after it.
    steps   of the samplers that have a number of steps; None: as published.
    """

    systems: tuple[tuple[Path, str], ...]
    prompt: str
    tokens: int
    seed: int
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """problems: for each system why it cannot write this, or None."""

    problems: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One more forward of a system."""

    side: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A place of the block in work. text None: not decided. sure: what is there now stays."""

    text: str | None
    sure: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """A text that is being written.

    locked   text of the finished blocks.
    slots    the block in work; empty when `done`.
    tokens   that are decided.
    nfe      forwards of the network so far.
    seconds  that they took, opening left out.
    """

    locked: str
    slots: tuple[Slot, ...]
    tokens: int
    nfe: int
    seconds: float
    done: bool


@dataclass(frozen=True, slots=True)
class Read:
    """Let the default model read a system's text."""

    side: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """perplexity: of the text, by the default model's own tokens; None: `problem` says why, in one sentence."""

    perplexity: float | None
    problem: str | None


Question = Compare | Step | Read
Answer = Opened | Picture | Verdict

Answerer = Callable[[Question], Answer]
"""What the child does with a question. An exception of it is not caught: the process ends with a traceback."""

Child = Callable[[Connection, Path, int | None], None]
"""What runs in the spawned process: (line to the desk, cache folder, CPU threads or None for the default)."""


# -------------------------------------------------------------------------------------------------------- the child


def lab_child(connection: Connection, cache_dir: Path, threads: int | None) -> None:
    """The lab's process with real networks."""
    begin_as_child()
    from app.lab_bench import Bench

    answer_all(connection, Bench(cache_dir, threads).answer)


def answer_all(connection: Connection, answer: Answerer) -> None:
    """Answers until nobody asks any more."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            question = connection.recv()
            connection.send(answer(question))


# --------------------------------------------------------------------------------------------------------- the desk


class LabEnded(Exception):
    """The process has ended, or cannot be started; the message is one sentence."""


class LabProcess:
    """Starts the process when it is first asked, and again after it has ended. `ask` belongs to one thread."""

    def __init__(self, cache_dir: Path, threads: int | None, child: Child = lab_child) -> None:
        self._arguments = (cache_dir, threads)
        self._child = child
        self._lock = threading.Lock()  # over what follows; never held while waiting for an answer
        self._process: BaseProcess | None = None
        self._line: Connection | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        with self._lock:
            return self._process.pid if self._process else None

    def ask(self, question: Question) -> Answer:
        """Waits for the answer. Raises LabEnded."""
        line = self._open()
        try:
            line.send(question)
            answer: Answer = line.recv()
        except (EOFError, OSError) as error:
            raise LabEnded(
                f"The lab's process ended unexpectedly ({self._reap()}); "
                "the terminal may say why, and the next comparison starts a new one."
            ) from error
        return answer

    def end(self) -> None:
        """Ends the process, also in the middle of an answer. There may be none."""
        with self._lock:
            if self._process is not None:
                self._process.kill()  # it keeps nothing that could be lost
        self._reap()

    def _open(self) -> Connection:
        with self._lock:
            if self._line is not None:
                return self._line
            try:
                process, line = spawned(self._child, self._arguments, "galley-lab")
            except OSError as error:
                raise LabEnded(
                    f"The lab's process could not be started ({error.strerror}); close other programs and try again."
                ) from error
            self._process, self._line = process, line
            return line

    def _reap(self) -> str:
        """Forgets the process, which has ended or is about to; how it ended."""
        with self._lock:
            process, line = self._process, self._line
            self._process = self._line = None
        if process is None or line is None:
            return "it was told to"
        line.close()
        process.join(GRACE_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
        code = process.exitcode
        process.close()
        return how(code)
