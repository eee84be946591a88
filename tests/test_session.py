"""Rules of the verbs: stored before told, stopped when asked, resumed after a death, refused in one sentence."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from app.draft import Block, Section, count_words
from app.events import DeskEvent
from app.press import Press
from app.session import Refused, Session, Subscription
from app.store import InvalidValue, NotFound, StaleDocument, StaleRevision, Store, StoreUnavailable
from app.worker import Worker, WorkerEvent
from model.catalog import PUBLISHED, SMOLLM2, Entry
from model.contract import Dial, Request
from tests.scripted_engine import Script, scripted_child

PATIENCE = 60.0
"""Seconds after which something that must happen has not happened."""

DIAL = Dial(4, 2, "confidence")
STOP = SMOLLM2.stops[0]


def locked(told: list[DeskEvent]) -> list[DeskEvent]:
    return [event for event in told if event["type"] == "locked"]


def drain(subscription: Subscription) -> list[DeskEvent]:
    heard = []
    while (event := subscription.get(0)) is not None:
        heard.append(event)
    return heard


class WatchedStore(Store):
    """A store whose disk fills up after so many more blocks, and that listens to what is told while it stores one."""

    room = 10**9
    witness: Subscription | None = None

    def append_block(self, section_id: int, block: Block) -> tuple[int, Section]:
        if self.room == 0:
            raise StoreUnavailable("The disk is full and the last change was not saved; make room and try again.")
        self.room -= 1
        index, section = super().append_block(section_id, block)
        if self.witness is not None:
            assert index not in [event["index"] for event in locked(drain(self.witness))]
        return index, section


class Desk:
    """A session over a real store and a real model process with the scripted engine, and what it tells."""

    def __init__(self, folder: Path, entry: Entry = SMOLLM2) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.script = Script(self.cache)
        self.store = WatchedStore(folder / "galley.db")
        self.press = Press(entry, self.make_worker)
        self.session = Session(self.store, self.press)
        self.news = self.session.subscribe()
        self.section = self.store.create_document("The lighthouse").sections[0]
        self.section = self.store.change_section(
            self.section.id, 0, title="Night", brief="A storm comes.", target_words=40
        )

    def make_worker(self, on_event: Callable[[WorkerEvent], None]) -> Worker:
        self.worker = Worker("scripted", cache_dir=self.cache, threads=None, on_event=on_event, child=scripted_child)
        return self.worker

    def start(self) -> None:
        self.press.start()
        self.until(lambda event: event["type"] == "engine" and event["state"] != "preparing")

    def close(self) -> None:
        self.session.close()
        self.press.close()

    def write(self, **asked: Any) -> str:
        return self.session.write(self.section.id, **{"dial": DIAL, "seed": 7, **asked})

    def until(self, wanted: Callable[[DeskEvent], bool]) -> list[DeskEvent]:
        """Everything told up to the first wanted event, which is the last of the list."""
        told: list[DeskEvent] = []
        while not told or not wanted(told[-1]):
            event = self.news.get(PATIENCE)
            assert event is not None, f"nothing more was told after {told[-3:]}"
            json.dumps(event)
            told.append(event)
        return told

    def until_end(self, state: str) -> list[DeskEvent]:
        """Everything up to the end of the job, which must be of that kind."""
        told = self.until(lambda event: event["type"] == "job" and event["state"] != "running")
        assert told[-1]["state"] == state, told[-1]
        return told

    def until_block(self, block: int) -> list[DeskEvent]:
        return self.until(lambda event: event["type"] == "step" and event["block"] == block)

    def text(self) -> str:
        return self.store.section(self.section.id).text

    def kill(self) -> int:
        pid = self.worker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid

    def refusal(self, **asked: Any) -> str:
        with pytest.raises(Refused) as refused:
            self.write(**asked)
        return one_sentence(refused.value)


def one_sentence(error: object) -> str:
    sentence = str(error)
    assert sentence[0].isupper() or sentence[0] in "“0123456789-", sentence
    assert sentence.endswith("."), sentence
    assert ". " not in sentence, sentence
    assert "\n" not in sentence
    return sentence


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Desk]:
    """Not started yet."""
    desk = Desk(tmp_path / "data")
    yield desk
    desk.close()
    desk.store.close()


@pytest.fixture
def desk(idle: Desk) -> Desk:
    idle.start()
    return idle


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the desk writes with seed 7 when nothing happens to it."""
    desk = Desk(tmp_path_factory.mktemp("undisturbed"))
    desk.start()
    desk.write()
    desk.until_end("finished")
    desk.close()
    text = desk.text()
    desk.store.close()
    assert count_words(text) == 40
    assert text.endswith(".")
    return text


