"""Rules of the store: nothing is lost, nothing stale wins, every failure is a sentence, the file is never harmed."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlite_utils import Database

from app.draft import Block, Section, join, storable
from app.migrations import STEPS, migrations
from app.records import TextKind
from app.store import (
    MAX_NOTES,
    MAX_TARGET_WORDS,
    HistoryRow,
    InvalidValue,
    NotFound,
    StaleDocument,
    StaleRevision,
    Store,
    StoreError,
    StoreUnavailable,
)
from model.contract import Dial
from tests.quick_store import quick_store

ROOT = Path(__file__).resolve().parent.parent
DIAL = Dial(8, 1, "verified", threshold=0.1)
BLOCK = Block(" The sea was calm.", "model", (5, 0, 49151), 2**64 - 1, DIAL, 12.25, 7, 0.5, "job-1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "galley.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with contextlib.closing(Store(path)) as store:
        yield store


@pytest.fixture
def section(store: Store) -> Section:
    return store.create_document("A document").sections[0]


def replay(rows: Iterable[HistoryRow]) -> str:
    """The slow twin of the blocks table: a section's text as its history alone tells it."""
    text = ""
    for row in rows:
        if row.kind in get_args(TextKind):
            assert text[row.place : row.place + len(row.before)] == row.before
            text = text[: row.place] + row.after + text[row.place + len(row.before) :]
    return text


def is_one_sentence(message: str) -> bool:
    return message[0].isupper() and message.endswith(".") and ". " not in message and "\n" not in message


# ----------------------------------------------------------------------------------------------- what is kept


def test_everything_comes_back_after_a_restart(path: Path) -> None:
    with contextlib.closing(Store(path)) as store:
        document = store.create_document("The lighthouse")
        document = store.add_section(
            document.id, document.revision, after=document.sections[0].id, title="Night", brief="Fog.", target_words=300
        )
        night = document.sections[1]
        store.append_block(night.id, BLOCK)
        store.save_text(night.id, 0, 1, "Look! The sea was calm. Was it?")
        store.change_section(night.id, 1, status="done")
        store.start_job("job-1", night.id, {"words": 100})
        store.end_job("job-1", "stopped", {"tokens": 8})
        before = (
            store.document(document.id),
            store.documents(),
            store.jobs(night.id),
            store.history(section_id=night.id),
        )
    with contextlib.closing(Store(path)) as store:
        after = store.document(document.id), store.documents(), store.jobs(night.id), store.history(section_id=night.id)
    assert after == before


def test_a_block_comes_back_with_all_it_knows(store: Store, section: Section, path: Path) -> None:
    index, now = store.append_block(section.id, BLOCK)
    with contextlib.closing(Store(path)) as other:
        assert (index, now.blocks, other.section(section.id).blocks) == (0, (BLOCK,), (BLOCK,))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0",
        "a\0b",
        "\ud83d",
        "\ude00\ud83d",
        "\U0010ffff",
        "🏳️‍🌈",
        "\u202eשלום",
        "<script>alert(1)</script>",
        "'); DROP",
    ],
)
def test_any_text_is_stored(store: Store, path: Path, text: str) -> None:
    document = store.create_document(text)
    section = store.change_section(document.sections[0].id, 0, title=text, brief=text)
    section = store.save_text(section.id, section.revision, 0, text)
    store.append_block(section.id, Block(text, "model", (1,)))
    with contextlib.closing(Store(path)) as other:
        found = other.section(section.id)
    assert found == store.section(section.id)
    assert found.text == storable(text) * 2
    assert found.brief == storable(text)


@given(st.text(st.characters()), st.text(st.characters()))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_words_typed_are_words_stored(store: Store, first: str, second: str) -> None:
    section = store.create_document("D").sections[0]
    for text in (first, second):
        section = store.save_text(section.id, section.revision, len(section.blocks), text)
        assert section.text == storable(text)
        assert replay(store.history(section_id=section.id)) == storable(text)


def test_a_setting_that_is_not_allowed_any_more_does_not_hide_its_text(
    store: Store, section: Section, path: Path
) -> None:
    store.append_block(section.id, BLOCK)
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("""UPDATE blocks SET dial = '{"block_size": 3, "steps": 1, "rule": "old"}'""")
    found = store.section(section.id).blocks[0]
    assert (found.text, found.dial) == (BLOCK.text, None)


# ------------------------------------------------------------------------------------------------- revisions


def test_each_accepted_edit_counts_the_revision_up_by_one(store: Store, section: Section) -> None:
    assert section.revision == 0
    assert store.save_text(section.id, 0, 0, "One.").revision == 1
    assert store.change_section(section.id, 1, title="T", brief="B").revision == 2
    assert store.save_text(section.id, 2, 1, "").revision == 3


