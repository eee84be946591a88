"""Tiny networks, texts and settings that the tests of training share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from model.backbones.dit import DiT, DiTConfig
from model.evaluation.training_speed import random_network
from model.training.settings import Settings
from model.training.systems.choice import shaped
from model.training.vocabulary import train_vocabulary

CONFIG = DiTConfig(
    vocab_size=23, hidden_dim=16, n_blocks=2, n_heads=2, cond_dim=8, model_length=16, block_size=4, dropout=0.0
)
WORDS = (
    "the",
    "sea",
    "was",
    "calm",
    "and",
    "the",
    "keeper",
    "read",
    "an",
    "old",
    "book",
    "about",
    "ships",
    "no",
    "more",
)


def config(system: str = "bd3lm", block_size: int = 4, **other: Any) -> DiTConfig:
    return shaped(dataclasses.replace(CONFIG, block_size=block_size, **other), system)


def network(shape: DiTConfig) -> DiT:
    """Random everywhere: with new, zero output layers every comparison would hold."""
    made = random_network(shape)
    torch.nn.init.normal_(made.output_layer.linear.weight, std=0.3)
    return made.eval()


def rows(count: int, length: int = 16, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, CONFIG.mask, (count, length), generator=torch.Generator().manual_seed(seed))


def text(words: int, seed: int = 1) -> str:
    chosen = torch.randint(0, len(WORDS), (words,), generator=torch.Generator().manual_seed(seed))
    return " ".join(WORDS[int(at)] for at in chosen)


def corpus(folder: Path) -> tuple[str, str]:
    """A text file and the folder of a tokenizer learnt from it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "text.txt"
    file.write_text(text(1500), encoding="utf-8")
    train_vocabulary([file.read_text(encoding="utf-8")], 300).save(folder)
    return str(file), str(folder)


def settings(folder: Path, **other: Any) -> Settings:
    """A run of seconds; `folder` must hold what `corpus` made."""
    plain: dict[str, Any] = {
        "out": str(folder / "run"), "data": (str(folder / "text.txt"),), "tokenizer": str(folder),
        "system": "bd3lm", "block_size": 4, "length": 16, "hidden_dim": 16, "n_blocks": 1, "n_heads": 2, "cond_dim": 8,
        "dropout": 0.1, "steps": 6, "batch": 8, "micro_batch": 4, "warmup": 3, "precision": "no", "log_every": 1,
        "evaluate_every": 3, "validation_rows": 8, "save_every": 3,
    }  # fmt: skip
    return Settings(**{**plain, **other})
