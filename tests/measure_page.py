"""`python -m tests.measure_page`: how a long section types while a block is being written into it, in Chromium.

Four pages hold the same text and are sent the same live block, about 30 pictures a second: the desk's own page, and
three made of Gradio's components. Prints from key to paint, and how many pictures a second were drawn. `--json` for
programs. The decision that came of it is docs/page-decision.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.launch import keep_private, usable_port

keep_private(os.environ)

import gradio as gr  # noqa: E402 (only after it has been told to keep quiet)
from playwright.sync_api import Browser, expect, sync_playwright  # noqa: E402

from app.draft import count_words  # noqa: E402
from model.contract import Dial  # noqa: E402
from tests.browser.conftest import QUIET_CHROMIUM, Desk, Engine  # noqa: E402
from tests.chromium import find  # noqa: E402
from tests.scripted_engine import WORDS, scripted_child  # noqa: E402

ASSETS = Path(__file__).resolve().parent.parent / "assets"

PICTURES_SENT = 30
"""A second; the desk's server passes on 15 of them."""

SLOTS = 16
PARAGRAPH_WORDS = 100
INNER_TEXT = "[...document.querySelectorAll('#text > div')].map((line) => line.textContent).join('\\n')"
KEY_MS = 70
"""Between two keys: a fast typist."""

TYPED = "The quick brown fox jumps over the lazy dog and goes on to the sea. "