# --------------------------------------------------------------------------------------------------------- writing


def test_a_section_is_written_to_its_target_and_kept(desk: Desk) -> None:
    job = desk.write()
    told = desk.until_end("finished")
    section = desk.store.section(desk.section.id)
    assert section.words == 40
    assert section.status == "draft"
    assert section.revision == desk.section.revision
    assert "".join(event["block"]["text"] for event in locked(told)) == section.text
    assert [event["index"] for event in locked(told)] == list(range(10))
    assert [event["seen_blocks"] for event in locked(told)] == list(range(1, 11))
    assert {block.author for block in section.blocks} == {"model"}
    assert {block.job for block in section.blocks} == {job}
    assert all(block.tokens and block.seed is not None and block.dial == DIAL for block in section.blocks)
    (row,) = desk.store.jobs(section.id)
    assert (row.job, row.state, row.note["reason"]) == (job, "finished", "length")
    assert row.request["seed"] == 7
    end = told[-1]
    assert end["reason"] == "length"
    assert end["document_id"] == section.document_id
    assert desk.session.job() is None
    meter = end["meter"]
    assert (meter["tokens"], meter["words"], meter["target_words"], meter["blocks"]) == (40, 40, 40, 10)
    assert meter["nfe"] == 30
    assert meter["nfe_per_token"] == 0.75
    assert meter["seconds"] == pytest.approx(0.6)
    assert meter["first_block_seconds"] == pytest.approx(0.06)
    assert meter["tokens_per_second"] == pytest.approx(4 / 0.06)
    assert meter["seconds_left"] == 0


def test_a_block_is_in_the_store_before_anybody_hears_of_it(desk: Desk) -> None:
    """Read through a connection of its own, as after a crash at this moment."""
    desk.store.witness = desk.session.subscribe()
    desk.write()
    told: list[DeskEvent] = []
    while not told or told[-1]["type"] != "job" or told[-1]["state"] == "running":
        event = desk.news.get(PATIENCE)
        assert event is not None
        told.append(event)
        if event["type"] == "locked":
            copy = Store(desk.folder / "galley.db")
            blocks = copy.section(desk.section.id).blocks
            copy.close()
            assert blocks[event["index"]].text == event["block"]["text"]
    assert len(locked(told)) == 10


def test_the_same_seed_writes_the_same_text_and_another_one_another(desk: Desk, undisturbed: str) -> None:
    desk.write(seed=7)
    desk.until_end("finished")
    assert desk.text() == undisturbed
    section = desk.store.section(desk.section.id)
    desk.session.save_text(section.id, section.revision, len(section.blocks), "")
    desk.write(seed=8)
    desk.until_end("finished")
    assert desk.text() != undisturbed
    assert count_words(desk.text()) == 40


def test_writing_on_goes_on_behind_the_text_up_to_the_target(desk: Desk) -> None:
    desk.session.save_text(desk.section.id, desk.section.revision, 0, "It was late. The sea was loud.")
    desk.write()
    told = desk.until_end("finished")
    assert desk.text().startswith("It was late. The sea was loud. ")
    assert count_words(desk.text()) == 40
    assert told[-1]["meter"]["words"] == 33
    assert desk.store.section(desk.section.id).blocks[0].author == "writer"
    section = desk.session.change_section(desk.section.id, 2, target_words=60)
    desk.write()
    desk.until_end("finished")
    assert desk.store.section(section.id).words == 60


