"""axe finds no serious fault on any view: wide and dark, narrow and light; colours do not depend on the width."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Desk
from tests.screenshots import HELD_BLOCK, OPEN, TITLE, being_written, prepared_desk
from tests.views import VIEWS, View

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
