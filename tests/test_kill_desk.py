"""Server and model process are killed at 100 random moments while blocks lock in and text is typed: all that a page was
told is there afterwards."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from app.press import Press
from app.session import Session
from app.store import StaleRevision, Store
from app.worker import Worker, WorkerEvent
from model.catalog import SMOLLM2
from model.contract import Dial
from tests.scripted_engine import scripted_child
from tests.test_kill import check_file, starter, typed_in, until_the_end, written_in

KILLS = 100
PATIENCE = 60.0
DIAL = Dial(4, 1, "confidence")
MOST_MESSAGES = 12
"""Before the first kill."""

MOST_TURNS = 400_000
"""Of an empty loop, some 10 ms, before each kill."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")


def serve(folder: Path, section_id: int, seed: int, announce: Connection) -> None:
    """A desk whose model writes on and on in a section, while somebody types in front of what is there."""
    workers: list[Worker] = []

    def make_worker(on_event: Callable[[WorkerEvent], None]) -> Worker:
        workers.append(Worker("scripted", cache_dir=folder, threads=None, on_event=on_event, child=scripted_child))
        return workers[0]

    chance, speaks, keys = random.Random(seed), threading.Lock(), threading.Semaphore(0)
    press = Press(SMOLLM2, make_worker)
    session = Session(Store(folder / "galley.db"), press)
    news = session.subscribe()

    def say(what: str, told: object) -> None:
        with speaks:
            announce.send((what, told))

    def type_words() -> None:
        while keys.acquire():
            section = session.section(section_id)
            typed = typed_in(section)
            text = f"{typed}{chance.randrange(10**6)} "
            with contextlib.suppress(StaleRevision):
                session.save_text(section_id, section.revision, 1 if typed else 0, text)
                say("typed", text)

    def write() -> None:
        session.write(section_id, dial=DIAL, words=2000)

    press.start()
    threading.Thread(target=type_words, daemon=True).start()
    while event := news.get(PATIENCE):
        match event:
            case {"type": "engine", "state": "ready"}:
                say("worker", workers[0].pid)
                if session.job() is None:
                    write()
            case {"type": "locked", "block": block}:
                say("block", block["text"])
            case {"type": "step"}:
                keys.release()
            case {"type": "job", "state": "finished"}:
                write()


def killed(
    context: multiprocessing.context.BaseContext, folder: Path, section_id: int, chance: random.Random
) -> Iterator[tuple[str, str]]:
    """What a desk told until it was killed, its model process before it, after it or at the same time."""
    ear, mouth = multiprocessing.Pipe(duplex=False)
    server = context.Process(target=serve, args=(folder, section_id, chance.randrange(10**9), mouth))  # type: ignore[attr-defined]
    server.start()
    mouth.close()
    with contextlib.closing(ear):
        what, worker = ear.recv()
        assert what == "worker"
        heard = [ear.recv() for _ in range(chance.randrange(MOST_MESSAGES))]
        victims = [server.pid, worker]
        chance.shuffle(victims)
        for victim in victims:
            for _ in range(chance.randrange(MOST_TURNS)):
                pass
            with contextlib.suppress(ProcessLookupError):  # the model process follows its desk by itself
                os.kill(victim, signal.SIGKILL)
        server.join()
        return iter([(what, told) for what, told in [*heard, *until_the_end(ear)] if what != "worker"])


def test_nothing_that_a_page_was_told_is_lost_when_server_and_model_are_killed(tmp_path: Path) -> None:
    path = tmp_path / "galley.db"
    with contextlib.closing(Store(path)) as store:
        section = store.create_document("D").sections[0]
        section = store.change_section(section.id, section.revision, title="Rain", brief="It rains.")
    context, chance, told = starter(), random.Random(6), Counter[str]()
    context.set_forkserver_preload([__name__])  # type: ignore[attr-defined]
    for _ in range(KILLS):
        typed, blocks = typed_in(section), written_in(section)
        for what, text in killed(context, tmp_path, section.id, chance):
            told[what] += 1
            if what == "block":
                blocks.append(text)
            else:
                typed = text
        check_file(path)
        with contextlib.closing(Store(path)) as store:
            section = store.section(section.id)
        assert typed_in(section).startswith(typed)
        assert written_in(section)[: len(blocks)] == blocks
    assert min(told["block"], told["typed"]) > KILLS
