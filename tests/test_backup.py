"""Rules of backups: a whole database or none, made while others write, and no other file is touched."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store import InvalidValue, Store, StoreUnavailable
from tests.quick_store import Clock, quick_store
from tests.test_versions import BLOCK, type_in

DAY = 24 * 3600


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with contextlib.closing(quick_store(tmp_path / "galley.db", clock)) as store:
        type_in(store, store.create_document("D").sections[0], "Words.")
        yield store


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_backup_is_a_database_with_everything_in_it(store: Store, tmp_path: Path) -> None:
    section = store.document(1).sections[0]
    store.append_block(section.id, BLOCK)
    store.backup(tmp_path / "deeper" / "copy.db")
    assert names(tmp_path / "deeper") == ["copy.db"]
    store.append_block(section.id, BLOCK)
    with contextlib.closing(Store(tmp_path / "deeper" / "copy.db")) as copy:
        assert copy.section(section.id).text == "Words." + BLOCK.text
        assert copy.history(section_id=section.id) == store.history(section_id=section.id)[:-1]
        assert copy.undo(section.id, 1).text == "Words."


def test_a_backup_is_made_while_another_process_writes(store: Store, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "galley.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE documents SET title = 'not yet'")
        store.backup(tmp_path / "copy.db")
        other.rollback()
    with contextlib.closing(Store(tmp_path / "copy.db")) as copy:
        assert copy.document(1).title == "D"


def test_a_file_that_is_there_is_not_written_over(store: Store, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    for path in (tmp_path / "diary.txt", tmp_path / "galley.db", tmp_path):
        with pytest.raises(InvalidValue, match="already"):
            store.backup(path)
    assert (tmp_path / "diary.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_one_sentence(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="could not be written"):
        store.backup(tmp_path / "file" / "copy.db")


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_a_backup_that_does_not_fit_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    import resource

    type_in(store, store.document(1).sections[0], "Many words. " * 20_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(StoreUnavailable):
            store.backup(tmp_path / "copies" / "copy.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path / "copies") == []
    store.backup(tmp_path / "copies" / "copy.db")


def test_one_backup_a_day_and_the_last_seven_are_kept(store: Store, tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "galley-2029-01-01.db.old").write_text("not ours to delete")
    (folder / "galley-2029-12-01.db.part").write_text("cut off")
    for day in range(1, 10):
        made = store.backup_daily(folder)
        assert made == folder / f"galley-2030-01-{day:02}.db"
        assert store.backup_daily(folder) is None
        clock.wait(DAY)
    kept = [f"galley-2030-01-{day:02}.db" for day in range(3, 10)]
    assert names(folder) == ["galley-2029-01-01.db.old", *kept]
    assert store.backup_daily(folder, keep=1) == folder / "galley-2030-01-10.db"
    assert names(folder) == ["galley-2029-01-01.db.old", "galley-2030-01-10.db"]


def test_databases_that_share_a_folder_keep_their_own_backups(store: Store, tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "backups"
    with contextlib.closing(quick_store(tmp_path / "galley-2.db", clock)) as other:
        for _ in range(2):
            assert store.backup_daily(folder, keep=1)
            assert other.backup_daily(folder, keep=1)
            clock.wait(DAY)
    assert names(folder) == ["galley-2-2030-01-02.db", "galley-2030-01-02.db"]


def test_a_backup_that_was_cut_off_does_not_stand_in_the_way(store: Store, tmp_path: Path) -> None:
    (tmp_path / "copy.db.part").write_bytes(os.urandom(10_000))
    store.backup(tmp_path / "copy.db")
    assert not (tmp_path / "copy.db.part").exists()