WATCH = """(live) => {
  window.keyTimes = [];
  window.pictures = 0;
  let drawn = false;
  addEventListener("keydown", ({timeStamp}) => requestAnimationFrame(() => {
    const painted = new MessageChannel();
    painted.port1.onmessage = () => keyTimes.push(performance.now() - timeStamp);
    painted.port2.postMessage(null);
  }), true);
  const look = new MutationObserver(() => drawn = true);
  look.observe(document.querySelector(live), {subtree: true, childList: true, characterData: true, attributes: true});
  const frame = () => { pictures += drawn; drawn = false; requestAnimationFrame(frame); };
  frame();
}"""
"""A key's time ends with a message that is posted in the frame it is drawn in, and so read after the paint."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one page did.

    ready_seconds       from the address to a text that can be typed in, with a live block.
    key_to_paint_...    in milliseconds.
    typed_kept          what was typed stands there in one piece.
    locked_kept         every block that locked in stands behind the text, once and in order.
    """

    page: str
    words: int
    ready_seconds: float
    keys: int
    key_to_paint_p50: float
    key_to_paint_p95: float
    key_to_paint_max: float
    pictures_per_second: float
    typed_kept: bool
    locked_kept: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page is, and in it: the live block, a paragraph in the middle to click, and JavaScript for the text.

    locked  all that has locked in so far.
    """

    address: str
    live: str
    middle: str
    text: str
    locked: Callable[[], str]


def long_text(words: int) -> str:
    """Paragraphs of made-up sentences."""
    chance = random.Random(7)
    paragraphs = []
    for _ in range(words // PARAGRAPH_WORDS):
        paragraph = [chance.choice(WORDS) for _ in range(PARAGRAPH_WORDS)]
        paragraphs.append(" ".join(paragraph).capitalize() + ".")
    return "\n".join(paragraphs)


def live_blocks(locked: list[str]) -> Iterator[tuple[list[dict[str, Any]], str]]:
    """What the prototypes are sent: (the slots, the text that has just locked in or nothing), at an even pace.

    locked: where such text is noted before it is sent.
    """
    chance = random.Random(8)
    while True:
        texts = [f" {chance.choice(WORDS)}" for _ in range(SLOTS)]
        for shown in range(1, SLOTS + 1):
            slots = [{"text": text if index < shown else None, "confidence": 0.8} for index, text in enumerate(texts)]
            if shown == SLOTS:
                locked.append("".join(texts))
            yield slots, locked[-1] if shown == SLOTS else ""
            time.sleep(1 / PICTURES_SENT)


# ------------------------------------------------------------------------------------------------------- the pages


@contextmanager
def own_page(text: str) -> Iterator[Place]:
    """The desk itself, with the scripted engine."""
    with TemporaryDirectory() as folder:
        desk = Desk(Path(folder), Engine(scripted_child))
        desk.start()
        try:
            desk.script.change(pace=1 / PICTURES_SENT)
            section = desk.session.create_document("Long").sections[0]
            section = desk.session.change_section(section.id, 0, title="Long", brief="Long.")
            section = desk.session.save_text(section.id, section.revision, 0, text)
            news = desk.session.subscribe()
            while desk.session.engine()["state"] != "ready":
                news.get(1.0)
            desk.session.write(section.id, dial=Dial(SLOTS, SLOTS, "first-hitting"), words=5000)

            def locked() -> str:
                return "".join(
                    block.text for block in desk.session.section(section.id).blocks if block.author == "model"
                )

            yield Place(
                desk.address,
                "#island",
                f"#text > div:nth-child({text.count(chr(10)) // 2})",
                INNER_TEXT,
                locked,
            )
        finally:
            desk.end()


SLOTS_TEMPLATE = (
    '<span id="live">${value.slots.map((s) => s.text === null ? "▁▁▁" : `<u>${s.text}</u>`).join(" ")}</span>'
)


def text_in_the_template(text: str, locked: list[str]) -> gr.Blocks:
    """gr.HTML whose template holds paragraphs and live block: Gradio draws it anew with each picture."""
    lines = text.split("\n")

    def pictures() -> Iterator[dict[str, Any]]:
        for slots, ending in live_blocks(locked):
            lines[-1] += ending
            yield {"lines": lines, "slots": slots}

    with gr.Blocks() as blocks:
        page = gr.HTML(
            {"lines": lines, "slots": []},
            html_template='<div id="text" contenteditable="true">'
            '${value.lines.map((line) => `<div>${line}</div>`).join("")}</div>' + SLOTS_TEMPLATE,
        )
        blocks.load(pictures, outputs=page, concurrency_limit=None)
    return blocks


def editor_in_a_constant_template(text: str, locked: list[str]) -> gr.Blocks:
    """gr.HTML as a frame alone: the desk's own editor and live block inside it, fed through `watch`."""

    def pictures() -> Iterator[dict[str, Any]]:
        for slots, ending in live_blocks(locked):
            yield {"slots": slots, "locked": ending}

    def load_text(_: None) -> str:
        return text

    saved = {"text": text}

    def save_text(new: str) -> int:
        saved["text"] = new
        return len(new)

    files = "/gradio_api/file=" + ASSETS.as_posix()
    with gr.Blocks() as blocks:
        page = gr.HTML(
            {"slots": [], "locked": ""},
            html_template='<div><div id="text" contenteditable="true" style="white-space: pre-wrap"></div>'
            '<div id="live"></div></div>',
            js_on_load=f"""(async () => {{
              const {{Editor}} = await import("{files}/editor.js");
              const {{Island}} = await import("{files}/island.js");
              const save = () => server.save_text(editor.text);
              let timer = 0;
              const editor = new Editor(element.querySelector("#text"), () => {{
                clearTimeout(timer);
                timer = setTimeout(save, 400);
              }});
              const island = new Island(element.querySelector("#live"), editor);
              editor.set(await server.load_text(null));
              watch("value", () => {{
                if (props.value.locked) editor.append(props.value.locked);
                island.draw(props.value.slots);
              }});
            }})()""",
            server_functions=[load_text, save_text],
        )
        blocks.load(pictures, outputs=page, concurrency_limit=None)
    return blocks


def textbox(text: str, locked: list[str]) -> gr.Blocks:
    """gr.Textbox for the text, gr.HTML for the live block; a block that locks in is written into the box."""

    def pictures() -> Iterator[tuple[Any, dict[str, Any]]]:
        so_far = text
        for slots, ending in live_blocks(locked):
            so_far += ending
            yield (so_far if ending else gr.skip()), {"slots": slots}

    with gr.Blocks() as blocks:
        box = gr.Textbox(text, lines=30, max_lines=30, interactive=True, elem_id="box")
        page = gr.HTML({"slots": []}, html_template=SLOTS_TEMPLATE)
        blocks.load(pictures, outputs=[box, page], concurrency_limit=None)
    return blocks


