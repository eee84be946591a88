"""Commands by name, sections put in order by hand, and the outline as a view of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from model.catalog import CATALOG
from tests.browser.conftest import Desk, text_of
from tests.views import run


@pytest.fixture
def three(desk: Desk, written: Page) -> Page:
    """Sections “Night”, which is open, “Morning” and “Noon”."""
    document = desk.session.document(desk.session.documents()[0].id)
    for title in ("Morning", "Noon"):
        after = document.sections[-1].id
        document = desk.session.add_section(document.id, document.revision, after=after, title=title, brief="A brief.")
    expect(written.locator("#outline .name")).to_have_text(["Night", "Morning", "Noon"])
    return written


def drag(page: Page, what: Locator, to: Locator) -> None:
    """Drags to just below the upper edge of another line, over some way."""
    start, end = what.bounding_box(), to.bounding_box()
    assert start is not None
    assert end is not None
    page.mouse.move(start["x"] + 12, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(end["x"] + 12, start["y"] - 8, steps=3)
    page.mouse.move(end["x"] + 12, end["y"] + 3, steps=3)
    expect(page.locator(".landing")).to_be_visible()
    page.mouse.up()


def test_a_command_is_found_by_a_few_letters_and_the_writer_is_where_they_were(three: Page) -> None:
    three.locator("#text").click()
    three.keyboard.type("Dark water.")
    expect(three.get_by_label("Status", exact=True)).to_have_value("draft")
    three.keyboard.press("Shift+Control+ArrowLeft")
    chosen = three.evaluate("getSelection().toString()")
    three.keyboard.press("Control+k")
    finder = three.get_by_role("combobox", name="Find a command")
    expect(finder).to_be_focused()
    three.keyboard.press("Escape")
    expect(three.locator("#text")).to_be_focused()
    assert three.evaluate("getSelection().toString()") == chosen != ""
    three.keyboard.press("Control+k")
    three.keyboard.type("marsecdo")
    expect(three.get_by_role("listbox").get_by_role("option").first).to_contain_text("Mark the section as done")
    three.keyboard.press("Enter")
    expect(three.get_by_label("Status", exact=True)).to_have_value("done")
    expect(three.locator("#text")).to_be_focused()
    three.keyboard.press("Control+k")
    lately_used = three.get_by_role("listbox").get_by_role("option").first
    expect(lately_used).to_contain_text("Mark the section as planned")
    three.keyboard.type("noon")
    three.keyboard.press("Enter")
    expect(three.get_by_label("Title of the section")).to_have_value("Noon")


def test_every_key_of_a_command_is_in_the_list_of_keys(three: Page) -> None:
    three.get_by_role("button", name="Keys", exact=True).click()
    listed = three.get_by_role("dialog", name="Keys").locator("dl > div")
    expect(listed.filter(has_text="Ctrl ⏎")).to_contain_text("Write, or go on writing")
    expect(listed.filter(has_text="Ctrl K")).to_contain_text("Commands")
    expect(listed.filter(has_text="Alt ↑")).to_have_count(1)


def test_sections_are_dragged_in_the_list_and_a_click_opens_them(desk: Desk, three: Page) -> None:
    rows = three.locator("#outline .row")
    drag(three, rows.nth(2), rows.nth(0))
    expect(three.locator("#outline .name")).to_have_text(["Noon", "Night", "Morning"])
    expect(three.get_by_label("Title of the section")).to_have_value("Night")
    rows.nth(2).click()
    expect(three.get_by_label("Title of the section")).to_have_value("Morning")
    document = desk.session.document(desk.session.documents()[0].id)
    assert [section.title for section in document.sections] == ["Noon", "Night", "Morning"]


def test_a_section_moves_as_often_as_its_key_is_pressed_however_slow_the_desk_answers(desk: Desk, three: Page) -> None:
    asked: list[Route] = []

    def hold_the_first(route: Route) -> None:
        asked.append(route)
        if len(asked) > 1:
            route.continue_()

    three.route("**/desk/verb/move_section", hold_the_first)
    three.locator("#outline .row").nth(2).focus()
    three.keyboard.press("Alt+ArrowUp")
    three.keyboard.press("Alt+ArrowUp")
    expect(three.locator("#outline .name")).to_have_text(["Noon", "Night", "Morning"])
    assert len(asked) == 1  # the second move is made on what the first leaves
    with three.expect_response(lambda answer: '"position":0' in (answer.request.post_data or "")):
        asked[0].continue_()
    expect(three.locator("#outline .name")).to_have_text(["Noon", "Night", "Morning"])
    expect(three.locator("#note")).to_be_hidden()
    document = desk.session.document(desk.session.documents()[0].id)
    assert [section.title for section in document.sections] == ["Noon", "Night", "Morning"]


def test_a_section_goes_when_all_that_is_asked_about_it_is_answered(three: Page) -> None:
    asked: list[Route] = []
    order: list[str] = []
    three.route("**/desk/verb/predict", lambda route: asked.append(route))
    three.on("request", lambda request: order.append(f"{request.url.rpartition('/')[2]} asked"))
    three.on("response", lambda answer: order.append(f"{answer.url.rpartition('/')[2]} answered"))
    with three.expect_request("**/desk/verb/predict"):
        three.keyboard.press("Alt+PageDown")
    three.locator("#outline .row").nth(1).focus()
    three.keyboard.press("Delete")
    three.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(three.get_by_role("dialog")).to_be_hidden()
    three.evaluate("() => new Promise((done) => setTimeout(done))")  # what the press began has been asked for now
    with three.expect_response("**/desk/verb/delete_section"):
        asked.pop().continue_()
    expect(three.locator("#outline .name")).to_have_text(["Night", "Noon"])
    assert order.index("predict answered") < order.index("delete_section asked")


def test_a_document_is_planned_in_the_outline_view(desk: Desk, three: Page) -> None:
    three.locator("#text").click()
    three.keyboard.type("Kept.")
    three.get_by_role("button", name="Outline", exact=True).click()
    expect(three.locator("#plan-sum")).to_have_text("3 sections, 1 of 450 words")
    three.get_by_label("Title of section 2").fill("Dawn")
    three.get_by_label("Title of section 2").press("Enter")
    expect(three.get_by_label("Brief of “Dawn”")).to_be_focused()
    three.get_by_label("Brief of “Dawn”").fill("The lamp goes out.")
    three.get_by_label("Length of “Dawn” in words").fill("300")
    three.get_by_label("Title of section 1").fill("Dusk")
    three.locator("#plan-cards").get_by_role("button", name="Status of “Noon”").click()
    with three.expect_response("**/desk/verb/move_section"):
        three.get_by_role("button", name="Move “Noon”").press("Alt+ArrowUp")
    expect(three.locator("#outline .name")).to_have_text(["Dusk", "Noon", "Dawn"])
    expect(three.get_by_role("button", name="Move “Noon”")).to_be_focused()
    with three.expect_response("**/desk/verb/move_section"):  # the list shows the new order before
        drag(three, three.get_by_role("button", name="Move “Dawn”"), three.locator("#plan-cards > li").nth(0))
    expect(three.locator("#outline .name")).to_have_text(["Dawn", "Dusk", "Noon"])
    expect(three.locator("#saved")).to_have_text("Saved")
    document = desk.session.document(desk.session.documents()[0].id)
    planned = [(section.title, section.brief, section.target_words, section.status) for section in document.sections]
    assert planned == [
        ("Dawn", "The lamp goes out.", 300, "planned"),
        ("Dusk", "A keeper lights his lamp.", 150, "draft"),
        ("Noon", "A brief.", 150, "draft"),
    ]
    three.get_by_role("button", name="Open “Dusk”").click()
    expect(three.get_by_label("Title of the section")).to_have_value("Dusk")
    assert text_of(three) == "Kept."


def test_the_models_are_listed_with_how_to_start_with_another(written: Page) -> None:
    written.locator("#dock").get_by_role("button", name="Models").click()
    dialog = written.get_by_role("dialog", name="Models")
    models = dialog.get_by_role("listitem")
    expect(dialog).to_contain_text("end Galley and start it again")
    expect(models).to_have_count(len(CATALOG))
    expect(models.filter(has_text="in use")).to_have_count(1)
    expect(models.first).to_contain_text(
        "Licence: Apache-2.0 · download of 98 MB · up to 2.2 GB of memory · not on the disk."
    )
    expect(models.filter(has_text="Qwen2.5 1.5B")).to_contain_text("python run.py --model qwen2.5-1.5b")
    expect(models.first).not_to_contain_text("python run.py")
    written.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(written.locator("#dock").get_by_role("button", name="Models")).to_be_focused()


def test_the_list_of_models_follows_the_one_in_use_on_its_way(
    tmp_path: Path, stopped_desk: Desk, request: pytest.FixtureRequest
) -> None:
    stopped_desk.script.change(hold_opening=True)
    page: Page = request.getfixturevalue("page")
    run(page, "Models")
    mine = page.get_by_role("dialog", name="Models").get_by_role("listitem").first
    expect(mine).to_contain_text("The model is being fetched.")
    expect(mine.get_by_role("progressbar")).to_have_js_property("value", 0.5)
    expect(mine).to_contain_text("not on the disk")
    fetched = tmp_path / "cache" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    fetched.parent.mkdir(exist_ok=True)
    fetched.write_bytes(bytes(5_000_000))
    stopped_desk.script.change(hold_opening=False)
    expect(mine).to_contain_text("partly on the disk, 5 MB")
    expect(mine.get_by_role("progressbar")).to_be_hidden()
