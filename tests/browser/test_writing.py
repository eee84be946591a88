"""A section is written before the writer's eyes, stops when told to, and outlives its tab."""

from __future__ import annotations

import os
import re
import signal

import pytest
from playwright.sync_api import Page, Route, expect

from app.answers import dumps
from app.verbs import VERBS, Fields
from model.catalog import SMOLLM2
from tests.browser.conftest import Desk, OpenTab, Watch, start_document, text_of
from tests.scripted_engine import WORDS

HELD = 2
"""The block at which the tests stop to look."""

BLOCK = SMOLLM2.stop(SMOLLM2.default_stop).dial.block_size
"""Slots that are shown before the engine says how many there are."""


def write_until_held(desk: Desk, page: Page) -> str:
    """Starts writing; returns the text when the first blocks have locked in and the next one is being denoised."""
    desk.script.hold(block=HELD)
    page.locator("#write").click()
    expect(page.locator("#text")).to_have_text(re.compile(rf"(\S+\s+){{{8 * HELD - 1}}}\S+"))
    expect(page.locator("#island .slot:not(.masked)").first).to_be_attached()
    return text_of(page)


def test_blocks_lock_in_one_by_one_and_are_in_the_store_before(desk: Desk, written: Page) -> None:
    so_far = write_until_held(desk, written)
    slots = written.locator("#island .slot")
    assert len(so_far.split()) == 8 * HELD == len(desk.text().split())
    assert so_far == desk.text()
    expect(slots).to_have_count(8)  # of the dial's block size, masked or not
    assert written.locator("#island .slot.masked").count() == 4
    desk.script.release()
    expect(written.locator("#write")).to_have_text("Continue, a paragraph")
    expect(slots).to_have_count(0)
    assert text_of(written) == desk.text()
    assert len(desk.text().split()) == 150
    expect(written.locator("#meter-words")).to_have_text("150 of 150")
    expect(written.locator("#meter-nfe")).to_have_text(re.compile(r"^0\.\d\d$"))
    expect(written.locator("#meter-speed")).to_have_text(re.compile(r"^[\d.]+, [\d.]+ first$"))


def test_one_message_is_spoken_for_each_locked_block(desk: Desk, written: Page) -> None:
    so_far = write_until_held(desk, written)
    spoken = written.locator("#spoken p")
    expect(spoken).to_have_count(HELD)
    assert " ".join(spoken.all_text_contents()) == so_far
    expect(written.locator("#island")).to_have_attribute("aria-hidden", "true")
    desk.script.release()


def test_it_stops_in_the_middle_keeps_what_is_locked_and_goes_on_from_there(desk: Desk, written: Page) -> None:
    so_far = write_until_held(desk, written)
    written.locator("#write", has_text="Stop").click()
    expect(written.locator("#engine-line")).to_have_text(f"Stopped after {8 * HELD} words, which are kept.")
    assert text_of(written) == desk.text() == so_far
    desk.script.release()
    written.locator("#write", has_text="Continue, 134 words").click()
    expect(written.locator("#meter-words")).to_have_text("150 of 150")
    assert text_of(written) == desk.text()
    assert desk.text().startswith(so_far)


def test_a_length_that_is_being_typed_is_the_one_that_is_written(desk: Desk, written: Page) -> None:
    length = written.get_by_label("Length")
    length.select_text()
    written.keyboard.type("60")
    expect(written.locator("#write")).to_have_text("Write 60 words")
    written.keyboard.press("Control+Enter")
    expect(written.locator("#meter-words")).to_have_text("60 of 60")
    assert len(desk.text().split()) == 60
    expect(length).to_be_focused()
    length.select_text()
    written.keyboard.type("0")  # no length, so what was there counts
    expect(written.locator("#meter-words")).to_have_text("60 of 60")


def test_a_section_that_has_its_words_goes_on_by_a_paragraph(desk: Desk, written: Page) -> None:
    written.locator("#write", has_text="Write").click()
    written.locator("#write", has_text="Continue, a paragraph").click()
    expect(written.locator("#meter-words")).to_have_text("210 of 150")
    assert text_of(written) == desk.text()