def test_words_may_be_asked_for_beyond_the_target(desk: Desk) -> None:
    desk.write(words=5)
    assert desk.until_end("finished")[-1]["meter"]["words"] == 5
    desk.write(words=50)
    desk.until_end("finished")
    assert count_words(desk.text()) == 55


def test_a_model_that_ends_early_or_has_no_room_says_so(desk: Desk) -> None:
    desk.script.change(end_after=12)
    desk.write()
    end = desk.until_end("finished")[-1]
    assert (end["reason"], end["meter"]["words"]) == ("end", 12)
    assert "12 words" in one_sentence(end["sentence"])


def test_a_section_longer_than_the_context_is_written_part_by_part(idle: Desk) -> None:
    idle.script.change(context=1024)
    idle.start()
    idle.write(words=2000)
    end = idle.until_end("finished")[-1]
    assert (end["reason"], end["meter"]["words"]) == ("length", 2000)
    assert end["meter"]["tokens"] > 1024


def test_as_a_whole_it_is_written_as_far_as_there_is_room(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "data", replace(SMOLLM2, part_words=0))
    with closing(desk.store), closing(desk):
        desk.script.change(context=1024)
        desk.start()
        desk.write(words=5000)
        end = desk.until_end("finished")[-1]
        assert end["reason"] == "budget"
        assert 800 < end["meter"]["tokens"] < 1024
        assert "room" in one_sentence(end["sentence"])


def test_a_failing_job_says_why_and_the_next_one_goes_well(desk: Desk) -> None:
    desk.script.change(fail_block=3)
    desk.write()
    told = desk.until_end("failed")
    assert "told to fail" in told[-1]["sentence"]
    assert len(locked(told)) == 3
    desk.script.change(fail_block=None)
    desk.write()
    desk.until_end("finished")


def test_typing_while_the_model_writes_keeps_both(desk: Desk) -> None:
    desk.script.hold(block=2)
    desk.write()
    told = desk.until_block(2)
    seen = locked(told)[-1]["seen_blocks"]
    written = desk.text()
    desk.session.save_text(desk.section.id, desk.section.revision, seen, "Mine. " + written)
    desk.script.release()
    desk.until_end("finished")
    assert desk.text().startswith("Mine. " + written)
    assert count_words(desk.text()) == 41


# -------------------------------------------------------------------------------------------------------- stopping


def test_stop_keeps_every_locked_block_and_the_section_can_be_continued(desk: Desk) -> None:
    desk.script.hold(block=3)
    job = desk.write()
    desk.until_block(3)
    kept = desk.text()
    running = desk.session.job()
    assert running is not None
    assert running["step"]["block"] == 3
    assert (running["section_title"], running["section_id"], running["job"]) == ("Night", desk.section.id, job)
    json.dumps(running)
    desk.session.stop(job)
    told = desk.until_end("stopped")
    assert not locked(told)
    assert "12 words" in one_sentence(told[-1]["sentence"])
    assert desk.text() == kept
    assert desk.store.jobs(desk.section.id)[0].state == "stopped"
    desk.session.stop(job)
    desk.script.release()
    desk.write()
    desk.until_end("finished")
    assert desk.text().startswith(kept)
    assert count_words(desk.text()) == 40


def test_stop_for_a_job_that_is_not_there_does_nothing(desk: Desk) -> None:
    desk.session.stop("never was")
    desk.write()
    desk.session.stop("another")
    desk.until_end("finished")


