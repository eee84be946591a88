"""The whole of it, nothing scripted: the real weights in a real model process, before the writer's eyes."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.worker import child_main
from model.contract import count_words
from model.sentences import closes_sentence
from tests.browser.conftest import Desk, Engine, OpenTab, start_document, text_of

PATIENCE_MS = 120_000
"""For what the model does: on a busy machine it takes its time."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Iterator[Desk]:
    """One for all of these, each in a document of its own: the model takes its time to load."""
    engine = Engine(child_main, model="smollm2-135m", cache_dir=model_cache)
    desk = Desk(tmp_path_factory.mktemp("desk"), engine)
    desk.start()
    yield desk
    desk.end()


@pytest.fixture
def page(desk: Desk, open_tab: OpenTab) -> Page:
    """A tab, once the model is ready."""
    news = desk.session.subscribe()
    while desk.session.engine()["state"] == "preparing":
        news.get(timeout=1.0)
    news.close()
    assert desk.session.engine()["state"] == "ready", desk.session.engine()["sentence"]
    return open_tab()


def begin(page: Page, words: int) -> None:
    """A document with one section of so many words, being written."""
    start_document(page, "Harbour", "Night", "A keeper lights his lamp and thinks of the ships that did not come.")
    page.get_by_label("Length").fill(str(words))
    page.get_by_label("Length").blur()
    expect(page.locator("#saved")).to_have_text("Saved")
    page.locator("#write").click()


def wait_for_blocks(page: Page, count: int) -> str:
    """The text when so many blocks, or more, have been seen to lock in."""
    expect(page.locator("#text")).to_have_text(re.compile(rf"(\w+\W+){{{4 * count}}}"), timeout=PATIENCE_MS)
    return text_of(page)


def expect_finished(desk: Desk, page: Page, words: int) -> str:
    expect(page.locator("#write")).to_have_text(re.compile("Continue"), timeout=PATIENCE_MS)
    text = desk.text()
    assert text_of(page) == text
    assert abs(count_words(text) - words) <= 0.1 * words
    assert closes_sentence(text)
    return text


def test_blocks_lock_in_it_stops_goes_on_after_a_reload_and_is_exported_after_a_restart(
    desk: Desk, page: Page, open_tab: OpenTab
) -> None:
    begin(page, 90)
    expect(page.locator("#island .slot:not(.masked)").first).to_be_attached(timeout=PATIENCE_MS)
    first = wait_for_blocks(page, 2)
    page.locator("#write", has_text="Stop").click()
    expect(page.locator("#write")).to_have_text(re.compile("Continue"))
    stopped = desk.text()
    assert stopped.startswith(first)
    assert text_of(page) == stopped
    page.locator("#write").click()
    wait_for_blocks(page, 4)
    page.reload()
    finished = expect_finished(desk, page, 90)
    assert finished.startswith(stopped)

    page.close()
    desk.end()
    desk.start()
    again = open_tab()
    expect(again.locator("#text")).to_have_text(re.compile(r"\w"))
    assert text_of(again) == finished
    with again.expect_download() as download:
        again.get_by_role("button", name="Export").click()
        again.get_by_role("menuitem", name="Markdown").first.click()
    exported = Path(download.value.path()).read_text(encoding="utf-8")
    # a heading that the model wrote moves below the section's own
    plain = re.sub(r"^#+ ", "", exported, flags=re.MULTILINE)
    assert plain == "Harbour\n\nNight\n\n" + re.sub(r"^#+ ", "", f"{finished.strip()}\n", flags=re.MULTILINE)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no way to kill a process at once")
def test_a_killed_model_process_loses_no_block_and_the_section_is_written_to_its_end(desk: Desk, page: Page) -> None:
    begin(page, 90)
    before = wait_for_blocks(page, 2)
    pid = desk.session._press._worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    finished = expect_finished(desk, page, 90)
    assert finished.startswith(before)
    assert desk.session._press._worker.pid not in (None, pid)