def test_escape_puts_away_what_is_open_before_it_stops_the_writing(desk: Desk, written: Page) -> None:
    write_until_held(desk, written)
    written.keyboard.press("Control+Shift+f")
    expect(written.locator("#panel")).to_be_visible()
    written.keyboard.press("Escape")
    expect(written.locator("#panel")).to_be_hidden()
    expect(written.locator("#write")).to_have_text("Stop")
    written.keyboard.press("Escape")
    expect(written.locator("#engine-line")).to_have_text(f"Stopped after {8 * HELD} words, which are kept.")
    desk.script.release()


def test_escape_stops_no_section_that_is_not_before_the_writers_eyes(desk: Desk, written: Page) -> None:
    document = desk.session.document(1)
    desk.session.add_section(1, document.revision, after=document.sections[0].id, title="Morning", brief="Light.")
    expect(written.locator("#outline .name")).to_have_text(["Night", "Morning"])
    write_until_held(desk, written)
    written.keyboard.press("Alt+PageDown")
    expect(written.get_by_label("Title of the section")).to_have_value("Morning")
    written.keyboard.press("Escape")
    desk.script.release()
    written.keyboard.press("Alt+PageUp")
    expect(written.locator("#meter-words")).to_have_text("150 of 150")


def test_blocks_that_lock_in_while_their_section_is_being_opened_are_in_it(desk: Desk, written: Page) -> None:
    document = desk.session.document(1)
    desk.session.add_section(1, document.revision, after=document.sections[0].id, title="Morning", brief="Light.")
    expect(written.locator("#outline .name")).to_have_text(["Night", "Morning"])
    write_until_held(desk, written)
    written.keyboard.press("Alt+PageDown")
    expect(written.get_by_label("Title of the section")).to_have_value("Morning")
    held: list[Route] = []
    written.route("**/verb/section", lambda route: held.append(route), times=1)
    with written.expect_request("**/verb/section"):
        written.keyboard.press("Alt+PageUp")
    answer = dumps(VERBS["section"](desk.session, Fields({"section_id": document.sections[0].id})))
    expect(written.locator("#engine-line")).to_contain_text("is being written")
    desk.script.release()
    expect(written.locator("#engine-line")).not_to_contain_text("is being written")
    held[0].fulfill(body=answer, content_type="application/json")  # as it was then
    expect(written.locator("#meter-words")).to_have_text("150 of 150")
    assert text_of(written) == desk.text()


def test_a_tab_that_comes_back_shows_the_text_so_far_and_the_running_job(
    desk: Desk, written: Page, open_tab: OpenTab
) -> None:
    so_far = write_until_held(desk, written)
    written.reload()
    expect(written.locator("#island .slot:not(.masked)").first).to_be_attached()
    assert text_of(written) == so_far
    expect(written.locator("#write")).to_have_text("Stop")
    written.close()
    another = open_tab()
    expect(another.locator("#write")).to_have_text("Stop")
    desk.script.release()
    expect(another.locator("#meter-words")).to_have_text("150 of 150")
    assert text_of(another) == desk.text()


def test_a_job_goes_on_without_any_tab(desk: Desk, written: Page, open_tab: OpenTab) -> None:
    write_until_held(desk, written)
    news = desk.session.subscribe()
    written.close()
    desk.script.release()
    while (event := news.get(20)) is not None and (event["type"], event.get("state")) != ("job", "finished"):
        pass
    assert event is not None
    page = open_tab()
    expect(page.locator("#meter-words")).to_have_text("150 of 150")
    assert text_of(page) == desk.text()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no way to kill a process at once")
def test_a_killed_model_process_takes_its_unlocked_words_back_and_the_section_goes_on(
    desk: Desk, written: Page
) -> None:
    so_far = write_until_held(desk, written)
    desk.script.change(hold_opening=True)
    pid = desk.session._press._worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    expect(written.locator("#engine-line")).to_have_text(re.compile("^The model is being fetched"))
    expect(written.locator("#write")).to_have_text("Stop")
    expect(written.locator("#island .slot.masked")).to_have_count(BLOCK)
    assert text_of(written) == desk.text()
    assert desk.text().startswith(so_far)
    desk.script.change(hold_opening=False, hold=None)
    expect(written.locator("#meter-words")).to_have_text("150 of 150")
    assert text_of(written) == desk.text()
    assert desk.text().startswith(so_far)


