"""Rules of the line: one job at a time, visitors take turns, everybody hears where they stand, and nothing is stuck."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.draft import Section
from app.events import DeskEvent
from app.press import Press
from app.session import Refused, Session
from app.store import Store
from app.worker import Worker, WorkerEvent
from model.catalog import PART_WORDS, SMOLLM2
from model.contract import Dial, Failed, count_words
from tests.scripted_engine import Script, scripted_child

PATIENCE = 60.0
DIAL = Dial(4, 2, "confidence")


class Visitor:
    """One visitor's session, and all it was told."""

    def __init__(self, folder: Path, press: Press) -> None:
        self.store = Store(folder / "galley.db")
        self.session = Session(self.store, press)
        self.news = self.session.subscribe()
        self.document = self.store.create_document("A document").id
        self.sections = [self.section("One"), self.section("Two"), self.section("Three")]

    def section(self, title: str) -> Section:
        document = self.store.document(self.document)
        made = self.store.add_section(
            document.id, document.revision, after=document.sections[-1].id, title=title, target_words=12
        )
        return made.sections[-1]

    def write(self, number: int) -> str:
        return self.session.write(self.sections[number].id, dial=DIAL, seed=7)

    def until(self, wanted: Callable[[DeskEvent], bool]) -> list[DeskEvent]:
        told: list[DeskEvent] = []
        while not told or not wanted(told[-1]):
            event = self.news.get(PATIENCE)
            assert event is not None, f"nothing more was told after {told[-3:]}"
            told.append(event)
        return told

    def until_job(self, job: str, state: str, position: int | None = None) -> DeskEvent:
        def wanted(event: DeskEvent) -> bool:
            same = event["type"] == "job" and event["job"] == job and event["state"] == state
            return same and (position is None or event["position"] == position)

        return self.until(wanted)[-1]

    def close(self) -> None:
        self.session.close()
        self.store.close()


class Shop:
    """A press with the scripted engine, and its visitors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = Script(folder / "cache")
        self.press = Press(SMOLLM2, self._worker)
        self.visitors: list[Visitor] = []

    def _worker(self, on_event: Callable[[WorkerEvent], None]) -> Worker:
        cache = self.folder / "cache"
        return Worker("scripted", cache_dir=cache, threads=None, on_event=on_event, child=scripted_child)

    def visitor(self) -> Visitor:
        made = Visitor(self.folder / f"visitor-{len(self.visitors)}", self.press)
        self.visitors.append(made)
        return made

    def close(self) -> None:
        for visitor in self.visitors:
            visitor.close()
        self.press.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with closing(Shop(tmp_path)) as shop:
        ready = shop.visitor()
        shop.press.start()
        ready.until(lambda event: event["type"] == "engine" and event["state"] == "ready")
        yield shop


def held(shop: Shop) -> tuple[Visitor, str]:
    """The first visitor's first section, under way and not getting any further."""
    first = shop.visitors[0]
    shop.script.hold(block=1)
    job = first.write(0)
    first.until(lambda event: event["type"] == "step" and event["block"] == 1)
    return first, job


def test_a_second_section_waits_and_begins_when_the_first_is_finished(shop: Shop) -> None:
    visitor, first = held(shop)
    second = visitor.write(1)
    assert visitor.until_job(second, "queued")["position"] == 1
    shown, (waiting,) = visitor.session.job(), visitor.session.waiting()
    assert shown is not None
    assert (shown["job"], waiting["job"], waiting["state"]) == (first, second, "queued")
    assert visitor.store.jobs(visitor.sections[1].id) == []
    shop.script.release()
    visitor.until_job(first, "finished")
    visitor.until_job(second, "running")
    visitor.until_job(second, "finished")
    assert visitor.store.section(visitor.sections[1].id).words == 12