@pytest.mark.parametrize("what", ["section", "document"])
def test_deleting_what_is_being_written_stops_the_job(desk: Desk, what: str) -> None:
    desk.script.hold(block=1)
    desk.write()
    desk.until_block(1)
    if what == "section":
        desk.session.delete_section(desk.section.id, desk.section.revision)
    else:
        desk.session.delete_document(desk.section.document_id, 0)
    end = desk.until_end("stopped")[-1]
    assert f"{what} was deleted" in one_sentence(end["sentence"])
    assert desk.session.job() is None


def test_a_block_that_comes_for_a_section_deleted_elsewhere_ends_the_job(desk: Desk) -> None:
    """Another process on the same database deletes it; the block's text stays in the history."""
    desk.script.hold(block=1)
    desk.write()
    desk.until_block(1)
    desk.store.delete_section(desk.section.id, desk.section.revision)
    desk.script.release()
    desk.until_end("stopped")
    assert [row.kind for row in desk.store.history(section_id=desk.section.id)][-1] == "refused"


def test_a_full_disk_stops_the_job_and_says_so(desk: Desk) -> None:
    desk.store.room = 3
    desk.write()
    told = desk.until_end("failed")
    assert "disk is full" in told[-1]["sentence"]
    assert len(locked(told)) == 3
    section = desk.store.section(desk.section.id)
    assert "".join(event["block"]["text"] for event in locked(told)) == section.text
    desk.store.room = 1000
    desk.write()
    desk.until_end("finished")
    assert count_words(desk.text()) == 40


# ----------------------------------------------------------------------------------------------------------- death


@pytest.mark.parametrize("block", [0, 1, 6, 9])
def test_a_killed_model_process_costs_no_word(desk: Desk, undisturbed: str, block: int) -> None:
    desk.script.hold(block)
    job = desk.write()
    desk.until_block(block)
    kept = desk.text()
    first = desk.kill()
    waiting = desk.until(lambda event: event["type"] == "job")[-1]
    assert waiting["state"] == "running"
    one_sentence(waiting["sentence"])
    desk.until_block(block)
    assert desk.text() == kept
    assert desk.worker.pid != first
    desk.script.release()
    end = desk.until_end("finished")[-1]
    assert desk.text() == undisturbed
    assert end["job"] == job
    assert (end["meter"]["words"], end["meter"]["blocks"]) == (40, 10)


def test_two_deaths_without_a_block_between_end_the_job_and_not_the_desk(desk: Desk, undisturbed: str) -> None:
    desk.script.hold(block=2)
    desk.write()
    desk.until_block(2)
    desk.kill()
    # pictures after this are new ones
    desk.until(lambda event: event["type"] == "engine" and event["state"] == "ready")
    desk.until_block(2)
    desk.kill()
    told = desk.until_end("failed")
    assert "2 times" in one_sentence(told[-1]["sentence"])
    assert desk.store.jobs(desk.section.id)[0].state == "failed"
    kept = desk.text()
    assert undisturbed.startswith(kept)
    assert count_words(kept) == 8
    desk.script.release()
    desk.until(lambda event: event["type"] == "engine" and event["state"] == "ready")
    desk.write()
    desk.until_end("finished")
    assert count_words(desk.text()) == 40


def test_deaths_with_progress_between_them_do_not_end_the_job(desk: Desk, undisturbed: str) -> None:
    desk.script.hold(block=1)
    desk.write()
    for block in (1, 2, 3, 4):
        desk.script.hold(block)
        desk.until_block(block)
        desk.kill()
        desk.until(lambda event: event["type"] == "job")
    desk.script.release()
    desk.until_end("finished")
    assert desk.text() == undisturbed


def test_an_error_in_the_engine_that_comes_back_ends_the_job(desk: Desk) -> None:
    desk.script.change(break_block=2)
    desk.write()
    desk.until_end("failed")
    assert count_words(desk.text()) == 8


