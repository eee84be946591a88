"""Rules of revising: takes come, are kept and told, nothing changes by itself, and everything can be undone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.draft import Section, count_words
from app.passages import KINDS, Kind
from app.revising import AFTER_TOKENS, ReviseTask, beginning_that_fits
from app.session import Refused
from app.store import PassageChanged, StaleRevision
from tests.test_press import DIAL, Shop, Visitor

TEXT = "The storm came over the old harbour at night. Nobody slept. The lamp was lit.\n\nIn the morning it was calm."


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with closing(Shop(tmp_path)) as shop:
        visitor = shop.visitor()
        shop.press.start()
        visitor.until(lambda event: event["type"] == "engine" and event["state"] == "ready")
        yield shop


@pytest.fixture
def visitor(shop: Shop) -> Visitor:
    return shop.visitors[0]


def written(visitor: Visitor, text: str = TEXT) -> Section:
    section = visitor.store.section(visitor.sections[0].id)
    return visitor.session.save_text(section.id, section.revision, len(section.blocks), text)


def revise(visitor: Visitor, section: Section, kind: Kind, start: int, end: int, **how: float) -> str:
    return visitor.session.revise(section.id, section.revision, kind, start, end, dial=DIAL, seed=3, **how)  # type: ignore[arg-type]


def takes(visitor: Visitor, job: str) -> dict[str, object]:
    told = visitor.until(lambda event: event["type"] == "takes" and event["job"] == job)[-1]
    visitor.until_job(job, "finished")
    take: dict[str, object] = told["take"]
    return take


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("reroll", "seam")])
def test_takes_come_and_one_is_chosen_and_undone(visitor: Visitor, kind: Kind) -> None:
    section = written(visitor)
    start, end = {"infill": (77, 77), "alternatives": (4, 9)}.get(kind, (4, 44))
    job = revise(visitor, section, kind, start, end, words=8, strength=0.5)
    take = takes(visitor, job)
    assert visitor.store.section(section.id).text == TEXT
    candidates = take["candidates"]
    assert isinstance(candidates, list)
    assert candidates
    at, to = take["start"], take["end"]
    assert isinstance(at, int)
    assert isinstance(to, int)
    assert TEXT[at:to] == take["before"]
    number = take["id"]
    assert isinstance(number, int)
    chosen, place = visitor.session.choose_take(number, 0, section.revision)
    assert chosen.text == TEXT[:at] + candidates[0]["text"] + TEXT[to:]
    assert at <= place <= to
    back, _ = visitor.session.undo(section.id, chosen.revision)
    assert back.text == TEXT
    assert [one.chosen for one in visitor.session.takes(section.id)] == [0]


def test_a_block_is_written_again_and_the_others_stay_as_they_are(shop: Shop, visitor: Visitor) -> None:
    section = visitor.sections[0]
    visitor.until_job(visitor.write(0), "finished")
    before = visitor.store.section(section.id)
    start = len(before.blocks[0].text)
    shop.script.hold(block=0)
    job = revise(visitor, before, "reroll", start + 1, start + 1)
    visitor.until(lambda event: event["type"] == "trying" and event["job"] == job)
    (task,) = shop.press.tasks(visitor.session._hub)
    assert isinstance(task, ReviseTask)
    assert task._fill is not None
    assert task._fill.after == before.text[start + len(before.blocks[1].text) :]
    assert task._fill.quick
    shop.script.release()
    take = takes(visitor, job)
    candidates = take["candidates"]
    assert isinstance(candidates, list)
    assert len(candidates) == 3
    number = take["id"]
    assert isinstance(number, int)
    after, _ = visitor.session.choose_take(number, 1, before.revision)
    assert after.blocks[0] == before.blocks[0]
    assert after.blocks[-1] == before.blocks[-1]
    assert after.text != before.text
    again, _ = visitor.session.choose_take(number, 2, after.revision)
    assert candidates[2]["text"] in again.text


def test_a_seam_is_repaired_across_the_border(visitor: Visitor) -> None:
    visitor.until_job(visitor.write(0), "finished")
    before = visitor.store.section(visitor.sections[0].id)
    border = len(before.blocks[0].text)
    take = takes(visitor, revise(visitor, before, "seam", border, border))
    start, end = take["start"], take["end"]
    assert isinstance(start, int)
    assert isinstance(end, int)
    assert start < border < end


def test_what_is_filled_in_is_a_paragraph_of_its_own(visitor: Visitor) -> None:
    section = written(visitor)
    job = revise(visitor, section, "infill", TEXT.index("\n\n") + 1, TEXT.index("\n\n") + 1, words=9)
    take = takes(visitor, job)
    number = take["id"]
    assert isinstance(number, int)
    chosen, _ = visitor.session.choose_take(number, 0, section.revision)
    first, middle, last = chosen.text.split("\n\n")
    assert (first, last) == tuple(TEXT.split("\n\n"))
    assert count_words(middle) == 9


def test_the_picture_of_a_passage_is_not_taken_for_the_live_block(shop: Shop, visitor: Visitor) -> None:
    section = written(visitor)
    shop.script.hold(block=0)
    job = revise(visitor, section, "rewrite", 0, 9)
    told = visitor.until(lambda event: event["type"] == "trying" and event["job"] == job)
    assert not [event for event in told if event["type"] == "step"]
    running = visitor.session.job()
    assert running is not None
    assert (running["kind"], running["start"], running["end"]) == ("rewrite", 0, 9)
    visitor.session.stop(job)
    assert visitor.until_job(job, "stopped")["sentence"].endswith(".")
    assert visitor.session.takes(section.id) == []


def test_a_text_that_was_changed_meanwhile_is_not_revised_unseen(shop: Shop, visitor: Visitor) -> None:
    section = written(visitor)
    shop.script.hold(block=0)
    job = revise(visitor, section, "rewrite", 4, 14)
    visitor.until(lambda event: event["type"] == "trying")
    changed = visitor.session.save_text(section.id, section.revision, 1, TEXT.replace("storm came", "fog lay"))
    shop.script.release()
    take = takes(visitor, job)
    number = take["id"]
    assert isinstance(number, int)
    with pytest.raises(StaleRevision):
        visitor.session.choose_take(number, 0, section.revision)
    with pytest.raises(PassageChanged):
        visitor.session.choose_take(number, 0, changed.revision)
    moved = visitor.session.save_text(section.id, changed.revision, 1, "First. " + TEXT)
    chosen, _ = visitor.session.choose_take(number, 0, moved.revision)
    assert chosen.text.startswith("First. The ")


def test_the_words_for_what_cannot_be_revised(visitor: Visitor) -> None:
    section = written(visitor)
    for refused, kind, start, end, how in [
        ("changed since", "rewrite", 0, 3, {}),
        ("not in the text", "rewrite", 0, 9999, {}),
        ("strength", "rewrite", 0, 3, {"strength": 0.0}),
        ("own", "reroll", 0, 0, {}),
        ("cannot be filled in", "infill", 77, 77, {"words": 0}),
    ]:
        revision = section.revision - 1 if refused == "changed since" else section.revision
        with pytest.raises(Refused, match=refused):
            visitor.session.revise(section.id, revision, kind, start, end, dial=DIAL, **how)  # type: ignore[arg-type]


def test_a_take_survives_the_death_of_the_model_process(shop: Shop, visitor: Visitor) -> None:

    section = written(visitor)
    shop.script.hold(block=0)
    job = revise(visitor, section, "rewrite", 0, 9)
    visitor.until(lambda event: event["type"] == "trying")
    pid = shop.press._worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    visitor.until(lambda event: event["type"] == "engine" and event["state"] == "ready")
    shop.script.release()
    assert takes(visitor, job)["before"] == "The storm"


def test_rewinding_takes_out_a_block_and_all_that_follow(visitor: Visitor) -> None:
    visitor.until_job(visitor.write(0), "finished")
    before = visitor.store.section(visitor.sections[0].id)
    rewound, place = visitor.session.rewind(before.id, before.revision, 1)
    assert rewound.text == before.blocks[0].text
    assert place == len(rewound.text)
    back, _ = visitor.session.undo(before.id, rewound.revision)
    assert back.text == before.text
    with pytest.raises(Refused):
        visitor.session.rewind(before.id, back.revision, 99)


def test_of_the_text_to_the_right_the_beginning_is_looked_at() -> None:
    words = "word " * 300
    found = beginning_that_fits(words, lambda text: len(text.split()), AFTER_TOKENS)
    assert words.startswith(found)
    assert len(found.split()) == AFTER_TOKENS
    assert beginning_that_fits("", len, 5) == ""