def test_an_edit_that_changes_nothing_leaves_no_trace(store: Store, section: Section) -> None:
    section = store.save_text(section.id, 0, 0, "One.")
    rows = store.history(section_id=section.id)
    assert store.save_text(section.id, section.revision, 1, "One.") == section
    assert store.change_section(section.id, section.revision, title="", target_words=150) == section
    assert store.history(section_id=section.id) == rows


def test_a_save_whose_answer_was_lost_can_be_sent_again(store: Store, section: Section) -> None:
    saved = store.save_text(section.id, 0, 0, "One.")
    assert store.save_text(section.id, 0, 0, "One.") == saved
    renamed = store.change_section(section.id, 1, title="T")
    assert store.change_section(section.id, 1, title="T") == renamed


def test_typing_while_the_model_writes_is_no_conflict(store: Store, section: Section) -> None:
    store.append_block(section.id, BLOCK)
    section = store.save_text(section.id, 0, 0, "Mine.")
    assert [block.author for block in section.blocks] == ["writer", "model"]
    store.append_block(section.id, BLOCK)
    section = store.save_text(section.id, 1, 2, "Mine. The sea was not calm.")
    assert section.text == "Mine. The sea was not calm." + BLOCK.text
    assert section.blocks[-1] == BLOCK


def test_a_stale_save_is_refused_and_both_texts_are_kept(store: Store, section: Section) -> None:
    store.save_text(section.id, 0, 0, "From the first tab.")
    with pytest.raises(StaleRevision) as refused:
        store.save_text(section.id, 0, 0, "From the second tab.")
    assert refused.value.mine == "From the second tab."
    assert refused.value.theirs == store.section(section.id)
    assert refused.value.theirs.text == "From the first tab."
    row = store.history(section_id=section.id)[-1]
    assert (row.kind, row.revision, row.after) == ("refused", 0, "From the second tab.")


def test_a_tab_that_tries_the_same_stale_text_again_leaves_one_entry(store: Store, section: Section) -> None:
    store.save_text(section.id, 0, 0, "First.")
    for text in ("Second.", "Second.", "Second, longer."):
        with pytest.raises(StaleRevision):
            store.save_text(section.id, 0, 0, text)
    refused = [row.after for row in store.history(section_id=section.id) if row.kind == "refused"]
    assert refused == ["Second.", "Second, longer."]


@pytest.mark.parametrize(("revision", "seen_blocks"), [(0, -1), (0, 2), (0, 10**30), (10**30, 1), (-1, 1)])
def test_a_save_over_blocks_that_are_not_there_is_refused_and_kept(
    store: Store, section: Section, revision: int, seen_blocks: int
) -> None:
    store.append_block(section.id, BLOCK)
    with pytest.raises(StaleRevision):
        store.save_text(section.id, revision, seen_blocks, "Mine.")
    assert store.section(section.id).text == BLOCK.text
    assert store.history(section_id=section.id)[-1].after == "Mine."


def test_stale_changes_of_a_section_are_refused(store: Store, section: Section) -> None:
    store.change_section(section.id, 0, brief="First brief.")
    with pytest.raises(StaleRevision) as refused:
        store.change_section(section.id, 0, brief="Second brief.")
    assert (refused.value.mine, refused.value.theirs.brief) == ("Second brief.", "First brief.")
    with pytest.raises(StaleRevision):
        store.delete_section(section.id, 0)
    assert store.history(section_id=section.id)[-1].after == "Second brief."


def test_stale_changes_of_a_document_are_refused(store: Store) -> None:
    document = store.create_document("One")
    store.change_document(document.id, 0, title="Two")
    for change in (
        lambda: store.change_document(document.id, 0, title="Three"),
        lambda: store.delete_document(document.id, 0),
        lambda: store.add_section(document.id, 0, after=None, title="Four", brief="Five"),
    ):
        with pytest.raises(StaleDocument) as refused:
            change()
        assert refused.value.theirs.title == "Two"
    rows = store.history(document_id=document.id)
    assert [row.after for row in rows if row.kind == "refused"] == ["Three", "Four\nFive"]


# -------------------------------------------------------------------------------------------------- sections


def test_sections_stand_where_they_were_put(store: Store) -> None:
    document = store.create_document("D")
    first = document.sections[0].id
    document = store.add_section(document.id, 0, after=first, title="last")
    document = store.add_section(document.id, 1, after=None, title="front")
    document = store.add_section(document.id, 2, after=first, title="middle")
    assert [section.title for section in document.sections] == ["front", "", "middle", "last"]
    document = store.move_section(first, 3, 99)
    assert [section.title for section in document.sections] == ["front", "middle", "last", ""]
    document = store.move_section(first, 4, -1)
    assert [section.title for section in document.sections] == ["", "front", "middle", "last"]
    assert store.move_section(first, 5, 0) == document
    document = store.delete_section(document.sections[1].id, 0)
    assert [section.title for section in document.sections] == ["", "middle", "last"]
    assert document.revision == 6
    assert store.document(document.id) == document


