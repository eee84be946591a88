"""Documents and sections, every state of the model, hostile words, every size and look."""

from __future__ import annotations

import json
import re
from contextlib import closing

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from app.answers import dumps
from app.verbs import VERBS, Fields
from tests.browser.conftest import Desk, OpenTab, Watch, comes_true, start_document, text_of

# ------------------------------------------------------------------------------------------------ documents, sections


def outline(page: Page) -> list[str]:
    return page.locator("#outline .name").all_text_contents()


def choose(page: Page, line: str, action: str) -> None:
    """Chooses from the menu of a line in a list."""
    page.get_by_role("button", name=f"More for the {line}").click()
    page.get_by_role("menuitem", name=action).click()


def test_an_empty_desk_says_what_to_do(page: Page) -> None:
    expect(page.get_by_role("heading", name="An empty desk")).to_be_visible()
    expect(page.get_by_label("Text of the section")).to_be_hidden()
    page.get_by_role("button", name="Start a document").click()
    expect(page.get_by_label("Title of the document")).to_be_focused()
    expect(page.get_by_label("Text of the section")).to_be_visible()


@pytest.mark.parametrize(
    ("button", "verb", "field"),
    [
        ("New", "create_document", "Title of the document"),
        ("Add", "add_section", "Title of the section"),
    ],
)
def test_what_is_typed_before_a_new_title_is_there_stands_in_it(
    desk: Desk, written: Page, button: str, verb: str, field: str
) -> None:
    held: list[Route] = []
    written.route(f"**/desk/verb/{verb}", lambda route: held.append(route))
    with written.expect_request(f"**/desk/verb/{verb}"):
        written.get_by_role("button", name=button, exact=True).click()
    written.keyboard.type("A dark nigth")
    for _ in "th":
        written.keyboard.press("Backspace")
    written.keyboard.type("ht ")
    written.keyboard.press("Enter")
    held.pop().continue_()
    expect(written.get_by_label(field)).to_be_focused()
    expect(written.get_by_label(field)).to_have_value("A dark night ")
    written.keyboard.type("long")
    expect(written.locator("#saved")).to_have_text("Saved")
    assert held == [], "a space or the Enter key has pressed the button again"
    document = desk.session.documents()[0]
    titles = [document.title, *(section.title for section in desk.session.document(document.id).sections)]
    assert "A dark night long" in titles
    assert "Night" in titles or button == "New"


def test_documents_are_made_named_opened_and_deleted(desk: Desk, written: Page) -> None:
    start_document(written, "Letters", "One", "A letter.")
    cards = written.locator("#documents .card .name")
    expect(cards).to_have_text(["Letters", "Harbour"])
    cards.nth(1).click()
    expect(written.get_by_label("Title of the document")).to_have_value("Harbour")
    written.get_by_label("Title of the document").fill("Harbour, a novel")
    expect(cards).to_have_text(["Harbour, a novel", "Letters"])
    choose(written, "document “Harbour, a novel”", "Delete …")
    written.get_by_role("button", name="Keep it").click()
    expect(cards).to_have_count(2)
    choose(written, "document “Harbour, a novel”", "Delete …")
    written.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(cards).to_have_text(["Letters"])
    expect(written.get_by_label("Title of the document")).to_have_value("Letters")
    assert [card.title for card in desk.session.documents()] == ["Letters"]


def test_sections_are_added_moved_by_menu_and_by_key_and_deleted(desk: Desk, written: Page) -> None:
    for title in ("Morning", "Noon"):
        written.get_by_role("button", name="Add", exact=True).click()
        expect(written.get_by_label("Title of the section")).to_have_value("")
        written.get_by_label("Title of the section").fill(title)
        expect(written.locator("#saved")).to_have_text("Saved")
    assert outline(written) == ["Night", "Morning", "Noon"]
    choose(written, "section “Noon”", "Move up")
    expect(written.locator("#outline .name")).to_have_text(["Night", "Noon", "Morning"])
    written.locator("#outline .row", has_text="Noon").focus()
    written.keyboard.press("Alt+ArrowUp")
    expect(written.locator("#outline .name")).to_have_text(["Noon", "Night", "Morning"])
    expect(written.locator("#outline .row", has_text="Noon")).to_be_focused()
    written.keyboard.press("ArrowDown")
    expect(written.locator("#outline .row", has_text="Night")).to_be_focused()
    written.keyboard.press("Delete")
    written.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(written.locator("#outline .name")).to_have_text(["Noon", "Morning"])
    document = desk.session.document(desk.session.documents()[0].id)
    assert [section.title for section in document.sections] == ["Noon", "Morning"]


