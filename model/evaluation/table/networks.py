"""A trained network with all that measures need to know of it. Knows nothing of the measures."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.backbones import published
from model.backbones.dit import DiT
from model.training import checkpoint
from model.training.data import Source, open_rows, tokenise
from model.training.settings import Settings
from model.training.systems.base import System
from model.training.systems.choice import system_for
from model.training.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Network:
    """digest: of its weights, so that measures know which network they are of. state: of its training."""

    name: str
    settings: Settings
    folder: Path
    digest: str
    state: dict[str, Any]

    @classmethod
    def at(cls, name: str, settings: Settings, folder: Path) -> Network:
        """From a checkpoint of model.training.train."""
        weights = (folder / published.WEIGHTS).read_bytes()
        state = json.loads((folder / checkpoint.STATE).read_text(encoding="utf-8"))
        return cls(name, settings, folder, hashlib.sha256(weights).hexdigest()[:16], state)

    def open(self) -> DiT:
        """The averaged weights. Raises WrongWeights."""
        return published.load(self.folder).network.eval().requires_grad_(False).to(place())

    def system(self, network: DiT) -> System:
        """What it was trained as."""
        return system_for(network.config, self.settings.schedule)

    @property
    def bf16(self) -> bool:
        """Whether its products are in bfloat16, as in its training."""
        return self.settings.precision == "bf16"

    @property
    def vocabulary(self) -> Vocabulary:
        return checkpoint.tokenizer_of(self.folder)

    def rows(self, sources: tuple[str, ...], most: int | None = None) -> Tensor:
        """Rows [R, L] of a text; of more than `most` as many, spread over it. Raises NoData."""
        vocabulary = self.vocabulary
        file = tokenise(Source(sources, self.settings.column), vocabulary, Path(self.settings.cache), quiet=True)
        rows = open_rows(file, vocabulary, self.settings.length)
        count = min(most or len(rows), len(rows))
        return rows.batch([at * len(rows) // count for at in range(count)])


def place() -> torch.device:
    """Where networks are measured."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