def test_a_planned_section_becomes_a_draft_with_its_first_words_and_the_writer_says_when_it_is_done(
    store: Store,
) -> None:
    document = store.create_document("D")
    document = store.add_section(document.id, 0, after=None)
    typed, written = document.sections
    assert (typed.status, written.status) == ("planned", "planned")
    assert store.save_text(typed.id, 0, 0, " \n").status == "planned"
    assert store.save_text(typed.id, 1, 1, "Word.").status == "draft"
    assert store.append_block(written.id, BLOCK)[1].status == "draft"
    assert store.change_section(written.id, 0, status="done").status == "done"
    assert store.append_block(written.id, BLOCK)[1].status == "done"


def test_the_list_of_documents_counts_words_and_puts_the_last_changed_first(path: Path) -> None:
    clock = iter(datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=number) for number in range(100))
    with contextlib.closing(Store(path, now=lambda: next(clock))) as store:
        one, two = store.create_document("One"), store.create_document("Two")
        assert [card.title for card in store.documents()] == ["Two", "One"]
        store.save_text(one.sections[0].id, 0, 0, "Half a wo")
        store.append_block(one.sections[0].id, Block("rd and more.", "model"))
        card = store.documents()[0]
        assert (card.title, card.sections, card.words) == ("One", 1, 5)
        store.delete_document(one.id, 0)
        assert [card.id for card in store.documents()] == [two.id]


@pytest.mark.parametrize("words", [0, -1, MAX_TARGET_WORDS + 1, 100_000, 10**30])
def test_an_impossible_target_is_one_sentence(store: Store, section: Section, words: int) -> None:
    with pytest.raises(InvalidValue) as refused:
        store.change_section(section.id, 0, target_words=words)
    assert is_one_sentence(str(refused.value))
    with pytest.raises(InvalidValue):
        store.add_section(section.document_id, 0, after=None, target_words=words)
    assert store.document(section.document_id).sections == (section,)


def test_an_unknown_status_is_one_sentence(store: Store, section: Section) -> None:
    with pytest.raises(InvalidValue, match="planned, draft, done"):
        store.change_section(section.id, 0, status="perfect")  # type: ignore[arg-type]


def test_a_document_and_a_section_have_a_style_and_notes_and_a_dial(store: Store, path: Path) -> None:
    document = store.create_document("D")
    document = store.change_document(document.id, 0, style="Plain words.", notes="Ask Ada.", dial='{"stop":"Draft"}')
    section = store.change_section(document.sections[0].id, 0, style="Warm.", notes="Too long?", dial='{"stop":"Fine"}')
    assert (document.revision, section.revision) == (1, 1)
    with contextlib.closing(Store(path)) as other:
        found = other.document(document.id)
    assert (found.style, found.notes, found.dial_json) == ("Plain words.", "Ask Ada.", '{"stop":"Draft"}')
    (own,) = found.sections
    assert (own.style, own.notes, own.dial_json) == ("Warm.", "Too long?", '{"stop":"Fine"}')
    assert store.change_document(document.id, 1, dial="").dial_json is None
    assert store.change_section(section.id, 1, dial="", notes="").dial_json is None
    assert store.change_document(document.id, 2) == store.document(document.id)


def test_fields_that_are_not_given_stay(store: Store) -> None:
    document = store.create_document("D")
    document = store.change_document(document.id, 0, style="S", notes="N")
    document = store.change_document(document.id, 1, notes="M")
    assert (document.title, document.style, document.notes) == ("D", "S", "M")
    section = store.change_section(document.sections[0].id, 0, notes="N", brief="B")
    section = store.change_section(section.id, 1, style="S")
    section = store.change_section(section.id, 2, title="T", notes="M")
    assert (section.title, section.brief, section.style, section.notes) == ("T", "B", "S", "M")


def test_stale_notes_are_refused_and_kept(store: Store, section: Section) -> None:
    store.change_section(section.id, 0, notes="First.")
    with pytest.raises(StaleRevision):
        store.change_section(section.id, 0, notes="Second.")
    store.change_document(section.document_id, 0, notes="First.")
    with pytest.raises(StaleDocument):
        store.change_document(section.document_id, 0, style="Second.", dial="{}")
    refused = [row.after for row in store.history(document_id=section.document_id) if row.kind == "refused"]
    assert refused == ["Second.", "Second.\n{}"]


