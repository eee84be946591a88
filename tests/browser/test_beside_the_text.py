"""The panel beside the text: versions and snapshots, what the model reads, notes, words found; and files in and out."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Desk, OpenTab, comes_true, text_of
from tests.views import run as run_command


def open_tab_beside(page: Page, name: str) -> None:
    if page.get_by_role("tab", name=name).is_hidden():
        page.get_by_role("button", name="Beside the text").click()
    page.get_by_role("tab", name=name).click()


def write(page: Page, words: int) -> None:
    """Has the open section written."""
    page.get_by_label("Length", exact=True).fill(str(words))
    page.get_by_label("Length", exact=True).blur()
    page.locator("#write").click()
    expect(page.locator("#meter-words")).to_have_text(f"{words} of {words}")
    expect(page.locator("#write")).to_have_text("Continue, a paragraph")


def test_every_version_can_be_looked_at_and_gone_to(desk: Desk, written: Page) -> None:
    write(written, 40)
    text = desk.text()
    written.locator("#text").focus()
    written.keyboard.press("Control+Home")
    written.keyboard.type("Yes. ")
    expect(written.locator("#saved")).to_have_text("Saved")
    open_tab_beside(written, "History")
    now = written.get_by_role("tabpanel", name="History").locator("[aria-current=true]")
    expect(now).to_contain_text("Yes.")
    written.locator(".versions-list summary", has_text="5 blocks").click()
    written.get_by_role("button", name=re.compile("^Compare")).first.click()
    expect(written.locator(".compared del")).to_have_text("Yes. ")
    written.locator("details .version-go").nth(1).click()
    expect(written.locator("#text")).not_to_have_text(re.compile("Yes"))
    blocks = [block.text for block in desk.session.section(1).blocks]
    expect(written.locator("#text")).to_have_text("".join(blocks))
    assert len(blocks) == 4
    assert text.startswith("".join(blocks))
    expect(written.locator(".versions-list .aside").first).to_be_visible()  # what was left is a branch
    written.locator(".version-go", has_text="Yes.").click()
    expect(written.locator("#text")).to_have_text(f"Yes. {text}")


def test_undo_while_the_section_is_written_stops_it_and_leaves_no_gap(desk: Desk, written: Page) -> None:
    desk.script.hold(block=3)
    written.locator("#write").click()
    expect(written.locator("#meter-words")).to_have_text("24 of 150")
    blocks = [block.text for block in desk.session.section(1).blocks]
    written.locator("#text").focus()
    written.keyboard.press("Control+z")
    expect(written.locator("#text")).to_have_text("".join(blocks[:-1]))
    expect(written.locator("#write")).to_have_text(re.compile("^Continue"))
    desk.script.release()
    assert desk.text() == "".join(blocks[:-1])


def test_a_snapshot_and_a_deleted_section_are_brought_back(desk: Desk, written: Page) -> None:
    open_tab_beside(written, "History")
    written.get_by_label("Name of a snapshot").fill("Draft one")
    written.locator("#text").click()
    written.keyboard.type("The first draft.")
    expect(written.locator("#saved")).to_have_text("Saved")
    expect(written.locator(".version-go")).to_have_count(2)  # the tab was drawn anew, and the name is still there
    written.get_by_role("button", name="Take one").click()
    expect(written.locator(".snapshot-name")).to_have_text("Draft one")
    written.locator("#text").click()
    written.keyboard.press("Control+a")
    written.keyboard.type("Something else.")
    expect(written.locator("#saved")).to_have_text("Saved")
    written.get_by_role("button", name="Restore …").click()
    written.get_by_role("dialog").get_by_role("button", name="Restore").click()
    expect(written.locator("#text")).to_have_text("The first draft.")
    expect(written.locator(".snapshot-name")).to_have_count(2)  # one of what was there before
    written.get_by_role("button", name="More for the section “Night”").click()
    written.get_by_role("menuitem", name="Delete …").click()
    written.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(written.locator("#text")).to_be_hidden()
    written.get_by_role("button", name="Bring back").click()
    expect(written.locator("#text")).to_be_visible()
    expect(written.locator("#text")).to_have_text("The first draft.")
    assert desk.text() == "The first draft."


def test_what_the_model_reads_is_shown_by_origin_and_the_style_sheet_is_part_of_it(
    desk: Desk, written: Page, open_tab: OpenTab
) -> None:
    open_tab_beside(written, "Notes")
    written.get_by_label("Style sheet of this document").fill("Present tense.")
    written.get_by_label("Notes on this document").fill("Private.")
    written.get_by_label("Notes on this section").fill("Check the tides.")
    expect(written.locator("#saved")).to_have_text("Saved")
    open_tab_beside(written, "Context")
    parts = written.locator(".context-part")
    expect(parts.filter(has_text="Present tense.")).to_have_count(1)
    expect(written.get_by_role("tabpanel", name="Context")).not_to_contain_text("Private")
    expect(written.locator(".context-sum")).to_have_text(re.compile(r"^\d+ of [\d,]+ tokens that fit\.$"))
    parts.filter(has_text="brief").locator("summary").click()
    expect(parts.filter(has_text="A keeper lights his lamp.")).to_be_visible()
    document = desk.session.document(1)
    assert (document.style, document.notes) == ("Present tense.", "Private.")
    assert document.sections[0].notes == "Check the tides."
    other = open_tab()
    other.get_by_role("tab", name="Notes").click()  # the panel is open where it was
    expect(other.get_by_label("Notes on this section")).to_have_value("Check the tides.")


def test_a_section_has_a_style_of_its_own_with_tones_that_come_and_go(desk: Desk, written: Page) -> None:
    document = desk.session.document(1)
    desk.session.add_section(1, document.revision, after=document.sections[0].id, title="Morning", brief="Dawn.")
    run_command(written, "Style of this section")
    field, tones = (
        written.get_by_label("Style of this section"),
        written.get_by_role("group", name="Tone of this section"),
    )
    expect(field).to_be_focused()
    written.keyboard.type("Marten: the keeper.")
    written.keyboard.press("Tab")
    written.keyboard.press("Tab")
    warm = tones.get_by_role("button", name="Warm")
    expect(warm).to_be_focused()
    expect(warm).to_have_attribute("aria-pressed", "false")
    written.keyboard.press("Space")
    expect(warm).to_have_attribute("aria-pressed", "true")
    sentence = str(warm.get_attribute("title"))
    expect(field).to_have_value(f"{sentence}\nMarten: the keeper.")
    tones.get_by_role("button", name="Dry").click()
    warm.click()
    expect(warm).to_have_attribute("aria-pressed", "false")
    dry = str(tones.get_by_role("button", name="Dry").get_attribute("title"))
    expect(field).to_have_value(f"{dry}\nMarten: the keeper.")
    expect(written.locator("#saved")).to_have_text("Saved")
    assert desk.session.section(1).style == f"{dry}\nMarten: the keeper."
    written.get_by_label("Style sheet of this document").fill("Present tense.")
    expect(written.locator("#saved")).to_have_text("Saved")

    open_tab_beside(written, "Context")
    own = written.locator(".context-part", has_text="Style of this section")
    expect(own.locator(".count")).to_have_text(re.compile("^[1-9]"))
    own.locator("summary").click()
    expect(own.locator(".context-text")).to_have_text(f"{dry}\nMarten: the keeper.", use_inner_text=True)
    expect(written.locator(".context-part", has_text="Present tense.")).to_have_count(1)

    written.get_by_role("button", name="Outline", exact=True).click()
    morning = written.get_by_label("Style of “Morning”")
    expect(written.get_by_label("Style of “Night”")).to_have_value(f"{dry}\nMarten: the keeper.")
    morning.fill("Vivid.")
    written.get_by_role("group", name="Tone of “Morning”").get_by_role("button", name="Dry").click()
    expect(morning).to_have_value(f"{dry}\nVivid.")
    expect(morning).to_be_focused()
    expect(written.locator("#saved")).to_have_text("Saved")
    assert [section.style for section in desk.session.document(1).sections] == [
        f"{dry}\nMarten: the keeper.",
        f"{dry}\nVivid.",
    ]

    open_tab_beside(written, "Notes")
    field.focus()
    run_command(written, "no longer dry")  # from outside the field, while the cursor is in it
    expect(field).to_have_value("Marten: the keeper.")
    written.keyboard.press("Alt+PageDown")  # the field is now another section's
    expect(field).to_have_value(f"{dry}\nVivid.")


def test_words_are_found_everywhere_and_replaced_after_a_question_with_their_number(desk: Desk, written: Page) -> None:
    session = desk.session
    document = session.document(1)
    document = session.add_section(1, document.revision, after=document.sections[0].id, title="Morning")
    session.save_text(document.sections[1].id, 0, 0, "A 👩‍🚀 on the pier. The Pier was empty.")
    written.locator("#text").click()
    written.keyboard.type("One pier.")
    written.keyboard.press("Control+Shift+f")
    expect(written.get_by_role("searchbox", name="Find")).to_be_focused()
    written.keyboard.type("pier")
    hits = written.locator(".hit")
    expect(hits).to_have_count(2)
    written.locator(".hit", has_text="Morning").click()
    expect(written.get_by_label("Title of the section")).to_have_value("Morning")
    expect(written.locator("#text")).to_be_focused()
    assert written.evaluate("getSelection().toString()") == "pier"
    written.get_by_label("Replace with").fill("quay")
    written.get_by_role("button", name="Replace all …").click()
    expect(written.get_by_role("dialog")).to_contain_text("Replace “pier” in 3 places?")
    written.get_by_role("button", name="Replace 3 places").click()
    expect(written.locator("#text")).to_have_text("A 👩‍🚀 on the quay. The quay was empty.")
    assert [desk.text(section=number) for number in (0, 1)] == ["One quay.", "A 👩‍🚀 on the quay. The quay was empty."]


def test_places_are_looked_at_and_replaced_one_by_one(desk: Desk, written: Page) -> None:
    written.locator("#text").click()
    written.keyboard.type("👩‍🚀 A pier, a Pier, a pier.")
    run_command(written, "Find and replace")
    written.keyboard.type("pier")
    told = written.locator("#panel-find [role=status]")
    expect(told).to_have_text("3 places in 1 section")
    written.get_by_role("button", name="Next", exact=True).click()
    expect(told).to_have_text("1 of 3 in this section: “👩‍🚀 A pier, a Pier, a pier.”")
    written.get_by_role("button", name="Next", exact=True).click()
    expect(told).to_contain_text("2 of 3 in this section")
    written.get_by_label("Replace with").fill("quay 🌊")
    written.get_by_role("button", name="Replace", exact=True).click()
    expect(written.locator("#text")).to_have_text("👩‍🚀 A pier, a quay 🌊, a pier.")
    expect(told).to_contain_text("2 of 2 in this section")
    written.get_by_label("Replace with").press("Enter")
    expect(written.locator("#text")).to_have_text("👩‍🚀 A pier, a quay 🌊, a quay 🌊.")
    expect(told).to_contain_text("1 of 1 in this section")
    assert desk.text() == "👩‍🚀 A pier, a quay 🌊, a quay 🌊."
    written.locator("#text").press("Control+z")
    expect(written.locator("#text")).to_have_text("👩‍🚀 A pier, a quay 🌊, a pier.")
    written.get_by_label("Match case").check()
    with written.expect_response("**/verb/search"):  # comes when Replace has spoken, and says nothing then
        written.get_by_role("searchbox", name="Find").fill("PIER")
        written.get_by_role("button", name="Replace", exact=True).click()
    expect(told).to_have_text("“PIER” does not stand in this section.")


def test_files_come_in_and_go_out_in_every_format(written: Page, tmp_path: Path) -> None:
    file = tmp_path / "A walk.md"
    file.write_text("# A walk\n\n## Out\n\nOver the dike.\n\n## Home\n\nIn the rain.\n", encoding="utf-8")
    with written.expect_file_chooser() as chooser:
        written.get_by_role("button", name="Import").click()
    chooser.value.set_files(file)
    expect(written.get_by_label("Title of the document")).to_have_value("A walk")
    expect(written.locator("#outline .name")).to_have_text(["Out", "Home"])
    expect(written.locator("#text")).to_have_text("Over the dike.")
    for kind, name in (("Word document", "A walk.docx"), ("Web page", "A walk.html")):
        with written.expect_download() as started:
            written.get_by_role("button", name="Export").click()
            written.get_by_role("menuitem", name=kind).first.click()
        assert started.value.suggested_filename == name
    with written.expect_download() as started:
        written.get_by_role("button", name="Export").click()
        written.get_by_role("menuitem", name="Plain text").last.click()
    assert "Home" not in started.value.path().read_text(encoding="utf-8")
    written.set_viewport_size({"width": 360, "height": 800})  # where the button has no room
    with written.expect_download() as started:
        run_command(written, "Export this section as Markdown")
    assert started.value.path().read_text(encoding="utf-8") == "# Out\n\nOver the dike.\n"


def test_a_setting_of_the_dial_is_kept_with_the_section_or_the_document(desk: Desk, written: Page) -> None:
    facts = written.locator("#facts")
    written.get_by_role("button", name="Fine settings").click()
    written.locator("#set-scope").select_option("section")
    written.locator(".tick", has_text="sketch").click()
    expect(facts).to_contain_text("Set for this section.")
    expect(written.locator("#saved")).to_have_text("Saved")
    written.get_by_role("button", name="Add", exact=True).click()
    expect(written.get_by_label("Title of the section")).to_have_value("")
    expect(written.get_by_role("slider")).to_have_attribute("aria-valuetext", "exact")
    written.keyboard.press("Alt+PageUp")
    expect(written.get_by_role("slider")).to_have_attribute("aria-valuetext", "sketch")
    written.locator("#set-scope").select_option("document")
    expect(facts).to_contain_text("Set for this document.")
    written.reload()
    expect(facts).to_contain_text("Set for this document.")
    expect(written.get_by_role("slider")).to_have_attribute("aria-valuetext", "sketch")
    document = desk.session.document(1)
    assert (document.dial_json, document.sections[0].dial_json) == ('{"stop":"sketch"}', None)


def test_all_sections_are_written_in_turn_and_the_page_says_who_waits(desk: Desk, written: Page) -> None:
    document = desk.session.document(1)
    desk.session.add_section(1, document.revision, after=document.sections[0].id, title="Morning", brief="Light.")
    desk.script.hold(block=2)
    written.get_by_role("button", name="Outline", exact=True).click()
    expect(written.locator("#facts")).to_have_text(re.compile(r"About .* for all that is to be written here\.$"))
    written.get_by_role("button", name="Write all").click()
    expect(written.get_by_role("button", name="Stop all")).to_be_visible()
    expect(written.locator(".plan-state")).to_have_text(["being written", "waiting, 1st in line"])
    expect(written.locator("#outline .waiting")).to_contain_text("Morning")
    written.get_by_role("button", name="Open “Morning”").click()
    expect(written.locator("#engine-line")).to_have_text("Waiting, 1st in line.")
    expect(written.locator("#write")).to_have_text("Stop")
    desk.script.release()
    expect(written.locator("#meter-words")).to_have_text("150 of 150")
    assert text_of(written) == desk.text(section=1)
    assert [section.words for section in desk.session.document(1).sections] == [150, 150]


def test_blocks_are_marked_by_origin_and_tell_their_facts(desk: Desk, written: Page) -> None:
    write(written, 40)
    written.locator("#text").focus()
    written.keyboard.press("Control+Home")
    written.keyboard.type("Yes. ")
    expect(written.locator("#saved")).to_have_text("Saved")
    written.get_by_role("button", name="Show blocks").click()
    assert comes_true(written, "CSS.highlights.get('model-even')?.size === 2")
    expect(written.locator(".origin")).to_have_count(2)
    blocks = [block.text for block in desk.session.section(1).blocks]
    written.keyboard.press("Control+k")
    written.keyboard.type("to the text")
    written.keyboard.press("Enter")
    written.keyboard.press("Control+End")
    written.keyboard.press("Control+i")
    facts = written.get_by_role("dialog", name="The model's words")
    expect(facts).to_contain_text("Sureness29 % a token (1.25 nats)")
    facts.get_by_label("Dial for this block").select_option("sketch")
    with written.expect_request("**/revise") as asked:
        facts.get_by_role("button", name="Again").click()
    assert asked.value.post_data_json["stop_name"] == "sketch"
    expect(written.get_by_role("grid", name="Takes").get_by_role("row")).to_have_count(3)
    written.keyboard.press("Escape")
    written.locator("#text").focus()
    written.keyboard.press("Control+End")
    written.keyboard.press("Control+i")
    facts.get_by_role("button", name="Rewind to here").click()
    expect(written.locator("#text")).to_have_text("".join(blocks[:-1]))
    expect(written.locator("#text")).to_be_focused()
