"""The lab in a browser: the way there and back, a comparison from the first mask to the last word, and the table."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Desk, Engine, OpenTab, Watch
from tests.scripted_engine import scripted_child
from tests.scripted_lab import TEXT, hold, release, scripted_lab

SENTENCE = " ".join(TEXT.split()[:16])


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(scripted_child, lab=scripted_lab(tmp_path / "run"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where the script of the lab lies."""
    return tmp_path / "cache"


@pytest.fixture
def lab(page: Page, desk: Desk) -> Page:
    page.goto(f"{desk.address}lab")
    expect(page.locator("#first")).to_be_visible()
    return page


def compare(page: Page, first: str, second: str, tokens: int = 16) -> None:
    page.get_by_label("First system").select_option(label=first)
    page.get_by_label("Second system").select_option(label=second)
    page.get_by_label("Length").fill(str(tokens))
    page.get_by_role("button", name="Compare").click()


def test_the_desk_leads_there_and_back(page: Page) -> None:
    page.get_by_role("link", name="Lab").click()
    expect(page.get_by_role("heading", name="The lab")).to_be_visible()
    page.get_by_role("link", name="Back to the desk").click()
    expect(page.locator("#first-document")).to_be_visible()
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Find a command").fill("lab")
    page.keyboard.press("Enter")
    expect(page.locator("#first")).to_be_visible()
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Find a command").fill("back")
    page.keyboard.press("Enter")
    expect(page.locator("#first-document")).to_be_visible()


def test_both_sides_are_seen_being_written_and_end_with_their_figures(lab: Page, cache: Path) -> None:
    hold(cache, 11)
    lab.get_by_label("Prompt").fill("Of the <b>light</b>:")
    compare(lab, "Block diffusion, blocks of 4", "MDLM")
    expect(lab.locator("#first-text .slot")).to_have_count(4)
    expect(lab.locator("#second-text .slot")).to_have_count(16)
    expect(lab.locator("#second-text .slot.masked")).to_have_count(11)
    expect(lab.get_by_role("button", name="Stop")).to_be_visible()
    expect(lab.get_by_label("First system")).to_be_disabled()
    release(cache)
    for side in ("first", "second"):
        expect(lab.locator(f"#{side}-text")).to_have_text(f"Of the <b>light</b>: {SENTENCE}")
        expect(lab.locator(f"#{side}-text .slot")).to_have_count(0)
        expect(lab.locator(f"#{side}-meter dd")).to_have_text(
            ["16", "0.32", "50.0", "113" if side == "first" else "114"]
        )
    expect(lab.get_by_role("status")).to_contain_text("MDLM: 16 forwards, 0.32 s.")
    expect(lab.get_by_role("button", name="Compare")).to_be_enabled()


def test_keys_begin_and_stop_it_and_what_was_written_stays(lab: Page, cache: Path) -> None:
    hold(cache, 11)
    lab.get_by_label("Prompt").focus()
    lab.keyboard.press("Control+Enter")
    expect(lab.locator("#second-text .slot.in").first).to_be_attached()
    lab.keyboard.press("Escape")
    expect(lab.get_by_role("status")).to_contain_text("Stopped")
    expect(lab.locator("#second-text .slot.in").first).to_be_attached()
    expect(lab.get_by_role("button", name="Compare")).to_be_enabled()
    release(cache)
    lab.keyboard.press("Control+Enter")
    expect(lab.get_by_role("status")).to_contain_text("One text says little")


def test_a_tab_that_is_closed_leaves_the_lab_free(
    lab: Page, cache: Path, open_tab: OpenTab, desk: Desk, watch: Watch
) -> None:
    watch.expected.append("422")
    hold(cache, 11)
    compare(lab, "Autoregressive", "MDLM")
    expect(lab.locator("#second-text .slot.in").first).to_be_attached()
    other = open_tab()
    other.goto(f"{desk.address}lab")
    compare(other, "Autoregressive", "MDLM")
    expect(other.get_by_role("status")).to_contain_text("Another comparison is under way")
    lab.close()
    release(cache)
    expect(other.get_by_role("button", name="Compare")).to_be_enabled()
    other.get_by_role("button", name="Compare").click()
    expect(other.get_by_role("status")).to_contain_text("One text says little")


def test_sedd_says_in_its_pane_that_it_cannot_and_the_other_goes_on(lab: Page) -> None:
    compare(lab, "SEDD", "Autoregressive", 65)
    expect(lab.locator("#first-note")).to_contain_text("training length")
    expect(lab.locator("#second-meter dd")).to_have_text(["65", "1.3", "50.0", "114"])
    expect(lab.get_by_role("status")).to_contain_text("Autoregressive: 65 forwards")


