"""Rules of undo and redo: every text a section has had stays, blocks and all, and every one can be reached again."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.draft import Block, Section, join, put_span
from app.store import InvalidValue, NotFound, StaleRevision, Store, StoreError, Version
from app.store.deltas import DoesNotFit, backwards, between, forwards, from_json, to_json
from app.store.tree import BURST_SECONDS, PAUSE_SECONDS
from model.contract import Dial
from tests.quick_store import Clock, quick_store
from tests.test_draft import some_blocks

BLOCK = Block(" The sea was calm.", "model", (5, 0, 49151), 2**64 - 1, Dial(8, 1, "verified"), 12.25, 7, 0.5, "job-1")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "galley.db"


@pytest.fixture
def store(path: Path, clock: Clock) -> Iterator[Store]:
    with contextlib.closing(quick_store(path, clock)) as store:
        yield store


@pytest.fixture
def section(store: Store) -> Section:
    return store.create_document("A document").sections[0]


def type_in(store: Store, section: Section, text: str) -> Section:
    return store.save_text(section.id, section.revision, len(section.blocks), text)


def now(store: Store, section: Section) -> Version:
    (current,) = [version for version in store.versions(section.id) if version.current]
    return current


# --------------------------------------------------------------------------------------------------- one step


def test_a_block_is_one_step_and_comes_back_with_all_it_knows(store: Store, section: Section) -> None:
    for number in range(3):
        _, section = store.append_block(section.id, Block(f" Block {number}.", "model", (number,), number))
    whole = section
    section = store.undo(section.id, section.revision)
    assert section.text == " Block 0. Block 1."
    section = store.undo(section.id, section.revision)
    section = store.redo(section.id, section.revision)
    section = store.redo(section.id, section.revision)
    assert section.blocks == whole.blocks
    assert section.revision == whole.revision + 4


def test_a_burst_of_typing_is_one_step_and_a_pause_begins_another(store: Store, section: Section, clock: Clock) -> None:
    for text in ("I", "It was", "It was a night", "It was a dark night"):
        section = type_in(store, section, text)
        clock.wait(1)
    clock.wait(PAUSE_SECONDS)
    section = type_in(store, section, "It was a dark night and")
    section = store.undo(section.id, section.revision)
    assert section.text == "It was a dark night"
    section = store.undo(section.id, section.revision)
    assert section.text == ""
    assert [version.kind for version in store.versions(section.id)] == ["start", "typing", "typing"]


def test_typing_without_a_pause_is_several_steps_in_the_end(store: Store, section: Section, clock: Clock) -> None:
    for length in range(1, 3 * int(BURST_SECONDS)):
        section = type_in(store, section, "a " * length)
        clock.wait(1)
    assert len(store.versions(section.id)) == 4


def test_typing_at_another_place_is_another_step(store: Store, section: Section, clock: Clock) -> None:
    section = type_in(store, section, "The sea was calm.")
    clock.wait(10)
    texts = ["The sea was calm. Was it?", "The old sea was calm. Was it?", "The old sea was calm. Was it? No."]
    for text in texts:
        section = type_in(store, section, text)
    for text in (texts[1], texts[0], "The sea was calm."):
        section = store.undo(section.id, section.revision)
        assert section.text == text


def test_what_is_pasted_is_not_taken_back_with_what_is_typed_behind_it(store: Store, section: Section) -> None:
    pasted = "A pasted paragraph. " * 300
    section = type_in(store, section, pasted)
    section = type_in(store, section, pasted + "And typed.")
    assert store.undo(section.id, section.revision).text == pasted


def test_typing_that_takes_itself_back_is_a_step(store: Store, section: Section) -> None:
    section = type_in(store, section, "word")
    section = type_in(store, section, "")
    assert store.undo(section.id, section.revision).text == "word"
    assert [version.words_delta for version in store.versions(section.id)] == [0, 1, -1]


def test_a_block_between_two_words_typed_is_a_step_of_its_own(store: Store, section: Section) -> None:
    section = type_in(store, section, "Mine")
    _, section = store.append_block(section.id, BLOCK)
    section = store.save_text(section.id, section.revision, 1, "Mine,")
    assert section.text == "Mine," + BLOCK.text
    for text in ("Mine" + BLOCK.text, "Mine", ""):
        section = store.undo(section.id, section.revision)
        assert section.text == text


def test_an_import_and_blocks_deleted_are_steps_of_their_own(store: Store, section: Section) -> None:
    section = store.save_text(section.id, 0, 0, "From a file.", kind="import")
    section = type_in(store, section, "From a file. And on.")
    section = store.save_text(section.id, 2, 1, "From", kind="deleted blocks")
    kinds = [version.kind for version in store.versions(section.id)]
    assert kinds == ["start", "import", "typing", "deleted blocks"]
    with pytest.raises(InvalidValue, match="typing, import, deleted blocks"):
        store.save_text(section.id, 3, 1, "", kind="block")  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------------------- branches


def test_what_was_undone_stays_when_something_else_is_written(store: Store, section: Section, clock: Clock) -> None:
    section = type_in(store, section, "One.")
    clock.wait(10)
    section = type_in(store, section, "One. Two.")
    left = now(store, section)
    section = store.undo(section.id, section.revision)
    section = type_in(store, section, "One. Other.")
    right = now(store, section)
    assert left.parent_id == right.parent_id
    assert store.go_to(section.id, section.revision, left.id).text == "One. Two."
    assert store.go_to(section.id, section.revision + 1, right.id).text == "One. Other."


def test_redo_leads_where_undo_came_from_and_elsewhere_if_asked(store: Store, section: Section, clock: Clock) -> None:
    children = []
    for word in ("a", "b", "c"):
        section = type_in(store, section, word)
        children.append(now(store, section).id)
        section = store.undo(section.id, section.revision)
    assert store.redo(section.id, section.revision).text == "c"
    section = store.go_to(section.id, section.revision + 1, children[0])
    section = store.undo(section.id, section.revision)
    assert store.redo(section.id, section.revision).text == "a"
    section = store.undo(section.id, section.revision + 1)
    assert store.redo(section.id, section.revision, children[1]).text == "b"


def test_redo_leads_back_along_the_whole_way(store: Store, section: Section) -> None:
    for number in range(6):
        _, section = store.append_block(section.id, Block(f"{number}", "model"))
    start = store.versions(section.id)[0]
    section = store.go_to(section.id, section.revision, start.id)
    assert section.text == ""
    for length in range(1, 7):
        section = store.redo(section.id, section.revision)
        assert section.text == "012345"[:length]


def test_the_tree_tells_where_it_stands(store: Store, section: Section, clock: Clock) -> None:
    section = type_in(store, section, "Two words.")
    clock.wait(10)
    _, section = store.append_block(section.id, BLOCK)
    section = store.undo(section.id, section.revision)
    start, typed, block = store.versions(section.id)
    assert start == Version(start.id, None, "2030-01-01T00:00:00.000+00:00", "start", "", 0, False, True)
    assert (typed.parent_id, typed.kind, typed.label, typed.words_delta) == (start.id, "typing", "Two words.", 2)
    assert (typed.current, typed.on_path, block.current, block.on_path) == (True, True, False, False)
    assert (block.at, block.kind, block.label) == ("2030-01-01T00:00:10.000+00:00", "block", "The sea was calm.")


def test_the_label_of_what_was_deleted_says_so(store: Store, section: Section, clock: Clock) -> None:
    section = type_in(store, section, "Some words. " * 20)
    clock.wait(10)
    section = type_in(store, section, "")
    label = now(store, section).label
    assert label.startswith("− Some words.")
    assert len(label) < 70


# ---------------------------------------------------------------------------------------------------- refusals


def test_there_is_an_end_on_both_sides(store: Store, section: Section) -> None:
    for step in (store.undo, store.redo):
        with pytest.raises(InvalidValue, match="nothing more to"):
            step(section.id, section.revision)
    assert store.section(section.id) == section
    section = type_in(store, section, "Words.")
    with pytest.raises(InvalidValue, match="redo"):
        store.redo(section.id, section.revision)


def test_a_stale_step_is_refused(store: Store, section: Section) -> None:
    type_in(store, section, "Words.")
    version = store.versions(section.id)[0].id
    for step in (
        lambda: store.undo(section.id, 0),
        lambda: store.redo(section.id, 0),
        lambda: store.go_to(section.id, 0, version),
    ):
        with pytest.raises(StaleRevision):
            step()
    assert store.section(section.id).text == "Words."


@pytest.mark.parametrize("number", [0, 999, -1, 2**63, 10**30])
def test_versions_that_are_not_there_are_one_sentence(store: Store, section: Section, number: int) -> None:
    for step in (
        lambda: store.go_to(section.id, 0, number),
        lambda: store.redo(section.id, 0, number),
        lambda: store.undo(number, 0),
        lambda: store.redo(number, 0),
        lambda: store.go_to(number, 0, 1),
        lambda: store.versions(number),
        lambda: store.version_text(number, 1),
        lambda: store.version_text(section.id, number),
    ):
        with pytest.raises(NotFound):
            step()


def test_a_version_of_another_section_is_not_taken(store: Store, section: Section) -> None:
    document = store.add_section(section.document_id, 0, after=None)
    other = type_in(store, document.sections[0], "Words.")
    version = now(store, other)
    with pytest.raises(NotFound):
        store.go_to(section.id, 0, version.id)
    section = type_in(store, section, "Own.")
    with pytest.raises(InvalidValue, match="go to it"):
        store.redo(section.id, 1, now(store, section).id)


def test_going_where_one_is_leaves_no_trace(store: Store, section: Section) -> None:
    section = type_in(store, section, "Words.")
    rows = store.history(section_id=section.id)
    assert store.go_to(section.id, section.revision, now(store, section).id) == section
    assert store.history(section_id=section.id) == rows


def test_text_changed_by_another_program_is_not_made_worse(store: Store, section: Section, path: Path) -> None:
    section = type_in(store, section, "Words typed.")
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE blocks SET text = 'By hand.'")
    with pytest.raises(StoreError, match="another program"):
        store.undo(section.id, section.revision)
    section = store.section(section.id)
    assert section.text == "By hand."
    assert type_in(store, section, "By hand. On.").text == "By hand. On."
    assert store.undo(section.id, section.revision + 1).text == "By hand."


def test_undo_and_redo_are_in_the_history(store: Store, section: Section) -> None:
    section = type_in(store, section, "Words.")
    section = store.undo(section.id, section.revision)
    section = store.redo(section.id, section.revision)
    edit, undo, redo = store.history(section_id=section.id)[1:]
    assert [(row.kind, row.before, row.after) for row in (edit, undo, redo)] == [
        ("edit", "", "Words."),
        ("undo", "Words.", ""),
        ("redo", "", "Words."),
    ]
    assert edit.detail["version"] == undo.detail["from"] == redo.detail["version"]


def test_words_are_counted_through_undo(store: Store, section: Section) -> None:
    section = type_in(store, section, "Half a wo")
    store.append_block(section.id, Block("rd more.", "model"))
    assert store.documents()[0].words == 4
    store.undo(section.id, section.revision)
    assert store.documents()[0].words == 3


# ------------------------------------------------------------------------------------------------------- deltas


@given(some_blocks, some_blocks)
@settings(max_examples=300)
def test_a_delta_leads_both_ways(old: tuple[Block, ...], new: tuple[Block, ...]) -> None:
    delta = from_json(to_json(between(old, new)))
    assert forwards(old, delta) == new
    assert backwards(new, delta) == old


@given(some_blocks, some_blocks, some_blocks)
def test_a_delta_fits_its_own_blocks_or_says_so(
    old: tuple[Block, ...], new: tuple[Block, ...], other: tuple[Block, ...]
) -> None:
    delta = between(old, new)
    with contextlib.suppress(DoesNotFit):
        text = join(forwards(other, delta))
        assert len(text) - len(join(other)) == len(join(new)) - len(join(old))


def test_a_delta_does_not_fit_a_text_in_which_what_stays_would_overlap() -> None:
    delta = between((Block(" aaa", "writer"),), (Block(" aa a", "writer"),))
    with pytest.raises(DoesNotFit):
        forwards((Block("a", "writer"),), delta)


def test_a_delta_is_as_small_as_the_change() -> None:
    long = "A long line of words. " * 8000
    old = (Block(long, "writer"),)
    typed = between(old, (Block(long[:90_000] + "x" + long[90_000:], "writer"),))
    cut = between(old, put_span(old, 90_000, 90_010, (BLOCK,)))
    assert len(to_json(typed)) < 60
    assert len(to_json(cut)) < 500


# ------------------------------------------------------------------------------------------------ everything at once


class Writer(RuleBasedStateMachine):
    """Any order of typing, blocks, undo, redo and going elsewhere; the twin keeps every text whole.

    All share one file without waiting for the disk, because a disk that is slow is not what this is about.
    """

    folder: tempfile.TemporaryDirectory[str]
    store: Store
    clock = Clock()

    @classmethod
    def open_store(cls) -> None:
        cls.store = quick_store(Path(cls.folder.name) / "galley.db", cls.clock)

    @initialize()
    def begin(self) -> None:
        self.section = self.store.create_document("D").sections[0]
        self.at = self.store.versions(self.section.id)[0].id
        self.blocks: dict[int, tuple[Block, ...]] = {self.at: ()}
        self.parent: dict[int, int | None] = {self.at: None}
        self.left: dict[int, int] = {}
        self.kind, self.changed = {self.at: "start"}, {self.at: self.clock.now}

    def grown(self, section: Section, kind: str) -> None:
        """Something was written: a new child of the version, or, where typing goes on, that version itself."""
        here = now(self.store, section)
        assert here.kind == kind
        if here.id == self.at:
            assert (kind, self.kind[self.at]) == ("typing", "typing")
            assert self.at not in self.left
            assert self.clock.now - self.changed[self.at] < timedelta(seconds=PAUSE_SECONDS)
        else:
            assert here.parent_id == self.at
            assert here.id not in self.blocks
            self.parent[here.id], self.left[self.at] = self.at, here.id
        self.section, self.at = section, here.id
        self.blocks[self.at], self.kind[self.at], self.changed[self.at] = section.blocks, kind, self.clock.now

    def gone(self, section: Section, version: int) -> None:
        assert section.blocks == self.blocks[version]
        assert section.revision == self.section.revision + 1
        self.section, self.at = section, version

    def path(self, version: int | None) -> list[int]:
        return [] if version is None else [version, *self.path(self.parent[version])]

    @rule(text=st.text("ab ", max_size=8), job=st.sampled_from(["j", "k"]))
    def the_model_appends(self, text: str, job: str) -> None:
        _, section = self.store.append_block(self.section.id, Block(text, "model", (1, 2), 3, nll=0.5, job=job))
        self.grown(section, "block")

    @rule(data=st.data(), put=st.text("ab ", max_size=5), seconds=st.sampled_from([0, 0, 1, 6]))
    def the_writer_types(self, data: st.DataObject, put: str, seconds: int) -> None:
        self.clock.wait(seconds)
        blocks = self.section.blocks
        seen = data.draw(st.integers(0, len(blocks)))
        old = join(blocks[:seen])
        start = data.draw(st.integers(0, len(old)))
        stop = data.draw(st.integers(start, min(len(old), start + 6)))
        new = old[:start] + put + old[stop:]
        section = self.store.save_text(self.section.id, self.section.revision, seen, new)
        if new != old:
            assert section.text == new + self.section.text[len(old) :]
            self.grown(section, "typing")

    @precondition(lambda self: self.parent[self.at] is not None)
    @rule()
    def undo(self) -> None:
        parent = self.parent[self.at]
        assert parent is not None
        self.left[parent] = self.at
        self.gone(self.store.undo(self.section.id, self.section.revision), parent)

    @precondition(lambda self: self.at in self.left)
    @rule()
    def redo(self) -> None:
        self.gone(self.store.redo(self.section.id, self.section.revision), self.left[self.at])

    @rule(data=st.data())
    def redo_elsewhere(self, data: st.DataObject) -> None:
        children = [child for child, parent in self.parent.items() if parent == self.at]
        if children:
            child = data.draw(st.sampled_from(children))
            self.left[self.at] = child
            self.gone(self.store.redo(self.section.id, self.section.revision, child), child)

    @rule(data=st.data())
    def go_to(self, data: st.DataObject) -> None:
        self.go(data.draw(st.sampled_from(sorted(self.blocks))))

    def go(self, version: int) -> None:
        if version == self.at:
            return
        up, down = self.path(self.at), self.path(version)
        for child, parent in [*pairwise(up), *pairwise(down)]:
            if (child in up) != (child in down):
                self.left[parent] = child
        self.gone(self.store.go_to(self.section.id, self.section.revision, version), version)

    @precondition(lambda self: len(self.blocks) > 4)
    @rule()
    def close_and_open_again(self) -> None:
        self.store.close()
        self.open_store()

    @invariant()
    def the_section_is_what_it_should_be(self) -> None:
        if hasattr(self, "section"):
            assert self.store.section(self.section.id) == self.section
            versions = self.store.versions(self.section.id)
            assert {version.id: version.parent_id for version in versions} == self.parent
            assert [version.id for version in versions if version.current] == [self.at]
            assert {version.id for version in versions if version.on_path} == set(self.path(self.at))

    def teardown(self) -> None:
        if hasattr(self, "section"):
            for version, blocks in self.blocks.items():
                assert self.store.version_text(self.section.id, version) == join(blocks)
            assert self.store.section(self.section.id) == self.section
            for version in self.blocks:
                self.go(version)
            assert self.store.documents()[0].words == self.section.words


Writer.TestCase.settings = settings(max_examples=800, stateful_step_count=12, deadline=None)


class TestWriter(Writer.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        Writer.folder = tempfile.TemporaryDirectory()
        Writer.open_store()

    @classmethod
    def tearDownClass(cls) -> None:
        Writer.store.close()
        gc.collect()
        Writer.folder.cleanup()
