"""Nothing a writer typed is lost: stale tabs, a desk that is away, a restart, a closed tab."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import AWAY, Desk, OpenTab, Watch, text_of


def type_text(page: Page, text: str) -> None:
    page.locator("#text").click()
    page.keyboard.type(text)


def test_what_is_typed_is_saved_without_being_asked(desk: Desk, written: Page) -> None:
    type_text(written, "First line.\n\nSecond “line”, with émigrés, 漢字 and 👩‍🚀.")
    expect(written.locator("#saved")).to_have_text("Saved")
    assert text_of(written) == desk.text() == "First line.\n\nSecond “line”, with émigrés, 漢字 and 👩‍🚀."


def test_a_status_chosen_while_words_are_being_saved_is_not_taken_back_by_the_answer(written: Page) -> None:
    held: list[Route] = []
    written.route("**/desk/verb/save_text", lambda route: held.append(route))
    written.route("**/desk/verb/change_section", lambda route: held.append(route))
    with written.expect_request("**/desk/verb/save_text"):
        type_text(written, "Dark water.")
    status = written.get_by_label("Status", exact=True)
    status.select_option("done")
    written.locator("#text").click()
    with written.expect_request("**/desk/verb/change_section"):  # goes out after the answer to the words was taken in
        held.pop(0).continue_()
    expect(status).to_have_value("done")
    written.keyboard.press("Control+k")
    written.keyboard.type("marsecpla")
    expect(written.get_by_role("listbox").get_by_role("option").first).to_contain_text("Mark the section as planned")
    held.pop(0).continue_()


def test_a_tab_closed_right_after_a_key_has_saved_it(desk: Desk, written: Page, open_tab: OpenTab) -> None:
    type_text(written, "Gone in a moment")
    written.close(run_before_unload=False)
    another = open_tab()
    expect(another.locator("#text")).to_have_text("Gone in a moment")
    expect(another.locator("#saved")).to_have_text("Saved")
    assert desk.text() == "Gone in a moment"


def test_an_idle_tab_follows_what_another_one_saves(desk: Desk, written: Page, open_tab: OpenTab) -> None:
    idle = open_tab()
    expect(idle.get_by_label("Title of the section")).to_have_value("Night")
    type_text(written, "Seen by both.")
    written.get_by_label("Title of the section").fill("Dawn")
    written.get_by_label("Title of the document").fill("Two tabs")
    expect(idle.locator("#text")).to_have_text("Seen by both.")
    expect(idle.get_by_label("Title of the section")).to_have_value("Dawn")
    expect(idle.get_by_label("Title of the document")).to_have_value("Two tabs")


def make_stale(desk: Desk, written: Page, open_tab: OpenTab) -> Page:
    """A tab with unsaved words on a section that the other tab has changed; it shows the question."""
    stale = open_tab()
    expect(stale.get_by_label("Title of the section")).to_have_value("Night")
    # Deaf for a while: what the other tab does does not reach it before its own save.
    stale.route("**/desk/verb/*", lambda route: route.abort())
    type_text(stale, "Mine.")
    expect(stale.locator("#saved")).to_have_text(AWAY)
    type_text(written, "Theirs.")
    expect(written.locator("#saved")).to_have_text("Saved")
    assert desk.text() == "Theirs."
    stale.unroute("**/desk/verb/*")
    expect(stale.get_by_role("dialog")).to_contain_text("This section was changed elsewhere")
    expect(stale.get_by_role("region", name="Mine, in this tab")).to_have_text("Mine.")
    expect(stale.get_by_role("region", name="Theirs, saved by the other")).to_have_text("Theirs.")
    return stale


@pytest.mark.parametrize(
    ("button", "text"),
    [("Keep mine", "Mine."), ("Keep theirs", "Theirs."), ("Keep both", "Theirs.\n\nMine.")],
)
def test_a_stale_tab_is_refused_shows_both_texts_and_keeps_what_the_writer_chooses(
    desk: Desk, written: Page, open_tab: OpenTab, watch: Watch, button: str, text: str
) -> None:
    watch.expected += ["409", "ERR_FAILED"]
    stale = make_stale(desk, written, open_tab)
    stale.keyboard.press("Escape")  # no answer is no way out
    stale.get_by_role("button", name=button).click()
    expect(stale.locator("#saved")).to_have_text("Saved")
    assert text_of(stale) == desk.text() == text
    expect(written.locator("#text > div").last).to_have_text(text.split("\n")[-1])
    assert text_of(written) == text
    section = desk.session.document(desk.session.documents()[0].id).sections[0]
    assert "Mine." in [row.after for row in desk.session.history(section_id=section.id) if row.kind == "refused"]


def test_a_stale_title_is_refused_and_the_writer_chooses(
    desk: Desk, written: Page, open_tab: OpenTab, watch: Watch
) -> None:
    watch.expected += ["409", "ERR_FAILED"]
    stale = open_tab()
    expect(stale.get_by_label("Title of the section")).to_have_value("Night")
    stale.route("**/desk/verb/*", lambda route: route.abort())
    stale.get_by_label("Title of the section").fill("My night")
    expect(stale.locator("#saved")).to_have_text(AWAY)
    written.get_by_label("Title of the section").fill("Their night")
    expect(written.locator("#saved")).to_have_text("Saved")
    stale.unroute("**/desk/verb/*")
    expect(stale.get_by_role("region", name="Mine, in this tab")).to_have_text("Title: My night")
    stale.get_by_role("button", name="Keep mine").click()
    expect(stale.locator("#saved")).to_have_text("Saved")
    expect(written.get_by_label("Title of the section")).to_have_value("My night")


def test_a_section_left_right_after_a_key_keeps_its_own_words(desk: Desk, written: Page) -> None:
    written.get_by_role("button", name="Add", exact=True).click()
    expect(written.get_by_label("Title of the section")).to_be_focused()
    for turn in range(4):
        written.get_by_label("Status", exact=True).select_option(("draft", "done")[turn % 2])
        written.locator("#text").click()
        written.keyboard.type(f"{turn} ")
        written.keyboard.press("Alt+PageUp" if turn % 2 == 0 else "Alt+PageDown")
        expect(written.locator("#outline .row").nth(turn % 2)).to_have_attribute("aria-current", "true")
    expect(written.locator("#saved")).to_have_text("Saved")
    assert [sorted(desk.text(section=number).split()) for number in (0, 1)] == [["1", "3"], ["0", "2"]]


def test_a_new_title_and_a_section_added_elsewhere_are_both_kept(desk: Desk, written: Page, watch: Watch) -> None:
    watch.expected += ["409", "ERR_FAILED"]
    written.route("**/desk/verb/*", lambda route: route.abort())
    written.get_by_label("Title of the document").fill("Harbour at night")
    expect(written.locator("#saved")).to_have_text(AWAY)
    document = desk.session.documents()[0]
    desk.session.add_section(document.id, desk.session.document(document.id).revision, after=None, title="Before")
    written.unroute("**/desk/verb/*")
    written.get_by_label("Title of the document").blur()
    expect(written.locator("#outline .name")).to_have_text(["Before", "Night"])
    expect(written.locator("#documents .card .name")).to_have_text("Harbour at night")
    expect(written.get_by_label("Title of the document")).to_have_value("Harbour at night")
    expect(written.locator("#saved")).to_have_text("Saved")
    assert desk.session.documents()[0].title == "Harbour at night"


def test_a_full_disk_is_a_sentence_and_the_words_are_saved_once_there_is_room(
    desk: Desk, written: Page, watch: Watch
) -> None:
    watch.expected.append("503")
    full = {"error": "StoreUnavailable", "sentence": "The disk is full; make room and try again."}
    written.route("**/desk/verb/save_text", lambda route: route.fulfill(status=503, json=full))
    type_text(written, "No room yet.")
    expect(written.locator("#saved")).to_have_text(full["sentence"])
    assert desk.text() == ""
    written.unroute("**/desk/verb/save_text")
    expect(written.locator("#saved")).to_have_text("Saved")
    assert desk.text() == text_of(written) == "No room yet."


def test_words_typed_while_the_desk_is_away_are_kept_and_sent_when_it_is_back(
    desk: Desk, written: Page, watch: Watch
) -> None:
    watch.expected += ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET"]
    watch.expected += ["ERR_EMPTY_RESPONSE", "ERR_SOCKET_NOT_CONNECTED"]
    type_text(written, "Before. ")
    expect(written.locator("#saved")).to_have_text("Saved")
    desk.end()
    written.keyboard.type("While it was away.")
    expect(written.locator("#saved")).to_have_text(AWAY)
    desk.start()
    expect(written.locator("#saved")).to_have_text("Saved")
    assert desk.text() == "Before. While it was away."
    assert written.evaluate("Object.keys(localStorage).filter((name) => name.includes('unsaved'))") == []


def test_words_of_a_tab_that_closed_while_the_desk_was_away_come_back_with_the_next_one(
    desk: Desk, written: Page, open_tab: OpenTab, watch: Watch
) -> None:
    watch.expected += ["ERR_"]
    type_text(written, "Before. ")
    expect(written.locator("#saved")).to_have_text("Saved")
    desk.end()
    written.keyboard.type("While it was away.")
    expect(written.locator("#saved")).to_have_text(AWAY)
    written.close()
    desk.start()
    another = open_tab()
    expect(another.locator("#text")).to_have_text("Before. While it was away.")
    expect(another.locator("#saved")).to_have_text("Saved")
    assert desk.text() == "Before. While it was away."


def test_after_a_restart_everything_is_where_it_was(desk: Desk, written: Page, open_tab: OpenTab, watch: Watch) -> None:
    watch.expected += ["ERR_"]
    type_text(written, "My beginning. ")
    written.locator("#write").click()
    expect(written.locator("#meter-words")).to_have_text("150 of 150")
    text = text_of(written)
    written.close()
    desk.end()
    desk.start()
    page = open_tab()
    expect(page.get_by_label("Title of the document")).to_have_value("Harbour")
    expect(page.get_by_label("Title of the section")).to_have_value("Night")
    expect(page.get_by_label("Brief")).to_have_value("A keeper lights his lamp.")
    expect(page.locator("#meter-words")).to_have_text("150 of 150")
    assert text_of(page) == text == desk.text()
    assert text.startswith("My beginning. ")


def test_the_page_finds_a_running_job_again_after_its_connection_broke(desk: Desk, written: Page, watch: Watch) -> None:
    watch.expected += ["ERR_"]
    desk.script.hold(block=2)
    written.locator("#write").click()
    expect(written.locator("#island .slot:not(.masked)").first).to_be_attached()
    written.context.set_offline(True)
    desk.script.release()
    news = desk.session.subscribe()
    while (event := news.get(20)) is not None and (event["type"], event.get("state")) != ("job", "finished"):
        pass
    written.context.set_offline(False)
    expect(written.locator("#meter-words")).to_have_text("150 of 150")
    assert text_of(written) == desk.text()


def test_the_markdown_holds_every_word_also_those_just_typed(desk: Desk, written: Page) -> None:
    type_text(written, "The last word.")
    with written.expect_download() as started:
        written.get_by_role("button", name="Export").click()
        written.get_by_role("menuitem", name="Markdown").first.click()
    assert started.value.suggested_filename == "Harbour.md"
    content = started.value.path().read_text(encoding="utf-8")
    assert content == "# Harbour\n\n## Night\n\nThe last word.\n"


def test_a_section_deleted_in_another_tab_is_said_and_its_words_are_in_the_history(
    desk: Desk, written: Page, open_tab: OpenTab, watch: Watch
) -> None:
    watch.expected += ["404"]
    other = open_tab()
    expect(other.get_by_label("Title of the section")).to_have_value("Night")
    type_text(other, "Still here.")
    expect(other.locator("#saved")).to_have_text("Saved")
    section = desk.session.document(desk.session.documents()[0].id).sections[0]
    desk.session.delete_section(section.id, section.revision)
    expect(other.get_by_role("heading", name="No sections yet")).to_be_visible()
    assert "Still here." in [row.after for row in desk.session.history(section_id=section.id)]