def test_typing_meanwhile_moves_neither_cursor_nor_text_and_can_be_undone(desk: Desk, written: Page) -> None:
    written.locator("#text").click()
    written.keyboard.type("Once. ")
    so_far = write_until_held(desk, written)
    written.locator("#text").focus()
    written.keyboard.press("Control+Home")
    written.keyboard.type("Mine: ")
    desk.script.hold(block=HELD + 2)
    expect(written.locator("#text")).to_have_text(re.compile(r"^Mine: Once\. (\S+\s+){31}"))
    written.keyboard.type("and mine. ")
    assert text_of(written).startswith("Mine: and mine. " + so_far)
    desk.script.release()
    expect(written.locator("#write")).to_have_text("Continue, a paragraph")
    expect(written.locator("#saved")).to_have_text("Saved")
    assert text_of(written) == desk.text()
    text = desk.text()
    written.keyboard.press("Control+z")  # what came last: a block, or what was typed
    expect(written.locator("#text")).not_to_have_text(text)
    assert text_of(written) == desk.text()


def test_edits_in_locked_blocks_while_more_are_coming_lose_and_double_nothing(desk: Desk, written: Page) -> None:
    desk.script.change(pace=0.004)
    written.locator("#write").click()
    expect(written.locator("#text")).to_have_text(re.compile(r"(\S+ ){10}"))
    written.locator("#text").click()
    for turn in range(12):
        written.keyboard.press("Control+Home")
        written.keyboard.press("End")
        written.keyboard.type(f" [{turn}] ", delay=15)
        written.keyboard.press("ArrowLeft")
        written.keyboard.press("Backspace")
    expect(written.locator("#write")).to_have_text(re.compile("Continue"))
    expect(written.locator("#saved")).to_have_text("Saved")
    assert text_of(written) == desk.text()
    plain = [word.strip(".").lower() for word in re.findall(r"[A-Za-z]+", desk.text())]
    assert len(plain) >= 140
    assert set(plain) <= set(WORDS)


def test_another_section_can_be_edited_while_one_is_written(desk: Desk, written: Page) -> None:
    write_until_held(desk, written)
    written.get_by_role("button", name="Add", exact=True).click()
    expect(written.get_by_label("Title of the section")).to_be_focused()
    written.keyboard.type("Morning")
    written.locator("#text").click()
    written.keyboard.type("Something else.")
    expect(written.locator("#engine-line")).to_have_text("“Night” is being written.")
    expect(written.locator("#island .slot")).to_have_count(0)
    desk.script.release()
    expect(written.locator("#write")).to_be_enabled()
    expect(written.get_by_role("button", name=re.compile("^Night 150.150"))).to_be_visible()
    expect(written.locator("#saved")).to_have_text("Saved")
    assert desk.text(section=1) == "Something else."
    written.get_by_role("button", name=re.compile("^Night")).click()
    expect(written.get_by_label("Title of the section")).to_have_value("Night")
    assert text_of(written) == desk.text(section=0)


@pytest.mark.parametrize("asked_by", ["button", "system"])
def test_quiet_shows_words_at_lock_in_only(desk: Desk, written: Page, asked_by: str) -> None:
    if asked_by == "button":
        written.get_by_role("button", name="Quiet").click()
    else:
        written.emulate_media(reduced_motion="reduce")
    desk.script.hold(block=HELD)
    written.locator("#write").click()
    expect(written.locator("#text")).to_have_text(re.compile(r"(\S+\s+){15}\S+"))
    expect(written.locator("#island .slot.masked")).to_have_count(8)
    desk.script.release()


def test_the_text_above_never_moves_while_a_block_is_denoised(desk: Desk, written: Page) -> None:
    write_until_held(desk, written)
    last = written.locator("#text > div").last
    before = last.bounding_box()
    desk.script.hold(block=HELD, step=2)
    expect(written.locator("#island .slot.masked")).to_have_count(0)
    assert last.bounding_box() == before
    desk.script.release()


