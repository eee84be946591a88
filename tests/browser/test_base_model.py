"""A model that only continues text, real but tiny, at the desk: what it cannot do is not there, the rest works."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from app.worker import child_main
from model.contract import count_words
from tests.browser.conftest import Desk, Engine, OpenTab, Watch, text_of
from tests.tiny_published import write_checkpoint

OPENING = "The keeper read an old book"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One for all of these, each in a document of its own: the libraries of a real model take seconds to load."""
    folder = tmp_path_factory.mktemp("desk")
    desk = Desk(folder, Engine(child_main, model=str(write_checkpoint(folder / "tiny-bd3lm"))))
    desk.start()
    yield desk
    desk.end()


@pytest.fixture
def page(open_tab: OpenTab) -> Page:
    """A tab with an empty document, the model ready."""
    page = open_tab()
    page.get_by_role("button", name="New", exact=True).click()
    expect(page.get_by_label("Title of the document")).to_be_focused()
    expect(page.locator("#write")).to_be_enabled()
    return page


def test_no_brief_is_asked_for_and_the_page_says_why(page: Page) -> None:
    expect(page.locator("#no-brief")).to_contain_text("This model continues text; it does not read briefs.")
    expect(page.locator("#brief")).to_be_hidden()
    expect(page.locator("label[for=brief]")).to_be_hidden()
    page.get_by_label("Title of the section").press("Enter")
    expect(page.locator("#text")).to_be_focused()
    expect(page.locator("#text")).to_have_attribute("data-placeholder", re.compile("opening words"))


def test_the_dial_offers_what_the_network_can_do_and_claims_nothing_that_was_not_measured(page: Page) -> None:
    expect(page.locator("#stops .tick-name")).to_have_text(["faithful", "balanced", "sketch"])
    expect(page.get_by_label("Dial: from faithful to sketch")).to_be_visible()
    expect(page.locator("#facts")).to_have_text(re.compile(r"1\.1[23] forwards a token"))
    expect(page.locator("#facts")).not_to_contain_text("NLL")
    page.locator("#unfold").click()
    expect(page.locator("#set-size option")).to_have_text(["1", "4", "8"])
    expect(page.locator("#set-rule option")).to_have_text(
        ["First hitting", "Most confident first", "Confidence threshold"]
    )
    expect(page.locator(".tick-seconds").first).to_have_text(re.compile(r"\d s"))


def test_a_setting_kept_from_another_model_is_not_taken_over(page: Page) -> None:
    verified = {"block_size": 8, "steps": 2, "rule": "verified", "threshold": 0, "temperature": 1, "nucleus": 1}
    page.evaluate("kept => localStorage.setItem('galley:dial', kept)", json.dumps({"dial": verified}))
    page.reload()
    expect(page.locator("#facts")).to_contain_text("the sampler of the paper")


def test_it_goes_on_from_the_opening_words_to_the_wanted_length(desk: Desk, page: Page, watch: Watch) -> None:
    watch.expected.append("422")
    page.locator("#write").click()
    expect(page.locator("#note")).to_contain_text("there is none yet; write the opening words or a title.")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type(OPENING)
    page.get_by_label("Length").fill("120")
    page.get_by_label("Length").blur()
    expect(page.locator("#saved")).to_have_text("Saved")
    page.locator("#write", has_text="Continue, 114 words").click()
    expect(page.locator("#meter-words")).to_have_text(re.compile(r"^1[0-3]\d of 120"))
    expect(page.locator("#write")).to_have_text(re.compile("Continue"))
    text = desk.text()
    assert text_of(page) == text
    assert re.match(rf"{OPENING}\b", text)  # what follows may be a full stop
    assert abs(count_words(text) - 120) <= 12
    blocks = desk.session.section(desk.session.document(desk.session.documents()[0].id).sections[0].id).blocks
    assert {block.nll for block in blocks} == {None}