@pytest.mark.parametrize("field", ["notes", "style", "dial"])
def test_a_field_that_is_too_long_is_one_sentence(store: Store, section: Section, field: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        store.change_document(section.document_id, 0, **{field: f'"{"x" * MAX_NOTES}"'})
    assert is_one_sentence(str(refused.value))
    with pytest.raises(InvalidValue):
        store.change_section(section.id, 0, **{field: f'"{"x" * MAX_NOTES}"'})  # type: ignore[arg-type]
    store.change_document(section.document_id, 0, notes="x" * MAX_NOTES, style="x" * MAX_NOTES)
    store.change_section(section.id, 0, notes="x" * MAX_NOTES, style="x" * MAX_NOTES)


@pytest.mark.parametrize("dial", ["{", "nonsense", "[" * 100_000])
def test_a_dial_that_is_not_json_is_one_sentence(store: Store, section: Section, dial: str) -> None:
    with pytest.raises(InvalidValue, match="JSON"):
        store.change_section(section.id, 0, dial=dial)


@pytest.mark.parametrize("field", ["notes", "style"])
def test_one_key_in_long_notes_adds_little_to_the_history(store: Store, section: Section, field: str) -> None:
    notes = "A long line of notes. " * 5000
    store.change_section(section.id, 0, **{field: notes})  # type: ignore[arg-type]
    store.change_section(section.id, 1, **{field: notes[:50_000] + "x" + notes[50_000:]})  # type: ignore[arg-type]
    assert store.history(section_id=section.id)[-1].detail == {field: [50_000, "", "x"]}


@pytest.mark.parametrize("number", [0, 999, -1, 2**63, 10**30])
def test_what_does_not_exist_is_one_sentence(store: Store, section: Section, number: int) -> None:
    for ask in (
        lambda: store.document(number),
        lambda: store.section(number),
        lambda: store.change_document(number, 0, title="T"),
        lambda: store.delete_document(number, 0),
        lambda: store.add_section(number, 0, after=None),
        lambda: store.change_section(number, 0, title="T"),
        lambda: store.delete_section(number, 0),
        lambda: store.move_section(number, 0, 1),
        lambda: store.save_text(number, 0, 0, "T"),
        lambda: store.append_block(number, BLOCK),
        lambda: store.start_job("j", number, {}),
        lambda: store.end_job(str(number), "failed", None),
        lambda: store.add_section(section.document_id, 0, after=number),
    ):
        with pytest.raises(NotFound) as refused:
            ask()
        assert is_one_sentence(str(refused.value))
    assert store.history(section_id=number) == []


# --------------------------------------------------------------------------------------------------- history


def test_the_history_cannot_be_changed_even_by_hand(store: Store, section: Section, path: Path) -> None:
    rows = store.history(document_id=section.document_id)
    assert rows
    with contextlib.closing(sqlite3.connect(path)) as raw:
        for statement in (
            "UPDATE history SET after = ''",
            "DELETE FROM history",
            "REPLACE INTO history SELECT * FROM history",
        ):
            raw.execute("PRAGMA recursive_triggers = ON")
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                raw.execute(statement)
    assert store.history(document_id=section.document_id) == rows


def test_every_change_is_in_the_history(store: Store) -> None:
    document = store.create_document("D")
    section = document.sections[0]
    store.change_document(document.id, 0, title="E")
    document = store.add_section(document.id, 1, after=section.id)
    store.change_section(section.id, 0, title="T")
    store.save_text(section.id, 1, 0, "Words.")
    store.append_block(section.id, BLOCK)
    store.move_section(section.id, 2, 1)
    store.delete_section(section.id, 2)
    store.delete_document(document.id, 4)
    assert [row.kind for row in store.history(document_id=document.id)] == [
        "document added",
        "section added",
        "document renamed",
        "section added",
        "section changed",
        "edit",
        "block",
        "section moved",
        "section deleted",
        "document deleted",
    ]


def test_one_key_in_a_long_section_adds_little_to_the_history(store: Store, section: Section) -> None:
    text = "A long line of words. " * 5000
    section = store.save_text(section.id, 0, 0, text)
    store.save_text(section.id, 1, 1, text[:50_000] + "x" + text[50_000:])
    row = store.history(section_id=section.id)[-1]
    assert len(row.before) + len(row.after) + len(str(row.detail)) < 100


def test_words_for_a_deleted_section_are_kept_in_the_history(store: Store) -> None:
    document = store.create_document("D")
    section = document.sections[0]
    store.delete_section(section.id, 0)
    with pytest.raises(NotFound):
        store.save_text(section.id, 0, 0, "Typed too late.")
    with pytest.raises(NotFound):
        store.append_block(section.id, BLOCK)
    with pytest.raises(NotFound):
        store.change_section(section.id, 0, title="A title", brief="A brief.")
    refused = [row.after for row in store.history(section_id=section.id) if row.kind == "refused"]
    assert refused == ["Typed too late.", BLOCK.text, "A title\nA brief."]


def test_words_for_a_deleted_document_are_kept_in_the_history(store: Store, section: Section) -> None:
    store.delete_document(section.document_id, 0)
    with pytest.raises(NotFound):
        store.save_text(section.id, 0, 0, "Typed too late.")
    assert store.history(section_id=section.id)[-1].after == "Typed too late."


# ------------------------------------------------------------------------------------------------------ jobs


def test_jobs_that_were_cut_off_are_found_again(path: Path) -> None:
    with contextlib.closing(Store(path)) as store:
        section = store.create_document("D").sections[0]
        store.start_job("ended", section.id, {"words": 3})
        store.end_job("ended", "finished", "Done.")
        store.start_job("cut off", section.id, {"seed": 2**64 - 1, "brief": "\ud800"})
    with contextlib.closing(Store(path)) as store:
        assert [job.job for job in store.jobs(section.id)] == ["ended", "cut off"]
        (job,) = store.unfinished_jobs()
        assert (job.job, job.state, job.request["seed"], job.ended) == ("cut off", "running", 2**64 - 1, None)
        store.end_job("cut off", "failed", {"why": "stopped"})
        assert store.unfinished_jobs() == []


def test_a_job_is_started_once(store: Store, section: Section) -> None:
    store.start_job("j", section.id, {})
    with pytest.raises(InvalidValue):
        store.start_job("j", section.id, {})


# -------------------------------------------------------------------------- many hands on one file, sudden ends


def test_threads_share_one_store(store: Store, section: Section) -> None:
    def append(number: int) -> None:
        store.append_block(section.id, Block(f"{number} ", "model", seed=number))
        store.create_document(str(number))
        store.section(section.id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(60)))
    assert sorted(block.seed or 0 for block in store.section(section.id).blocks) == list(range(60))
    assert len(store.documents()) == 61


