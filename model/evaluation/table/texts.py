"""The texts of a comparison: fetched, split by document, written as JSON lines, and a tokenizer learnt from one part.

Knows nothing of networks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.evaluation.table.plan import Text
from model.training.corpora import CORPORA, fetch
from model.training.data import NoData
from model.training.settings import InvalidSetting
from model.training.vocabulary import train_vocabulary

MADE = "made.json"
"""What the texts in a folder were made from; written last."""


def prepare(text: Text, folder: Path) -> None:
    """Makes what is not there yet. Raises NoData, InvalidSetting where the folder holds other texts."""
    made = folder / MADE
    facts = json.loads(json.dumps(asdict(text)))
    if made.exists():
        if json.loads(made.read_text(encoding="utf-8")) != facts:
            raise InvalidSetting(f"{folder} holds other texts; choose another --out, or what [text] had.")
        return
    folder.mkdir(parents=True, exist_ok=True)
    if text.corpus:
        documents = _documents(text.corpus, folder)
        held_out = {title for title in documents if is_held_out(title, text.held_out)}
        if not held_out or len(held_out) == len(documents):
            raise NoData(f"Of {len(documents)} documents {len(held_out)} are held out; change held_out.")
        train = {title: words for title, words in documents.items() if title not in held_out}
        _write(folder / "train.jsonl", train)
        _write(folder / "validation.jsonl", {title: documents[title] for title in documents if title in held_out})
        train_vocabulary(train.values(), text.vocabulary).save(folder)
    for name in text.zero_shot:
        if name in CORPORA:
            _write(folder / f"{name}.jsonl", _documents(name, folder))
    made.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def is_held_out(title: str, share: float) -> bool:
    """Whether a document validates: a question of its title alone, so other documents may come and go."""
    return int(hashlib.sha256(title.encode()).hexdigest()[:12], 16) < share * 16**12


def source(name: str, folder: Path) -> str:
    """What `data.Source` reads for a zero-shot text."""
    return str(folder / f"{name}.jsonl") if name in CORPORA else name


def licences(text: Text) -> list[dict[str, Any]]:
    """What is known of each text: its name here, its Debian package, its licence."""
    names = [name for name in (text.corpus, *text.zero_shot) if name in CORPORA]
    return [{"name": name, "package": CORPORA[name].package, "licence": CORPORA[name].licence} for name in names]


def _documents(name: str, folder: Path) -> dict[str, str]:
    return CORPORA[name].documents(fetch(CORPORA[name], folder))


def _write(file: Path, documents: Mapping[str, str]) -> None:
    lines = (json.dumps({"title": title, "text": words}) + "\n" for title, words in documents.items())
    file.write_text("".join(lines), encoding="utf-8")
