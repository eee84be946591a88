"""Rules of snapshots and of bringing back: a document becomes what it was, and what it is until then is kept."""

from __future__ import annotations

import contextlib
import gc
import json
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.draft import Block, Document, Section
from app.records import Replacing
from app.store import InvalidValue, NotFound, StaleDocument, Store
from app.store.keeping import DOCUMENT_FIELDS, SECTION_FIELDS
from tests.quick_store import Clock, quick_store
from tests.test_versions import BLOCK, type_in

DIAL_JSON = '{"stop":"Balanced"}'


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with contextlib.closing(quick_store(tmp_path / "galley.db", clock)) as store:
        yield store


@pytest.fixture
def document(store: Store) -> Document:
    """Two sections: one with a block of the model and words of the writer, one empty."""
    document = store.create_document("The lighthouse")
    section = document.sections[0]
    store.append_block(section.id, BLOCK)
    store.save_text(section.id, 0, 1, "Look!" + BLOCK.text)
    return store.add_section(document.id, 0, after=section.id, title="Night")


def what_it_says(document: Document) -> dict[str, Any]:
    """All of a document that a writer sees: everything but revisions and times."""
    return {
        **{name: getattr(document, name) for name in DOCUMENT_FIELDS},
        "sections": [
            (section.id, section.blocks, *(getattr(section, name) for name in SECTION_FIELDS))
            for section in document.sections
        ],
    }


def everything_changed(store: Store, document: Document) -> Document:
    first, second = document.sections
    store.change_section(
        first.id, first.revision, title="T", brief="B", style="S", notes="N", dial=DIAL_JSON, status="done"
    )
    type_in(store, store.section(first.id), "Other words.")
    document = store.change_document(document.id, document.revision, title="X", style="S", notes="N", dial=DIAL_JSON)
    document = store.move_section(second.id, document.revision, 0)
    document = store.delete_section(second.id, second.revision)
    return store.add_section(document.id, document.revision, after=None, title="New")


# --------------------------------------------------------------------------------------------------- snapshots


def test_a_snapshot_holds_the_whole_document(store: Store, document: Document) -> None:
    card = store.take_snapshot(document.id, "  First\ndraft ")
    everything_changed(store, document)
    assert (card.name, card.kind, card.sections, card.words) == ("First draft", "named", 2, 5)
    snapshot = store.snapshot(card.id)
    assert snapshot.card == card
    assert replace(snapshot.document, updated=document.updated) == document
    assert [section.text for section in snapshot.document.sections] == ["Look!" + BLOCK.text, ""]
    assert store.snapshots(document.id) == [card]


def test_a_restore_brings_everything_back_and_is_itself_undone(store: Store, document: Document) -> None:
    card = store.take_snapshot(document.id, "First draft")
    changed = everything_changed(store, document)
    restored = store.restore_snapshot(card.id, changed.revision)
    assert what_it_says(restored) == what_it_says(document)
    before = store.snapshots(document.id)[0]
    assert (before.kind, before.name) == ("before restore", "Before “First draft” was restored")
    undone = store.restore_snapshot(before.id, restored.revision)
    assert what_it_says(undone) == what_it_says(changed)


def test_a_snapshot_of_a_galley_without_styles_of_sections_is_read_and_restored(
    store: Store, document: Document
) -> None:
    card = store.take_snapshot(document.id, "Of old")
    with store._door.writing() as db:
        for row_id, packed in db.execute("SELECT id, fields FROM contents").fetchall():
            fields = json.loads(zlib.decompress(packed))
            if "blocks" in fields:
                assert fields.pop("style") == ""
            db.execute(
                "UPDATE contents SET fields = ? WHERE id = ?", [zlib.compress(json.dumps(fields).encode()), row_id]
            )
    assert what_it_says(store.snapshot(card.id).document) == what_it_says(document)
    changed = everything_changed(store, document)
    assert what_it_says(store.restore_snapshot(card.id, changed.revision)) == what_it_says(document)


def test_a_restore_is_one_step_in_each_section(store: Store, document: Document) -> None:
    card = store.take_snapshot(document.id, "First draft")
    section = type_in(store, document.sections[0], "Other words.")
    restored = store.restore_snapshot(card.id, store.document(document.id).revision).sections[0]
    assert restored.revision > section.revision
    version = store.versions(section.id)[-1]
    assert (version.kind, version.label, version.current) == ("restore", "First draft", True)
    assert store.undo(section.id, restored.revision).text == "Other words."
    untouched = store.document(document.id).sections[1]
    assert untouched == document.sections[1]


def test_a_stale_restore_is_refused(store: Store, document: Document) -> None:
    card = store.take_snapshot(document.id, "First draft")
    now = store.change_document(document.id, document.revision, title="Other")
    with pytest.raises(StaleDocument):
        store.restore_snapshot(card.id, document.revision)
    assert store.document(document.id) == now
    assert store.snapshots(document.id) == [card]