def test_a_job_can_be_stopped_while_it_waits_for_a_new_process(desk: Desk) -> None:
    desk.script.hold(block=2)
    job = desk.write()
    desk.until_block(2)
    desk.script.change(hold_opening=True)
    desk.kill()
    desk.until(lambda event: event["type"] == "job")
    running = desk.session.job()
    assert running is not None
    assert running["waiting"]
    assert "not ready" in desk.refusal()
    desk.session.stop(job)
    desk.until_end("stopped")
    desk.script.change(hold_opening=False, hold=None)
    desk.until(lambda event: event["type"] == "engine" and event["state"] == "ready")
    assert desk.session.job() is None


def test_a_job_whose_model_does_not_come_back_fails_with_the_models_sentence(desk: Desk) -> None:
    desk.script.hold(block=2)
    desk.write()
    desk.until_block(2)
    desk.script.change(unavailable="The weights are gone; fetch them again.")
    desk.kill()
    assert desk.until_end("failed")[-1]["sentence"] == "The weights are gone; fetch them again."
    assert count_words(desk.text()) == 8


# ---------------------------------------------------------------------------------------------- no model, no harm


def test_without_a_model_the_desk_is_an_editor(idle: Desk) -> None:
    idle.script.change(unavailable="The weights are not there; connect to the network once.")
    idle.start()
    engine = idle.session.engine()
    assert (engine["state"], engine["sentence"]) == (
        "failed",
        "The weights are not there; connect to the network once.",
    )
    assert idle.refusal() == engine["sentence"]
    section = idle.session.save_text(idle.section.id, idle.section.revision, 0, "By hand.")
    assert idle.session.section(section.id).text == "By hand."
    assert idle.session.predict(section.id, STOP.dial, STOP.name) is None
    assert idle.session.predict_all(section.document_id, [(STOP.dial, STOP.name)]) == [None]
    idle.script.change(unavailable=None)
    idle.session.restart()
    idle.until(lambda event: event["type"] == "engine" and event["state"] == "ready")
    idle.write()
    idle.until_end("finished")


def test_while_the_model_is_prepared_the_desk_is_an_editor_and_tells_how_far_it_is(idle: Desk) -> None:
    idle.script.change(hold_opening=True)
    idle.press.start()
    idle.until(lambda event: event["type"] == "engine" and event["stage"] == "fetch")
    engine = idle.session.engine()
    assert (engine["state"], engine["done"], engine["total"]) == ("preparing", 50, 100)
    assert engine["context"] is None
    assert "not ready" in idle.refusal()
    idle.session.create_document("Meanwhile")
    idle.session.restart()
    idle.script.change(hold_opening=False)
    idle.until(lambda event: event["type"] == "engine" and event["state"] == "ready")
    engine = idle.session.engine()
    assert (engine["context"], engine["precision"], engine["threads"]) == (8192, "float32", 2)
    one_sentence(engine["sentence"])


# -------------------------------------------------------------------------------------------------------- refusals


def test_refusals_are_one_sentence_each_and_change_nothing(desk: Desk) -> None:
    for words in (0, -1, 5001, 100_000):
        assert str(words) in desk.refusal(words=words)
    assert "seed" in desk.refusal(seed=-1)
    assert "seed" in desk.refusal(seed=2**63)
    with pytest.raises(NotFound):
        desk.session.write(10**6, dial=DIAL)
    empty = desk.store.create_document("Nothing asked").sections[0]
    with pytest.raises(Refused) as refused:
        desk.session.write(empty.id, dial=DIAL)
    assert "neither a title nor a brief" in one_sentence(refused.value)
    desk.store.change_section(desk.section.id, 1, brief="long " * 9000)
    assert "shorten" in desk.refusal()
    assert desk.session.job() is None
    assert not desk.store.jobs(desk.section.id)
    assert desk.text() == ""


def test_a_section_at_its_target_is_not_written_on_unasked(desk: Desk) -> None:
    desk.store.save_text(desk.section.id, 1, 0, "word " * 35)
    assert desk.refusal() == "“Night” already has its 35 words; raise its target to go on."
    desk.store.save_text(desk.section.id, 2, 1, "word " * 30)
    desk.write()
    desk.until_end("finished")
    assert count_words(desk.text()) == 40