def test_visitors_take_turns_however_much_one_of_them_wants(shop: Shop) -> None:
    busy, first = held(shop)
    other = shop.visitor()
    mine = [busy.write(number) for number in (1, 2)]
    theirs = other.write(0)
    assert other.until_job(theirs, "queued")["position"] == 1
    busy.until_job(mine[0], "queued", position=2)
    busy.until_job(mine[1], "queued", position=3)
    began: list[str] = []
    shop.script.release()
    other.until_job(theirs, "finished")
    began = [
        event["job"] for event in busy.until(_ended(mine[1])) if event["type"] == "job" and event["state"] == "running"
    ]
    assert began == mine
    assert not [event for event in _rest(other) if event.get("job") in (first, *mine)]


def _ended(job: str) -> Callable[[DeskEvent], bool]:
    return lambda event: event["type"] == "job" and event["job"] == job and event["state"] == "finished"


def _rest(visitor: Visitor) -> list[DeskEvent]:
    heard = []
    while (event := visitor.news.get(0)) is not None:
        heard.append(event)
    return heard


def test_who_waits_may_leave_the_line_and_the_others_move_up(shop: Shop) -> None:
    visitor, first = held(shop)
    second, third = visitor.write(1), visitor.write(2)
    visitor.until_job(third, "queued", position=2)
    visitor.session.stop(second)
    assert visitor.until_job(second, "stopped")["sentence"].endswith(".")
    visitor.until_job(third, "queued", position=1)
    visitor.session.stop(first)
    visitor.until_job(first, "stopped")
    visitor.until_job(third, "running")


def test_one_visitor_cannot_stop_anothers_job(shop: Shop) -> None:
    visitor, job = held(shop)
    stranger = shop.visitor()
    stranger.session.stop(job)
    stranger.session.delete_document(stranger.document, stranger.store.document(stranger.document).revision)
    shop.script.release()
    visitor.until_job(job, "finished")


def test_a_section_that_is_gone_when_its_turn_comes_does_not_hold_up_the_line(shop: Shop) -> None:
    visitor, first = held(shop)
    second, third = visitor.write(1), visitor.write(2)
    visitor.store.delete_section(visitor.sections[1].id, visitor.sections[1].revision)
    shop.script.release()
    assert visitor.until_job(second, "failed")["sentence"].endswith(".")
    visitor.until_job(third, "finished")
    assert first != third


def test_deleting_a_section_takes_its_job_out_of_the_line(shop: Shop) -> None:
    visitor, _ = held(shop)
    second = visitor.write(1)
    visitor.session.delete_section(visitor.sections[1].id, visitor.sections[1].revision)
    assert "deleted" in visitor.until_job(second, "stopped")["sentence"]


def test_the_line_goes_on_after_the_model_process_has_died(shop: Shop) -> None:
    visitor, first = held(shop)
    second = visitor.write(1)
    pid = shop.press._worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    visitor.until(lambda event: event["type"] == "engine" and event["state"] == "ready")
    shop.script.release()
    visitor.until_job(first, "finished")
    visitor.until_job(second, "finished")


def test_a_model_that_is_gone_for_good_ends_the_whole_line(shop: Shop) -> None:
    visitor, first = held(shop)
    second = visitor.write(1)
    shop.press._on_event(Failed(None, "There is no memory left."))
    visitor.until_job(first, "failed")
    visitor.until_job(second, "failed")
    with pytest.raises(Refused, match="memory"):
        visitor.write(2)


def test_all_sections_are_written_one_after_the_other(shop: Shop) -> None:
    visitor = shop.visitors[0]
    done = visitor.sections[1]
    visitor.session.change_section(done.id, done.revision, status="done")
    jobs = visitor.session.write_all(visitor.document, dial=DIAL)
    assert len(jobs) == 2
    for job in jobs:
        visitor.until_job(job, "finished")
    words = [section.words for section in visitor.store.document(visitor.document).sections]
    assert words == [0, 12, 0, 12]
    with pytest.raises(Refused, match="nothing to write"):
        visitor.session.write_all(visitor.document, dial=DIAL)