def test_what_is_not_there_is_one_sentence(store: Store, document: Document) -> None:
    for number in (0, -1, 999, 10**30):
        for ask in (store.snapshot, store.snapshots, lambda number: store.restore_snapshot(number, 0)):
            with pytest.raises(NotFound):
                ask(number)
        with pytest.raises(NotFound):
            store.take_snapshot(number, "S")
    with pytest.raises(InvalidValue, match="named, daily"):
        store.take_snapshot(document.id, "S", "weekly")  # type: ignore[arg-type]


def test_the_first_change_of_a_day_keeps_what_yesterday_left(store: Store, document: Document, clock: Clock) -> None:
    yesterday = store.document(document.id)
    type_in(store, document.sections[0], "Other words.")
    assert store.snapshots(document.id) == []
    clock.wait(24 * 3600)
    section = store.section(document.sections[0].id)
    store.append_block(section.id, BLOCK)
    type_in(store, store.section(section.id), "More.")
    (card,) = store.snapshots(document.id)
    assert (card.kind, card.name) == ("daily", "2030-01-01")
    assert store.snapshot(card.id).document.sections[0] == section
    assert yesterday.sections[0] != section


@pytest.mark.parametrize("verb", ["append_block", "save_text", "change_section", "undo", "delete", "change", "replace"])
def test_every_change_is_a_first_change(store: Store, document: Document, clock: Clock, verb: str) -> None:
    section = document.sections[0]
    clock.wait(24 * 3600)
    match verb:
        case "append_block":
            store.append_block(section.id, BLOCK)
        case "save_text":
            type_in(store, section, "Other.")
        case "change_section":
            store.change_section(section.id, section.revision, notes="N")
        case "undo":
            store.undo(section.id, section.revision)
        case "delete":
            store.delete_section(section.id, section.revision)
        case "change":
            store.change_document(document.id, document.revision, notes="N")
        case "replace":
            store.replace(Replacing("Look", "See"))
    cards = [card for card in store.snapshots(document.id) if card.kind == "daily"]
    assert [what_it_says(store.snapshot(card.id).document) for card in cards] == [what_it_says(document)]


def test_a_document_without_words_leaves_nothing_behind(store: Store, clock: Clock) -> None:
    document = store.create_document("D")
    clock.wait(24 * 3600)
    type_in(store, document.sections[0], "Words.")
    assert store.snapshots(document.id) == []


def test_what_a_snapshot_has_already_is_not_written_again(store: Store, document: Document) -> None:
    type_in(store, document.sections[0], "Words. " * 20_000)
    for number in range(3):
        store.take_snapshot(document.id, str(number))
    with store._door.reading() as db:
        (size,) = db.execute("SELECT sum(length(fields)) FROM contents").fetchone()
        (count,) = db.execute("SELECT count(*) FROM contents").fetchone()
    assert (count, size < 20_000) == (3, True)


# ------------------------------------------------------------------------------------------- deleted, brought back


def test_a_deleted_section_comes_back_to_its_place(store: Store, document: Document) -> None:
    document = store.add_section(document.id, document.revision, after=None, title="Front")
    front, first, night = document.sections
    store.delete_section(first.id, first.revision)
    (deleted,) = store.deleted(document.id)
    assert (deleted.document_id, deleted.section_id, deleted.title, deleted.words) == (document.id, first.id, "", 5)
    restored = store.restore_section(first.id)
    assert restored.sections == (front, first, night)
    assert store.deleted(document.id) == []
    assert store.restore_section(first.id) == restored
    kinds = [row.kind for row in store.history(section_id=first.id)]
    assert kinds[-2:] == ["section deleted", "section restored"]


def test_a_section_deleted_from_the_end_of_a_list_that_is_shorter_now_comes_back_at_its_end(
    store: Store, document: Document
) -> None:
    first, night = document.sections
    store.delete_section(night.id, 0)
    store.delete_section(first.id, first.revision)
    assert [section.id for section in store.restore_section(night.id).sections] == [night.id]
    assert [section.id for section in store.restore_section(first.id).sections] == [first.id, night.id]


def test_a_deleted_document_comes_back_with_all_it_had(store: Store, document: Document) -> None:
    store.delete_document(document.id, document.revision)
    (deleted,) = store.deleted()
    assert (deleted.document_id, deleted.section_id, deleted.title, deleted.words) == (
        document.id,
        None,
        "The lighthouse",
        5,
    )
    with pytest.raises(InvalidValue, match="bring the document back first"):
        store.restore_section(document.sections[0].id)
    restored = store.restore_document(document.id)
    assert restored.sections == document.sections
    assert restored.revision == document.revision + 2
    assert store.deleted() == []
    assert store.restore_document(document.id) == restored


