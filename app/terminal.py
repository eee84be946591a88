"""`python run.py write "BRIEF"`: one section by the same session and worker as the page's, shown in the terminal.

To a model that only continues text the brief is the beginning of the section.

Text, or one JSON line per event, goes to stdout; everything about the way there goes to stderr. Knows no page.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Protocol

from app.desk import opened
from app.draft import Section
from app.progress import Progress
from app.session import Refused, Session, Subscription
from app.settings import Settings, Writing
from app.stopping import stopped_by_signals
from app.store import StoreError
from app.visitors import OWN
from app.worker import Child, child_main

TITLE_WORDS = 6
INTERRUPTED = 130

News = Mapping[str, Any]


class EngineFailed(Exception):
    """The model is not to be had; the message is one sentence that says why."""


class Printer(Protocol):
    """Shows what happens: preparing, ready, running, reading, step, locked, and last finished, stopped or failed.

    opening: the words that a model continues, before the first block.
    """

    def show(self, event: str, facts: News) -> None: ...

    def close(self) -> None: ...


def write(settings: Settings, writing: Writing, child: Child = child_main) -> int:
    """Writes one section into a new document. Returns the exit code: 0, 1 it failed, 2 it was refused, 130 Ctrl+C.

    child: what runs in the model process. Whatever was locked before the end is kept in the store.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # text of any script, whatever the terminal can show
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    printer: Printer = JsonPrinter() if writing.json else TextPrinter()
    try:
        with closing(printer), stopped_by_signals(), opened(settings, child) as visitors:
            return _write(visitors.session(OWN), settings, writing, printer)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Refused as refusal:
        printer.show("failed", {"sentence": str(refusal)})
        return 2
    except (EngineFailed, StoreError) as error:
        printer.show("failed", {"sentence": str(error)})
        return 1
    except BrokenPipeError:
        # Whoever read our stdout has gone; without this the interpreter complains once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _write(session: Session, settings: Settings, writing: Writing, printer: Printer) -> int:
    with closing(session.subscribe()) as news:
        load_seconds = _wait_for_engine(session, news, printer)
        title, continues = first_words(writing.brief), not settings.entry.instructs
        document = session.create_document(writing.title or ("" if continues else title))
        section = document.sections[0]
        try:
            section = _plan(session, section, writing)
            job = session.write(
                section.id,
                dial=settings.entry.stop(writing.dial).dial,
                stop_name=writing.dial,
                words=writing.words - section.words,
                seed=writing.seed,
            )
        except Refused:
            session.delete_document(document.id, session.document(document.id).revision)
            raise
        if continues:
            printer.show("opening", {"text": section.text})
            if not writing.title:  # not earlier: a title is read, and this one says the same once more
                session.change_document(document.id, document.revision, title=title)
        place = {"document": document.id, "section": section.id}
        try:
            end = _follow(news, job, printer)
        except KeyboardInterrupt:
            session.stop(job)
            printer.show("stopped", place)
            raise
        text = session.section(section.id).text
        told = {"sentence": end["sentence"], "reason": end["reason"], "seed": end["seed"], "dial": writing.dial}
        printer.show(end["state"], {**told, **end["meter"], "load_seconds": load_seconds, **place, "text": text})
        return 0 if end["state"] == "finished" else 1


def _plan(session: Session, section: Section, writing: Writing) -> Section:
    """The section as it is to be written: with its brief, or its opening words. Raises Refused."""
    brief = writing.brief if session.entry.instructs else ""
    section = session.change_section(section.id, section.revision, brief=brief, target_words=writing.words)
    if session.entry.instructs:
        return section
    section = session.save_text(section.id, section.revision, 0, writing.brief)
    if section.words >= writing.words:
        raise Refused(f"The opening words are {section.words} words already; ask for more with --words.")
    return section


def _wait_for_engine(session: Session, news: Subscription, printer: Printer) -> float:
    """Seconds the model took to load. Raises EngineFailed."""
    engine: News = session.engine()
    while True:
        if engine["state"] == "failed":
            raise EngineFailed(engine["sentence"])
        printer.show(engine["state"], _facts(engine))
        if engine["state"] == "ready":
            return float(engine["load_seconds"])
        while (event := news.get(timeout=1.0)) is None or event["type"] != "engine":
            pass
        engine = event


def _follow(news: Subscription, job: str, printer: Printer) -> News:
    """Shows what happens to the job; returns its last event, which says how it ended."""
    while True:
        event = news.get(timeout=1.0)
        if event is None or event.get("job") != job:
            continue
        if event["type"] != "job":
            printer.show(event["type"], _facts(event))
        elif event["state"] == "running":
            printer.show("running", _facts(event))
        else:
            return event


def _facts(event: News) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != "type"}


def first_words(brief: str) -> str:
    """A title for a document that was given none."""
    words = brief.split()
    return " ".join(words[:TITLE_WORDS]) + (" …" if len(words) > TITLE_WORDS else "")


class JsonPrinter:
    """One JSON object per line on stdout, its kind under "event"."""

    def show(self, event: str, facts: News) -> None:
        print(json.dumps({"event": event, **facts}, ensure_ascii=False), flush=True)

    def close(self) -> None:
        pass


class TextPrinter:
    """The text as its blocks lock in on stdout, the rest on stderr."""

    def __init__(self) -> None:
        self._progress = Progress()

    def show(self, event: str, facts: News) -> None:
        if event in ("preparing", "ready"):
            self._progress.show(facts)
        elif event == "running":
            for sentence in filter(None, [*facts["left_out"], facts["sentence"]]):
                print(sentence, file=sys.stderr)
        elif event == "opening":
            print("This model continues the words it is given; it does not read briefs.", file=sys.stderr)
            print(facts["text"], end="", flush=True)
        elif event == "locked":
            print(facts["block"]["text"], end="", flush=True)
        elif event == "finished":
            print(flush=True)
            for sentence in filter(None, [facts["sentence"], account(facts)]):
                print(sentence, file=sys.stderr)
        elif event == "stopped":
            print(f"\nStopped; what was locked in is kept in document {facts['document']}.", file=sys.stderr)
        elif event == "failed":
            print(facts["sentence"], file=sys.stderr)

    def close(self) -> None:
        self._progress.close()


def account(meter: News) -> str:
    """What a section cost, in one line."""
    return (
        f"{meter['words']} words, {meter['tokens']} tokens in {meter['seconds']:.1f} s "
        f"(first block after {meter['first_block_seconds'] or 0:.1f} s), {meter['blocks']} blocks, "
        f"{meter['nfe_per_token']:.2f} network forwards a token; kept as document {meter['document']}."
    )