def test_each_section_keeps_its_own_brief_length_status_and_text(written: Page) -> None:
    written.locator("#text").click()
    written.keyboard.type("Dark.")
    written.get_by_label("Length").fill("300")
    written.get_by_label("Status", exact=True).select_option("done")
    written.get_by_role("button", name="Add", exact=True).click()
    expect(written.get_by_label("Brief")).to_have_value("")
    expect(written.locator("#text")).to_have_text("")
    expect(written.get_by_label("Status", exact=True)).to_have_value("planned")
    written.keyboard.press("Alt+PageUp")
    expect(written.get_by_label("Brief")).to_have_value("A keeper lights his lamp.")
    expect(written.locator("#text")).to_have_text("Dark.")
    expect(written.get_by_label("Length")).to_have_value("300")
    expect(written.get_by_label("Status", exact=True)).to_have_value("done")
    expect(written.locator("#meter-words")).to_have_text("1 of 300")
    expect(written.locator("#outline-sum")).to_have_text("1 of 600 words")


def test_the_address_names_the_section_and_the_way_back_works(written: Page, open_tab: OpenTab) -> None:
    night = written.url
    written.get_by_role("button", name="Add", exact=True).click()
    expect(written.get_by_label("Title of the section")).to_have_value("")
    assert written.url != night
    written.go_back()
    expect(written.get_by_label("Title of the section")).to_have_value("Night")
    assert written.url == night


def test_a_long_brief_is_seen_whole_from_the_first_moment(written: Page) -> None:
    written.get_by_label("Brief").fill("A line of the brief.\n" * 6)
    expect(written.locator("#saved")).to_have_text("Saved")
    height = written.get_by_label("Brief").bounding_box()
    written.reload()
    expect(written.get_by_label("Brief")).to_have_value(re.compile("^A line"))
    assert height is not None
    assert height["height"] > 6 * 20
    assert written.get_by_label("Brief").bounding_box() == height


def test_enter_leads_from_title_to_title_to_brief_and_deleting_leaves_the_keyboard_in_the_list(page: Page) -> None:
    page.get_by_role("button", name="Start a document").click()
    expect(page.get_by_label("Title of the document")).to_be_focused()
    page.keyboard.type("Harbour\nNight\nA keeper.")
    expect(page.get_by_label("Brief")).to_have_value("A keeper.")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_label("Title of the section")).to_be_focused()
    choose(page, "section “Untitled section”", "Delete …")
    expect(page.locator("#outline .row", has_text="Night")).to_be_focused()
    choose(page, "document “Harbour”", "Delete …")
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("button", name="Start a document")).to_be_focused()


def test_undo_belongs_to_the_section_it_was_typed_in(written: Page, watch: Watch) -> None:
    watch.expected.append("400")  # there is nothing left to undo
    written.locator("#text").click()
    written.keyboard.type("First.")
    written.get_by_role("button", name="Add", exact=True).click()
    expect(written.locator("#text")).to_have_text("")
    written.locator("#text").click()
    written.keyboard.type("Second.")
    written.keyboard.press("Control+z")
    written.keyboard.press("Control+z")
    expect(written.locator("#text")).to_have_text("")
    written.keyboard.press("Alt+PageUp")
    expect(written.locator("#text")).to_have_text("First.")


# ---------------------------------------------------------------------------------------------------------- the model


def test_without_a_ready_model_it_is_a_full_editor_that_says_how_far_it_is(
    stopped_desk: Desk, request: pytest.FixtureRequest
) -> None:
    stopped_desk.script.change(hold_opening=True)
    page: Page = request.getfixturevalue("page")
    page.get_by_role("button", name="Start a document").click()
    page.get_by_label("Brief").fill("A brief.")
    page.locator("#text").click()
    page.keyboard.type("Written by hand.")
    expect(page.locator("#saved")).to_have_text("Saved")
    assert stopped_desk.text() == "Written by hand."
    expect(page.locator("#engine-line")).to_have_text("The model is being fetched.")
    expect(page.get_by_role("progressbar", name="Getting the model ready")).to_have_js_property("value", 0.5)
    expect(page.locator("#write")).to_be_disabled()
    stopped_desk.script.change(hold_opening=False)
    expect(page.locator("#write")).to_be_enabled()
    expect(page.get_by_role("progressbar", name="Getting the model ready")).to_be_hidden()


