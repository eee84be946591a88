"""Every view of the page and the way there: looked at by axe in a test, and by people in the pictures of docs/views.md.

A view begins in the open section "What the ferryman said" of the document in tests/screenshots.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin

from playwright.sync_api import Page, expect

LAB_HELD = 43
"""Pictures of the lab in the view of it."""

PASSAGE = """() => {
  const line = document.querySelector("#text > div").firstChild;
  document.querySelector("#text").focus();
  const start = line.data.indexOf("He sat");
  getSelection().setBaseAndExtent(line, start, line, line.data.indexOf(", as rowers"));
}"""


@dataclass(frozen=True, slots=True)
class View:
    """name: of its picture; says: what is seen; lead: goes there."""

    name: str
    says: str
    lead: Callable[[Page], None]


def run(page: Page, command: str) -> None:
    """Runs a command of the palette."""
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Find a command").fill(command)
    page.keyboard.press("Enter")


def choose_passage(page: Page) -> None:
    page.evaluate(PASSAGE)
    expect(page.get_by_role("toolbar", name="Change this passage")).to_be_visible()


def _nothing(page: Page) -> None:
    """The section, as it opens."""


def _outline(page: Page) -> None:
    run(page, "Outline")
    expect(page.locator(".plan-card")).to_have_count(4)


def _read(page: Page) -> None:
    run(page, "Read")
    page.get_by_role("button", name="Whole document").click()
    expect(page.locator("#reading h2")).to_have_count(4)


def _commands(page: Page) -> None:
    page.keyboard.press("Control+k")
    expect(page.get_by_role("listbox", name="Commands").get_by_role("option").first).to_be_visible()


def _keys(page: Page) -> None:
    page.keyboard.press("Control+/")
    expect(page.get_by_role("dialog")).to_be_visible()


def _models(page: Page) -> None:
    run(page, "Models")
    expect(page.get_by_role("dialog", name="Models").get_by_role("listitem").first).to_be_visible()


def _export(page: Page) -> None:
    if page.locator("#export").is_visible():
        page.locator("#export").click()
        expect(page.get_by_role("menuitem").first).to_be_visible()
    else:  # a narrow bar has no room for it
        page.keyboard.press("Control+k")
        page.get_by_role("combobox", name="Find a command").fill("export as")


def _offer(page: Page) -> None:
    choose_passage(page)
    page.get_by_role("button", name="Rewrite …").click()
    page.get_by_role("slider", name="Rewrite, from polish to new").press("Enter")
    expect(page.get_by_role("grid", name="Takes").get_by_role("row")).to_have_count(3)


def _takes(page: Page) -> None:
    _offer(page)
    page.keyboard.press("Escape")
    page.keyboard.press("Control+j")
    page.get_by_role("tab", name="Takes").click()
    expect(page.get_by_role("tabpanel", name="Takes")).to_be_visible()


def _history(page: Page) -> None:
    run(page, "History and snapshots")
    expect(page.get_by_role("tabpanel", name="History")).to_be_visible()
    expect(page.locator(".versions-list").get_by_role("button").first).to_be_visible()


def _context(page: Page) -> None:
    run(page, "What the model reads")
    expect(page.locator(".context-sum")).to_be_visible()


def _notes(page: Page) -> None:
    run(page, "Notes and style")
    expect(page.get_by_label("Notes on this section")).to_be_visible()


def _find(page: Page) -> None:
    run(page, "Find and replace")
    page.get_by_role("searchbox", name="Find").fill("light")
    expect(page.locator(".hits").get_by_role("button").first).to_be_visible()


def _blocks(page: Page) -> None:
    run(page, "Show blocks")
    expect(page.locator(".origin").first).to_be_attached()


def _settings(page: Page) -> None:
    run(page, "Fine settings")
    expect(page.locator("#settings")).to_be_visible()


def _deleting(page: Page) -> None:
    run(page, "Delete the section")
    expect(page.get_by_role("dialog")).to_be_visible()


def _sections(page: Page) -> None:
    """On a narrow window the lists are a drawer; on a wide one they are there."""
    if page.locator("#side-open").is_visible():
        page.locator("#side-open").click()
    expect(page.locator("#outline .name")).to_have_count(4)


def _lab(page: Page) -> None:
    """Two systems at work, where the script holds them; the real ones, when they have written."""
    page.goto(urljoin(page.url, "/lab"))
    expect(page.locator("#first")).to_be_visible()
    page.get_by_label("First system").select_option("bd3-4")
    page.get_by_label("Second system").select_option("mdlm")
    page.get_by_label("Prompt").fill("What the ferryman said:")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#second-meter dd").first).to_have_text(re.compile(f"{LAB_HELD // 2}|64"))


def _lab_table(page: Page) -> None:
    page.goto(urljoin(page.url, "/lab"))
    expect(page.locator(".lab-table")).to_be_visible()
    page.get_by_role("columnheader", name="Perplexity").first.get_by_role("button").click()
    page.locator("#table-heading").evaluate("heading => heading.scrollIntoView()")


VIEWS = (
    View("section", "A section: title, brief, text, and the desk's controls below it.", _nothing),
    View("lists", "Documents and sections, with words, targets and status.", _sections),
    View("outline", "The outline: plan, rename, reorder; “Write all” goes through it.", _outline),
    View("read", "The whole document, set for reading.", _read),
    View("passage", "A chosen passage and its tools.", choose_passage),
    View("offer", "Three takes for it, looked at in place.", _offer),
    View("takes", "All takes of a section are kept.", _takes),
    View("history", "Every version can be looked at and gone back to; snapshots.", _history),
    View("context", "What the model reads, by origin, with token counts.", _context),
    View("notes", "Notes, which the model does not read, and the style sheet, which it does.", _notes),
    View("find", "Find and replace in every document.", _find),
    View("blocks", "Who wrote what.", _blocks),
    View("settings", "The dial's fine settings.", _settings),
    View("commands", "Every action by keyboard: the palette.", _commands),
    View("keys", "The keys.", _keys),
    View("models", "The models: licences, sizes, what is on the disk.", _models),
    View("export", "Export.", _export),
    View("deleting", "A question before something goes.", _deleting),
    View("lab", "The lab: two systems of the paper write to one prompt.", _lab),
    View("lab-table", "What a run of the table has measured.", _lab_table),
)
