"""`python -m tests.screenshots` makes the pictures of README.md and docs/views.md.

For the README a section being written, in the light, the dark, on a phone; for the other page every view in
four windows side by side (tests/views.py). The document is made up here. What is being written comes from the scripted
engine, or with `--real` from the model.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal
from unittest.mock import patch

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from app.draft import Section
from app.environment import ROOT
from app.session import Session
from app.settings import parse
from app.worker import child_main
from model.contract import Request
from tests import scripted_engine
from tests.browser.conftest import QUIET_CHROMIUM, Desk, Engine
from tests.chromium import find
from tests.scripted_lab import hold, scripted_lab
from tests.views import LAB_HELD, VIEWS, View

FOLDER = ROOT / "assets" / "screenshots"
SCALE = 2
COLORS = 256
WRITING_SECONDS = 120.0

HALF_DECIDED = "#island:has(.slot.masked):has(.slot.in)"

HELD_BLOCK = 1
"""The block at which the scripted engine stops for the picture."""

TITLE = "A Winter on the Estuary"
OTHERS = ("Letters to the Harbour Board", "Notes on Setting Type")


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture; width and height in CSS pixels."""

    name: str
    width: int
    height: int
    look: Literal["light", "dark"]


PICTURES = (
    Picture("desk-light", 1280, 800, "light"),
    Picture("desk-dark", 1280, 800, "dark"),
    Picture("phone", 390, 844, "light"),
)


WINDOWS = tuple(Picture("", width, 800, look) for width in (1280, 360) for look in ("light", "dark"))  # type: ignore[arg-type]
GAP = 16
"""Pixels between two windows of one picture."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One section of the document in the picture."""

    title: str
    brief: str
    target_words: int
    text: str = ""
    done: bool = False


SECTIONS = (
    Planned(
        "The tide tables",
        "How the narrator came to the house by the water, and learned to read the tables.",
        120,
        "The tables came in a grey envelope every November, folded so small that the columns cracked along the "
        "creases. My aunt pinned them above the sink, where the steam could get at them, and by February the thirties "
        "had run into the forties and nobody but her could say when the causeway would be dry.\n\n"
        "I learned them the way other children learn hymns. High water at ten past six, low at twenty-five to one; add "
        "an hour for the light, take away a foot for the wind in the east. She never once looked at the clock. She "
        "looked at the mud, and at the birds on it, and put the kettle on, and the sea came when she said it would.",
        True,
    ),
    Planned(
        "What the ferryman said",
        "The ferryman tells why the light on the point was put out.",
        180,
        "Old Marten had rowed us over all that autumn without a word, and we had stopped expecting one. He sat with "
        "his back to where he was going, as rowers must, and watched the shore he had left as if it might follow.\n\n"
        "It was the second week of December, with skim ice knocking at the planks, when he shipped one oar and let "
        "the boat turn. “You’ll have wondered about the light,” he said.",
    ),
    Planned("Ice", "The estuary freezes over for the first time in forty years; the village walks out on it.", 200),
    Planned("Leaving", "Spring. The house is shut up, the tables are taken down.", 150),
)
OPEN = 1

PASSAGE = (
    "“It was never the storms that put it out. Nor the price of oil, whatever they wrote to the Board. It was that the "
    "geese came down to it in the fog, and my father could not bear the sound of them against the glass.” "
)

SECONDS_PER_FORWARD = 0.1
"""What the scripted engine claims in the pictures: about what a small model needs on two cores."""


def from_passage(request: Request, place: int, words: tuple[str, ...]) -> str:
    """The scripted engine's next word, out of the passage."""
    passage = PASSAGE.split()
    return " " + passage[place % len(passage)]


def passage_child(connection: Connection, model: str, cache_dir: Path, threads: int | None) -> None:
    """The model process with the scripted engine and words that can be read."""
    with patch.multiple(scripted_engine, word_at=from_passage, SECONDS_PER_FORWARD=SECONDS_PER_FORWARD):
        scripted_engine.scripted_child(connection, model, cache_dir, threads)


def write_document(session: Session) -> None:
    """Puts the document and its neighbours on the desk."""
    for title in OTHERS:
        other = session.create_document(title)
        session.save_text(other.sections[0].id, 0, 0, SECTIONS[0].text)
    document = session.create_document(TITLE)
    for number, planned in enumerate(SECTIONS):
        if number:
            document = session.add_section(document.id, document.revision, after=document.sections[-1].id)
        section = session.change_section(
            document.sections[-1].id,
            0,
            title=planned.title,
            brief=planned.brief,
            target_words=planned.target_words,
        )
        if planned.text:
            section = session.save_text(section.id, section.revision, 0, planned.text)
        if planned.done:
            session.change_section(section.id, section.revision, status="done")