def test_a_model_that_fails_is_a_sentence_an_editor_and_another_try(
    stopped_desk: Desk, request: pytest.FixtureRequest
) -> None:
    stopped_desk.script.change(unavailable="The weights file is damaged; delete it and try again.")
    page: Page = request.getfixturevalue("page")
    page.get_by_role("button", name="Start a document").click()
    expect(page.locator("#engine-line")).to_have_text("The weights file is damaged; delete it and try again.")
    page.locator("#text").click()
    page.keyboard.type("Still an editor.")
    expect(page.locator("#saved")).to_have_text("Saved")
    expect(page.locator("#write")).to_be_disabled()
    stopped_desk.script.change(unavailable=None)

    def answer_late(route: Route) -> None:
        with closing(stopped_desk.session.subscribe()) as news:
            early = route.fetch()  # it tells of an hour when the model was not ready yet
            while stopped_desk.session.engine()["state"] != "ready" and news.get(20) is not None:
                pass
        route.fulfill(response=early)

    page.route("**/verb/retry", answer_late)
    with page.expect_response("**/verb/retry"):
        page.get_by_role("button", name="Try again").click()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    expect(page.locator("#write")).to_be_enabled()
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def test_a_state_that_could_not_be_read_is_asked_for_again(desk: Desk, open_tab: OpenTab, watch: Watch) -> None:
    """The connection broke off; the events go on, so nothing else would ask."""
    watch.expected.append("ERR_FAILED")
    desk.session.create_document("Harbour")
    page = open_tab()
    page.route("**/verb/state", lambda route: route.abort(), times=1)
    page.reload()
    expect(page.locator("#documents .card .name")).to_have_text("Harbour")
    expect(page.locator("#write")).to_be_enabled()


def test_what_is_told_while_the_state_is_being_read_is_newer_than_it(
    stopped_desk: Desk, request: pytest.FixtureRequest
) -> None:
    stopped_desk.script.change(hold_opening=True)
    page: Page = request.getfixturevalue("page")
    page.get_by_role("button", name="Start a document").click()
    expect(page.locator("#engine-line")).to_have_text("The model is being fetched.")

    def answer_late(route: Route) -> None:
        early = dumps(VERBS["state"](stopped_desk.session, Fields({})))
        with closing(stopped_desk.session.subscribe()) as news:
            stopped_desk.script.change(hold_opening=False)
            while stopped_desk.session.engine()["state"] != "ready" and news.get(20) is not None:
                pass
        route.fulfill(body=early, content_type="application/json")

    page.route("**/verb/state", answer_late, times=1)
    page.reload()
    expect(page.locator("#write")).to_be_enabled()


def test_a_job_that_fails_is_a_sentence_and_keeps_its_blocks(desk: Desk, written: Page) -> None:
    desk.script.change(fail_block=3)
    written.locator("#write").click()
    expect(written.get_by_role("alert")).to_contain_text("was told to fail here")
    expect(written.locator("#write")).to_have_text("Continue, 126 words")
    assert len(desk.text().split()) == 24
    assert text_of(written) == desk.text()


# ------------------------------------------------------------------------------------------------------ hostile words

HOSTILE = (
    '<script>window.hacked = "script"</script>',
    '<img src="x" onerror="window.hacked = 1">',
    "[click](javascript:window.hacked=2)",
    '"><svg onload=window.hacked=3>',
    "\u202eevil\u202c",
    "{{7*7}}${7*7}",
    "e\u0301\u0301\u0301\u0301",
    "שלום",
)


