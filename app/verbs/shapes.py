"""Values of the desk as the page gets them: plain dicts, lists and strings."""

from __future__ import annotations

import math
from dataclasses import asdict

from app.draft import Block, Card, Document, Section
from app.events import block_facts
from app.prompt import Reading
from app.session import Session
from app.store import Deleted, Hit, Snapshot, SnapshotCard, Version
from app.verbs.fields import Json
from model.catalog import Entry
from model.contract import BLOCK_SIZES


def card_json(card: Card) -> Json:
    return asdict(card)


def outline_json(document: Document) -> Json:
    """A document with its sections, but without their texts: those come one by one."""
    return {
        "id": document.id,
        "title": document.title,
        "style": document.style,
        "notes": document.notes,
        "dial": document.dial_json,
        "revision": document.revision,
        "created": document.created,
        "updated": document.updated,
        "sections": [section_line_json(section) for section in document.sections],
    }


def section_line_json(section: Section) -> Json:
    return {
        "id": section.id,
        "document_id": section.document_id,
        "title": section.title,
        "brief": section.brief,
        "target_words": section.target_words,
        "status": section.status,
        "style": section.style,
        "notes": section.notes,
        "dial": section.dial_json,
        "revision": section.revision,
        "words": section.words,
        "blocks": len(section.blocks),
    }


def section_json(section: Section) -> Json:
    return {**section_line_json(section), "text": section.text}


def blocks_json(section: Section) -> list[Json]:
    """Each block with its place in the text, and how sure the model was: the mean chance of its tokens, 0 … 1."""
    shown, start = [], 0
    for block in section.blocks:
        end = start + len(block.text)
        facts = {name: value for name, value in block_facts(block).items() if name != "text"}
        shown.append({"start": start, "end": end, **facts, "sureness": _sureness(block)})
        start = end
    return shown


def _sureness(block: Block) -> float | None:
    return None if block.nll is None or not block.tokens else math.exp(-max(0.0, block.nll) / len(block.tokens))


def reading_json(reading: Reading, room: int) -> Json:
    """room: tokens that could be read."""
    return {
        "parts": [asdict(part) for part in reading.parts],
        "left_out": list(reading.left_out),
        "tokens": reading.tokens,
        "room": room,
        "summaries": any(part.origin == "earlier" for part in reading.parts),
    }


def version_json(version: Version) -> Json:
    return asdict(version)


def snapshot_card_json(card: SnapshotCard) -> Json:
    return asdict(card)


def snapshot_json(snapshot: Snapshot) -> Json:
    """With the texts of its sections."""
    sections = snapshot.document.sections
    return {
        "snapshot": asdict(snapshot.card),
        "title": snapshot.document.title,
        "sections": [{"section_id": each.id, "title": each.title, "text": each.text} for each in sections],
    }


def hit_json(hit: Hit) -> Json:
    return {**asdict(hit), "snippet": [list(part) for part in hit.snippet]}


def deleted_json(deleted: list[Deleted]) -> Json:
    rows = [asdict(one) for one in deleted]
    return {
        "documents": [row for row in rows if row["section_id"] is None],
        "sections": [row for row in rows if row["section_id"] is not None],
    }


def model_json(entry: Entry) -> Json:
    """What the dial shows: the facts of the catalogue."""
    return {
        "id": entry.id,
        "title": entry.title,
        "licence": entry.licence,
        "context": entry.context,
        "block_sizes": [size for size in entry.block_sizes if size in BLOCK_SIZES],
        "rules": list(entry.rules),
        "instructs": entry.instructs,
        "default_stop": entry.default_stop,
        "stops": [asdict(stop) for stop in entry.stops],
    }


def models_json(session: Session) -> list[Json]:
    """What each model takes and what of it is on the disk; all numbers are bytes."""
    return [
        {
            "id": model.entry.id,
            "title": model.entry.title,
            "licence": model.entry.licence,
            "in_use": model.in_use,
            "fetches": model.entry.fetches,
            "memory": model.memory,
            "lying": asdict(model.lying),
            "command": model.command,
        }
        for model in session.models()
    ]


def state_json(session: Session) -> Json:
    """Everything a page that has just been opened needs first."""
    return {
        "documents": [card_json(card) for card in session.documents()],
        "engine": session.engine(),
        "job": session.job(),
        "waiting": session.waiting(),
        "model": model_json(session.entry),
    }
