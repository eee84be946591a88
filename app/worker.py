"""Both halves of the model process: the child that owns the model, and the desk's end of the line to it.

The child imports the engine only once it runs, so the desk needs no torch. Knows nothing of documents, storage or the
page; which job goes on after a death is the session's business.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from app.child_process import begin_as_child, how, spawned
from model.contract import Event, Failed, Fill, Filled, Finished, JobEvent, Preparing, Ready, Request, Stopped

GRACE_SECONDS = 3.0
"""How long the model process may take to end by itself; one denoising step of a slow machine must fit."""

STARTS = 2
"""Starts in a row that may end without a ready model."""


@dataclass(frozen=True, slots=True)
class StopJob:
    """To the child: stop this job after the denoising step it is in."""

    job: str


@dataclass(frozen=True, slots=True)
class Close:
    """To the child: stop whatever you do and end."""


@dataclass(frozen=True, slots=True)
class Died:
    """The model process ended by itself and is being started again; the next event of the kind is Preparing or Ready.

    exitcode  negative: the number of the signal that ended it.
    """

    exitcode: int | None


WorkerEvent = Event | Died

# -------------------------------------------------------------------------------------------------------- the child


class Writer(Protocol):
    """What the child needs of an engine.

    Between any two events of a job at most one network forward passes; closing the iterator stops the job.
    """

    @property
    def ready(self) -> Ready: ...

    def write(self, request: Request) -> Iterator[JobEvent]: ...

    def fill(self, request: Fill) -> Iterator[JobEvent]: ...


Opener = Callable[[Callable[[Preparing], None]], Writer | Failed]
"""Opens an engine, reporting how far it is; Failed (job None) where there is no way to get one."""

Child = Callable[[Connection, str, Path, int | None], None]
"""What runs in the spawned process: (line to the desk, model, cache folder, CPU threads or None for the default)."""


def child_main(connection: Connection, model: str, cache_dir: Path, threads: int | None) -> None:
    """The model process with the real engine."""

    began = time.monotonic()

    def open_engine(report: Callable[[Preparing], None]) -> Writer | Failed:
        from model.engine import Engine, ModelUnavailable

        try:
            return Engine.open(model, cache_dir=cache_dir, threads=threads, report=report, since=began)
        except ModelUnavailable as error:
            return Failed(None, str(error))

    serve(connection, open_engine)


def serve(connection: Connection, open_engine: Opener) -> None:
    """Opens the engine and does one job after the other until the desk says Close or is gone.

    An exception of the engine is not caught: the traceback goes to stderr, the process ends, and the desk takes it for
    any other death: it starts a new one and goes on from the last locked block, once.
    """
    begin_as_child()
    line = _Line(connection)
    with contextlib.suppress(_DeskGone):
        engine = open_engine(line.send)
        if isinstance(engine, Failed):
            line.send(engine)
            return
        line.send(engine.ready)
        while not isinstance(message := line.receive(), Close):
            if isinstance(message, Request):
                _tell(line, engine.write(message), message.job)
            elif isinstance(message, Fill):
                _tell(line, engine.fill(message), message.job)


def _tell(line: _Line, events: Iterator[JobEvent], job: str) -> None:
    """Sends the events of one job; after each one it looks whether the desk wants it to stop."""
    stopped = False
    for event in events:
        line.send(event)
        if isinstance(event, Finished | Filled | Failed):
            break  # what is said from now on is not about this job
        while not stopped and line.waiting():
            message = line.receive()
            if isinstance(message, Close):
                raise _DeskGone
            stopped = message == StopJob(job)
        if stopped:
            break
    if isinstance(events, Generator):
        events.close()
    if stopped:
        line.send(Stopped(job))


class _DeskGone(Exception):
    """Nobody listens any more."""


class _Line:
    """The child's end of the pipe. Every method raises _DeskGone where the other end is closed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, event: Event) -> None:
        try:
            self._connection.send(event)
        except OSError as error:
            raise _DeskGone from error

    def receive(self) -> object:
        try:
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise _DeskGone from error

    def waiting(self) -> bool:
        """Whether `receive` would answer at once."""
        try:
            return self._connection.poll()
        except OSError as error:
            raise _DeskGone from error


# --------------------------------------------------------------------------------------------------------- the desk