def test_markup_in_titles_briefs_and_the_models_words_is_shown_and_never_obeyed(
    desk: Desk, page: Page, open_tab: OpenTab
) -> None:
    wild = " ".join(HOSTILE)
    desk.script.change(words=HOSTILE)
    start_document(page, wild, wild, wild)
    page.locator("#text").click()
    page.keyboard.insert_text(wild)
    page.locator("#write").click()
    expect(page.locator("#write")).to_have_text("Continue, a paragraph")
    assert text_of(page) == desk.text()
    assert desk.text().startswith(wild)
    expect(page.locator("#documents .card .name")).to_have_text(wild)
    expect(page.locator("#outline .row .name")).to_have_text(wild)
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.locator("#reading")).to_contain_text('<script>window.hacked = "script"</script>')
    page.get_by_role("button", name="Whole document").click()
    expect(page.locator("#reading h1")).to_have_text(wild)
    assert page.locator("#reading a, #reading script, #reading img, #reading svg").count() == 0
    choose(page, "document", "Delete …")
    expect(page.get_by_role("dialog")).to_contain_text(wild)
    page.keyboard.press("Escape")
    page.reload()
    expect(page.get_by_label("Title of the document")).to_have_value(wild)
    assert page.evaluate("window.hacked") is None


def test_a_pasted_page_leaves_its_words_only(written: Page) -> None:
    written.locator("#text").click()
    written.evaluate(
        """() => {
          const data = new DataTransfer();
          data.setData("text/html", "<b onclick=f()>bold</b><img src=x onerror='window.hacked=1'><p>next");
          data.setData("text/plain", "bold\\r\\nnext");
          document.activeElement.dispatchEvent(
            new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
        }"""
    )
    assert text_of(written) == "bold\nnext"
    assert written.locator("#text b, #text img, #text p").count() == 0


def test_formatting_keys_leave_plain_text_plain(written: Page) -> None:
    written.locator("#text").click()
    written.keyboard.type("plain")
    written.keyboard.press("Control+a")
    for key in ("Control+b", "Control+i", "Control+u"):
        written.keyboard.press(key)
    assert written.locator("#text").inner_html() == "<div>plain</div>"


# -------------------------------------------------------------------------------------------------- keys, sizes, looks