def test_a_process_that_is_killed_is_told_and_the_desk_goes_on(lab: Page, cache: Path, desk: Desk) -> None:
    hold(cache, 11)
    compare(lab, "Autoregressive", "MDLM")
    expect(lab.locator("#second-text .slot.in").first).to_be_attached()
    os.kill(lab_process(), getattr(signal, "SIGKILL", signal.SIGTERM))
    expect(lab.get_by_role("status")).to_contain_text("ended unexpectedly")
    assert desk.session.engine()["state"] == "ready"
    release(cache)
    compare(lab, "Autoregressive", "MDLM")
    expect(lab.get_by_role("status")).to_contain_text("One text says little")


def lab_process() -> int:
    (process,) = (child for child in multiprocessing.active_children() if child.name == "galley-lab")
    assert process.pid is not None
    return process.pid


def test_the_table_is_sorted_by_a_column_best_first_then_turned_and_gaps_stay_last(lab: Page) -> None:
    rows = lab.locator(".lab-table tbody th")
    systems = ["Autoregressive", "BD3-LM, L′ = 4", "BD3-LM, L′ = 16", "MDLM", "SEDD"]
    expect(rows).to_have_text([f"{system}6.1M" for system in systems])
    expect(lab.locator(".lab-table .best")).to_have_text(["24.31± 0.21", "88.2± 1.9", "611.2± 9.4"])
    column = lab.get_by_role("columnheader", name="Tokens/s")
    column.get_by_role("button").click()
    expect(column).to_have_attribute("aria-sort", "descending")
    expect(rows.first).to_contain_text("L′ = 16")
    zero_shot = lab.get_by_role("columnheader", name="Zero-shot")
    for first in ("Autoregressive", "MDLM"):
        zero_shot.get_by_role("button").press("Enter")
        expect(rows.first).to_contain_text(first)
        expect(rows.last).to_contain_text("SEDD")
    expect(column).not_to_have_attribute("aria-sort", "descending")
    assert lab.locator("#plots img").evaluate("image => image.decode().then(() => image.naturalWidth > 0)")


def test_text_in_a_table_is_text(page: Page, desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "run" / "table.json"
    evil = "<img src=x onerror=document.title='evil'>"
    file.write_text(file.read_text(encoding="utf-8").replace("SEDD", evil), encoding="utf-8")
    page.goto(f"{desk.address}lab")
    expect(page.locator(".lab-table tbody th").last).to_contain_text(evil)
    expect(page).to_have_title("The lab · Galley")


class TestWithoutAFolder:
    @pytest.fixture
    def engine(self) -> Engine:
        return Engine(scripted_child)

    def test_the_networks_of_the_repository_are_offered(self, page: Page, desk: Desk) -> None:
        page.goto(f"{desk.address}lab")
        expect(page.locator("#live-form")).to_be_visible()
        offered = page.get_by_label("First system").locator("option")
        expect(offered.filter(has_text="Autoregressive")).to_have_count(1)
        expect(offered.filter(has_text="Block diffusion, blocks of 4")).not_to_have_count(0)


class TestWithAnEmptyFolder:
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Engine:
        (tmp_path / "nothing").mkdir()
        return Engine(scripted_child, lab=tmp_path / "nothing")

    def test_one_sentence_says_how_to_get_some(self, page: Page, desk: Desk) -> None:
        page.goto(f"{desk.address}lab")
        expect(page.locator("#live-none")).to_contain_text("holds no trained network yet")
        expect(page.locator("#live-form")).to_be_hidden()


def test_without_motion_words_come_when_a_block_is_locked(lab: Page, cache: Path) -> None:
    lab.emulate_media(reduced_motion="reduce")
    hold(cache, 11)
    compare(lab, "Block diffusion, blocks of 4", "MDLM")
    expect(lab.locator("#first-text")).to_have_text(" ".join(SENTENCE.split()[:4]))
    expect(lab.locator("#second-text .slot.masked")).to_have_count(16)
    release(cache)
    expect(lab.locator("#second-text")).to_have_text(SENTENCE)


def test_nothing_is_wider_than_a_small_window(lab: Page) -> None:
    lab.set_viewport_size({"width": 360, "height": 800})
    compare(lab, "Block diffusion, blocks of 16, adaptive", "MDLM", 8)
    expect(lab.get_by_role("status")).to_contain_text("One text says little")
    assert lab.evaluate("document.documentElement.scrollWidth") <= 360
