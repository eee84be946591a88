"""`python -m tests.measure_switch`: from a click in the outline to the section on the screen, in Chromium.

A document of many sections on the real desk; sections are clicked in any order. Prints milliseconds from the click to
the first moment after the frame that shows the section's title and text.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, expect, sync_playwright

from app.draft import count_words
from app.session import Session
from tests.browser.conftest import QUIET_CHROMIUM, Desk, Engine
from tests.chromium import find
from tests.measure_page import long_text
from tests.scripted_engine import scripted_child

WATCH = """() => {
  window.switchTimes = [];
  addEventListener("click", ({target, timeStamp}) => {
    const wanted = target.closest(".row")?.querySelector(".name").textContent;
    if (!wanted) return;
    const look = () => {
      const text = document.querySelector("#text > div");
      const there = document.querySelector("#section-title").value === wanted && text?.textContent.startsWith(wanted);
      if (!there) return requestAnimationFrame(look);
      const painted = new MessageChannel();
      painted.port1.onmessage = () => switchTimes.push(performance.now() - timeStamp);
      painted.port2.postMessage(null);
    };
    requestAnimationFrame(look);
  }, true);
}"""
"""A switch ends with a message that is posted in the frame the text is drawn in, and so read after the paint."""


def fill(session: Session, sections: int, words: int) -> None:
    """One document; the text of every section begins with its title."""
    document = session.create_document("Long")
    for number in range(sections):
        if number:
            document = session.add_section(document.id, document.revision, after=document.sections[-1].id)
        title = f"Part {number + 1}"
        section = session.change_section(document.sections[-1].id, 0, title=title, brief="What it says.")
        session.save_text(section.id, section.revision, 0, f"{title}. {long_text(words)}")


def measure(page: Page, address: str, clicks: int) -> list[float]:
    page.goto(address)
    rows = page.locator("#outline .row")
    expect(rows.first).to_have_attribute("aria-current", "true")
    page.evaluate(WATCH)
    order = list(range(1, rows.count()))
    chance = random.Random(5)
    last = 0
    for number in range(1, clicks + 1):
        last = chance.choice([each for each in order if each != last])
        rows.nth(last).click()
        page.wait_for_function("(count) => switchTimes.length === count", arg=number)
    times: list[float] = page.evaluate("switchTimes")
    return sorted(times)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.measure_switch", description=__doc__)
    parser.add_argument("--sections", type=int, default=50, help="of the document (default: %(default)s)")
    parser.add_argument("--words", type=int, default=2000, help="of each section (default: %(default)s)")
    parser.add_argument("--clicks", type=int, default=100, help="how many (default: %(default)s)")
    given = parser.parse_args()
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        desk = Desk(Path(folder), Engine(scripted_child))
        desk.start()
        try:
            fill(desk.session, given.sections, given.words)
            browser = playwright.chromium.launch(executable_path=find(), args=list(QUIET_CHROMIUM))
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            times = measure(page, desk.address, given.clicks)
            browser.close()
        finally:
            desk.end()
    total = given.sections * count_words(long_text(given.words))
    print(f"{given.sections} sections, {total:,} words; click to paint in milliseconds, {len(times)} clicks")
    print(f"p50 {times[len(times) // 2]:.1f}   p95 {times[int(len(times) * 0.95)]:.1f}   max {times[-1]:.1f}")


if __name__ == "__main__":
    main()
