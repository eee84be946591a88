"""What was: undo and redo that know blocks, versions, takes and snapshots."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Desk, Watch, text_of


def write(desk: Desk, page: Page) -> str:
    """Has the open section written; returns its text."""
    page.locator("#write").click()
    expect(page.locator("#meter-words")).to_have_text("150 of 150")
    expect(page.locator("#write")).to_have_text("Continue, a paragraph")
    assert text_of(page) == desk.text()
    return desk.text()


def cursor(page: Page) -> str:
    """The text before the cursor."""
    before: str = page.evaluate(
        """() => {
          const range = getSelection().getRangeAt(0).cloneRange();
          range.setStart(document.querySelector("#text"), 0);
          return range.toString();
        }"""
    )
    return before


def test_undo_and_redo_go_block_by_block_and_survive_a_reload(desk: Desk, written: Page, watch: Watch) -> None:
    watch.expected.append("400")
    text = write(desk, written)
    blocks = desk.session.section(1).blocks
    written.locator("#text").focus()
    written.keyboard.press("Control+z")
    written.keyboard.press("Control+z")
    expect(written.locator("#text")).to_have_text(text.removesuffix(blocks[-1].text).removesuffix(blocks[-2].text))
    assert cursor(written) == desk.text() == text_of(written)
    written.reload()
    expect(written.locator("#text")).to_have_text(desk.text())
    written.locator("#text").focus()
    written.keyboard.press("Control+z")
    shorter = "".join(block.text for block in blocks[:-3])
    expect(written.locator("#text")).to_have_text(shorter)
    for _ in range(3):
        written.keyboard.press("Control+Shift+z")
    expect(written.locator("#text")).to_have_text(text)
    written.keyboard.press("Control+y")
    expect(written.locator("#saved")).to_have_text("There is nothing more to redo in this section.")
    assert text_of(written) == desk.text() == text


def test_undo_is_heard_from_the_button_that_wrote(desk: Desk, written: Page) -> None:
    text = write(desk, written)
    written.locator("#write").focus()
    written.keyboard.press("Control+z")
    expect(written.locator("#text")).not_to_have_text(text)
    assert text.startswith(desk.text())


def test_undo_takes_back_what_was_typed_and_leaves_the_rest_of_the_page_alone(desk: Desk, written: Page) -> None:
    text = write(desk, written)
    written.locator("#text").focus()
    written.keyboard.press("Control+End")
    written.keyboard.type("\nThe end. 👩‍🚀")
    expect(written.locator("#saved")).to_have_text("Saved")
    written.keyboard.press("Control+Home")
    written.keyboard.type("Yes. ")
    expect(written.locator("#saved")).to_have_text("Saved")
    line = written.locator("#text > div").last.element_handle()
    written.keyboard.press("Control+z")
    expect(written.locator("#text > div").first).to_have_text(text)
    assert text_of(written) == desk.text() == f"{text}\nThe end. 👩‍🚀"
    assert cursor(written) == ""
    assert line is not None
    assert line.evaluate("(node) => node.isConnected")  # what did not change is still the same element
    written.get_by_label("Brief").click()
    written.keyboard.press("Control+a")
    written.keyboard.type("Other words.")
    written.keyboard.press("Control+z")
    expect(written.get_by_label("Brief")).not_to_have_value("Other words.")
    assert text_of(written) == desk.text()
