"""axe finds no serious fault on any view: wide and dark, narrow and light; colours do not depend on the width."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, expect

from app.draft import Section
from model.contract import Dial
from tests.browser.conftest import AWAY, Desk
from tests.screenshots import HELD_BLOCK, OPEN, TITLE, being_written, prepared_desk
from tests.views import VIEWS, View
from tests.views import run as run_command

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SERIOUS = ("serious", "critical")

WINDOWS = [(1280, "dark"), (360, "light")]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk with the document of the pictures."""
    with prepared_desk(tmp_path_factory.mktemp("desk"), real=False) as desk:
        desk.script.release()
        yield desk


@pytest.fixture(params=WINDOWS, ids=lambda window: f"{window[0]} pixels, {window[1]}")
def window(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    width, look = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=look, reduced_motion="reduce", bypass_csp=True
    )
    yield context.new_page()
    context.close()


def open_section(page: Page, desk: Desk) -> None:
    document = next(card.id for card in desk.session.documents() if card.title == TITLE)
    section = desk.session.document(document).sections[OPEN]
    page.goto(f"{desk.address}#/{document}/{section.id}")
    expect(page.get_by_label("Title of the section")).to_have_value(section.title)
    expect(page.locator("#write")).to_be_enabled()


def open_one(page: Page, desk: Desk) -> Section:
    """The only section of a desk, open; the model is ready to write it."""
    (section,) = desk.session.create_document("Harbour").sections
    section = desk.session.change_section(
        section.id, section.revision, title="Night", brief="A keeper.", target_words=40
    )
    page.goto(desk.address)
    expect(page.locator("#write")).to_be_enabled()
    return section


def faults(page: Page) -> list[str]:
    """Serious ones, in words; a view that axe has nothing to say about at all was not looked at."""
    page.evaluate(AXE)
    wanted = {"runOnly": RULES, "resultTypes": ["violations"]}  # of what passes, one place each: in a third of the time
    found: dict[str, Any] = page.evaluate("wanted => axe.run(wanted)", wanted)
    assert found["passes"]
    return [
        f"{fault['impact']} {fault['id']}: {fault['help']} {[node['target'] for node in fault['nodes']][:4]}"
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_has_no_serious_fault(view: View, window: Page, shown: Desk) -> None:
    open_section(window, shown)
    view.lead(window)
    assert faults(window) == []


def test_a_section_that_is_being_written_has_none(window: Page, shown: Desk) -> None:
    shown.script.hold(HELD_BLOCK, 1)
    open_section(window, shown)
    document = next(card.id for card in shown.session.documents() if card.title == TITLE)
    with being_written(shown, shown.session.document(document).sections[OPEN], 8):
        expect(window.locator("#island .slot.masked").first).to_be_attached()
        found = faults(window)
        shown.script.release()
    assert found == []


def test_a_take_of_which_a_change_is_left_has_none(window: Page, shown: Desk) -> None:
    open_section(window, shown)
    next(view for view in VIEWS if view.name == "offer").lead(window)
    window.get_by_role("grid", name="Takes").get_by_role("button").first.click()
    expect(window.locator(".offer [aria-pressed=false]")).to_have_count(1)
    assert faults(window) == []


def test_an_empty_desk_has_none(window: Page, desk: Desk) -> None:
    window.goto(desk.address)
    expect(window.locator("#first-document")).to_be_visible()
    assert faults(window) == []


def test_axe_would_find_one(window: Page, shown: Desk) -> None:
    open_section(window, shown)
    window.evaluate("() => document.querySelector('#write').before(document.createElement('button'))")
    assert any("button-name" in fault for fault in faults(window))


def test_what_opens_for_a_moment_has_none(window: Page, desk: Desk) -> None:
    """Small surfaces, one after the other in one window."""
    section = open_one(window, desk)
    window.locator("#write").click()
    expect(window.locator("#write")).to_have_text("Continue, a paragraph")
    text = window.locator("#text")

    text.press("Control+Home")
    text.press("Control+i")
    expect(window.locator(".facts-of-block")).to_be_visible()
    assert faults(window) == []
    window.keyboard.press("Escape")

    text.press("Control+Shift+End")
    text.press("Control+.")
    window.get_by_role("button", name="Rewrite …").click()
    expect(window.get_by_role("slider", name="Rewrite, from polish to new")).to_be_focused()
    assert faults(window) == []
    window.keyboard.press("Escape")

    text.press("Control+End")
    text.press("Control+.")
    window.get_by_role("button", name="Fill in …").click()
    expect(window.get_by_role("menu", name="How much is missing")).to_be_visible()
    assert faults(window) == []
    window.keyboard.press("Escape")

    document = desk.session.document(section.document_id)
    gone = desk.session.add_section(document.id, document.revision, after=section.id, title="Gone").sections[-1]
    desk.session.take_snapshot(document.id, "Draft one")
    desk.session.delete_section(gone.id, gone.revision)
    run_command(window, "History and snapshots")
    expect(window.get_by_role("button", name="Bring back")).to_be_visible()
    window.get_by_role("button", name=re.compile("^Compare")).first.click()
    expect(window.locator(".compared:visible")).to_have_count(1)
    assert faults(window) == []
    window.locator(".snapshots").get_by_role("button", name=re.compile("^Look")).first.click()
    expect(window.locator(".snapshot-text")).to_be_visible()
    assert faults(window) == []
    window.keyboard.press("Escape")


def test_two_texts_and_a_line_that_waits_have_none(window: Page, desk: Desk) -> None:
    section = open_one(window, desk)
    desk.script.hold(block=1)
    document = desk.session.document(section.document_id)
    other = desk.session.add_section(document.id, document.revision, after=section.id, title="Day").sections[-1]
    desk.session.write(other.id, dial=Dial(8, 1, "verified"))
    window.locator("#write").click()
    expect(window.locator("#engine-line")).to_have_text(re.compile("^Waiting"))
    assert faults(window) == []
    desk.script.release()
    expect(window.locator("#write")).to_have_text("Continue, a paragraph")

    window.route("**/desk/verb/*", lambda route: route.abort())
    window.locator("#text").press("Control+End")
    window.keyboard.type(" Mine.")
    expect(window.locator("#saved")).to_have_text(AWAY)
    now = desk.session.section(section.id)
    desk.session.save_text(section.id, now.revision, len(now.blocks), "Theirs.")
    window.unroute("**/desk/verb/*")
    expect(window.get_by_role("region", name="Mine, in this tab")).to_be_visible()
    assert faults(window) == []


def test_a_model_that_fails_has_none(window: Page, stopped_desk: Desk) -> None:
    stopped_desk.script.change(unavailable="The weights file is damaged; delete it and try again.")
    stopped_desk.start()
    stopped_desk.session.create_document("Harbour")
    window.goto(stopped_desk.address)
    expect(window.get_by_role("button", name="Try again")).to_be_visible()
    assert faults(window) == []
