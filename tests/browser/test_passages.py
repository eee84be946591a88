"""A passage is written anew: takes are shown right there, looked at in place; one is taken, or the old words stay."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Desk, text_of

SELECT = """([first, last]) => {
  const line = document.querySelector("#text > div").firstChild;
  const words = [...line.data.matchAll(/\\S+/g)];
  const end = last === null ? words[first].index : words[last].index + words[last][0].length;
  document.querySelector("#text").focus();
  getSelection().setBaseAndExtent(line, words[first].index, line, end);
}"""


def select(page: Page, first: int, last: int | None = None) -> None:
    """Selects from one word to another, or puts the cursor before a word; words are counted, because they repeat."""
    page.evaluate(SELECT, [first, last])


@pytest.fixture
def blocks(desk: Desk, written: Page) -> Page:
    """“Night”, written by the model in blocks of 8 words."""
    written.get_by_label("Length").fill("40")
    written.get_by_label("Length").blur()
    written.locator("#write").click()
    expect(written.locator("#meter-words")).to_have_text("40 of 40")
    expect(written.locator("#write")).to_have_text("Continue, a paragraph")
    return written


def test_a_selection_is_rewritten_looked_at_in_place_kept_taken_and_undone(desk: Desk, blocks: Page) -> None:
    text = desk.text()
    words = text.split()
    select(blocks, 2, 5)
    tools = blocks.get_by_role("toolbar", name="Change this passage")
    tools.get_by_role("button", name="Rewrite …").click()
    slider = blocks.get_by_role("slider", name="Rewrite, from polish to new")
    expect(slider).to_be_focused()
    expect(slider).to_have_attribute("aria-valuetext", "new")
    slider.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", "deeply")
    slider.press("End")
    slider.press("Enter")
    takes = blocks.get_by_role("listbox", name="Takes")
    expect(takes.get_by_role("option")).to_have_count(3)
    expect(takes).to_be_focused()
    first = text_of(blocks)
    assert first != text
    takes.press("ArrowDown")
    assert text_of(blocks) not in (first, text)
    assert desk.text() == text  # looking changes nothing
    takes.press("Escape")
    assert text_of(blocks) == desk.text() == text
    blocks.keyboard.press("Control+j")
    expect(blocks.get_by_role("tab", name="Takes")).to_have_attribute("aria-selected", "true")
    card = blocks.get_by_role("tabpanel", name="Takes")
    expect(card.locator("del").first).to_be_visible()
    card.get_by_role("button", name="Use this").nth(1).click()
    expect(card.get_by_text("Chosen last")).to_be_visible()
    taken = desk.session.takes(1)[0].candidates[1].text
    assert text_of(blocks) == desk.text() == " ".join([*words[:2], taken, *words[6:]])
    select(blocks, 0)
    blocks.keyboard.press("Control+z")
    expect(blocks.locator("#text")).to_have_text(text)


def test_a_block_is_written_again_by_keyboard_alone(desk: Desk, blocks: Page) -> None:
    before = [block.text for block in desk.session.section(1).blocks]
    select(blocks, len((before[0] + before[1]).split()))
    blocks.keyboard.press("Control+.")
    expect(blocks.get_by_role("button", name="Other words")).to_be_focused()
    blocks.keyboard.press("ArrowRight")
    blocks.keyboard.press("Enter")
    takes = blocks.get_by_role("listbox", name="Takes")
    expect(takes).to_be_focused()
    blocks.keyboard.press("ArrowUp")
    blocks.keyboard.press("Enter")
    expect(blocks.locator("#text")).to_be_focused()
    expect(blocks.get_by_role("listbox", name="Takes")).to_have_count(0)
    expect(blocks.locator("#text")).not_to_have_text("".join(before))
    expect(blocks.locator("#saved")).to_have_text("Saved")
    assert text_of(blocks) == desk.text()
    assert desk.text().startswith("".join(before[:2]))
    assert desk.text().endswith("".join(before[3:]))


def test_words_that_are_kept_stand_in_everything_that_is_rewritten_around_them(desk: Desk, blocks: Page) -> None:
    words = desk.text().split()
    select(blocks, 3, 4)
    blocks.get_by_role("button", name="Keep these words").click()
    select(blocks, 1, 7)
    blocks.get_by_role("button", name="Rewrite …").click()
    blocks.get_by_role("slider", name="Rewrite, from polish to new").press("Enter")
    options = blocks.get_by_role("listbox", name="Takes").get_by_role("option")
    expect(options).to_have_count(3)
    take = desk.session.takes(1)[0]
    assert take.kind == "pins"
    assert all(f" {words[3]} {words[4]} " in candidate.text for candidate in take.candidates)
    options.nth(1).dblclick()
    expect(blocks.locator("#text")).to_contain_text(take.candidates[1].text)
    expect(blocks.locator("#text")).to_have_text(desk.text())


def test_other_words_and_what_is_missing_are_found(desk: Desk, blocks: Page) -> None:
    select(blocks, 6)
    blocks.keyboard.press("Control+k")
    blocks.keyboard.type("other words")
    blocks.keyboard.press("Enter")
    takes = blocks.get_by_role("listbox", name="Takes")
    expect(takes.get_by_role("option")).to_have_count(6)
    takes.press("Escape")
    blocks.keyboard.press("Control+End")
    blocks.keyboard.press("Control+.")
    blocks.get_by_role("button", name="Fill in …").click()
    blocks.get_by_role("menuitem", name="A sentence or two").click()
    expect(takes.get_by_role("option")).to_have_count(3)
    takes.press("Enter")
    expect(blocks.locator("#meter-words")).to_have_text("70 of 40")
    assert text_of(blocks) == desk.text()


def test_esc_stops_it_and_the_text_stays_as_it_was(desk: Desk, blocks: Page) -> None:
    text = desk.text()
    desk.script.hold(block=0)
    select(blocks, 0)
    blocks.keyboard.press("Control+.")
    blocks.get_by_role("button", name="Fix weak words").click()
    line = blocks.locator("#engine-line")
    expect(line).to_have_text(re.compile(r"^Looking for better words for the weak ones\. \d+ %"))
    assert blocks.evaluate("CSS.highlights.get('passage').size") == 1
    blocks.keyboard.press("Escape")
    expect(line).to_have_text("Stopped; the text stays as it was.")
    desk.script.release()
    assert blocks.evaluate("CSS.highlights.has('passage')") is False
    assert text_of(blocks) == desk.text() == text