@contextmanager
def of_components(
    make: Callable[[str, list[str]], gr.Blocks], text: str, middle: str, shown_text: str
) -> Iterator[Place]:
    """A prototype, served as Gradio serves it."""
    locked: list[str] = []
    blocks = make(text, locked)
    _, address, _ = blocks.launch(
        server_port=usable_port("127.0.0.1", 0),
        prevent_thread_lock=True,
        quiet=True,
        inbrowser=False,
        share=False,
        ssr_mode=False,
        allowed_paths=[str(ASSETS)],
    )
    try:
        yield Place(address, "#live", middle, shown_text, lambda: "".join(locked))
    finally:
        blocks.close(verbose=False)


def pages(text: str) -> Iterator[tuple[str, AbstractContextManager[Place]]]:
    """Each page to be measured, by name."""
    middle, box = f"#text > div:nth-child({text.count(chr(10)) // 2})", "#box textarea"
    yield "the desk's own page", own_page(text)
    yield "gr.HTML, own editor inside", of_components(editor_in_a_constant_template, text, middle, INNER_TEXT)
    yield "gr.HTML, text in template", of_components(text_in_the_template, text, middle, INNER_TEXT)
    yield "gr.Textbox and gr.HTML", of_components(textbox, text, box, f"document.querySelector('{box}').value")


# ------------------------------------------------------------------------------------------------------- measuring


def measure(browser: Browser, name: str, place: Place, text: str, keys: int) -> Row:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    began = time.monotonic()
    page.goto(place.address)
    page.locator(place.middle).click()
    expect(page.locator(place.live).locator("u, .in").first).to_be_attached()
    ready = time.monotonic() - began
    page.keyboard.press("End")
    page.evaluate(WATCH, place.live)
    typed = (TYPED * (keys // len(TYPED) + 1))[:keys]
    began = time.monotonic()
    page.keyboard.type(typed, delay=KEY_MS)
    seconds = time.monotonic() - began
    times, pictures = page.evaluate("[keyTimes, pictures]")
    shown = page.evaluate(place.text)
    behind = shown.rpartition(text[-PARAGRAPH_WORDS:])[2]
    page.close()
    times.sort()
    return Row(
        page=name,
        words=count_words(text),
        ready_seconds=ready,
        keys=len(times),
        key_to_paint_p50=times[len(times) // 2],
        key_to_paint_p95=times[int(len(times) * 0.95)],
        key_to_paint_max=times[-1],
        pictures_per_second=pictures / seconds,
        typed_kept=typed in shown,
        locked_kept=behind != "" and place.locked().startswith(behind),
    )


def show(row: Row) -> None:
    print(
        f"{row.page:27} {row.ready_seconds:6.1f} {row.key_to_paint_p50:6.1f} "
        f"{row.key_to_paint_p95:6.1f} {row.key_to_paint_max:6.1f} {row.pictures_per_second:10.1f} "
        f"{'yes' if row.typed_kept else 'no':>6} {'yes' if row.locked_kept else 'no':>6}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.measure_page", description=__doc__)
    parser.add_argument("--words", type=int, default=30_000, help="of the section (default: %(default)s)")
    parser.add_argument("--keys", type=int, default=300, help="how many are typed (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    given = parser.parse_args()
    text = long_text(given.words)
    if not given.json:
        print(f"{count_words(text):,} words; ready in seconds, key to paint in milliseconds\n")
        print(f"{'page':27} {'ready':>6} {'p50':>6} {'p95':>6} {'max':>6} {'pictures/s':>10}  typed locked")
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=list(QUIET_CHROMIUM))
        for name, page in pages(text):
            with page as place:
                rows.append(measure(browser, name, place, text, given.keys))
            if not given.json:
                show(rows[-1])
        browser.close()
    if given.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