def test_a_short_target_of_an_empty_section_is_written(desk: Desk) -> None:
    desk.store.change_section(desk.section.id, 1, target_words=3)
    desk.write()
    desk.until_end("finished")
    assert count_words(desk.text()) == 3


def test_a_section_is_written_by_one_job_at_a_time(desk: Desk) -> None:
    desk.script.hold(block=1)
    desk.write()
    desk.until_block(1)
    assert "“Night” is being written" in desk.refusal()


def test_a_block_size_the_model_was_not_made_for_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "galley.db")
    section = store.create_document("A document").sections[0]
    press = Press(replace(SMOLLM2, block_sizes=(1, 4)), lambda on_event: _worker(tmp_path, on_event))
    session = Session(store, press)
    with pytest.raises(Refused) as refused:
        session.write(section.id, dial=Dial(16, 4, "confidence"))
    assert "1, 4" in one_sentence(refused.value)
    session.close()
    press.close()
    store.close()


BASE = PUBLISHED[1]
"""Continues text, in blocks of 8 that it cannot verify."""


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Desk]:
    """A desk with such a model and a small window."""
    desk = Desk(tmp_path, BASE)
    desk.script.change(context=64)
    desk.start()
    yield desk
    desk.close()
    desk.store.close()


def test_a_rule_the_model_does_not_know_is_refused(base: Desk) -> None:
    with pytest.raises(Refused) as refused:
        base.write(dial=Dial(8, 1, "verified"))
    assert "verified; choose one of first-hitting, confidence, threshold" in one_sentence(refused.value)