@contextmanager
def prepared_desk(folder: Path, *, real: bool) -> Iterator[Desk]:
    """A desk with the document, its model ready."""
    lab = scripted_lab(folder / "lab", result=False)  # so the page shows the real one
    engine = Engine(child_main, cache_dir=parse([]).cache, lab=lab) if real else Engine(passage_child, lab=lab)
    desk = Desk(folder, engine)
    if not real:
        hold(folder / "cache", LAB_HELD)
    desk.start()
    try:
        if not real:
            desk.script.change(pace=SECONDS_PER_FORWARD, hold=(HELD_BLOCK, 1))
        write_document(desk.session)
        with closing(desk.session.subscribe()) as news:
            while desk.session.engine()["state"] == "preparing":
                news.get(1.0)
        yield desk
    finally:
        desk.end()


def open_desk(browser: Browser, desk: Desk, section: Section, picture: Picture, scale: int = SCALE) -> Page:
    """A window on the section."""
    page = browser.new_page(
        viewport={"width": picture.width, "height": picture.height},
        device_scale_factor=scale,
        color_scheme=picture.look,
        bypass_csp=True,
    )
    page.goto(f"{desk.address}#/{section.document_id}/{section.id}")
    expect(page.get_by_label("Title of the section")).to_have_value(section.title)
    page.add_style_tag(content=".slot { animation: none !important }")  # no word is caught half faded in
    return page


@contextmanager
def being_written(desk: Desk, section: Section, seed: int) -> Iterator[None]:
    """Inside, a later block of the section is being denoised; afterwards the section is as it was."""
    session = desk.session
    stop = session.entry.stop(session.entry.default_stop)
    with closing(session.subscribe()) as news:
        job = session.write(section.id, dial=stop.dial, stop_name=stop.name, seed=seed)
        while (event := news.get(WRITING_SECONDS)) and (event["type"] != "step" or event["block"] < HELD_BLOCK):
            pass
        yield
        session.stop(job)
        while session.job() is not None:
            news.get(WRITING_SECONDS)
    written = session.section(section.id)
    session.save_text(section.id, written.revision, len(written.blocks), section.text)


def taken_half_decided(page: Page) -> bytes:
    """A picture in which some slots of the live block have their token and others not yet."""
    while True:
        expect(page.locator(HALF_DECIDED)).to_be_attached()
        taken = page.screenshot(animations="disabled")
        if page.locator(HALF_DECIDED).count():
            return taken


def save(taken: bytes, path: Path) -> None:
    """A PNG of few colours: this page has no more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    few = Image.open(io.BytesIO(taken)).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} kB")


def seen_in_every_window(browser: Browser, desk: Desk, section: Section, view: View) -> bytes:
    """A view in four windows side by side."""
    taken = []
    for window in WINDOWS:
        page = open_desk(browser, desk, section, window, scale=1)
        expect(page.locator("#write")).to_be_enabled()
        view.lead(page)
        taken.append(Image.open(io.BytesIO(page.screenshot(animations="disabled"))))
        page.close()
    width = sum(picture.width for picture in taken) + GAP * (len(taken) - 1)
    whole, left = Image.new("RGB", (width, taken[0].height), "white"), 0
    for picture in taken:
        whole.paste(picture, (left, 0))
        left += picture.width + GAP
    file = io.BytesIO()
    whole.save(file, "PNG")
    return file.getvalue()


def tell_views() -> str:
    """docs/views.md."""
    lines = [
        "# Every view",
        "",
        "Wide and narrow, light and dark. `python -m tests.screenshots` makes these pictures.",
        "",
    ]
    for view in VIEWS:
        lines += [f"**{view.says}**", "", f"![{view.says}](../assets/screenshots/view-{view.name}.png)", ""]
    return "\n".join(lines[:-1]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("--real", action="store_true", help="let the real model write")
    parser.add_argument("--seed", type=int, default=8, help="of what it writes (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pictures go (default: %(default)s)")
    given = parser.parse_args()
    with (
        TemporaryDirectory() as folder,
        prepared_desk(Path(folder), real=given.real) as desk,
        sync_playwright() as play,
    ):
        document = next(card.id for card in desk.session.documents() if card.title == TITLE)
        section = desk.session.document(document).sections[OPEN]
        browser = play.chromium.launch(executable_path=find(), args=list(QUIET_CHROMIUM))
        for picture in PICTURES:
            page = open_desk(browser, desk, section, picture)
            with being_written(desk, section, given.seed):
                save(taken_half_decided(page), given.folder / f"{picture.name}.png")
            page.close()
        desk.script.release()
        for view in VIEWS:
            save(seen_in_every_window(browser, desk, section, view), given.folder / f"view-{view.name}.png")
        browser.close()
    if given.folder == FOLDER:
        (ROOT / "docs" / "views.md").write_text(tell_views(), encoding="utf-8")


if __name__ == "__main__":
    main()
