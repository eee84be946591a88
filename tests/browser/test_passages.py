"""A passage is written anew: takes are shown right there, looked at in place; one is taken, or the old words stay."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from app.store import TakeText
from tests.browser.conftest import Desk, OpenTab, comes_true, text_of

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
    expect(slider).to_have_accessible_description(re.compile("^What follows is only a hint to the model"))
    slider.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", "deeply")
    slider.press("End")
    slider.press("Enter")
    takes = blocks.get_by_role("grid", name="Takes")
    expect(takes.get_by_role("row")).to_have_count(3)
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


PLAIN = "The plain man 🙂 walked home. Nobody spoke."
DRY = "The dry man 🙂 ran home. Nobody spoke at all."


@pytest.fixture
def offered(desk: Desk, written: Page) -> Page:
    """Two takes for a passage between two words of the writer, with three changes and with one."""
    written.locator("#text").focus()
    written.keyboard.insert_text(f"Yes 🙂. {PLAIN} No.")
    expect(written.locator("#saved")).to_have_text("Saved")
    candidates = [TakeText(DRY, 1.5), TakeText(PLAIN.replace("plain", "poor"), 2.5)]
    desk.session._store.add_take(1, "rewrite", 7, 7 + len(PLAIN), PLAIN, candidates)
    written.keyboard.press("Control+j")
    written.get_by_role("tab", name="Takes").click()
    written.get_by_role("button", name="Look in the text").click()
    return written


def test_each_change_of_a_take_is_taken_or_left_by_keyboard_and_the_mix_is_one_step(desk: Desk, offered: Page) -> None:
    takes = offered.get_by_role("grid", name="Takes")
    expect(takes).to_be_focused()
    changes = takes.get_by_role("row").first.get_by_role("button")
    expect(changes).to_have_count(3)
    for at, words in enumerate(["“plain” → “dry”", "“walked” → “ran”", "“at all” put in"]):
        expect(changes.nth(at)).to_have_accessible_name(f"{words}, taken")
        expect(changes.nth(at)).to_have_attribute("aria-pressed", "true")
    assert text_of(offered) == f"Yes 🙂. {DRY} No."
    offered.keyboard.press("Tab")
    expect(changes.first).to_be_focused()
    offered.keyboard.press("Enter")
    expect(changes.first).to_have_accessible_name("“plain” → “dry”, kept as it was")
    expect(changes.first).to_have_attribute("aria-pressed", "false")
    offered.keyboard.press("ArrowRight")
    offered.keyboard.press("Tab")
    expect(changes.nth(2)).to_be_focused()
    offered.keyboard.press("Space")
    mix = f"Yes 🙂. {PLAIN.replace('walked', 'ran')} No."
    assert text_of(offered) == mix
    expect(offered.get_by_text("1 of 3 changes")).to_be_visible()
    assert desk.text() == f"Yes 🙂. {PLAIN} No."  # looking changes nothing
    offered.keyboard.press("ArrowDown")
    expect(takes).to_be_focused()
    assert text_of(offered) == f"Yes 🙂. {PLAIN.replace('plain', 'poor')} No."
    offered.keyboard.press("ArrowUp")
    offered.keyboard.press("Enter")
    expect(offered.locator("#text")).to_have_text(mix)
    expect(offered.get_by_role("tabpanel", name="Takes").get_by_text("Chosen last")).to_be_visible()
    assert text_of(offered) == desk.text() == mix
    assert [(block.text, block.author) for block in desk.session.section(1).blocks] == [
        ("Yes 🙂. The plain man 🙂 ", "writer"),
        ("ran", "edited"),
        (" home. Nobody spoke. No.", "writer"),
    ]
    offered.locator("#text").focus()
    offered.keyboard.press("Control+z")
    expect(offered.locator("#text")).to_have_text(f"Yes 🙂. {PLAIN} No.")


def test_a_press_looks_at_a_take_and_only_then_changes_what_is_taken(desk: Desk, offered: Page) -> None:
    takes = offered.get_by_role("grid", name="Takes")
    second = takes.get_by_role("row").nth(1).get_by_role("button")
    second.click()
    expect(second).to_have_attribute("aria-pressed", "true")
    assert text_of(offered) == f"Yes 🙂. {PLAIN.replace('plain', 'poor')} No."
    second.click()
    expect(second).to_have_attribute("aria-pressed", "false")
    assert text_of(offered) == f"Yes 🙂. {PLAIN} No."
    before = desk.session.section(1)
    second.dblclick()  # of a take that is looked at, it is two presses
    expect(second).to_have_attribute("aria-pressed", "false")
    offered.get_by_role("dialog", name="Takes: Rewritten").get_by_role("button", name="Use this").click()
    expect(offered.get_by_text("No change was taken; the text stays as it was.")).to_be_visible()
    assert text_of(offered) == before.text
    assert desk.session.section(1) == before
    assert len(desk.session.takes(1)[0].candidates) == 2


def test_a_double_press_takes_a_take_as_it_is_wherever_in_its_words(desk: Desk, offered: Page) -> None:
    offered.get_by_role("grid", name="Takes").get_by_role("row").nth(1).get_by_role("button").dblclick()
    expect(offered.locator("#text")).to_have_text(f"Yes 🙂. {PLAIN.replace('plain', 'poor')} No.")
    expect(offered.locator("#saved")).to_have_text("Saved")
    assert desk.text() == text_of(offered)
    assert desk.session.takes(1)[0].chosen == 1


def test_changes_are_taken_or_left_beside_the_text_and_the_mix_is_kept_there(desk: Desk, offered: Page) -> None:
    offered.keyboard.press("Escape")
    panel = offered.get_by_role("tabpanel", name="Takes")
    panel.get_by_role("button", name="“walked” → “ran”, taken").click()
    panel.get_by_role("button", name="Use this").first.click()
    mix = f"Yes 🙂. {DRY.replace('ran', 'walked')} No."
    expect(offered.locator("#text")).to_have_text(mix)
    expect(panel.get_by_text("mixed by you")).to_be_visible()
    assert desk.text() == mix
    panel.get_by_role("button", name="Use this").first.click()
    expect(offered.locator("#text")).to_have_text(f"Yes 🙂. {DRY} No.")
    panel.get_by_role("button", name="Use this").nth(2).click()
    expect(offered.locator("#text")).to_have_text(mix)


MIXES = r"""async () => {
  const { exchanges, mixed, stretches } = await import("/assets/mixing.js");
  let state = 1;
  const chance = (below) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
  const PIECES = ["a", "b", "c", "é", "e\u0301", "🙂", " ", " ", "\n", ".", "’", "-", "\ud83d", "\u200d", "½"];
  const text = () => Array.from({ length: chance(24) }, () => PIECES[chance(PIECES.length)]).join("");
  const seen = { changes: 0, kept: 0 };
  for (let round = 0; round < 2000; round += 1) {
    const [before, after] = [text(), text()];
    const parts = stretches(before, after);
    if (mixed(parts, () => true) !== after || mixed(parts, () => false) !== before) return { before, after };
    if (parts.some(({ change, before, after }) => change === (before === after))) return { before, after };
    const taken = new Set(parts.filter(() => chance(2)));
    const isTaken = (part) => taken.has(part);
    const [old, fresh] = [[...before], [...after]];
    let [at, put] = [0, ""];
    for (const [start, end, first, last] of exchanges(parts, isTaken)) {
      put += old.slice(at, start).join("") + fresh.slice(first, last).join("");
      at = end;
    }
    if (put + old.slice(at).join("") !== mixed(parts, isTaken)) return { before, after, taken: [...taken] };
    for (const { change } of parts) seen[change ? "changes" : "kept"] += 1;
  }
  return seen;
}"""


def test_with_all_changes_a_mix_is_the_take_and_with_none_the_old_words_unit_by_unit(open_tab: OpenTab) -> None:
    """And for any of them the server, told in characters, makes the text that is shown."""
    seen = open_tab().evaluate(MIXES)
    assert seen["changes"] > 2000
    assert seen["kept"] > 2000


def test_a_block_is_written_again_by_keyboard_alone(desk: Desk, blocks: Page) -> None:
    before = [block.text for block in desk.session.section(1).blocks]
    select(blocks, len((before[0] + before[1]).split()))
    blocks.keyboard.press("Control+.")
    expect(blocks.get_by_role("button", name="Other words")).to_be_focused()
    blocks.keyboard.press("ArrowRight")
    blocks.keyboard.press("Enter")
    takes = blocks.get_by_role("grid", name="Takes")
    expect(takes).to_be_focused()
    blocks.keyboard.press("ArrowUp")
    blocks.keyboard.press("Enter")
    expect(blocks.locator("#text")).to_be_focused()
    expect(blocks.get_by_role("grid", name="Takes")).to_have_count(0)
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
    options = blocks.get_by_role("grid", name="Takes").get_by_role("row")
    expect(options).to_have_count(3)
    take = desk.session.takes(1)[0]
    assert take.kind == "pins"
    assert all(f" {words[3]} {words[4]} " in candidate.text for candidate in take.candidates)
    options.nth(1).dblclick()
    expect(blocks.locator("#text")).to_contain_text(take.candidates[1].text)
    expect(blocks.locator("#text")).to_have_text(desk.text())


def test_words_are_still_kept_after_another_section_and_after_a_reload(desk: Desk, blocks: Page) -> None:
    pinned = "[...(CSS.highlights.get('pinned') ?? [])].map(String)"
    words = desk.text().split()
    select(blocks, 3, 4)
    blocks.get_by_role("button", name="Keep these words").click()
    assert blocks.evaluate(pinned) == [f"{words[3]} {words[4]}"]
    blocks.locator("#text").press("Control+Home")
    blocks.keyboard.type("Before. ")
    expect(blocks.locator("#saved")).to_have_text("Saved")
    before = desk.text()
    blocks.locator("#add-section").click()
    expect(blocks.locator("#text")).to_have_text("")
    assert blocks.evaluate(pinned) == []
    blocks.locator("#outline .row", has_text="Night").locator(".name").click()
    expect(blocks.locator("#text")).to_have_text(before)
    assert blocks.evaluate(pinned) == [f"{words[3]} {words[4]}"]
    blocks.reload()
    expect(blocks.locator("#text")).to_have_text(before)
    assert blocks.evaluate(pinned) == [f"{words[3]} {words[4]}"]


def test_other_words_and_what_is_missing_are_found(desk: Desk, blocks: Page) -> None:
    select(blocks, 6)
    blocks.keyboard.press("Control+k")
    blocks.keyboard.type("other words")
    blocks.keyboard.press("Enter")
    takes = blocks.get_by_role("grid", name="Takes")
    expect(takes.get_by_role("row")).to_have_count(6)
    takes.press("Escape")
    blocks.keyboard.press("Control+End")
    blocks.keyboard.press("Control+.")
    blocks.get_by_role("button", name="Fill in …").click()
    menu = blocks.get_by_role("menu", name="How much is missing")
    expect(menu).to_have_accessible_description(re.compile("a sentence fits it no better than writing on"))
    menu.get_by_role("menuitem", name="A sentence or two").click()
    expect(takes.get_by_role("row")).to_have_count(3)
    with blocks.expect_response("**/verb/choose_take"):
        takes.press("Enter")
    expect(blocks.locator("#text")).to_have_text(desk.text())
    expect(blocks.locator("#meter-words")).to_have_text("70 of 40")


def test_esc_stops_it_and_the_text_stays_as_it_was(desk: Desk, blocks: Page) -> None:
    text = desk.text()
    desk.script.hold(block=0)
    select(blocks, 0)
    blocks.keyboard.press("Control+.")
    blocks.get_by_role("button", name="Fix weak words").click()
    line = blocks.locator("#engine-line")
    expect(line).to_have_text(re.compile(r"^Looking for better words for the weak ones\. \d+ %"))
    assert comes_true(blocks, "CSS.highlights.get('passage')?.size === 1")
    blocks.keyboard.press("Escape")
    expect(line).to_have_text("Stopped; the text stays as it was.")
    desk.script.release()
    assert comes_true(blocks, "!CSS.highlights.has('passage')")
    assert text_of(blocks) == desk.text() == text
