"""The real desk and a real browser: store, session and model process as always, the page in Chromium.

The engine is the scripted one; a module that wants another overrides the fixture `engine`. Every page fails its test if
it asks another host for anything, or if its console shows an error the test did not expect.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from app.desk import opened
from app.launch import keep_private, served, usable_port
from app.session import Session
from app.settings import Settings, parse
from app.visitors import OWN
from tests.chromium import find
from tests.scripted_engine import Script, scripted_child
from tests.scripted_lab import scripted_lab_child

keep_private(os.environ)

WAIT_MS = 40_000
"""How long an expectation may take to come true on a slow machine; it never waits longer than it has to."""

expect.set_options(timeout=WAIT_MS)

AWAY = "Not saved – the desk is not running. Your words are kept in this browser."

QUIET_CHROMIUM = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--disable-component-update", "--disable-default-apps", "--disable-sync", "--no-first-run", "--no-pings"),
    *("--disable-domain-reliability", "--disable-client-side-phishing-detection"),
)


@dataclass(frozen=True)
class Engine:
    """What runs in the model process, and the model it is told to open (None: the default); so for the lab."""

    child: Callable[..., None]
    model: str | None = None
    cache_dir: Path | None = None
    lab_child: Callable[..., None] = scripted_lab_child
    lab: Path | None = None


class Desk:
    """One desk of a test: can be ended and started again on the same documents and the same port."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self._folder = folder
        self._engine = engine
        self._open = ExitStack()
        self._port = 0
        self.address = ""
        self._session: Session | None = None

    @property
    def script(self) -> Script:
        """The scripted engine's."""
        return Script(self._folder / "cache")

    @property
    def session(self) -> Session:
        assert self._session is not None
        return self._session

    def settings(self) -> Settings:
        model = [] if self._engine.model is None else ["--model", self._engine.model]
        places = ["--data-dir", str(self._folder / "data"), "--no-browser", "--port", str(self._port)]
        lab = [] if self._engine.lab is None else ["--lab", str(self._engine.lab)]
        return replace(parse([*places, *model, *lab]), cache_dir=self._engine.cache_dir or self._folder / "cache")

    def start(self) -> None:
        settings = self.settings()
        self._port = usable_port(settings.host, settings.port)
        with ExitStack() as opening:
            visitors = opening.enter_context(opened(settings, self._engine.child))
            self._session = visitors.session(OWN)
            self.address = opening.enter_context(served(visitors, settings, self._port, self._engine.lab_child))
            self._open = opening.pop_all()

    def end(self) -> None:
        self._open.close()
        self._session = None

    def text(self, document: int = 0, section: int = 0) -> str:
        """What the store has of a section; both are counted from 0, documents from the last changed one."""
        return self.session.document(self.session.documents()[document].id).sections[section].text


@pytest.fixture
def engine() -> Engine:
    return Engine(scripted_child)


@pytest.fixture
def stopped_desk(tmp_path: Path, engine: Engine) -> Iterator[Desk]:
    """A desk that is not running yet."""
    desk = Desk(tmp_path, engine)
    yield desk
    desk.end()


@pytest.fixture
def desk(stopped_desk: Desk) -> Desk:
    stopped_desk.start()
    return stopped_desk


# ---------------------------------------------------------------------------------------------------------- browser


@dataclass
class Watch:
    """What the pages of a test did that they must not do. expected: console errors the test brings about itself."""

    host: str
    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self.host:
            self.foreign.append(request.url)

    def console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def verdict(self) -> None:
        assert self.foreign == []
        assert [error for error in self.errors if not any(re.search(known, error) for known in self.expected)] == []


@pytest.fixture(scope="package")  # not longer: while it is open no other test can run an event loop
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=list(QUIET_CHROMIUM))
        yield browser
        browser.close()


@pytest.fixture
def watch(desk: Desk) -> Watch:
    return Watch(urlsplit(desk.address).netloc)


@pytest.fixture
def context(browser: Browser, watch: Watch) -> Iterator[BrowserContext]:
    """A visitor of their own, in a window of 1280 × 800."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.set_default_timeout(WAIT_MS)
    context.on("request", watch.request)
    context.on("console", watch.console)
    context.on("weberror", lambda error: watch.errors.append(str(error.error)))
    yield context
    context.close()
    watch.verdict()


OpenTab = Callable[[], Page]


@pytest.fixture
def open_tab(context: BrowserContext, desk: Desk) -> OpenTab:
    """Opens the desk in one more tab."""

    def open_one() -> Page:
        page = context.new_page()
        page.goto(desk.address)
        return page

    return open_one


@pytest.fixture
def page(open_tab: OpenTab) -> Page:
    """The desk in a tab."""
    return open_tab()


@pytest.fixture
def written(desk: Desk, open_tab: OpenTab) -> Page:
    """A tab with a document, “Harbour”, and its first section, “Night”, with a brief; nothing written yet."""
    (section,) = desk.session.create_document("Harbour").sections
    desk.session.change_section(section.id, section.revision, title="Night", brief="A keeper lights his lamp.")
    page = open_tab()
    page.get_by_label("Brief").focus()
    expect(page.locator("#write")).to_be_enabled()
    return page


def start_document(page: Page, title: str, section: str, brief: str) -> None:
    """As a writer begins one: with the button, by keyboard."""
    page.get_by_role("button", name="New", exact=True).click()
    expect(page.get_by_label("Title of the document")).to_be_focused()
    page.keyboard.type(title)
    page.get_by_label("Title of the section").fill(section)
    page.get_by_label("Brief").fill(brief)
    expect(page.locator("#saved")).to_have_text("Saved")
    expect(page.locator("#write")).to_be_enabled()


COMES_TRUE = """() => new Promise((done) => {
  const look = (pictures) => {
    const holds = Boolean(CONDITION);
    if (holds || !pictures) done(holds);
    else requestAnimationFrame(() => look(pictures - 1));
  };
  look(600);
})"""


def comes_true(page: Page, condition: str) -> bool:
    """Whether a JavaScript expression holds, now or within 600 pictures of the page, ten seconds.

    Page.wait_for_function evaluates text inside the page from its second look on, which the page's policy forbids.
    """
    held: bool = page.evaluate(COMES_TRUE.replace("CONDITION", condition))
    return held


def text_of(page: Page) -> str:
    """The editor's text, line by line."""
    lines: list[str] = page.locator("#text > div").all_text_contents()
    return "\n".join(lines)
