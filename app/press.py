"""The press: the model process, and the line of jobs that wait for it. One for every visitor of a desk.

Decides whose job is next and what becomes of a job when the model process dies; knows nothing of documents, storage or
the page. What a job is about, and what its events mean, is the task's business.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from app.corrections import Key, Learning, Seconds
from app.events import DeskEvent
from app.task import Count, Ending, Known, Refused, Task
from app.worker import Died, Worker, WorkerEvent
from model.catalog import Entry
from model.contract import Failed, Filled, Finished, Preparing, Ready, Stopped

DEATHS = 2
"""Deaths of the model process in a row, without anything to show for between, that end a job."""

MAX_WAITING = 200
"""Jobs that one visitor may have in the line."""

Listener = Callable[[DeskEvent], None]


class Press:
    """Every method may be called from any thread. One lock is held over every call of a task, and taken before a
    store's lock, never after.

    entry  the model's facts in the catalogue: its dial, its licence.
    """

    def __init__(
        self,
        entry: Entry,
        make_worker: Callable[[Callable[[WorkerEvent], None]], Worker],
        *,
        cache_dir: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """cache_dir: folder of the models' files and of what predictions were off by; None: nowhere."""
        self.entry = entry
        self.cache_dir = cache_dir
        self.clock = clock
        self._lock = threading.RLock()  # over what follows
        self._idle = threading.Condition(self._lock)
        self._listeners: list[Listener] = []
        self._engine = self._engine_facts("preparing", "The model process is being started.")
        self._ready: Ready | None = None
        self._count: Count | None = None
        self._learning = Learning(cache_dir)
        self._current: Task | None = None
        self._resuming = False  # the job under way waits for a new model process
        self._deaths = 0  # since the job under way has last shown something
        self._line: list[Task] = []
        self._turns: dict[Hashable, int] = {}  # whose job began when; the longest ago is next
        self._turn = 0
        self._closing = False
        self._worker = make_worker(self._on_event)

    def start(self) -> None:
        """Starts the model process."""
        self._worker.start()

    def restart(self) -> None:
        """Tries again to get a model after it failed. Does nothing where there is one or one is on its way."""
        with self._lock:
            if self._engine["state"] != "failed" or self._closing:
                return
            self._set_engine("preparing", "The model process is being started.")
        self._worker.start()

    def close(self) -> None:
        """Ends the model process, and with it every job that its visitor has not ended before."""
        with self._lock:
            self._closing = True
        self._worker.close()

    def join(self, listener: Listener) -> None:
        """From now on tells the listener every event about the engine."""
        with self._lock:
            self._listeners.append(listener)

    def leave(self, listener: Listener) -> None:
        """A second call does nothing."""
        with self._lock:
            self._listeners = [other for other in self._listeners if other != listener]

    def engine(self) -> dict[str, Any]:
        """The model's state, "preparing", "ready" or "failed", with a sentence; facts are None until it is ready."""
        with self._lock:
            return dict(self._engine)

    def idle(self, patience: float = 0.0) -> bool:
        """Whether no job is under way or waits; waits for that, at most so many seconds."""
        with self._lock:
            return self._idle.wait_for(lambda: self._current is None and not self._line, patience)

    # ---------------------------------------------------------------------------------------------------- what is known

    def known(self) -> Known:
        """What is known of the model. Raises Refused while there is none."""
        with self._lock:
            if self._closing:
                raise Refused("Galley is being closed; start it again to write.")
            if self._engine["state"] == "failed":
                raise Refused(self._engine["sentence"])
            if self._ready is None or self._count is None:
                raise Refused("The model is not ready yet; write as soon as it is.")
            return Known(self.entry, self._ready, self._count, self._learning.corrections)

    def learn(self, key: Key, *, predicted: Seconds, measured: Seconds) -> None:
        """One more job is over: its seconds make the next prediction better."""
        with self._lock:
            self._learning.learn(key, predicted=predicted, measured=measured)

    # --------------------------------------------------------------------------------------------------------- the line

    def submit(self, task: Task) -> None:
        """Begins the task, or puts it into the line. Raises Refused where it cannot be done as things are."""
        with self._lock:
            known = self.known()
            if self._current is None and not self._line:
                self._begin(task, known)
                return
            if sum(other.owner == task.owner for other in self._line) >= MAX_WAITING:
                raise Refused(f"{MAX_WAITING} jobs are waiting already; let some of them be written first.")
            task.check(known)
            self._line.append(task)
            self._tell_positions()

    def stop(self, job: str, ending: Ending | None = None) -> None:
        """Stops a job within one denoising step, or takes it out of the line; its end is told by a "job" event.

        One that has ended stays as it is. The first reason given for an ending stays, but for a plain stop.
        """
        ending = ending or Ending("stopped")
        with self._lock:
            if self._current is not None and self._current.id == job:
                self._end(self._current, ending)
            for task in [task for task in self._line if task.id == job]:
                self._line.remove(task)
                task.conclude(ending)
                self._tell_positions()
                self._idle.notify_all()

    def tasks(self, owner: Hashable) -> list[Task]:
        """A visitor's jobs: the one under way, if it is theirs, and those that wait, in the order of their turns."""
        with self._lock:
            under_way = [] if self._current is None else [self._current]
            return [task for task in [*under_way, *self._in_order()] if task.owner == owner]

    def end_all(self, owner: Hashable, ending: Ending, patience: float) -> None:
        """Ends all jobs of a visitor; waits for the one under way, at most so many seconds, then lets go of it."""
        with self._lock:
            for task in self.tasks(owner):
                self.stop(task.id, ending)
            self._idle.wait_for(lambda: not self.tasks(owner), patience)
            if self._current is not None and self._current.owner == owner:
                self._current.conclude(ending)
                self._current = None
            self._turns.pop(owner, None)

    @contextmanager
    def still(self) -> Iterator[None]:
        """No job begins, moves or ends in here: for looking at several things that must belong together."""
        with self._lock:
            yield

    def _in_order(self) -> list[Task]:
        """Visitors take turns: of those who wait, whoever had a turn the longest ago comes first."""
        turns, waiting, ordered = dict(self._turns), list(self._line), []
        for turn in range(self._turn + 1, self._turn + 1 + len(waiting)):
            task = min(waiting, key=lambda task: turns.get(task.owner, 0))
            turns[task.owner] = turn
            waiting.remove(task)
            ordered.append(task)
        return ordered

    def _next(self) -> None:
        """The next in the line begins, if nothing is under way."""
        self._idle.notify_all()
        while self._current is None and self._line and not self._closing and self._ready is not None:
            task = self._in_order()[0]
            self._line.remove(task)
            try:
                self._begin(task, self.known())
            except Refused as refusal:
                task.conclude(Ending("failed", str(refusal)))
        self._tell_positions()

    def _begin(self, task: Task, known: Known) -> None:
        asked = task.begin(known)
        self._turn += 1
        self._turns[task.owner] = self._turn
        self._current, self._resuming, self._deaths = task, False, 0
        self._worker.submit(asked)

    def _tell_positions(self) -> None:
        for position, task in enumerate(self._in_order(), 1):
            task.wait(position)

    def _end(self, task: Task, ending: Ending) -> None:
        """Asks the model to let go of the job under way."""
        if task.ending is None or not task.ending.sentence:
            task.ending = ending
        if self._resuming:
            self._over(task, task.ending)
        else:
            self._worker.stop(task.id)

    def _over(self, task: Task, ending: Ending) -> None:
        task.conclude(ending)
        self._current = None
        self._next()

    # ------------------------------------------------------------------------------------------- what the worker tells

    def _on_event(self, event: WorkerEvent) -> None:
        with self._lock:
            match event:
                case Preparing():
                    self._set_engine("preparing", event.sentence, stage=event.stage, done=event.done, total=event.total)
                case Ready():
                    self._on_ready(event)
                case Died():
                    self._on_death()
                case Failed(job=None):
                    self._on_engine_failed(event.sentence)
                case _:
                    if self._current is not None and event.job == self._current.id:
                        self._on_job_event(self._current, event)

    def _on_ready(self, ready: Ready) -> None:
        self._ready, self._count = ready, _token_counter(Path(ready.tokenizer))
        self._learning.begin(ready)
        plural = "" if ready.threads == 1 else "s"
        self._set_engine(
            "ready",
            f"{self.entry.title} is ready ({ready.precision}, {ready.threads} thread{plural}, "
            f"loaded in {ready.load_seconds:.1f} s).",
            context=ready.context,
            precision=ready.precision,
            threads=ready.threads,
            load_seconds=ready.load_seconds,
        )
        if self._current is not None and self._resuming:
            self._resuming = False
            self._worker.submit(self._current.again())
        self._next()

    def _on_engine_failed(self, sentence: str) -> None:
        self._ready = None
        self._set_engine("failed", sentence)
        for task in [*([] if self._current is None else [self._current]), *self._line]:
            task.conclude(Ending("failed", sentence))
        self._current, self._line = None, []
        self._idle.notify_all()

    def _on_death(self) -> None:
        task, self._ready = self._current, None
        self._set_engine("preparing", "The model process ended unexpectedly and is being started again.")
        if task is None:
            return
        self._deaths += 1
        if task.ending is not None:
            self._over(task, task.ending)
        elif task.complete:
            self._over(task, Ending("finished", reason="length"))
        elif self._deaths >= DEATHS:
            self._over(
                task,
                Ending(
                    "failed",
                    f"The model process ended unexpectedly {DEATHS} times in a row; what is written so far is kept, "
                    "write on to try again.",
                ),
            )
        else:
            self._resuming = True
            task.interrupted("The model process ended unexpectedly; writing goes on when it is back.")

    def _on_job_event(self, task: Task, event: Any) -> None:
        match event:
            case Finished() | Filled():
                self._on_finished(task, event)
            case Stopped():
                self._over(task, task.ending or Ending("stopped"))
            case Failed():
                self._over(task, Ending("failed", event.sentence))
            case _:
                if task.hear(event):
                    self._deaths = 0
                if task.ending is not None:
                    self._worker.stop(task.id)

    def _on_finished(self, task: Task, event: Finished | Filled) -> None:
        try:
            asked = task.onward(self.known, event)
        except Refused as refusal:
            self._over(task, Ending("failed", str(refusal)))
            return
        if asked is None:
            self._over(task, task.finish(event))
        else:
            self._worker.submit(asked)

    # ------------------------------------------------------------------------------------------------------- telling

    def _set_engine(self, state: str, sentence: str, **facts: Any) -> None:
        self._engine = self._engine_facts(state, sentence, **facts)
        for listener in self._listeners:
            listener({"type": "engine", **self._engine})

    def _engine_facts(self, state: str, sentence: str, **facts: Any) -> dict[str, Any]:
        unknown = {"context": None, "precision": None, "threads": None, "load_seconds": None}
        progress = {"stage": None, "done": 0, "total": 0}
        names = {"model": self.entry.id, "title": self.entry.title}
        return {"state": state, "sentence": sentence, **progress, **names, **unknown, **facts}


def _token_counter(path: Path) -> Count:
    """Counts tokens of plain text; what looks like a control token in it is text, too. Raises OSError.

    Remembers the last texts, because the same section is counted again for every stop of the dial.
    """
    tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    tokenizer.encode_special_tokens = True

    @lru_cache(maxsize=64)
    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
