"""Rules of the model process: it stops within a step, its death is noticed and mended, it never outlives the desk."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from app.environment import ROOT
from app.worker import Died, Worker, WorkerEvent, child_main
from model.contract import (
    BlockLocked,
    BlockStep,
    Dial,
    Failed,
    Fill,
    Filled,
    Finished,
    Piece,
    Preparing,
    Reading,
    Ready,
    Request,
    Stopped,
)
from tests.scripted_engine import Script, fillings, scripted_child, whole_text

PATIENCE = 60.0
"""Seconds after which something that must happen has not happened."""

DIAL = Dial(4, 2, "confidence")
REQUEST = Request(job="one", system="Write.", user="About the sea.", so_far="", dial=DIAL, seed=7, words=30)
FILL = Fill(
    "holes", "Write.", "Sea.", "The ", (Piece(None, was="old sea"), Piece(" lay "), Piece(None, 2)), ".", DIAL, 3, 4
)


class Desk:
    """A worker with the scripted engine, and everything it says."""

    def __init__(self, folder: Path) -> None:
        self.script = Script(folder)
        self.said: queue.Queue[WorkerEvent] = queue.Queue()
        self.worker = Worker("scripted", cache_dir=folder, threads=3, on_event=self.said.put, child=scripted_child)

    def wait(self, wanted: Callable[[WorkerEvent], bool]) -> list[WorkerEvent]:
        """Everything up to the first wanted event, which is the last of the list."""
        heard: list[WorkerEvent] = []
        while not heard or not wanted(heard[-1]):
            heard.append(self.said.get(timeout=PATIENCE))
        return heard

    def wait_for(self, *kinds: type[WorkerEvent]) -> list[WorkerEvent]:
        return self.wait(lambda event: isinstance(event, kinds))

    def pid(self) -> int:
        pid = self.worker.pid
        assert pid is not None
        return pid


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "cache")
    yield desk
    desk.worker.close()


@pytest.fixture
def ready(desk: Desk) -> Desk:
    desk.worker.start()
    desk.wait_for(Ready)
    return desk


def locked(events: list[WorkerEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, BlockLocked))


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def wait_until_gone(pid: int) -> None:
    """Gone, or dead and not yet buried: the orphan's burial is up to this system's first process."""
    give_up = time.monotonic() + PATIENCE
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < give_up, f"process {pid} still runs"
            with contextlib.suppress(psutil.TimeoutExpired):
                process.wait(0.05)


# --------------------------------------------------------------------------------------------------------- writing


def test_it_prepares_is_ready_and_writes_a_job_event_by_event(desk: Desk) -> None:
    desk.worker.start()
    *preparing, ready = desk.wait_for(Ready)
    assert all(isinstance(event, Preparing) for event in preparing)
    assert isinstance(ready, Ready)
    assert ready.threads == 3
    desk.worker.submit(REQUEST)
    events = desk.wait_for(Finished)
    assert isinstance(events[0], Reading)
    assert locked(events) == whole_text(REQUEST)
    blocks = [event.block for event in events if isinstance(event, BlockLocked)]
    assert blocks == list(range(8))
    for before, event in itertools.pairwise(events):
        if isinstance(event, BlockLocked):
            assert isinstance(before, BlockStep)
            assert "".join(slot.text or "?" for slot in before.slots) == event.text


def test_one_process_writes_job_after_job(ready: Desk) -> None:
    pid = ready.pid()
    for name in ("one", "two", "three"):
        request = Request(name, "", "", "", DIAL, len(name), 12)
        ready.worker.submit(request)
        events = ready.wait_for(Finished)
        assert locked(events) == whole_text(request)
        assert {event.job for event in events if isinstance(event, BlockLocked)} == {name}
    assert ready.pid() == pid


def test_a_passage_is_filled_between_two_jobs_of_the_other_kind(ready: Desk) -> None:
    pid = ready.pid()
    ready.worker.submit(REQUEST)
    ready.wait_for(Finished)
    ready.worker.submit(FILL)
    *before, filled = ready.wait_for(Filled)
    assert [type(event) for event in before] == [Reading, BlockStep, BlockStep]
    assert isinstance(filled, Filled)
    assert (filled.job, filled.candidates) == ("holes", fillings(FILL))
    assert len({candidate.texts for candidate in filled.candidates}) == FILL.candidates
    assert all(len(candidate.texts) == 2 for candidate in filled.candidates)
    ready.worker.submit(REQUEST)
    assert locked(ready.wait_for(Finished)) == whole_text(REQUEST)
    assert ready.pid() == pid


# -------------------------------------------------------------------------------------------------------- stopping


def test_filling_stops_between_two_pictures_and_nothing_follows(ready: Desk) -> None:
    ready.script.hold(block=0, step=1)
    ready.worker.submit(FILL)
    ready.wait_for(BlockStep)
    ready.worker.stop("holes")
    assert not [event for event in ready.wait_for(Stopped) if isinstance(event, Filled)]
    ready.script.release()
    ready.worker.submit(REQUEST)
    assert {event.job for event in ready.wait_for(Finished) if isinstance(event, BlockStep | Filled)} == {"one"}


def test_a_filling_that_fails_in_order_leaves_the_process_alive(ready: Desk) -> None:
    ready.script.change(fail_block=0)
    ready.worker.submit(FILL)
    failed = ready.wait_for(Failed)[-1]
    assert isinstance(failed, Failed)
    assert failed.job == "holes"
    ready.script.change(fail_block=None)
    ready.worker.submit(FILL)
    ready.wait_for(Filled)


def test_stop_takes_effect_in_mid_block_and_nothing_follows(ready: Desk) -> None:
    ready.script.hold(block=1)
    ready.worker.submit(REQUEST)
    ready.wait(lambda event: isinstance(event, BlockStep) and event.block == 1)
    ready.worker.stop("one")
    events = ready.wait_for(Stopped)
    assert not [event for event in events if isinstance(event, BlockLocked)]
    ready.script.release()
    ready.worker.submit(Request("two", "", "", "", DIAL, 1, 12))
    assert {event.job for event in ready.wait_for(Finished) if isinstance(event, BlockStep)} == {"two"}


def test_stop_for_another_job_or_an_ended_one_changes_nothing(ready: Desk) -> None:
    ready.worker.stop("never was")
    ready.script.hold(block=1)
    ready.worker.submit(REQUEST)
    ready.wait(lambda event: isinstance(event, BlockStep) and event.block == 1)
    ready.worker.stop("another")
    ready.script.release()
    ready.wait_for(Finished)
    ready.worker.stop("one")
    ready.worker.submit(REQUEST)
    assert locked(ready.wait_for(Finished, Stopped)) == whole_text(REQUEST)


# ----------------------------------------------------------------------------------------------------------- death


def test_a_killed_process_is_reported_and_started_again(ready: Desk) -> None:
    ready.script.hold(block=2)
    ready.worker.submit(REQUEST)
    ready.wait(lambda event: isinstance(event, BlockStep) and event.block == 2)
    first = ready.pid()
    kill(first)
    assert ready.wait_for(Died)[-1] == Died(-signal.SIGKILL)
    ready.wait_for(Ready)
    assert ready.pid() != first
    ready.script.release()
    ready.worker.submit(REQUEST)
    assert locked(ready.wait_for(Finished)) == whole_text(REQUEST)


def test_every_block_locked_before_the_death_is_heard_before_the_death(ready: Desk) -> None:
    ready.script.hold(block=5)
    ready.worker.submit(REQUEST)
    seen = ready.wait(lambda event: isinstance(event, BlockStep) and event.block == 5)
    kill(ready.pid())
    seen += ready.wait_for(Died)
    assert [event.block for event in seen if isinstance(event, BlockLocked)] == [0, 1, 2, 3, 4]


def test_an_unexpected_error_is_loud_and_ends_the_process(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    desk.script.change(break_block=1)
    desk.worker.start()
    desk.wait_for(Ready)
    desk.worker.submit(REQUEST)
    assert desk.wait_for(Died)[-1] == Died(1)
    assert "RuntimeError: the scripted engine was told to break here" in capfd.readouterr().err
    desk.wait_for(Ready)


def test_an_orderly_failure_of_a_job_leaves_the_process_alive(ready: Desk) -> None:
    pid = ready.pid()
    ready.script.change(fail_block=1)
    ready.worker.submit(REQUEST)
    failed = ready.wait_for(Failed)[-1]
    assert isinstance(failed, Failed)
    assert failed.job == "one"
    ready.script.change(fail_block=None)
    ready.worker.submit(REQUEST)
    ready.wait_for(Finished)
    assert ready.pid() == pid


def test_a_model_that_is_not_to_be_had_is_said_once_and_tried_again_on_request(desk: Desk) -> None:
    desk.script.change(unavailable="The weights are not there; connect to the network once.")
    desk.worker.start()
    assert desk.wait_for(Failed, Died)[-1] == Failed(None, "The weights are not there; connect to the network once.")
    desk.script.change(unavailable=None)
    desk.worker.start()
    heard = desk.wait_for(Ready)
    assert not [event for event in heard if isinstance(event, Failed | Died)]
    pid = desk.pid()
    desk.worker.start()
    assert desk.pid() == pid


def test_a_process_that_dies_while_starting_is_not_started_forever(desk: Desk) -> None:
    desk.script.change(break_opening=True)
    desk.worker.start()
    assert desk.wait_for(Died)[-1] == Died(1)
    failed = desk.wait_for(Failed, Died)[-1]
    assert isinstance(failed, Failed)
    assert failed.job is None
    assert "exit code 1" in failed.sentence
    desk.script.change(break_opening=False)
    desk.worker.start()
    desk.wait_for(Ready)


# --------------------------------------------------------------------------------------------------------- closing


def test_closing_ends_a_process_that_is_writing(ready: Desk) -> None:
    pid = ready.pid()
    ready.script.hold(block=1)
    ready.worker.submit(REQUEST)
    ready.wait_for(BlockStep)
    ready.worker.close()
    assert not psutil.pid_exists(pid)
    assert ready.worker.pid is None
    ready.worker.close()
    ready.worker.start()
    assert ready.worker.pid is None


def test_closing_ends_a_process_that_is_still_preparing(desk: Desk) -> None:
    desk.script.change(hold_opening=True)
    desk.worker.start()
    desk.wait_for(Preparing)
    pid = desk.pid()
    desk.worker.close()
    assert not psutil.pid_exists(pid)
    assert desk.said.empty()


def test_closing_a_worker_that_never_started_does_nothing(tmp_path: Path) -> None:
    Desk(tmp_path).worker.close()
    assert not list(tmp_path.iterdir())


ORPHAN = """
import sys
from pathlib import Path
from app.worker import Worker
from tests.scripted_engine import scripted_child
import threading