def test_a_base_model_reads_the_text_and_writes_past_its_window(base: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []
    submit = base.worker.submit
    monkeypatch.setattr(base.worker, "submit", lambda request: (asked.append(request), submit(request)))
    base.session.save_text(base.section.id, base.section.revision, 0, "The keeper")
    base.write(words=150)
    end = base.until_end("finished")[-1]
    assert (end["reason"], end["meter"]["words"], end["left_out"]) == ("length", 150, [])
    assert [(request.system, request.user, request.so_far) for request in asked] == [
        ("", "The lighthouse\n\nNight\n\n", "The keeper")
    ]


def test_on_an_empty_page_a_base_model_is_refused_opening_words_and_predicts_all_the_same(base: Desk) -> None:
    section = base.session.create_document("").sections[0]
    stop = BASE.stops[-1]
    assert (base.session.predict(section.id, stop.dial, stop.name) or 0) > 0
    with pytest.raises(Refused) as refused:
        base.session.write(section.id, dial=stop.dial)
    assert "opening words" in one_sentence(refused.value)


def _worker(folder: Path, on_event: Callable[[WorkerEvent], None]) -> Worker:
    return Worker("scripted", cache_dir=folder, threads=None, on_event=on_event, child=scripted_child)


# -------------------------------------------------------------------------------------------------------- telling


def test_every_edit_is_told_with_its_ids_and_revision(idle: Desk) -> None:
    session, store = idle.session, idle.store
    document = session.create_document("New")
    document = session.change_document(document.id, document.revision, title="Newer")
    first = document.sections[0]
    document = session.add_section(document.id, document.revision, after=first.id, title="Second", target_words=20)
    document = session.move_section(document.sections[1].id, document.revision, 0)
    changed = session.change_section(first.id, first.revision, status="done")
    saved = session.save_text(first.id, changed.revision, 0, "Text.")
    document = session.delete_section(first.id, saved.revision)
    session.delete_document(document.id, document.revision)
    told = [idle.news.get(0) for _ in range(8)]
    assert idle.news.get(0) is None
    assert [(event["section_id"], event["revision"]) for event in told if event] == [
        (None, 0),
        (None, 1),
        (None, 2),
        (None, 3),
        (first.id, 1),
        (first.id, 2),
        (None, document.revision),
        (None, document.revision + 1),
    ]
    assert {(event["type"], event["document_id"]) for event in told if event} == {("changed", document.id)}
    assert [event["deleted"] for event in told if event] == [False] * 7 + [True]
    assert [card.title for card in session.documents()] == ["The lighthouse"]
    assert [row.kind for row in session.history(document_id=document.id)][-1] == "document deleted"
    with pytest.raises(NotFound):
        session.document(document.id)
    with pytest.raises(InvalidValue):
        session.change_section(idle.section.id, idle.section.revision, target_words=0)
    with pytest.raises(StaleRevision):
        session.save_text(idle.section.id, 99, 0, "stale")
    with pytest.raises(StaleDocument):
        session.change_document(idle.section.document_id, 99, title="stale")
    assert idle.news.get(0) is None
    assert store.section(idle.section.id).text == ""


def test_a_slow_listener_misses_pictures_but_no_block(desk: Desk) -> None:
    slow = desk.session.subscribe()
    desk.write(words=400)
    desk.until_end("finished")
    heard = drain(slow)
    blocks = desk.store.section(desk.section.id).blocks
    assert [event["index"] for event in locked(heard)] == list(range(len(blocks)))
    assert len(blocks) >= 100
    assert sum(event["type"] == "step" for event in heard) == 1
    assert [event["state"] for event in heard if event["type"] == "job"] == ["running", "finished"]


def test_pictures_show_masked_slots_filling_up_until_the_block_locks(desk: Desk) -> None:
    desk.script.hold(block=4, step=1)
    desk.write()
    step = desk.until_block(4)[-1]
    assert [slot["text"] is None for slot in step["slots"]].count(True) == 2
    assert all(0 <= slot["confidence"] <= 1 for slot in step["slots"])
    assert step["phase"] == "denoise"
    assert step["meter"]["blocks"] == 4
    assert step["meter"]["seconds_left"] > 0
    running = desk.session.job()
    assert running is not None
    assert running["step"]["slots"] == step["slots"]


def test_a_newcomer_sees_no_picture_of_a_block_that_is_locked_already(desk: Desk) -> None:
    """`job` and the news are told under one lock, so what a newcomer reads fits what it hears next."""
    states: queue.Queue[tuple[int, Any]] = queue.Queue()
    news, done = desk.session.subscribe(), threading.Event()

    def look() -> None:
        while not done.is_set():
            if (job := desk.session.job()) is not None:
                states.put((job["meter"]["blocks"], job["step"]))

    looking = threading.Thread(target=look)
    looking.start()
    desk.write(words=200)
    desk.until_end("finished")
    done.set()
    looking.join(PATIENCE)
    news.close()
    while not states.empty():
        blocks, step = states.get()
        assert step is None or step["block"] == blocks


# ------------------------------------------------------------------------------------------------------ prediction


def test_a_prediction_is_what_the_scripted_engine_takes_and_learns_from_finished_jobs(desk: Desk) -> None:
    ask = {"dial": STOP.dial, "stop_name": STOP.name}
    before = desk.session.predict(desk.section.id, STOP.dial, STOP.name)
    assert before is not None
    desk.write(**ask, words=40)
    meter = desk.until_end("finished")[-1]["meter"]
    after = desk.session.predict(desk.section.id, STOP.dial, STOP.name, words=40)
    assert after is not None
    assert abs(after - meter["seconds"]) < abs(before - meter["seconds"])
    assert after == pytest.approx(meter["seconds"], rel=0.1)
    other = SMOLLM2.stops[-1]
    assert desk.session.predict(desk.section.id, other.dial, other.name, words=40) != after


def test_what_all_sections_take_is_what_each_takes_at_the_dial_in_force_there(desk: Desk) -> None:
    session, asked = desk.session, (STOP.dial, STOP.name)
    document = session.document(desk.section.document_id)
    for title, words in (("Noon", 80), ("Dusk", 200), ("", 300)):  # the last one cannot be asked for
        last = document.sections[-1].id
        document = session.add_section(document.id, document.revision, after=last, title=title, target_words=words)
    _, noon, dusk, _ = document.sections
    other = next(stop for stop in SMOLLM2.stops if stop.name != STOP.name)
    session.change_section(dusk.id, dusk.revision, dial=json.dumps({"stop": other.name}))
    session.save_text(noon.id, noon.revision, 0, "word " * 80)
    each = [session.predict(desk.section.id, *asked), session.predict(dusk.id, other.dial, other.name)]
    (found,) = session.predict_all(document.id, [asked])
    assert None not in each
    assert found == pytest.approx(sum(seconds or 0 for seconds in each))
    for section in session.document(document.id).sections:
        session.change_section(section.id, section.revision, status="done")
    assert session.predict_all(document.id, [asked, (other.dial, other.name)]) == [None, None]


def test_a_prediction_needs_something_to_write_but_no_brief(desk: Desk) -> None:
    section = desk.store.create_document("No brief yet").sections[0]
    seconds = desk.session.predict(section.id, STOP.dial, STOP.name)
    assert seconds is not None
    assert seconds > 0
    section = desk.session.save_text(section.id, 0, 0, "word " * 200)
    assert desk.session.predict(section.id, STOP.dial, STOP.name) is None
    more = desk.session.predict(section.id, STOP.dial, STOP.name, words=100)
    assert more is not None
    assert more > 0


# --------------------------------------------------------------------------------------------------------- closing


def test_closing_stops_the_job_keeps_its_text_and_leaves_no_process(idle: Desk) -> None:
    idle.start()
    idle.script.hold(block=2)
    idle.write()
    idle.until_block(2)
    pid = idle.worker.pid
    assert pid is not None
    kept = idle.text()
    idle.close()
    assert not psutil.pid_exists(pid)
    end = idle.until_end("stopped")[-1]
    assert "Galley was closed" in end["sentence"]
    assert idle.store.jobs(idle.section.id)[0].state == "stopped"
    assert idle.text() == kept
    assert idle.news.get(0) is None
    assert idle.news.closed
    assert idle.session.subscribe().closed
    assert "closed" in idle.refusal()
    idle.session.restart()
    assert idle.worker.pid is None


def test_a_job_cut_off_by_a_crash_is_put_away_at_the_next_start(desk: Desk, tmp_path: Path) -> None:
    """The database is copied while the job runs: what a power cut at this moment would leave."""
    desk.script.hold(block=3)
    desk.write()
    desk.until_block(3)
    after = tmp_path / "after"
    shutil.copytree(desk.folder, after)
    store = Store(after / "galley.db")
    assert [row.state for row in store.jobs(desk.section.id)] == ["running"]
    Script(after / "cache").change(unavailable="No model here.")
    press = Press(SMOLLM2, lambda on_event: _worker(after / "cache", on_event))
    session = Session(store, press)
    (row,) = store.jobs(desk.section.id)
    assert row.state == "stopped"
    one_sentence(row.note["sentence"])
    assert store.section(desk.section.id).text == desk.text()
    session.close()
    press.close()
    store.close()


def test_many_threads_may_use_the_desk_at_once(desk: Desk) -> None:
    refused: queue.Queue[str] = queue.Queue()
    jobs: queue.Queue[str] = queue.Queue()
    desk.script.hold(block=1)

    def use(number: int) -> None:
        try:
            jobs.put(desk.write(seed=number))
        except Refused as error:
            refused.put(str(error))
        desk.session.predict(desk.section.id, STOP.dial, STOP.name)
        desk.session.create_document(f"Document {number}")
        desk.session.engine()
        desk.session.job()

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert (jobs.qsize(), refused.qsize()) == (1, 7)
    assert len(desk.session.documents()) == 9
    desk.session.stop(jobs.get())
    desk.until_end("stopped")