@pytest.mark.parametrize("words", [WORDS, ("שלום", "לילה", "הים")], ids=["left to right", "right to left"])
def test_the_live_block_begins_where_the_text_ends(desk: Desk, written: Page, words: tuple[str, ...]) -> None:
    desk.script.change(words=words)
    write_until_held(desk, written)
    gap = written.evaluate(
        """(rtl) => {
          const range = document.createRange();
          const last = document.querySelector("#text > div:last-child").lastChild;
          range.setStart(last, last.data.length - 1);
          range.setEnd(last, last.data.length);
          const end = [...range.getClientRects()].at(-1);
          const slot = [...document.querySelector("#island .slot").getClientRects()][0];
          const nextLine = slot.top > end.top + 8;
          const aside = rtl ? end.left - slot.right : slot.left - end.right;
          return {aside: nextLine ? 0 : aside, above: nextLine ? 0 : slot.bottom - end.bottom};
        }""",
        words != WORDS,
    )
    assert abs(gap["aside"]) < 2
    assert abs(gap["above"]) < 2
    desk.script.release()


def test_the_view_follows_the_tail_until_the_writer_scrolls_away(desk: Desk, written: Page) -> None:
    written.locator("#target").fill("900")
    written.locator("#target").blur()
    desk.script.hold(block=60)
    written.locator("#write").click()
    expect(written.locator("#meter-words")).to_have_text(re.compile(r"^4\d\d of 900$"))
    expect(written.locator("#island")).to_be_in_viewport()
    written.mouse.move(600, 300)
    written.mouse.wheel(0, -2000)
    expect(written.get_by_label("Title of the section")).to_be_in_viewport()
    desk.script.release()
    expect(written.locator("#meter-words")).to_have_text("900 of 900")
    expect(written.get_by_label("Title of the section")).to_be_in_viewport()


def test_an_empty_brief_is_a_sentence_and_the_place_to_fill_it(page: Page, watch: Watch) -> None:
    watch.expected.append("422")
    start_document(page, "Harbour", "", "")
    page.locator("#write").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile(r"brief"))
    expect(page.get_by_label("Brief")).to_be_focused()


def test_a_length_that_is_not_possible_is_a_sentence_and_not_saved(desk: Desk, written: Page) -> None:
    for length in ("0", "100000", "-5", "1.5"):
        written.get_by_label("Length").fill(length)
        written.get_by_label("Length").blur()
        expect(written.get_by_role("alert")).to_have_text("A length is a whole number of words, from 1 to 5000.")
        expect(written.get_by_label("Length")).to_have_attribute("aria-invalid", "true")
    section = desk.session.document(desk.session.documents()[0].id).sections[0]
    assert section.target_words == 150


def test_the_dial_says_what_each_stop_costs_and_the_text_is_written_with_it(desk: Desk, written: Page) -> None:
    facts = written.locator("#facts")
    for stop in desk.session.entry.stops:
        written.locator(".tick", has_text=stop.name).click()
        expect(facts).to_contain_text(stop.gives)
        expect(facts).to_contain_text(f"{stop.nfe_per_token:.2f} forwards")
        expect(facts).to_have_text(re.compile(r"About .* for this section here\.$"))
    written.get_by_role("button", name="Fine settings").click()
    written.get_by_label("Block size").select_option("16")
    written.get_by_label("Steps").fill("3")
    written.get_by_label("Rule").select_option("confidence")
    expect(facts).to_have_text(re.compile("^Your own setting: blocks of 16, 3 steps"))
    written.locator("#write").click()
    expect(written.locator("#meter-words")).to_have_text("150 of 150")
    dial = desk.session.document(desk.session.documents()[0].id).sections[0].blocks[0].dial
    assert dial is not None
    assert (dial.block_size, dial.steps, dial.rule) == (16, 3, "confidence")
    written.reload()
    expect(facts).to_have_text(re.compile("^Your own setting: blocks of 16"))
