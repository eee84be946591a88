"""A folder as a table run leaves it, with tiny networks that nobody trained: they know how often a token occurs."""

from __future__ import annotations

from pathlib import Path

import torch

from model.backbones import published
from model.training.vocabulary import Vocabulary, train_vocabulary
from tests.training_tiny import config, network, text

RUNS = {"ar": ("ar", 1), "bd3-4": ("bd3lm", 4), "bd3-8": ("bd3lm", 8), "mdlm": ("mdlm", 16), "sedd": ("sedd", 16),
        "ssd": ("ssd", 4)}  # fmt: skip
"""System and block size by the name of the run's folder; rows have 16 tokens."""


def tiny_lab(folder: Path, *runs: str) -> Path:
    """The folder, with these runs in it, or all."""
    words = text(400)
    vocabulary = train_vocabulary([words], 300)
    for run in runs or RUNS:
        system, size = RUNS[run]
        step = folder / run / "step-0000006"
        made = network(config(system, size, vocab_size=vocabulary.size))
        with torch.no_grad():
            made.output_layer.linear.bias.copy_(_frequencies(vocabulary, words))
        published.save(step, made)
        vocabulary.save(step)
    return folder


def _frequencies(vocabulary: Vocabulary, words: str) -> torch.Tensor:
    """Log of how often each token occurs [V]; those that never do are unlikely."""
    counts = torch.bincount(torch.tensor(vocabulary.encode([words])[0]), minlength=vocabulary.size).float()
    return (counts + 1e-3).log()