def test_what_never_was_cannot_be_brought_back(store: Store) -> None:
    for number in (0, -1, 999, 10**30):
        for ask in (store.restore_document, store.restore_section, store.deleted):
            with pytest.raises(NotFound):
                ask(number)


# ------------------------------------------------------------------------------------------------ everything at once


class Shelf(RuleBasedStateMachine):
    """Any order of changes, snapshots and restores of a document; the twin keeps each state of it whole."""

    folder: tempfile.TemporaryDirectory[str]
    store: Store
    clock = Clock()

    @initialize()
    def begin(self) -> None:
        self.document = self.store.create_document("D")
        self.kept: dict[int, dict[str, Any]] = {}

    def section(self, data: st.DataObject) -> Section:
        return data.draw(st.sampled_from(self.document.sections))

    def now(self, document: Document | None = None) -> None:
        self.document = self.store.document(self.document.id)
        assert document is None or document == self.document

    @rule(data=st.data(), text=st.text("ab ", max_size=6))
    def type_in(self, data: st.DataObject, text: str) -> None:
        if self.document.sections:
            type_in(self.store, self.section(data), text)
            self.now()

    @rule(data=st.data(), text=st.text("ab ", max_size=6))
    def append(self, data: st.DataObject, text: str) -> None:
        if self.document.sections:
            self.store.append_block(self.section(data).id, Block(text, "model", (1,), 2, nll=0.5, job="j"))
            self.now()

    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        if self.document.sections:
            section = self.section(data)
            with contextlib.suppress(InvalidValue):
                self.store.undo(section.id, section.revision)
            self.now()

    @rule(
        data=st.data(),
        value=st.sampled_from(["", "x", "y"]),
        field=st.sampled_from(["title", "brief", "style", "notes"]),
    )
    def change_section(self, data: st.DataObject, value: str, field: str) -> None:
        if self.document.sections:
            section = self.section(data)
            dial = DIAL_JSON if value == "x" else ""
            changed = self.store.change_section(section.id, section.revision, dial=dial, **{field: value})  # type: ignore[arg-type]
            assert (getattr(changed, field), changed.dial_json) == (value, dial or None)
            self.now()

    @rule(value=st.sampled_from(["", "x", "y"]), field=st.sampled_from(["title", "style", "notes"]))
    def change_document(self, value: str, field: str) -> None:
        document = self.store.change_document(self.document.id, self.document.revision, **{field: value})
        assert getattr(document, field) == value
        self.now(document)

    @rule(data=st.data())
    def add(self, data: st.DataObject) -> None:
        after = data.draw(st.sampled_from([None, *(section.id for section in self.document.sections)]))
        self.now(self.store.add_section(self.document.id, self.document.revision, after=after))

    @rule(data=st.data(), place=st.integers(0, 4))
    def move(self, data: st.DataObject, place: int) -> None:
        if self.document.sections:
            self.now(self.store.move_section(self.section(data).id, self.document.revision, place))

    @rule(data=st.data())
    def delete_and_bring_back(self, data: st.DataObject) -> None:
        if self.document.sections:
            section, before = self.section(data), what_it_says(self.document)
            self.store.delete_section(section.id, section.revision)
            assert what_it_says(self.store.restore_section(section.id)) == before
            self.now()

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if self.document.sections:
            section = self.section(data)
            self.now(self.store.delete_section(section.id, section.revision))

    @rule()
    def bring_back(self) -> None:
        for deleted in self.store.deleted(self.document.id)[:1]:
            assert deleted.section_id is not None
            self.now(self.store.restore_section(deleted.section_id))

    @rule(days=st.sampled_from([0, 0, 1]))
    def take(self, days: int) -> None:
        self.clock.wait(days * 24 * 3600)
        card = self.store.take_snapshot(self.document.id, "S")
        self.kept[card.id] = what_it_says(self.document)

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        card = data.draw(st.sampled_from(sorted(self.kept)))
        before = what_it_says(self.document)
        self.now(self.store.restore_snapshot(card, self.document.revision))
        assert what_it_says(self.document) == self.kept[card]
        kept = next(card for card in self.store.snapshots(self.document.id) if card.kind == "before restore")
        self.kept[kept.id] = before

    @invariant()
    def every_snapshot_stays(self) -> None:
        if hasattr(self, "document"):
            for card, kept in self.kept.items():
                assert what_it_says(self.store.snapshot(card).document) == kept
            assert self.store.documents()[0].words == sum(section.words for section in self.document.sections)


Shelf.TestCase.settings = settings(max_examples=200, stateful_step_count=15, deadline=None)


class TestShelf(Shelf.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        Shelf.folder = tempfile.TemporaryDirectory()
        Shelf.store = quick_store(Path(Shelf.folder.name) / "galley.db", Shelf.clock)

    @classmethod
    def tearDownClass(cls) -> None:
        Shelf.store.close()
        gc.collect()
        Shelf.folder.cleanup()