def test_a_section_is_written_by_keyboard_alone(desk: Desk, page: Page) -> None:
    expect(page.get_by_role("heading", name="An empty desk")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the text")).to_be_focused()
    tab_to(page, page.get_by_role("button", name="New", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_label("Title of the document")).to_be_focused()
    page.keyboard.type("Keys")
    tab_to(page, page.get_by_label("Title of the section"))
    page.keyboard.type("Only keys")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Brief")).to_be_focused()
    page.keyboard.type("Without a mouse.")
    tab_to(page, page.get_by_label("Length"))
    page.keyboard.press("Control+a")
    page.keyboard.type("60")
    tab_to(page, page.get_by_label("Text of the section"))
    page.keyboard.type("Begun. ")
    tab_to(page, page.get_by_role("slider"))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuetext", "balanced")
    expect(page.locator("#write")).to_be_enabled()
    desk.script.hold(block=2)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#write")).to_have_text("Stop")
    expect(page.locator("#meter-words")).to_have_text("17 of 60")
    page.keyboard.press("Escape")
    expect(page.locator("#write")).to_have_text(re.compile("^Continue"))
    expect(page.locator("#write")).to_be_enabled()
    desk.script.release()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#meter-words")).to_have_text("60 of 60")
    assert desk.text().startswith("Begun. ")


def tab_to(page: Page, wanted: Locator) -> None:
    """Presses Tab until it is there; everything on the way shows that it has the focus."""
    for _ in range(20):
        page.keyboard.press("Tab")
        if wanted.evaluate("(node) => node === document.activeElement"):
            return
    raise AssertionError(f"{wanted} cannot be reached with the Tab key")


FITS = "[document.documentElement, document.querySelector('#scroll')].every((box) => box.scrollWidth <= innerWidth)"


@pytest.mark.parametrize("width", [360, 768, 1024, 2000])
def test_it_fits_every_width(desk: Desk, written: Page, width: int) -> None:
    written.locator("#text").click()
    written.keyboard.insert_text("A word. " * 60 + "y" * 400)
    written.set_viewport_size({"width": width, "height": 740})
    assert comes_true(written, FITS)
    for name in ("Title of the section", "Brief", "Length", "Text of the section"):
        expect(written.get_by_label(name)).to_be_visible()
    expect(written.locator("#write")).to_be_in_viewport(ratio=1)
    measure = written.locator("#text").bounding_box()
    assert measure is not None
    assert measure["width"] <= 38 * 16 + 1
    written.get_by_role("button", name="Fine settings").click()
    assert comes_true(written, FITS)


def test_on_a_phone_the_lists_are_a_drawer(desk: Desk, written: Page) -> None:
    written.set_viewport_size({"width": 360, "height": 640})
    expect(written.locator("#side")).not_to_be_in_viewport()
    written.get_by_role("button", name="Documents and sections").click()
    expect(written.locator("#side")).to_be_in_viewport()
    written.keyboard.press("Escape")
    expect(written.locator("#side")).not_to_be_in_viewport()
    written.get_by_role("button", name="Documents and sections").click()
    written.get_by_role("button", name="Add", exact=True).click()
    expect(written.locator("#side")).not_to_be_in_viewport()
    expect(written.get_by_label("Title of the section")).to_be_focused()
    written.keyboard.type("On the way")
    written.locator("#write").click()
    expect(written.locator("#meter-words")).to_have_text("150 of 150")


CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    let color = [0, 0, 0, 0];
    for (let up = node; up; up = up.parentElement) {
      const [r, g, b, a] = rgb(getComputedStyle(up).backgroundColor);
      const rest = 1 - color[3] / 255, part = rest * a / 255;
      color = [color[0] + r * part, color[1] + g * part, color[2] + b * part, color[3] + 255 * part];
    }
    return color;
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const words = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!words && !("placeholder" in node)) continue;
    if (!node.checkVisibility() || node.disabled || node.closest(".hidden")) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${node.tagName} ${node.id || node.className}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


@pytest.mark.parametrize("look", ["light", "dark"])
def test_every_word_has_enough_contrast_in_both_looks(desk: Desk, written: Page, look: str) -> None:
    written.emulate_media(color_scheme="light" if look == "dark" else "dark")
    theme = written.locator("#theme")
    for _ in ("the system's", "light"):
        if theme.text_content() != f"Look: {look}":
            theme.click()
    expect(theme).to_have_text(f"Look: {look}")
    paper = written.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    channels = [int(number) for number in re.findall(r"\d+", paper)]
    assert (sum(channels[:3]) > 600) == (look == "light")
    desk.script.change(unavailable="x")
    written.locator("#text").click()
    written.keyboard.type("Words.")
    written.get_by_role("button", name="Fine settings").click()
    assert written.evaluate(CONTRASTS) == []
    written.get_by_role("button", name="Keys", exact=True).click()
    assert written.evaluate(CONTRASTS) == []
    written.keyboard.press("Escape")
    written.reload()
    expect(theme).to_have_text(f"Look: {look}")


def test_every_control_has_a_name(written: Page) -> None:
    nameless = written.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, a, [role]")]
          .filter((node) => node.checkVisibility() && !node.closest("[aria-hidden=true]"))
          .filter((node) => !["status", "alert", "log", "group"].includes(node.getAttribute("role")))
          .filter((node) => !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length))
          .map((node) => node.outerHTML)"""
    )
    assert nameless == []


def test_the_words_are_counted_as_the_store_counts_them(desk: Desk, written: Page) -> None:
    text = (
        "It’s a well-known fact – 3.14, naïve, 漢字, foo_bar! e\u0301t\u0301 x²½ Ⅷ don't 'quoted' -dash- \u0661\u0662"
    )
    written.locator("#text").click()
    written.keyboard.insert_text(text)
    expect(written.locator("#saved")).to_have_text("Saved")
    section = desk.session.document(desk.session.documents()[0].id).sections[0]
    expect(written.locator("#meter-words")).to_have_text(f"{section.words} of 150")


def test_nothing_is_left_in_the_browser_but_looks_and_places(written: Page) -> None:
    written.locator("#text").click()
    written.keyboard.type("My secret.")
    expect(written.locator("#saved")).to_have_text("Saved")
    kept = written.evaluate("JSON.stringify({...localStorage})")
    assert "secret" not in kept
    assert all(name.startswith("galley:") for name in json.loads(kept))
    assert written.evaluate("document.cookie") == ""