if __name__ == "__main__":
    folder, wanted = Path(sys.argv[1]), sys.argv[2]
    there = threading.Event()
    def heard(event):
        if type(event).__name__ == wanted:
            there.set()
    worker = Worker("scripted", cache_dir=folder, threads=None, on_event=heard, child=scripted_child)
    worker.start()
    there.wait()
    print(worker.pid, flush=True)
    threading.Event().wait()
"""


@pytest.mark.parametrize("wanted", ["Preparing", "Ready"])
def test_the_model_process_ends_when_the_desk_is_killed(tmp_path: Path, wanted: str) -> None:
    """Also while it loads and listens to nobody."""
    program = tmp_path / "desk.py"
    program.write_text(ORPHAN, encoding="utf-8")
    Script(tmp_path / "cache").change(hold_opening=wanted == "Preparing")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(program), str(tmp_path / "cache"), wanted]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as desk:
        assert desk.stdout is not None
        pid = int(desk.stdout.readline())
        assert psutil.pid_exists(pid)
        desk.kill()
    wait_until_gone(pid)


def test_ctrl_c_in_the_terminal_is_not_for_the_model_process(ready: Desk) -> None:
    assert os.getpgid(ready.pid()) == ready.pid()
    os.kill(ready.pid(), signal.SIGINT)
    ready.worker.submit(REQUEST)
    assert locked(ready.wait_for(Finished, Died)) == whole_text(REQUEST)


def test_closing_from_two_threads_at_once_is_safe(ready: Desk) -> None:
    threads = [threading.Thread(target=ready.worker.close) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert ready.worker.pid is None


def test_a_desk_process_never_imports_torch() -> None:
    program = "import sys, app.worker, app.session; sys.exit('torch' in sys.modules or 'model.engine' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
    assert child_main.__module__ == "app.worker"