class Worker:
    """Keeps one model process alive and hands on its events.

    on_event  is called on one thread of the worker's, one event after the other, and must not call `start` or `close`.
    """

    def __init__(
        self,
        model: str,
        *,
        cache_dir: Path,
        threads: int | None,
        on_event: Callable[[WorkerEvent], None],
        child: Child = child_main,
    ) -> None:
        self._arguments = (model, cache_dir, threads)
        self._child = child
        self._on_event = on_event
        self._lock = threading.Lock()  # over what follows; never held while waiting for the child
        self._process: BaseProcess | None = None
        self._line: Connection | None = None
        self._thread: threading.Thread | None = None
        self._ready = False
        self._gave_up = False
        self._closing = False

    @property
    def pid(self) -> int | None:
        """Of the model process, while there is one."""
        with self._lock:
            return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts the model process; also again, after it gave up with Failed (job None). Else does nothing."""
        with self._lock:
            before = self._thread if self._gave_up else None
        if before is not None:
            before.join()
        with self._lock:
            if self._closing or (self._thread is not None and not self._gave_up):
                return
            self._gave_up = False
            self._thread = threading.Thread(target=self._supervise, name="model-process", daemon=True)
            self._thread.start()

    def submit(self, request: Request | Fill) -> None:
        """Hands over a job; to be called while none runs. Where the process is gone, Died says so, not this call."""
        self._send(request)

    def stop(self, job: str) -> None:
        """Asks for the end of a job: Stopped follows within one denoising step, or it had ended already."""
        self._send(StopJob(job))

    def close(self) -> None:
        """Ends the model process and waits for its end; no event comes after this. A second call does nothing."""
        with self._lock:
            self._closing = True
            thread, patient = self._thread, self._ready
        if thread is None:
            return
        if patient:  # else it is loading and does not listen; nothing is lost by ending it
            self._send(Close())
            thread.join(GRACE_SECONDS)
        for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
            if thread.is_alive():
                self._signal(number)
                thread.join(GRACE_SECONDS)
        thread.join()

    def _send(self, message: Request | Fill | StopJob | Close) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._line is not None:
                self._line.send(message)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self._process is None or self._process.pid is None:
                return
            if hasattr(os, "killpg"):
                # Not its own group yet, or gone already: the second way below is enough.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, number)
            if number == signal.SIGTERM:
                self._process.terminate()
            else:
                self._process.kill()

    def _supervise(self) -> None:
        """The worker's thread: one model process after the other."""
        starts = 0
        while (line := self._spawn()) is not None:
            starts += 1
            exitcode = None
            try:
                self._relay(line)
            finally:
                ready = self._ready
                exitcode = self._reap(line)
            if self._closing or self._gave_up:
                return
            starts = 0 if ready else starts
            if starts == STARTS:
                self._give_up(
                    f"The model process ended twice while it was starting ({how(exitcode)}); "
                    "look at the terminal for the reason, and make sure that there is enough memory."
                )
                return
            self._on_event(Died(exitcode))

    def _spawn(self) -> Connection | None:
        """A new process and the desk's end of the line to it; None where the worker is being closed or cannot start."""
        with self._lock:
            if self._closing:
                return None
            try:
                process, line = spawned(self._child, self._arguments, "galley-model")
            except OSError as error:
                problem = (
                    f"The model process could not be started ({error.strerror}); close other programs and try again."
                )
            else:
                self._process, self._line, self._ready = process, line, False
                return line
        self._give_up(problem)
        return None

    def _give_up(self, sentence: str) -> None:
        with self._lock:
            self._gave_up = True
        self._on_event(Failed(None, sentence))

    def _relay(self, line: Connection) -> None:
        """Hands on events until the child's end of the line is closed."""
        while True:
            try:
                event: Event = line.recv()
            except (EOFError, OSError):
                return
            if isinstance(event, Ready):
                with self._lock:
                    self._ready = True
            elif isinstance(event, Failed) and event.job is None:
                with self._lock:
                    self._gave_up = True
            self._on_event(event)

    def _reap(self, line: Connection) -> int | None:
        """Waits for the end of a process whose line is closed; its exit code."""
        process = self._process
        assert process is not None
        process.join(GRACE_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
        exitcode = process.exitcode
        with self._lock:
            self._process = self._line = None
            self._ready = False
            line.close()
            process.close()
        return exitcode