def test_of_two_tabs_that_save_at_once_one_is_refused(store: Store, section: Section) -> None:
    start = threading.Barrier(8)

    def save(number: int) -> bool:
        start.wait()
        try:
            store.save_text(section.id, 0, 0, f"From tab {number}.")
        except StaleRevision:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(save, range(8))).count(True) == 1
    texts = {row.after for row in store.history(section_id=section.id)}
    assert {f"From tab {number}." for number in range(8)} <= texts


def test_a_second_store_on_the_same_file_sees_every_write(store: Store, section: Section, path: Path) -> None:
    with contextlib.closing(Store(path)) as other:
        for number in range(5):
            store.append_block(section.id, BLOCK)
            now = other.save_text(section.id, number, 1 if number else 0, f"Edit {number}. ")
            assert store.section(section.id) == now
            assert other.append_block(section.id, BLOCK)[0] == 2 * number + 2
        assert store.section(section.id).text == "Edit 4. " + BLOCK.text * 10


WRITER = """
import sys
from pathlib import Path
from app.draft import Block
from app.store import Store
store = Store(Path(sys.argv[1]))
section = store.documents()[0].id if store.documents() else store.create_document("D").id
section = store.document(section).sections[0].id
for number in range(int(sys.argv[2])):
    index, _ = store.append_block(section, Block(f"{number} ", "model"))
    print(index, flush=True)
"""


def start_writer(path: Path, blocks: int, script: str = WRITER) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path), str(blocks)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def test_a_block_that_was_announced_survives_kill_9(path: Path) -> None:
    with start_writer(path, 1_000_000) as process:
        assert process.stdout
        announced = [process.stdout.readline() for _ in range(25)][-1]
        process.send_signal(signal.SIGKILL)
    with contextlib.closing(Store(path)) as store:
        section = store.document(store.documents()[0].id).sections[0]
        assert len(section.blocks) > int(announced)
        assert replay(store.history(section_id=section.id)) == section.text


def test_processes_that_open_a_new_file_at_once_all_get_in(path: Path) -> None:
    script = "import sys; sys.stdin.readline()\n" + WRITER
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), "5"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0].count("\n") for process in processes] == [5, 5, 5]
    with contextlib.closing(Store(path)) as store:
        assert sum(len(store.document(card.id).sections[0].blocks) for card in store.documents()) == 15
    with contextlib.closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_file_is_durable_and_in_wal_mode(store: Store) -> None:
    with store._door.reading() as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert db.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_an_error_in_a_transaction_undoes_all_of_it(store: Store, section: Section) -> None:
    store.append_block(section.id, BLOCK)
    section = store.section(section.id)
    with store._door.reading() as db:
        db.execute(
            "CREATE TEMP TRIGGER halfway BEFORE INSERT ON history BEGIN SELECT RAISE(ABORT, 'cut off halfway'); END"
        )
    for change in (
        lambda: store.append_block(section.id, BLOCK),
        lambda: store.save_text(section.id, 0, 1, "Mine."),
        lambda: store.delete_section(section.id, 0),
    ):
        with pytest.raises(sqlite3.IntegrityError, match="halfway"):
            change()
        assert store.section(section.id) == section
    with store._door.reading() as db:
        db.execute("DROP TRIGGER halfway")
    assert store.section(section.id) == section
    assert store.save_text(section.id, 0, 0, "Goes on.").text == "Goes on." + BLOCK.text