def test_a_dial_kept_with_a_section_goes_before_the_one_that_is_given(shop: Shop) -> None:
    visitor = shop.visitors[0]
    own = visitor.sections[0]
    visitor.session.change_section(own.id, own.revision, dial='{"stop": "sketch"}')
    first, second, _ = visitor.session.write_all(visitor.document, dial=DIAL)
    assert visitor.until_job(first, "finished")["stop_name"] == "sketch"
    assert visitor.until_job(second, "finished")["dial"]["block_size"] == DIAL.block_size


def test_closing_a_desk_ends_only_its_own_jobs(shop: Shop) -> None:
    visitor, first = held(shop)
    other = shop.visitor()
    theirs = other.write(0)
    visitor.session.close()
    shop.script.release()
    other.until_job(theirs, "finished")
    assert [row.state for row in visitor.store.jobs(visitor.sections[0].id)] == ["stopped"]
    assert first


# ------------------------------------------------------------------------------------------------- part by part


def long_section(shop: Shop) -> tuple[Visitor, Section]:
    visitor = shop.visitors[0]
    document = visitor.store.document(visitor.document)
    made = visitor.store.add_section(
        document.id, document.revision, after=document.sections[-1].id, title="Long", target_words=300
    )
    return visitor, made.sections[-1]


def parts_of(visitor: Visitor, section: Section) -> list[int]:
    return [count_words(part) for part in visitor.store.section(section.id).text.split("\n\n")]


def test_a_long_section_is_written_part_by_part_in_one_job(shop: Shop) -> None:
    visitor, section = long_section(shop)
    job = visitor.session.write(section.id, dial=DIAL, seed=7)
    told = visitor.until(lambda event: event["type"] == "job" and event["state"] == "finished")
    assert told[-1]["job"] == job
    assert told[-1]["meter"]["words"] == 300
    parts = parts_of(visitor, section)
    assert sum(parts) == 300
    assert len(parts) == 3
    assert all(part >= PART_WORDS for part in parts)
    locked = [event for event in told if event["type"] == "locked"]
    assert [event["index"] for event in locked] == list(range(len(locked)))
    assert len({event["block"]["seed"] for event in locked}) == len(locked)
    assert told[-1]["meter"]["blocks"] == len(locked)
    readings = [event for event in told if event["type"] == "reading" and event["done"] == event["total"]]
    assert len(readings) == len(parts)  # each is asked for anew


def test_a_part_is_asked_for_as_the_text_stands_then(shop: Shop) -> None:
    """Whoever changes the brief while a part is written is heard with the next one."""
    visitor, section = long_section(shop)
    shop.script.hold(block=4)
    visitor.session.write(section.id, dial=DIAL, seed=7)
    visitor.until(lambda event: event["type"] == "step" and event["block"] == 4)
    now = visitor.store.section(section.id)
    visitor.session.change_section(section.id, now.revision, title="", brief="")
    shop.script.release()
    end = visitor.until(lambda event: event["type"] == "job" and event["state"] in ("finished", "failed"))[-1]
    assert end["state"] == "failed"
    assert "neither a title nor a brief" in end["sentence"]
    assert len(parts_of(visitor, section)) == 2  # the part that was under way is there, and an empty line behind it


def test_a_job_goes_on_in_its_second_part_after_a_death(shop: Shop) -> None:
    visitor, section = long_section(shop)
    alone = visitor.session.write(section.id, dial=DIAL, seed=7)
    visitor.until_job(alone, "finished")
    whole = visitor.store.section(section.id).text
    now = visitor.store.section(section.id)
    visitor.session.save_text(section.id, now.revision, len(now.blocks), "")
    shop.script.hold(block=30)
    job = visitor.session.write(section.id, dial=DIAL, seed=7)
    visitor.until(lambda event: event["type"] == "step" and event["block"] == 30)
    pid = shop.press._worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    shop.script.release()
    visitor.until_job(job, "finished")
    assert visitor.store.section(section.id).text == whole
