"""The models that Galley can be started with: their facts, how much of each is on the disk, and the command."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from model.catalog import CATALOG, Entry
from model.shelf import Lying, lying


@dataclass(frozen=True, slots=True)
class Model:
    """memory   bytes that the desk takes with it at most, about; None: not known.
    command  starts Galley with it.
    """

    entry: Entry
    in_use: bool
    memory: int | None
    lying: Lying
    command: str


def models(in_use: Entry, cache_dir: Path) -> list[Model]:
    """Those of the catalogue; the one in use stands first where it is a folder of the writer's own."""
    own = [in_use] if in_use.is_folder else []
    return [_model(entry, in_use, cache_dir) for entry in [*own, *CATALOG]]


def _model(entry: Entry, in_use: Entry, cache_dir: Path) -> Model:
    return Model(
        entry=entry,
        in_use=entry == in_use,
        memory=None if entry.is_folder else entry.memory_mb * 10**6,
        lying=lying(entry, cache_dir),
        command=f"python run.py --model {shlex.quote(entry.id)}",
    )