def test_a_closed_store_says_so(path: Path) -> None:
    store = Store(path)
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.documents()


# -------------------------------------------------------------------------------------------- older, newer, other


def old_database(path: Path, steps: int) -> None:
    """A database as the first `steps` migrations leave it, with a document in it."""
    path.parent.mkdir(parents=True)
    db = Database(path)
    stop = {step.__name__ for step in STEPS[steps:]}
    migrations().apply(db, stop_before=stop or None)
    db.table("documents").insert(
        {"id": 3, "title": "Old", "revision": 4, "created": "2026-01-01", "updated": "2026-01-02"}
    )
    db.table("sections").insert(
        {"id": 5, "document_id": 3, "place": 0, "title": "S", "brief": "B", "target_words": 99, "status": "draft"}
    )
    db.execute("UPDATE sections SET revision = 6, words = 2")
    db.table("blocks").insert(
        {"section_id": 5, "place": 0, "text": "Old words.", "author": "model", "tokens": "[1, 2]"}
    )
    db.table("history").insert(
        {"at": "2026-01-02", "document_id": 3, "section_id": 5, "kind": "block", "revision": 6, "after": "Old words."}
    )
    db.close()


@pytest.mark.parametrize("steps", [1, 2, 3])  # so many a released Galley has made
def test_a_database_of_any_earlier_galley_is_brought_up_to_date_with_all_it_holds(
    path: Path, tmp_path: Path, steps: int
) -> None:
    old_database(path, steps)
    with contextlib.closing(Store(path)) as store, contextlib.closing(Store(tmp_path / "new.db")) as new:
        section = store.document(3).sections[0]
        assert (section.text, section.revision, section.target_words) == ("Old words.", 6, 99)
        assert section.blocks[0].tokens == (1, 2)
        assert [card.words for card in store.documents()] == [2]
        assert replay(store.history(section_id=5)) == "Old words."
        assert store.save_text(5, 6, 1, "Old words. New ones.").revision == 7
        store.start_job("j", 5, {})
        with store._door.reading() as db, new._door.reading() as fresh:
            assert db.schema == fresh.schema


def test_an_older_database_has_its_text_as_the_root_of_all_versions(path: Path) -> None:
    old_database(path, 3)
    with contextlib.closing(Store(path)) as store:
        (root,) = store.versions(5)
        assert (root.parent_id, root.kind, root.current, root.at) == (None, "start", True, "2026-01-02")
        store.save_text(5, 6, 1, "Old words. New ones.")
        section = store.undo(5, 7)
        assert (section.text, section.blocks[0].tokens) == ("Old words.", (1, 2))
        with pytest.raises(InvalidValue):
            store.undo(5, 8)
        assert [hit.section_id for hit in store.search("old")] == [5]


def test_notes_of_an_older_galley_stay_and_their_section_can_have_a_style(path: Path) -> None:
    old_database(path, 3)
    db = Database(path)
    migrations().apply(db, stop_before={"styles_of_sections"})
    db.table("section_notes").insert({"section_id": 5, "notes": "Old notes."})
    db.close()
    with contextlib.closing(Store(path)) as store:
        section = store.section(5)
        assert (section.text, section.style, section.notes) == ("Old words.", "", "Old notes.")
        section = store.change_section(5, 6, style="Warm.")
        assert (section.style, section.notes) == ("Warm.", "Old notes.")


def test_migrations_are_only_ever_added() -> None:
    assert [step.__name__ for step in STEPS] == [
        "documents_sections_blocks",
        "history_is_append_only",
        "jobs",
        "long_blocks_in_pieces",
        "versions",
        "takes",
        "notes_styles_dials",
        "snapshots",
        "search",
        "styles_of_sections",
    ]


def refused_untouched(path: Path) -> str:
    """The sentence with which the file is refused; it must be the same file afterwards."""
    content = path.read_bytes()
    with pytest.raises(StoreUnavailable) as refused:
        Store(path)
    assert path.read_bytes() == content
    sentence = str(refused.value)
    assert is_one_sentence(sentence.replace(str(path), "FILE"))
    assert str(path) in sentence
    return sentence


def test_a_database_of_a_newer_galley_is_left_alone(path: Path) -> None:
    Store(path).close()
    db = Database(path)
    db.table("_sqlite_migrations").insert({"migration_set": "galley", "name": "from_tomorrow", "applied_at": "2030"})
    db.close()
    assert "newer Galley" in refused_untouched(path)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    db = Database(tmp_path / "galley.db")
    db.table("recipes").insert({"name": "soup"})
    db.close()
    assert "another program" in refused_untouched(tmp_path / "galley.db")


# ------------------------------------------------------------------------------------------------ broken files


@pytest.mark.parametrize(
    "content", [b"x", b"x" * 600, b"My diary\n" * 1000, b"SQLite format 3\0" + b"\xff" * 5000, bytes(4096)]
)
def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "galley.db"
    path.write_bytes(content)
    assert "damaged" in refused_untouched(path)


@pytest.fixture
def filled(path: Path) -> Path:
    with contextlib.closing(Store(path)) as store:
        section = store.create_document("D").sections[0]
        for number in range(40):
            section = store.save_text(section.id, number, len(section.blocks), section.text + f"{number} words " * 60)
    return path


def test_a_truncated_database_is_left_alone(filled: Path) -> None:
    content = filled.read_bytes()
    filled.write_bytes(content[: len(content) * 2 // 3])
    assert "damaged" in refused_untouched(filled)


@pytest.mark.parametrize("first", [1, -1])
def test_a_database_with_destroyed_pages_is_left_alone(filled: Path, first: int) -> None:
    content = bytearray(filled.read_bytes())
    for start in range(4096, len(content), 4096)[first:]:
        content[start : start + 200] = os.urandom(200)
    filled.write_bytes(content)
    assert "damaged" in refused_untouched(filled)


def test_a_page_destroyed_while_the_desk_is_open_is_one_sentence(filled: Path) -> None:
    with contextlib.closing(Store(filled)) as store:
        content = bytearray(filled.read_bytes())
        for start in range(4096, len(content), 4096):
            content[start : start + 200] = b"\xff" * 200
        filled.write_bytes(content)
        with store._door.reading() as db:
            db.execute("PRAGMA shrink_memory")
        with pytest.raises(StoreUnavailable, match="damaged"):
            store.document(store.documents()[0].id)


def test_a_folder_in_the_way_is_one_sentence(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreUnavailable, match="There is a folder at"):
        Store(path)
    assert path.is_dir()


def test_a_data_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match=r"--data-dir") as refused:
        Store(tmp_path / "file" / "data" / "galley.db")
    assert is_one_sentence(str(refused.value).replace(str(tmp_path), "DIR"))
    assert (tmp_path / "file").read_text() == "in the way"


def test_an_empty_file_becomes_the_database(tmp_path: Path) -> None:
    (tmp_path / "galley.db").touch()
    with contextlib.closing(Store(tmp_path / "galley.db")) as store:
        assert store.documents() == []


AS_NOBODY = """
import os, sys
from pathlib import Path
from app.store import Store, StoreUnavailable
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    store = Store(Path(sys.argv[1]))
    store.create_document("D")
except StoreUnavailable as refused:
    print(refused)
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that another user can reach, too (pytest's own cannot be)."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def as_nobody(path: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(path)], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")
def test_a_read_only_folder_is_one_sentence(public: Path) -> None:
    os.chmod(public, 0o555)
    for path in (public / "galley.db", public / "deeper" / "galley.db"):
        sentence = as_nobody(path)
        assert "--data-dir" in sentence
        assert is_one_sentence(sentence.strip().replace(str(path), "FILE").replace(str(path.parent), "DIR"))
    os.chmod(public, 0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")
@pytest.mark.parametrize("folder", [0o777, 0o555])
def test_a_read_only_file_is_one_sentence_and_left_alone(public: Path, folder: int) -> None:
    path = public / "galley.db"
    Store(path).close()
    os.chmod(path, 0o444)
    os.chmod(public, folder)
    content = path.read_bytes()
    sentence = as_nobody(path)
    assert "writ" in sentence
    assert str(path) in sentence
    assert path.read_bytes() == content
    os.chmod(public, 0o755)


def test_writing_into_a_database_that_became_read_only_is_one_sentence(store: Store, section: Section) -> None:
    with store._door.reading() as db:
        db.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailable, match="cannot be written to"):
        store.save_text(section.id, 0, 0, "Mine.")
    assert store.section(section.id) == section


def test_a_full_disk_is_one_sentence_and_room_lets_the_writer_go_on(store: Store, section: Section) -> None:
    section = store.save_text(section.id, 0, 0, "Safe.")
    with store._door.reading() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="is full") as refused:
        store.save_text(section.id, 1, 1, "Safe. " + "More words. " * 5000)
    assert is_one_sentence(str(refused.value).replace(str(store._door.path), "FILE"))
    with pytest.raises(StoreUnavailable, match="is full"):
        store.append_block(section.id, Block("More words. " * 5000, "model"))
    assert store.section(section.id) == section
    with store._door.reading() as db:
        db.execute("PRAGMA max_page_count = 1000000")
    assert store.save_text(section.id, 1, 1, "Safe. And more.").text == "Safe. And more."


FULL = """
import resource, sys
from pathlib import Path
from app.draft import Block
from app.store import Store, StoreUnavailable
store = Store(Path(sys.argv[1]))
section = store.create_document("D").sections[0].id
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    for number in range(1000):
        print(store.append_block(section, Block("Some words. " * 500, "model"))[0])
except StoreUnavailable as refused:
    print(refused)
print(len(store.section(section).blocks))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_a_file_that_cannot_grow_loses_no_block_that_was_announced(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, cwd=ROOT, check=True)
    *_, announced, sentence, left = done.stdout.splitlines()
    assert "was not saved" in sentence
    assert int(left) == int(announced) + 1
    with contextlib.closing(Store(path)) as store:
        assert len(store.document(1).sections[0].blocks) == int(announced) + 1


def test_a_file_another_program_keeps_locked_is_one_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.database.BUSY_SECONDS", 0.05)
    with contextlib.closing(Store(path)) as store, contextlib.closing(sqlite3.connect(path)) as other:
        section = store.create_document("D").sections[0]
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.save_text(section.id, 0, 0, "Mine.")
        other.rollback()
        assert store.save_text(section.id, 0, 0, "Mine.").text == "Mine."


def test_a_mistake_in_the_program_stays_loud(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError), store._writing() as tx:
        tx.db.execute("SELECT * FROM no_such_table")


# ------------------------------------------------------------------------------------------------ everything at once


class Desk(RuleBasedStateMachine):
    """A writer with two tabs, a model and a second process; the twin is a plain list of strings and the history."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "galley.db"
        self.store, self.other = quick_store(path), quick_store(path)
        self.section = self.store.create_document("D").sections[0]
        self.stale = self.section
        self.text = ""
        self.refused: list[str] = []

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.store.close()
            self.other.close()
            gc.collect()
            self.folder.cleanup()

    @rule(text=st.text("ab .\0", max_size=12), twice=st.booleans())
    def the_model_appends(self, text: str, twice: bool) -> None:
        for store in (self.store, self.other)[: 1 + twice]:
            _, self.section = store.append_block(
                self.section.id, Block(text, "model", (1, 2), 3, DIAL, 0.5, 1, 0.1, "j")
            )
            self.text += storable(text)

    @rule(data=st.data(), put=st.text("ab .", max_size=5), elsewhere=st.booleans())
    def the_writer_edits_what_is_seen(self, data: st.DataObject, put: str, elsewhere: bool) -> None:
        blocks = self.section.blocks
        seen = data.draw(st.integers(0, len(blocks)))
        old = join(blocks[:seen])
        start = data.draw(st.integers(0, len(old)))
        stop = data.draw(st.integers(start, min(len(old), start + 15)))
        new = old[:start] + put + old[stop:]
        store = self.other if elsewhere else self.store
        revision = self.section.revision
        self.stale = self.section
        self.section = store.save_text(self.section.id, revision, seen, new)
        assert self.section.revision == revision + (new != old)
        self.text = new + self.text[len(old) :]

    @precondition(lambda self: self.stale.revision != self.section.revision)
    @rule(text=st.text("ab", min_size=30, max_size=40))
    def a_stale_tab_is_refused(self, text: str) -> None:
        with pytest.raises(StaleRevision) as refused:
            self.store.save_text(self.section.id, self.stale.revision, len(self.stale.blocks), text)
        assert refused.value.theirs == self.section
        self.refused.append(text)

    @rule(status=st.sampled_from(["planned", "draft", "done"]))
    def the_writer_sets_the_status(self, status: str) -> None:
        self.section = self.store.change_section(self.section.id, self.section.revision, status=status)  # type: ignore[arg-type]

    @invariant()
    def nothing_is_lost(self) -> None:
        for store in (self.store, self.other):
            assert store.section(self.section.id) == self.section
        assert self.section.text == self.text
        rows = self.store.history(section_id=self.section.id)
        assert replay(rows) == self.text
        assert set(self.refused) <= {row.after for row in rows if row.kind == "refused"}
        assert self.store.documents()[0].words == self.section.words


Desk.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestDesk = Desk.TestCase


def test_every_refusal_of_the_store_is_a_store_error() -> None:
    for kind in (NotFound, InvalidValue, StaleRevision, StaleDocument, StoreUnavailable):
        assert issubclass(kind, StoreError)
